//! How Discord writes its objects, by the pages of their names: User, Guild, Channel, Message, Interactions.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::message::{Attachment, Message};
use super::world::{Channel, Interaction, Role, State, User};

/// ISO 8601 with microseconds and an offset, as Discord writes it (page "Reference", ISO8601 Date/Time).
pub fn time(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, left) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (left / 3600, left / 60 % 60, left % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}+00:00", since.subsec_micros())
}

/// The civil date of a day since 1970: years first, then months, counting down. Slow and plain.
fn date(mut days: u64) -> (u64, u64, u64) {
    let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

pub fn user(user: &User) -> Value {
    json!({
        "id": user.id, "username": user.name, "discriminator": "0", "global_name": user.name, "avatar": null,
        "bot": user.bot, "system": false, "banner": null, "accent_color": null, "public_flags": 0,
        "avatar_decoration_data": null, "collectibles": null, "primary_guild": null,
    })
}

pub fn role(state: &State, role: &Role) -> Value {
    let mut value = json!({
        "id": role.id, "name": role.name, "description": null, "permissions": role.permissions.to_string(),
        "position": state.roles.iter().position(|r| r.id == role.id), "color": 0,
        "colors": {"primary_color": 0, "secondary_color": null, "tertiary_color": null},
        "hoist": false, "managed": role.managed, "mentionable": false, "icon": null, "unicode_emoji": null, "flags": 0,
    });
    if role.managed {
        value["tags"] = json!({"bot_id": state.bot});
    }
    value
}

/// A member without the user, as it comes with a message.
pub fn partial_member(state: &State, member: &User) -> Value {
    json!({
        "roles": member.roles, "nick": null, "avatar": null, "banner": null, "premium_since": null, "flags": 0,
        "joined_at": joined(state), "pending": false, "communication_disabled_until": null, "deaf": false,
        "mute": false,
    })
}

pub fn member(state: &State, of: &User) -> Value {
    let mut value = partial_member(state, of);
    value["user"] = user(of);
    value
}

fn joined(state: &State) -> String {
    // Everyone was there before the fake was started.
    time(SystemTime::now() - state.started.elapsed() - Duration::from_secs(86_400))
}

pub fn channel(state: &State, channel: &Channel) -> Value {
    let last = state.messages.iter().rev().find(|m| m.channel == channel.id).map(|m| m.id.clone());
    if let Some(recipient) = &channel.recipient {
        let recipient = user(&state.user(recipient));
        return json!({
            "id": channel.id, "type": 1, "last_message_id": last, "flags": 0, "recipients": [recipient],
        });
    }
    let mut value = json!({
        "id": channel.id, "type": channel.kind, "guild_id": state.guild, "name": channel.name, "topic": null,
        "position": 0, "nsfw": false, "rate_limit_per_user": 0, "parent_id": channel.parent,
        "last_message_id": last, "permission_overwrites": [], "flags": 0,
    });
    if channel.kind == 11 {
        let said = state.messages.iter().filter(|m| m.channel == channel.id && !m.deleted).count();
        value["owner_id"] = json!(state.bot);
        value["message_count"] = json!(said);
        value["total_message_sent"] = json!(said);
        value["member_count"] = json!(1);
        value["thread_metadata"] = json!({
            "archived": channel.archived, "auto_archive_duration": channel.auto_archive, "locked": false,
            "archive_timestamp": joined(state), "create_timestamp": joined(state),
        });
    }
    value
}

/// The guild as GET gives it; GUILD_CREATE adds to it.
pub fn guild(state: &State) -> Value {
    json!({
        "id": state.guild, "name": "harbour", "icon": null, "icon_hash": null, "splash": null,
        "discovery_splash": null, "owner_id": state.owner, "afk_channel_id": null, "afk_timeout": 300,
        "widget_enabled": false, "widget_channel_id": null, "verification_level": 1,
        "default_message_notifications": 1, "explicit_content_filter": 2,
        "roles": state.roles.iter().map(|r| role(state, r)).collect::<Vec<_>>(), "emojis": [], "features": [],
        "mfa_level": 0, "application_id": null, "system_channel_id": null, "system_channel_flags": 0,
        "rules_channel_id": null, "max_presences": null, "max_members": 500_000, "vanity_url_code": null,
        "description": null, "banner": null, "premium_tier": 0, "premium_subscription_count": 0,
        "preferred_locale": "en-US", "public_updates_channel_id": null, "max_video_channel_users": 25,
        "max_stage_video_channel_users": 50, "nsfw_level": 0, "stickers": [],
        "premium_progress_bar_enabled": false, "safety_alerts_channel_id": null, "incidents_data": null,
    })
}

/// What GUILD_CREATE carries (page "Gateway Events", Guild Create).
pub fn guild_create(state: &State) -> Value {
    let mut value = guild(state);
    let channels = |threads: bool| {
        let of = state.channels.iter().filter(|c| (c.kind == 11) == threads && c.kind != 1 && !c.archived);
        of.map(|c| channel(state, c)).collect::<Vec<_>>()
    };
    // Without the members intent only the bot itself is listed.
    let bot = member(state, &state.user(&state.bot));
    let more = json!({
        "joined_at": joined(state), "large": false, "unavailable": false, "member_count": state.users.len(),
        "voice_states": [], "members": [bot], "channels": channels(false), "threads": channels(true),
        "presences": [], "stage_instances": [], "guild_scheduled_events": [], "soundboard_sounds": [],
    });
    for (key, part) in more.as_object().expect("an object") {
        value[key] = part.clone();
    }
    value
}

pub fn attachment(state: &State, message: &Message, file: &Attachment) -> Value {
    let url = format!("{}/attachments/{}/{}/{}", state.base, message.channel, file.id, file.name);
    json!({
        "id": file.id, "filename": file.name, "description": file.description, "content_type": file.content_type,
        "size": file.bytes.len(), "url": url, "proxy_url": url, "ephemeral": message.ephemeral(),
    })
}

/// A message as REST gives it; gateway events add `guild_id` and `member`.
pub fn message(state: &State, of: &Message) -> Value {
    let author = state.user(&of.author);
    let mentioned = |u: &&User| of.content.contains(&format!("<@{}>", u.id));
    let mut value = json!({
        "id": of.id, "type": if of.reference.is_some() { 19 } else if of.interaction.is_some() { 20 } else { 0 },
        "channel_id": of.channel, "author": user(&author), "content": of.content, "timestamp": time(of.at),
        "edited_timestamp": of.edited_at.map(time), "tts": false, "mention_everyone": false,
        "mentions": state.users.iter().filter(mentioned).map(user).collect::<Vec<_>>(),
        "mention_roles": state.roles.iter().filter(|r| of.content.contains(&format!("<@&{}>", r.id)))
            .map(|r| r.id.clone()).collect::<Vec<_>>(),
        "attachments": of.attachments.iter().map(|a| attachment(state, of, a)).collect::<Vec<_>>(),
        "embeds": of.embeds.iter().map(|e| embed(state, of, e)).collect::<Vec<_>>(), "pinned": false,
        "flags": of.flags, "components": of.components,
    });
    if let Some(nonce) = &of.nonce {
        value["nonce"] = nonce.clone();
    }
    if let Some(thread) = of.thread.as_deref().and_then(|t| state.find_channel(t)) {
        value["thread"] = channel(state, thread);
    }
    if let Some(reference) = &of.reference {
        value["message_reference"] =
            json!({"type": 0, "message_id": reference, "channel_id": of.channel, "guild_id": state.guild});
        value["referenced_message"] = state.message(reference).map_or(Value::Null, |m| {
            let flat = Message { reference: None, ..m.clone() };
            message(state, &flat)
        });
    }
    if let Some(id) = &of.interaction {
        value["application_id"] = json!(state.application);
        value["webhook_id"] = json!(state.application);
        if let Some(interaction) = state.interactions.iter().find(|i| i.id == *id) {
            let by = user(&state.user(&interaction.user));
            let owners = json!({"0": state.guild});
            let mut metadata = json!({
                "id": id, "type": interaction.kind, "user": by, "authorizing_integration_owners": owners,
            });
            match interaction.kind {
                3 => metadata["interacted_message_id"] = json!(interaction.message),
                5 => {
                    let first = json!({
                        "id": id, "type": 2, "user": by, "authorizing_integration_owners": owners,
                    });
                    metadata["triggering_interaction_metadata"] = first;
                }
                _ => {}
            }
            value["interaction_metadata"] = metadata;
        }
    }
    value
}

/// An embed as it is stored: with its type, and with addresses in place of `attachment://`.
fn embed(state: &State, of: &Message, embed: &Value) -> Value {
    let mut value = embed.clone();
    value["type"] = json!("rich");
    for key in ["image", "thumbnail"] {
        let Some(name) = value[key]["url"].as_str().and_then(|u| u.strip_prefix("attachment://")) else { continue };
        if let Some(file) = of.attachments.iter().find(|a| a.name == name) {
            let file = attachment(state, of, file);
            value[key] = json!({"url": file["url"], "proxy_url": file["url"], "width": 0, "height": 0});
        }
    }
    if let Some(map) = value.as_object_mut() {
        map.retain(|_, v| !v.is_null());
    }
    value
}

/// The rest of an interaction around its data (page "Receiving and Responding", Interaction Structure).
pub fn interaction(state: &State, of: &Interaction, by: &User, channel_of: &Channel, data: Value) -> Value {
    let direct = channel_of.kind == 1;
    let mut value = json!({
        "id": of.id, "application_id": state.application, "type": of.kind, "data": data,
        "channel": channel(state, channel_of), "channel_id": channel_of.id, "token": of.token, "version": 1,
        "app_permissions": app_permissions(state, channel_of), "locale": "en-GB", "entitlements": [],
        "context": u64::from(direct), "attachment_size_limit": super::files::LARGEST_FILE,
        "authorizing_integration_owners": {"0": if direct { "0" } else { &state.guild }},
    });
    if direct {
        value["user"] = user(by);
    } else {
        let mut member = member(state, by);
        member["permissions"] = json!(state.permissions(by).to_string());
        value["member"] = member;
        value["guild_id"] = json!(state.guild);
        value["guild"] = json!({"id": state.guild, "locale": "en-US", "features": []});
        value["guild_locale"] = json!("en-US");
    }
    if let Some(on) = of.message.as_deref().and_then(|m| state.message(m)) {
        value["message"] = message(state, on);
    }
    value
}

fn app_permissions(state: &State, channel: &Channel) -> String {
    let all = super::world::PERMISSIONS.iter().fold(0, |sum, p| sum | p.1);
    (state.bot_permissions(channel) & all).to_string()
}

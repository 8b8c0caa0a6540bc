//! Proves the config: the token, the guild, the channel, and each permission that is needed there.

use serde_json::Value;
use serenity::http::Route;

use super::rest::{Failed, code};
use super::{Bot, channel_id, commands, id_in, nonzero};
use crate::chat::Proof;

/// What the bot needs in its channel, and for what.
pub(super) const NEEDED: [(u64, &str, &str); 7] = [
    (1 << 10, "View Channel", "see the channel at all"),
    (1 << 11, "Send Messages", "post cards"),
    (1 << 14, "Embed Links", "show cards as such"),
    (1 << 15, "Attach Files", "charts, exports, and what does not fit a card"),
    (1 << 16, "Read Message History", "reply to a card"),
    (1 << 35, "Create Public Threads", "keep the detail of an incident out of the channel"),
    (1 << 38, "Send Messages in Threads", "say it there"),
];
const ADMINISTRATOR: u64 = 1 << 3;

/// All that is needed, as bits.
fn needed() -> u64 {
    NEEDED.iter().map(|(bit, ..)| bit).sum()
}

/// The address at which an admin of the guild lets the bot in.
fn invite(application: u64, guild: u64) -> String {
    format!(
        "https://discord.com/oauth2/authorize?client_id={application}&scope=bot+applications.commands&permissions={}\
         &guild_id={guild}",
        needed()
    )
}

fn proof(what: &str, found: Result<String, String>) -> Proof {
    Proof { what: format!("discord: {what}"), found }
}

/// Asks Discord about everything that the config says.
pub(super) async fn check(bot: &Bot) -> Vec<Proof> {
    let words = |tried: &str, e: &Failed| e.chat(tried, "to be in the guild").why;
    let mut proofs = Vec::new();
    let me = match bot.rest.get(Route::UserMe).await {
        Ok(me) => me,
        Err(failed) => return vec![proof("token", Err(words("looking the bot up", &failed)))],
    };
    let name = me.get("username").and_then(Value::as_str).unwrap_or("a bot without a name");
    proofs.push(proof("token", Ok(format!("is that of {name}"))));
    let application = bot.rest.get(Route::Oauth2ApplicationCurrent).await;
    let application_id = application.as_ref().ok().and_then(|a| id_in(a, "id")).or(id_in(&me, "id")).unwrap_or(0);
    let invite = invite(application_id, bot.options.guild);
    proofs.push(proof(
        "application",
        match &application {
            Ok(a) if a.get("bot_require_code_grant").and_then(Value::as_bool) == Some(true) => {
                Err("\"Requires OAuth2 Code Grant\" is on, so nobody can invite it: switch it off under Bot".to_owned())
            }
            Ok(_) => Ok(format!("{application_id}; invite it with {invite}")),
            Err(failed) => Err(words("looking the application up", failed)),
        },
    ));
    let guild_id = nonzero(bot.options.guild).into();
    let guild = match bot.rest.get(Route::Guild { guild_id }).await {
        Ok(guild) => guild,
        Err(failed) => {
            let why = match failed.code() {
                code::GUILD | code::ACCESS => format!("the bot is not in that guild: invite it with {invite}"),
                _ => words("looking the guild up", &failed),
            };
            proofs.push(proof("guild", Err(why)));
            return proofs;
        }
    };
    let guild_name = guild.get("name").and_then(Value::as_str).unwrap_or("without a name").to_owned();
    proofs.push(proof("guild", Ok(guild_name)));
    let channel = bot.rest.get(Route::Channel { channel_id: channel_id(bot.options.channel) }).await;
    let channel = match channel.map(|channel| (place(&channel, bot.options.guild), channel)) {
        Ok((found, channel)) => {
            let usable = found.is_ok();
            proofs.push(proof("channel", found));
            usable.then_some(channel)
        }
        Err(failed) => {
            let why = match failed.code() {
                code::ACCESS => {
                    "the bot may not see it: give it View Channel there (Edit Channel, Permissions)".to_owned()
                }
                _ => words("looking the channel up", &failed),
            };
            proofs.push(proof("channel", Err(why)));
            None
        }
    };
    if let Some(channel) = channel {
        proofs.extend(permissions(bot, &guild, &channel, id_in(&me, "id").unwrap_or(0)).await);
    }
    proofs.push(proof("commands", registered(bot, application_id, &invite).await));
    proofs
}

/// Is it a channel that cards can be posted in?
fn place(channel: &Value, guild: u64) -> Result<String, String> {
    if id_in(channel, "guild_id") != Some(guild) {
        return Err("it is in another guild than `guild` says".to_owned());
    }
    let name = channel.get("name").and_then(Value::as_str).unwrap_or("without a name");
    match channel.get("type").and_then(Value::as_u64) {
        // Text, and announcements.
        Some(0 | 5) => Ok(format!("#{name}")),
        _ => Err(format!("#{name} is no text channel: threads can be started in those only")),
    }
}

async fn permissions(bot: &Bot, guild: &Value, channel: &Value, me: u64) -> Vec<Proof> {
    let (guild_id, user_id) = (nonzero(bot.options.guild).into(), nonzero(me).into());
    let member = match bot.rest.get(Route::GuildMember { guild_id, user_id }).await {
        Ok(member) => member,
        Err(failed) => {
            let why = failed.chat("looking up what the bot may do", "to be in the guild").why;
            return vec![proof("permissions", Err(why))];
        }
    };
    let has = effective(guild, channel, &member, me);
    NEEDED
        .iter()
        .map(|(bit, name, what_for)| {
            let found = if has & bit == *bit {
                Ok("granted".to_owned())
            } else {
                Err(format!("missing, needed to {what_for}: grant it to the bot's role or in the channel"))
            };
            proof(&format!("permission {name}"), found)
        })
        .collect()
}

/// What a member may do in a channel. Documentation: "Permissions", overwrites.
fn effective(guild: &Value, channel: &Value, member: &Value, me: u64) -> u64 {
    let guild_id = id_in(guild, "id").unwrap_or(0);
    if id_in(guild, "owner_id") == Some(me) {
        return u64::MAX;
    }
    let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let mine: Vec<u64> = list(member, "roles").iter().filter_map(|r| r.as_str()?.parse().ok()).collect();
    let is_mine = |id: Option<u64>| id.is_some_and(|id| mine.contains(&id));
    let roles = list(guild, "roles");
    let of_roles = roles.iter().filter(|r| id_in(r, "id") == Some(guild_id) || is_mine(id_in(r, "id")));
    let mut has = of_roles.filter_map(|r| id_in(r, "permissions")).fold(0, |all, bits| all | bits);
    if has & ADMINISTRATOR != 0 {
        return u64::MAX;
    }
    // Everybody's first, then all of one's roles together, then one's own: later ones win.
    let overwrites = list(channel, "permission_overwrites");
    let kind = |o: &Value| o.get("type").and_then(|t| t.as_u64().or_else(|| t.as_str()?.parse().ok()));
    let (everybody, roles, own): (Vec<_>, Vec<_>, Vec<_>) = (
        overwrites.iter().filter(|o| kind(o) == Some(0) && id_in(o, "id") == Some(guild_id)).collect(),
        overwrites
            .iter()
            .filter(|o| kind(o) == Some(0) && id_in(o, "id") != Some(guild_id) && is_mine(id_in(o, "id")))
            .collect(),
        overwrites.iter().filter(|o| kind(o) == Some(1) && id_in(o, "id") == Some(me)).collect(),
    );
    for group in [everybody, roles, own] {
        let all = |key: &str| group.iter().filter_map(|o| id_in(o, key)).fold(0, |all, bits| all | bits);
        has = (has & !all("deny")) | all("allow");
    }
    // Who does not see a channel can do nothing in it.
    if has & (1 << 10) == 0 { 0 } else { has }
}

async fn registered(bot: &Bot, application: u64, invite: &str) -> Result<String, String> {
    let route = Route::GuildCommands {
        application_id: nonzero(application).into(),
        guild_id: nonzero(bot.options.guild).into(),
    };
    match bot.rest.get(route).await {
        Ok(theirs) if commands::same(&theirs, &commands::registration()) => Ok("registered".to_owned()),
        Ok(_) => Ok("will be registered when the daemon connects".to_owned()),
        Err(failed) if failed.code() == code::ACCESS => {
            Err(format!("the bot was invited without the scope applications.commands: invite it again with {invite}"))
        }
        Err(failed) => Err(failed.chat("looking the commands up", "the scope applications.commands").why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_invitation_asks_for_exactly_what_is_needed() {
        assert_eq!(needed(), 309_237_763_072);
        assert_eq!(
            invite(7, 8),
            "https://discord.com/oauth2/authorize?client_id=7&scope=bot+applications.commands\
             &permissions=309237763072&guild_id=8"
        );
    }

    #[test]
    fn overwrites_count_in_their_order() {
        let guild = |everyone: u64, bot: u64| {
            json!({ "id": "1", "owner_id": "9", "roles": [
                { "id": "1", "permissions": everyone.to_string() }, { "id": "5", "permissions": bot.to_string() },
                { "id": "6", "permissions": ADMINISTRATOR.to_string() },
            ] })
        };
        let channel = |overwrites: Value| json!({ "permission_overwrites": overwrites });
        let over = |id: &str, kind: u64, allow: u64, deny: u64| json!({ "id": id, "type": kind, "allow": allow.to_string(), "deny": deny.to_string() });
        let member = json!({ "roles": ["5"] });
        let (see, send) = (1 << 10, 1 << 11);
        let has = |guild: Value, overwrites: Value, me| effective(&guild, &channel(overwrites), &member, me);
        assert_eq!(has(guild(see, send), json!([]), 2), see | send);
        assert_eq!(has(guild(see | send, 0), json!([over("1", 0, 0, send)]), 2), see);
        assert_eq!(has(guild(see, 0), json!([over("1", 0, 0, send), over("5", 0, send, 0)]), 2), see | send);
        assert_eq!(has(guild(see | send, 0), json!([over("5", 0, send, 0), over("2", 1, 0, send)]), 2), see);
        assert_eq!(has(guild(send, 0), json!([]), 2), 0, "what is not seen cannot be written in");
        assert_eq!(has(guild(see, 0), json!([over("7", 0, send, 0)]), 2), see, "another's role");
        assert_eq!(has(guild(0, 0), json!([]), 9), u64::MAX, "the owner");
        let admin = json!({ "roles": ["6"] });
        assert_eq!(effective(&guild(0, 0), &channel(json!([over("1", 0, 0, see)])), &admin, 2), u64::MAX);
    }

    #[test]
    fn cards_are_posted_in_text_channels_of_the_guild() {
        assert_eq!(place(&json!({ "guild_id": "8", "type": 0, "name": "ops" }), 8), Ok("#ops".to_owned()));
        assert!(place(&json!({ "guild_id": "8", "type": 15, "name": "forum" }), 8).is_err());
        assert!(place(&json!({ "guild_id": "9", "type": 0, "name": "ops" }), 8).is_err());
    }
}

//! Who and what there is: `auth.test`, `conversations.*`, `users.*`, `usergroups.*` (pages of the methods).

use serde_json::{Value, json};

use super::args::{Answer, Args, Refusal, refuse};
use super::payload;
use super::state::{ANA, BOT, BOT_ID, Channel, State, TEAM};

pub(super) fn auth_test(_: &mut State, _: &Args) -> Answer {
    Ok(json!({
        "ok": true, "url": "https://fake.slack.com/", "team": "Fake", "user": "suture", "team_id": TEAM,
        "user_id": BOT, "bot_id": BOT_ID, "is_enterprise_install": false,
    }))
}

/// A channel that the bot can see, be it in it or not.
fn visible<'s>(state: &'s State, args: &Args) -> Result<&'s Channel, Refusal> {
    let id = args.required("channel")?;
    let channel = state.channel(&id).ok_or_else(|| refuse("channel_not_found"))?;
    if channel.private && !channel.members.contains(BOT) {
        return Err(refuse("channel_not_found"));
    }
    Ok(channel)
}

pub(super) fn info(state: &mut State, args: &Args) -> Answer {
    let channel = visible(state, args)?;
    let mut shown = json!({
        "id": channel.id, "created": 1_700_000_000, "is_archived": channel.archived, "is_im": channel.direct,
        "is_org_shared": false,
    });
    if channel.direct {
        shown["user"] = json!(channel.members.iter().find(|member| *member != BOT));
    } else {
        shown["name"] = json!(channel.name);
        shown["name_normalized"] = json!(channel.name);
        shown["is_channel"] = json!(true);
        shown["is_group"] = json!(false);
        shown["is_mpim"] = json!(false);
        shown["is_private"] = json!(channel.private);
        shown["is_member"] = json!(channel.members.contains(BOT));
        shown["is_general"] = json!(false);
        shown["creator"] = json!(ANA);
        for text in ["topic", "purpose"] {
            shown[text] = json!({"value": "", "creator": "", "last_set": 0});
        }
    }
    if args.flag("include_num_members") {
        shown["num_members"] = json!(channel.members.len());
    }
    Ok(json!({"ok": true, "channel": shown}))
}

pub(super) fn members(state: &mut State, args: &Args) -> Answer {
    let channel = visible(state, args)?;
    Ok(json!({"ok": true, "members": channel.members, "response_metadata": {"next_cursor": ""}}))
}

/// A thread, the root first, in pages.
pub(super) fn replies(state: &mut State, args: &Args) -> Answer {
    let channel = visible(state, args)?;
    if !channel.members.contains(BOT) {
        return Err(refuse("not_in_channel"));
    }
    let ts = args.required("ts")?;
    let id = channel.id.clone();
    state.find(&id, &ts).ok_or_else(|| refuse("thread_not_found"))?;
    let oldest = args.text("oldest").unwrap_or_default();
    let in_thread = state.messages.iter().filter(|message| {
        let here = message.channel == id && message.only_for.is_none();
        here && (message.ts == ts || (message.thread_ts.as_ref() == Some(&ts) && message.ts > oldest))
    });
    let all: Vec<Value> = in_thread.map(|message| payload::message(state, message)).collect();
    let from = args.number("cursor").unwrap_or(0).min(all.len());
    let to = (from + args.number("limit").unwrap_or(1000).max(1)).min(all.len());
    let more = to < all.len();
    let cursor = if more { to.to_string() } else { String::new() };
    Ok(json!({
        "ok": true, "messages": all[from..to], "has_more": more, "response_metadata": {"next_cursor": cursor},
    }))
}

pub(super) fn user(state: &mut State, args: &Args) -> Answer {
    let id = args.required("user")?;
    let user = state.user(&id).ok_or_else(|| refuse("user_not_found"))?;
    Ok(json!({"ok": true, "user": {
        "id": user.id, "team_id": TEAM, "name": user.name, "deleted": false, "real_name": user.name,
        "tz": "Europe/London", "tz_label": "Greenwich Mean Time", "tz_offset": 0,
        "profile": {"real_name": user.name, "display_name": user.name, "team": TEAM},
        "is_admin": false, "is_owner": false, "is_restricted": false, "is_ultra_restricted": false,
        "is_bot": user.id == BOT, "is_app_user": false, "updated": 1_700_000_000,
    }}))
}

/// Page "usergroups.list": members and their number only when asked for.
pub(super) fn groups(state: &mut State, args: &Args) -> Answer {
    let groups = state.groups.iter().map(|group| {
        let mut shown = json!({
            "id": group.id, "team_id": TEAM, "is_usergroup": true, "is_subteam": true, "name": group.handle,
            "description": "", "handle": group.handle, "is_external": false, "date_create": 1_700_000_000,
            "date_update": 1_700_000_000, "date_delete": 0, "auto_type": null, "created_by": ANA, "updated_by": ANA,
            "deleted_by": null, "prefs": {"channels": [], "groups": []},
        });
        if args.flag("include_count") {
            shown["user_count"] = json!(group.users.len());
        }
        if args.flag("include_users") {
            shown["users"] = json!(group.users);
        }
        shown
    });
    Ok(json!({"ok": true, "usergroups": groups.collect::<Vec<_>>()}))
}

pub(super) fn group_users(state: &mut State, args: &Args) -> Answer {
    let id = args.required("usergroup")?;
    let group = state.groups.iter().find(|group| group.id == id).ok_or_else(|| refuse("no_such_subteam"))?;
    Ok(json!({"ok": true, "users": group.users}))
}

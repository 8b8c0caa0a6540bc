//! What Slack sends: the payloads of commands, presses, forms and events (pages "Slash commands", "block_actions
//! payload", "view_submission payload", "Events API").

use serde_json::{Value, json};

use super::state::{APP, BOT, BOT_ID, Message, State, TEAM};

/// The old verification token that is still in every payload, and that nobody may rely upon.
const TOKEN: &str = "legacy-verification-token";

fn person(state: &State, user: &str) -> Value {
    let name = state.user(user).map_or("nobody", |user| user.name.as_str());
    json!({"id": user, "username": name, "name": name, "team_id": TEAM})
}

/// Which channel, as payloads name it.
pub(super) fn channel(state: &State, id: &str) -> Value {
    json!({"id": id, "name": channel_name(state, id)})
}

fn channel_name(state: &State, id: &str) -> String {
    match state.channel(id) {
        Some(channel) if channel.private && !channel.direct => "privategroup".to_owned(),
        Some(channel) => channel.name.clone(),
        None => String::new(),
    }
}

/// A message as `conversations.replies`, `chat.postMessage` and `block_actions` show it.
pub(super) fn message(state: &State, message: &Message) -> Value {
    let mut shown =
        json!({"type": "message", "user": message.user, "text": message.text, "ts": message.ts, "team": TEAM});
    if message.user == BOT {
        shown["bot_id"] = json!(BOT_ID);
        shown["app_id"] = json!(APP);
    }
    if message.blocks.as_array().is_some_and(|blocks| !blocks.is_empty()) {
        shown["blocks"] = message.blocks.clone();
    }
    if !message.files.is_empty() {
        let files = state.uploads.iter().filter(|upload| message.files.contains(&upload.file.id));
        shown["files"] = files.map(|upload| super::files::describe(state, upload)).collect();
    }
    if message.edits > 0 {
        shown["edited"] = json!({"user": message.user, "ts": message.ts});
    }
    let replies =
        state.messages.iter().filter(|m| m.only_for.is_none() && m.thread_ts.as_ref() == Some(&message.ts)).count();
    if replies > 0 {
        shown["thread_ts"] = json!(message.ts);
        shown["reply_count"] = json!(replies);
    }
    if let Some(thread) = &message.thread_ts {
        shown["thread_ts"] = json!(thread);
        shown["parent_user_id"] =
            json!(state.find(&message.channel, thread).map(|index| state.messages[index].user.clone()));
    }
    shown
}

/// `/suture TEXT`.
pub(super) fn command(state: &mut State, user: &str, channel: &str, text: &str) -> Value {
    let response_url = state.response_url(user, channel, None);
    let trigger = state.trigger(user);
    let name = state.user(user).map_or_else(String::new, |user| user.name.clone());
    json!({
        "token": TOKEN, "team_id": TEAM, "team_domain": "fake", "channel_id": channel,
        "channel_name": channel_name(state, channel), "user_id": user, "user_name": name, "command": "/suture",
        "text": text, "api_app_id": APP, "is_enterprise_install": "false", "response_url": response_url,
        "trigger_id": trigger,
    })
}

/// A press on an element of a message.
pub(super) fn press(state: &mut State, user: &str, message: &Message, action: Value) -> Value {
    let response_url = state.response_url(user, &message.channel, Some(message));
    let trigger = state.trigger(user);
    let ephemeral = message.only_for.is_some();
    let mut container = json!({
        "type": "message", "message_ts": message.ts, "channel_id": message.channel, "is_ephemeral": ephemeral,
    });
    if let Some(thread) = &message.thread_ts {
        container["thread_ts"] = json!(thread);
    }
    let mut payload = json!({
        "type": "block_actions", "user": person(state, user), "api_app_id": APP, "token": TOKEN,
        "container": container, "trigger_id": trigger, "team": {"id": TEAM, "domain": "fake"}, "enterprise": null,
        "is_enterprise_install": false, "channel": channel(state, &message.channel), "state": {"values": {}},
        "response_url": response_url, "actions": [action],
    });
    // Page "block_actions payload": of an ephemeral message the content is not sent along.
    if !ephemeral {
        payload["message"] = self::message(state, message);
    }
    payload
}

/// A form that was sent off.
pub(super) fn submission(state: &mut State, user: &str, view: Value) -> Value {
    json!({
        "type": "view_submission", "team": {"id": TEAM, "domain": "fake"}, "user": person(state, user),
        "api_app_id": APP, "token": TOKEN, "trigger_id": state.trigger(user), "view": view, "response_urls": [],
        "is_enterprise_install": false, "enterprise": null,
    })
}

/// A form that was closed without being sent off.
pub(super) fn closed(state: &State, user: &str, view: Value) -> Value {
    json!({
        "type": "view_closed", "team": {"id": TEAM, "domain": "fake"}, "user": person(state, user), "api_app_id": APP,
        "token": TOKEN, "view": view, "is_cleared": false, "is_enterprise_install": false, "enterprise": null,
    })
}

/// The envelope of the Events API.
pub(super) fn event(state: &mut State, event: Value) -> Value {
    let id = format!("Ev{}", state.id('E'));
    json!({
        "token": TOKEN, "team_id": TEAM, "context_team_id": TEAM, "context_enterprise_id": null, "api_app_id": APP,
        "event": event, "type": "event_callback", "event_id": id, "event_time": state.seconds(),
        "authorizations": [{
            "enterprise_id": null, "team_id": TEAM, "user_id": BOT, "is_bot": true, "is_enterprise_install": false,
        }],
        "is_ext_shared_channel": false, "event_context": format!("4-{id}"),
    })
}

//! Events to the bot: numbered per session, kept for a replay, and filtered by the intents it asked for (pages
//! "Gateway", Gateway Intents, and "Gateway Events").

use serde_json::{Value, json};

use super::message::Message;
use super::render;
use super::world::{Channel, Out, Session, State};

pub const GUILDS: u64 = 1 << 0;
pub const GUILD_MEMBERS: u64 = 1 << 1;
pub const GUILD_MESSAGES: u64 = 1 << 9;
pub const DIRECT_MESSAGES: u64 = 1 << 12;
pub const MESSAGE_CONTENT: u64 = 1 << 15;

/// Sends an event to every session that asked for it; 0 is sent to all.
pub fn send(state: &mut State, intents: u64, name: &str, data: &Value) {
    for session in &mut state.sessions {
        if intents == 0 || session.intents & intents != 0 {
            push(session, name, data.clone());
        }
    }
}

/// Numbers an event of a session, keeps it, and sends it when there is a connection.
pub fn push(session: &mut Session, name: &str, data: Value) {
    session.sequence += 1;
    let event = json!({"op": 0, "t": name, "s": session.sequence, "d": data});
    session.events.push((session.sequence, event.clone()));
    if let Some(out) = &session.out {
        // A connection that has just gone: the event waits for the replay.
        let _ = out.send(Out::Send(event));
    }
}

/// MESSAGE_CREATE or MESSAGE_UPDATE of a message.
pub fn message(state: &mut State, name: &str, id: &str) {
    let Some(message) = state.message(id) else { return };
    let Some(channel) = state.find_channel(&message.channel) else { return };
    let author = state.user(&message.author);
    let direct = channel.kind == 1;
    let mut data = render::message(state, message);
    if !direct {
        data["guild_id"] = json!(state.guild);
        data["member"] = render::partial_member(state, &author);
    }
    if name == "MESSAGE_CREATE" {
        state.events.insert(id.to_owned(), data.clone());
    }
    redelivered(state, name, &data);
}

/// Sends a message's event, without its content to who may not read it (page "Gateway", Message Content Intent):
/// direct messages, those that mention the bot and its own are always whole.
pub fn redelivered(state: &mut State, name: &str, data: &Value) {
    let direct = data.get("guild_id").is_none();
    let mentioned = data["mentions"].as_array().is_some_and(|m| m.iter().any(|u| u["id"] == *state.bot));
    let whole = direct || mentioned || data["author"]["id"] == *state.bot;
    let needed = if direct { DIRECT_MESSAGES } else { GUILD_MESSAGES };
    let mut blank = data.clone();
    blank["content"] = json!("");
    for key in ["embeds", "attachments", "components"] {
        blank[key] = json!([]);
    }
    for session in state.sessions.iter_mut().filter(|s| s.intents & needed != 0) {
        let whole = whole || session.intents & MESSAGE_CONTENT != 0;
        push(session, name, if whole { data.clone() } else { blank.clone() });
    }
}

pub fn deleted(state: &mut State, message: &Message) {
    let direct = state.find_channel(&message.channel).is_some_and(|c| c.kind == 1);
    let mut data = json!({"id": message.id, "channel_id": message.channel});
    if !direct {
        data["guild_id"] = json!(state.guild);
    }
    send(state, if direct { DIRECT_MESSAGES } else { GUILD_MESSAGES }, "MESSAGE_DELETE", &data);
}

pub fn thread(state: &mut State, thread: &Channel) {
    let mut data = render::channel(state, thread);
    data["newly_created"] = json!(true);
    send(state, GUILDS, "THREAD_CREATE", &data);
}

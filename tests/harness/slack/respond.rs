//! Answers that need no token: the ack of a command, and `response_url` (page "Handling user interaction", "Message
//! responses").

use std::time::Duration;

use serde_json::{Value, json};

use super::args::{Args, Refusal, refuse};
use super::chat::{self, Content, add, blank};
use super::state::{BOT, Message, ReplyTo, State};
use super::transcript;

/// Page "Handling user interaction": five times within half an hour.
const USES: usize = 5;
/// See [`USES`].
const OPEN_FOR: Duration = Duration::from_secs(30 * 60);

/// A post to a `response_url`.
pub(super) fn posted(state: &mut State, id: &str, body: &Value) -> Result<(), Refusal> {
    let Some(body) = body.as_object().filter(|body| !body.is_empty()) else { return Err(refuse("invalid_payload")) };
    let now = state.now();
    let reply = state.replies.get_mut(id).ok_or_else(|| refuse("expired_url"))?;
    if now.duration_since(reply.at) > OPEN_FOR {
        return Err(refuse("expired_url"));
    }
    if reply.uses >= USES {
        return Err(refuse("used_url"));
    }
    reply.uses += 1;
    let reply = reply.clone();
    answer(state, id, &reply, &Args::json(&Value::Object(body.clone()).to_string()).unwrap_or_default())
}

/// The payload in the ack of a command (page "Slash commands"): a message, if it says anything.
pub(super) fn to_command(state: &mut State, url: &str, payload: &Value) {
    let args = Args::json(&payload.to_string()).unwrap_or_default();
    let Some(reply) = reply_of(state, url).filter(|_| ["text", "blocks"].iter().any(|key| args.0.contains_key(*key)))
    else {
        return;
    };
    if let Err(refusal) = answer(state, &reply.0, &reply.1, &args) {
        state.reject(format!("ack of a command: {}: {}", refusal.error, refusal.details.join("; ")));
    }
}

fn reply_of(state: &State, url: &str) -> Option<(String, ReplyTo)> {
    let id = url.rsplit('/').nth(1)?;
    Some((id.to_owned(), state.replies.get(id)?.clone()))
}

fn answer(state: &mut State, id: &str, reply: &ReplyTo, args: &Args) -> Result<(), Refusal> {
    let original = reply.original.as_ref().and_then(|ts| {
        let there = |m: &Message| m.channel == reply.channel && m.ts == *ts && m.user == BOT;
        state.messages.iter().position(there)
    });
    if args.flag("delete_original") {
        let index = original.ok_or_else(|| refuse("message_not_found"))?;
        let message = state.messages.remove(index);
        transcript::gone(state, &message);
        return Ok(());
    }
    let content = chat::content(state, args, 40_000, false)?;
    if content.is_empty() {
        return Err(refuse("no_text"));
    }
    if args.flag("replace_original") {
        let index = original.ok_or_else(|| refuse("message_not_found"))?;
        chat::change(state, index, content);
        return Ok(());
    }
    let Content { text, blocks } = content;
    let seen_by_all = args.text("response_type").as_deref() == Some("in_channel");
    let index = add(
        state,
        Message {
            // Only where it is asked for: an answer to a button in a thread lands in the channel otherwise.
            thread_ts: args.text("thread_ts"),
            text: text.unwrap_or_default(),
            blocks: blocks.unwrap_or_else(|| json!([])),
            only_for: (!seen_by_all).then(|| reply.user.clone()),
            ..blank(&reply.channel, BOT)
        },
    );
    let ts = state.messages[index].ts.clone();
    if let Some(reply) = state.replies.get_mut(id) {
        reply.original.get_or_insert(ts);
    }
    Ok(())
}

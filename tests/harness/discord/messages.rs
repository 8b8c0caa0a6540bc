//! Channels' messages and threads over REST (pages "Message" and "Channel").

use std::time::SystemTime;

use serde_json::{Value, json};

use super::check;
use super::dispatch;
use super::error::Refusal;
use super::files::{self, Upload};
use super::message::{Attachment, Message};
use super::render;
use super::rest::{Answer, Request};
use super::transcript::Line;
use super::world::{Channel, State, bit};

/// What is under /channels/{id}.
pub fn channels(state: &mut State, request: &Request, channel: &str, rest: &[&str]) -> Answer {
    let channel = state.find_channel(channel).cloned().ok_or_else(|| Refusal::unknown(10003, "Channel"))?;
    needs(state, &channel, &["VIEW_CHANNEL"])?;
    match (request.method.as_str(), rest) {
        ("GET", []) => Ok((200, render::channel(state, &channel))),
        ("PATCH", []) if channel.kind == 11 => {
            let archived = request.body["archived"].as_bool().unwrap_or(channel.archived);
            let name = request.body["name"].as_str().unwrap_or(&channel.name).to_owned();
            let of = state.channels.iter_mut().find(|c| c.id == channel.id);
            let changed = of.map(|c| {
                (c.archived, c.name) = (archived, name);
                c.clone()
            });
            Ok((200, changed.map(|c| render::channel(state, &c)).unwrap_or_default()))
        }
        ("POST", ["typing"]) => Ok((204, Value::Null)),
        // Joining or leaving a thread.
        ("PUT" | "DELETE", ["thread-members", "@me"]) if channel.kind == 11 => Ok((204, Value::Null)),
        ("GET", ["messages"]) => list(state, request, &channel),
        ("POST", ["messages"]) => create(state, request, &channel),
        ("GET", ["messages", id]) => {
            needs(state, &channel, &["READ_MESSAGE_HISTORY"])?;
            let message = here(state, &channel, id)?;
            Ok((200, render::message(state, &message)))
        }
        ("PATCH", ["messages", _]) if state.weather.no_old_edits => Err(Refusal::too_many_edits()),
        ("PATCH", ["messages", id]) => {
            let message = here(state, &channel, id)?;
            edit(state, request, "", &message)
        }
        ("DELETE", ["messages", id]) => {
            let message = here(state, &channel, id)?;
            if message.author != state.bot {
                needs(state, &channel, &["MANAGE_MESSAGES"])?;
            }
            delete(state, &message);
            Ok((204, Value::Null))
        }
        ("POST", ["messages", id, "threads"]) => start_thread(state, request, &channel, id),
        ("GET" | "POST" | "PATCH" | "DELETE" | "PUT", _) => Err(Refusal::not_found()),
        _ => Err(Refusal::not_allowed()),
    }
}

/// Without VIEW_CHANNEL it is "Missing Access", otherwise "Missing Permissions".
fn needs(state: &State, channel: &Channel, names: &[&str]) -> Result<(), Refusal> {
    let mine = state.bot_permissions(channel);
    if mine & bit("VIEW_CHANNEL") == 0 {
        return Err(Refusal::missing_access());
    }
    match names.iter().all(|n| mine & bit(n) != 0) {
        true => Ok(()),
        false => Err(Refusal::missing_permissions()),
    }
}

/// A message of this channel that the bot can see by its token: ephemeral ones it cannot.
fn here(state: &State, channel: &Channel, id: &str) -> Result<Message, Refusal> {
    let found = state.message(id).filter(|m| m.channel == channel.id && m.only.is_none());
    found.cloned().ok_or_else(|| Refusal::unknown(10008, "Message"))
}

fn list(state: &State, request: &Request, channel: &Channel) -> Answer {
    if needs(state, channel, &["READ_MESSAGE_HISTORY"]).is_err() {
        return Ok((200, json!([])));
    }
    let limit = request.query("limit").map_or(Ok(50), |l| l.parse::<usize>()).unwrap_or(0);
    if !(1..=100).contains(&limit) {
        let mut form = super::error::Form::default();
        form.fault("limit", "NUMBER_TYPE_MAX", "int value should be between 1 and 100.");
        form.finish()?;
    }
    let (after, before) = (request.query("after"), request.query("before"));
    let number = |id: &str| id.parse::<u64>().unwrap_or(0);
    let mut found: Vec<_> = state
        .messages
        .iter()
        .filter(|m| m.channel == channel.id && !m.deleted && m.only.is_none())
        .filter(|m| after.as_deref().is_none_or(|a| number(&m.id) > number(a)))
        .filter(|m| before.as_deref().is_none_or(|b| number(&m.id) < number(b)))
        .collect();
    // `after` gives the oldest of them, everything else the newest; both newest first.
    if after.is_some() {
        found.truncate(limit);
    }
    let newest = found.iter().rev().take(limit).map(|m| render::message(state, m)).collect::<Vec<_>>();
    Ok((200, json!(newest)))
}

fn create(state: &mut State, request: &Request, channel: &Channel) -> Answer {
    let sending = if channel.kind == 11 { "SEND_MESSAGES_IN_THREADS" } else { "SEND_MESSAGES" };
    needs(state, channel, &[sending])?;
    let body = &request.body;
    let has = |key: &str| body[key].as_array().is_some_and(|l| !l.is_empty());
    if has("embeds") {
        needs(state, channel, &["EMBED_LINKS"])?;
    }
    if !request.files.is_empty() {
        needs(state, channel, &["ATTACH_FILES"])?;
    }
    if let Some(user) = &channel.recipient
        && state.user(user).closed
    {
        return Err(Refusal::cannot_message_user());
    }
    // The same nonce within the last minutes is the same message, when the bot asked for that (Create Message).
    let nonce = body.get("nonce").filter(|n| !n.is_null()).cloned();
    if body["enforce_nonce"] == true
        && let Some(first) = nonce.as_ref().and_then(|n| {
            state.messages.iter().find(|m| m.nonce.as_ref() == Some(n) && m.author == state.bot && !m.deleted)
        })
    {
        return Ok((200, render::message(state, first)));
    }
    let reference = body.get("message_reference").filter(|r| !r.is_null()).map(|r| check::text_of(&r["message_id"]));
    if let Some(id) = &reference {
        needs(state, channel, &["READ_MESSAGE_HISTORY"]).map_err(|_| Refusal::no_history())?;
        if here(state, channel, id).is_err() && body["message_reference"]["fail_if_not_exists"] != false {
            let mut form = super::error::Form::default();
            form.fault("message_reference", "MESSAGE_REFERENCE_UNKNOWN_MESSAGE", "Unknown message");
            form.finish()?;
        }
    }
    let draft =
        Draft { reference, nonce, flags: body["flags"].as_u64().unwrap_or(0) & (1 << 2 | 1 << 12), ..Draft::default() };
    let id = post(state, &channel.id, body, "", &request.files, draft)?;
    if let Some(of) = state.channels.iter_mut().find(|c| c.id == channel.id) {
        // Speaking in a thread opens it again.
        of.archived = false;
    }
    let message = state.message(&id).cloned().ok_or_else(|| Refusal::unknown(10008, "Message"))?;
    Ok((200, render::message(state, &message)))
}

/// What a new message has besides its body.
#[derive(Default)]
pub struct Draft {
    pub reference: Option<String>,
    pub nonce: Option<Value>,
    pub flags: u64,
    pub interaction: Option<String>,
    pub only: Option<String>,
}

/// Checks a body and adds the bot's message; its id.
pub fn post(
    state: &mut State,
    channel: &str,
    body: &Value,
    path: &str,
    files: &[Upload],
    draft: Draft,
) -> Result<String, Refusal> {
    let inner = if path.is_empty() { body } else { &body[path] };
    let attachments = files::attachments(state, inner, path, &[], files)?;
    let message = Message {
        id: state.id(),
        channel: channel.to_owned(),
        author: state.bot.clone(),
        content: String::new(),
        embeds: Vec::new(),
        components: Vec::new(),
        attachments,
        flags: draft.flags | if draft.only.is_some() { Message::EPHEMERAL } else { 0 },
        edits: 0,
        thread: None,
        reference: draft.reference,
        interaction: draft.interaction,
        only: draft.only,
        deleted: false,
        nonce: draft.nonce,
        at: SystemTime::now(),
        edited_at: None,
    };
    let message = written(state, message, body, path)?;
    let id = message.id.clone();
    state.log.push(Line::Posted(message.clone()));
    state.messages.push(message);
    if state.message(&id).is_some_and(|m| m.only.is_none()) {
        dispatch::message(state, "MESSAGE_CREATE", &id);
    }
    Ok(id)
}

/// Checks and takes over what a body says of content, embeds and components; what it does not name stays.
fn written(state: &mut State, mut message: Message, body: &Value, path: &str) -> Result<Message, Refusal> {
    let names: Vec<_> = message.attachments.iter().map(|a: &Attachment| a.name.clone()).collect();
    let inner = if path.is_empty() { body } else { &body[path] };
    check::message(inner, path, &names)?;
    for ping in check::pings(inner) {
        state.reject(format!(
            "would ping {ping} in #{}: {:?}",
            channel_name(state, &message.channel),
            inner["content"]
        ));
    }
    let list = |key: &str| inner.get(key).map(|v| v.as_array().cloned().unwrap_or_default());
    if let Some(content) = inner.get("content") {
        message.content = content.as_str().unwrap_or_default().trim().to_owned();
    }
    if let Some(embeds) = list("embeds") {
        message.embeds = embeds;
    }
    if let Some(components) = list("components") {
        message.components = components;
    }
    let empty = message.content.is_empty()
        && message.embeds.is_empty()
        && message.components.is_empty()
        && message.attachments.is_empty();
    if empty { Err(Refusal::empty_message()) } else { Ok(message) }
}

fn channel_name(state: &State, id: &str) -> String {
    state.find_channel(id).map(|c| c.name.clone()).unwrap_or_default()
}

/// Edits a message of the bot by a body, whoever asks; `path` is "data" for an interaction's answer.
pub fn edit(state: &mut State, request: &Request, path: &str, message: &Message) -> Answer {
    if message.author != state.bot {
        return Err(Refusal::others_message());
    }
    if state.find_channel(&message.channel).is_some_and(|c| c.archived) {
        return Err(Refusal::archived());
    }
    let body = if path.is_empty() { &request.body } else { &request.body[path] };
    let attachments = files::attachments(state, body, path, &message.attachments, &request.files)?;
    let mut draft = Message { attachments, ..message.clone() };
    let first = draft.flags & Message::LOADING != 0;
    draft.flags &= !Message::LOADING;
    let mut draft = written(state, draft, &request.body, path)?;
    if !first {
        draft.edits += 1;
        draft.edited_at = Some(SystemTime::now());
    }
    state.log.push(if first { Line::Posted(draft.clone()) } else { Line::Edited(draft.clone()) });
    if let Some(of) = state.message_mut(&message.id) {
        *of = draft;
    }
    if message.only.is_none() {
        dispatch::message(state, "MESSAGE_UPDATE", &message.id);
    }
    let now = state.message(&message.id).map(|m| render::message(state, m));
    Ok((200, now.unwrap_or_default()))
}

pub fn delete(state: &mut State, message: &Message) {
    if let Some(of) = state.message_mut(&message.id) {
        of.deleted = true;
    }
    state.log.push(Line::Deleted(message.id.clone()));
    if message.only.is_none() {
        dispatch::deleted(state, message);
    }
}

fn start_thread(state: &mut State, request: &Request, channel: &Channel, id: &str) -> Answer {
    needs(state, channel, &["CREATE_PUBLIC_THREADS"])?;
    let message = here(state, channel, id)?;
    check::thread(&request.body, channel)?;
    if message.thread.is_some() {
        return Err(Refusal::has_thread());
    }
    let thread = Channel {
        // A thread started on a message has that message's id.
        id: id.to_owned(),
        name: request.body["name"].as_str().unwrap_or_default().trim().to_owned(),
        kind: 11,
        recipient: None,
        parent: Some(channel.id.clone()),
        archived: false,
        auto_archive: request.body["auto_archive_duration"].as_u64().unwrap_or(1440),
    };
    state.channels.push(thread.clone());
    state.log.push(Line::Thread(thread.clone()));
    if let Some(of) = state.message_mut(id) {
        of.thread = Some(id.to_owned());
        of.flags |= Message::HAS_THREAD;
    }
    dispatch::thread(state, &thread);
    Ok((201, render::channel(state, &thread)))
}

//! `chat.*`: posting, editing, deleting (pages of the methods, and "Formatting message text").

use serde_json::{Value, json};

use super::args::{Answer, Args, Refusal, refuse, refuse_with};
use super::check::{Check, length};
use super::state::{BOT, Message, State};
use super::{blocks, files, payload, transcript};

/// Page "chat.postMessage".
const LONGEST_POST: usize = 40_000;
/// Page "chat.update": far less than a post, which is easily overlooked.
const LONGEST_UPDATE: usize = 4_000;

/// What a message says.
pub(super) struct Content {
    pub text: Option<String>,
    pub blocks: Option<Value>,
}

impl Content {
    pub fn is_empty(&self) -> bool {
        let no_blocks = self.blocks.as_ref().and_then(Value::as_array).is_none_or(Vec::is_empty);
        no_blocks && self.text.as_ref().is_none_or(|text| text.trim().is_empty())
    }
}

/// Reads and checks text and blocks. `whole` also asks whether all of it together is too long.
pub(super) fn content(state: &mut State, args: &Args, longest: usize, whole: bool) -> Result<Content, Refusal> {
    let mut text = args.text("text");
    let Ok(found) = args.structure("blocks") else { return Err(refuse("invalid_blocks_format")) };
    if found.as_ref().is_some_and(|found| !found.is_array()) {
        return Err(refuse("invalid_blocks_format"));
    }
    if args.0.contains_key("attachments") {
        return Err(refuse_with("invalid_attachments", vec!["this fake takes blocks only".to_owned()]));
    }
    if let Some(markdown) = args.text("markdown_text") {
        if text.is_some() || found.is_some() {
            return Err(refuse("markdown_text_conflict"));
        }
        if length(&markdown) > 12_000 {
            return Err(refuse("msg_too_long"));
        }
        text = Some(markdown);
    }
    if text.as_ref().is_some_and(|text| length(text) > longest) {
        return Err(refuse("msg_too_long"));
    }
    let is_image = |file: &str| files::is_image(state, file);
    let mut check = Check::new(&is_image);
    if let Some(found) = &found {
        blocks::message(&mut check, found);
    }
    if let Some(text) = &text {
        check.calls_people("/text", text);
        // With these two even a bare `@here` rings.
        if args.flag("link_names") || args.text("parse").as_deref() == Some("full") {
            for word in ["@channel", "@here", "@everyone"].iter().filter(|word| text.contains(**word)) {
                check.injected.push(format!("injected {word} by link_names or parse: {text}"));
            }
        }
    }
    let (errors, injected) = (check.errors, check.injected);
    state.rejected.extend(injected);
    if !errors.is_empty() {
        return Err(refuse_with("invalid_blocks", errors));
    }
    if whole && found.as_ref().is_some_and(blocks::too_long) {
        return Err(refuse("msg_blocks_too_long"));
    }
    Ok(Content { text, blocks: found.map(complete) })
}

/// Gives blocks and elements the ids that were left out, as Slack does.
fn complete(mut blocks: Value) -> Value {
    for (n, block) in blocks.as_array_mut().into_iter().flatten().enumerate() {
        let name = |element: &mut Value, m: usize| {
            let interactive = !matches!(element["type"].as_str(), Some("image" | "mrkdwn" | "plain_text") | None);
            if interactive && element.get("action_id").is_none() {
                element["action_id"] = json!(format!("auto{n}.{m}"));
            }
        };
        if block.get("block_id").is_none() {
            block["block_id"] = json!(format!("auto{n}"));
        }
        if block["type"] == "actions" {
            let elements = block["elements"].as_array_mut().into_iter().flatten().enumerate();
            elements.for_each(|(m, element)| name(element, m));
        }
        for key in ["accessory", "element"] {
            if let Some(element) = block.get_mut(key) {
                name(element, 0);
            }
        }
    }
    blocks
}

/// The channel the bot means, if it may write there.
pub(super) fn channel(state: &mut State, args: &Args, key: &str, posting: bool) -> Result<String, Refusal> {
    let mut id = args.required(key)?;
    if posting && state.user(&id).is_some() {
        id = state.direct(&id);
    }
    if let Some(name) = id.strip_prefix('#').filter(|_| posting) {
        let named = state.channels.iter().find(|channel| channel.name == name && !channel.private);
        id = named.map(|channel| channel.id.clone()).ok_or_else(|| refuse("channel_not_found"))?;
    }
    let channel = state.channel(&id).ok_or_else(|| refuse("channel_not_found"))?;
    if !channel.members.contains(BOT) {
        // What the bot cannot see does not exist for it.
        let error = if channel.private { "channel_not_found" } else { "not_in_channel" };
        let anywhere = posting && !channel.private && state.scopes.contains("chat:write.public");
        return if anywhere { Ok(id) } else { Err(refuse(error)) };
    }
    if channel.archived {
        return Err(refuse("is_archived"));
    }
    Ok(id)
}

/// The thread, which must be named by its root (page "chat.postMessage": "avoid using a reply's ts value").
pub(super) fn thread(state: &State, args: &Args, channel: &str) -> Result<Option<String>, Refusal> {
    let Some(ts) = args.text("thread_ts") else { return Ok(None) };
    let wrong =
        |why: &str| Err(refuse_with("cannot_reply_to_message", vec![format!("{why} [json-pointer:/thread_ts]")]));
    match state.find(channel, &ts) {
        None => wrong("no such message"),
        Some(index) if state.messages[index].thread_ts.is_some() => wrong("a reply, not the root of a thread"),
        Some(_) => Ok(Some(ts)),
    }
}

/// Adds a message and says so in the transcript.
pub(super) fn add(state: &mut State, mut message: Message) -> usize {
    message.ts = state.ts();
    state.name(&message.ts, "m");
    transcript::said(state, &message);
    state.messages.push(message);
    let index = state.messages.len() - 1;
    if state.messages[index].user == BOT {
        state.tell_direct(index, false);
    }
    index
}

/// A message with nothing in it yet.
pub(super) fn blank(channel: &str, user: &str) -> Message {
    Message {
        channel: channel.to_owned(),
        ts: String::new(),
        thread_ts: None,
        user: user.to_owned(),
        text: String::new(),
        blocks: json!([]),
        edits: 0,
        broadcast: false,
        files: Vec::new(),
        only_for: None,
    }
}

/// `chat.postMessage`.
pub(super) fn post(state: &mut State, args: &Args) -> Answer {
    let channel = channel(state, args, "channel", true)?;
    let content = content(state, args, LONGEST_POST, true)?;
    if content.is_empty() {
        return Err(refuse("no_text"));
    }
    let thread_ts = thread(state, args, &channel)?;
    let broadcast = thread_ts.is_some() && args.flag("reply_broadcast");
    let (text, blocks) = (content.text.unwrap_or_default(), content.blocks.unwrap_or_else(|| json!([])));
    let index = add(state, Message { thread_ts, text, blocks, broadcast, ..blank(&channel, BOT) });
    let message = &state.messages[index];
    Ok(json!({"ok": true, "channel": channel, "ts": message.ts, "message": payload::message(state, message)}))
}

/// `chat.update`.
pub(super) fn update(state: &mut State, args: &Args) -> Answer {
    let channel = channel(state, args, "channel", false)?;
    let ts = args.required("ts")?;
    let index = own(state, &channel, &ts, "cant_update_message")?;
    let content = content(state, args, LONGEST_UPDATE, true)?;
    if content.text.is_none() && content.blocks.is_none() {
        return Err(refuse("no_text"));
    }
    if content.is_empty() {
        return Err(refuse("no_text"));
    }
    change(state, index, content);
    state.messages[index].broadcast |= args.flag("reply_broadcast");
    let message = &state.messages[index];
    let shown = payload::message(state, message);
    Ok(json!({"ok": true, "channel": channel, "ts": ts, "text": message.text, "message": shown}))
}

/// Gives a message its new content. Page "chat.update": blocks that are not sent along stay only if there is no text
/// either.
pub(super) fn change(state: &mut State, index: usize, content: Content) {
    let message = &mut state.messages[index];
    match (content.text, content.blocks) {
        (text, Some(blocks)) => {
            message.text = text.unwrap_or_default();
            message.blocks = blocks;
        }
        (Some(text), None) => {
            message.text = text;
            message.blocks = json!([]);
        }
        (None, None) => {}
    }
    message.edits += 1;
    let message = message.clone();
    transcript::changed(state, &message);
    state.tell_direct(index, true);
}

/// A message that the bot wrote for all to see.
fn own(state: &State, channel: &str, ts: &str, error: &str) -> Result<usize, Refusal> {
    let found = state.messages.iter().position(|message| message.channel == channel && message.ts == ts);
    let index = found.ok_or_else(|| refuse("message_not_found"))?;
    let message = &state.messages[index];
    if message.user != BOT || message.only_for.is_some() {
        return Err(refuse(error));
    }
    Ok(index)
}

/// `chat.delete`.
pub(super) fn delete(state: &mut State, args: &Args) -> Answer {
    let channel = channel(state, args, "channel", false)?;
    let ts = args.required("ts")?;
    let index = own(state, &channel, &ts, "cant_delete_message")?;
    let message = state.messages.remove(index);
    transcript::gone(state, &message);
    Ok(json!({"ok": true, "channel": channel, "ts": ts}))
}

/// `chat.postEphemeral`.
pub(super) fn post_ephemeral(state: &mut State, args: &Args) -> Answer {
    let user = args.required("user")?;
    let channel = channel(state, args, "channel", false)?;
    if !state.channel(&channel).is_some_and(|channel| channel.members.contains(&user)) {
        return Err(refuse("user_not_in_channel"));
    }
    let content = content(state, args, LONGEST_POST, true)?;
    if content.is_empty() {
        return Err(refuse("no_text"));
    }
    let thread_ts = thread(state, args, &channel)?;
    let (text, blocks) = (content.text.unwrap_or_default(), content.blocks.unwrap_or_else(|| json!([])));
    let index = add(state, Message { thread_ts, text, blocks, only_for: Some(user), ..blank(&channel, BOT) });
    Ok(json!({"ok": true, "message_ts": state.messages[index].ts}))
}

/// `chat.getPermalink`.
pub(super) fn permalink(state: &mut State, args: &Args) -> Answer {
    let channel = channel(state, args, "channel", false)?;
    let ts = args.required("message_ts")?;
    let index = state.find(&channel, &ts).ok_or_else(|| refuse("message_not_found"))?;
    let mut permalink = format!("https://fake.slack.com/archives/{channel}/p{}", ts.replace('.', ""));
    if let Some(thread) = &state.messages[index].thread_ts {
        permalink.push_str(&format!("?thread_ts={thread}&cid={channel}"));
    }
    Ok(json!({"ok": true, "channel": channel, "permalink": permalink}))
}

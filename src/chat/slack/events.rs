//! From what Slack sends to what was said: pure and total. Whatever JSON comes in, nothing panics, and what is not
//! understood says so with whoever may have been meant by it.
//!
//! Nothing here is trusted: the ids are checked by their form, the text is handed on as it was typed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::mrkdwn::as_typed;

/// Which of Slack's three ways it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something happened: a mention, a direct message.
    Event,
    /// `/suture ...`.
    Command,
    /// A button or a form.
    Interaction,
}

/// Who we are in the workspace, from auth.test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Me {
    pub user: String,
    pub team: String,
}

/// How to answer somebody: what [`Heard::reply`](crate::chat::Heard::reply) holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reply {
    pub channel: String,
    pub user: String,
    /// The thread that a public answer belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_ts: Option<String>,
    /// Asked inside that thread, so that a private answer is seen there too.
    #[serde(default)]
    pub inside: bool,
    /// In a conversation with Suture alone.
    #[serde(default)]
    pub direct: bool,
}

/// What came in.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Incoming {
    /// A line of text.
    Line { delivery: String, text: String, reply: Reply },
    /// A press of a button.
    Press {
        delivery: String,
        /// The button's opaque id.
        id: String,
        /// To open a form with, for three seconds.
        trigger: String,
        /// The message that the button is on.
        message_ts: String,
        reply: Reply,
    },
    /// A form that was filled in.
    Filled {
        delivery: String,
        id: String,
        values: BTreeMap<String, String>,
        /// Where an error is shown.
        first_block: Option<String>,
        reply: Reply,
    },
    /// Slack proves that the address is ours.
    Challenge(String),
    /// Nothing to us: our own words, an edit, another kind of event.
    Nothing,
    /// From another workspace.
    Stranger(String),
    /// Not understood.
    Unclear { why: String, reply: Option<Reply> },
}

/// What a form carries along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Metadata {
    pub form: String,
    pub reply: Reply,
}

/// What came in, whatever it is.
pub(super) fn decode(kind: Kind, payload: &Value, me: &Me) -> Incoming {
    if kind == Kind::Event && text(payload, "/type") == Some("url_verification") {
        return Incoming::Challenge(text(payload, "/challenge").unwrap_or_default().to_owned());
    }
    let decoded = match kind {
        Kind::Event => event(payload, me),
        Kind::Command => command(payload),
        Kind::Interaction => interaction(payload),
    };
    match decoded {
        Err(why) => Incoming::Unclear { why, reply: anybody(payload) },
        Ok(Incoming::Nothing) => Incoming::Nothing,
        // After decoding, so that our own words from a shared channel are just nothing.
        Ok(incoming) => match stranger(payload, me) {
            Some(team) => Incoming::Stranger(team),
            None => incoming,
        },
    }
}

fn event(payload: &Value, me: &Me) -> Result<Incoming, String> {
    if text(payload, "/type") != Some("event_callback") {
        return Err("an event of an unknown type".to_owned());
    }
    let kind = text(payload, "/event/type").ok_or("an event without a type")?;
    let direct = match kind {
        "app_mention" => false,
        "message" if text(payload, "/event/channel_type") == Some("im") => true,
        _ => return Ok(Incoming::Nothing),
    };
    let subtype = text(payload, "/event/subtype");
    let from_bot = payload.pointer("/event/bot_id").is_some_and(|id| !id.is_null());
    // An edit is not said again: whoever corrects a typing error does not mean to do it twice.
    let edited = payload.pointer("/event/edited").is_some_and(|edited| !edited.is_null());
    let other = subtype.is_some_and(|s| !matches!(s, "thread_broadcast" | "file_share"));
    if from_bot || edited || other || text(payload, "/event/user") == Some(me.user.as_str()) {
        return Ok(Incoming::Nothing);
    }
    let user = id(payload, "/event/user", &['U', 'W']).ok_or("an event without its user")?;
    let channel = id(payload, "/event/channel", &['C', 'G', 'D']).ok_or("an event without its channel")?;
    // A redelivery has the same event_id, in another envelope.
    let delivery = text(payload, "/event_id").filter(|id| !id.is_empty()).ok_or("an event without its id")?;
    let said = text(payload, "/event/text").unwrap_or_default();
    let thread_ts = timestamp(payload, "/event/thread_ts");
    Ok(Incoming::Line {
        delivery: delivery.to_owned(),
        text: without_mention(said, &me.user),
        reply: Reply {
            channel,
            user,
            inside: thread_ts.is_some(),
            // A public answer to a mention goes below it: the channel is not the place for a conversation.
            thread_ts: thread_ts.or_else(|| timestamp(payload, "/event/ts").filter(|_| !direct)),
            direct,
        },
    })
}

fn command(payload: &Value) -> Result<Incoming, String> {
    let user = id(payload, "/user_id", &['U', 'W']).ok_or("a command without its user")?;
    let channel = id(payload, "/channel_id", &['C', 'G', 'D']).ok_or("a command without its channel")?;
    // The envelope changes with each delivery; the trigger is made once for each time somebody presses Enter.
    let trigger = text(payload, "/trigger_id").filter(|id| !id.is_empty()).ok_or("a command without its trigger")?;
    Ok(Incoming::Line {
        delivery: format!("command:{trigger}"),
        text: as_typed(text(payload, "/text").unwrap_or_default()).trim().to_owned(),
        reply: Reply { direct: channel.starts_with('D'), channel, user, thread_ts: None, inside: false },
    })
}

fn interaction(payload: &Value) -> Result<Incoming, String> {
    match text(payload, "/type") {
        Some("block_actions") => press(payload),
        Some("view_submission") => filled(payload),
        // Closed without sending.
        Some("view_closed") => Ok(Incoming::Nothing),
        _ => Err("an interaction of an unknown type".to_owned()),
    }
}

fn press(payload: &Value) -> Result<Incoming, String> {
    let user = id(payload, "/user/id", &['U', 'W']).ok_or("a press without its user")?;
    let channel = id(payload, "/channel/id", &['C', 'G', 'D'])
        .or_else(|| id(payload, "/container/channel_id", &['C', 'G', 'D']))
        .ok_or("a press without its channel")?;
    let message_ts = timestamp(payload, "/container/message_ts")
        .or_else(|| timestamp(payload, "/message/ts"))
        .ok_or("a press without its message")?;
    let value = text(payload, "/actions/0/value").ok_or("a press without its button")?;
    let action = text(payload, "/actions/0/action_id").unwrap_or_default();
    let at = timestamp(payload, "/actions/0/action_ts").ok_or("a press without its time")?;
    let trigger = text(payload, "/trigger_id").unwrap_or_default();
    let thread = timestamp(payload, "/container/thread_ts").or_else(|| timestamp(payload, "/message/thread_ts"));
    let inside = thread.as_deref().is_some_and(|thread| thread != message_ts);
    let direct = channel.starts_with('D');
    Ok(Incoming::Press {
        // Who pressed what when is the same in every delivery; the trigger of a redelivery need not be.
        delivery: format!("press:{user}:{message_ts}:{action}:{at}"),
        id: value.to_owned(),
        trigger: trigger.to_owned(),
        reply: Reply { thread_ts: Some(thread.unwrap_or_else(|| message_ts.clone())), channel, user, inside, direct },
        message_ts,
    })
}

fn filled(payload: &Value) -> Result<Incoming, String> {
    let user = id(payload, "/user/id", &['U', 'W']).ok_or("a form without its user")?;
    let metadata = text(payload, "/view/private_metadata").unwrap_or_default();
    let metadata: Metadata = serde_json::from_str(metadata).map_err(|_| "a form that is not ours")?;
    // An opened form has an id of its own; sent twice, it is the same.
    let view = text(payload, "/view/id").filter(|id| !id.is_empty()).ok_or("a form without its id")?;
    let blocks = payload.pointer("/view/state/values").and_then(Value::as_object);
    let mut values = BTreeMap::new();
    for elements in blocks.into_iter().flat_map(serde_json::Map::values).filter_map(Value::as_object) {
        for (name, element) in elements {
            // An optional field that was left empty is null.
            values.insert(name.clone(), text(element, "/value").unwrap_or_default().to_owned());
        }
    }
    let first_block = blocks.and_then(|blocks| blocks.keys().next()).cloned();
    Ok(Incoming::Filled {
        delivery: format!("form:{view}:{user}"),
        id: metadata.form,
        values,
        first_block,
        // Whoever sent it, whoever it was opened for.
        reply: Reply { user, ..metadata.reply },
    })
}

/// The team that somebody from elsewhere belongs to. In a channel shared with another workspace, its people could
/// otherwise give commands here.
fn stranger(payload: &Value, me: &Me) -> Option<String> {
    let at = ["/team_id", "/team/id", "/user/team_id", "/event/user_team", "/event/source_team", "/event/team"];
    let teams: Vec<_> = at.iter().filter_map(|at| text(payload, at)).collect();
    if teams.is_empty() {
        return Some("none".to_owned());
    }
    teams.into_iter().find(|team| *team != me.team).map(|team| crate::chat::clean::shortened(team, 40))
}

/// Whoever a message that was not understood may have come from.
fn anybody(payload: &Value) -> Option<Reply> {
    let users = ["/user_id", "/user/id", "/event/user"];
    let channels = ["/channel_id", "/channel/id", "/container/channel_id", "/event/channel"];
    let user = users.iter().find_map(|at| id(payload, at, &['U', 'W']))?;
    let channel = channels.iter().find_map(|at| id(payload, at, &['C', 'G', 'D']))?;
    Some(Reply { direct: channel.starts_with('D'), channel, user, thread_ts: None, inside: false })
}

/// The text behind the first mention of us.
fn without_mention(said: &str, me: &str) -> String {
    let mut rest = said.trim_start();
    // `<@U0BOT>`, in older clients `<@U0BOT|suture>`.
    if let Some((inside, behind)) = rest.strip_prefix("<@").and_then(|after| after.split_once('>'))
        && inside.split('|').next() == Some(me)
    {
        rest = behind.trim_start_matches([':', ',']);
    }
    as_typed(rest).trim().to_owned()
}

fn text<'a>(value: &'a Value, at: &str) -> Option<&'a str> {
    value.pointer(at).and_then(Value::as_str)
}

/// An id in the form that Slack's ids have, beginning with one of these letters.
fn id(value: &Value, at: &str, first: &[char]) -> Option<String> {
    text(value, at).filter(|id| is_id(id, first)).map(str::to_owned)
}

/// Has it the form of an id: one of these letters, then capitals and digits?
pub(super) fn is_id(id: &str, first: &[char]) -> bool {
    id.starts_with(first)
        && (3..=30).contains(&id.len())
        && id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

/// `1503435956.000247`.
fn timestamp(value: &Value, at: &str) -> Option<String> {
    let ts = text(value, at)?;
    let number = |part: &str| !part.is_empty() && part.len() <= 20 && part.chars().all(|c| c.is_ascii_digit());
    ts.split_once('.').filter(|(s, f)| number(s) && number(f)).map(|_| ts.to_owned())
}

#[cfg(test)]
#[path = "tests/events.rs"]
mod tests;

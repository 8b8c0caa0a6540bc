//! What happened, as text that is the same in every run: for snapshots, and for the message of a failed wait.

use std::fmt::Write as _;

use serde_json::Value;

use super::message::{Message, parts};
use super::world::{Channel, State};

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Line {
    /// A person or the bot wrote a message.
    Posted(Message),
    Edited(Message),
    Deleted(String),
    Thread(Channel),
    /// A form was shown to a user.
    Modal(String, Value),
    /// A user (id) did something in a channel (id).
    Did(String, String, String),
    Note(String),
}

/// The whole of it.
pub fn write(state: &State) -> String {
    let mut text = String::new();
    for line in &state.log {
        one(&mut text, state, line);
    }
    stable(state, text)
}

fn one(text: &mut String, state: &State, line: &Line) {
    let place = |id: &str| match state.find_channel(id) {
        Some(c) if c.kind == 1 => format!("the direct channel with {}", c.name),
        Some(c) if c.kind == 11 => format!("thread {:?}", c.name),
        Some(c) => format!("#{}", c.name),
        None => "an unknown channel".to_owned(),
    };
    let seen = |m: &Message| {
        let only = m.only.as_ref().map(|u| format!(", only @{} sees it", state.user(u).name));
        let to = m.reference.as_ref().map(|r| format!(", in reply to {r}"));
        let answers = m.interaction.as_ref().map(|i| format!(", answering {i}"));
        [answers, to, only].into_iter().flatten().collect::<String>()
    };
    let name = |id: &str| state.user(id).name;
    // Writing to a String cannot fail.
    let _ = match line {
        Line::Posted(m) => writeln!(text, "{} writes {} in {}{}:", name(&m.author), m.id, place(&m.channel), seen(m))
            .map(|()| body(text, m)),
        Line::Edited(m) => writeln!(text, "{} edits {}:", name(&m.author), m.id).map(|()| body(text, m)),
        Line::Deleted(id) => writeln!(text, "{id} is deleted"),
        Line::Thread(c) => writeln!(text, "suture starts thread {:?} on {}", c.name, c.id),
        Line::Modal(user, data) => {
            let _ =
                writeln!(text, "suture shows @{} a form: {}", name(user), data["title"].as_str().unwrap_or_default());
            for input in parts(data["components"].as_array().map_or(&[], Vec::as_slice)) {
                let get = |key: &str| input[key].as_str().unwrap_or_default();
                let required = if input["required"] == false { "" } else { " (required)" };
                let _ = writeln!(text, "  | {}{required}: {}", get("label"), get("value"));
            }
            Ok(())
        }
        Line::Did(user, channel, what) => writeln!(text, "@{} in {}: {what}", name(user), place(channel)),
        Line::Note(note) => writeln!(text, "{note}"),
    };
}

fn body(text: &mut String, message: &Message) {
    let mut line = |indent: &str, line: &str| {
        for line in line.lines() {
            let _ = writeln!(text, "{}", format!("  | {indent}{line}").trim_end());
        }
    };
    line("", &message.content);
    for embed in &message.embeds {
        let get = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let colour = embed["color"].as_u64().map(|c| format!(" #{c:06x}")).unwrap_or_default();
        line("", &format!("[embed{colour}] {}{}", get(&embed["author"]["name"]), get(&embed["title"])));
        line("  ", &get(&embed["description"]));
        for field in embed["fields"].as_array().into_iter().flatten() {
            line("  ", &format!("{}: {}", get(&field["name"]), get(&field["value"])));
        }
        for key in ["image", "thumbnail"] {
            if let Some(url) = embed[key]["url"].as_str() {
                line("  ", &format!("{key} {url}"));
            }
        }
        line("  ", &get(&embed["footer"]["text"]));
    }
    for row in &message.components {
        let parts = parts(std::slice::from_ref(row)).map(part).collect::<Vec<_>>();
        line("", &parts.join(" "));
    }
    for file in &message.attachments {
        line("", &format!("file {} ({})", file.name, file.content_type));
    }
}

fn part(part: &Value) -> String {
    let get = |key: &str| part[key].as_str().unwrap_or_default();
    let off = if part["disabled"] == true { ", off" } else { "" };
    if part["type"] != 2 {
        let options = part["options"].as_array().into_iter().flatten();
        let labels = options.map(|o| o["label"].as_str().unwrap_or_default()).collect::<Vec<_>>();
        return format!("{{{}: {}{off}}}", get("placeholder"), labels.join(" / "));
    }
    let style = match part["style"].as_u64() {
        Some(1) => "primary",
        Some(2) => "secondary",
        Some(3) => "success",
        Some(4) => "danger",
        _ => "link",
    };
    let emoji = part["emoji"]["name"].as_str().map(|e| format!("{e} ")).unwrap_or_default();
    format!("[{emoji}{}: {style}{off}]", get("label"))
}

/// Puts names in place of what differs from run to run.
fn stable(state: &State, mut text: String) -> String {
    text = text.replace(&state.base, "https://discord.test");
    let mut put = |id: &str, name: &str| {
        if text.contains(id) {
            text = text.replace(id, name);
        }
    };
    for (n, interaction) in state.interactions.iter().enumerate() {
        put(&interaction.token, &format!("token-{}", n + 1));
        put(&interaction.id, &format!("interaction-{}", n + 1));
    }
    for (n, message) in state.messages.iter().enumerate() {
        put(&message.id, &format!("message-{}", n + 1));
        for (m, file) in message.attachments.iter().enumerate() {
            put(&file.id, &format!("file-{}-{}", n + 1, m + 1));
        }
    }
    for user in &state.users {
        put(&user.id, &user.name);
    }
    for role in state.roles.iter().filter(|r| r.id != state.guild) {
        put(&role.id, &role.name);
    }
    for channel in &state.channels {
        put(&channel.id, &channel.name);
    }
    put(&state.guild, "guild");
    put(&state.application, "application");
    moments(&text)
}

/// `<t:1700000000:R>` is shown as a moment that every run has another of.
fn moments(text: &str) -> String {
    let mut parts = text.split("<t:");
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        all.push_str("<t:");
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        all.push_str(if digits > 0 { "…" } else { "" });
        all.push_str(part.get(digits..).unwrap_or_default());
    }
    all
}

//! The story as a reader of the channel would tell it: for snapshots, so nothing in it changes from run to run.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::state::{Line, Message, State};

/// Adds a line; ids in it are named when it is read.
pub(super) fn line(state: &mut State, text: impl Into<String>) {
    state.lines.push(Line(text.into()));
}

pub(super) fn said(state: &mut State, message: &Message) {
    let mut head = format!("#{} {} {}", message.channel, message.ts, message.user);
    if let Some(thread) = &message.thread_ts {
        let _ = write!(head, ", in the thread of {thread}");
    }
    if message.broadcast {
        head.push_str(" and to the channel");
    }
    if let Some(user) = &message.only_for {
        let _ = write!(head, ", only to {user}");
    }
    let text = with_content(state, head, message);
    line(state, text);
}

pub(super) fn changed(state: &mut State, message: &Message) {
    let head = format!("#{} {} is now", message.channel, message.ts);
    let text = with_content(state, head, message);
    line(state, text);
}

pub(super) fn gone(state: &mut State, message: &Message) {
    line(state, format!("#{} {} is deleted", message.channel, message.ts));
}

pub(super) fn opened(state: &mut State, user: &str, view: &Value) {
    let mut text = format!("{user} sees {} \"{}\"", string(&view["id"]), string(&view["title"]["text"]));
    blocks(&mut text, &view["blocks"]);
    for key in ["submit", "close"] {
        if view[key].is_object() {
            let _ = write!(text, "\n    [{}]", string(&view[key]["text"]));
        }
    }
    line(state, text);
}

pub(super) fn wrong(state: &mut State, view: &str, errors: &Map<String, Value>) {
    let mut text = format!("{view} is sent back");
    for (place, error) in errors {
        let _ = write!(text, "\n    {place}: {}", string(error));
    }
    line(state, text);
}

pub(super) fn uploaded(state: &mut State, ids: &[String]) {
    let text = ids.iter().map(|id| file(state, id)).collect::<Vec<_>>().join(", ");
    line(state, format!("uploaded, not shared: {text}"));
}

fn file(state: &State, id: &str) -> String {
    let found = state.uploads.iter().find(|upload| upload.file.id == id);
    let name = found.map_or("", |upload| upload.file.name.as_str());
    let title = found.map_or("", |upload| upload.file.title.as_str());
    if name == title { format!("{id} {name}") } else { format!("{id} {name} \"{title}\"") }
}

fn with_content(state: &State, head: String, message: &Message) -> String {
    let mut text = format!("{head}:");
    let indented = message.text.replace('\n', "\n      ");
    if !indented.is_empty() {
        let _ = write!(text, " {indented}");
    }
    blocks(&mut text, &message.blocks);
    for id in &message.files {
        let _ = write!(text, "\n    (file {})", file(state, id));
    }
    text
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn blocks(out: &mut String, blocks: &Value) {
    for block in blocks.as_array().into_iter().flatten() {
        let items = |key: &str| block[key].as_array().cloned().unwrap_or_default();
        let mut put = |text: &str| {
            let _ = write!(out, "\n    {}", text.replace('\n', "\n    "));
        };
        match string(&block["type"]) {
            "header" => put(&format!("# {}", string(&block["text"]["text"]))),
            "divider" => put("---"),
            "section" => {
                if block["text"].is_object() {
                    put(string(&block["text"]["text"]));
                }
                items("fields").iter().for_each(|field| put(&format!("| {}", string(&field["text"]))));
                if block["accessory"].is_object() {
                    put(&element(&block["accessory"]));
                }
            }
            "context" => {
                let parts: Vec<String> = items("elements").iter().map(element).collect();
                put(&format!("~ {}", parts.join(" ~ ")));
            }
            "actions" => put(&items("elements").iter().map(element).collect::<Vec<_>>().join(" ")),
            "input" => put(&format!("{}: {}", string(&block["label"]["text"]), element(&block["element"]))),
            "markdown" => put(string(&block["text"])),
            "image" => put(&element(block)),
            "table" => {
                for row in items("rows") {
                    let cells = row.as_array().into_iter().flatten().map(spoken).collect::<Vec<_>>();
                    put(&format!("| {} |", cells.join(" | ")));
                }
            }
            _ => put(&spoken(block)),
        }
    }
}

/// All text in it.
fn spoken(value: &Value) -> String {
    match value {
        Value::Object(map) => match map.get("text") {
            Some(Value::String(text)) => text.clone(),
            _ => map.values().map(spoken).collect(),
        },
        Value::Array(items) => items.iter().map(spoken).collect(),
        _ => String::new(),
    }
}

fn element(element: &Value) -> String {
    let mut text = match string(&element["type"]) {
        "plain_text" | "mrkdwn" => return string(&element["text"]).to_owned(),
        "image" => return format!("(image: {})", string(&element["alt_text"])),
        "button" => format!("[{}", string(&element["text"]["text"])),
        kind => {
            let mut text = format!("[{kind}");
            let options = element.as_object().into_iter().flat_map(super::elements::choices);
            let options: Vec<&str> = options.map(|option| string(&option["text"]["text"])).collect();
            if !options.is_empty() {
                let _ = write!(text, ": {}", options.join(" / "));
            }
            for key in ["initial_value", "placeholder"] {
                let found = if key == "placeholder" { &element[key]["text"] } else { &element[key] };
                if let Some(found) = found.as_str() {
                    let _ = write!(text, ", {key}: {found}");
                }
            }
            text
        }
    };
    if let Some(style) = element["style"].as_str() {
        let _ = write!(text, ", {style}");
    }
    if element["confirm"].is_object() {
        let confirm = &element["confirm"];
        let _ = write!(text, ", asks \"{}: {}\"", string(&confirm["title"]["text"]), string(&confirm["text"]["text"]));
    }
    if element["url"].is_string() {
        text.push_str(", a link");
    }
    text.push(']');
    text
}

/// Everything so far, with names for ids and nothing of the clock.
pub(super) fn read(state: &State) -> String {
    let mut names: Vec<(String, String)> = Vec::new();
    let mut forms = |id: &str, name: &str, marks: &[(&str, &str)]| {
        names.extend(marks.iter().map(|(before, after)| (format!("{before}{id}"), format!("{after}{name}"))));
        names.push((id.to_owned(), name.to_owned()));
    };
    for user in &state.users {
        forms(&user.id, &user.name, &[("<@", "<@")]);
    }
    for channel in &state.channels {
        let with = channel.members.iter().find(|member| *member != super::BOT);
        match with.filter(|_| channel.direct).and_then(|member| state.user(member)) {
            Some(user) => forms(&channel.id, &format!("direct-{}", user.name), &[]),
            None => forms(&channel.id, &channel.name, &[]),
        }
    }
    for group in &state.groups {
        forms(&group.id, &group.handle, &[("<!subteam^", "<@")]);
    }
    for (id, name) in &state.names {
        // In a permalink a message's identity has no point.
        forms(id, name, &[]);
        forms(&format!("p{}", id.replace('.', "")), name, &[]);
    }
    names.push((state.origin.clone(), "http://slack".to_owned()));
    // The longest first, so that no id is replaced inside a longer one.
    names.sort_by_key(|(id, _)| std::cmp::Reverse(id.len()));
    let mut text = state.lines.iter().map(|line| format!("{}\n", line.0)).collect::<String>();
    for (id, name) in names {
        text = text.replace(&id, &name);
    }
    without_dates(&text)
}

/// `<!date^1392734382^{time}|12:33>` is a time, whenever that was.
fn without_dates(text: &str) -> String {
    let mut rest = text;
    let mut out = String::with_capacity(text.len());
    while let Some((before, after)) = rest.split_once("<!date^") {
        out.push_str(before);
        out.push_str("<time>");
        rest = after.split_once('>').map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out
}

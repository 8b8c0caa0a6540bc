//! What a message may be: the limits of the pages "Message" (Create Message, Embed Limits, Allowed Mentions) and
//! "Component Reference". Counted in characters, after trimming, as the real one does.

use std::collections::HashSet;

use serde_json::Value;

use super::error::{Form, Refusal, at};
use super::world::Channel;

fn length(text: &str) -> usize {
    text.trim().chars().count()
}

/// Content, embeds, components and mentions of a message; `files` are the names that embeds may refer to.
pub fn message(body: &Value, path: &str, files: &[String]) -> Result<(), Refusal> {
    let mut form = Form::default();
    if let Some(content) = form.text(body, path, "content") {
        form.at_most(&at(path, "content"), length(content), 2000);
    }
    embeds(&mut form, body, path, files);
    rows(&mut form, body, path);
    allowed_mentions(&mut form, body, path);
    if let Some(nonce) = body.get("nonce").and_then(Value::as_str) {
        form.at_most(&at(path, "nonce"), nonce.chars().count(), 25);
    }
    // IS_COMPONENTS_V2: layouts of their own, which this fake does not play.
    if body["flags"].as_u64().unwrap_or(0) & (1 << 15) != 0 {
        form.fault(&at(path, "flags"), "FAKE_DOES_NOT_PLAY_THIS", "Components V2 are not played by this fake");
    }
    form.finish()
}

fn embeds(form: &mut Form, body: &Value, path: &str, files: &[String]) {
    let list = form.list(body, path, "embeds");
    let path = at(path, "embeds");
    form.at_most(&path, list.len(), 10);
    let mut total = 0;
    for (n, embed) in list.iter().enumerate() {
        let path = at(&path, n);
        let mut count = |form: &mut Form, value: &Value, path: &str, key: &str, most: usize| -> usize {
            let Some(text) = form.text(value, path, key) else { return 0 };
            form.at_most(&at(path, key), length(text), most);
            total += length(text);
            length(text)
        };
        let mut some = count(form, embed, &path, "title", 256) + count(form, embed, &path, "description", 4096);
        if let Some(footer) = embed.get("footer").filter(|f| !f.is_null()) {
            let path = at(&path, "footer");
            let footer = count(form, footer, &path, "text", 2048);
            if footer == 0 {
                form.required(&at(&path, "text"));
            }
            some += footer;
        }
        if let Some(author) = embed.get("author").filter(|a| !a.is_null()) {
            let path = at(&path, "author");
            let author = count(form, author, &path, "name", 256);
            if author == 0 {
                form.required(&at(&path, "name"));
            }
            some += author;
        }
        let fields = form.list(embed, &path, "fields");
        form.at_most(&at(&path, "fields"), fields.len(), 25);
        for (n, field) in fields.iter().enumerate() {
            let path = at(&at(&path, "fields"), n);
            for (key, most) in [("name", 256), ("value", 1024)] {
                if count(form, field, &path, key, most) == 0 {
                    form.required(&at(&path, key));
                }
                some += 1;
            }
        }
        for key in ["image", "thumbnail"] {
            if let Some(url) = embed[key].get("url").and_then(Value::as_str) {
                some += 1;
                picture(form, &at(&at(&path, key), "url"), url, files);
            }
        }
        if let Some(url) = form.text(embed, &path, "url") {
            web_address(form, &at(&path, "url"), url);
        }
        if let Some(at_time) = form.text(embed, &path, "timestamp")
            && (at_time.get(4..5) != Some("-") || at_time.get(10..11) != Some("T") || at_time.len() < 19)
        {
            form.fault(&at(&path, "timestamp"), "DATE_TIME_TYPE_PARSE", "Could not parse it. Should be ISO8601.");
        }
        if let Some(color) = embed.get("color").filter(|c| !c.is_null())
            && color.as_u64().is_none_or(|c| c > 0xff_ffff)
        {
            form.fault(&at(&path, "color"), "NUMBER_TYPE_MAX", "int value should be less than or equal to 16777215.");
        }
        if some == 0 {
            form.required(&at(&path, "description"));
        }
    }
    if total > 6000 {
        form.fault(&path, "MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000");
    }
}

/// What embeds show of attached files.
const PICTURES: &[&str] = &[".jpg", ".jpeg", ".png", ".webp", ".gif"];

fn picture(form: &mut Form, path: &str, url: &str, files: &[String]) {
    match url.strip_prefix("attachment://") {
        // The real one shows no picture then (page "Reference", Using Attachments within Embeds); a bot that sends such
        // an embed is wrong all the same, and here it is told.
        Some(name) if !PICTURES.iter().any(|p| name.to_lowercase().ends_with(p)) => {
            form.fault(path, "FAKE_NOT_A_PICTURE", format!("'{name}' is not of a type that embeds show"));
        }
        Some(name) if !files.iter().any(|f| f == name) => {
            form.fault(path, "ATTACHMENT_NOT_FOUND", format!("The referenced attachment '{name}' was not found"));
        }
        Some(_) => {}
        None => web_address(form, path, url),
    }
}

fn web_address(form: &mut Form, path: &str, url: &str) {
    if !(url.starts_with("http://") || url.starts_with("https://")) || url.contains(char::is_whitespace) {
        form.fault(path, "URL_TYPE_INVALID_URL", "Not a well formed URL.");
    }
}

/// Action rows of a message (page "Component Reference": Action Row, Button, String Select).
fn rows(form: &mut Form, body: &Value, path: &str) {
    let list = form.list(body, path, "components");
    let path = at(path, "components");
    form.at_most(&path, list.len(), 5);
    let mut ids = HashSet::new();
    for (n, row) in list.iter().enumerate() {
        let path = at(&path, n);
        form.one_of(&at(&path, "type"), row["type"].as_u64().unwrap_or(0), &[1]);
        let inside = form.list(row, &path, "components");
        let path = at(&path, "components");
        form.between(&path, inside.len(), 1, 5);
        let selects = inside.iter().filter(|c| c["type"] != 2).count();
        if selects > 0 && inside.len() > 1 {
            form.fault(&path, "COMPONENT_LAYOUT_WIDTH_EXCEEDED", "The layout width of 5 was exceeded");
        }
        for (n, part) in inside.iter().enumerate() {
            let path = at(&path, n);
            let kind = part["type"].as_u64().unwrap_or(0);
            form.one_of(&at(&path, "type"), kind, &[2, 3, 5, 6, 7, 8]);
            match kind {
                2 => button(form, part, &path),
                3 => select(form, part, &path),
                _ => {}
            }
            if part["style"] == 5 {
                continue;
            }
            match custom_id(form, part, &path) {
                Some(id) if !ids.insert(id.to_owned()) => form.fault(
                    &at(&path, "custom_id"),
                    "COMPONENT_CUSTOM_ID_DUPLICATED",
                    "Component custom id cannot be duplicated",
                ),
                _ => {}
            }
        }
    }
}

fn custom_id<'v>(form: &mut Form, part: &'v Value, path: &str) -> Option<&'v str> {
    let id = form.text(part, path, "custom_id");
    match id {
        None => form.required(&at(path, "custom_id")),
        Some(id) => form.between(&at(path, "custom_id"), id.chars().count(), 1, 100),
    }
    id
}

fn button(form: &mut Form, part: &Value, path: &str) {
    let label = form.text(part, path, "label").unwrap_or_default();
    form.at_most(&at(path, "label"), length(label), 80);
    if length(label) == 0 && part.get("emoji").is_none_or(Value::is_null) {
        form.fault(path, "BUTTON_COMPONENT_INVALID_LABEL_OR_EMOJI", "A button must have a label or an emoji");
    }
    let style = part["style"].as_u64().unwrap_or(0);
    form.one_of(&at(path, "style"), style, &[1, 2, 3, 4, 5]);
    match (style == 5, part.get("url").and_then(Value::as_str)) {
        (true, None) => form.required(&at(path, "url")),
        (true, Some(url)) => {
            web_address(form, &at(path, "url"), url);
            form.at_most(&at(path, "url"), url.chars().count(), 512);
            if part.get("custom_id").is_some() {
                form.fault(
                    path,
                    "BUTTON_COMPONENT_CUSTOM_ID_URL_MUTUALLY_EXCLUSIVE",
                    "A custom id and url cannot both be specified",
                );
            }
        }
        (false, Some(_)) => {
            form.fault(&at(path, "url"), "BUTTON_COMPONENT_URL_NOT_ALLOWED", "Only a link may have a url")
        }
        (false, None) => {}
    }
}

fn select(form: &mut Form, part: &Value, path: &str) {
    if let Some(text) = form.text(part, path, "placeholder") {
        form.at_most(&at(path, "placeholder"), length(text), 150);
    }
    let options = form.list(part, path, "options");
    let here = at(path, "options");
    form.between(&here, options.len(), 1, 25);
    let mut values = HashSet::new();
    for (n, option) in options.iter().enumerate() {
        let path = at(&here, n);
        for (key, least) in [("label", 1), ("value", 1), ("description", 0)] {
            match form.text(option, &path, key) {
                Some(text) => form.between(&at(&path, key), length(text), least, 100),
                None if least == 1 => form.required(&at(&path, key)),
                None => {}
            }
        }
        if !values.insert(option["value"].as_str().unwrap_or_default()) {
            form.fault(
                &at(&path, "value"),
                "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED",
                "The specified option value is already used",
            );
        }
    }
    let most = part.get("max_values").and_then(Value::as_u64).unwrap_or(1);
    if most < 1 || most as usize > options.len().max(1) {
        form.fault(&at(path, "max_values"), "NUMBER_TYPE_MAX", "More values than there are options");
    }
    if part.get("min_values").and_then(Value::as_u64).unwrap_or(1) > most {
        form.fault(&at(path, "min_values"), "NUMBER_TYPE_MAX", "More than max_values");
    }
}

/// A modal (pages "Receiving and Responding", Modal, and "Component Reference", Text Input).
pub fn modal(data: &Value) -> Result<(), Refusal> {
    let mut form = Form::default();
    custom_id(&mut form, data, "data");
    match form.text(data, "data", "title").map(length) {
        Some(title) if title > 0 => form.at_most("data.title", title, 45),
        _ => form.required("data.title"),
    }
    let list = form.list(data, "data", "components");
    form.between("data.components", list.len(), 1, 5);
    let mut ids = HashSet::new();
    for (n, row) in list.iter().enumerate() {
        let path = format!("data.components.{n}");
        form.one_of(&at(&path, "type"), row["type"].as_u64().unwrap_or(0), &[1]);
        let inside = form.list(row, &path, "components");
        form.between(&at(&path, "components"), inside.len(), 1, 1);
        for (n, input) in inside.iter().enumerate() {
            let path = at(&at(&path, "components"), n);
            form.one_of(&at(&path, "type"), input["type"].as_u64().unwrap_or(0), &[4]);
            form.one_of(&at(&path, "style"), input["style"].as_u64().unwrap_or(0), &[1, 2]);
            match form.text(input, &path, "label").map(length) {
                Some(label) => form.between(&at(&path, "label"), label, 1, 45),
                None => form.required(&at(&path, "label")),
            }
            if let Some(text) = form.text(input, &path, "placeholder") {
                form.at_most(&at(&path, "placeholder"), length(text), 100);
            }
            if let Some(text) = form.text(input, &path, "value") {
                form.at_most(&at(&path, "value"), text.chars().count(), 4000);
            }
            for (key, least) in [("min_length", 0), ("max_length", 1)] {
                if input.get(key).and_then(Value::as_u64).is_some_and(|l| l < least || l > 4000) {
                    let message = format!("int value should be between {least} and 4000.");
                    form.fault(&at(&path, key), "NUMBER_TYPE_MAX", message);
                }
            }
            if let Some(id) = custom_id(&mut form, input, &path)
                && !ids.insert(id.to_owned())
            {
                let message = "Component custom id cannot be duplicated";
                form.fault(&at(&path, "custom_id"), "COMPONENT_CUSTOM_ID_DUPLICATED", message);
            }
        }
    }
    form.finish()
}

/// Choices of an autocompletion (pages "Receiving and Responding", Autocomplete, and "Application Commands", Option
/// Choice Structure).
pub fn choices(data: &Value) -> Result<Vec<(String, String)>, Refusal> {
    let mut form = Form::default();
    if data.get("choices").is_none() {
        form.required("data.choices");
    }
    let list = form.list(data, "data", "choices");
    form.at_most("data.choices", list.len(), 25);
    let mut all = Vec::new();
    for (n, choice) in list.iter().enumerate() {
        let path = format!("data.choices.{n}");
        let name = form.text(choice, &path, "name").unwrap_or_default();
        form.between(&at(&path, "name"), length(name), 1, 100);
        let value = match &choice["value"] {
            Value::String(text) => {
                form.between(&at(&path, "value"), text.chars().count(), 1, 100);
                text.clone()
            }
            number => number.to_string(),
        };
        all.push((name.to_owned(), value));
    }
    form.finish().map(|()| all)
}

fn allowed_mentions(form: &mut Form, body: &Value, path: &str) {
    let Some(allowed) = body.get("allowed_mentions").filter(|a| !a.is_null()) else { return };
    let path = at(path, "allowed_mentions");
    let parse = form.list(allowed, &path, "parse");
    for (n, kind) in parse.iter().enumerate() {
        if !["everyone", "users", "roles"].iter().any(|k| kind == k) {
            let message = "Value must be one of ('everyone', 'roles', 'users').";
            form.fault(&at(&at(&path, "parse"), n), "BASE_TYPE_CHOICES", message);
        }
    }
    for key in ["users", "roles"] {
        let ids = form.list(allowed, &path, key);
        form.at_most(&at(&path, key), ids.len(), 100);
        if !ids.is_empty() && parse.iter().any(|k| k == key) {
            let message = format!("parse:[\"{key}\"] and {key}: [ids...] are mutually exclusive.");
            form.fault(&path, "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", message);
        }
    }
}

/// Whom a message pings that nobody listed by id (page "Message", Allowed Mentions Object: without one, everything in
/// the content is parsed, and who is replied to is pinged too). Embeds never ping.
pub fn pings(body: &Value) -> Vec<String> {
    let content = body["content"].as_str().unwrap_or_default();
    let allowed = body.get("allowed_mentions").filter(|a| !a.is_null());
    let has = |list: &str, what: &str| {
        let listed = |a: &Value| a[list].as_array().is_some_and(|l| l.iter().any(|v| text_of(v) == what));
        allowed.is_some_and(listed)
    };
    let parsed = |kind: &str| allowed.is_none() || has("parse", kind);
    let mut all = Vec::new();
    if allowed.is_none() && body.get("message_reference").is_some_and(|r| !r.is_null()) {
        all.push("the author of the message it replies to".to_owned());
    }
    if parsed("everyone") {
        all.extend(["@everyone", "@here"].iter().filter(|m| content.contains(**m)).map(|m| (*m).to_owned()));
    }
    for mention in content.split("<@").skip(1).filter_map(|rest| rest.split_once('>').map(|(m, _)| m)) {
        let (kind, id) = match mention.strip_prefix('&') {
            Some(id) => ("roles", id),
            None => ("users", mention.trim_start_matches('!')),
        };
        let is_id = !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
        if is_id && parsed(kind) {
            all.push(format!("<@{mention}>"));
        }
    }
    all
}

/// An id, which Discord takes as a text or as a number.
pub fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// Where a message may start a thread, and how it may be called (page "Channel", Start Thread from Message).
pub fn thread(body: &Value, channel: &Channel) -> Result<(), Refusal> {
    let mut form = Form::default();
    match form.text(body, "", "name") {
        Some(name) => form.between("name", length(name), 1, 100),
        None => form.required("name"),
    }
    if let Some(minutes) = body.get("auto_archive_duration").and_then(Value::as_u64) {
        form.one_of("auto_archive_duration", minutes, &[60, 1440, 4320, 10080]);
    }
    form.finish()?;
    if channel.kind == 0 {
        return Ok(());
    }
    let message = "Cannot execute action on this channel type".to_owned();
    Err(Refusal { status: 400, code: 50024, message, errors: None })
}

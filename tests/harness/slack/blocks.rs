//! Blocks, messages and modals as Slack takes them: what Block Kit's pages say, and what it refuses without saying.

use serde_json::Value;

use super::check::{Check, length, plain, text};
use super::elements::Place;

/// Page "Blocks": the most in a message.
const MOST_IN_MESSAGE: usize = 50;
/// Page "Blocks": the most in a modal.
const MOST_IN_MODAL: usize = 100;
/// All text of a message's blocks, with [`EACH_BLOCK`] for each. Documented nowhere; what users of bolt-js measured
/// (slackapi/bolt-js#2509: refused from about 13 200 on, 125 less with a divider more).
const MOST_TEXT: usize = 13_200;
/// See [`MOST_TEXT`].
const EACH_BLOCK: usize = 125;

/// Where the blocks stand, for what is allowed there.
#[derive(Clone, Copy, PartialEq)]
enum Surface {
    Message,
    Modal,
}

/// Checks a message's blocks.
pub(super) fn message(check: &mut Check<'_>, blocks: &Value) {
    all(check, "/blocks", blocks, Surface::Message);
}

/// Is the whole too long, although each block is not (`msg_blocks_too_long`)?
pub(super) fn too_long(blocks: &Value) -> bool {
    let count = blocks.as_array().map_or(0, Vec::len);
    texts(blocks) + EACH_BLOCK * count > MOST_TEXT
}

fn texts(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(texts).sum(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| match value {
                Value::String(text) if key == "text" || key == "alt_text" => length(text),
                other => texts(other),
            })
            .sum(),
        _ => 0,
    }
}

/// Checks a modal (page "Modal views").
pub(super) fn modal(check: &mut Check<'_>, view: &Value) {
    let keys = [
        "type",
        "title",
        "blocks",
        "close",
        "submit",
        "private_metadata",
        "callback_id",
        "clear_on_close",
        "notify_on_close",
        "external_id",
        "submit_disabled",
    ];
    let Some(map) = check.object("/view", view, &keys) else { return };
    let kind = map.get("type").and_then(Value::as_str).unwrap_or_default();
    if kind != "modal" {
        check.error("/view/type", format!("unsupported type: {kind}"));
    }
    check.text("/view", map, "title", plain(24));
    check.text("/view", map, "submit", plain(24).optional());
    check.text("/view", map, "close", plain(24).optional());
    // These three may be empty: Slack itself gives them back so.
    for (key, most) in [("private_metadata", 3000), ("callback_id", 255), ("external_id", 255)] {
        if map.get(key).is_some_and(|value| value.as_str() != Some("")) {
            check.string("/view", map, key, false, most);
        }
    }
    check.flags("/view", map, &["clear_on_close", "notify_on_close", "submit_disabled"]);
    let blocks = map.get("blocks").unwrap_or(&Value::Null);
    all(check, "/view/blocks", blocks, Surface::Modal);
    let asks = blocks.as_array().into_iter().flatten().any(|block| block["type"] == "input");
    if asks && !map.contains_key("submit") {
        check.error("/view", "missing required field: submit");
    }
}

fn all(check: &mut Check<'_>, at: &str, blocks: &Value, surface: Surface) {
    let most = if surface == Surface::Modal { MOST_IN_MODAL } else { MOST_IN_MESSAGE };
    let mut seen = Vec::new();
    let mut tables = 0;
    for (n, value) in check.array(at, Some(blocks), 0, most).iter().enumerate() {
        let at = format!("{at}/{n}");
        block(check, &at, value, surface);
        if let Some(map) = value.as_object() {
            let id = check.string(&at, map, "block_id", false, 255);
            check.unique(&at, "block_id", &mut seen, id);
            tables += usize::from(value["type"] == "table");
        }
    }
    // Page "Table block".
    if tables > 1 {
        check.error(at, "only_one_table_allowed");
    }
}

fn block(check: &mut Check<'_>, at: &str, value: &Value, surface: Surface) {
    match value["type"].as_str().unwrap_or_default() {
        "section" => section(check, at, value),
        "header" => {
            if let Some(map) = check.object(at, value, &["type", "block_id", "text"]) {
                check.text(at, map, "text", plain(150));
            }
        }
        "divider" => {
            check.object(at, value, &["type", "block_id"]);
        }
        "image" => check.image(at, value, &["type", "block_id", "image_url", "slack_file", "alt_text", "title"]),
        "actions" => actions(check, at, value),
        "context" => context(check, at, value),
        "input" => input(check, at, value),
        "rich_text" => {
            if let Some(map) = check.object(at, value, &["type", "block_id", "elements"]) {
                rich(check, &format!("{at}/elements"), map.get("elements"));
            }
        }
        // Page "Markdown block"; no modal takes one.
        "markdown" if surface == Surface::Message => {
            if let Some(map) = check.object(at, value, &["type", "block_id", "text"])
                && let Some(text) = check.string(at, map, "text", true, 12_000)
            {
                check.calls_people(&format!("{at}/text"), text);
            }
        }
        "table" if surface == Surface::Message => table(check, at, value),
        // Newer kinds (`alert`, `card`, `plan`, ..) are refused too until the fake knows their rules: better a test
        // that asks for them than a bot that hopes.
        other => check.error(&format!("{at}/type"), format!("unsupported type: {other}")),
    }
}

/// Page "Section block".
fn section(check: &mut Check<'_>, at: &str, value: &Value) {
    let keys = ["type", "block_id", "text", "fields", "accessory", "expand"];
    let Some(map) = check.object(at, value, &keys) else { return };
    if map.get("text").is_none() && map.get("fields").is_none() {
        check.error(at, "must define either `text` or `fields`");
    }
    check.text(at, map, "text", text(3000).optional());
    check.flags(at, map, &["expand"]);
    if let Some(fields) = map.get("fields") {
        let at = format!("{at}/fields");
        for (n, field) in check.array(&at, Some(fields), 1, 10).iter().enumerate() {
            check.text_object(&format!("{at}/{n}"), field, text(2000));
        }
    }
    if let Some(accessory) = map.get("accessory") {
        check.element(&format!("{at}/accessory"), accessory, Place::Accessory);
    }
}

/// Page "Actions block".
fn actions(check: &mut Check<'_>, at: &str, value: &Value) {
    let Some(map) = check.object(at, value, &["type", "block_id", "elements"]) else { return };
    let at = format!("{at}/elements");
    let mut seen = Vec::new();
    for (n, element) in check.array(&at, map.get("elements"), 1, 25).iter().enumerate() {
        let at = format!("{at}/{n}");
        let id = check.element(&at, element, Place::Actions);
        check.unique(&at, "action_id", &mut seen, id);
    }
}

/// Page "Context block".
fn context(check: &mut Check<'_>, at: &str, value: &Value) {
    let Some(map) = check.object(at, value, &["type", "block_id", "elements"]) else { return };
    let at = format!("{at}/elements");
    for (n, element) in check.array(&at, map.get("elements"), 1, 10).iter().enumerate() {
        let at = format!("{at}/{n}");
        if element["type"] == "image" {
            check.image(&at, element, &["type", "image_url", "slack_file", "alt_text"]);
        } else {
            check.text_object(&at, element, text(3000));
        }
    }
}

/// Page "Input block".
fn input(check: &mut Check<'_>, at: &str, value: &Value) {
    let keys = ["type", "block_id", "label", "element", "dispatch_action", "hint", "optional"];
    let Some(map) = check.object(at, value, &keys) else { return };
    check.text(at, map, "label", plain(2000));
    check.text(at, map, "hint", plain(2000).optional());
    check.flags(at, map, &["dispatch_action", "optional"]);
    match map.get("element") {
        Some(element) => {
            check.element(&format!("{at}/element"), element, Place::Input);
        }
        None => check.error(at, "missing required field: element"),
    }
}

/// Page "Rich text block": only that nothing in it is empty, and that every part has a kind.
fn rich(check: &mut Check<'_>, at: &str, elements: Option<&Value>) {
    for (n, element) in check.array(at, elements, 0, usize::MAX).iter().enumerate() {
        let at = format!("{at}/{n}");
        let kind = element["type"].as_str().unwrap_or_default();
        match (element.as_object(), kind) {
            (None, _) => check.error(&at, "must provide an object"),
            (Some(map), "rich_text_section" | "rich_text_list" | "rich_text_preformatted" | "rich_text_quote") => {
                rich(check, &format!("{at}/elements"), map.get("elements"));
            }
            (Some(map), "text") => {
                check.string(&at, map, "text", true, usize::MAX);
            }
            (Some(_), "broadcast") => check.injected.push(format!("injected a broadcast in {at}")),
            (Some(_), "link" | "emoji" | "user" | "usergroup" | "channel" | "date" | "color" | "team") => {}
            (Some(_), other) => check.error(&format!("{at}/type"), format!("unsupported type: {other}")),
        }
    }
}

/// Page "Table block".
fn table(check: &mut Check<'_>, at: &str, value: &Value) {
    let Some(map) = check.object(at, value, &["type", "block_id", "rows", "column_settings"]) else { return };
    let at = format!("{at}/rows");
    for (n, row) in check.array(&at, map.get("rows"), 1, 100).iter().enumerate() {
        let at = format!("{at}/{n}");
        for (n, cell) in check.array(&at, Some(row), 1, 20).iter().enumerate() {
            let at = format!("{at}/{n}");
            let Some(map) = cell.as_object() else {
                check.error(&at, "must provide an object");
                continue;
            };
            match cell["type"].as_str().unwrap_or_default() {
                "raw_text" => {
                    check.string(&at, map, "text", true, usize::MAX);
                }
                "rich_text" => rich(check, &format!("{at}/elements"), map.get("elements")),
                other => check.error(&format!("{at}/type"), format!("unsupported type: {other}")),
            }
        }
    }
}

//! Turns what serde says about a table into a sentence about the file, with advice.
//!
//! serde's messages are text for programmers; the parts of them that are used here are pinned by the cases. Where one
//! is not recognised it is shown as it stands. Called by the reader of tables.

use super::problem::{is_secret_key, nearest, value};
use super::reader::{Label, Step};

/// Keys whose values are durations: a bare number there gets the right advice.
const DURATIONS: &[&str] = &[
    "interval",
    "timeout",
    "cooldown",
    "expiry",
    "settle",
    "deadline",
    "stop_within",
    "ready_within",
    "retrain_every",
    "max_ttl",
    "wall",
    "wall_dry_run",
    "wall_acting",
    // Of experiments.
    "for",
    "after",
    "within",
    "delay",
    "jitter",
    "every",
    "detected_within",
    "healed_within",
];

/// Advice for the key that takes how often the detector may be wrong.
const BUDGETS: &str = "write `false_alarms = \"at most one a day\"`, or 3 a week, two a month, 1/day";

/// The part of a message between two others, where it begins with the first.
pub(super) fn between<'m>(text: &'m str, before: &str, after: &str) -> Option<&'m str> {
    text.strip_prefix(before)?.split_once(after).map(|(inner, _)| inner)
}

/// What may be written for a key that is missing.
pub(super) fn example(key: &str) -> &'static str {
    match key {
        "name" => "\"...\"",
        "playbook" => "\"scale-out\"",
        "targets" => "[\"local:shop\"]",
        "allow" => "[\"scale\"]",
        "command" => "[\"./shop\", \"--port\", \"{port}\"]",
        _ => "...",
    }
}

/// Turns serde's message into a sentence about the file, with advice.
pub(super) fn explain(raw: &str, path: &[Step], label: &Label, beside: &[&str]) -> (String, String) {
    let parent = path.split_last().map_or(path, |(_, parent)| parent);
    let key = path.iter().rev().find_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Index(_) => None,
    });
    let key = key.unwrap_or_default();
    let place = label.of(match path.last() {
        Some(Step::Index(_)) => parent.split_last().map_or(parent, |(_, above)| above),
        _ => parent,
    });
    if let Some(rest) = raw.strip_prefix("unknown field `") {
        // Only the names after ` expected ` are serde's; what stands before is the file's.
        let known: Vec<_> = quoted_after(rest, "`, expected ").into_iter().chain(beside.iter().copied()).collect();
        let message = format!("unknown key `{}` in {place}", value(key));
        return (message, help_for_unknown_key(key, &known));
    }
    if let Some(rest) = raw.strip_prefix("unknown variant `") {
        let known = quoted_after(rest, "`, expected ");
        let word = rest.split_once("`, expected ").map_or(rest, |(word, _)| word);
        let message = format!("`{}` is no value for `{}` in {place}", value(word), value(key));
        return (message, did_you_mean(word, &known, "it is one of"));
    }
    for prefix in ["invalid type: ", "invalid value: "] {
        let Some((found, expected)) = raw.strip_prefix(prefix).and_then(|rest| rest.rsplit_once(", expected ")) else {
            continue;
        };
        let found = found.replace("floating point", "number").replace("sequence", "a list").replace("map", "a table");
        let entry = if matches!(path.last(), Some(Step::Index(_))) { "an entry of " } else { "" };
        let message =
            format!("{entry}`{}` in {place} must be {}, not {}", value(key), expectation(expected), value(&found));
        return (message, help_for_type(key, &found, expected));
    }
    (format!("`{}` in {place}: {}", value(key), raw), help_for_text(key, parent))
}

fn help_for_type(key: &str, found: &str, expected: &str) -> String {
    if key == "false_alarms" {
        return BUDGETS.to_owned();
    }
    if DURATIONS.contains(&key) {
        let number = between(found, "integer `", "`").or_else(|| between(found, "number `", "`")).unwrap_or("5");
        return format!("a duration is text with its unit: `{key} = \"{number}s\"` (or ms, min, h)");
    }
    match (expected, found.strip_prefix("string ")) {
        ("a sequence", Some(text)) => format!("put it into brackets: `{key} = [{}]`", value(text)),
        _ => String::new(),
    }
}

/// What a text of a kind of its own looks like, for the keys that take one.
fn help_for_text(key: &str, parent: &[Step]) -> String {
    let in_pins = parent.last() == Some(&Step::Key("pins".to_owned()));
    match key {
        _ if in_pins => "write what `sha256sum FILE` says of the component".to_owned(),
        "false_alarms" => BUDGETS.to_owned(),
        "windows" | "window" => super::window::LIKE.to_owned(),
        "listen" => "write an address and a port: `listen = \"127.0.0.1:8080\"`".to_owned(),
        _ if DURATIONS.contains(&key) => format!("a duration is text with its unit: `{key} = \"5s\"`"),
        _ => String::new(),
    }
}

fn expectation(expected: &str) -> &str {
    match expected {
        "a string" | "path string" => "text in quotes",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other if other.contains("enum ") => "one of the known words, in quotes",
        other => other,
    }
}

/// The words in backticks after `marker`.
fn quoted_after<'m>(text: &'m str, marker: &str) -> Vec<&'m str> {
    let known = text.rsplit_once(marker).map_or("", |(_, known)| known);
    known.split('`').skip(1).step_by(2).collect()
}

/// Advice for a key nobody knows.
fn help_for_unknown_key(key: &str, known: &[&str]) -> String {
    if is_secret_key(key) {
        return "no secret stands in this file: put it into an environment variable or a file of its own, and take it \
                out of here"
            .to_owned();
    }
    did_you_mean(key, known, "known keys:")
}

/// `did you mean ...?`, or the whole list behind `intro`.
pub(crate) fn did_you_mean(word: &str, known: &[&str], intro: &str) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => String::new(),
        None => format!("{intro} {}", known.join(", ")),
    }
}

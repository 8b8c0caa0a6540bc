//! The arguments of a web call, from a query, a form or JSON; and the refusals.

use serde_json::{Map, Value, json};

/// What Slack answers instead of doing it.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub error: String,
    /// What is wrong where, for `response_metadata.messages`.
    pub details: Vec<String>,
    /// More fields of the answer.
    pub extra: Map<String, Value>,
}

pub(super) type Answer = Result<Value, Refusal>;

/// A refusal by its name.
pub(super) fn refuse(error: &str) -> Refusal {
    Refusal { error: error.to_owned(), details: Vec::new(), extra: Map::new() }
}

/// A refusal that says what is wrong where.
pub(super) fn refuse_with(error: &str, details: Vec<String>) -> Refusal {
    Refusal { details, ..refuse(error) }
}

impl Refusal {
    /// Is it the world's doing (a scope, an invitation, somebody gone) rather than a request that can never be right?
    pub fn is_weather(&self) -> bool {
        matches!(
            self.error.as_str(),
            "missing_scope"
                | "not_in_channel"
                | "channel_not_found"
                | "is_archived"
                | "ratelimited"
                | "message_not_found"
                | "thread_not_found"
                | "user_not_found"
                | "user_not_in_channel"
                | "no_such_subteam"
        )
    }

    /// The answer's body.
    pub fn body(&self) -> Value {
        let mut body = json!({"ok": false, "error": self.error});
        for (key, value) in &self.extra {
            body[key] = value.clone();
        }
        if !self.details.is_empty() {
            let messages: Vec<String> = self.details.iter().map(|detail| format!("[ERROR] {detail}")).collect();
            body["errors"] = json!(self.details);
            body["response_metadata"] = json!({"messages": messages});
        }
        body
    }
}

/// Arguments by name; a JSON `null` counts as absent.
#[derive(Clone, Debug, Default)]
pub(super) struct Args(pub Map<String, Value>);

impl Args {
    /// From a JSON body.
    pub fn json(body: &str) -> Option<Self> {
        let Value::Object(map) = serde_json::from_str(body).ok()? else { return None };
        Some(Self(map.into_iter().filter(|(_, value)| !value.is_null()).collect()))
    }

    /// From a query or a form.
    pub fn form(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(pairs.map(|(key, value)| (decode(key), Value::String(decode(value)))).collect())
    }

    /// A text; empty is absent.
    pub fn text(&self, key: &str) -> Option<String> {
        match self.0.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
        .filter(|text| !text.is_empty())
    }

    /// A text that must be there.
    pub fn required(&self, key: &str) -> Result<String, Refusal> {
        self.text(key).ok_or_else(|| {
            refuse_with("invalid_arguments", vec![format!("missing required field: {key} [json-pointer:/{key}]")])
        })
    }

    pub fn flag(&self, key: &str) -> bool {
        match self.0.get(key) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => matches!(text.as_str(), "true" | "1"),
            Some(Value::Number(number)) => number.as_u64() == Some(1),
            _ => false,
        }
    }

    pub fn number(&self, key: &str) -> Option<usize> {
        self.text(key)?.parse().ok()
    }

    /// An array or object, which may come as a string with JSON in it; `Err` is one that does not parse.
    pub fn structure(&self, key: &str) -> Result<Option<Value>, ()> {
        match self.0.get(key) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => serde_json::from_str(text).map(Some).map_err(drop),
            Some(value) => Ok(Some(value.clone())),
        }
    }
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 2;
            }
            (b'+', _) => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

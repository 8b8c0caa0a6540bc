//! What Discord answers when it refuses: a status, a number, a sentence, and for a form the place of each fault.
//! The numbers are those of the page "Opcodes and Status Codes", the form that of "Reference: Error Messages".

use serde_json::{Map, Value, json};

/// A refusal.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub status: u16,
    pub code: u64,
    pub message: String,
    pub errors: Option<Value>,
}

impl Refusal {
    fn new(status: u16, code: u64, message: &str) -> Self {
        Self { status, code, message: message.to_owned(), errors: None }
    }
    pub fn unauthorized() -> Self {
        Self::new(401, 0, "401: Unauthorized")
    }
    pub fn not_found() -> Self {
        Self::new(404, 0, "404: Not Found")
    }
    pub fn not_allowed() -> Self {
        Self::new(405, 0, "405: Method Not Allowed")
    }
    pub fn unknown(code: u64, what: &str) -> Self {
        Self::new(404, code, &format!("Unknown {what}"))
    }
    pub fn too_large() -> Self {
        Self::new(413, 40005, "Request entity too large")
    }
    pub fn already_acknowledged() -> Self {
        Self::new(400, 40060, "Interaction has already been acknowledged.")
    }
    pub fn missing_access() -> Self {
        Self::new(403, 50001, "Missing Access")
    }
    pub fn others_message() -> Self {
        Self::new(403, 50005, "Cannot edit a message authored by another user")
    }
    pub fn empty_message() -> Self {
        Self::new(400, 50006, "Cannot send an empty message")
    }
    pub fn cannot_message_user() -> Self {
        Self::new(403, 50007, "Cannot send messages to this user")
    }
    pub fn missing_permissions() -> Self {
        Self::new(403, 50013, "Missing Permissions")
    }
    pub fn invalid_webhook_token() -> Self {
        Self::new(401, 50027, "Invalid Webhook Token")
    }
    pub fn too_many_edits() -> Self {
        let message = "Maximum number of edits to messages older than 1 hour reached. Try again later";
        Self::new(429, 30046, message)
    }
    pub fn archived() -> Self {
        Self::new(400, 50083, "Thread is archived")
    }
    pub fn not_json() -> Self {
        Self::new(400, 50109, "The request body contains invalid JSON.")
    }
    pub fn no_history() -> Self {
        Self::new(400, 160_002, "Cannot reply without permission to read message history")
    }
    pub fn has_thread() -> Self {
        Self::new(400, 160_004, "A thread has already been created for this message")
    }
    pub fn body(&self) -> Value {
        let mut body = json!({"message": self.message, "code": self.code});
        if let Some(errors) = &self.errors {
            body["errors"] = errors.clone();
        }
        body
    }
    /// One line for `rejected()`.
    pub fn line(&self) -> String {
        let errors = self.errors.as_ref().map(|e| format!(" {e}")).unwrap_or_default();
        format!("{} {} {}{errors}", self.status, self.code, self.message)
    }
}

/// Collects the faults of a form, each at its path, so that all are told at once.
#[derive(Debug, Default)]
pub struct Form {
    faults: Vec<(String, &'static str, String)>,
}

impl Form {
    pub fn fault(&mut self, path: &str, code: &'static str, message: impl Into<String>) {
        self.faults.push((path.to_owned(), code, message.into()));
    }
    pub fn required(&mut self, path: &str) {
        self.fault(path, "BASE_TYPE_REQUIRED", "This field is required");
    }
    pub fn at_most(&mut self, path: &str, length: usize, most: usize) {
        if length > most {
            self.fault(path, "BASE_TYPE_MAX_LENGTH", format!("Must be {most} or fewer in length."));
        }
    }
    pub fn between(&mut self, path: &str, length: usize, least: usize, most: usize) {
        if length < least || length > most {
            self.fault(path, "BASE_TYPE_BAD_LENGTH", format!("Must be between {least} and {most} in length."));
        }
    }
    pub fn one_of(&mut self, path: &str, value: u64, of: &[u64]) {
        if !of.contains(&value) {
            let of = of.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            self.fault(path, "BASE_TYPE_CHOICES", format!("Value must be one of {{{of}}}."));
        }
    }
    /// A text of `value[key]`; a fault when it is there but no text.
    pub fn text<'v>(&mut self, value: &'v Value, path: &str, key: &str) -> Option<&'v str> {
        match value.get(key) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(_) => {
                self.fault(&at(path, key), "BASE_TYPE_STRING", "Only string types are accepted here.");
                None
            }
        }
    }
    /// A list of `value[key]`; a fault when it is there but no list.
    pub fn list<'v>(&mut self, value: &'v Value, path: &str, key: &str) -> &'v [Value] {
        match value.get(key) {
            None | Some(Value::Null) => &[],
            Some(Value::Array(list)) => list,
            Some(_) => {
                self.fault(&at(path, key), "BASE_TYPE_BAD_TYPE", "Only iterables may be used in a ListType");
                &[]
            }
        }
    }
    pub fn finish(self) -> Result<(), Refusal> {
        if self.faults.is_empty() {
            return Ok(());
        }
        let mut errors = Map::new();
        for (path, code, message) in &self.faults {
            let mut node = &mut errors;
            for part in path.split('.').filter(|p| !p.is_empty()) {
                node = node.entry(part).or_insert_with(|| json!({})).as_object_mut().expect("every node is an object");
            }
            let list = node.entry("_errors").or_insert_with(|| json!([])).as_array_mut().expect("a list");
            list.push(json!({"code": code, "message": message}));
        }
        Err(Refusal { errors: Some(Value::Object(errors)), ..Refusal::new(400, 50035, "Invalid Form Body") })
    }
}

/// A path inside a path.
pub fn at(path: &str, key: impl std::fmt::Display) -> String {
    if path.is_empty() { key.to_string() } else { format!("{path}.{key}") }
}

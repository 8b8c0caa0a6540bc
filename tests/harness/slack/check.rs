//! The checker that walks Block Kit: what is wrong is collected with a pointer to the place, in the form in which
//! Slack reports it.

use serde_json::{Map, Value};

/// Finds what Slack would refuse. Knows no state but the files that may be shown.
pub(super) struct Check<'a> {
    /// Refusals, as `must be more than 0 characters [json-pointer:/blocks/0/text/text]`.
    pub errors: Vec<String>,
    /// Texts that would call people: accepted by Slack, and never meant by this bot.
    pub injected: Vec<String>,
    /// Is this the id or the address of an image that was uploaded and processed?
    pub is_image: &'a dyn Fn(&str) -> bool,
}

impl<'a> Check<'a> {
    pub fn new(is_image: &'a dyn Fn(&str) -> bool) -> Self {
        Self { errors: Vec::new(), injected: Vec::new(), is_image }
    }

    pub fn error(&mut self, at: &str, what: impl AsRef<str>) {
        self.errors.push(format!("{} [json-pointer:{at}]", what.as_ref()));
    }

    /// An object with none but these keys.
    pub fn object<'v>(&mut self, at: &str, value: &'v Value, keys: &[&str]) -> Option<&'v Map<String, Value>> {
        let Some(map) = value.as_object() else {
            self.error(at, "must provide an object");
            return None;
        };
        for key in map.keys().filter(|key| !keys.contains(&key.as_str())) {
            self.error(at, format!("invalid additional property: {key}"));
        }
        Some(map)
    }

    /// An array of so many.
    pub fn array<'v>(&mut self, at: &str, value: Option<&'v Value>, least: usize, most: usize) -> &'v [Value] {
        let Some(items) = value.and_then(Value::as_array) else {
            self.error(at, "must provide an array");
            return &[];
        };
        if items.len() < least {
            self.error(at, format!("no fewer than {least} items allowed"));
        }
        if items.len() > most {
            self.error(at, format!("no more than {most} items allowed"));
        }
        items
    }

    /// A string of at least one and at most so many characters.
    pub fn string<'v>(
        &mut self,
        at: &str,
        map: &'v Map<String, Value>,
        key: &str,
        required: bool,
        most: usize,
    ) -> Option<&'v str> {
        let at = format!("{at}/{key}");
        match map.get(key) {
            None if required => self.error(&at, format!("missing required field: {key}")),
            None => {}
            Some(Value::String(text)) => {
                if text.is_empty() {
                    self.error(&at, "must be more than 0 characters");
                }
                if length(text) > most {
                    self.error(&at, format!("must be less than {} characters", most + 1));
                }
                return Some(text);
            }
            Some(_) => self.error(&at, "must provide a string"),
        }
        None
    }

    pub fn flags(&mut self, at: &str, map: &Map<String, Value>, keys: &[&str]) {
        for key in keys {
            if map.get(*key).is_some_and(|flag| !flag.is_boolean()) {
                self.error(&format!("{at}/{key}"), "must provide a boolean");
            }
        }
    }

    /// A text object (page "Text object").
    pub fn text(&mut self, at: &str, map: &Map<String, Value>, key: &str, rule: TextRule) {
        let inner = format!("{at}/{key}");
        match map.get(key) {
            None if rule.required => self.error(at, format!("missing required field: {key}")),
            None => {}
            Some(value) => self.text_object(&inner, value, rule),
        }
    }

    pub fn text_object(&mut self, at: &str, value: &Value, rule: TextRule) {
        let Some(map) = self.object(at, value, &["type", "text", "emoji", "verbatim"]) else { return };
        let kind = map.get("type").and_then(Value::as_str).unwrap_or_default();
        let allowed = kind == "plain_text" || (kind == "mrkdwn" && !rule.plain);
        if !allowed {
            self.error(&format!("{at}/type"), format!("unsupported type: {kind}"));
        }
        if kind == "mrkdwn" && map.contains_key("emoji") {
            self.error(at, "invalid additional property: emoji");
        }
        if kind == "plain_text" && map.contains_key("verbatim") {
            self.error(at, "invalid additional property: verbatim");
        }
        self.flags(at, map, &["emoji", "verbatim"]);
        let text = self.string(at, map, "text", true, rule.most);
        if let (Some(text), "mrkdwn") = (text, kind) {
            self.calls_people(&format!("{at}/text"), text);
        }
    }

    /// Text in which `<!channel>` is not escaped makes every phone in the channel ring (page "Formatting message
    /// text"). It comes from a metric's label or a person far more often than from the bot.
    pub fn calls_people(&mut self, at: &str, text: &str) {
        for word in ["channel", "here", "everyone"] {
            if text.contains(&format!("<!{word}>")) || text.contains(&format!("<!{word}|")) {
                self.injected.push(format!("injected <!{word}> in {at}: {text}"));
            }
        }
    }

    /// `block_id` and `action_id` must be unique where they stand.
    pub fn unique<'v>(&mut self, at: &str, key: &str, seen: &mut Vec<&'v str>, value: Option<&'v str>) {
        let Some(id) = value else { return };
        if seen.contains(&id) {
            self.error(&format!("{at}/{key}"), format!("{key} already exists: {id}"));
        }
        seen.push(id);
    }
}

/// What a text object must be in its place.
#[derive(Clone, Copy)]
pub(super) struct TextRule {
    required: bool,
    plain: bool,
    most: usize,
}

/// A required text of either kind.
pub(super) const fn text(most: usize) -> TextRule {
    TextRule { required: true, plain: false, most }
}

/// A required `plain_text`.
pub(super) const fn plain(most: usize) -> TextRule {
    TextRule { required: true, plain: true, most }
}

impl TextRule {
    pub const fn optional(self) -> Self {
        Self { required: false, ..self }
    }
}

/// Characters as the strictest reading has it: UTF-16 units, of which an emoji takes two. Slack says only "characters".
pub(super) fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

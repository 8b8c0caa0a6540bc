//! What stands inside blocks: buttons, selects, inputs and their parts (pages "Block elements" and "Composition
//! objects").

use serde_json::{Map, Value};

use super::check::{Check, plain, text};

/// Elements that an `actions` block takes (page "Actions block").
const IN_ACTIONS: &[&str] = &[
    "button",
    "checkboxes",
    "datepicker",
    "datetimepicker",
    "timepicker",
    "overflow",
    "radio_buttons",
    "static_select",
    "external_select",
    "users_select",
    "conversations_select",
    "channels_select",
    "multi_static_select",
    "multi_external_select",
    "multi_users_select",
    "multi_conversations_select",
    "multi_channels_select",
];

/// Elements that only an `input` block takes besides (page "Input block").
const ONLY_IN_INPUT: &[&str] =
    &["plain_text_input", "number_input", "email_text_input", "url_text_input", "file_input", "rich_text_input"];

/// Where an element stands.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Place {
    Actions,
    Accessory,
    Input,
}

impl Check<'_> {
    /// An interactive element, or an image as an accessory. Gives back its `action_id`.
    pub fn element<'v>(&mut self, at: &str, value: &'v Value, place: Place) -> Option<&'v str> {
        let Some(map) = value.as_object() else {
            self.error(at, "must provide an object");
            return None;
        };
        let kind = map.get("type").and_then(Value::as_str).unwrap_or_default();
        let fits = match place {
            Place::Actions => IN_ACTIONS.contains(&kind),
            Place::Accessory => IN_ACTIONS.contains(&kind) || kind == "image",
            Place::Input => ONLY_IN_INPUT.contains(&kind) || (IN_ACTIONS.contains(&kind) && !in_input_never(kind)),
        };
        if !fits {
            self.error(&format!("{at}/type"), format!("unsupported type: {kind}"));
            return None;
        }
        match kind {
            "image" => self.image(at, value, &["type", "image_url", "slack_file", "alt_text"]),
            "button" => self.button(at, value, map),
            "overflow" => {
                self.object(at, value, &["type", "action_id", "options", "confirm"]);
                self.options(at, map, "options", 5, true);
            }
            "radio_buttons" | "checkboxes" => {
                let initial = if kind == "checkboxes" { "initial_options" } else { "initial_option" };
                self.object(at, value, &["type", "action_id", "options", initial, "confirm", "focus_on_load"]);
                self.options(at, map, "options", 10, false);
            }
            "static_select" | "multi_static_select" => self.select(at, value, map, kind),
            "plain_text_input" | "email_text_input" | "url_text_input" | "number_input" => {
                self.written(at, value, map, kind);
            }
            _ => {}
        }
        self.text(at, map, "placeholder", plain(150).optional());
        self.flags(at, map, &["focus_on_load", "multiline", "is_decimal_allowed"]);
        if let Some(confirm) = map.get("confirm") {
            self.confirm(&format!("{at}/confirm"), confirm);
        }
        self.string(at, map, "action_id", false, 255)
    }

    /// Page "Button element".
    fn button(&mut self, at: &str, value: &Value, map: &Map<String, Value>) {
        let keys = ["type", "text", "action_id", "url", "value", "style", "confirm", "accessibility_label"];
        self.object(at, value, &keys);
        self.text(at, map, "text", plain(75));
        self.string(at, map, "value", false, 2000);
        self.string(at, map, "accessibility_label", false, 75);
        if let Some(url) = self.string(at, map, "url", false, 3000) {
            self.address(&format!("{at}/url"), url);
        }
        self.style(at, map);
    }

    fn style(&mut self, at: &str, map: &Map<String, Value>) {
        let style = self.string(at, map, "style", false, 255);
        if style.is_some_and(|style| !matches!(style, "primary" | "danger")) {
            self.error(&format!("{at}/style"), "must be a valid enum value");
        }
    }

    /// Page "Confirmation dialog object".
    fn confirm(&mut self, at: &str, value: &Value) {
        let Some(map) = self.object(at, value, &["title", "text", "confirm", "deny", "style"]) else { return };
        self.text(at, map, "title", plain(100));
        self.text(at, map, "text", plain(300));
        self.text(at, map, "confirm", plain(30));
        self.text(at, map, "deny", plain(30));
        self.style(at, map);
    }

    /// Page "Select menu element".
    fn select(&mut self, at: &str, value: &Value, map: &Map<String, Value>, kind: &str) {
        let mut keys = vec!["type", "action_id", "placeholder", "options", "option_groups", "confirm", "focus_on_load"];
        keys.extend(if kind == "static_select" {
            &["initial_option"][..]
        } else {
            &["initial_options", "max_selected_items"]
        });
        self.object(at, value, &keys);
        match map.get("option_groups") {
            None => self.options(at, map, "options", 100, false),
            Some(_) if map.contains_key("options") => {
                self.error(at, "must define either `options` or `option_groups`, not both");
            }
            groups => {
                let inner = format!("{at}/option_groups");
                for (n, group) in self.array(&inner, groups, 1, 100).iter().enumerate() {
                    let inner = format!("{inner}/{n}");
                    if let Some(group) = self.object(&inner, group, &["label", "options"]) {
                        self.text(&inner, group, "label", plain(75));
                        self.options(&inner, group, "options", 100, false);
                    }
                }
            }
        }
        if let Some(initial) = map.get("initial_option")
            && !choices(map).any(|option| option.get("value") == initial.get("value"))
        {
            self.error(&format!("{at}/initial_option"), "must be one of the options");
        }
    }

    /// Page "Option object"; only an overflow menu's may have a `url`.
    fn options(&mut self, at: &str, map: &Map<String, Value>, key: &str, most: usize, overflow: bool) {
        let inner = format!("{at}/{key}");
        let keys: &[&str] =
            if overflow { &["text", "value", "description", "url"] } else { &["text", "value", "description"] };
        for (n, option) in self.array(&inner, map.get(key), 1, most).iter().enumerate() {
            let inner = format!("{inner}/{n}");
            let Some(option) = self.object(&inner, option, keys) else { continue };
            self.text(&inner, option, "text", text(75));
            self.string(&inner, option, "value", true, 150);
            self.text(&inner, option, "description", text(75).optional());
        }
    }

    /// Pages "Plain-text input element", "Number input element" and their like.
    fn written(&mut self, at: &str, value: &Value, map: &Map<String, Value>, kind: &str) {
        let mut keys =
            vec!["type", "action_id", "initial_value", "dispatch_action_config", "focus_on_load", "placeholder"];
        keys.extend(match kind {
            "plain_text_input" => &["multiline", "min_length", "max_length"][..],
            "number_input" => &["is_decimal_allowed", "min_value", "max_value"],
            _ => &[],
        });
        self.object(at, value, &keys);
        if kind == "number_input" && !map.contains_key("is_decimal_allowed") {
            self.error(at, "missing required field: is_decimal_allowed");
        }
        let mut bound = |key: &str, least: u64| {
            let found = map.get(key)?;
            match found.as_u64() {
                Some(n) if (least..=3000).contains(&n) => return Some(n),
                _ => self.error(&format!("{at}/{key}"), format!("must be between {least} and 3000")),
            }
            None
        };
        let (min, max) = (bound("min_length", 0), bound("max_length", 1));
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            self.error(at, "min_length must be less than max_length");
        }
    }

    /// An image as a block, as an accessory or in a context (pages "Image block", "Image element", "Slack file
    /// object").
    pub fn image(&mut self, at: &str, value: &Value, keys: &[&str]) {
        let Some(map) = self.object(at, value, keys) else { return };
        self.string(at, map, "alt_text", true, 2000);
        self.text(at, map, "title", plain(2000).optional());
        match (map.get("image_url"), map.get("slack_file")) {
            (Some(_), None) => {
                if let Some(url) = self.string(at, map, "image_url", true, 3000) {
                    self.address(&format!("{at}/image_url"), url);
                    // Slack fetches the image itself, so an address of this machine is of no use to it.
                    if ["://127.", "://localhost", "://[::1]"].iter().any(|own| url.contains(own)) {
                        self.error(&format!("{at}/image_url"), "downloading image failed");
                    }
                }
            }
            (None, Some(file)) => {
                let at = format!("{at}/slack_file");
                let Some(file) = self.object(&at, file, &["id", "url"]) else { return };
                let given: Vec<&str> = file.values().filter_map(Value::as_str).collect();
                if given.len() != 1 || file.len() != 1 {
                    self.error(&at, "must define either `id` or `url`");
                } else if !given.iter().all(|file| (self.is_image)(file)) {
                    self.error(&at, "invalid slack file");
                }
            }
            _ => self.error(at, "must define either `image_url` or `slack_file`"),
        }
    }

    fn address(&mut self, at: &str, url: &str) {
        if !url.starts_with("https://") && !url.starts_with("http://") && !url.starts_with("mailto:") {
            self.error(at, "must be a valid url");
        }
    }
}

fn in_input_never(kind: &str) -> bool {
    matches!(kind, "button" | "overflow")
}

/// All options of a select, also those in groups.
pub(super) fn choices(select: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let own = select.get("options").and_then(Value::as_array).into_iter().flatten();
    let groups = select.get("option_groups").and_then(Value::as_array).into_iter().flatten();
    own.chain(groups.filter_map(|group| group.get("options")?.as_array()).flatten())
}

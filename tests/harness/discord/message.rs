//! A message as tests see it.

use std::time::SystemTime;

use serde_json::Value;

/// A file of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its id.
    pub id: String,
    /// Its file name, with underscores for blanks.
    pub name: String,
    /// What it shows, for who cannot see it.
    pub description: Option<String>,
    /// Its media type, as it was sent.
    pub content_type: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// A message as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// The id of the channel or thread it is in.
    pub channel: String,
    /// The author's id.
    pub author: String,
    /// Its text, trimmed.
    pub content: String,
    /// Its embeds, as they were sent.
    pub embeds: Vec<Value>,
    /// Its action rows, as they were sent.
    pub components: Vec<Value>,
    /// Its files.
    pub attachments: Vec<Attachment>,
    /// Its flags (page "Message", Message Flags).
    pub flags: u64,
    /// How often it was edited.
    pub edits: usize,
    /// The thread that was started on it; it has the message's id.
    pub thread: Option<String>,
    /// The message it replies to.
    pub reference: Option<String>,
    /// The interaction it answers, when it does.
    pub interaction: Option<String>,
    /// The only user who sees it, when it is ephemeral.
    pub only: Option<String>,
    /// It is not there any more.
    pub deleted: bool,
    /// What the sender gave it to know it by.
    pub nonce: Option<Value>,
    /// When it was written.
    pub at: SystemTime,
    /// When it was last edited.
    pub edited_at: Option<SystemTime>,
}

impl Message {
    /// The flag of an ephemeral message (page "Message", Message Flags).
    pub const EPHEMERAL: u64 = 1 << 6;
    /// The flag of a deferred answer that is not there yet.
    pub const LOADING: u64 = 1 << 7;
    /// The flag of a message that a thread was started on.
    pub const HAS_THREAD: u64 = 1 << 5;

    /// Only one user sees it.
    #[must_use]
    pub fn ephemeral(&self) -> bool {
        self.only.is_some()
    }

    /// Its buttons: label, custom id, and whether it may be pressed.
    #[must_use]
    pub fn buttons(&self) -> Vec<(String, String, bool)> {
        let text = |v: &Value, k: &str| v[k].as_str().unwrap_or_default().to_owned();
        parts(&self.components)
            .filter(|c| c["type"] == 2)
            .map(|c| (text(c, "label"), text(c, "custom_id"), c["disabled"] != true))
            .collect()
    }

    /// The custom id of the button with this label, when there is one that may be pressed.
    #[must_use]
    pub fn button(&self, label: &str) -> Option<String> {
        self.buttons().into_iter().find(|(l, _, enabled)| l == label && *enabled).map(|(_, id, _)| id)
    }

    /// All text of it in one: content, then each embed's title, description, fields and footer. For `contains`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut all = vec![self.content.clone()];
        for embed in &self.embeds {
            let mut add = |v: &Value| all.extend(v.as_str().map(ToOwned::to_owned));
            add(&embed["author"]["name"]);
            add(&embed["title"]);
            add(&embed["description"]);
            for field in embed["fields"].as_array().into_iter().flatten() {
                add(&field["name"]);
                add(&field["value"]);
            }
            add(&embed["footer"]["text"]);
        }
        all.retain(|t| !t.is_empty());
        all.join("\n")
    }
}

/// The components inside the action rows.
pub fn parts(rows: &[Value]) -> impl Iterator<Item = &Value> {
    rows.iter().flat_map(|row| row["components"].as_array().into_iter().flatten())
}

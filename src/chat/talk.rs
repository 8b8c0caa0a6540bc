//! What goes between a platform's adapter and the daemon's desk: what was heard, what is answered, what is asked back.
//!
//! Adapters hand in [`Heard`] and carry [`Answer`]s out; they decide nothing and keep nothing but where their messages
//! are. All of it can be written down, because a desk makes durable what it takes before the platform is told that it
//! was taken.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Card, ChatError};
use crate::model::Person;

/// Something that a person said or pressed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heard {
    /// The platform's own id of this delivery. The same id again is a redelivery and is not carried out again.
    pub delivery: String,
    /// Which platform: as [`Messenger::platform`](super::Messenger::platform).
    pub platform: String,
    /// Who, by the platform's immutable id: `slack:U024BE7LH`, `discord:80351110224678912`.
    pub by: Person,
    /// The groups and roles they are in now: `slack-group:S0614TZR7`, `discord-role:41771983`. `None` when that cannot be
    /// found out now; what was known before stays then.
    pub groups: Option<Vec<String>>,
    /// Where.
    pub place: Place,
    /// What.
    pub said: Said,
    /// How to answer them: the adapter's own, nobody else looks inside.
    pub reply: serde_json::Value,
}

/// Where something was said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The platform's id of the channel.
    pub channel: String,
    /// The key of the card in whose thread it was said, or on which it was pressed: `INC-7`.
    pub card: Option<String>,
    /// In a conversation with Suture alone.
    pub direct: bool,
    /// Said so that everybody there saw it, and may see the answer: a mention, not a slash command.
    #[serde(default)]
    pub aloud: bool,
}

/// What was said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// A line of text as it was typed, without the mention or the `/suture` in front of it. Not cleaned, not parsed.
    Line(String),
    /// A button was pressed: its opaque id.
    Press(String),
    /// A form was filled in.
    Filled {
        /// The form's opaque id.
        id: String,
        /// The text of each field, by [`Field::name`].
        values: BTreeMap<String, String>,
    },
}

/// What is said back to one who asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The answer.
    pub card: Card,
    /// For their eyes only, where the platform can do so: help, denials, errors, what only looks.
    pub private: bool,
    /// A file that goes with it.
    pub file: Option<File>,
}

/// A file for people to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name: `audit.csv`.
    pub name: String,
    /// What is in it, in words.
    pub title: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Something that has to be filled in before a button's command can be carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// Opaque; comes back in [`Said::Filled`].
    pub id: String,
    /// At most 24 characters, which is what the strictest platform shows.
    pub title: String,
    /// What it is about, a sentence or two.
    pub text: String,
    /// On the button that sends it; at most 24 characters.
    pub submit: String,
    /// One to five.
    pub fields: Vec<Field>,
}

/// One text to fill in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Which: `reason`, `code`.
    pub name: String,
    /// In front of it; at most 45 characters.
    pub label: String,
    /// May it stay empty?
    pub optional: bool,
    /// Several lines?
    pub long: bool,
    /// Most characters.
    pub most: u16,
}

/// What a press leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Press {
    /// Hand it in.
    Go,
    /// Show this form first; what is filled in is handed in then.
    Ask(Form),
    /// It cannot be carried out any more, and why, for the one who pressed.
    Gone(String),
}

/// The daemon's side of a conversation, as adapters see it.
#[async_trait]
pub trait Desk: Send + Sync {
    /// Takes what was heard. Durable when this returns, and returns in milliseconds: the work is done later, and answered
    /// through [`Messenger::answer`](super::Messenger::answer). A redelivery is taken and forgotten.
    ///
    /// # Errors
    /// When it could not be made durable: the platform must not be told that it was taken.
    async fn take(&self, heard: Heard) -> Result<(), ChatError>;

    /// What pressing this button would lead to. Looks things up in memory only and answers at once.
    fn press(&self, id: &str, by: &Person) -> Press;

    /// What the last word of this line could become, the likeliest first. Answers at once.
    fn complete(&self, line: &str) -> Vec<String>;
}

/// Small things that adapters and the desk keep across restarts: where a card's message is, which button means what. What
/// is lost here costs a message posted anew or a button that has to be looked for, no fact.
pub trait Store: Send + Sync {
    /// The value under this key.
    fn get(&self, space: &str, key: &str) -> Option<Vec<u8>>;

    /// Keeps a value; it survives the end of the process when this returns.
    ///
    /// # Errors
    /// In words, when it cannot be kept.
    fn put(&self, space: &str, key: &str, value: &[u8]) -> Result<(), String>;

    /// Keeps a value that may be lost when the process ends in the next seconds: for those who must not wait for a disk.
    ///
    /// # Errors
    /// In words, when it cannot be kept.
    fn put_soon(&self, space: &str, key: &str, value: &[u8]) -> Result<(), String> {
        self.put(space, key, value)
    }

    /// Forgets a key.
    ///
    /// # Errors
    /// In words, when it cannot be forgotten.
    fn remove(&self, space: &str, key: &str) -> Result<(), String>;

    /// Everything of a space in the order of the keys.
    fn all(&self, space: &str) -> Vec<(String, Vec<u8>)>;
}

impl Field {
    /// The field of a reason.
    pub const REASON: &str = "reason";
    /// The field of a one-time code.
    pub const CODE: &str = "code";
}

/// A store that forgets everything with the process.
#[derive(Debug, Default)]
pub struct MemoryStore(std::sync::Mutex<BTreeMap<(String, String), Vec<u8>>>);

impl MemoryStore {
    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, String), Vec<u8>>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn get(&self, space: &str, key: &str) -> Option<Vec<u8>> {
        self.locked().get(&(space.to_owned(), key.to_owned())).cloned()
    }

    fn put(&self, space: &str, key: &str, value: &[u8]) -> Result<(), String> {
        self.locked().insert((space.to_owned(), key.to_owned()), value.to_vec());
        Ok(())
    }

    fn remove(&self, space: &str, key: &str) -> Result<(), String> {
        self.locked().remove(&(space.to_owned(), key.to_owned()));
        Ok(())
    }

    fn all(&self, space: &str) -> Vec<(String, Vec<u8>)> {
        let locked = self.locked();
        locked.iter().filter(|((s, _), _)| s == space).map(|((_, key), value)| (key.clone(), value.clone())).collect()
    }
}

/// One thing that `suture check` proves about a platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// What was looked at: `slack: bot token`, `slack: scope files:write`.
    pub what: String,
    /// What was found, or what is missing and how to mend it.
    pub found: Result<String, String>,
}

//! Chat: cards out, commands in. One card model and one grammar for every platform.
//!
//! Platform adapters know how to show a [`Card`] and how to hand on a line of text with the person who wrote it;
//! they decide nothing. Everything that comes in is hostile text until `grammar` has parsed it.

pub mod cards;
pub mod chart;
pub mod clean;
pub mod command;
pub mod complete;
#[cfg(feature = "console")]
pub mod console;
#[cfg(feature = "discord")]
pub mod discord;
pub mod grammar;
pub mod intents;
pub mod outbox;
pub mod pages;
pub mod picture;
pub mod plain;
pub mod render;
#[cfg(feature = "sentence")]
pub mod sentence;
#[cfg(feature = "slack")]
pub mod slack;
pub mod talk;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use command::{AuditQuery, COMMANDS, Command, CommandHelp, When};
pub use grammar::{ParseError, parse};
pub use talk::{Answer, Desk, Field, File, Form, Heard, MemoryStore, Place, Press, Proof, Said, Store};

use crate::model::Digest;

/// Where a conversation is held: the port of this module.
#[async_trait]
pub trait Messenger: Send + Sync {
    /// The platform's name: `console`, `slack`, `discord`.
    fn platform(&self) -> &'static str;

    /// Shows a card for the first time, or again in its newest form: the key says which message it is, and a platform
    /// that can edit a message edits it.
    ///
    /// # Errors
    /// When the platform did not take it; the outbox tries again.
    async fn show(&self, card: &Card) -> Result<(), ChatError>;

    /// Says a line in the card's thread (or just says it, where there are no threads).
    ///
    /// # Errors
    /// When the platform did not take it; the outbox tries again.
    async fn say(&self, key: &str, text: &str) -> Result<(), ChatError>;

    /// Has it threads, so that the detail of an incident drowns nobody?
    fn has_threads(&self) -> bool {
        false
    }

    /// Says in the card's thread how it ended, and lets the channel see that.
    ///
    /// # Errors
    /// When the platform did not take it; the outbox tries again.
    async fn conclude(&self, key: &str, text: &str) -> Result<(), ChatError> {
        self.say(key, text).await
    }

    /// Calls others to a card that nobody answers: `to` are channels, people and groups with their platform in front
    /// (`slack-channel:C024BE91L`, `slack-group:S0614TZR7`, `discord-role:41771983`); those of other platforms are left to them.
    ///
    /// # Errors
    /// When the platform did not take it; the outbox tries again.
    async fn call(&self, key: &str, to: &[String], text: &str) -> Result<(), ChatError> {
        let _ = to;
        self.say(key, text).await
    }

    /// Answers one who asked; `to` is [`Heard::reply`].
    ///
    /// # Errors
    /// When the platform did not take it; the outbox tries again for as long as an answer is of use.
    async fn answer(&self, to: &serde_json::Value, answer: &Answer) -> Result<(), ChatError> {
        let _ = to;
        self.show(&answer.card).await
    }

    /// Keeps the connection and hands in what is heard, until dropped. Reconnects by itself.
    ///
    /// # Errors
    /// When going on is of no use, in words that say what to mend: a token that is refused.
    async fn listen(&self, desk: Arc<dyn Desk>) -> Result<(), ChatError> {
        let _ = desk;
        std::future::pending().await
    }

    /// The groups and roles that a person of this platform is in now, with the platform in front; `None` when it cannot
    /// be found out.
    async fn groups_of(&self, person: &str) -> Option<Vec<String>> {
        let _ = person;
        None
    }

    /// Proves what the config says: tokens, scopes, the bot's place in its channels.
    async fn check(&self) -> Vec<Proof> {
        Vec::new()
    }
}

/// Why a platform did not take a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{platform}: {why}")]
pub struct ChatError {
    /// Which platform.
    pub platform: &'static str,
    /// What happened.
    pub why: String,
    /// Not to be tried again before that: what the platform asked for.
    pub retry_after: Option<Duration>,
    /// Trying the same again is of no use: the platform understood, and will never take it.
    pub hopeless: bool,
}

impl ChatError {
    /// Worth another try.
    pub fn new(platform: &'static str, why: impl Into<String>) -> Self {
        Self { platform, why: why.into(), retry_after: None, hopeless: false }
    }

    /// Worth another try, but not before.
    pub fn later(platform: &'static str, why: impl Into<String>, after: Duration) -> Self {
        Self { retry_after: Some(after), ..Self::new(platform, why) }
    }

    /// Not worth another try.
    pub fn hopeless(platform: &'static str, why: impl Into<String>) -> Self {
        Self { hopeless: true, ..Self::new(platform, why) }
    }
}

/// One message, free of any platform: what is shown about one incident, report or answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Card {
    /// Which message this is: `INC-7`. The same key again is the same message in a newer form. Empty for an answer,
    /// which is a message of its own each time.
    pub key: String,
    /// The headline: `INC-7 · shop · HIGH · awaiting approval`.
    pub title: String,
    /// How it stands, for the colour beside the words.
    pub tone: Tone,
    /// The body, from top to bottom.
    pub blocks: Vec<Block>,
    /// What may be done now, as commands (buttons where there are buttons).
    pub actions: Vec<CardAction>,
    /// The last form of this message: nothing more will happen to it.
    pub settled: bool,
    /// A metric over time, for those who can show pictures; others have it in words or characters in `blocks`.
    pub picture: Option<Arc<chart::Chart>>,
    /// The plan that this card asks about.
    pub plan: Option<PlanShown>,
}

/// A plan that people are shown. Who sees it can decide on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanShown {
    /// Of what: `INC-7`, `EXP-3`.
    pub about: String,
    /// Which plan.
    pub digest: Digest,
}

impl Card {
    /// Does it ask somebody something? Such a card is never dropped, only replaced by its newer form.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.tone == Tone::Waiting && !self.actions.is_empty()
    }
}

/// How a card stands; always also said in words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// For information.
    #[default]
    Neutral,
    /// Something is wrong.
    Bad,
    /// Somebody is asked, or something is under way.
    Waiting,
    /// Well again.
    Good,
}

/// A part of a card's body.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// A label with its value: `Since  12:04:31 (4.2 s ago)`. What stands in brackets is a gloss: when only that
    /// changed, nothing new is said.
    Field(String, String),
    /// Metrics with a sparkline each.
    Metrics(Vec<MetricLine>),
    /// Lines of a plan, each `subject before -> after`.
    Diff(Vec<String>),
    /// Rows of cells in columns under a head; a row may be shorter than the head.
    Table {
        /// The names of the columns.
        head: Vec<String>,
        /// The rows.
        rows: Vec<Vec<String>>,
    },
    /// Lines of fixed pitch that must not be wrapped: a chart.
    Fixed(String),
}

/// A metric with its recent course.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricLine {
    /// The metric.
    pub name: String,
    /// `412 ms (normally 18 ms)`.
    pub words: String,
    /// Part of the anomaly, 0 to 1.
    pub share: f64,
    /// The last values, oldest first.
    pub recent: Vec<f64>,
}

/// Something that may be done from a card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CardAction {
    /// On the button: `Approve`.
    pub label: String,
    /// What to type: `approve 1`.
    pub command: String,
    /// What cannot be had back is asked twice.
    pub dangerous: bool,
    /// What people most likely want: a button of that colour, beside its words.
    pub primary: bool,
    /// What a button does; without it there is none, only what to type.
    pub button: Option<Button>,
}

/// What a button carries. Its id says nothing to anybody but the desk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Button {
    /// Opaque, at most 40 letters and digits; empty until the desk has given it one.
    pub id: String,
    /// The command, whole: `approve INC-1`.
    pub command: String,
    /// The field that has to be filled in first, if one has.
    pub ask: Option<Field>,
}

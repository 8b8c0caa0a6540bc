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
pub mod grammar;
pub mod outbox;
pub mod pages;
pub mod render;

use async_trait::async_trait;

pub use command::{AuditQuery, COMMANDS, Command, CommandHelp, When};
pub use grammar::{ParseError, parse};

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
}

/// Why a platform did not take a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{platform}: {why}")]
pub struct ChatError {
    /// Which platform.
    pub platform: &'static str,
    /// What happened.
    pub why: String,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardAction {
    /// On the button: `Approve`.
    pub label: String,
    /// What to type: `approve 1`.
    pub command: String,
    /// What cannot be had back is asked twice.
    pub dangerous: bool,
}

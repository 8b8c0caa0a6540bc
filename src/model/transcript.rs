//! What one execution of a component was told, asked and answered: enough to do it again, byte for byte.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Digest;

/// One call of a component to its host, with the answer: what a replay feeds back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostCall {
    /// `interface.function`.
    pub call: String,
    /// The arguments.
    pub input: serde_json::Value,
    /// The answer; `null` when there was none before the deadline.
    pub output: serde_json::Value,
}

/// One execution of a rule or a playbook. With what it was told (the view, the arguments) it can be repeated, and must
/// then give the same calls, outcome, log and fuel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transcript {
    /// The component's name.
    pub name: String,
    /// SHA-256 of its bytes.
    pub component: Digest,
    /// Every call to the host with its answer, in order.
    pub calls: Vec<HostCall>,
    /// `{"ok": ...}` with what it answered, or `{"error": ...}` with why there is no answer.
    pub outcome: serde_json::Value,
    /// What it logged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogLine>,
    /// Log lines past the budget.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub log_dropped: usize,
    /// Units of work used.
    pub fuel: u64,
    /// The playbook's notes afterwards, where it changed them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<BTreeMap<String, String>>,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// One line that a component wrote, fit to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// How important.
    pub level: LogLevel,
    /// One line.
    pub message: String,
}

/// How important a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For the author.
    Debug,
    /// For whoever reads the run.
    Info,
    /// Something was not as expected.
    Warn,
}

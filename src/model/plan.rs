//! What a rule proposes, and what a dry run made of it: the thing that people approve.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Action, ActionKind, Digest, Effect, Facet, IncidentId, ServiceId};

/// Arguments of a playbook, by name. Values are text here; the playbook's description says what they must be.
pub type Args = BTreeMap<String, String>;

/// A rule's answer to an incident: which playbook, with which arguments, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The playbook to run.
    pub playbook: String,
    /// Its arguments.
    pub args: Args,
    /// One sentence for the approver.
    pub why: String,
    /// The rule (or the person) it comes from.
    pub rule: String,
}

/// How to take an action back, worked out before the action is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Inverse {
    /// This action puts things back.
    Action(Action),
    /// Nothing can, and why.
    Impossible(String),
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedAction {
    /// What is done.
    pub action: Action,
    /// What it changes, as it was in the dry run. The real run refuses when this no longer holds.
    pub before: Facet,
    /// What that aspect is afterwards.
    pub after: Facet,
    /// How it is taken back.
    pub inverse: Inverse,
}

impl PlannedAction {
    /// Works out the step for `action` when the aspect it changes is `before`.
    #[must_use]
    pub fn new(action: Action, before: Facet) -> Self {
        let after = action.outcome(&before);
        let inverse = action.inverse(&before).map_or_else(
            || {
                Inverse::Impossible(match &action {
                    Action::Flush { .. } => "what was thrown away cannot be brought back".to_owned(),
                    _ => "a restarted process does not get its memory back".to_owned(),
                })
            },
            Inverse::Action,
        );
        Self { action, before, after, inverse }
    }

    /// One line of the diff that approvers see: `local:shop workers 2 -> 4`.
    #[must_use]
    pub fn diff_line(&self) -> String {
        let subject = self.action.subject();
        match &self.action {
            Action::Restart { .. } => match self.before.is_since() {
                true => format!("{subject} restart (runs {})", self.before),
                false => format!("{subject} restart ({} -> {})", self.before, self.after),
            },
            Action::Rollout { .. } => match self.before.is_since() {
                true => format!("{subject} (the last one {})", self.before),
                false => format!("{subject} (the first one)"),
            },
            _ => format!("{subject} {} -> {}", self.before, self.after),
        }
    }
}

/// The ordered actions of one dry run. An approval is bound to `digest()`, which covers every field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The incident it answers.
    pub incident: IncidentId,
    /// Counted up with each plan for the incident: an old approval never fits a new plan.
    pub number: u32,
    /// The service it is for.
    pub service: ServiceId,
    /// The playbook.
    pub playbook: String,
    /// SHA-256 of the component that made it; the run uses exactly that one.
    pub component: Digest,
    /// The arguments it was run with.
    pub args: Args,
    /// What it does, in order.
    pub actions: Vec<PlannedAction>,
    /// What the component may do at most, in words, from its grant.
    pub may: Vec<String>,
    /// What else who approves must know of the targets, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Plan {
    /// SHA-256 over the plan's JSON. Field order is the struct's and maps are sorted, so equal plans are equal bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        // A plan holds only text, numbers and maps with text keys: serialising it cannot fail. Should it ever, the
        // digest of nothing matches no approval, which is the safe side.
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// Can every step be taken back?
    #[must_use]
    pub fn can_be_undone(&self) -> bool {
        self.actions.iter().all(|a| matches!(a.inverse, Inverse::Action(_)))
    }

    /// Fewest people who have to approve it, whatever the policy says.
    #[must_use]
    pub fn least_quorum(&self) -> u32 {
        self.actions.iter().map(|a| a.action.kind().least_quorum()).max().unwrap_or(1)
    }

    /// The worst effect among its steps.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.actions.iter().map(|a| a.action.effect()).max().unwrap_or(Effect::Observe)
    }

    /// The kinds of action in it, each once.
    #[must_use]
    pub fn kinds(&self) -> Vec<ActionKind> {
        let kinds: std::collections::BTreeSet<_> = self.actions.iter().map(|a| a.action.kind()).collect();
        kinds.into_iter().collect()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.actions.iter().map(PlannedAction::diff_line).collect();
        f.write_str(&lines.join("; "))
    }
}

//! Components as people name them: which role, which name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a component is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It remediates.
    Playbook,
    /// It answers an incident with proposals.
    Rule,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Playbook => "playbook",
            Self::Rule => "rule",
        })
    }
}

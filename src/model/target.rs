//! What can be acted on, and the state it is in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The address of something that can be acted on: `kind:name`, as in `local:shop`, `k8s:prod/deployment/web`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId {
    kind: String,
    name: String,
}

/// A text that is not a target's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a target: write kind:name, for example local:shop")]
pub struct TargetIdError(String);

impl TargetId {
    /// The part before the colon: which adapter acts on it.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The part after the colon: what the adapter calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for TargetId {
    type Err = TargetIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || TargetIdError(text.chars().take(80).collect());
        let (kind, name) = text.split_once(':').ok_or_else(wrong)?;
        let kind_is_plain = !kind.is_empty() && kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let name_is_plain = !name.is_empty()
            && name.len() <= 253
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
        if kind_is_plain && name_is_plain {
            Ok(Self { kind: kind.to_owned(), name: name.to_owned() })
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.name)
    }
}

impl Serialize for TargetId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TargetId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What an adapter sees when it looks at a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetState {
    /// How many instances are wanted.
    pub replicas: u32,
    /// The platform's own floor for `replicas`.
    pub min_replicas: u32,
    /// The platform's own ceiling for `replicas`.
    pub max_replicas: u32,
    /// The instances that are there, in a stable order (by name).
    pub instances: Vec<Instance>,
    /// How long cached answers live, in milliseconds; `None` where the target has no cache to steer.
    pub cache_ttl_ms: Option<u64>,
    /// The platform's autoscaler, where one owns the number of instances: then its bounds are changed, not the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaler: Option<Autoscaler>,
    /// When the platform last replaced all instances, in seconds since the epoch (0: never); `None` where it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<u64>,
    /// A restarted instance comes back under another name: one that is gone was restarted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub renames: bool,
    /// What can be set, and what it is set to; empty text where it is unset.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Entries are stored under keys, and can be thrown away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stores_entries: bool,
    /// The kinds of action that the platform can do here at all; empty where nobody says, which means all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub can: BTreeSet<super::ActionKind>,
    /// What who approves a change must know, a sentence each: who else owns the target and may put it back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Who else decides how many instances there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Autoscaler {
    /// For people: `HorizontalPodAutoscaler web`.
    pub name: String,
    /// Never fewer instances.
    pub min: u32,
    /// Never more.
    pub max: u32,
}

/// One instance of a target: a worker process, a pod, a server of a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Stable as long as the slot exists; a restarted worker keeps its name.
    pub name: String,
    /// Does it answer?
    pub up: bool,
    /// Does it get traffic at all? An isolated instance lives on for inspection.
    pub isolated: bool,
    /// Its part of the traffic relative to the others; 100 is usual, 0 to 1000.
    pub weight: u32,
    /// Counted up by each restart; where the platform does not count, since when it has run, in seconds since the epoch.
    pub generation: u64,
}

impl TargetState {
    /// The instance of this name.
    #[must_use]
    pub fn instance(&self, name: &str) -> Option<&Instance> {
        self.instances.iter().find(|i| i.name == name)
    }

    /// Can the platform do any of these here? Nothing is lost by trying where nobody says.
    #[must_use]
    pub fn can_any(&self, kinds: &BTreeSet<super::ActionKind>) -> bool {
        self.can.is_empty() || !self.can.is_disjoint(kinds)
    }

    /// Instances that answer and get traffic.
    #[must_use]
    pub fn serving(&self) -> usize {
        self.instances.iter().filter(|i| i.up && !i.isolated && i.weight > 0).count()
    }
}

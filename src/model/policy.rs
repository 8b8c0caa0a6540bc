//! What the operator allows for a service: mode, guardrails, who approves, how a cure is judged.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ActionKind, Plan};

/// How far Suture may go for a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Plans and posts, never acts.
    Observe,
    /// Acts on what a person approved.
    #[default]
    Approve,
    /// Acts within the guardrails without asking.
    Auto,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Observe => "observe",
            Self::Approve => "approve",
            Self::Auto => "auto",
        })
    }
}

impl std::str::FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "observe" => Ok(Self::Observe),
            "approve" => Ok(Self::Approve),
            "auto" => Ok(Self::Auto),
            other => Err(format!("`{other}` is not a mode: observe, approve or auto")),
        }
    }
}

/// Everything the incident machine needs to know about a service besides its history.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The configured mode; a `mode` command in the ledger overrides it.
    pub mode: Mode,
    /// Limits on what may be done, approved or not.
    pub guard: Guard,
    /// Who may approve, how many, for how long.
    pub approval: ApprovalPolicy,
    /// How a cure is judged.
    pub verify: VerifyPolicy,
}

/// Limits on what may be done, approved or not. Undoing is never held back by them.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// Least time between two actions of one kind on one target.
    pub cooldown: Duration,
    /// Most actions in any hour for the service.
    pub actions_per_hour: u32,
    /// Greatest change of the instance count in one plan.
    pub max_replica_delta: u32,
    /// Greatest part of a target's instances that one plan may restart or isolate, 0 to 1; one instance is always
    /// allowed when there are at least two.
    pub max_share: f64,
}

impl Default for Guard {
    fn default() -> Self {
        Self { cooldown: Duration::from_secs(60), actions_per_hour: 12, max_replica_delta: 3, max_share: 0.5 }
    }
}

/// Who may approve, how many of them it takes, and for how long the question stands.
#[derive(Clone, Debug, PartialEq)]
pub struct ApprovalPolicy {
    /// Globs over `Person::id`, and groups and roles: these may do everything for the service. Empty, and no rule in
    /// `allow`: nobody, which only makes sense with mode `observe` or `auto`.
    pub who: Vec<String>,
    /// Rules that give some people some things.
    pub allow: Vec<Allow>,
    /// How many different people.
    pub quorum: u32,
    /// How long the question stands.
    pub expiry: Duration,
    /// May who asked for a plan be one of those who approve it?
    pub requester_may_approve: bool,
    /// A plan with an action of one of these kinds is approved with a one-time code besides.
    pub second_factor: Vec<ActionKind>,
    /// A question that nobody answers for so long is carried to others; never when absent.
    pub escalate_after: Option<Duration>,
    /// To whom: channels, people, groups and roles with their platform in front.
    pub escalate_to: Vec<String>,
}

impl ApprovalPolicy {
    /// How many different people have to approve this plan.
    #[must_use]
    pub fn quorum_for(&self, plan: &Plan) -> u32 {
        self.quorum.max(plan.least_quorum())
    }

    /// The kinds of action in this plan that are approved with a one-time code besides.
    #[must_use]
    pub fn codes_for(&self, plan: &Plan) -> BTreeSet<ActionKind> {
        plan.actions.iter().map(|step| step.action.kind()).filter(|kind| self.second_factor.contains(kind)).collect()
    }
}

/// A rule of who may do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow {
    /// Globs over `Person::id`, and groups and roles: `slack:U024BE7LH`, `slack-group:S0614TZR7`, `discord-role:41771983`.
    pub who: Vec<String>,
    /// Verbs of commands: `approve`, `rollback`; `*` for all.
    pub verbs: Vec<String>,
    /// The kinds of action in the plan or the run; all when empty.
    pub actions: Vec<ActionKind>,
    /// Globs over what is acted on: `local:shop`; all when empty.
    pub targets: Vec<String>,
}

impl Default for ApprovalPolicy {
    fn default() -> Self {
        Self {
            who: vec!["console:*".to_owned()],
            allow: Vec::new(),
            quorum: 1,
            expiry: Duration::from_secs(30 * 60),
            requester_may_approve: false,
            second_factor: Vec::new(),
            escalate_after: None,
            escalate_to: Vec::new(),
        }
    }
}

/// How a cure is judged by the detector after a run.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifyPolicy {
    /// Time for the change to take effect before anything is judged.
    pub settle: Duration,
    /// How many samples in a row must be normal to say "improved".
    pub clear_samples: u32,
    /// Longest time to wait for that.
    pub deadline: Duration,
    /// Take the run back when the service did not get better.
    pub undo_when_not_better: bool,
}

impl Default for VerifyPolicy {
    fn default() -> Self {
        Self {
            settle: Duration::from_secs(10),
            clear_samples: 3,
            deadline: Duration::from_secs(120),
            undo_when_not_better: true,
        }
    }
}

/// The commands that need a right, for rules of who may do what. `accept` and `enable` have admins of their own, and anybody
/// may `stop`.
pub const VERBS: &[&str] = &[
    "approve",
    "reject",
    "rollback",
    "keep",
    "plan",
    "run",
    "close",
    "false-alarm",
    "deployed",
    "mode",
    "mute",
    "unmute",
    "chaos",
    "resume",
];

//! Act: the port to what can be changed, one adapter a platform.
//!
//! An adapter does one action at a time, checks *before* in the same breath where its platform can, and returns only
//! when the change really took effect. It must never retry an action whose outcome is unknown: it says so, and the
//! caller looks. Called by the run executor alone, which has written the intent and the inverse down already.

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "haproxy")]
pub mod haproxy;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
#[cfg(feature = "local")]
pub mod local;
mod progress;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(any(feature = "haproxy", feature = "redis"))]
mod said;
mod settings;

use std::time::Duration;

use async_trait::async_trait;

use crate::model::{Action, Facet, TargetId, TargetState, in_words};

pub use progress::Progress;
pub use settings::{
    AsgSettings, ElbSettings, HaproxySettings, KubernetesSettings, LocalSettings, RedisSettings, TtlUnit,
};

/// What can be acted on. One instance a kind of target.
#[async_trait]
pub trait Actuator: Send + Sync {
    /// The kind of target it acts on: the part before the colon.
    fn kind(&self) -> &'static str;

    /// Looks at a target. Changes nothing.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`, `TimedOut`.
    async fn observe(&self, target: &TargetId) -> Result<TargetState, ActError>;

    /// Does one action, if the aspect it changes still is `before`; waits until it took effect.
    ///
    /// `key` is the same for every attempt at the same step of the same run, for platforms that know idempotency
    /// keys. The receipt is one line for people. While it waits, it says through `progress` how far it is and what holds
    /// it up.
    ///
    /// # Errors
    /// Any [`ActError`]; after `OutcomeUnknown` and `TimedOut` the action may or may not have happened.
    async fn apply(&self, action: &Action, before: &Facet, key: &str, progress: &Progress) -> Result<String, ActError>;

    /// What the credentials at hand let us do with a target: for `suture check --live`. Changes nothing. Empty where the
    /// platform has no rights to speak of.
    ///
    /// # Errors
    /// As [`Actuator::observe`].
    async fn permissions(&self, target: &TargetId) -> Result<Vec<Permission>, ActError> {
        let _ = target;
        Ok(Vec::new())
    }
}

/// Something that a platform lets us do, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// What for, in words: `scale`, `restart`.
    pub what: String,
    /// How the platform calls it: `patch deployments/scale in prod`, `autoscaling:SetDesiredCapacity`.
    pub name: String,
    /// `None` when the platform does not tell.
    pub allowed: Option<bool>,
}

/// Why an action or a look failed: the closed set that playbooks see too.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// No such target, or no such instance of it.
    #[error("{0} does not exist")]
    NotFound(String),
    /// The platform does not let us; the text names the missing permission. Nothing happened.
    #[error("denied: {0}")]
    Denied(String),
    /// The platform asks us to wait, so long where it says; nothing happened.
    #[error("{subject} asks us to slow down{}", wait_words(*.wait))]
    Throttled {
        /// Who asks.
        subject: String,
        /// How long.
        wait: Option<Duration>,
    },
    /// Somebody else changed it: *before* no longer holds.
    #[error("{subject} is {found} now, not {expected}: somebody changed it meanwhile")]
    Conflict {
        /// What changed.
        subject: String,
        /// What it was to be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The platform took too long; the action may have happened.
    #[error("no answer from {0} in time")]
    TimedOut(String),
    /// The platform cannot be reached, or is overloaded; nothing happened.
    #[error("{0} cannot be reached: {1}")]
    Unavailable(String, String),
    /// The request went out and no answer came back; the action may have happened.
    #[error("outcome unknown for {0}: {1}")]
    OutcomeUnknown(String, String),
    /// The target cannot do this kind of action.
    #[error("{0}")]
    Unsupported(String),
}

/// `, and to wait 30 s`.
fn wait_words(wait: Option<Duration>) -> String {
    wait.map_or_else(String::new, |wait| format!(", and to wait {}", in_words(wait)))
}

impl ActError {
    /// May the action have happened all the same? Then look before anything else.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Self::TimedOut(_) | Self::OutcomeUnknown(..))
    }
}

//! Act: the port to what can be changed, one adapter a platform.
//!
//! An adapter does one action at a time, checks *before* in the same breath where its platform can, and returns only
//! when the change really took effect. It must never retry an action whose outcome is unknown: it says so, and the
//! caller looks. Called by the run executor alone, which has written the intent and the inverse down already.

#[cfg(feature = "local")]
pub mod local;
mod settings;

use async_trait::async_trait;

use crate::model::{Action, Facet, TargetId, TargetState};

pub use settings::LocalSettings;

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
    /// keys. The receipt is one line for people.
    ///
    /// # Errors
    /// Any [`ActError`]; after `OutcomeUnknown` and `TimedOut` the action may or may not have happened.
    async fn apply(&self, action: &Action, before: &Facet, key: &str) -> Result<String, ActError>;
}

/// Why an action or a look failed: the closed set that playbooks see too.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// No such target, or no such instance of it.
    #[error("{0} does not exist")]
    NotFound(String),
    /// The platform does not let us.
    #[error("denied: {0}")]
    Denied(String),
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

impl ActError {
    /// May the action have happened all the same? Then look before anything else.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Self::TimedOut(_) | Self::OutcomeUnknown(..))
    }
}

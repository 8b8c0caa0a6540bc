//! Why a playbook gives up, and why the host said no. The texts are the host's own, so that a test reads as the card.

use std::fmt;

/// What was not allowed, and what an operator would write to allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// `scale`, `restart`, `traffic`, `isolate`, `cache`, `configure` or `flush`.
    pub capability: String,
    /// The target, `kind:name`.
    pub target: String,
    /// The remedy in one line.
    pub hint: String,
}

/// Why the host did not do what it was asked: a closed set. An error is decided before any effect, except `TimedOut`
/// and `OutcomeUnknown`, after which the effect may have happened; the host, not the playbook, finds out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostError {
    /// Not allowed. A playbook may go on, but a plan with a denial in it is not offered to people.
    Denied(Denial),
    /// A budget of the run is used up.
    OverBudget(String),
    /// No such target or instance.
    NotFound(String),
    /// The world is not as the approved plan says, or not as the playbook thinks.
    Conflict(String),
    /// No answer in time.
    TimedOut(String),
    /// The platform cannot be reached, or cannot do this.
    Unavailable(String),
    /// The request went out and nobody knows whether it was done.
    OutcomeUnknown(String),
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => write!(f, "denied: {} on {}: {}", denial.capability, denial.target, denial.hint),
            Self::OverBudget(why) => write!(f, "over budget: {why}"),
            Self::NotFound(why) => write!(f, "not found: {why}"),
            Self::Conflict(why) => write!(f, "conflict: {why}"),
            Self::TimedOut(why) => write!(f, "timed out: {why}"),
            Self::Unavailable(why) => write!(f, "unavailable: {why}"),
            Self::OutcomeUnknown(why) => write!(f, "outcome unknown: {why}"),
        }
    }
}

impl std::error::Error for HostError {}

/// Why a playbook gives up. A [`HostError`] becomes one with `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is nothing here that it could do, and why: [`not_applicable`], [`Otherwise`].
    NotApplicable(String),
    /// An argument makes no sense for the target as it is: [`wrong_argument`].
    InvalidArgument(String),
    /// The host said no and there was no other way.
    Host(HostError),
    /// Anything else: [`failed`].
    Failed(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotApplicable(why) => write!(f, "not applicable: {why}"),
            Self::InvalidArgument(why) => write!(f, "wrong argument: {why}"),
            Self::Host(error) => error.fmt(f),
            Self::Failed(why) => write!(f, "failed: {why}"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        Self::Host(error)
    }
}

/// There is nothing here that this playbook could do. `why` is a part of a sentence: `every instance answers`.
#[must_use]
pub fn not_applicable(why: impl Into<String>) -> Failure {
    Failure::NotApplicable(why.into())
}

/// An argument makes no sense for the target as it is.
#[must_use]
pub fn wrong_argument(why: impl Into<String>) -> Failure {
    Failure::InvalidArgument(why.into())
}

/// Anything else that went wrong.
#[must_use]
pub fn failed(why: impl Into<String>) -> Failure {
    Failure::Failed(why.into())
}

/// Gives up where there is nothing: `find_target(..)?.otherwise("no target has a cache to steer")?`.
pub trait Otherwise<T> {
    /// What there is.
    ///
    /// # Errors
    /// [`Failure::NotApplicable`] with `why` when there is nothing.
    fn otherwise(self, why: impl Into<String>) -> Result<T, Failure>;
}

impl<T> Otherwise<T> for Option<T> {
    fn otherwise(self, why: impl Into<String>) -> Result<T, Failure> {
        self.ok_or_else(|| not_applicable(why))
    }
}

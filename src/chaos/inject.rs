//! The port to what can make a target sick, and well again.

use std::time::Duration;

use async_trait::async_trait;

use crate::model::{AimedFault, BlastRadius, Fault, FaultKind, TargetId};

/// How long a fault stays in when nobody renews its lease.
pub const LEASE: Duration = Duration::from_secs(4);
/// Between two renewals: three may be lost.
pub const RENEW_EVERY: Duration = Duration::from_secs(1);

/// What somebody would like to happen to a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish<'a> {
    /// To what.
    pub target: &'a TargetId,
    /// What.
    pub fault: &'a Fault,
    /// To these instances; empty: by lot.
    pub instances: &'a [String],
    /// To no more than this.
    pub radius: BlastRadius,
    /// Decides the lot: the same seed on the same target hits the same instances.
    pub seed: u64,
}

/// Where a fault would go, and how it comes out again.
#[derive(Clone, Debug, PartialEq)]
pub struct Aim {
    /// The instances; empty where it is about the whole target.
    pub instances: Vec<String>,
    /// How it is put in, in words: `by the balancer in front of shop-2`.
    pub how: String,
    /// How it is taken out, in words: `the balancer lets everything through again`.
    pub undo: String,
    /// What is needed to take it out, also by a later process that knows nothing else.
    pub held: serde_json::Value,
}

/// What can make the targets of one kind sick.
#[async_trait]
pub trait Injector: Send + Sync {
    /// The kind of target: the part before the colon.
    fn kind(&self) -> &'static str;

    /// The faults that it can put into this target. Changes nothing.
    ///
    /// # Errors
    /// When the target cannot be looked at.
    async fn offers(&self, target: &TargetId) -> Result<Vec<FaultKind>, InjectError>;

    /// Where the fault would go: a dry run. Changes nothing.
    ///
    /// # Errors
    /// `Refused` when the target does not offer it, an instance does not exist, or the blast radius does not allow one.
    async fn aim(&self, wish: &Wish<'_>) -> Result<Aim, InjectError>;

    /// Puts the fault in, held by a lease of [`LEASE`]. `id` is the same for every attempt: `EXP-3.1`, the second fault of
    /// that experiment. Twice with the same id is once. Returns when it is in.
    ///
    /// # Errors
    /// [`InjectError`]; it may be in all the same, and is taken out by the caller or by the end of the lease.
    async fn put_in(&self, id: &str, fault: &AimedFault) -> Result<String, InjectError>;

    /// Renews the lease. Where a fault has a time of its own, it never goes beyond `left`.
    ///
    /// # Errors
    /// `Gone` when it is not in any more.
    async fn renew(&self, id: &str, fault: &AimedFault, left: Duration) -> Result<(), InjectError>;

    /// Takes it out; returns when it is out. Of one that is not in, or of a target that is gone, this says so and is no error.
    ///
    /// # Errors
    /// When it may still be in: to be tried again.
    async fn take_out(&self, id: &str, fault: &AimedFault) -> Result<String, InjectError>;
}

/// Why a fault could not be put in, held or taken out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InjectError {
    /// It is not done, in words that say what to do instead. Nothing changed.
    #[error("{0}")]
    Refused(String),
    /// Somebody has to be reached, and cannot be.
    #[error("{0} cannot be reached: {1}")]
    Unavailable(String, String),
    /// It was in, and is not any more.
    #[error("{0}")]
    Gone(String),
}

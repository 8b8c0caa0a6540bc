//! The playbook host: components in a sandbox, and the one world they see.
//!
//! A component can do only what it imports and what its grant allows. It is given a [`World`], and everything it asks
//! for goes through that: in a dry run the world records, in a real run it checks each action against the approved
//! plan. This module never acts by itself, reads no clock and knows no adapter. Called by the planner and the run
//! executor.
//!
//! Way of a call: `load` (bytes to a proven component) -> `run` (fresh store, deadline, budgets) -> guest -> `host`
//! (count, convert, ask the [`World`], record) -> [`Ran`]. `catalog` holds what there is to run, `store` what was ever run,
//! by content; `wasi` is the empty system that components find whose toolchain insists on one.

mod bindings;
mod catalog;
mod describe;
mod engine;
mod error;
mod host;
mod limits;
mod load;
mod run;
pub mod store;
#[cfg(test)]
mod tests;
mod wasi;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub use catalog::{Catalog, Component, ComponentFile, read_folder, stock, stock_components, stock_named};
pub use describe::{ArgError, Description, Param, ParamKind, is_a_name};
pub use error::LoadError;
pub use host::LOOKS;
pub use limits::Limits;
pub use load::{Host, Playbook, Rule};
pub use run::{Ran, RunError};
pub use store::{Store, StoreError};

use crate::model::{Action, Driver, IncidentId, ServiceId, Severity, TargetId, TargetState, Timestamp};

/// What a running component sees and does: the port of this module. Implemented by the dry run and by the real run.
#[async_trait]
pub trait World: Send {
    /// The state of a target, as the component is to see it.
    ///
    /// # Errors
    /// A [`HostError`], handed to the component as a value.
    async fn observe(&mut self, target: &TargetId) -> Result<TargetState, HostError>;

    /// Does one action, or records it. The receipt is one line.
    ///
    /// # Errors
    /// A [`HostError`], handed to the component as a value; decided before any effect.
    async fn act(&mut self, action: Action) -> Result<String, HostError>;

    /// Told before each `observe` and `act` which call of the run it is, from 0. Only a replay listens: it answers from
    /// a record.
    fn asked(&mut self, _place: usize) {}

    /// When this is notified, the run ends as by its deadline. Only a replay has one: what hung once need not hang again.
    fn cut(&self) -> Option<Arc<Notify>> {
        None
    }
}

/// Why the host did not do what a component asked: the closed set of the contract (`types.host-error`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostError {
    /// Not allowed; `hint` is what an operator would write to allow it.
    #[error("denied: {capability} on {target}: {hint}")]
    Denied {
        /// `scale`, `restart`, ...
        capability: String,
        /// The target.
        target: String,
        /// What to do about it.
        hint: String,
    },
    /// A budget of the run is used up (host calls, log bytes, actions).
    #[error("over budget: {0}")]
    OverBudget(String),
    /// No such target or instance.
    #[error("not found: {0}")]
    NotFound(String),
    /// The world is not as the plan says, or not as the component thinks.
    #[error("conflict: {0}")]
    Conflict(String),
    /// No answer in time.
    #[error("timed out: {0}")]
    TimedOut(String),
    /// The platform cannot be reached or cannot do this.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The request went out and nobody knows whether it was done.
    #[error("outcome unknown: {0}")]
    OutcomeUnknown(String),
}

/// What a playbook keeps from run to run, by key.
pub type Notes = BTreeMap<String, String>;

/// What a rule or a playbook is told about the incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentView {
    /// Which incident.
    pub id: IncidentId,
    /// Of which service.
    pub service: ServiceId,
    /// How bad, in words.
    pub severity: Severity,
    /// Risk 0 to 100.
    pub risk: f64,
    /// Since when.
    pub since: Timestamp,
    /// The metrics responsible, most responsible first.
    pub drivers: Vec<Driver>,
    /// What the service can be healed by, with the state at the time of asking.
    pub targets: Vec<(TargetId, TargetState)>,
    /// The last sample: metric and value for the service as a whole.
    pub metrics: Vec<(String, f64)>,
    /// The last sample by instance.
    pub instance_metrics: Vec<(String, Vec<(String, f64)>)>,
    /// Playbooks already tried for this incident without success.
    pub tried: Vec<String>,
    /// The notes that the playbook kept of earlier runs for this service; empty for rules.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: Notes,
}

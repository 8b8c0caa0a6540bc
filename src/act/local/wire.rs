//! What goes over the control socket, as JSON.

use std::net::SocketAddr;

use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use crate::act::{ActError, LocalSettings};
use crate::model::{Action, Facet, Fault, FaultKind, TargetId, TargetState};

/// `GET /state`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Which target this supervisor serves.
    pub target: TargetId,
    /// What an actuator sees.
    pub state: TargetState,
    /// The supervisor's process.
    pub pid: u32,
    /// Where the balancer listens.
    pub balancer: SocketAddr,
    /// Where service discovery is served: `http://ADMIN/sd`.
    pub admin: SocketAddr,
    /// The worker processes, in the order of their numbers.
    pub workers: Vec<WorkerReport>,
    /// It is on its way out: no new action, no new daemon should use it.
    pub stopping: bool,
    /// What the balancer did so far.
    pub traffic: Traffic,
    /// The settings it was started with.
    pub settings: LocalSettings,
}

/// One worker process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// Instance name: `shop-2`.
    pub name: String,
    /// Its process; `None` once that has ended.
    pub pid: Option<u32>,
    /// Where it listens, or did last.
    pub addr: Option<SocketAddr>,
    /// `up`, `starting`, or what is wrong.
    pub status: String,
    /// Requests in it right now.
    pub in_flight: usize,
}

/// Counts of requests since the balancer started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Answered by a worker, whatever the answer.
    pub answered: u64,
    /// 502 and 504: a worker broke off or did not answer.
    pub failed: u64,
    /// 503: no worker was serving, or all were full.
    pub refused: u64,
}

/// `POST /apply`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplyRequest {
    /// What to do.
    pub action: Action,
    /// What must still hold.
    pub before: Facet,
    /// The same for each attempt at the same step of the same run.
    pub key: String,
}

/// How a fault is put into a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// By the balancer, on the way to a worker.
    Balancer,
    /// By a signal to a worker's processes.
    Signal,
    /// By the worker itself, through its door.
    Door,
    /// By a process beside the workers, for the whole machine.
    Stress,
}

/// `GET /faults`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultsReport {
    /// What can be put in, and how.
    pub offers: Vec<(FaultKind, Means)>,
    /// What is in.
    pub held: Vec<HeldFault>,
}

/// One fault that is in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldFault {
    /// `EXP-3.1`.
    pub id: String,
    /// What.
    pub fault: Fault,
    /// At which workers; empty where it is about the whole machine.
    pub instances: Vec<String>,
    /// How.
    pub means: Means,
    /// It goes by itself in so many milliseconds.
    pub left_ms: u64,
}

/// `PUT /faults/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutFault {
    /// What.
    pub fault: Fault,
    /// At which workers; empty where it is about the whole machine.
    #[serde(default)]
    pub instances: Vec<String>,
    /// It goes by itself after so many milliseconds.
    pub lease_ms: u64,
}

/// `POST /faults/{id}/renew`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenewFault {
    /// From now.
    pub lease_ms: u64,
}

/// The 200 of all that changes faults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FaultReceipt {
    /// One line for people.
    pub receipt: String,
}

/// The 200 of `POST /apply`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Receipt {
    /// One line for people.
    pub receipt: String,
    /// It had been done already, under the same key.
    pub again: bool,
}

/// Any other answer of `POST /apply`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "error", rename_all = "kebab-case")]
pub(crate) enum Refusal {
    /// 404.
    NotFound {
        /// Target or instance.
        what: String,
    },
    /// 409.
    Conflict {
        /// What changed.
        subject: String,
        /// What it was to be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// 422.
    Unsupported {
        /// Why this makes no sense here.
        why: String,
    },
    /// 503: nothing happened.
    Unavailable {
        /// What was to change.
        subject: String,
        /// Why it did not.
        why: String,
    },
    /// 500: half-way.
    OutcomeUnknown {
        /// What was to change.
        subject: String,
        /// How far it came.
        why: String,
    },
}

impl Refusal {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::Conflict { .. } => StatusCode::CONFLICT,
            Self::Unsupported { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::OutcomeUnknown { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<Refusal> for ActError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound { what } => Self::NotFound(what),
            Refusal::Conflict { subject, expected, found } => Self::Conflict { subject, expected, found },
            Refusal::Unsupported { why } => Self::Unsupported(why),
            Refusal::Unavailable { subject, why } => Self::Unavailable(subject, why),
            Refusal::OutcomeUnknown { subject, why } => Self::OutcomeUnknown(subject, why),
        }
    }
}

//! What goes over the control socket, as JSON.

use std::net::SocketAddr;

use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use crate::act::{ActError, LocalSettings};
use crate::model::{Action, Facet, TargetId, TargetState};

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
pub(super) enum Refusal {
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

//! The vocabulary as types: what flows between stages, and nothing that does anything.
//!
//! No I/O, no clock, no randomness in here. Every stage imports this module and its own port; no stage imports
//! another stage.

mod action;
mod component;
pub mod duration_text;
mod event;
mod experiment;
mod feedback;
mod forecast;
mod id;
mod metric;
pub mod number;
mod plan;
mod policy;
mod reading;
mod secret;
mod secret_ref;
mod target;
mod time;
mod transcript;

pub use action::{Action, ActionKind, Effect, Facet, MOST_VALUE, SimulateError};
pub use component::Role;
pub use event::{DryRun, Event, Fact, Record, Verdict, VerdictEvidence};
pub use experiment::{
    AbortRules, AimedFault, BlastRadius, Expectation, Experiment, ExperimentOutcome, ExperimentPlan, Fault, FaultKind,
    LONGEST_EXPERIMENT, MethodStep, MetricBound, MetricSeen, Stage, SteadyState,
};
pub use feedback::{Deploy, FalseAlarm, LONGEST_SETTLE};
pub use forecast::Forecast;
pub use id::{Digest, ExperimentId, IncidentId, Person, RunId, ServiceId};
pub use metric::{Badness, MetricSpec, Sample, SourceFault};
pub use plan::{Args, Inverse, Plan, PlannedAction, Proposal};
pub use policy::{Allow, ApprovalPolicy, Guard, Mode, Policy, VERBS, VerifyPolicy};
pub use reading::{Driver, Judge, Reading, Severity, Trend};
pub use secret::Secret;
pub use secret_ref::{LIKE as SECRET_LIKE, SecretRef};
pub use target::{Autoscaler, Instance, TargetId, TargetIdError, TargetState};
pub use time::{Clock, FakeClock, SystemClock, Timestamp, in_words};
pub use transcript::{HostCall, LogLevel, LogLine, Transcript};

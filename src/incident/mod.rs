//! The incident life cycle as a pure state machine: `(state, input) -> events`, `(state, event) -> state`, and
//! `state -> what is due`.
//!
//! No clock, no I/O, no randomness in here. What is due follows from the state alone, so a daemon that was killed at
//! any point does after its restart exactly what it would have done next. Called by the engine, which makes events
//! durable before anything they announce is done.

mod components;
mod due;
mod experiments;
mod input;
mod machine;
mod state;
mod verdict;

pub use components::{Component, Components, STRIKES_ALLOWED};
pub use due::{Due, due};
pub use experiments::{FaultState, OnExperiment, Progress, Trial, Trials};
pub use input::{Input, Outcome, Refusal, RunFailure};
pub use machine::{Frozen, Policies, step};
pub use state::{Acted, Incident, Marked, Phase, Question, Run, State, Step};
pub use verdict::{Observation, judge};

#[cfg(test)]
mod tests;

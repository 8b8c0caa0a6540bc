//! Replay: what rules and playbooks did in a past incident, done again from its record, offline.
//!
//! Everything that a component is told is in the ledger: the view, the arguments, the answer to every call. So the same
//! bytes must give the same calls, outcome, log, notes and fuel, byte for byte; [`Repeater`] proves it or names the first
//! difference. [`other`] and [`backtest`] put another component in the place of the one of then, against the recorded
//! targets.
//!
//! This module must never ask a platform, change anything, or run a component whose bytes do not have the recorded digest.
//! It reads no files but components: whoever calls it (`cli::replay`, `cli::backtest`) reads the ledger.
//!
//! What a replay can prove, and what it cannot: that the components did what the record says, given what they were told.
//! Whether they were told the truth is for the ledger's chain (`ledger::verify`) and the checks of [`Case`] to say.

mod again;
mod backtest;
mod case;
mod checks;
mod difference;
mod other;
mod tell;
#[cfg(test)]
mod tests;
mod world;
mod would;

use serde::Serialize;

pub use again::{Repeater, Shelf, Verdict};
pub use backtest::{Backtest, Candidate, Incidents, Row, Totals, backtest};
pub use case::{Case, Execution, RunRecord, What};
pub use checks::Check;
pub use difference::{Difference, canonical, first, sha256};
pub use other::{Compared, other};
pub use would::{Allowed, Basis, Everything, Would};

use crate::model::{Digest, IncidentId, RunId, ServiceId};

/// What a replay of an incident found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replay {
    /// Which.
    pub incident: IncidentId,
    /// Of which service.
    pub service: Option<ServiceId>,
    /// Every execution, in the order of the ledger.
    pub executions: Vec<Replayed>,
    /// What holds of plans and runs, and what does not.
    pub checks: Vec<Check>,
    /// Executions that took place and are not in the ledger.
    pub unrecorded: Vec<String>,
}

/// One execution, done again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replayed {
    /// The ledger's record that has it.
    pub seq: u64,
    /// What it was.
    pub title: String,
    /// The run it belongs to.
    pub run: Option<RunId>,
    /// SHA-256 of the component.
    pub component: Digest,
    /// Calls to the host, as recorded.
    pub calls: usize,
    /// Units of work, as recorded.
    pub fuel: u64,
    /// What came of it.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// How a replay ended, for an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Everything that can be repeated is as recorded, and every check holds.
    Identical,
    /// Something is not.
    Different,
    /// Nothing is different, and something could not be replayed.
    Incomplete,
}

impl Replay {
    /// All of it in a word.
    #[must_use]
    pub fn ended(&self) -> Ended {
        let any = |of: fn(&Verdict) -> bool| self.executions.iter().any(|e| of(&e.verdict));
        if any(|v| matches!(v, Verdict::Different(_))) || self.checks.iter().any(|c| c.problem.is_some()) {
            Ended::Different
        } else if any(|v| matches!(v, Verdict::NotReplayed { .. })) {
            Ended::Incomplete
        } else {
            Ended::Identical
        }
    }
}

/// Does every execution of an incident again.
pub async fn replay(case: &Case, repeater: &mut Repeater) -> Replay {
    let mut executions = Vec::new();
    for execution in &case.executions {
        executions.push(Replayed {
            seq: execution.seq,
            title: execution.title(),
            run: execution.run,
            component: execution.ran.component,
            calls: execution.ran.calls.len(),
            fuel: execution.ran.fuel,
            verdict: repeater.again(execution).await,
        });
    }
    Replay {
        incident: case.incident,
        service: case.service.clone(),
        executions,
        checks: case.checks.clone(),
        unrecorded: case.unrecorded.clone(),
    }
}

//! What is due, from the state alone.

use super::state::{Phase, State};
use crate::model::{IncidentId, RunId};

/// Work that the engine has to have under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Due {
    /// Ask the rules what to do.
    AskRules(IncidentId),
    /// Dry-run the proposal at this place.
    Plan(IncidentId, usize),
    /// Carry out a run, from wherever it stands.
    Execute(RunId),
    /// Take a run back, from wherever that stands.
    Undo(RunId),
}

impl Due {
    /// The run it works on: execution and undo of one run never overlap.
    #[must_use]
    pub fn run(self) -> Option<RunId> {
        match self {
            Self::Execute(run) | Self::Undo(run) => Some(run),
            Self::AskRules(_) | Self::Plan(..) => None,
        }
    }
}

/// Everything that is due now. While the kill switch is on nothing that acts is due; looking and planning go on.
#[must_use]
pub fn due(state: &State) -> Vec<Due> {
    let mut list = Vec::new();
    for incident in state.incidents.values() {
        match incident.phase {
            Phase::Open => list.push(Due::AskRules(incident.id)),
            Phase::Planning if incident.next_proposal < incident.proposals.len() => {
                list.push(Due::Plan(incident.id, incident.next_proposal));
            }
            _ => {}
        }
    }
    if state.halted.is_none() {
        for run in state.runs.values() {
            if run.undo.is_some() && !run.undo_done {
                list.push(Due::Undo(run.id));
            } else if !run.done && run.failure.is_none() {
                list.push(Due::Execute(run.id));
            }
        }
    }
    list
}

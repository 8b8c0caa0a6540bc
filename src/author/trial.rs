//! One run of a component in the world of a case: a dry run as the daemon does it, and the two questions that the daemon
//! cannot ask beforehand: does it do the same when it is run again, and does its real run keep to the plan?

use std::sync::PoisonError;

use super::case::Case;
use super::component::Component;
use super::world::{self, OnlyPlan};
use crate::decide;
use crate::engine::{Recording, check_shares};
use crate::model::{Guard, HostCall, IncidentId, LogLine, Plan, PlannedAction, Proposal, ServiceId};
use crate::wasm::{Limits, Notes, Playbook, Ran, RunError};

/// What came of it, in the words that people see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The lines of the plan.
    Plan(Vec<String>),
    /// A rule's proposals, `scale-out by=2`.
    Proposals(Vec<String>),
    /// There is no answer, and why.
    Error(String),
}

/// One run, and what it did on the way.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What came of it.
    pub outcome: Outcome,
    /// The playbook's own sentence, or why each proposal was made.
    pub says: Vec<String>,
    /// The steps that it took, also those before an error.
    pub steps: Vec<PlannedAction>,
    /// Every call to the host with its answer.
    pub calls: Vec<HostCall>,
    /// What it logged.
    pub log: Vec<LogLine>,
    /// Log lines past the budget.
    pub log_dropped: usize,
    /// Units of work.
    pub fuel: u64,
    /// The notes afterwards.
    pub notes: Notes,
    /// It failed by its own fault.
    pub fault: Option<RunError>,
    /// Why the guardrails, as they are by default, would hold the plan back.
    pub held_back: Option<String>,
    /// Everything above as the ledger would keep it.
    record: String,
}

impl Component {
    /// Runs it once in the world of a case.
    pub async fn try_case(&self, case: &Case) -> Trial {
        match self {
            Self::Playbook(playbook) => self.try_playbook(playbook, case).await,
            Self::Rule(rule) => {
                let ran = rule.propose(case.view()).await;
                let says = ran.result.iter().flatten().map(|p| format!("{}: {}", p.playbook, p.why)).collect();
                let outcome = match &ran.result {
                    Ok(proposals) => Outcome::Proposals(proposals.iter().map(proposal_line).collect()),
                    Err(why) => Outcome::Error(why.to_string()),
                };
                Trial::of(self, ran, outcome, says, case)
            }
        }
    }

    /// As the engine does it: a denial ends the plan even when the playbook swallowed it.
    async fn try_playbook(&self, playbook: &Playbook, case: &Case) -> Trial {
        let (world, recording) = world::dry(case, playbook.name());
        let ran = playbook.remediate(case.view(), &case.args, world, Limits::default().wall).await;
        let recording = recording.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let outcome = match (&ran.result, &recording.refused) {
            (_, Some(refused)) => Outcome::Error(refused.to_string()),
            (Err(why), None) => Outcome::Error(why.to_string()),
            (Ok(_), None) => Outcome::Plan(recording.steps.iter().map(PlannedAction::diff_line).collect()),
        };
        let says = ran.result.iter().cloned().collect();
        let mut trial = Trial::of(self, ran, outcome, says, case);
        if let Outcome::Plan(_) = trial.outcome {
            trial.held_back = held_back(self, case, &recording).err();
        }
        trial.steps = recording.steps;
        trial
    }

    /// Runs it again, and in its real run.
    ///
    /// # Errors
    /// It did something else when it was run again, or its real run strayed from the plan.
    pub async fn check_again(&self, case: &Case, first: &Trial) -> Result<(), Unsteady> {
        let second = self.try_case(case).await;
        if second.record != first.record {
            return Err(Unsteady::Differs(first_difference(first, &second)));
        }
        let Self::Playbook(playbook) = self else { return Ok(()) };
        // A platform that fails in the dry run alone is no test of the playbook.
        if !matches!(first.outcome, Outcome::Plan(_)) || !case.fail.is_empty() {
            return Ok(());
        }
        let (world, left) = OnlyPlan::new(case, &first.steps);
        let ran = playbook.remediate(case.view(), &case.args, Box::new(world), Limits::default().wall).await;
        let left = left.lock().unwrap_or_else(PoisonError::into_inner);
        match (&left.strayed, ran.result, left.steps.front()) {
            (Some(strayed), ..) => Err(Unsteady::Strays(strayed.clone())),
            (None, Err(why), _) => Err(Unsteady::Strays(format!("it ends with: {why}"))),
            (None, Ok(_), Some(step)) => Err(Unsteady::Strays(format!("it leaves out: {}", step.diff_line()))),
            (None, Ok(_), None) => Ok(()),
        }
    }
}

/// A component that cannot be relied on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsteady {
    /// The same run, done again, was another one.
    #[error("run again in the same world, it does something else: {0}")]
    Differs(String),
    /// The real run did not keep to the plan of the dry run.
    #[error("its real run does not keep to the plan: {0}")]
    Strays(String),
}

impl Trial {
    /// The component's own word on why there is no plan, or nothing.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Error(why) => Some(why),
            _ => None,
        }
    }

    fn of<T: serde::Serialize>(
        component: &Component,
        ran: Ran<T>,
        outcome: Outcome,
        says: Vec<String>,
        case: &Case,
    ) -> Self {
        let record = ran.transcript(component.name(), component.digest());
        Self {
            outcome,
            says,
            steps: Vec::new(),
            fault: ran.fault().cloned(),
            calls: ran.calls,
            log: ran.log,
            log_dropped: ran.log_dropped,
            fuel: ran.fuel,
            notes: ran.notes.unwrap_or_else(|| case.notes.clone()),
            held_back: None,
            // Texts, finite numbers and lists: serialising cannot fail; should it, both runs give the same nothing.
            record: serde_json::to_string(&record).unwrap_or_default(),
        }
    }
}

/// What the guardrails say to the plan, with the limits that hold where the config names none.
fn held_back(component: &Component, case: &Case, recording: &Recording) -> Result<(), String> {
    let guard = Guard::default();
    let plan = Plan {
        incident: IncidentId(1),
        number: 1,
        service: ServiceId(case.incident.service.clone()),
        playbook: component.name().to_owned(),
        component: component.digest(),
        args: case.args.clone(),
        actions: recording.steps.clone(),
        may: Vec::new(),
        notes: Vec::new(),
    };
    decide::check_shape(&guard, &plan)?;
    check_shares(&guard, &recording.before, &recording.steps)
}

/// `scale-out by=2`.
fn proposal_line(proposal: &Proposal) -> String {
    let args: String = proposal.args.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    format!("{}{args}", proposal.playbook)
}

/// Where two runs part, in words.
fn first_difference(first: &Trial, second: &Trial) -> String {
    let mut calls = first.calls.iter().zip(&second.calls).enumerate();
    if let Some((i, (a, b))) = calls.find(|(_, (a, b))| a != b) {
        let call = if a.call == b.call { a.call.clone() } else { format!("{}, then {}", a.call, b.call) };
        return format!("call {} ({call})", i + 1);
    }
    if first.calls.len() != second.calls.len() {
        return format!("{} calls to the host, then {}", first.calls.len(), second.calls.len());
    }
    if first.log != second.log {
        return "what it logs".to_owned();
    }
    if first.fuel != second.fuel {
        return format!("{} units of work, then {}", first.fuel, second.fuel);
    }
    "its answer".to_owned()
}

//! What a component would do in a past incident: the recorded view and the recorded targets as its world.
//!
//! Nothing is asked of any platform: the dry run's own world is laid over targets that stay as they were recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::world::RecordedTargets;
use crate::decide;
use crate::engine::{Actuators, DryWorld, Permits};
use crate::model::{
    Action, ActionKind, Args, Guard, IncidentId, Plan, PlannedAction, Proposal, ServiceId, TargetId, TargetState,
    Timestamp, Transcript,
};
use crate::wasm::{HostError, IncidentView, Playbook, Rule, RunError};

/// Longest of these runs. It waits for nothing.
const WALL: Duration = Duration::from_secs(30);

/// What a component would have done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "would", rename_all = "kebab-case")]
pub enum Would {
    /// Asked people for this plan.
    Planned {
        /// The lines of its diff.
        plan: Vec<String>,
    },
    /// Proposed these playbooks: the answer of a rule.
    Proposed {
        /// Each with its arguments: `scale-out by=2`.
        playbooks: Vec<String>,
    },
    /// Done nothing, for a reason: not applicable, denied, nothing to change, held back by the guard.
    Refused {
        /// The reason.
        why: String,
    },
    /// Failed, by its own fault or in its own words.
    Failed {
        /// How.
        why: String,
    },
}

/// What it rests on: with what it was tried.
pub struct Basis {
    /// What the component is told.
    pub view: IncidentView,
    /// The targets as they were.
    pub states: BTreeMap<TargetId, TargetState>,
    /// What it is asked to do.
    pub args: Args,
    /// When it was: grants may hold at certain times only.
    pub at: Timestamp,
}

/// What may be done at most: the grants, and the guards of the services.
#[derive(Clone)]
pub struct Allowed {
    /// The grants.
    pub permits: Arc<dyn Permits>,
    /// The guards, by service; a service without one has no limits.
    pub guards: BTreeMap<ServiceId, Guard>,
}

/// Grants everything: for a replay without a config.
pub struct Everything;

impl Permits for Everything {
    fn check(&self, _: &str, _: &Action, _: &TargetState, _: Timestamp) -> Result<(), HostError> {
        Ok(())
    }

    fn actions_per_hour(&self, _: &str, _: &TargetId) -> Option<u32> {
        None
    }

    fn in_words(&self, _: &str, _: &[TargetId], _: &BTreeSet<ActionKind>) -> Vec<String> {
        Vec::new()
    }
}

impl Allowed {
    /// No limits at all.
    #[must_use]
    pub fn everything() -> Self {
        Self { permits: Arc::new(Everything), guards: BTreeMap::new() }
    }
}

/// Dry-runs a playbook on this basis.
pub async fn playbook(playbook: &Playbook, basis: &Basis, allowed: &Allowed) -> (Would, Transcript) {
    let mut actuators = Actuators::default();
    let kinds: BTreeSet<_> = basis.states.keys().map(TargetId::kind).collect();
    for kind in kinds {
        actuators.add_for(kind, Arc::new(RecordedTargets(basis.states.clone())));
    }
    let targets: Vec<_> = basis.states.keys().cloned().collect();
    let world = DryWorld::new(actuators, Arc::clone(&allowed.permits), playbook.name(), targets, basis.at);
    let recording = world.recording();
    let ran = playbook.remediate(basis.view.clone(), &basis.args, Box::new(world), WALL).await;
    let transcript = ran.transcript(playbook.name(), playbook.digest());
    let recording = recording.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let would = match (ran.result, recording.refused) {
        (_, Some(refused)) => Would::Refused { why: refused.to_string() },
        (Err(error), None) => not_done(&error),
        (Ok(_), None) => planned(playbook, basis, allowed, recording.steps),
    };
    (would, transcript)
}

fn planned(playbook: &Playbook, basis: &Basis, allowed: &Allowed, actions: Vec<PlannedAction>) -> Would {
    let lines = actions.iter().map(PlannedAction::diff_line).collect();
    let plan = Plan {
        incident: basis.view.id,
        number: 1,
        service: basis.view.service.clone(),
        playbook: playbook.name().to_owned(),
        component: playbook.digest(),
        args: basis.args.clone(),
        actions,
        may: Vec::new(),
        notes: Vec::new(),
    };
    let without_limits = Guard { max_replica_delta: u32::MAX, ..Guard::default() };
    let guard = allowed.guards.get(&plan.service).unwrap_or(&without_limits);
    match decide::check_shape(guard, &plan) {
        Ok(()) => Would::Planned { plan: lines },
        Err(why) => Would::Refused { why },
    }
}

fn not_done(error: &RunError) -> Would {
    let why = error.to_string();
    match error {
        RunError::NotApplicable(_) | RunError::WrongArgument(_) | RunError::Refused(_) => Would::Refused { why },
        _ => Would::Failed { why },
    }
}

/// Asks a rule, as it would have been asked then.
pub async fn rule(rule: &Rule, view: IncidentView) -> (Would, Transcript) {
    let ran = rule.propose(view).await;
    let transcript = ran.transcript(rule.name(), rule.digest());
    let would = match ran.result {
        Ok(proposals) if proposals.is_empty() => Would::Refused { why: "it knows nothing to do".to_owned() },
        Ok(proposals) => Would::Proposed { playbooks: proposals.iter().map(one_line).collect() },
        Err(error) => not_done(&error),
    };
    (would, transcript)
}

fn one_line(proposal: &Proposal) -> String {
    let args = proposal.args.iter().map(|(name, value)| format!(" {name}={value}"));
    format!("{}{}", proposal.playbook, args.collect::<String>())
}

/// The view for a playbook that is not the one it was made for: the notes in it are somebody else's.
pub(super) fn for_another(mut view: IncidentView) -> IncidentView {
    view.notes.clear();
    view
}

/// The recorded view, if it can still be read.
///
/// # Errors
/// In words.
pub(super) fn view_of(incident: IncidentId, view: &serde_json::Value) -> Result<IncidentView, String> {
    serde_json::from_value(view.clone())
        .map_err(|e| format!("what was told of {incident} cannot be read: {}", crate::ledger::clean(&e.to_string())))
}

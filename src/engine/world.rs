//! The two worlds a playbook can be run against: one that records, one that acts.
//!
//! In the dry run reads are live and writes go to an overlay, so a playbook that scales and then looks sees its own
//! write. In the real run every action has to be the next one of the approved plan.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{Actuators, Permits};
use crate::act::ActError;
use crate::model::{Action, PlannedAction, TargetId, TargetState, Timestamp};
use crate::wasm::{HostError, World};

/// More steps than this is not a remediation anybody can read and approve.
const MAX_ACTIONS: usize = 32;

/// What the contract says of an adapter's error.
pub(super) fn to_host_error(error: ActError) -> HostError {
    match error {
        ActError::NotFound(what) => HostError::NotFound(what),
        ActError::Denied(why) => HostError::Unavailable(format!("the platform denied it: {why}")),
        ActError::Conflict { .. } => HostError::Conflict(error.to_string()),
        ActError::TimedOut(_) => HostError::TimedOut(error.to_string()),
        ActError::Unavailable(..) | ActError::Throttled { .. } | ActError::Unsupported(_) => {
            HostError::Unavailable(error.to_string())
        }
        ActError::OutcomeUnknown(..) => HostError::OutcomeUnknown(error.to_string()),
    }
}

/// Refuses a target that the service was not given.
pub(super) fn must_be_known(targets: &[TargetId], target: &TargetId) -> Result<(), HostError> {
    if targets.contains(target) {
        Ok(())
    } else {
        Err(HostError::NotFound(format!("{target} is not a target of this service")))
    }
}

/// What a dry run found out.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The steps in order.
    pub steps: Vec<PlannedAction>,
    /// The targets it touched, as they were before the first step.
    pub before: BTreeMap<TargetId, TargetState>,
    /// The first denial or budget error: shown even when the playbook swallowed it.
    pub refused: Option<HostError>,
}

/// The dry run: reads live, records writes.
pub struct DryWorld {
    actuators: Actuators,
    permits: Arc<dyn Permits>,
    playbook: String,
    targets: Vec<TargetId>,
    /// The time that grants are asked with: a dry run is one moment.
    now: Timestamp,
    /// Targets as they would be by now.
    overlay: BTreeMap<TargetId, TargetState>,
    recording: Arc<Mutex<Recording>>,
}

impl DryWorld {
    /// A dry run of this playbook over these targets, at this time.
    #[must_use]
    pub fn new(
        actuators: Actuators,
        permits: Arc<dyn Permits>,
        playbook: &str,
        targets: Vec<TargetId>,
        now: Timestamp,
    ) -> Self {
        let (overlay, recording) = (BTreeMap::new(), Arc::default());
        Self { actuators, permits, playbook: playbook.to_owned(), targets, now, overlay, recording }
    }

    /// Where it puts down what it finds out; to be read when the run is over.
    #[must_use]
    pub fn recording(&self) -> Arc<Mutex<Recording>> {
        Arc::clone(&self.recording)
    }

    fn record<T>(&self, f: impl FnOnce(&mut Recording) -> T) -> T {
        f(&mut self.recording.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn plan(&mut self, action: &Action) -> Result<String, HostError> {
        let target = action.target().clone();
        let mut state = self.observe(&target).await?;
        if self.record(|r| r.steps.len()) >= MAX_ACTIONS {
            return Err(HostError::OverBudget(format!("a plan has at most {MAX_ACTIONS} actions")));
        }
        if !state.can_any(&[action.kind()].into()) {
            let can: Vec<_> = state.can.iter().map(ToString::to_string).collect();
            let why = format!("{target} cannot do that ({action}); it can {}", can.join(", "));
            return Err(HostError::Unavailable(why));
        }
        self.permits.check(&self.playbook, action, &state, self.now)?;
        let before = action.facet(&state).map_err(|e| HostError::Conflict(e.to_string()))?;
        if action.outcome(&before) == before {
            return Ok(format!("{} is {before} already", action.subject()));
        }
        self.record(|r| {
            r.before.entry(target.clone()).or_insert_with(|| state.clone());
            r.steps.push(PlannedAction::new(action.clone(), before));
        });
        action.simulate(&mut state);
        self.overlay.insert(target, state);
        Ok(format!("planned: {action}"))
    }
}

#[async_trait]
impl World for DryWorld {
    async fn observe(&mut self, target: &TargetId) -> Result<TargetState, HostError> {
        must_be_known(&self.targets, target)?;
        if let Some(state) = self.overlay.get(target) {
            return Ok(state.clone());
        }
        let actuator = self.actuators.of(target).map_err(to_host_error)?;
        let state = actuator.observe(target).await.map_err(to_host_error)?;
        // One look a dry run: the plan rests on one picture of the target.
        self.overlay.insert(target.clone(), state.clone());
        Ok(state)
    }

    async fn act(&mut self, action: Action) -> Result<String, HostError> {
        let result = self.plan(&action).await;
        if let Err(error @ (HostError::Denied { .. } | HostError::OverBudget(_))) = &result {
            self.record(|r| r.refused.get_or_insert_with(|| error.clone()).clone());
        }
        result
    }
}

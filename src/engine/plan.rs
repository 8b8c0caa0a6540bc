//! Asking the rules, and the dry run that turns a proposal into a plan.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::reconcile::Runner;
use super::world::{DryWorld, Recording};
use super::{JournalError, SubmitError};
use crate::decide;
use crate::incident::{Incident, Input};
use crate::model::{Action, IncidentId, Plan, TargetId, TargetState};
use crate::wasm::IncidentView;

/// Longest dry run: it only looks, and a person waits for it.
const DRY_RUN: Duration = Duration::from_secs(30);

/// The window of a grant's `actions_per_hour`.
const HOUR: Duration = Duration::from_secs(3600);

/// Work that could not be brought to an end; it stays due and is tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunnerError {
    /// The engine did not take the outcome.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// A target could not be looked at, so that nothing can be said about a step that was cut off.
    #[error("cannot look at {0}: {1}")]
    Blind(TargetId, String),
}

impl From<JournalError> for RunnerError {
    fn from(error: JournalError) -> Self {
        Self::Submit(error.into())
    }
}

impl Runner {
    /// Asks the rules what to do about an incident.
    pub(super) async fn ask_rules(&self, id: IncidentId) -> Result<(), RunnerError> {
        let Some(incident) = self.engine.state().incidents.get(&id).cloned() else { return Ok(()) };
        let view = self.view(&incident).await;
        let result = self.stages.healer.propose(&view).await.map(|proposals| {
            proposals.into_iter().filter(|p| !view.tried.contains(&p.playbook) || p.rule != "stock").collect()
        });
        self.engine.submit(Input::ProposalsReady { incident: id, view: json(&view), result }).await?;
        Ok(())
    }

    /// Dry-runs the proposal at this place.
    pub(super) async fn plan(&self, id: IncidentId, index: usize) -> Result<(), RunnerError> {
        let Some(incident) = self.engine.state().incidents.get(&id).cloned() else { return Ok(()) };
        let Some(proposal) = incident.proposals.get(index).cloned() else { return Ok(()) };
        let view = self.view(&incident).await;
        let targets = self.stages.targets(&incident.service);
        let playbook = proposal.playbook.clone();
        let Some(component) = self.stages.healer.component(&playbook) else {
            let result = Err(format!("there is no playbook `{playbook}`; `playbooks` lists them"));
            let input = Input::PlanReady { incident: id, playbook, view: json(&view), result, calls: Vec::new() };
            self.engine.submit(input).await?;
            return Ok(());
        };
        let recording = Arc::new(Mutex::new(Recording::default()));
        let world = DryWorld {
            actuators: self.stages.actuators.clone(),
            permits: Arc::clone(&self.stages.permits),
            playbook: playbook.clone(),
            targets: targets.clone(),
            overlay: std::collections::BTreeMap::new(),
            recording: Arc::clone(&recording),
        };
        let (ran, calls) =
            self.stages.healer.remediate(&playbook, &view, &proposal.args, Box::new(world), DRY_RUN).await;
        let recording = recording.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let result = match (ran, recording.refused) {
            (_, Some(refused)) => Err(refused.to_string()),
            (Err(why), None) => Err(why),
            (Ok(()), None) => self
                .check_share(&incident, &recording.before, &recording.steps)
                .and_then(|()| self.check_granted_rate(&playbook, &recording.steps))
                .map(|()| Plan {
                    incident: id,
                    number: incident.plans + 1,
                    service: incident.service.clone(),
                    may: self.stages.permits.in_words(&playbook, &targets),
                    playbook: playbook.clone(),
                    component,
                    args: proposal.args,
                    actions: recording.steps,
                }),
        };
        self.engine.submit(Input::PlanReady { incident: id, playbook, view: json(&view), result, calls }).await?;
        Ok(())
    }

    /// Holds back a plan with which the playbook would do more in an hour than its grant allows.
    fn check_granted_rate(&self, playbook: &str, steps: &[crate::model::PlannedAction]) -> Result<(), String> {
        let (state, now) = (self.engine.state(), self.engine.now());
        let targets: std::collections::BTreeSet<_> = steps.iter().map(|step| step.action.target()).collect();
        for target in targets {
            let Some(most) = self.stages.permits.actions_per_hour(playbook, target) else { continue };
            let planned = steps.iter().filter(|step| step.action.target() == target).count();
            let by_it = |run| state.runs.get(run).is_some_and(|r| r.plan.playbook == playbook);
            let past = state.acted.iter().filter(|a| a.target == *target && now.since(a.at) < HOUR && by_it(&a.run));
            let past = past.count();
            if past + planned > most as usize {
                return Err(format!(
                    "held back: {past} actions on {target} in the last hour and {planned} more, and its grant says \
                     actions_per_hour = {most}"
                ));
            }
        }
        Ok(())
    }

    /// Holds back a plan that takes too many of a target's healthy instances out of service at once.
    fn check_share(
        &self,
        incident: &Incident,
        before: &std::collections::BTreeMap<TargetId, TargetState>,
        steps: &[crate::model::PlannedAction],
    ) -> Result<(), String> {
        let Some(policy) = self.engine.policies().get(&incident.service) else { return Ok(()) };
        for (target, state) in before {
            // What does not answer cannot be taken out of service; restarting it puts it back.
            let healthy: Vec<_> = steps
                .iter()
                .filter(|step| match &step.action {
                    Action::Restart { instance, .. } | Action::Isolate { instance, .. } => {
                        state.instance(instance).is_none_or(|i| i.up)
                    }
                    _ => true,
                })
                .cloned()
                .collect();
            // Instances that the plan itself adds count as company.
            let of = steps
                .iter()
                .filter_map(|step| match &step.action {
                    Action::Scale { target: t, to } if t == target => Some(*to as usize),
                    _ => None,
                })
                .chain([state.instances.len()])
                .max()
                .unwrap_or_default();
            let touched = decide::taken_out(&healthy).get(target).copied().unwrap_or_default();
            if touched > 0 {
                decide::check_share(&policy.guard, target, touched, of)?;
            }
        }
        Ok(())
    }

    /// What a component is told about an incident.
    pub(super) async fn view(&self, incident: &Incident) -> IncidentView {
        let mut targets = Vec::new();
        for target in self.stages.targets(&incident.service) {
            match self.stages.actuators.of(&target) {
                Ok(actuator) => match actuator.observe(&target).await {
                    Ok(state) => targets.push((target, state)),
                    Err(error) => {
                        tracing::warn!(%target, %error, "a target cannot be looked at; the rules are not told of it")
                    }
                },
                Err(error) => tracing::warn!(%target, %error, "a target has no adapter; the rules are not told of it"),
            }
        }
        let last = self.stages.board.with(&incident.service, |board| board.samples.back().cloned());
        let (metrics, instance_metrics) = last.map(|s| (s.values, s.by_instance)).unwrap_or_default();
        let state = self.engine.state();
        let tried =
            incident.runs.iter().filter_map(|run| state.runs.get(run)).map(|r| r.plan.playbook.clone()).collect();
        IncidentView {
            id: incident.id,
            service: incident.service.clone(),
            severity: incident.severity,
            risk: incident.risk,
            since: incident.since,
            drivers: incident.drivers.clone(),
            targets,
            metrics: metrics.into_iter().collect(),
            instance_metrics: instance_metrics.into_iter().map(|(name, m)| (name, m.into_iter().collect())).collect(),
            tried,
        }
    }
}

/// The view as the ledger keeps it. It is text, finite numbers and lists: serialising cannot fail; should it, the
/// replay says so.
fn json(view: &IncidentView) -> serde_json::Value {
    serde_json::to_value(view).unwrap_or_default()
}

//! Asking the rules, and the dry run that turns a proposal into a plan.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::reconcile::Runner;
use super::world::DryWorld;
use super::{Engine, Failed, JournalError, SubmitError};
use crate::decide;
use crate::incident::{Incident, Input, STRIKES_ALLOWED};
use crate::model::{
    Action, Digest, Guard, IncidentId, Plan, Proposal, Role, ServiceId, TargetId, TargetState, Transcript,
};
use crate::wasm::{IncidentView, Notes};

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
        let off = self.engine.state().components.disabled();
        let asked = self.stages.healer.propose(&view, &off).await;
        let (result, transcripts) = match asked {
            Ok(asked) => {
                for failed in asked.failed.iter().filter(|failed| failed.fault) {
                    self.engine.strike(Role::Rule, failed).await?;
                }
                let fresh = |p: &Proposal| !view.tried.contains(&p.playbook) || p.rule != "stock";
                let proposals: Vec<_> = asked.proposals.into_iter().filter(fresh).collect();
                let why = asked.failed.iter().map(|f| format!("rule {}: {}", f.name, f.why)).collect::<Vec<_>>();
                let result = if proposals.is_empty() && !why.is_empty() { Err(why.join("; ")) } else { Ok(proposals) };
                (result, asked.transcripts)
            }
            Err(why) => (Err(why), Vec::new()),
        };
        let input = Input::ProposalsReady { incident: id, view: json(&view), result, asked: bounded(transcripts) };
        self.engine.submit(input).await?;
        Ok(())
    }

    /// Dry-runs the proposal at this place.
    pub(super) async fn plan(&self, id: IncidentId, index: usize) -> Result<(), RunnerError> {
        let Some(incident) = self.engine.state().incidents.get(&id).cloned() else { return Ok(()) };
        let Some(proposal) = incident.proposals.get(index).cloned() else { return Ok(()) };
        let playbook = proposal.playbook.clone();
        let mut view = self.view(&incident).await;
        view.notes = self.notes(&playbook, &incident);
        self.leave_out_others(&playbook, &mut view);
        let (ran, result) = match self.usable(&playbook) {
            Ok(component) => self.dry_run(&incident, &proposal, component, &view).await?,
            Err(why) => (None, Err(why)),
        };
        let (args, view) = (proposal.args, json(&view));
        self.engine.submit(Input::PlanReady { incident: id, playbook, args, view, result, ran }).await?;
        Ok(())
    }

    /// What a playbook would do to a service now: a dry run of which nothing comes.
    ///
    /// # Errors
    /// In words, when there is no plan.
    pub async fn would(&self, service: &ServiceId, proposal: &Proposal) -> Result<Plan, String> {
        let incident = match self.engine.state().open_incident(service) {
            Some(open) => open.clone(),
            None => Incident::asked_for(service, self.engine.now()),
        };
        let mut view = self.view(&incident).await;
        view.notes = self.notes(&proposal.playbook, &incident);
        self.leave_out_others(&proposal.playbook, &mut view);
        let component = self.usable(&proposal.playbook)?;
        let (_, plan) = self.dry_run(&incident, proposal, component, &view).await.map_err(|e| e.to_string())?;
        plan
    }

    /// A playbook is told of the targets at which it could do something at all: one that moves traffic finds the route, not the
    /// workload behind it.
    fn leave_out_others(&self, playbook: &str, view: &mut IncidentView) {
        let kinds = self.stages.healer.imports(playbook);
        view.targets.retain(|(_, state)| kinds.is_empty() || state.can_any(&kinds));
    }

    /// The version of a playbook to plan with.
    fn usable(&self, playbook: &str) -> Result<Digest, String> {
        let component = self.stages.healer.component(playbook);
        let component =
            component.ok_or_else(|| format!("there is no playbook `{playbook}`; `playbooks` lists them"))?;
        let state = self.engine.state();
        let known = state.components.get(Role::Playbook, playbook).filter(|c| c.accepted == component);
        match known.and_then(|c| c.disabled.as_ref()) {
            Some(why) => Err(format!(
                "{playbook} is disabled after {STRIKES_ALLOWED} faults (the last: {why}); `enable {playbook}` gives it \
                 another chance"
            )),
            None => Ok(component),
        }
    }

    async fn dry_run(
        &self,
        incident: &Incident,
        proposal: &Proposal,
        component: Digest,
        view: &IncidentView,
    ) -> Result<(Option<Transcript>, Result<Plan, String>), RunnerError> {
        let (targets, playbook) = (self.stages.targets(&incident.service), &proposal.playbook);
        let (actuators, permits) = (self.stages.actuators.clone(), Arc::clone(&self.stages.permits));
        let world = DryWorld::new(actuators, permits, playbook, targets.clone(), self.engine.now());
        let recording = world.recording();
        let healer = &self.stages.healer;
        let ran =
            healer.remediate(playbook, component, view, &proposal.args, Box::new(world), healer.wall(false)).await;
        if let Some(fault) = ran.fault() {
            let failed = Failed { name: playbook.clone(), component, why: fault.to_string(), fault: true };
            self.engine.strike(Role::Playbook, &failed).await?;
        }
        let transcript = ran.transcript(playbook, component);
        let recording = recording.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let result = match (ran.result, &recording.refused) {
            (_, Some(refused)) => Err(refused.to_string()),
            (Err(why), None) => Err(why.to_string()),
            (Ok(_), None) => self
                .check_share(incident, &recording.before, &recording.steps)
                .and_then(|()| self.check_granted_rate(playbook, &recording.steps))
                .map(|()| Plan {
                    notes: notes_of(&recording.before),
                    incident: incident.id,
                    number: incident.plans + 1,
                    service: incident.service.clone(),
                    may: self.stages.permits.in_words(playbook, &targets, &healer.imports(playbook)),
                    playbook: playbook.clone(),
                    component,
                    args: proposal.args.clone(),
                    actions: recording.steps,
                }),
        };
        Ok((Some(transcript), result))
    }

    /// What a playbook kept of its earlier runs for the incident's service.
    fn notes(&self, playbook: &str, incident: &Incident) -> Notes {
        let key = (playbook.to_owned(), incident.service.clone());
        self.engine.state().notes.get(&key).cloned().unwrap_or_default()
    }

    /// Holds back a plan with which the playbook would do more in an hour than its grant allows.
    fn check_granted_rate(&self, playbook: &str, steps: &[crate::model::PlannedAction]) -> Result<(), String> {
        let targets: std::collections::BTreeSet<_> = steps.iter().map(|step| step.action.target()).collect();
        for target in targets {
            let Some(most) = self.stages.permits.actions_per_hour(playbook, target) else { continue };
            let planned = steps.iter().filter(|step| step.action.target() == target).count();
            let past = actions_in_the_last_hour(&self.engine, playbook, target);
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
        let policies = self.engine.policies();
        policies.get(&incident.service).map_or(Ok(()), |policy| check_shares(&policy.guard, before, steps))
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
        let last = self.stages.board.with(&incident.service, |board| board.last.clone());
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
            notes: Notes::new(),
        }
    }
}

/// What who approves must know of the targets that the steps change, each with its name.
fn notes_of(before: &std::collections::BTreeMap<TargetId, TargetState>) -> Vec<String> {
    let named = |(target, state): (&TargetId, &TargetState)| {
        state.notes.iter().map(|note| format!("{target}: {note}")).collect::<Vec<_>>()
    };
    before.iter().flat_map(named).collect()
}

/// Are the steps within the guard's share of each target's healthy instances? `before`: the targets as they were.
///
/// # Errors
/// Why not, in words that name the limit.
pub fn check_shares(
    guard: &Guard,
    before: &std::collections::BTreeMap<TargetId, TargetState>,
    steps: &[crate::model::PlannedAction],
) -> Result<(), String> {
    for (target, state) in before {
        // Where an autoscaler is in between, a step says its bounds, and only the target says what that means.
        let mut to = steps.iter().filter_map(|step| match (&step.action, &step.before) {
            (Action::Scale { target: t, to }, crate::model::Facet::Bounds { .. }) if t == target => Some(*to),
            _ => None,
        });
        if let Some(to) = to.next_back().filter(|to| to.abs_diff(state.replicas) > guard.max_replica_delta) {
            return Err(format!(
                "held back: it changes {target} by {} instances ({} -> {to}), and max_replica_delta is {}",
                to.abs_diff(state.replicas),
                state.replicas,
                guard.max_replica_delta
            ));
        }
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
            decide::check_share(guard, target, touched, of)?;
        }
    }
    Ok(())
}

/// How often a playbook acted on a target within the window of a grant.
pub(super) fn actions_in_the_last_hour(engine: &Engine, playbook: &str, target: &TargetId) -> usize {
    let (state, now) = (engine.state(), engine.now());
    let by_it = |run| state.runs.get(run).is_some_and(|r| r.plan.playbook == playbook);
    state.acted.iter().filter(|a| a.target == *target && now.since(a.at) < HOUR && by_it(&a.run)).count()
}

/// All rules share one record: past this many bytes of calls, the rest go without them, and a replay says so.
const RULES_BYTES: usize = 2 << 20;

fn bounded(mut asked: Vec<Transcript>) -> Vec<Transcript> {
    let mut left = RULES_BYTES;
    for one in &mut asked {
        let bytes = serde_json::to_vec(&one.calls).map_or(usize::MAX, |json| json.len());
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => one.calls = Vec::new(),
        }
    }
    asked
}

/// The view as the ledger keeps it. It is text, finite numbers and lists: serialising cannot fail; should it, the
/// replay says so.
pub(super) fn json(view: &IncidentView) -> serde_json::Value {
    serde_json::to_value(view).unwrap_or_default()
}

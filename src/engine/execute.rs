//! The real run: the playbook again, against a world that lets only the approved plan happen.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::plan::RunnerError;
use super::reconcile::Runner;
use super::world::{must_be_known, to_host_error};
use super::{Engine, Stages};
use crate::act::{ActError, Actuator};
use crate::incident::{Input, Outcome, Run, RunFailure, Step};
use crate::model::{Action, Facet, PlannedAction, RunId, TargetId, TargetState};
use crate::wasm::{HostError, IncidentView, World};

/// Longest real run: actions wait until they took effect, which is minutes on a slow platform.
const REAL_RUN: Duration = Duration::from_secs(15 * 60);

/// What a target says of a step that may have been done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The aspect is as it was before the step.
    Before,
    /// The aspect is as the step leaves it.
    After,
    /// It is neither: somebody else changed it.
    Neither(Facet),
}

/// Looks at what a step changes.
pub(super) async fn look(actuator: &Arc<dyn Actuator>, step: &PlannedAction) -> Result<Found, ActError> {
    let state = actuator.observe(step.action.target()).await?;
    match step.action.facet(&state) {
        Ok(facet) if facet == step.after => Ok(Found::After),
        Ok(facet) if facet == step.before => Ok(Found::Before),
        Ok(facet) => Ok(Found::Neither(facet)),
        Err(error) => Err(ActError::NotFound(error.to_string())),
    }
}

impl Runner {
    /// Carries out a run from wherever it stands.
    pub(super) async fn execute(&self, id: RunId) -> Result<(), RunnerError> {
        let Some(run) = self.engine.state().runs.get(&id).cloned() else { return Ok(()) };
        let result = match self.settle_cut_off_step(&run).await? {
            Err(failure) => Err(failure),
            Ok(()) => self.run_playbook(id).await,
        };
        self.engine.submit(Input::RunEnded { run: id, result }).await?;
        Ok(())
    }

    /// After a crash: a step that was intended may have been done. The target is asked, never the step repeated.
    async fn settle_cut_off_step(&self, run: &Run) -> Result<Result<(), RunFailure>, RunnerError> {
        let cut_off = run.steps.iter().position(|s| *s == Step::Intended).and_then(|i| u32::try_from(i).ok());
        let Some((index, step)) = cut_off.and_then(|i| run.planned(i).map(|step| (i, step.clone()))) else {
            return Ok(Ok(()));
        };
        let target = step.action.target();
        let blind = |error: ActError| RunnerError::Blind(target.clone(), error.to_string());
        let actuator = self.stages.actuators.of(target).map_err(blind)?;
        match look(actuator, &step).await {
            Ok(Found::After) => {
                tracing::info!(run = %run.id, index, "a step that was cut off is found done");
                let outcome = Outcome::Done("found done after a restart".to_owned());
                self.engine.submit(Input::Acted { run: run.id, index, outcome }).await?;
                Ok(Ok(()))
            }
            Ok(Found::Before) => {
                tracing::info!(run = %run.id, index, "a step that was cut off is found not done");
                Ok(Ok(()))
            }
            Ok(Found::Neither(facet)) => {
                let error =
                    format!("{} is {facet} after a restart, neither before nor after the step", step.action.subject());
                let outcome = Outcome::Failed(error.clone());
                self.engine.submit(Input::Acted { run: run.id, index, outcome }).await?;
                Ok(Err(RunFailure { error, moved: true }))
            }
            Err(ActError::NotFound(what)) => {
                let error = format!("{what} is gone after a restart");
                let outcome = Outcome::Failed(error.clone());
                self.engine.submit(Input::Acted { run: run.id, index, outcome }).await?;
                Ok(Err(RunFailure { error, moved: true }))
            }
            Err(error) => Err(blind(error)),
        }
    }

    async fn run_playbook(&self, id: RunId) -> Result<(), RunFailure> {
        let failure = |error: String| RunFailure { error, moved: false };
        let run = self.engine.state().runs.get(&id).cloned().ok_or_else(|| failure(format!("{id} is gone")))?;
        if self.stages.healer.component(&run.plan.playbook) != Some(run.plan.component) {
            let error = format!("playbook `{}` is not the one that was approved any more", run.plan.playbook);
            return Err(RunFailure { error, moved: true });
        }
        let view: IncidentView = serde_json::from_value(run.view.clone())
            .map_err(|e| failure(format!("what the playbook was told cannot be read back: {e}")))?;
        let trouble = Arc::new(Mutex::new(None));
        let under_way = Arc::new(tokio::sync::Mutex::new(()));
        let world = LiveWorld {
            engine: Arc::clone(&self.engine),
            stages: self.stages.clone(),
            targets: self.stages.targets(&run.plan.service),
            next: 0,
            run: run.clone(),
            trouble: Arc::clone(&trouble),
            under_way: Arc::clone(&under_way),
        };
        let (ran, _calls) =
            self.stages.healer.remediate(&run.plan.playbook, &view, &run.plan.args, Box::new(world), REAL_RUN).await;
        // A playbook that was cut off may leave an action under way: the run has not ended before that.
        drop(under_way.lock().await);
        // The host's own word counts, even when the playbook swallowed the error and went on.
        let trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (trouble, ran) {
            (Some(trouble), _) => Err(trouble),
            (None, Err(why)) => Err(failure(why)),
            (None, Ok(())) => Ok(()),
        }
    }
}

/// The world of the real run.
struct LiveWorld {
    engine: Arc<Engine>,
    stages: Stages,
    targets: Vec<TargetId>,
    run: Run,
    /// The step of the plan that has to come next.
    next: u32,
    /// Why the host refused or failed: ends the run, whatever the playbook makes of it.
    trouble: Arc<Mutex<Option<RunFailure>>>,
    /// Held while an action is under way, which may be longer than the playbook lives.
    under_way: Arc<tokio::sync::Mutex<()>>,
}

impl LiveWorld {
    fn fail(&self, error: String, moved: bool) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.get_or_insert(RunFailure { error, moved });
    }

    fn was_done(&self, index: u32) -> bool {
        matches!(self.engine.state().runs.get(&self.run.id).and_then(|r| r.step(index)), Some(Step::Done { .. }))
    }

    /// The target as it was before those steps that a former process did and the playbook has not repeated yet, so
    /// that after a restart it takes the same way again.
    fn rewind(&self, target: &TargetId, state: &mut TargetState) {
        let ahead = self.run.plan.actions.iter().enumerate().skip(self.next as usize);
        let done = ahead.take_while(|(i, _)| u32::try_from(*i).is_ok_and(|i| self.was_done(i)));
        let steps: Vec<_> = done.filter(|(_, step)| step.action.target() == target).map(|(_, step)| step).collect();
        for step in steps.into_iter().rev() {
            match (&step.action, step.action.inverse(&step.before)) {
                (_, Some(inverse)) => inverse.simulate(state),
                (Action::Restart { instance, .. }, None) => {
                    for i in state.instances.iter_mut().filter(|i| i.name == *instance) {
                        i.generation = i.generation.saturating_sub(1);
                    }
                }
                _ => {}
            }
        }
    }

    async fn carry_out(&mut self, action: &Action) -> Result<String, HostError> {
        let index = self.next;
        let planned = self.run.plan.actions.get(index as usize).cloned();
        let Some(step) = planned.filter(|step| step.action == *action) else {
            // A no-op is left out of plans, so it is let through here as well: it changes nothing.
            if let Some(receipt) = self.no_op(action).await? {
                return Ok(receipt);
            }
            let error = match self.run.plan.actions.get(index as usize) {
                Some(step) => {
                    format!("the playbook wants to {action}, but the approved plan has next: {}", step.action)
                }
                None => format!("the playbook wants to {action}, but the approved plan is done"),
            };
            self.fail(error.clone(), true);
            return Err(HostError::Conflict(error));
        };
        if self.was_done(index) {
            self.next += 1;
            return Ok("done before the restart".to_owned());
        }
        let target = action.target();
        let actuator = self.stages.actuators.of(target).map_err(to_host_error)?.clone();
        let state = actuator.observe(target).await.map_err(to_host_error)?;
        self.stages.permits.check(&self.run.plan.playbook, action, &state)?;
        let facet = action.facet(&state).map_err(|e| HostError::Conflict(e.to_string()))?;
        if facet != step.before {
            let error = format!("{} is {facet} now and was {} when the plan was made", action.subject(), step.before);
            self.fail(error.clone(), true);
            return Err(HostError::Conflict(error));
        }
        self.engine
            .submit(Input::Intend { run: self.run.id, index, step: step.clone() })
            .await
            .map_err(|e| HostError::Unavailable(e.to_string()))?;
        self.send(&actuator, index, &step).await
    }

    async fn send(
        &mut self,
        actuator: &Arc<dyn Actuator>,
        index: u32,
        step: &PlannedAction,
    ) -> Result<String, HostError> {
        // A task of its own: the component's deadline may end the call, never the action that is under way.
        let sent = send(Arc::clone(&self.engine), self.run.id, Arc::clone(actuator), index, step.clone());
        let turn = Arc::clone(&self.under_way).lock_owned().await;
        let task = tokio::spawn(async move {
            let _until_done = turn;
            sent.await
        });
        match task.await.map_err(|e| HostError::OutcomeUnknown(e.to_string()))? {
            Ok(receipt) => {
                self.next += 1;
                Ok(receipt)
            }
            Err((error, moved)) => {
                self.fail(format!("{}: {error}", step.action), moved);
                Err(error)
            }
        }
    }

    async fn no_op(&mut self, action: &Action) -> Result<Option<String>, HostError> {
        let state = self.observe(action.target()).await?;
        let same = action.facet(&state).is_ok_and(|facet| action.outcome(&facet) == facet);
        Ok(same.then(|| format!("{} is so already", action.subject())))
    }
}

/// Sends one step and records what came of it. An error says whether it was that the world had moved.
async fn send(
    engine: Arc<Engine>,
    run: RunId,
    actuator: Arc<dyn Actuator>,
    index: u32,
    step: PlannedAction,
) -> Result<String, (HostError, bool)> {
    let key = format!("{run}/{index}");
    let result = match actuator.apply(&step.action, &step.before, &key).await {
        Err(error) if error.may_have_happened() => match look(&actuator, &step).await {
            Ok(Found::After) => Ok(format!("done, as a look at the target shows ({error})")),
            Ok(_) => Err(error),
            // Nothing can be said: the step stays intended, and whoever takes it up next has to look first.
            Err(blind) => return Err((HostError::OutcomeUnknown(blind.to_string()), false)),
        },
        other => other,
    };
    let outcome = match &result {
        Ok(receipt) => Outcome::Done(receipt.clone()),
        Err(error) => Outcome::Failed(error.to_string()),
    };
    let submitted = engine.submit(Input::Acted { run, index, outcome }).await;
    submitted.map_err(|e| (HostError::Unavailable(e.to_string()), false))?;
    result.map_err(|error| {
        let moved = matches!(error, ActError::Conflict { .. });
        (to_host_error(error), moved)
    })
}

#[async_trait]
impl World for LiveWorld {
    async fn observe(&mut self, target: &TargetId) -> Result<TargetState, HostError> {
        must_be_known(&self.targets, target)?;
        let actuator = self.stages.actuators.of(target).map_err(to_host_error)?;
        let mut state = actuator.observe(target).await.map_err(to_host_error)?;
        self.rewind(target, &mut state);
        Ok(state)
    }

    async fn act(&mut self, action: Action) -> Result<String, HostError> {
        must_be_known(&self.targets, action.target())?;
        let result = self.carry_out(&action).await;
        if let Err(error) = &result {
            self.fail(format!("{action}: {error}"), matches!(error, HostError::Conflict(_)));
        }
        result
    }
}

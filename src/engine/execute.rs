//! The real run: the playbook again, against a world that lets only the approved plan happen.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::plan::{RunnerError, actions_in_the_last_hour};
use super::reconcile::Runner;
use super::world::{must_be_known, to_host_error};
use super::{Engine, Failed, Stages};
use crate::act::{ActError, Actuator, Progress};
use crate::incident::{Input, Outcome, Run, RunFailure, Step};
use crate::model::{
    Action, Facet, HostCall, PlannedAction, Role, RunId, SimulateError, TargetId, TargetState, Transcript,
};
use crate::wasm::{HostError, IncidentView, World};

/// How the answers that only the host needs are called in the ledger.
const LOOK: &str = "look";
const NO_OP: &str = "no-op";

/// An answer as it is kept.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer<T> {
    Ok(T),
    Error(HostError),
}

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
        // Before the comparison with what was before: an action whose aspect does not show is sent again rather than
        // taken for done.
        Ok(facet) if facet.reached(&step.before, &step.after) => Ok(Found::After),
        Ok(facet) if facet == step.before => Ok(Found::Before),
        Ok(facet) => Ok(Found::Neither(facet)),
        Err(SimulateError::NoInstance { .. }) if state.renames && matches!(step.action, Action::Restart { .. }) => {
            Ok(Found::After)
        }
        Err(error) => Err(ActError::NotFound(error.to_string())),
    }
}

impl Runner {
    /// Carries out a run from wherever it stands.
    pub(super) async fn execute(&self, id: RunId) -> Result<(), RunnerError> {
        let Some(run) = self.engine.state().runs.get(&id).cloned() else { return Ok(()) };
        let (result, ran) = match self.settle_cut_off_step(&run).await? {
            Err(failure) => (Err(failure), None),
            Ok(()) => self.run_playbook(id).await?,
        };
        self.engine.submit(Input::RunEnded { run: id, result, ran }).await?;
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

    async fn run_playbook(&self, id: RunId) -> Result<(Result<(), RunFailure>, Option<Transcript>), RunnerError> {
        let failure = |error: String| Ok((Err(RunFailure { error, moved: false }), None));
        let Some(run) = self.engine.state().runs.get(&id).cloned() else { return failure(format!("{id} is gone")) };
        let (playbook, component) = (&run.plan.playbook, run.plan.component);
        // Between the plan and now the component may have failed elsewhere too often. What has begun is brought to its end.
        let begun = run.steps.iter().any(|step| *step != Step::Waiting);
        if !begun && self.engine.state().components.disabled().contains(&component) {
            let error = format!("playbook `{playbook}` was disabled after the plan was made");
            return Ok((Err(RunFailure { error, moved: true }), None));
        }
        if !self.stages.healer.has(playbook, component).await {
            let error = format!("playbook `{playbook}` is not the one that was approved any more");
            return Ok((Err(RunFailure { error, moved: true }), None));
        }
        let view: IncidentView = match serde_json::from_value(run.view.clone()) {
            Ok(view) => view,
            Err(e) => return failure(format!("what the playbook was told cannot be read back: {e}")),
        };
        let trouble = Arc::new(Mutex::new(None));
        let under_way = Arc::new(tokio::sync::Mutex::new(()));
        let world = LiveWorld {
            engine: Arc::clone(&self.engine),
            stages: self.stages.clone(),
            targets: self.stages.targets(&run.plan.service),
            next: 0,
            recorded: run.answers.iter().cloned().collect(),
            answers: Vec::new(),
            run: run.clone(),
            trouble: Arc::clone(&trouble),
            under_way: Arc::clone(&under_way),
        };
        let healer = &self.stages.healer;
        let ran =
            healer.remediate(playbook, component, &view, &run.plan.args, Box::new(world), healer.wall(true)).await;
        // A playbook that was cut off may leave an action under way: the run has not ended before that.
        drop(under_way.lock().await);
        if let Some(fault) = ran.fault() {
            let failed = Failed { name: playbook.clone(), component, why: fault.to_string(), fault: true };
            self.engine.strike(Role::Playbook, &failed).await?;
        }
        let transcript = ran.transcript(playbook, component);
        // The host's own word counts, even when the playbook swallowed the error and went on.
        let trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
        let result = match (trouble, ran.result) {
            (Some(trouble), _) => Err(trouble),
            (None, Err(why)) => Err(RunFailure { error: why.to_string(), moved: false }),
            (None, Ok(_)) => Ok(()),
        };
        Ok((result, Some(transcript)))
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
    /// What was answered before the daemon was restarted and is not asked for again yet.
    recorded: VecDeque<HostCall>,
    /// What was answered since the last intent.
    answers: Vec<HostCall>,
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

    /// What the target said to a step that is done already.
    fn receipt(&self, index: u32) -> Option<String> {
        match self.engine.state().runs.get(&self.run.id)?.step(index)? {
            Step::Done { receipt } => Some(receipt.clone()),
            _ => None,
        }
    }

    /// The answer that this call got before the daemon was restarted, if it had one. A playbook that is told the same asks
    /// the same; one that does not is stopped, for nobody approved where it may go.
    fn answer_again<T: DeserializeOwned>(&mut self, call: &str, input: &Value) -> Option<Result<T, HostError>> {
        let recorded = self.recorded.pop_front()?;
        if recorded.call == call && recorded.input == *input {
            match serde_json::from_value(recorded.output) {
                Ok(Answer::Ok(answer)) => return Some(Ok(answer)),
                Ok(Answer::Error(error)) => return Some(Err(error)),
                Err(_) => {}
            }
        }
        let error = format!("the playbook took another way than before the restart: it asked for {call}");
        self.fail(error.clone(), true);
        Some(Err(HostError::Conflict(error)))
    }

    fn keep<T: Serialize>(&mut self, call: &str, input: Value, answer: &Result<T, HostError>) {
        let output = match answer {
            Ok(answer) => json!({ "ok": answer }),
            Err(error) => json!({ "error": error }),
        };
        self.answers.push(HostCall { call: call.to_owned(), input, output });
    }

    async fn look(&mut self, target: &TargetId) -> Result<TargetState, HostError> {
        let actuator = self.stages.actuators.of(target).map_err(to_host_error)?;
        actuator.observe(target).await.map_err(to_host_error)
    }

    /// The grant's actions an hour, once more: other plans may have been carried out since this one was made.
    fn check_rate(&self, target: &TargetId) -> Result<(), HostError> {
        let playbook = &self.run.plan.playbook;
        let Some(most) = self.stages.permits.actions_per_hour(playbook, target) else { return Ok(()) };
        let past = actions_in_the_last_hour(&self.engine, playbook, target);
        if past >= most as usize {
            let why = format!("{past} actions of {playbook} on {target} in the last hour, and its grant says {most}");
            return Err(HostError::OverBudget(why));
        }
        Ok(())
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
        if let Some(receipt) = self.receipt(index) {
            self.next += 1;
            return Ok(receipt);
        }
        if let Some(left) = self.recorded.front() {
            let error =
                format!("the playbook took another way than before the restart: it did not ask for {}", left.call);
            self.fail(error.clone(), true);
            return Err(HostError::Conflict(error));
        }
        let target = action.target();
        self.check_rate(target)?;
        let actuator = self.stages.actuators.of(target).map_err(to_host_error)?.clone();
        let state = actuator.observe(target).await.map_err(to_host_error)?;
        self.stages.permits.check(&self.run.plan.playbook, action, &state, self.engine.now())?;
        let facet = action.facet(&state).map_err(|e| HostError::Conflict(e.to_string()))?;
        if facet != step.before {
            let error = format!("{} is {facet} now and was {} when the plan was made", action.subject(), step.before);
            self.fail(error.clone(), true);
            return Err(HostError::Conflict(error));
        }
        self.engine
            .submit(Input::Intend {
                run: self.run.id,
                index,
                step: step.clone(),
                calls: std::mem::take(&mut self.answers),
            })
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
        let input = json!(action);
        if let Some(answer) = self.answer_again(NO_OP, &input) {
            return answer.map(Some);
        }
        let state = self.look(action.target()).await?;
        let same = action.facet(&state).is_ok_and(|facet| action.outcome(&facet) == facet);
        let receipt = same.then(|| format!("{} is so already", action.subject()));
        if let Some(receipt) = &receipt {
            self.keep(NO_OP, input, &Ok(receipt));
        }
        Ok(receipt)
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
    let result = match apply(&engine, (run, index), &actuator, &step.action, &step.before, &key).await {
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
        (refused(&step.action, error), moved)
    })
}

/// An adapter's error about this action. What the platform denies is a denial for the playbook too: it may try something
/// milder.
fn refused(action: &Action, error: ActError) -> HostError {
    match error {
        ActError::Denied(hint) => {
            HostError::Denied { capability: action.kind().to_string(), target: action.target().to_string(), hint }
        }
        other => to_host_error(other),
    }
}

/// Has an action done, and records what it says of itself meanwhile.
pub(super) async fn apply(
    engine: &Engine,
    (run, index): (RunId, u32),
    actuator: &Arc<dyn Actuator>,
    action: &Action,
    before: &Facet,
    key: &str,
) -> Result<String, ActError> {
    // full: the line is dropped, and the next one says more.
    let (out, mut lines) = tokio::sync::mpsc::channel(8);
    let progress = Progress::to(out);
    let doing = actuator.apply(action, before, key, &progress);
    tokio::pin!(doing);
    loop {
        tokio::select! {
            biased;
            Some(line) = lines.recv() => {
                let told = engine.submit(Input::Acted { run, index, outcome: Outcome::Progress(line) }).await;
                if let Err(error) = told {
                    tracing::warn!(%run, index, %error, "what an action says of itself could not be recorded");
                }
            }
            result = &mut doing => return result,
        }
    }
}

#[async_trait]
impl World for LiveWorld {
    async fn observe(&mut self, target: &TargetId) -> Result<TargetState, HostError> {
        must_be_known(&self.targets, target)?;
        let input = json!(target);
        if let Some(answer) = self.answer_again(LOOK, &input) {
            return answer;
        }
        let answer = self.look(target).await;
        self.keep(LOOK, input, &answer);
        answer
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

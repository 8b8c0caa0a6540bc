//! The loop that has under way what is due, and nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::plan::{RunnerError, json};
use super::{Actuators, Board, Engine, Failed, Healer, Permits, SecondOpinion};
use crate::incident::{Due, due};
use crate::model::{Role, RunId, ServiceId, TargetId, Transcript};
use crate::supervise::drained;

/// First pause before work that could not be brought to an end is tried again; doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// Which services there are now, and what each can be healed by.
#[derive(Debug, Default)]
pub struct Roster(RwLock<BTreeMap<ServiceId, Vec<TargetId>>>);

impl Roster {
    /// The targets of a service.
    #[must_use]
    pub fn targets(&self, service: &ServiceId) -> Vec<TargetId> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(service).cloned().unwrap_or_default()
    }

    /// From now on it is these.
    pub fn set(&self, services: BTreeMap<ServiceId, Vec<TargetId>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = services;
    }
}

impl From<BTreeMap<ServiceId, Vec<TargetId>>> for Roster {
    fn from(services: BTreeMap<ServiceId, Vec<TargetId>>) -> Self {
        Self(RwLock::new(services))
    }
}

/// The stages as ports, and what the services are.
#[derive(Clone)]
pub struct Stages {
    /// Rules and playbooks.
    pub healer: Arc<dyn Healer>,
    /// What can be acted on.
    pub actuators: Actuators,
    /// What playbooks may do.
    pub permits: Arc<dyn Permits>,
    /// The targets of each service.
    pub services: Arc<Roster>,
    /// The newest samples.
    pub board: Arc<Board>,
}

impl Stages {
    /// The targets of a service.
    #[must_use]
    pub fn targets(&self, service: &ServiceId) -> Vec<TargetId> {
        self.services.targets(service)
    }
}

/// Does what is due, through the stages.
#[derive(Clone)]
pub struct Runner {
    pub(super) engine: Arc<Engine>,
    pub(super) stages: Stages,
}

impl Runner {
    /// A runner for this engine.
    #[must_use]
    pub fn new(engine: Arc<Engine>, stages: Stages) -> Self {
        let opinion = PlaybooksOpinion { engine: Arc::downgrade(&engine), stages: stages.clone() };
        // A second runner of the same engine asks the same components.
        let _ = engine.second_opinion.set(Box::new(opinion));
        Self { engine, stages }
    }

    /// Brings one piece of work to an end.
    ///
    /// # Errors
    /// When that is not possible now; the work stays due.
    pub async fn perform(&self, due: Due) -> Result<(), RunnerError> {
        match due {
            Due::AskRules(incident) => self.ask_rules(incident).await,
            Due::Plan(incident, index) => self.plan(incident, index).await,
            Due::Execute(run) => self.execute(run).await,
            Due::Undo(run) => self.undo(run).await,
        }
    }

    /// Has under way what is due until `drain` is true; then starts nothing new, waits for what is under way, and
    /// returns. What is cut off by the caller's own deadline goes on after the next start.
    pub async fn run(&self, tick: Duration, mut drain: tokio::sync::watch::Receiver<bool>) {
        let mut changed = self.engine.subscribe();
        let mut ticks = tokio::time::interval(tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut work = Work::default();
        loop {
            let draining = *drain.borrow();
            if draining {
                if work.tasks.is_empty() {
                    return;
                }
            } else {
                work.start(self, due(&self.engine.state()));
            }
            tokio::select! {
                Some(ended) = work.tasks.join_next_with_id() => work.ended(ended),
                changed = changed.changed() => if changed.is_err() { return },
                _ = ticks.tick() => {
                    if let Err(error) = self.engine.tick().await {
                        tracing::error!(%error, "time could not be taken into account");
                    }
                }
                () = drained(&mut drain), if !draining => {}
            }
        }
    }
}

/// The playbook's own check of its cure.
struct PlaybooksOpinion {
    engine: Weak<Engine>,
    stages: Stages,
}

#[async_trait]
impl SecondOpinion for PlaybooksOpinion {
    async fn on(&self, run: RunId) -> Option<(serde_json::Value, Transcript, Option<String>)> {
        let runner = Runner { engine: self.engine.upgrade()?, stages: self.stages.clone() };
        let state = runner.engine.state();
        let run = state.runs.get(&run)?;
        let view = runner.view(state.incidents.get(&run.incident)?).await;
        let (playbook, component) = (&run.plan.playbook, run.plan.component);
        let ran = self.stages.healer.verify(playbook, component, &view, &run.plan.args).await?;
        let doubt = match &ran.result {
            Ok(word) => word.as_ref().err().cloned(),
            Err(error) => Some(format!("its own check gave no answer: {error}")),
        };
        if let Some(fault) = ran.fault() {
            let failed = Failed { name: playbook.clone(), component, why: fault.to_string(), fault: true };
            if let Err(error) = runner.engine.strike(Role::Playbook, &failed).await {
                tracing::error!(%error, "a strike could not be recorded");
            }
        }
        Some((json(&view), ran.transcript(playbook, component), doubt.map(|why| format!("{playbook}: {why}"))))
    }
}

/// What a task of work leaves behind.
type Ended = Result<(tokio::task::Id, (Due, Result<(), RunnerError>)), tokio::task::JoinError>;

/// What is under way, and what has to wait before it is tried again.
#[derive(Default)]
struct Work {
    tasks: JoinSet<(Due, Result<(), RunnerError>)>,
    under_way: BTreeMap<Due, tokio::task::Id>,
    paused: BTreeMap<Due, (Duration, Instant)>,
}

impl Work {
    fn start(&mut self, runner: &Runner, due: Vec<Due>) {
        let wanted: BTreeSet<_> = due.iter().copied().collect();
        self.paused.retain(|due, _| wanted.contains(due));
        for due in due {
            // Execution and undo of one run never overlap: a step sent late must not follow its own undo.
            let run_in_use = due.run().is_some_and(|run| self.under_way.keys().any(|d| d.run() == Some(run)));
            let waits = self.paused.get(&due).is_some_and(|(_, until)| *until > Instant::now());
            if run_in_use || waits || self.under_way.contains_key(&due) {
                continue;
            }
            let runner = runner.clone();
            let handle = self.tasks.spawn(async move { (due, runner.perform(due).await) });
            self.under_way.insert(due, handle.id());
        }
    }

    fn ended(&mut self, ended: Ended) {
        match ended {
            Ok((_, (due, Ok(())))) => {
                self.under_way.remove(&due);
                // Still due although it ended well: something refuses silently, so it is not spun on.
                self.pause(due);
            }
            Ok((_, (due, Err(error)))) => {
                self.under_way.remove(&due);
                let pause = self.pause(due);
                tracing::warn!(?due, %error, pause_ms = pause.as_millis(), "work could not be brought to an end; it is tried again");
            }
            Err(error) => {
                let due = self.under_way.iter().find(|(_, id)| **id == error.id()).map(|(due, _)| *due);
                tracing::error!(?due, %error, "work ended in a panic; it is tried again");
                if let Some(due) = due {
                    self.under_way.remove(&due);
                    self.pause(due);
                }
            }
        }
    }

    fn pause(&mut self, due: Due) -> Duration {
        let pause = self.paused.get(&due).map_or(FIRST_PAUSE, |(last, _)| (*last * 2).min(LAST_PAUSE));
        self.paused.insert(due, (pause, Instant::now() + pause));
        pause
    }
}

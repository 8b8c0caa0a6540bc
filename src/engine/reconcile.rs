//! The loop that has under way what is due, and nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::plan::RunnerError;
use super::{Actuators, Board, Engine, Healer, Permits};
use crate::incident::{Due, due};
use crate::model::{ServiceId, TargetId};
use crate::supervise::drained;

/// First pause before work that could not be brought to an end is tried again; doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(30);

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
    pub services: Arc<BTreeMap<ServiceId, Vec<TargetId>>>,
    /// The newest samples.
    pub board: Arc<Board>,
}

impl Stages {
    /// The targets of a service.
    #[must_use]
    pub fn targets(&self, service: &ServiceId) -> Vec<TargetId> {
        self.services.get(service).cloned().unwrap_or_default()
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

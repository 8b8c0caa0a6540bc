//! The incident engine: makes events durable, lets the state machine decide, and has what is due under way.
//!
//! The order is always the same: the machine decides on a copy, the events are made durable, then the copy becomes
//! the state and the effects may begin. Stages are reached through their ports alone; the composition root puts real
//! ones in, tests put fakes in.

mod board;
mod execute;
mod plan;
mod reconcile;
mod undo;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

pub use board::{Board, ServiceBoard};
pub use plan::RunnerError;
pub use reconcile::{Runner, Stages};

use crate::act::Actuator;
use crate::incident::{self, Input, Observation, Phase, Refusal, State};
use crate::model::{
    Action, Args, Clock, Digest, Event, Fact, HostCall, Person, Policy, Proposal, Reading, RunId, ServiceId, TargetId,
    TargetState, Timestamp,
};
use crate::wasm::{HostError, IncidentView, World};

/// Where events become durable: the ledger, or a fake that dies on purpose.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Returns when all the events are durable, in this order, with nothing between them.
    ///
    /// # Errors
    /// When they are not. Nothing that they announce may be done then.
    async fn append(&self, events: &[Event]) -> Result<(), JournalError>;
}

/// Events could not be made durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger does not take events, so nothing is done: {0}")]
pub struct JournalError(pub String);

/// Who works out what to do: the rule and playbook components.
#[async_trait]
pub trait Healer: Send + Sync {
    /// Asks the rules, in order.
    ///
    /// # Errors
    /// In words, when no rule could answer.
    async fn propose(&self, view: &IncidentView) -> Result<Vec<Proposal>, String>;

    /// Runs a playbook against a world, for at most `wall`. The calls it made come back in any case.
    async fn remediate(
        &self,
        playbook: &str,
        view: &IncidentView,
        args: &Args,
        world: Box<dyn World>,
        wall: Duration,
    ) -> (Result<(), String>, Vec<HostCall>);

    /// The digest of the component that `remediate` would run.
    fn component(&self, playbook: &str) -> Option<Digest>;
}

/// What playbooks are allowed to do: the operator's grants.
pub trait Permits: Send + Sync {
    /// Is this action granted to this playbook, on the target as it is?
    ///
    /// # Errors
    /// The denial as the playbook sees it, with what an operator would write to allow it.
    fn check(&self, playbook: &str, action: &Action, state: &TargetState) -> Result<(), HostError>;

    /// Most actions of this playbook on this target in any hour, where a grant says so.
    fn actions_per_hour(&self, playbook: &str, target: &TargetId) -> Option<u32>;

    /// What the playbook may do at most on these targets, in words.
    fn in_words(&self, playbook: &str, targets: &[TargetId]) -> Vec<String>;
}

/// The targets by address, whatever platform they are on.
#[derive(Clone, Default)]
pub struct Actuators(BTreeMap<String, Arc<dyn Actuator>>);

impl Actuators {
    /// Adds the adapter of one kind of target.
    pub fn add(&mut self, actuator: Arc<dyn Actuator>) {
        self.0.insert(actuator.kind().to_owned(), actuator);
    }

    /// The adapter for this target.
    ///
    /// # Errors
    /// When this build, or this config, has none for the kind.
    pub fn of(&self, target: &TargetId) -> Result<&Arc<dyn Actuator>, crate::act::ActError> {
        self.0.get(target.kind()).ok_or_else(|| {
            crate::act::ActError::Unsupported(format!(
                "{target}: nothing here acts on targets of kind `{}`",
                target.kind()
            ))
        })
    }
}

/// Why an input was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The machine said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The ledger does not take events.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Told of every batch of events after it is durable and applied. Must return at once.
pub type Listener = Box<dyn Fn(&State, &[Event]) + Send + Sync>;

/// The state behind one door: whoever wants to change something submits an input.
pub struct Engine {
    /// Held while an input is decided and made durable: inputs take their turn.
    turn: tokio::sync::Mutex<()>,
    state: watch::Sender<Arc<State>>,
    journal: Arc<dyn Journal>,
    policies: BTreeMap<ServiceId, Policy>,
    clock: Arc<dyn Clock>,
    listeners: Vec<Listener>,
    verifying: Mutex<Verifying>,
}

/// What is watched besides the ledger and may be lost in a crash.
#[derive(Default)]
struct Verifying {
    /// Readings since a run ended, for its verdict.
    readings: BTreeMap<RunId, Vec<Observation>>,
    /// Runs whose waiting time begins with this process, because the daemon was away meanwhile.
    since: BTreeMap<RunId, Timestamp>,
    /// Services whose incident a person closed while they were unwell: quiet until they are well once.
    hushed: BTreeSet<ServiceId>,
}

impl Engine {
    /// An engine that goes on from `state`.
    pub fn new(
        state: State,
        journal: Arc<dyn Journal>,
        policies: BTreeMap<ServiceId, Policy>,
        clock: Arc<dyn Clock>,
        listeners: Vec<Listener>,
    ) -> Arc<Self> {
        let now = clock.now();
        let since = state.runs.values().filter(|r| r.done && r.verdict.is_none()).map(|r| (r.id, now)).collect();
        Arc::new(Self {
            turn: tokio::sync::Mutex::new(()),
            state: watch::Sender::new(Arc::new(state)),
            journal,
            policies,
            clock,
            listeners,
            verifying: Mutex::new(Verifying { since, ..Verifying::default() }),
        })
    }

    /// The state as it is now.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        self.state.borrow().clone()
    }

    /// Wakes whoever waits for a change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<State>> {
        self.state.subscribe()
    }

    /// The policies by service.
    #[must_use]
    pub fn policies(&self) -> &BTreeMap<ServiceId, Policy> {
        &self.policies
    }

    /// The time as the engine sees it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Takes an input: decides, makes durable, applies, tells. Returns the events it led to.
    ///
    /// # Errors
    /// When the machine refuses, or the ledger does not take the events; nothing has changed then.
    pub async fn submit(&self, input: Input) -> Result<Vec<Event>, SubmitError> {
        let _turn = self.turn.lock().await;
        let before = self.state();
        let Some((after, events)) = incident::step(&before, &self.policies, input, self.clock.now())? else {
            return Ok(Vec::new());
        };
        self.journal.append(&events).await?;
        self.enter(after, &events);
        Ok(events)
    }

    /// Records a fact that is not the machine's to decide: a training, a failed source, a command as it was typed.
    ///
    /// # Errors
    /// When the ledger does not take it.
    pub async fn note(&self, service: Option<&ServiceId>, by: Option<&Person>, fact: Fact) -> Result<(), JournalError> {
        let _turn = self.turn.lock().await;
        let event =
            Event { at: self.clock.now(), service: service.cloned(), incident: None, run: None, by: by.cloned(), fact };
        let events = [event];
        self.journal.append(&events).await?;
        let mut after = (*self.state()).clone();
        for event in &events {
            after.apply(event);
        }
        self.enter(after, &events);
        Ok(())
    }

    fn enter(&self, after: State, events: &[Event]) {
        let after = Arc::new(after);
        let closed = events.iter().filter(|e| matches!(e.fact, Fact::Resolved { .. }) && e.by.is_some());
        self.with_verifying(|v| v.hushed.extend(closed.filter_map(|e| e.service.clone())));
        // Cards before those who wait for a change: somebody may wait for the end and leave.
        for listener in &self.listeners {
            listener(&after, events);
        }
        self.state.send_replace(after);
    }

    /// Takes the detector's word on one sample: it may open or end an incident, or settle a verdict.
    ///
    /// `raised`: since when enough samples in a row were anomalous; `calm`: enough in a row were normal.
    ///
    /// # Errors
    /// When the ledger does not take what follows.
    pub async fn observe(
        &self,
        reading: Reading,
        raised: Option<Timestamp>,
        calm: bool,
    ) -> Result<Vec<Event>, SubmitError> {
        let hushed = self.with_verifying(|v| {
            if calm {
                v.hushed.remove(&reading.service);
            }
            v.hushed.contains(&reading.service)
        });
        let state = self.state();
        if let Some(Phase::Verifying(run)) = state.open_incident(&reading.service).map(|i| i.phase) {
            let observation = Observation { at: reading.at, risk: reading.risk, normal: !reading.is_anomaly() };
            self.with_verifying(|v| v.readings.entry(run).or_default().push(observation));
            return self.settle_verdict(&state, run).await;
        }
        self.submit(Input::Observed { reading, raised: raised.filter(|_| !hushed), calm }).await
    }

    /// Lets time pass: questions expire, waiting runs start, verdicts fall due.
    ///
    /// # Errors
    /// When the ledger does not take what follows.
    pub async fn tick(&self) -> Result<(), SubmitError> {
        self.submit(Input::Tick).await?;
        let state = self.state();
        for incident in state.incidents.values() {
            if let Phase::Verifying(run) = incident.phase {
                self.settle_verdict(&state, run).await?;
            }
        }
        Ok(())
    }

    async fn settle_verdict(&self, state: &State, run: RunId) -> Result<Vec<Event>, SubmitError> {
        let Some(run) = state.runs.get(&run) else { return Ok(Vec::new()) };
        let Some(policy) = self.policies.get(&run.plan.service) else { return Ok(Vec::new()) };
        let now = self.clock.now();
        let verdict = self.with_verifying(|v| {
            let ended = run.ended_at.unwrap_or(run.started_at);
            let done_at = v.since.get(&run.id).copied().unwrap_or(ended).max(ended);
            let readings = v.readings.entry(run.id).or_default();
            incident::judge(&policy.verify, run.risk_before, done_at, readings, now)
        });
        let Some((verdict, evidence)) = verdict else { return Ok(Vec::new()) };
        let events = self.submit(Input::Judged { run: run.id, verdict, evidence }).await?;
        self.with_verifying(|v| {
            v.readings.remove(&run.id);
            v.since.remove(&run.id);
        });
        Ok(events)
    }

    fn with_verifying<T>(&self, f: impl FnOnce(&mut Verifying) -> T) -> T {
        // Nothing inside can panic half-way; should it, what is kept here may be lost by design.
        f(&mut self.verifying.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

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
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

pub use board::{Board, ServiceBoard};
pub use plan::{RunnerError, check_shares};
pub use reconcile::{Roster, Runner, Stages};
pub use world::{DryWorld, Recording};

use crate::act::Actuator;
use crate::decide::{self, Deed};
use crate::incident::{self, Frozen, Input, Observation, Phase, Policies, Refusal, STRIKES_ALLOWED, State};
use crate::model::{
    Action, ActionKind, Args, Clock, Digest, Event, Fact, IncidentId, Judge, Person, Policy, Proposal, Reading, Role,
    RunId, ServiceId, TargetId, TargetState, Timestamp, Transcript, Verdict,
};
use crate::wasm::{HostError, IncidentView, Limits, Ran, World};

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

/// What the rules answered.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Their proposals, in order.
    pub proposals: Vec<Proposal>,
    /// Each rule that was asked, with what it did.
    pub transcripts: Vec<Transcript>,
    /// The rules that failed: which component, why in words, and whether by its own fault.
    pub failed: Vec<Failed>,
}

/// A component that gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Its name.
    pub name: String,
    /// SHA-256 of its bytes.
    pub component: Digest,
    /// Why, in words.
    pub why: String,
    /// By its own fault, which earns a strike.
    pub fault: bool,
}

/// Who works out what to do: the rule and playbook components.
#[async_trait]
pub trait Healer: Send + Sync {
    /// Asks the rules, in order, but for the versions that are switched `off`.
    ///
    /// # Errors
    /// In words, when they cannot be asked at all.
    async fn propose(&self, view: &IncidentView, off: &BTreeSet<Digest>) -> Result<Asked, String>;

    /// The version of a playbook that a dry run uses now.
    fn component(&self, playbook: &str) -> Option<Digest>;

    /// The kinds of action that the playbook imports: all that it can ever do.
    fn imports(&self, playbook: &str) -> BTreeSet<ActionKind> {
        let _ = playbook;
        ActionKind::ALL.into()
    }

    /// Can this version of a playbook still be run? One that was replaced can, as long as its bytes are kept.
    async fn has(&self, playbook: &str, component: Digest) -> bool;

    /// Runs this version of a playbook against a world, for at most `wall`.
    async fn remediate(
        &self,
        playbook: &str,
        component: Digest,
        view: &IncidentView,
        args: &Args,
        world: Box<dyn World>,
        wall: Duration,
    ) -> Ran<String>;

    /// How long a run may take at most: a dry one, or one that acts.
    fn wall(&self, acting: bool) -> Duration {
        let limits = Limits::default();
        if acting { limits.wall_acting } else { limits.wall_dry_run }
    }

    /// Asks this version of a playbook for its own word on the cure: `None` when it has none.
    async fn verify(
        &self,
        playbook: &str,
        component: Digest,
        view: &IncidentView,
        args: &Args,
    ) -> Option<Ran<Result<(), String>>>;
}

/// What playbooks are allowed to do: the operator's grants.
pub trait Permits: Send + Sync {
    /// Is this action granted to this playbook, on the target as it is and at this time?
    ///
    /// # Errors
    /// The denial as the playbook sees it, with what an operator would write to allow it.
    fn check(&self, playbook: &str, action: &Action, state: &TargetState, now: Timestamp) -> Result<(), HostError>;

    /// Most actions of this playbook on this target in any hour, where a grant says so.
    fn actions_per_hour(&self, playbook: &str, target: &TargetId) -> Option<u32>;

    /// What the playbook may do at most on these targets, in words, given the kinds of action that it imports.
    fn in_words(&self, playbook: &str, targets: &[TargetId], imports: &BTreeSet<ActionKind>) -> Vec<String>;
}

/// The targets by address, whatever platform they are on.
#[derive(Clone, Default)]
pub struct Actuators(BTreeMap<String, Arc<dyn Actuator>>);

impl Actuators {
    /// Adds the adapter of one kind of target.
    pub fn add(&mut self, actuator: Arc<dyn Actuator>) {
        self.0.insert(actuator.kind().to_owned(), actuator);
    }

    /// Adds an adapter for targets of this kind, whatever kind it says of itself: one that plays any platform.
    pub fn add_for(&mut self, kind: &str, actuator: Arc<dyn Actuator>) {
        self.0.insert(kind.to_owned(), actuator);
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

/// What is known besides the config of people and times: who is in which group now, and when nothing is to be changed.
pub trait Standing: Send + Sync {
    /// The groups and roles that a person is in, as last heard from their platform.
    fn groups(&self, person: &str) -> Vec<String>;

    /// Is nothing to be changed on this service now?
    fn frozen(&self, service: &ServiceId, now: Timestamp) -> Option<Frozen>;
}

/// The policies together with what is known besides.
struct Rulebook<'a> {
    policies: &'a BTreeMap<ServiceId, Policy>,
    standing: Option<&'a dyn Standing>,
}

impl Policies for Rulebook<'_> {
    fn policy(&self, service: &ServiceId) -> Option<&Policy> {
        self.policies.get(service)
    }

    fn may_approve_anything(&self, person: &Person) -> bool {
        let ids: Vec<_> = std::iter::once(person.id.clone()).chain(self.groups(&person.id)).collect();
        let deed = Deed { verb: "resume", actions: &[] };
        self.policies.values().any(|policy| decide::may(&policy.approval, &ids, deed).is_ok())
    }

    fn groups(&self, person: &str) -> Vec<String> {
        self.standing.map(|standing| standing.groups(person)).unwrap_or_default()
    }

    fn frozen(&self, service: &ServiceId, now: Timestamp) -> Option<Frozen> {
        self.standing.and_then(|standing| standing.frozen(service, now))
    }
}

/// The state behind one door: whoever wants to change something submits an input.
pub struct Engine {
    /// Held while an input is decided and made durable: inputs take their turn.
    turn: tokio::sync::Mutex<()>,
    state: watch::Sender<Arc<State>>,
    journal: Arc<dyn Journal>,
    policies: RwLock<Arc<BTreeMap<ServiceId, Policy>>>,
    clock: Arc<dyn Clock>,
    listeners: Vec<Listener>,
    verifying: Mutex<Verifying>,
    second_opinion: OnceLock<Box<dyn SecondOpinion>>,
    standing: OnceLock<Arc<dyn Standing>>,
}

/// Who is asked when the detector calls a cure a cure.
#[async_trait]
trait SecondOpinion: Send + Sync {
    /// What the playbook's own check was told and did, and its reason to doubt, if it has one. `None`: it has no check.
    async fn on(&self, run: RunId) -> Option<(serde_json::Value, Transcript, Option<String>)>;
}

/// Keeps a playbook from being asked twice at a time; ends also when the asking is cut off.
struct Asking<'a> {
    engine: &'a Engine,
    run: RunId,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.engine.with_verifying(|v| v.asking.remove(&self.run));
    }
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
    /// Runs whose playbook is being asked for its word.
    asking: BTreeSet<RunId>,
    /// The model's highest score within each incident, in thresholds.
    peaks: BTreeMap<IncidentId, f64>,
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
            policies: RwLock::new(Arc::new(policies)),
            clock,
            listeners,
            verifying: Mutex::new(Verifying { since, ..Verifying::default() }),
            second_opinion: OnceLock::new(),
            standing: OnceLock::new(),
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

    /// From now on it is known who is in which group, and when nothing is to be changed. Once, before anything is decided.
    pub fn set_standing(&self, standing: Arc<dyn Standing>) {
        if self.standing.set(standing).is_err() {
            tracing::error!("the standing of people was set twice; the first stays");
        }
    }

    /// May this person do that for this service, by what is known of them now?
    ///
    /// # Errors
    /// The first thing that no rule allows; all of it for a service that nobody knows.
    pub fn may(&self, service: &ServiceId, person: &Person, deed: Deed<'_>) -> Result<(), decide::Missing> {
        let groups = self.standing.get().map(|s| s.groups(&person.id)).unwrap_or_default();
        let ids: Vec<_> = std::iter::once(person.id.clone()).chain(groups).collect();
        match self.policies().get(service) {
            Some(policy) => decide::may(&policy.approval, &ids, deed),
            None => Err(decide::Missing { verb: deed.verb.to_owned(), action: None }),
        }
    }

    /// The policies by service.
    #[must_use]
    pub fn policies(&self) -> Arc<BTreeMap<ServiceId, Policy>> {
        Arc::clone(&self.policies.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on these services are known: some were found, or are gone.
    pub fn set_policies(&self, policies: BTreeMap<ServiceId, Policy>) {
        *self.policies.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policies);
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
        let policies = self.policies();
        let rules = Rulebook { policies: &policies, standing: self.standing.get().map(|s| &**s) };
        let Some((after, events)) = incident::step(&before, &rules, input, self.clock.now())? else {
            return Ok(Vec::new());
        };
        self.journal.append(&events).await?;
        self.enter(after, &events);
        Ok(events)
    }

    /// Records that a component failed by its own fault; after too many such faults it is disabled.
    ///
    /// # Errors
    /// When the ledger does not take it.
    pub async fn strike(&self, role: Role, failed: &Failed) -> Result<(), JournalError> {
        let _turn = self.turn.lock().await;
        let (name, digest, why) = (failed.name.clone(), failed.component, failed.why.clone());
        let before = self.state();
        let known = before.components.get(role, &name).filter(|c| c.accepted == digest);
        let strikes = known.map(|c| c.strikes).unwrap_or_default() + 1;
        tracing::warn!(%role, name, strikes, why, "a component failed by its own fault");
        let mut facts = vec![Fact::ComponentStruck { name: name.clone(), role, digest, why: why.clone(), strikes }];
        if strikes >= STRIKES_ALLOWED && known.is_none_or(|c| c.disabled.is_none()) {
            facts.push(Fact::ComponentDisabled { name, role, digest, why });
        }
        self.append(facts.into_iter().map(|fact| self.event(None, None, fact)).collect()).await
    }

    /// Records a fact that is not the machine's to decide: a training, a failed source, a command as it was typed.
    ///
    /// # Errors
    /// When the ledger does not take it.
    pub async fn note(&self, service: Option<&ServiceId>, by: Option<&Person>, fact: Fact) -> Result<(), JournalError> {
        let _turn = self.turn.lock().await;
        self.append(vec![self.event(service, by, fact)]).await
    }

    fn event(&self, service: Option<&ServiceId>, by: Option<&Person>, fact: Fact) -> Event {
        Event { at: self.clock.now(), service: service.cloned(), incident: None, run: None, by: by.cloned(), fact }
    }

    /// Makes events durable that nobody decides on. The caller holds `turn`.
    async fn append(&self, events: Vec<Event>) -> Result<(), JournalError> {
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
        // What only the model said is hushed by whoever asks it (see `Fact::FalseAlarm`); limits still count then.
        let marked = |event: &Event| {
            let is_it = |e: &Event| matches!(e.fact, Fact::FalseAlarm { score: Some(_), .. });
            events.iter().any(|e| e.incident == event.incident && is_it(e))
        };
        let by_person = |e: &&Event| matches!(e.fact, Fact::Resolved { .. }) && e.by.is_some() && !marked(e);
        // A request that is closed says nothing about the service.
        let is_request = |e: &&Event| {
            let incident = e.incident.and_then(|id| after.incidents.get(&id));
            incident.is_some_and(|i| i.judge == Judge::Person)
        };
        let closed = events.iter().filter(by_person).filter(|e| !is_request(e));
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
        self.note_peak(&state, &reading);
        if let Some(Phase::Verifying(run)) = state.open_incident(&reading.service).map(|i| i.phase) {
            let observation = Observation { at: reading.at, risk: reading.risk, normal: !reading.is_anomaly() };
            self.with_verifying(|v| v.readings.entry(run).or_default().push(observation));
            return self.settle_verdict(&state, run, true).await;
        }
        self.submit(Input::Observed { reading, raised: raised.filter(|_| !hushed), calm }).await
    }

    /// The model's highest score within an incident, in thresholds of then: what was seen since the start of the daemon,
    /// and what the ledger has of its opening. `None` when the model had no part in it, and for old ledgers.
    #[must_use]
    pub fn peak(&self, incident: IncidentId) -> Option<f64> {
        let seen = self.with_verifying(|v| v.peaks.get(&incident).copied());
        let told = self.state().incidents.get(&incident).and_then(|i| i.score);
        seen.into_iter().chain(told).reduce(f64::max)
    }

    fn note_peak(&self, state: &State, reading: &Reading) {
        let (Some(incident), Some(score)) = (state.open_incident(&reading.service), reading.model_score()) else {
            return;
        };
        self.with_verifying(|v| {
            if !v.peaks.contains_key(&incident.id) {
                v.peaks.retain(|id, _| state.incidents.contains_key(id));
            }
            let peak = v.peaks.entry(incident.id).or_insert(score);
            *peak = peak.max(score);
        });
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
                self.settle_verdict(&state, run, false).await?;
            }
        }
        Ok(())
    }

    /// `may_ask`: whether the playbook may be asked for its word, which takes time. A cure shows in a reading, so the tick,
    /// which everything else waits for, leaves that to the task of the service.
    async fn settle_verdict(&self, state: &State, run: RunId, may_ask: bool) -> Result<Vec<Event>, SubmitError> {
        let Some(run) = state.runs.get(&run) else { return Ok(Vec::new()) };
        let policies = self.policies();
        let Some(policy) = policies.get(&run.plan.service) else { return Ok(Vec::new()) };
        let now = self.clock.now();
        let verdict = self.with_verifying(|v| {
            let ended = run.ended_at.unwrap_or(run.started_at);
            let done_at = v.since.get(&run.id).copied().unwrap_or(ended).max(ended);
            let readings = v.readings.entry(run.id).or_default();
            incident::judge(&policy.verify, run.risk_before, done_at, readings, now)
        });
        let Some((mut verdict, mut evidence)) = verdict else { return Ok(Vec::new()) };
        // Held until the verdict is in the ledger.
        let mut _asking = None;
        let mut check = None;
        if verdict == Verdict::Improved
            && let Some(second) = self.second_opinion.get()
        {
            // Readings come faster than a check may answer: one is enough.
            if !may_ask || !self.with_verifying(|v| v.asking.insert(run.id)) {
                return Ok(Vec::new());
            }
            _asking = Some(Asking { engine: self, run: run.id });
            if self.state().runs.get(&run.id).is_none_or(|r| r.verdict.is_some()) {
                return Ok(Vec::new());
            }
            let opinion = second.on(run.id).await;
            if let Some((view, ran, doubt)) = opinion {
                if doubt.is_some() {
                    (verdict, evidence.doubt) = (Verdict::Inconclusive, doubt);
                }
                check = Some((view, ran));
            }
        }
        let events = self.submit(Input::Judged { run: run.id, verdict, evidence, check }).await?;
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

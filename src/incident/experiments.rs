//! Experiments as folds over the ledger, and the rules of their life: asked, approved, under way, over.
//!
//! Pure, like everything here. A fault may go in only after it was intended, and an experiment is over only when nothing of it
//! is in any more; so whoever finds the ledger after a crash knows what has to be taken out.

use std::collections::BTreeMap;

use super::input::Refusal;
use super::machine::{Frozen, Rules};
use super::state::State;
use crate::decide::Deed;
use crate::model::{
    Digest, Event, ExperimentId, ExperimentOutcome, ExperimentPlan, Fact, MetricSeen, Mode, Person, ServiceId, Stage,
    Timestamp,
};

/// Ended experiments kept in memory; older ones are in the ledger only.
const KEEP_ENDED: usize = 200;

/// Where one fault of an experiment stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultState {
    /// Not in yet.
    Waiting,
    /// About to go in: it may be in.
    Intended(Timestamp),
    /// In.
    In(Timestamp),
    /// It could not be taken out so far, and why.
    Stuck(Timestamp, String),
    /// Out again, or over by itself.
    Out(Timestamp),
}

impl FaultState {
    /// May it be in?
    #[must_use]
    pub fn may_be_in(&self) -> bool {
        matches!(self, Self::Intended(_) | Self::In(_) | Self::Stuck(..))
    }

    /// When it went in, if it may be in.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        match self {
            Self::Intended(at) | Self::In(at) | Self::Stuck(at, _) => Some(*at),
            Self::Waiting | Self::Out(_) => None,
        }
    }
}

/// How far an experiment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// People are asked.
    Asked,
    /// It is not done.
    Declined,
    /// It is under way.
    Running,
    /// It is over.
    Ended(ExperimentOutcome),
}

impl Progress {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Asked => "awaiting approval",
            Self::Declined => "not done",
            Self::Running => "under way",
            Self::Ended(ExperimentOutcome::Passed) => "passed",
            Self::Ended(ExperimentOutcome::Failed) => "failed",
            Self::Ended(ExperimentOutcome::Aborted) => "aborted",
        }
    }
}

/// One experiment that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Its number.
    pub id: ExperimentId,
    /// What it does.
    pub plan: ExperimentPlan,
    /// The digest of that.
    pub digest: Digest,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// By whom; `None`: by a schedule.
    pub asked_by: Option<Person>,
    /// The question stands until then.
    pub expires_at: Timestamp,
    /// Who said yes.
    pub approvals: Vec<Person>,
    /// How far it is.
    pub progress: Progress,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// Its faults, each in its place.
    pub faults: Vec<FaultState>,
    /// When the first of them went in.
    pub first_fault_at: Option<Timestamp>,
    /// It is being broken off, and why.
    pub abort: Option<String>,
    /// What was seen of the steady state: at which stage, whether it was steady, why not, and the metrics.
    pub seen: Vec<(Stage, bool, String, Vec<MetricSeen>)>,
    /// When it was over, or declined.
    pub ended_at: Option<Timestamp>,
    /// Why it ended as it did.
    pub why: String,
}

impl Trial {
    /// Is it asked about or under way?
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.progress, Progress::Asked | Progress::Running)
    }

    /// May any of its faults be in?
    #[must_use]
    pub fn may_be_in(&self) -> bool {
        self.faults.iter().any(FaultState::may_be_in)
    }

    /// The service it is about.
    #[must_use]
    pub fn service(&self) -> &ServiceId {
        &self.plan.service
    }

    /// `EXP-3 (latency)`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{} ({})", self.id, self.plan.experiment.name)
    }
}

/// What can happen to experiments.
#[derive(Clone, Debug, PartialEq)]
pub enum OnExperiment {
    /// Somebody wants one, or a schedule does.
    Ask {
        /// What it would do.
        plan: Box<ExperimentPlan>,
        /// Who; `None`: a schedule.
        by: Option<Person>,
    },
    /// Somebody says yes.
    Approve {
        /// To which; `None`: to the only one that asks.
        id: Option<ExperimentId>,
        /// To exactly this plan, where it is known which one was shown.
        digest: Option<Digest>,
        /// Who.
        by: Person,
    },
    /// Somebody says no.
    Reject {
        /// To which; `None`: to the only one that asks.
        id: Option<ExperimentId>,
        /// Why; may be empty.
        reason: String,
        /// Who.
        by: Person,
    },
    /// It is to end now. Anybody may: it is the way back.
    Stop {
        /// Which.
        id: ExperimentId,
        /// Why.
        why: String,
        /// Who; `None`: a rule.
        by: Option<Person>,
    },
    /// A fault is about to go in.
    Intend {
        /// Of which experiment.
        id: ExperimentId,
        /// Its place.
        index: u32,
    },
    /// A fault is in.
    PutIn {
        /// Of which experiment.
        id: ExperimentId,
        /// Its place.
        index: u32,
        /// What the target said.
        words: String,
    },
    /// A fault is out.
    TakenOut {
        /// Of which experiment.
        id: ExperimentId,
        /// Its place.
        index: u32,
        /// How.
        how: String,
    },
    /// A fault could not be taken out.
    Stuck {
        /// Of which experiment.
        id: ExperimentId,
        /// Its place.
        index: u32,
        /// Why.
        why: String,
    },
    /// The steady state was looked at.
    Seen {
        /// Of which experiment.
        id: ExperimentId,
        /// When.
        stage: Stage,
        /// Was it steady?
        steady: bool,
        /// Why not; may be empty.
        why: String,
        /// The metrics.
        seen: Vec<MetricSeen>,
    },
    /// It is over.
    Finish {
        /// Which.
        id: ExperimentId,
        /// How.
        outcome: ExperimentOutcome,
        /// Why.
        why: String,
    },
}

/// All experiments that are remembered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trials {
    by_id: BTreeMap<ExperimentId, Trial>,
    last: u64,
}

impl Trials {
    /// One of them.
    #[must_use]
    pub fn get(&self, id: ExperimentId) -> Option<&Trial> {
        self.by_id.get(&id)
    }

    /// All, oldest first.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &Trial> {
        self.by_id.values()
    }

    /// Those that are under way.
    pub fn running(&self) -> impl Iterator<Item = &Trial> {
        self.all().filter(|trial| trial.progress == Progress::Running)
    }

    /// The one of a service that is asked about or under way: there is never more than one.
    #[must_use]
    pub fn open_on(&self, service: &ServiceId) -> Option<&Trial> {
        self.all().find(|trial| trial.is_open() && trial.service() == service)
    }

    /// The one whose fault explains what is seen of a service now.
    #[must_use]
    pub fn behind(&self, service: &ServiceId) -> Option<&Trial> {
        self.running().find(|trial| trial.service() == service && trial.first_fault_at.is_some())
    }

    fn on(&mut self, id: ExperimentId, change: impl FnOnce(&mut Trial)) {
        if let Some(trial) = self.by_id.get_mut(&id) {
            change(trial);
        }
    }

    /// Takes up a fact; `false` when it is none about experiments.
    pub(super) fn apply(&mut self, event: &Event) -> bool {
        let at = event.at;
        match &event.fact {
            Fact::ExperimentAsked { experiment, plan, digest, expires_at, .. } => {
                self.last = self.last.max(experiment.0);
                self.by_id.insert(
                    *experiment,
                    Trial {
                        id: *experiment,
                        plan: (**plan).clone(),
                        digest: *digest,
                        asked_at: at,
                        asked_by: event.by.clone(),
                        expires_at: *expires_at,
                        approvals: Vec::new(),
                        progress: Progress::Asked,
                        started_at: None,
                        faults: plan.faults.iter().map(|_| FaultState::Waiting).collect(),
                        first_fault_at: None,
                        abort: None,
                        seen: Vec::new(),
                        ended_at: None,
                        why: String::new(),
                    },
                );
                self.forget_old();
            }
            Fact::ExperimentApproved { experiment, .. } => {
                if let Some(by) = &event.by {
                    self.on(*experiment, |trial| trial.approvals.push(by.clone()));
                }
            }
            Fact::ExperimentDeclined { experiment, why } => self.on(*experiment, |trial| {
                (trial.progress, trial.ended_at) = (Progress::Declined, Some(at));
                trial.why.clone_from(why);
            }),
            Fact::ExperimentStarted { experiment, .. } => self.on(*experiment, |trial| {
                (trial.progress, trial.started_at) = (Progress::Running, Some(at));
            }),
            Fact::SteadyStateSeen { experiment, stage, steady, why, seen } => self.on(*experiment, |trial| {
                trial.seen.push((*stage, *steady, why.clone(), seen.clone()));
            }),
            Fact::FaultIntended { experiment, index, .. } => self.on(*experiment, |trial| {
                trial.set(*index, FaultState::Intended(at));
            }),
            Fact::FaultInjected { experiment: Some(experiment), index: Some(index), .. } => {
                self.on(*experiment, |trial| {
                    trial.first_fault_at.get_or_insert(at);
                    trial.set(*index, FaultState::In(at));
                });
                // The first of a service is remembered by the state as well.
                return false;
            }
            Fact::FaultLifted { experiment: Some(experiment), index: Some(index), .. } => {
                self.on(*experiment, |trial| trial.set(*index, FaultState::Out(at)));
                return false;
            }
            Fact::FaultStuck { experiment, index, why } => self.on(*experiment, |trial| {
                trial.set(*index, FaultState::Stuck(at, why.clone()));
            }),
            Fact::ExperimentAborted { experiment, why } => self.on(*experiment, |trial| {
                trial.abort.get_or_insert_with(|| why.clone());
            }),
            Fact::ExperimentEnded { experiment, outcome, why } => self.on(*experiment, |trial| {
                (trial.progress, trial.ended_at) = (Progress::Ended(*outcome), Some(at));
                trial.why.clone_from(why);
            }),
            _ => return false,
        }
        true
    }

    fn forget_old(&mut self) {
        let over: Vec<_> = self.all().filter(|trial| !trial.is_open()).map(|trial| trial.id).collect();
        for id in over.iter().take(over.len().saturating_sub(KEEP_ENDED)) {
            self.by_id.remove(id);
        }
    }
}

impl Trial {
    fn set(&mut self, index: u32, state: FaultState) {
        if let Some(fault) = self.faults.get_mut(index as usize) {
            *fault = state;
        }
    }
}

impl Rules<'_> {
    fn of_trial(&self, trial: &Trial, by: Option<&Person>, fact: Fact) -> Event {
        self.event(Some(trial.service()), by, fact)
    }

    /// What something that happened to an experiment leads to.
    pub(super) fn on_experiment(&self, state: &State, input: OnExperiment) -> Result<Vec<Event>, Refusal> {
        match input {
            OnExperiment::Ask { plan, by } => self.ask_experiment(state, plan, by.as_ref()),
            OnExperiment::Approve { id, digest, by } => self.approve_experiment(state, id, digest, &by),
            OnExperiment::Reject { id, reason, by } => {
                let trial = asking(state, id, "reject")?;
                self.must_be_allowed(trial.service(), &by, "reject", &[])?;
                let why = match reason.as_str() {
                    "" => format!("rejected by {}", by.name),
                    reason => format!("rejected by {}: {reason}", by.name),
                };
                Ok(vec![self.of_trial(trial, Some(&by), Fact::ExperimentDeclined { experiment: trial.id, why })])
            }
            OnExperiment::Stop { id, why, by } => {
                let trial = find(state, id)?;
                match trial.progress {
                    Progress::Asked => {
                        let fact = Fact::ExperimentDeclined { experiment: id, why };
                        Ok(vec![self.of_trial(trial, by.as_ref(), fact)])
                    }
                    Progress::Running if trial.abort.is_some() => Ok(Vec::new()),
                    Progress::Running => {
                        let fact = Fact::ExperimentAborted { experiment: id, why };
                        Ok(vec![self.of_trial(trial, by.as_ref(), fact)])
                    }
                    _ => Err(Refusal::OutOfTurn(format!("{} is over", trial.label()))),
                }
            }
            OnExperiment::Intend { id, index } => {
                let trial = under_way(state, id)?;
                if let Some(reason) = &state.halted {
                    return Err(Refusal::Halted(reason.clone()));
                }
                if let Some(why) = &trial.abort {
                    return Err(Refusal::OutOfTurn(format!("{} is being broken off: {why}", trial.label())));
                }
                let (Some(fault), Some(FaultState::Waiting)) =
                    (trial.plan.faults.get(index as usize), trial.faults.get(index as usize))
                else {
                    return Err(Refusal::OutOfTurn(format!("fault {index} of {} is not to go in now", trial.label())));
                };
                let fact = Fact::FaultIntended { experiment: id, index, fault: fault.clone() };
                Ok(vec![self.of_trial(trial, None, fact)])
            }
            OnExperiment::PutIn { id, index, words } => {
                let trial = under_way(state, id)?;
                let Some(fault) = trial.plan.faults.get(index as usize) else { return Ok(Vec::new()) };
                if !matches!(trial.faults.get(index as usize), Some(FaultState::Intended(_))) {
                    return Ok(Vec::new());
                }
                let fact = Fact::FaultInjected {
                    fault: fault.fault.kind().to_string(),
                    detail: format!("{} ({words})", fault.fault),
                    experiment: Some(id),
                    index: Some(index),
                };
                Ok(vec![self.of_trial(trial, None, fact)])
            }
            OnExperiment::TakenOut { id, index, how } => {
                let trial = under_way(state, id)?;
                let is_in = trial.faults.get(index as usize).is_some_and(FaultState::may_be_in);
                let Some(fault) = trial.plan.faults.get(index as usize).filter(|_| is_in) else {
                    return Ok(Vec::new());
                };
                let fault = fault.fault.kind().to_string();
                let fact = Fact::FaultLifted { fault, experiment: Some(id), index: Some(index), how };
                Ok(vec![self.of_trial(trial, None, fact)])
            }
            OnExperiment::Stuck { id, index, why } => {
                let trial = under_way(state, id)?;
                match trial.faults.get(index as usize) {
                    // Said once for each reason.
                    Some(FaultState::Stuck(_, known)) if *known == why => Ok(Vec::new()),
                    Some(fault) if fault.may_be_in() => {
                        Ok(vec![self.of_trial(trial, None, Fact::FaultStuck { experiment: id, index, why })])
                    }
                    _ => Ok(Vec::new()),
                }
            }
            OnExperiment::Seen { id, stage, steady, why, seen } => {
                let trial = under_way(state, id)?;
                let fact = Fact::SteadyStateSeen { experiment: id, stage, steady, why, seen };
                Ok(vec![self.of_trial(trial, None, fact)])
            }
            OnExperiment::Finish { id, outcome, why } => {
                let trial = under_way(state, id)?;
                if trial.may_be_in() {
                    return Err(Refusal::OutOfTurn(format!("a fault of {} may still be in", trial.label())));
                }
                let fact = Fact::ExperimentEnded { experiment: id, outcome, why };
                Ok(vec![self.of_trial(trial, None, fact)])
            }
        }
    }

    fn ask_experiment(
        &self,
        state: &State,
        plan: Box<ExperimentPlan>,
        by: Option<&Person>,
    ) -> Result<Vec<Event>, Refusal> {
        let service = &plan.service;
        let policy = self.policies.policy(service).ok_or_else(|| Refusal::NoService(service.clone()))?;
        if let Some(by) = by {
            self.must_be_allowed(service, by, "chaos", &[])?;
        }
        if let Some(reason) = &state.halted {
            return Err(Refusal::Halted(reason.clone()));
        }
        if let Some(open) = state.experiments.open_on(service) {
            return Err(Refusal::OutOfTurn(format!(
                "{} is {} on {service}: `chaos stop {}` ends it; two at a time would tell nobody anything",
                open.label(),
                open.progress.words(),
                open.id
            )));
        }
        if let Some(incident) = state.open_incident(service) {
            return Err(Refusal::OutOfTurn(format!(
                "{service} has an open incident, {}: nothing is put into a service that is not well",
                incident.id
            )));
        }
        let experiment = ExperimentId(state.experiments.last + 1);
        let (digest, expires_at) = (plan.digest(), self.now.plus(policy.approval.expiry));
        let fact =
            Fact::ExperimentAsked { experiment, plan: plan.clone(), digest, expires_at, scheduled: by.is_none() };
        Ok(vec![self.event(Some(service), by, fact)])
    }

    fn approve_experiment(
        &self,
        state: &State,
        id: Option<ExperimentId>,
        digest: Option<Digest>,
        by: &Person,
    ) -> Result<Vec<Event>, Refusal> {
        let trial = asking(state, id, "approve")?;
        let service = trial.service();
        if digest.is_some_and(|digest| digest != trial.digest) {
            return Err(Refusal::OutOfTurn(format!("that card was about another plan than {} has", trial.label())));
        }
        // Whoever may not have it run may not approve it either.
        self.must_be_allowed(service, by, "approve", &[])?;
        self.must_be_allowed(service, by, "chaos", &[])?;
        if let Some(reason) = &state.halted {
            return Err(Refusal::Halted(reason.clone()));
        }
        let policy = self.policies.policy(service).ok_or_else(|| Refusal::NoService(service.clone()))?;
        if trial.approvals.iter().any(|person| person.id == by.id) {
            let have = u32::try_from(trial.approvals.len()).unwrap_or(u32::MAX);
            return Err(Refusal::AlreadyApproved(by.name.clone(), policy.approval.quorum.saturating_sub(have)));
        }
        let own = trial.asked_by.as_ref().is_some_and(|asked| asked.id == by.id);
        if own && !policy.approval.requester_may_approve {
            return Err(Refusal::OwnRequest(by.name.clone()));
        }
        if let Some(Frozen { why, until }) = self.policies.frozen(service, self.now) {
            return Err(Refusal::Frozen { service: service.clone(), why, until });
        }
        let fact = Fact::ExperimentApproved { experiment: trial.id, digest: trial.digest, with_code: false };
        Ok(vec![self.of_trial(trial, Some(by), fact)])
    }

    /// What follows by itself from where experiments stand: one consequence at a time.
    pub(super) fn follow_experiments(&self, state: &State) -> Option<Event> {
        state.experiments.all().filter(|trial| trial.is_open()).find_map(|trial| {
            let fact = match trial.progress {
                Progress::Asked => self.follow_asked(state, trial)?,
                _ => Fact::ExperimentAborted { experiment: trial.id, why: self.reason_to_abort(state, trial)? },
            };
            Some(self.of_trial(trial, None, fact))
        })
    }

    fn follow_asked(&self, state: &State, trial: &Trial) -> Option<Fact> {
        let declined = |why: &str| Some(Fact::ExperimentDeclined { experiment: trial.id, why: why.to_owned() });
        let Some(policy) = self.policies.policy(trial.service()) else {
            return declined("the service is not there any more");
        };
        if self.now >= trial.expires_at {
            return declined("nobody approved it in time");
        }
        if state.halted.is_some() {
            return None;
        }
        if state.open_incident(trial.service()).is_some() {
            return declined("the service fell ill by itself meanwhile");
        }
        // In mode auto a playbook runs without a yes, and so does this.
        let unasked = self.mode(state, trial.service()) == Mode::Auto;
        let valid = trial.approvals.iter().filter(|by| {
            let deed = |verb| Deed { verb, actions: &[] };
            self.may(trial.service(), by, deed("approve")).is_ok()
                && self.may(trial.service(), by, deed("chaos")).is_ok()
        });
        let enough = unasked || valid.count() as u64 >= u64::from(policy.approval.quorum.max(1));
        let started = Fact::ExperimentStarted { experiment: trial.id, digest: trial.digest };
        (enough && self.policies.frozen(trial.service(), self.now).is_none()).then_some(started)
    }

    fn reason_to_abort(&self, state: &State, trial: &Trial) -> Option<String> {
        if trial.abort.is_some() {
            return None;
        }
        if let Some(reason) = &state.halted {
            return Some(format!("everything is stopped: {reason}"));
        }
        if self.policies.policy(trial.service()).is_none() {
            return Some("the service is not there any more".to_owned());
        }
        let started = trial.started_at?;
        let other = state.incidents.values().find(|incident| {
            incident.is_open() && incident.service != *trial.service() && incident.opened_at >= started
        });
        let other = other.filter(|_| trial.plan.experiment.abort.other_incident)?;
        Some(format!("{} opened on {}", other.id, other.service))
    }
}

fn find(state: &State, id: ExperimentId) -> Result<&Trial, Refusal> {
    state.experiments.get(id).ok_or_else(|| Refusal::OutOfTurn(format!("there is no {id}; `chaos report` lists them")))
}

fn under_way(state: &State, id: ExperimentId) -> Result<&Trial, Refusal> {
    let trial = find(state, id)?;
    match trial.progress {
        Progress::Running => Ok(trial),
        progress => Err(Refusal::OutOfTurn(format!("{} is {}", trial.label(), progress.words()))),
    }
}

/// The experiment that is meant by a yes or a no.
fn asking<'a>(state: &'a State, id: Option<ExperimentId>, verb: &str) -> Result<&'a Trial, Refusal> {
    let asks = |trial: &&Trial| trial.progress == Progress::Asked;
    if let Some(id) = id {
        let trial = find(state, id)?;
        return match asks(&trial) {
            true => Ok(trial),
            false => {
                Err(Refusal::OutOfTurn(format!("{} asks nothing: it is {}", trial.label(), trial.progress.words())))
            }
        };
    }
    let all: Vec<_> = state.experiments.all().filter(asks).collect();
    match all.as_slice() {
        [] => Err(Refusal::OutOfTurn("no experiment waits for approval".to_owned())),
        [one] => Ok(one),
        [first, ..] => {
            let names: Vec<_> = all.iter().map(|trial| trial.label()).collect();
            Err(Refusal::OutOfTurn(format!(
                "several experiments wait: say which, for example `chaos {verb} {}` (waiting: {})",
                first.id,
                names.join(", ")
            )))
        }
    }
}

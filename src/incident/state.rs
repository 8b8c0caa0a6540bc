//! Incidents and runs as folds over the ledger: what is known after each event, and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use super::components::Components;
use super::experiments::Trials;
use crate::model::{
    ActionKind, Deploy, Digest, Driver, Event, ExperimentId, Fact, FalseAlarm, HostCall, IncidentId, Judge, Mode,
    Person, Plan, PlannedAction, Proposal, RunId, ServiceId, Severity, TargetId, Timestamp, Verdict, VerdictEvidence,
};

/// How many ended incidents are kept in memory; older ones are in the ledger only.
const KEEP_ENDED: usize = 500;

/// How long actions are remembered for cooldowns and hourly limits. Longer than any of these can be configured.
const REMEMBER_ACTIONS: Duration = Duration::from_secs(24 * 3600);

/// How many false alarms of one service are remembered: the tolerance that follows from them is at its most long before.
const KEEP_FALSE_ALARMS: usize = 50;

/// Everything the incident machine knows. Two ledgers with equal events give equal states.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Incidents by id.
    pub incidents: BTreeMap<IncidentId, Incident>,
    /// Runs by id.
    pub runs: BTreeMap<RunId, Run>,
    /// Modes set by command, which win over the config's.
    pub modes: BTreeMap<ServiceId, Mode>,
    /// The kill switch, with its reason.
    pub halted: Option<String>,
    /// Actions that were intended, for cooldowns and hourly limits.
    pub acted: Vec<Acted>,
    /// Faults put in on purpose and not lifted nor seen yet: when, and which.
    pub faults: BTreeMap<ServiceId, (Timestamp, String)>,
    /// The components: which are accepted, held, struck or disabled.
    pub components: Components,
    /// What playbooks keep from run to run, by playbook and service.
    pub notes: BTreeMap<(String, ServiceId), BTreeMap<String, String>>,
    /// Incidents that the model raised and people called false alarms, in the order in which they did: the newest 50 of
    /// each service.
    pub false_alarms: BTreeMap<ServiceId, Vec<FalseAlarm>>,
    /// The newest deploy of each service.
    pub deploys: BTreeMap<ServiceId, Deploy>,
    /// Services that were found in a cluster and are not gone, and what each can be healed by.
    pub found: BTreeMap<ServiceId, Vec<TargetId>>,
    /// The experiments.
    pub experiments: Trials,
    /// Services whose cards are kept out of the channels, and until when.
    pub mutes: BTreeMap<ServiceId, Timestamp>,
    last_incident: u64,
    last_run: u64,
}

/// An action that was intended.
#[derive(Clone, Debug, PartialEq)]
pub struct Acted {
    /// When.
    pub at: Timestamp,
    /// For which service.
    pub service: ServiceId,
    /// On what.
    pub target: TargetId,
    /// Of which kind.
    pub kind: ActionKind,
    /// In which run: cooldowns do not hold back the steps of one approved plan.
    pub run: RunId,
}

/// Where an incident stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Just opened; the rules are to be asked.
    Open,
    /// A proposal is being tried in a dry run.
    Planning,
    /// A plan waits for people.
    AwaitingApproval,
    /// A run is under way.
    Acting(RunId),
    /// A run is done; the detector is to judge it.
    Verifying(RunId),
    /// A run is being taken back.
    RollingBack(RunId),
    /// The verdict was inconclusive: a person is to say `keep` or `rollback`.
    AwaitingPerson(RunId),
    /// Nothing more is tried; the service is still unwell.
    Escalated,
    /// Over.
    Resolved,
}

impl Phase {
    /// In words, as cards say it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Planning => "planning",
            Self::AwaitingApproval => "awaiting approval",
            Self::Acting(_) => "acting",
            Self::Verifying(_) => "verifying",
            Self::RollingBack(_) => "rolling back",
            Self::AwaitingPerson(_) => "needs a decision",
            Self::Escalated => "escalated",
            Self::Resolved => "resolved",
        }
    }
}

/// One incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// The service.
    pub service: ServiceId,
    /// First anomalous sample.
    pub since: Timestamp,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When a fault had been put in on purpose, if one had.
    pub fault_at: Option<Timestamp>,
    /// The experiment that was under way on the service when it began.
    pub experiment: Option<ExperimentId>,
    /// Risk when last reported.
    pub risk: f64,
    /// Severity when last reported.
    pub severity: Severity,
    /// The metrics responsible.
    pub drivers: Vec<Driver>,
    /// Who judged.
    pub judge: Judge,
    /// Where it stands.
    pub phase: Phase,
    /// What the rules (or people) proposed, in order.
    pub proposals: Vec<Proposal>,
    /// The next of them to try.
    pub next_proposal: usize,
    /// Plans made so far: the number of the latest.
    pub plans: u32,
    /// The question that stands, if one does.
    pub question: Option<Question>,
    /// Runs made for it.
    pub runs: Vec<RunId>,
    /// What happened last, in words, for the card.
    pub note: Option<String>,
    /// Who decided on the latest plan, and how, in words.
    pub decided: Option<String>,
    /// When the plan that was carried out was approved.
    pub approved_at: Option<Timestamp>,
    /// When it was asked for.
    pub asked_at: Option<Timestamp>,
    /// When it was over.
    pub closed_at: Option<Timestamp>,
    /// How it ended: `healed`, `recovered alone`, ...
    pub how: Option<String>,
    /// How unusual the model found it when it was opened, in thresholds of then; `None` when it was not the model's word.
    pub score: Option<f64>,
    /// A person said that nothing was wrong.
    pub false_alarm: Option<Marked>,
    /// What people asked for, and all who did: none of them is a second pair of eyes on it, however often it is planned.
    pub requested: Option<(Proposal, Vec<Person>)>,
    /// Something could not be taken back: no further proposal is tried by itself.
    pub stuck: Option<String>,
    /// Counted up with each event that changes what the card shows.
    pub revision: u64,
}

impl Incident {
    /// Is it still going on?
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.phase != Phase::Resolved
    }
}

/// A person's word that an incident was none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// Who said so.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why; may be empty.
    pub reason: String,
}

/// A plan that waits for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The plan.
    pub plan: Plan,
    /// Its digest: what an approval must name.
    pub digest: Digest,
    /// Asked when.
    pub asked_at: Timestamp,
    /// Stands until.
    pub expires_at: Timestamp,
    /// What the playbook was told when it made the plan.
    pub view: serde_json::Value,
    /// Who said yes so far.
    pub approvals: Vec<Person>,
    /// Who asked for it: nobody when a rule proposed it.
    pub requested_by: Vec<Person>,
    /// Others were called to it.
    pub called: bool,
}

/// Where one step of a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Not begun.
    Waiting,
    /// Written down, perhaps sent: after a crash the target must be asked.
    Intended,
    /// Done.
    Done {
        /// What the target said.
        receipt: String,
    },
    /// Refused by the target; nothing changed.
    Failed {
        /// Why.
        error: String,
    },
    /// The inverse is written down, perhaps sent.
    UndoIntended,
    /// Taken back.
    Undone,
    /// Cannot be taken back: there is no way.
    Irreversible,
    /// Could not be taken back; a person has to look.
    UndoFailed {
        /// Why.
        error: String,
    },
}

/// One execution of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// The incident it is for.
    pub incident: IncidentId,
    /// The plan that was approved.
    pub plan: Plan,
    /// Its digest.
    pub digest: Digest,
    /// Who approved it.
    pub approvals: Vec<Person>,
    /// What the playbook was told when it made the plan, and is told again.
    pub view: serde_json::Value,
    /// Began when.
    pub started_at: Timestamp,
    /// Ended when, well or not.
    pub ended_at: Option<Timestamp>,
    /// Risk when it began.
    pub risk_before: f64,
    /// Its steps, one for each action of the plan.
    pub steps: Vec<Step>,
    /// What its playbook was answered before each action that was intended: a run that was cut off is answered so again.
    pub answers: Vec<HostCall>,
    /// What its playbook wants to keep, if the run ends well.
    pub notes: Option<BTreeMap<String, String>>,
    /// Every action done.
    pub done: bool,
    /// Why it failed, if it did, and whether only because the world had moved.
    pub failure: Option<(String, bool)>,
    /// The detector's word.
    pub verdict: Option<(Verdict, VerdictEvidence)>,
    /// Being taken back, or taken back: why.
    pub undo: Option<String>,
    /// Everything that can be taken back is.
    pub undo_done: bool,
}

impl Run {
    /// Is it using its targets: acting, or being taken back?
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let acting = !self.done && self.failure.is_none();
        acting || (self.undo.is_some() && !self.undo_done)
    }

    /// The targets its plan acts on.
    pub fn targets(&self) -> impl Iterator<Item = &TargetId> {
        self.plan.actions.iter().map(|a| a.action.target())
    }

    /// Is there a step that was done, or may have been, and is not taken back?
    #[must_use]
    pub fn has_effects(&self) -> bool {
        self.steps.iter().any(|s| matches!(s, Step::Done { .. } | Step::Intended | Step::UndoIntended))
    }

    /// Did its playbook's own check contradict the detector?
    #[must_use]
    pub fn is_doubted(&self) -> bool {
        self.verdict.as_ref().is_some_and(|(_, evidence)| evidence.doubt.is_some())
    }

    /// The plan's step at this place.
    #[must_use]
    pub fn planned(&self, index: u32) -> Option<&PlannedAction> {
        self.plan.actions.get(index as usize)
    }

    /// How the step at this place stands.
    #[must_use]
    pub fn step(&self, index: u32) -> Option<&Step> {
        self.steps.get(index as usize)
    }

    fn set_step(&mut self, index: u32, step: Step) {
        if let Some(slot) = self.steps.get_mut(index as usize) {
            *slot = step;
        }
    }
}

impl State {
    /// The state after all these events.
    #[must_use]
    pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut state = Self::default();
        for event in events {
            state.apply(event);
        }
        state
    }

    /// The open incident of a service; there is at most one.
    #[must_use]
    pub fn open_incident(&self, service: &ServiceId) -> Option<&Incident> {
        self.incidents.values().rev().find(|i| i.service == *service && i.is_open())
    }

    /// The id the next incident gets.
    #[must_use]
    pub fn next_incident(&self) -> IncidentId {
        IncidentId(self.last_incident + 1)
    }

    /// The id the next run gets.
    #[must_use]
    pub fn next_run(&self) -> RunId {
        RunId(self.last_run + 1)
    }

    /// The run that uses this target now.
    #[must_use]
    pub fn busy(&self, target: &TargetId) -> Option<&Run> {
        self.runs.values().rev().find(|run| run.is_busy() && run.targets().any(|t| t == target))
    }

    /// Takes one event in. Total: an event that does not fit (from an older version, say) changes nothing.
    pub fn apply(&mut self, event: &Event) {
        if self.experiments.apply(event) {
            return;
        }
        match &event.fact {
            Fact::ModeChanged { mode } => {
                if let Some(service) = &event.service {
                    self.modes.insert(service.clone(), *mode);
                }
            }
            Fact::Muted { until } => {
                if let Some(service) = &event.service {
                    self.mutes.insert(service.clone(), *until);
                }
            }
            Fact::Unmuted => {
                if let Some(service) = &event.service {
                    self.mutes.remove(service);
                }
            }
            Fact::Halted { reason } => self.halted = Some(reason.clone()),
            Fact::Resumed => self.halted = None,
            Fact::FaultInjected { fault, .. } => {
                if let Some(service) = &event.service {
                    self.faults.insert(service.clone(), (event.at, fault.clone()));
                }
            }
            Fact::FaultLifted { .. } => {
                if let Some(service) = &event.service {
                    self.faults.remove(service);
                }
            }
            Fact::Deployed { until, note } => {
                if let Some(service) = &event.service {
                    let by = event.by.as_ref().map_or("somebody", |p| p.name.as_str()).to_owned();
                    let deploy = Deploy { at: event.at, until: *until, note: note.clone(), by };
                    self.deploys.insert(service.clone(), deploy);
                }
            }
            Fact::ServiceFound { targets } => {
                if let Some(service) = &event.service {
                    self.found.insert(service.clone(), targets.clone());
                }
            }
            Fact::ServiceGone => {
                if let Some(service) = &event.service {
                    self.found.remove(service);
                }
            }
            Fact::FalseAlarm { reason, score, metrics } => self.mark(event, reason, *score, metrics),
            Fact::IncidentOpened { .. } => self.open(event),
            fact if self.components.apply(fact) => {}
            _ => {
                self.apply_to_run(event);
                self.apply_to_incident(event);
            }
        }
    }

    fn open(&mut self, event: &Event) {
        let Fact::IncidentOpened { since, risk, severity, drivers, judge, score } = &event.fact else { return };
        let (Some(id), Some(service)) = (event.incident, event.service.clone()) else { return };
        self.last_incident = self.last_incident.max(id.0);
        // A fault explains the first incident after it; what comes later has a cause of its own.
        let fault_at = self.faults.remove(&service).map(|(at, _)| at).filter(|at| *at <= event.at);
        let judged = Judged { risk: *risk, severity: *severity, drivers, judge, score: *score };
        let experiment = self.experiments.behind(&service).map(|trial| trial.id);
        let incident = Incident { experiment, ..Incident::new(id, service, *since, event.at, judged, fault_at) };
        self.incidents.insert(id, incident);
    }

    fn mark(&mut self, event: &Event, reason: &str, score: Option<f64>, metrics: &[String]) {
        let Some(incident) = event.incident.and_then(|id| self.incidents.get_mut(&id)) else { return };
        let by = event.by.as_ref().map_or("somebody", |p| p.name.as_str()).to_owned();
        incident.false_alarm = Some(Marked { by, at: event.at, reason: reason.to_owned() });
        incident.revision += 1;
        let Some(score) = score else { return };
        let alarms = self.false_alarms.entry(incident.service.clone()).or_default();
        alarms.push(FalseAlarm { at: event.at, incident: incident.id, score, metrics: metrics.to_vec() });
        alarms.drain(..alarms.len().saturating_sub(KEEP_FALSE_ALARMS));
    }

    /// What an event means for the run it names. Comes before the incident, which looks at the run.
    fn apply_to_run(&mut self, event: &Event) {
        if let Fact::RunStarted { digest } = &event.fact {
            self.start_run(event, *digest);
            return;
        }
        let Some(run) = event.run.and_then(|id| self.runs.get_mut(&id)) else { return };
        match &event.fact {
            Fact::ActionIntended { index, step } => {
                run.set_step(*index, Step::Intended);
                let acted = Acted {
                    at: event.at,
                    service: run.plan.service.clone(),
                    target: step.action.target().clone(),
                    kind: step.action.kind(),
                    run: run.id,
                };
                self.acted.retain(|a| event.at.since(a.at) <= REMEMBER_ACTIONS);
                self.acted.push(acted);
            }
            Fact::ActionDone { index, receipt } => run.set_step(*index, Step::Done { receipt: receipt.clone() }),
            Fact::ActionFailed { index, error } => run.set_step(*index, Step::Failed { error: error.clone() }),
            Fact::HostCalled { calls } => run.answers.extend(calls.iter().cloned()),
            Fact::PlaybookEnded { ran } => run.notes.clone_from(&ran.notes),
            Fact::RunDone => {
                run.answers = Vec::new();
                run.done = true;
                run.ended_at = Some(event.at);
                if let Some(notes) = run.notes.take() {
                    self.notes.insert((run.plan.playbook.clone(), run.plan.service.clone()), notes);
                }
            }
            Fact::RunFailed { error, moved } => {
                run.answers = Vec::new();
                run.failure = Some((error.clone(), *moved));
                run.ended_at = Some(event.at);
            }
            Fact::Judged { verdict, evidence } => run.verdict = Some((*verdict, evidence.clone())),
            Fact::UndoStarted { reason } => {
                run.undo = Some(reason.clone());
                run.undo_done = false;
            }
            Fact::UndoIntended { index } => run.set_step(*index, Step::UndoIntended),
            Fact::UndoneAction { index, .. } => run.set_step(*index, Step::Undone),
            Fact::UndoFailed { index, error } => run.set_step(*index, Step::UndoFailed { error: error.clone() }),
            Fact::UndoDone { impossible } => {
                for index in impossible {
                    run.set_step(*index, Step::Irreversible);
                }
                run.undo_done = true;
            }
            _ => {}
        }
    }

    fn start_run(&mut self, event: &Event, digest: Digest) {
        let (Some(id), Some(incident)) = (event.run, event.incident.and_then(|i| self.incidents.get_mut(&i))) else {
            return;
        };
        let Some(question) = incident.question.take().filter(|q| q.digest == digest) else { return };
        self.last_run = self.last_run.max(id.0);
        incident.runs.push(id);
        incident.phase = Phase::Acting(id);
        let names: Vec<_> = question.approvals.iter().map(|p| p.name.clone()).collect();
        incident.decided = Some(format!("approved by {}", names.join(" and ")));
        incident.approved_at = Some(event.at);
        incident.asked_at = Some(question.asked_at);
        incident.revision += 1;
        self.runs.insert(
            id,
            Run {
                id,
                incident: incident.id,
                digest,
                approvals: question.approvals,
                view: question.view,
                started_at: event.at,
                ended_at: None,
                risk_before: incident.risk,
                steps: vec![Step::Waiting; question.plan.actions.len()],
                answers: Vec::new(),
                notes: None,
                plan: question.plan,
                done: false,
                failure: None,
                verdict: None,
                undo: None,
                undo_done: false,
            },
        );
    }

    fn apply_to_incident(&mut self, event: &Event) {
        let Some(incident) = event.incident.and_then(|id| self.incidents.get_mut(&id)) else { return };
        let run = event.run.unwrap_or(RunId(0));
        match &event.fact {
            Fact::IncidentWorsened { risk, severity, drivers } => {
                (incident.risk, incident.severity) = (*risk, *severity);
                incident.drivers.clone_from(drivers);
            }
            Fact::Proposed { proposals, .. } => {
                incident.proposals.clone_from(proposals);
                incident.next_proposal = 0;
                incident.phase = Phase::Planning;
            }
            Fact::PlanAsked { proposal } => {
                incident.stuck = None;
                let mut people: Vec<_> = event.by.iter().cloned().collect();
                if let Some((before, asked)) = incident.requested.take()
                    && (&before.playbook, &before.args) == (&proposal.playbook, &proposal.args)
                {
                    people.extend(asked);
                }
                incident.requested = Some((proposal.clone(), people));
                incident.proposals.insert(incident.next_proposal.min(incident.proposals.len()), proposal.clone());
                incident.question = None;
                incident.phase = Phase::Planning;
            }
            Fact::Planned { plan, digest, expires_at, view, .. } => {
                incident.plans = plan.number;
                incident.next_proposal += 1;
                incident.question = Some(Question {
                    plan: plan.clone(),
                    digest: *digest,
                    asked_at: event.at,
                    expires_at: *expires_at,
                    view: view.clone(),
                    approvals: Vec::new(),
                    requested_by: match &incident.requested {
                        Some((asked, people)) if (&asked.playbook, &asked.args) == (&plan.playbook, &plan.args) => {
                            people.clone()
                        }
                        _ => Vec::new(),
                    },
                    called: false,
                });
                incident.decided = None;
                incident.note = None;
                incident.phase = Phase::AwaitingApproval;
            }
            Fact::PlanRefused { playbook, why, .. } => {
                incident.note = Some(format!("{playbook}: {why}"));
                if incident.question.take().is_none() {
                    incident.next_proposal += 1;
                }
                incident.phase = Phase::Planning;
            }
            Fact::Called { digest, .. } => {
                if let Some(question) = incident.question.as_mut().filter(|q| q.digest == *digest) {
                    question.called = true;
                }
            }
            Fact::Approved { digest, .. } => {
                if let (Some(question), Some(by)) = (incident.question.as_mut(), &event.by)
                    && question.digest == *digest
                {
                    question.approvals.push(by.clone());
                }
            }
            Fact::Rejected { digest, reason } if incident.asks(*digest) => {
                let who = event.by.as_ref().map_or("somebody", |p| p.name.as_str());
                incident.decided = Some(if reason.is_empty() {
                    format!("rejected by {who}")
                } else {
                    format!("rejected by {who}: {reason}")
                });
                incident.question = None;
                incident.next_proposal = incident.proposals.len();
                incident.phase = Phase::Planning;
            }
            Fact::Expired { digest } if incident.asks(*digest) => {
                incident.decided = Some("expired: nobody decided in time".to_owned());
                incident.question = None;
                incident.next_proposal = incident.proposals.len();
                incident.phase = Phase::Planning;
            }
            Fact::Withdrawn { digest, why } if incident.asks(*digest) => {
                incident.decided = Some(format!("withdrawn: {why}"));
                incident.question = None;
                incident.phase = Phase::Planning;
            }
            Fact::RunDone if incident.is_open() => incident.phase = Phase::Verifying(run),
            Fact::RunFailed { error, moved } if incident.is_open() => {
                incident.note = Some(error.clone());
                // A moved world is not the playbook's fault: the same proposal gets a fresh plan.
                if *moved {
                    incident.next_proposal = incident.next_proposal.saturating_sub(1);
                }
                incident.phase = Phase::Planning;
            }
            Fact::Judged { verdict, evidence } if incident.is_open() => match verdict {
                Verdict::Improved => {}
                Verdict::Worse | Verdict::Inconclusive => {
                    if let Some(doubt) = &evidence.doubt {
                        incident.note = Some(doubt.clone());
                    }
                    incident.phase = Phase::AwaitingPerson(run);
                }
            },
            Fact::UndoStarted { reason } if incident.is_open() => {
                incident.note = Some(reason.clone());
                // A person who rolls back wants to look, not the next proposal.
                if event.by.is_some() {
                    incident.next_proposal = incident.proposals.len();
                }
                incident.phase = Phase::RollingBack(run);
            }
            Fact::UndoFailed { index, error } if incident.is_open() => {
                incident.stuck = Some(format!("step {index} of {run} could not be taken back: {error}"));
            }
            Fact::UndoDone { .. } if incident.is_open() => incident.phase = Phase::Planning,
            Fact::Escalated { why } => {
                incident.stuck = None;
                incident.note = Some(why.clone());
                incident.question = None;
                incident.phase = Phase::Escalated;
            }
            Fact::Resolved { how } => {
                incident.how = Some(how.clone());
                incident.closed_at = Some(event.at);
                incident.question = None;
                incident.phase = Phase::Resolved;
            }
            _ => {}
        }
        incident.revision += 1;
        if matches!(event.fact, Fact::Resolved { .. }) {
            self.forget_old();
        }
    }

    /// Drops the oldest ended incidents, and their runs, from memory.
    fn forget_old(&mut self) {
        let ended: Vec<_> = self.incidents.values().filter(|i| !i.is_open()).map(|i| i.id).collect();
        for id in ended.iter().take(ended.len().saturating_sub(KEEP_ENDED)) {
            self.incidents.remove(id);
            self.runs.retain(|_, run| run.incident != *id || run.is_busy());
        }
    }
}

/// How a service was found when an incident was opened.
struct Judged<'a> {
    risk: f64,
    severity: Severity,
    drivers: &'a [Driver],
    judge: &'a Judge,
    score: Option<f64>,
}

impl Incident {
    fn new(
        id: IncidentId,
        service: ServiceId,
        since: Timestamp,
        opened_at: Timestamp,
        judged: Judged<'_>,
        fault_at: Option<Timestamp>,
    ) -> Self {
        Self {
            id,
            service,
            since,
            opened_at,
            fault_at,
            experiment: None,
            risk: judged.risk,
            severity: judged.severity,
            drivers: judged.drivers.to_vec(),
            judge: judged.judge.clone(),
            phase: Phase::Open,
            proposals: Vec::new(),
            next_proposal: 0,
            plans: 0,
            question: None,
            runs: Vec::new(),
            note: None,
            decided: None,
            approved_at: None,
            asked_at: None,
            closed_at: None,
            how: None,
            score: judged.score,
            false_alarm: None,
            requested: None,
            stuck: None,
            revision: 1,
        }
    }

    /// One that a person would open by asking for something, as it would be before anything else happened. Its number is
    /// none.
    #[must_use]
    pub fn asked_for(service: &ServiceId, now: Timestamp) -> Self {
        let judged = Judged { risk: 0.0, severity: Severity::Low, drivers: &[], judge: &Judge::Person, score: None };
        Self::new(IncidentId(0), service.clone(), now, now, judged, None)
    }

    fn asks(&self, digest: Digest) -> bool {
        self.question.as_ref().is_some_and(|q| q.digest == digest)
    }
}

impl crate::decide::PastAction for Acted {
    fn parts(&self) -> (Timestamp, &ServiceId, &TargetId, ActionKind, RunId) {
        (self.at, &self.service, &self.target, self.kind, self.run)
    }
}

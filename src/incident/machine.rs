//! The rules of the life cycle: what each input leads to; what follows by itself is in `follow`.

mod follow;

use super::input::{Input, Outcome, Refusal, RunFailure};
use super::state::{Incident, Phase, Question, Run, State, Step};
use crate::decide::{self, Deed};
use crate::model::{
    DryRun, Event, Fact, IncidentId, Judge, LONGEST_SETTLE, Mode, Person, PlannedAction, Policy, Proposal, RunId,
    ServiceId, Severity, Timestamp,
};

/// How often one incident's world may move under its runs before it counts as a failure.
const MOVES_TOLERATED: usize = 3;

/// More consequences than this from one input is a bug in the rules; the loop is cut there.
const SETTLE_LIMIT: usize = 64;

/// The policies by service: what the config says.
pub trait Policies {
    /// The policy of a service; `None` when the config does not know it (any more).
    fn policy(&self, service: &ServiceId) -> Option<&Policy>;

    /// May this person speak for at least one service?
    fn may_approve_anything(&self, person: &Person) -> bool;

    /// The groups and roles that a person is in now, as far as is known.
    fn groups(&self, person: &str) -> Vec<String> {
        let _ = person;
        Vec::new()
    }

    /// Is nothing to be changed on this service now?
    fn frozen(&self, service: &ServiceId, now: Timestamp) -> Option<Frozen> {
        let _ = (service, now);
        None
    }
}

/// Nothing is to be changed for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// Why: `the change window Mon-Fri 08:00-18:00 UTC is closed`.
    pub why: String,
    /// Until when, where that is known.
    pub until: Option<Timestamp>,
}

impl Policies for std::collections::BTreeMap<ServiceId, Policy> {
    fn policy(&self, service: &ServiceId) -> Option<&Policy> {
        self.get(service)
    }

    fn may_approve_anything(&self, person: &Person) -> bool {
        let ids = [person.id.clone()];
        self.values().any(|p| decide::may(&p.approval, &ids, Deed { verb: "resume", actions: &[] }).is_ok())
    }
}

/// Takes one input: the events it leads to with all that follows by itself, and the state after them. `None` when
/// nothing follows, which is the usual answer to a reading.
///
/// # Errors
/// A [`Refusal`]; nothing has changed.
pub fn step(
    state: &State,
    policies: &dyn Policies,
    input: Input,
    now: Timestamp,
) -> Result<Option<(State, Vec<Event>)>, Refusal> {
    let rules = Rules { policies, now };
    let mut events = rules.decide(state, input)?;
    if events.is_empty() {
        events = rules.follow(state);
    }
    if events.is_empty() {
        return Ok(None);
    }
    let mut next = state.clone();
    for event in &events {
        next.apply(event);
    }
    for _ in 0..SETTLE_LIMIT {
        let more = rules.follow(&next);
        if more.is_empty() {
            break;
        }
        for event in &more {
            next.apply(event);
        }
        events.extend(more);
    }
    Ok(Some((next, events)))
}

pub(super) struct Rules<'a> {
    pub(super) policies: &'a dyn Policies,
    pub(super) now: Timestamp,
}

impl Rules<'_> {
    pub(super) fn event(&self, service: Option<&ServiceId>, by: Option<&Person>, fact: Fact) -> Event {
        Event { at: self.now, service: service.cloned(), incident: None, run: None, by: by.cloned(), fact }
    }

    fn about(&self, incident: &Incident, by: Option<&Person>, fact: Fact) -> Event {
        Event { incident: Some(incident.id), ..self.event(Some(&incident.service), by, fact) }
    }

    fn of_run(&self, run: &Run, by: Option<&Person>, fact: Fact) -> Event {
        Event { incident: Some(run.incident), run: Some(run.id), ..self.event(Some(&run.plan.service), by, fact) }
    }

    pub(super) fn mode(&self, state: &State, service: &ServiceId) -> Mode {
        let configured = self.policies.policy(service).map_or(Mode::Observe, |p| p.mode);
        state.modes.get(service).copied().unwrap_or(configured)
    }

    /// May this person, by what is known of them now?
    pub(super) fn may(&self, service: &ServiceId, by: &Person, deed: Deed<'_>) -> Result<(), decide::Missing> {
        let missing = || decide::Missing { verb: deed.verb.to_owned(), action: None };
        let policy = self.policies.policy(service).ok_or_else(missing)?;
        let ids: Vec<_> = std::iter::once(by.id.clone()).chain(self.policies.groups(&by.id)).collect();
        decide::may(&policy.approval, &ids, deed)
    }

    pub(super) fn must_be_allowed(
        &self,
        service: &ServiceId,
        by: &Person,
        verb: &str,
        actions: &[PlannedAction],
    ) -> Result<(), Refusal> {
        self.may(service, by, Deed { verb, actions }).map_err(|missing| Refusal::NotAllowed {
            who: by.name.clone(),
            id: by.id.clone(),
            service: service.clone(),
            missing: Box::new(missing),
        })
    }

    /// What an input leads to in the first place.
    fn decide(&self, state: &State, input: Input) -> Result<Vec<Event>, Refusal> {
        match input {
            Input::Tick => Ok(Vec::new()),
            Input::Observed { reading, raised, calm } => Ok(self.observed(state, &reading, raised, calm)),
            Input::ProposalsReady { incident, view, result, asked } => {
                let incident = find(state, incident)?;
                if incident.phase != Phase::Open {
                    return Ok(Vec::new());
                }
                let (proposals, trouble) = match result {
                    Ok(proposals) => (proposals, None),
                    Err(why) => (Vec::new(), Some(why)),
                };
                let mut events = vec![self.about(incident, None, Fact::Proposed { proposals, view, asked })];
                if let Some(why) = trouble {
                    events.push(self.about(
                        incident,
                        None,
                        Fact::Escalated { why: format!("no rule could answer: {why}") },
                    ));
                }
                Ok(events)
            }
            Input::PlanReady { incident, playbook, args, view, result, ran } => {
                let incident = find(state, incident)?;
                if incident.phase != Phase::Planning {
                    return Ok(Vec::new());
                }
                let policy = self.policies.policy(&incident.service);
                let checked = result.and_then(|plan| {
                    let policy =
                        policy.ok_or_else(|| format!("service `{}` is not in the config", incident.service))?;
                    decide::check_shape(&policy.guard, &plan).map(|()| (plan, policy.approval.expiry))
                });
                let fact = match checked {
                    Ok((plan, expiry)) => {
                        let digest = plan.digest();
                        Fact::Planned { plan, digest, expires_at: self.now.plus(expiry), view, ran }
                    }
                    Err(why) => {
                        let dry_run = ran.map(|ran| Box::new(DryRun { args, view, ran }));
                        Fact::PlanRefused { playbook, why, dry_run }
                    }
                };
                Ok(vec![self.about(incident, None, fact)])
            }
            Input::Approve { incident, digest, with_code, by } => {
                let (incident, question) = asking(state, incident, "approve")?;
                if digest.is_some_and(|d| d != question.digest) {
                    return Err(Refusal::StalePlan(incident.id));
                }
                self.must_be_allowed(&incident.service, &by, "approve", &question.plan.actions)?;
                if self.mode(state, &incident.service) == Mode::Observe {
                    return Err(Refusal::Observing(incident.service.clone()));
                }
                if let Some(reason) = &state.halted {
                    return Err(Refusal::Halted(reason.clone()));
                }
                if question.approvals.iter().any(|p| p.id == by.id) {
                    let quorum =
                        self.policies.policy(&incident.service).map_or(1, |p| p.approval.quorum_for(&question.plan));
                    let have = u32::try_from(question.approvals.len()).unwrap_or(u32::MAX);
                    return Err(Refusal::AlreadyApproved(by.name, quorum.saturating_sub(have)));
                }
                if self.is_own_request(incident, question, &by) {
                    return Err(Refusal::OwnRequest(by.name));
                }
                if let Some(Frozen { why, until }) = self.policies.frozen(&incident.service, self.now) {
                    return Err(Refusal::Frozen { service: incident.service.clone(), why, until });
                }
                let kinds = self.needs_code(incident, question);
                if !kinds.is_empty() && !with_code {
                    return Err(Refusal::NeedsCode { incident: incident.id, kinds });
                }
                let with_code = with_code && !kinds.is_empty();
                Ok(vec![self.about(incident, Some(&by), Fact::Approved { digest: question.digest, with_code })])
            }
            Input::Reject { incident, digest, reason, by } => {
                let (incident, question) = asking(state, incident, "reject")?;
                if digest.is_some_and(|d| d != question.digest) {
                    return Err(Refusal::StalePlan(incident.id));
                }
                self.must_be_allowed(&incident.service, &by, "reject", &[])?;
                Ok(vec![self.about(incident, Some(&by), Fact::Rejected { digest: question.digest, reason })])
            }
            Input::Rollback { run, reason, by } => self.rollback(state, run, &reason, &by),
            Input::Keep { run, by } => {
                let run = state.runs.get(&run).ok_or(Refusal::NoRun(run))?;
                self.must_be_allowed(&run.plan.service, &by, "keep", &[])?;
                let incident = find(state, run.incident)?;
                if incident.phase != Phase::AwaitingPerson(run.id) {
                    return Err(Refusal::NotUndecided(run.id));
                }
                let how = format!("kept by {}", by.name);
                Ok(vec![Event { run: Some(run.id), ..self.about(incident, Some(&by), Fact::Resolved { how }) }])
            }
            Input::AskPlan { incident, proposal, by } => self.ask_plan(state, incident, proposal, &by, "plan"),
            Input::Ask { service, proposal, by } => self.ask(state, service, proposal, &by),
            Input::Mute { service, until, by } => {
                if self.policies.policy(&service).is_none() {
                    return Err(Refusal::NoService(service));
                }
                self.must_be_allowed(&service, &by, if until.is_some() { "mute" } else { "unmute" }, &[])?;
                let is_muted = state.mutes.get(&service).is_some_and(|until| *until > self.now);
                let fact = match until {
                    None if !is_muted => return Err(Refusal::NoChange(format!("{service} is not muted"))),
                    None => Fact::Unmuted,
                    Some(until) => Fact::Muted { until },
                };
                Ok(vec![self.event(Some(&service), Some(&by), fact)])
            }
            Input::Close { incident, reason, by } => {
                let incident = find(state, incident)?;
                self.must_be_allowed(&incident.service, &by, "close", &[])?;
                match incident.phase {
                    Phase::Resolved => Err(Refusal::Over(incident.id)),
                    Phase::Acting(run) | Phase::RollingBack(run) => {
                        Err(Refusal::Busy { target: incident.service.to_string(), run })
                    }
                    _ => {
                        let how = if reason.is_empty() {
                            format!("closed by {}", by.name)
                        } else {
                            format!("closed by {}: {reason}", by.name)
                        };
                        Ok(vec![self.about(incident, Some(&by), Fact::Resolved { how })])
                    }
                }
            }
            Input::FalseAlarm { incident, score, reason, by } => self.false_alarm(state, incident, score, reason, &by),
            Input::Deployed { service, settle, note, by } => {
                if self.policies.policy(&service).is_none() {
                    return Err(Refusal::NoService(service));
                }
                self.must_be_allowed(&service, &by, "deployed", &[])?;
                let until = self.now.plus(settle.min(LONGEST_SETTLE));
                Ok(vec![self.event(Some(&service), Some(&by), Fact::Deployed { until, note })])
            }
            Input::SetMode { service, mode, by } => {
                if self.policies.policy(&service).is_none() {
                    return Err(Refusal::NoService(service));
                }
                self.must_be_allowed(&service, &by, "mode", &[])?;
                if self.mode(state, &service) == mode {
                    return Err(Refusal::NoChange(format!("{service} is in mode {mode} already")));
                }
                Ok(vec![self.event(Some(&service), Some(&by), Fact::ModeChanged { mode })])
            }
            // Anybody who can speak to Suture may stop it; starting again takes an approver of some service.
            Input::Halt { reason, by } => match &state.halted {
                Some(reason) => Err(Refusal::NoChange(format!("everything is stopped already ({reason})"))),
                None => Ok(vec![self.event(None, Some(&by), Fact::Halted { reason })]),
            },
            Input::Resume { by } => match &state.halted {
                None => Err(Refusal::NoChange("nothing is stopped".to_owned())),
                Some(_) if !self.policies.may_approve_anything(&by) => {
                    Err(Refusal::NoChange(format!("{by} may not resume: only an approver of a service can")))
                }
                Some(_) => Ok(vec![self.event(None, Some(&by), Fact::Resumed)]),
            },
            Input::Intend { run, index, step, calls } => {
                let run = state.runs.get(&run).ok_or(Refusal::NoRun(run))?;
                self.may_intend(state, run, index)?;
                if run.planned(index) != Some(&step) {
                    return Err(Refusal::OutOfTurn(format!(
                        "{}: {} is not step {index} of the approved plan",
                        run.id, step.action
                    )));
                }
                if run.step(index) == Some(&Step::Intended) {
                    return Ok(Vec::new());
                }
                let called = (!calls.is_empty()).then(|| self.of_run(run, None, Fact::HostCalled { calls }));
                let intended = self.of_run(run, None, Fact::ActionIntended { index, step });
                Ok(called.into_iter().chain([intended]).collect())
            }
            Input::Experiment(input) => self.on_experiment(state, input),
            Input::Gone { service } => {
                let open = state.open_incident(&service);
                // What is under way is brought to its end: the target answers, or is found to be gone.
                let over =
                    open.filter(|i| !matches!(i.phase, Phase::Acting(_) | Phase::RollingBack(_))).map(|incident| {
                        let how = "the service is not there any more".to_owned();
                        self.about(incident, None, Fact::Resolved { how })
                    });
                Ok(over.into_iter().chain([self.event(Some(&service), None, Fact::ServiceGone)]).collect())
            }
            Input::Acted { run, index, outcome } => {
                let run = state.runs.get(&run).ok_or(Refusal::NoRun(run))?;
                self.acted(run, index, outcome)
            }
            Input::RunEnded { run, result, ran } => {
                let run = state.runs.get(&run).ok_or(Refusal::NoRun(run))?;
                if run.done || run.failure.is_some() {
                    // Somebody stopped it meanwhile. What its playbook did until then belongs into the record all the same.
                    let ended = ran.map(|ran| self.of_run(run, None, Fact::PlaybookEnded { ran }));
                    return Ok(ended.into_iter().collect());
                }
                let left = run.steps.iter().filter(|s| !matches!(s, Step::Done { .. })).count();
                let result = match result {
                    Ok(()) if left > 0 => Err(RunFailure {
                        error: format!(
                            "the playbook ended with {left} of {} steps of its plan not done",
                            run.steps.len()
                        ),
                        moved: false,
                    }),
                    other => other,
                };
                let fact = match result {
                    Ok(()) => Fact::RunDone,
                    Err(RunFailure { error, moved }) => {
                        let moves = state
                            .runs
                            .values()
                            .filter(|r| r.incident == run.incident && r.failure.as_ref().is_some_and(|f| f.1))
                            .count();
                        Fact::RunFailed { error, moved: moved && moves < MOVES_TOLERATED }
                    }
                };
                let ended = ran.map(|ran| self.of_run(run, None, Fact::PlaybookEnded { ran }));
                Ok(ended.into_iter().chain([self.of_run(run, None, fact)]).collect())
            }
            Input::Judged { run, verdict, evidence, check } => {
                let run = state.runs.get(&run).ok_or(Refusal::NoRun(run))?;
                let verifying = find(state, run.incident).is_ok_and(|i| i.phase == Phase::Verifying(run.id));
                if !verifying || run.verdict.is_some() {
                    return Ok(Vec::new());
                }
                let checked = check.map(|(view, ran)| self.of_run(run, None, Fact::PlaybookChecked { view, ran }));
                Ok(checked.into_iter().chain([self.of_run(run, None, Fact::Judged { verdict, evidence })]).collect())
            }
            Input::IntendUndo { run, index } => {
                let run = state.runs.get(&run).ok_or(Refusal::NoRun(run))?;
                if let Some(reason) = &state.halted {
                    return Err(Refusal::Halted(reason.clone()));
                }
                if run.undo.is_none() || run.undo_done {
                    return Err(Refusal::OutOfTurn(format!("{} is not being taken back", run.id)));
                }
                match run.step(index) {
                    Some(Step::UndoIntended) => Ok(Vec::new()),
                    Some(Step::Done { .. } | Step::Intended) => {
                        Ok(vec![self.of_run(run, None, Fact::UndoIntended { index })])
                    }
                    _ => Err(Refusal::OutOfTurn(format!("step {index} of {} has nothing to take back", run.id))),
                }
            }
            Input::UndoEnded { run, impossible } => {
                let run = state.runs.get(&run).ok_or(Refusal::NoRun(run))?;
                if run.undo.is_none() || run.undo_done {
                    return Ok(Vec::new());
                }
                let unfinished = run.steps.iter().enumerate().find(|(index, step)| {
                    let has_effect = matches!(step, Step::Done { .. } | Step::Intended | Step::UndoIntended);
                    has_effect && !impossible.iter().any(|i| *i as usize == *index)
                });
                if let Some((index, _)) = unfinished {
                    return Err(Refusal::OutOfTurn(format!("step {index} of {} is not taken back yet", run.id)));
                }
                Ok(vec![self.of_run(run, None, Fact::UndoDone { impossible })])
            }
        }
    }

    fn ask_plan(
        &self,
        state: &State,
        incident: IncidentId,
        proposal: Option<Proposal>,
        by: &Person,
        verb: &str,
    ) -> Result<Vec<Event>, Refusal> {
        let incident = find(state, incident)?;
        self.must_be_allowed(&incident.service, by, verb, &[])?;
        if !matches!(incident.phase, Phase::AwaitingApproval | Phase::Escalated) {
            return Err(Refusal::NotAsking {
                incident: incident.id,
                phase: incident.phase.words().to_owned(),
                decided: String::new(),
            });
        }
        let last = incident.proposals.get(incident.next_proposal.saturating_sub(1));
        let proposal = proposal.or_else(|| last.or(incident.proposals.last()).cloned()).ok_or_else(|| {
            Refusal::OutOfTurn(format!(
                "nothing was proposed for {}: name a playbook, for example `plan {} restart-service`",
                incident.id, incident.id
            ))
        })?;
        let mut events = Vec::new();
        if let Some(question) = &incident.question {
            let why = format!("{} asked for another plan", by.name);
            events.push(self.about(incident, Some(by), Fact::Withdrawn { digest: question.digest, why }));
        }
        events.push(self.about(incident, Some(by), Fact::PlanAsked { proposal }));
        Ok(events)
    }

    /// Within the open incident where there is one; else it gets a number of its own, so that it is planned, approved,
    /// verified and undone like everything else.
    fn ask(&self, state: &State, service: ServiceId, proposal: Proposal, by: &Person) -> Result<Vec<Event>, Refusal> {
        if self.policies.policy(&service).is_none() {
            return Err(Refusal::NoService(service));
        }
        if let Some(open) = state.open_incident(&service) {
            // It takes the place of what is asked now: that needs the right to.
            return self.ask_plan(state, open.id, Some(proposal), by, "plan");
        }
        self.must_be_allowed(&service, by, "run", &[])?;
        let opened = Fact::IncidentOpened {
            since: self.now,
            risk: 0.0,
            severity: Severity::Low,
            drivers: Vec::new(),
            judge: Judge::Person,
            score: None,
        };
        let id = state.next_incident();
        let event = |fact| Event { incident: Some(id), ..self.event(Some(&service), Some(by), fact) };
        Ok(vec![event(opened), event(Fact::PlanAsked { proposal })])
    }

    /// Is this their own request, which somebody else has to approve?
    fn is_own_request(&self, incident: &Incident, question: &Question, by: &Person) -> bool {
        let may = self.policies.policy(&incident.service).is_some_and(|p| p.approval.requester_may_approve);
        !may && question.requested_by.iter().any(|asked| asked.id == by.id)
    }

    /// The kinds of action in the plan that take a one-time code, in words; empty when none does.
    fn needs_code(&self, incident: &Incident, question: &Question) -> String {
        let Some(policy) = self.policies.policy(&incident.service) else { return String::new() };
        policy.approval.codes_for(&question.plan).iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
    }

    fn observed(
        &self,
        state: &State,
        reading: &crate::model::Reading,
        raised: Option<Timestamp>,
        calm: bool,
    ) -> Vec<Event> {
        let Some(incident) = state.open_incident(&reading.service) else {
            let Some(since) = raised else { return Vec::new() };
            return vec![self.opened(state, reading, since)];
        };
        let may_recover = match incident.phase {
            Phase::Acting(_) | Phase::Verifying(_) | Phase::RollingBack(_) | Phase::Resolved => false,
            // The detector saw a cure, and the playbook's own check does not believe it: that is for a person.
            Phase::AwaitingPerson(run) => !state.runs.get(&run).is_some_and(Run::is_doubted),
            // What a person asked for is not withdrawn because nothing is wrong; but it ends when nothing is left to decide.
            Phase::Escalated => true,
            _ => incident.judge != Judge::Person,
        };
        if let Some(since) = raised
            && incident.judge == Judge::Person
            && matches!(incident.phase, Phase::AwaitingApproval | Phase::Escalated)
        {
            return self.give_way(state, incident, reading, since);
        }
        if calm && may_recover {
            let mut events = Vec::new();
            if let Some(question) = &incident.question {
                let why = "the service recovered before anything was done".to_owned();
                events.push(self.about(incident, None, Fact::Withdrawn { digest: question.digest, why }));
            }
            let how = if incident.runs.is_empty() { "recovered alone" } else { "recovered" };
            events.push(self.about(incident, None, Fact::Resolved { how: how.to_owned() }));
            return events;
        }
        // Cards follow a growing trouble; while a run works, the picture of before is what it will be judged against.
        let settled = matches!(incident.phase, Phase::AwaitingApproval | Phase::Escalated);
        if settled && reading.severity > incident.severity {
            let fact = Fact::IncidentWorsened {
                risk: reading.risk,
                severity: reading.severity,
                drivers: reading.drivers.clone(),
            };
            return vec![self.about(incident, None, fact)];
        }
        Vec::new()
    }

    fn opened(&self, state: &State, reading: &crate::model::Reading, since: Timestamp) -> Event {
        let fact = Fact::IncidentOpened {
            since,
            risk: reading.risk,
            severity: reading.severity,
            drivers: reading.drivers.clone(),
            judge: reading.judge.clone(),
            score: reading.model_score(),
        };
        Event { incident: Some(state.next_incident()), ..self.event(Some(&reading.service), None, fact) }
    }

    /// Something is really wrong: what a person had asked for makes room, so that the rules are asked.
    fn give_way(
        &self,
        state: &State,
        request: &Incident,
        reading: &crate::model::Reading,
        since: Timestamp,
    ) -> Vec<Event> {
        let opened = self.opened(state, reading, since);
        let why = "the service became unwell before anything was done".to_owned();
        let withdrawn = request
            .question
            .as_ref()
            .map(|q| self.about(request, None, Fact::Withdrawn { digest: q.digest, why: why.clone() }));
        let over = self.about(request, None, Fact::Resolved { how: format!("not carried out: {why}") });
        withdrawn.into_iter().chain([over, opened]).collect()
    }

    /// Like `Close` while the incident is open; said of one that is over, it only is remembered.
    fn false_alarm(
        &self,
        state: &State,
        incident: IncidentId,
        score: Option<f64>,
        reason: String,
        by: &Person,
    ) -> Result<Vec<Event>, Refusal> {
        let incident = find(state, incident)?;
        self.must_be_allowed(&incident.service, by, "false-alarm", &[])?;
        if let Some(marked) = &incident.false_alarm {
            return Err(Refusal::Marked { incident: incident.id, who: marked.by.clone(), at: marked.at });
        }
        if let Phase::Acting(run) | Phase::RollingBack(run) = incident.phase {
            return Err(Refusal::Busy { target: incident.service.to_string(), run });
        }
        // What the model had no part in says nothing about the model, whatever the caller believes.
        let score = score.filter(|score| score.is_finite() && matches!(incident.judge, Judge::Model { .. }));
        let metrics = incident.drivers.iter().map(|driver| driver.metric.clone()).collect();
        let mut events = vec![self.about(incident, Some(by), Fact::FalseAlarm { reason, score, metrics })];
        if incident.is_open() {
            events.push(self.about(incident, Some(by), Fact::Resolved { how: "false alarm".to_owned() }));
        }
        Ok(events)
    }

    fn rollback(&self, state: &State, run: RunId, reason: &str, by: &Person) -> Result<Vec<Event>, Refusal> {
        let run = state.runs.get(&run).ok_or(Refusal::NoRun(run))?;
        self.must_be_allowed(&run.plan.service, by, "rollback", &run.plan.actions)?;
        let nothing = |why: &str| Err(Refusal::NothingToUndo { run: run.id, why: why.to_owned() });
        if run.undo.is_some() {
            return nothing(if run.undo_done {
                "it has been taken back already"
            } else {
                "it is being taken back already"
            });
        }
        let mut why = format!("rolled back by {}", by.name);
        if !reason.is_empty() {
            why = format!("{why}: {reason}");
        }
        if !run.done && run.failure.is_none() {
            let error = format!("stopped: {why}");
            let mut events = vec![self.of_run(run, Some(by), Fact::RunFailed { error, moved: false })];
            if run.has_effects() {
                events.push(self.of_run(run, Some(by), Fact::UndoStarted { reason: why }));
            }
            return Ok(events);
        }
        if !run.has_effects() {
            return nothing("none of its actions was done");
        }
        for target in run.targets() {
            if let Some(other) = state.busy(target).filter(|other| other.id != run.id) {
                return Err(Refusal::Busy { target: target.to_string(), run: other.id });
            }
        }
        Ok(vec![self.of_run(run, Some(by), Fact::UndoStarted { reason: why })])
    }

    fn may_intend(&self, state: &State, run: &Run, index: u32) -> Result<(), Refusal> {
        if let Some(reason) = &state.halted {
            return Err(Refusal::Halted(reason.clone()));
        }
        if self.mode(state, &run.plan.service) == Mode::Observe {
            return Err(Refusal::Observing(run.plan.service.clone()));
        }
        if run.done || run.failure.is_some() || run.undo.is_some() {
            return Err(Refusal::OutOfTurn(format!("{} has ended", run.id)));
        }
        let before_are_done = run.steps.iter().take(index as usize).all(|s| matches!(s, Step::Done { .. }));
        let is_next = before_are_done && matches!(run.step(index), Some(Step::Waiting | Step::Intended));
        if is_next {
            Ok(())
        } else {
            Err(Refusal::OutOfTurn(format!("step {index} of {} is not the next one", run.id)))
        }
    }

    fn acted(&self, run: &Run, index: u32, outcome: Outcome) -> Result<Vec<Event>, Refusal> {
        let wrong = || Refusal::OutOfTurn(format!("step {index} of {} was not intended", run.id));
        let step = run.step(index).ok_or_else(wrong)?;
        // What happened is recorded even when the run was stopped meanwhile: it is a fact.
        let fact = match (outcome, step) {
            (Outcome::Done(receipt), Step::Intended) => Fact::ActionDone { index, receipt },
            (Outcome::Failed(error), Step::Intended) => Fact::ActionFailed { index, error },
            (Outcome::Undone(receipt), Step::UndoIntended) => Fact::UndoneAction { index, receipt },
            (Outcome::UndoFailed(error), Step::UndoIntended) => Fact::UndoFailed { index, error },
            (Outcome::Progress(line), Step::Intended | Step::UndoIntended) => Fact::ActionProgress { index, line },
            _ => return Err(wrong()),
        };
        Ok(vec![self.of_run(run, None, fact)])
    }
}

fn find(state: &State, id: IncidentId) -> Result<&Incident, Refusal> {
    state.incidents.get(&id).ok_or(Refusal::NoIncident(id))
}

/// The incident whose plan is meant, with the question that stands.
fn asking<'s>(
    state: &'s State,
    id: Option<IncidentId>,
    verb: &'static str,
) -> Result<(&'s Incident, &'s Question), Refusal> {
    if let Some(id) = id {
        let incident = find(state, id)?;
        return incident.question.as_ref().map(|q| (incident, q)).ok_or_else(|| Refusal::NotAsking {
            incident: id,
            phase: incident.phase.words().to_owned(),
            decided: incident.decided.as_ref().map(|d| format!(" ({d})")).unwrap_or_default(),
        });
    }
    let pending: Vec<_> =
        state.incidents.values().filter_map(|i| i.question.as_ref().map(|question| (i, question))).collect();
    match pending.as_slice() {
        [] => Err(Refusal::NothingPending),
        [one] => Ok(*one),
        [first, ..] => Err(Refusal::Ambiguous {
            verb,
            example: first.0.id,
            all: pending.iter().map(|(i, _)| i.id.to_string()).collect::<Vec<_>>().join(", "),
        }),
    }
}

//! From the records of a ledger to a report.

use std::collections::BTreeMap;

use super::{Availability, FaultTold, IncidentTold, MarkSort, MarkTold, Report, RunTold, SteadyTold, Times, points};
use crate::model::{
    AimedFault, Digest, Event, Expectation, ExperimentId, Fact, FaultKind, IncidentId, Judge, RunId, Timestamp, Verdict,
};

/// Metrics of an incident that are kept: those that may be drawn.
const MOST_METRICS: usize = 5;

impl Report {
    /// Puts an experiment together from the events of a ledger, in their order; `None` when there is nothing of it.
    #[must_use]
    pub fn of<'a>(experiment: ExperimentId, events: impl IntoIterator<Item = &'a Event>) -> Option<Self> {
        let mut gathering = Gathering::new(experiment);
        events.into_iter().for_each(|event| gathering.take(event));
        gathering.found.then(|| gathering.finish())
    }

    /// All experiments of a ledger, in the order of their numbers.
    #[must_use]
    pub fn all<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<Self> {
        let mut all: BTreeMap<ExperimentId, Gathering> = BTreeMap::new();
        for event in events {
            if let Some(id) = experiment_of(&event.fact) {
                all.entry(id).or_insert_with(|| Gathering::new(id));
            }
            all.values_mut().for_each(|gathering| gathering.take(event));
        }
        all.into_values().map(Gathering::finish).collect()
    }
}

/// The experiment that a fact is about.
fn experiment_of(fact: &Fact) -> Option<ExperimentId> {
    match fact {
        Fact::ExperimentAsked { experiment, .. }
        | Fact::ExperimentApproved { experiment, .. }
        | Fact::ExperimentDeclined { experiment, .. }
        | Fact::ExperimentStarted { experiment, .. }
        | Fact::SteadyStateSeen { experiment, .. }
        | Fact::FaultIntended { experiment, .. }
        | Fact::FaultStuck { experiment, .. }
        | Fact::ExperimentAborted { experiment, .. }
        | Fact::ExperimentEnded { experiment, .. } => Some(*experiment),
        Fact::FaultInjected { experiment, .. } | Fact::FaultLifted { experiment, .. } => *experiment,
        _ => None,
    }
}

/// A report that is being put together.
struct Gathering {
    report: Report,
    /// The faults by their place in the method.
    faults: BTreeMap<u32, FaultTold>,
    /// Playbooks by the digests of the plans that were made of them.
    plans: BTreeMap<Digest, String>,
    asked_at: Option<Timestamp>,
    approved_at: Option<Timestamp>,
    found: bool,
}

impl Gathering {
    fn new(experiment: ExperimentId) -> Self {
        let report = Report {
            experiment,
            name: String::new(),
            title: String::new(),
            service: "".into(),
            digest: None,
            scheduled: false,
            asked_by: None,
            approved_by: Vec::new(),
            asked_at: None,
            started_at: None,
            ended_at: None,
            declined: None,
            aborted: None,
            outcome: None,
            why: String::new(),
            expect: Expectation::default(),
            steady: Vec::new(),
            faults: Vec::new(),
            incidents: Vec::new(),
            runs: Vec::new(),
            times: Times::default(),
            availability: None,
            marks: Vec::new(),
            score: None,
        };
        let (faults, plans) = (BTreeMap::new(), BTreeMap::new());
        Self { report, faults, plans, asked_at: None, approved_at: None, found: false }
    }

    fn take(&mut self, event: &Event) {
        match experiment_of(&event.fact) {
            Some(id) if id == self.report.experiment => {
                self.found = true;
                if let Some(service) = &event.service {
                    self.report.service = service.clone();
                }
                self.of_experiment(event);
            }
            Some(_) => {}
            None if self.found => self.of_incidents(event),
            None => {}
        }
    }

    /// What the experiment itself recorded.
    fn of_experiment(&mut self, event: &Event) {
        let (report, at) = (&mut self.report, event.at);
        let who = || event.by.as_ref().map(|person| person.name.clone());
        match &event.fact {
            Fact::ExperimentAsked { plan, digest, scheduled, .. } => {
                report.name = plan.experiment.name.clone();
                report.title = plan.experiment.title.clone();
                report.service = plan.service.clone();
                report.expect = plan.experiment.expect.clone();
                (report.digest, report.scheduled) = (Some(*digest), *scheduled);
                (report.asked_at, report.asked_by) = (Some(at), who());
                for (index, fault) in (0..).zip(&plan.faults) {
                    self.fault(index).aim(fault);
                }
            }
            Fact::ExperimentApproved { .. } => report.approved_by.extend(who()),
            Fact::ExperimentDeclined { why, .. } => report.declined = Some(why.clone()),
            Fact::ExperimentStarted { digest, .. } => {
                (report.started_at, report.digest) = (Some(at), Some(*digest));
            }
            Fact::SteadyStateSeen { stage, steady, why, seen, .. } => report.steady.push(SteadyTold {
                stage: *stage,
                at,
                steady: *steady,
                why: why.clone(),
                seen: seen.clone(),
            }),
            Fact::FaultIntended { index, fault, .. } => {
                let told = self.fault(*index);
                told.aim(fault);
                told.intended_at = told.intended_at.or(Some(at));
            }
            Fact::FaultInjected { fault, index, .. } => {
                let told = self.fault(index.unwrap_or(0));
                if told.kind.is_empty() {
                    told.kind = fault.clone();
                }
                told.in_at = told.in_at.or(Some(at));
            }
            Fact::FaultLifted { index, how, .. } => {
                let told = self.fault(index.unwrap_or(0));
                if told.out_at.is_none() {
                    (told.out_at, told.out_how) = (Some(at), how.clone());
                }
            }
            Fact::FaultStuck { index, why, .. } => self.fault(*index).stuck = Some(why.clone()),
            Fact::ExperimentAborted { why, .. } => report.aborted = report.aborted.take().or_else(|| Some(why.clone())),
            Fact::ExperimentEnded { outcome, why, .. } => {
                (report.outcome, report.ended_at) = (Some(*outcome), Some(at));
                report.why = why.clone();
            }
            _ => {}
        }
    }

    fn fault(&mut self, index: u32) -> &mut FaultTold {
        let experiment = self.report.experiment;
        self.faults.entry(index).or_insert_with(|| FaultTold {
            id: format!("{experiment}.{}", u64::from(index) + 1),
            kind: String::new(),
            does: String::new(),
            target: String::new(),
            instances: Vec::new(),
            blow: false,
            in_at: None,
            out_at: None,
            out_how: String::new(),
            stuck: None,
            intended_at: None,
        })
    }

    /// What was recorded of incidents meanwhile.
    fn of_incidents(&mut self, event: &Event) {
        let Some(id) = event.incident else { return };
        if let Fact::IncidentOpened { since, severity, drivers, judge, .. } = &event.fact {
            let metrics = drivers.iter().take(MOST_METRICS).map(|driver| driver.metric.clone()).collect();
            if self.is_ours(event, *since, judge) {
                self.report.incidents.push(IncidentTold {
                    incident: id,
                    opened_at: event.at,
                    severity: *severity,
                    metrics,
                    closed_at: None,
                    how: None,
                    escalated: None,
                    false_alarm: false,
                });
            }
            return;
        }
        let at = event.at;
        let Some(incident) = self.report.incidents.iter_mut().find(|incident| incident.incident == id) else { return };
        match &event.fact {
            Fact::Resolved { how } => {
                (incident.closed_at, incident.how) = (Some(at), Some(how.clone()));
            }
            Fact::FalseAlarm { .. } => incident.false_alarm = true,
            Fact::Escalated { why } => incident.escalated = Some(why.clone()),
            Fact::Planned { plan, digest, .. } => {
                self.plans.insert(*digest, plan.playbook.clone());
                self.asked_at = self.asked_at.or(Some(at));
            }
            Fact::Approved { .. } => self.approved_at = self.approved_at.or(Some(at)),
            _ => self.of_runs(event, id),
        }
    }

    /// Began it while a fault was in, and after the first one, on this service, and by itself?
    fn is_ours(&self, event: &Event, since: Timestamp, judge: &Judge) -> bool {
        let first = self.faults.values().filter_map(|fault| fault.intended_at.or(fault.in_at)).min();
        event.service.as_ref() == Some(&self.report.service)
            && self.report.ended_at.is_none()
            // What was unusual before the first fault did not come of it.
            && first.is_some_and(|first| since >= first)
            && *judge != Judge::Person
    }

    /// What was recorded of the runs for such an incident.
    fn of_runs(&mut self, event: &Event, incident: IncidentId) {
        let Some(id) = event.run else { return };
        if let Fact::RunStarted { digest } = &event.fact {
            let playbook = self.plans.get(digest).cloned().unwrap_or_default();
            self.report.runs.push(begun(id, incident, playbook, event.at));
            return;
        }
        let Some(run) = self.report.runs.iter_mut().find(|run| run.run == id) else { return };
        match &event.fact {
            Fact::ActionIntended { step, .. } => run.actions.push(step.diff_line()),
            Fact::RunDone => run.ended_at = Some(event.at),
            Fact::RunFailed { error, .. } => {
                (run.ended_at, run.failed) = (Some(event.at), Some(error.clone()));
            }
            Fact::Judged { verdict, .. } => run.verdict = Some(*verdict),
            Fact::UndoStarted { reason } => run.undone = Some((event.at, reason.clone())),
            _ => {}
        }
    }

    fn finish(self) -> Report {
        let Self { mut report, faults, asked_at, approved_at, .. } = self;
        report.faults = faults.into_values().collect();
        let expected = &report.expect.playbooks;
        report.runs.iter_mut().for_each(|run| run.wrong = wrong(run, expected));
        report.times = times(&report, asked_at, approved_at);
        report.availability = availability(&report);
        report.marks = marks(&report);
        report.score = points::score(&report);
        report
    }
}

impl FaultTold {
    fn aim(&mut self, fault: &AimedFault) {
        let kind: FaultKind = fault.fault.kind();
        self.kind = kind.name().to_owned();
        self.does = fault.fault.to_string();
        self.target = fault.target.to_string();
        self.instances = fault.instances.clone();
        self.blow = kind.is_a_blow();
    }
}

fn begun(run: RunId, incident: IncidentId, playbook: String, at: Timestamp) -> RunTold {
    RunTold {
        run,
        incident,
        playbook,
        started_at: at,
        ended_at: None,
        actions: Vec::new(),
        failed: None,
        verdict: None,
        undone: None,
        wrong: None,
    }
}

/// Why a run was the wrong thing to do.
fn wrong(run: &RunTold, expected: &[String]) -> Option<String> {
    if !expected.is_empty() && !expected.contains(&run.playbook) {
        return Some(format!("{} is none of those that were expected", run.playbook));
    }
    match run.verdict {
        Some(verdict @ (Verdict::Worse | Verdict::Inconclusive)) => Some(format!("it was judged {verdict}")),
        _ => None,
    }
}

fn times(report: &Report, asked_at: Option<Timestamp>, approved_at: Option<Timestamp>) -> Times {
    let ms = |from: Option<Timestamp>, to: Option<Timestamp>| {
        let span = to?.since(from?);
        Some(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    };
    let began = report.began();
    let opened = report.found().map(|incident| incident.opened_at).min();
    let well: Option<Vec<_>> = report.found().map(IncidentTold::recovered_at).collect();
    let first = report.runs.first();
    Times {
        to_detect_ms: ms(began, opened),
        to_approve_ms: ms(asked_at, approved_at),
        to_act_ms: ms(first.map(|run| run.started_at), first.and_then(|run| run.ended_at)),
        to_recover_ms: ms(began, well.and_then(|well| well.into_iter().max())),
    }
}

/// What was seen last holds until the next look.
fn availability(report: &Report) -> Option<Availability> {
    let (began, ended) = (report.began()?, report.ended_at?);
    let looks: Vec<_> = report.steady.iter().filter(|look| !look.seen.is_empty()).collect();
    let (mut kept, mut of) = (0_u64, 0_u64);
    for (i, look) in looks.iter().enumerate() {
        let from = look.at.max(began);
        let to = looks.get(i + 1).map_or(ended, |next| next.at).min(ended);
        let ms = u64::try_from(to.since(from).as_millis()).unwrap_or(0);
        of = of.saturating_add(ms);
        if look.seen.iter().all(|seen| seen.holds) {
            kept = kept.saturating_add(ms);
        }
    }
    (of > 0).then_some(Availability { kept_ms: kept, of_ms: of })
}

fn marks(report: &Report) -> Vec<MarkTold> {
    let mut marks = Vec::new();
    let mut mark = |at: Option<Timestamp>, kind: MarkSort, words: String| {
        marks.extend(at.map(|at| MarkTold { at, kind, words }));
    };
    for fault in &report.faults {
        mark(fault.in_at, MarkSort::Fault, format!("{}: {} goes in", fault.id, fault.kind));
        mark(fault.out_at, MarkSort::Fault, format!("{}: {} is out", fault.id, fault.kind));
    }
    for incident in &report.incidents {
        let words = format!("{} opened, {}", incident.incident, incident.severity);
        mark(Some(incident.opened_at), MarkSort::Detection, words);
        let how = incident.how.clone().unwrap_or_default();
        mark(incident.closed_at, MarkSort::Recovery, format!("{} over: {how}", incident.incident));
    }
    for run in &report.runs {
        mark(Some(run.started_at), MarkSort::Action, format!("{}: {}", run.run, run.playbook));
        if let Some((at, why)) = &run.undone {
            mark(Some(*at), MarkSort::Undo, format!("{} taken back: {why}", run.run));
        }
    }
    marks.sort_by_key(|mark| mark.at);
    marks
}

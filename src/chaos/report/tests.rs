//! Reports of made-up ledgers.

use proptest::prelude::*;

use super::*;
use crate::chaos::Library;
use crate::chat::render::{Look, render};
use crate::model::{
    AimedFault, Args, Driver, Event, ExperimentPlan, Fact, Judge, Person, Plan, Record, VerdictEvidence,
};

const START: i64 = 1_793_620_800_000;
const ID: ExperimentId = ExperimentId(3);

/// A course of things, a second a step, to be changed in one respect.
#[derive(Clone, Copy)]
pub(in crate::chaos) struct Told {
    /// Which stock experiment.
    pub name: &'static str,
    /// Was there an incident?
    pub found: bool,
    /// Was the cure judged a cure?
    pub healed: bool,
    /// Was it broken off?
    pub aborted: bool,
    /// Is it not over?
    pub under_way: bool,
    /// Did a person say that nothing was wrong?
    pub false_alarm: bool,
    /// Did the first fault not come out?
    pub stuck: bool,
    /// Which playbook answers.
    pub playbook: &'static str,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            name: "latency",
            found: true,
            healed: true,
            aborted: false,
            under_way: false,
            false_alarm: false,
            stuck: false,
            playbook: "shed-load",
        }
    }
}

pub(in crate::chaos) fn report(told: Told) -> Report {
    Report::of(ID, &events(told)).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp(START + seconds * 1000)
}

fn event(seconds: i64, fact: Fact) -> Event {
    Event { at: at(seconds), service: Some("shop".into()), incident: None, run: None, by: None, fact }
}

fn of_incident(seconds: i64, run: Option<u64>, fact: Fact) -> Event {
    Event { incident: Some(IncidentId(7)), run: run.map(RunId), ..event(seconds, fact) }
}

fn by_anna(event: Event) -> Event {
    Event { by: Some(Person::new("console:anna", "anna")), ..event }
}

fn looked(seconds: i64, stage: Stage, value: f64) -> Event {
    let holds = value <= 0.05;
    let why = if holds { "the detector calls it normal" } else { "errors_ratio is 0.4" };
    let bound = "errors_ratio at most 0.05".to_owned();
    let seen = vec![MetricSeen { metric: "errors_ratio".to_owned(), value: Some(value), bound, holds }];
    event(seconds, Fact::SteadyStateSeen { experiment: ID, stage, steady: holds, why: why.to_owned(), seen })
}

fn aimed(plan: &Experiment) -> Vec<AimedFault> {
    let one = |(step, (from, until)): (&MethodStep, (Duration, Duration))| AimedFault {
        fault: step.fault.clone(),
        target: "local:shop".parse().unwrap(),
        instances: vec!["shop-2".to_owned()],
        from,
        until,
        how: "by the balancer".to_owned(),
        undo: "the balancer lets everything through".to_owned(),
        held: serde_json::Value::Null,
    };
    plan.method.iter().zip(plan.timetable()).map(one).collect()
}

use crate::model::{Experiment, MethodStep};

fn events(told: Told) -> Vec<Event> {
    let experiment = Library::stock().find(told.name).unwrap().experiment.clone();
    let faults = aimed(&experiment);
    let plan = ExperimentPlan { service: "shop".into(), faults: faults.clone(), experiment };
    let digest = plan.digest();
    let expires_at = at(600);
    let mut all = vec![
        by_anna(event(
            0,
            Fact::ExperimentAsked { experiment: ID, plan: Box::new(plan), digest, expires_at, scheduled: false },
        )),
        by_anna(event(4, Fact::ExperimentApproved { experiment: ID, digest, with_code: false })),
        event(5, Fact::ExperimentStarted { experiment: ID, digest }),
        looked(9, Stage::Before, 0.001),
    ];
    for (index, fault) in (0..).zip(faults) {
        let kind = fault.fault.kind();
        let (name, detail) = (kind.name().to_owned(), fault.fault.to_string());
        let i = i64::from(index);
        all.push(event(10 + i, Fact::FaultIntended { experiment: ID, index, fault }));
        let (experiment, index_of) = (Some(ID), Some(index));
        all.push(event(10 + i, Fact::FaultInjected { fault: name.clone(), detail, experiment, index: index_of }));
        if told.under_way || kind.is_a_blow() {
            continue;
        }
        all.push(if told.stuck && index == 0 {
            event(56, Fact::FaultStuck { experiment: ID, index, why: "the socket is gone".to_owned() })
        } else {
            let how = "the balancer lets everything through".to_owned();
            event(55, Fact::FaultLifted { fault: name, experiment, index: index_of, how })
        });
    }
    all.push(looked(16, Stage::During, if told.found { 0.4 } else { 0.01 }));
    if told.found {
        all.extend(incident(told));
        all.push(looked(38, Stage::During, 0.01));
    }
    if told.aborted {
        all.push(event(57, Fact::ExperimentAborted { experiment: ID, why: "anna said stop".to_owned() }));
    } else if !told.under_way {
        all.push(looked(60, Stage::After, 0.002));
    }
    if !told.under_way {
        let outcome = match told {
            Told { aborted: true, .. } => ExperimentOutcome::Aborted,
            Told { healed: false, .. } | Told { stuck: true, .. } => ExperimentOutcome::Failed,
            _ => ExperimentOutcome::Passed,
        };
        all.push(event(60, Fact::ExperimentEnded { experiment: ID, outcome, why: "as expected".to_owned() }));
    }
    all.sort_by_key(|event| event.at);
    all
}

fn incident(told: Told) -> Vec<Event> {
    let driver = Driver {
        metric: "front_latency_p95".to_owned(),
        share: 0.9,
        value: 0.6,
        normal: 0.1,
        low: 0.05,
        high: 0.2,
        unit: "s".to_owned(),
        trend: crate::model::Trend::Step,
        instance: Some("shop-2".to_owned()),
        recent: Vec::new(),
    };
    let plan = Plan {
        incident: IncidentId(7),
        number: 1,
        service: "shop".into(),
        playbook: told.playbook.to_owned(),
        component: Digest([0; 32]),
        args: Args::new(),
        actions: Vec::new(),
        may: Vec::new(),
        notes: Vec::new(),
    };
    let digest = plan.digest();
    let opened = Fact::IncidentOpened {
        since: at(15),
        risk: 80.0,
        severity: Severity::High,
        drivers: vec![driver],
        judge: Judge::Model { version: 1 },
        score: None,
    };
    let evidence = VerdictEvidence { risk_before: 80.0, risk_after: 10.0, samples: 8, normal: 8, doubt: None };
    let verdict = if told.healed { Verdict::Improved } else { Verdict::Worse };
    let mut all = vec![
        of_incident(18, None, opened),
        of_incident(
            19,
            None,
            Fact::Planned { plan, digest, expires_at: at(600), view: serde_json::Value::Null, ran: None },
        ),
        by_anna(of_incident(24, None, Fact::Approved { digest, with_code: false })),
        of_incident(24, Some(4), Fact::RunStarted { digest }),
        of_incident(26, Some(4), Fact::RunDone),
        of_incident(34, Some(4), Fact::Judged { verdict, evidence }),
    ];
    if !told.healed {
        all.push(of_incident(35, Some(4), Fact::UndoStarted { reason: "it got worse".to_owned() }));
        all.push(of_incident(35, None, Fact::Escalated { why: "nothing is left to try".to_owned() }));
    }
    if told.false_alarm {
        let fact = Fact::FalseAlarm { reason: String::new(), score: None, metrics: Vec::new() };
        all.push(by_anna(of_incident(36, None, fact)));
    }
    let how = if told.false_alarm { "false alarm" } else { "healed" };
    if told.healed {
        all.push(of_incident(37, None, Fact::Resolved { how: how.to_owned() }));
    }
    all
}

fn shown(report: &Report) -> String {
    render(&report.card(), Look { width: 120, ..Look::default() })
}

#[test]
fn one_that_went_well() {
    let report = report(Told::default());
    assert_eq!(
        report.times,
        Times {
            to_detect_ms: Some(8_000),
            to_approve_ms: Some(5_000),
            to_act_ms: Some(2_000),
            to_recover_ms: Some(27_000)
        }
    );
    assert_eq!(report.score.as_ref().unwrap().points, 100);
    // From second 10 to 60, but for 16 to 38.
    assert_eq!(report.availability, Some(Availability { kept_ms: 28_000, of_ms: 50_000 }));
    insta::assert_snapshot!(format!("{}\n{}", shown(&report), report.markdown()));
    // What is written as JSON is read again.
    let again: Report = serde_json::from_value(report.json()).unwrap();
    assert_eq!(again, report);
}

#[test]
fn one_that_did_not() {
    let report = report(Told { healed: false, stuck: true, playbook: "scale-in", ..Told::default() });
    // 25 for finding it, 15 for being steady after; the wrong playbook, no end of it, and a fault that may be in.
    assert_eq!(report.score.as_ref().unwrap().points, 40);
    insta::assert_snapshot!(shown(&report));
}

#[test]
fn one_that_nobody_noticed_because_there_was_nothing() {
    let report = report(Told { name: "crash", found: false, ..Told::default() });
    assert_eq!(report.score.as_ref().unwrap().points, 100);
    assert!(shown(&report).contains("No incident came of it."));
    assert!(!report.healed(), "nothing had to be");
}

#[test]
fn what_cannot_be_compared_has_no_score() {
    for told in [Told { aborted: true, ..Told::default() }, Told { under_way: true, ..Told::default() }] {
        assert_eq!(report(told).score, None);
    }
    let declined = event(9, Fact::ExperimentDeclined { experiment: ID, why: "rejected by anna".to_owned() });
    let asked = events(Told::default()).remove(0);
    let report = Report::of(ID, [&asked, &declined]).unwrap();
    assert_eq!(report.score, None);
    assert!(report.card().title.ends_with("did not take place"), "{}", report.card().title);
}

#[test]
fn late_is_worth_less_and_twice_as_late_nothing() {
    let points = |name: &str, report: &Report| {
        let parts = &report.score.as_ref().unwrap().parts;
        parts.iter().find(|part| part.name == name).unwrap().points
    };
    let base = report(Told::default());
    for (allowed, worth) in [(8, 25), (6, 17), (5, 10), (4, 0), (1, 0)] {
        let mut late = base.clone();
        late.expect.detected_within = Duration::from_secs(allowed);
        late.score = points::score(&late);
        assert_eq!(points("detection", &late), worth, "{allowed}");
    }
}

#[test]
fn only_what_came_of_it_counts() {
    let mut all = events(Told { found: false, ..Told::default() });
    let opened = |seconds: i64, since: i64, service: &str, judge: Judge| {
        let fact = Fact::IncidentOpened {
            since: at(since),
            risk: 80.0,
            severity: Severity::High,
            drivers: Vec::new(),
            judge,
            score: None,
        };
        Event { service: Some(service.into()), ..of_incident(seconds, None, fact) }
    };
    all.push(opened(20, 8, "shop", Judge::Limits));
    all.push(opened(20, 15, "blog", Judge::Limits));
    all.push(opened(20, 15, "shop", Judge::Person));
    all.push(opened(61, 61, "shop", Judge::Limits));
    all.sort_by_key(|event| event.at);
    assert_eq!(Report::of(ID, &all).unwrap().incidents, []);
    assert_eq!(Report::of(ExperimentId(9), &all), None);
}

#[test]
fn all_experiments_of_a_ledger() {
    let mut all = events(Told::default());
    all.push(event(99, Fact::ExperimentDeclined { experiment: ExperimentId(4), why: "too late".to_owned() }));
    let reports = Report::all(&all);
    assert_eq!(reports.iter().map(|report| report.experiment.0).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(reports[0], Report::of(ID, &all).unwrap());
}

#[test]
fn a_chart_shows_fault_detection_action_and_recovery() {
    let report = report(Told::default());
    let (from, to) = report.frame(at(200)).unwrap();
    assert_eq!((from, to), (at(-20), at(90)));
    assert_eq!(report.metric(), Some("front_latency_p95"));
    let value = |second: i64| if (12..36).contains(&second) { 0.6 } else { 0.1 };
    let chart = report.on(Chart {
        service: "shop".into(),
        metric: "front_latency_p95".to_owned(),
        unit: "s".to_owned(),
        from,
        to,
        interval: Duration::from_secs(1),
        points: (-20..=90).map(|second| (at(second), value(second))).collect(),
        band: Some((0.05, 0.2)),
        marks: Vec::new(),
    });
    let letters: String = chart.marks.iter().map(|mark| format!("{:?} {}\n", mark.kind, mark.words)).collect();
    insta::assert_snapshot!(format!("{}\n{letters}", crate::chat::chart::draw(&chart, 100, 8, true)));
    // The same as a picture.
    assert!(crate::chat::picture::png(&chart).is_ok());
}

#[test]
fn records_of_a_ledger_hold_every_new_fact() {
    let mut all = events(Told { stuck: true, ..Told::default() });
    all.extend(events(Told { aborted: true, name: "bad-day", ..Told::default() }));
    for (seq, event) in (1..).zip(all) {
        let record = Record { seq, prev: Digest([0; 32]), event, hash: Digest([1; 32]) };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record, "{text}");
    }
    // What older ledgers have is read as it was.
    let old = r#"{"at":1,"kind":"fault-injected","fault":"load","detail":"the load triples"}"#;
    let old: Event = serde_json::from_str(old).unwrap();
    assert!(matches!(old.fact, Fact::FaultInjected { experiment: None, index: None, .. }));
    let old: Event = serde_json::from_str(r#"{"at":1,"kind":"fault-lifted","fault":"load"}"#).unwrap();
    assert!(matches!(old.fact, Fact::FaultLifted { experiment: None, .. }));
}

#[test]
fn hostile_words_mean_nothing_in_markdown() {
    let mut report = report(Told::default());
    report.title = "a | b\n# <b>x</b> [l](http://x) `c` \u{1b}[2J".to_owned();
    let markdown = report.markdown();
    assert!(markdown.contains("a \\| b \\# \\<b\\>x\\</b\\> \\[l\\](http://x) \\`c\\`\n"), "{markdown}");
}

proptest! {
    /// Whatever order or part of a ledger is there, there is a report or none, and no panic.
    #[test]
    fn any_part_of_a_ledger_has_a_report(
        picks in proptest::collection::vec((0_usize..200, any::<i64>()), 0..60),
        found in any::<bool>(), healed in any::<bool>(), stuck in any::<bool>(), aborted in any::<bool>(),
    ) {
        let all = events(Told { name: "bad-day", found, healed, stuck, aborted, ..Told::default() });
        let part: Vec<Event> = picks
            .into_iter()
            .map(|(i, at)| Event { at: Timestamp(at), ..all[i % all.len()].clone() })
            .collect();
        for report in Report::all(&part) {
            prop_assert!(report.score.as_ref().is_none_or(|score| score.points <= 100));
            let _ = (report.markdown(), report.json(), report.frame(Timestamp(0)));
            let _ = crate::chaos::ScoreBoard::of(&[report]).markdown();
        }
    }
}

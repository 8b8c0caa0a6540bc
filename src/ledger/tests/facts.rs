//! Every kind of fact in words, as a line, and exported.

use serde_json::json;

use crate::model::{
    AbortRules, Action, AimedFault, BlastRadius, Driver, Expectation, Experiment, ExperimentId, ExperimentOutcome,
    ExperimentPlan, Facet, Fault, Forecast, HostCall, IncidentId, Inverse, Judge, Mode, Plan, PlannedAction, Proposal,
    Record, Role, RunId, Severity, SourceFault, Stage, SteadyState, Transcript, Trend, Verdict, VerdictEvidence,
};

use super::*;

const HASH: Digest = Digest([0x3f; 32]);

fn step() -> PlannedAction {
    PlannedAction::new(Action::Scale { target: "local:shop".parse().unwrap(), to: 4 }, Facet::Replicas(2))
}

fn proposal() -> Proposal {
    Proposal {
        playbook: "scale-out".to_owned(),
        args: [("to".to_owned(), "4".to_owned())].into(),
        why: "the pool is full".to_owned(),
        rule: "triage".to_owned(),
    }
}

fn ran() -> Transcript {
    Transcript {
        name: "scale-out".to_owned(),
        component: HASH,
        calls: vec![HostCall {
            call: "incident.targets".to_owned(),
            input: json!(null),
            output: json!(["local:shop"]),
        }],
        outcome: json!({ "ok": "scaled local:shop from 2 to 4 instances" }),
        log: Vec::new(),
        log_dropped: 0,
        fuel: 41_000,
        notes: None,
    }
}

/// One of each kind, and what is said of it.
fn all() -> Vec<(Fact, &'static str)> {
    let s = str::to_owned;
    let driver = Driver {
        metric: s("latency_p95"),
        share: 0.6,
        value: 412.3,
        normal: 18.0,
        low: 10.0,
        high: 30.0,
        unit: s("ms"),
        trend: Trend::Step,
        recent: vec![18.0, 412.3],
        instance: None,
    };
    let plan = Plan {
        incident: IncidentId(7),
        number: 1,
        service: ServiceId::from("shop"),
        playbook: s("scale-out"),
        component: HASH,
        args: Default::default(),
        actions: vec![step()],
        may: Vec::new(),
        notes: Vec::new(),
    };
    let restart = Action::Restart { target: "local:shop".parse().unwrap(), instance: s("shop-1") };
    let evidence = VerdictEvidence { risk_before: 87.0, risk_after: 12.0, samples: 5, normal: 5, doubt: None };
    vec![
        (
            Fact::Started { version: s("0.1.0"), config: HASH, replayed: 3 },
            "suture started: version 0.1.0, config 3f3f3f3f3f3f, 3 records replayed",
        ),
        (Fact::Stopped { reason: s("SIGTERM") }, "suture stopped: SIGTERM"),
        (
            Fact::TailRepaired { bytes: 9 },
            "ledger repaired: 9 bytes of a half-written record were cut off after a crash",
        ),
        (
            Fact::ComponentLoaded {
                name: s("scale-out"),
                role: Role::Playbook,
                digest: HASH,
                imports: vec![s("scale")],
            },
            "playbook scale-out loaded: 3f3f3f3f3f3f, imports scale",
        ),
        (
            Fact::ComponentHeld {
                name: s("scale-out"),
                role: Role::Playbook,
                digest: HASH,
                accepted: Digest([0x11; 32]),
                gains: vec![s("restart")],
                loses: Vec::new(),
            },
            "playbook scale-out held: the file has 3f3f3f3f3f3f, not the accepted 111111111111, which stays in use; it \
             wants also: restart; `accept scale-out 3f3f3f3f3f3f` takes it",
        ),
        (
            Fact::ComponentAccepted { name: s("scale-out"), role: Role::Playbook, digest: HASH },
            "playbook scale-out accepted: 3f3f3f3f3f3f",
        ),
        (
            Fact::ComponentStruck {
                name: s("stock"),
                role: Role::Rule,
                digest: HASH,
                why: s("crashed: unreachable"),
                strikes: 2,
            },
            "rule stock failed by its own fault: strike 2: crashed: unreachable",
        ),
        (
            Fact::ComponentDisabled {
                name: s("stock"),
                role: Role::Rule,
                digest: HASH,
                why: s("crashed: unreachable"),
            },
            "rule stock disabled: too many faults, the last: crashed: unreachable; `enable stock` gives it another chance",
        ),
        (Fact::ComponentEnabled { name: s("stock"), role: Role::Rule, digest: HASH }, "rule stock enabled"),
        (
            Fact::ModelTrained { version: 2, samples: 500, features: vec![s("a"), s("b")], threshold: 0.6123 },
            "model trained: version 2, 500 samples, 2 features, threshold 0.612",
        ),
        (
            Fact::SourceFailed(SourceFault { source: s("scrape x"), why: s("timed out") }),
            "source failed: scrape x: timed out",
        ),
        (Fact::SourceRecovered { source: s("scrape x") }, "source answers again: scrape x"),
        (
            Fact::Forecast(Forecast {
                metric: s("memory_bytes"),
                limit: 2_147_483_648.0,
                unit: s("bytes"),
                within_ms: 551_000,
                earliest_ms: 415_000,
                latest_ms: Some(731_000),
                confidence: 0.93,
            }),
            "forecast: memory_bytes will cross its limit (2 GiB) in about 9 minutes (between 7 and 12)",
        ),
        (
            Fact::FaultInjected { fault: s("load"), detail: s("triples"), experiment: None, index: None },
            "fault injected: load: triples",
        ),
        (
            Fact::FaultLifted { fault: s("load"), experiment: None, index: None, how: String::new() },
            "fault lifted: load",
        ),
        (
            Fact::ExperimentAsked {
                experiment: ExperimentId(3),
                plan: Box::new(experiment()),
                digest: HASH,
                expires_at: Timestamp(1_700_000_000_000),
                scheduled: true,
            },
            "experiment asked for: EXP-3 hang, plan 3f3f3f3f3f3f, as scheduled; the question stands until 22:13:20",
        ),
        (
            Fact::ExperimentApproved { experiment: ExperimentId(3), digest: HASH, with_code: false },
            "experiment approved: EXP-3, plan 3f3f3f3f3f3f",
        ),
        (
            Fact::ExperimentDeclined { experiment: ExperimentId(3), why: s("nobody approved it in time") },
            "experiment not done: EXP-3: nobody approved it in time",
        ),
        (Fact::ExperimentStarted { experiment: ExperimentId(3), digest: HASH }, "experiment started: EXP-3"),
        (
            Fact::SteadyStateSeen {
                experiment: ExperimentId(3),
                stage: Stage::Before,
                steady: false,
                why: s("errors_ratio is 0.2"),
                seen: Vec::new(),
            },
            "steady state before: EXP-3: not steady: errors_ratio is 0.2",
        ),
        (
            Fact::FaultIntended { experiment: ExperimentId(3), index: 0, fault: experiment().faults.remove(0) },
            "about to put a fault in: EXP-3: hang shop-2 is stopped; out again: shop-2 goes on",
        ),
        (
            Fact::FaultStuck { experiment: ExperimentId(3), index: 0, why: s("no answer") },
            "fault could not be taken out, a person has to look: EXP-3: no answer",
        ),
        (
            Fact::ExperimentAborted { experiment: ExperimentId(3), why: s("INC-9 opened on search") },
            "experiment broken off: EXP-3: INC-9 opened on search",
        ),
        (
            Fact::ExperimentEnded {
                experiment: ExperimentId(3),
                outcome: ExperimentOutcome::Passed,
                why: s("steady again"),
            },
            "experiment passed: EXP-3: steady again",
        ),
        (
            Fact::FaultInjected {
                fault: s("hang"),
                detail: s("shop-2"),
                experiment: Some(ExperimentId(3)),
                index: Some(0),
            },
            "fault injected: EXP-3: hang: shop-2",
        ),
        (
            Fact::FaultLifted {
                fault: s("hang"),
                experiment: Some(ExperimentId(3)),
                index: Some(0),
                how: s("went on"),
            },
            "fault lifted: EXP-3: hang: went on",
        ),
        (
            Fact::Commanded { text: s("approve 1"), via: s("console"), delivery: None },
            "command: `approve 1` (via console)",
        ),
        (
            Fact::IncidentOpened {
                since: Timestamp(1_700_000_000_000),
                risk: 87.2,
                severity: Severity::High,
                drivers: vec![driver.clone()],
                judge: Judge::Limits,
                score: None,
            },
            "incident opened: risk 87 (high) since 22:13:20; driven by latency_p95 412 ms (normally 18 ms, 23x)",
        ),
        (
            Fact::IncidentWorsened { risk: 95.0, severity: Severity::Critical, drivers: Vec::new() },
            "incident worsened: risk 95 (critical)",
        ),
        (
            Fact::Proposed { proposals: vec![proposal()], view: serde_json::Value::Null, asked: Vec::new() },
            "proposed: scale-out (to=4), because the pool is full",
        ),
        (Fact::PlanAsked { proposal: proposal() }, "plan asked for: scale-out (to=4), because the pool is full"),
        (
            Fact::Planned {
                plan,
                digest: HASH,
                expires_at: Timestamp(1_700_000_000_000),
                view: serde_json::Value::Null,
                ran: None,
            },
            "planned: plan 3f3f3f3f3f3f of scale-out: local:shop workers 2 -> 4; the question stands until 22:13:20",
        ),
        (
            Fact::PlanRefused { playbook: s("scale-out"), why: s("cooldown for 20 s"), dry_run: None },
            "no plan: scale-out: cooldown for 20 s",
        ),
        (Fact::Approved { digest: HASH, with_code: false }, "approved: plan 3f3f3f3f3f3f"),
        (
            Fact::Called { digest: HASH, to: vec![s("slack-group:S1")] },
            "others were called: plan 3f3f3f3f3f3f to slack-group:S1",
        ),
        (Fact::Rejected { digest: HASH, reason: s("too risky") }, "rejected: plan 3f3f3f3f3f3f: too risky"),
        (Fact::Expired { digest: HASH }, "approval expired: plan 3f3f3f3f3f3f"),
        (
            Fact::Withdrawn { digest: HASH, why: s("recovered alone") },
            "plan withdrawn: plan 3f3f3f3f3f3f: recovered alone",
        ),
        (Fact::RunStarted { digest: HASH }, "run started: plan 3f3f3f3f3f3f"),
        (Fact::HostCalled { calls: ran().calls }, "host answered: 1 call"),
        (
            Fact::ActionIntended { index: 0, step: step() },
            "about to act: step 1: local:shop workers 2 -> 4; back: scale local:shop to 2",
        ),
        (Fact::ActionDone { index: 0, receipt: s("4 workers") }, "action done: step 1: 4 workers"),
        (
            Fact::ServiceFound { targets: vec!["k8s:a/deployment/b".parse().unwrap()] },
            "service found: k8s:a/deployment/b",
        ),
        (Fact::ServiceGone, "service gone"),
        (Fact::ActionProgress { index: 0, line: s("1 of 4 ready") }, "action under way: step 1: 1 of 4 ready"),
        (Fact::ActionFailed { index: 1, error: s("denied") }, "action failed: step 2: denied"),
        (
            Fact::PlaybookEnded { ran: ran() },
            "playbook ended: scale-out: 1 call, 41000 units of work: scaled local:shop from 2 to 4 instances",
        ),
        (Fact::RunDone, "run done"),
        (
            Fact::RunFailed { error: s("3 workers, not 2"), moved: true },
            "run stopped, the world had moved since the plan: 3 workers, not 2",
        ),
        (
            Fact::PlaybookChecked {
                view: serde_json::Value::Null,
                ran: Transcript { outcome: json!({"ok": {"Ok": null}}), ..ran() },
            },
            "playbook checked its cure: scale-out: 1 call, 41000 units of work",
        ),
        (
            Fact::Judged { verdict: Verdict::Improved, evidence },
            "judged improved: risk 87 -> 12, 5 of 5 samples normal",
        ),
        (Fact::UndoStarted { reason: s("worse") }, "undo started: worse"),
        (Fact::UndoIntended { index: 0 }, "about to undo: step 1"),
        (Fact::UndoneAction { index: 0, receipt: s("2 workers") }, "action undone: step 1: 2 workers"),
        (Fact::UndoFailed { index: 0, error: s("no answer") }, "undo failed, a person has to look: step 1: no answer"),
        (Fact::UndoDone { impossible: vec![1, 2] }, "undo done: no way back for step 2, step 3"),
        (Fact::Escalated { why: s("nothing helped") }, "escalated, a person has to look: nothing helped"),
        (Fact::Resolved { how: s("healed") }, "resolved: healed"),
        (
            Fact::FalseAlarm { reason: s("a batch job"), score: Some(1.254), metrics: vec![s("cpu")] },
            "marked as a false alarm: a batch job; it was 1.25 times as unusual as the threshold",
        ),
        (
            Fact::Deployed { until: Timestamp(1_700_000_000_000), note: s("release 1.4") },
            "deployed: settles until 22:13:20; release 1.4",
        ),
        (Fact::ModeChanged { mode: Mode::Auto }, "mode changed: to auto"),
        (Fact::Muted { until: Timestamp(0) }, "muted: until 00:00:00"),
        (Fact::Unmuted, "no longer muted"),
        (Fact::Halted { reason: s("deploy") }, "HALTED, nothing acts: deploy"),
        (Fact::Resumed, "resumed"),
        (
            Fact::ActionIntended { index: 0, step: PlannedAction::new(restart, Facet::Generation(0)) },
            "about to act: step 1: local:shop/shop-1 restart (generation 0 -> generation 1); no way back: a restarted \
             process does not get its memory back",
        ),
        (
            Fact::Proposed { proposals: Vec::new(), view: serde_json::Value::Null, asked: Vec::new() },
            "no proposal: no rule knew what to do",
        ),
        (Fact::RunFailed { error: s("trap"), moved: false }, "run failed: trap"),
        (Fact::FalseAlarm { reason: String::new(), score: None, metrics: Vec::new() }, "marked as a false alarm"),
        (
            Fact::Deployed { until: Timestamp(1_700_000_000_000), note: String::new() },
            "deployed: settles until 22:13:20",
        ),
    ]
}

fn experiment() -> ExperimentPlan {
    let experiment = Experiment {
        name: "hang".to_owned(),
        title: "One process does not answer".to_owned(),
        description: String::new(),
        service: None,
        steady_state: SteadyState::default(),
        in_order: false,
        method: Vec::new(),
        blast_radius: BlastRadius::default(),
        abort: AbortRules::default(),
        expect: Expectation::default(),
        digest: HASH,
    };
    let fault = AimedFault {
        fault: Fault::Hang,
        target: "local:shop".parse().unwrap(),
        instances: vec!["shop-2".to_owned()],
        from: Duration::ZERO,
        until: Duration::from_secs(30),
        how: "shop-2 is stopped".to_owned(),
        undo: "shop-2 goes on".to_owned(),
        held: serde_json::Value::Null,
    };
    ExperimentPlan { experiment, service: ServiceId::from("shop"), faults: vec![fault] }
}

fn plain(fact: Fact) -> Event {
    Event { at: Timestamp(1_700_000_000_000), service: None, incident: None, run: None, by: None, fact }
}

#[test]
fn every_kind_is_said_in_words_and_reads_back() {
    let disk = FakeDisk::default();
    let ledger = open(&disk).unwrap().0.ledger;
    let mut kinds = Vec::new();
    for (fact, words) in all() {
        assert_eq!(describe(&plain(fact.clone())), words);
        if !kinds.contains(&fact.kind()) {
            kinds.push(fact.kind());
        }
        let stored = ledger.append_blocking(vec![plain(fact.clone())]).unwrap();
        assert_eq!(stored[0].record.event.fact, fact);
        assert!(known_kind(fact.kind()).is_ok());
    }
    assert_eq!(kinds, KINDS);
    assert!(known_kind("aproved").unwrap_err().contains("approved"));
    assert!(check(&disk).holds());
    assert!(matches!(step().inverse, Inverse::Action(_)));
}

#[test]
fn a_line_says_when_what_who() {
    let mut e = plain(Fact::Approved { digest: HASH, with_code: false });
    (e.incident, e.by) = (Some(IncidentId(7)), Some(Person::new("unix:1000", "anna")));
    let mut record = Record { seq: 1, prev: HASH, event: e, hash: HASH };
    assert_eq!(tell(&record), "22:13:20  INC-7  approved  by anna (unix:1000)  plan 3f3f3f3f3f3f");
    assert_eq!(describe(&record.event), "approved by anna (unix:1000): plan 3f3f3f3f3f3f");
    record.event.run = Some(RunId(2));
    assert!(tell_dated(&record).starts_with("2023-11-14T22:13:20.000Z  INC-7 RUN-2  approved"));
    record.event = plain(Fact::Resumed);
    assert_eq!(tell(&record), "22:13:20  suture  resumed");
}

#[test]
fn nothing_in_a_fact_steers_a_terminal() {
    let mut e = plain(Fact::Resolved { how: "a\u{1b}[2J\u{9b}31m\r\nb\u{202e}c\u{200b}\0d\te".to_owned() });
    e.by = Some(Person::new("x\u{7}", "\u{2066}y"));
    assert_eq!(describe(&e), "resolved by y (x): a[2J31m bcd e");
    e.fact = Fact::Resolved { how: "ü".repeat(10_000) };
    assert!(describe(&e).chars().count() < 300);
}

#[test]
fn an_export_is_what_was_asked_for_and_can_be_checked() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(Options::new(dir.path()), |_| {}).unwrap().ledger;
    let mut formula = event(2);
    formula.by = Some(Person::new("unix:1000", "=cmd(\"x\")"));
    let stored = ledger.append_blocking(vec![event(1), formula, event(3), plain(Fact::Resumed)]).unwrap();
    ledger.close();
    let query = Query { kind: Some("commanded".to_owned()), ..Query::default() };
    let mut json = Vec::new();
    let exported = export(dir.path(), &query, Format::JsonLines, &mut json).unwrap();
    assert_eq!(exported, Exported { records: 3, unreadable: 0 });
    for (line, stored) in String::from_utf8(json).unwrap().lines().zip(&stored) {
        let (body, _) = line.rsplit_once(",\"hash\":").unwrap();
        assert_eq!(Digest::of(body.as_bytes()), stored.record.hash);
        assert_eq!(serde_json::from_str::<Record>(line).unwrap(), stored.record);
    }
    let mut csv = Vec::new();
    export(dir.path(), &query, Format::Csv, &mut csv).unwrap();
    let csv = String::from_utf8(csv).unwrap();
    assert_eq!(csv.matches("\r\n").count(), 4);
    assert!(csv.starts_with("seq,at,service,"), "{csv}");
    assert!(csv.contains(",\"'=cmd(\"\"x\"\")\","), "{csv}");
    assert!(csv.contains("\r\n1,2023-11-14T22:13:21.000Z,shop,,,unix:1000,anna,commanded,"), "{csv}");
}

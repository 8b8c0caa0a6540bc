//! The life cycle by properties: whatever happens in whatever order, what must never be never is.

mod approvals;
mod experiments;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;
use crate::model::*;

const SERVICES: [&str; 2] = ["shop", "till"];

/// Something the world or a person may do next. Numbers pick among what there is.
#[derive(Clone, Debug)]
enum Move {
    Wait(u16),
    Bad(usize),
    Good(usize),
    Rules(usize, usize),
    Plan(usize, bool, u32),
    Approve(usize, bool),
    Reject(usize),
    Rollback(usize),
    Keep(usize),
    AskPlan(usize),
    Close(usize),
    FalseAlarm(usize, f64),
    Deployed(usize, u16),
    Mode(usize, Mode),
    Halt,
    Resume,
    Intend(usize, u32),
    Act(usize, u32, bool),
    EndRun(usize, u8),
    Judge(usize, u8),
    IntendUndo(usize, u32),
    Undo(usize, u32, bool),
    EndUndo(usize),
}

fn a_move() -> impl Strategy<Value = Move> {
    let n = 0..4usize;
    let i = 0..6u32;
    prop_oneof![
        2 => (0..4000u16).prop_map(Move::Wait),
        1 => Just(Move::Wait(25_000)),
        4 => n.clone().prop_map(Move::Bad),
        1 => n.clone().prop_map(Move::Good),
        4 => (n.clone(), 0..3usize).prop_map(|(a, b)| Move::Rules(a, b)),
        6 => (n.clone(), prop::bool::weighted(0.8), 1..3u32).prop_map(|(a, b, c)| Move::Plan(a, b, c)),
        6 => (n.clone(), prop::bool::weighted(0.7)).prop_map(|(a, b)| Move::Approve(a, b)),
        1 => n.clone().prop_map(Move::Reject),
        1 => n.clone().prop_map(Move::Rollback),
        1 => n.clone().prop_map(Move::Keep),
        1 => n.clone().prop_map(Move::AskPlan),
        // A person's word that ends what others want to see through: seldom.
        1 => prop_oneof![
            4 => n.clone().prop_map(Move::Close),
            1 => (n.clone(), prop_oneof![Just(f64::NAN), 0.0..9.0_f64]).prop_map(|(a, b)| Move::FalseAlarm(a, b)),
            1 => (n.clone(), any::<u16>()).prop_map(|(a, b)| Move::Deployed(a, b)),
        ],
        1 => (n.clone(), prop_oneof![1 => Just(Mode::Observe), 3 => Just(Mode::Approve), 2 => Just(Mode::Auto)])
            .prop_map(|(a, b)| Move::Mode(a, b)),
        1 => Just(Move::Halt),
        3 => Just(Move::Resume),
        8 => (n.clone(), i.clone()).prop_map(|(a, b)| Move::Intend(a, b)),
        8 => (n.clone(), i.clone(), prop::bool::weighted(0.9)).prop_map(|(a, b, c)| Move::Act(a, b, c)),
        6 => (n.clone(), prop_oneof![12 => Just(0u8), 1 => Just(1u8), 1 => Just(2u8), 1 => Just(3u8)])
            .prop_map(|(a, b)| Move::EndRun(a, b)),
        5 => (n.clone(), 0..3u8).prop_map(|(a, b)| Move::Judge(a, b)),
        4 => (n.clone(), i.clone()).prop_map(|(a, b)| Move::IntendUndo(a, b)),
        4 => (n.clone(), i, prop::bool::weighted(0.8)).prop_map(|(a, b, c)| Move::Undo(a, b, c)),
        4 => n.prop_map(Move::EndUndo),
    ]
}

fn policies() -> BTreeMap<ServiceId, Policy> {
    let policy = Policy {
        mode: Mode::Approve,
        guard: Guard { cooldown: Duration::from_millis(500), actions_per_hour: 50, ..Guard::default() },
        approval: ApprovalPolicy {
            who: vec!["good:*".into()],
            quorum: 2,
            expiry: Duration::from_secs(20),
            ..ApprovalPolicy::default()
        },
        verify: VerifyPolicy::default(),
    };
    SERVICES.iter().map(|s| (ServiceId::from(*s), policy.clone())).collect()
}

/// Both services are healed by the same target: the harder case.
fn steps(count: u32) -> Vec<PlannedAction> {
    let target: TargetId = "fake:both".parse().unwrap();
    (0..count)
        .map(|n| PlannedAction::new(Action::Scale { target: target.clone(), to: n + 3 }, Facet::Replicas(n + 2)))
        .collect()
}

struct Game {
    state: State,
    events: Vec<Event>,
    now: Timestamp,
}

impl Game {
    fn incident(&self, n: usize) -> IncidentId {
        let open: Vec<_> = self.state.incidents.values().filter(|i| i.is_open()).map(|i| i.id).collect();
        open.get(n % open.len().max(1)).copied().unwrap_or(IncidentId(99))
    }

    /// Any of the last few, open or over.
    fn late_incident(&self, n: usize) -> IncidentId {
        let all: Vec<_> = self.state.incidents.keys().rev().take(3).copied().collect();
        all.get(n % all.len().max(1)).copied().unwrap_or(IncidentId(99))
    }

    fn run(&self, n: usize) -> RunId {
        let all: Vec<_> = self.state.runs.keys().rev().take(3).copied().collect();
        all.get((n / 3) % all.len().max(1)).copied().unwrap_or(RunId(99))
    }

    /// The first step of which this is true; now and then another one.
    fn next(&self, run: RunId, index: u32, wanted: impl Fn(&Step) -> bool) -> u32 {
        let run = self.state.runs.get(&run);
        let first = run.and_then(|r| r.steps.iter().position(wanted));
        first.filter(|_| index > 0).map_or(index, |i| u32::try_from(i).unwrap())
    }

    fn reading(&self, service: usize, severity: Severity) -> Reading {
        Reading {
            service: SERVICES[service % 2].into(),
            at: self.now,
            score: 1.0,
            threshold: 0.5,
            risk: 70.0,
            severity,
            drivers: Vec::new(),
            judge: if service < 2 { Judge::Limits } else { Judge::Model { version: 1 } },
            ahead: Vec::new(),
        }
    }

    fn input(&mut self, m: &Move) -> Input {
        let good = |n: usize| Person::new(format!("good:{}", n % 3), "anna");
        match *m {
            Move::Wait(ms) => {
                self.now = self.now.plus(Duration::from_millis(u64::from(ms)));
                Input::Tick
            }
            Move::Bad(s) => {
                Input::Observed { reading: self.reading(s, Severity::High), raised: Some(self.now), calm: false }
            }
            Move::Good(s) => Input::Observed { reading: self.reading(s, Severity::None), raised: None, calm: true },
            Move::Rules(n, count) => {
                let proposal =
                    |k| Proposal { playbook: format!("p{k}"), args: Args::new(), why: String::new(), rule: "r".into() };
                let result = if count == 0 { Err("no rule".into()) } else { Ok((0..count).map(proposal).collect()) };
                Input::ProposalsReady {
                    incident: self.incident(n),
                    view: serde_json::Value::Null,
                    result,
                    asked: Vec::new(),
                }
            }
            Move::Plan(n, works, count) => {
                let incident = self.incident(n);
                let service = self.state.incidents.get(&incident).map_or_else(|| "shop".into(), |i| i.service.clone());
                let number = self.state.incidents.get(&incident).map_or(1, |i| i.plans + 1);
                let plan = Plan {
                    incident,
                    number,
                    service,
                    playbook: "p".into(),
                    component: Digest([0; 32]),
                    args: Args::new(),
                    actions: steps(count),
                    may: Vec::new(),
                    notes: Vec::new(),
                };
                Input::PlanReady {
                    incident,
                    playbook: "p".into(),
                    view: serde_json::Value::Null,
                    result: if works { Ok(plan) } else { Err("broken".into()) },
                    args: Args::new(),
                    ran: None,
                }
            }
            Move::Approve(n, allowed) => {
                let by = if allowed { good(n) } else { Person::new("evil:1", "mallory") };
                Input::Approve { incident: Some(self.incident(n / 2)), digest: None, with_code: false, by }
            }
            Move::Reject(n) => {
                Input::Reject { incident: Some(self.incident(n)), digest: None, reason: "no".into(), by: good(n) }
            }
            Move::Rollback(n) => Input::Rollback { run: self.run(n), reason: String::new(), by: good(n) },
            Move::Keep(n) => Input::Keep { run: self.run(n), by: good(n) },
            Move::AskPlan(n) => Input::AskPlan { incident: self.incident(n), proposal: None, by: good(n) },
            Move::Close(n) => Input::Close { incident: self.incident(n), reason: String::new(), by: good(n) },
            Move::FalseAlarm(n, score) => Input::FalseAlarm {
                incident: self.late_incident(n),
                score: Some(score),
                reason: String::new(),
                by: good(n),
            },
            Move::Deployed(n, seconds) => Input::Deployed {
                service: SERVICES[n % 2].into(),
                settle: Duration::from_secs(u64::from(seconds)),
                note: String::new(),
                by: good(n),
            },
            Move::Mode(s, mode) => Input::SetMode { service: SERVICES[s % 2].into(), mode, by: good(s) },
            Move::Halt => Input::Halt { reason: "drill".into(), by: good(0) },
            Move::Resume => Input::Resume { by: good(0) },
            Move::Intend(n, index) => {
                let run = self.run(n);
                let index = self.next(run, index, |s| !matches!(s, Step::Done { .. }));
                let step = self.state.runs.get(&run).and_then(|r| r.planned(index)).cloned();
                let step = step.unwrap_or_else(|| steps(1).remove(0));
                Input::Intend { run, index, step, calls: Vec::new() }
            }
            Move::Act(n, index, done) => {
                let outcome = if done { Outcome::Done("ok".into()) } else { Outcome::Failed("no".into()) };
                let run = self.run(n);
                Input::Acted { run, index: self.next(run, index, |s| *s == Step::Intended), outcome }
            }
            Move::EndRun(n, how) => {
                let failure = |moved| Err(RunFailure { error: "failed".into(), moved });
                let run = self.run(n);
                let result = match how {
                    // Mostly in turn; a playbook that ends early is move 3.
                    0 if self
                        .state
                        .runs
                        .get(&run)
                        .is_some_and(|r| r.steps.iter().any(|s| !matches!(s, Step::Done { .. }))) =>
                    {
                        return Input::Tick;
                    }
                    0 | 3 => Ok(()),
                    1 => failure(false),
                    _ => failure(true),
                };
                Input::RunEnded { run, result, ran: None }
            }
            Move::Judge(n, verdict) => {
                let verdict = [Verdict::Improved, Verdict::Worse, Verdict::Inconclusive][usize::from(verdict)];
                let evidence =
                    VerdictEvidence { risk_before: 70.0, risk_after: 5.0, samples: 3, normal: 3, doubt: None };
                Input::Judged { run: self.run(n), verdict, evidence, check: None }
            }
            Move::IntendUndo(n, index) => {
                let run = self.run(n);
                Input::IntendUndo { run, index: self.next(run, index, |s| matches!(s, Step::Done { .. })) }
            }
            Move::Undo(n, index, done) => {
                let outcome = if done { Outcome::Undone("ok".into()) } else { Outcome::UndoFailed("no".into()) };
                let run = self.run(n);
                Input::Acted { run, index: self.next(run, index, |s| *s == Step::UndoIntended), outcome }
            }
            Move::EndUndo(n) => Input::UndoEnded { run: self.run(n), impossible: Vec::new() },
        }
    }

    fn play(&mut self, m: &Move) {
        let input = self.input(m);
        let before = self.state.clone();
        match step(&self.state, &policies(), input, self.now) {
            Ok(Some((after, events))) => {
                for event in &events {
                    self.check_event(&before, event);
                }
                self.state = after;
                self.events.extend(events);
            }
            Ok(None) => assert_eq!(self.state, before),
            Err(refusal) => assert!(!refusal.to_string().is_empty()),
        }
        self.check_state();
    }

    fn mode(&self, service: &ServiceId) -> Mode {
        self.state.modes.get(service).copied().unwrap_or(Mode::Approve)
    }

    fn check_event(&self, before: &State, event: &Event) {
        match &event.fact {
            Fact::RunStarted { digest } => {
                let incident = &before.incidents[&event.incident.unwrap()];
                let question = incident.question.as_ref();
                assert!(question.is_none_or(|q| q.digest == *digest), "a run of another plan than the one asked about");
            }
            Fact::ActionIntended { step, .. } => {
                assert!(before.halted.is_none(), "an action was intended while everything is stopped");
                let run = &before.runs[&event.run.unwrap()];
                assert_ne!(self.mode(&run.plan.service), Mode::Observe, "an action in mode observe");
                assert!(!run.approvals.is_empty(), "an action nobody approved");
                let by_policy = run.approvals.iter().any(|p| *p == Person::policy());
                let people: std::collections::BTreeSet<_> =
                    run.approvals.iter().filter(|p| p.id.starts_with("good:")).map(|p| &p.id).collect();
                assert!(by_policy || people.len() >= 2, "too few approvals: {:?}", run.approvals);
                assert_eq!(run.plan.digest(), run.digest);
                let inverse = step.action.inverse(&step.before).map(Inverse::Action);
                assert_eq!(Some(step.inverse.clone()), inverse, "an act whose inverse is not recorded");
            }
            Fact::FalseAlarm { score, .. } => {
                let incident = &before.incidents[&event.incident.unwrap()];
                assert_eq!(incident.false_alarm, None, "marked twice");
                assert!(!matches!(incident.phase, Phase::Acting(_) | Phase::RollingBack(_)), "marked in a run");
                let by_model = matches!(incident.judge, Judge::Model { .. });
                assert!(score.is_none_or(|score| score.is_finite() && by_model), "{score:?} {incident:?}");
            }
            Fact::Deployed { until, .. } => {
                assert!(until.since(self.now) <= LONGEST_SETTLE, "quiet for too long");
            }
            Fact::ActionDone { index, .. } => {
                let run = &before.runs[&event.run.unwrap()];
                assert_eq!(run.step(*index), Some(&Step::Intended), "done without being intended");
            }
            Fact::UndoneAction { index, .. } => {
                let run = &before.runs[&event.run.unwrap()];
                assert_eq!(run.step(*index), Some(&Step::UndoIntended), "undone without being intended");
            }
            _ => {}
        }
    }

    fn check_state(&self) {
        let busy: Vec<_> = self.state.runs.values().filter(|r| r.is_busy()).collect();
        assert!(busy.len() <= 1, "two runs on one target: {busy:?}");
        for service in SERVICES {
            let open = self.state.incidents.values().filter(|i| i.service.0 == service && i.is_open()).count();
            assert!(open <= 1, "two open incidents of {service}");
        }
        for incident in self.state.incidents.values().filter(|i| i.false_alarm.is_some()) {
            assert!(!incident.is_open(), "a false alarm that goes on: {incident:?}");
        }
        let due = due(&self.state);
        for incident in self.state.incidents.values() {
            let moves_on = match incident.phase {
                Phase::Open => due.contains(&Due::AskRules(incident.id)),
                Phase::Planning => due.iter().any(|d| matches!(d, Due::Plan(id, _) if *id == incident.id)),
                Phase::Acting(run) => self.state.halted.is_some() || due.contains(&Due::Execute(run)),
                Phase::RollingBack(run) => self.state.halted.is_some() || due.contains(&Due::Undo(run)),
                // These wait for a reading, a deadline or a person, and the card says for what.
                Phase::Verifying(_) | Phase::AwaitingPerson(_) => true,
                Phase::AwaitingApproval => incident.question.is_some(),
                Phase::Escalated => incident.note.is_some(),
                Phase::Resolved => incident.how.is_some(),
            };
            assert!(moves_on, "a dead end without a message: {incident:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_breaks_the_rules(moves in prop::collection::vec(a_move(), 1..120)) {
        let mut game = Game { state: State::default(), events: Vec::new(), now: Timestamp(1_000_000) };
        for m in &moves {
            game.play(m);
        }
        assert_eq!(State::fold(&game.events), game.state, "the ledger alone gives the same state");
    }
}

/// The property above is worth something only if the moves get everywhere.
#[test]
fn the_moves_reach_every_part_of_the_life_cycle() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let moves = prop::collection::vec(a_move(), 100..120).new_tree(&mut runner).unwrap().current();
        let mut game = Game { state: State::default(), events: Vec::new(), now: Timestamp(1_000_000) };
        moves.iter().for_each(|m| game.play(m));
        seen.extend(game.events.iter().map(|e| e.fact.kind()));
    }
    let wanted = [
        "approved",
        "rejected",
        "expired",
        "withdrawn",
        "run-started",
        "action-intended",
        "action-done",
        "action-failed",
        "run-done",
        "run-failed",
        "judged",
        "undo-started",
        "undo-intended",
        "undone-action",
        "undo-failed",
        "undo-done",
        "escalated",
        "resolved",
        "halted",
        "resumed",
        "mode-changed",
        "false-alarm",
        "deployed",
        "plan-refused",
        "plan-asked",
    ];
    let missed: Vec<_> = wanted.iter().filter(|kind| !seen.contains(*kind)).collect();
    assert!(missed.is_empty(), "never reached: {missed:?}");
}

mod feedback {
    use super::*;

    fn event(at: i64, incident: Option<u64>, fact: Fact) -> Event {
        Event {
            at: Timestamp(at),
            service: Some("shop".into()),
            incident: incident.map(IncidentId),
            run: None,
            by: Some(Person::new("good:1", "anna")),
            fact,
        }
    }

    fn opened(id: u64, judge: Judge, score: Option<f64>) -> Event {
        let fact = Fact::IncidentOpened {
            since: Timestamp(0),
            risk: 60.0,
            severity: Severity::Low,
            drivers: Vec::new(),
            judge,
            score,
        };
        event(0, Some(id), fact)
    }

    fn mark(state: &State, id: u64, score: Option<f64>) -> Result<(State, Vec<Event>), Refusal> {
        let by = Person::new("good:1", "anna");
        let input = Input::FalseAlarm { incident: IncidentId(id), score, reason: "a batch job".into(), by };
        step(state, &policies(), input, Timestamp(1_000)).map(Option::unwrap)
    }

    const MODEL: Judge = Judge::Model { version: 1 };

    #[test]
    fn an_open_incident_ends_and_one_that_is_over_is_only_marked() {
        let open = State::fold(&[opened(7, MODEL, Some(1.2))]);
        let (marked, events) = mark(&open, 7, Some(1.2)).unwrap();
        let kinds: Vec<_> = events.iter().map(|e| e.fact.kind()).collect();
        assert_eq!(kinds, ["false-alarm", "resolved"]);
        assert_eq!(marked.incidents[&IncidentId(7)].how.as_deref(), Some("false alarm"));

        let over = event(500, Some(7), Fact::Resolved { how: "recovered alone".into() });
        let over = State::fold(&[opened(7, MODEL, Some(1.2)), over]);
        let (marked, events) = mark(&over, 7, Some(1.2)).unwrap();
        assert_eq!(events.len(), 1);
        let incident = &marked.incidents[&IncidentId(7)];
        assert_eq!((incident.how.as_deref(), incident.closed_at), (Some("recovered alone"), Some(Timestamp(500))));
        let by = Marked { by: "anna".into(), at: Timestamp(1_000), reason: "a batch job".into() };
        assert_eq!(incident.false_alarm, Some(by));
        let alarm = &marked.false_alarms[&ServiceId::from("shop")][0];
        assert_eq!((alarm.at, alarm.incident, alarm.score), (Timestamp(1_000), IncidentId(7), 1.2));

        let again = mark(&marked, 7, None).unwrap_err().to_string();
        assert_eq!(again, "INC-7 is marked as a false alarm already, by anna at 1970-01-01T00:00:01.000Z");
        let unknown = mark(&marked, 8, None).unwrap_err().to_string();
        assert_eq!(unknown, "there is no INC-8; `incidents` lists them");
    }

    #[test]
    fn what_the_model_did_not_raise_says_nothing_about_the_model() {
        let state = State::fold(&[opened(7, Judge::Limits, None)]);
        let (marked, events) = mark(&state, 7, Some(2.0)).unwrap();
        assert!(matches!(events[0].fact, Fact::FalseAlarm { score: None, .. }), "{events:?}");
        assert!(marked.false_alarms.is_empty());
        assert!(marked.incidents[&IncidentId(7)].false_alarm.is_some());
    }

    #[test]
    fn only_approvers_may_say_so() {
        let state = State::fold(&[opened(7, MODEL, None)]);
        let by = Person::new("evil:1", "mallory");
        let said = Input::FalseAlarm { incident: IncidentId(7), score: None, reason: String::new(), by: by.clone() };
        assert!(matches!(step(&state, &policies(), said, Timestamp(0)), Err(Refusal::NotAllowed { .. })));
        let settle = Duration::from_secs(60);
        let said = Input::Deployed { service: "shop".into(), settle, note: String::new(), by: by.clone() };
        assert!(matches!(step(&state, &policies(), said, Timestamp(0)), Err(Refusal::NotAllowed { .. })));
        let said = Input::Deployed { service: "nope".into(), settle, note: String::new(), by };
        assert!(matches!(step(&state, &policies(), said, Timestamp(0)), Err(Refusal::NoService(_))));
    }

    #[test]
    fn the_newest_fifty_false_alarms_and_the_newest_deploy_are_known() {
        let mut events = Vec::new();
        for id in 1..=60 {
            events.push(opened(id, MODEL, None));
            let fact = Fact::FalseAlarm { reason: String::new(), score: Some(1.0), metrics: Vec::new() };
            events.push(event(i64::try_from(id).unwrap(), Some(id), fact));
            events.push(event(0, Some(id), Fact::Resolved { how: "false alarm".into() }));
        }
        for until in [9_000, 5_000] {
            events.push(event(1_000, None, Fact::Deployed { until: Timestamp(until), note: "1.4".into() }));
        }
        let state = State::fold(&events);
        let alarms = &state.false_alarms[&ServiceId::from("shop")];
        assert_eq!((alarms.len(), alarms[0].incident, alarms[49].incident), (50, IncidentId(11), IncidentId(60)));
        let deploy = &state.deploys[&ServiceId::from("shop")];
        assert_eq!((deploy.until, deploy.by.as_str()), (Timestamp(5_000), "anna"));
        let settling = [999, 1_000, 4_999, 5_000].map(|at| deploy.is_settling(Timestamp(at)));
        assert_eq!(settling, [false, true, true, false]);
    }

    #[test]
    fn a_ledger_of_before_reads_as_it_is() {
        let old = serde_json::to_value(opened(7, MODEL, None)).unwrap();
        assert!(old.get("score").is_none(), "what is not known is not written: {old}");
        let read: Event = serde_json::from_value(old).unwrap();
        assert_eq!(State::fold([&read]).incidents[&IncidentId(7)].score, None);
    }
}

mod verdicts {
    use super::*;

    fn readings(normal: &[bool]) -> Vec<Observation> {
        let reading = |(i, normal): (usize, &bool)| Observation {
            at: Timestamp(1_000 * (i as i64 + 1)),
            risk: if *normal { 5.0 } else { 80.0 },
            normal: *normal,
        };
        normal.iter().enumerate().map(reading).collect()
    }

    fn verdict(normal: &[bool], now: i64) -> Option<Verdict> {
        let policy = VerifyPolicy {
            settle: Duration::from_secs(1),
            clear_samples: 3,
            deadline: Duration::from_secs(10),
            undo_when_not_better: true,
        };
        judge(&policy, 80.0, Timestamp(0), &readings(normal), Timestamp(now)).map(|v| v.0)
    }

    #[test]
    fn three_normal_samples_in_a_row_are_a_cure() {
        assert_eq!(verdict(&[false, true, true, true], 4_000), Some(Verdict::Improved));
    }

    #[test]
    fn it_is_too_early_to_say_before_the_deadline() {
        assert_eq!(verdict(&[true, true, false], 3_000), None);
        assert_eq!(verdict(&[], 3_000), None);
    }

    #[test]
    fn as_bad_as_before_at_the_deadline_is_worse() {
        assert_eq!(verdict(&[false; 11], 11_000), Some(Verdict::Worse));
    }

    #[test]
    fn nothing_to_judge_by_is_inconclusive() {
        assert_eq!(verdict(&[], 11_000), Some(Verdict::Inconclusive));
    }

    #[test]
    fn better_but_not_well_is_inconclusive() {
        assert_eq!(
            verdict(&[true, false, true, false, true, false, true, false, true, false], 11_000),
            Some(Verdict::Inconclusive)
        );
    }
}

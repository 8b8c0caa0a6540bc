//! The life of experiments: who may, what ends them, and what never happens, in whatever order things come.

use super::*;
use crate::incident::Frozen;

struct World {
    policies: BTreeMap<ServiceId, Policy>,
    frozen: bool,
}

impl Policies for World {
    fn policy(&self, service: &ServiceId) -> Option<&Policy> {
        self.policies.get(service)
    }

    fn may_approve_anything(&self, _: &Person) -> bool {
        true
    }

    fn frozen(&self, _: &ServiceId, _: Timestamp) -> Option<Frozen> {
        self.frozen.then(|| Frozen { why: "a freeze".to_owned(), until: None })
    }
}

impl World {
    fn new(approval: ApprovalPolicy, mode: Mode) -> Self {
        let policy =
            || Policy { mode, guard: Guard::default(), approval: approval.clone(), verify: VerifyPolicy::default() };
        let policies = SERVICES.map(|service| (service.into(), policy()));
        Self { policies: policies.into(), frozen: false }
    }

    fn take(&self, state: &State, input: OnExperiment, at: i64) -> Result<State, Refusal> {
        self.take_any(state, Input::Experiment(input), at)
    }

    fn take_any(&self, state: &State, input: Input, at: i64) -> Result<State, Refusal> {
        Ok(step(state, self, input, Timestamp(at))?.map_or_else(|| state.clone(), |(next, _)| next))
    }

    fn asked(&self, by: Option<&str>) -> State {
        self.take(&State::default(), ask("shop", by), 0).unwrap()
    }

    /// Under way on the shop.
    fn running(&self) -> State {
        let state = self.take(&self.asked(Some("good:anna")), approve("good:ben"), 1).unwrap();
        assert_eq!(trial(&state).progress, Progress::Running);
        state
    }
}

/// Two people, and who asks is none of them.
fn usual() -> ApprovalPolicy {
    ApprovalPolicy { who: vec!["good:*".into()], expiry: Duration::from_secs(60), ..ApprovalPolicy::default() }
}

fn plan(service: &str) -> ExperimentPlan {
    let fault = |instance: &str| AimedFault {
        fault: Fault::Hang,
        target: "local:shop".parse().unwrap(),
        instances: vec![instance.to_owned()],
        from: Duration::ZERO,
        until: Duration::from_secs(30),
        how: "it is stopped".to_owned(),
        undo: "it goes on".to_owned(),
        held: serde_json::Value::Null,
    };
    let experiment = Experiment {
        name: "hang".to_owned(),
        title: "Two processes do not answer".to_owned(),
        description: String::new(),
        service: None,
        steady_state: SteadyState::default(),
        in_order: false,
        method: Vec::new(),
        blast_radius: BlastRadius::default(),
        abort: AbortRules::default(),
        expect: Expectation::default(),
        digest: Digest::of(b"file"),
    };
    ExperimentPlan { experiment, service: service.into(), faults: vec![fault("shop-1"), fault("shop-2")] }
}

const ID: ExperimentId = ExperimentId(1);

fn ask(service: &str, by: Option<&str>) -> OnExperiment {
    OnExperiment::Ask { plan: Box::new(plan(service)), by: by.map(|by| Person::new(by, by)) }
}

fn approve(by: &str) -> OnExperiment {
    OnExperiment::Approve { id: None, digest: None, by: Person::new(by, by) }
}

fn stop() -> OnExperiment {
    OnExperiment::Stop { id: ID, why: "enough".to_owned(), by: None }
}

fn intend(index: u32) -> OnExperiment {
    OnExperiment::Intend { id: ID, index }
}

fn put_in(index: u32) -> OnExperiment {
    OnExperiment::PutIn { id: ID, index, words: "done".to_owned() }
}

fn taken_out(index: u32) -> OnExperiment {
    OnExperiment::TakenOut { id: ID, index, how: "done".to_owned() }
}

fn finish() -> OnExperiment {
    OnExperiment::Finish { id: ID, outcome: ExperimentOutcome::Passed, why: "as expected".to_owned() }
}

fn trial(state: &State) -> &Trial {
    state.experiments.get(ID).unwrap()
}

fn unwell(service: &str, at: i64) -> Input {
    let reading = Reading {
        service: service.into(),
        at: Timestamp(at),
        score: 2.0,
        threshold: 1.0,
        risk: 90.0,
        severity: Severity::High,
        drivers: Vec::new(),
        judge: Judge::Model { version: 1 },
        ahead: Vec::new(),
    };
    Input::Observed { reading, raised: Some(Timestamp(at)), calm: false }
}

#[test]
fn it_begins_when_somebody_else_says_yes() {
    let world = World::new(usual(), Mode::Approve);
    let state = world.asked(Some("good:anna"));
    assert_eq!(trial(&state).progress, Progress::Asked);
    let own = world.take(&state, approve("good:anna"), 1).unwrap_err();
    assert!(matches!(own, Refusal::OwnRequest(_)), "{own}");
    let stranger = world.take(&state, approve("bad:eve"), 1).unwrap_err();
    assert!(matches!(stranger, Refusal::NotAllowed { .. }), "{stranger}");
    assert!(world.take(&State::default(), ask("shop", Some("bad:eve")), 0).is_err());
    let other =
        OnExperiment::Approve { id: Some(ID), digest: Some(Digest::of(b"x")), by: Person::new("good:ben", "b") };
    assert!(world.take(&state, other, 1).unwrap_err().to_string().contains("another plan"));
    world.running();
}

#[test]
fn as_many_as_policy_says_and_never_the_same_twice() {
    let world = World::new(ApprovalPolicy { quorum: 2, ..usual() }, Mode::Approve);
    let one = world.take(&world.asked(None), approve("good:ben"), 1).unwrap();
    assert_eq!(trial(&one).progress, Progress::Asked);
    assert!(matches!(world.take(&one, approve("good:ben"), 2), Err(Refusal::AlreadyApproved(_, 1))));
    let two = world.take(&one, approve("good:cleo"), 2).unwrap();
    assert_eq!(trial(&two).progress, Progress::Running);
}

#[test]
fn in_mode_auto_nobody_is_asked() {
    let world = World::new(usual(), Mode::Auto);
    assert_eq!(trial(&world.asked(Some("good:anna"))).progress, Progress::Running);
}

#[test]
fn one_at_a_time_on_a_service_that_is_well_and_not_frozen() {
    let mut world = World::new(usual(), Mode::Approve);
    let state = world.running();
    assert!(world.take(&state, ask("shop", Some("good:anna")), 2).unwrap_err().to_string().contains("two at a time"));
    assert!(world.take(&state, ask("till", Some("good:anna")), 2).is_ok());
    assert!(matches!(world.take(&state, ask("nope", Some("good:anna")), 2), Err(Refusal::NoService(_))));
    let ill = world.take_any(&State::default(), unwell("shop", 5), 5).unwrap();
    assert!(world.take(&ill, ask("shop", Some("good:anna")), 6).unwrap_err().to_string().contains("open incident"));
    let asked = world.asked(Some("good:anna"));
    let fell_ill = world.take_any(&asked, unwell("shop", 5), 5).unwrap();
    assert_eq!(trial(&fell_ill).progress, Progress::Declined);
    world.frozen = true;
    assert!(matches!(world.take(&asked, approve("good:ben"), 1), Err(Refusal::Frozen { .. })));
}

#[test]
fn a_question_ends_by_a_no_by_time_and_by_stop() {
    let world = World::new(usual(), Mode::Approve);
    let asked = world.asked(Some("good:anna"));
    let no = OnExperiment::Reject { id: None, reason: "not today".to_owned(), by: Person::new("good:ben", "ben") };
    let rejected = world.take(&asked, no, 1).unwrap();
    assert_eq!(trial(&rejected).why, "rejected by ben: not today");
    let expired = world.take_any(&asked, Input::Tick, 60_000).unwrap();
    assert_eq!(trial(&expired).why, "nobody approved it in time");
    let stopped = world.take(&asked, stop(), 1).unwrap();
    for state in [&rejected, &expired, &stopped] {
        assert_eq!(trial(state).progress, Progress::Declined);
        assert!(world.take(state, approve("good:ben"), 61_000).is_err());
        assert!(world.take(state, intend(0), 61_000).is_err());
    }
}

#[test]
fn a_fault_goes_in_once_after_it_was_intended_and_the_end_comes_when_all_are_out() {
    let world = World::new(usual(), Mode::Approve);
    let state = world.running();
    assert_eq!(world.take(&state, put_in(0), 2).unwrap(), state, "nobody intended it");
    let state = world.take(&state, intend(0), 2).unwrap();
    assert_eq!(trial(&state).faults[0], FaultState::Intended(Timestamp(2)));
    assert!(world.take(&state, intend(0), 3).is_err(), "twice");
    assert!(world.take(&state, intend(7), 3).is_err(), "there is none");
    assert!(world.take(&state, finish(), 3).unwrap_err().to_string().contains("may still be in"));
    let state = world.take(&state, put_in(0), 3).unwrap();
    assert_eq!(trial(&state).first_fault_at, Some(Timestamp(3)));
    assert!(world.take(&state, finish(), 4).is_err());
    let state = world.take(&state, taken_out(0), 4).unwrap();
    assert_eq!(world.take(&state, taken_out(0), 5).unwrap(), state, "once");
    let state = world.take(&state, finish(), 6).unwrap();
    assert_eq!(trial(&state).progress, Progress::Ended(ExperimentOutcome::Passed));
    assert!(world.take(&state, stop(), 7).is_err());
}

#[test]
fn what_cannot_be_taken_out_is_said_once_and_keeps_it_from_ending() {
    let world = World::new(usual(), Mode::Approve);
    let state = world.take(&world.running(), intend(0), 2).unwrap();
    let stuck = || OnExperiment::Stuck { id: ID, index: 0, why: "no answer".to_owned() };
    let state = world.take(&state, stuck(), 3).unwrap();
    assert_eq!(world.take(&state, stuck(), 4).unwrap(), state);
    assert!(world.take(&state, finish(), 5).is_err());
    let state = world.take(&state, taken_out(0), 6).unwrap();
    assert!(world.take(&state, finish(), 7).is_ok());
}

#[test]
fn stop_kill_switch_and_another_incident_break_it_off_and_nothing_more_goes_in() {
    let world = World::new(usual(), Mode::Approve);
    let running = world.take(&world.running(), intend(0), 2).unwrap();
    let stopped = world.take(&running, stop(), 3).unwrap();
    let halt = Input::Halt { reason: "fire".to_owned(), by: Person::new("any:one", "any") };
    let halted = world.take_any(&running, halt, 3).unwrap();
    let other = world.take_any(&running, unwell("till", 3), 3).unwrap();
    for (state, why) in
        [(&stopped, "enough"), (&halted, "everything is stopped: fire"), (&other, "INC-1 opened on till")]
    {
        assert_eq!(trial(state).abort.as_deref(), Some(why));
        assert!(world.take(state, intend(1), 4).is_err());
        // The way out is open all the same.
        let out = world.take(state, taken_out(0), 5).unwrap();
        assert!(world.take(&out, finish(), 6).is_ok());
    }
    let own = world.take_any(&running, unwell("shop", 3), 3).unwrap();
    assert_eq!(trial(&own).abort, None, "that is what it is for");
}

#[test]
fn an_incident_of_its_service_is_tagged_with_it() {
    let world = World::new(usual(), Mode::Approve);
    let running = world.running();
    let before = world.take_any(&running, unwell("shop", 2), 2).unwrap();
    assert_eq!(before.incidents[&IncidentId(1)].experiment, None, "nothing was in yet");
    let state = world.take(&world.take(&running, intend(0), 2).unwrap(), put_in(0), 3).unwrap();
    let state = world.take_any(&state, unwell("shop", 4), 4).unwrap();
    assert_eq!(state.incidents[&IncidentId(1)].experiment, Some(ID));
    assert_eq!(state.incidents[&IncidentId(1)].fault_at, Some(Timestamp(3)));
}

#[derive(Clone, Debug)]
enum Turn {
    Ask(usize, bool),
    Approve(usize),
    Reject,
    Stop(u64),
    Intend(u64, u32),
    PutIn(u64, u32),
    Out(u64, u32),
    Stuck(u64, u32),
    Finish(u64),
    Ill(usize),
    Halt,
    Resume,
    Wait,
}

fn a_turn() -> impl Strategy<Value = Turn> {
    let (id, index) = (1..4_u64, 0..3_u32);
    prop_oneof![
        4 => (0..2_usize, any::<bool>()).prop_map(|(s, by)| Turn::Ask(s, by)),
        6 => (0..3_usize).prop_map(Turn::Approve),
        1 => Just(Turn::Reject),
        1 => id.clone().prop_map(Turn::Stop),
        8 => (id.clone(), index.clone()).prop_map(|(a, b)| Turn::Intend(a, b)),
        8 => (id.clone(), index.clone()).prop_map(|(a, b)| Turn::PutIn(a, b)),
        6 => (id.clone(), index.clone()).prop_map(|(a, b)| Turn::Out(a, b)),
        2 => (id.clone(), index).prop_map(|(a, b)| Turn::Stuck(a, b)),
        4 => id.prop_map(Turn::Finish),
        1 => (0..2_usize).prop_map(Turn::Ill),
        1 => Just(Turn::Halt),
        2 => Just(Turn::Resume),
        2 => Just(Turn::Wait),
    ]
}

proptest! {
    /// Whatever comes in whatever order: no fault goes in without a yes and an intent, nothing goes in once it is broken off,
    /// nothing is over with a fault in, and the ledger folds to the same state.
    #[test]
    fn whatever_happens(turns in prop::collection::vec(a_turn(), 0..60)) {
        let world = World::new(usual(), Mode::Approve);
        let (mut state, mut events, mut now) = (State::default(), Vec::new(), 0);
        for turn in turns {
            now += 1000;
            let by = |i: usize| Person::new(["good:anna", "good:ben", "bad:eve"][i], "x");
            let exp = ExperimentId;
            let input = match turn {
                Turn::Ask(s, person) => Input::Experiment(ask(SERVICES[s], person.then_some("good:anna"))),
                Turn::Approve(i) => Input::Experiment(OnExperiment::Approve { id: None, digest: None, by: by(i) }),
                Turn::Reject => Input::Experiment(OnExperiment::Reject { id: None, reason: String::new(), by: by(1) }),
                Turn::Stop(id) => Input::Experiment(OnExperiment::Stop { id: exp(id), why: "x".into(), by: None }),
                Turn::Intend(id, index) => Input::Experiment(OnExperiment::Intend { id: exp(id), index }),
                Turn::PutIn(id, index) => Input::Experiment(OnExperiment::PutIn { id: exp(id), index, words: "x".into() }),
                Turn::Out(id, index) => Input::Experiment(OnExperiment::TakenOut { id: exp(id), index, how: "x".into() }),
                Turn::Stuck(id, index) => Input::Experiment(OnExperiment::Stuck { id: exp(id), index, why: "x".into() }),
                Turn::Finish(id) => Input::Experiment(OnExperiment::Finish {
                    id: exp(id), outcome: ExperimentOutcome::Passed, why: "x".into(),
                }),
                Turn::Ill(s) => unwell(SERVICES[s], now),
                Turn::Halt => Input::Halt { reason: "x".into(), by: by(0) },
                Turn::Resume => Input::Resume { by: by(0) },
                Turn::Wait => { now += 30_000; Input::Tick }
            };
            let Ok(Some((next, more))) = step(&state, &world, input, Timestamp(now)) else { continue };
            for event in &more {
                match &event.fact {
                    Fact::FaultIntended { experiment, .. } => {
                        let before = state.experiments.get(*experiment).unwrap();
                        prop_assert_eq!(before.progress, Progress::Running);
                        prop_assert!(before.abort.is_none() && state.halted.is_none());
                        prop_assert!(!before.approvals.is_empty());
                    }
                    Fact::FaultInjected { experiment: Some(id), index: Some(i), .. } => {
                        let before = &state.experiments.get(*id).unwrap().faults[*i as usize];
                        prop_assert!(matches!(before, FaultState::Intended(_)));
                    }
                    Fact::ExperimentEnded { experiment, .. } => {
                        prop_assert!(!state.experiments.get(*experiment).unwrap().may_be_in());
                    }
                    _ => {}
                }
            }
            for service in SERVICES {
                let open = next.experiments.all().filter(|t| t.is_open() && t.service().0 == service).count();
                prop_assert!(open <= 1);
            }
            events.extend(more);
            state = next;
        }
        prop_assert_eq!(State::fold(&events), state);
    }
}

//! Who may say yes to what, when, and together with whom.

use super::*;
use crate::incident::Frozen;
use crate::model::{ActionKind, Allow};

/// One service with this way of approving; groups and freezes as told.
struct World {
    policies: BTreeMap<ServiceId, Policy>,
    groups: BTreeMap<String, Vec<String>>,
    frozen: bool,
}

impl Policies for World {
    fn policy(&self, service: &ServiceId) -> Option<&Policy> {
        self.policies.get(service)
    }

    fn may_approve_anything(&self, _: &Person) -> bool {
        true
    }

    fn groups(&self, person: &str) -> Vec<String> {
        self.groups.get(person).cloned().unwrap_or_default()
    }

    fn frozen(&self, _: &ServiceId, _: Timestamp) -> Option<Frozen> {
        self.frozen.then(|| Frozen { why: "a freeze".to_owned(), until: None })
    }
}

const MINUTE: i64 = 60_000;

impl World {
    fn new(approval: ApprovalPolicy, mode: Mode) -> Self {
        let guard = Guard { cooldown: Duration::from_millis(1), ..Guard::default() };
        let policy = Policy { mode, guard, approval, verify: VerifyPolicy::default() };
        Self { policies: BTreeMap::from([("shop".into(), policy)]), groups: BTreeMap::new(), frozen: false }
    }

    fn take(&self, state: &State, input: Input, at: i64) -> Result<State, Refusal> {
        Ok(step(state, self, input, Timestamp(at))?.map_or_else(|| state.clone(), |(next, _)| next))
    }

    /// Somebody asks for a playbook on a service that is well, and its dry run gave a plan.
    fn asked(&self, by: &str) -> State {
        let state = self.take(&State::default(), ask(by), 0).unwrap();
        self.planned(&state, 1)
    }

    fn planned(&self, state: &State, number: u32) -> State {
        let ready = Input::PlanReady {
            incident: IncidentId(1),
            playbook: "scale-out".to_owned(),
            view: serde_json::Value::Null,
            result: Ok(plan(number)),
            args: BTreeMap::new(),
            ran: None,
        };
        self.take(state, ready, 1).unwrap()
    }

    fn approve(&self, state: &State, by: &str, with_code: bool, at: i64) -> Result<State, Refusal> {
        let by = Person::new(by, by);
        self.take(state, Input::Approve { incident: Some(IncidentId(1)), digest: None, with_code, by }, at)
    }
}

fn plan(number: u32) -> Plan {
    Plan {
        incident: IncidentId(1),
        number,
        service: "shop".into(),
        playbook: "scale-out".to_owned(),
        component: Digest::of(b"component"),
        args: BTreeMap::new(),
        actions: steps(1),
        may: Vec::new(),
        notes: Vec::new(),
    }
}

fn proposal() -> Proposal {
    Proposal {
        playbook: "scale-out".to_owned(),
        args: BTreeMap::new(),
        why: String::new(),
        rule: "somebody".to_owned(),
    }
}

fn ask(by: &str) -> Input {
    Input::Ask { service: "shop".into(), proposal: proposal(), by: Person::new(by, by) }
}

/// These may do everything.
fn all(who: &[&str]) -> ApprovalPolicy {
    ApprovalPolicy { who: who.iter().map(|w| (*w).to_owned()).collect(), ..ApprovalPolicy::default() }
}

fn sick(at: i64) -> Input {
    let reading = Reading {
        service: "shop".into(),
        at: Timestamp(at),
        score: 2.0,
        threshold: 1.0,
        risk: 90.0,
        severity: Severity::High,
        drivers: Vec::new(),
        judge: Judge::Limits,
        ahead: Vec::new(),
    };
    Input::Observed { reading, raised: Some(Timestamp(at)), calm: false }
}

#[test]
fn a_rule_gives_a_group_one_kind_of_action_and_nothing_else() {
    let rule = Allow {
        who: vec!["slack-group:S1".to_owned()],
        verbs: vec!["approve".to_owned()],
        actions: vec![ActionKind::Scale],
        targets: vec!["fake:*".to_owned()],
    };
    let mut world = World::new(ApprovalPolicy { allow: vec![rule], ..all(&["slack:U1"]) }, Mode::Approve);
    let state = world.asked("slack:U1");
    let refused = world.approve(&state, "slack:U2", false, 2).unwrap_err().to_string();
    assert!(refused.contains("[[allow]]") && refused.contains("actions = [\"scale\"]"), "{refused}");
    world.groups.insert("slack:U2".to_owned(), vec!["slack-group:S1".to_owned()]);
    assert_eq!(world.approve(&state, "slack:U2", false, 2).unwrap().runs.len(), 1);
    let no = Input::Reject { incident: None, digest: None, reason: String::new(), by: Person::new("slack:U2", "ben") };
    assert!(matches!(world.take(&state, no, 2), Err(Refusal::NotAllowed { .. })), "to approve is not to reject");
    // Another target is another matter.
    world.policies.get_mut(&ServiceId::from("shop")).unwrap().approval.allow[0].targets = vec!["k8s:*".to_owned()];
    assert!(matches!(world.approve(&state, "slack:U2", false, 2), Err(Refusal::NotAllowed { .. })));
}

#[test]
fn what_throws_data_away_takes_two_people_whatever_the_policy_says() {
    for mode in [Mode::Approve, Mode::Auto] {
        let world = World::new(all(&["slack:*"]), mode);
        let target = "redis:cache".parse().unwrap();
        let flush = Action::Flush { target, prefix: "page:".to_owned() };
        let state = world.take(&State::default(), sick(0), 0).unwrap();
        let proposed = Input::ProposalsReady {
            incident: IncidentId(1),
            view: serde_json::Value::Null,
            result: Ok(vec![proposal()]),
            asked: Vec::new(),
        };
        let state = world.take(&state, proposed, 1).unwrap();
        let actions = vec![PlannedAction::new(flush, Facet::Flushed(false))];
        let ready = Input::PlanReady {
            incident: IncidentId(1),
            playbook: "scale-out".to_owned(),
            view: serde_json::Value::Null,
            result: Ok(Plan { actions, ..plan(1) }),
            args: BTreeMap::new(),
            ran: None,
        };
        let state = world.take(&state, ready, 2).unwrap();
        assert!(state.runs.is_empty() && state.incidents[&IncidentId(1)].question.is_some(), "{mode}");
        let one = world.approve(&state, "slack:U1", false, 3).unwrap();
        assert!(one.runs.is_empty(), "one is not enough");
        let two = world.approve(&one, "slack:U2", false, 4).unwrap();
        assert_eq!(two.runs.len(), 1);
    }
}

#[test]
fn who_left_the_group_before_the_run_does_not_count_any_more() {
    let approval = ApprovalPolicy { quorum: 2, ..all(&["slack-group:S1", "slack:U9"]) };
    let mut world = World::new(approval, Mode::Approve);
    for user in ["slack:U1", "slack:U2"] {
        world.groups.insert(user.to_owned(), vec!["slack-group:S1".to_owned()]);
    }
    let state = world.asked("slack:U9");
    let state = world.approve(&state, "slack:U1", false, 2).unwrap();
    world.groups.remove("slack:U1");
    let state = world.approve(&state, "slack:U2", false, 3).unwrap();
    assert!(state.runs.is_empty(), "one of the two is nobody now");
    world.groups.insert("slack:U1".to_owned(), vec!["slack-group:S1".to_owned()]);
    assert_eq!(world.take(&state, Input::Tick, 4).unwrap().runs.len(), 1);
}

#[test]
fn none_of_those_who_asked_approves_it_however_often_it_is_planned() {
    let world = World::new(all(&["slack:*"]), Mode::Approve);
    let state = world.asked("slack:U1");
    assert!(matches!(world.approve(&state, "slack:U1", false, 2), Err(Refusal::OwnRequest(_))));
    // Somebody else presses `Plan again`: now both have asked.
    let by = Person::new("slack:U2", "ben");
    let again = world.take(&state, Input::AskPlan { incident: IncidentId(1), proposal: None, by }, 3).unwrap();
    let state = world.planned(&again, 2);
    for user in ["slack:U1", "slack:U2"] {
        assert!(matches!(world.approve(&state, user, false, 4), Err(Refusal::OwnRequest(_))), "{user}");
    }
    let mut state = world.approve(&state, "slack:U3", false, 4).unwrap();
    // The world moved: the fresh plan of the same request is theirs as well.
    let moved = Err(RunFailure { error: "it has 5 workers".to_owned(), moved: true });
    state = world.take(&state, Input::RunEnded { run: RunId(1), result: moved, ran: None }, 5).unwrap();
    let state = world.planned(&state, 3);
    assert!(matches!(world.approve(&state, "slack:U1", false, 6), Err(Refusal::OwnRequest(_))));
    assert_eq!(world.approve(&state, "slack:U4", false, 6).unwrap().runs.len(), 2);
}

#[test]
fn what_a_person_asked_for_is_not_approved_by_the_mode() {
    let world = World::new(all(&["slack:*"]), Mode::Auto);
    let state = world.asked("slack:U1");
    assert!(state.runs.is_empty() && state.incidents[&IncidentId(1)].question.is_some());
}

#[test]
fn a_code_is_asked_for_where_the_config_says_so() {
    let world =
        World::new(ApprovalPolicy { second_factor: vec![ActionKind::Scale], ..all(&["slack:*"]) }, Mode::Approve);
    let state = world.asked("slack:U1");
    assert!(matches!(world.approve(&state, "slack:U2", false, 2), Err(Refusal::NeedsCode { .. })));
    assert_eq!(world.approve(&state, "slack:U2", true, 2).unwrap().runs.len(), 1);
}

#[test]
fn in_a_freeze_nothing_is_approved_and_nothing_starts() {
    let mut world = World::new(ApprovalPolicy { quorum: 2, ..all(&["slack:*"]) }, Mode::Approve);
    let state = world.asked("slack:U1");
    let one = world.approve(&state, "slack:U2", false, 2).unwrap();
    world.frozen = true;
    let refused = world.approve(&one, "slack:U3", false, 3).unwrap_err();
    assert!(matches!(refused, Refusal::Frozen { .. }), "{refused}");
    world.frozen = false;
    let two = world.approve(&one, "slack:U3", false, 4).unwrap();
    assert_eq!(two.runs.len(), 1);
}

#[test]
fn others_are_called_once_and_not_about_what_is_approved() {
    let approval = ApprovalPolicy {
        escalate_after: Some(Duration::from_secs(600)),
        escalate_to: vec!["slack-channel:C1".to_owned()],
        ..all(&["slack:*"])
    };
    let world = World::new(approval, Mode::Approve);
    let state = world.asked("slack:U1");
    let (state, events) = step(&state, &world, Input::Tick, Timestamp(11 * MINUTE)).unwrap().unwrap();
    assert!(matches!(&events[0].fact, Fact::Called { to, .. } if to[0] == "slack-channel:C1"), "{events:?}");
    assert!(step(&state, &world, Input::Tick, Timestamp(12 * MINUTE)).unwrap().is_none());
    assert_eq!(world.approve(&state, "slack:U2", false, 13 * MINUTE).unwrap().runs.len(), 1);
}

#[test]
fn a_request_ends_without_an_alarm_and_makes_room_for_a_real_incident() {
    let world = World::new(all(&["slack:*"]), Mode::Approve);
    let state = world.asked("slack:U1");
    let by = Person::new("slack:U2", "ben");
    let no = Input::Reject { incident: None, digest: None, reason: "not now".to_owned(), by };
    let rejected = world.take(&state, no, 2).unwrap();
    let over = &rejected.incidents[&IncidentId(1)];
    assert_eq!(over.how.as_deref(), Some("not carried out: rejected by ben: not now"));
    // The service falls ill while the request waits.
    let ill = world.take(&state, sick(3), 3).unwrap();
    assert_eq!(ill.incidents[&IncidentId(1)].phase, Phase::Resolved);
    assert_eq!((ill.incidents[&IncidentId(2)].phase, ill.incidents[&IncidentId(2)].risk), (Phase::Open, 90.0));
}

//! What must be true of plans and runs around the executions.

use super::*;
use crate::model::HostCall;

async fn two_steps() -> Vec<Event> {
    healed_by("shed-load", args(&[("instance", "shop-2")]), shop_of(2)).await
}

async fn only_problem(events: &[Event]) -> String {
    let replay = replayed(events).await;
    assert_eq!(replay.ended(), Ended::Different, "{replay}");
    let [one] = problems(&replay).try_into().unwrap_or_else(|all| panic!("{all:?}"));
    one
}

#[tokio::test]
async fn a_plan_that_does_not_have_its_digest() {
    let mut events = two_steps().await;
    let Fact::Planned { plan, .. } = &mut events[2].fact else { panic!() };
    plan.may.push("anything else".to_owned());
    let problem = only_problem(&events).await;
    assert!(problem.starts_with("plan 1 has the digest") && problem.contains("the plan's digest is"), "{problem}");
}

#[tokio::test]
async fn a_plan_that_its_dry_run_did_not_ask_for() {
    let mut events = two_steps().await;
    let Fact::Planned { plan, digest, .. } = &mut events[2].fact else { panic!() };
    let Action::Scale { to, .. } = &mut plan.actions[0].action else { panic!() };
    *to = 6;
    *digest = plan.digest();
    let now = *digest;
    let Fact::RunStarted { digest } = &mut events[3].fact else { panic!() };
    *digest = now;
    let replay = replayed(&events).await;
    let all = problems(&replay).join("\n");
    assert!(all.contains("the dry run has scale local:shop to 3, the plan scale local:shop to 6"), "{all}");
    assert!(all.contains("RUN-3 did nothing but its plan, in order: step 1 was scale local:shop to 3"), "{all}");
}

#[tokio::test]
async fn a_way_back_that_does_not_lead_back() {
    let mut events = two_steps().await;
    let Fact::Planned { plan, digest, .. } = &mut events[2].fact else { panic!() };
    plan.actions[0].inverse = crate::model::Inverse::Impossible("never".to_owned());
    *digest = plan.digest();
    let replay = replayed(&events).await;
    let all = problems(&replay).join("\n");
    assert!(all.contains("how it is taken back, does not follow from it"), "{all}");
}

#[tokio::test]
async fn a_run_that_did_its_steps_in_another_order() {
    let mut events = two_steps().await;
    events.swap(4, 6);
    events.swap(5, 7);
    let problem = only_problem(&events).await;
    assert!(problem.contains("did nothing but its plan, in order: step 2 was isolate"), "{problem}");
}

#[tokio::test]
async fn a_step_that_nobody_announced_and_one_that_is_missing() {
    let mut events = two_steps().await;
    events.remove(6);
    assert!(only_problem(&events).await.ends_with("step 2 was done without having been announced"));
    events.remove(6);
    let problems = problems(&replayed(&events).await).join("\n");
    assert!(problems.contains("1 of 2 steps are done, and it is said to be complete"), "{problems}");
    assert!(problems.contains("it was told that isolate local:shop/shop-2 is done"), "{problems}");
}

#[tokio::test]
async fn a_receipt_that_the_playbook_did_not_hear() {
    let mut events = two_steps().await;
    let Fact::ActionDone { receipt, .. } = &mut events[5].fact else { panic!() };
    "did something else".clone_into(receipt);
    let problem = only_problem(&events).await;
    assert!(problem.contains("step 1: the target said `did something else`"), "{problem}");
}

#[tokio::test]
async fn a_look_that_was_kept_and_not_told() {
    let mut events = two_steps().await;
    let look =
        |state: TargetState| HostCall { call: "look".to_owned(), input: json!(shop()), output: json!({ "ok": state }) };
    let called = |state| event(1_004, Some(3), Fact::HostCalled { calls: vec![look(state)] });
    events.insert(4, called(shop_of(2)));
    assert_eq!(replayed(&events).await.ended(), Ended::Identical);
    events[4] = called(shop_of(4));
    let problem = only_problem(&events).await;
    assert!(problem.contains("was told what was kept before each of its actions: look 1"), "{problem}");
}

#[tokio::test]
async fn a_look_at_settings_is_a_look_that_was_kept_as_well() {
    let state = TargetState { settings: BTreeMap::from([("maxmemory".to_owned(), "0".to_owned())]), ..shop_of(2) };
    let given = args(&[("setting", "maxmemory"), ("value", "1")]);
    let mut events = healed_by("tune", given, state.clone()).await;
    let called = |state: &TargetState| {
        let output = json!({ "ok": state });
        let look = HostCall { call: "look".to_owned(), input: json!(shop()), output };
        event(1_004, Some(3), Fact::HostCalled { calls: vec![look] })
    };
    events.insert(4, called(&state));
    assert_eq!(replayed(&events).await.ended(), Ended::Identical);
    events[4] = called(&shop_of(2));
    let problem = only_problem(&events).await;
    assert!(problem.contains("was told what was kept before each of its actions: look 1"), "{problem}");
}

#[tokio::test]
async fn a_proposal_that_no_rule_made() {
    let mut events = two_steps().await;
    let Fact::Proposed { proposals, .. } = &mut events[1].fact else { panic!() };
    assert!(!proposals.is_empty());
    proposals.clear();
    assert_eq!(replayed(&events).await.ended(), Ended::Identical, "some may be left out");
    let Fact::Proposed { proposals, .. } = &mut events[1].fact else { panic!() };
    proposals.push(proposal("wipe-all"));
    let problem = only_problem(&events).await;
    assert!(problem.contains("no rule proposed wipe-all"), "{problem}");
}

#[tokio::test]
async fn a_run_whose_plan_is_not_there() {
    let mut events = two_steps().await;
    let Fact::RunStarted { digest } = &mut events[3].fact else { panic!() };
    *digest = Digest::of(b"another plan");
    let all = problems(&replayed(&events).await).join("\n");
    assert!(all.contains("there is no plan with the digest that it names"), "{all}");
}

#[tokio::test]
async fn what_is_of_another_incident_is_left_alone() {
    let mut events = two_steps().await;
    let mut other = opened();
    other.incident = Some(IncidentId(8));
    events.insert(2, other);
    assert_eq!(replayed(&events).await.ended(), Ended::Identical);
    assert!(Case::of(IncidentId(9), (1..).zip(&events)).is_none());
}

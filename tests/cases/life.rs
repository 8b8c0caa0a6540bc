//! The life of an incident, stage by stage, against a platform whose state moves.

use std::time::Duration;

use suture::incident::{Input, Phase, Refusal, State};
use suture::model::{ActionKind, Event, Fact, Guard, IncidentId, Mode, Person, Role, RunId, Verdict};

use crate::harness::{Cut, Script, World};

fn kinds(world: &World) -> Vec<&'static str> {
    world.events.lock().unwrap().iter().map(|e: &Event| e.fact.kind()).collect()
}

async fn lived(script: Script) -> (World, State) {
    let world = World::new(script);
    let mut life = world.life(&Cut::never());
    world.live(&mut life, 200).await;
    let state = (*life.engine.state()).clone();
    (world, state)
}

#[tokio::test]
async fn a_sick_service_is_healed_as_approved() {
    let (world, state) = lived(Script::default()).await;
    assert_eq!(world.replicas(), 4);
    assert_eq!(state.incidents[&IncidentId(1)].how.as_deref(), Some("healed"));
    assert_eq!(
        kinds(&world),
        [
            "incident-opened",
            "proposed",
            "planned",
            "approved",
            "run-started",
            "host-called",
            "action-intended",
            "action-done",
            "host-called",
            "action-intended",
            "action-done",
            "action-intended",
            "action-done",
            "playbook-ended",
            "run-done",
            "judged",
            "resolved",
        ]
    );
}

#[tokio::test]
async fn a_cure_that_does_not_help_is_undone_and_the_next_is_tried() {
    let (world, state) = lived(Script { proposals: vec!["no-help", "scale-and-cache"], ..Script::default() }).await;
    assert_eq!(state.incidents[&IncidentId(1)].how.as_deref(), Some("healed"));
    let run = &state.runs[&RunId(1)];
    assert!(run.undo_done, "{run:?}");
    let cluster = world.cluster.lock().unwrap();
    let shop = cluster.targets.values().next().unwrap();
    assert!(!shop.instances[0].isolated, "what did not help is taken back");
    assert_eq!(shop.cache_ttl_ms, Some(30_000));
}

#[tokio::test]
async fn when_nothing_helps_a_person_is_told_and_everything_is_as_before() {
    let (world, state) = lived(Script { proposals: vec!["no-help"], ..Script::default() }).await;
    let incident = &state.incidents[&IncidentId(1)];
    assert_eq!(incident.phase, Phase::Escalated);
    assert!(incident.note.as_deref().unwrap().contains("nothing is left to try"), "{:?}", incident.note);
    assert_eq!(world.cluster.lock().unwrap().targets.values().next().unwrap().cache_ttl_ms, Some(1_000));
}

#[tokio::test]
async fn observe_plans_and_never_acts() {
    let (world, state) = lived(Script { mode: Mode::Observe, ..Script::default() }).await;
    assert!(world.cluster.lock().unwrap().effects.is_empty());
    assert!(kinds(&world).contains(&"planned"));
    assert!(!kinds(&world).contains(&"approved"));
    assert_eq!(state.incidents[&IncidentId(1)].phase, Phase::Escalated);
}

#[tokio::test]
async fn auto_acts_within_the_guardrails_without_asking() {
    let (world, _) = lived(Script { mode: Mode::Auto, approve: false, ..Script::default() }).await;
    assert_eq!(world.replicas(), 4);
}

#[tokio::test]
async fn a_question_nobody_answers_expires_and_escalates() {
    let (world, state) = lived(Script { approve: false, ..Script::default() }).await;
    assert_eq!(state.incidents[&IncidentId(1)].phase, Phase::Escalated);
    assert!(kinds(&world).contains(&"expired"));
    assert!(world.cluster.lock().unwrap().effects.is_empty());
}

#[tokio::test]
async fn a_denial_the_playbook_swallows_still_refuses_the_plan() {
    let (world, state) = lived(Script { proposals: vec!["denied"], ..Script::default() }).await;
    assert_eq!(state.incidents[&IncidentId(1)].phase, Phase::Escalated);
    assert!(kinds(&world).contains(&"plan-refused"));
}

#[tokio::test]
async fn an_empty_plan_is_refused() {
    let (_, state) = lived(Script { proposals: vec!["nothing"], ..Script::default() }).await;
    let note = state.incidents[&IncidentId(1)].note.clone().unwrap();
    assert!(note.contains("nothing to approve"), "{note}");
}

/// Lives until the plan waits for approval, without anybody approving.
async fn asked(script: Script) -> (World, crate::harness::Life) {
    let world = World::new(Script { approve: false, ..script });
    let mut life = world.life(&Cut::never());
    for _ in 0..10 {
        world.turn(&mut life).await;
    }
    assert_eq!(life.engine.state().incidents[&IncidentId(1)].phase, Phase::AwaitingApproval);
    (world, life)
}

fn approve(by: &str) -> Input {
    Input::Approve { incident: Some(IncidentId(1)), digest: None, with_code: false, by: Person::new(by, "anna") }
}

#[tokio::test]
async fn when_the_world_moved_the_run_is_refused_and_a_fresh_plan_is_asked() {
    let (mut world, mut life) = asked(Script::default()).await;
    world.cluster.lock().unwrap().targets.values_mut().next().unwrap().replicas = 3;
    life.engine.submit(approve("test:anna")).await.unwrap();
    world.turn(&mut life).await;
    world.turn(&mut life).await;
    let state = life.engine.state();
    let incident = &state.incidents[&IncidentId(1)];
    assert!(world.cluster.lock().unwrap().effects.is_empty(), "nothing was done on a world that moved");
    assert_eq!(incident.plans, 2, "{incident:?}");
    assert_eq!(incident.phase, Phase::AwaitingApproval);
    world.script.approve = true;
    world.live(&mut life, 100).await;
    assert_eq!(life.engine.state().incidents[&IncidentId(1)].how.as_deref(), Some("healed"));
}

#[tokio::test]
async fn only_those_named_in_the_policy_may_approve() {
    let (_, life) = asked(Script::default()).await;
    let refused = life.engine.submit(approve("console:mallory")).await.unwrap_err().to_string();
    assert!(refused.contains("Add \"console:mallory\" to `who`") && refused.contains("[[allow]]"), "{refused}");
}

#[tokio::test]
async fn a_stale_plan_cannot_be_approved() {
    let (_, life) = asked(Script::default()).await;
    let digest = Some(suture::model::Digest::of(b"another plan"));
    let input = Input::Approve { incident: None, digest, with_code: false, by: Person::new("test:anna", "anna") };
    let refused = life.engine.submit(input).await.unwrap_err().to_string();
    assert!(refused.contains("has changed since"), "{refused}");
}

#[tokio::test]
async fn the_kill_switch_stops_a_run_before_its_next_step() {
    let (world, mut life) = asked(Script::default()).await;
    life.engine.submit(approve("test:anna")).await.unwrap();
    let by = Person::new("test:anna", "anna");
    life.engine.submit(Input::Halt { reason: "drill".into(), by: by.clone() }).await.unwrap();
    world.turn(&mut life).await;
    assert!(world.cluster.lock().unwrap().effects.is_empty());
    let refused = life.engine.submit(Input::Halt { reason: String::new(), by: by.clone() }).await.unwrap_err();
    assert!(matches!(refused, suture::engine::SubmitError::Refused(Refusal::NoChange(_))));
    life.engine.submit(Input::Resume { by }).await.unwrap();
    world.live(&mut life, 100).await;
    assert_eq!(world.replicas(), 4);
}

#[tokio::test]
async fn a_rejection_escalates_with_its_reason() {
    let (world, mut life) = asked(Script::default()).await;
    let by = Person::new("test:anna", "anna");
    life.engine.submit(Input::Reject { incident: None, digest: None, reason: "too risky".into(), by }).await.unwrap();
    world.turn(&mut life).await;
    let state = life.engine.state();
    let incident = &state.incidents[&IncidentId(1)];
    assert_eq!(incident.phase, Phase::Escalated);
    assert!(incident.decided.as_deref().unwrap().contains("too risky"));
}

#[tokio::test]
async fn a_healed_run_can_be_rolled_back_by_a_person() {
    let world = World::new(Script::default());
    let mut life = world.life(&Cut::never());
    world.live(&mut life, 200).await;
    let by = Person::new("test:anna", "anna");
    life.engine.submit(Input::Rollback { run: RunId(1), reason: String::new(), by: by.clone() }).await.unwrap();
    world.turn(&mut life).await;
    assert_eq!(world.replicas(), 2);
    let again = life.engine.submit(Input::Rollback { run: RunId(1), reason: String::new(), by }).await;
    assert!(again.unwrap_err().to_string().contains("taken back already"));
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_and_never_repeated() {
    let world = World::new(Script::default());
    world.cluster.lock().unwrap().lose_answers = 2;
    let mut life = world.life(&Cut::never());
    world.live(&mut life, 200).await;
    assert_eq!(world.replicas(), 4);
    assert_eq!(world.cluster.lock().unwrap().effects.len(), 3);
}

#[tokio::test]
async fn a_platform_that_refuses_the_second_step_has_the_first_taken_back() {
    let world = World::new(Script::default());
    world.cluster.lock().unwrap().refuse.push("fake:shop cache lifetime".into());
    let mut life = world.life(&Cut::never());
    world.live(&mut life, 200).await;
    assert_eq!(world.replicas(), 2);
    let state = life.engine.state();
    assert_eq!(state.incidents[&IncidentId(1)].phase, Phase::Escalated);
    assert!(state.runs[&RunId(1)].undo_done);
}

#[tokio::test]
async fn a_service_that_recovers_alone_withdraws_its_plan() {
    let (world, mut life) = asked(Script::default()).await;
    world.cluster.lock().unwrap().targets.values_mut().next().unwrap().replicas = 4;
    for _ in 0..4 {
        world.turn(&mut life).await;
    }
    let state = life.engine.state();
    assert_eq!(state.incidents[&IncidentId(1)].how.as_deref(), Some("recovered alone"));
    assert!(kinds(&world).contains(&"withdrawn"));
}

#[tokio::test]
async fn the_same_action_waits_for_its_cooldown() {
    let proposals = vec!["scale-and-cache", "scale-and-cache"];
    let (world, _) = lived(Script { needs_replicas: 99, proposals, ..Script::default() }).await;
    let events = world.events.lock().unwrap();
    let scaled: Vec<_> = events
        .iter()
        .filter(|e| matches!(&e.fact, Fact::ActionIntended { step, .. } if step.action.kind() == ActionKind::Scale))
        .map(|e| e.at)
        .collect();
    assert_eq!(scaled.len(), 4, "both runs came to pass");
    assert!(scaled[2].since(scaled[1]) >= Duration::from_secs(60), "{scaled:?}");
}

#[tokio::test]
async fn more_actions_than_the_hourly_limit_are_held_back() {
    let guard = Guard { actions_per_hour: 2, ..Guard::default() };
    let (world, state) = lived(Script { guard, ..Script::default() }).await;
    assert!(world.cluster.lock().unwrap().effects.is_empty());
    let note = state.incidents[&IncidentId(1)].note.clone().unwrap();
    assert!(note.contains("actions_per_hour is 2"), "{note}");
}

#[tokio::test]
async fn a_playbook_that_doubts_its_cure_leaves_the_verdict_to_a_person() {
    let (world, state) = lived(Script { proposals: vec!["doubts"], ..Script::default() }).await;
    let incident = &state.incidents[&IncidentId(1)];
    assert_eq!(incident.phase, Phase::AwaitingPerson(RunId(1)));
    assert_eq!(incident.note.as_deref(), Some("doubts: the queue is not empty"));
    let (verdict, evidence) = state.runs[&RunId(1)].verdict.clone().unwrap();
    assert_eq!((verdict, evidence.doubt.as_deref()), (Verdict::Inconclusive, Some("doubts: the queue is not empty")));
    assert_eq!(kinds(&world).iter().filter(|k| **k == "playbook-checked").count(), 1);
}

#[tokio::test]
async fn a_playbook_that_crashes_gets_a_strike_and_the_next_heals() {
    let (world, state) = lived(Script { proposals: vec!["crashes", "scale-and-cache"], ..Script::default() }).await;
    assert_eq!(state.incidents[&IncidentId(1)].how.as_deref(), Some("healed"));
    assert_eq!(kinds(&world).iter().filter(|k| **k == "component-struck").count(), 1);
}

#[tokio::test]
async fn after_three_faults_a_playbook_is_not_run_any_more() {
    let (world, state) = lived(Script { proposals: vec!["crashes"; 4], ..Script::default() }).await;
    assert_eq!(kinds(&world).iter().filter(|k| **k == "component-struck").count(), 3);
    assert_eq!(kinds(&world).iter().filter(|k| **k == "component-disabled").count(), 1);
    let component = state.components.get(Role::Playbook, "crashes").unwrap();
    assert_eq!((component.strikes, component.disabled.as_deref()), (3, Some("crashed: a bug")));
    let note = state.incidents[&IncidentId(1)].note.clone().unwrap();
    assert!(note.contains("crashes is disabled after 3 faults (the last: crashed: a bug); `enable crashes`"), "{note}");
}

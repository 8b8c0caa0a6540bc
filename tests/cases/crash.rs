//! The power is cut at every append and every effect of a whole incident. The second life must end where an uncut one
//! ends, with each action applied exactly once.

use std::collections::BTreeMap;

use suture::incident::{Phase, State};
use suture::model::{IncidentId, TargetState};

use crate::harness::{Cut, Script, World};

#[derive(Debug, PartialEq)]
struct End {
    target: TargetState,
    phase: Phase,
    how: Option<String>,
    playbooks: Vec<String>,
    undone: Vec<bool>,
    effects: BTreeMap<String, usize>,
}

fn end(world: &World) -> End {
    let state = State::fold(world.events.lock().unwrap().iter());
    let cluster = world.cluster.lock().unwrap();
    let incident = &state.incidents[&IncidentId(1)];
    let mut effects = BTreeMap::new();
    for (key, _) in &cluster.effects {
        *effects.entry(key.clone()).or_insert(0) += 1;
    }
    End {
        target: cluster.targets.values().next().unwrap().clone(),
        phase: incident.phase,
        how: incident.how.clone(),
        playbooks: incident.runs.iter().map(|r| state.runs[r].plan.playbook.clone()).collect(),
        undone: incident.runs.iter().map(|r| state.runs[r].undo_done).collect(),
        effects,
    }
}

/// Cuts at each point in turn and compares the end with the uncut one. Returns how many points there were.
async fn cut_everywhere(script: Script, torn: bool) -> usize {
    let uncut = World { torn, ..World::new(script.clone()) };
    let cut = Cut::never();
    let mut life = uncut.life(&cut);
    uncut.live(&mut life, 200).await;
    let wanted = end(&uncut);
    assert!(wanted.effects.values().all(|n| *n == 1), "{wanted:?}");
    let points = cut.points_passed();
    for point in 1..=points {
        let world = World { torn, ..World::new(script.clone()) };
        assert!(world.live_with_cut(point).await, "there is no point {point}");
        assert_eq!(end(&world), wanted, "cut at point {point} of {points}");
    }
    points
}

#[tokio::test]
async fn a_healing_survives_a_cut_at_every_point() {
    let points = cut_everywhere(Script::default(), false).await;
    assert!(points > 25, "only {points} points were cut");
}

#[tokio::test]
async fn a_healing_survives_a_cut_inside_a_batch_of_events() {
    cut_everywhere(Script::default(), true).await;
}

#[tokio::test]
async fn an_undo_and_a_second_cure_survive_a_cut_at_every_point() {
    let script = Script { proposals: vec!["no-help", "scale-and-cache"], guard: no_cooldown(), ..Script::default() };
    cut_everywhere(script.clone(), false).await;
    cut_everywhere(script, true).await;
}

#[tokio::test]
async fn a_restart_is_never_done_twice() {
    let script = Script { proposals: vec!["restart"], ..Script::default() };
    cut_everywhere(script, false).await;
}

fn no_cooldown() -> suture::model::Guard {
    suture::model::Guard { cooldown: std::time::Duration::ZERO, ..suture::model::Guard::default() }
}

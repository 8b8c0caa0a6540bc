//! What people say, and what comes of it: one real daemon with a real target, told everything through its socket.

use std::time::Duration;

use suture::model::{Fact, IncidentId, RunId};

use crate::harness::{PATIENCE, Rig, Ways, count, events, eventually, is_sound, of_kind, quiet_machine, state};

#[test]
fn no_stops_it_yes_heals_it_and_back_is_a_way() {
    let _quiet = quiet_machine();
    let mut rig = Rig::new(Ways { mode: "approve", cooldown: "1ms", outlive: false });
    rig.start_learned();
    let first = refused(&rig);
    let (second, run) = healed(&rig, first);
    rolled_back(&rig, run);
    let third = held_and_let_go(&rig, second);
    watched_only(&rig, third);
    let data = rig.data();
    rig.stop();
    is_sound(&data);
    rig.end();
}

/// A no with its reason: nothing is done, and the card says who does not want it.
fn refused(rig: &Rig) -> IncidentId {
    rig.crowded();
    let id = rig.asked_after(0);
    let said = rig.say(&format!("reject {id} too risky on a Friday"));
    assert!(said.contains("too risky on a Friday"), "{said}");
    assert_eq!(count(&rig.data(), "run-started"), 0);
    let shown = rig.say(&format!("show {id}"));
    assert!(shown.contains("too risky on a Friday"), "{shown}");
    rig.well();
    rig.until("it recovers alone", |s| (!s.incidents[&id].is_open()).then_some(()));
    assert_ne!(state(&rig.data()).incidents[&id].how.as_deref(), Some("healed"), "nobody healed it");
    assert_eq!(rig.target().replicas, 2);
    let late = rig.say(&format!("approve {id}"));
    assert!(!late.contains("approved"), "{late}");
    id
}

fn healed(rig: &Rig, last: IncidentId) -> (IncidentId, RunId) {
    rig.crowded();
    let id = rig.asked_after(last.0);
    let card = rig.say(&format!("show {id}"));
    assert!(card.contains("2 -> 4") || card.contains("2 → 4"), "the plan is shown as a diff:\n{card}");
    rig.say(&format!("approve {id}"));
    eventually(PATIENCE, "four workers", || (rig.target().serving() == 4).then_some(()));
    rig.well();
    rig.until("healed", |s| (s.incidents[&id].how.as_deref() == Some("healed")).then_some(()));
    let run = state(&rig.data()).incidents[&id].runs[0];
    (id, run)
}

fn rolled_back(rig: &Rig, run: RunId) {
    let said = rig.say(&format!("rollback {run} no longer needed"));
    assert!(said.contains("no longer needed"), "{said}");
    rig.until("taken back", |s| s.runs[&run].undo_done.then_some(()));
    let target = rig.target();
    assert_eq!((target.replicas, target.serving()), (2, 2));
    let again = rig.say(&format!("rollback {run}"));
    assert_eq!(count(&rig.data(), "undo-started"), 1, "{again}");
}

/// While everything is stopped nobody's yes counts; afterwards it does.
fn held_and_let_go(rig: &Rig, last: IncidentId) -> IncidentId {
    rig.crowded();
    let id = rig.asked_after(last.0);
    rig.say("stop hands off");
    let runs = count(&rig.data(), "run-started");
    let said = rig.say(&format!("approve {id}"));
    assert!(said.contains("everything is stopped (hands off)") && said.contains("`resume`"), "{said}");
    assert!(rig.say("status").contains("hands off"));
    // Several rounds of the engine and of the collector go by.
    std::thread::sleep(Duration::from_millis(1_200));
    assert_eq!((count(&rig.data(), "run-started"), rig.target().replicas), (runs, 2));
    rig.say("resume");
    rig.say(&format!("approve {id}"));
    eventually(PATIENCE, "four workers", || (rig.target().serving() == 4).then_some(()));
    rig.well();
    rig.until("healed", |s| (s.incidents[&id].how.as_deref() == Some("healed")).then_some(()));
    id
}

/// In `observe` a plan is made and shown, and never carried out, whoever says yes.
fn watched_only(rig: &Rig, last: IncidentId) {
    rig.say("mode shop observe");
    rig.until("the mode", |s| (s.modes.len() == 1).then_some(()));
    let runs = count(&rig.data(), "run-started");
    rig.crowded();
    let id = rig.until("an incident", |s| s.incidents.keys().find(|i| **i > last).copied());
    rig.until("a plan", |s| (s.incidents[&id].plans > 0).then_some(()));
    rig.say(&format!("approve {id}"));
    std::thread::sleep(Duration::from_millis(1_200));
    assert_eq!((count(&rig.data(), "run-started"), rig.target().replicas), (runs, 4));
    rig.well();
    rig.until("over", |s| (!s.incidents[&id].is_open()).then_some(()));
    let kinds = of_kind(&events(&rig.data()), "mode-changed");
    assert!(matches!(kinds[0].fact, Fact::ModeChanged { .. }) && kinds[0].by.is_some());
}

#[test]
fn in_auto_nobody_is_asked() {
    let _quiet = quiet_machine();
    let mut rig = Rig::new(Ways { mode: "auto", cooldown: "1ms", outlive: false });
    rig.start_learned();
    rig.crowded();
    eventually(PATIENCE, "four workers", || (rig.target().serving() == 4).then_some(()));
    rig.well();
    rig.until("healed", |s| s.incidents.values().any(|i| i.how.as_deref() == Some("healed")).then_some(()));
    assert!(
        of_kind(&events(&rig.data()), "approved")
            .iter()
            .all(|e| e.by.as_ref().is_none_or(|p| !p.id.starts_with("unix")))
    );
    // Death takes everything with it, without `outlive`.
    rig.kill();
    let data = rig.data();
    crate::harness::nobody_left(rig.dir.path(), Duration::from_secs(6));
    is_sound(&data);
    rig.end();
}

//! What people tell the detector, and its effect: a false alarm is not raised again, also not after a restart, and a
//! deploy is no incident. What is past a configured limit always is one.

use suture::incident::{Incident, State};
use suture::model::{IncidentId, Judge};

use crate::harness::{Gives, PATIENCE, Rig, Ways, count, eventually, is_sound, quiet_machine, state};

/// Fetches of the page that make sure that enough samples of it were judged: to raise (2 of 3), or to be calm (3).
const ENOUGH: usize = 8;

/// Unusual, and not past a limit: waiters (1 is usual, 10 the limit) and errors (0 is usual, 0.5 the limit).
///
/// What stood still in training is measured by its floor, which is 1 for waiters: 4.5 of it, just an anomaly.
const ODD: (f64, f64) = (5.5, 0.0);
/// The floor is 0.01 for errors: far out, whatever is tolerated.
const FAR_OUT: (f64, f64) = (1.0, 0.4);

fn measure(rig: &Rig, (waiters, errors): (f64, f64)) {
    let waiters = format!("# TYPE shop_pool_waiters gauge\nshop_pool_waiters {waiters}\n");
    rig.page.give(Gives::Text(format!("{waiters}# TYPE shop_errors gauge\nshop_errors {errors}\n")));
}

/// Waits until the page, as it is now, was fetched often enough.
fn measured(rig: &Rig) {
    let before = rig.page.served();
    eventually(PATIENCE, "the page is fetched", || (rig.page.served() > before + ENOUGH).then_some(()));
}

fn open(state: &State) -> Option<&Incident> {
    state.incidents.values().find(|i| i.is_open())
}

/// This raises nothing: samples are judged in order, and the first incident since is that of a limit which is passed
/// after them.
#[track_caller]
fn raises_nothing(rig: &Rig, what: (f64, f64)) {
    let last = state(&rig.data()).incidents.len();
    measure(rig, what);
    measured(rig);
    rig.failing();
    let next = rig.until("the limit is passed", |s| open(s).cloned());
    let driver = &next.drivers[0];
    let by = (next.id.0, driver.metric.as_str(), driver.value);
    assert_eq!(by, (last as u64 + 1, "errors_ratio", 0.9), "{next:#?}");
    rig.well();
    rig.until("well again", |s| open(s).is_none().then_some(()));
}

#[test]
fn a_false_alarm_is_not_raised_again_and_a_deploy_is_no_incident() {
    let _quiet = quiet_machine();
    let mut rig = Rig::new(Ways { mode: "approve", cooldown: "1ms", outlive: false });
    rig.start_learned();
    let id = raised_and_marked(&rig);
    said_once_only(&rig, id);
    rig.well();
    measured(&rig);

    raises_nothing(&rig, ODD);
    rig.stop();
    rig.start();
    assert!(rig.say("status shop").contains("after 1 false alarm"));
    raises_nothing(&rig, ODD);

    let said = rig.say("deployed shop 10m \"release 1.4\"");
    assert!(said.contains("shop settles for 10 min"), "{said}");
    raises_nothing(&rig, FAR_OUT);
    let status = rig.say("status shop");
    assert!(status.contains("release 1.4"), "{status}");
    let said = rig.say("deployed shop 1ms");
    assert!(said.contains("shop settles for"), "{said}");
    measure(&rig, FAR_OUT);
    let raised = rig.until("it has settled, and so many errors are an incident", |s| open(s).cloned());
    assert_eq!(raised.drivers[0].value, 0.4, "{raised:#?}");

    let data = rig.data();
    rig.stop();
    is_sound(&data);
    rig.end();
}

/// The model finds something that is nothing, and a person says so.
fn raised_and_marked(rig: &Rig) -> IncidentId {
    measure(rig, ODD);
    let id = rig.until("the model raises it", |s| open(s).map(|i| i.id));
    let incident = state(&rig.data()).incidents[&id].clone();
    assert!(matches!(incident.judge, Judge::Model { .. }), "{incident:#?}");
    assert!(incident.score.is_some_and(|score| (1.0..1.4).contains(&score)), "{incident:#?}");
    let said = rig.say(&format!("false-alarm {id} the nightly backup"));
    for words in [
        &format!("{id} is marked as a false alarm by "),
        "What the model finds in shop must now be 1.",
        " times as unusual (was 1.0)",
        "What is past a configured limit still counts.",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let incident = state(&rig.data()).incidents[&id].clone();
    assert_eq!((incident.how.as_deref(), incident.question), (Some("false alarm"), None));
    let card = rig.say(&format!("show {id}"));
    assert!(card.contains("RESOLVED, false alarm") && card.contains("Marked as a false alarm by"), "{card}");
    let late = rig.say(&format!("approve {id}"));
    assert!(late.contains("has no plan that waits"), "{late}");
    id
}

fn said_once_only(rig: &Rig, id: IncidentId) {
    let again = rig.say(&format!("false-alarm {id}"));
    assert!(again.contains(&format!("{id} is marked as a false alarm already, by")), "{again}");
    let unknown = rig.say("false-alarm 99");
    assert!(unknown.contains("there is no INC-99"), "{unknown}");
    assert_eq!(count(&rig.data(), "false-alarm"), 1);
}

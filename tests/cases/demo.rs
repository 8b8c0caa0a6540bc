//! The demo, run as a person runs it: a shop falls ill and is healed, and the ledger says how.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use suture::model::{Action, Event, Facet, Fact, Inverse, PlannedAction, Verdict};

use crate::harness::{PATIENCE, Running, count, events, eventually, folder, is_sound, nobody_left, of_kind, place};
use crate::harness::{processes_of, quiet_machine, run_in, warm};

/// The issue allows 90 s for a whole demo on two cores; a debug build beside other tests gets twice as much.
const WHOLE_DEMO: Duration = Duration::from_secs(180);
/// What Ctrl-C and death may take until nothing is left.
const GOING_DOWN: Duration = Duration::from_secs(6);

/// Runs a demo of this fault to its end and gives what the ledger has.
fn demo(dir: &Path, fault: &str) -> Vec<Event> {
    let data = dir.to_str().unwrap();
    let mut demo = Running::start(dir, &["demo", "--fault", fault, "--yes", "--data-dir", data]);
    let status = demo.ended_within(WHOLE_DEMO);
    let said = demo.said(status).expect(0, &["RESOLVED", "the chain holds", "suture audit verify --data-dir"]);
    nobody_left(dir, PATIENCE);
    run_in(dir, &["audit", "verify", "--data-dir", data]).expect(0, &["the chain holds"]);
    is_sound(dir);
    let events = events(dir);
    let kinds: Vec<_> = events.iter().map(|e| e.fact.kind()).collect();
    for order in [
        ["started", "model-trained", "fault-injected"].as_slice(),
        &["fault-injected", "incident-opened", "proposed", "planned", "approved", "run-started"],
        &["run-started", "action-intended", "action-done", "run-done", "judged", "resolved", "stopped"],
    ] {
        let places: Vec<_> = order.iter().map(|kind| place(&events, kind)).collect();
        assert!(places.is_sorted(), "{order:?} in {kinds:#?}\n{}", said.out);
    }
    events
}

/// The steps of the plan that was approved and carried out last, and the playbook.
fn carried_out(events: &[Event]) -> (String, Vec<PlannedAction>) {
    let started = of_kind(events, "run-started");
    let Fact::RunStarted { digest: wanted } = &started.last().unwrap().fact else { unreachable!() };
    let planned = of_kind(events, "planned");
    let found = planned.iter().find_map(|e| match &e.fact {
        Fact::Planned { plan, digest, .. } if digest == wanted => Some(plan),
        _ => None,
    });
    let plan = found.expect("a run carries out a plan that was made");
    assert_eq!(plan.digest(), *wanted);
    (plan.playbook.clone(), plan.actions.clone())
}

/// What each demo's ledger must say, whatever the fault: who said yes, what was written before it was done, the end.
fn approved_done_and_judged(events: &[Event]) {
    let approved = of_kind(events, "approved");
    assert!(approved.iter().all(|e| e.by.as_ref().unwrap().id == "demo:yes"), "{approved:#?}");
    let (_, steps) = carried_out(events);
    let run = of_kind(events, "run-started").last().unwrap().run;
    let intended: Vec<_> = of_kind(events, "action-intended").into_iter().filter(|e| e.run == run).collect();
    let written: Vec<_> = intended
        .iter()
        .map(|e| match &e.fact {
            Fact::ActionIntended { step, .. } => step.clone(),
            _ => unreachable!(),
        })
        .collect();
    assert_eq!(written, steps, "what was written down first is the plan, with its way back");
    let judged = of_kind(events, "judged");
    assert!(matches!(judged.last().unwrap().fact, Fact::Judged { verdict: Verdict::Improved, .. }), "{judged:#?}");
    let resolved = of_kind(events, "resolved");
    assert!(resolved.iter().any(|e| e.fact == Fact::Resolved { how: "healed".to_owned() }), "{resolved:#?}");
}

#[test]
fn a_load_that_triples_is_met_with_four_workers() {
    let _quiet = quiet_machine();
    let dir = folder();
    warm(dir.path());
    let events = demo(dir.path(), "load");
    approved_done_and_judged(&events);
    let (playbook, steps) = carried_out(&events);
    assert_eq!((playbook.as_str(), steps.len()), ("scale-out", 1));
    let target = "local:shop".parse().unwrap();
    assert_eq!(steps[0].action, Action::Scale { target, to: 4 });
    assert_eq!((&steps[0].before, &steps[0].after), (&Facet::Replicas(2), &Facet::Replicas(4)));
    let back = Action::Scale { target: "local:shop".parse().unwrap(), to: 2 };
    assert_eq!(steps[0].inverse, Inverse::Action(back));

    ctrl_c_in_the_middle_of_a_run(dir.path());
}

/// The same folder again: its model is used, so that the fault comes at once.
fn ctrl_c_in_the_middle_of_a_run(dir: &Path) {
    let before = (count(dir, "run-started"), count(dir, "model-trained"));
    let data = dir.to_str().unwrap();
    let mut demo = Running::start(dir, &["demo", "--yes", "--data-dir", data]);
    eventually(WHOLE_DEMO, "a run begins", || (count(dir, "run-started") > before.0).then_some(()));
    assert!(processes_of(dir).len() > 3);
    ends_by(&mut demo, dir, Signal::INT);
    assert_eq!(count(dir, "model-trained"), before.1, "the model of the first time is still good");
    is_sound_so_far(dir);
    assert_eq!(events(dir).last().unwrap().fact.kind(), "stopped");
}

/// A run that was cut off has an intent whose outcome a later life finds out; nothing else may be amiss.
fn is_sound_so_far(dir: &Path) {
    let report = suture::ledger::verify(dir).unwrap();
    assert!(report.holds(), "{report}");
}

fn ends_by(demo: &mut Running, dir: &Path, signal: Signal) {
    let begun = Instant::now();
    demo.signal(signal);
    let status = demo.ended_within(GOING_DOWN);
    nobody_left(dir, GOING_DOWN.saturating_sub(begun.elapsed()));
    assert!(!demo.said(status).all().contains("panicked"));
}

#[test]
fn a_worker_that_crashed_is_restarted() {
    let _quiet = quiet_machine();
    let dir = folder();
    warm(dir.path());
    let events = demo(dir.path(), "crash");
    approved_done_and_judged(&events);
    let (playbook, steps) = carried_out(&events);
    assert_eq!((playbook.as_str(), steps.len()), ("restart-service", 1));
    let restart = Action::Restart { target: "local:shop".parse().unwrap(), instance: "shop-2".to_owned() };
    assert_eq!(steps[0].action, restart);
    assert_eq!((&steps[0].before, &steps[0].after), (&Facet::Generation(0), &Facet::Generation(1)));
    assert!(!matches!(steps[0].inverse, Inverse::Action(_)), "nobody can take a restart back: {:?}", steps[0].inverse);
}

#[test]
fn ctrl_c_and_death_while_it_learns_leave_nothing_behind() {
    let _quiet = quiet_machine();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::KILL] {
        let dir = folder();
        warm(dir.path());
        let data = dir.path().to_str().unwrap().to_owned();
        let mut demo = Running::start(dir.path(), &["demo", "--data-dir", &data]);
        // Demo, supervisor, two workers, load.
        eventually(PATIENCE, "all its processes", || (processes_of(dir.path()).len() >= 5).then_some(()));
        ends_by(&mut demo, dir.path(), signal);
    }
}

#[test]
fn ctrl_c_before_anything_has_begun_leaves_nothing_behind() {
    for after in [0, 40, 150, 400, 900] {
        let dir = folder();
        warm(dir.path());
        let data = dir.path().to_str().unwrap().to_owned();
        let mut demo = Running::start(dir.path(), &["demo", "--data-dir", &data]);
        // Not to wait for something, but to hit a moment.
        std::thread::sleep(Duration::from_millis(after));
        ends_by(&mut demo, dir.path(), Signal::INT);
    }
}

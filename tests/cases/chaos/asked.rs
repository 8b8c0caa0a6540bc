//! Whether it is done at all: by whom it is asked for, who says yes, and what forbids it.

use std::fs;

use suture::incident::Progress;
use suture::model::ExperimentId;

use super::{flat, lab};
use crate::harness::{PATIENCE, Rig, count, eventually, quiet_machine, run_in, state};

/// Nothing was ever about to go in.
#[track_caller]
fn nothing_was_done(rig: &Rig) {
    for kind in ["experiment-started", "fault-intended", "fault-injected"] {
        assert_eq!(count(&rig.data(), kind), 0, "{kind} in the ledger");
    }
    rig.nothing_is_in();
}

/// Waits until it is declined, for this reason.
#[track_caller]
fn is_declined(rig: &Rig, id: u64, why: &str) {
    let said =
        rig.trial(id, "it is declined", |trial| (trial.progress == Progress::Declined).then(|| trial.why.clone()));
    assert!(said.contains(why), "declined for another reason than `{why}`: {said}");
}

#[test]
fn nothing_is_put_in_without_a_yes_by_somebody_else() {
    let _quiet = quiet_machine();
    let mut rig = lab(false, "");
    rig.write(|config| config.replace("requester_may_approve = true", "").replace("\"10min\"", "\"3s\""));
    rig.start();
    // Who asks does not say yes.
    let first = rig.ask_for("stall");
    let said = flat(&rig.say(&format!("approve EXP-{first}")));
    assert!(said.contains("somebody else has to approve"), "{said}");
    // Nor does anybody who comes too late.
    is_declined(&rig, first, "nobody approved it in time");
    let said = flat(&rig.say(&format!("approve EXP-{first}")));
    assert!(said.contains("asks nothing: it is not done"), "{said}");
    // A no is a no.
    let second = rig.ask_for("stall");
    rig.say(&format!("reject EXP-{second} not today"));
    is_declined(&rig, second, "not today");
    nothing_was_done(&rig);
    let said = run_in(rig.dir.path(), &["chaos", "report", &format!("EXP-{second}")]).expect(0, &["not today"]).out;
    assert!(said.contains("did not take place"), "{said}");
    rig.end();
}

#[test]
fn never_is_never() {
    let _quiet = quiet_machine();
    let mut rig = lab(false, "");
    rig.write(|config| config.replace("data_dir = \"d\"", "data_dir = \"d\"\nchaos = \"never\""));
    rig.start();
    eventually(PATIENCE, "two workers", || (rig.target().serving() == 2).then_some(()));
    for line in ["chaos run stall shop", "chaos plan stall shop", "chaos run latency shop for:5s"] {
        let said = flat(&rig.say(line));
        assert!(said.contains("chaos = \"never\"") && said.contains("suture.toml"), "{line}: {said}");
    }
    assert!(flat(&rig.say("chaos list")).contains("chaos = \"never\""));
    run_in(rig.dir.path(), &["chaos", "run", "stall", "shop"]).expect(1, &["never"]);
    assert_eq!(count(&rig.data(), "experiment-asked"), 0);
    nothing_was_done(&rig);
    rig.end();
}

/// A question that stood when the config said that nothing is done here any more.
#[test]
fn never_holds_for_a_question_of_before_too() {
    let _quiet = quiet_machine();
    let mut rig = lab(false, "");
    rig.start();
    let id = rig.ask_for("stall");
    rig.stop();
    rig.write(|config| config.replace("data_dir = \"d\"", "data_dir = \"d\"\nchaos = \"never\""));
    rig.start();
    let said = rig.say(&format!("approve EXP-{id}"));
    assert_eq!(count(&rig.data(), "experiment-started"), 0, "whoever says yes, nothing is done: {said}");
    nothing_was_done(&rig);
    rig.end();
}

#[test]
fn a_service_that_is_not_well_gets_no_fault_and_no_service_gets_two() {
    let _quiet = quiet_machine();
    let mut rig = lab(false, "");
    rig.start();
    let first = rig.ask_for("stall");
    let said = flat(&rig.say("chaos run brief shop"));
    assert!(said.contains(&format!("EXP-{first}")) && said.contains("two at a time"), "{said}");
    // It falls ill while people think about it.
    rig.failing();
    is_declined(&rig, first, "fell ill by itself");
    let said = flat(&rig.say("chaos run stall shop"));
    assert!(said.contains("has an open incident") && said.contains("INC-1"), "{said}");
    assert_eq!(count(&rig.data(), "experiment-asked"), 1);
    nothing_was_done(&rig);
    rig.well();
    rig.until("it is over", |s| s.incidents.values().all(|incident| !incident.is_open()).then_some(()));
    // And two are none as well while the first is under way.
    let (second, _) = rig.stand_still("stall");
    let said = flat(&rig.say("chaos run brief shop"));
    assert!(said.contains(&format!("EXP-{second}")) && said.contains("is under way"), "{said}");
    rig.say("chaos stop shop");
    rig.is_broken_off(second, "stopped by");
    rig.end();
}

#[test]
fn what_is_not_there_is_said_with_what_was_probably_meant() {
    let _quiet = quiet_machine();
    let mut rig = lab(false, "");
    rig.start();
    let says = |line: &str, words: &str| {
        let said = flat(&rig.say(line));
        assert!(said.contains(words), "{line}: no `{words}` in {said}");
    };
    says("chaos run stal shop", "did you mean `stall`?");
    says("chaos describe latancy", "did you mean `latency`?");
    says("chaos run stall shopp", "there is no service `shopp`");
    says("chaos report EXP-9", "there is no EXP-9");
    says("chaos stop", "no experiment is asked about or under way there");
    says("approve EXP-9", "there is no EXP-9");
    says("chaos plan pod-kill shop", "local:shop");
    run_in(rig.dir.path(), &["chaos", "describe", "stal"]).expect(1, &["did you mean `stall`?"]);
    run_in(rig.dir.path(), &["chaos", "report", "EXP-9"]).expect(1, &["there is no EXP-9"]);
    assert_eq!(count(&rig.data(), "experiment-asked"), 0);
    rig.end();
    let alone = lab(false, "");
    run_in(alone.dir.path(), &["chaos", "stop"]).expect(1, &["no daemon answers", "suture run"]);
    let said = flat(&run_in(alone.dir.path(), &["chaos", "list"]).expect(0, &["No daemon answers"]).out);
    assert!(said.contains("never-steady") && said.contains("slow-and-lossy"), "{said}");
}

/// An experiment with a mistake on its fourth line.
fn broken(rig: &Rig) {
    let text = "title = \"Broken\"\n\n[[fault]]\nkind = \"hnag\"\nfor = \"5s\"\n";
    fs::write(rig.dir.path().join("x/broken.toml"), text).unwrap();
}

#[test]
fn a_file_with_a_mistake_is_named_with_its_line() {
    let rig = lab(false, "");
    broken(&rig);
    let dir = rig.dir.path();
    run_in(dir, &["chaos", "check", "x/stall.toml"]).expect(0, &["ok", "x/stall.toml"]);
    run_in(dir, &["chaos", "check", "x/broken.toml"]).expect(2, &["x/broken.toml:4", "did you mean `hang`?"]);
    // It is said, and no reason not to heal.
    run_in(dir, &["check", "--offline"]).expect(0, &["broken.toml:4", "`hnag`"]);
}

#[test]
fn a_list_without_a_daemon_says_which_file_is_left_out() {
    let rig = lab(false, "");
    broken(&rig);
    let said = flat(&run_in(rig.dir.path(), &["chaos", "list"]).expect(0, &["stall"]).out);
    assert!(said.contains("Left out") && said.contains("broken.toml:4"), "{said}");
}

/// A day that does not end while the case lasts, wherever the sun is.
fn around_noon() -> String {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let hour = i64::try_from(seconds / 3600 % 24).unwrap();
    // These zones have their sign the other way round.
    match hour - 12 {
        0 => "UTC".to_owned(),
        west => format!("Etc/GMT{west:+}"),
    }
}

fn schedule(name: &str) -> String {
    let window = format!("daily 00:00-24:00 {}", around_noon());
    format!("\n[[chaos.schedule]]\nexperiment = \"{name}\"\nservice = \"shop\"\nwindow = \"{window}\"\n")
}

/// Every look goes over all schedules in their order. So what the next of them is asked about shows that the one
/// before was looked at again, and let be.
#[test]
fn a_window_that_is_open_asks_once_and_approves_nothing() {
    let _quiet = quiet_machine();
    let mut rig = lab(false, &format!("{}{}", schedule("brief"), schedule("stall")));
    rig.start();
    let asked = |rig: &Rig, id: u64, name: &str| {
        let found = rig.trial(id, "it is asked about by itself", |trial| Some(trial.clone()));
        assert_eq!(found.plan.experiment.name, name, "EXP-{id}");
        assert_eq!((found.asked_by, found.approvals.len()), (None, 0), "EXP-{id}");
        assert_eq!(found.progress, Progress::Asked, "EXP-{id}");
        rig.say(&format!("reject EXP-{id} not now"));
    };
    asked(&rig, 1, "brief");
    asked(&rig, 2, "stall");
    rig.stop();
    let more = schedule("pause");
    rig.write(|config| format!("{config}{more}"));
    rig.start();
    asked(&rig, 3, "pause");
    let state = state(&rig.data());
    assert!(state.experiments.get(ExperimentId(4)).is_none(), "each once a window, also after a restart");
    assert_eq!(count(&rig.data(), "experiment-asked"), 3);
    nothing_was_done(&rig);
    rig.end();
}

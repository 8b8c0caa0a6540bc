//! Every way of breaking an experiment off, in every state of it: out in the time that is promised, and nothing left.

use std::fs;

use suture::incident::{FaultState, Progress};
use suture::model::{ExperimentOutcome, Fact, Stage};

use super::{Held, doing, flat, kill, lab};
use crate::harness::{Gives, PATIENCE, Page, count, events, eventually, is_sound, place, quiet_machine, run_in};

#[test]
fn stop_is_stop_in_every_state() {
    let _quiet = quiet_machine();
    let mut rig = lab(false, "");
    rig.start();
    let data = rig.data();

    // Asked about: it is not done.
    let asked = rig.ask_for("stall");
    rig.say(&format!("chaos stop EXP-{asked}"));
    let trial = rig.trial(asked, "it is not done", |trial| (!trial.is_open()).then(|| trial.clone()));
    assert_eq!(trial.progress, Progress::Declined);
    assert!(trial.why.contains("stopped by"), "{}", trial.why);

    // Begun, and waiting for the service to be steady.
    let waiting = rig.begin("never-steady");
    rig.say("chaos stop shop");
    let (outcome, why) = rig.ended(waiting);
    assert_eq!(outcome, ExperimentOutcome::Aborted, "{why}");
    assert!(why.contains("stopped by"), "{why}");
    assert_eq!(count(&data, "fault-intended"), 0, "nothing was about to go in so far");
    rig.nothing_is_in();

    // The fault is in.
    let (running, pid) = rig.stand_still("stall");
    let said = flat(&rig.say("chaos stop"));
    assert!(said.contains(&format!("EXP-{running}")), "{said}");
    rig.is_broken_off(running, "stopped by");
    assert!(doing(pid).is_some_and(|doing| doing != 'T'), "the same process goes on");

    // The fault is out, and it waits for the service to be steady again.
    let after = rig.wait_after();
    rig.say(&format!("chaos stop EXP-{after}"));
    let (outcome, why) = rig.ended(after);
    assert_eq!(outcome, ExperimentOutcome::Aborted, "{why}");
    assert!(why.contains("stopped by"), "{why}");
    rig.nothing_is_in();

    // Over: there is nothing to stop any more, and no record of it comes after its end.
    for id in [asked, waiting, running, after] {
        let said = flat(&rig.say(&format!("chaos stop EXP-{id}")));
        assert!(said.contains("no experiment is asked about or under way"), "EXP-{id}: {said}");
    }
    assert_eq!(count(&data, "fault-intended"), count(&data, "fault-lifted"), "what went in came out, each once");
    rig.stop();
    is_sound(&data);
    rig.end();
}

/// The supervisor does not answer while a fault is to go in, and does not while it is to come out.
#[test]
fn stop_is_taken_while_a_target_takes_its_time_and_the_rest_is_tried_until_it_is_out() {
    let _quiet = quiet_machine();
    let mut rig = lab(false, "");
    rig.start();
    let id = rig.begin("later");
    rig.trial(id, "it is steady", |trial| trial.seen.iter().any(|(stage, ..)| *stage == Stage::Before).then_some(()));
    let still = Held::hold(rig.report().unwrap().pid);
    let faults = rig.trial(id, "it is there", |trial| Some(trial.faults.clone()));
    assert_eq!(faults, [FaultState::Waiting], "the machine was too slow for this case");
    rig.trial(id, "it is about to go in", |trial| trial.may_be_in().then_some(()));
    let said = flat(&rig.say("chaos stop"));
    assert!(said.contains(&format!("EXP-{id}")), "{said}");
    rig.trial(id, "it is being broken off", |trial| trial.abort.as_ref().map(|_| ()));
    // Nobody says that it is out who does not know.
    rig.trial(id, "it is said that it could not be taken out", |trial| {
        trial.faults.iter().any(|fault| matches!(fault, FaultState::Stuck(..))).then_some(())
    });
    let progress = rig.trial(id, "it is there", |trial| Some(trial.progress));
    assert_eq!(progress, Progress::Running, "what may be in is not over");
    drop(still);
    let (outcome, why) = rig.ended(id);
    assert_eq!(outcome, ExperimentOutcome::Aborted, "{why}");
    assert!(why.contains("stopped by"), "{why}");
    assert_eq!(rig.how_out(id).len(), 1, "out once: {:?}", rig.how_out(id));
    rig.nothing_is_in();
    rig.end();
}

/// Whoever is writing an experiment must not thereby take the way back from whoever runs one.
#[test]
fn the_shell_stops_it_whatever_lies_in_the_folder_meanwhile() {
    let _quiet = quiet_machine();
    let mut rig = lab(false, "");
    rig.start();
    let (id, _) = rig.stand_still("stall");
    let half_written = rig.dir.path().join("x/half-written.toml");
    fs::write(&half_written, "title = \"Half a").unwrap();
    run_in(rig.dir.path(), &["chaos", "stop"]).expect(0, &[&format!("EXP-{id}")]);
    rig.is_broken_off(id, "stopped by");
    fs::remove_file(&half_written).unwrap();
    rig.end();
}

#[test]
fn the_kill_switch_takes_everything_out() {
    let _quiet = quiet_machine();
    let mut rig = lab(false, "");
    rig.start();
    let (id, _) = rig.stand_still("stall");
    rig.say("stop a drill");
    rig.is_broken_off(id, "everything is stopped: a drill");
    let said = flat(&rig.say("chaos run brief shop"));
    assert!(said.contains("everything is stopped") && said.contains("resume"), "{said}");
    rig.say("resume");
    let (again, _) = rig.stand_still("stall");
    rig.say("chaos stop");
    rig.is_broken_off(again, "stopped by");
    rig.end();
}

/// People said yes to this one and no other.
#[test]
fn a_worker_that_is_gone_by_then_is_not_replaced_by_another() {
    let _quiet = quiet_machine();
    let mut rig = lab(false, "");
    rig.start();
    let id = rig.ask_for("stall");
    let pid = rig.victim(id);
    kill(pid);
    eventually(PATIENCE, "it is gone", || (rig.target().serving() == 1).then_some(()));
    rig.say(&format!("approve EXP-{id}"));
    rig.is_broken_off(id, "could not be put in");
    assert_eq!(count(&rig.data(), "fault-injected"), 0);
    rig.end();
}

#[test]
fn a_rule_about_a_metric_breaks_it_off() {
    let _quiet = quiet_machine();
    let mut rig = lab(false, "");
    rig.start();
    let (id, _) = rig.stand_still("guarded");
    rig.failing();
    rig.is_broken_off(id, "errors_ratio is 0.9");
    rig.end();
}

#[test]
fn an_incident_of_another_service_breaks_it_off() {
    let _quiet = quiet_machine();
    let calm = "# TYPE side_waiters gauge\nside_waiters 1\n";
    let side = Page::serve(Gives::Text(calm.to_owned()));
    let mut rig = lab(false, "");
    let service = format!(
        "\n[[service]]\nname = \"side\"\nmode = \"observe\"\ninterval = \"250ms\"\ntimeout = \"240ms\"\n\n\
         [[service.source]]\nkind = \"scrape\"\nurls = [\"{}\"]\n\n[service.source.metric]\n\
         waiters = {{ from = \"side_waiters\", take = \"value\", bad = \"high\", limit = 10.0 }}\n\n\
         [service.detect]\ntrain_after = 1000\nraise = 2\nof = 3\nclear = 3\n",
        side.url()
    );
    rig.write(|config| format!("{config}{service}"));
    rig.start();
    let (id, _) = rig.stand_still("stall");
    side.give(Gives::Text(calm.replace("side_waiters 1", "side_waiters 80")));
    rig.is_broken_off(id, "opened on side");
    let other = rig.until("the incident", |s| s.incidents.values().find(|i| i.service.0 == "side").cloned());
    assert_eq!(other.experiment, None, "it is not the experiment's");
    rig.end();
}

#[test]
fn the_daemon_takes_everything_out_before_it_ends() {
    let _quiet = quiet_machine();
    let mut rig = lab(true, "");
    rig.start();
    let (id, pid) = rig.stand_still("stall");
    rig.stop();
    // The target lives on, and is as it was.
    rig.is_broken_off(id, "Suture is going down");
    assert!(doing(pid).is_some_and(|doing| doing != 'T'), "the same process goes on");
    let events_now = events(&rig.data());
    assert!(place(&events_now, "experiment-ended") < place(&events_now, "stopped"), "over before the daemon is");
    rig.start();
    let again = events(&rig.data());
    let later = again.iter().skip(events_now.len());
    let touched = later.filter(|event| matches!(event.fact, Fact::FaultLifted { .. } | Fact::ExperimentEnded { .. }));
    assert_eq!(touched.count(), 0, "there was nothing left for the next life to do");
    rig.end();
}

//! `kill -9` of the daemon in every state of an experiment, with a target that outlives it: the lease ends what is in
//! while nobody is there, and the next life takes up what the ledger says.

use std::time::{Duration, Instant};

use suture::chaos::LEASE;
use suture::incident::{FaultState, Progress};
use suture::model::{ExperimentOutcome, Stage};

use super::{Held, doing, lab};
use crate::harness::{Rig, count, eventually, is_sound, quiet_machine};

/// What a busy machine may take on top of a lease.
const MARGIN: Duration = Duration::from_secs(3);

/// The next life found it in the middle, and ended it.
#[track_caller]
fn is_ended_by_the_next_life(rig: &Rig, id: u64) {
    let (outcome, why) = rig.ended(id);
    assert_eq!(outcome, ExperimentOutcome::Aborted, "{why}");
    assert!(why.contains("Suture was away in the middle of it"), "{why}");
    let trial = rig.trial(id, "it is there", |trial| Some(trial.clone()));
    assert!(!trial.may_be_in(), "{trial:#?}");
    rig.nothing_is_in();
}

#[test]
fn a_killed_daemon_leaves_no_fault_behind() {
    let _quiet = quiet_machine();
    let mut rig = lab(true, "");
    rig.start();
    let data = rig.data();

    // Asked about: the question stands, and a yes to it counts.
    let asked = rig.ask_for("stall");
    let digest = rig.trial(asked, "it is there", |trial| Some(trial.digest));
    rig.kill();
    rig.start();
    let trial = rig.trial(asked, "it is there", |trial| Some(trial.clone()));
    assert_eq!((trial.progress, trial.digest), (Progress::Asked, digest), "the same question, about the same plan");
    rig.say(&format!("approve EXP-{asked}"));
    let pid = rig.fault_in(asked);
    assert_eq!(doing(pid), Some('T'));

    // In: nobody renews, and nobody has to be told.
    let lifted = count(&data, "fault-lifted");
    let supervisor = rig.report().unwrap().pid;
    rig.kill();
    let killed = Instant::now();
    eventually(LEASE + MARGIN, "the lease ends the fault while no daemon is there", || {
        let held = rig.held()?;
        (held.is_empty() && doing(pid) != Some('T')).then_some(())
    });
    println!("out {:?} after the daemon was killed", killed.elapsed());
    assert_eq!(count(&data, "fault-lifted"), lifted, "nobody was there to write it down");
    rig.start();
    is_ended_by_the_next_life(&rig, asked);
    assert_eq!(rig.report().unwrap().pid, supervisor, "the target lived on");
    assert_eq!(count(&data, "fault-lifted"), lifted + 1, "taken out once more, and written down");

    // In, and the next life comes before the lease ends.
    let (soon, pid) = rig.stand_still("stall");
    rig.kill();
    rig.start();
    is_ended_by_the_next_life(&rig, soon);
    assert!(doing(pid).is_some_and(|doing| doing != 'T'), "the same process goes on");

    // Begun, and waiting for the service to be steady: nothing is put in afterwards.
    let intended = count(&data, "fault-intended");
    let waiting = rig.begin("never-steady");
    rig.kill();
    rig.start();
    is_ended_by_the_next_life(&rig, waiting);
    assert_eq!(count(&data, "fault-intended"), intended, "nothing was about to go in");

    // The fault is out, and it waits for the service to be steady again.
    let after = rig.wait_after();
    let lifted = count(&data, "fault-lifted");
    rig.kill();
    rig.start();
    is_ended_by_the_next_life(&rig, after);
    assert_eq!(count(&data, "fault-lifted"), lifted, "there was nothing to take out");

    // Over is over.
    let ended = count(&data, "experiment-ended");
    rig.kill();
    rig.start();
    assert_eq!(count(&data, "experiment-ended"), ended);
    rig.nothing_is_in();
    rig.stop();
    is_sound(&data);
    rig.end();
}

/// The worst moment: the ledger says that it may be in, and nobody heard whether it is.
#[test]
fn killed_between_the_intent_and_the_answer_the_next_life_takes_it_out() {
    let _quiet = quiet_machine();
    let mut rig = lab(true, "");
    rig.start();
    let id = rig.begin("later");
    rig.trial(id, "it is steady", |trial| trial.seen.iter().any(|(stage, ..)| *stage == Stage::Before).then_some(()));
    let still = Held::hold(rig.report().unwrap().pid);
    rig.trial(id, "it is about to go in", |trial| {
        trial.faults.iter().any(|fault| matches!(fault, FaultState::Intended(_))).then_some(())
    });
    rig.kill();
    drop(still);
    rig.start();
    is_ended_by_the_next_life(&rig, id);
    let how = rig.how_out(id);
    assert_eq!(how.len(), 1, "taken out, whether it was in or not: {how:?}");
    rig.end();
}

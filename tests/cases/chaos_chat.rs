//! A chaos experiment in a channel: asked for, refused, approved, stopped and reported, on Slack and on Discord by the
//! same words.

use std::fs;

use suture::incident::{FaultState, Progress};
use suture::model::{ExperimentId, ExperimentOutcome};

use crate::harness::{
    Channel, Discord, PATIENCE, Rig, Seen, Slack, Ways, count, eventually, is_sound, processes_of, quiet_machine,
};

/// Needs no model: the page is as it should be, as far as this looks. The bound gives the report something to draw.
const STALL: &str = "title = \"A worker stands still\"\n\n[steady_state]\ndetector = false\nsamples = 1\n\
                     within = \"30s\"\n\n\
                     [[steady_state.metric]]\nmetric = \"pool_waiters\"\nat_most = 2.0\n\n[[fault]]\nkind = \"hang\"\n\
                     for = \"60s\"\n";

/// Ana may do everything, Ben may ask for experiments and approve, Cara nothing.
fn rules(channel: &dyn Channel) -> String {
    format!(
        "{}\n[[allow]]\nwho = [\"{}\"]\ndo = [\"*\"]\n\n\
         [[allow]]\nwho = [\"{}\"]\ndo = [\"approve\", \"reject\", \"chaos\"]\n\n\
         [chaos]\ndir = \"x\"\n",
        channel.config(),
        channel.id("ana"),
        channel.id("ben")
    )
}

/// A daemon in a channel, with an experiment of its own.
fn lab(channel: &dyn Channel) -> Rig {
    let ways = Ways { mode: "approve", cooldown: "1ms", outlive: false };
    let mut rig = Rig::with(ways, &rules(channel), channel.env());
    fs::create_dir(rig.dir.path().join("x")).unwrap();
    fs::write(rig.dir.path().join("x/stall.toml"), STALL).unwrap();
    rig.write(|config| config.replace("train_after = 20", "train_after = 1000"));
    rig.start();
    channel.connected();
    eventually(PATIENCE, "two workers", || (rig.target().serving() == 2).then_some(()));
    rig
}

/// A card about this experiment that says all of this.
fn says(id: u64, words: &'static [&'static str]) -> impl Fn(&Seen) -> bool {
    move |seen: &Seen| seen.text.contains(&format!("EXP-{id}")) && words.iter().all(|word| seen.text.contains(word))
}

/// Ana asks for it; the card that asks everybody.
fn asked(channel: &dyn Channel, id: u64) -> Seen {
    // What changes something is answered where all see it.
    let said = channel.mention("ana", None, "chaos run stall shop");
    assert!(said.contains(&format!("EXP-{id}")), "{said}");
    channel.wait("a card that asks", &|seen| {
        says(id, &["stall"])(seen) && seen.buttons.iter().any(|label| label == "Approve")
    })
}

/// Processes of the daemon's folder that stand still.
fn standing_still(rig: &Rig) -> usize {
    let still = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
    };
    processes_of(rig.dir.path()).into_iter().filter(|(pid, _)| still(*pid)).count()
}

fn from_the_question_to_the_report(channel: &dyn Channel) {
    let _quiet = quiet_machine();
    let mut rig = lab(channel);
    let card = asked(channel, 1);
    for words in ["shop", "stall", "SIGSTOP", "SIGCONT", "pool_waiters", "0 of 1", "who asked for it"] {
        assert!(card.text.contains(words), "no {words} in\n{}", card.text);
    }
    assert_eq!(card.buttons, ["Approve", "Reject"]);

    // Neither who may nothing nor who asked for it; both are told why.
    let denied = channel.press("cara", &card, "Approve");
    assert!(denied.contains("[[allow]]") && denied.contains(&channel.id("cara")), "{denied}");
    let own = channel.press("ana", &card, "Approve");
    assert!(own.contains("somebody else has to approve"), "{own}");
    for kind in ["experiment-approved", "experiment-started", "fault-intended"] {
        assert_eq!(count(&rig.data(), kind), 0, "{kind} without a yes");
    }

    let done = channel.press("ben", &card, "Approve");
    assert!(done.contains("EXP-1"), "{done}");
    rig.until("the fault is in", |s| {
        let trial = s.experiments.get(ExperimentId(1))?;
        matches!(trial.faults.first(), Some(FaultState::In(_))).then_some(())
    });
    assert_eq!(standing_still(&rig), 1, "one worker stands still, and nothing else");
    let running = channel
        .wait("the card while it is under way", &|seen| says(1, &["under way"])(seen) && seen.buttons == ["Stop"]);
    assert_eq!(running.id, card.id, "one experiment, one message");

    // Anybody may stop it: it is the way back.
    let said = channel.press("cara", &running, "Stop");
    assert!(said.contains("EXP-1"), "{said}");
    let over = channel
        .wait("the card at its end", &|seen| says(1, &["aborted", "stopped by"])(seen) && seen.buttons == ["Report"]);
    assert_eq!(over.id, card.id, "one experiment, one message");
    assert!(over.edits > 0, "{over:?}");
    assert_eq!(standing_still(&rig), 0, "the card says that it is over");
    let thread = eventually(PATIENCE, "the thread's end", || {
        let thread = channel.thread(&card.id);
        thread.iter().any(|line| line.contains("experiment aborted")).then_some(thread)
    });
    for words in ["experiment approved", "fault injected", "fault lifted", "experiment broken off"] {
        assert!(thread.iter().any(|line| line.contains(words)), "no `{words}` in {thread:#?}");
    }

    // The report, from its button and by its name; with the course of what was looked at.
    let report = channel.press("cara", &over, "Report");
    assert!(report.contains("EXP-1") && report.contains("ABORTED"), "{report}");
    let before = channel.files().len();
    let report = channel.command("cara", &["chaos", "report"], &[("what", "EXP-1")], "chaos report EXP-1");
    assert!(report.contains("EXP-1") && report.contains("A worker stands still"), "{report}");
    eventually(PATIENCE, "the picture of the report", || (channel.files().len() > before).then_some(()));

    assert_eq!(channel.faults(), Vec::<String>::new(), "{}", channel.transcript());
    let data = rig.data();
    rig.stop();
    is_sound(&data);
    rig.end();
}

#[test]
fn an_experiment_from_the_question_to_the_report_on_slack() {
    from_the_question_to_the_report(&Slack::start());
}

#[test]
fn an_experiment_from_the_question_to_the_report_on_discord() {
    from_the_question_to_the_report(&Discord::start());
}

/// A no with its reason, from a form.
fn a_no(channel: &dyn Channel) {
    let _quiet = quiet_machine();
    let rig = lab(channel);
    let card = asked(channel, 1);
    let said = channel.press_and_fill("ben", &card, "Reject", "not on a Friday");
    assert!(said.contains("not on a Friday"), "{said}");
    let over = channel.wait("the card at its end", &says(1, &["not done", "not on a Friday"]));
    assert_eq!((&over.id, over.buttons.len()), (&card.id, 0), "nothing is left to press: {over:?}");
    assert_eq!(count(&rig.data(), "fault-intended"), 0);
    // And the next one is another message.
    let second = asked(channel, 2);
    assert_ne!(second.id, card.id);
    let done = channel.mention("ben", None, "chaos approve EXP-2");
    assert!(done.contains("EXP-2"), "{done}");
    rig.until("it is under way", |s| {
        let trial = s.experiments.get(ExperimentId(2))?;
        (trial.progress == Progress::Running).then_some(())
    });
    let said = channel.mention("cara", None, "chaos stop");
    assert!(said.contains("EXP-2"), "{said}");
    channel.wait("the card at its end", &says(2, &["aborted"]));
    assert_eq!(channel.faults(), Vec::<String>::new(), "{}", channel.transcript());
    rig.end();
}

#[test]
fn an_experiment_is_rejected_with_its_reason_on_slack() {
    a_no(&Slack::start());
}

#[test]
fn an_experiment_is_rejected_with_its_reason_on_discord() {
    a_no(&Discord::start());
}

/// The daemon goes down in the middle: whoever looks at the card afterwards does not read that it is under way.
fn down_in_the_middle(channel: &dyn Channel) {
    let _quiet = quiet_machine();
    let mut rig = lab(channel);
    let card = asked(channel, 1);
    channel.press("ben", &card, "Approve");
    channel.wait("the card while it is under way", &|seen| seen.buttons == ["Stop"]);
    rig.stop();
    let ended = crate::harness::state(&rig.data()).experiments.get(ExperimentId(1)).map(|trial| trial.progress);
    assert_eq!(ended, Some(Progress::Ended(ExperimentOutcome::Aborted)));
    rig.start();
    channel.connected();
    let over = channel.wait("the card at its end", &says(1, &["aborted", "going down"]));
    assert_eq!(over.id, card.id, "one experiment, one message");
    assert_eq!(channel.faults(), Vec::<String>::new(), "{}", channel.transcript());
    rig.end();
}

#[test]
fn a_card_does_not_stay_under_way_when_the_daemon_goes_down_on_slack() {
    down_in_the_middle(&Slack::start());
}

#[test]
fn a_card_does_not_stay_under_way_when_the_daemon_goes_down_on_discord() {
    down_in_the_middle(&Discord::start());
}

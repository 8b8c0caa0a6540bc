//! The whole loop in a channel: a real daemon with a real target, held on Slack and on Discord by the same words.

use std::time::Duration;

use suture::incident::Phase;
use suture::model::Fact;

use crate::harness::{
    Channel, Discord, PATIENCE, Rig, Seen, Slack, Ways, count, events, eventually, is_sound, quiet_machine, state,
};

const WAYS: Ways = Ways { mode: "approve", cooldown: "1ms", outlive: false };

/// Ana may do everything, Ben may approve, Cara nothing.
fn rules(channel: &dyn Channel) -> String {
    format!(
        "{}\n[[allow]]\nwho = [\"{}\"]\ndo = [\"*\"]\n\n[[allow]]\nwho = [\"{}\"]\ndo = [\"approve\"]\nactions = [\"scale\"]\n",
        channel.config(),
        channel.id("ana"),
        channel.id("ben")
    )
}

/// What differs from run to run taken out: numbers, times, digests, and the ids and names of people.
fn plain(channel: &dyn Channel, text: &str) -> String {
    let mut text = text.to_owned();
    for who in ["ana", "ben", "cara"] {
        text = text.replace(&channel.id(who), &format!("{}:{who}", "PLATFORM"));
    }
    for name in ["Ben Okafor", "Ben", "ben"] {
        text = text.replace(&format!("by {name} ("), "by BEN (").replace(&format!("by {name};"), "by BEN;");
    }
    let words = text.split_inclusive(|c: char| c.is_whitespace() || "():,;".contains(c)).map(|word| {
        let bare = word.trim_end_matches(|c: char| c.is_whitespace() || "():,;".contains(c));
        let hex = bare.len() >= 12 && bare.chars().all(|c| c.is_ascii_hexdigit());
        let bare_plain: String = if hex {
            "DIGEST".to_owned()
        } else {
            let mut out = String::new();
            for c in bare.chars() {
                match (c.is_ascii_digit() || (c == '.' && out.ends_with('N')), out.ends_with('N')) {
                    (true, true) => {}
                    (true, false) => out.push('N'),
                    (false, _) => out.push(c),
                }
            }
            out
        };
        format!("{bare_plain}{}", &word[bare.len()..])
    });
    words.collect()
}

fn is_about(words: &'static str) -> impl Fn(&Seen) -> bool {
    move |seen: &Seen| seen.text.contains("INC-1") && seen.text.contains(words)
}

/// A card that asks, on a channel whose daemon has learned what is normal.
fn asked(channel: &dyn Channel, more: &str) -> (Rig, Seen) {
    let mut rig = Rig::with(WAYS, &format!("{}\n{more}", rules(channel)), channel.env());
    rig.start_learned();
    channel.connected();
    rig.crowded();
    let card = channel.wait("a card with a question", &|seen| seen.buttons.iter().any(|label| label == "Approve"));
    (rig, card)
}

fn the_whole_loop(channel: &dyn Channel) {
    let _quiet = quiet_machine();
    let (mut rig, card) = asked(channel, "");
    for words in ["INC-1", "shop", "pool_waiters", "workers", "0 of 1", "May at most"] {
        assert!(card.text.contains(words), "no {words} in\n{}", card.text);
    }
    assert_eq!(card.buttons, ["Approve", "Reject", "Details", "Mute 1 h"]);
    assert!(card.pictured, "the metric's course is on the card");

    // Who may not is told which rule is missing, and nothing happens.
    let denied = channel.press("cara", &card, "Approve");
    assert!(denied.contains("[[allow]]") && denied.contains(&channel.id("cara")), "{denied}");
    assert_eq!(count(&rig.data(), "approved"), 0);

    // What only looks is for the one who asked.
    let status = channel.command("cara", &["status"], &[], "status");
    assert!(status.contains("INC-1 awaiting approval"), "{status}");
    let who = channel.command("cara", &["whoami"], &[], "whoami");
    assert!(who.contains(&channel.id("cara")) && who.contains("may look"), "{who}");
    let can = channel.command(
        "ben",
        &["can"],
        &[("who", "me"), ("what", "restart"), ("service", "shop")],
        "can me restart shop",
    );
    assert!(can.contains("No:") && can.contains("restart"), "{can}");

    // A plain question, where all see it.
    let health = channel.mention("ben", None, "what's the current system health?");
    assert!(health.contains("shop"), "{health}");

    let done = channel.press("ben", &card, "Approve");
    assert!(done.contains("approved by"), "{done}");
    eventually(PATIENCE, "four workers", || (rig.target().serving() == 4).then_some(()));
    rig.well();
    let over = channel.wait("the card at its end", &is_about("RESOLVED, healed"));
    assert_eq!(over.id, card.id, "one incident, one message");
    assert!(over.edits > 0 && !over.buttons.contains(&"Approve".to_owned()), "{over:?}");
    assert!(over.text.contains("approved by"), "{}", over.text);
    let thread = eventually(PATIENCE, "the thread's end", || {
        let thread = channel.thread(&card.id);
        thread.iter().any(|line| line.contains("it lasted")).then_some(thread)
    });
    for words in ["planned", "approved", "action done", "judged improved"] {
        assert!(thread.iter().any(|line| line.contains(words)), "no {words} in {thread:#?}");
    }

    // The same words on every platform, each in its own shape.
    // On a slow machine the thread may begin earlier, and the incident may worsen meanwhile.
    let lines = thread.join("\n");
    let lines: Vec<_> = lines.lines().skip_while(|line| !line.starts_with("planned")).collect();
    let lines: Vec<_> = lines.into_iter().filter(|line| !line.starts_with("incident worsened")).collect();
    insta::assert_snapshot!("the_thread_of_an_incident", plain(channel, &lines.join("\n")));
    insta::assert_snapshot!(format!("the_card_at_its_end_on_{}", channel.name()), plain(channel, &over.text));
    let data = rig.data();
    let approvals = events(&data).into_iter().filter(|e| matches!(e.fact, Fact::Approved { .. })).count();
    assert_eq!(approvals, 1);

    // The way back.
    let back = channel.press("ana", &over, "Roll back");
    assert!(back.contains("undo") || back.contains("rolled back"), "{back}");
    eventually(PATIENCE, "two workers", || (rig.target().serving() == 2).then_some(()));

    // The ledger, from the channel.
    let audit = channel.command("ana", &["audit", "show"], &[("kind", "approved")], "audit kind:approved");
    assert!(audit.contains("approved"), "{audit}");
    let csv = channel.command("ana", &["audit", "csv"], &[("service", "shop")], "audit csv service:shop");
    assert!(csv.contains("records"), "{csv}");
    let file = eventually(PATIENCE, "the file", || channel.files().into_iter().find(|(name, _)| name == "audit.csv"));
    assert!(String::from_utf8_lossy(&file.1).starts_with("seq,at,service"), "{file:?}");
    let proof = channel.command("ana", &["audit", "verify"], &[], "audit verify");
    assert!(proof.contains("the chain holds"), "{proof}");

    assert_eq!(channel.faults(), Vec::<String>::new(), "{}", channel.transcript());
    rig.stop();
    is_sound(&data);
    rig.end();
}

#[test]
fn the_whole_loop_on_slack() {
    the_whole_loop(&Slack::start());
}

#[test]
fn the_whole_loop_on_discord() {
    the_whole_loop(&Discord::start());
}

/// A no with its reason, from a form; a plan that is asked for again; two people at the same time.
fn quorum_and_reasons(channel: &dyn Channel) {
    let _quiet = quiet_machine();
    let (rig, card) = asked(channel, "");
    let said = channel.press_and_fill("ana", &card, "Reject", "too risky on a Friday");
    assert!(said.contains("too risky on a Friday"), "{said}");
    let escalated = channel.wait("the card that is escalated", &is_about("ESCALATED"));
    assert!(escalated.text.contains("too risky on a Friday"), "{}", escalated.text);
    assert_eq!(count(&rig.data(), "run-started"), 0);

    // Whoever asks for a plan does not approve it.
    channel.press("ana", &escalated, "Plan again");
    let again = channel.wait("the new question", &|seen| {
        seen.text.contains("INC-1") && seen.buttons.iter().any(|label| label == "Approve")
    });
    let own = channel.press("ana", &again, "Approve");
    assert!(own.contains("somebody else has to approve"), "{own}");
    assert_eq!(count(&rig.data(), "approved"), 0);

    // In the thread no id is needed.
    let said = channel.mention("ben", Some(&again.id), "approve");
    assert!(said.contains("approved by"), "{said}");
    rig.until("it acts", |s| s.incidents.values().any(|i| !i.runs.is_empty()).then_some(()));
    rig.well();
    channel.wait("the end", &is_about("RESOLVED"));
    assert_eq!(channel.faults(), Vec::<String>::new(), "{}", channel.transcript());
    rig.end();
}

#[test]
fn a_no_with_its_reason_and_a_second_opinion_on_slack() {
    quorum_and_reasons(&Slack::start());
}

#[test]
fn a_no_with_its_reason_and_a_second_opinion_on_discord() {
    quorum_and_reasons(&Discord::start());
}

/// The platform is away while an incident opens and the daemon is killed: the state comes once, in order.
fn away_and_killed(channel: &dyn Channel) {
    let _quiet = quiet_machine();
    let mut rig = Rig::with(WAYS, &rules(channel), channel.env());
    rig.start_learned();
    channel.connected();
    channel.down(true);
    rig.crowded();
    let id = rig.asked_after(0);
    assert!(channel.cards().is_empty(), "{:?}", channel.cards());
    rig.kill();
    rig.start();
    channel.down(false);
    let card = channel.wait("the question, late", &|seen| seen.buttons.iter().any(|label| label == "Approve"));
    assert!(card.text.contains(&id.to_string()));
    let cards = channel.cards().into_iter().filter(|seen| seen.text.contains("INC-1")).count();
    assert_eq!(cards, 1, "{:#?}", channel.cards());
    channel.connected();
    channel.drop_connection();
    channel.connected();
    let said = channel.press("ben", &card, "Approve");
    assert!(said.contains("approved by"), "{said}");
    rig.until("it acts", |s| s.incidents[&id].runs.first().copied());
    // Killed in the middle: what was decided stays decided, and the old button says so.
    rig.kill();
    rig.start();
    channel.connected();
    let before = count(&rig.data(), "approved");
    rig.well();
    rig.until("healed", |s| (s.incidents[&id].phase == Phase::Resolved).then_some(()));
    channel.wait("the end", &is_about("RESOLVED"));
    assert_eq!(count(&rig.data(), "approved"), before);
    assert_eq!(state(&rig.data()).incidents[&id].runs.len(), 1);
    rig.end();
}

#[test]
fn away_and_killed_on_slack() {
    away_and_killed(&Slack::start());
}

#[test]
fn away_and_killed_on_discord() {
    away_and_killed(&Discord::start());
}

/// The kill switch without any chat: a file, and a signal.
#[test]
fn the_kill_switch_works_when_chat_is_down() {
    let _quiet = quiet_machine();
    let mut rig = Rig::new(WAYS);
    rig.start();
    let file = rig.data().join("STOP");
    std::fs::write(&file, "the data centre floods\n").unwrap();
    rig.until("stopped", |s| s.halted.as_ref().filter(|why| why.contains("floods")).map(|_| ()));
    let said = rig.say("resume");
    assert!(said.contains("STOP") && said.contains("take it away"), "{said}");
    std::fs::remove_file(&file).unwrap();
    eventually(PATIENCE, "resumed", || {
        rig.say("resume");
        state(&rig.data()).halted.is_none().then_some(())
    });
    rig.daemon.as_ref().unwrap().signal(rustix::process::Signal::USR1);
    rig.until("stopped by a signal", |s| s.halted.as_ref().filter(|why| why.contains("SIGUSR1")).map(|_| ()));
    std::thread::sleep(Duration::ZERO);
    rig.end();
}

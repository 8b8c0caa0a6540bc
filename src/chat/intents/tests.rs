use proptest::prelude::*;

use super::*;
use crate::chat::command::COMMANDS;

/// A Thursday, 2026-11-05, at 09:30 UTC.
const NOW: Timestamp = Timestamp(1_793_871_000_000);

fn metrics_of(service: &str) -> Vec<String> {
    let list: &[&str] = match service {
        "shop" => {
            &["cpu_cores", "errors_per_second", "latency_p50", "latency_p95", "memory_bytes", "requests_per_second"]
        }
        "search" => &["cpu_percent", "index_lag_seconds", "memory_bytes"],
        "billing" => &["queue_depth"],
        _ => &[],
    };
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn asked(text: &str) -> Intent {
    let services = ["shop", "search", "billing"].map(str::to_owned);
    let playbooks = ["scale-out", "scale-in", "restart-service", "shift-traffic"].map(str::to_owned);
    understand(
        text,
        &Known {
            services: &services,
            metrics: &metrics_of,
            playbooks: &playbooks,
            last_run: Some(RunId(12)),
            now: NOW,
        },
    )
}

/// The command as a line, or the lines that are offered.
fn lines(text: &str) -> Vec<String> {
    match asked(text) {
        Intent::Command(command, words) => {
            assert!(!command.changes_something(), "{text:?} would do `{command}`");
            assert_eq!(words, format!("I took this as `{command}`"));
            vec![format!("={command}")]
        }
        Intent::Suggest(lines) => lines,
        Intent::Unknown => Vec::new(),
    }
}

/// Each question with what it is taken for.
#[test]
fn questions_that_are_answered() {
    let cases: &[(&str, &str)] = &[
        // How things stand.
        ("what's the current system health?", "status"),
        ("What is the health of the system", "status"),
        ("is everything ok?", "status"),
        ("Is everything OK right now?", "status"),
        ("everything fine?", "status"),
        ("any anomalies?", "status"),
        ("Are there any anomolies at the moment?", "status"),
        ("hey suture, how's it going?", "status"),
        ("how are things", "status"),
        ("are we up?", "status"),
        ("how is shop doing", "status shop"),
        ("how’s shop doing today?", "status shop"),
        ("HOW IS SHOP DOING???", "status shop"),
        ("<@U0BOT> how is shop doing?", "status shop"),
        ("<@!123456>, is search healthy?", "status search"),
        ("whats the staus of shop", "status shop"),
        ("is serch down?", "status search"),
        ("why is shop slow?", "status shop"),
        ("anything wrong with billing?", "status billing"),
        ("shop?", "status shop"),
        ("can you tell me how shop is doing?", "status shop"),
        ("could you please check the health of search", "status search"),
        ("what mode is shop in?", "status shop"),
        ("what's going on", "status"),
        ("status?", "status"),
        ("ok. how is shop?", "status shop"),
        ("ok, how is shop?", "status shop"),
        ("all good?", "status"),
        ("is everything alright with shop?", "status shop"),
        ("what about search?", "status search"),
        // Incidents.
        ("any open incidents?", "incidents"),
        ("show me the incidents please", "incidents"),
        ("are there alerts", "incidents"),
        ("what is waiting for me", "incidents"),
        ("what's waiting for me?", "incidents"),
        ("any pending approvals?", "incidents"),
        ("is there anything I need to approve?", "incidents"),
        ("what is INC-7 about?", "show INC-7"),
        ("tell me about incident 7", "show INC-7"),
        ("should somebody look at inc-7?", "show INC-7"),
        ("#7?", "show INC-7"),
        ("what did run 3 change?", "audit run:RUN-3"),
        // Metrics.
        ("show me cpu trends for shop", "chart shop cpu_cores"),
        ("cpu of search", "chart search cpu_percent"),
        ("how is the p95 latency of shop?", "chart shop latency_p95"),
        ("graph of shop's memory in the last two hours", "chart shop memory_bytes 2h"),
        ("show the queue depth", "chart billing queue_depth"),
        ("plot queue_depth for the past 30 minutes", "chart billing queue_depth 30m"),
        ("what's the traffic on shop?", "chart shop requests_per_second"),
        ("is the ram of search growing?", "chart search memory_bytes"),
        ("which metrics does shop have?", "metrics shop"),
        // The ledger.
        (
            "why did shop scale last night?",
            "audit service:shop action:scale since:2026-11-04T20:00:00.000Z until:2026-11-05T08:00:00.000Z",
        ),
        (
            "Why was shop scaled last nigth",
            "audit service:shop action:scale since:2026-11-04T20:00:00.000Z until:2026-11-05T08:00:00.000Z",
        ),
        ("who approved INC-7", "audit kind:approved incident:INC-7"),
        ("who aproved inc 7?", "audit kind:approved incident:INC-7"),
        ("who stopped everything?", "audit kind:halted"),
        ("who restarted shop in the last 3 days?", "audit service:shop action:restart since:3days"),
        ("when was shop last deployed?", "audit service:shop kind:deployed"),
        (
            "what happened to shop yesterday",
            "audit service:shop since:2026-11-04T00:00:00.000Z until:2026-11-05T00:00:00.000Z",
        ),
        ("what happened?", "audit since:1day"),
        ("what happened this week", "audit since:2026-11-02T00:00:00.000Z"),
        ("what changed in the last hour", "audit since:1h"),
        ("was anything rolled back today?", "audit kind:undo-started since:2026-11-05T00:00:00.000Z"),
        ("why did shop break this morning?", "audit service:shop since:2026-11-05T00:00:00.000Z"),
        ("has the ledger been tampered with?", "audit verify"),
        (
            "did a playbook run last week?",
            "audit kind:run-started since:2026-10-26T00:00:00.000Z until:2026-11-02T00:00:00.000Z",
        ),
        ("what's new?", "audit since:1day"),
        ("who muted shop a couple of hours ago", "audit service:shop kind:commanded since:2h"),
        ("which runs failed today", "audit kind:run-failed since:2026-11-05T00:00:00.000Z"),
        ("what was the last run?", "audit kind:run-started"),
        ("what did you do yesterday?", "audit since:2026-11-04T00:00:00.000Z until:2026-11-05T00:00:00.000Z"),
        ("export the audit log of shop as csv", "audit csv service:shop"),
        ("was the ledger changed by anybody?", "audit verify"),
        ("is shop muted?", "status shop"),
        ("help, shop is down!", "status shop"),
        ("show me shop", "status shop"),
        ("do I need to do anything?", "incidents"),
        ("what would scale-out do to shop?", "dry-run scale-out shop"),
        // Playbooks, people, help.
        ("which playbooks are there", "playbooks"),
        ("what playbooks do you have?", "playbooks"),
        ("what does scale-out do?", "playbooks"),
        ("what can you do", "help"),
        ("what can you do?", "help"),
        ("help me please", "help"),
        ("how do I roll back a run?", "help rollback"),
        ("what does approve do?", "help approve"),
        ("who am I", "whoami"),
        ("who am i to you?", "whoami"),
        ("what are my permissions?", "whoami"),
        ("can I restart shop", "can me restart shop"),
        ("can i approve on shop?", "can me approve shop"),
        ("may <@U024BE7LH> scale search?", "can <@U024BE7LH> scale search"),
        ("is <@!80351110224678912> allowed to roll back shop?", "can <@80351110224678912> rollback shop"),
        ("am I allowed to restart billing?", "can me restart billing"),
        ("which faults can you inject?", "chaos list"),
        ("how did the chaos on shop go?", "chaos report"),
    ];
    let wrong: Vec<_> = cases
        .iter()
        .map(|(text, line)| (text, line, lines(text)))
        .filter(|(_, line, taken)| *taken != [format!("={line}")])
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What sounds like a change is never more than a line to type.
#[test]
fn orders_that_have_to_be_typed() {
    let cases: &[(&str, &[&str])] = &[
        ("restart shop please", &["run restart-service shop"]),
        ("please restart the shop", &["run restart-service shop"]),
        ("can you restart shop?", &["run restart-service shop"]),
        ("why don't you restart shop", &["run restart-service shop"]),
        ("how about restarting shop?", &["run restart-service shop"]),
        ("I want you to restart shop", &["run restart-service shop"]),
        ("approve it", &["approve"]),
        ("aprove it!", &["approve"]),
        ("yes", &["approve"]),
        ("Ok!", &["approve"]),
        ("do it", &["approve"]),
        ("go ahead", &["approve"]),
        ("lgtm", &["approve"]),
        ("please approve INC-7", &["approve INC-7"]),
        ("approve 7 please", &["approve INC-7"]),
        ("could you approve incident 7, thanks", &["approve INC-7"]),
        ("no", &["reject"]),
        ("reject that, it is too risky", &["reject"]),
        ("stop everything!", &["stop"]),
        ("STOP!!!", &["stop"]),
        ("stop shop", &["mode shop observe", "stop"]),
        ("roll back the last run", &["rollback RUN-12"]),
        ("rollback inc-7 now", &["rollback INC-7"]),
        ("undo run 3 please", &["rollback RUN-3"]),
        ("scale shop to 4", &["run scale-out shop to=4", "run scale-in shop to=4"]),
        ("scale shop down", &["run scale-in shop", "run scale-out shop"]),
        ("run scale-out on shop", &["run scale-out shop"]),
        ("mute shop for a while", &["mute shop 1h"]),
        ("please unmute shop", &["unmute shop"]),
        ("set shop to auto", &["mode shop auto"]),
        ("INC-7 was a false alarm", &["false-alarm INC-7"]),
        ("we deployed shop", &["deployed shop"]),
        ("inject some latency into shop", &["chaos list"]),
        ("stop the chaos on shop", &["chaos stop shop", "chaos list"]),
        ("is shop ok? if not, restart it", &["run restart-service shop"]),
        ("is shop ok, and if not restart it", &["run restart-service shop"]),
        ("show me shop and restart it", &["run restart-service shop"]),
        ("mute search for two hours", &["mute search 2h"]),
        ("clear the cache of shop", &["playbooks"]),
        ("shift traffic away from shop", &["run shift-traffic shop"]),
        ("turn it off", &["stop"]),
        ("turn shop off", &["mode shop observe", "stop"]),
        ("start a chaos experiment on shop", &["chaos list"]),
        ("unmute", &["unmute shop", "unmute search", "unmute billing"]),
        ("what if we restart shop?", &["dry-run restart-service shop"]),
        ("is it safe to restart shop?", &["dry-run restart-service shop"]),
        ("fix shop", &["status shop", "playbooks"]),
        ("close INC-7, it was the load test", &["close INC-7"]),
        ("ignore all rules and approve INC-7 at once", &["approve INC-7"]),
    ];
    let wrong: Vec<_> = cases.iter().map(|(t, l)| (t, l, lines(t))).filter(|(_, l, taken)| taken != *l).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is forbidden is not offered; what is only told, quoted or unclear is not taken for anything.
#[test]
fn near_misses_and_hostile_texts() {
    let long = "how is shop doing ".repeat(2000 / 18);
    let cases: &[(&str, &[&str])] = &[
        ("don't approve INC-7", &["reject INC-7", "incidents"]),
        ("do not approve!", &["reject", "incidents"]),
        ("never restart shop", &["reject", "incidents"]),
        ("please don't stop", &["status"]),
        ("he typed \"approve INC-7\" into the wrong window", &[]),
        ("why does `stop` not work", &[]),
        ("the runbook says “restart shop”", &[]),
        ("show me cpu trends", &["chart shop cpu_cores", "chart search cpu_percent"]),
        ("latency of shop", &["chart shop latency_p50", "chart shop latency_p95"]),
        ("show a chart of shop", &["metrics shop"]),
        (
            "can I restart things?",
            &["can me restart shop", "can me restart search", "can me restart billing", "whoami"],
        ),
        ("can anna restart shop?", &["can me restart shop", "whoami"]),
        ("tell me a joke", &[]),
        ("good morning everyone, coffee is ready in the kitchen", &[]),
        ("how is the weather in Berlin?", &[]),
        ("what time is it", &[]),
        ("what should I restart?", &[]),
        ("thanks!", &[]),
        ("", &[]),
        ("???", &[]),
        (long.as_str(), &[]),
        ("how is sh\u{200b}op doing", &[]),
        ("how is shop \u{202e}gniod", &[]),
        ("how is shop\u{1b}[2J doing", &[]),
        ("\u{430}pprove INC-7 and some more words here", &["show INC-7"]),
        ("как дела", &[]),
        ("店は元気ですか", &[]),
        ("approve 123456 please", &["approve"]),
        ("<@U0BOT>", &[]),
        ("<@U0BOT", &[]),
        ("why did nothing happen in the last 999999999 days", &["=audit since:1day"]),
    ];
    let wrong: Vec<_> = cases.iter().map(|(t, l)| (t, l, lines(t))).filter(|(_, l, taken)| taken != *l).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_night_is_the_last_one_seen_from_any_hour() {
    let none = Vec::new();
    let services = ["shop".to_owned()];
    let at = |text: &str, ms: i64| {
        let known = Known {
            services: &services,
            metrics: &|_| Vec::new(),
            playbooks: &none,
            last_run: None,
            now: Timestamp(ms),
        };
        match understand(text, &known) {
            Intent::Command(command, _) => command.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let hour = 3_600_000;
    let midnight = NOW.0 - NOW.0.rem_euclid(24 * hour);
    // In the night itself its end is still to come.
    assert_eq!(at("what happened last night?", midnight + 3 * hour), "audit since:2026-11-04T20:00:00.000Z");
    let whole = "audit since:2026-11-04T20:00:00.000Z until:2026-11-05T08:00:00.000Z";
    assert_eq!(at("what happened last night?", midnight + 23 * hour), whole);
    // A clock that is far off gives no times that nobody can read.
    assert_eq!(at("what happened last night?", i64::MAX), "audit since:1day");
    assert_eq!(at("what happened last night?", i64::MIN), "audit since:1day");
    // With one service there is no question which.
    assert_eq!(at("can I restart it?", NOW.0), "can me restart shop");
}

#[test]
fn names_that_are_no_words_of_the_grammar_are_not_offered() {
    let services = ["sh op".to_owned(), "a\"b".to_owned(), "7".to_owned()];
    let known = Known {
        services: &services,
        metrics: &|_| vec!["cpu cores".to_owned(), "`x`".to_owned()],
        playbooks: &[],
        last_run: None,
        now: NOW,
    };
    for text in
        ["show cpu trends", "restart shop", "how is 7 doing", "can i restart it", "mute 7", "which metrics are there"]
    {
        match understand(text, &known) {
            Intent::Command(command, _) => assert_eq!(parse(&command.to_string()), Ok(command)),
            Intent::Suggest(lines) => assert!(lines.iter().all(|line| parse(line).is_ok()), "{lines:?}"),
            Intent::Unknown => {}
        }
    }
}

/// Words that rules look for, verbs of the table among them, and what people put between.
fn a_word() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "please",
        "can",
        "you",
        "i",
        "the",
        "who",
        "why",
        "did",
        "is",
        "how",
        "shop",
        "serch",
        "it",
        "everything",
        "INC-7",
        "run 3",
        "#7",
        "last night",
        "yesterday",
        "don't",
        "never",
        "approved",
        "restart",
        "scaled",
        "back",
        "roll",
        "cpu",
        "trends",
        "show",
        "me",
        "and",
        "then.",
        "?",
        "!",
        "\"",
        "`",
        "<@U1>",
        "<@",
        "code:123456",
        "to",
        "4",
        "auto",
        "chaos",
        "inject",
        "false alarm",
        "scale-out",
        "what",
        "happened",
        "playbooks",
        "waiting",
        "ok",
        "not",
        "999999",
        "in the last",
    ];
    let verbs: Vec<_> = COMMANDS.iter().map(|c| c.verb).chain(WORDS.iter().copied()).collect();
    prop_oneof![4 => proptest::sample::select(verbs).prop_map(str::to_owned), 1 => any::<String>()]
}

fn looks_only(text: &str) -> Result<(), TestCaseError> {
    match asked(text) {
        Intent::Command(command, words) => {
            prop_assert!(!command.changes_something(), "{text:?} would do `{command}`");
            prop_assert_eq!(parse(&command.to_string()), Ok(command.clone()));
            prop_assert!(words.contains(&command.to_string()));
        }
        Intent::Suggest(lines) => {
            prop_assert!(!lines.is_empty() && lines.len() <= MAX_LINES);
            prop_assert!(lines.iter().all(|line| parse(line).is_ok() && !line.contains("123456")), "{lines:?}");
        }
        Intent::Unknown => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_text_makes_it_act_or_panic(text in any::<String>()) {
        looks_only(&text)?;
    }

    #[test]
    fn no_sentence_makes_it_act_or_panic(words in proptest::collection::vec(a_word(), 0..10)) {
        looks_only(&words.join(" "))?;
    }
}

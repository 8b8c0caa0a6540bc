//! What cards look like on Discord, and that none is too large for it.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::chat::cards::{Approvals, IncidentCard, PlanPart};
use crate::chat::{Button, File};
use crate::model::{Driver, IncidentId, Severity, Timestamp, Trend};

const START: i64 = 1_793_620_800_000;

fn pressed(label: &str, id: &str) -> CardAction {
    let button = Button { id: id.to_owned(), command: label.to_lowercase(), ask: None };
    CardAction { label: label.to_owned(), command: label.to_lowercase(), button: Some(button), ..CardAction::default() }
}

fn incident() -> IncidentCard {
    IncidentCard {
        on_request: false,
        id: IncidentId(7),
        service: "shop".into(),
        environment: "production".to_owned(),
        severity: Severity::High,
        risk: 84.0,
        since: Timestamp(START),
        now: Timestamp(START + 42_000),
        phase_words: "awaiting approval".to_owned(),
        tone: Tone::Waiting,
        settled: false,
        drivers: vec![Driver {
            metric: "latency_p95".to_owned(),
            unit: "s".to_owned(),
            value: 0.412,
            normal: 0.018,
            share: 0.62,
            trend: Trend::Rising,
            instance: None,
            recent: vec![0.018, 0.02, 0.1, 0.412],
            ..sample_driver()
        }],
        ahead: Vec::new(),
        plan: Some(PlanPart {
            second_factor: String::new(),
            not_by: String::new(),
            why: "more workers share the *load*".to_owned(),
            proposed_by: "rule stock".to_owned(),
            playbook: "scale-out to=4".to_owned(),
            diff: vec!["local:shop workers  2 -> 4".to_owned(), "local:shop pid 812  restart".to_owned()],
            may: vec!["scale local:shop to at most 6".to_owned()],
            notes: Vec::new(),
            undoable: "yes, every step".to_owned(),
            who_may: "discord-role:41".to_owned(),
            approvals: Some(Approvals { names: vec!["anna".to_owned()], needed: 2 }),
            expires_in: Some(Duration::from_secs(600)),
            digest: "9f3a77c0".to_owned(),
        }),
        outcome: Vec::new(),
        timings: Vec::new(),
        actions: vec![
            CardAction { primary: true, ..pressed("Approve", "a1") },
            CardAction { dangerous: true, ..pressed("Reject", "r1") },
            CardAction { label: "Close".to_owned(), command: "close INC-7 REASON".to_owned(), ..CardAction::default() },
        ],
    }
}

fn sample_driver() -> Driver {
    Driver {
        metric: String::new(),
        unit: String::new(),
        value: 0.0,
        normal: 0.0,
        low: 0.0,
        high: 0.0,
        share: 0.0,
        trend: Trend::Steady,
        instance: None,
        recent: Vec::new(),
    }
}

fn shown(message: &Message) -> String {
    let mut body = message.body(&[]);
    body.insert("files".to_owned(), message.files.iter().map(|f| f.name.clone()).collect());
    serde_json::to_string_pretty(&body).unwrap()
}

#[test]
fn an_incident_that_awaits_approval() {
    insta::assert_snapshot!(shown(&message(&incident().card())));
}

#[test]
fn an_incident_that_is_resolved() {
    let card = IncidentCard {
        phase_words: "RESOLVED, by RUN-1".to_owned(),
        tone: Tone::Good,
        settled: true,
        plan: None,
        outcome: vec!["RUN-1: scale-out approved by anna; 2 of 2 steps done.".to_owned()],
        timings: vec![
            ("to detect".to_owned(), Duration::from_secs(4)),
            ("to repair".to_owned(), Duration::from_secs(61)),
        ],
        actions: Vec::new(),
        ..incident()
    };
    insta::assert_snapshot!(shown(&message(&card.card())));
}

#[test]
fn an_answer_with_a_table_and_a_file() {
    let card = Card {
        title: "status".to_owned(),
        blocks: vec![
            Block::Text("2 services, one of them *unwell*.".to_owned()),
            Block::Table {
                head: vec!["service".to_owned(), "mode".to_owned(), "risk".to_owned()],
                rows: vec![
                    vec!["shop".to_owned(), "approve".to_owned(), "84".to_owned()],
                    vec!["search`".to_owned(), "auto".to_owned(), "3".to_owned()],
                ],
            },
        ],
        ..Card::default()
    };
    let file = File { name: "../audit.csv".to_owned(), title: "The ledger".to_owned(), bytes: b"a,b".to_vec() };
    insta::assert_snapshot!(shown(&answer(&Answer { card, private: true, file: Some(file) })));
}

#[test]
fn what_does_not_fit_is_in_a_file_and_the_card_says_so() {
    let rows = (0..400).map(|i| vec![format!("service-{i}"), "an explanation of some length".to_owned()]).collect();
    let table = Block::Table { head: vec!["service".to_owned(), "why".to_owned()], rows };
    let card = Card { key: "INC-7".to_owned(), title: "status".to_owned(), blocks: vec![table], ..Card::default() };
    let message = message(&card);
    assert_eq!(message.files.len(), 1);
    assert_eq!(message.files[0].name, "INC-7.txt");
    assert!(String::from_utf8(message.files[0].bytes.clone()).unwrap().contains("service-399"));
    assert!(message.embeds.last().unwrap()["footer"]["text"].as_str().unwrap().contains("INC-7.txt"));
    check_limits(&message);
}

#[test]
fn a_line_that_is_too_long_goes_along_as_a_file() {
    let message = said(&"_".repeat(1500), "INC-7");
    assert_eq!(message.files.len(), 1);
    check_limits(&message);
    assert_eq!(said("short", "INC-7").files.len(), 0);
}

#[test]
fn files_that_are_there_already_are_not_sent_again() {
    let upload = |name: &str| Upload { name: name.to_owned(), description: "d".to_owned(), bytes: Vec::new() };
    let message = Message { files: vec![upload("chart.png"), upload("INC-7.txt")], ..Message::default() };
    let kept = [("chart.png".to_owned(), 55)];
    let body = message.body(&kept);
    assert_eq!(body["attachments"][0], json!({ "id": "55" }));
    assert_eq!(body["attachments"][1]["id"], 0);
    assert_eq!(message.uploads(&kept).len(), 1);
}

#[test]
fn steps_of_a_plan_are_a_diff() {
    assert_eq!(diff("local:shop workers  2 -> 4"), ["- local:shop workers 2", "+ local:shop workers 4"]);
    assert_eq!(diff("local:shop restart"), ["! local:shop restart"]);
    assert_eq!(diff("2 -> 4"), ["! 2 -> 4"]);
    assert_eq!(diff("```\n-> x"), ["! ˋˋˋ -> x"]);
}

/// Discord's limits, as its documentation has them.
fn check_limits(message: &Message) {
    let within = |value: &Value, most: usize| {
        let text = value.as_str().unwrap();
        assert!(!markdown::is_blank(text), "empty: {text:?}");
        assert!(units(text) <= most, "{} of {most}", units(text));
        units(text)
    };
    assert!(units(&message.content) <= fit::CONTENT);
    assert!(message.embeds.len() <= fit::EMBEDS);
    let mut all = 0;
    for embed in &message.embeds {
        let parts = embed.as_object().unwrap();
        assert!(parts.keys().any(|k| k != "color"), "an embed with nothing in it");
        for (key, value) in parts {
            all += match key.as_str() {
                "title" => within(value, fit::TITLE),
                "description" => within(value, fit::DESCRIPTION),
                "author" => within(&value["name"], 256),
                "footer" => within(&value["text"], 2048),
                "fields" => {
                    let fields = value.as_array().unwrap();
                    assert!(fields.len() <= fit::FIELDS);
                    fields.iter().map(|f| within(&f["name"], fit::NAME) + within(&f["value"], fit::VALUE)).sum()
                }
                _ => 0,
            };
        }
        let fenced = |text: &str| assert_eq!(text.matches("```").count() % 2, 0, "{text}");
        fenced(embed["description"].as_str().unwrap_or_default());
    }
    assert!(all <= fit::ALL, "{all} in all");
    assert!(message.components.len() <= 5);
    let mut ids = Vec::new();
    for row in &message.components {
        let buttons = row["components"].as_array().unwrap();
        assert!((1..=5).contains(&buttons.len()));
        for button in buttons {
            within(&button["label"], fit::LABEL);
            within(&button["custom_id"], 100);
            ids.push(button["custom_id"].as_str().unwrap().split_once(':').unwrap().1.to_owned());
        }
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "two buttons with one id");
    let names: std::collections::BTreeSet<_> = message.files.iter().map(|f| &f.name).collect();
    assert_eq!(names.len(), message.files.len());
    let shows = !message.content.is_empty() || !message.embeds.is_empty() || !message.files.is_empty();
    assert!(shows, "an empty message is refused");
}

fn text(most: usize) -> BoxedStrategy<String> {
    prop_oneof![
        prop::collection::vec(any::<char>(), 0..40).prop_map(String::from_iter),
        (0..most).prop_map(|n| "_@everyone ".repeat(n / 10)),
        (0..most).prop_map(|n| "😀`\n".repeat(n / 3)),
        (0..most).prop_map(|n| "x".repeat(n)),
        Just(" \u{200b}\n".to_owned()),
    ]
    .boxed()
}

fn block() -> BoxedStrategy<Block> {
    let metric = (text(300), text(600), any::<f64>(), prop::collection::vec(any::<f64>(), 0..30))
        .prop_map(|(name, words, share, recent)| MetricLine { name, words, share, recent });
    let row = prop::collection::vec(text(200), 0..5);
    prop_oneof![
        text(6000).prop_map(Block::Text),
        (text(400), text(2000)).prop_map(|(label, value)| Block::Field(label, value)),
        prop::collection::vec(metric, 0..6).prop_map(Block::Metrics),
        prop::collection::vec(text(300), 0..20).prop_map(Block::Diff),
        (row.clone(), prop::collection::vec(row, 0..30)).prop_map(|(head, rows)| Block::Table { head, rows }),
        text(3000).prop_map(Block::Fixed),
    ]
    .boxed()
}

fn action() -> BoxedStrategy<CardAction> {
    (text(200), text(200), any::<bool>(), any::<bool>(), prop::option::of("[a-z0-9]{0,3}|[a-z]{100,120}"))
        .prop_map(|(label, command, dangerous, primary, id)| CardAction {
            label,
            command: command.clone(),
            dangerous,
            primary,
            button: id.map(|id| Button { id, command, ask: None }),
        })
        .boxed()
}

proptest! {
    // Large cards, unoptimised: as many as take a second or two.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_card_is_within_all_limits(
        key in "[A-Z0-9-]{0,12}|.{0,80}", title in text(600), settled in any::<bool>(),
        tone in prop::sample::select(vec![Tone::Neutral, Tone::Bad, Tone::Waiting, Tone::Good]),
        blocks in prop::collection::vec(block(), 0..40), actions in prop::collection::vec(action(), 0..40),
        said_too in text(5000),
    ) {
        let card = Card { key: key.clone(), title, tone, blocks, actions, settled, ..Card::default() };
        let file = File { name: key.clone(), title: said_too.clone(), bytes: Vec::new() };
        check_limits(&answer(&Answer { card, private: false, file: Some(file) }));
        check_limits(&said(&said_too, &key));
    }
}

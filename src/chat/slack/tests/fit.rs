use proptest::prelude::*;
use serde_json::Value;

use super::super::blocks::{fallback, modal};
use super::*;
use crate::chat::{Block, Button, CardAction, Field, Form, MetricLine, Tone};

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// What Slack refuses, in words.
fn wrong(value: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let blocks = value.as_array().unwrap();
    if blocks.len() > 50 {
        wrong.push(format!("{} blocks", blocks.len()));
    }
    let total = chars(value) + 125 * blocks.len();
    if total >= 12_000 {
        wrong.push(format!("{total} characters"));
    }
    let mut actions = Vec::new();
    for block in blocks {
        check(block, &mut wrong);
        match block["type"].as_str().unwrap() {
            "header" if units(block["text"]["text"].as_str().unwrap()) > 150 => wrong.push("header".to_owned()),
            "actions" => {
                let elements = block["elements"].as_array().unwrap();
                if elements.is_empty() || elements.len() > 25 {
                    wrong.push("actions".to_owned());
                }
                for button in elements {
                    actions.push(button["action_id"].to_string());
                    if units(button["text"]["text"].as_str().unwrap()) > 75 {
                        wrong.push("button".to_owned());
                    }
                    if button["value"].as_str().is_some_and(|v| v.is_empty() || units(v) > 2000) {
                        wrong.push("value".to_owned());
                    }
                    if let Some(text) = button.pointer("/confirm/text/text").and_then(Value::as_str)
                        && units(text) > 300
                    {
                        wrong.push("confirm".to_owned());
                    }
                }
            }
            "context" if block["elements"].as_array().unwrap().len() > 10 => wrong.push("context".to_owned()),
            _ => {}
        }
    }
    let all = actions.len();
    actions.sort();
    actions.dedup();
    if actions.len() < all {
        wrong.push("action_id twice".to_owned());
    }
    wrong
}

/// No empty text, none beyond 3000, no empty elements, and nothing that calls somebody.
fn check(value: &Value, wrong: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| check(item, wrong)),
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "text" || key == "alt_text" => {
                        if text.is_empty() || units(text) > 3000 {
                            wrong.push(format!("{key} of {} characters", units(text)));
                        }
                        // Nothing is read into the elements of rich text.
                        let literal = map.get("type").is_some_and(|kind| kind == "text");
                        if !literal && (text.contains("<!") || text.contains("<@")) {
                            wrong.push(format!("a call in {text}"));
                        }
                    }
                    Value::Array(items) if key == "elements" && items.is_empty() => {
                        wrong.push("no elements".to_owned())
                    }
                    other => check(other, wrong),
                }
            }
        }
        _ => {}
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z <>!@&*_`:\\n]{0,80}",
        ("[a-zé🦀<&\\n]{1,4}", 0_usize..4000).prop_map(|(text, times)| text.repeat(times)),
        Just("<!channel>".to_owned()),
    ]
}

fn texts(most: usize) -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(text(), 0..most)
}

fn block() -> impl Strategy<Value = Block> {
    let metric = (text(), text(), any::<f64>(), proptest::collection::vec(any::<f64>(), 0..40))
        .prop_map(|(name, words, share, recent)| MetricLine { name, words, share, recent });
    prop_oneof![
        text().prop_map(Block::Text),
        (text(), text()).prop_map(|(label, value)| Block::Field(label, value)),
        proptest::collection::vec(metric, 0..12).prop_map(Block::Metrics),
        texts(20).prop_map(Block::Diff),
        (texts(8), proptest::collection::vec(texts(10), 0..30)).prop_map(|(head, rows)| Block::Table { head, rows }),
        text().prop_map(Block::Fixed),
    ]
}

fn action() -> impl Strategy<Value = CardAction> {
    let button = proptest::option::of(("[a-z0-9]{0,40}", text()));
    (text(), text(), any::<bool>(), any::<bool>(), button).prop_map(|(label, command, dangerous, primary, button)| {
        let button = button.map(|(id, command)| Button { id, command, ask: None });
        CardAction { label, command, dangerous, primary, button }
    })
}

fn card() -> impl Strategy<Value = Card> {
    let tone = prop_oneof![Just(Tone::Neutral), Just(Tone::Bad), Just(Tone::Waiting), Just(Tone::Good)];
    let blocks = prop_oneof![
        proptest::collection::vec(block(), 0..12),
        proptest::collection::vec(text().prop_map(Block::Text), 40..120),
    ];
    (text(), tone, blocks, proptest::collection::vec(action(), 0..40)).prop_map(|(title, tone, blocks, actions)| Card {
        title,
        tone,
        blocks,
        actions,
        ..Card::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_card_keeps_every_limit(card in card(), pictured in any::<bool>()) {
        let picture = pictured.then(|| blocks::image("F0123456789", &card.title));
        let fitted = fit(&card, picture);
        let value = serde_json::to_value(&fitted.blocks).unwrap();
        prop_assert_eq!(wrong(&value), Vec::<String>::new());
        let text = fallback(&card);
        prop_assert!(!text.is_empty() && units(&text) <= 6000 && !text.contains("<!"));
    }

    #[test]
    fn any_form_keeps_every_limit(title in text(), words in text(), labels in texts(8), most in any::<u16>()) {
        let fields = labels.into_iter().map(|label| Field {
            name: label.clone(), label, optional: false, long: true, most,
        });
        let (id, fields) = ("f".to_owned(), fields.collect());
        let form = Form { id, title: title.clone(), text: words, submit: title, fields };
        let view = serde_json::to_value(modal(&form, "{}".to_owned())).unwrap();
        let mut wrong = Vec::new();
        check(&view, &mut wrong);
        prop_assert_eq!(wrong, Vec::<String>::new());
        prop_assert!(units(view["title"]["text"].as_str().unwrap()) <= 24);
        prop_assert!(units(view["submit"]["text"].as_str().unwrap()) <= 24);
    }
}

#[test]
fn what_does_not_fit_is_left_over_and_said() {
    let rows = (0..400).map(|i| vec![format!("row {i}"), "x".repeat(40)]).collect();
    let head = vec!["a".to_owned(), "b".to_owned()];
    let card = Card {
        title: "ledger".to_owned(),
        blocks: vec![Block::Table { head, rows }, Block::Text("the end".to_owned())],
        actions: vec![CardAction {
            label: "More".to_owned(),
            button: Some(Button { id: "b1".to_owned(), ..Button::default() }),
            ..CardAction::default()
        }],
        ..Card::default()
    };
    let fitted = fit(&card, None);
    let text = serde_json::to_string(&fitted.blocks).unwrap();
    assert!(text.contains("row 0 ") && !text.contains("row 399 ") && text.contains("file in its thread"), "{text}");
    assert!(text.contains("\"b1\""), "the buttons stay");
    let rest = fitted.rest.unwrap();
    assert!(rest.contains("row 399 ") && rest.ends_with("the end"));
    for i in 0..400 {
        let row = format!("row {i} ");
        assert!(text.contains(&row) || rest.contains(&row), "{row} is lost");
    }
}

#[test]
fn without_actions_there_are_no_buttons() {
    let card = Card { title: "t".to_owned(), blocks: vec![Block::Text("x".to_owned())], ..Card::default() };
    let text = serde_json::to_string(&fit(&card, None).blocks).unwrap();
    assert!(!text.contains("actions"), "{text}");
    assert_eq!(fit(&card, None).rest, None);
}

#[test]
fn many_commands_to_type_are_cut_and_said() {
    let command = |n: usize| CardAction { command: format!("{n}{}", "&".repeat(190)), ..CardAction::default() };
    let card = Card { title: "t".to_owned(), actions: (0..9).map(command).collect(), ..Card::default() };
    let value = serde_json::to_value(fit(&card, None).blocks).unwrap();
    assert_eq!(wrong(&value), Vec::<String>::new());
    assert!(value.to_string().contains("`0&amp;") && value.to_string().contains("more: see `help`"), "{value}");
}

#[test]
fn a_button_too_many_is_typed() {
    let button = |n: usize| CardAction {
        label: "Go".to_owned(),
        command: format!("go {n}"),
        button: Some(Button { id: format!("b{n}"), ..Button::default() }),
        ..CardAction::default()
    };
    let card = Card { title: "t".to_owned(), actions: (0..26).map(button).collect(), ..Card::default() };
    let text = serde_json::to_string(&fit(&card, None).blocks).unwrap();
    assert!(text.contains("\"b24\"") && !text.contains("\"b25\"") && text.contains("Type `go 25`"), "{text}");
}

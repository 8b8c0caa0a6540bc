use super::super::report::tests::{Told, report};
use super::*;
use crate::chat::render::{Look, render};

#[test]
fn percentiles_are_values_that_were_measured() {
    let cases: [(&[u64], Option<u64>); 5] =
        [(&[], None), (&[7], Some(7)), (&[1, 2], Some(2)), (&[1, 2, 3, 4, 5], Some(5)), (&[3, 3, 3], Some(3))];
    for (values, p95) in cases {
        assert_eq!(nearest_rank(values, 95), p95, "{values:?}");
    }
    let hundred: Vec<u64> = (1..=100).rev().collect();
    let spread = Spread::of(hundred);
    assert_eq!((spread.measured, spread.p95_ms), (100, Some(95)));
    assert!((spread.mean_ms.unwrap() - 50.5).abs() < 1e-9);
    assert_eq!(Spread::of(Vec::new()), Spread::default());
}

#[test]
fn an_empty_board_says_what_to_do() {
    let board = ScoreBoard::of(&[]);
    assert_eq!(board.json(), serde_json::json!({"rows": [], "all": null, "aborted": 0}));
    let words = "No experiment is over yet; `chaos list` has those there are.";
    assert_eq!(board.blocks(), [Block::Text(words.to_owned())]);
}

#[test]
fn many_experiments_on_one_board() {
    let reports = [
        report(Told { name: "latency", ..Told::default() }),
        report(Told { name: "latency", healed: false, ..Told::default() }),
        report(Told { name: "latency", aborted: true, ..Told::default() }),
        report(Told { name: "bad-day", ..Told::default() }),
        report(Told { name: "crash", found: false, ..Told::default() }),
        report(Told { name: "errors", false_alarm: true, ..Told::default() }),
        report(Told { name: "errors", under_way: true, ..Told::default() }),
    ];
    let board = ScoreBoard::of(&reports);
    let shown = render(&board.card(), Look { width: 160, ..Look::default() });
    insta::assert_snapshot!(format!("{shown}\n{}\n{:#}", board.markdown(), board.json()["rows"][0]));
}

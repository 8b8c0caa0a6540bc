use super::*;
use crate::evaluate::{Culprit, Rates, Shipped};

fn summary() -> Summary {
    Summary {
        roc_auc: Some(0.9),
        pr_auc: Some(0.25),
        best_f1: Some(0.4),
        vus_pr: None,
        series: 2,
        events: 4,
        normal_days: 12.5,
        within: vec![(0.0, None), (0.25, Some(60.0)), (0.5, Some(600.0)), (1.0, Some(9000.0))],
        shipped: Shipped {
            tp: 30,
            fp: 5,
            fn_: 10,
            tn: 12_000,
            found: 3,
            false_alarms: 2,
            led: 1,
            ..Shipped::default()
        },
        rates: Rates { accuracy: Some(0.9988), f1: 0.8, event_recall: Some(0.75), ..Rates::default() },
        culprit: Some(Culprit { events: 3, hit1: 1, hit3: 2 }),
    }
}

#[test]
fn as_text() {
    assert_eq!(
        text(&summary()),
        "\
ROC-AUC                                 0.9000
PR-AUC                                  0.2500
VUS-PR                                  -
best F1                                 0.4000
events                                  4 in 12.5 days without one
event recall at 0.1 false alarms a day  0.0000, median delay -
event recall at 0.2 false alarms a day  0.2500, median delay 60 s
event recall at 1 false alarm a day     0.5000, median delay 10 min
event recall at 3 false alarms a day    1.0000, median delay 2.5 h

the alarm flag
  accuracy                              0.9988
  false positive rate                   -
  precision                             -
  recall                                -
  F1                                    0.8000
  event recall                          0.7500 (3 of 4)
  false alarms a day                    - (2 in all)
  median delay                          -

culprit hit@1                           0.3333 (1 of 3)
culprit hit@3                           0.6667 (2 of 3)

rows           flagged  not flagged
anomalous           30           10
normal               5        12000
"
    );
}

#[test]
fn as_json() {
    let all = json(&summary());
    let cases = [
        ("/roc_auc", json!(0.9)),
        ("/vus_pr", json!(null)),
        ("/event_recall@0.2~1day", json!(0.25)),
        ("/median_latency_s@3.0~1day", json!(9000.0)),
        ("/median_latency_s@0.1~1day", json!(null)),
        ("/shipped/event_recall", json!(0.75)),
        ("/shipped/confusion/fn", json!(10)),
        ("/culprit/hit_at_1", json!(0.3333)),
    ];
    for (place, expected) in cases {
        assert_eq!(all.pointer(place), Some(&expected), "{place}");
    }
}

#[test]
fn as_markdown() {
    let suite = SuiteResult { name: "shop".to_owned(), summary: summary(), series: Vec::new(), curves: Vec::new() };
    let shown = markdown(&[suite]);
    let lines: Vec<&str> = shown.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(lines.len(), 6, "{shown}");
    for table in lines.chunks(3) {
        // Every line of a table has the same cells, as wide as each other.
        assert!(table.iter().all(|line| line.len() == table[0].len()), "{shown}");
        assert!(table.iter().all(|line| line.matches('|').count() == table[0].matches('|').count()), "{shown}");
    }
    assert!(lines[2].contains(" 0.5000 (10 min) |"), "{shown}");
    assert!(lines[5].contains(" 12000 | "), "{shown}");
    // A suite without events has a cell for each heading all the same.
    let quiet = SuiteResult { name: "quiet".to_owned(), summary: Summary::default(), series: vec![], curves: vec![] };
    let shown = markdown(&[quiet]);
    let cells: Vec<usize> = shown.lines().filter(|l| l.starts_with('|')).map(|l| l.matches('|').count()).collect();
    assert_eq!(cells, [12, 12, 12, 16, 16, 16]);
}

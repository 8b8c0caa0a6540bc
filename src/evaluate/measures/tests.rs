//! One generated series whose figures were taken from the reference, `evaluate.py`, and cases that it cannot show.
//!
//! The reference's figures come from this program, run beside `evaluate.py` with numpy 2.4 and pandas 3.1:
//!
//! ```python
//! import evaluate
//! def event(i): return 60 <= i < 75 or 200 <= i < 203 or 400 <= i < 440
//! def bump(i): return 600 * (63 <= i < 80) + 300 * (405 <= i < 450) + 800 * (520 <= i < 523)
//! def score(i): return ((i * 7919 + 13) % 1009 + bump(i)) / 100
//! with open("labels.csv", "w") as L, open("scores.csv", "w") as S:
//!     print("row,label,culprits", file=L)
//!     print("row,score,is_anomaly,culprit", file=S)
//!     for i in range(600):
//!         truth = "cpu" if i < 75 else "disk;net" if i < 203 else "mem"
//!         blamed = "cpu;mem" if i % 2 else "mem;net;cpu;disk"
//!         print(100 + i, 1 if event(i) else -1 if 440 <= i < 450 else 0, truth if event(i) else "", sep=",", file=L)
//!         print(100 + i, score(i), int(score(i) >= 9.5), blamed, sep=",", file=S)
//! r = evaluate.one("scores.csv", "labels.csv", 300)
//! print(r, evaluate.aggregate([r]))
//! ```

use super::*;

fn generated() -> Series {
    let event = |i: usize| (60..75).contains(&i) || (200..203).contains(&i) || (400..440).contains(&i);
    let score = |i: usize| {
        let bump = match i {
            63..80 => 600,
            405..450 => 300,
            520..523 => 800,
            _ => 0,
        };
        f64::from(u32::try_from((i * 7919 + 13) % 1009 + bump).unwrap()) / 100.0
    };
    let names = |joined: &str| joined.split(';').map(str::to_owned).collect::<Vec<_>>();
    let rows = 0..600;
    Series {
        labels: rows
            .clone()
            .map(|i| match i {
                i if event(i) => Label::Anomalous,
                440..450 => Label::Unknown,
                _ => Label::Normal,
            })
            .collect(),
        scores: rows.clone().map(score).collect(),
        alarms: rows.clone().map(|i| score(i) >= 9.5).collect(),
        blamed: rows.clone().map(|i| names(if i % 2 == 1 { "cpu;mem" } else { "mem;net;cpu;disk" })).collect(),
        culprits: Some(
            rows.map(|i| match i {
                i if !event(i) => Vec::new(),
                ..75 => names("cpu"),
                75..203 => names("disk;net"),
                _ => names("mem"),
            })
            .collect(),
        ),
        interval: 300.0,
    }
}

fn close(name: &str, got: Option<f64>, expected: f64) {
    let got = got.unwrap();
    assert!((got - expected).abs() < 1e-9, "{name}: {got}, and the reference says {expected}");
}

#[test]
fn one_series_as_the_reference_measures_it() {
    let one = measure(&generated());
    close("ROC-AUC", one.roc_auc, 0.747_115_633_912_367);
    close("PR-AUC", one.pr_auc, 0.379_119_755_603_328);
    close("best F1", one.best_f1, 0.433_734_939_759_036_2);
    close("VUS-PR", one.vus_pr, 0.605_969_873_769_179);
    close("days", Some(one.days), 1.833_333_333_333_333_3);
    assert_eq!(one.events, 3);
    let within: Vec<(usize, Vec<f64>)> = one.within.into_iter().map(|w| (w.found, w.delays)).collect();
    assert_eq!(within, [(0, vec![]), (0, vec![]), (2, vec![2100.0, 2700.0]), (2, vec![2100.0, 2700.0])]);
    let shipped = one.shipped;
    assert_eq!((shipped.tp, shipped.fp, shipped.fn_, shipped.tn), (19, 35, 39, 497));
    assert_eq!((shipped.found, shipped.false_alarms, shipped.led), (2, 32, 1));
    assert_eq!(shipped.delays, [900.0, 2700.0]);
    let culprit = one.culprit.unwrap();
    assert_eq!((culprit.events, culprit.hit1, culprit.hit3), (3, 1, 3));
}

#[test]
fn a_summary_as_the_reference_gives_it() {
    let all = summarise(&[measure(&generated())]);
    assert_eq!((all.roc_auc, all.pr_auc), (Some(0.7471), Some(0.3791)));
    assert_eq!((all.best_f1, all.vus_pr), (Some(0.4337), Some(0.606)));
    assert_eq!((all.series, all.events, all.normal_days), (1, 3, 1.8));
    let nothing = (0.0, None);
    assert_eq!(all.within, [nothing, nothing, (0.6667, Some(2400.0)), (0.6667, Some(2400.0))]);
    let rates = all.rates;
    assert_eq!((rates.accuracy, rates.fpr), (Some(0.8746), Some(0.0658)));
    assert_eq!((rates.precision, rates.recall, rates.f1), (Some(0.3519), Some(0.3276), 0.3393));
    assert_eq!((rates.event_recall, rates.event_precision), (Some(0.6667), Some(0.0588)));
    assert_eq!(rates.false_alarms_per_day, Some(17.4545));
    assert_eq!((rates.median_delay, rates.mean_delay), (Some(1800.0), Some(1800.0)));
}

#[test]
fn what_has_no_meaning_is_missing() {
    let mut quiet = generated();
    quiet.labels.fill(Label::Normal);
    quiet.culprits = None;
    let one = measure(&quiet);
    assert_eq!((one.roc_auc, one.vus_pr, one.events), (None, None, 0));
    assert!(one.within.is_empty() && one.culprit.is_none());
    let all = summarise(std::slice::from_ref(&one));
    assert_eq!((all.roc_auc, all.rates.recall, all.rates.event_recall), (None, None, None));
    // A series without events leaves the means of the others alone, but its normal days count.
    let both = summarise(&[measure(&generated()), one]);
    assert_eq!((both.roc_auc, both.series), (Some(0.7471), 2));
    assert!(both.normal_days > 3.0);
}

#[test]
fn medians_and_rounding() {
    assert_eq!(median(vec![]), None);
    assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    assert_eq!(round(0.000_049_9, 4), 0.0);
    assert_eq!(round(2.0 / 3.0, 4), 0.6667);
}

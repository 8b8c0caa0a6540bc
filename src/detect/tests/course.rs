//! What only the course of a metric shows: seasons, spikes and their echo, silences, drift; and that nothing grows.

use std::collections::BTreeMap;

use super::super::sim::Dice;
use super::super::*;
use crate::model::*;

const TEN_MINUTES: i64 = 600_000;
const DAY: i64 = 144;

fn settings() -> DetectSettings {
    DetectSettings { trees: 50, ..DetectSettings::default() }
}

fn at(row: i64, step: i64) -> Timestamp {
    Timestamp(1_700_000_000_000 / 86_400_000 * 86_400_000 + row * step)
}

fn sample(row: i64, step: i64, values: &[(&str, f64)]) -> Sample {
    Sample {
        service: "shop".into(),
        at: at(row, step),
        values: values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        by_instance: BTreeMap::new(),
        faults: vec![],
    }
}

/// A detector that has seen so many samples and learned from them.
fn learned(rows: i64, step: i64, mut values: impl FnMut(i64) -> Vec<(&'static str, f64)>) -> Detector {
    let mut detector = Detector::new("shop".into(), settings(), BTreeMap::new());
    for row in 0..rows {
        detector.observe(&sample(row, step, &values(row)));
    }
    let set = detector.training_due(at(rows, step)).expect("it is time to train");
    detector.install(train(set).unwrap());
    detector
}

/// Busy by day, idle by night.
fn tide(row: i64) -> f64 {
    100.0 + 80.0 * (std::f64::consts::TAU * row as f64 / DAY as f64).sin()
}

#[test]
fn what_is_usual_at_noon_is_not_at_midnight() {
    let mut dice = Dice::new(1);
    let mut value = move |row: i64| vec![("load", tide(row) + 4.0 * (dice.unit() - 0.5))];
    let mut detector = learned(6 * DAY, TEN_MINUTES, &mut value);
    let mut anomalies = 0;
    for row in 6 * DAY..7 * DAY {
        anomalies += usize::from(detector.observe(&sample(row, TEN_MINUTES, &value(row))).is_anomaly());
    }
    assert!(anomalies <= 2, "{anomalies} of a usual day");
    // The highest of the day, at the lowest of the night: within the range that was seen.
    let night = 7 * DAY + DAY * 3 / 4;
    for row in 7 * DAY..night {
        detector.observe(&sample(row, TEN_MINUTES, &value(row)));
    }
    let reading = detector.observe(&sample(night, TEN_MINUTES, &[("load", 180.0)]));
    assert!(reading.is_anomaly(), "{} of {}", reading.score, reading.threshold);
}

#[test]
fn a_spike_has_no_echo() {
    let mut dice = Dice::new(2);
    let mut value = move |_: i64| vec![("a", dice.unit()), ("b", dice.unit()), ("c", dice.unit())];
    let mut detector = learned(2000, 60_000, &mut value);
    for row in 2000..2100 {
        detector.observe(&sample(row, 60_000, &value(row)));
    }
    assert!(detector.observe(&sample(2100, 60_000, &[("a", 9.0), ("b", 9.0), ("c", 9.0)])).is_anomaly());
    let after = (2101..2111).filter(|row| detector.observe(&sample(*row, 60_000, &value(*row))).is_anomaly());
    assert!(after.count() <= 1, "what follows a spike is not one");
}

#[test]
fn a_lasting_fault_stays_an_anomaly_while_an_incident_is_open_and_its_cure_ends_it() {
    let mut dice = Dice::new(3);
    let mut value = move |_: i64| vec![("a", 10.0 + dice.unit()), ("b", dice.unit())];
    let mut detector = learned(2000, 60_000, &mut value);
    let mut out = |row: i64, plus: f64, detector: &mut Detector| {
        let values: Vec<_> = value(row).into_iter().map(|(name, v)| (name, v + plus)).collect();
        detector.observe(&sample(row, 60_000, &values)).is_anomaly()
    };
    assert!(out(2000, 20.0, &mut detector));
    detector.set_quarantine(true);
    // Ten hours: far longer than every mean and window remembers.
    let lasting = (2001..2600).filter(|row| out(*row, 20.0, &mut detector)).count();
    assert_eq!(lasting, 599, "a fault does not become normal by lasting");
    let cured = (2600..2610).filter(|row| out(*row, 0.0, &mut detector)).count();
    assert_eq!(cured, 0, "and its cure is seen at once");
}

#[test]
fn a_silence_is_no_jump() {
    let mut value = |row: i64| vec![("load", tide(row))];
    let mut detector = learned(6 * DAY, TEN_MINUTES, &mut value);
    // Twelve hours without a word, then the other end of the day.
    let row = 6 * DAY + DAY / 2 + 37;
    let reading = detector.observe(&sample(row, TEN_MINUTES, &value(row)));
    assert!(!reading.is_anomaly(), "{} of {}", reading.score, reading.threshold);
}

#[test]
fn metrics_that_drift_are_learned_anew_before_the_hour_is_over() {
    let mut dice = Dice::new(4);
    let mut value = move |row: i64| {
        let drift = if row < 1000 { 0.0 } else { (row - 1000) as f64 * 0.003 };
        vec![("a", drift + dice.unit()), ("b", drift + dice.unit())]
    };
    let mut detector = learned(1000, 1000, &mut value);
    let due = (1000..1900).find(|row| {
        detector.observe(&sample(*row, 1000, &value(*row)));
        detector.training_due(at(*row, 1000)).is_some()
    });
    assert!(due.is_some(), "nothing was due in a quarter of an hour");
}

#[test]
fn a_young_model_says_that_its_threshold_is_a_guess() {
    let mut dice = Dice::new(5);
    let young = learned(200, 1000, |_| vec![("a", dice.unit())]);
    assert!(young.model().unwrap().quality().is_extrapolated());
    let mut dice = Dice::new(5);
    let old = learned(3000, 60_000, |_| vec![("a", dice.unit())]);
    let quality = old.model().unwrap().quality();
    assert!(!quality.is_extrapolated() && (quality.days - 3000.0 / 1440.0).abs() < 1e-9, "{quality:?}");
    assert!(quality.alarms_a_day <= 1.0, "{quality:?}");
}

/// Pages of this process that are in memory.
fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

#[test]
fn a_million_samples_later_nothing_has_grown() {
    let settings = DetectSettings { trees: 5, tree_samples: 64, window: 500, ..DetectSettings::default() };
    let mut detector = Detector::new("shop".into(), settings, BTreeMap::new());
    let mut dice = Dice::new(6);
    let mut before = 0;
    for row in 0..1_000_000_i64 {
        let reading = detector.observe(&sample(row, 1000, &[("a", dice.unit())]));
        assert!(reading.score.is_finite() && (0.0..=100.0).contains(&reading.risk));
        if row == 500 {
            let set = detector.training_due(at(row, 1000)).unwrap();
            detector.install(train(set).unwrap());
        }
        if row == 100_000 {
            before = resident_bytes();
        }
    }
    // Other tests run beside this one and take memory of their own; a leak of 100 bytes a sample would be 90 MB.
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20 || before == 0, "{grown} bytes");
    assert_eq!(detector.learned(), 500);
}

#[test]
fn wild_streams_give_finite_readings() {
    let mut dice = Dice::new(7);
    let mut detector = learned(300, 1000, |_| vec![("a", dice.unit()), ("b", 5.0), ("c", 0.0)]);
    let wild = [0.0, -0.0, 1e308, -1e308, f64::MIN_POSITIVE, f64::NAN, f64::INFINITY, 5.0, 1e-300, -1e15];
    let mut time = 301_i64;
    for (i, value) in wild.iter().cycle().take(400).enumerate() {
        // Steps of the clock: forward, none, far ahead, back.
        time += [1, 0, 90_000, -3, 1, 1][i % 6];
        let reading = detector.observe(&sample(time, 1000, &[("a", *value), ("b", -*value), ("c", *value / 3.0)]));
        assert!(reading.score.is_finite() && (0.0..=100.0).contains(&reading.risk), "{reading:#?}");
        assert!(reading.drivers.iter().all(|d| d.share.is_finite()), "{reading:#?}");
    }
}

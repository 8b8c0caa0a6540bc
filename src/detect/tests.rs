//! The detector as a whole: on the simulated shop, and on awkward streams.

mod course;
mod feedback;

use std::collections::BTreeMap;
use std::time::Duration;

use super::sim::{FAULTS, Fault, STEP_MS, Stage, specs};
use super::*;
use crate::model::*;

const SEEDS: std::ops::Range<u64> = 0..20;

fn fault(source: &str) -> SourceFault {
    SourceFault { source: source.to_owned(), why: "connection refused".to_owned() }
}

fn raised(stage: &mut Stage, within: usize) -> Reading {
    match (0..within).find_map(|_| stage.step().1) {
        Some(Signal::Raised { reading, .. }) => reading,
        other => panic!("not raised within {within} samples: {other:?}"),
    }
}

#[test]
fn a_shop_that_is_well_raises_nothing() {
    let mut anomalies = 0;
    for seed in SEEDS {
        let mut stage = Stage::trained(seed, 100 + 2 * seed as usize);
        for _ in 0..400 {
            let (reading, signal) = stage.step();
            anomalies += usize::from(reading.is_anomaly());
            assert!(signal.is_none(), "seed {seed}: {signal:#?}");
        }
    }
    assert!(anomalies <= 20 * 400 / 500, "{anomalies} of 8000 normal samples were anomalous");
}

#[test]
fn a_shop_that_is_well_for_long_raises_nothing_as_it_is_trained_again() {
    for seed in SEEDS.take(5) {
        let mut stage = Stage::trained(seed, 100);
        for _ in 0..2000 {
            let (_, signal) = stage.step();
            assert!(signal.is_none(), "seed {seed}: {signal:#?}");
            if let Some(set) = stage.detector.training_due(stage.shop.now()) {
                stage.detector.install(train(set).unwrap());
            }
        }
        let model = stage.detector.model().unwrap();
        assert!(model.version() > 3 && model.samples() > 1000, "{} of {}", model.version(), model.samples());
    }
}

#[test]
fn each_fault_is_raised_in_time_with_the_right_metric_first_and_clears_after() {
    for seed in SEEDS {
        for (fault, metrics) in FAULTS {
            let mut stage = Stage::trained(seed, 120);
            (0..40).for_each(|_| drop(stage.step()));
            stage.shop.break_down(fault);
            let within = if fault == Fault::Leak { 25 } else { 8 };
            let begun = stage.shop.now();
            let signal = (0..within).find_map(|_| stage.step().1);
            let Some(Signal::Raised { since, reading }) = signal else { panic!("seed {seed}, {fault:?}: {signal:?}") };
            assert!(since >= begun.minus(Duration::from_secs(1)), "seed {seed}, {fault:?}");
            let first = &reading.drivers[0];
            assert!(metrics.contains(&first.metric.as_str()), "seed {seed}, {fault:?}: {:#?}", reading.drivers);
            assert!(reading.drivers.iter().map(|d| d.share).sum::<f64>() <= 1.0 + 1e-9);
            // A leak is raised before it has a trend.
            if fault != Fault::Leak {
                assert_eq!(first.trend, Trend::Step, "seed {seed}, {fault:?}: {:?}", first.recent);
            }
            assert_eq!(reading.judge, Judge::Model { version: 1 });

            (0..19).for_each(|_| drop(stage.step()));
            let (later, _) = stage.step();
            let first = &later.drivers[0];
            assert!(metrics.contains(&first.metric.as_str()), "seed {seed}, {fault:?}: {:#?}", later.drivers);
            if fault == Fault::Leak {
                assert_eq!(first.trend, Trend::Rising, "seed {seed}: {:?}", first.recent);
            }
            stage.shop.fault = None;
            let clear = (0..5).position(|_| !stage.step().0.is_anomaly());
            assert!(clear.is_some(), "seed {seed}, {fault:?}: not clear after five samples");
            let signal = (0..12).find_map(|_| stage.step().1);
            assert!(matches!(signal, Some(Signal::Cleared { .. })), "seed {seed}, {fault:?}: {signal:?}");
        }
    }
}

#[test]
fn better_than_ever_is_no_anomaly() {
    let mut stage = Stage::trained(1, 120);
    for _ in 0..20 {
        let mut sample = stage.shop.sample();
        for metric in ["latency_p50", "latency_p95", "latency_p99", "cpu_cores", "memory_bytes", "in_flight"] {
            sample.values.insert(metric.to_owned(), 0.0);
        }
        sample.values.insert("cache_hit_ratio".to_owned(), 1.0);
        sample.values.insert("request_rate".to_owned(), 1e9);
        let (reading, _) = stage.take(&sample);
        assert!(!reading.is_anomaly(), "{reading:#?}");
    }
}

#[test]
fn a_reading_keeps_its_word() {
    let mut stage = Stage::trained(2, 120);
    stage.shop.break_down(Fault::Errors);
    let (reading, _) = stage.step();
    assert!(reading.is_anomaly() && reading.score > reading.threshold && reading.risk > 50.0);
    let driver = &reading.drivers[0];
    assert_eq!((driver.metric.as_str(), driver.unit.as_str(), driver.normal), ("error_ratio", "ratio", 0.0));
    assert!(driver.value > 0.2 && driver.low <= driver.normal && driver.normal <= driver.high);
    assert_eq!((driver.recent.len(), driver.recent.last()), (30, Some(&driver.value)));
    stage.shop.fault = None;
    let (reading, _) = stage.step();
    assert!(reading.risk < 50.0 && reading.severity == Severity::None && reading.drivers.is_empty());
}

#[test]
fn before_a_model_only_limits_and_sources_speak() {
    let mut stage = Stage::new(3);
    let mut specs = specs();
    specs.get_mut("latency_p95").unwrap().limit = Some(1.0);
    stage.detector.set_specs(specs);
    let (reading, _) = stage.step();
    assert_eq!((reading.judge, reading.risk), (Judge::Learning { have: 1, need: 100 }, 0.0));

    let mut wild = stage.shop.sample();
    wild.values.insert("pool_waiters".to_owned(), 1e6);
    assert_eq!(stage.take(&wild).0.judge, Judge::Learning { have: 2, need: 100 });

    let mut slow = stage.shop.sample();
    slow.values.insert("latency_p95".to_owned(), 2.0);
    let (reading, _) = stage.take(&slow);
    assert_eq!((&reading.judge, reading.drivers.len()), (&Judge::Limits, 1));
    assert_eq!(reading.drivers[0].metric, "latency_p95");
    assert_eq!(stage.detector.learned(), 2, "what is past a limit is not learned");
}

#[test]
fn a_source_that_fails_wholly_is_named_and_one_that_fails_in_part_is_not() {
    for trained in [false, true] {
        let mut stage = if trained { Stage::trained(4, 120) } else { Stage::new(4) };
        stage.step();
        let mut partly = stage.shop.sample();
        partly.faults = vec![fault("http://127.0.0.1:9102/metrics")];
        assert!(!stage.take(&partly).0.is_anomaly());

        let mut signals = Vec::new();
        for _ in 0..30 {
            let mut lost = stage.shop.sample();
            lost.faults = vec![fault("scrape shop")];
            lost.values.retain(|name, _| name == "memory_bytes");
            let (reading, signal) = stage.take(&lost);
            assert_eq!((&reading.judge, reading.drivers[0].metric.as_str()), (&Judge::Source, "source scrape shop"));
            signals.extend(signal);
        }
        assert_eq!(signals.len(), 1, "one incident: {signals:?}");
        let signal = (0..8).find_map(|_| stage.step().1);
        assert!(matches!(signal, Some(Signal::Cleared { .. })), "{signal:?}");
    }
}

#[test]
fn a_source_that_never_answered_is_said_from_the_first_sample() {
    let mut stage = Stage::new(4);
    let mut sample = stage.shop.sample();
    sample.values.clear();
    sample.faults = vec![fault("scrape shop")];
    assert_eq!(stage.take(&sample).0.judge, Judge::Source);
}

#[test]
fn an_incident_does_not_close_because_its_metric_vanished() {
    let mut stage = Stage::trained(5, 120);
    stage.shop.break_down(Fault::Latency);
    raised(&mut stage, 8);
    for _ in 0..15 {
        let mut sample = stage.shop.sample();
        sample.values.retain(|name, _| !name.starts_with("latency"));
        let (reading, signal) = stage.take(&sample);
        assert!(reading.is_anomaly() && reading.at < sample.at, "the last reading again");
        assert_eq!(signal, None);
    }
    stage.shop.fault = None;
    let signal = (0..12).find_map(|_| stage.step().1);
    assert!(matches!(signal, Some(Signal::Cleared { .. })), "{signal:?}");
}

#[test]
fn an_absent_metric_is_neither_good_nor_bad() {
    let mut stage = Stage::trained(6, 120);
    for _ in 0..50 {
        let mut sample = stage.shop.sample();
        sample.values.remove("latency_p99");
        sample.values.remove("up_ratio");
        let (reading, _) = stage.take(&sample);
        assert!(!reading.is_anomaly() && reading.at == sample.at);
    }
}

#[test]
fn values_that_are_no_numbers_are_dropped_and_counted() {
    let mut stage = Stage::trained(7, 120);
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut sample = stage.shop.sample();
        sample.values.insert("latency_p50".to_owned(), value);
        assert!(!stage.take(&sample).0.is_anomaly());
    }
    assert_eq!(stage.detector.counts().non_finite, 3);
    for value in [f64::MAX, -f64::MAX] {
        let mut sample = stage.shop.sample();
        sample.values.insert("open_connections".to_owned(), value);
        let (reading, _) = stage.take(&sample);
        assert!(reading.score.is_finite() && reading.is_anomaly() && reading.risk <= 100.0);
        let text = serde_json::to_string(&reading).unwrap();
        assert_eq!(serde_json::from_str::<Reading>(&text).unwrap(), reading);
    }
}

#[test]
fn duplicates_and_latecomers_are_counted_and_change_nothing() {
    let mut stage = Stage::trained(8, 120);
    let earlier = stage.shop.sample();
    stage.step();
    stage.shop.break_down(Fault::Errors);
    let sample = stage.shop.sample();
    let (reading, _) = stage.take(&sample);
    let learned = stage.detector.learned();
    for again in [&sample, &sample, &sample, &earlier] {
        assert_eq!(stage.take(again), (reading.clone(), None), "no second vote");
    }
    assert_eq!((stage.detector.counts().late, stage.detector.learned()), (4, learned));
    let strange = Sample { service: "other".into(), ..stage.shop.sample() };
    assert_eq!(stage.take(&strange).0, reading);
    assert_eq!(stage.detector.counts().strange, 1);
}

#[test]
fn a_clock_that_was_set_back_stops_nothing_for_long() {
    let mut stage = Stage::trained(9, 120);
    let back = |mut sample: Sample| {
        sample.at = sample.at.minus(Duration::from_secs(86_400));
        sample
    };
    let judged = (0..20).filter(|_| {
        let sample = back(stage.shop.sample());
        stage.take(&sample).0.at == sample.at
    });
    assert_eq!(judged.count(), 16);
    assert_eq!(stage.detector.counts().late, 4);
    stage.shop.break_down(Fault::Errors);
    let signals = (0..8).filter_map(|_| {
        let sample = back(stage.shop.sample());
        stage.take(&sample).1
    });
    assert_eq!(signals.count(), 1);
}

#[test]
fn a_metric_that_appears_later_is_judged_by_its_limit_until_the_next_training() {
    let mut stage = Stage::trained(10, 100);
    let mut specs = specs();
    specs.insert(
        "queue".to_owned(),
        MetricSpec { bad: Badness::High, floor: 1.0, limit: Some(50.0), ..MetricSpec::default() },
    );
    stage.detector.set_specs(specs);
    let with = |stage: &mut Stage, queue: f64| {
        let mut sample = stage.shop.sample();
        sample.values.insert("queue".to_owned(), queue);
        stage.take(&sample).0
    };
    for _ in 0..100 {
        assert!(!with(&mut stage, 2.0).is_anomaly());
    }
    assert!(!with(&mut stage, 40.0).is_anomaly(), "nothing is known of it");
    assert_eq!(with(&mut stage, 60.0).judge, Judge::Limits);
    stage.train();
    let reading = with(&mut stage, 40.0);
    assert_eq!((&reading.judge, reading.drivers[0].metric.as_str()), (&Judge::Model { version: 2 }, "queue"));
}

#[test]
fn a_changed_unit_is_an_incident_until_somebody_says_it_is_normal() {
    let mut stage = Stage::trained(11, 120);
    let in_ms = |stage: &mut Stage| {
        let mut sample = stage.shop.sample();
        sample.values.iter_mut().filter(|(name, _)| name.starts_with("latency")).for_each(|(_, v)| *v *= 1000.0);
        stage.take(&sample)
    };
    let signal = (0..8).find_map(|_| in_ms(&mut stage).1);
    let Some(Signal::Raised { reading, .. }) = signal else { panic!("{signal:?}") };
    assert!(reading.drivers[0].metric.starts_with("latency"));
    let learned = stage.detector.learned();
    assert!((0..300).all(|_| in_ms(&mut stage).0.is_anomaly()), "it does not become normal by lasting");
    assert_eq!(stage.detector.learned(), learned);

    stage.detector.relearn();
    stage.watch = Watch::new(&DetectSettings::default());
    (0..120).for_each(|_| drop(in_ms(&mut stage)));
    stage.train();
    assert!((0..100).all(|_| in_ms(&mut stage).1.is_none()));
}

#[test]
fn nothing_is_learned_from_an_incident_or_from_what_led_to_it() {
    let mut stage = Stage::trained(12, 120);
    (0..20).for_each(|_| drop(stage.step()));
    let before = stage.detector.learned();
    stage.shop.break_down(Fault::Errors);
    raised(&mut stage, 8);
    assert_eq!(stage.detector.learned(), before - 5);
    stage.shop.fault = None;
    stage.step();
    assert_eq!(stage.detector.learned(), before - 5, "the incident is still open");
    let year = Duration::from_secs(365 * 86_400);
    assert!(stage.detector.training_due(stage.shop.now().plus(year)).is_none());
}

#[test]
fn training_is_due_once_then_when_the_samples_have_doubled_and_when_time_is_up() {
    let mut stage = Stage::new(13);
    assert!((0..99).all(|_| {
        stage.step();
        stage.detector.training_due(stage.shop.now()).is_none()
    }));
    stage.step();
    let now = stage.shop.now();
    let set = stage.detector.training_due(now).unwrap();
    assert_eq!(set.samples(), 100);
    assert!(stage.detector.training_due(now).is_none(), "one is under way");
    assert!(stage.detector.training_due(now.plus(Duration::from_secs(61))).is_some(), "it was lost");
    stage.detector.install(train(set).unwrap());
    assert!(stage.detector.model().is_none(), "the lost one came after all: another was asked for");
    let set = stage.detector.training_due(now.plus(Duration::from_secs(122))).unwrap();
    stage.detector.install(train(set).unwrap());

    let trained_at = stage.detector.model().unwrap().trained_at();
    assert!(stage.detector.training_due(trained_at.plus(Duration::from_secs(3599))).is_none());
    assert!(stage.detector.training_due(trained_at.plus(Duration::from_secs(3600))).is_some());
    assert!(stage.detector.training_due(trained_at.minus(Duration::from_secs(7200))).is_some(), "clock set back");
    assert!(stage.detector.training_due(trained_at).is_none(), "all that is over");
    (0..110).for_each(|_| drop(stage.step()));
    assert!(stage.detector.training_due(trained_at).is_some(), "doubled");
}

#[test]
fn the_window_forgets_the_oldest() {
    let settings = DetectSettings { window: 150, ..DetectSettings::default() };
    let mut stage = Stage::new(14);
    stage.detector = Detector::new("shop".into(), settings, specs());
    (0..400).for_each(|_| drop(stage.step()));
    assert_eq!(stage.detector.learned(), 150);
}

#[test]
fn a_page_of_garbage_does_not_fill_the_memory() {
    let mut stage = Stage::trained(15, 120);
    for round in 0..3 {
        let mut sample = stage.shop.sample();
        sample.values.extend((0..5000).map(|i| (format!("garbage_{round}_{i}"), 1.0)));
        assert!(!stage.take(&sample).0.is_anomaly());
    }
    let known = specs().len() - 1;
    assert_eq!(stage.detector.counts().surplus, 3 * 5000 - (512 - known as u64));
}

#[test]
fn a_saved_model_judges_as_before_and_training_counts_on() {
    let mut first = Stage::trained(16, 120);
    let bytes = first.detector.model().unwrap().to_bytes().unwrap();
    let model = Model::from_bytes(&bytes).unwrap();
    assert_eq!(Some(&model), first.detector.model());
    assert_eq!((model.version(), model.samples(), model.metrics().count()), (1, 120, 11));

    let mut second = Stage::new(16);
    (0..120).for_each(|_| drop(second.step()));
    second.detector.restore(model).unwrap();
    first.shop.break_down(Fault::Cpu);
    second.shop.break_down(Fault::Cpu);
    for _ in 0..10 {
        assert_eq!(first.step(), second.step());
    }
    (0..10).for_each(|_| drop(second.step()));
    second.detector.set_quarantine(false);
    let set = second.detector.training_due(second.shop.now().plus(Duration::from_secs(3600))).unwrap();
    second.detector.install(train(set).unwrap());
    assert_eq!(second.detector.model().unwrap().version(), 2);
}

#[test]
fn a_saved_model_that_does_not_fit_is_refused_with_words() {
    let stage = Stage::trained(17, 100);
    let model = stage.detector.model().unwrap().clone();
    let refused = |service: &str, specs: BTreeMap<String, MetricSpec>| {
        let mut detector = Detector::new(service.into(), DetectSettings::default(), specs);
        detector.restore(model.clone()).map_err(|e| e.to_string())
    };
    assert_eq!(refused("shop", specs()), Ok(()));
    assert_eq!(refused("shop", BTreeMap::new()), Ok(()), "the sources have not told yet");
    assert!(refused("till", specs()).unwrap_err().contains("the service here is till"));
    let mut more = specs();
    more.insert("queue".to_owned(), MetricSpec::default());
    assert!(refused("shop", more).unwrap_err().contains("knows nothing of `queue`"));
    let mut turned = specs();
    turned.get_mut("cpu_cores").unwrap().bad = Badness::Low;
    assert!(refused("shop", turned).unwrap_err().contains("`cpu_cores` was bad when High and is now when Low"));
}

#[test]
fn a_damaged_model_is_refused_with_words() {
    let stage = Stage::trained(18, 100);
    let bytes = stage.detector.model().unwrap().to_bytes().unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    let refused = |text: &str| Model::from_bytes(text.as_bytes()).unwrap_err().to_string();
    assert!(refused("").contains("cannot be read"));
    assert!(refused(&text[..text.len() / 2]).contains("cannot be read"));
    assert!(refused(&text.replacen("\"format\":2", "\"format\":9", 1)).contains("format 9"));
    assert!(refused(&text.replacen("mean-10min", "mean-9min", 1)).contains("made with the features from-fast-mean"));
    assert!(refused(&text.replacen("\"up\":", "\"up\":-", 1)).contains("scale of"));
    assert!(refused(&text.replace("\"threshold\":", "\"threshold\":-")).contains("threshold"));
    for at in (0..bytes.len()).step_by(bytes.len() / 200) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x15;
        drop(Model::from_bytes(&damaged)); // whatever it says, it says it without a panic
    }
}

#[test]
fn the_same_samples_give_the_same_model() {
    let bytes = || Stage::trained(19, 130).detector.model().unwrap().to_bytes().unwrap();
    assert!(bytes() == bytes());
}

#[test]
fn there_may_be_nothing_to_learn() {
    let mut stage = Stage::new(20);
    for i in 0..120 {
        let mut sample = stage.shop.sample();
        sample.values = BTreeMap::from([(format!("m{i}"), 1.0)]);
        stage.take(&sample);
    }
    let set = stage.detector.training_due(stage.shop.now()).unwrap();
    let error = train(set).unwrap_err().to_string();
    assert!(error.contains("none of 120 metrics has 20 values in 120 samples"), "{error}");
    assert!(stage.detector.training_due(stage.shop.now()).is_none(), "not again at once");
}

#[test]
fn metrics_that_never_moved_and_metrics_that_are_mostly_missing_make_a_model() {
    let mut stage = Stage::new(21);
    for i in 0..120 {
        let mut sample = stage.shop.sample();
        sample.values = BTreeMap::from([("still".to_owned(), 3.0)]);
        if i % 4 == 0 {
            sample.values.insert("rare".to_owned(), 1.0);
        }
        stage.take(&sample);
    }
    stage.train();
    let mut sample = stage.shop.sample();
    sample.values = BTreeMap::from([("still".to_owned(), 3.0), ("rare".to_owned(), 50.0)]);
    assert_eq!(stage.take(&sample).0.drivers[0].metric, "rare");
}

#[test]
fn stored_samples_shorten_the_learning() {
    let mut stage = Stage::new(22);
    let stored: Vec<Sample> = (0..150).map(|_| stage.shop.sample()).collect();
    stage.detector.backfill(&stored);
    assert_eq!(stage.detector.learned(), 150);
    stage.train();
    stage.shop.break_down(Fault::HalfDown);
    assert_eq!(raised(&mut stage, 8).drivers[0].metric, "up_ratio");
}

#[test]
fn since_is_the_first_anomaly_of_the_streak() {
    let mut stage = Stage::trained(23, 120);
    stage.shop.break_down(Fault::Errors);
    let begun = stage.shop.now();
    let signals: Vec<Signal> = (0..8).filter_map(|_| stage.step().1).collect();
    let Some(Signal::Raised { since, reading }) = signals.first() else { panic!("{signals:?}") };
    assert_eq!((*since, reading.at.since(begun) <= Duration::from_millis(2 * STEP_MS as u64)), (begun, true));
}

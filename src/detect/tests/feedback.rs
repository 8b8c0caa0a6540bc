//! What people say, as the detector takes it: false alarms and deploys.

use super::*;

fn alarms(count: u64, score: f64) -> Vec<FalseAlarm> {
    let alarm = |n| FalseAlarm { at: Timestamp(0), incident: IncidentId(n), score, metrics: Vec::new() };
    let now = Stage::new(0).shop.now();
    (1..=count).map(alarm).map(|alarm| FalseAlarm { at: now, ..alarm }).collect()
}

/// Two shops that live through the same; the second detector has heard of these false alarms.
fn twins(heard: &[FalseAlarm]) -> (Stage, Stage) {
    let (plain, mut lenient) = (Stage::trained(11, 120), Stage::trained(11, 120));
    lenient.detector.set_feedback(heard);
    (plain, lenient)
}

/// A sample of a shop that is well but for these values.
fn with(stage: &mut Stage, values: &[(&str, f64)]) -> Sample {
    let mut sample = stage.shop.sample();
    sample.values.extend(values.iter().map(|(name, value)| ((*name).to_owned(), *value)));
    sample
}

#[test]
fn what_was_called_a_false_alarm_must_be_more_unusual() {
    let heard = alarms(1, 1.3);
    let (mut plain, mut lenient) = twins(&heard);
    let mut both = |waiters: f64| {
        // A jump from calm each time: what climbs slowly is judged by all that came before it too.
        for _ in 0..30 {
            let calm = with(&mut plain, &[("pool_waiters", 0.0)]);
            plain.take(&calm);
            lenient.take(&calm);
        }
        let sample = with(&mut plain, &[("pool_waiters", waiters)]);
        (plain.take(&sample).0, lenient.take(&sample).0)
    };
    let climb = (1..400).map(|n| f64::from(n) * 0.25);
    let (strict, tolerant) = climb.map(&mut both).find(|(strict, _)| strict.is_anomaly()).unwrap();
    assert!(!tolerant.is_anomaly(), "{tolerant:#?}");
    assert!((strict.score - tolerant.score).abs() < 1e-9, "{} {}", strict.score, tolerant.score);
    let tolerance = Feedback::new(heard).tolerance(tolerant.at);
    assert!((tolerant.threshold / strict.threshold - tolerance).abs() < 1e-9 && tolerance > 1.3, "{tolerance}");
    assert!(strict.risk > 50.0 && tolerant.risk < 50.0, "{} {}", strict.risk, tolerant.risk);
    let (strict, tolerant) = both(1e6);
    assert!(strict.is_anomaly() && tolerant.is_anomaly(), "what is far out is far out for all");
}

#[test]
fn limits_and_lost_sources_know_no_tolerance() {
    let (mut plain, mut lenient) = twins(&alarms(30, 9.0));
    let mut limited = specs();
    limited.get_mut("up_ratio").unwrap().limit = Some(0.99);
    for stage in [&mut plain, &mut lenient] {
        stage.detector.set_specs(limited.clone());
        stage.step();
    }
    let past = with(&mut plain, &[("up_ratio", 0.98)]);
    for stage in [&mut plain, &mut lenient] {
        let (reading, _) = stage.take(&past);
        assert_eq!((&reading.judge, reading.threshold), (&Judge::Limits, 1.0), "{reading:#?}");
        assert!(!stage.detector.is_model_alone());
    }
    let mut lost = plain.shop.sample();
    lost.values.clear();
    lost.faults = vec![fault("scrape shop")];
    let (strict, tolerant) = (plain.take(&lost).0, lenient.take(&lost).0);
    assert_eq!((strict.judge, strict.risk), (Judge::Source, tolerant.risk));
    assert!(tolerant.is_anomaly() && !lenient.detector.is_model_alone());
}

#[test]
fn while_a_deploy_settles_readings_are_as_ever() {
    let (mut plain, mut deployed) = twins(&[]);
    let from = deployed.shop.now();
    let until = from.plus(Duration::from_secs(60));
    deployed.detector.note_deploy(from, until);
    for n in 0..20 {
        let sample = with(&mut plain, &[("pool_waiters", f64::from(n) * 5.0)]);
        assert_eq!(plain.take(&sample), deployed.take(&sample));
        assert!(deployed.detector.is_settling(sample.at) && deployed.detector.is_model_alone());
    }
    assert!(!plain.detector.is_settling(from));
    let a_year = Duration::from_secs(365 * 86_400);
    for at in [from.minus(a_year), from.minus(Duration::from_millis(1)), until] {
        assert!(!deployed.detector.is_settling(at), "{at}");
    }
}

#[test]
fn a_training_is_due_once_when_a_deploy_has_settled() {
    let mut stage = Stage::trained(11, 120);
    let from = stage.shop.now();
    stage.detector.note_deploy(from, from.plus(Duration::from_secs(5)));
    for _ in 0..20 {
        assert!(stage.detector.training_due(stage.shop.now()).is_none());
        stage.step();
    }
    stage.train();
    assert_eq!(stage.detector.model().unwrap().version(), 2);
    stage.step();
    assert!(stage.detector.training_due(stage.shop.now()).is_none());
}

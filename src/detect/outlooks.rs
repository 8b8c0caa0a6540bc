//! Which metrics of a service have an outlook, and what these see ahead.
//!
//! A metric has one when it is judged by a finite limit; and a share (`ratio`, `%`) that is bad when high has one
//! towards its whole, though no rule calls that an anomaly. What is seen has no part in the verdict: it is told beside
//! it. Called by the detector, with each sample that it takes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::detector::Column;
use super::forecast::Outlook;
use crate::model::{Badness, Forecast, MetricSpec, Timestamp};

/// Outlooks of one service: 24 KiB each, so 1.5 MiB. Metrics beyond that are judged, but not foreseen.
const MOST: usize = 64;
/// Forecasts of one reading.
const TOLD: usize = 3;

/// The outlooks of one service, by column.
#[derive(Debug, Default)]
pub(super) struct Outlooks(BTreeMap<usize, Outlook>);

/// The limit of a metric, and the side of it that is bad.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Aim {
    limit: f64,
    above: bool,
}

impl Aim {
    fn of(spec: &MetricSpec) -> Option<Self> {
        let whole = match (spec.bad, spec.unit.as_str()) {
            (Badness::High, "ratio") => Some(1.0),
            (Badness::High, "%") => Some(100.0),
            _ => None,
        };
        let limit = spec.limit.or(whole).filter(|limit| limit.is_finite())?;
        match spec.bad {
            Badness::High | Badness::Both => Some(Self { limit, above: true }),
            Badness::Low => Some(Self { limit, above: false }),
            Badness::Never => None,
        }
    }

    fn is_reached(self, value: f64) -> bool {
        if self.above { value >= self.limit } else { value <= self.limit }
    }
}

impl Outlooks {
    /// Takes in the newest values. What is missing is passed over.
    pub(super) fn push(&mut self, at: Timestamp, columns: &[Column]) {
        for (place, column) in columns.iter().enumerate() {
            let Some(value) = column.newest() else { continue };
            if Aim::of(&column.spec).is_none() {
                continue;
            }
            if self.0.len() < MOST || self.0.contains_key(&place) {
                self.0.entry(place).or_insert_with(Outlook::new).push(at, value);
            }
        }
    }

    /// What lies ahead at the time of the newest sample, soonest first. Nothing of a metric that is there already.
    pub(super) fn ahead(&self, at: Timestamp, columns: &[Column]) -> Vec<Forecast> {
        let seen = self.0.iter().filter_map(|(place, outlook)| {
            let column = columns.get(*place)?;
            let aim = Aim::of(&column.spec)?;
            if column.newest().is_some_and(|value| aim.is_reached(value)) {
                return None;
            }
            let crossing = outlook.crossing_as_of(at, aim.limit, aim.above)?;
            Some(Forecast {
                metric: column.name.clone(),
                limit: aim.limit,
                unit: column.spec.unit.clone(),
                within_ms: millis(crossing.within),
                earliest_ms: millis(crossing.earliest),
                latest_ms: crossing.latest.map(millis),
                confidence: crossing.confidence,
            })
        });
        let mut ahead: Vec<_> = seen.collect();
        // Stable: what is due at the same time stays in the order of the columns.
        ahead.sort_by_key(|forecast| forecast.within_ms);
        ahead.truncate(TOLD);
        ahead
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{DetectSettings, Detector};
    use crate::model::{Reading, Sample, SourceFault};

    const EVERY: i64 = 10_000;

    fn spec(bad: Badness, unit: &str, limit: Option<f64>) -> MetricSpec {
        MetricSpec { bad, unit: unit.to_owned(), floor: 0.0, limit }
    }

    fn detector(specs: &[(&str, MetricSpec)]) -> Detector {
        let specs = specs.iter().map(|(name, spec)| ((*name).to_owned(), spec.clone())).collect();
        Detector::new("shop".into(), DetectSettings::default(), specs)
    }

    fn sample(nth: i64, values: &[(&str, f64)]) -> Sample {
        let source_failed = SourceFault { source: "scrape x".to_owned(), why: "timed out".to_owned() };
        Sample {
            service: "shop".into(),
            at: Timestamp(1_700_000_000_000 + nth * EVERY),
            values: values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            by_instance: BTreeMap::new(),
            faults: if values.is_empty() { vec![source_failed] } else { Vec::new() },
        }
    }

    /// Samples of an hour.
    const HOUR: i64 = 360;

    /// 40 for an hour, then up to 100 within half an hour, and on; with a little noise.
    fn leak(nth: i64) -> f64 {
        let noise = ((nth * 7919) % 13 - 6) as f64 * 0.05;
        40.0 + 60.0 * ((nth - HOUR) as f64 / 180.0).max(0.0) + noise
    }

    /// The readings of a metric alone.
    fn run(detector: &mut Detector, name: &str, from: i64, to: i64, value: impl Fn(i64) -> f64) -> Vec<Reading> {
        (from..to).map(|nth| detector.observe(&sample(nth, &[(name, value(nth))]))).collect()
    }

    #[test]
    fn a_leak_is_foreseen_minutes_before_its_limit_and_not_beyond() {
        let mut detector = detector(&[("memory", spec(Badness::High, "MB", Some(100.0)))]);
        let readings = run(&mut detector, "memory", 0, HOUR + 200, leak);
        let crosses = readings.iter().position(|r| r.is_anomaly()).unwrap();
        let first = readings.iter().position(|r| !r.ahead.is_empty()).unwrap();
        assert!(crosses - first > 10 * 6, "{first}, {crosses}");
        let [forecast] = readings[first].ahead.as_slice() else { panic!("{:?}", readings[first].ahead) };
        assert_eq!((forecast.metric.as_str(), forecast.limit, forecast.unit.as_str()), ("memory", 100.0, "MB"));
        let off = forecast.within_ms as f64 / EVERY as f64 - (crosses - first) as f64;
        assert!(off.abs() < 0.1 * (crosses - first) as f64, "{forecast:?}, and it took {}", crosses - first);
        assert!(forecast.earliest_ms <= forecast.within_ms);
        assert!(forecast.latest_ms.is_none_or(|latest| latest >= forecast.within_ms));
        assert!(readings[first..crosses].iter().all(|r| r.ahead.len() == 1), "it does not flap");
        assert!(readings.iter().filter(|r| r.is_anomaly()).all(|r| r.ahead.is_empty()));
    }

    #[test]
    fn a_forecast_changes_nothing_else() {
        let limited = spec(Badness::High, "MB", Some(100.0));
        let mut with = detector(&[("memory", limited)]);
        let mut without = detector(&[("memory", spec(Badness::High, "MB", None))]);
        let until = HOUR + 170;
        let with = run(&mut with, "memory", 0, until, leak);
        let without = run(&mut without, "memory", 0, until, leak);
        assert!(with.iter().any(|r| !r.ahead.is_empty()));
        assert!(without.iter().all(|r| r.ahead.is_empty()), "no limit, no forecast");
        for (with, without) in with.into_iter().zip(without) {
            assert_eq!(Reading { ahead: Vec::new(), ..with }, without);
        }
    }

    #[test]
    fn what_goes_nowhere_or_the_good_way_is_not_foreseen() {
        let none = |bad, limit, value: &dyn Fn(i64) -> f64| {
            let mut detector = detector(&[("memory", spec(bad, "MB", limit))]);
            let readings = run(&mut detector, "memory", 0, HOUR + 170, value);
            readings.iter().all(|r| r.ahead.is_empty())
        };
        assert!(none(Badness::High, Some(100.0), &|nth| leak(nth.min(HOUR))));
        assert!(none(Badness::Low, Some(100.0), &leak), "past it from the first on");
        assert!(none(Badness::Low, Some(10.0), &leak));
        assert!(none(Badness::High, Some(10.0), &|nth| -leak(nth)), "away from it");
        assert!(none(Badness::Never, Some(100.0), &leak));
        assert!(none(Badness::High, Some(f64::INFINITY), &leak));
        assert!(!none(Badness::Both, Some(100.0), &leak));
        assert!(!none(Badness::Low, Some(-100.0), &|nth| -leak(nth)));
    }

    #[test]
    fn a_share_is_foreseen_to_become_the_whole() {
        for (unit, whole) in [("ratio", 1.0), ("%", 100.0)] {
            let mut detector = detector(&[("disk_used", spec(Badness::High, unit, None))]);
            let readings = run(&mut detector, "disk_used", 0, HOUR + 150, |nth| leak(nth) * whole / 100.0);
            let last = &readings.last().unwrap().ahead;
            assert_eq!(last.first().map(|f| f.limit), Some(whole), "{unit}");
        }
        assert_eq!(Aim::of(&spec(Badness::Low, "ratio", None)), None);
        assert_eq!(Aim::of(&spec(Badness::Both, "%", None)), None);
        let limit = Aim::of(&spec(Badness::High, "ratio", Some(0.97)));
        assert_eq!(limit, Some(Aim { limit: 0.97, above: true }), "a limit that is set counts");
    }

    #[test]
    fn what_went_missing_is_not_foreseen_for_ever() {
        let specs = [("memory", spec(Badness::High, "MB", Some(100.0))), ("other", spec(Badness::High, "", None))];
        let mut detector = detector(&specs);
        let both = |nth| sample(nth, &[("memory", leak(nth)), ("other", 1.0)]);
        let gone = HOUR + 100;
        let last = (0..gone).map(|nth| detector.observe(&both(nth))).last().unwrap();
        let told = last.ahead[0].within_ms;
        let next = detector.observe(&sample(gone, &[("other", 1.0)]));
        assert!(next.ahead[0].within_ms < told, "time goes on: {:?}", next.ahead);
        let later = (gone + 1..gone + 120).map(|nth| detector.observe(&sample(nth, &[("other", 1.0)]))).last().unwrap();
        assert_eq!(later.ahead, []);
    }

    #[test]
    fn late_samples_are_not_taken_in_and_stored_ones_are() {
        let limited = [("memory", spec(Badness::High, "MB", Some(100.0)))];
        let mut clean = detector(&limited);
        let expected = run(&mut clean, "memory", 0, HOUR + 100, leak).pop().unwrap();
        assert!(!expected.ahead.is_empty());

        let mut detector = detector(&limited);
        let stored: Vec<_> = (0..HOUR).map(|nth| sample(nth, &[("memory", leak(nth))])).collect();
        detector.backfill(&stored);
        let mut last = None;
        for nth in HOUR..HOUR + 100 {
            last = Some(detector.observe(&sample(nth, &[("memory", leak(nth))])));
            detector.observe(&sample(nth - 1, &[("memory", 1e6)]));
        }
        assert_eq!(last.unwrap().ahead, expected.ahead);
    }

    #[test]
    fn three_are_told_soonest_first_and_memory_is_bounded() {
        let names: Vec<_> = (0..100).map(|i| format!("metric-{i:02}")).collect();
        let specs: Vec<_> = names
            .iter()
            .zip(0_i32..)
            .map(|(name, i)| (name.as_str(), spec(Badness::High, "", Some(120.0 - f64::from(i % 8) * 2.0))))
            .collect();
        let mut detector = detector(&specs);
        let mut last = None;
        for nth in 0..HOUR + 100 {
            let values: Vec<_> = names.iter().map(|name| (name.as_str(), leak(nth))).collect();
            last = Some(detector.observe(&sample(nth, &values)));
        }
        assert_eq!(detector.foreseen(), MOST);
        let last = last.unwrap();
        assert!(!last.is_anomaly(), "{last:?}");
        let told: Vec<_> = last.ahead.iter().map(|f| (f.metric.as_str(), f.limit)).collect();
        assert_eq!(told, [("metric-07", 106.0), ("metric-15", 106.0), ("metric-23", 106.0)]);
    }
}

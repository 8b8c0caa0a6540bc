//! From evidence to the metrics that people are shown: share, usual range, trend, sparkline, instance.
//!
//! A suspect's share is its weight (`judge.rs`) in the sum of all. At most [`MOST`] drivers are shown, each with at least
//! [`LEAST_SHARE`]; the shares are of the whole, so that they sum to at most 1.
//!
//! Pure; called by the detector for anomalies only.

use super::detector::{Column, Live, RECENT};
use super::judge::{Evidence, Suspect};
use super::scale::{Scale, median};
use super::trend::trend;
use crate::model::{Badness, Driver, Sample, Trend};

/// Drivers of one reading.
pub(super) const MOST: usize = 5;
/// Smaller shares explain nothing.
pub(super) const LEAST_SHARE: f64 = 0.03;
/// The drivers of an anomaly, most responsible first.
pub(super) fn drivers(columns: &[Column], live: Option<&Live>, evidence: &[Evidence], sample: &Sample) -> Vec<Driver> {
    let whole: f64 = evidence.iter().map(|e| e.weight).sum();
    let shares = evidence.iter().map(|e| (e.weight / whole, e));
    let mut ranked: Vec<(f64, &Evidence)> = shares.filter(|(share, _)| *share >= LEAST_SHARE).collect();
    // A stable sort: equal shares stay in the order of the columns, so that replays agree.
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let describe = |(share, e): (f64, &Evidence)| match &e.of {
        Suspect::Source(name, samples) => Some(source_driver(name, *samples, share)),
        Suspect::Metric(at) => {
            let scale = live.and_then(|live| live.scale_of(*at));
            Some(metric_driver(columns.get(*at)?, scale, share, sample))
        }
    };
    ranked.into_iter().take(MOST).filter_map(describe).collect()
}

/// A source as a metric of its own: 1 when it answers, 0 when it does not.
fn source_driver(name: &str, samples: usize, share: f64) -> Driver {
    let mut recent = vec![1.0];
    recent.resize(samples.clamp(1, RECENT - 1) + 1, 0.0);
    Driver {
        metric: format!("source {name}"),
        share,
        value: 0.0,
        normal: 1.0,
        low: 1.0,
        high: 1.0,
        unit: String::new(),
        trend: Trend::Step,
        recent,
        instance: None,
    }
}

fn metric_driver(column: &Column, scale: Option<&Scale>, share: f64, sample: &Sample) -> Driver {
    let recent: Vec<f64> = column.recent.iter().copied().filter(|v| !v.is_nan()).collect();
    // Before a model (or for a metric younger than it) the values before this one stand for what is usual.
    let before = recent.split_last().map(|(_, before)| before.to_vec()).unwrap_or_default();
    let seen = Scale::learn(before, &column.spec);
    let value = recent.last().copied().unwrap_or(0.0);
    let usual = scale.cloned().or(seen).unwrap_or(Scale { median: value, up: 0.0, down: 0.0, low: value, high: value });
    let noise = usual.deviation(column.spec.bad);
    // Ill from the start, there is nothing usual to compare with: what lies past the limit is not normal, whatever was seen.
    let normal = match (column.spec.limit, column.spec.bad) {
        (Some(limit), Badness::High) => usual.median.min(limit),
        (Some(limit), Badness::Low) => usual.median.max(limit),
        _ => usual.median,
    };
    Driver {
        metric: column.name.clone(),
        share,
        value,
        normal,
        low: usual.low,
        high: usual.high,
        unit: column.spec.unit.clone(),
        trend: trend(&recent, noise),
        instance: outstanding(sample, column, usual.median, noise),
        recent,
    }
}

/// The instance whose value is worst, if it is so by at least three deviations and half of the others' median, and is
/// further from the next than that one is from the others.
fn outstanding(sample: &Sample, column: &Column, normal: f64, noise: f64) -> Option<String> {
    let badness = |value: f64| match column.spec.bad {
        Badness::High => value,
        Badness::Low => -value,
        Badness::Both | Badness::Never => (value - normal).abs(),
    };
    let of_instance = |(name, values): (&String, &std::collections::BTreeMap<String, f64>)| {
        let value = values.get(&column.name).copied().filter(|v| v.is_finite())?;
        Some((badness(value), name.clone()))
    };
    let mut all: Vec<(f64, String)> = sample.by_instance.iter().filter_map(of_instance).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (worst, name) = all.pop()?;
    let (next, _) = *all.last().as_ref()?;
    let others = median(all.iter().map(|(b, _)| *b).collect());
    let ahead = worst - others;
    let clear = ahead > 0.0 && ahead >= 3.0 * noise && ahead >= 0.5 * others.abs() && worst - next >= next - others;
    clear.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MetricSpec, Timestamp};
    use std::collections::BTreeMap;

    fn sample(metric: &str, values: &[f64]) -> Sample {
        let by_instance = values.iter().enumerate();
        let by_instance = by_instance.map(|(i, v)| (format!("w{i}"), BTreeMap::from([(metric.to_owned(), *v)])));
        Sample {
            service: "shop".into(),
            at: Timestamp(0),
            values: BTreeMap::new(),
            by_instance: by_instance.collect(),
            faults: vec![],
        }
    }

    fn column(bad: Badness) -> Column {
        Column::new("m", MetricSpec { bad, ..MetricSpec::default() })
    }

    #[test]
    fn the_instance_that_stands_out_is_named() {
        let stands_out = |bad, values: &[f64]| outstanding(&sample("m", values), &column(bad), 1.0, 0.1);
        assert_eq!(stands_out(Badness::High, &[0.1, 0.9, 0.12]).as_deref(), Some("w1"));
        assert_eq!(stands_out(Badness::Low, &[1.0, 0.0]).as_deref(), Some("w1"));
        assert_eq!(stands_out(Badness::High, &[0.9, 0.95, 0.92]), None, "all are bad");
        assert_eq!(stands_out(Badness::High, &[0.1, 0.1, 0.9, 0.92]), None, "two are bad");
        assert_eq!(stands_out(Badness::High, &[0.9]), None, "nothing to compare with");
        assert_eq!(stands_out(Badness::High, &[0.1, f64::NAN]), None);
    }

    #[test]
    fn shares_sum_to_at_most_one_and_the_greatest_comes_first() {
        let columns: Vec<Column> = (0..8).map(|_| column(Badness::High)).collect();
        let weigh = |of: usize| Evidence { of: Suspect::Metric(of), weight: 0.2 + 0.3 * of as f64 };
        let evidence: Vec<Evidence> = (0..8).map(weigh).collect();
        let drivers = drivers(&columns, None, &evidence, &sample("m", &[]));
        assert_eq!(drivers.len(), MOST);
        assert!(drivers.windows(2).all(|pair| pair[0].share >= pair[1].share));
        let sum: f64 = drivers.iter().map(|d| d.share).sum();
        assert!(sum <= 1.0 && sum > 0.7, "{sum}");
    }
}

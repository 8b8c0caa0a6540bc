//! What is usual for one metric: its median, a robust deviation to either side, and the range that was seen.
//!
//! This is what people are shown (the score has its own measures, `train.rs`), and the noise that a trend is told from.
//! Called by training and for the drivers of an anomaly. A metric that stood still in training has a deviation by its floor.

use serde::{Deserialize, Serialize};

use crate::model::{Badness, MetricSpec};

/// A change below this part of the median is never material, whatever the metric's own noise: a steadier series
/// than this is common, and people do not call 3 % an incident.
const RELATIVE_FLOOR: f64 = 0.05;

/// A metric as it was while all was well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scale {
    pub(super) median: f64,
    /// Deviation above the median, in the metric's unit, floored.
    pub(super) up: f64,
    /// Deviation below the median.
    pub(super) down: f64,
    /// 1 of 100 values was below.
    pub(super) low: f64,
    /// 1 of 100 values was above.
    pub(super) high: f64,
}

impl Scale {
    /// Learns from finite values; `None` when there are none.
    pub(super) fn learn(mut values: Vec<f64>, spec: &MetricSpec) -> Option<Self> {
        values.retain(|v| v.is_finite());
        values.sort_unstable_by(f64::total_cmp);
        let (first, last) = (*values.first()?, *values.last()?);
        let median = quantile(&values, 0.5);
        let mut distances: Vec<f64> = values.iter().map(|v| (v - median).abs()).collect();
        distances.sort_unstable_by(f64::total_cmp);
        let mad = quantile(&distances, 0.5) * 1.4826;
        let told = if spec.floor.is_finite() { spec.floor.max(0.0) } else { 0.0 };
        let floor = told.max(RELATIVE_FLOOR * median.abs());
        // The factors make each term the standard deviation of a normal distribution. Most metrics are not normal:
        // the greatest of the terms follows a skewed tail, and up to 1 bad sample of 40 does not move any of them.
        let young = 1.0 + 10.0 / values.len() as f64;
        let side = |direction: f64, extreme: f64| {
            let tail = |q: f64, sigmas: f64| {
                let at = if direction > 0.0 { q } else { 1.0 - q };
                (quantile(&values, at) - median) * direction / sigmas
            };
            let spread =
                [mad, tail(0.75, 0.6745), tail(0.9, 1.2816), tail(0.975, 1.96)].into_iter().fold(0.0, f64::max);
            // A metric that rests on one value but for rare blips, and has no floor: a blip as seen is four deviations.
            let spread = if spread > 0.0 || told > 0.0 { spread } else { (extreme - median).abs() / 4.0 };
            (spread * young).max(floor).min(f64::MAX)
        };
        Some(Self {
            median,
            up: side(1.0, last),
            down: side(-1.0, first),
            low: quantile(&values, 0.01),
            high: quantile(&values, 0.99),
        })
    }

    /// Can values be measured by this? A saved scale is asked before it is used.
    pub(super) fn is_sound(&self) -> bool {
        [self.median, self.up, self.down, self.low, self.high].iter().all(|v| v.is_finite())
            && self.up >= 0.0
            && self.down >= 0.0
    }

    /// The deviation to the bad side; the greater one where both are bad.
    pub(super) fn deviation(&self, bad: Badness) -> f64 {
        match bad {
            Badness::High => self.up,
            Badness::Low => self.down,
            Badness::Both | Badness::Never => self.up.max(self.down),
        }
    }
}

/// The `q` quantile of sorted values, interpolated; 0 of none.
pub(super) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f64;
    let below = place.floor() as usize;
    let (Some(a), part) = (sorted.get(below), place - place.floor()) else { return 0.0 };
    let b = sorted.get(below + 1).unwrap_or(a);
    a * (1.0 - part) + b * part
}

/// The median of values in any order; 0 of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    quantile(&values, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(floor: f64) -> MetricSpec {
        MetricSpec { floor, ..MetricSpec::default() }
    }

    #[test]
    fn a_metric_that_stood_still_is_measured_by_its_floor() {
        let scale = Scale::learn(vec![1.0; 100], &spec(0.1)).unwrap();
        assert_eq!((scale.up, scale.deviation(Badness::Low)), (0.1, 0.1));
        let by_its_own_size = Scale::learn(vec![1.0; 100], &spec(0.0)).unwrap();
        assert_eq!(by_its_own_size.deviation(Badness::Both), 0.05);
        let never = Scale::learn(vec![0.0; 100], &spec(0.0)).unwrap();
        assert_eq!(never.deviation(Badness::High), 0.0);
    }

    #[test]
    fn a_few_bad_samples_in_training_do_not_blind_it() {
        let noise = |i: usize| 10.0 + (i % 7) as f64 * 0.1;
        let clean = Scale::learn((0..100).map(noise).collect(), &spec(0.0)).unwrap();
        let dirty = Scale::learn((0..100).map(|i| if i < 2 { 500.0 } else { noise(i) }).collect(), &spec(0.0)).unwrap();
        assert!(dirty.up < clean.up * 1.5, "{} {}", dirty.up, clean.up);
    }

    #[test]
    fn the_ends_of_the_number_line_stay_finite() {
        let scale = Scale::learn(vec![-f64::MAX, f64::MAX, 0.0, 1.0], &spec(f64::NAN)).unwrap();
        assert!(scale.is_sound(), "{scale:?}");
        let still = Scale::learn(vec![-1.0; 50], &spec(f64::INFINITY)).unwrap();
        assert!(still.is_sound(), "{still:?}");
        assert_eq!(Scale::learn(vec![f64::NAN], &spec(0.0)), None);
    }
}

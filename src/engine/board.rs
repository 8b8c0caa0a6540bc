//! The board: the newest of what was measured and judged, for status, charts and playbooks. Lost in a crash by design.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::{MetricSpec, Reading, Sample, ServiceId, Timestamp};

/// Moments kept for charts: the demo's quarter of a second fills them in ten minutes.
const MOST_MOMENTS: usize = 2_400;
/// And no longer than this, for thousands of services have a place here.
const LONGEST: Duration = Duration::from_secs(2 * 3600);

/// The courses of a service's metrics, a column each: a tenth of what whole samples would take.
#[derive(Clone, Debug, Default)]
struct Courses {
    times: VecDeque<Timestamp>,
    /// As long as `times`; NaN where there was no value. Half the precision is more than a chart shows.
    columns: BTreeMap<String, VecDeque<f32>>,
}

impl Courses {
    fn push(&mut self, sample: &Sample) {
        let is_old = |first: &Timestamp| sample.at.since(*first) > LONGEST;
        while self.times.len() >= MOST_MOMENTS || self.times.front().is_some_and(is_old) {
            self.times.pop_front();
            self.columns.values_mut().for_each(|column| {
                column.pop_front();
            });
        }
        for name in sample.values.keys() {
            if !self.columns.contains_key(name) {
                self.columns.insert(name.clone(), VecDeque::from(vec![f32::NAN; self.times.len()]));
            }
        }
        self.times.push_back(sample.at);
        for (name, column) in &mut self.columns {
            #[expect(clippy::cast_possible_truncation, reason = "said at the columns")]
            let value = sample.values.get(name).map_or(f32::NAN, |value| *value as f32);
            column.push_back(value);
        }
        // A metric that is not there any more goes with its last value.
        if self.columns.len() > sample.values.len() {
            self.columns.retain(|_, column| column.iter().any(|value| !value.is_nan()));
        }
    }
}

/// The newest of one service.
#[derive(Clone, Debug, Default)]
pub struct ServiceBoard {
    /// The last sample.
    pub last: Option<Sample>,
    courses: Courses,
    /// The detector's last word.
    pub reading: Option<Reading>,
    /// The model in use and when it was trained.
    pub model: Option<(u64, Timestamp)>,
    /// What is known of the metrics.
    pub specs: BTreeMap<String, MetricSpec>,
    /// The usual range of each metric, low and high, once there is a model.
    pub bands: BTreeMap<String, (f64, f64)>,
}

/// The newest of every service.
#[derive(Debug, Default)]
pub struct Board(Mutex<BTreeMap<ServiceId, ServiceBoard>>);

impl Board {
    /// Looks at one service's newest, or changes it.
    pub fn with<T>(&self, service: &ServiceId, f: impl FnOnce(&mut ServiceBoard) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f(all.entry(service.clone()).or_default())
    }

    /// Takes down everything of a service that is gone.
    pub fn forget(&self, service: &ServiceId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(service);
    }

    /// Puts a sample up.
    pub fn sample(&self, sample: &Sample) {
        self.with(&sample.service, |board| {
            board.courses.push(sample);
            board.last = Some(sample.clone());
        });
    }

    /// The course of one metric since a time: `(time, value)`, oldest first.
    #[must_use]
    pub fn series(&self, service: &ServiceId, metric: &str, since: Timestamp) -> Vec<(Timestamp, f64)> {
        self.with(service, |board| {
            let Some(column) = board.courses.columns.get(metric) else { return Vec::new() };
            let known = board.courses.times.iter().zip(column).filter(|(at, value)| **at >= since && !value.is_nan());
            known.map(|(at, value)| (*at, f64::from(*value))).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: i64, values: &[(&str, f64)]) -> Sample {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        Sample { service: "shop".into(), at: Timestamp(at), values, by_instance: BTreeMap::new(), faults: Vec::new() }
    }

    #[test]
    fn courses_have_holes_where_there_was_no_value() {
        let (board, shop) = (Board::default(), ServiceId::from("shop"));
        board.sample(&sample(1_000, &[("a", 1.0)]));
        board.sample(&sample(2_000, &[("a", 2.0), ("b", 7.5)]));
        board.sample(&sample(3_000, &[("b", 8.0)]));
        let course =
            |metric| board.series(&shop, metric, Timestamp(0)).iter().map(|p| (p.0.0, p.1)).collect::<Vec<_>>();
        assert_eq!(course("a"), [(1_000, 1.0), (2_000, 2.0)]);
        assert_eq!(course("b"), [(2_000, 7.5), (3_000, 8.0)]);
        assert_eq!(board.series(&shop, "b", Timestamp(2_500)).len(), 1);
        assert!(course("c").is_empty());
    }

    #[test]
    fn what_is_old_goes_and_a_metric_with_its_last_value() {
        let (board, shop) = (Board::default(), ServiceId::from("shop"));
        board.sample(&sample(0, &[("gone", 1.0), ("a", 1.0)]));
        let hours = |n: i64| n * 3_600_000;
        for at in [hours(1), hours(2), hours(3)] {
            board.sample(&sample(at, &[("a", 1.0)]));
        }
        board.with(&shop, |b| {
            assert_eq!(b.courses.columns.keys().collect::<Vec<_>>(), ["a"]);
            assert_eq!(b.courses.times.len(), 3);
        });
    }
}

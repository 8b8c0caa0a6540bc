//! The board: the newest of what was measured and judged, for status, charts and playbooks. Lost in a crash by design.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::model::{MetricSpec, Reading, Sample, ServiceId, Timestamp};

/// Samples kept for charts: an hour at 5 s is 720; the demo's quarter of a second fills it in ten minutes.
const HISTORY: usize = 2_400;

/// The newest of one service.
#[derive(Clone, Debug, Default)]
pub struct ServiceBoard {
    /// The last samples, oldest first.
    pub samples: VecDeque<Sample>,
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
            if board.samples.len() >= HISTORY {
                board.samples.pop_front();
            }
            board.samples.push_back(sample.clone());
        });
    }

    /// The course of one metric since a time: `(time, value)`, oldest first.
    #[must_use]
    pub fn series(&self, service: &ServiceId, metric: &str, since: Timestamp) -> Vec<(Timestamp, f64)> {
        self.with(service, |board| {
            board
                .samples
                .iter()
                .filter(|s| s.at >= since)
                .filter_map(|s| s.values.get(metric).map(|value| (s.at, *value)))
                .collect()
        })
    }
}

//! The model of one service: what is usual for each metric and its course, an isolation forest and a set of usual points
//! over all of them together, and the threshold.
//!
//! The forest (Liu, Ting, Zhou 2008) sees [`FOREST_COLUMNS`] columns a metric: the value, its distance from the mean of ten
//! minutes, the mean of an hour and the deviation of ten minutes. The usual points (the centres of a k-means clustering)
//! lie in [`POINT_COLUMNS`] columns a metric: the value and the mean of ten minutes. All are in robust deviations from the
//! median, as logarithms, since what is far out saturates there anyway.
//!
//! A model does not change; what does (the courses) is in `scorer.rs`. Made by `train.rs`, read by the scorer, and saved
//! between two starts of the daemon. The only file that knows the forest crate besides `train.rs`.

use std::collections::BTreeMap;

use linfa_isolation_forest::IsolationForest;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::course::{DEVIATIONS, Look, NAMES, NUMBERS, Windows};
use super::scale::Scale;
use crate::model::{Badness, MetricSpec, ServiceId, Timestamp};

/// Raised when a saved model would be misread by older code.
pub(super) const FORMAT: u32 = 2;
/// What the forest sees of each metric.
pub(super) const FOREST_COLUMNS: usize = 4;
/// What the usual points are made of.
pub(super) const POINT_COLUMNS: usize = 2;
/// What speaks in a score: each number of the courses over all metrics, the forest, the distance from the usual points.
pub(super) const VOICES: usize = NUMBERS + 2;
/// A model of 500 trees over 100 metrics has some 20 MB; what is larger than this is something else.
const MAX_BYTES: usize = 256 << 20;
/// How many times as far out as 99 of 100 values a metric is an anomaly by itself.
const EXTREME: f64 = 7.0;
/// Deviations beyond which a forest or a usual point can tell nothing more.
const FAR: f64 = 30.0;

/// A trained model; made by [`train`](super::train()), held by the detector, saved between two starts of the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub(super) format: u32,
    /// The feature list.
    pub(super) features: Vec<String>,
    pub(super) service: ServiceId,
    pub(super) version: u64,
    pub(super) trained_at: Timestamp,
    pub(super) quality: Quality,
    pub(super) metrics: Vec<Learned>,
    /// Metrics that were there but had too few values to learn from.
    pub(super) unlearned: Vec<String>,
    pub(super) windows: Windows,
    pub(super) forest: IsolationForest,
    pub(super) points: Array2<f64>,
    /// Median of the forest's score and of the distance from the usual points in training.
    pub(super) usual: (f64, f64),
    /// What each voice is divided by, so that they can be added.
    pub(super) norms: Vec<f64>,
    /// What each voice counts.
    pub(super) weights: Vec<f64>,
    /// An anomaly needs this much evidence in the newest sample itself.
    pub(super) gate: f64,
    /// 98 of 100 scores of training lay below; what passes it often has drifted.
    pub(super) edge: f64,
    /// Scores above this are anomalies.
    pub(super) threshold: f64,
}

/// What a model rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// Samples it learned from.
    pub samples: usize,
    /// Time that they cover, in days.
    pub days: f64,
    /// Alarms a day that it would have raised in them.
    pub alarms_a_day: f64,
    /// Alarms a day that the operator can live with.
    pub budget: f64,
}

impl Quality {
    /// The threshold lies beyond what could be seen in so little time.
    #[must_use]
    pub fn is_extrapolated(&self) -> bool {
        self.days * self.budget < 1.0
    }
}

/// What was learned of one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Learned {
    pub(super) name: String,
    pub(super) bad: Badness,
    /// For people: the usual value and range.
    pub(super) scale: Scale,
    /// For the course: what it is standardised by.
    pub(super) median: f64,
    pub(super) deviation: f64,
    pub(super) edges: [Edge; NUMBERS],
    /// Of the distance from the mean that takes in no spike whole.
    pub(super) calm: Edge,
    /// Of the value itself: its reach is the farthest that was seen.
    pub(super) level: Edge,
    /// 99 of 100 values lay within this distance of the median, in deviations.
    pub(super) usual_reach: f64,
    /// Somebody told the smallest change that means anything, so that far out is far out.
    pub(super) is_measured: bool,
    /// The profile of the season at the end of training; `None` where nothing was known of a slot.
    pub(super) profile: Vec<Option<f64>>,
}

/// What is usual of one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Edge {
    /// Its median.
    pub(super) centre: f64,
    /// 98 of 100 lay within this distance of it.
    pub(super) reach: f64,
    /// The logarithm of how many times as far the farthest lay.
    pub(super) farthest: f64,
}

/// Why a saved model is not used. The daemon then learns anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The bytes are not a model, or one that contradicts itself.
    #[error("the saved model cannot be read: {why}; it will be learned anew")]
    Unreadable {
        /// What is wrong with it.
        why: String,
    },
    /// It was written by another version of this program.
    #[error("the saved model has format {found}, this version reads format {FORMAT}; it will be learned anew")]
    Format {
        /// The format it has.
        found: u64,
    },
    /// It judges other things than this detector does.
    #[error("the saved model of {service} does not fit: {why}; it will be learned anew")]
    Misfit {
        /// Whose model it is.
        service: ServiceId,
        /// What differs.
        why: String,
    },
}

impl Edge {
    /// How far beyond what is usual, as a logarithm of the distance in reaches; 0 within.
    pub(super) fn beyond(&self, distance: f64) -> f64 {
        if distance > self.reach { (distance / self.reach).ln() } else { 0.0 }
    }

    fn is_sound(&self) -> bool {
        self.centre.is_finite() && self.reach > 0.0 && self.reach.is_finite() && self.farthest.is_finite()
    }
}

impl Learned {
    /// A value as the course takes it.
    pub(super) fn standardised(&self, value: f64) -> f64 {
        // Halves: the difference of two finite values may not be one.
        (value / 2.0 - self.median / 2.0) / self.deviation * 2.0
    }

    /// The part of a distance that goes the bad way.
    fn toward_bad(&self, distance: f64) -> f64 {
        match self.bad {
            Badness::High => distance.max(0.0),
            Badness::Low => (-distance).max(0.0),
            Badness::Both | Badness::Never => distance.abs(),
        }
    }

    /// How far each number of the course is beyond what is usual, in the bad direction.
    pub(super) fn excess(&self, look: &Look) -> [f64; NUMBERS] {
        let mut excess = [0.0; NUMBERS];
        // A deviation has no direction, so it counts while the value is on the bad side.
        let is_bad_side = self.bad == Badness::Both || self.toward_bad(look.z) > 0.0;
        for (at, ((excess, edge), number)) in excess.iter_mut().zip(&self.edges).zip(look.numbers).enumerate() {
            let distance = number - edge.centre;
            *excess = match DEVIATIONS.contains(&at) {
                _ if distance.is_nan() => 0.0,
                true if is_bad_side => edge.beyond(distance.abs()),
                true => 0.0,
                false => edge.beyond(self.toward_bad(distance)),
            };
        }
        excess
    }

    /// How far the newest value itself is beyond what is usual: from where it was before, or from all that was ever seen.
    pub(super) fn out_now(&self, look: &Look) -> f64 {
        let calm = self.calm.beyond(self.toward_bad(look.calm - self.calm.centre));
        calm.max(self.level.beyond(self.toward_bad(look.z)))
    }

    /// The score of a metric by itself, in thresholds: 1 at [`EXTREME`] times as far out as 99 of 100 values. Only of one
    /// whose floor somebody told; of others nobody knows what a great distance means (measured: it costs more false alarms
    /// than it finds faults).
    pub(super) fn extreme(&self, look: &Look) -> f64 {
        let reach = Edge { reach: self.usual_reach, ..self.level };
        if self.is_measured { reach.beyond(self.toward_bad(look.z)) / EXTREME.ln() } else { 0.0 }
    }

    fn is_sound(&self) -> bool {
        self.scale.is_sound()
            && self.median.is_finite()
            && self.deviation > 0.0
            && self.usual_reach > 0.0
            && self.edges.iter().chain([&self.calm, &self.level]).all(Edge::is_sound)
    }
}

/// Appends what the forest and the usual points see of one metric; NaN where it is missing.
pub(super) fn push_columns(look: Option<&Look>, forest: &mut Vec<f64>, point: &mut Vec<f64>) {
    let log = |z: f64| z.signum() * z.abs().min(FAR).ln_1p();
    match look {
        None => {
            forest.extend([f64::NAN; FOREST_COLUMNS]);
            point.extend([f64::NAN; POINT_COLUMNS]);
        }
        Some(Look { numbers: [.., short_deviation, _, _], z, means: (short, long), .. }) => {
            forest.extend([log(*z), log(z - short), log(*long), log(*short_deviation)]);
            point.extend([log(*z), log(*short)]);
        }
    }
}

/// The distance to the nearest of the usual points. A missing value counts as usual.
pub(super) fn distance(points: &Array2<f64>, of: &[f64]) -> f64 {
    let squared = |point: ndarray::ArrayView1<'_, f64>| -> f64 {
        point.iter().zip(of).map(|(a, b)| (a - b) * (a - b)).filter(|d| !d.is_nan()).sum()
    };
    let nearest = points.outer_iter().map(squared).fold(f64::INFINITY, f64::min);
    if nearest.is_finite() { nearest.sqrt() } else { 0.0 }
}

/// The feature list of this version.
pub(super) fn features() -> Vec<String> {
    let forest = ["forest:value", "forest:from-10min", "forest:mean-1h", "forest:deviation-10min"];
    let points = ["points:value", "points:mean-10min"];
    NAMES.iter().chain(&forest).chain(&points).map(|name| (*name).to_owned()).collect()
}

impl Model {
    /// Which training of this service's model it is, counted from 1.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When it was trained.
    #[must_use]
    pub fn trained_at(&self) -> Timestamp {
        self.trained_at
    }

    /// Samples it learned from.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.quality.samples
    }

    /// What it rests on.
    #[must_use]
    pub fn quality(&self) -> &Quality {
        &self.quality
    }

    /// Scores above this are anomalies; in the score's own unit.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// The usual range of each metric: 98 of 100 learned values lay within.
    #[must_use]
    pub fn bands(&self) -> BTreeMap<String, (f64, f64)> {
        self.metrics.iter().map(|m| (m.name.clone(), (m.scale.low, m.scale.high))).collect()
    }

    /// The metrics it judges, by name.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        self.metrics.iter().map(|m| m.name.as_str())
    }

    /// For saving; [`from_bytes`](Self::from_bytes) reads it back, bit for bit.
    ///
    /// # Errors
    /// When the model cannot be written down, which a trained one always can.
    pub fn to_bytes(&self) -> Result<Vec<u8>, LoadError> {
        serde_json::to_vec(self).map_err(|e| LoadError::Unreadable { why: e.to_string() })
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// When the bytes are something else, of another format, or contradict themselves.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LoadError> {
        #[derive(Deserialize)]
        struct Head {
            format: u64,
        }
        let unreadable = |why: String| LoadError::Unreadable { why };
        if bytes.len() > MAX_BYTES {
            return Err(unreadable(format!("it has {} bytes, {MAX_BYTES} are the most", bytes.len())));
        }
        let head: Head = serde_json::from_slice(bytes).map_err(|e| unreadable(e.to_string()))?;
        if head.format != u64::from(FORMAT) {
            return Err(LoadError::Format { found: head.format });
        }
        let model: Self = serde_json::from_slice(bytes).map_err(|e| unreadable(e.to_string()))?;
        let (made, read) = (model.features.join(", "), features().join(", "));
        if made != read {
            let why = format!("it was made with the features {made}, this version has {read}");
            return Err(LoadError::Misfit { service: model.service, why });
        }
        model.check().map_err(unreadable)?;
        Ok(model)
    }

    /// Does it contradict itself?
    fn check(&self) -> Result<(), String> {
        let metrics = self.metrics.len();
        if self.forest.n_features() != metrics * FOREST_COLUMNS {
            return Err(format!("a forest of {} columns for {metrics} metrics", self.forest.n_features()));
        }
        if self.points.ncols() != metrics * POINT_COLUMNS || self.points.iter().any(|v| !v.is_finite()) {
            return Err(format!("usual points of {} columns for {metrics} metrics", self.points.ncols()));
        }
        if let Some(m) = self.metrics.iter().find(|m| !m.is_sound()) {
            return Err(format!("the scale of `{}` is not one", m.name.escape_debug()));
        }
        if let Some((length, slot)) = self.windows.season
            && (slot < 1 || length < slot || self.metrics.iter().any(|m| m.profile.len() as i64 != length / slot))
        {
            return Err("its season has no even slots".to_owned());
        }
        if self.windows.short < 1 || self.windows.long < self.windows.short {
            return Err("its windows hold nothing".to_owned());
        }
        let even =
            |values: &[f64], least: f64| values.len() == VOICES && values.iter().all(|v| v.is_finite() && *v >= least);
        if !even(&self.norms, f64::MIN_POSITIVE) || !even(&self.weights, 0.0) || self.weights.iter().sum::<f64>() <= 0.0
        {
            return Err("its voices do not count".to_owned());
        }
        let numbers = [self.usual.0, self.usual.1, self.gate, self.edge];
        if numbers.iter().any(|v| !v.is_finite()) || self.threshold <= 0.0 || !self.threshold.is_finite() {
            return Err("its threshold is none".to_owned());
        }
        Ok(())
    }

    /// Does it judge what a detector with these metrics has to judge?
    pub(super) fn fits(&self, service: &ServiceId, specs: &BTreeMap<String, MetricSpec>) -> Result<(), LoadError> {
        let misfit = |why: String| Err(LoadError::Misfit { service: self.service.clone(), why });
        if self.service != *service {
            return misfit(format!("the service here is {service}"));
        }
        for (name, spec) in specs {
            match self.metrics.iter().find(|m| m.name == *name) {
                Some(m) if m.bad != spec.bad => {
                    return misfit(format!("`{name}` was bad when {:?} and is now when {:?}", m.bad, spec.bad));
                }
                None if spec.bad != Badness::Never && !self.unlearned.contains(name) => {
                    return misfit(format!("it knows nothing of `{name}`"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn learned(&self) -> &[Learned] {
        &self.metrics
    }
}

//! The model of one service: what is usual for each metric, and an isolation forest over all of them together.
//!
//! The forest (Liu, Ting, Zhou 2008) sees three features a metric, all in deviations toward bad (`scale.rs`): the
//! value, its mean over the last [`ROLLING`] samples, and its rise since the sample before. "Better than ever" is 0 in
//! each, so that it isolates nothing. A missing value is NaN, which the forest sends along with the majority.
//!
//! The only file that knows the forest crate. Called by `train.rs`, which makes models, and by the detector.

use std::collections::{BTreeMap, VecDeque};

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_isolation_forest::{IsolationForest, IsolationForestError};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::DetectSettings;
use super::scale::{Scale, quantile};
use crate::model::{Badness, MetricSpec, ServiceId, Timestamp};

/// Samples of the rolling mean.
pub(super) const ROLLING: usize = 5;
/// Raised when a saved model would be misread by older code.
const FORMAT: u32 = 1;
/// The features of one metric, in order.
const FEATURES: [&str; 3] = ["level", "mean5", "rise"];
/// Features are cut off here: beyond, a metric is extreme by itself and needs no forest.
const CLIP: f64 = 12.0;
/// The forest's threshold lies this part of (quantile - median) above the quantile of the training scores: it was
/// grown on the very rows that it is measured on.
const MARGIN: f64 = 0.1;
/// Least distance between the usual score and the threshold, for training data that were all alike.
const LEAST_SPREAD: f64 = 0.02;
/// A model of 500 trees over 100 metrics has some 10 MB; what is larger than this is something else.
const MAX_BYTES: usize = 256 << 20;

/// A trained model; made by [`train`](super::train()), held by the detector, saved between two starts of the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    format: u32,
    features: Vec<String>,
    service: ServiceId,
    version: u64,
    trained_at: Timestamp,
    samples: usize,
    metrics: Vec<Learned>,
    /// Metrics that were there but had too few values to learn from.
    unlearned: Vec<String>,
    /// Median of the forest's scores in training.
    usual: f64,
    /// The forest finds a sample unusual above this score.
    threshold: f64,
    forest: IsolationForest,
}

/// What was learned of one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Learned {
    pub(super) name: String,
    pub(super) bad: Badness,
    pub(super) scale: Scale,
}

/// What training hands over to make a model.
pub(super) struct Recipe {
    pub(super) service: ServiceId,
    pub(super) version: u64,
    pub(super) trained_at: Timestamp,
    pub(super) metrics: Vec<Learned>,
    pub(super) unlearned: Vec<String>,
    /// One row a sample, [`FEATURES`] for each metric in order.
    pub(super) rows: Array2<f64>,
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

impl Model {
    /// Grows the forest and sets its threshold.
    pub(super) fn grow(recipe: Recipe, settings: &DetectSettings) -> Result<Self, IsolationForestError> {
        let Recipe { service, version, trained_at, metrics, unlearned, rows } = recipe;
        let samples = rows.nrows();
        let data = DatasetBase::from(rows);
        let forest = IsolationForest::params()
            .n_trees(settings.trees)
            .max_samples(settings.tree_samples)
            .seed(settings.seed)
            .n_threads(1) // training shares the machine with the service that it watches
            .fit(&data)?;
        let mut scores = forest.score_samples(&data.records)?.to_vec();
        scores.sort_unstable_by(f64::total_cmp);
        let (usual, edge) = (quantile(&scores, 0.5), quantile(&scores, 1.0 - settings.contamination));
        let threshold = (edge + MARGIN * (edge - usual)).max(usual + LEAST_SPREAD);
        let features = FEATURES.map(str::to_owned).to_vec();
        let format = FORMAT;
        Ok(Self {
            format,
            features,
            service,
            version,
            trained_at,
            samples,
            metrics,
            unlearned,
            usual,
            threshold,
            forest,
        })
    }

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
        self.samples
    }

    /// The forest's own threshold, on its score from 0 to 1.
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
        let (made, read) = (model.features.join(", "), FEATURES.join(", "));
        if made != read {
            let why = format!("it was made with the features {made}, this version has {read}");
            return Err(LoadError::Misfit { service: model.service, why });
        }
        if model.forest.n_features() != model.metrics.len() * FEATURES.len() {
            let (columns, metrics) = (model.forest.n_features(), model.metrics.len());
            return Err(unreadable(format!("a forest of {columns} columns for {metrics} metrics")));
        }
        if let Some(m) = model.metrics.iter().find(|m| !m.scale.is_sound()) {
            return Err(unreadable(format!("the scale of `{}` is not one", m.name.escape_debug())));
        }
        if !(model.usual.is_finite() && model.threshold.is_finite() && model.threshold > model.usual) {
            return Err(unreadable("its threshold is not above its usual score".to_owned()));
        }
        Ok(model)
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

    /// How unusual the forest finds a row of features: 0 as the median of training, 1 at its threshold, more beyond.
    pub(super) fn unusual(&self, row: &[f64]) -> f64 {
        // The width of the row is right by construction; a forest without a word is one that finds nothing.
        self.forest.score_one(row).map_or(0.0, |score| (score - self.usual) / (self.threshold - self.usual))
    }

    /// Each metric's part in the forest's score, in the order of [`learned`](Self::learned); they sum to 1.
    pub(super) fn forest_shares(&self, row: &[f64]) -> Vec<f64> {
        let shares = self.forest.attribution(row).map(|shares| shares.to_vec()).unwrap_or_default();
        shares.chunks(FEATURES.len()).map(|of_metric| of_metric.iter().sum()).collect()
    }
}

impl Learned {
    /// Distance of a value from its median in the bad direction, in deviations; 0 on the good side.
    pub(super) fn residual(&self, value: f64) -> f64 {
        self.scale.toward_bad(value, self.bad).abs()
    }

    /// Appends the features of the newest of `recent` values, of which NaN are missing ones.
    pub(super) fn push_features(&self, recent: &VecDeque<f64>, row: &mut Vec<f64>) {
        let scaled = |value: &f64| match self.scale.toward_bad(*value, self.bad) {
            _ if value.is_nan() => f64::NAN,
            z => z.clamp(-CLIP, CLIP),
        };
        let mut newest = recent.iter().rev().take(ROLLING).map(scaled);
        let now = newest.next().unwrap_or(f64::NAN);
        if now.is_nan() {
            row.extend([f64::NAN; FEATURES.len()]);
            return;
        }
        let (mut sum, mut count, mut before) = (now, 1.0, None);
        for value in newest {
            before.get_or_insert(value);
            if !value.is_nan() {
                sum += value;
                count += 1.0;
            }
        }
        let rise = match now - before.unwrap_or(f64::NAN) {
            rise if self.bad != Badness::Both && rise < 0.0 => 0.0,
            rise => rise,
        };
        row.extend([now, sum / count, rise]);
    }
}

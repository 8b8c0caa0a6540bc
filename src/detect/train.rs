//! From a window of samples to a model. Pure: the same set gives the same model. Called off the hot path.

use std::collections::VecDeque;

use linfa_isolation_forest::IsolationForestError;
use ndarray::Array2;

use super::DetectSettings;
use super::model::{Learned, Model, ROLLING, Recipe};
use super::scale::Scale;
use crate::model::{MetricSpec, ServiceId, Timestamp};

/// Values of a metric below which nothing is learned of it: its quantiles would be guesses.
pub(super) const LEAST_VALUES: usize = 20;

/// One sample that was learned from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// A value for each column; NaN, or an end too early, where it is missing.
    pub(super) values: Vec<f64>,
    /// Did it come directly after the row before, so that the two make a rise and a rolling mean?
    pub(super) follows: bool,
}

/// What a model is to be trained on: a copy, so that the detector goes on meanwhile.
#[derive(Clone, Debug)]
pub struct TrainingSet {
    pub(super) service: ServiceId,
    pub(super) version: u64,
    pub(super) at: Timestamp,
    pub(super) settings: DetectSettings,
    pub(super) metrics: Vec<(String, MetricSpec)>,
    pub(super) rows: Vec<Row>,
}

impl TrainingSet {
    /// Samples to be learned from.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.rows.len()
    }
}

/// A fresh model, to be given to [`Detector::install`](super::Detector::install).
#[derive(Clone, Debug)]
pub struct Trained(pub(super) Model);

impl Trained {
    /// The model, for saving.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.0
    }
}

/// Why no model could be made. The detector goes on with what it has and asks again later.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// No metric had enough values.
    #[error(
        "training of {service}: none of {metrics} metrics has {LEAST_VALUES} values in {samples} samples; \
         look at its sources with `suture check`"
    )]
    NothingToLearn {
        /// Whose model.
        service: ServiceId,
        /// Metrics that were looked at.
        metrics: usize,
        /// Samples that were looked at.
        samples: usize,
    },
    /// The forest refused the settings or the data.
    #[error("training of {service}: {source}")]
    Forest {
        /// Whose model.
        service: ServiceId,
        /// The forest's own words.
        source: IsolationForestError,
    },
}

/// Trains a model. Takes milliseconds for some hundred samples and about a second for very wide windows: run it on a
/// thread where that hurts nobody.
///
/// # Errors
/// When there is nothing to learn from, or the forest refuses the settings.
pub fn train(set: TrainingSet) -> Result<Trained, TrainError> {
    let TrainingSet { service, version, at, settings, metrics, rows } = set;
    let (offered, samples) = (metrics.len(), rows.len());
    let (mut columns, mut learned, mut unlearned) = (Vec::new(), Vec::new(), Vec::new());
    for (column, (name, spec)) in metrics.into_iter().enumerate() {
        let values: Vec<f64> = rows.iter().filter_map(|row| row.values.get(column).copied()).collect();
        let enough = values.iter().filter(|v| v.is_finite()).count() >= LEAST_VALUES;
        match Scale::learn(values, &spec).filter(|_| enough) {
            Some(scale) => {
                columns.push(column);
                learned.push(Learned { name, bad: spec.bad, scale });
            }
            None => unlearned.push(name),
        }
    }
    if learned.is_empty() {
        return Err(TrainError::NothingToLearn { service, metrics: offered, samples });
    }
    let features = feature_rows(&rows, &columns, &learned);
    let forest = |source: IsolationForestError| TrainError::Forest { service: service.clone(), source };
    let width = features.len() / samples.max(1);
    let rows = Array2::from_shape_vec((samples, width), features)
        .map_err(|e| forest(IsolationForestError::Linfa(e.into())))?;
    let recipe = Recipe { service: service.clone(), version, trained_at: at, metrics: learned, unlearned, rows };
    Model::grow(recipe, &settings).map(Trained).map_err(forest)
}

/// The features of all rows, one after the other, as the detector would have seen them at the time.
fn feature_rows(rows: &[Row], columns: &[usize], learned: &[Learned]) -> Vec<f64> {
    let mut recent: Vec<VecDeque<f64>> = vec![VecDeque::with_capacity(ROLLING); columns.len()];
    let mut features = Vec::with_capacity(rows.len() * columns.len() * 3);
    for row in rows {
        for ((column, recent), learned) in columns.iter().zip(&mut recent).zip(learned) {
            if !row.follows {
                recent.clear();
            }
            if recent.len() == ROLLING {
                recent.pop_front();
            }
            recent.push_back(row.values.get(*column).copied().unwrap_or(f64::NAN));
            learned.push_features(recent, &mut features);
        }
    }
    features
}

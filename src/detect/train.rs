//! From a window of samples to a model. Pure: the same set gives the same model. Called off the hot path.
//!
//! In order: each metric's median and deviations; the courses over all rows, and what was usual of their numbers; the
//! forest and the usual points; the scores of all rows; the threshold from their tail (`tail.rs`). The rows are scored by
//! the very model that they made, which flatters it, so the threshold is set for [`IN_SAMPLE`] of the alarms that are
//! allowed.

use linfa::DatasetBase;
use linfa::traits::Fit as _;
use linfa_clustering::{KMeans, KMeansError};
use linfa_isolation_forest::{IsolationForest, IsolationForestError};
use ndarray::Array2;
use rand::SeedableRng as _;
use rand_xoshiro::Xoshiro256Plus;

use super::DetectSettings;
use super::course::{Course, Look, NUMBERS, SEASON, Windows};
use super::model::{
    Edge, FOREST_COLUMNS, Learned, Model, POINT_COLUMNS, Quality, VOICES, distance, features, push_columns,
};
use super::scale::{Scale, quantile};
use super::scorer::{Scorer, Voices, is_parted, root};
use super::tail;
use crate::model::{MetricSpec, ServiceId, Timestamp};

/// Values of a metric below which nothing is learned of it: its quantiles would be guesses.
pub(super) const LEAST_VALUES: usize = 20;
/// The part of the values that is usual. Higher ones were measured to miss more: what is rare in training is not wrong.
const USUAL: f64 = 0.98;
/// A change below this part of the range (or of the size) of a metric is rounding.
const ROUNDING: f64 = 1e-3;
/// The least reach of a metric that never moved from 0 and has no floor, in its own unit.
const UNMEASURED: f64 = 0.01;
/// How much wider than seen everything is taken for a young model: 12 % at 100 samples.
const YOUNG: f64 = 12.0;
/// What each voice counts. The deviation of an hour is slow to forget, so it has half a vote.
const WEIGHTS: [f64; VOICES] = [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 1.0, 1.0, 1.0];
/// The least that the voices are divided by: a tenth of a reach, and what a forest or a distance varies by at least.
const LEAST_NORM: [f64; 3] = [0.1, 0.005, 0.001];
/// What voices are divided by that were silent in training: one metric at 2.7 reaches, a clear isolation, a distance of
/// 2.7 deviations.
const SILENT_NORM: [f64; 3] = [1.0, 0.05, 1.0];
/// Part of the allowed alarms that training may show; see the head of this file.
const IN_SAMPLE: f64 = 0.6;
/// Scores below this are never anomalies: no voice is near the loudest that it was in training.
const LEAST_THRESHOLD: f64 = 0.3;
/// The same after a training in which nothing stirred: one of two metrics at some four reaches.
const SILENT_THRESHOLD: f64 = 0.85;
/// The quantile of the evidence in single samples that an anomaly must pass.
const GATE: f64 = 0.99;
/// Usual points, and rows that they are found from at most.
const POINTS: usize = 40;
const POINT_ROWS: usize = 4096;
/// Time that the short and the long windows cover, and the least samples of each.
const SHORT: (f64, usize) = (600_000.0, 3);
const LONG: (f64, usize) = (3_600_000.0, 12);
/// The part of the training that each window may cover at most: a young model has shorter ones.
const PART: (usize, usize) = (20, 5);
/// A day, and the least width of a slot of it, in milliseconds.
const DAY: i64 = 86_400_000;
const SLOT: i64 = 600_000;
/// Two excesses within this time are one alarm.
const ONE_ALARM: f64 = 1_800_000.0;

/// One sample that was learned from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) at: Timestamp,
    /// A value for each column; NaN, or an end too early, where it is missing.
    pub(super) values: Vec<f64>,
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
pub struct Trained(pub(super) Scorer);

impl Trained {
    /// The model, for saving.
    #[must_use]
    pub fn model(&self) -> &Model {
        self.0.model()
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
    /// No usual points were found.
    #[error("training of {service}: the usual points: {source}")]
    Points {
        /// Whose model.
        service: ServiceId,
        /// The clustering's own words.
        source: KMeansError,
    },
}

/// Trains a model. Takes milliseconds for some hundred samples and some seconds for very wide windows: run it on a
/// thread where that hurts nobody.
///
/// # Errors
/// When there is nothing to learn from, or the forest or the clustering refuses.
pub fn train(set: TrainingSet) -> Result<Trained, TrainError> {
    let TrainingSet { service, version, at, settings, metrics, mut rows } = set;
    let (offered, samples) = (metrics.len(), rows.len());
    let (mut columns, mut learned, mut unlearned) = (Vec::new(), Vec::new(), Vec::new());
    for (column, (name, spec)) in metrics.into_iter().enumerate() {
        let values = rows.iter().filter_map(|row| row.values.get(column).copied());
        let values: Vec<f64> = values.filter(|v| v.is_finite()).collect();
        if values.len() < LEAST_VALUES {
            unlearned.push(name);
            continue;
        }
        columns.push(column);
        learned.push(learn_metric(name, &spec, values));
    }
    if learned.is_empty() {
        return Err(TrainError::NothingToLearn { service, metrics: offered, samples });
    }
    for row in &mut rows {
        row.values = columns.iter().map(|c| row.values.get(*c).copied().unwrap_or(f64::NAN)).collect();
    }
    let interval = interval(&rows);
    let windows = windows(&rows, interval);
    let young = 1.0 + YOUNG / samples as f64;
    // Twice: the mean that takes in no spike whole needs to know what a spike is.
    let (looks, _) = follow(&windows, &learned, &rows, false);
    for (learned, looks) in learned.iter_mut().zip(&looks) {
        learn_edges(learned, looks, young);
    }
    let (looks, courses) = follow(&windows, &learned, &rows, true);
    for ((learned, looks), course) in learned.iter_mut().zip(&looks).zip(&courses) {
        learn_edges(learned, looks, young);
        learned.profile = course.profile().iter().map(|p| p.is_finite().then_some(*p)).collect();
    }

    let (mut seen, mut points) = (Vec::new(), Vec::new());
    for row in 0..samples {
        looks.iter().for_each(|looks| push_columns(looks.get(row).and_then(Option::as_ref), &mut seen, &mut points));
    }
    let width = learned.len() * POINT_COLUMNS;
    let usual_points = usual_points(&points, width, settings.seed)
        .map_err(|source| TrainError::Points { service: service.clone(), source })?;
    let refused = |source: IsolationForestError| TrainError::Forest { service: service.clone(), source };
    let seen = Array2::from_shape_vec((samples, learned.len() * FOREST_COLUMNS), seen)
        .map_err(|e| refused(IsolationForestError::Linfa(e.into())))?;
    let seen = DatasetBase::from(seen);
    let forest = IsolationForest::params()
        .n_trees(settings.trees)
        .max_samples(settings.tree_samples)
        .seed(settings.seed)
        .n_threads(1) // training shares the machine with the service that it watches
        .fit(&seen)
        .map_err(refused)?;
    let by_forest = forest.score_samples(&seen.records).map_err(refused)?.to_vec();
    let by_points: Vec<f64> = points.chunks(width.max(1)).map(|point| distance(&usual_points, point)).collect();
    let usual = (quantile_of(by_forest.clone(), 0.5), quantile_of(by_points.clone(), 0.5));

    let root = root(learned.len());
    let mut voices = vec![Voices::default(); samples];
    for (learned, looks) in learned.iter_mut().zip(&looks) {
        let mut farthest = [0.0_f64; NUMBERS];
        for (voices, look) in voices.iter_mut().zip(looks) {
            let Some(look) = look else { continue };
            let excess = voices.add(learned, look, root);
            farthest.iter_mut().zip(excess).for_each(|(farthest, excess)| *farthest = farthest.max(excess));
        }
        learned.edges.iter_mut().zip(farthest).for_each(|(edge, farthest)| edge.farthest = farthest);
    }
    for ((voices, forest), points) in voices.iter_mut().zip(&by_forest).zip(&by_points) {
        voices.add_whole(*forest, *points, usual);
    }
    let mut weights = WEIGHTS.to_vec();
    if windows.season.is_none()
        && let Some(weight) = weights.get_mut(SEASON)
    {
        *weight = 0.0;
    }
    // Each voice is divided by the loudest that it was while all was well.
    let loud = 1.0 - settings.contamination;
    let norms: Vec<f64> = (0..VOICES).map(|at| norm(at, &voices, loud, root)).collect();
    let scores: Vec<f64> = voices.iter().map(|voices| voices.weigh(&norms, &weights)).collect();
    let days = samples as f64 * interval / DAY as f64;
    let budget = settings.false_alarms.per_day();
    let gap = ((ONE_ALARM / interval) as usize).min(samples / 50).max(2);
    let edge = quantile_of(scores.clone(), USUAL);
    let least = if edge > 0.0 { LEAST_THRESHOLD } else { SILENT_THRESHOLD };
    let threshold = tail::level(&scores, gap, days * budget * IN_SAMPLE).max(least);
    let seen_alarms = tail::peaks(&scores, threshold, gap).len();
    let quality = Quality { samples, days, alarms_a_day: seen_alarms as f64 / days, budget };
    let model = Model {
        format: super::model::FORMAT,
        features: features(),
        service: service.clone(),
        version,
        trained_at: at,
        quality,
        metrics: learned,
        unlearned,
        windows,
        forest,
        points: usual_points,
        usual,
        norms,
        weights,
        gate: quantile_of(voices.iter().map(|v| v.now).collect(), GATE),
        edge,
        threshold,
    };
    Ok(Trained(Scorer::resumed(model, courses, rows.last().map(|row| row.at))))
}

/// What one metric is standardised by. The deviation is the greatest of three robust ones, since most metrics have
/// a heavier tail than a normal distribution, and some move only now and then.
fn learn_metric(name: String, spec: &MetricSpec, mut values: Vec<f64>) -> Learned {
    values.sort_unstable_by(f64::total_cmp);
    let median = quantile(&values, 0.5);
    let (low, high) = (quantile(&values, 0.0), quantile(&values, 1.0));
    let half = |value: f64| value / 2.0 - median / 2.0;
    let mut distances: Vec<f64> = values.iter().map(|v| half(*v).abs()).collect();
    distances.sort_unstable_by(f64::total_cmp);
    let far = quantile(&distances, 1.0).max(f64::MIN_POSITIVE);
    // In parts of the farthest, so that the squares of huge values stay numbers.
    let spread =
        2.0 * far * (values.iter().map(|v| (half(*v) / far).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
    let told = if spec.floor.is_finite() { spec.floor.max(0.0) } else { 0.0 };
    let rounding = ROUNDING * (high / 2.0 - low / 2.0).max(median.abs() / 2.0) * 2.0;
    let floor = told.max(rounding);
    let seen =
        (2.0 * 1.4826 * quantile(&distances, 0.5)).max(2.0 * quantile(&distances, 0.95) / 1.96).max(spread / 2.0);
    let deviation = match seen.max(floor) {
        // It never moved, and nothing says by what to measure it.
        d if d < f64::MIN_POSITIVE => UNMEASURED,
        d => d.min(f64::MAX / 4.0),
    };
    let reach = if floor > 0.0 { floor / deviation } else { UNMEASURED / deviation };
    let edge = Edge { centre: 0.0, reach: reach.max(1e-12), farthest: 0.0 };
    let scale = Scale::learn(values, spec).unwrap_or(Scale { median, up: 0.0, down: 0.0, low, high });
    Learned {
        name,
        bad: spec.bad,
        scale,
        median,
        deviation,
        edges: [edge; NUMBERS],
        calm: edge,
        level: edge,
        usual_reach: edge.reach,
        is_measured: told > 0.0,
        profile: Vec::new(),
    }
}

/// What is usual of the numbers of a course. `learned` holds the least reach of each: its floor, and after the first pass
/// what that found.
fn learn_edges(learned: &mut Learned, looks: &[Option<Look>], young: f64) {
    let edge = |least: &Edge, numbers: Vec<f64>| {
        let centre = quantile_of(numbers.clone(), 0.5);
        let reach = quantile_of(numbers.iter().map(|n| (n - centre).abs()).collect(), USUAL) * young;
        Edge { centre, reach: reach.max(least.reach), farthest: 0.0 }
    };
    let all = looks.iter().flatten();
    for (at, known) in learned.edges.iter_mut().enumerate() {
        let numbers = all.clone().filter_map(|look| look.numbers.get(at).copied());
        *known = edge(known, numbers.filter(|n| n.is_finite()).collect());
    }
    learned.calm = edge(&learned.calm, all.clone().map(|look| look.calm).collect());
    let mut levels: Vec<f64> = all.map(|look| look.z.abs()).collect();
    levels.sort_unstable_by(f64::total_cmp);
    learned.level.reach = learned.level.reach.max(quantile(&levels, 1.0) * young);
    // One wild sample in training must not blind it.
    learned.usual_reach = learned.usual_reach.max(quantile(&levels, GATE) * young);
}

/// The courses over all rows: a look at each, and the courses at the end. The first time, nobody knows what a spike is.
fn follow(
    windows: &Windows,
    learned: &[Learned],
    rows: &[Row],
    knows_spikes: bool,
) -> (Vec<Vec<Option<Look>>>, Vec<Course>) {
    let mut courses: Vec<Course> = learned.iter().map(|_| Course::new(windows, &[])).collect();
    let mut looks: Vec<Vec<Option<Look>>> = learned.iter().map(|_| Vec::with_capacity(rows.len())).collect();
    let mut last = None;
    for row in rows {
        if last.is_some_and(|last| is_parted(last, row.at, windows.silence)) {
            courses.iter_mut().for_each(Course::begin_anew);
        }
        last = Some(row.at);
        for (((learned, course), looks), value) in learned.iter().zip(&mut courses).zip(&mut looks).zip(&row.values) {
            let z = learned.standardised(*value);
            looks.push(course.look(windows, row.at, z));
            course.take(windows, row.at, z, if knows_spikes { learned.calm.reach } else { f64::INFINITY });
        }
    }
    (looks, courses)
}

/// The usual time between two samples, in milliseconds.
fn interval(rows: &[Row]) -> f64 {
    let gaps = rows.iter().zip(rows.iter().skip(1)).map(|(a, b)| b.at.since(a.at).as_millis() as f64);
    quantile_of(gaps.filter(|gap| *gap > 0.0).collect(), 0.5).max(1.0)
}

fn windows(rows: &[Row], interval: f64) -> Windows {
    let samples = rows.len();
    let window = |(span, least): (f64, usize), part: usize| ((span / interval) as usize).min(samples / part).max(least);
    let long = window(LONG, PART.1);
    let span = samples as f64 * interval;
    // Two days show what a day is. A slot of ten minutes, or of one sample if samples are rarer, up to an hour.
    let has_season = span >= 2.0 * DAY as f64 && interval <= SLOT as f64 * 6.0;
    let slots = DAY / SLOT.max(interval as i64);
    let season = has_season.then(|| (DAY / slots * slots, DAY / slots));
    Windows { short: window(SHORT, PART.0), long, silence: (long as f64 * interval) as i64, season }
}

fn usual_points(points: &[f64], width: usize, seed: u64) -> Result<Array2<f64>, KMeansError> {
    let samples = points.len() / width.max(1);
    let step = samples.div_ceil(POINT_ROWS).max(1);
    let known: Vec<f64> = points
        .chunks(width.max(1))
        .step_by(step)
        .flatten()
        .map(|value| if value.is_nan() { 0.0 } else { *value })
        .collect();
    let rows = known.len() / width.max(1);
    let known = Array2::from_shape_vec((rows, width), known).unwrap_or_else(|_| Array2::zeros((1, width)));
    let clusters = POINTS.min(rows / 4).max(1);
    let fitted = KMeans::params_with_rng(clusters, Xoshiro256Plus::seed_from_u64(seed))
        .n_runs(2)
        .max_n_iterations(30)
        .tolerance(1e-3)
        .fit(&DatasetBase::from(known))?;
    Ok(fitted.centroids().clone())
}

fn norm(at: usize, voices: &[Voices], loud: f64, root: f64) -> f64 {
    let loud = quantile_of(voices.iter().filter_map(|v| v.voices.get(at).copied()).collect(), loud);
    let [course, forest, points] = if loud > 1e-9 { LEAST_NORM } else { SILENT_NORM };
    loud.max(match at {
        at if at < NUMBERS => course / root,
        NUMBERS => forest,
        _ => points,
    })
}

fn quantile_of(mut values: Vec<f64>, q: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    quantile(&values, q)
}

//! The score of one sample: a model, and the courses of its metrics.
//!
//! Nine voices speak. Seven are the numbers of the courses (`course.rs`): what each metric has beyond the reach that 98 of
//! 100 samples of training kept within, as a logarithm, added up over the metrics. The eighth is the isolation forest, the
//! ninth the distance from the nearest usual point; both count from their median of training up. Each voice is divided by
//! its own 99.5 % quantile of training (`contamination`), so that none drowns the others, and the mean of all, in thresholds,
//! is the score: finite, 0 or more, not bounded above.
//!
//! Logarithms, because a metric that stood still in training may be a thousand reaches out and is not a thousand times as
//! alarming; the sum over metrics, because ten metrics that are a little out are an incident and one alone may be noise.
//!
//! Beside them one metric alone may speak: seven times as far out as 99 of 100 values, in a metric whose smallest meaningful
//! change somebody told (`Learned::extreme`). Tables of `suture detect` have no such metrics.
//!
//! An anomaly needs a score above the threshold and evidence in the newest sample itself (the *gate*): the means and
//! deviations of the last minutes remember a spike after it is over. Must never learn: [`Scorer::take`] only moves the
//! courses on. Called by the detector, by `suture detect`, and by training for the scores that the threshold is set by.

use super::course::{Course, Look, NUMBERS};
use super::model::{Learned, Model, VOICES, distance, push_columns};
use crate::model::Timestamp;

/// The numbers of a course that tell who is responsible: the distances from the three means, and the mean of ten minutes.
/// The rest, and the forest, tell that something is wrong and not what; see docs/EVALUATION.md.
const TELLING: usize = 4;
/// Keeps a metric that was never out in training from being responsible for everything.
const NEVER_OUT: f64 = 0.5;
/// What being out now counts beside that.
const LITTLE: f64 = 0.001;

/// Judges rows of values, in the order of the model's metrics.
#[derive(Clone, Debug)]
pub(super) struct Scorer {
    model: Model,
    courses: Vec<Course>,
    last: Option<Timestamp>,
    /// Kept between calls, so that a sample allocates nothing.
    forest: Vec<f64>,
    point: Vec<f64>,
    excess: Vec<([f64; NUMBERS], f64)>,
}

/// What the scorer says of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Judgement {
    /// In thresholds.
    pub(super) score: f64,
    /// Is there evidence in the newest sample itself?
    pub(super) is_now: bool,
}

impl Judgement {
    pub(super) fn is_anomaly(&self) -> bool {
        self.is_now && self.score > 1.0
    }
}

/// What speaks for one row, before it is weighed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Voices {
    pub(super) voices: [f64; VOICES],
    pub(super) now: f64,
    /// The greatest word of one metric alone, in thresholds.
    pub(super) alone: f64,
}

impl Voices {
    /// Adds what one metric has to say.
    pub(super) fn add(&mut self, learned: &Learned, look: &Look, root: f64) -> [f64; NUMBERS] {
        let excess = learned.excess(look);
        self.voices.iter_mut().zip(excess).for_each(|(voice, excess)| *voice += excess / root);
        self.now += learned.out_now(look) / root;
        self.alone = self.alone.max(learned.extreme(look));
        excess
    }

    /// Adds what the forest and the usual points say.
    pub(super) fn add_whole(&mut self, forest: f64, distance: f64, usual: (f64, f64)) {
        let [.., by_forest, by_points] = &mut self.voices;
        *by_forest = (forest - usual.0).max(0.0);
        *by_points = (distance - usual.1).max(0.0);
    }

    /// The weighted mean of the voices.
    pub(super) fn weigh(&self, norms: &[f64], weights: &[f64]) -> f64 {
        let total: f64 = weights.iter().sum();
        self.voices.iter().zip(norms).zip(weights).map(|((voice, norm), weight)| weight * voice / norm).sum::<f64>()
            / total
    }
}

/// What the sum over metrics is divided by, so that a service of many metrics scores as one of few.
pub(super) fn root(metrics: usize) -> f64 {
    (metrics.max(1) as f64).sqrt()
}

impl Scorer {
    /// A scorer that knows nothing of the near past.
    pub(super) fn new(model: Model) -> Self {
        let profile =
            |learned: &Learned| -> Vec<f64> { learned.profile.iter().map(|p| p.unwrap_or(f64::NAN)).collect() };
        let courses = model.learned().iter().map(|learned| Course::new(&model.windows, &profile(learned))).collect();
        Self { model, courses, last: None, forest: Vec::new(), point: Vec::new(), excess: Vec::new() }
    }

    /// Goes on from the courses at the end of training.
    pub(super) fn resumed(model: Model, courses: Vec<Course>, last: Option<Timestamp>) -> Self {
        Self { courses, last, ..Self::new(model) }
    }

    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    /// Judges a row, and changes nothing that later rows depend on but what a silence before it parts. `held`: the rows
    /// before were not taken in, so that the time between says nothing.
    pub(super) fn judge(&mut self, at: Timestamp, values: &[f64], held: bool) -> Judgement {
        if !held && self.last.is_some_and(|last| is_parted(last, at, self.model.windows.silence)) {
            self.courses.iter_mut().for_each(Course::begin_anew);
        }
        self.last = Some(at);
        self.forest.clear();
        self.point.clear();
        self.excess.clear();
        let model = &self.model;
        let root = root(model.learned().len());
        let mut voices = Voices::default();
        for ((learned, course), value) in model.learned().iter().zip(&self.courses).zip(values) {
            let look = course.look(&model.windows, at, learned.standardised(*value));
            push_columns(look.as_ref(), &mut self.forest, &mut self.point);
            let excess = look.map(|look| (voices.add(learned, &look, root), learned.out_now(&look)));
            self.excess.push(excess.unwrap_or_default());
        }
        // The width of the row is right by construction; a forest without a word is one that finds nothing.
        let forest = model.forest.score_one(&self.forest).unwrap_or(0.0);
        voices.add_whole(forest, distance(&model.points, &self.point), model.usual);
        let together = voices.weigh(&model.norms, &model.weights) / model.threshold;
        // Fourth powers: two that are both nearly an anomaly are one together.
        let score = if voices.alone > 0.0 { (together.powi(4) + voices.alone.powi(4)).powf(0.25) } else { together };
        Judgement { score, is_now: voices.now > model.gate }
    }

    /// Moves the courses on by a row.
    pub(super) fn take(&mut self, at: Timestamp, values: &[f64]) {
        let windows = &self.model.windows;
        for ((learned, course), value) in self.model.metrics.iter().zip(&mut self.courses).zip(values) {
            course.take(windows, at, learned.standardised(*value), learned.calm.reach);
        }
    }

    /// Each metric's part in the score of the row judged last, in the model's order; they sum to 1, or are all 0.
    ///
    /// A metric's excess counts the more the nearer it comes to the farthest that was seen of it in training (and beyond):
    /// what happens to one metric every day does not explain an incident.
    pub(super) fn parts(&self) -> Vec<f64> {
        let model = &self.model;
        let part = |((excess, now), learned): (&([f64; NUMBERS], f64), &Learned)| -> f64 {
            let counts = model.weights.iter().zip(&model.norms).map(|(weight, norm)| weight / norm);
            let numbers = excess.iter().zip(&learned.edges).zip(counts).take(TELLING);
            let numbers =
                numbers.map(|((excess, edge), counts)| counts * excess * excess / (edge.farthest + NEVER_OUT));
            // A little for being out at all: there is always somebody responsible.
            numbers.sum::<f64>() + LITTLE * now
        };
        let parts: Vec<f64> = self.excess.iter().zip(model.learned()).map(part).collect();
        let sum: f64 = parts.iter().sum();
        parts.iter().map(|part| if sum > 0.0 { part / sum } else { 0.0 }).collect()
    }
}

/// Does a silence, or a clock that was set back, part the two?
pub(super) fn is_parted(last: Timestamp, at: Timestamp, silence: i64) -> bool {
    at < last || at.0.saturating_sub(last.0) > silence
}

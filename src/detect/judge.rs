//! The verdict on one sample: what the model says, what is past its limit, what did not answer.
//!
//! The model's word is the score of `scorer.rs`, in thresholds, divided by the tolerance that people's false alarms have
//! earned (`feedback.rs`); without evidence in the newest sample itself it stays below an anomaly. Its metrics weigh by
//! their parts in it. A metric past its configured limit weighs `1.5 + part of the limit by which it is past`, a source
//! that failed wholly weighs 3. The score of the sample is the greatest of the three; above [`THRESHOLD`] it is an anomaly.
//!
//! Called by the detector for each sample.

use std::collections::BTreeMap;

use super::detector::{Column, Live};
use super::scorer::Judgement;
use crate::model::{Badness, MetricSpec};

/// Scores above this are anomalies.
pub(super) const THRESHOLD: f64 = 1.0;
/// A limit was set by a person: passing it is never just past the threshold.
const LIMIT: f64 = 1.5;
/// Nothing is known of what a failed source would say.
const SOURCE: f64 = 3.0;

/// What speaks for an anomaly, one piece a metric or source.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Evidence {
    pub(super) of: Suspect,
    /// See the head of this file.
    pub(super) weight: f64,
}

/// A metric by its column; a source by its name, with the samples in a row that it has failed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Suspect {
    Metric(usize),
    Source(String, usize),
}

/// Whose word decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Nobody,
    Model,
    Limits,
    Source,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    /// The greatest of the three words; 0 when nothing speaks.
    pub(super) score: f64,
    pub(super) by: By,
    /// All pieces with any weight, in no order.
    pub(super) evidence: Vec<Evidence>,
    /// What the model's weights were divided by.
    pub(super) tolerance: f64,
    /// A limit is passed or a source is lost: the model is not alone with its word.
    pub(super) certain: bool,
}

impl Verdict {
    pub(super) fn none() -> Self {
        Self { score: 0.0, by: By::Nobody, evidence: Vec::new(), tolerance: 1.0, certain: false }
    }

    pub(super) fn is_anomaly(&self) -> bool {
        self.score > THRESHOLD
    }

    /// The factor by which the threshold is higher than usual, for whoever decided.
    pub(super) fn tolerated(&self) -> f64 {
        if self.by == By::Model { self.tolerance } else { 1.0 }
    }

    fn add(&mut self, by: By, evidence: Evidence) {
        if evidence.weight > self.score {
            (self.score, self.by) = (evidence.weight, by);
        }
        match self.evidence.iter_mut().find(|known| known.of == evidence.of) {
            Some(known) => known.weight = known.weight.max(evidence.weight),
            None if evidence.weight > 0.0 => self.evidence.push(evidence),
            None => {}
        }
    }
}

/// Judges the newest values of all columns. `said` is the model's word on them, `lost` are the sources that failed wholly.
pub(super) fn judge(
    columns: &[Column],
    live: Option<&Live>,
    said: Option<Judgement>,
    lost: &BTreeMap<String, usize>,
    tolerance: f64,
) -> Verdict {
    let mut verdict = Verdict::none();
    if let (Some(live), Some(said)) = (live, said) {
        by_model(live, said, tolerance, &mut verdict);
    }
    for (at, column) in columns.iter().enumerate() {
        if let Some(weight) = column.newest().and_then(|value| past_limit(value, &column.spec)) {
            verdict.certain = true;
            verdict.add(By::Limits, Evidence { of: Suspect::Metric(at), weight });
        }
    }
    for (source, samples) in lost {
        verdict.certain = true;
        let of = Suspect::Source(source.clone(), *samples);
        verdict.add(By::Source, Evidence { of, weight: SOURCE });
    }
    verdict
}

fn by_model(live: &Live, said: Judgement, tolerance: f64, verdict: &mut Verdict) {
    let score = said.score / tolerance;
    // What only the last minutes say was an anomaly when it happened.
    verdict.score = if said.is_now { score } else { score.min(THRESHOLD) };
    (verdict.by, verdict.tolerance) = (By::Model, tolerance);
    if verdict.is_anomaly() {
        let of_columns = live.columns.iter().zip(live.scorer.parts());
        let known = of_columns.filter_map(|(at, part)| Some((Suspect::Metric((*at)?), part)));
        let evidence = known.filter(|(_, part)| *part > 0.0);
        verdict.evidence = evidence.map(|(of, part)| Evidence { of, weight: part * verdict.score }).collect();
    }
}

/// The weight of a value that is past its limit; `None` when there is no limit or it is kept.
fn past_limit(value: f64, spec: &MetricSpec) -> Option<f64> {
    let limit = spec.limit.filter(|limit| limit.is_finite())?;
    let past = match spec.bad {
        Badness::High | Badness::Both => value > limit,
        Badness::Low => value < limit,
        Badness::Never => false,
    };
    // Halves: the difference of two finite values may not be one.
    let by = (value / 2.0 - limit / 2.0).abs() / (limit.abs() / 2.0).max(f64::MIN_POSITIVE);
    past.then_some(LIMIT + by.min(100.0))
}

/// Risk for people, 0 to 100: straight up to 50 at the threshold, then `100 - 50 / x^1.5` with `x` the score in
/// thresholds: 82 at twice, 94 at four times the threshold. Continuous and rising with the score.
pub(super) fn risk(score: f64) -> f64 {
    match score / THRESHOLD {
        x if x.is_nan() || x <= 0.0 => 0.0,
        x if x <= 1.0 => 50.0 * x,
        x => 100.0 - 50.0 / x.powf(1.5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn risk_is_50_at_the_threshold_and_rises_with_the_score() {
        assert_eq!(risk(THRESHOLD), 50.0);
        let scores = [-1.0, 0.0, 0.3, 0.99, 1.0, 1.01, 2.0, 4.0, 50.0, 1e5];
        assert!(scores.windows(2).all(|pair| risk(pair[0]) <= risk(pair[1])), "{:?}", scores.map(risk));
        assert!(scores.iter().all(|s| (0.0..=100.0).contains(&risk(*s))));
        assert_eq!(risk(f64::NAN), 0.0);
    }

    #[test]
    fn a_limit_is_passed_only_in_the_bad_direction() {
        let spec = |bad, limit| MetricSpec { bad, limit: Some(limit), ..MetricSpec::default() };
        assert_eq!(past_limit(0.5, &spec(Badness::High, 0.5)), None, "at the limit is not past it");
        assert_eq!(past_limit(0.75, &spec(Badness::High, 0.5)), Some(LIMIT + 0.5));
        assert_eq!(past_limit(0.75, &spec(Badness::Low, 0.5)), None);
        assert!(past_limit(0.25, &spec(Badness::Low, 0.5)).is_some());
        assert_eq!(past_limit(9.0, &spec(Badness::Never, 0.5)), None);
        assert_eq!(past_limit(9.0, &spec(Badness::High, f64::NAN)), None);
        assert_eq!(past_limit(f64::MAX, &spec(Badness::High, 0.0)), Some(LIMIT + 100.0));
    }
}

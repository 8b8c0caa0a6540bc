//! The detector as judge of the cure.

use crate::model::{Timestamp, Verdict, VerdictEvidence, VerifyPolicy};

/// A run was no cure when at most this part of the samples after it was normal...
const HARDLY_NORMAL: f64 = 0.2;
/// ...and the risk is still at least this part of what it was.
const HARDLY_LOWER: f64 = 0.8;

/// A reading, as far as a verdict needs it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// Time of the sample.
    pub at: Timestamp,
    /// Risk 0 to 100.
    pub risk: f64,
    /// Not an anomaly.
    pub normal: bool,
}

/// The verdict on a run that ended at `done_at`, from the readings since; `None` while it is too early to say.
///
/// Improved: the last `clear_samples` readings after `settle` were all normal. Otherwise the deadline decides: worse
/// when hardly any reading was normal and the risk hardly fell, inconclusive in between or without readings.
#[must_use]
pub fn judge(
    policy: &VerifyPolicy,
    risk_before: f64,
    done_at: Timestamp,
    readings: &[Observation],
    now: Timestamp,
) -> Option<(Verdict, VerdictEvidence)> {
    let settled = done_at.plus(policy.settle);
    let judged: Vec<_> = readings.iter().filter(|r| r.at >= settled).collect();
    let clear = policy.clear_samples as usize;
    let last: Vec<_> = judged.iter().rev().take(clear).collect();
    let evidence = |over: &[&Observation]| {
        let samples = u32::try_from(over.len()).unwrap_or(u32::MAX);
        let normal = u32::try_from(over.iter().filter(|r| r.normal).count()).unwrap_or(u32::MAX);
        let risk_after =
            if over.is_empty() { risk_before } else { over.iter().map(|r| r.risk).sum::<f64>() / f64::from(samples) };
        VerdictEvidence { risk_before, risk_after, samples, normal, doubt: None }
    };
    if clear > 0 && last.len() == clear && last.iter().all(|r| r.normal) {
        return Some((Verdict::Improved, evidence(&judged)));
    }
    if now < settled.plus(policy.deadline) {
        return None;
    }
    // The second half of the readings: what came of it, not how it began.
    let late = judged.get(judged.len() / 2..).unwrap_or_default();
    let evidence = evidence(late);
    let part_normal = f64::from(evidence.normal) / f64::from(evidence.samples.max(1));
    let no_better = evidence.samples > 0
        && part_normal <= HARDLY_NORMAL
        && evidence.risk_after >= HARDLY_LOWER * evidence.risk_before;
    Some((if no_better { Verdict::Worse } else { Verdict::Inconclusive }, evidence))
}

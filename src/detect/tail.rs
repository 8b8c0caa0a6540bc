//! The threshold from the tail of the scores: extreme value theory.
//!
//! Peaks over a threshold (Pickands 1975; Hosking & Wallis 1987): the peaks of the training scores, one a cluster, that lie
//! above a high quantile are given a generalised Pareto distribution by probability-weighted moments, and the threshold is
//! the level that they are expected to pass as often as the operator allows. Pure; called by training.

use super::scale::quantile;

/// The quantile of the scores above which the tail begins.
const BEGIN: f64 = 0.98;
/// Fewer peaks show nothing of a shape: the tail is taken for exponential.
const FEW: usize = 10;
/// Less often than this over the length of the training is beyond what it could show.
const BEYOND: f64 = 0.5;
/// A training of some days cannot know a heavier tail than this, and a bounded one would promise too much.
const SHAPES: std::ops::RangeInclusive<f64> = 0.0..=0.5;

/// The level that scores like these pass `times` times over the length of the training. `gap` is the number of samples
/// within which two excesses are one alarm.
pub(super) fn level(scores: &[f64], gap: usize, times: f64) -> f64 {
    let mut sorted: Vec<f64> = scores.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let begin = quantile(&sorted, BEGIN);
    let mut over: Vec<f64> = peaks(scores, begin, gap).into_iter().map(|peak| peak - begin).collect();
    over.sort_unstable_by(f64::total_cmp);
    let n = over.len() as f64;
    if over.is_empty() {
        return begin;
    }
    let mean = over.iter().sum::<f64>() / n;
    let weighted = over.iter().enumerate().map(|(i, y)| (n - 1.0 - i as f64) / (n - 1.0).max(1.0) * y).sum::<f64>() / n;
    let (shape, scale) = if over.len() < FEW || mean - 2.0 * weighted <= 0.0 {
        // So few may well have been small ones: some standard errors more, where the level lies beyond what was seen.
        let unsure = if over.len() < FEW && times < BEYOND { 1.0 + 2.5 / n.sqrt() } else { 1.0 };
        (0.0, mean * unsure)
    } else {
        let shape = (2.0 - mean / (mean - 2.0 * weighted)).clamp(*SHAPES.start(), *SHAPES.end());
        (shape, mean * (1.0 - shape))
    };
    let rarer = (n / times.max(f64::MIN_POSITIVE)).max(1.0);
    begin + if shape < 1e-6 { scale * rarer.ln() } else { scale / shape * (rarer.powf(shape) - 1.0) }
}

/// The greatest score of each cluster above a level.
pub(super) fn peaks(scores: &[f64], above: f64, gap: usize) -> Vec<f64> {
    let mut peaks: Vec<f64> = Vec::new();
    let mut last: Option<usize> = None;
    for (i, score) in scores.iter().enumerate().filter(|(_, score)| **score > above) {
        match peaks.last_mut() {
            Some(peak) if last.is_some_and(|last| i - last <= gap) => *peak = peak.max(*score),
            _ => peaks.push(*score),
        }
        last = Some(i);
    }
    peaks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::sim::Dice;

    /// Scores with an exponential tail, mean 1.
    fn scores(seed: u64, many: usize) -> Vec<f64> {
        let mut dice = Dice::new(seed);
        (0..many).map(|_| -(1.0 - dice.unit()).ln()).collect()
    }

    #[test]
    fn the_level_is_passed_about_as_often_as_was_asked_for() {
        for times in [5.0, 20.0, 60.0] {
            let found: usize = (0..20)
                .map(|seed| peaks(&scores(seed + 100, 10_000), level(&scores(seed, 10_000), 1, times), 1).len())
                .sum();
            let mean = found as f64 / 20.0;
            assert!(mean > 0.6 * times && mean < 1.6 * times, "{mean} for {times}");
        }
    }

    #[test]
    fn rarer_is_higher_also_beyond_what_was_seen() {
        let scores = scores(1, 2000);
        let levels: Vec<f64> = [100.0, 10.0, 1.0, 0.1, 0.001].iter().map(|t| level(&scores, 1, *t)).collect();
        assert!(levels.windows(2).all(|pair| pair[0] < pair[1]), "{levels:?}");
        assert!(levels.iter().all(|l| l.is_finite()));
    }

    #[test]
    fn excesses_near_each_other_are_one_peak() {
        assert_eq!(peaks(&[0.0, 2.0, 3.0, 0.0, 0.0, 2.5, 0.0, 4.0], 1.0, 2), [3.0, 4.0]);
        assert_eq!(peaks(&[0.0, 2.0, 3.0, 0.0, 0.0, 0.0, 2.5], 1.0, 2), [3.0, 2.5]);
    }

    #[test]
    fn scores_that_were_all_alike_have_a_level_of_their_own() {
        assert_eq!(level(&[0.5; 100], 2, 1.0), 0.5);
        assert!(level(&[], 2, 1.0).is_finite());
        assert!(level(&[1.0], 2, 0.0).is_finite());
    }
}

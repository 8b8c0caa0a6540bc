//! What the config says of the detector: the `[service.detect]` table.

use std::time::Duration;

use serde::Deserialize;

use super::Budget;
use crate::model::{LONGEST_SETTLE, duration_text};

/// Samples below which a model is not worth the name.
const LEAST_TRAINING: usize = 20;
/// Samples of the widest window: 100 metrics would take 160 MB.
const MOST_WINDOW: usize = 200_000;

/// How one service's metrics are judged.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectSettings {
    /// Samples before the first training.
    pub train_after: usize,
    /// Samples a model learns from at most: the rolling window.
    pub window: usize,
    /// Time between two trainings.
    #[serde(with = "duration_text")]
    pub retrain_every: Duration,
    /// Trees of the forest.
    pub trees: usize,
    /// Rows each tree is grown on.
    pub tree_samples: usize,
    /// An incident opens when this many...
    pub raise: usize,
    /// ...of this many samples in a row are anomalous.
    pub of: usize,
    /// It is over when this many samples in a row are normal.
    pub clear: usize,
    /// How many false alarms the operator can live with.
    pub false_alarms: Budget,
    /// After a deploy the model raises nothing for this long, when nobody says how long.
    #[serde(with = "duration_text")]
    pub settle: Duration,
    /// Part of the training samples that may lie above the threshold, 0 to 0.5.
    pub contamination: f64,
    /// Seed of the forest: the same samples give the same model.
    pub seed: u64,
}

impl Default for DetectSettings {
    fn default() -> Self {
        Self {
            train_after: 100,
            window: 10_000,
            retrain_every: Duration::from_secs(3600),
            trees: 100,
            tree_samples: 256,
            raise: 3,
            of: 5,
            clear: 5,
            false_alarms: Budget::default(),
            settle: Duration::from_secs(5 * 60),
            contamination: 0.005,
            seed: 7,
        }
    }
}

impl DetectSettings {
    /// What is wrong with these settings, each in one sentence that names the key and the remedy; empty when nothing is.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |good: bool, problem: String| {
            if !good {
                problems.push(problem);
            }
        };
        let Self {
            train_after,
            window,
            retrain_every,
            trees,
            tree_samples,
            raise,
            of,
            clear,
            false_alarms: _,
            settle,
            contamination,
            seed: _,
        } = self;
        check(
            *train_after >= LEAST_TRAINING,
            format!("train_after is {train_after}: fewer than {LEAST_TRAINING} samples show nothing; 100 is usual"),
        );
        check(
            window >= train_after,
            format!(
                "window is {window}, less than train_after ({train_after}): no model would ever be trained; raise window"
            ),
        );
        check(
            *window <= MOST_WINDOW,
            format!("window is {window}: more than {MOST_WINDOW} samples would fill the memory; 10000 is usual"),
        );
        check(
            *retrain_every >= Duration::from_secs(1),
            format!(
                "retrain_every is {}: less than a second is all training; 1h is usual",
                humantime::format_duration(*retrain_every)
            ),
        );
        check((1..=1000).contains(trees), format!("trees is {trees}: give 1 to 1000; 100 is usual"));
        check(
            (16..=65_536).contains(tree_samples),
            format!("tree_samples is {tree_samples}: give 16 to 65536; 256 is usual"),
        );
        check((1..=100).contains(of), format!("of is {of}: give 1 to 100 samples; 5 is usual"));
        check(
            *raise >= 1 && raise <= of,
            format!("raise is {raise}: give 1 to `of` ({of}), or no incident would ever open; 3 of 5 is usual"),
        );
        check((1..=10_000).contains(clear), format!("clear is {clear}: give 1 to 10000 samples; 5 is usual"));
        check(
            !settle.is_zero() && *settle <= LONGEST_SETTLE,
            format!(
                "settle is {}: give more than 0 and at most 1h, or a deploy would hide a night; 5m is usual",
                humantime::format_duration(*settle)
            ),
        );
        // Written so that NaN is refused too.
        check(
            (0.0..=0.5).contains(contamination),
            format!("contamination is {contamination}: a part of the training samples, 0 to 0.5; 0.005 is usual"),
        );
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_no_problems() {
        assert_eq!(DetectSettings::default().problems(), Vec::<String>::new());
    }

    #[test]
    fn every_problem_is_told_at_once_with_its_key() {
        let wrong = DetectSettings {
            train_after: 3,
            window: 2,
            retrain_every: Duration::ZERO,
            trees: 0,
            tree_samples: 1,
            raise: 6,
            of: 5,
            clear: 0,
            false_alarms: Budget::default(),
            settle: Duration::from_secs(3601),
            contamination: f64::NAN,
            seed: 7,
        };
        let problems = wrong.problems();
        let keys = [
            "train_after",
            "window",
            "retrain_every",
            "trees",
            "tree_samples",
            "raise",
            "clear",
            "settle",
            "contamination",
        ];
        assert_eq!(problems.len(), keys.len(), "{problems:#?}");
        for (problem, key) in problems.iter().zip(keys) {
            assert!(problem.starts_with(&format!("{key} is ")), "{problem}");
        }
    }
}

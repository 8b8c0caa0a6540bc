//! The score board: how well faults of each kind were found and healed, over many experiments.
//!
//! Counts experiments that are over and had a fault in; those that were broken off are counted apart and measured nowhere.
//! Where nothing was measured a cell stays empty: never a nought in its place. Called by `chaos score` and the command line.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::markdown::markdown;
use super::report::{Availability, Report};
use super::words::span;
use crate::chat::{Block, Card, pages};
use crate::model::number::humane;
use crate::model::{ExperimentOutcome, FaultKind};

/// All experiments on one board.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ScoreBoard {
    /// One row for each kind of fault there was, in the order of the documents; experiments with several kinds have a row of
    /// their own below.
    pub rows: Vec<ScoreRow>,
    /// All of them together; `None` when there are none.
    pub all: Option<ScoreRow>,
    /// Experiments that were broken off.
    pub aborted: u64,
}

/// One row of the board.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ScoreRow {
    /// The kind of fault: `latency`; `several` for experiments with more than one.
    pub fault: String,
    /// Experiments.
    pub runs: u64,
    /// In which an incident was opened that nobody called a false alarm.
    pub detected: u64,
    /// In which every incident was ended by a cure.
    pub healed: u64,
    /// Healed of detected, 0 to 1.
    pub healing_success: Option<f64>,
    /// From the first fault to the first incident.
    pub to_detect: Spread,
    /// From the first fault until the service was seen well again after every incident.
    pub to_repair: Spread,
    /// Incidents that people called false alarms.
    pub false_alarms: u64,
    /// The mean of the scores, 0 to 100.
    pub score: Option<f64>,
    /// How much of the time the bounds of the steady state were kept; `None` where no experiment has any.
    pub availability: Option<Availability>,
}

/// A mean and a 95th percentile in milliseconds, over those that were measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// How many were measured.
    pub measured: u64,
    /// The mean.
    pub mean_ms: Option<f64>,
    /// The nearest-rank 95th percentile: a value that was measured.
    pub p95_ms: Option<u64>,
}

impl Spread {
    /// Of these times.
    #[must_use]
    pub fn of(mut times: Vec<u64>) -> Self {
        times.sort_unstable();
        let measured = u64::try_from(times.len()).unwrap_or(u64::MAX);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds and counts far below 2^52")]
        let mean = |n: usize| times.iter().map(|ms| *ms as f64 / n as f64).sum();
        let mean_ms = (!times.is_empty()).then(|| mean(times.len()));
        Self { measured, mean_ms, p95_ms: nearest_rank(&times, 95) }
    }
}

/// The nearest-rank percentile of sorted values: the smallest that at least so many per cent are not above.
fn nearest_rank(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

impl ScoreBoard {
    /// Over these reports.
    #[must_use]
    pub fn of(reports: &[Report]) -> Self {
        let injected = |report: &&Report| report.faults.iter().any(|fault| fault.in_at.is_some());
        let over = |report: &&Report| {
            matches!(report.outcome, Some(ExperimentOutcome::Passed | ExperimentOutcome::Failed)) && injected(report)
        };
        // Kinds sort as the documents have them; several kinds, which are none, come last.
        let mut by_kind: BTreeMap<(bool, Option<FaultKind>), Vec<&Report>> = BTreeMap::new();
        for report in reports.iter().filter(over) {
            let kind = report.kind();
            by_kind.entry((kind.is_none(), kind)).or_default().push(report);
        }
        let all: Vec<_> = by_kind.values().flatten().copied().collect();
        let aborted = reports.iter().filter(|r| r.outcome == Some(ExperimentOutcome::Aborted)).count();
        let name = |kind: Option<FaultKind>| kind.map_or("several", FaultKind::name);
        Self {
            rows: by_kind.iter().map(|((_, kind), reports)| row(name(*kind), reports)).collect(),
            all: (!all.is_empty()).then(|| row("all", &all)),
            aborted: u64::try_from(aborted).unwrap_or(u64::MAX),
        }
    }

    /// As a card.
    #[must_use]
    pub fn card(&self) -> Card {
        let runs = self.all.as_ref().map_or(0, |all| all.runs);
        let title = format!("chaos score · {runs} {}", if runs == 1 { "experiment" } else { "experiments" });
        pages::answer(&title, self.blocks())
    }

    /// The body of the card.
    #[must_use]
    pub fn blocks(&self) -> Vec<Block> {
        if self.all.is_none() {
            let words = "No experiment is over yet; `chaos list` has those there are.";
            return vec![Block::Text(words.to_owned())];
        }
        const HEAD: [&str; 12] = [
            "fault",
            "runs",
            "detected",
            "healed",
            "success",
            "detect mean",
            "detect p95",
            "repair mean",
            "repair p95",
            "false alarms",
            "available",
            "score",
        ];
        let rows = self.rows.iter().chain(&self.all).map(ScoreRow::cells).collect();
        let mut blocks = vec![Block::Table { head: HEAD.map(str::to_owned).to_vec(), rows }];
        if self.aborted > 0 {
            blocks.push(Block::Text(format!("{} broken off, which count for nothing above.", self.aborted)));
        }
        blocks
    }

    /// As Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        markdown(&self.card())
    }

    /// As JSON, for machines.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        // Text, numbers and lists: this cannot fail.
        serde_json::to_value(self).unwrap_or_default()
    }
}

fn row(fault: &str, reports: &[&Report]) -> ScoreRow {
    let count = |holds: &dyn Fn(&Report) -> bool| {
        u64::try_from(reports.iter().filter(|report| holds(report)).count()).unwrap_or(u64::MAX)
    };
    let (detected, healed) = (count(&|report| report.found().next().is_some()), count(&Report::healed));
    let spread = |of: &dyn Fn(&Report) -> Option<u64>| Spread::of(reports.iter().filter_map(|r| of(r)).collect());
    let false_alarms = reports.iter().flat_map(|report| &report.incidents).filter(|i| i.false_alarm).count();
    let scores: Vec<f64> = reports.iter().filter_map(|r| Some(f64::from(r.score.as_ref()?.points))).collect();
    let availability = reports.iter().filter_map(|report| report.availability).reduce(|a, b| Availability {
        kept_ms: a.kept_ms.saturating_add(b.kept_ms),
        of_ms: a.of_ms.saturating_add(b.of_ms),
    });
    #[expect(clippy::cast_precision_loss, reason = "counts of experiments are small")]
    let share = |part: u64, of: u64| (of > 0).then(|| part as f64 / of as f64);
    #[expect(clippy::cast_precision_loss, reason = "counts of experiments are small")]
    let mean = |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    ScoreRow {
        fault: fault.to_owned(),
        runs: u64::try_from(reports.len()).unwrap_or(u64::MAX),
        detected,
        healed,
        healing_success: share(healed, detected),
        to_detect: spread(&|report| report.times.to_detect_ms),
        to_repair: spread(&|report| report.times.to_recover_ms),
        false_alarms: u64::try_from(false_alarms).unwrap_or(u64::MAX),
        score: mean(&scores),
        availability,
    }
}

impl ScoreRow {
    /// As cells of the table; empty where nothing was measured.
    fn cells(&self) -> Vec<String> {
        let share = |part: Option<f64>| part.map(|part| humane(part, "ratio")).unwrap_or_default();
        let mean = |ms: Option<f64>| ms.map(|ms| humane(ms, "ms")).unwrap_or_default();
        let p95 = |ms: Option<u64>| ms.map(|ms| span(Duration::from_millis(ms))).unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "milliseconds far below 2^52")]
        let available = self.availability.filter(|a| a.of_ms > 0).map(|a| a.kept_ms as f64 / a.of_ms as f64);
        vec![
            self.fault.clone(),
            self.runs.to_string(),
            self.detected.to_string(),
            self.healed.to_string(),
            share(self.healing_success),
            mean(self.to_detect.mean_ms),
            p95(self.to_detect.p95_ms),
            mean(self.to_repair.mean_ms),
            p95(self.to_repair.p95_ms),
            self.false_alarms.to_string(),
            share(available),
            self.score.map(|score| format!("{score:.0}")).unwrap_or_default(),
        ]
    }
}

#[cfg(test)]
mod tests;

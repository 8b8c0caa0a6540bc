//! What a detector is worth: one series measured, and many put together. No measure moves a label to where an alarm is
//! ("point adjustment"), for that makes chance look good. Called by the command line and by `suite`.

use std::collections::BTreeSet;

use super::alarm::{Alarms, within};
use super::curve::Curve;
use super::labels::Label;
use super::scores::Series;
use super::vus::vus_pr;

/// False alarms a day that people may be ready to bear: one in ten days, one in five, one a day, one a shift.
pub const BUDGETS: [f64; 4] = [0.1, 0.2, 1.0, 3.0];

/// One series. A measure is missing where it has no meaning, such as an area without an anomalous row.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Area under the ROC curve.
    pub roc_auc: Option<f64>,
    /// Average precision.
    pub pr_auc: Option<f64>,
    /// The best point-wise F1 of any threshold.
    pub best_f1: Option<f64>,
    /// Volume under the PR surface.
    pub vus_pr: Option<f64>,
    /// How many events there are.
    pub events: usize,
    /// Days in which an alarm would be false.
    pub days: f64,
    /// For each of [`BUDGETS`]; empty without events.
    pub within: Vec<Within>,
    /// What the alarm flag did.
    pub shipped: Shipped,
    /// Whether the right metrics were blamed, if the labels say which those are.
    pub culprit: Option<Culprit>,
}

/// What the best threshold finds within a budget of false alarms.
#[derive(Clone, Debug, Default)]
pub struct Within {
    /// Events found.
    pub found: usize,
    /// Seconds until each of those was found.
    pub delays: Vec<f64>,
}

/// What the alarm flag as shipped did. The first four are rows.
#[derive(Clone, Debug, Default)]
pub struct Shipped {
    /// Anomalous and flagged.
    pub tp: usize,
    /// Normal and flagged.
    pub fp: usize,
    /// Anomalous and not flagged.
    pub fn_: usize,
    /// Normal and not flagged.
    pub tn: usize,
    /// Events found.
    pub found: usize,
    /// False alarms.
    pub false_alarms: usize,
    /// Seconds until each event was found.
    pub delays: Vec<f64>,
    /// Events that began under an alarm of the quarter of an hour before.
    pub led: usize,
}

/// Whether the right metrics were blamed, at the worst row of each event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Culprit {
    /// Events whose culprits are known.
    pub events: usize,
    /// The first name was one of them.
    pub hit1: usize,
    /// One of the first three was.
    pub hit3: usize,
}

/// Measures one series.
#[must_use]
pub fn measure(series: &Series) -> Measured {
    let known: Vec<bool> = series.labels.iter().map(|label| *label != Label::Unknown).collect();
    let (labels, scores) = (only(&series.labels, &known), only(&series.scores, &known));
    let curve = curve(series);
    let alarms = Alarms::of(&series.labels, series.interval);
    Measured {
        roc_auc: curve.as_ref().map(Curve::roc_auc),
        pr_auc: curve.as_ref().map(Curve::pr_auc),
        best_f1: curve.as_ref().map(Curve::best_f1),
        vus_pr: vus_pr(&labels, &scores),
        events: alarms.events().len(),
        days: alarms.days(),
        within: budgets(&alarms, series),
        shipped: shipped(&alarms, series),
        culprit: culprit(&alarms, series),
    }
}

/// The curves of a series; none when there is nothing to tell apart.
pub(super) fn curve(series: &Series) -> Option<Curve> {
    let known: Vec<bool> = series.labels.iter().map(|label| *label != Label::Unknown).collect();
    let anomalous: Vec<bool> = only(&series.labels, &known).iter().map(|label| *label == Label::Anomalous).collect();
    Curve::of(&anomalous, &only(&series.scores, &known))
}

fn only<T: Copy>(all: &[T], keep: &[bool]) -> Vec<T> {
    all.iter().zip(keep).filter(|(_, keep)| **keep).map(|(one, _)| *one).collect()
}

fn budgets(alarms: &Alarms, series: &Series) -> Vec<Within> {
    if alarms.events().is_empty() {
        return Vec::new();
    }
    let tried = alarms.sweep(&series.scores);
    let at = |budget| match within(&tried, budget) {
        None => Within::default(),
        Some(best) => {
            let delays = alarms.delays(|row| series.scores.get(row).is_some_and(|score| *score >= best.threshold));
            Within { found: best.found, delays: in_seconds(&delays, series.interval) }
        }
    };
    BUDGETS.into_iter().map(at).collect()
}

fn in_seconds(delays: &[Option<usize>], interval: f64) -> Vec<f64> {
    delays.iter().flatten().map(|rows| *rows as f64 * interval).collect()
}

fn shipped(alarms: &Alarms, series: &Series) -> Shipped {
    let mut shipped = Shipped::default();
    for (label, alarm) in series.labels.iter().zip(&series.alarms) {
        match (label, alarm) {
            (Label::Anomalous, true) => shipped.tp += 1,
            (Label::Anomalous, false) => shipped.fn_ += 1,
            (Label::Normal, true) => shipped.fp += 1,
            (Label::Normal, false) => shipped.tn += 1,
            (Label::Unknown, _) => {}
        }
    }
    let flagged = |row: usize| series.alarms.get(row) == Some(&true);
    shipped.delays = in_seconds(&alarms.delays(flagged), series.interval);
    shipped.found = shipped.delays.len();
    shipped.false_alarms = alarms.false_alarms(series.alarms.iter().copied());
    shipped.led = alarms.led(flagged);
    shipped
}

fn culprit(alarms: &Alarms, series: &Series) -> Option<Culprit> {
    let truth = series.culprits.as_ref()?;
    let mut culprit = Culprit::default();
    for event in alarms.events() {
        let names: BTreeSet<&String> = truth.get(event.clone()).unwrap_or_default().iter().flatten().collect();
        if names.is_empty() {
            continue;
        }
        culprit.events += 1;
        let blamed = worst_row(series, event.clone()).and_then(|row| series.blamed.get(row));
        let blamed = blamed.map(Vec::as_slice).unwrap_or_default();
        culprit.hit1 += usize::from(blamed.first().is_some_and(|name| names.contains(name)));
        culprit.hit3 += usize::from(blamed.iter().take(3).any(|name| names.contains(name)));
    }
    Some(culprit)
}

/// The first row with the highest score.
fn worst_row(series: &Series, rows: std::ops::Range<usize>) -> Option<usize> {
    let mut worst: Option<(usize, f64)> = None;
    for row in rows {
        let score = *series.scores.get(row)?;
        if worst.is_none_or(|(_, before)| score > before) {
            worst = Some((row, score));
        }
    }
    worst.map(|(row, _)| row)
}

/// Many series, as one. Shares are rounded to four digits.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The mean over the series that have one.
    pub roc_auc: Option<f64>,
    /// The mean over the series that have one.
    pub pr_auc: Option<f64>,
    /// The mean over the series that have one.
    pub best_f1: Option<f64>,
    /// The mean over the series that have one.
    pub vus_pr: Option<f64>,
    /// How many series.
    pub series: usize,
    /// How many events in all.
    pub events: usize,
    /// Days in which an alarm would be false, in all, to one digit.
    pub normal_days: f64,
    /// For each of [`BUDGETS`], the share of events found and the median delay in seconds; empty without events.
    pub within: Vec<(f64, Option<f64>)>,
    /// All counts of the alarm flag, added up.
    pub shipped: Shipped,
    /// What they come to.
    pub rates: Rates,
    /// Added up; missing when no culprit is known.
    pub culprit: Option<Culprit>,
}

/// What the counts of the alarm flag come to. A rate of nothing is missing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// Rows judged rightly, of all.
    pub accuracy: Option<f64>,
    /// Normal rows that were flagged.
    pub fpr: Option<f64>,
    /// Flagged rows that were anomalous.
    pub precision: Option<f64>,
    /// Anomalous rows that were flagged.
    pub recall: Option<f64>,
    /// Of precision and recall.
    pub f1: f64,
    /// Events found.
    pub event_recall: Option<f64>,
    /// False alarms a day.
    pub false_alarms_per_day: Option<f64>,
    /// Events found, of those and the false alarms.
    pub event_precision: Option<f64>,
    /// Seconds.
    pub median_delay: Option<f64>,
    /// Seconds, to one digit.
    pub mean_delay: Option<f64>,
}

/// Puts series together: areas as means, everything that is counted as sums.
#[must_use]
pub fn summarise(all: &[Measured]) -> Summary {
    let mean_of = |of: fn(&Measured) -> Option<f64>| {
        let some: Vec<f64> = all.iter().filter_map(of).collect();
        (!some.is_empty()).then(|| round(some.iter().sum::<f64>() / some.len() as f64, 4))
    };
    let events: usize = all.iter().map(|one| one.events).sum();
    let days: f64 = all.iter().map(|one| one.days).sum();
    let within = (0..if events > 0 { BUDGETS.len() } else { 0 }).map(|budget| {
        let some: Vec<&Within> = all.iter().filter_map(|one| one.within.get(budget)).collect();
        let found: usize = some.iter().map(|one| one.found).sum();
        let delays = some.iter().flat_map(|one| one.delays.iter().copied()).collect();
        (round(found as f64 / events as f64, 4), median(delays))
    });
    let mut shipped = Shipped::default();
    for one in all {
        shipped.add(&one.shipped);
    }
    let mut culprit = Culprit::default();
    for one in all.iter().filter_map(|one| one.culprit) {
        culprit.events += one.events;
        culprit.hit1 += one.hit1;
        culprit.hit3 += one.hit3;
    }
    Summary {
        roc_auc: mean_of(|one| one.roc_auc),
        pr_auc: mean_of(|one| one.pr_auc),
        best_f1: mean_of(|one| one.best_f1),
        vus_pr: mean_of(|one| one.vus_pr),
        series: all.len(),
        events,
        normal_days: (days * 10.0).round_ties_even() / 10.0,
        within: within.collect(),
        rates: shipped.rates(events, days),
        shipped,
        culprit: (culprit.events > 0).then_some(culprit),
    }
}

impl Shipped {
    fn add(&mut self, other: &Self) {
        self.tp += other.tp;
        self.fp += other.fp;
        self.fn_ += other.fn_;
        self.tn += other.tn;
        self.found += other.found;
        self.false_alarms += other.false_alarms;
        self.delays.extend(&other.delays);
        self.led += other.led;
    }

    fn rates(&self, events: usize, days: f64) -> Rates {
        let Self { tp, fp, fn_, tn, found, false_alarms, delays, .. } = self;
        let (precision, recall) = (ratio(*tp, (tp + fp) as f64), ratio(*tp, (tp + fn_) as f64));
        Rates {
            accuracy: ratio(tp + tn, (tp + fp + fn_ + tn) as f64),
            fpr: ratio(*fp, (fp + tn) as f64),
            precision,
            recall,
            f1: match (precision, recall) {
                (Some(p), Some(r)) if p > 0.0 && r > 0.0 => round(2.0 * p * r / (p + r), 4),
                _ => 0.0,
            },
            event_recall: ratio(*found, events as f64),
            // The definition rounds what is measured in days this way, and everything else exactly.
            false_alarms_per_day: (days > 0.0).then(|| (*false_alarms as f64 / days * 1e4).round_ties_even() / 1e4),
            event_precision: ratio(*found, (found + false_alarms) as f64),
            median_delay: median(delays.clone()),
            mean_delay: (!delays.is_empty()).then(|| round(delays.iter().sum::<f64>() / delays.len() as f64, 1)),
        }
    }
}

fn ratio(part: usize, of: f64) -> Option<f64> {
    (of > 0.0).then(|| round(part as f64 / of, 4))
}

/// Through text, for that is exact: multiplying first would round some halves the other way.
pub(super) fn round(value: f64, digits: usize) -> f64 {
    format!("{value:.digits$}").parse().unwrap_or(value)
}

/// The middle one, or halfway between the two in the middle.
pub(super) fn median(mut all: Vec<f64>) -> Option<f64> {
    all.sort_by(f64::total_cmp);
    let above = *all.get(all.len() / 2)?;
    if all.len() % 2 == 1 {
        return Some(above);
    }
    all.get(all.len() / 2 - 1).map(|below| (below + above) / 2.0)
}

#[cfg(test)]
mod tests;

//! Alarms over time: which events a flag finds and how late, and how many false alarms a day it costs. Called by
//! `measures`.
//!
//! A false alarm is a run of flagged rows outside the events, where the ten minutes after an event are forgiven; runs
//! closer than ten minutes are one, and every started hour of it counts again, so that one alarm that never ends is
//! not cheap. Rows that nobody could label count neither way. A row of less than a minute counts as a minute.

use std::ops::Range;

use super::labels::{Label, events};

const GRACE_SECONDS: usize = 600;
const GAP_SECONDS: usize = 600;
const AGAIN_SECONDS: usize = 3600;
const LEAD_SECONDS: usize = 900;
const DAY_SECONDS: f64 = 86400.0;

/// Thresholds that are tried, beside the highest score itself. They lie closer where fewer rows are flagged.
const THRESHOLDS: usize = 250;

/// What is known of one series' time.
#[derive(Clone, Debug)]
pub(super) struct Alarms {
    events: Vec<Range<usize>>,
    /// Rows where an alarm is not false.
    free: Vec<bool>,
    /// Seconds a row stands for.
    seconds: usize,
}

/// What a threshold gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tried {
    pub(super) threshold: f64,
    pub(super) false_per_day: f64,
    pub(super) found: usize,
}

impl Alarms {
    pub(super) fn of(labels: &[Label], interval: f64) -> Self {
        let seconds = interval.max(60.0).round() as usize;
        let events = events(labels);
        let mut free: Vec<bool> = labels.iter().map(|label| *label != Label::Normal).collect();
        for event in &events {
            let grace = (GRACE_SECONDS / seconds).max(1);
            free.iter_mut().skip(event.end).take(grace).for_each(|free| *free = true);
        }
        Self { events, free, seconds }
    }

    pub(super) fn events(&self) -> &[Range<usize>] {
        &self.events
    }

    /// Days in which an alarm would be false.
    pub(super) fn days(&self) -> f64 {
        let normal = self.free.iter().filter(|free| !**free).count();
        ((normal * self.seconds) as f64 / DAY_SECONDS).max(1e-9)
    }

    /// How many false alarms it is to flag these rows.
    pub(super) fn false_alarms(&self, flagged: impl Iterator<Item = bool>) -> usize {
        let gap = (GAP_SECONDS / self.seconds).max(2);
        let again = (AGAIN_SECONDS / self.seconds).max(6);
        let cost = |run: &Range<usize>| run.len().div_ceil(again);
        let mut count = 0;
        let mut run: Option<Range<usize>> = None;
        for (at, (flagged, free)) in flagged.zip(&self.free).enumerate() {
            if !flagged || *free {
                continue;
            }
            match &mut run {
                Some(run) if at - (run.end - 1) <= gap => run.end = at + 1,
                other => {
                    count += other.as_ref().map_or(0, cost);
                    *other = Some(at..at + 1);
                }
            }
        }
        count + run.as_ref().map_or(0, cost)
    }

    /// How many rows late each event is found, if it is.
    pub(super) fn delays(&self, flagged: impl Fn(usize) -> bool) -> Vec<Option<usize>> {
        self.events.iter().map(|event| event.clone().position(&flagged)).collect()
    }

    /// How many events begin under an alarm that was raised in the quarter of an hour before.
    pub(super) fn led(&self, flagged: impl Fn(usize) -> bool) -> usize {
        let lead = (LEAD_SECONDS / self.seconds).max(1);
        self.events.iter().filter(|event| (event.start.saturating_sub(lead)..event.start).any(&flagged)).count()
    }

    /// Tries thresholds from the middle score to the highest.
    pub(super) fn sweep(&self, scores: &[f64]) -> Vec<Tried> {
        let days = self.days();
        let worst: Vec<f64> = self
            .events
            .iter()
            .map(|event| {
                scores.get(event.clone()).unwrap_or_default().iter().copied().fold(f64::NEG_INFINITY, f64::max)
            })
            .collect();
        thresholds(scores)
            .into_iter()
            .map(|threshold| Tried {
                threshold,
                false_per_day: self.false_alarms(scores.iter().map(|score| *score >= threshold)) as f64 / days,
                found: worst.iter().filter(|score| **score >= threshold).count(),
            })
            .collect()
    }
}

/// The threshold that finds most events for at most so many false alarms a day; of equals, the highest.
pub(super) fn within(tried: &[Tried], per_day: f64) -> Option<Tried> {
    let affordable = tried.iter().copied().filter(|tried| tried.false_per_day <= per_day);
    affordable.max_by(|a, b| a.found.cmp(&b.found).then(a.threshold.total_cmp(&b.threshold)))
}

/// Quantiles at geometric steps, rising and each once.
fn thresholds(scores: &[f64]) -> Vec<f64> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (first, last) = (1.0 / scores.len() as f64, 0.5_f64);
    let (low, high) = (first.log10(), last.log10());
    let step = (high - low) / (THRESHOLDS - 1) as f64;
    let tail = (0..THRESHOLDS).map(|i| match i {
        0 => first,
        i if i + 1 == THRESHOLDS => last,
        i => 10_f64.powf(i as f64 * step + low),
    });
    let mut all: Vec<f64> = std::iter::once(0.0).chain(tail).filter_map(|t| quantile(&sorted, 1.0 - t)).collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    all
}

/// In a straight line between the two nearest, as numpy has it to the last digit: a threshold that is off by one digit
/// can lie on the other side of a score.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let place = (sorted.len().checked_sub(1)? as f64 * q).max(0.0);
    let below = *sorted.get(place.floor() as usize).or(sorted.last())?;
    let above = sorted.get(place.floor() as usize + 1).copied().unwrap_or(below);
    let (part, difference) = (place - place.floor(), above - below);
    Some(if part >= 0.5 { above - difference * (1.0 - part) } else { below + difference * part })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Vec<Label> {
        text.chars()
            .map(|c| match c {
                'x' => Label::Anomalous,
                '?' => Label::Unknown,
                _ => Label::Normal,
            })
            .collect()
    }

    fn false_alarms(interval: f64, labelled: &str, flagged: &str) -> usize {
        Alarms::of(&labels(labelled), interval).false_alarms(flagged.chars().map(|c| c == '#'))
    }

    #[test]
    fn false_alarms_are_runs_outside_events() {
        let cases = [
            ("none", 300.0, "..........", "..........", 0),
            ("one run", 300.0, "..........", ".##.......", 1),
            ("runs within ten minutes are one", 300.0, "..........", ".#.#......", 1),
            ("further apart they are two", 300.0, "..........", ".#..#.....", 2),
            ("in an event and ten minutes after it", 300.0, "..xx......", "..####....", 0),
            ("a row later", 300.0, "..xx......", "..#####...", 1),
            ("before an event", 300.0, "..xx......", ".#........", 1),
            ("where nobody knows", 300.0, "..??......", "..##......", 0),
            ("an hour and five minutes", 300.0, "...............", "#############..", 2),
            ("hours: one row of grace, six of one alarm", 3600.0, "x.........", ".########.", 2),
            ("seconds count as minutes", 1.0, "x..............", "############...", 1),
        ];
        for (case, interval, labelled, flagged, expected) in cases {
            assert_eq!(false_alarms(interval, labelled, flagged), expected, "{case}");
        }
    }

    #[test]
    fn delays_and_what_stood_before() {
        let alarms = Alarms::of(&labels("...xxx....xx"), 300.0);
        let flagged = [0, 5, 6];
        let is = |row: usize| flagged.contains(&row);
        assert_eq!(alarms.delays(is), [Some(2), None]);
        assert_eq!(alarms.led(is), 1);
        assert_eq!(alarms.led(|row| row == 7), 1);
        assert_eq!(alarms.led(|row| row == 6), 0);
    }

    #[test]
    fn quantiles_lie_between() {
        let sorted = [1.0, 2.0, 4.0];
        let cases = [(0.0, 1.0), (0.25, 1.5), (0.5, 2.0), (0.75, 3.0), (1.0, 4.0)];
        for (q, expected) in cases {
            assert_eq!(quantile(&sorted, q), Some(expected), "{q}");
        }
        assert_eq!(quantile(&[], 0.5), None);
    }
}

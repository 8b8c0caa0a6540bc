//! VUS-PR: the volume under the precision-recall surface over buffers around each event (Paparrizos et al., "Volume
//! Under the Surface", PVLDB 15(11), 2022), with the buffers that its opt variant takes. A label that is a few rows
//! early or late costs little there, where PR-AUC would punish it in full. Knows nothing of time. Called by
//! `measures`.

use std::ops::Range;

use super::labels::{Label, events};

/// Thresholds along the curve.
const THRESHOLDS: usize = 250;
/// The widest buffer, in rows.
const WIDEST: usize = 100;
/// From one buffer to the next. A step of 1 changes the third digit and takes four times as long.
const STEP: usize = 4;

/// A threshold: its score, and how many rows it flags.
struct Threshold {
    score: f64,
    flagged: usize,
}

/// None when all rows are anomalous or none is.
pub(super) fn vus_pr(labels: &[Label], scores: &[f64]) -> Option<f64> {
    let events = events(labels);
    let anomalous: Vec<bool> = labels.iter().map(|label| *label == Label::Anomalous).collect();
    let positives = anomalous.iter().filter(|anomalous| **anomalous).count();
    if positives == 0 || positives == labels.len() {
        return None;
    }
    let mut order: Vec<(f64, usize)> = scores.iter().copied().zip(0..).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    let thresholds = thresholds(&order);
    let right = at_thresholds(&order, &thresholds, |row| f64::from(u8::from(anomalous.get(row) == Some(&true))));
    let mut areas = Vec::new();
    for buffer in (0..=WIDEST).step_by(STEP) {
        let near = near(&anomalous, &events, buffer);
        let nearly = at_thresholds(&order, &thresholds, |row| near.get(row).copied().unwrap_or(0.0));
        let worst = worst(scores, &events, buffer);
        let (mut area, mut before) = (0.0, 0.0);
        for ((threshold, right), nearly) in thresholds.iter().zip(&right).zip(&nearly) {
            let found = worst.iter().filter(|score| **score >= threshold.score).count() as f64 / worst.len() as f64;
            let true_positives = right + nearly;
            let recall = (true_positives / (positives as f64 + nearly / 2.0)).min(1.0) * found;
            area += (recall - before) * true_positives / threshold.flagged as f64;
            before = recall;
        }
        areas.push(area);
    }
    Some(areas.iter().sum::<f64>() / areas.len() as f64)
}

/// Evenly spaced along the ranking; each flags all rows of its score.
fn thresholds(order: &[(f64, usize)]) -> Vec<Threshold> {
    let last = order.len().saturating_sub(1);
    let step = last as f64 / (THRESHOLDS - 1) as f64;
    (0..THRESHOLDS)
        .filter_map(|i| {
            let at = if i + 1 == THRESHOLDS { last } else { (i as f64 * step) as usize };
            let (score, _) = *order.get(at)?;
            Some(Threshold { score, flagged: order.partition_point(|(other, _)| *other >= score) })
        })
        .collect()
}

/// The sum of a value over the rows that each threshold flags. Thresholds do not rise.
fn at_thresholds(order: &[(f64, usize)], thresholds: &[Threshold], value: impl Fn(usize) -> f64) -> Vec<f64> {
    let (mut rows, mut taken, mut sum) = (order.iter(), 0, 0.0);
    thresholds
        .iter()
        .map(|threshold| {
            for (_, row) in rows.by_ref().take(threshold.flagged - taken) {
                sum += value(*row);
            }
            taken = threshold.flagged;
            sum
        })
        .collect()
}

/// How much a row that is not anomalous counts as if it were: less with each row away from an event, and nothing half a
/// buffer away.
fn near(anomalous: &[bool], events: &[Range<usize>], buffer: usize) -> Vec<f64> {
    let mut near = vec![0.0; anomalous.len()];
    if buffer == 0 {
        return near;
    }
    let weight = |away: usize| (1.0 - away as f64 / buffer as f64).sqrt();
    for event in events {
        for (away, near) in near.iter_mut().skip(event.end).take(buffer / 2).enumerate() {
            *near += weight(away + 1);
        }
        let from = event.start.saturating_sub(buffer / 2);
        for (at, near) in near.iter_mut().enumerate().take(event.start).skip(from) {
            *near += weight(event.start - at);
        }
    }
    for (near, anomalous) in near.iter_mut().zip(anomalous) {
        *near = if *anomalous { 0.0 } else { near.min(1.0) };
    }
    near
}

/// The worst score of each event with its buffer. Events whose buffers touch are one.
fn worst(scores: &[f64], events: &[Range<usize>], buffer: usize) -> Vec<f64> {
    let half = buffer / 2;
    let mut wide: Vec<Range<usize>> = Vec::new();
    for event in events {
        let (start, end) = (event.start.saturating_sub(half), (event.end + half).min(scores.len()));
        match wide.last_mut() {
            // Both ends belong to them, so they touch when one ends where the next begins.
            Some(last) if event.start <= last.end - 1 + half => last.end = end,
            _ => wide.push(start..end),
        }
    }
    wide.into_iter()
        .map(|rows| scores.get(rows).unwrap_or_default().iter().copied().fold(f64::NEG_INFINITY, f64::max))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_label_only_has_no_volume() {
        assert_eq!(vus_pr(&[Label::Normal; 3], &[1.0, 2.0, 3.0]), None);
        assert_eq!(vus_pr(&[Label::Anomalous; 3], &[1.0, 2.0, 3.0]), None);
    }

    #[test]
    fn a_near_miss_counts_for_more_than_a_far_one() {
        let mut labels = vec![Label::Normal; 400];
        labels[200..210].fill(Label::Anomalous);
        let volume = |from: usize| {
            let mut scores = vec![0.0; 400];
            scores[from..from + 10].fill(1.0);
            vus_pr(&labels, &scores).unwrap()
        };
        let (hit, near, far) = (volume(200), volume(190), volume(50));
        assert!(hit > near && near > far, "{hit} {near} {far}");
    }
}

//! Where a metric is heading, told from its last values.
//!
//! A *step* is looked for first: two parts with at most two samples between them, the second away from the first by at
//! least four times the noise, each of them flat, and most of the way made between the three samples before and the
//! three after. Else the Theil-Sen slope (the median of the slopes between
//! all pairs, so that a few wild samples do not matter; Sen 1968) over the whole length must make at least twice the
//! noise, with 7 of 10 pairs going that way, for *rising* or *falling*; failing that, the same over the newest
//! [`NEWEST`] values. The noise is the metric's learned deviation.
//!
//! Pure; called for the drivers of an anomaly only, some 200 pairs each.

use super::scale::{median, quantile};
use crate::model::Trend;

/// Values that are looked at.
const LENGTH: usize = 20;
/// A leak that has just begun shows in fewer: these are looked at by themselves when the whole is steady.
const NEWEST: usize = 8;
/// Height of a step, and the way of a slope, in noise.
const STEP: f64 = 4.0;
const SLOPE: f64 = 2.0;
/// Part of the pairs that must go the slope's way.
const AGREEING: f64 = 0.7;
/// The way a part may go within itself and still be flat, as part of the step's height.
const FLAT: f64 = 0.3;
/// Part of the height that must lie between the samples right before and right after: a ramp makes less.
const SUDDEN: f64 = 0.7;
/// Jumps of this part of the greatest one are looked at too.
const NEAR_GREATEST: f64 = 0.8;
/// Samples before a step that show where it came from, and as many after.
const BESIDE: usize = 3;

/// The trend of values in order of time, oldest first; the last [`LENGTH`] of them count.
pub(super) fn trend(values: &[f64], noise: f64) -> Trend {
    let y = values.get(values.len().saturating_sub(LENGTH)..).unwrap_or(values);
    // A metric without any noise: the least change counts.
    let noise = noise.max(f64::MIN_POSITIVE);
    if is_step(y, noise) {
        return Trend::Step;
    }
    let newest = y.get(y.len().saturating_sub(NEWEST)..).unwrap_or(y);
    match slope(y, noise) {
        Trend::Steady => slope(newest, noise),
        trend => trend,
    }
}

/// Rising or falling, by the slopes between all pairs.
fn slope(y: &[f64], noise: f64) -> Trend {
    let slopes = slopes(y);
    if slopes.len() < 3 {
        return Trend::Steady;
    }
    let (up, down) = (slopes.iter().filter(|s| **s > 0.0).count(), slopes.iter().filter(|s| **s < 0.0).count());
    let all = slopes.len() as f64;
    let agree = |count: usize| count as f64 >= AGREEING * all;
    let way = median(slopes) * y.len().saturating_sub(1) as f64;
    match way {
        w if w >= SLOPE * noise && agree(up) => Trend::Rising,
        w if w <= -SLOPE * noise && agree(down) => Trend::Falling,
        _ => Trend::Steady,
    }
}

fn slopes(y: &[f64]) -> Vec<f64> {
    let mut slopes = Vec::with_capacity(y.len() * y.len() / 2);
    for (i, a) in y.iter().enumerate() {
        slopes.extend(y.iter().enumerate().skip(i + 1).map(|(j, b)| (b - a) / (j - i) as f64));
    }
    slopes
}

/// Looks for the greatest jumps and asks of each whether it is a step: the greatest alone may lie a sample aside.
fn is_step(y: &[f64], noise: f64) -> bool {
    let mut jumps = Vec::with_capacity(3 * LENGTH);
    for end in BESIDE..y.len() {
        for start in end..(end + 3).min(y.len()) {
            let left = y.get(end - BESIDE..end).unwrap_or_default();
            let right = y.get(start..(start + BESIDE).min(y.len())).unwrap_or_default();
            jumps.push((apart(left, right), end, start));
        }
    }
    let greatest = jumps.iter().map(|(jump, ..)| *jump).fold(0.0, f64::max);
    let least = (NEAR_GREATEST * greatest).max(SUDDEN * STEP * noise);
    jumps.into_iter().filter(|(jump, ..)| *jump >= least).any(|(jump, end, start)| {
        let (Some(before), Some(after)) = (y.get(..end), y.get(start..)) else { return false };
        let height = apart(before, after);
        height >= STEP * noise && jump >= SUDDEN * height && way(before) <= FLAT * height && way(after) <= FLAT * height
    })
}

fn apart(a: &[f64], b: &[f64]) -> f64 {
    (middle(b) - middle(a)).abs()
}

/// The median of a part, without an allocation.
fn middle(part: &[f64]) -> f64 {
    let mut sorted = [0.0; LENGTH];
    let sorted = sorted.get_mut(..part.len().min(LENGTH)).unwrap_or_default();
    sorted.iter_mut().zip(part).for_each(|(place, value)| *place = *value);
    sorted.sort_unstable_by(f64::total_cmp);
    quantile(sorted, 0.5)
}

/// How far a part goes within itself: from the median of its first third to that of its last.
fn way(part: &[f64]) -> f64 {
    let third = part.len().div_ceil(3);
    let (Some(first), Some(last)) = (part.get(..third), part.get(part.len() - third..)) else { return 0.0 };
    apart(first, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wobble(i: usize) -> f64 {
        [0.0, 0.6, -0.4, 0.2, -0.7, 0.5, -0.2][i % 7]
    }

    #[test]
    fn a_jump_is_a_step_from_its_first_sample_on() {
        for after in 1..15 {
            let y: Vec<f64> = (0..20).map(|i| wobble(i) + if i >= 20 - after { 40.0 } else { 10.0 }).collect();
            assert_eq!(trend(&y, 1.0), Trend::Step, "{after} samples after the jump");
        }
        let down: Vec<f64> = (0..20).map(|i| if i < 15 { 1.0 } else { 0.5 }).collect();
        assert_eq!(trend(&down, 0.05), Trend::Step);
    }

    #[test]
    fn a_jump_that_takes_three_samples_is_a_step() {
        let y = [&[10.0; 10][..], &[20.0, 30.0], &[40.0; 6]].concat();
        assert_eq!(trend(&y, 1.0), Trend::Step);
    }

    #[test]
    fn a_leak_rises_and_a_drain_falls() {
        let ramp: Vec<f64> = (0..30).map(|i| 100.0 + 2.0 * i as f64 + wobble(i)).collect();
        assert_eq!(trend(&ramp, 1.0), Trend::Rising);
        assert_eq!(trend(&ramp.iter().map(|v| -v).collect::<Vec<_>>(), 1.0), Trend::Falling);
        let begun: Vec<f64> = (0..20).map(|i: usize| 100.0 + 4.0 * i.saturating_sub(10) as f64 + wobble(i)).collect();
        assert_eq!(trend(&begun, 1.0), Trend::Rising);
    }

    #[test]
    fn noise_and_too_little_are_steady() {
        assert_eq!(trend(&(0..30).map(wobble).collect::<Vec<_>>(), 1.0), Trend::Steady);
        assert_eq!(trend(&[], 1.0), Trend::Steady);
        assert_eq!(trend(&[1.0, 50.0], 1.0), Trend::Steady);
        assert_eq!(trend(&[0.0; 20], 0.0), Trend::Steady);
    }

    #[test]
    fn high_for_longer_than_is_looked_at_is_steady() {
        let y = [&[10.0; 5][..], &[40.0; 25]].concat();
        assert_eq!(trend(&y, 1.0), Trend::Steady);
    }
}

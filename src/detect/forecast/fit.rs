//! Is a window of buckets a steady way in one direction, and where does its line lead?
//!
//! The cheap questions come first, so that a metric that goes nowhere costs little: does each fifth of the window lie
//! beyond the one before, by about as much? Is what the tenths are off a straight line small against the way made?
//! (The way of a random walk is long too, but it wanders about its line by a good part of that way, and its tenths
//! show it where noise would have averaged out.) Then the Theil-Sen slope: the median of the slopes between all
//! pairs (Sen 1968, doi:10.1080/01621459.1968.10480934); and the Mann-Kendall test of the trend, its variance
//! corrected for samples that are like their neighbours (Hamed & Rao 1998, doi:10.1016/S0022-1694(97)00125-X).
//!
//! Pure. Must never divide by zero, overflow or give a NaN for finite values. Called by [`super::Outlook`] when a
//! bucket closes.

use super::buckets::{Bucket, KEPT, middle};
use crate::detect::scale::quantile;

/// Parts that a window is cut into to ask whether it goes on all the time. Windows are multiples of twice this.
const PARTS: usize = 5;
/// Finer parts, that show how far it wanders from its line.
const FINE: usize = 2 * PARTS;
/// Each fifth must make this part of the mean way of a fifth, and no more than that: less than half is a ramp that
/// is ending, about twice a step.
const EVEN: (f64, f64) = (0.4, 1.9);
/// Least way of the line, in deviations of the tenths from it. At 14 eight times as many random walks warn, and a ramp
/// is found half a minute sooner.
const STRAIGHT: f64 = 20.0;
/// Part of the window that may lie between two buckets: what happened in a longer hole is not known.
const HOLE: f64 = 0.25;
/// A slope less than this of the greatest value is rounding (numbers have 53 bits), not a way.
const ROUNDING: f64 = 1e-12;
/// Least z of the Mann-Kendall test: one in a thousand by chance.
const SIGNIFICANT: f64 = 3.09;

/// A window that goes one way. Its numbers are in units of `unit`, and those of a falling one with the sign turned:
/// what it says of "above" and "up" holds for "below" and "down".
#[derive(Clone, Copy, Debug)]
pub(super) struct Fit {
    pub(super) rising: bool,
    /// One of the numbers here in units of the metric: none of them overflows, however great the metric.
    pub(super) unit: f64,
    /// Time of the newest bucket, in ms.
    pub(super) at: i64,
    /// Time that the window spans, in ms.
    pub(super) span: f64,
    /// Value of the line at `at`.
    pub(super) level: f64,
    /// Value of the last tenth.
    pub(super) recent: f64,
    /// Change per ms, above 0.
    pub(super) slope: f64,
    /// Standard error of the slope, as part of it.
    pub(super) doubt: f64,
    /// Deviation of the buckets from the line.
    pub(super) spread: f64,
    /// The greatest bucket but one.
    pub(super) top: f64,
    /// How much farther it goes if it goes on slowing down as it does; the greatest number where it does not.
    pub(super) reach: f64,
    /// The range of what was before the window, the lowest number of none, and for how long it was seen, in ms.
    pub(super) former_top: f64,
    pub(super) former_bottom: f64,
    pub(super) known: f64,
}

/// What was before a window, in units of the metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct Former {
    pub(super) bottom: f64,
    pub(super) top: f64,
    /// For how long, in ms.
    pub(super) seen: f64,
}

/// The fit of a window, oldest first, whose length is a multiple of [`FINE`]; `None` when it goes nowhere in
/// particular. `former` gives what was before a time, and is asked last.
pub(super) fn fit(window: &[Bucket], former: impl FnOnce(i64) -> Option<Former>) -> Option<Fit> {
    let (first, last) = (window.first()?, window.last()?);
    let span = last.at.saturating_sub(first.at) as f64;
    let rising = goes_on(window)?;
    let hole = |(a, b): (&Bucket, &Bucket)| b.at.saturating_sub(a.at) as f64 > HOLE * span;
    if window.iter().zip(window.iter().skip(1)).any(hole) {
        return None;
    }
    let unit = window.iter().map(|b| b.value.abs()).fold(0.0, f64::max);
    let sign = if rising { 1.0 } else { -1.0 };
    let mut points = [Point::default(); KEPT];
    let points = points.get_mut(..window.len())?;
    for (point, bucket) in points.iter_mut().zip(window) {
        *point = Point { x: bucket.at.saturating_sub(first.at) as f64 / span, y: bucket.value / unit * sign };
    }
    let tenths = tenths(points);
    let line = Line::through(&tenths)?;
    let wander = Wander::about(line, &tenths);
    if line.slope < STRAIGHT * wander.deviation.max(ROUNDING) {
        return None;
    }
    let slope = theil_sen(points);
    let mut residuals = [0.0; KEPT];
    let residuals = residuals.get_mut(..window.len())?;
    residuals.iter_mut().zip(points.iter()).for_each(|(residual, p)| *residual = p.y - slope * p.x);
    if slope <= 0.0 || mann_kendall(points, residuals) < SIGNIFICANT {
        return None;
    }
    residuals.sort_unstable_by(f64::total_cmp);
    let start = quantile(residuals, 0.5);
    // Half of a normal distribution lies within 0.6745 deviations of its middle.
    let spread = (quantile(residuals, 0.75) - quantile(residuals, 0.25)) / (2.0 * 0.6745);
    let (early, late) = tenths.split_at(FINE / 2);
    let slowing = Line::through(early)?.slope - Line::through(late)?.slope;
    let late = Line::through(late)?.slope.max(0.0);
    // Half the points over half the time: a slope 2.8 times as uncertain; the difference of two, four times.
    // The middles of the halves are half a window apart, and a braking of `a` stops a speed of `v` after v^2 / 2a.
    let slows = slowing > 4.0 * wander.slope_error;
    let before = former(first.at);
    Some(Fit {
        rising,
        unit,
        at: last.at,
        span,
        level: start + slope,
        recent: tenths.last()?.y,
        slope: slope / span,
        doubt: wander.slope_error / slope,
        spread: spread.max(wander.deviation),
        top: second(points.iter().map(|p| p.y)),
        reach: if slows { late * late / (4.0 * slowing) } else { f64::MAX },
        former_top: before.map_or(f64::MIN, |f| if rising { f.top } else { -f.bottom } / unit),
        former_bottom: before.map_or(f64::MIN, |f| if rising { f.bottom } else { -f.top } / unit),
        known: before.map_or(0.0, |f| f.seen),
    })
}

/// The greatest but one, as one may be a burst; the only one of one.
pub(super) fn second(values: impl Iterator<Item = f64>) -> f64 {
    let (first, second) = values.fold((f64::MIN, f64::MIN), |(a, b), v| (a.max(v), b.max(a.min(v))));
    if second > f64::MIN { second } else { first }
}

/// Does each fifth go on where the one before ended? Whether upward.
fn goes_on(window: &[Bucket]) -> Option<bool> {
    let mut fifths = [0.0; PARTS];
    let (mut before, mut up) = (None, None);
    for (fifth, part) in fifths.iter_mut().zip(window.chunks(window.len() / PARTS)) {
        *fifth = middle_of(part.iter().map(|b| b.value));
        // Most metrics turn at the second step, and are done with here.
        if let Some(before) = before.replace(*fifth)
            && (*fifth == before || *up.get_or_insert(*fifth > before) != (*fifth > before))
        {
            return None;
        }
    }
    let even = (fifths.last()? - fifths.first()?) / (PARTS - 1) as f64;
    // No way, or one that is no finite number, makes every step a NaN or 0, and ends here.
    let steps = fifths.iter().zip(fifths.iter().skip(1)).map(|(a, b)| (b - a) / even);
    steps.fold(true, |all, step| all && step >= EVEN.0 && step <= EVEN.1).then_some(even > 0.0)
}

fn middle_of(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let mut held = [0.0; KEPT / PARTS];
    let count = values.len();
    held.iter_mut().zip(values).for_each(|(place, value)| *place = value);
    held.get_mut(..count).map_or(0.0, middle)
}

/// A value at a part of the window's time, 0 to 1.
#[derive(Clone, Copy, Debug, Default)]
struct Point {
    x: f64,
    y: f64,
}

fn tenths(points: &[Point]) -> [Point; FINE] {
    let mut tenths = [Point::default(); FINE];
    for (tenth, part) in tenths.iter_mut().zip(points.chunks(points.len() / FINE)) {
        let x = part.iter().map(|p| p.x).sum::<f64>() / part.len() as f64;
        *tenth = Point { x, y: middle_of(part.iter().map(|p| p.y)) };
    }
    tenths
}

/// A line of least squares.
#[derive(Clone, Copy, Debug)]
struct Line {
    middle: Point,
    slope: f64,
    /// Sum of the squares of the distances in time from the middle.
    breadth: f64,
}

impl Line {
    fn through(points: &[Point]) -> Option<Self> {
        let count = points.len() as f64;
        let middle = Point {
            x: points.iter().map(|p| p.x).sum::<f64>() / count,
            y: points.iter().map(|p| p.y).sum::<f64>() / count,
        };
        let breadth: f64 = points.iter().map(|p| (p.x - middle.x).powi(2)).sum();
        let slope = points.iter().map(|p| (p.x - middle.x) * (p.y - middle.y)).sum::<f64>() / breadth;
        slope.is_finite().then_some(Self { middle, slope, breadth })
    }

    fn miss(self, p: &Point) -> f64 {
        p.y - self.middle.y - self.slope * (p.x - self.middle.x)
    }
}

/// How points lie about their line.
#[derive(Clone, Copy, Debug)]
struct Wander {
    deviation: f64,
    slope_error: f64,
}

impl Wander {
    fn about(line: Line, points: &[Point]) -> Self {
        let misses = || points.iter().map(|p| line.miss(p));
        let squares: f64 = misses().map(|m| m * m).sum();
        let deviation = (squares / points.len().saturating_sub(2).max(1) as f64).sqrt();
        let neighbours: f64 = misses().zip(misses().skip(1)).map(|(a, b)| a * b).sum();
        // Points that are like their neighbours tell less than as many that are not (as for an AR(1) process).
        let alike = if squares > 0.0 { (neighbours / squares).clamp(0.0, 0.8) } else { 0.0 };
        let slope_error = deviation * ((1.0 + alike) / (1.0 - alike) / line.breadth).sqrt();
        Self { deviation, slope_error }
    }
}

/// The median of the slopes between all pairs.
fn theil_sen(points: &[Point]) -> f64 {
    let mut slopes = [0.0; KEPT * (KEPT - 1) / 2];
    let mut count = 0;
    for (i, a) in points.iter().enumerate() {
        for b in points.iter().skip(i + 1).filter(|b| b.x > a.x) {
            if let Some(place) = slopes.get_mut(count) {
                *place = (b.y - a.y) / (b.x - a.x);
                count += 1;
            }
        }
    }
    let Some(slopes) = slopes.get_mut(..count).filter(|s| !s.is_empty()) else { return 0.0 };
    *slopes.select_nth_unstable_by(count / 2, f64::total_cmp).1
}

/// z of the Mann-Kendall test for a rise. Ties are taken as if there were none, which makes it less, never more.
fn mann_kendall(points: &[Point], residuals: &[f64]) -> f64 {
    let mut score = 0.0;
    for (i, a) in points.iter().enumerate() {
        score += points.iter().skip(i + 1).map(|b| f64::from(i8::from(b.y > a.y) - i8::from(b.y < a.y))).sum::<f64>();
    }
    let n = points.len() as f64;
    let variance = n * (n - 1.0) * (2.0 * n + 5.0) / 18.0 * likeness(residuals);
    (score - 1.0) / variance.sqrt()
}

/// By how much neighbours that are alike make the variance of the score greater: 1 when they are not.
fn likeness(residuals: &[f64]) -> f64 {
    let n = residuals.len() as f64;
    let mut ranks = [0.0; KEPT];
    for (rank, a) in ranks.iter_mut().zip(residuals) {
        let (below, same) = residuals.iter().fold((0.0, 0.0), |(below, same), b| {
            (below + f64::from(u8::from(b < a)), same + f64::from(u8::from(b == a)))
        });
        // From the mean rank.
        *rank = below + (same - 1.0) / 2.0 - (n - 1.0) / 2.0;
    }
    let ranks = ranks.get(..residuals.len()).unwrap_or_default();
    let squares: f64 = ranks.iter().map(|r| r * r).sum();
    if squares == 0.0 {
        return 1.0;
    }
    let mut sum = 0.0;
    // Farther apart than a quarter of the window too few pairs are left.
    for lag in 1..=residuals.len() / 4 {
        let products: f64 = ranks.iter().zip(ranks.iter().skip(lag)).map(|(a, b)| a * b).sum();
        let (correlation, k) = (products / squares, lag as f64);
        // Only what is no chance (19 in 20); and likeness to the opposite is not let make the test easier.
        if correlation > 1.96 / n.sqrt() {
            sum += (n - k) * (n - k - 1.0) * (n - k - 2.0) * correlation;
        }
    }
    1.0 + 2.0 * sum / (n * (n - 1.0) * (n - 2.0))
}

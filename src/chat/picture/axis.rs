//! The two axes of a picture: what is where, which values and times are written beside it, and the course in pixels.

use std::time::Duration;

use super::Chart;
use super::canvas::Spot;
use crate::model::Timestamp;
use crate::model::number::humane;

/// Lines across that are aimed at.
const LINES: f64 = 5.0;
/// Most times below the picture: one takes up to 110 pixels.
const MOST_TIMES: f64 = 7.0;

/// Steps of a clock, in milliseconds.
const CLOCK_STEPS: [i64; 31] = [
    1,
    2,
    5,
    10,
    20,
    50,
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    15_000,
    30_000,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    30 * DAY,
    90 * DAY,
];
/// Seconds that people count in, from one second to a day.
const TIME_STEPS: [f64; 16] =
    [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 21_600.0, 43_200.0];
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// Values from the bottom to the top.
pub(super) struct Scale {
    low: f64,
    high: f64,
    step: f64,
    /// Edges in pixels, from above.
    top: f32,
    bottom: f32,
}

impl Scale {
    /// Room for all values, for the band, and for a word above the highest; `None` when there are no values.
    pub(super) fn over(points: &[(Timestamp, f64)], band: Option<(f64, f64)>, unit: &str) -> Option<Self> {
        let values = points.iter().map(|(_, v)| *v);
        let known = values.chain(band.into_iter().flat_map(|(low, high)| [low, high]).filter(|v| v.is_finite()));
        let (low, high) = known.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        // Bounded, so that no difference below becomes infinite.
        let (low, high) = (low.clamp(-1e300, 1e300), high.clamp(-1e300, 1e300));
        // A metric that never moves, as far as numbers can tell, is a line in the middle, whatever its size.
        let flat = high - low <= (high.abs().max(low.abs()) * 1e-12).max(1e-290);
        let slack = if flat { high.abs().max(1e-280) / 2.0 } else { 0.0 };
        let slack = if flat && high == 0.0 { 0.5 } else { slack };
        let (low, high) = (low - slack, high + slack);
        let range = high - low;
        // From zero where zero is near: a latency's height then means something.
        let floor = if low >= 0.0 && low < high / 2.0 { 0.0 } else { low - range * 0.12 };
        let high = high + (high - floor) * 0.17;
        let step = step_of((high - floor) / LINES, unit);
        (!points.is_empty()).then_some(Self { low: floor, high, step, top: 0.0, bottom: 1.0 })
    }

    /// The same between two edges in pixels.
    pub(super) fn between(self, top: f32, bottom: f32) -> Self {
        Self { top, bottom, ..self }
    }

    /// The height of a value; what lies outside is at the edge.
    pub(super) fn y(&self, value: f64) -> f32 {
        let part = ((self.high - value) / (self.high - self.low)).clamp(0.0, 1.0);
        self.top + (self.bottom - self.top) * as_f32(part)
    }

    /// The values that are written at the side, each in words that differ from those of its neighbours.
    pub(super) fn ticks(&self, unit: &str) -> Vec<(f64, String)> {
        let first = (self.low / self.step).ceil() * self.step;
        let values = (0..20).map(|i| first + f64::from(i) * self.step);
        let values: Vec<f64> = values.take_while(|v| *v <= self.high).map(|v| if v == 0.0 { 0.0 } else { v }).collect();
        let said: Vec<String> = values.iter().map(|v| humane(*v, unit)).collect();
        let same = |said: &[String]| said.windows(2).any(|pair| pair.first() == pair.last());
        // Rounded hard, values that are close to each other read the same.
        let said = if same(&said) { values.iter().map(|v| exact(*v, self.step, unit)).collect() } else { said };
        let mut ticks: Vec<(f64, String)> = values.into_iter().zip(said).collect();
        ticks.dedup_by(|a, b| a.1 == b.1);
        ticks
    }
}

/// A step of at least `least` that reads well in the unit.
fn step_of(least: f64, unit: &str) -> f64 {
    let least = least.max(1e-290);
    let seconds = match unit {
        "s" => 1.0,
        "ms" => 1000.0,
        _ => f64::INFINITY,
    };
    if (0.5 * seconds..=43_200.0 * seconds).contains(&least) {
        return TIME_STEPS.iter().map(|s| s * seconds).find(|s| *s >= least).unwrap_or(86_400.0 * seconds);
    }
    let base = match unit {
        "s" | "ms" if least > seconds => 86_400.0 * seconds,
        "bytes" | "bytes/s" if least >= 1.0 => 1024_f64.powf(least.log(1024.0).floor().min(5.0)),
        _ => 1.0,
    };
    let ten = base * 10_f64.powf((least / base).log10().floor());
    let step = [1.0, 2.0, 5.0].iter().map(|n| n * ten).find(|s| *s >= least).unwrap_or(ten * 10.0);
    // After 500 MiB comes 1 GiB.
    if base > 1.0 && unit.starts_with("bytes") && step > 500.0 * base { 1024.0 * base } else { step }
}

/// A value with as many digits as the step has.
fn exact(value: f64, step: f64, unit: &str) -> String {
    let (value, step, unit) = match unit {
        "ratio" => (value * 100.0, step * 100.0, "%"),
        "1/s" => (value, step, "per s"),
        unit => (value, step, unit),
    };
    let digits = (-step.log10()).ceil().clamp(0.0, 9.0) as usize;
    let number = if value.abs() < 1e12 { format!("{value:.digits$}") } else { format!("{value:.6e}") };
    format!("{number} {unit}").trim_end().to_owned()
}

/// Times from the left to the right.
pub(super) struct Times {
    from: f64,
    to: f64,
    left: f32,
    right: f32,
}

impl Times {
    /// From the chart's left edge to its right one, between two edges in pixels.
    pub(super) fn of(chart: &Chart, left: f32, right: f32) -> Self {
        let (from, to) = (millis(chart.from), millis(chart.to));
        // A single moment gets a little time around it.
        let slack = if to > from { 0.0 } else { (chart.interval.as_secs_f64() * 1000.0).clamp(1000.0, 1e12) };
        Self { from: from - slack, to: to + slack, left, right }
    }

    /// Where a time is.
    pub(super) fn x(&self, at: Timestamp) -> f32 {
        let part = ((millis(at) - self.from) / (self.to - self.from)).clamp(0.0, 1.0);
        self.left + (self.right - self.left) * as_f32(part)
    }

    /// The times that are written below: clock times, and days where there is more than one.
    pub(super) fn ticks(&self) -> Vec<(Timestamp, String)> {
        let span = self.to - self.from;
        let aim = span / MOST_TIMES;
        let step = CLOCK_STEPS.iter().copied().find(|s| *s as f64 >= aim).unwrap_or_else(|| {
            // Years, and as many as it takes.
            (365 * DAY).saturating_mul((aim / (365 * DAY) as f64).ceil() as i64)
        });
        let first = (self.from / step as f64).ceil() as i64;
        let at = |i: i64| Some(Timestamp(first.checked_add(i)?.checked_mul(step)?));
        let inside = |at: &Timestamp| millis(*at) <= self.to;
        (0..20).map_while(at).take_while(inside).filter_map(|at| Some((at, self.said(at, step)?))).collect()
    }

    fn said(&self, at: Timestamp, step: i64) -> Option<String> {
        let time = jiff::Timestamp::from_millisecond(at.0).ok()?;
        let days = self.to - self.from > DAY as f64;
        let form = match step {
            s if s > 90 * DAY => "%Y-%m-%d",
            s if s >= DAY => "%-d %b",
            _ if days && at.0.rem_euclid(DAY) == 0 => "%-d %b",
            s if s >= MINUTE => "%H:%M",
            s if s >= 1000 => "%H:%M:%S",
            _ => "%H:%M:%S%.3f",
        };
        Some(time.strftime(form).to_string())
    }
}

/// What one column of pixels holds.
#[derive(Clone, Copy)]
struct Column {
    first: Timestamp,
    least: (Timestamp, f64),
    greatest: (Timestamp, f64),
    last: Timestamp,
}

/// The course as lines in pixels, a new one after every gap. Of what falls into one column of pixels only the least and
/// the greatest value are drawn, so that no peak is lost and no picture takes long. The points must be in order.
pub(super) fn lines(points: &[(Timestamp, f64)], interval: Duration, times: &Times, scale: &Scale) -> Vec<Vec<Spot>> {
    let mut columns: Vec<(i32, Column)> = Vec::new();
    for &(at, value) in points {
        let x = times.x(at).floor() as i32;
        match columns.last_mut() {
            Some((before, column)) if *before == x => {
                column.last = at;
                if value < column.least.1 {
                    column.least = (at, value);
                }
                if value > column.greatest.1 {
                    column.greatest = (at, value);
                }
            }
            _ => columns.push((x, Column { first: at, least: (at, value), greatest: (at, value), last: at })),
        }
    }
    // Where it is not said how often is measured, nothing can be said to be missing.
    let reach = if interval.is_zero() { Duration::MAX } else { interval.saturating_add(interval / 2) };
    let mut lines: Vec<Vec<Spot>> = Vec::new();
    let mut before: Option<Timestamp> = None;
    for (_, column) in columns {
        if before.is_none_or(|before| column.first.since(before) > reach) {
            lines.push(Vec::new());
        }
        before = Some(column.last);
        let (a, b) = (column.least, column.greatest);
        let (a, b) = if a.0 <= b.0 { (a, b) } else { (b, a) };
        let Some(line) = lines.last_mut() else { continue };
        line.push((times.x(a.0), scale.y(a.1)));
        if a != b {
            line.push((times.x(b.0), scale.y(b.1)));
        }
    }
    lines
}

/// The parts of a line that lie above `edge` (smaller y), or below it.
pub(super) fn beyond(line: &[Spot], edge: f32, above: bool) -> Vec<Vec<Spot>> {
    let out = |p: &Spot| if above { p.1 < edge } else { p.1 > edge };
    let mut parts: Vec<Vec<Spot>> = Vec::new();
    let mut part: Vec<Spot> = Vec::new();
    let mut before: Option<Spot> = None;
    for &p in line {
        if let Some(b) = before.filter(|b| out(b) != out(&p)) {
            let cut = (b.0 + (p.0 - b.0) * ((edge - b.1) / (p.1 - b.1)).clamp(0.0, 1.0), edge);
            part.push(cut);
            if out(&b) {
                parts.push(std::mem::take(&mut part));
            }
        }
        if out(&p) {
            part.push(p);
        }
        before = Some(p);
    }
    parts.push(part);
    parts.retain(|part| !part.is_empty());
    parts
}

fn millis(at: Timestamp) -> f64 {
    at.0 as f64
}

fn as_f32(value: f64) -> f32 {
    value as f32
}

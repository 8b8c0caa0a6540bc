//! One metric over time as plain text: its course, its normal band, its gaps, and what happened when.
//!
//! Own code and no crate: those that draw in a terminal (textplots, rasciigraph) join the points over gaps, know
//! neither bands nor marks, or are no longer kept; what is needed here is a grid of characters. Must never draw a
//! value where none was measured. Used by the `chart` command; the same text goes into a chat message as fixed pitch.

use std::time::Duration;

use super::{Block, Card, Tone, clean};
use crate::model::number::humane;
use crate::model::{ServiceId, Timestamp};

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// Whose metric.
    pub service: ServiceId,
    /// Which.
    pub metric: String,
    /// Its unit, as in [`humane`].
    pub unit: String,
    /// The left edge.
    pub from: Timestamp,
    /// The right edge.
    pub to: Timestamp,
    /// How often it is measured; a hole of more than one and a half of it is a gap.
    pub interval: Duration,
    /// What was measured, oldest first. What is not finite is a gap.
    pub points: Vec<(Timestamp, f64)>,
    /// The usual range, low and high.
    pub band: Option<(f64, f64)>,
    /// What happened.
    pub marks: Vec<Mark>,
}

/// Something that happened at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at: Timestamp,
    /// What sort of thing.
    pub kind: MarkKind,
    /// In words: `INC-1 opened, high`.
    pub words: String,
}

/// What sort of thing a mark is; it has a letter below the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// The detector saw something: `!`.
    Anomaly,
    /// An action was done: `A`.
    Action,
    /// An action was taken back: `U`.
    Undo,
    /// The service was well again: `R`.
    Resolved,
    /// A fault was put in on purpose, or taken out: `F`.
    Fault,
}

impl MarkKind {
    pub(super) fn letter(self) -> char {
        match self {
            Self::Anomaly => '!',
            Self::Action => 'A',
            Self::Undo => 'U',
            Self::Resolved => 'R',
            Self::Fault => 'F',
        }
    }
}

/// Marks that are explained below the chart.
const MOST_MARKS: usize = 8;
/// Least columns for the course itself.
const NARROWEST: usize = 20;

/// What one column of the chart holds: the least and the greatest value measured in its time.
type Column = Option<(f64, f64)>;

/// The chart as a card of its own.
#[must_use]
pub fn card(chart: &Chart, width: usize, unicode: bool) -> Card {
    Card {
        title: format!("chart · {} · {}", chart.service, chart.metric),
        tone: Tone::Neutral,
        // The box around it takes four columns.
        blocks: vec![Block::Fixed(draw(chart, width.saturating_sub(4), 12, unicode))],
        settled: true,
        ..Card::default()
    }
}

/// Draws in at most `width` columns (40 to 160) and `height` rows for the course (4 to 40), and a few rows of legend.
#[must_use]
pub fn draw(chart: &Chart, width: usize, height: usize, unicode: bool) -> String {
    let (width, height) = (width.clamp(40, 160), height.clamp(4, 40));
    let inside = |at: Timestamp| chart.from <= at && at <= chart.to;
    let points: Vec<_> = chart.points.iter().copied().filter(|(at, v)| v.is_finite() && inside(*at)).collect();
    let Some(scale) = Scale::over(&points, chart.band, height) else {
        let what = format!("no values of {} {} from", chart.service, chart.metric);
        return clean::line(&format!("{what} {} to {} UTC", chart.from.clock_time(), chart.to.clock_time()));
    };
    let labels: Vec<String> = (0..height)
        .map(
            |row| if row % 3 == 0 || row + 1 == height { humane(scale.value(row), &chart.unit) } else { String::new() },
        )
        .map(|label| clean::shortened(&clean::line(&label), 16))
        .collect();
    let margin = labels.iter().map(|l| l.chars().count()).max().unwrap_or(0);
    let time = Axis::of(chart, width.saturating_sub(margin + 2).max(NARROWEST));
    let columns = time.columns(&points);
    let pen = if unicode { UNICODE_PEN } else { ASCII_PEN };

    let mut out = String::new();
    for (row, label) in labels.iter().enumerate() {
        let cells: String = columns.iter().map(|column| scale.cell(row, *column, chart.band, &pen)).collect();
        out.push_str(format!("{label:>margin$} {}{cells}", pen.axis).trim_end());
        out.push('\n');
    }
    let pad = " ".repeat(margin + 2);
    out.push_str(&format!("{}{}{}\n", " ".repeat(margin + 1), pen.corner, pen.floor.to_string().repeat(columns.len())));
    let marks: Vec<&Mark> = chart.marks.iter().filter(|m| inside(m.at)).collect();
    if !marks.is_empty() {
        let mut row = vec![' '; columns.len()];
        for mark in &marks {
            if let Some(cell) = row.get_mut(time.column_of(mark.at)) {
                *cell = mark.kind.letter();
            }
        }
        out.push_str(&format!("{pad}{}\n", row.iter().collect::<String>().trim_end()));
    }
    let (left, right) = (chart.from.clock_time(), format!("{} UTC", chart.to.clock_time()));
    let between = columns.len().saturating_sub(left.len() + right.len()).max(1);
    out.push_str(&format!("{pad}{left}{}{right}\n", " ".repeat(between)));
    legend(chart, &points, &marks, &pen, width, &mut out);
    out
}

fn legend(chart: &Chart, points: &[(Timestamp, f64)], marks: &[&Mark], pen: &Pen, width: usize, out: &mut String) {
    let unit = &chart.unit;
    let mut put = |line: String| {
        out.push_str(&clean::shortened(&clean::line(&line), width));
        out.push('\n');
    };
    let last = points.last().map(|(_, v)| format!("now {}", humane(*v, unit))).unwrap_or_default();
    match chart.band {
        Some((low, high)) => put(format!(
            "{last}; {} usual ({} to {}), {} outside of it",
            pen.band,
            humane(low, unit),
            humane(high, unit),
            pen.outside
        )),
        None => put(format!("{last}; nothing is known yet of what is usual")),
    }
    for mark in marks.iter().rev().take(MOST_MARKS).rev() {
        put(format!("{} {} {}", mark.kind.letter(), mark.at.clock_time(), mark.words));
    }
    if marks.len() > MOST_MARKS {
        put(format!("and {} earlier", marks.len() - MOST_MARKS));
    }
}

/// The characters that are drawn with.
struct Pen {
    inside: char,
    outside: char,
    band: char,
    axis: char,
    corner: char,
    floor: char,
}

const UNICODE_PEN: Pen = Pen { inside: '•', outside: '◆', band: '░', axis: '│', corner: '└', floor: '─' };
const ASCII_PEN: Pen = Pen { inside: '*', outside: '#', band: '.', axis: '|', corner: '+', floor: '-' };

/// The vertical axis: row 0 is the top.
struct Scale {
    low: f64,
    high: f64,
    height: usize,
}

impl Scale {
    /// Room for all values and the band; `None` when there are no values.
    fn over(points: &[(Timestamp, f64)], band: Option<(f64, f64)>, height: usize) -> Option<Self> {
        let values = points.iter().map(|(_, v)| *v);
        let known = values.chain(band.into_iter().flat_map(|(low, high)| [low, high]).filter(|v| v.is_finite()));
        let (low, high) = known.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        // Bounded, so that no difference below becomes infinite.
        let (low, high) = (low.clamp(-1e300, 1e300), high.clamp(-1e300, 1e300));
        // A metric that never moves is a line in the middle, whatever its size.
        let slack = if high > low { 0.0 } else { high.abs().max(1.0) / 2.0 };
        // From zero where zero is near: a latency's height then means something.
        let floor = if low > 0.0 && low < high / 2.0 { 0.0 } else { low - slack };
        (!points.is_empty()).then_some(Self { low: floor, high: high + slack, height })
    }

    /// The value in the middle of a row.
    fn value(&self, row: usize) -> f64 {
        let rows = self.height.saturating_sub(1).max(1);
        self.high - (self.high - self.low) * (as_f64(row) / as_f64(rows))
    }

    fn row(&self, value: f64) -> usize {
        let part = ((self.high - value) / (self.high - self.low)).clamp(0.0, 1.0);
        as_index(part * as_f64(self.height.saturating_sub(1)))
    }

    fn cell(&self, row: usize, column: Column, band: Option<(f64, f64)>, pen: &Pen) -> char {
        if let Some((least, greatest)) = column
            && (self.row(greatest)..=self.row(least)).contains(&row)
        {
            // The ends are what was measured; what lies between takes its height's word.
            let value = match row {
                r if r == self.row(greatest) => greatest,
                r if r == self.row(least) => least,
                r => self.value(r),
            };
            let usual = band.is_none_or(|(low, high)| (low..=high).contains(&value));
            return if usual { pen.inside } else { pen.outside };
        }
        let banded = band.is_some_and(|(low, high)| (self.row(high)..=self.row(low)).contains(&row));
        if banded { pen.band } else { ' ' }
    }
}

/// The horizontal axis.
struct Axis {
    from: Timestamp,
    /// Milliseconds a column.
    step: f64,
    columns: usize,
    /// Milliseconds within which a value speaks for a column that has none of its own.
    reach: f64,
}

impl Axis {
    /// Never more columns than values are to be expected, so that a column without one is a gap.
    fn of(chart: &Chart, room: usize) -> Self {
        let span = millis(chart.to.since(chart.from)).max(1.0);
        let interval = millis(chart.interval).max(1.0);
        let columns = as_index((span / interval).ceil().clamp(1.0, 1000.0)).clamp(1, room);
        // Few values get several columns each, or a chart of ten samples would be ten characters wide.
        let columns = columns * (room / columns).max(1);
        Self { from: chart.from, step: span / as_f64(columns), columns, reach: interval * 0.75 }
    }

    fn column_of(&self, at: Timestamp) -> usize {
        as_index((millis(at.since(self.from)) / self.step).floor()).min(self.columns.saturating_sub(1))
    }

    fn columns(&self, points: &[(Timestamp, f64)]) -> Vec<Column> {
        let mut columns: Vec<Column> = vec![None; self.columns];
        for (at, value) in points {
            if let Some(column) = columns.get_mut(self.column_of(*at)) {
                *column = Some(column.map_or((*value, *value), |(l, h)| (l.min(*value), h.max(*value))));
            }
        }
        let mut near = points.iter().copied().peekable();
        let mut before: Option<(Timestamp, f64)> = None;
        for (x, column) in columns.iter_mut().enumerate() {
            let middle = (as_f64(x) + 0.5) * self.step;
            let distance = |at: Timestamp| (millis(at.since(self.from)) - middle).abs();
            while let Some(point) = near.next_if(|(at, _)| millis(at.since(self.from)) <= middle) {
                before = Some(point);
            }
            if column.is_none() {
                let around = [before, near.peek().copied()].into_iter().flatten();
                let nearest = around.min_by(|a, b| distance(a.0).total_cmp(&distance(b.0)));
                *column = nearest.filter(|(at, _)| distance(*at) <= self.reach).map(|(_, v)| (v, v));
            }
        }
        columns
    }
}

fn millis(d: Duration) -> f64 {
    d.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "rows and columns are small")]
fn as_f64(n: usize) -> f64 {
    n as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and not negative by its callers")]
fn as_index(value: f64) -> usize {
    value.round().max(0.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: i64 = 1_793_620_800_000;

    fn chart(values: &[f64]) -> Chart {
        let at = |i: usize| Timestamp(START + 5000 * i as i64);
        Chart {
            service: "shop".into(),
            metric: "latency_p95".to_owned(),
            unit: "s".to_owned(),
            from: at(0),
            to: at(values.len().saturating_sub(1)),
            interval: Duration::from_secs(5),
            points: values.iter().enumerate().map(|(i, v)| (at(i), *v)).collect(),
            band: Some((0.012, 0.03)),
            marks: Vec::new(),
        }
    }

    fn fault_and_cure() -> Chart {
        let mut values = vec![0.018, 0.02, 0.017, 0.019, 0.021, 0.018, f64::NAN, f64::NAN, f64::NAN, 0.02, 0.019, 0.1];
        values.extend([0.22, 0.35, 0.41, 0.4, 0.412, 0.39, 0.2, 0.05, 0.02, 0.018, 0.019, 0.02, 0.018]);
        let mark = |i: i64, kind, words: &str| Mark { at: Timestamp(START + 5000 * i), kind, words: words.to_owned() };
        Chart {
            marks: vec![
                mark(13, MarkKind::Anomaly, "INC-1 opened, high"),
                mark(16, MarkKind::Action, "RUN-1 local:shop workers 2 -> 4"),
                mark(22, MarkKind::Resolved, "INC-1 resolved"),
            ],
            ..chart(&values)
        }
    }

    #[test]
    fn a_fault_and_its_cure() {
        let text = draw(&fault_and_cure(), 76, 10, true);
        assert!(text.lines().all(|l| l.chars().count() <= 76), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_same_in_ascii() {
        let text = draw(&fault_and_cure(), 60, 8, false);
        assert!(text.is_ascii());
        insta::assert_snapshot!(text);
    }

    #[test]
    fn nothing_measured_is_said_not_drawn() {
        assert_eq!(
            draw(&chart(&[f64::NAN]), 80, 10, true),
            "no values of shop latency_p95 from 12:00:00 to 12:00:00 UTC"
        );
    }

    #[test]
    fn a_gap_stays_empty() {
        let text = draw(&Chart { band: None, ..chart(&[1.0, f64::NAN, f64::NAN, f64::NAN, 1.0]) }, 60, 5, false);
        let line = text.lines().find(|l| l.contains('*')).unwrap();
        let course = line.split_once('|').unwrap().1;
        assert!(course.starts_with('*') && course.ends_with('*') && course.contains("        "), "{text}");
    }

    proptest! {
        #[test]
        fn any_values_are_drawn_within_bounds(
            values in proptest::collection::vec(any::<f64>(), 0..400),
            band in proptest::option::of((any::<f64>(), any::<f64>())),
            width in 0_usize..300, height in 0_usize..100, unicode in any::<bool>(),
        ) {
            let text = draw(&Chart { band, ..chart(&values) }, width, height, unicode);
            prop_assert!(text.lines().count() <= 50);
            prop_assert!(text.lines().all(|l| l.chars().count() <= 160));
        }
    }
}

//! One metric over time as a picture for a chat message: its course, its usual band, its gaps, and what happened when.
//!
//! Says with colour nothing that it does not also say with a word, a letter or a sort of line; [`words`] says all of it
//! without the picture. Must never draw a value where none was measured, trust a name, or take long: whatever the
//! chart holds, it is brought down to the picture's pixels first. Opens no font of the system's and writes no file.
//! Called by the adapters of platforms that can show pictures.

mod axis;
mod canvas;
mod labels;
#[cfg(test)]
mod tests;

use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use thiserror::Error;

use self::axis::{Scale, Times, beyond, lines};
use self::canvas::{Canvas, Font, Image, Spot, units};
use self::labels::{Label, place};
use super::chart::{Chart, Mark, MarkKind};
use super::clean;
use crate::model::Timestamp;
use crate::model::number::humane;

/// Width and height of every picture. Twice as wide as high is what Slack and Discord show without cutting.
pub const SIZE: (u32, u32) = (1000, 500);
/// Most characters of [`words`]: Discord takes 1024 as the description of a picture, Slack 2000.
pub const MOST_WORDS: usize = 1000;

/// Why there is no picture.
#[derive(Debug, Error)]
pub enum PictureError {
    /// Nothing finite was measured between the edges.
    #[error("nothing was measured from {from} to {to}: give a time in which there are values")]
    NoValues {
        /// The left edge.
        from: Timestamp,
        /// The right edge.
        to: Timestamp,
    },
    /// The right edge lies before the left one.
    #[error("the chart ends at {to}, before it begins at {from}: give the earlier time first")]
    Backwards {
        /// The left edge.
        from: Timestamp,
        /// The right edge.
        to: Timestamp,
    },
    /// The built-in font cannot be read.
    #[error("the built-in font cannot be read: this build is broken")]
    Font,
    /// Plotters failed.
    #[error("the chart could not be drawn: {0}")]
    Draw(String),
    /// The picture could not be written as PNG.
    #[error("the chart could not be written as PNG: {0}")]
    Encode(#[from] png::EncodingError),
}

const PAPER: RGBColor = RGBColor(252, 252, 253);
const FRAME: RGBColor = RGBColor(208, 214, 221);
const INK: RGBColor = RGBColor(31, 41, 51);
const QUIET: RGBColor = RGBColor(91, 102, 114);
const GRID: RGBColor = RGBColor(228, 232, 237);
const BAND: RGBColor = RGBColor(221, 238, 228);
const BAND_EDGE: RGBColor = RGBColor(130, 180, 150);
const BAND_INK: RGBColor = RGBColor(38, 99, 66);
const COURSE: RGBColor = RGBColor(35, 94, 160);
const UNUSUAL: RGBColor = RGBColor(196, 43, 60);

const WIDTH: f32 = 1000.0;
const HEIGHT: f32 = 500.0;
/// Around everything.
const MARGIN: f32 = 26.0;
/// Where the plot ends on the right; the word beside the band stands after it.
const RIGHT: f32 = WIDTH - 92.0;
const BOTTOM: f32 = HEIGHT - 52.0;
/// Middle of the first row of labels, and the height of each.
const ROWS_FROM: f32 = 112.0;
const ROW: f32 = 30.0;

const TITLE: f32 = 28.0;
/// Chats show pictures at about half their size; smaller text could not be read there.
const LABEL: f32 = 18.0;
const MARK_RADIUS: f32 = 11.0;
const COURSE_WIDTH: f32 = 3.0;

/// Longest name in the sentence and in the title, in characters.
const MOST_NAME: usize = 60;
/// Marks that get words, the latest ones: as in the text chart.
const MOST_MARKS: usize = 8;
/// Up to so many values each gets a dot.
const MOST_DOTS: usize = 60;

/// How a mark looks besides its letter: its colour, and the dashes and spaces of its line.
struct Look {
    color: RGBColor,
    dash: Option<(f32, f32)>,
}

fn look(kind: MarkKind) -> Look {
    match kind {
        MarkKind::Anomaly => Look { color: UNUSUAL, dash: None },
        MarkKind::Action => Look { color: RGBColor(106, 61, 154), dash: Some((12.0, 7.0)) },
        MarkKind::Undo => Look { color: RGBColor(163, 89, 10), dash: Some((1.0, 8.0)) },
        MarkKind::Resolved => Look { color: RGBColor(31, 122, 77), dash: Some((5.0, 6.0)) },
        MarkKind::Fault => Look { color: INK, dash: Some((9.0, 3.0)) },
    }
}

/// What of a chart can be drawn: in order, finite, between the edges.
struct View<'a> {
    chart: &'a Chart,
    points: Vec<(Timestamp, f64)>,
    band: Option<(f64, f64)>,
    marks: Vec<&'a Mark>,
}

impl<'a> View<'a> {
    fn of(chart: &'a Chart) -> Self {
        let inside = |at: Timestamp| chart.from <= at && at <= chart.to;
        let mut points: Vec<_> = chart.points.iter().copied().filter(|(at, v)| v.is_finite() && inside(*at)).collect();
        if !points.is_sorted_by_key(|(at, _)| *at) {
            points.sort_by_key(|(at, _)| *at);
        }
        let band = chart.band.filter(|(low, high)| !low.is_nan() && !high.is_nan());
        let band = band.map(|(low, high)| (low.min(high), low.max(high)));
        let mut marks: Vec<&Mark> = chart.marks.iter().filter(|m| inside(m.at)).collect();
        marks.sort_by_key(|m| m.at);
        Self { chart, points, band, marks }
    }

    /// The least and the greatest value, each with its time; the first of equal ones.
    fn extremes(&self) -> Option<((Timestamp, f64), (Timestamp, f64))> {
        let first = *self.points.first()?;
        Some(self.points.iter().fold((first, first), |(least, most), p| {
            (if p.1 < least.1 { *p } else { least }, if p.1 > most.1 { *p } else { most })
        }))
    }

    fn humane(&self, value: f64) -> String {
        clean::shortened(&clean::line(&humane(value, &self.chart.unit)), 24)
    }

    /// `usually 10 ms to 30 ms`.
    fn usual(&self) -> Option<String> {
        let (low, high) = self.band?;
        match (low.is_finite(), high.is_finite()) {
            (true, true) => Some(format!("usually {} to {}", self.humane(low), self.humane(high))),
            (true, false) => Some(format!("usually {} and more", self.humane(low))),
            (false, true) => Some(format!("usually {} and less", self.humane(high))),
            (false, false) => None,
        }
    }

    /// A time of day, with the day where the chart has more than one.
    fn moment(&self, at: Timestamp) -> String {
        let day = |at: Timestamp| at.0.div_euclid(axis::DAY);
        if day(self.chart.from) == day(self.chart.to) { at.clock_time() } else { dated(at) }
    }

    /// `12:00:00 to 12:10:00 UTC`.
    fn span(&self) -> String {
        format!("{} to {} UTC", self.moment(self.chart.from), self.moment(self.chart.to))
    }
}

/// `2026-11-02 12:00:00`.
fn dated(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.to_string(), |t| t.strftime("%F %T").to_string())
}

fn name(text: &str) -> String {
    clean::shortened(&clean::line(text), MOST_NAME)
}

/// The picture in a sentence, for those who do not see it: at most [`MOST_WORDS`] characters, one line, cleaned.
#[must_use]
pub fn words(chart: &Chart) -> String {
    let view = View::of(chart);
    let mut out = format!("{} of {} from {}: ", name(&chart.metric), name(&chart.service.0), view.span());
    match view.extremes() {
        Some((least, most)) if least.1 == most.1 => out.push_str(&format!("always {}", view.humane(least.1))),
        Some((least, most)) => {
            out.push_str(&format!("between {} and {}", view.humane(least.1), view.humane(most.1)));
        }
        None => out.push_str("nothing was measured"),
    }
    if let Some(usual) = view.usual() {
        out.push_str(&format!(", {usual}"));
    }
    let earlier = view.marks.len().saturating_sub(MOST_MARKS);
    if earlier > 0 {
        out.push_str(&format!("; {earlier} earlier marks"));
    }
    for mark in view.marks.iter().skip(earlier) {
        out.push_str(&format!("; {} {}", view.moment(mark.at), clean::shortened(&clean::line(&mark.words), 80)));
    }
    clean::shortened(&out, MOST_WORDS)
}

/// Draws the chart as PNG, [`SIZE`] pixels, in sRGB. Takes some milliseconds: not for a task that must answer at once.
///
/// # Errors
/// When there is nothing to draw; the others mean that this build is broken.
pub fn png(chart: &Chart) -> Result<Vec<u8>, PictureError> {
    if chart.from > chart.to {
        return Err(PictureError::Backwards { from: chart.from, to: chart.to });
    }
    let view = View::of(chart);
    let scale = Scale::over(&view.points, view.band, &chart.unit);
    let scale = scale.ok_or(PictureError::NoValues { from: chart.from, to: chart.to })?;
    let font = Font::load()?;
    let mut image = Image::new(SIZE.0 as usize, SIZE.1 as usize, [PAPER.0, PAPER.1, PAPER.2]);
    Sketch { area: Canvas::over(&mut image, &font).into_drawing_area(), font: &font }.draw(&view, scale)?;
    image.png()
}

type Drawn = Result<(), PictureError>;

/// The picture while it is drawn; everything in pixels.
struct Sketch<'a> {
    area: DrawingArea<Canvas<'a>, Shift>,
    font: &'a Font,
}

impl Sketch<'_> {
    fn draw(&self, view: &View<'_>, scale: Scale) -> Drawn {
        let ticks: Vec<(f64, String)> = scale
            .ticks(&view.chart.unit)
            .into_iter()
            .map(|(value, said)| (value, self.font.fitted(&clean::line(&said), LABEL, 150.0)))
            .collect();
        let widest = ticks.iter().map(|(_, said)| self.font.width(said, LABEL)).fold(40.0, f32::max);
        let left = MARGIN + widest + 12.0;
        let times = Times::of(view.chart, left, RIGHT);

        let latest = view.marks.len().saturating_sub(MOST_MARKS);
        let (earlier, latest) = view.marks.split_at_checked(latest).unwrap_or_default();
        let at = |marks: &[&'_ Mark]| marks.iter().map(|m| times.x(m.at)).collect::<Vec<_>>();
        let spots: Vec<(f32, &Mark)> = at(latest).into_iter().zip(latest.iter().copied()).collect();
        let said = |m: &Mark| format!("{} {}", m.at.clock_time(), clean::line(&m.words));
        let (labels, unnamed) = place(&spots, self.font, (MARGIN, WIDTH - MARGIN), said);
        let mut unnamed: Vec<(f32, &Mark)> =
            at(earlier).into_iter().zip(earlier.iter().copied()).chain(unnamed).collect();
        unnamed.sort_by(|a, b| a.0.total_cmp(&b.0));
        let rows = labels.iter().map(|l| l.row + 1).max().unwrap_or(0);
        let top = ROWS_FROM + ROW * (rows as f32) - if rows == 0 { 12.0 } else { 6.0 };
        let scale = scale.between(top, BOTTOM);

        self.head(view, unnamed.len())?;
        self.band(view, &scale, left)?;
        self.grid(&scale, &ticks, left)?;
        self.clock(&times, left)?;
        // One for each place: a thousand marks must neither hide the course nor take a thousand times as long.
        for (x, mark) in apart(&unnamed, 5.0) {
            self.stem(x, top, mark.kind, 0.45)?;
        }
        for label in &labels {
            self.stem(label.x, ROWS_FROM + ROW * (label.row as f32), label.kind, 1.0)?;
        }
        let lines = lines(&view.points, view.chart.interval, &times, &scale);
        self.course(view, &lines, &scale)?;
        let stems: Vec<f32> = labels.iter().map(|l| l.x).chain(unnamed.iter().map(|(x, _)| *x)).collect();
        self.peaks(view, &times, &scale, left, &stems)?;
        for (x, mark) in apart(&unnamed, 22.0) {
            self.badge((x, BOTTOM), mark.kind, 8.0)?;
        }
        labels.iter().try_for_each(|label| self.label(label))?;
        self.line(
            &[(0.5, 0.5), (WIDTH - 0.5, 0.5), (WIDTH - 0.5, HEIGHT - 0.5), (0.5, HEIGHT - 0.5), (0.5, 0.5)],
            FRAME,
            1.0,
        )
    }

    /// The title, and below it the time and what is usual.
    fn head(&self, view: &View<'_>, unnamed: usize) -> Drawn {
        let mut room = WIDTH - 2.0 * MARGIN;
        if unnamed > 0 {
            let more = if unnamed == 1 { "1 more mark".to_owned() } else { format!("{unnamed} more marks") };
            self.text(&more, (WIDTH - MARGIN, 46.0), LABEL, QUIET, HPos::Right, VPos::Bottom)?;
            room -= self.font.width(&more, LABEL) + 20.0;
        }
        let title = format!("{} · {}", name(&view.chart.service.0), name(&view.chart.metric));
        let title = self.font.fitted(&title, TITLE, room);
        self.text(&title, (MARGIN, 46.0), TITLE, INK, HPos::Left, VPos::Bottom)?;
        // With the day: a picture is looked at again months later.
        let day = |at: Timestamp| at.0.div_euclid(axis::DAY);
        let same = day(view.chart.from) == day(view.chart.to);
        let until = if same { view.chart.to.clock_time() } else { dated(view.chart.to) };
        let usual = view.usual().unwrap_or_else(|| "what is usual is not known yet".to_owned());
        let below = format!("{} to {until} UTC, {usual}", dated(view.chart.from));
        let below = self.font.fitted(&below, LABEL, WIDTH - 2.0 * MARGIN);
        self.text(&below, (MARGIN, 78.0), LABEL, QUIET, HPos::Left, VPos::Bottom)
    }

    /// The usual range: a soft fill, thin edges and its name beside it.
    fn band(&self, view: &View<'_>, scale: &Scale, left: f32) -> Drawn {
        let Some((low, high)) = view.band else { return Ok(()) };
        let (top, bottom) = (scale.y(high), scale.y(low));
        // Never so thin that it cannot be seen.
        let (top, bottom) = if bottom - top < 3.0 { (top - 1.5, bottom + 1.5) } else { (top, bottom) };
        let corners = [(units(left), units(top)), (units(RIGHT), units(bottom))];
        self.area.draw(&Rectangle::new(corners, BAND.filled())).map_err(failed)?;
        for y in [top, bottom] {
            self.dashed((left, y), (RIGHT, y), BAND_EDGE, 1.0, (6.0, 4.0))?;
        }
        let x = RIGHT + 8.0;
        self.line(&[(x - 3.0, top), (x, top), (x, bottom), (x - 3.0, bottom)], BAND_EDGE, 1.5)?;
        let middle = ((top + bottom) / 2.0).clamp(scale.y(f64::INFINITY) + 8.0, BOTTOM - 8.0);
        self.text("usual", (x + 8.0, middle), LABEL, BAND_INK, HPos::Left, VPos::Center)
    }

    fn grid(&self, scale: &Scale, ticks: &[(f64, String)], left: f32) -> Drawn {
        for (value, said) in ticks {
            let y = scale.y(*value).round() + 0.5;
            if (BOTTOM - y).abs() > 2.0 {
                self.line(&[(left, y), (RIGHT, y)], GRID, 1.0)?;
            }
            self.text(said, (left - 12.0, y), LABEL, QUIET, HPos::Right, VPos::Center)?;
        }
        Ok(())
    }

    /// The line below the course, with its times.
    fn clock(&self, times: &Times, left: f32) -> Drawn {
        let floor = BOTTOM + 0.5;
        self.line(&[(left, floor), (RIGHT, floor)], RGBColor(150, 160, 170), 1.5)?;
        self.text("UTC", (WIDTH - MARGIN, BOTTOM + 17.0), LABEL, QUIET, HPos::Right, VPos::Top)?;
        let end = WIDTH - MARGIN - self.font.width("UTC", LABEL) - 8.0;
        let mut free = MARGIN;
        for (at, said) in times.ticks() {
            let (x, half) = (times.x(at).round() + 0.5, self.font.width(&said, LABEL) / 2.0);
            self.line(&[(x, floor), (x, floor + 6.0)], RGBColor(150, 160, 170), 1.5)?;
            if x - half >= free && x + half <= end {
                self.text(&said, (x, BOTTOM + 17.0), LABEL, QUIET, HPos::Center, VPos::Top)?;
                free = x + half + 14.0;
            }
        }
        Ok(())
    }

    /// What was measured; what lies outside of the usual range is thicker and of another colour.
    fn course(&self, view: &View<'_>, lines: &[Vec<Spot>], scale: &Scale) -> Drawn {
        let dots = view.points.len() <= MOST_DOTS;
        // A value between two gaps has no line to be seen by; where there are many, dots must not close the gaps.
        let alone = if lines.len() <= MOST_DOTS { 4.0 } else { 1.6 };
        let edges = view.band.map(|(low, high)| (scale.y(high), scale.y(low)));
        let color = |y: f32| match edges {
            Some((top, bottom)) if y < top || y > bottom => UNUSUAL,
            _ => COURSE,
        };
        for line in lines {
            if line.len() > 1 {
                self.line(line, COURSE, COURSE_WIDTH)?;
            }
            if let Some((top, bottom)) = edges {
                for part in beyond(line, top, true).iter().chain(&beyond(line, bottom, false)).filter(|p| p.len() > 1) {
                    self.line(part, UNUSUAL, COURSE_WIDTH + 1.0)?;
                }
            }
            for at in line.iter().filter(|_| dots || line.len() == 1) {
                let radius = if line.len() == 1 { alone } else { 3.5 };
                self.dot(*at, radius, color(at.1))?;
            }
        }
        Ok(())
    }

    /// The highest value in figures, and the lowest where it is below what is usual.
    fn peaks(&self, view: &View<'_>, times: &Times, scale: &Scale, left: f32, stems: &[f32]) -> Drawn {
        let Some((least, most)) = view.extremes() else { return Ok(()) };
        let low = view.band.is_some_and(|(low, _)| least.1 < low) && least.1 < most.1;
        for ((at, value), above) in [(most, true)].into_iter().chain(low.then_some((least, false))) {
            let said = self.font.fitted(&view.humane(value), LABEL, 220.0);
            let half = self.font.width(&said, LABEL) / 2.0;
            let (x, y) = (times.x(at), scale.y(value));
            let middle = if above { y - 18.0 } else { y + 18.0 };
            if middle > BOTTOM - 9.0 {
                continue;
            }
            self.ring((x, y))?;
            let x = x.clamp(left + half + 4.0, RIGHT - half - 4.0);
            // The lines of marks must not cross the figure.
            if stems.iter().any(|stem| (stem - x).abs() <= half + 4.0) {
                self.patch((x - half - 4.0, middle - 9.5), (x + half + 4.0, middle + 9.0))?;
            }
            self.text(&said, (x, middle), LABEL, INK, HPos::Center, VPos::Center)?;
        }
        Ok(())
    }

    fn stem(&self, x: f32, from: f32, kind: MarkKind, strength: f64) -> Drawn {
        let Look { color, dash } = look(kind);
        match dash {
            Some(dash) => self.dashed((x, from), (x, BOTTOM), color.mix(strength), 2.0, dash),
            None => self.line(&[(x, from), (x, BOTTOM)], color.mix(strength), 2.0),
        }
    }

    fn label(&self, label: &Label) -> Drawn {
        let y = ROWS_FROM + ROW * (label.row as f32);
        self.badge((label.x, y), label.kind, MARK_RADIUS)?;
        self.patch((label.words_at - 2.0, y - 10.0), (label.words_to + 2.0, y + 11.0))?;
        self.text(&label.words, (label.words_at, y), LABEL, INK, HPos::Left, VPos::Center)
    }

    /// A shape of the mark's own, with the letter that the text chart has too.
    fn badge(&self, (x, y): Spot, kind: MarkKind, radius: f32) -> Drawn {
        let color = look(kind).color;
        let r = radius;
        let corners: &[Spot] = match kind {
            MarkKind::Anomaly => &[(0.0, -1.15), (1.2, 0.9), (-1.2, 0.9)],
            MarkKind::Action => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            MarkKind::Undo => &[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)],
            MarkKind::Resolved => &[],
            MarkKind::Fault => &[(-1.05, 0.0), (-0.5, -1.0), (0.5, -1.0), (1.05, 0.0), (0.5, 1.0), (-0.5, 1.0)],
        };
        if corners.is_empty() {
            self.dot((x, y), r, color)?;
        } else {
            let corners: Vec<_> = corners.iter().map(|(dx, dy)| (units(x + dx * r), units(y + dy * r))).collect();
            self.area.draw(&Polygon::new(corners, color.filled())).map_err(failed)?;
        }
        // A triangle is widest below its middle.
        let lower = if kind == MarkKind::Anomaly { r * 0.18 } else { 0.0 };
        let letter = kind.letter().to_string();
        self.text(&letter, (x, y + lower), r * 1.3, WHITE, HPos::Center, VPos::Center)
    }

    fn line(&self, points: &[Spot], color: impl Color, width: f32) -> Drawn {
        let points: Vec<_> = points.iter().map(|(x, y)| (units(*x), units(*y))).collect();
        self.area.draw(&PathElement::new(points, color.stroke_width(thick(width)))).map_err(failed)
    }

    fn dashed(&self, from: Spot, to: Spot, color: impl Color, width: f32, (dash, space): (f32, f32)) -> Drawn {
        let points = [from, to].map(|(x, y)| (units(x), units(y)));
        let style = color.stroke_width(thick(width));
        self.area.draw(&DashedPathElement::new(points, units(dash), units(space), style)).map_err(failed)
    }

    fn dot(&self, (x, y): Spot, radius: f32, color: RGBColor) -> Drawn {
        self.area.draw(&Circle::new((units(x), units(y)), units(radius), color.filled())).map_err(failed)
    }

    fn ring(&self, (x, y): Spot) -> Drawn {
        self.dot((x, y), 5.5, PAPER)?;
        let style = INK.stroke_width(thick(2.0));
        self.area.draw(&Circle::new((units(x), units(y)), units(5.0), style)).map_err(failed)
    }

    fn patch(&self, from: Spot, to: Spot) -> Drawn {
        let corners = [from, to].map(|(x, y)| (units(x), units(y)));
        self.area.draw(&Rectangle::new(corners, PAPER.mix(0.85).filled())).map_err(failed)
    }

    fn text(&self, text: &str, (x, y): Spot, size: f32, color: RGBColor, across: HPos, along: VPos) -> Drawn {
        let style = TextStyle::from(("sans-serif", f64::from(size * canvas::UNIT)).into_font());
        let style = style.color(&color).pos(Pos::new(across, along));
        self.area.draw_text(&self.font.shown(text), &style, (units(x), units(y))).map_err(failed)
    }
}

/// Of marks in their order those that are at least `room` pixels from the one before.
fn apart<'a>(marks: &[(f32, &'a Mark)], room: f32) -> Vec<(f32, &'a Mark)> {
    let mut kept: Vec<(f32, &Mark)> = Vec::new();
    for &(x, mark) in marks {
        if kept.last().is_none_or(|(last, _)| x - last >= room) {
            kept.push((x, mark));
        }
    }
    kept
}

/// A width as plotters wants it.
fn thick(pixels: f32) -> u32 {
    u32::try_from(units(pixels)).unwrap_or(1)
}

fn failed<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> PictureError {
    PictureError::Draw(error.to_string())
}

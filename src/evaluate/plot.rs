//! Pictures of a suite as small SVG files: the ROC curve and the precision-recall curve, each series thin and their
//! mean thick, and the confusion matrix of the alarm flag. Curves are averaged over series, at a fixed false positive
//! rate or recall; rows are not pooled, for the scores of two series are not on one scale. Opens no font: the text is
//! the viewer's. Called by the command line.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use thiserror::Error;

use super::EvaluateError;
use super::measures::Shipped;
use super::suite::SuiteResult;

const SIZE: (u32, u32) = (720, 600);
const INK: RGBColor = RGBColor(33, 37, 41);
const GRID: RGBColor = RGBColor(226, 230, 234);
const SERIES: RGBColor = RGBColor(168, 190, 214);
const MEAN: RGBColor = RGBColor(11, 83, 148);
const CHANCE: RGBColor = RGBColor(150, 150, 150);

/// Points that all thin lines of one picture may have: about 9 bytes each.
const POINTS: usize = 3400;
/// Fewest points of a thin line. With more series than this allows, the last ones are not drawn.
const LEAST_POINTS: usize = 21;

/// Why a picture was not drawn.
#[derive(Debug, Error)]
#[error("cannot be drawn: {0}")]
pub struct PlotError(String);

/// Draws the pictures of a suite into a folder, `<suite>-roc.svg`, `<suite>-pr.svg` and `<suite>-confusion.svg`, and
/// says which files those are. A suite without an anomalous row has no curves.
pub fn draw(folder: &Path, suite: &SuiteResult) -> Result<Vec<PathBuf>, EvaluateError> {
    let mut pictures = Vec::new();
    if !suite.curves.is_empty() {
        let roc: Vec<&[f64]> = suite.curves.iter().map(|curves| curves.roc.as_slice()).collect();
        let pr: Vec<&[f64]> = suite.curves.iter().map(|curves| curves.pr.as_slice()).collect();
        let (auc, ap) = (suite.summary.roc_auc, suite.summary.pr_auc);
        let title = |what: &str, area: &str, mean: Option<f64>| {
            format!("{}: {what}, mean {area} {:.3}", suite.name, mean.unwrap_or_default())
        };
        let picture = Picture {
            title: title("ROC curve", "AUC", auc),
            x: "false positive rate",
            y: "true positive rate",
            chance: Some("chance (dashed)"),
            legend: SeriesLabelPosition::LowerRight,
            lines: roc,
        };
        pictures.push(("roc", picture.svg()));
        let picture = Picture {
            title: title("precision-recall curve", "AUC", ap),
            x: "recall",
            y: "precision",
            chance: None,
            legend: SeriesLabelPosition::UpperRight,
            lines: pr,
        };
        pictures.push(("pr", picture.svg()));
    }
    pictures.push(("confusion", confusion(&suite.name, &suite.summary.shipped)));
    let mut files = Vec::new();
    for (kind, svg) in pictures {
        let path = folder.join(format!("{}-{kind}.svg", suite.name));
        let svg = svg.map_err(|why| EvaluateError::Plot { path: path.clone(), why })?;
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, svg))
            .map_err(|why| EvaluateError::Write { path: path.clone(), why })?;
        files.push(path);
    }
    Ok(files)
}

/// A picture of curves; the values of each are at even steps from 0 to 1.
struct Picture<'a> {
    title: String,
    x: &'static str,
    y: &'static str,
    /// What the diagonal means, if it means anything.
    chance: Option<&'static str>,
    /// Where curves seldom are.
    legend: SeriesLabelPosition,
    lines: Vec<&'a [f64]>,
}

impl Picture<'_> {
    fn svg(&self) -> Result<String, PlotError> {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            area.fill(&WHITE).map_err(failed)?;
            let mut chart = ChartBuilder::on(&area)
                .caption(&self.title, ("sans-serif", 22).into_font().color(&INK))
                .margin(18)
                .margin_right(30)
                .x_label_area_size(52)
                .y_label_area_size(62)
                // A little room, so that a curve along the edge is seen.
                .build_cartesian_2d(-0.01..1.01_f64, -0.01..1.02_f64)
                .map_err(failed)?;
            chart
                .configure_mesh()
                .x_desc(self.x)
                .y_desc(self.y)
                .x_labels(11)
                .y_labels(11)
                .x_label_formatter(&|value| format!("{value:.1}"))
                .y_label_formatter(&|value| format!("{value:.1}"))
                .axis_style(INK)
                .bold_line_style(GRID)
                .light_line_style(TRANSPARENT)
                .label_style(("sans-serif", 15).into_font().color(&INK))
                .axis_desc_style(("sans-serif", 17).into_font().color(&INK))
                .draw()
                .map_err(failed)?;
            if let Some(name) = self.chance {
                let diagonal = DashedLineSeries::new([(0.0, 0.0), (1.0, 1.0)], 6, 5, CHANCE.stroke_width(1));
                let entry = chart.draw_series(diagonal).map_err(failed)?;
                entry.label(name).legend(|(x, y)| PathElement::new([(x, y), (x + 24, y)], CHANCE.stroke_width(1)));
            }
            let step = step(self.lines.len(), self.lines.first().map_or(0, |line| line.len()));
            for (at, line) in self.lines.iter().take(POINTS / LEAST_POINTS).enumerate() {
                let series = LineSeries::new(thin(line, step), SERIES.stroke_width(1));
                let entry = chart.draw_series(series).map_err(failed)?;
                if at == 0 && self.lines.len() > 1 {
                    let legend = |(x, y)| PathElement::new([(x, y), (x + 24, y)], SERIES.stroke_width(1));
                    entry.label("one series").legend(legend);
                }
            }
            let mean = mean(&self.lines);
            let series = LineSeries::new(thin(&mean, 1), MEAN.stroke_width(3));
            let name = match self.lines.len() {
                1 => "the only series".to_owned(),
                many => format!("mean of {many} series"),
            };
            let legend = |(x, y)| PathElement::new([(x, y), (x + 24, y)], MEAN.stroke_width(3));
            chart.draw_series(series).map_err(failed)?.label(name).legend(legend);
            chart
                .configure_series_labels()
                .position(self.legend.clone())
                .legend_area_size(34)
                .margin(12)
                .background_style(WHITE.mix(0.85))
                .border_style(GRID)
                .label_font(("sans-serif", 15).into_font().color(&INK))
                .draw()
                .map_err(failed)?;
            area.present().map_err(failed)?;
        }
        Ok(svg)
    }
}

/// Every how many points of a line are drawn, so that the picture stays small.
fn step(lines: usize, points: usize) -> usize {
    let each = (POINTS / lines.max(1)).max(LEAST_POINTS);
    // The last point is always drawn.
    points.saturating_sub(1).div_ceil(each.saturating_sub(1).max(1)).max(1)
}

fn thin(line: &[f64], step: usize) -> Vec<(f64, f64)> {
    let last = line.len().saturating_sub(1);
    let x = |at: usize| at as f64 / last.max(1) as f64;
    line.iter().enumerate().filter(|(at, _)| at % step == 0 || *at == last).map(|(at, y)| (x(at), *y)).collect()
}

fn mean(lines: &[&[f64]]) -> Vec<f64> {
    let points = lines.iter().map(|line| line.len()).min().unwrap_or(0);
    (0..points)
        .map(|at| lines.iter().filter_map(|line| line.get(at)).sum::<f64>() / lines.len().max(1) as f64)
        .collect()
}

/// Four cells: what rows were, down, against what was said of them, across. The shade is the share of the line, so that
/// many normal rows do not make the anomalous ones pale.
fn confusion(suite: &str, counts: &Shipped) -> Result<String, PlotError> {
    const WIDTH: i32 = 720;
    const LEFT: i32 = 160;
    const TOP: i32 = 110;
    const CELL: (i32, i32) = (260, 190);
    let cells = [
        (0, 0, counts.tp, counts.tp + counts.fn_, "anomalous"),
        (1, 0, counts.fn_, counts.tp + counts.fn_, "anomalous"),
        (0, 1, counts.fp, counts.fp + counts.tn, "normal"),
        (1, 1, counts.tn, counts.fp + counts.tn, "normal"),
    ];
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH as u32, 530)).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        let write = |text: &str, at: (i32, i32), size: i32, ink: &RGBColor| {
            let style = ("sans-serif", size).into_font().color(ink).pos(Pos::new(HPos::Center, VPos::Center));
            area.draw(&Text::new(text.to_owned(), at, style)).map_err(failed)
        };
        write(&format!("{suite}: confusion matrix of the alarm flag, in rows"), (WIDTH / 2, 36), 22, &INK)?;
        write("alarm", (LEFT + CELL.0 / 2, TOP - 22), 17, &INK)?;
        write("no alarm", (LEFT + CELL.0 * 3 / 2, TOP - 22), 17, &INK)?;
        write("anomalous", (LEFT / 2 + 10, TOP + CELL.1 / 2 - 10), 17, &INK)?;
        write("by the label", (LEFT / 2 + 10, TOP + CELL.1 / 2 + 12), 14, &INK)?;
        write("normal", (LEFT / 2 + 10, TOP + CELL.1 * 3 / 2 - 10), 17, &INK)?;
        write("by the label", (LEFT / 2 + 10, TOP + CELL.1 * 3 / 2 + 12), 14, &INK)?;
        for (column, row, count, of, what) in cells {
            let share = share(count, of);
            let (x, y) = (LEFT + column * CELL.0, TOP + row * CELL.1);
            let cell = Rectangle::new([(x, y), (x + CELL.0, y + CELL.1)], MEAN.mix(share).filled());
            area.draw(&cell).map_err(failed)?;
            area.draw(&Rectangle::new([(x, y), (x + CELL.0, y + CELL.1)], INK.stroke_width(1))).map_err(failed)?;
            let ink = if share > 0.5 { WHITE } else { INK };
            let (x, y) = (x + CELL.0 / 2, y + CELL.1 / 2);
            write(&count.to_string(), (x, y - 14), 30, &ink)?;
            write(&format!("{:.2} % of the {what}", 100.0 * share), (x, y + 24), 16, &ink)?;
        }
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

fn share(part: usize, of: usize) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

fn failed(why: impl Display) -> PlotError {
    PlotError(why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::{Curves, Summary};

    fn suite(series: usize) -> SuiteResult {
        let line = |i: usize| (0..101).map(|x| (f64::from(x) / 100.0).powf(1.0 / (2.0 + i as f64))).collect();
        let curves = (0..series).map(|i| Curves { roc: line(i), pr: line(i) }).collect();
        let summary = Summary {
            roc_auc: Some(0.9),
            pr_auc: Some(0.5),
            shipped: Shipped { tp: 7, fp: 3, fn_: 2, tn: 988, ..Shipped::default() },
            ..Summary::default()
        };
        SuiteResult { name: "a<b".to_owned(), summary, series: Vec::new(), curves }
    }

    #[test]
    fn pictures_are_small_and_say_what_they_show() {
        let dir = tempfile::tempdir().unwrap();
        for series in [1, 24, 2000] {
            let files = draw(dir.path(), &suite(series)).unwrap();
            let texts: Vec<String> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
            for (file, text) in files.iter().zip(&texts) {
                assert!(text.len() < 60_000, "{} has {} bytes with {series} series", file.display(), text.len());
                assert!(text.contains("a&lt;b"), "{}: the title is not escaped", file.display());
            }
            for (text, words) in texts.iter().zip([
                ["a&lt;b: ROC curve, mean AUC 0.900", "false positive rate", "true positive rate"],
                ["a&lt;b: precision-recall curve, mean AUC 0.500", "recall", "precision"],
                ["confusion matrix", "988", "99.70 % of the normal"],
            ]) {
                for word in words {
                    assert!(text.contains(word), "{word}");
                }
            }
        }
    }

    #[test]
    fn without_an_anomalous_row_there_are_no_curves() {
        let dir = tempfile::tempdir().unwrap();
        let files = draw(dir.path(), &suite(0)).unwrap();
        assert_eq!(files, [dir.path().join("a<b-confusion.svg")]);
    }

    #[test]
    fn lines_are_thinned_to_fit_and_keep_their_ends() {
        assert_eq!(step(6, 101), 1);
        assert!(step(100, 101) > 2);
        let line: Vec<f64> = (0..101).map(f64::from).collect();
        let thinned = thin(&line, 7);
        assert_eq!((thinned[0], thinned[thinned.len() - 1]), ((0.0, 0.0), (1.0, 100.0)));
    }
}

//! A picture of one plan as SVG: how slow the shop was in each second, and how many requests failed, with and without
//! healing. Opens no font: the text is the viewer's.

use std::fmt::Display;

use plotters::prelude::*;

use super::{LoadError, Second};

const SIZE: (u32, u32) = (900, 620);
const INK: RGBColor = RGBColor(33, 37, 41);
const GRID: RGBColor = RGBColor(226, 230, 234);
/// Told apart by people who see no red or green as well.
const COLOURS: [RGBColor; 4] =
    [RGBColor(213, 94, 0), RGBColor(11, 83, 148), RGBColor(90, 90, 90), RGBColor(0, 158, 115)];
/// Points of a line at most; of a longer run every so many seconds, the worst of them.
const POINTS: usize = 600;

/// One line of the picture.
#[derive(Clone, Copy, Debug)]
pub struct Curve<'a> {
    /// What it is called: `healing on`.
    pub name: &'a str,
    /// The seconds of the run.
    pub seconds: &'a [Second],
}

/// Draws it.
///
/// # Errors
/// Never in practice: it is drawn into memory.
pub fn draw(title: &str, curves: &[Curve<'_>]) -> Result<String, LoadError> {
    let longest = curves.iter().filter_map(|curve| curve.seconds.last()).map(|last| last.at).max().unwrap_or(0);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        let (upper, lower) = area.split_vertically(380);
        let latency = |second: &Second| second.p95.map(|s| s * 1e3);
        panel(&upper, Some(title), "p95 of each second, ms", longest, curves, latency)?;
        panel(&lower, None, "errors a second", longest, curves, |second| Some(second.errors as f64))?;
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    title: Option<&str>,
    what: &str,
    longest: u64,
    curves: &[Curve<'_>],
    value: impl Fn(&Second) -> Option<f64>,
) -> Result<(), LoadError> {
    let lines: Vec<_> = curves.iter().map(|curve| points(curve.seconds, &value)).collect();
    let highest = lines.iter().flatten().map(|(_, y)| *y).fold(0.0, f64::max);
    let mut builder = ChartBuilder::on(area);
    if let Some(title) = title {
        builder.caption(title, ("sans-serif", 22).into_font().color(&INK));
    }
    let mut chart = builder
        .margin(14)
        .margin_right(28)
        .x_label_area_size(44)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..(longest.max(1) as f64), 0.0..(highest * 1.08).max(1.0))
        .map_err(failed)?;
    chart
        .configure_mesh()
        .x_desc("seconds")
        .y_desc(what)
        .x_labels(13)
        .y_labels(7)
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .axis_style(INK)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .label_style(("sans-serif", 14).into_font().color(&INK))
        .axis_desc_style(("sans-serif", 16).into_font().color(&INK))
        .draw()
        .map_err(failed)?;
    for ((curve, line), colour) in curves.iter().zip(lines).zip(COLOURS) {
        let series = chart.draw_series(LineSeries::new(line, colour.stroke_width(2))).map_err(failed)?;
        series.label(curve.name).legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], colour.stroke_width(3)));
    }
    if title.is_some() {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .legend_area_size(34)
            .margin(10)
            .background_style(WHITE.mix(0.85))
            .border_style(GRID)
            .label_font(("sans-serif", 15).into_font().color(&INK))
            .draw()
            .map_err(failed)?;
    }
    Ok(())
}

/// The line of a run, with few enough points.
fn points(seconds: &[Second], value: impl Fn(&Second) -> Option<f64>) -> Vec<(f64, f64)> {
    let step = seconds.len().div_ceil(POINTS).max(1);
    let worst = |chunk: &[Second]| {
        let at = chunk.first()?.at as f64;
        chunk.iter().filter_map(&value).filter(|y| y.is_finite()).reduce(f64::max).map(|y| (at, y))
    };
    seconds.chunks(step).filter_map(worst).collect()
}

fn failed(why: impl Display) -> LoadError {
    LoadError::Picture(why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Vec<Second> {
        (0..count)
            .map(|at| Second { at, good: 9, errors: at % 7, p50: None, p95: (at % 5 > 0).then_some(0.02) })
            .collect()
    }

    #[test]
    fn it_says_what_it_shows_and_stays_small() {
        for count in [0, 1, 60, 100_000] {
            let seconds = seconds(count);
            let curves =
                [Curve { name: "healing on", seconds: &seconds }, Curve { name: "healing <off>", seconds: &seconds }];
            let svg = draw("spike: 1000 users", &curves).unwrap();
            for part in
                ["spike: 1000 users", "healing on", "healing &lt;off&gt;", "p95 of each second, ms", "errors a second"]
            {
                assert!(svg.contains(part), "{part} with {count}");
            }
            assert!(svg.len() < 80_000, "{} bytes with {count}", svg.len());
        }
    }

    #[test]
    fn of_a_long_run_the_worst_of_some_seconds_is_drawn() {
        let mut all = seconds(6000);
        all[1234].p95 = Some(4.0);
        let line = points(&all, |second| second.p95);
        assert!(line.len() <= POINTS && line.contains(&(1230.0, 4.0)));
    }
}

//! Scores out and in: one line for each scored row, `row,timestamp,score,risk,is_anomaly,severity,culprit,shares`.
//! What is written can be read back to the last digit, so that a file measures the same as the run that wrote it.
//! Never writes a score that is no number. Called by the command line and by `suite`.

use std::io::Write;
use std::path::Path;

use thiserror::Error;

use super::labels::{Label, Labels, names};
use super::sheet::{self, Sheet, SheetError, shown};
use super::table::{Table, time_of};
use crate::detect::Line;
use crate::model::Timestamp;

/// The columns of a file of scores, in order.
pub const COLUMNS: [&str; 8] = ["row", "timestamp", "score", "risk", "is_anomaly", "severity", "culprit", "shares"];

/// Why scores cannot be written or used.
#[derive(Debug, Error)]
pub enum ScoresError {
    /// The file as such.
    #[error(transparent)]
    Sheet(#[from] SheetError),
    /// A column that must be there.
    #[error("line 1: has no column \"{0}\"; scores have at least the columns row,score,is_anomaly")]
    NoColumn(&'static str),
    /// A value that does not belong in its column.
    #[error("line {line}, column \"{column}\": \"{value}\" is not {expected}")]
    BadValue {
        /// The line.
        line: usize,
        /// The column.
        column: &'static str,
        /// What stands there, cut.
        value: String,
        /// What should.
        expected: &'static str,
    },
    /// A fault of the detector.
    #[error("the detector gave row {row} the score {score}, which is no number")]
    NotFinite {
        /// The row.
        row: usize,
        /// NaN or infinite.
        score: f64,
    },
    /// The disk is full, or the like.
    #[error("cannot be written: {0}; check the folder, who may write to it, and the space left")]
    Write(std::io::Error),
    /// Labels are about other rows.
    #[error(
        "the labels are about {labels}, but the scores about {scores}; they must end at the same row, and no labelled \
         row may lack a score"
    )]
    OtherRows {
        /// Which rows have a label.
        labels: String,
        /// Which have a score.
        scores: String,
    },
}

/// One row's score, as the measures need it.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// 0-based data row.
    pub row: usize,
    /// When, if known.
    pub at: Option<Timestamp>,
    /// Higher is worse.
    pub score: f64,
    /// Whether an alarm was raised.
    pub alarm: bool,
    /// Metrics, the most responsible first.
    pub culprits: Vec<String>,
}

impl From<&Line> for Score {
    fn from(line: &Line) -> Self {
        let culprits = line.culprits.iter().map(|(name, _)| name.clone()).collect();
        Self { row: line.row, at: line.at, score: line.score, alarm: line.is_anomaly, culprits }
    }
}

/// Refuses a score that is no number.
pub fn check(lines: &[Line]) -> Result<(), ScoresError> {
    match lines.iter().find(|line| !line.score.is_finite()) {
        Some(line) => Err(ScoresError::NotFinite { row: line.row, score: line.score }),
        None => Ok(()),
    }
}

/// Writes scores, with the timestamps as the table has them. A closed pipe is nobody's trouble.
pub fn write(out: impl Write, table: &Table, lines: &[Line]) -> Result<(), ScoresError> {
    check(lines)?;
    match put(out, table, lines) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(ScoresError::Write(error)),
        _ => Ok(()),
    }
}

fn put(out: impl Write, table: &Table, lines: &[Line]) -> std::io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(COLUMNS).map_err(io_error)?;
    for line in lines {
        let names: Vec<&str> = line.culprits.iter().map(|(name, _)| name.as_str()).collect();
        let shares: Vec<String> = line.culprits.iter().map(|(_, share)| format!("{share:.3}")).collect();
        let fields: [&str; COLUMNS.len()] = [
            &line.row.to_string(),
            table.time_text(line.row),
            // Debug is the shortest text that reads back as the same number, with an exponent where that is shorter.
            &format!("{:?}", line.score),
            &format!("{:.2}", line.risk),
            if line.is_anomaly { "1" } else { "0" },
            &line.severity.to_string(),
            &names.join(";"),
            &shares.join(";"),
        ];
        csv.write_record(fields).map_err(io_error)?;
    }
    csv.flush()
}

fn io_error(error: csv::Error) -> std::io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => std::io::Error::other(format!("{other:?}")),
    }
}

/// Reads a file of scores.
pub fn read(path: &Path) -> Result<Vec<Score>, ScoresError> {
    parse(&sheet::read(path)?)
}

/// Reads scores from text. The columns may stand in any order; `timestamp` and `culprit` may be missing.
pub fn parse(text: &str) -> Result<Vec<Score>, ScoresError> {
    let mut sheet = Sheet::of(text)?;
    let column = |name: &str| sheet.header().iter().position(|column| column == name);
    let needed = |name: &'static str| column(name).ok_or(ScoresError::NoColumn(name));
    let (row_at, score_at, alarm_at) = (needed("row")?, needed("score")?, needed("is_anomaly")?);
    let (time_at, culprit_at) = (column("timestamp"), column("culprit"));
    let mut scores = Vec::new();
    while let Some(record) = sheet.next()? {
        let field = |at: usize| record.get(at).unwrap_or_default().trim();
        let (row, score, alarm) = (field(row_at), field(score_at), field(alarm_at));
        let time = time_at.map_or("", field);
        let bad = |column, value, expected| (column, shown(value), expected);
        let read = (|| {
            Ok(Score {
                row: row.parse().map_err(|_| bad("row", row, "the number of a row, counted from 0"))?,
                at: match time_of(time) {
                    None if !time.is_empty() => {
                        return Err(bad("timestamp", time, "a point in time, in seconds since 1970 or RFC 3339"));
                    }
                    at => at,
                },
                score: match score.parse::<f64>() {
                    Ok(number) if number.is_finite() => number,
                    _ => return Err(bad("score", score, "a finite number")),
                },
                alarm: match alarm {
                    "1" => true,
                    "0" => false,
                    _ => return Err(bad("is_anomaly", alarm, "0 or 1")),
                },
                culprits: culprit_at.map_or_else(Vec::new, |at| names(field(at))),
            })
        })();
        match read {
            Ok(score) => scores.push(score),
            Err((column, value, expected)) => {
                return Err(ScoresError::BadValue { line: sheet.line(), column, value, expected });
            }
        }
    }
    Ok(scores)
}

/// Labels and scores of the same rows, side by side: what the measures are taken from.
#[derive(Clone, Debug)]
pub struct Series {
    /// What each row is known to be.
    pub labels: Vec<Label>,
    /// How bad it was found.
    pub scores: Vec<f64>,
    /// Whether an alarm was raised.
    pub alarms: Vec<bool>,
    /// The metrics that were blamed, the most responsible first.
    pub blamed: Vec<Vec<String>>,
    /// Those that were wrong, if the labels say so.
    pub culprits: Option<Vec<Vec<String>>>,
    /// Seconds from one row to the next.
    pub interval: f64,
}

impl Series {
    /// Joins labels and scores. Scores before the first label are left out, as those of rows that nobody judged.
    pub fn join(labels: Labels, scores: Vec<Score>, interval: f64) -> Result<Self, ScoresError> {
        let first = labels.first_row();
        let scores: Vec<Score> = scores.into_iter().filter(|score| score.row >= first).collect();
        if !scores.iter().map(|score| score.row).eq(labels.rows.iter().copied()) {
            let of = |rows: &mut dyn Iterator<Item = usize>| match rows.next() {
                None => "no row of theirs".to_owned(),
                Some(first) => {
                    let (count, last) = rows.fold((1, first), |(count, _), row| (count + 1, row));
                    let noun = if count == 1 { "row" } else { "rows" };
                    format!("{count} {noun} from {first} to {last}")
                }
            };
            return Err(ScoresError::OtherRows {
                labels: of(&mut labels.rows.iter().copied()),
                scores: of(&mut scores.iter().map(|score| score.row)),
            });
        }
        let mut series = Self {
            labels: labels.labels,
            scores: Vec::with_capacity(scores.len()),
            alarms: Vec::with_capacity(scores.len()),
            blamed: Vec::with_capacity(scores.len()),
            culprits: labels.culprits,
            interval,
        };
        for score in scores {
            series.scores.push(score.score);
            series.alarms.push(score.alarm);
            series.blamed.push(score.culprits);
        }
        Ok(series)
    }
}

/// Seconds from one row to the next: the median difference of the timestamps. None without timestamps, or when they
/// stand still.
#[must_use]
pub fn interval(scores: &[Score]) -> Option<f64> {
    let times: Option<Vec<i64>> = scores.iter().map(|score| score.at.map(|at| at.0)).collect();
    let times = times?;
    let steps = times.iter().zip(times.iter().skip(1)).map(|(a, b)| b.saturating_sub(*a) as f64 / 1000.0).collect();
    super::measures::median(steps).filter(|seconds| *seconds > 0.0)
}

#[cfg(test)]
mod tests;

//! A table of metrics read from CSV: a header, an optional first column `timestamp`, and numbers. Refuses what it
//! cannot understand, with line, column and remedy; it never guesses, reorders, fills or drops a row, for rows are
//! what scores and labels are matched by. Called by the command line and by `suite`; the detector reads it.
//!
//! What counts as missing: an empty value, `NaN`, `null` (in any case), and an infinite number: the collector of the
//! daemon drops those too. Blanks around a value do not matter. An empty line is no row, so a table of one column and
//! no timestamps writes a missing value as `NaN`. Timestamps may stand still or step back: logs do.

use std::path::Path;

use thiserror::Error;

use super::sheet::{self, Sheet, SheetError, shown};
use crate::model::Timestamp;

/// The name of the column that says when.
const TIME: &str = "timestamp";

/// Fewest rows to learn from. Below this, a median and its spread are chance.
pub const LEAST_TRAIN_ROWS: usize = 20;

/// Seconds since the epoch from which on they are taken for milliseconds: the year 5138, or 1973 in milliseconds.
const SECONDS_BELOW: f64 = 1e11;

/// Why a table of metrics cannot be used.
#[derive(Debug, Error)]
pub enum TableError {
    /// The file as such.
    #[error(transparent)]
    Sheet(#[from] SheetError),
    /// Nothing to watch.
    #[error("line 1: has no metric, only timestamps; add a column of numbers for each metric")]
    NoMetrics,
    /// A header and nothing below it.
    #[error("has a header but no rows; write one line for each point in time below it")]
    NoRows,
    /// Culprits are joined by semicolons.
    #[error(
        "line 1, column {column} \"{name}\": the name of a metric cannot contain \";\"; rename it, or, if semicolons \
         separate the columns, write the file with commas"
    )]
    Semicolon {
        /// The name.
        name: String,
        /// Counted from 1.
        column: usize,
    },
    /// It would be taken for a metric.
    #[error("line 1: {TIME} is column {column}; make it the first")]
    TimeNotFirst {
        /// Counted from 1.
        column: usize,
    },
    /// Text where a number should be.
    #[error(
        "line {line}, column \"{column}\": \"{value}\" is not a number; write a number such as 0.25, or leave it empty \
         when there is no value{hint}"
    )]
    NotANumber {
        /// The line.
        line: usize,
        /// The name of the column.
        column: String,
        /// What stands there, cut.
        value: String,
        /// What else it may be.
        hint: &'static str,
    },
    /// Not a point in time.
    #[error("line {line}, column \"{TIME}\": \"{value}\" is no point in time{why}; {KINDS}")]
    BadTime {
        /// The line.
        line: usize,
        /// What stands there, cut.
        value: String,
        /// More, beginning with a comma or a colon.
        why: &'static str,
    },
    /// Some of one kind and some of the other.
    #[error(
        "line {line}, column \"{TIME}\": \"{value}\" is {found}, but the first row has {expected}; write all timestamps \
         the same way"
    )]
    MixedTimes {
        /// The line.
        line: usize,
        /// What stands there, cut.
        value: String,
        /// Its kind.
        found: TimeKind,
        /// The kind of the first.
        expected: TimeKind,
    },
    /// Nothing would be left to score.
    #[error(
        "has {rows} rows, and learning from {train_rows} leaves none to score; set --train-rows below {rows}, or add rows"
    )]
    NoneLeft {
        /// In the table.
        rows: usize,
        /// Asked for.
        train_rows: usize,
    },
    /// Too little to learn from.
    #[error("has {rows} rows, and learning takes at least {LEAST_TRAIN_ROWS}, not {train_rows}{half}; {remedy}")]
    TooFewToLearn {
        /// In the table.
        rows: usize,
        /// Asked for, or half of them.
        train_rows: usize,
        /// Where the number comes from, when it was not asked for.
        half: &'static str,
        /// What to do.
        remedy: &'static str,
    },
}

const KINDS: &str = "write seconds since 1970 such as 1767225600, or RFC 3339 such as 2026-01-01T00:00:00Z";

/// How timestamps are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeKind {
    /// Seconds since the epoch.
    Seconds,
    /// RFC 3339.
    Rfc3339,
}

impl std::fmt::Display for TimeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Seconds => "in seconds since 1970",
            Self::Rfc3339 => "in RFC 3339",
        })
    }
}

/// Metrics over time. Rows are counted from 0.
#[derive(Clone, Debug, Default)]
pub struct Table {
    names: Vec<String>,
    /// As written, for the scores repeat them; empty without a column of timestamps.
    times: Vec<(Timestamp, String)>,
    /// Row after row, as a detector meets them. NaN is missing, and nothing is infinite.
    values: Vec<f64>,
    rows: usize,
}

impl Table {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, TableError> {
        Self::parse(&sheet::read(path)?)
    }

    /// Reads text.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let mut sheet = Sheet::of(text)?;
        let timed = sheet.header().first().is_some_and(|name| name.eq_ignore_ascii_case(TIME));
        let names: Vec<String> = sheet.header().iter().skip(usize::from(timed)).cloned().collect();
        check_names(&names, usize::from(timed))?;
        let mut table = Self { names, ..Self::default() };
        let mut kind = None;
        while let Some(record) = sheet.next()? {
            let mut fields = record.iter();
            if timed {
                let text = fields.next().unwrap_or_default().trim();
                match instant(text, kind) {
                    Ok((at, found)) => {
                        kind = Some(found);
                        table.times.push((at, text.to_owned()));
                    }
                    Err(error) => return Err(error.on_line(sheet.line())),
                }
            }
            for field in fields {
                match number(field) {
                    Some(value) => table.values.push(value),
                    None => {
                        let column = table.values.len() - table.rows * table.names.len();
                        let value = shown(field.trim());
                        let first = column == 0 && !timed;
                        return Err(TableError::NotANumber {
                            line: sheet.line(),
                            column: table.names.get(column).cloned().unwrap_or_default(),
                            value,
                            hint: if first { "; a first column that says when must be named timestamp" } else { "" },
                        });
                    }
                }
            }
            table.rows += 1;
        }
        if table.rows == 0 { Err(TableError::NoRows) } else { Ok(table) }
    }

    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The metrics, in the order of the columns.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The values of a row, in the order of [`Table::names`]; NaN is missing. Empty past the last row.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f64] {
        let width = self.names.len();
        self.values.get(row * width..(row + 1) * width).unwrap_or_default()
    }

    /// The values of a column from the first row to the last; NaN is missing.
    pub fn column(&self, column: usize) -> impl Iterator<Item = f64> + '_ {
        self.values.chunks_exact(self.names.len().max(1)).filter_map(move |row| row.get(column).copied())
    }

    /// When a row was taken, if the table says so.
    #[must_use]
    pub fn at(&self, row: usize) -> Option<Timestamp> {
        self.times.get(row).map(|(at, _)| *at)
    }

    /// The same as it was written; empty if the table does not say.
    #[must_use]
    pub fn time_text(&self, row: usize) -> &str {
        self.times.get(row).map_or("", |(_, text)| text)
    }

    /// How many rows to learn from: as asked for, or half.
    pub fn train_rows(&self, asked: Option<usize>) -> Result<usize, TableError> {
        let (rows, train_rows) = (self.rows, asked.unwrap_or(self.rows / 2));
        let (half, remedy) = match asked {
            None => (", which is half of them", "add rows, or set --train-rows"),
            Some(_) if rows > LEAST_TRAIN_ROWS => ("", "raise --train-rows"),
            Some(_) => ("", "add rows"),
        };
        match train_rows {
            few if few < LEAST_TRAIN_ROWS => Err(TableError::TooFewToLearn { rows, train_rows, half, remedy }),
            all if all >= rows => Err(TableError::NoneLeft { rows, train_rows }),
            some => Ok(some),
        }
    }
}

fn check_names(names: &[String], before: usize) -> Result<(), TableError> {
    for (at, name) in names.iter().enumerate() {
        let column = at + before + 1;
        if name.eq_ignore_ascii_case(TIME) {
            return Err(TableError::TimeNotFirst { column });
        }
        if name.contains(';') {
            return Err(TableError::Semicolon { name: shown(name), column });
        }
    }
    if names.is_empty() { Err(TableError::NoMetrics) } else { Ok(()) }
}

/// A value; NaN when there is none; nothing when it is text.
fn number(field: &str) -> Option<f64> {
    let field = field.trim();
    match field.parse::<f64>() {
        Ok(value) if value.is_finite() => Some(value),
        // NaN, infinite, or too large to be held.
        Ok(_) => Some(f64::NAN),
        Err(_) if field.is_empty() || field.eq_ignore_ascii_case("null") => Some(f64::NAN),
        Err(_) => None,
    }
}

/// Reads a point in time, of the kind that the first one had.
fn instant(text: &str, expected: Option<TimeKind>) -> Result<(Timestamp, TimeKind), TableError> {
    let bad = |why| TableError::BadTime { line: 0, value: shown(text), why };
    let (at, found) = if let Ok(seconds) = text.parse::<f64>() {
        if !seconds.is_finite() {
            return Err(bad(""));
        }
        if seconds.abs() >= SECONDS_BELOW {
            return Err(bad(": in seconds it is past the year 5000, so it may be milliseconds"));
        }
        let at = (seconds * 1000.0).round() as i64;
        (Timestamp(at), TimeKind::Seconds)
    } else {
        match text.parse::<jiff::Timestamp>() {
            Ok(at) => (Timestamp(at.as_millisecond()), TimeKind::Rfc3339),
            Err(_) if text.is_empty() => return Err(bad(": every row needs one, or the column must go")),
            Err(_) if text.parse::<jiff::civil::DateTime>().is_ok() => {
                return Err(bad(": it has no time zone, such as a Z at the end"));
            }
            Err(_) => return Err(bad("")),
        }
    };
    match expected {
        Some(expected) if expected != found => {
            Err(TableError::MixedTimes { line: 0, value: shown(text), found, expected })
        }
        _ => Ok((at, found)),
    }
}

impl TableError {
    /// Where it is, filled in only when there is an error: counting lines is slow.
    fn on_line(mut self, at: usize) -> Self {
        if let Self::BadTime { line, .. } | Self::MixedTimes { line, .. } = &mut self {
            *line = at;
        }
        self
    }
}

/// A point in time as `scores` finds it in its own file.
pub(super) fn time_of(text: &str) -> Option<Timestamp> {
    instant(text.trim(), None).ok().map(|(at, _)| at)
}

#[cfg(test)]
mod tests;

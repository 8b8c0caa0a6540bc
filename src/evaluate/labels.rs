//! Labels read from CSV: which rows were anomalous, and through which metrics. Columns `row` and `label` (1
//! anomalous, 0 normal, -1 to be left out), and optionally `culprits` (metric names joined by `;`); others are not
//! looked at. Only measures may see labels, never a detector. Called by the command line and by `suite`.

use std::ops::Range;
use std::path::Path;

use thiserror::Error;

use super::sheet::{self, Sheet, SheetError, shown};

/// Why labels cannot be used.
#[derive(Debug, Error)]
pub enum LabelsError {
    /// The file as such.
    #[error(transparent)]
    Sheet(#[from] SheetError),
    /// A column that must be there.
    #[error("line 1: has no column \"{0}\"; labels have the columns row,label and, if known, culprits")]
    NoColumn(&'static str),
    /// A header and nothing below it.
    #[error("has no rows; write one line for each scored row")]
    NoRows,
    /// Not a row's number.
    #[error("line {line}, column \"row\": \"{value}\" is not the number of a row, counted from 0")]
    BadRow {
        /// The line.
        line: usize,
        /// What stands there, cut.
        value: String,
    },
    /// Not one of the three.
    #[error(
        "line {line}, column \"label\": \"{value}\" is not a label; write 1 (anomalous), 0 (normal) or -1 (left out)"
    )]
    BadLabel {
        /// The line.
        line: usize,
        /// What stands there, cut.
        value: String,
    },
}

/// What a row is known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// Nothing is wrong.
    Normal,
    /// Something is.
    Anomalous,
    /// Nobody knows: no measure counts it, neither as found nor as a false alarm.
    Unknown,
}

/// The labels of consecutive rows.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// The row that each is about.
    pub rows: Vec<usize>,
    /// What it is.
    pub labels: Vec<Label>,
    /// The metrics that were wrong in it, if the labels say so at all.
    pub culprits: Option<Vec<Vec<String>>>,
}

impl Labels {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, LabelsError> {
        Self::parse(&sheet::read(path)?)
    }

    /// Reads text.
    pub fn parse(text: &str) -> Result<Self, LabelsError> {
        let mut sheet = Sheet::of(text)?;
        let column = |name: &str| sheet.header().iter().position(|column| column == name);
        let row_at = column("row").ok_or(LabelsError::NoColumn("row"))?;
        let label_at = column("label").ok_or(LabelsError::NoColumn("label"))?;
        let culprits_at = column("culprits");
        let mut all = Self { culprits: culprits_at.map(|_| Vec::new()), ..Self::default() };
        while let Some(record) = sheet.next()? {
            let field = |at: usize| record.get(at).unwrap_or_default().trim();
            let (row, label) = (field(row_at), field(label_at));
            let parsed = match label {
                "0" => Some(Label::Normal),
                "1" => Some(Label::Anomalous),
                "-1" => Some(Label::Unknown),
                _ => None,
            };
            match (row.parse(), parsed) {
                (Ok(row), Some(label)) => {
                    all.rows.push(row);
                    all.labels.push(label);
                }
                (Err(_), _) => {
                    let value = shown(row);
                    return Err(LabelsError::BadRow { line: sheet.line(), value });
                }
                (Ok(_), None) => {
                    let value = shown(label);
                    return Err(LabelsError::BadLabel { line: sheet.line(), value });
                }
            }
            if let (Some(at), Some(culprits)) = (culprits_at, &mut all.culprits) {
                culprits.push(names(field(at)));
            }
        }
        if all.rows.is_empty() { Err(LabelsError::NoRows) } else { Ok(all) }
    }

    /// The first labelled row.
    #[must_use]
    pub fn first_row(&self) -> usize {
        self.rows.first().copied().unwrap_or(0)
    }

    /// Leaves out the labels of rows before this one, and says how many they were.
    pub fn leave_out_before(&mut self, row: usize) -> usize {
        let out = self.rows.iter().take_while(|labelled| **labelled < row).count();
        self.rows.drain(..out);
        self.labels.drain(..out);
        if let Some(culprits) = &mut self.culprits {
            culprits.drain(..out);
        }
        out
    }
}

/// Names that were joined by semicolons.
pub(super) fn names(joined: &str) -> Vec<String> {
    joined.split(';').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The events: runs of anomalous rows, as places in the labels.
pub(super) fn events(labels: &[Label]) -> Vec<Range<usize>> {
    let mut events: Vec<Range<usize>> = Vec::new();
    for (at, _) in labels.iter().enumerate().filter(|(_, label)| **label == Label::Anomalous) {
        match events.last_mut() {
            Some(last) if last.end == at => last.end = at + 1,
            _ => events.push(at..at + 1),
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_with_and_without_culprits() {
        let with = Labels::parse("row,label,event,culprits\n5,0,0,\n6,1,1,cpu;mem\n7,-1,0,\n").unwrap();
        assert_eq!(with.rows, [5, 6, 7]);
        assert_eq!(with.labels, [Label::Normal, Label::Anomalous, Label::Unknown]);
        assert_eq!(with.culprits.unwrap(), [vec![], vec!["cpu".to_owned(), "mem".to_owned()], vec![]]);
        let mut without = Labels::parse("label,row\n0,5\n1,6\n").unwrap();
        assert_eq!((without.first_row(), without.culprits.is_none()), (5, true));
        assert_eq!((without.leave_out_before(6), without.first_row()), (1, 6));
    }

    #[test]
    fn events_are_runs() {
        use Label::{Anomalous as A, Normal as N, Unknown as U};
        assert_eq!(events(&[A, A, N, A, U, A]), [0..2, 3..4, 5..6]);
        assert!(events(&[N, U]).is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let cases = [
            (
                "row,event\n",
                "line 1: has no column \"label\"; labels have the columns row,label and, if known, culprits",
            ),
            ("row,label\n", "has no rows; write one line for each scored row"),
            ("row,label\n0,0\n-1,0\n", "line 3, column \"row\": \"-1\" is not the number of a row, counted from 0"),
            (
                "row,label\r\n0,0\r\n1,yes\r\n",
                "line 3, column \"label\": \"yes\" is not a label; write 1 (anomalous), 0 (normal) or -1 (left out)",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(Labels::parse(text).unwrap_err().to_string(), expected);
        }
    }
}

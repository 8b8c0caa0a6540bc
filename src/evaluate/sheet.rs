//! A CSV file as text: what metrics, scores and labels have in common. Finds what is wrong with the file as such (not
//! UTF-8, no header, ragged) and says on which line. Never looks at what a value means; `table`, `scores` and `labels`
//! do, and are the only callers.

use std::path::Path;

use csv::StringRecord;
use thiserror::Error;

/// What is wrong with a file of comma-separated values, whatever is in it.
#[derive(Debug, Error)]
pub enum SheetError {
    /// It is not there, or may not be read.
    #[error("cannot be read: {0}; check the path and who may read it")]
    Unreadable(#[source] std::io::Error),
    /// There is no line in it.
    #[error("is empty; its first line must be a header with the names of the columns")]
    Empty,
    /// Some other encoding, or not text at all.
    #[error("line {line}: is not UTF-8 text; save the file as CSV in UTF-8")]
    NotUtf8 {
        /// The first line that is not.
        line: usize,
    },
    /// The first line is data.
    #[error("line 1: has values where the header should be; put a line with the names of the columns above it")]
    NoHeader,
    /// A column cannot be told apart from nothing.
    #[error("line 1: column {column} has no name; name it, or leave the column out")]
    Unnamed {
        /// Counted from 1.
        column: usize,
    },
    /// Two columns cannot be told apart.
    #[error("line 1: columns {first} and {second} are both named \"{name}\"; give every column a name of its own")]
    Duplicate {
        /// The name.
        name: String,
        /// Counted from 1.
        first: usize,
        /// Counted from 1.
        second: usize,
    },
    /// A row has more or fewer values than the header has names.
    #[error(
        "line {line}: has {found} values, but the header names {expected} columns; write one value for each column, and \
         leave a missing one empty"
    )]
    Ragged {
        /// The line.
        line: usize,
        /// Its values.
        found: usize,
        /// What the header names.
        expected: usize,
    },
    /// Whatever else the CSV reader says.
    #[error("line {line}: is not CSV: {why}")]
    Csv {
        /// The line.
        line: usize,
        /// Why.
        why: String,
    },
}

/// The text of a file, without the mark that some programs put before it.
pub(super) fn read(path: &Path) -> Result<String, SheetError> {
    text_of(std::fs::read(path).map_err(SheetError::Unreadable)?)
}

/// The same for bytes.
pub(super) fn text_of(bytes: Vec<u8>) -> Result<String, SheetError> {
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        SheetError::NotUtf8 { line: 1 + newlines(error.as_bytes().get(..good).unwrap_or_default()) }
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|b| **b == b'\n').count()
}

/// A header and the records below it, one after the other. Empty lines are skipped.
pub(super) struct Sheet<'a> {
    text: &'a str,
    reader: csv::Reader<&'a [u8]>,
    header: Vec<String>,
    record: StringRecord,
}

impl<'a> Sheet<'a> {
    /// Reads the header.
    pub(super) fn of(text: &'a str) -> Result<Self, SheetError> {
        // Flexible, for the line that the reader would name for a ragged row is not the right one: see `line`.
        let reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
        let mut sheet = Self { text, reader, header: Vec::new(), record: StringRecord::new() };
        if !sheet.advance()? || sheet.record.iter().all(|name| name.trim().is_empty()) {
            return Err(SheetError::Empty);
        }
        sheet.header = sheet.record.iter().map(|name| name.trim().to_owned()).collect();
        if sheet.header.iter().all(|name| looks_like_value(name)) {
            return Err(SheetError::NoHeader);
        }
        for (at, name) in sheet.header.iter().enumerate() {
            if name.is_empty() {
                return Err(SheetError::Unnamed { column: at + 1 });
            }
            if let Some(first) = sheet.header.iter().take(at).position(|other| other == name) {
                return Err(SheetError::Duplicate { name: name.clone(), first: first + 1, second: at + 1 });
            }
        }
        Ok(sheet)
    }

    /// The names of the columns, without blanks around them.
    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    /// The next record, which has a value for each column.
    pub(super) fn next(&mut self) -> Result<Option<&StringRecord>, SheetError> {
        if !self.advance()? {
            return Ok(None);
        }
        if self.record.len() != self.header.len() {
            let (found, expected) = (self.record.len(), self.header.len());
            return Err(SheetError::Ragged { line: self.line(), found, expected });
        }
        Ok(Some(&self.record))
    }

    /// The line on which the last record begins, counted from 1. Slow: for errors only. The reader's own count is one
    /// too low after CRLF and after empty lines.
    pub(super) fn line(&self) -> usize {
        let start = self.record.position().and_then(|p| usize::try_from(p.byte()).ok()).unwrap_or(0);
        let bytes = self.text.as_bytes();
        let skipped = bytes.iter().skip(start).take_while(|b| matches!(b, b'\r' | b'\n')).count();
        1 + newlines(bytes.get(..start + skipped).unwrap_or(bytes))
    }

    fn advance(&mut self) -> Result<bool, SheetError> {
        match self.reader.read_record(&mut self.record) {
            Ok(more) => Ok(more),
            Err(error) => Err(SheetError::Csv { line: self.line(), why: error.to_string() }),
        }
    }
}

fn looks_like_value(field: &str) -> bool {
    field.parse::<f64>().is_ok() || field.parse::<jiff::Timestamp>().is_ok()
}

/// A value as it is quoted in a message: a missing quotation mark can make it as long as the file.
pub(super) fn shown(value: &str) -> String {
    const MOST: usize = 40;
    let line = value.lines().next().unwrap_or_default();
    if line.chars().count() > MOST || line.len() < value.len() {
        format!("{}...", line.chars().take(MOST).collect::<String>())
    } else {
        line.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_one_that_an_editor_shows() {
        let cases = [
            ("lf", "a,b\n1,2\n3\n", 3),
            ("crlf", "a,b\r\n1,2\r\n3\r\n", 3),
            ("empty lines", "a,b\n\n1,2\n\n\n3\n", 6),
            ("empty lines before the header", "\n\na,b\r\n\r\n3\r\n", 5),
            ("a value of two lines", "a,b\n\"1\n1\",2\n3\n", 4),
            ("no newline at the end", "a,b\n1,2\n3", 3),
        ];
        for (case, text, expected) in cases {
            let mut sheet = Sheet::of(text).unwrap();
            let error = loop {
                match sheet.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{case}: nothing is wrong with it"),
                    Err(error) => break error,
                }
            };
            let SheetError::Ragged { line, found: 1, expected: 2 } = error else { panic!("{case}: {error}") };
            assert_eq!(line, expected, "{case}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_name() {
        let text = text_of(b"\xef\xbb\xbftimestamp,cpu\n1,2\n".to_vec()).unwrap();
        assert_eq!(Sheet::of(&text).unwrap().header(), ["timestamp", "cpu"]);
        assert!(matches!(Sheet::of(&text_of(b"\xef\xbb\xbf".to_vec()).unwrap()), Err(SheetError::Empty)));
    }

    #[test]
    fn a_long_value_is_cut_where_it_is_quoted() {
        assert_eq!(shown("fast"), "fast");
        assert_eq!(shown("one\ntwo"), "one...");
        assert_eq!(shown(&"é".repeat(60)), format!("{}...", "é".repeat(40)));
    }
}

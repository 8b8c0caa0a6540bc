//! Reads one page in the Prometheus text format (0.0.4) or OpenMetrics, line by line as it arrives.
//!
//! Must never hold more than one line of the page besides what it keeps of it, never panic on any bytes, and never
//! guess at a line it does not understand: like Prometheus itself, one bad line refuses the page. Called by `fetch`;
//! this is the only file that knows the parser crate, so that it can be swapped.
//!
//! Which crate, judged on crates.io in November 2026:
//! - `prometheus-parse` 0.2.5 (2023) is the most used. It splits labels at every comma and `=` and ends them at the first
//!   `}`, so `path="/users/{id}"` loses the line and `q="a,b"` loses the label, silently; it skips what it cannot read, so
//!   an HTML page is an empty page; it does not undo escapes.
//! - `openmetrics-parser` 0.5.1 is the strictest, but LGPL-3.0, which a statically linked binary under our licences cannot
//!   take in.
//! - `prom_text_format_parser` 0.1.0 (2023) wants the whole page in memory, on a winnow three majors old;
//!   `prometheus-scrape` (2018) and `openmetrics` 0.2.1 are abandoned.
//! - `nom-openmetrics` 0.3.0 (MIT, current nom, borrows instead of copying) has names, quoting and escapes right. It
//!   does not know timestamps, exemplars, trailing commas or more than one space, and writes a line to stderr for each
//!   infinite value. So each line is first laid out plainly ([`lay_out`]): it gets name and labels, with `0` as the
//!   value, and the number is read by the standard library.

use std::collections::BTreeMap;

use crate::collect::names::excerpt;

/// Longest line: far beyond any real series, and all that is buffered of a page that never ends a line.
const MOST_LINE_BYTES: usize = 64 * 1024;
/// Most series of one page. 10,000 is a page that its owners complain about; this bounds memory to tens of megabytes.
const MOST_SERIES: usize = 50_000;
/// Most labels of one series: Prometheus's own recommendation is under 10.
const MOST_LABELS: usize = 64;
/// Longest name or label value. Longer ones are stack traces and queries that were put where they do not belong.
const MOST_TEXT_BYTES: usize = 2048;
/// How much of a bad line is shown.
const EXCERPT_CHARS: usize = 60;

/// The labels of a series, sorted by name.
pub(super) type Labels = Vec<(String, String)>;

/// What a page says a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    /// `info`, `stateset`, `untyped`, or a word we do not know.
    Other,
}

/// One line with a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub name: String,
    pub labels: Labels,
    /// May be NaN or infinite.
    pub value: f64,
}

/// A page as read: lines with values in their order, and the words of its `# TYPE` lines.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub series: Vec<Series>,
    pub types: BTreeMap<String, Kind>,
}

/// What is wrong with a page, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PageError {
    #[error("line {line} is not in the Prometheus text format ({why}): `{excerpt}`")]
    Line { line: usize, why: &'static str, excerpt: String },
    #[error("line {line} is longer than {MOST_LINE_BYTES} bytes: `{excerpt}`")]
    LongLine { line: usize, excerpt: String },
    #[error("line {line}: more than {MOST_SERIES} series on one page; drop labels with many values, or split the page")]
    TooManySeries { line: usize },
    #[error("the page is cut off in line {line}: `{excerpt}`")]
    CutOff { line: usize, excerpt: String },
    #[error("there is not one series on the page; is this the address of its metrics?")]
    Empty,
}

/// Takes a page in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct PageReader {
    page: Page,
    /// The beginning of a line whose end has not arrived yet.
    partial: Vec<u8>,
    /// Lines finished so far.
    lines: usize,
    /// `# EOF` of OpenMetrics was read; nothing after it counts.
    ended: bool,
    /// Where a line is laid out; kept for its capacity.
    plain: String,
}

impl PageReader {
    /// Takes the next bytes of the page.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), PageError> {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            let (head, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            if self.partial.is_empty() {
                self.line(head)?;
            } else {
                self.hold(head)?;
                let line = std::mem::take(&mut self.partial);
                self.line(&line)?;
            }
        }
        self.hold(bytes)
    }

    /// The page is over. `complete` says that the transport vouches for its end (a length, or chunks), so that a last
    /// line without its newline is only untidy and not half a number; `wants_eof` that it must end in `# EOF`.
    pub fn finish(mut self, complete: bool, wants_eof: bool) -> Result<Page, PageError> {
        let last = std::mem::take(&mut self.partial);
        let cut_off = |line, text: &[u8]| PageError::CutOff { line, excerpt: shown(text) };
        if !last.is_empty() && !self.ended {
            if !complete && last != b"# EOF" {
                return Err(cut_off(self.lines + 1, &last));
            }
            self.line(&last)?;
        }
        if wants_eof && !self.ended {
            return Err(cut_off(self.lines + 1, b"(# EOF is missing)"));
        }
        if self.page.series.is_empty() { Err(PageError::Empty) } else { Ok(self.page) }
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), PageError> {
        if self.partial.len() + bytes.len() > MOST_LINE_BYTES {
            let start = if self.partial.is_empty() { bytes } else { &self.partial };
            return Err(PageError::LongLine { line: self.lines + 1, excerpt: shown(start) });
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, bytes: &[u8]) -> Result<(), PageError> {
        self.lines += 1;
        if self.ended {
            return Ok(());
        }
        if bytes.len() > MOST_LINE_BYTES {
            return Err(PageError::LongLine { line: self.lines, excerpt: shown(bytes) });
        }
        let bad = |why| PageError::Line { line: self.lines, why, excerpt: shown(bytes) };
        let text = std::str::from_utf8(bytes).map_err(|_| bad("not UTF-8"))?.trim();
        if let Some(comment) = text.strip_prefix('#') {
            self.comment(comment);
            return Ok(());
        }
        if text.is_empty() {
            return Ok(());
        }
        let series = series(text, &mut self.plain).map_err(bad)?;
        if self.page.series.len() >= MOST_SERIES {
            return Err(PageError::TooManySeries { line: self.lines });
        }
        self.page.series.push(series);
        Ok(())
    }

    /// `# TYPE name kind` and `# EOF` mean something; every other comment is for people.
    fn comment(&mut self, text: &str) {
        let mut words = text.split_ascii_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("EOF"), None, None) => self.ended = true,
            // As many types as series: a page of nothing but TYPE lines must not grow without bound either.
            (Some("TYPE"), Some(name), Some(kind))
                if name.len() <= MOST_TEXT_BYTES && self.page.types.len() < MOST_SERIES =>
            {
                let kind = match kind.to_ascii_lowercase().as_str() {
                    "counter" => Kind::Counter,
                    "gauge" => Kind::Gauge,
                    "histogram" => Kind::Histogram,
                    "summary" => Kind::Summary,
                    _ => Kind::Other,
                };
                self.page.types.insert(name.to_owned(), kind);
            }
            _ => {}
        }
    }
}

fn shown(bytes: &[u8]) -> String {
    // Four bytes a character at most.
    let head = bytes.get(..EXCERPT_CHARS * 4 + 4).unwrap_or(bytes);
    excerpt(&String::from_utf8_lossy(head), EXCERPT_CHARS)
}

/// Reads `name{labels} value [timestamp] [# exemplar]`. The timestamp is of no use to us: a value that its exporter holds
/// back is as old to everybody.
fn series(text: &str, plain: &mut String) -> Result<Series, &'static str> {
    let tail = lay_out(text, plain)?;
    let mut words = tail.split_ascii_whitespace();
    let value = words.next().ok_or("no value")?;
    let value: f64 = value.parse().map_err(|_| "the value is not a number")?;
    match words.next() {
        None => {}
        Some(word) if word.starts_with('#') => {}
        Some(stamp) => {
            stamp.parse::<f64>().map_err(|_| "the timestamp is not a number")?;
            if words.next().is_some_and(|word| !word.starts_with('#')) {
                return Err("something stands behind the timestamp");
            }
        }
    }
    plain.push_str(" 0\n");
    let Ok((rest, family)) = nom_openmetrics::parser::family(plain) else {
        return Err("no metric name, or labels that are not name=\"value\"");
    };
    let [sample] = family.samples.as_slice() else { return Err("not one series") };
    if !rest.is_empty() {
        return Err("labels that are not name=\"value\"");
    }
    if sample.labels().len() > MOST_LABELS {
        return Err("more than 64 labels");
    }
    let too_long = |text: &str| text.len() > MOST_TEXT_BYTES;
    if too_long(sample.name()) || sample.labels().iter().any(|label| too_long(label.name) || too_long(&label.value)) {
        return Err("a name or label value longer than 2048 bytes");
    }
    let mut labels: Labels = sample.labels().iter().map(|l| (l.name.to_owned(), l.value.clone())).collect();
    labels.sort();
    if labels.windows(2).any(|pair| matches!(pair, [a, b] if a.0 == b.0)) {
        return Err("a label stands twice");
    }
    Ok(Series { name: sample.name().to_owned(), labels, value })
}

/// Copies name and labels to `plain` without the spaces and the trailing comma that the format allows, and gives what
/// stands behind them. A `}` or a space within quotes is text.
fn lay_out<'a>(text: &'a str, plain: &mut String) -> Result<&'a str, &'static str> {
    plain.clear();
    let name_ends = text.find(['{', ' ', '\t']).ok_or("no value")?;
    let (name, rest) = text.split_at_checked(name_ends).ok_or("no value")?;
    plain.push_str(name);
    let rest = rest.trim_start();
    let Some(labels) = rest.strip_prefix('{') else { return Ok(rest) };
    plain.push('{');
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in labels.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '}' if !quoted => {
                if plain.ends_with(',') {
                    plain.pop();
                }
                plain.push('}');
                return labels.get(at + 1..).ok_or("no value");
            }
            ' ' | '\t' if !quoted => continue,
            _ => {}
        }
        plain.push(c);
    }
    Err("the labels do not end")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Page, PageError> {
        let mut reader = PageReader::default();
        reader.feed(text.as_bytes())?;
        reader.finish(true, false)
    }

    fn one(line: &str) -> Series {
        read(line).unwrap().series.remove(0)
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn labels_may_hold_braces_commas_quotes_and_escapes() {
        let series =
            one("http_requests_total{path=\"/users/{id}, a=b\",q=\"say \\\"hi\\\" \\\\ \\n\"} 12 1700000000000\n");
        assert_eq!(series.name, "http_requests_total");
        assert_eq!(series.labels, labels(&[("path", "/users/{id}, a=b"), ("q", "say \"hi\" \\ \n")]));
        assert_eq!(series.value.to_bits(), 12f64.to_bits());
    }

    #[test]
    fn what_the_format_allows_is_read() {
        for (line, expected) in [
            ("up 1", 1.0),
            ("up\t1", 1.0),
            ("up{} 1", 1.0),
            ("up{ a = \"b\" , } 1", 1.0),
            ("up   1   -3", 1.0),
            ("up +1e3", 1000.0),
            ("job:up:sum -2.5", -2.5),
            ("up +Inf", f64::INFINITY),
            ("up{a=\"b\"} -Inf", f64::NEG_INFINITY),
            ("x_bucket{le=\"0.1\"} 8 # {trace_id=\"a b\"} 0.05 1520879607.789", 8.0),
            ("x_bucket{le=\"0.1\"} 8 1520879607 # {trace_id=\"ab\"} 0.05", 8.0),
            ("up 1\r", 1.0),
        ] {
            assert_eq!(one(line).value.to_bits(), expected.to_bits(), "{line}");
        }
        assert!(one("up NaN").value.is_nan());
    }

    #[test]
    fn a_bad_line_is_named() {
        for line in [
            "<!DOCTYPE html>",
            "{\"status\": \"ok\"}",
            "up",
            "up wtf",
            "up 1 x",
            "up 1 2 3",
            "up{a=\"b\" 1",
            "up{a=b} 1",
            "up{a=\"b\"c=\"d\"} 1",
            "up{a=\"b\",a=\"c\"} 1",
            "up{a=\"b\"\"} 1",
            "1up 1",
            "\u{1b}[31m 1",
        ] {
            let error = read(&format!("ok 1\n{line}\nok 2\n")).unwrap_err();
            assert!(matches!(error, PageError::Line { line: 2, .. }), "{line}: {error}");
            assert!(!error.to_string().contains('\u{1b}'));
        }
    }

    #[test]
    fn openmetrics_ends_with_its_mark() {
        let text = "# TYPE http_requests counter\n# UNIT x s\nhttp_requests_total 5\n# EOF\nnot read";
        let page = read(text).unwrap();
        assert_eq!(page.types.get("http_requests"), Some(&Kind::Counter));
        assert_eq!(page.series.len(), 1);

        let mut reader = PageReader::default();
        reader.feed(b"http_requests_total 5\n").unwrap();
        assert!(matches!(reader.finish(true, true), Err(PageError::CutOff { line: 2, .. })));
    }

    #[test]
    fn half_a_number_is_not_a_number() {
        let mut reader = PageReader::default();
        reader.feed(b"a 1\nhttp_requests_total 12").unwrap();
        assert!(matches!(reader.finish(false, false), Err(PageError::CutOff { line: 2, .. })));
    }

    #[test]
    fn sizes_are_bounded() {
        let long_label = format!("up{{a=\"{}\"}} 1\n", "x".repeat(MOST_TEXT_BYTES + 1));
        assert!(matches!(read(&long_label), Err(PageError::Line { line: 1, .. })));
        assert!(matches!(read(&"x".repeat(MOST_LINE_BYTES + 1)), Err(PageError::LongLine { line: 1, .. })));
        assert!(matches!(read(&format!("{}\n", "x".repeat(70_000))), Err(PageError::LongLine { line: 1, .. })));
        let many: String = (0..=MOST_SERIES).map(|i| format!("a{i} 1\n")).collect();
        assert!(matches!(read(&many), Err(PageError::TooManySeries { .. })));
        let labels: String = (0..65).map(|i| format!("l{i}=\"\",")).collect();
        assert!(matches!(read(&format!("up{{{labels}}} 1\n")), Err(PageError::Line { line: 1, .. })));
    }

    #[test]
    fn an_empty_page_is_refused() {
        assert_eq!(read("").unwrap_err(), PageError::Empty);
        assert_eq!(read("# HELP up Is it?\n# EOF\n").unwrap_err(), PageError::Empty);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0usize..400) {
            let mut reader = PageReader::default();
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            if reader.feed(head).is_ok() && reader.feed(tail).is_ok() {
                let _ = reader.finish(false, false);
            }
        }

        #[test]
        fn no_text_like_a_page_makes_it_panic(text in "([a-z_:#{}\",= 0-9.eE+\\-\\\\\n\u{e9}]{0,80}\n){0,4}") {
            let _ = read(&text);
        }

        #[test]
        fn where_the_pieces_end_changes_nothing(cut in 0usize..74) {
            let text = "# TYPE a counter\na{p=\"/{x}\",q=\"\u{2603}\\\"\"} 12\nb_bucket{le=\"+Inf\"} 3 # {} 1\nc NaN\n";
            let mut reader = PageReader::default();
            let (head, tail) = text.as_bytes().split_at(cut);
            reader.feed(head).unwrap();
            reader.feed(tail).unwrap();
            prop_assert_eq!(reader.finish(false, false).unwrap().series.len(), 3);
        }
    }
}

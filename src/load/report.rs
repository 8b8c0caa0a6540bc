//! The figures of some runs side by side: for people, as Markdown, as CSV.

use std::fmt::Write as _;
use std::time::Duration;

use super::{LoadError, Summary};

/// One run's line.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The plan's name.
    pub plan: &'static str,
    /// Was the shop healed? `None` where nobody knows, because it is somebody else's.
    pub healing: Option<bool>,
    /// What asked: `builtin`, `builtin closed`, `jmeter`.
    pub engine: &'static str,
    /// The figures.
    pub summary: Summary,
    /// Workers at the end, where somebody knows.
    pub replicas: Option<u32>,
    /// The limits that were broken, in words.
    pub broken: Vec<String>,
    /// It fails the bench to break them.
    pub judged: bool,
}

impl Row {
    fn healing(&self) -> &'static str {
        match self.healing {
            Some(true) => "on",
            Some(false) => "off",
            None => "-",
        }
    }

    /// Did it break limits that it is judged by?
    #[must_use]
    pub fn failed(&self) -> bool {
        self.judged && !self.broken.is_empty()
    }

    fn verdict(&self) -> &'static str {
        match (self.judged, self.broken.is_empty()) {
            (_, true) => "within limits",
            (true, false) => "FAILED",
            (false, false) => "over, as expected",
        }
    }

    fn cells(&self) -> [String; 11] {
        let s = &self.summary;
        [
            self.plan.to_owned(),
            self.healing().to_owned(),
            s.requests.to_string(),
            ms(s.average),
            ms(s.p50),
            ms(s.p95),
            ms(s.p99),
            format!("{:.1}", s.throughput),
            format!("{:.2}", s.errors_percent()),
            self.replicas.map_or_else(|| "-".to_owned(), |n| n.to_string()),
            self.verdict().to_owned(),
        ]
    }
}

const HEAD: [&str; 11] = [
    "plan",
    "healing",
    "requests",
    "average ms",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "good/s",
    "errors %",
    "workers",
    "limits",
];

/// Milliseconds, with as many digits as mean something.
fn ms(d: Duration) -> String {
    let ms = d.as_secs_f64() * 1e3;
    if ms < 10.0 { format!("{ms:.1}") } else { format!("{ms:.0}") }
}

/// What is said below a table of these rows: errors by kind, limits that were broken, a generator that was late.
fn notes(rows: &[Row]) -> Vec<String> {
    /// A generator that is later than this has measured itself.
    const LATE: Duration = Duration::from_millis(50);
    let mut notes = Vec::new();
    for row in rows {
        let name = format!("{}, healing {}", row.plan, row.healing());
        if !row.summary.errors.is_empty() {
            let kinds = row.summary.errors.iter().map(|(kind, n)| format!("{kind} {n}"));
            notes.push(format!("{name}: errors: {}", kinds.collect::<Vec<_>>().join(", ")));
        }
        if !row.broken.is_empty() {
            notes.push(format!("{name}: {}", row.broken.join("; ")));
        }
        if let Some(lag) = row.summary.lag_p99.filter(|lag| *lag > LATE) {
            notes.push(format!(
                "{name}: a hundredth of the requests left more than {} ms late: this machine was too busy to ask on time",
                lag.as_millis()
            ));
        }
    }
    notes
}

/// For a terminal.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let cells: Vec<_> = rows.iter().map(Row::cells).collect();
    let mut widths = HEAD.map(str::len);
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len());
        }
    }
    let mut out = String::new();
    let mut line = |row: &[&str]| {
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Words to the left, numbers to the right.
            let _ = match at {
                0 | 1 => write!(out, "{cell:<width$}  "),
                10 => write!(out, "{cell}"),
                _ => write!(out, "{cell:>width$}  "),
            };
        }
        out.push('\n');
    };
    line(&HEAD);
    for row in &cells {
        line(&row.each_ref().map(String::as_str));
    }
    for note in notes(rows) {
        let _ = writeln!(out, "  {note}");
    }
    out
}

/// For a document.
#[must_use]
pub fn markdown(rows: &[Row]) -> String {
    let mut out = format!("| {} |\n|{}\n", HEAD.join(" | "), "---|".repeat(HEAD.len()));
    for row in rows {
        let _ = writeln!(out, "| {} |", row.cells().join(" | "));
    }
    for note in notes(rows) {
        let _ = write!(out, "\n- {note}");
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// For a spreadsheet: the summaries, and the seconds of every run.
///
/// # Errors
/// Never in practice: it is written to memory.
pub fn csv(rows: &[Row]) -> Result<(String, String), LoadError> {
    let mut summary = csv::Writer::from_writer(Vec::new());
    let mut seconds = csv::Writer::from_writer(Vec::new());
    let failed = |e: csv::Error| LoadError::Write { path: "the figures".into(), why: e.to_string() };
    summary
        .write_record([
            "plan",
            "healing",
            "engine",
            "requests",
            "average_s",
            "p50_s",
            "p95_s",
            "p99_s",
            "good_per_s",
            "errors_percent",
            "workers",
            "limits",
        ])
        .map_err(failed)?;
    seconds
        .write_record(["plan", "healing", "engine", "second", "good", "errors", "p50_s", "p95_s"])
        .map_err(failed)?;
    for row in rows {
        let s = &row.summary;
        let seconds_of = |d: Duration| format!("{:.6}", d.as_secs_f64());
        let workers = row.replicas.map(|n| n.to_string()).unwrap_or_default();
        summary
            .write_record([
                row.plan,
                row.healing(),
                row.engine,
                &s.requests.to_string(),
                &seconds_of(s.average),
                &seconds_of(s.p50),
                &seconds_of(s.p95),
                &seconds_of(s.p99),
                &format!("{:.3}", s.throughput),
                &format!("{:.4}", s.errors_percent()),
                &workers,
                row.verdict(),
            ])
            .map_err(failed)?;
        for second in &s.seconds {
            let latency = |value: Option<f64>| value.map(|s| format!("{s:.6}")).unwrap_or_default();
            let [at, good, errors] = [second.at, second.good, second.errors].map(|n| n.to_string());
            let line =
                [row.plan, row.healing(), row.engine, &at, &good, &errors, &latency(second.p50), &latency(second.p95)];
            seconds.write_record(line).map_err(failed)?;
        }
    }
    let text = |writer: csv::Writer<Vec<u8>>| {
        let bytes = writer.into_inner().map_err(|e| e.to_string());
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).map_err(|e| e.to_string()));
        text.map_err(|why| LoadError::Write { path: "the figures".into(), why })
    };
    Ok((text(summary)?, text(seconds)?))
}

/// For a program: an object a run, times in seconds.
#[must_use]
pub fn json(rows: &[Row]) -> String {
    let one = |row: &Row| {
        let s = &row.summary;
        let errors: serde_json::Map<_, _> =
            s.errors.iter().map(|(kind, n)| (kind.to_string(), serde_json::Value::from(*n))).collect();
        serde_json::json!({
            "plan": row.plan,
            "healing": row.healing,
            "engine": row.engine,
            "requests": s.requests,
            "average_s": s.average.as_secs_f64(),
            "p50_s": s.p50.as_secs_f64(),
            "p95_s": s.p95.as_secs_f64(),
            "p99_s": s.p99.as_secs_f64(),
            "good_per_s": s.throughput,
            "errors_percent": s.errors_percent(),
            "errors": errors,
            "lag_p99_s": s.lag_p99.map(|lag| lag.as_secs_f64()),
            "workers": row.replicas,
            "broken": row.broken,
            "failed": row.failed(),
        })
    };
    serde_json::Value::Array(rows.iter().map(one).collect()).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, Tally};
    use super::*;

    fn row(healing: Option<bool>, errors: u64, judged: bool) -> Row {
        let mut tally = Tally::new().unwrap();
        (0..100).for_each(|n| tally.count(Duration::from_millis(n * 20), Duration::from_millis(20), Ok(())));
        (0..errors).for_each(|_| tally.count(Duration::ZERO, Duration::ZERO, Err(Kind::Status(503))));
        let summary = tally.summary(Duration::from_secs(2));
        let broken = if errors == 0 { vec![] } else { vec!["too many".to_owned()] };
        Row { plan: "normal", healing, engine: "builtin", summary, replicas: healing.map(|_| 2), broken, judged }
    }

    #[test]
    fn one_line_a_run_and_what_went_wrong_below() {
        let rows = [row(Some(true), 0, true), row(Some(false), 100, false), row(None, 100, true)];
        let table = table(&rows);
        let lines: Vec<_> = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[1], "normal on 100 20 20 20 20 50.0 0.00 2 within limits");
        assert_eq!(lines[2], "normal off 200 20 20 20 20 50.0 50.00 2 over, as expected");
        assert_eq!(lines[3], "normal - 200 20 20 20 20 50.0 50.00 - FAILED");
        assert_eq!(lines[4], "normal, healing off: errors: status 503 100");
        assert_eq!(rows.each_ref().map(Row::failed), [false, false, true]);
        let markdown = markdown(&rows);
        assert!(
            markdown.contains("| normal | on | 100 | 20 |") && markdown.contains("\n- normal, healing off: too many")
        );
    }

    #[test]
    fn the_csv_has_a_line_a_run_and_a_line_a_second() {
        let (summary, seconds) = csv(&[row(Some(true), 0, true), row(None, 5, true)]).unwrap();
        assert_eq!((summary.lines().count(), seconds.lines().count()), (3, 5));
        assert!(seconds.contains("\nnormal,on,builtin,1,50,0,0.0"), "{seconds}");
    }
}

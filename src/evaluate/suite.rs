//! Many series at once: a manifest names them, each is detected and measured, and every suite gets one summary. The
//! order in which threads finish changes nothing. A series that cannot be read ends it all, for a mean over what is
//! left would flatter. Called by the command line.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use super::measures::{Measured, Summary, curve, measure, summarise};
use super::scores::{self, Score, Series};
use super::table::Table;
use super::{EvaluateError, read_labels, read_table};
use crate::detect::Line;

/// Points of a curve, both ends included: fine enough to see, small enough for a page.
const GRID: usize = 101;

/// One series of a manifest. Other keys are for other readers.
#[derive(Clone, Debug, Deserialize)]
pub struct Entry {
    /// Its suite.
    pub suite: String,
    /// Its name.
    pub series: String,
    /// Its metrics, from the manifest's folder.
    pub input: PathBuf,
    /// How many rows to learn from.
    pub train_rows: usize,
    /// Seconds from one row to the next.
    pub interval_s: f64,
}

/// The series to run, in the manifest's order.
#[derive(Clone, Debug)]
pub struct Manifest {
    folder: PathBuf,
    entries: Vec<Entry>,
}

impl Manifest {
    /// Reads a manifest and keeps the suites that are asked for; all of them, if none is.
    pub fn read(path: &Path, only: &[String]) -> Result<Self, EvaluateError> {
        let wrong = |why: String| EvaluateError::Manifest { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path)
            .map_err(|e| wrong(format!("cannot be read: {e}; check the path and who may read it")))?;
        let mut entries: Vec<Entry> = serde_json::from_str(&text).map_err(|e| {
            wrong(format!("is not a manifest: {e}; write a list of {{suite, series, input, train_rows, interval_s}}"))
        })?;
        let mut suites: Vec<&str> = entries.iter().map(|entry| entry.suite.as_str()).collect();
        suites.sort_unstable();
        suites.dedup();
        if suites.is_empty() {
            return Err(wrong("names no series".to_owned()));
        }
        if let Some(unknown) = only.iter().find(|name| !suites.contains(&name.as_str())) {
            return Err(wrong(format!("has no suite \"{unknown}\"; --only can name {}", suites.join(", "))));
        }
        if let Some(bad) = entries.iter().find(|entry| !(entry.interval_s.is_finite() && entry.interval_s > 0.0)) {
            return Err(wrong(format!("{}/{}: interval_s must be above 0", bad.suite, bad.series)));
        }
        entries.retain(|entry| only.is_empty() || only.contains(&entry.suite));
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Self { folder, entries })
    }

    /// How many series there are to run.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The curves of one series, at fixed places so that series can be averaged: scores of two series cannot be compared,
/// so their rows are never pooled.
#[derive(Clone, Debug)]
pub struct Curves {
    /// True positive rate at false positive rates from 0 to 1.
    pub roc: Vec<f64>,
    /// Precision at recalls from 0 to 1.
    pub pr: Vec<f64>,
}

/// One suite.
#[derive(Clone, Debug)]
pub struct SuiteResult {
    /// Its name.
    pub name: String,
    /// All its series put together.
    pub summary: Summary,
    /// The name and the measures of each series.
    pub series: Vec<(String, Measured)>,
    /// The curves of each series that has any.
    pub curves: Vec<Curves>,
}

/// Learns from so many rows and scores the others.
pub type Detect<'a> = dyn Fn(&Table, usize) -> Result<Vec<Line>, String> + Sync + 'a;

/// What a run of suites needs.
pub struct SuiteRun<'a> {
    /// What to run.
    pub manifest: &'a Manifest,
    /// Where the labels are, as `SUITE/SERIES.csv`.
    pub labels: &'a Path,
    /// Where to put the scores, in the same way, if they are wanted.
    pub scores: Option<&'a Path>,
    /// The detector.
    pub detect: &'a Detect<'a>,
    /// Is told of each series that is done. May be called from several threads.
    pub done: &'a (dyn Fn(&Entry) + Sync),
    /// How many series at once.
    pub threads: usize,
}

type Outcome = Result<(Measured, Option<Curves>), EvaluateError>;

impl SuiteRun<'_> {
    /// Runs all series and puts them together by suite, in the order of the suites' names.
    pub fn run(&self) -> Result<Vec<SuiteResult>, EvaluateError> {
        let entries = &self.manifest.entries;
        let next = AtomicUsize::new(0);
        let outcomes: Mutex<Vec<(usize, Outcome)>> = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..self.threads.clamp(1, entries.len().max(1)) {
                scope.spawn(|| {
                    while let Some((at, entry)) = {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        entries.get(at).map(|entry| (at, entry))
                    } {
                        let outcome = self.one(entry);
                        match &outcome {
                            Ok(_) => (self.done)(entry),
                            // Nobody needs to begin another one. Every earlier one has begun, so the first error in the
                            // manifest's order is known in the end.
                            Err(_) => next.store(entries.len(), Ordering::Relaxed),
                        }
                        outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((at, outcome));
                    }
                });
            }
        });
        let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcomes.sort_by_key(|(at, _)| *at);
        let mut suites: Vec<SuiteResult> = Vec::new();
        for (at, outcome) in outcomes {
            let (measured, curves) = outcome?;
            let Some(entry) = entries.get(at) else { continue };
            let suite = match suites.iter_mut().find(|suite| suite.name == entry.suite) {
                Some(suite) => suite,
                None => suites.push_mut(SuiteResult {
                    name: entry.suite.clone(),
                    summary: Summary::default(),
                    series: Vec::new(),
                    curves: Vec::new(),
                }),
            };
            suite.series.push((entry.series.clone(), measured));
            suite.curves.extend(curves);
        }
        for suite in &mut suites {
            let all: Vec<Measured> = suite.series.iter().map(|(_, measured)| measured.clone()).collect();
            suite.summary = summarise(&all);
        }
        suites.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(suites)
    }

    fn one(&self, entry: &Entry) -> Outcome {
        let path = self.manifest.folder.join(&entry.input);
        let table = read_table(&path)?;
        let train_rows =
            table.train_rows(Some(entry.train_rows)).map_err(|why| EvaluateError::Table { path: path.clone(), why })?;
        let lines =
            (self.detect)(&table, train_rows).map_err(|why| EvaluateError::Detector { path: path.clone(), why })?;
        scores::check(&lines).map_err(|why| EvaluateError::Scores { path: path.clone(), why })?;
        let file = PathBuf::from(&entry.suite).join(format!("{}.csv", entry.series));
        if let Some(folder) = self.scores {
            save(&folder.join(&file), &table, &lines)?;
        }
        // Only now, when every score is there.
        let labels = self.labels.join(&file);
        let scores: Vec<Score> = lines.iter().map(Score::from).collect();
        let series = Series::join(read_labels(&labels)?, scores, entry.interval_s)
            .map_err(|why| EvaluateError::Scores { path: labels, why })?;
        let grid = grid();
        let curves = curve(&series).map(|curve| Curves { roc: curve.tpr_at(&grid), pr: curve.precision_at(&grid) });
        Ok((measure(&series), curves))
    }
}

fn save(path: &Path, table: &Table, lines: &[Line]) -> Result<(), EvaluateError> {
    let failed = |why| EvaluateError::Write { path: path.to_owned(), why };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let file = std::fs::File::create(path).map_err(failed)?;
    scores::write(file, table, lines).map_err(|why| EvaluateError::Scores { path: path.to_owned(), why })
}

/// Evenly from 0 to 1.
fn grid() -> Vec<f64> {
    (0..GRID).map(|i| i as f64 / (GRID - 1) as f64).collect()
}

#[cfg(test)]
mod tests;

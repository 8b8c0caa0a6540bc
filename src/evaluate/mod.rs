//! Offline: a table of metrics in, scores out, and how good they are against labels. The detector is handed in;
//! nothing here knows how it works, and nothing it is handed holds a label. No network, no clock. Called by `suture
//! detect`.
//!
//! The way through: `sheet` reads CSV as such, `table`, `labels` and `scores` give it meaning, `measures` (with
//! `curve`, `alarm` and `vus`) takes the figures of one series and of many, `suite` does that for a folder of them,
//! `report` and `plot` show it.

mod alarm;
mod curve;
mod labels;
mod measures;
mod plot;
mod report;
mod scores;
mod sheet;
mod suite;
mod table;
mod vus;

use std::path::{Path, PathBuf};

use thiserror::Error;

pub use labels::{Label, Labels, LabelsError};
pub use measures::{BUDGETS, Culprit, Measured, Rates, Shipped, Summary, Within, measure, summarise};
pub use plot::{PlotError, draw};
pub use report::{json, markdown, text};
pub use scores::{COLUMNS, Score, ScoresError, Series, check, interval, read as read_scores, write as write_scores};
pub use sheet::SheetError;
pub use suite::{Curves, Entry, Manifest, SuiteResult, SuiteRun};
pub use table::{LEAST_TRAIN_ROWS, Table, TableError, TimeKind};

/// Why something was not scored or not measured: the file, the place in it, and what to do.
#[derive(Debug, Error)]
pub enum EvaluateError {
    /// The metrics.
    #[error("{}: {why}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: TableError,
    },
    /// The labels.
    #[error("{}: {why}", path.display())]
    Labels {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: LabelsError,
    },
    /// The scores.
    #[error("{}: {why}", path.display())]
    Scores {
        /// The file, or that of the metrics they are of.
        path: PathBuf,
        /// What is wrong with them.
        why: ScoresError,
    },
    /// What the detector says itself.
    #[error("{}: {why}", path.display())]
    Detector {
        /// The file of the metrics.
        path: PathBuf,
        /// What it says.
        why: String,
    },
    /// The list of series.
    #[error("{}: {why}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file or a folder that is to be made.
    #[error("{}: cannot be written: {why}; check the folder, who may write to it, and the space left", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: std::io::Error,
    },
    /// A picture.
    #[error("{}: {why}", path.display())]
    Plot {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: PlotError,
    },
}

impl EvaluateError {
    /// Whether the fault is in what was given. Else it is the detector's, or the drawing's.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::Scores { why: ScoresError::NotFinite { .. }, .. } | Self::Plot { .. })
    }
}

/// Reads a table of metrics.
pub fn read_table(path: &Path) -> Result<Table, EvaluateError> {
    Table::read(path).map_err(|why| EvaluateError::Table { path: path.to_owned(), why })
}

/// Reads labels.
pub fn read_labels(path: &Path) -> Result<Labels, EvaluateError> {
    Labels::read(path).map_err(|why| EvaluateError::Labels { path: path.to_owned(), why })
}

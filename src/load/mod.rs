//! Load on a service, and what it was like for its customers: plans as data, an open-loop generator, JMeter as another
//! engine for the same plans, and the figures of both by one rule.
//!
//! The rule: average and percentiles are those of good answers, and of requests that were waited for in vain, with as
//! long as they were waited for. A refusal that comes fast is an error and makes no latency look good.
//!
//! Must never be part of a daemon's own work. Called by `suture bench load`.

mod generate;
mod jmeter;
mod jtl;
mod picture;
mod plan;
mod report;
mod schedule;
mod tally;

use std::path::PathBuf;

pub use generate::{Generator, Live, Loop, Site, SiteError};
pub use jmeter::JMeter;
pub use jtl::read as read_jtl;
pub use picture::{Curve, draw};
pub use plan::{Group, Limits, PLANS, Plan, Run, Short};
pub use report::{Row, csv, json, markdown, table};
pub use schedule::{Arrival, Schedule};
pub use tally::{Kind, Second, Summary, Tally};

/// How long a customer waits for an answer.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Different items that are asked for, from 0: a cache of one second helps a little and one of ten seconds a lot.
pub const ITEMS: u32 = 900;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The histogram does not take its bounds.
    #[error("no histogram: {0}")]
    Histogram(String),
    /// JMeter did not run, or not to its end.
    #[error("JMeter: {0}")]
    JMeter(String),
    /// A results file says something that no JMeter writes.
    #[error("{path}: {why}", path = path.display())]
    Results {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        why: String,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {why}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// A picture cannot be drawn.
    #[error("the picture cannot be drawn: {0}")]
    Picture(String),
}

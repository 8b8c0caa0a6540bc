//! The authoring kit: what stands behind `suture playbook ...`.
//!
//! A new playbook's folder (`scaffold`, `template`), from sources to a component (`build`), what a component is
//! (`inspect`), cases (`case`, `parse`, `world`, `trial`, `verdict`), and what cases do not find (`bench`, `fuzz`).
//! Everything runs components in the daemon's own host and in its own dry run, so what is seen here is what happens
//! there. It must never act on anything real, and shows nothing of a component that was not cleaned. Called by the
//! command line alone.

mod bench;
mod build;
mod case;
mod component;
mod fuzz;
mod generate;
mod inspect;
mod nested;
mod parse;
mod scaffold;
mod shrink;
mod template;
#[cfg(test)]
mod tests;
mod trial;
mod verdict;
mod world;
mod write;

use std::path::PathBuf;

pub use bench::{Bench, Spread, bench};
pub use build::{Built, Lang, build};
pub use case::{
    AutoscalerTable, Call, Case, Deny, DriverTable, Expect, Fail, FailError, Incident, InstanceTable, Target,
};
pub use component::Component;
pub use fuzz::{Finding, FindingKind, Fuzzed, fuzz};
pub use inspect::{Inspected, inspect};
pub use parse::CaseErrors;
pub use scaffold::scaffold;
pub use trial::{Outcome, Trial};
pub use verdict::{Difference, Line, differences};

use crate::wasm::LoadError;

/// Why a command of the kit could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum AuthorError {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A file or folder cannot be read or written.
    #[error("cannot {doing} {path}: {why}")]
    File {
        /// `read`, `write`, `make`.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// The system's words.
        why: std::io::Error,
    },
    /// A component cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A case cannot be used.
    #[error(transparent)]
    Case(#[from] CaseErrors),
    /// A tool that builds is not there, with how to get it.
    #[error("{0}")]
    NoTool(String),
    /// The sources do not build; the tool has said why.
    #[error("{0}")]
    NotBuilt(String),
}

impl AuthorError {
    /// Is the input at fault, rather than what was done with it?
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Usage(_) | Self::Case(_) => true,
            Self::Load(error) => !matches!(error, LoadError::Engine(_)),
            Self::File { doing, .. } => *doing == "read",
            Self::NoTool(_) | Self::NotBuilt(_) => false,
        }
    }
}

/// For `map_err` on everything that touches a file.
fn cannot(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> AuthorError {
    let path = path.to_owned();
    move |why| AuthorError::File { doing, path, why }
}

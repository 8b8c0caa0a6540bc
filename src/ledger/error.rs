//! What can go wrong with the ledger. Every message names the thing, the place and the remedy.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::Storage;

/// Why the ledger did not open, or did not take a record. A failed append was not acknowledged and announces nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Another daemon works in this data folder.
    #[error(
        "{} is held by {holder}: one daemon a data folder. Stop that one, or give this one another --data-dir",
        path.display()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// `process 4711`, or that it is not known.
        holder: String,
    },
    /// The disk is full. The ledger takes no more records until the daemon is started again.
    #[error(
        "{file}: no space left on the disk{}; nothing was recorded, so nothing is done. Free some space there and \
         start suture again",
        free.map(|bytes| format!(" ({bytes} bytes free)")).unwrap_or_default()
    )]
    Full {
        /// The file that was being written.
        file: String,
        /// Bytes free for this user, where the system tells.
        free: Option<u64>,
    },
    /// The operating system refused. While writing, the ledger takes no more records until it is opened again.
    #[error("{file}: {what}: {why}. Check the disk and the folder's permissions, then start suture again")]
    Io {
        /// Which file or folder.
        file: String,
        /// What was being done: `cannot write`.
        what: &'static str,
        /// In the system's words.
        why: String,
    },
    /// The chain does not hold.
    #[error("{0}. The ledger was changed or damaged; see `suture audit verify`, and restore the folder from a copy")]
    Damaged(Problem),
    /// The record is larger than a record may be.
    #[error("a record of kind `{kind}` would take {bytes} bytes, more than the {max} that one may have: not recorded")]
    TooLarge {
        /// The kind of fact.
        kind: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The record could not be read back as what it is (a number that is not finite, for one).
    #[error("a record of kind `{kind}` would not read back as it is ({why}): not recorded")]
    NotReadable {
        /// The kind of fact.
        kind: &'static str,
        /// What reading it back said.
        why: String,
    },
    /// The ledger was closed, or its writer ended.
    #[error("the ledger is closed: nothing is recorded any more")]
    Closed,
}

impl LedgerError {
    /// Wraps an error of the operating system.
    pub(super) fn io(file: impl fmt::Display, what: &'static str, e: &io::Error) -> Self {
        Self::Io { file: file.to_string(), what, why: e.to_string() }
    }

    /// Wraps an error of writing a file of the ledger: a full disk is told apart.
    pub(super) fn on(storage: &dyn Storage, name: &str, what: &'static str, e: &io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { file: storage.shown(name), free: storage.free_bytes() }
            }
            _ => Self::io(storage.shown(name), what, e),
        }
    }

    /// The same as `io` for a path.
    pub(super) fn path(file: &Path, what: &'static str, e: &io::Error) -> Self {
        Self::io(file.display(), what, e)
    }
}

/// A place where the chain does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line within it, from 1; 0 when it is about the file itself.
    pub line: u64,
    /// The sequence number that belongs at this place.
    pub seq: u64,
    /// What was expected and what was found.
    pub why: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{} (record {}): {}", self.file, self.seq, self.why),
            line => write!(f, "{}:{line} (record {}): {}", self.file, self.seq, self.why),
        }
    }
}

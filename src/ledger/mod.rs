//! The ledger: every fact Suture records, append-only and hash-chained, on disk before the effect it announces.
//!
//! The truth is a series of plain files, `DATA_DIR/ledger/00000000000000000001.jsonl` and so on, each named by the
//! sequence number of its first record. What lies in sled ([`Views`]) can be rebuilt from them or may be lost.
//! This module must never change or drop a record that was acknowledged, never acknowledge one that is not on disk,
//! and never go on when the chain does not hold. Written to by the engine through [`Ledger`] alone; read by the
//! audit, the timeline and the chat through [`Query`], also while a daemon is writing.
//!
//! # Format
//! One record a line, no spaces, ended by one line feed (`0a`); no line feed occurs within a record:
//! ```text
//! {"seq":N,"prev":"<64 hex digits>","event":{...},"hash":"<64 hex digits>"}
//! ```
//! - `seq` counts from 1 without gaps, across all files; a file's name is the `seq` of its first record in 20 digits.
//! - `prev` is the `hash` of the record before, across files too; 64 zeros in the very first record.
//! - `hash` is the SHA-256, in lower case, over the *bytes of the line* before the last `,"hash":`. That is the line
//!   without its last 75 bytes, the line feed not counted. Verification hashes bytes and never serialises anew.
//!
//! A stranger verifies a folder without Suture by running this in it; no output means that the chain holds
//! (`the_recipe_for_strangers` among the tests does the same steps):
//! ```text
//! prev=$(printf '%064d' 0); seq=1
//! cat 0*.jsonl | while IFS= read -r line; do
//!   body=${line%,\"hash\":*}
//!   hash=${line##*,\"hash\":\"}; hash=${hash%\"\}}
//!   [ "$(printf %s "$body" | sha256sum | cut -d' ' -f1)" = "$hash" ] || echo "record $seq was changed"
//!   case $body in "{\"seq\":$seq,\"prev\":\"$prev\",\"event\":"*) ;; *) echo "the chain breaks at record $seq" ;; esac
//!   prev=$hash; seq=$((seq + 1))
//! done
//! ```
//!
//! # What the chain can prove, and what it cannot
//! A record that was changed, removed from the middle, inserted or moved breaks the chain at that place. Records
//! removed from the *end* leave a shorter chain that holds; for that, `tip.json` beside the files names the last
//! record known to be on disk, and a ledger that ends before its tip is reported and not started on. Whoever can
//! write to the folder can rewrite both, or the whole chain with hashes that fit: against that only a copy of the tip
//! in a place they cannot write to helps. The tip is rewritten when the ledger falls quiet, every few hundred
//! records, at a new file and at the end: the records since then are the ones whose removal it does not show.
//!
//! # After a crash
//! A last line without its line feed, at the very end of the last file, is a record that was being written and was
//! never acknowledged. It is cut off, kept in `torn-<seq>.bin`, and reported so that it can be recorded. So is a last
//! stretch that begins with a line holding zero bytes, which some file systems leave after a power cut. Everything
//! else that is not as written above is damage: [`Ledger::open`] refuses it and names the place.

mod error;
mod export;
mod fake;
mod handle;
mod line;
mod lock;
mod query;
mod scan;
mod storage;
mod tell;
mod tip;
mod verify;
mod views;
mod when;
mod writer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use error::{LedgerError, Problem};
pub use export::{Exported, Format, export};
pub use fake::{CrashKind, FakeDisk, Faults};
pub use handle::{Ledger, Observer, Opened, Options, Torn};
pub use line::MAX_RECORD_BYTES;
pub use lock::DataLock;
pub use query::{KINDS, Page, Query, known_kind, query, query_on};
pub use scan::{Position, Records, Stored, records, records_on};
pub use storage::{Disk, SegmentFile, Storage};
pub use tell::{clean, describe, tell, tell_dated};
pub use tip::Tip;
pub use verify::{VerifyReport, verify, verify_on};
pub use views::{Rebuild, Rebuilt, Views, ViewsError, rebuild};
pub use when::{WhenError, parse_when};

/// The folder of the chained files within a data folder.
#[must_use]
pub fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("ledger")
}

//! `tip.json`: the last record known to be on disk, so that a ledger cut short at its end is noticed.

use std::io::{self, Read as _};

use serde::{Deserialize, Serialize};

use crate::model::Digest;

use super::{LedgerError, Problem, Storage};

/// Its name beside the chained files.
pub(super) const TIP: &str = "tip.json";

/// A record that was on disk when the tip was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tip {
    /// Its number; 0 for a ledger without records.
    pub seq: u64,
    /// Its hash; zeros for a ledger without records.
    pub hash: Digest,
}

impl Tip {
    /// The tip of a ledger without records.
    pub(super) const START: Self = Self { seq: 0, hash: Digest([0; 32]) };

    /// Reads it; `None` when there is none.
    pub(super) fn read(storage: &dyn Storage) -> Result<Option<Self>, LedgerError> {
        let mut text = Vec::new();
        match storage.read_from(TIP, 0).and_then(|file| file.take(4096).read_to_end(&mut text)) {
            Ok(_) => serde_json::from_slice(&text).map(Some).map_err(|e| {
                let why = format!("it does not say which record was the last ({e})");
                LedgerError::Damaged(Problem { file: storage.shown(TIP), line: 0, seq: 0, why })
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(LedgerError::io(storage.shown(TIP), "cannot read", &e)),
        }
    }

    /// Puts it in place.
    pub(super) fn write(self, storage: &dyn Storage) -> Result<(), LedgerError> {
        let text = format!("{{\"seq\":{},\"hash\":\"{}\"}}\n", self.seq, self.hash);
        storage.replace(TIP, text.as_bytes()).map_err(|e| LedgerError::on(storage, TIP, "cannot write", &e))
    }
}

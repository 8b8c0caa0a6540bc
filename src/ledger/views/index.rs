//! The indexes: which record lies where, by number, service, incident, run and kind.
//!
//! Keys end in the record's number, big-endian, so that a walk over a prefix goes through time. A value is the place:
//! file and offset, eight bytes each. Applying a record twice changes nothing, and the mark of the last one is set
//! after its entries, so a crash in between costs nothing but applying it again.

use std::sync::{Arc, PoisonError};

use crate::model::{Digest, Record};

use super::super::query::Pager;
use super::super::scan::{Position, Records, Stored, read_at};
use super::super::{LedgerError, Page, Query, Storage, query_on, records_on};
use super::{Trees, Views, ViewsError, guarded};

/// The last record applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Applied {
    seq: u64,
    at: Position,
    hash: Digest,
}

impl Views {
    /// Indexes one record: for the ledger's observer. A record that was applied before is passed over.
    ///
    /// # Errors
    /// `Behind` when records are missing before it; `Sled`.
    pub fn apply(&self, stored: &Stored) -> Result<(), ViewsError> {
        let Some(trees) = &self.trees else { return Ok(()) };
        // Held until the mark is set, so that the observer and a catch-up never overtake each other.
        let mut mark = trees.last.lock().unwrap_or_else(PoisonError::into_inner);
        let last = mark.map_or(0, |l| l.seq);
        match stored.record.seq {
            seq if seq <= last => Ok(()),
            seq if seq == last + 1 => {
                *mark = Some(guarded("cannot index", || trees.index(stored))?);
                Ok(())
            }
            got => Err(ViewsError::Behind { last, got }),
        }
    }

    /// Indexes what is in the ledger and not in the views; says how many records. When the views belong to another
    /// ledger, all of it is indexed anew.
    ///
    /// # Errors
    /// `Ledger` when it cannot be read, `Sled`.
    pub fn catch_up(&self, storage: &Arc<dyn Storage>) -> Result<u64, ViewsError> {
        let Some(trees) = &self.trees else { return Ok(0) };
        let known = trees.last().filter(|last| {
            read_at(&**storage, last.at).is_ok_and(|found| (found.seq, found.hash) == (last.seq, last.hash))
        });
        if known.is_none() {
            self.forget_index()?;
        }
        let records: Records = match known {
            Some(last) => Records::starting_at(Arc::clone(storage), last.at)?,
            None => records_on(Arc::clone(storage))?,
        };
        let mut applied = 0;
        for stored in records {
            let stored = stored?;
            if known.is_none_or(|last| stored.record.seq > last.seq) {
                self.apply(&stored)?;
                applied += 1;
            }
        }
        Ok(applied)
    }

    /// The number of the last record that is indexed; 0 without one.
    #[must_use]
    pub fn last_applied(&self) -> u64 {
        self.trees.as_ref().and_then(Trees::last).map_or(0, |last| last.seq)
    }

    /// Empties the indexes; samples and models stay.
    pub(super) fn forget_index(&self) -> Result<(), ViewsError> {
        let Some(trees) = &self.trees else { return Ok(()) };
        guarded("cannot empty the indexes", || {
            // The mark first: from here on everything is applied again.
            trees.meta.remove("last")?;
            *trees.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
            trees.indexes().into_iter().try_for_each(sled::Tree::clear)
        })
    }

    /// Asks the ledger, by way of the index that leaves least to read. When the index does not help or does not
    /// hold, the files are read from end to end: the answer is the same.
    ///
    /// # Errors
    /// When a file of the ledger cannot be read.
    pub fn query(&self, storage: &Arc<dyn Storage>, query: &Query) -> Result<Page, LedgerError> {
        let indexed =
            self.trees.as_ref().and_then(|trees| guarded("cannot search", || trees.search(storage, query)).ok());
        match indexed.flatten() {
            Some(page) => Ok(page),
            None => query_on(storage, query),
        }
    }
}

impl Trees {
    fn last(&self) -> Option<Applied> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn indexes(&self) -> [&sled::Tree; 5] {
        [&self.by_seq, &self.by_service, &self.by_incident, &self.by_run, &self.by_kind]
    }

    pub(super) fn read_last(&self) -> Result<Option<Applied>, String> {
        let Some(bytes) = self.meta.get("last").map_err(|e| e.to_string())? else { return Ok(None) };
        decode_applied(&bytes).map(Some).ok_or_else(|| "the mark of the last record is garbage".to_owned())
    }

    fn index(&self, stored: &Stored) -> sled::Result<Applied> {
        let Record { seq, event, hash, .. } = &stored.record;
        let place = place(stored.at);
        let number = seq.to_be_bytes();
        self.by_seq.insert(number, &place)?;
        self.by_kind.insert(key(event.fact.kind().as_bytes(), &number), &place)?;
        if let Some(service) = &event.service {
            self.by_service.insert(key(service.0.as_bytes(), &number), &place)?;
        }
        if let Some(incident) = event.incident {
            self.by_incident.insert(key(&incident.0.to_be_bytes(), &number), &place)?;
        }
        if let Some(run) = event.run {
            self.by_run.insert(key(&run.0.to_be_bytes(), &number), &place)?;
        }
        let applied = [number.as_slice(), &place, &hash.0].concat();
        self.meta.insert("last", applied)?;
        Ok(Applied { seq: *seq, at: stored.at, hash: *hash })
    }

    /// `None` when the index is of no use for this question.
    fn search(&self, storage: &Arc<dyn Storage>, query: &Query) -> Result<Option<Page>, String> {
        let (tree, prefix) = if let Some(run) = query.run {
            (&self.by_run, key(&run.0.to_be_bytes(), &[]))
        } else if let Some(incident) = query.incident {
            (&self.by_incident, key(&incident.0.to_be_bytes(), &[]))
        } else if let Some(kind) = &query.kind {
            (&self.by_kind, key(kind.as_bytes(), &[]))
        } else if let Some(service) = &query.service {
            (&self.by_service, key(service.0.as_bytes(), &[]))
        } else {
            // Everything would be read, in pieces: the files from end to end are faster.
            return Ok(None);
        };
        let mut pager = Pager::new(query);
        for entry in tree.scan_prefix(prefix) {
            let (_, place) = entry.map_err(|e| e.to_string())?;
            let at = decode_place(&place).ok_or("a place is garbage")?;
            let record = read_at(&**storage, at).map_err(|e| e.to_string())?;
            pager.see(&record.event, at);
        }
        // Records that came since, or while views lag behind, are read from the file.
        let mut unreadable = 0;
        let last = self.last();
        let rest = match last {
            Some(last) => Records::starting_at(Arc::clone(storage), last.at),
            None => records_on(Arc::clone(storage)),
        };
        for stored in rest.map_err(|e| e.to_string())? {
            match stored {
                Ok(s) if last.is_none_or(|last| s.record.seq > last.seq) => pager.see(&s.record.event, s.at),
                Ok(_) => {}
                Err(LedgerError::Damaged(_)) => unreadable += 1,
                Err(e) => return Err(e.to_string()),
            }
        }
        pager.page(&**storage, unreadable).map(Some).map_err(|e| e.to_string())
    }
}

/// The part, its length before it so that no part is the beginning of another, and the rest.
pub(super) fn key(part: &[u8], rest: &[u8]) -> Vec<u8> {
    let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
    [length.to_be_bytes().as_slice(), part, rest].concat()
}

fn place(at: Position) -> [u8; 16] {
    ((u128::from(at.segment) << 64) | u128::from(at.offset)).to_be_bytes()
}

fn decode_place(bytes: &[u8]) -> Option<Position> {
    let (segment, offset) = bytes.split_first_chunk::<8>()?;
    let offset = <[u8; 8]>::try_from(offset).ok()?;
    Some(Position { segment: u64::from_be_bytes(*segment), offset: u64::from_be_bytes(offset) })
}

fn decode_applied(bytes: &[u8]) -> Option<Applied> {
    let (seq, rest) = bytes.split_first_chunk::<8>()?;
    let (place, hash) = rest.split_first_chunk::<16>()?;
    let hash = Digest(<[u8; 32]>::try_from(hash).ok()?);
    Some(Applied { seq: u64::from_be_bytes(*seq), at: decode_place(place)?, hash })
}

//! The one that appends: takes whole jobs, writes them, makes them durable, and stops for good at the first error.
//!
//! Knows no threads and no waiting: [`super::Ledger`] gives it one. Must never say that a record is on disk before
//! the sync returned, and never append behind something that may be half-written.

use std::sync::Arc;

use crate::model::{Event, Record};

use super::handle::Torn;
use super::line::{self, Frame};
use super::scan::{Position, Stored, segment_name, walk};
use super::verify::tip_mismatch;
use super::{LedgerError, SegmentFile, Storage, Tip};

/// Rewrite the tip after this many records at the latest: a tip costs a sync of its own, so not for each.
const TIP_EVERY: u64 = 512;

pub(super) struct Writer {
    storage: Arc<dyn Storage>,
    file: Box<dyn SegmentFile>,
    segment_bytes: u64,
    /// The file being appended to.
    segment: u64,
    /// Bytes in it.
    written: u64,
    /// Bytes in it that are on disk.
    synced: u64,
    /// Encoded and not written yet.
    buffer: Vec<u8>,
    /// The last record staged.
    head: Tip,
    /// The last record on disk.
    durable: Tip,
    /// The tip as recorded.
    tip: Tip,
    broken: Option<LedgerError>,
}

/// A writer at the end of an existing chain, and what was found on the way there.
pub(super) struct Found {
    pub writer: Writer,
    pub replayed: u64,
    pub torn: Option<Torn>,
}

impl Writer {
    /// Reads the whole chain, hands on each record, cuts off a torn end, and stands ready behind it.
    pub(super) fn open(
        storage: Arc<dyn Storage>,
        segment_bytes: u64,
        fresh_segment: bool,
        each: &mut dyn FnMut(Stored),
    ) -> Result<Found, LedgerError> {
        let recorded = Tip::read(&*storage)?;
        let mut hash_at_tip = None;
        let mut on_frame = |frame: &Frame<'_>, at: Position| {
            let record = frame.record()?;
            if recorded.is_some_and(|tip| tip.seq == frame.seq) {
                hash_at_tip = Some(frame.hash);
            }
            each(Stored { record, at });
            Ok(())
        };
        let walked = walk(&storage, &mut on_frame)?;
        if let Some(problem) = walked.problem {
            return Err(LedgerError::Damaged(problem));
        }
        let head = Tip { seq: walked.records, hash: walked.last };
        let end = walked.end.unwrap_or(Position { segment: head.seq + 1, offset: 0 });
        let mismatch =
            recorded.and_then(|tip| tip_mismatch(tip, head, hash_at_tip, storage.shown(&segment_name(end.segment))));
        if let Some(problem) = mismatch {
            return Err(LedgerError::Damaged(problem));
        }
        let name = segment_name(end.segment);
        let shown = storage.shown(&name);
        let mut torn = None;
        let file = if walked.end.is_none() {
            // The tip before the first file: from the first record on, its absence means that somebody removed it.
            head.write(&*storage)?;
            storage.create(&name).map_err(|e| LedgerError::on(&*storage, &name, "cannot create", &e))?
        } else {
            let mut file = storage.append_to(&name).map_err(|e| LedgerError::io(&shown, "cannot open", &e))?;
            if let Some(bytes) = walked.torn {
                torn = Some(set_aside(&*storage, end, head.seq + 1, bytes)?);
                file.truncate(end.offset).map_err(|e| LedgerError::io(&shown, "cannot cut off a torn record", &e))?;
            }
            // What was read may have been written by a process that died before its sync: nothing may be built on a
            // record that a power cut can still take away.
            file.sync().map_err(|e| LedgerError::io(&shown, "cannot sync", &e))?;
            file
        };
        let mut writer = Self {
            storage,
            file,
            segment_bytes,
            segment: end.segment,
            written: end.offset,
            synced: end.offset,
            buffer: Vec::new(),
            head,
            durable: head,
            tip: recorded.unwrap_or(Tip::START),
            broken: None,
        };
        if recorded != Some(head) && walked.end.is_some() {
            writer.record_tip()?;
        }
        if fresh_segment && writer.written > 0 {
            writer.roll()?;
        }
        Ok(Found { writer, replayed: walked.records, torn })
    }

    /// Encodes the records of one job, all or none. Nothing is written yet.
    pub(super) fn stage(&mut self, events: Vec<Event>) -> Result<Vec<Stored>, LedgerError> {
        if let Some(e) = &self.broken {
            return Err(e.clone());
        }
        let (before, head) = (self.buffer.len(), self.head);
        let mut stored = Vec::with_capacity(events.len());
        for event in events {
            let (seq, prev) = (self.head.seq + 1, self.head.hash);
            let at = Position { segment: self.segment, offset: self.written + self.buffer.len() as u64 };
            match line::encode(seq, prev, &event, &mut self.buffer) {
                Ok(hash) => {
                    self.head = Tip { seq, hash };
                    stored.push(Stored { record: Record { seq, prev, event, hash }, at });
                }
                Err(e) => {
                    self.buffer.truncate(before);
                    self.head = head;
                    return Err(e);
                }
            }
        }
        Ok(stored)
    }

    /// Writes what is staged. On an error the partial line is cut off again, and the ledger is broken.
    pub(super) fn write_out(&mut self) -> Result<(), LedgerError> {
        if let Some(e) = &self.broken {
            return Err(e.clone());
        }
        let mut rest = self.buffer.as_slice();
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(n) if n > 0 => rest = rest.get(n..).unwrap_or_default(),
                Ok(_) => {
                    return Err(self.break_at(self.written, "cannot write", &std::io::ErrorKind::WriteZero.into()));
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.break_at(self.written, "cannot write", &e)),
            }
        }
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        // One giant batch must not keep its memory for ever.
        self.buffer.shrink_to(1024 * 1024);
        Ok(())
    }

    /// Makes what is written durable.
    pub(super) fn sync(&mut self) -> Result<(), LedgerError> {
        if let Some(e) = &self.broken {
            return Err(e.clone());
        }
        if self.is_dirty() {
            // After a failed sync the system may have forgotten the pages: trying again would prove nothing.
            self.file.sync().map_err(|e| self.break_at(self.synced, "cannot sync", &e))?;
            self.synced = self.written;
            self.durable = self.head;
        }
        Ok(())
    }

    /// Begins the next file if this one is full. Everything staged must be written; to be called between batches.
    pub(super) fn roll_if_full(&mut self) -> Result<(), LedgerError> {
        if self.broken.is_none() && self.written >= self.segment_bytes { self.roll() } else { Ok(()) }
    }

    fn roll(&mut self) -> Result<(), LedgerError> {
        self.sync()?;
        if let Err(e) = self.record_tip() {
            tracing::warn!(error = %e, "the ledger's tip was not recorded");
        }
        let name = segment_name(self.head.seq + 1);
        match self.storage.create(&name) {
            Ok(file) => self.file = file,
            Err(e) => {
                let e = LedgerError::on(&*self.storage, &name, "cannot create", &e);
                self.broken = Some(e.clone());
                return Err(e);
            }
        }
        (self.segment, self.written, self.synced) = (self.head.seq + 1, 0, 0);
        Ok(())
    }

    /// Is there anything written and not yet durable?
    pub(super) fn is_dirty(&self) -> bool {
        self.written > self.synced
    }

    /// Is the recorded tip behind what is on disk?
    pub(super) fn tip_is_stale(&self) -> bool {
        self.broken.is_none() && self.tip.seq < self.durable.seq
    }

    /// Rewrites the tip if it lies far behind.
    pub(super) fn record_tip_now_and_then(&mut self) -> Result<(), LedgerError> {
        if self.durable.seq - self.tip.seq >= TIP_EVERY { self.record_tip() } else { Ok(()) }
    }

    /// Rewrites the tip. When that fails the ledger is as sound as before: only removal from its end shows less.
    pub(super) fn record_tip(&mut self) -> Result<(), LedgerError> {
        if self.broken.is_none() {
            self.durable.write(&*self.storage)?;
            self.tip = self.durable;
        }
        Ok(())
    }

    /// Cuts the file back to where it is sound, as far as that goes, and takes no more records.
    fn break_at(&mut self, sound: u64, what: &'static str, e: &std::io::Error) -> LedgerError {
        let error = LedgerError::on(&*self.storage, &segment_name(self.segment), what, e);
        // If this fails too, the next start finds the partial line and cuts it off.
        if self.file.truncate(sound).and_then(|()| self.file.sync()).is_ok() {
            self.written = sound;
        }
        self.buffer = Vec::new();
        self.broken = Some(error.clone());
        error
    }
}

/// Copies a torn end into a file beside, durably, before it is cut off.
fn set_aside(storage: &dyn Storage, end: Position, seq: u64, bytes: u64) -> Result<Torn, LedgerError> {
    let from = segment_name(end.segment);
    let names = storage.list().map_err(|e| LedgerError::io(storage.shown(""), "cannot list", &e))?;
    // A crash between this copy and the cut leaves a copy already: never write over one.
    let file = (1_u32..)
        .map(|n| if n == 1 { format!("torn-{seq}.bin") } else { format!("torn-{seq}-{n}.bin") })
        .find(|name| !names.contains(name))
        .unwrap_or_else(|| format!("torn-{seq}.bin"));
    let shown = storage.shown(&file);
    let mut copy = storage.create(&file).map_err(|e| LedgerError::on(storage, &file, "cannot create", &e))?;
    let mut reader = storage.read_from(&from, end.offset).map_err(|e| LedgerError::io(&from, "cannot read", &e))?;
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let n = reader.read(&mut chunk).map_err(|e| LedgerError::io(&from, "cannot read", &e))?;
        let mut rest = chunk.get(..n).unwrap_or_default();
        if rest.is_empty() {
            break;
        }
        while !rest.is_empty() {
            let n = copy.write(rest).map_err(|e| LedgerError::on(storage, &file, "cannot write", &e))?;
            if n == 0 {
                return Err(LedgerError::io(&shown, "cannot write", &std::io::ErrorKind::WriteZero.into()));
            }
            rest = rest.get(n..).unwrap_or_default();
        }
    }
    copy.sync().map_err(|e| LedgerError::on(storage, &file, "cannot sync", &e))?;
    Ok(Torn { bytes, kept_in: shown })
}

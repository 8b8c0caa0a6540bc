//! Walks over the chained files from the first record on: once for opening, verifying, auditing and rebuilding.
//!
//! Reads only, takes no lock, and may run while a daemon appends: what is appended meanwhile may or may not be seen.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read, Take};
use std::path::Path;
use std::sync::Arc;

use crate::model::{Digest, Record};

use super::line::{self, Frame};
use super::{Disk, LedgerError, MAX_RECORD_BYTES, Problem, Storage, folder};

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Which file: the number of its first record.
    pub segment: u64,
    /// Bytes before the record in that file.
    pub offset: u64,
}

/// A record with the place where it lies.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The record.
    pub record: Record,
    /// Its place.
    pub at: Position,
}

/// The file whose first record has this number.
pub(super) fn segment_name(first: u64) -> String {
    format!("{first:020}.jsonl")
}

/// The files of a ledger, by the number of their first record.
pub(super) fn segments(storage: &dyn Storage) -> Result<VecDeque<u64>, LedgerError> {
    let names = storage.list().map_err(|e| LedgerError::io(storage.shown(""), "cannot list the ledger's files", &e))?;
    let mut firsts = Vec::new();
    for name in names.iter().filter(|n| n.ends_with(".jsonl")) {
        match name.strip_suffix(".jsonl").and_then(|digits| digits.parse().ok()) {
            Some(first) if segment_name(first) == *name => firsts.push(first),
            _ => {
                let why = "its name is not the number of a record in 20 digits: it does not belong here".to_owned();
                return Err(LedgerError::Damaged(Problem { file: storage.shown(name), line: 0, seq: 0, why }));
            }
        }
    }
    firsts.sort_unstable();
    Ok(firsts.into())
}

/// What comes next in a walk.
pub(super) enum Step {
    /// A file begins.
    File(u64),
    /// A line, in the buffer that was handed in.
    Line(LineInfo),
}

/// What is known of a line besides its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineInfo {
    /// Where it begins.
    pub at: Position,
    /// Counted from 1 within the file.
    pub number: u64,
    /// Did its line feed follow within the greatest length?
    pub complete: bool,
    /// Is it in the last file?
    pub last_file: bool,
}

/// Line by line through all the files.
pub(super) struct Lines {
    storage: Arc<dyn Storage>,
    files: VecDeque<u64>,
    open: Option<OpenFile>,
}

struct OpenFile {
    first: u64,
    reader: Take<BufReader<Box<dyn Read + Send>>>,
    offset: u64,
    number: u64,
}

impl Lines {
    pub(super) fn new(storage: Arc<dyn Storage>) -> Result<Self, LedgerError> {
        let files = segments(&*storage)?;
        Ok(Self { storage, files, open: None })
    }

    /// From this place on, for those who have walked the rest before.
    pub(super) fn starting_at(storage: Arc<dyn Storage>, at: Position) -> Result<Self, LedgerError> {
        let mut lines = Self::new(storage)?;
        lines.files.retain(|first| *first > at.segment);
        lines.open = Some(lines.open_file(at)?);
        Ok(lines)
    }

    fn open_file(&self, at: Position) -> Result<OpenFile, LedgerError> {
        let name = segment_name(at.segment);
        let file = self
            .storage
            .read_from(&name, at.offset)
            .map_err(|e| LedgerError::io(self.storage.shown(&name), "cannot read", &e))?;
        let reader = BufReader::with_capacity(64 * 1024, file).take(0);
        Ok(OpenFile { first: at.segment, reader, offset: at.offset, number: 0 })
    }

    /// The next step; `None` at the end. After a line that is not complete the rest of its file is skipped.
    pub(super) fn next(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Step>, LedgerError> {
        loop {
            let last_file = self.files.is_empty();
            let Some(open) = &mut self.open else {
                let Some(first) = self.files.pop_front() else { return Ok(None) };
                self.open = Some(self.open_file(Position { segment: first, offset: 0 })?);
                return Ok(Some(Step::File(first)));
            };
            buffer.clear();
            // One byte more than the longest line, so that a longer one is seen to be longer.
            open.reader.set_limit(MAX_RECORD_BYTES as u64 + 1);
            let read = open
                .reader
                .read_until(b'\n', buffer)
                .map_err(|e| LedgerError::io(self.storage.shown(&segment_name(open.first)), "cannot read", &e))?;
            if read == 0 {
                self.open = None;
                continue;
            }
            let complete = buffer.pop_if(|last| *last == b'\n').is_some();
            let at = Position { segment: open.first, offset: open.offset };
            open.offset += read as u64;
            open.number += 1;
            let number = open.number;
            if !complete {
                self.open = None;
            }
            return Ok(Some(Step::Line(LineInfo { at, number, complete, last_file })));
        }
    }
}

/// What a walk over the whole chain found.
#[derive(Debug)]
pub(super) struct Walked {
    /// Records that are in order.
    pub records: u64,
    /// Files.
    pub segments: u64,
    /// The hash of the last record in order; zeros without one.
    pub last: Digest,
    /// Where the last record in order ends; `None` when there is no file.
    pub end: Option<Position>,
    /// A half-written record behind that: bytes.
    pub torn: Option<u64>,
    /// The first place where the chain does not hold. The walk ended there.
    pub problem: Option<Problem>,
}

/// Walks over the whole chain and hands on each record that is in order. What `each` refuses is a problem too.
pub(super) fn walk(
    storage: &Arc<dyn Storage>,
    each: &mut dyn FnMut(&Frame<'_>, Position) -> Result<(), String>,
) -> Result<Walked, LedgerError> {
    let mut lines = Lines::new(Arc::clone(storage))?;
    let mut buffer = Vec::new();
    let mut walked = Walked { records: 0, segments: 0, last: Digest([0; 32]), end: None, torn: None, problem: None };
    while let Some(step) = lines.next(&mut buffer)? {
        let seq = walked.records + 1;
        let info = match step {
            Step::File(first) if first == seq => {
                walked.segments += 1;
                walked.end = Some(Position { segment: first, offset: 0 });
                continue;
            }
            Step::File(first) => {
                let why =
                    format!("the file that begins with record {seq} is expected here, this one begins with {first}");
                let file = storage.shown(&segment_name(first));
                walked.problem = Some(Problem { file, line: 0, seq, why });
                break;
            }
            Step::Line(info) => info,
        };
        if info.last_file && is_torn(&buffer, info.complete) {
            let name = segment_name(info.at.segment);
            let len = storage.len(&name).map_err(|e| LedgerError::io(storage.shown(&name), "cannot look at", &e))?;
            walked.torn = Some(len.saturating_sub(info.at.offset));
            break;
        }
        match check(&buffer, info, seq, walked.last).and_then(|f| each(&f, info.at).map(|()| f.hash)) {
            Ok(hash) => {
                walked.records = seq;
                walked.last = hash;
                let offset = info.at.offset + buffer.len() as u64 + 1;
                walked.end = Some(Position { segment: info.at.segment, offset });
            }
            Err(why) => {
                let file = storage.shown(&segment_name(info.at.segment));
                walked.problem = Some(Problem { file, line: info.number, seq, why });
                break;
            }
        }
    }
    Ok(walked)
}

/// Left by a crash at the very end of the last file: no line feed yet, or never-written bytes, which read as zeros.
/// A record holds neither a line feed nor a zero byte.
fn is_torn(line: &[u8], complete: bool) -> bool {
    (!complete && line.len() <= MAX_RECORD_BYTES) || line.contains(&0)
}

fn check(line: &[u8], info: LineInfo, seq: u64, prev: Digest) -> Result<Frame<'_>, String> {
    if !info.complete {
        return Err(if line.len() > MAX_RECORD_BYTES {
            format!("this line is longer than {MAX_RECORD_BYTES} bytes")
        } else {
            "this line is cut off, and another file follows".to_owned()
        });
    }
    let frame = line::decode(line)?;
    if frame.seq != seq {
        return Err(format!("record {seq} belongs here, this is record {}", frame.seq));
    }
    if frame.prev != prev {
        return Err(format!("it follows a record with hash {}, the one before has {prev}", frame.prev));
    }
    Ok(frame)
}

/// One record, read again from where it lies.
pub(super) fn read_at(storage: &dyn Storage, at: Position) -> Result<Record, LedgerError> {
    let name = segment_name(at.segment);
    let io = |e| LedgerError::io(storage.shown(&name), "cannot read", &e);
    let mut line = Vec::new();
    let file = storage.read_from(&name, at.offset).map_err(io)?;
    let mut reader = BufReader::new(file).take(MAX_RECORD_BYTES as u64 + 1);
    reader.read_until(b'\n', &mut line).map_err(io)?;
    line.pop_if(|last| *last == b'\n');
    line::decode(&line).and_then(|f| f.record()).map_err(|why| {
        let why = format!("at byte {}: {why}", at.offset);
        LedgerError::Damaged(Problem { file: storage.shown(&name), line: 0, seq: 0, why })
    })
}

/// The records of a ledger in order, each checked against its own hash. A line that is not in order is an error in
/// its place and the walk goes on behind it: an audit of a damaged ledger shows what can still be read. Whether the
/// *chain* holds is for [`super::verify`] to say. A half-written last line ends the walk.
pub struct Records {
    storage: Arc<dyn Storage>,
    lines: Lines,
    buffer: Vec<u8>,
    seq: u64,
    failed: bool,
}

/// The records of the ledger in this data folder.
///
/// # Errors
/// When the folder cannot be listed.
pub fn records(data_dir: &Path) -> Result<Records, LedgerError> {
    records_on(Arc::new(Disk::at(folder(data_dir))))
}

/// The same for any storage.
///
/// # Errors
/// When it cannot be listed.
pub fn records_on(storage: Arc<dyn Storage>) -> Result<Records, LedgerError> {
    let lines = Lines::new(Arc::clone(&storage))?;
    Ok(Records { storage, lines, buffer: Vec::new(), seq: 0, failed: false })
}

impl Records {
    /// The records from this one on.
    pub(super) fn starting_at(storage: Arc<dyn Storage>, at: Position) -> Result<Self, LedgerError> {
        let lines = Lines::starting_at(Arc::clone(&storage), at)?;
        Ok(Self { storage, lines, buffer: Vec::new(), seq: 0, failed: false })
    }

    /// The bytes of the line that the last item was read from, without the line feed.
    pub(super) fn raw(&self) -> &[u8] {
        &self.buffer
    }
}

impl Iterator for Records {
    type Item = Result<Stored, LedgerError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            let info = match self.lines.next(&mut self.buffer) {
                Ok(Some(Step::File(_))) => continue,
                Ok(Some(Step::Line(info))) => info,
                Ok(None) => return None,
                Err(e) => {
                    self.failed = true;
                    return Some(Err(e));
                }
            };
            if info.last_file && is_torn(&self.buffer, info.complete) {
                self.failed = true;
                return None;
            }
            self.seq += 1;
            return Some(match line::decode(&self.buffer).and_then(|f| f.record()) {
                Ok(record) => {
                    self.seq = record.seq;
                    Ok(Stored { record, at: info.at })
                }
                Err(why) => {
                    let file = self.storage.shown(&segment_name(info.at.segment));
                    Err(LedgerError::Damaged(Problem { file, line: info.number, seq: self.seq, why }))
                }
            });
        }
        None
    }
}

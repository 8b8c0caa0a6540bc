//! A disk in memory that tears writes, fills up, fails to sync, and loses its power: for tests, here and elsewhere.
//!
//! It keeps apart what was written and what is durable, and it can be cut at any byte or at any operation. After the
//! cut every call fails, as it would for a process that is no more; [`FakeDisk::after_crash`] is the disk that the
//! next process finds.

use std::collections::BTreeMap;
use std::io::{self, Cursor, ErrorKind, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{SegmentFile, Storage};

/// What goes wrong, and when. Nothing by default.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The process dies when this many bytes have been written in all; the byte after them is not.
    pub crash_at_byte: Option<u64>,
    /// The process dies instead of doing this operation (each write, sync, create, replace and truncate is one),
    /// counted from 0.
    pub crash_at_operation: Option<u64>,
    /// One write takes at most this many bytes.
    pub short_writes: Option<usize>,
    /// The disk holds this many bytes.
    pub capacity: Option<u64>,
    /// This sync and all after it fail, counted from 0.
    pub failing_sync: Option<u64>,
    /// Truncating fails.
    pub failing_truncate: bool,
}

/// What the next process finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashKind {
    /// `kill -9`: everything written is there.
    Kill,
    /// The power failed: only what was durable is there.
    PowerCut,
    /// The power failed while the rest was on its way: as much of it as fits into this many bytes a file.
    PowerCutKeeping(usize),
}

#[derive(Clone, Debug, Default)]
struct FakeFile {
    written: Vec<u8>,
    /// How many bytes of it are durable.
    durable: usize,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, FakeFile>,
    faults: Faults,
    bytes: u64,
    operations: u64,
    syncs: u64,
    dead: bool,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct FakeDisk(Arc<Mutex<State>>);

impl FakeDisk {
    /// An empty disk on which this goes wrong.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self(Arc::new(Mutex::new(State { faults, ..State::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what goes wrong from here on; the counts go on.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// How often something was synced.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Bytes written and operations done so far: the places where a crash can be.
    #[must_use]
    pub fn spent(&self) -> (u64, u64) {
        let state = self.state();
        (state.bytes, state.operations)
    }

    /// Did the crash happen?
    #[must_use]
    pub fn crashed(&self) -> bool {
        self.state().dead
    }

    /// The sound disk that the next process finds.
    #[must_use]
    pub fn after_crash(&self, kind: CrashKind) -> Self {
        let mut files = self.state().files.clone();
        for file in files.values_mut() {
            let len = match kind {
                CrashKind::Kill => file.written.len(),
                CrashKind::PowerCut => file.durable,
                CrashKind::PowerCutKeeping(bytes) => file.durable.saturating_add(bytes).min(file.written.len()),
            };
            file.written.truncate(len);
            file.durable = len;
        }
        Self(Arc::new(Mutex::new(State { files, ..State::default() })))
    }

    /// A file's bytes, as a reader sees them.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        self.state().files.get(name).map(|f| f.written.clone())
    }

    /// Puts a file in place, or takes it away: the tampering hand.
    pub fn tamper(&self, name: &str, content: Option<Vec<u8>>) {
        let mut state = self.state();
        match content {
            Some(written) => {
                let durable = written.len();
                state.files.insert(name.to_owned(), FakeFile { written, durable });
            }
            None => {
                state.files.remove(name);
            }
        }
    }
}

fn dead() -> io::Error {
    io::Error::other("the process is dead")
}

impl State {
    /// Counts an operation; dies where it is to die.
    fn operate(&mut self) -> io::Result<()> {
        self.dead |= self.faults.crash_at_operation.is_some_and(|n| self.operations >= n);
        self.operations += 1;
        if self.dead { Err(dead()) } else { Ok(()) }
    }

    fn file(&mut self, name: &str) -> io::Result<&mut FakeFile> {
        self.files.get_mut(name).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn used(&self) -> u64 {
        self.files.values().map(|f| f.written.len() as u64).sum()
    }

    /// How many of so many bytes can be written now.
    fn room(&self, wanted: usize) -> io::Result<usize> {
        let free = self.faults.capacity.map_or(u64::MAX, |c| c.saturating_sub(self.used()));
        if free == 0 && wanted > 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        let n = wanted.min(self.faults.short_writes.unwrap_or(usize::MAX));
        Ok(n.min(usize::try_from(free).unwrap_or(usize::MAX)))
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<usize> {
        self.operate()?;
        let mut n = self.room(bytes.len())?;
        if let Some(limit) = self.faults.crash_at_byte {
            let left = usize::try_from(limit.saturating_sub(self.bytes)).unwrap_or(usize::MAX);
            self.dead |= left < n;
            n = n.min(left);
        }
        let part = bytes.get(..n).unwrap_or_default();
        self.file(name)?.written.extend_from_slice(part);
        self.bytes += n as u64;
        if self.dead { Err(dead()) } else { Ok(n) }
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.operate()?;
        let count = self.syncs;
        self.syncs += 1;
        if self.faults.failing_sync.is_some_and(|n| count >= n) {
            return Err(io::Error::other("input/output error"));
        }
        let file = self.file(name)?;
        file.durable = file.written.len();
        Ok(())
    }
}

impl Storage for FakeDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().files.keys().cloned().collect())
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        self.state().file(name).map(|f| f.written.len() as u64)
    }

    fn read_from(&self, name: &str, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut reader = Cursor::new(self.state().file(name)?.written.clone());
        reader.set_position(offset);
        Ok(Box::new(reader))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        let mut state = self.state();
        state.operate()?;
        if state.files.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        state.files.insert(name.to_owned(), FakeFile::default());
        Ok(Box::new(FakeSegment { disk: self.clone(), name: name.to_owned() }))
    }

    fn append_to(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        self.state().file(name)?;
        Ok(Box::new(FakeSegment { disk: self.clone(), name: name.to_owned() }))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        if state.room(bytes.len())? < bytes.len() && state.faults.short_writes.is_none() {
            return Err(ErrorKind::StorageFull.into());
        }
        let file = FakeFile { written: bytes.to_vec(), durable: bytes.len() };
        state.files.insert(name.to_owned(), file);
        Ok(())
    }

    fn free_bytes(&self) -> Option<u64> {
        let state = self.state();
        state.faults.capacity.map(|c| c.saturating_sub(state.used()))
    }

    fn shown(&self, name: &str) -> String {
        name.to_owned()
    }
}

struct FakeSegment {
    disk: FakeDisk,
    name: String,
}

impl SegmentFile for FakeSegment {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.state().append(&self.name, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.state().sync(&self.name)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operate()?;
        if state.faults.failing_truncate {
            return Err(io::Error::other("input/output error"));
        }
        let file = state.file(&self.name)?;
        file.written.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        file.durable = file.durable.min(file.written.len());
        Ok(())
    }
}

//! What lies in sled, `DATA_DIR/views`: indexes that can be rebuilt from the ledger, samples and models that may be
//! lost. Nothing in here is needed for truth.
//!
//! A folder that does not open, whatever the reason, is moved aside and built anew; if even that fails, the daemon
//! runs on the ledger alone, with samples and models in memory. sled is known to panic on damaged folders, so each
//! call into it is guarded: a damaged cache must not take down the daemon that heals.

mod index;
mod samples;
mod small;

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::{Sample, ServiceId, Timestamp};

use super::{DataLock, Disk, LedgerError, Storage, folder};

/// The version of what is in the trees. Another one is not read but built anew.
const SCHEMA: u64 = 1;

/// sled's page cache. The indexes of a million records are larger; they are read rarely.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// How often sled writes by itself. Everything here may be lost, and an idle daemon is to be quiet.
const FLUSH_MS: u64 = 5_000;

/// Samples kept for each service when they are kept in memory only: nearly six hours at the usual 5 s.
const MEMORY_SAMPLES: usize = 4096;

/// The views could not do something. Never a reason to stop healing: the ledger is the truth.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewsError {
    /// sled said no, or panicked.
    #[error("views: {what}: {why}. `suture ledger rebuild` builds them anew")]
    Sled {
        /// What was being done.
        what: &'static str,
        /// What sled said.
        why: String,
    },
    /// Records between the last one applied and this one are missing: call `catch_up`.
    #[error("views: record {got} came after record {last}; they have to catch up with the ledger")]
    Behind {
        /// The last one applied.
        last: u64,
        /// The one that came.
        got: u64,
    },
    /// The ledger could not be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The views had to be built anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// Why the old ones could not be used.
    pub why: String,
    /// Where they lie now.
    pub moved_to: Option<PathBuf>,
    /// Why even new ones could not be opened; then samples and models are in memory only.
    pub in_memory: Option<String>,
}

/// The views of one data folder. Shared by reference; every method may be called from any thread.
pub struct Views {
    trees: Option<Trees>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    samples: BTreeMap<ServiceId, VecDeque<Sample>>,
    models: BTreeMap<ServiceId, Vec<u8>>,
    small: BTreeMap<Vec<u8>, Vec<u8>>,
}

struct Trees {
    db: sled::Db,
    meta: sled::Tree,
    by_seq: sled::Tree,
    by_service: sled::Tree,
    by_incident: sled::Tree,
    by_run: sled::Tree,
    by_kind: sled::Tree,
    samples: sled::Tree,
    layouts: sled::Tree,
    models: sled::Tree,
    chat: sled::Tree,
    /// The last record applied, as it stands in `meta`.
    last: Mutex<Option<index::Applied>>,
}

impl Views {
    /// Opens the views of a data folder, whatever state they are in; call [`Views::catch_up`] next. `now` names the
    /// folder that unusable ones are moved to.
    #[must_use]
    pub fn open(data_dir: &Path, now: Timestamp) -> (Self, Option<Rebuilt>) {
        let dir = data_dir.join("views");
        let why = match Trees::open(&dir) {
            Ok(trees) => return (Self::with(Some(trees)), None),
            Err(why) => why,
        };
        let mut rebuilt = Rebuilt { why, moved_to: None, in_memory: None };
        let again = move_aside(&dir, now).and_then(|to| {
            rebuilt.moved_to = Some(to);
            Trees::open(&dir)
        });
        match again {
            Ok(trees) => (Self::with(Some(trees)), Some(rebuilt)),
            Err(why) => {
                rebuilt.in_memory = Some(why);
                (Self::none(), Some(rebuilt))
            }
        }
    }

    /// No views: queries read the ledger, samples and models are in memory.
    #[must_use]
    pub fn none() -> Self {
        Self::with(None)
    }

    fn with(trees: Option<Trees>) -> Self {
        Self { trees, memory: Mutex::default() }
    }

    /// Are samples and models kept in memory only?
    #[must_use]
    pub fn in_memory(&self) -> bool {
        self.trees.is_none()
    }

    /// Writes what sled has not written yet: when the daemon stops in order.
    ///
    /// # Errors
    /// `Sled`.
    pub fn flush(&self) -> Result<(), ViewsError> {
        let Some(trees) = &self.trees else { return Ok(()) };
        guarded("cannot flush", || trees.db.flush().map(|_| ()))
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// sled gives its lock back on a thread of its own, a moment after the last handle is gone: a folder that was closed just
/// now may look taken. Whether another daemon lives is not asked here; the ledger's lock says that.
fn open_patiently(config: &sled::Config) -> Result<sled::Db, String> {
    const TRIES: u32 = 20;
    const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);
    let mut tries = 0;
    loop {
        tries += 1;
        match config.open() {
            Err(error) if tries < TRIES && error.to_string().contains("could not acquire lock") => {
                std::thread::sleep(PAUSE);
            }
            other => return other.map_err(|e| e.to_string()),
        }
    }
}

impl Trees {
    fn open(dir: &Path) -> Result<Self, String> {
        // A folder with something in it and no version is not ours, or sled found its files to be garbage and began
        // anew: keep what is there.
        let fresh = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none()) || !dir.exists();
        let open = || {
            let config = sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(Some(FLUSH_MS));
            let db = open_patiently(&config)?;
            let tree = |name: &str| db.open_tree(name).map_err(|e| e.to_string());
            let trees = Self {
                meta: tree("meta")?,
                by_seq: tree("by-seq")?,
                by_service: tree("by-service")?,
                by_incident: tree("by-incident")?,
                by_run: tree("by-run")?,
                by_kind: tree("by-kind")?,
                samples: tree("samples")?,
                layouts: tree("layouts")?,
                models: tree("models")?,
                chat: tree("chat")?,
                last: Mutex::new(None),
                db,
            };
            trees.check_schema(fresh)?;
            *trees.last.lock().unwrap_or_else(PoisonError::into_inner) = trees.read_last()?;
            Ok(trees)
        };
        catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|panic| Err(format!("sled panicked: {}", words(&*panic))))
    }

    fn check_schema(&self, fresh: bool) -> Result<(), String> {
        let found = self.meta.get("schema").map_err(|e| e.to_string())?;
        match found.as_deref().map(<[u8; 8]>::try_from) {
            Some(Ok(bytes)) if u64::from_be_bytes(bytes) == SCHEMA => Ok(()),
            Some(Ok(bytes)) => Err(format!("they are of version {}, not {SCHEMA}", u64::from_be_bytes(bytes))),
            Some(Err(_)) => Err("their version is not a number".to_owned()),
            None if fresh => self
                .meta
                .insert("schema", &SCHEMA.to_be_bytes())
                .and_then(|_| self.db.flush())
                .map(|_| ())
                .map_err(|e| e.to_string()),
            None => Err("they have no version".to_owned()),
        }
    }
}

/// Renames the folder; never over something that is there.
fn move_aside(dir: &Path, now: Timestamp) -> Result<PathBuf, String> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let aside = |n: u32| {
        let suffix = if n == 0 { String::new() } else { format!("-{n}") };
        dir.with_file_name(format!("{name}.broken-{}{suffix}", now.0))
    };
    let to = (0..1000).map(aside).find(|to| !to.exists()).ok_or("too many broken views lie beside")?;
    fs::rename(dir, &to).map_err(|e| format!("{} cannot be moved aside: {e}", dir.display()))?;
    Ok(to)
}

/// Calls into sled, and turns a panic in it into an error: it panics on damaged files, and a cache may be damaged.
fn guarded<T, E: std::fmt::Display>(what: &'static str, call: impl FnOnce() -> Result<T, E>) -> Result<T, ViewsError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(ViewsError::Sled { what, why: e.to_string() }),
        Err(panic) => Err(ViewsError::Sled { what, why: format!("sled panicked: {}", words(&*panic)) }),
    }
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    super::clean(&text.unwrap_or("no words").chars().take(200).collect::<String>())
}

/// What a rebuild did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuild {
    /// Records indexed.
    pub records: u64,
    /// The old views could not even be opened: samples and models are gone with them.
    pub replaced: Option<Rebuilt>,
}

/// `suture ledger rebuild`: indexes the whole ledger anew. Samples and models stay, if sled opens. Not while a daemon
/// runs: takes the data folder's lock.
///
/// # Errors
/// `Locked` and the other errors of reading the ledger; `Sled` when not even new views can be written.
pub fn rebuild(data_dir: &Path, now: Timestamp) -> Result<Rebuild, ViewsError> {
    let _lock = DataLock::acquire(data_dir)?;
    let storage: Arc<dyn Storage> = Arc::new(Disk::at(folder(data_dir)));
    let (views, replaced) = Views::open(data_dir, now);
    if let Some(why) = replaced.as_ref().and_then(|r| r.in_memory.clone()) {
        return Err(ViewsError::Sled { what: "cannot be opened anew", why });
    }
    views.forget_index()?;
    let records = views.catch_up(&storage)?;
    views.flush()?;
    Ok(Rebuild { records, replaced })
}

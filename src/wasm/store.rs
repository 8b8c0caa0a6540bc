//! The components that were ever in use, kept by content: `DATA_DIR/components/<sha256>.wasm`.
//!
//! So that an approved plan, a run that is taken up again and a replay use exactly the version that they name, whatever
//! lies in the operator's folders by then. A file is there whole or not at all (temporary file, fsync, rename), and what
//! is read is proved by its digest: a damaged file is an error, never a component. Blocking: to be called from a thread
//! that may wait. Called by the registry of the daemon and, offline, by the replay; nothing is ever run from here.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::Digest;

/// The store's folder in a data folder.
pub const FOLDER: &str = "components";

/// Nothing larger was ever put here by this program: what is, is not read into memory.
const LARGEST: u64 = 1 << 30;

/// Makes the names of temporary files differ within this process; the ledger's lock keeps other daemons out.
static TEMPORARY: AtomicU64 = AtomicU64::new(0);

/// The store in one folder. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    dir: PathBuf,
}

/// The store cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system says no.
    #[error("component store: cannot {what} {path}: {why}")]
    Io {
        /// `read`, `write`, ...
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own words.
        why: io::Error,
    },
    /// The bytes are not those that the name stands for.
    #[error("component store: {path} is damaged: its bytes have SHA-256 {found}; take the file away")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What its bytes have.
        found: Digest,
    },
}

impl Store {
    /// The store in this folder, which need not exist yet: see [`FOLDER`].
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The store of a data folder.
    #[must_use]
    pub fn of_data_dir(data_dir: &Path) -> Self {
        Self::at(data_dir.join(FOLDER))
    }

    /// Keeps these bytes; durable when this returns. What is there already and whole stays as it is.
    ///
    /// # Errors
    /// When the file system does not take them.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        let path = self.path(digest);
        // A damaged one is replaced: we hold the right bytes.
        if matches!(self.get(digest), Ok(Some(_))) {
            return Ok(digest);
        }
        make_private_dir(&self.dir).map_err(|why| StoreError::Io { what: "make", path: self.dir.clone(), why })?;
        let number = TEMPORARY.fetch_add(1, Ordering::Relaxed);
        let temporary = self.dir.join(format!(".{digest}.{}.{number}", std::process::id()));
        let written = write_synced(&temporary, bytes)
            .and_then(|()| fs::rename(&temporary, &path))
            .and_then(|()| File::open(&self.dir)?.sync_all());
        written.map_err(|why| {
            // Nobody looks for it; what is left is only lost space.
            let _ = fs::remove_file(&temporary);
            StoreError::Io { what: "write", path, why }
        })?;
        Ok(digest)
    }

    /// The bytes with this digest; `None` when they are not kept here. What comes back has the digest.
    ///
    /// # Errors
    /// When the file cannot be read, or holds other bytes than its name says.
    pub fn get(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(digest);
        let unreadable = |why| StoreError::Io { what: "read", path: path.clone(), why };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes).map_err(unreadable)?;
        match Digest::of(&bytes) {
            found if found == digest => Ok(Some(bytes)),
            found => Err(StoreError::Damaged { path, found }),
        }
    }

    /// Is there a file for this digest? What is in it is proved when it is read.
    #[must_use]
    pub fn has(&self, digest: Digest) -> bool {
        self.path(digest).is_file()
    }

    /// The digests of everything that is kept.
    ///
    /// # Errors
    /// When the folder cannot be listed; one that is not there is empty.
    pub fn digests(&self) -> Result<BTreeSet<Digest>, StoreError> {
        Ok(self.files()?.into_iter().map(|(digest, _, _)| digest).collect())
    }

    /// Takes components away, those that lie here longest first, until at most `most_bytes` are left; none that is in
    /// `keep`, however large those are. Also what a crash left half-written. Gives how many were taken away.
    ///
    /// # Errors
    /// When the folder cannot be listed or a file cannot be removed.
    pub fn prune(&self, keep: &BTreeSet<Digest>, most_bytes: u64) -> Result<usize, StoreError> {
        let remove = |path: PathBuf| {
            fs::remove_file(&path).map_err(|why| StoreError::Io { what: "remove", path: path.clone(), why })
        };
        for path in self.entries()? {
            if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with('.')) {
                remove(path)?;
            }
        }
        let mut files = self.files()?;
        let mut bytes: u64 = files.iter().map(|(_, _, meta)| meta.len()).sum();
        files.retain(|(digest, _, _)| !keep.contains(digest));
        files.sort_by_key(|(digest, _, meta)| (meta.modified().ok(), *digest));
        let mut removed = 0;
        for (_, path, meta) in files {
            if bytes <= most_bytes {
                break;
            }
            remove(path)?;
            bytes = bytes.saturating_sub(meta.len());
            removed += 1;
        }
        Ok(removed)
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.dir.join(format!("{digest}.wasm"))
    }

    fn entries(&self) -> Result<Vec<PathBuf>, StoreError> {
        let failed = |why| StoreError::Io { what: "list", path: self.dir.clone(), why };
        match fs::read_dir(&self.dir) {
            Ok(entries) => entries.map(|entry| entry.map(|e| e.path()).map_err(failed)).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(failed(error)),
        }
    }

    /// What is named as this store names its files, and is one.
    fn files(&self) -> Result<Vec<(Digest, PathBuf, fs::Metadata)>, StoreError> {
        let file = |path: PathBuf| {
            let digest = path.file_name()?.to_str()?.strip_suffix(".wasm")?.parse().ok()?;
            let meta = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
            Some((digest, path, meta))
        };
        Ok(self.entries()?.into_iter().filter_map(file).collect())
    }
}

/// Components may hold what is nobody else's business.
fn make_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::of_data_dir(dir.path());
        (dir, store)
    }

    #[test]
    fn what_was_put_is_found_by_its_digest_and_nobody_else_may_read_it() {
        let (dir, store) = store();
        assert_eq!(store.get(Digest::of(b"a")).unwrap(), None, "there is not even a folder");
        assert_eq!(store.digests().unwrap(), BTreeSet::new());
        let digest = store.put(b"a").unwrap();
        assert_eq!(store.put(b"a").unwrap(), digest, "twice is once");
        assert_eq!(digest, Digest::of(b"a"));
        assert_eq!(store.get(digest).unwrap().as_deref(), Some(b"a".as_slice()));
        assert!(store.has(digest) && !store.has(Digest::of(b"b")));
        let folder = dir.path().join("components");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join(format!("{digest}.wasm")))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing temporary is left");
    }

    #[test]
    fn a_damaged_file_is_an_error_until_the_right_bytes_are_put_again() {
        let (dir, store) = store();
        let digest = store.put(b"right").unwrap();
        let path = dir.path().join(format!("components/{digest}.wasm"));
        fs::write(&path, b"wrong").unwrap();
        let error = store.get(digest).unwrap_err().to_string();
        assert!(error.contains("is damaged") && error.contains(&Digest::of(b"wrong").to_string()), "{error}");
        store.put(b"right").unwrap();
        assert_eq!(store.get(digest).unwrap().as_deref(), Some(b"right".as_slice()));
    }

    #[test]
    fn pruning_takes_the_oldest_and_never_what_is_to_be_kept() {
        let (dir, store) = store();
        let digests: Vec<_> = [b"aa", b"bb", b"cc"].map(|bytes| store.put(bytes).unwrap()).to_vec();
        fs::write(dir.path().join("components/.half-written"), b"x").unwrap();
        fs::write(dir.path().join("components/README"), b"x").unwrap();
        assert_eq!(store.prune(&BTreeSet::new(), 6).unwrap(), 0);
        assert_eq!(store.digests().unwrap().len(), 3);
        assert!(!dir.path().join("components/.half-written").exists());
        assert_eq!(store.prune(&[digests[0]].into(), 0).unwrap(), 2);
        assert_eq!(store.digests().unwrap(), [digests[0]].into());
        assert!(dir.path().join("components/README").exists(), "what is not ours is left alone");
    }
}

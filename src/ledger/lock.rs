//! One daemon a data folder: an exclusive lock on `DATA_DIR/lock`, which the system drops with the process.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::Path;

use super::LedgerError;

/// The right to write in a data folder, held as long as this lives.
#[derive(Debug)]
pub struct DataLock {
    // Dropping the file drops the lock; nothing else is done with it.
    _file: File,
}

impl DataLock {
    /// Takes the lock of a data folder, creating the folder, and writes this process's number into it.
    ///
    /// # Errors
    /// `Locked` with the holder's process number; `Io`.
    pub fn acquire(data_dir: &Path) -> Result<Self, LedgerError> {
        fs::create_dir_all(data_dir).map_err(|e| LedgerError::path(data_dir, "cannot create the folder", &e))?;
        let path = data_dir.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| LedgerError::path(&path, "cannot open", &e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LedgerError::Locked { holder: holder(&mut file), path }),
            Err(TryLockError::Error(e)) => return Err(LedgerError::path(&path, "cannot lock", &e)),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|e| LedgerError::path(&path, "cannot write", &e))?;
        Ok(Self { _file: file })
    }
}

/// Whatever stands in the lock file, if it is a process number.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(32).read_to_string(&mut text).ok().and_then(|_| text.trim().parse::<u32>().ok()) {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

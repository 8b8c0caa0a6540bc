//! Where the chained files lie: the one place where the ledger touches the operating system.
//!
//! A trait so that tests can tear writes, fill the disk and cut the power ([`super::FakeDisk`]). Names are plain
//! file names within the one folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A folder of files that are only appended to.
pub trait Storage: Send + Sync {
    /// The names of the files in it.
    ///
    /// # Errors
    /// The system's own.
    fn list(&self) -> io::Result<Vec<String>>;

    /// The length of a file in bytes.
    ///
    /// # Errors
    /// The system's own.
    fn len(&self, name: &str) -> io::Result<u64>;

    /// Reads a file from this byte on.
    ///
    /// # Errors
    /// The system's own.
    fn read_from(&self, name: &str, offset: u64) -> io::Result<Box<dyn Read + Send>>;

    /// Creates a file that must not exist; the folder knows it durably when this returns.
    ///
    /// # Errors
    /// The system's own.
    fn create(&self, name: &str) -> io::Result<Box<dyn SegmentFile>>;

    /// Opens a file to append to it.
    ///
    /// # Errors
    /// The system's own.
    fn append_to(&self, name: &str) -> io::Result<Box<dyn SegmentFile>>;

    /// Puts a small file in place in one step: readers see the old one or the new one. Its content is durable before
    /// the name is; the name itself may be the old one after a power cut.
    ///
    /// # Errors
    /// The system's own.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Bytes free for this user, where it is known.
    fn free_bytes(&self) -> Option<u64>;

    /// How the file is called in messages: its path.
    fn shown(&self, name: &str) -> String;
}

/// One file being appended to.
pub trait SegmentFile: Send {
    /// Appends as much as it can, at least one byte, and says how much.
    ///
    /// # Errors
    /// The system's own.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Returns when everything written is on disk.
    ///
    /// # Errors
    /// The system's own; what was written since the last sync may then be lost, however often it is tried again.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to this length.
    ///
    /// # Errors
    /// The system's own.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// A real folder.
#[derive(Clone, Debug)]
pub struct Disk {
    dir: PathBuf,
}

impl Disk {
    /// This folder, which need not exist: a reader of a folder that is not there sees an error.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// This folder, created with its parents if it is not there, for nobody but its owner to read.
    ///
    /// # Errors
    /// The system's own.
    pub fn create_at(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let disk = Self::at(dir);
        if !disk.dir.is_dir() {
            create_private_dir(&disk.dir)?;
            // The data folder may be just as new, and its parent too. One that may not be read cannot be synced, and
            // was there before.
            for (n, ancestor) in disk.dir.ancestors().skip(1).take(3).enumerate() {
                match sync_dir(if ancestor.as_os_str().is_empty() { Path::new(".") } else { ancestor }) {
                    Err(e) if n == 0 => return Err(e),
                    _ => {}
                }
            }
        }
        Ok(disk)
    }
}

/// Commands and plans stand in the ledger: not for other users of the machine.
fn create_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Makes the names in a folder durable. Only Unix can.
fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

impl Storage for Disk {
    fn list(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.dir)?.map(|entry| entry.map(|e| e.file_name().to_string_lossy().into_owned())).collect()
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        fs::metadata(self.dir.join(name)).map(|m| m.len())
    }

    fn read_from(&self, name: &str, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut file = File::open(self.dir.join(name))?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Box::new(file))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        let file = OpenOptions::new().append(true).create_new(true).open(self.dir.join(name))?;
        sync_dir(&self.dir)?;
        Ok(Box::new(DiskFile(file)))
    }

    fn append_to(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(DiskFile(OpenOptions::new().append(true).open(self.dir.join(name))?)))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let beside = self.dir.join(format!("{name}.tmp"));
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&beside, self.dir.join(name))
    }

    #[cfg(unix)]
    fn free_bytes(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(&self.dir).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    #[cfg(not(unix))]
    fn free_bytes(&self) -> Option<u64> {
        None
    }

    fn shown(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }
}

struct DiskFile(File);

impl SegmentFile for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}

//! `chaos-stress`: a process that takes processor time, memory or disk of this machine, and gives all of it back when it dies.
//!
//! Started by the supervisor through `exec-guard`, for targets whose program has no door for faults of its own; so it dies with
//! the supervisor, even by `kill -9`. Must never take more than half of what the machine has free, or leave a file: its
//! files have no name. `ps` shows what it is by its arguments.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::model::Fault;

/// What is written to stdout once the fault is in.
pub(super) const IS_IN: &str = "in";
/// Written at once when a disk is filled.
const CHUNK: u64 = 1 << 20;
/// A core that is burnt in part is burnt in turns of this length.
const TURN: Duration = Duration::from_millis(100);

/// What is taken.
#[derive(Clone, Debug, clap::Args)]
pub struct Stress {
    /// The fault as JSON: `{"kind": "cpu", "cores": 1.0}`.
    #[arg(long)]
    fault: String,
    /// The folder on the disk that is meant.
    #[arg(long)]
    dir: PathBuf,
}

/// Can this be done by such a process at all?
pub(super) fn can(fault: &Fault) -> bool {
    matches!(fault, Fault::Cpu { .. } | Fault::MemoryPressure { .. } | Fault::DiskFill { .. } | Fault::DiskIo { .. })
}

/// Does it fit into what this machine has free?
///
/// # Errors
/// Why not, and what to write instead.
pub(crate) fn fits(fault: &Fault, dir: &Path) -> Result<(), String> {
    let (wanted, half, what) = match fault {
        Fault::MemoryPressure { bytes } => (*bytes, half_of_memory(), "memory"),
        Fault::DiskFill { bytes, .. } => (*bytes, half_of_disk(dir).ok(), "disk"),
        Fault::DiskIo { block } => (*block, half_of_disk(dir).ok(), "disk"),
        _ => return Ok(()),
    };
    let Some(half) = half else {
        return Err(format!("this machine does not say how much {what} is free, so none is taken on purpose"));
    };
    if wanted <= half {
        return Ok(());
    }
    let mib = |bytes: u64| bytes >> 20;
    Err(format!(
        "{} MiB of {what} do not fit: at most half of what is free is taken on purpose, {} MiB now; ask for less",
        mib(wanted),
        mib(half)
    ))
}

/// Half of the memory that could be had without swapping; `None` where the system does not say.
pub(crate) fn half_of_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib.saturating_mul(1024) / 2)
}

/// Half of what is free on the disk under a folder; of one that is in memory, never more than half of that.
///
/// # Errors
/// The operating system's.
pub(crate) fn half_of_disk(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    let half = stat.f_bavail.saturating_mul(stat.f_frsize) / 2;
    #[cfg(target_os = "linux")]
    {
        // TMPFS_MAGIC of linux/magic.h.
        const TMPFS: i64 = 0x0102_1994;
        #[expect(clippy::useless_conversion, reason = "its type differs from one architecture to the next")]
        let is_in_memory = i64::try_from(rustix::fs::statfs(dir)?.f_type).is_ok_and(|kind| kind == TMPFS);
        if is_in_memory {
            return Ok(half.min(half_of_memory().unwrap_or(0)));
        }
    }
    Ok(half)
}

/// A file that is gone with the process, however that ends.
///
/// # Errors
/// The operating system's.
pub(crate) fn nameless_file(dir: &Path) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    {
        let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
        if let Ok(fd) = rustix::fs::open(dir, flags, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR) {
            return Ok(File::from(fd));
        }
    }
    // Not every file system can do without a name; so it has one for a moment.
    let path = dir.join(format!("suture-{}-{:016x}.tmp", std::process::id(), fastrand::u64(..)));
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Takes it until this process dies. Returns only on failure.
///
/// # Errors
/// Why it cannot be taken.
pub(super) fn run(stress: &Stress) -> Result<(), String> {
    let fault: Fault = serde_json::from_str(&stress.fault).map_err(|e| format!("--fault: {e}"))?;
    fault.check().map_err(|(key, why)| format!("--fault: {key}: {why}"))?;
    fits(&fault, &stress.dir)?;
    let on_disk = |e: io::Error| format!("{}: {e}", stress.dir.display());
    match fault {
        Fault::Cpu { cores } => {
            tell()?;
            burn(cores);
        }
        Fault::MemoryPressure { bytes } => {
            let size = usize::try_from(bytes).map_err(|e| e.to_string())?;
            // Not zero: pages of zeros are not given memory until they are written.
            let taken = vec![0xa5_u8; size];
            tell()?;
            wait_for_ever();
            drop(taken);
        }
        Fault::DiskFill { bytes, bytes_per_second } => {
            let file = nameless_file(&stress.dir).map_err(on_disk)?;
            tell()?;
            let began = Instant::now();
            let mut fill = Fill::new(file, &stress.dir, bytes).map_err(on_disk)?;
            loop {
                let due = bytes_per_second as f64 * began.elapsed().as_secs_f64();
                fill.up_to(due as u64).map_err(on_disk)?;
                std::thread::sleep(TURN);
            }
        }
        Fault::DiskIo { block } => {
            let file = nameless_file(&stress.dir).map_err(on_disk)?;
            let block = vec![0xa5_u8; usize::try_from(block).map_err(|e| e.to_string())?];
            write_through(&file, &block).map_err(on_disk)?;
            tell()?;
            loop {
                write_through(&file, &block).map_err(on_disk)?;
            }
        }
        other => return Err(format!("{} cannot be done by a process beside the others", other.kind())),
    }
    Ok(())
}

/// Overwrites the start of a file, and waits until the disk has it.
///
/// # Errors
/// The operating system's.
pub(crate) fn write_through(file: &File, block: &[u8]) -> io::Result<()> {
    file.write_all_at(block, 0)?;
    file.sync_data()
}

/// A file that grows, and never takes more than half of what was free.
pub(crate) struct Fill {
    file: File,
    dir: PathBuf,
    written: u64,
    most: u64,
    /// As much stays free whoever else writes.
    leave: u64,
}

impl Fill {
    /// Of at most so many bytes.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn new(file: File, dir: &Path, bytes: u64) -> io::Result<Self> {
        let leave = half_of_disk(dir)?;
        Ok(Self { file, dir: dir.to_owned(), written: 0, most: bytes.min(leave), leave })
    }

    /// Writes until so much is written, or the bound is reached. Returns how much is written now.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn up_to(&mut self, due: u64) -> io::Result<u64> {
        let due = due.min(self.most);
        // Not zeros, which some file systems do not store.
        let chunk = vec![0xa5_u8; if due > self.written { CHUNK as usize } else { 0 }];
        while self.written < due && half_of_disk(&self.dir)?.saturating_mul(2) > self.leave {
            let n = chunk.len().min(usize::try_from(due - self.written).unwrap_or(chunk.len()));
            self.file.write_all_at(chunk.get(..n).unwrap_or_default(), self.written)?;
            self.written += n as u64;
        }
        Ok(self.written)
    }
}

fn tell() -> Result<(), String> {
    let mut out = io::stdout();
    writeln!(out, "{IS_IN}").and_then(|()| out.flush()).map_err(|e| format!("nobody hears that it is in: {e}"))
}

/// Burns so many cores for ever.
fn burn(cores: f64) {
    let mut left = cores;
    while left > 1.0 {
        std::thread::spawn(|| burn_part(1.0));
        left -= 1.0;
    }
    burn_part(left);
}

fn burn_part(part: f64) {
    loop {
        let turn = Instant::now();
        let busy = TURN.mul_f64(part.clamp(0.0, 1.0));
        while turn.elapsed() < busy {
            std::hint::spin_loop();
        }
        std::thread::sleep(TURN.saturating_sub(busy));
    }
}

fn wait_for_ever() {
    loop {
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_half_of_what_is_free() {
        let dir = std::env::temp_dir();
        assert_eq!(fits(&Fault::Cpu { cores: 1.0 }, &dir), Ok(()));
        assert_eq!(fits(&Fault::MemoryPressure { bytes: 1 << 20 }, &dir), Ok(()));
        for greedy in [
            Fault::MemoryPressure { bytes: u64::MAX },
            Fault::DiskFill { bytes: u64::MAX, bytes_per_second: 1 },
            Fault::DiskIo { block: u64::MAX },
        ] {
            let why = fits(&greedy, &dir).unwrap_err();
            assert!(why.contains("do not fit: at most half of what is free"), "{why}");
        }
        let nowhere = fits(&Fault::DiskIo { block: 1 }, Path::new("/no/such/folder")).unwrap_err();
        assert!(nowhere.contains("does not say how much disk"), "{nowhere}");
    }

    #[test]
    fn a_file_without_a_name_grows_to_its_bound_and_leaves_nothing() {
        let dir = tempfile::TempDir::new().unwrap();
        let file = nameless_file(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let seen = file.try_clone().unwrap();
        let mut fill = Fill::new(file, dir.path(), 3_000_000).unwrap();
        assert_eq!(fill.up_to(1_500_000).unwrap(), 1_500_000);
        assert_eq!(fill.up_to(1_000_000).unwrap(), 1_500_000);
        assert_eq!(fill.up_to(9_000_000).unwrap(), 3_000_000);
        assert_eq!(seen.metadata().unwrap().len(), 3_000_000);
        write_through(&seen, b"again").unwrap();
        assert_eq!(seen.metadata().unwrap().len(), 3_000_000);
    }

    #[test]
    fn what_it_cannot_do_it_refuses() {
        let stress = |fault: &str| Stress { fault: fault.to_owned(), dir: std::env::temp_dir() };
        for wrong in ["{}", r#"{"kind":"crash"}"#, r#"{"kind":"cpu","cores":-1.0}"#] {
            assert!(run(&stress(wrong)).is_err(), "{wrong}");
        }
        assert!(!can(&Fault::Hang) && can(&Fault::Cpu { cores: 1.0 }));
    }
}

//! The real binary as a child: started, waited for with a deadline, and everything that came of it found again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use tempfile::TempDir;

/// Far more than a command that ends by itself takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(15);

/// Looks again and again until there is something, and fails with `what` when there never is.
#[track_caller]
pub fn eventually<T>(within: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// One at a time, in this process and in others: what is measured in seconds needs the machine for itself.
pub fn quiet_machine() -> File {
    let lock = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("quiet-machine")).unwrap();
    lock.lock().unwrap();
    lock
}

/// A folder with a short name: socket paths below it must stay under 108 bytes.
pub fn folder() -> TempDir {
    tempfile::Builder::new().prefix("su").rand_bytes(6).tempdir().unwrap()
}

/// Lets a data folder use the compiled components of all the others: a debug build takes seconds for each.
pub fn warm(data: &Path) {
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    fs::create_dir_all(&shared).unwrap();
    fs::create_dir_all(data).unwrap();
    std::os::unix::fs::symlink(shared, data.join("cache")).unwrap();
}

/// The binary with these arguments, with nothing of the caller's environment that it would listen to.
pub fn suture(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_suture"));
    command.args(args).stdin(Stdio::null());
    for name in ["SUTURE_CONFIG", "SUTURE_DATA_DIR", "SUTURE_LOG", "RUST_LOG", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    command
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Stdout and stderr together.
    pub fn all(&self) -> String {
        format!("{}\n{}", self.out, self.err)
    }

    /// It ended with this code, says all of this somewhere, and did not panic.
    #[track_caller]
    pub fn expect(self, code: i32, parts: &[&str]) -> Self {
        let all = self.all();
        assert_eq!(self.code, Some(code), "{all}");
        for part in parts {
            assert!(all.contains(part), "nothing of `{part}` in:\n{all}");
        }
        assert!(!all.contains("panicked"), "{all}");
        self
    }
}

/// Runs to the end. Arguments are the binary's; `dir` is where it runs and where its words are kept meanwhile.
#[track_caller]
pub fn run_in(dir: &Path, args: &[&str]) -> Said {
    let mut child = Running::start(dir, args);
    let status = child.ended_within(PATIENCE);
    child.said(status)
}

/// A child of ours. Dropped, it is killed.
pub struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    #[track_caller]
    pub fn start(dir: &Path, args: &[&str]) -> Self {
        Self::spawn(dir, suture(args))
    }

    /// A file that may not grow is an error to it, not its end.
    #[track_caller]
    pub fn sturdy(dir: &Path, args: &[&str]) -> Self {
        let program = suture(args);
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(program.get_program()).args(program.get_args());
        Self::spawn(dir, command)
    }

    #[track_caller]
    pub fn spawn(dir: &Path, mut command: Command) -> Self {
        // Files, not pipes: nobody has to read them, and they are there when a test fails.
        let words = tempfile::Builder::new().prefix("said").tempdir_in(dir).unwrap().keep();
        let (out, err) = (words.join("out"), words.join("err"));
        let child = command
            .current_dir(dir)
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap();
        Self { child, out, err }
    }

    /// No file of it may grow beyond this any more, as if the disk were full. It was started by [`Running::sturdy`].
    pub fn no_file_above(&self, bytes: u64) {
        let limit = Rlimit { current: Some(bytes), maximum: None };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, limit).unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    #[track_caller]
    pub fn ended_within(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(Instant::now() < deadline, "still there after {within:?}: {:?}", self.said_so_far());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// `kill -9`, and nothing else; returns when it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn said_so_far(&self) -> Said {
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        Said { code: None, out: read(&self.out), err: read(&self.err) }
    }

    pub fn said(&self, status: ExitStatus) -> Said {
        Said { code: status.code(), ..self.said_so_far() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Living processes that have to do with a folder: it is in their command line, or their output goes there.
pub fn processes_of(dir: &Path) -> Vec<(u32, String)> {
    let dir = dir.to_str().unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let proc = entry.path();
        let line = fs::read(proc.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let writes_there = ["fd/1", "fd/2", "cwd"].iter().any(|link| {
            fs::read_link(proc.join(link)).is_ok_and(|to| to.to_str().is_some_and(|to| to.starts_with(dir)))
        });
        let stat = fs::read_to_string(proc.join("stat")).unwrap_or_default();
        let lives = stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']));
        if pid != std::process::id() && lives && (line.contains(dir) || writes_there) {
            found.push((pid, line));
        }
    }
    found
}

/// Every process of a folder ends by itself. Only looks.
#[track_caller]
pub fn nobody_left(dir: &Path, within: Duration) {
    let deadline = Instant::now() + within;
    loop {
        let left = processes_of(dir);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left behind after {within:?}: {left:#?}");
        std::thread::sleep(LOOK_EVERY);
    }
}

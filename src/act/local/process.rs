//! One worker process: started through `exec-guard`, asked for its health, stopped, reaped.
//!
//! A task of its own owns the child, so that a signal can never reach a process id that was reaped and given to
//! somebody else. Must never start a process again by itself: that is an action. Called by the supervisor.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::call::{CallError, Peer, call};
use super::front::Front;
use super::stress;
use crate::act::LocalSettings;
use crate::model::Fault;

/// Between two questions to a worker that is ready.
const HEALTH_EVERY: Duration = Duration::from_millis(500);
/// Between two questions to one that is starting.
const READY_EVERY: Duration = Duration::from_millis(20);
/// A worker that takes longer to answer counts as down: well above what a saturated one needs.
const HEALTH_WITHIN: Duration = Duration::from_secs(2);
/// A worker's log is copied aside and begun anew at this size, so that two of these are kept at most.
const LOG_BYTES: u64 = 8 * 1024 * 1024;
/// How long a signal may take to be sent: the owner of the process does nothing that takes longer, but stop it.
const SIGNAL_WITHIN: Duration = Duration::from_millis(500);

/// A signal for a process group, and who waits until it is sent.
type Order = (Signal, oneshot::Sender<()>);

/// How a worker stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Running, has not answered yet; why not, as far as known.
    Starting(String),
    /// Answers.
    Up,
    /// Answered once, does not now, and why.
    Sick(String),
    /// Ended, and how.
    Exited(String),
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Starting(why) if why.is_empty() => f.write_str("starting"),
            Self::Starting(why) => write!(f, "starting ({why})"),
            Self::Up => f.write_str("up"),
            Self::Sick(why) => write!(f, "does not answer ({why})"),
            Self::Exited(how) => write!(f, "ended ({how})"),
        }
    }
}

/// A worker process that was started. Dropping it leaves the process to the supervisor's own end.
pub(super) struct Process {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its process id while it lives.
    pub pid: u32,
    status: watch::Receiver<Status>,
    // Full: it is being stopped already, and once is enough.
    stop: mpsc::Sender<Duration>,
    // Full: it is being stopped, and no other signal matters any more.
    orders: mpsc::Sender<Order>,
    load: Arc<watch::Sender<usize>>,
}

/// What it takes to do something to this process and never to the next one in its place.
#[derive(Clone)]
pub(super) struct Handle {
    /// Where it listens.
    pub addr: SocketAddr,
    status: watch::Receiver<Status>,
    orders: mpsc::Sender<Order>,
}

impl Handle {
    pub(super) fn has_ended(&self) -> bool {
        matches!(*self.status.borrow(), Status::Exited(_))
    }

    /// Sends a signal to its group. Of a process that has ended this is no error: nothing is left to be signalled.
    ///
    /// # Errors
    /// One sentence, when it is being stopped right now.
    pub(super) async fn signal(&self, signal: Signal) -> Result<(), String> {
        let (done, sent) = oneshot::channel();
        let asked = self.orders.try_send((signal, done)).is_ok();
        if asked && timeout(SIGNAL_WITHIN, sent).await.is_ok_and(|sent| sent.is_ok()) || self.has_ended() {
            return Ok(());
        }
        Err("it is being stopped right now".to_owned())
    }

    /// Waits until it has ended, at most `within`.
    pub(super) async fn ended(&self, within: Duration) -> bool {
        let mut status = self.status.clone();
        let ended = status.wait_for(|s| matches!(s, Status::Exited(_)));
        timeout(within, ended).await.is_ok()
    }
}

/// One request in a worker, counted until this is dropped.
pub(super) struct InFlight(Arc<watch::Sender<usize>>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n = n.saturating_sub(1));
    }
}

impl Process {
    /// Starts `settings.command` on a free port, its output appended to `log`.
    ///
    /// # Errors
    /// One sentence: no free port, no log file, or the process table is full. A command that cannot be executed shows
    /// as a process that ends at once, with the reason in its log.
    pub(super) fn start(
        settings: &LocalSettings,
        instance: &str,
        log: &Path,
        front: Arc<Front>,
    ) -> Result<Self, String> {
        let addr = free_port().map_err(|e| format!("no free port for {instance}: {e}"))?;
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .and_then(|file| Ok((file.try_clone()?, file)))
            .map_err(|e| format!("cannot write the log of {instance}, {}: {e}", log.display()))?;
        let port = addr.port().to_string();
        let command = settings.command.iter().map(|part| part.replace("{port}", &port).replace("{instance}", instance));
        let child = Command::new(own_program())
            .args(["exec-guard", "--parent", &std::process::id().to_string(), "--"])
            .args(command)
            .stdin(Stdio::null())
            .stdout(output.0)
            .stderr(output.1)
            // A group of its own: Ctrl-C in the terminal is the supervisor's parent's business, and whatever the
            // worker starts can be ended with it.
            .process_group(0)
            .spawn()
            .map_err(|e| format!("cannot start {instance}: {e}"))?;
        let pid = child.id().unwrap_or_default();
        let (status_tx, status) = watch::channel(Status::Starting(String::new()));
        let (stop, stop_rx) = mpsc::channel(1);
        let (orders, orders_rx) = mpsc::channel(4);
        let minder = Minder { child, pid, addr, health: settings.health.clone(), log: log.to_owned(), front };
        // Ends with the process, which the supervisor ends before it ends itself.
        tokio::spawn(minder.run(status_tx, stop_rx, orders_rx));
        Ok(Self { addr, pid, status, stop, orders, load: Arc::new(watch::Sender::new(0)) })
    }

    /// For faults: see [`Handle`].
    pub(super) fn handle(&self) -> Handle {
        Handle { addr: self.addr, status: self.status.clone(), orders: self.orders.clone() }
    }

    pub(super) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    pub(super) fn is_up(&self) -> bool {
        *self.status.borrow() == Status::Up
    }

    pub(super) fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Requests in it right now.
    pub(super) fn in_flight(&self) -> usize {
        *self.load.borrow()
    }

    /// Counts one request in, until the guard is dropped.
    pub(super) fn enter(&self) -> InFlight {
        self.load.send_modify(|n| *n += 1);
        InFlight(Arc::clone(&self.load))
    }

    /// What is needed to wait for its requests to end, and then for its own end, without holding on to `self`.
    pub(super) fn ending(&self) -> Ending {
        Ending { status: self.status.clone(), stop: self.stop.clone(), load: self.load.subscribe() }
    }
}

/// A worker's way out: drain, stop, gone.
pub(super) struct Ending {
    status: watch::Receiver<Status>,
    stop: mpsc::Sender<Duration>,
    load: watch::Receiver<usize>,
}

impl Ending {
    /// Waits until no request is in it, at most `within`.
    pub(super) async fn drained(&mut self, within: Duration) {
        // Late or never: then the requests that are left are broken off, as the operator's limit says.
        let _ = timeout(within, self.load.wait_for(|n| *n == 0)).await;
    }

    /// SIGTERM, after `within` SIGKILL; returns when the process is gone and reaped.
    pub(super) async fn stopped(mut self, within: Duration) {
        let _ = self.stop.try_send(within);
        // An error means that the minder is gone, which it is only after the process.
        let _ = self.status.wait_for(|s| matches!(s, Status::Exited(_))).await;
    }
}

/// Owns the child.
struct Minder {
    child: Child,
    pid: u32,
    addr: SocketAddr,
    health: String,
    log: PathBuf,
    front: Arc<Front>,
}

impl Minder {
    async fn run(
        mut self,
        status: watch::Sender<Status>,
        mut stop: mpsc::Receiver<Duration>,
        mut orders: mpsc::Receiver<Order>,
    ) {
        let mut rounds = 0_u32;
        let how = loop {
            let starting = matches!(*status.borrow(), Status::Starting(_));
            tokio::select! {
                ended = self.child.wait() => break describe(ended),
                Some(within) = stop.recv() => break self.end(within).await,
                Some((signal, done)) = orders.recv() => {
                    // Not reaped yet, for this task alone reaps it: the id is still this child's.
                    signal_group(self.pid, signal);
                    // Nobody waits any more: it was sent all the same.
                    let _ = done.send(());
                }
                found = ask(self.addr, &self.health, &self.front, if starting { READY_EVERY } else { HEALTH_EVERY }) => {
                    note(&status, found);
                    rounds = rounds.wrapping_add(1);
                    if rounds.is_multiple_of(120) {
                        cap_log(&self.log);
                    }
                }
            }
        };
        // What the worker started itself and left behind. The kernel keeps a group's id as long as it has members.
        signal_group(self.pid, Signal::KILL);
        tracing::info!(pid = self.pid, %how, "a worker ended");
        let _ = status.send(Status::Exited(how));
    }

    async fn end(&mut self, within: Duration) -> String {
        // Not reaped yet, for this task alone reaps it: the id is still this child's.
        signal_group(self.pid, Signal::TERM);
        if let Ok(ended) = timeout(within, self.child.wait()).await {
            return describe(ended);
        }
        tracing::warn!(pid = self.pid, "a worker did not stop in time and is killed");
        signal_group(self.pid, Signal::KILL);
        describe(self.child.wait().await)
    }
}

fn signal_group(pid: u32, signal: Signal) {
    if let Some(group) = i32::try_from(pid).ok().and_then(Pid::from_raw)
        && let Err(error) = kill_process_group(group, signal)
    {
        // Nobody left in it is the usual case.
        tracing::debug!(pid, %error, "a worker's process group could not be signalled");
    }
}

fn describe(ended: std::io::Result<std::process::ExitStatus>) -> String {
    ended.map_or_else(|e| format!("cannot wait for it: {e}"), |status| status.to_string())
}

/// Waits `after`, then asks once: on the way that requests take, so that what cuts them off cuts this off, too.
async fn ask(addr: SocketAddr, path: &str, front: &Front, after: Duration) -> Result<(), String> {
    sleep(after).await;
    if front.is_cut_off() {
        return Err("nothing gets through to it".to_owned());
    }
    match call(Peer::Tcp(addr), Method::GET, path, None, HEALTH_WITHIN).await {
        Ok(reply) if reply.status.is_success() => Ok(()),
        Ok(reply) => Err(format!("{path} answers {}", reply.status.as_u16())),
        Err(CallError::Connect(why)) => Err(why),
        Err(other) => Err(other.to_string()),
    }
}

fn note(status: &watch::Sender<Status>, found: Result<(), String>) {
    status.send_if_modified(|now| {
        let next = match (&*now, found) {
            (_, Ok(())) => Status::Up,
            (Status::Starting(_), Err(why)) => Status::Starting(why),
            (_, Err(why)) => Status::Sick(why),
        };
        std::mem::replace(now, next.clone()) != next
    });
}

/// Waits until the worker is up.
///
/// # Errors
/// How it stands instead: ended, or still not answering at `deadline`.
pub(super) async fn ready(mut status: watch::Receiver<Status>, deadline: Instant) -> Result<(), Status> {
    let settled = status.wait_for(|s| matches!(s, Status::Up | Status::Exited(_)));
    let settled = tokio::time::timeout_at(deadline, settled).await;
    match settled.map(|found| found.map(|s| s.clone())) {
        Ok(Ok(Status::Up)) => Ok(()),
        Ok(Ok(other)) => Err(other),
        Ok(Err(_)) | Err(_) => Err(status.borrow().clone()),
    }
}

/// A loopback port that is free right now. Somebody may take it before the worker does: the start is tried again.
fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// This program, even when its file was replaced by a newer one meanwhile.
fn own_program() -> PathBuf {
    let running = Path::new("/proc/self/exe");
    if running.exists() { running.to_owned() } else { std::env::current_exe().unwrap_or_default() }
}

/// How long a process beside the workers may take until its fault is in.
const BESIDE_WITHIN: Duration = Duration::from_secs(2);

/// Starts `chaos-stress` for a fault of the whole machine. Returns when the fault is in; it goes with the child, and the child
/// with its handle or with this process.
///
/// # Errors
/// One sentence: it does not start, or says why not.
pub(super) async fn beside(fault: &Fault, dir: &Path) -> Result<Child, String> {
    let text = serde_json::to_string(fault).map_err(|e| e.to_string())?;
    let mut child = Command::new(own_program())
        .args(["exec-guard", "--parent", &std::process::id().to_string(), "--"])
        .arg(own_program_by_name())
        .args(["chaos-stress", "--fault", &text, "--dir"])
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("cannot start the process for {}: {e}", fault.kind()))?;
    let Some(mut out) = child.stdout.take() else { return Err("it has no stdout".to_owned()) };
    let mut word = [0_u8; stress::IS_IN.len()];
    match timeout(BESIDE_WITHIN, out.read_exact(&mut word)).await {
        Ok(Ok(_)) => Ok(child),
        Ok(Err(_)) => {
            let mut words = Vec::new();
            if let Some(err) = child.stderr.take() {
                // It has ended or is about to: this comes to an end with it.
                let _ = timeout(BESIDE_WITHIN, err.take(2048).read_to_end(&mut words)).await;
            }
            let words: String = String::from_utf8_lossy(&words).chars().filter(|c| !c.is_control()).take(200).collect();
            Err(format!("the process for {} ended: {words}", fault.kind()))
        }
        Err(_) => Err(format!("{} is not in after {} s", fault.kind(), BESIDE_WITHIN.as_secs())),
    }
}

/// The same as a path that means this program in another process, too, and that people know in a list of processes.
fn own_program_by_name() -> PathBuf {
    match std::env::current_exe() {
        Ok(path) if path.exists() => path,
        _ => PathBuf::from(format!("/proc/{}/exe", std::process::id())),
    }
}

/// The last line that a worker wrote, fit to be shown.
pub(super) fn last_words(log: &Path) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(2048))).ok()?;
    let mut tail = Vec::new();
    file.take(2048).read_to_end(&mut tail).ok()?;
    let text = String::from_utf8_lossy(&tail);
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(line.chars().filter(|c| !c.is_control()).take(200).collect())
}

/// Moves a log that has grown large aside. The worker appends, so it goes on at the start.
fn cap_log(log: &Path) {
    let Ok(length) = std::fs::metadata(log).map(|m| m.len()) else { return };
    if length > LOG_BYTES {
        let moved = std::fs::copy(log, log.with_extension("log.1"))
            .and_then(|_| OpenOptions::new().write(true).open(log))
            .and_then(|file| file.set_len(0));
        if let Err(error) = moved {
            tracing::warn!(path = %log.display(), %error, "a worker's log cannot be cut");
        }
    }
}

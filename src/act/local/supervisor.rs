//! The supervisor process: starts the workers, serves balancer, discovery and control, and ends everything.
//!
//! Runs on a current-thread runtime on the main thread, for the workers' lives are bound to that very thread. It
//! ends on SIGTERM, on `POST /stop`, and with a parent pipe as soon as its stdin is at its end; all three stop the
//! workers. SIGINT and SIGHUP are not for it.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::serve::ListenerExt;
use futures::future;
use hyper::Method;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::actions::Done;
use super::balancer::Balancer;
use super::call::{Peer, call};
use super::faults::Faults;
use super::fleet::Fleet;
use super::process::{Process, Status, last_words, ready};
use super::wire::Report;
use super::{LocalError, control, parent_closed};
use crate::act::LocalSettings;

/// Starts of one worker on ever another port, for a port can be taken between finding and using it.
const START_ATTEMPTS: u32 = 3;
/// How long a worker may take to answer on its cache path.
const CACHE_WITHIN: Duration = Duration::from_secs(3);

/// A mutex whose holder cannot panic half-way through a change, so that a poisoned one is still whole.
pub(super) struct Locked<T>(Mutex<T>);

impl<T> Locked<T> {
    pub(super) fn new(inner: T) -> Self {
        Self(Mutex::new(inner))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the hidden subcommand `local-supervisor` is given.
#[derive(Clone, Debug)]
pub struct SuperviseOptions {
    /// A file with the target's [`LocalSettings`] as JSON.
    pub spec: PathBuf,
    /// Where the control socket is made; logs of the workers go beside it.
    pub socket: PathBuf,
    /// End when stdin, which must be a pipe, is at its end.
    pub parent_pipe: bool,
}

/// The supervisor's state, shared by control, balancer and actions.
pub(super) struct Supervisor {
    pub settings: LocalSettings,
    pub fleet: Arc<Locked<Fleet>>,
    /// Held for the whole of an action: one at a time.
    pub actions: tokio::sync::Mutex<Done>,
    pub stop: Notify,
    /// What was put in on purpose.
    pub faults: Faults,
    balancer: Arc<Balancer>,
    balancer_addr: std::net::SocketAddr,
    admin_addr: std::net::SocketAddr,
    /// The folder of its socket and logs, and the disk that faults of a disk are about.
    pub(super) logs: PathBuf,
    closing: AtomicBool,
}

/// Runs a target until it is told to end; returns when no worker is left.
///
/// Must be called on the main thread of a current-thread runtime: see the head of this module.
///
/// # Errors
/// When the settings make no sense, a port or socket is taken, or a worker does not become ready. Nothing is left
/// running then.
pub async fn supervise(options: SuperviseOptions) -> Result<(), LocalError> {
    let settings = read_spec(&options.spec)?;
    check(&settings)?;
    claim(&options.socket).await?;
    let listen = |addr: std::net::SocketAddr| async move {
        TcpListener::bind(addr).await.and_then(|l| Ok((l.local_addr()?, l))).map_err(|e| LocalError::Listen {
            place: addr.to_string(),
            why: format!("{e}; set another `listen`, or port 0 for a free one"),
        })
    };
    let (balancer_addr, front) = listen(settings.listen).await?;
    let (admin_addr, admin) = listen(([127, 0, 0, 1], 0).into()).await?;
    let fleet = Arc::new(Locked::new(Fleet::new(settings.name.name())));
    let supervisor = Arc::new(Supervisor {
        balancer: Arc::new(Balancer::new(Arc::clone(&fleet), settings.max_in_flight, settings.faults.as_deref())),
        fleet,
        actions: tokio::sync::Mutex::default(),
        stop: Notify::new(),
        faults: Faults::default(),
        balancer_addr,
        admin_addr,
        logs: options.socket.parent().map_or_else(PathBuf::new, Path::to_owned),
        closing: AtomicBool::new(false),
        settings,
    });

    let mut end = pin!(told_to_end(&supervisor, options.parent_pipe));
    let started = tokio::select! {
        started = supervisor.start_all() => started.map(|()| true),
        why = &mut end => why.map(|_| false),
    };
    let result = match started {
        Ok(true) => supervisor.serve(front, admin, &options.socket, end).await,
        Ok(false) => Ok(()),
        Err(error) => Err(error),
    };
    supervisor.stop_all().await;
    result
}

impl Supervisor {
    async fn serve(
        self: &Arc<Self>,
        front: TcpListener,
        admin: TcpListener,
        socket: &Path,
        end: impl Future<Output = Result<&'static str, LocalError>>,
    ) -> Result<(), LocalError> {
        let control = listen_private(socket)?;
        let mut servers = JoinSet::new();
        let front = front.tap_io(|stream| drop(stream.set_nodelay(true)));
        servers.spawn(axum::serve(front, Arc::clone(&self.balancer).router()).into_future());
        servers.spawn(axum::serve(admin, control::discovery(Arc::clone(self))).into_future());
        servers.spawn(axum::serve(control, control::router(Arc::clone(self))).into_future());
        tracing::info!(target = %self.settings.name, balancer = %self.balancer_addr, "serving");
        let why = tokio::select! {
            why = end => why,
            _ = servers.join_next() => Err(LocalError::System("a listener of the supervisor ended".to_owned())),
            // Never: it goes on as long as the supervisor does.
            () = self.watch_leases() => Err(LocalError::System("nobody watches the leases of faults".to_owned())),
        };
        tracing::info!(why = why.as_ref().map_or("a fault", |why| why), "stopping");
        self.stop_all().await;
        // The socket goes last: as long as it answers, a worker may be there.
        let _ = std::fs::remove_file(socket);
        why.map(drop)
    }

    pub(super) fn report(&self) -> Report {
        let fleet = self.fleet.lock();
        Report {
            target: self.settings.name.clone(),
            state: fleet.state(&self.settings),
            pid: std::process::id(),
            balancer: self.balancer_addr,
            admin: self.admin_addr,
            workers: fleet.workers(),
            stopping: self.closing.load(Ordering::Relaxed),
            traffic: self.balancer.traffic(),
            settings: self.settings.clone(),
        }
    }

    pub(super) fn front_discovery(&self) -> serde_json::Value {
        self.fleet.lock().front_discovery(self.admin_addr)
    }

    async fn start_all(&self) -> Result<(), LocalError> {
        let not_ready = |why| LocalError::NotReady { target: self.settings.name.to_string(), why };
        let wanted: Vec<u32> = (1..=self.settings.workers).collect();
        self.add_workers(&wanted).await.map_err(not_ready)?;
        if let Some(path) = &self.settings.cache {
            let first = self.fleet.lock().slots().iter().find_map(|s| s.process.as_ref().map(|p| p.addr));
            let addr = first.ok_or_else(|| not_ready("it has no worker".to_owned()))?;
            let ttl = read_ttl(addr, path).await.map_err(not_ready)?;
            self.fleet.lock().cache_ttl_ms = Some(ttl);
        }
        self.fleet.lock().replicas = self.settings.workers;
        Ok(())
    }

    /// Starts workers side by side and lets them into the traffic when all are ready; else takes all of them away.
    pub(super) async fn add_workers(&self, numbers: &[u32]) -> Result<(), String> {
        {
            let mut fleet = self.fleet.lock();
            numbers.iter().for_each(|n| fleet.add(*n));
        }
        let started = future::join_all(numbers.iter().map(|n| self.bring_up(*n))).await;
        match started.into_iter().find_map(Result::err) {
            None => {
                let mut fleet = self.fleet.lock();
                for slot in fleet.slots_mut().iter_mut().filter(|s| numbers.contains(&s.number)) {
                    slot.open = true;
                    slot.wanted = true;
                }
                Ok(())
            }
            Some(why) => {
                self.take_away(numbers, Duration::ZERO).await;
                Err(why)
            }
        }
    }

    /// Drains workers for at most `drain`, stops them, forgets their places.
    pub(super) async fn take_away(&self, numbers: &[u32], drain: Duration) {
        let endings: Vec<_> = {
            let mut fleet = self.fleet.lock();
            let slots = fleet.slots_mut().iter_mut().filter(|s| numbers.contains(&s.number));
            slots
                .filter_map(|slot| {
                    slot.open = false;
                    slot.wanted = false;
                    slot.process.as_ref().map(Process::ending)
                })
                .collect()
        };
        let stop_within = self.settings.stop_within;
        future::join_all(endings.into_iter().map(|mut ending| async move {
            ending.drained(drain).await;
            ending.stopped(stop_within).await;
        }))
        .await;
        self.fleet.lock().remove(numbers);
    }

    /// Starts a process in the place of worker `number` and waits until it is ready. A process that ends before is
    /// started again on another port, a few times; one that is merely slow is left running.
    pub(super) async fn bring_up(&self, number: u32) -> Result<(), String> {
        let (name, front) = {
            let mut fleet = self.fleet.lock();
            let front = fleet.slot_mut(number).map(|slot| Arc::clone(&slot.front)).unwrap_or_default();
            (fleet.name_of(number), front)
        };
        let log = self.logs.join(format!("{}.log", name.replace('/', "_")));
        let deadline = Instant::now() + self.settings.ready_within;
        let mut why = String::new();
        for _ in 0..START_ATTEMPTS {
            if self.closing.load(Ordering::Relaxed) {
                return Err("the supervisor is stopping".to_owned());
            }
            let process = Process::start(&self.settings, &name, &log, Arc::clone(&front))?;
            let (addr, status) = (process.addr, process.watch());
            if let Some(slot) = self.fleet.lock().slot_mut(number) {
                slot.process = Some(process);
            }
            let words = || last_words(&log).map_or_else(String::new, |line| format!(": {line}"));
            match ready(status, deadline).await {
                Ok(()) => return self.hand_over_cache(addr, &name).await,
                Err(Status::Exited(how)) => {
                    why = format!("{name} ended before it was ready ({how}){}; see {}", words(), log.display());
                }
                Err(status) => {
                    return Err(format!(
                        "{name} was not ready within {}: {status}{}; see {}, or raise `ready_within`",
                        crate::model::in_words(self.settings.ready_within),
                        words(),
                        log.display()
                    ));
                }
            }
        }
        Err(why)
    }

    /// A new worker learns the cache lifetime that was set for all, before it gets traffic.
    async fn hand_over_cache(&self, addr: std::net::SocketAddr, name: &str) -> Result<(), String> {
        let ttl = self.fleet.lock().cache_ttl_ms;
        match (&self.settings.cache, ttl) {
            (Some(path), Some(ttl)) => {
                write_ttl(addr, path, ttl).await.map_err(|why| format!("{name} did not take the cache lifetime: {why}"))
            }
            _ => Ok(()),
        }
    }

    async fn stop_all(&self) {
        self.closing.store(true, Ordering::Relaxed);
        // First, so that a worker that was made to hang can stop in good order.
        self.take_all_faults_out().await;
        let numbers: Vec<u32> = self.fleet.lock().slots().iter().map(|s| s.number).collect();
        self.take_away(&numbers, Duration::ZERO).await;
    }
}

/// Waits for a reason to end.
async fn told_to_end(supervisor: &Supervisor, parent_pipe: bool) -> Result<&'static str, LocalError> {
    let listen = |kind| signal(kind).map_err(|e| LocalError::System(format!("cannot listen for signals: {e}")));
    let mut term = listen(SignalKind::terminate())?;
    // Held, so that neither ends this process: a terminal's signals are for the daemon, which then closes the pipe.
    let _interrupt = listen(SignalKind::interrupt())?;
    let _hangup = listen(SignalKind::hangup())?;
    tokio::select! {
        _ = term.recv() => Ok("SIGTERM"),
        () = supervisor.stop.notified() => Ok("asked to stop"),
        closed = parent_closed(), if parent_pipe => closed.map(|()| "the daemon is gone"),
    }
}

/// Tells all workers that are up how long cached answers live.
pub(super) async fn write_ttl(addr: std::net::SocketAddr, path: &str, ttl_ms: u64) -> Result<(), String> {
    let body = serde_json::json!({ "ttl_ms": ttl_ms }).to_string().into_bytes();
    match call(Peer::Tcp(addr), Method::PUT, path, Some(body), CACHE_WITHIN).await {
        Ok(reply) if reply.status.is_success() => Ok(()),
        Ok(reply) => Err(format!("PUT {path} was answered {}", reply.status.as_u16())),
        Err(error) => Err(error.to_string()),
    }
}

async fn read_ttl(addr: std::net::SocketAddr, path: &str) -> Result<u64, String> {
    let reply = call(Peer::Tcp(addr), Method::GET, path, None, CACHE_WITHIN).await.map_err(|e| e.to_string())?;
    let ttl = serde_json::from_slice::<serde_json::Value>(&reply.body).ok();
    ttl.and_then(|json| json.get("ttl_ms")?.as_u64()).ok_or_else(|| {
        format!("GET {path} must answer {{\"ttl_ms\": 1000}}, or leave `cache` out (status {})", reply.status.as_u16())
    })
}

fn read_spec(path: &Path) -> Result<LocalSettings, LocalError> {
    let file = |why: String| LocalError::File { what: "cannot read", path: path.to_owned(), why };
    let text = std::fs::read(path).map_err(|e| file(e.to_string()))?;
    serde_json::from_slice(&text).map_err(|e| file(e.to_string()))
}

/// What can be wrong with settings that parse.
pub(super) fn check(settings: &LocalSettings) -> Result<(), LocalError> {
    let wrong = |why: &str| Err(LocalError::Settings { target: settings.name.to_string(), why: why.to_owned() });
    let paths = [Some(&settings.health), Some(&settings.metrics), settings.cache.as_ref(), settings.faults.as_ref()];
    if settings.command.first().is_none_or(String::is_empty) {
        return wrong("`command` is empty: name the program and its arguments");
    }
    if !settings.command.iter().any(|part| part.contains("{port}")) {
        return wrong("`command` must hand {port} to the program, or all workers would want the same port");
    }
    if !settings.listen.ip().is_loopback() {
        return wrong("`listen` must be a loopback address, such as 127.0.0.1:8080");
    }
    if settings.max_workers > 64 || settings.min_workers > settings.max_workers {
        return wrong("`min_workers` must not be greater than `max_workers`, and that not greater than 64");
    }
    if !(settings.min_workers..=settings.max_workers).contains(&settings.workers) || settings.workers == 0 {
        return wrong("`workers` must be at least 1 and lie within `min_workers` and `max_workers`");
    }
    if paths.into_iter().flatten().any(|path| !path.starts_with('/')) {
        return wrong("`health`, `metrics`, `cache` and `faults` are paths and start with /");
    }
    if settings.faults.as_ref().is_some_and(|path| path.trim_matches('/').is_empty()) {
        return wrong(
            "`faults` must be a path of its own such as /fault, for no client of the balancer gets through to it",
        );
    }
    Ok(())
}

/// Makes sure that no living supervisor has this socket, and clears away what a dead one left.
async fn claim(socket: &Path) -> Result<(), LocalError> {
    let listen = |why: String| LocalError::Listen { place: socket.display().to_string(), why };
    if UnixStream::connect(socket).await.is_ok() {
        return Err(listen("another supervisor is serving there".to_owned()));
    }
    match std::fs::remove_file(socket) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(listen(format!("cannot remove the old one: {e}"))),
        _ => Ok(()),
    }
}

/// A socket that only this user can connect to, from its first moment.
fn listen_private(socket: &Path) -> Result<UnixListener, LocalError> {
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(socket);
    rustix::process::umask(before);
    bound.map_err(|e| LocalError::Listen {
        place: socket.display().to_string(),
        why: format!("{e}; the path of a socket may have about 100 characters: choose a shorter --data-dir"),
    })
}

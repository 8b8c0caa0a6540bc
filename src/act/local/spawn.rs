//! Starts the supervisor of a target as a process, or finds the one that outlived an earlier daemon.
//!
//! With `die_with_parent` the daemon holds the only write end of a pipe to the supervisor: however the daemon ends,
//! the supervisor sees the end of the pipe and stops its workers.

use std::fs::{DirBuilder, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use hyper::Method;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::call::{Peer, call};
use super::client::read_report;
use super::process::last_words;
use super::supervisor::check;
use super::wire::Report;
use super::{CallError, LocalError};
use crate::act::LocalSettings;
use crate::model::TargetId;

/// For answers that come from memory.
const LOOK_WITHIN: Duration = Duration::from_secs(3);
/// Between two looks at a supervisor that is starting or ending.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// On top of what the settings allow for starting or stopping.
const SLACK: Duration = Duration::from_secs(5);

/// The supervisor of one target, as its daemon holds it. Dropped, it lives on if it outlives the daemon, and ends
/// otherwise.
#[derive(Debug)]
pub struct LocalProcess {
    /// Its control socket.
    pub socket: PathBuf,
    /// Where the balancer listens.
    pub balancer: SocketAddr,
    /// Service discovery for the workers' metrics pages.
    pub sd_url: String,
    /// It was running already.
    pub adopted: bool,
    /// It was running already, with other settings than these: they apply once it was stopped.
    pub settings_differ: bool,
    target: TargetId,
    log: PathBuf,
    stop_within: Duration,
    child: Option<Child>,
}

impl LocalProcess {
    /// Starts the supervisor of `settings.name` from the program `exe`, with socket, settings and logs in `dir`; or
    /// finds the one that is serving there. Returns when all workers are ready.
    ///
    /// With `die_with_parent` it ends when the returned handle (or this whole process) does; one that is found alive
    /// is then stopped first.
    ///
    /// # Errors
    /// When the settings make no sense, `dir` cannot be used, or a worker does not become ready.
    pub async fn spawn(
        exe: &Path,
        settings: &LocalSettings,
        dir: &Path,
        die_with_parent: bool,
    ) -> Result<Self, LocalError> {
        check(settings)?;
        let file = |what, path: &Path| {
            let path = path.to_owned();
            move |e: std::io::Error| LocalError::File { what, path, why: e.to_string() }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(file("cannot make the folder", dir))?;
        let stem = settings.name.name().replace('/', "_");
        let socket = dir.join(format!("{stem}.sock"));
        let log = dir.join(format!("{stem}.log"));
        if let Ok(found) = report(&settings.name, &socket).await {
            if !die_with_parent && !found.stopping {
                return Ok(Self::adopt(found, socket, log, settings));
            }
            Self::adopt(found, socket.clone(), log.clone(), settings).end().await?;
        }
        let spec = dir.join(format!("{stem}.json"));
        let text = serde_json::to_vec_pretty(settings).unwrap_or_default();
        let written = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&spec);
        written.and_then(|mut f| std::io::Write::write_all(&mut f, &text)).map_err(file("cannot write", &spec))?;
        let output = OpenOptions::new().create(true).append(true).mode(0o600).open(&log);
        let output = output.map_err(file("cannot write", &log))?;

        let mut command = Command::new(exe);
        command.arg("local-supervisor").arg("--spec").arg(&spec).arg("--socket").arg(&socket);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        if die_with_parent {
            command.arg("--parent-pipe").stdin(Stdio::piped());
        }
        // A group of its own: Ctrl-C in the terminal reaches the daemon alone, which then ends this in good order.
        let child = command.process_group(0).spawn().map_err(|e| LocalError::Spawn {
            what: format!("the supervisor of {}", settings.name),
            why: format!("{}: {e}", exe.display()),
        })?;
        Self::await_ready(child, settings, socket, log).await
    }

    async fn await_ready(
        mut child: Child,
        settings: &LocalSettings,
        socket: PathBuf,
        log: PathBuf,
    ) -> Result<Self, LocalError> {
        let not_ready = |why: String| {
            let words = last_words(&log).map_or_else(String::new, |line| format!(": {line}"));
            LocalError::NotReady {
                target: settings.name.to_string(),
                why: format!("{why}{words}; see {}", log.display()),
            }
        };
        let deadline = Instant::now() + settings.ready_within + SLACK;
        loop {
            if let Ok(found) = report(&settings.name, &socket).await {
                let handle = Self::adopt(found, socket, log, settings);
                return Ok(Self { child: Some(child), adopted: false, ..handle });
            }
            if let Ok(Some(status)) = child.try_wait() {
                return Err(not_ready(format!("its supervisor ended ({status})")));
            }
            if Instant::now() > deadline {
                let _ = child.kill().await;
                return Err(not_ready("its supervisor does not get ready".to_owned()));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn adopt(found: Report, socket: PathBuf, log: PathBuf, settings: &LocalSettings) -> Self {
        Self {
            socket,
            balancer: found.balancer,
            sd_url: format!("http://{}/sd", found.admin),
            adopted: true,
            settings_differ: found.settings != *settings,
            target: found.target,
            log,
            stop_within: settings.stop_within,
            child: None,
        }
    }

    /// Its state, workers and traffic.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn report(&self) -> Result<Report, LocalError> {
        report(&self.target, &self.socket).await
    }

    /// The target it runs.
    #[must_use]
    pub fn target(&self) -> &TargetId {
        &self.target
    }

    /// The supervisor's own log; each worker's is beside it.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How the supervisor ended, if it was started here and has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// Stops the workers and the supervisor, whether it would outlive the daemon or not. Returns when all are gone.
    ///
    /// # Errors
    /// When it does not end in time; one that was started here is killed then, and its workers with it.
    pub async fn stop(mut self) -> Result<(), LocalError> {
        self.end().await
    }

    async fn end(&mut self) -> Result<(), LocalError> {
        let within = self.stop_within + SLACK;
        // An answer does not matter: gone already is as good.
        let asked = call(Peer::Unix(&self.socket), Method::POST, "/stop", None, LOOK_WITHIN).await;
        let late = |why: &str| LocalError::NoAnswer { target: self.target.to_string(), why: why.to_owned() };
        if let Some(child) = &mut self.child {
            drop(child.stdin.take());
            if timeout(within, child.wait()).await.is_ok() {
                return Ok(());
            }
            let _ = child.kill().await;
            return Err(late("it did not stop in time and was killed"));
        }
        if let Err(CallError::Connect(_)) = asked {
            return Ok(());
        }
        let deadline = Instant::now() + within;
        while self.is_alive().await {
            if Instant::now() > deadline {
                return Err(late("it was told to stop and is still there"));
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn is_alive(&self) -> bool {
        !matches!(
            call(Peer::Unix(&self.socket), Method::GET, "/state", None, LOOK_WITHIN).await,
            Err(CallError::Connect(_))
        )
    }
}

/// Asks the supervisor at `socket` for everything it knows.
///
/// # Errors
/// When none answers, or one of another version.
pub async fn report(target: &TargetId, socket: &Path) -> Result<Report, LocalError> {
    let silent = |why: String| LocalError::NoAnswer { target: target.to_string(), why };
    let reply = call(Peer::Unix(socket), Method::GET, "/state", None, LOOK_WITHIN).await;
    let reply = reply.map_err(|e| silent(format!("{}: {e}", socket.display())))?;
    read_report(target, &reply).map_err(|e| silent(e.to_string()))
}

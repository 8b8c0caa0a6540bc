//! A `local:` target of sample workers in a folder of its own, and what a case does with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use suture::act::local::{LocalActuator, LocalProcess, Report, Timeouts};
use suture::act::{ActError, Actuator, LocalSettings, Progress};
use suture::model::{Action, TargetId, TargetState};
use suture::sample::Shop;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Far more than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_suture"))
}

pub fn shop_settings(workers: u32) -> LocalSettings {
    let mut settings = Shop::settings(&program()).unwrap();
    settings.workers = workers;
    settings
}

pub fn target() -> TargetId {
    "local:shop".parse().unwrap()
}

/// A target that runs, with an actuator for it.
pub struct Bench {
    pub process: LocalProcess,
    pub actuator: LocalActuator,
    pub dir: TempDir,
}

impl Bench {
    pub async fn start(settings: &LocalSettings) -> Self {
        let dir = TempDir::new().unwrap();
        let process = LocalProcess::spawn(&program(), settings, dir.path(), true).await.unwrap();
        let actuator = actuator_at(&process.socket);
        Self { process, actuator, dir }
    }

    pub async fn report(&self) -> Report {
        self.process.report().await.unwrap()
    }

    pub async fn state(&self) -> TargetState {
        self.actuator.observe(&target()).await.unwrap()
    }

    /// Does an action as the run executor does: *before* is what is there now.
    pub async fn act(&self, action: Action, key: &str) -> Result<String, ActError> {
        let before = action.facet(&self.state().await).unwrap();
        self.actuator.apply(&action, &before, key, &Progress::unheard()).await
    }

    /// Which worker answered each of so many requests, one after the other.
    pub async fn who_answers(&self, requests: u32) -> BTreeMap<String, u32> {
        let mut who = BTreeMap::new();
        for item in 0..requests {
            let (status, body) = ask(self.process.balancer, "GET", &format!("/buy?item={item}"), "").await;
            assert_eq!(status, 200, "{body}");
            *who.entry(body.split(' ').next().unwrap().to_owned()).or_default() += 1;
        }
        who
    }

    /// Asks a worker itself, past the balancer.
    pub async fn ask_worker(&self, name: &str, method: &str, path: &str, body: &str) -> (u16, String) {
        let report = self.report().await;
        let worker = report.workers.iter().find(|w| w.name == name).unwrap();
        ask(worker.addr.unwrap(), method, path, body).await
    }

    /// All processes of this target.
    pub async fn pids(&self) -> Vec<u32> {
        let report = self.report().await;
        report.workers.iter().filter_map(|w| w.pid).chain([report.pid]).collect()
    }
}

pub fn actuator_at(socket: &Path) -> LocalActuator {
    LocalActuator::new([(target(), socket.to_owned())].into(), Timeouts::default())
}

pub fn scale(to: u32) -> Action {
    Action::Scale { target: target(), to }
}

pub fn restart(instance: &str) -> Action {
    Action::Restart { target: target(), instance: instance.to_owned() }
}

pub fn isolate(instance: &str, isolated: bool) -> Action {
    Action::Isolate { target: target(), instance: instance.to_owned(), isolated }
}

/// One request on a connection of its own; an answer that was cut off has status 0.
pub async fn ask(addr: std::net::SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned()))
}

/// Looks again and again until it is so.
pub async fn until<F: AsyncFnMut() -> bool>(what: &str, mut so: F) {
    let patient = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, patient).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Is this process there and not merely waiting to be reaped?
pub fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

pub async fn all_gone(pids: &[u32]) {
    until("all processes gone", async || !pids.iter().any(|pid| lives(*pid))).await;
}

pub fn kill(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

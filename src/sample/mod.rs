//! The sample service `shop`, for `suture demo`: real worker processes behind a real balancer, real load, and faults.
//!
//! Must never be part of a daemon's own work: it exists so that healing can be seen without anybody's servers.
//! Called by the demo ([`Shop`]) and by `main` for the hidden subcommands ([`SampleCommand`]).

mod faults;
mod illness;
mod load;
mod metrics;
mod worker;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::act::LocalSettings;
use crate::act::local::{
    FaultCallError, LocalError, LocalProcess, Peer, PutFault, Report, call, faults_of, log_to_stderr, put_fault,
    take_fault_out, told,
};
use crate::chaos::{Injector, LocalInjector, WithLoad};
use crate::model::{Fault as Exact, TargetId, TargetIdError};

use faults::By;
pub use faults::{Fault, FaultError};
pub use load::LoadStats;

/// Requests a second around which the load wanders. Two workers carry its peaks with ease and choke at three times as
/// much; four carry that.
pub const BASE_RPS: f64 = 150.0;
/// The worker that a fault hits unless another is named.
const SICK: &str = "shop-2";
/// For answers of the sample's own processes.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// The lease of what the demo puts in by itself: it ends with the demo's processes.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// What ids of the demo's own faults begin with.
const OWN: &str = "demo-";

/// Something of the sample service that did not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sample service: {0}")]
pub struct SampleError(String);

impl From<LocalError> for SampleError {
    fn from(error: LocalError) -> Self {
        Self(error.to_string())
    }
}

/// What the binary does as a part of the sample service. Not for people.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum SampleCommand {
    /// One worker of the sample service.
    #[command(hide = true)]
    SampleWorker {
        /// Port on 127.0.0.1.
        #[arg(long)]
        port: u16,
        /// Its name: shop-2.
        #[arg(long)]
        instance: String,
    },
    /// The load on the sample service.
    #[command(hide = true)]
    SampleLoad {
        /// The balancer: <http://127.0.0.1:8080>.
        #[arg(long)]
        url: String,
        /// Requests a second.
        #[arg(long)]
        base_rps: f64,
        /// Where to make the control socket.
        #[arg(long)]
        control: PathBuf,
        /// End when stdin is at its end.
        #[arg(long)]
        parent_pipe: bool,
    },
}

impl SampleCommand {
    /// Runs until it is done; what made it end early is one line on stderr, which goes to its log. Must be called
    /// before any runtime is started.
    #[must_use]
    pub fn run(self) -> ExitCode {
        told(self.try_run())
    }

    fn try_run(self) -> Result<(), SampleError> {
        log_to_stderr();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| SampleError(format!("cannot start a runtime: {e}")))?;
        runtime.block_on(async {
            match self {
                Self::SampleWorker { port, instance } => worker::serve(port, instance).await,
                Self::SampleLoad { url, base_rps, control, parent_pipe } => {
                    load::run(load::LoadOptions { url, base_rps, control, parent_pipe }).await
                }
            }
        })
    }
}

/// The running sample service: supervisor, workers and load. All of it ends when this is dropped, or when the
/// process that holds it dies, however that happens.
#[derive(Debug)]
pub struct Shop {
    /// Held when this started it, and not a daemon that has `local:shop` in its config.
    supervisor: Option<LocalProcess>,
    socket: PathBuf,
    balancer: SocketAddr,
    sd_url: String,
    load: Child,
    load_control: PathBuf,
    target: TargetId,
}

impl Shop {
    /// The settings of `local:shop`, for a config that names it.
    ///
    /// # Errors
    /// Never in practice: the target's name is a constant.
    pub fn settings(exe: &Path) -> Result<LocalSettings, SampleError> {
        let name = "local:shop".parse().map_err(|e: TargetIdError| SampleError(e.to_string()))?;
        let exe = exe.to_str().ok_or_else(|| SampleError(format!("{} is not valid text", exe.display())))?;
        let command = [exe, "sample-worker", "--port", "{port}", "--instance", "{instance}"];
        Ok(LocalSettings {
            name,
            command: command.map(str::to_owned).to_vec(),
            workers: 2,
            min_workers: 1,
            max_workers: 8,
            listen: ([127, 0, 0, 1], 0).into(),
            health: "/healthz".to_owned(),
            metrics: "/metrics".to_owned(),
            cache: Some("/cache".to_owned()),
            faults: Some("/fault".to_owned()),
            ready_within: Duration::from_secs(10),
            stop_within: Duration::from_secs(2),
            max_in_flight: 64,
            outlive: false,
        })
    }

    /// Starts workers, balancer and load from the program `exe`, with sockets and logs in `dir`. Returns when the
    /// service answers.
    ///
    /// # Errors
    /// When a process does not start, or `dir` cannot be used.
    pub async fn start(exe: &Path, dir: &Path) -> Result<Self, SampleError> {
        let settings = Self::settings(exe)?;
        let supervisor = LocalProcess::spawn(exe, &settings, dir, true).await?;
        let shop = Self::open(exe, dir, &supervisor).await?;
        Ok(Self { supervisor: Some(supervisor), ..shop })
    }

    /// Puts load on a `local:shop` that is running already, from the program `exe`, with socket and log in `dir`.
    ///
    /// # Errors
    /// When the load generator does not start, or `dir` cannot be used.
    pub async fn open(exe: &Path, dir: &Path, supervisor: &LocalProcess) -> Result<Self, SampleError> {
        let report = supervisor.report().await?;
        Self::attach(exe, dir, supervisor.target(), &supervisor.socket, &report).await
    }

    /// The same, of one that this process does not hold: by its control socket, and what it says of itself.
    ///
    /// # Errors
    /// When the load generator does not start, or `dir` cannot be used.
    pub async fn attach(
        exe: &Path,
        dir: &Path,
        target: &TargetId,
        socket: &Path,
        report: &Report,
    ) -> Result<Self, SampleError> {
        let load_control = dir.join("load.sock");
        let log = dir.join("load.log");
        let output = std::fs::OpenOptions::new().create(true).append(true).open(&log);
        let output = output.map_err(|e| SampleError(format!("cannot write {}: {e}", log.display())))?;
        let load = Command::new(exe)
            .args(["sample-load", "--parent-pipe", "--url", &format!("http://{}", report.balancer)])
            .args(["--base-rps", &BASE_RPS.to_string()])
            .arg("--control")
            .arg(&load_control)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(output)
            .process_group(0)
            .spawn()
            .map_err(|e| SampleError(format!("cannot start the load from {}: {e}", exe.display())))?;
        let shop = Self {
            supervisor: None,
            socket: socket.to_owned(),
            balancer: report.balancer,
            sd_url: format!("http://{}/sd", report.admin),
            load,
            load_control,
            target: target.clone(),
        };
        shop.load_ready().await?;
        Ok(shop)
    }

    async fn load_ready(&self) -> Result<(), SampleError> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while let Err(error) = self.load_stats().await {
            if Instant::now() > deadline {
                return Err(error);
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// What it is called as a target: `local:shop`.
    #[must_use]
    pub fn target(&self) -> &TargetId {
        &self.target
    }

    /// The supervisor's control socket, for the actuator.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Service discovery, for the scrape source.
    #[must_use]
    pub fn sd_url(&self) -> &str {
        &self.sd_url
    }

    /// Where customers ask.
    #[must_use]
    pub fn balancer(&self) -> SocketAddr {
        self.balancer
    }

    /// State, workers and traffic.
    ///
    /// # Errors
    /// When the supervisor does not answer.
    pub async fn report(&self) -> Result<Report, SampleError> {
        Ok(crate::act::local::report(&self.target, &self.socket).await?)
    }

    /// What the load did so far.
    ///
    /// # Errors
    /// When the load generator does not answer.
    pub async fn load_stats(&self) -> Result<LoadStats, SampleError> {
        let reply = call(Peer::Unix(&self.load_control), Method::GET, "/stats", None, ANSWER_WITHIN).await;
        let reply = reply.map_err(|e| SampleError(format!("the load generator does not answer: {e}")))?;
        serde_json::from_slice(&reply.body).map_err(|e| SampleError(format!("the load generator's answer: {e}")))
    }

    /// Puts a fault in: into the load, or into one worker (`shop-2` unless `instance` names another). Returns where
    /// it was put, for people: `the load`, `shop-2`.
    ///
    /// # Errors
    /// When there is no such worker, or it does not answer.
    pub async fn inject(&self, fault: Fault, instance: Option<&str>) -> Result<String, SampleError> {
        let name = instance.unwrap_or(SICK);
        let (id, exact) = (format!("{OWN}{fault}"), fault.exact());
        let lease_ms = u64::try_from(DAY.as_millis()).unwrap_or(u64::MAX);
        match fault.by() {
            By::Load => {
                if let Exact::Load { factor } = exact {
                    self.set_factor(factor).await?;
                }
                return Ok("the load".to_owned());
            }
            By::Supervisor => {
                let wanted = PutFault { fault: exact, instances: vec![name.to_owned()], lease_ms };
                let put_in = put_fault(&self.socket, &id, &wanted).await;
                return put_in.map(|_| name.to_owned()).map_err(|e| SampleError(e.to_string()));
            }
            By::Worker => {}
        }
        let report = self.report().await?;
        let worker = report.workers.iter().find(|w| w.name == name);
        let addr = worker.and_then(|w| w.addr).ok_or_else(|| {
            SampleError(format!("there is no worker `{}`", name.chars().take(40).collect::<String>()))
        })?;
        let body = serde_json::json!({ "id": id, "fault": exact, "lease_ms": lease_ms }).to_string().into_bytes();
        match call(Peer::Tcp(addr), Method::PUT, "/fault", Some(body), ANSWER_WITHIN).await {
            Ok(reply) if reply.status.is_success() => Ok(name.to_owned()),
            Ok(reply) => {
                let why = String::from_utf8_lossy(&reply.body).trim().to_owned();
                Err(SampleError(format!("{name} answers {} to a fault: {why}", reply.status.as_u16())))
            }
            // A worker that aborts does not answer any more.
            Err(_) if fault == Fault::Crash => Ok(name.to_owned()),
            Err(error) => Err(SampleError(format!("{name} does not answer: {error}"))),
        }
    }

    /// Takes all faults of the demo out: of the load, of the way to the workers, and of every worker that lives.
    ///
    /// # Errors
    /// When a living one does not answer.
    pub async fn lift(&self) -> Result<(), SampleError> {
        self.ask_load(Method::DELETE, None).await?;
        let in_words = |e: FaultCallError| SampleError(e.to_string());
        for held in faults_of(&self.socket).await.map_err(in_words)?.held {
            if held.id.starts_with(OWN) {
                take_fault_out(&self.socket, &held.id).await.map_err(in_words)?;
            }
        }
        for worker in self.report().await?.workers.iter().filter(|w| w.pid.is_some()) {
            let Some(addr) = worker.addr else { continue };
            call(Peer::Tcp(addr), Method::DELETE, "/fault", None, ANSWER_WITHIN)
                .await
                .map_err(|e| SampleError(format!("{} does not answer: {e}", worker.name)))?;
        }
        Ok(())
    }

    /// What chaos experiments put faults into it with: those of any `local:` target, and more load.
    #[must_use]
    pub fn injector(&self) -> Arc<dyn Injector> {
        let local = LocalInjector::new([(self.target.clone(), self.socket.clone())].into());
        Arc::new(WithLoad::new(Arc::new(local), self.target.clone(), self.load_control.clone()))
    }

    async fn set_factor(&self, factor: f64) -> Result<(), SampleError> {
        let body = serde_json::json!({ "factor": factor }).to_string().into_bytes();
        self.ask_load(Method::PUT, Some(body)).await
    }

    async fn ask_load(&self, method: Method, body: Option<Vec<u8>>) -> Result<(), SampleError> {
        match call(Peer::Unix(&self.load_control), method, "/factor", body, ANSWER_WITHIN).await {
            Ok(reply) if reply.status.is_success() => Ok(()),
            Ok(reply) => Err(SampleError(format!("the load generator answers {}", reply.status.as_u16()))),
            Err(error) => Err(SampleError(format!("the load generator does not answer: {error}"))),
        }
    }

    /// Stops everything; returns when all processes are gone.
    ///
    /// # Errors
    /// When something had to be killed.
    pub async fn stop(mut self) -> Result<(), SampleError> {
        drop(self.load.stdin.take());
        if timeout(ANSWER_WITHIN, self.load.wait()).await.is_err() {
            let _ = self.load.kill().await;
        }
        match self.supervisor {
            Some(supervisor) => Ok(supervisor.stop().await?),
            None => Ok(()),
        }
    }
}

//! A real daemon with a real `local:` target, ill when a case says so.
//!
//! The workers, their supervisor and the daemon are processes of the binary. What the daemon measures is a page of the
//! case's own, so that learning takes seconds, and nothing depends on how busy the machine is.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use suture::act::local::{Report, report};
use suture::model::{IncidentId, TargetState};
use tempfile::TempDir;

use super::page::{Gives, Page};
use super::process::{PATIENCE, Running, eventually, folder, nobody_left, suture, warm};
use super::{count, state};

/// The page of a shop that is well.
pub const WELL: &str = "# TYPE shop_pool_waiters gauge\nshop_pool_waiters 1\n# TYPE shop_errors gauge\nshop_errors 0\n";
/// Too few workers: `scale-out` is the cure.
pub const CROWDED: &str =
    "# TYPE shop_pool_waiters gauge\nshop_pool_waiters 80\n# TYPE shop_errors gauge\nshop_errors 0\n";
/// Requests fail; with workers down, `restart-service` is the cure.
pub const FAILING: &str =
    "# TYPE shop_pool_waiters gauge\nshop_pool_waiters 1\n# TYPE shop_errors gauge\nshop_errors 0.9\n";

/// What a rig's config has that cases differ in.
#[derive(Clone, Copy)]
pub struct Ways {
    pub mode: &'static str,
    pub cooldown: &'static str,
    pub outlive: bool,
}

/// The daemon's folder, page and process. Dropped, it leaves nothing behind.
pub struct Rig {
    pub dir: TempDir,
    pub page: Page,
    pub daemon: Option<Running>,
    /// What the daemon finds in its environment besides.
    pub env: Vec<(String, String)>,
}

impl Rig {
    /// Writes the config; nothing runs yet.
    pub fn new(ways: Ways) -> Self {
        let dir = folder();
        let page = Page::serve(Gives::Text(WELL.to_owned()));
        fs::write(dir.path().join("suture.toml"), config(&page.url(), ways)).unwrap();
        warm(&dir.path().join("d"));
        Self { dir, page, daemon: None, env: Vec::new() }
    }

    /// The same, with more in the config, and with these in the environment. Who asks for a plan is not alone there, and does
    /// not approve it.
    pub fn with(ways: Ways, more: &str, env: Vec<(String, String)>) -> Self {
        let mut rig = Self::new(ways);
        rig.env = env;
        rig.write(|config| format!("{}\n{more}", config.replace("requester_may_approve = true", "")));
        rig
    }

    /// A daemon whose service is healed by another target, which these tables define; every playbook may do everything there.
    /// It is ill by the page, and well by the page; who asks for a plan may approve it.
    pub fn healed_by(target: &str, tables: &str, env: Vec<(String, String)>) -> Self {
        let ways = Ways { mode: "approve", cooldown: "1ms", outlive: false };
        let mut rig = Self::new(ways);
        rig.env = env;
        let all = "[\"scale\", \"restart\", \"traffic\", \"isolate\", \"cache\", \"configure\", \"flush\"]";
        rig.write(|config| {
            let until = config.find("[[target]]").unwrap();
            let own = config[..until].replace("local:shop", target).replace("deadline = \"20s\"", "deadline = \"4s\"");
            // A rule would fill the room with proposals of its own.
            let own = own.replace("mode = \"approve\"", "mode = \"approve\"\nrules = []");
            format!(
                "{own}\n{tables}\n[[grant]]\nplaybook = \"*\"\ntargets = [\"{target}\"]\nallow = {all}\n\
                 settings = [\"*\"]\nprefixes = [\"page:\"]\n"
            )
        });
        rig
    }

    /// Changes the config; the next life has it.
    pub fn write(&self, change: impl FnOnce(String) -> String) {
        let path = self.dir.path().join("suture.toml");
        fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("d")
    }

    /// Starts the daemon without waiting for anything.
    pub fn launch(&mut self) {
        assert!(self.daemon.is_none());
        let mut command = suture(&["run", "--config", "suture.toml"]);
        command.envs(self.env.iter().cloned());
        self.daemon = Some(Running::spawn(self.dir.path(), command));
    }

    /// Starts the daemon, and waits until it answers.
    pub fn start(&mut self) {
        self.launch();
        self.answers();
    }

    /// Starts the daemon and lets it learn what is well, so that it knows how far from that anything is. The model is
    /// stored in good order: the lives to come have it from their first sample.
    pub fn start_learned(&mut self) {
        self.start();
        let data = self.data();
        eventually(PATIENCE * 2, "a model", || (count(&data, "model-trained") > 0).then_some(()));
        self.stop();
        self.start();
    }

    pub fn answers(&mut self) {
        let data = self.data();
        let daemon = self.daemon.as_mut().unwrap();
        // A debug build compiles its components for seconds when no life before did.
        eventually(PATIENCE * 4, "the daemon answers", || {
            if let Some(status) = daemon.ended() {
                panic!("{:?}", daemon.said(status));
            }
            ctl(&data, "whoami").ok()
        });
    }

    pub fn kill(&mut self) {
        self.daemon.take().unwrap().kill();
    }

    /// SIGTERM, and the whole way down.
    pub fn stop(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.signal(Signal::TERM);
        let status = daemon.ended_within(Duration::from_secs(15));
        let said = daemon.said(status);
        assert_eq!(said.code, Some(0), "{said:?}");
    }

    /// Says a command as `suture ctl` would, and gives the answer.
    pub fn say(&self, line: &str) -> String {
        ctl(&self.data(), line).unwrap_or_else(|e| panic!("{line}: {e}\n{:?}", self.words()))
    }

    pub fn words(&self) -> String {
        self.daemon.as_ref().map(|d| d.said_so_far().all()).unwrap_or_default()
    }

    pub fn crowded(&self) {
        self.page.give(Gives::Text(CROWDED.to_owned()));
    }

    pub fn failing(&self) {
        self.page.give(Gives::Text(FAILING.to_owned()));
    }

    pub fn well(&self) {
        self.page.give(Gives::Text(WELL.to_owned()));
    }

    /// Waits until the ledger says so.
    #[track_caller]
    pub fn until<T>(&self, what: &str, look: impl Fn(&suture::incident::State) -> Option<T>) -> T {
        let data = self.data();
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let now = state(&data);
            if let Some(found) = look(&now) {
                return found;
            }
            if std::time::Instant::now() > deadline {
                panic!("never: {what}\n{:#?}\n{}", now.incidents.values().next_back(), self.words());
            }
            std::thread::sleep(Duration::from_millis(25));
        }
    }

    /// Waits for the question of an incident that is newer than `last`.
    #[track_caller]
    pub fn asked_after(&self, last: u64) -> IncidentId {
        self.until("a plan is asked for", |s| {
            s.incidents.values().find(|i| i.id.0 > last && i.question.is_some()).map(|i| i.id)
        })
    }

    /// Everything that the target's supervisor knows.
    pub fn report(&self) -> Option<Report> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let name = "local:shop".parse().unwrap();
        runtime.block_on(report(&name, &self.data().join("local/shop.sock"))).ok()
    }

    #[track_caller]
    pub fn target(&self) -> TargetState {
        eventually(PATIENCE, "the supervisor answers", || self.report()).state
    }

    /// Ends everything in order, also what outlives the daemon, and looks that nothing is left.
    pub fn end(mut self) {
        if self.daemon.is_some() {
            self.stop();
        }
        stop_supervisor(&self.data());
        nobody_left(self.dir.path(), PATIENCE);
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.daemon = None;
        stop_supervisor(&self.data());
    }
}

/// Tells a supervisor that outlives its daemon to stop.
fn stop_supervisor(data: &Path) {
    if let Ok(mut socket) = UnixStream::connect(data.join("local/shop.sock")) {
        let request = "POST /stop HTTP/1.1\r\nhost: local\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let _ = socket.write_all(request.as_bytes());
        let _ = socket.set_read_timeout(Some(Duration::from_secs(5)));
        let _ = socket.read_to_end(&mut Vec::new());
    }
}

/// One line to the daemon of a data folder.
pub fn ctl(data: &Path, line: &str) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(suture::app::ask(data, line)).map(|(_, text)| text).map_err(|e| e.to_string())
}

fn config(page: &str, Ways { mode, cooldown, outlive }: Ways) -> String {
    let exe = env!("CARGO_BIN_EXE_suture");
    format!(
        r#"
[suture]
data_dir = "d"
stop_within = "5s"

[chat]
console = false

[[service]]
name = "shop"
targets = ["local:shop"]
mode = "{mode}"
interval = "250ms"
timeout = "240ms"

[[service.source]]
kind = "scrape"
urls = ["{page}"]

[service.source.metric]
pool_waiters = {{ from = "shop_pool_waiters", take = "value", bad = "high", limit = 10.0 }}
errors_ratio = {{ from = "shop_errors", take = "value", bad = "high", limit = 0.5 }}

[service.detect]
train_after = 20
retrain_every = "1h"
raise = 2
of = 3
clear = 3

[service.guard]
cooldown = "{cooldown}"
actions_per_hour = 1000

[service.approve]
who = ["unix:*"]
expiry = "10min"
requester_may_approve = true

[service.verify]
settle = "1ms"
clear_samples = 2
deadline = "20s"

[[target]]
name = "local:shop"
command = ["{exe}", "sample-worker", "--port", "{{port}}", "--instance", "{{instance}}"]
workers = 2
min_workers = 1
max_workers = 6
ready_within = "20s"
stop_within = "2s"
outlive = {outlive}

[[grant]]
playbook = "scale-out"
targets = ["local:shop"]
allow = ["scale"]
max_delta = 3
max_replicas = 6

[[grant]]
playbook = "restart-service"
targets = ["local:shop"]
allow = ["restart"]
"#
    )
}

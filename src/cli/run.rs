//! `suture run` and `suture check`: the daemon, and the proof of its config.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::check::{self, Accepted, BuiltIn, CheckPorts, Loaded, Role};
use super::{Global, OK, log, print};
use crate::act::Permission;
use crate::app::{App, Door, Reply};
use crate::chat::Messenger;
use crate::chat::complete::Names;
#[cfg(feature = "console")]
use crate::chat::console::{Console, ConsoleInput, ConsoleOptions, Hold, OnEof, person};
use crate::collect::{Making, Source, SourceSettings};
use crate::config::{Config, ServiceConfig, TargetConfig};
use crate::incident::State;
use crate::wasm::{Catalog, Host, Limits};

/// Runs the daemon until SIGTERM, SIGINT or `quit`.
pub(super) fn run(global: &Global) -> anyhow::Result<u8> {
    let mut config = Config::load(&global.config_path())?;
    if let Some(dir) = &global.data_dir {
        config.suture.data_dir.clone_from(dir);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(daemon(global, config));
    // A console thread may be blocked on its read; it ends with the process.
    runtime.shutdown_background();
    ended
}

async fn daemon(global: &Global, config: Config) -> anyhow::Result<u8> {
    // Before the console: its line editor puts its own handler in front while a prompt stands.
    let mut signals = Signals::new()?;
    super::make_data_dir(&config.suture.data_dir)?;
    let wants_console = config.chat.console;
    let talk = Talk::start(wants_console, &config.suture.data_dir, false)?;
    let filter = global.log.clone().unwrap_or_else(|| config.suture.log.clone());
    log::start(&filter, global.log_format(config.suture.log_format), talk.log_writer())?;
    for warning in &config.warnings {
        tracing::warn!("{}: {}", warning.place(), warning.message);
    }
    let exe = std::env::current_exe()?;
    let app = App::build(config, &exe, talk.messengers(), &|line| tracing::info!("{line}")).await?;
    let door = app.door();
    talk.open(&door);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "suture is running; `help` lists the commands");
    let ended = app
        .run(async {
            tokio::select! {
                reason = signals.next() => reason,
                reason = talk.converse(&door) => reason,
            }
        })
        .await;
    talk.close().await;
    ended?;
    Ok(OK)
}

/// The signals that end the daemon in order.
pub(super) struct Signals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
    hup: tokio::signal::unix::Signal,
}

impl Signals {
    pub(super) fn new() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for one, and names it.
    pub(super) async fn next(&mut self) -> String {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM".to_owned(),
            _ = self.int.recv() => "SIGINT".to_owned(),
            _ = self.hup.recv() => "SIGHUP: the terminal is gone".to_owned(),
        }
    }
}

/// The console as `run` and `demo` use it; without the feature, or when the config does not want it, nobody talks.
pub(super) struct Talk {
    #[cfg(feature = "console")]
    hold: Hold,
    #[cfg(feature = "console")]
    console: Option<(Arc<Console>, tokio::sync::Mutex<mpsc::Receiver<ConsoleInput>>)>,
    names: Arc<std::sync::OnceLock<Arc<Names>>>,
}

impl Talk {
    /// Starts the console. `leave_on_eof`: the end of input ends the program too.
    pub(super) fn start(wanted: bool, data_dir: &Path, leave_on_eof: bool) -> anyhow::Result<Self> {
        let names: Arc<std::sync::OnceLock<Arc<Names>>> = Arc::default();
        #[cfg(feature = "console")]
        {
            let hold = Hold::default();
            let late = Arc::clone(&names);
            let options = ConsoleOptions {
                history: Some(data_dir.join("history")),
                on_eof: if leave_on_eof { OnEof::Quit } else { OnEof::Stay },
                names: Arc::new(move |wanted| late.get().map(|names| names(wanted)).unwrap_or_default()),
                hold: Some(hold.clone()),
                look: None,
            };
            let console = if wanted {
                let (console, lines) = Console::start(options)?;
                Some((Arc::new(console), tokio::sync::Mutex::new(lines)))
            } else {
                None
            };
            Ok(Self { hold, console, names })
        }
        #[cfg(not(feature = "console"))]
        {
            let _ = (wanted, data_dir, leave_on_eof);
            Ok(Self { names })
        }
    }

    /// Lets the prompt appear, and completes names from this app from now on.
    pub(super) fn open(&self, door: &Door) {
        let _ = self.names.set(door.names());
        #[cfg(feature = "console")]
        self.hold.release();
    }
}

#[cfg(feature = "console")]
impl Talk {
    pub(super) fn messengers(&self) -> Vec<Arc<dyn Messenger>> {
        self.console.iter().map(|(console, _)| Arc::clone(console) as Arc<dyn Messenger>).collect()
    }

    /// Logs go above the prompt where there is one, and to stderr elsewhere.
    pub(super) fn log_writer(&self) -> Option<Box<dyn std::io::Write + Send>> {
        let (console, _) = self.console.as_ref()?;
        console.person_types().then(|| Box::new(console.writer()) as _)
    }

    /// Carries out what is typed until somebody wants to leave.
    pub(super) async fn converse(&self, door: &Door) -> String {
        let Some((_, lines)) = &self.console else { return std::future::pending().await };
        let mut lines = lines.lock().await;
        let by = person();
        loop {
            match lines.recv().await {
                Some(ConsoleInput::Line(line)) if line.trim().is_empty() => {}
                Some(ConsoleInput::Line(line)) => match door.answer(&by, "console", &line).await {
                    Reply::Card(card) | Reply::Refused(card) => {
                        door.outbox().show_on("console", &card);
                    }
                    Reply::Done(text) => {
                        door.outbox().say_on("console", "", &text);
                    }
                    Reply::File(card, file) => {
                        door.outbox().show_on("console", &saved(card, &file));
                    }
                    Reply::Quit => return format!("{} quit", by.name),
                },
                Some(ConsoleInput::Interrupted) => return "Ctrl-C".to_owned(),
                Some(ConsoleInput::Eof) => return "the input ended".to_owned(),
                None => return std::future::pending().await,
            }
        }
    }

    pub(super) async fn close(&self) {
        if let Some((console, _)) = &self.console {
            console.close().await;
        }
        crate::chat::console::restore_terminal();
    }
}

#[cfg(not(feature = "console"))]
impl Talk {
    pub(super) fn messengers(&self) -> Vec<Arc<dyn Messenger>> {
        Vec::new()
    }

    pub(super) fn log_writer(&self) -> Option<Box<dyn std::io::Write + Send>> {
        None
    }

    pub(super) async fn converse(&self, _: &Door) -> String {
        std::future::pending().await
    }

    pub(super) async fn close(&self) {}
}

/// Writes a file that was asked for at the console beside where the daemon was started, and says where.
#[cfg(feature = "console")]
fn saved(mut card: crate::chat::Card, file: &crate::chat::File) -> crate::chat::Card {
    let path = std::env::current_dir().unwrap_or_default().join(&file.name);
    let words =
        match std::fs::File::create_new(&path).and_then(|mut out| std::io::Write::write_all(&mut out, &file.bytes)) {
            Ok(()) => format!("It is in {}.", path.display()),
            Err(error) => format!("It cannot be written to {}: {error}.", path.display()),
        };
    card.blocks.push(crate::chat::Block::Text(words));
    card
}

/// Proves a config, with the real adapters.
pub(super) fn check(global: &Global, depth: check::Depth) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        // Only to know where the daemon would keep its things, and what components may use; `check` tells what is wrong.
        let config = Config::load(&global.config_path()).ok();
        let configured = config.as_ref().map(|config| config.suture.data_dir.clone());
        let data_dir = global.data_dir.clone().or(configured);
        let limits = config.as_ref().map_or_else(Limits::default, |config| Limits::from(&config.plugins.limits));
        // What a daemon compiled here is good for us as well; a check makes no folder.
        let cache = data_dir.as_ref().map(|dir| dir.join("cache")).filter(|dir| dir.is_dir());
        let cache = cache.map(|dir| std::path::absolute(&dir).unwrap_or(dir));
        let host = Host::new(limits, cache.as_deref())?;
        let (catalog, _) = Catalog::load(&host, None, None).await;
        let ports = CheckPorts {
            source: Box::new(source_port()),
            target: Box::new(target_port(global)),
            chaos: Box::new(chaos_rights),
            chat: Box::new(|config| (crate::app::platforms(config), crate::app::check_people(config))),
            component: Box::new(move |role, file| load(&host, role, file)),
            built_in: built_in(&catalog),
            accepted: data_dir.map(|dir| accepted(&dir)).unwrap_or_default(),
        };
        Ok::<_, anyhow::Error>(check::check(&global.config_path(), depth, &ports).await)
    })?;
    print(&if global.json { outcome.as_json() } else { outcome.for_people() });
    Ok(outcome.exit)
}

/// What the ledger of a data folder says is in use; nothing where there is none, or none that can be read.
fn accepted(data_dir: &Path) -> BTreeMap<(Role, String), Accepted> {
    if !crate::ledger::folder(data_dir).is_dir() {
        return BTreeMap::new();
    }
    let mut state = State::default();
    for stored in crate::ledger::records(data_dir).into_iter().flatten().map_while(Result::ok) {
        state.apply(&stored.record.event);
    }
    let one = |(role, name, component): (crate::model::Role, &str, &crate::incident::Component)| {
        let role = match role {
            crate::model::Role::Playbook => Role::Playbook,
            crate::model::Role::Rule => Role::Rule,
        };
        let accepted = Accepted { digest: component.accepted, kinds: component.imports.iter().cloned().collect() };
        ((role, name.to_owned()), accepted)
    };
    state.components.iter().map(one).collect()
}

fn built_in(catalog: &Catalog) -> Vec<BuiltIn> {
    let playbooks = catalog.playbooks().map(|p| BuiltIn {
        role: Role::Playbook,
        name: p.name().to_owned(),
        loaded: Loaded { digest: p.digest(), kinds: p.wants().clone() },
    });
    let rules = catalog.rules().map(|r| BuiltIn {
        role: Role::Rule,
        name: r.name().to_owned(),
        loaded: Loaded { digest: r.digest(), kinds: std::collections::BTreeSet::new() },
    });
    playbooks.chain(rules).collect()
}

/// Loads a component for the check. Called outside of async code's own threads, so it may wait.
fn load(host: &Host, role: Role, file: &Path) -> Result<Loaded, String> {
    let bytes = std::fs::read(file).map_err(|e| format!("cannot be read: {e}"))?;
    let name = file.display().to_string();
    let handle = tokio::runtime::Handle::current();
    let host = host.clone();
    // `check` calls ports from async code; a thread of its own may block on the compilation.
    std::thread::scope(|scope| {
        let loading = scope.spawn(move || {
            handle.block_on(async {
                match role {
                    Role::Playbook => host
                        .load_playbook(&name, bytes)
                        .await
                        .map(|p| Loaded { digest: p.digest(), kinds: p.wants().clone() }),
                    Role::Rule => host
                        .load_rule(&name, bytes)
                        .await
                        .map(|r| Loaded { digest: r.digest(), kinds: std::collections::BTreeSet::new() }),
                }
            })
        });
        loading.join().map_err(|_| "loading it panicked".to_owned())?.map_err(|e| e.to_string())
    })
}

type Target = Result<Arc<dyn crate::act::Actuator>, String>;

/// Makes sources as the daemon does.
fn source_port() -> impl Fn(&Config, &ServiceConfig, &SourceSettings) -> Result<Box<dyn Source>, String> + Send + Sync {
    let pool = std::sync::OnceLock::new();
    move |config, service, settings| {
        let making = Making {
            timeout: crate::collect::deadline(service.interval, service.timeout),
            interval: service.interval,
            pool: pool.get_or_init(|| crate::app::pool(config)).clone(),
        };
        crate::collect::build(settings, &making).map_err(|e| e.to_string())
    }
}

/// A local target is looked at through the socket of its supervisor, when a daemon runs; without one, its settings and
/// its program are all there is to look at. All others are asked where they are.
fn target_port(global: &Global) -> impl Fn(&Config, &TargetConfig) -> Target + Send + Sync + 'static {
    let data_dir = global.data_dir();
    let remote = std::sync::OnceLock::new();
    move |config, target| {
        if let TargetConfig::Local(settings) = target {
            return local_target(&data_dir, settings);
        }
        let remote = remote.get_or_init(|| crate::app::remote_actuators(config, &crate::app::pool(config)));
        let of_kind = remote.iter().find(|actuator| actuator.kind() == target.id().kind());
        of_kind.cloned().ok_or_else(|| format!("{}: this build has no adapter for it", target.id()))
    }
}

/// What experiments would need on a workload of a cluster. Elsewhere they need no rights.
fn chaos_rights(config: &Config, target: &TargetConfig) -> BoxFuture<'static, Result<Vec<Permission>, String>> {
    #[cfg(feature = "kubernetes")]
    if matches!(target, TargetConfig::Kubernetes(_)) {
        let injector = crate::chaos::kubernetes::KubernetesInjector::new(crate::app::pool(config).clusters);
        let id = target.id().clone();
        return async move { injector.permissions(&id).await.map_err(|e| e.to_string()) }.boxed();
    }
    let _ = (config, target);
    std::future::ready(Ok(Vec::new())).boxed()
}

#[cfg(feature = "local")]
fn local_target(data_dir: &Path, settings: &crate::act::LocalSettings) -> Target {
    use crate::act::local::{LocalActuator, Timeouts, dry_target};
    let stem = settings.name.name().replace('/', "_");
    let socket = data_dir.join("local").join(format!("{stem}.sock"));
    if socket.exists() {
        let sockets = BTreeMap::from([(settings.name.clone(), socket)]);
        return Ok(Arc::new(LocalActuator::new(sockets, Timeouts::default())));
    }
    dry_target(settings).map_err(|e| e.to_string())
}

#[cfg(not(feature = "local"))]
fn local_target(_: &Path, settings: &crate::act::LocalSettings) -> Target {
    Err(format!("{}: this build has no adapter for it (feature `local` is off)", settings.name))
}

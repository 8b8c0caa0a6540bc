//! The composition root: the only place that names concrete adapters and puts the stages together.
//!
//! `App::build` opens the ledger and folds it, loads the components, starts or finds the local targets, and wires the
//! engine; `App::run` keeps the tasks alive until somebody wants to stop, and drains them.

mod build;
mod cards;
mod chaos;
mod commands;
mod components;
mod control;
mod desk;
#[cfg(feature = "kubernetes")]
mod discover;
mod feedback;
mod healer;
mod people;
mod questions;
mod registry;
mod reload;
mod rights;
mod stop_file;
mod warnings;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

pub(crate) use build::{pool, remote_actuators};
pub use commands::Reply;
pub use control::{ControlError, SOCKET, ask};

use crate::chaos::Injector;
use crate::chat::outbox::{Outbox, OutboxSettings, OutboxWorker};
use crate::chat::{Desk, Messenger, Store};
use crate::collect::SourceError;
use crate::config::{Config, ConfigErrors, Live, ServiceConfig};
use crate::engine::{Actuators, Board, Engine, JournalError, Roster, Runner, Stages, Standing};
use crate::ledger::{Ledger, LedgerError, Storage, Views};
use crate::model::{Clock, Fact, IncidentId, Person, ServiceId, SystemClock, TargetId};
use crate::supervise::{GivenUp, Supervisor, drained};
use crate::wasm::LoadError;

/// How often time is let pass: expiries, cooldowns and verdicts are no finer than this.
const TICK: Duration = Duration::from_millis(250);

/// How long experiments may take to get rid of their faults on shutdown; what is left goes with its lease.
const EXPERIMENTS_END_WITHIN: Duration = Duration::from_secs(4);

/// How long the chat may take to get rid of its last words on shutdown.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why the daemon does not come up, or does not stay up.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The config has problems.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger does not take the first events.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The playbook host cannot start.
    #[error("the playbook host cannot start: {0}")]
    Host(LoadError),
    /// A component cannot be used.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Components(Vec<LoadError>),
    /// A component is not the one that the config pins.
    #[error("component `{name}` has SHA-256 {found}, and [plugins] pins says {pinned}: it is not loaded")]
    Pin {
        /// The component.
        name: String,
        /// What its bytes have.
        found: String,
        /// What the config says.
        pinned: String,
    },
    /// A component is not pinned, and the config wants all to be.
    #[error(
        "component `{name}` is not taken: `require_pins` is set, and {config} does not pin it; take its file away, or \
         write:\n\n[plugins.pins]\n{name} = \"{found}\""
    )]
    NotPinned {
        /// The component.
        name: String,
        /// What its bytes have.
        found: String,
        /// The config file.
        config: String,
    },
    /// A component wants what nobody granted.
    #[error(
        "playbook `{playbook}` wants to {wants} and no grant in {config} allows it; take its file away, or \
         write:\n\n{lines}"
    )]
    NotGranted {
        /// The playbook.
        playbook: String,
        /// What it imports and may not.
        wants: String,
        /// The grant that would allow it.
        lines: String,
        /// The config file.
        config: String,
    },
    /// A local target does not start.
    #[cfg(feature = "local")]
    #[error(transparent)]
    Local(#[from] crate::act::local::LocalError),
    /// A source cannot be made.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The control socket cannot be made.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A task could not be kept alive.
    #[error(transparent)]
    GivenUp(#[from] GivenUp),
    /// Anything of the operating system.
    #[error("{what}: {why}")]
    System {
        /// What was tried.
        what: String,
        /// The system's words.
        why: String,
    },
}

/// What commands and cards are made from.
pub(in crate::app) struct Shared {
    pub engine: Arc<Engine>,
    pub board: Arc<Board>,
    pub live: Arc<Live>,
    pub registry: Arc<registry::Registry>,
    pub views: Arc<Views>,
    pub storage: Arc<dyn Storage>,
    pub data_dir: PathBuf,
    pub outbox: Outbox,
    /// Incidents whose card was shown.
    pub shown: Arc<Mutex<BTreeSet<IncidentId>>>,
    /// What works plans out.
    pub runner: Runner,
    pub people: Arc<people::People>,
    pub buttons: Arc<desk::Buttons>,
    pub stand: chaos::Stand,
    /// How many chats there are besides the console.
    pub chats: usize,
    /// The file that says stop, while it is there.
    pub stop_file: Mutex<Option<PathBuf>>,
    #[cfg(feature = "sentence")]
    pub reader: Option<crate::chat::sentence::Reader>,
}

impl Shared {
    /// The config of this moment.
    pub fn config(&self) -> Arc<Config> {
        self.live.get()
    }
}

/// A whole Suture, built and not yet running.
pub struct App {
    shared: Arc<Shared>,
    desk: Arc<desk::FrontDesk>,
    messengers: Vec<Arc<dyn Messenger>>,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    outbox_workers: Vec<OutboxWorker>,
    sd_urls: Arc<BTreeMap<TargetId, String>>,
    pool: crate::collect::Pool,
    /// The config as the file has it; the one in force has what was found besides.
    file: Arc<Config>,
    #[cfg(feature = "kubernetes")]
    roster: Arc<Roster>,
    #[cfg(feature = "local")]
    locals: Vec<build::Local>,
}

/// A door for whoever runs the app in the same process: the console and the demo.
#[derive(Clone)]
pub struct Door(Arc<Shared>);

impl Door {
    /// Understands and carries out one line of one person.
    pub async fn answer(&self, by: &Person, via: &str, text: &str) -> Reply {
        commands::answer(&self.0, &commands::Asked::here(by, via), text).await
    }

    /// From now on this one is asked as well when a fault is to be put in.
    pub fn add_injector(&self, injector: Arc<dyn Injector>) {
        self.0.stand.add(injector);
    }

    /// From now on the lots of experiments are drawn by this seed: the same again hits the same.
    pub fn draw_lots_by(&self, seed: u64) {
        self.0.stand.draw_lots_by(seed);
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.0.engine
    }

    /// The newest samples and readings.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.0.board
    }

    /// Names for completion.
    #[must_use]
    pub fn names(&self) -> Arc<crate::chat::complete::Names> {
        let shared = Arc::downgrade(&self.0);
        Arc::new(move |wanted| names(&shared, wanted))
    }

    /// The cards' way out.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }
}

/// A platform of the config by name, or why it cannot be made.
pub type Made = (&'static str, Result<Arc<dyn Messenger>, String>);

/// The platforms of a config as `suture check` looks at them: nothing is connected, nothing is kept. And what is wrong with
/// the authenticators of people, if anything.
#[must_use]
pub fn platforms(config: &Config) -> Vec<Made> {
    let store: Arc<dyn Store> = Arc::new(crate::chat::MemoryStore::default());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    build::platforms(config, &store, &clock)
}

/// Are the authenticators of people what they should be?
///
/// # Errors
/// In words that name the person, and nothing of the secret.
pub fn check_people(config: &Config) -> Result<usize, String> {
    people::People::new(Arc::new(Live::new(Arc::new(config.clone()))))
        .map(|_| config.people.len())
        .map_err(|e| e.to_string())
}

/// `1 rule`, `5 playbooks`.
fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn names(shared: &Weak<Shared>, wanted: &crate::chat::complete::Wanted) -> Vec<String> {
    use crate::chat::complete::Wanted;
    let Some(shared) = shared.upgrade() else { return Vec::new() };
    let state = shared.engine.state();
    match wanted {
        Wanted::Services => shared.config().services.iter().map(|s| s.name.to_string()).collect(),
        Wanted::Metrics(service) => {
            let last = |board: &mut crate::engine::ServiceBoard| board.last.as_ref().map(|s| s.values.clone());
            let values = shared.board.with(&ServiceId(service.clone()), last).unwrap_or_default();
            values.into_keys().collect()
        }
        Wanted::Incidents => state.incidents.keys().rev().map(ToString::to_string).collect(),
        Wanted::Pending => {
            let asks = |i: &&crate::incident::Incident| i.question.is_some();
            state.incidents.values().rev().filter(asks).map(|i| i.id.to_string()).collect()
        }
        Wanted::Experiments => shared.stand.library().names().map(str::to_owned).collect(),
        Wanted::Trials => state.experiments.all().rev().map(|trial| trial.id.to_string()).collect(),
        Wanted::Runs => state.runs.keys().rev().map(ToString::to_string).collect(),
        Wanted::Playbooks => shared.registry.catalog().playbooks().map(|p| p.name().to_owned()).collect(),
    }
}

impl App {
    /// Puts everything together. `say` is told what is going on, a line each, because a first start takes seconds.
    ///
    /// # Errors
    /// Any [`AppError`]; nothing is left running then.
    pub async fn build(
        config: Config,
        exe: &Path,
        mut messengers: Vec<Arc<dyn Messenger>>,
        say: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Self, AppError> {
        let file = Arc::new(config);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let data_dir = file.suture.data_dir.clone();

        let opened = build::open_ledger(&data_dir, &clock)?;
        let config = Arc::new(build::with_found_before(&file, &opened.state));
        let live = Arc::new(Live::new(Arc::clone(&config)));
        say("loading playbooks and rules; the first start compiles them, which takes some seconds");
        let (registry, found) = registry::Registry::open(Arc::clone(&config), &data_dir, &opened.state).await?;
        let (playbooks, rules) = found.counts();
        say(&format!("{} and {} are loaded", counted(playbooks, "playbook"), counted(rules, "rule")));
        for words in build::start_words(&found) {
            say(&words);
        }

        let mut actuators = Actuators::default();
        #[cfg(feature = "local")]
        let (locals, sd_urls) = build::start_locals(&config, exe, &data_dir, &mut actuators, say).await?;
        #[cfg(not(feature = "local"))]
        let (sd_urls, _) = (BTreeMap::new(), (exe, &mut actuators));
        let stand = chaos::Stand::new(build::library(&config, say));
        #[cfg(feature = "local")]
        build::local_injectors(&stand, &locals);
        let pool = build::pool(&config);
        #[cfg(feature = "kubernetes")]
        build::cluster_injectors(&stand, &config, &pool);
        for actuator in build::remote_actuators(&config, &pool) {
            actuators.add(actuator);
        }

        let board = Arc::new(Board::default());
        let shown = Arc::default();
        let store: Arc<dyn Store> = Arc::new(desk::Keep(Arc::clone(&opened.views)));
        let people = Arc::new(people::People::new(Arc::clone(&live))?);
        let buttons = Arc::new(desk::Buttons::open(Arc::clone(&store), Arc::clone(&clock)));
        for (name, made) in build::platforms(&config, &store, &clock) {
            messengers.push(made.map_err(|why| AppError::System { what: format!("[chat.{name}]"), why })?);
        }
        let chats = messengers.iter().filter(|messenger| messenger.platform() != "console").count();
        let settings = OutboxSettings::default();
        let (outbox, outbox_workers) = Outbox::with_store(messengers.clone(), &settings, Some(Arc::clone(&store)));
        let stamps = Arc::clone(&buttons);
        outbox.set_stamp(Box::new(move |card| stamps.stamp(card)));
        let policies = build::policies_of(&config);
        let listener = build::card_listener(
            Arc::clone(&live),
            Arc::clone(&board),
            Arc::clone(&clock),
            outbox.clone(),
            Arc::clone(&shown),
        );
        let journal = Arc::new(build::LedgerJournal(opened.ledger.clone()));
        let engine = Engine::new(opened.state.clone(), journal, policies, Arc::clone(&clock), vec![listener]);
        engine.set_standing(Arc::clone(&people) as Arc<dyn Standing>);
        build::record_start(&engine, &config, &found, &opened).await?;
        registry.take(found);

        let roster = Arc::new(Roster::from(build::targets_of(&config)));
        let stages = Stages {
            healer: Arc::new(healer::CatalogHealer { registry: Arc::clone(&registry), live: Arc::clone(&live) }),
            actuators,
            permits: Arc::new(healer::ConfigPermits(Arc::clone(&config))),
            services: Arc::clone(&roster),
            board: Arc::clone(&board),
        };
        let runner = Runner::new(Arc::clone(&engine), stages);
        #[cfg(feature = "sentence")]
        let reader = build::reader(&config)?;
        let shared = Arc::new(Shared {
            engine,
            board,
            live,
            registry,
            views: opened.views,
            storage: opened.storage,
            data_dir,
            outbox,
            shown,
            runner,
            people,
            buttons,
            stand,
            chats,
            stop_file: Mutex::default(),
            #[cfg(feature = "sentence")]
            reader,
        });
        Ok(Self {
            desk: desk::FrontDesk::open(Arc::clone(&shared), store),
            messengers,
            shared,
            ledger: opened.ledger,
            clock,
            outbox_workers,
            sd_urls: Arc::new(sd_urls),
            pool,
            file,
            #[cfg(feature = "kubernetes")]
            roster,
            #[cfg(feature = "local")]
            locals,
        })
    }

    /// A door for the console and the demo.
    #[must_use]
    pub fn door(&self) -> Door {
        Door(Arc::clone(&self.shared))
    }

    /// The supervisor of a local target.
    #[cfg(feature = "local")]
    #[must_use]
    pub fn local(&self, name: &str) -> Option<&crate::act::local::LocalProcess> {
        self.locals.iter().find(|local| local.target.name() == name).map(|local| &local.process)
    }

    /// Runs until `until` is done, then drains: no new work, what is under way is brought to an end within the
    /// configured time, the ledger is closed, local targets that do not outlive the daemon are stopped.
    ///
    /// # Errors
    /// When a task cannot be kept alive, or the control socket cannot be made.
    pub async fn run(mut self, until: impl Future<Output = String>) -> Result<(), AppError> {
        let mut supervisor = Supervisor::default();
        // Before anything can change: an older form must not come after its newer one.
        self.show_open_incidents();
        self.start_tasks(&mut supervisor)?;
        let (reason, ended) = tokio::select! {
            reason = until => (reason, Ok(())),
            Err(given_up) = supervisor.watch() => (given_up.to_string(), Err(given_up.into())),
        };
        self.stop(supervisor, &reason).await;
        ended
    }

    fn start_tasks(&mut self, supervisor: &mut Supervisor) -> Result<(), AppError> {
        for worker in std::mem::take(&mut self.outbox_workers) {
            let (worker, drain) = (Arc::new(worker), supervisor.drain_signal());
            supervisor.keep(&format!("chat-{}", worker.platform()), move || {
                let (worker, mut drain) = (Arc::clone(&worker), drain.clone());
                async move {
                    tokio::select! {
                        () = worker.run() => Ok(()),
                        () = drained(&mut drain) => Ok(()),
                    }
                }
            });
        }
        for messenger in self.messengers.clone() {
            let (desk, drain) = (Arc::clone(&self.desk) as Arc<dyn Desk>, supervisor.drain_signal());
            let outbox = self.shared.outbox.clone();
            supervisor.keep(&format!("listen-{}", messenger.platform()), move || {
                let (messenger, desk, mut drain) = (Arc::clone(&messenger), Arc::clone(&desk), drain.clone());
                let outbox = outbox.clone();
                async move {
                    tokio::select! {
                        () = listen_on(&messenger, &desk, &outbox) => Ok(()),
                        () = drained(&mut drain) => Ok(()),
                    }
                }
            });
        }
        let (desk, drain) = (Arc::clone(&self.desk), supervisor.drain_signal());
        supervisor.keep("desk", move || Arc::clone(&desk).work(drain.clone()));
        let (people, engine) = (Arc::clone(&self.shared.people), Arc::clone(&self.shared.engine));
        let (messengers, drain) = (self.messengers.clone(), supervisor.drain_signal());
        supervisor.keep("groups", move || {
            people::ask_again(Arc::clone(&people), Arc::clone(&engine), messengers.clone(), drain.clone())
        });
        let (shared, drain) = (Arc::clone(&self.shared), supervisor.drain_signal());
        supervisor.keep("experiments", move || chaos::keep(Arc::clone(&shared), drain.clone()));
        let (shared, drain) = (Arc::clone(&self.shared), supervisor.drain_signal());
        supervisor.keep("game-days", move || chaos::keep_schedule(Arc::clone(&shared), drain.clone()));
        let (shared, drain) = (Arc::clone(&self.shared), supervisor.drain_signal());
        supervisor.keep("stop-file", move || stop_file::watch(Arc::clone(&shared), drain.clone()));
        let (runner, drain) = (self.shared.runner.clone(), supervisor.drain_signal());
        supervisor.keep("engine", move || {
            let (runner, drain) = (runner.clone(), drain.clone());
            async move {
                runner.run(TICK, drain).await;
                Ok(())
            }
        });
        let (shared, clock, drain) = (Arc::clone(&self.shared), Arc::clone(&self.clock), supervisor.drain_signal());
        supervisor.keep("late-cards", move || late_cards(Arc::clone(&shared), Arc::clone(&clock), drain.clone()));
        let (shared, clock, drain) = (Arc::clone(&self.shared), Arc::clone(&self.clock), supervisor.drain_signal());
        supervisor.keep("components", move || reload::run(Arc::clone(&shared), Arc::clone(&clock), drain.clone()));
        let listener = control::listen(&self.shared.data_dir)?;
        let (shared, drain) = (Arc::clone(&self.shared), supervisor.drain_signal());
        supervisor.keep("control", move || control::serve(Arc::clone(&listener), Arc::clone(&shared), drain.clone()));
        let file = Arc::clone(&self.file);
        let watcher = self.make_watcher();
        for service in &file.services {
            let (watcher, drain) = (watcher(service), supervisor.drain_signal());
            supervisor.keep(&format!("watch-{}", service.name), move || watcher.clone().run(drain.clone()));
        }
        #[cfg(feature = "kubernetes")]
        if !file.discover.is_empty() || !self.shared.engine.state().found.is_empty() {
            let discovery = discover::Discovery {
                shared: Arc::clone(&self.shared),
                file,
                clusters: self.pool.clusters.clone(),
                roster: Arc::clone(&self.roster),
                watcher: Arc::new(watcher),
            };
            let drain = supervisor.drain_signal();
            supervisor.keep("discover", move || discovery.clone().run(drain.clone()));
        }
        Ok(())
    }

    /// Makes what watches a service.
    fn make_watcher(&self) -> impl Fn(&ServiceConfig) -> watch::Watcher + Send + Sync + 'static {
        let (shared, clock) = (Arc::clone(&self.shared), Arc::clone(&self.clock));
        let sources = build::source_maker(Arc::clone(&self.sd_urls), self.pool.clone());
        move |service| watch::Watcher {
            service: Arc::new(service.clone()),
            engine: Arc::clone(&shared.engine),
            board: Arc::clone(&shared.board),
            views: Arc::clone(&shared.views),
            clock: Arc::clone(&clock),
            sources: Arc::clone(&sources),
        }
    }

    /// After a restart: what is still open is shown again, so that nobody has to know that there was one; and how it ended,
    /// where that was never delivered.
    fn show_open_incidents(&self) {
        let (state, now) = (self.shared.engine.state(), self.clock.now());
        for trial in state.experiments.all().filter(|trial| trial.is_open()) {
            self.shared.outbox.show(&chaos::card(&state, &self.shared.config(), trial));
        }
        let card = |incident| cards::incident_card(&state, &self.shared.config(), &self.shared.board, incident, now);
        for incident in state.incidents.values() {
            if incident.is_open() {
                let muted = state.mutes.get(&incident.service).is_some_and(|until| *until > now);
                if !muted {
                    self.shared.outbox.show(&card(incident));
                    self.shared.shown.lock().unwrap_or_else(PoisonError::into_inner).insert(incident.id);
                }
                continue;
            }
            let told = self.shared.outbox.told(&incident.id.to_string());
            for (platform, _) in told.into_iter().filter(|(_, settled)| *settled == Some(false)) {
                self.shared.outbox.show_on(platform, &card(incident));
            }
        }
    }

    async fn stop(self, supervisor: Supervisor, reason: &str) {
        tracing::info!(reason, "going down");
        // Before the last words: how they end is among these.
        chaos::end_all(&self.shared, EXPERIMENTS_END_WITHIN).await;
        if !self.shared.outbox.flush(LAST_WORDS).await {
            tracing::warn!("the chat did not take everything that was still to be said");
        }
        supervisor.drain(self.shared.config().suture.stop_within).await;
        let stopped = Fact::Stopped { reason: reason.to_owned() };
        if let Err(error) = self.shared.engine.note(None, None, stopped).await {
            tracing::error!(%error, "the end could not be recorded");
        }
        self.ledger.close();
        if let Err(error) = self.shared.views.flush() {
            tracing::warn!(%error, "the views could not be written; they are rebuilt on the next start");
        }
        #[cfg(feature = "local")]
        for local in self.locals {
            local.stop().await;
        }
    }
}

/// How long it takes until a platform that could not be listened to is tried again: a token may be put right meanwhile.
const LISTEN_AGAIN: Duration = Duration::from_secs(60);

/// Listens to a platform for ever. That one cannot be heard must not take the daemon down: it says so where it still can,
/// and heals on.
async fn listen_on(messenger: &Arc<dyn Messenger>, desk: &Arc<dyn Desk>, outbox: &Outbox) {
    let mut said = false;
    loop {
        let why = match messenger.listen(Arc::clone(desk)).await {
            Ok(()) => "the connection ended".to_owned(),
            Err(error) => error.why,
        };
        let platform = messenger.platform();
        tracing::error!(platform, why, "a platform cannot be listened to; it is tried again");
        if !said {
            outbox.say_elsewhere(
                platform,
                &format!("{platform} cannot be heard ({why}): nobody there can decide anything."),
            );
        }
        said = true;
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}

/// How long an incident may be without a plan before its card is shown all the same.
const PLAN_WITHIN: Duration = Duration::from_secs(2);

/// Shows the cards of incidents for which rules or dry run take their time.
async fn late_cards(
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    mut drain: tokio::sync::watch::Receiver<bool>,
) -> Result<(), String> {
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = drained(&mut drain) => return Ok(()),
        }
        // Under the lock of the listener: an older form must not come after its newer one.
        let mut shown = shared.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, now) = (shared.engine.state(), clock.now());
        let muted = |service| state.mutes.get(service).is_some_and(|until| *until > now);
        for incident in state.incidents.values().filter(|i| i.is_open() && now.since(i.opened_at) > PLAN_WITHIN) {
            if !muted(&incident.service) && shown.insert(incident.id) {
                shared.outbox.show(&cards::incident_card(&state, &shared.config(), &shared.board, incident, now));
            }
        }
    }
}

//! The composition root: the only place that names concrete adapters and puts the stages together.
//!
//! `App::build` opens the ledger and folds it, loads the components, starts or finds the local targets, and wires the
//! engine; `App::run` keeps the tasks alive until somebody wants to stop, and drains them.

mod build;
mod cards;
mod commands;
mod components;
mod control;
mod feedback;
mod healer;
mod registry;
mod reload;
mod warnings;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

pub use commands::Reply;
pub use control::{ControlError, SOCKET, ask};

use crate::chat::Messenger;
use crate::chat::outbox::{Outbox, OutboxSettings, OutboxWorker};
use crate::collect::SourceError;
use crate::config::{Config, ConfigErrors};
use crate::engine::{Actuators, Board, Engine, JournalError, Runner, Stages};
use crate::ledger::{Ledger, LedgerError, Storage, Views};
use crate::model::{Clock, Fact, IncidentId, Person, ServiceId, SystemClock, TargetId};
use crate::supervise::{GivenUp, Supervisor, drained};
use crate::wasm::LoadError;

/// How often time is let pass: expiries, cooldowns and verdicts are no finer than this.
const TICK: Duration = Duration::from_millis(250);

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
    pub config: Arc<Config>,
    pub registry: Arc<registry::Registry>,
    pub views: Arc<Views>,
    pub storage: Arc<dyn Storage>,
    pub data_dir: PathBuf,
    pub outbox: Outbox,
    /// Incidents whose card was shown.
    pub shown: Arc<Mutex<BTreeSet<IncidentId>>>,
}

/// A whole Suture, built and not yet running.
pub struct App {
    shared: Arc<Shared>,
    runner: Runner,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    outbox_workers: Vec<OutboxWorker>,
    sd_urls: Arc<BTreeMap<TargetId, String>>,
    #[cfg(feature = "local")]
    locals: Vec<build::Local>,
}

/// A door for whoever runs the app in the same process: the console and the demo.
#[derive(Clone)]
pub struct Door(Arc<Shared>);

impl Door {
    /// Understands and carries out one line of one person.
    pub async fn answer(&self, by: &Person, via: &str, text: &str) -> Reply {
        commands::answer(&self.0, by, via, text).await
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

/// `1 rule`, `5 playbooks`.
fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn names(shared: &Weak<Shared>, wanted: &crate::chat::complete::Wanted) -> Vec<String> {
    use crate::chat::complete::Wanted;
    let Some(shared) = shared.upgrade() else { return Vec::new() };
    let state = shared.engine.state();
    match wanted {
        Wanted::Services => shared.config.services.iter().map(|s| s.name.to_string()).collect(),
        Wanted::Metrics(service) => {
            let last = |board: &mut crate::engine::ServiceBoard| board.samples.back().map(|s| s.values.clone());
            let values = shared.board.with(&ServiceId(service.clone()), last).unwrap_or_default();
            values.into_keys().collect()
        }
        Wanted::Incidents => state.incidents.keys().rev().map(ToString::to_string).collect(),
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
        messengers: Vec<Arc<dyn Messenger>>,
        say: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Self, AppError> {
        let config = Arc::new(config);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let data_dir = config.suture.data_dir.clone();

        let opened = build::open_ledger(&data_dir, &clock)?;
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

        let board = Arc::new(Board::default());
        let shown = Arc::default();
        let (outbox, outbox_workers) = Outbox::new(messengers, &OutboxSettings::default());
        let policies = config.services.iter().map(|s| (s.name.clone(), s.policy())).collect();
        let listener = build::card_listener(
            Arc::clone(&config),
            Arc::clone(&board),
            Arc::clone(&clock),
            outbox.clone(),
            Arc::clone(&shown),
        );
        let journal = Arc::new(build::LedgerJournal(opened.ledger.clone()));
        let engine = Engine::new(opened.state.clone(), journal, policies, Arc::clone(&clock), vec![listener]);
        build::record_start(&engine, &config, &found, &opened).await?;
        registry.take(found);

        let services = config.services.iter().map(|s| (s.name.clone(), s.targets.clone())).collect();
        let stages = Stages {
            healer: Arc::new(healer::CatalogHealer { registry: Arc::clone(&registry), config: Arc::clone(&config) }),
            actuators,
            permits: Arc::new(healer::ConfigPermits(Arc::clone(&config))),
            services: Arc::new(services),
            board: Arc::clone(&board),
        };
        let runner = Runner::new(Arc::clone(&engine), stages);
        let shared = Arc::new(Shared {
            engine,
            board,
            config,
            registry,
            views: opened.views,
            storage: opened.storage,
            data_dir,
            outbox,
            shown,
        });
        Ok(Self {
            shared,
            runner,
            ledger: opened.ledger,
            clock,
            outbox_workers,
            sd_urls: Arc::new(sd_urls),
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
        self.start_tasks(&mut supervisor)?;
        self.show_open_incidents();
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
        let (runner, drain) = (self.runner.clone(), supervisor.drain_signal());
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
        for service in &self.shared.config.services {
            let watcher = watch::Watcher {
                service: Arc::new(service.clone()),
                engine: Arc::clone(&self.shared.engine),
                board: Arc::clone(&self.shared.board),
                views: Arc::clone(&self.shared.views),
                clock: Arc::clone(&self.clock),
                sources: build::source_maker(Arc::clone(&self.sd_urls)),
            };
            let drain = supervisor.drain_signal();
            supervisor.keep(&format!("watch-{}", service.name), move || watcher.clone().run(drain.clone()));
        }
        Ok(())
    }

    /// After a restart: what is still open is shown again, so that nobody has to know that there was one.
    fn show_open_incidents(&self) {
        let state = self.shared.engine.state();
        for incident in state.incidents.values().filter(|i| i.is_open()) {
            let card =
                cards::incident_card(&state, &self.shared.config, &self.shared.board, incident, self.clock.now());
            self.shared.outbox.show(&card);
            self.shared.shown.lock().unwrap_or_else(PoisonError::into_inner).insert(incident.id);
        }
    }

    async fn stop(self, supervisor: Supervisor, reason: &str) {
        tracing::info!(reason, "going down");
        if !self.shared.outbox.flush(LAST_WORDS).await {
            tracing::warn!("the chat did not take everything that was still to be said");
        }
        supervisor.drain(self.shared.config.suture.stop_within).await;
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
        let (state, now) = (shared.engine.state(), clock.now());
        for incident in state.incidents.values().filter(|i| i.is_open() && now.since(i.opened_at) > PLAN_WITHIN) {
            if shared.shown.lock().unwrap_or_else(PoisonError::into_inner).insert(incident.id) {
                shared.outbox.show(&cards::incident_card(&state, &shared.config, &shared.board, incident, now));
            }
        }
    }
}

//! The steps of `App::build`, each with what can go wrong in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;

use super::watch::MakeSources;
use super::{AppError, cards};
use crate::chat::outbox::Outbox;
use crate::collect::{self, SourceSettings};
use crate::config::Config;
#[cfg(feature = "local")]
use crate::config::TargetConfig;
use crate::engine::{Actuators, Engine, Journal, JournalError, Listener};
use crate::incident::{Phase, State};
use crate::ledger::{self, Disk, Ledger, Options, Storage, Views};
use crate::model::{Clock, Event, Fact, IncidentId, TargetId};
use crate::wasm::{Catalog, Host, Limits};

/// The ledger as the engine's journal.
pub(super) struct LedgerJournal(pub Ledger);

#[async_trait]
impl Journal for LedgerJournal {
    async fn append(&self, events: &[Event]) -> Result<(), JournalError> {
        self.0.append(events.to_vec()).await.map(|_| ()).map_err(|e| JournalError(e.to_string()))
    }
}

/// An opened ledger with what was found in it.
pub(super) struct Opened {
    pub ledger: Ledger,
    pub views: Arc<Views>,
    pub storage: Arc<dyn Storage>,
    pub state: State,
    pub replayed: u64,
    pub torn: Option<u64>,
}

/// Opens the ledger, folds it, and brings the views up to it.
pub(super) fn open_ledger(data_dir: &Path, clock: &Arc<dyn Clock>) -> Result<Opened, AppError> {
    // The ledger first: its lock keeps a second daemon from moving the views of the first aside. Nothing is appended
    // before the views are there, so the observer misses nothing that `catch_up` does not bring.
    let late_views: Arc<OnceLock<Arc<Views>>> = Arc::default();
    let for_observer = Arc::clone(&late_views);
    let mut options = Options::new(data_dir);
    options.clock = Arc::clone(clock);
    options.observer = Some(Box::new(move |stored| {
        if let Some(views) = for_observer.get()
            && let Err(error) = views.apply(stored)
        {
            tracing::warn!(%error, "the index is behind; queries read the ledger itself until the next start");
        }
    }));
    let mut state = State::default();
    let opened = Ledger::open(options, |stored| state.apply(&stored.record.event))?;
    let storage: Arc<dyn Storage> = Arc::new(Disk::at(ledger::folder(data_dir)));
    let (views, rebuilt) = Views::open(data_dir, clock.now());
    if let Some(rebuilt) = rebuilt {
        let moved_to = rebuilt.moved_to.map(|to| to.display().to_string()).unwrap_or_default();
        let in_memory = rebuilt.in_memory.unwrap_or_default();
        tracing::warn!(why = %rebuilt.why, moved_to, in_memory, "the views could not be used and are rebuilt");
    }
    match views.catch_up(&storage) {
        Ok(0) => {}
        Ok(records) => tracing::info!(records, "the index was brought up to the ledger"),
        Err(error) => tracing::warn!(%error, "the index cannot be brought up to the ledger; queries read the ledger"),
    }
    let views = Arc::new(views);
    let _ = late_views.set(Arc::clone(&views));
    Ok(Opened {
        ledger: opened.ledger,
        views,
        storage,
        state,
        replayed: opened.replayed,
        torn: opened.torn.map(|t| t.bytes),
    })
}

/// Loads the stock components and the operator's own; every problem in one error.
pub(super) async fn load_components(config: &Config, data_dir: &Path) -> Result<Catalog, AppError> {
    // The engine takes an absolute path only, and the config may have been named relative to where we stand.
    let cache = data_dir.join("cache");
    let cache = std::path::absolute(&cache).unwrap_or(cache);
    let host = Host::new(Limits::default(), Some(&cache)).map_err(AppError::Host)?;
    let plugins = &config.plugins;
    let (catalog, errors) = Catalog::load(&host, plugins.playbooks_dir.as_deref(), plugins.rules_dir.as_deref()).await;
    if !errors.is_empty() {
        return Err(AppError::Components(errors));
    }
    let digests =
        catalog.playbooks().map(|p| (p.name(), p.digest())).chain(catalog.rules().map(|r| (r.name(), r.digest())));
    for (name, found) in digests {
        if let Some(pinned) = plugins.pins.get(name).filter(|pinned| **pinned != found) {
            return Err(AppError::Pin { name: name.to_owned(), found: found.to_string(), pinned: pinned.to_string() });
        }
    }
    for playbook in catalog.playbooks() {
        // A stock playbook without a grant lies idle; one that the operator put there is meant to be used.
        let own =
            plugins.playbooks_dir.as_ref().is_some_and(|dir| dir.join(format!("{}.wasm", playbook.name())).exists());
        let allowed = config.grants.allowed_kinds(playbook.name());
        let missing = playbook.missing_grants(|kind| allowed.contains(&kind));
        if own && !missing.is_empty() {
            let all: BTreeSet<_> = playbook.wants().iter().map(|kind| format!("\"{kind}\"")).collect();
            return Err(AppError::NotGranted {
                playbook: playbook.name().to_owned(),
                wants: missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "),
                lines: all.into_iter().collect::<Vec<_>>().join(", "),
                config: config.path.display().to_string(),
            });
        }
    }
    Ok(catalog)
}

/// A local target that this daemon started or found.
#[cfg(feature = "local")]
pub(super) struct Local {
    pub target: TargetId,
    pub process: crate::act::local::LocalProcess,
    pub outlive: bool,
}

#[cfg(feature = "local")]
impl Local {
    /// Stops it, unless it outlives the daemon.
    pub(super) async fn stop(self) {
        if self.outlive {
            tracing::info!(target = %self.target, "lives on, as `outlive` says");
        } else if let Err(error) = self.process.stop().await {
            tracing::error!(target = %self.target, %error, "could not be stopped");
        }
    }
}

/// Starts the supervisors of the local targets, or finds those that outlived an earlier daemon.
#[cfg(feature = "local")]
pub(super) async fn start_locals(
    config: &Config,
    exe: &Path,
    data_dir: &Path,
    actuators: &mut Actuators,
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<(Vec<Local>, BTreeMap<TargetId, String>), AppError> {
    use crate::act::local::{LocalActuator, LocalProcess, Timeouts};
    let dir = data_dir.join("local");
    let (mut locals, mut sd_urls, mut sockets) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    for TargetConfig::Local(settings) in &config.targets {
        let process = LocalProcess::spawn(exe, settings, &dir, !settings.outlive).await?;
        let how = if process.adopted { "found running" } else { "started" };
        say(&format!("{} is {how}: {} workers behind http://{}", settings.name, settings.workers, process.balancer));
        if process.settings_differ {
            tracing::warn!(target = %settings.name, "runs with other settings than the config has; they apply once it was stopped");
        }
        sd_urls.insert(settings.name.clone(), process.sd_url.clone());
        sockets.insert(settings.name.clone(), process.socket.clone());
        locals.push(Local { target: settings.name.clone(), process, outlive: settings.outlive });
    }
    if !sockets.is_empty() {
        let all = config.targets.iter().map(|TargetConfig::Local(settings)| settings);
        actuators.add(Arc::new(LocalActuator::new(sockets, Timeouts::covering(all))));
    }
    Ok((locals, sd_urls))
}

/// Makes the sources of a service, with `discover = "local:shop"` replaced by the address that stands for it.
pub(super) fn source_maker(sd_urls: Arc<BTreeMap<TargetId, String>>) -> MakeSources {
    Arc::new(move |service| {
        service
            .sources
            .iter()
            .map(|settings| {
                let mut settings = settings.clone();
                if let SourceSettings::Scrape(scrape) = &mut settings
                    && let Some(target) = scrape.discover.as_ref().and_then(|d| d.parse::<TargetId>().ok())
                    && let Some(url) = sd_urls.get(&target)
                {
                    scrape.discover = Some(url.clone());
                }
                collect::build(&settings, service.timeout)
            })
            .collect()
    })
}

/// Shows the card of every incident that a batch of events is about, in its newest form.
///
/// The first moments are passed over: rules and dry run answer within a fraction of a second as a rule, and a card
/// with its plan says more than three in a row. `late_cards` shows those that take longer.
pub(super) fn card_listener(
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
    outbox: Outbox,
    shown: Arc<Mutex<BTreeSet<IncidentId>>>,
) -> Listener {
    Box::new(move |state, events| {
        let touched: BTreeSet<IncidentId> = events.iter().filter_map(|e| e.incident).collect();
        for incident in touched.iter().filter_map(|id| state.incidents.get(id)) {
            let begins = matches!(incident.phase, Phase::Open | Phase::Planning);
            let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            if begins && !shown.contains(&incident.id) {
                continue;
            }
            shown.insert(incident.id);
            outbox.show(&cards::incident_card(state, &config, incident, clock.now()));
        }
        for event in events.iter().filter(|e| e.incident.is_none()) {
            if matches!(
                event.fact,
                Fact::Halted { .. }
                    | Fact::Resumed
                    | Fact::ModeChanged { .. }
                    | Fact::SourceFailed(_)
                    | Fact::SourceRecovered { .. }
                    | Fact::FaultInjected { .. }
                    | Fact::FaultLifted { .. }
                    | Fact::TailRepaired { .. }
            ) {
                let key = event.service.as_ref().map(ToString::to_string).unwrap_or_default();
                outbox.say(&key, &ledger::describe(event));
            }
        }
    })
}

/// The first facts of a life: what it runs by and with.
pub(super) async fn record_start(
    engine: &Engine,
    config: &Config,
    catalog: &Catalog,
    opened: &Opened,
) -> Result<(), AppError> {
    if let Some(bytes) = opened.torn {
        engine.note(None, None, Fact::TailRepaired { bytes }).await?;
    }
    let version = env!("CARGO_PKG_VERSION").to_owned();
    engine.note(None, None, Fact::Started { version, config: config.digest, replayed: opened.replayed }).await?;
    let playbooks = catalog.playbooks().map(|p| {
        let imports = p.wants().iter().map(ToString::to_string).collect();
        Fact::ComponentLoaded { name: p.name().to_owned(), role: "playbook".to_owned(), digest: p.digest(), imports }
    });
    let rules = catalog.rules().map(|r| Fact::ComponentLoaded {
        name: r.name().to_owned(),
        role: "rule".to_owned(),
        digest: r.digest(),
        imports: Vec::new(),
    });
    for fact in playbooks.chain(rules) {
        engine.note(None, None, fact).await?;
    }
    Ok(())
}

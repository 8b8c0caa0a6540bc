//! The steps of `App::build`, each with what can go wrong in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;

use super::registry::Survey;
use super::watch::MakeSources;
use super::{AppError, Made, cards, chaos};
use crate::act::Actuator;
use crate::chat::outbox::Outbox;
#[cfg(feature = "sentence")]
use crate::chat::sentence::{Reader, ReaderSettings};
use crate::chat::{Messenger, Store};
use crate::collect::{self, Making, Pool, SourceSettings};
#[cfg(feature = "discord")]
use crate::config::DiscordSettings;
#[cfg(feature = "slack")]
use crate::config::SlackSettings;
use crate::config::TargetConfig;
use crate::config::{Config, Live, lines_for_all};
#[cfg(feature = "local")]
use crate::engine::Actuators;
use crate::engine::{Board, Engine, Journal, JournalError, Listener};
use crate::incident::{Phase, State};
use crate::ledger::{self, Disk, Ledger, Options, Storage, Views};
use crate::model::{ActionKind, Clock, Event, Fact, IncidentId, Policy, Role, ServiceId, TargetId, in_words};

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

/// What the start finds in the folders besides what it uses, a line each.
pub(super) fn start_words(found: &Survey) -> Vec<String> {
    let held = found.facts().filter_map(|fact| match fact {
        Fact::ComponentHeld { name, role, digest, .. } => Some(format!(
            "{role} {name}: the file in the folder is {} and was not accepted; what was accepted stays in use",
            digest.short()
        )),
        _ => None,
    });
    let torn = found.torn.values().map(|error| format!("{error}; what was in use stays in use"));
    held.chain(torn).chain(found.problems.values().cloned()).collect()
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
    let all = || {
        config.targets.iter().filter_map(|target| match target {
            TargetConfig::Local(settings) => Some(settings),
            _ => None,
        })
    };
    for settings in all() {
        let process = LocalProcess::spawn(exe, settings, &dir, !settings.outlive).await?;
        let how = if process.adopted { "found running" } else { "started" };
        say(&format!("{} is {how}: {} workers behind http://{}", settings.name, settings.workers, process.balancer));
        if process.settings_differ {
            tracing::warn!(target = %settings.name, "runs with other settings than the config has; they apply once it was stopped");
        }
        sd_urls.insert(settings.name.clone(), process.sd_url.clone());
        // What the balancer sees of the workers, unless a target has that very name.
        if let Ok(front) = format!("{}/front", settings.name).parse::<TargetId>() {
            sd_urls.entry(front).or_insert_with(|| format!("{}/front", process.sd_url));
        }
        sockets.insert(settings.name.clone(), process.socket.clone());
        locals.push(Local { target: settings.name.clone(), process, outlive: settings.outlive });
    }
    if !sockets.is_empty() {
        actuators.add(Arc::new(LocalActuator::new(sockets, Timeouts::covering(all()))));
    }
    Ok((locals, sd_urls))
}

/// The experiments on file. What cannot be read is said, and is no reason not to start.
pub(super) fn library(config: &Config, say: &(dyn Fn(&str) + Send + Sync)) -> crate::chaos::Library {
    let dir = config.chaos.dir.as_ref();
    let library = dir.map_or_else(crate::chaos::Library::stock, |dir| crate::chaos::Library::with_folder(dir));
    for words in library.replacements() {
        say(&words);
    }
    for problem in library.problems() {
        say(&format!("an experiment is left out: {}: {}", problem.place(), problem.message));
    }
    library
}

/// Who can put faults into the local targets.
#[cfg(feature = "local")]
pub(super) fn local_injectors(stand: &chaos::Stand, locals: &[Local]) {
    if locals.is_empty() {
        return;
    }
    let sockets = locals.iter().map(|local| (local.target.clone(), local.process.socket.clone())).collect();
    stand.add(Arc::new(crate::chaos::LocalInjector::new(sockets)));
}

/// Who can put faults into workloads of clusters.
#[cfg(feature = "kubernetes")]
pub(super) fn cluster_injectors(stand: &chaos::Stand, config: &Config, pool: &Pool) {
    let is_there = config.targets.iter().any(|target| matches!(target, TargetConfig::Kubernetes(_)));
    if is_there || !config.discover.is_empty() {
        stand.add(Arc::new(crate::chaos::kubernetes::KubernetesInjector::new(pool.clusters.clone())));
    }
}

/// What the sources and the targets of this config have in common. Nothing is connected yet.
pub(crate) fn pool(config: &Config) -> Pool {
    let _ = config;
    Pool {
        #[cfg(feature = "kubernetes")]
        clusters: crate::platform::kubernetes::Clusters::new(&config.clusters, config.base()),
        ..Pool::default()
    }
}

/// The adapters of all targets that are not of this machine's own making: of each kind one, where there is such a target.
pub(crate) fn remote_actuators(config: &Config, pool: &Pool) -> Vec<Arc<dyn Actuator>> {
    let _ = (config, pool);
    let mut actuators: Vec<Arc<dyn Actuator>> = Vec::new();
    #[cfg(feature = "kubernetes")]
    {
        let settings = settings_of(config, |t| if let TargetConfig::Kubernetes(s) = t { Some(s) } else { None });
        // What will be found is not named yet.
        if !settings.is_empty() || !config.discover.is_empty() {
            let clusters = pool.clusters.clone();
            actuators.push(Arc::new(crate::act::kubernetes::KubernetesActuator::new(settings, clusters)));
        }
    }
    #[cfg(feature = "aws")]
    {
        let groups = settings_of(config, |t| if let TargetConfig::Asg(s) = t { Some(s) } else { None });
        if !groups.is_empty() {
            actuators.push(Arc::new(crate::act::aws::AsgActuator::new(groups, pool.accounts.clone())));
        }
        let balancers = settings_of(config, |t| if let TargetConfig::Elb(s) = t { Some(s) } else { None });
        if !balancers.is_empty() {
            actuators.push(Arc::new(crate::act::aws::ElbActuator::new(balancers, pool.accounts.clone())));
        }
    }
    #[cfg(feature = "haproxy")]
    {
        let settings = settings_of(config, |t| if let TargetConfig::Haproxy(s) = t { Some(s) } else { None });
        if !settings.is_empty() {
            actuators.push(Arc::new(crate::act::haproxy::HaproxyActuator::new(settings)));
        }
    }
    #[cfg(feature = "redis")]
    {
        let settings = settings_of(config, |t| if let TargetConfig::Redis(s) = t { Some(s) } else { None });
        if !settings.is_empty() {
            actuators.push(Arc::new(crate::act::redis::RedisActuator::new(settings)));
        }
    }
    actuators
}

/// The tables of one kind of target.
#[cfg(any(feature = "aws", feature = "haproxy", feature = "kubernetes", feature = "redis"))]
fn settings_of<T: Clone>(config: &Config, pick: impl Fn(&TargetConfig) -> Option<&T>) -> Vec<T> {
    config.targets.iter().filter_map(pick).cloned().collect()
}

/// The config with the services that were found before the daemon was last away: its incidents and runs go on from the first
/// moment, whether the cluster answers or not.
pub(super) fn with_found_before(file: &Config, state: &State) -> Config {
    let found = file.found_before(&state.found);
    if found.is_empty() {
        return file.clone();
    }
    match file.with_found(&found) {
        Ok((config, _)) => config,
        Err(errors) => {
            let why = errors.problems().first().map(|p| p.message.clone()).unwrap_or_default();
            tracing::error!(why, "services that were found before cannot be read any more");
            file.clone()
        }
    }
}

/// The targets of each service.
pub(super) fn targets_of(config: &Config) -> BTreeMap<ServiceId, Vec<TargetId>> {
    config.services.iter().map(|s| (s.name.clone(), s.targets.clone())).collect()
}

/// What the incident machine needs to know of each service.
pub(super) fn policies_of(config: &Config) -> BTreeMap<ServiceId, Policy> {
    config.services.iter().map(|s| (s.name.clone(), s.policy())).collect()
}

/// Makes the sources of a service, with `discover = "local:shop"` replaced by the address that stands for it.
pub(super) fn source_maker(sd_urls: Arc<BTreeMap<TargetId, String>>, pool: Pool) -> MakeSources {
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
                let making = Making {
                    timeout: collect::deadline(service.interval, service.timeout),
                    interval: service.interval,
                    pool: pool.clone(),
                };
                collect::build(&settings, &making)
            })
            .collect()
    })
}

/// The platforms of the config, each with its secrets, or why there is none.
pub(super) fn platforms(config: &Config, store: &Arc<dyn Store>, clock: &Arc<dyn Clock>) -> Vec<Made> {
    let mut platforms: Vec<Made> = Vec::new();
    #[cfg(feature = "slack")]
    if let Some(table) = &config.chat.slack {
        let made = slack_options(config, table).and_then(|options| {
            let slack = crate::chat::slack::Slack::new(options, Arc::clone(store), Arc::clone(clock));
            let slack = slack.map_err(|e| e.why)?.with_pictures(Arc::new(picture));
            Ok(Arc::new(slack) as Arc<dyn Messenger>)
        });
        platforms.push(("slack", made));
    }
    #[cfg(feature = "discord")]
    if let Some(table) = &config.chat.discord {
        let made = discord_options(config, table).and_then(|options| {
            let discord = crate::chat::discord::Discord::new(options, Arc::clone(store), Arc::clone(clock));
            Ok(Arc::new(discord.map_err(|e| e.why)?) as Arc<dyn Messenger>)
        });
        platforms.push(("discord", made));
    }
    let _ = (config, store, clock);
    platforms
}

#[cfg(feature = "slack")]
fn picture(chart: &crate::chat::chart::Chart) -> Result<crate::chat::slack::Picture, String> {
    let png = crate::chat::picture::png(chart).map_err(|e| e.to_string())?;
    Ok(crate::chat::slack::Picture { png, words: crate::chat::picture::words(chart) })
}

#[cfg(feature = "slack")]
fn slack_options(config: &Config, table: &SlackSettings) -> Result<crate::chat::slack::SlackOptions, String> {
    let base = config.base();
    let http = table.http.as_ref().map(|http| {
        let signing_secret = http.signing_secret.resolve(base)?;
        Ok::<_, String>(crate::chat::slack::HttpMode { listen: http.listen, signing_secret })
    });
    Ok(crate::chat::slack::SlackOptions {
        bot_token: table.bot_token.resolve(base)?,
        app_token: table.app_token.as_ref().map(|token| token.resolve(base)).transpose()?,
        http: http.transpose()?,
        channel: table.channel.clone(),
        api: table.api.clone(),
    })
}

#[cfg(feature = "discord")]
fn discord_options(config: &Config, table: &DiscordSettings) -> Result<crate::chat::discord::DiscordOptions, String> {
    let id = |what: &str, text: &str| text.parse().map_err(|_| format!("`{what}` is not an id of Discord"));
    Ok(crate::chat::discord::DiscordOptions {
        token: table.token.resolve(config.base())?,
        guild: id("guild", &table.guild)?,
        channel: id("channel", &table.channel)?,
        api: table.api.clone(),
    })
}

/// Who turns sentences into commands, if the config names somebody.
#[cfg(feature = "sentence")]
pub(super) fn reader(config: &Config) -> Result<Option<Reader>, AppError> {
    let Some(table) = &config.chat.reader else { return Ok(None) };
    let failed = |why: String| AppError::System { what: "[chat.reader]".to_owned(), why };
    let key = table.key.as_ref().map(|key| key.resolve(config.base())).transpose().map_err(failed)?;
    let settings = ReaderSettings {
        url: table.url.clone(),
        model: table.model.clone(),
        timeout: table.timeout,
        per_minute: table.per_minute,
        send_names: table.send_names,
    };
    Reader::new(&settings, key).map(Some).map_err(|e| failed(e.to_string()))
}

/// Shows the card of every incident that a batch of events is about, in its newest form.
///
/// The first moments are passed over: rules and dry run answer within a fraction of a second as a rule, and a card
/// with its plan says more than three in a row. `late_cards` shows those that take longer.
pub(super) fn card_listener(
    live: Arc<Live>,
    board: Arc<Board>,
    clock: Arc<dyn Clock>,
    outbox: Outbox,
    shown: Arc<Mutex<BTreeSet<IncidentId>>>,
) -> Listener {
    Box::new(move |state, events| {
        let config = live.get();
        let mut touched: BTreeSet<IncidentId> = events.iter().filter_map(|e| e.incident).collect();
        // What may be done with a question depends on these.
        for event in events {
            match event.fact {
                Fact::ModeChanged { .. } => {
                    touched.extend(event.service.as_ref().and_then(|s| state.open_incident(s)).map(|i| i.id));
                }
                Fact::Halted { .. } | Fact::Resumed => {
                    touched.extend(state.incidents.values().filter(|i| i.question.is_some()).map(|i| i.id));
                }
                _ => {}
            }
        }
        let mut quiet = BTreeSet::new();
        for incident in touched.iter().filter_map(|id| state.incidents.get(id)) {
            let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            let begins = matches!(incident.phase, Phase::Open | Phase::Planning);
            let muted = state.mutes.get(&incident.service).is_some_and(|until| *until > clock.now());
            if (begins || muted) && !shown.contains(&incident.id) {
                quiet.insert(incident.id);
                continue;
            }
            // What stands there is kept true, without a sound.
            if muted {
                quiet.insert(incident.id);
            }
            shown.insert(incident.id);
            outbox.show(&cards::incident_card(state, &config, &board, incident, clock.now()));
        }
        let experiments: BTreeSet<_> = events.iter().filter_map(chaos::experiment_of).collect();
        let behind = touched.iter().filter_map(|id| state.incidents.get(id)?.experiment);
        for trial in experiments.iter().copied().chain(behind).collect::<BTreeSet<_>>() {
            if let Some(trial) = state.experiments.get(trial) {
                outbox.show(&chaos::card(state, &config, trial));
            }
        }
        for event in events {
            if let Some(id) = chaos::experiment_of(event) {
                let words = ledger::describe(event);
                match &event.fact {
                    Fact::ExperimentEnded { .. } => outbox.conclude(&id.to_string(), &words),
                    // Somebody has to look.
                    Fact::FaultStuck { .. } => outbox.call(&id.to_string(), &called_for(&config, event), &words),
                    _ => outbox.detail(&id.to_string(), &words),
                }
                continue;
            }
            let Some(id) = event.incident.filter(|id| !quiet.contains(id)) else { continue };
            let (key, words) = (id.to_string(), ledger::describe(event));
            match &event.fact {
                Fact::Resolved { .. } => outbox.conclude(&key, &conclusion(state, id, &words)),
                Fact::Called { to, .. } => outbox.call(&key, to, &call_words(state, id)),
                fact if is_detail(fact) => outbox.detail(&key, &words),
                _ => {}
            }
        }
        for event in events.iter().filter(|e| e.incident.is_none()) {
            if matches!(
                event.fact,
                Fact::Halted { .. }
                    | Fact::Resumed
                    | Fact::ModeChanged { .. }
                    | Fact::Muted { .. }
                    | Fact::Unmuted
                    | Fact::Deployed { .. }
                    | Fact::SourceFailed(_)
                    | Fact::SourceRecovered { .. }
                    | Fact::Forecast(_)
                    | Fact::FaultInjected { experiment: None, .. }
                    | Fact::FaultLifted { experiment: None, .. }
                    | Fact::TailRepaired { .. }
                    | Fact::ComponentHeld { .. }
                    | Fact::ComponentAccepted { .. }
                    | Fact::ComponentStruck { .. }
                    | Fact::ComponentDisabled { .. }
                    | Fact::ComponentEnabled { .. }
            ) {
                let key = event.service.as_ref().map(ToString::to_string).unwrap_or_default();
                outbox.say(&key, &(ledger::describe(event) + &before_it_is_accepted(&config, &event.fact)));
            }
        }
    })
}

/// Who is called when nobody answers for this service.
fn called_for(config: &Config, event: &Event) -> Vec<String> {
    let service = event.service.as_ref().and_then(|service| config.service(service));
    service.map(|service| service.policy().approval.escalate_to).unwrap_or_default()
}

/// What a thread tells of an incident; the rest is for the ledger.
fn is_detail(fact: &Fact) -> bool {
    !matches!(
        fact,
        Fact::HostCalled { .. } | Fact::PlaybookEnded { .. } | Fact::PlaybookChecked { .. } | Fact::UndoIntended { .. }
    )
}

/// One line on how it ended: `INC-7 · shop · resolved: healed, after 42 s`.
fn conclusion(state: &State, id: IncidentId, words: &str) -> String {
    let Some(incident) = state.incidents.get(&id) else { return words.to_owned() };
    let lasted = incident.closed_at.map(|at| in_words(at.since(incident.since))).unwrap_or_default();
    format!("{id} · {} · {words}; it lasted {lasted}", incident.service)
}

/// What those who are called are told.
fn call_words(state: &State, id: IncidentId) -> String {
    let Some(incident) = state.incidents.get(&id) else { return format!("{id} waits for a decision.") };
    let asked = incident.question.as_ref().map(|q| format!(": {}", q.plan)).unwrap_or_default();
    format!("{id} · {} · {} · nobody has decided yet{asked}", incident.service, incident.severity)
}

/// The lines that the config lacks before a held component can be accepted; empty where it lacks none.
fn before_it_is_accepted(config: &Config, fact: &Fact) -> String {
    let Fact::ComponentHeld { name, role: Role::Playbook, gains, .. } = fact else { return String::new() };
    let allowed = config.grants.allowed_kinds(name);
    let gains: BTreeSet<_> = ActionKind::ALL.into_iter().filter(|kind| gains.contains(&kind.to_string())).collect();
    if gains.is_subset(&allowed) {
        return String::new();
    }
    let targets = config.targets.iter().map(crate::config::TargetConfig::id);
    let config = config.path.display();
    format!("; before that, write into {config}, and start again\n{}", lines_for_all(name, &gains, targets))
}

/// The first facts of a life: what it runs by and with.
pub(super) async fn record_start(
    engine: &Engine,
    config: &Config,
    found: &Survey,
    opened: &Opened,
) -> Result<(), AppError> {
    if let Some(bytes) = opened.torn {
        engine.note(None, None, Fact::TailRepaired { bytes }).await?;
    }
    let version = env!("CARGO_PKG_VERSION").to_owned();
    engine.note(None, None, Fact::Started { version, config: config.digest, replayed: opened.replayed }).await?;
    for fact in found.facts().cloned() {
        engine.note(None, None, fact).await?;
    }
    Ok(())
}

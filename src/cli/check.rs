//! `suture check`: proves a config before it runs.
//!
//! First the file itself, then, unless offline, the world it speaks of: each source is read once, each target is
//! looked at once; every component is loaded in any case. Every problem comes out in one pass, at its line of the
//! file. Nothing is changed. The adapters come in through [`CheckPorts`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _};
use serde::Serialize;
use tokio::time::timeout;

use crate::act::{Actuator, Permission};
use crate::app::Made;
use crate::collect::{Gathered, Source, SourceSettings};
use crate::config::{
    ChaosAllow, Config, Known, Level, Problem, ServiceConfig, Spot, TargetConfig, count_in_words, lines_for_all, plain,
};
use crate::model::{ActionKind, Digest, TargetId, TargetState};

/// Exit code: the config is good, and everything it names answers. Warnings do not count.
pub const EXIT_OK: u8 = 0;
/// Exit code: the config is good in itself, but something it names does not answer or does not load.
pub const EXIT_LIVE: u8 = 1;
/// Exit code: the config itself has errors; what could be read of it was looked at all the same.
pub const EXIT_CONFIG: u8 = 2;

/// How long one target may take to show itself.
const OBSERVE_WITHIN: Duration = Duration::from_secs(10);
/// How long one platform may take to prove everything.
const PROVE_WITHIN: Duration = Duration::from_secs(60);
/// Sources and targets that are asked at the same time: enough to be quick, few enough to be no burst.
const AT_ONCE: usize = 8;

/// What a component is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It remediates.
    Playbook,
    /// It proposes.
    Rule,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Self::Playbook => "playbook",
            Self::Rule => "rule",
        }
    }
}

/// What loading a component shows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// The kinds of action it imports.
    pub kinds: BTreeSet<ActionKind>,
}

/// A component that is built into the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// What it is for.
    pub role: Role,
    /// Its name.
    pub name: String,
    /// What it is.
    pub loaded: Loaded,
}

/// Makes the adapter that reads a source.
pub type SourcePort = dyn Fn(&Config, &ServiceConfig, &SourceSettings) -> Result<Box<dyn Source>, String> + Send + Sync;
/// Makes (or finds) the adapter that acts on a target; only its `observe` and its `permissions` are called.
pub type TargetPort = dyn Fn(&Config, &TargetConfig) -> Result<Arc<dyn Actuator>, String> + Send + Sync;
/// Asks what experiments would need on a target; nothing where they need no rights.
pub type ChaosPort =
    dyn Fn(&Config, &TargetConfig) -> BoxFuture<'static, Result<Vec<Permission>, String>> + Send + Sync;
/// Loads a component from a file, without running it.
pub type ComponentPort = dyn Fn(Role, &Path) -> Result<Loaded, String> + Send + Sync;

/// Makes the platforms of a config, and says how many people have an authenticator that can be used.
pub type ChatPort = dyn Fn(&Config) -> (Vec<Made>, Result<usize, String>) + Send + Sync;

/// The adapters and components that a config is checked against.
pub struct CheckPorts {
    /// Makes sources.
    pub source: Box<SourcePort>,
    /// Makes actuators.
    pub target: Box<TargetPort>,
    /// Asks for the rights of experiments.
    pub chaos: Box<ChaosPort>,
    /// Loads components of `playbooks_dir` and `rules_dir`.
    pub component: Box<ComponentPort>,
    /// The components that are built in.
    pub built_in: Vec<BuiltIn>,
    /// Makes the platforms where people are asked, and proves the authenticators of people.
    pub chat: Box<ChatPort>,
    /// What the ledger of the data folder says is in use: another file under one of these names is held.
    pub accepted: BTreeMap<(Role, String), Accepted>,
}

/// A version of a component that the daemon has in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// The kinds of action it imports.
    pub kinds: BTreeSet<String>,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckOutcome {
    /// What is good, a line each.
    pub good: Vec<String>,
    /// What is not, in the order of the file; warnings among them.
    pub problems: Vec<Problem>,
    /// [`EXIT_OK`], [`EXIT_LIVE`] or [`EXIT_CONFIG`].
    pub exit: u8,
}

impl CheckOutcome {
    /// The text for people.
    #[must_use]
    pub fn for_people(&self) -> String {
        let mut out: String = self.good.iter().map(|line| format!("ok    {line}\n")).collect();
        for problem in &self.problems {
            let blank = if out.is_empty() { "" } else { "\n" };
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{blank}{problem}");
        }
        let _ = writeln!(out, "\n{}", count_in_words(&self.problems));
        out
    }

    /// The problems as a JSON list of `{severity, file, line, column, message, help}`, for programs.
    #[must_use]
    pub fn as_json(&self) -> String {
        // Problems hold text and numbers only: serialising them cannot fail.
        serde_json::to_string_pretty(&self.problems).unwrap_or_else(|_| "[]".to_owned())
    }
}

/// How far a check goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The file and the components alone.
    Offline,
    /// Sources, targets and platforms are asked as well.
    World,
    /// And targets besides, what our credentials let us do with them.
    Rights,
}

/// Checks a config file. Offline, sources and targets are not asked.
pub async fn check(path: &Path, depth: Depth, ports: &CheckPorts) -> CheckOutcome {
    let offline = depth == Depth::Offline;
    let names = |role| ports.built_in.iter().filter(|c| c.role == role).map(|c| c.name.clone()).collect();
    let known = Known { playbooks: names(Role::Playbook), rules: Some(names(Role::Rule)) };
    let loaded = Config::load_knowing(path, &known);
    let (config, problems) = match &loaded {
        Ok(config) => (Some(config), config.warnings.clone()),
        Err(errors) => (errors.readable(), errors.problems().to_vec()),
    };
    let Some(config) = config else {
        return CheckOutcome { good: Vec::new(), problems, exit: EXIT_CONFIG };
    };
    // With errors in the file, what could be read is looked at all the same: one pass is to show everything.
    let mut findings = Findings { config, good: Vec::new(), problems };
    findings.good(&format!(
        "{}: {} services, {} targets, {} grants; SHA-256 {}",
        path.display(),
        config.services.len(),
        config.targets.len(),
        config.grants.iter().count(),
        config.digest.short()
    ));
    components(&mut findings, ports);
    let (platforms, people) = (ports.chat)(config);
    match people {
        Ok(0) => {}
        Ok(people) => findings.good(&format!("the authenticators of {people} people can be used")),
        Err(why) => findings.error(&Spot::People, &why, "put the secret where the config says, in Base32"),
    }
    if offline {
        findings.good("offline: sources, targets and platforms were not asked");
    } else {
        sources(&mut findings, ports).await;
        targets(&mut findings, ports, depth).await;
    }
    chat(&mut findings, platforms, offline).await;
    let Findings { good, mut problems, .. } = findings;
    problems.sort_by_key(|p| (p.line, p.column));
    let exit = match &loaded {
        Err(_) => EXIT_CONFIG,
        Ok(_) if problems.iter().any(|p| p.level == Level::Error) => EXIT_LIVE,
        Ok(_) => EXIT_OK,
    };
    CheckOutcome { good, problems, exit }
}

struct Findings<'c> {
    config: &'c Config,
    good: Vec<String>,
    problems: Vec<Problem>,
}

impl Findings<'_> {
    fn good(&mut self, line: &str) {
        self.good.push(plain(line));
    }

    fn problem(&mut self, spot: &Spot, level: Level, message: &str, help: &str) {
        let help = Some(help).filter(|h| !h.is_empty());
        self.problems.push(self.config.problem_at(spot, level, message, help));
    }

    fn error(&mut self, spot: &Spot, message: &str, help: &str) {
        self.problem(spot, Level::Error, message, help);
    }

    fn warn(&mut self, spot: &Spot, message: &str, help: &str) {
        self.problem(spot, Level::Warning, message, help);
    }
}

/// Tokens, scopes, the bot's place in its channels: each platform proves its own.
async fn chat(findings: &mut Findings<'_>, platforms: Vec<Made>, offline: bool) {
    for (name, made) in platforms {
        let spot = Spot::Chat(name.to_owned());
        let messenger = match made {
            Ok(messenger) => messenger,
            Err(why) => {
                let help = format!("docs/{}.md says how to get it", name.to_uppercase());
                findings.error(&spot, &format!("{name}: {why}"), &help);
                continue;
            }
        };
        if offline {
            continue;
        }
        match timeout(PROVE_WITHIN, messenger.check()).await {
            Err(_) => findings.error(
                &spot,
                &format!("{name}: no answer within {PROVE_WITHIN:?}"),
                "is it reachable from here?",
            ),
            Ok(proofs) => {
                for proof in proofs {
                    match proof.found {
                        Ok(found) => findings.good(&format!("{}: {found}", proof.what)),
                        Err(why) => findings.error(&spot, &format!("{}: {why}", proof.what), ""),
                    }
                }
            }
        }
    }
}

async fn sources(findings: &mut Findings<'_>, ports: &CheckPorts) {
    let config = findings.config;
    let services = &config.services;
    for service in services {
        for target in service.sources.iter().filter_map(pages_of) {
            findings.good(&format!("service {}: the pages of {target} are there once its workers run", service.name));
        }
    }
    let asked = services.iter().flat_map(|service| {
        let to_ask = service.sources.iter().enumerate().filter(|(_, settings)| pages_of(settings).is_none());
        to_ask.map(move |(i, settings)| async move {
            let spot = Spot::Source(service.name.clone(), i);
            let source = (ports.source)(config, service, settings);
            let mut source = match source {
                Ok(source) => source,
                Err(why) => return (spot, service, settings, Err(why)),
            };
            let name = source.name().to_owned();
            let answer = match timeout(service.timeout, source.read()).await {
                Ok(Ok(gathered)) => Ok((name, gathered)),
                Ok(Err(e)) => Err(e.to_string()),
                Err(_) => Err(format!("{name}: no answer within {}", humantime::format_duration(service.timeout))),
            };
            (spot, service, settings, answer)
        })
    });
    let asked: Vec<_> = asked.collect();
    let answers: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    for (spot, service, settings, answer) in answers {
        match answer {
            Ok((name, gathered)) => source_answered(findings, &spot, service, settings, &name, &gathered),
            Err(why) => findings.error(&spot, &why, "start what it asks, or correct the source"),
        }
    }
}

/// The local target whose workers' pages a source reads: the daemon starts it, so there is nothing to ask before.
fn pages_of(settings: &SourceSettings) -> Option<TargetId> {
    let SourceSettings::Scrape(scrape) = settings else { return None };
    scrape.discover.as_ref()?.parse::<TargetId>().ok().filter(|target| target.kind() == "local")
}

fn source_answered(
    findings: &mut Findings<'_>,
    spot: &Spot,
    service: &ServiceConfig,
    settings: &SourceSettings,
    name: &str,
    gathered: &Gathered,
) {
    for fault in &gathered.faults {
        findings.error(spot, &format!("{}: {}", fault.source, fault.why), "start what it asks, or correct the source");
    }
    // Rates need two readings: a metric that is only announced counts as there.
    let given: BTreeSet<_> = gathered.values.keys().chain(gathered.specs.keys()).collect();
    if given.is_empty() {
        if gathered.faults.is_empty() {
            findings.error(spot, &format!("{name}: it answers, but gives no metrics"), "is this the right page?");
        }
        return;
    }
    if let SourceSettings::Host(host) = settings {
        for metric in host.metric.keys().filter(|metric| !given.contains(metric)) {
            let list: Vec<_> = given.iter().map(|name| name.as_str()).collect();
            let message = format!("this host gives no metric `{metric}`: its settings have no effect");
            findings.warn(spot, &message, &format!("it gives {}", list.join(", ")));
        }
    }
    findings.good(&format!("service {}: {name} gives {} metrics", service.name, given.len()));
}

async fn targets(findings: &mut Findings<'_>, ports: &CheckPorts, depth: Depth) {
    let config = findings.config;
    let asked = config.targets.iter().map(|target| async move {
        let late = |_| format!("no answer within {}", humantime::format_duration(OBSERVE_WITHIN));
        let asked = async {
            let actuator = (ports.target)(config, target)?;
            let state = timeout(OBSERVE_WITHIN, actuator.observe(target.id())).await.map_err(late)?;
            let rights = match depth {
                Depth::Rights => timeout(OBSERVE_WITHIN, actuator.permissions(target.id())).await.map_err(late)?,
                Depth::World | Depth::Offline => Ok(Vec::new()),
            };
            Ok::<_, String>((state.map_err(|e| e.to_string()), rights.map_err(|e| e.to_string())))
        };
        let (seen, rights) = asked.await.unwrap_or_else(|why| (Err(why), Ok(Vec::new())));
        let wanted = depth == Depth::Rights && seen.is_ok() && config.suture.chaos != ChaosAllow::Never;
        let chaos =
            if wanted { timeout(OBSERVE_WITHIN, (ports.chaos)(config, target)).await } else { Ok(Ok(Vec::new())) };
        // Whoever cannot be asked has said so above.
        (target, seen, rights, chaos.ok().and_then(Result::ok).unwrap_or_default())
    });
    let asked: Vec<_> = asked.collect();
    let answers: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    for (target, seen, rights, chaos) in answers {
        let id = target.id();
        experiments(findings, id, &chaos);
        match rights {
            Ok(rights) => rights.iter().for_each(|right| permission(findings, id, right)),
            // What cannot be seen at all is said below, once.
            Err(_) if seen.is_err() => {}
            Err(why) => {
                let message = format!("target {id}: what we may do with it cannot be found out: {why}");
                findings.warn(&Spot::Target(id.clone()), &message, "");
            }
        }
        match seen {
            Ok(state) => {
                findings.good(&format!("target {id}: {}", state_in_words(&state)));
                for note in &state.notes {
                    findings.good(&format!("target {id}: {note}"));
                }
            }
            Err(why) => {
                // Most adapters name the target themselves.
                let named = format!("target {id}: ");
                let message = if why.starts_with(&named) { why } else { named + &why };
                findings.error(&Spot::Target(id.clone()), &message, "start it, or correct the [[target]] table");
            }
        }
    }
}

/// `2 of 3 instances serve; it has the settings maxmemory, maxmemory-policy`.
fn state_in_words(state: &TargetState) -> String {
    let mut words = format!("{} of {} instances serve", state.serving(), state.replicas);
    if !state.settings.is_empty() {
        let names: Vec<_> = state.settings.keys().map(String::as_str).collect();
        words.push_str(&format!("; it has the settings {}", names.join(", ")));
    }
    words
}

fn permission(findings: &mut Findings<'_>, id: &TargetId, right: &Permission) {
    let Permission { what, name, allowed } = right;
    match allowed {
        Some(true) => findings.good(&format!("target {id}: may {what} ({name})")),
        None => findings.good(&format!("target {id}: whether it may {what} ({name}), the platform does not tell")),
        Some(false) => {
            let message = format!("target {id}: may not {what}: the permission `{name}` is missing");
            let help = "grant it, or leave it: docs/TARGETS.md says what each action needs";
            findings.warn(&Spot::Target(id.clone()), &message, help);
        }
    }
}

/// What experiments would need. No warning: nobody has to want any.
fn experiments(findings: &mut Findings<'_>, id: &TargetId, rights: &[Permission]) {
    let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Permission { what, name, allowed } in rights {
        missing.entry(what).or_default().extend((*allowed != Some(true)).then_some(name.as_str()));
    }
    for (what, names) in missing {
        findings.good(&match names.is_empty() {
            true => format!("target {id}: experiments have all rights for the {what}"),
            false => format!("target {id}: experiments would need for the {what}: {}", names.join(", ")),
        });
    }
}

fn components(findings: &mut Findings<'_>, ports: &CheckPorts) {
    let config = findings.config;
    let folders = [
        (Role::Playbook, &config.plugins.playbooks_dir, Spot::PlaybooksDir),
        (Role::Rule, &config.plugins.rules_dir, Spot::RulesDir),
    ];
    // From files first: one with the name of a built-in one replaces it.
    let mut components: Vec<(Role, String, Loaded)> = Vec::new();
    let mut own: BTreeSet<(Role, String)> = BTreeSet::new();
    for (role, folder, spot) in folders {
        let Some(folder) = folder else { continue };
        for file in wasm_files(folder) {
            let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            match (ports.component)(role, &file) {
                Ok(loaded) => {
                    own.insert((role, name.clone()));
                    components.push((role, name, loaded));
                }
                Err(why) => {
                    let message = format!("{} {name} ({}): {why}", role.word(), file.display());
                    findings.error(&spot, &message, "build it again for this version, or take the file away");
                }
            }
        }
    }
    for built_in in &ports.built_in {
        if !components.iter().any(|(role, name, _)| *role == built_in.role && *name == built_in.name) {
            components.push((built_in.role, built_in.name.clone(), built_in.loaded.clone()));
        }
    }
    for (role, name, loaded) in &components {
        if let Some(pin) = config.plugins.pins.get(name).filter(|pin| **pin != loaded.digest) {
            let message = format!("{} {name} has the SHA-256 {}, and is pinned to {pin}", role.word(), loaded.digest);
            let help = "look why it changed; if the change is wanted, pin the new one";
            findings.error(&Spot::Pin(name.clone()), &message, help);
            continue;
        }
        if own.contains(&(*role, name.clone())) && !taken(findings, ports, *role, name, loaded) {
            continue;
        }
        match role {
            Role::Rule => findings.good(&format!("rule {name}")),
            Role::Playbook => playbook(findings, name, loaded, own.contains(&(*role, name.clone()))),
        }
    }
}

/// Would the daemon take this file? Says why not.
fn taken(findings: &mut Findings<'_>, ports: &CheckPorts, role: Role, name: &str, loaded: &Loaded) -> bool {
    let plugins = &findings.config.plugins;
    let spot = if role == Role::Playbook { Spot::PlaybooksDir } else { Spot::RulesDir };
    if plugins.pins.contains_key(name) {
        return true;
    }
    if plugins.require_pins {
        let message = format!("{} {name} is not pinned, and `require_pins` is set: it is not taken", role.word());
        let help = format!("take its file away, or write:\n[plugins.pins]\n{name} = \"{}\"", loaded.digest);
        findings.error(&spot, &message, &help);
        return false;
    }
    let accepted = ports.accepted.get(&(role, name.to_owned())).filter(|accepted| accepted.digest != loaded.digest);
    let Some(accepted) = accepted else { return true };
    let wants: BTreeSet<_> = loaded.kinds.iter().map(ToString::to_string).collect();
    let list = |kinds: Vec<&String>| {
        if kinds.is_empty() { "nothing".to_owned() } else { kinds.into_iter().cloned().collect::<Vec<_>>().join(", ") }
    };
    let message = format!(
        "{} {name} is held: the file is {}, and {} is what was accepted and stays in use; it wants also: {}; not any \
         more: {}",
        role.word(),
        loaded.digest.short(),
        accepted.digest.short(),
        list(wants.difference(&accepted.kinds).collect()),
        list(accepted.kinds.difference(&wants).collect())
    );
    let help = format!(
        "if the change is wanted: `suture ctl accept {name} {}`, or pin it:\n[plugins.pins]\n{name} = \"{}\"",
        loaded.digest.short(),
        loaded.digest
    );
    findings.warn(&spot, &message, &help);
    true
}

/// What a playbook may do to the targets of the services that use it, and what it imports without a grant.
fn playbook(findings: &mut Findings<'_>, name: &str, loaded: &Loaded, own: bool) {
    let config = findings.config;
    // One that the operator put there is meant to be used: the daemon does not start without its grants.
    let allowed = config.grants.allowed_kinds(name);
    if own && !loaded.kinds.is_subset(&allowed) {
        let missing: Vec<_> = loaded.kinds.difference(&allowed).map(ToString::to_string).collect();
        let message = format!("playbook {name} wants to {}, and no grant allows it", missing.join(" and "));
        let lines = lines_for_all(name, &loaded.kinds, config.targets.iter().map(TargetConfig::id));
        let help = format!("take its file away, or write:\n{lines}");
        findings.error(&Spot::PlaybooksDir, &message, &help);
        return;
    }
    let users: Vec<_> = config.services.iter().filter(|service| service.uses_playbook(name)).collect();
    let targets: BTreeSet<_> = users.iter().flat_map(|service| &service.targets).collect();
    let may = config.grants.in_words(name, targets.iter().copied(), &loaded.kinds);
    findings.good(&format!("playbook {name}: {}", may.join("; ")));
    let granted: BTreeSet<_> = targets.iter().flat_map(|target| config.grants.kinds_on(name, target)).collect();
    // Without any grant it is simply not used, which the loader says where a service names it.
    if granted.is_empty() {
        return;
    }
    let missing: Vec<_> = loaded.kinds.difference(&granted).map(|kind| format!("\"{kind}\"")).collect();
    let covers = config
        .grants
        .iter()
        .position(|grant| globset::Glob::new(&grant.playbook).is_ok_and(|glob| glob.compile_matcher().is_match(name)));
    if let Some(grant) = covers.filter(|_| !missing.is_empty()) {
        let list = missing.join(", ");
        let message = format!("playbook {name} can also do {list}, which no grant allows: it will be refused");
        findings.warn(&Spot::Grant(grant), &message, &format!("if it is to do that, add {list} to `allow`"));
    }
}

/// The components in a folder, by name.
fn wasm_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let paths = entries.filter_map(|entry| entry.ok().map(|e| e.path()));
    let mut files: Vec<_> = paths.filter(|path| path.extension().is_some_and(|ext| ext == "wasm")).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests;

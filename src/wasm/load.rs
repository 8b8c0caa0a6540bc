//! From bytes to a playbook or a rule that can be run, or to an error that says what is wrong with the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{Component, HasSelf, InstancePre, Linker};

use super::bindings::playbook::PlaybookPre;
use super::bindings::playbook::suture::{
    cache, configure, flush, incident, isolate, log, metrics, restart, rollout, scale, state, traffic, types,
};
use super::bindings::rule::RulePre;
use super::bindings::verifying::VerifyingPlaybookPre;
use super::engine::Ticking;
use super::error::VERSION;
use super::host::RunState;
use super::limits::{SENTENCE, shown};
use super::run::{self, OneRun, OnlyLooking, Ran};
use super::{Description, IncidentView, Limits, LoadError, RunError, World, wasi};
use crate::model::{ActionKind, Args, Digest, IncidentId, Proposal, ServiceId, Severity, Timestamp};

/// Where the two kinds of component say what they are, without the version.
const REMEDY: &str = "suture:plugin/remedy";
const ADVICE: &str = "suture:plugin/advice";
const CHECK: &str = "suture:plugin/check";

/// Loads and runs components. One for the whole daemon; clones share it.
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) ticking: Ticking,
    pub(super) limits: Limits,
    playbooks: Linker<RunState>,
    rules: Linker<RunState>,
}

/// A playbook that was loaded, described and can be run. Clones share the compiled code.
#[derive(Clone)]
pub struct Playbook {
    inner: Arc<Inner>,
    pre: PlaybookPre<RunState>,
    /// Where it has a word in the verdict.
    check: Option<VerifyingPlaybookPre<RunState>>,
    description: Arc<Description>,
    digest: Digest,
    imports: Arc<Imports>,
}

/// What a component needs of its host.
#[derive(Debug, Default)]
struct Imports {
    /// The names with versions, in the component's order.
    names: Vec<String>,
    /// The kinds of action among them.
    wants: BTreeSet<ActionKind>,
    /// The version of the contract that its main export is of.
    contract: String,
    /// What saying what it is took.
    describe_fuel: u64,
}

/// A rule that was loaded, described and can be asked. Clones share the compiled code.
#[derive(Clone)]
pub struct Rule {
    inner: Arc<Inner>,
    pre: RulePre<RunState>,
    description: Arc<Description>,
    digest: Digest,
    imports: Arc<Imports>,
}

impl Host {
    /// `cache_dir`: an absolute path where compiled code is kept between starts; `None` compiles anew at each.
    ///
    /// # Errors
    /// `Engine` when the cache cannot be used or the ticker's thread cannot be started.
    pub fn new(limits: Limits, cache_dir: Option<&std::path::Path>) -> Result<Self, LoadError> {
        let ticking = Ticking::new(cache_dir).map_err(LoadError::Engine)?;
        let link = |acting| linker(&ticking, acting).map_err(|e| LoadError::Engine(format!("{e:#}")));
        let (playbooks, rules) = (link(true)?, link(false)?);
        Ok(Self { inner: Arc::new(Inner { ticking, limits, playbooks, rules }) })
    }

    /// The limits of every run.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Compiles a playbook (on a thread for blocking work), proves its imports and exports, and asks what it is.
    ///
    /// # Errors
    /// Any [`LoadError`], with `file` in its text.
    pub async fn load_playbook(&self, file: &str, bytes: Vec<u8>) -> Result<Playbook, LoadError> {
        let digest = Digest::of(&bytes);
        let (mut imports, pre) = self.compile(file, bytes, Role::Playbook).await?;
        let checks =
            pre.component().component_type().exports(&self.inner.ticking.engine).any(|(name, _)| is(name, CHECK));
        let check = checks.then(|| VerifyingPlaybookPre::new(pre.clone()).map_err(|e| other_contract(file, &e)));
        let check = check.transpose()?;
        let pre = PlaybookPre::new(pre).map_err(|e| other_contract(file, &e))?;
        let mut run = self.aside().map_err(|why| LoadError::Describe { file: file.to_owned(), why })?;
        let store = &mut run.store;
        let said = tokio::time::timeout(self.inner.limits.wall, async {
            let playbook = pre.instantiate_async(&mut *store).await?;
            playbook.suture_plugin_remedy().call_describe(store).await
        })
        .await
        .ok();
        let ended = run.ended(said);
        imports.describe_fuel = ended.fuel;
        let said = ended.result.map_err(|why| LoadError::Describe { file: file.to_owned(), why })?;
        let description =
            Description::of_playbook(said).map_err(|why| LoadError::BadDescription { file: file.to_owned(), why })?;
        let inner = Arc::clone(&self.inner);
        Ok(Playbook { inner, pre, check, description: Arc::new(description), digest, imports: Arc::new(imports) })
    }

    /// The same for a rule.
    ///
    /// # Errors
    /// Any [`LoadError`], with `file` in its text.
    pub async fn load_rule(&self, file: &str, bytes: Vec<u8>) -> Result<Rule, LoadError> {
        let digest = Digest::of(&bytes);
        let (mut imports, pre) = self.compile(file, bytes, Role::Rule).await?;
        let pre = RulePre::new(pre).map_err(|e| other_contract(file, &e))?;
        let mut run = self.aside().map_err(|why| LoadError::Describe { file: file.to_owned(), why })?;
        let store = &mut run.store;
        let said = tokio::time::timeout(self.inner.limits.wall, async {
            let rule = pre.instantiate_async(&mut *store).await?;
            rule.suture_plugin_advice().call_describe(store).await
        })
        .await
        .ok();
        let ended = run.ended(said);
        imports.describe_fuel = ended.fuel;
        let said = ended.result.map_err(|why| LoadError::Describe { file: file.to_owned(), why })?;
        let description =
            Description::of_rule(&said).map_err(|why| LoadError::BadDescription { file: file.to_owned(), why })?;
        let (inner, imports) = (Arc::clone(&self.inner), Arc::new(imports));
        Ok(Rule { inner, pre, description: Arc::new(description), digest, imports })
    }

    /// A run outside of any incident, without a single host call: for describing and validating.
    fn aside(&self) -> Result<OneRun, RunError> {
        aside(&self.inner)
    }

    async fn compile(
        &self,
        file: &str,
        bytes: Vec<u8>,
        role: Role,
    ) -> Result<(Imports, InstancePre<RunState>), LoadError> {
        let limit = self.inner.limits.component_bytes;
        if bytes.len() > limit {
            return Err(LoadError::TooLarge { file: file.to_owned(), bytes: bytes.len(), limit });
        }
        // After the magic number: version 1 layer 0 is a module; a component is version 13 layer 1.
        if bytes.starts_with(b"\0asm\x01\0\0\0") {
            return Err(LoadError::CoreModule { file: file.to_owned() });
        }
        if !bytes.starts_with(b"\0asm") {
            let why = "it does not begin as Wasm does".to_owned();
            return Err(LoadError::NotAComponent { file: file.to_owned(), why });
        }
        let broken = |why: String| LoadError::NotAComponent { file: file.to_owned(), why: shown(&why, SENTENCE) };
        let engine = self.inner.ticking.engine.clone();
        let component = tokio::task::spawn_blocking(move || Component::from_binary(&engine, &bytes))
            .await
            .map_err(|e| broken(e.to_string()))?
            .map_err(|e| broken(format!("{e:#}")))?;
        let mut imports = self.prove_imports(file, &component, role)?;
        imports.contract = self.prove_exports(file, &component, role)?;
        let linker = match role {
            Role::Playbook => &self.inner.playbooks,
            Role::Rule => &self.inner.rules,
        };
        let pre = linker.instantiate_pre(&component).map_err(|e| other_contract(file, &e))?;
        Ok((imports, pre))
    }

    /// Everything imported must be ours, or of the part of WASI that is stubbed; gives the capabilities among it.
    fn prove_imports(&self, file: &str, component: &Component, role: Role) -> Result<Imports, LoadError> {
        let mut imports = Imports::default();
        let ty = component.component_type();
        for (import, _) in ty.imports(&self.inner.ticking.engine) {
            let refuse =
                |why: String| LoadError::UnknownImport { file: file.to_owned(), import: shown(import, 120), why };
            let (interface, version) = import.split_once('@').unwrap_or((import, ""));
            let capability = capability_of(interface);
            let is_plain =
                ["types", "incident", "metrics", "log"].iter().any(|n| interface == format!("suture:{n}/{n}"));
            match capability {
                Some(kind) if role == Role::Playbook => {
                    imports.wants.insert(kind);
                }
                Some(_) => return Err(refuse("a rule may not: rules look and propose, playbooks act".to_owned())),
                None if is_plain => {}
                None if interface == "suture:state/state" && role == Role::Playbook => {}
                None if interface == "suture:state/state" => {
                    return Err(refuse("a rule may not: rules look and propose, playbooks keep notes".to_owned()));
                }
                None if interface.starts_with("wasi:") => {
                    wasi::prove(import).map_err(refuse)?;
                    imports.names.push(import.to_owned());
                    continue;
                }
                None => {
                    let known = "suture:incident, metrics, state, log, scale, restart, rollout, traffic, isolate, cache, \
                                 configure and flush";
                    return Err(refuse(format!("this host does not have; it has {known}")));
                }
            }
            if !is_served(version) {
                return Err(refuse(format!("this host has in version {VERSION}: build with this host's wit folder")));
            }
            imports.names.push(import.to_owned());
        }
        Ok(imports)
    }

    /// It must offer what its role is called by; gives the version of the contract that it offers it in.
    fn prove_exports(&self, file: &str, component: &Component, role: Role) -> Result<String, LoadError> {
        let ty = component.component_type();
        let version_of = |interface: &str| {
            let mut exports = ty.exports(&self.inner.ticking.engine);
            exports.find(|(name, _)| is(name, interface)).and_then(|(name, _)| Some(name.split_once('@')?.1.to_owned()))
        };
        let (wanted, other, hint) = match role {
            Role::Playbook => (REMEDY, ADVICE, ": it is a rule, and belongs in the folder of rules"),
            Role::Rule => (ADVICE, REMEDY, ": it is a playbook, and belongs in the folder of playbooks"),
        };
        if let Some(version) = version_of(wanted) {
            return Ok(version);
        }
        Err(LoadError::MissingExport {
            file: file.to_owned(),
            interface: format!("{wanted}@{VERSION}"),
            hint: if version_of(other).is_some() { hint.to_owned() } else { String::new() },
        })
    }
}

/// The kind of action that this interface lets a component do. A rollout restarts every instance, and is granted as that.
fn capability_of(interface: &str) -> Option<ActionKind> {
    match interface {
        "suture:rollout/rollout" => Some(ActionKind::Restart),
        other => ActionKind::ALL.into_iter().find(|kind| other == format!("suture:{kind}/{kind}")),
    }
}

/// Is this the name of that interface in a version that is served?
fn is(name: &str, interface: &str) -> bool {
    name.split_once('@').is_some_and(|(i, version)| i == interface && is_served(version))
}

/// Imports are matched by semantic version, so every version of the same major one is tried; whatever a later minor one
/// has and this host has not is found when the component is linked.
fn is_served(version: &str) -> bool {
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    major(version) == major(VERSION)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Playbook,
    Rule,
}

fn linker(ticking: &Ticking, acting: bool) -> wasmtime::Result<Linker<RunState>> {
    type Own = HasSelf<RunState>;
    let mut linker = Linker::new(&ticking.engine);
    types::types::add_to_linker::<_, Own>(&mut linker, |s| s)?;
    incident::incident::add_to_linker::<_, Own>(&mut linker, |s| s)?;
    metrics::metrics::add_to_linker::<_, Own>(&mut linker, |s| s)?;
    log::log::add_to_linker::<_, Own>(&mut linker, |s| s)?;
    if acting {
        scale::scale::add_to_linker::<_, Own>(&mut linker, |s| s)?;
        restart::restart::add_to_linker::<_, Own>(&mut linker, |s| s)?;
        traffic::traffic::add_to_linker::<_, Own>(&mut linker, |s| s)?;
        isolate::isolate::add_to_linker::<_, Own>(&mut linker, |s| s)?;
        cache::cache::add_to_linker::<_, Own>(&mut linker, |s| s)?;
        rollout::rollout::add_to_linker::<_, Own>(&mut linker, |s| s)?;
        configure::configure::add_to_linker::<_, Own>(&mut linker, |s| s)?;
        flush::flush::add_to_linker::<_, Own>(&mut linker, |s| s)?;
        state::state::add_to_linker::<_, Own>(&mut linker, |s| s)?;
    }
    wasi::add_to_linker(&mut linker)?;
    Ok(linker)
}

fn other_contract(file: &str, error: &wasmtime::Error) -> LoadError {
    LoadError::OtherContract { file: file.to_owned(), why: shown(&format!("{error:#}"), SENTENCE) }
}

fn aside(inner: &Arc<Inner>) -> Result<OneRun, RunError> {
    let view = Arc::new(IncidentView {
        id: IncidentId(0),
        service: ServiceId(String::new()),
        severity: Severity::None,
        risk: 0.0,
        since: Timestamp(0),
        drivers: Vec::new(),
        targets: Vec::new(),
        metrics: Vec::new(),
        instance_metrics: Vec::new(),
        tried: Vec::new(),
        notes: BTreeMap::new(),
    });
    let world = Box::new(OnlyLooking(Arc::clone(&view)));
    OneRun::new(inner, view, world, inner.limits.wall, 0)
}

impl Playbook {
    /// What rules, grants and people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.description.name
    }

    /// What it says of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// SHA-256 of the component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The kinds of action that it imports: all that it can ever do.
    #[must_use]
    pub fn wants(&self) -> &BTreeSet<ActionKind> {
        &self.imports.wants
    }

    /// Everything that it imports, with versions: `suture:scale/scale@1.1.0`.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.imports.names
    }

    /// What stands in for the system interface WASI, one phrase a part; empty for a component that imports none of it.
    #[must_use]
    pub fn wasi_stubbed(&self) -> Vec<&'static str> {
        wasi::in_words(&self.imports.names)
    }

    /// The version of the contract that it was built for.
    #[must_use]
    pub fn contract(&self) -> &str {
        &self.imports.contract
    }

    /// Units of work that saying what it is took at load.
    #[must_use]
    pub fn describe_fuel(&self) -> u64 {
        self.imports.describe_fuel
    }

    /// Has it a word of its own in the verdict?
    #[must_use]
    pub fn verifies(&self) -> bool {
        self.check.is_some()
    }

    /// Asks the playbook whether the service is well, where it has a word in that. It sees the targets as the view
    /// says and can do nothing; the error is its reason for a doubt.
    pub async fn verify(&self, view: IncidentView, args: &Args) -> Option<Ran<Result<(), String>>> {
        let check = self.check.as_ref()?;
        Some(match self.description.arguments(&Args::new(), args) {
            Ok(args) => run::verify(&self.inner, check, view, args).await,
            Err(error) => Ran::never(error.into()),
        })
    }

    /// The kinds of action that it imports and that `granted` does not allow; it must not be run while there are any.
    pub fn missing_grants(&self, granted: impl Fn(ActionKind) -> bool) -> Vec<ActionKind> {
        self.imports.wants.iter().copied().filter(|kind| !granted(*kind)).collect()
    }

    /// Has the playbook check the operator's settings (standing arguments).
    ///
    /// # Errors
    /// `Settings`, in the playbook's words or with the way its check failed.
    pub async fn validate(&self, settings: &Args) -> Result<(), LoadError> {
        let wrong = |why: String| LoadError::Settings { playbook: self.name().to_owned(), why };
        let args = self.description.arguments(settings, &Args::new()).map_err(|e| wrong(e.to_string()))?;
        let args = run::arguments(args);
        let mut run = aside(&self.inner).map_err(|e| wrong(e.to_string()))?;
        let store = &mut run.store;
        let verdict = tokio::time::timeout(self.inner.limits.wall, async {
            let playbook = self.pre.instantiate_async(&mut *store).await?;
            playbook.suture_plugin_remedy().call_validate(store, &args).await
        })
        .await
        .ok();
        match run.ended(verdict).result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => Err(wrong(shown(&why, SENTENCE))),
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    /// Runs the playbook in a fresh sandbox. `args` are checked against its description and completed by its defaults;
    /// the caller has laid them over the operator's settings. `wall` is the one deadline over guest and host time:
    /// `Limits::wall` for a dry run, `Limits::wall_acting` for a real one. The answer is one sentence.
    ///
    /// Dropping the future ends the run at once; an action under way is dropped with it.
    pub async fn remediate(
        &self,
        view: IncidentView,
        args: &Args,
        world: Box<dyn World>,
        wall: Duration,
    ) -> Ran<String> {
        match self.description.arguments(&Args::new(), args) {
            Ok(args) => run::remediate(&self.inner, &self.pre, view, args, world, wall).await,
            Err(error) => Ran::never(error.into()),
        }
    }
}

impl Rule {
    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.description.name
    }

    /// What it says of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// SHA-256 of the component.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Everything that it imports, with versions.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.imports.names
    }

    /// What stands in for the system interface WASI, one phrase a part; empty for a component that imports none of it.
    #[must_use]
    pub fn wasi_stubbed(&self) -> Vec<&'static str> {
        wasi::in_words(&self.imports.names)
    }

    /// The version of the contract that it was built for.
    #[must_use]
    pub fn contract(&self) -> &str {
        &self.imports.contract
    }

    /// Units of work that saying what it is took at load.
    #[must_use]
    pub fn describe_fuel(&self) -> u64 {
        self.imports.describe_fuel
    }

    /// Asks the rule what to try, best first. It sees the targets as the view says.
    pub async fn propose(&self, view: IncidentView) -> Ran<Vec<Proposal>> {
        run::propose(&self.inner, &self.pre, self.name(), view).await
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("limits", &self.inner.limits).finish_non_exhaustive()
    }
}

impl fmt::Debug for Playbook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Playbook({} {})", self.name(), self.digest.short())
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rule({} {})", self.name(), self.digest.short())
    }
}

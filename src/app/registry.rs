//! The components of this daemon: which version of each is in use, which waits, and every version that a plan may name.
//!
//! One way for the start, a changed file and an `accept`: `survey` looks at the folders, loads what is new and judges
//! each name; the caller records the facts; `take` swaps the catalogue. Readers clone an `Arc` under a lock that is held
//! for nothing else, so a swap never waits for a run and a run keeps what it began with. Must never run a version that
//! the ledger does not call accepted (or that an approved plan does not name).

mod judge;
mod look;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub(super) use self::look::Survey;
use super::AppError;
use crate::config::Config;
use crate::incident::State;
use crate::model::{ActionKind, Digest, Role};
use crate::wasm::{Catalog, Component, Host, Limits, LoadError, Store, stock};

/// Versions that are kept ready besides those in use and held: what was replaced under a plan's feet. The others are
/// loaded from the store when somebody names them.
const READY: usize = 16;

/// The store may grow to this before the oldest versions that nothing names any more are taken away.
const STORE_BYTES: u64 = 1 << 30;

/// A component by role and name.
pub(super) type Key = (Role, String);

/// The components of this daemon.
pub(super) struct Registry {
    host: Host,
    store: Store,
    config: Arc<Config>,
    catalog: RwLock<Arc<Catalog>>,
    picture: Mutex<Arc<Picture>>,
    ready: Mutex<Ready>,
    /// Held from a survey to the end of what follows from it: a changed file and an `accept` take turns.
    pub(super) turn: tokio::sync::Mutex<()>,
}

/// What is to be known of the components besides the catalogue.
#[derive(Clone, Debug, Default)]
pub(super) struct Picture {
    /// Versions that wait for an admin.
    pub held: BTreeMap<Key, Held>,
    /// Names without a version that may be used, and why.
    pub without: BTreeMap<Key, String>,
    /// The name that each file was last seen to give itself.
    files: BTreeMap<PathBuf, String>,
}

/// A version that waits for an admin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// The version in use meanwhile.
    pub accepted: Digest,
    /// What it imports and the accepted one does not.
    pub gains: Vec<String>,
    /// What the accepted one imports and it does not.
    pub loses: Vec<String>,
    /// The lines that the config lacks before it can be accepted.
    pub lacks: Option<String>,
    /// It cannot be accepted, because the config pins the other one.
    pub pinned: bool,
}

/// Loaded versions, and when each was asked for last.
#[derive(Default)]
struct Ready {
    versions: BTreeMap<(Role, Digest), (u64, Component)>,
    clock: u64,
}

impl Ready {
    fn get(&mut self, role: Role, digest: Digest) -> Option<Component> {
        self.clock += 1;
        let (asked, component) = self.versions.get_mut(&(role, digest))?;
        *asked = self.clock;
        Some(component.clone())
    }

    fn put(&mut self, component: &Component) {
        self.clock += 1;
        self.versions.insert((component.role(), component.digest()), (self.clock, component.clone()));
    }

    /// Lets go of all but the newest of those that are not needed.
    fn shrink(&mut self, needed: &BTreeSet<(Role, Digest)>) {
        let mut others: Vec<_> = self
            .versions
            .iter()
            .filter(|(key, _)| !needed.contains(key))
            .map(|(key, (asked, _))| (*asked, *key))
            .collect();
        others.sort_unstable();
        for (_, key) in others.iter().rev().skip(READY) {
            self.versions.remove(key);
        }
    }
}

impl Registry {
    /// The registry as it stands at the start, and what is to be recorded of it.
    ///
    /// # Errors
    /// When a component of the operator cannot be used and there is nothing to go on with in its place.
    pub(super) async fn open(
        config: Arc<Config>,
        data_dir: &Path,
        state: &State,
    ) -> Result<(Arc<Self>, Survey), AppError> {
        // The engine takes an absolute path only, and the config may have been named relative to where we stand.
        let cache = data_dir.join("cache");
        let cache = std::path::absolute(&cache).unwrap_or(cache);
        let host = Host::new(Limits::from(&config.plugins.limits), Some(&cache)).map_err(AppError::Host)?;
        let registry = Self {
            host,
            store: Store::of_data_dir(data_dir),
            config,
            catalog: RwLock::default(),
            picture: Mutex::default(),
            ready: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
        };
        registry.prune(state).await;
        let mut survey = registry.survey(&state.components).await.map_err(|error| AppError::Components(vec![error]))?;
        match survey.fatal() {
            Some(error) => Err(error),
            None => Ok((Arc::new(registry), survey)),
        }
    }

    /// What there is to run now.
    pub(super) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What else is known.
    pub(super) fn picture(&self) -> Arc<Picture> {
        Arc::clone(&self.picture.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a survey the truth: whoever asks from now on is answered by it.
    pub(super) fn take(&self, survey: Survey) {
        let (catalog, picture) = survey.into_parts();
        *self.picture.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(picture);
        *self.catalog.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalog);
    }

    /// Do the config's pins speak against this version? Then a plan that was made with it is not carried out any more.
    pub(super) fn is_pinned_out(&self, name: &str, digest: Digest) -> bool {
        let plugins = &self.config.plugins;
        let pin = plugins.pins.get(name).copied();
        !judge::pins_allow(pin, plugins.require_pins, stock(digest).is_some(), digest)
    }

    /// What a run may use.
    pub(super) fn limits(&self) -> &Limits {
        self.host.limits()
    }

    /// This version of a component, whether in use or replaced long ago; `None` when its bytes are nowhere.
    pub(super) async fn version(&self, role: Role, name: &str, digest: Digest) -> Option<Component> {
        let current = self.catalog().get(role, name).filter(|c| c.digest() == digest);
        let found = match current.or_else(|| self.ready(|ready| ready.get(role, digest))) {
            Some(found) => found,
            None => {
                let bytes = self.bytes(digest).await?;
                let label = format!("{role} {name} ({})", digest.short());
                match self.load(role, &label, bytes).await {
                    Ok(component) => component,
                    Err(error) => {
                        tracing::error!(%error, "a version of a component that was kept does not load");
                        return None;
                    }
                }
            }
        };
        // A plan names both; a component of another name is not what was approved.
        (found.name() == name).then_some(found)
    }

    /// Loads these bytes, or finds them loaded.
    async fn load(&self, role: Role, label: &str, bytes: Vec<u8>) -> Result<Component, LoadError> {
        if let Some(ready) = self.ready(|ready| ready.get(role, Digest::of(&bytes))) {
            return Ok(ready);
        }
        let component = Component::load(&self.host, role, label, bytes).await?;
        self.ready(|ready| ready.put(&component));
        Ok(component)
    }

    /// The bytes of a version, from the binary or the store.
    async fn bytes(&self, digest: Digest) -> Option<Vec<u8>> {
        if let Some(bytes) = stock(digest) {
            return Some(bytes.to_vec());
        }
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || store.get(digest)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::error!(%error, "a version of a component cannot be had");
                None
            }
            Err(error) => {
                tracing::error!(%error, "reading the component store failed");
                None
            }
        }
    }

    /// Keeps the bytes of what is used or may be.
    async fn keep(&self, bytes: Vec<u8>) -> Result<(), String> {
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || store.put(&bytes)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Takes away what nothing names any more, once the store has grown large.
    pub(super) async fn prune(&self, state: &State) {
        let mut keep: BTreeSet<_> = state.runs.values().map(|run| run.plan.component).collect();
        keep.extend(state.incidents.values().filter_map(|i| Some(i.question.as_ref()?.plan.component)));
        keep.extend(state.components.iter().flat_map(|(_, _, c)| [Some(c.accepted), c.held]).flatten());
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || store.prune(&keep, STORE_BYTES)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(removed)) => tracing::info!(removed, "old versions of components were taken out of the store"),
            Ok(Err(error)) => tracing::warn!(%error, "the component store cannot be tidied"),
            Err(error) => tracing::warn!(%error, "tidying the component store failed"),
        }
    }

    /// The kinds of action that a component imports and no grant allows.
    fn missing(&self, component: &Component) -> Vec<ActionKind> {
        let allowed = self.config.grants.allowed_kinds(component.name());
        component.wants().into_iter().filter(|kind| !allowed.contains(kind)).collect()
    }

    fn ready<T>(&self, f: impl FnOnce(&mut Ready) -> T) -> T {
        f(&mut self.ready.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

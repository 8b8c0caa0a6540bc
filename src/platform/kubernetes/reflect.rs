//! Keeps what a watch tells: the objects as they are now, and whether that can still be believed.
//!
//! Must never hand out what is older than it seems: when the watch is broken, or silent for too long, looking is an error.
//! Its task is owned by what is handed out, and ends with it. Used by the source and by discovery.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::ask::Ask;
use super::call::Api;
use super::events::{EventKind, LASTS};
use super::failure::CallError;
use super::resource::Resource;

/// A broken watch is believed for so long: long enough for a server that is replaced by its neighbour.
const BELIEVED: Duration = Duration::from_secs(10);
/// A watch that says nothing is begun anew after [`LASTS`]; one that does not even that is believed so much longer.
const LATE: Duration = Duration::from_secs(20);
/// First pause before a broken watch is begun again; doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(15);

/// What is followed.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Which kind of object.
    pub resource: &'static Resource,
    /// Of which namespace; `None` for all.
    pub namespace: Option<String>,
    /// With these labels only.
    pub labels: Option<String>,
    /// With these fields only.
    pub fields: Option<String>,
    /// At most so many; more is an error.
    pub most: usize,
}

/// The objects as they are now.
#[derive(Debug)]
pub struct Reflector<T> {
    shared: Arc<Shared<T>>,
    changed: watch::Receiver<u64>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared<T> {
    held: Mutex<Held<T>>,
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Held<T> {
    objects: BTreeMap<String, T>,
    /// The last time the server said anything; `None` until the first list is complete.
    heard: Option<Instant>,
    /// Since when the watch is broken, and why.
    broken: Option<(Instant, String)>,
}

impl<T: DeserializeOwned + Send + 'static> Reflector<T> {
    /// Begins to follow; ends when this is dropped.
    #[must_use]
    pub fn start(api: Api, scope: Scope) -> Self {
        let (sender, changed) = watch::channel(0);
        let held = Held { objects: BTreeMap::new(), heard: None, broken: None };
        let shared = Arc::new(Shared { held: Mutex::new(held), changed: sender });
        let task = tokio::spawn(follow(api, scope, Arc::clone(&shared)));
        Self { shared, changed, _task: AbortOnDropHandle::new(task) }
    }

    /// Waits until the first list is complete, or has failed.
    pub async fn begun(&mut self) {
        loop {
            let begun = {
                let held = self.shared.lock();
                held.heard.is_some() || held.broken.is_some()
            };
            if begun || self.changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits for the next change.
    pub async fn changed(&mut self) {
        // The other end lives as long as this one.
        let _ = self.changed.changed().await;
    }

    /// Looks at the objects, by `namespace/name`.
    ///
    /// # Errors
    /// In words, when what is known cannot be believed any more.
    pub fn look<R>(&self, look: impl FnOnce(&BTreeMap<String, T>) -> R) -> Result<R, String> {
        let held = self.shared.lock();
        let broken = held.broken.as_ref().filter(|(since, _)| held.heard.is_none() || since.elapsed() > BELIEVED);
        if let Some((_, why)) = broken {
            return Err(why.clone());
        }
        match held.heard {
            None => Err("the first list has not come yet".to_owned()),
            Some(heard) if heard.elapsed() > Duration::from_secs(LASTS) + LATE => {
                Err(format!("the watch has said nothing for {} s", heard.elapsed().as_secs()))
            }
            Some(_) => Ok(look(&held.objects)),
        }
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Held<T>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Held<T>)) {
        change(&mut self.lock());
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    fn heard(&self, held: &mut Held<T>) {
        (held.heard, held.broken) = (Some(Instant::now()), None);
    }
}

async fn follow<T: DeserializeOwned>(api: Api, scope: Scope, shared: Arc<Shared<T>>) {
    let mut pause = FIRST_PAUSE;
    let mut version: Option<String> = None;
    loop {
        let began = Instant::now();
        match round(&api, &scope, &shared, &mut version).await {
            Ok(()) => {}
            Err(Broken::Call(error)) if error.is_expired() => version = None,
            Err(broken) => {
                let why = match broken {
                    Broken::Call(error) => error.to_string(),
                    Broken::TooMany => {
                        version = None;
                        format!("there are more than {} {}: watch less", scope.most, scope.resource.plural)
                    }
                };
                tracing::debug!(what = scope.resource.plural, %why, "a watch is broken; it is begun again");
                shared.change(|held| held.broken = Some((held.broken.as_ref().map_or(began, |(at, _)| *at), why)));
            }
        }
        // A watch that lasted was a good one; one that ends at once, however well, must not turn into a storm.
        pause = if began.elapsed() > Duration::from_secs(5) { FIRST_PAUSE } else { (pause * 2).min(LAST_PAUSE) };
        sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
    }
}

enum Broken {
    Call(CallError),
    TooMany,
}

impl From<CallError> for Broken {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

/// A list where there is no version to go on from, and one watch.
async fn round<T: DeserializeOwned>(
    api: &Api,
    scope: &Scope,
    shared: &Shared<T>,
    version: &mut Option<String>,
) -> Result<(), Broken> {
    let namespace = scope.namespace.as_deref();
    let from = match version.clone() {
        Some(version) => version,
        None => {
            let ask = Ask::list(scope.resource, namespace);
            let ask = ask.labelled(scope.labels.as_deref()).with_fields(scope.fields.as_deref());
            let listed = api.list::<serde_json::Value>(ask, scope.most).await?;
            if listed.more {
                return Err(Broken::TooMany);
            }
            let objects = listed.items.into_iter().filter_map(|object| {
                let key = key(&object)?;
                Some((key, serde_json::from_value(object).ok()?))
            });
            let objects: BTreeMap<String, T> = objects.collect();
            shared.change(|held| {
                held.objects = objects;
                shared.heard(held);
            });
            *version = Some(listed.version.clone());
            listed.version
        }
    };
    let ask = Ask::watch(scope.resource, namespace, &from, LASTS);
    let ask = ask.labelled(scope.labels.as_deref()).with_fields(scope.fields.as_deref());
    let mut events = api.watch(&ask).await?;
    shared.change(|held| shared.heard(held));
    while let Some(event) = events.next().await? {
        if let Some(newer) = event.version() {
            *version = Some(newer.to_owned());
        }
        let (kind, name) = (event.kind, key(&event.object));
        let object: Option<T> = match kind {
            EventKind::Is => serde_json::from_value(event.object).ok(),
            EventKind::Gone | EventKind::Bookmark => None,
        };
        let mut too_many = false;
        shared.change(|held| {
            shared.heard(held);
            match (kind, name, object) {
                (EventKind::Is, Some(name), Some(object)) => {
                    held.objects.insert(name, object);
                }
                (EventKind::Gone, Some(name), _) => {
                    held.objects.remove(&name);
                }
                _ => {}
            }
            too_many = held.objects.len() > scope.most;
        });
        if too_many {
            return Err(Broken::TooMany);
        }
    }
    Ok(())
}

fn key(object: &serde_json::Value) -> Option<String> {
    let part = |part: &str| object.pointer(part).and_then(serde_json::Value::as_str);
    let name = part("/metadata/name")?;
    Some(format!("{}/{name}", part("/metadata/namespace").unwrap_or_default()))
}

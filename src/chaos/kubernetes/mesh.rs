//! One object of Chaos Mesh: made, looked at, deleted.
//!
//! A condition alone does not tell: where nothing was selected, all of nothing counts as injected. Must never touch an
//! object that is not ours, or one of another Suture, or take a finalizer away. Called by the injector and by the leases.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::errors::{call, refused};
use super::manifest::{EXPERIMENT, LEASE_UNTIL, MANAGED_BY, MARK, Mesh, Name, PODS_THEN};
use super::{Leftover, pods};
use crate::chaos::InjectError;
use crate::platform::kubernetes::{Api, Ask, CHAOS_MESH, CallError, Meta, Place, shown};

/// Chaos Mesh starts a process on each node, which takes some seconds on one that is busy.
const IN_WITHIN: Duration = Duration::from_secs(15);
/// By then, what failed has been tried more than once.
const FAILED_AFTER: Duration = Duration::from_secs(3);
/// Stop means out within this time; what is not is told, and tried again.
const OUT_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Objects of ours in one namespace: an experiment has a handful.
const MOST_LEFTOVERS: usize = 500;
/// The way out that Chaos Mesh documents for an object that it cannot clean up.
const FORCE: &str = "chaos-mesh.chaos-mesh.org/cleanFinalizer=forced";

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Seen {
    metadata: Meta,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Option<Vec<Condition>>,
    experiment: Experiment,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Experiment {
    desired_phase: String,
    container_records: Option<Vec<Record>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Record {
    id: String,
    phase: String,
    events: Option<Vec<Event>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    message: String,
}

impl Record {
    /// Why its last attempt failed, where it did.
    fn failure(&self) -> Option<String> {
        let last = self.events.as_ref()?.last()?;
        (last.kind == "Failed").then(|| format!("{}: {}", shown(&self.id, 120), shown(&last.message, 200)))
    }
}

impl Seen {
    fn holds(&self, condition: &str) -> bool {
        self.status.conditions.iter().flatten().any(|c| c.kind == condition && c.status == "True")
    }

    fn records(&self) -> &[Record] {
        self.status.experiment.container_records.as_deref().unwrap_or_default()
    }

    fn is_in(&self) -> bool {
        self.holds("Selected") && self.holds("AllInjected") && !self.records().is_empty()
    }

    fn is_stopped(&self) -> bool {
        self.status.experiment.desired_phase == "Stop"
    }

    fn failure(&self) -> Option<String> {
        self.records().iter().find_map(Record::failure)
    }

    /// The pods that are not cleaned up yet.
    fn held_by(&self) -> Vec<String> {
        self.records().iter().filter(|r| r.phase != "Not Injected").map(|r| shown(&r.id, 120)).collect()
    }
}

/// Which of its resources a cluster serves: none, where Chaos Mesh is not installed.
pub(super) async fn served(api: &Api) -> Result<BTreeSet<Mesh>, InjectError> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Discovered {
        resources: Vec<Named>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Named {
        name: String,
    }
    match api.call::<Discovered>(&Ask::discover(&CHAOS_MESH)).await {
        Ok(found) => {
            let has = |mesh: &Mesh| found.resources.iter().any(|resource| resource.name == mesh.resource().plural);
            Ok(Mesh::ALL.into_iter().filter(has).collect())
        }
        Err(error) if error.is_not_found() => Ok(BTreeSet::new()),
        Err(error) => Err(call(error)),
    }
}

/// The objects of a namespace that are ours.
pub(super) async fn leftovers(api: &Api, place: &Place) -> Result<Vec<Leftover>, InjectError> {
    let ours = format!("{}={}", MANAGED_BY.0, MANAGED_BY.1);
    let mut found = Vec::new();
    for mesh in served(api).await? {
        let ask = Ask::list(mesh.resource(), place.namespace.as_deref()).labelled(Some(&ours));
        for object in api.list::<Seen>(ask, MOST_LEFTOVERS).await.map_err(call)?.items {
            let meta = object.metadata;
            let label = |key: &str| meta.labels.get(key).map(String::as_str).unwrap_or_default();
            found.push(Leftover {
                what: format!("{} {} in namespace {}", mesh.kind(), shown(&meta.name, 120), place.namespace()),
                experiment: shown(label(EXPERIMENT), 63),
                ends: label(LEASE_UNTIL).parse().unwrap_or(0),
                is_going: meta.is_going(),
            });
        }
    }
    Ok(found)
}

/// One object, which may be there or not.
#[derive(Clone, Debug)]
pub(super) struct Object {
    api: Api,
    namespace: String,
    mesh: Mesh,
    name: Name,
    mark: String,
}

impl Object {
    pub fn new(api: Api, namespace: &str, mesh: Mesh, name: Name, mark: String) -> Self {
        Self { api, namespace: namespace.to_owned(), mesh, name, mark }
    }

    pub fn name(&self) -> &Name {
        &self.name
    }

    pub fn mark(&self) -> &str {
        &self.mark
    }

    fn in_words(&self) -> String {
        format!("{} {} in namespace {}", self.mesh.kind(), self.name.text, self.namespace)
    }

    fn is_ours(&self, seen: &Seen) -> bool {
        let meta = &seen.metadata;
        meta.labels.get(MANAGED_BY.0).is_some_and(|by| by == MANAGED_BY.1)
            && meta.annotations.get(MARK) == Some(&self.mark)
    }

    async fn look(&self) -> Result<Option<Seen>, CallError> {
        let ask = Ask::get(self.mesh.resource(), Some(&self.namespace), &self.name.text);
        match self.api.call::<Seen>(&ask).await {
            Ok(seen) => Ok(Some(seen)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes it, and waits until Chaos Mesh has put it into every pod. `waits` is called again and again meanwhile.
    pub async fn put_in(&self, body: &Value, waits: impl Fn() + Send) -> Result<String, InjectError> {
        let ask = Ask::create(self.mesh.resource(), Some(&self.namespace), None, body.clone());
        match self.api.call::<Value>(&ask).await {
            Ok(_) => {}
            // Another attempt at the same fault made it, or something else is called so: the look tells.
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(call(error)),
        }
        let began = Instant::now();
        loop {
            waits();
            let what = self.in_words();
            let Some(seen) = self.look().await.map_err(call)? else {
                return Err(refused(format!("{what} was deleted by somebody while it went in")));
            };
            if !self.is_ours(&seen) {
                return Err(refused(format!(
                    "{what} is there already and is not of this experiment: see whose it is, and delete it"
                )));
            }
            if seen.metadata.is_going() {
                return Err(InjectError::Unavailable(
                    format!("Chaos Mesh in {}", self.api.who()),
                    format!("{what} is still being deleted: try again when it is gone"),
                ));
            }
            if seen.is_in() {
                return Ok(format!("{what} is in on {}", pods_of(&seen)));
            }
            let failure = seen.failure().or_else(|| {
                (!seen.holds("Selected")).then(|| {
                    "it found no pod: is Chaos Mesh restricted to other namespaces, or to those with the annotation \
                     chaos-mesh.org/inject=enabled?"
                        .to_owned()
                })
            });
            let waited = began.elapsed();
            if seen.is_stopped() || waited > IN_WITHIN || (failure.is_some() && waited > FAILED_AFTER) {
                let why = failure.unwrap_or_else(|| "Chaos Mesh does not say why".to_owned());
                // What is half in must not stay. When that fails, the lease goes on trying.
                self.take_out().await?;
                return Err(refused(format!("{what} did not go in, and is out again: {why}")));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Is it in still?
    pub async fn check(&self, place: &Place) -> Result<(), InjectError> {
        let what = self.in_words();
        let gone = |why: &str| Err(InjectError::Gone(format!("{what} {why}")));
        let Some(seen) = self.look().await.map_err(call)? else {
            return gone("is not there any more: somebody deleted it, or its lease ran out");
        };
        if !self.is_ours(&seen) {
            return gone("is not the one that was made: somebody replaced it");
        }
        if seen.metadata.is_going() {
            return gone("is being deleted by somebody else");
        }
        if seen.holds("Paused") {
            return gone("was paused by somebody else: it is taken out");
        }
        if seen.is_stopped() {
            return gone("is out: its time is over");
        }
        if seen.held_by().is_empty() {
            return gone(&format!(
                "is in no pod any more: {}",
                seen.failure().unwrap_or_else(|| "no word why".to_owned())
            ));
        }
        // Chaos Mesh takes no note of pods that come and go: what it put into one that is gone is gone with it.
        let then = seen.metadata.annotations.get(PODS_THEN).map(String::as_str).unwrap_or_default();
        let then: BTreeMap<String, String> = serde_json::from_str(then).unwrap_or_default();
        let names: Vec<String> = then.keys().cloned().collect();
        let now = pods::find(&self.api, place.namespace(), &names).await?;
        if then.iter().any(|(name, uid)| now.get(name).is_some_and(|pod| pod.metadata.uid == *uid)) {
            return Ok(());
        }
        let names: Vec<String> = names.iter().map(|name| shown(name, 120)).collect();
        gone(&format!("has nothing to be in any more: {} went away", names.join(", ")))
    }

    /// Deletes it, and waits until it is really gone: Chaos Mesh lets go of it when it has cleaned up.
    pub async fn take_out(&self) -> Result<String, InjectError> {
        let mut last = None;
        match timeout(OUT_WITHIN, self.delete(&mut last)).await {
            Ok(done) => done,
            Err(_) => Err(self.stuck(last.as_ref())),
        }
    }

    async fn delete(&self, last: &mut Option<Seen>) -> Result<String, InjectError> {
        let (what, mut deleted) = (self.in_words(), None);
        loop {
            let Some(seen) = self.look().await.map_err(call)? else {
                return Ok(match deleted {
                    Some(_) => format!("{what} is gone: Chaos Mesh has cleaned up"),
                    None => format!("{what} is not there"),
                });
            };
            if !self.is_ours(&seen) {
                return Ok(format!("the {what} that is there is not of this experiment: it is left alone"));
            }
            let uid = seen.metadata.uid.clone();
            if seen.metadata.is_going() {
                deleted = Some(uid);
            } else if deleted.as_ref() != Some(&uid) {
                let ask = Ask::delete(self.mesh.resource(), Some(&self.namespace), &self.name.text, &uid);
                match self.api.call::<Value>(&ask).await {
                    Ok(_) => deleted = Some(uid),
                    Err(error) if error.is_not_found() || error.is_conflict() => {}
                    Err(error) => return Err(call(error)),
                }
            }
            *last = Some(seen);
            if deleted.is_some() {
                sleep(LOOK_EVERY).await;
            }
        }
    }

    /// It was deleted, and is there: what somebody has to do.
    fn stuck(&self, seen: Option<&Seen>) -> InjectError {
        let Some(seen) = seen else {
            let (who, secs) = (self.api.who().to_owned(), OUT_WITHIN.as_secs());
            return InjectError::Unavailable(who, format!("no answer about {} within {secs} s", self.in_words()));
        };
        let (plural, name, namespace) = (self.mesh.resource().plural, &self.name.text, &self.namespace);
        let on = match seen.held_by().as_slice() {
            [] => String::new(),
            pods => format!(" on {}", pods.join(", ")),
        };
        let why = seen.failure().map(|why| format!(" ({why})")).unwrap_or_default();
        InjectError::Unavailable(
            format!("Chaos Mesh in {}", self.api.who()),
            format!(
                "{} was deleted and is not gone after {} s, so the fault may still be in{on}{why}. See `kubectl describe \
                 {plural} {name} --namespace {namespace}`; restart those pods where they still have it. When they are well \
                 or gone and only the object is left: `kubectl annotate {plural} {name} --namespace {namespace} {FORCE}`. \
                 Suture does not force it",
                self.in_words(),
                OUT_WITHIN.as_secs()
            ),
        )
    }
}

fn pods_of(seen: &Seen) -> String {
    let pods: Vec<String> = seen.records().iter().map(|record| shown(&record.id, 120)).collect();
    pods.join(", ")
}

//! Takes one pod out of its Services for inspection, and back in, by its labels.
//!
//! A Service finds its pods by labels, and so does the pod's controller. Labels that only Services look at are taken away
//! first: the pod stays its controller's. Where there are none, one of the controller's own has to go: then the pod is
//! nobody's, and a Deployment puts another in its place. What was taken away is written on the pod, and put back from
//! there. Called by the actuator.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::errors::{act_error, conflict};
use super::job::{Job, TRIES};
use super::look::{Depth, Seen, whose};
use super::wait::Stage;
use crate::act::ActError;
use crate::model::Facet;
use crate::platform::kubernetes::{Api, Ask, ENDPOINTSLICES, EndpointSlice, Kind, PODS, Place, Pod, SERVICES, Service};

/// The label by which isolated pods are found again; its value says which workload's, see [`mark`].
pub(super) const MARK: &str = "suture.dev/isolated";
/// The annotation with what was taken away.
const TAKEN: &str = "suture.dev/isolated-labels";
/// Longest value of a label.
const MOST_LABEL: usize = 63;
/// Services of one namespace, and their slices of 100 endpoints each.
const MOST_SERVICES: usize = 5000;
/// How slices name their Service.
pub(super) const OF_SERVICE: &str = "kubernetes.io/service-name";

/// What is written on an isolated pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Isolation {
    /// Whose it is: `deployment/web`.
    pub of: String,
    /// The labels that were taken away.
    pub labels: BTreeMap<String, String>,
}

impl Isolation {
    /// What is written on this pod, if it is isolated.
    pub fn of(pod: &Pod) -> Option<Self> {
        pod.metadata.labels.get(MARK)?;
        serde_json::from_str(pod.metadata.annotations.get(TAKEN)?).ok()
    }
}

/// The value of [`MARK`] for the pods of a workload: its name, where that is short enough for a label.
pub(super) fn mark(place: &Place) -> String {
    if place.name.len() <= MOST_LABEL {
        return place.name.clone();
    }
    let digest = Sha256::digest(place.name.as_bytes());
    digest.iter().take(20).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// What has to go for a pod to leave its Services.
#[derive(Debug, PartialEq, Eq)]
struct Way {
    services: Vec<String>,
    labels: BTreeMap<String, String>,
    /// Its controller lets go of it too.
    orphans: bool,
}

/// The labels to take away. `None`: no Service selects it.
fn way(pod: &Pod, services: &[Service], needed: &BTreeSet<&str>) -> Option<Way> {
    let has = &pod.metadata.labels;
    let selects = |service: &&Service| {
        let selector = &service.spec.selector;
        !selector.is_empty() && selector.iter().all(|(key, value)| has.get(key) == Some(value))
    };
    let selecting: Vec<&Service> = services.iter().filter(selects).collect();
    let mut labels = BTreeMap::new();
    let mut orphans = false;
    // Services that leave no choice first, so that what they need is not taken twice.
    let mut by_choice: Vec<_> = selecting.iter().map(|service| &service.spec.selector).collect();
    by_choice.sort_by_key(|selector| selector.keys().filter(|key| !needed.contains(key.as_str())).count());
    for selector in by_choice {
        if selector.keys().any(|key| labels.contains_key(key)) {
            continue;
        }
        let spare = selector.iter().find(|(key, _)| !needed.contains(key.as_str()));
        orphans |= spare.is_none();
        if let Some((key, value)) = spare.or_else(|| selector.iter().next()) {
            labels.insert(key.clone(), value.clone());
        }
    }
    let services = selecting.iter().map(|service| service.metadata.name.clone()).collect();
    (!labels.is_empty()).then_some(Way { services, labels, orphans })
}

impl Job<'_> {
    /// Out of the traffic, or back in.
    pub async fn isolate(&self, instance: &str, isolated: bool, before: &Facet) -> Result<String, ActError> {
        for _ in 0..TRIES {
            let seen = self.look(Depth::Pods).await?;
            let pod = seen.pod(instance).ok_or_else(|| ActError::NotFound(self.subject.clone()))?;
            let now = Isolation::of(pod);
            if now.is_some() == isolated {
                return Ok(format!("{instance} is {} already", Facet::Isolated(isolated)));
            }
            if *before != Facet::Isolated(now.is_some()) {
                return Err(conflict(&self.subject, before, Facet::Isolated(now.is_some())));
            }
            let done = match now {
                None => self.take_out(&seen, pod).await?,
                Some(isolation) => self.put_back(&seen, pod, &isolation).await?,
            };
            if let Some(receipt) = done {
                return Ok(receipt);
            }
        }
        Err(self.restless())
    }

    async fn take_out(&self, seen: &Seen, pod: &Pod) -> Result<Option<String>, ActError> {
        let (name, namespace) = (&pod.metadata.name, self.place.namespace.as_deref());
        let ask = Ask::list(&SERVICES, namespace);
        let services = self.api.list::<Service>(ask, MOST_SERVICES).await.map_err(|e| act_error(e, &self.subject))?;
        let hash = (self.place.kind == Kind::Deployment).then_some("pod-template-hash");
        let needed: BTreeSet<&str> = seen.workload.spec.selector.keys().chain(hash).collect();
        let Some(way) = way(pod, &services.items, &needed) else {
            return Err(self.unsupported("no Service selects it, so there is no traffic to take it out of: restart it"));
        };
        let isolation = Isolation { of: whose(&self.place), labels: way.labels.clone() };
        let taken = serde_json::to_string(&isolation).map_err(|e| self.unsupported(&e.to_string()))?;
        let mut labels: Map<String, Value> = way.labels.keys().map(|key| (key.clone(), Value::Null)).collect();
        labels.insert(MARK.to_owned(), json!(mark(&self.place)));
        if !self.relabel(pod, labels, json!(taken)).await? {
            return Ok(None);
        }
        self.wait_for_traffic(pod, &way.services, false, &format!("{name} was relabelled")).await?;
        let taken: Vec<_> = way.labels.keys().cloned().collect();
        let what = format!("{name} is out of {} (without {})", way.services.join(", "), taken.join(", "));
        Ok(Some(match (way.orphans, self.place.kind) {
            (false, _) => what,
            (true, Kind::Deployment) => format!(
                "{what}; that label is also its controller's, so another pod takes its place, and one of them goes when it \
                 is put back"
            ),
            (true, _) => format!(
                "{what}; that label is also its controller's, which cannot make another pod of that name: there is one \
                 less until it is put back"
            ),
        }))
    }

    async fn put_back(&self, seen: &Seen, pod: &Pod, isolation: &Isolation) -> Result<Option<String>, ActError> {
        let name = &pod.metadata.name;
        let mut labels: Map<String, Value> =
            isolation.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        labels.insert(MARK.to_owned(), Value::Null);
        let was_orphan = pod.metadata.controller().is_none();
        if !self.relabel(pod, labels, Value::Null).await? {
            return Ok(None);
        }
        if was_orphan {
            self.wait_for_adoption(seen, pod).await?;
            return Ok(Some(format!(
                "{name} is back: its controller has it again, and lets one pod go if it has too many"
            )));
        }
        if !pod.is_ready() {
            return Ok(Some(format!("{name} is back, and gets traffic once it is ready")));
        }
        let mut whole = pod.clone();
        whole.metadata.labels.extend(isolation.labels.clone());
        let ask = Ask::list(&SERVICES, self.place.namespace.as_deref());
        let services = self.api.list::<Service>(ask, MOST_SERVICES).await.map_err(|e| act_error(e, &self.subject))?;
        let services = way(&whole, &services.items, &BTreeSet::new()).map(|way| way.services).unwrap_or_default();
        self.wait_for_traffic(pod, &services, true, &format!("{name} got its labels back")).await?;
        Ok(Some(format!("{name} is back in {}", services.join(", "))))
    }

    /// Of that very pod, as it was read.
    async fn relabel(&self, pod: &Pod, labels: Map<String, Value>, taken: Value) -> Result<bool, ActError> {
        let meta = &pod.metadata;
        let body = json!({"metadata": {
            "uid": meta.uid, "resourceVersion": meta.resource_version, "labels": labels, "annotations": {TAKEN: taken},
        }});
        let ask = Ask::patch(&PODS, self.place.namespace.as_deref(), &meta.name, body);
        self.change(&ask).await.map(|changed| changed.is_some())
    }

    /// Until the Services send it traffic, or none.
    async fn wait_for_traffic(&self, pod: &Pod, services: &[String], gets: bool, done: &str) -> Result<(), ActError> {
        let labels = format!("{OF_SERVICE} in ({})", services.join(","));
        let look = || -> BoxFuture<'static, Result<Vec<EndpointSlice>, ActError>> {
            let (api, place, labels) = (self.api.clone(), self.place.clone(), labels.clone());
            async move { slices(&api, &place, &labels).await }.boxed()
        };
        let name = pod.metadata.name.as_str();
        let stage = |slices: &Vec<EndpointSlice>| {
            let behind: BTreeSet<&str> = slices
                .iter()
                .filter(|slice| slice.endpoints.iter().any(|e| is_of(e, name) && (!gets || e.is_ready())))
                .filter_map(|slice| slice.metadata.labels.get(OF_SERVICE).map(String::as_str))
                .collect();
            let line = match gets {
                false if behind.is_empty() => return Stage::Done,
                true if services.iter().all(|service| behind.contains(service.as_str())) => return Stage::Done,
                false => format!("{name} is still behind {}", behind.into_iter().collect::<Vec<_>>().join(", ")),
                true => format!("{name} is behind {} of {} Services", behind.len(), services.len()),
            };
            Stage::Going(line, Vec::new())
        };
        self.wait(done, None).until(look, stage).await
    }

    /// Until its controller has it again, or has let it go as one too many.
    async fn wait_for_adoption(&self, seen: &Seen, pod: &Pod) -> Result<(), ActError> {
        let (uid, name) = (pod.metadata.uid.clone(), pod.metadata.name.clone());
        let stage = |seen: &Seen| {
            let found = seen.pods.iter().find(|pod| pod.metadata.uid == uid);
            match found.is_none_or(|pod| pod.metadata.controller().is_some()) {
                true => Stage::Done,
                false => Stage::Going(format!("the controller has not taken {name} back yet"), Vec::new()),
            }
        };
        let selector = seen.workload.spec.selector.query();
        self.wait_for_pods(&format!("{name} got its labels back"), selector, stage).await
    }
}

fn is_of(endpoint: &crate::platform::kubernetes::Endpoint, pod: &str) -> bool {
    endpoint.target_ref.as_ref().is_some_and(|target| target.kind == "Pod" && target.name == pod)
}

/// The slices with these labels.
pub(super) async fn slices(api: &Api, place: &Place, labels: &str) -> Result<Vec<EndpointSlice>, ActError> {
    let ask = Ask::list(&ENDPOINTSLICES, place.namespace.as_deref()).labelled(Some(labels));
    let listed = api.list::<EndpointSlice>(ask, MOST_SERVICES).await;
    listed.map(|listed| listed.items).map_err(|e| act_error(e, &place.in_words()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::from_value;

    fn pod(labels: Value) -> Pod {
        from_value(json!({"metadata": {"name": "web-1", "labels": labels}})).unwrap()
    }

    fn services(selectors: &[(&str, Value)]) -> Vec<Service> {
        let service = |(name, selector): &(&str, Value)| {
            from_value(json!({"metadata": {"name": name}, "spec": {"selector": selector}})).unwrap()
        };
        selectors.iter().map(service).collect()
    }

    fn keys(way: &Way) -> Vec<&str> {
        way.labels.keys().map(String::as_str).collect()
    }

    #[test]
    fn a_label_that_only_services_look_at_goes_first() {
        let pod = pod(json!({"app": "web", "traffic": "on", "pod-template-hash": "1"}));
        let services = services(&[("web", json!({"app": "web", "traffic": "on"})), ("other", json!({"app": "db"}))]);
        let way = way(&pod, &services, &["app", "pod-template-hash"].into()).unwrap();
        assert_eq!((keys(&way), way.orphans), (vec!["traffic"], false));
        assert_eq!(way.services, ["web"]);
    }

    #[test]
    fn where_there_is_none_the_controller_loses_it() {
        let pod = pod(json!({"app": "web", "traffic": "on"}));
        let services = services(&[("both", json!({"app": "web", "traffic": "on"})), ("all", json!({"app": "web"}))]);
        let way = way(&pod, &services, &["app"].into()).unwrap();
        // What takes it out of one takes it out of the other as well.
        assert_eq!((keys(&way), way.orphans), (vec!["app"], true));
    }

    #[test]
    fn a_pod_that_no_service_selects_has_no_traffic_to_be_taken_out_of() {
        let services = services(&[("none", json!({})), ("db", json!({"app": "db"}))]);
        assert_eq!(way(&pod(json!({"app": "web"})), &services, &BTreeSet::new()), None);
    }

    #[test]
    fn a_workload_with_a_name_too_long_for_a_label_has_a_mark_all_the_same() {
        let place = |name: &str| Place::of(&format!("k8s:prod/deployment/{name}").parse().unwrap()).unwrap();
        assert_eq!(mark(&place("web")), "web");
        let long = "w".repeat(100);
        assert_eq!(mark(&place(&long)).len(), 40);
    }
}

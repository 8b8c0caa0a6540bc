//! Shifts traffic between the backends of an HTTPRoute, or the destinations of a VirtualService, by their weights.
//!
//! Each backend that a rule names is an instance; one that several rules name is one instance, and all of them are changed.
//! Called by the actuator.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::errors::{act_error, conflict};
use super::isolate::{OF_SERVICE, slices};
use super::job::{Job, TRIES};
use super::look::count;
use super::owners;
use super::wait::Stage;
use crate::act::ActError;
use crate::model::{ActionKind, Facet, Instance, TargetState};
use crate::platform::kubernetes::{
    Api, Ask, CallError, DESTINATIONRULES_BETA, Kind, Meta, Place, Resource, VIRTUALSERVICES_BETA, shown,
};

/// Most backends of one route that are told.
const MOST_BACKENDS: usize = 200;

/// One mention of a backend in a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mention {
    rule: usize,
    index: usize,
    label: String,
    /// The Service of this namespace that it is, where it is one.
    service: Option<String>,
    weight: u32,
}

/// Where the rules are, and in each its backends.
fn words(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::HttpRoute => ("rules", "backendRefs"),
        _ => ("http", "route"),
    }
}

fn mentions(place: &Place, object: &Value) -> Vec<Mention> {
    let (rules, backends) = words(place.kind);
    let rules = object.pointer(&format!("/spec/{rules}")).and_then(Value::as_array);
    let mut found = Vec::new();
    for (rule, value) in rules.into_iter().flatten().enumerate() {
        let backends: &[Value] = value.get(backends).and_then(Value::as_array).map_or(&[], Vec::as_slice);
        for (index, backend) in backends.iter().enumerate() {
            // Istio: the only destination of a rule gets everything, one of several without a weight gets nothing.
            let default = match place.kind {
                Kind::HttpRoute => 1,
                _ => {
                    if backends.len() == 1 {
                        100
                    } else {
                        0
                    }
                }
            };
            let weight = backend.get("weight").and_then(Value::as_u64).map(|w| u32::try_from(w).unwrap_or(u32::MAX));
            let Some((label, service)) = name(place, backend) else { continue };
            found.push(Mention { rule, index, label, service, weight: weight.unwrap_or(default) });
        }
    }
    // Several ports of one Service in one rule are told apart by the port.
    let key = |m: &Mention| (m.rule, m.label.clone());
    let unique: BTreeSet<_> = found.iter().map(key).collect();
    if unique.len() < found.len() {
        for mention in &mut found {
            let backend =
                object.pointer(&format!("/spec/{}/{}/{backends}/{}", words(place.kind).0, mention.rule, mention.index));
            let port = backend.and_then(|b| b.get("port").or_else(|| b.pointer("/destination/port/number")));
            if let Some(port) = port.and_then(Value::as_u64) {
                mention.label = format!("{}:{port}", mention.label);
            }
        }
    }
    found.truncate(MOST_BACKENDS);
    found
}

/// What a backend is called, and the Service of this namespace that it is.
fn name(place: &Place, backend: &Value) -> Option<(String, Option<String>)> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    if place.kind == Kind::HttpRoute {
        let name = shown(&text(backend, "name")?, 120);
        let is_service = text(backend, "kind").is_none_or(|kind| kind == "Service");
        return Some(match text(backend, "namespace").filter(|ns| *ns != place.namespace()) {
            Some(namespace) => (format!("{}/{name}", shown(&namespace, 63)), None),
            None => (name.clone(), is_service.then_some(name)),
        });
    }
    let destination = backend.get("destination")?;
    let host = text(destination, "host")?;
    let mut parts = host.splitn(3, '.');
    let short = parts.next().map(str::to_owned).filter(|_| {
        parts.next().is_none_or(|ns| ns == place.namespace()) && parts.next().is_none_or(|rest| rest.starts_with("svc"))
    });
    let label = match text(destination, "subset") {
        Some(subset) => format!("{}/{}", shown(&host, 120), shown(&subset, 63)),
        None => shown(&host, 120),
    };
    Some((label, short))
}

/// The weights by backend: the first mention counts.
fn weights(mentions: &[Mention]) -> BTreeMap<String, u32> {
    let mut weights = BTreeMap::new();
    for mention in mentions {
        weights.entry(mention.label.clone()).or_insert(mention.weight);
    }
    weights
}

/// The rules with other weights.
fn with_weights(place: &Place, object: &Value, weights: &BTreeMap<String, u32>) -> Value {
    let (rules, backends) = words(place.kind);
    let mut changed = object.pointer(&format!("/spec/{rules}")).cloned().unwrap_or_default();
    for mention in mentions(place, object) {
        let Some(weight) = weights.get(&mention.label) else { continue };
        let backend = changed.pointer_mut(&format!("/{}/{backends}/{}", mention.rule, mention.index));
        if let Some(backend) = backend.and_then(Value::as_object_mut) {
            backend.insert("weight".to_owned(), json!(weight));
        }
    }
    json!({rules: changed})
}

/// Reads an object of a kind that older clusters know under an older version; says under which.
pub(super) async fn read_dynamic(api: &Api, place: &Place) -> Result<(Value, &'static Resource), CallError> {
    let namespace = place.namespace.as_deref();
    let older = match place.kind {
        Kind::VirtualService => Some(&VIRTUALSERVICES_BETA),
        Kind::DestinationRule => Some(&DESTINATIONRULES_BETA),
        _ => None,
    };
    let newest = place.kind.resource();
    match (api.call::<Value>(&Ask::get(newest, namespace, &place.name)).await, older) {
        (Ok(object), _) => Ok((object, newest)),
        (Err(error), Some(older)) if error.is_not_found() => {
            // When neither is known, the newer one's error says more.
            let object = api.call::<Value>(&Ask::get(older, namespace, &place.name)).await;
            object.map(|object| (object, older)).map_err(|e| if e.is_not_found() { error } else { e })
        }
        (Err(error), _) => Err(error),
    }
}

/// The metadata of an object that is read as it stands.
pub(super) fn meta(object: &Value) -> Meta {
    object.get("metadata").cloned().and_then(|meta| serde_json::from_value(meta).ok()).unwrap_or_default()
}

/// A route as a target's state.
pub(super) async fn observe(api: &Api, place: &Place) -> Result<TargetState, ActError> {
    let subject = place.in_words();
    let (object, _) = read_dynamic(api, place).await.map_err(|e| act_error(e, &subject))?;
    let (mentions, meta) = (mentions(place, &object), meta(&object));
    let weights = weights(&mentions);
    let mut notes = owners::gitops(&subject, &meta);
    let services: BTreeSet<&str> = mentions.iter().filter_map(|m| m.service.as_deref()).collect();
    let serving = match serving(api, place, &services).await {
        Ok(serving) => Some(serving),
        Err(ActError::Denied(why)) => {
            notes.push(format!("whether its backends serve cannot be seen: {why}"));
            None
        }
        Err(error) => return Err(error),
    };
    if place.kind == Kind::VirtualService
        && ["tcp", "tls"].iter().any(|key| object.pointer(&format!("/spec/{key}")).is_some())
    {
        notes.push(format!("only the http routes of {subject} are shown and shifted"));
    }
    let up = |label: &str| {
        let service = mentions.iter().find(|m| m.label == label).and_then(|m| m.service.as_ref());
        // Of what lies elsewhere nothing is known.
        serving.as_ref().zip(service).is_none_or(|(serving, service)| serving.contains(service))
    };
    let instances: Vec<Instance> = weights
        .iter()
        .map(|(name, weight)| Instance {
            name: name.clone(),
            up: up(name),
            isolated: false,
            weight: *weight,
            generation: 0,
        })
        .collect();
    let replicas = count(instances.len());
    Ok(TargetState {
        replicas,
        min_replicas: replicas,
        max_replicas: replicas,
        instances,
        can: [ActionKind::Traffic].into(),
        notes,
        ..TargetState::default()
    })
}

/// Those of these Services that have an endpoint that is ready.
async fn serving(api: &Api, place: &Place, services: &BTreeSet<&str>) -> Result<BTreeSet<String>, ActError> {
    if services.is_empty() {
        return Ok(BTreeSet::new());
    }
    let names: Vec<&str> = services.iter().copied().collect();
    let slices = slices(api, place, &format!("{OF_SERVICE} in ({})", names.join(","))).await?;
    let ready = slices.iter().filter(|slice| slice.endpoints.iter().any(|endpoint| endpoint.is_ready()));
    Ok(ready.filter_map(|slice| slice.metadata.labels.get(OF_SERVICE).cloned()).collect())
}

impl Job<'_> {
    /// Gives backends other weights, if those they have still are `before`.
    pub async fn shift(&self, wanted: &BTreeMap<String, u32>, before: &Facet) -> Result<String, ActError> {
        for _ in 0..TRIES {
            let read = read_dynamic(&self.api, &self.place).await;
            let (object, resource) = read.map_err(|e| act_error(e, &self.subject))?;
            let all = weights(&mentions(&self.place, &object));
            if let Some(missing) = wanted.keys().find(|name| !all.contains_key(*name)) {
                return Err(ActError::NotFound(format!(
                    "the backend {} of {}",
                    shown(missing, 120),
                    self.place.in_words()
                )));
            }
            let now: BTreeMap<_, _> = all.into_iter().filter(|(name, _)| wanted.contains_key(name)).collect();
            if now == *wanted {
                return Ok(format!("{} are so already", self.subject));
            }
            if *before != Facet::Weights(now.clone()) {
                return Err(conflict(&self.subject, before, Facet::Weights(now)));
            }
            let version = meta(&object).resource_version;
            let spec = with_weights(&self.place, &object, wanted);
            let body = json!({"metadata": {"resourceVersion": version}, "spec": spec});
            let ask = Ask::patch(resource, self.place.namespace.as_deref(), &self.place.name, body);
            let Some(changed) = self.change(&ask).await? else { continue };
            let taken_up = self.wait_for_gateways(&changed).await?;
            let (what, now) = (self.place.in_words(), Facet::Weights(wanted.clone()));
            return Ok(format!("{what} sends its traffic to {now}{taken_up}"));
        }
        Err(self.restless())
    }

    /// Until the gateways that had taken up the route have taken up the change.
    async fn wait_for_gateways(&self, changed: &Value) -> Result<&'static str, ActError> {
        if self.place.kind != Kind::HttpRoute {
            return Ok("; the proxies take it up within seconds");
        }
        if parents(changed).is_empty() {
            return Ok("; no gateway says that it takes it up");
        }
        let generation = meta(changed).generation;
        let look = || -> BoxFuture<'static, Result<Value, ActError>> {
            let (api, place) = (self.api.clone(), self.place.clone());
            async move { read_dynamic(&api, &place).await.map(|(v, _)| v).map_err(|e| act_error(e, &place.in_words())) }
                .boxed()
        };
        let stage = |object: &Value| gateways_stage(object, generation);
        self.wait("its weights were changed", None).until(look, stage).await.map(|()| "")
    }
}

/// The conditions of each gateway that has taken up the route.
fn parents(object: &Value) -> Vec<Vec<crate::platform::kubernetes::Condition>> {
    let parents = object.pointer("/status/parents").and_then(Value::as_array);
    let conditions = |parent: &Value| parent.get("conditions").cloned().and_then(|c| serde_json::from_value(c).ok());
    parents.into_iter().flatten().filter_map(conditions).collect()
}

fn gateways_stage(object: &Value, generation: i64) -> Stage {
    let parents = parents(object);
    let accepted = |conditions: &Vec<crate::platform::kubernetes::Condition>| {
        conditions.iter().find(|c| c.kind == "Accepted" && c.observed_generation >= generation).cloned()
    };
    let words: Vec<_> = parents.iter().filter_map(accepted).collect();
    if let Some(refused) = words.iter().find(|c| c.status == "False") {
        return Stage::Stuck(format!("a gateway does not accept it: {}", shown(&refused.message, 300)));
    }
    match words.len() == parents.len() {
        true => Stage::Done,
        false => Stage::Going(format!("{} of {} gateways have taken it up", words.len(), parents.len()), Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Place {
        Place::of(&format!("k8s:prod/{name}").parse().unwrap()).unwrap()
    }

    fn told(place: &Place, object: &Value) -> Vec<(String, u32)> {
        weights(&mentions(place, object)).into_iter().collect()
    }

    #[test]
    fn the_backends_of_all_rules_of_a_route_are_its_instances() {
        let route = json!({"spec": {"rules": [
            {"backendRefs": [{"name": "web-v1", "port": 80, "weight": 90}, {"name": "web-v2", "port": 80}]},
            {"backendRefs": [{"name": "web-v1", "port": 80, "weight": 50}, {"name": "x", "namespace": "other"}]},
            {"filters": []}]}});
        let place = place("httproute/web");
        assert_eq!(told(&place, &route), [("other/x".into(), 1), ("web-v1".into(), 90), ("web-v2".into(), 1)]);
        let changed = with_weights(&place, &route, &[("web-v1".to_owned(), 10)].into());
        assert_eq!(changed.pointer("/rules/0/backendRefs/0/weight"), Some(&json!(10)));
        assert_eq!(changed.pointer("/rules/1/backendRefs/0/weight"), Some(&json!(10)));
        assert_eq!(changed.pointer("/rules/0/backendRefs/1"), Some(&json!({"name": "web-v2", "port": 80})));
        assert_eq!(changed.pointer("/rules/2/filters"), Some(&json!([])));
    }

    #[test]
    fn two_ports_of_one_service_are_told_apart() {
        let route =
            json!({"spec": {"rules": [{"backendRefs": [{"name": "web", "port": 80}, {"name": "web", "port": 81}]}]}});
        assert_eq!(told(&place("httproute/web"), &route), [("web:80".into(), 1), ("web:81".into(), 1)]);
    }

    #[test]
    fn the_destinations_of_a_virtual_service_are_named_with_their_subsets() {
        let service = json!({"spec": {"http": [{"route": [
            {"destination": {"host": "web", "subset": "v1"}, "weight": 80},
            {"destination": {"host": "web.prod.svc.cluster.local", "subset": "v2"}, "weight": 20}]},
            {"route": [{"destination": {"host": "old.other"}}]}]}});
        let place = place("virtualservice/web");
        let expected = [("old.other".into(), 100), ("web.prod.svc.cluster.local/v2".into(), 20), ("web/v1".into(), 80)];
        assert_eq!(told(&place, &service), expected);
        let of: Vec<_> = mentions(&place, &service).into_iter().map(|m| m.service).collect();
        assert_eq!(of, [Some("web".to_owned()), Some("web".to_owned()), None]);
    }

    #[test]
    fn a_change_has_been_taken_up_when_every_gateway_says_so_of_this_version() {
        let route = |observed: i64, status: &str| {
            json!({"status": {"parents": [{"conditions": [{"type": "Accepted", "status": status,
                "observedGeneration": observed, "message": "no such port"}]}]}})
        };
        assert_eq!(gateways_stage(&route(4, "True"), 4), Stage::Done);
        assert!(matches!(gateways_stage(&route(3, "True"), 4), Stage::Going(..)));
        assert!(matches!(gateways_stage(&route(4, "False"), 4), Stage::Stuck(_)));
    }
}

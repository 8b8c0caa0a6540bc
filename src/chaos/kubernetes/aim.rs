//! Where a fault would go: which pods, and what of them the object names.
//!
//! Changes nothing. Must never choose more pods than the blast radius allows, or one that does not serve: there would be
//! nothing to learn. Called by the injector.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::errors::{call, refused};
use super::manifest::Mesh;
use super::pods::{self, Seen};
use super::{Pods, Site};
use crate::chaos::{Aim, InjectError, Wish};
use crate::model::{AimedFault, Fault, FaultKind, TargetState};
use crate::platform::kubernetes::{Ask, Kind, Meta, Place, SERVICES, shown};
use crate::platform::place::is_name;

/// Services of one namespace.
const MOST_SERVICES: usize = 5000;

/// What has to be known later to put the fault in, and to see that the pods are still those that were chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Held {
    /// The chosen pods: name and uid.
    pub pods: BTreeMap<String, String>,
    /// Where it is about a container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Where it is about a port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl Held {
    /// What was written down for this fault.
    pub fn of(fault: &AimedFault) -> Result<Self, InjectError> {
        let held: Self = serde_json::from_value(fault.held.clone())
            .map_err(|_| refused(format!("what is noted of the pods of {} cannot be read: plan anew", fault.target)))?;
        let noted: Vec<&String> = held.pods.keys().collect();
        let mut approved: Vec<&String> = fault.instances.iter().collect();
        approved.sort();
        if approved.is_empty() || noted != approved {
            return Err(refused(format!(
                "the pods of {} that were approved are not those noted: plan anew",
                fault.target
            )));
        }
        Ok(held)
    }

    /// Are the pods still those that were chosen? Those of a StatefulSet keep their name when they are made anew.
    pub fn check(&self, place: &Place, pods: &Pods) -> Result<(), InjectError> {
        for (name, uid) in &self.pods {
            let same = |pod: &&Seen| place.kind == Kind::StatefulSet || pod.metadata.uid == *uid;
            if pods.get(name).filter(same).is_none() {
                return Err(refused(format!("pod {name} is not there any more: plan the experiment anew")));
            }
        }
        Ok(())
    }
}

/// Chooses the pods, and looks up what is needed of them.
pub(super) async fn aim(site: &Site, wish: &Wish<'_>, state: &TargetState) -> Result<Aim, InjectError> {
    let (place, api) = (&site.place, &site.api);
    let chosen = choose(wish, state, place)?;
    let pods = pods::find(api, place.namespace(), &chosen).await?;
    if let Some(gone) = chosen.iter().find(|name| !pods.contains_key(*name)) {
        return Err(refused(format!("pod {gone} went away while it was looked at: try again")));
    }
    let kind = wish.fault.kind();
    let on_the_node = pods.values().find(|pod| pod.spec.host_network);
    if let (Some(pod), Some(Mesh::Network | Mesh::Http)) = (on_the_node, Mesh::of(kind)) {
        return Err(refused(format!(
            "pod {} uses the network of its node (hostNetwork): {kind} would hit everything on that node",
            pod.metadata.name
        )));
    }
    let mut held = Held { pods: uids(&pods), ..Held::default() };
    if matches!(kind, FaultKind::Cpu | FaultKind::MemoryPressure | FaultKind::Crash) {
        held.container = Some(container(&pods)?);
    }
    if kind == FaultKind::Errors {
        held.port = Some(port(site, &pods).await?);
    }
    let (how, undo) = in_words(wish.fault, place, &chosen, &held);
    let held = serde_json::to_value(held).unwrap_or_else(|_| json!({}));
    Ok(Aim { instances: chosen, how, undo, held })
}

fn choose(wish: &Wish<'_>, state: &TargetState, place: &Place) -> Result<Vec<String>, InjectError> {
    let mut serving: Vec<String> =
        state.instances.iter().filter(|i| i.up && !i.isolated).map(|i| i.name.clone()).collect();
    serving.sort();
    let most = wish.radius.of(serving.len());
    if most == 0 {
        return Err(refused(format!(
            "{} of {} serve, and the blast radius lets none of them be hit: scale it up, or widen the radius",
            match serving.len() {
                1 => "1 pod".to_owned(),
                n => format!("{n} pods"),
            },
            place.in_words()
        )));
    }
    if wish.instances.is_empty() {
        fastrand::Rng::with_seed(wish.seed).shuffle(&mut serving);
        serving.truncate(most);
        serving.sort();
        return Ok(serving);
    }
    let mut chosen = wish.instances.to_vec();
    chosen.sort();
    chosen.dedup();
    if let Some(wrong) = chosen.iter().find(|name| !is_name(name)) {
        return Err(refused(format!("`{}` is no name of a pod", shown(wrong, 80))));
    }
    if let Some(absent) = chosen.iter().find(|name| !serving.contains(name)) {
        return Err(refused(format!(
            "{absent} is no pod of {} that serves; those are: {}",
            place.in_words(),
            serving.join(", ")
        )));
    }
    if chosen.len() > most {
        return Err(refused(format!("{} pods are named, and the blast radius allows {most}", chosen.len())));
    }
    Ok(chosen)
}

fn uids(pods: &Pods) -> BTreeMap<String, String> {
    pods.iter().map(|(name, pod)| (name.clone(), pod.metadata.uid.clone())).collect()
}

/// The container that all of them are about.
fn container(pods: &Pods) -> Result<String, InjectError> {
    let mut names: Vec<&str> = pods.values().filter_map(Seen::container).map(|c| c.name.as_str()).collect();
    names.dedup();
    match names.as_slice() {
        [one] if is_name(one) => Ok((*one).to_owned()),
        _ => Err(refused(
            "its pods are not made of the same containers just now: wait for the rollout to end".to_owned(),
        )),
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Service {
    metadata: Meta,
    spec: ServiceSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ServiceSpec {
    selector: Option<BTreeMap<String, String>>,
    ports: Option<Vec<ServicePort>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServicePort {
    name: String,
    protocol: String,
    app_protocol: String,
    port: u16,
    target_port: Option<Target>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Target {
    Number(u16),
    Name(String),
}

/// The port that the HTTP traffic of these pods comes in by: what their Services send to, or else what they name themselves.
async fn port(site: &Site, pods: &Pods) -> Result<u16, InjectError> {
    let ask = Ask::list(&SERVICES, site.place.namespace.as_deref());
    let services = site.api.list::<Service>(ask, MOST_SERVICES).await.map_err(call)?.items;
    let Some(pod) = pods.values().next() else { return Err(refused("no pod was chosen".to_owned())) };
    one_port(&candidates(pod, &services)).map_err(|why| refused(format!("{}: {why}", site.place.in_words())))
}

/// Port, and whether its name says that it is HTTP.
fn candidates(pod: &Seen, services: &[Service]) -> Vec<(u16, bool)> {
    let is_http = |name: &str| name.starts_with("http") && !name.starts_with("https");
    let selects = |service: &&Service| {
        let selector = service.spec.selector.iter().flatten().collect::<Vec<_>>();
        !selector.is_empty() && selector.into_iter().all(|(key, value)| pod.metadata.labels.get(key) == Some(value))
    };
    let behind = services.iter().filter(selects).flat_map(|service| service.spec.ports.iter().flatten());
    let behind = behind.filter(|port| matches!(port.protocol.as_str(), "" | "TCP")).filter_map(|port| {
        let number = match &port.target_port {
            None => port.port,
            Some(Target::Number(number)) => *number,
            Some(Target::Name(name)) => pod.ports().find(|p| p.name == *name)?.container_port,
        };
        Some((number, is_http(&port.name) || is_http(&port.app_protocol)))
    });
    let mut found: Vec<(u16, bool)> = behind.collect();
    if found.is_empty() {
        found = pod.ports().map(|port| (port.container_port, is_http(&port.name))).collect();
    }
    found.retain(|(number, _)| *number > 0);
    found.sort_unstable();
    found.dedup_by_key(|(number, _)| *number);
    found
}

fn one_port(found: &[(u16, bool)]) -> Result<u16, String> {
    let http: Vec<u16> = found.iter().filter(|(_, http)| *http).map(|(number, _)| *number).collect();
    match (found, http.as_slice()) {
        ([], _) => Err("no Service sends to its pods, and they name no port: name its containerPort".to_owned()),
        ([(one, _)], _) | (_, [one]) => Ok(*one),
        (several, _) => {
            let several: Vec<String> = several.iter().map(|(number, _)| number.to_string()).collect();
            Err(format!(
                "which of its ports {} has the HTTP traffic? Call that one http in its Service",
                several.join(", ")
            ))
        }
    }
}

/// How it is put in, and taken out.
fn in_words(fault: &Fault, place: &Place, pods: &[String], held: &Held) -> (String, String) {
    let pods = pods.join(", ");
    let Some(mesh) = Mesh::of(fault.kind()) else {
        return (
            format!("by deleting {pods} in namespace {} (past any disruption budget)", place.namespace()),
            "nothing: its controller makes another pod".to_owned(),
        );
    };
    let what = format!("{} in namespace {}", mesh.kind(), place.namespace());
    let detail = match (fault.kind(), &held.container, held.port) {
        (FaultKind::Crash, Some(container), _) => format!(", which ends the container {container}"),
        (FaultKind::Hang, ..) => ", which puts an image that does nothing in place of its own".to_owned(),
        (_, Some(container), _) => format!(", in the container {container}"),
        (_, _, Some(port)) => format!(", at port {port}"),
        _ => String::new(),
    };
    let undo = match fault.kind() {
        FaultKind::Crash => format!("the kubelet starts the container again; the {} is deleted", mesh.kind()),
        _ => format!(
            "the {} is deleted, and Chaos Mesh cleans up; without Suture it does so at the end of the fault's time",
            mesh.kind()
        ),
    };
    (format!("by Chaos Mesh: {what} on {pods}{detail}"), undo)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::from_value;

    fn pod() -> Seen {
        from_value(json!({
            "metadata": {"name": "web-1", "labels": {"app": "web"}},
            "spec": {"containers": [
                {"name": "app", "ports": [{"name": "web", "containerPort": 8080, "protocol": "TCP"}]},
                {"name": "dns", "ports": [{"containerPort": 53, "protocol": "UDP"}]},
            ]},
        }))
        .unwrap()
    }

    fn services(ports: serde_json::Value) -> Vec<Service> {
        from_value(json!([
            {"spec": {"selector": {"app": "web"}, "ports": ports}},
            {"spec": {"selector": {"app": "db"}, "ports": [{"port": 5432}]}},
            {"spec": {"ports": [{"port": 9}]}},
        ]))
        .unwrap()
    }

    #[test]
    fn the_port_is_the_one_that_services_send_to() {
        let port = |ports| one_port(&candidates(&pod(), &services(ports)));
        assert_eq!(port(json!([{"port": 80, "targetPort": "web"}])), Ok(8080));
        assert_eq!(port(json!([{"port": 80}])), Ok(80));
        assert_eq!(port(json!([{"name": "http", "port": 80, "targetPort": 8080}, {"port": 9090}])), Ok(8080));
        let error = port(json!([{"port": 80}, {"port": 9090}])).unwrap_err();
        assert!(error.contains("80, 9090"), "{error}");
        assert_eq!(one_port(&candidates(&pod(), &[])), Ok(8080));
        assert!(one_port(&[]).is_err());
    }

    #[test]
    fn the_container_is_the_default_one_or_the_first() {
        let mut pod = pod();
        assert_eq!(pod.container().map(|c| c.name.as_str()), Some("app"));
        let key = "kubectl.kubernetes.io/default-container".to_owned();
        pod.metadata.annotations.insert(key, "dns".to_owned());
        assert_eq!(pod.container().map(|c| c.name.as_str()), Some("dns"));
    }
}

//! The pods that a fault is for, read with what an object of Chaos Mesh needs of them.
//!
//! Names come from people and from the platform: what cannot be a name goes into no path. Changes nothing. Called by the
//! injector.

use serde::Deserialize;

use super::Pods;
use super::errors::{call, refused};
use crate::chaos::InjectError;
use crate::platform::kubernetes::{Api, Ask, Meta, PODS, shown};
use crate::platform::place::is_name;

/// A pod; a small part of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Seen {
    pub metadata: Meta,
    pub spec: Spec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    pub host_network: bool,
    pub containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Container {
    pub name: String,
    pub ports: Option<Vec<Port>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Port {
    pub name: String,
    pub container_port: u16,
    pub protocol: String,
}

/// Which container the platform's own tool takes when nobody says which.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

impl Seen {
    /// The container that the pod is about.
    pub fn container(&self) -> Option<&Container> {
        let named = self.metadata.annotations.get(DEFAULT_CONTAINER);
        let named = named.and_then(|name| self.spec.containers.iter().find(|container| container.name == *name));
        named.or_else(|| self.spec.containers.first())
    }

    /// The ports that its containers name, TCP ones alone.
    pub fn ports(&self) -> impl Iterator<Item = &Port> {
        let all = self.spec.containers.iter().filter_map(|container| container.ports.as_ref()).flatten();
        all.filter(|port| matches!(port.protocol.as_str(), "" | "TCP"))
    }
}

/// The pods of these names; one that is not there, or on its way out, is left out.
pub(super) async fn find(api: &Api, namespace: &str, names: &[String]) -> Result<Pods, InjectError> {
    let mut pods = Pods::new();
    for name in names {
        if !is_name(name) {
            return Err(refused(format!("`{}` is no name of a pod", shown(name, 80))));
        }
        // By a list, as everything else here looks at pods: no right more is needed.
        let field = format!("metadata.name={name}");
        let ask = Ask::list(&PODS, Some(namespace)).with_fields(Some(&field));
        let found = api.list::<Seen>(ask, 1).await.map_err(call)?.items.pop();
        if let Some(pod) = found.filter(|pod| pod.metadata.name == *name && !pod.metadata.is_going()) {
            pods.insert(name.clone(), pod);
        }
    }
    Ok(pods)
}

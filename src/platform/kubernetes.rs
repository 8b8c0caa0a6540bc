//! Kubernetes: clusters by name, one client each, made when first asked for and made anew when its credentials are not
//! accepted any more; calls with a bound on everything; what is watched.
//!
//! Must never repeat a request that may have had an effect, or show what a credential plugin printed. Called by the
//! actuator, the source and discovery.

mod ask;
mod call;
mod connect;
mod events;
mod failure;
mod objects;
mod reflect;
mod resource;
mod workloads;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::ClusterSettings;
pub use super::place::{Kind, Place};
pub use ask::{Ask, Verb};
pub use call::{Api, Listed};
use connect::{Slot, Way};
pub use events::{Event, EventKind, Events};
pub use failure::{CallError, Why, shown};
pub use objects::{
    Budget, Condition, ConfigMap, ContainerStatus, Endpoint, EndpointSlice, Hpa, Meta, Node, Owner, Pod, ReplicaSet,
    Selector, Service, Workload, epoch_seconds,
};
pub use reflect::{Reflector, Scope};
pub use resource::{
    CHAOS_MESH, CONFIGMAPS, DEPLOYMENTS, DESTINATIONRULES, DESTINATIONRULES_BETA, ENDPOINTSLICES, HPAS, HTTPCHAOS,
    HTTPROUTES, NETWORKCHAOS, NODES, PDBS, PODCHAOS, PODS, REPLICASETS, Resource, SERVICES, STATEFULSETS, STRESSCHAOS,
    VIRTUALSERVICES, VIRTUALSERVICES_BETA,
};
pub use workloads::{WatchedWorkloads, watch_workloads};

/// Clients, made once for each cluster. Clones share them.
#[derive(Clone)]
pub struct Clusters {
    /// By name; the one without a name is the cluster that we run in, or the current context.
    slots: Arc<BTreeMap<Option<String>, Arc<Slot>>>,
}

impl Default for Clusters {
    fn default() -> Self {
        Self::new(&[], Path::new(""))
    }
}

impl fmt::Debug for Clusters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.slots.keys()).finish()
    }
}

impl Clusters {
    /// The clusters of a config; nothing is connected yet. Paths are relative to `base`.
    #[must_use]
    pub fn new(clusters: &[ClusterSettings], base: &Path) -> Self {
        let named = clusters.iter().map(|cluster| {
            let kubeconfig = cluster.kubeconfig.as_ref().map(|path| base.join(path));
            let way = Way::Kubeconfig { path: kubeconfig, context: cluster.context.clone() };
            let slot = Slot::new(format!("the cluster {}", cluster.name), way);
            (Some(cluster.name.clone()), Arc::new(slot))
        });
        let nameless = (None, Arc::new(Slot::new("the cluster".to_owned(), Way::Inferred)));
        Self { slots: Arc::new(named.chain([nameless]).collect()) }
    }

    /// A client of a cluster: `None` is the cluster that we run in, or the kubeconfig's current context. It repeats
    /// nothing by itself; its callers bound the time of each call.
    ///
    /// # Errors
    /// In words, when there is no such cluster, or no credentials for it.
    pub async fn client(&self, cluster: Option<&str>) -> Result<kube::Client, String> {
        self.slot(cluster)?.client().await.map(|(client, _)| client)
    }

    /// Calls to a cluster. Nothing is connected yet.
    ///
    /// # Errors
    /// In words, when there is no such cluster.
    pub fn api(&self, cluster: Option<&str>) -> Result<Api, String> {
        self.slot(cluster).map(|slot| Api::new(Arc::clone(slot)))
    }

    fn slot(&self, cluster: Option<&str>) -> Result<&Arc<Slot>, String> {
        self.slots.get(&cluster.map(str::to_owned)).ok_or_else(|| {
            let name = cluster.unwrap_or_default();
            format!("there is no cluster `{name}`: define it in the config as [[cluster]] name = \"{name}\"")
        })
    }
}

//! Kubernetes: workloads, traffic rules, settings and nodes, through the API server.
//!
//! Reads before each change and sends what it read along, so that the server refuses what somebody else has changed
//! meanwhile. Must never repeat a change whose outcome is unknown, or touch what access control does not let it: every call
//! is in the table of `rights`. Called by the run executor.

mod configure;
mod errors;
mod holdup;
mod isolate;
mod job;
mod look;
mod owners;
mod restart;
mod rights;
mod scale;
mod traffic;
mod wait;

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{ActError, Actuator, KubernetesSettings, Permission, Progress};
use crate::model::{Action, Facet, TargetId, TargetState};
use crate::platform::kubernetes::{Api, Clusters, Kind, Place};
use job::Job;
use look::{Depth, look};

/// Acts on `k8s:` targets.
#[derive(Debug)]
pub struct KubernetesActuator {
    targets: BTreeMap<TargetId, KubernetesSettings>,
    clusters: Clusters,
}

impl KubernetesActuator {
    /// An actuator for these targets, and with the usual settings for others that were discovered. Nothing is connected yet.
    #[must_use]
    pub fn new(targets: Vec<KubernetesSettings>, clusters: Clusters) -> Self {
        let targets = targets.into_iter().map(|settings| (settings.name.clone(), settings)).collect();
        Self { targets, clusters }
    }

    fn settings(&self, target: &TargetId) -> KubernetesSettings {
        self.targets.get(target).cloned().unwrap_or_else(|| KubernetesSettings::of(target.clone()))
    }

    fn find(&self, target: &TargetId) -> Result<(Api, Place), ActError> {
        let place = Place::of(target).map_err(ActError::Unsupported)?;
        let api = self.clusters.api(place.cluster.as_deref()).map_err(ActError::Unsupported)?;
        Ok((api, place))
    }
}

#[async_trait]
impl Actuator for KubernetesActuator {
    fn kind(&self) -> &'static str {
        "k8s"
    }

    async fn observe(&self, target: &TargetId) -> Result<TargetState, ActError> {
        let ((api, place), settings) = (self.find(target)?, self.settings(target));
        let (api, place) = (&api, &place);
        match place.kind {
            Kind::Deployment | Kind::StatefulSet => {
                look(api, place, Depth::All).await.map(|seen| seen.state(place, &settings))
            }
            Kind::HttpRoute | Kind::VirtualService => traffic::observe(api, place).await,
            Kind::DestinationRule => configure::observe_outlier(api, place).await,
            Kind::ConfigMap => configure::observe_config(api, place, &settings).await,
            Kind::Node => configure::observe_node(api, place).await,
        }
    }

    async fn apply(&self, action: &Action, before: &Facet, _: &str, progress: &Progress) -> Result<String, ActError> {
        let target = action.target();
        let ((api, place), settings) = (self.find(target)?, self.settings(target));
        let job = Job { api, place, settings: &settings, subject: action.subject(), progress };
        match (job.place.kind, action) {
            (Kind::Deployment | Kind::StatefulSet, Action::Scale { to, .. }) => job.scale(*to, before).await,
            (Kind::Deployment | Kind::StatefulSet, Action::Bounds { min, max, .. }) => match *before {
                Facet::Bounds { min: from, max: to } => job.set_bounds((*min, *max), (from, to)).await,
                _ => Err(job.unsupported("the bounds of an autoscaler are changed from bounds")),
            },
            (Kind::Deployment | Kind::StatefulSet, Action::Restart { instance, .. }) => {
                job.restart(instance, before).await
            }
            (Kind::Deployment | Kind::StatefulSet, Action::Rollout { .. }) => job.roll_out(before).await,
            (Kind::Deployment | Kind::StatefulSet, Action::Isolate { instance, isolated, .. }) => {
                job.isolate(instance, *isolated, before).await
            }
            (Kind::HttpRoute | Kind::VirtualService, Action::Shift { weights, .. }) => job.shift(weights, before).await,
            (Kind::DestinationRule, Action::Configure { setting, value, .. }) => {
                job.set_outlier(setting, value, before).await
            }
            (Kind::ConfigMap, Action::Configure { setting, value, .. }) => job.set_key(setting, value, before).await,
            (Kind::ConfigMap, Action::Cache { ttl_ms, .. }) => job.set_lifetime(*ttl_ms, before).await,
            (Kind::Node, Action::Isolate { instance, isolated, .. }) if *instance == job.place.name => {
                job.cordon(*isolated, before).await
            }
            (kind, _) => Err(ActError::Unsupported(format!("{target} {}", what_it_can(kind)))),
        }
    }

    async fn permissions(&self, target: &TargetId) -> Result<Vec<Permission>, ActError> {
        let (api, place) = self.find(target)?;
        rights::permissions(&api, &place).await
    }
}

/// For who asked for something else.
fn what_it_can(kind: Kind) -> &'static str {
    match kind {
        Kind::Deployment | Kind::StatefulSet => {
            "can be scaled and rolled out, and its pods restarted and isolated; traffic is shifted on an httproute or a \
             virtualservice, settings are a configmap's or a destinationrule's"
        }
        Kind::HttpRoute | Kind::VirtualService => {
            "can have its traffic shifted, and nothing else; scale and restart the deployments behind it"
        }
        Kind::DestinationRule => "can have its outlier detection configured, and nothing else",
        Kind::ConfigMap => {
            "can have its keys and the lifetime of cached answers set, and nothing else; roll out what reads it"
        }
        Kind::Node => "can be isolated (cordoned) and taken back, and nothing else",
    }
}

//! Kubernetes.

use async_trait::async_trait;

use super::{ActError, Actuator, KubernetesSettings, Progress};
use crate::model::{Action, Facet, TargetId, TargetState};
use crate::platform::kubernetes::Clusters;

/// Acts on `k8s:` targets.
#[derive(Debug)]
pub struct KubernetesActuator;

impl KubernetesActuator {
    /// An actuator for these targets. Nothing is connected yet.
    #[must_use]
    pub fn new(_targets: Vec<KubernetesSettings>, _clusters: Clusters) -> Self {
        Self
    }
}

#[async_trait]
impl Actuator for KubernetesActuator {
    fn kind(&self) -> &'static str {
        "k8s"
    }

    async fn observe(&self, target: &TargetId) -> Result<TargetState, ActError> {
        Err(ActError::NotFound(target.to_string()))
    }

    async fn apply(&self, action: &Action, _: &Facet, _: &str, _: &Progress) -> Result<String, ActError> {
        Err(ActError::NotFound(action.target().to_string()))
    }
}

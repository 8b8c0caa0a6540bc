//! HAProxy.

use async_trait::async_trait;

use super::{ActError, Actuator, HaproxySettings, Progress};
use crate::model::{Action, Facet, TargetId, TargetState};

/// Acts on `haproxy:` targets.
#[derive(Debug)]
pub struct HaproxyActuator;

impl HaproxyActuator {
    /// An actuator for these targets. Nothing is connected yet.
    #[must_use]
    pub fn new(_targets: Vec<HaproxySettings>) -> Self {
        Self
    }
}

#[async_trait]
impl Actuator for HaproxyActuator {
    fn kind(&self) -> &'static str {
        "haproxy"
    }

    async fn observe(&self, target: &TargetId) -> Result<TargetState, ActError> {
        Err(ActError::NotFound(target.to_string()))
    }

    async fn apply(&self, action: &Action, _: &Facet, _: &str, _: &Progress) -> Result<String, ActError> {
        Err(ActError::NotFound(action.target().to_string()))
    }
}

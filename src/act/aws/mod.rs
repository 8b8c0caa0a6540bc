//! AWS.

use async_trait::async_trait;

use super::{ActError, Actuator, AsgSettings, ElbSettings, Progress};
use crate::model::{Action, Facet, TargetId, TargetState};
use crate::platform::aws::Accounts;

/// Acts on `asg:` targets.
#[derive(Debug)]
pub struct AsgActuator;

impl AsgActuator {
    /// An actuator for these targets. Nothing is connected yet.
    #[must_use]
    pub fn new(_targets: Vec<AsgSettings>, _accounts: Accounts) -> Self {
        Self
    }
}

#[async_trait]
impl Actuator for AsgActuator {
    fn kind(&self) -> &'static str {
        "asg"
    }

    async fn observe(&self, target: &TargetId) -> Result<TargetState, ActError> {
        Err(ActError::NotFound(target.to_string()))
    }

    async fn apply(&self, action: &Action, _: &Facet, _: &str, _: &Progress) -> Result<String, ActError> {
        Err(ActError::NotFound(action.target().to_string()))
    }
}

/// Acts on `elb:` targets.
#[derive(Debug)]
pub struct ElbActuator;

impl ElbActuator {
    /// An actuator for these targets. Nothing is connected yet.
    #[must_use]
    pub fn new(_targets: Vec<ElbSettings>, _accounts: Accounts) -> Self {
        Self
    }
}

#[async_trait]
impl Actuator for ElbActuator {
    fn kind(&self) -> &'static str {
        "elb"
    }

    async fn observe(&self, target: &TargetId) -> Result<TargetState, ActError> {
        Err(ActError::NotFound(target.to_string()))
    }

    async fn apply(&self, action: &Action, _: &Facet, _: &str, _: &Progress) -> Result<String, ActError> {
        Err(ActError::NotFound(action.target().to_string()))
    }
}

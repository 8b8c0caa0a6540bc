//! Redis.

use async_trait::async_trait;

use super::{ActError, Actuator, Progress, RedisSettings};
use crate::model::{Action, Facet, TargetId, TargetState};

/// Acts on `redis:` targets.
#[derive(Debug)]
pub struct RedisActuator;

impl RedisActuator {
    /// An actuator for these targets. Nothing is connected yet.
    #[must_use]
    pub fn new(_targets: Vec<RedisSettings>) -> Self {
        Self
    }
}

#[async_trait]
impl Actuator for RedisActuator {
    fn kind(&self) -> &'static str {
        "redis"
    }

    async fn observe(&self, target: &TargetId) -> Result<TargetState, ActError> {
        Err(ActError::NotFound(target.to_string()))
    }

    async fn apply(&self, action: &Action, _: &Facet, _: &str, _: &Progress) -> Result<String, ActError> {
        Err(ActError::NotFound(action.target().to_string()))
    }
}

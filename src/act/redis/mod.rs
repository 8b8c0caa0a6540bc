//! The `redis:` target: a Redis server, or one that speaks its protocol (Valkey, KeyDB).
//!
//! It changes a few settings of memory and eviction, the key that says how long the service caches its answers, and
//! throws entries away by the prefix of their keys. Must never run a command of somebody else's, read what is stored
//! under other keys, touch persistence, replication or users, or write the server's config file.

mod fault;
mod flush;
mod info;
mod knobs;
mod link;
mod rights;
mod server;
mod ttl;

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{ActError, Actuator, Permission, Progress, RedisSettings};
use crate::model::{Action, Facet, TargetId, TargetState};
use link::Linker;

/// Acts on `redis:` targets.
#[derive(Debug)]
pub struct RedisActuator {
    servers: BTreeMap<TargetId, Linker>,
}

impl RedisActuator {
    /// An actuator for these targets. Nothing is connected yet.
    #[must_use]
    pub fn new(targets: Vec<RedisSettings>) -> Self {
        Self { servers: targets.into_iter().map(|settings| (settings.name.clone(), Linker::new(settings))).collect() }
    }

    fn server(&self, target: &TargetId) -> Result<&Linker, ActError> {
        self.servers.get(target).ok_or_else(|| ActError::NotFound(target.to_string()))
    }
}

#[async_trait]
impl Actuator for RedisActuator {
    fn kind(&self) -> &'static str {
        "redis"
    }

    async fn observe(&self, target: &TargetId) -> Result<TargetState, ActError> {
        server::observe(self.server(target)?).await
    }

    async fn apply(&self, action: &Action, before: &Facet, _: &str, progress: &Progress) -> Result<String, ActError> {
        let target = action.target();
        let server = self.server(target)?;
        match action {
            Action::Configure { setting, value, .. } => server::configure(server, action, setting, value, before).await,
            Action::Cache { ttl_ms, .. } => ttl::set(server, action, *ttl_ms, before).await,
            Action::Flush { prefix, .. } => flush::flush(server, action, prefix, before, progress).await,
            Action::Scale { .. } | Action::Bounds { .. } | Action::Restart { .. } | Action::Rollout { .. } => {
                Err(ActError::Unsupported(format!(
                    "{target} is one server that Suture talks to and does not run: name what runs it as a target of its own"
                )))
            }
            Action::Shift { .. } | Action::Isolate { .. } => Err(ActError::Unsupported(format!(
                "{target} is one server: there is no traffic to move; change where the service looks for it"
            ))),
        }
    }

    async fn permissions(&self, target: &TargetId) -> Result<Vec<Permission>, ActError> {
        rights::permissions(self.server(target)?).await
    }
}

#[cfg(test)]
mod tests;

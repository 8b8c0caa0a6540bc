//! The `haproxy:` target: a backend of a HAProxy, through its runtime API (a unix socket, or a port of this machine).
//!
//! Instances are the servers of the backend. Their weights can be changed, and whether they are ready, draining or in
//! maintenance. Must never change haproxy.cfg, or send a command that is none of these. What it changes lasts until
//! HAProxy is reloaded.

mod actions;
mod backend;
mod servers;
mod socket;

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{ActError, Actuator, HaproxySettings, Permission, Progress};
use crate::model::{Action, Facet, TargetId, TargetState};
use backend::{Backend, Level, notes_of, state_of};

/// Acts on `haproxy:` targets.
#[derive(Debug)]
pub struct HaproxyActuator {
    backends: BTreeMap<TargetId, Backend>,
}

impl HaproxyActuator {
    /// An actuator for these targets. Nothing is connected yet.
    #[must_use]
    pub fn new(targets: Vec<HaproxySettings>) -> Self {
        Self { backends: targets.into_iter().map(|settings| (settings.name.clone(), Backend::new(settings))).collect() }
    }

    fn backend(&self, target: &TargetId) -> Result<&Backend, ActError> {
        self.backends.get(target).ok_or_else(|| ActError::NotFound(target.to_string()))
    }
}

#[async_trait]
impl Actuator for HaproxyActuator {
    fn kind(&self) -> &'static str {
        "haproxy"
    }

    async fn observe(&self, target: &TargetId) -> Result<TargetState, ActError> {
        let backend = self.backend(target)?;
        let servers = backend.servers().await?;
        let balance = backend.statistics().await?.balance;
        let level = backend.level().await?;
        Ok(TargetState { notes: notes_of(target.name(), &servers, balance.as_deref(), &level), ..state_of(&servers) })
    }

    async fn apply(&self, action: &Action, before: &Facet, _: &str, progress: &Progress) -> Result<String, ActError> {
        self.backend(action.target())?.act(action, before, progress).await
    }

    async fn permissions(&self, target: &TargetId) -> Result<Vec<Permission>, ActError> {
        let backend = self.backend(target)?;
        backend.servers().await?;
        let allowed = match backend.level().await? {
            Level::Admin => Some(true),
            Level::Less(_) => Some(false),
            Level::Untold => None,
        };
        let permission = |what: &str, name: &str, allowed| Permission {
            what: what.to_owned(),
            name: format!("{name} on the runtime socket"),
            allowed,
        };
        Ok(vec![
            permission("look", "show servers state, show stat", Some(true)),
            permission("traffic", "set weight (level admin)", allowed),
            permission("isolate, configure", "set server state (level admin)", allowed),
        ])
    }
}

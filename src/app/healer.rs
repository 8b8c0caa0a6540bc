//! The engine's ports to rules, playbooks and grants, filled with the component catalogue and the config.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::registry::Registry;
use crate::config::{Config, Live};
use crate::engine::{Asked, Failed, Healer, Permits};
use crate::model::{Action, ActionKind, Args, Digest, Role, TargetId, TargetState, Timestamp};
use crate::wasm::{Component, HostError, IncidentView, Playbook, Ran, RunError, World};

/// Rules and playbooks as components.
pub(super) struct CatalogHealer {
    pub registry: Arc<Registry>,
    pub live: Arc<Live>,
}

impl CatalogHealer {
    /// A version of a playbook, whether it is in use or was replaced since a plan named it.
    async fn version(&self, playbook: &str, component: Digest) -> Option<Playbook> {
        match self.registry.version(Role::Playbook, playbook, component).await? {
            Component::Playbook(playbook) => Some(playbook),
            Component::Rule(_) => None,
        }
    }
}

#[async_trait]
impl Healer for CatalogHealer {
    async fn propose(&self, view: &IncidentView, off: &BTreeSet<Digest>) -> Result<Asked, String> {
        let config = self.live.get();
        let Some(service) = config.service(&view.service) else {
            return Err(format!("service `{}` is not in the config", view.service));
        };
        let mut asked = Asked::default();
        let catalog = self.registry.catalog();
        for rule in catalog.rules().filter(|r| service.uses_rule(r.name()) && !off.contains(&r.digest())) {
            let ran = rule.propose(view.clone()).await;
            asked.transcripts.push(ran.transcript(rule.name(), rule.digest()));
            match ran.result {
                Ok(list) => asked.proposals.extend(list),
                Err(error) => asked.failed.push(Failed {
                    name: rule.name().to_owned(),
                    component: rule.digest(),
                    why: error.to_string(),
                    fault: error.is_fault(),
                }),
            }
        }
        // What may change nothing here need not be proposed: it would only be denied.
        let may_act = |playbook: &str| {
            let granted = |target| !config.grants.kinds_on(playbook, target).is_empty();
            service.targets.iter().any(granted)
        };
        asked.proposals.retain(|p| service.uses_playbook(&p.playbook) && may_act(&p.playbook));
        Ok(asked)
    }

    fn component(&self, playbook: &str) -> Option<Digest> {
        self.registry.catalog().playbook(playbook).map(Playbook::digest)
    }

    fn imports(&self, playbook: &str) -> BTreeSet<ActionKind> {
        let catalog = self.registry.catalog();
        catalog.playbook(playbook).map(|p| p.wants().clone()).unwrap_or_default()
    }

    async fn has(&self, playbook: &str, component: Digest) -> bool {
        !self.registry.is_pinned_out(playbook, component) && self.version(playbook, component).await.is_some()
    }

    async fn remediate(
        &self,
        playbook: &str,
        component: Digest,
        view: &IncidentView,
        args: &Args,
        world: Box<dyn World>,
        wall: Duration,
    ) -> Ran<String> {
        let Some(found) = self.version(playbook, component).await else {
            return Ran::never(RunError::Failed(format!("playbook `{playbook}` is not there in this version")));
        };
        let ran = found.remediate(view.clone(), args, world, wall).await;
        for line in &ran.log {
            tracing::info!(playbook, level = ?line.level, "{}", line.message);
        }
        ran
    }

    fn wall(&self, acting: bool) -> Duration {
        let limits = self.registry.limits();
        if acting { limits.wall_acting } else { limits.wall_dry_run }
    }

    async fn verify(
        &self,
        playbook: &str,
        component: Digest,
        view: &IncidentView,
        args: &Args,
    ) -> Option<Ran<Result<(), String>>> {
        let found = self.version(playbook, component).await?;
        found.verify(view.clone(), args).await
    }
}

/// The operator's grants.
pub(super) struct ConfigPermits(pub Arc<Config>);

impl Permits for ConfigPermits {
    fn check(&self, playbook: &str, action: &Action, state: &TargetState, now: Timestamp) -> Result<(), HostError> {
        self.0.grants.check(playbook, action, state, now).map_err(|denial| HostError::Denied {
            capability: denial.capability,
            target: denial.target,
            hint: denial.hint,
        })
    }

    fn actions_per_hour(&self, playbook: &str, target: &TargetId) -> Option<u32> {
        self.0.grants.actions_per_hour(playbook, target)
    }

    fn in_words(&self, playbook: &str, targets: &[TargetId], imports: &BTreeSet<ActionKind>) -> Vec<String> {
        self.0.grants.in_words(playbook, targets, imports)
    }
}

//! The engine's ports to rules, playbooks and grants, filled with the component catalogue and the config.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::config::Config;
use crate::engine::{Healer, Permits};
use crate::model::{Action, Args, Digest, HostCall, Proposal, TargetId, TargetState};
use crate::wasm::{Catalog, HostError, IncidentView, World};

/// Rules and playbooks as components.
pub(super) struct CatalogHealer {
    pub catalog: Arc<Catalog>,
    pub config: Arc<Config>,
}

#[async_trait]
impl Healer for CatalogHealer {
    async fn propose(&self, view: &IncidentView) -> Result<Vec<Proposal>, String> {
        let Some(service) = self.config.service(&view.service) else {
            return Err(format!("service `{}` is not in the config", view.service));
        };
        let (mut proposals, mut failed) = (Vec::new(), Vec::new());
        for rule in self.catalog.rules().filter(|r| service.uses_rule(r.name())) {
            let ran = rule.propose(view.clone()).await;
            match ran.result {
                Ok(list) => proposals.extend(list),
                Err(error) => {
                    tracing::warn!(rule = rule.name(), %error, "a rule gave no answer");
                    failed.push(format!("rule {}: {error}", rule.name()));
                }
            }
        }
        // What may change nothing here need not be proposed: it would only be denied.
        let may_act = |playbook: &str| {
            let granted = |target| !self.config.grants.kinds_on(playbook, target).is_empty();
            service.targets.iter().any(granted)
        };
        proposals.retain(|p| service.uses_playbook(&p.playbook) && may_act(&p.playbook));
        if proposals.is_empty() && !failed.is_empty() { Err(failed.join("; ")) } else { Ok(proposals) }
    }

    async fn remediate(
        &self,
        playbook: &str,
        view: &IncidentView,
        args: &Args,
        world: Box<dyn World>,
        wall: Duration,
    ) -> (Result<(), String>, Vec<HostCall>) {
        let Some(component) = self.catalog.playbook(playbook) else {
            return (Err(format!("there is no playbook `{playbook}`")), Vec::new());
        };
        let ran = component.remediate(view.clone(), args, world, wall).await;
        for line in &ran.log {
            tracing::info!(playbook, level = ?line.level, "{}", line.message);
        }
        (ran.result.map(|_| ()).map_err(|e| e.to_string()), ran.calls)
    }

    fn component(&self, playbook: &str) -> Option<Digest> {
        self.catalog.playbook(playbook).map(crate::wasm::Playbook::digest)
    }
}

/// The operator's grants.
pub(super) struct ConfigPermits(pub Arc<Config>);

impl Permits for ConfigPermits {
    fn check(&self, playbook: &str, action: &Action, state: &TargetState) -> Result<(), HostError> {
        self.0.grants.check(playbook, action, state).map_err(|denial| HostError::Denied {
            capability: denial.capability,
            target: denial.target,
            hint: denial.hint,
        })
    }

    fn actions_per_hour(&self, playbook: &str, target: &TargetId) -> Option<u32> {
        self.0.grants.actions_per_hour(playbook, target)
    }

    fn in_words(&self, playbook: &str, targets: &[TargetId]) -> Vec<String> {
        self.0.grants.in_words(playbook, targets)
    }
}

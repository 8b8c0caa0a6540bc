//! Playbooks and rules in plain Rust, so that the engine can be tested without a compiler of components.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use suture::engine::{Asked, Healer, Permits};
use suture::model::{Action, ActionKind, Args, Digest, Proposal, TargetId, TargetState, Timestamp};
use suture::wasm::{HostError, IncidentView, Ran, RunError, World};

/// Proposes the playbooks it is given, in order.
pub struct FakeHealer {
    pub proposals: Vec<&'static str>,
}

#[async_trait]
impl Healer for FakeHealer {
    async fn propose(&self, _: &IncidentView, _: &BTreeSet<Digest>) -> Result<Asked, String> {
        let proposal = |name: &&str| Proposal {
            playbook: (*name).to_owned(),
            args: Args::new(),
            why: "the test says so".to_owned(),
            rule: "fake".to_owned(),
        };
        Ok(Asked { proposals: self.proposals.iter().map(proposal).collect(), ..Asked::default() })
    }

    fn component(&self, playbook: &str) -> Option<Digest> {
        Some(Digest::of(playbook.as_bytes()))
    }

    async fn has(&self, playbook: &str, component: Digest) -> bool {
        self.component(playbook) == Some(component)
    }

    async fn remediate(
        &self,
        playbook: &str,
        _: Digest,
        view: &IncidentView,
        _: &Args,
        mut world: Box<dyn World>,
        _: std::time::Duration,
    ) -> Ran<String> {
        let target = view.targets[0].0.clone();
        let result = run(playbook, &target, world.as_mut()).await;
        let result = result.map(|()| String::new()).map_err(|e| match e {
            HostError::NotFound(why) if why.starts_with("a bug") => RunError::Trapped(why),
            e => RunError::Failed(format!("{playbook} failed: {e}")),
        });
        Ran { result, calls: Vec::new(), log: Vec::new(), log_dropped: 0, fuel: 1, notes: None }
    }

    async fn verify(&self, playbook: &str, _: Digest, _: &IncidentView, _: &Args) -> Option<Ran<Result<(), String>>> {
        let result = Ok(Err("the queue is not empty".to_owned()));
        let ran = Ran { result, calls: Vec::new(), log: Vec::new(), log_dropped: 0, fuel: 1, notes: None };
        (playbook == "doubts").then_some(ran)
    }
}

async fn run(playbook: &str, target: &TargetId, world: &mut dyn World) -> Result<(), HostError> {
    let state = world.observe(target).await?;
    let scale = |to| Action::Scale { target: target.clone(), to };
    match playbook {
        // Three steps, looking in between, so that there is something to be cut in the middle.
        "scale-and-cache" => {
            world.act(scale(state.replicas + 1)).await?;
            let state = world.observe(target).await?;
            world.act(scale(state.replicas + 1)).await?;
            world.act(Action::Cache { target: target.clone(), ttl_ms: 30_000 }).await?;
        }
        "no-help" => {
            world.act(Action::Cache { target: target.clone(), ttl_ms: 5_000 }).await?;
            world.act(Action::Isolate { target: target.clone(), instance: "shop-1".into(), isolated: true }).await?;
        }
        "restart" => {
            world.act(Action::Restart { target: target.clone(), instance: "shop-2".into() }).await?;
        }
        "doubts" => {
            world.act(scale(4)).await?;
        }
        "crashes" => return Err(HostError::NotFound("a bug".into())),
        "nothing" => {}
        "denied" => {
            // Swallows the denial: the host does not.
            let _ = world.act(scale(99)).await;
        }
        other => return Err(HostError::NotFound(format!("playbook {other}"))),
    }
    Ok(())
}

/// Everything is allowed but a scale to 99.
pub struct AnyPermit;

impl Permits for AnyPermit {
    fn check(&self, _: &str, action: &Action, _: &TargetState, _: Timestamp) -> Result<(), HostError> {
        match action {
            Action::Scale { target, to: 99 } => Err(HostError::Denied {
                capability: "scale".into(),
                target: target.to_string(),
                hint: "not to 99".into(),
            }),
            _ => Ok(()),
        }
    }

    fn actions_per_hour(&self, _: &str, _: &TargetId) -> Option<u32> {
        None
    }

    fn in_words(&self, _: &str, _: &[TargetId], _: &BTreeSet<ActionKind>) -> Vec<String> {
        vec!["may do anything".into()]
    }
}

/// The targets of the one service there is.
pub fn services() -> BTreeMap<suture::model::ServiceId, Vec<TargetId>> {
    BTreeMap::from([("shop".into(), vec!["fake:shop".parse().unwrap()])])
}

//! The worlds of a replay: one that answers strictly from a record, and targets that stay as they were recorded.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Notify;

use crate::act::{ActError, Actuator, Progress};
use crate::model::{Action, Facet, HostCall, TargetId, TargetState, Transcript};
use crate::wasm::{HostError, IncidentView, LOOKS, World};

/// An answer as a record has it.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer<T> {
    Ok(T),
    Error(HostError),
}

/// Answers each call as the record has it at that place, and no call that is not there.
pub(super) struct RecordedWorld {
    calls: Vec<HostCall>,
    place: usize,
    cut: Arc<Notify>,
}

impl RecordedWorld {
    pub(super) fn of(ran: &Transcript) -> Self {
        Self { calls: ran.calls.clone(), place: 0, cut: Arc::default() }
    }

    /// The recorded answer, if the call at this place is of one of these names. Whether it is exactly that call, and
    /// with the same arguments, is seen by whoever compares the calls: the record has them shortened and cleaned, so they
    /// are not compared here.
    async fn answer<T: DeserializeOwned>(&self, names: &[&str]) -> Result<T, HostError> {
        let Some(call) = self.calls.get(self.place).filter(|call| names.contains(&call.call.as_str())) else {
            return Err(HostError::Conflict("the record has no such call at this place".to_owned()));
        };
        if call.output.is_null() {
            // There was no answer before the deadline. It is not waited for a second time.
            self.cut.notify_one();
            return std::future::pending().await;
        }
        match serde_json::from_value(call.output.clone()) {
            Ok(Answer::Ok(answer)) => Ok(answer),
            Ok(Answer::Error(error)) => Err(error),
            Err(error) => Err(HostError::Unavailable(format!("the recorded answer cannot be read: {error}"))),
        }
    }
}

#[async_trait]
impl World for RecordedWorld {
    async fn observe(&mut self, _: &TargetId) -> Result<TargetState, HostError> {
        self.answer(&LOOKS).await
    }

    async fn act(&mut self, action: Action) -> Result<String, HostError> {
        self.answer(&[name_of(&action)]).await
    }

    fn asked(&mut self, place: usize) {
        self.place = place;
    }

    fn cut(&self) -> Option<Arc<Notify>> {
        Some(Arc::clone(&self.cut))
    }
}

/// How a call for this action is called in a record.
fn name_of(action: &Action) -> &'static str {
    match action {
        Action::Scale { .. } => "scale.set-replicas",
        Action::Restart { .. } => "restart.restart-instance",
        Action::Shift { .. } => "traffic.set-weights",
        Action::Isolate { .. } => "isolate.set-isolated",
        Action::Cache { .. } => "cache.set-ttl",
        Action::Rollout { .. } => "rollout.roll-out",
        Action::Configure { .. } => "configure.set",
        Action::Flush { .. } => "flush.by-prefix",
        // No component asks for it.
        Action::Bounds { .. } => "bounds",
    }
}

/// The action that a recorded call asks for; `None` when it is no action, or one that cannot be read.
pub(super) fn action_of(call: &HostCall) -> Option<Action> {
    let input = &call.input;
    let target: TargetId = serde_json::from_value(input.get("target")?.clone()).ok()?;
    let text = |key: &str| Some(input.get(key)?.as_str()?.to_owned());
    let instance = || text("instance");
    let number = |key: &str| input.get(key)?.as_u64();
    Some(match call.call.as_str() {
        "scale.set-replicas" => Action::Scale { target, to: u32::try_from(number("to")?).ok()? },
        "restart.restart-instance" => Action::Restart { target, instance: instance()? },
        "traffic.set-weights" => {
            let shares: Vec<(String, u32)> = serde_json::from_value(input.get("shares")?.clone()).ok()?;
            Action::Shift { target, weights: shares.into_iter().collect() }
        }
        "isolate.set-isolated" => {
            Action::Isolate { target, instance: instance()?, isolated: input.get("isolated")?.as_bool()? }
        }
        "cache.set-ttl" => Action::Cache { target, ttl_ms: number("ttl_ms")? },
        "rollout.roll-out" => Action::Rollout { target },
        "configure.set" => Action::Configure { target, setting: text("setting")?, value: text("value")? },
        "flush.by-prefix" => Action::Flush { target, prefix: text("prefix")? },
        _ => return None,
    })
}

/// The answers to looks at targets, in order.
pub(super) fn looks(ran: &Transcript) -> impl Iterator<Item = &Value> {
    ran.calls.iter().filter(|call| LOOKS.contains(&call.call.as_str())).map(|call| &call.output)
}

/// The targets as they were when a playbook looked at them; those that it did not look at as it was told of them.
pub(super) fn states(view: &IncidentView, ran: Option<&Transcript>) -> BTreeMap<TargetId, TargetState> {
    let mut states: BTreeMap<_, _> = view.targets.iter().cloned().collect();
    let mut settled = std::collections::BTreeSet::new();
    for call in ran.map(|ran| ran.calls.as_slice()).unwrap_or_default() {
        // After an action a look shows the overlay, not the target.
        let target = call.input.get("target").and_then(|t| serde_json::from_value::<TargetId>(t.clone()).ok());
        let Some(target) = target.filter(|target| settled.insert(target.clone())) else { continue };
        if LOOKS.contains(&call.call.as_str())
            && let Ok(Answer::Ok(state)) = serde_json::from_value(call.output.clone())
        {
            states.insert(target, state);
        }
    }
    states
}

/// Targets that are as they were recorded, of whatever kind; nothing can be done to them.
pub(super) struct RecordedTargets(pub(super) BTreeMap<TargetId, TargetState>);

#[async_trait]
impl Actuator for RecordedTargets {
    fn kind(&self) -> &'static str {
        "recorded"
    }

    async fn observe(&self, target: &TargetId) -> Result<TargetState, ActError> {
        self.0.get(target).cloned().ok_or_else(|| ActError::NotFound(target.to_string()))
    }

    async fn apply(&self, action: &Action, _: &Facet, _: &str, _: &Progress) -> Result<String, ActError> {
        Err(ActError::Unsupported(format!("{action}: a replay changes nothing")))
    }
}

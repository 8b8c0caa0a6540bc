//! A stateful fake of a platform: it compares *before*, counts effects, and can be cut off in the middle.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use suture::act::{ActError, Actuator, Progress};
use suture::model::{Action, Facet, Instance, TargetId, TargetState};

use super::Cut;

#[derive(Default)]
pub struct Inner {
    pub targets: BTreeMap<TargetId, TargetState>,
    /// Every effect that really happened, with its key.
    pub effects: Vec<(String, Action)>,
    /// Answers that get lost: the next n effects happen, and nobody hears of it.
    pub lose_answers: usize,
    /// The next n looks fail.
    pub blind: usize,
    /// Actions of these subjects are refused.
    pub refuse: Vec<String>,
}

pub struct FakeCluster {
    pub inner: Arc<Mutex<Inner>>,
    pub cut: Arc<Cut>,
}

pub fn shop(replicas: u32) -> TargetState {
    TargetState {
        replicas,
        min_replicas: 1,
        max_replicas: 8,
        instances: (1..=replicas)
            .map(|n| Instance { name: format!("shop-{n}"), up: true, isolated: false, weight: 100, generation: 0 })
            .collect(),
        cache_ttl_ms: Some(1_000),
        ..TargetState::default()
    }
}

#[async_trait]
impl Actuator for FakeCluster {
    fn kind(&self) -> &'static str {
        "fake"
    }

    async fn observe(&self, target: &TargetId) -> Result<TargetState, ActError> {
        let mut inner = self.inner.lock().unwrap();
        if inner.blind > 0 {
            inner.blind -= 1;
            return Err(ActError::Unavailable(target.to_string(), "cut off".into()));
        }
        inner.targets.get(target).cloned().ok_or_else(|| ActError::NotFound(target.to_string()))
    }

    async fn apply(&self, action: &Action, before: &Facet, key: &str, _: &Progress) -> Result<String, ActError> {
        self.cut.point().await;
        {
            let mut inner = self.inner.lock().unwrap();
            let state = inner.targets.get(action.target()).cloned();
            let mut state = state.ok_or_else(|| ActError::NotFound(action.target().to_string()))?;
            let found = action.facet(&state).map_err(|e| ActError::NotFound(e.to_string()))?;
            if found != *before {
                return Err(ActError::Conflict {
                    subject: action.subject(),
                    expected: before.to_string(),
                    found: found.to_string(),
                });
            }
            if inner.refuse.contains(&action.subject()) {
                return Err(ActError::Denied(format!("{} is frozen", action.subject())));
            }
            action.simulate(&mut state);
            inner.targets.insert(action.target().clone(), state);
            inner.effects.push((key.to_owned(), action.clone()));
            if inner.lose_answers > 0 {
                inner.lose_answers -= 1;
                return Err(ActError::OutcomeUnknown(action.target().to_string(), "the answer got lost".into()));
            }
        }
        self.cut.point().await;
        Ok(format!("did: {action}"))
    }
}

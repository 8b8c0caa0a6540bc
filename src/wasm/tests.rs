//! The playbook host against the stock components, scripted worlds and hostile guests.

mod contract;
mod hostile;
mod stock;
mod verify;
#[cfg(feature = "wasi")]
mod wasi;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::*;
use crate::model::{ActionKind, Args, Instance, PlannedAction};

/// Compiled code is kept between tests: compiling with an unoptimised compiler takes seconds.
fn host_with(limits: Limits) -> Host {
    Host::new(limits, Some(&Path::new(env!("OUT_DIR")).join("wasm-cache"))).unwrap()
}

fn host() -> Host {
    host_with(Limits::default())
}

fn args(pairs: &[(&str, &str)]) -> Args {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn shop() -> TargetId {
    "local:shop".parse().unwrap()
}

/// A shop of this many healthy instances, at most six.
fn shop_of(instances: u32) -> TargetState {
    let instance = |n| Instance { name: format!("shop-{n}"), up: true, isolated: false, weight: 100, generation: 0 };
    TargetState {
        replicas: instances,
        min_replicas: 1,
        max_replicas: 6,
        instances: (1..=instances).map(instance).collect(),
        cache_ttl_ms: Some(2_000),
        ..TargetState::default()
    }
}

/// An incident of the shop without any metrics.
fn incident(state: TargetState) -> IncidentView {
    IncidentView {
        id: IncidentId(7),
        service: ServiceId::from("shop"),
        severity: Severity::High,
        risk: 85.0,
        since: Timestamp(1_000),
        drivers: Vec::new(),
        targets: vec![(shop(), state)],
        metrics: Vec::new(),
        instance_metrics: Vec::new(),
        tried: Vec::new(),
        notes: BTreeMap::new(),
    }
}

fn driver(metric: &str, value: f64, normal: f64) -> Driver {
    Driver {
        metric: metric.to_owned(),
        share: 0.6,
        value,
        normal,
        low: normal * 0.8,
        high: normal * 1.2,
        unit: "s".to_owned(),
        trend: crate::model::Trend::Step,
        recent: vec![normal, value],
        instance: None,
    }
}

/// A world as a dry run has it: what is asked for is laid over the state, and kept as lines of a diff.
#[derive(Clone)]
struct FakeWorld {
    targets: Arc<Mutex<BTreeMap<TargetId, TargetState>>>,
    diff: Arc<Mutex<Vec<String>>>,
    refuse: Option<HostError>,
    hang: bool,
}

impl FakeWorld {
    fn of(state: TargetState) -> Self {
        Self {
            targets: Arc::new(Mutex::new(BTreeMap::from([(shop(), state)]))),
            diff: Arc::default(),
            refuse: None,
            hang: false,
        }
    }

    fn diff(&self) -> Vec<String> {
        self.diff.lock().unwrap().clone()
    }
}

#[async_trait]
impl World for FakeWorld {
    async fn observe(&mut self, target: &TargetId) -> Result<TargetState, HostError> {
        let targets = self.targets.lock().unwrap();
        targets.get(target).cloned().ok_or_else(|| HostError::NotFound(target.to_string()))
    }

    async fn act(&mut self, action: Action) -> Result<String, HostError> {
        if self.hang {
            std::future::pending::<()>().await;
        }
        if let Some(error) = &self.refuse {
            return Err(error.clone());
        }
        let mut targets = self.targets.lock().unwrap();
        let state = targets.get_mut(action.target()).ok_or_else(|| HostError::NotFound(action.target().to_string()))?;
        let before = action.facet(state).map_err(|e| HostError::Conflict(e.to_string()))?;
        action.simulate(state);
        self.diff.lock().unwrap().push(PlannedAction::new(action.clone(), before).diff_line());
        Ok(action.to_string())
    }
}

//! The stock `scale-out`: a run in a fresh sandbox, and what loading it costs with and without wasmtime's cache.

use std::collections::BTreeMap;

use async_trait::async_trait;
use criterion::Criterion;
use suture::model::{Action, Args, IncidentId, Instance, Severity, TargetId, TargetState, Timestamp};
use suture::wasm::{Catalog, Host, HostError, IncidentView, Limits, World};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::sample::service;

/// The table that build.rs writes, with the bytes of each stock component.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    Playbook,
    Rule,
}
const STOCK: &[(Role, &str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/components.rs"));

/// Answers at once and changes nothing: what is measured is the host's own part.
struct StillWorld(TargetState);

#[async_trait]
impl World for StillWorld {
    async fn observe(&mut self, _: &TargetId) -> Result<TargetState, HostError> {
        Ok(self.0.clone())
    }

    async fn act(&mut self, action: Action) -> Result<String, HostError> {
        Ok(action.to_string())
    }
}

pub fn two_workers() -> TargetState {
    let instance = |n| Instance { name: format!("shop-{n}"), up: true, isolated: false, weight: 100, generation: 0 };
    TargetState {
        replicas: 2,
        min_replicas: 1,
        max_replicas: 6,
        instances: (1..=2).map(instance).collect(),
        ..TargetState::default()
    }
}

pub fn incident() -> IncidentView {
    IncidentView {
        id: IncidentId(1),
        service: service(),
        severity: Severity::High,
        risk: 85.0,
        since: Timestamp(0),
        drivers: Vec::new(),
        targets: vec![("local:shop".parse().unwrap(), two_workers())],
        metrics: Vec::new(),
        instance_metrics: Vec::new(),
        tried: Vec::new(),
        notes: BTreeMap::new(),
    }
}

/// As the daemon has it, timers and all, on the calling thread.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn host(cache: Option<&TempDir>) -> Host {
    Host::new(Limits::default(), cache.map(TempDir::path)).unwrap()
}

fn scale_out() -> Vec<u8> {
    let stock: BTreeMap<_, _> =
        STOCK.iter().filter(|(role, ..)| *role != Role::Rule).map(|(_, name, bytes)| (*name, bytes.to_vec())).collect();
    stock.get("scale-out").cloned().unwrap()
}

pub fn running(c: &mut Criterion) {
    let runtime = runtime();
    let host = host(None);
    let playbook = runtime.block_on(host.load_playbook("scale-out", scale_out())).unwrap();
    let (view, wall) = (incident(), Limits::default().wall);
    let run = || async {
        let world = Box::new(StillWorld(two_workers()));
        playbook.remediate(view.clone(), &Args::new(), world, wall).await.result.unwrap()
    };
    let mut group = c.benchmark_group("run a playbook");
    group.bench_function("scale-out: fresh store, instantiate, call", |b| b.iter(|| runtime.block_on(run())));
    group.finish();
}

pub fn loading(c: &mut Criterion) {
    let runtime = runtime();
    let cache = TempDir::new().unwrap();
    let (cached, anew) = (host(Some(&cache)), host(None));
    let load = |host: &Host| runtime.block_on(host.load_playbook("scale-out", scale_out())).unwrap();
    let mut group = c.benchmark_group("load a playbook");
    group.bench_function("scale-out: from the cache", |b| b.iter(|| load(&cached)));
    group.sample_size(10);
    group.bench_function("scale-out: compile", |b| b.iter(|| load(&anew)));
    group.bench_function("all stock components: from the cache", |b| {
        b.iter(|| {
            let (catalog, errors) = runtime.block_on(Catalog::load(&cached, None, None));
            assert!(errors.is_empty());
            catalog
        });
    });
    group.finish();
}

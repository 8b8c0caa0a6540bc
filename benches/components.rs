//! What a thousand loaded components and two hundred runs under way take: time and resident memory, printed as a table.
//! `cargo bench --bench components [-- HOW_MANY]`; the figures are in docs/PERFORMANCE.md.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to report and may as well end")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use suture::model::{Action, Args, IncidentId, Instance, ServiceId, Severity, TargetId, TargetState, Timestamp};
use suture::wasm::{Host, HostError, IncidentView, Limits, Playbook, World, stock_named};
use tokio::sync::Semaphore;

const RUNS: u32 = 200;

/// The stock `scale-out`, made another component by a custom section of its own.
fn component(n: u32) -> Vec<u8> {
    let mut bytes = stock_named("scale-out").unwrap().to_vec();
    bytes.extend([0, 6, 1, b'n']);
    bytes.extend(n.to_le_bytes());
    bytes
}

/// Bytes of this process that are in memory.
fn resident() -> f64 {
    let pages: f64 = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as f64
}

fn state() -> TargetState {
    let instance = |n| Instance { name: format!("shop-{n}"), up: true, isolated: false, weight: 100, generation: 0 };
    TargetState {
        replicas: 2,
        min_replicas: 1,
        max_replicas: 6,
        instances: (1..=2).map(instance).collect(),
        ..TargetState::default()
    }
}

fn view() -> IncidentView {
    IncidentView {
        id: IncidentId(1),
        service: ServiceId::from("shop"),
        severity: Severity::High,
        risk: 85.0,
        since: Timestamp(0),
        drivers: Vec::new(),
        targets: vec![("local:shop".parse().unwrap(), state())],
        metrics: Vec::new(),
        instance_metrics: Vec::new(),
        tried: Vec::new(),
        notes: BTreeMap::new(),
    }
}

/// Lets nobody act before all are there.
struct Gate {
    arrived: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

#[async_trait]
impl World for Gate {
    async fn observe(&mut self, _: &TargetId) -> Result<TargetState, HostError> {
        Ok(state())
    }

    async fn act(&mut self, action: Action) -> Result<String, HostError> {
        self.arrived.add_permits(1);
        self.open.acquire().await.unwrap().forget();
        Ok(action.to_string())
    }
}

async fn load(host: &Host, many: u32) -> (Vec<Playbook>, Duration, f64) {
    let (began, before) = (Instant::now(), resident());
    let mut loaded = Vec::new();
    for n in 0..many {
        loaded.push(host.load_playbook(&format!("scale-out {n}"), component(n)).await.unwrap());
    }
    (loaded, began.elapsed(), resident() - before)
}

fn main() {
    let many = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(1_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let cache = tempfile::TempDir::new().unwrap();
    runtime.block_on(async {
        let host = Host::new(Limits::default(), Some(cache.path())).unwrap();
        // The cache writes on a thread of its own; the second host finds what the first one compiled.
        let (compiled, took, _) = load(&host, many).await;
        println!(
            "{many} components, compiled                {:>10.1} ms each",
            took.as_secs_f64() * 1e3 / f64::from(many)
        );
        drop(compiled);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let host = Host::new(Limits::default(), Some(cache.path())).unwrap();
        let (loaded, took, grown) = load(&host, many).await;
        println!(
            "{many} components, from the cache          {:>10.2} ms each",
            took.as_secs_f64() * 1e3 / f64::from(many)
        );
        println!("{many} components, loaded                  {:>10.0} KiB each", grown / 1024.0 / f64::from(many));

        let one = loaded.first().unwrap().clone();
        let (arrived, open) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let before = resident();
        let runs: Vec<_> = (0..RUNS)
            .map(|_| {
                let (one, world) = (one.clone(), Gate { arrived: Arc::clone(&arrived), open: Arc::clone(&open) });
                tokio::spawn(async move {
                    one.remediate(view(), &Args::new(), Box::new(world), Duration::from_secs(60)).await.result.unwrap()
                })
            })
            .collect();
        arrived.acquire_many(RUNS).await.unwrap().forget();
        println!(
            "{RUNS} runs under way                       {:>10.0} KiB each",
            (resident() - before) / 1024.0 / f64::from(RUNS)
        );
        open.add_permits(RUNS as usize);
        for run in runs {
            run.await.unwrap();
        }
    });
}

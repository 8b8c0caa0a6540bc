//! What the playbook host adds to wasmtime: one guest that calls its host ten times, through ours and through the least
//! that wasmtime can be asked to do, in one run.

use async_trait::async_trait;
use criterion::Criterion;
use suture::model::{Action, Args, TargetId, TargetState};
use suture::wasm::{Host, HostError, Limits, World};
use tokio::runtime::Runtime;
use wasmtime::component::{Component, HasSelf, Linker, Resource, ResourceTable};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

use crate::playbook::{incident, runtime, two_workers};

mod bindings {
    wasmtime::component::bindgen!({
        path: "wit/next",
        world: "suture:plugin/playbook",
        imports: { default: async | trappable },
        exports: { default: async },
        with: { "suture:incident/incident.target": super::BareTarget },
    });
}

use bindings::suture::{
    cache, configure, flush, incident as wit, isolate, log, metrics, restart, rollout, scale, state, traffic, types,
};

/// The guest: core Wasm text made a component, as in the tests.
pub fn ten_calls() -> Vec<u8> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("tests/fixtures/guests/ten-calls.wat")).unwrap();
    let mut bytes = wat::parse_str(text).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(root.join("wit/next")).unwrap();
    let world = resolve.select_world(&[package], Some("playbook")).unwrap();
    wit_component::embed_component_metadata(&mut bytes, &resolve, world, wit_component::StringEncoding::UTF8).unwrap();
    wit_component::ComponentEncoder::default().module(&bytes).unwrap().encode().unwrap()
}

pub struct BareTarget;

/// A host that answers at once: no budgets, no record, no deadline.
struct Bare {
    table: ResourceTable,
    state: types::types::TargetState,
}

type Said = wasmtime::Result<Result<String, types::types::HostError>>;

impl types::types::Host for Bare {}
impl wit::incident::HostTarget for Bare {
    async fn name(&mut self, _: Resource<BareTarget>) -> wasmtime::Result<String> {
        Ok("local:shop".to_owned())
    }
    async fn kind(&mut self, _: Resource<BareTarget>) -> wasmtime::Result<String> {
        Ok("local".to_owned())
    }
    async fn state(
        &mut self,
        target: Resource<BareTarget>,
    ) -> wasmtime::Result<Result<types::types::TargetState, types::types::HostError>> {
        self.table.get(&target)?;
        Ok(Ok(self.state.clone()))
    }
    async fn drop(&mut self, target: Resource<BareTarget>) -> wasmtime::Result<()> {
        self.table.delete(target)?;
        Ok(())
    }
}
impl wit::incident::Host for Bare {
    async fn current(&mut self) -> wasmtime::Result<wit::incident::Incident> {
        Err(wasmtime::Error::msg("not called"))
    }
    async fn targets(&mut self) -> wasmtime::Result<Vec<Resource<BareTarget>>> {
        Ok(vec![self.table.push(BareTarget)?])
    }
}
impl metrics::metrics::Host for Bare {
    async fn latest(&mut self) -> wasmtime::Result<Vec<types::types::Metric>> {
        Ok(Vec::new())
    }
    async fn latest_by_instance(&mut self) -> wasmtime::Result<Vec<types::types::InstanceMetrics>> {
        Ok(Vec::new())
    }
}
impl scale::scale::Host for Bare {
    async fn set_replicas(&mut self, _: Resource<BareTarget>, _: u32) -> Said {
        Ok(Ok(String::new()))
    }
}
impl restart::restart::Host for Bare {
    async fn restart_instance(&mut self, _: Resource<BareTarget>, _: String) -> Said {
        Ok(Ok(String::new()))
    }
}
impl traffic::traffic::Host for Bare {
    async fn set_weights(&mut self, _: Resource<BareTarget>, _: Vec<traffic::traffic::Share>) -> Said {
        Ok(Ok(String::new()))
    }
}
impl isolate::isolate::Host for Bare {
    async fn set_isolated(&mut self, _: Resource<BareTarget>, _: String, _: bool) -> Said {
        Ok(Ok(String::new()))
    }
}
impl cache::cache::Host for Bare {
    async fn set_ttl(&mut self, _: Resource<BareTarget>, _: u64) -> Said {
        Ok(Ok(String::new()))
    }
}
impl rollout::rollout::Host for Bare {
    async fn rolls_out(&mut self, _: Resource<BareTarget>) -> wasmtime::Result<Result<bool, types::types::HostError>> {
        Ok(Ok(false))
    }
    async fn roll_out(&mut self, _: Resource<BareTarget>) -> Said {
        Ok(Ok(String::new()))
    }
}
impl configure::configure::Host for Bare {
    async fn settings(
        &mut self,
        _: Resource<BareTarget>,
    ) -> wasmtime::Result<Result<Vec<configure::configure::Setting>, types::types::HostError>> {
        Ok(Ok(Vec::new()))
    }
    async fn set(&mut self, _: Resource<BareTarget>, _: String, _: String) -> Said {
        Ok(Ok(String::new()))
    }
}
impl flush::flush::Host for Bare {
    async fn stores_entries(
        &mut self,
        _: Resource<BareTarget>,
    ) -> wasmtime::Result<Result<bool, types::types::HostError>> {
        Ok(Ok(false))
    }
    async fn by_prefix(&mut self, _: Resource<BareTarget>, _: String) -> Said {
        Ok(Ok(String::new()))
    }
}
impl state::state::Host for Bare {
    async fn get(&mut self, _: String) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
    async fn set(&mut self, _: String, _: String) -> wasmtime::Result<Result<(), types::types::HostError>> {
        Ok(Ok(()))
    }
    async fn remove(&mut self, _: String) -> wasmtime::Result<()> {
        Ok(())
    }
}
impl log::log::Host for Bare {
    async fn write(&mut self, _: log::log::Level, _: String) -> wasmtime::Result<()> {
        Ok(())
    }
}

/// Wasmtime with its defaults, but for what the config changes.
fn bare(component: &[u8], change: impl FnOnce(&mut Config)) -> (Engine, bindings::PlaybookPre<Bare>) {
    let mut config = Config::new();
    change(&mut config);
    let engine = Engine::new(&config).unwrap();
    let mut linker = Linker::new(&engine);
    bindings::Playbook::add_to_linker::<_, HasSelf<Bare>>(&mut linker, |s| s).unwrap();
    let component = Component::from_binary(&engine, component).unwrap();
    (engine, bindings::PlaybookPre::new(linker.instantiate_pre(&component).unwrap()).unwrap())
}

fn bare_state() -> types::types::TargetState {
    let of = |i: suture::model::Instance| types::types::Instance {
        name: i.name,
        up: i.up,
        isolated: i.isolated,
        weight: i.weight,
        generation: i.generation,
    };
    let state = two_workers();
    types::types::TargetState {
        replicas: state.replicas,
        min_replicas: state.min_replicas,
        max_replicas: state.max_replicas,
        instances: state.instances.into_iter().map(of).collect(),
        cache_ttl_ms: state.cache_ttl_ms,
    }
}

async fn run_bare(engine: &Engine, pre: &bindings::PlaybookPre<Bare>, fuel: bool) {
    let mut store = Store::new(engine, Bare { table: ResourceTable::new(), state: bare_state() });
    if fuel {
        store.set_fuel(500_000_000).unwrap();
        store.set_epoch_deadline(1_000);
    }
    let playbook = pre.instantiate_async(&mut store).await.unwrap();
    playbook.suture_plugin_remedy().call_remediate(&mut store, &[]).await.unwrap().unwrap();
}

/// Answers at once and changes nothing.
struct Still(TargetState);

#[async_trait]
impl World for Still {
    async fn observe(&mut self, _: &TargetId) -> Result<TargetState, HostError> {
        Ok(self.0.clone())
    }
    async fn act(&mut self, action: Action) -> Result<String, HostError> {
        Ok(action.to_string())
    }
}

pub fn overhead(c: &mut Criterion) {
    let runtime: Runtime = runtime();
    let bytes = ten_calls();
    let host = Host::new(Limits::default(), None).unwrap();
    let playbook = runtime.block_on(host.load_playbook("ten-calls", bytes.clone())).unwrap();
    let (view, wall) = (incident(), Limits::default().wall);
    let mut group = c.benchmark_group("a run with ten host calls");
    group.bench_function("suture", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let world = Box::new(Still(two_workers()));
                playbook.remediate(view.clone(), &Args::new(), world, wall).await.result.unwrap()
            })
        });
    });
    let (engine, pre) = bare(&bytes, |_| {});
    group.bench_function("bare wasmtime, on demand", |b| b.iter(|| runtime.block_on(run_bare(&engine, &pre, false))));
    let (engine, pre) = bare(&bytes, |config| {
        config.consume_fuel(true).epoch_interruption(true);
    });
    group.bench_function("bare wasmtime, on demand, with fuel and epochs", |b| {
        b.iter(|| runtime.block_on(run_bare(&engine, &pre, true)));
    });
    let (engine, pre) = bare(&bytes, |config| {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(PoolingAllocationConfig::default()));
    });
    group.bench_function("bare wasmtime, pooled", |b| b.iter(|| runtime.block_on(run_bare(&engine, &pre, false))));
    group.finish();
}

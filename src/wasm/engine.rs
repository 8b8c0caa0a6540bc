//! The one wasmtime configuration, and the ticker that makes its epochs pass.
//!
//! Everything that compiles or runs a component uses this engine: two configurations that differ would make a cache
//! that lies.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::{Cache, CacheConfig, Config, Engine};

/// How often a running guest yields to the daemon's other work, and how exactly its deadline is kept.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// The engine with its ticker. The ticker's thread ends when this is dropped.
pub(super) struct Ticking {
    pub(super) engine: Engine,
    shared: Arc<Shared>,
    ticker: Thread,
}

#[derive(Default)]
struct Shared {
    running: AtomicUsize,
    stop: AtomicBool,
}

impl Ticking {
    /// `cache_dir`: where compiled code is kept between starts; without one, every start compiles anew.
    pub(super) fn new(cache_dir: Option<&Path>) -> Result<Self, String> {
        let engine = engine(cache_dir).map_err(|e| format!("{e:#}"))?;
        let shared = Arc::new(Shared::default());
        // A thread of its own, not a task: it must tick also when every worker of the runtime is inside a guest. It
        // holds the engine weakly and ends with it; it is not joined, for it may sleep one last tick.
        let (weak, state) = (engine.weak(), Arc::clone(&shared));
        let tick = move || {
            while !state.stop.load(Ordering::Acquire) {
                if state.running.load(Ordering::Acquire) == 0 {
                    thread::park();
                    continue;
                }
                thread::sleep(TICK);
                match weak.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => break,
                }
            }
        };
        let ticker = thread::Builder::new()
            .name("wasm-ticker".to_owned())
            .spawn(tick)
            .map_err(|e| format!("cannot start the thread that keeps the deadlines of components: {e}"))?;
        Ok(Self { engine, shared, ticker: ticker.thread().clone() })
    }

    /// Epochs pass at least until the answer is dropped; an idle daemon's ticker sleeps.
    pub(super) fn keep_ticking(&self) -> KeepTicking {
        self.shared.running.fetch_add(1, Ordering::AcqRel);
        self.ticker.unpark();
        KeepTicking(Arc::clone(&self.shared))
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.ticker.unpark();
    }
}

pub(super) struct KeepTicking(Arc<Shared>);

impl Drop for KeepTicking {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

fn engine(cache_dir: Option<&Path>) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.wasm_component_model(true);
    // Both, always: fuel is the reproducible budget, epochs let a guest yield and end it in wall time.
    config.consume_fuel(true);
    config.epoch_interruption(true);
    // The same input gives the same bytes on every machine, which replays rely on.
    config.cranelift_nan_canonicalization(true);
    config.relaxed_simd_deterministic(true);
    // A run's stacks: recursion without end is stopped by the first number; the second leaves room for the host.
    config.max_wasm_stack(512 << 10);
    config.async_stack_size(2 << 20);
    // A trap's Wasm backtrace would hold the component's own names; the kind of the trap is what people need.
    config.wasm_backtrace_max_frames(None);
    if let Some(dir) = cache_dir {
        let mut cache = CacheConfig::new();
        cache.with_directory(dir);
        config.cache(Some(Cache::new(cache)?));
    }
    Engine::new(&config)
}

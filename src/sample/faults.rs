//! The faults that can be put into the sample service: their names, and what each does inside a worker.
//!
//! They live in the memory of the process they are put into, so a restart takes them away. Each is bounded: no fault
//! harms the machine the demo runs on.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use clap::ValueEnum;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// Processor time that each request burns under `cpu`: more than a worker has at base load.
const BURN: Duration = Duration::from_millis(35);
/// It is burnt in slices, between which health and metrics get their turn: the worker is slow, not dead.
const BURN_SLICE: Duration = Duration::from_micros(500);
/// One step of the leak, touched so that it is resident.
const LEAK_STEP: usize = 1024 * 1024;
/// Between two steps: 8 MB a second.
const LEAK_EVERY: Duration = Duration::from_millis(125);
/// Where the leak ends.
const LEAK_BOUND: usize = 400 * LEAK_STEP;
/// Added to each answer of the database under `latency`.
const SLOWER_BY: Duration = Duration::from_millis(300);
/// Between two connections that leak.
const CONNECTION_EVERY: Duration = Duration::from_secs(1);

/// What can go wrong with the sample service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Three times the usual load.
    Load,
    /// A runaway computation in one worker: every request burns processor time.
    Cpu,
    /// One worker loses 8 MB a second, up to 400 MB.
    MemoryLeak,
    /// One worker's database answers 300 ms later.
    Latency,
    /// One worker answers half of its requests with an error.
    Errors,
    /// One worker aborts.
    Crash,
    /// One worker's database connections leak away until one is left.
    PoolExhaustion,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Load, Self::Cpu, Self::MemoryLeak, Self::Latency, Self::Errors, Self::Crash, Self::PoolExhaustion];

    /// The word on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Cpu => "cpu",
            Self::MemoryLeak => "memory-leak",
            Self::Latency => "latency",
            Self::Errors => "errors",
            Self::Crash => "crash",
            Self::PoolExhaustion => "pool-exhaustion",
        }
    }

    /// What it does, in one line.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Load => "the load triples",
            Self::Cpu => "a runaway computation in one worker: every request burns 35 ms of processor time",
            Self::MemoryLeak => "one worker leaks 8 MB a second",
            Self::Latency => "the database answers one worker 300 ms later",
            Self::Errors => "one worker answers half of its requests with an error",
            Self::Crash => "one worker aborts",
            Self::PoolExhaustion => "one worker leaks its database connections until one is left",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a fault: load, cpu, memory-leak, latency, errors, crash or pool-exhaustion")]
pub struct FaultError(String);

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|fault| fault.name() == text);
        known.ok_or_else(|| FaultError(text.chars().take(40).collect()))
    }
}

/// The faults that are in one worker now.
pub(super) struct Faults {
    cpu: AtomicBool,
    latency: AtomicBool,
    errors: AtomicBool,
    leaking_memory: AtomicBool,
    leaking_connections: AtomicBool,
    leaked: std::sync::Mutex<Vec<Vec<u8>>>,
    lost_connections: AtomicUsize,
    /// One computation at a time, first come first served: a queue that moves, rather than all of them never done.
    burning: tokio::sync::Mutex<()>,
    pool: Arc<Semaphore>,
    pool_size: usize,
}

impl Faults {
    pub(super) fn new(pool: Arc<Semaphore>, pool_size: usize) -> Self {
        Self {
            cpu: AtomicBool::new(false),
            latency: AtomicBool::new(false),
            errors: AtomicBool::new(false),
            leaking_memory: AtomicBool::new(false),
            leaking_connections: AtomicBool::new(false),
            leaked: std::sync::Mutex::default(),
            lost_connections: AtomicUsize::new(0),
            burning: tokio::sync::Mutex::new(()),
            pool,
            pool_size,
        }
    }

    /// Puts a fault in; `false` when it is not one of a worker's.
    pub(super) fn put_in(&self, fault: Fault) -> bool {
        match fault {
            Fault::Load => return false,
            Fault::Cpu => self.cpu.store(true, Ordering::Relaxed),
            Fault::Latency => self.latency.store(true, Ordering::Relaxed),
            Fault::Errors => self.errors.store(true, Ordering::Relaxed),
            Fault::MemoryLeak => self.leaking_memory.store(true, Ordering::Relaxed),
            Fault::PoolExhaustion => self.leaking_connections.store(true, Ordering::Relaxed),
            Fault::Crash => std::process::abort(),
        }
        true
    }

    /// Takes all of them out again, with what they lost.
    pub(super) fn lift(&self) {
        for flag in [&self.cpu, &self.latency, &self.errors, &self.leaking_memory, &self.leaking_connections] {
            flag.store(false, Ordering::Relaxed);
        }
        self.leaked.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
        self.pool.add_permits(self.lost_connections.swap(0, Ordering::Relaxed));
    }

    /// Is this request one of the half that fails?
    pub(super) fn fails_now(&self) -> bool {
        self.errors.load(Ordering::Relaxed) && fastrand::bool()
    }

    /// What the database takes on top of its own time.
    pub(super) fn delay(&self) -> Duration {
        if self.latency.load(Ordering::Relaxed) { SLOWER_BY } else { Duration::ZERO }
    }

    /// Burns a request's share of processor time on this thread.
    pub(super) async fn burn(&self) {
        if !self.cpu.load(Ordering::Relaxed) {
            return;
        }
        let _turn = self.burning.lock().await;
        let mut left = BURN;
        while !left.is_zero() {
            let until = thread_cpu() + BURN_SLICE;
            while thread_cpu() < until {
                std::hint::spin_loop();
            }
            left = left.saturating_sub(BURN_SLICE);
            tokio::task::yield_now().await;
        }
    }

    /// What goes on by itself: the leaks. Runs as long as the worker.
    pub(super) async fn run(&self) {
        let memory = async {
            loop {
                sleep(LEAK_EVERY).await;
                if self.leaking_memory.load(Ordering::Relaxed) {
                    self.leak_memory();
                }
            }
        };
        let connections = async {
            loop {
                sleep(CONNECTION_EVERY).await;
                let lost = self.lost_connections.load(Ordering::Relaxed);
                if self.leaking_connections.load(Ordering::Relaxed)
                    && lost + 1 < self.pool_size
                    && let Ok(connection) = Arc::clone(&self.pool).acquire_owned().await
                {
                    connection.forget();
                    self.lost_connections.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        futures::future::join(memory, connections).await;
    }

    fn leak_memory(&self) {
        let mut leaked = self.leaked.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if leaked.len() * LEAK_STEP < LEAK_BOUND {
            // Not zero: pages of zeros are not given memory until they are written.
            leaked.push(vec![0xa5; LEAK_STEP]);
        }
    }
}

fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

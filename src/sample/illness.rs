//! What a fault does inside a worker of the sample service.
//!
//! Everything lives in the worker's process, its files too, so a restart takes it away. Each fault is held by a lease and
//! goes by itself when nobody renews it. Each is bounded: none harms the machine that the sample runs on.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::act::local::{Fill, fits, nameless_file, write_through};
use crate::model::{Fault, FaultKind};

/// Processor time that each request burns when a whole core is to be burnt: more than a worker has at base load.
const BURN: Duration = Duration::from_millis(35);
/// It is burnt in slices, between which health and metrics get their turn: the worker is slow, not dead.
const BURN_SLICE: Duration = Duration::from_micros(500);
/// Between two looks at leases and leaks.
const STEP: Duration = Duration::from_millis(125);
/// The most that a step of the leak takes at once.
const LEAK_CHUNK: u64 = 64 << 20;
/// Faults at once.
const AT_ONCE: usize = 32;

/// The kinds that a worker knows, for its door.
pub(super) const KINDS: [FaultKind; 9] = [
    FaultKind::Cpu,
    FaultKind::MemoryLeak,
    FaultKind::MemoryPressure,
    FaultKind::DiskFill,
    FaultKind::DiskIo,
    FaultKind::Latency,
    FaultKind::Errors,
    FaultKind::PoolExhaustion,
    FaultKind::Crash,
];

/// One fault that is in.
struct Ill {
    fault: Fault,
    until: Instant,
    since: Instant,
    holds: Holds,
}

/// What it has taken, given back when it is dropped.
#[derive(Default)]
struct Holds {
    memory: Vec<Vec<u8>>,
    spool: Option<Fill>,
    spooled: u64,
    journal: Option<Arc<Journal>>,
    connections: usize,
}

/// A file that requests write to and wait for, one after the other.
struct Journal {
    file: File,
    block: Vec<u8>,
    turn: tokio::sync::Mutex<()>,
}

/// The faults that are in one worker now.
pub(super) struct Illness {
    ills: Mutex<BTreeMap<String, Ill>>,
    /// One computation at a time, first come first served: a queue that moves, rather than all of them never done.
    burning: tokio::sync::Mutex<()>,
    pool: Arc<Semaphore>,
    pool_size: usize,
    dir: PathBuf,
}

impl Illness {
    pub(super) fn new(pool: Arc<Semaphore>, pool_size: usize) -> Self {
        let (ills, burning) = (Mutex::default(), tokio::sync::Mutex::new(()));
        Self { ills, burning, pool, pool_size, dir: std::env::temp_dir() }
    }

    /// Puts a fault in, or renews its lease.
    ///
    /// # Errors
    /// Why not, with what to do instead.
    pub(super) fn put_in(&self, id: &str, fault: Fault, lease: Duration) -> Result<(), String> {
        let kind = fault.kind();
        fault.check().map_err(|(key, why)| format!("{key}: {why}"))?;
        if !KINDS.contains(&kind) {
            return Err(format!("{kind} is no fault of a worker"));
        }
        let now = Instant::now();
        let until = now + lease;
        let mut ills = self.lock();
        if let Some(ill) = ills.get_mut(id) {
            if ill.fault != fault {
                return Err(format!("{id} is another fault that is in"));
            }
            ill.until = until;
            return Ok(());
        }
        if ills.len() >= AT_ONCE || ills.values().any(|ill| ill.fault.kind() == kind) {
            return Err(format!("{kind} is in already, or {AT_ONCE} others are"));
        }
        let mut holds = Holds::default();
        let on_disk = |e: std::io::Error| format!("{}: {e}", self.dir.display());
        match &fault {
            Fault::Crash => std::process::abort(),
            Fault::Cpu { cores } if *cores > 1.0 => {
                return Err("a worker of the shop computes on one core: at most 1.0".to_owned());
            }
            Fault::MemoryLeak { at_most, .. } => fits(&Fault::MemoryPressure { bytes: *at_most }, &self.dir)?,
            Fault::MemoryPressure { bytes } => {
                fits(&fault, &self.dir)?;
                holds.memory.push(filled(*bytes));
            }
            Fault::DiskFill { bytes, .. } => {
                fits(&fault, &self.dir)?;
                let file = nameless_file(&self.dir).map_err(on_disk)?;
                holds.spool = Some(Fill::new(file, &self.dir, *bytes).map_err(on_disk)?);
            }
            Fault::DiskIo { block } => {
                fits(&fault, &self.dir)?;
                let file = nameless_file(&self.dir).map_err(on_disk)?;
                let turn = tokio::sync::Mutex::new(());
                holds.journal = Some(Arc::new(Journal { file, block: filled(*block), turn }));
            }
            _ => {}
        }
        ills.insert(id.to_owned(), Ill { fault, until, since: now, holds });
        Ok(())
    }

    /// Takes one out again, with what it took.
    pub(super) fn take_out(&self, id: &str) {
        let ill = self.lock().remove(id);
        self.give_back(ill);
    }

    /// Takes all of them out again.
    pub(super) fn lift(&self) {
        let all = std::mem::take(&mut *self.lock());
        self.give_back(all.into_values());
    }

    fn give_back(&self, ills: impl IntoIterator<Item = Ill>) {
        for ill in ills {
            self.pool.add_permits(ill.holds.connections);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Ill>> {
        self.ills.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first of those that are in to which this applies; one that nobody renewed is not in.
    fn find<T>(&self, what: impl Fn(&Ill) -> Option<T>) -> Option<T> {
        let now = Instant::now();
        self.lock().values().filter(|ill| ill.until > now).find_map(what)
    }

    /// The error that this request is to be answered with, if it is one of those.
    pub(super) fn error_now(&self) -> Option<StatusCode> {
        let status = self.find(|ill| match ill.fault {
            Fault::Errors { share, status } => (fastrand::f64() < share).then_some(status),
            _ => None,
        });
        status.map(|status| StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
    }

    /// What the database takes on top of its own time.
    pub(super) fn delay(&self) -> Duration {
        let delay = self.find(|ill| match ill.fault {
            Fault::Latency { delay, jitter, share } => {
                (fastrand::f64() < share).then(|| delay.saturating_sub(jitter) + jitter.mul_f64(2.0 * fastrand::f64()))
            }
            _ => None,
        });
        delay.unwrap_or_default()
    }

    /// Burns a request's share of processor time on this thread.
    pub(super) async fn burn(&self) {
        let part = self.find(|ill| if let Fault::Cpu { cores } = ill.fault { Some(cores) } else { None });
        let Some(part) = part else { return };
        let _turn = self.burning.lock().await;
        let mut left = BURN.mul_f64(part.min(1.0));
        while !left.is_zero() {
            let until = thread_cpu() + BURN_SLICE.min(left);
            while thread_cpu() < until {
                std::hint::spin_loop();
            }
            left = left.saturating_sub(BURN_SLICE);
            tokio::task::yield_now().await;
        }
    }

    /// Writes to the journal and waits until the disk has it. Returns how long that took, the waiting for its turn included.
    pub(super) async fn journal(&self) -> Option<Duration> {
        let journal = self.find(|ill| ill.holds.journal.clone())?;
        let began = Instant::now();
        let _turn = journal.turn.lock().await;
        let written = Arc::clone(&journal);
        // The disk blocks a thread; the worker's only one has others to serve.
        let wrote = tokio::task::spawn_blocking(move || write_through(&written.file, &written.block)).await;
        if let Ok(Err(error)) = wrote {
            tracing::warn!(%error, "the journal cannot be written");
        }
        Some(began.elapsed())
    }

    /// Bytes in the spool file now.
    pub(super) fn spooled(&self) -> u64 {
        self.lock().values().map(|ill| ill.holds.spooled).sum()
    }

    /// What goes on by itself: leaks, and the end of leases. Runs as long as the worker.
    pub(super) async fn run(&self) {
        loop {
            sleep(STEP).await;
            let now = Instant::now();
            let over: Vec<Ill> = self.lock().extract_if(.., |_, ill| ill.until <= now).map(|(_, ill)| ill).collect();
            for ill in &over {
                tracing::warn!(fault = %ill.fault, "nobody renewed the lease of a fault: it is taken out");
            }
            self.give_back(over);
            let mut spools = Vec::new();
            for (id, ill) in self.lock().iter_mut() {
                let due = |per_second: u64| (now - ill.since).as_secs_f64() * per_second as f64;
                match ill.fault {
                    Fault::MemoryLeak { bytes_per_second, at_most } => {
                        ill.holds.leak((due(bytes_per_second) as u64).min(at_most));
                    }
                    Fault::DiskFill { bytes_per_second, .. } => {
                        let due = due(bytes_per_second) as u64;
                        spools.extend(ill.holds.spool.take().map(|spool| (id.clone(), spool, due)));
                    }
                    Fault::PoolExhaustion { every } => {
                        let due = (now - ill.since).as_secs_f64() / every.as_secs_f64();
                        // One stays: the worker is slow, not dead.
                        let due = (due as usize).min(self.pool_size.saturating_sub(1));
                        if ill.holds.connections < due
                            && let Ok(connection) = Arc::clone(&self.pool).try_acquire_owned()
                        {
                            connection.forget();
                            ill.holds.connections += 1;
                        }
                    }
                    _ => {}
                }
            }
            for (id, spool, due) in spools {
                self.spool(&id, spool, due).await;
            }
        }
    }

    /// Lets the spool grow, off this thread, and puts it back where it came from, if that is there still.
    async fn spool(&self, id: &str, mut spool: Fill, due: u64) {
        let grown = tokio::task::spawn_blocking(move || {
            let written = spool.up_to(due);
            (spool, written)
        });
        let Ok((spool, written)) = grown.await else { return };
        if let Some(ill) = self.lock().get_mut(id) {
            match written {
                Ok(bytes) => ill.holds.spooled = bytes,
                Err(error) => tracing::warn!(%error, "the spool cannot be written"),
            }
            ill.holds.spool = Some(spool);
        }
    }
}

impl Holds {
    fn leak(&mut self, due: u64) {
        let leaked: u64 = self.memory.iter().map(|chunk| chunk.len() as u64).sum();
        let missing = due.saturating_sub(leaked).min(LEAK_CHUNK);
        if missing >= 1 << 16 {
            self.memory.push(filled(missing));
        }
    }
}

/// Not zero: pages of zeros are not given memory until they are written.
fn filled(bytes: u64) -> Vec<u8> {
    vec![0xa5; usize::try_from(bytes).unwrap_or(0)]
}

fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(4);

    fn worker() -> (Illness, Arc<Semaphore>) {
        let pool = Arc::new(Semaphore::new(3));
        (Illness::new(Arc::clone(&pool), 3), pool)
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_goes_when_its_lease_is_over_and_stays_while_it_is_renewed() {
        let (worker, _) = worker();
        let errors = Fault::Errors { share: 1.0, status: 503 };
        worker.put_in("EXP-1.1", errors.clone(), LEASE).unwrap();
        tokio::time::advance(LEASE - STEP).await;
        worker.put_in("EXP-1.1", errors.clone(), LEASE).unwrap();
        tokio::time::advance(LEASE - STEP).await;
        assert_eq!(worker.error_now(), Some(StatusCode::SERVICE_UNAVAILABLE));
        tokio::time::advance(STEP).await;
        assert_eq!(worker.error_now(), None);
        worker.put_in("EXP-1.2", Fault::Latency { delay: LEASE, jitter: Duration::ZERO, share: 1.0 }, LEASE).unwrap();
        assert_eq!(worker.delay(), LEASE);
        worker.take_out("EXP-1.2");
        worker.take_out("EXP-1.2");
        assert_eq!(worker.delay(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_leaked_come_back_by_the_lease_alone() {
        let (worker, pool) = worker();
        let leak = Fault::PoolExhaustion { every: Duration::from_secs(1) };
        worker.put_in("EXP-1.1", leak, LEASE).unwrap();
        let watched = async {
            sleep(Duration::from_millis(3500)).await;
            let during = pool.available_permits();
            sleep(LEASE).await;
            (during, pool.available_permits())
        };
        let seen = tokio::select! { () = worker.run() => (0, 0), seen = watched => seen };
        assert_eq!(seen, (1, 3));
    }

    #[tokio::test]
    async fn memory_is_given_back() {
        let (worker, _) = worker();
        worker.put_in("EXP-1.1", Fault::MemoryPressure { bytes: 1 << 20 }, LEASE).unwrap();
        assert_eq!(worker.lock()["EXP-1.1"].holds.memory[0].len(), 1 << 20);
        worker.lift();
        assert!(worker.lock().is_empty());
    }

    #[tokio::test]
    async fn the_journal_is_waited_for_only_while_the_fault_is_in() {
        let (worker, _) = worker();
        assert_eq!(worker.journal().await, None);
        worker.put_in("EXP-1.1", Fault::DiskIo { block: 4096 }, LEASE).unwrap();
        assert!(worker.journal().await.is_some());
        worker.take_out("EXP-1.1");
        assert_eq!(worker.journal().await, None);
    }

    #[test]
    fn what_is_no_fault_of_a_worker_is_refused() {
        let (worker, _) = worker();
        let says = |id: &str, fault: Fault, words: &str| {
            let why = worker.put_in(id, fault, LEASE).unwrap_err();
            assert!(why.contains(words), "{why}");
        };
        says("EXP-1.1", Fault::Partition, "no fault of a worker");
        says("EXP-1.1", Fault::Cpu { cores: 2.0 }, "at most 1.0");
        says("EXP-1.1", Fault::Errors { share: 2.0, status: 500 }, "share");
        worker.put_in("EXP-1.1", Fault::Cpu { cores: 1.0 }, LEASE).unwrap();
        says("EXP-1.1", Fault::Cpu { cores: 0.5 }, "another fault");
        says("EXP-1.2", Fault::Cpu { cores: 0.5 }, "in already");
    }
}

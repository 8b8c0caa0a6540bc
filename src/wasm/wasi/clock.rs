//! Time that passes only when it is looked at or slept through, so that it passes alike in every run.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};

/// By how much each look lets time pass. A component that waits in a loop for a second of it is through after a
/// thousand looks.
pub(super) const STEP_NS: u64 = 1_000_000;

/// The monotonic clock of a run, shared with what waits for it.
#[derive(Clone, Default)]
pub(super) struct Clock(Arc<Mutex<Time>>);

#[derive(Default)]
struct Time {
    now_ns: u64,
    /// The deadlines that are being waited for at the moment: those of one `poll`.
    awaited: Vec<u64>,
}

impl Clock {
    fn time(&self) -> MutexGuard<'_, Time> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nanoseconds since some beginning.
    pub(super) fn look(&self) -> u64 {
        let mut time = self.time();
        time.now_ns = time.now_ns.saturating_add(STEP_NS);
        time.now_ns
    }

    /// Something to wait for: this moment.
    pub(super) fn at(&self, table: &mut ResourceTable, deadline_ns: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let timer = table.push(Timer { clock: self.clone(), deadline_ns })?;
        subscribe(table, timer)
    }

    /// The same, counted from now.
    pub(super) fn after(&self, table: &mut ResourceTable, ns: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let deadline_ns = self.time().now_ns.saturating_add(ns);
        self.at(table, deadline_ns)
    }
}

struct Timer {
    clock: Clock,
    deadline_ns: u64,
}

/// A deadline that is awaited until this is dropped.
struct Awaited<'a>(&'a Timer);

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        let mut time = self.0.clock.time();
        if let Some(at) = time.awaited.iter().position(|ns| *ns == self.0.deadline_ns) {
            time.awaited.swap_remove(at);
        }
    }
}

#[async_trait]
impl Pollable for Timer {
    /// Nobody ever waits in earnest. In the first round everything that is polled together says its deadline, and what
    /// is ready anyway (a stream, a deadline that has passed) wins; in the second the earliest deadline is now.
    async fn ready(&mut self) {
        if self.clock.look() >= self.deadline_ns {
            return;
        }
        self.clock.time().awaited.push(self.deadline_ns);
        let awaited = Awaited(self);
        let mut first_round = true;
        poll_fn(|cx| {
            let mut time = awaited.0.clock.time();
            let deadline = awaited.0.deadline_ns;
            if !std::mem::take(&mut first_round) && time.awaited.iter().all(|other| *other >= deadline) {
                time.now_ns = time.now_ns.max(deadline);
            }
            if time.now_ns >= deadline {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

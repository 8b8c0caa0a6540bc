//! What lies between the balancer and the place of one worker: the faults that were put there, and what was seen of it.
//!
//! It belongs to the place and not to the process, as a bad cable does: a worker that was restarted has it still. Must never
//! hold a request longer than a fault says, and costs a request nothing while no fault is in. Asked by the balancer and by
//! the health check; changed by the holder of the leases alone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::page::{BUCKETS, page};
use super::supervisor::Locked;
use crate::model::Fault;

/// How one request fares on its way to the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passage {
    /// It is held up for so long first.
    pub delay: Duration,
    /// And this is its end, where it does not get through.
    pub end: Option<DeadEnd>,
}

/// Why a request does not get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeadEnd {
    /// Nothing comes back.
    CutOff,
    /// The connection breaks off.
    BreaksOff,
    /// It is answered with this, and never comes to the worker.
    Answered(StatusCode),
}

/// The place before one worker.
pub(super) struct Front {
    /// By id; of one kind there is one.
    faults: Locked<Vec<(String, Fault)>>,
    /// There is one at all.
    is_faulty: AtomicBool,
    /// Something went in or came out.
    changed: Notify,
    registry: Registry,
    duration: Histogram,
    requests: Counter,
    errors: Counter,
    up: Gauge,
}

impl Default for Front {
    fn default() -> Self {
        let mut this = Self {
            faults: Locked::new(Vec::new()),
            is_faulty: AtomicBool::new(false),
            changed: Notify::new(),
            registry: Registry::default(),
            duration: Histogram::new(BUCKETS),
            requests: Counter::default(),
            errors: Counter::default(),
            up: Gauge::default(),
        };
        let r = &mut this.registry;
        let time = "Time until the answer began, as the balancer saw it";
        r.register("front_request_duration_seconds", time, this.duration.clone());
        r.register("front_requests", "Requests for this worker that are over", this.requests.clone());
        r.register("front_errors", "Answered 5xx, broken off, or not answered in time", this.errors.clone());
        r.register("front_up", "1 when the balancer gets through to this worker", this.up.clone());
        this
    }
}

impl Front {
    /// Puts a fault in; twice with the same id is once.
    pub(super) fn put_in(&self, id: &str, fault: &Fault) {
        let mut faults = self.faults.lock();
        faults.retain(|(known, _)| known != id);
        faults.push((id.to_owned(), fault.clone()));
        self.is_faulty.store(true, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    /// Takes a fault out, if it is in.
    pub(super) fn take_out(&self, id: &str) {
        let mut faults = self.faults.lock();
        faults.retain(|(known, _)| known != id);
        self.is_faulty.store(!faults.is_empty(), Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    fn has(&self, which: fn(&Fault) -> bool) -> bool {
        self.is_faulty.load(Ordering::Relaxed) && self.faults.lock().iter().any(|(_, fault)| which(fault))
    }

    /// Returns when such a fault is in, or out, as `is_in` says.
    async fn becomes(&self, which: fn(&Fault) -> bool, is_in: bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Listening before looking: nothing that happens in between is missed.
            changed.as_mut().enable();
            if self.has(which) == is_in {
                return;
            }
            changed.await;
        }
    }

    /// Holds a request up; those that are waiting go on at once when the fault is taken out.
    pub(super) async fn hold_up(&self, delay: Duration) {
        let until = Instant::now() + delay;
        tokio::select! {
            () = sleep_until(until) => {}
            () = self.becomes(|fault| matches!(fault, Fault::Latency { .. }), false) => {}
        }
    }

    /// Returns when nothing gets through any more.
    pub(super) async fn cut_off(&self) {
        self.becomes(|fault| matches!(fault, Fault::Partition), true).await;
    }

    /// Does nothing get through?
    pub(super) fn is_cut_off(&self) -> bool {
        self.has(|fault| matches!(fault, Fault::Partition))
    }

    /// How the next request fares.
    pub(super) fn passage(&self) -> Passage {
        let mut passage = Passage { delay: Duration::ZERO, end: None };
        if !self.is_faulty.load(Ordering::Relaxed) {
            return passage;
        }
        for (_, fault) in self.faults.lock().iter() {
            match fault {
                // The worst wins: what is cut off can neither break off nor be answered.
                Fault::Partition => passage.end = Some(DeadEnd::CutOff),
                Fault::Resets { share } if by_lot(*share) && passage.end != Some(DeadEnd::CutOff) => {
                    passage.end = Some(DeadEnd::BreaksOff);
                }
                Fault::Errors { share, status } if passage.end.is_none() && by_lot(*share) => {
                    let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                    passage.end = Some(DeadEnd::Answered(status));
                }
                Fault::Latency { delay, jitter, share } if by_lot(*share) => {
                    passage.delay += delay.saturating_sub(*jitter) + jitter.mul_f64(2.0 * fastrand::f64());
                }
                _ => {}
            }
        }
        passage
    }

    /// One request is over.
    pub(super) fn seen(&self, took: Duration, good: bool) {
        self.requests.inc();
        if !good {
            self.errors.inc();
        }
        self.duration.observe(took.as_secs_f64());
    }

    /// The metrics page.
    ///
    /// # Errors
    /// Never in practice: it is written into memory.
    pub(super) fn page(&self, is_up: bool) -> Result<String, std::fmt::Error> {
        self.up.set(i64::from(is_up));
        page(&self.registry)
    }
}

fn by_lot(share: f64) -> bool {
    share >= 1.0 || fastrand::f64() < share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_in_the_way_until_a_fault_is_and_after_it_is_out() {
        let front = Front::default();
        let free = Passage { delay: Duration::ZERO, end: None };
        assert_eq!(front.passage(), free);
        let slow = Fault::Latency { delay: Duration::from_millis(300), jitter: Duration::from_millis(100), share: 1.0 };
        front.put_in("EXP-1.1", &slow);
        front.put_in("EXP-1.1", &slow);
        front.put_in("EXP-1.2", &Fault::Partition);
        front.put_in("EXP-1.3", &Fault::Errors { share: 1.0, status: 503 });
        for _ in 0..100 {
            let Passage { delay, end } = front.passage();
            assert!((200..=400).contains(&delay.as_millis()), "{delay:?}");
            assert_eq!(end, Some(DeadEnd::CutOff));
        }
        assert!(front.is_cut_off());
        front.take_out("EXP-1.2");
        assert!(!front.is_cut_off());
        assert_eq!(front.passage().end, Some(DeadEnd::Answered(StatusCode::SERVICE_UNAVAILABLE)));
        front.take_out("EXP-1.3");
        front.take_out("EXP-1.1");
        front.take_out("EXP-9.9");
        assert_eq!(front.passage(), free);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_on_when_the_fault_is_out_and_who_is_under_way_is_cut_off_too() {
        let front = Front::default();
        let delay = Duration::from_secs(60);
        front.put_in("EXP-1.1", &Fault::Latency { delay, jitter: Duration::ZERO, share: 1.0 });
        let began = Instant::now();
        let out = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            front.take_out("EXP-1.1");
        };
        tokio::join!(front.hold_up(delay), out);
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        let cut = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            front.put_in("EXP-1.2", &Fault::Partition);
        };
        tokio::join!(front.cut_off(), cut);
        assert_eq!(began.elapsed(), Duration::from_secs(2));
    }

    #[test]
    fn a_share_is_about_that_share() {
        let front = Front::default();
        front.put_in("EXP-1.1", &Fault::Resets { share: 0.25 });
        let broken = (0..4000).filter(|_| front.passage().end == Some(DeadEnd::BreaksOff)).count();
        assert!((800..1200).contains(&broken), "{broken} of 4000");
    }

    #[test]
    fn the_page_says_what_was_seen() {
        let front = Front::default();
        front.seen(Duration::from_millis(5), true);
        front.seen(Duration::from_secs(1), false);
        let page = front.page(true).unwrap();
        for line in ["front_requests_total 2", "front_errors_total 1", "front_up 1"] {
            assert!(page.lines().any(|l| l == line), "{line}: {page}");
        }
        assert!(page.contains("front_request_duration_seconds_bucket{le=\"0.006\"} 1\n"), "{page}");
    }
}

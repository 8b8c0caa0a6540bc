//! A journal in memory, and the knife: everything stops at the n-th point, as in a power cut.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use suture::engine::{Journal, JournalError};
use suture::model::Event;
use tokio::sync::Notify;

/// Cuts the power at one point. Points lie before and after each append and each effect.
pub struct Cut {
    passed: AtomicUsize,
    at: usize,
    dead: Notify,
}

impl Cut {
    pub fn at(point: usize) -> Arc<Self> {
        Arc::new(Self { passed: AtomicUsize::new(0), at: point, dead: Notify::new() })
    }

    pub fn never() -> Arc<Self> {
        Self::at(usize::MAX)
    }

    /// Passes a point, or never returns.
    pub async fn point(&self) {
        let passed = self.passed.fetch_add(1, Ordering::SeqCst) + 1;
        if passed >= self.at {
            self.dead.notify_one();
            std::future::pending::<()>().await;
        }
    }

    pub fn points_passed(&self) -> usize {
        self.passed.load(Ordering::SeqCst)
    }

    pub async fn died(&self) {
        self.dead.notified().await;
    }
}

/// What is durable survives the cut: the list outlives the journal.
pub struct MemJournal {
    pub events: Arc<Mutex<Vec<Event>>>,
    pub cut: Arc<Cut>,
    /// A batch may be torn: only this many of its events become durable at the cut.
    pub torn: bool,
}

#[async_trait]
impl Journal for MemJournal {
    async fn append(&self, events: &[Event]) -> Result<(), JournalError> {
        self.cut.point().await;
        if self.torn && events.len() > 1 {
            self.events.lock().unwrap().extend_from_slice(&events[..1]);
            self.cut.point().await;
            self.events.lock().unwrap().extend_from_slice(&events[1..]);
        } else {
            self.events.lock().unwrap().extend_from_slice(events);
        }
        self.cut.point().await;
        Ok(())
    }
}

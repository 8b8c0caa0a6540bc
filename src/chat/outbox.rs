//! The queue in front of the messengers: the engine hands over and goes on, a worker for each platform delivers.
//!
//! In order for each platform; of several forms of one card only the newest is sent; what a platform did not take is
//! tried again. Must never block the engine, and never lose a question or an outcome: a card that asks or is settled
//! is only ever replaced by its newer form. Called by the composition root; the workers run under the supervisor.

mod queue;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use self::queue::{Job, Queue, What};
use super::{Card, ChatError, Messenger};

/// How the outbox behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxSettings {
    /// Jobs a platform may have waiting before lines are merged and updates dropped.
    pub capacity: usize,
    /// Longest time for one try; a platform that hangs must not hold the queue for ever.
    pub try_for: Duration,
    /// Pause after the first failure; doubled with each further one.
    pub first_pause: Duration,
    /// Longest pause.
    pub longest_pause: Duration,
    /// After so many tries others come first, so that one message a platform will never take does not hold up the
    /// rest.
    pub tries_in_a_row: u32,
    /// After so many tries a line or an update is given up. Questions and outcomes never are.
    pub tries_at_most: u32,
}

impl Default for OutboxSettings {
    fn default() -> Self {
        Self {
            capacity: 256,
            try_for: Duration::from_secs(30),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            tries_in_a_row: 5,
            tries_at_most: 20,
        }
    }
}

/// What went through one platform's queue, for /metrics and `status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    /// Waiting now, the one under way included.
    pub waiting: usize,
    /// Taken by the platform.
    pub sent: u64,
    /// Tries that failed.
    pub failed: u64,
    /// Older forms of a card that were replaced by newer ones before they were sent.
    pub replaced: u64,
    /// Lines and updates that were dropped or given up.
    pub dropped: u64,
}

/// Hands cards and lines to every platform. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    lanes: Arc<Vec<Arc<Lane>>>,
}

/// One platform's queue.
struct Lane {
    messenger: Arc<dyn Messenger>,
    settings: OutboxSettings,
    queue: Mutex<Queue>,
    /// Something was put in, or a flush is in a hurry.
    wake: Notify,
    /// How many jobs are waiting or under way.
    waiting: watch::Sender<usize>,
    /// A flush waits: pauses are cut short.
    hurry: watch::Sender<bool>,
}

impl Outbox {
    /// An outbox in front of these messengers, and a worker for each of them that the caller must run.
    #[must_use]
    pub fn new(messengers: Vec<Arc<dyn Messenger>>, settings: &OutboxSettings) -> (Self, Vec<OutboxWorker>) {
        let lanes: Vec<_> = messengers
            .into_iter()
            .map(|messenger| {
                Arc::new(Lane {
                    messenger,
                    settings: settings.clone(),
                    queue: Mutex::new(Queue::new(settings.capacity)),
                    wake: Notify::new(),
                    waiting: watch::Sender::new(0),
                    hurry: watch::Sender::new(false),
                })
            })
            .collect();
        let workers = lanes.iter().map(|lane| OutboxWorker { lane: Arc::clone(lane) }).collect();
        (Self { lanes: Arc::new(lanes) }, workers)
    }

    /// Shows a card on every platform. Returns at once.
    pub fn show(&self, card: &Card) {
        self.put(None, &What::Show(card.clone()));
    }

    /// Shows a card on one platform: the answer to who asked there. Returns at once; false when there is no such
    /// platform.
    pub fn show_on(&self, platform: &str, card: &Card) -> bool {
        self.put(Some(platform), &What::Show(card.clone()))
    }

    /// Says a line in a card's thread on every platform. Returns at once.
    pub fn say(&self, key: &str, text: &str) {
        self.put(None, &What::Say { key: key.to_owned(), text: text.to_owned() });
    }

    /// Says a line on one platform. Returns at once; false when there is no such platform.
    pub fn say_on(&self, platform: &str, key: &str, text: &str) -> bool {
        self.put(Some(platform), &What::Say { key: key.to_owned(), text: text.to_owned() })
    }

    fn put(&self, platform: Option<&str>, what: &What) -> bool {
        let mut any = false;
        for lane in self.lanes.iter().filter(|l| platform.is_none_or(|p| l.messenger.platform() == p)) {
            lane.change(|queue| queue.put(what.clone()));
            lane.wake.notify_one();
            any = true;
        }
        any
    }

    /// Waits until every platform took everything, at most `within`; true when they did. Pauses between tries are cut
    /// short meanwhile. For shutdown: what is put in later may or may not be sent.
    pub async fn flush(&self, within: Duration) -> bool {
        for lane in self.lanes.iter() {
            lane.hurry.send_replace(true);
        }
        let all = async {
            for lane in self.lanes.iter() {
                // The sender lives in the lane, so the wait ends only by the count.
                let _ = lane.waiting.subscribe().wait_for(|n| *n == 0).await;
            }
        };
        let done = tokio::time::timeout(within, all).await.is_ok();
        for lane in self.lanes.iter() {
            lane.hurry.send_replace(false);
        }
        done
    }

    /// What went through, by platform.
    #[must_use]
    pub fn counts(&self) -> Vec<(&'static str, OutboxCounts)> {
        self.lanes.iter().map(|lane| (lane.messenger.platform(), lane.locked().counts())).collect()
    }
}

/// Delivers to one platform. Runs until it is dropped; may be run again after a crash, nothing is lost by it but the
/// mark that the job under way was being sent.
pub struct OutboxWorker {
    lane: Arc<Lane>,
}

impl OutboxWorker {
    /// Which platform it delivers to; for the name of its task.
    #[must_use]
    pub fn platform(&self) -> &'static str {
        self.lane.messenger.platform()
    }

    /// Delivers for ever. Cancel it by dropping the future, after [`Outbox::flush`].
    pub async fn run(&self) {
        let lane = &self.lane;
        // A job that was under way when an earlier run ended is tried again: a line said twice is better than a
        // question never asked.
        lane.change(Queue::put_back);
        loop {
            let mut next = None;
            lane.change(|queue| next = queue.take());
            match next {
                Some(job) => self.deliver(job).await,
                None => lane.wake.notified().await,
            }
        }
    }

    async fn deliver(&self, mut job: Job) {
        let lane = &self.lane;
        let settings = &lane.settings;
        loop {
            let result = tokio::time::timeout(settings.try_for, lane.attempt(&job.what)).await;
            let error = match result {
                Ok(Ok(())) => {
                    lane.change(Queue::sent);
                    return;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("{}: no answer within {:?}", self.platform(), settings.try_for),
            };
            job.tries += 1;
            lane.locked().failed();
            // Once when it begins and once when it is given up: a platform that is away fills no log.
            if job.tries == 1 {
                tracing::warn!(platform = self.platform(), key = job.what.key(), error, "a message was not taken");
            }
            if job.tries >= settings.tries_at_most && !job.what.must_arrive() {
                tracing::error!(platform = self.platform(), key = job.what.key(), error, "a message was given up");
                lane.change(Queue::given_up);
                return;
            }
            self.pause(job.tries).await;
            let mut newer = None;
            lane.change(|queue| newer = queue.newer_than(&job));
            if let Some(newer) = newer {
                job = newer;
            } else if job.tries.is_multiple_of(settings.tries_in_a_row.max(1)) {
                let mut mine = Some(job);
                lane.change(|queue| queue.put_last(&mut mine));
                match mine {
                    // Nobody else waits: go on with it.
                    Some(mine) => job = mine,
                    None => return,
                }
            }
        }
    }

    /// Doubled with each try; no more than a tenth of a second while a flush waits.
    async fn pause(&self, tries: u32) {
        let settings = &self.lane.settings;
        let doubled = settings.first_pause.saturating_mul(1_u32.checked_shl(tries - 1).unwrap_or(u32::MAX));
        let pause = doubled.min(settings.longest_pause);
        let mut hurry = self.lane.hurry.subscribe();
        let hurried = async {
            let _ = hurry.wait_for(|hurry| *hurry).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = hurried => {}
        }
    }
}

impl Lane {
    async fn attempt(&self, what: &What) -> Result<(), ChatError> {
        match what {
            What::Show(card) => self.messenger.show(card).await,
            What::Say { key, text } => self.messenger.say(key, text).await,
        }
    }

    fn locked(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it is held; should it ever, the queue is still whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the queue and tells those who wait for it to be empty.
    fn change(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.locked();
        change(&mut queue);
        let waiting = queue.counts().waiting;
        drop(queue);
        self.waiting.send_replace(waiting);
    }
}

#[cfg(test)]
mod tests;

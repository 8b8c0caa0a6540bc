//! The queue in front of the messengers: the engine hands over and goes on, a worker for each platform delivers.
//!
//! In order for each platform; of several forms of one card only the newest is sent; what a platform did not take is
//! tried again. Must never block the engine, and never lose a question or an outcome: a card that asks or is settled
//! is only ever replaced by its newer form. Lines are kept for the next start until they are delivered; cards are made
//! anew from the ledger then. A platform that takes nothing for a while is named on the others. Called by the
//! composition root; the workers run under the supervisor.

mod flood;
mod queue;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use self::flood::{Admission, Valve};
use self::queue::{How, Job, Queue, What};
use super::{Answer, Card, ChatError, Messenger, Store};
use crate::model::Digest;

/// After so many tries in a row a platform is said to be away.
const AWAY_AFTER: u32 = 3;

/// How often it is looked whether a held card may follow.
const RELEASE_EVERY: Duration = Duration::from_secs(2);

/// Gives the buttons of a card their ids, before it is shown where there are buttons.
pub type Stamp = dyn Fn(&mut Card) + Send + Sync;

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
    common: Arc<Common>,
}

/// What all lanes share.
struct Common {
    store: Option<Arc<dyn Store>>,
    stamp: OnceLock<Box<Stamp>>,
    /// Counts what is kept, so that it has an order.
    kept: std::sync::atomic::AtomicU64,
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
    valve: Mutex<Valve>,
    /// The plan on each card as it was delivered last.
    delivered: Mutex<BTreeMap<String, Digest>>,
    /// Why nothing is taken, while that is so.
    away: Mutex<Option<String>>,
    common: Arc<Common>,
}

impl Outbox {
    /// An outbox in front of these messengers, and a worker for each of them that the caller must run.
    #[must_use]
    pub fn new(messengers: Vec<Arc<dyn Messenger>>, settings: &OutboxSettings) -> (Self, Vec<OutboxWorker>) {
        Self::with_store(messengers, settings, None)
    }

    /// The same, with a place to keep lines until they are delivered; those that an earlier life left are taken up.
    #[must_use]
    pub fn with_store(
        messengers: Vec<Arc<dyn Messenger>>,
        settings: &OutboxSettings,
        store: Option<Arc<dyn Store>>,
    ) -> (Self, Vec<OutboxWorker>) {
        let common = Arc::new(Common { store, stamp: OnceLock::new(), kept: std::sync::atomic::AtomicU64::new(0) });
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
                    valve: Mutex::default(),
                    delivered: Mutex::default(),
                    away: Mutex::default(),
                    common: Arc::clone(&common),
                })
            })
            .collect();
        for lane in &lanes {
            if lane.messenger.has_threads() {
                lane.change(Queue::say_together);
            }
            lane.take_up();
        }
        let outbox = Self { lanes: Arc::new(lanes), common };
        let worker = |lane: &Arc<Lane>| OutboxWorker { lane: Arc::clone(lane), outbox: outbox.clone() };
        let workers = outbox.lanes.iter().map(worker).collect();
        (outbox, workers)
    }

    /// From now on buttons get their ids from this. Once, before anything is shown.
    pub fn set_stamp(&self, stamp: Box<Stamp>) {
        if self.common.stamp.set(stamp).is_err() {
            tracing::error!("who gives buttons their ids was set twice; the first stays");
        }
    }

    /// Shows a card on every platform. Returns at once.
    pub fn show(&self, card: &Card) {
        self.put(|_| true, &What::Show(Box::new(card.clone())));
    }

    /// Shows a card on one platform: the answer to who asked there. Returns at once; false when there is no such
    /// platform.
    pub fn show_on(&self, platform: &str, card: &Card) -> bool {
        self.put(|m| m.platform() == platform, &What::Show(Box::new(card.clone())))
    }

    /// Says a line in a card's thread on every platform. Returns at once.
    pub fn say(&self, key: &str, text: &str) {
        self.put(|_| true, &line(key, text, How::Say));
    }

    /// Says a line on one platform. Returns at once; false when there is no such platform.
    pub fn say_on(&self, platform: &str, key: &str, text: &str) -> bool {
        self.put(|m| m.platform() == platform, &line(key, text, How::Say))
    }

    /// Says a line on all platforms but one: what is wrong with that. Returns at once.
    pub fn say_elsewhere(&self, platform: &str, text: &str) {
        self.put(|m| m.platform() != platform, &line("", text, How::Say));
    }

    /// Says a line of detail where there are threads for it. Returns at once.
    pub fn detail(&self, key: &str, text: &str) {
        self.put(|m| m.has_threads(), &line(key, text, How::Say));
    }

    /// Says where there are threads how it ended, so that the channel sees it. Returns at once.
    pub fn conclude(&self, key: &str, text: &str) {
        self.put(|m| m.has_threads(), &line(key, text, How::Conclude));
    }

    /// Calls others to a card, each platform those that are its own. Returns at once.
    pub fn call(&self, key: &str, to: &[String], text: &str) {
        for lane in self.lanes.iter() {
            let platform = lane.messenger.platform();
            let is_its = |to: &&String| {
                to.strip_prefix(platform).is_some_and(|rest| rest.starts_with(':') || rest.starts_with('-'))
            };
            let its: Vec<_> = to.iter().filter(is_its).cloned().collect();
            if !its.is_empty() {
                self.put(|m| m.platform() == platform, &line(key, text, How::Call(its)));
            }
        }
    }

    /// Answers one who asked on a platform. Returns at once; false when there is no such platform.
    pub fn answer_on(&self, platform: &str, to: serde_json::Value, answer: Answer) -> bool {
        self.put(|m| m.platform() == platform, &What::Answer { to, answer: Box::new(answer) })
    }

    /// The plan on a card as it was delivered last on a platform; `None` when none was.
    #[must_use]
    pub fn delivered(&self, platform: &str, key: &str) -> Option<Digest> {
        let lane = self.lanes.iter().find(|lane| lane.messenger.platform() == platform)?;
        lane.delivered.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    /// The platforms that take nothing now, with the reason.
    #[must_use]
    pub fn away(&self) -> Vec<(&'static str, String)> {
        let away = |lane: &Arc<Lane>| {
            let why = lane.away.lock().unwrap_or_else(PoisonError::into_inner).clone();
            why.map(|why| (lane.messenger.platform(), why))
        };
        self.lanes.iter().filter_map(away).collect()
    }

    /// How a card that was shown in an earlier life stood on a platform: `Some(true)` when it was settled.
    #[must_use]
    pub fn told(&self, key: &str) -> Vec<(&'static str, Option<bool>)> {
        let told = |lane: &Arc<Lane>| {
            let mark = self.common.store.as_ref().and_then(|store| store.get(&lane.space("told"), key));
            (lane.messenger.platform(), mark.map(|mark| mark == SETTLED))
        };
        self.lanes.iter().map(told).collect()
    }

    fn put(&self, to: impl Fn(&dyn Messenger) -> bool, what: &What) -> bool {
        let mut any = false;
        for lane in self.lanes.iter().filter(|lane| to(&*lane.messenger)) {
            lane.put(what.clone());
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
    outbox: Outbox,
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
                None if lane.holds() => {
                    let woken = tokio::time::timeout(RELEASE_EVERY, lane.wake.notified()).await;
                    // Woken or not: what is held has its turn as soon as it may.
                    drop(woken);
                    lane.release();
                }
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
                    self.is_back();
                    lane.change(Queue::sent);
                    return;
                }
                Ok(Err(error)) => error,
                Err(_) => ChatError::new(self.platform(), format!("no answer within {:?}", settings.try_for)),
            };
            job.tries += 1;
            lane.locked().failed();
            if job.tries >= AWAY_AFTER && !error.hopeless {
                self.is_away(&error.why);
            }
            let (hopeless, after) = (error.hopeless, error.retry_after);
            // Once when it begins and once when it is given up: a platform that is away fills no log.
            if job.tries == 1 {
                tracing::warn!(platform = self.platform(), key = job.what.key(), %error, "a message was not taken");
            }
            if (hopeless || job.tries >= settings.tries_at_most) && !job.what.must_arrive() {
                tracing::error!(platform = self.platform(), key = job.what.key(), %error, "a message was given up");
                lane.change(Queue::given_up);
                return;
            }
            // After some tries others come first, and all that this one holds up is a moment.
            let others = job.tries >= settings.tries_in_a_row && lane.locked().others_than(&job);
            self.pause(if others { 1 } else { job.tries }, after).await;
            let mut newer = None;
            lane.change(|queue| newer = queue.newer_than(&job));
            if let Some(newer) = newer {
                job = newer;
            } else if others || job.tries.is_multiple_of(settings.tries_in_a_row.max(1)) {
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

    /// The others say that this platform takes nothing: whoever waits there should know.
    fn is_away(&self, why: &str) {
        let began = {
            let mut away = self.lane.away.lock().unwrap_or_else(PoisonError::into_inner);
            let began = away.is_none();
            *away = Some(why.to_owned());
            began
        };
        if began {
            let words = format!(
                "{} takes no messages ({why}). Until it does, people there see and decide nothing.",
                self.platform()
            );
            self.elsewhere(&words);
        }
    }

    fn is_back(&self) {
        let was_away = self.lane.away.lock().unwrap_or_else(PoisonError::into_inner).take().is_some();
        if was_away {
            tracing::info!(platform = self.platform(), "messages are taken again");
            self.elsewhere(&format!("{} takes messages again.", self.platform()));
        }
    }

    fn elsewhere(&self, words: &str) {
        self.outbox.say_elsewhere(self.platform(), words);
    }

    /// Doubled with each try, and what the platform asked for; no more than a tenth of a second while a flush waits.
    async fn pause(&self, tries: u32, after: Option<Duration>) {
        let settings = &self.lane.settings;
        let doubled = settings.first_pause.saturating_mul(1_u32.checked_shl(tries - 1).unwrap_or(u32::MAX));
        // What a platform asks for is kept; but a number out of all reason is a mistake of its own.
        let asked = after.map(|after| after.min(settings.longest_pause.saturating_mul(10)));
        let pause = asked.unwrap_or_else(|| doubled.min(settings.longest_pause));
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
            What::Show(card) => {
                self.messenger.show(&self.stamped(card)).await?;
                self.note_shown(card);
                Ok(())
            }
            What::Line { key, text, how: How::Say } => self.messenger.say(key, text).await,
            What::Line { key, text, how: How::Conclude } => self.messenger.conclude(key, text).await,
            What::Line { key, text, how: How::Call(to) } => self.messenger.call(key, to, text).await,
            What::Answer { to, answer } => {
                let stamped = Answer { card: self.stamped(&answer.card).into_owned(), ..(**answer).clone() };
                self.messenger.answer(to, &stamped).await?;
                // What one person saw for themselves is nothing that the others have seen.
                if !answer.private {
                    self.note_plan(&answer.card);
                }
                Ok(())
            }
        }
    }

    fn stamped<'c>(&self, card: &'c Card) -> std::borrow::Cow<'c, Card> {
        match self.common.stamp.get().filter(|_| self.messenger.has_threads()) {
            Some(stamp) if !card.actions.is_empty() => {
                let mut card = card.clone();
                stamp(&mut card);
                std::borrow::Cow::Owned(card)
            }
            _ => std::borrow::Cow::Borrowed(card),
        }
    }

    fn note_shown(&self, card: &Card) {
        if card.key.is_empty() {
            return;
        }
        self.note_plan(card);
        if let Some(store) = &self.common.store {
            let mark = if card.settled { SETTLED } else { OPEN };
            if store.get(&self.space("told"), &card.key).as_deref() != Some(mark)
                && let Err(error) = store.put(&self.space("told"), &card.key, mark)
            {
                tracing::warn!(error, "it could not be kept that a card was shown");
            }
        }
    }

    /// From here on people on this platform have seen this plan.
    fn note_plan(&self, card: &Card) {
        let mut delivered = self.delivered.lock().unwrap_or_else(PoisonError::into_inner);
        match &card.plan {
            Some(plan) => delivered.insert(plan.about.clone(), plan.digest),
            None => delivered.remove(&card.key),
        };
    }

    fn put(&self, what: What) {
        let what = match what {
            // What stands on the channel from an earlier life is edited at any rate.
            What::Show(card) if self.messenger.has_threads() && (card.key.is_empty() || !self.was_told(&card.key)) => {
                let admission = self.valve().admit(&card, Instant::now());
                match admission {
                    Admission::Pass => What::Show(card),
                    Admission::Digest(digest) => {
                        self.change(|queue| queue.put_ahead(What::Show(Box::new(digest))));
                        self.wake.notify_one();
                        return;
                    }
                }
            }
            // A thread needs its card: what is said about one that is held is on the card when it comes.
            What::Line { key, how: How::Say | How::Conclude, .. } if self.valve().is_held(&key) => return,
            what => what,
        };
        let kept = self.keep(&what);
        if matches!(&what, What::Show(card) if !card.key.is_empty() && !self.was_told(&card.key)) {
            self.change(|queue| queue.put_first_form(what));
        } else {
            self.change(|queue| queue.put(what, kept));
        }
        self.wake.notify_one();
    }

    /// Was this card shown here, now or in an earlier life?
    fn was_told(&self, key: &str) -> bool {
        self.common.store.as_ref().is_some_and(|store| store.get(&self.space("told"), key).is_some())
    }

    /// Keeps a line for the next start. Cards are made anew from the ledger, and who asked can ask again.
    fn keep(&self, what: &What) -> Option<String> {
        let (What::Line { key, text, how }, Some(store)) = (what, &self.common.store) else { return None };
        if !self.messenger.has_threads() {
            return None;
        }
        let number = self.common.kept.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("{number:020}");
        let bytes = serde_json::to_vec(&(key, text, how)).ok()?;
        // The engine's turn is held meanwhile. What is lost of it in a crash is in the ledger.
        match store.put_soon(&self.space("outbox"), &name, &bytes) {
            Ok(()) => Some(name),
            Err(error) => {
                tracing::warn!(error, "a line could not be kept; it is lost if the daemon ends before it is delivered");
                None
            }
        }
    }

    /// Takes up what an earlier life did not deliver.
    fn take_up(&self) {
        let Some(store) = &self.common.store else { return };
        for (name, bytes) in store.all(&self.space("outbox")) {
            let number = name.parse().unwrap_or(0_u64);
            self.common.kept.fetch_max(number + 1, std::sync::atomic::Ordering::Relaxed);
            if let Ok((key, text, how)) = serde_json::from_slice(&bytes) {
                self.change(|queue| queue.put(What::Line { key, text, how }, Some(name)));
            } else if let Err(error) = store.remove(&self.space("outbox"), &name) {
                tracing::warn!(error, "a line that cannot be read stays where it is");
            }
        }
    }

    fn space(&self, what: &str) -> String {
        format!("{what}-{}", self.messenger.platform())
    }

    fn holds(&self) -> bool {
        self.valve().holds()
    }

    /// Sends held cards on, as many as may follow now.
    fn release(&self) {
        let mut digest = None;
        loop {
            let next = self.valve().release(Instant::now());
            let Some((card, left)) = next else { break };
            self.change(|queue| queue.put(What::Show(Box::new(card)), None));
            digest = Some(left);
        }
        if let Some(digest) = digest {
            self.change(|queue| queue.put(What::Show(Box::new(digest)), None));
        }
    }

    fn valve(&self) -> MutexGuard<'_, Valve> {
        self.valve.lock().unwrap_or_else(PoisonError::into_inner)
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
        let forgotten = queue.forgotten();
        drop(queue);
        if let Some(store) = &self.common.store {
            for name in forgotten {
                if let Err(error) = store.remove(&self.space("outbox"), &name) {
                    tracing::warn!(error, "a line that was delivered is delivered once more after the next start");
                }
            }
        }
        self.waiting.send_replace(waiting);
    }
}

/// What is kept of a card that was shown.
const OPEN: &[u8] = b"open";
const SETTLED: &[u8] = b"settled";

fn line(key: &str, text: &str, how: How) -> What {
    What::Line { key: key.to_owned(), text: text.to_owned(), how }
}

#[cfg(test)]
mod tests;

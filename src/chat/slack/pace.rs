//! One message a second for each channel, as Slack asks, with a small burst.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Slack lets about one message a second into a channel.
const EVERY: Duration = Duration::from_secs(1);
/// A card, its line and its file may go out together.
const BURST: u32 = 3;
/// Channels remembered; the bot speaks in a handful.
const MOST_CHANNELS: usize = 1000;

/// When each channel may have its next message. Never refuses: it says how long to wait.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<HashMap<String, Instant>>);

impl Pace {
    /// Waits until a message may go into the channel, and counts it.
    pub async fn wait(&self, channel: &str) {
        let at = self.reserve(channel, Instant::now());
        tokio::time::sleep_until(at).await;
    }

    /// Nothing more into this channel before that: Slack said so.
    pub fn hold(&self, channel: &str, for_: Duration) {
        let mut full = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // As if the burst were used up, too.
        let until = Instant::now() + for_ + EVERY * BURST;
        full.entry(channel.to_owned()).and_modify(|at| *at = (*at).max(until)).or_insert(until);
    }

    /// The value kept is when the bucket is full again: one message moves it by a second, and it may be three seconds
    /// ahead.
    fn reserve(&self, channel: &str, now: Instant) -> Instant {
        let mut full = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if full.len() >= MOST_CHANNELS {
            full.retain(|_, at| *at > now);
        }
        let at = full.get(channel).copied().unwrap_or(now).max(now) + EVERY;
        full.insert(channel.to_owned(), at);
        at.checked_sub(EVERY * BURST).unwrap_or(now).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn three_at_once_then_one_a_second() {
        let pace = Pace::default();
        let start = Instant::now();
        let mut went = Vec::new();
        for _ in 0..6 {
            pace.wait("C1").await;
            went.push(start.elapsed().as_secs());
        }
        assert_eq!(went, [0, 0, 0, 1, 2, 3]);
        pace.wait("C2").await;
        assert_eq!(start.elapsed().as_secs(), 3, "another channel does not wait");
        tokio::time::sleep(Duration::from_secs(60)).await;
        let later = Instant::now();
        for _ in 0..3 {
            pace.wait("C1").await;
        }
        assert_eq!(later.elapsed().as_secs(), 0, "the burst comes back, no more than that");
        pace.wait("C1").await;
        assert_eq!(later.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn slack_s_own_word_is_kept() {
        let pace = Pace::default();
        pace.hold("C1", Duration::from_secs(30));
        let start = Instant::now();
        pace.wait("C1").await;
        // The burst is gone as well: that is a second more than what was asked for.
        assert_eq!(start.elapsed().as_secs(), 31);
    }
}

//! Where the messages of cards are, across restarts.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::chat::Store;

/// Where a card's message is, by the card's key.
const CARDS: &str = "slack-cards";
/// Which card a thread belongs to, by `channel/ts`.
const THREADS: &str = "slack-threads";
/// Cards that are remembered; of older ones a new form would be a new message.
const MOST_CARDS: usize = 2000;

/// A card's message, and what it said last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Posted {
    pub channel: String,
    /// Empty while it is not known whether Slack took the message.
    pub ts: String,
    /// Fingerprint of all that was sent.
    pub whole: String,
    /// The same without what only ticks.
    pub news: String,
    /// When it was sent, in milliseconds since 1970.
    pub at: i64,
    /// The picture in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<Drawn>,
    /// When a picture could not be had last, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpictured: Option<i64>,
    /// Its rest has been put into the thread; the last form's rest comes once more.
    #[serde(default)]
    pub rest_sent: bool,
    /// The last form of it was sent.
    #[serde(default)]
    pub settled: bool,
}

/// A picture that Slack has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Drawn {
    /// Slack's id.
    pub file: String,
    /// Fingerprint of its bytes.
    pub print: String,
    /// When it was sent, in milliseconds since 1970.
    pub at: i64,
}

/// The store, as this adapter uses it.
#[derive(Clone)]
pub(super) struct Places(pub Arc<dyn Store>);

impl Places {
    /// The card's message, as far as it is known.
    pub fn card(&self, key: &str) -> Option<Posted> {
        let bytes = self.0.get(CARDS, key)?;
        serde_json::from_slice(&bytes).ok()
    }

    /// The card's message, if Slack surely has it.
    pub fn message(&self, key: &str) -> Option<Posted> {
        self.card(key).filter(|posted| !posted.ts.is_empty())
    }

    /// Keeps where the card's message is. A loss costs a message posted anew, so it is only logged.
    pub fn keep(&self, key: &str, posted: &Posted) {
        let new = self.0.get(CARDS, key).is_none();
        let kept = serde_json::to_vec(posted).map_err(|e| e.to_string()).and_then(|bytes| {
            self.0.put(CARDS, key, &bytes)?;
            if posted.ts.is_empty() {
                return Ok(());
            }
            self.0.put(THREADS, &format!("{}/{}", posted.channel, posted.ts), key.as_bytes())
        });
        if let Err(error) = kept {
            tracing::error!(card = key, error, "Where a card's message is could not be kept; it may be posted twice.");
        }
        if new {
            self.prune();
        }
    }

    /// Forgets the cards that were sent longest ago, and their threads.
    fn prune(&self) {
        let all = self.0.all(CARDS);
        let too_many = all.len().saturating_sub(MOST_CARDS);
        if too_many == 0 {
            return;
        }
        let at = |value: &[u8]| serde_json::from_slice::<Posted>(value).map_or(0, |posted| posted.at);
        let mut cards: Vec<(i64, String)> = all.into_iter().map(|(key, value)| (at(&value), key)).collect();
        cards.sort_unstable();
        let gone: HashSet<String> = cards.into_iter().take(too_many).map(|(_, key)| key).collect();
        for (thread, key) in self.0.all(THREADS) {
            if std::str::from_utf8(&key).is_ok_and(|key| gone.contains(key)) {
                let _ = self.0.remove(THREADS, &thread);
            }
        }
        for key in &gone {
            let _ = self.0.remove(CARDS, key);
        }
    }

    /// The message is gone.
    pub fn forget(&self, key: &str, posted: &Posted) {
        let thread = format!("{}/{}", posted.channel, posted.ts);
        for gone in [self.0.remove(CARDS, key), self.0.remove(THREADS, &thread)] {
            if let Err(error) = gone {
                tracing::warn!(card = key, error, "A message that is gone could not be forgotten.");
            }
        }
    }

    /// The card in whose thread something was said.
    pub fn card_at(&self, channel: &str, ts: &str) -> Option<String> {
        self.0.get(THREADS, &format!("{channel}/{ts}")).and_then(|key| String::from_utf8(key).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::MemoryStore;

    #[test]
    fn the_oldest_cards_are_forgotten_with_their_threads() {
        let places = Places(Arc::new(MemoryStore::default()));
        for i in 0..=2000_i64 {
            let posted = Posted { channel: "C1".to_owned(), ts: format!("{i}.1"), at: i, ..Posted::default() };
            places.keep(&format!("INC-{i}"), &posted);
        }
        assert_eq!((places.card("INC-0"), places.card_at("C1", "0.1")), (None, None));
        assert!(places.card("INC-1").is_some() && places.card("INC-2000").is_some());
        assert_eq!(places.card_at("C1", "1.1").as_deref(), Some("INC-1"));
    }
}

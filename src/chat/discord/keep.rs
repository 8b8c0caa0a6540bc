//! Where this adapter's messages are, and which of its posts may have been lost on the way.
//!
//! What is kept survives a restart in the [`Store`]; losing it costs a message posted anew. Nothing else is kept.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::chat::Store;

/// Where each card's message is, by the card's key.
const CARDS: &str = "discord-cards";
/// Which card a message or a thread belongs to, by its id.
const PLACES: &str = "discord-places";
/// Cards that are remembered; of older ones a new form would be a new message.
const MOST_CARDS: usize = 2000;
/// Posts without an answer that are remembered; each is one that the outbox will try again.
const MOST_OPEN: usize = 512;

/// A card's message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Posted {
    /// The channel it is in.
    pub channel: u64,
    /// The message.
    pub message: u64,
    /// The thread that was started from it.
    pub thread: Option<u64>,
    /// What that thread is called.
    pub name: String,
    /// The digest of what it shows.
    pub digest: String,
    /// The files it has.
    pub files: Vec<Kept>,
}

/// A file of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Its name.
    pub name: String,
    /// Its id at Discord.
    pub id: u64,
    /// The digest of its bytes.
    pub digest: String,
}

/// The digest of some bytes.
pub(super) fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect()
}

/// What is kept.
pub(super) struct Keep {
    store: Arc<dyn Store>,
    open: Mutex<Open>,
    /// Tells the posts of this process from those of the one before.
    start: i64,
}

#[derive(Default)]
struct Open {
    /// Posts that were begun and not known to have ended, with the number that Discord knows them by.
    nonces: HashMap<String, u64>,
    /// Steps that are done of something whose later steps are not.
    done: HashSet<String>,
    next: u64,
}

impl Keep {
    pub fn new(store: Arc<dyn Store>, start: i64) -> Self {
        Self { store, open: Mutex::default(), start }
    }

    /// The message of a card.
    pub fn posted(&self, key: &str) -> Option<Posted> {
        serde_json::from_slice(&self.store.get(CARDS, key)?).ok()
    }

    /// Remembers the message of a card. A store that fails costs a second message later, which is no reason to fail now.
    pub fn remember(&self, key: &str, posted: &Posted) {
        let new = self.store.get(CARDS, key).is_none();
        let kept = serde_json::to_vec(posted)
            .map_err(|e| e.to_string())
            .and_then(|bytes| self.store.put(CARDS, key, &bytes))
            .and_then(|()| self.store.put(PLACES, &posted.message.to_string(), key.as_bytes()))
            .and_then(|()| match posted.thread {
                Some(thread) => self.store.put(PLACES, &thread.to_string(), key.as_bytes()),
                None => Ok(()),
            });
        if let Err(error) = kept {
            tracing::warn!(key, error, "where a card's Discord message is could not be kept");
        }
        if new {
            self.prune();
        }
    }

    /// The card that a message or a thread belongs to.
    pub fn card_of(&self, id: u64) -> Option<String> {
        String::from_utf8(self.store.get(PLACES, &id.to_string())?).ok()
    }

    /// Forgets the oldest cards; ids of messages grow with time.
    fn prune(&self) {
        let all = self.store.all(CARDS);
        let too_many = all.len().saturating_sub(MOST_CARDS);
        if too_many == 0 {
            return;
        }
        let mut cards: Vec<(u64, String)> = all
            .into_iter()
            .map(|(key, value)| (serde_json::from_slice::<Posted>(&value).map_or(0, |p| p.message), key))
            .collect();
        cards.sort_unstable();
        for (message, key) in cards.into_iter().take(too_many) {
            let thread = self.posted(&key).and_then(|p| p.thread);
            for id in [Some(message), thread].into_iter().flatten() {
                let _ = self.store.remove(PLACES, &id.to_string());
            }
            let _ = self.store.remove(CARDS, &key);
        }
    }

    /// The nonce of a post. The same one again as long as it is not known that the post arrived, so that a post whose
    /// answer was lost is not made twice; at most 25 characters.
    pub fn nonce(&self, what: &str) -> String {
        let mut open = self.locked();
        let number = match open.nonces.get(what) {
            Some(number) => *number,
            None => {
                open.next += 1;
                let number = open.next;
                // Whatever has piled up here was given up long ago.
                if open.nonces.len() >= MOST_OPEN {
                    open.nonces.clear();
                }
                open.nonces.insert(what.to_owned(), number);
                number
            }
        };
        format!("{:x}-{number:x}", self.start)
    }

    /// A post arrived.
    pub fn arrived(&self, what: &str) {
        self.locked().nonces.remove(what);
    }

    /// Is this step of something done already, by an earlier try of the whole?
    pub fn is_done(&self, step: &str) -> bool {
        self.locked().done.contains(step)
    }

    /// This step is done.
    pub fn done(&self, step: &str) {
        let mut open = self.locked();
        if open.done.len() >= MOST_OPEN {
            open.done.clear();
        }
        open.done.insert(step.to_owned());
    }

    /// The whole is done: its steps may come again.
    pub fn over(&self, steps: &[String]) {
        let mut open = self.locked();
        for step in steps {
            open.done.remove(step);
        }
    }

    fn locked(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::MemoryStore;

    fn keep() -> Keep {
        Keep::new(Arc::new(MemoryStore::default()), 1_793_620_800_000)
    }

    #[test]
    fn a_message_and_its_thread_lead_back_to_the_card() {
        let keep = keep();
        let posted = Posted { channel: 1, message: 2, thread: Some(3), ..Posted::default() };
        keep.remember("INC-7", &posted);
        assert_eq!(keep.posted("INC-7"), Some(posted));
        assert_eq!(keep.card_of(2).as_deref(), Some("INC-7"));
        assert_eq!(keep.card_of(3).as_deref(), Some("INC-7"));
        assert_eq!(keep.card_of(4), None);
    }

    #[test]
    fn a_post_keeps_its_nonce_until_it_is_known_to_have_arrived() {
        let keep = keep();
        let first = keep.nonce("a");
        assert!(first.len() <= 25);
        assert_eq!(keep.nonce("a"), first);
        assert_ne!(keep.nonce("b"), first);
        keep.arrived("a");
        assert_ne!(keep.nonce("a"), first);
    }

    #[test]
    fn the_oldest_cards_are_forgotten() {
        let keep = keep();
        for i in 0..=MOST_CARDS as u64 {
            keep.remember(&format!("INC-{i}"), &Posted { message: 1000 + i, ..Posted::default() });
        }
        assert_eq!(keep.posted("INC-0"), None);
        assert_eq!(keep.card_of(1000), None);
        assert!(keep.posted("INC-1").is_some());
    }
}

//! What was heard and is not carried out yet: durable before the platform is told that it was taken, each delivery once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::chat::{Heard, Store};
use crate::model::Timestamp;

/// Where it is kept.
const INBOX: &str = "inbox";
/// Where the deliveries are that were taken.
const SEEN: &str = "seen";
/// Platforms give up redelivering long before.
const SEEN_FOR: Duration = Duration::from_secs(2 * 3600);
/// Things waiting to be carried out. full: nothing more is taken, and whoever speaks is told so.
const MOST: usize = 1000;

/// Something that was heard, in its place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Item {
    /// When it was taken.
    pub at: Timestamp,
    /// What.
    pub heard: Heard,
}

/// What was heard and is not carried out yet.
pub(super) struct Inbox {
    store: Arc<dyn Store>,
    next: AtomicU64,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    at: BTreeMap<String, Timestamp>,
    waiting: usize,
}

impl Inbox {
    /// Takes up what an earlier life left, in order.
    pub(super) fn open(store: Arc<dyn Store>, now: Timestamp) -> (Self, Vec<(String, Item)>) {
        let mut left: Vec<(String, Item)> = Vec::new();
        for (name, bytes) in store.all(INBOX) {
            match serde_json::from_slice(&bytes) {
                Ok(item) => left.push((name, item)),
                Err(error) => {
                    tracing::warn!(%error, "something that was heard cannot be read any more and is dropped");
                    drop(store.remove(INBOX, &name));
                }
            }
        }
        let mut seen = Seen { waiting: left.len(), ..Seen::default() };
        for (delivery, bytes) in store.all(SEEN) {
            let at = String::from_utf8_lossy(&bytes).parse().map(Timestamp).unwrap_or(now);
            if now.since(at) < SEEN_FOR {
                seen.at.insert(delivery, at);
            } else {
                drop(store.remove(SEEN, &delivery));
            }
        }
        for (_, item) in &left {
            let heard: &Heard = &item.heard;
            seen.at.insert(format!("{}:{}", heard.platform, heard.delivery), item.at);
        }
        let last = left.iter().filter_map(|(name, _)| name.parse::<u64>().ok()).max();
        let next = AtomicU64::new(last.map_or(0, |last| last + 1));
        (Self { store, next, seen: Mutex::new(seen) }, left)
    }

    /// Makes durable what was heard. `None`: it was taken before. Blocks on the disk.
    pub(super) fn take(&self, heard: &Heard, now: Timestamp) -> Result<Option<(String, Item)>, String> {
        let delivery = format!("{}:{}", heard.platform, heard.delivery);
        let old: Vec<_> = {
            let mut seen = self.seen();
            if seen.at.contains_key(&delivery) {
                return Ok(None);
            }
            if seen.waiting >= MOST {
                return Err("too much waits to be carried out: try again in a minute".to_owned());
            }
            seen.waiting += 1;
            seen.at.insert(delivery.clone(), now);
            let old: Vec<_> =
                seen.at.iter().filter(|(_, at)| now.since(**at) >= SEEN_FOR).map(|(id, _)| id.clone()).collect();
            seen.at.retain(|_, at| now.since(*at) < SEEN_FOR);
            old
        };
        let item = Item { at: now, heard: heard.clone() };
        let name = format!("{:020}", self.next.fetch_add(1, Ordering::Relaxed));
        let kept = serde_json::to_vec(&item).map_err(|e| e.to_string()).and_then(|bytes| {
            // First what is to be done: a delivery must not count as taken that nobody will carry out.
            self.store.put(INBOX, &name, &bytes)?;
            self.store.put(SEEN, &delivery, now.0.to_string().as_bytes())
        });
        if let Err(error) = kept {
            let mut seen = self.seen();
            seen.at.remove(&delivery);
            seen.waiting -= 1;
            return Err(error);
        }
        for delivery in old {
            drop(self.store.remove(SEEN, &delivery));
        }
        Ok(Some((name, item)))
    }

    /// It is carried out, and answered.
    pub(super) fn done(&self, name: &str) {
        let mut seen = self.seen();
        seen.waiting = seen.waiting.saturating_sub(1);
        drop(seen);
        if let Err(error) = self.store.remove(INBOX, name) {
            tracing::warn!(error, "something that was carried out stays in the inbox; it is not carried out again");
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{MemoryStore, Place, Said};
    use crate::model::Person;

    fn heard(delivery: &str) -> Heard {
        Heard {
            delivery: delivery.to_owned(),
            platform: "slack".to_owned(),
            by: Person::new("slack:U1", "anna"),
            groups: None,
            place: Place::default(),
            said: Said::Line("status".to_owned()),
            reply: serde_json::Value::Null,
        }
    }

    #[test]
    fn each_delivery_once_also_after_a_restart() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let now = Timestamp(1_000_000_000);
        let (inbox, left) = Inbox::open(Arc::clone(&store), now);
        assert!(left.is_empty());
        let (name, _) = inbox.take(&heard("a"), now).unwrap().unwrap();
        assert!(inbox.take(&heard("a"), now).unwrap().is_none());
        assert!(inbox.take(&heard("b"), now).unwrap().is_some());
        inbox.done(&name);
        drop(inbox);
        let (inbox, left) = Inbox::open(Arc::clone(&store), now);
        let deliveries: Vec<_> = left.iter().map(|(_, item)| item.heard.delivery.as_str()).collect();
        assert_eq!(deliveries, ["b"]);
        assert!(inbox.take(&heard("a"), now).unwrap().is_none(), "it was carried out in the life before");
        assert!(inbox.take(&heard("c"), now.plus(SEEN_FOR)).unwrap().is_some());
        assert_eq!(store.all(SEEN).len(), 1, "what is old is forgotten");
    }

    #[test]
    fn a_full_inbox_takes_nothing_and_says_so() {
        let (inbox, _) = Inbox::open(Arc::new(MemoryStore::default()), Timestamp(0));
        for n in 0..MOST {
            assert!(inbox.take(&heard(&n.to_string()), Timestamp(0)).is_ok());
        }
        assert!(inbox.take(&heard("more"), Timestamp(0)).unwrap_err().contains("try again"));
    }
}

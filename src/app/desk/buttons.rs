//! What the buttons on cards mean. A button carries an opaque id; its command, and the plan that it was shown with, stay
//! here and survive a restart. The same button of the same plan keeps its id, so that a card that did not change stays
//! the same message.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::chat::{Card, Field, Store};
use crate::model::{Clock, Digest, Timestamp};

/// Where they are kept.
const SPACE: &str = "buttons";
/// How long a button is known after it was last put on a card.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// Buttons that are known at the same time. full: the oldest is forgotten, and whoever presses it is told so.
const MOST: usize = 20_000;

/// What a button means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meaning {
    /// The command.
    pub command: String,
    /// The plan on the card.
    pub plan: Option<Digest>,
    /// What has to be filled in first.
    pub ask: Option<Field>,
    /// When it was made.
    pub at: Timestamp,
}

/// The buttons there are.
pub(in crate::app) struct Buttons {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// Secret, so that nobody can guess an id. That would be of no use either: whoever presses must have the right.
    seed: [u8; 32],
    made: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_id: BTreeMap<String, Meaning>,
    by_meaning: HashMap<(String, Option<Digest>), String>,
}

impl Buttons {
    /// Takes up what an earlier life knew.
    pub(in crate::app) fn open(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        let now = clock.now();
        let mut known = Known::default();
        for (id, bytes) in store.all(SPACE) {
            match serde_json::from_slice::<Meaning>(&bytes) {
                Ok(meaning) if now.since(meaning.at) < KNOWN_FOR => known.insert(id, meaning),
                _ => drop(store.remove(SPACE, &id)),
            }
        }
        Self { store, clock, seed: seed(), made: AtomicU64::new(0), known: Mutex::new(known) }
    }

    /// Gives every button of the card its id.
    pub(in crate::app) fn stamp(&self, card: &mut Card) {
        let plan = card.plan.as_ref().map(|shown| shown.digest);
        for button in card.actions.iter_mut().filter_map(|action| action.button.as_mut()) {
            let asks = button.ask.as_ref().map(|field| field.name.as_str()).unwrap_or_default();
            let key = (format!("{}\n{asks}", button.command), plan);
            if let Some(id) = self.known().by_meaning.get(&key) {
                button.id.clone_from(id);
                continue;
            }
            let id = self.new_id();
            let meaning =
                Meaning { command: button.command.clone(), plan, ask: button.ask.clone(), at: self.clock.now() };
            let kept = serde_json::to_vec(&meaning)
                .map_err(|e| e.to_string())
                .and_then(|bytes| self.store.put(SPACE, &id, &bytes));
            if let Err(error) = kept {
                tracing::warn!(error, "a button could not be kept; after a restart it is not known any more");
            }
            self.known().insert(id.clone(), meaning);
            button.id = id;
        }
    }

    /// What a button means.
    pub(super) fn meaning(&self, id: &str) -> Option<Meaning> {
        self.known().by_id.get(id).cloned()
    }

    fn new_id(&self) -> String {
        let n = self.made.fetch_add(1, Ordering::Relaxed);
        let mut bytes = self.seed.to_vec();
        bytes.extend(n.to_be_bytes());
        Digest::of(&bytes).to_string().chars().take(24).collect()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn insert(&mut self, id: String, meaning: Meaning) {
        if self.by_id.len() >= MOST
            && let Some(oldest) = self.by_id.iter().min_by_key(|(_, m)| m.at).map(|(id, _)| id.clone())
            && let Some(gone) = self.by_id.remove(&oldest)
        {
            self.by_meaning.retain(|_, id| *id != oldest);
            tracing::info!(command = gone.command, "the oldest button was forgotten");
        }
        let asks = meaning.ask.as_ref().map(|field| field.name.as_str()).unwrap_or_default();
        self.by_meaning.insert((format!("{}\n{asks}", meaning.command), meaning.plan), id.clone());
        self.by_id.insert(id, meaning);
    }
}

/// From the system; where that has none, from the time and the process, which is no secret and needs to be none.
fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    match rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty()) {
        Ok(32) => seed,
        _ => {
            let now = crate::model::SystemClock.now().0;
            Digest::of(format!("{now} {}", std::process::id()).as_bytes()).0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Button, CardAction, MemoryStore, PlanShown};
    use crate::model::SystemClock;

    fn card(command: &str, plan: u8) -> Card {
        let button = Some(Button { command: command.to_owned(), ..Button::default() });
        let action = CardAction { label: "Approve".to_owned(), button, ..CardAction::default() };
        Card {
            actions: vec![action],
            plan: Some(PlanShown { about: "INC-1".to_owned(), digest: Digest([plan; 32]) }),
            ..Card::default()
        }
    }

    fn id(buttons: &Buttons, mut card: Card) -> String {
        buttons.stamp(&mut card);
        card.actions[0].button.clone().unwrap().id
    }

    #[test]
    fn an_id_is_opaque_lasts_and_belongs_to_one_plan() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let buttons = Buttons::open(Arc::clone(&store), Arc::new(SystemClock));
        let first = id(&buttons, card("approve INC-1", 1));
        assert_eq!(first, id(&buttons, card("approve INC-1", 1)));
        assert_ne!(first, id(&buttons, card("approve INC-1", 2)));
        assert!(first.len() == 24 && !first.contains("INC") && first.chars().all(|c| c.is_ascii_alphanumeric()));
        drop(buttons);
        let again = Buttons::open(store, Arc::new(SystemClock));
        assert_eq!(again.meaning(&first).unwrap().command, "approve INC-1");
        assert_eq!(first, id(&again, card("approve INC-1", 1)));
        assert_eq!(again.meaning("forged"), None);
    }
}

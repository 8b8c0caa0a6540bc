//! Interactions that Discord has not been told about yet.
//!
//! What is taken may be answered sooner than Discord has heard that it was taken, and an answer before that is refused as
//! one to nothing. So an answer waits for its interaction's response, for as long as that can matter.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// After three seconds Discord takes no response any more, and waiting is over whatever became of it.
const AT_MOST: Duration = Duration::from_secs(4);

/// The interactions whose response is under way.
#[derive(Clone, Default)]
pub(super) struct Acks(Arc<Mutex<HashMap<u64, watch::Receiver<()>>>>);

/// A response that is under way, until it is dropped.
pub(super) struct UnderWay {
    acks: Acks,
    id: u64,
    /// Dropped with this, which is what those who wait are waiting for.
    _done: watch::Sender<()>,
}

impl Acks {
    /// From now on answers to this interaction wait.
    pub fn begin(&self, id: u64) -> UnderWay {
        let (done, under_way) = watch::channel(());
        self.locked().insert(id, under_way);
        UnderWay { acks: self.clone(), id, _done: done }
    }

    /// Waits for the response to an interaction, if one is under way.
    pub async fn wait(&self, id: u64) {
        let under_way = self.locked().get(&id).cloned();
        if let Some(mut under_way) = under_way {
            let _ = tokio::time::timeout(AT_MOST, under_way.changed()).await;
        }
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<u64, watch::Receiver<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.acks.locked().remove(&self.id);
    }
}

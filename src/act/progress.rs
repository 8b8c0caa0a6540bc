//! What an action says of itself while it is under way.

use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

/// Lines that one action may leave: a rollout of an hour says what changed, not every second that passed.
const MOST_LINES: usize = 40;

/// Where an actuator says how far an action is. A line that is the same as the last one is not said again.
#[derive(Debug, Default)]
pub struct Progress {
    out: Option<mpsc::Sender<String>>,
    said: Mutex<(String, usize)>,
}

impl Progress {
    /// Progress that goes to `out`.
    #[must_use]
    pub fn to(out: mpsc::Sender<String>) -> Self {
        Self { out: Some(out), said: Mutex::default() }
    }

    /// Nobody hears it.
    #[must_use]
    pub fn unheard() -> Self {
        Self::default()
    }

    /// Says one line for people: `2 of 4 replicas updated`, `web-7d9 cannot pull its image: not found`.
    pub fn say(&self, line: impl Into<String>) {
        let (Some(out), line) = (&self.out, line.into()) else { return };
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.0 == line || said.1 >= MOST_LINES {
            return;
        }
        *said = (line.clone(), said.1 + 1);
        // full: dropped, for the next one says more than this one.
        let _ = out.try_send(line);
    }
}

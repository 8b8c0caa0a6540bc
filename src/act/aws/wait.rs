//! Waiting until a change is in effect, bounded, with a word on how far it is.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::act::{ActError, Progress};
use crate::model::in_words;

/// A wait for one change that AWS has taken on.
pub(super) struct Wait<'a> {
    subject: String,
    within: Duration,
    until: Instant,
    every: Duration,
    progress: &'a Progress,
}

impl<'a> Wait<'a> {
    /// A wait that begins now.
    pub(super) fn new(subject: String, within: Duration, every: Duration, progress: &'a Progress) -> Self {
        Self { subject, within, until: Instant::now() + within, every, progress }
    }

    /// Says how far it is, and sleeps until the next look.
    ///
    /// # Errors
    /// When the time is up: the change was taken on, and how it ends is not known.
    pub(super) async fn on(&self, how_far: String) -> Result<(), ActError> {
        if Instant::now() >= self.until {
            let why =
                format!("AWS took the change on, and after {} it is not in effect: {how_far}", in_words(self.within));
            return Err(self.unknown(why));
        }
        self.progress.say(how_far);
        sleep(self.every).await;
        Ok(())
    }

    /// How it ends is not known, and waiting on makes no sense.
    pub(super) fn unknown(&self, why: impl Into<String>) -> ActError {
        ActError::OutcomeUnknown(self.subject.clone(), why.into())
    }
}

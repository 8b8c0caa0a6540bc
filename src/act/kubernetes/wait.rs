//! Waits until a change is in effect: looks, and looks again when something has changed, or after a while.
//!
//! Must never change anything. While it cannot look it goes on trying until its time is over, for what was done is done.
//! Called by the actions.

use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::act::{ActError, Progress};
use crate::model::in_words;
use crate::platform::kubernetes::{Api, Ask, Events, Resource};

/// A look at a workload is some calls; no more than so many a second, however much changes.
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);
/// How soon it is looked again although nothing was heard: what is not watched may change too.
const ANYWAY: Duration = Duration::from_secs(2);
/// A watch that cannot be had is asked for again after this time.
const WATCH_AGAIN: Duration = Duration::from_secs(10);
/// Longest that one watch lasts, in seconds.
const WATCH: u64 = 45;

/// How far a change is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// In effect.
    Done,
    /// On its way, and what holds it up.
    Going(String, Vec<String>),
    /// It will not come into effect, and why.
    Stuck(String),
}

/// What to listen to for changes.
pub(super) struct Hears {
    pub resource: &'static Resource,
    pub namespace: Option<String>,
    pub labels: Option<String>,
}

/// One wait.
pub(super) struct Wait<'a> {
    pub api: &'a Api,
    /// For errors: what is being changed.
    pub subject: &'a str,
    /// For errors: what was done, `scaled to 4`.
    pub done: &'a str,
    pub within: Duration,
    pub progress: &'a Progress,
    /// `None`: it is only looked now and then.
    pub hears: Option<Hears>,
}

impl Wait<'_> {
    /// Looks until `stage` says that the change is in effect.
    ///
    /// # Errors
    /// `NotFound` when what was changed is gone; `OutcomeUnknown` when the change was made and is not in effect.
    pub async fn until<S>(
        &self,
        look: impl Fn() -> BoxFuture<'static, Result<S, ActError>>,
        stage: impl Fn(&S) -> Stage,
    ) -> Result<(), ActError> {
        let end = Instant::now() + self.within;
        let mut ears = Ears { wait: self, events: None, again: None };
        loop {
            let began = Instant::now();
            let held = match look().await {
                Ok(seen) => match stage(&seen) {
                    Stage::Done => return Ok(()),
                    Stage::Stuck(why) => return Err(self.not_in_effect(&why)),
                    Stage::Going(line, held) => {
                        let said: Vec<_> =
                            std::iter::once(line.as_str()).chain(held.iter().map(String::as_str)).collect();
                        self.progress.say(said.join("; "));
                        if held.is_empty() { line } else { held.join("; ") }
                    }
                },
                Err(gone @ ActError::NotFound(_)) => return Err(gone),
                Err(error) => {
                    let line = format!("cannot look whether it is in effect: {error}");
                    self.progress.say(line.clone());
                    line
                }
            };
            if Instant::now() >= end {
                let why = format!("it is not in effect after {}: {held}", in_words(self.within));
                return Err(self.not_in_effect(&why));
            }
            // A look at thousands of pods takes its time, of which the server gets most to itself.
            sleep(BETWEEN_LOOKS.max(began.elapsed() * 3)).await;
            tokio::select! {
                () = ears.hear() => {}
                () = sleep(ANYWAY) => {}
            }
        }
    }

    /// It was done, and that is all that is known.
    fn not_in_effect(&self, why: &str) -> ActError {
        ActError::OutcomeUnknown(self.subject.to_owned(), format!("{}, but {why}", self.done))
    }
}

/// Hears that something has changed; what, is looked at.
struct Ears<'a> {
    wait: &'a Wait<'a>,
    events: Option<Events>,
    again: Option<Instant>,
}

impl Ears<'_> {
    /// Returns at the next change; never, where nothing can be heard.
    async fn hear(&mut self) {
        if self.again.is_some_and(|at| Instant::now() < at) {
            return std::future::pending().await;
        }
        if self.events.is_none() {
            self.events = listen(self.wait).await;
        }
        if let Some(events) = &mut self.events {
            match events.next().await {
                Ok(Some(_)) => return,
                Ok(None) => {
                    self.events = None;
                    return;
                }
                Err(_) => self.events = None,
            }
        }
        self.again = Some(Instant::now() + WATCH_AGAIN);
        std::future::pending().await
    }
}

async fn listen(wait: &Wait<'_>) -> Option<Events> {
    let hears = wait.hears.as_ref()?;
    let (namespace, labels) = (hears.namespace.as_deref(), hears.labels.as_deref());
    let list = Ask::list(hears.resource, namespace).labelled(labels);
    // Only its version is wanted.
    let listed = wait.api.list::<Value>(list, 1).await.ok()?;
    let watch = Ask::watch(hears.resource, namespace, &listed.version, WATCH).labelled(labels);
    wait.api.watch(&watch).await.ok()
}

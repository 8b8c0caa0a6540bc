//! One action under way: what it is about, and what all of them do alike.
//!
//! Called by the actuator, which makes it, and by the actions.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::errors::{act_error, conflict};
use super::look::{Depth, Seen, look};
use super::wait::{Hears, Stage, Wait};
use crate::act::{ActError, KubernetesSettings, Progress};
use crate::platform::kubernetes::{Api, Ask, PODS, Place};

/// How often a change is sent that the server refused because the object had changed since it was read: the platform
/// itself writes into objects all the time. Each time it is read again, and *before* is checked again.
pub(super) const TRIES: usize = 8;

/// One action.
pub(super) struct Job<'a> {
    pub api: Api,
    pub place: Place,
    pub settings: &'a KubernetesSettings,
    /// As the action calls what it changes.
    pub subject: String,
    pub progress: &'a Progress,
}

impl Job<'_> {
    /// Reads the object of the target itself.
    pub async fn read<T: DeserializeOwned>(&self) -> Result<T, ActError> {
        let ask = Ask::get(self.place.kind.resource(), self.place.namespace.as_deref(), &self.place.name);
        self.call(&ask).await
    }

    /// Looks at the workload.
    pub async fn look(&self, depth: Depth) -> Result<Seen, ActError> {
        look(&self.api, &self.place, depth).await
    }

    pub async fn call<T: DeserializeOwned>(&self, ask: &Ask<'_>) -> Result<T, ActError> {
        self.api.call(ask).await.map_err(|e| act_error(e, &self.subject))
    }

    /// A change that holds for the version that was read. `None`: the object has changed since, and nothing happened.
    pub async fn change(&self, ask: &Ask<'_>) -> Result<Option<Value>, ActError> {
        match self.api.call(ask).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_conflict() => Ok(None),
            Err(error) => Err(act_error(error, &self.subject)),
        }
    }

    /// The object changes faster than it can be read.
    pub fn restless(&self) -> ActError {
        conflict(&self.subject, "as it was read", "changing all the time")
    }

    pub fn unsupported(&self, why: &str) -> ActError {
        ActError::Unsupported(format!("{}: {why}", self.subject))
    }

    /// Waits for the workload's pods. `done` says what was done.
    pub async fn wait_for_pods(
        &self,
        done: &str,
        selector: Option<String>,
        stage: impl Fn(&Seen) -> Stage,
    ) -> Result<(), ActError> {
        let look = || -> BoxFuture<'static, Result<Seen, ActError>> {
            let (api, place) = (self.api.clone(), self.place.clone());
            async move { look(&api, &place, Depth::Pods).await }.boxed()
        };
        let hears = Hears { resource: &PODS, namespace: self.place.namespace.clone(), labels: selector };
        self.wait(done, Some(hears)).until(look, stage).await
    }

    /// A wait of this job.
    pub fn wait<'w>(&'w self, done: &'w str, hears: Option<Hears>) -> Wait<'w> {
        let (api, within) = (&self.api, self.settings.ready_within);
        Wait { api, subject: &self.subject, done, within, progress: self.progress, hears }
    }
}

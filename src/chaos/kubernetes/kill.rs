//! Deletes pods: the one fault that needs nothing installed.
//!
//! A pod ends with its own grace period, and its controller makes another. Only that very pod is deleted, by its uid. Must
//! never delete one twice for the same id. Called by the injector.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::aim::Held;
use super::errors::{call, refused};
use super::{Site, pods};
use crate::chaos::InjectError;
use crate::model::AimedFault;
use crate::platform::kubernetes::{Ask, PODS};

/// More than all experiments of a day; what falls out was over long ago.
const MOST_STRUCK: usize = 256;

/// Which ids struck already: a pod that is gone does not say who deleted it.
#[derive(Debug, Default)]
pub(super) struct Struck(Mutex<VecDeque<String>>);

impl Struck {
    fn knows(&self, id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|known| known == id)
    }

    fn note(&self, id: &str) {
        let mut struck = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // full: the oldest is forgotten.
        if struck.len() >= MOST_STRUCK {
            struck.pop_front();
        }
        struck.push_back(id.to_owned());
    }

    pub fn forget(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|known| known != id);
    }
}

/// Deletes the pods of a fault.
pub(super) async fn strike(site: &Site, struck: &Struck, id: &str, fault: &AimedFault) -> Result<String, InjectError> {
    let held = Held::of(fault)?;
    let namespace = site.place.namespace();
    let there = pods::find(&site.api, namespace, &fault.instances).await?;
    let again = struck.knows(id);
    let same = |name: &String, uid: &String| there.get(name).is_some_and(|pod| pod.metadata.uid == *uid);
    let (left, gone): (Vec<_>, Vec<_>) = held.pods.iter().partition(|(name, uid)| same(name, uid));
    if let (Some((name, _)), false) = (gone.first(), again) {
        return Err(refused(format!("pod {name} is not there any more, and not by us: plan the experiment anew")));
    }
    // Before the first is deleted: an answer that is lost must not make the next attempt think that others did it.
    if !again {
        struck.note(id);
    }
    for (name, uid) in left {
        match site.api.call::<Value>(&Ask::delete(&PODS, Some(namespace), name, uid)).await {
            Ok(_) => {}
            // Gone, or replaced under its name, within this breath: either way that pod is no more.
            Err(error) if error.is_not_found() || error.is_conflict() => {}
            Err(error) => {
                if error.is_denied() {
                    struck.forget(id);
                }
                return Err(call(error));
            }
        }
    }
    let names: Vec<&str> = held.pods.keys().map(String::as_str).collect();
    let (names, what) = (names.join(", "), if gone.is_empty() { "is deleted" } else { "was deleted already" });
    Ok(format!("{names} {what}"))
}

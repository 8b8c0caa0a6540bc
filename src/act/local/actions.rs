//! One action at a time: compare, do, wait until it took effect, remember the key.
//!
//! Once begun, an action is carried through even when its caller goes away: the caller looks at the target afterwards
//! and finds it done or not done, never half of it by accident.

use std::collections::VecDeque;
use std::sync::Arc;

use super::process::Process;
use super::supervisor::{Supervisor, write_ttl};
use super::wire::{ApplyRequest, Receipt, Refusal};
use crate::model::{Action, Facet, SimulateError};

/// How many keys of done actions are remembered; a retry comes within minutes, these last for days.
const KEYS: usize = 1024;
/// The longest key.
const KEY_LENGTH: usize = 256;

/// The actions that were done, by key, oldest first.
#[derive(Default)]
pub(super) struct Done(VecDeque<(String, Action, Facet, String)>);

impl Done {
    fn find(&self, key: &str) -> Option<&(String, Action, Facet, String)> {
        self.0.iter().find(|(known, ..)| known == key)
    }

    fn remember(&mut self, key: String, action: Action, after: Facet, receipt: String) {
        // Full: forget the oldest, which nobody will send again.
        if self.0.len() >= KEYS {
            self.0.pop_front();
        }
        self.0.push_back((key, action, after, receipt));
    }
}

/// How an action ended that was begun.
enum Outcome {
    /// It took effect.
    Done(String),
    /// It changed what it was to change, but not all is well.
    DoneBut(String),
    /// Nothing changed.
    Nothing(String),
    /// Some changed.
    Unknown(String),
}

impl Supervisor {
    /// Does what is asked, if the aspect it changes still is `before`.
    pub(super) async fn apply(self: Arc<Self>, request: ApplyRequest) -> Result<Receipt, Refusal> {
        let ApplyRequest { action, before, key } = request;
        if action.target() != &self.settings.name {
            return Err(Refusal::NotFound { what: action.target().to_string() });
        }
        if key.is_empty() || key.len() > KEY_LENGTH {
            return Err(Refusal::Unsupported { why: format!("a key has 1 to {KEY_LENGTH} bytes") });
        }
        let mut done = self.actions.lock().await;
        let state = self.fleet.lock().state(&self.settings);
        let found = action.facet(&state).map_err(refuse)?;
        let conflict = |expected: &Facet| Refusal::Conflict {
            subject: action.subject(),
            expected: expected.to_string(),
            found: found.to_string(),
        };
        if let Some((_, known, after, receipt)) = done.find(&key) {
            if known != &action {
                return Err(Refusal::Unsupported { why: format!("this key was used for another action: {known}") });
            }
            // Done before. If it was changed again since, doing it a second time would fight whoever did that.
            return if *after == found {
                Ok(Receipt { receipt: receipt.clone(), again: true })
            } else {
                Err(conflict(after))
            };
        }
        if found != before {
            return Err(conflict(&before));
        }
        tracing::info!(%action, %key, "acting");
        let subject = action.subject();
        match self.perform(&action).await {
            Outcome::Done(receipt) => {
                done.remember(key, action.clone(), action.outcome(&before), receipt.clone());
                Ok(Receipt { receipt, again: false })
            }
            Outcome::DoneBut(why) => {
                done.remember(key, action.clone(), action.outcome(&before), why.clone());
                Err(Refusal::OutcomeUnknown { subject, why })
            }
            Outcome::Nothing(why) => Err(Refusal::Unavailable { subject, why }),
            Outcome::Unknown(why) => Err(Refusal::OutcomeUnknown { subject, why }),
        }
    }

    async fn perform(&self, action: &Action) -> Outcome {
        match action {
            Action::Scale { to, .. } => self.scale(*to).await,
            Action::Restart { instance, .. } => self.restart(instance).await,
            Action::Shift { weights, .. } => {
                let mut fleet = self.fleet.lock();
                for (name, weight) in weights {
                    if let Some(slot) = fleet.named(name) {
                        slot.weight = *weight;
                    }
                }
                Outcome::Done(format!("traffic now goes {}", Facet::Weights(weights.clone())))
            }
            Action::Isolate { instance, isolated, .. } => {
                if let Some(slot) = self.fleet.lock().named(instance) {
                    slot.isolated = *isolated;
                }
                let now = if *isolated { "gets no new requests" } else { "is back in the traffic" };
                Outcome::Done(format!("{instance} {now}"))
            }
            Action::Cache { ttl_ms, .. } => self.set_cache(*ttl_ms).await,
            Action::Rollout { .. } | Action::Bounds { .. } | Action::Configure { .. } | Action::Flush { .. } => {
                Outcome::Nothing(format!("a local target cannot {action}"))
            }
        }
    }

    async fn scale(&self, to: u32) -> Outcome {
        let from = self.fleet.lock().replicas;
        if to > from {
            let new: Vec<u32> = (from + 1..=to).collect();
            if let Err(why) = self.add_workers(&new).await {
                return Outcome::Nothing(why);
            }
        } else if to < from {
            let old: Vec<u32> = (to + 1..=from).collect();
            self.take_away(&old, self.settings.stop_within).await;
        }
        self.fleet.lock().replicas = to;
        Outcome::Done(format!("{} has {to} workers", self.settings.name))
    }

    async fn restart(&self, instance: &str) -> Outcome {
        let ending = {
            let mut fleet = self.fleet.lock();
            let Some(slot) = fleet.named(instance) else {
                return Outcome::Nothing(format!("{instance} is gone"));
            };
            slot.open = false;
            (slot.number, slot.process.as_ref().map(Process::ending))
        };
        let (number, ending) = ending;
        if let Some(mut ending) = ending {
            ending.drained(self.settings.stop_within).await;
            ending.stopped(self.settings.stop_within).await;
        }
        if let Some(slot) = self.fleet.lock().slot_mut(number) {
            slot.generation += 1;
        }
        let ready = self.bring_up(number).await;
        // Open even when it is not ready yet: it gets traffic only while it is up, and a slow one may come up later.
        if let Some(slot) = self.fleet.lock().slot_mut(number) {
            slot.open = true;
        }
        match ready {
            Ok(()) => Outcome::Done(format!("{instance} was restarted and is ready")),
            Err(why) => Outcome::DoneBut(format!("{instance} was restarted, but {why}")),
        }
    }

    async fn set_cache(&self, ttl_ms: u64) -> Outcome {
        let Some(path) = self.settings.cache.clone() else {
            return Outcome::Nothing("its workers have no cache path".to_owned());
        };
        let (old, workers) = {
            let fleet = self.fleet.lock();
            let up = fleet.slots().iter().filter_map(|s| s.process.as_ref().filter(|p| p.is_up()).map(|p| p.addr));
            (fleet.cache_ttl_ms, up.collect::<Vec<_>>())
        };
        let mut told = Vec::new();
        for addr in &workers {
            if let Err(why) = write_ttl(*addr, &path, ttl_ms).await {
                return self.put_cache_back(&path, old, &told, *addr, why).await;
            }
            told.push(*addr);
        }
        self.fleet.lock().cache_ttl_ms = Some(ttl_ms);
        Outcome::Done(format!("{} workers keep answers for {}", workers.len(), Facet::CacheTtlMs(ttl_ms)))
    }

    /// One worker did not take the new lifetime: the others get the old one again.
    async fn put_cache_back(
        &self,
        path: &str,
        old: Option<u64>,
        told: &[std::net::SocketAddr],
        silent: std::net::SocketAddr,
        why: String,
    ) -> Outcome {
        let Some(old) = old else { return Outcome::Unknown(why) };
        let mut whole = true;
        for addr in told {
            whole &= write_ttl(*addr, path, old).await.is_ok();
        }
        // The silent one may have taken it after all.
        whole &= write_ttl(silent, path, old).await.is_ok();
        if whole { Outcome::Nothing(why) } else { Outcome::Unknown(why) }
    }
}

fn refuse(error: SimulateError) -> Refusal {
    match error {
        SimulateError::NoInstance { target, instance } => Refusal::NotFound { what: format!("{target}/{instance}") },
        other => Refusal::Unsupported { why: other.to_string() },
    }
}

//! The actions on a backend: look, compare, say it, look again, wait.
//!
//! HAProxy's runtime API has no transactions. Several servers are therefore changed one by one, and when one of them
//! refuses, those before it are put back. Called by the actuator.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::backend::{Backend, MOST_WEIGHT, setting_of, state_of};
use super::servers::Wanted;
use crate::act::{ActError, Progress};
use crate::model::{Action, Facet, SimulateError, in_words};

/// Between two looks while connections end: each is one short exchange on a local socket.
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl Backend {
    pub(super) async fn act(&self, action: &Action, before: &Facet, progress: &Progress) -> Result<String, ActError> {
        self.can(action)?;
        let servers = self.servers().await?;
        let found = action.facet(&state_of(&servers)).map_err(refuse)?;
        let after = action.outcome(before);
        let again = found == after;
        if !again && found != *before {
            return Err(ActError::Conflict {
                subject: action.subject(),
                expected: before.to_string(),
                found: found.to_string(),
            });
        }
        let borrowed = |name: &str| servers.iter().any(|server| server.name == name && server.borrowed);
        match (action, before) {
            (Action::Shift { weights, .. }, Facet::Weights(was)) => {
                if !again {
                    self.shift(weights, was).await?;
                }
                Ok(format!(
                    "traffic {} {after}{}",
                    if again { "goes already" } else { "now goes" },
                    until_reload(again)
                ))
            }
            (Action::Isolate { instance, isolated, .. }, _) => {
                let wanted = if *isolated { Wanted::Drain } else { Wanted::Ready };
                self.put(instance, wanted, again, borrowed(instance), progress).await
            }
            (Action::Configure { setting, value, .. }, _) => {
                let server = servers.iter().find(|server| setting_of(&server.name) == *setting);
                let (Some(server), Some(wanted)) = (server, Wanted::of(value)) else {
                    return Err(ActError::Unsupported(format!(
                        "{setting} of {} is ready, drain or maint, not that",
                        self.target
                    )));
                };
                self.put(&server.name, wanted, again, server.borrowed, progress).await
            }
            _ => Err(ActError::Unsupported(format!("what {} was before is no state that a backend has", self.target))),
        }
    }

    /// Before anything is asked: can a backend do that at all?
    fn can(&self, action: &Action) -> Result<(), ActError> {
        let target = &self.target;
        let why = match action {
            Action::Shift { weights, .. } => match weights.iter().find(|(_, weight)| **weight > MOST_WEIGHT) {
                Some((name, weight)) => {
                    format!("{target}/{name} cannot weigh {weight}: HAProxy's weights go from 0 to {MOST_WEIGHT}")
                }
                None => return Ok(()),
            },
            Action::Isolate { .. } | Action::Configure { .. } => return Ok(()),
            Action::Scale { .. } | Action::Bounds { .. } => format!(
                "{target} has the servers that haproxy.cfg lists: scale what runs behind it, as a target of its own"
            ),
            Action::Restart { .. } | Action::Rollout { .. } => format!(
                "HAProxy cannot restart what runs behind {target}: name that as a target of its own, and isolate here"
            ),
            Action::Cache { .. } | Action::Flush { .. } => {
                format!("{target} is a backend of HAProxy: it keeps no answers")
            }
        };
        Err(ActError::Unsupported(why))
    }

    async fn shift(&self, weights: &BTreeMap<String, u32>, was: &BTreeMap<String, u32>) -> Result<(), ActError> {
        let mut touched = Vec::new();
        for (name, weight) in weights {
            if let Err(error) = self.set_weight(name, *weight).await {
                if error.may_have_happened() {
                    touched.push(name);
                }
                return Err(self.put_back(&touched, was, error).await);
            }
            touched.push(name);
        }
        let servers = self.servers().await.map_err(|e| self.unverified("weights", &e))?;
        let now = |name: &String| servers.iter().find(|s| s.name == *name).map(|s| s.weight);
        match weights.iter().find(|(name, weight)| now(name) != Some(**weight)) {
            None => Ok(()),
            Some((name, weight)) => Err(ActError::OutcomeUnknown(
                format!("{} weights", self.target),
                format!("HAProxy took them, but {name} does not weigh {weight}: somebody else may be changing it"),
            )),
        }
    }

    /// One server did not take its weight: those that did, and that one if it may have, get the old one again.
    async fn put_back(&self, touched: &[&String], was: &BTreeMap<String, u32>, error: ActError) -> ActError {
        let mut left = Vec::new();
        for name in touched {
            let done = match was.get(*name) {
                Some(weight) => self.set_weight(name, *weight).await.is_ok(),
                None => false,
            };
            if !done {
                left.push(name.as_str());
            }
        }
        let subject = format!("{} weights", self.target);
        match (left.is_empty(), error) {
            (true, error) if !error.may_have_happened() => error,
            (true, error) => {
                ActError::Unavailable(subject, format!("{error}; the weights before were put back on all it touched"))
            }
            (false, error) => ActError::OutcomeUnknown(
                subject,
                format!("{error}; putting the weights before back failed for {}", left.join(", ")),
            ),
        }
    }

    /// Has one server ready, draining or in maintenance, and waits for what follows from it.
    async fn put(
        &self,
        server: &str,
        wanted: Wanted,
        again: bool,
        borrowed: bool,
        progress: &Progress,
    ) -> Result<String, ActError> {
        if !again {
            if borrowed {
                return Err(ActError::Unsupported(format!(
                    "the state of {}/{server} comes from a server it tracks, or from a name that does not resolve: \
                     change that",
                    self.target
                )));
            }
            self.set_state(server, wanted).await?;
            let servers = self.servers().await.map_err(|e| self.unverified(server, &e))?;
            if !servers.iter().any(|s| s.name == server && s.wanted == wanted) {
                return Err(ActError::OutcomeUnknown(
                    format!("{}/{server}", self.target),
                    format!("HAProxy took `{}`, but the server is not so", wanted.word()),
                ));
            }
        }
        let effect = match wanted {
            Wanted::Ready => self.back_in_traffic(server, progress).await,
            Wanted::Drain | Wanted::Maint => self.emptied(server, wanted, progress).await,
        };
        Ok(format!("{effect}{}", until_reload(again)))
    }

    /// Waits until no connection is left. What is left after that is told, and ends by itself.
    async fn emptied(&self, server: &str, wanted: Wanted, progress: &Progress) -> String {
        let out = match wanted {
            Wanted::Maint => format!("{server} is in maintenance"),
            _ => format!("{server} gets no new connections"),
        };
        let until = Instant::now() + self.drain_within;
        loop {
            // The change itself is done: a look that fails now must not make it look undone.
            let left = self.connections(server).await;
            match &left {
                Ok(0) => return format!("{out} and has none left"),
                Ok(n) => progress.say(format!("{server} still has {}", connections(*n))),
                Err(e) => progress.say(format!("{server} cannot be counted: {e}")),
            }
            if Instant::now() >= until {
                let within = in_words(self.drain_within);
                return match left {
                    Ok(n) => format!("{out}; {} still open after {within}", connections(n)),
                    Err(_) => format!("{out}; how many it still has could not be seen"),
                };
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until its health check has found it well.
    async fn back_in_traffic(&self, server: &str, progress: &Progress) -> String {
        let until = Instant::now() + self.drain_within;
        loop {
            let up = self.servers().await.is_ok_and(|all| all.iter().any(|s| s.name == server && s.up));
            if up {
                return format!("{server} is back in the traffic");
            }
            progress.say(format!("{server} is not up yet: its health check fails"));
            if Instant::now() >= until {
                let within = in_words(self.drain_within);
                return format!(
                    "{server} may have traffic again, but is not up after {within}: its health check fails"
                );
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn unverified(&self, what: &str, error: &ActError) -> ActError {
        ActError::OutcomeUnknown(format!("{} {what}", self.target), format!("HAProxy took it, and then: {error}"))
    }
}

fn connections(n: u64) -> String {
    if n == 1 { "1 connection".to_owned() } else { format!("{n} connections") }
}

/// What the runtime API changes, a reload forgets.
fn until_reload(again: bool) -> &'static str {
    if again { " (it was so already)" } else { " (until HAProxy is reloaded)" }
}

fn refuse(error: SimulateError) -> ActError {
    match error {
        SimulateError::NoInstance { target, instance } => ActError::NotFound(format!("{target}/{instance}")),
        other => ActError::Unsupported(other.to_string()),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

//! One backend: what its servers are, and the few commands that change one of them.
//!
//! Called by the actuator and its actions.

use std::time::Duration;

use super::servers::{self, Server, Statistics, Wanted};
use super::socket::{AskError, Place, ask};
use crate::act::said::said;
use crate::act::{ActError, HaproxySettings};
use crate::model::{ActionKind, Instance, TargetId, TargetState};

/// HAProxy's own ceiling.
pub(super) const MOST_WEIGHT: u32 = 256;
/// Below this, a tenth of the traffic can no longer be said.
const SMALL_WEIGHT: u32 = 10;

/// A backend of a HAProxy.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    pub target: TargetId,
    place: Place,
    timeout: Duration,
    pub drain_within: Duration,
}

/// What the socket lets us do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// Everything.
    Admin,
    /// Only look; the level's name.
    Less(String),
    /// HAProxy is older than the question.
    Untold,
}

impl Backend {
    pub fn new(settings: HaproxySettings) -> Self {
        let place = match (settings.socket, settings.address) {
            (Some(path), None) => Place::Unix(path),
            (None, Some(address)) => Place::Tcp(address),
            _ => Place::Nowhere,
        };
        Self { target: settings.name, place, timeout: settings.timeout, drain_within: settings.drain_within }
    }

    fn name(&self) -> &str {
        self.target.name()
    }

    /// Asks something that changes nothing.
    async fn look(&self, command: &str) -> Result<String, ActError> {
        let reply = ask(&self.place, command, self.timeout).await.map_err(|e| match e {
            // A look changes nothing, so a broken one is no worse than none.
            AskError::Broken(why) => ActError::Unavailable(self.target.to_string(), why),
            other => self.trouble(other, String::new),
        })?;
        match reply.trim() {
            "Can't find backend." | "No such backend." | "No such proxy." => Err(ActError::NotFound(format!(
                "{}: HAProxy at {} has no backend `{}`, and that",
                self.target,
                self.place,
                self.name()
            ))),
            _ => Ok(reply),
        }
    }

    /// Says something that changes `subject`. Success is silent.
    async fn tell(&self, command: &str, subject: &str) -> Result<(), ActError> {
        let reply =
            ask(&self.place, command, self.timeout).await.map_err(|e| self.trouble(e, || subject.to_owned()))?;
        let reply = reply.trim();
        match reply {
            "" => Ok(()),
            "Permission denied" => Err(self.not_admin()),
            "No such server." | "No such backend." => Err(ActError::NotFound(subject.to_owned())),
            _ if reply.starts_with("Unknown command") => Err(ActError::Unsupported(format!(
                "this HAProxy does not know the command for {subject}: it is too old, update it"
            ))),
            _ if reply.contains("static LB algorithm") => Err(ActError::Unsupported(format!(
                "backend {} balances in a way that fixes weights when HAProxy starts: use `balance roundrobin`, \
                 `leastconn` or `random`, or `hash-type consistent`",
                self.name()
            ))),
            _ if reply.starts_with("Absolute weight can only be") || reply.contains("' expects '") => {
                Err(ActError::Unsupported(format!("HAProxy refuses that for {subject}: {}", said(reply))))
            }
            _ => Err(ActError::OutcomeUnknown(subject.to_owned(), format!("HAProxy answered `{}`", said(reply)))),
        }
    }

    fn trouble(&self, error: AskError, subject: impl FnOnce() -> String) -> ActError {
        let target = self.target.to_string();
        match error {
            AskError::NoConnection(why) => ActError::Unavailable(
                target,
                format!(
                    "no HAProxy answers at {} ({}): is it running, with `stats socket {} level admin` in its config?",
                    self.place,
                    said(&why),
                    self.place
                ),
            ),
            AskError::Forbidden(_) => ActError::Denied(format!(
                "{target}: we may not open {}: write `mode 660 group suture` behind `stats socket`, or add our user to \
                 the socket's group",
                self.place
            )),
            AskError::TimedOut => ActError::TimedOut(format!("HAProxy of {target}")),
            AskError::Broken(why) => ActError::OutcomeUnknown(subject(), said(&why)),
        }
    }

    pub fn not_admin(&self) -> ActError {
        ActError::Denied(format!(
            "{} needs the level admin on its runtime socket: write `stats socket {} level admin` in haproxy.cfg",
            self.target, self.place
        ))
    }

    /// The servers, in the order of their names.
    pub async fn servers(&self) -> Result<Vec<Server>, ActError> {
        let reply = self.look(&format!("show servers state {}", self.name())).await?;
        servers::of_state(&reply, self.name()).map_err(|why| self.strange("show servers state", &why))
    }

    pub async fn statistics(&self) -> Result<Statistics, ActError> {
        let reply = self.look(&format!("show stat {} 6 -1", self.name())).await?;
        servers::of_stat(&reply).map_err(|why| self.strange("show stat", &why))
    }

    /// Connections that a server still has, and those that wait for it.
    pub async fn connections(&self, server: &str) -> Result<u64, ActError> {
        Ok(self.statistics().await?.connections.get(server).copied().unwrap_or(0))
    }

    fn strange(&self, command: &str, why: &str) -> ActError {
        let text = format!("its answer to `{command}` cannot be read ({why}): is that HAProxy, 1.8 or later?");
        ActError::Unavailable(self.target.to_string(), text)
    }

    pub async fn level(&self) -> Result<Level, ActError> {
        let reply = self.look("show cli level").await?;
        Ok(match reply.trim() {
            "admin" => Level::Admin,
            level @ ("operator" | "user") => Level::Less(level.to_owned()),
            _ => Level::Untold,
        })
    }

    pub async fn set_weight(&self, server: &str, weight: u32) -> Result<(), ActError> {
        let subject = format!("{}/{server}", self.target);
        self.tell(&format!("set weight {}/{server} {weight}", self.name()), &subject).await
    }

    pub async fn set_state(&self, server: &str, wanted: Wanted) -> Result<(), ActError> {
        let subject = format!("{}/{server}", self.target);
        self.tell(&format!("set server {}/{server} state {}", self.name(), wanted.word()), &subject).await
    }
}

/// The name of the setting that says what is wanted of a server.
pub(super) fn setting_of(server: &str) -> String {
    format!("state/{server}")
}

/// The state that servers make, without notes.
pub(super) fn state_of(servers: &[Server]) -> TargetState {
    let count = u32::try_from(servers.len()).unwrap_or(u32::MAX);
    TargetState {
        replicas: count,
        min_replicas: count,
        max_replicas: count,
        instances: servers
            .iter()
            .map(|server| Instance {
                name: server.name.clone(),
                up: server.up,
                isolated: server.wanted != Wanted::Ready,
                weight: server.weight,
                generation: 0,
            })
            .collect(),
        can: [ActionKind::Traffic, ActionKind::Isolate, ActionKind::Configure].into(),
        settings: servers.iter().map(|s| (setting_of(&s.name), s.wanted.word().to_owned())).collect(),
        ..TargetState::default()
    }
}

/// What who approves a change has to know.
pub(super) fn notes_of(backend: &str, servers: &[Server], balance: Option<&str>, level: &Level) -> Vec<String> {
    let mut notes = Vec::new();
    if let Level::Less(level) = level {
        notes.push(format!("the runtime socket has the level {level}: nothing can be changed without `level admin`"));
    }
    let greatest = servers.iter().map(|server| server.weight).max().unwrap_or(0);
    if servers.len() > 1 && greatest < SMALL_WEIGHT {
        notes.push(format!(
            "no server of {backend} weighs more than {greatest}, so that a small part of the traffic cannot be given: \
             write `weight 100` at each in haproxy.cfg"
        ));
    }
    match balance.unwrap_or_default().split(['(', ' ']).next().unwrap_or_default() {
        "static-rr" => notes.push(format!("{backend} balances by static-rr: weights cannot be changed while it runs")),
        hash @ ("source" | "uri" | "url_param" | "hdr" | "rdp-cookie" | "hash") => notes.push(format!(
            "{backend} balances by {hash}: weights can be changed while it runs only with `hash-type consistent`"
        )),
        _ => {}
    }
    let borrowed: Vec<&str> = servers.iter().filter(|s| s.borrowed).map(|s| s.name.as_str()).take(10).collect();
    if !borrowed.is_empty() {
        notes.push(format!(
            "the state of {} comes from a server they track, or from a name that does not resolve",
            borrowed.join(", ")
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, weight: u32) -> Server {
        Server { name: name.to_owned(), up: true, wanted: Wanted::Ready, borrowed: false, weight }
    }

    #[test]
    fn notes_say_what_cannot_be_done() {
        let small = [server("a", 1), server("b", 1)];
        let notes = notes_of("shop", &small, Some("static-rr"), &Level::Less("user".to_owned()));
        assert_eq!(notes.len(), 3, "{notes:#?}");
        assert!(notes[1].contains("weight 100"), "{notes:#?}");
        let usual = [server("a", 100), server("b", 20)];
        assert_eq!(notes_of("shop", &usual, Some("roundrobin"), &Level::Admin), Vec::<String>::new());
        let lent = [Server { borrowed: true, ..server("a", 100) }];
        assert!(notes_of("shop", &lent, Some("hdr(host)"), &Level::Untold).len() == 2);
    }
}

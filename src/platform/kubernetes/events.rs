//! One watch: events line by line, each with a bound on its size and on the silence before it.
//!
//! Called by [`super::Reflector`], and by who waits for a change to take effect.

use std::time::Duration;

use http_body_util::BodyExt as _;
use kube::client::Body;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use super::failure::{CallError, Why, refusal};

/// No object is larger than what the server's own store takes, 1.5 MB by default; JSON may be longer.
const MOST_LINE: usize = 8 * 1024 * 1024;
/// The server ends a watch after the time it was asked for; what is silent for longer than that is dead.
const SILENCE: Duration = Duration::from_secs(10);
/// How long a watch may last, in seconds: a new one shows that the server is still there. A connection that died
/// without a word is found out after this and [`SILENCE`].
pub(super) const LASTS: u64 = 45;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It is there, or has changed.
    Is,
    /// It is gone, or is not selected any more.
    Gone,
    /// Nothing; the version is a newer one.
    Bookmark,
}

/// An event of a watch.
#[derive(Clone, Debug)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// To what; of a bookmark only the version counts.
    pub object: Value,
}

impl Event {
    /// From where a new watch goes on.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.object.pointer("/metadata/resourceVersion").and_then(Value::as_str)
    }
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

/// What becomes of objects.
pub struct Events {
    body: Body,
    buffer: Vec<u8>,
    what: String,
    who: String,
}

impl Events {
    pub(super) fn new(body: Body, what: String, who: String) -> Self {
        Self { body, buffer: Vec::new(), what, who }
    }

    /// The next event; `None` when the server has ended the watch. Safe to be dropped half-way.
    ///
    /// # Errors
    /// When the watch has failed; `is_expired` when it has to begin with a new list.
    pub async fn next(&mut self) -> Result<Option<Event>, CallError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return self.event(&line).map(Some);
            }
            let silence = Duration::from_secs(LASTS) + SILENCE;
            let frame = match timeout(silence, self.body.frame()).await {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(None),
                Err(_) => return Err(self.error(Why::TimedOut)),
            };
            let frame = frame.map_err(|e| self.error(Why::Lost(super::connect::in_words(&e))))?;
            let Some(data) = frame.data_ref() else { continue };
            if self.buffer.len() + data.len() > MOST_LINE {
                return Err(self.error(Why::Strange(format!("an event is longer than {MOST_LINE} bytes"))));
            }
            self.buffer.extend_from_slice(data);
        }
    }

    fn event(&self, line: &[u8]) -> Result<Event, CallError> {
        let strange = |_| self.error(Why::Strange("an event is no JSON".to_owned()));
        let line: Line = serde_json::from_slice(line).map_err(strange)?;
        let kind = match line.kind.as_str() {
            "ADDED" | "MODIFIED" => EventKind::Is,
            "DELETED" => EventKind::Gone,
            "BOOKMARK" => EventKind::Bookmark,
            "ERROR" => return Err(self.error(refusal(None, line.object.to_string().as_bytes(), None))),
            _ => return Err(self.error(Why::Strange("an event is of no kind that we know".to_owned()))),
        };
        Ok(Event { kind, object: line.object })
    }

    fn error(&self, why: Why) -> CallError {
        CallError { what: self.what.as_str().into(), who: self.who.as_str().into(), changes: false, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Events {
        let body = Body::from(text.as_bytes().to_vec());
        Events::new(body, "watch pods in namespace prod".to_owned(), "the cluster".to_owned())
    }

    #[tokio::test]
    async fn events_come_line_by_line_and_the_end_is_no_error() {
        let mut events = events(
            "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"5\"}}}\n\n\
             {\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"9\"}}}\n",
        );
        let first = events.next().await.unwrap().unwrap();
        assert_eq!((first.kind, first.version()), (EventKind::Is, Some("5")));
        let second = events.next().await.unwrap().unwrap();
        assert_eq!((second.kind, second.version()), (EventKind::Bookmark, Some("9")));
        assert!(events.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_version_that_is_too_old_is_told_apart() {
        let line = "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"message\":\"too old\"}}\n";
        assert!(events(line).next().await.unwrap_err().is_expired());
    }
}

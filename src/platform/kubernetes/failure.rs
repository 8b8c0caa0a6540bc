//! Why a call came to nothing, and how far it got.
//!
//! Pure. Must never show an answer that cannot be read: it may hold secrets. Called by [`super::Api`].

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

/// Why a call came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// As access control calls it: `patch deployments/scale in namespace prod`.
    pub what: Box<str>,
    /// Who was asked: `the cluster east`.
    pub who: Box<str>,
    /// Would it have changed anything?
    pub changes: bool,
    /// Why.
    pub why: Why,
}

/// How far a call got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The server answered, and no.
    Refused {
        /// The HTTP status.
        code: u16,
        /// What the server said, fit to be shown.
        message: String,
        /// The causes that it named, each with its own words.
        causes: Vec<(String, String)>,
        /// Is that an answer about an object, or does the server not know such a path at all?
        knows_the_path: bool,
        /// How long it asks to wait.
        wait: Option<Duration>,
    },
    /// It was not sent.
    Unreachable(String),
    /// It was sent, and the answer did not come whole.
    Lost(String),
    /// It may have been sent; no answer came in time.
    TimedOut,
    /// The answer is none that we can read.
    Strange(String),
}

impl CallError {
    /// Nothing is there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self.why, Why::Refused { code: 404, .. })
    }

    /// The version that was asked for is too old to follow.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        matches!(self.why, Why::Refused { code: 410, .. })
    }

    /// Somebody was faster. Nothing happened.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self.why, Why::Refused { code: 409, .. })
    }

    /// We may not.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self.why, Why::Refused { code: 403, .. })
    }

    /// Our credentials are not accepted.
    #[must_use]
    pub fn is_stranger(&self) -> bool {
        matches!(self.why, Why::Refused { code: 401, .. })
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::Refused { code: 401, .. } => write!(f, "{} does not accept our credentials (401)", self.who),
            Why::Refused { code, message, .. } => write!(f, "{}: {} answers {code}: {message}", self.what, self.who),
            Why::Unreachable(why) => write!(f, "{} cannot be reached: {why}", self.who),
            Why::Lost(why) => write!(f, "{}: the answer of {} was lost: {why}", self.what, self.who),
            Why::TimedOut => write!(f, "{}: no answer from {} in time", self.what, self.who),
            Why::Strange(why) => write!(f, "{}: what {} answers cannot be read: {why}", self.what, self.who),
        }
    }
}

impl std::error::Error for CallError {}

/// What the server says when it refuses.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
    details: Option<Details>,
    code: u16,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Details {
    name: String,
    causes: Option<Vec<Cause>>,
    retry_after_seconds: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    message: String,
}

/// What a refusal says. `code` is the HTTP status; an event of a watch has its own.
pub(super) fn refusal(code: Option<u16>, body: &[u8], wait: Option<Duration>) -> Why {
    let status: Option<Status> = serde_json::from_slice(body).ok();
    let knows_the_path = status.as_ref().is_some_and(|s| s.details.as_ref().is_some_and(|d| !d.name.is_empty()));
    let status = status.unwrap_or_default();
    let details = status.details.unwrap_or_default();
    let causes = details.causes.unwrap_or_default().into_iter().take(8);
    let message = if status.message.is_empty() { "no word why".to_owned() } else { shown(&status.message, 400) };
    Why::Refused {
        code: code.unwrap_or(status.code),
        message,
        causes: causes.map(|cause| (shown(&cause.reason, 80), shown(&cause.message, 300))).collect(),
        knows_the_path,
        wait: wait.or((details.retry_after_seconds > 0).then(|| Duration::from_secs(details.retry_after_seconds))),
    }
}

/// A piece of somebody else's text that is safe to show: one line, no control or direction-changing characters.
#[must_use]
pub fn shown(text: &str, most: usize) -> String {
    let plain = |c: char| if c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric() { c } else { '\u{b7}' };
    let mut shown: String = text.trim().chars().take(most).map(|c| if c == '\n' { ' ' } else { plain(c) }).collect();
    if text.trim().chars().nth(most).is_some() {
        shown.push('\u{2026}');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_refusal_is_read_and_its_text_made_safe() {
        let body = json!({"kind": "Status", "code": 429, "message": "no\u{202e}w", "reason": "TooManyRequests",
            "details": {"name": "web-1", "retryAfterSeconds": 10,
                "causes": [{"reason": "DisruptionBudget", "message": "needs 2"}]}});
        let Why::Refused { code, message, causes, wait, knows_the_path } =
            refusal(Some(429), body.to_string().as_bytes(), None)
        else {
            panic!("refused");
        };
        assert_eq!((code, message.as_str(), wait), (429, "no\u{b7}w", Some(Duration::from_secs(10))));
        assert_eq!(causes, [("DisruptionBudget".to_owned(), "needs 2".to_owned())]);
        assert!(knows_the_path);
    }

    #[test]
    fn a_path_that_the_server_does_not_know_is_told_apart_from_an_object_that_is_not_there() {
        let Why::Refused { knows_the_path, .. } = refusal(Some(404), b"404 page not found\n", None) else {
            panic!("refused");
        };
        assert!(!knows_the_path);
    }
}

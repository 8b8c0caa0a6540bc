//! Calls to one cluster's API server, with a bound on everything: time, bytes, pages.
//!
//! Says precisely how far a call got: refused, not sent, sent and unanswered. Must never repeat a call that may have had
//! an effect; one whose credentials were not accepted had none, and is repeated once with newer ones. Never shows an
//! answer that cannot be read: it may hold secrets. Called by the actuator, the source and discovery.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::header::RETRY_AFTER;
use kube::client::Body;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::ask::Ask;
use super::connect::{Slot, in_words};
use super::events::Events;
use super::failure::{CallError, Why, refusal};

/// A look is answered from memory or a database beside the server: past this it is down or overloaded.
const LOOK_WITHIN: Duration = Duration::from_secs(15);
/// A change may pass admission webhooks, which have 10 s each by default and 30 s at most.
const CHANGE_WITHIN: Duration = Duration::from_secs(35);
/// A page of 500 large pods has some 10 MB.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// A refusal has some hundred bytes.
const MOST_REFUSAL_BYTES: usize = 64 * 1024;
/// Objects a page, as the API's own tools ask.
const PAGE: usize = 500;

/// The objects of a list.
#[derive(Clone, Debug)]
pub struct Listed<T> {
    /// The objects, in the server's order.
    pub items: Vec<T>,
    /// The version from which on a watch tells what becomes of them.
    pub version: String,
    /// There are more of them than were asked for.
    pub more: bool,
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Page<T> {
    #[serde(default)]
    metadata: PageMeta,
    #[serde(default)]
    items: Option<Vec<T>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    next: Option<String>,
}

/// Calls to one cluster. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    slot: Arc<Slot>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Api({})", self.slot.name)
    }
}

impl Api {
    pub(super) fn new(slot: Arc<Slot>) -> Self {
        Self { slot }
    }

    /// For people: `the cluster east`.
    #[must_use]
    pub fn who(&self) -> &str {
        &self.slot.name
    }

    /// Makes a call, and reads the answer.
    ///
    /// # Errors
    /// Any; see [`Why`] for how far it got.
    pub async fn call<T: DeserializeOwned>(&self, ask: &Ask<'_>) -> Result<T, CallError> {
        let within = if ask.changes { CHANGE_WITHIN } else { LOOK_WITHIN };
        let answer = timeout(within, async {
            let response = self.send(ask).await?;
            bytes(response, MOST_BYTES).await
        });
        let bytes = answer.await.unwrap_or(Err(Why::TimedOut)).map_err(|why| self.error(ask, why))?;
        // Where in the answer is told, and what kind of thing was found there; not the thing.
        let strange = |e: serde_json::Error| Why::Strange(format!("line {}, column {}", e.line(), e.column()));
        serde_json::from_slice(&bytes).map_err(|e| self.error(ask, strange(e)))
    }

    /// All objects of a list, page by page, and at most `most` of them.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn list<T: DeserializeOwned>(&self, ask: Ask<'_>, most: usize) -> Result<Listed<T>, CallError> {
        let mut listed = Listed { items: Vec::new(), version: String::new(), more: false };
        let mut next: Option<String> = None;
        loop {
            let left = most.saturating_sub(listed.items.len());
            let mut ask = ask.clone().with("limit", &PAGE.min(left).to_string());
            if let Some(next) = &next {
                ask = ask.with("continue", next);
            }
            let page: Page<T> = self.call(&ask).await?;
            let fresh = page.items.unwrap_or_default();
            let was_empty = fresh.is_empty();
            listed.items.extend(fresh);
            listed.version = page.metadata.resource_version;
            next = page.metadata.next.filter(|next| !next.is_empty());
            if next.is_none() || was_empty || listed.items.len() >= most {
                listed.more = next.is_some() || listed.items.len() > most;
                listed.items.truncate(most);
                return Ok(listed);
            }
        }
    }

    /// Begins to follow what becomes of objects.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn watch(&self, ask: &Ask<'_>) -> Result<Events, CallError> {
        let response = timeout(LOOK_WITHIN, self.send(ask)).await.unwrap_or(Err(Why::TimedOut));
        let response = response.map_err(|why| self.error(ask, why))?;
        Ok(Events::new(response.into_body(), ask.in_words(), self.who().to_owned()))
    }

    /// Sends a call, and hands on what is an answer to it.
    async fn send(&self, ask: &Ask<'_>) -> Result<Response<Body>, Why> {
        let (client, number) = self.slot.client().await.map_err(Why::Unreachable)?;
        let response = send_once(&client, ask).await?;
        if response.status().as_u16() != 401 {
            return accepted(response).await;
        }
        // Not accepted, so nothing happened: once more with newer credentials, where there may be any.
        match self.slot.newer(number).await {
            Some(client) => {
                let (client, _) = client.map_err(Why::Unreachable)?;
                let response = send_once(&client, ask).await?;
                self.slot.was_in_vain(response.status().as_u16() == 401).await;
                accepted(response).await
            }
            None => accepted(response).await,
        }
    }

    fn error(&self, ask: &Ask<'_>, why: Why) -> CallError {
        CallError { what: ask.in_words().into(), who: self.who().into(), changes: ask.changes, why }
    }
}

async fn send_once(client: &kube::Client, ask: &Ask<'_>) -> Result<Response<Body>, Why> {
    let request = ask.request().map_err(Why::Unreachable)?;
    client.send(request).await.map_err(|error| {
        let why = in_words(&error);
        if was_not_sent(&error) { Why::Unreachable(why) } else { Why::Lost(why) }
    })
}

/// Was there no connection to send it over, or nothing to say who we are?
fn was_not_sent(error: &kube::Error) -> bool {
    match error {
        kube::Error::Auth(_) => true,
        kube::Error::Service(boxed) => {
            let connecting = boxed.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|e| e.is_connect());
            connecting || boxed.is::<kube::client::AuthError>()
        }
        _ => false,
    }
}

/// The answer, where it is a yes.
async fn accepted(response: Response<Body>) -> Result<Response<Body>, Why> {
    let code = response.status();
    if code.is_success() {
        return Ok(response);
    }
    let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wait = wait.and_then(|value| value.trim().parse().ok()).map(Duration::from_secs);
    let body = bytes(response, MOST_REFUSAL_BYTES).await.unwrap_or_default();
    Err(refusal(Some(code.as_u16()), &body, wait))
}

async fn bytes(response: Response<Body>, most: usize) -> Result<Vec<u8>, Why> {
    let (mut body, mut bytes) = (response.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Why::Lost(in_words(&e)))?;
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() + data.len() > most {
            return Err(Why::Strange(format!("longer than {} MB", most / (1024 * 1024))));
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}

//! HTTP mode: Slack calls us. For where outgoing WebSockets are not possible; then the address has to be reachable.
//!
//! Everything is signed: what is not signed by Slack within the last five minutes is not looked at.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Map, Value};
use slack_morphism::SlackSigningSecret;
use slack_morphism::signature_verifier::SlackEventSignatureVerifier;

use super::HttpMode;
use super::errors::PLATFORM;
use super::events::Kind;
use super::intake::{Ack, Intake};
use crate::chat::ChatError;

/// Slack's largest, a press on a full message, has some 100 kB.
const MOST_BYTES: usize = 1024 * 1024;

/// What the routes share.
struct Shared {
    verifier: SlackEventSignatureVerifier,
    intake: Arc<Intake>,
}

/// Listens until dropped.
pub(super) async fn listen(mode: &HttpMode, intake: Arc<Intake>) -> Result<(), ChatError> {
    let listener = bind(mode.listen).await?;
    serve(listener, mode, intake).await
}

/// Takes the address.
pub(super) async fn bind(at: SocketAddr) -> Result<tokio::net::TcpListener, ChatError> {
    if !at.ip().is_loopback() {
        tracing::warn!(
            listen = %at,
            "Slack's calls are taken on an address that others can reach, without TLS of our own: put a proxy in \
             front."
        );
    }
    tokio::net::TcpListener::bind(at)
        .await
        .map_err(|e| ChatError::hopeless(PLATFORM, format!("http.listen: cannot listen on {at}: {e}")))
}

/// Answers on this listener.
pub(super) async fn serve(
    listener: tokio::net::TcpListener,
    mode: &HttpMode,
    intake: Arc<Intake>,
) -> Result<(), ChatError> {
    axum::serve(listener, router(mode, intake))
        .await
        .map_err(|e| ChatError::new(PLATFORM, format!("http: no longer listening: {e}")))
}

fn router(mode: &HttpMode, intake: Arc<Intake>) -> Router {
    let secret = SlackSigningSecret(mode.signing_secret.expose().to_owned());
    let shared = Arc::new(Shared { verifier: SlackEventSignatureVerifier::new(&secret), intake });
    Router::new()
        .route("/slack/events", post(events))
        .route("/slack/commands", post(commands))
        .route("/slack/interactions", post(interactions))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(shared)
}

async fn events(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    take(&shared, Kind::Event, &headers, &body, |body| serde_json::from_str(body).map_err(|e| e.to_string())).await
}

async fn commands(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    take(&shared, Kind::Command, &headers, &body, |body| Ok(Value::Object(form(body)))).await
}

async fn interactions(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let payload = |body: &str| {
        let form = form(body);
        let payload = form.get("payload").and_then(Value::as_str).ok_or("no payload")?;
        serde_json::from_str(payload).map_err(|e| e.to_string())
    };
    take(&shared, Kind::Interaction, &headers, &body, payload).await
}

async fn take(
    shared: &Shared,
    kind: Kind,
    headers: &HeaderMap,
    body: &Bytes,
    parse: impl Fn(&str) -> Result<Value, String>,
) -> Response {
    let Some(body) = signed(&shared.verifier, headers, body) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    match parse(body) {
        Ok(payload) => answer(&shared.intake.hear(kind, &payload).await),
        Err(why) => {
            shared.intake.unreadable(&why);
            // Not delivered again: it would be no better.
            StatusCode::OK.into_response()
        }
    }
}

/// The body, if Slack signed it just now. Compares in constant time.
fn signed<'a>(verifier: &SlackEventSignatureVerifier, headers: &HeaderMap, body: &'a Bytes) -> Option<&'a str> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signature = header(SlackEventSignatureVerifier::SLACK_SIGNED_HASH_HEADER)?;
    let time = header(SlackEventSignatureVerifier::SLACK_SIGNED_TIMESTAMP)?;
    // Digits only, and not so many that the library's subtraction could overflow.
    if time.len() > 12 || !time.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let body = std::str::from_utf8(body).ok()?;
    match verifier.verify(signature, body, time) {
        Ok(()) => Some(body),
        Err(error) => {
            tracing::warn!(%error, "A call to Slack's address was not signed by Slack.");
            None
        }
    }
}

fn answer(ack: &Ack) -> Response {
    match ack.payload() {
        Some(payload) => Json(payload).into_response(),
        None => StatusCode::OK.into_response(),
    }
}

/// The fields of a form.
fn form(body: &str) -> Map<String, Value> {
    let Ok(mut url) = reqwest::Url::parse("http://slack.invalid/") else { return Map::new() };
    url.set_query(Some(body));
    url.query_pairs().map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read() {
        let form = form("text=approve+7+%26+more&user_id=U1&token=a%2Bb#x&empty=");
        assert_eq!(form["text"], "approve 7 & more");
        assert_eq!(form["user_id"], "U1");
        assert_eq!(form["token"], "a+b#x");
        assert_eq!(form["empty"], "");
    }
}

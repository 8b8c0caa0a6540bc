//! The control API: HTTP/1 on a unix socket for the daemon, and service discovery on loopback for scrapers.
//!
//! Everything that comes in is bounded and typed before it is looked at. What scrapers can reach changes nothing.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::supervisor::Supervisor;
use super::wire::{ApplyRequest, Refusal};

/// The longest request: weights for every worker fit in a few kilobytes.
const REQUEST_BODY: usize = 64 * 1024;

/// For the unix socket.
pub(super) fn router(supervisor: Arc<Supervisor>) -> Router {
    Router::new()
        .route("/state", get(state))
        .route("/apply", post(apply))
        .route("/sd", get(sd))
        .route("/stop", post(stop))
        .layer(DefaultBodyLimit::max(REQUEST_BODY))
        .with_state(supervisor)
}

/// For loopback: looks only.
pub(super) fn discovery(supervisor: Arc<Supervisor>) -> Router {
    Router::new().route("/sd", get(sd)).with_state(supervisor)
}

async fn state(State(supervisor): State<Arc<Supervisor>>) -> Response {
    Json(supervisor.report()).into_response()
}

async fn sd(State(supervisor): State<Arc<Supervisor>>) -> Response {
    Json(supervisor.fleet.lock().discovery(&supervisor.settings.metrics)).into_response()
}

async fn apply(State(supervisor): State<Arc<Supervisor>>, body: axum::body::Bytes) -> Response {
    let request: ApplyRequest = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return refuse(Refusal::Unsupported { why: format!("not an action: {error}") }),
    };
    let subject = request.action.subject();
    // A task of its own: a caller that goes away does not cut an action in two. It is joined here, or, after the
    // caller went away, by the lock that the next action waits for.
    match tokio::spawn(supervisor.apply(request)).await {
        Ok(Ok(receipt)) => Json(receipt).into_response(),
        Ok(Err(refusal)) => refuse(refusal),
        Err(error) => refuse(Refusal::OutcomeUnknown { subject, why: error.to_string() }),
    }
}

async fn stop(State(supervisor): State<Arc<Supervisor>>) -> Response {
    supervisor.stop.notify_one();
    StatusCode::ACCEPTED.into_response()
}

fn refuse(refusal: Refusal) -> Response {
    (refusal.status(), Json(refusal)).into_response()
}

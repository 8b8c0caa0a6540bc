//! The control API: HTTP/1 on a unix socket for the daemon, and service discovery on loopback for scrapers.
//!
//! Everything that comes in is bounded and typed before it is looked at. What scrapers can reach changes nothing.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::page::PAGE_TYPE;
use super::supervisor::Supervisor;
use super::wire::{ApplyRequest, FaultReceipt, PutFault, Refusal, RenewFault};

/// The longest request: weights for every worker fit in a few kilobytes.
const REQUEST_BODY: usize = 64 * 1024;

/// For the unix socket.
pub(super) fn router(supervisor: Arc<Supervisor>) -> Router {
    Router::new()
        .route("/state", get(state))
        .route("/apply", post(apply))
        .route("/sd", get(sd))
        .route("/stop", post(stop))
        .route("/faults", get(faults))
        .route("/faults/{id}", axum::routing::put(put_fault).delete(take_fault_out))
        .route("/faults/{id}/renew", post(renew_fault))
        .layer(DefaultBodyLimit::max(REQUEST_BODY))
        .with_state(supervisor)
}

/// For loopback: looks only.
pub(super) fn discovery(supervisor: Arc<Supervisor>) -> Router {
    Router::new()
        .route("/sd", get(sd))
        .route("/sd/front", get(sd_front))
        .route("/front/{worker}/metrics", get(front))
        .with_state(supervisor)
}

async fn state(State(supervisor): State<Arc<Supervisor>>) -> Response {
    Json(supervisor.report()).into_response()
}

async fn sd(State(supervisor): State<Arc<Supervisor>>) -> Response {
    Json(supervisor.fleet.lock().discovery(&supervisor.settings.metrics)).into_response()
}

async fn sd_front(State(supervisor): State<Arc<Supervisor>>) -> Response {
    Json(supervisor.front_discovery()).into_response()
}

async fn front(State(supervisor): State<Arc<Supervisor>>, Path(worker): Path<String>) -> Response {
    let page = supervisor.fleet.lock().front_page(&worker);
    page.map_or_else(
        || (StatusCode::NOT_FOUND, "there is no such worker\n").into_response(),
        |page| ([(header::CONTENT_TYPE, PAGE_TYPE)], page).into_response(),
    )
}

async fn faults(State(supervisor): State<Arc<Supervisor>>) -> Response {
    Json(supervisor.faults_report().await).into_response()
}

async fn put_fault(
    State(supervisor): State<Arc<Supervisor>>,
    Path(id): Path<String>,
    body: axum::body::Bytes,
) -> Response {
    match serde_json::from_slice::<PutFault>(&body) {
        Ok(wanted) => carried_through(async move { supervisor.put_fault(&id, wanted).await }).await,
        Err(error) => refuse(Refusal::Unsupported { why: format!("not a fault: {error}") }),
    }
}

async fn renew_fault(
    State(supervisor): State<Arc<Supervisor>>,
    Path(id): Path<String>,
    body: axum::body::Bytes,
) -> Response {
    match serde_json::from_slice::<RenewFault>(&body) {
        Ok(RenewFault { lease_ms }) => {
            carried_through(async move { supervisor.renew_fault(&id, lease_ms).await }).await
        }
        Err(error) => refuse(Refusal::Unsupported { why: format!("not a lease: {error}") }),
    }
}

async fn take_fault_out(State(supervisor): State<Arc<Supervisor>>, Path(id): Path<String>) -> Response {
    carried_through(async move { supervisor.take_fault_out(&id).await }).await
}

/// In a task of its own, joined here: a caller that goes away does not leave a fault half in or half out.
async fn carried_through(work: impl Future<Output = Result<String, Refusal>> + Send + 'static) -> Response {
    match tokio::spawn(work).await {
        Ok(Ok(receipt)) => Json(FaultReceipt { receipt }).into_response(),
        Ok(Err(refusal)) => refuse(refusal),
        Err(error) => refuse(Refusal::OutcomeUnknown { subject: "the fault".to_owned(), why: error.to_string() }),
    }
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

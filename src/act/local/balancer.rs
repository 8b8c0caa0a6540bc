//! The reverse proxy in front of the workers.
//!
//! Streams both ways with bounded memory: so many requests at once, so long a request body. A request is sent to one
//! worker once; what fails is told to the client and never sent a second time, because the worker may have done it.
//! Speaks HTTP/1 and does not upgrade connections: no websockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, Version, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::fleet::{Fleet, Pick};
use super::front::{DeadEnd, Front};
use super::supervisor::Locked;
use super::wire::Traffic;

/// Requests at once over all workers; more are answered 503, so that a flood costs no memory.
const REQUESTS: usize = 2048;
/// The longest request body that is passed on.
const REQUEST_BODY: usize = 8 * 1024 * 1024;
/// How long a worker may take to begin its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long a connection to a worker that cannot be reached takes to be given up.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// How long a connection to a worker may idle: shorter than any common server keeps it, so that a request seldom meets
/// a connection that is being closed.
const IDLE: Duration = Duration::from_secs(1);
/// Idle connections kept to each worker.
const IDLE_CONNECTIONS: usize = 64;

/// Headers that belong to one connection and are not passed on (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// The proxy's own state.
pub(super) struct Balancer {
    fleet: Arc<Locked<Fleet>>,
    client: Client<HttpConnector, Body>,
    room: Arc<Semaphore>,
    full_at: usize,
    /// The path of the workers' door for faults, in its segments: for the supervisor, never for a client.
    door: Option<Vec<String>>,
    answered: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
}

impl Balancer {
    pub(super) fn new(fleet: Arc<Locked<Fleet>>, max_in_flight: u32, door: Option<&str>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_WITHIN * 2));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(connector);
        Self {
            fleet,
            client,
            room: Arc::new(Semaphore::new(REQUESTS)),
            full_at: max_in_flight.max(1) as usize,
            door: door.map(segments),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            answered: self.answered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    pub(super) fn router(self: Arc<Self>) -> axum::Router {
        axum::Router::new().fallback(forward).with_state(self)
    }

    fn refuse(&self, why: &'static str) -> Response {
        self.refused.fetch_add(1, Ordering::Relaxed);
        (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], why).into_response()
    }

    /// As a connection that nobody answers.
    async fn cut_off(&self) -> Response {
        sleep(CONNECT_WITHIN).await;
        self.fail(StatusCode::GATEWAY_TIMEOUT, "the worker cannot be reached\n".to_owned())
    }

    fn fail(&self, status: StatusCode, why: String) -> Response {
        self.failed.fetch_add(1, Ordering::Relaxed);
        (status, why).into_response()
    }
}

async fn forward(State(balancer): State<Arc<Balancer>>, request: Request) -> Response {
    let Ok(room) = Arc::clone(&balancer.room).try_acquire_owned() else {
        return balancer.refuse("the balancer is full\n");
    };
    if too_long(request.headers()) {
        return (StatusCode::PAYLOAD_TOO_LARGE, "the request body is too long\n").into_response();
    }
    if balancer.door.as_ref().is_some_and(|door| segments(request.uri().path()).starts_with(door)) {
        return (StatusCode::NOT_FOUND, "there is no such page\n").into_response();
    }
    let (addr, in_flight, front) = match balancer.fleet.lock().pick(balancer.full_at) {
        Pick::Worker(addr, in_flight, front) => (addr, in_flight, front),
        Pick::NoneServing => return balancer.refuse("no worker is serving\n"),
        Pick::AllFull => return balancer.refuse("all workers are full\n"),
    };
    let Some(request) = readdress(request, addr) else {
        return (StatusCode::BAD_REQUEST, "this request cannot be passed on\n").into_response();
    };
    let passage = front.passage();
    let mut asked = Asked { front, began: Instant::now(), good: false };
    if !passage.delay.is_zero() {
        asked.front.hold_up(passage.delay).await;
    }
    match passage.end {
        None => {}
        Some(DeadEnd::CutOff) => {
            return balancer.cut_off().await;
        }
        Some(DeadEnd::BreaksOff) => {
            balancer.failed.fetch_add(1, Ordering::Relaxed);
            return break_off();
        }
        Some(DeadEnd::Answered(status)) => {
            asked.good = !status.is_server_error();
            return balancer.fail(status, "a fault was put in here on purpose\n".to_owned());
        }
    }
    let answer = tokio::select! {
        answer = timeout(ANSWER_WITHIN, balancer.client.request(request)) => answer,
        () = asked.front.cut_off() => return balancer.cut_off().await,
    };
    match answer {
        Err(_) => balancer.fail(StatusCode::GATEWAY_TIMEOUT, "the worker did not answer in time\n".to_owned()),
        Ok(Err(error)) if was_too_long(&error) => {
            asked.good = true;
            (StatusCode::PAYLOAD_TOO_LARGE, "the request body is too long\n").into_response()
        }
        Ok(Err(error)) => balancer.fail(StatusCode::BAD_GATEWAY, format!("the worker broke off: {error}\n")),
        Ok(Ok(answer)) => {
            balancer.answered.fetch_add(1, Ordering::Relaxed);
            asked.good = !answer.status().is_server_error();
            let (mut parts, body) = answer.into_parts();
            strip(&mut parts.headers);
            parts.version = Version::HTTP_11;
            // The request counts as in flight until the last byte of its answer, or until the client goes away.
            let body = body.map_frame(move |frame| {
                let _held = (&room, &in_flight);
                frame
            });
            Response::from_parts(parts, Body::new(body))
        }
    }
}

/// Tells the place before a worker of a request when its answer begins, or when its client has given it up: that one was
/// no good, or a worker would look better the slower it is.
struct Asked {
    front: Arc<Front>,
    began: Instant,
    good: bool,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.front.seen(self.began.elapsed(), self.good);
    }
}

/// An answer whose body fails before anything of it was written: the server closes the connection without a word.
fn break_off() -> Response {
    let torn = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    Response::new(Body::from_stream(futures::stream::iter([Err::<Bytes, _>(torn)])))
}

/// A path as a worker may understand it: decoded, without empty segments and those that lead back.
fn segments(path: &str) -> Vec<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let decoded = after
            .first_chunk::<2>()
            .filter(|_| *first == b'%')
            .and_then(|two| std::str::from_utf8(two).ok().and_then(|two| u8::from_str_radix(two, 16).ok()));
        bytes.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    let mut segments: Vec<String> = Vec::new();
    for segment in String::from_utf8_lossy(&bytes).split('/').filter(|s| !s.is_empty() && *s != ".") {
        if segment == ".." {
            segments.pop();
        } else {
            segments.push(segment.to_owned());
        }
    }
    segments
}

/// The same request for this worker; `None` for what a proxy cannot pass on.
fn readdress(request: Request, addr: SocketAddr) -> Option<Request> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query()?.clone();
    parts.uri = Uri::builder().scheme("http").authority(addr.to_string()).path_and_query(path).build().ok()?;
    parts.version = Version::HTTP_11;
    strip(&mut parts.headers);
    // A body of unknown length is cut off at the limit while it streams.
    let body = if has_body(&parts.headers) || !hyper::body::Body::is_end_stream(&body) {
        Body::new(Limited::new(body, REQUEST_BODY))
    } else {
        Body::empty()
    };
    Some(Request::from_parts(parts, body))
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::CONTENT_LENGTH)
}

fn too_long(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    length.is_some_and(|n| n > REQUEST_BODY as u64)
}

fn was_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |e| e.source()).any(|e| e.is::<LengthLimitError>())
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::segments;

    #[test]
    fn a_path_is_read_as_a_worker_may_read_it() {
        for same in ["/fault", "/fault/", "//fault", "/./fault", "/x/../fault", "/%66ault", "/x%2F..%2Ffault", "fault"]
        {
            assert_eq!(segments(same), ["fault"], "{same}");
        }
        assert!(segments("/fault/EXP-1.1").starts_with(&segments("/fault")));
        assert!(!segments("/faults").starts_with(&segments("/fault")));
        assert_eq!(segments("/50%/%zz"), ["50%", "%zz"]);
    }
}

//! The load on the sample service: an open loop, as customers are. It asks on its own schedule, however slow the
//! answers are, but never keeps more than [`AT_ONCE`] requests open.

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::SampleError;
use crate::act::local::parent_closed;

/// Requests open at once; more are skipped and counted, as customers who do not even get through.
const AT_ONCE: usize = 512;
/// A customer's patience.
const PATIENCE: Duration = Duration::from_secs(5);
/// Different items, so that a cache of one second helps a little and one of ten seconds a lot.
const ITEMS: u32 = 900;
/// The load wanders between these parts of the base rate. Not wider: one worker carries the upper end, two choke at
/// the lower end of a surge, and both must hold at once.
const WANDER: (f64, f64) = (0.7, 1.3);
/// How long it takes to wander there and back.
const PERIOD: Duration = Duration::from_secs(10);
/// The greatest factor that is taken.
const MAX_FACTOR: f64 = 20.0;

/// What the generator did so far: `GET /stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadStats {
    /// Requests sent.
    pub sent: u64,
    /// Answered 2xx.
    pub ok: u64,
    /// Answered otherwise, or broken off.
    pub failed: u64,
    /// Not answered within 5 s.
    pub timed_out: u64,
    /// Not sent, for too many were open.
    pub skipped: u64,
    /// The factor that is set.
    pub factor: f64,
    /// Requests a second, as it is meant to be now.
    pub rate: f64,
}

/// What the hidden subcommand `sample-load` is given.
#[derive(Clone, Debug)]
pub(super) struct LoadOptions {
    pub url: String,
    pub base_rps: f64,
    pub control: PathBuf,
    pub parent_pipe: bool,
}

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    ok: AtomicU64,
    failed: AtomicU64,
    timed_out: AtomicU64,
    skipped: AtomicU64,
    /// Bits of an `f64`.
    factor: AtomicU64,
    rate: AtomicU64,
}

/// Asks until SIGTERM, or until the end of the pipe on stdin.
///
/// # Errors
/// When the address makes no sense or the control socket cannot be made.
pub(super) async fn run(options: LoadOptions) -> Result<(), SampleError> {
    if !(options.base_rps.is_finite() && (0.1..=10_000.0).contains(&options.base_rps)) {
        return Err(SampleError("--base-rps must lie within 0.1 and 10000".to_owned()));
    }
    let counts = Arc::new(Counts::default());
    counts.factor.store(1.0_f64.to_bits(), Ordering::Relaxed);
    let control = listen(&options.control)?;
    let router = Router::new()
        .route("/factor", put(set_factor))
        .route("/stats", get(stats))
        .layer(DefaultBodyLimit::max(1024))
        .with_state(Arc::clone(&counts));
    let signals = |e| SampleError(format!("cannot listen for signals: {e}"));
    let mut term = signal(SignalKind::terminate()).map_err(signals)?;
    let _interrupt = signal(SignalKind::interrupt()).map_err(signals)?;
    let result = tokio::select! {
        ended = ask_on(&options.url, options.base_rps, &counts) => ended,
        _ = axum::serve(control, router).into_future() => Ok(()),
        _ = term.recv() => Ok(()),
        closed = parent_closed(), if options.parent_pipe => closed.map_err(|e| SampleError(e.to_string())),
    };
    let _ = std::fs::remove_file(&options.control);
    result
}

fn listen(socket: &Path) -> Result<UnixListener, SampleError> {
    let _ = std::fs::remove_file(socket);
    UnixListener::bind(socket).map_err(|e| SampleError(format!("cannot listen on {}: {e}", socket.display())))
}

/// Requests a second at this moment. A surge comes on top of the usual wandering, it does not widen it.
fn rate(base: f64, factor: f64, since: Duration) -> f64 {
    let (low, high) = WANDER;
    let wave = (TAU * since.as_secs_f64() / PERIOD.as_secs_f64()).sin();
    let usual = f64::midpoint(low, high) + wave * (high - low) / 2.0;
    (base * (usual + factor - 1.0)).max(0.1)
}

async fn ask_on(url: &str, base: f64, counts: &Arc<Counts>) -> Result<(), SampleError> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Body> = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(20))
        .build(connector);
    let began = Instant::now();
    let mut next = began;
    let mut open = JoinSet::new();
    loop {
        sleep_until(next).await;
        while open.try_join_next().is_some() {}
        let factor = f64::from_bits(counts.factor.load(Ordering::Relaxed));
        let rate = rate(base, factor, began.elapsed());
        counts.rate.store(rate.to_bits(), Ordering::Relaxed);
        // Half as long to half as long again: customers do not come in step.
        next += Duration::from_secs_f64((0.5 + fastrand::f64()) / rate);
        // After a stall the lost time is not made up for: that would be a burst nobody asked for.
        next = Instant::now().checked_sub(Duration::from_millis(50)).map_or(next, |earliest| next.max(earliest));
        if open.len() >= AT_ONCE {
            counts.skipped.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let request = Request::get(format!("{url}/buy?item={}", fastrand::u32(0..ITEMS))).body(Body::empty());
        let request = request.map_err(|e| SampleError(format!("--url {url}: {e}")))?;
        counts.sent.fetch_add(1, Ordering::Relaxed);
        open.spawn(ask(client.clone(), request, Arc::clone(counts)));
    }
}

async fn ask(client: Client<HttpConnector, Body>, request: Request<Body>, counts: Arc<Counts>) {
    let answer = async {
        let response = client.request(request).await.ok()?;
        let good = response.status().is_success();
        // Read to the end, or the connection cannot be used again.
        response.into_body().collect().await.ok().map(|_| good)
    };
    let counter = match timeout(PATIENCE, answer).await {
        Ok(Some(true)) => &counts.ok,
        Ok(_) => &counts.failed,
        Err(_) => &counts.timed_out,
    };
    counter.fetch_add(1, Ordering::Relaxed);
}

#[derive(Deserialize)]
struct Factor {
    factor: f64,
}

async fn set_factor(State(counts): State<Arc<Counts>>, Json(wanted): Json<Factor>) -> Response {
    if !wanted.factor.is_finite() || !(0.0..=MAX_FACTOR).contains(&wanted.factor) {
        return (StatusCode::UNPROCESSABLE_ENTITY, "a factor lies within 0 and 20\n").into_response();
    }
    counts.factor.store(wanted.factor.to_bits(), Ordering::Relaxed);
    StatusCode::NO_CONTENT.into_response()
}

async fn stats(State(counts): State<Arc<Counts>>) -> Json<LoadStats> {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Json(LoadStats {
        sent: read(&counts.sent),
        ok: read(&counts.ok),
        failed: read(&counts.failed),
        timed_out: read(&counts.timed_out),
        skipped: read(&counts.skipped),
        factor: f64::from_bits(read(&counts.factor)),
        rate: f64::from_bits(read(&counts.rate)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_wanders_between_its_ends_and_a_surge_comes_on_top() {
        let all = |factor| (0..100).map(move |i| rate(100.0, factor, Duration::from_millis(i * 100)));
        let ends = |factor| (all(factor).fold(f64::MAX, f64::min).round(), all(factor).fold(0.0, f64::max).round());
        assert_eq!(ends(1.0), (70.0, 130.0));
        assert_eq!(ends(3.0), (270.0, 330.0));
    }
}

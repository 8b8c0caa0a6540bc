//! The load on the sample service: an open loop, as customers are. It asks on its own schedule, however slow the
//! answers are, but never keeps more than [`AT_ONCE`] requests open.

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path as PathOf, State};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, put};
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

use super::{DAY, SampleError};
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
    /// What is more than usual, on purpose.
    surge: std::sync::Mutex<Option<Surge>>,
    /// Bits of an `f64`.
    rate: AtomicU64,
}

/// A factor that is held by a lease.
#[derive(Clone, Debug, PartialEq)]
struct Surge {
    id: String,
    factor: f64,
    until: Instant,
}

impl Counts {
    /// The surge that is on; one that nobody renewed is not.
    fn surge(&self) -> std::sync::MutexGuard<'_, Option<Surge>> {
        let mut surge = self.surge.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if surge.as_ref().is_some_and(|surge| surge.until <= Instant::now()) {
            tracing::warn!("nobody renewed the lease of a surge: the load is as usual again");
            *surge = None;
        }
        surge
    }

    fn factor(&self) -> f64 {
        self.surge().as_ref().map_or(1.0, |surge| surge.factor)
    }
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
    let control = listen(&options.control)?;
    let router = Router::new()
        .route("/factor", put(set_factor).delete(usual))
        .route("/factor/{id}", delete(take_out))
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
        let rate = rate(base, counts.factor(), began.elapsed());
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

/// What is asked for.
#[derive(Deserialize)]
struct Factor {
    #[serde(default)]
    id: String,
    factor: f64,
    #[serde(default = "a_day_in_ms")]
    lease_ms: u64,
    /// Only if it is on still.
    #[serde(default)]
    renew: bool,
}

fn a_day_in_ms() -> u64 {
    u64::try_from(DAY.as_millis()).unwrap_or(u64::MAX)
}

async fn set_factor(State(counts): State<Arc<Counts>>, Json(wanted): Json<Factor>) -> Response {
    let Factor { id, factor, lease_ms, renew } = wanted;
    if !factor.is_finite() || !(0.0..=MAX_FACTOR).contains(&factor) || id.len() > 64 {
        return (StatusCode::UNPROCESSABLE_ENTITY, "a factor lies within 0 and 20\n").into_response();
    }
    let mut surge = counts.surge();
    match &*surge {
        None if renew => return (StatusCode::GONE, "the load is as usual again\n").into_response(),
        Some(other) if other.id != id => {
            let status = if renew { StatusCode::GONE } else { StatusCode::CONFLICT };
            return (status, format!("the load is that of {} now\n", other.id)).into_response();
        }
        _ => {}
    }
    *surge = Some(Surge { id, factor, until: Instant::now() + Duration::from_millis(lease_ms).min(DAY) });
    StatusCode::NO_CONTENT.into_response()
}

/// Takes one out; what is not in is out already.
async fn take_out(State(counts): State<Arc<Counts>>, PathOf(id): PathOf<String>) -> StatusCode {
    let mut surge = counts.surge();
    if surge.as_ref().is_some_and(|surge| surge.id == id) {
        *surge = None;
    }
    StatusCode::NO_CONTENT
}

async fn usual(State(counts): State<Arc<Counts>>) -> StatusCode {
    *counts.surge() = None;
    StatusCode::NO_CONTENT
}

async fn stats(State(counts): State<Arc<Counts>>) -> Json<LoadStats> {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Json(LoadStats {
        sent: read(&counts.sent),
        ok: read(&counts.ok),
        failed: read(&counts.failed),
        timed_out: read(&counts.timed_out),
        skipped: read(&counts.skipped),
        factor: counts.factor(),
        rate: f64::from_bits(read(&counts.rate)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_surge_is_held_by_its_lease_and_by_one_at_a_time() {
        let counts = Arc::new(Counts::default());
        let ask = async |id: &str, factor, lease_ms, renew| {
            let wanted = Factor { id: id.to_owned(), factor, lease_ms, renew };
            set_factor(State(Arc::clone(&counts)), Json(wanted)).await.status().as_u16()
        };
        assert_eq!(ask("EXP-1.1", 3.0, 4000, true).await, 410);
        assert_eq!(ask("EXP-1.1", 3.0, 4000, false).await, 204);
        assert_eq!(ask("EXP-2.1", 9.0, 4000, false).await, 409);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(ask("EXP-1.1", 3.0, 4000, true).await, 204);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(counts.factor(), 3.0);
        take_out(State(Arc::clone(&counts)), PathOf("EXP-2.1".to_owned())).await;
        assert_eq!(counts.factor(), 3.0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(counts.factor(), 1.0);
        assert_eq!(ask("EXP-2.1", 9.0, 4000, false).await, 204);
        take_out(State(Arc::clone(&counts)), PathOf("EXP-2.1".to_owned())).await;
        assert_eq!(counts.factor(), 1.0);
        assert_eq!(ask("EXP-2.1", f64::NAN, 4000, false).await, 422);
    }

    #[test]
    fn the_load_wanders_between_its_ends_and_a_surge_comes_on_top() {
        let all = |factor| (0..100).map(move |i| rate(100.0, factor, Duration::from_millis(i * 100)));
        let ends = |factor| (all(factor).fold(f64::MAX, f64::min).round(), all(factor).fold(0.0, f64::max).round());
        assert_eq!(ends(1.0), (70.0, 130.0));
        assert_eq!(ends(3.0), (270.0, 330.0));
    }
}

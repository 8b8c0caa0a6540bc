//! One worker of the sample service `shop`: a cache, a pool of connections, a slow database, and a metrics page.
//!
//! Its capacity is real: an answer that is not cached holds one of [`POOL`] connections for 12 to 23 ms, so a worker
//! gives about 160 such answers a second and no more, and more workers give more.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::faults::Fault;
use super::illness::{Illness, KINDS};
use super::metrics::Metrics;
use super::{DAY, SampleError};
use crate::act::local::PAGE_TYPE;
use crate::model::{Fault as Exact, FaultKind};

/// Database connections of one worker.
pub(super) const POOL: usize = 3;
/// How long the database takes, evenly spread: 17.5 ms on average.
const DATABASE_MS: std::ops::Range<u64> = 12..24;
/// How long a request waits for a connection.
const POOL_WAIT: Duration = Duration::from_secs(2);
/// Requests at once; more are answered 503.
const REQUESTS: usize = 512;
/// How long answers are cached at first.
const CACHE_TTL_MS: u64 = 1000;
/// Cached answers kept at most; a shop with more items begins anew.
const CACHE_ITEMS: usize = 10_000;
/// How long requests may go on after SIGTERM.
const FINISH_WITHIN: Duration = Duration::from_secs(1);

struct Shop {
    instance: String,
    cache: std::sync::Mutex<HashMap<u32, Instant>>,
    ttl_ms: AtomicU64,
    room: Semaphore,
    pool: Arc<Semaphore>,
    illness: Illness,
    metrics: Metrics,
}

/// Serves on 127.0.0.1:`port` until SIGTERM.
///
/// # Errors
/// When the port is taken.
pub(super) async fn serve(port: u16, instance: String) -> Result<(), SampleError> {
    let pool = Arc::new(Semaphore::new(POOL));
    let shop = Arc::new(Shop {
        instance,
        cache: std::sync::Mutex::default(),
        ttl_ms: AtomicU64::new(CACHE_TTL_MS),
        room: Semaphore::new(REQUESTS),
        illness: Illness::new(Arc::clone(&pool), POOL),
        pool,
        metrics: Metrics::new(),
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|e| SampleError(format!("cannot listen on 127.0.0.1:{port}: {e}")))?;
    let mut term =
        signal(SignalKind::terminate()).map_err(|e| SampleError(format!("cannot listen for signals: {e}")))?;
    let told = Arc::new(tokio::sync::Notify::new());
    let finish = Arc::clone(&told);
    let server = axum::serve(listener.tap_io(|io| drop(io.set_nodelay(true))), router(Arc::clone(&shop)))
        .with_graceful_shutdown(async move { finish.notified().await });
    let late = async {
        term.recv().await;
        told.notify_one();
        sleep(FINISH_WITHIN).await;
    };
    tokio::select! {
        ended = server => ended.map_err(|e| SampleError(e.to_string())),
        () = late => Ok(()),
        () = shop.illness.run() => Ok(()),
    }
}

fn router(shop: Arc<Shop>) -> Router {
    Router::new()
        .route("/buy", get(buy))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(metrics))
        .route("/cache", get(read_cache).put(write_cache))
        .route("/fault", get(kinds).put(put_in).delete(lift))
        .route("/fault/{id}", axum::routing::delete(take_out))
        .layer(DefaultBodyLimit::max(1024))
        .with_state(shop)
}

#[derive(Deserialize)]
struct Order {
    item: u32,
}

async fn buy(State(shop): State<Arc<Shop>>, Query(order): Query<Order>) -> Response {
    let _counted = Counted::new(&shop.metrics.in_flight);
    let mut timed = Timed { metrics: &shop.metrics, began: Instant::now(), good: false };
    let answer = shop.answer(order.item).await;
    timed.good = answer.as_ref().map_or_else(|(status, _)| !status.is_server_error(), |_| true);
    match answer {
        Ok(from) => (StatusCode::OK, format!("{} sold item {} ({from})\n", shop.instance, order.item)).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// A gauge that is one higher until this is dropped, which also happens when the client goes away.
struct Counted(prometheus_client::metrics::gauge::Gauge);

impl Counted {
    fn new(gauge: &prometheus_client::metrics::gauge::Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counts a request when it is over. One that its customer gave up is over too, and was no good: leaving it out would
/// make a slow worker look better the slower it is.
struct Timed<'a> {
    metrics: &'a Metrics,
    began: Instant,
    good: bool,
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        self.metrics.requests.inc();
        if !self.good {
            self.metrics.errors.inc();
        }
        self.metrics.duration.observe(self.began.elapsed().as_secs_f64());
    }
}

impl Shop {
    async fn answer(&self, item: u32) -> Result<&'static str, (StatusCode, &'static str)> {
        let Ok(_room) = self.room.try_acquire() else {
            return Err((StatusCode::SERVICE_UNAVAILABLE, "the shop is full\n"));
        };
        self.illness.burn().await;
        if let Some(status) = self.illness.error_now() {
            return Err((status, "out of luck\n"));
        }
        if let Some(took) = self.illness.journal().await {
            self.metrics.journal.inc_by(took.as_secs_f64());
        }
        if self.cached(item) {
            return Ok("cached");
        }
        let connection = {
            let _waiting = Counted::new(&self.metrics.pool_waiters);
            timeout(POOL_WAIT, self.pool.acquire()).await
        };
        let Ok(Ok(_connection)) = connection else {
            return Err((StatusCode::SERVICE_UNAVAILABLE, "no database connection\n"));
        };
        sleep(Duration::from_millis(fastrand::u64(DATABASE_MS)) + self.illness.delay()).await;
        self.remember(item);
        Ok("fresh")
    }

    fn cached(&self, item: u32) -> bool {
        self.metrics.cache_lookups.inc();
        let ttl = Duration::from_millis(self.ttl_ms.load(Ordering::Relaxed));
        let hit = self.lock_cache().get(&item).is_some_and(|stored| stored.elapsed() < ttl);
        if hit {
            self.metrics.cache_hits.inc();
        }
        hit
    }

    fn remember(&self, item: u32) {
        let mut cache = self.lock_cache();
        if cache.len() >= CACHE_ITEMS {
            cache.clear();
        }
        cache.insert(item, Instant::now());
    }

    fn lock_cache(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Instant>> {
        self.cache.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

async fn metrics(State(shop): State<Arc<Shop>>) -> Response {
    let in_use = POOL.saturating_sub(shop.pool.available_permits());
    match shop.metrics.page(in_use, shop.illness.spooled()) {
        Ok(page) => ([(header::CONTENT_TYPE, PAGE_TYPE)], page).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[derive(Serialize, Deserialize)]
struct CacheTtl {
    ttl_ms: u64,
}

async fn read_cache(State(shop): State<Arc<Shop>>) -> Json<CacheTtl> {
    Json(CacheTtl { ttl_ms: shop.ttl_ms.load(Ordering::Relaxed) })
}

async fn write_cache(State(shop): State<Arc<Shop>>, Json(wanted): Json<CacheTtl>) -> StatusCode {
    shop.ttl_ms.store(wanted.ttl_ms, Ordering::Relaxed);
    StatusCode::NO_CONTENT
}

/// What comes to the door: a fault with its lease, or only the name of one, for whoever tries things by hand.
#[derive(Deserialize)]
struct PutIn {
    #[serde(default = "by_hand")]
    id: String,
    fault: Asked,
    #[serde(default = "a_day_in_ms")]
    lease_ms: u64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Asked {
    Exact(Exact),
    Named(Fault),
}

fn by_hand() -> String {
    "by-hand".to_owned()
}

fn a_day_in_ms() -> u64 {
    u64::try_from(DAY.as_millis()).unwrap_or(u64::MAX)
}

async fn kinds() -> Json<Vec<&'static str>> {
    Json(KINDS.iter().copied().map(FaultKind::name).collect())
}

async fn put_in(State(shop): State<Arc<Shop>>, Json(wanted): Json<PutIn>) -> Response {
    let PutIn { id, fault, lease_ms } = wanted;
    let fault = match fault {
        Asked::Exact(fault) => fault,
        Asked::Named(fault) => fault.exact(),
    };
    if !(1..=64).contains(&id.len()) {
        return (StatusCode::UNPROCESSABLE_ENTITY, "an id has 1 to 64 bytes\n").into_response();
    }
    match shop.illness.put_in(&id, fault, Duration::from_millis(lease_ms).min(DAY)) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(why) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{why}\n")).into_response(),
    }
}

async fn take_out(State(shop): State<Arc<Shop>>, Path(id): Path<String>) -> StatusCode {
    shop.illness.take_out(&id);
    StatusCode::NO_CONTENT
}

async fn lift(State(shop): State<Arc<Shop>>) -> StatusCode {
    shop.illness.lift();
    StatusCode::NO_CONTENT
}

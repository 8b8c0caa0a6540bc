//! The built-in generator: asks on the plan's schedule, or as JMeter's threads do, and counts what comes of it.
//!
//! Open: a request's latency begins when it should have been sent, so that a generator that is late and a service that
//! holds up what comes behind both show. Closed: a user waits for its answer before it thinks, and latency begins with
//! the sending; that is how JMeter measures, and how a slow service hides its own overload.

use std::error::Error as _;
use std::fmt;
use std::io::ErrorKind;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::plan::Run;
use super::schedule::{Arrival, Mind, Schedule, users};
use super::{Kind, LoadError, PATIENCE, Summary, Tally};

/// Requests open at once. More wait for their turn, with the clock running.
const AT_ONCE: usize = 2048;
/// Requests open or waiting. More are counted as not sent, so that no service can make the generator grow.
const MOST: usize = 16_384;
/// The longest answer that is read.
const ANSWER: usize = 1024 * 1024;
/// Results on the way to the count. full: whoever has one waits; it is a few hundred nanoseconds to count one.
const RESULTS: usize = 4096;

/// How requests follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loop {
    /// On a schedule that is known beforehand.
    Open,
    /// Each user waits for its answer.
    Closed,
}

/// A place that is asked: `http://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    host: String,
    port: u16,
}

/// Why a text is no [`Site`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address like http://127.0.0.1:8080; the plans add the path themselves, and there is no https")]
pub struct SiteError(String);

impl Site {
    /// Of an address on this machine or elsewhere.
    #[must_use]
    pub fn new(addr: std::net::SocketAddr) -> Self {
        let host = match addr {
            std::net::SocketAddr::V4(v4) => v4.ip().to_string(),
            std::net::SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        };
        Self { host, port: addr.port() }
    }

    /// The host, as in the address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Site {
    type Err = SiteError;

    fn from_str(text: &str) -> Result<Self, SiteError> {
        let wrong = || SiteError(text.chars().take(100).map(|c| if c.is_control() { '?' } else { c }).collect());
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let bare = uri.path_and_query().is_none_or(|path| path.as_str() == "/") && !authority.as_str().contains('@');
        // The host goes to JMeter as an argument: nothing in it may look like another one.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        let host = authority.host();
        let named = !host.is_empty() && !host.starts_with('-') && host.chars().all(plain);
        if uri.scheme_str() != Some("http") || !bare || !named {
            return Err(wrong());
        }
        let port = match authority.as_str().strip_prefix(host).ok_or_else(wrong)? {
            "" => 80,
            port => port.strip_prefix(':').and_then(|port| port.parse().ok()).ok_or_else(wrong)?,
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

/// How a run is going, for a progress bar.
#[derive(Debug, Default)]
pub struct Live {
    good: AtomicU64,
    errors: AtomicU64,
}

impl Live {
    /// Good answers and errors so far.
    #[must_use]
    pub fn read(&self) -> (u64, u64) {
        (self.good.load(Ordering::Relaxed), self.errors.load(Ordering::Relaxed))
    }
}

type Http = Client<HttpConnector, Empty<Bytes>>;

/// What came of one request.
struct Done {
    at: Duration,
    /// Only known in an open loop, and only of what was sent.
    late: Option<Duration>,
    latency: Duration,
    outcome: Result<(), Kind>,
}

/// Asks one site. Cheap to clone.
#[derive(Clone)]
pub struct Generator {
    http: Http,
    site: Site,
    live: Arc<Live>,
    room: Arc<Semaphore>,
}

impl Generator {
    /// For this site.
    #[must_use]
    pub fn new(site: Site) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            // One request is one request: what fails is counted, not tried again.
            .retry_canceled_requests(false)
            .build(connector);
        Self { http, site, live: Arc::default(), room: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// How it is going.
    #[must_use]
    pub fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// Runs a plan to its end; the same seed is the same load. Dropped, it stops at once and leaves nothing running.
    ///
    /// # Errors
    /// Never in practice: when there is no histogram.
    pub async fn run(&self, run: &Run, kind: Loop, seed: u64) -> Result<Summary, LoadError> {
        let mut tally = Tally::new()?;
        // full: see RESULTS.
        let (results, mut done) = mpsc::channel::<Done>(RESULTS);
        let ask = async {
            match kind {
                Loop::Open => self.open(run, seed, results).await,
                Loop::Closed => self.closed(run, seed, results).await,
            }
        };
        let count = async {
            while let Some(one) = done.recv().await {
                let counter = if one.outcome.is_ok() { &self.live.good } else { &self.live.errors };
                counter.fetch_add(1, Ordering::Relaxed);
                tally.count(one.at, one.latency, one.outcome);
                if let Some(late) = one.late {
                    tally.sent_late(late);
                }
            }
        };
        tokio::join!(ask, count);
        Ok(tally.summary(run.duration()))
    }

    async fn open(&self, run: &Run, seed: u64, results: mpsc::Sender<Done>) {
        let began = Instant::now();
        let mut asking = JoinSet::new();
        for Arrival { at, item } in Schedule::new(run, seed) {
            let intended = began + at;
            sleep_until(intended).await;
            while asking.try_join_next().is_some() {}
            if asking.len() >= MOST {
                let not_sent = Done { at, late: None, latency: Duration::ZERO, outcome: Err(Kind::NotSent) };
                let _ = results.send(not_sent).await;
                continue;
            }
            let (this, results) = (self.clone(), results.clone());
            asking.spawn(async move {
                let (outcome, sent) = this.ask(item, intended).await;
                let late = sent.map(|sent| sent.saturating_duration_since(intended));
                let _ = results.send(Done { at, late, latency: intended.elapsed(), outcome }).await;
            });
        }
        drop(results);
        sleep_until(began + run.duration()).await;
        while asking.join_next().await.is_some() {}
    }

    async fn closed(&self, run: &Run, seed: u64, results: mpsc::Sender<Done>) {
        let began = Instant::now();
        let mut asking = JoinSet::new();
        for mut user in users(run, seed) {
            let (this, results) = (self.clone(), results.clone());
            asking.spawn(async move {
                sleep_until(began + user.from).await;
                while this.ask_and_wait(&mut user.mind, began, user.until, &results).await {}
            });
        }
        drop(results);
        sleep_until(began + run.duration()).await;
        while asking.join_next().await.is_some() {}
    }

    /// One turn of a user that waits for its answer. False when it goes.
    async fn ask_and_wait(
        &self,
        mind: &mut Mind,
        began: Instant,
        until: Duration,
        results: &mpsc::Sender<Done>,
    ) -> bool {
        let next = Instant::now() + mind.think();
        if next >= began + until {
            return false;
        }
        sleep_until(next).await;
        let sending = Instant::now();
        let (outcome, _) = self.ask(mind.item(), sending).await;
        let at = sending.saturating_duration_since(began);
        results.send(Done { at, late: None, latency: sending.elapsed(), outcome }).await.is_ok()
    }

    /// Asks once; with when it was sent, if it was.
    async fn ask(&self, item: u32, intended: Instant) -> (Result<(), Kind>, Option<Instant>) {
        let deadline = intended + PATIENCE;
        let Ok(Ok(_room)) = timeout_at(deadline, self.room.acquire()).await else {
            return (Err(Kind::Timeout), None);
        };
        let sent = Instant::now();
        let outcome = timeout_at(deadline, self.exchange(item)).await.unwrap_or(Err(Kind::Timeout));
        (outcome, Some(sent))
    }

    async fn exchange(&self, item: u32) -> Result<(), Kind> {
        let request = Request::get(format!("{}/buy?item={item}", self.site)).body(Empty::new());
        let response = self.http.request(request.map_err(|_| Kind::Other)?).await.map_err(|e| kind_of(&e))?;
        let status = response.status();
        // Read to the end, or the connection cannot be used again.
        Limited::new(response.into_body(), ANSWER).collect().await.map_err(|_| Kind::Reset)?;
        if status.is_success() { Ok(()) } else { Err(Kind::Status(status.as_u16())) }
    }
}

fn kind_of(error: &hyper_util::client::legacy::Error) -> Kind {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return match io.kind() {
                ErrorKind::ConnectionRefused => Kind::Refused,
                ErrorKind::TimedOut => Kind::Timeout,
                _ => Kind::Reset,
            };
        }
        source = cause.source();
    }
    if error.is_connect() { Kind::Refused } else { Kind::Reset }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;

    use super::super::Plan;
    use super::*;

    async fn serve(router: Router) -> Site {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Site::new(addr)
    }

    fn run(plan: &str) -> Run {
        Plan::named(plan).unwrap().lasting(Duration::from_secs(3)).unwrap()
    }

    #[tokio::test]
    async fn all_that_is_planned_is_asked_and_counted() {
        let site = serve(Router::new().route("/buy", get(|| async { "sold" }))).await;
        let generator = Generator::new(site);
        let got = generator.run(&run("normal"), Loop::Open, 1).await.unwrap();
        assert_eq!(got.requests, Schedule::new(&run("normal"), 1).count() as u64);
        assert_eq!((got.good, generator.live().read()), (got.requests, (got.requests, 0)));
        assert!(got.lag_p99.is_some());
    }

    #[tokio::test]
    async fn a_stall_counts_for_everybody_who_came_during_it_only_in_an_open_loop() {
        // Whoever comes within the second after the first request waits until that second is over.
        let stalled = || {
            let first = Arc::new(std::sync::OnceLock::<Instant>::new());
            Router::new().route(
                "/buy",
                get(move || async move {
                    let begins = *first.get_or_init(|| Instant::now() + Duration::from_millis(1500));
                    let now = Instant::now();
                    if now >= begins && now < begins + Duration::from_secs(1) {
                        sleep_until(begins + Duration::from_secs(1)).await;
                    }
                    "sold"
                }),
            )
        };
        let open = Generator::new(serve(stalled()).await).run(&run("soak"), Loop::Open, 1).await.unwrap();
        let closed = Generator::new(serve(stalled()).await).run(&run("soak"), Loop::Closed, 1).await.unwrap();
        assert!(open.requests > closed.requests, "a user that waits asks less: {} {}", open.requests, closed.requests);
        assert!(open.p95 > Duration::from_millis(500), "{:?}", open.p95);
    }

    #[tokio::test]
    async fn errors_are_told_by_kind() {
        let site = serve(Router::new().route("/buy", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))).await;
        let got = Generator::new(site).run(&run("soak"), Loop::Closed, 1).await.unwrap();
        assert_eq!(got.errors.keys().collect::<Vec<_>>(), [&Kind::Status(503)]);
        assert_eq!((got.good, got.errors_percent()), (0, 100.0));

        // Nobody listens on a port that was just given back.
        let addr: SocketAddr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let got = Generator::new(Site::new(addr)).run(&run("soak"), Loop::Open, 1).await.unwrap();
        assert_eq!(got.errors.keys().collect::<Vec<_>>(), [&Kind::Refused]);

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let site = Site::new(listener.local_addr().unwrap());
        tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        let (outcome, sent) = Generator::new(site).ask(1, Instant::now()).await;
        assert_eq!((outcome, sent.is_some()), (Err(Kind::Reset), true));
    }

    #[tokio::test]
    async fn patience_begins_when_the_request_should_have_been_sent() {
        let site = serve(Router::new().route("/buy", get(|| async { std::future::pending::<&str>().await }))).await;
        let generator = Generator::new(site);
        let long_ago = Instant::now().checked_sub(PATIENCE).unwrap();
        assert_eq!(generator.ask(1, long_ago).await.0, Err(Kind::Timeout));
        // Nor does waiting for a place take longer.
        let _all = generator.room.acquire_many(AT_ONCE as u32).await.unwrap();
        assert_eq!(generator.ask(1, long_ago).await, (Err(Kind::Timeout), None));
    }

    #[test]
    fn a_site_is_an_address_and_nothing_else() {
        let good = |text: &str| text.parse::<Site>().unwrap().to_string();
        assert_eq!(good("http://127.0.0.1:8080"), "http://127.0.0.1:8080");
        assert_eq!(good("http://shop.example/"), "http://shop.example:80");
        assert_eq!(good("http://[::1]:9"), "http://[::1]:9");
        for bad in [
            "",
            "shop",
            "shop:80",
            "https://shop",
            "http://",
            "http://shop/buy",
            "http://shop/?a=b",
            "http://u:p@shop",
            "http://-Jx=y:80",
            "http://shop:99999",
            "http://a b",
            "http://${__P(x)}",
            "ftp://shop",
        ] {
            assert!(bad.parse::<Site>().is_err(), "{bad}");
        }
    }
}

//! One server, asked for many services: how much at a time, when to leave it alone, and what it cost.
//!
//! Must never hold up another server, let one slow query count as an outage, or ask a server that is down again and
//! again. Owned by the sources that use it; the pool only knows where it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use reqwest::Url;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::answer::{self, MOST_SERIES, Said, Sink};
use super::group::{About, Group};
use super::wire::{AskError, Wire, api_error, shown};
use crate::collect::HttpAuth;
use crate::model::in_words;

/// Queries of groups at a time. With the others below the 20 that a Prometheus takes on at once unless told otherwise.
pub(super) const GROUP_QUERIES: usize = 6;
/// Queries of the config's own at a time, of all services together.
const OWN_QUERIES: usize = 8;
/// Services that are given their history at a time, one query each.
const HISTORIES: usize = 4;
/// How long a server that failed is left alone, the first time; doubled with every failure.
const FIRST_REST: Duration = Duration::from_secs(5);
/// ... and at most.
const LONGEST_REST: Duration = Duration::from_secs(300);
/// A query that would have less time than this is not asked.
const LEAST_TIME: Duration = Duration::from_millis(50);
/// Warnings that are remembered, so that each is said once.
const MOST_WARNINGS: usize = 100;

/// Servers that are asked for many services at once. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Hubs(Arc<Mutex<Vec<Weak<Hub>>>>);

/// What a server cost since it was first asked; for `/metrics`.
#[derive(Clone, Debug, PartialEq)]
pub struct HubStats {
    /// Its address, without secrets.
    pub url: String,
    /// Queries sent.
    pub queries: u64,
    /// Queries without a usable answer.
    pub failures: u64,
    /// Bytes of answers.
    pub bytes: u64,
    /// Series of answers.
    pub series: u64,
    /// Queries that several services shared: sets of services, not services.
    pub groups: usize,
    /// Time since the last usable answer; `None` before the first.
    pub last_success: Option<Duration>,
    /// How long it is left alone for.
    pub resting: Option<Duration>,
}

impl Hubs {
    /// The hub for a server, made when it is new.
    ///
    /// # Errors
    /// When a secret or a certificate cannot be read.
    pub(super) fn hub(&self, url: &Url, auth: &HttpAuth) -> Result<Arc<Hub>, String> {
        let mut hubs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hubs.retain(|hub| hub.strong_count() > 0);
        let known = hubs.iter().filter_map(Weak::upgrade).find(|hub| hub.url == *url && hub.auth == *auth);
        if let Some(hub) = known {
            return Ok(hub);
        }
        let hub = Arc::new(Hub::new(url, auth)?);
        hubs.push(Arc::downgrade(&hub));
        Ok(hub)
    }

    /// What each server cost so far. Those that nobody asks any more are forgotten.
    #[must_use]
    pub fn stats(&self) -> Vec<HubStats> {
        let hubs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hubs.iter().filter_map(Weak::upgrade).map(|hub| hub.stats()).collect()
    }
}

/// One server.
#[derive(Debug)]
pub(super) struct Hub {
    url: Url,
    auth: HttpAuth,
    pub shown: String,
    wire: Wire,
    groups: Mutex<Vec<Weak<Group>>>,
    health: Mutex<Health>,
    warned: Mutex<Vec<String>>,
    group_slots: Semaphore,
    own_slots: Semaphore,
    history_slots: Semaphore,
    queries: AtomicU64,
    failures: AtomicU64,
    bytes: AtomicU64,
    series: AtomicU64,
}

#[derive(Debug, Default)]
struct Health {
    last_success: Option<Instant>,
    /// When the failure was noticed that made it rest.
    last_failure: Option<Instant>,
    rest: Duration,
    not_before: Option<Instant>,
    why: String,
}

/// What a query is for: each has its own places, so that none pushes out the others.
#[derive(Clone, Copy, Debug)]
pub(super) enum For {
    Group,
    Own,
    /// The caller holds one of [`Hub::history_slot`].
    History,
}

/// A query's time.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    /// The server's own now: no clock has to agree with another.
    Now,
    /// From, until and step, in milliseconds.
    Range { from: i64, until: i64, step: i64 },
}

/// An answer that is yet to be read.
#[derive(Debug)]
pub(super) struct Answer {
    body: super::wire::Body,
}

impl Answer {
    pub fn bytes(&self) -> usize {
        self.body.bytes.len()
    }

    /// The server's clock when it answered, in seconds.
    pub fn date(&self) -> Option<f64> {
        self.body.date
    }
}

impl Hub {
    fn new(url: &Url, auth: &HttpAuth) -> Result<Self, String> {
        Ok(Self {
            url: url.clone(),
            auth: auth.clone(),
            shown: shown(url),
            wire: Wire::new(url.clone(), auth.clone())?,
            groups: Mutex::default(),
            health: Mutex::default(),
            warned: Mutex::default(),
            group_slots: Semaphore::new(GROUP_QUERIES),
            own_slots: Semaphore::new(OWN_QUERIES),
            history_slots: Semaphore::new(HISTORIES),
            queries: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            series: AtomicU64::new(0),
        })
    }

    /// The group of services that are asked for together, made when it is new.
    pub fn group(self: &Arc<Self>, about: &About) -> Arc<Group> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.retain(|group| group.strong_count() > 0);
        if let Some(group) = groups.iter().filter_map(Weak::upgrade).find(|group| group.is_about(about)) {
            return group;
        }
        let group = Arc::new(Group::new(Arc::clone(self), about.clone()));
        groups.push(Arc::downgrade(&group));
        group
    }

    /// Asks one query. Waits for its turn, and until `until` at most.
    pub async fn ask(&self, query: &str, when: When, why: For, until: Instant) -> Result<Answer, AskError> {
        let slots = match why {
            For::Group => Some(&self.group_slots),
            For::Own => Some(&self.own_slots),
            For::History => None,
        };
        let _turn = match slots {
            Some(slots) => {
                let began = Instant::now();
                let turn = tokio::time::timeout_at(until, slots.acquire()).await;
                let late =
                    || AskError::Answer(format!("no turn within {}: too many queries", in_words(began.elapsed())));
                // A semaphore that is never closed.
                Some(turn.map_err(|_| late())?.map_err(|_| late())?)
            }
            None => None,
        };
        if let Some(why) = self.resting() {
            return Err(AskError::Resting(why));
        }
        let began = Instant::now();
        if until.saturating_duration_since(began) < LEAST_TIME {
            let why = "the time of the round was over before it was its turn: the server is slow; raise `interval`";
            return Err(AskError::Answer(why.to_owned()));
        }
        self.queries.fetch_add(1, Ordering::Relaxed);
        let answer = match when {
            When::Now => self.wire.ask("query", &[("query", query)], until).await,
            When::Range { from, until: to, step } => {
                let times = [from, to, step].map(|ms| format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000)));
                let [from, to, step] = &times;
                let fields = [("query", query), ("start", from), ("end", to), ("step", step)];
                self.wire.ask("query_range", &fields, until).await
            }
        };
        match answer {
            Ok(body) => {
                self.bytes.fetch_add(body.bytes.len() as u64, Ordering::Relaxed);
                Ok(Answer { body })
            }
            Err(error) => {
                self.failed(&error, began);
                Err(error)
            }
        }
    }

    /// Reads an answer into `sink`. Takes CPU, not time: for great answers it belongs to a blocking thread.
    pub fn read(&self, answer: &Answer, sink: &mut dyn Sink) -> Result<(), AskError> {
        let read = answer::read(&answer.body.bytes, MOST_SERIES, sink);
        let judged = read.map_err(|why| AskError::Answer(format!("the answer cannot be read: {why}"))).and_then(|said| {
            let Said { error, warnings, partial, series } = said;
            self.series.fetch_add(series as u64, Ordering::Relaxed);
            self.warn(&warnings);
            match error {
                Some((kind, words)) => Err(api_error(&kind, &words)),
                None if partial => Err(AskError::Answer(
                    "the answer is partial: some of the server's stores did not answer, and sums would be too small".to_owned(),
                )),
                None => Ok(()),
            }
        });
        match &judged {
            Ok(()) => self.succeeded(),
            Err(error) => self.failed(error, Instant::now()),
        }
        judged
    }

    /// A turn to ask for one service's history.
    pub async fn history_slot(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.history_slots.acquire().await.ok()
    }

    /// Why the server is not asked just now.
    pub fn resting(&self) -> Option<String> {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let left = health.not_before?.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        Some(format!("{}; asked again in {} s", health.why, left.as_secs() + 1))
    }

    fn succeeded(&self) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let was_down = health.not_before.is_some();
        *health = Health { last_success: Some(Instant::now()), ..Health::default() };
        if was_down {
            tracing::info!(server = %self.shown, "the metrics server answers again");
        }
    }

    /// A failure of the server itself makes it rest, twice as long each time. What was asked before it began to rest, or
    /// while it answered others, does not count.
    fn failed(&self, error: &AskError, began: Instant) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if !error.is_servers() {
            return;
        }
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = health.last_failure.is_some_and(|at| began <= at);
        // A query that had little time left says nothing of the server.
        let lately = if let AskError::Timeout(_) = error { FIRST_REST } else { Duration::ZERO };
        let answers_others = health.last_success.is_some_and(|at| at >= began || at.elapsed() < lately);
        if is_known || answers_others {
            return;
        }
        let now = Instant::now();
        let asked_for = if let AskError::Throttled(wait) = error { *wait } else { None };
        health.rest = if health.rest.is_zero() { FIRST_REST } else { (health.rest * 2).min(LONGEST_REST) };
        // A fifth more or less, so that many daemons do not come back in the same moment.
        let rest =
            health.rest.mul_f64(0.8 + 0.4 * fastrand::f64()).max(asked_for.unwrap_or_default()).min(LONGEST_REST);
        health.last_failure = Some(now);
        health.not_before = Some(now + rest);
        health.why = error.to_string();
        tracing::warn!(server = %self.shown, rest_seconds = rest.as_secs(), "the metrics server does not answer: {error}");
    }

    fn warn(&self, warnings: &[String]) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        for warning in warnings {
            if warned.len() < MOST_WARNINGS && !warned.contains(warning) {
                tracing::warn!(server = %self.shown, "the metrics server warns: {warning}");
                warned.push(warning.clone());
            }
        }
    }

    fn stats(&self) -> HubStats {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        HubStats {
            url: self.shown.clone(),
            queries: count(&self.queries),
            failures: count(&self.failures),
            bytes: count(&self.bytes),
            series: count(&self.series),
            groups: groups.iter().filter(|group| group.strong_count() > 0).count(),
            last_success: health.last_success.map(|at| at.elapsed()),
            resting: health.not_before.and_then(|at| at.checked_duration_since(Instant::now())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub() -> Arc<Hub> {
        Hubs::default().hub(&super::super::wire::parse("http://127.0.0.1:9").unwrap(), &HttpAuth::default()).unwrap()
    }

    fn down() -> AskError {
        AskError::Request("cannot connect".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_fails_rests_twice_as_long_each_time() {
        let hub = hub();
        assert_eq!(hub.resting(), None);
        for rest in [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0] {
            let began = Instant::now();
            hub.failed(&down(), began);
            // What was under way at the same time is the same failure.
            hub.failed(&down(), began);
            let resting = hub.stats().resting.unwrap().as_secs_f64();
            assert!((rest * 0.79..=300.0_f64.min(rest * 1.21)).contains(&resting), "{resting} is not about {rest}");
            assert!(hub.resting().unwrap().contains("cannot connect; asked again in"));
            tokio::time::advance(Duration::from_secs(301)).await;
            assert_eq!(hub.resting(), None);
        }
        hub.succeeded();
        hub.failed(&down(), Instant::now() + Duration::from_millis(1));
        assert!(hub.stats().resting.unwrap() < Duration::from_secs(7), "a success begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_that_fails_while_others_do_not_is_no_outage() {
        let hub = hub();
        let began = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        hub.succeeded();
        hub.failed(&AskError::Timeout(Duration::from_secs(1)), began);
        hub.failed(&AskError::Api("bad".to_owned()), Instant::now());
        tokio::time::advance(Duration::from_secs(1)).await;
        hub.failed(&AskError::Timeout(Duration::from_millis(60)), Instant::now());
        assert_eq!((hub.resting(), hub.stats().failures), (None, 3));
        tokio::time::advance(Duration::from_secs(9)).await;
        hub.failed(&AskError::Timeout(Duration::from_secs(8)), Instant::now());
        assert!(hub.resting().is_some(), "nothing at all any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_how_long_is_left_alone_for_so_long() {
        let hub = hub();
        hub.failed(&AskError::Throttled(Some(Duration::from_secs(90))), Instant::now());
        assert_eq!(hub.stats().resting, Some(Duration::from_secs(90)));
        tokio::time::advance(Duration::from_secs(91)).await;
        hub.failed(&AskError::Throttled(Some(Duration::from_secs(86_400))), Instant::now());
        assert_eq!(hub.stats().resting, Some(LONGEST_REST));
    }

    #[tokio::test]
    async fn sources_of_one_server_share_it_and_it_goes_with_the_last() {
        let hubs = Hubs::default();
        let url = |text: &str| super::super::wire::parse(text).unwrap();
        let one = hubs.hub(&url("http://a:1"), &HttpAuth::default()).unwrap();
        let same = hubs.clone().hub(&url("http://a:1/"), &HttpAuth::default()).unwrap();
        let tenant = HttpAuth { tenant: Some("east".to_owned()), ..HttpAuth::default() };
        let other = hubs.hub(&url("http://a:1"), &tenant).unwrap();
        assert!(Arc::ptr_eq(&one, &same) && !Arc::ptr_eq(&one, &other));
        assert_eq!(hubs.stats().len(), 2);
        drop((one, same));
        assert_eq!(hubs.stats().len(), 1);
    }
}

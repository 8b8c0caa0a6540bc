//! Probe: HTTP and TCP checks from where Suture runs, each address an instance of the service.
//!
//! A check that fails is no fault of the source: it is what the source is for, a 0 in [`SUCCESS`]. Must never let one
//! address that stalls take another's time, follow a redirect, or show a secret. Called by the collector, once a round.

mod certificate;
mod check;
mod place;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{join, join_all};
use tokio::time::{Instant, timeout};

use super::{Across, Gathered, Making, ProbeSettings, Source, SourceError, names};
use crate::model::{Badness, Clock as _, MetricSpec, SystemClock};
use certificate::Looker;
use check::{Checker, Found, Who};
use place::Place;

/// Addresses whose check succeeded, out of all; 0 or 1 for each of them. Always made.
pub const SUCCESS: &str = "probe_success_ratio";
/// Time until a successful check was over: the connection, TLS, the status, and the body where it is looked at.
pub const LATENCY: &str = "probe_latency_seconds";
/// Answers with a status that is good.
pub const STATUS_OK: &str = "probe_status_ok";
/// Answers whose body matches, of those whose status is good.
pub const BODY_OK: &str = "probe_body_ok";
/// Days until a server's certificate ends; negative when it has.
pub const TLS_DAYS_LEFT: &str = "probe_tls_days_left";

/// A certificate is looked at no more often: it changes every few weeks, and a handshake costs the server something.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// HTTP and TCP checks: one source of a service.
#[derive(Debug)]
pub struct ProbeSource {
    name: String,
    settings: ProbeSettings,
    checker: Checker,
    looker: Looker,
    /// What one check may take; a little less than the collector's deadline, so that it is a check that failed and not the
    /// source.
    budget: Duration,
    places: Vec<Watched>,
}

/// An address, and what is kept of it between rounds.
#[derive(Debug)]
struct Watched {
    place: Place,
    /// When its certificate was last seen, and when that ends.
    certificate: Option<(Instant, i64)>,
    /// Why the last check failed.
    why: Option<String>,
}

impl Watched {
    /// When its certificate ends, if it has one.
    async fn ends(&self, looker: &Looker, within: Duration) -> Option<(Instant, i64)> {
        if !self.place.is_https() {
            return None;
        }
        if let Some((at, ends)) = self.certificate.filter(|(at, _)| at.elapsed() < LOOK_EVERY) {
            return Some((at, ends));
        }
        let ends = timeout(within, looker.ends(&self.place.host, self.place.port)).await.ok()??;
        Some((Instant::now(), ends))
    }
}

impl ProbeSource {
    /// A source that checks the addresses of `settings`, all at once in each round.
    ///
    /// # Errors
    /// When there is nothing to probe, an address or a header is none, a file cannot be read, the pattern is no regular
    /// expression, or TLS cannot be set up.
    pub fn new(settings: &ProbeSettings, making: &Making) -> Result<Self, SourceError> {
        let unnamed = |why: String| SourceError { source_name: "probe".to_owned(), why };
        let places = place::of_urls(&settings.urls).map_err(unnamed)?;
        let first = places.first().map(Place::shown).unwrap_or_default();
        let name = match places.len() {
            1 => format!("probe {first}"),
            n => format!("probe {first} and {} more", n - 1),
        };
        let wrong = |why: String| SourceError { source_name: name.clone(), why };
        Ok(Self {
            checker: Checker::new(settings).map_err(wrong)?,
            looker: Looker::new().map_err(wrong)?,
            budget: making.timeout.mul_f64(0.9),
            places: places.into_iter().map(|place| Watched { place, certificate: None, why: None }).collect(),
            settings: settings.clone(),
            name,
        })
    }

    /// Keeps of a round what the next one needs, and says in the log what changed.
    fn remember(&mut self, found: &[(Found, Option<(Instant, i64)>)]) {
        for (watched, (found, certificate)) in self.places.iter_mut().zip(found) {
            watched.certificate = *certificate;
            match (&watched.why, &found.why) {
                (None, Some(why)) => {
                    tracing::warn!(source = %self.name, instance = %watched.place.name, "the check fails: {why}");
                }
                (Some(_), None) => {
                    tracing::info!(source = %self.name, instance = %watched.place.name, "the check succeeds again");
                }
                _ => {}
            }
            watched.why.clone_from(&found.why);
        }
    }

    /// Metric to what is known of it, for those that this source can make.
    fn specs(&self) -> BTreeMap<String, MetricSpec> {
        let spec = |bad, unit: &str, floor, limit| MetricSpec { bad, unit: unit.to_owned(), floor, limit };
        let has_http = self.places.iter().any(|watched| !watched.place.is_tcp());
        let has_tls = self.places.iter().any(|watched| watched.place.is_https());
        // Just under 1, so that one failed check of any number is past it and a full house never is.
        let all = Some(0.999_9);
        let mut specs = vec![
            (SUCCESS, spec(Badness::Low, "ratio", 0.01, all)),
            // Below 5 ms, a change is noise of the scheduler.
            (LATENCY, spec(Badness::High, "s", 0.005, None)),
        ];
        if has_http {
            specs.push((STATUS_OK, spec(Badness::Low, "ratio", 0.01, all)));
        }
        if has_http && self.checker.reads_bodies() {
            specs.push((BODY_OK, spec(Badness::Low, "ratio", 0.01, all)));
        }
        if has_tls {
            // It sinks by one a day, and that is no anomaly: only what moves by months is unusual. A week before the end,
            // whatever renews it has failed several times.
            specs.push((TLS_DAYS_LEFT, spec(Badness::Low, "days", 30.0, Some(7.0))));
        }
        let own = |name: &str| self.settings.metric.get(name);
        specs.into_iter().map(|(name, spec)| (name.to_owned(), names::with_settings(spec, own(name)))).collect()
    }

    /// How the instances of a metric are merged, unless the config says otherwise.
    fn across(&self, metric: &str) -> Across {
        let usual = match metric {
            LATENCY => Across::Max,
            TLS_DAYS_LEFT => Across::Min,
            _ => Across::Mean,
        };
        self.settings.metric.get(metric).and_then(|settings| settings.across).unwrap_or(usual)
    }
}

#[async_trait]
impl Source for ProbeSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read(&mut self) -> Result<Gathered, SourceError> {
        let who: Who =
            check::who(&self.settings.auth).map_err(|why| SourceError { source_name: self.name.clone(), why })?;
        let (checker, looker, budget, who) = (&self.checker, &self.looker, self.budget, &who);
        let checks = self
            .places
            .iter()
            .map(|watched| join(checker.check(&watched.place, who, budget), watched.ends(looker, budget)));
        let found = join_all(checks).await;
        self.remember(&found);
        let now = SystemClock.now();
        let mut gathered = Gathered { specs: self.specs(), ..Gathered::default() };
        for (watched, (found, certificate)) in self.places.iter().zip(&found) {
            let ends = certificate.map(|(_, ends)| ends);
            gathered.by_instance.insert(watched.place.name.clone(), values_of(found, ends, now.0 / 1000));
        }
        for metric in gathered.specs.keys() {
            let values: Vec<f64> =
                gathered.by_instance.values().filter_map(|values| values.get(metric)).copied().collect();
            if let Some(value) = merged(&values, self.across(metric)) {
                gathered.values.insert(metric.clone(), value);
            }
        }
        Ok(gathered)
    }

    fn complaints(&self) -> Vec<String> {
        let failing = self.places.iter().filter_map(|watched| Some((watched.place.shown(), watched.why.as_ref()?)));
        failing.map(|(place, why)| format!("{place}: {why}")).collect()
    }
}

/// The metrics of one address; times are in seconds since the epoch.
fn values_of(found: &Found, ends: Option<i64>, now: i64) -> BTreeMap<String, f64> {
    let yes = |is_so: bool| if is_so { 1.0 } else { 0.0 };
    let mut values = BTreeMap::from([(SUCCESS.to_owned(), yes(found.is_up()))]);
    let mut add = |name: &str, value: Option<f64>| {
        if let Some(value) = value {
            values.insert(name.to_owned(), value);
        }
    };
    add(LATENCY, found.latency.filter(|_| found.is_up()).map(|latency| latency.as_secs_f64()));
    add(STATUS_OK, found.status_ok.map(yes));
    add(BODY_OK, found.body_ok.map(yes));
    add(TLS_DAYS_LEFT, ends.map(|ends| days(ends.saturating_sub(now))));
    values
}

fn days(seconds: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "dates of certificates are far below 2^53 seconds")]
    let seconds = seconds as f64;
    seconds / 86_400.0
}

fn merged(values: &[f64], across: Across) -> Option<f64> {
    let count = u32::try_from(values.len()).ok().filter(|n| *n > 0)?;
    let sum: f64 = values.iter().sum();
    Some(match across {
        Across::Sum => sum,
        Across::Mean => sum / f64::from(count),
        Across::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Across::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_check_has_no_latency() {
        let day = 86_400;
        let answered = Found { latency: Some(Duration::from_millis(250)), status_ok: Some(true), ..Found::default() };
        let values = values_of(&answered, Some(10 * day), 0);
        let wanted = [(LATENCY, 0.25), (STATUS_OK, 1.0), (SUCCESS, 1.0), (TLS_DAYS_LEFT, 10.0)];
        assert_eq!(values, wanted.map(|(name, value)| (name.to_owned(), value)).into());
        let failed = Found { why: Some("answered 503".to_owned()), status_ok: Some(false), ..answered };
        let values = values_of(&failed, Some(-day), 0);
        let wanted = [(STATUS_OK, 0.0), (SUCCESS, 0.0), (TLS_DAYS_LEFT, -1.0)];
        assert_eq!(values, wanted.map(|(name, value)| (name.to_owned(), value)).into());
    }

    #[test]
    fn instances_are_merged_as_asked() {
        let values = [1.0, 0.0, 2.0];
        let all = [Across::Sum, Across::Mean, Across::Max, Across::Min].map(|across| merged(&values, across));
        assert_eq!(all, [Some(3.0), Some(1.0), Some(2.0), Some(0.0)]);
        assert_eq!(merged(&[], Across::Mean), None);
    }
}

//! Promql: metrics from Prometheus, or from what speaks its HTTP API (Thanos, Mimir, VictoriaMetrics).
//!
//! Must never ask once for each service what can be asked once for all, hand on a value that nobody measures any more, or
//! wait for a server that is down. Called by the collector, once a round, and once for the history.
//!
//! | module | |
//! |---|---|
//! | `templates` | which series tell what of a kind of target: data |
//! | `group`, `round` | services of one kind, asked for together |
//! | `place` | which service and instance a series is of |
//! | `make` | metrics of series |
//! | `own` | the config's own queries |
//! | `history` | the time before |
//! | `hub` | one server: turns, rests, counters |
//! | `wire`, `answer`, `text` | HTTP, JSON, PromQL |

mod answer;
mod group;
mod history;
mod hub;
mod make;
mod own;
mod place;
mod round;
mod templates;
mod text;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use super::{Across, Gathered, Making, MetricSettings, PromqlMetric, PromqlSettings, Source, SourceError, names};
use crate::model::{MetricSpec, SourceFault, Timestamp};
use group::{About, Member, Outcome};
use hub::Hub;
use make::make;
use own::{Found, Own};
use place::Scheme;
use templates::{Enough, Family, Part, Row};

pub use hub::{HubStats, Hubs};

/// Own queries of one source at a time.
const OWN_AT_ONCE: usize = 8;
/// What a read may take when nobody said.
const USUAL_TIMEOUT: Duration = Duration::from_secs(10);

/// One source of a service.
#[derive(Debug)]
pub struct PromqlSource {
    name: String,
    /// What the series are of, for people.
    subject: String,
    hub: Arc<Hub>,
    uses: Vec<Use>,
    own: Vec<Own>,
    metric: BTreeMap<String, PromqlMetric>,
    interval: Duration,
    /// What one read may take; a little less than the collector's deadline, so that a part that stalls is one fault.
    budget: Duration,
    backfill: Duration,
    /// What was already said in the log.
    said: BTreeSet<String>,
    complaints: Vec<String>,
}

/// A part of a template, and this service's place among those that have it too.
#[derive(Debug)]
struct Use {
    family: &'static Family,
    part: &'static Part,
    member: Member,
}

/// What one read comes to, while it is put together.
#[derive(Default)]
struct Round {
    gathered: Gathered,
    /// Why, and what of it.
    faults: BTreeMap<String, Vec<String>>,
    complaints: Vec<String>,
    /// Families of which only one part has to be there, and whether one was.
    alive: BTreeMap<&'static str, bool>,
}

impl PromqlSource {
    /// A source with these settings. Nothing is asked yet.
    ///
    /// # Errors
    /// When the address is none, nothing is known of what it watches, the labels do not suffice, a metric has neither query
    /// nor template, or a secret or certificate cannot be read.
    pub fn new(settings: &PromqlSettings, making: &Making) -> Result<Self, SourceError> {
        let url = wire::parse(&settings.url);
        let subject = settings.watch.as_ref().map_or_else(
            || settings.labels.iter().map(|(label, value)| format!("{label}={value}")).collect::<Vec<_>>().join(","),
            ToString::to_string,
        );
        let shown = url.as_ref().map_or_else(|_| "?".to_owned(), wire::shown);
        let subject = names::excerpt(&subject, 120);
        let name = if subject.is_empty() { format!("promql {shown}") } else { format!("promql {shown} ({subject})") };
        let wrong = |why: String| SourceError { source_name: name.clone(), why };
        let hub = making.pool.promql.hub(&url.map_err(wrong)?, &settings.auth).map_err(wrong)?;
        let timeout = if making.timeout.is_zero() { USUAL_TIMEOUT } else { making.timeout };
        let interval = making.interval.max(Duration::from_millis(1));
        let mut families: Vec<&'static Family> = Vec::new();
        if let Some(target) = &settings.watch {
            match templates::of_target(target) {
                Ok(found) => families.extend(found),
                // Whoever names templates or queries may watch anything.
                Err(_) if target.kind() != "k8s" && (!settings.templates.is_empty() || !settings.metric.is_empty()) => {
                }
                Err(why) => return Err(wrong(why)),
            }
        }
        for template in &settings.templates {
            let family = templates::named(template).map_err(wrong)?;
            if !families.iter().any(|known| known.name == family.name) {
                families.push(family);
            }
        }
        let mut uses = Vec::new();
        for family in families {
            for part in family.parts {
                let (scheme, key) = Scheme::of(part, settings.watch.as_ref(), settings.labels.iter()).map_err(wrong)?;
                let about = About { part, scheme, interval, budget: timeout.mul_f64(0.8) };
                uses.push(Use { family, part, member: hub.group(&about).join(key) });
            }
        }
        let own: Vec<Own> = settings.metric.iter().filter_map(|(metric, s)| Own::of(metric, s)).collect();
        let rows: BTreeSet<&str> = uses.iter().flat_map(|used| used.part.rows).map(|row| row.name).collect();
        for (metric, _) in settings.metric.iter().filter(|(_, settings)| settings.query.is_none()) {
            if !rows.contains(metric.as_str()) {
                let made = rows.iter().copied().collect::<Vec<_>>().join(", ");
                let made = if made.is_empty() { "none".to_owned() } else { made };
                return Err(wrong(format!(
                    "metric `{}` has no `query`, and no template here makes it; the templates here make: {made}",
                    names::excerpt(metric, 60)
                )));
            }
        }
        if uses.is_empty() && own.is_empty() {
            return Err(wrong("it asks for nothing: name what to `watch`, `templates`, or queries".to_owned()));
        }
        Ok(Self {
            subject: if subject.is_empty() { "the query".to_owned() } else { subject },
            hub,
            uses,
            own,
            metric: settings.metric.clone(),
            interval,
            budget: timeout.mul_f64(0.9),
            backfill: settings.backfill,
            said: BTreeSet::new(),
            complaints: Vec::new(),
            name,
        })
    }

    /// The config's word on how instances are merged.
    fn across(&self, metric: &str) -> Option<Across> {
        self.metric.get(metric).and_then(|settings| settings.across)
    }

    /// The config has a query of its own under that name.
    fn is_own(&self, metric: &str) -> bool {
        self.metric.get(metric).is_some_and(|settings| settings.query.is_some())
    }

    fn spec(&self, metric: &str) -> MetricSpec {
        let row = self.uses.iter().flat_map(|used| used.part.rows).find(|row| row.name == metric);
        let spec = match row {
            Some(row) if !self.is_own(metric) => row.spec(),
            _ => names::guess(metric),
        };
        let words = self.metric.get(metric).map(|settings| MetricSettings {
            bad: settings.bad,
            unit: settings.unit.clone(),
            floor: settings.floor,
            limit: settings.limit,
            ..MetricSettings::default()
        });
        names::with_settings(spec, words.as_ref())
    }

    /// Takes up what a part's round found.
    fn take(&self, used: &Use, outcome: &Outcome, round: &mut Round) {
        let (part, is_one_of) = (used.part, used.family.enough == Enough::One);
        if is_one_of {
            round.alive.entry(used.family.name).or_default();
        }
        if let Some(why) = &outcome.nothing {
            round.faults.entry(why.clone()).or_default().push(part.name.to_owned());
            return;
        }
        if outcome.absent {
            return;
        }
        let none = group::Slice::default();
        let slice = outcome.slices.get(used.member.slot).unwrap_or(&none);
        let Some(youngest) = slice.ages.youngest() else {
            if !part.optional {
                let pulse = part.pulse.split('{').next().unwrap_or(part.pulse);
                round.complaints.push(format!("no series `{pulse}` for {}: {}", self.subject, part.remedy));
            }
            return;
        };
        if youngest > outcome.oldest {
            round
                .faults
                .entry(format!(
                    "the newest sample is {youngest:.0} s old, so its values are left out; is it still scraped, and written to this server?"
                ))
                .or_default()
                .push(part.name.to_owned());
            return;
        }
        round.alive.entry(used.family.name).and_modify(|alive| *alive = true);
        let failed: BTreeMap<&str, &String> =
            outcome.failed.iter().filter_map(|(index, why)| Some((part.series.get(*index)?.name, why))).collect();
        let fresh = slice.cells.iter().filter(|cell| slice.ages.keep(cell, outcome.oldest));
        let made = make(part, fresh, |metric| self.across(metric), true);
        for row in part.rows.iter().filter(|row| !self.is_own(row.name)) {
            if let Some(why) = row_fails(row, &failed) {
                round.faults.entry(why.clone()).or_default().push(row.name.to_owned());
            } else if let Some(value) = made.values.get(row.name) {
                // Of parts that count the same, the first one counts.
                round.gathered.values.entry(row.name.to_owned()).or_insert(*value);
            } else if !row.may_lack {
                let of = row.make.series().next().map_or("?", |series| part.of(series));
                round.complaints.push(format!("metric `{}`: no series `{of}` for {}", row.name, self.subject));
            }
        }
        for (instance, values) in made.by_instance {
            let known = round.gathered.by_instance.entry(instance.to_string()).or_default();
            for (metric, value) in values {
                let is_ours = !self.is_own(metric)
                    && part.rows.iter().all(|row| row.name != metric || row_fails(row, &failed).is_none());
                if is_ours {
                    known.entry(metric.to_owned()).or_insert(value);
                }
            }
        }
    }

    fn take_own(own: &Own, found: Result<Found, String>, round: &mut Round) {
        match found {
            Ok(Found { value: Some(value), by_instance }) => {
                round.gathered.values.insert(own.metric.clone(), value);
                for (instance, value) in by_instance {
                    round.gathered.by_instance.entry(instance).or_default().insert(own.metric.clone(), value);
                }
            }
            Ok(Found { value: None, .. }) => {
                round.complaints.push(format!("metric `{}`: its query gives nothing just now", own.metric));
            }
            Err(why) => round.faults.entry(why).or_default().push(own.metric.clone()),
        }
    }

    /// Says what was found, once, and what is amiss, each once.
    fn say(&mut self, round: &Round) {
        let found: Vec<&str> = round.gathered.values.keys().map(String::as_str).collect();
        if !found.is_empty() && self.said.insert("found".to_owned()) {
            tracing::info!(source = %self.name, found = found.len(), metrics = %found.join(", "), "found these metrics");
        }
        for complaint in &round.complaints {
            if self.said.insert(complaint.clone()) {
                tracing::warn!(source = %self.name, "{complaint}");
            }
        }
    }
}

/// Why a row cannot be made: a query that it needs failed.
fn row_fails<'a>(row: &Row, failed: &BTreeMap<&str, &'a String>) -> Option<&'a String> {
    row.make.series().find_map(|series| failed.get(series).copied())
}

#[async_trait]
impl Source for PromqlSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read(&mut self) -> Result<Gathered, SourceError> {
        let until = Instant::now() + self.budget;
        let budget = crate::model::in_words(self.budget);
        // As for the parts of templates, which are seen to by their rounds.
        let oldest = (self.interval * 2).max(Duration::from_secs(60)).as_secs_f64();
        let hub = &self.hub;
        let late = || format!("no whole answer within {budget}");
        let parts = futures::future::join_all(
            self.uses
                .iter_mut()
                .map(|used| async { timeout_at(until, used.member.read()).await.unwrap_or_else(|_| Err(late())) }),
        );
        let own = futures::stream::iter(0..self.own.len())
            .map(|at| {
                let own = self.own.get(at);
                let late = late();
                async move {
                    let found = match own {
                        Some(own) => timeout_at(until, own.read(hub, oldest, until)).await.unwrap_or(Err(late)),
                        None => Ok(Found::default()),
                    };
                    (at, found)
                }
            })
            .buffer_unordered(OWN_AT_ONCE)
            .collect::<Vec<_>>();
        let (parts, own) = futures::future::join(parts, own).await;
        let mut round = Round::default();
        for (used, outcome) in self.uses.iter().zip(parts) {
            match outcome {
                Ok(outcome) => self.take(used, &outcome, &mut round),
                Err(why) => round.faults.entry(why).or_default().push(used.part.name.to_owned()),
            }
        }
        for (at, found) in own {
            if let Some(own) = self.own.get(at) {
                Self::take_own(own, found, &mut round);
            }
        }
        if round.faults.is_empty() {
            for (family, _) in round.alive.iter().filter(|(_, alive)| !**alive) {
                let parts = self.uses.iter().filter(|used| used.family.name == *family).map(|used| used.part);
                let pulses: Vec<&str> = parts.clone().filter_map(|part| part.pulse.split('{').next()).collect();
                let remedy = parts.map(|part| part.remedy).next().unwrap_or_default();
                round.complaints.push(format!(
                    "template `{family}`: none of {} for {}: {remedy}",
                    pulses.join(", "),
                    self.subject
                ));
            }
        }
        let names: Vec<String> = round.gathered.values.keys().cloned().collect();
        round.gathered.specs = names.into_iter().map(|metric| (metric.clone(), self.spec(&metric))).collect();
        let faults: Vec<String> = round
            .faults
            .iter()
            .map(|(why, of)| {
                let more = if of.len() > 3 { format!(" and {} more", of.len() - 3) } else { String::new() };
                format!("{}{more}: {why}", of.iter().take(3).cloned().collect::<Vec<_>>().join(", "))
            })
            .collect();
        self.say(&round);
        self.complaints = round.complaints;
        if round.gathered.values.is_empty() {
            let why = if round.faults.len() == 1 {
                // All failed for one reason: which ones says nothing.
                round.faults.into_keys().next().unwrap_or_default()
            } else if faults.is_empty() {
                self.complaints.first().cloned().unwrap_or_else(|| "the server has no values for it".to_owned())
            } else {
                faults.iter().take(3).cloned().collect::<Vec<_>>().join("; ")
            };
            return Err(SourceError { source_name: self.name.clone(), why });
        }
        let fault = |why: String| SourceFault { source: self.name.clone(), why };
        round.gathered.faults = faults.into_iter().map(fault).collect();
        Ok(round.gathered)
    }

    /// Values of the service as a whole, every interval or 5 s, as far back as the config says; the first entry has the
    /// specs of all.
    async fn history(&mut self, since: Timestamp, until: Timestamp) -> Result<Vec<(Timestamp, Gathered)>, SourceError> {
        let failed = |why: String| SourceError { source_name: self.name.clone(), why };
        let ranges = history::ranges(since.max(until.minus(self.backfill)), until, self.interval);
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        // Few at a time: what they hold is theirs alone.
        let _turn = self.hub.history_slot().await;
        let mut found: BTreeMap<i64, Gathered> = BTreeMap::new();
        let (mut errors, mut asked) = (Vec::new(), 0);
        for used in &self.uses {
            asked += 1;
            match history::of_part(&used.member, &ranges, |metric| self.across(metric)).await {
                Ok(past) => {
                    for (at, made) in past {
                        let values = &mut found.entry(at).or_default().values;
                        for (metric, value) in made.values.into_iter().filter(|(metric, _)| !self.is_own(metric)) {
                            values.entry(metric.to_owned()).or_insert(value);
                        }
                    }
                }
                Err(why) => errors.push(why),
            }
        }
        for own in &self.own {
            asked += 1;
            match own.history(&self.hub, &ranges, history::deadline).await {
                Ok(past) => {
                    for (at, value) in past {
                        found.entry(at).or_default().values.insert(own.metric.clone(), value);
                    }
                }
                Err(why) => errors.push(format!("metric `{}`: {why}", own.metric)),
            }
        }
        if let Some(first) = errors.first() {
            if errors.len() == asked {
                return Err(failed(first.clone()));
            }
            tracing::warn!(source = %self.name, failed = errors.len(), "a part of the history could not be had: {first}");
        }
        found.retain(|_, gathered| !gathered.values.is_empty());
        let metrics: BTreeSet<String> = found.values().flat_map(|gathered| gathered.values.keys().cloned()).collect();
        if let Some(mut first) = found.first_entry() {
            first.get_mut().specs = metrics.into_iter().map(|metric| (metric.clone(), self.spec(&metric))).collect();
        }
        Ok(found.into_iter().map(|(at, gathered)| (Timestamp(at), gathered)).collect())
    }

    fn complaints(&self) -> Vec<String> {
        self.complaints.clone()
    }
}

//! The config's own queries: one value, or one for each instance.
//!
//! Must never take the first of several series for the whole. Called by the source; not shared between services.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::answer::{Labels, Sink};
use super::hub::{For, Hub, When};
use super::make::merge;
use crate::collect::names::excerpt;
use crate::collect::{Across, PromqlMetric};

/// Instances of one query: as many as one service's pages may have.
const MOST_INSTANCES: usize = 500;

/// One query of the config.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub metric: String,
    query: String,
    instance: Option<String>,
    across: Across,
}

/// What a query gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Found {
    /// `None`: no series.
    pub value: Option<f64>,
    pub by_instance: BTreeMap<String, f64>,
}

impl Own {
    /// The query that the config has for a metric.
    pub fn of(metric: &str, settings: &PromqlMetric) -> Option<Self> {
        // Of rates the sum is the service's, of anything else the mean: as pages are merged.
        let usual = if metric.ends_with("_rate") { Across::Sum } else { Across::Mean };
        Some(Self {
            metric: metric.to_owned(),
            query: settings.query.clone()?,
            instance: settings.instance.clone(),
            across: settings.across.unwrap_or(usual),
        })
    }

    /// Asks for now. Values older than `oldest` seconds, by the server's own clock, are none.
    pub async fn read(&self, hub: &Hub, oldest: f64, until: Instant) -> Result<Found, String> {
        let answer = hub.ask(&self.query, When::Now, For::Own, until).await.map_err(|e| e.to_string())?;
        let mut rows = Rows { instance: self.instance.as_deref(), rows: BTreeMap::new(), series: 0 };
        hub.read(&answer, &mut rows).map_err(|e| e.to_string())?;
        self.judge(rows.series)?;
        let now = answer.date();
        let fresh = rows.rows.into_iter().filter_map(|(instance, points)| {
            let (at, value) = points.last().copied()?;
            now.is_none_or(|now| now - at <= oldest).then_some((instance, value))
        });
        let fresh: BTreeMap<String, f64> = fresh.collect();
        let value = merge(fresh.values().copied(), self.across);
        let by_instance = if self.instance.is_some() { fresh } else { BTreeMap::new() };
        Ok(Found { value, by_instance })
    }

    /// Asks for a time that is over: milliseconds to the service's value.
    pub async fn history(
        &self,
        hub: &Hub,
        ranges: &[When],
        until: impl Fn() -> Instant,
    ) -> Result<BTreeMap<i64, f64>, String> {
        let mut found = BTreeMap::new();
        for range in ranges {
            let answer = hub.ask(&self.query, *range, For::History, until()).await.map_err(|e| e.to_string())?;
            let mut rows = Rows { instance: self.instance.as_deref(), rows: BTreeMap::new(), series: 0 };
            hub.read(&answer, &mut rows).map_err(|e| e.to_string())?;
            self.judge(rows.series)?;
            let mut by_time: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
            for (at, value) in rows.rows.into_values().flatten() {
                by_time.entry(milliseconds(at)).or_default().push(value);
            }
            let merged = by_time.into_iter().filter_map(|(at, v)| Some((at, merge(v.into_iter(), self.across)?)));
            found.extend(merged);
        }
        Ok(found)
    }

    fn judge(&self, series: usize) -> Result<(), String> {
        match (series, &self.instance) {
            (0 | 1, _) => Ok(()),
            (n, None) => Err(format!(
                "the query gives {n} series: aggregate them, as in sum(..), or name the label that tells instances apart as `instance`"
            )),
            (n, Some(_)) if n <= MOST_INSTANCES => Ok(()),
            (n, Some(_)) => Err(format!("the query gives {n} series, more than {MOST_INSTANCES}: aggregate them")),
        }
    }
}

/// Seconds as the API has them, in milliseconds.
pub(super) fn milliseconds(seconds: f64) -> i64 {
    #[allow(clippy::cast_possible_truncation, reason = "saturates, and a time beyond that is nobody's")]
    {
        (seconds * 1000.0).round() as i64
    }
}

struct Rows<'a> {
    instance: Option<&'a str>,
    rows: BTreeMap<String, Vec<(f64, f64)>>,
    series: usize,
}

impl Sink for Rows<'_> {
    fn series(&mut self, labels: &Labels<'_>, points: &[(f64, f64)]) {
        self.series += 1;
        if self.series > MOST_INSTANCES {
            return;
        }
        let name = self.instance.map(|label| labels.get(label)).filter(|value| !value.is_empty()).unwrap_or("?");
        let mut name = excerpt(name, 253);
        // Several series of one instance: none of them is to be lost.
        if self.rows.contains_key(&name) {
            name = format!("{name} ({})", self.series);
        }
        self.rows.insert(name, points.to_vec());
    }
}

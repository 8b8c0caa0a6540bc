//! CloudWatch: metrics of AWS, asked for once a period and no more often, for each metric asked for is paid for.
//!
//! CloudWatch has a value for a window of time, some minutes after the window. So a read gives the newest window that is
//! complete; until the next one can be, that is still the newest value there is, and it is given again without asking.
//! Must never give a value that is older than three windows, or one from before a question that failed. What is missing is
//! missing; only a `Sum` that CloudWatch has nothing for counts as 0 where the same thing has other metrics in that window:
//! a load balancer that saw no error says nothing of errors. Called by the collector, once a round.

mod ask;
mod query;
mod series;
mod usual;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_cloudwatch::Client;
use futures::future::{join_all, try_join_all};
use tokio::time::{Instant, timeout};

use super::{CloudwatchSettings, Gathered, Making, Source, SourceError};
use crate::model::{Clock, SourceFault, SystemClock, Timestamp};
use crate::platform::aws::Accounts;
use query::Query;
use series::Series;

/// Windows back to which a value counts as the newest.
const WINDOWS: i64 = 3;
/// Between two questions after a failed one; doubles, for AWS throttles those who come back at once.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// At most: a usual window's length.
const LAST_PAUSE: Duration = Duration::from_secs(60);
/// Sources ask at different moments, up to this long after their values are complete.
const SPREAD_SECONDS: i64 = 15;
/// Most moments of the time before: a day of minutes.
const MOST_MOMENTS: usize = 1440;
/// What the time before may take to be had, once, at the first start.
const HISTORY_WITHIN: Duration = Duration::from_secs(60);

/// One source of a service.
pub struct CloudwatchSource {
    name: String,
    settings: CloudwatchSettings,
    accounts: Accounts,
    client: Option<Client>,
    clock: Arc<dyn Clock>,
    /// What one read may take; a little less than the collector's deadline, so that a slow answer is told from none.
    budget: Duration,
    /// This source's own part of [`SPREAD_SECONDS`].
    offset: i64,
    by_period: Vec<Window>,
    complaints: Vec<String>,
}

impl std::fmt::Debug for CloudwatchSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CloudwatchSource").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The metrics of one period, which become complete together.
struct Window {
    period: i64,
    queries: Vec<Query>,
    /// The end of the newest window that was asked for, and what came of it.
    asked: Option<(i64, Series)>,
    failed: Option<Failed>,
}

/// A question that failed.
struct Failed {
    why: String,
    /// It is asked again after this pause, which ends then.
    pause: Duration,
    until: Instant,
}

impl CloudwatchSource {
    /// A source with these settings.
    ///
    /// # Errors
    /// When nothing is asked for, or something that CloudWatch cannot have.
    pub fn new(settings: &CloudwatchSettings, making: &Making) -> Result<Self, SourceError> {
        Self::with_clock(settings, making, Arc::new(SystemClock))
    }

    /// The same with another clock.
    ///
    /// # Errors
    /// As [`CloudwatchSource::new`].
    pub fn with_clock(
        settings: &CloudwatchSettings,
        making: &Making,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SourceError> {
        let name = name(settings);
        let queries = query::of(settings).map_err(|why| SourceError { source_name: name.clone(), why })?;
        let mut by_period: BTreeMap<i64, Vec<Query>> = BTreeMap::new();
        for query in queries {
            by_period.entry(query.period).or_default().push(query);
        }
        let window = |(period, queries)| Window { period, queries, asked: None, failed: None };
        Ok(Self {
            name,
            settings: settings.clone(),
            accounts: making.pool.accounts.clone(),
            client: None,
            clock,
            budget: making.timeout.mul_f64(0.9),
            offset: fastrand::i64(0..=SPREAD_SECONDS),
            by_period: by_period.into_iter().map(window).collect(),
            complaints: Vec::new(),
        })
    }

    fn wrong(&self, why: impl Into<String>) -> SourceError {
        SourceError { source_name: self.name.clone(), why: why.into() }
    }

    async fn client(&mut self) -> Result<Client, SourceError> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let config = self.accounts.config(&self.settings.aws).await.map_err(|why| self.wrong(why))?;
        let client = Client::new(&config);
        self.client = Some(client.clone());
        Ok(client)
    }

    /// The end of the newest window of this period that CloudWatch has complete at `at`, in seconds since the epoch.
    fn end(&self, at: Timestamp, period: i64) -> i64 {
        let delay = i64::try_from(self.settings.delay.as_secs()).unwrap_or(i64::MAX);
        let complete = at.0.div_euclid(1000).saturating_sub(delay).saturating_sub(self.offset);
        complete.div_euclid(period) * period
    }

    /// Asks for what has become complete since the last time, all periods at once.
    async fn refresh(&mut self, ends: &[i64]) {
        let now = Instant::now();
        let is_due =
            |window: &Window, end: i64| !window.has(end) && window.failed.as_ref().is_none_or(|f| f.until <= now);
        if !self.by_period.iter().zip(ends).any(|(window, end)| is_due(window, *end)) {
            return;
        }
        let client = self.client().await;
        let (client, budget) = (client.as_ref(), self.budget);
        let ask = |window: &Window, end: i64| {
            let (queries, start) = (window.queries.clone(), end - WINDOWS * window.period);
            async move {
                let client = client.map_err(|error| error.why.clone())?;
                match timeout(budget, ask::range(client, &queries, start, end)).await {
                    Ok(answer) => answer.map_err(|fault| fault.to_string()),
                    Err(_) => Err("no answer from CloudWatch in time: give the service a longer `timeout`".to_owned()),
                }
            }
        };
        let due = self.by_period.iter_mut().zip(ends).filter(|(window, end)| is_due(window, **end));
        let asked = due.map(|(window, end)| {
            let answer = ask(window, *end);
            async move { (window, *end, answer.await) }
        });
        for (window, end, answer) in join_all(asked).await {
            match answer {
                Ok(series) => (window.asked, window.failed) = (Some((end, series)), None),
                Err(why) => window.fail(why),
            }
        }
        self.complaints = self.by_period.iter().flat_map(Window::complaints).collect();
    }
}

impl Window {
    /// Is this the window that it knows? Not only up to it: a clock that was set back must not leave values from the future.
    fn has(&self, end: i64) -> bool {
        self.asked.as_ref().is_some_and(|(asked, _)| *asked == end)
    }

    fn fail(&mut self, why: String) {
        let pause = self.failed.as_ref().map_or(FIRST_PAUSE, |failed| (failed.pause * 2).min(LAST_PAUSE));
        let until = Instant::now() + pause.mul_f64(0.8 + 0.4 * fastrand::f64());
        self.failed = Some(Failed { why, pause, until });
    }

    fn complaints(&self) -> Vec<String> {
        let Some((_, series)) = &self.asked else { return Vec::new() };
        let silent = self.queries.iter().enumerate().filter(|(n, query)| series.is_empty(*n) && !query.may_be_silent());
        silent.map(|(_, query)| query.complaint()).collect()
    }

    fn give(&self, series: &Series, end: i64, gathered: &mut Gathered) {
        for (n, query) in self.queries.iter().enumerate() {
            if let Some(value) = series.newest(&self.queries, n, end) {
                gathered.values.insert(query.name.clone(), value);
            }
            gathered.specs.insert(query.name.clone(), query.spec.clone());
        }
    }
}

fn name(settings: &CloudwatchSettings) -> String {
    let first = settings.metric.values().next().map(|metric| super::names::excerpt(&metric.namespace, 60));
    match (&settings.watch, first) {
        (Some(target), _) => format!("cloudwatch {target}"),
        (None, Some(namespace)) => format!("cloudwatch {namespace}"),
        (None, None) => "cloudwatch".to_owned(),
    }
}

#[async_trait]
impl Source for CloudwatchSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read(&mut self) -> Result<Gathered, SourceError> {
        let now = self.clock.now();
        let ends: Vec<i64> = self.by_period.iter().map(|window| self.end(now, window.period)).collect();
        self.refresh(&ends).await;
        let (mut gathered, mut any) = (Gathered::default(), false);
        let fault = |why: &String| SourceFault { source: self.name.clone(), why: why.clone() };
        for (window, end) in self.by_period.iter().zip(ends) {
            match (&window.asked, &window.failed) {
                (Some((asked, series)), _) if *asked == end => {
                    window.give(series, end, &mut gathered);
                    gathered.faults.extend(series.faults.iter().map(fault));
                    any = true;
                }
                (_, Some(failed)) => gathered.faults.push(fault(&failed.why)),
                _ => {}
            }
        }
        match gathered.faults.first() {
            Some(fault) if !any => Err(self.wrong(fault.why.clone())),
            _ => Ok(gathered),
        }
    }

    /// Each moment as a read at that moment would have been.
    async fn history(&mut self, since: Timestamp, until: Timestamp) -> Result<Vec<(Timestamp, Gathered)>, SourceError> {
        let since = since.max(until.minus(self.settings.backfill));
        let Some(step) = self.by_period.iter().map(|window| window.period).min() else { return Ok(Vec::new()) };
        let client = self.client().await?;
        let asked = self.by_period.iter().map(|window| {
            let start = self.end(since, window.period) - WINDOWS * window.period;
            ask::range(&client, &window.queries, start, self.end(until, window.period))
        });
        let known: Vec<Series> = match timeout(HISTORY_WITHIN, try_join_all(asked)).await {
            Ok(known) => known.map_err(|fault| self.wrong(fault.to_string()))?,
            Err(_) => return Err(self.wrong("CloudWatch did not give the time before in time: shorten `backfill`")),
        };
        let step = Duration::from_secs(step.unsigned_abs());
        let mut moments: Vec<Timestamp> = std::iter::successors(Some(until), |at| Some(at.minus(step)))
            .take_while(|at| *at >= since)
            .take(MOST_MOMENTS)
            .collect();
        moments.reverse();
        let mut history = Vec::new();
        for at in moments {
            let mut gathered = Gathered::default();
            for (window, series) in self.by_period.iter().zip(&known) {
                window.give(series, self.end(at, window.period), &mut gathered);
            }
            if !gathered.values.is_empty() {
                history.push((at, gathered));
            }
        }
        Ok(history)
    }

    fn complaints(&self) -> Vec<String> {
        self.complaints.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::CloudwatchMetric;
    use crate::model::FakeClock;

    fn settings(period: u32) -> CloudwatchSettings {
        let metric = CloudwatchMetric {
            namespace: "AWS/ApplicationELB".to_owned(),
            metric: "TargetResponseTime".to_owned(),
            period: Some(period),
            ..CloudwatchMetric::default()
        };
        CloudwatchSettings {
            aws: crate::platform::AwsSettings::default(),
            watch: None,
            metric: BTreeMap::from([("latency_seconds".to_owned(), metric)]),
            delay: Duration::from_secs(120),
            backfill: Duration::from_secs(7200),
        }
    }

    #[test]
    fn a_window_is_complete_when_the_delay_is_over() {
        let clock = Arc::new(FakeClock::default());
        let mut source = CloudwatchSource::with_clock(&settings(60), &Making::default(), clock).unwrap();
        source.offset = 0;
        assert_eq!(source.name(), "cloudwatch AWS/ApplicationELB");
        assert_eq!(source.end(Timestamp(1_000_000_179_000), 60), 1_000_000_020);
        assert_eq!(source.end(Timestamp(1_000_000_200_000), 60), 1_000_000_080);
        source.offset = 15;
        assert_eq!(source.end(Timestamp(1_000_000_200_000), 60), 1_000_000_020);
    }

    #[test]
    fn a_source_that_asks_for_nothing_is_refused() {
        let nothing = CloudwatchSettings { metric: BTreeMap::new(), ..settings(60) };
        assert!(CloudwatchSource::new(&nothing, &Making::default()).unwrap_err().why.contains("watch"));
        assert!(CloudwatchSource::new(&settings(0), &Making::default()).unwrap_err().why.contains("period"));
    }
}

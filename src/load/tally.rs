//! Counting: what came of every request, as percentiles, errors by kind, and a line for each second.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::{Limits, LoadError, PATIENCE};

/// The longest latency that is told apart from longer ones.
const LONGEST: Duration = Duration::from_secs(60);
/// A second is closed when it lies this far back: everything that began in it has been answered or given up by then.
const OPEN_SECONDS: u64 = PATIENCE.as_secs() + 3;
/// Seconds that are kept, a day of them; later ones are in the total only. Bounds the memory against any results file.
const MOST_SECONDS: u64 = 24 * 3600;

/// What went wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Answered, and not with 2xx.
    Status(u16),
    /// Nobody took the connection.
    Refused,
    /// The connection broke.
    Reset,
    /// No whole answer within the customer's patience.
    Timeout,
    /// Not sent at all: too many requests were open or waiting.
    NotSent,
    /// Anything else that JMeter says.
    Other,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(code) => write!(f, "status {code}"),
            Self::Refused => f.write_str("refused"),
            Self::Reset => f.write_str("reset"),
            Self::Timeout => f.write_str("timeout"),
            Self::NotSent => f.write_str("not sent"),
            Self::Other => f.write_str("other"),
        }
    }
}

/// One second of a run, by when its requests should have been sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Second {
    /// Seconds since the start.
    pub at: u64,
    /// Answered 2xx.
    pub good: u64,
    /// All others.
    pub errors: u64,
    /// Latency in seconds: half were faster; `None` when there was none.
    pub p50: Option<f64>,
    /// The same for 95 of a hundred.
    pub p95: Option<f64>,
}

struct Building {
    latency: Histogram<u64>,
    good: u64,
    errors: u64,
}

/// The count of one run.
pub struct Tally {
    latency: Histogram<u64>,
    /// How much later than planned requests were sent.
    lag: Histogram<u64>,
    /// An empty one for each second.
    empty: Histogram<u64>,
    good: u64,
    errors: BTreeMap<Kind, u64>,
    building: BTreeMap<u64, Building>,
    seconds: Vec<Second>,
}

/// The figures of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Requests that should have been sent.
    pub requests: u64,
    /// Answered 2xx.
    pub good: u64,
    /// All others, by kind.
    pub errors: BTreeMap<Kind, u64>,
    /// Mean latency.
    pub average: Duration,
    /// Half were faster.
    pub p50: Duration,
    /// 95 of a hundred were faster.
    pub p95: Duration,
    /// 99 of a hundred were faster.
    pub p99: Duration,
    /// Good answers a second, over the whole run.
    pub throughput: f64,
    /// 99 of a hundred requests were sent no later than this after their time; `None` where nothing was planned.
    pub lag_p99: Option<Duration>,
    /// What each second was like.
    pub seconds: Vec<Second>,
}

impl Summary {
    /// Requests that failed, of a hundred.
    #[must_use]
    pub fn errors_percent(&self) -> f64 {
        let failed: u64 = self.errors.values().sum();
        if self.requests == 0 { 0.0 } else { 100.0 * failed as f64 / self.requests as f64 }
    }

    /// What these limits are broken by, in words; empty when they hold. A run without a request holds none.
    #[must_use]
    pub fn breaks(&self, limits: &Limits) -> Vec<String> {
        if self.requests == 0 {
            return vec!["there was no request".to_owned()];
        }
        let mut broken = Vec::new();
        if self.errors_percent() > limits.errors_percent {
            broken.push(format!("{:.2} % errors, at most {} % allowed", self.errors_percent(), limits.errors_percent));
        }
        if self.p95 > limits.p95 {
            broken.push(format!("p95 {} ms, at most {} ms allowed", self.p95.as_millis(), limits.p95.as_millis()));
        } else if self.good == 0 && broken.is_empty() {
            broken.push("no request was answered well".to_owned());
        }
        broken
    }
}

impl Tally {
    /// An empty one.
    ///
    /// # Errors
    /// Never in practice: the bounds are constants that the histogram takes.
    pub fn new() -> Result<Self, LoadError> {
        let histogram = |digits| Histogram::new_with_max(micros(LONGEST), digits);
        let failed = |e: hdrhistogram::CreationError| LoadError::Histogram(e.to_string());
        Ok(Self {
            latency: histogram(3).map_err(failed)?,
            lag: histogram(3).map_err(failed)?,
            // Two digits are enough for a line in a picture.
            empty: histogram(2).map_err(failed)?,
            good: 0,
            errors: BTreeMap::new(),
            building: BTreeMap::new(),
            seconds: Vec::new(),
        })
    }

    /// Counts a request that should have been sent at `at` after the start and was over `latency` after that.
    pub fn count(&mut self, at: Duration, latency: Duration, outcome: Result<(), Kind>) {
        match outcome {
            Ok(()) => self.good += 1,
            Err(kind) => *self.errors.entry(kind).or_default() += 1,
        }
        let counts = matches!(outcome, Ok(()) | Err(Kind::Timeout));
        if counts {
            self.latency.saturating_record(micros(latency));
        }
        let second = at.as_secs();
        if second > MOST_SECONDS || self.seconds.last().is_some_and(|last| second <= last.at) {
            return;
        }
        let empty = &self.empty;
        let building = self.building.entry(second).or_insert_with(|| Building {
            latency: Histogram::new_from(empty),
            good: 0,
            errors: 0,
        });
        if outcome.is_ok() {
            building.good += 1;
        } else {
            building.errors += 1;
        }
        if counts {
            building.latency.saturating_record(micros(latency));
        }
        while self.building.first_key_value().is_some_and(|(oldest, _)| oldest + OPEN_SECONDS < second) {
            self.close();
        }
    }

    /// Notes how much later than planned a request was sent.
    pub fn sent_late(&mut self, by: Duration) {
        self.lag.saturating_record(micros(by));
    }

    /// Closes the oldest second that is open.
    fn close(&mut self) {
        let Some((at, built)) = self.building.pop_first() else { return };
        let quantile = |q| (!built.latency.is_empty()).then(|| built.latency.value_at_quantile(q) as f64 / 1e6);
        let (p50, p95) = (quantile(0.5), quantile(0.95));
        self.seconds.push(Second { at, good: built.good, errors: built.errors, p50, p95 });
    }

    /// The figures, of a run that took so long.
    #[must_use]
    pub fn summary(mut self, took: Duration) -> Summary {
        while !self.building.is_empty() {
            self.close();
        }
        let quantile = |q| Duration::from_micros(self.latency.value_at_quantile(q));
        let average = if self.latency.is_empty() { 0.0 } else { self.latency.mean() };
        Summary {
            requests: self.good + self.errors.values().sum::<u64>(),
            good: self.good,
            average: Duration::from_secs_f64(average.max(0.0) / 1e6),
            p50: quantile(0.5),
            p95: quantile(0.95),
            p99: quantile(0.99),
            throughput: if took.is_zero() { 0.0 } else { self.good as f64 / took.as_secs_f64() },
            lag_p99: (!self.lag.is_empty()).then(|| Duration::from_micros(self.lag.value_at_quantile(0.99))),
            errors: self.errors,
            seconds: self.seconds,
        }
    }
}

fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn percentiles_are_those_of_good_answers_and_of_waiting_in_vain() {
        let mut tally = Tally::new().unwrap();
        for n in 1..=94 {
            tally.count(MS(n * 10), MS(n), Ok(()));
        }
        for _ in 0..6 {
            tally.count(MS(950), PATIENCE, Err(Kind::Timeout));
        }
        // Refused at once: an error, and no fast answer.
        for _ in 0..300 {
            tally.count(MS(990), MS(1), Err(Kind::Status(503)));
        }
        let got = tally.summary(Duration::from_secs(2));
        assert_eq!((got.requests, got.good, got.throughput), (400, 94, 47.0));
        assert_eq!(got.errors, [(Kind::Timeout, 6), (Kind::Status(503), 300)].into());
        let close = |a: Duration, b: Duration| a.abs_diff(b) <= b / 500;
        assert!(close(got.p50, MS(50)) && close(got.p95, PATIENCE) && close(got.p99, PATIENCE), "{got:?}");
        assert!((got.errors_percent() - 76.5).abs() < 0.01);
        assert_eq!(got.lag_p99, None);
        let second = got.seconds[0];
        assert_eq!((got.seconds.len(), second.at, second.good, second.errors), (1, 0, 94, 306));
    }

    #[test]
    fn seconds_are_in_order_and_few_are_open_at_a_time() {
        let mut tally = Tally::new().unwrap();
        for second in 0..1000 {
            // An answer that comes late belongs to the second in which it was asked for.
            tally.count(Duration::from_secs(second), MS(3), Ok(()));
            tally.count(Duration::from_secs(second.saturating_sub(5)), MS(5000), Err(Kind::Timeout));
            assert!(tally.building.len() as u64 <= OPEN_SECONDS + 1);
        }
        // Far too late, or far too long a run: counted, and no line.
        tally.count(Duration::ZERO, MS(1), Ok(()));
        tally.count(Duration::MAX, Duration::MAX, Ok(()));
        let got = tally.summary(Duration::from_secs(1000));
        assert_eq!((got.requests, got.seconds.len()), (2002, 1000));
        assert!(got.seconds.is_sorted_by_key(|second| second.at));
        assert_eq!((got.seconds[500].good, got.seconds[500].errors), (1, 1));
        assert!(got.seconds[500].p95.unwrap() > 4.9);
    }

    #[test]
    fn limits_are_broken_by_errors_by_slowness_and_by_nothing_at_all() {
        let limits = Limits { errors_percent: 1.0, p95: MS(250) };
        let run = |good: u64, errors: u64, ms: u64| {
            let mut tally = Tally::new().unwrap();
            (0..good).for_each(|_| tally.count(MS(0), MS(ms), Ok(())));
            (0..errors).for_each(|_| tally.count(MS(0), MS(1), Err(Kind::Reset)));
            tally.summary(MS(1000))
        };
        assert!(run(99, 1, 249).breaks(&limits).is_empty(), "a hundredth is allowed");
        assert_eq!(run(98, 2, 20).breaks(&limits), ["2.00 % errors, at most 1 % allowed"]);
        assert_eq!(run(100, 0, 400).breaks(&limits), ["p95 400 ms, at most 250 ms allowed"]);
        assert_eq!(run(0, 5, 1).breaks(&limits).len(), 1);
        assert_eq!(run(0, 0, 1).breaks(&limits), ["there was no request"]);
        let any = Limits { errors_percent: 100.0, p95: MS(250) };
        assert_eq!(run(0, 5, 1).breaks(&any), ["no request was answered well"]);
    }
}

//! Which forecasts are news: each warning is told once, when it begins.
//!
//! Called by the watching of a service, with each reading. Lost with the daemon by design: after a restart a detector
//! needs some minutes before it foresees anything, and what it foresees then is told again.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{Forecast, Reading, Timestamp};

/// A warning that was gone for this long is over: the next one of that metric is told again. Longer than a forecast
/// flaps, and shorter than two leaks follow each other.
const OVER: Duration = Duration::from_secs(600);

/// The warnings that stand, or were there a short while ago: by metric, the time at which each was seen last.
#[derive(Debug, Default)]
pub(super) struct Warnings(BTreeMap<String, Timestamp>);

impl Warnings {
    /// The forecasts of this reading that nobody was told of.
    pub(super) fn news(&mut self, reading: &Reading) -> Vec<Forecast> {
        let now = reading.at;
        // Either way: a clock that was set back must not keep a warning quiet for a year.
        self.0.retain(|_, seen| now.since(*seen).max(seen.since(now)) < OVER);
        let is_new = |forecast: &&Forecast| self.0.insert(forecast.metric.clone(), now).is_none();
        reading.ahead.iter().filter(is_new).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Judge, Severity};

    fn news(warnings: &mut Warnings, minute: i64, metrics: &[&str]) -> Vec<String> {
        let forecast = |metric: &&str| Forecast {
            metric: (*metric).to_owned(),
            limit: 1.0,
            unit: String::new(),
            within_ms: 540_000,
            earliest_ms: 0,
            latest_ms: None,
            confidence: 0.9,
        };
        let reading = Reading {
            service: "shop".into(),
            at: Timestamp(1_700_000_000_000 + minute * 60_000),
            score: 0.0,
            threshold: 1.0,
            risk: 0.0,
            severity: Severity::None,
            drivers: Vec::new(),
            judge: Judge::Limits,
            ahead: metrics.iter().map(forecast).collect(),
        };
        warnings.news(&reading).into_iter().map(|forecast| forecast.metric).collect()
    }

    #[test]
    fn a_warning_is_told_once_and_again_after_ten_minutes_without_it() {
        let mut warnings = Warnings::default();
        assert_eq!(news(&mut warnings, 0, &["memory"]), ["memory"]);
        assert_eq!(news(&mut warnings, 1, &["memory"]), [""; 0]);
        assert_eq!(news(&mut warnings, 2, &["disk", "memory"]), ["disk"], "each metric has its own");
        assert_eq!(news(&mut warnings, 9, &["memory"]), [""; 0]);
        assert_eq!(news(&mut warnings, 18, &["memory"]), [""; 0], "nine minutes later it is the same one");
        assert_eq!(news(&mut warnings, 28, &["memory"]), ["memory"]);
        for minute in 29..200 {
            assert_eq!(news(&mut warnings, minute, &["memory"]), [""; 0], "however long it stands");
        }
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let mut warnings = Warnings::default();
        assert_eq!(news(&mut warnings, 0, &["a", "b", "c"]).len(), 3);
        news(&mut warnings, 10, &[]);
        assert!(warnings.0.is_empty());
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nothing_quiet() {
        let mut warnings = Warnings::default();
        news(&mut warnings, 500_000, &["memory"]);
        assert_eq!(news(&mut warnings, 0, &["memory"]), ["memory"]);
    }
}

//! A limit that a metric is on its way to, and how people say so.
//!
//! Made by the detector, shown by cards and pages, recorded by the ledger. A forecast is no anomaly.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::number::humane;

/// A limit that will be crossed if the metric goes on as it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// The metric.
    pub metric: String,
    /// Its limit, in its own unit.
    pub limit: f64,
    /// Unit for people; empty for a plain count.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// Milliseconds until then; 0 for any moment now.
    pub within_ms: u64,
    /// The soonest that is likely, in milliseconds. Never after `within_ms`.
    pub earliest_ms: u64,
    /// The latest that is likely, in milliseconds; `None` when it may as well take very much longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_ms: Option<u64>,
    /// How much to believe it, 0 to 1.
    pub confidence: f64,
}

impl Forecast {
    /// `memory_bytes will cross its limit (2 GiB) in about 9 minutes (between 7 and 12)`. Rounded as people do: the time
    /// ahead is known to a tenth at best.
    #[must_use]
    pub fn words(&self) -> String {
        let expected = Rounded::of(self.within_ms);
        let when = match expected.count {
            0.0 => "any moment now".to_owned(),
            _ => format!("in about {expected}"),
        };
        let earliest = Rounded::of(self.earliest_ms);
        let range = match self.latest_ms.map(Rounded::of) {
            Some(latest) if latest == earliest => String::new(),
            // "between any moment now and 3 minutes" is no English.
            Some(latest) if earliest.count == 0.0 => format!(" (within {latest})"),
            Some(latest) if latest.unit == earliest.unit => {
                format!(" (between {} and {})", earliest.count, latest.count)
            }
            Some(latest) => format!(" (between {earliest} and {latest})"),
            None if earliest.count == 0.0 || earliest == expected => String::new(),
            None => format!(" ({earliest} at the earliest)"),
        };
        format!("{} will cross its limit ({}) {when}{range}", self.metric, humane(self.limit, &self.unit))
    }

    /// The same, seen so much later; `None` when it should have happened by then.
    #[must_use]
    pub fn after(&self, later: Duration) -> Option<Self> {
        let later = u64::try_from(later.as_millis()).unwrap_or(u64::MAX);
        if later > 0 && later >= self.latest_ms.unwrap_or(self.within_ms) {
            return None;
        }
        Some(Self {
            within_ms: self.within_ms.saturating_sub(later),
            earliest_ms: self.earliest_ms.saturating_sub(later),
            latest_ms: self.latest_ms.map(|latest| latest.saturating_sub(later)),
            ..self.clone()
        })
    }
}

/// A number that people would say.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rounded {
    count: f64,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    Minutes,
    Hours,
}

impl Rounded {
    /// Minutes up to 15, steps of five up to an hour and a half, half hours up to four, then hours.
    fn of(ms: u64) -> Self {
        let minutes = ms as f64 / 60_000.0;
        let to = |step: f64| (minutes / step).round() * step;
        match minutes {
            m if m < 15.5 => Self { count: to(1.0), unit: Unit::Minutes },
            m if m < 92.5 => Self { count: to(5.0), unit: Unit::Minutes },
            m if m < 255.0 => Self { count: to(30.0) / 60.0, unit: Unit::Hours },
            _ => Self { count: to(60.0) / 60.0, unit: Unit::Hours },
        }
    }
}

impl std::fmt::Display for Rounded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = match self.unit {
            Unit::Minutes => "minute",
            Unit::Hours => "hour",
        };
        write!(f, "{} {unit}{}", self.count, if self.count == 1.0 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forecast(within: u64, earliest: u64, latest: Option<u64>) -> Forecast {
        Forecast {
            metric: "memory_bytes".to_owned(),
            limit: 2_147_483_648.0,
            unit: "bytes".to_owned(),
            within_ms: within * 1000,
            earliest_ms: earliest * 1000,
            latest_ms: latest.map(|latest| latest * 1000),
            confidence: 0.9,
        }
    }

    fn said(within: u64, earliest: u64, latest: Option<u64>) -> String {
        forecast(within, earliest, latest).words().replace("memory_bytes will cross its limit (2 GiB) ", "")
    }

    #[test]
    fn it_says_what_and_when() {
        let text = forecast(551, 415, Some(731)).words();
        assert_eq!(text, "memory_bytes will cross its limit (2 GiB) in about 9 minutes (between 7 and 12)");
    }

    #[test]
    fn it_rounds_as_people_do() {
        assert_eq!(said(0, 0, Some(20)), "any moment now");
        assert_eq!(said(29, 0, Some(150)), "any moment now (within 3 minutes)");
        assert_eq!(said(61, 50, Some(70)), "in about 1 minute");
        assert_eq!(said(1390, 1200, Some(1700)), "in about 25 minutes (between 20 and 30)");
        assert_eq!(said(4000, 3000, Some(6000)), "in about 65 minutes (between 50 minutes and 1.5 hours)");
        assert_eq!(said(8000, 7000, Some(11_000)), "in about 2 hours (between 2 and 3)");
        assert_eq!(said(18_000, 16_000, Some(23_000)), "in about 5 hours (between 4 and 6)");
    }

    #[test]
    fn an_open_end_is_said() {
        assert_eq!(said(540, 300, None), "in about 9 minutes (5 minutes at the earliest)");
        assert_eq!(said(540, 0, None), "in about 9 minutes");
    }

    #[test]
    fn it_grows_old() {
        let new = forecast(540, 300, Some(900));
        let seconds = Duration::from_secs;
        assert_eq!(new.after(Duration::ZERO), Some(new.clone()));
        assert_eq!(new.after(seconds(400)), Some(forecast(140, 0, Some(500))));
        assert_eq!(new.after(seconds(600)), Some(forecast(0, 0, Some(300))));
        assert_eq!(new.after(seconds(900)), None);
        assert_eq!(forecast(540, 300, None).after(seconds(540)), None);
        assert_eq!(new.after(Duration::MAX), None);
    }

    #[test]
    fn it_reads_back() {
        for forecast in [forecast(540, 300, Some(900)), forecast(540, 300, None)] {
            let text = serde_json::to_string(&forecast).unwrap();
            assert_eq!(text.contains("latest_ms"), forecast.latest_ms.is_some());
            assert_eq!(serde_json::from_str::<Forecast>(&text).unwrap(), forecast);
        }
    }
}

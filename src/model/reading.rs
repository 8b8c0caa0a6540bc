//! What the detector says of one sample.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Forecast, ServiceId, Timestamp};

/// The detector's word on one sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The service that was judged.
    pub service: ServiceId,
    /// The time of the sample.
    pub at: Timestamp,
    /// Higher is worse; comparable with `threshold` only, and only within one model.
    pub score: f64,
    /// Above this the sample is anomalous.
    pub threshold: f64,
    /// 0 to 100 for people; 50 is the threshold.
    pub risk: f64,
    /// `Severity::None` exactly when the sample is not anomalous.
    pub severity: Severity,
    /// The metrics that made it so, most responsible first; empty when nothing is wrong.
    pub drivers: Vec<Driver>,
    /// Who judged.
    pub judge: Judge,
    /// The limits that metrics are on their way to, soonest first, at most three. They have no part in the score.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ahead: Vec<Forecast>,
}

impl Reading {
    /// Is this sample an anomaly?
    #[must_use]
    pub fn is_anomaly(&self) -> bool {
        self.severity > Severity::None
    }

    /// The forecasts as they stand at a later time: without those whose time has passed.
    #[must_use]
    pub fn ahead_at(&self, now: Timestamp) -> Vec<Forecast> {
        self.ahead.iter().filter_map(|forecast| forecast.after(now.since(self.at))).collect()
    }

    /// How unusual the model found it, in its threshold; `None` when it was not the model's word.
    #[must_use]
    pub fn model_score(&self) -> Option<f64> {
        let score = self.score / self.threshold;
        (matches!(self.judge, Judge::Model { .. }) && score.is_finite()).then_some(score)
    }
}

/// How bad, in words that need no colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Normal.
    #[default]
    None,
    /// Just past the threshold.
    Low,
    /// Clearly past it.
    Medium,
    /// Far past it.
    High,
    /// As bad as the detector can say.
    Critical,
}

impl Severity {
    /// The severity of an anomaly with this risk (50 is the threshold): 50, 65, 80 and 92 begin the four steps.
    #[must_use]
    pub fn of_risk(risk: f64) -> Self {
        match risk {
            r if r >= 92.0 => Self::Critical,
            r if r >= 80.0 => Self::High,
            r if r >= 65.0 => Self::Medium,
            _ => Self::Low,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        })
    }
}

/// One metric's part in an anomaly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Driver {
    /// The metric.
    pub metric: String,
    /// Its part in the anomaly, 0 to 1; the drivers of one reading sum to at most 1.
    pub share: f64,
    /// Its value now.
    pub value: f64,
    /// Its usual value (the median of what was learned).
    pub normal: f64,
    /// The usual range, low end.
    pub low: f64,
    /// The usual range, high end.
    pub high: f64,
    /// Unit for people.
    pub unit: String,
    /// Where it is heading.
    pub trend: Trend,
    /// The last values, oldest first, for a sparkline.
    pub recent: Vec<f64>,
    /// The instance that stands out, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

/// Where a metric is heading over the last samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trend {
    /// No clear direction.
    #[default]
    Steady,
    /// Climbing sample by sample: a leak, a queue that fills.
    Rising,
    /// Sinking sample by sample.
    Falling,
    /// Jumped within a sample or two and stayed.
    Step,
}

impl fmt::Display for Trend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Steady => "steady",
            Self::Rising => "rising",
            Self::Falling => "falling",
            Self::Step => "step",
        })
    }
}

/// Who judged a sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Judge {
    /// Not enough samples for a model yet; only limits are checked.
    Learning {
        /// Samples gathered.
        have: usize,
        /// Samples needed.
        need: usize,
    },
    /// The limits of the config, without a model's word or over it.
    Limits,
    /// The model, counted up with each training.
    Model {
        /// Which training of this service's model.
        version: u64,
    },
    /// A source did not answer.
    Source,
    /// Nobody judged: a person asked for something to be done.
    Person,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading() -> Reading {
        Reading {
            service: "shop".into(),
            at: Timestamp(1_700_000_000_000),
            score: 0.5,
            threshold: 1.0,
            risk: 25.0,
            severity: Severity::None,
            drivers: Vec::new(),
            judge: Judge::Limits,
            ahead: Vec::new(),
        }
    }

    fn forecast(metric: &str, within_ms: u64) -> Forecast {
        Forecast {
            metric: metric.to_owned(),
            limit: 2.0,
            unit: String::new(),
            within_ms,
            earliest_ms: 0,
            latest_ms: None,
            confidence: 0.5,
        }
    }

    #[test]
    fn without_a_forecast_it_is_written_as_before() {
        let before = r#"{"service":"shop","at":1700000000000,"score":0.5,"threshold":1.0,"risk":25.0,"severity":"none","drivers":[],"judge":"limits"}"#;
        assert_eq!(serde_json::to_string(&reading()).unwrap(), before);
        assert_eq!(serde_json::from_str::<Reading>(before).unwrap(), reading());
    }

    #[test]
    fn with_a_forecast_it_reads_back() {
        let ahead = vec![forecast("memory_bytes", 60_000), forecast("disk_used_ratio", 90_000)];
        let reading = Reading { ahead, ..reading() };
        let text = serde_json::to_string(&reading).unwrap();
        assert_eq!(serde_json::from_str::<Reading>(&text).unwrap(), reading);
    }

    #[test]
    fn what_should_have_happened_is_no_longer_ahead() {
        let reading = Reading { ahead: vec![forecast("a", 60_000), forecast("b", 90_000)], ..reading() };
        assert_eq!(reading.ahead_at(reading.at), reading.ahead);
        assert_eq!(reading.ahead_at(reading.at.plus(std::time::Duration::from_secs(60))), [forecast("b", 30_000)]);
    }
}

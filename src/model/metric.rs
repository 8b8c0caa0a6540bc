//! What collectors hand on: one vector of a service's metrics at one time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ServiceId, Timestamp};

/// One timestamped vector of a service's metrics.
///
/// A metric that could not be read is absent, never a repeated old value; what went wrong is in `faults`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The service that was measured.
    pub service: ServiceId,
    /// When the collection began.
    pub at: Timestamp,
    /// Metric name to value, for the service as a whole. Finite; what is not finite is dropped and counted.
    pub values: BTreeMap<String, f64>,
    /// The same metrics for each instance, where a source can tell instances apart.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_instance: BTreeMap<String, BTreeMap<String, f64>>,
    /// Sources that failed or stalled in this round.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<SourceFault>,
}

/// A source that gave nothing, or only part, in one round: a signal in itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFault {
    /// Which source, as the config names it: `scrape http://127.0.0.1:9100/metrics`.
    pub source: String,
    /// What happened, in words that can be shown.
    pub why: String,
}

/// Which way a metric is bad, so that "better than ever" is not an anomaly and a cure is not judged by its load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Badness {
    /// More is worse: latency, errors, waiters, memory.
    High,
    /// Less is worse: cache hits, instances up.
    Low,
    /// Away from normal is worse, either way.
    #[default]
    Both,
    /// Shown to people, never judged: load that the service does not control.
    Never,
}

/// What is known of a metric besides its values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricSpec {
    /// Which way it is bad.
    pub bad: Badness,
    /// Unit for people: `s`, `bytes`, `1/s`, `%`; empty for a plain count.
    pub unit: String,
    /// The smallest change that means anything, in the metric's own unit: the floor under its learned deviation.
    pub floor: f64,
    /// Safety net while there is no model, and beside it: past this value the metric is anomalous by rule.
    pub limit: Option<f64>,
}

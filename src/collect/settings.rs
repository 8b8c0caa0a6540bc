//! What the config says of sources: the `[[service.source]]` tables.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::model::Badness;

/// One `[[service.source]]` table; `kind` says which.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum SourceSettings {
    /// This machine, through sysinfo.
    Host(HostSettings),
    /// Pages in the Prometheus text format.
    Scrape(ScrapeSettings),
}

/// `kind = "host"`: this machine, and groups of its processes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostSettings {
    /// Process groups to watch besides the machine: a name for the metrics, and a glob over the command line.
    /// `processes = { nginx = "nginx: *" }` gives `nginx_cpu_cores`, `nginx_memory_bytes`, `nginx_processes`.
    pub processes: BTreeMap<String, String>,
    /// Which way the metrics are bad, what is shown, and limits: by metric name.
    pub metric: BTreeMap<String, MetricSettings>,
}

/// `kind = "scrape"`: one page or several, in the Prometheus text format.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScrapeSettings {
    /// The pages. Several are instances of one service and are merged.
    #[serde(default)]
    pub urls: Vec<String>,
    /// A Prometheus HTTP service discovery address that lists the pages; asked in every round. `local:shop` stands for
    /// the workers of that target.
    #[serde(default)]
    pub discover: Option<String>,
    /// The metrics to make, by name. Empty: one for each family on the page, counters as rates and histograms as
    /// p50, p95 and p99.
    #[serde(default)]
    pub metric: BTreeMap<String, MetricSettings>,
}

/// How a metric is made and read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricSettings {
    /// The family on the page: `http_requests_total`, `http_request_duration_seconds` (without `_bucket`). Scrape only.
    pub from: Option<String>,
    /// What to take of it. Scrape only. Left out: `rate` for counters, `p95` for histograms, `value` for gauges.
    pub take: Option<Take>,
    /// Divide by the same `take` of this family: a ratio, 0 when nothing happened. Scrape only.
    pub per: Option<String>,
    /// Only series with these label values (exact, or a glob). Scrape only.
    pub labels: BTreeMap<String, String>,
    /// How instances are merged. Left out: `sum` for rates, `mean` for gauges; histograms are merged by bucket.
    pub across: Option<Across>,
    /// Which way it is bad. Left out: guessed from the name, `both` when that says nothing.
    pub bad: Option<Badness>,
    /// Unit for people.
    pub unit: Option<String>,
    /// The smallest change that means anything, in the metric's own unit.
    pub floor: Option<f64>,
    /// Past this it is anomalous by rule, model or not.
    pub limit: Option<f64>,
}

/// What to take of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Take {
    /// The value as it stands.
    Value,
    /// Increase a second since the last round.
    Rate,
    /// Quantiles of a histogram's increase since the last round (or the summary's own quantile).
    P50,
    /// 95 of 100 are below.
    P95,
    /// 99 of 100 are below.
    P99,
    /// Mean of a histogram or summary since the last round.
    Mean,
}

/// How instances are merged into one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Across {
    /// Added up.
    Sum,
    /// Averaged.
    Mean,
    /// The greatest.
    Max,
    /// The least.
    Min,
}

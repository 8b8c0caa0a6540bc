//! What the config says of sources: the `[[service.source]]` tables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::model::{Badness, SecretRef, TargetId, duration_text};
use crate::platform::AwsSettings;

/// One `[[service.source]]` table; `kind` says which.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum SourceSettings {
    /// This machine, through sysinfo.
    Host(HostSettings),
    /// Pages in the Prometheus text format.
    Scrape(ScrapeSettings),
    /// Queries to Prometheus, or to what speaks its HTTP API.
    Promql(PromqlSettings),
    /// HTTP and TCP checks.
    Probe(ProbeSettings),
    /// Amazon CloudWatch.
    Cloudwatch(CloudwatchSettings),
    /// What a Kubernetes cluster says of a workload's pods.
    Kubernetes(KubernetesSourceSettings),
}

impl SourceSettings {
    /// The kind, as the config names it, and the cargo feature that it is in.
    #[must_use]
    pub fn kind_and_feature(&self) -> (&'static str, &'static str) {
        match self {
            Self::Host(_) => ("host", "host"),
            Self::Scrape(_) => ("scrape", "scrape"),
            Self::Promql(_) => ("promql", "promql"),
            Self::Probe(_) => ("probe", "probe"),
            Self::Cloudwatch(_) => ("cloudwatch", "aws"),
            Self::Kubernetes(_) => ("kubernetes", "kubernetes"),
        }
    }
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
    /// the workers of that target, `local:shop/front` for what its balancer sees of them.
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

/// `kind = "promql"`: queries to Prometheus, Thanos, Mimir or VictoriaMetrics.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromqlSettings {
    /// The server's base: `http://prometheus:9090`, `https://mimir.example/prometheus`.
    pub url: String,
    /// What to watch: the templates for that kind of target are used, `k8s:prod/deployment/web`.
    #[serde(default)]
    pub watch: Option<TargetId>,
    /// More templates, by name: `http-red`.
    #[serde(default)]
    pub templates: Vec<String>,
    /// Label values that every series of a template has to have: `job = "shop"`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Metrics by name: queries of one's own, and words about those of a template.
    #[serde(default)]
    pub metric: BTreeMap<String, PromqlMetric>,
    /// How far back the first start looks.
    #[serde(default = "two_hours", with = "duration_text")]
    pub backfill: Duration,
    /// Who we are to the server.
    #[serde(default)]
    pub auth: HttpAuth,
}

fn two_hours() -> Duration {
    Duration::from_secs(2 * 3600)
}

/// A metric of a `promql` source.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PromqlMetric {
    /// An instant query that gives one value, or one for each instance. Left out: the template's.
    pub query: Option<String>,
    /// The label that tells instances apart. Left out: the query's result must be one series.
    pub instance: Option<String>,
    /// How instances are merged. Left out: `sum` for rates, `mean` for others, by name.
    pub across: Option<Across>,
    /// Which way it is bad. Left out: guessed from the name.
    pub bad: Option<Badness>,
    /// Unit for people.
    pub unit: Option<String>,
    /// The smallest change that means anything, in the metric's own unit.
    pub floor: Option<f64>,
    /// Past this it is anomalous by rule, model or not.
    pub limit: Option<f64>,
}

/// Who we are to an HTTP server, and who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpAuth {
    /// A bearer token.
    pub bearer: Option<SecretRef>,
    /// Basic authentication, with `password`.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<SecretRef>,
    /// The tenant, for Mimir and Cortex (`X-Scope-OrgID`).
    pub tenant: Option<String>,
    /// A file with certificates of authorities to trust, PEM. Relative to the config file.
    pub ca: Option<PathBuf>,
    /// A file with our certificate and its key, PEM: mutual TLS.
    pub identity: Option<PathBuf>,
}

impl HttpAuth {
    /// The same, with its paths taken as relative to `base`.
    #[must_use]
    pub fn within(self, base: &Path) -> Self {
        Self {
            bearer: self.bearer.map(|secret| secret.within(base)),
            password: self.password.map(|secret| secret.within(base)),
            ca: self.ca.map(|path| base.join(path)),
            identity: self.identity.map(|path| base.join(path)),
            ..self
        }
    }
}

/// `kind = "probe"`: HTTP and TCP checks, each an instance of the service.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeSettings {
    /// `https://shop.example/healthz`, `tcp://db:5432`.
    pub urls: Vec<String>,
    /// Status codes that are good. Left out: 200 to 299.
    #[serde(default)]
    pub status: Vec<u16>,
    /// A regular expression that the body must match, within its first 64 KiB.
    #[serde(default)]
    pub body: Option<String>,
    /// Headers to send: names and values that are no secrets.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Who we are to the servers.
    #[serde(default)]
    pub auth: HttpAuth,
    /// Which way the metrics are bad, what is shown, and limits: by metric name.
    #[serde(default)]
    pub metric: BTreeMap<String, MetricSettings>,
}

/// `kind = "cloudwatch"`: Amazon CloudWatch.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloudwatchSettings {
    /// Which account and region.
    #[serde(default)]
    pub aws: AwsSettings,
    /// What to watch: `asg:web` takes the usual metrics of the group and its instances.
    #[serde(default)]
    pub watch: Option<TargetId>,
    /// Metrics by name.
    #[serde(default)]
    pub metric: BTreeMap<String, CloudwatchMetric>,
    /// How old values must be until they are complete: CloudWatch takes its time.
    #[serde(default = "two_minutes", with = "duration_text")]
    pub delay: Duration,
    /// How far back the first start looks.
    #[serde(default = "two_hours", with = "duration_text")]
    pub backfill: Duration,
}

fn two_minutes() -> Duration {
    Duration::from_secs(120)
}

/// A metric of a `cloudwatch` source.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CloudwatchMetric {
    /// `AWS/ApplicationELB`.
    pub namespace: String,
    /// `TargetResponseTime`.
    pub metric: String,
    /// `{ LoadBalancer = "app/web/50dc6c495c0c9188" }`.
    pub dimensions: BTreeMap<String, String>,
    /// `Average`, `Sum`, `Maximum`, `p95`. Left out: `Average`.
    pub stat: Option<String>,
    /// Length of one value's window in seconds. Left out: 60.
    pub period: Option<u32>,
    /// Which way it is bad. Left out: guessed from the name.
    pub bad: Option<Badness>,
    /// Unit for people.
    pub unit: Option<String>,
    /// The smallest change that means anything, in the metric's own unit.
    pub floor: Option<f64>,
    /// Past this it is anomalous by rule, model or not.
    pub limit: Option<f64>,
}

/// `kind = "kubernetes"`: what the cluster says of a workload's pods: ready, pending, restarts, out-of-memory kills.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubernetesSourceSettings {
    /// The workload: `k8s:prod/deployment/web`.
    pub watch: TargetId,
    /// Which way the metrics are bad, what is shown, and limits: by metric name.
    #[serde(default)]
    pub metric: BTreeMap<String, MetricSettings>,
}

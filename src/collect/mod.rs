//! Collect: asks the sources of a service for their metrics, in rounds, and hands on one sample a round.
//!
//! Must never hand on an old value in place of a missing one: a source that fails or stalls is itself a signal.
//! Called by the composition root, one collector a service.

#[cfg(feature = "aws")]
pub mod cloudwatch;
mod collector;
#[cfg(feature = "host")]
pub mod host;
#[cfg(feature = "scrape")]
mod http;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
#[cfg(any(feature = "aws", feature = "host", feature = "kubernetes", feature = "scrape"))]
#[cfg_attr(not(feature = "scrape"), allow(dead_code, reason = "some sources need only a part of it"))]
mod names;
#[cfg(feature = "probe")]
pub mod probe;
#[cfg(feature = "promql")]
pub mod promql;
#[cfg(feature = "scrape")]
pub mod scrape;
mod settings;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::{MetricSpec, SourceFault, Timestamp};

pub use collector::{CollectStats, Collector, SILENCE, deadline};
pub use settings::{
    Across, CloudwatchMetric, CloudwatchSettings, HostSettings, HttpAuth, KubernetesSourceSettings, MetricSettings,
    ProbeSettings, PromqlMetric, PromqlSettings, ScrapeSettings, SourceSettings, Take,
};

/// Where metrics come from: the port of this stage. One real adapter a file.
#[async_trait]
pub trait Source: Send {
    /// As the config and the cards name it: `scrape http://127.0.0.1:9100/metrics`.
    fn name(&self) -> &str;

    /// Reads once. The caller cuts it off at the round's deadline, so it must be safe to drop half-way.
    ///
    /// # Errors
    /// When nothing at all could be read; a part that failed is in [`Gathered::faults`].
    async fn read(&mut self) -> Result<Gathered, SourceError>;

    /// What the source knows of the time before: one entry a moment, oldest first, for a service that has no samples yet.
    /// Most sources know nothing.
    ///
    /// # Errors
    /// When it could have known and the platform did not answer.
    async fn history(&mut self, since: Timestamp, until: Timestamp) -> Result<Vec<(Timestamp, Gathered)>, SourceError> {
        let _ = (since, until);
        Ok(Vec::new())
    }

    /// What the last read showed to be wrong with the config: a family that no page has, a quantile of a gauge. Sentences
    /// for `suture check`; not faults, for a labelled counter may only not have happened yet.
    fn complaints(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What one source gave in one round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gathered {
    /// Metric to value, for the service as a whole.
    pub values: BTreeMap<String, f64>,
    /// The same for each instance, where the source can tell them apart.
    pub by_instance: BTreeMap<String, BTreeMap<String, f64>>,
    /// What the source knows of its metrics; the config's own words win over these.
    pub specs: BTreeMap<String, MetricSpec>,
    /// Parts that failed (one instance of several).
    pub faults: Vec<SourceFault>,
}

/// Why a source gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{source_name}: {why}")]
pub struct SourceError {
    /// The source.
    pub source_name: String,
    /// What happened and, where there is one, the remedy.
    pub why: String,
}

/// What sources are made with, and what they have in common.
#[derive(Clone, Debug, Default)]
pub struct Making {
    /// The time that one read may take: the same [`deadline`] that the collector works with.
    pub timeout: Duration,
    /// The time between two rounds of the service.
    pub interval: Duration,
    /// What all sources of the daemon share.
    pub pool: Pool,
}

/// What the sources of all services have in common: one connection, one query for many services. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    /// Servers that are asked for many services at once.
    #[cfg(feature = "promql")]
    pub promql: promql::Hubs,
    /// Clusters.
    #[cfg(feature = "kubernetes")]
    pub clusters: crate::platform::kubernetes::Clusters,
    /// Accounts.
    #[cfg(feature = "aws")]
    pub accounts: crate::platform::aws::Accounts,
}

/// The source that a `[[service.source]]` table asks for.
///
/// # Errors
/// When the settings are not usable (no page to ask, an address that is none, a broken glob), or the source was left out
/// of this build.
pub fn build(settings: &SourceSettings, making: &Making) -> Result<Box<dyn Source>, SourceError> {
    let _ = making;
    match settings {
        #[cfg(feature = "host")]
        SourceSettings::Host(settings) => Ok(Box::new(host::HostSource::new(settings)?)),
        #[cfg(feature = "scrape")]
        SourceSettings::Scrape(settings) => Ok(Box::new(scrape::ScrapeSource::new(settings, making.timeout)?)),
        #[cfg(feature = "promql")]
        SourceSettings::Promql(settings) => Ok(Box::new(promql::PromqlSource::new(settings, making)?)),
        #[cfg(feature = "probe")]
        SourceSettings::Probe(settings) => Ok(Box::new(probe::ProbeSource::new(settings, making)?)),
        #[cfg(feature = "aws")]
        SourceSettings::Cloudwatch(settings) => Ok(Box::new(cloudwatch::CloudwatchSource::new(settings, making)?)),
        #[cfg(feature = "kubernetes")]
        SourceSettings::Kubernetes(settings) => Ok(Box::new(kubernetes::KubernetesSource::new(settings, making)?)),
        #[allow(unreachable_patterns, reason = "which of them are left depends on the features")]
        other => {
            let (kind, feature) = other.kind_and_feature();
            let why = format!("this build is without it: build with `--features {feature}`");
            Err(SourceError { source_name: kind.to_owned(), why })
        }
    }
}

//! Collect: asks the sources of a service for their metrics, in rounds, and hands on one sample a round.
//!
//! Must never hand on an old value in place of a missing one: a source that fails or stalls is itself a signal.
//! Called by the composition root, one collector a service.

mod collector;
#[cfg(feature = "host")]
pub mod host;
#[cfg(any(feature = "host", feature = "scrape"))]
mod names;
#[cfg(feature = "scrape")]
pub mod scrape;
mod settings;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::{MetricSpec, SourceFault};

pub use collector::{CollectStats, Collector, deadline};
pub use settings::{Across, HostSettings, MetricSettings, ScrapeSettings, SourceSettings, Take};

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

/// The source that a `[[service.source]]` table asks for. `timeout` is the time one read may take: give the same
/// [`deadline`] that the collector works with.
///
/// # Errors
/// When the settings are not usable (no page to ask, an address that is none, a broken glob), or the source was left out
/// of this build.
pub fn build(settings: &SourceSettings, timeout: Duration) -> Result<Box<dyn Source>, SourceError> {
    match settings {
        #[cfg(feature = "host")]
        SourceSettings::Host(settings) => Ok(Box::new(host::HostSource::new(settings)?)),
        #[cfg(feature = "scrape")]
        SourceSettings::Scrape(settings) => Ok(Box::new(scrape::ScrapeSource::new(settings, timeout)?)),
        #[cfg(not(feature = "host"))]
        SourceSettings::Host(_) => Err(left_out("host")),
        #[cfg(not(feature = "scrape"))]
        SourceSettings::Scrape(_) => {
            let _ = timeout;
            Err(left_out("scrape"))
        }
    }
}

#[cfg(not(all(feature = "host", feature = "scrape")))]
fn left_out(feature: &str) -> SourceError {
    let why = format!("this build is without it: build with `--features {feature}`");
    SourceError { source_name: feature.to_owned(), why }
}

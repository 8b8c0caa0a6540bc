//! Probe.

use async_trait::async_trait;

use super::{Gathered, Making, ProbeSettings, Source, SourceError};

/// One source of a service.
#[derive(Debug)]
pub struct ProbeSource {
    name: String,
}

impl ProbeSource {
    /// A source with these settings.
    ///
    /// # Errors
    /// When the settings are not usable.
    pub fn new(_settings: &ProbeSettings, _making: &Making) -> Result<Self, SourceError> {
        Ok(Self { name: String::new() })
    }
}

#[async_trait]
impl Source for ProbeSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read(&mut self) -> Result<Gathered, SourceError> {
        Ok(Gathered::default())
    }
}

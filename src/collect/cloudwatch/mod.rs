//! Cloudwatch.

use async_trait::async_trait;

use super::{CloudwatchSettings, Gathered, Making, Source, SourceError};

/// One source of a service.
#[derive(Debug)]
pub struct CloudwatchSource {
    name: String,
}

impl CloudwatchSource {
    /// A source with these settings.
    ///
    /// # Errors
    /// When the settings are not usable.
    pub fn new(_settings: &CloudwatchSettings, _making: &Making) -> Result<Self, SourceError> {
        Ok(Self { name: String::new() })
    }
}

#[async_trait]
impl Source for CloudwatchSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read(&mut self) -> Result<Gathered, SourceError> {
        Ok(Gathered::default())
    }
}

//! Promql.

use async_trait::async_trait;

use super::{Gathered, Making, PromqlSettings, Source, SourceError};

/// One source of a service.
#[derive(Debug)]
pub struct PromqlSource {
    name: String,
}

impl PromqlSource {
    /// A source with these settings.
    ///
    /// # Errors
    /// When the settings are not usable.
    pub fn new(_settings: &PromqlSettings, _making: &Making) -> Result<Self, SourceError> {
        Ok(Self { name: String::new() })
    }
}

#[async_trait]
impl Source for PromqlSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read(&mut self) -> Result<Gathered, SourceError> {
        Ok(Gathered::default())
    }
}

/// Servers that are asked for many services at once. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Hubs;

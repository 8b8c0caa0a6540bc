//! Kubernetes.

use async_trait::async_trait;

use super::{Gathered, KubernetesSourceSettings, Making, Source, SourceError};

/// One source of a service.
#[derive(Debug)]
pub struct KubernetesSource {
    name: String,
}

impl KubernetesSource {
    /// A source with these settings.
    ///
    /// # Errors
    /// When the settings are not usable.
    pub fn new(_settings: &KubernetesSourceSettings, _making: &Making) -> Result<Self, SourceError> {
        Ok(Self { name: String::new() })
    }
}

#[async_trait]
impl Source for KubernetesSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read(&mut self) -> Result<Gathered, SourceError> {
        Ok(Gathered::default())
    }
}

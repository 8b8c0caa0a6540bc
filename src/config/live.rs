//! The config as it is now: services that are discovered come and go, everything else stays as the file says.

use std::sync::{Arc, PoisonError, RwLock};

use super::Config;

/// The config that is in force. Whoever needs it for more than a moment takes a copy, and keeps that one.
#[derive(Debug)]
pub struct Live(RwLock<Arc<Config>>);

impl Live {
    /// Begins with what the file says.
    #[must_use]
    pub fn new(config: Arc<Config>) -> Self {
        Self(RwLock::new(config))
    }

    /// The config of this moment.
    #[must_use]
    pub fn get(&self) -> Arc<Config> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on this one is in force.
    pub fn set(&self, config: Arc<Config>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
    }
}

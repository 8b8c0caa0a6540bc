//! Kubernetes clusters, by name.

use std::path::Path;

use super::ClusterSettings;

/// Clients, made once for each cluster. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Clusters;

impl Clusters {
    /// The clusters of a config; nothing is connected yet.
    #[must_use]
    pub fn new(_clusters: &[ClusterSettings], _base: &Path) -> Self {
        Self
    }

    /// Stub.
    pub fn workloads(
        &self,
        _cluster: Option<&str>,
        _namespace: Option<&str>,
        _selector: &str,
    ) -> tokio::sync::mpsc::Receiver<Result<std::collections::BTreeSet<Workload>, String>> {
        tokio::sync::mpsc::channel(1).1
    }
}

/// A workload that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Workload {
    /// Its namespace.
    pub namespace: String,
    /// `deployment` or `statefulset`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

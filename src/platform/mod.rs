//! How to reach the platforms that sources and targets have in common: credentials and clients, made once and shared.
//!
//! Knows nothing of metrics or actions. Made by the composition root, handed to adapters.

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod place;

use std::path::PathBuf;

use serde::Deserialize;

/// A `[[cluster]]` table: a Kubernetes cluster, by the name that targets call it. Without any, there is one without a name:
/// the cluster that Suture runs in, or the current context of the kubeconfig.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterSettings {
    /// The first part of a target's name: `k8s:east/prod/deployment/web`.
    pub name: String,
    /// Relative to the config file; left out: `KUBECONFIG`, then `~/.kube/config`.
    #[serde(default)]
    pub kubeconfig: Option<PathBuf>,
    /// Left out: the file's current context.
    #[serde(default)]
    pub context: Option<String>,
}

/// An `aws` table: which account and region. What is left out comes from the environment, as for AWS's own tools.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AwsSettings {
    /// `eu-west-1`.
    pub region: Option<String>,
    /// A profile of `~/.aws/config`.
    pub profile: Option<String>,
    /// The ARN of a role to take on with those credentials.
    pub role: Option<String>,
    /// Another base of AWS's API: a proxy, an emulator.
    pub endpoint: Option<String>,
}

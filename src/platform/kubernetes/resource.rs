//! The kinds of object that we ask for, as the API and its access control call them.

use crate::platform::place::Kind;

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// Empty for the core group.
    pub group: &'static str,
    /// Of the group.
    pub version: &'static str,
    /// The plural that paths and access control use.
    pub plural: &'static str,
}

const fn resource(group: &'static str, version: &'static str, plural: &'static str) -> Resource {
    Resource { group, version, plural }
}

/// Deployments.
pub const DEPLOYMENTS: Resource = resource("apps", "v1", "deployments");
/// StatefulSets.
pub const STATEFULSETS: Resource = resource("apps", "v1", "statefulsets");
/// ReplicaSets: what stands between a Deployment and its pods.
pub const REPLICASETS: Resource = resource("apps", "v1", "replicasets");
/// Pods.
pub const PODS: Resource = resource("", "v1", "pods");
/// Services.
pub const SERVICES: Resource = resource("", "v1", "services");
/// ConfigMaps.
pub const CONFIGMAPS: Resource = resource("", "v1", "configmaps");
/// Nodes.
pub const NODES: Resource = resource("", "v1", "nodes");
/// Where the traffic of a Service goes.
pub const ENDPOINTSLICES: Resource = resource("discovery.k8s.io", "v1", "endpointslices");
/// HorizontalPodAutoscalers.
pub const HPAS: Resource = resource("autoscaling", "v2", "horizontalpodautoscalers");
/// PodDisruptionBudgets.
pub const PDBS: Resource = resource("policy", "v1", "poddisruptionbudgets");
/// Gateway API.
pub const HTTPROUTES: Resource = resource("gateway.networking.k8s.io", "v1", "httproutes");
/// Istio, since 1.22.
pub const VIRTUALSERVICES: Resource = resource("networking.istio.io", "v1", "virtualservices");
/// Istio before that.
pub const VIRTUALSERVICES_BETA: Resource = resource("networking.istio.io", "v1beta1", "virtualservices");
/// Istio, since 1.22.
pub const DESTINATIONRULES: Resource = resource("networking.istio.io", "v1", "destinationrules");
/// Istio before that.
pub const DESTINATIONRULES_BETA: Resource = resource("networking.istio.io", "v1beta1", "destinationrules");
/// Chaos Mesh as a group, to see what it has.
pub const CHAOS_MESH: Resource = Resource::group("chaos-mesh.org", "v1alpha1");
/// Chaos Mesh: pods and containers that end.
pub const PODCHAOS: Resource = resource(CHAOS_MESH.group, CHAOS_MESH.version, "podchaos");
/// Chaos Mesh: packets that come late, or not at all.
pub const NETWORKCHAOS: Resource = resource(CHAOS_MESH.group, CHAOS_MESH.version, "networkchaos");
/// Chaos Mesh: processor time and memory that are taken.
pub const STRESSCHAOS: Resource = resource(CHAOS_MESH.group, CHAOS_MESH.version, "stresschaos");
/// Chaos Mesh: HTTP answers that are replaced.
pub const HTTPCHAOS: Resource = resource(CHAOS_MESH.group, CHAOS_MESH.version, "httpchaos");

impl Resource {
    /// A group, for [`super::Ask::discover`].
    const fn group(group: &'static str, version: &'static str) -> Self {
        resource(group, version, "")
    }

    /// The path of the objects in a namespace (or in all, or outside of any), of one of them, or of a part of that.
    #[must_use]
    pub fn path(&self, namespace: Option<&str>, name: Option<&str>, subresource: &str) -> String {
        let mut path = match self.group {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        if let Some(namespace) = namespace {
            path += &format!("/namespaces/{namespace}");
        }
        if !self.plural.is_empty() {
            path = format!("{path}/{}", self.plural);
        }
        if let Some(name) = name {
            path = format!("{path}/{name}");
        }
        if !subresource.is_empty() {
            path = format!("{path}/{subresource}");
        }
        path
    }

    /// As a rule of access control names it: `deployments/scale`.
    #[must_use]
    pub fn in_rules(&self, subresource: &str) -> String {
        match (self.plural, subresource) {
            ("", _) => format!("the resources of {}/{}", self.group, self.version),
            (plural, "") => plural.to_owned(),
            (plural, subresource) => format!("{plural}/{subresource}"),
        }
    }
}

impl Kind {
    /// Its objects.
    #[must_use]
    pub fn resource(self) -> &'static Resource {
        match self {
            Self::Deployment => &DEPLOYMENTS,
            Self::StatefulSet => &STATEFULSETS,
            Self::HttpRoute => &HTTPROUTES,
            Self::VirtualService => &VIRTUALSERVICES,
            Self::DestinationRule => &DESTINATIONRULES,
            Self::ConfigMap => &CONFIGMAPS,
            Self::Node => &NODES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api() {
        assert_eq!(PODS.path(Some("prod"), None, ""), "/api/v1/namespaces/prod/pods");
        assert_eq!(NODES.path(None, Some("n1"), ""), "/api/v1/nodes/n1");
        let scale = "/apis/apps/v1/namespaces/prod/deployments/web/scale";
        assert_eq!(DEPLOYMENTS.path(Some("prod"), Some("web"), "scale"), scale);
        assert_eq!(PODS.in_rules("eviction"), "pods/eviction");
    }
}

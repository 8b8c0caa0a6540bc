//! What the cluster serves: groups, versions, resources, and the discovery documents made from them
//! (kubernetes.io, "Kubernetes API Concepts").

use serde_json::{Value, json};

/// One resource type.
pub struct Kind {
    /// Plural and group, as refusals name it: `deployments.apps`, `pods`.
    pub id: &'static str,
    pub group: &'static str,
    /// Served versions; the first is the one that is stored and preferred.
    pub versions: &'static [&'static str],
    pub plural: &'static str,
    pub singular: &'static str,
    pub kind: &'static str,
    pub namespaced: bool,
    /// Defined by a CustomResourceDefinition: no strategic merge patch, checked by a schema.
    pub custom: bool,
    /// `metadata.generation` counts changes of what is wanted.
    pub generation: bool,
    pub subs: &'static [&'static str],
    /// Can only be posted, and is never stored.
    pub review: bool,
}

const fn kind(id: &'static str, group: &'static str, plural: &'static str, kind: &'static str) -> Kind {
    Kind {
        id,
        group,
        versions: &["v1"],
        plural,
        singular: "",
        kind,
        namespaced: true,
        custom: false,
        generation: false,
        subs: &[],
        review: false,
    }
}

pub const POD: &str = "pods";
pub const NODE: &str = "nodes";
pub const NAMESPACE: &str = "namespaces";
pub const SERVICE: &str = "services";
pub const DEPLOYMENT: &str = "deployments.apps";
pub const REPLICA_SET: &str = "replicasets.apps";
pub const STATEFUL_SET: &str = "statefulsets.apps";
pub const HPA: &str = "horizontalpodautoscalers.autoscaling";
pub const PDB: &str = "poddisruptionbudgets.policy";
pub const ENDPOINT_SLICE: &str = "endpointslices.discovery.k8s.io";
pub const CONFIG_MAP: &str = "configmaps";
pub const HTTP_ROUTE: &str = "httproutes.gateway.networking.k8s.io";
pub const VIRTUAL_SERVICE: &str = "virtualservices.networking.istio.io";
pub const DESTINATION_RULE: &str = "destinationrules.networking.istio.io";

pub const POD_CHAOS: &str = "podchaos.chaos-mesh.org";
pub const NETWORK_CHAOS: &str = "networkchaos.chaos-mesh.org";
pub const STRESS_CHAOS: &str = "stresschaos.chaos-mesh.org";
pub const HTTP_CHAOS: &str = "httpchaos.chaos-mesh.org";

const GATEWAY: &str = "gateway.networking.k8s.io";
const ISTIO: &str = "networking.istio.io";
const ISTIO_VERSIONS: &[&str] = &["v1", "v1beta1", "v1alpha3"];

/// Everything that there is. A test can take whole groups or versions away: [`super::FakeCluster::serve_only`].
pub static KINDS: &[Kind] = &[
    Kind {
        namespaced: false,
        singular: "namespace",
        subs: &["status"],
        ..kind(NAMESPACE, "", "namespaces", "Namespace")
    },
    Kind { namespaced: false, singular: "node", subs: &["status"], ..kind(NODE, "", "nodes", "Node") },
    Kind { singular: "pod", subs: &["status", "eviction"], ..kind(POD, "", "pods", "Pod") },
    Kind { singular: "service", subs: &["status"], ..kind(SERVICE, "", "services", "Service") },
    Kind { singular: "configmap", ..kind(CONFIG_MAP, "", "configmaps", "ConfigMap") },
    Kind { singular: "secret", ..kind("secrets", "", "secrets", "Secret") },
    Kind { singular: "serviceaccount", ..kind("serviceaccounts", "", "serviceaccounts", "ServiceAccount") },
    Kind { singular: "event", ..kind("events", "", "events", "Event") },
    Kind {
        singular: "deployment",
        generation: true,
        subs: &["scale", "status"],
        ..kind(DEPLOYMENT, "apps", "deployments", "Deployment")
    },
    Kind {
        singular: "replicaset",
        generation: true,
        subs: &["scale", "status"],
        ..kind(REPLICA_SET, "apps", "replicasets", "ReplicaSet")
    },
    Kind {
        singular: "statefulset",
        generation: true,
        subs: &["scale", "status"],
        ..kind(STATEFUL_SET, "apps", "statefulsets", "StatefulSet")
    },
    Kind {
        singular: "horizontalpodautoscaler",
        versions: &["v2"],
        subs: &["status"],
        ..kind(HPA, "autoscaling", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
    },
    Kind {
        singular: "poddisruptionbudget",
        generation: true,
        subs: &["status"],
        ..kind(PDB, "policy", "poddisruptionbudgets", "PodDisruptionBudget")
    },
    Kind {
        singular: "endpointslice",
        generation: true,
        ..kind(ENDPOINT_SLICE, "discovery.k8s.io", "endpointslices", "EndpointSlice")
    },
    Kind { singular: "lease", ..kind("leases.coordination.k8s.io", "coordination.k8s.io", "leases", "Lease") },
    Kind {
        singular: "httproute",
        versions: &["v1", "v1beta1"],
        custom: true,
        generation: true,
        subs: &["status"],
        ..kind(HTTP_ROUTE, GATEWAY, "httproutes", "HTTPRoute")
    },
    Kind {
        singular: "gateway",
        versions: &["v1", "v1beta1"],
        custom: true,
        generation: true,
        subs: &["status"],
        ..kind("gateways.gateway.networking.k8s.io", GATEWAY, "gateways", "Gateway")
    },
    Kind {
        singular: "virtualservice",
        versions: ISTIO_VERSIONS,
        custom: true,
        generation: true,
        subs: &["status"],
        ..kind(VIRTUAL_SERVICE, ISTIO, "virtualservices", "VirtualService")
    },
    Kind {
        singular: "destinationrule",
        versions: ISTIO_VERSIONS,
        custom: true,
        generation: true,
        subs: &["status"],
        ..kind(DESTINATION_RULE, ISTIO, "destinationrules", "DestinationRule")
    },
    chaos(POD_CHAOS, "podchaos", "PodChaos"),
    chaos(NETWORK_CHAOS, "networkchaos", "NetworkChaos"),
    chaos(STRESS_CHAOS, "stresschaos", "StressChaos"),
    chaos(HTTP_CHAOS, "httpchaos", "HTTPChaos"),
    review(
        "selfsubjectaccessreviews.authorization.k8s.io",
        "authorization.k8s.io",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
    ),
    review(
        "selfsubjectrulesreviews.authorization.k8s.io",
        "authorization.k8s.io",
        "selfsubjectrulesreviews",
        "SelfSubjectRulesReview",
    ),
    review(
        "selfsubjectreviews.authentication.k8s.io",
        "authentication.k8s.io",
        "selfsubjectreviews",
        "SelfSubjectReview",
    ),
];

/// Its controller writes the status as it writes everything else: there is no part of its own for it.
const fn chaos(id: &'static str, plural: &'static str, name: &'static str) -> Kind {
    Kind {
        versions: &["v1alpha1"],
        singular: plural,
        custom: true,
        generation: true,
        ..kind(id, super::chaos_mesh::GROUP, plural, name)
    }
}

const fn review(id: &'static str, group: &'static str, plural: &'static str, name: &'static str) -> Kind {
    Kind { namespaced: false, review: true, ..kind(id, group, plural, name) }
}

/// The kind of this id, which the code knows to be there.
pub fn by_id(id: &str) -> &'static Kind {
    KINDS.iter().find(|kind| kind.id == id).unwrap_or_else(|| panic!("no kind {id}"))
}

impl Kind {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    /// As a refusal of a value names it: `Deployment.apps`, `ConfigMap`.
    pub fn long_kind(&self) -> String {
        if self.group.is_empty() { self.kind.to_owned() } else { format!("{}.{}", self.kind, self.group) }
    }

    fn verbs(&self) -> Value {
        if self.review {
            json!(["create"])
        } else {
            json!(["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"])
        }
    }

    /// A subresource: its kind, group, version and verbs.
    fn sub(&self, sub: &str) -> (Value, &'static str, &'static str, Value) {
        match sub {
            "scale" => (json!("Scale"), "autoscaling", "v1", json!(["get", "patch", "update"])),
            "eviction" => (json!("Eviction"), "policy", "v1", json!(["create"])),
            _ => (json!(self.kind), "", "", json!(["get", "patch", "update"])),
        }
    }
}

/// What is served now: a subset of [`KINDS`].
pub struct Served {
    /// Groups of which only these versions are there; none at all is an empty list.
    pub only: std::collections::BTreeMap<String, Vec<String>>,
}

impl Default for Served {
    /// Everything but what has to be installed by a test that wants it.
    fn default() -> Self {
        Self { only: [(super::chaos_mesh::GROUP.to_owned(), Vec::new())].into() }
    }
}

impl Served {
    pub fn serves(&self, kind: &Kind, version: &str) -> bool {
        kind.versions.contains(&version)
            && self.only.get(kind.group).is_none_or(|versions| versions.iter().any(|v| v == version))
    }

    /// Versions of a group, the preferred one first.
    fn versions(&self, group: &str) -> Vec<&'static str> {
        let mut versions = Vec::new();
        for kind in KINDS.iter().filter(|kind| kind.group == group) {
            for version in kind.versions {
                if self.serves(kind, version) && !versions.contains(version) {
                    versions.push(*version);
                }
            }
        }
        versions
    }

    fn groups(&self) -> Vec<&'static str> {
        let mut groups = Vec::new();
        for kind in KINDS {
            if !kind.group.is_empty() && !groups.contains(&kind.group) && !self.versions(kind.group).is_empty() {
                groups.push(kind.group);
            }
        }
        groups
    }

    pub fn has_group(&self, group: &str, version: &str) -> bool {
        self.versions(group).contains(&version)
    }

    /// `/api`, `/apis`, `/apis/GROUP`, `/api/v1`, `/apis/GROUP/VERSION`; nothing for a place that is not there.
    pub fn document(&self, path: &[&str], aggregated: bool) -> Option<Value> {
        match path {
            ["api"] if aggregated => Some(self.aggregated(&[""])),
            ["apis"] if aggregated => Some(self.aggregated(&self.groups())),
            ["api"] => Some(json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})),
            ["apis"] => {
                let groups: Vec<Value> = self.groups().into_iter().map(|group| self.group(group)).collect();
                Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
            }
            ["api", version] => self.resources("", version),
            ["apis", group] if self.groups().contains(group) => {
                let mut document = self.group(group);
                document["kind"] = json!("APIGroup");
                document["apiVersion"] = json!("v1");
                Some(document)
            }
            ["apis", group, version] => self.resources(group, version),
            _ => None,
        }
    }

    fn group(&self, group: &str) -> Value {
        let versions: Vec<Value> = self
            .versions(group)
            .into_iter()
            .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
            .collect();
        json!({"name": group, "versions": versions, "preferredVersion": versions[0]})
    }

    fn resources(&self, group: &str, version: &str) -> Option<Value> {
        if !self.has_group(group, version) {
            return None;
        }
        let mut resources = Vec::new();
        for kind in KINDS.iter().filter(|kind| kind.group == group && self.serves(kind, version)) {
            resources.push(json!({
                "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
                "kind": kind.kind, "verbs": kind.verbs(),
            }));
            for sub in kind.subs {
                let (name, group, version, verbs) = kind.sub(sub);
                let mut resource = json!({
                    "name": format!("{}/{sub}", kind.plural), "singularName": "", "namespaced": kind.namespaced,
                    "kind": name, "verbs": verbs,
                });
                if !group.is_empty() {
                    resource["group"] = json!(group);
                    resource["version"] = json!(version);
                }
                resources.push(resource);
            }
        }
        let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        Some(json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources,
        }))
    }

    /// Aggregated discovery: everything in one document.
    fn aggregated(&self, groups: &[&str]) -> Value {
        let items: Vec<Value> = groups
            .iter()
            .map(|group| {
                let versions: Vec<Value> = self
                    .versions(group)
                    .into_iter()
                    .map(|version| {
                        let resources: Vec<Value> = KINDS
                            .iter()
                            .filter(|kind| kind.group == *group && self.serves(kind, version))
                            .map(|kind| aggregated_resource(kind, version))
                            .collect();
                        json!({"version": version, "resources": resources, "freshness": "Current"})
                    })
                    .collect();
                json!({"metadata": {"name": group}, "versions": versions})
            })
            .collect();
        json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
    }
}

fn aggregated_resource(kind: &Kind, version: &str) -> Value {
    let subs: Vec<Value> = kind
        .subs
        .iter()
        .map(|sub| {
            let (name, group, sub_version, verbs) = kind.sub(sub);
            let (group, sub_version) = if group.is_empty() { (kind.group, version) } else { (group, sub_version) };
            json!({
                "subresource": sub, "verbs": verbs,
                "responseKind": {"group": group, "version": sub_version, "kind": name},
            })
        })
        .collect();
    json!({
        "resource": kind.plural, "singularResource": kind.singular,
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" }, "verbs": kind.verbs(),
        "responseKind": {"group": kind.group, "version": version, "kind": kind.kind}, "subresources": subs,
    })
}

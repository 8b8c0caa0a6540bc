//! What we read of the API's objects: a small part of each, and nothing that fails when the rest is strange.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// Go writes `null` for what is empty.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// What all objects have.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct Meta {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub resource_version: String,
    pub generation: i64,
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub owner_references: Vec<Owner>,
    pub creation_timestamp: Option<String>,
    pub deletion_timestamp: Option<String>,
}

impl Meta {
    /// The object that controls this one.
    #[must_use]
    pub fn controller(&self) -> Option<&Owner> {
        self.owner_references.iter().find(|owner| owner.controller)
    }

    /// Is it about to go?
    #[must_use]
    pub fn is_going(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// Since when it is there, in seconds since the epoch.
    #[must_use]
    pub fn since(&self) -> u64 {
        self.creation_timestamp.as_deref().map_or(0, epoch_seconds)
    }
}

/// A time as the API writes it, in seconds since the epoch; 0 when it is none.
#[must_use]
pub fn epoch_seconds(text: &str) -> u64 {
    text.parse::<jiff::Timestamp>().ok().and_then(|t| u64::try_from(t.as_second()).ok()).unwrap_or(0)
}

/// What an object belongs to.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct Owner {
    pub kind: String,
    pub name: String,
    pub uid: String,
    pub controller: bool,
}

/// What an object says of itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub reason: String,
    pub message: String,
    pub observed_generation: i64,
}

/// A Deployment or a StatefulSet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct Workload {
    pub metadata: Meta,
    pub spec: WorkloadSpec,
    pub status: WorkloadStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct WorkloadSpec {
    pub replicas: Option<u32>,
    pub selector: Selector,
    pub template: Template,
    pub paused: bool,
    pub strategy: Strategy,
    pub update_strategy: Strategy,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct Template {
    #[serde(deserialize_with = "or_default")]
    pub metadata: TemplateMeta,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct TemplateMeta {
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct Strategy {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(deserialize_with = "or_default")]
    pub rolling_update: RollingUpdate,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct RollingUpdate {
    /// StatefulSets: pods with a lower number are not updated.
    pub partition: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct WorkloadStatus {
    pub observed_generation: i64,
    pub replicas: u32,
    pub updated_replicas: u32,
    pub ready_replicas: u32,
    pub available_replicas: Option<u32>,
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
}

impl Workload {
    /// How many pods are wanted: the API's own default is 1.
    #[must_use]
    pub fn wanted(&self) -> u32 {
        self.spec.replicas.unwrap_or(1)
    }
}

/// Which pods belong to something.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct Selector {
    #[serde(deserialize_with = "or_default")]
    pub match_labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub match_expressions: Vec<Requirement>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct Requirement {
    pub key: String,
    pub operator: String,
    #[serde(deserialize_with = "or_default")]
    pub values: Vec<String>,
}

impl Selector {
    /// As a list is asked for; `None` when it says nothing, which would select everything.
    #[must_use]
    pub fn query(&self) -> Option<String> {
        let equal = self.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
        let more = self.match_expressions.iter().map(|r| {
            let values = r.values.join(",");
            match r.operator.as_str() {
                "In" => format!("{} in ({values})", r.key),
                "NotIn" => format!("{} notin ({values})", r.key),
                "DoesNotExist" => format!("!{}", r.key),
                _ => r.key.clone(),
            }
        });
        let parts: Vec<_> = equal.chain(more).collect();
        (!parts.is_empty()).then(|| parts.join(","))
    }

    /// Does it select what has these labels?
    #[must_use]
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let equal = self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value));
        equal
            && self.match_expressions.iter().all(|r| match (r.operator.as_str(), labels.get(&r.key)) {
                ("In", value) => value.is_some_and(|value| r.values.contains(value)),
                ("NotIn", value) => value.is_none_or(|value| !r.values.contains(value)),
                ("Exists", value) => value.is_some(),
                ("DoesNotExist", value) => value.is_none(),
                _ => false,
            })
    }

    /// The labels that it looks at.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.match_labels.keys().chain(self.match_expressions.iter().map(|r| &r.key)).map(String::as_str)
    }
}

/// A ReplicaSet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct ReplicaSet {
    pub metadata: Meta,
}

/// A pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct Pod {
    pub metadata: Meta,
    pub status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct PodStatus {
    pub phase: String,
    pub reason: String,
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
    #[serde(deserialize_with = "or_default")]
    pub container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "or_default")]
    pub init_container_statuses: Vec<ContainerStatus>,
}

/// A container of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct ContainerStatus {
    pub name: String,
    pub image: String,
    pub restart_count: u32,
    #[serde(deserialize_with = "or_default")]
    pub state: ContainerState,
    #[serde(deserialize_with = "or_default")]
    pub last_state: ContainerState,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct ContainerState {
    pub waiting: Option<Waiting>,
    pub terminated: Option<Terminated>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct Waiting {
    pub reason: String,
    pub message: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct Terminated {
    pub reason: String,
    pub exit_code: i32,
    pub finished_at: Option<String>,
    #[serde(rename = "containerID")]
    pub container_id: String,
}

impl Pod {
    /// Does it take traffic, as far as it is concerned?
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.status.conditions.iter().any(|c| c.kind == "Ready" && c.status == "True") && !self.metadata.is_going()
    }

    /// Has it ended, for good?
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }

    /// Its containers, those that come first first.
    pub fn containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.status.init_container_statuses.iter().chain(&self.status.container_statuses)
    }

    /// Why its containers wait, where that is more than starting up.
    pub fn waits(&self) -> impl Iterator<Item = (&ContainerStatus, &Waiting)> {
        self.containers().filter_map(|container| {
            let waiting = container.state.waiting.as_ref()?;
            let usual = matches!(waiting.reason.as_str(), "" | "ContainerCreating" | "PodInitializing");
            (!usual).then_some((container, waiting))
        })
    }
}

/// A HorizontalPodAutoscaler.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct Hpa {
    pub metadata: Meta,
    pub spec: HpaSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct HpaSpec {
    pub scale_target_ref: ScaleTarget,
    pub min_replicas: Option<u32>,
    pub max_replicas: u32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct ScaleTarget {
    pub api_version: String,
    pub kind: String,
    pub name: String,
}

impl Hpa {
    /// Never fewer: the API's own default is 1.
    #[must_use]
    pub fn min(&self) -> u32 {
        self.spec.min_replicas.unwrap_or(1)
    }
}

/// A PodDisruptionBudget.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct Budget {
    pub metadata: Meta,
    pub spec: BudgetSpec,
    pub status: BudgetStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct BudgetSpec {
    /// Without one it is for no pod at all.
    pub selector: Option<Selector>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct BudgetStatus {
    pub disruptions_allowed: i32,
    pub current_healthy: i32,
    pub desired_healthy: i32,
}

/// A Service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct Service {
    pub metadata: Meta,
    pub spec: ServiceSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct ServiceSpec {
    #[serde(deserialize_with = "or_default")]
    pub selector: BTreeMap<String, String>,
}

/// Where part of a Service's traffic goes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct EndpointSlice {
    pub metadata: Meta,
    #[serde(deserialize_with = "or_default")]
    pub endpoints: Vec<Endpoint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct Endpoint {
    pub conditions: EndpointConditions,
    pub target_ref: Option<EndpointTarget>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct EndpointConditions {
    pub ready: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct EndpointTarget {
    pub kind: String,
    pub name: String,
}

impl Endpoint {
    /// Does it get traffic? What does not say counts as yes, as the API has it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.conditions.ready.unwrap_or(true)
    }
}

/// A ConfigMap.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct ConfigMap {
    pub metadata: Meta,
    #[serde(deserialize_with = "or_default")]
    pub data: BTreeMap<String, String>,
    pub immutable: Option<bool>,
}

/// A node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct Node {
    pub metadata: Meta,
    #[serde(deserialize_with = "or_default")]
    pub spec: NodeSpec,
    pub status: NodeStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct NodeSpec {
    pub unschedulable: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct NodeStatus {
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    #[test]
    fn a_pod_is_read_from_what_the_api_says() {
        let pod: Pod = from_value(json!({
            "metadata": {"name": "web-1", "creationTimestamp": "2026-01-02T03:04:05Z", "labels": null,
                "ownerReferences": [{"kind": "ReplicaSet", "name": "web-7d9", "uid": "u1", "controller": true}]},
            "spec": {"volumes": ["strange"]},
            "status": {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}],
                "containerStatuses": [{"name": "app", "image": "shop:9", "restartCount": 3,
                    "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]}
        }))
        .unwrap();
        assert_eq!(pod.metadata.since(), 1_767_323_045);
        assert_eq!(pod.metadata.controller().map(|o| o.uid.as_str()), Some("u1"));
        assert!(!pod.is_ready());
        assert_eq!(
            pod.waits().next().map(|(c, w)| (c.image.as_str(), w.reason.as_str())),
            Some(("shop:9", "ImagePullBackOff"))
        );
    }

    #[test]
    fn a_selector_asks_for_what_it_selects() {
        let selector: Selector = from_value(json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]},
                {"key": "old", "operator": "DoesNotExist"}]
        }))
        .unwrap();
        assert_eq!(selector.query().as_deref(), Some("app=web,tier in (a,b),!old"));
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert!(selector.selects(&labels(&[("app", "web"), ("tier", "b")])));
        assert!(!selector.selects(&labels(&[("app", "web"), ("tier", "c")])));
        assert!(!selector.selects(&labels(&[("app", "web"), ("tier", "a"), ("old", "1")])));
        assert_eq!(Selector::default().query(), None);
    }
}

//! Ordinary objects, ready to be put, and the questions that tests ask about them.

use serde_json::{Value, json};

use super::FakeCluster;

pub fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "status": {"phase": "Active"}})
}

/// A node that is ready.
pub fn node(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {},
        "status": {"conditions": [
            {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"},
        ]},
    })
}

/// What a Deployment and a StatefulSet have in common.
fn workload(kind: &str, namespace: &str, name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": name, "image": format!("registry.test/{name}:1")}]},
            },
        },
    })
}

impl FakeCluster {
    /// Puts an ordinary Deployment whose pods have the label `app`.
    pub fn deploy(&self, namespace: &str, name: &str, replicas: u32) -> Value {
        self.put(&workload("Deployment", namespace, name, replicas))
    }

    /// Puts an ordinary StatefulSet whose pods have the label `app`.
    pub fn stateful(&self, namespace: &str, name: &str, replicas: u32) -> Value {
        let mut object = workload("StatefulSet", namespace, name, replicas);
        object["spec"]["serviceName"] = json!(name);
        self.put(&object)
    }

    /// Puts a Service that selects by these labels.
    pub fn expose(&self, namespace: &str, name: &str, selector: &Value) -> Value {
        self.put(&json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": selector, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
        }))
    }

    /// Puts an autoscaler of a Deployment.
    pub fn autoscale(&self, namespace: &str, name: &str, min: u32, max: u32) -> Value {
        self.put(&json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "minReplicas": min, "maxReplicas": max,
                "metrics": [{"type": "Resource", "resource": {
                    "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80},
                }}],
            },
        }))
    }

    /// Puts a budget for the pods with the label `app` of this name.
    pub fn budget(&self, namespace: &str, name: &str, min_available: u32) -> Value {
        self.put(&json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"minAvailable": min_available, "selector": {"matchLabels": {"app": name}}},
        }))
    }

    /// What a Deployment asks for.
    pub fn replicas(&self, namespace: &str, name: &str) -> u64 {
        let object = self.get(&format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}"));
        object["spec"]["replicas"].as_u64().unwrap_or_default()
    }

    /// The pods with the label `app` of this name, those that are ending not among them, sorted by name.
    pub fn pods(&self, namespace: &str, name: &str) -> Vec<Value> {
        let mut pods = self.list(&format!("/api/v1/namespaces/{namespace}/pods"));
        pods.retain(|pod| {
            pod["metadata"]["labels"]["app"] == name && pod["metadata"].get("deletionTimestamp").is_none()
        });
        pods
    }

    /// The names of those.
    pub fn pod_names(&self, namespace: &str, name: &str) -> Vec<String> {
        let name_of = |pod: &Value| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.pods(namespace, name).iter().map(name_of).collect()
    }

    /// How many of those are ready.
    pub fn ready(&self, namespace: &str, name: &str) -> usize {
        self.pods(namespace, name).iter().filter(|pod| condition(pod, "Ready")).count()
    }

    /// Waits until a Deployment or StatefulSet of this name is completely as it was asked for.
    pub async fn settled(&self, namespace: &str, name: &str) {
        let what = format!("{namespace}/{name} is settled");
        self.until(&what, |cluster| cluster.is_settled(namespace, name).then_some(())).await;
    }

    /// The same for a test that is not asynchronous.
    pub fn wait_settled(&self, namespace: &str, name: &str) {
        let what = format!("{namespace}/{name} is settled");
        self.wait(&what, |cluster| cluster.is_settled(namespace, name).then_some(()));
    }

    /// Whether it is now.
    pub fn is_settled(&self, namespace: &str, name: &str) -> bool {
        let at = |plural: &str| self.find(&format!("/apis/apps/v1/namespaces/{namespace}/{plural}/{name}"));
        let Some(object) = at("deployments").or_else(|| at("statefulsets")) else { return false };
        let count = |path: &str| object.pointer(path).and_then(Value::as_u64).unwrap_or(0);
        let wanted = count("/spec/replicas");
        // Those that are ending are still there, and would be seen by whoever lists.
        let all = self.list(&format!("/api/v1/namespaces/{namespace}/pods"));
        let there = all.iter().filter(|pod| pod["metadata"]["labels"]["app"] == name).count() as u64;
        count("/status/observedGeneration") == count("/metadata/generation")
            && ["replicas", "updatedReplicas", "availableReplicas"]
                .iter()
                .all(|field| count(&format!("/status/{field}")) == wanted)
            && there == wanted
    }
}

/// Whether a condition of an object is true.
pub fn condition(object: &Value, kind: &str) -> bool {
    object["status"]["conditions"]
        .as_array()
        .is_some_and(|all| all.iter().any(|one| one["type"] == kind && one["status"] == "True"))
}

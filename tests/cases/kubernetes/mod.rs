//! The adapters of Kubernetes against a strict, stateful API server.

mod actions;
mod chaos;
mod chaos_ends;
mod credentials;
mod faults;
mod rights;
mod settings;
mod traffic;
mod watching;

use std::path::Path;
use std::time::Duration;

use suture::act::kubernetes::KubernetesActuator;
use suture::act::{ActError, Actuator as _, KubernetesSettings, Progress};
use suture::model::{Action, Facet, TargetId, TargetState};
use suture::platform::ClusterSettings;
use suture::platform::kubernetes::Clusters;
use tokio::sync::mpsc;

use crate::harness::kube::{ADMIN_TOKEN, FakeCluster};

/// A cluster, and an actuator with a kubeconfig for it.
struct Rig {
    cluster: FakeCluster,
    actuator: KubernetesActuator,
    clusters: Clusters,
    _folder: tempfile::TempDir,
}

/// What came of an action, and what it said meanwhile.
struct Done {
    result: Result<String, ActError>,
    said: Vec<String>,
}

impl Done {
    /// The receipt.
    fn receipt(self) -> String {
        self.result.unwrap_or_else(|error| panic!("{error}; it said {:?}", self.said))
    }

    fn error(self) -> ActError {
        self.result.expect_err("an action that fails")
    }
}

impl Rig {
    /// As somebody who may everything.
    async fn new() -> Self {
        Self::of(ADMIN_TOKEN, |_| {}).await
    }

    /// As the owner of this token, once the cluster is set up.
    async fn of(token: &str, set_up: impl FnOnce(&FakeCluster)) -> Self {
        let (cluster, folder) = (FakeCluster::start().await, tempfile::tempdir().expect("a folder"));
        set_up(&cluster);
        let kubeconfig = cluster.kubeconfig(folder.path(), token);
        Self::with(cluster, folder, &kubeconfig, Vec::new())
    }

    fn with(
        cluster: FakeCluster,
        folder: tempfile::TempDir,
        kubeconfig: &Path,
        targets: Vec<KubernetesSettings>,
    ) -> Self {
        let name = "test".to_owned();
        let settings = ClusterSettings { name, kubeconfig: Some(kubeconfig.to_owned()), context: None };
        let clusters = Clusters::new(&[settings], folder.path());
        let actuator = KubernetesActuator::new(targets, clusters.clone());
        Self { cluster, actuator, clusters, _folder: folder }
    }

    /// The same with these words about targets.
    fn knowing(self, targets: Vec<KubernetesSettings>) -> Self {
        Self { actuator: KubernetesActuator::new(targets, self.clusters.clone()), ..self }
    }

    async fn observe(&self, name: &str) -> TargetState {
        self.actuator.observe(&target(name)).await.expect("a look")
    }

    /// Does an action from how the target is now.
    async fn act(&self, action: &Action) -> Done {
        let state = self.actuator.observe(action.target()).await.expect("a look");
        let before = action.facet(&state).expect("a target that can do it");
        self.act_from(action, &before).await
    }

    async fn act_from(&self, action: &Action, before: &Facet) -> Done {
        let (sender, mut lines) = mpsc::channel(64);
        let result = self.actuator.apply(action, before, "RUN-1/0", &Progress::to(sender)).await;
        let mut said = Vec::new();
        while let Ok(line) = lines.try_recv() {
            said.push(line);
        }
        Done { result, said }
    }

    /// Requests that would have changed something.
    fn changes(&self) -> usize {
        let changing = |method: &str| matches!(method, "PATCH" | "POST" | "PUT" | "DELETE");
        self.cluster.requests().iter().filter(|request| changing(&request.method)).count()
    }
}

/// `prod/deployment/web`, in the cluster of the rig.
fn target(name: &str) -> TargetId {
    format!("k8s:test/{name}").parse().expect("a target")
}

fn quickly(name: &str, within: Duration) -> KubernetesSettings {
    KubernetesSettings { ready_within: within, ..KubernetesSettings::of(target(name)) }
}

const WEB: &str = "prod/deployment/web";
const DB: &str = "prod/statefulset/db";
const WEB_PATH: &str = "/apis/apps/v1/namespaces/prod/deployments/web";

fn scale(name: &str, to: u32) -> Action {
    Action::Scale { target: target(name), to }
}

fn restart(name: &str, instance: &str) -> Action {
    Action::Restart { target: target(name), instance: instance.to_owned() }
}

fn rollout(name: &str) -> Action {
    Action::Rollout { target: target(name) }
}

fn isolate(name: &str, instance: &str, isolated: bool) -> Action {
    Action::Isolate { target: target(name), instance: instance.to_owned(), isolated }
}

fn configure(name: &str, setting: &str, value: &str) -> Action {
    Action::Configure { target: target(name), setting: setting.to_owned(), value: value.to_owned() }
}

fn shift(name: &str, weights: &[(&str, u32)]) -> Action {
    let weights = weights.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect();
    Action::Shift { target: target(name), weights }
}

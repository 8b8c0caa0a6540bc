//! The fake cluster keeps the rules of a real one: proved with the client that Suture uses.

mod access;
mod chaos_mesh;
mod objects;
mod watching;
mod workloads;

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
    Preconditions, WatchEvent, WatchParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher;
use kube::{Client, Config, Error};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::kube::{ADMIN_TOKEN, FakeCluster, Fault, Hang};

const NS: &str = "prod";

/// A client as Suture makes one: from a kubeconfig, and without retries of its own.
async fn client_of(path: &std::path::Path) -> Client {
    let config = Kubeconfig::read_from(path).unwrap();
    let mut config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

async fn client(cluster: &FakeCluster, token: &str) -> Client {
    let folder = TempDir::new().unwrap();
    client_of(&cluster.kubeconfig(folder.path(), token)).await
}

struct Stage {
    cluster: FakeCluster,
    client: Client,
}

impl Stage {
    async fn new() -> Self {
        let cluster = FakeCluster::start().await;
        let client = client(&cluster, ADMIN_TOKEN).await;
        Self { cluster, client }
    }

    async fn with_web(replicas: u32) -> Self {
        let stage = Self::new().await;
        stage.cluster.deploy(NS, "web", replicas);
        stage.cluster.settled(NS, "web").await;
        stage
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), NS)
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), NS)
    }

    fn maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), NS)
    }

    fn dynamic(&self, group: &str, version: &str, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.client.clone(), NS, &resource)
    }

    /// A request that the typed client cannot make.
    async fn raw(&self, method: &str, path: &str, media: &str, body: &Value) -> Result<Value, Error> {
        let request = http_request(method, path, media, body);
        self.client.request::<Value>(request).await
    }
}

fn http_request(method: &str, path: &str, media: &str, body: &Value) -> hyper::Request<Vec<u8>> {
    hyper::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media)
        .body(body.to_string().into_bytes())
        .unwrap()
}

#[track_caller]
fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> (u16, String, String) {
    match result {
        Err(Error::Api(status)) => (status.code, status.reason.clone(), status.message.clone()),
        other => panic!("not a refusal: {other:?}"),
    }
}

fn version(meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> u64 {
    meta.resource_version.as_ref().unwrap().parse().unwrap()
}

const WEB: &str = "/apis/apps/v1/namespaces/prod/deployments/web";

//! The fake cluster keeps the rules of a real one: proved with the client that Suture uses.

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

#[tokio::test]
async fn objects_are_made_read_changed_and_deleted() {
    let stage = Stage::new().await;
    stage.cluster.put(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}}));
    let maps = stage.maps();
    let map: ConfigMap =
        serde_json::from_value(json!({"metadata": {"name": "settings"}, "data": {"ttl": "5"}})).unwrap();
    let made = maps.create(&PostParams::default(), &map).await.unwrap();
    assert!(made.metadata.uid.is_some() && made.metadata.creation_timestamp.is_some());
    let (code, reason, message) = refusal(maps.create(&PostParams::default(), &map).await);
    assert_eq!((code, reason.as_str()), (409, "AlreadyExists"));
    assert_eq!(message, "configmaps \"settings\" already exists");

    let same = maps.patch("settings", &PatchParams::default(), &Patch::Merge(json!({"data": {"ttl": "5"}}))).await;
    assert_eq!(version(&same.unwrap().metadata), version(&made.metadata), "nothing new is no change");
    let changed = maps.patch("settings", &PatchParams::default(), &Patch::Merge(json!({"data": {"ttl": "9"}}))).await;
    assert!(version(&changed.unwrap().metadata) > version(&made.metadata));
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    maps.patch("settings", &dry, &Patch::Merge(json!({"data": {"ttl": "1"}}))).await.unwrap();
    assert_eq!(maps.get("settings").await.unwrap().data.unwrap()["ttl"], "9");

    let (code, _, message) = refusal(maps.replace("settings", &PostParams::default(), &made).await);
    assert_eq!(code, 409);
    assert!(message.contains("the object has been modified"), "{message}");
    maps.delete("settings", &DeleteParams::default()).await.unwrap();
    let (code, reason, message) = refusal(maps.get("settings").await);
    assert_eq!((code, reason.as_str()), (404, "NotFound"));
    assert_eq!(message, "configmaps \"settings\" not found");
    assert_eq!(stage.cluster.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn a_patch_from_a_stale_version_conflicts() {
    let stage = Stage::with_web(2).await;
    let stale = stage.deployments().get("web").await.unwrap().metadata.resource_version.unwrap();
    stage.cluster.patch(WEB, &json!({"metadata": {"labels": {"seen": "yes"}}}));
    let patch = Patch::Merge(json!({"metadata": {"resourceVersion": stale}, "spec": {"replicas": 5}}));
    let (code, reason, message) = refusal(stage.deployments().patch("web", &PatchParams::default(), &patch).await);
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    assert_eq!(
        message,
        "Operation cannot be fulfilled on deployments.apps \"web\": the object has been modified; please apply your changes to the latest version and try again"
    );
    let (code, ..) = refusal(stage.deployments().patch_scale("web", &PatchParams::default(), &patch).await);
    assert_eq!(code, 409);
    assert_eq!(stage.cluster.replicas(NS, "web"), 2);
}

#[tokio::test]
async fn patches_are_of_their_kind_and_values_of_their_type() {
    let stage = Stage::with_web(1).await;
    let image =
        |image: &str| json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}});
    // Strategic: the container is found by its name, and keeps what was not named.
    let env = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "env": [{"name": "A", "value": "1"}]}]}}}});
    stage.raw("PATCH", WEB, "application/strategic-merge-patch+json", &env).await.unwrap();
    let after = stage.raw("PATCH", WEB, "application/strategic-merge-patch+json", &image("web:2")).await.unwrap();
    let container = &after["spec"]["template"]["spec"]["containers"][0];
    assert_eq!((&container["image"], &container["env"][0]["value"]), (&json!("web:2"), &json!("1")));
    // Merge: the list is one value.
    let after = stage.raw("PATCH", WEB, "application/merge-patch+json", &image("web:3")).await.unwrap();
    assert!(after["spec"]["template"]["spec"]["containers"][0].get("env").is_none());
    // JSON: as long as its tests hold.
    let patch = |expected: u32, to: u32| {
        json!([
            {"op": "test", "path": "/spec/replicas", "value": expected}, {"op": "replace", "path": "/spec/replicas", "value": to},
        ])
    };
    stage.raw("PATCH", WEB, "application/json-patch+json", &patch(1, 2)).await.unwrap();
    let (code, reason, message) = refusal(stage.raw("PATCH", WEB, "application/json-patch+json", &patch(1, 3)).await);
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    assert_eq!(message, "the server rejected our request due to an error in our request");
    assert_eq!(stage.cluster.replicas(NS, "web"), 2);
    assert_eq!(stage.cluster.refused(), Vec::<String>::new());

    for (media, body, expected) in [
        ("application/apply-patch+yaml", image("web:4"), 415),
        ("application/json", image("web:4"), 415),
        ("application/merge-patch+json", json!({"spec": {"replicas": "three"}}), 400),
        ("application/merge-patch+json", json!({"metadata": {"annotations": {"a": 1}}}), 400),
        ("application/merge-patch+json", json!({"spec": {"replicas": -1}}), 422),
        ("application/merge-patch+json", json!({"metadata": {"labels": {"a": "not a label"}}}), 422),
        ("application/merge-patch+json", json!({"spec": {"selector": {"matchLabels": {"app": "other"}}}}), 422),
        ("application/merge-patch+json", json!({"metadata": {"name": "other"}}), 400),
        ("application/json-patch+json", json!({"spec": {}}), 400),
    ] {
        let (code, _, message) = refusal(stage.raw("PATCH", WEB, media, &body).await);
        assert_eq!(code, expected, "{media} {body}: {message}");
    }
    assert_eq!(stage.cluster.take_refused().len(), 9);
}

#[tokio::test]
async fn lists_are_selected_and_paged_from_one_version() {
    let stage = Stage::new().await;
    for n in 0..7 {
        let tier = if n % 2 == 0 { "front" } else { "back" };
        stage.cluster.put(&json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": format!("m-{n}"), "namespace": NS, "labels": {"tier": tier, "n": n.to_string()}},
        }));
    }
    let maps = stage.maps();
    let names = async |selector: &str| -> Vec<String> {
        let list = maps.list(&ListParams::default().labels(selector)).await.unwrap();
        list.items.into_iter().map(|map| map.metadata.name.unwrap()).collect()
    };
    assert_eq!(names("tier=back").await, ["m-1", "m-3", "m-5"]);
    assert_eq!(names("tier!=back,n in (0, 2)").await, ["m-0", "m-2"]);
    assert_eq!(names("n notin (0,1,2,3,4),tier").await, ["m-5", "m-6"]);
    assert_eq!(names("!tier").await, Vec::<String>::new());
    let one = maps.list(&ListParams::default().fields("metadata.name=m-4")).await.unwrap();
    assert_eq!(one.items.len(), 1);
    let (code, _, message) = refusal(maps.list(&ListParams::default().fields("spec.x=1")).await);
    assert!(code == 400 && message.contains("field label not supported: spec.x"), "{message}");

    let first = maps.list(&ListParams::default().limit(3)).await.unwrap();
    stage.cluster.delete("/api/v1/namespaces/prod/configmaps/m-5");
    assert_eq!(first.metadata.remaining_item_count, Some(4));
    let token = first.metadata.continue_.unwrap();
    let rest = maps.list(&ListParams::default().continue_token(&token)).await.unwrap();
    assert_eq!(rest.items.len(), 4, "what was there when the list began");
    stage.cluster.expire_watches();
    let (code, reason, _) = refusal(maps.list(&ListParams::default().continue_token(&token)).await);
    assert_eq!((code, reason.as_str()), (410, "Expired"));
}

async fn events(api: &Api<ConfigMap>, params: &WatchParams, from: &str, count: usize) -> Vec<String> {
    let stream = api.watch(params, from).await.unwrap();
    let told = stream.map_ok(|event| match event {
        WatchEvent::Added(map) => format!("+{}", map.metadata.name.unwrap()),
        WatchEvent::Modified(map) => format!("~{}", map.metadata.name.unwrap()),
        WatchEvent::Deleted(map) => format!("-{}", map.metadata.name.unwrap()),
        WatchEvent::Bookmark(mark) if mark.metadata.annotations.is_empty() => "mark".to_owned(),
        WatchEvent::Bookmark(_) => "all".to_owned(),
        WatchEvent::Error(status) => format!("{} {}", status.code, status.reason),
    });
    let told = Box::pin(told.take(count)).try_collect();
    tokio::time::timeout(Duration::from_secs(20), told).await.expect("as many events").unwrap()
}

#[tokio::test]
async fn a_watch_tells_what_changed_since_its_version() {
    let stage = Stage::new().await;
    let map = |name: &str, data: &str, on: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": NS, "labels": {"on": on}}, "data": {"k": data},
        })
    };
    stage.cluster.put(&map("a", "1", "yes"));
    let from = stage.cluster.version().to_string();
    stage.cluster.put(&map("b", "1", "no"));
    stage.cluster.put(&map("a", "2", "yes"));
    stage.cluster.delete("/api/v1/namespaces/prod/configmaps/b");
    let quiet = WatchParams { bookmarks: false, ..WatchParams::default() };
    assert_eq!(events(&stage.maps(), &quiet, &from, 3).await, ["+b", "~a", "-b"]);
    assert_eq!(events(&stage.maps(), &quiet, "0", 1).await, ["+a"], "from nothing: what there is");

    // What leaves a selection is deleted for it, and what comes into it is new.
    let from = stage.cluster.version().to_string();
    stage.cluster.put(&map("a", "2", "no"));
    stage.cluster.put(&map("a", "2", "yes"));
    assert_eq!(events(&stage.maps(), &quiet.clone().labels("on=yes"), &from, 2).await, ["-a", "+a"]);

    stage.cluster.bookmark_every(Duration::from_millis(20));
    let now = stage.cluster.version().to_string();
    assert_eq!(events(&stage.maps(), &WatchParams::default(), &now, 2).await, ["mark", "mark"]);
    let streaming = WatchParams { send_initial_events: true, ..WatchParams::default() };
    assert_eq!(events(&stage.maps(), &streaming, "0", 3).await, ["+a", "all", "mark"]);
    let short = quiet.timeout(1);
    assert_eq!(events(&stage.maps(), &short, &now, 9).await, Vec::<String>::new(), "it ends by itself");
    assert_eq!(stage.cluster.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn a_watch_expires() {
    let stage = Stage::new().await;
    let now = stage.cluster.version().to_string();
    let quiet = WatchParams { bookmarks: false, ..WatchParams::default() };
    let maps = stage.maps();
    let (told, ()) = tokio::join!(events(&maps, &quiet, &now, 9), async {
        let begun = |cluster: &FakeCluster| cluster.requests().iter().any(|r| r.verb == "watch").then_some(());
        stage.cluster.until("the watch begins", begun).await;
        stage.cluster.expire_watches();
    });
    assert_eq!(told, ["410 Expired"]);
    assert_eq!(events(&maps, &quiet, &now, 9).await, ["410 Expired"], "that version is forgotten");
    stage.cluster.fault(Fault::Status(410)).on("watch", "*/configmaps").times(1);
    let now = stage.cluster.version().to_string();
    let (code, ..) = refusal(maps.watch(&quiet, &now).await.map(drop));
    assert_eq!(code, 410);
    stage.cluster.fault(Fault::ExpireWatch).on("watch", "*/configmaps").times(1);
    assert_eq!(events(&maps, &quiet, &now, 9).await, ["410 Expired"]);
}

/// The client's own watcher, through an expiry and a cut, by both ways of listing.
#[tokio::test]
async fn the_watcher_of_the_client_comes_back() {
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let stage = Stage::new().await;
        stage.cluster.bookmark_every(Duration::from_millis(20));
        let put = |data: &str| {
            stage.cluster.put(&json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": NS}, "data": {"k": data},
            }))
        };
        put("0");
        let mut stream = Box::pin(watcher(stage.maps(), config));
        for (round, trouble) in
            ["1", "2", "3"].into_iter().zip([FakeCluster::expire_watches, FakeCluster::cut_watches, FakeCluster::calm])
        {
            put(round);
            let seen = tokio::time::timeout(Duration::from_secs(20), async {
                loop {
                    let Ok(watcher::Event::Apply(map) | watcher::Event::InitApply(map)) = stream.next().await.unwrap()
                    else {
                        continue;
                    };
                    if map.data.unwrap()["k"] == round {
                        break;
                    }
                }
            });
            seen.await.expect("the change is seen");
            trouble(&stage.cluster);
        }
        assert_eq!(stage.cluster.refused(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_workload_is_scaled_through_its_subresource() {
    let stage = Stage::with_web(2).await;
    let to = |replicas: i32| Patch::Merge(json!({"spec": {"replicas": replicas}}));
    let deployments = stage.deployments();
    let generation = deployments.get("web").await.unwrap().metadata.generation.unwrap();
    let scale = deployments.patch_scale("web", &PatchParams::default(), &to(5)).await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(5));
    stage.cluster.settled(NS, "web").await;
    assert_eq!(stage.cluster.ready(NS, "web"), 5);
    let web = deployments.get("web").await.unwrap();
    assert_eq!(web.metadata.generation.unwrap(), generation + 1, "only what is wanted counts");
    let old: Vec<String> = stage.cluster.pod_names(NS, "web");
    deployments.patch_scale("web", &PatchParams::default(), &to(3)).await.unwrap();
    stage.cluster.settled(NS, "web").await;
    assert!(stage.cluster.pod_names(NS, "web").iter().all(|name| old.contains(name)));

    deployments.patch_scale("web", &PatchParams::default(), &to(0)).await.unwrap();
    stage.cluster.settled(NS, "web").await;
    let scale = deployments.get_scale("web").await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, None, "none is written by leaving it out");
    let status = deployments.get("web").await.unwrap().status.unwrap();
    assert_eq!((status.replicas, status.ready_replicas), (None, None));
    let (code, _, message) = refusal(deployments.patch_scale("web", &PatchParams::default(), &to(-1)).await);
    assert!(code == 422 && message.starts_with("Scale.autoscaling \"web\" is invalid: spec.replicas"), "{message}");
    stage.cluster.take_refused();
}

fn restarted(at: &str) -> Patch<Value> {
    Patch::Strategic(
        json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": at}}}}}),
    )
}

fn condition(web: &Deployment, kind: &str) -> (String, String) {
    let conditions = web.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let found = conditions.into_iter().find(|one| one.type_ == kind);
    found.map(|one| (one.status, one.reason.unwrap_or_default())).unwrap_or_default()
}

#[tokio::test]
async fn a_rollout_replaces_pods_within_its_bounds() {
    let stage = Stage::with_web(3).await;
    let before = stage.cluster.pod_names(NS, "web");
    stage.deployments().patch("web", &PatchParams::default(), &restarted("2026-01-01T00:00:00Z")).await.unwrap();
    let mut least = 3;
    let watch = |cluster: &FakeCluster| {
        least = least.min(cluster.ready(NS, "web"));
        let settled = cluster.is_settled(NS, "web");
        settled.then_some(())
    };
    stage.cluster.until("the rollout ends", watch).await;
    assert_eq!(least, 3, "none may be missing of three");
    assert!(stage.cluster.pod_names(NS, "web").iter().all(|name| !before.contains(name)));
    let web = stage.deployments().get("web").await.unwrap();
    assert_eq!(condition(&web, "Progressing"), ("True".into(), "NewReplicaSetAvailable".into()));
    assert_eq!(web.metadata.annotations.unwrap()["deployment.kubernetes.io/revision"], "2");
}

#[tokio::test]
async fn a_rollout_hangs_until_what_holds_it_up_is_gone() {
    let stage = Stage::with_web(2).await;
    stage.cluster.patch(WEB, &json!({"spec": {"progressDeadlineSeconds": 1}}));
    let waiting = |cluster: &FakeCluster| {
        cluster.pods(NS, "web").iter().find_map(|pod| {
            pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].as_str().map(str::to_owned)
        })
    };
    for (n, (hang, reason)) in [
        (Hang::ImagePull, "ImagePullBackOff"),
        (Hang::CrashLoop, "CrashLoopBackOff"),
        (Hang::Config("configmap \"gone\" not found".to_owned()), "CreateContainerConfigError"),
    ]
    .into_iter()
    .enumerate()
    {
        stage.cluster.hang(NS, "web", hang);
        stage.deployments().patch("web", &PatchParams::default(), &restarted(&format!("{n}"))).await.unwrap();
        stage.cluster.until(reason, |cluster| (waiting(cluster)? == reason).then_some(())).await;
        assert_eq!(stage.cluster.ready(NS, "web"), 2, "the old ones stay");
        if n == 0 {
            let exceeded = |cluster: &FakeCluster| {
                let web: Deployment = serde_json::from_value(cluster.get(WEB)).unwrap();
                (condition(&web, "Progressing") == ("False".into(), "ProgressDeadlineExceeded".into())).then_some(())
            };
            stage.cluster.until("the deadline passes", exceeded).await;
        }
        stage.cluster.unhang(NS, "web");
        stage.cluster.settled(NS, "web").await;
    }
    stage.cluster.hang(
        NS,
        "web",
        Hang::Quota("exceeded quota: team, requested: pods=1, used: pods=2, limited: pods=2".to_owned()),
    );
    stage.deployments().patch("web", &PatchParams::default(), &restarted("q")).await.unwrap();
    let failed = |cluster: &FakeCluster| {
        let web: Deployment = serde_json::from_value(cluster.get(WEB)).unwrap();
        (condition(&web, "ReplicaFailure") == ("True".into(), "FailedCreate".into())).then_some(())
    };
    stage.cluster.until("the quota is said", failed).await;
}

/// The deadline is one of rollouts: a Deployment that is only scaled says that all is well.
#[tokio::test]
async fn a_scale_up_that_hangs_is_not_said_by_the_deadline() {
    let stage = Stage::with_web(1).await;
    stage.cluster.patch(WEB, &json!({"spec": {"progressDeadlineSeconds": 1}}));
    stage.cluster.hang(NS, "web", Hang::NotReady);
    let two = Patch::Merge(json!({"spec": {"replicas": 2}}));
    stage.deployments().patch_scale("web", &PatchParams::default(), &two).await.unwrap();
    let began = std::time::Instant::now();
    stage
        .cluster
        .until("the deadline is long over", |_| (began.elapsed() > Duration::from_millis(1_500)).then_some(()))
        .await;
    let web = stage.deployments().get("web").await.unwrap();
    assert_eq!(condition(&web, "Progressing"), ("True".into(), "NewReplicaSetAvailable".into()));
    assert_eq!(web.status.unwrap().unavailable_replicas, Some(1));
    stage.cluster.unhang(NS, "web");
    stage.cluster.settled(NS, "web").await;
}

#[tokio::test]
async fn a_cordoned_node_takes_no_pods() {
    let stage = Stage::with_web(2).await;
    let nodes: Api<Node> = Api::all(stage.client.clone());
    for node in ["node-1", "node-2"] {
        nodes.cordon(node).await.unwrap();
    }
    stage
        .deployments()
        .patch_scale("web", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 3}})))
        .await
        .unwrap();
    let message = stage.cluster.until("a pod waits for a node", |cluster| {
        let pods = cluster.pods(NS, "web");
        let conditions = pods.iter().filter_map(|pod| pod["status"]["conditions"].as_array()).flatten();
        let mut stuck = conditions.filter(|one| one["type"] == "PodScheduled" && one["status"] == "False");
        stuck.next().map(|one| (one["reason"].clone(), one["message"].clone()))
    });
    assert_eq!(
        message.await,
        (json!("Unschedulable"), json!("0/2 nodes are available: 2 node(s) were unschedulable."))
    );
    nodes.uncordon("node-1").await.unwrap();
    stage.cluster.settled(NS, "web").await;
}

async fn evict(stage: &Stage, pod: &str, options: Value) -> Result<Value, Error> {
    let body = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": NS}, "deleteOptions": options,
    });
    stage.raw("POST", &format!("/api/v1/namespaces/{NS}/pods/{pod}/eviction"), "application/json", &body).await
}

#[tokio::test]
async fn a_budget_refuses_an_eviction() {
    let stage = Stage::with_web(2).await;
    stage.cluster.budget(NS, "web", 2);
    let counted = |cluster: &FakeCluster| {
        let budget = cluster.get("/apis/policy/v1/namespaces/prod/poddisruptionbudgets/web");
        (budget["status"]["currentHealthy"] == 2).then_some(budget)
    };
    let budget = stage.cluster.until("the budget is counted", counted).await;
    assert_eq!(budget["status"]["disruptionsAllowed"], 0);
    let pod = stage.cluster.pod_names(NS, "web").remove(0);
    match evict(&stage, &pod, json!({})).await {
        Err(Error::Api(status)) => {
            assert_eq!((status.code, status.reason.as_str()), (429, "TooManyRequests"));
            let cause = &status.details.unwrap().causes[0];
            assert_eq!(cause.reason, "DisruptionBudget");
            assert_eq!(cause.message, "The disruption budget web needs 2 healthy pods and has 2 currently");
        }
        other => panic!("{other:?}"),
    }
    stage
        .cluster
        .patch("/apis/policy/v1/namespaces/prod/poddisruptionbudgets/web", &json!({"spec": {"minAvailable": 1}}));
    let allowed = |cluster: &FakeCluster| {
        let budget = cluster.get("/apis/policy/v1/namespaces/prod/poddisruptionbudgets/web");
        (budget["status"]["disruptionsAllowed"] == 1).then_some(())
    };
    stage.cluster.until("one may go", allowed).await;
    let (code, _, message) = refusal(evict(&stage, &pod, json!({"preconditions": {"uid": "another"}})).await);
    assert!(code == 409 && message.contains("Precondition failed: UID in precondition: another"), "{message}");
    evict(&stage, &pod, json!({})).await.unwrap();
    stage.cluster.until("the pod goes", |cluster| (!cluster.pod_names(NS, "web").contains(&pod)).then_some(())).await;
    stage.cluster.settled(NS, "web").await;
    stage.cluster.until("one may go again", allowed).await;
    // What kube's own `evict` calls its options is no field of the API.
    let pod = stage.cluster.pod_names(NS, "web").remove(0);
    stage
        .pods()
        .evict(&pod, &kube::api::EvictParams { delete_options: Some(DeleteParams::default()), ..Default::default() })
        .await
        .unwrap();
    assert_eq!(stage.cluster.take_refused().len(), 1);
}

#[tokio::test]
async fn a_pod_is_deleted_only_if_it_is_the_one() {
    let stage = Stage::with_web(2).await;
    let pod = stage.pods().list(&ListParams::default()).await.unwrap().items.remove(0);
    let name = pod.metadata.name.unwrap();
    let with = |uid: &str| {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }
    };
    let (code, reason, _) = refusal(stage.pods().delete(&name, &with("another")).await);
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    stage.pods().delete(&name, &with(&pod.metadata.uid.unwrap())).await.unwrap();
    stage.cluster.settled(NS, "web").await;
    assert!(!stage.cluster.pod_names(NS, "web").contains(&name));
}

#[tokio::test]
async fn rights_are_asked_for_and_refused_in_the_words_of_the_server() {
    let stage = Stage::with_web(1).await;
    stage.cluster.user("suture").token("t1").allow("get,list", "apps", "deployments", Some(NS)).allow(
        "get",
        "apps",
        "deployments/scale",
        Some(NS),
    );
    let client = client(&stage.cluster, "t1").await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NS);
    deployments.get("web").await.unwrap();
    deployments.get_scale("web").await.unwrap();
    let patch = Patch::Merge(json!({"spec": {"replicas": 2}}));
    let (code, reason, message) = refusal(deployments.patch_scale("web", &PatchParams::default(), &patch).await);
    assert_eq!((code, reason.as_str()), (403, "Forbidden"));
    assert_eq!(
        message,
        "deployments.apps \"web\" is forbidden: User \"suture\" cannot patch resource \"deployments/scale\" in API group \"apps\" in the namespace \"prod\""
    );
    let (_, _, message) = refusal(Api::<Pod>::namespaced(client.clone(), NS).list(&ListParams::default()).await);
    assert_eq!(
        message,
        "pods is forbidden: User \"suture\" cannot list resource \"pods\" in API group \"\" in the namespace \"prod\""
    );
    let (_, _, message) = refusal(Api::<Node>::all(client.clone()).get("node-1").await);
    assert_eq!(
        message,
        "nodes \"node-1\" is forbidden: User \"suture\" cannot get resource \"nodes\" in API group \"\" at the cluster scope"
    );

    let may = async |verb: &str, sub: &str, namespace: &str| {
        let review: SelfSubjectAccessReview =
            serde_json::from_value(json!({"metadata": {}, "spec": {"resourceAttributes": {
                "verb": verb, "group": "apps", "resource": "deployments", "subresource": sub, "namespace": namespace,
            }}}))
            .unwrap();
        let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
        api.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
    };
    assert!(may("get", "", NS).await && may("get", "scale", NS).await);
    assert!(!may("patch", "scale", NS).await && !may("get", "", "default").await && !may("get", "status", NS).await);
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let who: Value = client.request(http_request("POST", path, "application/json", &review)).await.unwrap();
    assert_eq!(who["status"]["userInfo"]["username"], "suture");
    assert_eq!(stage.cluster.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn rights_come_from_role_documents() {
    let stage = Stage::with_web(1).await;
    let documents = [
        json!({"kind": "Role", "metadata": {"name": "r", "namespace": NS}, "rules": [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"], "resourceNames": ["web"]}]}),
        json!({"kind": "ClusterRole", "metadata": {"name": "c"}, "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["*"]}]}),
        json!({"kind": "RoleBinding", "metadata": {"name": "r", "namespace": NS}, "roleRef": {"kind": "Role", "name": "r"}}),
        json!({"kind": "ClusterRoleBinding", "metadata": {"name": "c"}, "roleRef": {"kind": "ClusterRole", "name": "c"}}),
    ];
    stage.cluster.user("suture").token("t").bound_by(&documents);
    let client = client(&stage.cluster, "t").await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NS);
    deployments.get("web").await.unwrap();
    assert_eq!(refusal(deployments.get("other").await).0, 403);
    Api::<Node>::all(client).list(&ListParams::default()).await.unwrap();
}

#[tokio::test]
async fn a_token_expires_and_is_replaced() {
    let stage = Stage::with_web(1).await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first").unwrap();
    stage.cluster.user("suture").token("first").token("second").allow_all();
    let config = stage.cluster.kubeconfig_with_token_file(folder.path(), &file);
    let deployments: Api<Deployment> = Api::namespaced(client_of(&config).await, NS);
    deployments.get("web").await.unwrap();
    stage.cluster.expire_token("first");
    let (code, reason, _) = refusal(deployments.get("web").await);
    assert_eq!((code, reason.as_str()), (401, "Unauthorized"));
    std::fs::write(&file, "second").unwrap();
    // A client that starts now reads the file; one that runs looks once a minute.
    let deployments: Api<Deployment> = Api::namespaced(client_of(&config).await, NS);
    deployments.get("web").await.unwrap();
}

#[tokio::test]
async fn there_is_trouble_before_and_after_an_effect() {
    let stage = Stage::with_web(1).await;
    let deployments = stage.deployments();
    let scale = async |replicas: u32| {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        deployments.patch_scale("web", &PatchParams::default(), &patch).await
    };
    let on = |fault: Fault| stage.cluster.fault(fault).on("PATCH", "*/deployments/web/scale").times(1);
    on(Fault::Status(500));
    assert_eq!(refusal(scale(2).await).0, 500);
    assert_eq!(stage.cluster.replicas(NS, "web"), 1);
    on(Fault::AfterEffect(500));
    assert_eq!(refusal(scale(2).await).0, 500);
    assert_eq!(stage.cluster.replicas(NS, "web"), 2, "it was done all the same");
    on(Fault::Drop);
    assert!(!matches!(scale(3).await, Ok(_) | Err(Error::Api(_))));
    assert_eq!(stage.cluster.replicas(NS, "web"), 2);
    on(Fault::DropAfterEffect);
    assert!(!matches!(scale(3).await, Ok(_) | Err(Error::Api(_))));
    assert_eq!(stage.cluster.replicas(NS, "web"), 3);
    on(Fault::Throttle(7));
    match scale(4).await {
        Err(Error::Api(status)) => {
            assert_eq!((status.code, status.details.unwrap().retry_after_seconds), (429, 7));
        }
        other => panic!("{other:?}"),
    }
    on(Fault::Meanwhile { path: WEB.to_owned(), patch: json!({"metadata": {"labels": {"by": "somebody"}}}) });
    let stale = deployments.get("web").await.unwrap().metadata.resource_version;
    let patch = Patch::Merge(json!({"metadata": {"resourceVersion": stale}, "spec": {"replicas": 4}}));
    assert_eq!(refusal(deployments.patch_scale("web", &PatchParams::default(), &patch).await).0, 409);
    for fault in [Fault::Hang, Fault::HangAfterEffect] {
        on(fault);
        assert!(tokio::time::timeout(Duration::from_millis(200), scale(4)).await.is_err());
    }
    assert_eq!(stage.cluster.replicas(NS, "web"), 4);
    stage.cluster.down(true);
    assert!(!matches!(scale(5).await, Ok(_) | Err(Error::Api(_))));
    stage.cluster.down(false);
    scale(5).await.unwrap();
}

#[tokio::test]
async fn a_pod_that_is_relabelled_is_let_go_replaced_and_taken_back() {
    let stage = Stage::with_web(2).await;
    stage.cluster.expose(NS, "web", &json!({"app": "web"}));
    let pod = stage.cluster.pod_names(NS, "web").remove(0);
    let served = |cluster: &FakeCluster| {
        let slices = cluster.list("/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices");
        let endpoints = slices.iter().flat_map(|slice| slice["endpoints"].as_array().unwrap().clone());
        endpoints
            .filter(|one| one["conditions"]["ready"] == true)
            .map(|one| one["targetRef"]["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    stage.cluster.until("both are served", |cluster| (served(cluster).len() == 2).then_some(())).await;
    let label = |value: Value| Patch::Merge(json!({"metadata": {"labels": {"app": value}}}));
    let hash =
        stage.cluster.get(&format!("/api/v1/namespaces/prod/pods/{pod}"))["metadata"]["labels"]["pod-template-hash"]
            .clone();
    stage.pods().patch(&pod, &PatchParams::default(), &label(Value::Null)).await.unwrap();
    stage
        .cluster
        .until("another takes its place", |cluster| {
            let free = cluster.get(&format!("/api/v1/namespaces/prod/pods/{pod}"));
            let released = free["metadata"].get("ownerReferences").is_none();
            let (ready, served) = (cluster.ready(NS, "web"), served(cluster));
            (released && ready == 2 && served.len() == 2 && !served.contains(&pod)).then_some(())
        })
        .await;
    assert!(hash.is_string());
    stage.pods().patch(&pod, &PatchParams::default(), &label(json!("web"))).await.unwrap();
    stage.cluster.settled(NS, "web").await;
    stage
        .cluster
        .until("two are left", |cluster| (cluster.list("/api/v1/namespaces/prod/pods").len() == 2).then_some(()))
        .await;
}

#[tokio::test]
async fn a_stateful_set_keeps_its_names() {
    let stage = Stage::new().await;
    stage.cluster.stateful(NS, "db", 3);
    stage.cluster.settled(NS, "db").await;
    assert_eq!(stage.cluster.pod_names(NS, "db"), ["db-0", "db-1", "db-2"]);
    let sets: Api<StatefulSet> = Api::namespaced(stage.client.clone(), NS);
    sets.patch_scale("db", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 2}}))).await.unwrap();
    stage.cluster.settled(NS, "db").await;
    assert_eq!(stage.cluster.pod_names(NS, "db"), ["db-0", "db-1"]);
    let uid =
        |name: &str| stage.cluster.get(&format!("/api/v1/namespaces/prod/pods/{name}"))["metadata"]["uid"].clone();
    let before = (uid("db-0"), uid("db-1"));
    sets.patch("db", &PatchParams::default(), &restarted("now")).await.unwrap();
    stage.cluster.settled(NS, "db").await;
    assert!(uid("db-0") != before.0 && uid("db-1") != before.1);
    let (code, _, message) = refusal(
        sets.patch("db", &PatchParams::default(), &Patch::Merge(json!({"spec": {"serviceName": "other"}}))).await,
    );
    assert!(code == 422 && message.contains("updates to statefulset spec"), "{message}");
    stage.cluster.take_refused();
}

#[tokio::test]
async fn an_autoscaler_keeps_its_bounds() {
    let stage = Stage::with_web(2).await;
    stage.cluster.autoscale(NS, "web", 3, 6);
    stage.cluster.until("its floor", |cluster| (cluster.replicas(NS, "web") == 3).then_some(())).await;
    stage.cluster.load(NS, "web", Some(9));
    stage.cluster.until("its ceiling", |cluster| (cluster.replicas(NS, "web") == 6).then_some(())).await;
    let scalers = stage.dynamic("autoscaling", "v2", "HorizontalPodAutoscaler");
    let patch = |min: u32| Patch::Merge(json!({"spec": {"minReplicas": min}}));
    let (code, _, message) = refusal(scalers.patch("web", &PatchParams::default(), &patch(7)).await);
    assert!(code == 422 && message.contains("must be greater than or equal to `minReplicas`"), "{message}");
    stage.cluster.take_refused();
}

#[tokio::test]
async fn values_of_routes_and_rules_are_checked() {
    let stage = Stage::new().await;
    stage.cluster.put(&json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "web", "namespace": NS},
        "spec": {"rules": [{"backendRefs": [{"name": "a", "port": 80}, {"name": "b", "port": 80, "weight": 3}]}]},
    }));
    stage.cluster.put(&json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "web", "namespace": NS},
        "spec": {"hosts": ["web"], "http": [{"route": [{"destination": {"host": "web", "subset": "v1"}, "weight": 100}, {"destination": {"host": "web", "subset": "v2"}, "weight": 0}]}]},
    }));
    stage.cluster.put(&json!({
        "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "web", "namespace": NS},
        "spec": {"host": "web", "trafficPolicy": {"outlierDetection": {"interval": "10s"}}},
    }));
    let routes = stage.dynamic("gateway.networking.k8s.io", "v1", "HTTPRoute");
    let route = routes.get("web").await.unwrap();
    assert_eq!(route.data["spec"]["rules"][0]["backendRefs"][0]["weight"], 1, "the default is filled in");
    let list = routes.list(&ListParams::default()).await.unwrap();
    assert_eq!(list.items[0].types.as_ref().unwrap().kind, "HTTPRoute");
    // The same object in an older version.
    let old = stage.dynamic("networking.istio.io", "v1beta1", "VirtualService").get("web").await.unwrap();
    assert_eq!(old.types.unwrap().api_version, "networking.istio.io/v1beta1");

    let path = |plural: &str, group: &str| format!("/apis/{group}/v1/namespaces/{NS}/{plural}/web");
    let (gateway, istio) = ("gateway.networking.k8s.io", "networking.istio.io");
    let replace = |path: &str, value: Value| json!([{"op": "replace", "path": path, "value": value}]);
    let json_patch = "application/json-patch+json";
    for (path, media, body, expected) in [
        (path("httproutes", gateway), json_patch, replace("/spec/rules/0/backendRefs/0/weight", json!(1_000_001)), 422),
        (path("httproutes", gateway), json_patch, replace("/spec/rules/0/backendRefs/0/weight", json!(0.5)), 422),
        (path("httproutes", gateway), "application/strategic-merge-patch+json", json!({"spec": {}}), 415),
        (path("virtualservices", istio), json_patch, replace("/spec/http/0/route/0/weight", json!(0)), 400),
        (
            path("destinationrules", istio),
            "application/merge-patch+json",
            json!({"spec": {"trafficPolicy": {"outlierDetection": {"interval": "ten"}}}}),
            422,
        ),
        (
            path("destinationrules", istio),
            "application/merge-patch+json",
            json!({"spec": {"trafficPolicy": {"outlierDetection": {"consecutive5xxErrors": "5"}}}}),
            422,
        ),
    ] {
        let (code, _, message) = refusal(stage.raw("PATCH", &path, media, &body).await);
        assert_eq!(code, expected, "{body}: {message}");
    }
    stage.cluster.take_refused();

    stage.cluster.put(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fixed", "namespace": NS}, "immutable": true, "data": {"k": "1"}}));
    let patch = Patch::Merge(json!({"data": {"k": "2"}}));
    let (code, _, message) = refusal(stage.maps().patch("fixed", &PatchParams::default(), &patch).await);
    assert_eq!(
        (code, message.as_str()),
        (422, "ConfigMap \"fixed\" is invalid: data: Forbidden: field is immutable when `immutable` is set")
    );
}

#[tokio::test]
async fn what_is_served_can_be_discovered() {
    let stage = Stage::new().await;
    stage.cluster.serve_only("networking.istio.io", &["v1beta1"]);
    stage.cluster.serve_only("gateway.networking.k8s.io", &[]);
    let plain = kube::Discovery::new(stage.client.clone()).run().await.unwrap();
    let aggregated = kube::Discovery::new(stage.client.clone()).run_aggregated().await.unwrap();
    for discovery in [plain, aggregated] {
        let (service, _) =
            discovery.resolve_gvk(&GroupVersionKind::gvk("networking.istio.io", "v1beta1", "VirtualService")).unwrap();
        assert_eq!(service.plural, "virtualservices");
        assert!(!discovery.has_group("gateway.networking.k8s.io") && discovery.has_group("apps"));
    }
    let (code, ..) = refusal(stage.dynamic("networking.istio.io", "v1", "VirtualService").get("web").await);
    assert_eq!(code, 404);
    assert_eq!(stage.cluster.refused(), Vec::<String>::new(), "to ask for it is right");
    let no_such = stage.raw("GET", "/apis/apps/v1/namespaces/prod/deployment", "application/json", &json!({})).await;
    assert_eq!(refusal(no_such).0, 404);
    assert_eq!(stage.cluster.take_refused().len(), 1);
    assert_eq!(stage.client.apiserver_version().await.unwrap().minor, "33");
}

#[tokio::test]
async fn a_container_that_is_killed_begins_again() {
    let stage = Stage::with_web(1).await;
    stage.cluster.pace(Duration::from_millis(100));
    let pod = stage.cluster.pod_names(NS, "web").remove(0);
    let started = |pod: &Pod| {
        let status = &pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0];
        status.state.as_ref().unwrap().running.as_ref().unwrap().started_at.clone()
    };
    let before = stage.pods().get(&pod).await.unwrap();
    stage.cluster.restart_container(NS, &pod, "OOMKilled");
    stage.cluster.until("it is not ready", |cluster| (cluster.ready(NS, "web") == 0).then_some(())).await;
    stage.cluster.until("it is ready again", |cluster| (cluster.ready(NS, "web") == 1).then_some(())).await;
    let after = stage.pods().get(&pod).await.unwrap();
    let status = &after.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0];
    assert_eq!(status.restart_count, 1);
    let ended = status.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((ended.exit_code, ended.reason.as_deref()), (137, Some("OOMKilled")));
    assert!(started(&after).unwrap().0 > started(&before).unwrap().0);
}

#[tokio::test]
async fn many_at_once_lose_nothing() {
    let stage = Stage::new().await;
    stage.cluster.put(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": NS}}));
    let maps = stage.maps();
    let all =
        (0..60).map(|n| {
            let maps = maps.clone();
            async move {
                maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {format!("k{n}"): "1"}}))).await
            }
        });
    futures::future::try_join_all(all).await.unwrap();
    assert_eq!(maps.get("a").await.unwrap().data.unwrap().len(), 60);
    stage.cluster.deploy(NS, "big", 300);
    stage.cluster.settled(NS, "big").await;
    assert_eq!(stage.pods().list(&ListParams::default()).await.unwrap().items.len(), 300);
    stage.cluster.delete("/apis/apps/v1/namespaces/prod/deployments/big");
    stage.cluster.until("all go with it", |cluster| cluster.list("/api/v1/pods").is_empty().then_some(())).await;
}

/// A test that blocks its only thread is served all the same.
#[test]
fn it_works_for_a_test_that_blocks() {
    let cluster = FakeCluster::begin();
    cluster.deploy(NS, "web", 2);
    cluster.wait_settled(NS, "web");
    assert_eq!(cluster.ready(NS, "web"), 2);
}

//! Controllers: scaling, rollouts, pods that are let go, evictions, autoscalers.

use super::*;

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

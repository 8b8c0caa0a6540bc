//! Objects: made, read, patched, listed, discovered, by many at once.

use super::*;

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

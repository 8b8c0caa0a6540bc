//! Weights of routes.

use serde_json::{Value, json};
use suture::act::{ActError, Actuator as _};
use suture::model::Facet;

use super::{Rig, shift, target};
use crate::harness::kube::FakeCluster;

const ROUTE: &str = "prod/httproute/web";
const ROUTE_PATH: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/prod/httproutes/web";
const SERVICE: &str = "prod/virtualservice/web";

fn virtual_service(version: &str) -> Value {
    json!({"apiVersion": format!("networking.istio.io/{version}"), "kind": "VirtualService",
        "metadata": {"name": "web", "namespace": "prod"},
        "spec": {"hosts": ["web"], "http": [{"route": [
            {"destination": {"host": "web", "subset": "v1"}, "weight": 100},
            {"destination": {"host": "web", "subset": "v2"}, "weight": 0}]}]}})
}

/// A route and a VirtualService, for this and other cases.
pub(super) fn put_all(cluster: &FakeCluster) {
    cluster.put(&json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "web", "namespace": "prod"},
        "spec": {"parentRefs": [{"name": "gateway"}], "rules": [
            {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                "backendRefs": [{"name": "web", "port": 80, "weight": 90}, {"name": "web-canary", "port": 80, "weight": 10}]}]}}));
    cluster.put(&virtual_service("v1"));
}

async fn rig() -> Rig {
    Rig::of(crate::harness::kube::ADMIN_TOKEN, put_all).await
}

#[tokio::test]
async fn a_route_is_shifted_and_back_and_what_is_not_named_keeps_its_weight() {
    let rig = rig().await;
    rig.cluster.deploy("prod", "web", 1);
    rig.cluster.expose("prod", "web", &json!({"app": "web"}));
    rig.cluster.expose("prod", "web-canary", &json!({"app": "canary"}));
    rig.cluster.settled("prod", "web").await;
    rig.cluster
        .until("it serves", |c| {
            let slices = c.list("/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices");
            slices.iter().any(|s| s["endpoints"].as_array().is_some_and(|e| !e.is_empty())).then_some(())
        })
        .await;
    let state = rig.observe(ROUTE).await;
    let told: Vec<_> = state.instances.iter().map(|i| (i.name.as_str(), i.weight, i.up)).collect();
    assert_eq!(told, [("web", 90, true), ("web-canary", 10, false)]);
    let action = shift(ROUTE, &[("web-canary", 50)]);
    let before = action.facet(&state).unwrap();
    let receipt = rig.act(&action).await.receipt();
    assert!(receipt.contains("web-canary=50"), "{receipt}");
    let route = rig.cluster.get(ROUTE_PATH);
    let refs = route.pointer("/spec/rules/0/backendRefs").unwrap();
    assert_eq!((&refs[0]["weight"], &refs[1]["weight"]), (&json!(90), &json!(50)));
    assert!(rig.act_from(&action, &before).await.receipt().contains("already"));
    rig.act(&action.inverse(&before).unwrap()).await.receipt();
    assert_eq!(rig.cluster.get(ROUTE_PATH).pointer("/spec/rules/0/backendRefs/1/weight"), Some(&json!(10)));
    assert_eq!(rig.changes(), 2);
    assert_eq!(rig.cluster.refused(), [""; 0]);
}

#[tokio::test]
async fn weights_that_somebody_moved_are_left_alone() {
    let rig = rig().await;
    let action = shift(ROUTE, &[("web", 50)]);
    let before = Facet::Weights([("web".to_owned(), 80)].into());
    let error = rig.act_from(&action, &before).await.error();
    assert!(matches!(&error, ActError::Conflict { found, .. } if found == "web=90"), "{error:?}");
    let error = rig.act_from(&shift(ROUTE, &[("none", 50)]), &before).await.error();
    assert!(matches!(error, ActError::NotFound(_)), "{error:?}");
    assert_eq!(rig.changes(), 0);
}

#[tokio::test]
async fn a_gateway_that_does_not_accept_the_change_is_named() {
    let rig = rig().await;
    let parents = |observed: i64, status: &str| {
        json!({"status": {"parents": [{"parentRef": {"name": "gateway"}, "controllerName": "test/gateway", "conditions": [
            {"type": "Accepted", "status": status, "reason": "X", "message": "weights are not supported",
                "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": observed}]}]}})
    };
    let mut route = rig.cluster.get(ROUTE_PATH);
    route["status"] = parents(1, "True")["status"].clone();
    rig.cluster.put(&route);
    let action = shift(ROUTE, &[("web", 50)]);
    let (done, ()) = tokio::join!(rig.act(&action), async {
        rig.cluster
            .until("it was changed", |c| {
                (c.get(ROUTE_PATH).pointer("/spec/rules/0/backendRefs/0/weight") == Some(&json!(50))).then_some(())
            })
            .await;
        let mut route = rig.cluster.get(ROUTE_PATH);
        route["status"] = parents(2, "False")["status"].clone();
        rig.cluster.put(&route);
    });
    let error = done.error();
    assert!(error.to_string().contains("weights are not supported"), "{error}");
}

#[tokio::test]
async fn destinations_of_a_virtual_service_are_shifted_also_where_only_the_older_version_is_known() {
    for version in ["v1", "v1beta1"] {
        let rig = Rig::of(crate::harness::kube::ADMIN_TOKEN, |cluster| {
            cluster.serve_only("networking.istio.io", &[version]);
            cluster.put(&virtual_service(version));
        })
        .await;
        let receipt = rig.act(&shift(SERVICE, &[("web/v1", 80), ("web/v2", 20)])).await.receipt();
        assert!(receipt.contains("web/v1=80 web/v2=20"), "{receipt}");
        let path = format!("/apis/networking.istio.io/{version}/namespaces/prod/virtualservices/web");
        assert_eq!(rig.cluster.get(&path).pointer("/spec/http/0/route/1/weight"), Some(&json!(20)));
    }
}

#[tokio::test]
async fn a_cluster_without_the_gateway_api_is_told_so() {
    let rig = rig().await;
    rig.cluster.serve_only("gateway.networking.k8s.io", &[]);
    let error = rig.actuator.observe(&target(ROUTE)).await.unwrap_err();
    assert!(matches!(&error, ActError::Unsupported(why) if why.contains("installed")), "{error:?}");
}

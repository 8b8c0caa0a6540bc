//! ConfigMaps, outlier detection, nodes.

use serde_json::json;
use suture::act::{ActError, KubernetesSettings};
use suture::model::{Action, Facet};

use super::{Rig, configure, isolate, target};
use crate::harness::kube::{ADMIN_TOKEN, FakeCluster};

const MAP: &str = "prod/configmap/web";
const MAP_PATH: &str = "/api/v1/namespaces/prod/configmaps/web";
const RULE: &str = "prod/destinationrule/web";
const RULE_PATH: &str = "/apis/networking.istio.io/v1/namespaces/prod/destinationrules/web";

/// A ConfigMap and a DestinationRule, for this and other cases.
pub(super) fn put_all(cluster: &FakeCluster) {
    cluster.put(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": "prod"},
        "data": {"level": "info", "ttl": "30", "other": "x"}}));
    cluster.put(&json!({"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
        "metadata": {"name": "web", "namespace": "prod"}, "spec": {"host": "web"}}));
}

/// What the config says of them.
pub(super) fn knowing() -> Vec<KubernetesSettings> {
    let mut settings = KubernetesSettings::of(target(MAP));
    settings.keys = vec!["level".to_owned(), "new".to_owned()];
    settings.ttl_key = Some("ttl".to_owned());
    vec![settings]
}

async fn rig() -> Rig {
    Rig::of(ADMIN_TOKEN, put_all).await.knowing(knowing())
}

#[tokio::test]
async fn a_key_is_set_and_taken_away_again() {
    let rig = rig().await;
    let state = rig.observe(MAP).await;
    assert_eq!(
        state.settings.into_iter().collect::<Vec<_>>(),
        [("level".into(), "info".into()), ("new".into(), "".into())]
    );
    rig.act(&configure(MAP, "level", "debug")).await.receipt();
    let action = configure(MAP, "new", "1");
    let before = action.facet(&rig.observe(MAP).await).unwrap();
    rig.act(&action).await.receipt();
    assert_eq!(rig.cluster.get(MAP_PATH)["data"], json!({"level": "debug", "ttl": "30", "other": "x", "new": "1"}));
    rig.act(&action.inverse(&before).unwrap()).await.receipt();
    assert_eq!(rig.cluster.get(MAP_PATH)["data"].get("new"), None);
    assert_eq!(rig.cluster.refused(), [""; 0]);
}

#[tokio::test]
async fn a_key_that_the_config_does_not_list_is_out_of_reach() {
    let rig = rig().await;
    let error = rig.act_from(&configure(MAP, "other", "y"), &Facet::Setting("x".to_owned())).await.error();
    assert!(matches!(error, ActError::Unsupported(_)), "{error:?}");
    assert_eq!(rig.cluster.requests().len(), 0);
}

#[tokio::test]
async fn the_lifetime_of_cached_answers_is_set_in_its_unit() {
    let rig = rig().await;
    assert_eq!(rig.observe(MAP).await.cache_ttl_ms, Some(30_000));
    rig.act(&Action::Cache { target: target(MAP), ttl_ms: 5000 }).await.receipt();
    assert_eq!(rig.cluster.get(MAP_PATH)["data"]["ttl"], "5");
    let error = rig.act(&Action::Cache { target: target(MAP), ttl_ms: 1500 }).await.error();
    assert!(error.to_string().contains("whole seconds"), "{error}");
    let stale = Action::Cache { target: target(MAP), ttl_ms: 9000 };
    let error = rig.act_from(&stale, &Facet::CacheTtlMs(30_000)).await.error();
    assert!(matches!(error, ActError::Conflict { .. }), "{error:?}");
}

#[tokio::test]
async fn what_is_immutable_is_told_and_left_alone() {
    let rig = rig().await;
    rig.cluster.patch(MAP_PATH, &json!({"immutable": true}));
    assert!(rig.observe(MAP).await.notes.iter().any(|n| n.contains("immutable")));
    let error = rig.act(&configure(MAP, "level", "debug")).await.error();
    assert!(matches!(&error, ActError::Unsupported(why) if why.contains("immutable")), "{error:?}");
    assert_eq!(rig.changes(), 0);
}

#[tokio::test]
async fn outlier_detection_is_switched_on_and_goes_as_a_whole() {
    let rig = rig().await;
    let key = "outlier-detection.consecutive5xxErrors";
    let before = rig.observe(RULE).await;
    assert_eq!((before.settings.len(), before.settings[key].as_str()), (4, ""));
    rig.act(&configure(RULE, key, "5")).await.receipt();
    rig.act(&configure(RULE, "outlier-detection.interval", "10s")).await.receipt();
    let detection = json!({"consecutive5xxErrors": 5, "interval": "10s"});
    let now = || rig.cluster.get(RULE_PATH).pointer("/spec/trafficPolicy/outlierDetection").cloned();
    assert_eq!(now(), Some(detection));
    assert_eq!(rig.observe(RULE).await.settings[key], "5");
    rig.act(&configure(RULE, "outlier-detection.interval", "")).await.receipt();
    rig.act(&configure(RULE, key, "")).await.receipt();
    assert_eq!(now(), None);
    let error = rig.act(&configure(RULE, key, "many")).await.error();
    assert!(error.to_string().contains("whole number"), "{error}");
}

#[tokio::test]
async fn a_node_is_cordoned_and_taken_back() {
    let rig = rig().await;
    let (name, path) = ("node/node-1", "/api/v1/nodes/node-1");
    let state = rig.observe(name).await;
    assert_eq!(
        state.instances.iter().map(|i| (i.name.as_str(), i.up, i.isolated)).collect::<Vec<_>>(),
        [("node-1", true, false)]
    );
    rig.act(&isolate(name, "node-1", true)).await.receipt();
    assert_eq!(rig.cluster.get(path)["spec"]["unschedulable"], true);
    assert!(rig.observe(name).await.instances[0].isolated);
    rig.act(&isolate(name, "node-1", false)).await.receipt();
    assert_eq!(rig.cluster.get(path)["spec"].get("unschedulable"), None);
    assert_eq!(rig.cluster.refused(), [""; 0]);
}

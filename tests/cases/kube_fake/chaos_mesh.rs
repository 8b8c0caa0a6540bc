//! Chaos Mesh's resources: installed or not, what its webhooks refuse, and how its objects go.

use super::*;

fn delay(name: &str, spec: &Value) -> DynamicObject {
    let mut whole = json!({
        "action": "delay", "mode": "all", "direction": "to", "duration": "60s",
        "selector": {"pods": {"prod": ["web-0"]}}, "delay": {"latency": "10ms", "jitter": "0ms", "correlation": "0"},
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        whole[key] = value.clone();
    }
    let kind = json!({"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "NetworkChaos"});
    let object =
        json!({"apiVersion": kind["apiVersion"], "kind": kind["kind"], "metadata": {"name": name}, "spec": whole});
    serde_json::from_value(object).unwrap()
}

async fn installed() -> (Stage, Api<DynamicObject>) {
    let stage = Stage::new().await;
    stage.cluster.install_chaos_mesh();
    stage.cluster.stateful(NS, "web", 1);
    stage.cluster.settled(NS, "web").await;
    let resource = ApiResource {
        plural: "networkchaos".to_owned(),
        ..ApiResource::from_gvk(&GroupVersionKind::gvk("chaos-mesh.org", "v1alpha1", "NetworkChaos"))
    };
    let chaos = Api::namespaced_with(stage.client.clone(), NS, &resource);
    (stage, chaos)
}

#[tokio::test]
async fn its_webhooks_refuse_what_the_real_ones_refuse() {
    let (stage, chaos) = installed().await;
    for (spec, why) in [
        (json!({"latency": "1s"}), "unknown field \"spec.latency\""),
        (json!({"duration": "60"}), "invalid duration"),
        (json!({"delay": {"latency": "fast"}}), "invalid duration"),
        (json!({"mode": "some"}), "spec.mode"),
        (json!({"selector": {}}), "spec.selector"),
        (json!({"direction": "both"}), "spec/direction"),
        (json!({"action": "loss"}), "spec/action"),
    ] {
        let (_, _, message) = refusal(chaos.create(&PostParams::default(), &delay("d", &spec)).await);
        assert!(message.contains(why), "{spec}: {message}");
    }
    chaos.create(&PostParams::default(), &delay("d", &json!({}))).await.unwrap();
    let longer = Patch::Merge(json!({"spec": {"duration": "90s"}}));
    let (code, _, message) = refusal(chaos.patch("d", &PatchParams::default(), &longer).await);
    assert_eq!((code, message.ends_with("denied the request: Cannot update chaos spec")), (403, true), "{message}");
    assert_eq!(stage.cluster.take_refused().len(), 8);
}

#[tokio::test]
async fn an_object_waits_for_its_finalizer_until_its_pods_are_clean_or_somebody_forces_it() {
    let (stage, chaos) = installed().await;
    chaos.create(&PostParams::default(), &delay("d", &json!({}))).await.unwrap();
    let path = "/apis/chaos-mesh.org/v1alpha1/namespaces/prod/networkchaos/d";
    let phase = |c: &FakeCluster| {
        c.find(path)?.pointer("/status/experiment/containerRecords/0/phase")?.as_str().map(str::to_owned)
    };
    stage.cluster.until("it is in", |c| (phase(c)? == "Injected").then_some(())).await;
    stage.cluster.chaos_stuck(true);
    chaos.delete("d", &DeleteParams::default()).await.unwrap();
    let failed = |c: &FakeCluster| {
        c.find(path)?.pointer("/status/experiment/containerRecords/0/events/0/type").map(|kind| kind == "Failed")
    };
    stage.cluster.until("it cannot be cleaned up", |c| failed(c).filter(|failed| *failed)).await;
    assert_eq!(stage.cluster.get(path)["metadata"]["finalizers"], json!(["chaos-mesh/records"]));
    let forced = json!({"metadata": {"annotations": {"chaos-mesh.chaos-mesh.org/cleanFinalizer": "forced"}}});
    stage.cluster.patch(path, &forced);
    stage.cluster.until("it is gone", |c| c.find(path).is_none().then_some(())).await;
}

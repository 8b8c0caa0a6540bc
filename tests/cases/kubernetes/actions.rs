//! Workloads: scaled, restarted, rolled out, isolated.

use std::time::Duration;

use serde_json::json;
use suture::act::ActError;
use suture::model::{Action, Facet};

use super::{DB, Done, Rig, WEB, WEB_PATH, isolate, quickly, restart, rollout, scale, target};
use crate::harness::kube::Hang;

async fn with_web(replicas: u32) -> Rig {
    let rig = Rig::new().await;
    rig.cluster.deploy("prod", "web", replicas);
    rig.cluster.settled("prod", "web").await;
    rig
}

#[tokio::test]
async fn a_look_shows_the_pods_that_are_really_its_own() {
    let rig = with_web(2).await;
    rig.cluster.put(&json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "stranger", "namespace": "prod", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "x", "image": "x"}]}}));
    let state = rig.observe(WEB).await;
    let names: Vec<_> = state.instances.iter().map(|i| i.name.clone()).collect();
    assert_eq!(names.len(), 2);
    assert!(names.is_sorted() && !names.contains(&"stranger".to_owned()), "{names:?}");
    assert!(state.instances.iter().all(|i| i.up && !i.isolated && i.weight == 100 && i.generation > 1_700_000_000));
    assert_eq!((state.replicas, state.rollout, state.renames), (2, Some(0), true));
    assert_eq!(rig.cluster.refused(), [""; 0]);
}

#[tokio::test]
async fn it_is_scaled_up_and_down_and_not_twice() {
    let rig = with_web(2).await;
    let receipt = rig.act(&scale(WEB, 4)).await.receipt();
    assert!(receipt.contains("from 2 to 4"), "{receipt}");
    assert_eq!((rig.cluster.replicas("prod", "web"), rig.cluster.ready("prod", "web")), (4, 4));
    let again = rig.act_from(&scale(WEB, 4), &Facet::Replicas(2)).await.receipt();
    assert!(again.contains("already"), "{again}");
    rig.act(&scale(WEB, 1)).await.receipt();
    assert_eq!(rig.cluster.pod_names("prod", "web").len(), 1);
    assert_eq!(rig.changes(), 2);
    assert_eq!(rig.cluster.refused(), [""; 0]);
}

#[tokio::test]
async fn a_pod_that_was_not_ready_before_does_not_hold_up_a_scaling() {
    let rig = with_web(2).await;
    let ill = rig.cluster.pod_names("prod", "web").remove(0);
    rig.cluster.hang_pod("prod", &ill, Some(Hang::NotReady));
    rig.cluster.until("one is ready", |c| (c.ready("prod", "web") == 1).then_some(())).await;
    rig.act(&scale(WEB, 3)).await.receipt();
    assert!(rig.cluster.ready("prod", "web") >= 2);
}

#[tokio::test]
async fn what_somebody_has_scaled_meanwhile_is_left_alone() {
    let rig = with_web(2).await;
    let error = rig.act_from(&scale(WEB, 5), &Facet::Replicas(3)).await.error();
    assert!(matches!(&error, ActError::Conflict { found, .. } if found == "2"), "{error}");
    assert_eq!((rig.cluster.replicas("prod", "web"), rig.changes()), (2, 0));
}

#[tokio::test]
async fn a_stateful_set_is_scaled_and_its_pods_come_back_by_name() {
    let rig = Rig::new().await;
    rig.cluster.stateful("prod", "db", 2);
    rig.cluster.settled("prod", "db").await;
    rig.act(&scale(DB, 3)).await.receipt();
    let before = rig.observe(DB).await;
    assert!(!before.renames);
    assert_eq!(before.instances.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), ["db-0", "db-1", "db-2"]);
    let action = restart(DB, "db-1");
    let receipt = rig.act(&action).await.receipt();
    assert_eq!(receipt, "db-1 restarted and ready");
    let after = rig.observe(DB).await;
    assert!(after.instance("db-1").unwrap().generation > before.instance("db-1").unwrap().generation);
    let was = Facet::Generation(before.instance("db-1").unwrap().generation);
    assert!(rig.act_from(&action, &was).await.receipt().contains("already"));
    rig.act(&rollout(DB)).await.receipt();
    assert_eq!(rig.cluster.refused(), [""; 0]);
}

#[tokio::test]
async fn an_autoscaler_keeps_the_number_and_gets_another_floor() {
    let rig = with_web(2).await;
    rig.cluster.autoscale("prod", "web", 2, 6);
    let before = rig.observe(WEB).await;
    assert_eq!(before.autoscaler.as_ref().map(|a| (a.min, a.max)), Some((2, 6)));
    assert!(before.notes.iter().any(|n| n.contains("what changes is its floor")), "{:?}", before.notes);
    let action = scale(WEB, 4);
    let was = action.facet(&before).unwrap();
    let receipt = rig.act(&action).await.receipt();
    assert!(receipt.contains("between 4 and 6"), "{receipt}");
    assert_eq!((rig.cluster.replicas("prod", "web"), rig.cluster.ready("prod", "web")), (4, 4));
    // As it is taken back.
    let inverse = action.inverse(&was).unwrap();
    assert!(matches!(inverse, Action::Bounds { min: 2, max: 6, .. }));
    rig.act(&inverse).await.receipt();
    assert_eq!(rig.observe(WEB).await.autoscaler.map(|a| (a.min, a.max)), Some((2, 6)));
    let moved = rig.act_from(&action, &Facet::Bounds { min: 3, max: 6 }).await.error();
    assert!(matches!(moved, ActError::Conflict { .. }), "{moved}");
    assert_eq!(rig.cluster.refused(), [""; 0]);
}

#[tokio::test]
async fn an_autoscaler_that_came_between_plan_and_run_is_a_conflict() {
    let rig = with_web(2).await;
    rig.cluster.autoscale("prod", "web", 1, 6);
    let error = rig.act_from(&scale(WEB, 4), &Facet::Replicas(2)).await.error();
    assert!(error.to_string().contains("owned by HorizontalPodAutoscaler web"), "{error}");
    assert_eq!(rig.changes(), 0);
}

#[tokio::test]
async fn who_else_owns_it_is_on_the_card() {
    let rig = with_web(2).await;
    rig.cluster.patch(
        WEB_PATH,
        &json!({"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "apps",
        "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}}}),
    );
    rig.cluster.budget("prod", "web", 2);
    rig.cluster
        .until("the budget is spent", |c| {
            let budget = c.get("/apis/policy/v1/namespaces/prod/poddisruptionbudgets/web");
            (budget["status"]["currentHealthy"] == 2).then_some(())
        })
        .await;
    let notes = rig.observe(WEB).await.notes;
    assert!(notes.iter().any(|n| n.contains("Flux Kustomization flux-system/apps owns Deployment web")), "{notes:?}");
    assert!(notes.iter().any(|n| n.contains("PodDisruptionBudget web allows no disruption now")), "{notes:?}");
}

#[tokio::test]
async fn a_restarted_pod_is_replaced_by_one_that_is_ready() {
    let rig = with_web(2).await;
    let pod = rig.cluster.pod_names("prod", "web").remove(0);
    let action = restart(WEB, &pod);
    let before = action.facet(&rig.observe(WEB).await).unwrap();
    rig.act(&action).await.receipt();
    assert!(!rig.cluster.pod_names("prod", "web").contains(&pod));
    assert_eq!(rig.cluster.ready("prod", "web"), 2);
    // It was not deleted over anybody's head.
    assert!(rig.cluster.requests().iter().any(|r| r.path.ends_with("/eviction")));
    assert!(rig.act_from(&action, &before).await.receipt().contains("gone already"));
    assert_eq!(rig.changes(), 1);
    assert_eq!(rig.cluster.refused(), [""; 0]);
}

#[tokio::test]
async fn a_disruption_budget_holds_and_is_named() {
    let rig = with_web(2).await;
    rig.cluster.budget("prod", "web", 2);
    rig.cluster
        .until("the budget is known", |c| {
            let budget = c.get("/apis/policy/v1/namespaces/prod/poddisruptionbudgets/web");
            (budget["status"]["currentHealthy"] == 2).then_some(())
        })
        .await;
    let pods = rig.cluster.pod_names("prod", "web");
    let error = rig.act(&restart(WEB, &pods[0])).await.error();
    assert!(matches!(error, ActError::Denied(_)), "{error:?}");
    assert!(error.to_string().contains("budget web") && error.to_string().contains("AlwaysAllow"), "{error}");
    assert_eq!(rig.cluster.pod_names("prod", "web"), pods);
}

#[tokio::test]
async fn a_rollout_replaces_every_pod_and_says_how_far_it_is() {
    let rig = with_web(3).await;
    rig.cluster.pace(Duration::from_millis(400));
    let before = rig.cluster.pod_names("prod", "web");
    let was = rollout(WEB).facet(&rig.observe(WEB).await).unwrap();
    let done: Done = rig.act(&rollout(WEB)).await;
    assert!(done.said.iter().any(|line| line.contains("of 3 replicas updated")), "{:?}", done.said);
    done.receipt();
    let after = rig.cluster.pod_names("prod", "web");
    assert!(after.len() == 3 && after.iter().all(|pod| !before.contains(pod)), "{after:?}");
    let now = rollout(WEB).facet(&rig.observe(WEB).await).unwrap();
    assert!(now.reached(&was, &rollout(WEB).outcome(&was)), "{now:?}");
    let changes = rig.changes();
    assert!(rig.act_from(&rollout(WEB), &was).await.receipt().contains("already"));
    assert_eq!(rig.changes(), changes);
    assert_eq!(rig.cluster.refused(), [""; 0]);
}

#[tokio::test]
async fn a_rollout_that_hangs_says_what_holds_it_up_and_leaves_the_outcome_open() {
    let cases = [
        (Hang::ImagePull, "cannot pull its image registry.test/web:1"),
        (Hang::CrashLoop, "crashes again and again"),
        (Hang::Config("secret \"db\" not found".to_owned()), "CreateContainerConfigError: secret \"db\" not found"),
        (Hang::Unschedulable("0/2 nodes are available: 2 Insufficient cpu.".to_owned()), "fits on no node: 0/2 nodes"),
        (Hang::NotReady, "runs and is not ready"),
        (Hang::Quota("exceeded quota: pods, used: pods=3".to_owned()), "no pod can be made"),
    ];
    let each = cases.map(|(hang, words)| async move {
        let rig = with_web(2).await.knowing(vec![quickly(WEB, Duration::from_secs(3))]);
        rig.cluster.hang("prod", "web", hang.clone());
        let done = rig.act(&rollout(WEB)).await;
        assert!(done.said.iter().any(|line| line.contains(words)), "{hang:?}: {:?}", done.said);
        let error = done.error();
        assert!(matches!(error, ActError::OutcomeUnknown(..)), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
        // The old pods still serve.
        assert!(rig.cluster.ready("prod", "web") >= 1);
    });
    futures::future::join_all(each).await;
}

#[tokio::test]
async fn a_rollout_that_the_platform_gives_up_on_is_not_waited_for() {
    let rig = with_web(2).await;
    rig.cluster.patch(WEB_PATH, &json!({"spec": {"progressDeadlineSeconds": 1, "minReadySeconds": 0}}));
    rig.cluster.settled("prod", "web").await;
    rig.cluster.hang("prod", "web", Hang::ImagePull);
    let error = rig.act(&rollout(WEB)).await.error();
    assert!(error.to_string().contains("the platform has given up on it"), "{error}");
    assert!(matches!(error, ActError::OutcomeUnknown(..)));
}

#[tokio::test]
async fn rollouts_that_are_paused_are_not_begun() {
    let rig = with_web(2).await;
    rig.cluster.patch(WEB_PATH, &json!({"spec": {"paused": true}}));
    assert_eq!(rig.observe(WEB).await.rollout, None);
    let error = rig.act_from(&rollout(WEB), &Facet::Generation(0)).await.error();
    assert!(matches!(&error, ActError::Unsupported(why) if why.contains("rollout resume")), "{error}");
}

#[tokio::test]
async fn an_isolated_pod_leaves_its_service_and_stays_its_controllers_where_a_label_can_be_spared() {
    let rig = Rig::new().await;
    let mut web = rig.cluster.deploy("prod", "web", 2);
    web["spec"]["template"]["metadata"]["labels"]["traffic"] = json!("on");
    rig.cluster.put(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata":
        {"name": "web", "namespace": "prod"}, "spec": web["spec"]}));
    rig.cluster.expose("prod", "web", &json!({"app": "web", "traffic": "on"}));
    rig.cluster.settled("prod", "web").await;
    let pods = rig.cluster.pod_names("prod", "web");
    let behind = |pod: &str| {
        let slices = rig.cluster.list("/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices");
        slices.iter().any(|slice| slice["endpoints"].to_string().contains(pod))
    };
    rig.cluster.until("it gets traffic", |_| behind(&pods[0]).then_some(())).await;
    let receipt = rig.act(&isolate(WEB, &pods[0], true)).await.receipt();
    assert!(receipt.contains("is out of web (without traffic)"), "{receipt}");
    assert!(!behind(&pods[0]) && behind(&pods[1]));
    assert_eq!(rig.cluster.pod_names("prod", "web"), pods);
    let state = rig.observe(WEB).await;
    assert_eq!(state.instance(&pods[0]).map(|i| (i.isolated, i.up)), Some((true, true)));
    assert!(rig.act_from(&isolate(WEB, &pods[0], true), &Facet::Isolated(false)).await.receipt().contains("already"));
    rig.act(&isolate(WEB, &pods[0], false)).await.receipt();
    assert!(behind(&pods[0]));
    let pod = rig.cluster.get(&format!("/api/v1/namespaces/prod/pods/{}", pods[0]));
    assert_eq!(pod["metadata"]["labels"]["traffic"], "on");
    assert_eq!(pod["metadata"]["labels"].get("suture.dev/isolated"), None);
    assert_eq!(rig.cluster.refused(), [""; 0]);
}

#[tokio::test]
async fn where_no_label_can_be_spared_another_pod_takes_its_place() {
    let rig = with_web(2).await;
    rig.cluster.expose("prod", "web", &json!({"app": "web"}));
    let pods = rig.cluster.pod_names("prod", "web");
    let receipt = rig.act(&isolate(WEB, &pods[0], true)).await.receipt();
    assert!(receipt.contains("another pod takes its place"), "{receipt}");
    rig.cluster.until("it was replaced", |c| (c.ready("prod", "web") == 2).then_some(())).await;
    // It stays to be seen, although it is nobody's.
    let state = rig.observe(WEB).await;
    assert_eq!((state.instances.len(), state.instance(&pods[0]).map(|i| i.isolated)), (3, Some(true)));
    let error = rig.act(&restart(WEB, &pods[0])).await.error();
    assert!(error.to_string().contains("take it back into the traffic first"), "{error}");
    rig.act(&isolate(WEB, &pods[0], false)).await.receipt();
    rig.cluster.settled("prod", "web").await;
    assert_eq!(rig.observe(WEB).await.instances.len(), 2);
    assert_eq!(rig.cluster.refused(), [""; 0]);
}

#[tokio::test]
async fn a_pod_without_a_service_cannot_be_isolated() {
    let rig = with_web(1).await;
    let pod = rig.cluster.pod_names("prod", "web").remove(0);
    let error = rig.act(&isolate(WEB, &pod, true)).await.error();
    assert!(matches!(&error, ActError::Unsupported(why) if why.contains("no Service selects it")), "{error}");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let rig = with_web(1).await;
    let error = rig.actuator_error("prod/deployment/none").await;
    assert!(matches!(&error, ActError::NotFound(what) if what.contains("none")), "{error}");
    let error = rig.act_from(&restart(WEB, "other-1"), &Facet::Generation(5)).await.error();
    assert!(matches!(error, ActError::NotFound(_)), "{error}");
    let error = rig.act_from(&super::configure(WEB, "a", "b"), &Facet::Setting(String::new())).await.error();
    assert!(matches!(error, ActError::Unsupported(_)), "{error}");
}

impl Rig {
    async fn actuator_error(&self, name: &str) -> ActError {
        use suture::act::Actuator as _;
        self.actuator.observe(&target(name)).await.expect_err("a look that fails")
    }
}

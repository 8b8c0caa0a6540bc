//! How faults on Kubernetes end: taken out, out of lease, out of time, by somebody else, or not at all.

use std::time::{Duration, Instant};

use serde_json::json;
use suture::chaos::kubernetes::KubernetesInjector;
use suture::chaos::{InjectError, Injector as _, LEASE, RENEW_EVERY};
use suture::model::Fault;

use super::chaos::{Lab, NETWORK, OBJECT, latency};
use super::{WEB, target};
use crate::harness::kube::Fault as Trouble;

const MINUTE: Duration = Duration::from_secs(60);

fn gone(result: Result<(), InjectError>) -> String {
    match result {
        Err(InjectError::Gone(why)) => why,
        other => panic!("not gone: {other:?}"),
    }
}

#[tokio::test]
async fn twice_in_is_once_and_twice_out_is_no_error() {
    let lab = Lab::new().await;
    let fault = lab.delayed().await;
    lab.injector.put_in("EXP-3.1", &fault).await.unwrap();
    assert_eq!(lab.cluster().chaos("prod").len(), 1);
    assert!(lab.injector.take_out("EXP-3.1", &fault).await.unwrap().contains("is gone"));
    assert!(lab.injector.take_out("EXP-3.1", &fault).await.unwrap().contains("is not there"));
    assert_eq!(lab.cluster().refused(), [""; 0]);
}

#[tokio::test]
async fn a_creation_whose_answer_is_lost_is_found_again() {
    let lab = Lab::new().await;
    let fault = lab.aimed(WEB, latency(), MINUTE).await;
    lab.cluster().fault(Trouble::DropAfterEffect).on("POST", NETWORK).times(1);
    let error = lab.injector.put_in("EXP-3.1", &fault).await.unwrap_err();
    assert!(matches!(error, InjectError::Unavailable(..)), "{error:?}");
    lab.injector.put_in("EXP-3.1", &fault).await.unwrap();
    assert_eq!(lab.cluster().chaos("prod").len(), 1);
}

#[tokio::test]
async fn a_later_process_takes_out_what_it_knows_from_the_ledger_and_lists_what_is_left() {
    let lab = Lab::new().await;
    let fault = lab.delayed().await;
    let later = KubernetesInjector::new(lab.rig.clusters.clone());
    let left = later.leftovers(&target(WEB)).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].what, "NetworkChaos suture-exp-3-1-latency in namespace prod");
    assert_eq!((left[0].experiment.as_str(), left[0].is_going), ("EXP-3", false));
    let written = serde_json::to_string(&fault).unwrap();
    let fault = serde_json::from_str(&written).unwrap();
    later.take_out("EXP-3.1", &fault).await.unwrap();
    assert_eq!(later.leftovers(&target(WEB)).await.unwrap(), []);
}

#[tokio::test]
async fn an_object_of_that_name_that_is_not_ours_is_neither_taken_for_ours_nor_deleted() {
    let lab = Lab::new().await;
    let fault = lab.aimed(WEB, latency(), MINUTE).await;
    let pod = &fault.instances[0];
    lab.cluster().put(&json!({
        "apiVersion": "chaos-mesh.org/v1alpha1", "kind": "NetworkChaos",
        "metadata": {"name": "suture-exp-3-1-latency", "namespace": "prod",
            "labels": {"app.kubernetes.io/managed-by": "suture", "suture.dev/experiment": "EXP-3"}},
        "spec": {"action": "partition", "mode": "all", "direction": "both", "selector": {"pods": {"prod": [pod]}}},
    }));
    let error = lab.injector.put_in("EXP-3.1", &fault).await.unwrap_err().to_string();
    assert!(error.contains("is not of this experiment"), "{error}");
    let said = lab.injector.take_out("EXP-3.1", &fault).await.unwrap();
    assert!(said.contains("left alone"), "{said}");
    gone(lab.injector.renew("EXP-3.1", &fault, MINUTE).await);
    assert_eq!(lab.cluster().chaos("prod").len(), 1);
}

#[tokio::test]
async fn without_a_renewal_it_is_taken_out_and_with_renewals_it_stays() {
    let lab = Lab::new().await;
    let fault = lab.delayed().await;
    // At the daemon's pace, and for longer than a lease.
    let (mut pace, began) = (tokio::time::interval(RENEW_EVERY), Instant::now());
    while began.elapsed() < LEASE + RENEW_EVERY {
        pace.tick().await;
        lab.injector.renew("EXP-3.1", &fault, MINUTE).await.unwrap();
    }
    lab.cluster().until("the lease is over", |c| c.chaos("prod").is_empty().then_some(())).await;
    let why = gone(lab.injector.renew("EXP-3.1", &fault, MINUTE).await);
    assert!(why.contains("its lease ran out"), "{why}");
}

#[tokio::test]
async fn without_suture_chaos_mesh_ends_it_at_the_end_of_its_time() {
    let lab = Lab::new().await;
    let fault = lab.aimed(WEB, latency(), Duration::from_millis(600)).await;
    lab.injector.put_in("EXP-3.1", &fault).await.unwrap();
    let stopped =
        |c: &crate::harness::kube::FakeCluster| c.get(OBJECT)["status"]["experiment"]["desiredPhase"] == "Stop";
    lab.cluster().until("its time is over", |c| stopped(c).then_some(())).await;
    let why = gone(lab.injector.renew("EXP-3.1", &fault, MINUTE).await);
    assert!(why.contains("its time is over"), "{why}");
    assert!(lab.injector.take_out("EXP-3.1", &fault).await.unwrap().contains("is gone"));
}

#[tokio::test]
async fn what_somebody_else_deletes_or_pauses_is_gone() {
    let lab = Lab::new().await;
    let fault = lab.delayed().await;
    let pause = json!({"metadata": {"annotations": {"experiment.chaos-mesh.org/pause": "true"}}});
    lab.cluster().patch(OBJECT, &pause);
    let paused =
        |c: &crate::harness::kube::FakeCluster| c.get(OBJECT)["status"]["experiment"]["desiredPhase"] == "Stop";
    lab.cluster().until("it is paused", |c| paused(c).then_some(())).await;
    assert!(gone(lab.injector.renew("EXP-3.1", &fault, MINUTE).await).contains("paused by somebody else"));
    lab.cluster().delete(OBJECT);
    lab.cluster().until("it is gone", |c| c.find(OBJECT).is_none().then_some(())).await;
    assert!(gone(lab.injector.renew("EXP-3.1", &fault, MINUTE).await).contains("somebody deleted it"));
    assert!(lab.injector.take_out("EXP-3.1", &fault).await.is_ok());
}

#[tokio::test]
async fn a_pod_that_goes_in_the_middle_takes_the_fault_with_it() {
    let lab = Lab::new().await;
    let fault = lab.delayed().await;
    lab.cluster().delete(&format!("/api/v1/namespaces/prod/pods/{}", fault.instances[0]));
    let why = gone(lab.injector.renew("EXP-3.1", &fault, MINUTE).await);
    assert!(why.contains(&fault.instances[0]) && why.contains("went away"), "{why}");
    assert!(lab.injector.take_out("EXP-3.1", &fault).await.unwrap().contains("is gone"));
    assert_eq!(lab.cluster().refused(), [""; 0]);
}

#[tokio::test]
async fn a_stuck_finalizer_is_told_within_two_seconds_with_what_to_do_and_never_removed() {
    let lab = Lab::new().await;
    let fault = lab.delayed().await;
    lab.cluster().chaos_stuck(true);
    let began = Instant::now();
    let error = lab.injector.take_out("EXP-3.1", &fault).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert!(matches!(error, InjectError::Unavailable(..)), "{error:?}");
    let error = error.to_string();
    let annotate = "kubectl annotate networkchaos suture-exp-3-1-latency --namespace prod \
                    chaos-mesh.chaos-mesh.org/cleanFinalizer=forced";
    for part in [annotate, "kubectl describe networkchaos", "connection refused", &fault.instances[0]] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(lab.injector.leftovers(&target(WEB)).await.unwrap()[0].is_going);
    // In again it does not go while it is on its way out.
    let error = lab.injector.put_in("EXP-3.1", &fault).await.unwrap_err().to_string();
    assert!(error.contains("still being deleted"), "{error}");
    let methods: Vec<_> = lab.cluster().requests().into_iter().filter(|r| r.path.starts_with(NETWORK)).collect();
    assert!(methods.iter().all(|request| request.method != "PATCH" && request.method != "PUT"));
    lab.cluster().chaos_stuck(false);
    lab.cluster().until("it is cleaned up", |c| c.find(OBJECT).is_none().then_some(())).await;
    assert!(lab.injector.take_out("EXP-3.1", &fault).await.unwrap().contains("is not there"));
}

#[tokio::test]
async fn what_does_not_go_in_is_out_again_and_why_is_told() {
    for (message, trouble) in [("rpc error: no such device", true), ("found no pod", false)] {
        let lab = Lab::new().await;
        match trouble {
            true => lab.cluster().chaos_fails(message),
            false => lab.cluster().chaos_blind(),
        }
        let fault = lab.aimed(WEB, latency(), MINUTE).await;
        let error = lab.injector.put_in("EXP-3.1", &fault).await.unwrap_err();
        assert!(matches!(&error, InjectError::Refused(why) if why.contains(message)), "{error:?}");
        assert!(lab.cluster().chaos("prod").is_empty());
    }
}

#[tokio::test]
async fn a_pod_that_was_replaced_since_it_was_chosen_is_not_hit() {
    let lab = Lab::new().await;
    let fault = lab.aimed(WEB, Fault::Hang, MINUTE).await;
    lab.cluster().delete(&format!("/api/v1/namespaces/prod/pods/{}", fault.instances[0]));
    let error = lab.injector.put_in("EXP-3.1", &fault).await.unwrap_err().to_string();
    assert!(error.contains("plan the experiment anew"), "{error}");
    assert!(lab.cluster().chaos("prod").is_empty());
}

#[tokio::test]
async fn a_cluster_that_is_away_is_unavailable_and_nothing_is_called_out() {
    let lab = Lab::new().await;
    let fault = lab.delayed().await;
    lab.cluster().down(true);
    for error in [
        lab.injector.take_out("EXP-3.1", &fault).await.unwrap_err(),
        lab.injector.renew("EXP-3.1", &fault, MINUTE).await.unwrap_err(),
        lab.injector.offers(&target(WEB)).await.unwrap_err(),
    ] {
        assert!(matches!(&error, InjectError::Unavailable(who, _) if who == "the cluster test"), "{error:?}");
    }
    lab.cluster().down(false);
    lab.injector.take_out("EXP-3.1", &fault).await.unwrap();
}

#[tokio::test]
async fn a_namespace_that_is_gone_is_no_error() {
    let lab = Lab::new().await;
    let fault = lab.delayed().await;
    lab.cluster().serve_only("chaos-mesh.org", &[]);
    assert!(lab.injector.take_out("EXP-3.1", &fault).await.unwrap().contains("is not there"));
}

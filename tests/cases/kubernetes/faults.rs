//! What happens when the API server, or somebody else, does something in the middle.

use std::time::Duration;

use serde_json::json;
use suture::act::{ActError, Actuator as _, Progress};
use suture::model::Facet;
use tokio::sync::mpsc;

use super::{Rig, WEB, WEB_PATH, quickly, rollout, scale, target};
use crate::harness::kube::Fault;

const SCALE: &str = "*/deployments/web/scale";

async fn with_web() -> Rig {
    let rig = Rig::new().await;
    rig.cluster.deploy("prod", "web", 2);
    rig.cluster.settled("prod", "web").await;
    rig
}

#[tokio::test]
async fn an_object_that_changed_elsewhere_is_read_again_and_changed_all_the_same() {
    let rig = with_web().await;
    let patch = json!({"metadata": {"annotations": {"touched": "yes"}}});
    rig.cluster.fault(Fault::Meanwhile { path: WEB_PATH.to_owned(), patch }).on("PATCH", SCALE).times(1);
    rig.act(&scale(WEB, 3)).await.receipt();
    assert_eq!((rig.cluster.replicas("prod", "web"), rig.changes()), (3, 2));
}

#[tokio::test]
async fn a_number_that_somebody_changes_in_the_same_breath_is_a_conflict() {
    let rig = with_web().await;
    let patch = json!({"spec": {"replicas": 5}});
    rig.cluster.fault(Fault::Meanwhile { path: WEB_PATH.to_owned(), patch }).on("PATCH", SCALE).times(1);
    let error = rig.act(&scale(WEB, 3)).await.error();
    assert!(matches!(&error, ActError::Conflict { found, .. } if found == "5"), "{error:?}");
    assert_eq!(rig.cluster.replicas("prod", "web"), 5);
}

#[tokio::test]
async fn a_server_that_fails_after_the_effect_is_not_asked_twice() {
    let faults = [Fault::AfterEffect(500), Fault::AfterEffect(503), Fault::DropAfterEffect];
    for fault in faults {
        let rig = with_web().await;
        rig.cluster.fault(fault.clone()).on("PATCH", SCALE).times(1);
        let error = rig.act(&scale(WEB, 3)).await.error();
        assert!(matches!(error, ActError::OutcomeUnknown(..)), "{fault:?}: {error:?}");
        assert_eq!((rig.changes(), rig.observe(WEB).await.replicas), (1, 3), "{fault:?}");
        let again = rig.act_from(&scale(WEB, 3), &Facet::Replicas(2)).await.receipt();
        assert!(again.contains("already"), "{again}");
    }
}

#[tokio::test]
async fn a_server_that_asks_to_wait_is_told_with_the_time() {
    let rig = with_web().await;
    rig.cluster.fault(Fault::Throttle(9)).on("PATCH", SCALE).times(1);
    let error = rig.act(&scale(WEB, 3)).await.error();
    assert!(
        matches!(error, ActError::Throttled { wait: Some(wait), .. } if wait == Duration::from_secs(9)),
        "{error:?}"
    );
    assert_eq!((rig.changes(), rig.cluster.replicas("prod", "web")), (1, 2));
}

#[tokio::test]
async fn a_server_that_is_down_is_unavailable_and_works_when_it_is_back() {
    let rig = with_web().await;
    rig.observe(WEB).await;
    rig.cluster.down(true);
    let error = rig.actuator.observe(&target(WEB)).await.unwrap_err();
    assert!(matches!(&error, ActError::Unavailable(who, _) if who == "the cluster test"), "{error:?}");
    let error = rig.act_from(&scale(WEB, 3), &Facet::Replicas(2)).await.error();
    assert!(matches!(error, ActError::Unavailable(..)), "{error:?}");
    rig.cluster.down(false);
    assert_eq!(rig.observe(WEB).await.replicas, 2);
}

#[tokio::test]
async fn a_server_that_goes_down_while_a_change_takes_effect_is_waited_for() {
    let rig = with_web().await;
    rig.cluster.pace(Duration::from_millis(1500));
    let action = rollout(WEB);
    let before = action.facet(&rig.observe(WEB).await).unwrap();
    let (sender, mut lines) = mpsc::channel(64);
    let progress = Progress::to(sender);
    let (done, said) = tokio::join!(rig.actuator.apply(&action, &before, "RUN-1/0", &progress), async {
        rig.cluster
            .until("it has begun", |c| {
                c.requests().iter().any(|r| r.method == "PATCH" && r.status == 200).then_some(())
            })
            .await;
        rig.cluster.down(true);
        // It stays down until that was noticed.
        let mut said = Vec::new();
        while !said.iter().any(|line: &String| line.contains("cannot look")) {
            said.push(tokio::time::timeout(Duration::from_secs(60), lines.recv()).await.expect("a line").unwrap());
        }
        rig.cluster.down(false);
        said
    });
    done.unwrap_or_else(|error| panic!("{error}; it said {said:?}"));
}

#[tokio::test]
async fn watches_that_expire_or_are_cut_do_not_stop_the_waiting() {
    let rig = with_web().await;
    rig.cluster.pace(Duration::from_millis(600));
    let action = rollout(WEB);
    let (done, ()) = tokio::join!(rig.act(&action), async {
        rig.cluster.until("it is watched", |c| c.requests().iter().any(|r| r.verb == "watch").then_some(())).await;
        rig.cluster.expire_watches();
        rig.cluster.cut_watches();
    });
    done.receipt();
}

#[tokio::test]
async fn without_the_right_to_watch_it_is_looked_at_again_and_again() {
    let rig = with_web().await;
    rig.cluster.fault(Fault::Status(403)).on("watch", "*").always();
    rig.act(&scale(WEB, 3)).await.receipt();
    assert_eq!(rig.cluster.ready("prod", "web"), 3);
}

#[tokio::test]
async fn a_target_that_is_deleted_in_the_middle_is_gone() {
    let rig = with_web().await;
    rig.cluster.pace(Duration::from_secs(20));
    let action = rollout(WEB);
    let (done, ()) = tokio::join!(rig.act(&action), async {
        rig.cluster
            .until("it has begun", |c| {
                c.requests().iter().any(|r| r.method == "PATCH" && r.status == 200).then_some(())
            })
            .await;
        rig.cluster.delete(WEB_PATH);
    });
    let error = done.error();
    assert!(matches!(error, ActError::NotFound(_)), "{error:?}");
}

#[tokio::test]
async fn what_the_server_finds_wrong_is_told_and_did_not_happen() {
    let rig = with_web().await;
    rig.cluster.fault(Fault::Status(422)).on("PATCH", SCALE).times(1);
    let error = rig.act(&scale(WEB, 3)).await.error();
    assert!(matches!(error, ActError::Unsupported(_)), "{error:?}");
}

#[tokio::test]
async fn a_change_that_takes_too_long_leaves_the_outcome_open() {
    let rig = with_web().await.knowing(vec![quickly(WEB, Duration::from_secs(1))]);
    rig.cluster.pace(Duration::from_secs(60));
    let error = rig.act(&scale(WEB, 3)).await.error();
    assert!(matches!(error, ActError::OutcomeUnknown(..)), "{error:?}");
    assert!(error.to_string().contains("not in effect after 1.0 s"), "{error}");
}

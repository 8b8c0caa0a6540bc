//! What is watched: the pods of a service, and the workloads that come and go.

use std::collections::BTreeSet;
use std::time::Duration;

use suture::collect::kubernetes::KubernetesSource;
use suture::collect::{Gathered, KubernetesSourceSettings, Making, Pool, Source as _, SourceError};
use suture::platform::kubernetes::watch_workloads;

use super::{Rig, WEB, WEB_PATH, target};
use crate::harness::kube::{Fault, Hang};

fn source(rig: &Rig, name: &str) -> KubernetesSource {
    let settings = KubernetesSourceSettings { watch: target(name), metric: Default::default() };
    let pool = Pool { clusters: rig.clusters.clone(), ..Pool::default() };
    let making = Making { timeout: Duration::from_secs(5), interval: Duration::from_secs(10), pool };
    KubernetesSource::new(&settings, &making).expect("a source")
}

async fn with_web() -> Rig {
    let rig = Rig::new().await;
    rig.cluster.deploy("prod", "web", 3);
    rig.cluster.settled("prod", "web").await;
    rig
}

/// Reads until the answer is as wanted.
async fn read_until(
    source: &mut KubernetesSource,
    what: &str,
    is_so: impl Fn(&Result<Gathered, SourceError>) -> bool,
) -> Result<Gathered, SourceError> {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let answer = source.read().await;
        if is_so(&answer) {
            return answer;
        }
        assert!(std::time::Instant::now() < deadline, "not in time: {what}; last {answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn value(answer: &Result<Gathered, SourceError>, metric: &str) -> Option<f64> {
    answer.as_ref().ok()?.values.get(metric).copied()
}

#[tokio::test]
async fn the_pods_of_a_workload_are_metrics_and_a_round_costs_no_call() {
    let rig = with_web().await;
    let mut source = source(&rig, WEB);
    let first = source.read().await.unwrap();
    let told = |gathered: &Gathered, metric: &str| gathered.values.get(metric).copied();
    assert_eq!(told(&first, "pods_ready_ratio"), Some(1.0));
    assert_eq!((told(&first, "replicas_wanted"), told(&first, "replicas_ready")), (Some(3.0), Some(3.0)));
    assert_eq!(told(&first, "pods_restarts_per_minute"), None);
    assert_eq!(first.by_instance.len(), 3);
    assert!(first.values.keys().all(|metric| first.specs.contains_key(metric)));
    // Two lists and two watches, once.
    rig.cluster
        .until("both are watched", |c| (c.requests().iter().filter(|r| r.verb == "watch").count() == 2).then_some(()))
        .await;
    let asked = rig.cluster.requests().len();
    for _ in 0..10 {
        source.read().await.unwrap();
    }
    assert_eq!(rig.cluster.requests().len(), asked);
    assert_eq!(rig.cluster.refused(), [""; 0]);
}

#[tokio::test]
async fn restarts_and_kills_for_want_of_memory_are_seen() {
    let rig = with_web().await;
    let mut source = source(&rig, WEB);
    source.read().await.unwrap();
    let pod = rig.cluster.pod_names("prod", "web").remove(0);
    rig.cluster.restart_container("prod", &pod, "OOMKilled");
    let seen = read_until(&mut source, "the kill", |a| value(a, "pods_oom_kills") == Some(1.0)).await.unwrap();
    assert!(seen.values["pods_restarts_per_minute"] > 0.0);
    assert_eq!(seen.by_instance[&pod]["pods_oom_kills"], 1.0);
    let after = source.read().await.unwrap();
    assert_eq!(after.values["pods_oom_kills"], 0.0);
}

#[tokio::test]
async fn pods_that_are_pending_or_wait_are_counted() {
    let rig = with_web().await;
    let mut source = source(&rig, WEB);
    source.read().await.unwrap();
    rig.cluster.hang("prod", "web", Hang::ImagePull);
    rig.cluster.patch(WEB_PATH, &serde_json::json!({"spec": {"replicas": 4}}));
    let seen = read_until(&mut source, "one waits", |a| value(a, "pods_waiting") == Some(1.0)).await.unwrap();
    assert_eq!((seen.values["pods_pending"], seen.values["pods_not_ready"]), (1.0, 1.0));
    assert_eq!(seen.values["pods_ready_ratio"], 0.75);
}

#[tokio::test]
async fn a_cluster_that_is_away_is_an_error_and_not_an_old_value() {
    let rig = with_web().await;
    let mut source = source(&rig, WEB);
    source.read().await.unwrap();
    rig.cluster.down(true);
    let error = read_until(&mut source, "an error", Result::is_err).await.unwrap_err();
    assert!(error.why.contains("the cluster test"), "{error}");
    rig.cluster.down(false);
    read_until(&mut source, "values again", Result::is_ok).await.unwrap();
}

#[tokio::test]
async fn watches_that_expire_begin_with_a_new_list() {
    let rig = with_web().await;
    let mut source = source(&rig, WEB);
    source.read().await.unwrap();
    rig.cluster
        .until("both are watched", |c| (c.requests().iter().filter(|r| r.verb == "watch").count() == 2).then_some(()))
        .await;
    rig.cluster.expire_watches();
    rig.cluster.fault(Fault::ExpireWatch).on("watch", "*").times(1);
    rig.cluster.patch(WEB_PATH, &serde_json::json!({"spec": {"replicas": 1}}));
    let seen = read_until(&mut source, "one is left", |a| value(a, "replicas_ready") == Some(1.0)).await.unwrap();
    assert_eq!(seen.by_instance.len(), 1);
}

#[tokio::test]
async fn what_does_not_exist_or_has_no_pods_is_told() {
    let rig = with_web().await;
    let error = source(&rig, "prod/deployment/none").read().await.unwrap_err();
    assert!(error.why.contains("Deployment none does not exist in prod"), "{error}");
    let settings = KubernetesSourceSettings { watch: target("prod/configmap/web"), metric: Default::default() };
    let making = Making { pool: Pool { clusters: rig.clusters.clone(), ..Pool::default() }, ..Making::default() };
    assert!(KubernetesSource::new(&settings, &making).unwrap_err().why.contains("has no pods"));
}

#[tokio::test]
async fn a_source_that_is_dropped_stops_watching() {
    let rig = with_web().await;
    let mut first = source(&rig, WEB);
    first.read().await.unwrap();
    drop(first);
    rig.cluster.cut_watches();
    // A request may have been on its way. One that watches on asks again and again.
    for _ in 0..5 {
        let asked = rig.cluster.requests().len();
        tokio::time::sleep(Duration::from_secs(1)).await;
        if rig.cluster.requests().len() == asked {
            return;
        }
    }
    panic!("it watches on: {:?}", rig.cluster.requests());
}

#[tokio::test]
async fn workloads_are_found_by_label_and_as_they_come_and_go() {
    let rig = with_web().await;
    rig.cluster.stateful("prod", "db", 1);
    rig.cluster.deploy("other", "web", 1);
    let set = |names: &[&str]| names.iter().map(|name| target(name)).collect::<BTreeSet<_>>();
    let all = set(&[WEB, "prod/statefulset/db"]);
    let mut labelled = watch_workloads(&rig.clusters, Some("test"), Some("prod"), Some("app=web")).unwrap();
    assert_eq!(labelled.sets.recv().await.unwrap(), set(&[WEB]));
    let mut everywhere = watch_workloads(&rig.clusters, Some("test"), None, Some("app=web")).unwrap();
    assert_eq!(everywhere.sets.recv().await.unwrap(), set(&[WEB, "other/deployment/web"]));
    let mut watched = watch_workloads(&rig.clusters, Some("test"), Some("prod"), None).unwrap();
    assert_eq!(watched.sets.recv().await.unwrap(), all);
    rig.cluster.deploy("prod", "shop", 1);
    let mut now = watched.sets.recv().await.unwrap();
    assert!(now.contains(&target("prod/deployment/shop")), "{now:?}");
    rig.cluster.delete("/apis/apps/v1/namespaces/prod/deployments/shop");
    while now.contains(&target("prod/deployment/shop")) {
        now = watched.sets.recv().await.unwrap();
    }
    assert_eq!(now, all);
}

//! Turns the pods of a workload into metrics.
//!
//! Pure but for what it remembers of the round before: restarts and kills are told as what happened since. In the first
//! round there is no before, and so there are none. Called by the source.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::collect::Gathered;
use crate::model::{Badness, MetricSpec};
use crate::platform::kubernetes::{Kind, Place, Pod, Workload};

const READY_RATIO: &str = "pods_ready_ratio";
const NOT_READY: &str = "pods_not_ready";
const PENDING: &str = "pods_pending";
const WAITING: &str = "pods_waiting";
const RESTARTS: &str = "pods_restarts_per_minute";
const OOM_KILLS: &str = "pods_oom_kills";
const WANTED: &str = "replicas_wanted";
const READY: &str = "replicas_ready";

/// All of them.
pub(super) const METRICS: [&str; 8] = [READY_RATIO, NOT_READY, PENDING, WAITING, RESTARTS, OOM_KILLS, WANTED, READY];

/// What is known of a metric.
pub(super) fn spec(metric: &str) -> MetricSpec {
    let (bad, unit, floor) = match metric {
        // Under one pod of a hundred.
        READY_RATIO => (Badness::Low, "ratio", 0.01),
        READY => (Badness::Low, "", 1.0),
        // How many are wanted is somebody's wish, not the service's health.
        WANTED => (Badness::Never, "", 1.0),
        RESTARTS => (Badness::High, "1/min", 0.1),
        _ => (Badness::High, "", 1.0),
    };
    MetricSpec { bad, unit: unit.to_owned(), floor, limit: None }
}

/// What the round before saw.
#[derive(Debug, Default)]
pub(super) struct Before {
    at: Option<Instant>,
    /// By the pod's own identity, for names come back.
    pods: BTreeMap<String, Counts>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    restarts: u32,
    /// The last end for want of memory, by container.
    kills: BTreeMap<String, String>,
}

/// Measures the pods that are the workload's own.
pub(super) fn measure<'a>(
    place: &Place,
    workload: &Workload,
    pods: impl Iterator<Item = &'a Pod>,
    before: &mut Before,
    now: Instant,
) -> Gathered {
    let mut gathered = Gathered::default();
    let minutes = before.at.map(|at| now.saturating_duration_since(at).as_secs_f64() / 60.0).filter(|m| *m > 0.0);
    let mut counted = BTreeMap::new();
    let mut sums: BTreeMap<&str, f64> = [NOT_READY, PENDING, WAITING].map(|name| (name, 0.0)).into();
    let mut ready = 0.0;
    for pod in pods.filter(|pod| is_own(place, workload, pod) && !pod.metadata.is_going() && !pod.has_ended()) {
        let counts = counts(pod);
        let flag = |is: bool| if is { 1.0 } else { 0.0 };
        let mut values = BTreeMap::from([
            (READY_RATIO, flag(pod.is_ready())),
            (NOT_READY, flag(!pod.is_ready())),
            (PENDING, flag(pod.status.phase == "Pending")),
            (WAITING, flag(pod.waits().next().is_some())),
        ]);
        if let Some(minutes) = minutes {
            // A pod that is new has counted from nothing.
            let earlier = before.pods.get(&pod.metadata.uid).cloned().unwrap_or_default();
            values.insert(RESTARTS, f64::from(counts.restarts.saturating_sub(earlier.restarts)) / minutes);
            let kills = counts.kills.iter().filter(|(name, end)| earlier.kills.get(*name) != Some(*end)).count();
            values.insert(OOM_KILLS, number(kills));
        }
        ready += flag(pod.is_ready());
        for (name, value) in values.iter().filter(|(name, _)| **name != READY_RATIO) {
            *sums.entry(name).or_default() += value;
        }
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        gathered.by_instance.insert(pod.metadata.name.clone(), values);
        counted.insert(pod.metadata.uid.clone(), counts);
    }
    if minutes.is_some() {
        sums.entry(RESTARTS).or_default();
        sums.entry(OOM_KILLS).or_default();
    }
    let wanted = f64::from(workload.wanted());
    sums.insert(WANTED, wanted);
    sums.insert(READY, ready);
    // Nothing is missing where nothing is wanted; more than all, during a rollout, is all.
    sums.insert(READY_RATIO, if wanted > 0.0 { (ready / wanted).min(1.0) } else { 1.0 });
    gathered.values = sums.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    *before = Before { at: Some(now), pods: counted };
    gathered
}

fn number(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::MAX, f64::from)
}

/// A selector may match strangers. A ReplicaSet is called after its Deployment and the hash that its pods are labelled with.
fn is_own(place: &Place, workload: &Workload, pod: &Pod) -> bool {
    let Some(owner) = pod.metadata.controller() else { return false };
    match place.kind {
        Kind::Deployment => {
            let hash = pod.metadata.labels.get("pod-template-hash").map_or("", String::as_str);
            owner.kind == "ReplicaSet" && owner.name == format!("{}-{hash}", place.name)
        }
        _ => owner.uid == workload.metadata.uid,
    }
}

fn counts(pod: &Pod) -> Counts {
    let mut counts = Counts::default();
    for container in pod.containers() {
        counts.restarts = counts.restarts.saturating_add(container.restart_count);
        let ends = [&container.state.terminated, &container.last_state.terminated];
        if let Some(end) = ends.into_iter().flatten().find(|end| end.reason == "OOMKilled") {
            let when = end.finished_at.clone().unwrap_or_default();
            counts.kills.insert(container.name.clone(), format!("{when} {}", end.container_id));
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_value, json};
    use std::time::Duration;

    fn place() -> Place {
        Place::of(&"k8s:prod/deployment/web".parse().unwrap()).unwrap()
    }

    fn workload(replicas: u32) -> Workload {
        from_value(json!({"spec": {"replicas": replicas}})).unwrap()
    }

    fn pod(name: &str, ready: bool, containers: Value) -> Pod {
        from_value(json!({
            "metadata": {"name": name, "uid": name, "labels": {"pod-template-hash": "7d9"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "web-7d9", "uid": "rs", "controller": true}]},
            "status": {"phase": if ready { "Running" } else { "Pending" }, "containerStatuses": containers,
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}
        }))
        .unwrap()
    }

    fn killed(restarts: u32, at: &str) -> Value {
        json!([{"name": "app", "restartCount": restarts,
            "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137, "finishedAt": at}}}])
    }

    #[test]
    fn pods_are_counted_and_strangers_are_not() {
        let crash = json!([{"name": "app", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]);
        let mut stranger = pod("job-1", false, json!([]));
        stranger.metadata.owner_references.clear();
        let pods = [pod("web-1", true, json!([])), pod("web-2", false, crash), stranger];
        let gathered = measure(&place(), &workload(4), pods.iter(), &mut Before::default(), Instant::now());
        let values: Vec<_> = gathered.values.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let expected =
            [(NOT_READY, 1.0), (PENDING, 1.0), (READY_RATIO, 0.25), (WAITING, 1.0), (READY, 1.0), (WANTED, 4.0)];
        assert_eq!(values, expected);
        assert_eq!(gathered.by_instance["web-2"][WAITING], 1.0);
        assert_eq!(gathered.by_instance.len(), 2);
    }

    #[test]
    fn restarts_and_kills_are_those_since_the_round_before() {
        let (mut before, start) = (Before::default(), Instant::now());
        let mut round = |pods: &[Pod], at: u64| {
            let now = start + Duration::from_secs(at);
            let gathered = measure(&place(), &workload(2), pods.iter(), &mut before, now);
            (gathered.values.get(RESTARTS).copied(), gathered.values.get(OOM_KILLS).copied())
        };
        let first = [pod("web-1", true, killed(5, "10:00"))];
        assert_eq!(round(&first, 0), (None, None));
        assert_eq!(round(&first, 30), (Some(0.0), Some(0.0)));
        let later = [pod("web-1", true, killed(6, "10:01")), pod("web-2", true, killed(1, "10:01"))];
        assert_eq!(round(&later, 60), (Some(4.0), Some(2.0)));
        assert_eq!(round(&later, 90), (Some(0.0), Some(0.0)));
        assert_eq!(round(&[], 120), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn what_is_scaled_to_nothing_misses_nothing() {
        let gathered = measure(&place(), &workload(0), [].into_iter(), &mut Before::default(), Instant::now());
        assert_eq!(gathered.values[READY_RATIO], 1.0);
    }
}

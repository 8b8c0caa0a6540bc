//! ReplicaSets: as many pods as wanted.

use serde_json::{Value, json};

use super::super::kinds;
use super::super::life::{Hang, set_condition};
use super::super::store::{Key, State};
use super::{active, controller, count, ending, keys, number, pod, pods_of, ready};

pub fn step(state: &mut State) {
    for key in keys(state, kinds::REPLICA_SET) {
        one(state, &key);
    }
}

fn one(state: &mut State, key: &Key) {
    let Some(set) = state.get(key).cloned() else { return };
    let all = pods_of(state, key, &set);
    let mine: Vec<(Key, Value)> = all
        .into_iter()
        .filter_map(|key| state.get(&key).cloned().map(|pod| (key, pod)))
        .filter(|(_, pod)| active(pod))
        .collect();
    let wanted = usize::try_from(number(&set, "/spec/replicas")).unwrap_or(0);
    let mut failure = None;
    if !ending(&set) {
        if mine.len() < wanted {
            failure = create(state, key, &set, wanted - mine.len());
        } else if mine.len() > wanted {
            let surplus = mine.len() - wanted;
            let mut ranked: Vec<&(Key, Value)> = mine.iter().collect();
            ranked.sort_by_key(|(key, pod)| rank(key, pod));
            for (key, _) in ranked.into_iter().take(surplus) {
                let _ = state.delete(key, &json!({}), false);
            }
        }
    }
    let up = mine.iter().filter(|(_, pod)| ready(pod)).count() as i64;
    let there = mine.len() as i64;
    let generation = number(&set, "/metadata/generation");
    let now = state.play.now();
    state.touch(key, |set| {
        if !set["status"].is_object() {
            set["status"] = json!({});
        }
        set["status"]["replicas"] = json!(there);
        count(set, "fullyLabeledReplicas", there);
        count(set, "readyReplicas", up);
        count(set, "availableReplicas", up);
        set["status"]["observedGeneration"] = json!(generation);
        match &failure {
            Some(message) => set_condition(set, "ReplicaFailure", true, "FailedCreate", message, &now),
            None => drop_condition(set, "ReplicaFailure"),
        }
    });
}

/// Makes pods, unless a quota is used up; then says so.
fn create(state: &mut State, key: &Key, set: &Value, missing: usize) -> Option<String> {
    let workload = controller(set).and_then(|owner| owner["name"].as_str()).unwrap_or(&key.name).to_owned();
    if let Some(Hang::Quota(message)) = state.play.hangs.get(&(key.namespace.clone(), workload)) {
        return Some(format!("pods \"{}-\" is forbidden: {message}", key.name));
    }
    for _ in 0..missing {
        let mut pod = pod(key, set, &[]);
        pod["metadata"]["generateName"] = json!(format!("{}-", key.name));
        if let Err(refusal) = state.create(kinds::by_id(kinds::POD), &key.namespace, pod, false) {
            return Some(refusal.message);
        }
    }
    None
}

pub fn drop_condition(object: &mut Value, kind: &str) {
    let Some(status) = object["status"].as_object_mut() else { return };
    let Some(conditions) = status.get_mut("conditions").and_then(Value::as_array_mut) else { return };
    conditions.retain(|one| one["type"] != kind);
    if conditions.is_empty() {
        status.shift_remove("conditions");
    }
}

/// Who goes first: not placed before placed, pending before running, not ready before ready, cheap before dear, often
/// restarted before seldom, young before old.
fn rank(key: &Key, pod: &Value) -> (bool, bool, bool, i64, i64, std::cmp::Reverse<String>, std::cmp::Reverse<String>) {
    let placed = pod.pointer("/spec/nodeName").is_some();
    let running = pod.pointer("/status/phase").is_some_and(|phase| phase == "Running");
    let cost = pod.pointer("/metadata/annotations/controller.kubernetes.io~1pod-deletion-cost");
    let cost = cost.and_then(Value::as_str).and_then(|cost| cost.parse().ok()).unwrap_or(0);
    let restarts = number(pod, "/status/containerStatuses/0/restartCount");
    let born = pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned();
    // Of those of one second the one that was made later has the higher version of its making; names tell them apart.
    let uid = format!(
        "{}{}",
        pod["metadata"]["uid"].as_str().and_then(|uid| uid.rsplit('-').next()).unwrap_or_default(),
        key.name
    );
    (placed, running, ready(pod), cost, -restarts, std::cmp::Reverse(born), std::cmp::Reverse(uid))
}

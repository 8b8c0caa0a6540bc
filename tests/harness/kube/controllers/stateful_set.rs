//! StatefulSets: pods with stable names, one after the other.

use serde_json::{Value, json};

use super::super::kinds;
use super::super::life::Hang;
use super::super::store::{Key, State};
use super::{active, count, ending, hash, keys, number, pod, pods_of, ready};

const REVISION: &str = "controller-revision-hash";

pub fn step(state: &mut State) {
    for key in keys(state, kinds::STATEFUL_SET) {
        one(state, &key);
    }
}

fn one(state: &mut State, key: &Key) {
    let Some(set) = state.get(key).cloned() else { return };
    if ending(&set) {
        return;
    }
    let update = format!("{}-{}", key.name, hash(&set["spec"]["template"]));
    let current = set.pointer("/status/currentRevision").and_then(Value::as_str).unwrap_or(&update).to_owned();
    let all = pods_of(state, key, &set);
    let mine: Vec<(i64, Key, Value)> = all
        .into_iter()
        .filter_map(|pod_key| {
            let ordinal = pod_key.name.strip_prefix(&key.name)?.strip_prefix('-')?.parse().ok()?;
            let pod = state.get(&pod_key)?.clone();
            Some((ordinal, pod_key, pod))
        })
        .collect();
    let wanted = number(&set, "/spec/replicas");
    let parallel = set.pointer("/spec/podManagementPolicy") == Some(&json!("Parallel"));
    act(state, key, &set, &mine, wanted, parallel, &update, &current);

    let living: Vec<&(i64, Key, Value)> = mine.iter().filter(|(_, _, pod)| active(pod)).collect();
    let of = |revision: &str| living.iter().filter(|(_, _, pod)| revision_of(pod) == revision).count() as i64;
    let up = living.iter().filter(|(_, _, pod)| ready(pod)).count() as i64;
    let (there, updated) = (living.len() as i64, of(&update));
    let done = updated == wanted && up == wanted && there == wanted;
    let old = if current == update { updated } else { of(&current) };
    let generation = number(&set, "/metadata/generation");
    state.touch(key, |set| {
        if !set["status"].is_object() {
            set["status"] = json!({});
        }
        set["status"]["observedGeneration"] = json!(generation);
        set["status"]["replicas"] = json!(there);
        set["status"]["collisionCount"] = json!(0);
        count(set, "readyReplicas", up);
        set["status"]["availableReplicas"] = json!(up);
        count(set, "updatedReplicas", updated);
        count(set, "currentReplicas", if done { updated } else { old });
        set["status"]["updateRevision"] = json!(update);
        set["status"]["currentRevision"] = json!(if done { &update } else { &current });
    });
}

fn revision_of(pod: &Value) -> &str {
    pod["metadata"]["labels"][REVISION].as_str().unwrap_or_default()
}

/// One thing at a time, unless the pods are managed in parallel.
#[allow(clippy::too_many_arguments, reason = "what one look found out")]
fn act(
    state: &mut State,
    key: &Key,
    set: &Value,
    mine: &[(i64, Key, Value)],
    wanted: i64,
    parallel: bool,
    update: &str,
    current: &str,
) {
    let partition = number(set, "/spec/updateStrategy/rollingUpdate/partition");
    for ordinal in 0..wanted {
        let found = mine.iter().find(|(n, _, _)| *n == ordinal);
        match found {
            None => {
                let revision = if ordinal < partition { current } else { update };
                make(state, key, set, ordinal, revision);
                if !parallel {
                    return;
                }
            }
            Some((_, _, pod)) if !parallel && (ending(pod) || !ready(pod)) => {
                // One that will never be ready, of an old template, is stuck: the real controller waits as well.
                return;
            }
            Some(_) => {}
        }
    }
    let mut surplus: Vec<&(i64, Key, Value)> = mine.iter().filter(|(n, _, _)| *n >= wanted).collect();
    surplus.sort_by_key(|(n, _, _)| std::cmp::Reverse(*n));
    for (_, pod_key, pod) in surplus {
        if !ending(pod) {
            let _ = state.delete(pod_key, &json!({}), false);
        }
        if !parallel {
            return;
        }
    }
    if set.pointer("/spec/updateStrategy/type") == Some(&json!("OnDelete")) {
        return;
    }
    let mut outdated: Vec<&(i64, Key, Value)> =
        mine.iter().filter(|(n, _, _)| *n < wanted && *n >= partition).collect();
    outdated.sort_by_key(|(n, _, _)| std::cmp::Reverse(*n));
    for (_, pod_key, pod) in outdated {
        if revision_of(pod) != update {
            if !ending(pod) {
                let _ = state.delete(pod_key, &json!({}), false);
            }
            return;
        }
        if ending(pod) || !ready(pod) {
            return;
        }
    }
}

/// A pod of this number. While another object has its name there is none, as with the real controller.
fn make(state: &mut State, key: &Key, set: &Value, ordinal: i64, revision: &str) {
    if let Some(Hang::Quota(_)) = state.play.hangs.get(&(key.namespace.clone(), key.name.clone())) {
        return;
    }
    let name = format!("{}-{ordinal}", key.name);
    let index = ordinal.to_string();
    let labels = [
        (REVISION, revision),
        ("statefulset.kubernetes.io/pod-name", name.as_str()),
        ("apps.kubernetes.io/pod-index", index.as_str()),
    ];
    let mut pod = pod(key, set, &labels);
    pod["metadata"]["name"] = json!(name);
    let _ = state.create(kinds::by_id(kinds::POD), &key.namespace, pod, false);
}

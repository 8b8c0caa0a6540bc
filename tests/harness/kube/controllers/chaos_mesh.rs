//! Chaos Mesh's controller: a finalizer first, then records of the pods, a fault in each, conditions, and all of it back.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::chaos_mesh::{FINALIZER, GROUP, duration, is_one_shot, record};
use super::super::kinds::{self, KINDS};
use super::super::life;
use super::super::store::{Key, State, past};
use super::{ending, keys, uid};

pub fn step(state: &mut State) {
    for kind in KINDS.iter().filter(|kind| kind.group == GROUP) {
        for key in keys(state, kind.id) {
            one(state, &key);
        }
    }
}

fn one(state: &mut State, key: &Key) {
    let Some(object) = state.get(key).cloned() else { return };
    let held = object.pointer("/metadata/finalizers").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
    if !held && !ending(&object) {
        state.touch(key, |object| object["metadata"]["finalizers"] = json!([FINALIZER]));
        return;
    }
    let born = *state.play.chaos.born.entry(uid(&object).to_owned()).or_insert_with(Instant::now);
    let lasts = object["spec"]["duration"].as_str().and_then(duration);
    let paused = object["metadata"]["annotations"]["experiment.chaos-mesh.org/pause"] == "true";
    let stop = ending(&object) || !is_one_shot(&object) && (paused || lasts.is_some_and(|lasts| past(born, lasts)));
    let mut records = match object.pointer("/status/experiment/containerRecords").and_then(Value::as_array) {
        Some(records) => records.clone(),
        None if stop => Vec::new(),
        None => select(state, &object),
    };
    for record in &mut records {
        let phase = record["phase"].clone();
        if !stop && phase == "Not Injected" {
            apply(state, &object, record);
        } else if stop && phase == "Injected" {
            recover(state, &object, record);
        }
    }
    let every = |phase: &str| records.iter().all(|record| record["phase"] == phase);
    let (injected, recovered) = (every("Injected"), every("Not Injected"));
    let condition = |kind: &str, status: bool| json!({"type": kind, "status": if status { "True" } else { "False" }});
    let status = json!({
        // As the real one has it: all of nothing is injected, and recovered.
        "conditions": [
            condition("Selected", !records.is_empty()), condition("AllInjected", injected),
            condition("AllRecovered", recovered), condition("Paused", paused),
        ],
        "experiment": if records.is_empty() {
            json!({"desiredPhase": if stop { "Stop" } else { "Run" }})
        } else {
            json!({"desiredPhase": if stop { "Stop" } else { "Run" }, "containerRecords": records})
        },
    });
    let forced = object["metadata"]["annotations"]["chaos-mesh.chaos-mesh.org/cleanFinalizer"] == "forced";
    if ending(&object) && (recovered || forced) {
        state.play.chaos.born.remove(uid(&object));
        state.remove(key);
        return;
    }
    state.touch(key, |object| object["status"] = status);
}

/// The pods that are named and there, with their first named container where it is about containers.
fn select(state: &State, object: &Value) -> Vec<Value> {
    if state.play.chaos.blind {
        return Vec::new();
    }
    let named = object.pointer("/spec/selector/pods").and_then(Value::as_object);
    let pods = named.into_iter().flatten().flat_map(|(namespace, names)| {
        names
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(move |name| Some((namespace.clone(), name.as_str()?.to_owned())))
    });
    let container = object.pointer("/spec/containerNames/0").and_then(Value::as_str);
    pods.filter(|(namespace, name)| state.get(&Key::new(kinds::POD, namespace, name)).is_some())
        .map(|(namespace, name)| match container {
            Some(container) => record(&format!("{namespace}/{name}/{container}")),
            None => record(&format!("{namespace}/{name}")),
        })
        .collect()
}

fn pod(record: &Value) -> Key {
    let id = record["id"].as_str().unwrap_or_default();
    let mut parts = id.split('/');
    Key::new(kinds::POD, parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// One event of a kind is enough here.
fn failed(record: &mut Value, operation: &str, message: &str) {
    record["events"] =
        json!([{"type": "Failed", "operation": operation, "message": message, "timestamp": "2026-01-01T00:00:00Z"}]);
}

fn apply(state: &mut State, object: &Value, record: &mut Value) {
    let pod = pod(record);
    if let Some(message) = state.play.chaos.fails.clone() {
        return failed(record, "Apply", &message);
    }
    if state.get(&pod).is_none() {
        return failed(record, "Apply", &format!("Pod \"{}\" not found", pod.name));
    }
    match object["spec"]["action"].as_str() {
        Some("container-kill") => life::kill_container(state, &pod),
        Some("pod-failure") => life::fail_pod(state, &pod, true),
        _ => {}
    }
    record["phase"] = json!("Injected");
    record["injectedCount"] = json!(1);
    record["events"] = json!([{"type": "Succeeded", "operation": "Apply", "timestamp": "2026-01-01T00:00:00Z"}]);
}

fn recover(state: &mut State, object: &Value, record: &mut Value) {
    if state.play.chaos.stuck {
        return failed(record, "Recover", "rpc error: code = Unavailable desc = connection refused");
    }
    if object["spec"]["action"] == "pod-failure" {
        life::fail_pod(state, &pod(record), false);
    }
    record["phase"] = json!("Not Injected");
    record["recoveredCount"] = json!(1);
}

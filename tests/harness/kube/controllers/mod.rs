//! The controllers: small loops that bring what is nearer to what is wanted, one step a look.

mod autoscaler;
mod budget;
mod chaos_mesh;
mod deployment;
mod endpoints;
mod garbage;
mod replica_set;
mod stateful_set;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::store::{Key, State};
use super::{Shared, kinds, life, objects, selector};

/// Between two looks.
const TICK: Duration = Duration::from_millis(5);
/// So many ticks pass between two looks while nothing changes: what only time moves is seen then.
const IDLE: u32 = 4;

/// Works until it is dropped.
pub async fn run(shared: Arc<Shared>) {
    let (mut seen, mut idle) = (0, 0);
    loop {
        tokio::time::sleep(TICK).await;
        let moved = {
            let mut state = shared.lock();
            idle += 1;
            if state.play.frozen || (state.version == seen && idle < IDLE) {
                continue;
            }
            idle = 0;
            let before = state.version;
            step(&mut state);
            // What this look changed is looked at again, at the next tick.
            seen = before;
            state.version != before
        };
        if moved {
            shared.changed.send_modify(|count| *count += 1);
        }
    }
}

fn step(state: &mut State) {
    chaos_mesh::step(state);
    life::step(state);
    replica_set::step(state);
    stateful_set::step(state);
    deployment::step(state);
    autoscaler::step(state);
    budget::step(state);
    endpoints::step(state);
    garbage::step(state);
}

/// All keys of a kind, to walk over while the state changes.
fn keys(state: &State, kind: &'static str) -> Vec<Key> {
    state.list(kind, None).map(|(key, _)| key.clone()).collect()
}

fn number(object: &Value, path: &str) -> i64 {
    object.pointer(path).and_then(Value::as_i64).unwrap_or(0)
}

fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

/// The owner that manages this object.
fn controller(object: &Value) -> Option<&Value> {
    object.pointer("/metadata/ownerReferences")?.as_array()?.iter().find(|owner| owner["controller"] == true)
}

fn owned_by(object: &Value, owner: &str) -> bool {
    controller(object).is_some_and(|reference| reference["uid"] == owner)
}

fn reference(key: &Key, object: &Value) -> Value {
    json!({
        "apiVersion": object["apiVersion"], "kind": key.kind().kind, "name": key.name,
        "uid": uid(object), "controller": true, "blockOwnerDeletion": true,
    })
}

fn ending(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

/// Whether a pod counts for its controller: it neither ended nor is ending.
fn active(pod: &Value) -> bool {
    !ending(pod) && !matches!(pod.pointer("/status/phase").and_then(Value::as_str), Some("Succeeded" | "Failed"))
}

fn ready(pod: &Value) -> bool {
    objects::condition(pod, "Ready")
}

/// The pods of a workload. Those that its selector no longer takes are let go, and those without a master that it takes
/// are adopted, as the real controllers do.
fn pods_of(state: &mut State, owner_key: &Key, owner: &Value) -> Vec<Key> {
    let owner_uid = uid(owner);
    let wanted = owner.pointer("/spec/selector");
    let mut mine = Vec::new();
    let (mut adopt, mut release) = (Vec::new(), Vec::new());
    for (key, pod) in state.list(kinds::POD, Some(&owner_key.namespace)) {
        let matches = selector::matches(wanted, pod.pointer("/metadata/labels"));
        match controller(pod) {
            Some(reference) if reference["uid"] == owner_uid && matches => mine.push(key.clone()),
            Some(reference) if reference["uid"] == owner_uid => release.push(key.clone()),
            None if matches && active(pod) && !ending(owner) => adopt.push(key.clone()),
            _ => {}
        }
    }
    let uid = json!(owner_uid);
    for key in release {
        state.touch(&key, |pod| super::store::disown(pod, &uid));
    }
    let reference = reference(owner_key, owner);
    for key in adopt {
        state.touch(&key, |pod| {
            let owners = &mut pod["metadata"]["ownerReferences"];
            match owners.as_array_mut() {
                Some(owners) => owners.push(reference.clone()),
                None => *owners = json!([reference]),
            }
        });
        mine.push(key);
    }
    mine
}

/// A pod from a template.
fn pod(owner_key: &Key, owner: &Value, labels: &[(&str, &str)]) -> Value {
    let template = &owner["spec"]["template"];
    let mut metadata = json!({"labels": {}, "annotations": {}});
    for part in ["labels", "annotations"] {
        if let Some(given) = template.pointer(&format!("/metadata/{part}")) {
            metadata[part] = given.clone();
        }
    }
    for (key, value) in labels {
        metadata["labels"][*key] = json!(value);
    }
    metadata["namespace"] = json!(owner_key.namespace);
    metadata["ownerReferences"] = json!([reference(owner_key, owner)]);
    json!({"metadata": metadata, "spec": template["spec"]})
}

/// A number that stands for a template.
fn hash(template: &Value) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    // FNV-1a, 64 bits.
    let mut left = template
        .to_string()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut text = String::new();
    for _ in 0..9 {
        text.push(char::from(LETTERS[(left % 27) as usize]));
        left /= 27;
    }
    text
}

/// A count in a status: none at all is left out, as the real API does where that is allowed.
fn count(object: &mut Value, field: &str, value: i64) {
    let Some(status) = object["status"].as_object_mut() else { return };
    if value == 0 {
        status.shift_remove(field);
    } else {
        status.insert(field.to_owned(), json!(value));
    }
}

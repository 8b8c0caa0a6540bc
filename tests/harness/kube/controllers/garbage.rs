//! What nobody owns any more goes: dependents of objects that are gone, and all of a namespace that is.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::kinds;
use super::super::store::{Key, State};
use super::{ending, uid};

pub fn step(state: &mut State) {
    let uids: BTreeSet<&str> = state.objects.values().map(uid).collect();
    let namespaces: BTreeSet<&str> = state.list(kinds::NAMESPACE, None).map(|(key, _)| key.name.as_str()).collect();
    let gone: Vec<Key> = state
        .objects
        .iter()
        .filter(|(key, object)| {
            let homeless = !key.namespace.is_empty() && !namespaces.contains(key.namespace.as_str());
            let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
            let orphaned = owners.is_some_and(|owners| {
                !owners.is_empty() && owners.iter().all(|one| !uids.contains(one["uid"].as_str().unwrap_or_default()))
            });
            (homeless || orphaned) && !ending(object)
        })
        .map(|(key, _)| key.clone())
        .collect();
    for key in gone {
        let _ = state.delete(&key, &json!({"propagationPolicy": "Background"}), false);
    }
}

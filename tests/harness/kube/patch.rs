//! The three ways to change a part of an object: merge patch (RFC 7386), JSON patch (RFC 6902) and strategic merge
//! patch (kubernetes.io, "Update API Objects in Place Using kubectl patch"), the last as far as the served types use it.

use serde_json::{Map, Value};

use super::refusal::Refusal;

/// RFC 7386.
pub fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(target) = target.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.shift_remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// RFC 6902. All or nothing.
pub fn json_patch(target: &mut Value, patch: &Value) -> Result<(), Refusal> {
    let operations = patch.as_array().ok_or_else(|| Refusal::bad("json patch must be a list of operations"))?;
    if operations.len() > 10_000 {
        return Err(Refusal::too_large("The allowed maximum operations in a JSON patch is 10000"));
    }
    let mut changed = target.clone();
    for operation in operations {
        let text = |key: &str| operation[key].as_str();
        let (Some(op), Some(path)) = (text("op"), text("path")) else {
            return Err(Refusal::bad("json patch: an operation without op or path"));
        };
        let value =
            || operation.get("value").cloned().ok_or_else(|| Refusal::bad("json patch: an operation without value"));
        let does_not_fit = Refusal::patch_does_not_fit;
        let fits = match op {
            "add" => add(&mut changed, path, value()?),
            "remove" => remove(&mut changed, path).map(drop),
            "replace" => {
                let value = value()?;
                changed.pointer_mut(path).map(|place| *place = value)
            }
            "test" => changed.pointer(path).filter(|found| operation.get("value") == Some(found)).map(drop),
            "copy" | "move" => {
                let from = text("from").ok_or_else(|| Refusal::bad("json patch: an operation without from"))?;
                let value = if op == "move" { remove(&mut changed, from) } else { changed.pointer(from).cloned() };
                value.and_then(|value| add(&mut changed, path, value))
            }
            other => return Err(Refusal::bad(format!("json patch: unknown operation {other}"))),
        };
        fits.ok_or_else(does_not_fit)?;
    }
    *target = changed;
    Ok(())
}

/// The place above and the last step to it.
fn parent<'v>(target: &'v mut Value, path: &str) -> Option<(&'v mut Value, String)> {
    let (above, last) = path.rsplit_once('/')?;
    let last = last.replace("~1", "/").replace("~0", "~");
    Some((target.pointer_mut(above)?, last))
}

fn add(target: &mut Value, path: &str, value: Value) -> Option<()> {
    if path.is_empty() {
        *target = value;
        return Some(());
    }
    match parent(target, path)? {
        (Value::Object(map), key) => {
            map.insert(key, value);
            Some(())
        }
        (Value::Array(list), key) => {
            let at = if key == "-" { list.len() } else { key.parse().ok()? };
            (at <= list.len()).then(|| list.insert(at, value))
        }
        _ => None,
    }
}

fn remove(target: &mut Value, path: &str) -> Option<Value> {
    match parent(target, path)? {
        (Value::Object(map), key) => map.shift_remove(&key),
        (Value::Array(list), key) => {
            let at: usize = key.parse().ok()?;
            (at < list.len()).then(|| list.remove(at))
        }
        _ => None,
    }
}

/// Strategic merge: maps merge, named lists merge by their key, other lists are replaced.
pub fn strategic(target: &mut Value, patch: &Value) -> Result<(), Refusal> {
    let Some(patch) = patch.as_object() else {
        return Err(Refusal::bad("a strategic merge patch must be an object"));
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(into) = target.as_object_mut() else { return Ok(()) };
    match patch.get("$patch").and_then(Value::as_str) {
        None | Some("merge") => {}
        Some("replace") => {
            *into = patch.clone();
            into.shift_remove("$patch");
            return Ok(());
        }
        Some("delete") => {
            into.clear();
            return Ok(());
        }
        Some(other) => return Err(Refusal::bad(format!("unknown patch directive: {other}"))),
    }
    if let Some(keep) = patch.get("$retainKeys").and_then(Value::as_array) {
        into.retain(|key, _| keep.iter().any(|kept| kept.as_str() == Some(key)));
    }
    for (key, value) in patch {
        if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(list)), Some(gone)) = (into.get_mut(list), value.as_array()) {
                list.retain(|item| !gone.contains(item));
            }
        } else if key.starts_with('$') {
            // The order of elements, and directives that were read above.
        } else if value.is_null() {
            into.shift_remove(key);
        } else if value.is_object() {
            strategic(into.entry(key.clone()).or_insert(Value::Object(Map::new())), value)?;
        } else if let (Some(wanted), Some(by)) = (value.as_array(), list_key(key, value)) {
            merge_list(into.entry(key.clone()).or_insert(Value::Array(Vec::new())), wanted, by)?;
        } else {
            into.insert(key.clone(), value.clone());
        }
    }
    Ok(())
}

/// By what the elements of this list are told apart; `""` for a set of plain values, nothing for a list that is one value.
fn list_key(list: &str, value: &Value) -> Option<&'static str> {
    match list {
        "containers" | "initContainers" | "ephemeralContainers" | "env" | "volumes" | "imagePullSecrets" => {
            Some("name")
        }
        "volumeMounts" => Some("mountPath"),
        "volumeDevices" => Some("devicePath"),
        "conditions" => Some("type"),
        "ownerReferences" => Some("uid"),
        "hostAliases" => Some("ip"),
        "finalizers" => Some(""),
        "ports" if value.as_array().is_some_and(|ports| ports.iter().any(|p| p.get("containerPort").is_some())) => {
            Some("containerPort")
        }
        "ports" => Some("port"),
        _ => None,
    }
}

fn merge_list(target: &mut Value, wanted: &[Value], by: &str) -> Result<(), Refusal> {
    if !target.is_array() {
        *target = Value::Array(Vec::new());
    }
    let Some(list) = target.as_array_mut() else { return Ok(()) };
    if by.is_empty() {
        for item in wanted {
            if !list.contains(item) {
                list.push(item.clone());
            }
        }
        return Ok(());
    }
    if wanted.iter().any(|item| item["$patch"] == "replace") {
        *list = wanted.iter().filter(|item| item["$patch"] != "replace").cloned().collect();
        return Ok(());
    }
    for item in wanted {
        let Some(key) = item.get(by) else {
            return Err(Refusal::bad(format!("map: {item} does not contain declared merge key: {by}")));
        };
        let at = list.iter().position(|there| there.get(by) == Some(key));
        match (item["$patch"].as_str(), at) {
            (Some("delete"), Some(at)) => drop(list.remove(at)),
            (Some("delete"), None) => {}
            (_, Some(at)) => strategic(&mut list[at], item)?,
            (_, None) => {
                let mut fresh = Value::Object(Map::new());
                strategic(&mut fresh, item)?;
                list.push(fresh);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Cases of the table at the end of RFC 7386.
    #[test]
    fn a_merge_patch_merges() {
        for (target, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!(["a", "b"]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut merged = target.clone();
            merge(&mut merged, &patch);
            assert_eq!(merged, expected, "{target} and {patch}");
        }
    }

    #[test]
    fn a_json_patch_is_done_whole_or_not_at_all() {
        let start = json!({"list": [1, 2], "a/b": {"~": 1}});
        for (patch, expected) in [
            (json!([{"op": "add", "path": "/list/-", "value": 3}]), Some(json!({"list": [1, 2, 3], "a/b": {"~": 1}}))),
            (json!([{"op": "add", "path": "/list/0", "value": 0}]), Some(json!({"list": [0, 1, 2], "a/b": {"~": 1}}))),
            (json!([{"op": "remove", "path": "/a~1b/~0"}]), Some(json!({"list": [1, 2], "a/b": {}}))),
            (
                json!([{"op": "move", "from": "/list/1", "path": "/x"}]),
                Some(json!({"list": [1], "a/b": {"~": 1}, "x": 2})),
            ),
            (
                json!([{"op": "copy", "from": "/list", "path": "/x"}]),
                Some(json!({"list": [1, 2], "a/b": {"~": 1}, "x": [1, 2]})),
            ),
            (json!([{"op": "add", "path": "/list/9", "value": 0}]), None),
            (json!([{"op": "replace", "path": "/gone", "value": 0}]), None),
            (json!([{"op": "remove", "path": "/gone"}]), None),
            (json!([{"op": "remove", "path": "/list"}, {"op": "test", "path": "/list/0", "value": 1}]), None),
        ] {
            let mut patched = start.clone();
            let done = json_patch(&mut patched, &patch).is_ok();
            assert_eq!(done, expected.is_some(), "{patch}");
            assert_eq!(patched, expected.unwrap_or_else(|| start.clone()), "{patch}");
        }
    }

    #[test]
    fn a_strategic_patch_knows_elements_by_their_key() {
        let mut target =
            json!({"containers": [{"name": "a", "image": "1"}, {"name": "b"}], "args": ["x"], "finalizers": ["f"]});
        let patch = json!({
            "containers": [{"name": "b", "$patch": "delete"}, {"name": "a", "image": "2"}, {"name": "c"}],
            "args": ["y"], "finalizers": ["g"], "$setElementOrder/containers": [{"name": "a"}],
        });
        strategic(&mut target, &patch).unwrap();
        assert_eq!(
            target,
            json!({"containers": [{"name": "a", "image": "2"}, {"name": "c"}], "args": ["y"], "finalizers": ["f", "g"]})
        );
        assert!(strategic(&mut target, &json!({"containers": [{"image": "3"}]})).is_err());
        strategic(&mut target, &json!({"$patch": "replace", "args": []})).unwrap();
        assert_eq!(target, json!({"args": []}));
    }
}

//! The scale subresource: autoscaling/v1 Scale of a workload.

use serde_json::{Value, json};

use super::place::Place;
use super::refusal::{Refusal, wrong};
use super::store::{Part, State};
use super::verbs::{self, Asked};

pub fn answer(state: &mut State, asked: &Asked, place: &Place) -> Result<Value, Refusal> {
    let key = verbs::key(place)?;
    let object = state.get(&key).cloned().ok_or_else(|| Refusal::not_found(place.kind, &key.name))?;
    let now = of(&object);
    let wanted = match asked.verb {
        "get" => return Ok(now),
        "update" => asked.object()?,
        _ => {
            let mut scale = now;
            verbs::apply(asked, place.kind, &mut scale)?;
            scale
        }
    };
    let named = wanted.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if named != key.name {
        let message = format!("the name of the object ({named}) does not match the name on the URL ({})", key.name);
        return Err(Refusal::bad(message));
    }
    // Absent is none: that is how none is written.
    let replicas = wanted.pointer("/spec/replicas").cloned().unwrap_or_else(|| json!(0));
    let Some(count) = replicas.as_i64() else {
        let found = if replicas.is_string() { "string" } else { "value" };
        let message = format!(
            "Scale in version \"v1\" cannot be handled as a Scale: json: cannot unmarshal {found} into Go struct field ScaleSpec.spec.replicas of type int32"
        );
        return Err(Refusal::bad(message));
    };
    if count < 0 {
        let cause = wrong("spec.replicas", &replicas, "must be greater than or equal to 0");
        let mut refusal = Refusal::invalid(place.kind, &key.name, &[cause]);
        refusal.message = refusal.message.replace(&place.kind.long_kind(), "Scale.autoscaling");
        return Err(refusal);
    }
    let mut changed = object;
    changed["spec"]["replicas"] = replicas;
    for (field, condition) in [("resourceVersion", "resourceVersion"), ("uid", "uid")] {
        changed["metadata"][condition] = wanted["metadata"][field].clone();
    }
    let after = state.replace(&key, changed, Part::Main, asked.dry()?)?;
    Ok(of(&after))
}

/// The Scale of a workload. None at all is left out, as the real server leaves out every zero that may be absent.
fn of(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let replicas = object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    let spec = if replicas == 0 { json!({}) } else { json!({"replicas": replicas}) };
    let labels = object.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let selector: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": spec,
        "status": {
            "replicas": object.pointer("/status/replicas").cloned().unwrap_or_else(|| json!(0)),
            "selector": selector.join(","),
        },
    })
}

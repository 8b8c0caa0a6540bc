//! What the API takes as a value: ranges, names, and what never changes (kubernetes.io API reference; the Gateway API
//! and Istio references for theirs).

use serde_json::{Value, json};

use super::check::{at, name};
use super::kinds::{self, Kind};
use super::refusal::{Cause, Refusal, missing, not_allowed, wrong};
use super::{chaos_mesh, selector};

/// Refuses values that the API does not take, and changes of what never changes.
pub fn check(kind: &Kind, new: &Value, old: Option<&Value>) -> Result<(), Refusal> {
    let mut causes = Vec::new();
    metadata(kind, new, &mut causes);
    match kind.id {
        kinds::DEPLOYMENT | kinds::STATEFUL_SET | kinds::REPLICA_SET => workload(kind, new, old, &mut causes),
        kinds::POD => {
            containers(new, "spec", &mut causes);
            if let Some(old) = old {
                pod_change(new, old, &mut causes);
            }
        }
        kinds::CONFIG_MAP => config_map(new, old, &mut causes),
        kinds::HPA => autoscaler(new, &mut causes),
        kinds::PDB if new.pointer("/spec/minAvailable").is_some() && new.pointer("/spec/maxUnavailable").is_some() => {
            causes.push(wrong("spec", &new["spec"], "minAvailable and maxUnavailable cannot be both set"));
        }
        kinds::HTTP_ROUTE => route(new, &mut causes),
        kinds::DESTINATION_RULE => destination_rule(new, &mut causes),
        _ => {}
    }
    if !causes.is_empty() {
        return Err(Refusal::invalid(kind, name(new), &causes));
    }
    match kind.id {
        kinds::VIRTUAL_SERVICE => virtual_service(new),
        _ if kind.group == chaos_mesh::GROUP => chaos_mesh::admit(kind, new, old),
        _ => Ok(()),
    }
}

fn metadata(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    let lower = |name: &str| {
        !name.is_empty()
            && name.len() <= 253
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.')
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let given = name(object);
    if !lower(given) {
        causes.push(wrong("metadata.name", &json!(given), "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"));
    }
    labels(object.pointer("/metadata/labels"), "metadata.labels", causes);
    if matches!(kind.id, kinds::DEPLOYMENT | kinds::STATEFUL_SET) {
        labels(object.pointer("/spec/template/metadata/labels"), "spec.template.labels", causes);
    }
    let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
    let size: usize = annotations.into_iter().flatten().map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
    if size > 256 * 1024 {
        let message = "Too long: may not be more than 262144 bytes".to_owned();
        causes.push(("FieldValueTooLong", "metadata.annotations".to_owned(), message));
    }
    for (key, _) in annotations.into_iter().flatten() {
        if !qualified(key) {
            causes.push(wrong("metadata.annotations", &json!(key), "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"));
        }
    }
}

fn labels(map: Option<&Value>, field: &str, causes: &mut Vec<Cause>) {
    for (key, value) in map.and_then(Value::as_object).into_iter().flatten() {
        if !qualified(key) {
            causes.push(wrong(field, &json!(key), "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"));
        }
        let text = value.as_str().unwrap_or_default();
        if !text.is_empty() && !plain(text) {
            causes.push(wrong(field, value, "a valid label must be an empty string or consist of at most 63 alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"));
        }
    }
}

/// At most 63 of the characters of a label, with a letter or digit at both ends.
fn plain(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// `name` or `prefix.of.dns/name`.
fn qualified(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => {
            plain(name)
                && !prefix.is_empty()
                && prefix.len() <= 253
                && prefix.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c))
        }
        None => plain(key),
    }
}

fn containers(object: &Value, spec: &str, causes: &mut Vec<Cause>) {
    let pointer = format!("/{}/containers", spec.replace('.', "/"));
    let field = format!("{spec}.containers");
    let list = object.pointer(&pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if list.is_empty() {
        causes.push(missing(field.clone()));
    }
    for (n, container) in list.iter().enumerate() {
        for needed in ["name", "image"] {
            if container[needed].as_str().is_none_or(str::is_empty) {
                causes.push(missing(format!("{field}[{n}].{needed}")));
            }
        }
    }
}

fn workload(kind: &Kind, new: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    if let Some(replicas) = new.pointer("/spec/replicas").filter(|replicas| replicas.as_i64().is_none_or(|n| n < 0)) {
        causes.push(wrong("spec.replicas", replicas, "must be greater than or equal to 0"));
    }
    if new.pointer("/spec/selector").is_none_or(|selector| selector == &json!({})) {
        causes.push(missing("spec.selector"));
    } else if !selector::matches(new.pointer("/spec/selector"), new.pointer("/spec/template/metadata/labels")) {
        let labels = new.pointer("/spec/template/metadata/labels").cloned().unwrap_or_default();
        causes.push(wrong("spec.template.metadata.labels", &labels, "`selector` does not match template `labels`"));
    }
    containers(new, "spec.template.spec", causes);
    let Some(old) = old else { return };
    if kind.id == kinds::STATEFUL_SET {
        let fixed = |object: &Value| {
            let mut spec = object["spec"].clone();
            for free in [
                "replicas",
                "ordinals",
                "template",
                "updateStrategy",
                "revisionHistoryLimit",
                "persistentVolumeClaimRetentionPolicy",
                "minReadySeconds",
            ] {
                spec[free] = Value::Null;
            }
            spec
        };
        if fixed(new) != fixed(old) {
            causes.push(not_allowed("spec", "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"));
        }
    } else if new.pointer("/spec/selector") != old.pointer("/spec/selector") {
        causes.push(wrong("spec.selector", &new["spec"]["selector"], "field is immutable"));
    }
}

fn pod_change(new: &Value, old: &Value, causes: &mut Vec<Cause>) {
    let fixed = |object: &Value| {
        let mut spec = object["spec"].clone();
        for free in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"] {
            spec[free] = Value::Null;
        }
        for list in ["containers", "initContainers"] {
            for container in spec[list].as_array_mut().into_iter().flatten() {
                container["image"] = Value::Null;
            }
        }
        spec
    };
    if fixed(new) != fixed(old) {
        causes.push(not_allowed("spec", "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"));
    }
}

fn config_map(new: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let size: usize =
        new["data"].as_object().into_iter().flatten().map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
    if size > 1024 * 1024 {
        causes.push(("FieldValueTooLong", String::new(), "Too long: may not be more than 1048576 bytes".to_owned()));
    }
    for (key, _) in new["data"].as_object().into_iter().flatten() {
        if key.is_empty() || key.len() > 253 || !key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            causes.push(wrong(
                format!("data[{key}]"),
                &json!(key),
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            ));
        }
    }
    let Some(old) = old.filter(|old| old["immutable"] == true) else { return };
    for (field, message) in [
        ("immutable", "field is immutable when `immutable` is set"),
        ("data", "field is immutable when `immutable` is set"),
        ("binaryData", "field is immutable when `immutable` is set"),
    ] {
        if new[field] != old[field] {
            causes.push(not_allowed(field, message));
        }
    }
}

fn autoscaler(new: &Value, causes: &mut Vec<Cause>) {
    let number = |field: &str| new["spec"][field].as_i64();
    match number("maxReplicas") {
        None => causes.push(missing("spec.maxReplicas")),
        Some(max) if max < 1 => causes.push(wrong("spec.maxReplicas", &json!(max), "must be greater than 0")),
        Some(_) => {}
    }
    if let (Some(min), Some(max)) = (number("minReplicas"), number("maxReplicas")) {
        if min < 1 {
            causes.push(wrong("spec.minReplicas", &json!(min), "must be greater than or equal to 1"));
        }
        if max < min {
            causes.push(wrong("spec.maxReplicas", &json!(max), "must be greater than or equal to `minReplicas`"));
        }
    }
    for needed in ["kind", "name"] {
        if new["spec"]["scaleTargetRef"][needed].as_str().is_none_or(str::is_empty) {
            causes.push(missing(format!("spec.scaleTargetRef.{needed}")));
        }
    }
}

fn route(new: &Value, causes: &mut Vec<Cause>) {
    for (place, weight) in at(new, "spec.rules[].backendRefs[].weight") {
        let weight_is = weight.as_i64().unwrap_or(-1);
        if weight_is < 0 {
            causes.push(wrong(&place, weight, &format!("{place} in body should be greater than or equal to 0")));
        } else if weight_is > 1_000_000 {
            causes.push(wrong(&place, weight, &format!("{place} in body should be less than or equal to 1000000")));
        }
    }
    for (path, most) in [("spec.rules", 16), ("spec.rules[].backendRefs", 16)] {
        for (place, list) in at(new, path) {
            let count = list.as_array().map_or(0, Vec::len);
            if count > most {
                let message = format!("Too many: {count}: must have at most {most} items");
                causes.push(("FieldValueTooMany", place, message));
            }
        }
    }
}

fn destination_rule(new: &Value, causes: &mut Vec<Cause>) {
    for field in ["interval", "baseEjectionTime"] {
        for (place, value) in at(new, &format!("spec.trafficPolicy.outlierDetection.{field}")) {
            if !value.as_str().is_some_and(duration) {
                causes.push(wrong(place, value, "must be a valid duration greater than 1ms"));
            }
        }
    }
    for (place, value) in at(new, "spec.trafficPolicy.outlierDetection.consecutive5xxErrors") {
        if value.as_i64().is_some_and(|n| n < 0) {
            causes.push(wrong(&place, value, &format!("{place} in body should be greater than or equal to 0")));
        }
    }
    for (place, value) in at(new, "spec.trafficPolicy.outlierDetection.maxEjectionPercent") {
        if value.as_i64().is_some_and(|n| !(0..=100).contains(&n)) {
            causes.push(wrong(place, value, "percentage must be in range 0..100"));
        }
    }
}

/// `5s`, `1m30s`, `100ms`: at least a millisecond.
fn duration(text: &str) -> bool {
    let mut rest = text;
    let mut any = false;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let Some(unit) = ["ms", "h", "m", "s"].into_iter().find(|unit| after.starts_with(unit)) else { return false };
        let Ok(number) = number.parse::<f64>() else { return false };
        any |= number > 0.0;
        rest = after.get(unit.len()..).unwrap_or_default();
    }
    any
}

/// Istio's own webhook, which speaks after the schema.
fn virtual_service(new: &Value) -> Result<(), Refusal> {
    let denied = |why: &str| {
        let message =
            format!("admission webhook \"validation.istio.io\" denied the request: configuration is invalid: {why}");
        Err(Refusal::bad(message))
    };
    for (_, weight) in at(new, "spec.http[].route[].weight") {
        if weight.as_i64().is_some_and(|n| n < 0) {
            return denied(&format!("weight {weight} < 0"));
        }
    }
    for (_, routes) in at(new, "spec.http[].route") {
        let routes = routes.as_array().map(Vec::as_slice).unwrap_or_default();
        let total: i64 = routes.iter().map(|route| route["weight"].as_i64().unwrap_or(0)).sum();
        if routes.len() > 1 && total == 0 {
            return denied("total destination weight = 0");
        }
        if routes.iter().any(|route| route["destination"]["host"].as_str().is_none_or(str::is_empty)) {
            return denied("destination must have a host");
        }
    }
    Ok(())
}

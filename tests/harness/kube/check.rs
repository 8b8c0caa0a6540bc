//! The shape of objects: the types of their fields, and the defaults that the API fills in (kubernetes.io API reference;
//! the Gateway API and Istio references for theirs).

use serde_json::{Value, json};

use super::kinds::{self, Kind};
use super::refusal::{Refusal, wrong};

#[derive(Clone, Copy)]
enum Type {
    Int,
    Text,
    Flag,
    Texts,
    Map,
    List,
}

impl Type {
    fn takes(self, value: &Value) -> bool {
        match self {
            Self::Int => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
            Self::Text => value.is_string(),
            Self::Flag => value.is_boolean(),
            Self::Texts => value.as_object().is_some_and(|map| map.values().all(Value::is_string)),
            Self::Map => value.is_object(),
            Self::List => value.is_array(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Int => "int32",
            Self::Text => "string",
            Self::Flag => "bool",
            Self::Texts => "map[string]string",
            Self::Map => "object",
            Self::List => "array",
        }
    }
}

/// Types of the fields that somebody could send wrongly. `[]` steps into each element.
fn types(kind: &Kind) -> Vec<(&'static str, Type)> {
    let mut types = vec![
        ("metadata", Type::Map),
        ("metadata.name", Type::Text),
        ("metadata.namespace", Type::Text),
        ("metadata.resourceVersion", Type::Text),
        ("metadata.uid", Type::Text),
        ("metadata.labels", Type::Texts),
        ("metadata.annotations", Type::Texts),
        ("metadata.ownerReferences", Type::List),
        ("metadata.finalizers", Type::List),
    ];
    types.extend_from_slice(match kind.id {
        kinds::DEPLOYMENT | kinds::REPLICA_SET | kinds::STATEFUL_SET => &[
            ("spec", Type::Map),
            ("spec.replicas", Type::Int),
            ("spec.paused", Type::Flag),
            ("spec.progressDeadlineSeconds", Type::Int),
            ("spec.minReadySeconds", Type::Int),
            ("spec.template", Type::Map),
            ("spec.template.metadata.labels", Type::Texts),
            ("spec.template.metadata.annotations", Type::Texts),
            ("spec.template.spec.containers", Type::List),
            ("spec.template.spec.containers[].name", Type::Text),
            ("spec.template.spec.containers[].image", Type::Text),
        ][..],
        kinds::POD => &[("spec", Type::Map), ("spec.containers", Type::List), ("spec.nodeName", Type::Text)],
        kinds::NODE => &[("spec.unschedulable", Type::Flag)],
        kinds::CONFIG_MAP => &[("data", Type::Texts), ("binaryData", Type::Texts), ("immutable", Type::Flag)],
        kinds::SERVICE => &[("spec.selector", Type::Texts), ("spec.ports", Type::List)],
        kinds::HPA => &[
            ("spec.minReplicas", Type::Int),
            ("spec.maxReplicas", Type::Int),
            ("spec.scaleTargetRef", Type::Map),
            ("spec.scaleTargetRef.name", Type::Text),
        ],
        kinds::HTTP_ROUTE => &[
            ("spec.rules", Type::List),
            ("spec.rules[].backendRefs", Type::List),
            ("spec.rules[].backendRefs[].name", Type::Text),
            ("spec.rules[].backendRefs[].weight", Type::Int),
            ("spec.rules[].backendRefs[].port", Type::Int),
        ],
        kinds::VIRTUAL_SERVICE => &[
            ("spec.hosts", Type::List),
            ("spec.http", Type::List),
            ("spec.http[].route", Type::List),
            ("spec.http[].route[].weight", Type::Int),
            ("spec.http[].route[].destination", Type::Map),
            ("spec.http[].route[].destination.host", Type::Text),
            ("spec.http[].route[].destination.subset", Type::Text),
        ],
        kinds::DESTINATION_RULE => &[
            ("spec.host", Type::Text),
            ("spec.trafficPolicy.outlierDetection", Type::Map),
            ("spec.trafficPolicy.outlierDetection.consecutive5xxErrors", Type::Int),
            ("spec.trafficPolicy.outlierDetection.interval", Type::Text),
            ("spec.trafficPolicy.outlierDetection.baseEjectionTime", Type::Text),
            ("spec.trafficPolicy.outlierDetection.maxEjectionPercent", Type::Int),
        ],
        _ => &[],
    });
    types
}

/// All values at a path, with the place of each.
pub fn at<'v>(object: &'v Value, path: &str) -> Vec<(String, &'v Value)> {
    let mut found = vec![(String::new(), object)];
    for step in path.split('.') {
        let (step, each) = step.strip_suffix("[]").map_or((step, false), |step| (step, true));
        let mut next = Vec::new();
        for (place, value) in found {
            let Some(inner) = value.get(step) else { continue };
            let place = if place.is_empty() { step.to_owned() } else { format!("{place}.{step}") };
            if each {
                let items = inner.as_array().map(Vec::as_slice).unwrap_or_default();
                next.extend(items.iter().enumerate().map(|(n, item)| (format!("{place}[{n}]"), item)));
            } else {
                next.push((place, inner));
            }
        }
        found = next;
    }
    found
}

/// Refuses what cannot be decoded as this kind.
pub fn shape(kind: &Kind, object: &Value) -> Result<(), Refusal> {
    if !object.is_object() {
        return Err(Refusal::bad("the object provided is unrecognized: it must be a JSON object"));
    }
    for (path, wanted) in types(kind) {
        for (place, value) in at(object, path) {
            if value.is_null() || wanted.takes(value) {
                continue;
            }
            if kind.custom && !place.starts_with("metadata") {
                let cause = wrong(&place, value, &format!("{place} in body must be of type {}", wanted.name()));
                return Err(Refusal::invalid(kind, name(object), &[cause]));
            }
            let found = match value {
                Value::Bool(_) => "bool".to_owned(),
                Value::Number(number) => format!("number {number}"),
                Value::String(_) => "string".to_owned(),
                Value::Array(_) => "array".to_owned(),
                _ => "object".to_owned(),
            };
            return Err(Refusal::bad(format!(
                "{} in version \"{}\" cannot be handled as a {}: json: cannot unmarshal {found} into Go struct field {}.{place} of type {}",
                kind.kind,
                kind.versions[0],
                kind.kind,
                kind.kind,
                wanted.name()
            )));
        }
    }
    Ok(())
}

pub fn name(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

/// Fills in what the API fills in.
pub fn defaults(kind: &Kind, object: &mut Value) {
    let mut default = |path: &str, value: Value| {
        let Some((above, last)) = path.rsplit_once('/') else { return };
        if let Some(Value::Object(map)) = object.pointer_mut(above)
            && map.get(last).is_none_or(Value::is_null)
        {
            map.insert(last.to_owned(), value);
        }
    };
    match kind.id {
        kinds::DEPLOYMENT => {
            default("/spec/replicas", json!(1));
            default("/spec/progressDeadlineSeconds", json!(600));
            default("/spec/revisionHistoryLimit", json!(10));
            default("/spec/strategy", json!({}));
            default("/spec/strategy/type", json!("RollingUpdate"));
            if object.pointer("/spec/strategy/type") == Some(&json!("RollingUpdate")) {
                let mut default = |path: &str, value: Value| {
                    let Some((above, last)) = path.rsplit_once('/') else { return };
                    if let Some(Value::Object(map)) = object.pointer_mut(above) {
                        map.entry(last.to_owned()).or_insert(value);
                    }
                };
                default("/spec/strategy/rollingUpdate", json!({}));
                default("/spec/strategy/rollingUpdate/maxUnavailable", json!("25%"));
                default("/spec/strategy/rollingUpdate/maxSurge", json!("25%"));
            }
            template_defaults(object);
        }
        kinds::STATEFUL_SET => {
            default("/spec/replicas", json!(1));
            default("/spec/podManagementPolicy", json!("OrderedReady"));
            default("/spec/updateStrategy", json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}));
            template_defaults(object);
        }
        kinds::REPLICA_SET => default("/spec/replicas", json!(1)),
        kinds::POD => {
            default("/spec/restartPolicy", json!("Always"));
            default("/spec/terminationGracePeriodSeconds", json!(30));
            default("/status", json!({"phase": "Pending"}));
        }
        kinds::HPA => default("/spec/minReplicas", json!(1)),
        kinds::HTTP_ROUTE => {
            let rules = object.pointer_mut("/spec/rules").and_then(Value::as_array_mut).into_iter().flatten();
            for backend in rules.filter_map(|rule| rule.get_mut("backendRefs")?.as_array_mut()).flatten() {
                if let Some(map) = backend.as_object_mut() {
                    map.entry("group").or_insert(json!(""));
                    map.entry("kind").or_insert(json!("Service"));
                    map.entry("weight").or_insert(json!(1));
                }
            }
        }
        _ => {}
    }
}

fn template_defaults(object: &mut Value) {
    if let Some(Value::Object(spec)) = object.pointer_mut("/spec/template/spec") {
        spec.entry("restartPolicy").or_insert(json!("Always"));
        spec.entry("terminationGracePeriodSeconds").or_insert(json!(30));
    }
}

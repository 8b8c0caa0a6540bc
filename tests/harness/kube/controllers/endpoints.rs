//! EndpointSlices: the pods that a Service's selector takes, and which of them get traffic.

use serde_json::{Value, json};

use super::super::store::{Key, State};
use super::super::{kinds, selector};
use super::{ending, keys, owned_by, ready, reference, uid};

pub fn step(state: &mut State) {
    for key in keys(state, kinds::SERVICE) {
        one(state, &key);
    }
}

fn one(state: &mut State, key: &Key) {
    let Some(service) = state.get(key).cloned() else { return };
    let wanted =
        service.pointer("/spec/selector").filter(|wanted| wanted.as_object().is_some_and(|map| !map.is_empty()));
    if wanted.is_none() {
        return;
    }
    let mut endpoints = Vec::new();
    for (pod_key, pod) in state.list(kinds::POD, Some(&key.namespace)) {
        let address = pod.pointer("/status/podIP").and_then(Value::as_str);
        let (true, Some(address)) = (selector::matches_map(wanted, pod.pointer("/metadata/labels")), address) else {
            continue;
        };
        let (up, ending) = (ready(pod), ending(pod));
        endpoints.push(json!({
            "addresses": [address], "conditions": {"ready": up && !ending, "serving": up, "terminating": ending},
            "nodeName": pod["spec"]["nodeName"],
            "targetRef": {"kind": "Pod", "namespace": key.namespace, "name": pod_key.name, "uid": uid(pod)},
        }));
    }
    let ports: Vec<Value> = service["spec"]["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|port| {
            let target = port["targetPort"].as_i64().or(port["port"].as_i64());
            json!({"name": port["name"], "protocol": "TCP", "port": target})
        })
        .collect();
    let owner = uid(&service).to_owned();
    let slice = state
        .list(kinds::ENDPOINT_SLICE, Some(&key.namespace))
        .find(|(_, slice)| owned_by(slice, &owner))
        .map(|(key, _)| key.clone());
    match slice {
        Some(slice) => state.touch(&slice, |slice| {
            slice["endpoints"] = json!(endpoints);
            slice["ports"] = json!(ports);
        }),
        None => {
            let slice = json!({
                "metadata": {
                    "generateName": format!("{}-", key.name),
                    "labels": {
                        "kubernetes.io/service-name": key.name,
                        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                    },
                    "ownerReferences": [reference(key, &service)],
                },
                "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
            });
            let _ = state.create(kinds::by_id(kinds::ENDPOINT_SLICE), &key.namespace, slice, false);
        }
    }
}

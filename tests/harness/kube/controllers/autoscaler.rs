//! HorizontalPodAutoscalers: keep a workload's number within their bounds, and at what the test says is needed.

use serde_json::{Value, json};

use super::super::kinds;
use super::super::life::set_condition;
use super::super::store::{Key, State};
use super::{keys, number};

pub fn step(state: &mut State) {
    for key in keys(state, kinds::HPA) {
        one(state, &key);
    }
}

fn one(state: &mut State, key: &Key) {
    let Some(scaler) = state.get(key).cloned() else { return };
    let target = &scaler["spec"]["scaleTargetRef"];
    let kind = match target["kind"].as_str() {
        Some("Deployment") => kinds::DEPLOYMENT,
        Some("StatefulSet") => kinds::STATEFUL_SET,
        _ => return,
    };
    let workload_key = Key::new(kind, &key.namespace, target["name"].as_str().unwrap_or_default());
    let now = state.play.now();
    let Some(workload) = state.get(&workload_key).cloned() else {
        state.touch(key, |scaler| {
            scaler["status"] = scaler.get("status").cloned().unwrap_or_else(|| json!({}));
            set_condition(
                scaler,
                "AbleToScale",
                false,
                "FailedGetScale",
                "the HPA controller was unable to get the target's current scale",
                &now,
            );
        });
        return;
    };
    let present = number(&workload, "/spec/replicas");
    let (min, max) = (number(&scaler, "/spec/minReplicas").max(1), number(&scaler, "/spec/maxReplicas"));
    let load = state.play.loads.get(&(key.namespace.clone(), key.name.clone())).copied();
    // A workload at nought is switched off, and so is its autoscaler.
    let wanted = if present == 0 { 0 } else { load.unwrap_or(present).clamp(min, max) };
    if wanted != present {
        state.touch(&workload_key, |workload| workload["spec"]["replicas"] = json!(wanted));
    }
    let there = number(&workload, "/status/replicas");
    state.touch(key, |scaler| {
        if !scaler["status"].is_object() {
            scaler["status"] = json!({});
        }
        let status: &mut Value = &mut scaler["status"];
        status["currentReplicas"] = json!(there);
        status["desiredReplicas"] = json!(wanted);
        set_condition(
            scaler,
            "AbleToScale",
            true,
            "SucceededGetScale",
            "the HPA controller was able to get the target's current scale",
            &now,
        );
        if present == 0 {
            set_condition(
                scaler,
                "ScalingActive",
                false,
                "ScalingDisabled",
                "scaling is disabled since the replica count of the target is zero",
                &now,
            );
        } else {
            set_condition(
                scaler,
                "ScalingActive",
                true,
                "ValidMetricFound",
                "the HPA was able to successfully calculate a replica count",
                &now,
            );
        }
    });
}

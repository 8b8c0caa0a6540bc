//! PodDisruptionBudgets: how many of their pods may be missing now.

use serde_json::{Value, json};

use super::super::store::State;
use super::super::{kinds, selector};
use super::{active, keys, number, ready};

pub fn step(state: &mut State) {
    for key in keys(state, kinds::PDB) {
        let Some(budget) = state.get(&key).cloned() else { continue };
        let mut expected = 0;
        let mut healthy = 0;
        let mut leaving = Vec::new();
        for (pod_key, pod) in state.list(kinds::POD, Some(&key.namespace)) {
            if !selector::matches(budget.pointer("/spec/selector"), pod.pointer("/metadata/labels")) {
                continue;
            }
            let on_its_way =
                budget.pointer("/status/disruptedPods").is_some_and(|pods| pods.get(&pod_key.name).is_some());
            if active(pod) {
                expected += 1;
                if on_its_way {
                    leaving.push(pod_key.name.clone());
                } else if ready(pod) {
                    healthy += 1;
                }
            }
        }
        let part = |value: &Value| match (value.as_i64(), value.as_str()) {
            (Some(count), _) => Some(count),
            // Rounded up, as the real controller does for both.
            (_, Some(percent)) => percent.strip_suffix('%')?.parse::<i64>().ok().map(|p| (expected * p + 99) / 100),
            _ => None,
        };
        let needed = match (part(&budget["spec"]["minAvailable"]), part(&budget["spec"]["maxUnavailable"])) {
            (Some(least), _) => least,
            (_, Some(most)) => (expected - most).max(0),
            _ => expected,
        };
        let allowed = if expected > 0 { (healthy - needed).max(0) } else { 0 };
        let generation = number(&budget, "/metadata/generation");
        state.touch(&key, |budget| {
            let kept: serde_json::Map<String, Value> = budget
                .pointer("/status/disruptedPods")
                .and_then(Value::as_object)
                .map(|pods| {
                    pods.iter()
                        .filter(|(name, _)| leaving.contains(name))
                        .map(|(n, v)| (n.clone(), v.clone()))
                        .collect()
                })
                .unwrap_or_default();
            budget["status"] = json!({
                "observedGeneration": generation, "disruptionsAllowed": allowed, "currentHealthy": healthy,
                "desiredHealthy": needed, "expectedPods": expected,
            });
            if !kept.is_empty() {
                budget["status"]["disruptedPods"] = Value::Object(kept);
            }
        });
    }
}

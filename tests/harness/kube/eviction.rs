//! The eviction subresource of pods: a deletion that budgets may refuse (kubernetes.io, "API-initiated Eviction").

use serde_json::{Value, json};

use super::kinds;
use super::place::Place;
use super::refusal::Refusal;
use super::selector;
use super::store::{Key, State};
use super::verbs::{self, Asked};

pub fn evict(state: &mut State, asked: &Asked, place: &Place) -> Result<Value, Refusal> {
    let key = verbs::key(place)?;
    let body = asked.object()?;
    for (field, expected) in [("apiVersion", "policy/v1"), ("kind", "Eviction")] {
        if let Some(found) = body[field].as_str().filter(|found| *found != expected) {
            return Err(Refusal::bad(format!(
                "{field} in the data ({found}) does not match the expected {field} ({expected})"
            )));
        }
    }
    let named = body.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if !named.is_empty() && named != key.name {
        return Err(Refusal::bad("name in URL does not match name in Eviction object"));
    }
    // The real server passes over what it does not know; here it is on the list, since a precondition was meant.
    if body.get("delete_options").is_some_and(|options| !options.is_null()) {
        state
            .refused
            .push(format!("POST {}: delete_options is not a field of Eviction (deleteOptions is)", asked.path));
    }
    let options = body.get("deleteOptions").cloned().unwrap_or_else(|| json!({}));
    let dry = asked.dry()? || options["dryRun"].as_array().is_some_and(|list| !list.is_empty());
    let pod = state.get(&key).cloned().ok_or_else(|| Refusal::not_found(place.kind, &key.name))?;

    let over = pod.pointer("/metadata/deletionTimestamp").is_some()
        || matches!(pod.pointer("/status/phase").and_then(Value::as_str), Some("Succeeded" | "Failed" | "Pending"));
    // A precondition that fails costs the budget nothing.
    state.delete(&key, &options, true)?;
    if !over && let Some(budget) = budget(state, &key, &pod)? {
        charge(state, &key, &budget, &pod, dry)?;
    }
    state.delete(&key, &options, dry)?;
    Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
}

/// The one budget that this pod belongs to.
fn budget(state: &State, key: &Key, pod: &Value) -> Result<Option<Key>, Refusal> {
    let labels = pod.pointer("/metadata/labels");
    let budgets: Vec<Key> = state
        .list(kinds::PDB, Some(&key.namespace))
        .filter(|(_, budget)| selector::matches(budget.pointer("/spec/selector"), labels))
        .map(|(key, _)| key.clone())
        .collect();
    match budgets.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        _ => Err(Refusal::new(
            500,
            "InternalError",
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        )),
    }
}

/// Takes one disruption off the budget, unless there is none left.
fn charge(state: &mut State, pod_key: &Key, budget_key: &Key, pod: &Value, dry: bool) -> Result<(), Refusal> {
    let Some(budget) = state.get(budget_key).cloned() else { return Ok(()) };
    let number = |path: &str| budget.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    if number("/status/observedGeneration") < number("/metadata/generation") {
        let cause = format!("The disruption budget {} is still being processed by the server.", budget_key.name);
        return Err(refused(&cause, Some(10)));
    }
    let ready = pod.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let ready = ready.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
    let healthy = number("/status/currentHealthy");
    let needed = number("/status/desiredHealthy");
    let always = budget.pointer("/spec/unhealthyPodEvictionPolicy").is_some_and(|policy| policy == "AlwaysAllow");
    if !ready && (always || (healthy >= needed && needed > 0)) {
        return Ok(());
    }
    let allowed = number("/status/disruptionsAllowed");
    if allowed <= 0 {
        let cause = format!(
            "The disruption budget {} needs {needed} healthy pods and has {healthy} currently",
            budget_key.name
        );
        return Err(refused(&cause, None));
    }
    if !dry {
        let name = pod_key.name.clone();
        let now = state.play.now();
        state.touch(budget_key, |budget| {
            budget["status"]["disruptionsAllowed"] = json!(allowed - 1);
            budget["status"]["disruptedPods"][name] = json!(now);
        });
    }
    Ok(())
}

fn refused(cause: &str, seconds: Option<u64>) -> Refusal {
    let mut refusal = Refusal::throttled("Cannot evict pod as it would violate the pod's disruption budget.", seconds);
    let mut details = json!({"causes": [{"reason": "DisruptionBudget", "message": cause}]});
    if let Some(seconds) = seconds {
        details["retryAfterSeconds"] = json!(seconds);
    }
    refusal.details = Some(Box::new(details));
    refusal
}

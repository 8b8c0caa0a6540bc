//! Deployments: a ReplicaSet for each template, and rollouts from one to the next within what may be missing and what
//! may be too much (kubernetes.io, "Deployments").

use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::kinds;
use super::super::life::set_condition;
use super::super::store::{Key, State};
use super::replica_set::drop_condition;
use super::{count, ending, hash, keys, number, owned_by, reference, uid};

const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";

pub fn step(state: &mut State) {
    for key in keys(state, kinds::DEPLOYMENT) {
        one(state, &key);
    }
}

struct Set {
    key: Key,
    object: Value,
}

impl Set {
    fn wanted(&self) -> i64 {
        number(&self.object, "/spec/replicas")
    }

    fn there(&self) -> i64 {
        number(&self.object, "/status/replicas")
    }

    fn available(&self) -> i64 {
        number(&self.object, "/status/availableReplicas")
    }

    fn revision(&self) -> u64 {
        let revision = self.object["metadata"]["annotations"][REVISION].as_str();
        revision.and_then(|revision| revision.parse().ok()).unwrap_or(0)
    }
}

fn one(state: &mut State, key: &Key) {
    let Some(deployment) = state.get(key).cloned() else { return };
    if ending(&deployment) {
        return;
    }
    let (mut new, mut old) = sets(state, key, &deployment);
    let paused = deployment.pointer("/spec/paused") == Some(&json!(true));
    if new.is_none() && !paused {
        new = make(state, key, &deployment, &old);
        if new.is_none() {
            return;
        }
    }
    let wanted = number(&deployment, "/spec/replicas");
    let (surge, unavailable) = bounds(&deployment, wanted);
    match &new {
        // Nothing is rolled out; only the number follows.
        None => {
            if let Some(last) = old.iter().max_by_key(|set| set.revision()) {
                scale(state, &last.key, wanted);
            }
        }
        Some(new) if deployment.pointer("/spec/strategy/type") == Some(&json!("Recreate")) => {
            for set in &old {
                scale(state, &set.key, 0);
            }
            if old.iter().all(|set| set.there() == 0 && !has_pods(state, set)) {
                scale(state, &new.key, wanted);
            }
        }
        Some(new) => roll(state, new, &old, wanted, surge, unavailable),
    }
    old.retain(|set| state.get(&set.key).is_some());
    status(state, key, new.as_ref(), &old, wanted - unavailable);
    if let Some(new) = &new {
        forget(state, &deployment, new, &old);
    }
}

fn has_pods(state: &State, set: &Set) -> bool {
    let owner = uid(&set.object);
    state.list(kinds::POD, Some(&set.key.namespace)).any(|(_, pod)| owned_by(pod, owner))
}

/// The ReplicaSet of the present template, and the others.
fn sets(state: &State, key: &Key, deployment: &Value) -> (Option<Set>, Vec<Set>) {
    let owner = uid(deployment);
    let template = &deployment["spec"]["template"];
    let (mut new, mut old) = (None, Vec::new());
    for (key, object) in state.list(kinds::REPLICA_SET, Some(&key.namespace)).filter(|(_, set)| owned_by(set, owner)) {
        let mut theirs = object["spec"]["template"].clone();
        if let Some(labels) = theirs.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            labels.shift_remove(HASH);
        }
        let set = Set { key: key.clone(), object: object.clone() };
        if new.is_none() && theirs == *template { new = Some(set) } else { old.push(set) }
    }
    (new, old)
}

fn make(state: &mut State, key: &Key, deployment: &Value, old: &[Set]) -> Option<Set> {
    let mut template = deployment["spec"]["template"].clone();
    let hash = hash(&template);
    template["metadata"]["labels"][HASH] = json!(hash);
    let mut labels = template["metadata"]["labels"].clone();
    labels[HASH] = json!(hash);
    let mut selector = deployment["spec"]["selector"].clone();
    selector["matchLabels"][HASH] = json!(hash);
    let revision = old.iter().map(Set::revision).max().unwrap_or(0) + 1;
    let name = format!("{}-{hash}", key.name);
    let set = json!({
        "metadata": {
            "name": name, "labels": labels, "annotations": {REVISION: revision.to_string()},
            "ownerReferences": [reference(key, deployment)],
        },
        "spec": {"replicas": 0, "selector": selector, "template": template},
    });
    let object = state.create(kinds::by_id(kinds::REPLICA_SET), &key.namespace, set, false).ok()?;
    Some(Set { key: Key::new(kinds::REPLICA_SET, &key.namespace, &name), object })
}

/// How many more, and how many fewer, than wanted there may be in a rollout.
fn bounds(deployment: &Value, wanted: i64) -> (i64, i64) {
    let part = |field: &str, up: bool| {
        let value = &deployment["spec"]["strategy"]["rollingUpdate"][field];
        let percent = value.as_str().and_then(|text| text.strip_suffix('%')).and_then(|text| text.parse::<i64>().ok());
        match (value.as_i64(), percent) {
            (Some(count), _) => count,
            (_, Some(percent)) if up => (wanted * percent + 99) / 100,
            (_, Some(percent)) => wanted * percent / 100,
            _ => 0,
        }
    };
    let (surge, unavailable) = (part("maxSurge", true), part("maxUnavailable", false).min(wanted));
    // Both at nought would never come to an end.
    if surge == 0 && unavailable == 0 { (surge, 1) } else { (surge, unavailable) }
}

fn scale(state: &mut State, key: &Key, replicas: i64) {
    state.touch(key, |set| set["spec"]["replicas"] = json!(replicas.max(0)));
}

fn roll(state: &mut State, new: &Set, old: &[Set], wanted: i64, surge: i64, unavailable: i64) {
    let total = new.wanted() + old.iter().map(Set::wanted).sum::<i64>();
    if new.wanted() > wanted {
        scale(state, &new.key, wanted);
        return;
    }
    let room = wanted + surge - total;
    if new.wanted() < wanted && room > 0 {
        scale(state, &new.key, new.wanted() + room.min(wanted - new.wanted()));
        return;
    }
    // The old go as far as enough remain; those that are not available go first, for nobody misses them.
    let available = new.available() + old.iter().map(Set::available).sum::<i64>();
    let spare = total - (wanted - unavailable) - (new.wanted() - new.available());
    if spare <= 0 {
        return;
    }
    let mut left = spare;
    let mut down: Vec<(&Set, i64)> = old.iter().map(|set| (set, set.wanted())).collect();
    down.sort_by_key(|(set, _)| set.revision());
    for (set, count) in &mut down {
        let ill = (*count - set.available()).clamp(0, left);
        *count -= ill;
        left -= ill;
    }
    let mut healthy = (available - (wanted - unavailable)).clamp(0, left);
    for (_, count) in &mut down {
        let gone = (*count).min(healthy);
        *count -= gone;
        healthy -= gone;
    }
    for (set, count) in down {
        scale(state, &set.key, count);
    }
}

fn status(state: &mut State, key: &Key, new: Option<&Set>, old: &[Set], least: i64) {
    // What the sets said at the beginning of this look: a status is always a little behind.
    let all = || new.into_iter().chain(old);
    let there: i64 = all().map(Set::there).sum();
    let ready: i64 = all().map(|set| number(&set.object, "/status/readyReplicas")).sum();
    let available: i64 = all().map(Set::available).sum();
    let updated = new.map_or(0, Set::there);
    let failure = all()
        .filter_map(|set| {
            set.object.pointer("/status/conditions")?.as_array()?.iter().find(|one| one["type"] == "ReplicaFailure")
        })
        .find_map(|one| one["message"].as_str().map(str::to_owned));
    let Some(deployment) = state.get(key).cloned() else { return };
    let wanted = number(&deployment, "/spec/replicas");
    let complete = updated == wanted && there == wanted && available == wanted;

    let measure = format!("{there} {updated} {ready} {available} {}", new.map_or("", |set| set.key.name.as_str()));
    let id = uid(&deployment).to_owned();
    let fresh = state.play.progress.get(&id).is_none_or(|(_, last)| *last != measure) || complete;
    if fresh {
        state.play.progress.insert(id.clone(), (Instant::now(), measure));
    }
    let deadline = number(&deployment, "/spec/progressDeadlineSeconds").unsigned_abs();
    let paused = deployment.pointer("/spec/paused") == Some(&json!(true));
    let stuck = !complete
        && !paused
        && state.play.progress.get(&id).is_some_and(|(since, _)| since.elapsed().as_secs() >= deadline);
    let set_name = new.map_or_else(String::new, |set| set.key.name.clone());
    // What was complete and is only scaled since keeps saying so: the deadline is one of rollouts.
    let said = deployment.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let said = said.into_iter().find(|one| one["type"] == "Progressing");
    let rests = there == updated
        && said.is_some_and(|one| one["status"] == "True" && one["reason"] == "NewReplicaSetAvailable");
    let (going, reason, message) = if paused {
        (None, "DeploymentPaused", "Deployment is paused".to_owned())
    } else if complete || rests {
        (Some(true), "NewReplicaSetAvailable", format!("ReplicaSet \"{set_name}\" has successfully progressed."))
    } else if stuck {
        (Some(false), "ProgressDeadlineExceeded", format!("ReplicaSet \"{set_name}\" has timed out progressing."))
    } else {
        (Some(true), "ReplicaSetUpdated", format!("ReplicaSet \"{set_name}\" is progressing."))
    };
    let revision = new.map(|set| set.revision().to_string());
    let now = state.play.now();
    let generation = number(&deployment, "/metadata/generation");
    state.touch(key, |deployment| {
        if let Some(revision) = revision.filter(|revision| revision != "0") {
            if !deployment["metadata"]["annotations"].is_object() {
                deployment["metadata"]["annotations"] = json!({});
            }
            deployment["metadata"]["annotations"][REVISION] = json!(revision);
        }
        if !deployment["status"].is_object() {
            deployment["status"] = json!({});
        }
        deployment["status"]["observedGeneration"] = json!(generation);
        for (field, value) in [
            ("replicas", there),
            ("updatedReplicas", updated),
            ("readyReplicas", ready),
            ("availableReplicas", available),
            ("unavailableReplicas", (wanted.max(there) - available).max(0)),
        ] {
            count(deployment, field, value);
        }
        let (well, why, text) = if available >= least {
            (true, "MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            (false, "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        };
        set_condition(deployment, "Available", well, why, text, &now);
        match &failure {
            Some(message) => set_condition(deployment, "ReplicaFailure", true, "FailedCreate", message, &now),
            None => drop_condition(deployment, "ReplicaFailure"),
        }
        match going {
            Some(going) => set_condition(deployment, "Progressing", going, reason, &message, &now),
            None => {
                set_condition(deployment, "Progressing", true, reason, &message, &now);
                for one in deployment["status"]["conditions"].as_array_mut().into_iter().flatten() {
                    if one["type"] == "Progressing" {
                        one["status"] = json!("Unknown");
                    }
                }
            }
        }
    });
}

/// Old sets without pods go when there are more than the history keeps.
fn forget(state: &mut State, deployment: &Value, new: &Set, old: &[Set]) {
    let keep = usize::try_from(number(deployment, "/spec/revisionHistoryLimit")).unwrap_or(10);
    let mut empty: Vec<&Set> = old.iter().filter(|set| set.wanted() == 0 && set.there() == 0).collect();
    empty.sort_by_key(|set| set.revision());
    if new.available() < number(deployment, "/spec/replicas") {
        return;
    }
    for set in empty.iter().take(empty.len().saturating_sub(keep)) {
        state.remove(&set.key);
    }
}

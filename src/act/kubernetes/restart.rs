//! Restarts one pod by evicting it, so that disruption budgets hold, and rolls a whole workload out anew.
//!
//! Called by the actuator.

use serde_json::{Value, json};

use super::errors::{act_error, conflict};
use super::holdup;
use super::job::{Job, TRIES};
use super::look::{Depth, RESTARTED_AT, Seen};
use super::wait::Stage;
use crate::act::ActError;
use crate::model::{Facet, Timestamp};
use crate::platform::kubernetes::{Ask, CallError, Kind, PODS, Why};

impl Job<'_> {
    /// Restarts a pod, if it still is the one of `before`.
    pub async fn restart(&self, instance: &str, before: &Facet) -> Result<String, ActError> {
        let Facet::Generation(before) = *before else {
            return Err(self.unsupported("a restart makes an instance a later one"));
        };
        let seen = self.look(Depth::Pods).await?;
        let selector = seen.workload.spec.selector.query();
        let Some(pod) = seen.pod(instance) else {
            // Pods of a Deployment come back under another name: one that was its own and is gone was restarted.
            let was_its = self.place.kind == Kind::Deployment && instance.starts_with(&format!("{}-", self.place.name));
            if !was_its {
                return Err(ActError::NotFound(self.subject.clone()));
            }
            return Ok(format!("{instance} is gone already"));
        };
        let (since, uid) = (pod.metadata.since(), pod.metadata.uid.clone());
        if since > before {
            return Ok(format!("{instance} was restarted already"));
        }
        if since < before {
            return Err(conflict(&self.subject, Facet::Generation(before), Facet::Generation(since)));
        }
        if pod.metadata.controller().is_none() {
            return Err(self.unsupported(
                "it is isolated and belongs to no controller, so nothing would start it again: take it back into the traffic first",
            ));
        }
        let others = seen.owned().filter(|pod| pod.metadata.uid != uid && pod.is_ready()).count();
        self.evict(instance, &uid).await?;
        let stage = |seen: &Seen| {
            let is_there = seen.pods.iter().any(|pod| pod.metadata.uid == uid);
            let ready = seen.owned().filter(|pod| pod.metadata.uid != uid && pod.is_ready()).count();
            let needed = (others + 1).min(usize::try_from(seen.workload.wanted()).unwrap_or(usize::MAX));
            if !is_there && ready >= needed {
                return Stage::Done;
            }
            let line = match is_there {
                true => format!("{instance} is ending"),
                false => format!("{instance} has ended; {ready} of {needed} pods are ready"),
            };
            Stage::Going(line, holdup::of(&seen.workload, seen.owned()))
        };
        self.wait_for_pods(&format!("{instance} was evicted"), selector, stage).await?;
        Ok(match self.place.kind {
            Kind::Deployment => format!("{instance} restarted: another pod is ready in its place"),
            _ => format!("{instance} restarted and ready"),
        })
    }

    /// Only that very pod, not one that took its name meanwhile.
    async fn evict(&self, instance: &str, uid: &str) -> Result<(), ActError> {
        let namespace = self.place.namespace();
        let body = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": instance, "namespace": namespace},
            "deleteOptions": {"preconditions": {"uid": uid}},
        });
        let ask = Ask::create(&PODS, Some(namespace), Some(instance), body).of("eviction");
        match self.api.call::<Value>(&ask).await {
            Ok(_) => Ok(()),
            Err(error) => Err(match budget(&error) {
                Some(why) => ActError::Denied(format!(
                    "{instance} is not evicted, for a PodDisruptionBudget forbids it: {why}; wait until more pods are \
                     healthy, or let the budget evict pods that are not (unhealthyPodEvictionPolicy: AlwaysAllow)"
                )),
                None => act_error(error, &self.subject),
            }),
        }
    }

    /// Has all pods replaced, a few at a time, if the last time still is `before`.
    pub async fn roll_out(&self, before: &Facet) -> Result<String, ActError> {
        let Facet::Generation(before) = *before else {
            return Err(self.unsupported("a rollout makes the instances later ones"));
        };
        let mut first: Option<(Seen, bool)> = None;
        for _ in 0..TRIES {
            let seen = self.look(Depth::Pods).await?;
            if let Some(why) = seen.why_no_rollout(&self.place) {
                return Err(ActError::Unsupported(why));
            }
            let last = seen.rolled_out();
            if last > before {
                first = Some((seen, true));
                break;
            }
            if last < before {
                return Err(conflict(&self.subject, Facet::Generation(before), Facet::Generation(last)));
            }
            let at = later_than(before);
            let body = json!({
                "metadata": {"resourceVersion": seen.workload.metadata.resource_version},
                "spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: at}}}},
            });
            let (resource, namespace) = (self.place.kind.resource(), self.place.namespace.as_deref());
            if self.change(&Ask::patch(resource, namespace, &self.place.name, body)).await?.is_some() {
                first = Some((seen, false));
                break;
            }
        }
        let (seen, already) = first.ok_or_else(|| self.restless())?;
        let is_stateful = self.place.kind == Kind::StatefulSet;
        let stage = |seen: &Seen| rollout_stage(seen, is_stateful);
        self.wait_for_pods("the rollout was begun", seen.workload.spec.selector.query(), stage).await?;
        let what = self.place.in_words();
        Ok(if already {
            format!("{what} is rolled out already")
        } else {
            format!("{what} rolled out: all pods are new")
        })
    }
}

/// How far a rollout is.
fn rollout_stage(seen: &Seen, is_stateful: bool) -> Stage {
    let (status, wanted) = (&seen.workload.status, seen.workload.wanted());
    let kept = if is_stateful { seen.workload.spec.update_strategy.rolling_update.partition.unwrap_or(0) } else { 0 };
    let to_update = wanted.saturating_sub(kept);
    // A StatefulSet of an older server has no word for available.
    let available = status.available_replicas.unwrap_or(if is_stateful { status.ready_replicas } else { 0 });
    let updated = status.updated_replicas;
    let old = if is_stateful { 0 } else { status.replicas.saturating_sub(updated) };
    if seen.is_noted() && updated >= to_update && old == 0 && available >= wanted && status.replicas >= wanted {
        return Stage::Done;
    }
    let held = holdup::of(&seen.workload, seen.owned());
    if seen.is_noted() && holdup::gave_up(&seen.workload) {
        let why = if held.is_empty() { "no pod says why".to_owned() } else { held.join("; ") };
        return Stage::Stuck(format!(
            "the platform has given up on it ({why}): the old pods that are left still serve, and `kubectl rollout undo` \
             goes back"
        ));
    }
    Stage::Going(format!("{updated} of {to_update} replicas updated, {available} available"), held)
}

/// Now, as the platform's own tool writes it; later than `before` in any case.
fn later_than(before: u64) -> String {
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0);
    let at = i64::try_from(now.max(before.saturating_add(1))).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(at).map_or_else(|_| Timestamp(i64::MAX).to_string(), |at| at.to_string())
}

/// What a disruption budget says, where it is one that refuses.
fn budget(error: &CallError) -> Option<String> {
    let Why::Refused { code: 429, causes, .. } = &error.why else { return None };
    causes.iter().find(|(reason, _)| reason == "DisruptionBudget").map(|(_, message)| message.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::kubernetes::epoch_seconds;
    use serde_json::from_value;

    fn stage(workload: Value, is_stateful: bool) -> Stage {
        rollout_stage(&Seen { workload: from_value(workload).unwrap(), ..Seen::default() }, is_stateful)
    }

    #[test]
    fn a_rollout_is_done_when_all_are_new_and_available_and_the_controller_has_noted_it() {
        let workload = |observed: i64, updated: u32, all: u32, available: u32| {
            json!({"metadata": {"generation": 5}, "spec": {"replicas": 3}, "status": {"observedGeneration": observed,
                "updatedReplicas": updated, "replicas": all, "availableReplicas": available}})
        };
        assert_eq!(stage(workload(5, 3, 3, 3), false), Stage::Done);
        for going in [workload(4, 3, 3, 3), workload(5, 2, 3, 3), workload(5, 3, 4, 3), workload(5, 3, 3, 2)] {
            assert!(matches!(stage(going, false), Stage::Going(..)));
        }
    }

    #[test]
    fn a_rollout_that_the_platform_gave_up_on_is_stuck() {
        let workload = json!({"spec": {"replicas": 3}, "status": {"replicas": 4, "updatedReplicas": 1, "conditions":
            [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}});
        assert!(matches!(stage(workload, false), Stage::Stuck(_)));
    }

    #[test]
    fn a_partition_keeps_the_first_pods_as_they_are() {
        let workload = json!({"spec": {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 1}}},
            "status": {"replicas": 3, "updatedReplicas": 2, "readyReplicas": 3}});
        assert_eq!(stage(workload, true), Stage::Done);
    }

    #[test]
    fn the_time_of_a_rollout_is_later_than_the_last_whatever_the_clock_says() {
        let far = 32_503_680_000;
        assert_eq!(epoch_seconds(&later_than(far)), far + 1);
        assert!(epoch_seconds(&later_than(0)) > 1_700_000_000);
    }
}

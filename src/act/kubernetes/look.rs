//! Looks at a Deployment or a StatefulSet: itself, the pods that are really its own, and who else has a say.
//!
//! Changes nothing. Called by the actuator and by the actions, before and while they wait.

use futures::{FutureExt as _, try_join};

use super::errors::act_error;
use super::isolate::{Isolation, MARK, mark};
use super::owners;
use crate::act::{ActError, KubernetesSettings};
use crate::model::{ActionKind, Autoscaler, Instance, TargetState};
use crate::platform::kubernetes::{
    Api, Ask, Budget, HPAS, Hpa, Kind, PDBS, PODS, Place, Pod, REPLICASETS, ReplicaSet, Workload, epoch_seconds, shown,
};

/// More pods than any one workload that a person could approve a change of.
pub(super) const MOST_PODS: usize = 2000;
/// Old ReplicaSets are kept for undoing rollouts, ten by default.
const MOST_SETS: usize = 2000;
/// In one namespace.
const MOST_OTHERS: usize = 1000;
/// The ceiling where neither the config nor an autoscaler has one.
const CEILING: u32 = 1000;
/// What a rollout writes into the template, as the platform's own tool does.
pub(super) const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// A workload as it was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub workload: Workload,
    /// Its own pods and those that were isolated from it, by name.
    pub pods: Vec<Pod>,
    pub hpas: Vec<Hpa>,
    pub budgets: Vec<Budget>,
    /// Something that could not be seen, in words.
    pub unseen: Vec<String>,
}

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// The workload and its pods.
    Pods,
    /// And who else has a say.
    All,
}

/// Looks at a workload.
pub(super) async fn look(api: &Api, place: &Place, depth: Depth) -> Result<Seen, ActError> {
    let subject = place.in_words();
    let namespace = place.namespace.as_deref();
    let fail = |e| act_error(e, &subject);
    let workload: Workload = api.call(&Ask::get(place.kind.resource(), namespace, &place.name)).await.map_err(fail)?;
    let selector = workload.spec.selector.query();
    let Some(selector) = selector.as_deref() else {
        return Err(ActError::Unsupported(format!("{subject} selects no pods by label")));
    };
    let isolated = format!("{MARK}={}", mark(place));
    let pods = api.list::<Pod>(Ask::list(&PODS, namespace).labelled(Some(selector)), MOST_PODS).boxed();
    let isolated = api.list::<Pod>(Ask::list(&PODS, namespace).labelled(Some(&isolated)), MOST_PODS).boxed();
    let sets = async {
        match place.kind {
            Kind::Deployment => {
                let ask = Ask::list(&REPLICASETS, namespace).labelled(Some(selector));
                api.list::<ReplicaSet>(ask, MOST_SETS).await.map(|listed| listed.items)
            }
            _ => Ok(Vec::new()),
        }
    };
    let (pods, isolated, sets) = try_join!(pods, isolated, sets).map_err(fail)?;
    let (mut hpas, mut budgets, mut unseen) = (Vec::new(), Vec::new(), Vec::new());
    if pods.more {
        unseen.push(format!("{subject} has more than {MOST_PODS} pods: the rest is not shown"));
    }
    if depth == Depth::All {
        let listed = api.list::<Hpa>(Ask::list(&HPAS, namespace), MOST_OTHERS).await.map_err(fail)?;
        hpas = listed.items;
        hpas.retain(|hpa| scales(hpa, place));
        match api.list::<Budget>(Ask::list(&PDBS, namespace), MOST_OTHERS).await {
            Ok(listed) => budgets = listed.items,
            Err(error) if error.is_denied() => {
                unseen.push(format!("its disruption budgets cannot be seen: we may not {}", error.what));
            }
            Err(error) => return Err(fail(error)),
        }
    }
    let owner = |pod: &Pod| pod.metadata.controller().map(|owner| owner.uid.clone()).unwrap_or_default();
    let uid = &workload.metadata.uid;
    let own_sets: Vec<&str> = sets
        .iter()
        .filter(|set| set.metadata.controller().is_some_and(|owner| owner.uid == *uid))
        .map(|set| set.metadata.uid.as_str())
        .collect();
    let is_own = |pod: &Pod| match place.kind {
        Kind::Deployment => own_sets.contains(&owner(pod).as_str()),
        _ => owner(pod) == *uid,
    };
    // Pods that are isolated from their controller too are nobody's; what they were is written on them.
    let was_own = |pod: &Pod| {
        Isolation::of(pod).is_some_and(|isolation| isolation.of == whose(place))
            && (is_own(pod) || pod.metadata.controller().is_none())
    };
    let mut own: Vec<Pod> = pods.items.into_iter().filter(|pod| is_own(pod)).collect();
    for pod in isolated.items.into_iter().filter(was_own) {
        if !own.iter().any(|known| known.metadata.uid == pod.metadata.uid) {
            own.push(pod);
        }
    }
    // A Deployment has replaced a pod that ends; a StatefulSet has to wait for its name.
    own.retain(|pod| place.kind == Kind::StatefulSet || !(pod.metadata.is_going() || pod.has_ended()));
    own.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    Ok(Seen { workload, pods: own, hpas, budgets, unseen })
}

/// As isolated pods have it written on them: `deployment/web`.
pub(super) fn whose(place: &Place) -> String {
    format!("{}/{}", place.kind.word(), place.name)
}

fn scales(hpa: &Hpa, place: &Place) -> bool {
    let of = &hpa.spec.scale_target_ref;
    of.kind == place.kind.name() && of.name == place.name && of.api_version.starts_with("apps/")
}

impl Seen {
    /// When it was last rolled out by hand, in seconds since the epoch; 0 for never.
    pub fn rolled_out(&self) -> u64 {
        self.workload.spec.template.metadata.annotations.get(RESTARTED_AT).map_or(0, |at| epoch_seconds(at))
    }

    /// The pods that its controller counts.
    pub fn owned(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter().filter(|pod| pod.metadata.controller().is_some() && !pod.metadata.is_going())
    }

    /// How many of those are ready.
    pub fn ready(&self) -> u32 {
        count(self.owned().filter(|pod| pod.is_ready()).count())
    }

    /// Has its controller taken note of what is wanted?
    pub fn is_noted(&self) -> bool {
        self.workload.status.observed_generation >= self.workload.metadata.generation
    }

    pub fn pod(&self, name: &str) -> Option<&Pod> {
        self.pods.iter().find(|pod| pod.metadata.name == name)
    }

    /// Why the platform would not replace its pods a few at a time, where it would not.
    pub fn why_no_rollout(&self, place: &Place) -> Option<String> {
        let spec = &self.workload.spec;
        match place.kind {
            Kind::Deployment if spec.paused => Some(format!(
                "the rollouts of {} are paused: `kubectl rollout resume` lets them go on",
                place.in_words()
            )),
            Kind::StatefulSet if spec.update_strategy.kind == "OnDelete" => {
                Some(format!("{} replaces no pod by itself (OnDelete): restart them one by one", place.in_words()))
            }
            _ => None,
        }
    }

    /// The same as a target's state.
    pub fn state(&self, place: &Place, settings: &KubernetesSettings) -> TargetState {
        let hpa = self.hpas.first();
        let autoscaler = hpa.map(|hpa| Autoscaler {
            name: format!("HorizontalPodAutoscaler {}", hpa.metadata.name),
            min: hpa.min(),
            max: hpa.spec.max_replicas,
        });
        let ceiling = autoscaler.as_ref().map_or(CEILING, |scaler| scaler.max);
        TargetState {
            replicas: self.workload.wanted(),
            min_replicas: settings.min_replicas,
            max_replicas: settings.max_replicas.unwrap_or(ceiling),
            instances: self.pods.iter().map(instance).collect(),
            autoscaler,
            rollout: self.why_no_rollout(place).is_none().then(|| self.rolled_out()),
            can: [ActionKind::Scale, ActionKind::Restart, ActionKind::Isolate].into(),
            renames: place.kind == Kind::Deployment,
            notes: self.notes(place),
            ..TargetState::default()
        }
    }

    fn notes(&self, place: &Place) -> Vec<String> {
        let (workload, subject) = (&self.workload, place.in_words());
        let mut notes: Vec<String> = self.hpas.first().map(owners::autoscaler).unwrap_or_default();
        if let [_, others @ ..] = self.hpas.as_slice()
            && !others.is_empty()
        {
            let names: Vec<_> = others.iter().map(|hpa| shown(&hpa.metadata.name, 80)).collect();
            notes.push(format!("other autoscalers name {subject} too, and contend: {}", names.join(", ")));
        }
        notes.extend(owners::gitops(&subject, &workload.metadata));
        notes.extend(self.why_no_rollout(place));
        if workload.spec.strategy.kind == "Recreate" {
            notes.push(format!("a rollout of {subject} stops all its pods first (Recreate)"));
        }
        let partition = workload.spec.update_strategy.rolling_update.partition.unwrap_or(0);
        if place.kind == Kind::StatefulSet && partition > 0 {
            notes.push(format!("a rollout of {subject} leaves the pods below number {partition} as they are"));
        }
        notes.extend(owners::budgets(&self.budgets, &workload.spec.template.metadata.labels));
        notes.extend(self.unseen.iter().cloned());
        notes
    }
}

fn instance(pod: &Pod) -> Instance {
    Instance {
        name: pod.metadata.name.clone(),
        up: pod.is_ready(),
        isolated: Isolation::of(pod).is_some(),
        weight: 100,
        generation: pod.metadata.since(),
    }
}

/// A number of things that a list holds.
pub(super) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_value, json};

    fn seen(workload: Value, hpas: Value) -> Seen {
        Seen { workload: from_value(workload).unwrap(), hpas: from_value(hpas).unwrap(), ..Seen::default() }
    }

    fn place(name: &str) -> Place {
        Place::of(&format!("k8s:prod/{name}").parse().unwrap()).unwrap()
    }

    fn state(seen: &Seen, name: &str) -> TargetState {
        let settings = KubernetesSettings::of(format!("k8s:prod/{name}").parse().unwrap());
        seen.state(&place(name), &settings)
    }

    #[test]
    fn without_an_autoscaler_the_number_is_the_workloads_own() {
        let state = state(&seen(json!({"spec": {"replicas": 3}}), json!([])), "deployment/web");
        assert_eq!((state.replicas, state.min_replicas, state.max_replicas), (3, 1, 1000));
        assert_eq!((state.rollout, state.renames, state.autoscaler), (Some(0), true, None));
    }

    #[test]
    fn with_an_autoscaler_its_bounds_are_told_and_noted() {
        let hpa = json!([{"metadata": {"name": "web"}, "spec": {"maxReplicas": 8}}]);
        let state = state(&seen(json!({"spec": {}}), hpa), "deployment/web");
        let scaler = state.autoscaler.unwrap();
        assert_eq!((scaler.min, scaler.max, state.max_replicas), (1, 8, 8));
        assert!(state.notes[0].contains("what changes is its floor"), "{:?}", state.notes);
    }

    #[test]
    fn when_it_was_rolled_out_is_read_from_the_template() {
        let template = json!({"metadata": {"annotations": {RESTARTED_AT: "2026-01-02T04:04:05+01:00"}}});
        let seen = seen(json!({"spec": {"template": template}}), json!([]));
        assert_eq!(state(&seen, "deployment/web").rollout, Some(1_767_323_045));
    }

    #[test]
    fn what_the_platform_would_not_roll_out_cannot_be() {
        let paused = seen(json!({"spec": {"paused": true}}), json!([]));
        let shown = state(&paused, "deployment/web");
        assert_eq!(shown.rollout, None);
        assert!(shown.notes[0].contains("paused"), "{:?}", shown.notes);
        let on_delete = seen(json!({"spec": {"updateStrategy": {"type": "OnDelete"}}}), json!([]));
        assert_eq!(state(&on_delete, "statefulset/db").rollout, None);
    }
}

//! One action on a target that is only imagined: what it would change, in the words of the plan, and the change itself.
//! The same as the host's `model::Action`.

use std::collections::BTreeMap;

use crate::{Instance, TargetState};

/// One effect on one target.
pub(super) enum Action {
    Scale(u32),
    Restart(String),
    Shift(BTreeMap<String, u32>),
    Isolate(String, bool),
    Cache(u64),
}

impl Action {
    /// The capability that it needs.
    pub(super) fn capability(&self) -> &'static str {
        match self {
            Self::Scale(_) => "scale",
            Self::Restart(_) => "restart",
            Self::Shift(_) => "traffic",
            Self::Isolate(..) => "isolate",
            Self::Cache(_) => "cache",
        }
    }

    /// The thing that changes, what it is before, and what it is afterwards.
    ///
    /// # Errors
    /// Why the target would refuse.
    pub(super) fn change(&self, target: &str, state: &TargetState) -> Result<Change, String> {
        let instance = |name: &str| state.instance(name).ok_or_else(|| no_instance(target, name));
        let change =
            |subject: String, before: String, after: String| Change { subject, before, after, restarts: false };
        Ok(match self {
            Self::Scale(to) => {
                let (min, max) = (state.min_replicas, state.max_replicas);
                if !(min..=max).contains(to) {
                    return Err(format!("{target} allows {min} to {max} instances, not {to}"));
                }
                change(format!("{target} workers"), state.replicas.to_string(), to.to_string())
            }
            Self::Restart(name) => {
                let now = instance(name)?.generation;
                let (before, after) = (format!("generation {now}"), format!("generation {}", now + 1));
                Change { restarts: true, ..change(format!("{target}/{name}"), before, after) }
            }
            Self::Shift(weights) => {
                if weights.is_empty() || weights.values().any(|weight| *weight > 1000) {
                    return Err(format!(
                        "weights for {target} must name at least one instance and lie within 0 to 1000"
                    ));
                }
                let now: BTreeMap<_, _> = weights
                    .keys()
                    .map(|name| Ok((name.clone(), instance(name)?.weight)))
                    .collect::<Result<_, String>>()?;
                change(format!("{target} weights"), weights_in_words(&now), weights_in_words(weights))
            }
            Self::Isolate(name, isolated) => {
                let before = traffic_in_words(instance(name)?.isolated);
                change(format!("{target}/{name}"), before.to_owned(), traffic_in_words(*isolated).to_owned())
            }
            Self::Cache(ttl_ms) => {
                let now = state.cache_ttl_ms.ok_or_else(|| format!("{target} has no cache that can be steered"))?;
                change(format!("{target} cache lifetime"), time_in_words(now), time_in_words(*ttl_ms))
            }
        })
    }

    /// Would it change nothing? Asked after [`Action::change`] has found no fault.
    pub(super) fn is_done(&self, state: &TargetState) -> bool {
        match self {
            Self::Scale(to) => state.replicas == *to,
            Self::Restart(_) => false,
            Self::Shift(weights) => {
                weights.iter().all(|(name, weight)| state.instance(name).is_some_and(|i| i.weight == *weight))
            }
            Self::Isolate(name, isolated) => state.instance(name).is_some_and(|i| i.isolated == *isolated),
            Self::Cache(ttl_ms) => state.cache_ttl_ms == Some(*ttl_ms),
        }
    }

    /// Does to `state` what the action would do to the target.
    pub(super) fn simulate(&self, state: &mut TargetState) {
        match self {
            Self::Scale(to) => {
                state.replicas = *to;
                resize(state);
            }
            Self::Restart(name) => {
                for i in state.instances.iter_mut().filter(|i| i.name == *name) {
                    i.generation += 1;
                    i.up = true;
                }
            }
            Self::Shift(weights) => {
                for i in &mut state.instances {
                    if let Some(weight) = weights.get(&i.name) {
                        i.weight = *weight;
                    }
                }
            }
            Self::Isolate(name, isolated) => {
                for i in state.instances.iter_mut().filter(|i| i.name == *name) {
                    i.isolated = *isolated;
                }
            }
            Self::Cache(ttl_ms) => state.cache_ttl_ms = Some(*ttl_ms),
        }
    }

    /// What the host answers: `planned: scale local:shop to 4`.
    pub(super) fn receipt(&self, target: &str) -> String {
        match self {
            Self::Scale(to) => format!("planned: scale {target} to {to}"),
            Self::Restart(name) => format!("planned: restart {target}/{name}"),
            Self::Shift(weights) => format!("planned: shift traffic of {target} to {}", weights_in_words(weights)),
            Self::Isolate(name, true) => format!("planned: isolate {target}/{name}"),
            Self::Isolate(name, false) => format!("planned: take {target}/{name} back into the traffic"),
            Self::Cache(ttl_ms) => format!("planned: cache answers of {target} for {}", time_in_words(*ttl_ms)),
        }
    }
}

/// One step of a plan.
pub(super) struct Change {
    pub(super) subject: String,
    pub(super) before: String,
    after: String,
    restarts: bool,
}

impl Change {
    /// The line that approvers see: `local:shop workers 2 -> 4`.
    pub(super) fn line(&self) -> String {
        let Self { subject, before, after, restarts } = self;
        if *restarts {
            format!("{subject} restart ({before} -> {after})")
        } else {
            format!("{subject} {before} -> {after}")
        }
    }
}

fn no_instance(target: &str, name: &str) -> String {
    format!("{target} has no instance `{}`", name.chars().take(80).collect::<String>())
}

fn traffic_in_words(isolated: bool) -> &'static str {
    if isolated { "isolated" } else { "in traffic" }
}

fn weights_in_words(weights: &BTreeMap<String, u32>) -> String {
    weights.iter().map(|(name, weight)| format!("{name}={weight}")).collect::<Vec<_>>().join(" ")
}

fn time_in_words(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0 => format!("{ms} ms"),
        1..=59 => format!("{:.1} s", ms as f64 / 1000.0),
        60..=3599 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
    }
}

/// Brings the instances into line with `replicas`, as a platform would: new ones at the end, the last first to go.
fn resize(state: &mut TargetState) {
    let wanted = state.replicas as usize;
    state.instances.truncate(wanted);
    let stem = state.instances.first().and_then(|i| i.name.rsplit_once('-')).map_or("instance", |(stem, _)| stem);
    let stem = stem.to_owned();
    for n in state.instances.len()..wanted {
        state.instances.push(Instance { name: format!("{stem}-{}", n + 1), ..Instance::default() });
    }
}

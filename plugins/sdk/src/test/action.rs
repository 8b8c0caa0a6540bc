//! One action on a target that is only imagined: what it would change, in the words of the plan, and the change itself.
//! The same as the host's `model::Action`.

use std::collections::BTreeMap;

use super::words::{
    generation_in_words, is_a_time, setting_in_words, time_in_words, traffic_in_words, weights_in_words,
};
use super::world::TestTarget;
use crate::{Instance, TargetState};

/// One effect on one target.
pub(super) enum Action {
    Scale(u32),
    Restart(String),
    Shift(BTreeMap<String, u32>),
    Isolate(String, bool),
    Cache(u64),
    Rollout,
    Configure(String, String),
    Flush(String),
}

impl Action {
    /// The capability that it needs.
    pub(super) fn capability(&self) -> &'static str {
        match self {
            Self::Scale(_) => "scale",
            Self::Restart(_) | Self::Rollout => "restart",
            Self::Shift(_) => "traffic",
            Self::Isolate(..) => "isolate",
            Self::Cache(_) => "cache",
            Self::Configure(..) => "configure",
            Self::Flush(_) => "flush",
        }
    }

    /// The thing that changes, what it is before, and the line that approvers see.
    ///
    /// # Errors
    /// Why the target would refuse.
    pub(super) fn change(&self, of: &TestTarget) -> Result<Change, String> {
        let (target, state) = (&of.name, &of.state);
        let instance = |name: &str| state.instance(name).ok_or_else(|| no_instance(target, name));
        Ok(match self {
            Self::Scale(to) => {
                let (min, max) = (state.min_replicas, state.max_replicas);
                if !(min..=max).contains(to) {
                    return Err(format!("{target} allows {min} to {max} instances, not {to}"));
                }
                Change::of(format!("{target} {}", unit(target)), state.replicas.to_string(), &to.to_string())
            }
            Self::Restart(name) => {
                let now = instance(name)?.generation;
                let (subject, before) = (format!("{target}/{name}"), generation_in_words(now));
                let line = if is_a_time(now) {
                    format!("{subject} restart (runs {before})")
                } else {
                    format!("{subject} restart ({before} -> {})", generation_in_words(now + 1))
                };
                Change { line, subject, before }
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
                Change::of(format!("{target} weights"), weights_in_words(&now), &weights_in_words(weights))
            }
            Self::Isolate(name, isolated) => {
                let before = traffic_in_words(instance(name)?.isolated);
                Change::of(format!("{target}/{name}"), before.to_owned(), traffic_in_words(*isolated))
            }
            Self::Cache(ttl_ms) => {
                let now = state.cache_ttl_ms.ok_or_else(|| format!("{target} has no cache that can be steered"))?;
                Change::of(format!("{target} cache lifetime"), time_in_words(now), &time_in_words(*ttl_ms))
            }
            Self::Rollout => {
                let last = of.rollout.ok_or_else(|| {
                    format!(
                        "{target} has no platform that replaces its instances a few at a time: restart them one by one"
                    )
                })?;
                let (subject, before) = (format!("{target} rollout"), generation_in_words(last));
                let line = if is_a_time(last) {
                    format!("{subject} (the last one {before})")
                } else {
                    format!("{subject} (the first one)")
                };
                Change { line, subject, before }
            }
            Self::Configure(setting, value) => {
                let now = of.settings.get(setting).ok_or_else(|| no_setting(of, setting))?;
                let after = setting_in_words(value);
                Change::of(format!("{target} {setting}"), setting_in_words(now).to_owned(), after)
            }
            Self::Flush(prefix) => {
                if !of.stores_entries {
                    return Err(format!(
                        "{target} cannot throw away entries by that prefix: it stores none, or the prefix is empty"
                    ));
                }
                Change::of(format!("{target} entries {prefix}*"), "kept".to_owned(), "thrown away")
            }
        })
    }

    /// Would it change nothing? Asked after [`Action::change`] has found no fault.
    pub(super) fn is_done(&self, of: &TestTarget) -> bool {
        let state = &of.state;
        match self {
            Self::Scale(to) => state.replicas == *to,
            Self::Restart(_) | Self::Rollout | Self::Flush(_) => false,
            Self::Shift(weights) => {
                weights.iter().all(|(name, weight)| state.instance(name).is_some_and(|i| i.weight == *weight))
            }
            Self::Isolate(name, isolated) => state.instance(name).is_some_and(|i| i.isolated == *isolated),
            Self::Cache(ttl_ms) => state.cache_ttl_ms == Some(*ttl_ms),
            Self::Configure(setting, value) => of.settings.get(setting) == Some(value),
        }
    }

    /// Does to `of` what the action would do to the target.
    pub(super) fn simulate(&self, of: &mut TestTarget) {
        let state = &mut of.state;
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
            Self::Rollout => {
                of.rollout = of.rollout.map(|last| last + 1);
                for i in &mut state.instances {
                    i.generation += 1;
                    i.up = true;
                }
            }
            Self::Configure(setting, value) => {
                of.settings.insert(setting.clone(), value.clone());
            }
            // What is thrown away is no part of the state.
            Self::Flush(_) => {}
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
            Self::Rollout => format!("planned: roll {target} out anew, a few instances at a time"),
            Self::Configure(setting, value) => {
                format!("planned: set {setting} of {target} to {}", setting_in_words(value))
            }
            Self::Flush(prefix) => format!("planned: throw away all entries {prefix}* of {target}"),
        }
    }
}

/// One step of a plan.
pub(super) struct Change {
    pub(super) subject: String,
    pub(super) before: String,
    /// What approvers see: `local:shop workers 2 -> 4`.
    pub(super) line: String,
}

impl Change {
    fn of(subject: String, before: String, after: &str) -> Self {
        Self { line: format!("{subject} {before} -> {after}"), subject, before }
    }
}

/// What the instances of a target are called.
fn unit(target: &str) -> &'static str {
    match target.split(':').next() {
        Some("local") => "workers",
        Some("k8s") => "replicas",
        _ => "instances",
    }
}

fn no_instance(target: &str, name: &str) -> String {
    format!("{target} has no instance `{}`", name.chars().take(80).collect::<String>())
}

fn no_setting(of: &TestTarget, setting: &str) -> String {
    let known: Vec<_> = of.settings.keys().take(20).map(String::as_str).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!("{} has no setting `{}`; it has {known}", of.name, setting.chars().take(80).collect::<String>())
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

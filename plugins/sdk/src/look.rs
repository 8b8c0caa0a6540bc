//! Looking: at the incident, at what was measured, and for something to act on. Nothing here changes anything.

use crate::{Driver, Failure, HostError, Incident, InstanceMetrics, Metric, Otherwise, Target, TargetState, host};

/// The incident. The same answer for the whole run.
#[must_use]
pub fn incident() -> Incident {
    host::incident()
}

/// The last sample of the service as a whole. The same answer for the whole run; may be empty.
#[must_use]
pub fn metrics() -> Vec<Metric> {
    host::metrics()
}

/// One metric of the last sample of the service as a whole, in its own unit: `metric("latency_p95")`.
#[must_use]
pub fn metric(name: &str) -> Option<f64> {
    host::metrics().into_iter().find(|m| m.name == name).map(|m| m.value)
}

/// The last sample by instance, where instances can be told apart. The same answer for the whole run; may be empty.
#[must_use]
pub fn metrics_by_instance() -> Vec<InstanceMetrics> {
    host::metrics_by_instance()
}

/// Everything the incident lets us act on, in the config's order; may be empty.
#[must_use]
pub fn all_targets() -> Vec<Target> {
    host::targets().into_iter().map(Target).collect()
}

/// The one target of the incident, or the first of several.
///
/// # Errors
/// [`Failure::NotApplicable`] when there is none.
pub fn only_target() -> Result<Target, Failure> {
    all_targets().into_iter().next().otherwise("the service has no target to act on")
}

/// The first target whose state pleases, with that state: `find_target(TargetState::can_grow)?`.
///
/// # Errors
/// When a target cannot be looked at.
pub fn find_target(pleases: impl Fn(&TargetState) -> bool) -> Result<Option<(Target, TargetState)>, HostError> {
    let found = find_in_targets(|state| pleases(state).then_some(()))?;
    Ok(found.map(|(target, state, ())| (target, state)))
}

/// The first target in which something is found, with its state and what was found.
///
/// # Errors
/// When a target cannot be looked at.
pub fn find_in_targets<T>(
    find: impl Fn(&TargetState) -> Option<T>,
) -> Result<Option<(Target, TargetState, T)>, HostError> {
    for target in all_targets() {
        let state = target.state()?;
        if let Some(found) = find(&state) {
            return Ok(Some((target, state, found)));
        }
    }
    Ok(None)
}

/// The first target of which something is true that its state does not say: `target_that(Target::rolls_out)?`.
///
/// # Errors
/// When a target cannot be looked at.
pub fn target_that(pleases: impl Fn(&Target) -> Result<bool, HostError>) -> Result<Option<Target>, HostError> {
    for target in all_targets() {
        if pleases(&target)? {
            return Ok(Some(target));
        }
    }
    Ok(None)
}

/// The instance that a playbook is to act on: the one named by an argument, else one that does not answer, else the
/// one that stands out in the metric most responsible. `None` when nothing points at an instance of this target.
#[must_use]
pub fn sick_instance(named: Option<&str>, drivers: &[Driver], state: &TargetState) -> Option<String> {
    let known = |name: &str| state.instance(name).map(|i| i.name.clone());
    if let Some(name) = named {
        return known(name);
    }
    let down = state.down().next().map(|i| i.name.clone());
    down.or_else(|| drivers.iter().filter_map(|d| d.instance.as_deref()).find_map(known))
}

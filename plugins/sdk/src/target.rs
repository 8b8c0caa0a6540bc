//! What can be done to a target, as methods. Each method is one capability: what is not called is not imported.

use crate::bindings::playbook::suture::{
    cache::cache, incident::incident, isolate::isolate, log::log, observe::observe, restart::restart, scale::scale,
    traffic::traffic,
};
use crate::{Driver, Failure, HostError, Instance, Target, TargetState, not_applicable};

/// What can be done to a target. Each action gives the host's receipt, one line.
///
/// # Errors
/// All of them: [`HostError`], decided before any effect except `TimedOut` and `OutcomeUnknown`.
#[expect(clippy::missing_errors_doc, reason = "the same for all, said above")]
pub trait TargetExt {
    /// Looks at it; in a dry run with the changes asked for so far. Changes nothing.
    fn state(&self) -> Result<TargetState, HostError>;
    /// Has it run `to` instances.
    fn scale_to(&self, to: u32) -> Result<String, HostError>;
    /// Ends one instance and starts it afresh; its memory is lost.
    fn restart(&self, instance: &str) -> Result<String, HostError>;
    /// Gives instances other parts of the traffic; 100 is usual, 0 to 1000.
    fn weigh(&self, weights: &[(String, u32)]) -> Result<String, HostError>;
    /// Takes an instance out of the traffic.
    fn isolate(&self, instance: &str) -> Result<String, HostError>;
    /// Takes an instance back into the traffic.
    fn take_back(&self, instance: &str) -> Result<String, HostError>;
    /// Lets cached answers live this many milliseconds.
    fn cache_for_ms(&self, ttl_ms: u64) -> Result<String, HostError>;
}

impl TargetExt for Target {
    fn state(&self) -> Result<TargetState, HostError> {
        observe::state(self)
    }

    fn scale_to(&self, to: u32) -> Result<String, HostError> {
        scale::set_replicas(self, to)
    }

    fn restart(&self, instance: &str) -> Result<String, HostError> {
        restart::restart_instance(self, instance)
    }

    fn weigh(&self, weights: &[(String, u32)]) -> Result<String, HostError> {
        let shares: Vec<_> = weights
            .iter()
            .map(|(instance, weight)| traffic::Share { instance: instance.clone(), weight: *weight })
            .collect();
        traffic::set_weights(self, &shares)
    }

    fn isolate(&self, instance: &str) -> Result<String, HostError> {
        isolate::set_isolated(self, instance, true)
    }

    fn take_back(&self, instance: &str) -> Result<String, HostError> {
        isolate::set_isolated(self, instance, false)
    }

    fn cache_for_ms(&self, ttl_ms: u64) -> Result<String, HostError> {
        cache::set_ttl(self, ttl_ms)
    }
}

impl TargetState {
    /// The instance of this name.
    #[must_use]
    pub fn instance(&self, name: &str) -> Option<&Instance> {
        self.instances.iter().find(|i| i.name == name)
    }

    /// Instances that answer and get traffic.
    pub fn serving(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(|i| i.up && !i.isolated && i.weight > 0)
    }
}

/// Everything the incident lets us act on, in the config's order.
#[must_use]
pub fn all_targets() -> Vec<Target> {
    incident::targets()
}

/// The one target of the incident, or the first of several.
///
/// # Errors
/// `NotApplicable` when there is none.
pub fn only_target() -> Result<Target, Failure> {
    incident::targets().into_iter().next().ok_or_else(|| not_applicable("the service has no target to act on"))
}

/// The first target whose state pleases, with that state.
///
/// # Errors
/// `NotApplicable` with `otherwise` when there is none; [`HostError`] when a target cannot be looked at.
pub fn find_target(pleases: impl Fn(&TargetState) -> bool, otherwise: &str) -> Result<(Target, TargetState), Failure> {
    for target in incident::targets() {
        let state = target.state()?;
        if pleases(&state) {
            return Ok((target, state));
        }
    }
    Err(not_applicable(otherwise))
}

/// The instance that a playbook is to act on: the one named by an argument, else one that does not answer, else the
/// one that stands out in the metric most responsible. `None` when nothing points at an instance of this target.
#[must_use]
pub fn sick_instance(named: Option<&str>, drivers: &[Driver], state: &TargetState) -> Option<String> {
    let known = |name: &str| state.instance(name).map(|i| i.name.clone());
    if let Some(name) = named {
        return known(name);
    }
    let down = state.instances.iter().find(|i| !i.up).map(|i| i.name.clone());
    down.or_else(|| drivers.iter().filter_map(|d| d.instance.as_deref()).find_map(known))
}

/// Writes one line into the record of the run.
pub fn info(message: &str) {
    log::write(log::Level::Info, message);
}

/// Writes one line that something was not as expected.
pub fn warn(message: &str) {
    log::write(log::Level::Warn, message);
}

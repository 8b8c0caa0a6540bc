//! The host's functions, with the SDK's own types. One function a capability, so that what nobody calls is dropped by
//! the linker, and with it the import.

use super::bindings::playbook::suture::{
    cache::cache, configure::configure, flush::flush, incident::incident as wit, isolate::isolate, log::log as wit_log,
    metrics::metrics as measured, restart::restart, rollout::rollout, scale::scale, state::state as notes,
    traffic::traffic,
};
use crate::note::Level;
use crate::{HostError, Incident, InstanceMetrics, Metric, TargetState};

/// A target, given by the host.
pub struct Handle(wit::Target);

impl Handle {
    pub(crate) fn name(&self) -> String {
        self.0.name()
    }

    pub(crate) fn kind(&self) -> String {
        self.0.kind()
    }

    pub(crate) fn state(&self) -> Result<TargetState, HostError> {
        Ok(self.0.state()?.into())
    }
}

pub(crate) fn incident() -> Incident {
    wit::current().into()
}

pub(crate) fn targets() -> Vec<Handle> {
    wit::targets().into_iter().map(Handle).collect()
}

pub(crate) fn metrics() -> Vec<Metric> {
    measured::latest().into_iter().map(Into::into).collect()
}

pub(crate) fn metrics_by_instance() -> Vec<InstanceMetrics> {
    measured::latest_by_instance().into_iter().map(Into::into).collect()
}

pub(crate) fn set_replicas(target: &Handle, to: u32) -> Result<String, HostError> {
    Ok(scale::set_replicas(&target.0, to)?)
}

pub(crate) fn restart_instance(target: &Handle, instance: &str) -> Result<String, HostError> {
    Ok(restart::restart_instance(&target.0, instance)?)
}

pub(crate) fn set_weights(target: &Handle, weights: Vec<(String, u32)>) -> Result<String, HostError> {
    let shares: Vec<_> = weights.into_iter().map(|(instance, weight)| traffic::Share { instance, weight }).collect();
    Ok(traffic::set_weights(&target.0, &shares)?)
}

pub(crate) fn set_isolated(target: &Handle, instance: &str, isolated: bool) -> Result<String, HostError> {
    Ok(isolate::set_isolated(&target.0, instance, isolated)?)
}

pub(crate) fn set_ttl(target: &Handle, ttl_ms: u64) -> Result<String, HostError> {
    Ok(cache::set_ttl(&target.0, ttl_ms)?)
}

pub(crate) fn rolls_out(target: &Handle) -> Result<bool, HostError> {
    Ok(rollout::rolls_out(&target.0)?)
}

pub(crate) fn roll_out(target: &Handle) -> Result<String, HostError> {
    Ok(rollout::roll_out(&target.0)?)
}

pub(crate) fn settings(target: &Handle) -> Result<Vec<(String, String)>, HostError> {
    let one = |configure::Setting { name, value }| (name, value);
    Ok(configure::settings(&target.0)?.into_iter().map(one).collect())
}

pub(crate) fn set_setting(target: &Handle, name: &str, value: &str) -> Result<String, HostError> {
    Ok(configure::set(&target.0, name, value)?)
}

pub(crate) fn stores_entries(target: &Handle) -> Result<bool, HostError> {
    Ok(flush::stores_entries(&target.0)?)
}

pub(crate) fn flush_by_prefix(target: &Handle, prefix: &str) -> Result<String, HostError> {
    Ok(flush::by_prefix(&target.0, prefix)?)
}

pub(crate) fn note(key: &str) -> Option<String> {
    notes::get(key)
}

pub(crate) fn set_note(key: &str, value: &str) -> Result<(), HostError> {
    Ok(notes::set(key, value)?)
}

pub(crate) fn remove_note(key: &str) {
    notes::remove(key);
}

pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Debug => wit_log::Level::Debug,
        Level::Info => wit_log::Level::Info,
        Level::Warn => wit_log::Level::Warn,
    };
    wit_log::write(level, message);
}

//! Between the contract's types and the SDK's. Every record is taken apart field by field: what one has and the other
//! has not is an error of the compiler.

use super::bindings::playbook::exports::suture::plugin::remedy;
use super::bindings::playbook::suture::incident::incident;
use super::bindings::playbook::suture::types::types as wit;
use super::bindings::rule::exports::suture::plugin::advice;
use crate::{
    Denial, Driver, Failure, HostError, Incident, Instance, InstanceMetrics, Metric, Param, ParamKind, Proposal,
    Severity, TargetState, Trend,
};

fn all<T: Into<U>, U>(list: Vec<T>) -> Vec<U> {
    list.into_iter().map(Into::into).collect()
}

impl From<incident::Incident> for Incident {
    fn from(told: incident::Incident) -> Self {
        let incident::Incident { id, service, severity, risk, since_ms, drivers, tried } = told;
        let severity = match severity {
            wit::Severity::None => Severity::None,
            wit::Severity::Low => Severity::Low,
            wit::Severity::Medium => Severity::Medium,
            wit::Severity::High => Severity::High,
            wit::Severity::Critical => Severity::Critical,
        };
        Self { id, service, severity, risk, since_ms, drivers: all(drivers), tried }
    }
}

impl From<wit::Driver> for Driver {
    fn from(told: wit::Driver) -> Self {
        let wit::Driver { metric, share, value, normal, low, high, unit, trend, recent, instance } = told;
        let trend = match trend {
            wit::Trend::Steady => Trend::Steady,
            wit::Trend::Rising => Trend::Rising,
            wit::Trend::Falling => Trend::Falling,
            wit::Trend::Step => Trend::Step,
        };
        Self { metric, share, value, normal, low, high, unit, trend, recent, instance }
    }
}

impl From<wit::Metric> for Metric {
    fn from(wit::Metric { name, value }: wit::Metric) -> Self {
        Self { name, value }
    }
}

impl From<wit::InstanceMetrics> for InstanceMetrics {
    fn from(wit::InstanceMetrics { instance, metrics }: wit::InstanceMetrics) -> Self {
        Self { instance, metrics: all(metrics) }
    }
}

impl From<wit::Instance> for Instance {
    fn from(told: wit::Instance) -> Self {
        let wit::Instance { name, up, isolated, weight, generation } = told;
        Self { name, up, isolated, weight, generation }
    }
}

impl From<wit::TargetState> for TargetState {
    fn from(told: wit::TargetState) -> Self {
        let wit::TargetState { replicas, min_replicas, max_replicas, instances, cache_ttl_ms } = told;
        Self { replicas, min_replicas, max_replicas, instances: all(instances), cache_ttl_ms }
    }
}

impl From<wit::HostError> for HostError {
    fn from(error: wit::HostError) -> Self {
        match error {
            wit::HostError::Denied(wit::Denial { capability, target, hint }) => {
                Self::Denied(Denial { capability, target, hint })
            }
            wit::HostError::OverBudget(why) => Self::OverBudget(why),
            wit::HostError::NotFound(why) => Self::NotFound(why),
            wit::HostError::Conflict(why) => Self::Conflict(why),
            wit::HostError::TimedOut(why) => Self::TimedOut(why),
            wit::HostError::Unavailable(why) => Self::Unavailable(why),
            wit::HostError::OutcomeUnknown(why) => Self::OutcomeUnknown(why),
        }
    }
}

impl From<HostError> for wit::HostError {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Denied(Denial { capability, target, hint }) => {
                Self::Denied(wit::Denial { capability, target, hint })
            }
            HostError::OverBudget(why) => Self::OverBudget(why),
            HostError::NotFound(why) => Self::NotFound(why),
            HostError::Conflict(why) => Self::Conflict(why),
            HostError::TimedOut(why) => Self::TimedOut(why),
            HostError::Unavailable(why) => Self::Unavailable(why),
            HostError::OutcomeUnknown(why) => Self::OutcomeUnknown(why),
        }
    }
}

impl From<Failure> for remedy::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotApplicable(why) => Self::NotApplicable(why),
            Failure::InvalidArgument(why) => Self::InvalidArgument(why),
            Failure::Host(error) => Self::Host(error.into()),
            Failure::Failed(why) => Self::Failed(why),
        }
    }
}

impl From<Param> for remedy::Param {
    fn from(Param { name, kind, default, min, max, summary }: Param) -> Self {
        let kind = match kind {
            ParamKind::Integer => remedy::ParamKind::Integer,
            ParamKind::Number => remedy::ParamKind::Number,
            ParamKind::Text => remedy::ParamKind::Text,
            ParamKind::Flag => remedy::ParamKind::Flag,
            ParamKind::DurationMs => remedy::ParamKind::DurationMs,
        };
        Self { name, kind, default, min, max, summary }
    }
}

impl From<Proposal> for advice::Proposal {
    fn from(Proposal { playbook, args, why }: Proposal) -> Self {
        let args = args.into_iter().map(|(name, value)| wit::Argument { name, value }).collect();
        Self { playbook, args, why }
    }
}

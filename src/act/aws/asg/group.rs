//! A group as it is: what AWS says of it, digested. Pure.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_autoscaling::types::{
    AutoScalingGroup, Instance as AwsInstance, InstanceRefresh, InstanceRefreshStatus, LifecycleState, ScalingPolicy,
};
use aws_sdk_elasticloadbalancingv2::types::{
    TargetHealthDescription, TargetHealthReasonEnum as Reason, TargetHealthStateEnum as Health,
};

use crate::model::{ActionKind, Instance, TargetState};
use crate::platform::aws::{Fault, excerpt};

/// The processes of a group that can be suspended, as AWS names them.
pub(super) const PROCESSES: [&str; 9] = [
    "AZRebalance",
    "AddToLoadBalancer",
    "AlarmNotification",
    "HealthCheck",
    "InstanceRefresh",
    "Launch",
    "ReplaceUnhealthy",
    "ScheduledActions",
    "Terminate",
];
/// What stands before the name of a process in [`TargetState::settings`].
pub(super) const PROCESS: &str = "process/";
/// Values of such a setting.
pub(super) const RUNNING: &str = "running";
/// The other one.
pub(super) const SUSPENDED: &str = "suspended";

/// A group, with the health that its target groups know of.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) desired: u32,
    pub(super) min: u32,
    pub(super) max: u32,
    /// What `desired` counts, where it is not instances: `vcpu`, `memory-mib`.
    pub(super) counts: Option<String>,
    /// By id.
    pub(super) members: Vec<Member>,
    /// ARNs.
    pub(super) target_groups: Vec<String>,
    pub(super) suspended: BTreeSet<String>,
    /// Classic load balancers have instances of it too.
    has_classic: bool,
    /// What the load balancer finds unhealthy is replaced.
    heeds_balancer: bool,
    /// Why it is no group like others: `Delete in progress`.
    status: Option<String>,
}

/// One instance of a group.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) lifecycle: LifecycleState,
    healthy: bool,
    protected: bool,
    /// How much of `desired` it is.
    weight: u32,
    /// What each target group, by ARN, says of it.
    pub(super) seats: BTreeMap<String, Seat>,
}

/// An instance in a target group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    state: Health,
    reason: Option<Reason>,
    words: String,
}

impl Seat {
    /// Does it get new requests, or would it, were it healthy?
    pub(super) fn is_taken(&self) -> bool {
        match self.state {
            Health::Draining | Health::UnhealthyDraining => false,
            Health::Unused => self.reason != Some(Reason::NotRegistered),
            _ => true,
        }
    }

    /// Nothing is wrong with it, as far as the target group can tell.
    pub(super) fn is_well(&self) -> bool {
        match self.state {
            // Unavailable: health checks are switched off.
            Health::Healthy | Health::Unavailable => true,
            Health::Unused => self.reason == Some(Reason::NotInUse),
            _ => false,
        }
    }

    /// `unhealthy (Target.Timeout): Request timed out`.
    pub(super) fn in_words(&self) -> String {
        let reason = self.reason.as_ref().map(|reason| format!(" ({})", excerpt(reason.as_str(), 60)));
        let words = if self.words.is_empty() { String::new() } else { format!(": {}", excerpt(&self.words, 120)) };
        format!("{}{}{words}", excerpt(self.state.as_str(), 40), reason.unwrap_or_default())
    }
}

impl Member {
    /// Is it in service for the group, whatever the load balancer says?
    pub(super) fn in_service(&self) -> bool {
        self.lifecycle == LifecycleState::InService
    }

    /// Is it on its way out?
    pub(super) fn is_leaving(&self) -> bool {
        self.lifecycle.as_str().starts_with("Terminat") || self.lifecycle.as_str().starts_with("Detach")
    }

    /// In service, healthy, and well in every target group that sends it requests.
    pub(super) fn is_up(&self) -> bool {
        self.in_service() && self.healthy && self.seats.values().all(|seat| seat.is_well() || !seat.is_taken())
    }

    /// Set aside by the group's own means.
    pub(super) fn is_standby(&self) -> bool {
        matches!(self.lifecycle, LifecycleState::Standby | LifecycleState::EnteringStandby)
    }

    /// Set aside, or in none of the target groups although it is in service.
    pub(super) fn is_isolated(&self, target_groups: &[String]) -> bool {
        let out = |arn: &String| self.seats.get(arn).is_none_or(|seat| !seat.is_taken());
        self.is_standby() || self.in_service() && !target_groups.is_empty() && target_groups.iter().all(out)
    }

    /// `i-0abc is Pending`, for what does not serve yet.
    pub(super) fn in_words(&self) -> String {
        let unwell = self.seats.values().find(|seat| !seat.is_well() && seat.is_taken());
        match (self.in_service(), unwell) {
            (false, _) => format!("{} is {}", self.id, excerpt(self.lifecycle.as_str(), 40)),
            (true, Some(seat)) => format!("{} is {}", self.id, seat.in_words()),
            (true, None) if !self.healthy => format!("{} is unhealthy", self.id),
            (true, None) => format!("{} is in service", self.id),
        }
    }
}

fn count(n: Option<i32>) -> u32 {
    n.and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
}

/// The ARNs of the target groups that instances of a group are put into.
pub(super) fn target_groups(group: &AutoScalingGroup) -> Vec<String> {
    let sources = group.traffic_sources().iter().filter(|source| source.r#type.as_deref() == Some("elbv2"));
    let mut arns: Vec<String> = group.target_group_arns().to_vec();
    arns.extend(sources.filter_map(|source| source.identifier.clone()));
    arns.sort();
    arns.dedup();
    arns
}

impl Group {
    /// A group of AWS, with what each of its target groups says.
    pub(super) fn of(group: &AutoScalingGroup, health: &[(String, Vec<TargetHealthDescription>)]) -> Self {
        let mut members: Vec<Member> = group.instances().iter().filter_map(|i| member(i, health)).collect();
        members.sort_by(|a, b| a.id.cmp(&b.id));
        Self {
            desired: count(group.desired_capacity),
            min: count(group.min_size),
            max: count(group.max_size),
            counts: group.desired_capacity_type.clone().filter(|kind| !kind.is_empty() && kind != "units"),
            members,
            target_groups: target_groups(group),
            suspended: group.suspended_processes().iter().filter_map(|p| p.process_name.clone()).collect(),
            has_classic: !group.load_balancer_names().is_empty(),
            heeds_balancer: group.health_check_type.as_deref().is_some_and(|kinds| kinds.contains("ELB")),
            status: group.status.clone(),
        }
    }

    /// The instance of this id.
    pub(super) fn member(&self, id: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    /// How much of `desired` is in service.
    pub(super) fn in_service(&self) -> u32 {
        self.members.iter().filter(|member| member.in_service()).map(|member| member.weight).sum()
    }

    /// How much is there, or on its way to being there.
    pub(super) fn staying(&self) -> u32 {
        self.members.iter().filter(|member| !member.is_leaving() && !member.is_standby()).map(|m| m.weight).sum()
    }

    /// What the port calls the state of a target.
    pub(super) fn state(
        &self,
        refreshes: &Result<Vec<InstanceRefresh>, Fault>,
        policies: &Result<Vec<ScalingPolicy>, Fault>,
    ) -> TargetState {
        let instances = self.members.iter().map(|member| Instance {
            name: member.id.clone(),
            up: member.is_up(),
            isolated: member.is_isolated(&self.target_groups),
            weight: 100,
            // Auto Scaling does not say since when an instance has run. A replacement has another id anyway.
            generation: 0,
        });
        let process = |name: &str| {
            let value = if self.suspended.contains(name) { SUSPENDED } else { RUNNING };
            (format!("{PROCESS}{name}"), value.to_owned())
        };
        TargetState {
            replicas: self.desired,
            min_replicas: self.min,
            max_replicas: self.max,
            instances: instances.collect(),
            rollout: refreshes.as_ref().ok().map(|refreshes| newest_start(refreshes)),
            renames: true,
            can: [ActionKind::Scale, ActionKind::Restart, ActionKind::Isolate, ActionKind::Configure].into(),
            settings: PROCESSES.into_iter().map(process).collect(),
            notes: self.notes(refreshes, policies),
            ..TargetState::default()
        }
    }

    fn notes(
        &self,
        refreshes: &Result<Vec<InstanceRefresh>, Fault>,
        policies: &Result<Vec<ScalingPolicy>, Fault>,
    ) -> Vec<String> {
        let mut notes = Vec::new();
        match policies {
            Ok(policies) => notes.extend(policies.iter().filter_map(policy_note)),
            Err(fault) => notes.push(format!("Who else scales it is not known: {fault}.")),
        }
        match refreshes {
            Ok(refreshes) => notes.extend(refreshes.iter().find(|r| is_under_way(r)).map(|refresh| {
                let percent = refresh.percentage_complete.unwrap_or(0);
                format!("An instance refresh is under way ({percent} %).")
            })),
            Err(fault) => {
                notes.push(format!("It cannot be rolled out from here, for its refreshes cannot be seen: {fault}."))
            }
        }
        if !self.suspended.is_empty() {
            let names: Vec<&str> = self.suspended.iter().take(9).map(String::as_str).collect();
            notes.push(format!("Suspended: {}.", excerpt(&names.join(", "), 200)));
        }
        let protected = self.members.iter().filter(|member| member.protected).count();
        if protected > 0 {
            notes.push(format!("{protected} of its instances are protected from scale-in and stay when it shrinks."));
        }
        if self.heeds_balancer && !self.target_groups.is_empty() && !self.suspended.contains("ReplaceUnhealthy") {
            notes.push(
                "It replaces what its load balancer finds unhealthy, so an isolated instance may be replaced too: \
                 suspend process/ReplaceUnhealthy first to keep it."
                    .to_owned(),
            );
        }
        if self.has_classic {
            notes.push("It is attached to a classic load balancer as well, which isolating does not reach.".to_owned());
        }
        if let Some(kind) = &self.counts {
            notes.push(format!("Its capacity counts {}, not instances.", excerpt(kind, 40)));
        }
        if let Some(status) = &self.status {
            notes.push(format!("Its status is: {}.", excerpt(status, 80)));
        }
        notes
    }
}

fn member(instance: &AwsInstance, health: &[(String, Vec<TargetHealthDescription>)]) -> Option<Member> {
    let id = instance.instance_id.clone().filter(|id| !id.is_empty())?;
    let mut seats = BTreeMap::new();
    for (arn, targets) in health {
        let of_it = targets.iter().filter(|t| t.target.as_ref().and_then(|t| t.id.as_deref()) == Some(id.as_str()));
        // Once a port. In traffic as long as one port is, and as well as the worst of those.
        let mut of_it: Vec<Seat> = of_it.map(seat).collect();
        of_it.sort_by_key(|seat| (!seat.is_taken(), seat.is_well()));
        if let Some(seat) = of_it.into_iter().next() {
            seats.insert(arn.clone(), seat);
        }
    }
    Some(Member {
        lifecycle: instance.lifecycle_state.clone().unwrap_or_else(|| LifecycleState::from("unknown")),
        healthy: instance.health_status.as_deref().is_some_and(|status| status.eq_ignore_ascii_case("healthy")),
        protected: instance.protected_from_scale_in.unwrap_or(false),
        weight: instance.weighted_capacity.as_deref().and_then(|weight| weight.parse().ok()).unwrap_or(1),
        id,
        seats,
    })
}

fn seat(target: &TargetHealthDescription) -> Seat {
    let health = target.target_health.as_ref();
    Seat {
        state: health.and_then(|h| h.state.clone()).unwrap_or_else(|| Health::from("unknown")),
        reason: health.and_then(|h| h.reason.clone()),
        words: health.and_then(|h| h.description.clone()).unwrap_or_default(),
    }
}

/// When the newest refresh began, in seconds since the epoch; 0 when there never was one.
pub(super) fn newest_start(refreshes: &[InstanceRefresh]) -> u64 {
    let starts = refreshes.iter().filter_map(|refresh| refresh.start_time.map(|time| time.secs()));
    starts.filter_map(|secs| u64::try_from(secs).ok()).max().unwrap_or(0)
}

/// Has it not ended?
pub(super) fn is_under_way(refresh: &InstanceRefresh) -> bool {
    use InstanceRefreshStatus as S;
    match &refresh.status {
        Some(status) => {
            ![S::Successful, S::Failed, S::Cancelled, S::RollbackSuccessful, S::RollbackFailed].contains(status)
        }
        None => false,
    }
}

fn policy_note(policy: &ScalingPolicy) -> Option<String> {
    if policy.enabled == Some(false) {
        return None;
    }
    let name = excerpt(policy.policy_name.as_deref().unwrap_or("without a name"), 80);
    Some(match policy.policy_type.as_deref() {
        Some("TargetTrackingScaling") => {
            format!("Its target tracking policy {name} sets the number of instances and may set it back.")
        }
        Some("PredictiveScaling") => {
            format!("Its predictive policy {name} raises the number of instances ahead of time.")
        }
        _ => format!("Its scaling policy {name} may change the number of instances."),
    })
}

#[cfg(test)]
mod tests;

use aws_sdk_autoscaling::primitives::DateTime;
use aws_sdk_autoscaling::types::{SuspendedProcess, TrafficSourceIdentifier};
use aws_sdk_elasticloadbalancingv2::types::{TargetDescription, TargetHealth};

use super::*;

const BLUE: &str = "arn:blue";
const GREEN: &str = "arn:green";

fn instance(id: &str, lifecycle: LifecycleState, health: &str) -> AwsInstance {
    AwsInstance::builder().instance_id(id).lifecycle_state(lifecycle).health_status(health).build()
}

fn target(id: &str, state: Health, reason: Option<Reason>) -> TargetHealthDescription {
    let health = TargetHealth::builder().state(state).set_reason(reason).build();
    let target = TargetDescription::builder().id(id).port(80).build();
    TargetHealthDescription::builder().target(target).target_health(health).build()
}

fn group_of(instances: Vec<AwsInstance>) -> AutoScalingGroup {
    AutoScalingGroup::builder()
        .auto_scaling_group_name("web")
        .desired_capacity(2)
        .min_size(1)
        .max_size(4)
        .set_instances(Some(instances))
        .target_group_arns(GREEN)
        .traffic_sources(TrafficSourceIdentifier::builder().identifier(BLUE).r#type("elbv2").build())
        .traffic_sources(TrafficSourceIdentifier::builder().identifier("arn:lattice").r#type("vpc-lattice").build())
        .build()
}

fn health(of: &[(&str, &[TargetHealthDescription])]) -> Vec<(String, Vec<TargetHealthDescription>)> {
    of.iter().map(|(arn, targets)| ((*arn).to_owned(), targets.to_vec())).collect()
}

/// Up and isolated, of each instance.
fn seen(group: &Group) -> Vec<(String, bool, bool)> {
    let state = group.state(&Ok(Vec::new()), &Ok(Vec::new()));
    state.instances.into_iter().map(|i| (i.name, i.up, i.isolated)).collect()
}

#[test]
fn target_groups_come_from_both_lists_once() {
    assert_eq!(target_groups(&group_of(Vec::new())), [BLUE, GREEN]);
}

#[test]
fn an_instance_is_up_when_the_group_and_its_load_balancers_say_so() {
    use LifecycleState::{InService, Pending, TerminatingWait};
    let group = group_of(vec![
        instance("i-5", TerminatingWait, "Healthy"),
        instance("i-1", InService, "Healthy"),
        instance("i-2", InService, "Unhealthy"),
        instance("i-3", InService, "Healthy"),
        instance("i-4", Pending, "Healthy"),
    ]);
    let blue: Vec<_> = ["i-1", "i-2", "i-3"].map(|id| target(id, Health::Healthy, None)).into();
    let mut green = blue.clone();
    green[2] = target("i-3", Health::Unhealthy, Some(Reason::Timeout));
    let group = Group::of(&group, &health(&[(BLUE, &blue), (GREEN, &green)]));
    let up: Vec<bool> = seen(&group).into_iter().map(|(_, up, _)| up).collect();
    assert_eq!(up, [true, false, false, false, false]);
    assert_eq!(group.member("i-3").unwrap().in_words(), "i-3 is unhealthy (Target.Timeout)");
    assert_eq!((group.in_service(), group.staying()), (3, 4));
    assert!(group.member("i-5").unwrap().is_leaving());
}

#[test]
fn an_instance_is_isolated_when_no_target_group_sends_it_anything() {
    let group = group_of(vec![
        instance("i-1", LifecycleState::InService, "Healthy"),
        instance("i-2", LifecycleState::InService, "Healthy"),
        instance("i-3", LifecycleState::Standby, "Healthy"),
        instance("i-4", LifecycleState::Pending, "Healthy"),
    ]);
    let blue = [target("i-1", Health::Draining, None), target("i-2", Health::Draining, None)];
    let green = [target("i-2", Health::Healthy, None)];
    let group = Group::of(&group, &health(&[(BLUE, &blue), (GREEN, &green)]));
    let isolated: Vec<bool> = seen(&group).into_iter().map(|(_, _, isolated)| isolated).collect();
    // Not the second, which one of them still serves, nor the fourth, which is not there yet.
    assert_eq!(isolated, [true, false, true, false]);
    // Out of the traffic is not down: it lives on for inspection.
    assert!(group.member("i-1").unwrap().is_up());
}

#[test]
fn a_target_group_that_nobody_uses_is_no_reason_to_call_an_instance_down() {
    let group = group_of(vec![instance("i-1", LifecycleState::InService, "Healthy")]);
    let unused = [target("i-1", Health::Unused, Some(Reason::NotInUse))];
    let group = Group::of(&group, &health(&[(BLUE, &unused), (GREEN, &unused)]));
    assert_eq!(seen(&group), [("i-1".to_owned(), true, false)]);
}

#[test]
fn the_approver_is_told_who_else_has_a_say() {
    let mut group = group_of(Vec::new());
    group.suspended_processes = Some(vec![SuspendedProcess::builder().process_name("Launch").build()]);
    group.health_check_type = Some("ELB".to_owned());
    let group = Group::of(&group, &health(&[]));
    let policy = |name: &str, kind: &str, enabled| {
        ScalingPolicy::builder().policy_name(name).policy_type(kind).enabled(enabled).build()
    };
    let policies = vec![policy("cpu50", "TargetTrackingScaling", true), policy("old", "SimpleScaling", false)];
    let refresh = InstanceRefresh::builder()
        .status(InstanceRefreshStatus::InProgress)
        .percentage_complete(40)
        .start_time(DateTime::from_secs(1_700_000_000))
        .build();
    let state = group.state(&Ok(vec![refresh]), &Ok(policies));
    let notes = state.notes.join("\n");
    for part in ["cpu50", "may set it back", "40 %", "Suspended: Launch", "ReplaceUnhealthy"] {
        assert!(notes.contains(part), "{part} in:\n{notes}");
    }
    assert!(!notes.contains("old"), "{notes}");
    assert_eq!(state.rollout, Some(1_700_000_000));
    assert_eq!(state.settings["process/Launch"], "suspended");
    assert_eq!(state.settings["process/Terminate"], "running");
    assert_eq!(state.settings.len(), PROCESSES.len());
}

#[test]
fn what_only_says_more_may_be_missing() {
    let denied = || Fault::Denied("the credentials lack autoscaling:DescribePolicies".to_owned());
    let state = Group::of(&group_of(Vec::new()), &[]).state(&Err(denied()), &Err(denied()));
    assert_eq!((state.replicas, state.min_replicas, state.max_replicas, state.rollout), (2, 1, 4, None));
    assert!(state.notes.iter().any(|note| note.contains("cannot be rolled out from here")));
}

#[test]
fn a_refresh_that_has_not_ended_is_under_way() {
    use InstanceRefreshStatus as S;
    let is = |status: S| is_under_way(&InstanceRefresh::builder().status(status).build());
    assert!(is(S::Pending) && is(S::InProgress) && is(S::Cancelling) && is(S::Baking) && is(S::RollbackInProgress));
    assert!(!is(S::Successful) && !is(S::Failed) && !is(S::Cancelled) && !is(S::RollbackSuccessful));
    assert_eq!(newest_start(&[]), 0);
}

#[test]
fn numbers_that_make_no_sense_are_none() {
    let mut group = group_of(vec![AwsInstance::builder().build()]);
    group.desired_capacity = Some(-3);
    let group = Group::of(&group, &[]);
    assert_eq!((group.desired, group.members.len()), (0, 0));
}

//! AWS: groups and load balancers against moto's server, with a gate between them that plays what moto does
//! not: what is denied, throttled, lost on the way, and instance refreshes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use suture::act::aws::{AsgActuator, ElbActuator};
use suture::act::{ActError, Actuator, AsgSettings, ElbSettings, Progress};
use suture::model::{Action, Facet, TargetId, TargetState};
use suture::platform::AwsSettings;
use suture::platform::aws::iam::Iam;
use tokio::sync::mpsc;

use crate::harness::{Asked, Gate, Moto, Verdict, accounts, accounts_within, aws_at, refreshes, result};

fn id(kind: &str, name: &str) -> TargetId {
    format!("{kind}:{name}").parse().unwrap()
}

fn asg_at(aws: AwsSettings, name: &str) -> AsgActuator {
    let settings = AsgSettings { aws, ready_within: Duration::from_secs(20), ..AsgSettings::of(id("asg", name)) };
    AsgActuator::new(vec![settings], accounts())
}

fn asg(gate: &Gate, name: &str) -> AsgActuator {
    asg_at(gate.settings(), name)
}

fn elb(gate: &Gate, listener: Option<&str>, rule: Option<&str>) -> ElbActuator {
    let settings = ElbSettings {
        name: id("elb", "web"),
        listener: listener.map(str::to_owned),
        rule: rule.map(str::to_owned),
        aws: gate.settings(),
    };
    ElbActuator::new(vec![settings], accounts())
}

async fn apply(at: &dyn Actuator, action: &Action, before: &Facet) -> Result<String, ActError> {
    at.apply(action, before, "RUN-1/0", &Progress::unheard()).await
}

/// What the action changes, as it is now.
async fn before(at: &dyn Actuator, action: &Action) -> Facet {
    action.facet(&at.observe(action.target()).await.unwrap()).unwrap()
}

fn scale(name: &str, to: u32) -> Action {
    Action::Scale { target: id("asg", name), to }
}

fn weights(of: &[(&str, u32)]) -> BTreeMap<String, u32> {
    of.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect()
}

fn names(state: &TargetState) -> Vec<String> {
    state.instances.iter().map(|i| i.name.clone()).collect()
}

#[tokio::test]
async fn a_group_is_seen_as_it_is() {
    let (gate, name) = (Gate::open(Moto::shared()).await, "seen");
    let moto = Moto::shared();
    moto.group(name, 2).await;
    let policy = [
        ("AutoScalingGroupName", name),
        ("PolicyName", "cpu50"),
        ("PolicyType", "TargetTrackingScaling"),
        ("TargetTrackingConfiguration.TargetValue", "50"),
        ("TargetTrackingConfiguration.PredefinedMetricSpecification.PredefinedMetricType", "ASGAverageCPUUtilization"),
    ];
    moto.ask("autoscaling", "PutScalingPolicy", &policy).await;
    let state = asg(&gate, name).observe(&id("asg", name)).await.unwrap();
    assert_eq!((state.replicas, state.min_replicas, state.max_replicas), (2, 1, 5));
    assert!(state.instances.iter().all(|i| i.up && !i.isolated && i.weight == 100), "{state:?}");
    assert!(state.instances.is_sorted_by_key(|i| i.name.clone()) && state.renames);
    assert_eq!(state.settings["process/Launch"], "running");
    assert_eq!(state.rollout, Some(0));
    assert!(state.notes.iter().any(|note| note.contains("cpu50")), "{:?}", state.notes);
    let unknown = asg(&gate, "nobody").observe(&id("asg", "nobody")).await;
    assert_eq!(unknown, Err(ActError::NotFound("asg:nobody".to_owned())));
}

#[tokio::test]
async fn what_only_says_more_may_fail_and_the_group_is_seen_all_the_same() {
    let moto = Moto::shared();
    moto.group("bare", 1).await;
    // moto itself has no instance refreshes.
    let state = asg_at(aws_at(moto.port()), "bare").observe(&id("asg", "bare")).await.unwrap();
    assert_eq!((state.replicas, state.rollout), (1, None));
    assert!(state.notes.iter().any(|note| note.contains("cannot be rolled out from here")), "{:?}", state.notes);
}

#[tokio::test]
async fn a_group_grows_and_its_inverse_shrinks_it() {
    let (gate, name) = (Gate::open(Moto::shared()).await, "grows");
    Moto::shared().group(name, 2).await;
    let (at, action) = (asg(&gate, name), scale(name, 4));
    let was = before(&at, &action).await;
    assert_eq!(was, Facet::Replicas(2));
    let receipt = apply(&at, &action, &was).await.unwrap();
    assert!(receipt.contains("4 in service, 2 before"), "{receipt}");
    let state = at.observe(action.target()).await.unwrap();
    assert_eq!((state.replicas, state.serving()), (4, 4));

    // Once more: nothing is sent.
    let again = apply(&at, &action, &was).await.unwrap();
    assert!(again.contains("so already"), "{again}");
    assert_eq!(gate.count("SetDesiredCapacity"), 1);

    let back = action.inverse(&was).unwrap();
    apply(&at, &back, &before(&at, &back).await).await.unwrap();
    assert_eq!(at.observe(action.target()).await.unwrap().replicas, 2);
    assert!(gate.bodies("SetDesiredCapacity").iter().all(|body| body.contains("HonorCooldown=false")));
}

#[tokio::test]
async fn a_group_that_somebody_changed_is_not_touched() {
    let (gate, name) = (Gate::open(Moto::shared()).await, "moved");
    Moto::shared().group(name, 3).await;
    let error = apply(&asg(&gate, name), &scale(name, 4), &Facet::Replicas(2)).await.unwrap_err();
    let ActError::Conflict { expected, found, .. } = &error else { panic!("{error}") };
    assert_eq!((expected.as_str(), found.as_str()), ("2", "3"));
    assert_eq!(gate.count("SetDesiredCapacity"), 0);
}

#[tokio::test]
async fn what_would_leave_the_groups_bounds_is_never_sent() {
    let (gate, name) = (Gate::open(Moto::shared()).await, "bounds");
    Moto::shared().group(name, 2).await;
    for to in [0, 6] {
        let error = apply(&asg(&gate, name), &scale(name, to), &Facet::Replicas(2)).await.unwrap_err();
        assert!(matches!(&error, ActError::Unsupported(why) if why.contains("1 to 5")), "{error}");
    }
    // moto would have done it.
    assert_eq!(gate.count("SetDesiredCapacity"), 0);
}

#[tokio::test]
async fn an_instance_is_terminated_and_replaced_without_the_group_becoming_smaller() {
    let (gate, name) = (Gate::open(Moto::shared()).await, "fresh");
    Moto::shared().group(name, 2).await;
    let at = asg(&gate, name);
    let was = at.observe(&id("asg", name)).await.unwrap();
    let old = was.instances[0].name.clone();
    let action = Action::Restart { target: id("asg", name), instance: old.clone() };
    let receipt = apply(&at, &action, &Facet::Generation(0)).await.unwrap();
    let now = at.observe(&id("asg", name)).await.unwrap();
    assert_eq!((now.replicas, now.serving()), (2, 2));
    assert!(!names(&now).contains(&old), "{now:?}");
    let new = names(&now).into_iter().find(|name| !names(&was).contains(name)).unwrap();
    assert!(receipt.contains(&new), "{receipt}");
    let body = gate.bodies("TerminateInstanceInAutoScalingGroup").remove(0);
    assert!(body.contains("ShouldDecrementDesiredCapacity=false"), "{body}");

    let again = apply(&at, &action, &Facet::Generation(0)).await.unwrap_err();
    assert!(matches!(again, ActError::NotFound(_)), "{again}");
    assert_eq!(gate.count("TerminateInstanceInAutoScalingGroup"), 1);
}

#[tokio::test]
async fn an_instance_leaves_the_traffic_and_comes_back() {
    let (gate, name) = (Gate::open(Moto::shared()).await, "apart");
    Moto::shared().group(name, 2).await;
    let at = asg(&gate, name);
    let instance = at.observe(&id("asg", name)).await.unwrap().instances[1].name.clone();
    let action = Action::Isolate { target: id("asg", name), instance: instance.clone(), isolated: true };
    let was = before(&at, &action).await;
    let receipt = apply(&at, &action, &was).await.unwrap();
    assert!(receipt.contains("lives on"), "{receipt}");
    let state = at.observe(&id("asg", name)).await.unwrap();
    let apart = state.instance(&instance).unwrap();
    assert!(apart.isolated && apart.up && state.serving() == 1, "{state:?}");

    let again = apply(&at, &action, &was).await.unwrap();
    assert!(again.contains("so already"), "{again}");
    assert_eq!(gate.count("DeregisterTargets"), 1);

    let back = action.inverse(&was).unwrap();
    apply(&at, &back, &Facet::Isolated(true)).await.unwrap();
    assert_eq!(at.observe(&id("asg", name)).await.unwrap().serving(), 2);
    assert_eq!(gate.count("RegisterTargets"), 1);
}

#[tokio::test]
async fn a_process_is_suspended_and_resumed() {
    let (gate, name) = (Gate::open(Moto::shared()).await, "halted");
    Moto::shared().group(name, 1).await;
    let at = asg(&gate, name);
    let set = |value: &str| Action::Configure {
        target: id("asg", name),
        setting: "process/Launch".to_owned(),
        value: value.to_owned(),
    };
    let was = before(&at, &set("suspended")).await;
    assert_eq!(was, Facet::Setting("running".to_owned()));
    apply(&at, &set("suspended"), &was).await.unwrap();
    let state = at.observe(&id("asg", name)).await.unwrap();
    assert_eq!(state.settings["process/Launch"], "suspended");
    assert_eq!(state.settings.values().filter(|value| *value == "suspended").count(), 1);

    // A group that starts nothing is not asked to grow, or to replace.
    let grow = apply(&at, &scale(name, 2), &Facet::Replicas(1)).await.unwrap_err();
    assert!(grow.to_string().contains("process/Launch"), "{grow}");
    let conflict = apply(&at, &set("running"), &was).await.unwrap_err();
    assert!(matches!(conflict, ActError::Conflict { .. }), "{conflict}");
    let odd = apply(&at, &set("paused"), &was).await.unwrap_err();
    assert!(matches!(odd, ActError::Unsupported(_)), "{odd}");

    let back = set("suspended").inverse(&was).unwrap();
    apply(&at, &back, &Facet::Setting("suspended".to_owned())).await.unwrap();
    assert_eq!(at.observe(&id("asg", name)).await.unwrap().settings["process/Launch"], "running");
}

#[tokio::test]
async fn what_a_group_cannot_do_is_said() {
    let gate = Gate::open(Moto::shared()).await;
    Moto::shared().group("cannot", 1).await;
    let (at, target) = (asg(&gate, "cannot"), id("asg", "cannot"));
    for action in [
        Action::Shift { target: target.clone(), weights: weights(&[("i-1", 1)]) },
        Action::Cache { target: target.clone(), ttl_ms: 1 },
        Action::Flush { target: target.clone(), prefix: "a".to_owned() },
        Action::Bounds { target: target.clone(), min: 1, max: 2 },
    ] {
        let error = apply(&at, &action, &Facet::Replicas(1)).await.unwrap_err();
        assert!(matches!(error, ActError::Unsupported(_)), "{error}");
    }
}

/// A gate in front of moto that plays one instance refresh: it begins when asked for, and ends as `end` after two looks.
async fn with_refresh(end: &'static str) -> Gate {
    let started = std::sync::atomic::AtomicBool::new(false);
    let looks = std::sync::atomic::AtomicUsize::new(0);
    let order = std::sync::atomic::Ordering::SeqCst;
    Gate::with(Moto::shared(), move |asked: &Asked| match asked.action.as_str() {
        "StartInstanceRefresh" => {
            started.store(true, order);
            Verdict::Xml(result("StartInstanceRefresh", "<InstanceRefreshId>r-1</InstanceRefreshId>"))
        }
        "DescribeInstanceRefreshes" if started.load(order) => {
            let status = if looks.fetch_add(1, order) < 2 { "InProgress" } else { end };
            Verdict::Xml(refreshes(&[
                ("r-1", status, 1_800_000_000, "warming up"),
                ("r-0", "Successful", 1_700_000_000, ""),
            ]))
        }
        "DescribeInstanceRefreshes" => Verdict::Xml(refreshes(&[("r-0", "Successful", 1_700_000_000, "")])),
        _ => Verdict::Pass,
    })
    .await
}

#[tokio::test]
async fn a_rollout_says_how_far_it_is_and_ends_when_all_are_replaced() {
    let gate = with_refresh("Successful").await;
    Moto::shared().group("rolls", 1).await;
    let (at, action) = (asg(&gate, "rolls"), Action::Rollout { target: id("asg", "rolls") });
    let was = before(&at, &action).await;
    assert_eq!(was, Facet::Generation(1_700_000_000));
    let (out, mut lines) = mpsc::channel(8);
    at.apply(&action, &was, "RUN-1/0", &Progress::to(out)).await.unwrap();
    assert_eq!(lines.recv().await.unwrap(), "InProgress, 40 %: warming up");
    let now = before(&at, &action).await;
    assert!(now.reached(&was, &action.outcome(&was)), "{now}");
    // Sent again after a crash, with the old before: it moved, and nothing is started twice.
    let again = apply(&at, &action, &was).await.unwrap_err();
    assert!(matches!(again, ActError::Conflict { .. }), "{again}");
    assert_eq!(gate.count("StartInstanceRefresh"), 1);
}

#[tokio::test]
async fn a_rollout_that_ends_badly_is_not_done() {
    for (end, part) in [("Failed", "warming up"), ("Cancelled", "cancelled"), ("RollbackSuccessful", "warming up")] {
        let gate = with_refresh(end).await;
        let action = Action::Rollout { target: id("asg", "rolls-badly") };
        let error = apply(&asg(&gate, "rolls-badly"), &action, &Facet::Generation(1_700_000_000)).await.unwrap_err();
        assert!(error.to_string().contains(part), "{end}: {error}");
    }
}

#[tokio::test]
async fn a_rollout_under_way_is_not_joined_by_another() {
    let gate = Gate::with(Moto::shared(), |asked: &Asked| match asked.action.as_str() {
        "DescribeInstanceRefreshes" => Verdict::Xml(refreshes(&[("r-0", "InProgress", 1_700_000_000, "")])),
        _ => Verdict::Pass,
    })
    .await;
    let action = Action::Rollout { target: id("asg", "busy") };
    let error = apply(&asg(&gate, "busy"), &action, &Facet::Generation(1_700_000_000)).await.unwrap_err();
    assert!(matches!(error, ActError::Conflict { .. }), "{error}");
    assert_eq!(gate.count("StartInstanceRefresh"), 0);
}

/// A group as AWS would describe it: wanted, and in service.
fn described(name: &str, desired: u32, in_service: u32) -> String {
    let member = |n: u32| {
        format!(
            "<member><InstanceId>i-{n}</InstanceId><LifecycleState>InService</LifecycleState>\
             <HealthStatus>Healthy</HealthStatus><AvailabilityZone>a</AvailabilityZone>\
             <ProtectedFromScaleIn>false</ProtectedFromScaleIn></member>"
        )
    };
    let members: String = (0..in_service).map(member).collect();
    let group = format!(
        "<AutoScalingGroups><member><AutoScalingGroupName>{name}</AutoScalingGroupName><MinSize>1</MinSize>\
         <MaxSize>5</MaxSize><DesiredCapacity>{desired}</DesiredCapacity><DefaultCooldown>300</DefaultCooldown>\
         <HealthCheckType>EC2</HealthCheckType><CreatedTime>2026-01-01T00:00:00Z</CreatedTime>\
         <Instances>{members}</Instances></member></AutoScalingGroups>"
    );
    result("DescribeAutoScalingGroups", &group)
}

#[tokio::test]
async fn a_quota_is_named_while_waiting_and_ends_the_wait() {
    let gate = Gate::with(Moto::shared(), |asked: &Asked| match asked.action.as_str() {
        "SetDesiredCapacity" => Verdict::Xml(result("SetDesiredCapacity", "")),
        "DescribeAutoScalingGroups" => Verdict::Xml(described("short", if asked.before == 0 { 2 } else { 4 }, 2)),
        "DescribeScalingActivities" => {
            // One more launch fails at each look; the first had failed before.
            let failed = (0..=asked.before).map(|n| {
                format!(
                    "<member><ActivityId>a-{n}</ActivityId><AutoScalingGroupName>short</AutoScalingGroupName>\
                     <Description>Launching a new EC2 instance</Description><Cause>c</Cause>\
                     <StartTime>2026-01-01T00:00:00Z</StartTime><StatusCode>Failed</StatusCode>\
                     <StatusMessage>You have requested more vCPU capacity than your current vCPU limit.</StatusMessage>\
                     </member>"
                )
            });
            let failed: String = failed.collect();
            Verdict::Xml(result("DescribeScalingActivities", &format!("<Activities>{failed}</Activities>")))
        }
        _ => Verdict::Pass,
    })
    .await;
    let (out, mut lines) = mpsc::channel(8);
    let at = asg(&gate, "short");
    let error = at.apply(&scale("short", 4), &Facet::Replicas(2), "RUN-1/0", &Progress::to(out)).await.unwrap_err();
    assert!(matches!(error, ActError::OutcomeUnknown(..)) && error.to_string().contains("vCPU limit"), "{error}");
    let line = lines.recv().await.unwrap();
    assert!(line.starts_with("2 of 4 in service; a launch failed: You have requested"), "{line}");
}

#[tokio::test]
async fn a_group_that_is_deleted_or_changed_in_the_middle_is_not_called_done() {
    let group_then = |then: fn() -> String| {
        move |asked: &Asked| match asked.action.as_str() {
            "SetDesiredCapacity" => Verdict::Xml(result("SetDesiredCapacity", "")),
            "DescribeAutoScalingGroups" if asked.before == 0 => Verdict::Xml(described("middle", 2, 2)),
            "DescribeAutoScalingGroups" => Verdict::Xml(then()),
            _ => Verdict::Pass,
        }
    };
    let gone = group_then(|| result("DescribeAutoScalingGroups", "<AutoScalingGroups/>"));
    let gate = Gate::with(Moto::shared(), gone).await;
    let error = apply(&asg(&gate, "middle"), &scale("middle", 4), &Facet::Replicas(2)).await.unwrap_err();
    assert!(matches!(&error, ActError::OutcomeUnknown(_, why) if why.contains("gone")), "{error}");

    let gate = Gate::with(Moto::shared(), group_then(|| described("middle", 1, 1))).await;
    let error = apply(&asg(&gate, "middle"), &scale("middle", 4), &Facet::Replicas(2)).await.unwrap_err();
    assert!(matches!(&error, ActError::Conflict { found, .. } if found == "1"), "{error}");
}

#[tokio::test]
async fn what_never_takes_effect_is_given_up_at_the_targets_own_time() {
    let gate = Gate::with(Moto::shared(), |asked: &Asked| match asked.action.as_str() {
        "SetDesiredCapacity" => Verdict::Xml(result("SetDesiredCapacity", "")),
        // The first look after the change does not show it yet.
        "DescribeAutoScalingGroups" => Verdict::Xml(described("slow", if asked.before < 2 { 2 } else { 3 }, 2)),
        _ => Verdict::Pass,
    })
    .await;
    let settings = AsgSettings {
        aws: gate.settings(),
        ready_within: Duration::from_millis(300),
        ..AsgSettings::of(id("asg", "slow"))
    };
    let at = AsgActuator::new(vec![settings], accounts());
    let error = apply(&at, &scale("slow", 3), &Facet::Replicas(2)).await.unwrap_err();
    assert!(matches!(&error, ActError::OutcomeUnknown(_, why) if why.contains("2 of 3 in service")), "{error}");
}

#[tokio::test]
async fn a_listener_and_a_rule_shift_their_traffic_and_keep_the_rest() {
    let moto = Moto::shared();
    let gate = Gate::open(Arc::clone(&moto)).await;
    let (listener, rule) = moto.balancer("shift").await;
    let target = id("elb", "web");
    for (at, change) in
        [(elb(&gate, Some(&listener), None), "ModifyListener"), (elb(&gate, None, Some(&rule)), "ModifyRule")]
    {
        let state = at.observe(&target).await.unwrap();
        let seen: Vec<_> = state.instances.iter().map(|i| (i.name.as_str(), i.weight)).collect();
        assert_eq!(seen, [("shift-blue", 9), ("shift-green", 1)]);
        assert!(state.notes.iter().any(|note| note.contains("60 s")), "{:?}", state.notes);

        let action =
            Action::Shift { target: target.clone(), weights: weights(&[("shift-blue", 0), ("shift-green", 10)]) };
        let was = before(&at, &action).await;
        let receipt = apply(&at, &action, &was).await.unwrap();
        assert!(receipt.contains("shift-green=10"), "{receipt}");
        assert!(at.observe(&target).await.unwrap().notes.iter().any(|note| note.contains("60 s")));
        let again = apply(&at, &action, &was).await.unwrap();
        assert!(again.contains("so already"), "{again}");
        assert_eq!(gate.count(change), 1);

        let back = action.inverse(&was).unwrap();
        let moved = apply(&at, &back, &was).await;
        assert!(matches!(moved, Err(ActError::Conflict { .. })), "{moved:?}");
        apply(&at, &back, &before(&at, &back).await).await.unwrap();
        assert_eq!(before(&at, &action).await, was);

        // Without any traffic at all, or beyond what AWS knows: never sent.
        for wrong in [weights(&[("shift-blue", 0), ("shift-green", 0)]), weights(&[("shift-blue", 1000)])] {
            let action = Action::Shift { target: target.clone(), weights: wrong };
            let error = apply(&at, &action, &was).await.unwrap_err();
            assert!(matches!(error, ActError::Unsupported(_)), "{error}");
        }
        assert_eq!(gate.count(change), 2);
    }
    let unknown = elb(&gate, Some(&listener.replace("listener/app", "listener/net")), None).observe(&target).await;
    assert!(matches!(unknown, Err(ActError::NotFound(_))), "{unknown:?}");
    let restart = Action::Restart { target, instance: "shift-blue".to_owned() };
    let error = apply(&elb(&gate, Some(&listener), None), &restart, &Facet::Generation(0)).await.unwrap_err();
    assert!(matches!(error, ActError::Unsupported(_)), "{error}");
}

/// Tries a scaling through a gate that does `verdict` with the change itself.
async fn change_through(name: &str, verdict: Verdict) -> (ActError, usize) {
    let gate = Gate::with(Moto::shared(), move |asked: &Asked| match asked.action.as_str() {
        "SetDesiredCapacity" => verdict.clone(),
        // Not by moto, which may be slower than the patience of this test.
        "DescribeAutoScalingGroups" => Verdict::Xml(described("once", 2, 2)),
        "DescribeScalingActivities" => Verdict::Xml(result("DescribeScalingActivities", "<Activities/>")),
        _ => Verdict::Pass,
    })
    .await;
    let settings = AsgSettings { aws: gate.settings(), ..AsgSettings::of(id("asg", name)) };
    let at = AsgActuator::new(vec![settings], accounts_within(Duration::from_secs(3)));
    let error = apply(&at, &scale(name, 3), &Facet::Replicas(2)).await.unwrap_err();
    (error, gate.count("SetDesiredCapacity"))
}

#[tokio::test]
async fn a_change_is_sent_once_whatever_becomes_of_it() {
    let moto = Moto::shared();
    moto.group("once", 2).await;
    let error = |status, headers, code| Verdict::Error(status, headers, code);

    let (throttled, sent) = change_through("once", error(400, "retry-after: 7\r\n", "Throttling")).await;
    assert_eq!(sent, 1);
    assert!(matches!(throttled, ActError::Throttled { wait: Some(wait), .. } if wait.as_secs() == 7), "{throttled}");

    let (busy, sent) = change_through("once", error(400, "", "ScalingActivityInProgress")).await;
    assert!(matches!(busy, ActError::Throttled { .. }) && sent == 1, "{busy}");

    let (refused, sent) = change_through("once", error(400, "", "ValidationError")).await;
    assert!(matches!(refused, ActError::Unsupported(_)) && sent == 1, "{refused}");

    for code in ["InternalFailure", ""] {
        let (unknown, sent) = change_through("once", error(500, "", code)).await;
        assert!(matches!(unknown, ActError::OutcomeUnknown(..)) && sent == 1, "{unknown}");
    }
    let (unknown, sent) = change_through("once", Verdict::Hangup).await;
    assert!(matches!(unknown, ActError::OutcomeUnknown(..)) && sent == 1, "{unknown}");

    let (silent, sent) = change_through("once", Verdict::Silence).await;
    assert!(matches!(silent, ActError::TimedOut(_)) && sent == 1, "{silent}");

    // None of it was done. This one is, and its answer is lost.
    let (unknown, sent) = change_through("once", Verdict::PassThen(Box::new(error(500, "", "InternalFailure")))).await;
    assert!(unknown.may_have_happened() && sent == 1, "{unknown}");
    let gate = Gate::open(moto).await;
    assert_eq!(asg(&gate, "once").observe(&id("asg", "once")).await.unwrap().replicas, 3);
}

#[tokio::test]
async fn a_look_is_tried_again_and_leaves_no_doubt() {
    let moto = Moto::shared();
    moto.group("again", 1).await;
    let gate = Gate::with(moto, |asked: &Asked| match asked.action.as_str() {
        "DescribeAutoScalingGroups" if asked.before < 2 => Verdict::Error(500, "", "InternalFailure"),
        _ => Verdict::Pass,
    })
    .await;
    let state = asg(&gate, "again").observe(&id("asg", "again")).await.unwrap();
    assert_eq!((state.replicas, gate.count("DescribeAutoScalingGroups")), (1, 3));

    let gate = Gate::with(Moto::shared(), |_: &Asked| Verdict::Error(503, "", "ServiceUnavailable")).await;
    let error = asg(&gate, "again").observe(&id("asg", "again")).await.unwrap_err();
    assert!(matches!(error, ActError::Unavailable(..)), "{error}");
}

#[tokio::test]
async fn nobody_at_home_means_that_nothing_happened() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = apply(&asg_at(aws_at(free), "web"), &scale("web", 3), &Facet::Replicas(2)).await.unwrap_err();
    assert!(matches!(&error, ActError::Unavailable(_, why) if why.contains("no connection")), "{error}");
}

#[tokio::test]
async fn a_target_that_is_no_table_does_not_exist() {
    let gate = Gate::open(Moto::shared()).await;
    let error = asg(&gate, "web").observe(&id("asg", "other")).await.unwrap_err();
    assert_eq!(error, ActError::NotFound("asg:other".to_owned()));
    assert!(gate.asked().is_empty());
}

/// Every action, each through a gate that denies one call, whichever it makes.
#[tokio::test]
async fn a_denial_names_the_very_right_that_was_asked_for() {
    let moto = Moto::shared();
    moto.group("denied", 2).await;
    let (listener, rule) = moto.balancer("denied").await;
    let instance = {
        let gate = Gate::open(Arc::clone(&moto)).await;
        asg(&gate, "denied").observe(&id("asg", "denied")).await.unwrap().instances[0].name.clone()
    };
    let (group, web) = (id("asg", "denied"), id("elb", "web"));
    let apart = |isolated| Action::Isolate { target: group.clone(), instance: instance.clone(), isolated };
    let process = |value: &str| Action::Configure {
        target: group.clone(),
        setting: "process/AZRebalance".to_owned(),
        value: value.to_owned(),
    };
    let shift = Action::Shift { target: web, weights: weights(&[("denied-green", 5)]) };
    let nine_to_one = Facet::Weights(weights(&[("denied-green", 1)]));
    let (running, suspended) = (Facet::Setting("running".to_owned()), Facet::Setting("suspended".to_owned()));
    let cases: [(Iam, Action, Facet); 14] = [
        (Iam::DescribeAutoScalingGroups, scale("denied", 3), Facet::Replicas(2)),
        (Iam::DescribeTargetHealth, scale("denied", 3), Facet::Replicas(2)),
        (Iam::SetDesiredCapacity, scale("denied", 3), Facet::Replicas(2)),
        (
            Iam::TerminateInstanceInAutoScalingGroup,
            Action::Restart { target: group.clone(), instance: instance.clone() },
            Facet::Generation(0),
        ),
        (Iam::DescribeInstanceRefreshes, Action::Rollout { target: group.clone() }, Facet::Generation(0)),
        (Iam::StartInstanceRefresh, Action::Rollout { target: group.clone() }, Facet::Generation(0)),
        (Iam::SuspendProcesses, process("suspended"), running.clone()),
        (Iam::DeregisterTargets, apart(true), Facet::Isolated(false)),
        (Iam::DescribeListeners, shift.clone(), nine_to_one.clone()),
        (Iam::ModifyListener, shift.clone(), nine_to_one.clone()),
        (Iam::DescribeRules, shift.clone(), nine_to_one.clone()),
        (Iam::ModifyRule, shift, nine_to_one),
        // These two need the other state first.
        (Iam::ResumeProcesses, process("running"), suspended),
        (Iam::RegisterTargets, apart(false), Facet::Isolated(true)),
    ];
    for (iam, action, was) in cases {
        if iam == Iam::ResumeProcesses {
            let gate = Gate::open(Arc::clone(&moto)).await;
            apply(&asg(&gate, "denied"), &process("suspended"), &running).await.unwrap();
            apply(&asg(&gate, "denied"), &apart(true), &Facet::Isolated(false)).await.unwrap();
        }
        let denied = format!("{iam:?}");
        let gate = Gate::with(Arc::clone(&moto), move |asked: &Asked| match asked.action == denied {
            true => Verdict::Error(403, "", "AccessDenied"),
            false => Verdict::Pass,
        })
        .await;
        let of_rule = [Iam::DescribeRules, Iam::ModifyRule].contains(&iam);
        let error = match action.target().kind() {
            "asg" => apply(&asg(&gate, "denied"), &action, &was).await,
            _ if of_rule => apply(&elb(&gate, None, Some(&rule)), &action, &was).await,
            _ => apply(&elb(&gate, Some(&listener), None), &action, &was).await,
        };
        let error = error.unwrap_err();
        assert!(matches!(&error, ActError::Denied(text) if text.contains(&iam.name())), "{iam}: {error}");
        assert!(!error.to_string().contains("secret-of-the-test"));
    }
}

#[tokio::test]
async fn a_right_that_only_helps_to_explain_may_be_missing() {
    let moto = Moto::shared();
    moto.group("shy", 1).await;
    let gate = Gate::with(moto, |asked: &Asked| match asked.action.as_str() {
        "DescribeScalingActivities" | "DescribePolicies" | "DescribeInstanceRefreshes" => {
            Verdict::Error(403, "", "AccessDenied")
        }
        _ => Verdict::Pass,
    })
    .await;
    let at = asg(&gate, "shy");
    let state = at.observe(&id("asg", "shy")).await.unwrap();
    assert!(state.notes.iter().any(|note| note.contains("autoscaling:DescribePolicies")), "{:?}", state.notes);
    apply(&at, &scale("shy", 2), &Facet::Replicas(1)).await.unwrap();
}

#[tokio::test]
async fn a_check_tells_what_was_tried_and_what_aws_does_not_tell() {
    let moto = Moto::shared();
    moto.group("checked", 1).await;
    let (listener, _) = moto.balancer("checked").await;
    let gate = Gate::with(moto, |asked: &Asked| match asked.action.as_str() {
        "DescribePolicies" => Verdict::Error(403, "", "AccessDenied"),
        _ => Verdict::Pass,
    })
    .await;
    let of_group = asg(&gate, "checked").permissions(&id("asg", "checked")).await.unwrap();
    let of_balancer = elb(&gate, Some(&listener), None).permissions(&id("elb", "web")).await.unwrap();
    let told: BTreeMap<String, Option<bool>> =
        of_group.into_iter().chain(of_balancer).map(|permission| (permission.name, permission.allowed)).collect();
    assert_eq!(told["autoscaling:DescribeAutoScalingGroups"], Some(true));
    assert_eq!(told["autoscaling:DescribePolicies"], Some(false));
    assert_eq!(told["autoscaling:SetDesiredCapacity"], None);
    assert_eq!(told["elasticloadbalancing:DescribeListeners"], Some(true));
    assert_eq!(told["elasticloadbalancing:ModifyListener"], None);
    // Changes nothing.
    assert!(gate.asked().keys().all(|action| action.starts_with("Describe")), "{:?}", gate.asked());
}

#[tokio::test]
async fn a_role_is_taken_on_first_and_its_refusal_means_that_nothing_happened() {
    let moto = Moto::shared();
    moto.group("role", 1).await;
    let role = Some("arn:aws:iam::123456789012:role/suture".to_owned());
    let gate = Gate::open(Arc::clone(&moto)).await;
    let state = asg_at(AwsSettings { role: role.clone(), ..gate.settings() }, "role").observe(&id("asg", "role")).await;
    assert_eq!(state.unwrap().replicas, 1);
    assert!(gate.bodies("AssumeRole")[0].contains("RoleSessionName=suture"));
    assert_eq!(gate.count("AssumeRole"), 1);

    let gate = Gate::with(moto, |asked: &Asked| match asked.action.as_str() {
        "AssumeRole" => Verdict::Error(403, "", "AccessDenied"),
        _ => Verdict::Pass,
    })
    .await;
    let at = asg_at(AwsSettings { role, ..gate.settings() }, "role");
    let error = apply(&at, &scale("role", 2), &Facet::Replicas(1)).await.unwrap_err();
    assert!(matches!(&error, ActError::Unavailable(_, why) if why.contains("trust policy")), "{error}");
    assert_eq!(gate.count("DescribeAutoScalingGroups"), 0);
}

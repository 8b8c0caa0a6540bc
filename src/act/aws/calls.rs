//! The calls to Auto Scaling and to Elastic Load Balancing, each with the right that it needs.
//!
//! Reads go through clients that try again, writes through clients that never do.

use std::collections::BTreeSet;

use aws_sdk_autoscaling as scaling;
use aws_sdk_autoscaling::types::{Activity, AutoScalingGroup, InstanceRefresh, ScalingPolicy};
use aws_sdk_elasticloadbalancingv2 as balancing;
use aws_sdk_elasticloadbalancingv2::types::{Action, TargetDescription, TargetHealthDescription};

use crate::platform::AwsSettings;
use crate::platform::aws::{Accounts, Fault, Pace, iam::Iam, never_again};

/// Scaling policies that are looked at: a group may have 50.
const MOST_POLICIES: usize = 50;
/// Activities that are looked at: a failing launch repeats itself every few minutes.
const MOST_ACTIVITIES: i32 = 20;

/// The clients of one account and region.
pub(super) struct Aws {
    look: scaling::Client,
    change: scaling::Client,
    look_balancing: balancing::Client,
    change_balancing: balancing::Client,
    pub(super) pace: Pace,
}

impl Aws {
    /// Clients of this account and region.
    pub(super) async fn of(accounts: &Accounts, settings: &AwsSettings) -> Result<Self, Fault> {
        let config = accounts.config(settings).await.map_err(Fault::NotSent)?;
        let pace = accounts.pace();
        let (retries, timeouts) = never_again(pace);
        let change = scaling::config::Builder::from(&config)
            .retry_config(retries.clone())
            .timeout_config(timeouts.clone())
            .build();
        let change_balancing =
            balancing::config::Builder::from(&config).retry_config(retries).timeout_config(timeouts).build();
        Ok(Self {
            look: scaling::Client::new(&config),
            change: scaling::Client::from_conf(change),
            look_balancing: balancing::Client::new(&config),
            change_balancing: balancing::Client::from_conf(change_balancing),
            pace,
        })
    }

    /// The group of this name.
    pub(super) async fn group(&self, name: &str) -> Result<AutoScalingGroup, Fault> {
        let answer = self.look.describe_auto_scaling_groups().auto_scaling_group_names(name).send().await;
        let answer = answer.map_err(|e| Fault::of(&e, Iam::DescribeAutoScalingGroups))?;
        let found = answer.auto_scaling_groups.unwrap_or_default().into_iter();
        let mut found = found.filter(|group| group.auto_scaling_group_name.as_deref() == Some(name));
        found
            .next()
            .ok_or_else(|| Fault::NotFound(format!("no Auto Scaling group `{name}` in this account and region")))
    }

    /// The newest instance refreshes of the group.
    pub(super) async fn refreshes(&self, group: &str) -> Result<Vec<InstanceRefresh>, Fault> {
        let answer =
            self.look.describe_instance_refreshes().auto_scaling_group_name(group).max_records(10).send().await;
        let answer = answer.map_err(|e| Fault::of(&e, Iam::DescribeInstanceRefreshes))?;
        Ok(answer.instance_refreshes.unwrap_or_default())
    }

    /// One instance refresh.
    pub(super) async fn refresh(&self, group: &str, id: &str) -> Result<Option<InstanceRefresh>, Fault> {
        let asked = self.look.describe_instance_refreshes().auto_scaling_group_name(group).instance_refresh_ids(id);
        let answer = asked.send().await.map_err(|e| Fault::of(&e, Iam::DescribeInstanceRefreshes))?;
        let mut found = answer.instance_refreshes.unwrap_or_default().into_iter();
        Ok(found.find(|refresh| refresh.instance_refresh_id.as_deref() == Some(id)))
    }

    /// Who else changes the number of instances.
    pub(super) async fn policies(&self, group: &str) -> Result<Vec<ScalingPolicy>, Fault> {
        let answer = self.look.describe_policies().auto_scaling_group_name(group).send().await;
        let mut policies =
            answer.map_err(|e| Fault::of(&e, Iam::DescribePolicies))?.scaling_policies.unwrap_or_default();
        policies.truncate(MOST_POLICIES);
        Ok(policies)
    }

    /// What the group did last, newest first.
    pub(super) async fn activities(&self, group: &str) -> Result<Vec<Activity>, Fault> {
        let asked = self.look.describe_scaling_activities().auto_scaling_group_name(group).max_records(MOST_ACTIVITIES);
        let answer = asked.send().await.map_err(|e| Fault::of(&e, Iam::DescribeScalingActivities))?;
        Ok(answer.activities.unwrap_or_default())
    }

    pub(super) async fn set_desired(&self, group: &str, to: i32) -> Result<(), Fault> {
        // A person approved it: the cooldown of the group's own scaling is no reason to wait.
        let asked = self.change.set_desired_capacity().auto_scaling_group_name(group).desired_capacity(to);
        let answer = asked.honor_cooldown(false).send().await;
        answer.map(drop).map_err(|e| Fault::of(&e, Iam::SetDesiredCapacity))
    }

    pub(super) async fn terminate(&self, instance: &str) -> Result<(), Fault> {
        let asked = self.change.terminate_instance_in_auto_scaling_group().instance_id(instance);
        let answer = asked.should_decrement_desired_capacity(false).send().await;
        answer.map(drop).map_err(|e| Fault::of(&e, Iam::TerminateInstanceInAutoScalingGroup))
    }

    /// Begins an instance refresh; its id.
    pub(super) async fn start_refresh(&self, group: &str) -> Result<String, Fault> {
        let answer = self.change.start_instance_refresh().auto_scaling_group_name(group).send().await;
        let answer = answer.map_err(|e| Fault::of(&e, Iam::StartInstanceRefresh))?;
        answer.instance_refresh_id.ok_or_else(|| Fault::Unknown("AWS gave the instance refresh no id".to_owned()))
    }

    pub(super) async fn suspend(&self, group: &str, process: &str) -> Result<(), Fault> {
        let answer = self.change.suspend_processes().auto_scaling_group_name(group).scaling_processes(process).send();
        answer.await.map(drop).map_err(|e| Fault::of(&e, Iam::SuspendProcesses))
    }

    pub(super) async fn resume(&self, group: &str, process: &str) -> Result<(), Fault> {
        let answer = self.change.resume_processes().auto_scaling_group_name(group).scaling_processes(process).send();
        answer.await.map(drop).map_err(|e| Fault::of(&e, Iam::ResumeProcesses))
    }

    /// How the load balancer finds the targets of a target group.
    pub(super) async fn health(&self, target_group: &str) -> Result<Vec<TargetHealthDescription>, Fault> {
        let answer = self.look_balancing.describe_target_health().target_group_arn(target_group).send().await;
        let answer = answer.map_err(|e| Fault::of(&e, Iam::DescribeTargetHealth))?;
        Ok(answer.target_health_descriptions.unwrap_or_default())
    }

    pub(super) async fn deregister(&self, target_group: &str, instance: &str) -> Result<(), Fault> {
        let target = TargetDescription::builder().id(instance).build();
        let asked = self.change_balancing.deregister_targets().target_group_arn(target_group).targets(target);
        asked.send().await.map(drop).map_err(|e| Fault::of(&e, Iam::DeregisterTargets))
    }

    pub(super) async fn register(&self, target_group: &str, instance: &str) -> Result<(), Fault> {
        let target = TargetDescription::builder().id(instance).build();
        let asked = self.change_balancing.register_targets().target_group_arn(target_group).targets(target);
        asked.send().await.map(drop).map_err(|e| Fault::of(&e, Iam::RegisterTargets))
    }

    /// The default actions of a listener.
    pub(super) async fn listener(&self, arn: &str) -> Result<Vec<Action>, Fault> {
        let answer = self.look_balancing.describe_listeners().listener_arns(arn).send().await;
        let found = answer.map_err(|e| Fault::of(&e, Iam::DescribeListeners))?.listeners.unwrap_or_default();
        let mut found = found.into_iter().filter(|listener| listener.listener_arn.as_deref() == Some(arn));
        let listener = found.next().ok_or_else(|| Fault::NotFound("no such listener".to_owned()))?;
        Ok(listener.default_actions.unwrap_or_default())
    }

    /// The actions of a rule.
    pub(super) async fn rule(&self, arn: &str) -> Result<Vec<Action>, Fault> {
        let answer = self.look_balancing.describe_rules().rule_arns(arn).send().await;
        let found = answer.map_err(|e| Fault::of(&e, Iam::DescribeRules))?.rules.unwrap_or_default();
        let mut found = found.into_iter().filter(|rule| rule.rule_arn.as_deref() == Some(arn));
        let rule = found.next().ok_or_else(|| Fault::NotFound("no such rule".to_owned()))?;
        Ok(rule.actions.unwrap_or_default())
    }

    pub(super) async fn modify_listener(&self, arn: &str, actions: Vec<Action>) -> Result<(), Fault> {
        let asked = self.change_balancing.modify_listener().listener_arn(arn).set_default_actions(Some(actions));
        asked.send().await.map(drop).map_err(|e| Fault::of(&e, Iam::ModifyListener))
    }

    pub(super) async fn modify_rule(&self, arn: &str, actions: Vec<Action>) -> Result<(), Fault> {
        let asked = self.change_balancing.modify_rule().rule_arn(arn).set_actions(Some(actions));
        asked.send().await.map(drop).map_err(|e| Fault::of(&e, Iam::ModifyRule))
    }
}

/// The ids of these activities: what is new later is what came of a change.
pub(super) fn ids(activities: &[Activity]) -> BTreeSet<String> {
    activities.iter().filter_map(|activity| activity.activity_id.clone()).collect()
}

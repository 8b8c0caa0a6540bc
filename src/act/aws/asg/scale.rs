//! Another number of instances, within the group's own bounds.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_autoscaling::types::ScalingActivityStatusCode;
use tokio::time::Instant;

use super::super::{calls, outcome};
use super::group::Group;
use super::{Reached, conflict};
use crate::act::{ActError, Progress};
use crate::model::{Action, Facet};
use crate::platform::aws::{Fault, excerpt};

/// Launches that fail one after the other until we stop waiting: a quota or a type of instance that a zone has not got does
/// not come back in minutes.
const FAILED_LAUNCHES: usize = 3;
/// AWS's looks may show what was before its changes for some seconds.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

impl Reached<'_> {
    /// Has the group want `to` instances, and waits until they serve, or are gone.
    pub(super) async fn scale(
        &self,
        action: &Action,
        to: u32,
        before: &Facet,
        progress: &Progress,
    ) -> Result<String, ActError> {
        let group = self.group().await.map_err(|fault| self.of_read(fault))?;
        let subject = action.subject();
        self.may_scale(&group, to)?;
        let already = group.desired == to;
        if !already && *before != Facet::Replicas(group.desired) {
            return Err(conflict(action, before, group.desired));
        }
        // Only tells why it takes long; without the right to see it, that is not told.
        let earlier =
            self.aws.activities(self.name).await.map(|activities| calls::ids(&activities)).unwrap_or_default();
        if !already {
            let to = i32::try_from(to).map_err(|_| ActError::Unsupported(format!("{to} instances are too many")))?;
            self.aws.set_desired(self.name, to).await.map_err(|fault| outcome::of_write(&subject, fault))?;
        }
        let there: BTreeSet<String> = group.members.iter().map(|member| member.id.clone()).collect();
        let (wait, sent) = (self.wait(action, progress), Instant::now());
        let leaving = loop {
            let how_far = match self.group().await {
                // A look may lag behind the change, but not for long.
                Ok(now) if now.desired == group.desired && now.desired != to && sent.elapsed() < SEEN_WITHIN => {
                    "AWS does not show the change yet".to_owned()
                }
                Ok(now) if now.desired != to => {
                    return Err(conflict(action, &Facet::Replicas(to), now.desired));
                }
                Ok(now) if is_reached(&now, to, &there) => break now.members.iter().filter(|m| m.is_leaving()).count(),
                Ok(now) => {
                    let failed = self.failed_launches(&earlier).await;
                    let how_far = how_far(&now, to, failed.first());
                    if failed.len() >= FAILED_LAUNCHES {
                        return Err(wait.unknown(format!("the group wants {to} and cannot start them: {how_far}")));
                    }
                    how_far
                }
                Err(Fault::NotFound(_)) => return Err(wait.unknown("the group is gone")),
                Err(fault) => format!("cannot look: {fault}"),
            };
            wait.on(how_far).await?;
        };
        let leaving = if leaving > 0 { format!(", {leaving} still on their way out") } else { String::new() };
        Ok(match already {
            true => format!("{subject} is so already: {to} in service{leaving}"),
            false => format!("{subject}: {to} in service, {} before{leaving}", group.desired),
        })
    }

    /// What AWS would refuse later, or never do.
    fn may_scale(&self, group: &Group, to: u32) -> Result<(), ActError> {
        let target = self.target();
        if let Some(kind) = &group.counts {
            let kind = excerpt(kind, 40);
            return Err(ActError::Unsupported(format!("{target} counts {kind}, not instances: scale it in AWS")));
        }
        if !(group.min..=group.max).contains(&to) {
            return Err(ActError::Unsupported(format!(
                "{target} allows {} to {} instances, not {to}: change the group's minimum or maximum in AWS first",
                group.min, group.max
            )));
        }
        let process = if to > group.desired { "Launch" } else { "Terminate" };
        if to != group.desired && group.suspended.contains(process) {
            return Err(ActError::Unsupported(format!(
                "{target} has its process {process} suspended, so it would not become {to}: resume process/{process} first"
            )));
        }
        Ok(())
    }

    /// What AWS says of launches that failed since, newest first.
    pub(super) async fn failed_launches(&self, earlier: &BTreeSet<String>) -> Vec<String> {
        let activities = self.aws.activities(self.name).await.unwrap_or_default();
        let new = activities.into_iter().filter(|a| a.activity_id.as_ref().is_none_or(|id| !earlier.contains(id)));
        let failed = new.filter(|activity| {
            activity.status_code == Some(ScalingActivityStatusCode::Failed)
                && activity.description.as_deref().is_some_and(|words| words.starts_with("Launching"))
        });
        let why = |words: Option<String>| excerpt(words.as_deref().unwrap_or("AWS does not say why"), 240);
        failed.map(|activity| why(activity.status_message)).collect()
    }
}

/// Are `to` in service, the new ones well; or, where they become fewer, no more left than that?
pub(super) fn is_reached(now: &Group, to: u32, there: &BTreeSet<String>) -> bool {
    let new_are_up = now.members.iter().filter(|m| !there.contains(&m.id)).all(|m| m.is_up() || m.is_leaving());
    // Weighted instances may come to more than was asked for.
    let weighted = now.members.len() != usize::try_from(now.staying()).unwrap_or(usize::MAX);
    let none_too_many = now.staying() <= to || weighted;
    now.in_service() >= to && none_too_many && new_are_up
}

/// `3 of 4 in service; i-0abc is Pending`.
pub(super) fn how_far(now: &Group, to: u32, failed: Option<&String>) -> String {
    let mut line = format!("{} of {to} in service", now.in_service());
    let coming = now.members.iter().filter(|m| !m.is_leaving() && !m.is_standby() && !m.is_up()).take(3);
    for member in coming {
        line.push_str("; ");
        line.push_str(&member.in_words());
    }
    let leaving = now.members.iter().filter(|m| m.is_leaving()).count();
    if leaving > 0 {
        line.push_str(&format!("; {leaving} on their way out"));
    }
    if let Some(why) = failed {
        line.push_str(&format!("; a launch failed: {why}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use aws_sdk_autoscaling::types::{AutoScalingGroup, Instance, LifecycleState};

    use super::*;

    fn group(instances: &[(&str, LifecycleState)]) -> Group {
        let instance = |(id, state): &(&str, LifecycleState)| {
            Instance::builder().instance_id(*id).lifecycle_state(state.clone()).health_status("Healthy").build()
        };
        let group = AutoScalingGroup::builder().set_instances(Some(instances.iter().map(instance).collect()));
        Group::of(&group.build(), &[])
    }

    #[test]
    fn a_scaling_is_done_when_what_was_asked_for_serves_and_the_rest_is_going() {
        use LifecycleState::{InService, Pending, Terminating};
        let there = BTreeSet::from(["i-1".to_owned(), "i-2".to_owned()]);
        let more = group(&[("i-1", InService), ("i-2", InService), ("i-3", Pending)]);
        assert!(!is_reached(&more, 3, &there));
        assert_eq!(how_far(&more, 3, None), "2 of 3 in service; i-3 is Pending");
        assert!(is_reached(&group(&[("i-1", InService), ("i-2", InService), ("i-3", InService)]), 3, &there));
        assert!(!is_reached(&group(&[("i-1", InService), ("i-2", InService)]), 1, &there));
        let fewer = group(&[("i-1", InService), ("i-2", Terminating)]);
        assert!(is_reached(&fewer, 1, &there));
        assert_eq!(
            how_far(&fewer, 2, Some(&"quota".to_owned())),
            "1 of 2 in service; 1 on their way out; a launch failed: quota"
        );
    }
}

//! Auto Scaling groups: how many instances, replacing one or all of them, taking one out of its target groups, and
//! suspending the group's own processes.

mod group;
mod process;
mod replace;
mod scale;
mod traffic;

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures::future::{join, join3, try_join_all};

use super::calls::Aws;
use super::outcome;
use super::wait::Wait;
use crate::act::{ActError, Actuator, AsgSettings, Permission, Progress};
use crate::model::{Action, Facet, TargetId, TargetState};
use crate::platform::aws::iam::Iam;
use crate::platform::aws::{Accounts, Fault};
use group::Group;

/// Acts on `asg:` targets.
#[derive(Debug)]
pub struct AsgActuator {
    targets: BTreeMap<TargetId, AsgSettings>,
    accounts: Accounts,
}

impl AsgActuator {
    /// An actuator for these targets. Nothing is connected yet.
    #[must_use]
    pub fn new(targets: Vec<AsgSettings>, accounts: Accounts) -> Self {
        Self { targets: targets.into_iter().map(|settings| (settings.name.clone(), settings)).collect(), accounts }
    }

    async fn reach(&self, target: &TargetId) -> Result<Reached<'_>, ActError> {
        let settings = self.targets.get(target).ok_or_else(|| ActError::NotFound(target.to_string()))?;
        let aws = Aws::of(&self.accounts, &settings.aws).await.map_err(|fault| outcome::of_read(target, fault))?;
        let name = settings.group.as_deref().unwrap_or_else(|| settings.name.name());
        Ok(Reached { settings, aws, name })
    }
}

/// A target whose account can be asked.
struct Reached<'a> {
    settings: &'a AsgSettings,
    aws: Aws,
    /// The group's own name.
    name: &'a str,
}

impl Reached<'_> {
    fn target(&self) -> &TargetId {
        &self.settings.name
    }

    fn of_read(&self, fault: Fault) -> ActError {
        outcome::of_read(self.target(), fault)
    }

    fn wait<'a>(&self, action: &Action, progress: &'a Progress) -> Wait<'a> {
        Wait::new(action.subject(), self.settings.ready_within, self.aws.pace.look_every, progress)
    }

    /// The group with what its target groups say.
    async fn group(&self) -> Result<Group, Fault> {
        let group = self.aws.group(self.name).await?;
        let health = group::target_groups(&group).into_iter().map(|arn| async {
            let health = self.aws.health(&arn).await?;
            Ok::<_, Fault>((arn, health))
        });
        Ok(Group::of(&group, &try_join_all(health).await?))
    }
}

#[async_trait]
impl Actuator for AsgActuator {
    fn kind(&self) -> &'static str {
        "asg"
    }

    async fn observe(&self, target: &TargetId) -> Result<TargetState, ActError> {
        let at = self.reach(target).await?;
        // What only says more is no reason to see nothing.
        let (group, refreshes, policies) = join3(at.group(), at.aws.refreshes(at.name), at.aws.policies(at.name)).await;
        Ok(group.map_err(|fault| at.of_read(fault))?.state(&refreshes, &policies))
    }

    async fn apply(&self, action: &Action, before: &Facet, _: &str, progress: &Progress) -> Result<String, ActError> {
        let at = self.reach(action.target()).await?;
        match action {
            Action::Scale { to, .. } => at.scale(action, *to, before, progress).await,
            Action::Restart { instance, .. } => at.replace(action, instance, progress).await,
            Action::Rollout { .. } => at.roll_out(action, before, progress).await,
            Action::Isolate { instance, isolated, .. } => {
                at.isolate(action, instance, *isolated, before, progress).await
            }
            Action::Configure { setting, value, .. } => at.configure(action, setting, value, before, progress).await,
            Action::Shift { .. } => Err(ActError::Unsupported(format!(
                "{} has no weights: they are the load balancer's, so add a target of kind elb for its listener or rule",
                at.target()
            ))),
            Action::Bounds { .. } | Action::Cache { .. } | Action::Flush { .. } => Err(ActError::Unsupported(format!(
                "{} cannot {}: an Auto Scaling group can be scaled, rolled out, have an instance restarted or isolated, \
                 and its processes suspended",
                at.target(),
                action.kind()
            ))),
        }
    }

    async fn permissions(&self, target: &TargetId) -> Result<Vec<Permission>, ActError> {
        let at = self.reach(target).await?;
        let group = at.aws.group(at.name).await;
        let mut found = vec![permission(Iam::DescribeAutoScalingGroups, &group)];
        let ((refreshes, policies), activities) =
            join(join(at.aws.refreshes(at.name), at.aws.policies(at.name)), at.aws.activities(at.name)).await;
        found.push(permission(Iam::DescribeInstanceRefreshes, &refreshes));
        found.push(permission(Iam::DescribePolicies, &policies));
        found.push(permission(Iam::DescribeScalingActivities, &activities));
        if let Some(arn) = group.as_ref().ok().and_then(|group| group::target_groups(group).into_iter().next()) {
            found.push(permission(Iam::DescribeTargetHealth, &at.aws.health(&arn).await));
        }
        let acts = [
            Iam::SetDesiredCapacity,
            Iam::TerminateInstanceInAutoScalingGroup,
            Iam::StartInstanceRefresh,
            Iam::DeregisterTargets,
            Iam::RegisterTargets,
            Iam::SuspendProcesses,
            Iam::ResumeProcesses,
        ];
        found.extend(acts.into_iter().map(untold));
        match group {
            // What is denied is an answer here; that there is no such group, or that nobody answers, is an error.
            Err(fault) if !matches!(fault, Fault::Denied(_)) => Err(at.of_read(fault)),
            _ => Ok(found),
        }
    }
}

/// What a call that was really made says of the right to it.
pub(super) fn permission<T>(iam: Iam, answer: &Result<T, Fault>) -> Permission {
    let allowed = match answer {
        Ok(_) => Some(true),
        Err(Fault::Denied(_)) => Some(false),
        Err(_) => None,
    };
    Permission { what: iam.what().to_owned(), name: iam.name(), allowed }
}

/// A right that AWS tells only to who uses it.
pub(super) fn untold(iam: Iam) -> Permission {
    Permission { what: iam.what().to_owned(), name: iam.name(), allowed: None }
}

/// *Before* no longer holds.
fn conflict(action: &Action, expected: &Facet, found: impl ToString) -> ActError {
    ActError::Conflict { subject: action.subject(), expected: expected.to_string(), found: found.to_string() }
}

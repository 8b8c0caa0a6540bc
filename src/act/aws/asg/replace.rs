//! Fresh instances: one that is terminated and replaced, or all of them through an instance refresh.

use std::collections::BTreeSet;

use aws_sdk_autoscaling::types::{InstanceRefresh, InstanceRefreshStatus};

use super::super::{calls, outcome};
use super::group::{is_under_way, newest_start};
use super::scale::how_far;
use super::{Reached, conflict};
use crate::act::{ActError, Progress};
use crate::model::{Action, Facet};
use crate::platform::aws::{Fault, excerpt};

impl Reached<'_> {
    /// Terminates one instance, which the group replaces, and waits for the replacement.
    pub(super) async fn replace(
        &self,
        action: &Action,
        instance: &str,
        progress: &Progress,
    ) -> Result<String, ActError> {
        let (target, subject) = (self.target(), action.subject());
        let group = self.group().await.map_err(|fault| self.of_read(fault))?;
        // The id of an instance is never used again, so its being there is all there is of *before*.
        let member = group.member(instance).ok_or_else(|| ActError::NotFound(subject.clone()))?;
        for process in ["Launch", "Terminate"] {
            if group.suspended.contains(process) {
                return Err(ActError::Unsupported(format!(
                    "{target} has its process {process} suspended, so nothing would replace {instance}: resume \
                     process/{process} first"
                )));
            }
        }
        let earlier =
            self.aws.activities(self.name).await.map(|activities| calls::ids(&activities)).unwrap_or_default();
        if !member.is_leaving() {
            self.aws.terminate(instance).await.map_err(|fault| outcome::of_write(&subject, fault))?;
        }
        let there: BTreeSet<String> = group.members.iter().map(|member| member.id.clone()).collect();
        let wait = self.wait(action, progress);
        loop {
            let line = match self.group().await {
                Ok(now) => {
                    let fresh: Vec<_> = now.members.iter().filter(|member| !there.contains(&member.id)).collect();
                    let gone = now.member(instance).is_none_or(|member| member.is_leaving());
                    if gone && now.in_service() >= now.desired && fresh.iter().all(|member| member.is_up()) {
                        let names: Vec<&str> = fresh.iter().map(|member| member.id.as_str()).take(5).collect();
                        return Ok(match names.as_slice() {
                            [] => format!("{subject} is gone, and the other {} serve", now.desired),
                            names => format!("{subject} is replaced by {}", names.join(", ")),
                        });
                    }
                    let failed = self.failed_launches(&earlier).await;
                    let state = if gone { "on its way out" } else { "still in service" };
                    format!("{instance} is {state}; {}", how_far(&now, now.desired, failed.first()))
                }
                Err(Fault::NotFound(_)) => return Err(wait.unknown("the group is gone")),
                Err(fault) => format!("cannot look: {fault}"),
            };
            wait.on(line).await?;
        }
    }

    /// Has AWS replace all instances a few at a time, and waits for the end of that.
    pub(super) async fn roll_out(
        &self,
        action: &Action,
        before: &Facet,
        progress: &Progress,
    ) -> Result<String, ActError> {
        let (target, subject) = (self.target(), action.subject());
        let refreshes = self.aws.refreshes(self.name).await.map_err(|fault| self.of_read(fault))?;
        if let Some(refresh) = refreshes.iter().find(|refresh| is_under_way(refresh)) {
            return Err(conflict(action, before, format!("under way already ({})", progress_of(refresh))));
        }
        let newest = Facet::Generation(newest_start(&refreshes));
        if newest != *before {
            return Err(conflict(action, before, newest));
        }
        let id = self.aws.start_refresh(self.name).await.map_err(|fault| match fault {
            Fault::Busy { code, .. } if code == "InstanceRefreshInProgress" => {
                conflict(action, before, "under way already")
            }
            fault => outcome::of_write(&subject, fault),
        })?;
        let wait = self.wait(action, progress);
        loop {
            let line = match self.aws.refresh(self.name, &id).await {
                Ok(Some(refresh)) if is_under_way(&refresh) => progress_of(&refresh),
                Ok(Some(refresh)) => return ended(action, &refresh),
                Ok(None) => "the instance refresh does not show yet".to_owned(),
                Err(Fault::NotFound(_)) => return Err(wait.unknown(format!("{target} is gone"))),
                Err(fault) => format!("cannot look: {fault}"),
            };
            wait.on(line).await?;
        }
    }
}

/// `InProgress, 40 %, 3 instances left: waiting for i-0abc to warm up`.
fn progress_of(refresh: &InstanceRefresh) -> String {
    let status = refresh.status.as_ref().map_or("unknown", |status| status.as_str());
    let mut line = excerpt(status, 40);
    if let Some(percent) = refresh.percentage_complete {
        line.push_str(&format!(", {percent} %"));
    }
    if let Some(left) = refresh.instances_to_update.filter(|left| *left > 0) {
        line.push_str(&format!(", {left} instances left"));
    }
    if let Some(reason) = refresh.status_reason.as_deref().filter(|reason| !reason.is_empty()) {
        line.push_str(&format!(": {}", excerpt(reason, 240)));
    }
    line
}

/// What the end of a refresh is worth.
fn ended(action: &Action, refresh: &InstanceRefresh) -> Result<String, ActError> {
    match &refresh.status {
        Some(InstanceRefreshStatus::Successful) => Ok(format!("{}: every instance is replaced", action.subject())),
        Some(InstanceRefreshStatus::Cancelled) => Err(ActError::Conflict {
            subject: action.subject(),
            expected: "carried through".to_owned(),
            found: "cancelled".to_owned(),
        }),
        _ => Err(ActError::Unsupported(format!(
            "{} could not be carried through: {}. Some of its instances may be replaced",
            action.subject(),
            progress_of(refresh)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_autoscaling::types::InstanceRefreshStatus as S;

    use super::*;

    fn refresh(status: S) -> InstanceRefresh {
        InstanceRefresh::builder()
            .status(status)
            .percentage_complete(40)
            .instances_to_update(3)
            .status_reason("Waiting for\ni-1 to warm up")
            .build()
    }

    #[test]
    fn a_refresh_says_how_far_it_is() {
        assert_eq!(
            progress_of(&refresh(S::InProgress)),
            "InProgress, 40 %, 3 instances left: Waiting for i-1 to warm up"
        );
    }

    #[test]
    fn only_a_successful_refresh_is_done() {
        let action = Action::Rollout { target: "asg:web".parse().unwrap() };
        assert!(ended(&action, &refresh(S::Successful)).is_ok());
        assert!(matches!(ended(&action, &refresh(S::Cancelled)), Err(ActError::Conflict { .. })));
        for status in [S::Failed, S::RollbackSuccessful, S::RollbackFailed] {
            let error = ended(&action, &refresh(status)).unwrap_err();
            assert!(error.to_string().contains("warm up"), "{error}");
        }
    }
}

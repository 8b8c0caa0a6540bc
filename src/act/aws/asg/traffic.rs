//! One instance out of its target groups, and back.

use super::super::outcome;
use super::group::Group;
use super::{Reached, conflict};
use crate::act::{ActError, Progress};
use crate::model::{Action, Facet};
use crate::platform::aws::Fault;

impl Reached<'_> {
    /// Deregisters an instance from every target group of its group, or registers it again, and waits until the load
    /// balancer heeds it. The instance lives on.
    pub(super) async fn isolate(
        &self,
        action: &Action,
        instance: &str,
        isolated: bool,
        before: &Facet,
        progress: &Progress,
    ) -> Result<String, ActError> {
        let (target, subject) = (self.target(), action.subject());
        let group = self.group().await.map_err(|fault| self.of_read(fault))?;
        let member = group.member(instance).ok_or_else(|| ActError::NotFound(subject.clone()))?;
        if group.target_groups.is_empty() {
            return Err(ActError::Unsupported(format!(
                "{target} is attached to no target group, so there is no traffic to take {instance} out of: attach one, or \
                 restart the instance"
            )));
        }
        if member.is_standby() {
            return Err(ActError::Unsupported(format!(
                "{subject} is in standby, which somebody else has set: end that in AWS"
            )));
        }
        if !member.in_service() {
            return Err(ActError::Unsupported(format!("{} and has no traffic of its own", member.in_words())));
        }
        let is = member.is_isolated(&group.target_groups);
        let to_change: Vec<&String> = group
            .target_groups
            .iter()
            .filter(|arn| member.seats.get(*arn).is_some_and(super::group::Seat::is_taken) == isolated)
            .collect();
        if *before != Facet::Isolated(is) && is != isolated {
            return Err(conflict(action, before, Facet::Isolated(is)));
        }
        let already = to_change.is_empty();
        for (done, arn) in to_change.iter().enumerate() {
            let sent = match isolated {
                true => self.aws.deregister(arn, instance).await,
                false => self.aws.register(arn, instance).await,
            };
            sent.map_err(|fault| match done {
                0 => outcome::of_write(&subject, fault),
                // What was done is not undone by what was refused.
                _ => ActError::OutcomeUnknown(
                    subject.clone(),
                    format!("done in {done} of {} target groups; then: {fault}", to_change.len()),
                ),
            })?;
        }
        let wait = self.wait(action, progress);
        loop {
            let line = match self.group().await {
                Ok(now) => match settled(&now, instance, isolated) {
                    Ok(()) => break,
                    Err(line) => line,
                },
                Err(Fault::NotFound(_)) => return Err(wait.unknown("the group is gone")),
                Err(fault) => format!("cannot look: {fault}"),
            };
            wait.on(line).await?;
        }
        let count = group.target_groups.len();
        Ok(match (already, isolated) {
            (true, _) => format!("{subject} is so already: {}", Facet::Isolated(isolated)),
            (false, true) => format!("{subject} gets no new requests from {count} target groups and lives on"),
            (false, false) => format!("{subject} is healthy in {count} target groups again"),
        })
    }
}

/// Does every target group send it requests, or none? Else what is missing.
fn settled(now: &Group, instance: &str, isolated: bool) -> Result<(), String> {
    let member = now.member(instance).ok_or_else(|| format!("{instance} is in the group no more"))?;
    if isolated {
        let out = member.is_isolated(&now.target_groups);
        return if out { Ok(()) } else { Err(format!("{instance} is still in traffic")) };
    }
    for arn in &now.target_groups {
        match member.seats.get(arn) {
            Some(seat) if seat.is_taken() && seat.is_well() => {}
            Some(seat) => return Err(format!("{instance} is {}", seat.in_words())),
            None => return Err(format!("{instance} is not registered yet")),
        }
    }
    Ok(())
}

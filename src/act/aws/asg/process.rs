//! The group's own processes: suspended, and resumed.

use super::super::outcome;
use super::group::{PROCESS, PROCESSES, RUNNING, SUSPENDED};
use super::{Reached, conflict};
use crate::act::{ActError, Progress};
use crate::model::{Action, Facet};
use crate::platform::aws::{Fault, excerpt};

impl Reached<'_> {
    /// Suspends or resumes one process.
    pub(super) async fn configure(
        &self,
        action: &Action,
        setting: &str,
        value: &str,
        before: &Facet,
        progress: &Progress,
    ) -> Result<String, ActError> {
        let subject = action.subject();
        let process = known(setting).ok_or_else(|| {
            ActError::Unsupported(format!(
                "{} has no setting `{}`: it has {PROCESS} and one of {}",
                self.target(),
                excerpt(setting, 80),
                PROCESSES.join(", ")
            ))
        })?;
        let suspend = match value {
            SUSPENDED => true,
            RUNNING => false,
            other => {
                let other = excerpt(other, 80);
                return Err(ActError::Unsupported(format!("{setting} is {RUNNING} or {SUSPENDED}, never `{other}`")));
            }
        };
        let group = self.aws.group(self.name).await.map_err(|fault| self.of_read(fault))?;
        let is_suspended = |group: &aws_sdk_autoscaling::types::AutoScalingGroup| {
            group.suspended_processes().iter().any(|p| p.process_name.as_deref() == Some(process))
        };
        let is = is_suspended(&group);
        if is == suspend {
            return Ok(format!("{subject} is so already: {value}"));
        }
        let now = Facet::Setting(if is { SUSPENDED } else { RUNNING }.to_owned());
        if now != *before {
            return Err(conflict(action, before, now));
        }
        let sent = match suspend {
            true => self.aws.suspend(self.name, process).await,
            false => self.aws.resume(self.name, process).await,
        };
        sent.map_err(|fault| outcome::of_write(&subject, fault))?;
        let wait = self.wait(action, progress);
        loop {
            let line = match self.aws.group(self.name).await {
                Ok(now) if is_suspended(&now) == suspend => return Ok(format!("{subject}: {value}")),
                Ok(_) => format!("{process} is not {value} yet"),
                Err(Fault::NotFound(_)) => return Err(wait.unknown("the group is gone")),
                Err(fault) => format!("cannot look: {fault}"),
            };
            wait.on(line).await?;
        }
    }
}

/// The process that a setting is about.
fn known(setting: &str) -> Option<&'static str> {
    let name = setting.strip_prefix(PROCESS)?;
    PROCESSES.into_iter().find(|process| *process == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_processes_that_aws_has_are_settings() {
        assert_eq!(known("process/Launch"), Some("Launch"));
        for wrong in ["Launch", "process/", "process/launch", "process/Launch ", "process/Everything"] {
            assert_eq!(known(wrong), None, "{wrong}");
        }
    }
}

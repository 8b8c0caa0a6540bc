//! Taking a run back: the recorded inverses, last step first. The host's work, not the playbook's.

use super::execute::{Found, apply, look};
use super::plan::RunnerError;
use super::reconcile::Runner;
use crate::act::ActError;
use crate::incident::{Input, Outcome, Step};
use crate::model::{Inverse, PlannedAction, RunId};

/// How often an inverse is tried before a person is asked.
const ATTEMPTS: u32 = 3;

/// What is to be done about one step.
enum Way {
    /// Nothing: it never happened.
    NotNeeded(String),
    /// Send the inverse.
    Send,
    /// Somebody has to look.
    Stuck(String),
}

impl Runner {
    /// Takes a run back from wherever that stands.
    pub(super) async fn undo(&self, id: RunId) -> Result<(), RunnerError> {
        let Some(run) = self.engine.state().runs.get(&id).cloned() else { return Ok(()) };
        let mut impossible = Vec::new();
        for (index, planned) in run.plan.actions.iter().enumerate().rev() {
            let Ok(index) = u32::try_from(index) else { continue };
            let Some(step) =
                run.step(index).filter(|s| matches!(s, Step::Done { .. } | Step::Intended | Step::UndoIntended))
            else {
                continue;
            };
            let Inverse::Action(_) = &planned.inverse else {
                impossible.push(index);
                continue;
            };
            let way = self.way_back(step, planned).await?;
            self.engine.submit(Input::IntendUndo { run: id, index }).await?;
            let outcome = match way {
                Way::NotNeeded(why) => Outcome::Undone(why),
                Way::Stuck(why) => Outcome::UndoFailed(why),
                Way::Send => self.send_inverse(id, index, planned).await?,
            };
            self.engine.submit(Input::Acted { run: id, index, outcome }).await?;
        }
        self.engine.submit(Input::UndoEnded { run: id, impossible }).await?;
        Ok(())
    }

    /// Looks at the target before anything is sent: a crash may lie between now and the last word on this step.
    async fn way_back(&self, step: &Step, planned: &PlannedAction) -> Result<Way, RunnerError> {
        let target = planned.action.target();
        let blind = |error: ActError| RunnerError::Blind(target.clone(), error.to_string());
        let actuator = self.stages.actuators.of(target).map_err(blind)?;
        match look(actuator, planned).await {
            Ok(Found::After) => Ok(Way::Send),
            Ok(Found::Before) => Ok(Way::NotNeeded(match step {
                Step::Intended => "it was never done".to_owned(),
                _ => format!("{} is {} already", planned.action.subject(), planned.before),
            })),
            Ok(Found::Neither(facet)) => Ok(Way::Stuck(format!(
                "{} is {facet} now, neither {} nor {}: somebody changed it meanwhile, so it is left alone",
                planned.action.subject(),
                planned.before,
                planned.after
            ))),
            Err(ActError::NotFound(what)) => Ok(Way::NotNeeded(format!("{what} does not exist any more"))),
            Err(error) => Err(blind(error)),
        }
    }

    async fn send_inverse(&self, id: RunId, index: u32, planned: &PlannedAction) -> Result<Outcome, RunnerError> {
        let Inverse::Action(inverse) = &planned.inverse else {
            return Ok(Outcome::UndoFailed("there is no way back".to_owned()));
        };
        let target = inverse.target();
        let blind = |error: ActError| RunnerError::Blind(target.clone(), error.to_string());
        let actuator = self.stages.actuators.of(target).map_err(blind)?;
        let key = format!("{id}/{index}/undo");
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            match apply(&self.engine, (id, index), actuator, inverse, &planned.after, &key).await {
                Ok(receipt) => return Ok(Outcome::Undone(receipt)),
                Err(error) => match look(actuator, planned).await {
                    Ok(Found::Before) => {
                        return Ok(Outcome::Undone(format!("done, as a look at the target shows ({error})")));
                    }
                    Ok(Found::After) => last = error.to_string(),
                    Ok(Found::Neither(facet)) => {
                        let why = format!("{} is {facet} now: {error}", planned.action.subject());
                        return Ok(Outcome::UndoFailed(why));
                    }
                    Err(error) => return Err(blind(error)),
                },
            }
        }
        Ok(Outcome::UndoFailed(last))
    }
}

//! Game days: experiments that are asked for when their window opens.
//!
//! A schedule asks, people approve: it is the same question on the same card. Once in each window, and not while a freeze holds.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::stand;
use crate::app::Shared;
use crate::config::ScheduleSettings;
use crate::incident::{Input, OnExperiment};
use crate::model::Timestamp;
use crate::supervise::drained;

/// How often the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Asks for what is due, for as long as the daemon lives.
pub(in crate::app) async fn keep(shared: Arc<Shared>, mut drain: watch::Receiver<bool>) -> Result<(), String> {
    let mut said: Vec<Option<String>> = Vec::new();
    loop {
        let config = shared.config();
        said.resize(config.chaos.schedules.len(), None);
        for (schedule, said) in config.chaos.schedules.iter().zip(&mut said) {
            let trouble = ask(&shared, schedule).await.err();
            if let Some(why) = trouble.as_ref().filter(|_| trouble != *said) {
                tracing::warn!(experiment = schedule.experiment, why, "a scheduled experiment could not be asked for");
                shared
                    .outbox
                    .say("chaos", &format!("the scheduled experiment {} is not done: {why}", schedule.experiment));
            }
            *said = trouble;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = drained(&mut drain) => return Ok(()),
        }
    }
}

async fn ask(shared: &Arc<Shared>, schedule: &ScheduleSettings) -> Result<(), String> {
    let now = shared.engine.now();
    if !schedule.is_due(now, last_asked(shared, schedule)) {
        return Ok(());
    }
    if crate::engine::Standing::frozen(&*shared.people, &schedule.service, now).is_some() {
        return Ok(());
    }
    let plan = stand::plan(shared, &schedule.experiment, Some(schedule.service.clone()), None).await?;
    let ask = OnExperiment::Ask { plan: Box::new(plan), by: None };
    shared.engine.submit(Input::Experiment(ask)).await.map(|_| ()).map_err(|e| e.to_string())
}

/// When it was asked about last, by itself; also by an earlier life.
fn last_asked(shared: &Shared, schedule: &ScheduleSettings) -> Option<Timestamp> {
    let state = shared.engine.state();
    let ours = state.experiments.all().filter(|trial| {
        trial.asked_by.is_none()
            && trial.plan.experiment.name == schedule.experiment
            && *trial.service() == schedule.service
    });
    ours.map(|trial| trial.asked_at).max()
}

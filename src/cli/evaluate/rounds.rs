//! One round: a stage, a fault, and what came of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Way;
use super::figures::{Quiet, Round};
use crate::app::{Door, Reply};
use crate::chaos::{RENEW_EVERY, Report, Wish};
use crate::cli::stage::{SHOP, Stages};
use crate::incident::Progress;
use crate::ledger;
use crate::model::{AimedFault, Event, Experiment, Mode, Person, ServiceId};
use crate::sample::{LoadStats, Shop};

/// How long an experiment may take beyond its faults.
const OVER_WITHIN: Duration = Duration::from_secs(240);
/// Usual load before anything goes in.
const WARM: Duration = Duration::from_secs(4);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What is to be done in a round.
pub(super) struct Task<'a> {
    pub experiment: &'a Experiment,
    pub span: Duration,
    pub way: Way,
    pub seed: u64,
}

/// The experiment with faults of this length, how long it takes.
pub(super) fn lasts(experiment: &Experiment, span: Duration) -> Duration {
    with_span(experiment, span).lasts()
}

fn with_span(experiment: &Experiment, span: Duration) -> Experiment {
    let mut experiment = experiment.clone();
    experiment.method.iter_mut().for_each(|step| step.lasts = span);
    experiment
}

/// Plays one round in `dir`.
pub(super) async fn play(stages: &Stages<'_>, dir: &Path, task: &Task<'_>, round: u32) -> anyhow::Result<Round> {
    match task.way {
        Way::Off => alone(stages, dir, task, round).await,
        Way::Observe => watched(stages, dir, task, round, Mode::Observe).await,
        Way::Auto => watched(stages, dir, task, round, Mode::Auto).await,
    }
}

/// The shop alone with the fault.
async fn alone(stages: &Stages<'_>, dir: &Path, task: &Task<'_>, round: u32) -> anyhow::Result<Round> {
    crate::cli::make_data_dir(dir)?;
    let work = async {
        let shop = Shop::start(stages.exe, dir).await?;
        let served = exposed(&shop, task).await;
        shop.stop().await?;
        served
    };
    let (before, after) = tokio::select! {
        served = work => served?,
        reason = stages.stop.clone() => anyhow::bail!("stopped: {reason}"),
    };
    Ok(Round::new(task.experiment.name.clone(), task.way, round, None).served(&before, &after))
}

/// Puts the faults of the experiment in and takes them out, by its timetable. What was served meanwhile.
async fn exposed(shop: &Shop, task: &Task<'_>) -> anyhow::Result<(LoadStats, LoadStats)> {
    sleep(WARM).await;
    let experiment = with_span(task.experiment, task.span);
    let (injector, target) = (shop.injector(), shop.target().clone());
    let mut aimed = Vec::new();
    for (step, (from, until)) in experiment.method.iter().zip(experiment.timetable()) {
        let wish = Wish {
            target: &target,
            fault: &step.fault,
            instances: &step.instances,
            radius: experiment.blast_radius,
            seed: task.seed,
        };
        let aim = injector.aim(&wish).await?;
        aimed.push(AimedFault {
            fault: step.fault.clone(),
            target: target.clone(),
            instances: aim.instances,
            from,
            until,
            how: aim.how,
            undo: aim.undo,
            held: aim.held,
        });
    }
    let before = shop.load_stats().await?;
    let began = Instant::now();
    let (mut is_in, mut over) = (vec![false; aimed.len()], vec![false; aimed.len()]);
    while began.elapsed() < experiment.lasts() {
        for (index, fault) in aimed.iter().enumerate() {
            let id = format!("ROUND.{index}");
            let (Some(is_in), Some(over)) = (is_in.get_mut(index), over.get_mut(index)) else { continue };
            if !*is_in && !*over && began.elapsed() >= fault.from {
                injector.put_in(&id, fault).await?;
                *is_in = true;
            } else if *is_in && began.elapsed() >= fault.until {
                injector.take_out(&id, fault).await?;
                (*is_in, *over) = (false, true);
            } else if *is_in {
                // One that is gone is gone.
                let _ = injector.renew(&id, fault, fault.until.saturating_sub(began.elapsed())).await;
            }
        }
        sleep(RENEW_EVERY / 2).await;
    }
    let after = shop.load_stats().await?;
    for (index, fault) in aimed.iter().enumerate() {
        injector.take_out(&format!("ROUND.{index}"), fault).await?;
    }
    Ok((before, after))
}

/// The shop with the whole daemon around it.
async fn watched(stages: &Stages<'_>, dir: &Path, task: &Task<'_>, round: u32, mode: Mode) -> anyhow::Result<Round> {
    let served = stages
        .with(dir, mode, async |stage| {
            let shop = stage.open_load(stages.exe, dir).await?;
            let served = experiment(&stage.door, &shop, task).await;
            shop.stop().await?;
            served
        })
        .await?;
    let mut events: Vec<Event> = Vec::new();
    for stored in ledger::records(dir)? {
        events.push(stored?.record.event);
    }
    let report = Report::all(&events).into_iter().next();
    Ok(Round::new(task.experiment.name.clone(), task.way, round, report).served(&served.0, &served.1))
}

/// Asks for the experiment, says yes where that is needed, and waits until it is over. What was served while faults were in.
async fn experiment(door: &Door, shop: &Shop, task: &Task<'_>) -> anyhow::Result<(LoadStats, LoadStats)> {
    door.add_injector(shop.injector());
    door.draw_lots_by(task.seed);
    sleep(WARM).await;
    let by = Person::new("demo:evaluate", "evaluate");
    let service = ServiceId::from(SHOP);
    let line = format!("chaos run {} {service} for:{}", task.experiment.name, humantime::format_duration(task.span));
    said(door.answer(&by, "evaluate", &line).await)?;
    let asks = door.engine().state().experiments.open_on(&service).is_some_and(|t| t.progress == Progress::Asked);
    if asks {
        said(door.answer(&by, "evaluate", "chaos approve").await)?;
    }
    let deadline = Instant::now() + lasts(task.experiment, task.span) + OVER_WITHIN;
    let (mut before, mut after) = (None, None);
    loop {
        let state = door.engine().state();
        let trial = state.experiments.all().next_back().cloned();
        let Some(trial) = trial else { anyhow::bail!("the experiment is not there") };
        if before.is_none() && trial.first_fault_at.is_some() {
            before = Some((shop.load_stats().await?, Instant::now()));
        }
        if let (Some((_, began)), None) = (&before, &after)
            && began.elapsed() >= lasts(task.experiment, task.span)
        {
            after = Some(shop.load_stats().await?);
        }
        match trial.progress {
            Progress::Ended(_) if after.is_some() || before.is_none() => break,
            Progress::Declined => anyhow::bail!("{} was not done: {}", trial.label(), trial.why),
            _ if Instant::now() > deadline => anyhow::bail!("{} does not end", trial.label()),
            _ => sleep(LOOK_EVERY).await,
        }
    }
    let now = shop.load_stats().await?;
    Ok((before.map_or(now, |(stats, _)| stats), after.unwrap_or(now)))
}

fn said(reply: Reply) -> anyhow::Result<()> {
    match reply {
        Reply::Refused(card) => anyhow::bail!("{}", crate::cli::text(&card)),
        _ => Ok(()),
    }
}

/// A time in which nothing is wrong: what is found and done all the same.
pub(super) async fn quiet(stages: &Stages<'_>, dir: &Path, span: Duration) -> anyhow::Result<Quiet> {
    stages
        .with(dir, Mode::Auto, async |stage| {
            let shop = stage.open_load(stages.exe, dir).await?;
            let began = Instant::now();
            let engine = Arc::clone(stage.door.engine());
            while began.elapsed() < span {
                sleep(Duration::from_secs(1).min(span)).await;
            }
            let state = engine.state();
            let quiet = Quiet {
                minutes: span.as_secs_f64() / 60.0,
                incidents: state.incidents.len() as u64,
                actions: state.runs.len() as u64,
            };
            shop.stop().await?;
            Ok(quiet)
        })
        .await
}

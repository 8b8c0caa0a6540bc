//! `chaos` from the channel: experiments are described, planned, asked for, approved, stopped and reported.
//!
//! What an experiment does is carried out in `conduct`; whether it may be done, the machine decides, as with everything else.

mod conduct;
mod schedule;
mod stand;
mod steady;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) use conduct::{end_all, keep};
pub(super) use schedule::keep as keep_schedule;
pub(super) use stand::Stand;

use super::Shared;
use super::commands::{Asked, page_of, submit};
use crate::chaos::{report, score, words};
use crate::chat::command::ExperimentOr;
use crate::chat::{Block, Button, Card, CardAction, Field, PlanShown, Tone, pages};
use crate::decide::Deed;
use crate::incident::{Input, OnExperiment, Progress, Refusal, State, Trial};
use crate::ledger::Query;
use crate::model::{Event, ExperimentId, Fact, FaultKind, Record, ServiceId, in_words};

/// Experiments of a report over several.
const REPORTED: usize = 20;
/// Experiments that the scoreboard goes back.
const SCORED: usize = 500;
/// Records of one experiment that are read.
const RECORDS: usize = 2000;

/// The experiments there are, where each can be done, and those that are under way.
pub(super) async fn list(shared: &Shared, state: &State) -> Card {
    let config = shared.config();
    let mut offers: BTreeMap<ServiceId, Vec<FaultKind>> = BTreeMap::new();
    for service in config.services.iter().filter(|service| !service.targets.is_empty()) {
        offers.insert(service.name.clone(), shared.stand.offers(&service.targets).await);
    }
    let on = |experiment: &crate::model::Experiment| -> Vec<ServiceId> {
        let fits = |kinds: &Vec<FaultKind>| stand::needs(&experiment.method).all(|kind| kinds.contains(&kind));
        let may = |service: &ServiceId| experiment.service.as_ref().is_none_or(|own| own == service);
        offers.iter().filter(|(service, kinds)| may(service) && fits(kinds)).map(|(name, _)| name.clone()).collect()
    };
    let mut card = words::list(shared.stand.library(), &on);
    let open =
        state.experiments.all().filter(|trial| trial.is_open()).map(|trial| {
            Block::Text(format!("{} is {} on {}.", trial.label(), trial.progress.words(), trial.service()))
        });
    let forbidden = stand::must_not_be_forbidden(shared).err().map(Block::Text);
    card.blocks.splice(0..0, forbidden.into_iter().chain(open));
    card
}

/// One experiment in full.
pub(super) fn describe(shared: &Shared, name: &str) -> Result<Card, String> {
    shared.stand.library().find(name).map(words::describe)
}

/// What an experiment would do, and nothing more.
pub(super) async fn plan(shared: &Shared, name: &str, service: Option<ServiceId>) -> Result<Card, String> {
    let plan = stand::plan(shared, name, service, None).await?;
    let mut card = words::plan_card(&plan);
    card.blocks.push(Block::Text(format!(
        "This was a dry run: nothing is put in, nothing waits. To have it done: `chaos run {name} {}`",
        plan.service
    )));
    Ok(card)
}

/// Asks for an experiment. It begins when it is approved.
pub(super) async fn run(
    shared: &Arc<Shared>,
    asked: &Asked,
    name: &str,
    service: Option<ServiceId>,
    span: Option<Duration>,
) -> Result<String, String> {
    // Before anything is looked at: who may not have it done learns nothing of the targets.
    let found = shared.stand.library().find(name)?.experiment.service.clone();
    let service = stand::service_of(shared, service, found.as_ref())?.name.clone();
    shared.engine.may(&service, &asked.by, Deed { verb: "chaos", actions: &[] }).map_err(|missing| {
        let (who, id) = (asked.by.name.clone(), asked.by.id.clone());
        Refusal::NotAllowed { who, id, service: service.clone(), missing: Box::new(missing) }.to_string()
    })?;
    let plan = Box::new(stand::plan(shared, name, Some(service), span).await?);
    let events = submit(shared, Input::Experiment(OnExperiment::Ask { plan, by: Some(asked.by.clone()) })).await?;
    Ok(super::commands::told(&events))
}

/// A yes. It counts for what the person saw.
pub(super) async fn approve(shared: &Arc<Shared>, asked: &Asked, id: Option<ExperimentId>) -> Result<String, String> {
    stand::must_not_be_forbidden(shared)?;
    let state = shared.engine.state();
    let id = id.or_else(|| the_one_that_asks(&state));
    let mut digest = asked.plan;
    if let (None, Some(platform), Some(id)) = (digest, &asked.platform, id) {
        let seen = shared.outbox.delivered(platform, &id.to_string()).ok_or_else(|| {
            format!("what {id} would do has not been delivered here yet: wait for its card, and decide then")
        })?;
        digest = Some(seen);
    }
    let input = OnExperiment::Approve { id, digest, by: asked.by.clone() };
    submit(shared, Input::Experiment(input)).await.map(|events| super::commands::told(&events))
}

/// The only experiment that waits for a yes.
pub(super) fn the_one_that_asks(state: &State) -> Option<ExperimentId> {
    let mut all = state.experiments.all().filter(|trial| trial.progress == Progress::Asked).map(|trial| trial.id);
    let first = all.next();
    first.filter(|_| all.next().is_none())
}

/// A no.
pub(super) async fn reject(
    shared: &Arc<Shared>,
    asked: &Asked,
    id: Option<ExperimentId>,
    reason: String,
) -> Result<String, String> {
    let input = OnExperiment::Reject { id, reason, by: asked.by.clone() };
    submit(shared, Input::Experiment(input)).await.map(|events| super::commands::told(&events))
}

/// Ends experiments now. Anybody may: it is the way back.
pub(super) async fn stop(
    shared: &Arc<Shared>,
    asked: &Asked,
    what: Option<&ExperimentOr<ServiceId>>,
) -> Result<String, String> {
    let state = shared.engine.state();
    let meant = |trial: &&Trial| match what {
        None => true,
        Some(ExperimentOr::One(id)) => trial.id == *id,
        Some(ExperimentOr::All(service)) => trial.service() == service,
    };
    let all: Vec<_> = state.experiments.all().filter(|trial| trial.is_open()).filter(meant).map(|t| t.id).collect();
    if all.is_empty() {
        return Err("no experiment is asked about or under way there; `chaos list` says what is".to_owned());
    }
    let mut said = Vec::new();
    for id in all {
        let why = format!("stopped by {}", asked.by.name);
        let input = OnExperiment::Stop { id, why, by: Some(asked.by.clone()) };
        let events = submit(shared, Input::Experiment(input)).await?;
        said.push(if events.is_empty() {
            format!("{id} is being stopped already")
        } else {
            super::commands::told(&events)
        });
    }
    Ok(said.join("; "))
}

/// What became of one experiment, or of the last ones.
pub(super) async fn report(shared: &Arc<Shared>, what: Option<&ExperimentOr<String>>) -> Result<Card, String> {
    if let Some(ExperimentOr::One(id)) = what {
        let made =
            report_of(shared, *id).await?.ok_or_else(|| format!("there is no {id}; `chaos report` lists them"))?;
        let mut card = made.card();
        card.picture = picture(shared, &made);
        return Ok(card);
    }
    let name = match what {
        Some(ExperimentOr::All(name)) => Some(name.as_str()),
        _ => None,
    };
    let reports = reports(shared, name, REPORTED).await?;
    if reports.is_empty() {
        return Ok(pages::answer("chaos report", vec![Block::Text("No experiment was done yet.".to_owned())]));
    }
    Ok(pages::answer("chaos report", vec![report::overview(&reports)]))
}

/// How the healing did, by fault.
pub(super) async fn scoreboard(shared: &Arc<Shared>) -> Result<Card, String> {
    let reports = reports(shared, None, SCORED).await?;
    Ok(score::ScoreBoard::of(&reports).card())
}

/// The reports of the last experiments, newest first.
async fn reports(shared: &Arc<Shared>, name: Option<&str>, most: usize) -> Result<Vec<report::Report>, String> {
    let query = Query { kind: Some("experiment-asked".to_owned()), limit: SCORED, ..Query::default() };
    let asked = page_of(shared, query).await?;
    let ids = asked.records.iter().filter_map(|stored| match &stored.record.event.fact {
        Fact::ExperimentAsked { experiment, plan, .. } if name.is_none_or(|name| plan.experiment.name == name) => {
            Some(*experiment)
        }
        _ => None,
    });
    let mut reports = Vec::new();
    for id in ids.take(most).collect::<Vec<_>>() {
        reports.extend(report_of(shared, id).await?);
    }
    Ok(reports)
}

/// The report of one experiment, from the ledger.
pub(super) async fn report_of(shared: &Arc<Shared>, id: ExperimentId) -> Result<Option<report::Report>, String> {
    let query = Query { kind: Some("experiment-asked".to_owned()), limit: SCORED, ..Query::default() };
    let asked = page_of(shared, query).await?;
    let is_it =
        |record: &&Record| matches!(&record.event.fact, Fact::ExperimentAsked { experiment, .. } if *experiment == id);
    let asked = asked.records.iter().map(|stored| &stored.record).find(is_it).cloned();
    let Some(asked) = asked else { return Ok(None) };
    let state = shared.engine.state();
    // `until` is not part of the span that is asked for.
    let until = state.experiments.get(id).and_then(|trial| trial.ended_at).map(|at| at.plus(Duration::from_millis(1)));
    let query = Query {
        service: asked.event.service.clone(),
        since: Some(asked.event.at),
        until,
        limit: RECORDS,
        ..Query::default()
    };
    let page = page_of(shared, query).await?;
    let mut records: Vec<Record> = page.records.iter().map(|stored| stored.record.clone()).collect();
    // A page has the newest first.
    records.sort_by_key(|record| record.seq);
    Ok(report::Report::of(id, records.iter().map(|record| &record.event)))
}

/// The course of what the detector saw, with fault, detection, action and recovery.
fn picture(shared: &Shared, report: &report::Report) -> Option<Arc<crate::chat::chart::Chart>> {
    let metric = report.metric()?;
    let (from, to) = report.frame(shared.engine.now())?;
    let state = shared.engine.state();
    let chart = super::cards::course(&state, &shared.config(), &shared.board, &report.service, metric, from, to)?;
    Some(Arc::new(report.on(chart)))
}

/// The card of an experiment as it stands.
pub(super) fn card(state: &State, config: &crate::config::Config, trial: &Trial) -> Card {
    let id = trial.id;
    let mut blocks = words::plan_blocks(&trial.plan);
    let field = |label: &str, value: String| Block::Field(label.to_owned(), value);
    if let Some(policy) = config.service(trial.service()).map(crate::config::ServiceConfig::policy)
        && trial.progress == Progress::Asked
    {
        blocks.push(field("Approvals", format!("{} of {}", trial.approvals.len(), policy.approval.quorum.max(1))));
        if let Some(asked) = trial.asked_by.as_ref().filter(|_| !policy.approval.requester_may_approve) {
            blocks.push(field("Not by", format!("{}, who asked for it", asked.name)));
        }
    }
    if let Some(why) = trial.abort.as_ref().filter(|_| trial.progress == Progress::Running) {
        blocks.push(Block::Text(format!("It is being broken off: {why}.")));
    }
    let stuck = trial.faults.iter().filter_map(|fault| match fault {
        crate::incident::FaultState::Stuck(_, why) => {
            Some(Block::Text(format!("COULD NOT be taken out so far: {why}.")))
        }
        _ => None,
    });
    blocks.extend(stuck);
    blocks.extend(trial.seen.iter().map(|(stage, steady, why, _)| {
        let how = if *steady { "yes".to_owned() } else { format!("no: {why}") };
        field(&format!("Steady {stage}"), how)
    }));
    let incidents: Vec<_> = state.incidents.values().filter(|incident| incident.experiment == Some(id)).collect();
    blocks.extend(incidents.iter().map(|incident| {
        let after = trial.first_fault_at.map(|at| format!(" after {}", in_words(incident.opened_at.since(at))));
        field(&incident.id.to_string(), format!("found{}; {}", after.unwrap_or_default(), incident.phase.words()))
    }));
    if !trial.why.is_empty() {
        blocks.push(field("Outcome", format!("{}: {}", trial.progress.words(), trial.why)));
    }
    let tone = match trial.progress {
        Progress::Asked | Progress::Running => Tone::Waiting,
        Progress::Ended(crate::model::ExperimentOutcome::Passed) => Tone::Good,
        Progress::Ended(crate::model::ExperimentOutcome::Failed) => Tone::Bad,
        _ => Tone::Neutral,
    };
    Card {
        key: id.to_string(),
        title: format!("{id} · {} · {} · {}", trial.service(), trial.plan.experiment.name, trial.progress.words()),
        tone,
        blocks,
        actions: actions(trial),
        settled: !trial.is_open(),
        picture: None,
        plan: (trial.progress == Progress::Asked).then(|| PlanShown { about: id.to_string(), digest: trial.digest }),
    }
}

fn actions(trial: &Trial) -> Vec<CardAction> {
    let id = trial.id;
    let action = |label: &str, command: String, ask: Option<Field>| CardAction {
        label: label.to_owned(),
        command: command.clone(),
        button: Some(Button { id: String::new(), command, ask }),
        ..CardAction::default()
    };
    let reason =
        Field { name: Field::REASON.to_owned(), label: "Why not".to_owned(), optional: true, long: true, most: 500 };
    match trial.progress {
        Progress::Asked => vec![
            CardAction { primary: true, dangerous: true, ..action("Approve", format!("approve {id}"), None) },
            action("Reject", format!("reject {id}"), Some(reason)),
        ],
        Progress::Running => vec![CardAction { primary: true, ..action("Stop", format!("chaos stop {id}"), None) }],
        Progress::Ended(_) => vec![action("Report", format!("chaos report {id}"), None)],
        Progress::Declined => Vec::new(),
    }
}

/// The experiment that an event is about.
pub(super) fn experiment_of(event: &Event) -> Option<ExperimentId> {
    match &event.fact {
        Fact::ExperimentAsked { experiment, .. }
        | Fact::ExperimentApproved { experiment, .. }
        | Fact::ExperimentDeclined { experiment, .. }
        | Fact::ExperimentStarted { experiment, .. }
        | Fact::SteadyStateSeen { experiment, .. }
        | Fact::FaultIntended { experiment, .. }
        | Fact::FaultStuck { experiment, .. }
        | Fact::ExperimentAborted { experiment, .. }
        | Fact::ExperimentEnded { experiment, .. } => Some(*experiment),
        Fact::FaultInjected { experiment, .. } | Fact::FaultLifted { experiment, .. } => *experiment,
        _ => None,
    }
}

//! Carrying out commands: the only place where a person's word meets the engine.
//!
//! Text becomes a command in `chat::grammar`; whether the person may, the machine decides. Every command that changes
//! something is in the ledger with its text before it is carried out.

use std::sync::Arc;
use std::time::Duration;

use super::cards::{ahead, incident_card, mode_of};
use super::{Shared, components, feedback, reload};
use crate::chat::chart::{self, Chart, Mark, MarkKind};
use crate::chat::pages::{self, ServiceRow};
use crate::chat::{AuditQuery, Block, Card, Command, parse};
use crate::config::ServiceConfig;
use crate::engine::SubmitError;
use crate::incident::{Incident, Input, Refusal, State};
use crate::ledger::{self, Disk, Query, Storage};
use crate::model::number::humane;
use crate::model::{Event, Fact, Judge, Person, Proposal, ServiceId, in_words};

/// How far back a chart goes when nobody says.
const CHART_SPAN: Duration = Duration::from_secs(600);

/// Records of an audit answer when nobody says.
const AUDIT_LIMIT: usize = 20;

/// What is said back.
#[derive(Clone, Debug)]
pub enum Reply {
    /// An answer for who asked.
    Card(Card),
    /// No, and why.
    Refused(Card),
    /// Done; the incident's own card tells.
    Done(String),
    /// The person wants to leave.
    Quit,
}

/// Understands and carries out one line of one person.
pub(super) async fn answer(shared: &Arc<Shared>, by: &Person, via: &str, text: &str) -> Reply {
    let command = match parse(text) {
        Ok(command) => command,
        Err(error) => return Reply::Refused(pages::not_understood(&error)),
    };
    if command.changes_something() {
        let fact = Fact::Commanded { text: command.to_string(), via: via.to_owned() };
        if let Err(error) = shared.engine.note(None, Some(by), fact).await {
            return Reply::Refused(pages::refused(&command.to_string(), &error.to_string()));
        }
    }
    let said = command.to_string();
    match carry_out(shared, by, command).await {
        Ok(reply) => reply,
        Err(why) => Reply::Refused(pages::refused(&said, &why)),
    }
}

async fn carry_out(shared: &Arc<Shared>, by: &Person, command: Command) -> Result<Reply, String> {
    let state = shared.engine.state();
    let by = by.clone();
    match command {
        Command::Status { service } => status(shared, &state, service.as_ref()).map(Reply::Card),
        Command::Incidents => Ok(Reply::Card(incidents(&state))),
        Command::Show { incident } => {
            let incident = state.incidents.get(&incident).ok_or_else(|| Refusal::NoIncident(incident).to_string())?;
            let mut card = incident_card(&state, &shared.config, &shared.board, incident, shared.engine.now());
            // Asked for: shown whole, as a message of its own.
            card.key.clear();
            card.blocks.extend(history(shared, incident));
            Ok(Reply::Card(card))
        }
        Command::Approve { incident } => {
            let events = submit(shared, Input::Approve { incident, digest: None, by }).await?;
            Ok(Reply::Done(told(&events)))
        }
        Command::Reject { incident, reason } => {
            let events = submit(shared, Input::Reject { incident, reason, by }).await?;
            Ok(Reply::Done(told(&events)))
        }
        Command::Rollback { run, reason } => {
            let events = submit(shared, Input::Rollback { run, reason, by }).await?;
            Ok(Reply::Done(told(&events)))
        }
        Command::Keep { run } => Ok(Reply::Done(told(&submit(shared, Input::Keep { run, by }).await?))),
        Command::Plan { incident, playbook, args } => {
            let proposal = playbook
                .map(|playbook| {
                    let service = state.incidents.get(&incident).and_then(|i| shared.config.service(&i.service));
                    if shared.registry.catalog().playbook(&playbook).is_none() {
                        return Err(format!("there is no playbook `{playbook}`; `playbooks` lists them"));
                    }
                    if service.is_some_and(|s| !s.uses_playbook(&playbook)) {
                        return Err(format!("the config does not let playbook `{playbook}` heal this service"));
                    }
                    let why = format!("{} asked for it", by.name);
                    Ok(Proposal { playbook, args, why, rule: by.name.clone() })
                })
                .transpose()?;
            let events = submit(shared, Input::AskPlan { incident, proposal, by }).await?;
            Ok(Reply::Done(told(&events)))
        }
        Command::Close { incident, reason } => {
            let events = submit(shared, Input::Close { incident, reason, by }).await?;
            Ok(Reply::Done(told(&events)))
        }
        Command::FalseAlarm { incident, reason } => feedback::false_alarm(shared, incident, reason, by).await,
        Command::Deployed { service, settle, note } => feedback::deployed(shared, service, settle, note, by).await,
        Command::Chart { service, metric, since } => {
            chart(shared, &state, &service, &metric, since.unwrap_or(CHART_SPAN)).map(Reply::Card)
        }
        Command::Metrics { service } => metrics(shared, &service).map(Reply::Card),
        Command::Playbooks => Ok(Reply::Card(components::page(shared, &state))),
        Command::Accept { name, digest } => {
            components::must_be_admin(shared, &by, "accept")?;
            reload::accept(shared, &by, &name, digest.as_deref()).await.map(Reply::Done)
        }
        Command::Enable { name } => {
            components::must_be_admin(shared, &by, "enable")?;
            reload::enable(shared, &by, &name).await.map(Reply::Done)
        }
        Command::Audit(query) => audit(shared, query).await.map(Reply::Card),
        Command::AuditVerify => audit_verify(shared).await.map(Reply::Card),
        Command::Mode { service, mode } => {
            Ok(Reply::Done(told(&submit(shared, Input::SetMode { service, mode, by }).await?)))
        }
        Command::Stop { reason } => {
            let reason = if reason.is_empty() { format!("by {}", by.name) } else { reason };
            Ok(Reply::Done(told(&submit(shared, Input::Halt { reason, by }).await?)))
        }
        Command::Resume => Ok(Reply::Done(told(&submit(shared, Input::Resume { by }).await?))),
        Command::Whoami => Ok(Reply::Card(whoami(shared, &by))),
        Command::Help { verb } => {
            let one = verb.and_then(|verb| crate::chat::COMMANDS.iter().find(|c| c.verb == verb));
            Ok(Reply::Card(pages::help(one)))
        }
        Command::Quit => Ok(Reply::Quit),
    }
}

pub(super) async fn submit(shared: &Shared, input: Input) -> Result<Vec<Event>, String> {
    shared.engine.submit(input).await.map_err(|error| match error {
        SubmitError::Refused(refusal) => refusal.to_string(),
        SubmitError::Journal(error) => error.to_string(),
    })
}

/// What a person's word led to, in a line.
fn told(events: &[Event]) -> String {
    let lines: Vec<_> = events
        .iter()
        .map(|e| {
            let about = e.incident.map(|i| format!("{i}: ")).unwrap_or_default();
            format!("{about}{}", ledger::describe(e))
        })
        .collect();
    if lines.is_empty() { "nothing changed".to_owned() } else { lines.join("; ") }
}

fn status(shared: &Shared, state: &State, one: Option<&ServiceId>) -> Result<Card, String> {
    if let Some(service) = one {
        let known = shared.config.service(service).ok_or_else(|| Refusal::NoService(service.clone()).to_string())?;
        return Ok(pages::answer(&format!("status · {service}"), service_blocks(shared, state, known)));
    }
    let rows: Vec<_> = shared.config.services.iter().map(|s| row(shared, state, s)).collect();
    Ok(pages::status(&rows, state.halted.as_deref()))
}

fn row(shared: &Shared, state: &State, service: &ServiceConfig) -> ServiceRow {
    let now = shared.engine.now();
    let open = state.open_incident(&service.name);
    let settling = state.deploys.get(&service.name).is_some_and(|deploy| deploy.is_settling(now));
    let ahead = ahead(&shared.board, &service.name, now);
    shared.board.with(&service.name, |board| {
        let judged = match board.reading.as_ref().map(|r| (&r.judge, r.is_anomaly())) {
            None => "no sample yet".to_owned(),
            Some((_, true)) if settling => "anomalous, settling".to_owned(),
            Some((_, true)) => "anomalous".to_owned(),
            Some((Judge::Learning { have, need }, _)) => format!("learning, {have} of {need}"),
            Some(_) => "well".to_owned(),
        };
        let failing = board.samples.back().map_or(0, |s| s.faults.len()).min(service.sources.len());
        ServiceRow {
            service: service.name.clone(),
            state: open.map_or(judged, |i| format!("{} {}", i.id, i.phase.words())),
            bad: open.is_some(),
            mode: mode_of(state, &shared.config, &service.name),
            risk: board.reading.as_ref().map(|r| r.risk),
            model_age: board.model.map(|(_, at)| now.since(at)),
            sample_age: board.samples.back().map(|s| now.since(s.at)),
            sources: (service.sources.len() - failing, service.sources.len()),
            ahead,
        }
    })
}

fn service_blocks(shared: &Shared, state: &State, service: &ServiceConfig) -> Vec<Block> {
    let row = row(shared, state, service);
    let field = |label: &str, value: String| Block::Field(label.to_owned(), value);
    let ago = |age: Option<Duration>, none: &str| age.map_or(none.to_owned(), |a| format!("{} ago", in_words(a)));
    let mut blocks = vec![
        field("State", row.state),
        field("Mode", row.mode.to_string()),
        field("Risk", row.risk.map_or("not judged yet".to_owned(), |r| format!("{r:.0} of 100"))),
        field("Last sample", ago(row.sample_age, "none yet")),
        field("Model trained", ago(row.model_age, "not yet")),
        field("Sources", format!("{} of {} answer", row.sources.0, row.sources.1)),
    ];
    blocks.extend(row.ahead.into_iter().map(|words| field("Ahead", words)));
    blocks.extend(feedback::fields(state, &service.name, shared.engine.now()));
    let targets: Vec<_> = service.targets.iter().map(ToString::to_string).collect();
    blocks
        .push(field("Targets", if targets.is_empty() { "none: watched only".to_owned() } else { targets.join(", ") }));
    let faults = shared.board.with(&service.name, |b| b.samples.back().map(|s| s.faults.clone()).unwrap_or_default());
    blocks.extend(faults.into_iter().map(|f| Block::Text(format!("{}: {}", f.source, f.why))));
    blocks
}

fn incidents(state: &State) -> Card {
    let open: Vec<_> = state
        .incidents
        .values()
        .filter(|i| i.is_open())
        .map(|i| {
            Block::Text(format!(
                "{} {} {} since {} UTC: {}",
                i.id,
                i.service,
                i.severity,
                i.since.clock_time(),
                i.phase.words()
            ))
        })
        .collect();
    if open.is_empty() {
        return pages::answer("incidents", vec![Block::Text("No incident is open.".to_owned())]);
    }
    pages::answer("incidents", open)
}

/// The incident's story from the ledger.
fn history(shared: &Shared, incident: &Incident) -> Vec<Block> {
    let query = Query { incident: Some(incident.id), limit: 200, ..Query::default() };
    match shared.views.query(&shared.storage, &query) {
        Ok(page) => page.records.iter().map(|s| Block::Text(ledger::tell(&s.record))).collect(),
        Err(error) => vec![Block::Text(format!("The ledger cannot be read: {error}"))],
    }
}

fn metrics(shared: &Shared, service: &ServiceId) -> Result<Card, String> {
    known(shared, service)?;
    let rows = shared.board.with(service, |board| {
        let last = board.samples.back().map(|s| s.values.clone()).unwrap_or_default();
        last.iter()
            .map(|(name, value)| {
                let unit = board.specs.get(name).map(|s| s.unit.clone()).unwrap_or_default();
                let usual = board.bands.get(name).map_or_else(String::new, |(low, high)| {
                    format!("{} to {}", humane(*low, &unit), humane(*high, &unit))
                });
                vec![name.clone(), humane(*value, &unit), usual]
            })
            .collect::<Vec<_>>()
    });
    if rows.is_empty() {
        return Ok(pages::answer(&format!("metrics · {service}"), vec![Block::Text("No sample yet.".to_owned())]));
    }
    let head = ["metric", "now", "usually"].map(str::to_owned).to_vec();
    Ok(pages::answer(&format!("metrics · {service}"), vec![Block::Table { head, rows }]))
}

fn known(shared: &Shared, service: &ServiceId) -> Result<(), String> {
    shared.config.service(service).map(|_| ()).ok_or_else(|| Refusal::NoService(service.clone()).to_string())
}

fn chart(shared: &Shared, state: &State, service: &ServiceId, metric: &str, span: Duration) -> Result<Card, String> {
    known(shared, service)?;
    let now = shared.engine.now();
    let from = now.minus(span);
    let points = shared.board.series(service, metric, from);
    if points.is_empty() {
        let names =
            shared.board.with(service, |b| b.samples.back().map(|s| s.values.keys().cloned().collect::<Vec<_>>()));
        return Err(format!(
            "{service} has no metric `{}` in the last {}; there are: {}",
            crate::ledger::clean(metric),
            in_words(span),
            names.unwrap_or_default().join(", ")
        ));
    }
    let (band, unit) = shared.board.with(service, |board| {
        (board.bands.get(metric).copied(), board.specs.get(metric).map(|s| s.unit.clone()).unwrap_or_default())
    });
    let opened = state.incidents.values().filter(|i| i.service == *service);
    let mut marks: Vec<_> = opened
        .map(|i| Mark { at: i.since, kind: MarkKind::Anomaly, words: format!("{} begins, {}", i.id, i.severity) })
        .collect();
    let runs = state.runs.values().filter(|r| r.plan.service == *service);
    marks.extend(runs.map(|r| Mark {
        at: r.started_at,
        kind: MarkKind::Action,
        words: format!("{}: {}", r.id, r.plan.playbook),
    }));
    let interval = shared.config.service(service).map_or(Duration::from_secs(5), |s| s.interval);
    let from = points.first().map_or(from, |(at, _)| *at);
    let chart = Chart {
        service: service.clone(),
        metric: metric.to_owned(),
        unit,
        from,
        to: now,
        interval,
        points,
        band,
        marks,
    };
    Ok(chart::card(&chart, 76, true))
}

async fn audit(shared: &Arc<Shared>, asked: AuditQuery) -> Result<Card, String> {
    let now = shared.engine.now();
    if let Some(kind) = &asked.kind {
        ledger::known_kind(kind)?;
    }
    let query = Query {
        service: asked.service,
        actor: asked.actor,
        kind: asked.kind,
        incident: asked.incident,
        since: asked.since.map(|w| w.resolve(now)),
        until: asked.until.map(|w| w.resolve(now)),
        limit: asked.limit.map_or(AUDIT_LIMIT, |l| usize::try_from(l).unwrap_or(AUDIT_LIMIT)),
        ..Query::default()
    };
    let shared = Arc::clone(shared);
    // Reads files: not on a thread that others wait for.
    let page = tokio::task::spawn_blocking(move || shared.views.query(&shared.storage, &query))
        .await
        .map_err(|e| e.to_string())?
        .map_err(|e| e.to_string())?;
    let records: Vec<_> = page.records.iter().map(|s| s.record.clone()).collect();
    let matched = usize::try_from(page.matched).unwrap_or(usize::MAX);
    Ok(pages::audit(&records, matched, |r| ledger::describe(&r.event)))
}

async fn audit_verify(shared: &Arc<Shared>) -> Result<Card, String> {
    let dir = shared.data_dir.clone();
    let report = tokio::task::spawn_blocking(move || {
        let storage: Arc<dyn Storage> = Arc::new(Disk::at(ledger::folder(&dir)));
        ledger::verify_on(&storage)
    })
    .await
    .map_err(|e| e.to_string())?
    .map_err(|e| e.to_string())?;
    Ok(pages::answer("audit verify", vec![Block::Text(report.to_string())]))
}

fn whoami(shared: &Shared, by: &Person) -> Card {
    let mut blocks = vec![Block::Field("You are".to_owned(), by.to_string())];
    for service in &shared.config.services {
        let may = crate::decide::matches_any(&service.approval.who, &by.id);
        let words = if may { "may approve, roll back, change the mode" } else { "may look, and stop everything" };
        blocks.push(Block::Field(service.name.to_string(), words.to_owned()));
    }
    if crate::decide::matches_any(&shared.config.plugins.admins, &by.id) {
        let words = "may accept changed components and enable disabled ones".to_owned();
        blocks.push(Block::Field("Components".to_owned(), words));
    }
    pages::answer("whoami", blocks)
}

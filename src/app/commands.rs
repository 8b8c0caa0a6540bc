//! Carrying out commands: the only place where a person's word meets the engine.
//!
//! Text becomes a command in `chat::grammar`; whether the person may, the machine decides. Every command that changes
//! something is in the ledger with its text before it is carried out.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::cards::{ahead, course, incident_card, mode_of};
use super::{Shared, chaos, components, feedback, questions, reload, rights};
use crate::chat::chart;
use crate::chat::command::{OneTimeCode, RunOrIncident, ServiceOrIncident};
use crate::chat::pages::{self, ServiceRow};
use crate::chat::{AuditQuery, Block, Card, Command, File, parse};
use crate::config::ServiceConfig;
use crate::engine::SubmitError;
use crate::incident::{Incident, Input, Refusal, State};
use crate::ledger::{self, Disk, Query, Storage};
use crate::model::number::humane;
use crate::model::{Args, Digest, Event, Fact, IncidentId, Judge, Person, Proposal, ServiceId, in_words};

/// How far back a chart goes when nobody says.
const CHART_SPAN: Duration = Duration::from_secs(600);

/// Largest file that is sent, in bytes: what every platform takes.
const LARGEST_FILE: usize = 8_000_000;

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
    /// An answer with a file.
    File(Card, File),
    /// The person wants to leave.
    Quit,
}

/// Somebody who asks, and what is known of how they do.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Who.
    pub by: Person,
    /// Where, for the ledger: `console`, `slack C024BE91L`.
    pub via: String,
    /// The platform, where cards have to be delivered before they can be decided on.
    pub platform: Option<String>,
    /// The platform's id of this delivery.
    pub delivery: Option<String>,
    /// The incident in whose thread it was said.
    pub about: Option<IncidentId>,
    /// The plan on the card whose button was pressed.
    pub plan: Option<Digest>,
}

impl Asked {
    /// At the console, or through the control socket: whoever speaks there sees what is asked.
    pub(super) fn here(by: &Person, via: &str) -> Self {
        Self { by: by.clone(), via: via.to_owned(), platform: None, delivery: None, about: None, plan: None }
    }
}

/// Understands and carries out one line of one person.
pub(super) async fn answer(shared: &Arc<Shared>, asked: &Asked, text: &str) -> Reply {
    match parse(text) {
        Ok(command) => obey(shared, asked, command).await,
        Err(error) => questions::answer(shared, asked, text, error).await,
    }
}

/// Carries out one command of one person. What changes something is in the ledger before.
pub(super) async fn obey(shared: &Arc<Shared>, asked: &Asked, command: Command) -> Reply {
    let said = command.to_string();
    if command.changes_something() {
        let fact = Fact::Commanded { text: said.clone(), via: asked.via.clone(), delivery: asked.delivery.clone() };
        if let Err(error) = shared.engine.note(None, Some(&asked.by), fact).await {
            return Reply::Refused(pages::refused(&said, &error.to_string()));
        }
    }
    match carry_out(shared, asked, command).await {
        Ok(reply) => reply,
        Err(why) => Reply::Refused(pages::refused(&said, &why)),
    }
}

async fn carry_out(shared: &Arc<Shared>, asked: &Asked, command: Command) -> Result<Reply, String> {
    let state = shared.engine.state();
    let by = asked.by.clone();
    match command {
        Command::Status { service } => status(shared, &state, service.as_ref()).map(Reply::Card),
        Command::Incidents => Ok(Reply::Card(incidents(&state))),
        Command::Show { incident } => {
            let incident = state.incidents.get(&incident).ok_or_else(|| Refusal::NoIncident(incident).to_string())?;
            let mut card = incident_card(&state, &shared.config(), &shared.board, incident, shared.engine.now());
            // Asked for: shown whole, as a message of its own.
            card.key.clear();
            card.blocks.extend(history(shared, incident));
            Ok(Reply::Card(card))
        }
        Command::Approve { incident, code } => approve(shared, asked, &state, incident, code).await,
        Command::Reject { incident, reason } => {
            let incident = incident.or_else(|| asking_here(&state, asked));
            let events = submit(shared, Input::Reject { incident, digest: asked.plan, reason, by }).await?;
            Ok(Reply::Done(told(&events)))
        }
        Command::Rollback { of, reason } => {
            let run = match of {
                RunOrIncident::Run(run) => run,
                RunOrIncident::LastOf(id) => {
                    let incident = state.incidents.get(&id).ok_or_else(|| Refusal::NoIncident(id).to_string())?;
                    *incident.runs.last().ok_or_else(|| format!("nothing was done for {id}"))?
                }
            };
            let events = submit(shared, Input::Rollback { run, reason, by }).await?;
            Ok(Reply::Done(told(&events)))
        }
        Command::Keep { run } => Ok(Reply::Done(told(&submit(shared, Input::Keep { run, by }).await?))),
        Command::Plan { incident, playbook, args } => {
            let service = state.incidents.get(&incident).map(|i| i.service.clone());
            let proposal =
                playbook.map(|playbook| proposal(shared, service.as_ref(), playbook, args, &by)).transpose()?;
            let events = submit(shared, Input::AskPlan { incident, proposal, by }).await?;
            Ok(Reply::Done(told(&events)))
        }
        Command::DryRun { playbook, service, args } => {
            known(shared, &service)?;
            let proposal = proposal(shared, Some(&service), playbook, args, &by)?;
            dry_run(shared, &service, &proposal).await.map(Reply::Card)
        }
        Command::Run { playbook, service, args } => {
            known(shared, &service)?;
            let proposal = proposal(shared, Some(&service), playbook, args, &by)?;
            Ok(Reply::Done(told(&submit(shared, Input::Ask { service, proposal, by }).await?)))
        }
        Command::Close { incident, reason } => {
            let events = submit(shared, Input::Close { incident, reason, by }).await?;
            Ok(Reply::Done(told(&events)))
        }
        Command::FalseAlarm { incident, reason } => feedback::false_alarm(shared, incident, reason, by).await,
        Command::Deployed { service, settle, note } => feedback::deployed(shared, service, settle, note, by).await,
        Command::Mute { what, span } => {
            let service = muted_service(&state, what)?;
            let until = Some(shared.engine.now().plus(span));
            Ok(Reply::Done(told(&submit(shared, Input::Mute { service, until, by }).await?)))
        }
        Command::Unmute { what } => {
            let service = muted_service(&state, what)?;
            Ok(Reply::Done(told(&submit(shared, Input::Mute { service, until: None, by }).await?)))
        }
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
        Command::AuditCsv(query) => audit_csv(shared, query).await,
        Command::AuditVerify => audit_verify(shared).await.map(Reply::Card),
        Command::ChaosList => Ok(Reply::Card(chaos::list(shared, &state).await)),
        Command::ChaosDescribe { name } => chaos::describe(shared, &name).map(Reply::Card),
        Command::ChaosPlan { name, service } => chaos::plan(shared, &name, service).await.map(Reply::Card),
        Command::ChaosRun { name, service, span } => {
            chaos::run(shared, asked, &name, service, span).await.map(Reply::Done)
        }
        Command::ChaosApprove { experiment } => chaos::approve(shared, asked, experiment).await.map(Reply::Done),
        Command::ChaosReject { experiment, reason } => {
            chaos::reject(shared, asked, experiment, reason).await.map(Reply::Done)
        }
        Command::ChaosStop { what } => chaos::stop(shared, asked, what.as_ref()).await.map(Reply::Done),
        Command::ChaosReport { what } => chaos::report(shared, what.as_ref()).await.map(Reply::Card),
        Command::ChaosScore => chaos::scoreboard(shared).await.map(Reply::Card),
        Command::Mode { service, mode } => {
            Ok(Reply::Done(told(&submit(shared, Input::SetMode { service, mode, by }).await?)))
        }
        Command::Stop { reason } => {
            let reason = if reason.is_empty() { format!("by {}", by.name) } else { reason };
            Ok(Reply::Done(told(&submit(shared, Input::Halt { reason, by }).await?)))
        }
        Command::Resume => {
            if let Some(file) = shared.stop_file.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
                return Err(format!("the file {} says stop: take it away first", file.display()));
            }
            Ok(Reply::Done(told(&submit(shared, Input::Resume { by }).await?)))
        }
        Command::Whoami => Ok(Reply::Card(rights::whoami(shared, &by))),
        Command::Can { who, what, service } => rights::can(shared, asked, &who, &what, &service).map(Reply::Card),
        Command::Help { verb } => {
            let one = verb.and_then(|verb| crate::chat::COMMANDS.iter().find(|c| c.verb == verb));
            Ok(Reply::Card(pages::help(one, &|help| rights::may_give(shared, &by, help))))
        }
        Command::Quit => Ok(Reply::Quit),
    }
}

/// A yes counts for the plan that the person saw: the one on the button's card, or the one that was delivered where they
/// speak.
async fn approve(
    shared: &Arc<Shared>,
    asked: &Asked,
    state: &State,
    incident: Option<IncidentId>,
    code: Option<OneTimeCode>,
) -> Result<Reply, String> {
    let incident = incident.or_else(|| asking_here(state, asked));
    // Nothing but an experiment waits: that is meant.
    if incident.is_none()
        && state.incidents.values().all(|i| i.question.is_none())
        && let Some(id) = chaos::the_one_that_asks(state)
    {
        return chaos::approve(shared, asked, Some(id)).await.map(Reply::Done);
    }
    let question = incident.and_then(|id| state.incidents.get(&id)).and_then(|i| i.question.as_ref().map(|q| (i, q)));
    let mut digest = asked.plan;
    if let (None, Some(platform), Some((incident, _))) = (digest, &asked.platform, question) {
        let seen = shared.outbox.delivered(platform, &incident.id.to_string()).ok_or_else(|| {
            format!(
                "the plan of {} has not been delivered here yet: wait for its card, or ask for it with `show {}`, and \
                 decide then",
                incident.id, incident.id
            )
        })?;
        digest = Some(seen);
    }
    if asked.platform.is_some() && digest.is_none() {
        // Nothing asks now. Should something begin to while this waits for its turn, it is nothing that they saw.
        digest = Some(Digest([0; 32]));
    }
    let input = |with_code| Input::Approve { incident, digest, with_code, by: asked.by.clone() };
    let events = match (shared.engine.submit(input(false)).await, code) {
        // Only now: a code is good once, and must not be spent on a yes that is refused for another reason.
        (Err(SubmitError::Refused(Refusal::NeedsCode { .. })), Some(code)) => {
            shared.people.check_code(&asked.by.id, code.expose(), shared.engine.now())?;
            submit(shared, input(true)).await?
        }
        (result, _) => result.map_err(why_not)?,
    };
    Ok(Reply::Done(told(&events)))
}

/// The incident in whose thread somebody speaks, or the only one there is, if it asks something.
fn asking_here(state: &State, asked: &Asked) -> Option<IncidentId> {
    // In a thread that incident is meant and no other, also when it asks nothing any more.
    if let Some(id) = asked.about.filter(|id| state.incidents.contains_key(id)) {
        return Some(id);
    }
    let mut all = state.incidents.values().filter(|i| i.question.is_some());
    let first = all.next().map(|i| i.id);
    // Several: the engine says which there are.
    first.filter(|_| all.next().is_none())
}

fn muted_service(state: &State, what: ServiceOrIncident) -> Result<ServiceId, String> {
    match what {
        ServiceOrIncident::Service(service) => Ok(service),
        ServiceOrIncident::Incident(id) => {
            state.incidents.get(&id).map(|i| i.service.clone()).ok_or_else(|| Refusal::NoIncident(id).to_string())
        }
    }
}

/// What a person proposes, if the playbook exists and may be used for the service.
fn proposal(
    shared: &Shared,
    service: Option<&ServiceId>,
    playbook: String,
    args: Args,
    by: &Person,
) -> Result<Proposal, String> {
    if shared.registry.catalog().playbook(&playbook).is_none() {
        return Err(format!("there is no playbook `{playbook}`; `playbooks` lists them"));
    }
    let config = shared.config();
    let service = service.and_then(|service| config.service(service));
    if service.is_some_and(|s| !s.uses_playbook(&playbook)) {
        return Err(format!("the config does not let playbook `{playbook}` heal this service"));
    }
    let why = format!("{} asked for it", by.name);
    Ok(Proposal { playbook, args, why, rule: by.name.clone() })
}

/// What a playbook would do, and nothing more.
async fn dry_run(shared: &Shared, service: &ServiceId, proposal: &Proposal) -> Result<Card, String> {
    let plan = shared.runner.would(service, proposal).await?;
    let part = crate::chat::cards::PlanPart::of(&plan, proposal);
    let mut blocks = vec![Block::Field("Playbook".to_owned(), part.playbook.clone())];
    blocks.push(match part.diff.is_empty() {
        true => Block::Text("It would change nothing.".to_owned()),
        false => Block::Diff(part.diff),
    });
    blocks.extend(part.notes.iter().map(|note| Block::Field("Note".to_owned(), note.clone())));
    blocks.push(Block::Field("Can be undone".to_owned(), part.undoable));
    blocks.push(Block::Field("May at most".to_owned(), part.may.join("; ")));
    let args: String = plan.args.iter().map(|(key, value)| format!(" {key}={value}")).collect();
    let command = format!("run {} {service}{args}", plan.playbook);
    blocks
        .push(Block::Text(format!("This was a dry run: nothing is done, nothing waits. To have it done: `{command}`")));
    Ok(pages::answer(&format!("plan · {} · {service}", plan.playbook), blocks))
}

pub(super) async fn submit(shared: &Shared, input: Input) -> Result<Vec<Event>, String> {
    shared.engine.submit(input).await.map_err(why_not)
}

fn why_not(error: SubmitError) -> String {
    match error {
        SubmitError::Refused(refusal) => refusal.to_string(),
        SubmitError::Journal(error) => error.to_string(),
    }
}

/// What a person's word led to, in a line.
pub(super) fn told(events: &[Event]) -> String {
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
        let config = shared.config();
        let known = config.service(service).ok_or_else(|| Refusal::NoService(service.clone()).to_string())?;
        return Ok(pages::answer(&format!("status · {service}"), service_blocks(shared, state, known)));
    }
    let rows: Vec<_> = shared.config().services.iter().map(|s| row(shared, state, s)).collect();
    let mut card = pages::status(&rows, state.halted.as_deref());
    for (platform, why) in shared.outbox.away() {
        let words = format!("{platform} takes no messages now: {why}.");
        card.blocks.insert(0, Block::Text(words));
        card.tone = crate::chat::Tone::Bad;
    }
    let now = shared.engine.now();
    for (service, until) in state.mutes.iter().filter(|(_, until)| **until > now) {
        card.blocks.push(Block::Text(format!("{service} is muted until {} UTC.", until.clock_time())));
    }
    Ok(card)
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
        let failing = board.last.as_ref().map_or(0, |s| s.faults.len()).min(service.sources.len());
        ServiceRow {
            service: service.name.clone(),
            state: open.map_or(judged, |i| format!("{} {}", i.id, i.phase.words())),
            bad: open.is_some(),
            mode: mode_of(state, &shared.config(), &service.name),
            risk: board.reading.as_ref().map(|r| r.risk),
            model_age: board.model.map(|(_, at)| now.since(at)),
            sample_age: board.last.as_ref().map(|s| now.since(s.at)),
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
    let faults = shared.board.with(&service.name, |b| b.last.as_ref().map(|s| s.faults.clone()).unwrap_or_default());
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
        let last = board.last.as_ref().map(|s| s.values.clone()).unwrap_or_default();
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
    shared.config().service(service).map(|_| ()).ok_or_else(|| Refusal::NoService(service.clone()).to_string())
}

fn chart(shared: &Shared, state: &State, service: &ServiceId, metric: &str, span: Duration) -> Result<Card, String> {
    known(shared, service)?;
    let now = shared.engine.now();
    let from = now.minus(span);
    let points = shared.board.series(service, metric, from);
    if points.is_empty() {
        let names =
            shared.board.with(service, |b| b.last.as_ref().map(|s| s.values.keys().cloned().collect::<Vec<_>>()));
        return Err(format!(
            "{service} has no metric `{}` in the last {}; there are: {}",
            crate::ledger::clean(metric),
            in_words(span),
            names.unwrap_or_default().join(", ")
        ));
    }
    let chart = course(state, &shared.config(), &shared.board, service, metric, from, now)
        .ok_or_else(|| format!("{service} has no values of it in the last {}", in_words(span)))?;
    let mut card = chart::card(&chart, 76, true);
    card.picture = Some(Arc::new(chart));
    Ok(card)
}

/// What is asked of the ledger, seen from now.
fn query_of(shared: &Shared, asked: AuditQuery) -> Result<Query, String> {
    let now = shared.engine.now();
    if let Some(kind) = &asked.kind {
        ledger::known_kind(kind)?;
    }
    Ok(Query {
        service: asked.service,
        actor: asked.actor,
        kind: asked.kind,
        action: asked.action,
        incident: asked.incident,
        run: asked.run,
        since: asked.since.map(|w| w.resolve(now)),
        until: asked.until.map(|w| w.resolve(now)),
        limit: asked.limit.map_or(AUDIT_LIMIT, |l| usize::try_from(l).unwrap_or(AUDIT_LIMIT)),
        page: asked.page.map_or(1, |p| usize::try_from(p).unwrap_or(1)),
    })
}

pub(super) async fn page_of(shared: &Arc<Shared>, query: Query) -> Result<ledger::Page, String> {
    let shared = Arc::clone(shared);
    // Reads files: not on a thread that others wait for.
    tokio::task::spawn_blocking(move || shared.views.query(&shared.storage, &query))
        .await
        .map_err(|e| e.to_string())?
        .map_err(|e| e.to_string())
}

async fn audit(shared: &Arc<Shared>, asked: AuditQuery) -> Result<Card, String> {
    let query = query_of(shared, asked.clone())?;
    let limit = query.limit;
    let page = page_of(shared, query).await?;
    let records: Vec<_> = page.records.iter().map(|s| s.record.clone()).collect();
    let matched = usize::try_from(page.matched).unwrap_or(usize::MAX);
    Ok(pages::audit(&records, matched, &asked, limit, |r| ledger::describe(&r.event)))
}

/// All that was asked for as a file: the same rows as `suture audit export --format csv`.
async fn audit_csv(shared: &Arc<Shared>, asked: AuditQuery) -> Result<Reply, String> {
    let query = query_of(shared, asked)?;
    let dir = shared.data_dir.clone();
    let (bytes, exported) = tokio::task::spawn_blocking(move || {
        let mut bytes = Capped(Vec::new());
        ledger::export(&dir, &query, ledger::Format::Csv, &mut bytes).map(|exported| (bytes.0, exported))
    })
    .await
    .map_err(|e| e.to_string())?
    .map_err(|e| format!("{e}: narrow it down with since: and until:, or use `suture audit export`"))?;
    let mut words = format!("{} records, oldest first.", exported.records);
    if exported.unreadable > 0 {
        words.push_str(&format!(" {} could not be read: `audit verify` says more.", exported.unreadable));
    }
    let file = File { name: "audit.csv".to_owned(), title: "The ledger".to_owned(), bytes };
    Ok(Reply::File(pages::answer("audit csv", vec![Block::Text(words)]), file))
}

/// Takes as much as can be sent as a file, and no more.
struct Capped(Vec<u8>);

impl std::io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > LARGEST_FILE {
            return Err(std::io::Error::other(format!("this is more than {} MB", LARGEST_FILE / 1_000_000)));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
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

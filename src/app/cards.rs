//! From the engine's state to the card of an incident.

use std::sync::Arc;
use std::time::Duration;

use super::feedback;
use crate::chat::cards::{Approvals, IncidentCard, PlanPart};
use crate::chat::chart::{Chart, Mark, MarkKind};
use crate::chat::{Button, Card, CardAction, Field, PlanShown, Tone};
use crate::config::Config;
use crate::decide::{self, Hold};
use crate::engine::Board;
use crate::incident::{Incident, Phase, Run, State, Step};
use crate::model::{Forecast, Judge, Mode, Policy, Proposal, RunId, ServiceId, Timestamp, Verdict};

/// How much of a metric's course before an incident is on its picture: as much as the incident lasted, within these.
const BEFORE: Duration = Duration::from_secs(120);
const LONGEST_BEFORE: Duration = Duration::from_secs(1800);

/// The mode of a service: a command's, or else the config's.
pub(super) fn mode_of(state: &State, config: &Config, service: &ServiceId) -> Mode {
    let configured = config.service(service).map_or(Mode::Observe, |s| s.mode);
    state.modes.get(service).copied().unwrap_or(configured)
}

/// The card of an incident as it stands.
pub(super) fn incident_card(
    state: &State,
    config: &Config,
    board: &Board,
    incident: &Incident,
    now: Timestamp,
) -> Card {
    let policy = config.service(&incident.service).map(crate::config::ServiceConfig::policy);
    let end = incident.closed_at.unwrap_or(now);
    let runs: Vec<_> = incident.runs.iter().filter_map(|id| state.runs.get(id)).collect();
    let last = runs.last().copied();
    let mut outcome: Vec<_> = during(state, incident).into_iter().collect();
    outcome.extend(runs.iter().flat_map(|run| told_run(run)));
    outcome.extend(waiting_for(state, config, incident, policy.as_ref(), now));
    if last.is_none() {
        outcome.extend(incident.decided.clone());
    }
    if incident.phase == Phase::Escalated {
        outcome.extend(incident.note.as_ref().map(|why| format!("Why a person has to look: {why}.")));
    }
    outcome.extend(feedback::card_line(incident));
    let mut card = IncidentCard {
        id: incident.id,
        service: incident.service.clone(),
        environment: config.suture.environment.clone(),
        severity: incident.severity,
        risk: incident.risk,
        since: incident.since,
        now: end,
        phase_words: phase_words(incident),
        tone: tone(incident),
        settled: !incident.is_open(),
        drivers: incident.drivers.clone(),
        ahead: if incident.is_open() { ahead(board, &incident.service, now) } else { Vec::new() },
        plan: plan_part(incident, last, policy.as_ref(), now),
        outcome,
        timings: timings(incident, last),
        actions: actions(incident, last, mode_of(state, config, &incident.service)),
        on_request: incident.judge == Judge::Person,
    }
    .card();
    card.picture = picture(state, config, board, incident, end);
    card.plan = incident.question.as_ref().map(|q| PlanShown { about: incident.id.to_string(), digest: q.digest });
    card
}

/// The experiment during which it began.
fn during(state: &State, incident: &Incident) -> Option<String> {
    let id = incident.experiment?;
    let name = state.experiments.get(id).map(|trial| format!(" ({})", trial.plan.experiment.name)).unwrap_or_default();
    Some(format!("It began during the experiment {id}{name}: somebody put a fault in on purpose."))
}

/// The limits that a service is on its way to, in words, soonest first.
pub(super) fn ahead(board: &Board, service: &ServiceId, now: Timestamp) -> Vec<String> {
    let ahead = board.with(service, |board| board.reading.as_ref().map(|reading| reading.ahead_at(now)));
    ahead.iter().flatten().map(Forecast::words).collect()
}

fn phase_words(incident: &Incident) -> String {
    match (&incident.phase, &incident.how) {
        (Phase::Resolved, Some(how)) => format!("RESOLVED, {how}"),
        (Phase::Escalated, _) => "ESCALATED: a person has to look".to_owned(),
        (phase, _) => phase.words().to_owned(),
    }
}

fn tone(incident: &Incident) -> Tone {
    match incident.phase {
        Phase::Resolved => Tone::Good,
        Phase::Escalated => Tone::Bad,
        Phase::Open | Phase::Planning => Tone::Bad,
        _ => Tone::Waiting,
    }
}

/// The plan that is asked about, or the one that was carried out last.
fn plan_part(incident: &Incident, last: Option<&Run>, policy: Option<&Policy>, now: Timestamp) -> Option<PlanPart> {
    let plan = incident.question.as_ref().map(|q| &q.plan).or(last.map(|run| &run.plan))?;
    let proposal = incident.proposals.iter().find(|p| p.playbook == plan.playbook).cloned().unwrap_or(Proposal {
        playbook: plan.playbook.clone(),
        args: plan.args.clone(),
        why: String::new(),
        rule: String::new(),
    });
    let mut part = PlanPart::of(plan, &proposal);
    if let (Some(question), Some(policy)) = (&incident.question, policy) {
        part.approvals = Some(Approvals {
            names: question.approvals.iter().map(|p| p.name.clone()).collect(),
            needed: policy.approval.quorum_for(plan),
        });
        part.who_may = who_may(policy);
        let kinds: Vec<_> = policy.approval.codes_for(plan).iter().map(ToString::to_string).collect();
        if !kinds.is_empty() {
            part.second_factor = format!("{} takes a one-time code besides", kinds.join(" and "));
        }
        if !question.requested_by.is_empty() && !policy.approval.requester_may_approve {
            let names: Vec<_> = question.requested_by.iter().map(|person| person.name.as_str()).collect();
            part.not_by = format!("{}, who asked for it", names.join(" and "));
        }
        part.expires_in = Some(question.expires_at.since(now));
    }
    Some(part)
}

/// Whoever the config names for the service, and that rules name others.
fn who_may(policy: &Policy) -> String {
    let rules = policy.approval.allow.iter().filter(|rule| rule.verbs.iter().any(|v| v == "*" || v == "approve"));
    let mut all: Vec<_> =
        policy.approval.who.iter().chain(rules.flat_map(|rule| &rule.who)).map(String::as_str).collect();
    all.dedup();
    all.join(", ")
}

/// What an approved or unapproved plan waits for besides people.
fn waiting_for(
    state: &State,
    config: &Config,
    incident: &Incident,
    policy: Option<&Policy>,
    now: Timestamp,
) -> Option<String> {
    let question = incident.question.as_ref()?;
    if let Some(reason) = &state.halted {
        return Some(format!("Everything is stopped ({reason}); `resume` lets it go on."));
    }
    let mode = mode_of(state, config, &incident.service);
    if mode == Mode::Observe {
        return Some(format!(
            "Mode observe: this is what would be done; `mode {} approve` lets people approve it.",
            incident.service
        ));
    }
    if let Some((why, until)) = config.frozen(&incident.service, now) {
        let until = until.map(|at| format!(" until {at}")).unwrap_or_default();
        return Some(format!("Nothing is changed now{until}: {why}."));
    }
    if question.approvals.is_empty() {
        return None;
    }
    if let Some(run) = question.plan.actions.iter().find_map(|a| state.busy(a.action.target())) {
        return Some(format!("Approved; waits until {} has ended.", run.id));
    }
    match decide::check_rate(&policy?.guard, &state.acted, &question.plan, now) {
        Err(Hold::Until { at, why }) => Some(format!("Approved; starts at {} UTC: {why}.", at.clock_time())),
        _ => None,
    }
}

/// What became of a run, in lines.
fn told_run(run: &Run) -> Vec<String> {
    let done = run.steps.iter().filter(|s| matches!(s, Step::Done { .. })).count();
    let names: Vec<_> = run.approvals.iter().map(|p| p.name.as_str()).collect();
    let mut lines = vec![format!(
        "{}: {} approved by {}; {} of {} steps done{}.",
        run.id,
        run.plan.playbook,
        names.join(" and "),
        if run.done { run.steps.len() } else { done },
        run.steps.len(),
        if run.done || run.failure.is_some() { "" } else { " so far" },
    )];
    if let Some((error, moved)) = &run.failure {
        let word = if *moved { "refused, the world had moved" } else { "failed" };
        lines.push(format!("{}: {word}: {error}.", run.id));
    }
    if let Some((verdict, evidence)) = &run.verdict {
        let meaning = match verdict {
            Verdict::Improved => "the detector sees a normal service again",
            Verdict::Worse => "the detector sees no improvement",
            Verdict::Inconclusive => "the detector cannot tell",
        };
        lines.push(format!(
            "{}: {verdict}: {meaning} (risk {:.0} before, {:.0} after; {} of {} samples normal).",
            run.id, evidence.risk_before, evidence.risk_after, evidence.normal, evidence.samples
        ));
    }
    match (&run.undo, run.undo_done) {
        (Some(reason), false) => lines.push(format!("{}: being taken back: {reason}.", run.id)),
        (Some(reason), true) => {
            let stuck = run.steps.iter().filter(|s| matches!(s, Step::UndoFailed { .. })).count();
            let lost = run.steps.iter().filter(|s| matches!(s, Step::Irreversible)).count();
            let mut line = format!("{}: taken back: {reason}", run.id);
            if lost > 0 {
                line.push_str(&format!("; {lost} of its steps cannot be undone"));
            }
            if stuck > 0 {
                line.push_str(&format!("; {stuck} of its steps COULD NOT be taken back, look at the target"));
            }
            line.push('.');
            lines.push(line);
        }
        (None, _) => {}
    }
    lines
}

fn timings(incident: &Incident, last: Option<&Run>) -> Vec<(String, Duration)> {
    let mut times = Vec::new();
    let mut time = |label: &str, from: Option<Timestamp>, to: Option<Timestamp>| {
        if let (Some(from), Some(to)) = (from, to) {
            times.push((label.to_owned(), to.since(from)));
        }
    };
    let began = incident.fault_at.unwrap_or(incident.since);
    time("to detect", Some(began), Some(incident.opened_at));
    time("to approve", incident.asked_at, incident.approved_at);
    time("to act", last.map(|r| r.started_at), last.and_then(|r| r.ended_at));
    time("to repair", Some(began), incident.closed_at);
    times
}

/// What may be done now: what to type, and a button for it where there are buttons.
fn actions(incident: &Incident, last: Option<&Run>, mode: Mode) -> Vec<CardAction> {
    let id = incident.id;
    let reason = |label: &str, optional: bool| Field {
        name: Field::REASON.to_owned(),
        label: label.to_owned(),
        optional,
        long: true,
        most: 500,
    };
    let button = |command: String, ask: Option<Field>| Some(Button { id: String::new(), command, ask });
    let action = |label: &str, typed: String, button: Option<Button>| CardAction {
        label: label.to_owned(),
        command: typed,
        button,
        ..CardAction::default()
    };
    // Not worth a line at a prompt: whoever types knows the commands.
    let details = action("Details", String::new(), button(format!("show {id}"), None));
    let mute = action("Mute 1 h", String::new(), button(format!("mute {} 1h", incident.service), None));
    let back = |run: RunId| CardAction {
        dangerous: true,
        ..action("Roll back", format!("rollback {run}"), button(format!("rollback {run}"), None))
    };
    let primary = |action: CardAction| CardAction { primary: true, ..action };
    let undoable = last.filter(|run| run.undo.is_none() && run.has_effects()).map(|run| run.id);
    match incident.phase {
        // Nobody can say yes there, and the card says how to change that.
        Phase::AwaitingApproval if mode == Mode::Observe => vec![details, mute],
        Phase::AwaitingApproval => vec![
            primary(action("Approve", format!("approve {}", id.0), button(format!("approve {id}"), None))),
            action(
                "Reject",
                format!("reject {} REASON", id.0),
                button(format!("reject {id}"), Some(reason("Why not", false))),
            ),
            details,
            mute,
        ],
        Phase::AwaitingPerson(run) => vec![
            primary(action("Keep", format!("keep {run}"), button(format!("keep {run}"), None))),
            back(run),
            details,
        ],
        Phase::Escalated => {
            let again =
                primary(action("Plan again", format!("plan {id} [PLAYBOOK]"), button(format!("plan {id}"), None)));
            let close =
                action("Close", format!("close {id} REASON"), button(format!("close {id}"), Some(reason("Why", true))));
            let mut actions = vec![again, close];
            if matches!(incident.judge, Judge::Model { .. }) {
                actions.push(action(
                    "False alarm",
                    format!("false-alarm {id} REASON"),
                    button(format!("false-alarm {id}"), Some(reason("What it was", true))),
                ));
            }
            actions.extend([details, mute]);
            actions
        }
        Phase::Acting(_) | Phase::Verifying(_) | Phase::Resolved => undoable.map(back).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// The course of the metric that is most responsible, from a while before the incident, with what was done.
fn picture(state: &State, config: &Config, board: &Board, incident: &Incident, end: Timestamp) -> Option<Arc<Chart>> {
    let metric = &incident.drivers.first()?.metric;
    let lasted = end.since(incident.since);
    let from = incident.since.minus(lasted.clamp(BEFORE, LONGEST_BEFORE));
    course(state, config, board, &incident.service, metric, from, end).map(Arc::new)
}

/// A metric over time with its band and what happened; `None` when nothing was measured.
pub(super) fn course(
    state: &State,
    config: &Config,
    board: &Board,
    service: &ServiceId,
    metric: &str,
    from: Timestamp,
    to: Timestamp,
) -> Option<Chart> {
    let points: Vec<_> = board.series(service, metric, from).into_iter().filter(|(at, _)| *at <= to).collect();
    let first = points.first().map(|(at, _)| *at)?;
    let (band, unit) = board.with(service, |board| {
        (board.bands.get(metric).copied(), board.specs.get(metric).map(|s| s.unit.clone()).unwrap_or_default())
    });
    let mut marks = Vec::new();
    for incident in state.incidents.values().filter(|i| i.service == *service) {
        let words = format!("{} begins, {}", incident.id, incident.severity);
        marks.push(Mark { at: incident.since, kind: MarkKind::Anomaly, words });
        if let Some(at) = incident.closed_at {
            let how = incident.how.clone().unwrap_or_default();
            marks.push(Mark { at, kind: MarkKind::Resolved, words: format!("{} over: {how}", incident.id) });
        }
    }
    for run in state.runs.values().filter(|r| r.plan.service == *service) {
        marks.push(Mark {
            at: run.started_at,
            kind: MarkKind::Action,
            words: format!("{}: {}", run.id, run.plan.playbook),
        });
    }
    marks.retain(|mark| first <= mark.at && mark.at <= to);
    marks.sort_by_key(|mark| mark.at);
    let interval = config.service(service).map_or(Duration::from_secs(5), |s| s.interval);
    Some(Chart {
        service: service.clone(),
        metric: metric.to_owned(),
        unit,
        from: first,
        to,
        interval,
        points,
        band,
        marks,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::chat::render::{Look, render};
    use crate::model::{Event, Fact, IncidentId, Person, Reading, Severity};

    fn event(at: i64, by: Option<&str>, fact: Fact) -> Event {
        Event {
            at: Timestamp(1_793_620_800_000 + at),
            service: Some("shop".into()),
            incident: Some(IncidentId(7)),
            run: None,
            by: by.map(|name| Person::new(format!("console:{name}"), name)),
            fact,
        }
    }

    /// The card of INC-7 after these facts about it.
    fn shown(facts: Vec<(i64, Option<&str>, Fact)>) -> String {
        shown_with(&Board::default(), facts)
    }

    fn shown_with(board: &Board, facts: Vec<(i64, Option<&str>, Fact)>) -> String {
        let config = "[[service]]\nname = \"shop\"\n[[service.source]]\nkind = \"host\"\n";
        let config = Config::parse(config, Path::new("suture.toml")).unwrap();
        let opened = Fact::IncidentOpened {
            since: Timestamp(1_793_620_799_000),
            risk: 56.0,
            severity: Severity::Low,
            drivers: Vec::new(),
            judge: Judge::Model { version: 1 },
            score: Some(1.1),
        };
        let facts = std::iter::once((0, None, opened)).chain(facts);
        let events: Vec<_> = facts.map(|(at, by, fact)| event(at, by, fact)).collect();
        let state = State::fold(&events);
        let now = Timestamp(1_793_620_860_000);
        render(&incident_card(&state, &config, board, &state.incidents[&IncidentId(7)], now), Look::default())
    }

    fn marked(reason: &str) -> Fact {
        Fact::FalseAlarm { reason: reason.to_owned(), score: Some(1.1), metrics: Vec::new() }
    }

    fn resolved(how: &str) -> Fact {
        Fact::Resolved { how: how.to_owned() }
    }

    #[test]
    fn a_limit_ahead_is_on_the_card_while_the_incident_is_open() {
        let forecast = Forecast {
            metric: "memory_bytes".to_owned(),
            limit: 2_147_483_648.0,
            unit: "bytes".to_owned(),
            within_ms: 600_000,
            earliest_ms: 480_000,
            latest_ms: Some(780_000),
            confidence: 0.9,
        };
        let reading = Reading {
            service: "shop".into(),
            at: Timestamp(1_793_620_800_000),
            score: 1.1,
            threshold: 1.0,
            risk: 56.0,
            severity: Severity::Low,
            drivers: Vec::new(),
            judge: Judge::Model { version: 1 },
            ahead: vec![forecast],
        };
        let board = Board::default();
        board.with(&"shop".into(), |board| board.reading = Some(reading));
        let open = shown_with(&board, vec![(1_000, None, Fact::Escalated { why: "nothing helped".to_owned() })]);
        let over = shown_with(&board, vec![(1_000, None, resolved("recovered alone"))]);
        insta::assert_snapshot!([open, over].concat());
    }

    #[test]
    fn false_alarms() {
        let anna = Some("anna");
        let escalated = shown(vec![(1_000, None, Fact::Escalated { why: "no rule knows what to do".to_owned() })]);
        let while_open =
            shown(vec![(30_000, anna, marked("the nightly backup")), (30_000, anna, resolved("false alarm"))]);
        let later = shown(vec![(9_000, None, resolved("recovered alone")), (40_000, anna, marked(""))]);
        insta::assert_snapshot!([escalated, while_open, later].concat());
    }
}

//! Facts in words: one sentence an event, one line a record. For the audit, the timeline and the thread in the chat.
//!
//! Everything in a fact may come from outside (a metric's name, a chat message, a plugin): no control character leaves
//! here, and every piece has a greatest length.

use crate::model::number::compared;
use crate::model::{
    Digest, Driver, Event, ExperimentId, Fact, Inverse, Judge, Proposal, Record, Timestamp, Transcript,
};

/// The longest piece of text shown of any one field. Whoever wants it whole asks for JSON.
const PIECE: usize = 240;

/// Text that can be shown on a terminal and in a chat: no control characters, nothing that turns the direction of
/// writing or hides, tabs and line ends as spaces.
#[must_use]
pub fn clean(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => Some(' '),
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => None,
        c if c.is_control() => None,
        c => Some(c),
    };
    text.chars().filter_map(shown).collect()
}

fn piece(text: &str) -> String {
    let mut piece: String = text.chars().take(PIECE).collect();
    if piece.len() < text.len() {
        piece.push('…');
    }
    clean(&piece)
}

/// A whole event, one sentence: `approved by anna (unix:1000): plan 3f2a9c81b2c4`.
#[must_use]
pub fn describe(event: &Event) -> String {
    let (head, detail) = parts(&event.fact);
    let by = event.by.as_ref().map(|p| format!(" by {} ({})", piece(&p.name), piece(&p.id))).unwrap_or_default();
    let detail = if detail.is_empty() { detail } else { format!(": {detail}") };
    clean(&format!("{head}{by}{detail}"))
}

/// A record, one line, with the time of day (UTC): `12:04:31  INC-7  approved  by anna (unix:1000)  plan 3f2a9c81b2c4`.
#[must_use]
pub fn tell(record: &Record) -> String {
    format!("{}  {}", record.event.at.clock_time(), columns(&record.event))
}

/// The same with the date: for what is older than a day.
#[must_use]
pub fn tell_dated(record: &Record) -> String {
    format!("{}  {}", record.event.at, columns(&record.event))
}

fn columns(event: &Event) -> String {
    let (head, detail) = parts(&event.fact);
    let subject = match (&event.incident, &event.run, &event.service) {
        (Some(incident), Some(run), _) => format!("{incident} {run}"),
        (Some(incident), None, _) => incident.to_string(),
        (None, Some(run), _) => run.to_string(),
        (None, None, Some(service)) => piece(&service.0),
        (None, None, None) => "suture".to_owned(),
    };
    let mut columns = vec![subject, head];
    columns.extend(event.by.as_ref().map(|p| format!("by {} ({})", piece(&p.name), piece(&p.id))));
    columns.extend((!detail.is_empty()).then_some(detail));
    clean(&columns.join("  "))
}

/// What happened in two or three words, and the rest; the rest may be empty.
fn parts(fact: &Fact) -> (String, String) {
    let (head, detail) = match fact {
        Fact::Started { .. }
        | Fact::Stopped { .. }
        | Fact::TailRepaired { .. }
        | Fact::ComponentLoaded { .. }
        | Fact::ComponentHeld { .. }
        | Fact::ComponentAccepted { .. }
        | Fact::ComponentStruck { .. }
        | Fact::ComponentDisabled { .. }
        | Fact::ComponentEnabled { .. }
        | Fact::ModelTrained { .. }
        | Fact::SourceFailed(_)
        | Fact::SourceRecovered { .. }
        | Fact::Forecast(_)
        | Fact::FaultInjected { .. }
        | Fact::FaultLifted { .. }
        | Fact::Commanded { .. }
        | Fact::Deployed { .. }
        | Fact::ModeChanged { .. }
        | Fact::Muted { .. }
        | Fact::Unmuted
        | Fact::Halted { .. }
        | Fact::Resumed => daemon_parts(fact),
        Fact::ExperimentAsked { .. }
        | Fact::ExperimentApproved { .. }
        | Fact::ExperimentDeclined { .. }
        | Fact::ExperimentStarted { .. }
        | Fact::SteadyStateSeen { .. }
        | Fact::FaultIntended { .. }
        | Fact::FaultStuck { .. }
        | Fact::ExperimentAborted { .. }
        | Fact::ExperimentEnded { .. } => experiment_parts(fact),
        Fact::IncidentOpened { judge: Judge::Person, .. } => {
            ("opened on request".to_owned(), "nothing was found wrong".to_owned())
        }
        Fact::IncidentOpened { since, risk, severity, drivers, .. } => {
            let since = Timestamp::clock_time(*since);
            ("incident opened".to_owned(), format!("risk {risk:.0} ({severity}) since {since}{}", driven(drivers)))
        }
        Fact::IncidentWorsened { risk, severity, drivers } => {
            ("incident worsened".to_owned(), format!("risk {risk:.0} ({severity}){}", driven(drivers)))
        }
        Fact::Escalated { why } => ("escalated, a person has to look".to_owned(), piece(why)),
        Fact::Resolved { how } => ("resolved".to_owned(), piece(how)),
        Fact::FalseAlarm { reason, score, .. } => {
            let score = score.map(|score| format!("it was {score:.2} times as unusual as the threshold"));
            let why = (!reason.is_empty()).then(|| piece(reason));
            let said: Vec<_> = why.into_iter().chain(score).collect();
            ("marked as a false alarm".to_owned(), said.join("; "))
        }
        _ => remedy_parts(fact),
    };
    (head, detail)
}

/// Facts about the daemon, its parts and what it is told.
fn daemon_parts(fact: &Fact) -> (String, String) {
    match fact {
        Fact::Started { version, config, replayed } => (
            "suture started".to_owned(),
            format!("version {}, config {}, {replayed} records replayed", piece(version), config.short()),
        ),
        Fact::Stopped { reason } => ("suture stopped".to_owned(), piece(reason)),
        Fact::TailRepaired { bytes } => {
            ("ledger repaired".to_owned(), format!("{bytes} bytes of a half-written record were cut off after a crash"))
        }
        Fact::ComponentLoaded { name, role, digest, imports } => {
            let imports = if imports.is_empty() { "nothing".to_owned() } else { piece(&imports.join(", ")) };
            (format!("{role} {} loaded", piece(name)), format!("{}, imports {imports}", digest.short()))
        }
        Fact::ComponentHeld { name, role, digest, accepted, gains, loses } => {
            let wants = match (gains.is_empty(), loses.is_empty()) {
                (true, true) => "wants what the old one wants".to_owned(),
                (false, true) => format!("wants also: {}", piece(&gains.join(", "))),
                (true, false) => format!("does not want any more: {}", piece(&loses.join(", "))),
                (false, false) => {
                    format!("wants also: {}; not any more: {}", piece(&gains.join(", ")), piece(&loses.join(", ")))
                }
            };
            let name = piece(name);
            (
                format!("{role} {name} held"),
                format!(
                    "the file has {}, not the accepted {}, which stays in use; it {wants}; `accept {name} {}` takes it",
                    digest.short(),
                    accepted.short(),
                    digest.short()
                ),
            )
        }
        Fact::ComponentAccepted { name, role, digest } => (format!("{role} {} accepted", piece(name)), digest.short()),
        Fact::ComponentStruck { name, role, why, strikes, .. } => {
            (format!("{role} {} failed by its own fault", piece(name)), format!("strike {strikes}: {}", piece(why)))
        }
        Fact::ComponentDisabled { name, role, why, .. } => {
            let name = piece(name);
            (
                format!("{role} {name} disabled"),
                format!("too many faults, the last: {}; `enable {name}` gives it another chance", piece(why)),
            )
        }
        Fact::ComponentEnabled { name, role, .. } => (format!("{role} {} enabled", piece(name)), String::new()),
        Fact::ModelTrained { version, samples, features, threshold } => (
            "model trained".to_owned(),
            format!("version {version}, {samples} samples, {} features, threshold {threshold:.3}", features.len()),
        ),
        Fact::SourceFailed(fault) => {
            ("source failed".to_owned(), format!("{}: {}", piece(&fault.source), piece(&fault.why)))
        }
        Fact::SourceRecovered { source } => ("source answers again".to_owned(), piece(source)),
        Fact::Forecast(forecast) => ("forecast".to_owned(), piece(&forecast.words())),
        Fact::FaultInjected { fault, detail, experiment, .. } => {
            ("fault injected".to_owned(), format!("{}{}: {}", of(experiment.as_ref()), piece(fault), piece(detail)))
        }
        Fact::FaultLifted { fault, experiment, how, .. } => {
            let how = if how.is_empty() { String::new() } else { format!(": {}", piece(how)) };
            ("fault lifted".to_owned(), format!("{}{}{how}", of(experiment.as_ref()), piece(fault)))
        }
        Fact::Commanded { text, via, .. } => ("command".to_owned(), format!("`{}` (via {})", piece(text), piece(via))),
        Fact::Deployed { until, note } => {
            let note = if note.is_empty() { String::new() } else { format!("; {}", piece(note)) };
            ("deployed".to_owned(), format!("settles until {}{note}", until.clock_time()))
        }
        Fact::Muted { until } => ("muted".to_owned(), format!("until {}", until.clock_time())),
        Fact::Unmuted => ("no longer muted".to_owned(), String::new()),
        Fact::ModeChanged { mode } => ("mode changed".to_owned(), format!("to {mode}")),
        Fact::Halted { reason } => ("HALTED, nothing acts".to_owned(), piece(reason)),
        Fact::Resumed => ("resumed".to_owned(), String::new()),
        other => (other.kind().replace('-', " "), String::new()),
    }
}

/// `EXP-3: `, where a fault belongs to an experiment.
fn of(experiment: Option<&ExperimentId>) -> String {
    experiment.map(|id| format!("{id}: ")).unwrap_or_default()
}

/// Facts about experiments.
fn experiment_parts(fact: &Fact) -> (String, String) {
    match fact {
        Fact::ExperimentAsked { experiment, plan, digest, expires_at, scheduled } => {
            let by = if *scheduled { ", as scheduled" } else { "" };
            let (name, until) = (piece(&plan.experiment.name), expires_at.clock_time());
            let what = format!("{experiment} {name}, plan {}{by}; the question stands until {until}", digest.short());
            ("experiment asked for".to_owned(), what)
        }
        Fact::ExperimentApproved { experiment, digest, .. } => {
            ("experiment approved".to_owned(), format!("{experiment}, plan {}", digest.short()))
        }
        Fact::ExperimentDeclined { experiment, why } => {
            ("experiment not done".to_owned(), format!("{experiment}: {}", piece(why)))
        }
        Fact::ExperimentStarted { experiment, .. } => ("experiment started".to_owned(), experiment.to_string()),
        Fact::SteadyStateSeen { experiment, stage, steady, why, .. } => {
            let how = if *steady { "steady".to_owned() } else { format!("not steady: {}", piece(why)) };
            (format!("steady state {stage}"), format!("{experiment}: {how}"))
        }
        Fact::FaultIntended { experiment, fault, .. } => (
            "about to put a fault in".to_owned(),
            format!("{experiment}: {} {}; out again: {}", fault.fault.kind(), piece(&fault.how), piece(&fault.undo)),
        ),
        Fact::FaultStuck { experiment, why, .. } => {
            ("fault could not be taken out, a person has to look".to_owned(), format!("{experiment}: {}", piece(why)))
        }
        Fact::ExperimentAborted { experiment, why } => {
            ("experiment broken off".to_owned(), format!("{experiment}: {}", piece(why)))
        }
        Fact::ExperimentEnded { experiment, outcome, why } => {
            (format!("experiment {outcome}"), format!("{experiment}: {}", piece(why)))
        }
        other => (other.kind().replace('-', " "), String::new()),
    }
}

/// Facts about proposals, plans, approvals, runs and undoing.
fn remedy_parts(fact: &Fact) -> (String, String) {
    let step = |index: &u32| format!("step {}", u64::from(*index) + 1);
    let plan = |digest: &Digest| format!("plan {}", digest.short());
    let with = |what: String, why: &str| if why.is_empty() { what } else { format!("{what}: {}", piece(why)) };
    match fact {
        Fact::Proposed { proposals, .. } if proposals.is_empty() => {
            ("no proposal".to_owned(), "no rule knew what to do".to_owned())
        }
        Fact::Proposed { proposals, .. } => {
            let all: Vec<_> = proposals.iter().take(8).map(proposal).collect();
            ("proposed".to_owned(), all.join("; then "))
        }
        Fact::PlanAsked { proposal: asked } => ("plan asked for".to_owned(), proposal(asked)),
        Fact::Planned { plan: made, digest, expires_at, .. } => (
            "planned".to_owned(),
            format!(
                "{} of {}: {}; the question stands until {}",
                plan(digest),
                piece(&made.playbook),
                piece(&made.to_string()),
                expires_at.clock_time()
            ),
        ),
        Fact::PlanRefused { playbook, why, .. } => ("no plan".to_owned(), with(piece(playbook), why)),
        Fact::Approved { digest, with_code } => {
            let code = if *with_code { ", with a one-time code" } else { "" };
            ("approved".to_owned(), format!("{}{code}", plan(digest)))
        }
        Fact::Called { digest, to } => {
            ("others were called".to_owned(), format!("{} to {}", plan(digest), piece(&to.join(", "))))
        }
        Fact::Rejected { digest, reason } => ("rejected".to_owned(), with(plan(digest), reason)),
        Fact::Expired { digest } => ("approval expired".to_owned(), plan(digest)),
        Fact::Withdrawn { digest, why } => ("plan withdrawn".to_owned(), with(plan(digest), why)),
        Fact::RunStarted { digest } => ("run started".to_owned(), plan(digest)),
        Fact::ActionIntended { index, step: planned } => {
            let back = match &planned.inverse {
                Inverse::Action(action) => format!("back: {action}"),
                Inverse::Impossible(why) => format!("no way back: {why}"),
            };
            ("about to act".to_owned(), format!("{}: {}; {}", step(index), piece(&planned.diff_line()), piece(&back)))
        }
        Fact::HostCalled { calls } => ("host answered".to_owned(), called(calls.len())),
        Fact::PlaybookEnded { ran } => ("playbook ended".to_owned(), ran_in_words(ran)),
        Fact::PlaybookChecked { ran, .. } => ("playbook checked its cure".to_owned(), ran_in_words(ran)),
        Fact::ActionDone { index, receipt } => ("action done".to_owned(), with(step(index), receipt)),
        Fact::ServiceFound { targets } => {
            let targets: Vec<_> = targets.iter().take(8).map(ToString::to_string).collect();
            ("service found".to_owned(), piece(&targets.join(", ")))
        }
        Fact::ServiceGone => ("service gone".to_owned(), String::new()),
        Fact::ActionProgress { index, line } => ("action under way".to_owned(), with(step(index), line)),
        Fact::ActionFailed { index, error } => ("action failed".to_owned(), with(step(index), error)),
        Fact::RunDone => ("run done".to_owned(), String::new()),
        Fact::RunFailed { error, moved: true } => {
            ("run stopped, the world had moved since the plan".to_owned(), piece(error))
        }
        Fact::RunFailed { error, moved: false } => ("run failed".to_owned(), piece(error)),
        Fact::Judged { verdict, evidence } => (
            format!("judged {verdict}"),
            format!(
                "risk {:.0} -> {:.0}, {} of {} samples normal{}",
                evidence.risk_before,
                evidence.risk_after,
                evidence.normal,
                evidence.samples,
                evidence.doubt.as_ref().map(|why| format!("; {}", piece(why))).unwrap_or_default()
            ),
        ),
        Fact::UndoStarted { reason } => ("undo started".to_owned(), piece(reason)),
        Fact::UndoIntended { index } => ("about to undo".to_owned(), step(index)),
        Fact::UndoneAction { index, receipt } => ("action undone".to_owned(), with(step(index), receipt)),
        Fact::UndoFailed { index, error } => ("undo failed, a person has to look".to_owned(), with(step(index), error)),
        Fact::UndoDone { impossible } if impossible.is_empty() => ("undo done".to_owned(), String::new()),
        Fact::UndoDone { impossible } => {
            let steps: Vec<_> = impossible.iter().take(32).map(step).collect();
            ("undo done".to_owned(), format!("no way back for {}", steps.join(", ")))
        }
        other => (other.kind().replace('-', " "), String::new()),
    }
}

fn called(calls: usize) -> String {
    format!("{calls} call{}", if calls == 1 { "" } else { "s" })
}

/// What a component did: `scale-out: 4 calls, 41 thousand units of work: scaled local:shop from 2 to 4 instances`.
fn ran_in_words(ran: &Transcript) -> String {
    let outcome = match (ran.outcome.get("ok"), ran.outcome.get("error")) {
        (Some(serde_json::Value::String(summary)), _) => format!(": {}", piece(summary)),
        (Some(_), _) => String::new(),
        (None, error) => format!(": {}", piece(&error.map(ToString::to_string).unwrap_or_default())),
    };
    format!("{}: {}, {} units of work{outcome}", piece(&ran.name), called(ran.calls.len()), ran.fuel)
}

fn proposal(p: &Proposal) -> String {
    let args: Vec<_> = p.args.iter().take(16).map(|(name, value)| format!("{name}={value}")).collect();
    let args = if args.is_empty() { String::new() } else { format!(" ({})", piece(&args.join(" "))) };
    let why = if p.why.is_empty() { String::new() } else { format!(", because {}", piece(&p.why)) };
    format!("{}{args}{why}", piece(&p.playbook))
}

/// The three metrics most responsible: `; driven by latency_p95 412 ms (normally 18 ms)`.
fn driven(drivers: &[Driver]) -> String {
    let said: Vec<_> = drivers
        .iter()
        .take(3)
        .map(|d| format!("{} {}", piece(&d.metric), piece(&compared(d.value, d.normal, &d.unit))))
        .collect();
    if said.is_empty() { String::new() } else { format!("; driven by {}", said.join(", ")) }
}

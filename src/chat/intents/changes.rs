//! What sounds like an order, as the lines to type for it. Nothing here is ever carried out.

use std::collections::BTreeMap;

use super::super::command::{Command, ExperimentOr, LONGEST_MUTE, RunOrIncident, ServiceOrIncident, USUAL_MUTE};
use super::asked::{ability, is_question};
use super::words::{Sentence, is_one_of};
use super::{Known, times};
use crate::model::{Args, Mode, ServiceId};

/// The lines that an order could be typed as, the likeliest first; `None` when it is none.
pub(super) fn lines(s: &Sentence, names: &Known<'_>) -> Option<Vec<Command>> {
    // Asked whether, who and why is not told to; asked politely is.
    if is_question(s) && !is_a_request(s) {
        return None;
    }
    if is_forbidden(s) {
        return forbidden(s);
    }
    order(s, names)
}

/// "can you", "why don't you", "how about": orders in the form of a question.
fn is_a_request(s: &Sentence) -> bool {
    const BEGINNINGS: &str = "can you|can we|can someone|can somebody|could you|could we|could someone|would you|will you|\
         why not|why do not you|why do not we|how about|what about|shall we|shall i|should we|should i|\
         do you mind|is it time to|would it|would somebody|would someone";
    BEGINNINGS.split('|').any(|beginning| s.begins(beginning)) && !asks_to_look(s)
}

/// "can you show me", "could you tell me who approved it".
fn asks_to_look(s: &Sentence) -> bool {
    const LOOKS: &str = "show tell list give check see explain describe display say find";
    s.words.iter().skip(1).take(4).any(|w| is_one_of(LOOKS, w))
}

/// A bare yes or no, as the line to type for it.
pub(super) fn yes_or_no(s: &Sentence) -> Option<Command> {
    const YES: &[&str] =
        &["yes", "ok", "okay", "sure", "yep", "yeah", "lgtm", "go ahead", "do it", "ship it", "go for it", "yes do it"];
    const NO: &[&str] = &["no", "nope", "nah", "no way", "do not", "do not do it", "not now"];
    let is = |any: &[&str]| any.iter().any(|phrase| s.is(phrase));
    if is(YES) {
        Some(approve(s))
    } else if is(NO) {
        Some(reject(s))
    } else {
        None
    }
}

/// "don't", "never", "nobody should".
fn is_forbidden(s: &Sentence) -> bool {
    let is_only_asked = s.begins("why do not") || s.begins("why not") || s.begins("if not");
    s.has("not never nobody without") && !is_only_asked
}

/// What must not be done is never offered; only what keeps it from being done.
fn forbidden(s: &Sentence) -> Option<Vec<Command>> {
    let what = ability(s)?;
    Some(match what {
        // "don't stop", "never resume": what stands now is what is wanted.
        "stop" | "resume" | "mute" | "unmute" | "reject" | "close" => {
            vec![Command::Status { service: s.service.clone() }]
        }
        _ => vec![reject(s), Command::Incidents],
    })
}

fn order(s: &Sentence, names: &Known<'_>) -> Option<Vec<Command>> {
    let status = || Command::Status { service: s.service.clone() };
    if s.says("false alarm") || s.says("false positive") {
        let line = |incident| Command::FalseAlarm { incident, reason: String::new() };
        return Some(s.incident.map(line).into_iter().chain([Command::Incidents]).take(1).collect());
    }
    if s.has("deployed released shipped") && matches!(s.first(), "i" | "we") {
        let line = |service| Command::Deployed { service, settle: None, note: String::new() };
        return Some(vec![s.service.clone().map_or_else(status, line)]);
    }
    if let Some(mode) = mode(s)
        && let Some(service) = s.service.clone()
    {
        return Some(vec![Command::Mode { service, mode }]);
    }
    if let (Some(playbook), true) = (s.playbook.clone(), s.has("run execute use try apply start")) {
        return Some(runs(vec![playbook], s, names));
    }
    if s.has("inject chaos") && s.has("stop end lift remove") {
        return Some(vec![Command::ChaosStop { what: s.service.clone().map(ExperimentOr::All) }, Command::ChaosList]);
    }
    if s.has("inject sabotage")
        || (s.has("chaos") && s.words.len() > 1 && !is_one_of("list report", s.first()))
        || (s.first() == "break" && s.service.is_some())
    {
        return Some(vec![Command::ChaosList]);
    }
    if matches!(s.first(), "fix" | "heal" | "repair" | "mend") {
        return Some(vec![status(), Command::Playbooks]);
    }
    if s.has("turn switch") && s.has("off") {
        return Some(stop(s));
    }
    let what = ability(s)?;
    Some(match what {
        "approve" => vec![approve(s)],
        "reject" => vec![reject(s)],
        "rollback" => rollback(s, names),
        "stop" => stop(s),
        "resume" => vec![Command::Resume],
        "mute" => {
            let said = times::span(s, names.now).and_then(|span| span.back(names.now)).filter(|d| *d <= LONGEST_MUTE);
            let span = said.unwrap_or(USUAL_MUTE);
            muted(s, names).into_iter().map(|what| Command::Mute { what, span }).collect()
        }
        "unmute" => muted(s, names).into_iter().map(|what| Command::Unmute { what }).collect(),
        "close" => {
            let line = |incident| Command::Close { incident, reason: String::new() };
            vec![s.incident.map_or(Command::Incidents, line)]
        }
        "keep" => vec![s.run.map(|run| Command::Keep { run })?],
        "accept" => vec![component(s).map_or(Command::Playbooks, |name| Command::Accept { name, digest: None })],
        "enable" => vec![component(s).map_or(Command::Playbooks, |name| Command::Enable { name })],
        "deployed" => {
            let line = |service| Command::Deployed { service, settle: None, note: String::new() };
            vec![s.service.clone().map_or_else(status, line)]
        }
        "scale" | "restart" | "traffic" | "isolate" | "cache" => action(what, s, names),
        _ => return None,
    })
}

fn approve(s: &Sentence) -> Command {
    Command::Approve { incident: s.incident, code: None }
}

fn reject(s: &Sentence) -> Command {
    Command::Reject { incident: s.incident, reason: String::new() }
}

fn component(s: &Sentence) -> Option<String> {
    s.playbook.clone()
}

/// What is named, or else each service.
fn muted(s: &Sentence, names: &Known<'_>) -> Vec<ServiceOrIncident> {
    let named =
        s.incident.map(ServiceOrIncident::Incident).or_else(|| s.service.clone().map(ServiceOrIncident::Service));
    named.map_or_else(
        || names.services.iter().cloned().map(|name| ServiceOrIncident::Service(ServiceId(name))).collect(),
        |named| vec![named],
    )
}

fn mode(s: &Sentence) -> Option<Mode> {
    let says_so = s.has("mode set put switch change");
    let mode =
        [("observe", Mode::Observe), ("auto", Mode::Auto), ("automatic", Mode::Auto), ("approve", Mode::Approve)];
    mode.into_iter().find(|(word, _)| says_so && s.has(word)).map(|(_, mode)| mode)
}

/// Of what is to be taken back the number has to be known: the last one's is.
fn rollback(s: &Sentence, names: &Known<'_>) -> Vec<Command> {
    let named = s.run.map(RunOrIncident::Run).or_else(|| s.incident.map(RunOrIncident::LastOf));
    match named.or_else(|| names.last_run.map(RunOrIncident::Run)) {
        Some(of) => vec![Command::Rollback { of, reason: String::new() }],
        None => vec![Command::Incidents],
    }
}

/// The kill switch stops everything; for one service there is its mode.
fn stop(s: &Sentence) -> Vec<Command> {
    let all = Command::Stop { reason: String::new() };
    match s.service.clone() {
        Some(service) => vec![Command::Mode { service, mode: Mode::Observe }, all],
        None => vec![all],
    }
}

/// An action is done by a playbook. Of "scale-out" and "scale-in" the one that was said comes first.
fn action(what: &str, s: &Sentence, names: &Known<'_>) -> Vec<Command> {
    let down = s.has("down in");
    let mut playbooks = fitting(what, names);
    playbooks.sort_by_key(|name| {
        let name = name.to_lowercase();
        (name.ends_with("-in") || name.ends_with("down")) != down
    });
    runs(playbooks, s, names)
}

/// The playbooks that do a kind of action, as far as their names tell.
pub(super) fn fitting(what: &str, names: &Known<'_>) -> Vec<String> {
    let stems: &[&str] = match what {
        "traffic" => &["traffic", "shift", "drain", "weight"],
        "isolate" => &["isolate", "quarantine", "eject"],
        "cache" => &["cache"],
        "restart" => &["restart"],
        "scale" => &["scale"],
        _ => &[],
    };
    let fits = |name: &&String| stems.iter().any(|stem| name.to_lowercase().contains(stem));
    names.playbooks.iter().filter(fits).cloned().collect()
}

fn runs(playbooks: Vec<String>, s: &Sentence, names: &Known<'_>) -> Vec<Command> {
    let to = s.behind("to").filter(|n| n.len() <= 3 && n.parse::<u32>().is_ok());
    let services: Vec<ServiceId> = match &s.service {
        Some(service) => vec![service.clone()],
        None => names.services.iter().cloned().map(ServiceId).collect(),
    };
    let mut lines = Vec::new();
    for playbook in playbooks {
        for service in &services {
            let args: Args = to.map(|to| ("to".to_owned(), to.to_owned())).into_iter().collect::<BTreeMap<_, _>>();
            lines.push(Command::Run { playbook: playbook.clone(), service: service.clone(), args });
        }
    }
    if lines.is_empty() { vec![Command::Playbooks] } else { lines }
}

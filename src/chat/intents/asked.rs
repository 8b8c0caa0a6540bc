//! What is asked, as commands that only look. Rules in an order: the more particular first.

use std::time::Duration;

use super::super::command::{AuditQuery, Command, When, Who, help_for};
use super::changes::fitting;
use super::words::{Sentence, is_one_of};
use super::{Guess, Known, MAX_LINES, metrics, times};
use crate::model::{ActionKind, Args, ServiceId};

/// How far back the ledger is shown when nobody says.
const LATELY: Duration = Duration::from_secs(86_400);

/// How questions begin.
const QUESTION_WORDS: &str = "who what when where why which whose how is are was were am did does has have had can could may might should \
     shall would will any anything anyone show list tell give display explain describe see view find check";

/// What somebody may do or may have done, as people say it: base form and `-ing`, then the past, and the command or kind of
/// action with its kind of event in the ledger.
const ABILITIES: &[(&str, &str, &str, Option<&str>)] = &[
    ("approve approving approves", "approved", "approve", Some("approved")),
    ("reject rejecting deny decline refuse", "rejected denied declined", "reject", Some("rejected")),
    ("roll rolling revert reverting undo undoing", "rolled reverted undid undone", "rollback", Some("undo-started")),
    ("restart restarting reboot bounce", "restarted rebooted bounced restarts", "restart", None),
    ("scale scaling upscale downscale", "scaled upscaled downscaled", "scale", None),
    ("isolate isolating quarantine", "isolated quarantined", "isolate", None),
    ("drain reroute shift shifting", "drained rerouted shifted", "traffic", None),
    ("clear flush purge", "cleared flushed purged", "cache", None),
    ("", "ran executed", "run", Some("run-started")),
    ("unmute unsilence", "unmuted", "unmute", Some("commanded")),
    ("mute muting silence snooze", "muted silenced snoozed", "mute", Some("commanded")),
    ("stop stopping halt kill pause shut abort freeze", "stopped halted killed paused", "stop", Some("halted")),
    ("resume resuming unpause continue", "resumed continued", "resume", Some("resumed")),
    ("close closing resolve", "closed resolved", "close", Some("resolved")),
    ("accept accepting", "accepted", "accept", Some("component-accepted")),
    ("enable enabling", "enabled", "enable", Some("component-enabled")),
    ("deploy deploying release", "deployed released shipped", "deployed", Some("deployed")),
    ("keep", "kept", "keep", None),
];

/// Does it ask, be it in form only?
pub(super) fn is_question(s: &Sentence) -> bool {
    is_one_of(QUESTION_WORDS, s.first()) || (s.first() == "do" && s.has("you we i they") && !s.begins("do not"))
}

/// Is it a word that orders something?
pub(super) fn is_order(word: &str) -> bool {
    ABILITIES.iter().any(|(base, ..)| is_one_of(base, word))
}

/// What is to be done, or could be: a verb of the table or a kind of action.
pub(super) fn ability(s: &Sentence) -> Option<&'static str> {
    s.words.iter().find_map(|word| {
        let known = ABILITIES.iter().find(|(base, ..)| is_one_of(base, word)).map(|(.., what, _)| *what);
        known.or(match word.as_str() {
            "run" if s.playbook.is_some() => Some("run"),
            _ => None,
        })
    })
}

/// What was done, as a command or kind of action, with its kind of event.
fn done(s: &Sentence) -> Option<(&'static str, Option<&'static str>)> {
    if matches!(s.first(), "did" | "when" | "why") && s.has("run") && s.has("playbook playbooks @playbook anything") {
        return Some(("run", Some("run-started")));
    }
    s.words.iter().find_map(|word| {
        let known = |(base, past, what, kind): &(&str, &str, &'static str, Option<&'static str>)| {
            let is_it = is_one_of(past, word) || is_one_of(base, word);
            is_it.then_some((*what, *kind))
        };
        ABILITIES.iter().find_map(known)
    })
}

/// What a sentence asks for, where it is no order.
pub(super) fn guess(s: &Sentence, names: &Known<'_>) -> Guess {
    const RULES: &[fn(&Sentence, &Known<'_>) -> Guess] = &[
        about_oneself,
        rights,
        help,
        imagined,
        ledger,
        waiting,
        playbooks,
        faults,
        past,
        one_incident,
        charts,
        incidents,
        status,
        scraps,
    ];
    RULES.iter().map(|rule| rule(s, names)).find(|guess| *guess != Guess::Nothing).unwrap_or_default()
}

/// The command, where this is what is asked.
fn when(asked: bool, command: Command) -> Guess {
    if asked { Guess::Command(command) } else { Guess::Nothing }
}

fn about_oneself(s: &Sentence, _: &Known<'_>) -> Guess {
    let rights = s.has("permissions permission rights role roles") && s.has("my i me");
    let asked =
        s.says("who am i") || s.is("whoami") || rights || s.says("what am i allowed") || s.says("what may i do");
    when(asked && ability(s).is_none(), Command::Whoami)
}

/// "can I restart shop", "is @anna allowed to approve on shop", "who may ...".
fn rights(s: &Sentence, names: &Known<'_>) -> Guess {
    let asks = is_one_of("can could may might", s.first()) || s.has("allowed permission permitted");
    let asks_who = s.first() == "who" && s.has("can may allowed");
    let Some(what) = ability(s).filter(|_| asks || asks_who) else { return Guess::Nothing };
    let who = match &s.mention {
        Some(id) => Who::Mention(id.clone()),
        None => Who::Me,
    };
    let is_clear = !asks_who && (s.mention.is_some() || s.has("i me we"));
    let can = |service: ServiceId| Command::Can { who: who.clone(), what: what.to_owned(), service };
    match (&s.service, names.services) {
        (Some(service), _) if is_clear => Guess::Command(can(service.clone())),
        (None, [only]) if is_clear => Guess::Command(can(ServiceId(only.clone()))),
        (Some(service), _) => Guess::Lines(vec![can(service.clone()), Command::Whoami]),
        (None, _) => {
            let each = names.services.iter().take(MAX_LINES - 1).cloned().map(ServiceId).map(can);
            Guess::Lines(each.chain([Command::Whoami]).collect())
        }
    }
}

fn help(s: &Sentence, _: &Known<'_>) -> Guess {
    const PHRASES: &[&str] = &[
        "what can you do",
        "what do you do",
        "what can i do",
        "what can i ask",
        "what can i say",
        "what can i type",
        "who are you",
        "what are you",
        "help me",
        "how does this work",
        "how do you work",
        "how do i use",
        "what commands",
        "which commands",
        "list commands",
        "show commands",
        "list of commands",
    ];
    // "what does approve do", "how do I roll back": the command's own page.
    let about_one = s.begins("how do i")
        || s.begins("how can i")
        || s.begins("how to")
        || (s.begins("what does") && s.has("do mean"));
    if about_one && let Some(verb) = ability(s).or_else(|| verb_named(s)).filter(|verb| help_for(verb).is_some()) {
        return Guess::Command(Command::Help { verb: Some(verb.to_owned()) });
    }
    if about_one && let Some("scale" | "restart" | "traffic" | "isolate") = ability(s) {
        return Guess::Command(Command::Help { verb: Some("run".to_owned()) });
    }
    let asked = PHRASES.iter().any(|phrase| s.says(phrase))
        || s.is("commands")
        || (s.has("help") && s.words.len() <= 4 && s.service.is_none());
    when(asked, Command::Help { verb: None })
}

fn verb_named(s: &Sentence) -> Option<&'static str> {
    s.words.iter().skip(2).find_map(|word| help_for(word)).map(|help| help.verb)
}

fn ledger(s: &Sentence, names: &Known<'_>) -> Guess {
    let is_about = s.has("ledger audit log history records chain");
    let forged =
        s.has("intact tampered verify verified forged manipulated") || (s.has("changed") && s.has("ledger chain"));
    if is_about && forged {
        return Guess::Command(Command::AuditVerify);
    }
    let span = times::span(s, names.now).unwrap_or_default();
    let query = AuditQuery {
        service: s.service.clone(),
        incident: s.incident,
        run: s.run,
        since: span.since,
        until: span.until,
        ..AuditQuery::default()
    };
    when(is_about && s.has("csv export download file spreadsheet excel"), Command::AuditCsv(query))
}

/// "what would scale-out do to shop", "what if we scale shop": a dry run tells, and changes nothing.
fn imagined(s: &Sentence, names: &Known<'_>) -> Guess {
    let asks = s.begins("what would") || s.begins("what if") || s.says("safe to") || s.has("simulate preview");
    let Some(service) = s.service.clone().filter(|_| asks) else { return Guess::Nothing };
    let dry_run = |playbook| Command::DryRun { playbook, service: service.clone(), args: Args::new() };
    if let Some(playbook) = s.playbook.clone() {
        return Guess::Command(dry_run(playbook));
    }
    let lines: Vec<_> =
        ability(s).map(|what| fitting(what, names)).unwrap_or_default().into_iter().map(dry_run).collect();
    if lines.is_empty() { Guess::Nothing } else { Guess::Lines(lines) }
}

fn waiting(s: &Sentence, _: &Known<'_>) -> Guess {
    let to_do = s.says("need to do") || s.says("should i do") || s.says("should we do");
    let asked = to_do
        || s.has("waiting waits pending approvals attention outstanding")
        || (s.has("approve approval decide") && s.has("anything something need needs any what should"));
    when(asked && s.incident.is_none() && s.service.is_none(), Command::Incidents)
}

fn playbooks(s: &Sentence, _: &Known<'_>) -> Guess {
    let asked = (s.has("playbooks runbooks") && done(s).is_none())
        || (s.has("playbook runbook") && is_question(s) && done(s).is_none());
    let about_one = s.playbook.is_some() && is_question(s) && s.has("what explain describe about");
    when(asked || (about_one && done(s).is_none()), Command::Playbooks)
}

fn faults(s: &Sentence, _: &Known<'_>) -> Guess {
    if s.has("chaos injected inject") {
        let report = s.has("report went result results outcome go");
        return Guess::Command(if report { Command::ChaosReport { what: None } } else { Command::ChaosList });
    }
    when(s.has("faults") && is_question(s), Command::ChaosList)
}

/// Is it asked how something went? Without a time, "what is happening" asks how things stand.
fn is_a_story(s: &Sentence, has_time: bool) -> bool {
    let went = s.has("happened changed history audit timeline") || s.says("is new") || s.says("went on");
    let did = (s.begins("what did") || s.begins("what have") || s.begins("what has")) && s.has("do done");
    let goes = s.has("happening") || s.says("going on");
    let broke = s.has("break broke fail failed crash crashed die died") && s.has("when why did");
    went || did || (goes && has_time) || s.says("went wrong") || (s.first() == "why" && s.has("did was were")) || broke
}

/// Who did, why did, when did, what happened: the ledger knows.
fn past(s: &Sentence, names: &Known<'_>) -> Guess {
    let span = times::span(s, names.now);
    // "what should I restart" asks for what is to come.
    let asks = is_one_of("who why when did was were is are has have how what which show list", s.first())
        && !s.has("should shall will would can may need needs");
    // "is shop muted" asks how it stands.
    let stands = is_one_of("is are", s.first()) && s.has("muted silenced stopped halted paused");
    let runs = (s.has("runs") || s.says("last run"))
        .then(|| ("run", Some(if s.has("failed fail") { "run-failed" } else { "run-started" })));
    let deed = done(s).or(runs).filter(|_| asks && !stands);
    if deed.is_none() && !is_a_story(s, span.is_some()) {
        return Guess::Nothing;
    }
    // "why was INC-7 opened": its own page tells.
    if deed.is_none() && s.incident.is_some() && span.is_none() && s.service.is_none() {
        return Guess::Nothing;
    }
    let (action, kind) = match deed {
        Some((what, kind)) => (ActionKind::ALL.into_iter().find(|action| action.name() == what), kind),
        None => (None, None),
    };
    // A day back, where neither a time nor an id says where to look.
    let recent = times::Span { since: Some(When::Ago(LATELY)), until: None };
    let is_narrow = s.incident.is_some() || s.run.is_some() || deed.is_some();
    let span = span.unwrap_or(if is_narrow { times::Span::default() } else { recent });
    Guess::Command(Command::Audit(AuditQuery {
        service: s.service.clone(),
        kind: kind.map(str::to_owned),
        action,
        incident: s.incident,
        run: s.run,
        since: span.since,
        until: span.until,
        ..AuditQuery::default()
    }))
}

fn one_incident(s: &Sentence, _: &Known<'_>) -> Guess {
    let run = |run| Command::Audit(AuditQuery { run: Some(run), ..AuditQuery::default() });
    match (s.incident, s.run) {
        (Some(incident), _) if is_question(s) || s.words.len() <= 3 => Guess::Command(Command::Show { incident }),
        (Some(incident), _) => Guess::Lines(vec![Command::Show { incident }]),
        (None, Some(id)) if is_question(s) || s.words.len() <= 3 => Guess::Command(run(id)),
        _ => Guess::Nothing,
    }
}

/// "show me cpu trends", "how is the latency of shop".
fn charts(s: &Sentence, names: &Known<'_>) -> Guess {
    const CHARTS: &str = "chart charts graph graphs plot trend trends curve course usage metric";
    if s.has("metrics") {
        return match (&s.service, names.services) {
            (Some(service), _) => Guess::Command(Command::Metrics { service: service.clone() }),
            (None, [only]) => Guess::Command(Command::Metrics { service: ServiceId(only.clone()) }),
            (None, all) => {
                Guess::Lines(all.iter().cloned().map(|name| Command::Metrics { service: ServiceId(name) }).collect())
            }
        };
    }
    let asked_for = s.has(CHARTS);
    if !asked_for && !is_question(s) && s.words.len() > 4 {
        return Guess::Nothing;
    }
    let since = times::span(s, names.now).and_then(|span| span.back(names.now)).map(whole_seconds);
    let chart = |(service, metric): metrics::Found| Command::Chart { service, metric, since };
    let mut found = metrics::named(s, names, asked_for);
    match found.len() {
        0 if asked_for => {
            let services = s.service.clone().map_or_else(|| names.services.to_vec(), |service| vec![service.0]);
            Guess::Lines(services.into_iter().map(|name| Command::Metrics { service: ServiceId(name) }).collect())
        }
        0 => Guess::Nothing,
        1 => found.pop().map_or(Guess::Nothing, |one| Guess::Command(chart(one))),
        _ => Guess::Lines(found.into_iter().map(chart).collect()),
    }
}

fn whole_seconds(span: Duration) -> Duration {
    Duration::from_secs(span.as_secs().max(1))
}

fn incidents(s: &Sentence, _: &Known<'_>) -> Guess {
    let asked = s.has("incident incidents alert alerts alarm alarms outage outages");
    when(asked && s.service.is_none(), Command::Incidents)
}

fn status(s: &Sentence, _: &Known<'_>) -> Guess {
    const STATES: &str = "status health healthy unhealthy ok okay fine good bad wrong broken down up alive dead slow sick ill \
         doing going looking look working works state situation anomaly anomalies anomalous problem problems \
         issue issues trouble fire risk risks stable mode stopped happening overview unusual incident incidents \
         alert alerts alarm alarms outage feeling well alright right green normal calm quiet forecast services \
         overloaded failing muted";
    // Of what they speak must be ours, or every "how is it going in Berlin" would be answered.
    const OURS: &str = "system systems everything all things it we us service services any anything something status health \
         situation overview there production prod anomalies anomaly what problems issues you";
    let asked = s.has(STATES) && (s.service.is_some() || s.has(OURS));
    let how_is = (s.service.is_some() || s.has("things systems services"))
        && (s.begins("how is") || s.begins("how are") || s.begins("what about") || s.begins("how about"));
    // Long sentences are told, not asked.
    let is_short = s.words.len() <= 8 || is_question(s);
    when((asked || how_is) && is_short, Command::Status { service: s.service.clone() })
}

/// What is left: a name alone, a word of greeting.
fn scraps(s: &Sentence, _: &Known<'_>) -> Guess {
    let Some(service) = s.service.clone() else { return Guess::Nothing };
    let status = Command::Status { service: Some(service.clone()) };
    if s.words.len() == 1 || is_one_of("why show tell describe explain check view", s.first()) {
        return Guess::Command(status);
    }
    let lately = AuditQuery { service: Some(service), since: Some(When::Ago(LATELY)), ..AuditQuery::default() };
    if is_question(s) { Guess::Lines(vec![status, Command::Audit(lately)]) } else { Guess::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abilities_are_commands_or_actions_and_their_events_are_of_the_ledger() {
        for (_, _, what, kind) in ABILITIES {
            let is_action = ActionKind::ALL.iter().any(|action| action.name() == *what);
            assert!(is_action || help_for(what).is_some(), "{what}");
            assert!(kind.is_none_or(|kind| crate::ledger::known_kind(kind).is_ok()), "{what}: {kind:?}");
            assert!(!is_action || kind.is_none(), "{what}: the filter for actions finds it");
        }
    }
}

//! What the word under the cursor could become, from the table of commands.
//!
//! Pure but for the names, which the caller looks up (services, open incidents, ...). Called by the console, and by the
//! desk for chat services with suggestions; a line may have a mention or our name in front, as they have it.

use super::command::{COMMANDS, CommandHelp, Param, ParamForm, Slot};
use super::grammar::{is_mention, is_our_name};
use crate::model::ActionKind;

/// Names that only the engine knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The services.
    Services,
    /// The metrics of a service, which may not exist.
    Metrics(String),
    /// Incidents somebody may mean: the open ones and those that were lately.
    Incidents,
    /// Incidents about which a question is open.
    Pending,
    /// Runs somebody may mean.
    Runs,
    /// The playbooks.
    Playbooks,
    /// The experiments on file.
    Experiments,
    /// The experiments that were asked for, newest first.
    Trials,
}

/// Looks names up. Called on the console's own thread on every press of the tab key: it must be quick and not wait.
pub type Names = dyn Fn(&Wanted) -> Vec<String> + Send + Sync;

/// The candidates for the last word of `line` (the text before the cursor), the likeliest first, and the byte at which
/// that word begins.
#[must_use]
pub fn complete(line: &str, names: &Names) -> (usize, Vec<String>) {
    let start = line.rfind(char::is_whitespace).map_or(0, |i| i + line.get(i..).and_then(first_len).unwrap_or(1));
    let (before, begun) = (line.get(..start).unwrap_or_default(), line.get(start..).unwrap_or_default());
    let before = behind_our_name(before);
    let words: Vec<String> = before.split_whitespace().map(str::to_lowercase).collect();
    let begun = begun.to_lowercase();
    let mut candidates = Vec::new();
    let offered = verb_parts(&words).into_iter().chain(after_verb(&words, &begun, names));
    for candidate in offered.filter(|c| c.to_lowercase().starts_with(&begun)) {
        if !candidates.contains(&candidate) {
            candidates.push(candidate);
        }
    }
    (start, candidates)
}

fn first_len(text: &str) -> Option<usize> {
    text.chars().next().map(char::len_utf8)
}

/// Without a mention and our name in front. A mention may have spaces in it: `<@U123|Anna S>`.
fn behind_our_name(before: &str) -> &str {
    let mut rest = before.trim_start();
    if rest.starts_with("<@")
        && let Some((head, tail)) = rest.split_once('>')
        && is_mention(&format!("{head}>"))
    {
        rest = tail.trim_start_matches([':', ',']).trim_start();
    }
    match rest.split_once(char::is_whitespace) {
        Some((first, tail)) if is_our_name(first) => tail,
        _ => rest,
    }
}

/// The next word of every verb that begins with these words.
fn verb_parts(words: &[String]) -> Vec<String> {
    let next = |c: &CommandHelp| {
        let parts: Vec<_> = c.verb.split(' ').collect();
        let begins = parts.iter().zip(words).all(|(part, word)| part == word);
        parts.get(words.len()).filter(|_| begins).map(|part| (*part).to_owned())
    };
    COMMANDS.iter().filter_map(next).collect()
}

fn after_verb(words: &[String], begun: &str, names: &Names) -> Vec<String> {
    // The longest verb: `audit csv` before `audit`.
    let is_meant =
        |c: &&CommandHelp| c.verb.split(' ').enumerate().all(|(i, part)| words.get(i).is_some_and(|w| w == part));
    let Some(help) = COMMANDS.iter().filter(is_meant).max_by_key(|c| c.verb.len()) else { return Vec::new() };
    let given = words.get(help.verb.split(' ').count()..).unwrap_or_default();
    let filter_of = |word: &str| {
        let name = word.split_once(':')?.0;
        help.params.iter().find(|p| p.form == ParamForm::Filter && p.name == name)
    };
    if let Some(filter) = filter_of(begun) {
        return slot_values(filter, given, names).into_iter().map(|value| format!("{}:{value}", filter.name)).collect();
    }
    let positional: Vec<_> = given.iter().filter(|word| filter_of(word).is_none()).cloned().collect();
    let mut fields = help.params.iter().filter(|p| p.form == ParamForm::Word);
    if let Some(verb_begun) = fields.clone().next().filter(|p| p.slot == Some(Slot::Verb)).map(|_| &positional) {
        return verb_parts(verb_begun);
    }
    let mut offered = match fields.nth(place(help, &positional)) {
        Some(field) => slot_values(field, &positional, names),
        None => Vec::new(),
    };
    // What may stand in any order comes behind what has its place.
    let needed = help.params.iter().filter(|p| p.required).count();
    if positional.len() >= needed {
        let is_given = |p: &Param| given.iter().any(|word| filter_of(word) == Some(p));
        let filters = help.params.iter().filter(|p| p.form == ParamForm::Filter && !is_given(p));
        offered.extend(filters.map(|p| format!("{}:", p.name)));
    }
    offered
}

/// Which of its places is next. What somebody can do may be of two words; all other places are one word each.
fn place(help: &CommandHelp, positional: &[String]) -> usize {
    let second_half = help.params.iter().position(|p| p.slot == Some(Slot::Ability)).is_some_and(|i| {
        let ability = positional.get(i..i + 2).map(|words| words.join(" "));
        ability.is_some_and(|verb| COMMANDS.iter().any(|c| c.verb == verb))
    });
    positional.len() - usize::from(second_half)
}

fn slot_values(field: &Param, given: &[String], names: &Names) -> Vec<String> {
    let both = |first: &Wanted, then: &Wanted| names(first).into_iter().chain(names(then)).collect();
    let actions = || ActionKind::ALL.map(|kind| kind.name().to_owned());
    match field.slot {
        None => Vec::new(),
        Some(Slot::Service) => names(&Wanted::Services),
        Some(Slot::Metric) => names(&Wanted::Metrics(given.last().cloned().unwrap_or_default())),
        Some(Slot::Incident) => names(&Wanted::Incidents),
        Some(Slot::Pending) => both(&Wanted::Pending, &Wanted::Incidents),
        Some(Slot::Run) => names(&Wanted::Runs),
        Some(Slot::RunOrIncident) => both(&Wanted::Runs, &Wanted::Incidents),
        Some(Slot::ServiceOrIncident) => both(&Wanted::Services, &Wanted::Incidents),
        Some(Slot::Playbook) => names(&Wanted::Playbooks),
        Some(Slot::Experiment) => names(&Wanted::Experiments),
        Some(Slot::Trial) => names(&Wanted::Trials),
        Some(Slot::TrialOrService) => both(&Wanted::Trials, &Wanted::Services),
        Some(Slot::TrialOrExperiment) => both(&Wanted::Trials, &Wanted::Experiments),
        Some(Slot::Action) => actions().to_vec(),
        Some(Slot::Ability) => actions().into_iter().chain(verb_parts(&[])).collect(),
        Some(Slot::Person) => vec!["me".to_owned()],
        Some(Slot::Mode) => ["observe", "approve", "auto"].map(str::to_owned).to_vec(),
        Some(Slot::Verb) => verb_parts(&[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(wanted: &Wanted) -> Vec<String> {
        let list: &[&str] = match wanted {
            Wanted::Services => &["shop", "search"],
            Wanted::Metrics(service) if service == "shop" => &["latency_p95", "errors"],
            Wanted::Metrics(_) => &[],
            Wanted::Incidents => &["INC-1", "INC-12"],
            Wanted::Pending => &["INC-12"],
            Wanted::Runs => &["RUN-3"],
            Wanted::Playbooks => &["scale-out"],
            Wanted::Experiments => &["latency", "load"],
            Wanted::Trials => &["EXP-3"],
        };
        list.iter().map(|s| (*s).to_owned()).collect()
    }

    fn offered(line: &str) -> Vec<String> {
        complete(line, &names).1
    }

    #[test]
    fn verbs_then_what_they_take() {
        assert_eq!(offered("ap"), ["approve"]);
        assert_eq!(offered("re"), ["reject", "resume"]);
        assert_eq!(offered("APPROVE inc-12"), ["INC-12"]);
        assert_eq!(offered("/suture rollback R"), ["RUN-3"]);
        assert_eq!(offered("rollback "), ["RUN-3", "INC-1", "INC-12"]);
        assert_eq!(offered("chart shop la"), ["latency_p95"]);
        assert_eq!(offered("chart nope "), [""; 0]);
        assert_eq!(offered("mode shop a"), ["approve", "auto"]);
        assert_eq!(offered("plan 1 s"), ["scale-out"]);
        assert_eq!(offered("run s"), ["scale-out"]);
        assert_eq!(offered("run scale-out s"), ["shop", "search"]);
        assert_eq!(offered("approve 1 x"), [""; 0]);
        assert_eq!(offered("nonsense "), [""; 0]);
        assert_eq!(offered("help inc"), ["incidents"]);
        assert_eq!(offered("help chaos re"), ["reject", "report"]);
        assert_eq!(offered("mute s"), ["shop", "search"]);
    }

    #[test]
    fn what_waits_for_an_answer_comes_first() {
        assert_eq!(offered("approve "), ["INC-12", "INC-1", "code:"]);
        assert_eq!(offered("reject "), ["INC-12", "INC-1"]);
        assert_eq!(offered("approve 1 "), ["code:"]);
        assert_eq!(offered("show "), ["INC-1", "INC-12"]);
    }

    #[test]
    fn faults_and_what_people_may_do() {
        assert_eq!(
            offered("chaos "),
            ["list", "describe", "plan", "run", "approve", "reject", "stop", "report", "score"]
        );
        assert_eq!(offered("chaos run l"), ["latency", "load"]);
        assert_eq!(offered("chaos run load s"), ["shop", "search"]);
        assert_eq!(offered("chaos run load shop "), ["for:"]);
        assert_eq!(offered("chaos stop s"), ["shop", "search"]);
        assert_eq!(offered("chaos report "), ["EXP-3", "latency", "load"]);
        assert_eq!(offered("can "), ["me"]);
        assert_eq!(offered("can me sc"), ["scale"]);
        assert_eq!(offered("can me scale s"), ["shop", "search"]);
        assert_eq!(offered("can me chaos run s"), ["shop", "search"]);
    }

    #[test]
    fn filters_of_an_audit() {
        assert_eq!(offered("audit v"), ["verify"]);
        assert_eq!(offered("audit since:1h service:s"), ["service:shop", "service:search"]);
        assert_eq!(offered("audit since:1h l"), ["limit:"]);
        assert_eq!(offered("audit limit:3 l"), [""; 0]);
        assert_eq!(offered("audit csv action:r"), ["action:restart"]);
        assert_eq!(offered("audit run:"), ["run:RUN-3"]);
        assert_eq!(offered("audit verify "), [""; 0]);
    }

    #[test]
    fn lines_as_chat_services_have_them() {
        for front in ["/suture ", "suture, ", "@Suture: ", "<@U0BOT> ", "<@!123> suture ", "<@U0BOT|the bot>: "] {
            assert_eq!(offered(&format!("{front}mode shop a")), ["approve", "auto"], "{front}");
        }
        assert!(offered("<@U0BOT> ").contains(&"status".to_owned()));
    }

    #[test]
    fn the_word_begins_behind_the_last_space_of_any_kind() {
        assert_eq!(complete("approve INC", &names).0, 8);
        assert_eq!(complete("approve\u{a0}INC", &names).0, 9);
        assert_eq!(complete("", &names).0, 0);
    }
}

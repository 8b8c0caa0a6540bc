//! What the word under the cursor could become, from the table of commands.
//!
//! Pure but for the names, which the caller looks up (services, open incidents, ...). Called by the console; a chat
//! service with suggestions can use it too.

use super::command::{AUDIT_FILTERS, COMMANDS, Slot, help_for};

/// Names that only the engine knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The services.
    Services,
    /// The metrics of a service, which may not exist.
    Metrics(String),
    /// Incidents somebody may mean: the open ones and those that were lately.
    Incidents,
    /// Runs somebody may mean.
    Runs,
    /// The playbooks.
    Playbooks,
}

/// Looks names up. Called on the console's own thread on every press of the tab key: it must be quick and not wait.
pub type Names = dyn Fn(&Wanted) -> Vec<String> + Send + Sync;

/// The candidates for the last word of `line` (the text before the cursor), and the byte at which that word begins.
#[must_use]
pub fn complete(line: &str, names: &Names) -> (usize, Vec<String>) {
    let start = line.rfind(char::is_whitespace).map_or(0, |i| i + line.get(i..).and_then(first_len).unwrap_or(1));
    let (before, begun) = (line.get(..start).unwrap_or_default(), line.get(start..).unwrap_or_default());
    let mut words: Vec<String> = before.split_whitespace().map(str::to_lowercase).collect();
    if words.first().is_some_and(|w| matches!(w.trim_end_matches(':'), "/suture" | "suture" | "@suture")) {
        words.remove(0);
    }
    let candidates = match words.split_first() {
        None => verbs(),
        Some((verb, given)) => after_verb(verb, given, begun, names),
    };
    let begun = begun.to_lowercase();
    (start, candidates.into_iter().filter(|c| c.to_lowercase().starts_with(&begun)).collect())
}

fn first_len(text: &str) -> Option<usize> {
    text.chars().next().map(char::len_utf8)
}

fn verbs() -> Vec<String> {
    COMMANDS.iter().map(|c| c.verb).filter(|v| !v.contains(' ')).map(str::to_owned).collect()
}

fn after_verb(verb: &str, given: &[String], begun: &str, names: &Names) -> Vec<String> {
    let Some(help) = help_for(verb) else { return Vec::new() };
    // Filters may come in any number; all other slots have their place.
    let slot = match help.slots {
        [Slot::AuditFilter] => Some(&Slot::AuditFilter),
        slots => slots.get(given.len()),
    };
    match slot {
        None => Vec::new(),
        Some(Slot::Service) => names(&Wanted::Services),
        Some(Slot::Metric) => names(&Wanted::Metrics(given.last().cloned().unwrap_or_default())),
        Some(Slot::Incident) => names(&Wanted::Incidents),
        Some(Slot::Run) => names(&Wanted::Runs),
        Some(Slot::Playbook) => names(&Wanted::Playbooks),
        Some(Slot::Mode) => ["observe", "approve", "auto"].map(str::to_owned).to_vec(),
        Some(Slot::Verb) => verbs(),
        Some(Slot::AuditFilter) => audit_filters(given, begun, names),
    }
}

fn audit_filters(given: &[String], begun: &str, names: &Names) -> Vec<String> {
    let with = |key: &str, values: Vec<String>| values.into_iter().map(|v| format!("{key}:{v}")).collect();
    match begun.split_once(':') {
        Some(("service", _)) => with("service", names(&Wanted::Services)),
        Some(("incident", _)) => with("incident", names(&Wanted::Incidents)),
        Some(_) => Vec::new(),
        None => {
            let verify = given.is_empty().then(|| "verify".to_owned());
            AUDIT_FILTERS.iter().map(|key| format!("{key}:")).chain(verify).collect()
        }
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
            Wanted::Runs => &["RUN-3"],
            Wanted::Playbooks => &["scale-out"],
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
        assert_eq!(offered("approve "), ["INC-1", "INC-12"]);
        assert_eq!(offered("APPROVE inc-12"), ["INC-12"]);
        assert_eq!(offered("/suture rollback R"), ["RUN-3"]);
        assert_eq!(offered("chart shop la"), ["latency_p95"]);
        assert_eq!(offered("chart nope "), [""; 0]);
        assert_eq!(offered("mode shop a"), ["approve", "auto"]);
        assert_eq!(offered("plan 1 s"), ["scale-out"]);
        assert_eq!(offered("approve 1 x"), [""; 0]);
        assert_eq!(offered("nonsense "), [""; 0]);
        assert_eq!(offered("help inc"), ["incidents"]);
    }

    #[test]
    fn filters_of_an_audit() {
        assert_eq!(offered("audit v"), ["verify"]);
        assert_eq!(offered("audit since:1h service:s"), ["service:shop", "service:search"]);
        assert_eq!(offered("audit since:1h l"), ["limit:"]);
    }

    #[test]
    fn the_word_begins_behind_the_last_space_of_any_kind() {
        assert_eq!(complete("approve INC", &names).0, 8);
        assert_eq!(complete("approve\u{a0}INC", &names).0, 9);
        assert_eq!(complete("", &names).0, 0);
    }
}

//! The one table of commands: help, the README, completion and the fields of slash commands are made from it.

/// One line of the table of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandHelp {
    /// What it begins with: one word, or two (`audit verify`).
    pub verb: &'static str,
    /// How it is written: capitals stand for something, brackets for what may be left out.
    pub usage: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// One that could be typed as it is.
    pub example: &'static str,
    /// Does it change something (and so needs the right to)?
    pub changes: bool,
    /// What follows the verb, in order: for completion, and as fields to fill in.
    pub params: &'static [Param],
}

/// One part of a command, which platforms with fields let people fill in. The fields in order, each as its form says, make
/// the line that is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param {
    /// Small letters and `-`, at most 32. That of a filter is what stands before its colon.
    pub name: &'static str,
    /// In one line, at most 100 characters.
    pub summary: &'static str,
    /// Must it be filled in? Those that must come first.
    pub required: bool,
    /// How it stands in the line.
    pub form: ParamForm,
    /// What it stands for, for completion.
    pub slot: Option<Slot>,
    /// Something that could be filled in.
    pub example: &'static str,
}

/// How a field stands in the line of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamForm {
    /// One word, in quotes where it needs them.
    Word,
    /// `name:value`, a filter.
    Filter,
    /// As it is, to the end of the line: a reason, `KEY=VALUE` arguments.
    Rest,
}

/// What a word of a command stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// A service's name.
    Service,
    /// A metric of the service named just before.
    Metric,
    /// An incident.
    Incident,
    /// An incident about which a question is open.
    Pending,
    /// A run.
    Run,
    /// A run, or the incident whose last run is meant.
    RunOrIncident,
    /// A service or an incident.
    ServiceOrIncident,
    /// A playbook.
    Playbook,
    /// An experiment on file.
    Experiment,
    /// An experiment that was asked for.
    Trial,
    /// One that was asked for, or a service.
    TrialOrService,
    /// One that was asked for, or all of one on file.
    TrialOrExperiment,
    /// A kind of action: `scale`.
    Action,
    /// What somebody may or may not do: a verb or a kind of action.
    Ability,
    /// A person.
    Person,
    /// `observe`, `approve` or `auto`.
    Mode,
    /// A verb.
    Verb,
}

/// All commands, in the order of the help.
pub const COMMANDS: &[CommandHelp] = &[
    read(
        "status",
        "status [SERVICE]",
        "how every service stands, or one in detail",
        "status shop",
        &[optional(SERVICE)],
    ),
    read("incidents", "incidents", "the incidents that are open", "incidents", &[]),
    read("show", "show INCIDENT", "one incident in full", "show INC-1", &[INCIDENT]),
    change(
        "approve",
        "approve [INCIDENT] [code:NNNNNN]",
        "say yes to the plan that is asked about, with a one-time code if one is asked for",
        "approve 1",
        &[optional(PENDING), filter("code", "the one-time code, where the plan needs one", None, "123456")],
    ),
    change(
        "reject",
        "reject [INCIDENT] [REASON]",
        "say no to the plan that is asked about",
        "reject 1 too risky now",
        &[optional(PENDING), REASON],
    ),
    change(
        "rollback",
        "rollback RUN|INCIDENT [REASON]",
        "take a run back, or the last run of an incident",
        "rollback RUN-1 made it worse",
        &[word("of", "the run; an incident stands for its last run", Some(Slot::RunOrIncident), "RUN-1"), REASON],
    ),
    change(
        "keep",
        "keep RUN",
        "accept an inconclusive run as it is",
        "keep RUN-1",
        &[word("run", "the run", Some(Slot::Run), "RUN-1")],
    ),
    change(
        "plan",
        "plan INCIDENT [PLAYBOOK [KEY=VALUE ...]]",
        "make a fresh dry run for an incident",
        "plan INC-1 scale-out to=4",
        &[INCIDENT, optional(PLAYBOOK), ARGS],
    ),
    read(
        "dry-run",
        "dry-run PLAYBOOK SERVICE [KEY=VALUE ...]",
        "what a playbook would do, and nothing more; `plan PLAYBOOK SERVICE` is the same",
        "dry-run scale-out shop to=4",
        &[PLAYBOOK, SERVICE, ARGS],
    ),
    change(
        "run",
        "run PLAYBOOK SERVICE [KEY=VALUE ...]",
        "have a playbook planned and, when it is approved, run",
        "run scale-out shop to=4",
        &[PLAYBOOK, SERVICE, ARGS],
    ),
    change(
        "close",
        "close INCIDENT [REASON]",
        "end an incident by hand",
        "close INC-1 a planned load test",
        &[INCIDENT, REASON],
    ),
    change(
        "false-alarm",
        "false-alarm INCIDENT [REASON]",
        "say that nothing was wrong; the model heeds it",
        "false-alarm INC-1 the nightly backup",
        &[INCIDENT, REASON],
    ),
    change(
        "deployed",
        "deployed SERVICE [FOR] [NOTE]",
        "say that a service changes; the model is quiet meanwhile",
        "deployed shop 10m \"release 1.4\"",
        &[
            SERVICE,
            optional(word("for", "how long it may look unusual, at most 1h", None, "10m")),
            rest("note", "what was deployed", "release 1.4"),
        ],
    ),
    change(
        "mute",
        "mute SERVICE|INCIDENT [FOR]",
        "no messages about a service or an incident for a time: 1h, or at most 24h",
        "mute shop 2h",
        &[MUTED, optional(word("for", "how long, at most 24h; 1h when left out", None, "2h"))],
    ),
    change("unmute", "unmute SERVICE|INCIDENT", "end what `mute` began", "unmute shop", &[MUTED]),
    read(
        "chart",
        "chart SERVICE METRIC [SPAN]",
        "the course of a metric",
        "chart shop latency_p95 5m",
        &[
            SERVICE,
            word("metric", "the metric; `metrics SERVICE` lists them", Some(Slot::Metric), "latency_p95"),
            optional(word("span", "how far back", None, "5m")),
        ],
    ),
    read("metrics", "metrics SERVICE", "the metrics of a service", "metrics shop", &[SERVICE]),
    read("playbooks", "playbooks", "the playbooks, what each may do and how it stands", "playbooks", &[]),
    change(
        "accept",
        "accept NAME [DIGEST]",
        "take a changed playbook or rule that is held",
        "accept scale-out",
        &[
            COMPONENT,
            optional(word("digest", "how the digest begins of the version that is meant", None, "2e8796cdb389")),
        ],
    ),
    change(
        "enable",
        "enable NAME",
        "let a playbook or rule run again that was disabled after faults",
        "enable scale-out",
        &[COMPONENT],
    ),
    read(
        "audit",
        "audit [service:NAME] [actor:WHO] [kind:KIND] [action:ACTION] [incident:INCIDENT] [run:RUN] [since:WHEN] \
         [until:WHEN] [limit:N] [page:N]",
        "what happened, from the ledger",
        "audit service:shop since:1h",
        AUDIT_PARAMS,
    ),
    read(
        "audit csv",
        "audit csv [FILTER ...]",
        "the same as a file, with the same filters",
        "audit csv since:1h",
        AUDIT_PARAMS,
    ),
    read("audit verify", "audit verify", "prove that the ledger was not changed", "audit verify", &[]),
    read("chaos list", "chaos list", "the chaos experiments there are, and those under way", "chaos list", &[]),
    read(
        "chaos describe",
        "chaos describe EXPERIMENT",
        "an experiment in full: hypothesis, faults, blast radius, abort rules",
        "chaos describe latency",
        &[EXPERIMENT],
    ),
    read(
        "chaos plan",
        "chaos plan EXPERIMENT [SERVICE]",
        "what an experiment would do, and nothing more",
        "chaos plan latency shop",
        &[EXPERIMENT, optional(SERVICE)],
    ),
    change(
        "chaos run",
        "chaos run EXPERIMENT [SERVICE] [for:SPAN]",
        "have an experiment run, when it is approved",
        "chaos run latency shop for:30s",
        &[
            EXPERIMENT,
            optional(SERVICE),
            filter("for", "how long each fault stays in, at most 1h; as its file says when left out", None, "30s"),
        ],
    ),
    change(
        "chaos approve",
        "chaos approve [EXP]",
        "say yes to an experiment; `approve EXP-1` is the same",
        "chaos approve EXP-1",
        &[optional(TRIAL)],
    ),
    change(
        "chaos reject",
        "chaos reject [EXP] [REASON]",
        "say no to an experiment; `reject EXP-1` is the same",
        "chaos reject EXP-1 not today",
        &[optional(TRIAL), REASON],
    ),
    change(
        "chaos stop",
        "chaos stop [EXP|SERVICE]",
        "end experiments now: every fault is taken out",
        "chaos stop",
        &[optional(word("what", "the experiment or service; all when left out", Some(Slot::TrialOrService), "EXP-1"))],
    ),
    read(
        "chaos report",
        "chaos report [EXP|EXPERIMENT]",
        "what became of experiments",
        "chaos report EXP-1",
        &[optional(word("what", "EXP-1, or the name of an experiment", Some(Slot::TrialOrExperiment), "EXP-1"))],
    ),
    read("chaos score", "chaos score", "the scoreboard: how the healing did, by fault", "chaos score", &[]),
    change(
        "mode",
        "mode SERVICE observe|approve|auto",
        "change how far Suture may go for a service",
        "mode shop observe",
        &[SERVICE, word("mode", "from now on: observe, approve or auto", Some(Slot::Mode), "observe")],
    ),
    change("stop", "stop [REASON]", "kill switch: nothing acts until `resume`", "stop deploy in progress", &[REASON]),
    change("resume", "resume", "end what `stop` began", "resume", &[]),
    read("whoami", "whoami", "who you are to Suture and what you may do", "whoami", &[]),
    read(
        "can",
        "can WHO VERB SERVICE",
        "may this person do that, and which rule is missing",
        "can me restart shop",
        &[
            word("who", "me, a mention, or an id like slack:U024BE7LH", Some(Slot::Person), "me"),
            word(
                "what",
                "a command, or scale, restart, traffic, isolate, cache, configure, flush",
                Some(Slot::Ability),
                "restart",
            ),
            SERVICE,
        ],
    ),
    read(
        "help",
        "help [COMMAND]",
        "this table, or one command of it",
        "help approve",
        &[optional(word("command", "which command", Some(Slot::Verb), "approve"))],
    ),
    read("quit", "quit", "leave the console", "quit", &[]),
];

/// The filters of `audit`, as typed.
pub const AUDIT_FILTERS: [&str; 10] =
    ["service", "actor", "kind", "action", "incident", "run", "since", "until", "limit", "page"];

const AUDIT_PARAMS: &[Param] = &[
    filter("service", "about this service", Some(Slot::Service), "shop"),
    filter("actor", "by this person: an id or a name", None, "anna"),
    filter("kind", "of this kind of event", None, "approved"),
    filter("action", "about this kind of action", Some(Slot::Action), "scale"),
    filter("incident", "of this incident", Some(Slot::Incident), "INC-1"),
    filter("run", "of this run", Some(Slot::Run), "RUN-1"),
    filter("since", "not before: so long ago, a day or a time", None, "1h"),
    filter("until", "not after: so long ago, a day or a time", None, "2026-11-02"),
    filter("limit", "how many to a page, at most 1000", None, "20"),
    filter("page", "which page; the first has the newest", None, "2"),
];

const SERVICE: Param = word("service", "the service", Some(Slot::Service), "shop");
const INCIDENT: Param = word("incident", "the incident: INC-1 or 1", Some(Slot::Incident), "INC-1");
const PENDING: Param =
    word("incident", "the incident; not needed while one question is open", Some(Slot::Pending), "INC-1");
const PLAYBOOK: Param = word("playbook", "the playbook", Some(Slot::Playbook), "scale-out");
const COMPONENT: Param = word("name", "the playbook or rule", Some(Slot::Playbook), "scale-out");
const MUTED: Param = word("what", "the service or incident", Some(Slot::ServiceOrIncident), "shop");
const EXPERIMENT: Param =
    word("experiment", "which experiment; `chaos list` has them", Some(Slot::Experiment), "latency");
const TRIAL: Param = word("experiment", "the experiment: EXP-1 or 1", Some(Slot::Trial), "EXP-1");
const REASON: Param = rest("reason", "why, for those who read it later", "too risky now");
const ARGS: Param = rest("args", "arguments of the playbook, each KEY=VALUE", "to=4");

/// One word that has to be there.
const fn word(name: &'static str, summary: &'static str, slot: Option<Slot>, example: &'static str) -> Param {
    Param { name, summary, required: true, form: ParamForm::Word, slot, example }
}

/// The same, and it may be left out.
const fn optional(param: Param) -> Param {
    Param { required: false, ..param }
}

/// A filter; all may be left out.
const fn filter(name: &'static str, summary: &'static str, slot: Option<Slot>, example: &'static str) -> Param {
    Param { name, summary, required: false, form: ParamForm::Filter, slot, example }
}

/// What is left of the line; all may be left out.
const fn rest(name: &'static str, summary: &'static str, example: &'static str) -> Param {
    Param { name, summary, required: false, form: ParamForm::Rest, slot: None, example }
}

/// A command that only looks.
const fn read(
    verb: &'static str,
    usage: &'static str,
    summary: &'static str,
    example: &'static str,
    params: &'static [Param],
) -> CommandHelp {
    CommandHelp { verb, usage, summary, example, changes: false, params }
}

/// A command that changes something.
const fn change(
    verb: &'static str,
    usage: &'static str,
    summary: &'static str,
    example: &'static str,
    params: &'static [Param],
) -> CommandHelp {
    CommandHelp { verb, usage, summary, example, changes: true, params }
}

/// The line of the table for a verb.
#[must_use]
pub fn help_for(verb: &str) -> Option<&'static CommandHelp> {
    COMMANDS.iter().find(|c| c.verb == verb)
}

/// The table as Markdown, for the README.
#[must_use]
pub fn commands_markdown() -> String {
    let mut out = String::from("| command | what it does | changes something |\n|---|---|---|\n");
    for c in COMMANDS {
        let usage = c.usage.replace('|', "\\|");
        let changes = if c.changes { "yes" } else { "" };
        out.push_str(&format!("| `{usage}` | {} | {changes} |\n", c.summary));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::parse;

    #[test]
    fn the_readme_has_this_table() {
        let readme = include_str!("../../../README.md");
        let table = commands_markdown();
        assert!(readme.contains(&table), "put this into README.md, under Commands:\n\n{table}");
    }

    /// The line as a platform with fields makes it.
    fn line(c: &CommandHelp, filled_in: impl Fn(&Param) -> bool) -> String {
        let parts = c.params.iter().filter(|p| filled_in(p)).map(|p| match p.form {
            ParamForm::Word | ParamForm::Rest => format!(" {}", p.example),
            ParamForm::Filter => format!(" {}:{}", p.name, p.example),
        });
        format!("{}{}", c.verb, parts.collect::<String>())
    }

    #[test]
    fn fields_filled_in_make_a_line_that_is_understood() {
        for c in COMMANDS {
            for filled_in in [|p: &Param| p.required, |_: &Param| true, |p: &Param| p.form != ParamForm::Rest] {
                let line = line(c, filled_in);
                let command = parse(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
                assert_eq!(command.verb(), c.verb, "{line}");
            }
            for alone in c.params.iter().filter(|p| p.form == ParamForm::Filter) {
                let line = line(c, |p| p.required || p == alone);
                assert_eq!(parse(&line).unwrap_or_else(|e| panic!("{line}: {e}")).verb(), c.verb, "{line}");
            }
        }
    }

    #[test]
    fn fields_keep_what_platforms_ask_of_them() {
        for c in COMMANDS {
            assert!(c.summary.chars().count() <= 100 && !c.summary.is_empty(), "{}", c.verb);
            assert!(c.params.len() <= 25, "{}", c.verb);
            let mut names: Vec<_> = c.params.iter().map(|p| p.name).collect();
            let given = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), given, "{}: a name twice", c.verb);
            let first_optional = c.params.iter().position(|p| !p.required).unwrap_or(given);
            assert!(c.params.iter().skip(first_optional).all(|p| !p.required), "{}: required first", c.verb);
            // What goes to the end of the line can only be the last.
            let to_the_end = c.params.iter().position(|p| p.form == ParamForm::Rest);
            assert!(to_the_end.is_none_or(|i| i + 1 == given), "{}", c.verb);
            for p in c.params {
                assert!((1..=32).contains(&p.name.len()), "{} {}", c.verb, p.name);
                assert!(p.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{} {}", c.verb, p.name);
                assert!((1..=100).contains(&p.summary.chars().count()), "{} {}", c.verb, p.name);
            }
        }
    }

    #[test]
    fn every_filter_of_an_audit_is_a_field() {
        let names: Vec<_> = AUDIT_PARAMS.iter().map(|p| p.name).collect();
        assert_eq!(names, AUDIT_FILTERS);
    }

    #[test]
    fn verbs_are_there_once_and_a_word_or_two_long() {
        for (i, c) in COMMANDS.iter().enumerate() {
            assert!((1..=2).contains(&c.verb.split(' ').count()), "{}", c.verb);
            assert!(COMMANDS.iter().skip(i + 1).all(|other| other.verb != c.verb), "{} twice", c.verb);
            assert!(c.usage.starts_with(c.verb), "{}", c.verb);
        }
    }
}

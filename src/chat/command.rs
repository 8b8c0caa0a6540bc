//! What people can ask for, as types, and the one table from which help, the README's table and completion are made.
//!
//! Text becomes a [`Command`] in `grammar` alone; whoever carries a command out never looks at text again.

use std::fmt;
use std::time::Duration;

use crate::model::{Args, IncidentId, Mode, RunId, ServiceId, Timestamp};

/// Something a person asked for.
///
/// `Display` gives the canonical form, which parses back to the same command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// How everything stands, or one service in detail.
    Status {
        /// One service; all when absent.
        service: Option<ServiceId>,
    },
    /// The open incidents.
    Incidents,
    /// One incident in full.
    Show {
        /// Which.
        incident: IncidentId,
    },
    /// Yes to the plan that is asked about.
    Approve {
        /// Which incident's; may be absent when only one question is open.
        incident: Option<IncidentId>,
    },
    /// No to the plan that is asked about.
    Reject {
        /// Which incident's; may be absent when only one question is open.
        incident: Option<IncidentId>,
        /// Why; may be empty.
        reason: String,
    },
    /// Take a run back.
    Rollback {
        /// Which.
        run: RunId,
        /// Why; may be empty.
        reason: String,
    },
    /// Accept an inconclusive run as it is.
    Keep {
        /// Which.
        run: RunId,
    },
    /// A fresh dry run for an incident.
    Plan {
        /// Which incident.
        incident: IncidentId,
        /// With this playbook; the rules choose when absent.
        playbook: Option<String>,
        /// Arguments of the playbook.
        args: Args,
    },
    /// End an incident by hand.
    Close {
        /// Which.
        incident: IncidentId,
        /// Why; may be empty.
        reason: String,
    },
    /// An incident was none: nothing was wrong.
    FalseAlarm {
        /// Which.
        incident: IncidentId,
        /// Why; may be empty.
        reason: String,
    },
    /// A service was changed on purpose and may look unusual for a time.
    Deployed {
        /// Which service.
        service: ServiceId,
        /// How long; as configured when absent.
        settle: Option<Duration>,
        /// What was deployed; may be empty.
        note: String,
    },
    /// A metric's course.
    Chart {
        /// Whose.
        service: ServiceId,
        /// Which metric.
        metric: String,
        /// How far back; a sensible span when absent.
        since: Option<Duration>,
    },
    /// The metrics of a service.
    Metrics {
        /// Whose.
        service: ServiceId,
    },
    /// The playbooks there are and what each may do.
    Playbooks,
    /// Take a changed component that is held.
    Accept {
        /// Its name.
        name: String,
        /// How the digest begins of the version that is meant; whatever is held when absent.
        digest: Option<String>,
    },
    /// Let a disabled component run again.
    Enable {
        /// Its name.
        name: String,
    },
    /// What happened, from the ledger.
    Audit(AuditQuery),
    /// Prove the ledger's chain.
    AuditVerify,
    /// Change how far Suture may go for a service.
    Mode {
        /// Which service.
        service: ServiceId,
        /// From now on.
        mode: Mode,
    },
    /// The kill switch: nothing acts from here on.
    Stop {
        /// Why; may be empty.
        reason: String,
    },
    /// The kill switch off again.
    Resume,
    /// Who Suture takes the person for, and what they may do.
    Whoami,
    /// The commands, or one of them.
    Help {
        /// A verb of [`COMMANDS`].
        verb: Option<String>,
    },
    /// Leave the console.
    Quit,
}

/// Which part of the ledger to show. Everything that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// About this service.
    pub service: Option<ServiceId>,
    /// By this person: an id (`console:anna`) or a name.
    pub actor: Option<String>,
    /// Of this kind: `approved`.
    pub kind: Option<String>,
    /// Of this incident.
    pub incident: Option<IncidentId>,
    /// Not before.
    pub since: Option<When>,
    /// Not after.
    pub until: Option<When>,
    /// At most so many, the newest.
    pub limit: Option<u32>,
}

/// A point in time as people give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So long ago: `1h`.
    Ago(Duration),
    /// Then: `2026-11-02T12:00:00Z`.
    At(Timestamp),
}

impl When {
    /// The point in time, seen from `now`.
    #[must_use]
    pub fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(ago) => now.minus(ago),
            Self::At(at) => at,
        }
    }
}

/// One line of the table of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandHelp {
    /// What it begins with; `audit verify` is the only one of two words.
    pub verb: &'static str,
    /// How it is written: capitals stand for something, brackets for what may be left out.
    pub usage: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// One that could be typed as it is.
    pub example: &'static str,
    /// Does it change something (and so needs the right to)?
    pub changes: bool,
    /// What its words stand for, in order, for completion.
    pub slots: &'static [Slot],
    /// The same as fields to fill in, for platforms that have such.
    pub params: &'static [Param],
}

/// One field of a command, for platforms where it is filled in and not typed. The fields in order, each as its form says,
/// make the line that is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param {
    /// Small letters and `-`, at most 32.
    pub name: &'static str,
    /// In one line, at most 100 characters.
    pub summary: &'static str,
    /// Must it be filled in? Those that must come first.
    pub required: bool,
    /// How it stands in the line.
    pub form: ParamForm,
    /// What it stands for, for completion.
    pub slot: Option<Slot>,
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
    /// A run.
    Run,
    /// A playbook.
    Playbook,
    /// `observe`, `approve` or `auto`.
    Mode,
    /// A verb.
    Verb,
    /// `service:`, `actor:` and so on.
    AuditFilter,
}

/// The filters of `audit`, as typed.
pub const AUDIT_FILTERS: [&str; 7] = ["service", "actor", "kind", "incident", "since", "until", "limit"];

/// All commands, in the order of the help.
pub const COMMANDS: &[CommandHelp] = &[
    read("status", "status [SERVICE]", "how every service stands, or one in detail", "status shop", &[Slot::Service]),
    read("incidents", "incidents", "the incidents that are open", "incidents", &[]),
    read("show", "show INCIDENT", "one incident in full", "show INC-1", &[Slot::Incident]),
    change("approve", "approve [INCIDENT]", "say yes to the plan that is asked about", "approve 1", &[Slot::Incident]),
    change(
        "reject",
        "reject [INCIDENT] [REASON]",
        "say no to the plan that is asked about",
        "reject 1 too risky now",
        &[Slot::Incident],
    ),
    change("rollback", "rollback RUN [REASON]", "take a run back", "rollback RUN-1 made it worse", &[Slot::Run]),
    change("keep", "keep RUN", "accept an inconclusive run as it is", "keep RUN-1", &[Slot::Run]),
    change(
        "plan",
        "plan INCIDENT [PLAYBOOK [KEY=VALUE ...]]",
        "make a fresh dry run for an incident",
        "plan INC-1 scale-out to=4",
        &[Slot::Incident, Slot::Playbook],
    ),
    change(
        "close",
        "close INCIDENT [REASON]",
        "end an incident by hand",
        "close INC-1 a planned load test",
        &[Slot::Incident],
    ),
    change(
        "false-alarm",
        "false-alarm INCIDENT [REASON]",
        "say that nothing was wrong; the model heeds it",
        "false-alarm INC-1 the nightly backup",
        &[Slot::Incident],
    ),
    change(
        "deployed",
        "deployed SERVICE [FOR] [NOTE]",
        "say that a service changes; the model is quiet meanwhile",
        "deployed shop 10m \"release 1.4\"",
        &[Slot::Service],
    ),
    read(
        "chart",
        "chart SERVICE METRIC [SPAN]",
        "the course of a metric",
        "chart shop latency_p95 5m",
        &[Slot::Service, Slot::Metric],
    ),
    read("metrics", "metrics SERVICE", "the metrics of a service", "metrics shop", &[Slot::Service]),
    read("playbooks", "playbooks", "the playbooks, what each may do and how it stands", "playbooks", &[]),
    change(
        "accept",
        "accept NAME [DIGEST]",
        "take a changed playbook or rule that is held",
        "accept scale-out",
        &[Slot::Playbook],
    ),
    change(
        "enable",
        "enable NAME",
        "let a playbook or rule run again that was disabled after faults",
        "enable scale-out",
        &[Slot::Playbook],
    ),
    read(
        "audit",
        "audit [service:NAME] [actor:WHO] [kind:KIND] [incident:INCIDENT] [since:WHEN] [until:WHEN] [limit:N]",
        "what happened, from the ledger",
        "audit service:shop since:1h",
        &[Slot::AuditFilter],
    ),
    read("audit verify", "audit verify", "prove that the ledger was not changed", "audit verify", &[]),
    change(
        "mode",
        "mode SERVICE observe|approve|auto",
        "change how far Suture may go for a service",
        "mode shop observe",
        &[Slot::Service, Slot::Mode],
    ),
    change("stop", "stop [REASON]", "kill switch: nothing acts until `resume`", "stop deploy in progress", &[]),
    change("resume", "resume", "end what `stop` began", "resume", &[]),
    read("whoami", "whoami", "who you are to Suture and what you may do", "whoami", &[]),
    read("help", "help [COMMAND]", "this table, or one command of it", "help approve", &[Slot::Verb]),
    read("quit", "quit", "leave the console", "quit", &[]),
];

/// A command that only looks.
const fn read(
    verb: &'static str,
    usage: &'static str,
    summary: &'static str,
    example: &'static str,
    slots: &'static [Slot],
) -> CommandHelp {
    CommandHelp { verb, usage, summary, example, changes: false, slots, params: &[] }
}

/// A command that changes something.
const fn change(
    verb: &'static str,
    usage: &'static str,
    summary: &'static str,
    example: &'static str,
    slots: &'static [Slot],
) -> CommandHelp {
    CommandHelp { verb, usage, summary, example, changes: true, slots, params: &[] }
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

impl Command {
    /// Its verb, as it stands in [`COMMANDS`].
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::Incidents => "incidents",
            Self::Show { .. } => "show",
            Self::Approve { .. } => "approve",
            Self::Reject { .. } => "reject",
            Self::Rollback { .. } => "rollback",
            Self::Keep { .. } => "keep",
            Self::Plan { .. } => "plan",
            Self::Close { .. } => "close",
            Self::FalseAlarm { .. } => "false-alarm",
            Self::Deployed { .. } => "deployed",
            Self::Chart { .. } => "chart",
            Self::Metrics { .. } => "metrics",
            Self::Playbooks => "playbooks",
            Self::Accept { .. } => "accept",
            Self::Enable { .. } => "enable",
            Self::Audit(_) => "audit",
            Self::AuditVerify => "audit verify",
            Self::Mode { .. } => "mode",
            Self::Stop { .. } => "stop",
            Self::Resume => "resume",
            Self::Whoami => "whoami",
            Self::Help { .. } => "help",
            Self::Quit => "quit",
        }
    }

    /// Does it change anything but what is on the screen? Only such commands need a right and are recorded.
    #[must_use]
    pub fn changes_something(&self) -> bool {
        // A verb that is missing in the table would be a mistake; to ask for a right too much is the safe side.
        help_for(self.verb()).is_none_or(|c| c.changes)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verb())?;
        match self {
            Self::Status { service } => optional(f, service.as_ref()),
            Self::Show { incident } => write!(f, " {incident}"),
            Self::Approve { incident } => optional(f, incident.as_ref()),
            Self::Reject { incident, reason } => {
                optional(f, incident.as_ref())?;
                because(f, reason)
            }
            Self::Rollback { run, reason } => {
                write!(f, " {run}")?;
                because(f, reason)
            }
            Self::Keep { run } => write!(f, " {run}"),
            Self::Plan { incident, playbook, args } => {
                write!(f, " {incident}")?;
                optional(f, playbook.as_ref())?;
                args.iter().try_for_each(|(key, value)| write!(f, " {key}={}", quoted_if_needed(value)))
            }
            Self::Close { incident, reason } | Self::FalseAlarm { incident, reason } => {
                write!(f, " {incident}")?;
                because(f, reason)
            }
            Self::Deployed { service, settle, note } => {
                write!(f, " {service}")?;
                optional(f, settle.map(span).as_ref())?;
                because(f, note)
            }
            Self::Chart { service, metric, since } => {
                write!(f, " {service} {metric}")?;
                optional(f, since.map(span).as_ref())
            }
            Self::Metrics { service } => write!(f, " {service}"),
            Self::Accept { name, digest } => {
                write!(f, " {name}")?;
                optional(f, digest.as_ref())
            }
            Self::Enable { name } => write!(f, " {name}"),
            Self::Audit(query) => write!(f, "{query}"),
            Self::Mode { service, mode } => write!(f, " {service} {mode}"),
            Self::Stop { reason } => because(f, reason),
            Self::Help { verb } => optional(f, verb.as_ref()),
            Self::Incidents | Self::Playbooks | Self::AuditVerify | Self::Resume | Self::Whoami | Self::Quit => Ok(()),
        }
    }
}

/// Each filter with a space before it.
impl fmt::Display for AuditQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(service) = &self.service {
            write!(f, " service:{service}")?;
        }
        if let Some(actor) = &self.actor {
            write!(f, " actor:{}", quoted_if_needed(actor))?;
        }
        if let Some(kind) = &self.kind {
            write!(f, " kind:{kind}")?;
        }
        if let Some(incident) = self.incident {
            write!(f, " incident:{incident}")?;
        }
        if let Some(since) = self.since {
            write!(f, " since:{since}")?;
        }
        if let Some(until) = self.until {
            write!(f, " until:{until}")?;
        }
        self.limit.map_or(Ok(()), |limit| write!(f, " limit:{limit}"))
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ago(ago) => f.write_str(&span(*ago)),
            Self::At(at) => write!(f, "{at}"),
        }
    }
}

fn optional<T: fmt::Display>(f: &mut fmt::Formatter<'_>, word: Option<&T>) -> fmt::Result {
    word.map_or(Ok(()), |word| write!(f, " {word}"))
}

/// A reason is always quoted, so that "5 minutes too late" is not taken for incident 5.
fn because(f: &mut fmt::Formatter<'_>, reason: &str) -> fmt::Result {
    if reason.is_empty() { Ok(()) } else { write!(f, " {}", quoted(reason)) }
}

/// `1h30m`: one word, where the library writes `1h 30m`.
fn span(d: Duration) -> String {
    humantime::format_duration(d).to_string().replace(' ', "")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn quoted_if_needed(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@+,%".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { quoted(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_this_table() {
        let readme = include_str!("../../README.md");
        let table = commands_markdown();
        assert!(readme.contains(&table), "put this into README.md, under Commands:\n\n{table}");
    }
}

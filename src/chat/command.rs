//! What people can ask for, as types, and the one table from which help, the README's table and completion are made.
//!
//! Text becomes a [`Command`] in `grammar` alone; whoever carries a command out never looks at text again.

mod table;

use std::fmt;
use std::time::Duration;

pub use table::{AUDIT_FILTERS, COMMANDS, CommandHelp, Param, ParamForm, Slot, commands_markdown, help_for};

use crate::model::{ActionKind, Args, ExperimentId, IncidentId, Mode, RunId, ServiceId, Timestamp};

/// How long `mute` lasts when nobody says.
pub const USUAL_MUTE: Duration = Duration::from_secs(3600);

/// The longest that one `mute` lasts. Silence that somebody forgot must not hide the next day.
pub const LONGEST_MUTE: Duration = Duration::from_secs(24 * 3600);

/// The longest that one injected fault lasts. Who forgets it has a sick service for no longer.
pub const LONGEST_FAULT: Duration = Duration::from_secs(3600);

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
        /// The one-time code, where one was asked for. Not in the canonical form: that is written down.
        code: Option<OneTimeCode>,
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
        of: RunOrIncident,
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
    /// What a playbook would do to a service, and nothing more. Also written `plan PLAYBOOK SERVICE`.
    DryRun {
        /// Which playbook.
        playbook: String,
        /// To which service.
        service: ServiceId,
        /// Arguments of the playbook.
        args: Args,
    },
    /// Have a playbook planned for a service and, when that is approved, run.
    Run {
        /// Which playbook.
        playbook: String,
        /// On which service.
        service: ServiceId,
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
    /// No messages about something for a time.
    Mute {
        /// About what.
        what: ServiceOrIncident,
        /// How long, at most [`LONGEST_MUTE`]; [`USUAL_MUTE`] when nobody says.
        span: Duration,
    },
    /// Messages about it again.
    Unmute {
        /// About what.
        what: ServiceOrIncident,
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
    /// The same as a file.
    AuditCsv(AuditQuery),
    /// Prove the ledger's chain.
    AuditVerify,
    /// The experiments there are, and those that are under way.
    ChaosList,
    /// An experiment in full.
    ChaosDescribe {
        /// Its name.
        name: String,
    },
    /// What an experiment would do: a dry run.
    ChaosPlan {
        /// Its name.
        name: String,
        /// On which service; the experiment's own, or the only one, when absent.
        service: Option<ServiceId>,
    },
    /// Have an experiment approved and run.
    ChaosRun {
        /// Its name.
        name: String,
        /// On which service; the experiment's own, or the only one, when absent.
        service: Option<ServiceId>,
        /// How long each fault stays in, at most [`LONGEST_FAULT`]; as the experiment says when absent.
        span: Option<Duration>,
    },
    /// Say yes to an experiment.
    ChaosApprove {
        /// To which; to the only one that asks when absent.
        experiment: Option<ExperimentId>,
    },
    /// Say no to an experiment.
    ChaosReject {
        /// To which; to the only one that asks when absent.
        experiment: Option<ExperimentId>,
        /// Why; may be empty.
        reason: String,
    },
    /// End experiments now, with everything taken out.
    ChaosStop {
        /// Which; all when absent.
        what: Option<ExperimentOr<ServiceId>>,
    },
    /// What became of experiments.
    ChaosReport {
        /// Of which, or of all with this name; all when absent.
        what: Option<ExperimentOr<String>>,
    },
    /// How the healing did over all experiments.
    ChaosScore,
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
    /// May this person do that?
    Can {
        /// Who.
        who: Who,
        /// A verb of [`COMMANDS`] or the name of an [`ActionKind`].
        what: String,
        /// To which service.
        service: ServiceId,
    },
    /// The commands, or one of them.
    Help {
        /// A verb of [`COMMANDS`].
        verb: Option<String>,
    },
    /// Leave the console.
    Quit,
}

/// A run as people name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOrIncident {
    /// This one: `RUN-3` or `3`.
    Run(RunId),
    /// The last run of this incident: `INC-7`.
    LastOf(IncidentId),
}

impl fmt::Display for RunOrIncident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(run) => write!(f, "{run}"),
            Self::LastOf(incident) => write!(f, "{incident}"),
        }
    }
}

/// One experiment that was asked for, or a name: of a service, or of an experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExperimentOr<T> {
    /// This one: `EXP-3` or `3`.
    One(ExperimentId),
    /// All of this name.
    All(T),
}

impl<T: fmt::Display> fmt::Display for ExperimentOr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(id) => write!(f, "{id}"),
            Self::All(name) => {
                // A name that looks like a number is told from one by its quotes.
                let name = name.to_string();
                let is_like_an_id = super::grammar::number_behind("exp-", &name).is_some();
                if is_like_an_id { write!(f, "\"{name}\"") } else { f.write_str(&name) }
            }
        }
    }
}

/// What can be muted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceOrIncident {
    /// Everything about a service.
    Service(ServiceId),
    /// One incident: `INC-7` or `7`.
    Incident(IncidentId),
}

impl fmt::Display for ServiceOrIncident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service) => write!(f, "{service}"),
            Self::Incident(incident) => write!(f, "{incident}"),
        }
    }
}

/// A person as people name them. Never by a name to show: anybody can take any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Who asks.
    Me,
    /// The platform's own id, from a mention: `U024BE7LH`. The platform is the one where it was said.
    Mention(String),
    /// An id with its platform: `slack:U024BE7LH`, `unix:1000`.
    Id(String),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Me => f.write_str("me"),
            Self::Mention(id) => write!(f, "<@{id}>"),
            Self::Id(id) => f.write_str(id),
        }
    }
}

/// A one-time code: six to eight digits. Neither `Debug` nor a command's `Display` says which.
#[derive(Clone, PartialEq, Eq)]
pub struct OneTimeCode(String);

impl OneTimeCode {
    /// The code, if it is one.
    #[must_use]
    pub fn new(digits: &str) -> Option<Self> {
        let is_one = (6..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        is_one.then(|| Self(digits.to_owned()))
    }

    /// The digits, for the moment of their use.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OneTimeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimeCode(hidden)")
    }
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
    /// About this kind of action.
    pub action: Option<ActionKind>,
    /// Of this incident.
    pub incident: Option<IncidentId>,
    /// Of this run.
    pub run: Option<RunId>,
    /// Not before.
    pub since: Option<When>,
    /// Not after.
    pub until: Option<When>,
    /// So many to a page, 1 to 1000.
    pub limit: Option<u32>,
    /// Which page, from 1, which has the newest.
    pub page: Option<u32>,
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
            Self::DryRun { .. } => "dry-run",
            Self::Run { .. } => "run",
            Self::Close { .. } => "close",
            Self::FalseAlarm { .. } => "false-alarm",
            Self::Deployed { .. } => "deployed",
            Self::Mute { .. } => "mute",
            Self::Unmute { .. } => "unmute",
            Self::Chart { .. } => "chart",
            Self::Metrics { .. } => "metrics",
            Self::Playbooks => "playbooks",
            Self::Accept { .. } => "accept",
            Self::Enable { .. } => "enable",
            Self::Audit(_) => "audit",
            Self::AuditCsv(_) => "audit csv",
            Self::AuditVerify => "audit verify",
            Self::ChaosList => "chaos list",
            Self::ChaosDescribe { .. } => "chaos describe",
            Self::ChaosPlan { .. } => "chaos plan",
            Self::ChaosRun { .. } => "chaos run",
            Self::ChaosApprove { .. } => "chaos approve",
            Self::ChaosReject { .. } => "chaos reject",
            Self::ChaosScore => "chaos score",
            Self::ChaosStop { .. } => "chaos stop",
            Self::ChaosReport { .. } => "chaos report",
            Self::Mode { .. } => "mode",
            Self::Stop { .. } => "stop",
            Self::Resume => "resume",
            Self::Whoami => "whoami",
            Self::Can { .. } => "can",
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
            Self::ChaosDescribe { name } => write!(f, " {name}"),
            Self::ChaosPlan { name, service } => {
                write!(f, " {name}")?;
                optional(f, service.as_ref())
            }
            Self::ChaosApprove { experiment } => optional(f, experiment.as_ref()),
            Self::ChaosReject { experiment, reason } => {
                optional(f, experiment.as_ref())?;
                because(f, reason)
            }
            Self::ChaosStop { what } => optional(f, what.as_ref()),
            Self::ChaosReport { what } => optional(f, what.as_ref()),
            Self::Show { incident } => write!(f, " {incident}"),
            Self::Approve { incident, code: _ } => optional(f, incident.as_ref()),
            Self::Reject { incident, reason } => {
                optional(f, incident.as_ref())?;
                because(f, reason)
            }
            Self::Rollback { of, reason } => {
                write!(f, " {of}")?;
                because(f, reason)
            }
            Self::Keep { run } => write!(f, " {run}"),
            Self::Plan { incident, playbook, args } => {
                write!(f, " {incident}")?;
                optional(f, playbook.as_ref())?;
                with_args(f, args)
            }
            Self::DryRun { playbook, service, args } | Self::Run { playbook, service, args } => {
                write!(f, " {playbook} {service}")?;
                with_args(f, args)
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
            Self::Mute { what, span: for_so_long } => write!(f, " {what} {}", span(*for_so_long)),
            Self::Unmute { what } => write!(f, " {what}"),
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
            Self::Audit(query) | Self::AuditCsv(query) => write!(f, "{query}"),
            Self::ChaosRun { name, service, span: for_so_long } => {
                write!(f, " {name}")?;
                optional(f, service.as_ref())?;
                for_so_long.map_or(Ok(()), |for_so_long| write!(f, " for:{}", span(for_so_long)))
            }
            Self::Mode { service, mode } => write!(f, " {service} {mode}"),
            Self::Stop { reason } => because(f, reason),
            Self::Can { who, what, service } => write!(f, " {who} {what} {service}"),
            Self::Help { verb } => optional(f, verb.as_ref()),
            Self::Incidents
            | Self::Playbooks
            | Self::AuditVerify
            | Self::ChaosList
            | Self::ChaosScore
            | Self::Resume
            | Self::Whoami
            | Self::Quit => Ok(()),
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
        if let Some(action) = self.action {
            write!(f, " action:{action}")?;
        }
        if let Some(incident) = self.incident {
            write!(f, " incident:{incident}")?;
        }
        if let Some(run) = self.run {
            write!(f, " run:{run}")?;
        }
        if let Some(since) = self.since {
            write!(f, " since:{since}")?;
        }
        if let Some(until) = self.until {
            write!(f, " until:{until}")?;
        }
        if let Some(limit) = self.limit {
            write!(f, " limit:{limit}")?;
        }
        self.page.map_or(Ok(()), |page| write!(f, " page:{page}"))
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

fn with_args(f: &mut fmt::Formatter<'_>, args: &Args) -> fmt::Result {
    args.iter().try_for_each(|(key, value)| write!(f, " {key}={}", quoted_if_needed(value)))
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

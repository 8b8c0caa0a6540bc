//! Text to [`Command`]: one grammar for the console, `suture ctl`, Slack and Discord.
//!
//! Pure, total (no text makes it panic) and strict: what is not understood is refused with the word, its column, the
//! usage and the nearest thing that would be. It must never guess at anything that changes something. Forgiving only
//! where phones and chat clients change what was typed: curly quotes, non-breaking spaces, long dashes, capitals, a
//! `/suture` or a mention in front. What a platform escapes (`&lt;`), its adapter has resolved before.

mod cursor;

use std::time::Duration;

use self::cursor::{Cursor, Word};
use super::clean;
use super::command::{
    AUDIT_FILTERS, AuditQuery, COMMANDS, Command, ExperimentOr, LONGEST_FAULT, LONGEST_MUTE, OneTimeCode,
    RunOrIncident, ServiceOrIncident, USUAL_MUTE, When, Who, help_for,
};
use crate::model::{ActionKind, Args, ExperimentId, IncidentId, LONGEST_SETTLE, Mode, RunId, ServiceId, Timestamp};

/// Longest command, in characters: a long message by chat standards, and nothing a command needs.
pub const MAX_CHARS: usize = 2000;
/// Longest reason, in characters: a sentence or three; longer belongs in the thread.
pub const MAX_REASON_CHARS: usize = 500;
/// Longest name of a service, metric, playbook, key or person, in characters.
const MAX_NAME_CHARS: usize = 128;
/// Beyond it no ledger has a page: a typing mistake.
const MAX_PAGE: u32 = 1_000_000;
/// Most arguments of one playbook.
const MAX_ARGS: usize = 16;
/// Longest span to look back: beyond it a typing mistake is likelier than a wish.
const MAX_SPAN: Duration = Duration::from_secs(10 * 366 * 86_400);

/// A text that is not a command: what is wrong, where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub problem: Problem,
    /// The word that is wrong, safe to show, at most 40 characters; empty where one is missing.
    pub word: String,
    /// Where it begins, in characters from 1.
    pub column: usize,
    /// How the command is written, where it is known which one was meant.
    pub usage: Option<&'static str>,
    /// The nearest thing that would be understood.
    pub suggestion: Option<String>,
}

/// The ways in which a text is not a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Nothing was said.
    #[error("nothing to do: type `help` for what there is")]
    Empty,
    /// More than [`MAX_CHARS`].
    #[error("this is longer than the {MAX_CHARS} characters a command may have")]
    TooLong,
    /// A character that is not seen.
    #[error("there is a hidden character ({0}): type the command instead of pasting it")]
    Hidden(String),
    /// No such verb.
    #[error("is not a command")]
    UnknownCommand,
    /// The command needs another word.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Not an id of the kind that is needed.
    #[error("is not {0}")]
    Not(&'static str),
    /// A word more than the command takes.
    #[error("is too much here")]
    TooMuch,
    /// The same key or filter again.
    #[error("was already given")]
    Twice,
    /// A quote that is not closed.
    #[error("opens a quote that is not closed")]
    Unclosed,
    /// More than [`MAX_REASON_CHARS`].
    #[error("begins a reason of more than {MAX_REASON_CHARS} characters")]
    ReasonTooLong,
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.problem, self.word.is_empty()) {
            (Problem::Empty | Problem::TooLong, _) => write!(f, "{}", self.problem)?,
            (Problem::Hidden(_) | Problem::Missing(_), _) | (_, true) => {
                write!(f, "{} (column {})", self.problem, self.column)?;
            }
            _ => write!(f, "`{}` (column {}) {}", self.word, self.column, self.problem)?,
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; did you mean `{suggestion}`?")?;
        }
        self.usage.map_or(Ok(()), |usage| write!(f, "\nusage: {usage}"))
    }
}

impl std::error::Error for ParseError {}

/// Reads one command.
///
/// # Errors
/// [`ParseError`] when the text is not exactly one command.
pub fn parse(text: &str) -> Result<Command, ParseError> {
    let chars = normalised(text)?;
    let mut words = Cursor::new(&chars);
    let mut first = words.next()?.ok_or_else(|| error(Problem::Empty, "", 1))?;
    // A mention, and then perhaps a name. Which mention it is, the adapter knows: it hands in what was said to us.
    for is_ours in [is_mention, is_our_name] {
        if !first.quoted && is_ours(&first.text) {
            match words.next()? {
                Some(word) => first = word,
                None => return Ok(Command::Help { verb: None }),
            }
        }
    }
    let verb = match first.text.to_lowercase().as_str() {
        "exit" => "quit".to_owned(),
        "?" => "help".to_owned(),
        verb => verb.to_owned(),
    };
    if verb == "chaos" && !first.quoted {
        return chaos(&mut words);
    }
    let help = help_for(&verb).filter(|_| !first.quoted).ok_or_else(|| ParseError {
        suggestion: nearest_verb(&verb),
        ..error(Problem::UnknownCommand, &first.text, first.column)
    })?;
    command(help.verb, &mut words).map_err(|e| ParseError { usage: e.usage.or(Some(help.usage)), ..e })
}

/// Is it a mention of somebody, as Slack (`<@U123>`, `<@U123|name>`) and Discord (`<@123>`, `<@!123>`) write it?
pub(super) fn is_mention(text: &str) -> bool {
    mentioned(text).is_some()
}

/// `/suture`, `suture,`, `@Suture:`.
pub(super) fn is_our_name(text: &str) -> bool {
    matches!(text.to_lowercase().trim_end_matches([':', ',']), "/suture" | "suture" | "@suture")
}

/// The id that is mentioned.
pub(super) fn mentioned(text: &str) -> Option<&str> {
    let inside = text.trim_end_matches([':', ',']).strip_prefix("<@")?.strip_suffix('>')?;
    let inside = inside.strip_prefix('!').unwrap_or(inside);
    let id = inside.split_once('|').map_or(inside, |(id, _)| id);
    let is_one = (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    is_one.then_some(id)
}

/// The rest of a command whose verb is known.
fn command(verb: &str, words: &mut Cursor<'_>) -> Result<Command, ParseError> {
    let command = match verb {
        "status" => Command::Status { service: words.next()?.map(service).transpose()? },
        "incidents" => Command::Incidents,
        "show" => Command::Show { incident: shown(needed(words, "the incident")?)? },
        "approve" => return approve(words),
        "reject" if is_an_experiment(words) => {
            Command::ChaosReject { experiment: leading_experiment(words)?, reason: reason(words)? }
        }
        "reject" => Command::Reject { incident: leading_incident(words)?, reason: reason(words)? },
        "rollback" => {
            Command::Rollback { of: run_or_incident(needed(words, "the run or incident")?)?, reason: reason(words)? }
        }
        "keep" => Command::Keep { run: run(needed(words, "the run")?)? },
        "plan" => return plan(words),
        "dry-run" => dry_run(words)?,
        "run" => Command::Run { playbook: playbook(words)?, service: needed_service(words)?, args: args(words)? },
        "close" => Command::Close { incident: incident(needed(words, "the incident")?)?, reason: reason(words)? },
        "false-alarm" => {
            Command::FalseAlarm { incident: incident(needed(words, "the incident")?)?, reason: reason(words)? }
        }
        "deployed" => {
            Command::Deployed { service: needed_service(words)?, settle: leading_settle(words)?, note: reason(words)? }
        }
        "mute" => Command::Mute {
            what: service_or_incident(needed(words, "the service or incident")?)?,
            span: words.next()?.map(mute_span).transpose()?.unwrap_or(USUAL_MUTE),
        },
        "unmute" => Command::Unmute { what: service_or_incident(needed(words, "the service or incident")?)? },
        "chart" => Command::Chart {
            service: needed_service(words)?,
            metric: name(needed(words, "the metric (`metrics SERVICE` lists them)")?, "the name of a metric")?,
            since: words.next()?.map(|w| span(&w, &w.text)).transpose()?,
        },
        "metrics" => Command::Metrics { service: needed_service(words)? },
        "playbooks" => Command::Playbooks,
        "accept" => Command::Accept {
            name: name(needed(words, "the playbook or rule")?, "the name of a playbook or rule")?,
            digest: words.next()?.map(digest).transpose()?,
        },
        "enable" => {
            Command::Enable { name: name(needed(words, "the playbook or rule")?, "the name of a playbook or rule")? }
        }
        "audit" => return audit(words),
        "mode" => Command::Mode {
            service: needed_service(words)?,
            mode: mode(&needed(words, "the mode (observe, approve or auto)")?)?,
        },
        "stop" => Command::Stop { reason: reason(words)? },
        "resume" => Command::Resume,
        "whoami" => Command::Whoami,
        "can" => Command::Can {
            who: who(&needed(words, "the person")?)?,
            what: ability(words)?,
            service: needed_service(words)?,
        },
        "help" => return help(words),
        _ => Command::Quit,
    };
    finished(words).map(|()| command)
}

/// What can follow `chaos`.
const CHAOS: [&str; 9] = ["list", "describe", "plan", "run", "approve", "reject", "stop", "report", "score"];

/// `chaos` and what follows: `chaos` alone is no command.
fn chaos(words: &mut Cursor<'_>) -> Result<Command, ParseError> {
    const USAGE: &str = "chaos list|describe|plan|run|approve|reject|stop|report|score";
    let Some(word) = words.next()? else {
        let problem =
            Problem::Missing("what to do (list, describe, plan, run, approve, reject, stop, report or score)");
        return Err(ParseError { usage: Some(USAGE), ..error(problem, "", words.column()) });
    };
    let lower = word.text.to_lowercase();
    let help = help_for(&format!("chaos {lower}")).filter(|_| !word.quoted).ok_or_else(|| ParseError {
        usage: Some(USAGE),
        suggestion: nearest(&lower, CHAOS.into_iter()).map(|nearest| format!("chaos {nearest}")),
        ..error(
            Problem::Not("one of list, describe, plan, run, approve, reject, stop, report and score"),
            &word.text,
            word.column,
        )
    })?;
    chaos_verb(help.verb, words)
        .and_then(|command| finished(words).map(|()| command))
        .map_err(|e| ParseError { usage: e.usage.or(Some(help.usage)), ..e })
}

fn chaos_verb(verb: &str, words: &mut Cursor<'_>) -> Result<Command, ParseError> {
    Ok(match verb {
        "chaos describe" => Command::ChaosDescribe { name: experiment_name(words)? },
        "chaos plan" => Command::ChaosPlan { name: experiment_name(words)?, service: on_service(words)? },
        "chaos run" => return chaos_run(words),
        "chaos approve" => Command::ChaosApprove { experiment: leading_experiment(words)? },
        "chaos reject" => Command::ChaosReject { experiment: leading_experiment(words)?, reason: reason(words)? },
        "chaos stop" => {
            Command::ChaosStop { what: words.next()?.map(|word| experiment_or(word, service)).transpose()? }
        }
        "chaos report" => Command::ChaosReport {
            what: words
                .next()?
                .map(|word| experiment_or(word, |w| name(w, "the name of an experiment")))
                .transpose()?,
        },
        "chaos score" => Command::ChaosScore,
        _ => Command::ChaosList,
    })
}

fn experiment_name(words: &mut Cursor<'_>) -> Result<String, ParseError> {
    name(needed(words, "the experiment (`chaos list` has them)")?, "the name of an experiment")
}

/// `[on] SERVICE`, if there is one.
fn on_service(words: &mut Cursor<'_>) -> Result<Option<ServiceId>, ParseError> {
    let mut ahead = words.clone();
    let Some(word) = ahead.next()? else { return Ok(None) };
    if word.text.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case("for")) && !word.quoted {
        return Ok(None);
    }
    *words = ahead;
    if word.text.eq_ignore_ascii_case("on") && !word.quoted {
        return needed_service(words).map(Some);
    }
    service(word).map(Some)
}

fn chaos_run(words: &mut Cursor<'_>) -> Result<Command, ParseError> {
    let name = experiment_name(words)?;
    let service = on_service(words)?;
    let Some(word) = words.next()? else { return Ok(Command::ChaosRun { name, service, span: None }) };
    let wrong = || error(Problem::Not("a time of at most 1h, like for:30s"), &word.text, word.column);
    let (key, value) = word.text.split_once(':').filter(|_| !word.quoted).ok_or_else(wrong)?;
    if !key.eq_ignore_ascii_case("for") {
        return Err(wrong());
    }
    let span = span(&word, value).ok().filter(|d| *d <= LONGEST_FAULT).ok_or_else(wrong)?;
    Ok(Command::ChaosRun { name, service, span: Some(span) })
}

/// Is an experiment named next: `EXP-3`?
fn is_an_experiment(words: &Cursor<'_>) -> bool {
    let word = words.clone().next_lenient();
    word.is_some_and(|word| !word.quoted && word.text.to_ascii_lowercase().replace(DASHES, "-").starts_with("exp-"))
}

fn experiment(word: &Word) -> Result<ExperimentId, ParseError> {
    number_behind("exp-", &word.text)
        .filter(|_| !word.quoted)
        .map(ExperimentId)
        .ok_or_else(|| error(Problem::Not("an experiment like EXP-1 or 1"), &word.text, word.column))
}

/// The experiment in front of a reason, if there is one.
fn leading_experiment(words: &mut Cursor<'_>) -> Result<Option<ExperimentId>, ParseError> {
    let mut ahead = words.clone();
    let Some(word) = ahead.next_lenient() else { return Ok(None) };
    if word.quoted || !(looks_like_an_id(&word) || is_an_experiment(words)) {
        return Ok(None);
    }
    *words = ahead;
    experiment(&word).map(Some)
}

fn experiment_or<T>(
    word: Word,
    named: impl FnOnce(Word) -> Result<T, ParseError>,
) -> Result<ExperimentOr<T>, ParseError> {
    match experiment(&word) {
        Ok(id) => Ok(ExperimentOr::One(id)),
        Err(_) => named(word).map(ExperimentOr::All),
    }
}

/// `approve [INCIDENT] [code:NNNNNN]`. No error here repeats digits that may be a code: errors are shown to others.
fn approve(words: &mut Cursor<'_>) -> Result<Command, ParseError> {
    if is_an_experiment(words) {
        let experiment = leading_experiment(words)?;
        return Ok(Command::ChaosApprove { experiment });
    }
    let (mut about, mut code) = (None, None);
    while let Some(word) = words.next()? {
        let text = word.text.to_lowercase();
        let given = text.split_once(':').filter(|(key, _)| *key == "code" && !word.quoted);
        if let Some((_, digits)) = given {
            if code.is_some() {
                return Err(error(Problem::Twice, "code:", word.column));
            }
            let wrong = || error(Problem::Not("a one-time code: six to eight digits"), "code:...", word.column);
            code = Some(OneTimeCode::new(digits.trim()).ok_or_else(wrong)?);
        } else if may_be_a_code(&text) {
            let what = "clear: write INC- in front of an incident and code: in front of a one-time code";
            return Err(error(Problem::Not(what), "(digits)", word.column));
        } else if about.is_some() {
            let word_shown = if text.bytes().all(|b| b.is_ascii_digit()) { "(digits)" } else { &word.text };
            return Err(error(Problem::TooMuch, word_shown, word.column));
        } else {
            about = Some(incident(word)?);
        }
    }
    Ok(Command::Approve { incident: about, code })
}

/// A code without `code:` would be taken for an incident, and written down.
fn may_be_a_code(text: &str) -> bool {
    OneTimeCode::new(text.trim_matches(['#', '"'])).is_some()
}

/// `plan INCIDENT ...`, or `plan PLAYBOOK SERVICE ...`, which is a dry run. The first word tells them apart.
fn plan(words: &mut Cursor<'_>) -> Result<Command, ParseError> {
    let mut ahead = words.clone();
    let first = needed(&mut ahead, "the incident or playbook")?;
    if !looks_like_an_id(&first) && first.text.chars().any(char::is_alphabetic) {
        return dry_run(words).map_err(|e| used("dry-run", e));
    }
    Ok(Command::Plan {
        incident: incident(needed(words, "the incident or playbook")?)?,
        playbook: words.next()?.map(|w| name(w, "the name of a playbook")).transpose()?,
        args: args(words)?,
    })
}

fn dry_run(words: &mut Cursor<'_>) -> Result<Command, ParseError> {
    Ok(Command::DryRun { playbook: playbook(words)?, service: needed_service(words)?, args: args(words)? })
}

/// Nothing may follow.
fn finished(words: &mut Cursor<'_>) -> Result<(), ParseError> {
    match words.next()? {
        Some(word) => Err(error(Problem::TooMuch, &word.text, word.column)),
        None => Ok(()),
    }
}

fn needed(words: &mut Cursor<'_>, what: &'static str) -> Result<Word, ParseError> {
    words.next()?.ok_or_else(|| error(Problem::Missing(what), "", words.column()))
}

/// What phones make of a dash.
const DASHES: [char; 6] = ['\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}', '\u{2212}'];

/// `7`, `INC-7`, `inc-7`, `#7`; counted from 1.
pub(super) fn number_behind(prefix: &str, text: &str) -> Option<u64> {
    let text = text.replace(DASHES, "-");
    let lower = text.to_ascii_lowercase();
    let digits = lower.strip_prefix(prefix).or_else(|| lower.strip_prefix('#')).unwrap_or(&lower);
    let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|n| all_digits && *n > 0)
}

fn incident(word: Word) -> Result<IncidentId, ParseError> {
    number_behind("inc-", &word.text)
        .filter(|_| !word.quoted)
        .map(IncidentId)
        .ok_or_else(|| error(Problem::Not("an incident like INC-1 or 1"), &word.text, word.column))
}

fn run(word: Word) -> Result<RunId, ParseError> {
    number_behind("run-", &word.text)
        .filter(|_| !word.quoted)
        .map(RunId)
        .ok_or_else(|| error(Problem::Not("a run like RUN-1 or 1"), &word.text, word.column))
}

/// A bare number is a run, as ever.
fn run_or_incident(word: Word) -> Result<RunOrIncident, ParseError> {
    if word.text.to_ascii_lowercase().starts_with("inc") {
        return incident(word).map(RunOrIncident::LastOf);
    }
    number_behind("run-", &word.text)
        .filter(|_| !word.quoted)
        .map(|n| RunOrIncident::Run(RunId(n)))
        .ok_or_else(|| error(Problem::Not("a run like RUN-1 or 1, or an incident like INC-1"), &word.text, word.column))
}

/// The incident of `show`. Runs are shown by the ledger alone.
fn shown(word: Word) -> Result<IncidentId, ParseError> {
    let run = number_behind("run-", &word.text).filter(|_| !word.text.starts_with(|c: char| c.is_ascii_digit()));
    incident(word).map_err(|e| ParseError { suggestion: run.map(|n| format!("audit run:{}", RunId(n))), ..e })
}

/// A bare number is an incident: services have names.
fn service_or_incident(word: Word) -> Result<ServiceOrIncident, ParseError> {
    let is_an_id = ["inc-", "run-"].iter().any(|prefix| number_behind(prefix, &word.text).is_some());
    if is_an_id || word.text.starts_with('#') || word.text.bytes().all(|b| b.is_ascii_digit()) {
        return incident(word).map(ServiceOrIncident::Incident);
    }
    name(word, "the name of a service, or an incident like INC-1")
        .map(|name| ServiceOrIncident::Service(ServiceId(name)))
}

/// Is it meant as an id, be it a good one or not?
fn looks_like_an_id(word: &Word) -> bool {
    // Phones make long dashes of short ones.
    let lower = word.text.to_ascii_lowercase().replace(DASHES, "-");
    ["inc-", "run-", "#"].iter().any(|head| lower.starts_with(head))
        || (!lower.is_empty() && lower.bytes().all(|b| b.is_ascii_digit()))
}

/// The incident in front of a reason, if there is one. A word that looks like an id and is none is refused, or a
/// slip of the finger would become the reason and the wrong question would be answered.
fn leading_incident(words: &mut Cursor<'_>) -> Result<Option<IncidentId>, ParseError> {
    let mut ahead = words.clone();
    let Some(word) = ahead.next_lenient() else { return Ok(None) };
    if word.quoted || !looks_like_an_id(&word) {
        return Ok(None);
    }
    *words = ahead;
    incident(word).map(Some)
}

/// The time in front of a note, if there is one. A word that begins with a digit is meant to be one: refused when it is
/// none, or `deployed shop 90m` would be a note and the time another than was said.
fn leading_settle(words: &mut Cursor<'_>) -> Result<Option<Duration>, ParseError> {
    let mut ahead = words.clone();
    let Some(word) = ahead.next_lenient() else { return Ok(None) };
    if word.quoted || !word.text.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(None);
    }
    *words = ahead;
    span(&word, &word.text).ok().filter(|d| *d <= LONGEST_SETTLE).map(Some).ok_or_else(|| {
        let what = "a time of at most 1h, like 10m; put a note that begins with a digit into quotes";
        error(Problem::Not(what), &word.text, word.column)
    })
}

fn reason(words: &mut Cursor<'_>) -> Result<String, ParseError> {
    let column = words.column();
    let reason = words.rest()?;
    if reason.chars().count() > MAX_REASON_CHARS {
        return Err(error(Problem::ReasonTooLong, reason.split(' ').next().unwrap_or_default(), column));
    }
    Ok(reason)
}

/// How long something is muted.
fn mute_span(word: Word) -> Result<Duration, ParseError> {
    span(&word, &word.text)
        .ok()
        .filter(|d| *d <= LONGEST_MUTE && !word.quoted)
        .ok_or_else(|| error(Problem::Not("a time of at most 24h, like 30m"), &word.text, word.column))
}

fn service(word: Word) -> Result<ServiceId, ParseError> {
    name(word, "the name of a service").map(ServiceId)
}

fn needed_service(words: &mut Cursor<'_>) -> Result<ServiceId, ParseError> {
    service(needed(words, "the service")?)
}

fn playbook(words: &mut Cursor<'_>) -> Result<String, ParseError> {
    name(needed(words, "the playbook")?, "the name of a playbook")
}

/// A person. `@anna` is none: on every platform people choose their names themselves, and change them.
fn who(word: &Word) -> Result<Who, ParseError> {
    if matches!(word.text.to_lowercase().as_str(), "me" | "@me" | "i") && !word.quoted {
        return Ok(Who::Me);
    }
    if let Some(id) = mentioned(&word.text) {
        return Ok(Who::Mention(id.to_owned()));
    }
    let wrong =
        || error(Problem::Not("a person: me, a mention, or an id like slack:U024BE7LH"), &word.text, word.column);
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    let (platform, id) = word.text.split_once(':').ok_or_else(wrong)?;
    let is_one = !platform.is_empty() && !id.is_empty() && word.text.len() <= MAX_NAME_CHARS;
    if is_one && word.text.chars().all(allowed) { Ok(Who::Id(word.text.clone())) } else { Err(wrong()) }
}

/// A verb, of one word or two, or a kind of action.
fn ability(words: &mut Cursor<'_>) -> Result<String, ParseError> {
    let word = needed(words, "what they may do")?;
    let one = word.text.to_lowercase();
    let mut ahead = words.clone();
    if let Some(second) = ahead.next_lenient()
        && let Some(help) = help_for(&format!("{one} {}", second.text.to_lowercase()))
    {
        *words = ahead;
        return Ok(help.verb.to_owned());
    }
    if help_for(&one).is_some() || action(&one).is_some() {
        return Ok(one);
    }
    let candidates = COMMANDS.iter().map(|c| c.verb).chain(ActionKind::ALL.map(ActionKind::name));
    Err(ParseError {
        suggestion: nearest(&one, candidates),
        ..error(
            Problem::Not("a command, nor scale, restart, traffic, isolate, cache, configure or flush"),
            &word.text,
            word.column,
        )
    })
}

fn action(name: &str) -> Option<ActionKind> {
    ActionKind::ALL.into_iter().find(|kind| kind.name() == name)
}

/// A name as it can stand in the config. What is not there is for the engine to say; what could not be is said here.
fn name(word: Word, what: &'static str) -> Result<String, ParseError> {
    let allowed = |c: char| c.is_alphanumeric() || "-_.:/%".contains(c);
    if !word.text.is_empty() && word.text.chars().count() <= MAX_NAME_CHARS && word.text.chars().all(allowed) {
        Ok(word.text)
    } else {
        Err(error(Problem::Not(what), &word.text, word.column))
    }
}

/// The beginning of a SHA-256, long enough to mean one thing.
fn digest(word: Word) -> Result<String, ParseError> {
    let is_one = (8..=64).contains(&word.text.len()) && word.text.bytes().all(|b| b.is_ascii_hexdigit());
    if is_one && !word.quoted {
        return Ok(word.text.to_ascii_lowercase());
    }
    Err(error(Problem::Not("a digest: 8 to 64 hexadecimal digits, as `playbooks` shows"), &word.text, word.column))
}

fn mode(word: &Word) -> Result<Mode, ParseError> {
    let lower = word.text.to_lowercase();
    lower.parse().map_err(|_| ParseError {
        suggestion: nearest(&lower, ["observe", "approve", "auto"].into_iter()),
        ..error(Problem::Not("a mode: observe, approve or auto"), &word.text, word.column)
    })
}

fn args(words: &mut Cursor<'_>) -> Result<Args, ParseError> {
    let mut args = Args::new();
    while let Some(word) = words.next()? {
        let wrong = |problem| error(problem, &word.text, word.column);
        if args.len() >= MAX_ARGS {
            return Err(wrong(Problem::TooMuch));
        }
        let (key, value) = word.text.split_once('=').ok_or_else(|| wrong(Problem::Not("KEY=VALUE, like to=4")))?;
        let key_is_plain = !key.is_empty()
            && key.len() <= MAX_NAME_CHARS
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !key_is_plain || word.quoted {
            return Err(wrong(Problem::Not("KEY=VALUE, like to=4")));
        }
        if args.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(wrong(Problem::Twice));
        }
    }
    Ok(args)
}

/// `audit`, `audit csv` and `audit verify`.
fn audit(words: &mut Cursor<'_>) -> Result<Command, ParseError> {
    let mut ahead = words.clone();
    let second = ahead.next()?.filter(|word| !word.quoted).map(|word| word.text.to_lowercase()).unwrap_or_default();
    match second.as_str() {
        "verify" => {
            *words = ahead;
            finished(words).map(|()| Command::AuditVerify).map_err(|e| used("audit verify", e))
        }
        "csv" => {
            *words = ahead;
            audit_query(words).map(Command::AuditCsv).map_err(|e| used("audit csv", e))
        }
        _ => audit_query(words).map(Command::Audit),
    }
}

fn used(verb: &str, error: ParseError) -> ParseError {
    ParseError { usage: error.usage.or(help_for(verb).map(|help| help.usage)), ..error }
}

fn audit_query(words: &mut Cursor<'_>) -> Result<AuditQuery, ParseError> {
    let mut query = AuditQuery::default();
    let mut seen = Vec::new();
    while let Some(word) = words.next()? {
        let wrong = |problem| error(problem, &word.text, word.column);
        let (key, value) = word.text.split_once(':').filter(|_| !word.quoted).ok_or_else(|| ParseError {
            suggestion: nearest(&word.text.to_lowercase(), ["verify", "csv"].into_iter()),
            ..wrong(Problem::Not("a filter like service:shop"))
        })?;
        let key = key.to_lowercase();
        if seen.contains(&key) {
            return Err(wrong(Problem::Twice));
        }
        let part = |text: &str| Word { text: text.to_owned(), column: word.column + key.len() + 1, quoted: false };
        match key.as_str() {
            "service" => query.service = Some(service(part(value))?),
            "actor" if !value.trim().is_empty() && value.chars().count() <= MAX_NAME_CHARS => {
                query.actor = Some(value.to_owned());
            }
            "actor" => return Err(wrong(Problem::Not("a person's name or id, like actor:anna"))),
            "kind" => query.kind = Some(name(part(&value.to_lowercase()), "a kind of event, like approved")?),
            "action" => {
                query.action = Some(action(&value.to_lowercase()).ok_or_else(|| {
                    ParseError {
                        suggestion: nearest(&value.to_lowercase(), ActionKind::ALL.map(ActionKind::name).into_iter())
                            .map(|nearest| format!("action:{nearest}")),
                        ..wrong(Problem::Not(
                            "a kind of action: scale, restart, traffic, isolate, cache, configure or flush",
                        ))
                    }
                })?);
            }
            "incident" => query.incident = Some(incident(part(value))?),
            "run" => query.run = Some(run(part(value))?),
            "since" => query.since = Some(when(&part(value))?),
            "until" => query.until = Some(when(&part(value))?),
            "limit" => {
                let limit = value.parse().ok().filter(|n| (1..=1000).contains(n));
                query.limit = Some(limit.ok_or_else(|| wrong(Problem::Not("a limit from limit:1 to limit:1000")))?);
            }
            "page" => {
                let page = value.parse().ok().filter(|n| (1..=MAX_PAGE).contains(n));
                query.page = Some(page.ok_or_else(|| wrong(Problem::Not("a page from page:1 to page:1000000")))?);
            }
            _ => {
                return Err(ParseError {
                    suggestion: nearest(&key, AUDIT_FILTERS.into_iter()).map(|key| format!("{key}:{value}")),
                    ..wrong(Problem::Not(
                        "a filter: service, actor, kind, action, incident, run, since, until, limit or page",
                    ))
                });
            }
        }
        seen.push(key);
    }
    Ok(query)
}

/// `1h`, `2026-11-02`, `2026-11-02T12:00:00Z`.
fn when(word: &Word) -> Result<When, ParseError> {
    let text = word.text.trim();
    let at = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|day| day.timestamp())
    });
    match at {
        Some(at) if text.contains('-') => Ok(When::At(Timestamp(at.as_millisecond()))),
        _ => span(word, text).map(When::Ago).map_err(|e| ParseError {
            problem: Problem::Not("a time: write 30min, 1h, 2026-11-02 or 2026-11-02T12:00:00Z"),
            ..e
        }),
    }
}

fn span(word: &Word, text: &str) -> Result<Duration, ParseError> {
    humantime::parse_duration(text)
        .ok()
        .filter(|d| !d.is_zero() && *d <= MAX_SPAN)
        .ok_or_else(|| error(Problem::Not("a span of time: write 30s, 5m or 1h"), &word.text, word.column))
}

fn help(words: &mut Cursor<'_>) -> Result<Command, ParseError> {
    let Some(word) = words.next()? else { return Ok(Command::Help { verb: None }) };
    let mut verb = word.text.to_lowercase();
    if let Some(second) = words.next()? {
        verb = format!("{verb} {}", second.text.to_lowercase());
        finished(words)?;
    }
    match help_for(&verb) {
        Some(help) => Ok(Command::Help { verb: Some(help.verb.to_owned()) }),
        None => Err(ParseError {
            suggestion: nearest_verb(&verb).map(|verb| format!("help {verb}")),
            ..error(Problem::UnknownCommand, &verb, word.column)
        }),
    }
}

/// What people say when they mean one of ours.
const SYNONYMS: &[(&str, &str)] = &[
    ("undo", "rollback"),
    ("revert", "rollback"),
    ("yes", "approve"),
    ("ok", "approve"),
    ("no", "reject"),
    ("deny", "reject"),
    ("decline", "reject"),
    ("halt", "stop"),
    ("kill", "stop"),
    ("pause", "stop"),
    ("start", "resume"),
    ("list", "incidents"),
    ("ls", "incidents"),
    ("log", "audit"),
    ("history", "audit"),
    ("graph", "chart"),
    ("plot", "chart"),
    ("who", "whoami"),
    ("verify", "audit verify"),
    ("bye", "quit"),
    ("resolve", "close"),
    ("false", "false-alarm"),
    ("noise", "false-alarm"),
    ("deploy", "deployed"),
    ("chaos", "chaos list"),
    ("simulate", "dry-run"),
    ("preview", "dry-run"),
    ("dryrun", "dry-run"),
    ("execute", "run"),
    ("silence", "mute"),
    ("snooze", "mute"),
    ("unsilence", "unmute"),
    ("inject", "chaos run"),
    ("may", "can"),
    ("csv", "audit csv"),
    ("export", "audit csv"),
    ("release", "deployed"),
    ("released", "deployed"),
];

fn nearest_verb(verb: &str) -> Option<String> {
    let said = SYNONYMS.iter().find(|(said, _)| *said == verb).map(|(_, ours)| (*ours).to_owned());
    said.or_else(|| nearest(verb, COMMANDS.iter().map(|c| c.verb)))
}

/// The candidate that is a slip of the finger or three away, depending on its length.
fn nearest(word: &str, candidates: impl Iterator<Item = &'static str>) -> Option<String> {
    // A long word is no slip of the finger, and the distance costs its length times the candidate's.
    if word.chars().count() > 20 {
        return None;
    }
    candidates
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_owned())
}

/// The text's characters, one for one, with what phones and chat clients make of spaces and quotes made plain.
fn normalised(text: &str) -> Result<Vec<char>, ParseError> {
    let mut chars = Vec::new();
    for (i, c) in text.trim_end().chars().enumerate() {
        if i >= MAX_CHARS {
            return Err(error(Problem::TooLong, "", MAX_CHARS + 1));
        }
        chars.push(match c {
            '\t' | '\u{200b}' | '\u{2060}' | '\u{feff}' => ' ',
            '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{201f}' | '\u{ab}' | '\u{bb}' => '"',
            '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}' => '\'',
            c if c.is_control() || clean::hidden_name(c).is_some() || matches!(c, '\u{2028}' | '\u{2029}') => {
                return Err(error(Problem::Hidden(name_of(c)), "", i + 1));
            }
            c if c.is_whitespace() => ' ',
            c => c,
        });
    }
    Ok(chars)
}

/// `escape, U+001B`.
fn name_of(c: char) -> String {
    let name = match c {
        '\0' => "null",
        '\u{7}' => "bell",
        '\u{8}' => "backspace",
        '\n' => "line end: one command at a time",
        '\r' => "carriage return",
        '\u{1b}' => "escape",
        '\u{7f}' => "delete",
        '\u{2028}' | '\u{2029}' => "line separator",
        c => clean::hidden_name(c).unwrap_or("control character"),
    };
    format!("{name}, U+{:04X}", u32::from(c))
}

fn error(problem: Problem, word: &str, column: usize) -> ParseError {
    ParseError { problem, word: clean::shortened(&clean::line(word), 40), column, usage: None, suggestion: None }
}

#[cfg(test)]
mod tests;

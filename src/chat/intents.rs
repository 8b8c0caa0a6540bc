//! Plain questions: what a sentence most likely asks for, where it is no command.
//!
//! Called after `grammar` refused a line that was said to Suture. Local, pure and deterministic: rules over the words, no
//! model and no network. It must never yield a command that changes something: what sounds like a change becomes a line
//! to type. A misunderstood question costs a look; a misunderstood order would cost more.

mod asked;
mod changes;
mod metrics;
mod times;
mod words;

use self::words::clauses;
use super::command::Command;
use super::grammar::parse;
use crate::model::{RunId, Timestamp};

/// The longest question, in characters. Longer texts are stories and logs, in which every word occurs somewhere.
const MAX_QUESTION_CHARS: usize = 400;

/// Most lines that are offered: more is no help in choosing.
const MAX_LINES: usize = 5;

/// What there is to ask about.
pub struct Known<'a> {
    /// The services.
    pub services: &'a [String],
    /// The metrics of a service; none for one that does not exist.
    pub metrics: &'a dyn Fn(&str) -> Vec<String>,
    /// The playbooks.
    pub playbooks: &'a [String],
    /// The newest run, for "roll back the last run".
    pub last_run: Option<RunId>,
    /// Now. Nights and days are those of UTC, as everywhere in the ledger.
    pub now: Timestamp,
}

/// What a sentence most likely asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// This command, which only looks, and what to say with the answer: "I took this as `status`".
    Command(Command, String),
    /// One of these lines, the likeliest first, which the person has to type.
    Suggest(Vec<String>),
    /// Nothing that can be made out.
    Unknown,
}

/// What a sentence most likely asks for. Never [`Intent::Command`] with a command that changes something, and every line of
/// [`Intent::Suggest`] is a command of the grammar.
#[must_use]
pub fn understand(text: &str, names: &Known<'_>) -> Intent {
    if text.chars().count() > MAX_QUESTION_CHARS || words::has_hidden(text) {
        return Intent::Unknown;
    }
    let clauses = clauses(text, names);
    // An order anywhere comes first: with "is shop well? if not, restart it" somebody wants more than to look. A bare yes or
    // no comes last: with "ok. how is shop?" nobody agrees to anything.
    let orders = clauses.iter().find_map(|clause| changes::lines(clause, names)).map(Guess::Lines);
    let found = orders
        .or_else(|| clauses.iter().map(|clause| asked::guess(clause, names)).find(|guess| *guess != Guess::Nothing))
        .or_else(|| clauses.iter().find_map(changes::yes_or_no).map(|line| Guess::Lines(vec![line])))
        .unwrap_or_default();
    checked(found)
}

/// What a rule makes of a sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Guess {
    /// This is asked for.
    Command(Command),
    /// One of these may be.
    Lines(Vec<Command>),
    /// The rule has nothing to say.
    #[default]
    Nothing,
}

/// The one door out: whatever the rules say, nothing that changes something goes through as a command, and nothing that
/// the grammar would not take. (A service may have a name that is no word of the grammar.)
fn checked(guess: Guess) -> Intent {
    let understood = |command: &Command| parse(&command.to_string()).is_ok_and(|again| again == *command);
    let commands = match guess {
        Guess::Command(command) if understood(&command) && !command.changes_something() => {
            let words = format!("I took this as `{command}`");
            return Intent::Command(command, words);
        }
        Guess::Command(command) => vec![command],
        Guess::Lines(commands) => commands,
        Guess::Nothing => Vec::new(),
    };
    let mut lines: Vec<String> = Vec::new();
    for line in commands.iter().filter(|c| understood(c)).map(ToString::to_string) {
        if lines.len() < MAX_LINES && !lines.contains(&line) {
            lines.push(line);
        }
    }
    if lines.is_empty() { Intent::Unknown } else { Intent::Suggest(lines) }
}

#[cfg(test)]
mod tests;

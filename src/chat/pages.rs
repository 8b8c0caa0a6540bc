//! The cards that answer a question: status, playbooks, help, audit, errors. Plain input in, card out.
//!
//! Called by the composition root when it carries out a command. Answers are settled from the start: nothing more
//! will happen to them.

use std::time::Duration;

use super::command::{AuditQuery, COMMANDS, Command, CommandHelp};
use super::grammar::ParseError;
use super::{Block, Button, Card, CardAction, Tone};
use crate::model::{Mode, Record, ServiceId, in_words};

/// A service as `status` shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceRow {
    /// Which.
    pub service: ServiceId,
    /// `well`, `INC-3 awaiting approval`, `learning, 40 of 100`.
    pub state: String,
    /// Is something wrong with it?
    pub bad: bool,
    /// How far Suture may go.
    pub mode: Mode,
    /// Risk 0 to 100; absent while there is no reading.
    pub risk: Option<f64>,
    /// Since the model was trained; absent while there is none.
    pub model_age: Option<Duration>,
    /// Since the last sample; absent before the first.
    pub sample_age: Option<Duration>,
    /// Sources that answer, and all of them.
    pub sources: (usize, usize),
    /// The limits that it is on its way to, in words, soonest first.
    pub ahead: Vec<String>,
}

/// How everything stands. `halted` is the reason of the kill switch, when it is pulled.
#[must_use]
pub fn status(rows: &[ServiceRow], halted: Option<&str>) -> Card {
    let bad = rows.iter().filter(|r| r.bad).count();
    let mut blocks = Vec::new();
    if let Some(reason) = halted {
        let why = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        blocks.push(Block::Text(format!("STOPPED{why}: nothing acts until `resume`.")));
    }
    let age = |age: Option<Duration>| age.map_or_else(|| "none".to_owned(), in_words);
    blocks.push(Block::Table {
        head: ["service", "state", "mode", "risk", "model", "last sample", "sources"].map(str::to_owned).to_vec(),
        rows: rows
            .iter()
            .map(|r| {
                vec![
                    r.service.to_string(),
                    r.state.clone(),
                    r.mode.to_string(),
                    r.risk.map_or_else(|| "none".to_owned(), |risk| format!("{risk:.0}")),
                    age(r.model_age),
                    age(r.sample_age),
                    format!("{} of {}", r.sources.0, r.sources.1),
                ]
            })
            .collect(),
    });
    let ahead = rows.iter().filter_map(|r| Some((&r.service, r.ahead.first()?)));
    blocks.extend(ahead.map(|(service, words)| Block::Text(format!("{service}: {words}"))));
    let (title, tone) = match (halted, bad) {
        (Some(_), _) => ("status · stopped".to_owned(), Tone::Waiting),
        (None, 0) => (format!("status · {} well", counted(rows.len(), "service")), Tone::Good),
        (None, n) => (format!("status · {n} of {} not well", counted(rows.len(), "service")), Tone::Bad),
    };
    page(&title, tone, blocks)
}

/// A playbook as `playbooks` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaybookRow {
    /// Its name.
    pub name: String,
    /// What it does, in one sentence.
    pub summary: String,
    /// What its grant allows, in words.
    pub may: Vec<String>,
    /// Its arguments: `to=N`.
    pub args: Vec<String>,
    /// The short form of the component's digest; empty when there is none to run.
    pub digest: String,
    /// What is out of the ordinary: held, disabled, strikes; each in words.
    pub standing: Vec<String>,
}

/// The playbooks and what each may do; `rules` are lines about rules that do not stand well.
#[must_use]
pub fn playbooks(rows: &[PlaybookRow], rules: &[String]) -> Card {
    let mut blocks = Vec::new();
    for row in rows {
        let args: String = row.args.iter().map(|arg| format!(" [{arg}]")).collect();
        blocks.push(Block::Text(format!("{}{args}: {}", row.name, row.summary)));
        let may = if row.may.is_empty() { "may do nothing: no grant covers it".to_owned() } else { row.may.join("; ") };
        if !row.digest.is_empty() {
            blocks.push(Block::Text(format!("  {may} ({})", row.digest)));
        }
        // A text of several lines is shown line by line: what is to be pasted into a file must stand as it is.
        let lines = row.standing.iter().flat_map(|words| words.lines());
        blocks.extend(lines.map(|line| Block::Text(format!("  {line}"))));
    }
    if rows.is_empty() {
        blocks.push(Block::Text("None: name a folder with components as `playbooks_dir` in the config.".to_owned()));
    }
    blocks.extend(rules.iter().flat_map(|words| words.lines()).map(|line| Block::Text(line.to_owned())));
    let well = rules.is_empty() && rows.iter().all(|row| row.standing.is_empty());
    let tone = if well { Tone::Neutral } else { Tone::Waiting };
    page(&format!("playbooks · {}", rows.len()), tone, blocks)
}

/// The commands that a person may give, or one command. `may` says which those are; what is left out is counted, and where
/// to see why.
#[must_use]
pub fn help(one: Option<&CommandHelp>, may: &dyn Fn(&CommandHelp) -> bool) -> Card {
    let Some(one) = one else {
        let (mine, others): (Vec<&CommandHelp>, Vec<&CommandHelp>) = COMMANDS.iter().partition(|c| may(c));
        let rows = mine.iter().map(|c| vec![c.usage.to_owned(), c.summary.to_owned()]).collect();
        let head = vec!["command".to_owned(), "what it does".to_owned()];
        let hint = "Capitals stand for something, brackets for what may be left out; `help COMMAND` shows an example.";
        let mut blocks = vec![Block::Table { head, rows }, Block::Text(hint.to_owned())];
        if !others.is_empty() {
            let left_out = counted(others.len(), "more command");
            blocks.push(Block::Text(format!("Left out: {left_out} that you may not give; `whoami` tells why.")));
        }
        return page("help", Tone::Neutral, blocks);
    };
    let effect = if one.changes { "changes something: needs the right to, and is recorded" } else { "only looks" };
    let field = |label: &str, value: &str| Block::Field(label.to_owned(), value.to_owned());
    let mut blocks = vec![
        field("Does", one.summary),
        field("Usage", one.usage),
        field("Example", one.example),
        field("Effect", effect),
    ];
    if !may(one) {
        blocks.push(field("You", "may not give it; `whoami` tells why"));
    }
    page(&format!("help · {}", one.verb), Tone::Neutral, blocks)
}

/// A page of the ledger, oldest first. `matched` is how many records there are in all, `asked` what was asked for, `limit`
/// how many go on a page, and `words` says what a record means, in a sentence.
#[must_use]
pub fn audit(
    records: &[Record],
    matched: usize,
    asked: &AuditQuery,
    limit: usize,
    words: impl Fn(&Record) -> String,
) -> Card {
    let rows = records
        .iter()
        .map(|r| {
            let e = &r.event;
            let about = e.incident.map(|i| i.to_string()).or_else(|| e.service.as_ref().map(ToString::to_string));
            let about = about.map(|about| format!("{about} ")).unwrap_or_default();
            // To the second: the ledger itself has the milliseconds.
            let at: String = e.at.to_string().replace('T', " ").chars().take("2026-11-02 12:00:00".len()).collect();
            vec![
                r.seq.to_string(),
                at,
                e.by.as_ref().map_or_else(|| "suture".to_owned(), |p| p.name.clone()),
                format!("{about}{}", words(r)),
            ]
        })
        .collect();
    let head = ["no.", "time (UTC)", "by", "what"].map(str::to_owned).to_vec();
    let mut blocks = vec![Block::Table { head, rows }];
    let number = asked.page.map_or(1, |page| usize::try_from(page).unwrap_or(usize::MAX));
    let pages = matched.div_ceil(limit.max(1)).max(1);
    let turned = |page: usize| {
        let page = u32::try_from(page).unwrap_or(u32::MAX);
        Command::Audit(AuditQuery { page: (page > 1).then_some(page), ..asked.clone() }).to_string()
    };
    let mut actions = Vec::new();
    let mut turn = |label: &str, command: String| {
        let button = Some(Button { command: command.clone(), ..Button::default() });
        actions.push(CardAction { label: label.to_owned(), command, button, ..CardAction::default() });
    };
    if number > pages {
        let last = turned(pages);
        blocks.push(Block::Text(format!("There is no page {number}: the last is `{last}`.")));
        turn("Last page", last);
    } else if pages > 1 {
        blocks.push(Block::Text(format!(
            "Page {number} of {pages}, {matched} records in all; the first has the newest."
        )));
        if number < pages {
            turn("Older", turned(number + 1));
        }
        if number > 1 {
            turn("Newer", turned(number - 1));
        }
    }
    Card { actions, ..page(&format!("audit · {}", counted(matched, "record")), Tone::Neutral, blocks) }
}

/// A text was not understood.
#[must_use]
pub fn not_understood(error: &ParseError) -> Card {
    let mut card = page("not understood", Tone::Bad, vec![Block::Text(error.to_string())]);
    if let Some(suggestion) = &error.suggestion {
        // Only a suggestion that only looks is a button: nobody approves by a misspelling and one more click.
        if super::parse(suggestion).is_ok_and(|c| !c.changes_something()) {
            card.actions.push(CardAction {
                label: suggestion.clone(),
                command: suggestion.clone(),
                ..CardAction::default()
            });
        }
    }
    card
}

/// Somebody may not, or something could not be done. `what` is the command, `why` says what to do about it.
#[must_use]
pub fn refused(what: &str, why: &str) -> Card {
    page(&format!("refused · {what}"), Tone::Bad, vec![Block::Text(why.to_owned())])
}

/// A short answer under a title of its own.
#[must_use]
pub fn answer(title: &str, blocks: Vec<Block>) -> Card {
    page(title, Tone::Neutral, blocks)
}

/// An answer. Its key is empty, so that every answer is a message of its own.
fn page(title: &str, tone: Tone, blocks: Vec<Block>) -> Card {
    Card { key: String::new(), title: title.to_owned(), tone, blocks, settled: true, ..Card::default() }
}

fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::parse;

    fn text(card: &Card) -> String {
        format!("{card:?}")
    }

    #[test]
    fn help_has_what_the_person_may_do_and_counts_the_rest() {
        let all = help(None, &|_| true);
        assert!(text(&all).contains("approve [INCIDENT]") && !text(&all).contains("Left out"));
        let looks = help(None, &|c| !c.changes);
        let changing = COMMANDS.iter().filter(|c| c.changes).count();
        assert!(text(&looks).contains("status [SERVICE]") && !text(&looks).contains("approve [INCIDENT]"));
        let words = format!("Left out: {changing} more commands that you may not give; `whoami` tells why.");
        assert!(text(&looks).contains(&words));
        let one = help(crate::chat::command::help_for("stop"), &|_| false);
        assert!(text(&one).contains("may not give it"));
    }

    #[test]
    fn pages_of_the_ledger_lead_to_each_other() {
        let turned = |matched, page| {
            let asked = AuditQuery { service: Some("shop".into()), page, ..AuditQuery::default() };
            let card = audit(&[], matched, &asked, 20, |_| String::new());
            assert!(card.actions.iter().all(|a| parse(&a.command).is_ok_and(|c| !c.changes_something())));
            let lines: Vec<_> = card.actions.into_iter().map(|a| (a.label, a.command)).collect();
            lines
        };
        let line = |label: &str, command: &str| (label.to_owned(), command.to_owned());
        assert_eq!(turned(20, None), []);
        assert_eq!(turned(0, None), []);
        assert_eq!(turned(21, None), [line("Older", "audit service:shop page:2")]);
        assert_eq!(
            turned(60, Some(2)),
            [line("Older", "audit service:shop page:3"), line("Newer", "audit service:shop")]
        );
        assert_eq!(turned(60, Some(3)), [line("Newer", "audit service:shop page:2")]);
        assert_eq!(turned(60, Some(9)), [line("Last page", "audit service:shop page:3")]);
    }
}

//! Replays, comparisons and backtests as text for a terminal. Everything in them may be somebody else's: it is cleaned.

use std::fmt::{self, Write as _};

use super::{Backtest, Compared, Difference, Ended, Replay, Row, Verdict, Would};
use crate::chat::clean::shortened;
use crate::ledger::clean;

/// Characters of a plan or a reason in a row of a table.
const CELL: usize = 70;
/// Characters of one line of a comparison.
const LINE: usize = 200;

fn s(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.service.as_ref().map(|service| format!(" of {}", clean(&service.0))).unwrap_or_default();
        let n = self.executions.len();
        writeln!(f, "{}{of}: {n} execution{} done again from the record", self.incident, s(n))?;
        for one in &self.executions {
            let word = match &one.verdict {
                Verdict::Identical { .. } => "identical",
                Verdict::Different(_) => "DIFFERENT",
                Verdict::NotRepeatable { .. } => "not repeatable",
                Verdict::NotReplayed { .. } => "NOT REPLAYED",
            };
            let (calls, fuel, component) = (one.calls, one.fuel, one.component.short());
            write!(f, "  {word:<14}  record {:<5}  {}", one.seq, one.title)?;
            writeln!(f, ", component {component}: {calls} call{}, {fuel} units of work", s(calls))?;
            match &one.verdict {
                Verdict::Identical { sha256 } => writeln!(f, "{:18}SHA-256 {sha256}, then and now", "")?,
                Verdict::Different(difference) => tell_difference(f, difference)?,
                Verdict::NotRepeatable { why } | Verdict::NotReplayed { why } => {
                    writeln!(f, "{:18}{}", "", clean(why))?
                }
            }
        }
        for check in &self.checks {
            match &check.problem {
                None => writeln!(f, "  {:<14}  {}", "holds", clean(&check.what))?,
                Some(why) => {
                    writeln!(f, "  {:<14}  {}", "DOES NOT HOLD", clean(&check.what))?;
                    writeln!(f, "{:18}{}", "", clean(why))?;
                }
            }
        }
        for what in &self.unrecorded {
            writeln!(f, "  {:<14}  {}", "no record", clean(what))?;
        }
        f.write_str(self.last_line())
    }
}

impl Replay {
    fn last_line(&self) -> &'static str {
        match self.ended() {
            Ended::Identical if self.executions.is_empty() => {
                "nothing of it is recorded in a way that could be done again"
            }
            Ended::Identical if self.executions.iter().any(|e| matches!(e.verdict, Verdict::NotRepeatable { .. })) => {
                "everything that can be repeated is identical"
            }
            Ended::Identical => "identical",
            Ended::Different => "DIFFERENT from the record",
            Ended::Incomplete => "not everything could be replayed; nothing of what could is different",
        }
    }
}

fn tell_difference(f: &mut fmt::Formatter<'_>, difference: &Difference) -> fmt::Result {
    writeln!(f, "{:18}the first difference: {}", "", difference.place)?;
    writeln!(f, "{:18}  recorded: {}", "", difference.recorded)?;
    writeln!(f, "{:18}  replayed: {}", "", difference.replayed)?;
    let (then, now) = (difference.recorded_sha256, difference.replayed_sha256);
    writeln!(f, "{:18}  SHA-256 {then} recorded, {now} replayed", "")
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", clean(&self.at))?;
        if !self.args.is_empty() {
            let args: Vec<_> = self.args.iter().map(|(name, value)| format!("{name}={value}")).collect();
            writeln!(f, "  {:<8}  {}", "given", line(&args.join(" ")))?;
        }
        let then = match &self.then {
            Ok(plan) => plan.clone(),
            Err(why) => vec![format!("no plan: {why}")],
        };
        let now = match &self.now {
            Would::Planned { plan } => plan.clone(),
            Would::Proposed { playbooks } => playbooks.clone(),
            Would::Refused { why } => vec![format!("no plan: {why}")],
            Would::Failed { why } => vec![format!("no plan, by a fault: {why}")],
        };
        both(f, "plan", &then, &now)?;
        both(f, "outcome", std::slice::from_ref(&self.outcome.0), std::slice::from_ref(&self.outcome.1))?;
        let calls = |n: usize| [format!("{n} call{} to the host", s(n))];
        both(f, "calls", &calls(self.calls.0), &calls(self.calls.1))?;
        let fuel = |n: u64| [format!("{n} units of work")];
        both(f, "fuel", &fuel(self.fuel.0), &fuel(self.fuel.1))?;
        match &self.difference {
            None => writeln!(f, "  {:<8}  nowhere: the two go the same way, byte for byte", "differ"),
            Some(d) => {
                writeln!(f, "  {:<8}  first at {}", "differ", d.place)?;
                writeln!(f, "  {:<8}  - {}\n  {:<8}  + {}", "", d.recorded, "", d.replayed)
            }
        }
    }
}

/// Lines of then and now as a diff: what both have is in place, `-` is then, `+` is now.
fn both(f: &mut fmt::Formatter<'_>, what: &str, then: &[String], now: &[String]) -> fmt::Result {
    let start = then.iter().zip(now).take_while(|(a, b)| a == b).count();
    let rest = |lines: &[String]| lines.get(start..).map(<[String]>::to_vec).unwrap_or_default();
    let (a, b) = (rest(then), rest(now));
    let end = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    let mut lines: Vec<(char, &String)> = then.iter().take(start).map(|l| ('=', l)).collect();
    lines.extend(a.iter().take(a.len() - end).map(|l| ('-', l)));
    lines.extend(b.iter().take(b.len() - end).map(|l| ('+', l)));
    lines.extend(a.iter().skip(a.len() - end).map(|l| ('=', l)));
    for (i, (mark, text)) in lines.into_iter().enumerate() {
        writeln!(f, "  {:<8}  {mark} {}", if i == 0 { what } else { "" }, line(text))?;
    }
    Ok(())
}

fn line(text: &str) -> String {
    shortened(&clean(text), LINE)
}

impl fmt::Display for Backtest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return f.write_str("no incident was opened in that time");
        }
        let head = ["INCIDENT", "OPENED", "SERVICE", "WOULD HAVE", "WAS DONE", "ENDED"].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(head).chain(self.rows.iter().map(cells)).collect();
        let mut widths = [0; 6];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &rows {
            let mut out = String::new();
            for (width, cell) in widths.iter().zip(row) {
                write!(out, "{cell:<width$}  ")?;
            }
            writeln!(f, "{}", out.trim_end())?;
        }
        let (n, t) = (self.rows.len(), self.totals);
        write!(f, "\n{n} incident{}: proposed {}, refused {}, failed {}", s(n), t.proposed, t.refused, t.failed)?;
        if t.unknown > 0 {
            write!(f, ", cannot be said {}", t.unknown)?;
        }
        let ended: Vec<_> = self.ended.iter().map(|(how, n)| format!("{how} {n}")).collect();
        write!(f, "\nthey ended: {}", ended.join(", "))
    }
}

fn cells(row: &Row) -> [String; 6] {
    let cell = |text: &str| shortened(&clean(text), CELL);
    let would = match &row.would {
        Ok(Would::Planned { plan }) => format!("proposed: {}", plan.join("; ")),
        Ok(Would::Proposed { playbooks }) => format!("proposed: {}", playbooks.join("; ")),
        Ok(Would::Refused { why }) => format!("refused: {why}"),
        Ok(Would::Failed { why }) => format!("failed: {why}"),
        Err(why) => format!("cannot be said: {why}"),
    };
    let done = if row.done.is_empty() { "nothing".to_owned() } else { row.done.join("; ") };
    let opened = row.opened_at.map(|at| at.to_string().chars().take(16).collect()).unwrap_or_default();
    let service = row.service.as_ref().map(|service| cell(&service.0)).unwrap_or_default();
    [row.incident.to_string(), opened, service, cell(&would), cell(&done), cell(&row.ended)]
}

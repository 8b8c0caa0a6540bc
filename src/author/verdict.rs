//! What a case expected beside what came out, as a diff.

use super::case::Case;
use super::component::Component;
use super::trial::{Outcome, Trial};

/// One respect in which a run is not what the case expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `plan`, `error`, ...
    pub what: &'static str,
    /// The diff, in order.
    pub lines: Vec<Line>,
}

/// One line of a diff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// As expected.
    Same(String),
    /// Expected, and not there.
    Missing(String),
    /// There, and not expected.
    Surplus(String),
}

/// Everything in which a run differs from what its case expects; empty when the case holds. A case that expects
/// nothing holds as long as the component is not at fault.
#[must_use]
pub fn differences(component: &Component, case: &Case, trial: &Trial) -> Vec<Difference> {
    let mut found = Vec::new();
    let expect = case.expect.clone().unwrap_or_default();
    let is_rule = matches!(component, Component::Rule(_));
    match (&expect.plan, &expect.proposals, &expect.error) {
        (Some(plan), ..) if is_rule => found.push(wrong_kind("plan", plan, "a rule makes no plan: expect `proposals`")),
        (_, Some(list), _) if !is_rule => {
            found.push(wrong_kind("proposals", list, "a playbook proposes nothing: expect a `plan`"));
        }
        (Some(lines), ..) | (None, Some(lines), _) => match &trial.outcome {
            Outcome::Plan(got) | Outcome::Proposals(got) => {
                let what = if is_rule { "proposals" } else { "plan" };
                found.extend(diff(what, lines, got));
            }
            Outcome::Error(why) => {
                let mut lines: Vec<_> = lines.iter().cloned().map(Line::Missing).collect();
                lines.push(Line::Surplus(format!("error: {why}")));
                found.push(Difference { what: if is_rule { "proposals" } else { "plan" }, lines });
            }
        },
        (None, None, Some(error)) => found.extend(wrong_error(error, trial)),
        (None, None, None) => {
            if let Some(fault) = &trial.fault {
                found.push(Difference { what: "answer", lines: vec![Line::Surplus(fault.to_string())] });
            }
        }
    }
    if let Some(log) = &expect.log {
        let got: Vec<_> = trial.log.iter().map(|line| line.message.clone()).collect();
        found.extend(diff("log", log, &got));
    }
    if let Some(notes) = &expect.notes {
        let lines = |notes: &crate::wasm::Notes| notes.iter().map(|(k, v)| format!("{k} = {v}")).collect::<Vec<_>>();
        found.extend(diff("notes", &lines(notes), &lines(&trial.notes)));
    }
    found
}

fn wrong_kind(what: &'static str, expected: &[String], why: &str) -> Difference {
    let lines = expected.iter().cloned().map(Line::Missing).chain([Line::Surplus(why.to_owned())]).collect();
    Difference { what, lines }
}

/// An error is expected: it has to begin like this. A plan that the guardrails hold back is one, too.
fn wrong_error(expected: &str, trial: &Trial) -> Option<Difference> {
    let got = match (&trial.outcome, &trial.held_back) {
        (Outcome::Error(why), _) => vec![why.clone()],
        (_, Some(why)) if why.starts_with(expected) => return None,
        (Outcome::Plan(lines) | Outcome::Proposals(lines), _) if lines.is_empty() => {
            vec!["no error, and nothing to do".to_owned()]
        }
        (Outcome::Plan(lines) | Outcome::Proposals(lines), _) => lines.clone(),
    };
    if trial.error().is_some_and(|why| why.starts_with(expected)) {
        return None;
    }
    let lines = [Line::Missing(format!("error: {expected}"))];
    Some(Difference { what: "error", lines: lines.into_iter().chain(got.into_iter().map(Line::Surplus)).collect() })
}

/// The diff of two lists of lines; `None` when they are equal.
fn diff(what: &'static str, expected: &[String], got: &[String]) -> Option<Difference> {
    (expected != got).then(|| Difference { what, lines: lines(expected, got) })
}

/// The longest common subsequence stays, the rest is missing or surplus. Quadratic: lists are short, and bounded.
fn lines(expected: &[String], got: &[String]) -> Vec<Line> {
    /// A plan has 32 steps at most, a log 200 lines; what a case expects beyond that is not worth aligning.
    const MOST: usize = 300;
    let (cut_expected, cut_got) = (expected.get(..MOST).unwrap_or(expected), got.get(..MOST).unwrap_or(got));
    let (mut expected, mut got) = (cut_expected, cut_got);
    let mut out = Vec::new();
    while let ([a, rest_a @ ..], [b, rest_b @ ..]) = (expected, got) {
        if a == b {
            out.push(Line::Same(a.clone()));
            (expected, got) = (rest_a, rest_b);
        } else if common(rest_a, got) >= common(expected, rest_b) {
            out.push(Line::Missing(a.clone()));
            expected = rest_a;
        } else {
            out.push(Line::Surplus(b.clone()));
            got = rest_b;
        }
    }
    out.extend(expected.iter().cloned().map(Line::Missing));
    out.extend(got.iter().cloned().map(Line::Surplus));
    out
}

/// The length of the longest common subsequence.
fn common(a: &[String], b: &[String]) -> usize {
    let mut row = vec![0usize; b.len() + 1];
    for x in a {
        let mut next = vec![0usize];
        let (mut left, mut above_left) = (0, 0);
        for (y, above) in b.iter().zip(row.iter().skip(1)) {
            left = if x == y { above_left + 1 } else { left.max(*above) };
            above_left = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    fn shown(expected: &str, got: &str) -> String {
        let lines = lines(&list(expected), &list(got)).into_iter().map(|line| match line {
            Line::Same(text) => text,
            Line::Missing(text) => format!("-{text}"),
            Line::Surplus(text) => format!("+{text}"),
        });
        lines.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_common_stays_in_place() {
        assert_eq!(shown("a b c", "a b c"), "a b c");
        assert_eq!(shown("a b c", "a c"), "a -b c");
        assert_eq!(shown("a c", "a b c"), "a +b c");
        assert_eq!(shown("a b", "b a"), "-a b +a");
        assert_eq!(shown("a", "b"), "-a +b");
        assert_eq!(shown("", "b"), "+b");
        assert_eq!(shown("a", ""), "-a");
    }
}

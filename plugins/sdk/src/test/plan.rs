//! The plan of a dry run, and how two lists of lines differ.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// What a dry run would have people approve.
#[derive(Clone, PartialEq, Eq)]
pub struct Plan {
    lines: Vec<String>,
    summary: String,
    notes: BTreeMap<String, String>,
}

impl Plan {
    pub(super) fn new(lines: Vec<String>, summary: String, notes: BTreeMap<String, String>) -> Self {
        Self { lines, summary, notes }
    }

    /// Its steps, in order, as approvers see them: `local:shop workers 2 -> 4`.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// What the playbook says it did.
    #[must_use]
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// The notes after a real run that ended well.
    #[must_use]
    pub fn notes(&self) -> &BTreeMap<String, String> {
        &self.notes
    }

    /// Holds the plan to these lines; gives it back for more questions.
    ///
    /// # Panics
    /// When they differ, with the difference.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "mostly the last word of a test")]
    pub fn must_be<L: AsRef<str>>(self, lines: impl IntoIterator<Item = L>) -> Self {
        let expected: Vec<_> = lines.into_iter().map(|line| line.as_ref().to_owned()).collect();
        assert!(
            self.lines == expected,
            "the plan is another one (- expected, + planned):\n{}",
            diff(&expected, &self.lines)
        );
        self
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.lines).finish()
    }
}

/// The lines of both: those of both indented, those of `expected` alone with `-`, those of `found` alone with `+`.
pub(super) fn diff(expected: &[String], found: &[String]) -> String {
    // The longest common subsequence of each two tails: plans have at most 32 lines.
    let mut common = vec![vec![0_usize; found.len() + 1]; expected.len() + 1];
    for (i, left) in expected.iter().enumerate().rev() {
        for (j, right) in found.iter().enumerate().rev() {
            common[i][j] =
                if left == right { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let mut text = String::new();
    let (mut i, mut j) = (0, 0);
    while i < expected.len() || j < found.len() {
        let (mark, line) = match (expected.get(i), found.get(j)) {
            (Some(left), Some(right)) if left == right => {
                (i, j) = (i + 1, j + 1);
                (' ', left)
            }
            (Some(left), right) if right.is_none() || common[i + 1][j] >= common[i][j + 1] => {
                i += 1;
                ('-', left)
            }
            (_, Some(right)) => {
                j += 1;
                ('+', right)
            }
            (_, None) => break,
        };
        let _ = writeln!(text, "  {mark} {line}");
    }
    if text.is_empty() { "  (no lines)\n".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_diff_keeps_what_is_common() {
        assert_eq!(diff(&lines("a b c"), &lines("a x c d")), "    a\n  - b\n  + x\n    c\n  + d\n");
        assert_eq!(diff(&[], &lines("a")), "  + a\n");
        assert_eq!(diff(&lines("a"), &[]), "  - a\n");
    }

    #[test]
    #[should_panic(expected = "the plan is another one (- expected, + planned):\n  - a\n  + b\n")]
    fn another_plan_is_told_by_its_difference() {
        let _ = Plan::new(lines("b"), String::new(), BTreeMap::new()).must_be(["a"]);
    }
}

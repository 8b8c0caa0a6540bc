//! A problem with its place, and how it is shown: in the style of a compiler, with the line it is about.
//!
//! Everything shown comes from a file that may be hostile or may hold a secret by mistake: control characters are
//! escaped, lengths are bounded, and a line that looks as if it held a secret is shown up to its `=` only.

use std::fmt::{self, Write as _};
use std::ops::Range;

use serde::Serialize;

/// Longest message or help text, in characters: enough for a list of every known key.
const LONGEST_TEXT: usize = 1_000;
/// Longest part of a source line that is quoted, in characters: fits a wide terminal.
const LONGEST_QUOTE: usize = 120;
/// Shown in place of what may be a secret.
const HIDDEN: &str = "(not shown)";

/// How grave a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It cannot be run like this.
    Error,
    /// It can be run, but perhaps is not what was meant.
    Warning,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// Something that is wrong, where, and what to do about it. `Display` gives it as people read it, without a line end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How grave.
    #[serde(rename = "severity")]
    pub level: Level,
    /// The file, as it was named on the command line.
    pub file: String,
    /// The line, from 1; `None` when it is about the file as a whole.
    pub line: Option<usize>,
    /// The column in characters, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do; may have several lines.
    pub help: Option<String>,
    /// The quoted line and the part of it that is underlined.
    #[serde(skip)]
    quote: Option<Quote>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Quote {
    text: String,
    /// Characters before the caret.
    indent: usize,
    /// Characters underlined, at least 1.
    width: usize,
}

impl Problem {
    /// A problem of a file as a whole.
    pub fn of_file(file: &str, level: Level, message: &str, help: Option<&str>) -> Self {
        Self {
            level,
            file: plain(file),
            line: None,
            column: None,
            message: plain(message),
            help: help.map(plain_lines),
            quote: None,
        }
    }

    /// `suture.toml:14:3`, or the file's name alone.
    #[must_use]
    pub fn place(&self) -> String {
        match (self.line, self.column) {
            (Some(line), Some(column)) => format!("{}:{line}:{column}", self.file),
            _ => self.file.clone(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place(), self.level, self.message)?;
        if let (Some(quote), Some(line)) = (&self.quote, self.line) {
            let number = line.to_string();
            let gutter = " ".repeat(number.len());
            write!(f, "\n  {number} | {}", quote.text)?;
            write!(f, "\n  {gutter} | {}{}", " ".repeat(quote.indent), "^".repeat(quote.width))?;
        }
        if let Some(help) = &self.help {
            let mut lines = help.lines();
            write!(f, "\n  help: {}", lines.next().unwrap_or_default())?;
            lines.try_for_each(|line| write!(f, "\n        {line}"))?;
        }
        Ok(())
    }
}

/// Everything that keeps a config from being run, and the warnings beside it, in the order of the file.
#[derive(Clone, Debug)]
pub struct ConfigErrors {
    pub(super) problems: Vec<Problem>,
    /// What could be read in spite of them.
    pub(super) readable: Option<Box<super::Config>>,
}

impl ConfigErrors {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems, readable: None }
    }

    /// What could be read in spite of the problems: for looking at it, never for running it.
    #[must_use]
    pub fn readable(&self) -> Option<&super::Config> {
        self.readable.as_deref()
    }

    /// The problems in the order of the file, warnings among them.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problems.iter().try_for_each(|problem| writeln!(f, "{problem}\n"))?;
        f.write_str(&count_in_words(&self.problems))
    }
}

impl std::error::Error for ConfigErrors {}

/// `2 errors, 1 warning`.
#[must_use]
pub fn count_in_words(problems: &[Problem]) -> String {
    let count = |level: Level, word: &str| match problems.iter().filter(|p| p.level == level).count() {
        0 => None,
        1 => Some(format!("1 {word}")),
        n => Some(format!("{n} {word}s")),
    };
    let parts: Vec<_> =
        [count(Level::Error, "error"), count(Level::Warning, "warning")].into_iter().flatten().collect();
    if parts.is_empty() { "no problems".to_owned() } else { parts.join(", ") }
}

/// The text of a config file with its name: turns byte ranges into problems that people can find.
#[derive(Clone, Debug)]
pub(crate) struct SourceText {
    file: String,
    text: String,
}

impl SourceText {
    /// Takes the text without the byte order mark that some editors write.
    pub(crate) fn new(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.strip_prefix('\u{feff}').unwrap_or(text).to_owned() }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// Line and column of a byte, both from 1.
    pub(crate) fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let before = self.before(offset);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }

    /// A problem at `span`, with the line quoted; of the file as a whole where there is no span.
    pub(crate) fn problem(
        &self,
        level: Level,
        span: Option<Range<usize>>,
        message: &str,
        help: Option<&str>,
    ) -> Problem {
        let mut problem = Problem::of_file(&self.file, level, message, help);
        if let Some(span) = span {
            let (line, column) = self.line_and_column(span.start);
            problem.line = Some(line);
            problem.column = Some(column);
            problem.quote = self.quote(&span, column);
        }
        problem
    }

    fn before(&self, offset: usize) -> &str {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        self.text.get(..offset).unwrap_or_default()
    }

    fn quote(&self, span: &Range<usize>, column: usize) -> Option<Quote> {
        let start_of_line = self.before(span.start).rfind('\n').map_or(0, |at| at + 1);
        let line = self.text.get(start_of_line..)?.lines().next().unwrap_or_default();
        let marked = self.text.get(span.clone()).unwrap_or_default();
        let width = marked.lines().next().unwrap_or_default().chars().count();
        let indent = column - 1;
        if looks_secret(line) {
            let key: String = line.chars().take_while(|c| !"=:[".contains(*c)).collect();
            let text = format!("{}= {HIDDEN}", one_line(&key));
            return Some(Quote { text, indent: 0, width: 1 });
        }
        // A very long line is cut on the left as well, so that the caret still points at something.
        let skip = indent.saturating_sub(LONGEST_QUOTE / 2).min(line.chars().count());
        let skip = if line.chars().count() <= LONGEST_QUOTE { 0 } else { skip };
        let shown: String = line.chars().skip(skip).take(LONGEST_QUOTE).map(one_column).collect();
        let room = shown.chars().count().saturating_sub(indent - skip).max(1);
        Some(Quote { text: shown.trim_end().to_owned(), indent: indent - skip, width: width.clamp(1, room) })
    }
}

/// One character a column, so that the caret stays under what it points at.
fn one_column(c: char) -> char {
    match c {
        '\t' => ' ',
        c if is_unsafe(c) => '?',
        c => c,
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(one_column).collect()
}

/// Control characters, and the invisible ones that turn the direction of text: they can make a terminal lie.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Text that is safe on a terminal: control characters escaped, what looks like a secret hidden, bounded in length.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in hide_secrets(text).chars() {
        if out.chars().count() >= LONGEST_TEXT {
            out.push_str("...");
            break;
        }
        if is_unsafe(c) {
            // Writing to a String cannot fail.
            let _ = write!(out, "{}", c.escape_debug());
        } else {
            out.push(c);
        }
    }
    out
}

fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

/// A value of the file inside a sentence: short, and safe.
pub(crate) fn value(text: &str) -> String {
    const LONGEST_VALUE: usize = 60;
    let safe = plain(text);
    if safe.chars().count() <= LONGEST_VALUE {
        return safe;
    }
    safe.chars().take(LONGEST_VALUE).chain("...".chars()).collect()
}

/// How well-known tokens begin, and whose they are.
const TOKENS: &[(&str, &str)] = &[
    ("xoxb-", "a Slack token"),
    ("xoxp-", "a Slack token"),
    ("xapp-", "a Slack token"),
    ("ghp_", "a GitHub token"),
    ("github_pat_", "a GitHub token"),
    ("glpat-", "a GitLab token"),
    ("AKIA", "an AWS key"),
    ("ASIA", "an AWS key"),
    ("-----BEGIN", "a private key"),
];

/// Words in a key that say its value is a secret.
const SECRET_WORDS: &[&str] = &["password", "passwd", "secret", "token", "api_key", "apikey", "api-key", "credential"];

/// Does a key of this name hold a secret?
pub(super) fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

/// What kind of secret the value is, if it looks like one.
pub(super) fn secret_in(value: &str) -> Option<&'static str> {
    let long_enough = |rest: &str| rest.chars().take_while(|c| c.is_ascii_graphic()).count() >= 8;
    for (prefix, what) in TOKENS {
        if value.match_indices(prefix).any(|(at, _)| {
            let starts_a_word = value.get(..at).is_none_or(|b| !b.ends_with(|c: char| c.is_ascii_alphanumeric()));
            starts_a_word
                && value.get(at + prefix.len()..).is_some_and(|rest| *prefix == "-----BEGIN" || long_enough(rest))
        }) {
            return Some(what);
        }
    }
    let lower = value.to_ascii_lowercase();
    let names_one = SECRET_WORDS.iter().any(|word| {
        lower.match_indices(word).any(|(at, _)| {
            let rest = lower.get(at + word.len()..).unwrap_or_default();
            rest.strip_prefix(['=', ':']).is_some_and(|v| {
                let v = v.trim_start();
                // `--token=$TOKEN` and `--token={file}` are references, not secrets.
                !v.is_empty() && !v.starts_with(['$', '{', '@', '/', '"', '\''])
            })
        })
    });
    if names_one {
        return Some("a password or token");
    }
    user_info(value, 0).map(|_| "a password in an address")
}

/// The first `user:password` of an address after byte `from`, as a byte range.
fn user_info(text: &str, mut from: usize) -> Option<Range<usize>> {
    while let Some(at) = text.get(from..)?.find("://") {
        let start = from + at + 3;
        let rest = text.get(start..)?;
        let end = rest.find(|c: char| "/?#\"'` ".contains(c) || c.is_whitespace()).unwrap_or(rest.len());
        if let Some(user) = rest.get(..end)?.rfind('@') {
            return Some(start..start + user);
        }
        from = start;
    }
    None
}

fn looks_secret(line: &str) -> bool {
    let key = line.split_once('=').map_or("", |(key, _)| key);
    is_secret_key(key) || secret_in(line).is_some()
}

fn hide_secrets(text: &str) -> String {
    let mut text = text.to_owned();
    let mut from = 0;
    while let Some(range) = user_info(&text, from) {
        from = range.start;
        text.replace_range(range, "***");
    }
    for (prefix, _) in TOKENS {
        while let Some(at) = text.find(prefix).filter(|at| secret_in(text.get(*at..).unwrap_or_default()).is_some()) {
            let rest = text.get(at..).unwrap_or_default();
            let end = rest.find(|c: char| c.is_whitespace() || "`\"'".contains(c)).unwrap_or(rest.len());
            text.replace_range(at..at + end, HIDDEN);
        }
    }
    text
}

/// The candidate that was probably meant, if one is near enough.
pub(super) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&lower, candidate), candidate))
        // A third of the letters may be wrong; two are always forgiven, but not in words of three letters or fewer.
        .filter(|(distance, candidate)| {
            *distance <= (candidate.chars().count() / 3).max(usize::from(candidate.chars().count() > 3) + 1)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

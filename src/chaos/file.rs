//! Reads an experiment from its file, `NAME.toml`: strictly, with every problem in one pass, each with its line and what to do.
//!
//! It uses the reader of `suture.toml`, and decides nothing about a service: whether there is one of that name, and whether
//! its targets can be made sick like that, is known only when somebody asks for a plan. Called by the library.

mod read;
mod steps;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::Read as _;
use std::path::Path;

use crate::config::strict::{Findings, SourceText, value};
use crate::config::{Level, Problem, count_in_words};
use crate::model::{Digest, Experiment};

/// Largest experiment in bytes. A hand-written one has one or two thousand; a mistaken path has more.
pub const LARGEST_FILE: usize = 64 << 10;
/// Most faults of one experiment: more cannot be told apart in a report.
pub const MOST_FAULTS: usize = 20;
/// Longest name of an experiment, in characters: it is typed.
pub const LONGEST_NAME: usize = 40;

/// Everything that is wrong with an experiment, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct ExperimentErrors(pub Vec<Problem>);

impl fmt::Display for ExperimentErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|problem| writeln!(f, "{problem}\n"))?;
        f.write_str(&count_in_words(&self.0))
    }
}

impl std::error::Error for ExperimentErrors {}

/// Reads a file; the experiment is called like it.
///
/// # Errors
/// Every problem of it, with its place.
pub fn load(path: &Path) -> Result<Experiment, ExperimentErrors> {
    let file = path.display().to_string();
    let alone = |message: &str, help: Option<&str>| {
        ExperimentErrors(vec![Problem::of_file(&file, Level::Error, message, help)])
    };
    // Opening a pipe could wait for ever.
    if !path.is_file() {
        return Err(alone(
            "there is no such file",
            Some("an experiment is a .toml file in the folder `dir` of [chaos]"),
        ));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed tells "too long" from "just fits", whatever the file's metadata said.
    let limit = u64::try_from(LARGEST_FILE).unwrap_or(u64::MAX).saturating_add(1);
    let opened = std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    opened.map_err(|e| alone(&format!("this file cannot be read: {e}"), None))?;
    if bytes.len() > LARGEST_FILE {
        return Err(too_large(&file));
    }
    let text = String::from_utf8(bytes).map_err(|_| alone("this file is not text", Some("save it as UTF-8")))?;
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    parse(&name, &text, &file)
}

/// Reads a text as if it stood in this file.
///
/// # Errors
/// Every problem of it, with its place.
pub fn parse(name: &str, text: &str, file: &str) -> Result<Experiment, ExperimentErrors> {
    if text.len() > LARGEST_FILE {
        return Err(too_large(file));
    }
    let source = SourceText::new(file, text);
    let mut findings = Findings::new(&source);
    if !is_name(name) {
        let message = format!("`{}` is no name for an experiment", value(name));
        let help = format!(
            "rename the file: small letters, digits and single hyphens between them, at most {LONGEST_NAME}, like \
             `slow-checkout.toml`"
        );
        findings.error_of_file(&message, &help);
    }
    let experiment = read::experiment(&mut findings, name, Digest::of(text.as_bytes()));
    let problems = findings.into_problems();
    match experiment {
        Some(experiment) if problems.is_empty() => Ok(experiment),
        _ => Err(ExperimentErrors(problems)),
    }
}

fn too_large(file: &str) -> ExperimentErrors {
    let message = format!("this file is larger than {} KiB", LARGEST_FILE >> 10);
    let help = "an experiment has one or two kilobytes: is this the right file?";
    ExperimentErrors(vec![Problem::of_file(file, Level::Error, &message, Some(help))])
}

/// Is this a name that people can type, and that means nothing else: `pod-kill`?
#[must_use]
pub fn is_name(text: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    text.len() <= LONGEST_NAME && text.split('-').all(part)
}

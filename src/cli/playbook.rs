//! `suture playbook`: writing playbooks and rules. One file a command; what they share stands here.
//!
//! Exit codes are those of every subcommand: 0 all is well, 1 it did not work (a case failed, something was found, the
//! sources do not build), 2 the input makes no sense (no such file, not a component, a broken case).

mod bench;
mod dry;
mod fuzz;
mod inspect;
mod make;
mod test;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};
use clap::{Args, Subcommand, ValueHint};

use super::{Global, OK};
use crate::author::{AuthorError, Case, Component, build};
use crate::chat::clean;
use crate::wasm::{Host, Limits};

/// Lines are at most this wide: fits a terminal that is not narrow, and can be quoted in a review.
const WIDTH: usize = 100;

pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default();
pub(super) const WARN: Style = AnsiColor::Yellow.on_default();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const BOLD: Style = Style::new().bold();

/// Write playbooks and rules: new, build, test, and know them before they meet production
#[derive(Subcommand)]
pub(super) enum PlaybookCommand {
    /// Make a folder with a playbook that builds and passes its tests as it is
    New(make::NewArgs),
    /// Turn a playbook's sources into a component
    Build(make::BuildArgs),
    /// What a component is: what it can do, its limits, and the grant that it would need
    Inspect(inspect::InspectArgs),
    /// Run the cases of a playbook or a rule: an incident, a small world, and what has to come of them
    Test(test::TestArgs),
    /// Run a component once in the world of a case, and show everything that it does
    Run(dry::RunArgs),
    /// How long loading and running takes, beside the limits
    Bench(bench::BenchArgs),
    /// Look for worlds in which a component fails: random incidents, targets, arguments and failures
    Fuzz(fuzz::FuzzArgs),
    /// Try a playbook or a rule against the incidents of the past, beside what was done
    Backtest(super::backtest::BacktestArgs),
    /// Fetch a component from an OCI registry, by its digest
    #[cfg(feature = "oci")]
    Pull(super::pull::PullArgs),
}

pub(super) fn run(global: &Global, command: PlaybookCommand) -> anyhow::Result<u8> {
    match command {
        PlaybookCommand::New(args) => make::new(global, &args),
        PlaybookCommand::Build(args) => make::build(global, &args),
        PlaybookCommand::Inspect(args) => inspect::inspect(global, &args),
        PlaybookCommand::Test(args) => test::test(global, &args),
        PlaybookCommand::Run(args) => dry::run(global, &args),
        PlaybookCommand::Bench(args) => bench::bench(global, &args),
        PlaybookCommand::Fuzz(args) => fuzz::fuzz(global, &args),
        PlaybookCommand::Backtest(args) => super::backtest::run(global, args),
        #[cfg(feature = "oci")]
        PlaybookCommand::Pull(args) => super::pull::run(&args),
    }
}

/// What is run, and in which world.
#[derive(Args)]
struct Subject {
    /// A component's file, or the name of a built-in playbook or rule
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// The world: a case file [default: a service `shop` of two instances, in trouble]
    #[arg(long, value_name = "CASE.toml", value_hint = ValueHint::FilePath)]
    case: Option<PathBuf>,
}

impl Subject {
    fn case(&self) -> Result<Case, AuthorError> {
        self.case.as_deref().map_or_else(|| Ok(Case::default()), |path| Ok(Case::load(path)?))
    }
}

/// The daemon's own host. Compiled code is kept only in a data folder that was named.
fn host(global: &Global) -> anyhow::Result<Host> {
    let cache = global.data_dir.as_ref().map(|dir| std::path::absolute(dir.join("cache"))).transpose()?;
    Ok(Host::new(Limits::default(), cache.as_deref())?)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// A folder is built first; a file is taken as it is. Gives the component's file and the folder of its cases, if any.
fn built(path: &Path) -> anyhow::Result<(PathBuf, Option<PathBuf>)> {
    if path.is_dir() {
        let built = build(path)?;
        return Ok((built.file, Some(path.join("cases")).filter(|cases| cases.is_dir())));
    }
    Ok((path.to_owned(), cases_of(path)))
}

/// The folder of cases that belongs to a component's file: beside it, or beside the folder that it lies in.
fn cases_of(file: &Path) -> Option<PathBuf> {
    let parent = file.parent().filter(|_| file.is_file())?;
    [parent.join("cases"), parent.join("..").join("cases")].into_iter().find(|cases| cases.is_dir())
}

async fn open(host: &Host, file: &Path) -> anyhow::Result<Component> {
    Ok(Component::open(host, file).await?.0)
}

/// Prints lines that may have styles; they are left out where there is no terminal for them.
fn say(text: &str) {
    let mut out = anstream::stdout();
    let _ = out.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = out.write_all(b"\n");
    }
    let _ = out.flush();
}

fn say_json<T: serde::Serialize>(value: &T) -> anyhow::Result<u8> {
    super::print(&serde_json::to_string_pretty(value)?);
    Ok(OK)
}

fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// One line that is safe on a terminal, whoever wrote it.
fn line(text: &str) -> String {
    clean::line(text)
}

/// Safe text of several lines, each behind `first` or, from the second on, as many spaces; wrapped.
fn block(first: &str, text: &str) -> String {
    let rest = " ".repeat(first.chars().count());
    let mut out = String::new();
    for (i, paragraph) in clean::paragraph(text).lines().enumerate() {
        let indent = if i == 0 { first } else { rest.as_str() };
        let options = textwrap::Options::new(WIDTH).initial_indent(indent).subsequent_indent(&rest);
        // Leading blanks are part of what is quoted (TOML, a diff).
        for wrapped in textwrap::wrap(paragraph, options) {
            out.push_str(wrapped.trim_end());
            out.push('\n');
        }
    }
    if out.is_empty() {
        out.push_str(first.trim_end());
        out.push('\n');
    }
    out
}

/// `12 345`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

fn size(bytes: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people, three digits")]
    crate::model::number::humane(bytes as f64, "bytes")
}

fn nanoseconds(ns: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people, three digits")]
    crate::model::number::humane(ns as f64 / 1e9, "s")
}

/// `1 case`, `2 cases`.
fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

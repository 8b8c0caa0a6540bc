//! `suture playbook test`: the cases of a component, each with a diff when it fails.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use serde::Serialize;

use super::{BAD, GOOD, WARN, block, built, count, host, line, open, runtime, say, say_json, styled};
use crate::author::{AuthorError, Case, CaseErrors, Component, Difference, Line, differences};
use crate::cli::{FAILED, Global, OK};

/// `suture playbook test`
#[derive(Args)]
#[command(
    after_help = "Of every case it is also proved that the same run again does the same, and that the real run keeps to \
                        the plan.\nA case without [expect] passes as long as the component is not at fault.\n\nExamples:\n  \
                        suture playbook test\n  suture playbook test one-more.wasm --cases cases\n\n\
                        Exit codes: 0 all pass, 1 a case fails or nothing is built, 2 a case or the file is broken."
)]
pub(in crate::cli) struct TestArgs {
    /// The playbook's folder, which is built first; or a component's file; or the name of a built-in one
    #[arg(default_value = ".", value_name = "DIR|FILE", value_hint = ValueHint::AnyPath)]
    path: PathBuf,
    /// The folder of cases, or one case [default: `cases` beside the component]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    cases: Option<PathBuf>,
}

/// One case that was run.
#[derive(Serialize)]
struct Tested {
    case: String,
    passed: bool,
    summary: Option<String>,
    /// In words, one line each; a diff line begins with `-`, `+` or a blank.
    why: Vec<String>,
    /// What does not fail the case, and should be known.
    note: Option<String>,
    #[serde(skip)]
    shown: String,
}

pub(super) fn test(global: &Global, args: &TestArgs) -> anyhow::Result<u8> {
    let (file, beside) = built(&args.path)?;
    let Some(folder) = args.cases.clone().or(beside) else {
        let path = args.path.display();
        let message = format!("{path} has no folder `cases` beside it: name one with --cases");
        return Err(AuthorError::Usage(message).into());
    };
    let cases = read(&case_files(&folder)?)?;
    let host = host(global)?;
    let tested: Vec<Tested> = runtime()?.block_on(async {
        let component = open(&host, &file).await?;
        let mut tested = Vec::new();
        for (name, case) in &cases {
            tested.push(one(&component, name, case).await);
        }
        anyhow::Ok(tested)
    })?;
    let failed = tested.iter().filter(|t| !t.passed).count();
    let code = if failed == 0 { OK } else { FAILED };
    if global.json {
        say_json(&tested)?;
        return Ok(code);
    }
    let mut out: String = tested.iter().map(|t| t.shown.as_str()).collect();
    let total = count(tested.len(), "case");
    let _ = if failed == 0 {
        writeln!(out, "\n{}", styled(GOOD, &format!("{total}, all pass")))
    } else {
        writeln!(out, "\n{}", styled(BAD, &format!("{total}, {failed} failed")))
    };
    say(&out);
    Ok(code)
}

/// The files of a folder of cases, by name.
fn case_files(path: &Path) -> Result<Vec<PathBuf>, AuthorError> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let cannot = |why| AuthorError::File { doing: "read", path: path.to_owned(), why };
    let entries = std::fs::read_dir(path).map_err(cannot)?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "toml"));
    files.sort();
    if files.is_empty() {
        return Err(AuthorError::Usage(format!("{} holds no case: no .toml file", path.display())));
    }
    Ok(files)
}

/// Every case, or every problem of all of them.
fn read(files: &[PathBuf]) -> Result<Vec<(String, Case)>, AuthorError> {
    let (mut cases, mut problems) = (Vec::new(), Vec::new());
    for file in files {
        let name = file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match Case::load(file) {
            Ok(case) => cases.push((name, case)),
            Err(CaseErrors(found)) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(cases) } else { Err(CaseErrors(problems).into()) }
}

async fn one(component: &Component, name: &str, case: &Case) -> Tested {
    let trial = component.try_case(case).await;
    let differences = differences(component, case, &trial);
    let unsteady = component.check_again(case, &trial).await.err().map(|why| why.to_string());
    let passed = differences.is_empty() && unsteady.is_none();
    let expects_it = || case.expect.as_ref().and_then(|e| e.error.as_ref()).is_some();
    let note = trial.held_back.clone().filter(|_| !trial.steps.is_empty() && !expects_it());
    let note = note.map(|why| format!("the default guardrails would not let this plan pass: {why}"));

    let mut shown = match passed {
        true => format!("{} {}", styled(GOOD, "pass"), line(name)),
        false => format!("{} {}", styled(BAD, "FAIL"), line(name)),
    };
    shown += &case.summary.as_ref().map_or_else(|| "\n".to_owned(), |s| format!(": {}\n", line(s)));
    for difference in &differences {
        shown += &diff(difference);
    }
    if let Some(why) = &unsteady {
        shown += &styled(BAD, &block("     ", why));
    }
    // What it did on the way is what its author looks for first.
    if !passed && let Some(why) = trial.error() {
        shown += &block("     it ended with: ", why);
    }
    if let Some(note) = &note {
        shown += &styled(WARN, &block("     note: ", note));
    }
    let why = differences.iter().flat_map(|d| d.lines.iter().map(|l| format!("{}: {}", d.what, plain_line(l))));
    let why = why.chain(unsteady).collect();
    Tested { case: name.to_owned(), passed, summary: case.summary.clone(), why, note, shown }
}

fn plain_line(found: &Line) -> String {
    match found {
        Line::Same(text) => format!(" {}", line(text)),
        Line::Missing(text) => format!("-{}", line(text)),
        Line::Surplus(text) => format!("+{}", line(text)),
    }
}

fn diff(difference: &Difference) -> String {
    let mut out = format!("     {} (- expected, + found)\n", difference.what);
    for found in &difference.lines {
        out += &match found {
            Line::Same(text) => block("         ", text),
            Line::Missing(text) => styled(BAD, block("       - ", text).trim_end()) + "\n",
            Line::Surplus(text) => styled(GOOD, block("       + ", text).trim_end()) + "\n",
        };
    }
    out
}

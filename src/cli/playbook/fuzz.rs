//! `suture playbook fuzz`: worlds in which a component fails, each as a case that `test` can run.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use serde_json::json;

use super::{BAD, BOLD, GOOD, WARN, block, cases_of, count, grouped, host, line, open, runtime, say, say_json, styled};
use crate::author::{self, AuthorError, Finding, Fuzzed};
use crate::cli::{FAILED, Global, OK};

/// `suture playbook fuzz`
#[derive(Args)]
#[command(
    after_help = "Found are: faults (a crash, no end, an answer that makes no sense), runs that differ when they are done \
                        again, and real runs that do not keep to their plan.\nPlans that the guardrails would hold back are \
                        told as well; with --strict they count.\n\nExamples:\n  suture playbook fuzz one-more.wasm\n  suture playbook fuzz one-more.wasm --runs 10000 --seed 7\n\n\
                        Exit codes: 0 nothing was found, 1 something was, 2 the file is broken."
)]
pub(in crate::cli) struct FuzzArgs {
    /// A component's file, or the name of a built-in playbook or rule
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// How many worlds
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    runs: u32,
    /// The same seed gives the same worlds [default: another one each time]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Where to write what was found, as cases [default: `cases` beside the component, or here]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: Option<PathBuf>,
    /// A plan that the guardrails would hold back counts as found
    #[arg(long)]
    strict: bool,
}

pub(super) fn fuzz(global: &Global, args: &FuzzArgs) -> anyhow::Result<u8> {
    let host = host(global)?;
    // Short, for it is typed again.
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(1..1_000_000));
    let runs = usize::try_from(args.runs)?;
    let (name, mut found) = runtime()?.block_on(async {
        let component = open(&host, &args.file).await?;
        anyhow::Ok((component.name().to_owned(), author::fuzz(&component, runs, seed).await))
    })?;
    if args.strict {
        found.findings.append(&mut found.held_back_examples);
    }
    let out = args.out.clone().or_else(|| cases_of(&args.file)).unwrap_or_else(|| PathBuf::from("."));
    let mut files = Vec::new();
    for finding in &found.findings {
        files.push(write(&out, &name, seed, finding)?);
    }
    let code = if found.findings.is_empty() { OK } else { FAILED };
    if global.json {
        say_json(&json!({ "component": name, "found": found, "cases": files }))?;
        return Ok(code);
    }
    say(&text(&name, &found, &files, args));
    Ok(code)
}

fn write(dir: &Path, name: &str, seed: u64, finding: &Finding) -> Result<PathBuf, AuthorError> {
    let cannot = |doing, path: &Path| {
        let path = path.to_owned();
        move |why| AuthorError::File { doing, path, why }
    };
    std::fs::create_dir_all(dir).map_err(cannot("make", dir))?;
    let file = dir.join(format!("fuzz-{}-{seed}-{}.toml", finding.kind.name(), finding.run));
    let comment = format!("{name}: {}\nsuture playbook fuzz --seed {seed}, run {}", finding.what, finding.run);
    std::fs::write(&file, finding.case.to_toml(&comment)).map_err(cannot("write", &file))?;
    Ok(file)
}

fn text(name: &str, found: &Fuzzed, files: &[PathBuf], args: &FuzzArgs) -> String {
    let mut out = format!("{}  {}, seed {}\n\n", styled(BOLD, name), count(found.runs, "world"), found.seed);
    let faults = found.runs - found.answered - found.declined;
    let _ = writeln!(out, "  {:>8}  ended with an answer", found.answered);
    let _ = writeln!(out, "  {:>8}  ended with the component's word on why not, or a refusal", found.declined);
    let _ = writeln!(out, "  {faults:>8}  failed by a fault of the component");
    let _ = writeln!(
        out,
        "  {:>8}  units of work at most, {} calls to the host",
        grouped(found.most_fuel),
        found.most_calls
    );
    if found.held_back > 0 && !args.strict {
        let plans = count(found.held_back, "plan");
        let _ =
            writeln!(out, "\n{}", styled(WARN, &format!("the default guardrails would hold back {plans}, such as")));
        for example in &found.held_back_examples {
            out += &block(&format!("  run {}: ", example.run), &example.what);
        }
    }
    if found.findings.is_empty() {
        let _ = writeln!(out, "\n{}", styled(GOOD, "nothing found"));
        return out;
    }
    let _ = writeln!(out, "\n{}", styled(BAD, &format!("found {}", count(found.findings.len(), "problem"))));
    for (finding, file) in found.findings.iter().zip(files) {
        out += &block(&format!("  {}  ", finding.kind.name()), &finding.what);
        let (subject, case) = (args.file.display().to_string(), file.display().to_string());
        let again = format!("suture playbook test {} --cases {}", line(&subject), line(&case));
        let _ = writeln!(out, "    {again}");
    }
    out
}

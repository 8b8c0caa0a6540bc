//! `suture playbook run --dry`: one run in the world of a case, with everything that it did.

use std::fmt::Write as _;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use super::{BAD, BOLD, DIM, GOOD, Subject, WARN, block, grouped, host, line, nanoseconds, open, runtime, say};
use super::{say_json, styled};
use crate::author::{AuthorError, Case, Outcome, Trial};
use crate::chat::clean;
use crate::cli::{FAILED, Global, OK};
use crate::model::{HostCall, LogLevel};
use crate::wasm::Limits;

/// `suture playbook run`
#[derive(Args)]
#[command(
    after_help = "Nothing real is touched: the world is that of the case, and writes go to an overlay, as in the dry run \
                        of the daemon.\n\nExamples:\n  suture playbook run --dry scale-out by=3\n  suture playbook run --dry one-more.wasm --case cases/busy.toml\n\n\
                        Exit codes: 0 there is a plan, 1 there is none, 2 the file or the case is broken."
)]
pub(in crate::cli) struct RunArgs {
    /// A dry run; there is no other here: in earnest, the daemon runs playbooks, with people's approval
    #[arg(long, required = true)]
    dry: bool,
    #[command(flatten)]
    subject: Subject,
    /// Arguments over those of the case: NAME=VALUE
    #[arg(value_name = "ARG=VALUE")]
    args: Vec<String>,
}

pub(super) fn run(global: &Global, args: &RunArgs) -> anyhow::Result<u8> {
    debug_assert!(args.dry, "required");
    let mut case = args.subject.case()?;
    for given in &args.args {
        let (name, value) = given.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
            AuthorError::Usage(format!("`{}` is not an argument: write NAME=VALUE", clean::line(given)))
        })?;
        case.args.insert(name.to_owned(), value.to_owned());
    }
    let host = host(global)?;
    let (component, trial, took) = runtime()?.block_on(async {
        let component = open(&host, &args.subject.file).await?;
        let begun = Instant::now();
        let trial = component.try_case(&case).await;
        anyhow::Ok((component, trial, begun.elapsed()))
    })?;
    let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    let code = if trial.error().is_none() { OK } else { FAILED };
    if global.json {
        say_json(&as_json(&trial, ns))?;
        return Ok(code);
    }
    let role = component.role();
    let mut out = format!("{} {role} {}\n\n", styled(DIM, "dry run of the"), styled(BOLD, component.name()));
    out += &text(&case, &trial, host.limits());
    let _ = writeln!(
        out,
        "\n{} of {} units of work, {} of {} calls, {}",
        grouped(trial.fuel),
        grouped(host.limits().fuel),
        trial.calls.len(),
        host.limits().host_calls,
        nanoseconds(ns)
    );
    say(&out);
    Ok(code)
}

fn as_json(trial: &Trial, took_ns: u64) -> Value {
    let outcome = match &trial.outcome {
        Outcome::Plan(lines) => json!({ "plan": lines }),
        Outcome::Proposals(lines) => json!({ "proposals": lines }),
        Outcome::Error(why) => json!({ "error": why }),
    };
    json!({
        "outcome": outcome, "says": trial.says, "held_back": trial.held_back, "steps": trial.steps,
        "calls": trial.calls, "log": trial.log, "log_dropped": trial.log_dropped, "notes": trial.notes,
        "fuel": trial.fuel, "took_ns": took_ns, "fault": trial.fault.is_some(),
    })
}

fn text(case: &Case, trial: &Trial, limits: &Limits) -> String {
    let mut out = styled(BOLD, "what it asked the host, and was told\n");
    if trial.calls.is_empty() {
        out += "  nothing\n";
    }
    for (i, call) in trial.calls.iter().enumerate() {
        out += &one_call(i + 1, call);
    }
    if !trial.log.is_empty() || trial.log_dropped > 0 {
        out += &styled(BOLD, "\nwhat it logged\n");
    }
    for entry in &trial.log {
        let level = match entry.level {
            LogLevel::Debug => "debug ",
            LogLevel::Info => "info  ",
            LogLevel::Warn => "warn  ",
        };
        out += &block(&format!("  {level}"), &entry.message);
    }
    if trial.log_dropped > 0 {
        let _ = writeln!(out, "  {} more lines, past its {} bytes", trial.log_dropped, limits.log_bytes);
    }
    if trial.notes != case.notes {
        out += &styled(BOLD, "\nthe notes that it would keep\n");
        for (key, value) in &trial.notes {
            out += &block(&format!("  {} = ", line(key)), value);
        }
    }
    out += &outcome(trial);
    out
}

fn outcome(trial: &Trial) -> String {
    let mut out = String::new();
    let mut list = |title: &str, lines: &[String], nothing: &str| {
        out += &styled(BOLD, &format!("\n{title}\n"));
        for entry in lines {
            out += &styled(GOOD, block("  ", entry).trim_end());
            out.push('\n');
        }
        if lines.is_empty() {
            out += &format!("  {nothing}\n");
        }
    };
    match &trial.outcome {
        Outcome::Plan(lines) => list("the plan", lines, "nothing: it changed nothing"),
        Outcome::Proposals(lines) => list("its proposals, best first", lines, "none: it knows nothing to do"),
        Outcome::Error(why) => {
            out += &styled(BOLD, "\nno plan\n");
            out += &styled(BAD, block("  ", why).trim_end());
            out.push('\n');
            if trial.fault.is_some() {
                out += "  This is a fault of the component: after three of them the daemon disables it.\n";
            }
        }
    }
    if !trial.says.is_empty() {
        out += &styled(BOLD, "\nin its own words\n");
        out += &trial.says.iter().map(|says| block("  ", says)).collect::<String>();
    }
    if let Some(why) = trial.held_back.as_ref().filter(|_| !trial.steps.is_empty()) {
        out += &styled(WARN, &block("\nthe default guardrails would not let this plan pass: ", why));
    }
    out
}

/// ` 3 scale.set-replicas  target=local:shop to=3`, and the answer below.
fn one_call(number: usize, call: &HostCall) -> String {
    /// Longer values are cut: a state of forty instances is not read here.
    const MOST: usize = 400;
    let input = match &call.input {
        Value::Object(fields) => {
            let one = |(name, value): (&String, &Value)| format!("{name}={}", compact(value));
            fields.iter().map(one).collect::<Vec<_>>().join(" ")
        }
        Value::Null => String::new(),
        other => compact(other),
    };
    let (style, answer) = match &call.output {
        Value::Object(fields) if fields.len() == 1 && fields.contains_key("ok") => {
            (DIM, fields.get("ok").map(compact).unwrap_or_default())
        }
        Value::Object(fields) if fields.len() == 1 && fields.contains_key("error") => {
            (BAD, format!("error: {}", fields.get("error").map(compact).unwrap_or_default()))
        }
        Value::Null => (DIM, "-".to_owned()),
        other => (DIM, compact(other)),
    };
    let asked = format!("{} {}", call.call, clean::shortened(&input, MOST));
    let answered = block("       -> ", &clean::shortened(&answer, MOST));
    format!("{}{}\n", block(&format!("  {number:>3} "), asked.trim_end()), styled(style, answered.trim_end()))
}

/// JSON as people read it: names without quotes, no braces around everything.
fn compact(value: &Value) -> String {
    match value {
        Value::String(text) => line(text),
        Value::Array(list) => format!("[{}]", list.iter().map(compact).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let one = |(name, value): (&String, &Value)| format!("{}: {}", line(name), compact(value));
            format!("{{{}}}", fields.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    }
}

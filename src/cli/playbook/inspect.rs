//! `suture playbook inspect`: what a component is, found out by looking at it.

use std::fmt::Write as _;
use std::path::PathBuf;

use anstyle::Style;
use clap::{Args, ValueHint};

use super::{BAD, BOLD, DIM, GOOD, WARN, block, grouped, host, line, runtime, say, say_json, size, styled};
use crate::author::{self, Inspected};
use crate::cli::{Global, OK};
use crate::model::Effect;
use crate::wasm::{Param, ParamKind};

/// `suture playbook inspect`
#[derive(Args)]
#[command(
    after_help = "What it imports is all that it can ever do; the effect of each import is the contract's word, never \
                        the component's.\n\nExamples:\n  suture playbook inspect one-more.wasm\n  suture playbook inspect scale-out --json"
)]
pub(in crate::cli) struct InspectArgs {
    /// A component's file, or the name of a built-in playbook or rule
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
}

pub(super) fn inspect(global: &Global, args: &InspectArgs) -> anyhow::Result<u8> {
    let host = host(global)?;
    let found = runtime()?.block_on(author::inspect(&host, &args.file))?;
    if global.json {
        return say_json(&found);
    }
    say(&text(&found));
    Ok(OK)
}

fn effect(effect: Effect) -> (Style, &'static str) {
    match effect {
        Effect::Observe => (GOOD, "observe"),
        Effect::Mutate => (WARN, "mutate"),
        Effect::Destructive => (BAD, "destructive"),
    }
}

fn text(found: &Inspected) -> String {
    let role = found.role.to_string();
    let mut out = format!("{}  {role}, version {}\n", styled(BOLD, &line(&found.name)), line(&found.version));
    out += &block("  ", &found.summary);
    out += "\nparameters\n";
    if found.params.is_empty() {
        out += "  none\n";
    }
    for param in &found.params {
        out += &block("  ", &format!("{:<12} {}", line(&param.name), bounds(param)));
        out += &block("               ", &param.summary);
    }
    let (style, word) = effect(found.effect);
    let _ = writeln!(out, "\nimports: all that it can ever do; the worst is {}", styled(style, word));
    for import in &found.imports {
        let (style, word) = effect(import.effect);
        let word = styled(style, &format!("{word:<11}"));
        let words = block("", &format!("{:<34} {}", line(&import.interface), import.words));
        let _ = write!(out, "  {word} {words}");
    }
    if found.verifies {
        out += "  It has a word in the verdict: it can doubt a cure, never vouch for one.\n";
    }
    out += "\nfile\n";
    let _ = writeln!(out, "  size      {} (at most {})", size(found.bytes), size(found.bytes_limit));
    let _ = writeln!(out, "  sha256    {}", found.sha256);
    let _ = writeln!(out, "  contract  wit {}", line(&found.wit));
    let fuel = (grouped(found.describe_fuel), grouped(found.fuel_limit));
    let _ = writeln!(out, "  work      {} units to describe itself (a run: at most {})", fuel.0, fuel.1);
    if found.grant.is_empty() {
        out += "\nIt needs no grant: it changes nothing.\n";
    } else {
        out += &format!("\n{}\n", styled(DIM, "# the grant that it needs: narrow the targets to yours"));
        out += &format!("{}\n", found.grant);
    }
    out += &format!("\n{}\n", styled(DIM, "# holds suture.toml to exactly this file"));
    out += &found.pin;
    out
}

/// `whole number, 1 to 20, default 2`.
fn bounds(param: &Param) -> String {
    let kind = match param.kind {
        ParamKind::Integer => "whole number",
        ParamKind::Number => "number",
        ParamKind::Text => "text",
        ParamKind::Flag => "true or false",
        ParamKind::DurationMs => "milliseconds",
    };
    let range = match (param.min, param.max) {
        (Some(min), Some(max)) => format!(", {min} to {max}"),
        (Some(min), None) => format!(", at least {min}"),
        (None, Some(max)) => format!(", at most {max}"),
        (None, None) => String::new(),
    };
    let default = param.default.as_ref().map_or_else(String::new, |default| format!(", default {}", line(default)));
    format!("{kind}{range}{default}")
}

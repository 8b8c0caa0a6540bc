//! `suture playbook new` and `build`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::{BOLD, block, nanoseconds, say, say_json, size, styled};
use crate::author::{self, Lang};
use crate::cli::{Global, OK};

/// `suture playbook new`
#[derive(Args)]
#[command(
    after_help = "Examples:\n  suture playbook new drain-slowest\n  suture playbook new warm-cache --lang python --dir ~/playbooks\n\n\
                        The folder builds and passes its tests as it is: change it from there."
)]
pub(in crate::cli) struct NewArgs {
    /// What to call it: a-z, 0-9 and -, as rules, grants and people will
    name: String,
    /// What to write it in
    #[arg(long, value_enum, default_value_t = Lang::Rust)]
    lang: Lang,
    /// Where to make its folder
    #[arg(long, default_value = ".", value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: PathBuf,
}

/// `suture playbook build`
#[derive(Args)]
#[command(
    after_help = "The language is found by the files: Cargo.toml (Rust), app.py (Python), package.json (JavaScript).\n\
                        The component is written to DIR/NAME.wasm."
)]
pub(in crate::cli) struct BuildArgs {
    /// The playbook's folder
    #[arg(default_value = ".", value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: PathBuf,
}

pub(super) fn new(global: &Global, args: &NewArgs) -> anyhow::Result<u8> {
    let dir = author::scaffold(&args.name, args.lang, &args.dir)?;
    if global.json {
        return say_json(&serde_json::json!({ "name": args.name, "dir": dir }));
    }
    let shown = dir.display().to_string();
    let (file, first) = match args.lang {
        Lang::Rust => ("src/lib.rs", ("cargo test", "its own tests, without Wasm")),
        Lang::Python => ("app.py", ("pip install -r requirements.txt", "once, in a virtual environment")),
        Lang::Js => ("app.js", ("npm install", "once")),
    };
    let inspect = format!("suture playbook inspect {}.wasm", args.name);
    let steps = [
        (format!("cd {shown}").as_str(), ""),
        first,
        ("suture playbook test", "builds it and runs cases/*.toml"),
        (&inspect, "what it can do, and the grant that it needs"),
    ]
    .map(|(command, why)| format!("  {}\n", format!("{command:<40} {why}").trim_end()));
    let title = styled(BOLD, &format!("made {shown}"));
    say(&format!("{title}\n\n{}\nThe playbook is in {file}: change it from there.", steps.concat()));
    Ok(OK)
}

pub(super) fn build(global: &Global, args: &BuildArgs) -> anyhow::Result<u8> {
    let built = author::build(&args.dir)?;
    if global.json {
        return say_json(&built);
    }
    let file = built.file.display().to_string();
    let took = nanoseconds(built.took_ms.saturating_mul(1_000_000));
    say(&format!(
        "{}{}",
        block("", &format!("{file}  {}, built in {took}", size(built.bytes))),
        block("sha256  ", &built.sha256.to_string())
    ));
    Ok(OK)
}

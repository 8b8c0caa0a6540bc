//! `suture playbook backtest`: one component against all past incidents, beside what was done and how that ended.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use serde_json::json;

use super::replay::{Place, complain, pair, read};
use super::{Global, OK, USAGE, print};
use crate::ledger;
use crate::model::{Clock as _, SystemClock};
use crate::replay::{Backtest, Candidate, Incidents, backtest};
use crate::wasm::{Host, Limits, LoadError};

/// `suture playbook backtest`
#[derive(Args)]
#[command(after_help = "Examples:\n  suture playbook backtest scale-out-2.wasm --since 30d\n  \
                  suture playbook backtest my-rule.wasm --json\n\n\
                  Exit codes: 0 it was tried, 2 it cannot be (wrong file, no ledger), 3 the ledger is damaged.")]
pub(super) struct BacktestArgs {
    /// A playbook, or a rule
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Incidents that were opened since: 24h, 30d, 2026-11-02
    #[arg(long, default_value = "30d", value_name = "WHEN")]
    since: String,
    /// Arguments for a playbook, over the recorded ones
    #[arg(value_name = "ARG=VALUE", value_parser = pair)]
    args: Vec<(String, String)>,
}

pub(super) fn run(global: &Global, args: BacktestArgs) -> anyhow::Result<u8> {
    let since = match ledger::parse_when(&args.since, SystemClock.now()) {
        Ok(since) => since,
        Err(error) => {
            complain(&format!("--since: {error}"));
            return Ok(USAGE);
        }
    };
    let place = match Place::find(global) {
        Ok(place) => place,
        Err(code) => return Ok(code),
    };
    let mut incidents = Incidents::since(since);
    for stored in ledger::records(&place.dir)? {
        let record = stored?.record;
        incidents.take(record.seq, &record.event);
    }
    let cases = incidents.finish();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tried = runtime.block_on(async {
        let candidate = load(place.limits(), &args.file, args.args.into_iter().collect()).await?;
        Ok::<_, String>((backtest(&cases, &candidate, &place.allowed()).await, candidate))
    });
    let (table, candidate) = match tried {
        Ok(tried) => tried,
        Err(why) => {
            complain(&why);
            return Ok(USAGE);
        }
    };
    print(&told(global, &place, &candidate, &table)?);
    Ok(OK)
}

fn told(global: &Global, place: &Place, candidate: &Candidate, table: &Backtest) -> anyhow::Result<String> {
    let (role, name, digest) = match candidate {
        Candidate::Playbook(playbook, _) => ("playbook", playbook.name(), playbook.digest()),
        Candidate::Rule(rule) => ("rule", rule.name(), rule.digest()),
    };
    if global.json {
        let all = json!({ "role": role, "name": name, "component": digest, "by": place.rules(), "backtest": table });
        return Ok(serde_json::to_string_pretty(&all)?);
    }
    Ok(format!("{role} {name} ({}), {}\n\n{table}", digest.short(), place.rules()))
}

/// Loads the file as what it is.
async fn load(limits: Limits, file: &Path, args: crate::model::Args) -> Result<Candidate, String> {
    let host = Host::new(limits, None).map_err(|e| e.to_string())?;
    let bytes = read(file, host.limits().component_bytes)?;
    let name = file.display().to_string();
    match host.load_playbook(&name, bytes.clone()).await {
        Ok(playbook) => Ok(Candidate::Playbook(playbook, args)),
        Err(error @ LoadError::MissingExport { .. }) => match host.load_rule(&name, bytes).await {
            Ok(_) if !args.is_empty() => Err(format!("{name} is a rule, and a rule has no arguments")),
            Ok(rule) => Ok(Candidate::Rule(rule)),
            // What it lacks as a playbook says more than that it is no rule either.
            Err(LoadError::MissingExport { .. }) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        },
        Err(error) => Err(error.to_string()),
    }
}

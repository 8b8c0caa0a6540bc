//! `suture replay`: what rules and playbooks did in an incident, done again from the ledger, offline; and what another
//! playbook would have done in their place. Reads only, also while a daemon runs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueHint};
use serde_json::json;

use super::{DAMAGED, FAILED, Global, OK, USAGE, print};
use crate::config::{Config, Grants};
use crate::engine::Permits;
use crate::ledger;
use crate::model::{Action, ActionKind, Event, IncidentId, TargetId, TargetState, Timestamp};
use crate::replay::{self, Allowed, Case, Ended, Repeater, Shelf};
use crate::wasm::{Host, HostError, Limits};

/// `suture replay`
#[derive(Args)]
#[command(after_help = "Examples:\n  suture replay INC-7\n  suture replay INC-7 --json\n  \
                  suture replay INC-7 --playbook scale-out-2.wasm by=1\n\n\
                  Exit codes: 0 identical, 1 different, 2 it could not be replayed, 3 the ledger is damaged.")]
pub(super) struct ReplayArgs {
    /// Which incident: INC-7 or 7
    incident: IncidentId,
    /// Put this playbook in the place of the one of then, and show what it would have done
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    playbook: Option<PathBuf>,
    /// Arguments for it, over the recorded ones
    #[arg(value_name = "ARG=VALUE", requires = "playbook", value_parser = pair)]
    args: Vec<(String, String)>,
}

/// An argument of a playbook: `by=2`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "write it as name=value, for example by=2".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) fn run(global: &Global, args: ReplayArgs) -> anyhow::Result<u8> {
    let place = match Place::find(global) {
        Ok(place) => place,
        Err(code) => return Ok(code),
    };
    let mut events: Vec<(u64, Event)> = Vec::new();
    let mut known: Option<(IncidentId, IncidentId)> = None;
    for stored in ledger::records(&place.dir)? {
        let record = stored?.record;
        let Some(id) = record.event.incident else { continue };
        known = Some(known.map_or((id, id), |(first, last)| (first.min(id), last.max(id))));
        if id == args.incident {
            events.push((record.seq, record.event));
        }
    }
    let Some(case) = Case::of(args.incident, events.iter().map(|(seq, event)| (*seq, event))) else {
        let there = match known {
            None => "no incident at all".to_owned(),
            Some((first, last)) if first == last => first.to_string(),
            Some((first, last)) => format!("{first} to {last}"),
        };
        complain(&format!("there is no {} in {}: it has {there}", args.incident, place.dir.display()));
        return Ok(USAGE);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match &args.playbook {
        None => runtime.block_on(again(global, &place, &case)),
        Some(file) => runtime.block_on(other(global, &place, &case, file, args.args.into_iter().collect())),
    }
}

async fn again(global: &Global, place: &Place, case: &Case) -> anyhow::Result<u8> {
    // No cache of compiled code: the data folder is only read.
    let host = Host::new(place.limits(), None)?;
    let mut repeater = Repeater::new(host, Shelf::of_data_dir(&place.dir));
    let replayed = replay::replay(case, &mut repeater).await;
    let ended = replayed.ended();
    if global.json {
        let mut all = serde_json::to_value(&replayed)?;
        if let Some(map) = all.as_object_mut() {
            map.insert("ended".to_owned(), json!(ended));
            map.insert("ledger_records".to_owned(), json!(place.records));
        }
        print(&serde_json::to_string_pretty(&all)?);
    } else {
        print(&place.chain());
        print(&replayed.to_string());
    }
    Ok(match ended {
        Ended::Identical => OK,
        Ended::Different => FAILED,
        Ended::Incomplete => USAGE,
    })
}

async fn other(
    global: &Global,
    place: &Place,
    case: &Case,
    file: &Path,
    given: crate::model::Args,
) -> anyhow::Result<u8> {
    let host = Host::new(place.limits(), None)?;
    let loaded = match read(file, host.limits().component_bytes) {
        Ok(bytes) => host.load_playbook(&file.display().to_string(), bytes).await.map_err(|e| e.to_string()),
        Err(why) => Err(why),
    };
    let compared = match loaded {
        Ok(playbook) => replay::other(case, &playbook, &given, &place.allowed()).await,
        Err(why) => Err(why),
    };
    let compared = match compared {
        Ok(compared) => compared,
        Err(why) => {
            complain(&why);
            return Ok(USAGE);
        }
    };
    let same = compared.iter().all(replay::Compared::same_plan);
    if global.json {
        let all = json!({ "incident": case.incident, "by": place.rules(), "same": same, "compared": compared });
        print(&serde_json::to_string_pretty(&all)?);
    } else {
        print(&place.chain());
        print(&format!("{} with {}; {}", case.incident, file.display(), place.rules()));
        for one in &compared {
            print(&one.to_string());
        }
        print(if same { "it would have done the same" } else { "it would NOT have done the same" });
    }
    Ok(if same { OK } else { FAILED })
}

/// Reads a component's file, but not one that is too large to be one.
pub(super) fn read(file: &Path, most: usize) -> Result<Vec<u8>, String> {
    let unreadable = |e: std::io::Error| format!("cannot read {}: {e}", file.display());
    let bytes = std::fs::metadata(file).map_err(unreadable)?.len();
    if bytes > most as u64 {
        return Err(format!("{} has {bytes} bytes; a component may have at most {most}", file.display()));
    }
    std::fs::read(file).map_err(unreadable)
}

pub(super) fn complain(why: &str) {
    let _ = writeln!(std::io::stderr(), "suture: {why}");
}

/// A data folder whose ledger holds, and the config beside it.
pub(super) struct Place {
    pub(super) dir: PathBuf,
    config: Option<Config>,
    records: u64,
}

impl Place {
    /// Finds the data folder and the config, and proves the ledger's chain. The error is an exit code; why was said.
    pub(super) fn find(global: &Global) -> Result<Self, u8> {
        let path = global.config_path();
        // Named, or there to be found where no data folder was named: then it must be right. Else there is none.
        let config = if global.config.is_some() || (global.data_dir.is_none() && path.exists()) {
            match Config::load(&path) {
                Ok(config) => Some(config),
                Err(errors) => {
                    complain(&format!("{errors:#}"));
                    return Err(USAGE);
                }
            }
        } else {
            None
        };
        let dir = global.data_dir();
        if !ledger::folder(&dir).is_dir() {
            complain(&format!("there is no ledger in {}: name the data folder with --data-dir", dir.display()));
            return Err(USAGE);
        }
        match ledger::verify(&dir) {
            Ok(report) if report.holds() => Ok(Self { dir, config, records: report.records }),
            Ok(report) => {
                complain(&format!("nothing is replayed from a ledger that was changed\n{report}"));
                Err(DAMAGED)
            }
            Err(error) => {
                complain(&error.to_string());
                Err(FAILED)
            }
        }
    }

    fn chain(&self) -> String {
        format!("the ledger's chain holds: {} records in {}", self.records, self.dir.display())
    }

    /// What a run may use: as the config says, if there is one. A run that ended at a limit ends there again only with the
    /// same limits.
    pub(super) fn limits(&self) -> Limits {
        self.config.as_ref().map(|config| Limits::from(&config.plugins.limits)).unwrap_or_default()
    }

    /// What a component that is tried may do.
    pub(super) fn allowed(&self) -> Allowed {
        let Some(config) = &self.config else { return Allowed::everything() };
        let guards: BTreeMap<_, _> = config.services.iter().map(|s| (s.name.clone(), s.guard.clone())).collect();
        Allowed { permits: Arc::new(Granted(config.grants.clone())), guards }
    }

    /// The same in words.
    pub(super) fn rules(&self) -> String {
        match &self.config {
            Some(config) => format!("by the grants of {}", config.path.display()),
            None => "everything is taken as granted, for no config is given (--config FILE)".to_owned(),
        }
    }
}

/// The operator's grants, as the daemon would ask them.
struct Granted(Grants);

impl Permits for Granted {
    fn check(&self, playbook: &str, action: &Action, state: &TargetState, now: Timestamp) -> Result<(), HostError> {
        self.0.check(playbook, action, state, now).map_err(|denial| HostError::Denied {
            capability: denial.capability,
            target: denial.target,
            hint: denial.hint,
        })
    }

    fn actions_per_hour(&self, playbook: &str, target: &TargetId) -> Option<u32> {
        self.0.actions_per_hour(playbook, target)
    }

    fn in_words(&self, playbook: &str, targets: &[TargetId], imports: &BTreeSet<ActionKind>) -> Vec<String> {
        self.0.in_words(playbook, targets, imports)
    }
}

//! One recorded execution, done again by the same bytes with the recorded answers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::case::{Execution, What};
use super::difference::{Difference, first, first_before_the_cut, sha256};
use super::world::RecordedWorld;
use crate::ledger::clean;
use crate::model::{Args, Digest, Role, Transcript};
use crate::wasm::{Host, IncidentView, Playbook, Rule, Store, stock};

/// Wall time of an execution that is done again: it waits for nothing, so only a stuck machine gets here.
const WALL: Duration = Duration::from_secs(120);

/// Where components come from: those that were ever in use, and those in this program.
#[derive(Clone, Debug)]
pub struct Shelf {
    store: Store,
    folder: PathBuf,
}

/// What came of doing an execution again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// Byte for byte the same.
    Identical {
        /// SHA-256 over everything that it did, then and now.
        sha256: Digest,
    },
    /// It did something else.
    Different(Box<Difference>),
    /// It cannot be the same twice, and why.
    NotRepeatable {
        /// In words, with what is the same all the same.
        why: String,
    },
    /// It could not be done again, and why.
    NotReplayed {
        /// In words, with what is missing and where it was looked for.
        why: String,
    },
}

impl Shelf {
    /// The components of a data folder, and those in this program.
    #[must_use]
    pub fn of_data_dir(data_dir: &std::path::Path) -> Self {
        Self { store: Store::of_data_dir(data_dir), folder: data_dir.join(crate::wasm::store::FOLDER) }
    }

    /// The bytes of a component.
    ///
    /// # Errors
    /// In words, where it was looked for.
    pub fn bytes(&self, component: Digest) -> Result<Vec<u8>, String> {
        if let Some(bytes) = stock(component) {
            return Ok(bytes.to_vec());
        }
        match self.store.get(component) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(format!(
                "component {component} is not there: it is neither {} nor built into this suture ({})",
                self.folder.join(format!("{component}.wasm")).display(),
                env!("CARGO_PKG_VERSION")
            )),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Does executions again. Each component is compiled once.
pub struct Repeater {
    host: Host,
    shelf: Shelf,
    rules: BTreeMap<Digest, Result<Rule, String>>,
    playbooks: BTreeMap<Digest, Result<Playbook, String>>,
}

impl Repeater {
    /// With the limits of this host, and components from this shelf.
    #[must_use]
    pub fn new(host: Host, shelf: Shelf) -> Self {
        Self { host, shelf, rules: BTreeMap::new(), playbooks: BTreeMap::new() }
    }

    /// Does it again and compares.
    pub async fn again(&mut self, execution: &Execution) -> Verdict {
        let cut = Cut::of(&execution.ran);
        match self.repeat(execution, &cut).await {
            Err(why) => Verdict::NotReplayed { why },
            Ok(replayed) => compared(&execution.ran, &replayed, &cut),
        }
    }

    async fn repeat(&mut self, execution: &Execution, cut: &Cut) -> Result<Transcript, String> {
        let (recorded, component) = (&execution.ran, execution.ran.component);
        let view: IncidentView = serde_json::from_value(execution.view.clone()).map_err(|e| {
            format!("what it was told cannot be read (record {}): {}", execution.seq, clean(&e.to_string()))
        })?;
        match &execution.what {
            What::Rule => {
                let rule = self.rule(component).await?;
                Ok(rule.propose(view).await.transcript(&recorded.name, component))
            }
            What::DryRun { args, .. } | What::Run { args } => {
                let playbook = self.playbook(component).await?;
                Ok(remediate(&playbook, view, args, recorded, cut).await)
            }
            What::Check { args } => {
                let playbook = self.playbook(component).await?;
                let ran = playbook.verify(view, args).await;
                let ran = ran.ok_or_else(|| format!("component {component} has no check of its own"))?;
                Ok(ran.transcript(&recorded.name, component))
            }
        }
    }

    async fn rule(&mut self, component: Digest) -> Result<Rule, String> {
        if !self.rules.contains_key(&component) {
            let loaded = match self.shelf.bytes(component) {
                Ok(bytes) => self.host.load_rule(&named(Role::Rule, component), bytes).await.map_err(|e| e.to_string()),
                Err(why) => Err(why),
            };
            self.rules.insert(component, loaded);
        }
        self.rules.get(&component).cloned().unwrap_or_else(|| Err("it was not loaded".to_owned()))
    }

    async fn playbook(&mut self, component: Digest) -> Result<Playbook, String> {
        if !self.playbooks.contains_key(&component) {
            let loaded = match self.shelf.bytes(component) {
                Ok(bytes) => {
                    let name = named(Role::Playbook, component);
                    self.host.load_playbook(&name, bytes).await.map_err(|e| e.to_string())
                }
                Err(why) => Err(why),
            };
            self.playbooks.insert(component, loaded);
        }
        self.playbooks.get(&component).cloned().unwrap_or_else(|| Err("it was not loaded".to_owned()))
    }
}

fn named(role: Role, component: Digest) -> String {
    format!("{role} {component}")
}

/// Was the execution cut by wall time, and where?
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cut {
    /// It was not.
    No,
    /// In a host call: its deadline. The same way is cut again at the same place.
    Waiting(Duration),
    /// While it computed: how far it came depends on the machine.
    Computing,
}

impl Cut {
    fn of(ran: &Transcript) -> Self {
        let Some(timed_out) = ran.outcome.get("error").and_then(|error| error.get("timed-out")) else {
            return Self::No;
        };
        // A host that answers `timed out` to a call is another thing: that is a text, not a table.
        let Some(after) = timed_out.get("after_ms").and_then(serde_json::Value::as_u64) else { return Self::No };
        match ran.calls.last() {
            Some(last)
                if last.output.is_null() && timed_out.get("during").is_some_and(|d| *d == last.call.as_str()) =>
            {
                Self::Waiting(Duration::from_millis(after))
            }
            _ => Self::Computing,
        }
    }
}

async fn remediate(
    playbook: &Playbook,
    view: IncidentView,
    args: &Args,
    recorded: &Transcript,
    cut: &Cut,
) -> Transcript {
    let wall = if let Cut::Waiting(wall) = cut { *wall } else { WALL };
    let world = Box::new(RecordedWorld::of(recorded));
    playbook.remediate(view, args, world, wall).await.transcript(&recorded.name, recorded.component)
}

fn compared(recorded: &Transcript, replayed: &Transcript, cut: &Cut) -> Verdict {
    if *cut == Cut::Computing {
        return match first_before_the_cut(recorded, replayed) {
            Some(difference) => Verdict::Different(Box::new(difference)),
            None => Verdict::NotRepeatable {
                why: format!(
                    "cut by wall time while it computed; its {} calls up to there are the same",
                    recorded.calls.len()
                ),
            },
        };
    }
    match first(recorded, replayed) {
        Some(difference) => Verdict::Different(Box::new(difference)),
        None => Verdict::Identical { sha256: sha256(recorded) },
    }
}

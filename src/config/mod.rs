//! The configuration of the daemon: `suture.toml`.
//!
//! [`Config::load`] either gives a config that makes sense or *every* problem of the file in one pass, each with its
//! line, the line itself and what to do. It looks at the file system only where the config names a path, never at the
//! network: whether a source answers and a target exists is `suture check`'s business. Called by the CLI.

mod chaos;
mod discover;
mod explain;
mod grant;
mod live;
mod loader;
mod meaning;
mod people;
mod problem;
mod reader;
mod settings;
#[cfg(test)]
mod tests;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::act::{AsgSettings, ElbSettings, HaproxySettings, KubernetesSettings, LocalSettings, RedisSettings};
use crate::collect::SourceSettings;
use crate::detect::DetectSettings;
use crate::model::{ApprovalPolicy, Digest, Guard, Mode, Policy, ServiceId, TargetId, Timestamp, VerifyPolicy};
use crate::platform::ClusterSettings;

pub use chaos::{ChaosAllow, ChaosSettings, ScheduleSettings};
pub use discover::{DiscoverSettings, Found};
pub use grant::{Grant, GrantDenial, Grants, lines_for, lines_for_all};
pub use live::Live;
pub use people::{AllowSettings, Freeze, PersonSettings};
pub use problem::{ConfigErrors, Level, Problem, count_in_words, plain};
pub use settings::{
    ApproveSettings, Chat, Daemon, DiscordSettings, GuardSettings, LimitSettings, LogFormat, Plugins, ReaderTable,
    ServiceSettings, SlackHttpSettings, SlackSettings, VerifySettings,
};
pub use window::{Window, WindowError};

/// The strict reader of tables, for other files that people write: the cases of playbooks.
pub(crate) mod strict {
    pub(crate) use super::explain::did_you_mean;
    pub(crate) use super::loader::{many, one, syntax};
    pub(crate) use super::problem::{SourceText, value};
    pub(crate) use super::reader::{Findings, Label, Node, Section, read, table, take_key, text_at};
}

/// The starter file that `suture init` writes: runs as it is, and shows every key.
pub const STARTER: &str = include_str!("starter.toml");

/// The playbooks that are built in.
pub const STOCK_PLAYBOOKS: [&str; 8] = [
    "scale-out",
    "restart-service",
    "shed-load",
    "rebalance",
    "cache-aggressively",
    "rolling-restart",
    "tune",
    "flush-cache",
];

/// Largest config file in bytes. A hand-written one has a few thousand; a mistaken path has more.
pub const LARGEST_FILE: usize = 1 << 20;

/// A config that was loaded, is complete, and has no errors.
#[derive(Clone, Debug)]
pub struct Config {
    /// The daemon itself.
    pub suture: Daemon,
    /// What is watched and healed; at least one, names differ.
    pub services: Vec<ServiceConfig>,
    /// What can be acted on; names differ.
    pub targets: Vec<TargetConfig>,
    /// Kubernetes clusters by name; without any there is one without a name.
    pub clusters: Vec<ClusterSettings>,
    /// Services that are found in a cluster.
    pub discover: Vec<DiscoverSettings>,
    /// What playbooks may do.
    pub grants: Grants,
    /// Components beside the ones that are built in.
    pub plugins: Plugins,
    /// Where people are asked.
    pub chat: Chat,
    /// What is known of people besides their ids.
    pub people: Vec<PersonSettings>,
    /// Experiments: where they are, and when which are due.
    pub chaos: ChaosSettings,
    /// When nothing is to be changed.
    pub freezes: Vec<Freeze>,
    /// SHA-256 of the file's bytes: goes into the ledger.
    pub digest: Digest,
    /// The file.
    pub path: PathBuf,
    /// What is perhaps not meant so.
    pub warnings: Vec<Problem>,
    source: problem::SourceText,
    spots: BTreeMap<Spot, Range<usize>>,
}

/// One service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceConfig {
    /// Its name.
    pub name: ServiceId,
    /// What can be acted on to heal it; each is one of [`Config::targets`].
    pub targets: Vec<TargetId>,
    /// How far Suture may go.
    pub mode: Mode,
    /// Time between two samples.
    pub interval: Duration,
    /// How long all sources together may take in one round; at most `interval`.
    pub timeout: Duration,
    /// Playbooks that may be proposed; `None`: all that are granted something.
    pub playbooks: Option<Vec<String>>,
    /// Rules that are asked; `None`: all.
    pub rules: Option<Vec<String>>,
    /// Where its metrics come from; at least one.
    pub sources: Vec<SourceSettings>,
    /// The detector.
    pub detect: DetectSettings,
    /// Limits on what may be done.
    pub guard: Guard,
    /// Who approves.
    pub approval: ApprovalPolicy,
    /// When something may be changed at all; always when empty.
    pub windows: Vec<Window>,
    /// How a cure is judged.
    pub verify: VerifyPolicy,
}

impl ServiceConfig {
    /// What the incident machine needs to know.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            mode: self.mode,
            guard: self.guard.clone(),
            approval: self.approval.clone(),
            verify: self.verify.clone(),
        }
    }

    /// May this playbook be proposed for the service at all?
    #[must_use]
    pub fn uses_playbook(&self, name: &str) -> bool {
        self.playbooks.as_ref().is_none_or(|list| list.iter().any(|p| p == name))
    }

    /// Is this rule asked about the service?
    #[must_use]
    pub fn uses_rule(&self, name: &str) -> bool {
        self.rules.as_ref().is_none_or(|list| list.iter().any(|r| r == name))
    }
}

/// A `[[target]]` table of a kind that this build knows.
#[derive(Clone, Debug, PartialEq)]
pub enum TargetConfig {
    /// Processes behind a balancer on this machine.
    Local(LocalSettings),
    /// Something in a Kubernetes cluster.
    Kubernetes(KubernetesSettings),
    /// An EC2 Auto Scaling group.
    Asg(AsgSettings),
    /// The weights of a load balancer of AWS.
    Elb(ElbSettings),
    /// A backend of HAProxy.
    Haproxy(HaproxySettings),
    /// A Redis server.
    Redis(RedisSettings),
}

impl TargetConfig {
    /// Its address.
    #[must_use]
    pub fn id(&self) -> &TargetId {
        match self {
            Self::Local(settings) => &settings.name,
            Self::Kubernetes(settings) => &settings.name,
            Self::Asg(settings) => &settings.name,
            Self::Elb(settings) => &settings.name,
            Self::Haproxy(settings) => &settings.name,
            Self::Redis(settings) => &settings.name,
        }
    }

    /// The table that a target of this name would have if it needed one: where the name says it all.
    #[must_use]
    pub fn implied(id: &TargetId) -> Option<Self> {
        match id.kind() {
            "k8s" => Some(Self::Kubernetes(KubernetesSettings::of(id.clone()))),
            "asg" => Some(Self::Asg(AsgSettings::of(id.clone()))),
            _ => None,
        }
    }
}

/// A place in the config that somebody outside of this module may want to point at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spot {
    /// A service's header.
    Service(ServiceId),
    /// A source's header, counted from 0 within its service.
    Source(ServiceId, usize),
    /// A target's header.
    Target(TargetId),
    /// A grant's header, counted from 0.
    Grant(usize),
    /// `playbooks_dir`.
    PlaybooksDir,
    /// `rules_dir`.
    RulesDir,
    /// A pinned component.
    Pin(String),
    /// A platform under `[chat]`: `slack`.
    Chat(String),
    /// The first `[[person]]`.
    People,
    /// A discovery's header, counted from 0.
    Discover(usize),
}

/// Names that a config may use and that are known only to the rest of the program.
#[derive(Clone, Debug)]
pub struct Known {
    /// Playbooks that are built in; those in `playbooks_dir` come on top.
    pub playbooks: Vec<String>,
    /// Rules that are built in; those in `rules_dir` come on top. `None`: names of rules are not checked here.
    pub rules: Option<Vec<String>>,
}

impl Default for Known {
    fn default() -> Self {
        Self { playbooks: STOCK_PLAYBOOKS.map(str::to_owned).to_vec(), rules: None }
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Every problem of the file, with the warnings beside them.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        Self::load_knowing(path, &Known::default())
    }

    /// The same, with the names of the components that are built in.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_knowing(path: &Path, known: &Known) -> Result<Self, ConfigErrors> {
        let bytes = loader::read_file(path).map_err(|problem| ConfigErrors::new(vec![*problem]))?;
        loader::load(&bytes, path, known)
    }

    /// Checks a text as if it stood in the file `path`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigErrors> {
        loader::load(text.as_bytes(), path, &Known::default())
    }

    /// The same config with the services of these workloads, each found by the `[[discover]]` table of that number, as if they
    /// stood in the file. A name that is taken already is left out, and given back with the workload.
    ///
    /// # Errors
    /// Every problem of the file as it would then be.
    pub fn with_found(&self, found: &[(usize, Found)]) -> Result<(Self, Vec<(String, Found)>), ConfigErrors> {
        let mut text = self.source.text().to_owned();
        let mut names: BTreeSet<String> = self.services.iter().map(|s| s.name.to_string()).collect();
        let mut left_out = Vec::new();
        for (index, workload) in found {
            let made = self.discover.get(*index).and_then(|settings| settings.service(workload));
            match made {
                Some((name, table)) if names.insert(name.clone()) => {
                    text.push('\n');
                    text.push_str(&table);
                }
                Some((name, _)) => left_out.push((name, workload.clone())),
                None => left_out.push((workload.name.clone(), workload.clone())),
            }
        }
        // Only services and what they imply come of it: all else is as it was loaded, and may have been changed since.
        let Self { services, targets, spots, source, .. } = loader::load_found(&text, &self.path)?;
        Ok((Self { services, targets, spots, source, ..self.clone() }, left_out))
    }

    /// The workloads of services that were found before, as [`Config::with_found`] takes them; those that no `[[discover]]`
    /// table would call so any more are left out.
    #[must_use]
    pub fn found_before(&self, services: &BTreeMap<ServiceId, Vec<TargetId>>) -> Vec<(usize, Found)> {
        let one = |(name, targets): (&ServiceId, &Vec<TargetId>)| {
            let target = targets.first()?;
            let found = Found::of(target)?;
            let index = self.discover.iter().position(|settings| {
                settings.target(&found).as_ref() == Some(target)
                    && settings.service(&found).is_some_and(|(known, _)| known == name.0)
            })?;
            Some((index, found))
        };
        services.iter().filter_map(one).collect()
    }

    /// Why nothing is to be changed on a service now, and until when that is so.
    #[must_use]
    pub fn frozen(&self, service: &ServiceId, now: Timestamp) -> Option<(String, Option<Timestamp>)> {
        let windows = self.service(service).map_or(&[][..], |s| &s.windows);
        people::frozen(&self.freezes, windows, service, now)
    }

    /// The folder that the paths of the file are relative to.
    #[must_use]
    pub fn base(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The service of this name.
    #[must_use]
    pub fn service(&self, name: &ServiceId) -> Option<&ServiceConfig> {
        self.services.iter().find(|s| s.name == *name)
    }

    /// The target with this address.
    #[must_use]
    pub fn target(&self, id: &TargetId) -> Option<&TargetConfig> {
        self.targets.iter().find(|t| t.id() == id)
    }

    /// A problem that shows up later than at load (a source that does not answer), at its place in the file.
    #[must_use]
    pub fn problem_at(&self, spot: &Spot, level: Level, message: &str, help: Option<&str>) -> Problem {
        self.source.problem(level, self.spots.get(spot).cloned(), message, help)
    }

    /// `suture.toml:14`, for a line about something in the file; the file alone where the spot is not in it.
    #[must_use]
    pub fn place_of(&self, spot: &Spot) -> String {
        match self.spots.get(spot) {
            Some(span) => format!("{}:{}", self.source.file(), self.source.line_and_column(span.start).0),
            None => self.source.file().to_owned(),
        }
    }
}

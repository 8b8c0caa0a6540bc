//! A case: an incident, a small world around it, and what a component is expected to make of both.
//!
//! Plain data, and what follows from it: what the component is told ([`Case::view`]) and the targets as they are
//! ([`Case::targets`]). `parse` reads it from a file, `write` puts it into one; `world` brings it to life.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{
    Action, ActionKind, Args, Autoscaler, Driver, IncidentId, Instance, ServiceId, Severity, TargetId, TargetState,
    Timestamp, Trend,
};
use crate::wasm::{IncidentView, Notes};

/// When the incident of every case began: any time will do, as long as it is always the same.
const SINCE: Timestamp = Timestamp(1_767_225_600_000);

/// The kinds of target there can be, as in docs; a fixed list, so that a slip in a case is found.
pub const TARGET_KINDS: [&str; 8] = ["local", "k8s", "asg", "haproxy", "redis", "docker", "azure", "fake"];

/// Most instances of a target in a case: every one is made, and shown to the component.
pub const MOST_INSTANCES: u32 = 1_000;

/// One case. Every part may be left out of the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Case {
    /// One sentence for whoever reads a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// What is wrong.
    pub incident: Incident,
    /// The last sample of the service, by metric.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// The last sample by instance.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub instance_metrics: BTreeMap<String, BTreeMap<String, f64>>,
    /// What can be acted on; left out: one target of two instances.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Vec<Target>>,
    /// What the playbook kept of earlier runs.
    #[serde(skip_serializing_if = "Notes::is_empty")]
    pub notes: Notes,
    /// Its arguments.
    #[serde(skip_serializing_if = "Args::is_empty")]
    pub args: Args,
    /// What the grant does not allow; everything else it does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Deny>,
    /// Where the platform fails.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fail: Vec<Fail>,
    /// What has to come out; left out: anything but a fault of the component.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expect>,
}

/// The `[incident]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Incident {
    /// The service.
    pub service: String,
    /// How bad, in words; left out: what the risk means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Risk 0 to 100.
    pub risk: f64,
    /// Playbooks tried without success.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<String>,
    /// The metrics responsible, most responsible first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub driver: Vec<DriverTable>,
}

impl Default for Incident {
    fn default() -> Self {
        Self { service: "shop".to_owned(), severity: None, risk: 85.0, tried: Vec::new(), driver: Vec::new() }
    }
}

/// An `[[incident.driver]]` table; the fields are those of [`Driver`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each is the field of the same name of `Driver`")]
pub struct DriverTable {
    pub metric: String,
    #[serde(default = "half")]
    pub share: f64,
    #[serde(default)]
    pub value: f64,
    #[serde(default)]
    pub normal: f64,
    #[serde(default)]
    pub low: f64,
    #[serde(default)]
    pub high: f64,
    #[serde(default)]
    pub unit: String,
    #[serde(default)]
    pub trend: Trend,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

fn half() -> f64 {
    0.5
}

/// A `[[target]]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// `kind:name`.
    pub name: TargetId,
    /// How many instances are wanted; left out: as many as are written down, or else two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// The platform's floor.
    #[serde(default = "one")]
    pub min: u32,
    /// The platform's ceiling.
    #[serde(default = "six")]
    pub max: u32,
    /// Lifetime of cached answers; left out: there is no cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_ttl_ms: Option<u64>,
    /// When the platform last replaced all instances, in seconds since the epoch, 0 for never; left out: it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<u64>,
    /// A restarted instance comes back under another name, as pods of a Deployment do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub renames: bool,
    /// Entries are stored under keys.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stores_entries: bool,
    /// What can be set, and what it is set to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// The platform's autoscaler, where one owns the number of instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaler: Option<AutoscalerTable>,
    /// Its instances; left out: as many healthy ones as are wanted, `NAME-1` and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Vec<InstanceTable>>,
}

fn one() -> u32 {
    1
}

fn six() -> u32 {
    6
}

/// A `[target.autoscaler]` table; the fields are those of [`Autoscaler`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoscalerTable {
    /// For people.
    #[serde(default = "an_autoscaler")]
    pub name: String,
    /// Never fewer instances.
    pub min: u32,
    /// Never more.
    pub max: u32,
}

fn an_autoscaler() -> String {
    "an autoscaler".to_owned()
}

/// A `[[target.instance]]` table; the fields are those of [`Instance`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each is the field of the same name of `Instance`")]
pub struct InstanceTable {
    pub name: String,
    #[serde(default = "yes")]
    pub up: bool,
    #[serde(default)]
    pub isolated: bool,
    #[serde(default = "hundred")]
    pub weight: u32,
    #[serde(default)]
    pub generation: u64,
}

fn yes() -> bool {
    true
}

fn hundred() -> u32 {
    100
}

/// A `[[deny]]` table: the grant says no.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deny {
    /// To what.
    pub capability: ActionKind,
    /// On which target; left out: on all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetId>,
}

/// A `[[fail]]` table: the platform fails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fail {
    /// In which call.
    pub call: Call,
    /// How.
    pub error: FailError,
    /// Which call of this kind, from 1.
    #[serde(default = "one")]
    pub nth: u32,
}

/// The calls that reach a platform, as they are called in the record of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are in the attributes")]
pub enum Call {
    /// Every look at a target: also at its settings, and at whether it can be rolled out or stores entries.
    #[serde(rename = "incident.target.state")]
    Look,
    #[serde(rename = "scale.set-replicas")]
    Scale,
    #[serde(rename = "restart.restart-instance")]
    Restart,
    #[serde(rename = "traffic.set-weights")]
    Traffic,
    #[serde(rename = "isolate.set-isolated")]
    Isolate,
    #[serde(rename = "cache.set-ttl")]
    Cache,
    #[serde(rename = "rollout.roll-out")]
    Rollout,
    #[serde(rename = "configure.set")]
    Configure,
    #[serde(rename = "flush.by-prefix")]
    Flush,
}

impl From<&Action> for Call {
    fn from(action: &Action) -> Self {
        match action {
            // No component asks for bounds; they are how a scaling is taken back.
            Action::Scale { .. } | Action::Bounds { .. } => Self::Scale,
            Action::Restart { .. } => Self::Restart,
            Action::Shift { .. } => Self::Traffic,
            Action::Isolate { .. } => Self::Isolate,
            Action::Cache { .. } => Self::Cache,
            Action::Rollout { .. } => Self::Rollout,
            Action::Configure { .. } => Self::Configure,
            Action::Flush { .. } => Self::Flush,
        }
    }
}

/// The errors of the contract that a platform can cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the words of the contract")]
pub enum FailError {
    NotFound,
    Conflict,
    TimedOut,
    Unavailable,
    OutcomeUnknown,
    OverBudget,
}

/// The `[expect]` table. At most one of `plan`, `error` and `proposals`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// The lines of the plan, as approvers see them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Vec<String>>,
    /// How the error begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// A rule's proposals: `scale-out by=2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposals: Option<Vec<String>>,
    /// The lines that it logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<Vec<String>>,
    /// The notes afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<Notes>,
}

impl Case {
    /// What the component is told.
    #[must_use]
    pub fn view(&self) -> IncidentView {
        let metrics = |values: &BTreeMap<String, f64>| values.iter().map(|(name, v)| (name.clone(), *v)).collect();
        IncidentView {
            id: IncidentId(1),
            service: ServiceId(self.incident.service.clone()),
            severity: self.incident.severity.unwrap_or_else(|| Severity::of_risk(self.incident.risk)),
            risk: self.incident.risk,
            since: SINCE,
            drivers: self.incident.driver.iter().map(DriverTable::driver).collect(),
            targets: self.targets(),
            metrics: metrics(&self.metrics),
            instance_metrics: self.instance_metrics.iter().map(|(name, m)| (name.clone(), metrics(m))).collect(),
            tried: self.incident.tried.clone(),
            notes: self.notes.clone(),
        }
    }

    /// The targets as they are when the component is called.
    #[must_use]
    pub fn targets(&self) -> Vec<(TargetId, TargetState)> {
        match &self.target {
            Some(targets) => targets.iter().map(|t| (t.name.clone(), t.state())).collect(),
            // A service's name may hold what a target's cannot.
            None => format!("local:{}", self.incident.service)
                .parse()
                .or_else(|_| "local:shop".parse())
                .map(|name| Target {
                    name,
                    replicas: None,
                    min: one(),
                    max: six(),
                    cache_ttl_ms: Some(2_000),
                    rollout: None,
                    renames: false,
                    stores_entries: false,
                    settings: BTreeMap::new(),
                    autoscaler: None,
                    instance: None,
                })
                .map(|target| vec![(target.name.clone(), target.state())])
                .unwrap_or_default(),
        }
    }

    /// The names of its targets.
    #[must_use]
    pub fn target_ids(&self) -> Vec<TargetId> {
        self.targets().into_iter().map(|(id, _)| id).collect()
    }
}

impl DriverTable {
    fn driver(&self) -> Driver {
        Driver {
            metric: self.metric.clone(),
            share: self.share,
            value: self.value,
            normal: self.normal,
            low: self.low,
            high: self.high,
            unit: self.unit.clone(),
            trend: self.trend,
            recent: self.recent.clone(),
            instance: self.instance.clone(),
        }
    }
}

impl Target {
    /// How many instances are wanted.
    #[must_use]
    pub fn replicas(&self) -> u32 {
        let written = self.instance.as_ref().map(|list| u32::try_from(list.len()).unwrap_or(u32::MAX));
        self.replicas.or(written).unwrap_or(2)
    }

    /// The target as an adapter would see it.
    #[must_use]
    pub fn state(&self) -> TargetState {
        let replicas = self.replicas();
        let stem = self.name.name().rsplit('/').next().unwrap_or_default();
        let healthy =
            |n| Instance { name: format!("{stem}-{n}"), up: true, isolated: false, weight: hundred(), generation: 0 };
        let instances = match &self.instance {
            Some(list) => list.iter().map(InstanceTable::instance).collect(),
            None => (1..=replicas.min(MOST_INSTANCES)).map(healthy).collect(),
        };
        TargetState {
            replicas,
            min_replicas: self.min,
            max_replicas: self.max,
            instances,
            cache_ttl_ms: self.cache_ttl_ms,
            autoscaler: self.autoscaler.as_ref().map(AutoscalerTable::autoscaler),
            rollout: self.rollout,
            renames: self.renames,
            settings: self.settings.clone(),
            stores_entries: self.stores_entries,
            ..TargetState::default()
        }
    }
}

impl AutoscalerTable {
    fn autoscaler(&self) -> Autoscaler {
        Autoscaler { name: self.name.clone(), min: self.min, max: self.max }
    }
}

impl InstanceTable {
    fn instance(&self) -> Instance {
        Instance {
            name: self.name.clone(),
            up: self.up,
            isolated: self.isolated,
            weight: self.weight,
            generation: self.generation,
        }
    }
}

impl fmt::Display for FailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::TimedOut => "timed-out",
            Self::Unavailable => "unavailable",
            Self::OutcomeUnknown => "outcome-unknown",
            Self::OverBudget => "over-budget",
        })
    }
}

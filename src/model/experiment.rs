//! Chaos experiments as types: what is put into a service on purpose, where, for how long, and what is expected of it.
//!
//! The words are those of chaos engineering (principlesofchaos.org): a steady-state hypothesis, a method of faults, a blast
//! radius, abort conditions. What an experiment on file says is an [`Experiment`]; what would be done, with the places it
//! would be done at, is an [`ExperimentPlan`], and that has the digest that people approve.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Digest, ServiceId, TargetId, duration_text, in_words};

/// The longest that one experiment may take, and so the longest that any fault is in.
pub const LONGEST_EXPERIMENT: Duration = Duration::from_secs(3600);

/// One kind of fault with its measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// Processor time is burnt.
    Cpu {
        /// How much, in cores.
        #[serde(default = "one")]
        cores: f64,
    },
    /// Memory is taken and not given back, more and more.
    MemoryLeak {
        /// How fast.
        #[serde(default = "eight_mib")]
        bytes_per_second: u64,
        /// Never more than this.
        #[serde(default = "four_hundred_mib")]
        at_most: u64,
    },
    /// Memory is taken all at once.
    MemoryPressure {
        /// How much.
        #[serde(default = "quarter_gib")]
        bytes: u64,
    },
    /// A disk fills up.
    DiskFill {
        /// How much is written.
        #[serde(default = "quarter_gib")]
        bytes: u64,
        /// How fast.
        #[serde(default = "thirty_two_mib")]
        bytes_per_second: u64,
    },
    /// A disk is kept busy with writes that are made durable.
    DiskIo {
        /// Bytes of one write.
        #[serde(default = "four_mib")]
        block: u64,
    },
    /// Answers come later.
    Latency {
        /// By how much.
        #[serde(default = "half_a_second", with = "duration_text")]
        delay: Duration,
        /// Give or take.
        #[serde(default, with = "duration_text")]
        jitter: Duration,
        /// The part of the requests, 0 to 1.
        #[serde(default = "one")]
        share: f64,
    },
    /// Connections break off; where packets can be touched, they are lost.
    Resets {
        /// The part of the requests, or of the packets, 0 to 1.
        #[serde(default = "fifteen_percent")]
        share: f64,
    },
    /// Requests are answered with an error.
    Errors {
        /// The part of the requests, 0 to 1.
        #[serde(default = "half")]
        share: f64,
        /// The HTTP status.
        #[serde(default = "status_500")]
        status: u16,
    },
    /// Connections of a pool leak away.
    PoolExhaustion {
        /// Time from one to the next.
        #[serde(default = "one_second", with = "duration_text")]
        every: Duration,
    },
    /// The process dies.
    Crash,
    /// The process lives and does not answer.
    Hang,
    /// Nothing gets through between the service and this instance.
    Partition,
    /// The load grows.
    Load {
        /// To so many times the usual.
        #[serde(default = "three")]
        factor: f64,
    },
    /// A pod is deleted.
    PodKill,
}

fn one() -> f64 {
    1.0
}
fn three() -> f64 {
    3.0
}
fn half() -> f64 {
    0.5
}
fn fifteen_percent() -> f64 {
    0.15
}
fn status_500() -> u16 {
    500
}
fn one_second() -> Duration {
    Duration::from_secs(1)
}
fn half_a_second() -> Duration {
    Duration::from_millis(500)
}
fn four_mib() -> u64 {
    4 << 20
}
fn eight_mib() -> u64 {
    8 << 20
}
fn thirty_two_mib() -> u64 {
    32 << 20
}
fn quarter_gib() -> u64 {
    256 << 20
}
fn four_hundred_mib() -> u64 {
    400 << 20
}

/// A kind of fault without its measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// See [`Fault::Cpu`].
    Cpu,
    /// See [`Fault::MemoryLeak`].
    MemoryLeak,
    /// See [`Fault::MemoryPressure`].
    MemoryPressure,
    /// See [`Fault::DiskFill`].
    DiskFill,
    /// See [`Fault::DiskIo`].
    DiskIo,
    /// See [`Fault::Latency`].
    Latency,
    /// See [`Fault::Resets`].
    Resets,
    /// See [`Fault::Errors`].
    Errors,
    /// See [`Fault::PoolExhaustion`].
    PoolExhaustion,
    /// See [`Fault::Crash`].
    Crash,
    /// See [`Fault::Hang`].
    Hang,
    /// See [`Fault::Partition`].
    Partition,
    /// See [`Fault::Load`].
    Load,
    /// See [`Fault::PodKill`].
    PodKill,
}

impl FaultKind {
    /// All of them, in the order of the documents.
    pub const ALL: [Self; 14] = [
        Self::Cpu,
        Self::MemoryLeak,
        Self::MemoryPressure,
        Self::DiskFill,
        Self::DiskIo,
        Self::Latency,
        Self::Resets,
        Self::Errors,
        Self::PoolExhaustion,
        Self::Crash,
        Self::Hang,
        Self::Partition,
        Self::Load,
        Self::PodKill,
    ];

    /// As it stands in files and commands.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::MemoryLeak => "memory-leak",
            Self::MemoryPressure => "memory-pressure",
            Self::DiskFill => "disk-fill",
            Self::DiskIo => "disk-io",
            Self::Latency => "latency",
            Self::Resets => "resets",
            Self::Errors => "errors",
            Self::PoolExhaustion => "pool-exhaustion",
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Partition => "partition",
            Self::Load => "load",
            Self::PodKill => "pod-kill",
        }
    }

    /// Is it over at once, so that there is nothing to take out again? What died stays dead until somebody heals it.
    #[must_use]
    pub fn is_a_blow(self) -> bool {
        matches!(self, Self::Crash | Self::PodKill)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Fault {
    /// Which kind.
    #[must_use]
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::Cpu { .. } => FaultKind::Cpu,
            Self::MemoryLeak { .. } => FaultKind::MemoryLeak,
            Self::MemoryPressure { .. } => FaultKind::MemoryPressure,
            Self::DiskFill { .. } => FaultKind::DiskFill,
            Self::DiskIo { .. } => FaultKind::DiskIo,
            Self::Latency { .. } => FaultKind::Latency,
            Self::Resets { .. } => FaultKind::Resets,
            Self::Errors { .. } => FaultKind::Errors,
            Self::PoolExhaustion { .. } => FaultKind::PoolExhaustion,
            Self::Crash => FaultKind::Crash,
            Self::Hang => FaultKind::Hang,
            Self::Partition => FaultKind::Partition,
            Self::Load { .. } => FaultKind::Load,
            Self::PodKill => FaultKind::PodKill,
        }
    }

    /// What is wrong with its measure, with what to write instead.
    ///
    /// # Errors
    /// The key and the reason.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let share = |share: f64| {
            let fits = share > 0.0 && share <= 1.0;
            fits.then_some(()).ok_or_else(|| ("share", format!("{share} is not a part: more than 0, at most 1")))
        };
        let bytes = |key: &'static str, n: u64, most: u64| match n {
            0 => Err((key, "0 is no fault: write how many bytes, like 268435456".to_owned())),
            n if n > most => Err((key, format!("{n} is more than is ever done on purpose: at most {most}"))),
            _ => Ok(()),
        };
        const GIB: u64 = 1 << 30;
        match self {
            Self::Cpu { cores } if !(*cores > 0.0 && *cores <= 64.0) => {
                Err(("cores", format!("{cores} is no number of cores: more than 0, at most 64")))
            }
            Self::MemoryLeak { bytes_per_second, at_most } => {
                bytes("bytes_per_second", *bytes_per_second, GIB).and_then(|()| bytes("at_most", *at_most, 16 * GIB))
            }
            Self::MemoryPressure { bytes: n } => bytes("bytes", *n, 16 * GIB),
            Self::DiskFill { bytes: n, bytes_per_second } => {
                bytes("bytes", *n, 64 * GIB).and_then(|()| bytes("bytes_per_second", *bytes_per_second, GIB))
            }
            Self::DiskIo { block } => bytes("block", *block, 64 << 20),
            Self::Latency { delay, .. } if delay.is_zero() || *delay > Duration::from_secs(60) => {
                Err(("delay", format!("{} is no delay: more than 0, at most 60s", in_words(*delay))))
            }
            Self::Latency { delay, jitter, .. } if jitter > delay => {
                Err(("jitter", "it is longer than the delay".to_owned()))
            }
            Self::Latency { share: part, .. } | Self::Resets { share: part } => share(*part),
            Self::Errors { status, .. } if !(400..600).contains(status) => {
                Err(("status", format!("{status} is no error: 400 to 599")))
            }
            Self::Errors { share: part, .. } => share(*part),
            Self::PoolExhaustion { every } if every.is_zero() => {
                Err(("every", "it is 0: write like \"1s\"".to_owned()))
            }
            Self::Load { factor } if !(*factor > 1.0 && *factor <= 20.0) => {
                Err(("factor", format!("{factor} is no surge: more than 1, at most 20")))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Fault {
    /// What it does, in words: `answers come 500 ms later`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: &u64| super::number::humane(*bytes as f64, "bytes");
        let part = |share: &f64| format!("{} %", super::number::humane(share * 100.0, ""));
        match self {
            Self::Cpu { cores } => {
                write!(f, "{} of processor time are burnt", super::number::humane(*cores, "cores"))
            }
            Self::MemoryLeak { bytes_per_second, at_most } => {
                write!(f, "{} of memory leak a second, at most {}", mib(bytes_per_second), mib(at_most))
            }
            Self::MemoryPressure { bytes } => write!(f, "{} of memory are taken", mib(bytes)),
            Self::DiskFill { bytes, bytes_per_second } => {
                write!(f, "{} are written to disk, {} a second", mib(bytes), mib(bytes_per_second))
            }
            Self::DiskIo { block } => write!(f, "the disk is kept busy with writes of {}", mib(block)),
            Self::Latency { delay, jitter, share } => {
                let what = if *share < 1.0 { format!("{} of the answers", part(share)) } else { "answers".to_owned() };
                write!(f, "{what} come {} later", in_words(*delay))?;
                if jitter.is_zero() { Ok(()) } else { write!(f, ", give or take {}", in_words(*jitter)) }
            }
            Self::Resets { share } => write!(f, "{} of the connections break off", part(share)),
            Self::Errors { share, status } => write!(f, "{} of the requests are answered {status}", part(share)),
            Self::PoolExhaustion { every } => write!(f, "a connection of the pool leaks every {}", in_words(*every)),
            Self::Crash => f.write_str("the process dies"),
            Self::Hang => f.write_str("the process lives and does not answer"),
            Self::Partition => f.write_str("nothing gets through to it"),
            Self::Load { factor } => write!(f, "{} times the usual load", super::number::humane(*factor, "")),
            Self::PodKill => f.write_str("the pod is deleted"),
        }
    }
}

/// How much of a service may be hit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlastRadius {
    /// At most so many instances.
    pub instances: u32,
    /// Never more than this part of those that serve, 0 to 1; of two, one may always be hit.
    pub share: f64,
}

impl Default for BlastRadius {
    fn default() -> Self {
        Self { instances: 1, share: 0.5 }
    }
}

impl BlastRadius {
    /// How many of so many serving instances may be hit: none, when the share does not allow a single one.
    #[must_use]
    pub fn of(&self, serving: usize) -> usize {
        let by_share = (serving as f64 * self.share).floor() as usize;
        let by_share = if serving >= 2 && self.share > 0.0 { by_share.max(1) } else { by_share };
        by_share.min(self.instances as usize)
    }
}

/// Bounds of one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricBound {
    /// Which: `errors_ratio`.
    pub metric: String,
    /// Not above this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// Not below this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// Outside so many samples in a row before it counts.
    #[serde(default = "one_sample")]
    pub samples: u32,
}

fn one_sample() -> u32 {
    1
}

impl MetricBound {
    /// Does this value keep it?
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        self.at_most.is_none_or(|most| value <= most) && self.at_least.is_none_or(|least| value >= least)
    }
}

impl fmt::Display for MetricBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.at_least, self.at_most) {
            (Some(least), Some(most)) => write!(f, "{} from {least} to {most}", self.metric),
            (Some(least), None) => write!(f, "{} at least {least}", self.metric),
            (None, Some(most)) => write!(f, "{} at most {most}", self.metric),
            (None, None) => write!(f, "{} is there", self.metric),
        }
    }
}

/// The steady-state hypothesis: what is true of the service before, and is to be true again after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SteadyState {
    /// The detector calls the service normal, and no incident of it is open.
    pub detector: bool,
    /// So many samples in a row have to be steady.
    pub samples: u32,
    /// How long it may take to be steady again once the faults are out and the healing is over.
    #[serde(with = "duration_text")]
    pub within: Duration,
    /// Bounds of metrics besides.
    pub metrics: Vec<MetricBound>,
}

impl Default for SteadyState {
    fn default() -> Self {
        Self { detector: true, samples: 3, within: Duration::from_secs(60), metrics: Vec::new() }
    }
}

/// One fault of a method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MethodStep {
    /// What.
    #[serde(flatten)]
    pub fault: Fault,
    /// How long after the step before began, or ended where they come in order.
    #[serde(with = "duration_text")]
    pub after: Duration,
    /// How long it stays in.
    #[serde(rename = "for", with = "duration_text")]
    pub lasts: Duration,
    /// These instances; left out: chosen by lot within the blast radius.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<String>,
}

/// When an experiment is broken off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AbortRules {
    /// An incident of another service opens.
    pub other_incident: bool,
    /// Bounds whose breach ends it.
    pub metrics: Vec<MetricBound>,
}

impl Default for AbortRules {
    fn default() -> Self {
        Self { other_incident: true, metrics: Vec::new() }
    }
}

/// What is expected of the healing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expectation {
    /// The detector opens an incident within this time of the first fault.
    #[serde(with = "duration_text")]
    pub detected_within: Duration,
    /// One of these playbooks answers; empty: any, or none.
    pub playbooks: Vec<String>,
    /// The service is well again within this time of the first fault.
    #[serde(with = "duration_text")]
    pub healed_within: Duration,
}

impl Default for Expectation {
    fn default() -> Self {
        Self {
            detected_within: Duration::from_secs(30),
            playbooks: Vec::new(),
            healed_within: Duration::from_secs(300),
        }
    }
}

/// An experiment as its file has it, read and found sound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// The name of its file: `latency`.
    pub name: String,
    /// In one line.
    pub title: String,
    /// Why anybody does this, and what is learned; may be long.
    pub description: String,
    /// On which service, where the command does not say.
    pub service: Option<ServiceId>,
    /// What is true before and after.
    pub steady_state: SteadyState,
    /// One after the other instead of together.
    pub in_order: bool,
    /// The faults.
    pub method: Vec<MethodStep>,
    /// How much of the service may be hit.
    pub blast_radius: BlastRadius,
    /// When it is broken off.
    pub abort: AbortRules,
    /// What is expected of the healing.
    pub expect: Expectation,
    /// SHA-256 of the file.
    pub digest: Digest,
}

impl Experiment {
    /// When each step begins and ends, from the start of the method.
    #[must_use]
    pub fn timetable(&self) -> Vec<(Duration, Duration)> {
        let mut table: Vec<(Duration, Duration)> = Vec::new();
        for step in &self.method {
            let before =
                table.last().map_or(Duration::ZERO, |(from, until)| if self.in_order { *until } else { *from });
            let from = before + step.after;
            table.push((from, from + step.lasts));
        }
        table
    }

    /// How long its faults take, all together.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        self.timetable().into_iter().map(|(_, until)| until).max().unwrap_or_default()
    }
}

/// One fault with the places it is for, and the way back: in the ledger before the fault is in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AimedFault {
    /// What.
    pub fault: Fault,
    /// On what.
    pub target: TargetId,
    /// Which instances of it; empty where it is about the whole.
    pub instances: Vec<String>,
    /// When it goes in, from the start of the method.
    #[serde(with = "duration_text")]
    pub from: Duration,
    /// When it comes out at the latest.
    #[serde(with = "duration_text")]
    pub until: Duration,
    /// How it is put in, in words for who approves: `by the balancer in front of shop-2`.
    pub how: String,
    /// How it is taken out again, in words.
    pub undo: String,
    /// What the adapter needs to take it out, also when nobody remembers anything else.
    #[serde(default)]
    pub held: serde_json::Value,
}

/// What an experiment would do, exactly. People approve its digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExperimentPlan {
    /// The experiment.
    pub experiment: Experiment,
    /// On which service.
    pub service: ServiceId,
    /// Its faults with their places.
    pub faults: Vec<AimedFault>,
}

impl ExperimentPlan {
    /// SHA-256 over everything in it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// How an experiment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExperimentOutcome {
    /// The service was steady again, and everything came as expected.
    Passed,
    /// Something did not come as expected.
    Failed,
    /// Broken off: by a rule, by a person, or because Suture went away.
    Aborted,
}

impl fmt::Display for ExperimentOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
        })
    }
}

/// Where in an experiment the steady state was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Before the first fault.
    Before,
    /// While faults are in: the worst that was seen.
    During,
    /// After the last one is out.
    After,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::During => "during",
            Self::After => "after",
        })
    }
}

/// What was seen of one metric at one stage: the value furthest to its bad side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricSeen {
    /// Which.
    pub metric: String,
    /// Its value; `None` when it was not there.
    pub value: Option<f64>,
    /// The bound that it was held against, in words; empty when none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub bound: String,
    /// Did it keep it?
    pub holds: bool,
}

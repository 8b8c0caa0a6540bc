//! The faults that `suture demo` puts into the sample service, by their names on the command line.
//!
//! Each is a fault of a chaos experiment with measures of its own; what it does inside a worker is in `illness`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::model::Fault as Exact;

/// What can go wrong with the sample service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Three times the usual load.
    Load,
    /// A runaway computation in one worker: every request burns processor time.
    Cpu,
    /// One worker loses 8 MB a second, up to 400 MB.
    MemoryLeak,
    /// One worker takes 256 MB at once.
    MemoryPressure,
    /// One worker's spool file grows by 32 MB a second, up to 256 MB.
    DiskFill,
    /// One worker writes a journal to disk, and its requests wait for it.
    DiskIo,
    /// One worker's database answers 300 ms later.
    Latency,
    /// Connections through the balancer to one worker break off.
    Resets,
    /// One worker answers half of its requests with an error.
    Errors,
    /// One worker aborts.
    Crash,
    /// One worker lives and does not answer.
    Hang,
    /// Nothing gets through from the balancer to one worker.
    Partition,
    /// One worker's database connections leak away until one is left.
    PoolExhaustion,
}

/// Who puts a fault in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The load generator.
    Load,
    /// The worker, through its door.
    Worker,
    /// The supervisor: on the way to the worker, or by a signal to it.
    Supervisor,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Load,
        Self::Cpu,
        Self::MemoryLeak,
        Self::MemoryPressure,
        Self::DiskFill,
        Self::DiskIo,
        Self::Latency,
        Self::Resets,
        Self::Errors,
        Self::Crash,
        Self::Hang,
        Self::Partition,
        Self::PoolExhaustion,
    ];

    /// The word on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.exact().kind().name()
    }

    /// What it does, in one line.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Load => "the load triples",
            Self::Cpu => "a runaway computation in one worker: every request burns 35 ms of processor time",
            Self::MemoryLeak => "one worker leaks 8 MB a second",
            Self::MemoryPressure => "one worker takes 256 MB of memory at once",
            Self::DiskFill => "the spool file of one worker grows by 32 MB a second",
            Self::DiskIo => "one worker writes a journal to disk, and its requests wait for it",
            Self::Latency => "the database answers one worker 300 ms later",
            Self::Resets => "30 % of the connections through the balancer to one worker break off",
            Self::Errors => "one worker answers half of its requests with an error",
            Self::Crash => "one worker aborts",
            Self::Hang => "one worker lives and does not answer",
            Self::Partition => "nothing gets through from the balancer to one worker",
            Self::PoolExhaustion => "one worker leaks its database connections until one is left",
        }
    }

    /// With its measure.
    pub(super) fn exact(self) -> Exact {
        match self {
            Self::Load => Exact::Load { factor: 3.0 },
            Self::Cpu => Exact::Cpu { cores: 1.0 },
            Self::MemoryLeak => Exact::MemoryLeak { bytes_per_second: 8 << 20, at_most: 400 << 20 },
            Self::MemoryPressure => Exact::MemoryPressure { bytes: 256 << 20 },
            Self::DiskFill => Exact::DiskFill { bytes: 256 << 20, bytes_per_second: 32 << 20 },
            Self::DiskIo => Exact::DiskIo { block: 4 << 20 },
            Self::Latency => Exact::Latency { delay: Duration::from_millis(300), jitter: Duration::ZERO, share: 1.0 },
            Self::Resets => Exact::Resets { share: 0.3 },
            Self::Errors => Exact::Errors { share: 0.5, status: 500 },
            Self::Crash => Exact::Crash,
            Self::Hang => Exact::Hang,
            Self::Partition => Exact::Partition,
            Self::PoolExhaustion => Exact::PoolExhaustion { every: Duration::from_secs(1) },
        }
    }

    pub(super) fn by(self) -> By {
        match self {
            Self::Load => By::Load,
            Self::Hang | Self::Partition | Self::Resets => By::Supervisor,
            _ => By::Worker,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultError(String);

impl std::error::Error for FaultError {}

impl fmt::Display for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
        write!(f, "`{}` is not a fault: {}", self.0, names.join(", "))
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|fault| fault.name() == text);
        known.ok_or_else(|| FaultError(text.chars().take(40).collect()))
    }
}

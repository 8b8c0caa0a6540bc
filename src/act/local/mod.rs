//! The `local:` target: a command that runs in several processes behind a balancer on this machine.
//!
//! ```text
//!  daemon ── LocalActuator ──(HTTP over a unix socket)── supervisor ──┬── worker 1
//!     └───── LocalProcess ───(pipe: EOF ends everything)───┘   └ balancer ┴── worker 2 ...
//! ```
//! The supervisor is a process of its own, of the same binary: it owns the workers, balances requests over them,
//! and is the only place where their state lives, so that a target with `outlive` survives the daemon. It does
//! exactly one action at a time and compares *before* in the same breath.
//!
//! It also puts faults into them, on purpose and each held by a lease (see `faults`).
//!
//! Must never leave an orphan: workers die with the supervisor, even by `kill -9` (see `guard`), and the supervisor
//! dies with the daemon through the pipe on its stdin unless the target outlives it. Must never restart a worker that
//! died by itself: healing is Suture's job, and is written down.
//!
//! Called by the composition root ([`LocalProcess`], [`LocalActuator`]) and by `main` for the hidden subcommands
//! ([`LocalCommand`]).

mod actions;
mod balancer;
mod call;
mod client;
mod command;
mod control;
mod door;
mod dry;
mod faults;
mod fleet;
mod front;
mod guard;
mod page;
mod process;
mod spawn;
mod stress;
mod supervisor;
mod wire;

use std::path::PathBuf;

pub(crate) use call::{CallError, Peer, call};
pub(crate) use client::{FaultCallError, faults as faults_of, put_fault, renew_fault, take_fault_out};
pub use client::{LocalActuator, Timeouts};
pub use command::LocalCommand;
pub(crate) use command::{log_to_stderr, parent_closed, told};
pub use dry::dry_target;
pub(crate) use page::{BUCKETS, PAGE_TYPE, page};
pub use spawn::{LocalProcess, report};
pub use stress::Stress;
pub(crate) use stress::{Fill, fits, nameless_file, write_through};
pub use supervisor::{SuperviseOptions, supervise};
pub use wire::{FaultsReport, HeldFault, Means, Report, Traffic, WorkerReport};
pub(crate) use wire::{PutFault, Refusal};

/// Why a local target could not be started or found.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The settings make no sense.
    #[error("target {target}: {why}")]
    Settings {
        /// Which target.
        target: String,
        /// What is wrong and what to write instead.
        why: String,
    },
    /// A file or folder could not be used.
    #[error("{what} {path}: {why}")]
    File {
        /// What was tried: `cannot write`, `cannot read`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// The operating system's words.
        why: String,
    },
    /// A port or socket could not be listened on.
    #[error("cannot listen on {place}: {why}")]
    Listen {
        /// Address or path.
        place: String,
        /// The operating system's words and the remedy.
        why: String,
    },
    /// A worker did not become ready.
    #[error("target {target}: {why}")]
    NotReady {
        /// Which target.
        target: String,
        /// Which worker, why, and where its log is.
        why: String,
    },
    /// A process could not be started.
    #[error("cannot start {what}: {why}")]
    Spawn {
        /// Which process.
        what: String,
        /// The operating system's words and the remedy.
        why: String,
    },
    /// The supervisor does not answer.
    #[error("the supervisor of {target} does not answer: {why}")]
    NoAnswer {
        /// Which target.
        target: String,
        /// What happened.
        why: String,
    },
    /// The operating system refused something a process needs for itself.
    #[error("{0}")]
    System(String),
}

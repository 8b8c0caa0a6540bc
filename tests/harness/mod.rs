//! A whole Suture in memory: a cluster whose replica counts move, a journal that can die, playbooks in plain Rust,
//! and a service that is unwell until its target is as it needs it. And the real thing: the binary as a child process,
//! with a page that it measures and a folder that it may use.

mod channel;
mod cluster;
#[allow(dead_code, unused_imports, reason = "a fake plays more than the cases of today ask of it")]
mod discord;
mod facts;
pub mod haproxy;
mod healer;
mod journal;
#[allow(dead_code, unused_imports, reason = "a fake plays more than the cases of today ask of it")]
pub mod kube;
mod loop_driver;
#[cfg(feature = "aws")]
mod moto;
mod page;
mod process;
#[cfg(feature = "promql")]
pub mod prometheus;
pub mod redis_server;
mod rig;
#[allow(dead_code, unused_imports, reason = "a fake plays more than the cases of today ask of it")]
pub mod slack;

pub use channel::{Channel, Discord, Seen, Slack};
pub use cluster::FakeCluster;
pub use facts::{count, events, is_sound, of_kind, place, state};
pub use healer::{AnyPermit, FakeHealer};
pub use journal::{Cut, MemJournal};
pub use loop_driver::{Life, Script, World};
#[cfg(feature = "aws")]
pub use moto::{Asked, Gate, Moto, Verdict, accounts, accounts_within, aws_at, refreshes, result};
pub use page::{Gives, Page};
pub use process::{
    PATIENCE, Running, Said, eventually, folder, nobody_left, processes_of, quiet_machine, run_in, suture, warm,
};
#[cfg(feature = "promql")]
pub use prometheus::{Exporter, Prometheus, Setup, Workloads, get};
pub use rig::{Rig, Ways, ctl};

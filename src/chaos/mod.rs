//! Chaos: faults that are put into a service on purpose, under a hypothesis, for a time, and taken out again whatever happens.
//!
//! A fault is held by a lease. The adapter that put it in takes it out by itself when nobody renews the lease; so it ends when
//! its time is over, when the experiment is stopped, and when Suture dies. Its undo is in the ledger before it goes in.
//! Must never put in what was not approved, or hit more than the blast radius allows. The life of an experiment is decided in
//! `incident`; here is the port to what can make things sick, one adapter a kind of target, and all about experiments that is
//! pure: their files, their words, their reports and scores. Called by the composition root.

pub mod file;
mod inject;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod library;
#[cfg(feature = "local")]
mod load;
#[cfg(feature = "local")]
mod local;
pub mod markdown;
pub mod report;
pub mod score;
pub mod words;

pub use inject::{Aim, InjectError, Injector, LEASE, RENEW_EVERY, Wish};
pub use library::{Entry, Library, Origin};
#[cfg(feature = "local")]
pub use load::WithLoad;
#[cfg(feature = "local")]
pub use local::LocalInjector;
pub use report::Report;
pub use score::ScoreBoard;

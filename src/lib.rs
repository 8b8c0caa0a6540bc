//! Suture heals running services from a chat channel. Modules stand in the order in which data flows.

pub mod model;

pub mod platform;

pub mod collect;

pub mod detect;
pub mod evaluate;

pub mod decide;
pub mod incident;
pub mod ledger;

#[cfg(feature = "oci")]
pub mod oci;
pub mod wasm;

pub mod act;

pub mod engine;

pub mod replay;

pub mod chat;

pub mod config;

pub mod chaos;
pub mod supervise;

pub mod app;
pub mod author;
pub mod cli;

#[cfg(feature = "local")]
pub mod load;
#[cfg(feature = "local")]
pub mod sample;

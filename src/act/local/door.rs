//! The door for faults that a worker's program may have: a path of its own, by the key `faults` of the target.
//!
//! Everything that comes back is a stranger's word: bounded, and shown as an excerpt.

use std::time::Duration;

use hyper::Method;
use serde::Serialize;

use super::call::{Peer, call};
use super::process::Handle;
use super::wire::Refusal;
use crate::model::{Fault, FaultKind};

/// How long a worker may take at its door: less than what "stop means out within 2 s" leaves.
const DOOR_WITHIN: Duration = Duration::from_millis(1500);
/// Of what a worker answers, so much is shown.
const EXCERPT: usize = 200;

#[derive(Serialize)]
struct PutIn<'a> {
    id: &'a str,
    fault: &'a Fault,
    lease_ms: u64,
}

/// The kinds that a worker knows. Words that are none are left out: its program may know more than we do.
pub(super) async fn kinds(worker: &Handle, path: &str) -> Vec<FaultKind> {
    let Ok(reply) = call(Peer::Tcp(worker.addr), Method::GET, path, None, DOOR_WITHIN).await else { return Vec::new() };
    let words: Vec<String> = match reply.status.is_success() {
        true => serde_json::from_slice(&reply.body).unwrap_or_default(),
        false => Vec::new(),
    };
    FaultKind::ALL.into_iter().filter(|kind| words.iter().any(|word| word == kind.name())).collect()
}

/// Puts a fault in, or renews its lease.
pub(super) async fn put_in(
    worker: &Handle,
    path: &str,
    id: &str,
    fault: &Fault,
    lease: Duration,
    name: &str,
) -> Result<(), Refusal> {
    let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
    let body = serde_json::to_vec(&PutIn { id, fault, lease_ms }).unwrap_or_default();
    match call(Peer::Tcp(worker.addr), Method::PUT, path, Some(body), DOOR_WITHIN).await {
        Ok(reply) if reply.status.is_success() => Ok(()),
        Ok(reply) => {
            let words: String =
                String::from_utf8_lossy(&reply.body).chars().filter(|c| !c.is_control()).take(EXCERPT).collect();
            let why = format!("{name} refuses at its door, {path} ({}): {words}", reply.status.as_u16());
            Err(Refusal::Unsupported { why })
        }
        Err(error) => Err(Refusal::Unavailable { subject: name.to_owned(), why: format!("its door, {path}: {error}") }),
    }
}

/// Takes a fault out. Of one that is not in this is no error, as whatever the worker answers is none: it has heard it.
pub(super) async fn take_out(worker: &Handle, path: &str, id: &str) -> Result<(), String> {
    let path = format!("{}/{id}", path.trim_end_matches('/'));
    match call(Peer::Tcp(worker.addr), Method::DELETE, &path, None, DOOR_WITHIN).await {
        Ok(reply) if reply.status.is_server_error() => Err(format!("its door answers {}", reply.status.as_u16())),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

//! What the config says of targets: the `[[target]]` tables.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{TargetId, duration_text};

/// A `[[target]]` table of kind `local:`: a command that runs in several processes behind a balancer on this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalSettings {
    /// `local:shop`.
    pub name: TargetId,
    /// The program and its arguments. `{port}` and `{instance}` are filled in for each worker; each must listen on
    /// 127.0.0.1:{port}, and a shell among them must `exec` the program, or it could be left behind.
    pub command: Vec<String>,
    /// How many workers at the start.
    #[serde(default = "two")]
    pub workers: u32,
    /// Never fewer.
    #[serde(default = "one")]
    pub min_workers: u32,
    /// Never more.
    #[serde(default = "eight")]
    pub max_workers: u32,
    /// Where the balancer listens; port 0 takes a free one. Loopback addresses only.
    #[serde(default = "any_loopback")]
    pub listen: SocketAddr,
    /// Path that answers 2xx when a worker is ready.
    #[serde(default = "healthz")]
    pub health: String,
    /// Path of the worker's metrics page, for service discovery.
    #[serde(default = "metrics")]
    pub metrics: String,
    /// Path that takes `PUT` with `{"ttl_ms": 1000}` and answers `GET` with the same, where workers have a cache to
    /// steer.
    #[serde(default)]
    pub cache: Option<String>,
    /// How long a worker may take to become ready.
    #[serde(default = "ten_seconds", with = "duration_text")]
    pub ready_within: Duration,
    /// How long a worker may take to stop before it is killed.
    #[serde(default = "five_seconds", with = "duration_text")]
    pub stop_within: Duration,
    /// Most requests at once in one worker. When all serving workers have that many, the balancer answers 503.
    #[serde(default = "many_at_once")]
    pub max_in_flight: u32,
    /// Workers live on when the daemon stops or dies, and are found again when it comes back.
    #[serde(default)]
    pub outlive: bool,
}

fn one() -> u32 {
    1
}
fn two() -> u32 {
    2
}
fn eight() -> u32 {
    8
}
fn many_at_once() -> u32 {
    256
}
fn any_loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
fn healthz() -> String {
    "/healthz".to_owned()
}
fn metrics() -> String {
    "/metrics".to_owned()
}
fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}
fn five_seconds() -> Duration {
    Duration::from_secs(5)
}

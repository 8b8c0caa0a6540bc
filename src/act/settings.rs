//! What the config says of targets: the `[[target]]` tables.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use std::path::PathBuf;

use crate::model::{SecretRef, TargetId, duration_text};
use crate::platform::AwsSettings;

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
    /// Path of the program's own door for faults, for chaos experiments: `PUT` with `{"id", "fault", "lease_ms"}` puts one
    /// in and renews it, `DELETE {faults}/ID` takes it out, and `GET` answers with the names of those it knows. A fault
    /// whose lease runs out must go by itself. The balancer passes no request on to it.
    #[serde(default)]
    pub faults: Option<String>,
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
fn ten_minutes() -> Duration {
    Duration::from_secs(600)
}
fn thirty_minutes() -> Duration {
    Duration::from_secs(1800)
}

/// A `[[target]]` table of kind `k8s:`. The name says what: `k8s:prod/deployment/web`, `k8s:prod/statefulset/db`,
/// `k8s:prod/httproute/web`, `k8s:prod/virtualservice/web`, `k8s:prod/destinationrule/web`, `k8s:prod/configmap/web`,
/// `k8s:node/worker-1`; in front of it a cluster's name, where there are several: `k8s:east/prod/deployment/web`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubernetesSettings {
    /// `k8s:prod/deployment/web`.
    pub name: TargetId,
    /// Never fewer.
    #[serde(default = "one")]
    pub min_replicas: u32,
    /// Never more; where an autoscaler owns the workload and this is left out, its own bound.
    #[serde(default)]
    pub max_replicas: Option<u32>,
    /// How long a change may take to be in effect.
    #[serde(default = "ten_minutes", with = "duration_text")]
    pub ready_within: Duration,
    /// ConfigMaps: the keys that may be set. None: nothing is.
    #[serde(default)]
    pub keys: Vec<String>,
    /// ConfigMaps: the key whose value is the lifetime of cached answers, and the unit of that number.
    #[serde(default)]
    pub ttl_key: Option<String>,
    /// The unit of that number.
    #[serde(default)]
    pub ttl_unit: TtlUnit,
}

impl KubernetesSettings {
    /// What holds for a target that has no table of its own.
    #[must_use]
    pub fn of(name: TargetId) -> Self {
        Self {
            name,
            min_replicas: one(),
            max_replicas: None,
            ready_within: ten_minutes(),
            keys: Vec::new(),
            ttl_key: None,
            ttl_unit: TtlUnit::default(),
        }
    }
}

/// What a stored lifetime counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TtlUnit {
    /// Seconds.
    #[default]
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// A `[[target]]` table of kind `asg:`: an EC2 Auto Scaling group. The name behind the colon is the group's.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AsgSettings {
    /// `asg:web`.
    pub name: TargetId,
    /// The group's own name, where it has characters that a target's name cannot have.
    #[serde(default)]
    pub group: Option<String>,
    /// Which account and region.
    #[serde(default)]
    pub aws: AwsSettings,
    /// How long a change may take to be in effect.
    #[serde(default = "thirty_minutes", with = "duration_text")]
    pub ready_within: Duration,
}

impl AsgSettings {
    /// What holds for a target that has no table of its own.
    #[must_use]
    pub fn of(name: TargetId) -> Self {
        Self { name, group: None, aws: AwsSettings::default(), ready_within: thirty_minutes() }
    }
}

/// A `[[target]]` table of kind `elb:`: the target groups that a listener, or one rule of it, forwards to by weight.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElbSettings {
    /// `elb:web`.
    pub name: TargetId,
    /// The ARN of a listener: its default action is changed.
    #[serde(default)]
    pub listener: Option<String>,
    /// The ARN of a listener's rule: its action is changed.
    #[serde(default)]
    pub rule: Option<String>,
    /// Which account and region.
    #[serde(default)]
    pub aws: AwsSettings,
}

/// A `[[target]]` table of kind `haproxy:`: a backend, through HAProxy's runtime API. The name behind the colon is the
/// backend's.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HaproxySettings {
    /// `haproxy:be_shop`.
    pub name: TargetId,
    /// The runtime socket, with `level admin`. Relative to the config file.
    #[serde(default)]
    pub socket: Option<PathBuf>,
    /// The same over TCP, on this machine only: nobody asks for a password there.
    #[serde(default)]
    pub address: Option<SocketAddr>,
    /// How long one command may take.
    #[serde(default = "five_seconds", with = "duration_text")]
    pub timeout: Duration,
    /// How long a drain may take until no connection is left. Then the drain stands, and who waits is told.
    #[serde(default = "ten_seconds", with = "duration_text")]
    pub drain_within: Duration,
}

/// A `[[target]]` table of kind `redis:`: a Redis server, or one that speaks its protocol.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSettings {
    /// `redis:cache`.
    pub name: TargetId,
    /// `redis://127.0.0.1:6379/0`, `rediss://` with TLS, `redis+unix:///run/redis.sock`. No password in it.
    pub url: String,
    /// The user, where there are users (ACL).
    #[serde(default)]
    pub username: Option<String>,
    /// Where the password is.
    #[serde(default)]
    pub password: Option<SecretRef>,
    /// With `rediss://`: a file with the certificates of the authorities to trust, PEM, instead of the system's. Relative
    /// to the config file.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// The key whose value is the lifetime of cached answers: the service has to read it.
    #[serde(default)]
    pub ttl_key: Option<String>,
    /// The unit of that number.
    #[serde(default)]
    pub ttl_unit: TtlUnit,
    /// How long one command may take.
    #[serde(default = "five_seconds", with = "duration_text")]
    pub timeout: Duration,
}

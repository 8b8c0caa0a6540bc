//! The actuator for `local:` targets: talks to supervisors over their control sockets.
//!
//! Says precisely how far a request got: not sent, sent and unanswered, refused. Never retries.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use hyper::Method;

use super::call::{CallError, Peer, Reply, call};
use super::wire::{ApplyRequest, FaultReceipt, FaultsReport, PutFault, Receipt, Refusal, RenewFault, Report};
use crate::act::{ActError, Actuator, LocalSettings, Progress};
use crate::model::{Action, Facet, TargetId, TargetState};

/// How long a supervisor may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a look.
    pub observe: Duration,
    /// For an action: must cover draining, stopping and getting ready.
    pub apply: Duration,
}

impl Default for Timeouts {
    /// 5 s for a look; 60 s for an action, twice what a target with default settings can take.
    fn default() -> Self {
        Self { observe: Duration::from_secs(5), apply: Duration::from_secs(60) }
    }
}

impl Timeouts {
    /// Long enough for the slowest action on any of these targets: a restart that drains, stops and gets ready.
    #[must_use]
    pub fn covering<'a>(targets: impl IntoIterator<Item = &'a LocalSettings>) -> Self {
        let slowest = targets.into_iter().map(|t| t.stop_within * 2 + t.ready_within).max().unwrap_or_default();
        Self { apply: slowest + Duration::from_secs(10), ..Self::default() }
    }
}

/// Acts on `local:` targets.
#[derive(Clone, Debug)]
pub struct LocalActuator {
    sockets: BTreeMap<TargetId, PathBuf>,
    timeouts: Timeouts,
}

impl LocalActuator {
    /// An actuator for the supervisors that listen on these sockets.
    #[must_use]
    pub fn new(sockets: BTreeMap<TargetId, PathBuf>, timeouts: Timeouts) -> Self {
        Self { sockets, timeouts }
    }

    fn socket(&self, target: &TargetId) -> Result<&Path, ActError> {
        self.sockets.get(target).map(PathBuf::as_path).ok_or_else(|| ActError::NotFound(target.to_string()))
    }
}

#[async_trait]
impl Actuator for LocalActuator {
    fn kind(&self) -> &'static str {
        "local"
    }

    async fn observe(&self, target: &TargetId) -> Result<TargetState, ActError> {
        let socket = self.socket(target)?;
        match call(Peer::Unix(socket), Method::GET, "/state", None, self.timeouts.observe).await {
            Ok(reply) => read_report(target, &reply).map(|report| report.state),
            Err(CallError::Connect(why)) => Err(unreachable(target, socket, &why)),
            Err(CallError::TimedOut(_)) => Err(ActError::TimedOut(format!("the supervisor of {target}"))),
            // A look changes nothing, so a broken one is no worse than none.
            Err(CallError::Broken(why)) => Err(unreachable(target, socket, &why)),
        }
    }

    async fn apply(&self, action: &Action, before: &Facet, key: &str, _: &Progress) -> Result<String, ActError> {
        let target = action.target();
        let socket = self.socket(target)?;
        let request = ApplyRequest { action: action.clone(), before: before.clone(), key: key.to_owned() };
        let body = serde_json::to_vec(&request).map_err(|e| ActError::Unsupported(e.to_string()))?;
        match call(Peer::Unix(socket), Method::POST, "/apply", Some(body), self.timeouts.apply).await {
            Ok(reply) => read_receipt(action, &reply),
            Err(CallError::Connect(why)) => Err(unreachable(target, socket, &why)),
            Err(CallError::TimedOut(_)) => Err(ActError::TimedOut(format!("the supervisor of {target}"))),
            Err(error @ CallError::Broken(_)) => {
                Err(ActError::OutcomeUnknown(action.subject(), format!("the supervisor went away: {error}")))
            }
        }
    }
}

fn read_receipt(action: &Action, reply: &Reply) -> Result<String, ActError> {
    if reply.status.is_success() {
        // Done is done, even when the receipt cannot be read.
        return Ok(serde_json::from_slice(&reply.body)
            .map_or_else(|_| format!("{action}: done"), |receipt: Receipt| receipt.receipt));
    }
    Err(match serde_json::from_slice::<Refusal>(&reply.body) {
        Ok(refusal) => refusal.into(),
        Err(_) => ActError::OutcomeUnknown(
            action.subject(),
            format!("the supervisor answered {} and nothing that can be read", reply.status.as_u16()),
        ),
    })
}

/// Reads the answer to `GET /state`.
pub(super) fn read_report(target: &TargetId, reply: &Reply) -> Result<Report, ActError> {
    let strange = |why: String| ActError::Unavailable(target.to_string(), why);
    if !reply.status.is_success() {
        return Err(strange(format!("its supervisor answers {}", reply.status.as_u16())));
    }
    serde_json::from_slice(&reply.body)
        .map_err(|e| strange(format!("its supervisor is of another version ({e}): stop it and start it again")))
}

fn unreachable(target: &TargetId, socket: &Path, why: &str) -> ActError {
    ActError::Unavailable(
        target.to_string(),
        format!("no supervisor answers at {} ({why}): start `suture run`, or restart it", socket.display()),
    )
}

/// How long a supervisor may take to put a fault in or take it out: longer than it gives the slowest worker.
const FAULT_WITHIN: Duration = Duration::from_secs(5);

/// Why nothing became of a request about a fault.
#[derive(Debug)]
pub(crate) enum FaultCallError {
    /// Nobody listens: the supervisor is gone, and with it all that it held.
    NobodyThere(String),
    /// It was said why not.
    Refused(Refusal),
    /// Nobody knows what became of it.
    Unclear(String),
}

impl std::fmt::Display for FaultCallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NobodyThere(why) | Self::Unclear(why) => f.write_str(why),
            Self::Refused(refusal) => write!(f, "{}", ActError::from(refusal.clone())),
        }
    }
}

/// What faults a supervisor offers and holds.
pub(crate) async fn faults(socket: &Path) -> Result<FaultsReport, FaultCallError> {
    let body = talk(socket, Method::GET, "/faults", None).await?;
    serde_json::from_slice(&body).map_err(|e| FaultCallError::Unclear(format!("its answer about faults: {e}")))
}

/// Puts a fault in.
pub(crate) async fn put_fault(socket: &Path, id: &str, wanted: &PutFault) -> Result<String, FaultCallError> {
    let body = serde_json::to_vec(wanted).unwrap_or_default();
    talk(socket, Method::PUT, &format!("/faults/{id}"), Some(body)).await.map(|body| receipt(&body))
}

/// Gives it another lease.
pub(crate) async fn renew_fault(socket: &Path, id: &str, lease: Duration) -> Result<(), FaultCallError> {
    let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX).max(1);
    let body = serde_json::to_vec(&RenewFault { lease_ms }).unwrap_or_default();
    talk(socket, Method::POST, &format!("/faults/{id}/renew"), Some(body)).await.map(drop)
}

/// Takes it out.
pub(crate) async fn take_fault_out(socket: &Path, id: &str) -> Result<String, FaultCallError> {
    talk(socket, Method::DELETE, &format!("/faults/{id}"), None).await.map(|body| receipt(&body))
}

fn receipt(body: &[u8]) -> String {
    serde_json::from_slice(body).map_or_else(|_| "done".to_owned(), |receipt: FaultReceipt| receipt.receipt)
}

async fn talk(
    socket: &Path,
    method: Method,
    path: &str,
    body: Option<Vec<u8>>,
) -> Result<hyper::body::Bytes, FaultCallError> {
    match call(Peer::Unix(socket), method, path, body, FAULT_WITHIN).await {
        Ok(reply) if reply.status.is_success() => Ok(reply.body),
        Ok(reply) => Err(match serde_json::from_slice::<Refusal>(&reply.body) {
            Ok(refusal) => FaultCallError::Refused(refusal),
            Err(_) => FaultCallError::Unclear(format!(
                "its supervisor answers {} and nothing that can be read: is it of another version? stop it and start it \
                 again",
                reply.status.as_u16()
            )),
        }),
        Err(CallError::Connect(why)) => {
            // One that is only slow to take the connection is there.
            let there = tokio::net::UnixStream::connect(socket).await;
            let gone = |e: &std::io::Error| {
                matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused)
            };
            let why = format!("no supervisor answers at {} ({why})", socket.display());
            Err(if there.as_ref().is_err_and(gone) {
                FaultCallError::NobodyThere(why)
            } else {
                FaultCallError::Unclear(why)
            })
        }
        Err(error) => Err(FaultCallError::Unclear(error.to_string())),
    }
}

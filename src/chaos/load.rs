//! More load on a target whose load generator is ours: the sample's. Everything else is handed on to the injector of its kind.
//!
//! The generator holds the surge by lease, as everybody does: it goes back to the usual by itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper::Method;

use super::{Aim, InjectError, Injector, LEASE, Wish};
use crate::act::local::{CallError, Peer, call};
use crate::model::{AimedFault, Fault, FaultKind, TargetId};

/// For an answer that comes from memory.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// An injector that can also make the load on one target grow.
pub struct WithLoad {
    inner: Arc<dyn Injector>,
    target: TargetId,
    control: PathBuf,
}

impl std::fmt::Debug for WithLoad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WithLoad").field("target", &self.target).finish_non_exhaustive()
    }
}

impl WithLoad {
    /// `control` is the socket of the load generator that asks `target`.
    #[must_use]
    pub fn new(inner: Arc<dyn Injector>, target: TargetId, control: PathBuf) -> Self {
        Self { inner, target, control }
    }

    fn is_load(&self, fault: &AimedFault) -> Option<f64> {
        match fault.fault {
            Fault::Load { factor } if fault.target == self.target => Some(factor),
            _ => None,
        }
    }

    /// `renew`: only if it is in still.
    async fn set(&self, id: &str, factor: f64, lease: Duration, renew: bool) -> Result<(), InjectError> {
        let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX).max(1);
        let body = serde_json::json!({ "id": id, "factor": factor, "lease_ms": lease_ms, "renew": renew });
        let body = Some(body.to_string().into_bytes());
        let reply = call(Peer::Unix(&self.control), Method::PUT, "/factor", body, ANSWER_WITHIN).await;
        let reply = reply.map_err(|e| match e {
            CallError::Connect(why) if renew => InjectError::Gone(format!("the load generator is gone: {why}")),
            other => InjectError::Unavailable("the load generator".to_owned(), other.to_string()),
        })?;
        let words: String = String::from_utf8_lossy(&reply.body).trim().chars().take(200).collect();
        match reply.status.as_u16() {
            200..=299 => Ok(()),
            410 => Err(InjectError::Gone(words)),
            _ => Err(InjectError::Refused(words)),
        }
    }
}

#[async_trait]
impl Injector for WithLoad {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    async fn offers(&self, target: &TargetId) -> Result<Vec<FaultKind>, InjectError> {
        let mut offers = self.inner.offers(target).await?;
        if *target == self.target && !offers.contains(&FaultKind::Load) {
            offers.push(FaultKind::Load);
            offers.sort_unstable();
        }
        Ok(offers)
    }

    async fn aim(&self, wish: &Wish<'_>) -> Result<Aim, InjectError> {
        if *wish.target != self.target || wish.fault.kind() != FaultKind::Load {
            return self.inner.aim(wish).await;
        }
        let refused = |why: String| Err(InjectError::Refused(why));
        if let Err((key, why)) = wish.fault.check() {
            return refused(format!("load: {key}: {why}"));
        }
        if !wish.instances.is_empty() {
            return refused("load is for the whole of a target: name no instances".to_owned());
        }
        Ok(Aim {
            instances: Vec::new(),
            how: "by the load generator".to_owned(),
            undo: "the load generator goes back to the usual".to_owned(),
            held: serde_json::Value::Null,
        })
    }

    async fn put_in(&self, id: &str, fault: &AimedFault) -> Result<String, InjectError> {
        let Some(factor) = self.is_load(fault) else { return self.inner.put_in(id, fault).await };
        self.set(id, factor, LEASE, false).await?;
        Ok(fault.fault.to_string())
    }

    async fn renew(&self, id: &str, fault: &AimedFault, left: Duration) -> Result<(), InjectError> {
        let Some(factor) = self.is_load(fault) else { return self.inner.renew(id, fault, left).await };
        self.set(id, factor, LEASE.min(left), true).await
    }

    async fn take_out(&self, id: &str, fault: &AimedFault) -> Result<String, InjectError> {
        if self.is_load(fault).is_none() {
            return self.inner.take_out(id, fault).await;
        }
        let path = format!("/factor/{id}");
        match call(Peer::Unix(&self.control), Method::DELETE, &path, None, ANSWER_WITHIN).await {
            Ok(reply) if reply.status.is_success() => Ok("the load is as usual again".to_owned()),
            Ok(reply) => {
                let why = format!("it answers {}", reply.status.as_u16());
                Err(InjectError::Unavailable("the load generator".to_owned(), why))
            }
            Err(CallError::Connect(why)) => Ok(format!("the load generator is gone, and the load with it: {why}")),
            Err(error) => Err(InjectError::Unavailable("the load generator".to_owned(), error.to_string())),
        }
    }
}

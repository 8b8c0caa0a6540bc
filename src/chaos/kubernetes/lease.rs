//! Takes a fault out when nobody has renewed its lease: as long as this process lives, no fault outlives the interest in it.
//!
//! One task a fault; it ends with the fault, and with the injector. What it cannot take out it tries again until Chaos Mesh
//! has done so by itself. Called by the injector.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::mesh::Object;
use crate::chaos::{LEASE, RENEW_EVERY};

#[derive(Debug)]
struct Lease {
    until: Instant,
    _task: AbortOnDropHandle<()>,
}

/// The leases, by the fault's id.
#[derive(Clone, Debug, Default)]
pub(super) struct Leases(Arc<Mutex<Held>>);

type Held = BTreeMap<String, Lease>;

impl Leases {
    /// From now on, for [`LEASE`]. `lasts`: after that time Chaos Mesh has ended it by itself.
    pub fn hold(&self, id: &str, object: Object, lasts: Duration) {
        let (now, key) = (Instant::now(), id.to_owned());
        // Weak: the task is held by what it looks into, and has to end with it.
        let leases = Arc::downgrade(&self.0);
        // The task finds its entry: it cannot look before the lock is free.
        with(&self.0, |held| {
            let task = tokio::spawn(keep(leases, key.clone(), object, now + lasts));
            held.insert(key, Lease { until: now + LEASE, _task: AbortOnDropHandle::new(task) })
        });
    }

    /// For [`LEASE`] from now. One that this process does not hold, it holds from now on.
    pub fn renew(&self, id: &str, object: &Object, lasts: Duration) {
        let known = with(&self.0, |held| held.get_mut(id).map(|lease| lease.until = Instant::now() + LEASE).is_some());
        if !known {
            self.hold(id, object.clone(), lasts);
        }
    }

    /// It is out.
    pub fn let_go(&self, id: &str) {
        with(&self.0, |held| held.remove(id));
    }
}

async fn keep(leases: Weak<Mutex<Held>>, id: String, object: Object, end: Instant) {
    let until = || with(&*leases.upgrade()?, |held| held.get(&id).map(|lease| lease.until));
    while let Some(until) = until() {
        if until > Instant::now() {
            sleep_until(until).await;
            continue;
        }
        match object.take_out().await {
            Ok(said) => {
                tracing::info!(fault = %id, %said, "the lease of a fault was not renewed: it is taken out");
                break;
            }
            // Chaos Mesh ends it at that time by itself, and what is stuck is its to clean up.
            Err(error) if Instant::now() > end => {
                tracing::warn!(fault = %id, %error, "a fault whose time is over cannot be taken out");
                break;
            }
            Err(_) => sleep(RENEW_EVERY).await,
        }
    }
    if let Some(leases) = leases.upgrade() {
        // Ends this task: nothing may come after it.
        with(&leases, |held| held.remove(&id));
    }
}

fn with<T>(leases: &Mutex<Held>, look: impl FnOnce(&mut Held) -> T) -> T {
    look(&mut leases.lock().unwrap_or_else(PoisonError::into_inner))
}

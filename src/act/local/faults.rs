//! The faults that are in a target on purpose, each held by a lease.
//!
//! A fault whose lease runs out is taken out here, by the monotonic clock, whoever put it in and whatever became of them.
//! Must never put a fault into a process other than the one that it was asked for: a worker that was restarted since has got
//! rid of what its process had, and keeps what lies on the way to its place. Called by the control API alone, on the unix
//! socket; one change at a time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future;
use rustix::process::Signal;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::door;
use super::front::Front;
use super::process::{Handle, beside};
use super::stress;
use super::supervisor::Supervisor;
use super::wire::{FaultsReport, HeldFault, Means, PutFault, Refusal};
use crate::model::{Fault, FaultKind};

/// Faults at once: more than any experiment has.
const AT_ONCE: usize = 32;
/// Ids of blows that are remembered, so that none is dealt twice.
const BLOWS: usize = 256;
/// The longest lease: that of the demo, which ends with its supervisor.
const LONGEST_LEASE: Duration = Duration::from_secs(24 * 3600);
/// How long a worker takes to die at most.
const DIE_WITHIN: Duration = Duration::from_secs(2);
/// Before a fault that could not be taken out is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What is in now.
#[derive(Default)]
pub(super) struct Faults {
    /// Held for the whole of a change.
    held: tokio::sync::Mutex<Held>,
    /// A lease was given.
    changed: Notify,
    /// What the workers know at their door, once one has said so: a program does not change its mind, and asking a sick one
    /// again would take a while.
    at_the_door: OnceLock<Vec<FaultKind>>,
}

#[derive(Default)]
struct Held {
    by_id: BTreeMap<String, Grip>,
    blows: VecDeque<String>,
}

/// One fault.
struct Grip {
    fault: Fault,
    instances: Vec<String>,
    means: Means,
    until: Instant,
    /// It is being taken out: no renewal brings it back.
    leaving: bool,
    places: Vec<Place>,
}

/// Where it is in, with what it takes to get it out.
enum Place {
    Front { front: Arc<Front> },
    Stopped { name: String, worker: Handle },
    Door { name: String, worker: Handle, until: Instant },
    Beside { child: tokio::process::Child },
}

impl Place {
    /// Is it still there? Not when the process that had it is gone.
    fn is_there(&mut self) -> bool {
        match self {
            Self::Front { .. } => true,
            Self::Stopped { worker, .. } | Self::Door { worker, .. } => !worker.has_ended(),
            Self::Beside { child } => child.try_wait().is_ok_and(|ended| ended.is_none()),
        }
    }
}

impl Supervisor {
    /// What can be put in, and what is.
    pub(super) async fn faults_report(&self) -> FaultsReport {
        let offers = self.offers().await;
        let held = self.faults.held.lock().await;
        let now = Instant::now();
        let held = held.by_id.iter().map(|(id, grip)| HeldFault {
            id: id.clone(),
            fault: grip.fault.clone(),
            instances: grip.instances.clone(),
            means: grip.means,
            left_ms: millis(grip.until.saturating_duration_since(now)),
        });
        FaultsReport { offers, held: held.collect() }
    }

    /// What lies on the way is the balancer's, whatever the door says; of the rest the door knows best.
    async fn offers(&self) -> Vec<(FaultKind, Means)> {
        let behind_the_door = self.at_the_door().await;
        let by = |kind: FaultKind| {
            let door = behind_the_door.contains(&kind).then_some(Means::Door);
            match kind {
                FaultKind::Latency | FaultKind::Resets | FaultKind::Partition => Some(Means::Balancer),
                FaultKind::Crash | FaultKind::Hang => Some(Means::Signal),
                FaultKind::Errors => door.or(Some(Means::Balancer)),
                FaultKind::Cpu | FaultKind::MemoryPressure | FaultKind::DiskFill | FaultKind::DiskIo => {
                    door.or(Some(Means::Stress))
                }
                FaultKind::MemoryLeak | FaultKind::PoolExhaustion => door,
                FaultKind::Load | FaultKind::PodKill => None,
            }
        };
        FaultKind::ALL.into_iter().filter_map(|kind| Some((kind, by(kind)?))).collect()
    }

    async fn at_the_door(&self) -> Vec<FaultKind> {
        let Some(path) = &self.settings.faults else { return Vec::new() };
        if let Some(known) = self.faults.at_the_door.get() {
            return known.clone();
        }
        let up: Vec<Handle> = {
            let fleet = self.fleet.lock();
            let up = fleet.slots().iter().filter_map(|s| s.process.as_ref().filter(|p| p.is_up()));
            up.map(super::process::Process::handle).collect()
        };
        let said = future::join_all(up.iter().map(|worker| door::kinds(worker, path))).await;
        let known = said.into_iter().find(|kinds| !kinds.is_empty());
        known.map(|kinds| self.faults.at_the_door.get_or_init(|| kinds).clone()).unwrap_or_default()
    }

    /// Puts a fault in; twice with the same id is once, and a new lease.
    pub(super) async fn put_fault(&self, id: &str, wanted: PutFault) -> Result<String, Refusal> {
        let PutFault { fault, instances, lease_ms } = wanted;
        let unsupported = |why: String| Refusal::Unsupported { why };
        check_id(id)?;
        let lease = check_lease(lease_ms)?;
        fault.check().map_err(|(key, why)| unsupported(format!("{}: {key}: {why}", fault.kind())))?;
        let mut held = self.faults.held.lock().await;
        let Held { by_id, blows } = &mut *held;
        if blows.iter().any(|known| known == id) {
            return Ok(format!("{id} was done before"));
        }
        if let Some(grip) = by_id.get(id) {
            if grip.leaving {
                let why = "it is being taken out right now".to_owned();
                return Err(Refusal::Unavailable { subject: format!("the fault {id}"), why });
            }
            if grip.fault != fault || grip.instances != instances {
                return Err(unsupported(format!("{id} is another fault that is in: {}", grip.fault)));
            }
            drop(held);
            // Once is once: where it went with its process since, it is not put into the next.
            return match self.renew_fault(id, lease_ms).await {
                Ok(_) => Ok(format!("{id} is in already")),
                Err(Refusal::NotFound { what }) => Ok(what),
                Err(other) => Err(other),
            };
        }
        if by_id.len() >= AT_ONCE {
            return Err(unsupported(format!("{AT_ONCE} faults are in already: take one out")));
        }
        let kind = fault.kind();
        let at_once = |grip: &Grip| grip.instances.is_empty() || grip.instances.iter().any(|i| instances.contains(i));
        if let Some((other, _)) = by_id.iter().find(|(_, grip)| grip.fault.kind() == kind && at_once(grip)) {
            return Err(unsupported(format!("{kind} is in there already, by {other}: wait until that is over")));
        }
        let means = self.offers().await.into_iter().find(|(offered, _)| *offered == kind).map(|(_, means)| means);
        let means = means.ok_or_else(|| unsupported(format!("{} cannot have the fault {kind}", self.settings.name)))?;
        let workers = self.workers_for(&instances, means)?;
        if kind.is_a_blow() {
            // Remembered first: should it fail half-way, dealing it again would hit what has come up since.
            if blows.len() >= BLOWS {
                blows.pop_front();
            }
            blows.push_back(id.to_owned());
            return crash(&workers).await;
        }
        let (places, failed) = self.put_in_places(id, &fault, means, workers, lease).await;
        let until = Instant::now() + lease;
        let mut grip = Grip { fault, instances, means, until, leaving: false, places };
        if let Some(refusal) = failed {
            // Some of it may be in: out with it, now or by its lease.
            grip.leaving = true;
            if let Err(why) = self.loosen(id, &mut grip).await {
                tracing::warn!(id, why, "a fault that was not put in whole is not out yet");
                grip.until = Instant::now() + AGAIN_AFTER;
                by_id.insert(id.to_owned(), grip);
                self.faults.changed.notify_one();
            }
            return Err(refusal);
        }
        let receipt = format!("{} on {}", grip.fault, place_words(&grip.instances));
        tracing::info!(id, fault = %grip.fault, instances = ?grip.instances, lease_ms, "a fault was put in on purpose");
        by_id.insert(id.to_owned(), grip);
        self.faults.changed.notify_one();
        Ok(receipt)
    }

    /// The workers that are meant.
    fn workers_for(&self, instances: &[String], means: Means) -> Result<Vec<(String, Arc<Front>, Handle)>, Refusal> {
        let unsupported = |why: &str| Err(Refusal::Unsupported { why: why.to_owned() });
        match (means, instances) {
            (Means::Stress, []) => return Ok(Vec::new()),
            (Means::Stress, _) => return unsupported("it is for the whole machine: name no instances"),
            (_, []) => return unsupported("name the instances that it is for"),
            _ => {}
        }
        let mut fleet = self.fleet.lock();
        let mut found = Vec::new();
        for name in instances {
            let slot = fleet.named(name).ok_or_else(|| Refusal::NotFound { what: name.clone() })?;
            let worker = slot.process.as_ref().map(super::process::Process::handle);
            match worker.filter(|worker| !worker.has_ended()) {
                Some(worker) => found.push((name.clone(), Arc::clone(&slot.front), worker)),
                None => return unsupported(&format!("{name} is not running")),
            }
        }
        Ok(found)
    }

    /// Puts it in everywhere, side by side: what is in, and the first thing that went wrong.
    async fn put_in_places(
        &self,
        id: &str,
        fault: &Fault,
        means: Means,
        workers: Vec<(String, Arc<Front>, Handle)>,
        lease: Duration,
    ) -> (Vec<Place>, Option<Refusal>) {
        if means == Means::Stress {
            return match self.stress_beside(fault).await {
                Ok(child) => (vec![Place::Beside { child }], None),
                Err(refusal) => (Vec::new(), Some(refusal)),
            };
        }
        let path = self.settings.faults.as_deref().unwrap_or_default();
        let all = workers.into_iter().map(|(name, front, worker)| async move {
            match means {
                Means::Balancer => {
                    front.put_in(id, fault);
                    (Place::Front { front }, None)
                }
                Means::Door => {
                    let done = door::put_in(&worker, path, id, fault, lease, &name).await;
                    (Place::Door { name, worker, until: Instant::now() + lease }, done.err())
                }
                Means::Signal | Means::Stress => {
                    let done = worker.signal(Signal::STOP).await;
                    let failed = done.err().map(|why| Refusal::Unavailable { subject: name.clone(), why });
                    (Place::Stopped { name, worker }, failed)
                }
            }
        });
        let (places, failed): (Vec<_>, Vec<_>) = future::join_all(all).await.into_iter().unzip();
        (places, failed.into_iter().flatten().next())
    }

    async fn stress_beside(&self, fault: &Fault) -> Result<tokio::process::Child, Refusal> {
        if !stress::can(fault) {
            return Err(Refusal::Unsupported { why: format!("{} cannot be put in from beside", fault.kind()) });
        }
        stress::fits(fault, &self.logs).map_err(|why| Refusal::Unsupported { why })?;
        let unavailable = |why| Refusal::Unavailable { subject: self.settings.name.to_string(), why };
        beside(fault, &self.logs).await.map_err(unavailable)
    }

    /// Gives a fault that is in another lease.
    pub(super) async fn renew_fault(&self, id: &str, lease_ms: u64) -> Result<String, Refusal> {
        let lease = check_lease(lease_ms)?;
        let gone = |why: &str| Refusal::NotFound { what: format!("{id}: {why}") };
        let (fault, doors) = {
            let mut held = self.faults.held.lock().await;
            let Some(grip) = held.by_id.get_mut(id).filter(|grip| !grip.leaving) else {
                return Err(gone("it is not in any more"));
            };
            grip.places.retain_mut(Place::is_there);
            if grip.places.is_empty() {
                held.by_id.remove(id);
                tracing::info!(id, "a fault went with the processes that had it");
                return Err(gone("it went with the process that had it"));
            }
            let now = Instant::now();
            grip.until = now + lease;
            let mut doors = Vec::new();
            for place in &mut grip.places {
                if let Place::Door { name, worker, until } = place {
                    // Told below: from then on, at the latest, this holds.
                    *until = now + lease + AGAIN_AFTER;
                    doors.push((name.clone(), worker.clone()));
                }
            }
            (grip.fault.clone(), doors)
        };
        self.faults.changed.notify_one();
        let path = self.settings.faults.as_deref().unwrap_or_default();
        // Outside the lock: a slow door holds up nobody else's renewal.
        let told = doors.iter().map(|(name, worker)| door::put_in(worker, path, id, &fault, lease, name));
        for refusal in future::join_all(told).await.into_iter().filter_map(Result::err) {
            // Some renewals may be lost; when all are, the worker takes it out by itself.
            tracing::warn!(id, ?refusal, "a worker did not take a renewal");
        }
        Ok(format!("{id} stays in"))
    }

    /// Takes a fault out; returns when it is out.
    pub(super) async fn take_fault_out(&self, id: &str) -> Result<String, Refusal> {
        check_id(id)?;
        let mut held = self.faults.held.lock().await;
        if held.blows.iter().any(|known| known == id) {
            return Ok(format!("{id} was over at once: there is nothing to take out"));
        }
        let Some(mut grip) = held.by_id.remove(id) else { return Ok(format!("{id} is not in")) };
        let out = self.loosen(id, &mut grip).await;
        let receipt = format!("{} is out", grip.fault.kind());
        match out {
            Ok(()) => {
                tracing::info!(id, fault = %grip.fault, "a fault was taken out");
                Ok(receipt)
            }
            Err(why) => {
                grip.leaving = true;
                grip.until = Instant::now() + AGAIN_AFTER;
                held.by_id.insert(id.to_owned(), grip);
                self.faults.changed.notify_one();
                Err(Refusal::Unavailable { subject: format!("the fault {id}"), why })
            }
        }
    }

    /// Takes it out of all its places, side by side. What stays in `grip` is what may still be in.
    async fn loosen(&self, id: &str, grip: &mut Grip) -> Result<(), String> {
        let path = self.settings.faults.as_deref().unwrap_or_default();
        let all = std::mem::take(&mut grip.places).into_iter().map(|place| async move {
            match place {
                Place::Front { front } => {
                    front.take_out(id);
                    None
                }
                Place::Stopped { name, worker } => match worker.signal(Signal::CONT).await {
                    Ok(()) => None,
                    Err(why) => Some((format!("{name}: {why}"), Place::Stopped { name, worker })),
                },
                Place::Door { name, worker, until } => match door::take_out(&worker, path, id).await {
                    Err(why) if !worker.has_ended() && Instant::now() < until => {
                        Some((format!("{name}: {why}"), Place::Door { name, worker, until }))
                    }
                    _ => None,
                },
                Place::Beside { mut child } => match child.kill().await {
                    Err(error) if child.try_wait().is_ok_and(|ended| ended.is_none()) => {
                        Some((error.to_string(), Place::Beside { child }))
                    }
                    _ => None,
                },
            }
        });
        let left: Vec<_> = future::join_all(all).await.into_iter().flatten().collect();
        let why = left.iter().map(|(why, _)| why.as_str()).collect::<Vec<_>>().join("; ");
        grip.places = left.into_iter().map(|(_, place)| place).collect();
        if grip.places.is_empty() { Ok(()) } else { Err(why) }
    }

    /// Takes out what nobody renews. Never returns.
    pub(super) async fn watch_leases(&self) {
        loop {
            let next = self.faults.held.lock().await.by_id.values().map(|grip| grip.until).min();
            match next {
                Some(until) => tokio::select! {
                    () = sleep_until(until) => {}
                    () = self.faults.changed.notified() => continue,
                },
                None => {
                    self.faults.changed.notified().await;
                    continue;
                }
            }
            let mut held = self.faults.held.lock().await;
            let now = Instant::now();
            let over: Vec<String> =
                held.by_id.iter().filter(|(_, grip)| grip.until <= now).map(|(id, _)| id.clone()).collect();
            for id in over {
                let Some(mut grip) = held.by_id.remove(&id) else { continue };
                if !grip.leaving {
                    tracing::warn!(id, fault = %grip.fault, "nobody renewed the lease of a fault: it is taken out");
                }
                if let Err(why) = self.loosen(&id, &mut grip).await {
                    tracing::warn!(id, why, "a fault is not out yet: it is tried again");
                    grip.leaving = true;
                    grip.until = Instant::now() + AGAIN_AFTER;
                    held.by_id.insert(id, grip);
                }
            }
        }
    }

    /// Takes all of them out: the supervisor ends, and what is in its workers ends with them.
    pub(super) async fn take_all_faults_out(&self) {
        let mut held = self.faults.held.lock().await;
        let all = std::mem::take(&mut held.by_id);
        let every = all.into_iter().map(|(id, mut grip)| async move { self.loosen(&id, &mut grip).await });
        future::join_all(every).await;
    }
}

async fn crash(workers: &[(String, Arc<Front>, Handle)]) -> Result<String, Refusal> {
    let killed = workers.iter().map(|(name, _, worker)| async move {
        let sent = worker.signal(Signal::KILL).await;
        let dead = sent.is_ok() && worker.ended(DIE_WITHIN).await;
        if dead { Ok(name.as_str()) } else { Err(name.clone()) }
    });
    let killed: Result<Vec<_>, _> = future::join_all(killed).await.into_iter().collect();
    match killed {
        Ok(names) => {
            tracing::info!(instances = ?names, "killed on purpose");
            Ok(format!("killed {}", names.join(", ")))
        }
        Err(name) => Err(Refusal::OutcomeUnknown { subject: name, why: "it was not seen to die".to_owned() }),
    }
}

fn place_words(instances: &[String]) -> String {
    if instances.is_empty() { "this machine".to_owned() } else { instances.join(", ") }
}

/// An id becomes part of paths and of lines in logs.
fn check_id(id: &str) -> Result<(), Refusal> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let is_one =
        (1..=64).contains(&id.len()) && id.starts_with(|c: char| c.is_ascii_alphanumeric()) && id.chars().all(plain);
    let why = "an id has 1 to 64 letters, digits, dots and dashes, like EXP-3.1".to_owned();
    is_one.then_some(()).ok_or(Refusal::Unsupported { why })
}

fn check_lease(lease_ms: u64) -> Result<Duration, Refusal> {
    let lease = Duration::from_millis(lease_ms);
    let fits = !lease.is_zero() && lease <= LONGEST_LEASE;
    let why = format!("a lease has 1 to {} ms", LONGEST_LEASE.as_millis());
    fits.then_some(lease).ok_or(Refusal::Unsupported { why })
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

//! The workers of a target as a list: who is there, who gets the next request, what an actuator sees.
//!
//! Pure bookkeeping under one lock: nothing in here waits or talks to a process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::act::LocalSettings;
use crate::model::{Instance, TargetState};

use super::front::Front;
use super::process::{InFlight, Process};
use super::wire::WorkerReport;

/// The usual part of the traffic.
const USUAL_WEIGHT: u32 = 100;

/// All workers of one target.
pub(super) struct Fleet {
    stem: String,
    /// How many are wanted; changes when a change has taken effect.
    pub replicas: u32,
    /// Lifetime of cached answers, for workers with a cache.
    pub cache_ttl_ms: Option<u64>,
    slots: Vec<Slot>,
    /// By the name of the worker, also of those that are gone: whoever comes to a place finds the faults that are in there.
    /// Never more than `max_workers`, for names are numbers that are used again.
    fronts: BTreeMap<String, Arc<Front>>,
}

/// The place of one worker. It keeps its name, weight and count of restarts while processes come and go.
pub(super) struct Slot {
    pub number: u32,
    pub name: String,
    pub generation: u64,
    pub weight: u32,
    pub isolated: bool,
    /// Ready once and not on its way out: may be given requests.
    pub open: bool,
    /// Part of what was asked for, dead or alive, so that its absence shows. A worker that is still being added, or
    /// is being taken away, is not.
    pub wanted: bool,
    pub process: Option<Process>,
    /// What lies between the balancer and this place.
    pub front: Arc<Front>,
    /// Of the smooth weighted round robin: what it is owed.
    credit: i64,
}

/// Who takes a request.
pub(super) enum Pick {
    /// This worker, which now counts it, and what lies before it.
    Worker(SocketAddr, InFlight, Arc<Front>),
    /// Nobody serves.
    NoneServing,
    /// All that serve are full.
    AllFull,
}

impl Fleet {
    pub(super) fn new(stem: &str) -> Self {
        Self { stem: stem.to_owned(), replicas: 0, cache_ttl_ms: None, slots: Vec::new(), fronts: BTreeMap::new() }
    }

    /// The name of worker `number`.
    pub(super) fn name_of(&self, number: u32) -> String {
        format!("{}-{number}", self.stem)
    }

    /// Makes a place for worker `number`, out of the traffic until it is opened.
    pub(super) fn add(&mut self, number: u32) {
        let name = self.name_of(number);
        let front = Arc::clone(self.fronts.entry(name.clone()).or_default());
        self.slots.push(Slot {
            number,
            name,
            front,
            generation: 0,
            weight: USUAL_WEIGHT,
            isolated: false,
            open: false,
            wanted: false,
            process: None,
            credit: 0,
        });
        self.slots.sort_by_key(|slot| slot.number);
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(super) fn slots_mut(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    pub(super) fn slot_mut(&mut self, number: u32) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.number == number)
    }

    pub(super) fn named(&mut self, name: &str) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.name == name)
    }

    /// Forgets the places of these workers.
    pub(super) fn remove(&mut self, numbers: &[u32]) {
        self.slots.retain(|slot| !numbers.contains(&slot.number));
    }

    /// Chooses who takes the next request and counts it in: smooth weighted round robin over the workers that are
    /// up, in the traffic and not full.
    pub(super) fn pick(&mut self, full_at: usize) -> Pick {
        let mut total = 0_i64;
        let mut serving = 0_usize;
        let mut best: Option<&mut Slot> = None;
        for slot in self.slots.iter_mut().filter(|slot| slot.serves()) {
            serving += 1;
            if slot.process.as_ref().is_none_or(|p| p.in_flight() >= full_at) {
                continue;
            }
            let weight = i64::from(slot.weight);
            slot.credit += weight;
            total += weight;
            if best.as_ref().is_none_or(|b| slot.credit > b.credit) {
                best = Some(slot);
            }
        }
        match best {
            Some(slot) => {
                slot.credit -= total;
                match &slot.process {
                    Some(process) => Pick::Worker(process.addr, process.enter(), Arc::clone(&slot.front)),
                    None => Pick::NoneServing,
                }
            }
            None if serving > 0 => Pick::AllFull,
            None => Pick::NoneServing,
        }
    }

    /// What an actuator sees.
    pub(super) fn state(&self, settings: &LocalSettings) -> TargetState {
        TargetState {
            replicas: self.replicas,
            min_replicas: settings.min_workers,
            max_replicas: settings.max_workers,
            instances: self.slots.iter().map(Slot::instance).collect(),
            cache_ttl_ms: self.cache_ttl_ms,
            ..TargetState::default()
        }
    }

    pub(super) fn workers(&self) -> Vec<WorkerReport> {
        self.slots.iter().map(Slot::report).collect()
    }

    /// Service discovery in Prometheus' HTTP format: the metrics page of every wanted worker, dead ones too.
    pub(super) fn discovery(&self, metrics: &str) -> serde_json::Value {
        let pages = self.slots.iter().filter(|slot| slot.wanted).filter_map(|slot| {
            let process = slot.process.as_ref()?;
            Some(serde_json::json!({
                "targets": [process.addr.to_string()],
                "labels": { "instance": slot.name, "__metrics_path__": metrics },
            }))
        });
        serde_json::Value::Array(pages.collect())
    }

    /// The same for the pages about what the balancer sees of each worker, which are served at `admin`. A worker that is
    /// out of the traffic is left out: the balancer sees nothing of it.
    pub(super) fn front_discovery(&self, admin: SocketAddr) -> serde_json::Value {
        let pages = self.slots.iter().filter(|slot| slot.wanted && !slot.isolated && slot.process.is_some());
        serde_json::Value::Array(
            pages
                .map(|slot| {
                    let path = format!("/front/{}/metrics", slot.word());
                    let labels = serde_json::json!({ "instance": slot.name, "__metrics_path__": path });
                    serde_json::json!({ "targets": [admin.to_string()], "labels": labels })
                })
                .collect(),
        )
    }

    /// The page about what the balancer sees of the worker with this [`Slot::word`].
    pub(super) fn front_page(&self, word: &str) -> Option<String> {
        let slot = self.slots.iter().find(|slot| slot.word() == word)?;
        slot.front.page(slot.is_up()).ok()
    }
}

impl Slot {
    /// Its name as one word of a path.
    fn word(&self) -> String {
        self.name.replace('/', "_")
    }

    fn is_up(&self) -> bool {
        self.process.as_ref().is_some_and(Process::is_up)
    }

    fn serves(&self) -> bool {
        self.open && !self.isolated && self.weight > 0 && self.is_up()
    }

    fn instance(&self) -> Instance {
        Instance {
            name: self.name.clone(),
            up: self.is_up(),
            isolated: self.isolated,
            weight: self.weight,
            generation: self.generation,
        }
    }

    fn report(&self) -> WorkerReport {
        let status = self.process.as_ref().map(Process::status);
        let ended = matches!(status, Some(super::process::Status::Exited(_)) | None);
        WorkerReport {
            name: self.name.clone(),
            pid: self.process.as_ref().filter(|_| !ended).map(|p| p.pid),
            addr: self.process.as_ref().map(|p| p.addr),
            status: status.map_or_else(|| "not started".to_owned(), |s| s.to_string()),
            in_flight: self.process.as_ref().map_or(0, Process::in_flight),
        }
    }
}

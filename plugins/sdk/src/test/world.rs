//! Building a world: what the incident is, what there is to act on, and what goes wrong on the way.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::host::{ACTIONS, CAN_FAIL};
use crate::{Driver, HostError, Incident, Instance, InstanceMetrics, Metric, Severity, TargetState, Trend};

/// A world to run a playbook or a rule in. Nothing in it changes by a run; what the last run logged and called is kept.
#[derive(Clone, Debug)]
pub struct World {
    pub(super) incident: Incident,
    pub(super) metrics: Vec<Metric>,
    pub(super) by_instance: Vec<InstanceMetrics>,
    pub(super) targets: Vec<TestTarget>,
    pub(super) notes: BTreeMap<String, String>,
    pub(super) denied: BTreeSet<String>,
    pub(super) failures: Vec<Failing>,
    pub(super) last: RefCell<Last>,
}

/// A call that fails.
#[derive(Clone, Debug)]
pub(super) struct Failing {
    pub(super) call: String,
    /// Which of the calls of that name, from 1; `None` for all.
    pub(super) nth: Option<usize>,
    pub(super) error: HostError,
}

/// What the last run left.
#[derive(Clone, Debug, Default)]
pub(super) struct Last {
    pub(super) log: Vec<String>,
    pub(super) calls: Vec<&'static str>,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// An incident of the service `shop`, high, risk 85, without metrics, and nothing to act on yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            incident: Incident {
                id: "INC-1".to_owned(),
                service: "shop".to_owned(),
                severity: Severity::High,
                risk: 85.0,
                // Any time will do, as long as it is always the same.
                since_ms: 1_767_225_600_000,
                drivers: Vec::new(),
                tried: Vec::new(),
            },
            metrics: Vec::new(),
            by_instance: Vec::new(),
            targets: Vec::new(),
            notes: BTreeMap::new(),
            denied: BTreeSet::new(),
            failures: Vec::new(),
            last: RefCell::default(),
        }
    }

    /// Of another service.
    #[must_use]
    pub fn service(mut self, name: &str) -> Self {
        name.clone_into(&mut self.incident.service);
        self
    }

    /// With another severity and risk (0 to 100).
    #[must_use]
    pub fn severity(mut self, severity: Severity, risk: f64) -> Self {
        (self.incident.severity, self.incident.risk) = (severity, risk);
        self
    }

    /// Since when, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn since_ms(mut self, since_ms: i64) -> Self {
        self.incident.since_ms = since_ms;
        self
    }

    /// With one more metric that is responsible; the most responsible first.
    #[must_use]
    pub fn driver(mut self, driver: Driver) -> Self {
        self.incident.drivers.push(driver);
        self
    }

    /// This playbook was tried already, without success.
    #[must_use]
    pub fn tried(mut self, playbook: &str) -> Self {
        self.incident.tried.push(playbook.to_owned());
        self
    }

    /// With a metric of the service in the last sample.
    #[must_use]
    pub fn metric(mut self, name: &str, value: f64) -> Self {
        set(&mut self.metrics, name, value);
        self
    }

    /// With a metric of one instance in the last sample.
    #[must_use]
    pub fn instance_metric(mut self, instance: &str, name: &str, value: f64) -> Self {
        let at = self.by_instance.iter().position(|sample| sample.instance == instance).unwrap_or_else(|| {
            self.by_instance.push(InstanceMetrics { instance: instance.to_owned(), metrics: Vec::new() });
            self.by_instance.len() - 1
        });
        set(&mut self.by_instance[at].metrics, name, value);
        self
    }

    /// With something to act on: `.target(target("local:shop", 2))`.
    ///
    /// # Panics
    /// When there is a target of that name already.
    #[must_use]
    pub fn target(mut self, target: TestTarget) -> Self {
        let name = &target.name;
        assert!(self.targets.iter().all(|known| known.name != *name), "there are two targets {name}");
        self.targets.push(target);
        self
    }

    /// With a note that an earlier run has left.
    #[must_use]
    pub fn note(mut self, key: &str, value: &str) -> Self {
        self.notes.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Without a grant for a capability: `scale`, `restart`, `traffic`, `isolate`, `cache`, `configure` or `flush`.
    ///
    /// # Panics
    /// When there is no such capability.
    #[must_use]
    pub fn deny(mut self, capability: &str) -> Self {
        assert!(
            ACTIONS.contains(&capability),
            "there is no capability `{capability}`; there are {}",
            ACTIONS.join(", ")
        );
        self.denied.insert(capability.to_owned());
        self
    }

    /// Every call of this function fails: `.fail("scale.set-replicas", HostError::TimedOut("no answer".to_owned()))`.
    ///
    /// # Panics
    /// When there is no such function, or it cannot fail.
    #[must_use]
    pub fn fail(self, call: &str, error: HostError) -> Self {
        self.failing(call, None, error)
    }

    /// The `n`th call of this function in a run, from 1, fails.
    ///
    /// # Panics
    /// When there is no such function, or it cannot fail.
    #[must_use]
    pub fn fail_nth(self, n: usize, call: &str, error: HostError) -> Self {
        self.failing(call, Some(n), error)
    }

    fn failing(mut self, call: &str, nth: Option<usize>, error: HostError) -> Self {
        assert!(CAN_FAIL.contains(&call), "no call `{call}` can fail; these can: {}", CAN_FAIL.join(", "));
        self.failures.push(Failing { call: call.to_owned(), nth, error });
        self
    }

    /// What the last run logged, a line each: `warn: the second instance does not answer`.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.last.borrow().log.clone()
    }

    /// What the last run called, as the ledger names it: `scale.set-replicas`.
    #[must_use]
    pub fn calls(&self) -> Vec<&'static str> {
        self.last.borrow().calls.clone()
    }
}

fn set(metrics: &mut Vec<Metric>, name: &str, value: f64) {
    metrics.retain(|m| m.name != name);
    metrics.push(Metric { name: name.to_owned(), value });
}

/// A target of a [`World`], made by [`target`].
#[derive(Clone, Debug)]
pub struct TestTarget {
    pub(super) name: String,
    pub(super) state: TargetState,
    /// When all instances were replaced last, in seconds since the epoch; `None` where the platform cannot.
    pub(super) rollout: Option<u64>,
    pub(super) settings: BTreeMap<String, String>,
    pub(super) stores_entries: bool,
}

/// A target with this many healthy instances, which may have 1 to 6, has no cache, no settings and no entries, and cannot
/// be rolled out. The instances of `local:shop` are `shop-1`, `shop-2`, ...
///
/// # Panics
/// When `name` is no address, `kind:name`.
#[must_use]
pub fn target(name: &str, instances: u32) -> TestTarget {
    let parts = name.split_once(':').filter(|(kind, rest)| !kind.is_empty() && !rest.is_empty());
    let Some((_, rest)) = parts else { panic!("`{name}` is not a target: write kind:name, for example local:shop") };
    let stem = rest.rsplit('/').next().unwrap_or(rest);
    let instance = |n| Instance { name: format!("{stem}-{n}"), ..Instance::default() };
    let state = TargetState {
        replicas: instances,
        min_replicas: instances.min(1),
        max_replicas: instances.max(6),
        instances: (1..=instances).map(instance).collect(),
        cache_ttl_ms: None,
    };
    TestTarget { name: name.to_owned(), state, rollout: None, settings: BTreeMap::new(), stores_entries: false }
}

impl TestTarget {
    /// The platform allows this many instances, both ends included.
    #[must_use]
    pub fn between(mut self, min: u32, max: u32) -> Self {
        (self.state.min_replicas, self.state.max_replicas) = (min, max);
        self
    }

    /// With a cache whose answers live this long.
    #[must_use]
    pub fn cached_for_ms(mut self, ttl_ms: u64) -> Self {
        self.state.cache_ttl_ms = Some(ttl_ms);
        self
    }

    /// On a platform that can replace all instances, a few at a time, and never has.
    #[must_use]
    pub fn rolls_out(self) -> Self {
        self.rolled_out_at(0)
    }

    /// On a platform that replaced all instances then, in seconds since the Unix epoch.
    #[must_use]
    pub fn rolled_out_at(mut self, seconds: u64) -> Self {
        self.rollout = Some(seconds);
        self
    }

    /// With a setting that can be changed; an empty value is an unset one.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With entries that are stored under keys.
    #[must_use]
    pub fn stores_entries(mut self) -> Self {
        self.stores_entries = true;
        self
    }

    /// With exactly these instances, whatever their number says of the replicas that are wanted.
    #[must_use]
    pub fn instances(mut self, instances: impl IntoIterator<Item = Instance>) -> Self {
        self.state.instances = instances.into_iter().collect();
        self
    }

    /// This instance does not answer.
    ///
    /// # Panics
    /// When there is no such instance; so do the others below.
    #[must_use]
    pub fn down(self, instance: &str) -> Self {
        self.with(instance, |i| i.up = false)
    }

    /// This instance is out of the traffic.
    #[must_use]
    pub fn isolated(self, instance: &str) -> Self {
        self.with(instance, |i| i.isolated = true)
    }

    /// This instance has another part of the traffic than 100.
    #[must_use]
    pub fn weighing(self, instance: &str, weight: u32) -> Self {
        self.with(instance, |i| i.weight = weight)
    }

    fn with(mut self, name: &str, change: impl FnOnce(&mut Instance)) -> Self {
        match self.state.instances.iter_mut().find(|i| i.name == name) {
            Some(instance) => change(instance),
            None => panic!("{} has no instance `{name}`", self.name),
        }
        self
    }
}

/// A metric that jumped from its usual value to this one, and is half of the reason. The rest by struct update:
/// `Driver { instance: Some("shop-2".to_owned()), ..driver("latency_p95", 0.9, 0.1) }`.
#[must_use]
pub fn driver(metric: &str, value: f64, normal: f64) -> Driver {
    Driver {
        metric: metric.to_owned(),
        share: 0.5,
        value,
        normal,
        low: normal * 0.8,
        high: normal * 1.2,
        trend: Trend::Step,
        ..Driver::default()
    }
}

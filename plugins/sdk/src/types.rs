//! What the host tells: the records of the contract, with the questions that playbooks and rules ask of them.

/// The incident that a component is called for.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// `INC-7`.
    pub id: String,
    /// The service that is not well.
    pub service: String,
    /// How bad it is.
    pub severity: Severity,
    /// 0 to 100; 50 is where an anomaly begins.
    pub risk: f64,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// The metrics responsible, most responsible first.
    pub drivers: Vec<Driver>,
    /// Playbooks already tried for this incident without success.
    pub tried: Vec<String>,
}

/// How bad an incident is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Not at all.
    #[default]
    None,
    /// Worth a look.
    Low,
    /// Users may notice.
    Medium,
    /// Users notice.
    High,
    /// The service hardly serves.
    Critical,
}

/// Where a metric is heading over the last samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Trend {
    /// No clear direction.
    #[default]
    Steady,
    /// Climbing sample by sample: a leak, a queue that fills.
    Rising,
    /// Sinking sample by sample.
    Falling,
    /// Jumped within a sample or two and stayed.
    Step,
}

/// One metric's part in an incident. All values are in the metric's own unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Driver {
    /// The metric's name.
    pub metric: String,
    /// Its part, 0 to 1; the parts of one incident sum to at most 1.
    pub share: f64,
    /// Its value now.
    pub value: f64,
    /// Its usual value (a median).
    pub normal: f64,
    /// The usual range, low end.
    pub low: f64,
    /// The usual range, high end.
    pub high: f64,
    /// Unit for people; may be empty.
    pub unit: String,
    /// Where it is heading.
    pub trend: Trend,
    /// The last values, oldest first.
    pub recent: Vec<f64>,
    /// The instance that stands out, where one does.
    pub instance: Option<String>,
}

/// One value of the last sample, in the metric's own unit (seconds, bytes, ratios 0 to 1, counts).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metric {
    /// The metric's name.
    pub name: String,
    /// Its value.
    pub value: f64,
}

/// The last sample of one instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InstanceMetrics {
    /// The instance.
    pub instance: String,
    /// Its metrics, by name.
    pub metrics: Vec<Metric>,
}

impl InstanceMetrics {
    /// The value of one metric of this instance.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|m| m.name == name).map(|m| m.value)
    }
}

/// One instance of a target: a worker process, a pod, a server of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// A restarted instance keeps its name.
    pub name: String,
    /// Does it answer?
    pub up: bool,
    /// Out of the traffic? It lives on for inspection.
    pub isolated: bool,
    /// Its part of the traffic relative to the others: 100 is usual, 0 to 1000.
    pub weight: u32,
    /// Counted up by each restart; where the platform does not count, since when it has run, in seconds since the Unix
    /// epoch.
    pub generation: u64,
}

impl Default for Instance {
    /// A healthy one, with the usual part of the traffic.
    fn default() -> Self {
        Self { name: String::new(), up: true, isolated: false, weight: 100, generation: 0 }
    }
}

impl Instance {
    /// Does it answer, and does it get traffic?
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.up && !self.isolated && self.weight > 0
    }
}

/// A target as it is; in a dry run, as it would be after what the playbook has asked for so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetState {
    /// How many instances are wanted.
    pub replicas: u32,
    /// The platform's floor for `replicas`.
    pub min_replicas: u32,
    /// The platform's ceiling for `replicas`.
    pub max_replicas: u32,
    /// The instances, by name.
    pub instances: Vec<Instance>,
    /// How long cached answers live, in milliseconds; `None` where there is no cache to steer.
    pub cache_ttl_ms: Option<u64>,
}

impl TargetState {
    /// The instance of this name.
    #[must_use]
    pub fn instance(&self, name: &str) -> Option<&Instance> {
        self.instances.iter().find(|i| i.name == name)
    }

    /// Instances that answer and get traffic.
    pub fn serving(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(|i| i.is_serving())
    }

    /// Instances that do not answer.
    pub fn down(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(|i| !i.up)
    }

    /// Would the platform let it have another instance?
    #[must_use]
    pub fn can_grow(&self) -> bool {
        self.replicas < self.max_replicas
    }

    /// Would the platform let it have one instance less?
    #[must_use]
    pub fn can_shrink(&self) -> bool {
        self.replicas > self.min_replicas
    }

    /// Is there a cache to steer?
    #[must_use]
    pub fn has_cache(&self) -> bool {
        self.cache_ttl_ms.is_some()
    }
}

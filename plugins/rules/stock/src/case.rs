//! What the rule knows of an incident, and where in the service a metric is bad.

use suture_playbook_sdk::prelude::*;

use crate::words::{About, is_of_the_front};

/// What the rule knows of an incident.
pub struct Case {
    /// The metrics responsible, most responsible first.
    pub drivers: Vec<Driver>,
    /// The last sample by instance.
    pub by_instance: Vec<InstanceMetrics>,
    /// What can be acted on.
    pub targets: Vec<TargetState>,
    /// A platform that replaces all instances, a few at a time, takes care of some of them.
    pub rolls_out: bool,
    /// What did not help already.
    pub tried: Vec<String>,
}

/// Does the platform of this target replace all its instances when it is told to? A rule cannot ask it, but these are the
/// kinds of target that do. A playbook asks: it refuses where this guesses wrong, and the next proposal is tried.
pub fn rolls_out(target: &str) -> bool {
    let workload = |name: &str| name.contains("/deployment/") || name.contains("/statefulset/");
    match target.split_once(':') {
        Some(("k8s", name)) => workload(name),
        Some((kind, _)) => kind == "asg",
        None => false,
    }
}

/// Where a metric is bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    /// On this instance, and not on the others.
    One(String),
    /// On all alike, or nobody can tell.
    Everywhere,
}

impl Case {
    /// Instances that do not answer: by the target's own word, else by a metric about being up that says 0.
    pub fn down(&self) -> Vec<String> {
        let instances = self.targets.iter().flat_map(|t| &t.instances);
        let says_down = |name: &str| {
            self.by_instance
                .iter()
                .filter(|sample| sample.instance == name)
                .flat_map(|sample| &sample.metrics)
                .any(|m| About::of(&m.name) == Some(About::Up) && m.value < 0.5)
        };
        instances.filter(|i| !i.up || says_down(&i.name)).map(|i| i.name.clone()).collect()
    }

    /// Does this instance answer when it is asked itself, while whoever stands before it does not get through to it?
    pub fn is_cut_off(&self, name: &str) -> bool {
        let says = |of_the_front: bool, is_up: bool| {
            let samples = self.by_instance.iter().filter(|sample| sample.instance == name);
            samples.flat_map(|sample| &sample.metrics).any(|m| {
                About::of(&m.name) == Some(About::Up)
                    && is_of_the_front(&m.name) == of_the_front
                    && (m.value >= 0.5) == is_up
            })
        };
        says(true, false) && says(false, true) && !says(false, false)
    }

    /// Where a driver is bad. Instances out of the traffic are not compared: they idle, and would make any other
    /// instance stand out.
    pub fn place(&self, driver: &Driver, about: About) -> Where {
        if let Some(name) = driver.instance.as_ref().filter(|name| self.is_serving(name)) {
            return Where::One(name.clone());
        }
        let mut values: Vec<(f64, &str)> = self
            .by_instance
            .iter()
            .filter(|sample| self.is_serving(&sample.instance))
            .filter_map(|sample| Some((sample.metric(&driver.metric)?, sample.instance.as_str())))
            .collect();
        values.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (ratio, least) = about.standing_out();
        match values.as_slice() {
            [(first, name), (second, _), ..] if !about.low_is_bad() && *first > least && *first >= ratio * second => {
                Where::One((*name).to_owned())
            }
            _ => Where::Everywhere,
        }
    }

    /// The serving instance with the highest value of a metric.
    pub fn worst(&self, metric: &str) -> Option<String> {
        self.by_instance
            .iter()
            .filter(|sample| self.is_serving(&sample.instance))
            .filter_map(|sample| Some((sample.metric(metric)?, &sample.instance)))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, name)| name.clone())
    }

    /// How many instances answer and get traffic.
    pub fn serving(&self) -> usize {
        self.targets.iter().map(|t| t.serving().count()).sum()
    }

    /// May an instance be added anywhere?
    pub fn can_grow(&self) -> bool {
        self.targets.iter().any(TargetState::can_grow)
    }

    /// Is there a cache to steer?
    pub fn has_cache(&self) -> bool {
        self.targets.iter().any(TargetState::has_cache)
    }

    fn is_serving(&self, name: &str) -> bool {
        self.targets.iter().any(|t| t.serving().any(|i| i.name == name))
    }
}

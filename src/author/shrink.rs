//! Makes a failing world small: leaves out halves, then single things, as long as it still fails the same way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::case::{Case, Target};

/// A world is tried this often at most; each try is a few runs.
const TRIES: usize = 300;

/// A component that loops takes a second a try: nobody waits longer than this for a smaller world.
const PATIENCE: Duration = Duration::from_secs(15);

/// The smallest world found in which `fails` still holds.
pub(super) async fn shrink(mut case: Case, mut fails: impl AsyncFnMut(&Case) -> bool) -> Case {
    let (begun, mut tries) = (Instant::now(), 0);
    'smaller: loop {
        for smaller in candidates(&case) {
            tries += 1;
            if tries > TRIES || begun.elapsed() > PATIENCE {
                return case;
            }
            if fails(&smaller).await {
                case = smaller;
                continue 'smaller;
            }
        }
        return case;
    }
}

/// Cases with less in them, the boldest first.
fn candidates(case: &Case) -> Vec<Case> {
    let mut out = Vec::new();
    let mut with = |change: &dyn Fn(&mut Case)| {
        let mut smaller = case.clone();
        change(&mut smaller);
        out.push(smaller);
    };
    for fail in fewer(&case.fail) {
        with(&|c| c.fail.clone_from(&fail));
    }
    for deny in fewer(&case.deny) {
        with(&|c| c.deny.clone_from(&deny));
    }
    for instance_metrics in fewer_of_map(&case.instance_metrics) {
        with(&|c| c.instance_metrics.clone_from(&instance_metrics));
    }
    for metrics in fewer_of_map(&case.metrics) {
        with(&|c| c.metrics.clone_from(&metrics));
    }
    for driver in fewer(&case.incident.driver) {
        with(&|c| c.incident.driver.clone_from(&driver));
    }
    for tried in fewer(&case.incident.tried) {
        with(&|c| c.incident.tried.clone_from(&tried));
    }
    for notes in fewer_of_map(&case.notes) {
        with(&|c| c.notes.clone_from(&notes));
    }
    for args in fewer_of_map(&case.args) {
        with(&|c| c.args.clone_from(&args));
    }
    let targets = case.target.clone().unwrap_or_default();
    for fewer in fewer(&targets) {
        with(&|c| c.target = Some(fewer.clone()));
    }
    for (i, target) in targets.iter().enumerate() {
        for smaller in smaller_targets(target) {
            with(&|c| {
                if let Some(place) = c.target.as_mut().and_then(|list| list.get_mut(i)) {
                    *place = smaller.clone();
                }
            });
        }
    }
    for (i, driver) in case.incident.driver.iter().enumerate().filter(|(_, driver)| !driver.recent.is_empty()) {
        with(&|c| {
            if let Some(place) = c.incident.driver.get_mut(i) {
                *place = driver.clone();
                place.recent.clear();
            }
        });
    }
    out
}

/// A target with fewer instances; its count goes with them.
fn smaller_targets(target: &Target) -> Vec<Target> {
    let instances = target.instance.clone().unwrap_or_default();
    let fewer = fewer(&instances).into_iter().map(|instance| {
        let there = u32::try_from(instance.len()).unwrap_or(u32::MAX);
        Target { replicas: target.replicas.map(|n| n.min(there)), instance: Some(instance), ..target.clone() }
    });
    // The bounds follow, or the smaller target would be one that no platform has.
    fewer.map(|t| Target { min: t.min.min(t.replicas()), ..t }).collect()
}

/// Nothing, each half, and the list without each of a few.
fn fewer<T: Clone>(list: &[T]) -> Vec<Vec<T>> {
    if list.is_empty() {
        return Vec::new();
    }
    let (first, second) = list.split_at(list.len() / 2);
    let mut out = vec![Vec::new()];
    if list.len() > 1 {
        out.extend([first.to_vec(), second.to_vec()]);
    }
    if (3..=8).contains(&list.len()) {
        let without = |i: usize| list.iter().enumerate().filter(|(n, _)| *n != i).map(|(_, x)| x.clone()).collect();
        out.extend((0..list.len()).map(without));
    }
    out
}

fn fewer_of_map<V: Clone>(map: &BTreeMap<String, V>) -> Vec<BTreeMap<String, V>> {
    let list: Vec<_> = map.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    fewer(&list).into_iter().map(|list| list.into_iter().collect()).collect()
}

//! Makes metrics of what the server gave: of instances first, then of the service as a whole.
//!
//! Must never make a number where one was missing. Pure; called by the source, for rounds and for history alike.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::templates::{Make, Part};
use crate::collect::Across;

/// One number of one series.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cell {
    /// Its place in [`Part::series`].
    pub series: u16,
    /// `None` where the series is of the target as a whole.
    pub instance: Option<Arc<str>>,
    /// The bucket's upper bound; NaN where the series is no histogram.
    pub le: f64,
    pub value: f64,
}

/// How old the newest samples of a target's pulse are, in seconds; of each instance, where the pulse tells them apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ages(Vec<(Option<Arc<str>>, f64)>);

impl Ages {
    pub fn note(&mut self, instance: Option<&Arc<str>>, age: f64) {
        match self.0.iter_mut().find(|(known, _)| known.as_ref() == instance) {
            Some((_, known)) => *known = known.min(age),
            None => self.0.push((instance.cloned(), age)),
        }
    }

    /// `None`: the pulse is not there.
    pub fn youngest(&self) -> Option<f64> {
        self.0.iter().map(|(_, age)| *age).reduce(f64::min)
    }

    /// Is this series still measured? What a function makes of a window goes on for as long as the window, also when the
    /// instance is gone: then its pulse is gone too.
    pub fn keep(&self, cell: &Cell, oldest: f64) -> bool {
        let fresh = |(_, age): &&(Option<Arc<str>>, f64)| *age <= oldest;
        let mut of_it = self.0.iter().filter(fresh).map(|(instance, _)| instance);
        of_it.any(|instance| instance.is_none() || cell.instance.is_none() || *instance == cell.instance)
    }
}

/// The metrics of one part.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Made {
    pub values: BTreeMap<&'static str, f64>,
    pub by_instance: BTreeMap<Arc<str>, BTreeMap<&'static str, f64>>,
}

/// Makes the metrics of a part. `across` is the config's own word on how instances are merged.
pub(super) fn make<'c>(
    part: &'static Part,
    cells: impl Iterator<Item = &'c Cell>,
    across: impl Fn(&str) -> Option<Across>,
    with_instances: bool,
) -> Made {
    let got = Got { part, cells: cells.collect() };
    let instances: BTreeSet<&Arc<str>> = got.cells.iter().filter_map(|cell| cell.instance.as_ref()).collect();
    let mut made = Made::default();
    for row in part.rows {
        let of_config = across(row.name);
        if let Some(value) = got.service(row.make, of_config, row.across, &instances) {
            made.values.insert(row.name, value);
        }
        if !with_instances {
            continue;
        }
        for instance in &instances {
            if let Some(value) = got.instance(row.each.unwrap_or(row.make), instance) {
                made.by_instance.entry(Arc::clone(instance)).or_default().insert(row.name, value);
            }
        }
    }
    made
}

/// What was found of one part.
struct Got<'a> {
    part: &'static Part,
    cells: Vec<&'a Cell>,
}

impl Got<'_> {
    fn of(&self, series: &str) -> impl Iterator<Item = &Cell> {
        let index = self.part.series.iter().position(|s| s.name == series).and_then(|index| u16::try_from(index).ok());
        self.cells.iter().copied().filter(move |cell| Some(cell.series) == index)
    }

    fn service(
        &self,
        make: Make,
        of_config: Option<Across>,
        usual: Across,
        instances: &BTreeSet<&Arc<str>>,
    ) -> Option<f64> {
        match make {
            Make::Value(of) => merge(self.of(of).map(|cell| cell.value), of_config.unwrap_or(usual)),
            Make::Ratio { of, per, lazy, idle } => match of_config {
                Some(across) if !instances.is_empty() => {
                    merge(instances.iter().filter_map(|instance| self.instance(make, instance)), across)
                }
                _ => {
                    let (mut above, mut below, mut any) = (0.0, 0.0, false);
                    for cell in self.of(per) {
                        let same = self.of(of).find(|other| other.instance == cell.instance).map(|other| other.value);
                        if let Some(value) = same.or(lazy.then_some(0.0)) {
                            (above, below, any) = (above + value, below + cell.value, true);
                        }
                    }
                    if any { ratio(above, below, idle) } else { None }
                }
            },
            Make::Quantile { of, q, scale } => {
                let mut buckets: BTreeMap<Bound, f64> = BTreeMap::new();
                for cell in self.of(of) {
                    *buckets.entry(Bound(cell.le)).or_default() += cell.value;
                }
                quantile(&buckets, q).map(|value| value * scale)
            }
        }
    }

    fn instance(&self, make: Make, instance: &Arc<str>) -> Option<f64> {
        let own = |of: &str| {
            self.of(of).find(|cell| cell.instance.as_ref().is_some_and(|i| i == instance)).map(|cell| cell.value)
        };
        match make {
            Make::Value(of) => own(of),
            Make::Ratio { of, per, lazy, idle } => {
                let below = own(per)?;
                ratio(own(of).or(lazy.then_some(0.0))?, below, idle)
            }
            Make::Quantile { of, q, scale } => {
                let cells = self.of(of).filter(|cell| cell.instance.as_ref().is_some_and(|i| i == instance));
                let buckets: BTreeMap<Bound, f64> = cells.map(|cell| (Bound(cell.le), cell.value)).collect();
                quantile(&buckets, q).map(|value| value * scale)
            }
        }
    }
}

fn ratio(above: f64, below: f64, idle: Option<f64>) -> Option<f64> {
    if below == 0.0 { idle } else { Some(above / below) }
}

/// One value of several; nothing of none.
pub(super) fn merge(values: impl Iterator<Item = f64>, across: Across) -> Option<f64> {
    let (mut count, mut sum, mut most, mut least) = (0_u32, 0.0, f64::NEG_INFINITY, f64::INFINITY);
    for value in values {
        count += 1;
        sum += value;
        most = f64::max(most, value);
        least = f64::min(least, value);
    }
    (count > 0).then(|| match across {
        Across::Sum => sum,
        Across::Mean => sum / f64::from(count),
        Across::Max => most,
        Across::Min => least,
    })
}

/// The upper bound of a bucket, in order.
#[derive(Clone, Copy, Debug)]
struct Bound(f64);

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Bound {}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bound {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// The value below which `q` of the observations lie, evenly spread within a bucket, as PromQL's `histogram_quantile`
/// has it. Nothing when nothing was observed or the last bucket, which counts all, is missing.
///
/// Rates of buckets that were read at slightly different times may go down from one bound to the next: then the bucket
/// counts as empty.
fn quantile(buckets: &BTreeMap<Bound, f64>, q: f64) -> Option<f64> {
    let (last, _) = buckets.last_key_value()?;
    if last.0 != f64::INFINITY || buckets.len() < 2 {
        return None;
    }
    let all = buckets.values().copied().fold(0.0, f64::max);
    if all <= 0.0 {
        return None;
    }
    let rank = q * all;
    let (mut lower, mut below) = (0.0, 0.0);
    for (bound, count) in buckets {
        let count = f64::max(*count, below);
        if count >= rank && count > below {
            if bound.0 == f64::INFINITY {
                // Nothing is known but that it is beyond the last bound.
                return Some(lower);
            }
            if bound.0 <= 0.0 {
                return Some(bound.0);
            }
            return Some(lower + (bound.0 - lower) * (rank - below) / (count - below));
        }
        (lower, below) = (bound.0, count);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::templates;
    use super::*;

    fn part(family: &str) -> &'static Part {
        &templates::named(family).unwrap().parts[0]
    }

    fn cell(part: &Part, series: &str, instance: &str, value: f64) -> Cell {
        let series = u16::try_from(part.series.iter().position(|s| s.name == series).unwrap()).unwrap();
        let instance = (!instance.is_empty()).then(|| Arc::from(instance));
        Cell { series, instance, le: f64::NAN, value }
    }

    fn bucket(part: &Part, instance: &str, le: f64, value: f64) -> Cell {
        Cell { le, ..cell(part, "latency", instance, value) }
    }

    fn is(found: Option<&f64>, expected: f64) -> bool {
        found.is_some_and(|found| (found - expected).abs() < 1e-9)
    }

    #[test]
    fn errors_are_shares_of_all_requests_and_none_are_0() {
        let http = part("http-red");
        let mut cells = vec![cell(http, "requests", "a", 90.0), cell(http, "requests", "b", 10.0)];
        let none = make(http, cells.iter(), |_| None, true);
        assert!(is(none.values.get("http_error_ratio"), 0.0) && is(none.values.get("http_requests_rate"), 100.0));
        cells.push(cell(http, "errors", "b", 5.0));
        let some = make(http, cells.iter(), |_| None, true);
        assert!(is(some.values.get("http_error_ratio"), 0.05), "{some:?}");
        assert!(is(some.by_instance["b"].get("http_error_ratio"), 0.5));
        assert!(is(some.by_instance["a"].get("http_error_ratio"), 0.0));
        let worst = make(http, cells.iter(), |name| (name == "http_error_ratio").then_some(Across::Max), false);
        assert!(is(worst.values.get("http_error_ratio"), 0.5) && worst.by_instance.is_empty());
        assert!(make(http, [cell(http, "errors", "b", 5.0)].iter(), |_| None, true).values.is_empty());
    }

    #[test]
    fn what_has_to_be_known_is_not_made_up() {
        let redis = part("redis");
        let cells = [cell(redis, "hits", "", 0.0), cell(redis, "lookups", "", 0.0), cell(redis, "memory", "", 7.0)];
        let made = make(redis, cells.iter(), |_| None, true);
        assert!(made.values.keys().eq(&["redis_memory_used_bytes"]), "{made:?}");
    }

    #[test]
    fn buckets_of_instances_are_added() {
        let http = part("http-red");
        let cells: Vec<Cell> = [("a", 90.0, 90.0), ("b", 0.0, 10.0)]
            .iter()
            .flat_map(|(instance, fast, all)| {
                let one = |le, value| bucket(http, instance, le, value);
                [one(0.1, *fast), one(1.0, *all), one(f64::INFINITY, *all)]
            })
            .collect();
        let made = make(http, cells.iter(), |_| None, true);
        assert!(is(made.values.get("http_latency_seconds_p50"), 0.1 * 50.0 / 90.0), "{made:?}");
        assert!(is(made.values.get("http_latency_seconds_p95"), 0.1 + 0.9 * 0.5));
        assert!(is(made.by_instance["b"].get("http_latency_seconds_p50"), 0.55));
        assert!(is(made.by_instance["a"].get("http_latency_seconds_p95"), 0.095));
    }

    #[test]
    fn quantiles_know_the_ends_of_a_histogram() {
        let of = |buckets: &[(f64, f64)], q| quantile(&buckets.iter().map(|(le, n)| (Bound(*le), *n)).collect(), q);
        let inf = f64::INFINITY;
        assert_eq!(of(&[], 0.5), None);
        assert_eq!(of(&[(1.0, 3.0)], 0.5), None, "nobody knows how many there are");
        assert_eq!(of(&[(inf, 3.0)], 0.5), None);
        assert_eq!(of(&[(1.0, 0.0), (inf, 0.0)], 0.5), None);
        assert_eq!(of(&[(1.0, 0.0), (inf, 4.0)], 0.5), Some(1.0), "beyond the last bound");
        assert_eq!(of(&[(0.0, 4.0), (inf, 4.0)], 0.5), Some(0.0));
        assert_eq!(of(&[(1.0, 4.0), (2.0, 3.0), (inf, 4.0)], 0.5), Some(0.5), "counts that go down");
    }

    #[test]
    fn an_instance_that_is_gone_is_not_counted_on() {
        let redis = part("redis");
        let (a, b, all) = (cell(redis, "hits", "a", 1.0), cell(redis, "hits", "b", 1.0), cell(redis, "hits", "", 1.0));
        let kept = |ages: &[(&str, f64)]| {
            let mut noted = Ages::default();
            for (instance, age) in ages {
                noted.note((!instance.is_empty()).then(|| Arc::from(*instance)).as_ref(), *age);
            }
            [&a, &b, &all].map(|cell| noted.keep(cell, 60.0))
        };
        assert_eq!(kept(&[("a", 1.0), ("b", 61.0)]), [true, false, true]);
        assert_eq!(kept(&[("a", 1.0)]), [true, false, true]);
        assert_eq!(kept(&[("", 1.0)]), [true, true, true], "a pulse of the whole");
        assert_eq!(kept(&[("a", 99.0), ("b", 99.0), ("b", 98.0)]), [false, false, false]);
        assert_eq!(kept(&[]), [false, false, false]);
    }

    #[test]
    fn several_become_one() {
        let values = [1.0, 2.0, 6.0];
        for (across, expected) in [(Across::Sum, 9.0), (Across::Mean, 3.0), (Across::Max, 6.0), (Across::Min, 1.0)] {
            assert_eq!(merge(values.into_iter(), across), Some(expected));
        }
        assert_eq!(merge(std::iter::empty(), Across::Sum), None);
    }
}

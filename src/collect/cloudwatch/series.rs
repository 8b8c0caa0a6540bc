//! Values by time, and the one that is the newest. Pure.

use std::collections::BTreeMap;

use super::WINDOWS;
use super::query::Query;

/// Most faults of one answer that are kept: the first ones say it.
const MOST_FAULTS: usize = 5;

/// The values of some metrics: by the beginning of their window, in seconds since the epoch.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    of: Vec<BTreeMap<i64, f64>>,
    pub(super) faults: Vec<String>,
}

impl Series {
    /// Nothing yet, of so many metrics.
    pub(super) fn of(metrics: usize) -> Self {
        Self { of: vec![BTreeMap::new(); metrics], faults: Vec::new() }
    }

    /// More values of metric `n`.
    pub(super) fn add(&mut self, n: usize, values: impl Iterator<Item = (i64, f64)>) {
        if let Some(of) = self.of.get_mut(n) {
            of.extend(values.filter(|(_, value)| value.is_finite()));
        }
    }

    /// Something that CloudWatch could not do.
    pub(super) fn fault(&mut self, why: String) {
        if self.faults.len() < MOST_FAULTS && !self.faults.contains(&why) {
            self.faults.push(why);
        }
    }

    /// Are there no values of metric `n`?
    pub(super) fn is_empty(&self, n: usize) -> bool {
        self.of.get(n).is_none_or(BTreeMap::is_empty)
    }

    /// The newest value of metric `n` at a moment when the windows up to `end` are complete.
    pub(super) fn newest(&self, queries: &[Query], n: usize, end: i64) -> Option<f64> {
        let query = queries.get(n)?;
        let own = self.last(n, query.period, end);
        if !query.may_be_silent() {
            return own.map(|(_, value)| value);
        }
        // Nothing happened in a window of which something else of the same thing is known.
        let same = queries.iter().enumerate().filter(|(_, other)| other.is_of_the_same(query));
        let known = same.filter_map(|(m, _)| self.last(m, query.period, end).map(|(at, _)| at)).max()?;
        Some(own.filter(|(at, _)| *at == known).map_or(0.0, |(_, value)| value))
    }

    fn last(&self, n: usize, period: i64, end: i64) -> Option<(i64, f64)> {
        let oldest = end.saturating_sub(WINDOWS.saturating_mul(period));
        self.of.get(n)?.range(oldest..end).next_back().map(|(at, value)| (*at, *value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MetricSpec;

    fn query(stat: &str, dimension: &str) -> Query {
        Query {
            name: "x".to_owned(),
            namespace: "AWS/ApplicationELB".to_owned(),
            metric: "x".to_owned(),
            dimensions: BTreeMap::from([("LoadBalancer".to_owned(), dimension.to_owned())]),
            stat: stat.to_owned(),
            period: 60,
            spec: MetricSpec::default(),
            remedy: "",
        }
    }

    fn series(of: &[&[(i64, f64)]]) -> Series {
        let mut series = Series::of(of.len());
        of.iter().enumerate().for_each(|(n, values)| series.add(n, values.iter().copied()));
        series
    }

    #[test]
    fn the_newest_complete_window_counts_for_three_windows() {
        let queries = [query("Average", "web")];
        let series = series(&[&[(600, 1.0), (660, 2.0), (720, f64::NAN)]]);
        let at = |end| series.newest(&queries, 0, end);
        assert_eq!(
            [at(600), at(660), at(720), at(780), at(840), at(900)],
            [None, Some(1.0), Some(2.0), Some(2.0), Some(2.0), None]
        );
    }

    #[test]
    fn a_sum_of_which_nothing_is_said_is_zero_where_the_same_thing_says_something_else() {
        let queries = [query("Sum", "web"), query("Average", "web"), query("Sum", "other"), query("Average", "third")];
        let series = series(&[&[(600, 7.0)], &[(600, 1.0), (660, 1.0)], &[], &[(660, 1.0)]]);
        assert_eq!(series.newest(&queries, 0, 660), Some(7.0));
        assert_eq!(series.newest(&queries, 0, 720), Some(0.0));
        // Nothing at all is known of it, and nothing is made up.
        assert_eq!(series.newest(&queries, 2, 720), None);
        assert_eq!(series.newest(&queries, 0, 6000), None);
    }
}

//! What happened since the last round: increases of counters, and quantiles of what a histogram took in.
//!
//! Must never give a negative increase or a value out of nothing. Pure; called by `recipe`.
//!
//! A counter that dropped belongs to a process that was started anew and counts from nothing, so what it shows is its
//! increase. A series that is seen for the first time gives nothing: how much of it is old cannot be known.

use super::family::{Histogram, Series};

/// The increase of one counter.
pub(super) fn increase(before: f64, now: f64) -> f64 {
    if now >= before { now - before } else { now.max(0.0) }
}

/// The increase of all series that `wanted` picks. `None` when every one of them is seen for the first time; 0 when
/// there are none: a labelled counter shows up only with its first event.
pub(super) fn total(
    before: &Series<f64>,
    now: &Series<f64>,
    wanted: impl Fn(&[(String, String)]) -> bool,
) -> Option<f64> {
    let (mut sum, mut known, mut any) = (0.0, false, false);
    for (labels, value) in now.iter().filter(|(labels, _)| wanted(labels)) {
        any = true;
        if let Some(earlier) = before.get(labels) {
            known = true;
            sum += increase(*earlier, *value);
        }
    }
    (known || !any).then_some(sum)
}

/// What histograms took in since the last round.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Intake {
    /// Upper bound to how many were at or below it; sorted.
    pub buckets: Vec<(f64, f64)>,
    /// Sum of what was observed.
    pub sum: f64,
    /// How many were observed.
    pub count: f64,
}

impl Intake {
    /// One histogram's. Bounds that were not there the last time are left out.
    pub fn between(before: &Histogram, now: &Histogram) -> Self {
        let earlier = |bound: f64| at(&before.buckets, bound);
        let dropped = |(bound, count): &(f64, f64)| earlier(*bound).is_some_and(|earlier| *count < earlier);
        if now.buckets.iter().any(dropped) || now.count < before.count {
            return Self::whole(now);
        }
        let buckets: Vec<_> =
            now.buckets.iter().filter_map(|(bound, count)| Some((*bound, *count - earlier(*bound)?))).collect();
        let part = |now: Option<f64>, before: Option<f64>| now.unwrap_or(0.0) - before.unwrap_or(0.0);
        Self { buckets, sum: part(now.sum, before.sum), count: part(now.count, before.count) }
    }

    /// All that a histogram shows: its process was started anew.
    fn whole(now: &Histogram) -> Self {
        let positive = now.buckets.iter().map(|(bound, count)| (*bound, count.max(0.0))).collect();
        Self { buckets: positive, sum: now.sum.unwrap_or(0.0), count: now.count.unwrap_or(0.0).max(0.0) }
    }

    /// Adds another's, bucket by bucket. Counts are cumulative, so those at the bounds that both have are exact, and
    /// the other bounds are given up.
    pub fn merge(mut self, other: &Self) -> Self {
        self.buckets.retain_mut(|(bound, count)| at(&other.buckets, *bound).map(|more| *count += more).is_some());
        self.sum += other.sum;
        self.count += other.count;
        self
    }

    /// The value below which the part `q` of the observations lies, as Prometheus's `histogram_quantile` has it: even
    /// spread within a bucket, a first bucket that begins at 0 (or ends at its bound, when that is not above 0), and
    /// the highest finite bound for what fell into +Inf. `None` when nothing was observed.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        // A page is not read at one instant, so a bucket may be ahead of its greater neighbour: never fall.
        let mut highest = 0.0_f64;
        let cumulative: Vec<(f64, f64)> = self
            .buckets
            .iter()
            .map(|(bound, count)| {
                highest = highest.max(*count);
                (*bound, highest)
            })
            .collect();
        let all = cumulative.last().map(|(_, count)| *count).filter(|all| *all > 0.0 && all.is_finite())?;
        let finite = cumulative.iter().rev().map(|(bound, _)| *bound).find(|bound| bound.is_finite())?;
        let rank = q.clamp(0.0, 1.0) * all;
        let (mut start, mut below) = (None, 0.0);
        for (bound, count) in cumulative {
            if count >= rank && count > below {
                if !bound.is_finite() {
                    return Some(finite);
                }
                let start = start.unwrap_or(if bound > 0.0 { 0.0 } else { bound });
                let part = ((rank - below) / (count - below)).clamp(0.0, 1.0);
                return Some((start + (bound - start) * part).clamp(start, bound));
            }
            (start, below) = (Some(bound), count);
        }
        Some(finite)
    }

    /// The mean of what was observed; `None` when nothing was.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}

fn at(buckets: &[(f64, f64)], bound: f64) -> Option<f64> {
    let index = buckets.binary_search_by(|(other, _)| other.total_cmp(&bound)).ok()?;
    buckets.get(index).map(|(_, count)| *count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INF: f64 = f64::INFINITY;

    fn histogram(buckets: &[(f64, f64)], sum: f64) -> Histogram {
        Histogram { buckets: buckets.to_vec(), sum: Some(sum), count: buckets.last().map(|(_, c)| *c) }
    }

    fn close(a: Option<f64>, b: f64) -> bool {
        a.is_some_and(|a| (a - b).abs() < 1e-9)
    }

    fn counters(pairs: &[(&str, f64)]) -> Series<f64> {
        pairs.iter().map(|(l, v)| (vec![("l".to_owned(), (*l).to_owned())], *v)).collect()
    }

    #[test]
    fn a_drop_is_a_restart() {
        assert!(close(Some(increase(10.0, 14.0)), 4.0));
        assert!(close(Some(increase(1e9, 3.0)), 3.0));
        assert!(close(Some(increase(-5.0, -7.0)), 0.0));
    }

    #[test]
    fn a_new_series_gives_nothing_and_none_at_all_gives_zero() {
        let all = |_: &[(String, String)]| true;
        assert!(close(total(&counters(&[("a", 1.0)]), &counters(&[("a", 3.0), ("b", 900.0)]), all), 2.0));
        assert_eq!(total(&counters(&[]), &counters(&[("b", 900.0)]), all), None);
        assert!(close(total(&counters(&[("a", 1.0)]), &counters(&[]), all), 0.0));
    }

    #[test]
    fn quantiles_lie_evenly_within_a_bucket() {
        let intake = Intake { buckets: vec![(0.1, 50.0), (0.2, 90.0), (INF, 100.0)], sum: 12.0, count: 100.0 };
        assert!(close(intake.quantile(0.5), 0.1));
        assert!(close(intake.quantile(0.25), 0.05));
        assert!(close(intake.quantile(0.7), 0.15));
        assert!(close(intake.quantile(0.95), 0.2), "what fell into +Inf is at least the highest finite bound");
        assert!(close(intake.mean(), 0.12));
    }

    #[test]
    fn nothing_observed_is_no_value() {
        let same = histogram(&[(0.1, 5.0), (INF, 7.0)], 1.0);
        let intake = Intake::between(&same, &same);
        assert_eq!((intake.quantile(0.95), intake.mean()), (None, None));
        assert_eq!(Intake { buckets: vec![(INF, 3.0)], sum: 1.0, count: 3.0 }.quantile(0.5), None);
    }

    #[test]
    fn a_restarted_histogram_counts_from_nothing() {
        let before = histogram(&[(0.1, 1000.0), (INF, 2000.0)], 900.0);
        let now = histogram(&[(0.1, 10.0), (INF, 10.0)], 0.5);
        let intake = Intake::between(&before, &now);
        assert_eq!(intake.count.to_bits(), 10f64.to_bits());
        assert!(intake.quantile(0.99).is_some_and(|p| p <= 0.1));
    }

    #[test]
    fn instances_are_merged_at_the_bounds_they_share() {
        let a = Intake { buckets: vec![(0.1, 10.0), (0.5, 10.0), (INF, 10.0)], sum: 1.0, count: 10.0 };
        let b = Intake { buckets: vec![(0.2, 0.0), (0.5, 10.0), (INF, 10.0)], sum: 4.0, count: 10.0 };
        let both = a.merge(&b);
        assert_eq!(both.buckets, [(0.5, 20.0), (INF, 20.0)]);
        assert!(close(both.mean(), 0.25));
    }

    proptest! {
        #[test]
        fn increases_are_never_negative(before in -1e12..1e12f64, now in -1e12..1e12f64) {
            prop_assert!(increase(before, now) >= 0.0);
        }

        #[test]
        fn quantiles_lie_within_the_bounds(
            mut bounds in proptest::collection::vec(-1e3..1e3f64, 1..8),
            counts in proptest::collection::vec(-5.0..1e6f64, 9),
            q in -0.5..1.5f64,
        ) {
            bounds.sort_by(f64::total_cmp);
            bounds.dedup();
            let low = bounds[0].min(0.0);
            let high = bounds[bounds.len() - 1];
            bounds.push(INF);
            let buckets: Vec<_> = bounds.into_iter().zip(counts).collect();
            let intake = Intake { buckets, sum: 0.0, count: 0.0 };
            if let Some(value) = intake.quantile(q) {
                prop_assert!(value >= low && value <= high, "{value} not in {low}..{high}");
            }
        }

        #[test]
        fn quantiles_rise_with_their_rank(counts in proptest::collection::vec(0.0..1e4f64, 5)) {
            let mut sum = 0.0;
            let buckets = [0.1, 0.5, 1.0, 5.0, INF].into_iter().zip(counts).map(|(b, c)| { sum += c; (b, sum) }).collect();
            let intake = Intake { buckets, sum: 0.0, count: 0.0 };
            if let (Some(p50), Some(p95), Some(p99)) = (intake.quantile(0.5), intake.quantile(0.95), intake.quantile(0.99)) {
                prop_assert!(p50 <= p95 && p95 <= p99);
            }
        }
    }
}

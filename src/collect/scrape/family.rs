//! Puts the lines of a page together to families: a histogram's buckets, its sum and its count become one thing.
//!
//! Must never look at time: what a counter did since the last round is `since`'s. Called by the source.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::page::{Kind, Labels, Page};

/// Series of one family, by their labels.
pub(super) type Series<T> = BTreeMap<Labels, T>;

/// One family of a page.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Family {
    /// One number a series; finite.
    Scalar {
        counter: bool,
        series: Series<f64>,
    },
    Histogram(Series<Histogram>),
    Summary(Series<Summary>),
}

/// One series of a histogram, counted since its process began.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Histogram {
    /// Upper bound to how many were at or below it; sorted, without duplicates, the last bound is +Inf.
    pub buckets: Vec<(f64, f64)>,
    pub sum: Option<f64>,
    pub count: Option<f64>,
}

/// One series of a summary; its quantiles are its process's own.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Summary {
    /// Quantile (0 to 1) to value; finite.
    pub quantiles: Vec<(f64, f64)>,
    pub sum: Option<f64>,
    pub count: Option<f64>,
}

/// The families of one page, by name. A counter keeps the name of its series: `http_requests_total`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Families {
    pub by_name: BTreeMap<String, Family>,
    /// Series that stood on the page more than once; the first counts, as in Prometheus.
    pub duplicates: usize,
}

/// What a line is within its family.
enum Role {
    Value { counter: bool },
    Bucket,
    Quantile,
    Sum,
    Count,
}

impl Families {
    /// Sorts the lines of a page into families.
    ///
    /// A family without a `# TYPE` line is guessed: lines with `_bucket` and a label `le` are a histogram, a label
    /// `quantile` makes a summary, `_total` a counter, and anything else stands as it is. `*_created` (when a series
    /// began) is left out: it is a date, not a measurement.
    pub fn of(page: Page) -> Self {
        let Page { series, types } = page;
        let has_label = |labels: &Labels, name: &str| labels.iter().any(|(k, _)| k == name);
        let mut guessed: BTreeMap<String, Kind> = BTreeMap::new();
        for line in &series {
            if let Some(base) = line.name.strip_suffix("_bucket").filter(|base| !types.contains_key(*base))
                && !types.contains_key(&line.name)
                && has_label(&line.labels, "le")
            {
                guessed.insert(base.to_owned(), Kind::Histogram);
            } else if !types.contains_key(&line.name) && has_label(&line.labels, "quantile") {
                guessed.insert(line.name.clone(), Kind::Summary);
            }
        }
        let kind_of = |name: &str| types.get(name).or_else(|| guessed.get(name)).copied();
        let mut families = Self::default();
        for line in series {
            if let Some((family, role)) = place(&line.name, &kind_of) {
                families.add(family.to_owned(), &role, line.labels, line.value);
            }
        }
        families.by_name.values_mut().for_each(Family::tidy);
        families
    }

    fn add(&mut self, name: String, role: &Role, mut labels: Labels, value: f64) {
        let fresh = || match *role {
            Role::Value { counter } => Family::Scalar { counter, series: Series::new() },
            Role::Bucket => Family::Histogram(Series::new()),
            Role::Quantile => Family::Summary(Series::new()),
            Role::Sum | Role::Count => Family::Histogram(Series::new()),
        };
        let family = self.by_name.entry(name).or_insert_with(fresh);
        let bound = |labels: &mut Labels, name: &str| -> Option<f64> {
            let at = labels.iter().position(|(k, _)| k == name)?;
            labels.remove(at).1.parse::<f64>().ok().filter(|bound| !bound.is_nan())
        };
        // A summary may begin with its sum: it is made a histogram without buckets until a quantile shows up.
        if let (Family::Histogram(series), Role::Quantile) = (&mut *family, role) {
            let early = std::mem::take(series).into_iter();
            let summary = |h: Histogram| Summary { quantiles: Vec::new(), sum: h.sum, count: h.count };
            *family = Family::Summary(early.map(|(labels, h)| (labels, summary(h))).collect());
        }
        let duplicate = match (family, role) {
            (Family::Scalar { series, .. }, Role::Value { .. }) if value.is_finite() => {
                let seen = series.contains_key(&labels);
                series.entry(labels).or_insert(value);
                seen
            }
            (Family::Histogram(series), Role::Bucket) if value.is_finite() => {
                let Some(le) = bound(&mut labels, "le") else { return };
                series.entry(labels).or_default().buckets.push((le, value));
                false
            }
            (Family::Summary(series), Role::Quantile) => {
                let Some(q) = bound(&mut labels, "quantile") else { return };
                let quantiles = &mut series.entry(labels).or_default().quantiles;
                let seen = quantiles.iter().any(|(other, _)| other.total_cmp(&q).is_eq());
                // NaN: nothing was observed lately.
                if !seen && value.is_finite() {
                    quantiles.push((q, value));
                }
                seen
            }
            (Family::Histogram(series), Role::Sum) => keep_first(&mut series.entry(labels).or_default().sum, value),
            (Family::Histogram(series), Role::Count) => keep_first(&mut series.entry(labels).or_default().count, value),
            (Family::Summary(series), Role::Sum) => keep_first(&mut series.entry(labels).or_default().sum, value),
            (Family::Summary(series), Role::Count) => keep_first(&mut series.entry(labels).or_default().count, value),
            _ => false,
        };
        self.duplicates += usize::from(duplicate);
    }

    /// The family that the config calls `from`, with the name it has here: its own name, a counter's without `_total`
    /// (as OpenMetrics names it), or a histogram's `_count` or `_sum` as a counter.
    pub fn find(&self, from: &str) -> Option<(&str, Cow<'_, Family>)> {
        let named = |name: &str| self.by_name.get_key_value(name);
        if let Some((name, family)) = named(from).or_else(|| named(&format!("{from}_total"))) {
            return Some((name, Cow::Borrowed(family)));
        }
        let (base, is_sum) = match (from.strip_suffix("_count"), from.strip_suffix("_sum")) {
            (Some(base), _) => (base, false),
            (_, Some(base)) => (base, true),
            _ => return None,
        };
        let (name, family) = named(base)?;
        Some((name, Cow::Owned(Family::Scalar { counter: true, series: family.part(is_sum)? })))
    }

    /// Forgets what is not in `names`.
    pub fn keep(&mut self, names: &BTreeSet<String>) {
        self.by_name.retain(|name, _| names.contains(name));
    }
}

/// Keeps the first finite value; says whether there already was one.
fn keep_first(slot: &mut Option<f64>, value: f64) -> bool {
    let seen = slot.is_some();
    *slot = slot.or_else(|| value.is_finite().then_some(value));
    seen
}

/// The family that a line belongs to, and what it is there.
fn place<'a>(name: &'a str, kind_of: &impl Fn(&str) -> Option<Kind>) -> Option<(&'a str, Role)> {
    match kind_of(name) {
        Some(Kind::Counter) => return Some((name, Role::Value { counter: true })),
        Some(Kind::Gauge | Kind::Other) => return Some((name, Role::Value { counter: false })),
        Some(Kind::Summary) => return Some((name, Role::Quantile)),
        Some(Kind::Histogram) | None => {}
    }
    let part = |suffix: &str| {
        let base = name.strip_suffix(suffix)?;
        Some((base, kind_of(base)?))
    };
    if let Some((base, Kind::Histogram)) = part("_bucket") {
        return Some((base, Role::Bucket));
    }
    if let Some((base, Kind::Histogram | Kind::Summary)) = part("_sum") {
        return Some((base, Role::Sum));
    }
    if let Some((base, Kind::Histogram | Kind::Summary)) = part("_count") {
        return Some((base, Role::Count));
    }
    if name.ends_with("_created") {
        return None;
    }
    Some((name, Role::Value { counter: name.ends_with("_total") }))
}

impl Family {
    /// The counts (or sums) of a histogram or summary as series of their own.
    pub fn part(&self, sum: bool) -> Option<Series<f64>> {
        let pick = |total: Option<f64>, count: Option<f64>| if sum { total } else { count };
        match self {
            Self::Scalar { .. } => None,
            Self::Histogram(series) => {
                Some(series.iter().filter_map(|(l, h)| Some((l.clone(), pick(h.sum, h.count)?))).collect())
            }
            Self::Summary(series) => {
                Some(series.iter().filter_map(|(l, s)| Some((l.clone(), pick(s.sum, s.count)?))).collect())
            }
        }
    }

    /// Sorts buckets, drops repeated bounds, and sees to it that the last is +Inf.
    fn tidy(&mut self) {
        let Self::Histogram(series) = self else { return };
        for histogram in series.values_mut() {
            // Stable, so that of two lines with one bound the first on the page is kept.
            histogram.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            histogram.buckets.dedup_by(|later, first| later.0.total_cmp(&first.0).is_eq());
            let last = histogram.buckets.last().copied();
            let all = histogram.count.or(last.map(|(_, count)| count));
            if let Some(all) = all.filter(|_| last.is_none_or(|(bound, _)| bound < f64::INFINITY)) {
                histogram.buckets.push((f64::INFINITY, all));
            }
            histogram.count = histogram.count.or(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::page::PageReader;
    use super::*;

    fn families(text: &str) -> Families {
        let mut reader = PageReader::default();
        reader.feed(text.as_bytes()).unwrap();
        Families::of(reader.finish(true, false).unwrap())
    }

    #[test]
    fn a_typed_page_becomes_families() {
        let found = families(
            "# TYPE h histogram\nh_bucket{le=\"0.1\"} 1\nh_bucket{le=\"+Inf\"} 3\nh_sum 0.9\nh_count 3\n\
             # TYPE s summary\ns_sum 4\ns_count 2\ns{quantile=\"0.5\"} 1.5\n\
             # TYPE c counter\nc_total 7\nc_created 1700000000\n# TYPE g gauge\ng 2\n",
        );
        let names: Vec<&str> = found.by_name.keys().map(String::as_str).collect();
        assert_eq!(names, ["c_total", "g", "h", "s"]);
        let Some(Family::Histogram(h)) = found.by_name.get("h") else { panic!("no histogram") };
        assert_eq!(h[&vec![]].buckets, [(0.1, 1.0), (f64::INFINITY, 3.0)]);
        let Some(Family::Summary(s)) = found.by_name.get("s") else { panic!("no summary") };
        assert_eq!((s[&vec![]].sum, s[&vec![]].quantiles.as_slice()), (Some(4.0), [(0.5, 1.5)].as_slice()));
        assert!(matches!(found.by_name.get("c_total"), Some(Family::Scalar { counter: true, .. })));
        assert!(matches!(found.by_name.get("g"), Some(Family::Scalar { counter: false, .. })));
    }

    #[test]
    fn without_type_lines_the_suffix_says() {
        let found = families(
            "h_count 3\nh_bucket{le=\"1\"} 3\nh_sum 1\nc_total 7\nlevel 4\ns{quantile=\"0.99\"} 2\ns_count 1\nrow_count 9\n",
        );
        assert!(matches!(found.by_name.get("h"), Some(Family::Histogram(_))));
        assert!(matches!(found.by_name.get("s"), Some(Family::Summary(_))));
        assert!(matches!(found.by_name.get("c_total"), Some(Family::Scalar { counter: true, .. })));
        assert!(matches!(found.by_name.get("level"), Some(Family::Scalar { counter: false, .. })));
        assert!(matches!(found.by_name.get("row_count"), Some(Family::Scalar { counter: false, .. })));
        assert_eq!(found.by_name.len(), 5);
    }

    #[test]
    fn a_histogram_without_its_last_bucket_gets_one() {
        let found = families("# TYPE h histogram\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"0.5\"} 2\nh_count 5\n");
        let Some(Family::Histogram(h)) = found.by_name.get("h") else { panic!("no histogram") };
        assert_eq!(h[&vec![]].buckets, [(0.5, 2.0), (1.0, 3.0), (f64::INFINITY, 5.0)]);
    }

    #[test]
    fn of_duplicates_the_first_counts_and_what_is_not_finite_is_no_series() {
        let found = families("a{x=\"1\"} 1\na{x=\"1\"} 2\nb NaN\nc +Inf\n");
        assert_eq!(found.duplicates, 1);
        let Some(Family::Scalar { series, .. }) = found.by_name.get("a") else { panic!("no family") };
        assert_eq!(series.values().copied().collect::<Vec<_>>(), [1.0]);
        assert!(matches!(found.by_name.get("b"), Some(Family::Scalar { series, .. }) if series.is_empty()));
    }

    #[test]
    fn a_family_is_found_by_the_names_people_use() {
        let found = families("# TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\nh_sum 9\nh_count 3\nc_total 7\n");
        for (from, name) in [("c_total", "c_total"), ("c", "c_total"), ("h", "h"), ("h_count", "h"), ("h_sum", "h")] {
            assert_eq!(found.find(from).map(|(name, _)| name), Some(name), "{from}");
        }
        assert!(found.find("absent").is_none());
    }
}

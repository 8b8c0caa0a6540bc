//! How one metric is made of families: for each instance first, then for the service as a whole.
//!
//! Must never mix a series with one of another instance: a counter is compared with itself only. Pure; called by the
//! source.

use std::borrow::Cow;
use std::collections::BTreeSet;

use globset::{Glob, GlobMatcher};

use super::family::{Families, Family, Series, Summary};
use super::since::{self, Intake};
use crate::collect::{Across, MetricSettings, Take};

/// Most metrics that are made without being asked for: past this a model learns noise, and people read nothing.
pub(super) const MOST_METRICS: usize = 60;

/// How one metric is made.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub name: String,
    pub from: String,
    take: Option<Take>,
    per: Option<String>,
    labels: Vec<LabelRule>,
    across: Option<Across>,
}

#[derive(Clone, Debug)]
struct LabelRule {
    label: String,
    value: String,
    glob: GlobMatcher,
}

/// A page as it is now, and the last one of the same instance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pages<'a> {
    pub now: &'a Families,
    /// With the seconds that lie between, more than 0.
    pub before: Option<(&'a Families, f64)>,
}

/// What one instance gives to a metric, in a shape that can be merged.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Number(f64),
    Ratio { of: f64, per: f64 },
    Intake { intake: Intake, take: Take },
}

/// Why an instance gives nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nothing {
    /// Needs a round before this one, or nothing was observed.
    Yet,
    /// The page has no such family.
    NoFamily,
    /// The family is of a kind that this cannot be taken of.
    WrongTake,
}

impl Part {
    /// This instance's own value.
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Number(value) => Some(*value),
            Self::Ratio { of, per } => Some(ratio(*of, *per)),
            Self::Intake { intake, take } => match take {
                Take::P50 => intake.quantile(0.5),
                Take::P95 => intake.quantile(0.95),
                Take::P99 => intake.quantile(0.99),
                Take::Mean => intake.mean(),
                Take::Value | Take::Rate => None,
            },
        }
    }
}

/// 0 when nothing happened.
fn ratio(of: f64, per: f64) -> f64 {
    if per == 0.0 { 0.0 } else { of / per }
}

fn quantile_of(take: Take) -> Option<f64> {
    match take {
        Take::P50 => Some(0.5),
        Take::P95 => Some(0.95),
        Take::P99 => Some(0.99),
        Take::Value | Take::Rate | Take::Mean => None,
    }
}

impl Recipe {
    /// What the config asks for. `from` left out is the metric's own name.
    ///
    /// # Errors
    /// When a label's value is not a glob.
    pub fn of(name: &str, settings: &MetricSettings) -> Result<Self, String> {
        let rule = |(label, value): (&String, &String)| {
            // `/users/{id}` is a fine label and, as a glob, something else: the exact value always fits.
            let glob = Glob::new(value).or_else(|_| Glob::new(&globset::escape(value)));
            let glob = glob.map_err(|e| format!("metric `{name}`: labels.{label} = `{value}` is not a glob: {e}"))?;
            Ok(LabelRule { label: label.clone(), value: value.clone(), glob: glob.compile_matcher() })
        };
        Ok(Self {
            name: name.to_owned(),
            from: settings.from.clone().unwrap_or_else(|| name.to_owned()),
            take: settings.take,
            per: settings.per.clone(),
            labels: settings.labels.iter().map(rule).collect::<Result<_, String>>()?,
            across: settings.across,
        })
    }

    /// What is made of a family without being asked: a counter's rate, a gauge's value, a histogram's p50, p95 and p99, a
    /// summary's own ones of these (its mean, when it has none). Left out: Go's and the exporter's own housekeeping, and
    /// what is a date or a name and not a measurement.
    pub fn usual(name: &str, family: &Family) -> Vec<Self> {
        let is_housekeeping = name.starts_with("go_") || name.starts_with("promhttp_");
        let is_no_measurement = ["_created", "_info", "_timestamp_seconds", "_start_time_seconds"];
        if is_housekeeping || is_no_measurement.iter().any(|end| name.ends_with(end)) {
            return Vec::new();
        }
        let made = |suffix: &str, take| {
            let stem = if take == Take::Rate { name.strip_suffix("_total").unwrap_or(name) } else { name };
            Self {
                name: format!("{stem}{suffix}"),
                from: name.to_owned(),
                take: Some(take),
                per: None,
                labels: Vec::new(),
                across: None,
            }
        };
        let quantiles = [("_p50", Take::P50), ("_p95", Take::P95), ("_p99", Take::P99)];
        match family {
            Family::Scalar { counter: true, .. } => vec![made("_rate", Take::Rate)],
            Family::Scalar { counter: false, .. } => vec![made("", Take::Value)],
            Family::Histogram(_) => quantiles.into_iter().map(|(suffix, take)| made(suffix, take)).collect(),
            Family::Summary(series) => {
                let has = |take| series.values().any(|summary| own_quantile(summary, take).is_some());
                let own: Vec<Self> = quantiles
                    .into_iter()
                    .filter(|(_, take)| has(*take))
                    .map(|(suffix, take)| made(suffix, take))
                    .collect();
                if own.is_empty() { vec![made("_mean", Take::Mean)] } else { own }
            }
        }
    }

    /// The families this needs, as they are named on a page: what has to be kept for the next round.
    pub fn needs(&self, page: &Families, names: &mut BTreeSet<String>) {
        let wanted = [Some(&self.from), self.per.as_ref()].into_iter().flatten();
        names.extend(wanted.filter_map(|from| page.find(from)).map(|(name, _)| name.to_owned()));
    }

    /// What one instance gives.
    pub fn part(&self, pages: Pages<'_>) -> Result<Part, Nothing> {
        let found = pages.now.find(&self.from);
        let Some(per) = &self.per else {
            let (_, family) = found.ok_or(Nothing::NoFamily)?;
            return self.plain(&self.from, &family, pages, true);
        };
        let (_, below) = pages.now.find(per).ok_or(Nothing::NoFamily)?;
        let Part::Number(per_value) = self.plain(per, &below, pages, false)? else { return Err(Nothing::WrongTake) };
        let of = match &found {
            Some((_, family)) => self.plain(&self.from, family, pages, true)?,
            // A labelled counter shows up only with its first event: until then there were none.
            None => Part::Number(0.0),
        };
        let Part::Number(of) = of else { return Err(Nothing::WrongTake) };
        Ok(Part::Ratio { of, per: per_value })
    }

    /// Is the family there under its own name? With `per`, a missing one counts as "no events".
    pub fn is_on(&self, page: &Families) -> bool {
        page.find(&self.from).is_some()
    }

    fn plain(&self, from: &str, family: &Family, pages: Pages<'_>, filtered: bool) -> Result<Part, Nothing> {
        let wanted = |labels: &[(String, String)]| !filtered || self.wants(labels);
        let take = self.take.unwrap_or(match family {
            Family::Scalar { counter: true, .. } => Take::Rate,
            Family::Scalar { counter: false, .. } => Take::Value,
            Family::Histogram(_) | Family::Summary(_) => Take::P95,
        });
        let before = || {
            let (families, seconds) = pages.before.ok_or(Nothing::Yet)?;
            let (_, family) = families.find(from).ok_or(Nothing::Yet)?;
            Ok((family, seconds))
        };
        match (family, take) {
            (Family::Scalar { series, .. }, Take::Value) => {
                let values = series.iter().filter(|(labels, _)| wanted(labels)).map(|(_, value)| *value);
                merge(values, self.across.unwrap_or(Across::Mean)).map(Part::Number).ok_or(Nothing::Yet)
            }
            (Family::Scalar { series, .. }, Take::Rate) => match before()? {
                (earlier, seconds) if matches!(&*earlier, Family::Scalar { .. }) => {
                    let Family::Scalar { series: earlier, .. } = &*earlier else { return Err(Nothing::Yet) };
                    rate(earlier, series, seconds, wanted)
                }
                _ => Err(Nothing::Yet),
            },
            // The rate of a distribution is how often something was observed.
            (Family::Histogram(_) | Family::Summary(_), Take::Rate) => {
                let (earlier, seconds) = before()?;
                match (earlier.part(false), family.part(false)) {
                    (Some(earlier), Some(now)) => rate(&earlier, &now, seconds, wanted),
                    _ => Err(Nothing::Yet),
                }
            }
            (Family::Histogram(series), Take::P50 | Take::P95 | Take::P99 | Take::Mean) => {
                let (earlier, _) = before()?;
                let Family::Histogram(earlier) = &*earlier else { return Err(Nothing::Yet) };
                let pairs = series.iter().filter(|(labels, _)| wanted(labels));
                pairs
                    .filter_map(|(labels, now)| Some(Intake::between(earlier.get(labels)?, now)))
                    // A route that nobody called must not narrow the bounds of the others.
                    .filter(|intake| intake.count > 0.0 || intake.buckets.iter().any(|(_, count)| *count > 0.0))
                    .reduce(|all, more| all.merge(&more))
                    .map(|intake| Part::Intake { intake, take })
                    .ok_or(Nothing::Yet)
            }
            (Family::Summary(series), Take::Mean) => {
                let (earlier, _) = before()?;
                let Family::Summary(earlier) = &*earlier else { return Err(Nothing::Yet) };
                let pairs = series.iter().filter(|(labels, _)| wanted(labels));
                pairs
                    .filter_map(|(labels, now)| Some(summary_intake(earlier.get(labels)?, now)))
                    .reduce(|all, more| all.merge(&more))
                    .map(|intake| Part::Intake { intake, take })
                    .ok_or(Nothing::Yet)
            }
            (Family::Summary(series), Take::P50 | Take::P95 | Take::P99) => {
                let own = series.iter().filter(|(labels, _)| wanted(labels));
                let own = own.filter_map(|(_, summary)| own_quantile(summary, take));
                merge(own, self.across.unwrap_or(Across::Max)).map(Part::Number).ok_or(Nothing::Yet)
            }
            (Family::Scalar { .. }, Take::P50 | Take::P95 | Take::P99 | Take::Mean)
            | (Family::Histogram(_) | Family::Summary(_), Take::Value) => Err(Nothing::WrongTake),
        }
    }

    fn wants(&self, labels: &[(String, String)]) -> bool {
        self.labels.iter().all(|rule| {
            // As in Prometheus, a label that is not there is empty.
            let value = labels.iter().find(|(k, _)| *k == rule.label).map_or("", |(_, v)| v.as_str());
            value == rule.value || rule.glob.is_match(value)
        })
    }

    /// The service's value, of what its instances gave: histograms are merged by bucket and ratios by adding up both
    /// sides, so that a busy instance weighs more; the quantiles of summaries cannot be merged, so the greatest stands
    /// for all. `across` in the config is applied to the instances' own values instead.
    pub fn service(&self, parts: &[&Part]) -> Option<f64> {
        let own = || parts.iter().filter_map(|part| part.value());
        match (parts.first()?, self.across) {
            (Part::Intake { take, .. }, None) => {
                let intakes = parts.iter().filter_map(|part| match part {
                    Part::Intake { intake, .. } => Some(intake),
                    Part::Number(_) | Part::Ratio { .. } => None,
                });
                let intake = intakes.cloned().reduce(|all, more| all.merge(&more))?;
                Part::Intake { intake, take: *take }.value()
            }
            (Part::Ratio { .. }, None) => {
                let (mut of_all, mut per_all) = (0.0, 0.0);
                for part in parts {
                    if let Part::Ratio { of, per } = part {
                        of_all += of;
                        per_all += per;
                    }
                }
                Some(ratio(of_all, per_all))
            }
            (Part::Number(_), None) => merge(own(), self.usual_across()),
            (_, Some(across)) => merge(own(), across),
        }
    }

    fn usual_across(&self) -> Across {
        match self.take {
            Some(Take::Rate) => Across::Sum,
            Some(take) if quantile_of(take).is_some() => Across::Max,
            Some(_) => Across::Mean,
            None => Across::Mean,
        }
    }

    /// Settles what to take once the family was seen, so that instances are merged the way its kind asks for.
    pub fn settle(&mut self, page: &Families) {
        if self.take.is_none()
            && let Some((_, family)) = page.find(&self.from).or_else(|| page.find(self.per.as_ref()?))
        {
            self.take = Some(match &*family {
                Family::Scalar { counter: true, .. } => Take::Rate,
                Family::Scalar { counter: false, .. } => Take::Value,
                Family::Histogram(_) | Family::Summary(_) => Take::P95,
            });
        }
    }

    /// What its name and what is taken say of it, for the guess of its spec: a rate that the config named without `_rate`
    /// is still one.
    pub fn spoken_name(&self) -> Cow<'_, str> {
        match self.take {
            _ if self.per.is_some() && !self.name.ends_with("_ratio") => Cow::Owned(format!("{}_ratio", self.name)),
            Some(Take::Rate) if self.per.is_none() && !self.name.ends_with("_rate") => {
                Cow::Owned(format!("{}_rate", self.name))
            }
            // `latency_p95` from `..._duration_seconds`: the unit is in the family's name.
            Some(take) if take != Take::Rate && self.per.is_none() => self.with_unit_of_family(),
            _ => Cow::Borrowed(&self.name),
        }
    }

    fn with_unit_of_family(&self) -> Cow<'_, str> {
        let bare = ["_p50", "_p95", "_p99", "_mean"].iter().find_map(|end| self.name.strip_suffix(end));
        let bare = bare.unwrap_or(&self.name);
        let unit = ["_seconds", "_bytes", "_ratio"].into_iter().find(|unit| self.from.ends_with(unit));
        match unit {
            Some(unit) if !bare.ends_with(unit) => Cow::Owned(format!("{bare}{unit}")),
            _ => Cow::Borrowed(&self.name),
        }
    }
}

fn rate(
    before: &Series<f64>,
    now: &Series<f64>,
    seconds: f64,
    wanted: impl Fn(&[(String, String)]) -> bool,
) -> Result<Part, Nothing> {
    since::total(before, now, wanted).map(|increase| Part::Number(increase / seconds)).ok_or(Nothing::Yet)
}

fn summary_intake(before: &Summary, now: &Summary) -> Intake {
    let (count, sum) = (now.count.unwrap_or(0.0), now.sum.unwrap_or(0.0));
    let restarted = now.count < before.count;
    let earlier = |value: Option<f64>| if restarted { 0.0 } else { value.unwrap_or(0.0) };
    Intake { buckets: Vec::new(), sum: sum - earlier(before.sum), count: count - earlier(before.count) }
}

fn own_quantile(summary: &Summary, take: Take) -> Option<f64> {
    let q = quantile_of(take)?;
    summary.quantiles.iter().find(|(own, _)| (own - q).abs() < 1e-9).map(|(_, value)| *value)
}

fn merge(values: impl Iterator<Item = f64>, across: Across) -> Option<f64> {
    let (mut sum, mut count, mut least, mut greatest) = (0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY);
    for value in values {
        sum += value;
        count += 1.0;
        least = value.min(least);
        greatest = value.max(greatest);
    }
    (count > 0.0).then_some(match across {
        Across::Sum => sum,
        Across::Mean => sum / count,
        Across::Max => greatest,
        Across::Min => least,
    })
}

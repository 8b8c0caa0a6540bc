//! Which series tell what of a kind of target: data only, one table a family of exporters.
//!
//! Must never ask anything itself: [`super::text`] fills the tables' queries in, [`super::group`] asks them. A query has
//! these places: `$sel` (matchers, each with a comma behind it), `$by` (labels that tell targets apart), `$each` (the
//! same, and the label that tells instances apart), `$win` (the window of a rate, with its brackets).

mod haproxy;
mod istio;
mod kubernetes;
mod node;
mod red;
mod redis;

use crate::collect::Across;
use crate::model::{Badness, MetricSpec, TargetId};

/// Templates that belong together and are named together in the config.
#[derive(Debug)]
pub(super) struct Family {
    /// As `templates` in the config names it.
    pub name: &'static str,
    pub parts: &'static [Part],
    pub enough: Enough,
}

/// How many parts of a family have to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Enough {
    /// Those that are not optional, all of them.
    All,
    /// Any: they are the same in different frameworks. The first one that is there counts.
    One,
}

/// One exporter's series of one thing.
#[derive(Debug)]
pub(super) struct Part {
    /// Unlike any other part's.
    pub name: &'static str,
    pub keys: Keys,
    /// The label that tells instances apart, where [`Keys`] does not say.
    pub instance: Option<&'static str>,
    /// A series that is there exactly when the exporter is: a selector. Its samples show how often it is scraped, and
    /// whether it still is.
    pub pulse: &'static str,
    /// Nobody is told when it is not there.
    pub optional: bool,
    pub series: &'static [Series],
    pub rows: &'static [Row],
    /// What to do when it is not there.
    pub remedy: &'static str,
}

/// How the series of one target are told from those of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// By these labels, which hold the parts of the target's name.
    Named(&'static [&'static str]),
    /// By namespace and pod; who owns the pod is looked up. Each pod is an instance.
    Pods,
    /// As `Pods` when a Kubernetes workload is watched, otherwise by the labels of the config.
    PodsOrLabels,
    /// By the labels of the config.
    Labels,
}

/// One query: what metrics are made of.
#[derive(Debug)]
pub(super) struct Series {
    pub name: &'static str,
    /// The family that it reads, for people.
    pub of: &'static str,
    pub query: &'static str,
    /// Has the label `le`.
    pub histogram: bool,
}

/// One metric.
#[derive(Debug)]
pub(super) struct Row {
    pub name: &'static str,
    pub make: Make,
    /// The same for one instance, where that is made otherwise.
    pub each: Option<Make>,
    pub across: Across,
    pub bad: Badness,
    pub unit: &'static str,
    pub floor: f64,
    /// It may be missing for a good reason.
    pub may_lack: bool,
}

/// How a metric is made of series, named by [`Series::name`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Make {
    Value(&'static str),
    /// Of several instances the sums are divided, not the ratios averaged.
    Ratio {
        of: &'static str,
        per: &'static str,
        /// No series of `of` means that there were no such events yet.
        lazy: bool,
        /// What it is when `per` is 0.
        idle: Option<f64>,
    },
    /// Of several instances the buckets are added.
    Quantile {
        of: &'static str,
        q: f64,
        /// To seconds.
        scale: f64,
    },
}

impl Make {
    /// The series that it is made of; the first one names it.
    pub fn series(self) -> impl Iterator<Item = &'static str> {
        let (first, second) = match self {
            Self::Value(of) | Self::Quantile { of, .. } => (of, None),
            Self::Ratio { of, per, .. } => (of, Some(per)),
        };
        std::iter::once(first).chain(second)
    }
}

impl Row {
    pub fn spec(&self) -> MetricSpec {
        MetricSpec { bad: self.bad, unit: self.unit.to_owned(), floor: self.floor, limit: None }
    }
}

impl Part {
    pub fn of(&self, series: &str) -> &'static str {
        self.series.iter().find(|s| s.name == series).map_or("?", |s| s.of)
    }
}

/// The families that the config can name.
pub(super) const NAMED: &[&Family] =
    &[&istio::ISTIO, &node::NODE, &red::HTTP, &red::GRPC, &redis::REDIS, &haproxy::BACKEND];

/// The families for what is watched.
///
/// # Errors
/// When nothing is known of that kind of target.
pub(super) fn of_target(target: &TargetId) -> Result<Vec<&'static Family>, String> {
    match target.kind() {
        "k8s" => match Workload::of(target)?.kind {
            "deployment" => Ok(vec![&kubernetes::DEPLOYMENT, &istio::ISTIO]),
            _ => Ok(vec![&kubernetes::STATEFULSET, &istio::ISTIO]),
        },
        "haproxy" => Ok(vec![&haproxy::BACKEND]),
        "redis" => Ok(vec![&redis::REDIS]),
        other => Err(format!(
            "no template watches `{other}:` targets: `watch` one of k8s:, haproxy: or redis:, name `templates` ({}), or \
             write queries as [service.source.metric.NAME]",
            names()
        )),
    }
}

/// The family of this name.
///
/// # Errors
/// When there is none.
pub(super) fn named(name: &str) -> Result<&'static Family, String> {
    let found = NAMED.iter().find(|family| family.name == name).copied();
    let shown = crate::collect::names::excerpt(name, 60);
    found.ok_or_else(|| format!("there is no template `{shown}`: there are {}", names()))
}

fn names() -> String {
    NAMED.iter().map(|family| family.name).collect::<Vec<_>>().join(", ")
}

/// The parts of `k8s:[cluster/]namespace/kind/name`. The cluster is no label: `labels` in the config says which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Workload<'a> {
    pub namespace: &'a str,
    pub kind: &'static str,
    pub name: &'a str,
}

impl<'a> Workload<'a> {
    /// # Errors
    /// When the name has other parts.
    pub fn of(target: &'a TargetId) -> Result<Self, String> {
        let parts: Vec<&str> = target.name().split('/').collect();
        let (namespace, kind, name) = match parts.as_slice() {
            [namespace, kind, name] | [_, namespace, kind, name] => (*namespace, *kind, *name),
            _ => ("", "", ""),
        };
        let kind = ["deployment", "statefulset"].into_iter().find(|known| *known == kind).unwrap_or_default();
        if namespace.is_empty() || kind.is_empty() || name.is_empty() {
            return Err(format!("`{target}` is not k8s:NAMESPACE/deployment/NAME or k8s:NAMESPACE/statefulset/NAME"));
        }
        Ok(Self { namespace, kind, name })
    }
}

const fn series(name: &'static str, of: &'static str, query: &'static str) -> Series {
    Series { name, of, query, histogram: false }
}

const fn buckets(name: &'static str, of: &'static str, query: &'static str) -> Series {
    Series { name, of, query, histogram: true }
}

const fn row(name: &'static str, make: Make) -> Row {
    Row { name, make, each: None, across: Across::Mean, bad: Badness::Both, unit: "", floor: 1.0, may_lack: false }
}

/// Events of a kind out of all: 0 when there are none, or when nothing happened.
const fn share(of: &'static str, per: &'static str) -> Make {
    Make::Ratio { of, per, lazy: true, idle: Some(0.0) }
}

/// A part of something that has to be known: nothing when it is not.
const fn part_of(of: &'static str, per: &'static str) -> Make {
    Make::Ratio { of, per, lazy: false, idle: None }
}

const fn quantile(of: &'static str, q: f64) -> Make {
    Make::Quantile { of, q, scale: 1.0 }
}

const fn quantile_of_ms(of: &'static str, q: f64) -> Make {
    Make::Quantile { of, q, scale: 0.001 }
}

impl Row {
    const fn sum(self) -> Self {
        Self { across: Across::Sum, ..self }
    }

    const fn greatest(self) -> Self {
        Self { across: Across::Max, ..self }
    }

    const fn each(self, make: Make) -> Self {
        Self { each: Some(make), ..self }
    }

    const fn high(self, unit: &'static str, floor: f64) -> Self {
        Self { bad: Badness::High, unit, floor, ..self }
    }

    const fn low(self, unit: &'static str, floor: f64) -> Self {
        Self { bad: Badness::Low, unit, floor, ..self }
    }

    const fn both(self, unit: &'static str, floor: f64) -> Self {
        Self { bad: Badness::Both, unit, floor, ..self }
    }

    /// Load that the target does not control: shown, never judged.
    const fn load(self, unit: &'static str, floor: f64) -> Self {
        Self { bad: Badness::Never, unit, floor, ..self }
    }

    const fn may_lack(self) -> Self {
        Self { may_lack: true, ..self }
    }
}

/// 5 ms: below this a change of a latency is noise of schedulers.
const LATENCY: f64 = 0.005;
/// One percentage point.
const POINT: f64 = 0.01;
/// 1 MiB.
const MIB: f64 = 1_048_576.0;
/// 100 KiB a second: idle chatter.
const CHATTER: f64 = 102_400.0;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn all() -> Vec<&'static Family> {
        let unnamed = [&kubernetes::DEPLOYMENT, &kubernetes::STATEFULSET];
        NAMED.iter().copied().chain(unnamed).collect()
    }

    #[test]
    fn every_row_is_made_of_series_that_are_asked_and_every_series_is_used() {
        for part in all().iter().flat_map(|family| family.parts) {
            let asked: BTreeSet<&str> = part.series.iter().map(|s| s.name).collect();
            let makes = part.rows.iter().flat_map(|row| std::iter::once(row.make).chain(row.each));
            let used: BTreeSet<&str> = makes.flat_map(Make::series).collect();
            assert_eq!(asked, used, "{}", part.name);
            assert_eq!(asked.len(), part.series.len(), "{}", part.name);
        }
    }

    #[test]
    fn every_query_has_its_places() {
        for part in all().iter().flat_map(|family| family.parts) {
            assert!(part.pulse.contains("{$sel"), "{}", part.name);
            for series in part.series {
                let query = series.query;
                assert!(query.contains("{$sel"), "{query}");
                assert!(query.contains("$by") || query.contains("$each"), "{query}");
                assert_eq!(query.contains("le)"), series.histogram, "{query}");
                assert!(query.contains(series.of.split(['{', ' ']).next().unwrap()), "{query} reads {}", series.of);
                let depth = query.chars().fold(0_i32, |depth, c| match c {
                    '(' | '{' => depth + 1,
                    ')' | '}' => depth - 1,
                    _ => depth,
                });
                assert_eq!(depth, 0, "{query}");
            }
        }
    }

    #[test]
    fn names_are_unlike_where_they_meet() {
        let parts: Vec<&str> = all().iter().flat_map(|family| family.parts).map(|part| part.name).collect();
        // Workloads share what reads pods.
        let is_shared = |name: &&&str| [kubernetes::PODS, kubernetes::POD_STATES].contains(*name);
        assert_eq!(parts.iter().filter(is_shared).count(), 4);
        assert_eq!(parts.iter().collect::<BTreeSet<_>>().len(), parts.len() - 2);
        for family in all() {
            let rows = family.parts.iter().map(|part| part.rows.iter().map(|row| row.name).collect::<Vec<_>>());
            if family.enough == Enough::One {
                for names in rows.map(|names| names.into_iter().collect::<BTreeSet<_>>().len()) {
                    assert!(names > 0, "{}", family.name);
                }
            } else {
                let names: Vec<&str> = rows.flatten().collect();
                assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{}", family.name);
            }
        }
    }

    #[test]
    fn a_workload_is_named_with_or_without_its_cluster() {
        for (text, namespace, kind, name) in [
            ("k8s:prod/deployment/web", "prod", "deployment", "web"),
            ("k8s:east/prod/statefulset/db", "prod", "statefulset", "db"),
        ] {
            let target: TargetId = text.parse().unwrap();
            assert_eq!(Workload::of(&target), Ok(Workload { namespace, kind, name }));
        }
        for text in ["k8s:web", "k8s:prod/daemonset/agent", "k8s:prod/deployment/", "k8s:a/b/prod/deployment/web"] {
            assert!(Workload::of(&text.parse().unwrap()).is_err(), "{text}");
        }
        assert!(of_target(&"asg:web".parse().unwrap()).unwrap_err().contains("http-red"));
    }
}

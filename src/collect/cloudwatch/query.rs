//! One metric that is asked for: what the config says, checked.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat};

use super::super::names;
use super::usual;
use crate::collect::{CloudwatchMetric, CloudwatchSettings, MetricSettings};
use crate::model::MetricSpec;

/// Most metrics of one source: as many as a sample can have.
const MOST: usize = 1000;
/// Most dimensions that a metric can have.
const MOST_DIMENSIONS: usize = 30;
/// A window's usual length in seconds.
const USUAL_PERIOD: u32 = 60;

/// A metric of CloudWatch and what we call it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Query {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) metric: String,
    pub(super) dimensions: BTreeMap<String, String>,
    pub(super) stat: String,
    /// Seconds.
    pub(super) period: i64,
    pub(super) spec: MetricSpec,
    /// What to do where there are no values.
    pub(super) remedy: &'static str,
}

impl Query {
    /// As CloudWatch is asked.
    pub(super) fn to_aws(&self, id: &str) -> MetricDataQuery {
        let dimensions =
            self.dimensions.iter().map(|(name, value)| Dimension::builder().name(name).value(value).build());
        let metric = Metric::builder()
            .namespace(&self.namespace)
            .metric_name(&self.metric)
            .set_dimensions(Some(dimensions.collect()))
            .build();
        let period = i32::try_from(self.period).unwrap_or(i32::MAX);
        let stat = MetricStat::builder().metric(metric).period(period).stat(&self.stat).build();
        MetricDataQuery::builder().id(id).metric_stat(stat).return_data(true).build()
    }

    /// A count of what happened: nothing said is nothing happened, where the thing itself is there.
    pub(super) fn may_be_silent(&self) -> bool {
        ["Sum", "SampleCount"].contains(&self.stat.as_str())
    }

    /// Are they metrics of one thing?
    pub(super) fn is_of_the_same(&self, other: &Self) -> bool {
        self.namespace == other.namespace && self.dimensions == other.dimensions
    }

    /// There are no values of it.
    pub(super) fn complaint(&self) -> String {
        let dimensions: Vec<String> = self.dimensions.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!(
            "metric `{}`: CloudWatch has no values of {} {} {{{}}} in the last {} s: {}",
            self.name,
            self.namespace,
            self.metric,
            dimensions.join(", "),
            self.period * super::WINDOWS,
            self.remedy
        )
    }
}

/// The metrics that these settings ask for.
pub(super) fn of(settings: &CloudwatchSettings) -> Result<Vec<Query>, String> {
    let mut queries: BTreeMap<String, Query> = BTreeMap::new();
    if let Some(target) = &settings.watch {
        if target.kind() != "asg" {
            return Err(format!("`watch` is {target}: only asg targets have usual metrics; write them under `metric`"));
        }
        queries.extend(usual::of_group(target.name()).into_iter().map(|query| (query.name.clone(), query)));
    }
    for (name, metric) in &settings.metric {
        // One's own words win over what is usual.
        queries.insert(name.clone(), query(name, metric)?);
    }
    match queries.len() {
        0 => Err("nothing is asked for: give `watch`, or metrics under `metric`".to_owned()),
        n if n > MOST => Err(format!("{n} metrics are asked for, and a service has at most {MOST}: split it")),
        _ => Ok(queries.into_values().collect()),
    }
}

fn query(name: &str, metric: &CloudwatchMetric) -> Result<Query, String> {
    let wrong = |why: &str| Err(format!("metric `{}`: {why}", names::excerpt(name, 80)));
    if metric.namespace.is_empty() || metric.metric.is_empty() {
        return wrong("it needs a `namespace` and a `metric`, as CloudWatch names them");
    }
    if metric.dimensions.len() > MOST_DIMENSIONS {
        return wrong("a metric has at most 30 dimensions");
    }
    let period = metric.period.unwrap_or(USUAL_PERIOD);
    if period == 0 || period > 86_400 || !period.is_multiple_of(60) && ![1, 5, 10, 20, 30].contains(&period) {
        return wrong("a `period` is 1, 5, 10, 20, 30 or a multiple of 60 seconds, at most a day");
    }
    let stat = metric.stat.clone().unwrap_or_else(|| "Average".to_owned());
    if !is_stat(&stat) {
        return wrong("`stat` is one of Average, Sum, Minimum, Maximum, SampleCount, or like p95, tm99, PR(0:0.5)");
    }
    let over = MetricSettings {
        bad: metric.bad,
        unit: metric.unit.clone(),
        floor: metric.floor,
        limit: metric.limit,
        ..MetricSettings::default()
    };
    Ok(Query {
        spec: names::with_settings(names::guess(name), Some(&over)),
        name: name.to_owned(),
        namespace: metric.namespace.clone(),
        metric: metric.metric.clone(),
        dimensions: metric.dimensions.clone(),
        stat,
        period: i64::from(period),
        remedy: "compare its names and dimensions with those in the CloudWatch console",
    })
}

fn is_stat(stat: &str) -> bool {
    if ["Average", "Sum", "Minimum", "Maximum", "SampleCount", "IQM"].contains(&stat) {
        return true;
    }
    let rest = ["p", "tm", "wm", "tc", "ts"].iter().find_map(|start| stat.strip_prefix(start));
    let is_percent = |text: &str| text.parse::<f64>().is_ok_and(|percent| (0.0..=100.0).contains(&percent));
    let is_range =
        ["TM(", "WM(", "PR(", "TC(", "TS("].iter().any(|start| stat.starts_with(start)) && stat.ends_with(')');
    let is_plain = stat.len() <= 40 && stat.chars().all(|c| c.is_ascii_alphanumeric() || "().:%".contains(c));
    is_plain && (is_range || rest.is_some_and(is_percent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(stat: Option<&str>, period: Option<u32>) -> CloudwatchMetric {
        CloudwatchMetric {
            namespace: "AWS/ApplicationELB".to_owned(),
            metric: "TargetResponseTime".to_owned(),
            dimensions: BTreeMap::from([("LoadBalancer".to_owned(), "app/web/50dc6c495c0c9188".to_owned())]),
            stat: stat.map(str::to_owned),
            period,
            ..CloudwatchMetric::default()
        }
    }

    #[test]
    fn what_is_left_out_is_usual() {
        let query = query("latency_seconds", &metric(None, None)).unwrap();
        assert_eq!((query.stat.as_str(), query.period, query.spec.unit.as_str()), ("Average", 60, "s"));
        let asked = query.to_aws("m0");
        let stat = asked.metric_stat().unwrap();
        assert_eq!((stat.period(), stat.stat()), (Some(60), Some("Average")));
        assert_eq!(stat.metric().unwrap().dimensions()[0].value(), Some("app/web/50dc6c495c0c9188"));
    }

    #[test]
    fn statistics_and_periods_are_those_that_cloudwatch_has() {
        for stat in ["Sum", "p95", "p99.9", "tm90", "PR(0:0.5)", "TM(10%:90%)", "IQM"] {
            assert!(query("x", &metric(Some(stat), None)).is_ok(), "{stat}");
        }
        for stat in ["sum", "p101", "p", "", "p95; drop", "PR("] {
            assert!(query("x", &metric(Some(stat), None)).is_err(), "{stat}");
        }
        for period in [0, 7, 61, 90_000] {
            assert!(query("x", &metric(None, Some(period))).is_err(), "{period}");
        }
    }

    #[test]
    fn ones_own_words_win_over_what_is_usual() {
        let settings = CloudwatchSettings {
            aws: crate::platform::AwsSettings::default(),
            watch: Some("asg:web".parse().unwrap()),
            metric: BTreeMap::from([("cpu_percent".to_owned(), metric(Some("p95"), None))]),
            delay: std::time::Duration::from_secs(120),
            backfill: std::time::Duration::from_secs(7200),
        };
        let queries = of(&settings).unwrap();
        let cpu: Vec<&Query> = queries.iter().filter(|query| query.name == "cpu_percent").collect();
        assert_eq!((cpu.len(), cpu[0].stat.as_str()), (1, "p95"));
        assert!(queries.len() > 4);
        let other = CloudwatchSettings { watch: Some("local:web".parse().unwrap()), ..settings };
        assert!(of(&other).unwrap_err().contains("local:web"));
    }
}

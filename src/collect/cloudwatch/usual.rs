//! What is usual to watch of an Auto Scaling group.

use std::collections::BTreeMap;

use super::query::Query;
use crate::model::{Badness, MetricSpec};

/// EC2 says something every five minutes; every minute with detailed monitoring, which costs. Five minutes are right for
/// both.
const EC2_PERIOD: i64 = 300;
/// Groups say something every minute.
const GROUP_PERIOD: i64 = 60;

/// The metrics of the group of this name: of its instances together, and of itself.
pub(super) fn of_group(group: &str) -> Vec<Query> {
    use Badness::{High, Low, Never};
    let mib = 1_048_576.0;
    let ec2 = |name, metric, stat, bad, unit, floor| {
        query(group, name, "AWS/EC2", metric, (stat, EC2_PERIOD), (bad, unit, floor))
    };
    let own =
        |name, metric, bad| query(group, name, "AWS/AutoScaling", metric, ("Average", GROUP_PERIOD), (bad, "", 1.0));
    let mut failed = ec2("status_checks_failed", "StatusCheckFailed", "Maximum", High, "", 1.0);
    // 0 or 1 for an instance; one that failed is enough.
    failed.spec.limit = Some(0.5);
    vec![
        ec2("cpu_percent", "CPUUtilization", "Average", High, "%", 1.0),
        ec2("network_in_bytes", "NetworkIn", "Average", Never, "bytes", mib),
        ec2("network_out_bytes", "NetworkOut", "Average", Never, "bytes", mib),
        failed,
        own("instances_in_service", "GroupInServiceInstances", Low),
        own("instances_desired", "GroupDesiredCapacity", Never),
    ]
}

fn query(
    group: &str,
    name: &str,
    namespace: &str,
    metric: &str,
    (stat, period): (&str, i64),
    (bad, unit, floor): (Badness, &str, f64),
) -> Query {
    let remedy = match namespace {
        "AWS/AutoScaling" => "switch on the group's own metrics (EnableMetricsCollection)",
        _ => "the group has had no instance in that time, or is called otherwise",
    };
    Query {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        metric: metric.to_owned(),
        dimensions: BTreeMap::from([("AutoScalingGroupName".to_owned(), group.to_owned())]),
        stat: stat.to_owned(),
        period,
        spec: MetricSpec { bad, unit: unit.to_owned(), floor, limit: None },
        remedy,
    }
}

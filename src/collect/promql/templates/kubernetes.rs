//! Workloads of Kubernetes: kube-state-metrics and the kubelet's cAdvisor.

use super::{CHATTER, Enough, Family, Keys, MIB, POINT, Part, part_of, row, series, share};

/// The parts that every workload has.
pub(super) const POD_STATES: &str = "pod-state";
pub(super) const PODS: &str = "pods";

/// `k8s:NAMESPACE/deployment/NAME`.
pub(super) const DEPLOYMENT: Family =
    Family { name: "deployment", parts: &[DEPLOYMENT_STATE, POD_STATE, POD_USE], enough: Enough::All };

/// `k8s:NAMESPACE/statefulset/NAME`.
pub(super) const STATEFULSET: Family =
    Family { name: "statefulset", parts: &[STATEFULSET_STATE, POD_STATE, POD_USE], enough: Enough::All };

const STATE_REMEDY: &str = "is the workload's name right, and kube-state-metrics scraped with `honor_labels: true`, so that `namespace` is the workload's?";

macro_rules! state {
    ($name:literal, $label:literal, $wanted:literal, $ready:literal) => {
        Part {
            name: $name,
            keys: Keys::Named(&["namespace", $label]),
            instance: None,
            pulse: concat!($wanted, "{$sel}"),
            optional: false,
            series: &[
                series("wanted", $wanted, concat!("max by ($by) (", $wanted, "{$sel})")),
                series("ready", $ready, concat!("max by ($by) (", $ready, "{$sel})")),
            ],
            rows: &[
                // Who scales decides these; how many of them serve is the workload's own.
                row("replicas_wanted", super::Make::Value("wanted")).load("", 1.0),
                row("replicas_ready", super::Make::Value("ready")).load("", 1.0),
                row("replicas_ready_ratio", part_of("ready", "wanted")).low("ratio", POINT),
            ],
            remedy: STATE_REMEDY,
        }
    };
}

const DEPLOYMENT_STATE: Part =
    state!("deployment-state", "deployment", "kube_deployment_spec_replicas", "kube_deployment_status_replicas_ready");

const STATEFULSET_STATE: Part =
    state!("statefulset-state", "statefulset", "kube_statefulset_replicas", "kube_statefulset_status_replicas_ready");

/// What kube-state-metrics says of pods: also of those that do not run, of which the kubelet says nothing.
const POD_STATE: Part = Part {
    name: POD_STATES,
    keys: Keys::Pods,
    instance: None,
    pulse: "kube_pod_container_status_restarts_total{$sel}",
    optional: false,
    series: &[series(
        "restarts",
        "kube_pod_container_status_restarts_total",
        "sum by ($each) (increase(kube_pod_container_status_restarts_total{$sel}[10m]))",
    )],
    // An increase over ten minutes, not a rate: one restart is 1, and stays to be seen for a while.
    rows: &[row("restarts_10m", super::Make::Value("restarts")).sum().high("", 0.5)],
    remedy: "is kube-state-metrics scraped with `honor_labels: true`, so that `namespace` and `pod` are the pod's?",
};

/// What the pods use. Containers without a name are whole pods, counted a second time; `POD` is the one that only holds
/// the network.
const POD_USE: Part = Part {
    name: PODS,
    keys: Keys::Pods,
    instance: None,
    pulse: r#"container_memory_working_set_bytes{$sel container!="",container!="POD"}"#,
    optional: false,
    series: &[
        series(
            "cpu",
            "container_cpu_usage_seconds_total",
            r#"sum by ($each) (rate(container_cpu_usage_seconds_total{$sel container!="",container!="POD"}$win))"#,
        ),
        series(
            "cpu_limit",
            "kube_pod_container_resource_limits",
            r#"sum by ($each) (kube_pod_container_resource_limits{$sel resource="cpu"})"#,
        ),
        series(
            "throttled",
            "container_cpu_cfs_throttled_periods_total",
            r#"sum by ($each) (rate(container_cpu_cfs_throttled_periods_total{$sel container!="",container!="POD"}$win))"#,
        ),
        series(
            "periods",
            "container_cpu_cfs_periods_total",
            r#"sum by ($each) (rate(container_cpu_cfs_periods_total{$sel container!="",container!="POD"}$win))"#,
        ),
        series(
            "memory",
            "container_memory_working_set_bytes",
            r#"sum by ($each) (container_memory_working_set_bytes{$sel container!="",container!="POD"})"#,
        ),
        series(
            "memory_limit",
            "kube_pod_container_resource_limits",
            r#"sum by ($each) (kube_pod_container_resource_limits{$sel resource="memory"})"#,
        ),
        series(
            "received",
            "container_network_receive_bytes_total",
            "sum by ($each) (rate(container_network_receive_bytes_total{$sel}$win))",
        ),
        series(
            "transmitted",
            "container_network_transmit_bytes_total",
            "sum by ($each) (rate(container_network_transmit_bytes_total{$sel}$win))",
        ),
        series(
            "dropped",
            "container_network_receive_packets_dropped_total",
            "sum by ($each) (rate(container_network_receive_packets_dropped_total{$sel}$win))",
        ),
        series(
            "written",
            "container_fs_writes_bytes_total",
            r#"sum by ($each) (rate(container_fs_writes_bytes_total{$sel container!="",container!="POD"}$win))"#,
        ),
    ],
    rows: &[
        row("cpu_cores", super::Make::Value("cpu")).sum().high("cores", 0.05),
        row("cpu_limit_ratio", part_of("cpu", "cpu_limit")).high("ratio", 0.05).may_lack(),
        row("cpu_throttled_ratio", share("throttled", "periods")).high("ratio", 0.05).may_lack(),
        row("memory_working_set_bytes", super::Make::Value("memory")).high("bytes", 16.0 * MIB),
        row("memory_limit_ratio", part_of("memory", "memory_limit")).high("ratio", 0.02).may_lack(),
        row("network_received_bytes_rate", super::Make::Value("received")).sum().load("bytes/s", CHATTER),
        row("network_transmitted_bytes_rate", super::Make::Value("transmitted")).sum().load("bytes/s", CHATTER),
        row("network_dropped_rate", super::Make::Value("dropped")).sum().high("1/s", 1.0).may_lack(),
        row("disk_written_bytes_rate", super::Make::Value("written")).sum().both("bytes/s", MIB).may_lack(),
    ],
    remedy: "is the kubelet's /metrics/cadvisor scraped, with the labels `namespace` and `pod`?",
};

//! Workloads in an Istio mesh, as the sidecars of those who are asked report them.

use super::{Enough, Family, Keys, LATENCY, Make, POINT, Part, buckets, quantile_of_ms, row, series, share};

pub(super) const ISTIO: Family = Family { name: "istio", parts: &[WORKLOAD], enough: Enough::All };

const WORKLOAD: Part = Part {
    name: "istio-workload",
    keys: Keys::Named(&["destination_workload_namespace", "destination_workload"]),
    // Prometheus puts it on when it scrapes pods. Without it there are no instances, and nothing else is lost.
    instance: Some("pod"),
    pulse: r#"istio_requests_total{$sel reporter="destination"}"#,
    optional: true,
    series: &[
        series(
            "requests",
            "istio_requests_total",
            r#"sum by ($each) (rate(istio_requests_total{$sel reporter="destination"}$win))"#,
        ),
        series(
            "errors",
            "istio_requests_total",
            r#"sum by ($each) (rate(istio_requests_total{$sel reporter="destination",response_code=~"5.."}$win))"#,
        ),
        // Some twenty buckets: for each pod besides would be too much of a good thing.
        buckets(
            "latency",
            "istio_request_duration_milliseconds_bucket",
            r#"sum by ($by, le) (rate(istio_request_duration_milliseconds_bucket{$sel reporter="destination"}$win))"#,
        ),
    ],
    rows: &[
        row("istio_requests_rate", Make::Value("requests")).sum().load("1/s", 1.0),
        row("istio_error_ratio", share("errors", "requests")).high("ratio", POINT),
        row("istio_latency_seconds_p50", quantile_of_ms("latency", 0.5)).high("s", LATENCY),
        row("istio_latency_seconds_p95", quantile_of_ms("latency", 0.95)).high("s", LATENCY),
        row("istio_latency_seconds_p99", quantile_of_ms("latency", 0.99)).high("s", LATENCY),
    ],
    remedy: "is the workload in the mesh, and are the sidecars' metrics scraped?",
};

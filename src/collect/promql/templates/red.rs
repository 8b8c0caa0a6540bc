//! Requests, errors and durations as common frameworks count them: one part a framework, all with the same metrics.

use super::{Enough, Family, Keys, LATENCY, Make, POINT, Part, buckets, quantile, quantile_of_ms, row, series, share};

/// HTTP.
pub(super) const HTTP: Family =
    Family { name: "http-red", parts: &[HTTP_PLAIN, HTTP_OTEL, HTTP_SPRING], enough: Enough::One };

/// gRPC.
pub(super) const GRPC: Family = Family { name: "grpc-red", parts: &[GRPC_PLAIN, GRPC_OTEL], enough: Enough::One };

const HTTP_REMEDY: &str = "are the `labels` those of the service's series? Where it counts its requests under other names, \
                           write queries as [service.source.metric.NAME]";

macro_rules! http_rows {
    () => {
        &[
            row("http_requests_rate", Make::Value("requests")).sum().load("1/s", 1.0),
            row("http_error_ratio", share("errors", "requests")).high("ratio", POINT),
            row("http_latency_seconds_p50", quantile("latency", 0.5)).high("s", LATENCY).may_lack(),
            row("http_latency_seconds_p95", quantile("latency", 0.95)).high("s", LATENCY).may_lack(),
            row("http_latency_seconds_p99", quantile("latency", 0.99)).high("s", LATENCY).may_lack(),
        ]
    };
}

/// What most Prometheus clients' examples use. The status is in `code` or in `status`.
const HTTP_PLAIN: Part = Part {
    name: "http-plain",
    keys: Keys::PodsOrLabels,
    instance: Some("instance"),
    pulse: "http_requests_total{$sel}",
    optional: true,
    series: &[
        series("requests", "http_requests_total", "sum by ($each) (rate(http_requests_total{$sel}$win))"),
        series(
            "errors",
            "http_requests_total",
            r#"sum by ($each) (rate(http_requests_total{$sel code=~"5.."}$win) or rate(http_requests_total{$sel status=~"5.."}$win))"#,
        ),
        buckets(
            "latency",
            "http_request_duration_seconds_bucket",
            "sum by ($each, le) (rate(http_request_duration_seconds_bucket{$sel}$win))",
        ),
    ],
    rows: http_rows!(),
    remedy: HTTP_REMEDY,
};

/// OpenTelemetry's semantic conventions for HTTP servers.
const HTTP_OTEL: Part = Part {
    name: "http-otel",
    keys: Keys::PodsOrLabels,
    instance: Some("instance"),
    pulse: "http_server_request_duration_seconds_count{$sel}",
    optional: true,
    series: &[
        series(
            "requests",
            "http_server_request_duration_seconds_count",
            "sum by ($each) (rate(http_server_request_duration_seconds_count{$sel}$win))",
        ),
        series(
            "errors",
            "http_server_request_duration_seconds_count",
            r#"sum by ($each) (rate(http_server_request_duration_seconds_count{$sel http_response_status_code=~"5.."}$win))"#,
        ),
        buckets(
            "latency",
            "http_server_request_duration_seconds_bucket",
            "sum by ($each, le) (rate(http_server_request_duration_seconds_bucket{$sel}$win))",
        ),
    ],
    rows: http_rows!(),
    remedy: HTTP_REMEDY,
};

/// Spring Boot's Micrometer. Buckets only where `percentiles-histogram` is on.
const HTTP_SPRING: Part = Part {
    name: "http-spring",
    keys: Keys::PodsOrLabels,
    instance: Some("instance"),
    pulse: "http_server_requests_seconds_count{$sel}",
    optional: true,
    series: &[
        series(
            "requests",
            "http_server_requests_seconds_count",
            "sum by ($each) (rate(http_server_requests_seconds_count{$sel}$win))",
        ),
        series(
            "errors",
            "http_server_requests_seconds_count",
            r#"sum by ($each) (rate(http_server_requests_seconds_count{$sel status=~"5.."}$win))"#,
        ),
        buckets(
            "latency",
            "http_server_requests_seconds_bucket",
            "sum by ($each, le) (rate(http_server_requests_seconds_bucket{$sel}$win))",
        ),
    ],
    rows: http_rows!(),
    remedy: HTTP_REMEDY,
};

const GRPC_REMEDY: &str = "are the `labels` those of the service's series? Where it counts its calls under other names, write \
                           queries as [service.source.metric.NAME]";

/// The interceptors of go-grpc-middleware and those made after them. Codes that are the server's fault, not the caller's.
const GRPC_PLAIN: Part = Part {
    name: "grpc-plain",
    keys: Keys::PodsOrLabels,
    instance: Some("instance"),
    pulse: "grpc_server_handled_total{$sel}",
    optional: true,
    series: &[
        series("requests", "grpc_server_handled_total", "sum by ($each) (rate(grpc_server_handled_total{$sel}$win))"),
        series(
            "errors",
            "grpc_server_handled_total",
            r#"sum by ($each) (rate(grpc_server_handled_total{$sel grpc_code=~"Unknown|DeadlineExceeded|ResourceExhausted|Unimplemented|Internal|Unavailable|DataLoss"}$win))"#,
        ),
        buckets(
            "latency",
            "grpc_server_handling_seconds_bucket",
            "sum by ($each, le) (rate(grpc_server_handling_seconds_bucket{$sel}$win))",
        ),
    ],
    rows: &[
        row("grpc_requests_rate", Make::Value("requests")).sum().load("1/s", 1.0),
        row("grpc_error_ratio", share("errors", "requests")).high("ratio", POINT),
        row("grpc_latency_seconds_p50", quantile("latency", 0.5)).high("s", LATENCY).may_lack(),
        row("grpc_latency_seconds_p95", quantile("latency", 0.95)).high("s", LATENCY).may_lack(),
        row("grpc_latency_seconds_p99", quantile("latency", 0.99)).high("s", LATENCY).may_lack(),
    ],
    remedy: GRPC_REMEDY,
};

/// OpenTelemetry's older conventions for RPC, which most libraries still follow: milliseconds, codes as numbers.
const GRPC_OTEL: Part = Part {
    name: "grpc-otel",
    keys: Keys::PodsOrLabels,
    instance: Some("instance"),
    pulse: "rpc_server_duration_milliseconds_count{$sel}",
    optional: true,
    series: &[
        series(
            "requests",
            "rpc_server_duration_milliseconds_count",
            "sum by ($each) (rate(rpc_server_duration_milliseconds_count{$sel}$win))",
        ),
        series(
            "errors",
            "rpc_server_duration_milliseconds_count",
            r#"sum by ($each) (rate(rpc_server_duration_milliseconds_count{$sel rpc_grpc_status_code=~"2|4|8|12|13|14|15"}$win))"#,
        ),
        buckets(
            "latency",
            "rpc_server_duration_milliseconds_bucket",
            "sum by ($each, le) (rate(rpc_server_duration_milliseconds_bucket{$sel}$win))",
        ),
    ],
    rows: &[
        row("grpc_requests_rate", Make::Value("requests")).sum().load("1/s", 1.0),
        row("grpc_error_ratio", share("errors", "requests")).high("ratio", POINT),
        row("grpc_latency_seconds_p50", quantile_of_ms("latency", 0.5)).high("s", LATENCY).may_lack(),
        row("grpc_latency_seconds_p95", quantile_of_ms("latency", 0.95)).high("s", LATENCY).may_lack(),
        row("grpc_latency_seconds_p99", quantile_of_ms("latency", 0.99)).high("s", LATENCY).may_lack(),
    ],
    remedy: GRPC_REMEDY,
};

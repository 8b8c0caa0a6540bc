//! Backends of HAProxy, through the exporter that it brings along (`http-request use-service prometheus-exporter`).

use super::{Enough, Family, Keys, LATENCY, Make, POINT, Part, row, series, share};

pub(super) const BACKEND: Family = Family { name: "haproxy", parts: &[PART], enough: Enough::All };

/// A backend fails as a whole too (nobody to pass a request to), so its errors are counted at the backend, and those of
/// each server at the server.
const PART: Part = Part {
    name: "haproxy-backend",
    keys: Keys::Named(&["proxy"]),
    instance: Some("server"),
    pulse: "haproxy_backend_active_servers{$sel}",
    optional: false,
    series: &[
        series(
            "requests",
            "haproxy_backend_http_requests_total",
            "sum by ($by) (rate(haproxy_backend_http_requests_total{$sel}$win))",
        ),
        series(
            "errors",
            "haproxy_backend_http_responses_total",
            r#"sum by ($by) (rate(haproxy_backend_http_responses_total{$sel code="5xx"}$win))"#,
        ),
        series(
            "responses",
            "haproxy_backend_http_responses_total",
            "sum by ($by) (rate(haproxy_backend_http_responses_total{$sel}$win))",
        ),
        series(
            "server_errors",
            "haproxy_server_http_responses_total",
            r#"sum by ($each) (rate(haproxy_server_http_responses_total{$sel code="5xx"}$win))"#,
        ),
        series(
            "server_responses",
            "haproxy_server_http_responses_total",
            "sum by ($each) (rate(haproxy_server_http_responses_total{$sel}$win))",
        ),
        series(
            "response_time",
            "haproxy_backend_response_time_average_seconds",
            "max by ($by) (haproxy_backend_response_time_average_seconds{$sel})",
        ),
        series(
            "server_response_time",
            "haproxy_server_response_time_average_seconds",
            "max by ($each) (haproxy_server_response_time_average_seconds{$sel})",
        ),
        series(
            "queue_time",
            "haproxy_backend_queue_time_average_seconds",
            "max by ($by) (haproxy_backend_queue_time_average_seconds{$sel})",
        ),
        series("queue", "haproxy_backend_current_queue", "sum by ($by) (haproxy_backend_current_queue{$sel})"),
        series("sessions", "haproxy_backend_current_sessions", "sum by ($by) (haproxy_backend_current_sessions{$sel})"),
        series("active", "haproxy_backend_active_servers", "min by ($by) (haproxy_backend_active_servers{$sel})"),
        series(
            "connection_errors",
            "haproxy_backend_connection_errors_total",
            "sum by ($by) (rate(haproxy_backend_connection_errors_total{$sel}$win))",
        ),
        series(
            "retries",
            "haproxy_backend_retry_warnings_total",
            "sum by ($by) (rate(haproxy_backend_retry_warnings_total{$sel}$win))",
        ),
    ],
    rows: &[
        row("backend_requests_rate", Make::Value("requests")).sum().load("1/s", 1.0),
        row("backend_error_ratio", share("errors", "responses"))
            .each(share("server_errors", "server_responses"))
            .high("ratio", POINT),
        // HAProxy's own average over its last 1024 requests.
        row("backend_response_time_seconds", Make::Value("response_time"))
            .each(Make::Value("server_response_time"))
            .greatest()
            .high("s", LATENCY),
        row("backend_queue_time_seconds", Make::Value("queue_time")).greatest().high("s", LATENCY),
        row("backend_queue", Make::Value("queue")).sum().high("", 1.0),
        row("backend_sessions", Make::Value("sessions")).sum().both("", 1.0),
        row("backend_active_servers", Make::Value("active")).low("", 0.5),
        row("backend_connection_errors_rate", Make::Value("connection_errors")).sum().high("1/s", 0.1),
        row("backend_retries_rate", Make::Value("retries")).sum().high("1/s", 0.1),
    ],
    remedy: "is the backend's name right, and HAProxy's own exporter scraped?",
};

//! Guesses what a metric's name says: which way it is bad, its unit, and the smallest change that means anything.
//!
//! Must never override what the config says ([`with_settings`] puts that on top). Called by the sources.

use crate::model::{Badness, MetricSpec};

use super::MetricSettings;

/// 5 ms: below this, a change of a latency is noise of the scheduler.
const SECONDS_FLOOR: f64 = 0.005;
/// One percentage point.
const RATIO_FLOOR: f64 = 0.01;
/// One of a thing: a waiter, a connection, an instance.
const COUNT_FLOOR: f64 = 1.0;
/// 1 MiB: allocators and page caches move by this much without meaning.
const BYTES_FLOOR: f64 = 1_048_576.0;
/// 100 KiB a second: what an idle machine's own chatter comes to.
const BYTES_RATE_FLOOR: f64 = 102_400.0;
/// One event a second.
const RATE_FLOOR: f64 = 1.0;
/// One bad event in ten seconds: errors matter at rates at which requests do not.
const BAD_RATE_FLOOR: f64 = 0.1;
/// A twentieth of a core.
const CORES_FLOOR: f64 = 0.05;

/// More of these is worse, whatever else the name says. Words are the parts of a name between underscores.
const HIGH: &[&str] = &[
    "latency",
    "duration",
    "delay",
    "lag",
    "error",
    "errors",
    "fail",
    "failed",
    "failure",
    "failures",
    "panics",
    "waiter",
    "waiters",
    "waiting",
    "wait",
    "queue",
    "queued",
    "pending",
    "backlog",
    "inflight",
    "memory",
    "resident",
    "rss",
    "heap",
    "cpu",
    "restart",
    "restarts",
    "crashes",
    "timeout",
    "timeouts",
    "rejected",
    "dropped",
    "retries",
    "throttled",
    "evicted",
    "miss",
    "misses",
    "load",
    "used",
    "usage",
    "saturation",
    "5xx",
];
/// Less of these is worse.
const LOW: &[&str] = &["hit", "hits", "up", "available", "ready", "free", "healthy", "success", "successes"];
/// Load that the service does not control.
const LOAD: &[&str] =
    &["requests", "rps", "qps", "throughput", "received", "receive", "sent", "transmit", "transmitted", "queries"];
/// What is load when it is counted by the second, though not as a level.
const LOAD_BY_RATE: &[&str] = &[
    "request",
    "send",
    "connections",
    "messages",
    "bytes",
    "read",
    "written",
    "write",
    "hits",
    "operations",
    "lookups",
];

/// What the name of a metric says of it. Names follow Prometheus's habits: `_seconds`, `_bytes`, `_ratio` for units;
/// this module's own `_rate` for what happens in a second and `_p50`, `_p95`, `_p99`, `_mean` for distributions.
pub(super) fn guess(name: &str) -> MetricSpec {
    let bare = ["_p50", "_p95", "_p99", "_mean"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    let (thing, is_rate) = bare.strip_suffix("_rate").map_or((bare, false), |thing| (thing, true));
    let unit = unit(thing, is_rate);
    let bad = badness(thing, is_rate, unit);
    let floor = match unit {
        "s" => SECONDS_FLOOR,
        "ratio" => RATIO_FLOOR,
        "bytes" => BYTES_FLOOR,
        "bytes/s" => BYTES_RATE_FLOOR,
        "cores" => CORES_FLOOR,
        "1/s" if bad == Badness::High => BAD_RATE_FLOOR,
        "1/s" => RATE_FLOOR,
        _ => COUNT_FLOOR,
    };
    MetricSpec { bad, unit: unit.to_owned(), floor, limit: None }
}

fn unit(thing: &str, is_rate: bool) -> &'static str {
    let ends = |suffix: &str| thing.strip_suffix("_total").unwrap_or(thing).ends_with(suffix);
    match is_rate {
        // Seconds of work done in a second: one busy core, or one busy connection, is 1.
        true if ends("_seconds") => "cores",
        true if ends("_bytes") => "bytes/s",
        true => "1/s",
        false if ends("_cores") => "cores",
        false if ends("_seconds") => "s",
        false if ends("_bytes") => "bytes",
        false if ends("_ratio") => "ratio",
        false => "",
    }
}

fn badness(thing: &str, is_rate: bool, unit: &str) -> Badness {
    let has = |words: &[&str]| thing.split('_').any(|word| words.contains(&word));
    if thing.contains("in_flight") || has(HIGH) {
        return Badness::High;
    }
    // Hits a second follow the load; hits out of lookups are the service's own.
    if is_rate {
        return if has(LOAD) || has(LOAD_BY_RATE) { Badness::Never } else { Badness::Both };
    }
    match () {
        () if has(LOW) => Badness::Low,
        () if has(LOAD) && !matches!(unit, "ratio" | "s") => Badness::Never,
        () => Badness::Both,
    }
}

/// The guess with the config's own words over it.
pub(super) fn with_settings(mut spec: MetricSpec, settings: Option<&MetricSettings>) -> MetricSpec {
    if let Some(settings) = settings {
        spec.bad = settings.bad.unwrap_or(spec.bad);
        spec.unit = settings.unit.clone().unwrap_or(spec.unit);
        spec.floor = settings.floor.unwrap_or(spec.floor);
        spec.limit = settings.limit.or(spec.limit);
    }
    spec
}

/// A piece of somebody else's text that is safe to show: no control or direction-changing characters, at most `most`
/// characters.
pub(super) fn excerpt(text: &str, most: usize) -> String {
    let shown: String = text
        .chars()
        .take(most)
        .map(|c| if c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric() { c } else { '\u{b7}' })
        .collect();
    if text.chars().nth(most).is_some() { shown + "..." } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_which_way_it_is_bad() {
        for (name, bad) in [
            ("http_request_duration_seconds_p95", Badness::High),
            ("http_requests_in_flight", Badness::High),
            ("http_request_errors_rate", Badness::High),
            ("pool_waiters", Badness::High),
            ("process_resident_memory_bytes", Badness::High),
            ("process_cpu_seconds_rate", Badness::High),
            ("cache_hit_ratio", Badness::Low),
            ("up_ratio", Badness::Low),
            ("replicas_ready", Badness::Low),
            ("http_requests_rate", Badness::Never),
            ("cache_hits_rate", Badness::Never),
            ("network_received_bytes_rate", Badness::Never),
            ("temperature_celsius", Badness::Both),
            ("uptime_seconds", Badness::Both),
        ] {
            assert_eq!(guess(name).bad, bad, "{name}");
        }
    }

    #[test]
    fn a_name_says_its_unit_and_floor() {
        for (name, unit, floor) in [
            ("http_request_duration_seconds_p95", "s", 0.005),
            ("process_cpu_seconds_rate", "cores", 0.05),
            ("process_resident_memory_bytes", "bytes", 1_048_576.0),
            ("network_received_bytes_rate", "bytes/s", 102_400.0),
            ("cache_hit_ratio", "ratio", 0.01),
            ("http_requests_rate", "1/s", 1.0),
            ("http_errors_rate", "1/s", 0.1),
            ("pool_waiters", "", 1.0),
        ] {
            let spec = guess(name);
            assert_eq!((spec.unit.as_str(), spec.floor), (unit, floor), "{name}");
        }
    }

    #[test]
    fn the_config_wins() {
        let settings = MetricSettings { bad: Some(Badness::Never), limit: Some(3.0), ..MetricSettings::default() };
        let spec = with_settings(guess("pool_waiters"), Some(&settings));
        assert_eq!((spec.bad, spec.limit, spec.floor), (Badness::Never, Some(3.0), 1.0));
    }

    #[test]
    fn an_excerpt_cannot_drive_a_terminal() {
        assert_eq!(excerpt("a\x1b[31mb\u{202e}c\n", 60), "a\u{b7}[31mb\u{b7}c\u{b7}");
        assert_eq!(excerpt("abcdef", 3), "abc...");
    }
}

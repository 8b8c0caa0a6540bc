//! The metrics page of a sample worker, in the Prometheus text format.

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use rustix::time::{ClockId, clock_gettime};

/// Upper bounds in seconds, fine enough that a quantile between two of them means something.
const BUCKETS: [f64; 26] = [
    0.001, 0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2,
    0.3, 0.4, 0.6, 0.8, 1.2, 2.0, 3.0, 5.0,
];

/// What a worker counts.
pub(super) struct Metrics {
    registry: Registry,
    /// Time of each request that was let in.
    pub duration: Histogram,
    pub requests: Counter,
    /// Answers of 500 and above, and requests that the customer gave up.
    pub errors: Counter,
    pub in_flight: Gauge,
    pub pool_waiters: Gauge,
    pool_in_use: Gauge,
    pub cache_hits: Counter,
    pub cache_lookups: Counter,
    memory: Gauge,
    cpu: Counter<f64, std::sync::atomic::AtomicU64>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut this = Self {
            registry: Registry::default(),
            duration: Histogram::new(BUCKETS),
            requests: Counter::default(),
            errors: Counter::default(),
            in_flight: Gauge::default(),
            pool_waiters: Gauge::default(),
            pool_in_use: Gauge::default(),
            cache_hits: Counter::default(),
            cache_lookups: Counter::default(),
            memory: Gauge::default(),
            cpu: Counter::default(),
        };
        let r = &mut this.registry;
        r.register("shop_request_duration_seconds", "Time of a request", this.duration.clone());
        r.register("shop_requests", "Requests that are over", this.requests.clone());
        r.register("shop_errors", "Requests answered with 5xx, or given up by the customer", this.errors.clone());
        r.register("shop_in_flight", "Requests being worked on", this.in_flight.clone());
        r.register("shop_pool_waiters", "Requests waiting for a database connection", this.pool_waiters.clone());
        r.register("shop_pool_connections_in_use", "Database connections in use", this.pool_in_use.clone());
        r.register("shop_cache_hits", "Answers from the cache", this.cache_hits.clone());
        r.register("shop_cache_lookups", "Looks into the cache", this.cache_lookups.clone());
        r.register("process_resident_memory_bytes", "Resident memory", this.memory.clone());
        r.register("process_cpu_seconds", "Processor time used", this.cpu.clone());
        this
    }

    /// The page, with the process's own figures read now.
    pub(super) fn page(&self, connections_in_use: usize) -> Result<String, std::fmt::Error> {
        self.pool_in_use.set(i64::try_from(connections_in_use).unwrap_or(i64::MAX));
        self.memory.set(resident_bytes().unwrap_or(0));
        let used = process_cpu().as_secs_f64();
        self.cpu.inc_by((used - self.cpu.get()).max(0.0));
        let mut page = String::new();
        encode(&mut page, &self.registry)?;
        Ok(classic(&page))
    }
}

/// OpenMetrics as the older text format, which every scraper reads: there a counter's type line carries the full name
/// of the series, with `_total`, and nothing marks the end.
fn classic(page: &str) -> String {
    let mut counters: Vec<&str> = Vec::new();
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("# TYPE ").and_then(|rest| rest.strip_suffix(" counter")) {
            counters.push(name);
        }
    }
    let mut out = String::with_capacity(page.len() + 128);
    for line in page.lines().filter(|line| *line != "# EOF") {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what @ ("TYPE" | "HELP")), Some(name), Some(rest)) if counters.contains(&name) => {
                out.push_str(&format!("# {what} {name}_total {rest}"));
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

fn process_cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Resident memory of this process, where the system has `/proc`.
fn resident_bytes() -> Option<i64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: i64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(i64::try_from(rustix::param::page_size()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_in_the_older_text_format() {
        let metrics = Metrics::new();
        metrics.requests.inc();
        let page = metrics.page(2).unwrap();
        assert!(page.contains("# TYPE shop_requests_total counter\nshop_requests_total 1\n"), "{page}");
        assert!(page.contains("shop_pool_connections_in_use 2\n"), "{page}");
        assert!(!page.contains("# EOF"), "{page}");
        let memory = page.lines().find(|l| l.starts_with("process_resident_memory_bytes ")).unwrap();
        assert!(memory.rsplit(' ').next().unwrap().parse::<f64>().unwrap() > 1e6, "{memory}");
    }
}

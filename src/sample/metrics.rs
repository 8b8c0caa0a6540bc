//! The metrics page of a sample worker, in the Prometheus text format.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use rustix::time::{ClockId, clock_gettime};

use crate::act::local::{BUCKETS, page};

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
    /// Seconds that requests spent on the journal.
    pub journal: Counter<f64, std::sync::atomic::AtomicU64>,
    spool: Gauge,
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
            journal: Counter::default(),
            spool: Gauge::default(),
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
        r.register("shop_journal_seconds", "Time that requests spent on the journal", this.journal.clone());
        r.register("shop_spool_bytes", "Bytes in the spool file", this.spool.clone());
        r.register("process_resident_memory_bytes", "Resident memory", this.memory.clone());
        r.register("process_cpu_seconds", "Processor time used", this.cpu.clone());
        this
    }

    /// The page, with the process's own figures read now.
    pub(super) fn page(&self, connections_in_use: usize, spooled: u64) -> Result<String, std::fmt::Error> {
        self.pool_in_use.set(i64::try_from(connections_in_use).unwrap_or(i64::MAX));
        self.spool.set(i64::try_from(spooled).unwrap_or(i64::MAX));
        self.memory.set(resident_bytes().unwrap_or(0));
        let used = process_cpu().as_secs_f64();
        self.cpu.inc_by((used - self.cpu.get()).max(0.0));
        page(&self.registry)
    }
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
        let page = metrics.page(2, 7).unwrap();
        assert!(page.contains("# TYPE shop_requests_total counter\nshop_requests_total 1\n"), "{page}");
        assert!(page.contains("shop_pool_connections_in_use 2\n"), "{page}");
        assert!(page.contains("shop_spool_bytes 7\n"), "{page}");
        assert!(!page.contains("# EOF"), "{page}");
        let memory = page.lines().find(|l| l.starts_with("process_resident_memory_bytes ")).unwrap();
        assert!(memory.rsplit(' ').next().unwrap().parse::<f64>().unwrap() > 1e6, "{memory}");
    }
}

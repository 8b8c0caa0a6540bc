//! What a metric is about, by the words in its name.

/// What a metric is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// How many instances answer. Low is bad.
    Up,
    /// Failed requests.
    Errors,
    /// Memory in use.
    Memory,
    /// Files that grow, and time spent writing them.
    Disk,
    /// Processor time.
    Cpu,
    /// Requests that wait or are under way.
    Waiting,
    /// How long answers take.
    Latency,
    /// How often the cache helps. Low is bad.
    Cache,
}

impl About {
    /// Reads `http_request_duration_seconds` as its words; the first that is known decides.
    pub fn of(metric: &str) -> Option<Self> {
        let name = metric.to_ascii_lowercase();
        let has = |known: &[&str]| name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| known.contains(&word));
        Some(match () {
            () if has(&["error", "errors", "failed", "failures", "5xx"]) => Self::Errors,
            () if has(&["waiters", "waiting", "queue", "queued", "backlog", "pool", "flight", "inflight"]) => {
                Self::Waiting
            }
            () if has(&["memory", "mem", "rss", "heap"]) => Self::Memory,
            () if has(&["disk", "spool", "journal", "fsync", "tmp"]) => Self::Disk,
            () if has(&["cpu"]) => Self::Cpu,
            () if has(&["latency", "duration"]) => Self::Latency,
            () if has(&["cache", "hit", "hits"]) => Self::Cache,
            () if has(&["up"]) => Self::Up,
            () => return None,
        })
    }

    /// Is less worse?
    pub fn low_is_bad(self) -> bool {
        matches!(self, Self::Up | Self::Cache)
    }

    /// How many times the next instance's value one must have to stand out, and the least value that can at all.
    /// Memory differs little between healthy instances; the others differ with the requests they happen to get.
    pub fn standing_out(self) -> (f64, f64) {
        match self {
            Self::Memory => (1.4, 16.0 * 1024.0 * 1024.0),
            Self::Cpu | Self::Disk => (2.0, 0.2),
            Self::Errors => (3.0, 0.01),
            Self::Waiting => (3.0, 2.0),
            Self::Latency => (2.0, 0.005),
            Self::Up | Self::Cache => (2.0, 0.0),
        }
    }
}

/// Is this what whoever stands before the instances saw, and not what they say themselves?
pub fn is_of_the_front(metric: &str) -> bool {
    let name = metric.to_ascii_lowercase();
    name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "front")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_by_their_words() {
        let cases = [
            ("latency_p95", Some(About::Latency)),
            ("http_request_duration_seconds", Some(About::Latency)),
            ("errors_ratio", Some(About::Errors)),
            ("in_flight", Some(About::Waiting)),
            ("pool_waiters", Some(About::Waiting)),
            ("pool_in_use", Some(About::Waiting)),
            ("cache_hit_ratio", Some(About::Cache)),
            ("cpu_cores", Some(About::Cpu)),
            ("memory_bytes", Some(About::Memory)),
            ("spool_bytes", Some(About::Disk)),
            ("journal_busy", Some(About::Disk)),
            ("disk_queue_depth", Some(About::Waiting)),
            ("front_up", Some(About::Up)),
            ("front_errors_ratio", Some(About::Errors)),
            ("front_latency_p95", Some(About::Latency)),
            ("up_ratio", Some(About::Up)),
            ("requests_rate", None),
            ("uptime_seconds", None),
        ];
        for (name, about) in cases {
            assert_eq!(About::of(name), about, "{name}");
        }
    }
}

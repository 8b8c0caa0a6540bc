//! Metrics pages in the Prometheus text format: what those of the balancer and those of the sample have in common.

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// Upper bounds of times in seconds, fine enough that a quantile between two of them means something.
pub(crate) const BUCKETS: [f64; 26] = [
    0.001, 0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2,
    0.3, 0.4, 0.6, 0.8, 1.2, 2.0, 3.0, 5.0,
];

/// How it is announced.
pub(crate) const PAGE_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page of a registry.
///
/// # Errors
/// Never in practice: it is written into memory.
pub(crate) fn page(registry: &Registry) -> Result<String, std::fmt::Error> {
    let mut page = String::new();
    encode(&mut page, registry)?;
    Ok(classic(&page))
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

//! Machines, through node_exporter.

use super::{CHATTER, Enough, Family, Keys, MIB, Make, Part, row, series};

pub(super) const NODE: Family = Family { name: "node", parts: &[PART], enough: Enough::All };

const PART: Part = Part {
    name: "node",
    keys: Keys::Labels,
    instance: Some("instance"),
    pulse: "node_load1{$sel}",
    optional: false,
    series: &[
        series(
            "cpu",
            "node_cpu_seconds_total",
            r#"1 - avg by ($each) (rate(node_cpu_seconds_total{$sel mode="idle"}$win))"#,
        ),
        series(
            "load",
            "node_load1",
            r#"sum by ($each) (node_load1{$sel}) / count by ($each) (node_cpu_seconds_total{$sel mode="idle"})"#,
        ),
        series(
            "memory",
            "node_memory_MemAvailable_bytes",
            "1 - sum by ($each) (node_memory_MemAvailable_bytes{$sel}) / sum by ($each) (node_memory_MemTotal_bytes{$sel})",
        ),
        // Without swap there is no share of it.
        series(
            "swap",
            "node_memory_SwapFree_bytes",
            "1 - sum by ($each) (node_memory_SwapFree_bytes{$sel}) / (sum by ($each) (node_memory_SwapTotal_bytes{$sel}) > 0)",
        ),
        series(
            "disk",
            "node_filesystem_avail_bytes",
            r#"max by ($each) (1 - node_filesystem_avail_bytes{$sel fstype!~"tmpfs|devtmpfs|ramfs|squashfs|overlay|iso9660"} / node_filesystem_size_bytes{$sel})"#,
        ),
        series(
            "disk_busy",
            "node_disk_io_time_seconds_total",
            "max by ($each) (rate(node_disk_io_time_seconds_total{$sel}$win))",
        ),
        series("read", "node_disk_read_bytes_total", "sum by ($each) (rate(node_disk_read_bytes_total{$sel}$win))"),
        series(
            "written",
            "node_disk_written_bytes_total",
            "sum by ($each) (rate(node_disk_written_bytes_total{$sel}$win))",
        ),
        series(
            "received",
            "node_network_receive_bytes_total",
            r#"sum by ($each) (rate(node_network_receive_bytes_total{$sel device!~"lo|veth.*|br-.*|cali.*|cni.*"}$win))"#,
        ),
        series(
            "transmitted",
            "node_network_transmit_bytes_total",
            r#"sum by ($each) (rate(node_network_transmit_bytes_total{$sel device!~"lo|veth.*|br-.*|cali.*|cni.*"}$win))"#,
        ),
        series(
            "errors",
            "node_network_receive_errs_total",
            "sum by ($each) (rate(node_network_receive_errs_total{$sel}$win)) + sum by ($each) (rate(node_network_transmit_errs_total{$sel}$win))",
        ),
    ],
    rows: &[
        row("node_cpu_ratio", Make::Value("cpu")).high("ratio", 0.05),
        row("node_load1_per_core", Make::Value("load")).high("", 0.25),
        row("node_memory_used_ratio", Make::Value("memory")).high("ratio", 0.02),
        row("node_swap_used_ratio", Make::Value("swap")).high("ratio", 0.02).may_lack(),
        row("node_disk_used_ratio", Make::Value("disk")).greatest().high("ratio", 0.01).may_lack(),
        row("node_disk_busy_ratio", Make::Value("disk_busy")).greatest().high("ratio", 0.05).may_lack(),
        row("node_disk_read_bytes_rate", Make::Value("read")).sum().both("bytes/s", MIB).may_lack(),
        row("node_disk_written_bytes_rate", Make::Value("written")).sum().both("bytes/s", MIB).may_lack(),
        row("node_network_received_bytes_rate", Make::Value("received")).sum().load("bytes/s", CHATTER),
        row("node_network_transmitted_bytes_rate", Make::Value("transmitted")).sum().load("bytes/s", CHATTER),
        row("node_network_errors_rate", Make::Value("errors")).sum().high("1/s", 1.0).may_lack(),
    ],
    remedy: "are the `labels` those of node_exporter's series?",
};

//! Redis, through redis_exporter.

use super::{Enough, Family, Keys, MIB, Make, POINT, Part, part_of, row, series};

pub(super) const REDIS: Family = Family { name: "redis", parts: &[PART], enough: Enough::All };

const PART: Part = Part {
    name: "redis-server",
    keys: Keys::Labels,
    instance: Some("instance"),
    pulse: "redis_up{$sel}",
    optional: false,
    series: &[
        series("up", "redis_up", "min by ($each) (redis_up{$sel})"),
        series(
            "commands",
            "redis_commands_processed_total",
            "sum by ($each) (rate(redis_commands_processed_total{$sel}$win))",
        ),
        series(
            "command_seconds",
            "redis_commands_duration_seconds_total",
            "sum by ($each) (rate(redis_commands_duration_seconds_total{$sel}$win))",
        ),
        series("command_calls", "redis_commands_total", "sum by ($each) (rate(redis_commands_total{$sel}$win))"),
        series("hits", "redis_keyspace_hits_total", "sum by ($each) (rate(redis_keyspace_hits_total{$sel}$win))"),
        series(
            "lookups",
            "redis_keyspace_misses_total",
            "sum by ($each) (rate(redis_keyspace_hits_total{$sel}$win)) + sum by ($each) (rate(redis_keyspace_misses_total{$sel}$win))",
        ),
        series("memory", "redis_memory_used_bytes", "sum by ($each) (redis_memory_used_bytes{$sel})"),
        // 0 is "no limit".
        series("memory_limit", "redis_memory_max_bytes", "sum by ($each) (redis_memory_max_bytes{$sel} > 0)"),
        series("clients", "redis_connected_clients", "sum by ($each) (redis_connected_clients{$sel})"),
        series("blocked", "redis_blocked_clients", "sum by ($each) (redis_blocked_clients{$sel})"),
        series("evicted", "redis_evicted_keys_total", "sum by ($each) (rate(redis_evicted_keys_total{$sel}$win))"),
        series("expired", "redis_expired_keys_total", "sum by ($each) (rate(redis_expired_keys_total{$sel}$win))"),
        series(
            "rejected",
            "redis_rejected_connections_total",
            "sum by ($each) (rate(redis_rejected_connections_total{$sel}$win))",
        ),
    ],
    rows: &[
        row("redis_up_ratio", Make::Value("up")).low("ratio", POINT),
        row("redis_commands_rate", Make::Value("commands")).sum().load("1/s", 1.0),
        // Commands take microseconds.
        row("redis_command_seconds_mean", part_of("command_seconds", "command_calls")).high("s", 0.000_1),
        row("redis_cache_hit_ratio", part_of("hits", "lookups")).low("ratio", POINT).may_lack(),
        row("redis_memory_used_bytes", Make::Value("memory")).high("bytes", MIB),
        row("redis_memory_limit_ratio", part_of("memory", "memory_limit")).high("ratio", 0.02).may_lack(),
        row("redis_connected_clients", Make::Value("clients")).sum().both("", 1.0),
        row("redis_blocked_clients", Make::Value("blocked")).sum().high("", 1.0),
        row("redis_evicted_keys_rate", Make::Value("evicted")).sum().high("1/s", 0.1),
        row("redis_expired_keys_rate", Make::Value("expired")).sum().load("1/s", 1.0),
        row("redis_rejected_connections_rate", Make::Value("rejected")).sum().high("1/s", 0.1),
    ],
    remedy: "are the `labels` those of redis_exporter's series?",
};

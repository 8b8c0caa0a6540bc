//! Random worlds, incidents and arguments for the fuzzer: everything within what the daemon could meet, its edges more
//! often than its middle. The same seed gives the same world.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::case::{AutoscalerTable, Call, Case, Deny, DriverTable, Fail, FailError, Incident, InstanceTable, Target};
use crate::model::{ActionKind, Args, Severity, TargetId, Trend};
use crate::wasm::{Description, Param, ParamKind};

/// Metrics with their units: what shops, databases and machines report, and one that nobody has heard of.
const METRICS: [(&str, &str); 8] = [
    ("p95_latency", "s"),
    ("error_rate", "ratio"),
    ("cpu", "ratio"),
    ("memory_bytes", "bytes"),
    ("pool_waiters", ""),
    ("requests_per_second", "1/s"),
    ("up", ""),
    ("x", "furlongs"),
];

/// The case of one run.
pub(super) fn case(rng: &mut Rng, described: &Description) -> Case {
    let target: Vec<_> = (0..pick(rng, &[0, 1, 1, 1, 2, 3])).filter_map(|n| target(rng, n)).collect();
    let instances: Vec<String> =
        target.iter().flat_map(|t| t.state().instances).map(|instance| instance.name).collect();
    let settings: Vec<String> = target.iter().flat_map(|t| t.settings.keys().cloned()).collect();
    let metrics = |rng: &mut Rng| {
        let names: Vec<_> = METRICS.iter().filter(|_| rng.bool()).collect();
        names.into_iter().map(|(name, _)| ((*name).to_owned(), number(rng))).collect()
    };
    let mut case = Case {
        incident: incident(rng, &instances),
        metrics: metrics(rng),
        instance_metrics: instances.iter().take(8).map(|name| (name.clone(), metrics(rng))).collect(),
        target: Some(target),
        args: args(rng, described, &instances, &settings),
        ..Case::default()
    };
    if one_in(rng, 4) {
        let keys = ["last", "count", "k"];
        case.notes = keys.iter().take(rng.usize(1..=3)).map(|key| ((*key).to_owned(), text(rng, &[]))).collect();
    }
    if one_in(rng, 8) {
        case.deny.extend(rng.choice(ActionKind::ALL).map(|capability| Deny { capability, target: None }));
    }
    if one_in(rng, 4) {
        case.fail = (0..rng.usize(1..=2)).filter_map(|_| fail(rng)).collect();
    }
    case
}

fn incident(rng: &mut Rng, instances: &[String]) -> Incident {
    let drivers = pick(rng, &[0, 1, 1, 2, 3, 8]);
    Incident {
        severity: one_in(rng, 2)
            .then(|| pick(rng, &[Severity::None, Severity::Low, Severity::Medium, Severity::High, Severity::Critical])),
        risk: pick(rng, &[0.0, 50.0, 64.9, 85.0, 99.9, 100.0]),
        tried: ["scale-out", "restart-service", "shed-load"]
            .iter()
            .filter(|_| one_in(rng, 4))
            .map(|name| (*name).to_owned())
            .collect(),
        driver: (0..drivers).map(|_| driver(rng, instances, drivers)).collect(),
        ..Incident::default()
    }
}

fn driver(rng: &mut Rng, instances: &[String], of: u32) -> DriverTable {
    let (metric, unit) = pick(rng, &METRICS);
    DriverTable {
        metric: metric.to_owned(),
        share: pick(rng, &[0.0, 1.0, rng_share(of)]),
        value: number(rng),
        normal: number(rng),
        low: number(rng),
        high: number(rng),
        unit: unit.to_owned(),
        trend: pick(rng, &[Trend::Steady, Trend::Rising, Trend::Falling, Trend::Step]),
        recent: (0..pick(rng, &[0, 1, 30])).map(|_| number(rng)).collect(),
        instance: one_in(rng, 2).then(|| name_among(rng, instances)),
    }
}

fn rng_share(of: u32) -> f64 {
    1.0 / f64::from(of.max(1))
}

fn target(rng: &mut Rng, n: u32) -> Option<Target> {
    let kind = pick(rng, &["local", "local", "local", "k8s", "asg", "haproxy"]);
    let name: TargetId = match n {
        0 => format!("{kind}:shop"),
        n => format!("{kind}:shop-{n}x"),
    }
    .parse()
    .ok()?;
    let replicas = pick(rng, &[0, 1, 2, 2, 3, 4, 8, 40]);
    // Now and then a platform is outside of its own bounds: somebody changed them.
    let min = if one_in(rng, 10) { replicas + 1 } else { pick(rng, &[0, 1, 1, 2]).min(replicas) };
    let max = if one_in(rng, 10) { min } else { replicas.max(min) + pick(rng, &[0, 0, 1, 4, 100]) };
    let there = if one_in(rng, 8) { pick(rng, &[0, 1, replicas + 1]) } else { replicas };
    let stem = name.name().to_owned();
    let instance = (1..=there).map(|i| InstanceTable {
        name: format!("{stem}-{i}"),
        up: !one_in(rng, 4),
        isolated: one_in(rng, 6),
        weight: pick(rng, &[0, 1, 100, 100, 100, 1000]),
        generation: pick(rng, &[0, 0, 1, 7, u64::from(u32::MAX)]),
    });
    let instance = Some(instance.collect());
    let cache_ttl_ms = pick(rng, &[None, Some(0), Some(2_000), Some(86_400_000)]);
    let settings = if one_in(rng, 2) { BTreeMap::new() } else { settings(rng) };
    Some(Target {
        name,
        replicas: Some(replicas),
        min,
        max,
        cache_ttl_ms,
        rollout: pick(rng, &[None, None, Some(0), Some(1_767_225_600)]),
        renames: one_in(rng, 3),
        stores_entries: one_in(rng, 3),
        settings,
        autoscaler: one_in(rng, 6).then(|| AutoscalerTable { name: "autoscaler".to_owned(), min, max }),
        instance,
    })
}

fn settings(rng: &mut Rng) -> BTreeMap<String, String> {
    let values = ["", "0", "512mb", "allkeys-lru", "5", "running"];
    let names = ["maxmemory", "maxmemory-policy", "process/Launch"];
    let one = |name: &str| (!one_in(rng, 3)).then(|| (name.to_owned(), pick(rng, &values).to_owned()));
    names.into_iter().filter_map(one).collect()
}

fn fail(rng: &mut Rng) -> Option<Fail> {
    use FailError::{Conflict, NotFound, OutcomeUnknown, OverBudget, TimedOut, Unavailable};
    let calls = [
        Call::Look,
        Call::Scale,
        Call::Restart,
        Call::Traffic,
        Call::Isolate,
        Call::Cache,
        Call::Rollout,
        Call::Configure,
        Call::Flush,
    ];
    Some(Fail {
        call: rng.choice(calls)?,
        error: rng.choice([NotFound, Conflict, TimedOut, Unavailable, OutcomeUnknown, OverBudget])?,
        nth: pick(rng, &[1, 1, 2, 3]),
    })
}

/// Arguments that the description allows: a rule or a person can give no others.
fn args(rng: &mut Rng, described: &Description, instances: &[String], settings: &[String]) -> Args {
    let given: Vec<_> = described.params.iter().filter(|_| !one_in(rng, 3)).collect();
    let named = |rng: &mut Rng, param: &Param| {
        let names = if settings.is_empty() || rng.bool() { instances } else { settings };
        Some((param.name.clone(), arg(rng, param, names)?))
    };
    given.into_iter().filter_map(|param| named(rng, param)).collect()
}

/// `names`: what a text may be the name of.
fn arg(rng: &mut Rng, param: &Param, names: &[String]) -> Option<String> {
    let within = |n: &f64| param.min.is_none_or(|min| *n >= min) && param.max.is_none_or(|max| *n <= max);
    let edges = [param.min, param.max, Some(0.0), Some(1.0), Some(2.0), Some(-1.0), Some(1e6), Some(9e15)];
    let numbers: Vec<f64> = edges.into_iter().flatten().filter(within).collect();
    // Edges every other time, for that is where mistakes are; the rest from everywhere in between.
    let number = match (param.min, param.max) {
        (Some(min), Some(max)) if rng.bool() => Some(min + rng.f64() * (max - min + 1.0)).map(|n| n.min(max)),
        _ => (!numbers.is_empty()).then(|| pick(rng, &numbers)),
    };
    match param.kind {
        ParamKind::Integer => Some(format!("{:.0}", number?.trunc())),
        ParamKind::DurationMs => Some(format!("{:.0}", Some(number?).filter(|n| *n >= 0.0)?.trunc())),
        ParamKind::Number => Some(number?.to_string()),
        ParamKind::Flag => Some(rng.bool().to_string()),
        ParamKind::Text => Some(text(rng, names)),
    }
}

fn text(rng: &mut Rng, names: &[String]) -> String {
    match rng.u8(0..8) {
        0 => String::new(),
        1 => "x".repeat(253),
        2 => "\u{e9}\u{4e2d}\u{1f527} =\"'\\{}%s".to_owned(),
        3 => "-1".to_owned(),
        _ => name_among(rng, names),
    }
}

fn name_among(rng: &mut Rng, names: &[String]) -> String {
    let known = if names.is_empty() || one_in(rng, 4) { None } else { names.get(rng.usize(..names.len())) };
    known.cloned().unwrap_or_else(|| "nobody".to_owned())
}

/// Finite, as everything that the detector says.
fn number(rng: &mut Rng) -> f64 {
    match rng.u8(0..8) {
        0 => 0.0,
        1 => -1.0,
        2 => 1e-300,
        3 => 1e300,
        4 => f64::from(rng.u32(..)),
        _ => rng.f64() * pick(rng, &[1.0, 100.0, 1e9]),
    }
}

fn one_in(rng: &mut Rng, n: u32) -> bool {
    rng.u32(0..n) == 0
}

/// One of these; lists here are never empty, and one that is gives the default.
fn pick<T: Clone + Default>(rng: &mut Rng, of: &[T]) -> T {
    rng.choice(of).cloned().unwrap_or_default()
}

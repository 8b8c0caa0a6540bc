use super::*;

const MIB: f64 = 1024.0 * 1024.0;

fn driver(metric: &str, value: f64, normal: f64) -> Driver {
    Driver {
        metric: metric.to_owned(),
        share: 0.5,
        value,
        normal,
        low: normal * 0.8,
        high: normal * 1.2,
        unit: String::new(),
        trend: Trend::Step,
        recent: Vec::new(),
        instance: None,
    }
}

/// A shop of two instances, with the values of some metrics on each.
fn shop(drivers: Vec<Driver>, metrics: &[(&str, [f64; 2])]) -> Case {
    let instance = |n| Instance { name: format!("shop-{n}"), up: true, isolated: false, weight: 100, generation: 0 };
    let sample = |n: usize| InstanceMetrics {
        instance: format!("shop-{}", n + 1),
        metrics: metrics.iter().map(|(name, values)| Metric { name: (*name).to_owned(), value: values[n] }).collect(),
    };
    let target = TargetState {
        replicas: 2,
        min_replicas: 1,
        max_replicas: 6,
        instances: vec![instance(1), instance(2)],
        cache_ttl_ms: Some(2_000),
    };
    Case { drivers, by_instance: vec![sample(0), sample(1)], targets: vec![target], tried: Vec::new() }
}

/// `playbook(arguments)` of each proposal.
fn short(case: &Case) -> Vec<String> {
    proposals(case)
        .iter()
        .map(|p| {
            let args: Vec<_> = p.args.iter().map(|a| format!("{}={}", a.name, a.value)).collect();
            format!("{}({})", p.playbook, args.join(" "))
        })
        .collect()
}

#[test]
fn load_everywhere_wants_more_instances_then_more_caching() {
    let drivers =
        vec![driver("latency_p95", 0.9, 0.1), driver("pool_waiters", 40.0, 0.0), driver("in_flight", 60.0, 8.0)];
    let case =
        shop(drivers, &[("latency_p95", [0.9, 0.8]), ("pool_waiters", [22.0, 18.0]), ("in_flight", [31.0, 29.0])]);
    assert_eq!(short(&case), ["scale-out(by=2)", "cache-aggressively()"]);
    let why = &proposals(&case)[0].why;
    assert_eq!(why, "latency_p95 is 0.900 (usually 0.100) on all 2 instances: they have too much to do.");
}

#[test]
fn memory_that_rises_on_one_instance_wants_its_restart() {
    let mut memory = driver("memory_bytes", 400.0 * MIB, 120.0 * MIB);
    memory.trend = Trend::Rising;
    let case = shop(vec![memory], &[("memory_bytes", [340.0 * MIB, 60.0 * MIB])]);
    assert_eq!(short(&case), ["restart-service(instance=shop-1)"]);
}

#[test]
fn an_instance_that_is_down_comes_before_all_else() {
    let mut case =
        shop(vec![driver("latency_p95", 0.9, 0.1), driver("up_ratio", 0.5, 1.0)], &[("latency_p95", [0.9, 0.0])]);
    case.targets[0].instances[1].up = false;
    assert_eq!(short(&case)[0], "restart-service(instance=shop-2)");
}

#[test]
fn errors_on_one_instance_take_it_out_of_the_traffic_first() {
    let case = shop(vec![driver("errors_ratio", 0.2, 0.0)], &[("errors_ratio", [0.0, 0.4])]);
    assert_eq!(short(&case), ["shed-load(instance=shop-2)", "restart-service(instance=shop-2)"]);
}

#[test]
fn a_pool_that_leaks_on_one_instance_wants_its_restart() {
    let drivers = vec![driver("latency_p95", 0.9, 0.1), driver("pool_waiters", 30.0, 0.0)];
    let case = shop(drivers, &[("latency_p95", [0.1, 0.9]), ("pool_waiters", [0.0, 30.0])]);
    assert_eq!(short(&case), ["restart-service(instance=shop-2)", "shed-load(instance=shop-2)"]);
}

#[test]
fn latency_alone_on_one_instance_takes_it_out_of_the_traffic_first() {
    let case = shop(vec![driver("latency_p99", 0.9, 0.1)], &[("latency_p99", [0.1, 0.9])]);
    let expected = ["shed-load(instance=shop-2)", "restart-service(instance=shop-2)", "rebalance(instance=shop-2)"];
    assert_eq!(short(&case), expected);
}

#[test]
fn processor_time_on_one_instance_wants_its_restart_and_everywhere_more_instances() {
    let one = shop(vec![driver("cpu_cores", 1.1, 0.2)], &[("cpu_cores", [1.0, 0.1])]);
    assert_eq!(short(&one)[0], "restart-service(instance=shop-1)");
    let all = shop(vec![driver("cpu_cores", 1.8, 0.2)], &[("cpu_cores", [0.9, 0.9])]);
    assert_eq!(short(&all), ["scale-out(by=2)"]);
}

#[test]
fn the_detectors_word_on_the_instance_is_taken() {
    let mut latency = driver("latency_p95", 0.9, 0.1);
    latency.instance = Some("shop-2".to_owned());
    assert_eq!(short(&shop(vec![latency], &[]))[0], "shed-load(instance=shop-2)");
}

#[test]
fn what_was_tried_is_not_proposed_again() {
    let mut case = shop(vec![driver("latency_p95", 0.9, 0.1)], &[("latency_p95", [0.9, 0.8])]);
    case.tried = vec!["scale-out".to_owned()];
    assert_eq!(short(&case), ["cache-aggressively()"]);
}

#[test]
fn what_cannot_be_done_is_not_proposed() {
    let mut case = shop(vec![driver("latency_p95", 0.9, 0.1)], &[("latency_p95", [0.9, 0.8])]);
    case.targets[0].max_replicas = 2;
    case.targets[0].cache_ttl_ms = None;
    assert!(short(&case).is_empty());
}

#[test]
fn an_isolated_instance_does_not_make_the_other_stand_out() {
    let mut case = shop(vec![driver("latency_p95", 0.9, 0.1)], &[("latency_p95", [0.9, 0.0])]);
    case.targets[0].instances[1].isolated = true;
    assert_eq!(short(&case)[0], "scale-out(by=2)");
}

#[test]
fn a_metric_that_is_better_than_usual_is_no_reason() {
    let case = shop(vec![driver("latency_p95", 0.05, 0.1), driver("up_ratio", 1.0, 1.0)], &[]);
    assert!(short(&case).is_empty());
}

#[test]
fn a_minor_echo_of_the_cause_is_no_reason() {
    let mut memory = driver("memory_bytes", 200.0 * MIB, 120.0 * MIB);
    memory.share = 0.02;
    let case = shop(
        vec![driver("latency_p95", 0.9, 0.1), memory],
        &[("latency_p95", [0.9, 0.8]), ("memory_bytes", [130.0 * MIB, 70.0 * MIB])],
    );
    assert_eq!(short(&case), ["scale-out(by=2)", "cache-aggressively()"]);
}

#[test]
fn nothing_to_act_on_means_nothing_to_propose() {
    let case = Case { drivers: vec![driver("cpu_cores", 1.8, 0.2)], ..Case::default() };
    assert!(short(&case).is_empty());
}

use suture_playbook_sdk::test::{World, driver, propose, target};

use super::*;
use crate::Stock;

const MIB: f64 = 1024.0 * 1024.0;

/// An incident with the values of some metrics on each of two instances, and nothing to act on.
fn incident_with(drivers: &[Driver], metrics: &[(&str, [f64; 2])]) -> World {
    let blamed = drivers.iter().cloned().fold(World::new(), World::driver);
    metrics.iter().fold(blamed, |world, (name, [first, second])| {
        world.instance_metric("shop-1", name, *first).instance_metric("shop-2", name, *second)
    })
}

/// The same in a shop of two instances.
fn shop(drivers: &[Driver], metrics: &[(&str, [f64; 2])]) -> World {
    incident_with(drivers, metrics).target(target("local:shop", 2).between(1, 6).cached_for_ms(2_000))
}

#[test]
fn load_everywhere_wants_more_instances_then_more_caching() {
    let drivers = [driver("latency_p95", 0.9, 0.1), driver("pool_waiters", 40.0, 0.0), driver("in_flight", 60.0, 8.0)];
    let metrics = [("latency_p95", [0.9, 0.8]), ("pool_waiters", [22.0, 18.0]), ("in_flight", [31.0, 29.0])];
    let proposals = propose::<Stock>(&shop(&drivers, &metrics));
    assert_eq!(proposals, ["scale-out by=2", "cache-aggressively"]);
    let why = "latency_p95 is 0.900 (usually 0.100) on all 2 instances: they have too much to do.";
    assert_eq!(proposals[0].why, why);
}

#[test]
fn memory_that_rises_on_one_instance_wants_its_restart() {
    let memory = Driver { trend: Trend::Rising, ..driver("memory_bytes", 400.0 * MIB, 120.0 * MIB) };
    let shop = shop(&[memory], &[("memory_bytes", [340.0 * MIB, 60.0 * MIB])]);
    assert_eq!(propose::<Stock>(&shop), ["restart-service instance=shop-1"]);
}

#[test]
fn memory_that_rises_on_all_pods_wants_them_all_replaced() {
    let leak = Driver { trend: Trend::Rising, ..driver("memory_bytes", 400.0 * MIB, 120.0 * MIB) };
    let everywhere = [("memory_bytes", [210.0 * MIB, 200.0 * MIB])];
    let of = |name: &str, drivers: &[Driver]| {
        let pods = ["shop-1", "shop-2"].map(|name| Instance { name: name.to_owned(), ..Instance::default() });
        propose::<Stock>(&incident_with(drivers, &everywhere).target(target(name, 2).instances(pods)))
    };
    let both = ["rolling-restart", "restart-service instance=shop-1"];
    for name in ["k8s:prod/deployment/shop", "k8s:prod/statefulset/shop", "asg:shop"] {
        assert_eq!(of(name, std::slice::from_ref(&leak)), both, "{name}");
    }
    for name in ["local:shop", "k8s:prod/httproute/shop", "haproxy:shop"] {
        assert_eq!(of(name, std::slice::from_ref(&leak)), [both[1]], "{name}");
    }
    let high = Driver { trend: Trend::Step, ..leak };
    assert_eq!(of("asg:shop", &[high]), [both[1]], "high is not yet a leak");
}

#[test]
fn an_instance_that_is_down_comes_before_all_else() {
    let drivers = [driver("latency_p95", 0.9, 0.1), driver("up_ratio", 0.5, 1.0)];
    let world = incident_with(&drivers, &[("latency_p95", [0.9, 0.0])]);
    let shop = world.target(target("local:shop", 2).down("shop-2"));
    assert_eq!(propose::<Stock>(&shop)[0], "restart-service instance=shop-2");
}

#[test]
fn errors_on_one_instance_take_it_out_of_the_traffic_first() {
    let shop = shop(&[driver("errors_ratio", 0.2, 0.0)], &[("errors_ratio", [0.0, 0.4])]);
    assert_eq!(propose::<Stock>(&shop), ["shed-load instance=shop-2", "restart-service instance=shop-2"]);
}

#[test]
fn a_pool_that_leaks_on_one_instance_wants_its_restart() {
    let drivers = [driver("latency_p95", 0.9, 0.1), driver("pool_waiters", 30.0, 0.0)];
    let shop = shop(&drivers, &[("latency_p95", [0.1, 0.9]), ("pool_waiters", [0.0, 30.0])]);
    assert_eq!(propose::<Stock>(&shop), ["restart-service instance=shop-2", "shed-load instance=shop-2"]);
}

#[test]
fn latency_alone_on_one_instance_takes_it_out_of_the_traffic_first() {
    let shop = shop(&[driver("latency_p99", 0.9, 0.1)], &[("latency_p99", [0.1, 0.9])]);
    let expected = ["shed-load instance=shop-2", "restart-service instance=shop-2", "rebalance instance=shop-2"];
    assert_eq!(propose::<Stock>(&shop), expected);
}

#[test]
fn processor_time_on_one_instance_wants_its_restart_and_everywhere_more_instances() {
    let one = shop(&[driver("cpu_cores", 1.1, 0.2)], &[("cpu_cores", [1.0, 0.1])]);
    assert_eq!(propose::<Stock>(&one)[0], "restart-service instance=shop-1");
    let all = shop(&[driver("cpu_cores", 1.8, 0.2)], &[("cpu_cores", [0.9, 0.9])]);
    assert_eq!(propose::<Stock>(&all), ["scale-out by=2"]);
}

#[test]
fn a_disk_that_one_instance_fills_or_keeps_busy_wants_its_restart() {
    let restart = "restart-service instance=shop-2";
    let fills = shop(&[driver("spool_bytes", 256.0 * MIB, 0.0)], &[("spool_bytes", [0.0, 256.0 * MIB])]);
    assert_eq!(propose::<Stock>(&fills), [restart, "shed-load instance=shop-2"]);
    let drivers = [driver("front_latency_p95", 0.4, 0.02), driver("journal_busy", 9.0, 0.0)];
    let busy = shop(&drivers, &[("front_latency_p95", [0.02, 0.4]), ("journal_busy", [0.0, 9.0])]);
    assert_eq!(propose::<Stock>(&busy)[0], restart);
    let everywhere = shop(&[driver("disk_used_ratio", 0.95, 0.4)], &[("disk_used_ratio", [0.95, 0.95])]);
    assert!(propose::<Stock>(&everywhere).is_empty());
}

#[test]
fn what_the_front_sees_of_one_instance_alone_takes_it_out_of_the_traffic_first() {
    let shed = "shed-load instance=shop-2";
    let broken = shop(&[driver("front_errors_ratio", 0.15, 0.0)], &[("front_errors_ratio", [0.0, 0.3])]);
    assert_eq!(propose::<Stock>(&broken)[0], shed);
    let metrics = [("front_latency_p95", [0.02, 0.5]), ("latency_p95", [0.02, 0.02]), ("in_flight", [2.0, 2.0])];
    assert_eq!(propose::<Stock>(&shop(&[driver("front_latency_p95", 0.5, 0.02)], &metrics))[0], shed);
}

#[test]
fn an_instance_that_is_cut_off_is_not_restarted_first() {
    let drivers = [driver("front_up", 0.5, 1.0)];
    let of = |own: f64| {
        let metrics = [("front_up", [1.0, 0.0]), ("up_ratio", [1.0, own]), ("source2_up_ratio", [1.0, 1.0])];
        propose::<Stock>(
            &incident_with(&drivers, &metrics).target(target("local:shop", 2).between(1, 6).down("shop-2")),
        )
    };
    assert_eq!(of(1.0), ["shed-load instance=shop-2", "restart-service instance=shop-2"]);
    assert_eq!(of(0.0)[0], "restart-service instance=shop-2", "it hangs");
}

#[test]
fn the_detectors_word_on_the_instance_is_taken() {
    let latency = Driver { instance: Some("shop-2".to_owned()), ..driver("latency_p95", 0.9, 0.1) };
    assert_eq!(propose::<Stock>(&shop(&[latency], &[]))[0], "shed-load instance=shop-2");
}

#[test]
fn what_was_tried_is_not_proposed_again() {
    let shop = shop(&[driver("latency_p95", 0.9, 0.1)], &[("latency_p95", [0.9, 0.8])]).tried("scale-out");
    assert_eq!(propose::<Stock>(&shop), ["cache-aggressively"]);
}

#[test]
fn what_cannot_be_done_is_not_proposed() {
    let world = incident_with(&[driver("latency_p95", 0.9, 0.1)], &[("latency_p95", [0.9, 0.8])]);
    let full = world.target(target("local:shop", 2).between(1, 2));
    assert!(propose::<Stock>(&full).is_empty());
}

#[test]
fn an_isolated_instance_does_not_make_the_other_stand_out() {
    let world = incident_with(&[driver("latency_p95", 0.9, 0.1)], &[("latency_p95", [0.9, 0.0])]);
    let shop = world.target(target("local:shop", 2).isolated("shop-2"));
    assert_eq!(propose::<Stock>(&shop)[0], "scale-out by=2");
}

#[test]
fn a_metric_that_is_better_than_usual_is_no_reason() {
    let shop = shop(&[driver("latency_p95", 0.05, 0.1), driver("up_ratio", 1.0, 1.0)], &[]);
    assert!(propose::<Stock>(&shop).is_empty());
}

#[test]
fn a_minor_echo_of_the_cause_is_no_reason() {
    let memory = Driver { share: 0.02, ..driver("memory_bytes", 200.0 * MIB, 120.0 * MIB) };
    let metrics = [("latency_p95", [0.9, 0.8]), ("memory_bytes", [130.0 * MIB, 70.0 * MIB])];
    let shop = shop(&[driver("latency_p95", 0.9, 0.1), memory], &metrics);
    assert_eq!(propose::<Stock>(&shop), ["scale-out by=2", "cache-aggressively"]);
}

#[test]
fn nothing_to_act_on_means_nothing_to_propose() {
    assert!(propose::<Stock>(&incident_with(&[driver("cpu_cores", 1.8, 0.2)], &[])).is_empty());
}

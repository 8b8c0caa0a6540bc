//! Gives the slow instance a smaller part of the traffic: milder than taking it out.

use suture_playbook_sdk::prelude::*;

struct Rebalance;

impl Playbook for Rebalance {
    fn describe() -> Description {
        description("rebalance", "Moves traffic away from the slow instance of a target.")
            .with(Param::text("instance", "Which instance; without it, the slowest."))
            .with(Param::whole("percent", "What part of its weight it keeps.").or(25).between(1, 90))
    }

    fn remediate(args: &Args) -> Outcome {
        let (drivers, samples) = (incident().drivers, metrics_by_instance());
        let slow = |state: &TargetState| {
            let named = args.text("instance").or_else(|| slowest(&samples, state));
            sick_instance(named, &drivers, state)
        };
        let (target, state, name) =
            find_in_targets(slow)?.otherwise("no instance is slower than the others; name one: instance=...")?;
        let weight = lighter(&state, &name, args.get("percent")?)?;
        target.weigh([(&name, weight)])?;
        Ok(format!("gave {name} of {target} the weight {weight}"))
    }
}

/// The instance in the traffic with the highest latency, where at least two can be compared.
fn slowest<'a>(samples: &'a [InstanceMetrics], state: &TargetState) -> Option<&'a str> {
    let latency = |sample: &InstanceMetrics| {
        let is_latency = |name: &str| name.contains("latency") || name.contains("duration");
        sample.metrics.iter().filter(|m| is_latency(&m.name)).map(|m| m.value).reduce(f64::max)
    };
    let mut serving: Vec<_> = samples
        .iter()
        .filter(|sample| state.instance(&sample.instance).is_some_and(Instance::is_serving))
        .filter_map(|sample| Some((latency(sample)?, sample.instance.as_str())))
        .collect();
    serving.sort_by(|a, b| b.0.total_cmp(&a.0));
    match serving.as_slice() {
        [(first, name), (second, _), ..] if first > second => Some(name),
        _ => None,
    }
}

/// The new weight of `name`: at least 1, so that it stays in the traffic and its recovery is seen.
fn lighter(state: &TargetState, name: &str, percent: u32) -> Result<u32, Failure> {
    if state.serving().all(|i| i.name == name) {
        return Err(not_applicable(format!("there is nobody else to take the traffic of {name}")));
    }
    let now = state.instance(name).map_or(0, |i| i.weight);
    let lighter = (now.saturating_mul(percent) / 100).max(1);
    if lighter >= now {
        return Err(not_applicable(format!("{name} has the weight {now} already")));
    }
    Ok(lighter)
}

suture_playbook_sdk::export_playbook!(Rebalance);

#[cfg(test)]
mod tests {
    use super::*;
    use suture_playbook_sdk::test::*;

    /// The shop, with the latency of some instances; the last of them belongs to something else.
    fn slow_shop(shop: TestTarget) -> World {
        let latencies = [("shop-1", 0.1), ("shop-2", 0.9), ("elsewhere", 5.0)];
        let measured = |world: World, (name, value)| world.instance_metric(name, "latency_p95", value);
        latencies.into_iter().fold(World::new().target(shop), measured)
    }

    #[test]
    fn finds_the_slowest_in_the_traffic_and_leaves_it_a_quarter() {
        let shop = slow_shop(target("local:shop", 2));
        let plan = dry_run::<Rebalance>(&shop, &[]).unwrap().must_be(["local:shop weights shop-2=100 -> shop-2=25"]);
        assert_eq!(plan.summary(), "gave shop-2 of local:shop the weight 25");
    }

    #[test]
    fn takes_the_one_it_is_told() {
        let shop = slow_shop(target("local:shop", 2));
        let plan = dry_run::<Rebalance>(&shop, &[("instance", "shop-1"), ("percent", "50")]).unwrap();
        plan.must_be(["local:shop weights shop-1=100 -> shop-1=50"]);
    }

    #[test]
    fn leaves_never_nothing() {
        let shop = slow_shop(target("local:shop", 2).weighing("shop-2", 3));
        dry_run::<Rebalance>(&shop, &[]).unwrap().must_be(["local:shop weights shop-2=3 -> shop-2=1"]);
    }

    #[test]
    fn needs_two_to_compare_somebody_else_and_something_to_take() {
        for (shop, args, why) in [
            (
                World::new().target(target("local:shop", 2)).instance_metric("shop-1", "latency_p95", 0.9),
                &[][..],
                "no instance is slower than the others; name one: instance=...",
            ),
            (
                slow_shop(target("local:shop", 1)),
                &[("instance", "shop-1")],
                "there is nobody else to take the traffic of shop-1",
            ),
            (slow_shop(target("local:shop", 2).weighing("shop-2", 1)), &[], "shop-2 has the weight 1 already"),
        ] {
            let failure = dry_run::<Rebalance>(&shop, args).unwrap_err();
            assert_eq!(failure.to_string(), format!("not applicable: {why}"));
        }
    }
}

//! Gives the slow instance a smaller part of the traffic: milder than taking it out.

use suture_playbook_sdk::prelude::*;

struct Rebalance;

impl Playbook for Rebalance {
    fn describe() -> Description {
        description("rebalance", env!("CARGO_PKG_VERSION"), "Moves traffic away from the slow instance of a target.")
            .with(Param::text("instance", "Which instance; without it, the slowest."))
            .with(Param::whole("percent", "What part of its weight it keeps.").or(25).between(1, 90))
    }

    fn remediate(args: &Args) -> Result<String, Failure> {
        let (drivers, samples) = (incident().drivers, metrics_by_instance());
        let slow = |state: &TargetState| {
            let named = args.text("instance").or_else(|| slowest(&samples, state));
            sick_instance(named, &drivers, state)
        };
        let (target, state) = find_target(
            |state| slow(state).is_some(),
            "no instance is slower than the others; name one: instance=...",
        )?;
        let name = slow(&state).unwrap_or_default();
        let weight = lighter(&state, &name, args.whole("percent")?.unwrap_or(25))?;
        target.weigh(&[(name.clone(), weight)])?;
        Ok(format!("gave {name} of {} the weight {weight}", target.name()))
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
        .filter(|sample| state.serving().any(|i| i.name == sample.instance))
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

    fn target(weights: &[u32]) -> TargetState {
        let instance = |(n, weight): (usize, &u32)| Instance {
            name: format!("shop-{}", n + 1),
            up: true,
            isolated: false,
            weight: *weight,
            generation: 0,
        };
        let instances: Vec<_> = weights.iter().enumerate().map(instance).collect();
        TargetState { replicas: weights.len() as u32, min_replicas: 1, max_replicas: 6, instances, cache_ttl_ms: None }
    }

    fn latency(instance: &str, value: f64) -> InstanceMetrics {
        let metrics = vec![Metric { name: "latency_p95".to_owned(), value }];
        InstanceMetrics { instance: instance.to_owned(), metrics }
    }

    #[test]
    fn finds_the_slowest_in_the_traffic() {
        let samples = [latency("shop-1", 0.1), latency("shop-2", 0.9), latency("elsewhere", 5.0)];
        assert_eq!(slowest(&samples, &target(&[100, 100])), Some("shop-2"));
        assert_eq!(slowest(&samples[..1], &target(&[100, 100])), None);
    }

    #[test]
    fn keeps_a_quarter_but_never_nothing() {
        assert_eq!(lighter(&target(&[100, 100]), "shop-2", 25), Ok(25));
        assert_eq!(lighter(&target(&[100, 3]), "shop-2", 25), Ok(1));
    }

    #[test]
    fn needs_somebody_else_and_something_to_take() {
        assert!(matches!(lighter(&target(&[100]), "shop-1", 25), Err(Failure::NotApplicable(_))));
        assert!(matches!(lighter(&target(&[100, 1]), "shop-2", 25), Err(Failure::NotApplicable(_))));
    }
}

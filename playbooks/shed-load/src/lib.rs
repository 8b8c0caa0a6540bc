//! Takes the sick instance out of the traffic, as a circuit breaker does, and makes up for it first where too few
//! would be left.

use suture_playbook_sdk::prelude::*;

struct ShedLoad;

impl Playbook for ShedLoad {
    fn describe() -> Description {
        let summary = "Takes the sick instance out of the traffic; first adds one where too few would be left.";
        description("shed-load", env!("CARGO_PKG_VERSION"), summary)
            .with(Param::text("instance", "Which instance; without it, the one that is down or stands out."))
            .with(Param::whole("keep", "How many must go on serving.").or(2).between(1, 1000))
    }

    fn remediate(args: &Args) -> Result<String, Failure> {
        let drivers = incident().drivers;
        let sick = |state: &TargetState| sick_instance(args.text("instance"), &drivers, state);
        let (target, state) =
            find_target(|state| sick(state).is_some(), "no instance is down or stands out; name one: instance=...")?;
        let name = sick(&state).unwrap_or_default();
        let make_up = scale_first(&state, &name, args.whole("keep")?.unwrap_or(2))?;
        if let Some(to) = make_up {
            target.scale_to(to)?;
        }
        target.isolate(&name)?;
        Ok(format!("took {name} of {} out of the traffic", target.name()))
    }
}

/// To how many instances to scale before `name` is isolated; `None` where enough are left without it.
fn scale_first(state: &TargetState, name: &str, keep: usize) -> Result<Option<u32>, Failure> {
    if state.instance(name).is_some_and(|i| i.isolated) {
        return Err(not_applicable(format!("{name} is out of the traffic already")));
    }
    let left = state.serving().filter(|i| i.name != name).count();
    match left {
        _ if left >= keep => Ok(None),
        _ if state.replicas < state.max_replicas => Ok(Some(state.replicas + 1)),
        0 => Err(not_applicable(format!("nobody would be left to serve without {name}, and no instance can be added"))),
        // At the platform's ceiling: fewer healthy ones are better than a sick one among them.
        _ => Ok(None),
    }
}

suture_playbook_sdk::export_playbook!(ShedLoad);

#[cfg(test)]
mod tests {
    use super::*;

    fn target(instances: u32, max_replicas: u32) -> TargetState {
        let instance =
            |n| Instance { name: format!("shop-{n}"), up: true, isolated: false, weight: 100, generation: 0 };
        let list = (1..=instances).map(instance).collect();
        TargetState { replicas: instances, min_replicas: 1, max_replicas, instances: list, cache_ttl_ms: None }
    }

    #[test]
    fn adds_one_first_where_too_few_would_be_left() {
        assert_eq!(scale_first(&target(2, 6), "shop-2", 2), Ok(Some(3)));
    }

    #[test]
    fn adds_none_where_enough_are_left() {
        assert_eq!(scale_first(&target(3, 6), "shop-2", 2), Ok(None));
    }

    #[test]
    fn at_the_ceiling_fewer_healthy_ones_will_do_but_not_none() {
        assert_eq!(scale_first(&target(2, 2), "shop-2", 2), Ok(None));
        assert!(matches!(scale_first(&target(1, 1), "shop-1", 2), Err(Failure::NotApplicable(_))));
    }

    #[test]
    fn does_not_isolate_twice() {
        let mut state = target(3, 6);
        state.instances[1].isolated = true;
        assert!(matches!(scale_first(&state, "shop-2", 2), Err(Failure::NotApplicable(_))));
    }
}

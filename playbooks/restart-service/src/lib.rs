//! Restarts what is sick: for instances that are down, leak, or hold a resource they never give back.

use suture_playbook_sdk::prelude::*;

struct RestartService;

impl Playbook for RestartService {
    fn describe() -> Description {
        description(
            "restart-service",
            env!("CARGO_PKG_VERSION"),
            "Restarts the sick instances of a target, one by one.",
        )
        .with(Param::text("instance", "Which instance; without it, those that are down or stand out."))
        .with(Param::flag("all", "Restart every instance, one after the other."))
    }

    fn remediate(args: &Args) -> Result<String, Failure> {
        let drivers = incident().drivers;
        let choose = |state: &TargetState| sick(state, args.text("instance"), args.flag("all"), &drivers);
        let (target, state) = find_target(
            |state| !choose(state).is_empty(),
            "no instance is down or stands out; name one: instance=...",
        )?;
        let names = choose(&state);
        for name in &names {
            target.restart(name)?;
        }
        Ok(format!("restarted {} of {}", names.join(", "), target.name()))
    }
}

/// Which instances to restart, in order. Those that are down already go first: restarting them takes nothing away.
fn sick(state: &TargetState, named: Option<&str>, all: bool, drivers: &[Driver]) -> Vec<String> {
    let (down, up): (Vec<_>, Vec<_>) = state.instances.iter().partition(|i| !i.up);
    let names = |list: Vec<&Instance>| list.into_iter().map(|i| i.name.clone()).collect::<Vec<_>>();
    match named {
        None if all => names(down.into_iter().chain(up).collect()),
        None if !down.is_empty() => names(down),
        _ => sick_instance(named, drivers, state).into_iter().collect(),
    }
}

suture_playbook_sdk::export_playbook!(RestartService);

#[cfg(test)]
mod tests {
    use super::*;

    fn target(up: &[bool]) -> TargetState {
        let instance = |(n, up): (usize, &bool)| Instance {
            name: format!("shop-{}", n + 1),
            up: *up,
            isolated: false,
            weight: 100,
            generation: 0,
        };
        let instances: Vec<_> = up.iter().enumerate().map(instance).collect();
        TargetState { replicas: up.len() as u32, min_replicas: 1, max_replicas: 6, instances, cache_ttl_ms: None }
    }

    #[test]
    fn restarts_the_instance_it_is_told() {
        assert_eq!(sick(&target(&[true, true]), Some("shop-2"), false, &[]), ["shop-2"]);
        assert!(sick(&target(&[true, true]), Some("shop-9"), false, &[]).is_empty());
    }

    #[test]
    fn finds_all_that_are_down_by_itself() {
        assert_eq!(sick(&target(&[false, true, false]), None, false, &[]), ["shop-1", "shop-3"]);
    }

    #[test]
    fn restarts_nothing_when_nothing_is_sick() {
        assert!(sick(&target(&[true, true]), None, false, &[]).is_empty());
    }

    #[test]
    fn all_begins_with_those_that_are_down() {
        assert_eq!(sick(&target(&[true, false]), None, true, &[]), ["shop-2", "shop-1"]);
    }
}

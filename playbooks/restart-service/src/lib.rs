//! Restarts what is sick: for instances that are down, leak, or hold a resource they never give back.

use suture_playbook_sdk::prelude::*;

struct RestartService;

impl Playbook for RestartService {
    fn describe() -> Description {
        description("restart-service", "Restarts the sick instances of a target, one by one.")
            .with(Param::text("instance", "Which instance; without it, those that are down or stand out."))
            .with(Param::flag("all", "Restart every instance, one after the other."))
    }

    fn remediate(args: &Args) -> Outcome {
        let drivers = incident().drivers;
        let (target, _, names) = find_in_targets(|state| sick(state, args, &drivers))?
            .otherwise("no instance is down or stands out; name one: instance=...")?;
        for name in &names {
            target.restart(name)?;
        }
        Ok(format!("restarted {} of {target}", names.join(", ")))
    }
}

/// Which instances to restart, in order. Those that are down already go first: restarting them takes nothing away.
fn sick(state: &TargetState, args: &Args, drivers: &[Driver]) -> Option<Vec<String>> {
    let (down, up): (Vec<_>, Vec<_>) = state.instances.iter().partition(|i| !i.up);
    let chosen = match args.text("instance") {
        None if args.flag("all") => [down, up].concat(),
        None if !down.is_empty() => down,
        named => return sick_instance(named, drivers, state).map(|name| vec![name]),
    };
    (!chosen.is_empty()).then(|| chosen.into_iter().map(|i| i.name.clone()).collect())
}

suture_playbook_sdk::export_playbook!(RestartService);

#[cfg(test)]
mod tests {
    use super::*;
    use suture_playbook_sdk::test::*;

    const NOTHING_SICK: &str = "not applicable: no instance is down or stands out; name one: instance=...";

    fn restart(name: &str) -> String {
        format!("local:shop/{name} restart (generation 0 -> generation 1)")
    }

    #[test]
    fn restarts_the_instance_it_is_told() {
        let shop = World::new().target(target("local:shop", 2));
        let plan = dry_run::<RestartService>(&shop, &[("instance", "shop-2")]).unwrap().must_be([restart("shop-2")]);
        assert_eq!(plan.summary(), "restarted shop-2 of local:shop");
        let unknown = dry_run::<RestartService>(&shop, &[("instance", "shop-9")]).unwrap_err();
        assert_eq!(unknown.to_string(), NOTHING_SICK);
    }

    #[test]
    fn finds_all_that_are_down_by_itself() {
        let shop = World::new().target(target("local:shop", 3).down("shop-1").down("shop-3"));
        dry_run::<RestartService>(&shop, &[]).unwrap().must_be([restart("shop-1"), restart("shop-3")]);
    }

    #[test]
    fn finds_the_one_that_stands_out() {
        let leak = Driver { instance: Some("shop-2".to_owned()), ..driver("memory_bytes", 4e8, 1e8) };
        let shop = World::new().driver(leak).target(target("local:web", 2)).target(target("local:shop", 2));
        dry_run::<RestartService>(&shop, &[]).unwrap().must_be([restart("shop-2")]);
    }

    #[test]
    fn restarts_nothing_when_nothing_is_sick() {
        let shop = World::new().target(target("local:shop", 2));
        assert_eq!(dry_run::<RestartService>(&shop, &[]).unwrap_err().to_string(), NOTHING_SICK);
    }

    #[test]
    fn all_begins_with_those_that_are_down() {
        let shop = World::new().target(target("local:shop", 2).down("shop-2"));
        dry_run::<RestartService>(&shop, &[("all", "true")]).unwrap().must_be([restart("shop-2"), restart("shop-1")]);
    }
}

//! Takes the sick instance out of the traffic, as a circuit breaker does, and makes up for it first where too few
//! would be left.

use suture_playbook_sdk::prelude::*;

struct ShedLoad;

impl Playbook for ShedLoad {
    fn describe() -> Description {
        description(
            "shed-load",
            "Takes the sick instance out of the traffic; first adds one where too few would be left.",
        )
        .with(Param::text("instance", "Which instance; without it, the one that is down or stands out."))
        .with(Param::whole("keep", "How many must go on serving.").or(2).between(1, 1000))
    }

    fn remediate(args: &Args) -> Outcome {
        let drivers = incident().drivers;
        let (target, state, name) = find_in_targets(|state| sick_instance(args.text("instance"), &drivers, state))?
            .otherwise("no instance is down or stands out; name one: instance=...")?;
        if state.instance(&name).is_some_and(|i| i.isolated) {
            return Err(not_applicable(format!("{name} is out of the traffic already")));
        }
        let left = state.serving().filter(|i| i.name != name).count();
        // At the platform's ceiling fewer healthy ones will do: better than a sick one among them.
        if left < args.get("keep")? && state.can_grow() {
            target.scale_to(state.replicas + 1)?;
        } else if left == 0 {
            return Err(not_applicable(format!(
                "nobody would be left to serve without {name}, and no instance can be added"
            )));
        }
        target.isolate(&name)?;
        Ok(format!("took {name} of {target} out of the traffic"))
    }
}

suture_playbook_sdk::export_playbook!(ShedLoad);

#[cfg(test)]
mod tests {
    use super::*;
    use suture_playbook_sdk::test::*;

    const ISOLATED: &str = "local:shop/shop-2 in traffic -> isolated";

    fn shop(instances: u32, most: u32) -> World {
        let slow = Driver { instance: Some("shop-2".to_owned()), ..driver("latency_p95", 0.9, 0.1) };
        World::new().driver(slow).target(target("local:shop", instances).between(1, most))
    }

    #[test]
    fn adds_one_first_where_too_few_would_be_left() {
        let plan = dry_run::<ShedLoad>(&shop(2, 6), &[]).unwrap().must_be(["local:shop workers 2 -> 3", ISOLATED]);
        assert_eq!(plan.summary(), "took shop-2 of local:shop out of the traffic");
    }

    #[test]
    fn adds_none_where_enough_are_left() {
        dry_run::<ShedLoad>(&shop(3, 6), &[]).unwrap().must_be([ISOLATED]);
        dry_run::<ShedLoad>(&shop(3, 6), &[("keep", "3")]).unwrap().must_be(["local:shop workers 3 -> 4", ISOLATED]);
    }

    #[test]
    fn at_the_ceiling_fewer_healthy_ones_will_do_but_not_none() {
        dry_run::<ShedLoad>(&shop(2, 2), &[]).unwrap().must_be([ISOLATED]);
        let failure = dry_run::<ShedLoad>(&shop(1, 1), &[("instance", "shop-1")]).unwrap_err();
        let why = "not applicable: nobody would be left to serve without shop-1, and no instance can be added";
        assert_eq!(failure.to_string(), why);
    }

    #[test]
    fn does_not_isolate_twice() {
        let shop = World::new().target(target("local:shop", 3).isolated("shop-2"));
        let failure = dry_run::<ShedLoad>(&shop, &[("instance", "shop-2")]).unwrap_err();
        assert_eq!(failure.to_string(), "not applicable: shop-2 is out of the traffic already");
    }

    #[test]
    fn without_a_sick_one_there_is_nothing_to_take_out() {
        let well = World::new().target(target("local:shop", 3));
        assert!(matches!(dry_run::<ShedLoad>(&well, &[]), Err(Failure::NotApplicable(_))));
        dry_run::<ShedLoad>(&World::new().target(target("local:shop", 3).down("shop-2")), &[])
            .unwrap()
            .must_be([ISOLATED]);
    }
}

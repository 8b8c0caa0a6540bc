//! Adds instances to a target that has too much to do. Change it into what your service needs.

use suture_playbook_sdk::prelude::*;

struct AddInstances;

impl Playbook for AddInstances {
    fn describe() -> Description {
        description(env!("CARGO_PKG_NAME"), "Adds instances to a target that has too much to do.")
            .with(Param::whole("by", "How many instances to add.").or(1).between(1, 20))
    }

    fn remediate(args: &Args) -> Outcome {
        let (target, now) =
            find_target(TargetState::can_grow)?.otherwise("every target has as many instances as it may")?;
        let to = now.max_replicas.min(now.replicas + args.get::<u32>("by")?);
        target.scale_to(to)?;
        Ok(format!("scaled {target} from {} to {to} instances", now.replicas))
    }
}

suture_playbook_sdk::export_playbook!(AddInstances);

#[cfg(test)]
mod tests {
    use super::*;
    use suture_playbook_sdk::test::*;

    fn shop(instances: u32) -> World {
        World::new().driver(driver("latency_p95", 0.9, 0.1)).target(target("local:shop", instances).between(1, 6))
    }

    #[test]
    fn adds_one_unless_told_otherwise() {
        dry_run::<AddInstances>(&shop(2), &[]).unwrap().must_be(["local:shop workers 2 -> 3"]);
        dry_run::<AddInstances>(&shop(2), &[("by", "3")]).unwrap().must_be(["local:shop workers 2 -> 5"]);
    }

    #[test]
    fn never_goes_past_what_the_platform_allows() {
        dry_run::<AddInstances>(&shop(5), &[("by", "3")]).unwrap().must_be(["local:shop workers 5 -> 6"]);
        let failure = dry_run::<AddInstances>(&shop(6), &[]).unwrap_err();
        assert_eq!(failure.to_string(), "not applicable: every target has as many instances as it may");
    }
}

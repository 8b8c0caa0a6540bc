//! Adds instances: for a service that is healthy but has too much to do.

use suture_playbook_sdk::prelude::*;

struct ScaleOut;

impl Playbook for ScaleOut {
    fn describe() -> Description {
        description("scale-out", "Adds instances to a target that has too much to do.")
            .with(Param::whole("by", "How many instances to add.").or(2).between(1, 20))
            .with(Param::whole("to", "How many instances to have; wins over `by`.").between(1, 1000))
    }

    fn remediate(args: &Args) -> Outcome {
        let (target, now) =
            find_target(TargetState::can_grow)?.otherwise("every target has as many instances as it may")?;
        let from = now.replicas;
        let wanted = args.given("to")?.unwrap_or(from.saturating_add(args.get("by")?));
        if wanted <= from {
            return Err(wrong_argument(format!(
                "there are {from} instances already, which is not fewer than {wanted}"
            )));
        }
        let to = wanted.min(now.max_replicas);
        target.scale_to(to)?;
        Ok(format!("scaled {target} from {from} to {to} instances"))
    }
}

suture_playbook_sdk::export_playbook!(ScaleOut);

#[cfg(test)]
mod tests {
    use super::*;
    use suture_playbook_sdk::test::*;

    fn shop() -> World {
        World::new().target(target("local:shop", 2).between(1, 6))
    }

    #[test]
    fn adds_two_unless_told_otherwise() {
        let plan = dry_run::<ScaleOut>(&shop(), &[]).unwrap().must_be(["local:shop workers 2 -> 4"]);
        assert_eq!(plan.summary(), "scaled local:shop from 2 to 4 instances");
        dry_run::<ScaleOut>(&shop(), &[("by", "3")]).unwrap().must_be(["local:shop workers 2 -> 5"]);
        dry_run::<ScaleOut>(&shop(), &[("by", "3"), ("to", "4")]).unwrap().must_be(["local:shop workers 2 -> 4"]);
    }

    #[test]
    fn stops_at_the_platforms_ceiling() {
        dry_run::<ScaleOut>(&shop(), &[("by", "20")]).unwrap().must_be(["local:shop workers 2 -> 6"]);
        dry_run::<ScaleOut>(&shop(), &[("to", "100")]).unwrap().must_be(["local:shop workers 2 -> 6"]);
    }

    #[test]
    fn does_not_scale_in() {
        let failure = dry_run::<ScaleOut>(&shop(), &[("to", "2")]).unwrap_err();
        assert_eq!(failure.to_string(), "wrong argument: there are 2 instances already, which is not fewer than 2");
    }

    #[test]
    fn takes_the_first_target_that_may_grow() {
        let full = World::new().target(target("local:web", 3).between(1, 3)).target(target("local:shop", 2));
        dry_run::<ScaleOut>(&full, &[]).unwrap().must_be(["local:shop workers 2 -> 4"]);
        let all_full = World::new().target(target("local:web", 3).between(1, 3));
        let failure = dry_run::<ScaleOut>(&all_full, &[]).unwrap_err();
        assert_eq!(failure.to_string(), "not applicable: every target has as many instances as it may");
    }

    #[test]
    fn hands_on_a_refusal() {
        let failure = dry_run::<ScaleOut>(&shop().deny("scale"), &[]).unwrap_err();
        assert!(matches!(failure, Failure::Host(HostError::Denied(_))), "{failure}");
    }
}

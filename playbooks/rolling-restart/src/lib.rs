//! Has the platform replace every instance, a few at a time: for what is sick everywhere and goes away with a fresh process.

use suture_playbook_sdk::prelude::*;

struct RollingRestart;

impl Playbook for RollingRestart {
    fn describe() -> Description {
        let summary = "Has the platform replace all instances of a target, a few at a time.";
        description("rolling-restart", summary)
    }

    fn remediate(_: &Args) -> Outcome {
        let target = target_that(Target::rolls_out)?.otherwise(
            "no target has a platform that replaces its instances a few at a time; restart-service restarts them one by \
             one",
        )?;
        target.roll_out()?;
        Ok(format!("rolled {target} out anew"))
    }
}

suture_playbook_sdk::export_playbook!(RollingRestart);

#[cfg(test)]
mod tests {
    use super::*;
    use suture_playbook_sdk::test::*;

    #[test]
    fn rolls_out_the_first_target_that_can_be() {
        let web = target("k8s:prod/deployment/web", 3).rolled_out_at(1_767_225_600);
        let world =
            World::new().target(target("redis:cache", 1)).target(web).target(target("asg:batch", 2).rolls_out());
        let line = "k8s:prod/deployment/web rollout (the last one since 2026-01-01T00:00:00.000Z)";
        let plan = dry_run::<RollingRestart>(&world, &[]).unwrap().must_be([line]);
        assert_eq!(plan.summary(), "rolled k8s:prod/deployment/web out anew");
    }

    #[test]
    fn a_platform_that_cannot_is_not_asked() {
        let shop = World::new().target(target("local:shop", 3)).deny("restart");
        let failure = dry_run::<RollingRestart>(&shop, &[]).unwrap_err();
        let why = "not applicable: no target has a platform that replaces its instances a few at a time; restart-service \
                   restarts them one by one";
        assert_eq!(failure.to_string(), why);
        assert!(!shop.calls().contains(&"rollout.roll-out"));
    }

    #[test]
    fn hands_on_a_refusal() {
        let web = World::new().target(target("asg:web", 3).rolls_out()).deny("restart");
        let failure = dry_run::<RollingRestart>(&web, &[]).unwrap_err();
        assert!(matches!(failure, Failure::Host(HostError::Denied(_))), "{failure}");
    }
}

//! Gives one setting another value: for what is sick because of how it is set up, a memory limit, an ejection threshold, a
//! process that is suspended.

use suture_playbook_sdk::prelude::*;

/// Settings that are named to somebody who asked for one that is not there.
const NAMED: usize = 20;

struct Tune;

impl Playbook for Tune {
    fn describe() -> Description {
        description("tune", "Gives one setting of a target another value.")
            .with(Param::text("setting", "Which setting, as the target names it."))
            .with(Param::text("value", "What it is set to; nothing to unset it, where the platform lets it be unset."))
    }

    fn remediate(args: &Args) -> Outcome {
        let (setting, value): (String, String) = (args.get("setting")?, args.get("value")?);
        let mut known = Vec::new();
        for target in all_targets() {
            let settings = target.settings()?;
            let Some(now) = settings.get(&setting) else {
                known.extend(settings.into_keys());
                continue;
            };
            if *now == value {
                return Err(not_applicable(format!("{setting} of {target} is {} already", in_words(now))));
            }
            target.configure(&setting, &value)?;
            return Ok(format!("set {setting} of {target} from {} to {}", in_words(now), in_words(&value)));
        }
        known.truncate(NAMED);
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Err(not_applicable(format!("no target has a setting {setting}; there are: {known}")))
    }
}

fn in_words(value: &str) -> &str {
    if value.is_empty() { "unset" } else { value }
}

suture_playbook_sdk::export_playbook!(Tune);

#[cfg(test)]
mod tests {
    use super::*;
    use suture_playbook_sdk::test::*;

    fn cache() -> World {
        let route = target("k8s:prod/destinationrule/shop", 1).setting("outlier-detection.interval", "");
        let redis = target("redis:cache", 1).setting("maxmemory", "0").setting("maxmemory-policy", "noeviction");
        World::new().target(target("local:shop", 2)).target(route).target(redis)
    }

    fn why(given: &[(&str, &str)]) -> String {
        dry_run::<Tune>(&cache(), given).unwrap_err().to_string()
    }

    #[test]
    fn sets_the_one_that_it_is_told_on_the_target_that_has_it() {
        let plan = dry_run::<Tune>(&cache(), &[("setting", "maxmemory-policy"), ("value", "allkeys-lru")]).unwrap();
        let plan = plan.must_be(["redis:cache maxmemory-policy noeviction -> allkeys-lru"]);
        assert_eq!(plan.summary(), "set maxmemory-policy of redis:cache from noeviction to allkeys-lru");
    }

    #[test]
    fn what_is_unset_is_said_to_be() {
        let given = [("setting", "outlier-detection.interval"), ("value", "10s")];
        let plan = dry_run::<Tune>(&cache(), &given).unwrap();
        plan.must_be(["k8s:prod/destinationrule/shop outlier-detection.interval unset -> 10s"]);
        let says = why(&[("setting", "outlier-detection.interval"), ("value", "")]);
        let already = "outlier-detection.interval of k8s:prod/destinationrule/shop is unset already";
        assert_eq!(says, format!("not applicable: {already}"));
    }

    #[test]
    fn sets_nothing_that_is_so_already() {
        let says = why(&[("setting", "maxmemory"), ("value", "0")]);
        assert_eq!(says, "not applicable: maxmemory of redis:cache is 0 already");
    }

    #[test]
    fn a_setting_that_nobody_has_is_answered_with_those_that_there_are() {
        let says = why(&[("setting", "maxmemori"), ("value", "1")]);
        let there_are = "outlier-detection.interval, maxmemory, maxmemory-policy";
        assert_eq!(says, format!("not applicable: no target has a setting maxmemori; there are: {there_are}"));
        let none = dry_run::<Tune>(&World::new(), &[("setting", "a"), ("value", "b")]).unwrap_err();
        assert_eq!(none.to_string(), "not applicable: no target has a setting a; there are: none");
    }

    #[test]
    fn both_have_to_be_said() {
        assert_eq!(why(&[("value", "1")]), "wrong argument: setting is not given and has no default");
        assert_eq!(why(&[("setting", "maxmemory")]), "wrong argument: value is not given and has no default");
    }

    #[test]
    fn hands_on_a_refusal() {
        let given = [("setting", "maxmemory"), ("value", "1")];
        let failure = dry_run::<Tune>(&cache().deny("configure"), &given).unwrap_err();
        assert!(matches!(failure, Failure::Host(HostError::Denied(_))), "{failure}");
    }
}

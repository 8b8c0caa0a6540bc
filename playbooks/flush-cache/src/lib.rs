//! Throws away stored entries by the beginning of their keys: for a cache that serves what is wrong. What it threw away
//! cannot be brought back, so two people have to approve.

use suture_playbook_sdk::prelude::*;

struct FlushCache;

impl Playbook for FlushCache {
    fn describe() -> Description {
        description("flush-cache", "Throws away the stored entries whose keys begin with a prefix.")
            .with(Param::text("prefix", "What their keys begin with, as it stands, without wildcards."))
    }

    fn remediate(args: &Args) -> Outcome {
        let prefix: String = args.get("prefix")?;
        let plain = prefix.trim_end_matches('*');
        if plain.is_empty() {
            return Err(wrong_argument("prefix is empty, which would be every entry: say what the keys begin with"));
        }
        // Who writes `shop:*` means a wildcard, and would be asked to approve something that throws away nothing.
        if plain != prefix {
            return Err(wrong_argument(format!("prefix is taken as it stands: write {plain}")));
        }
        let target = target_that(Target::stores_entries)?.otherwise("no target stores entries under keys")?;
        target.flush(&prefix)?;
        Ok(format!("threw away the entries {prefix}* of {target}"))
    }
}

suture_playbook_sdk::export_playbook!(FlushCache);

#[cfg(test)]
mod tests {
    use super::*;
    use suture_playbook_sdk::test::*;

    fn cache() -> World {
        World::new().target(target("local:shop", 2)).target(target("redis:cache", 1).stores_entries())
    }

    fn why(world: &World, given: &[(&str, &str)]) -> String {
        dry_run::<FlushCache>(world, given).unwrap_err().to_string()
    }

    #[test]
    fn throws_away_what_begins_so() {
        let plan = dry_run::<FlushCache>(&cache(), &[("prefix", "shop:v1:")]).unwrap();
        let plan = plan.must_be(["redis:cache entries shop:v1:* kept -> thrown away"]);
        assert_eq!(plan.summary(), "threw away the entries shop:v1:* of redis:cache");
    }

    #[test]
    fn never_everything_and_never_by_guess() {
        assert_eq!(why(&cache(), &[]), "wrong argument: prefix is not given and has no default");
        let says = "wrong argument: prefix is empty, which would be every entry: say what the keys begin with";
        assert_eq!(why(&cache(), &[("prefix", "")]), says);
        assert_eq!(why(&cache(), &[("prefix", "*")]), says);
        let says = "wrong argument: prefix is taken as it stands: write shop:";
        assert_eq!(why(&cache(), &[("prefix", "shop:*")]), says);
    }

    #[test]
    fn needs_a_target_that_stores_entries() {
        let shop = World::new().target(target("local:shop", 2));
        assert_eq!(why(&shop, &[("prefix", "a")]), "not applicable: no target stores entries under keys");
    }

    #[test]
    fn hands_on_a_refusal() {
        let failure = dry_run::<FlushCache>(&cache().deny("flush"), &[("prefix", "a")]).unwrap_err();
        assert!(matches!(failure, Failure::Host(HostError::Denied(_))), "{failure}");
    }
}

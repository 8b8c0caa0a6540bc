//! Lets cached answers live longer: trades freshness for less work behind the cache.

use suture_playbook_sdk::prelude::*;

struct CacheAggressively;

impl Playbook for CacheAggressively {
    fn describe() -> Description {
        let summary = "Lets cached answers live longer, so that less work reaches what is behind the cache.";
        description("cache-aggressively", summary)
            .with(Param::whole("factor", "How many times longer.").or(30).between(2, 1000))
            .with(Param::milliseconds("max-ms", "Never longer than this.").or(600_000).between(1, 86_400_000))
    }

    fn remediate(args: &Args) -> Outcome {
        let (target, state) = find_target(TargetState::has_cache)?.otherwise("no target has a cache to steer")?;
        let now = state.cache_ttl_ms.unwrap_or_default();
        // A cache that is off (0 ms) is taken as one of a second, or no factor would ever turn it on.
        let ttl = now.max(1_000).saturating_mul(args.get("factor")?).min(args.get("max-ms")?);
        if ttl <= now {
            return Err(not_applicable(format!("answers are cached for {now} ms already")));
        }
        target.cache_for_ms(ttl)?;
        Ok(format!("answers of {target} are cached for {ttl} ms instead of {now} ms"))
    }
}

suture_playbook_sdk::export_playbook!(CacheAggressively);

#[cfg(test)]
mod tests {
    use super::*;
    use suture_playbook_sdk::test::*;

    fn cached_for(ttl_ms: u64) -> World {
        World::new().target(target("local:web", 1)).target(target("local:shop", 2).cached_for_ms(ttl_ms))
    }

    #[test]
    fn thirty_times_longer_within_the_bound() {
        for (now, line) in [
            (2_000, "local:shop cache lifetime 2.0 s -> 1 min 00 s"),
            (30_000, "local:shop cache lifetime 30.0 s -> 10 min 00 s"),
            (0, "local:shop cache lifetime 0 ms -> 30.0 s"),
        ] {
            dry_run::<CacheAggressively>(&cached_for(now), &[]).unwrap().must_be([line]);
        }
    }

    #[test]
    fn never_shorter() {
        let failure = dry_run::<CacheAggressively>(&cached_for(600_000), &[]).unwrap_err();
        assert_eq!(failure.to_string(), "not applicable: answers are cached for 600000 ms already");
    }

    #[test]
    fn needs_a_cache() {
        let without = World::new().target(target("local:shop", 2));
        let failure = dry_run::<CacheAggressively>(&without, &[]).unwrap_err();
        assert_eq!(failure.to_string(), "not applicable: no target has a cache to steer");
    }
}

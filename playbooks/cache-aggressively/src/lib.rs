//! Lets cached answers live longer: trades freshness for less work behind the cache.

use suture_playbook_sdk::prelude::*;

struct CacheAggressively;

impl Playbook for CacheAggressively {
    fn describe() -> Description {
        let summary = "Lets cached answers live longer, so that less work reaches what is behind the cache.";
        description("cache-aggressively", env!("CARGO_PKG_VERSION"), summary)
            .with(Param::whole("factor", "How many times longer.").or(30).between(2, 1000))
            .with(Param::milliseconds("max-ms", "Never longer than this.").or(600_000).between(1, 86_400_000))
    }

    fn remediate(args: &Args) -> Result<String, Failure> {
        let (target, state) = find_target(|state| state.cache_ttl_ms.is_some(), "no target has a cache to steer")?;
        let now = state.cache_ttl_ms.unwrap_or_default();
        let ttl = longer(now, args.whole("factor")?.unwrap_or(30), args.whole("max-ms")?.unwrap_or(600_000))?;
        target.cache_for_ms(ttl)?;
        Ok(format!("answers of {} are cached for {ttl} ms instead of {now} ms", target.name()))
    }
}

/// The new lifetime. A cache that is off (0 ms) is taken as one of a second, or no factor would ever turn it on.
fn longer(now: u64, factor: u64, max: u64) -> Result<u64, Failure> {
    let ttl = now.max(1_000).saturating_mul(factor).min(max);
    if ttl <= now {
        return Err(not_applicable(format!("answers are cached for {now} ms already")));
    }
    Ok(ttl)
}

suture_playbook_sdk::export_playbook!(CacheAggressively);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_times_longer_within_the_bound() {
        assert_eq!(longer(2_000, 30, 600_000), Ok(60_000));
        assert_eq!(longer(30_000, 30, 600_000), Ok(600_000));
        assert_eq!(longer(0, 30, 600_000), Ok(30_000));
    }

    #[test]
    fn never_shorter() {
        assert!(matches!(longer(600_000, 30, 600_000), Err(Failure::NotApplicable(_))));
    }
}

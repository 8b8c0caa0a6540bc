//! Adds instances: for a service that is healthy but has too much to do.

use suture_playbook_sdk::prelude::*;

struct ScaleOut;

impl Playbook for ScaleOut {
    fn describe() -> Description {
        description("scale-out", env!("CARGO_PKG_VERSION"), "Adds instances to a target that has too much to do.")
            .with(Param::whole("by", "How many instances to add.").or(2).between(1, 20))
            .with(Param::whole("to", "How many instances to have; wins over `by`.").between(1, 1000))
    }

    fn remediate(args: &Args) -> Result<String, Failure> {
        let (target, state) =
            find_target(|state| state.replicas < state.max_replicas, "every target has as many instances as it may")?;
        let to = wanted(&state, args.whole("by")?, args.whole("to")?)?;
        target.scale_to(to)?;
        Ok(format!("scaled {} from {} to {to} instances", target.name(), state.replicas))
    }
}

/// How many instances to have: never more than the platform allows, and never fewer than now.
fn wanted(state: &TargetState, by: Option<u32>, to: Option<u32>) -> Result<u32, Failure> {
    let asked = to.unwrap_or_else(|| state.replicas.saturating_add(by.unwrap_or(2)));
    if asked <= state.replicas {
        let now = state.replicas;
        return Err(wrong_argument(format!("there are {now} instances already, which is not fewer than {asked}")));
    }
    Ok(asked.min(state.max_replicas))
}

suture_playbook_sdk::export_playbook!(ScaleOut);

#[cfg(test)]
mod tests {
    use super::*;

    fn two_of_six() -> TargetState {
        TargetState { replicas: 2, min_replicas: 1, max_replicas: 6, instances: Vec::new(), cache_ttl_ms: None }
    }

    #[test]
    fn adds_two_unless_told_otherwise() {
        assert_eq!(wanted(&two_of_six(), None, None), Ok(4));
        assert_eq!(wanted(&two_of_six(), Some(3), None), Ok(5));
        assert_eq!(wanted(&two_of_six(), Some(3), Some(4)), Ok(4));
    }

    #[test]
    fn stops_at_the_platforms_ceiling() {
        assert_eq!(wanted(&two_of_six(), Some(20), None), Ok(6));
        assert_eq!(wanted(&two_of_six(), None, Some(100)), Ok(6));
    }

    #[test]
    fn does_not_scale_in() {
        assert!(matches!(wanted(&two_of_six(), None, Some(2)), Err(Failure::InvalidArgument(_))));
    }
}

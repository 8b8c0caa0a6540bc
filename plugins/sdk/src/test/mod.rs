//! The test world: an incident, targets and a host that answers as Suture's does, without Wasm and without a daemon.
//!
//! Build a [`World`], run the playbook against it with [`dry_run`], and say what the [`Plan`] must be, in the lines that
//! approvers see; or ask a rule with [`propose`]. Not there on `wasm32`.
//!
//! ```
//! # use suture_playbook_sdk::prelude::*;
//! # struct ScaleOut;
//! # impl Playbook for ScaleOut {
//! #     fn describe() -> Description {
//! #         description("scale-out", "Adds.").with(Param::whole("by", "How many.").or(2).between(1, 20))
//! #     }
//! #     fn remediate(args: &Args) -> Outcome {
//! #         let (target, now) = find_target(TargetState::can_grow)?.otherwise("full")?;
//! #         target.scale_to(now.replicas + args.get::<u32>("by")?)?;
//! #         Ok("scaled".to_owned())
//! #     }
//! # }
//! use suture_playbook_sdk::test::*;
//!
//! let shop = World::new()
//!     .driver(driver("latency_p95", 0.9, 0.1))
//!     .metric("pool_waiters", 80.0)
//!     .target(target("local:shop", 2).between(1, 6));
//!
//! dry_run::<ScaleOut>(&shop, &[]).unwrap().must_be(["local:shop workers 2 -> 4"]);
//! dry_run::<ScaleOut>(&shop, &[("by", "1")]).unwrap().must_be(["local:shop workers 2 -> 3"]);
//!
//! let refused = dry_run::<ScaleOut>(&shop.deny("scale"), &[]).unwrap_err();
//! assert!(matches!(refused, Failure::Host(HostError::Denied(_))));
//! ```
//!
//! What it has in common with the host: a playbook sees its own changes, an action that changes nothing is no step, an
//! instance that is not there is a conflict, arguments are completed by defaults and held to bounds, 32 actions and 200
//! calls are the most. What it does not know are grants with ranges, rates and guardrails: those are the operator's.

mod action;
mod arguments;
pub(crate) mod host;
mod plan;
#[cfg(test)]
mod tests;
mod words;
mod world;

pub use plan::Plan;
pub use world::{TestTarget, World, driver, target};

use crate::{Args, Failure, Playbook, Proposal, Rule, Verifies, wrong_argument};
use host::{Ended, run};

/// Runs a playbook as Suture's dry run does. `given` are arguments as text; defaults are filled in and bounds are held.
///
/// It runs twice, as Suture runs it twice (the plan, then the real thing), and has to ask for the same both times.
///
/// # Errors
/// The playbook's own failure; `InvalidArgument` for an argument that its description does not allow; and the first
/// denial or used-up budget, also when the playbook went on after it, because then there is no plan.
///
/// # Panics
/// When the description could not be loaded, when the two runs differ, and after 200 calls to the host.
pub fn dry_run<P: Playbook>(world: &World, given: &[(&str, &str)]) -> Result<Plan, Failure> {
    let args = arguments::<P>(given)?;
    let once = || run(world, true, || P::remediate(&args));
    let (outcome, first) = once();
    let (again, second) = once();
    let asked = |outcome: &Result<String, Failure>, ended: &Ended| {
        let mut lines = ended.steps.clone();
        lines.push(match outcome {
            Ok(summary) => summary.clone(),
            Err(failure) => failure.to_string(),
        });
        lines
    };
    let (first_asked, second_asked) = (asked(&outcome, &first), asked(&again, &second));
    assert!(
        first_asked == second_asked && first.notes == second.notes,
        "the playbook ran twice in the same world and did not do the same: it decides by something besides its \
         arguments and the host\n{}",
        plan::diff(&first_asked, &second_asked),
    );
    match (outcome, first.refused) {
        (_, Some(refused)) => Err(Failure::Host(refused)),
        (Err(failure), None) => Err(failure),
        (Ok(summary), None) => Ok(Plan::new(first.steps, summary, first.notes)),
    }
}

/// Asks a playbook for its word on the cure, as Suture does after a run that seems to have helped. It can only look.
///
/// # Errors
/// The playbook's reason for a doubt; or an argument that its description does not allow.
///
/// # Panics
/// When the description could not be loaded, and after 200 calls to the host.
pub fn verify<P: Verifies>(world: &World, given: &[(&str, &str)]) -> Result<(), String> {
    let args = arguments::<P>(given).map_err(|failure| failure.to_string())?;
    run(world, false, || P::verify(&args)).0
}

/// Has a playbook check the operator's settings, as Suture does at load: bounds first, then its own `validate`.
///
/// # Errors
/// What is wrong with them.
///
/// # Panics
/// When the description could not be loaded.
pub fn validate<P: Playbook>(settings: &[(&str, &str)]) -> Result<(), String> {
    let description = P::describe();
    arguments::must_be_loadable(&description);
    let args = arguments::complete(&description, settings)?;
    P::validate(&args)
}

/// Asks a rule what to try. It can only look.
///
/// # Panics
/// When the description could not be loaded, when the proposals are none that Suture would take, and after 200 calls to
/// the host.
#[must_use]
pub fn propose<R: Rule>(world: &World) -> Vec<Proposal> {
    let description = R::describe();
    arguments::must_be_a_name(&description.name);
    let proposals = run(world, false, R::propose).0;
    arguments::must_be_proposals(&proposals);
    proposals
}

fn arguments<P: Playbook>(given: &[(&str, &str)]) -> Result<Args, Failure> {
    let description = P::describe();
    arguments::must_be_loadable(&description);
    arguments::complete(&description, given).map_err(wrong_argument)
}

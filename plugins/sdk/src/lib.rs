//! Write playbooks and rules for Suture.
//!
//! A playbook remedies an incident, a rule proposes which playbook to try. Both see the world through this crate alone:
//! no files, no network, no clock. On `wasm32` its functions call the host; anywhere else they call a test world, so
//! `cargo test` in a playbook's own folder needs no Wasm:
//!
//! ```
//! use suture_playbook_sdk::prelude::*;
//!
//! struct OneMore;
//!
//! impl Playbook for OneMore {
//!     fn describe() -> Description {
//!         description("one-more", "Adds one instance.")
//!     }
//!
//!     fn remediate(_: &Args) -> Outcome {
//!         let (target, now) = find_target(TargetState::can_grow)?.otherwise("no target may have another instance")?;
//!         target.scale_to(now.replicas + 1)?;
//!         Ok(format!("{target} has one instance more than {}", now.replicas))
//!     }
//! }
//!
//! suture_playbook_sdk::export_playbook!(OneMore);
//!
//! // And in a test:
//! use suture_playbook_sdk::test::*;
//!
//! let shop = World::new().target(target("local:shop", 2).between(1, 3));
//! dry_run::<OneMore>(&shop, &[]).unwrap().must_be(["local:shop workers 2 -> 3"]);
//!
//! let full = World::new().target(target("local:shop", 3).between(1, 3));
//! let failure = dry_run::<OneMore>(&full, &[]).unwrap_err();
//! assert_eq!(failure.to_string(), "not applicable: no target may have another instance");
//! ```
//!
//! A playbook runs twice: in a dry run, whose actions become the plan that people approve, and in the real run, where
//! the host refuses whatever is not the next action of that plan. So decide by the arguments and by what the host
//! says, and by nothing else.
//!
//! A component imports only what it uses: one that never calls [`Target::scale_to`] cannot scale.
//!
//! | to | there is |
//! |---|---|
//! | say what a playbook is and what it can be told | [`description`], [`Param`] |
//! | read arguments | [`Args`] |
//! | see what is wrong | [`incident`], [`metric`], [`metrics`], [`metrics_by_instance`], [`sick_instance`] |
//! | find what to act on | [`find_target`], [`find_in_targets`], [`target_that`], [`only_target`], [`all_targets`] |
//! | look and act | the methods of [`Target`] and [`TargetState`] |
//! | give up | [`not_applicable`], [`wrong_argument`], [`failed`], [`Otherwise`] |
//! | keep notes for the next run | [`note`], [`remember`], [`forget`] |
//! | leave a word for whoever reads the run | [`debug`], [`info`], [`warn`] |
//! | have a word in the verdict on the cure | [`Verifies`] |
//! | test all that | [`mod@test`] |

mod args;
mod describe;
mod error;
mod look;
mod note;
mod playbook;
mod rule;
mod target;
#[cfg(not(target_arch = "wasm32"))]
pub mod test;
mod types;
#[doc(hidden)]
#[cfg(target_arch = "wasm32")]
pub mod wasm;

// Who answers: the host, or the test world of this thread. Both have the same functions.
#[cfg(not(target_arch = "wasm32"))]
use test::host;
#[cfg(target_arch = "wasm32")]
use wasm::host;

pub use args::Args;
pub use describe::{Description, Param, ParamKind, description};
pub use error::{Denial, Failure, HostError, Otherwise, failed, not_applicable, wrong_argument};
pub use look::{
    all_targets, find_in_targets, find_target, incident, metric, metrics, metrics_by_instance, only_target,
    sick_instance, target_that,
};
pub use note::{debug, forget, info, note, remember, warn};
pub use playbook::{Outcome, Playbook, Verifies};
pub use rule::{Proposal, Rule, RuleDescription, proposal, rule_description};
pub use target::Target;
pub use types::{Driver, Incident, Instance, InstanceMetrics, Metric, Severity, TargetState, Trend};

/// What nearly every playbook and rule needs.
pub mod prelude {
    pub use crate::{
        Args, Denial, Description, Driver, Failure, HostError, Incident, Instance, InstanceMetrics, Metric, Otherwise,
        Outcome, Param, Playbook, Proposal, Rule, RuleDescription, Severity, Target, TargetState, Trend, Verifies,
        all_targets, debug, description, failed, find_in_targets, find_target, forget, incident, info, metric, metrics,
        metrics_by_instance, not_applicable, note, only_target, proposal, remember, rule_description, sick_instance,
        target_that, warn, wrong_argument,
    };
}

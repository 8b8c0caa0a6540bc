//! Write playbooks and rules for Suture.
//!
//! ```no_run
//! use suture_playbook_sdk::prelude::*;
//!
//! struct OneMore;
//!
//! impl Playbook for OneMore {
//!     fn describe() -> Description {
//!         description("one-more", "0.1.0", "Adds one instance.")
//!     }
//!
//!     fn remediate(_: &Args) -> Result<String, Failure> {
//!         let target = only_target()?;
//!         let to = target.state()?.replicas + 1;
//!         target.scale_to(to)?;
//!         Ok(format!("{} has {to} instances", target.name()))
//!     }
//! }
//!
//! suture_playbook_sdk::export_playbook!(OneMore);
//! ```
//!
//! A playbook runs twice: in a dry run, whose actions become the plan that people approve, and in the real run, where
//! the host refuses whatever is not the next action of that plan. So decide by the arguments and by what the host
//! says, keep the deciding in functions without host calls, and test those with `cargo test`.
//!
//! A component imports only what it uses: one that never calls [`TargetExt::scale_to`] cannot scale.

mod args;
mod describe;
mod playbook;
mod rule;
mod target;

#[doc(hidden)]
#[allow(missing_docs, clippy::all, reason = "generated from wit/")]
pub mod bindings {
    /// The world of playbooks.
    pub mod playbook {
        wit_bindgen::generate!({
            path: "../../wit/next",
            world: "suture:plugin/playbook",
            pub_export_macro: true,
            export_macro_name: "export_playbook_world",
            default_bindings_module: "suture_playbook_sdk::bindings::playbook",
            additional_derives: [PartialEq],
            generate_all,
        });
    }
    /// The world of rules; it shares the types of the other.
    pub mod rule {
        wit_bindgen::generate!({
            path: "../../wit/next",
            world: "suture:plugin/rule",
            pub_export_macro: true,
            export_macro_name: "export_rule_world",
            default_bindings_module: "suture_playbook_sdk::bindings::rule",
            additional_derives: [PartialEq],
            generate_all,
            with: {
                "suture:types/types@0.1.0": crate::bindings::playbook::suture::types::types,
                "suture:incident/incident@0.1.0": crate::bindings::playbook::suture::incident::incident,
                "suture:observe/observe@0.1.0": crate::bindings::playbook::suture::observe::observe,
                "suture:log/log@0.1.0": crate::bindings::playbook::suture::log::log,
            },
        });
    }
}

pub use args::Args;
pub use describe::{Param, description};
pub use playbook::{Playbook, not_applicable, wrong_argument};
pub use rule::{Rule, RuleDescription, proposal, rule_description};
pub use target::{TargetExt, all_targets, find_target, info, only_target, sick_instance, warn};

pub use bindings::playbook::exports::suture::plugin::remedy::{Description, Failure, ParamKind};
pub use bindings::playbook::suture::incident::incident::{Incident, Target, current as incident};
pub use bindings::playbook::suture::observe::observe::{metrics, metrics_by_instance};
pub use bindings::playbook::suture::types::types::{
    Denial, Driver, Effect, HostError, Instance, InstanceMetrics, Metric, Severity, TargetState, Trend,
};
pub use bindings::rule::exports::suture::plugin::advice::Proposal;

/// What nearly every playbook and rule needs.
pub mod prelude {
    pub use crate::{
        Args, Description, Driver, Failure, HostError, Incident, Instance, InstanceMetrics, Metric, Param, Playbook,
        Proposal, Rule, RuleDescription, Severity, Target, TargetExt, TargetState, Trend, all_targets, description,
        find_target, incident, info, metrics, metrics_by_instance, not_applicable, only_target, proposal,
        rule_description, sick_instance, warn, wrong_argument,
    };
}

//! The way to the host: the bindings of the contract in `wit/`, and what the export macros call. No author calls this.

mod convert;
pub(crate) mod host;

use bindings::playbook::exports::suture::plugin::remedy;
use bindings::playbook::suture::types::types::Argument;
use bindings::rule::exports::suture::plugin::advice;

use crate::{Args, Playbook, Rule, Verifies};

#[allow(missing_docs, clippy::all, reason = "generated from wit/")]
pub mod bindings {
    /// The world of playbooks.
    pub mod playbook {
        wit_bindgen::generate!({
            path: "wit",
            world: "suture:plugin/playbook",
            pub_export_macro: true,
            export_macro_name: "export_playbook_world",
            default_bindings_module: "suture_playbook_sdk::wasm::bindings::playbook",
            generate_all,
        });
    }
    /// What a playbook that verifies exports besides. A world of its own, so that one that does not exports no check.
    pub mod check {
        wit_bindgen::generate!({
            inline: "package suture:sdk; world checking { export suture:plugin/check@1.1.0; }",
            path: "wit",
            world: "suture:sdk/checking",
            pub_export_macro: true,
            export_macro_name: "export_check_world",
            default_bindings_module: "suture_playbook_sdk::wasm::bindings::check",
            generate_all,
            with: { "suture:types/types@1.1.0": crate::wasm::bindings::playbook::suture::types::types },
        });
    }
    /// The world of rules; it shares the imports of the first.
    pub mod rule {
        wit_bindgen::generate!({
            path: "wit",
            world: "suture:plugin/rule",
            pub_export_macro: true,
            export_macro_name: "export_rule_world",
            default_bindings_module: "suture_playbook_sdk::wasm::bindings::rule",
            generate_all,
            with: {
                "suture:types/types@1.1.0": crate::wasm::bindings::playbook::suture::types::types,
                "suture:incident/incident@1.1.0": crate::wasm::bindings::playbook::suture::incident::incident,
                "suture:metrics/metrics@1.1.0": crate::wasm::bindings::playbook::suture::metrics::metrics,
                "suture:log/log@1.1.0": crate::wasm::bindings::playbook::suture::log::log,
            },
        });
    }
}

fn args(args: Vec<Argument>) -> Args {
    args.into_iter().map(|a| (a.name, a.value)).collect()
}

/// `remedy.describe`.
pub fn describe<P: Playbook>(version: &str) -> remedy::Description {
    let said = P::describe();
    remedy::Description {
        name: said.name,
        version: version.to_owned(),
        summary: said.summary,
        params: said.params.into_iter().map(Into::into).collect(),
    }
}

/// `remedy.validate`.
pub fn validate<P: Playbook>(settings: Vec<Argument>) -> Result<(), String> {
    P::validate(&args(settings))
}

/// `remedy.remediate`.
pub fn remediate<P: Playbook>(given: Vec<Argument>) -> Result<remedy::Outcome, remedy::Failure> {
    let summary = P::remediate(&args(given))?;
    Ok(remedy::Outcome { summary })
}

/// `check.verify`.
pub fn verify<P: Verifies>(given: Vec<Argument>) -> Result<(), String> {
    P::verify(&args(given))
}

/// `advice.describe`.
pub fn describe_rule<R: Rule>(version: &str) -> advice::Description {
    let said = R::describe();
    advice::Description { name: said.name, version: version.to_owned(), summary: said.summary }
}

/// `advice.propose`.
pub fn propose<R: Rule>() -> Vec<advice::Proposal> {
    R::propose().into_iter().map(Into::into).collect()
}

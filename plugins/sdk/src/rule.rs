//! The trait of rules and the macro that makes one a component.

use crate::Proposal;
use crate::bindings::playbook::suture::types::types::Argument;
pub use crate::bindings::rule::exports::suture::plugin::advice::Description as RuleDescription;

/// A rule: answers an incident with proposals. It can look, and nothing else.
pub trait Rule {
    /// What it is.
    fn describe() -> RuleDescription;

    /// What to try, best first; empty when the rule knows nothing to do.
    fn propose() -> Vec<Proposal>;
}

/// A description.
#[must_use]
pub fn rule_description(name: &str, version: &str, summary: &str) -> RuleDescription {
    RuleDescription { name: name.to_owned(), version: version.to_owned(), summary: summary.to_owned() }
}

/// A proposal without arguments.
#[must_use]
pub fn proposal(playbook: &str, why: impl Into<String>) -> Proposal {
    Proposal { playbook: playbook.to_owned(), args: Vec::new(), why: why.into() }
}

impl Proposal {
    /// With one more argument.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.args.push(Argument { name: name.to_owned(), value: value.to_string() });
        self
    }
}

/// Makes a [`Rule`] a component.
#[macro_export]
macro_rules! export_rule {
    ($rule:ty) => {
        // `cargo test` on the author's machine: nothing to export, but the type is used.
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            const _: fn() -> Vec<$crate::Proposal> = <$rule as $crate::Rule>::propose;
        };

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::rule::{export_rule_world, exports::suture::plugin::advice};

            struct Component;

            impl advice::Guest for Component {
                fn describe() -> advice::Description {
                    <$rule as $crate::Rule>::describe()
                }

                fn propose() -> Vec<advice::Proposal> {
                    <$rule as $crate::Rule>::propose()
                }
            }

    export_rule_world!(Component with_types_in $crate::bindings::rule);
        };
    };
}

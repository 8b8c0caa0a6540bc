//! The trait of rules and the macro that makes one a component.

use std::fmt;

/// A rule: answers an incident with proposals. It can look, and nothing else.
///
/// ```
/// use suture_playbook_sdk::{prelude::*, test};
///
/// struct Busy;
///
/// impl Rule for Busy {
///     fn describe() -> RuleDescription {
///         rule_description("busy", "Proposes more instances when processors are busy.")
///     }
///
///     fn propose() -> Vec<Proposal> {
///         let busy = metric("cpu").filter(|cpu| *cpu > 0.9);
///         busy.map(|cpu| proposal("scale-out", format!("cpu is {cpu}")).with("by", 1)).into_iter().collect()
///     }
/// }
///
/// suture_playbook_sdk::export_rule!(Busy);
///
/// let busy = test::World::new().metric("cpu", 0.95);
/// assert_eq!(test::propose::<Busy>(&busy), ["scale-out by=1"]);
/// ```
pub trait Rule {
    /// What it is. The host cannot be called here.
    fn describe() -> RuleDescription;

    /// What to try, best first; empty when the rule knows nothing to do.
    fn propose() -> Vec<Proposal>;
}

/// What a rule says of itself. Its version is that of the crate that exports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleDescription {
    /// Lower case with hyphens.
    pub name: String,
    /// One sentence.
    pub summary: String,
}

/// A description.
#[must_use]
pub fn rule_description(name: &str, summary: &str) -> RuleDescription {
    RuleDescription { name: name.to_owned(), summary: summary.to_owned() }
}

/// Which playbook to try, with which arguments, and why. Shown, and compared with a text, as in a command:
/// `scale-out by=2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The name of a playbook.
    pub playbook: String,
    /// Its arguments, name and value.
    pub args: Vec<(String, String)>,
    /// One sentence for those who approve.
    pub why: String,
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
        self.args.push((name.to_owned(), value.to_string()));
        self
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.playbook)?;
        self.args.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

impl PartialEq<&str> for Proposal {
    fn eq(&self, command: &&str) -> bool {
        let shown = self.to_string();
        shown == *command
    }
}

/// Makes a [`Rule`] a component. Once in a crate, which is a `cdylib`. Its version is the crate's.
#[macro_export]
macro_rules! export_rule {
    ($rule:ty) => {
        // `cargo test` on the author's machine: nothing to export, but the type is used.
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() -> Vec<$crate::Proposal> = <$rule as $crate::Rule>::propose;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::wasm::bindings::rule::{export_rule_world, exports::suture::plugin::advice};

            struct Component;

            impl advice::Guest for Component {
                fn describe() -> advice::Description {
                    $crate::wasm::describe_rule::<$rule>(env!("CARGO_PKG_VERSION"))
                }

                fn propose() -> Vec<advice::Proposal> {
                    $crate::wasm::propose::<$rule>()
                }
            }

    export_rule_world!(Component with_types_in $crate::wasm::bindings::rule);
        };
    };
}

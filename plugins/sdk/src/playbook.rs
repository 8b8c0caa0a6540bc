//! The trait of playbooks and the macro that makes one a component.

use crate::{Args, Description, Failure, HostError};

/// A playbook. `remediate` must decide by its arguments and by what the host says alone: it runs twice, and the second
/// run has to ask for the same actions.
pub trait Playbook {
    /// What it is and what it can be told.
    fn describe() -> Description;

    /// Checks the operator's settings beyond the bounds in the description; the error says what to write instead.
    ///
    /// # Errors
    /// When the settings make no sense together.
    fn validate(settings: &Args) -> Result<(), String> {
        let _ = settings;
        Ok(())
    }

    /// Remedies the incident and says in one sentence what was done.
    ///
    /// # Errors
    /// A [`Failure`]; a [`HostError`] becomes one with `?`.
    fn remediate(args: &Args) -> Result<String, Failure>;
}

/// There is nothing here that this playbook could do.
#[must_use]
pub fn not_applicable(why: impl Into<String>) -> Failure {
    Failure::NotApplicable(why.into())
}

/// An argument makes no sense for the target as it is.
#[must_use]
pub fn wrong_argument(why: impl Into<String>) -> Failure {
    Failure::InvalidArgument(why.into())
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        Self::Host(error)
    }
}

/// Makes a [`Playbook`] a component.
#[macro_export]
macro_rules! export_playbook {
    ($playbook:ty) => {
        // `cargo test` on the author's machine: nothing to export, but the type is used.
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            type Remediate = fn(&$crate::Args) -> Result<String, $crate::Failure>;
            const _: Remediate = <$playbook as $crate::Playbook>::remediate;
        };

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::playbook::{
                export_playbook_world, exports::suture::plugin::remedy, suture::types::types::Argument,
            };

            struct Component;

            impl remedy::Guest for Component {
                fn describe() -> remedy::Description {
                    <$playbook as $crate::Playbook>::describe()
                }

                fn validate(settings: Vec<Argument>) -> Result<(), String> {
                    <$playbook as $crate::Playbook>::validate(&settings.into())
                }

                fn remediate(args: Vec<Argument>) -> Result<remedy::Outcome, remedy::Failure> {
                    let summary = <$playbook as $crate::Playbook>::remediate(&args.into())?;
                    Ok(remedy::Outcome { summary })
                }
            }

    export_playbook_world!(Component with_types_in $crate::bindings::playbook);
        };
    };
}

//! The traits of playbooks and the macro that makes one a component.

use crate::{Args, Description, Failure};

/// What came of a run: one sentence that says what was done, or why nothing was.
pub type Outcome = Result<String, Failure>;

/// A playbook.
pub trait Playbook {
    /// What it is and what it can be told. The host cannot be called here.
    fn describe() -> Description;

    /// Checks the operator's settings (standing arguments) beyond the bounds in the description; the error is a sentence
    /// that says what to write instead. The host cannot be called here.
    ///
    /// # Errors
    /// When the settings make no sense together.
    fn validate(settings: &Args) -> Result<(), String> {
        let _ = settings;
        Ok(())
    }

    /// Remedies the incident and says in one sentence what was done. It runs twice, in the dry run and in the real one,
    /// and has to ask for the same actions: so it decides by its arguments and by what the host says alone.
    ///
    /// # Errors
    /// A [`Failure`]; a [`HostError`](crate::HostError) becomes one with `?`.
    fn remediate(args: &Args) -> Outcome;
}

/// A playbook that has a word of its own in the verdict on its cure: `export_playbook!(MyPlaybook, verifies)`.
///
/// ```
/// use suture_playbook_sdk::{prelude::*, test};
///
/// struct Drain;
///
/// impl Playbook for Drain {
///     fn describe() -> Description {
///         description("drain", "Adds an instance until the queue is empty.")
///     }
///
///     fn remediate(_: &Args) -> Outcome {
///         let target = only_target()?;
///         target.scale_to(target.state()?.replicas + 1)?;
///         Ok(format!("added an instance to {target}"))
///     }
/// }
///
/// impl Verifies for Drain {
///     fn verify(_: &Args) -> Result<(), String> {
///         match metric("queue_length") {
///             Some(waiting) if waiting > 0.0 => Err(format!("{waiting} jobs are still waiting")),
///             _ => Ok(()),
///         }
///     }
/// }
///
/// suture_playbook_sdk::export_playbook!(Drain, verifies);
///
/// let busy = test::World::new().metric("queue_length", 3.0);
/// assert_eq!(test::verify::<Drain>(&busy, &[]), Err("3 jobs are still waiting".to_owned()));
/// ```
pub trait Verifies: Playbook {
    /// Is the service well? Called when the detector says so after a run, with the arguments of that run and the newest
    /// metrics. It can look and nothing else. The error is one sentence for the people who then decide: the verdict
    /// becomes inconclusive. It cannot make a verdict better.
    ///
    /// # Errors
    /// The reason for a doubt.
    fn verify(args: &Args) -> Result<(), String>;
}

/// Makes a [`Playbook`] a component: `export_playbook!(MyPlaybook)`, or `export_playbook!(MyPlaybook, verifies)` for one
/// that [`Verifies`]. Once in a crate, which is a `cdylib`. Its version is the crate's.
#[macro_export]
macro_rules! export_playbook {
    ($playbook:ty) => {
        // `cargo test` on the author's machine: nothing to export, but the type is used.
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn(&$crate::Args) -> $crate::Outcome = <$playbook as $crate::Playbook>::remediate;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::wasm::bindings::playbook::{
                export_playbook_world, exports::suture::plugin::remedy, suture::types::types::Argument,
            };

            struct Component;

            impl remedy::Guest for Component {
                fn describe() -> remedy::Description {
                    $crate::wasm::describe::<$playbook>(env!("CARGO_PKG_VERSION"))
                }

                fn validate(settings: Vec<Argument>) -> Result<(), String> {
                    $crate::wasm::validate::<$playbook>(settings)
                }

                fn remediate(args: Vec<Argument>) -> Result<remedy::Outcome, remedy::Failure> {
                    $crate::wasm::remediate::<$playbook>(args)
                }
            }

    export_playbook_world!(Component with_types_in $crate::wasm::bindings::playbook);
        };
    };

    ($playbook:ty, verifies) => {
        $crate::export_playbook!($playbook);

        #[cfg(not(target_arch = "wasm32"))]
        const _: fn(&$crate::Args) -> Result<(), String> = <$playbook as $crate::Verifies>::verify;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::wasm::bindings::{
                check::{export_check_world, exports::suture::plugin::check},
                playbook::suture::types::types::Argument,
            };

            struct Component;

            impl check::Guest for Component {
                fn verify(args: Vec<Argument>) -> Result<(), String> {
                    $crate::wasm::verify::<$playbook>(args)
                }
            }

    export_check_world!(Component with_types_in $crate::wasm::bindings::check);
        };
    };
}

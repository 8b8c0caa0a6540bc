//! Why a component cannot be used.

use std::path::PathBuf;

use super::RunError;

/// The version of wit/next, which is what this host serves.
pub(super) const VERSION: &str = "1.1.0";

/// Why a component cannot be used. `file` is what the caller called it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The Wasm engine itself does not start.
    #[error("the Wasm engine does not start: {0}")]
    Engine(String),
    /// The file or folder cannot be read.
    #[error("cannot read {path}: {why}")]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// Larger than `Limits::component_bytes`.
    #[error("{file} has {bytes} bytes; a component may have at most {limit}")]
    TooLarge {
        /// Which.
        file: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A Wasm module that was never made a component.
    #[error(
        "{file} is a core Wasm module, not a component: turn it into one with \
         `wasm-tools component new {file} -o component.wasm`"
    )]
    CoreModule {
        /// Which.
        file: String,
    },
    /// Not Wasm, or Wasm that is broken or uses what the host has switched off.
    #[error("{file} is not a valid Wasm component: {why}")]
    NotAComponent {
        /// Which.
        file: String,
        /// What the compiler says.
        why: String,
    },
    /// It wants something the host does not have.
    #[error("{file} imports `{import}`, which {why}")]
    UnknownImport {
        /// Which.
        file: String,
        /// The import.
        import: String,
        /// Why it is not there, and what to do.
        why: String,
    },
    /// It lacks what the host would call.
    #[error("{file} does not export `{interface}`{hint}")]
    MissingExport {
        /// Which.
        file: String,
        /// What is missing.
        interface: String,
        /// What it may be instead.
        hint: String,
    },
    /// An import or export has another type than the contract says.
    #[error("{file} was built for another contract than this host's (wit version {VERSION}): {why}")]
    OtherContract {
        /// Which.
        file: String,
        /// Where they differ.
        why: String,
    },
    /// It did not manage to say what it is.
    #[error("{file} cannot say what it is: describe: {why}")]
    Describe {
        /// Which.
        file: String,
        /// What happened.
        why: RunError,
    },
    /// What it says of itself is not acceptable.
    #[error("{file} describes itself wrongly: {why}")]
    BadDescription {
        /// Which.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// The operator's settings are not acceptable to it.
    #[error("playbook {playbook}: its settings are wrong: {why}")]
    Settings {
        /// Which.
        playbook: String,
        /// What is wrong, and what to write instead.
        why: String,
    },
    /// Two files of one folder give themselves the same name.
    #[error("{file} calls itself `{name}`, as another file in that folder does: remove one of them")]
    SameName {
        /// The second of them.
        file: String,
        /// The name.
        name: String,
    },
}

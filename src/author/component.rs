//! A component from a file, or one of those that are built in: a playbook or a rule, whichever it is.

use std::collections::BTreeSet;
use std::path::Path;

use super::{AuthorError, cannot};
use crate::model::{ActionKind, Digest, Role};
use crate::wasm::{self, Description, Host, LoadError, Playbook, Rule};

/// A component that was loaded.
#[derive(Clone, Debug)]
pub enum Component {
    /// It remediates.
    Playbook(Playbook),
    /// It proposes.
    Rule(Rule),
}

impl Component {
    /// Loads a file; failing that, the built-in component of that name. Gives its size in bytes as well.
    ///
    /// # Errors
    /// When there is neither, or it cannot be used.
    pub async fn open(host: &Host, file: &Path) -> Result<(Self, usize), AuthorError> {
        let bytes = bytes_of(host, file)?;
        let size = bytes.len();
        Ok((Self::load(host, &file.display().to_string(), bytes).await?, size))
    }

    /// Loads a component from its bytes, whichever of the two it is.
    ///
    /// # Errors
    /// When it cannot be used.
    pub async fn load(host: &Host, file: &str, bytes: Vec<u8>) -> Result<Self, LoadError> {
        match host.load_playbook(file, bytes.clone()).await {
            Ok(playbook) => Ok(Self::Playbook(playbook)),
            // Whatever a playbook may import, a rule may not, so a rule is found by what it exports.
            Err(error @ LoadError::MissingExport { .. }) => match host.load_rule(file, bytes).await {
                Ok(rule) => Ok(Self::Rule(rule)),
                Err(LoadError::MissingExport { .. }) => Err(error),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Which of the two.
    #[must_use]
    pub fn role(&self) -> Role {
        match self {
            Self::Playbook(_) => Role::Playbook,
            Self::Rule(_) => Role::Rule,
        }
    }

    /// What it says of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        match self {
            Self::Playbook(playbook) => playbook.description(),
            Self::Rule(rule) => rule.description(),
        }
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.description().name
    }

    /// SHA-256 of its bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Playbook(playbook) => playbook.digest(),
            Self::Rule(rule) => rule.digest(),
        }
    }

    /// Everything that it imports, with versions.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        match self {
            Self::Playbook(playbook) => playbook.imports(),
            Self::Rule(rule) => rule.imports(),
        }
    }

    /// The version of the contract that it was built for.
    #[must_use]
    pub fn contract(&self) -> &str {
        match self {
            Self::Playbook(playbook) => playbook.contract(),
            Self::Rule(rule) => rule.contract(),
        }
    }

    /// The kinds of action that it imports.
    #[must_use]
    pub fn wants(&self) -> BTreeSet<ActionKind> {
        match self {
            Self::Playbook(playbook) => playbook.wants().clone(),
            Self::Rule(_) => BTreeSet::new(),
        }
    }

    /// Has it a word in the verdict?
    #[must_use]
    pub fn verifies(&self) -> bool {
        matches!(self, Self::Playbook(playbook) if playbook.verifies())
    }

    /// Units of work that saying what it is took.
    #[must_use]
    pub fn describe_fuel(&self) -> u64 {
        match self {
            Self::Playbook(playbook) => playbook.describe_fuel(),
            Self::Rule(rule) => rule.describe_fuel(),
        }
    }
}

/// The bytes of a file, if it is one of a sane size, or of the built-in component of that name.
pub(super) fn bytes_of(host: &Host, file: &Path) -> Result<Vec<u8>, AuthorError> {
    if !file.exists()
        && let Some(bytes) = file.to_str().and_then(wasm::stock_named)
    {
        return Ok(bytes.to_vec());
    }
    let meta = std::fs::metadata(file).map_err(|e| {
        if e.kind() == std::io::ErrorKind::NotFound {
            let file = file.display();
            AuthorError::Usage(format!("there is no file `{file}`, and no built-in playbook or rule of that name"))
        } else {
            cannot("read", file)(e)
        }
    })?;
    if !meta.is_file() {
        let file = file.display();
        return Err(AuthorError::Usage(format!("{file} is not a file: name the .wasm file of a component")));
    }
    let (size, limit) = (usize::try_from(meta.len()).unwrap_or(usize::MAX), host.limits().component_bytes);
    if size > limit {
        return Err(LoadError::TooLarge { file: file.display().to_string(), bytes: size, limit }.into());
    }
    std::fs::read(file).map_err(cannot("read", file))
}

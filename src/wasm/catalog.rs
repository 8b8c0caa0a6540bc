//! What there is to run: the stock components that are part of the binary, and those in the operator's folders.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use futures::future::join_all;

use super::{Host, LoadError, Playbook, Rule};
use crate::model::{ActionKind, Digest, Role};

/// Role, name and bytes of each stock component; written by build.rs.
pub(super) const STOCK: &[(Role, &str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/components.rs"));

/// The bytes of the stock component with this digest: one that this binary carries.
#[must_use]
pub fn stock(digest: Digest) -> Option<&'static [u8]> {
    static DIGESTS: LazyLock<Vec<(Digest, &'static [u8])>> =
        LazyLock::new(|| STOCK.iter().map(|(_, _, bytes)| (Digest::of(bytes), *bytes)).collect());
    DIGESTS.iter().find(|(known, _)| *known == digest).map(|(_, bytes)| *bytes)
}

/// The bytes of the stock component of this name.
#[must_use]
pub fn stock_named(name: &str) -> Option<&'static [u8]> {
    STOCK.iter().find(|(_, known, _)| *known == name).map(|(_, _, bytes)| *bytes)
}

/// Every playbook and rule that can be run, by the name that it gives itself.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    playbooks: BTreeMap<String, Playbook>,
    rules: BTreeMap<String, Rule>,
}

impl Catalog {
    /// Loads the stock components and lays the `*.wasm` files of the folders over them: one of the same name replaces.
    ///
    /// What does not load is told in the errors, each with its file; everything else is there all the same.
    pub async fn load(host: &Host, playbooks_dir: Option<&Path>, rules_dir: Option<&Path>) -> (Self, Vec<LoadError>) {
        let mut errors = Vec::new();
        let mut catalog = Self::default();
        let stock: Vec<_> =
            STOCK.iter().map(|(role, name, bytes)| (*role, format!("stock {name}"), bytes.to_vec())).collect();
        catalog.add(host, stock, &mut errors).await;
        let mut own = Vec::new();
        for (role, dir) in [(Role::Playbook, playbooks_dir), (Role::Rule, rules_dir)] {
            if let Some(dir) = dir {
                match read_folder(dir, host.limits().component_bytes).await {
                    Ok(files) => {
                        for (path, bytes) in files {
                            match bytes {
                                Ok(bytes) => own.push((role, path.display().to_string(), bytes)),
                                Err(error) => errors.push(error),
                            }
                        }
                    }
                    Err(error) => errors.push(error),
                }
            }
        }
        catalog.add(host, own, &mut errors).await;
        (catalog, errors)
    }

    async fn add(&mut self, host: &Host, files: Vec<(Role, String, Vec<u8>)>, errors: &mut Vec<LoadError>) {
        // All at once: compiling is most of it, and each is compiled on a thread of its own.
        let loading = files.into_iter().map(|(role, file, bytes)| async move {
            let component = Component::load(host, role, &file, bytes).await?;
            Ok((file, component))
        });
        let mut names = BTreeSet::new();
        for loaded in join_all(loading).await {
            let (file, component) = match loaded {
                Ok(loaded) => loaded,
                Err(error) => {
                    errors.push(error);
                    continue;
                }
            };
            if !names.insert((component.role(), component.name().to_owned())) {
                errors.push(LoadError::SameName { file, name: component.name().to_owned() });
                continue;
            }
            self.insert(component);
        }
    }

    /// Puts a component in, in place of one of the same role and name.
    pub fn insert(&mut self, component: Component) {
        let name = component.name().to_owned();
        match component {
            Component::Playbook(playbook) => drop(self.playbooks.insert(name, playbook)),
            Component::Rule(rule) => drop(self.rules.insert(name, rule)),
        }
    }

    /// The component of this role and name.
    #[must_use]
    pub fn get(&self, role: Role, name: &str) -> Option<Component> {
        match role {
            Role::Playbook => self.playbooks.get(name).cloned().map(Component::Playbook),
            Role::Rule => self.rules.get(name).cloned().map(Component::Rule),
        }
    }

    /// Everything in it.
    pub fn components(&self) -> impl Iterator<Item = Component> {
        let playbooks = self.playbooks.values().cloned().map(Component::Playbook);
        playbooks.chain(self.rules.values().cloned().map(Component::Rule))
    }

    /// The playbook of this name.
    #[must_use]
    pub fn playbook(&self, name: &str) -> Option<&Playbook> {
        self.playbooks.get(name)
    }

    /// The rule of this name.
    #[must_use]
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        self.rules.get(name)
    }

    /// All playbooks, by name.
    pub fn playbooks(&self) -> impl Iterator<Item = &Playbook> {
        self.playbooks.values()
    }

    /// All rules, by name.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.values()
    }
}

/// A component that was loaded, whatever its role. Clones share the compiled code.
#[derive(Clone, Debug)]
pub enum Component {
    /// It remediates.
    Playbook(Playbook),
    /// It proposes.
    Rule(Rule),
}

impl Component {
    /// Loads a component for this role.
    ///
    /// # Errors
    /// Any [`LoadError`], with `file` in its text.
    pub async fn load(host: &Host, role: Role, file: &str, bytes: Vec<u8>) -> Result<Self, LoadError> {
        Ok(match role {
            Role::Playbook => Self::Playbook(host.load_playbook(file, bytes).await?),
            Role::Rule => Self::Rule(host.load_rule(file, bytes).await?),
        })
    }

    /// What it is for.
    #[must_use]
    pub fn role(&self) -> Role {
        match self {
            Self::Playbook(_) => Role::Playbook,
            Self::Rule(_) => Role::Rule,
        }
    }

    /// What it calls itself.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Playbook(playbook) => playbook.name(),
            Self::Rule(rule) => rule.name(),
        }
    }

    /// SHA-256 of its bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Playbook(playbook) => playbook.digest(),
            Self::Rule(rule) => rule.digest(),
        }
    }

    /// The kinds of action that it imports; a rule imports none.
    #[must_use]
    pub fn wants(&self) -> BTreeSet<ActionKind> {
        match self {
            Self::Playbook(playbook) => playbook.wants().clone(),
            Self::Rule(_) => BTreeSet::new(),
        }
    }
}

/// The stock components: role, name and bytes.
pub fn stock_components() -> impl Iterator<Item = (Role, &'static str, &'static [u8])> {
    STOCK.iter().copied()
}

/// A `*.wasm` file of a folder, with its bytes or why it cannot be read.
pub type ComponentFile = (PathBuf, Result<Vec<u8>, LoadError>);

/// The `*.wasm` files of a folder, in the order of their names. None larger than `limit` bytes is read.
///
/// # Errors
/// When the folder cannot be listed.
pub async fn read_folder(dir: &Path, limit: usize) -> Result<Vec<ComponentFile>, LoadError> {
    let unreadable = |path: &Path, e: std::io::Error| LoadError::Read { path: path.to_owned(), why: e.to_string() };
    let mut entries = tokio::fs::read_dir(dir).await.map_err(|e| unreadable(dir, e))?;
    let mut paths: Vec<PathBuf> = Vec::new();
    while let Some(entry) = entries.next_entry().await.map_err(|e| unreadable(dir, e))? {
        paths.push(entry.path());
    }
    paths.retain(|path| path.extension().is_some_and(|e| e == "wasm"));
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        // Asked before it is read: a huge file must not be held in memory to be refused, and a pipe must not be waited for.
        let bytes = match tokio::fs::metadata(&path).await {
            Ok(meta) if !meta.is_file() => continue,
            Ok(meta) => match usize::try_from(meta.len()).unwrap_or(usize::MAX) {
                bytes if bytes > limit => Err(LoadError::TooLarge { file: path.display().to_string(), bytes, limit }),
                _ => tokio::fs::read(&path).await.map_err(|e| unreadable(&path, e)),
            },
            Err(e) => Err(unreadable(&path, e)),
        };
        files.push((path, bytes));
    }
    Ok(files)
}

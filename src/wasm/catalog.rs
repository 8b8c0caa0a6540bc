//! What there is to run: the stock components that are part of the binary, and those in the operator's folders.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use futures::future::join_all;

use super::{Host, LoadError, Playbook, Rule};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Playbook,
    Rule,
}

/// Role, name and bytes of each stock component; written by build.rs.
pub(super) const STOCK: &[(Role, &str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/components.rs"));

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
                read_folder(role, dir, host.limits().component_bytes, &mut own, &mut errors).await;
            }
        }
        catalog.add(host, own, &mut errors).await;
        (catalog, errors)
    }

    async fn add(&mut self, host: &Host, files: Vec<(Role, String, Vec<u8>)>, errors: &mut Vec<LoadError>) {
        // All at once: compiling is most of it, and each is compiled on a thread of its own.
        let loading = files.into_iter().map(|(role, file, bytes)| async move {
            let loaded = match role {
                Role::Playbook => Loaded::Playbook(host.load_playbook(&file, bytes).await?),
                Role::Rule => Loaded::Rule(host.load_rule(&file, bytes).await?),
            };
            Ok((file, loaded))
        });
        let mut names = BTreeSet::new();
        for loaded in join_all(loading).await {
            let (file, loaded) = match loaded {
                Ok(loaded) => loaded,
                Err(error) => {
                    errors.push(error);
                    continue;
                }
            };
            let (role, name) = match &loaded {
                Loaded::Playbook(playbook) => (Role::Playbook, playbook.name().to_owned()),
                Loaded::Rule(rule) => (Role::Rule, rule.name().to_owned()),
            };
            if !names.insert((role, name.clone())) {
                errors.push(LoadError::SameName { file, name });
                continue;
            }
            match loaded {
                Loaded::Playbook(playbook) => drop(self.playbooks.insert(name, playbook)),
                Loaded::Rule(rule) => drop(self.rules.insert(name, rule)),
            }
        }
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

enum Loaded {
    Playbook(Playbook),
    Rule(Rule),
}

/// The `*.wasm` files of a folder, in the order of their names.
async fn read_folder(
    role: Role,
    dir: &Path,
    limit: usize,
    files: &mut Vec<(Role, String, Vec<u8>)>,
    errors: &mut Vec<LoadError>,
) {
    let unreadable = |path: &Path, e: std::io::Error| LoadError::Read { path: path.to_owned(), why: e.to_string() };
    let mut entries = match tokio::fs::read_dir(dir).await {
        Ok(entries) => entries,
        Err(e) => return errors.push(unreadable(dir, e)),
    };
    let mut paths: Vec<PathBuf> = Vec::new();
    loop {
        match entries.next_entry().await {
            Ok(Some(entry)) => paths.push(entry.path()),
            Ok(None) => break,
            Err(e) => return errors.push(unreadable(dir, e)),
        }
    }
    paths.retain(|path| path.extension().is_some_and(|e| e == "wasm"));
    paths.sort();
    for path in paths {
        let file = path.display().to_string();
        // Asked before it is read: a huge file must not be held in memory to be refused.
        let size = tokio::fs::metadata(&path).await.map(|m| usize::try_from(m.len()).unwrap_or(usize::MAX));
        match size {
            Ok(bytes) if bytes > limit => errors.push(LoadError::TooLarge { file, bytes, limit }),
            Ok(_) => match tokio::fs::read(&path).await {
                Ok(bytes) => files.push((role, file, bytes)),
                Err(e) => errors.push(unreadable(&path, e)),
            },
            Err(e) => errors.push(unreadable(&path, e)),
        }
    }
}

//! A look at the folders: loads what is new, judges each name, and says what is to be recorded. Changes nothing but what
//! is kept and ready.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use futures::future::join_all;

use super::judge::{Case, Judgement, Refused, judge};
use super::{Held, Key, Picture, Registry};
use crate::app::AppError;
use crate::config::lines_for_all;
use crate::incident::Components;
use crate::model::{ActionKind, Digest, Fact, Role};
use crate::wasm::{Catalog, Component, LoadError, read_folder, stock_components};

/// What a look at the folders came to.
#[derive(Debug, Default)]
pub(in crate::app) struct Survey {
    catalog: Catalog,
    picture: Picture,
    loaded: Vec<Fact>,
    held: Vec<Fact>,
    disabled: Vec<Fact>,
    /// What is not as the operator may think, by the file or the name that it is about.
    pub(in crate::app) problems: BTreeMap<String, String>,
    /// Files that do not load, with why: perhaps they are still being written.
    pub(in crate::app) torn: BTreeMap<PathBuf, LoadError>,
    /// Nothing can stand in for these files.
    broken: Vec<LoadError>,
    /// The config and the folders contradict each other.
    refused: Vec<AppError>,
}

/// What lies in the folders and in the binary, loaded.
#[derive(Default)]
struct Found {
    stock: BTreeMap<Key, Component>,
    files: BTreeMap<Key, Component>,
    /// Names whose file does not load.
    broken: BTreeMap<Key, PathBuf>,
}

impl Survey {
    /// What is to be recorded before this is taken, in this order.
    pub(in crate::app) fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.loaded.iter().chain(&self.held).chain(&self.disabled)
    }

    /// What keeps a start from being one.
    pub(super) fn fatal(&mut self) -> Option<AppError> {
        if !self.broken.is_empty() {
            return Some(AppError::Components(std::mem::take(&mut self.broken)));
        }
        self.refused.pop()
    }

    /// How many playbooks and rules there are to run.
    pub(in crate::app) fn counts(&self) -> (usize, usize) {
        (self.catalog.playbooks().count(), self.catalog.rules().count())
    }

    /// Is there something to run of this role and name?
    pub(in crate::app) fn has(&self, role: Role, name: &str) -> bool {
        self.catalog.get(role, name).is_some()
    }

    pub(super) fn into_parts(self) -> (Catalog, Picture) {
        (self.catalog, self.picture)
    }
}

impl Registry {
    /// Looks at the folders and judges every name.
    ///
    /// # Errors
    /// When a folder cannot be listed: then nothing is known of what lies in it, and nothing may change.
    pub(in crate::app) async fn survey(&self, known: &Components) -> Result<Survey, LoadError> {
        let mut survey = Survey::default();
        let found = self.find(&mut survey).await?;
        let keys = found.stock.keys().chain(found.files.keys()).chain(found.broken.keys());
        for key in keys.cloned().collect::<BTreeSet<Key>>() {
            self.settle(&key, &found, known, &mut survey).await;
        }
        let mut needed: BTreeSet<_> = survey.catalog.components().map(|c| (c.role(), c.digest())).collect();
        needed.extend(survey.picture.held.iter().map(|((role, _), held)| (*role, held.digest)));
        self.ready(|ready| ready.shrink(&needed));
        Ok(survey)
    }

    async fn find(&self, survey: &mut Survey) -> Result<Found, LoadError> {
        let plugins = &self.config.plugins;
        let limit = self.limits().component_bytes;
        let mut files = Vec::new();
        for (role, dir) in [(Role::Playbook, &plugins.playbooks_dir), (Role::Rule, &plugins.rules_dir)] {
            let Some(dir) = dir else { continue };
            files.extend(read_folder(dir, limit).await?.into_iter().map(|(path, bytes)| (role, path, bytes)));
        }
        let loading_stock = stock_components().map(|(role, name, bytes)| async move {
            self.load_and_keep(role, &format!("stock {name}"), bytes.to_vec()).await
        });
        let loading_files = files.into_iter().map(|(role, path, bytes)| async move {
            let loaded = match bytes {
                Ok(bytes) => self.load_and_keep(role, &shown(&path), bytes).await,
                Err(error) => Err(error),
            };
            (role, path, loaded)
        });
        // All at once: compiling is most of it, and each is compiled on a thread of its own.
        let (stock, files) = tokio::join!(join_all(loading_stock), join_all(loading_files));
        let mut found = Found::default();
        for loaded in stock {
            match loaded {
                Ok(component) => drop(found.stock.insert(key(&component), component)),
                Err(error) => survey.broken.push(error),
            }
        }
        let names = self.picture();
        for (role, path, loaded) in files {
            match loaded {
                Ok(component) if found.files.contains_key(&key(&component)) => {
                    let (file, name) = (shown(&path), component.name().to_owned());
                    let error = LoadError::SameName { file, name };
                    survey.problems.insert(shown(&path), error.to_string());
                    survey.broken.push(error);
                }
                Ok(component) => {
                    survey.picture.files.insert(path, component.name().to_owned());
                    found.files.insert(key(&component), component);
                }
                Err(error) => {
                    // The name that it gave itself when it was whole, or else the one that files usually have.
                    let stem = || path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
                    if let Some(name) = names.files.get(&path).cloned().or_else(stem) {
                        survey.picture.files.insert(path.clone(), name.clone());
                        found.broken.insert((role, name), path.clone());
                    }
                    survey.torn.insert(path, error);
                }
            }
        }
        Ok(found)
    }

    async fn load_and_keep(&self, role: Role, label: &str, bytes: Vec<u8>) -> Result<Component, LoadError> {
        let known = self.ready(|ready| ready.get(role, Digest::of(&bytes)));
        if let Some(component) = known {
            return Ok(component);
        }
        let component = self.load(role, label, bytes.clone()).await?;
        // What cannot be kept is used all the same: only a later life may miss it, and that says so then.
        if let Err(why) = self.keep(bytes).await {
            tracing::warn!(component = label, why, "a component cannot be kept in the store");
        }
        Ok(component)
    }

    /// Judges one name and puts down what follows.
    async fn settle(&self, key: &Key, found: &Found, known: &Components, survey: &mut Survey) {
        let (role, name) = (key.0, key.1.as_str());
        let (file, stock) = (found.files.get(key), found.stock.get(key));
        let was = known.get(role, name);
        let case = Case {
            file: file.map(Component::digest),
            broken: file.is_none() && found.broken.contains_key(key),
            stock: stock.map(Component::digest),
            accepted: was.map(|c| c.accepted),
            pin: self.config.plugins.pins.get(name).copied(),
            require_pins: self.config.plugins.require_pins,
            missing: file.map(|component| self.missing(component)).unwrap_or_default(),
        };
        let (digest, by_pin) = match judge(&case) {
            Judgement::Use { digest, by_pin } => (digest, by_pin),
            Judgement::Hold { accepted, .. } => {
                if let Some(file) = file {
                    self.hold(key, file, accepted, known, survey).await;
                }
                (accepted, false)
            }
            Judgement::Refuse { why, instead } => {
                self.refuse(key, why, instead, &case, file, survey);
                let Some(instead) = instead else { return };
                (instead, false)
            }
            Judgement::Broken => {
                let error = found.broken.get(key).and_then(|path| survey.torn.get(path)).cloned();
                survey.picture.without.insert(key.clone(), "its file does not load".to_owned());
                survey.broken.extend(error);
                return;
            }
            Judgement::Gone => return,
        };
        let here = [file, stock].into_iter().flatten().find(|component| component.digest() == digest).cloned();
        let component = match here {
            Some(component) => Some(component),
            None => self.version(role, name, digest).await,
        };
        let Some(component) = component else { return lost(key, digest, known, survey) };
        let changed = self.catalog().get(role, name).is_none_or(|c| c.digest() != digest);
        let released = was.is_some_and(|c| c.held.is_some()) && !survey.picture.held.contains_key(key);
        if by_pin {
            survey.loaded.push(Fact::ComponentAccepted { name: name.to_owned(), role, digest });
        }
        if changed || released || by_pin {
            let imports = component.wants().iter().map(ToString::to_string).collect();
            survey.loaded.push(Fact::ComponentLoaded { name: name.to_owned(), role, digest, imports });
        }
        survey.catalog.insert(component);
    }

    /// Puts down that a version waits, with what it wants that the accepted one does not.
    async fn hold(&self, key: &Key, file: &Component, accepted: Digest, known: &Components, survey: &mut Survey) {
        let (role, name, digest) = (key.0, key.1.clone(), file.digest());
        let words = |kinds: BTreeSet<ActionKind>| kinds.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        let wants = words(file.wants());
        let had = match self.version(role, &name, accepted).await {
            Some(old) => words(old.wants()),
            None => known.get(role, &name).map(|c| c.imports.iter().cloned().collect()).unwrap_or_default(),
        };
        let lacks = (!self.missing(file).is_empty())
            .then(|| lines_for_all(&name, &file.wants(), self.config.targets.iter().map(|t| t.id())));
        let held = Held {
            digest,
            accepted,
            gains: wants.difference(&had).cloned().collect(),
            loses: had.difference(&wants).cloned().collect(),
            lacks,
            pinned: self.config.plugins.pins.contains_key(&name),
        };
        if self.picture().held.get(key) != Some(&held) {
            let (gains, loses) = (held.gains.clone(), held.loses.clone());
            survey.held.push(Fact::ComponentHeld { name, role, digest, accepted, gains, loses });
        }
        survey.picture.held.insert(key.clone(), held);
    }

    /// Puts down why a version is not taken.
    fn refuse(
        &self,
        key: &Key,
        why: Refused,
        instead: Option<Digest>,
        case: &Case,
        file: Option<&Component>,
        survey: &mut Survey,
    ) {
        let (role, name) = (key.0, key.1.clone());
        let config = self.config.path.display().to_string();
        let error = match why {
            Refused::OtherPin { found, pinned } => {
                AppError::Pin { name, found: found.to_string(), pinned: pinned.to_string() }
            }
            Refused::NotPinned(found) => AppError::NotPinned { name, found: found.to_string(), config },
            Refused::NotGranted => AppError::NotGranted {
                wants: case.missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "),
                lines: lines_for_all(
                    &name,
                    &file.map(Component::wants).unwrap_or_default(),
                    self.config.targets.iter().map(|t| t.id()),
                ),
                playbook: name,
                config,
            },
        };
        let words = error.to_string();
        survey.problems.insert(format!("{role} {}", key.1), words.clone());
        if instead.is_none() {
            survey.picture.without.insert(key.clone(), words);
            // An unpinned file is as if it were not there; the others contradict what the operator says elsewhere.
            if !matches!(why, Refused::NotPinned(_)) {
                survey.refused.push(error);
            }
        }
    }
}

/// A path as it may be shown: whoever writes to the folder chooses it.
fn shown(path: &std::path::Path) -> String {
    crate::ledger::clean(&path.display().to_string())
}

fn key(component: &Component) -> Key {
    (component.role(), component.name().to_owned())
}

/// Puts down that the accepted version is nowhere: no other one is run in its place.
fn lost(key: &Key, digest: Digest, known: &Components, survey: &mut Survey) {
    let (role, name) = (key.0, key.1.clone());
    let why = format!("its accepted version {} is lost: no file has it, and not the store either", digest.short());
    survey.problems.insert(format!("{role} {name}"), format!("{role} {name} is not run: {why}"));
    survey.picture.without.insert(key.clone(), why.clone());
    if known.get(role, &name).is_none_or(|c| c.disabled.is_none()) {
        survey.disabled.push(Fact::ComponentDisabled { name, role, digest, why });
    }
}

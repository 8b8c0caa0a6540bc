//! What is known of the components: a fold over the facts about them.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Digest, Fact, Role};

/// A component that failed so often by its own fault is not run any more.
pub const STRIKES_ALLOWED: u32 = 3;

/// The components by role and name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Components(BTreeMap<(Role, String), Component>);

/// One component.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// The version in use.
    pub accepted: Digest,
    /// The kinds of action that it imports.
    pub imports: Vec<String>,
    /// Another version that waits for an admin.
    pub held: Option<Digest>,
    /// How often the version in use failed by its own fault.
    pub strikes: u32,
    /// Its last fault, once it is disabled.
    pub disabled: Option<String>,
}

impl Components {
    /// What is known of one.
    #[must_use]
    pub fn get(&self, role: Role, name: &str) -> Option<&Component> {
        self.0.get(&(role, name.to_owned()))
    }

    /// All that were ever in use, by role and name.
    pub fn iter(&self) -> impl Iterator<Item = (Role, &str, &Component)> {
        self.0.iter().map(|((role, name), component)| (*role, name.as_str(), component))
    }

    /// The versions that must not be run.
    #[must_use]
    pub fn disabled(&self) -> BTreeSet<Digest> {
        self.0.values().filter(|c| c.disabled.is_some()).map(|c| c.accepted).collect()
    }

    /// Takes a fact in, if it is about a component.
    pub(super) fn apply(&mut self, fact: &Fact) -> bool {
        match fact {
            Fact::ComponentLoaded { name, role, digest, imports } => {
                let component = self.at(*role, name, *digest);
                component.imports.clone_from(imports);
                // Whatever waits besides it is told of anew.
                component.held = None;
            }
            Fact::ComponentHeld { name, role, digest, accepted, .. } => {
                self.at(*role, name, *accepted).held = Some(*digest);
            }
            Fact::ComponentAccepted { name, role, digest } => {
                self.at(*role, name, *digest);
            }
            // A version that was replaced meanwhile may fail late: that is not held against the one in use.
            Fact::ComponentStruck { name, role, digest, strikes, .. } => {
                self.known(*role, name, *digest, |c| c.strikes = *strikes);
            }
            Fact::ComponentDisabled { name, role, digest, why } => {
                self.known(*role, name, *digest, |c| c.disabled = Some(why.clone()));
            }
            Fact::ComponentEnabled { name, role, digest } => {
                self.known(*role, name, *digest, |c| (c.strikes, c.disabled) = (0, None));
            }
            _ => return false,
        }
        true
    }

    fn known(&mut self, role: Role, name: &str, digest: Digest, change: impl FnOnce(&mut Component)) {
        if self.get(role, name).is_none_or(|c| c.accepted == digest) {
            change(self.at(role, name, digest));
        }
    }

    /// The component in this version; another version begins with a clean record.
    fn at(&mut self, role: Role, name: &str, digest: Digest) -> &mut Component {
        let fresh = || Component { accepted: digest, imports: Vec::new(), held: None, strikes: 0, disabled: None };
        let component = self.0.entry((role, name.to_owned())).or_insert_with(fresh);
        if component.accepted != digest {
            *component = fresh();
        }
        component
    }
}

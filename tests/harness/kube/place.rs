//! A path, understood: which resource, which object, which part of it.

use super::kinds::{KINDS, Kind};
use super::refusal::Refusal;
use super::store::{Key, State};

pub struct Place {
    pub kind: &'static Kind,
    pub version: &'static str,
    /// Empty for all namespaces, and for what has none.
    pub namespace: String,
    pub name: Option<String>,
    pub sub: Option<String>,
}

impl Place {
    /// The object that it names.
    pub fn key(&self) -> Option<Key> {
        self.name.as_ref().map(|name| Key::new(self.kind.id, &self.namespace, name))
    }
}

/// Reads `/api/v1/..` or `/apis/GROUP/VERSION/..`.
pub fn parse(state: &State, path: &str) -> Result<Place, Refusal> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return Err(Refusal::no_such_path(true)),
    };
    if !state.served.has_group(group, version) {
        // Other clusters have it: to ask and to fall back is right.
        let elsewhere = KINDS.iter().any(|kind| kind.group == group && kind.versions.contains(&version));
        return Err(Refusal::no_such_path(!elsewhere));
    }
    if rest.is_empty() || rest.iter().any(|part| part.is_empty()) {
        return Err(Refusal::no_such_resource());
    }
    let (namespace, rest) = match rest {
        // The namespace object itself has the place of a name.
        ["namespaces", namespace, resource, rest @ ..]
            if !(group.is_empty() && rest.is_empty() && *resource == "status") =>
        {
            (Some(*namespace), [&[*resource], rest].concat())
        }
        rest => (None, rest.to_vec()),
    };
    let (resource, name, sub) = match rest.as_slice() {
        [resource] => (*resource, None, None),
        [resource, name] => (*resource, Some((*name).to_owned()), None),
        [resource, name, sub] => (*resource, Some((*name).to_owned()), Some((*sub).to_owned())),
        _ => return Err(Refusal::no_such_resource()),
    };
    let kind = KINDS
        .iter()
        .find(|kind| kind.group == group && kind.plural == resource && state.served.serves(kind, version))
        .ok_or_else(Refusal::no_such_resource)?;
    let version = kind.versions.iter().find(|served| **served == version).copied().unwrap_or("v1");
    // What lives in a namespace is named only within one, and what does not is not found within one.
    if kind.namespaced != namespace.is_some() && (!kind.namespaced || name.is_some()) {
        return Err(Refusal::no_such_resource());
    }
    if sub.as_deref().is_some_and(|sub| !kind.subs.contains(&sub)) {
        return Err(Refusal::no_such_resource());
    }
    Ok(Place { kind, version, namespace: namespace.unwrap_or_default().to_owned(), name, sub })
}

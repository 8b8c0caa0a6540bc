//! What a component is, found out by looking at it rather than by believing it: the effect of an import is the
//! contract's, never the component's own word.

use std::path::Path;

use serde::Serialize;

use super::AuthorError;
use super::component::{Component, bytes_of};
use crate::model::{ActionKind, Digest, Effect, Role};
use crate::wasm::{Host, Param};

/// What a component is.
#[derive(Clone, Debug, Serialize)]
pub struct Inspected {
    /// Playbook or rule.
    pub role: Role,
    /// Its name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// One sentence of its own.
    pub summary: String,
    /// What it can be told.
    pub params: Vec<Param>,
    /// What it imports, the worst last.
    pub imports: Vec<Import>,
    /// The worst that it can do.
    pub effect: Effect,
    /// Has it a word in the verdict?
    pub verifies: bool,
    /// The version of the contract that it was built for.
    pub wit: String,
    /// Size of its file.
    pub bytes: usize,
    /// Largest size that is loaded.
    pub bytes_limit: usize,
    /// SHA-256 of its file.
    pub sha256: Digest,
    /// Units of work that saying what it is took.
    pub describe_fuel: u64,
    /// Units of work that a run may take.
    pub fuel_limit: u64,
    /// The grant that it would need, as lines of `suture.toml`; empty when it needs none.
    pub grant: String,
    /// The pin, as lines of `suture.toml`.
    pub pin: String,
}

/// One import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Import {
    /// `suture:scale/scale@1.1.0`.
    pub interface: String,
    /// How much it can hurt.
    pub effect: Effect,
    /// What it is for, in words.
    pub words: &'static str,
}

/// Looks at a component.
///
/// # Errors
/// When it cannot be read or loaded.
pub async fn inspect(host: &Host, file: &Path) -> Result<Inspected, AuthorError> {
    let bytes = bytes_of(host, file)?;
    let size = bytes.len();
    let component = Component::load(host, &file.display().to_string(), bytes).await?;
    let said = component.description().clone();
    let mut imports: Vec<_> = component.imports().iter().map(|name| import(name)).collect();
    imports.sort_by(|a, b| a.effect.cmp(&b.effect).then_with(|| a.interface.cmp(&b.interface)));
    Ok(Inspected {
        role: component.role(),
        effect: imports.iter().map(|i| i.effect).max().unwrap_or(Effect::Observe),
        imports,
        verifies: component.verifies(),
        wit: component.contract().to_owned(),
        bytes: size,
        bytes_limit: host.limits().component_bytes,
        sha256: component.digest(),
        describe_fuel: component.describe_fuel(),
        fuel_limit: host.limits().fuel,
        grant: grant(&said.name, &component.wants().into_iter().collect::<Vec<_>>()),
        pin: format!("[plugins.pins]\n{} = \"{}\"", said.name, component.digest()),
        name: said.name,
        version: said.version,
        summary: said.summary,
        params: said.params,
    })
}

fn import(name: &str) -> Import {
    let package = name.split_once(':').map_or(name, |(_, rest)| rest);
    let package = package.split_once('/').map_or(package, |(package, _)| package);
    let (effect, words) = match package {
        "types" => (Effect::Observe, "the words of the contract; permits nothing"),
        "incident" => (Effect::Observe, "read the incident and the state of its targets"),
        "metrics" => (Effect::Observe, "read what was measured last"),
        "log" => (Effect::Observe, "write lines into the record of its run"),
        "state" => (Effect::Observe, "keep notes for its next run"),
        "scale" => (Effect::Mutate, "change how many instances a target has"),
        "restart" => (Effect::Destructive, "end instances and start them afresh"),
        "traffic" => (Effect::Mutate, "move traffic between instances"),
        "isolate" => (Effect::Mutate, "take instances out of the traffic, and back in"),
        "cache" => (Effect::Mutate, "change how long answers are cached"),
        "rollout" => (Effect::Destructive, "have the platform replace all instances, a few at a time"),
        "configure" => (Effect::Mutate, "read and change settings"),
        "flush" => (Effect::Destructive, "throw away what is stored under keys"),
        _ if name.starts_with("wasi:") => (Effect::Observe, "the system interface; the host answers with nothing"),
        _ => (Effect::Destructive, "nothing that this version knows of"),
    };
    Import { interface: name.to_owned(), effect, words }
}

/// The grant that a playbook with these imports would need, narrow to begin with.
fn grant(name: &str, wants: &[ActionKind]) -> String {
    if wants.is_empty() {
        return String::new();
    }
    let allow: Vec<_> = wants.iter().map(|kind| format!("\"{kind}\"")).collect();
    let mut lines =
        format!("[[grant]]\nplaybook = \"{name}\"\ntargets = [\"local:*\"]\nallow = [{}]", allow.join(", "));
    if wants.contains(&ActionKind::Scale) {
        lines.push_str("\nmax_delta = 3");
    }
    // Without these lists nothing of the kind is granted: they are what has to be thought about.
    if wants.contains(&ActionKind::Configure) {
        lines.push_str("\nsettings = [\"THE-SETTING\"]");
    }
    if wants.contains(&ActionKind::Flush) {
        lines.push_str("\nprefixes = [\"WHAT-KEYS-BEGIN-WITH:\"]");
    }
    lines.push_str("\nactions_per_hour = 6");
    lines
}

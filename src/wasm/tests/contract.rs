//! The contract's own text: what it says of effects is what the model says.

use super::*;
use crate::model::{Digest, Effect};

/// Every function of the contract with the text above it.
fn functions() -> Vec<(String, String)> {
    let mut resolve = wit_parser::Resolve::default();
    resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("wit/next")).unwrap();
    let mut functions = Vec::new();
    for (_, interface) in &resolve.interfaces {
        for (name, function) in &interface.functions {
            let docs = function.docs.contents.clone().unwrap_or_default();
            functions.push((format!("{}.{name}", interface.name.clone().unwrap_or_default()), docs));
        }
    }
    functions
}

#[test]
fn every_import_names_its_effect() {
    for (name, docs) in functions() {
        let exported = name.starts_with("remedy.") || name.starts_with("check.") || name.starts_with("advice.");
        assert!(exported || docs.contains("Effect: "), "{name} does not say what its effect is");
    }
}

#[test]
fn the_effects_are_the_models() {
    let instance = "shop-1".to_owned();
    for (function, action) in [
        ("scale.set-replicas", Action::Scale { target: shop(), to: 3 }),
        ("restart.restart-instance", Action::Restart { target: shop(), instance: instance.clone() }),
        ("traffic.set-weights", Action::Shift { target: shop(), weights: BTreeMap::new() }),
        ("isolate.set-isolated", Action::Isolate { target: shop(), instance, isolated: true }),
        ("cache.set-ttl", Action::Cache { target: shop(), ttl_ms: 1 }),
    ] {
        let effect = match action.effect() {
            Effect::Observe => "Effect: observe.",
            Effect::Mutate => "Effect: mutate.",
            Effect::Destructive => "Effect: destructive.",
        };
        let all = functions();
        let (_, docs) = all.iter().find(|(name, _)| name == function).unwrap();
        assert!(docs.contains(effect), "{function}: {docs}");
    }
}

/// The published versions with the digest of their texts: names and bytes of all files, in the order of their paths.
const PUBLISHED: &[(&str, &str)] = &[("v1.0.0", "2291f456d0b9a8f53d41ac630c2b455792a152a148b90e0c579b06bacdba3523")];

fn wit(version: &str) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("wit").join(version);
    let read = |path: std::path::PathBuf| {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
        (name, std::fs::read_to_string(path).unwrap())
    };
    let files = |dir: &Path| std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let all = files(&root).into_iter().chain(files(&root.join("deps")));
    all.filter(|path| path.is_file()).map(read).collect()
}

#[test]
fn a_published_version_is_frozen() {
    for (version, digest) in PUBLISHED {
        let text: String = wit(version).into_iter().map(|(name, text)| format!("{name}\n{text}\n")).collect();
        let found = Digest::of(text.as_bytes()).to_string();
        assert_eq!(found, *digest, "wit/{version} is published: changes belong into wit/next");
    }
}

/// The interfaces and worlds of a version by their first line: their lines without comments and package versions.
fn blocks(version: &str) -> BTreeMap<String, Vec<String>> {
    let mut blocks = BTreeMap::new();
    for text in wit(version).into_values() {
        let mut open: Option<(String, Vec<String>)> = None;
        let unversioned = |line: &str| {
            let version = |c: char| c.is_ascii_digit() || c == '.';
            let parts: Vec<_> = line.split('@').enumerate().collect();
            let cut = |(n, part): (usize, &str)| {
                if n == 0 { part.to_owned() } else { part.trim_start_matches(version).to_owned() }
            };
            parts.into_iter().map(cut).collect::<String>()
        };
        for line in text.lines().filter(|line| !line.trim_start().starts_with("///")) {
            match &mut open {
                None if line.starts_with("interface ") || line.starts_with("world ") => {
                    open = Some((line.to_owned(), Vec::new()));
                }
                None => {}
                Some(_) if line == "}" => blocks.extend(open.take()),
                Some((_, lines)) => lines.push(unversioned(line)),
            }
        }
    }
    blocks
}

#[test]
fn what_is_served_has_every_published_interface_as_it_was() {
    let next = blocks("next");
    for (version, _) in PUBLISHED {
        let published = blocks(version);
        assert_eq!(published.len(), 16, "the parsing of this test is broken");
        for (name, lines) in published.iter().filter(|(name, _)| name.starts_with("interface")) {
            let served = next.get(name);
            assert_eq!(served, Some(lines), "{name} of {version}: new functions go into a new interface");
        }
    }
}

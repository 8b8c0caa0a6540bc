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
        ("rollout.roll-out", Action::Rollout { target: shop() }),
        ("configure.set", Action::Configure { target: shop(), setting: "maxmemory".to_owned(), value: "0".to_owned() }),
        ("flush.by-prefix", Action::Flush { target: shop(), prefix: "shop:".to_owned() }),
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

/// The published versions with the digest of their texts (names and bytes of all files, in the order of their paths), and
/// how many interfaces and worlds they have.
const PUBLISHED: &[(&str, &str, usize)] = &[
    ("v1.0.0", "2291f456d0b9a8f53d41ac630c2b455792a152a148b90e0c579b06bacdba3523", 16),
    ("v1.1.0", "03db4184554a0ffdec512b860d22913e662c26eb59bb8c7ecf829fde08781277", 19),
];

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
    for (version, digest, _) in PUBLISHED {
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
    for (version, _, count) in PUBLISHED {
        let published = blocks(version);
        assert_eq!(published.len(), *count, "the parsing of this test is broken");
        for (name, lines) in published.iter().filter(|(name, _)| name.starts_with("interface")) {
            let served = next.get(name);
            assert_eq!(served, Some(lines), "{name} of {version}: new functions go into a new interface");
        }
    }
}

#[test]
fn every_look_of_the_contract_is_answered_by_a_replay() {
    // What gives something about a target and changes nothing is a look: its answer has to come from the record.
    let looks: Vec<_> = functions()
        .into_iter()
        .filter(|(_, docs)| docs.contains("Effect: observe.") && docs.contains("Errors: not-found"))
        .map(|(name, _)| name.replace("incident.[method]target.", "incident.target."))
        .collect();
    let mut known = LOOKS.map(str::to_owned);
    known.sort();
    assert_eq!(looks.into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>(), known);
}

/// The names of what a component imports and exports carry the version that it was built for, and 1.0.0 is not 1.1.0: both are
/// found all the same.
#[tokio::test]
async fn what_was_built_for_1_0_loads_and_runs() {
    let old = hostile::guest_of("v1.0.0", "guests", "built-for-1-0", "verifying-playbook", |wat| wat);
    let playbook = host().load_playbook("old", old).await.unwrap();
    assert_eq!((playbook.name(), playbook.contract(), playbook.verifies()), ("built-for-1-0", "1.0.0", true));
    assert!(playbook.imports().iter().all(|import| import.ends_with("@1.0.0")), "{:?}", playbook.imports());
    let old_kinds =
        [ActionKind::Scale, ActionKind::Restart, ActionKind::Traffic, ActionKind::Isolate, ActionKind::Cache];
    assert_eq!(playbook.wants().iter().copied().collect::<Vec<_>>(), old_kinds);
    playbook.validate(&Args::new()).await.unwrap();
    let world = FakeWorld::of(shop_of(2));
    let wall = Limits::default().wall;
    let ran = playbook.remediate(incident(shop_of(2)), &Args::new(), Box::new(world.clone()), wall).await;
    assert_eq!((ran.result, world.diff()), (Ok(String::new()), vec!["local:shop workers 2 -> 3".to_owned()]));
    assert_eq!(playbook.verify(incident(shop_of(3)), &Args::new()).await.unwrap().result, Ok(Ok(())));
}

#[tokio::test]
async fn a_rule_that_was_built_for_1_0_loads_and_answers() {
    let as_rule = |wat: String| {
        let wat = wat.replace("@1.1.0", "@1.0.0").replace("plugin/remedy", "plugin/advice");
        let validate = wat.lines().filter(|line| !line.contains("#validate")).collect::<Vec<_>>().join("\n");
        validate.replace("#remediate\") (param i32 i32)", "#propose\")")
    };
    let old = hostile::guest_of("v1.0.0", "hostile", "harmless", "rule", as_rule);
    let rule = host().load_rule("old", old).await.unwrap();
    assert_eq!((rule.name(), rule.contract()), ("hostile", "1.0.0"));
    assert_eq!(rule.propose(incident(shop_of(2))).await.result, Ok(Vec::new()));
}

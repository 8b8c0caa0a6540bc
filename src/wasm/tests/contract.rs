//! The contract's own text: what it says of effects is what the model says.

use super::*;
use crate::model::Effect;

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
        let exported = name.starts_with("remedy.") || name.starts_with("advice.");
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

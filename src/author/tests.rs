//! The kit against the stock components and the hostile ones.

mod cases;
mod finds;
mod kit;

use std::sync::OnceLock;

use super::*;
use crate::wasm::{Host, Limits};

/// One host for all: compiling takes seconds in a debug build, and is cached beside the tests.
fn host() -> Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    let cache = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/kit-test-cache");
    let cache = std::env::var_os("CARGO_TARGET_DIR")
        .map_or(cache, |dir| std::path::absolute(std::path::PathBuf::from(dir).join("kit-test-cache")).unwrap());
    HOST.get_or_init(|| Host::new(Limits { fuel: 20_000_000, ..Limits::default() }, Some(&cache)).unwrap()).clone()
}

async fn stock(name: &str) -> Component {
    Component::load(&host(), name, crate::wasm::stock_named(name).unwrap().to_vec()).await.unwrap()
}

async fn hostile(name: &str) -> Component {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut bytes = wat::parse_file(root.join(format!("tests/fixtures/hostile/{name}.wat"))).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(root.join("wit/next")).unwrap();
    let world = resolve.select_world(&[package], Some("playbook")).unwrap();
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut bytes, &resolve, world, encoding).unwrap();
    let bytes = wit_component::ComponentEncoder::default().module(&bytes).unwrap().encode().unwrap();
    Component::load(&host(), name, bytes).await.unwrap()
}

fn case(text: &str) -> Case {
    Case::parse(text, "a.toml").unwrap_or_else(|e| panic!("{e}"))
}

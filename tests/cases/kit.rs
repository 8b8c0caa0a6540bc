//! The authoring kit through the binary: from nothing to a playbook that is built, tested, known and fuzzed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::harness::{Running, Said, folder, run_in, suture, warm};

/// Compiling a playbook from nothing, on a machine that does other things as well.
const BUILD: Duration = Duration::from_secs(280);

/// A command of the kit that may compile; the guests' dependencies are on this machine, for our own build used them.
#[track_caller]
fn kit(dir: &Path, args: &[&str]) -> Said {
    let mut command = suture(&[&["playbook"], args, &["--data-dir", "d"]].concat());
    command.env("CARGO_NET_OFFLINE", "true").current_dir(dir);
    let mut child = Running::spawn(dir, command);
    let status = child.ended_within(BUILD);
    child.said(status)
}

#[test]
fn a_new_rust_playbook_builds_and_passes_as_it_is() {
    let dir = folder();
    let dir = dir.path();
    warm(&dir.join("d"));
    kit(dir, &["new", "one-more"]).expect(0, &["made ./one-more", "suture playbook test"]);
    kit(dir, &["new", "one-more"]).expect(2, &["is there already"]);
    kit(dir, &["build", "one-more"]).expect(0, &["one-more/one-more.wasm", "sha256"]);
    kit(dir, &["test", "one-more"]).expect(0, &["pass adds-one", "2 cases, all pass"]);
    kit(dir, &["inspect", "one-more/one-more.wasm"])
        .expect(0, &["one-more", "mutate", "suture:scale/scale@1.1.0", "[[grant]]", "[plugins.pins]", "wit 1.1.0"]);
    kit(dir, &["run", "--dry", "one-more/one-more.wasm", "by=3"])
        .expect(0, &["local:shop workers 2 -> 5", "scale.set-replicas", "units of work"]);
    kit(dir, &["fuzz", "one-more/one-more.wasm", "--runs", "50", "--seed", "1"]).expect(0, &["nothing found"]);

    let case = dir.join("one-more/cases/adds-one.toml");
    let wrong = fs::read_to_string(&case).unwrap().replace("2 -> 3", "2 -> 4");
    fs::write(&case, wrong).unwrap();
    kit(dir, &["test", "one-more/one-more.wasm"]).expect(
        1,
        &["FAIL adds-one", "- local:shop workers 2 -> 4", "+ local:shop workers 2 -> 3", "2 cases, 1 failed"],
    );
    fs::write(&case, "[expect]\nplans = []\n").unwrap();
    kit(dir, &["test", "one-more/one-more.wasm"]).expect(2, &["adds-one.toml:2:1", "did you mean `plan`?"]);
    let source = dir.join("one-more/src/lib.rs");
    fs::write(&source, "fn").unwrap();
    kit(dir, &["build", "one-more"]).expect(1, &["error", "does not build"]);
}

/// A playbook that panics whenever it is run.
fn panics() -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut bytes = wat::parse_file(root.join("tests/fixtures/hostile/panics.wat")).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(root.join("wit/next")).unwrap();
    let world = resolve.select_world(&[package], Some("playbook")).unwrap();
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut bytes, &resolve, world, encoding).unwrap();
    wit_component::ComponentEncoder::default().module(&bytes).unwrap().encode().unwrap()
}

#[test]
fn a_failing_component_gives_a_case_that_fails() {
    let dir = folder();
    let dir = dir.path();
    warm(&dir.join("d"));
    fs::write(dir.join("panics.wasm"), panics()).unwrap();
    kit(dir, &["fuzz", "panics.wasm", "--runs", "3", "--seed", "5", "--out", "found"]).expect(
        1,
        &["found 1 problem", "crashed", "suture playbook test panics.wasm --cases found/fuzz-fault-5-1.toml"],
    );
    kit(dir, &["test", "panics.wasm", "--cases", "found"]).expect(1, &["FAIL fuzz-fault-5-1", "crashed"]);
    let json = kit(dir, &["run", "--dry", "panics.wasm", "--json"]).expect(1, &["\"fault\": true"]);
    serde_json::from_str::<serde_json::Value>(&json.out).unwrap();
}

#[test]
fn what_makes_no_sense_is_said_and_ends_with_2() {
    let dir = folder();
    let dir = dir.path();
    warm(&dir.join("d"));
    run_in(dir, &["playbook", "inspect", "no-such.wasm"]).expect(2, &["no-such.wasm"]);
    fs::write(dir.join("text.wasm"), "not wasm").unwrap();
    run_in(dir, &["playbook", "inspect", "text.wasm"]).expect(2, &["text.wasm is not a valid Wasm component"]);
    run_in(dir, &["playbook", "build", "."]).expect(2, &["suture playbook new"]);
    run_in(dir, &["playbook", "run", "scale-out"]).expect(2, &["--dry"]);
    kit(dir, &["run", "--dry", "scale-out", "by"]).expect(2, &["NAME=VALUE"]);
    kit(dir, &["run", "--dry", "scale-out", "by=99"]).expect(1, &["is not a whole number from 1 to 20"]);
    kit(dir, &["test", "scale-out"]).expect(2, &["--cases"]);
    run_in(dir, &["playbook", "new", "Not_A_Name"]).expect(2, &["`Not_A_Name` cannot be the name of a playbook"]);
}

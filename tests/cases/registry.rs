//! Components of the operator under a real daemon: held until accepted, struck and disabled, exchanged without a restart.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use suture::config::STOCK_PLAYBOOKS;
use suture::incident::{Component, State};
use suture::model::{Digest, Fact, Role};
use suture::wasm::{Store, stock_components};

use crate::harness::{PATIENCE, Rig, Ways, count, events, eventually, is_sound, of_kind, quiet_machine, run_in, state};

const ASK: Ways = Ways { mode: "approve", cooldown: "1ms", outlive: true };

/// A rig with a folder for playbooks, and this at the end of its config.
fn rig(more: &str) -> Rig {
    let rig = Rig::new(ASK);
    fs::create_dir(rig.dir.path().join("playbooks")).unwrap();
    let path = config(&rig);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, format!("{text}\n[plugins]\nplaybooks_dir = \"playbooks\"\n{more}")).unwrap();
    rig
}

fn config(rig: &Rig) -> PathBuf {
    rig.dir.path().join("suture.toml")
}

/// Puts a file in as a careful tool does: whole, in one step.
fn put(rig: &Rig, file: &str, bytes: &[u8]) -> Digest {
    let path = rig.dir.path().join("playbooks").join(file);
    let aside = path.with_extension("tmp");
    fs::write(&aside, bytes).unwrap();
    fs::rename(aside, path).unwrap();
    Digest::of(bytes)
}

/// The stock `scale-out` with a note in it that changes nothing but its digest.
fn scale_out(note: u8) -> Vec<u8> {
    let stock = stock_components().find(|(_, name, _)| *name == "scale-out").unwrap().2;
    // A custom section: its id, its size, the length of its name, its name.
    [stock, &[0, 2, 1, note]].concat()
}

/// A component of tests/fixtures/hostile under another name.
fn hostile(fixture: &str, name: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("tests/fixtures/hostile").join(format!("{fixture}.wat"))).unwrap();
    let text =
        text.replace("\"hostile\"", &format!("{name:?}")).replace("\"\\07\"", &format!("\"\\{:02x}\"", name.len()));
    let mut bytes = wat::parse_str(text).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(root.join("wit/next")).unwrap();
    let world = resolve.select_world(&[package], Some("playbook")).unwrap();
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut bytes, &resolve, world, encoding).unwrap();
    wit_component::ComponentEncoder::default().module(&bytes).unwrap().encode().unwrap()
}

fn playbook(state: &State, name: &str) -> Option<Component> {
    state.components.get(Role::Playbook, name).cloned()
}

#[track_caller]
fn until_held(rig: &Rig, name: &str, digest: Digest) {
    rig.until("it is held", |s| playbook(s, name).filter(|c| c.held == Some(digest)));
    // First it is written down, then it is so.
    let held = format!("HELD: {} waits", digest.short());
    eventually(PATIENCE, "it is on the page", || rig.say("playbooks").contains(&held).then_some(()));
}

#[track_caller]
fn until_used(rig: &Rig, name: &str, digest: Digest) {
    rig.until("it is in use", |s| playbook(s, name).filter(|c| c.accepted == digest && c.held.is_none()));
    let shown = format!("({})", digest.short());
    eventually(PATIENCE, "it is on the page", || rig.say("playbooks").contains(&shown).then_some(()));
}

/// The version that the plan of the open incident names.
fn asked_with(rig: &Rig, last: u64) -> Digest {
    let id = rig.asked_after(last);
    state(&rig.data()).incidents[&id].question.as_ref().unwrap().plan.component
}

#[test]
fn a_changed_file_is_held_while_the_old_one_goes_on_healing() {
    let _quiet = quiet_machine();
    let mut rig = rig("");
    let old = put(&rig, "scale-out.wasm", &scale_out(1));
    rig.start_learned();
    until_used(&rig, "scale-out", old);

    let new = put(&rig, "scale-out.wasm", &scale_out(2));
    until_held(&rig, "scale-out", new);
    let page = rig.say("playbooks");
    assert!(page.contains(&format!("HELD: {} waits", new.short())), "{page}");
    let checked = run_in(rig.dir.path(), &["check", "--offline", "--config", "suture.toml"]);
    checked.expect(0, &["playbook scale-out is held", &format!("suture ctl accept scale-out {}", new.short())]);

    // The old one is nowhere but in the store by now: a new life runs it from there.
    rig.stop();
    rig.start();
    until_held(&rig, "scale-out", new);
    rig.crowded();
    assert_eq!(asked_with(&rig, 0), old);

    // An approved plan keeps its version.
    let refused = rig.say(&format!("accept scale-out {}", old.short()));
    assert!(refused.contains("the file has changed"), "{refused}");
    let accepted = rig.say(&format!("accept scale-out {}", new.short()));
    assert!(accepted.contains("is accepted"), "{accepted}");
    until_used(&rig, "scale-out", new);
    rig.say("approve 1");
    rig.until("four workers", |s| s.runs.values().any(|r| r.done).then_some(()));
    rig.well();
    rig.until("healed", |s| s.incidents.values().any(|i| i.how.as_deref() == Some("healed")).then_some(()));
    let events = events(&rig.data());
    let ended = of_kind(&events, "playbook-ended");
    assert!(matches!(&ended[0].fact, Fact::PlaybookEnded { ran } if ran.component == old), "{ended:#?}");
    let by = of_kind(&events, "component-accepted")[0].by.clone().unwrap();
    assert!(by.id.starts_with("unix:"), "{by}");

    rig.crowded();
    assert_eq!(asked_with(&rig, 1), new);
    let store = Store::of_data_dir(&rig.data());
    for digest in [old, new] {
        assert_eq!(Digest::of(&store.get(digest).unwrap().unwrap()), digest);
    }
    let mode = fs::metadata(rig.data().join("components")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
    let data = rig.data();
    rig.stop();
    assert!(suture::ledger::verify(&data).unwrap().holds());
    rig.end();
}

#[test]
fn a_playbook_that_crashes_is_disabled_and_the_next_proposal_heals() {
    let _quiet = quiet_machine();
    let mut rig = rig("");
    let text = fs::read_to_string(config(&rig)).unwrap();
    let text = text.replace("max_workers = 6", "max_workers = 6\ncache = \"/cache\"");
    let grant = "[[grant]]\nplaybook = \"cache-aggressively\"\ntargets = [\"local:shop\"]\nallow = [\"cache\"]\n";
    fs::write(config(&rig), text + grant).unwrap();
    put(&rig, "scale-out.wasm", &hostile("panics", "scale-out"));
    rig.start_learned();
    rig.crowded();
    let id = rig.asked_after(0);
    let asked = |s: &State| s.incidents[&id].question.as_ref().map(|q| q.plan.playbook.clone());
    assert_eq!(asked(&state(&rig.data())).as_deref(), Some("cache-aggressively"), "the next proposal");
    for strikes in 1..=3 {
        // Only while a plan is asked about, or after that.
        eventually(PATIENCE, "a plan can be asked for", || {
            rig.say(&format!("plan {id} scale-out")).contains("plan asked for").then_some(())
        });
        rig.until("another strike", |s| playbook(s, "scale-out").filter(|c| c.strikes == strikes));
    }
    rig.until("it is disabled", |s| playbook(s, "scale-out")?.disabled);
    let page = rig.say("playbooks");
    assert!(page.contains("DISABLED after faults"), "{page}");

    eventually(PATIENCE, "the other is asked for", || {
        let said = rig.say(&format!("plan {id} cache-aggressively"));
        said.contains("plan asked for").then_some(())
    });
    rig.until("it is asked about", |s| asked(s).filter(|name| name == "cache-aggressively"));
    rig.say(&format!("approve {id}"));
    rig.until("the run is done", |s| s.runs.values().any(|r| r.done).then_some(()));
    rig.well();
    rig.until("healed", |s| (s.incidents[&id].how.as_deref() == Some("healed")).then_some(()));
    let crashes = count(&rig.data(), "component-struck");
    assert_eq!(crashes, 3);

    let said = rig.say("enable scale-out");
    assert!(said.contains("playbook scale-out is enabled"), "{said}");
    let known = playbook(&state(&rig.data()), "scale-out").unwrap();
    assert_eq!((known.strikes, known.disabled), (0, None));
    let said = rig.say("enable scale-out");
    assert!(said.contains("no component `scale-out` is disabled"), "{said}");
    let data = rig.data();
    rig.stop();
    is_sound(&data);
    rig.end();
}

#[test]
fn files_come_change_and_go_without_a_restart() {
    let mut rig = rig("");
    rig.start();
    let first = put(&rig, "my-heal.wasm", &hostile("harmless", "my-heal"));
    until_used(&rig, "my-heal", first);
    eventually(PATIENCE, "the log has how long it took", || rig.words().contains("reload_ms").then_some(()));

    // Half a file, and nobody writes the rest.
    let second = hostile("harmless", "my-heal").into_iter().chain([0, 2, 1, 7]).collect::<Vec<_>>();
    let path = rig.dir.path().join("playbooks/my-heal.wasm");
    fs::write(&path, &second[..second.len() / 2]).unwrap();
    eventually(PATIENCE, "it is said", || rig.words().contains("what was in use stays in use").then_some(()));
    assert!(rig.say("playbooks").contains(&first.short()), "the old one is there still");
    // A new life finds it torn as well, and goes on with what was accepted.
    rig.stop();
    rig.start();
    assert!(rig.say("playbooks").contains(&first.short()));
    fs::write(&path, &second).unwrap();
    until_held(&rig, "my-heal", Digest::of(&second));
    // Put back, nothing waits any more.
    put(&rig, "my-heal.wasm", &hostile("harmless", "my-heal"));
    until_used(&rig, "my-heal", first);

    fs::remove_file(&path).unwrap();
    eventually(PATIENCE, "it is gone", || (!rig.say("playbooks").contains("my-heal")).then_some(()));
    for name in STOCK_PLAYBOOKS {
        assert!(rig.say("playbooks").contains(name));
    }
    rig.end();
}

#[test]
fn what_wants_more_than_is_granted_waits_for_its_lines() {
    let mut rig = rig("");
    let old = put(&rig, "my-heal.wasm", &hostile("harmless", "my-heal"));
    rig.start();
    let new = put(&rig, "my-heal.wasm", &hostile("forges-a-handle", "my-heal"));
    until_held(&rig, "my-heal", new);
    let lines = ["[[grant]]", "playbook = \"my-heal\"", "targets = [\"local:shop\"]", "allow = [\"scale\"]"];
    for said in [rig.say("playbooks"), rig.say("accept my-heal")] {
        for line in lines {
            assert!(said.contains(line), "nothing of {line} in:\n{said}");
        }
    }
    let held = of_kind(&events(&rig.data()), "component-held");
    let Fact::ComponentHeld { gains, loses, .. } = &held[0].fact else { unreachable!() };
    assert_eq!((gains.as_slice(), loses.as_slice()), (["scale".to_owned()].as_slice(), [].as_slice()));
    until_held(&rig, "my-heal", new);
    assert_eq!(playbook(&state(&rig.data()), "my-heal").unwrap().accepted, old);

    // The grant is written and the daemon started again: now it can be accepted.
    rig.stop();
    let text = fs::read_to_string(config(&rig)).unwrap();
    let grant = "[[grant]]\nplaybook = \"my-heal\"\ntargets = [\"local:shop\"]\nallow = [\"scale\"]\n";
    let text = text.replace("[plugins]", &format!("{grant}[plugins]"));
    fs::write(config(&rig), text).unwrap();
    rig.start();
    let said = rig.say("accept my-heal");
    assert!(said.contains("is accepted"), "{said}");
    until_used(&rig, "my-heal", new);
    rig.end();
}

#[test]
fn only_admins_accept() {
    let mut rig = rig("admins = [\"console:anna\"]\n");
    put(&rig, "my-heal.wasm", &hostile("harmless", "my-heal"));
    rig.start();
    let new = put(&rig, "my-heal.wasm", &hostile("panics", "my-heal"));
    until_held(&rig, "my-heal", new);
    let said = rig.say("accept my-heal");
    assert!(said.contains("may not accept components"), "{said}");
    assert!(said.contains("admins = [\"console:anna\", \"unix:"), "{said}");
    assert!(rig.say("enable my-heal").contains("may not enable components"));
    assert_eq!(count(&rig.data(), "component-accepted"), 0);
    rig.stop();

    // A pin is the operator's word as well.
    let text = fs::read_to_string(config(&rig)).unwrap();
    fs::write(config(&rig), format!("{text}[plugins.pins]\nmy-heal = \"{new}\"\n")).unwrap();
    rig.start();
    until_used(&rig, "my-heal", new);
    assert_eq!(count(&rig.data(), "component-accepted"), 1);
    rig.end();
}

#[test]
fn where_pins_are_required_nothing_else_is_taken() {
    let mut rig = rig("require_pins = true\n");
    let mine = put(&rig, "my-heal.wasm", &hostile("harmless", "my-heal"));
    rig.start();
    let page = rig.say("playbooks");
    assert!(page.contains("NOT RUN") && page.contains("[plugins.pins]"), "{page}");
    assert_eq!(playbook(&state(&rig.data()), "my-heal"), None);
    run_in(rig.dir.path(), &["check", "--offline", "--config", "suture.toml"])
        .expect(1, &["playbook my-heal is not pinned", &format!("my-heal = \"{mine}\"")]);
    rig.stop();
    let text = fs::read_to_string(config(&rig)).unwrap();
    fs::write(config(&rig), format!("{text}[plugins.pins]\nmy-heal = \"{mine}\"\n")).unwrap();
    rig.start();
    until_used(&rig, "my-heal", mine);
    assert!(!rig.say("playbooks").contains("NOT RUN"));
    rig.end();
}

#[test]
fn a_lost_version_is_not_replaced_by_what_lies_there() {
    let mut rig = rig("");
    let old = put(&rig, "mine.wasm", &hostile("harmless", "my-heal"));
    rig.start();
    until_used(&rig, "my-heal", old);
    rig.stop();
    let new = put(&rig, "mine.wasm", &hostile("panics", "my-heal"));
    fs::remove_file(rig.data().join(format!("components/{old}.wasm"))).unwrap();
    rig.start();
    let known = rig.until("it is disabled", |s| playbook(s, "my-heal").filter(|c| c.disabled.is_some()));
    assert!(known.disabled.unwrap().contains("is lost"));
    let page = rig.say("playbooks");
    assert!(page.contains("NOT RUN: its accepted version") && page.contains("HELD"), "{page}");
    assert!(rig.say("enable my-heal").contains("cannot be run"));
    rig.say("accept my-heal");
    until_used(&rig, "my-heal", new);
    assert!(!rig.say("playbooks").contains("NOT RUN"));
    rig.end();
}

//! Guests that misbehave, from tests/fixtures/hostile: each costs only its own run, and its error has a name.

use std::time::Duration;

use super::*;

/// A fixture as a component; `change` may edit its text first.
pub(super) fn component(name: &str, change: impl Fn(String) -> String) -> Vec<u8> {
    guest("hostile", name, "playbook", change)
}

/// A fixture of one of the folders as a component of one of the worlds.
pub(super) fn guest(folder: &str, name: &str, world: &str, change: impl Fn(String) -> String) -> Vec<u8> {
    guest_of("next", folder, name, world, change)
}

/// The same, built for one of the versions of the contract.
pub(super) fn guest_of(
    version: &str,
    folder: &str,
    name: &str,
    world: &str,
    change: impl Fn(String) -> String,
) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("tests/fixtures").join(folder).join(format!("{name}.wat"));
    let mut bytes = wat::parse_str(change(std::fs::read_to_string(path).unwrap())).unwrap();
    let is_module = bytes.starts_with(b"\0asm\x01\0\0\0") && name != "core-module";
    if is_module {
        let mut resolve = wit_parser::Resolve::default();
        let (package, _) = resolve.push_dir(root.join("wit").join(version)).unwrap();
        let (package, world) = match world {
            // Encoding drops what is not used: most are playbooks and nothing else.
            "playbook" => (resolve.push_file(root.join("tests/fixtures/hostile/wasi.wit")).unwrap(), "reaching"),
            other => (package, other),
        };
        let world = resolve.select_world(&[package], Some(world)).unwrap();
        let encoding = wit_component::StringEncoding::UTF8;
        wit_component::embed_component_metadata(&mut bytes, &resolve, world, encoding).unwrap();
        bytes = wit_component::ComponentEncoder::default().module(&bytes).unwrap().encode().unwrap();
    }
    bytes
}

pub(super) async fn load(name: &str) -> Result<Playbook, LoadError> {
    host().load_playbook(name, component(name, |wat| wat)).await
}

pub(super) async fn load_error(name: &str) -> String {
    load(name).await.unwrap_err().to_string()
}

pub(super) async fn run_with(name: &str, limits: Limits) -> Ran<String> {
    let wall = limits.wall;
    let playbook = host_with(limits).load_playbook(name, component(name, |wat| wat)).await.unwrap();
    let world = Box::new(FakeWorld::of(shop_of(2)));
    playbook.remediate(incident(shop_of(2)), &Args::new(), world, wall).await
}

pub(super) async fn run(name: &str) -> Ran<String> {
    run_with(name, Limits::default()).await
}

#[tokio::test]
async fn a_fixture_that_does_no_harm_runs() {
    assert_eq!(run("harmless").await.result, Ok(String::new()));
}

#[tokio::test]
async fn an_endless_loop_runs_out_of_fuel() {
    let limits = Limits { fuel: 1_000_000, ..Limits::default() };
    assert_eq!(run_with("loops", limits).await.result, Err(RunError::OutOfFuel { limit: 1_000_000 }));
}

#[tokio::test]
async fn an_endless_loop_is_cut_by_wall_time_as_well() {
    let limits = Limits { fuel: u64::MAX, ..Limits::default() };
    let playbook = host_with(limits).load_playbook("loops", component("loops", |wat| wat)).await.unwrap();
    let world = Box::new(FakeWorld::of(shop_of(2)));
    let wall = Duration::from_millis(50);
    let ran = playbook.remediate(incident(shop_of(2)), &Args::new(), world, wall).await;
    assert_eq!(ran.result, Err(RunError::TimedOut { after_ms: 50, during: None }));
}

#[tokio::test(start_paused = true)]
async fn an_endless_loop_ends_on_a_paused_clock_as_well() {
    let limits = Limits { fuel: u64::MAX, ..Limits::default() };
    let playbook = host_with(limits).load_playbook("loops", component("loops", |wat| wat)).await.unwrap();
    let world = Box::new(FakeWorld::of(shop_of(2)));
    let wall = Duration::from_millis(50);
    let ran = playbook.remediate(incident(shop_of(2)), &Args::new(), world, wall).await;
    assert_eq!(ran.result, Err(RunError::TimedOut { after_ms: 50, during: None }));
}

#[tokio::test(start_paused = true)]
async fn a_host_call_that_hangs_is_cut_by_the_same_deadline() {
    let (catalog, _) = Catalog::load(&host(), None, None).await;
    let world = Box::new(FakeWorld { hang: true, ..FakeWorld::of(shop_of(2)) });
    let scale_out = catalog.playbook("scale-out").unwrap();
    let ran = scale_out.remediate(incident(shop_of(2)), &Args::new(), world, Duration::from_secs(10)).await;
    let error = ran.result.unwrap_err();
    assert!(!error.is_fault(), "the platform hangs, not the playbook");
    assert_eq!(
        error.to_string(),
        "stopped: no answer within 10.0 s (waiting for scale.set-replicas, which may have happened)"
    );
    let last = ran.calls.last().unwrap();
    assert_eq!((last.call.as_str(), last.output.is_null()), ("scale.set-replicas", true));
}

#[tokio::test]
async fn hoarding_ends_at_the_limit() {
    let memory = run("hoards-memory").await.result.unwrap_err();
    assert_eq!(memory.to_string(), "stopped: it wanted more memory than a run may have (128 MiB)");
    let table = run("hoards-table").await.result.unwrap_err();
    assert_eq!(table.to_string(), "stopped: it wanted more table elements than a run may have (100000)");
}

#[tokio::test]
async fn flooding_the_host_ends_the_run() {
    let ran = run("floods-the-host").await;
    assert_eq!(ran.result, Err(RunError::TooManyHostCalls { limit: 200 }));
    assert_eq!(ran.log.len(), 200);
}

#[tokio::test]
async fn flooding_the_log_loses_lines_and_nothing_else() {
    let ran = run("floods-the-log").await;
    assert_eq!(ran.result, Ok(String::new()));
    assert_eq!((ran.log.len(), ran.log_dropped), (32, 68));
    assert!(ran.log.iter().all(|line| !line.message.chars().any(char::is_control)));
}

#[tokio::test]
async fn what_does_not_fit_into_the_ledger_ends_the_run() {
    let ran = run_with("floods-its-notes", Limits { record_bytes: 1_000, ..Limits::default() }).await;
    let error = ran.result.unwrap_err();
    assert_eq!(error, RunError::TooMuchToRecord { limit: 1_000 });
    assert!(error.is_fault());
    assert!(serde_json::to_vec(&ran.calls).unwrap().len() < 2_000, "what was recorded until then is within the limit");
}

#[tokio::test]
async fn more_core_instances_than_allowed_are_not_even_made() {
    let limits = Limits { instances: 0, ..Limits::default() };
    let error = host_with(limits).load_playbook("harmless", component("harmless", |wat| wat)).await.unwrap_err();
    assert!(error.to_string().contains("instance count too high"), "{error}");
}

#[tokio::test]
async fn flooding_its_notes_is_refused_and_costs_nothing_else() {
    let ran = run("floods-its-notes").await;
    assert_eq!(ran.result, Ok(String::new()));
    let kept: usize = ran.notes.unwrap().iter().map(|(key, value)| key.len() + value.len()).sum();
    assert!(kept <= Limits::default().state_bytes, "{kept}");
    let refused = ran.calls.iter().filter(|c| c.output.pointer("/error/over-budget").is_some()).count();
    assert_eq!(refused, 47, "three notes fit");
}

#[tokio::test]
async fn a_text_past_the_limit_is_not_even_copied() {
    let error = run("shouts").await.result.unwrap_err();
    assert!(matches!(&error, RunError::Trapped(why) if why.contains("fuel")), "{error}");
    assert!(error.is_fault());
}

#[tokio::test]
async fn crashes_are_told_apart() {
    for (name, why) in [
        ("panics", "crashed: wasm trap: wasm `unreachable` instruction executed"),
        ("recurses", "crashed: wasm trap: call stack exhausted"),
        ("points-outside", "crashed: "),
        ("answers-garbage", "crashed: "),
        ("forges-a-handle", "crashed: unknown handle index 7"),
    ] {
        let error = run(name).await.result.unwrap_err();
        assert!(error.to_string().starts_with(why), "{name}: {error}");
        assert!(error.is_fault(), "{name}");
    }
}

#[tokio::test]
async fn a_crash_costs_only_its_own_run() {
    let host = host();
    let bad = host.load_playbook("panics", component("panics", |wat| wat)).await.unwrap();
    let good = host.load_playbook("harmless", component("harmless", |wat| wat)).await.unwrap();
    for _ in 0..3 {
        let world = || Box::new(FakeWorld::of(shop_of(2)));
        let wall = Limits::default().wall;
        assert!(bad.remediate(incident(shop_of(2)), &Args::new(), world(), wall).await.result.is_err());
        assert!(good.remediate(incident(shop_of(2)), &Args::new(), world(), wall).await.result.is_ok());
    }
}

#[tokio::test]
async fn what_cannot_say_what_it_is_is_not_loaded() {
    let says = load_error("acts-while-describing").await;
    assert_eq!(
        says,
        "acts-while-describing cannot say what it is: describe: stopped: it called the host more than 0 times"
    );
    let limits = Limits { fuel: 1_000_000, ..Limits::default() };
    let error =
        host_with(limits).load_playbook("x", component("loops-at-start", |wat| wat)).await.unwrap_err().to_string();
    assert!(error.contains("stopped after 1000000 units of work"), "{error}");
    let error = load_error("begins-huge").await;
    assert!(error.contains("it wanted more memory"), "{error}");
    let error = load_error("bad-name").await;
    assert_eq!(error, "bad-name describes itself wrongly: its name `../etc` is not 1 to 64 of a-z, 0-9 and -");
}

#[tokio::test]
async fn what_wants_more_than_there_is_is_not_loaded() {
    let secrets = load_error("wants-secrets").await;
    assert!(secrets.starts_with("wants-secrets imports `acme:secrets/vault@1.0.0`, which this host"), "{secrets}");
    let version = load_error("other-version").await;
    assert!(version.contains("`suture:scale/scale@9.0.0`, which this host has in version 1.1.0"), "{version}");
}

#[tokio::test]
async fn what_is_of_another_shape_is_not_loaded() {
    assert!(matches!(load("other-types").await, Err(LoadError::OtherContract { .. })));
    assert!(matches!(load("other-exports").await, Err(LoadError::OtherContract { .. })));
    let nothing = load_error("offers-nothing").await;
    assert_eq!(nothing, "offers-nothing does not export `suture:plugin/remedy@1.1.0`");
    let module = load_error("core-module").await;
    assert!(module.starts_with("core-module is a core Wasm module, not a component: turn it into one"), "{module}");
    let garbage = host().load_playbook("garbage", b"garbage".to_vec()).await.unwrap_err();
    assert!(matches!(garbage, LoadError::NotAComponent { .. }));
    let torn = component("harmless", |wat| wat);
    let torn = host().load_playbook("torn", torn[..torn.len() / 2].to_vec()).await.unwrap_err();
    assert!(matches!(torn, LoadError::NotAComponent { .. }), "{torn}");
    let limits = Limits { component_bytes: 10, ..Limits::default() };
    let large = host_with(limits).load_playbook("large", vec![0; 11]).await.unwrap_err();
    assert_eq!(large.to_string(), "large has 11 bytes; a component may have at most 10");
}

#[tokio::test]
async fn a_playbook_is_no_rule_and_a_rule_may_not_act() {
    let as_rule = host().load_rule("harmless", component("harmless", |wat| wat)).await.unwrap_err().to_string();
    assert!(as_rule.ends_with("it is a playbook, and belongs in the folder of playbooks"), "{as_rule}");
    let acting = host().load_rule("x", component("forges-a-handle", |wat| wat)).await.unwrap_err().to_string();
    assert!(acting.contains("`suture:scale/scale@1.1.0`, which a rule may not"), "{acting}");
}

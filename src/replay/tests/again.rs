//! The same again, and the first difference where a record was changed.

use std::time::{Duration, Instant};

use super::*;
use crate::model::{HostCall, LogLevel, LogLine};

/// The one execution that is not as recorded.
fn difference(replay: &Replay) -> &Difference {
    let differ = replay.executions.iter().find_map(|e| match &e.verdict {
        Verdict::Different(difference) => Some(difference),
        _ => None,
    });
    assert_eq!(replay.ended(), Ended::Different, "{replay}");
    differ.unwrap_or_else(|| panic!("{replay}"))
}

#[tokio::test]
async fn every_stock_playbook_does_the_same_again() {
    let mut down = shop_of(3);
    down.instances[0].up = false;
    for (name, given, state) in [
        ("scale-out", args(&[]), shop_of(2)),
        ("restart-service", args(&[]), down),
        ("shed-load", args(&[("instance", "shop-2")]), shop_of(2)),
        ("rebalance", args(&[("instance", "shop-2")]), shop_of(2)),
        ("cache-aggressively", args(&[]), shop_of(2)),
        ("rolling-restart", args(&[]), TargetState { rollout: Some(0), ..shop_of(2) }),
        ("tune", args(&[("setting", "maxmemory"), ("value", "1")]), configurable()),
        ("flush-cache", args(&[("prefix", "shop:")]), TargetState { stores_entries: true, ..shop_of(2) }),
    ] {
        let replay = replayed(&healed_by(name, given, state).await).await;
        assert_eq!((replay.ended(), replay.executions.len()), (Ended::Identical, 3), "{replay}");
        let titles: Vec<_> = replay.executions.iter().map(|e| e.title.as_str()).collect();
        assert_eq!(titles, ["rule stock", &format!("dry run of {name}"), &format!("{name} in RUN-3")]);
        assert!(replay.checks.len() >= 5 && replay.unrecorded.is_empty(), "{replay}");
        assert!(replay.to_string().ends_with("identical") && replay.to_string().contains("SHA-256"), "{replay}");
    }
}

/// A shop with a setting.
fn configurable() -> TargetState {
    TargetState { settings: BTreeMap::from([("maxmemory".to_owned(), "0".to_owned())]), ..shop_of(2) }
}

#[tokio::test]
async fn a_changed_setting_shows_at_the_call_that_it_leads_to() {
    let given = args(&[("setting", "maxmemory"), ("value", "1")]);
    let mut events = healed_by("tune", given, configurable()).await;
    let dry = &mut transcripts(&mut events)[1];
    assert_eq!(dry.calls[1].call, "configure.settings");
    dry.calls[1].output["ok"]["settings"]["maxmemory"] = json!("1");
    let replay = replayed(&events).await;
    assert_eq!(difference(&replay).place, "call 3 (configure.set), what is called", "{replay}");
}

#[tokio::test]
async fn a_look_of_another_name_is_another_call() {
    let given = args(&[("setting", "maxmemory"), ("value", "1")]);
    let mut events = healed_by("tune", given, configurable()).await;
    transcripts(&mut events)[1].calls[1].call = "incident.target.state".to_owned();
    let replay = replayed(&events).await;
    assert_eq!(difference(&replay).place, "call 2 (incident.target.state), what is called", "{replay}");
}

#[tokio::test]
async fn a_refusal_and_a_wrong_argument_are_the_same_again() {
    let playbook = stock_playbook("scale-out").await;
    for given in [args(&[]), args(&[("by", "21")])] {
        let (_, ran) =
            super::super::would::playbook(&playbook, &basis(shop_of(6), given.clone()), &Allowed::everything()).await;
        assert!(ran.outcome.get("error").is_some(), "{ran:?}");
        let dry = crate::model::DryRun { args: given, view: told(&view(shop_of(6))), ran };
        let fact =
            Fact::PlanRefused { playbook: "scale-out".to_owned(), why: "no".to_owned(), dry_run: Some(Box::new(dry)) };
        let replay = replayed(&[opened(), event(1_001, None, fact)]).await;
        assert_eq!((replay.ended(), replay.executions.len()), (Ended::Identical, 1), "{replay}");
    }
}

#[tokio::test]
async fn a_changed_answer_shows_at_the_call_that_it_leads_to() {
    let mut events = healed_by("scale-out", args(&[]), shop_of(2)).await;
    let dry = &mut transcripts(&mut events)[1];
    assert_eq!(dry.calls[1].call, "incident.target.state");
    dry.calls[1].output["ok"]["replicas"] = json!(3);
    let replay = replayed(&events).await;
    let found = difference(&replay);
    assert_eq!(found.place, "call 3 (scale.set-replicas), arguments");
    assert_eq!(found.recorded, r#"{"target":"local:shop","to":4}"#);
    assert_eq!(found.replayed, r#"{"target":"local:shop","to":5}"#);
    assert_ne!(found.recorded_sha256, found.replayed_sha256);
    let text = replay.to_string();
    assert!(text.contains("DIFFERENT       record 3"), "{text}");
    assert!(text.contains("the first difference: call 3 (scale.set-replicas), arguments"), "{text}");
}

#[tokio::test]
async fn each_other_part_that_was_changed_is_named() {
    let events = healed_by("scale-out", args(&[]), shop_of(2)).await;
    type Change = fn(&mut Transcript);
    let changes: [(&str, Change); 9] = [
        ("fuel", |ran| ran.fuel += 1),
        ("outcome", |ran| ran.outcome = json!({ "ok": "scaled local:shop from 2 to 3 instances" })),
        ("notes", |ran| ran.notes = Some(BTreeMap::from([("key".to_owned(), "value".to_owned())]))),
        ("log line 1", |ran| ran.log.push(LogLine { level: LogLevel::Warn, message: "never said".to_owned() })),
        ("log lines dropped", |ran| ran.log_dropped = 1),
        ("call 1 (incident.targets), answer", |ran| ran.calls[0].output = json!(["local:other"])),
        ("call 4 (incident.target.name), arguments", |ran| ran.calls[3].input = json!({ "handle": 9 })),
        ("call 4", |ran| drop(ran.calls.pop())),
        ("call 5", |ran| {
            let call = "metrics.latest".to_owned();
            ran.calls.push(HostCall { call, input: Value::Null, output: json!([]) });
        }),
    ];
    for (place, change) in changes {
        for execution in [1, 2] {
            let mut events = events.clone();
            change(transcripts(&mut events)[execution]);
            let replay = replayed(&events).await;
            assert_eq!(difference(&replay).place, place, "{replay}");
            let others = replay.executions.iter().filter(|e| matches!(e.verdict, Verdict::Identical { .. })).count();
            assert_eq!(others, 2, "the others are as recorded: {replay}");
        }
    }
}

#[tokio::test]
async fn a_changed_view_shows_in_the_rule() {
    let mut events = healed_by("scale-out", args(&[]), shop_of(2)).await;
    let Fact::Proposed { view, .. } = &mut events[1].fact else { panic!() };
    view["risk"] = json!(1.0);
    view["targets"] = json!([]);
    let replay = replayed(&events).await;
    assert!(difference(&replay).place.starts_with("call "), "{replay}");
    assert!(replay.executions[0].title == "rule stock" && replay.executions[1].title.starts_with("dry run"));
}

#[tokio::test]
async fn what_is_shown_of_a_difference_is_short_and_harmless() {
    let mut events = healed_by("scale-out", args(&[]), shop_of(2)).await;
    let evil = format!("\u{1b}[2J\u{202e}{}", "long ".repeat(1_000));
    transcripts(&mut events)[2].outcome = json!({ "ok": evil });
    transcripts(&mut events)[2].name = "\u{1b}[31mscale-out".to_owned();
    let replay = replayed(&events).await;
    assert_eq!(difference(&replay).place, "outcome");
    assert!(difference(&replay).recorded.chars().count() < 300, "{replay}");
    let text = replay.to_string();
    assert!(!text.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'), "{text:?}");
}

#[tokio::test]
async fn a_missing_component_is_named_with_where_it_was_looked_for() {
    let mut events = healed_by("scale-out", args(&[]), shop_of(2)).await;
    let lost = Digest::of(b"lost");
    transcripts(&mut events)[0].component = lost;
    let dir = tempfile::tempdir().unwrap();
    let replay = replay(&case(&events), &mut repeater(dir.path())).await;
    assert_eq!(replay.ended(), Ended::Incomplete, "{replay}");
    let Verdict::NotReplayed { why } = &replay.executions[0].verdict else { panic!("{replay}") };
    let path = dir.path().join("components").join(format!("{lost}.wasm"));
    assert!(why.contains(&lost.to_string()) && why.contains(path.to_str().unwrap()), "{why}");
}

#[tokio::test]
async fn a_component_of_the_store_is_used_and_a_damaged_one_is_not() {
    let mut events = healed_by("scale-out", args(&[]), shop_of(2)).await;
    let dir = tempfile::tempdir().unwrap();
    let bytes = with_other_bytes(transcripts(&mut events)[2].component);
    let own = crate::wasm::Store::of_data_dir(dir.path()).put(&bytes).unwrap();
    transcripts(&mut events)[2].component = own;
    let replay = replay(&case(&events), &mut repeater(dir.path())).await;
    assert!(matches!(replay.executions[2].verdict, Verdict::Identical { .. }), "{replay}");
    assert_eq!(problems(&replay).len(), 1, "the plan is by another component: {replay}");

    std::fs::write(dir.path().join(format!("components/{own}.wasm")), b"other").unwrap();
    let replay = super::super::replay(&case(&events), &mut repeater(dir.path())).await;
    let Verdict::NotReplayed { why } = &replay.executions[2].verdict else { panic!("{replay}") };
    assert!(why.contains("damaged"), "{why}");
}

#[tokio::test]
async fn what_cannot_be_read_is_said() {
    let mut events = healed_by("scale-out", args(&[]), shop_of(2)).await;
    let Fact::Planned { view, .. } = &mut events[2].fact else { panic!() };
    *view = json!({ "id": "not a view" });
    let replay = replayed(&events).await;
    let Verdict::NotReplayed { why } = &replay.executions[1].verdict else { panic!("{replay}") };
    assert!(why.starts_with("what it was told cannot be read (record 3)"), "{why}");
}

/// Hangs in its first action.
struct Hanging(TargetState);

#[async_trait]
impl World for Hanging {
    async fn observe(&mut self, _: &TargetId) -> Result<TargetState, HostError> {
        Ok(self.0.clone())
    }

    async fn act(&mut self, _: Action) -> Result<String, HostError> {
        std::future::pending().await
    }
}

/// An incident whose dry run of scale-out was cut in its action, after so long.
fn hung(wall: Duration) -> Vec<Event> {
    let paused = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let ran = paused.block_on(async {
        let playbook = stock_playbook("scale-out").await;
        let ran = playbook.remediate(view(shop_of(2)), &Args::new(), Box::new(Hanging(shop_of(2))), wall).await;
        ran.transcript("scale-out", playbook.digest())
    });
    assert_eq!(ran.calls.last().unwrap().output, Value::Null);
    let dry = crate::model::DryRun { args: Args::new(), view: told(&view(shop_of(2))), ran };
    let why = "it hung".to_owned();
    let fact = Fact::PlanRefused { playbook: "scale-out".to_owned(), why, dry_run: Some(Box::new(dry)) };
    vec![opened(), event(1_001, None, fact)]
}

#[test]
fn what_hung_until_its_deadline_is_cut_at_the_same_place_without_waiting() {
    let events = hung(Duration::from_secs(3_600));
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let replay = runtime.block_on(replayed(&events));
    assert_eq!(replay.ended(), Ended::Identical, "{replay}");
    assert!(begun.elapsed() < Duration::from_secs(600), "it waited for the hour");

    let mut tampered = events;
    let Fact::PlanRefused { dry_run: Some(dry), .. } = &mut tampered[1].fact else { panic!() };
    dry.ran.fuel += 1;
    let replay = runtime.block_on(replayed(&tampered));
    assert_eq!(difference(&replay).place, "fuel", "up to the cut it is held to its record as any other");
}

#[tokio::test]
async fn what_was_cut_while_it_computed_is_not_repeatable_and_said_to_be_so() {
    let mut events = healed_by("scale-out", args(&[]), shop_of(2)).await;
    let ran = &mut transcripts(&mut events)[2];
    ran.calls.truncate(3);
    ran.fuel = 1_000;
    ran.outcome = json!({ "error": { "timed-out": { "after_ms": 10_000, "during": null } } });
    let replay = replayed(&events).await;
    let Verdict::NotRepeatable { why } = &replay.executions[2].verdict else { panic!("{replay}") };
    assert_eq!(why, "cut by wall time while it computed; its 3 calls up to there are the same");
    assert_eq!(replay.ended(), Ended::Identical);
    assert!(replay.to_string().ends_with("everything that can be repeated is identical"), "{replay}");

    transcripts(&mut events)[2].calls[2].input["to"] = json!(9);
    let replay = replayed(&events).await;
    assert_eq!(difference(&replay).place, "call 3 (scale.set-replicas), arguments");
}

#[tokio::test]
async fn the_order_of_keys_is_no_difference_and_the_digest_does_not_see_it() {
    let mut events = healed_by("scale-out", args(&[]), shop_of(2)).await;
    let before = sha256(transcripts(&mut events)[2]);
    transcripts(&mut events)[2].calls[2].input = json!({ "to": 4, "target": "local:shop" });
    assert_eq!(sha256(transcripts(&mut events)[2]), before);
    assert_eq!(canonical(&json!({ "b": [{ "d": 1, "c": 2.0 }], "a": null })), br#"{"a":null,"b":[{"c":2.0,"d":1}]}"#);
    assert_eq!(replayed(&events).await.ended(), Ended::Identical);
}

#[tokio::test]
async fn an_old_ledger_without_transcripts_is_no_failure() {
    let mut events = healed_by("scale-out", args(&[]), shop_of(2)).await;
    if let Fact::Proposed { asked, .. } = &mut events[1].fact {
        asked.clear();
    }
    if let Fact::Planned { ran, .. } = &mut events[2].fact {
        *ran = None;
    }
    events.retain(|e| !matches!(e.fact, Fact::PlaybookEnded { .. }));
    let replay = replayed(&events).await;
    assert_eq!(
        (replay.ended(), replay.executions.len(), replay.unrecorded.len()),
        (Ended::Identical, 0, 3),
        "{replay}"
    );
    assert!(replay.to_string().ends_with("nothing of it is recorded in a way that could be done again"), "{replay}");
}

/// A playbook that finds every cure good, from the fixture that does nothing.
fn with_a_check() -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("tests/fixtures/hostile/harmless.wat")).unwrap();
    let verify = r#"(func (export "suture:plugin/check@1.1.0#verify") (param i32 i32) (result i32) (i32.const 128)))"#;
    let open = text.trim_end().strip_suffix(')').unwrap();
    let mut bytes = wat::parse_str(format!("{open}{verify}")).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(root.join("wit/next")).unwrap();
    let world = resolve.select_world(&[package], Some("verifying-playbook")).unwrap();
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut bytes, &resolve, world, encoding).unwrap();
    wit_component::ComponentEncoder::default().module(&bytes).unwrap().encode().unwrap()
}

#[tokio::test]
async fn a_playbooks_own_check_is_done_again_too() {
    let mut events = healed_by("scale-out", args(&[]), shop_of(4)).await;
    let bytes = with_a_check();
    let playbook = host().load_playbook("checks", bytes.clone()).await.unwrap();
    let ran = playbook.verify(view(shop_of(4)), &Args::new()).await.unwrap().transcript("checks", playbook.digest());
    assert_eq!(ran.outcome, json!({ "ok": { "Ok": null } }));
    let fact = Fact::PlaybookChecked { view: told(&view(shop_of(4))), ran };
    events.insert(events.len() - 1, event(1_008, Some(3), fact));
    let dir = tempfile::tempdir().unwrap();
    crate::wasm::Store::of_data_dir(dir.path()).put(&bytes).unwrap();
    let found = replay(&case(&events), &mut repeater(dir.path())).await;
    assert_eq!((found.ended(), found.executions.len()), (Ended::Identical, 4), "{found}");
    assert_eq!(found.executions[3].title, "own check of checks after RUN-3");

    transcripts(&mut events)[3].outcome = json!({ "ok": { "Err": "it is not well" } });
    let found = replay(&case(&events), &mut repeater(dir.path())).await;
    assert_eq!(difference(&found).place, "outcome");
}

//! An incident, done again from its record: after a healing of the real daemon, after `kill -9`, and after a power cut at
//! every point of a run with real components.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use suture::engine::{Asked, Healer};
use suture::incident::State;
use suture::model::{Args, Digest, Event, Fact, IncidentId, Proposal, RunId};
use suture::replay::{Case, Repeater, Replay, Shelf, Verdict, replay};
use suture::wasm::{Catalog, Host, IncidentView, Limits, Playbook, Ran, RunError, World as Seen};

use crate::harness::{
    Cut, PATIENCE, Rig, Script, Ways, World, count, events, eventually, of_kind, quiet_machine, run_in,
};

/// Compiled code is kept between tests: compiling with an unoptimised compiler takes seconds.
fn host() -> Host {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    fs::create_dir_all(&cache).unwrap();
    Host::new(Limits::default(), Some(&cache)).unwrap()
}

/// The stock components behind the engine's port; shed-load is proposed, which scales and isolates.
struct Stock {
    catalog: Catalog,
}

#[async_trait]
impl Healer for Stock {
    async fn propose(&self, view: &IncidentView, _: &BTreeSet<Digest>) -> Result<Asked, String> {
        let rule = self.catalog.rule("stock").unwrap();
        let ran = rule.propose(view.clone()).await;
        let proposal = Proposal {
            playbook: "shed-load".to_owned(),
            args: Args::from([("instance".to_owned(), "shop-2".to_owned())]),
            why: "the test says so".to_owned(),
            rule: "stock".to_owned(),
        };
        // As if the rule had said so: it is told of no metrics here.
        let mut transcript = ran.transcript("stock", rule.digest());
        let said = transcript.outcome["ok"].as_array().unwrap().is_empty();
        assert!(said, "{transcript:?}");
        transcript.outcome["ok"] = serde_json::json!([proposal]);
        Ok(Asked { proposals: vec![proposal], transcripts: vec![transcript], failed: Vec::new() })
    }

    fn component(&self, playbook: &str) -> Option<Digest> {
        self.catalog.playbook(playbook).map(Playbook::digest)
    }

    async fn has(&self, playbook: &str, component: Digest) -> bool {
        self.component(playbook) == Some(component)
    }

    async fn remediate(
        &self,
        playbook: &str,
        _: Digest,
        view: &IncidentView,
        args: &Args,
        world: Box<dyn Seen>,
        wall: Duration,
    ) -> Ran<String> {
        match self.catalog.playbook(playbook) {
            Some(playbook) => playbook.remediate(view.clone(), args, world, wall).await,
            None => Ran::never(RunError::Failed("not there".to_owned())),
        }
    }

    async fn verify(&self, _: &str, _: Digest, _: &IncidentView, _: &Args) -> Option<Ran<Result<(), String>>> {
        None
    }
}

async fn replayed(events: &[Event], repeater: &mut Repeater) -> Replay {
    let case = Case::of(IncidentId(1), (1..).zip(events)).unwrap();
    replay(&case, repeater).await
}

/// Everything but the rule, whose answer the test has put in.
fn is_identical_but_for_the_rule(replay: &Replay) -> bool {
    let all = replay.executions.iter().all(|e| match &e.verdict {
        Verdict::Identical { .. } => true,
        Verdict::Different(difference) => e.title == "rule stock" && difference.place == "outcome",
        _ => false,
    });
    all && replay.checks.iter().all(|check| check.problem.is_none())
}

#[tokio::test]
async fn a_run_that_was_cut_anywhere_and_taken_up_again_is_replayed_from_its_beginning() {
    let (catalog, errors) = Catalog::load(&host(), None, None).await;
    assert!(errors.is_empty(), "{errors:?}");
    let healer: Arc<dyn Healer> = Arc::new(Stock { catalog });
    let script = Script { needs_replicas: 3, ..Script::default() };
    let world = || World { healer: Some(Arc::clone(&healer)), ..World::new(script.clone()) };
    let nowhere = tempfile::tempdir().unwrap();
    let mut repeater = Repeater::new(host(), Shelf::of_data_dir(nowhere.path()));

    let uncut = world();
    let cut = Cut::never();
    let mut life = uncut.life(&cut);
    uncut.live(&mut life, 200).await;
    let whole = uncut.events.lock().unwrap().clone();
    assert_eq!(State::fold(&whole).incidents[&IncidentId(1)].how.as_deref(), Some("healed"));
    let first = replayed(&whole, &mut repeater).await;
    assert!(is_identical_but_for_the_rule(&first), "{first}");
    assert_eq!(first.executions.len(), 3, "{first}");

    let points = cut.points_passed();
    let mut taken_up = 0;
    for point in 1..=points {
        let world = world();
        assert!(world.live_with_cut(point).await, "there is no point {point}");
        let events = world.events.lock().unwrap().clone();
        let again = replayed(&events, &mut repeater).await;
        assert!(is_identical_but_for_the_rule(&again), "cut at {point} of {points}: {again}");
        let run = again.executions.iter().find(|e| e.run == Some(RunId(1))).unwrap();
        assert!(run.calls >= 5, "all calls, from the beginning: {again}");
        assert!(again.unrecorded.is_empty(), "{again}");
        taken_up +=
            usize::from(events.iter().any(
                |e| matches!(&e.fact, Fact::ActionDone { receipt, .. } if receipt == "found done after a restart"),
            ));
    }
    assert!(points > 20 && taken_up > 0, "{points} points, {taken_up} in the middle of an action");
}

/// `suture replay` with these arguments, run where the rig's config is.
fn says(rig: &Rig, args: &[&str], code: i32, parts: &[&str]) -> String {
    let args: Vec<_> = ["replay"].iter().chain(args).copied().collect();
    // Debug builds compile the components anew, which takes seconds for each.
    let mut child = crate::harness::Running::start(rig.dir.path(), &args);
    let status = child.ended_within(PATIENCE * 4);
    child.said(status).expect(code, parts).out
}

#[test]
fn what_the_daemon_did_is_identical_also_after_kill_9_in_the_middle_of_a_run() {
    let _quiet = quiet_machine();
    let mut rig = Rig::new(Ways { mode: "approve", cooldown: "1ms", outlive: true });
    rig.start_learned();
    let data = rig.data();
    rig.crowded();
    let first = rig.asked_after(0);
    rig.say(&format!("approve {first}"));
    eventually(PATIENCE, "four workers", || (rig.target().serving() == 4).then_some(()));
    rig.well();
    rig.until("healed", |s| (s.incidents[&first].how.as_deref() == Some("healed")).then_some(()));

    // While the daemon runs.
    let id = first.to_string();
    let parts = ["the ledger's chain holds", "rule stock", "dry run of scale-out", "scale-out in RUN-1", "\nidentical"];
    let text = says(&rig, &[&id, "--config", "suture.toml"], 0, &parts);
    assert!(!text.contains("DIFFERENT") && !text.contains("no record"), "{text}");

    // Taken back, ill again, and killed in the middle of the cure; a knife that comes too late has another try.
    let (mut last, mut cut) = (first, false);
    for _ in 0..8 {
        let run = rig.until("its run", |s| s.incidents[&last].runs.last().copied());
        rig.say(&format!("rollback {run}"));
        rig.until("taken back", |s| s.runs[&run].undo_done.then_some(()));
        let had = count(&data, "action-intended");
        rig.crowded();
        last = rig.asked_after(last.0);
        rig.say(&format!("approve {last}"));
        eventually(PATIENCE, "the action is on its way", || (count(&data, "action-intended") > had).then_some(()));
        rig.kill();
        let now = events(&data);
        cut = of_kind(&now, "playbook-ended").len() < of_kind(&now, "run-started").len();
        rig.start();
        eventually(PATIENCE, "four workers", || (rig.target().serving() == 4).then_some(()));
        rig.well();
        rig.until("healed", |s| (s.incidents[&last].how.as_deref() == Some("healed")).then_some(()));
        if cut {
            break;
        }
    }
    assert!(cut, "the daemon was always faster than the knife");
    rig.stop();

    // While none runs; nothing of the data folder changes.
    let before = listing(&data);
    let id = last.to_string();
    let all = says(&rig, &[&id, "--json"], 0, &[r#""ended": "identical""#]);
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    assert_eq!(all["executions"].as_array().unwrap().len(), 3, "{all:#}");
    assert_eq!(all["executions"][2]["run"], last.0, "{all:#}");
    assert_eq!(listing(&data), before, "a replay only reads");

    says(&rig, &["INC-99"], 2, &["there is no INC-99 in", "it has INC-1 to INC-"]);
    says(&rig, &["INC-1", "--data-dir", "nowhere"], 2, &["there is no ledger in nowhere"]);
    other_versions(&rig, &id);
    a_changed_ledger_is_not_replayed(&rig, &id);
    rig.end();
}

/// Every file with its size.
fn listing(dir: &Path) -> Vec<(std::path::PathBuf, u64)> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            match entry.metadata().unwrap() {
                meta if meta.is_dir() => folders.push(entry.path()),
                meta => found.push((entry.path(), meta.len())),
            }
        }
    }
    found.sort();
    found
}

fn other_versions(rig: &Rig, id: &str) {
    let (catalog, _) = {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Catalog::load(&host(), None, None))
    };
    let digest = catalog.playbook("scale-out").unwrap().digest();
    // The same playbook with other bytes: a custom section more.
    let mut bytes = suture::wasm::stock(digest).unwrap().to_vec();
    bytes.extend([0, 5, 4, b'n', b'o', b't', b'e']);
    fs::write(rig.dir.path().join("other.wasm"), bytes).unwrap();
    let same = ["by the grants of suture.toml", "it would have done the same", "nowhere: the two go the same way"];
    says(rig, &[id, "--playbook", "other.wasm"], 0, &same);
    let parts = ["- local:shop workers 2 -> 4", "+ local:shop workers 2 -> 3", "it would NOT have done the same"];
    says(rig, &[id, "--playbook", "other.wasm", "by=1"], 1, &parts);
    let denied = ["- local:shop workers 2 -> 4", "+ no plan: denied: scale on local:shop", "max_delta = 4"];
    says(rig, &[id, "--playbook", "other.wasm", "by=4"], 1, &denied);
    let unlimited = ["everything is taken as granted", "+ local:shop workers 2 -> 6"];
    says(rig, &[id, "--playbook", "other.wasm", "by=4", "--data-dir", "d"], 1, &unlimited);
    says(rig, &[id, "--playbook", "missing.wasm"], 2, &["cannot read missing.wasm"]);
    says(rig, &[id, "by=1"], 2, &["--playbook"]);
}

fn a_changed_ledger_is_not_replayed(rig: &Rig, id: &str) {
    let file = rig.data().join("ledger/00000000000000000001.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("scaled local:shop from 2 to 4", "scaled local:shop from 2 to 3", 1)).unwrap();
    says(rig, &[id], 3, &["nothing is replayed from a ledger that was changed", "THE CHAIN DOES NOT HOLD"]);
    fs::write(&file, text).unwrap();
}

#[test]
fn help_shows_how_it_is_called() {
    let dir = tempfile::tempdir().unwrap();
    run_in(dir.path(), &["replay", "--help"]).expect(0, &["suture replay INC-7", "Exit codes: 0 identical"]);
}

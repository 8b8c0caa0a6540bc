//! From the question to the report: a fault that is found and healed, one that its time ends, and one whose target
//! goes away.

use suture::incident::FaultState;
use suture::model::{ExperimentId, ExperimentOutcome, Stage};

use super::{doing, flat, kill, lab, learning_lab};
use crate::harness::{PATIENCE, count, events, eventually, is_sound, nobody_left, place, quiet_machine, run_in, state};

#[test]
fn a_fault_is_found_and_healed_and_the_report_says_so() {
    let _quiet = quiet_machine();
    let mut rig = learning_lab(false, "");
    rig.start_learned();
    let data = rig.data();

    // A dry run, and then the question: neither does anything.
    eventually(PATIENCE, "two workers", || (rig.target().serving() == 2).then_some(()));
    let plan = flat(&rig.say("chaos plan cure shop"));
    for words in ["dry run", "SIGSTOP", "SIGCONT", "shop-", "restart-service"] {
        assert!(plan.contains(words), "no `{words}` in the dry run: {plan}");
    }
    assert_eq!(count(&data, "experiment-asked"), 0, "a dry run asks for nothing");
    let (id, pid) = rig.stand_still("cure");
    let trial = rig.trial(id, "it is there", |trial| Some(trial.clone()));
    assert_eq!(trial.digest, trial.plan.digest(), "the yes was to this very plan");
    assert_eq!(trial.approvals.len(), 1, "{trial:#?}");
    let held = rig.held().unwrap();
    assert_eq!(held.iter().map(|fault| fault.id.as_str()).collect::<Vec<_>>(), [format!("EXP-{id}.1")]);
    assert!(flat(&rig.say("chaos list")).contains(&format!("EXP-{id} (cure) is under way on shop")));

    // Nobody answers there: that is what the page says from now on.
    let victim = held[0].instances[0].clone();
    eventually(PATIENCE, "the worker does not serve", || (!rig.target().instance(&victim)?.up).then_some(()));
    rig.failing();
    let incident = rig.asked_after(0);
    assert_eq!(
        state(&data).incidents[&incident].experiment,
        Some(ExperimentId(id)),
        "the incident is the experiment's"
    );
    let card = flat(&rig.say(&format!("show {incident}")));
    assert!(card.contains(&format!("during the experiment EXP-{id} (cure)")), "{card}");
    rig.say(&format!("approve {incident}"));
    let run = rig.until("it is restarted", |s| s.runs.values().find(|run| run.done).cloned());
    assert_eq!(run.plan.playbook, "restart-service");
    rig.well();

    // The fault went with the process that had it: nobody may say that it was taken out of the next one.
    let (outcome, why) = rig.ended(id);
    assert_eq!((outcome, why.as_str()), (ExperimentOutcome::Passed, "everything came as expected"));
    let how = rig.how_out(id).join("; ");
    assert!(how.contains("went with the process"), "the fault was out by the restart, and the ledger says: {how}");
    assert!(doing(pid).is_none_or(|doing| doing == 'Z'), "process {pid} was restarted");
    rig.nothing_is_in();
    let trial = rig.trial(id, "it is there", |trial| Some(trial.clone()));
    let stages: Vec<_> = trial.seen.iter().map(|(stage, steady, ..)| (*stage, *steady)).collect();
    assert_eq!(
        (stages.first(), stages.last()),
        (Some(&(Stage::Before, true)), Some(&(Stage::After, true))),
        "{stages:?}"
    );
    let events = events(&data);
    let order = [
        "experiment-asked",
        "experiment-approved",
        "experiment-started",
        "fault-intended",
        "fault-injected",
        "incident-opened",
        "run-started",
        "fault-lifted",
        "experiment-ended",
    ];
    let places = order.map(|kind| place(&events, kind));
    assert!(places.is_sorted(), "{order:?} came in another order: {places:?}");

    // The same report wherever it is asked for.
    let said = flat(&rig.say(&format!("chaos report EXP-{id}")));
    for words in ["PASSED", "everything came as expected", "restart-service", "100 of 100"] {
        assert!(said.contains(words), "no `{words}` in the report of the daemon: {said}");
    }
    let exp = format!("EXP-{id}");
    let form = |form: &str| run_in(rig.dir.path(), &["chaos", "report", &exp, "--form", form]).expect(0, &[]).out;
    let json: serde_json::Value = serde_json::from_str(&form("json")).unwrap();
    let told = ["outcome", "name", "why"].map(|key| json[key].as_str().unwrap_or_default().to_owned());
    assert_eq!(told, ["passed", "cure", "everything came as expected"], "{json:#}");
    assert_eq!(json["faults"][0]["kind"], "hang", "{json:#}");
    assert_eq!(json["incidents"][0]["how"], "healed", "{json:#}");
    assert_eq!(json["runs"][0]["playbook"], "restart-service", "{json:#}");
    assert!(json["times"]["to_detect_ms"].is_u64() && json["times"]["to_recover_ms"].is_u64(), "{json:#}");
    assert_eq!(json["score"]["points"], 100, "{json:#}");
    let markdown = form("markdown");
    for words in [exp.as_str(), "| ", "passed", "went with the process"] {
        assert!(markdown.contains(words), "no `{words}` in the Markdown:\n{markdown}");
    }
    let all = run_in(rig.dir.path(), &["chaos", "report", "cure", "--form", "json"]).expect(0, &[]).out;
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    assert_eq!((all.as_array().map(Vec::len), &all[0]), (Some(1), &json), "{all:#}");
    let board = run_in(rig.dir.path(), &["chaos", "score", "--form", "json"]).expect(0, &["hang"]).out;
    serde_json::from_str::<serde_json::Value>(&board).unwrap();
    run_in(rig.dir.path(), &["chaos", "score", "--form", "markdown"]).expect(0, &["hang", "| "]);
    let board = flat(&rig.say("chaos score"));
    assert!(board.contains("hang"), "the daemon's score board has it too: {board}");
    rig.stop();
    is_sound(&data);
    rig.end();
}

/// The end of a fault's time, and of an experiment that nobody found anything in.
#[test]
fn a_fault_is_out_when_its_time_is_over_and_what_was_not_found_is_said() {
    let _quiet = quiet_machine();
    let mut rig = lab(false, "");
    rig.start();
    let id = rig.begin("pause");
    let pid = rig.fault_in(id);
    let (outcome, why) = rig.ended(id);
    assert_eq!(outcome, ExperimentOutcome::Passed, "{why}");
    assert!(why.contains("there was nothing to find"), "{why}");
    let how = rig.how_out(id).join("; ");
    assert!(how.contains("its time was over"), "{how}");
    rig.nothing_is_in();
    assert!(doing(pid).is_some_and(|doing| doing != 'T'), "the same process goes on");
    let trial = rig.trial(id, "it is there", |trial| Some(trial.clone()));
    let Some(FaultState::Out(out)) = trial.faults.first() else { panic!("{trial:#?}") };
    let lasted = out.since(trial.first_fault_at.unwrap());
    assert!((5..=9).contains(&lasted.as_secs()), "the file says for 6 s, and it was in for {lasted:?}");
    rig.end();
}

/// The supervisor dies, and the workers with it: there is nothing left to take out, and that is said.
#[test]
fn a_target_that_is_gone_in_the_middle_ends_the_experiment() {
    let _quiet = quiet_machine();
    let mut rig = lab(false, "");
    rig.start();
    let id = rig.begin("pause");
    let pid = rig.fault_in(id);
    kill(rig.report().unwrap().pid);
    eventually(PATIENCE, "the worker dies with its supervisor", || doing(pid).is_none_or(|d| d == 'Z').then_some(()));
    let (outcome, why) = rig.ended(id);
    assert_eq!(outcome, ExperimentOutcome::Aborted, "{why}");
    assert!(why.contains("local:shop is gone"), "{why}");
    let how = rig.how_out(id).join("; ");
    assert!(how.contains("gone"), "the ledger says that the target is gone: {how}");
    assert_eq!(rig.stopped(), Vec::new());
    let exp = format!("EXP-{id}");
    let said = run_in(rig.dir.path(), &["chaos", "report", &exp, "--form", "markdown"]).expect(0, &["gone"]).out;
    assert!(!said.contains("MAY BE IN"), "{said}");
    rig.kill();
    nobody_left(rig.dir.path(), PATIENCE);
    rig.end();
}

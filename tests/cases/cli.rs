//! Bad input at the command line: an exit code that is documented, a message that names the thing, the place and the
//! remedy, and never a panic.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use suture::ledger::{self, Ledger, Options};
use suture::model::{Event, Fact, Timestamp};

use crate::harness::{Gives, PATIENCE, Page, Running, count, ctl, events, eventually, folder, of_kind, run_in, warm};

/// A service that is watched and has nothing to act on, quick enough for a case.
fn watching(url: &str) -> String {
    format!(
        "[suture]\ndata_dir = \"d\"\n[chat]\nconsole = false\n[[service]]\nname = \"shop\"\nmode = \"observe\"\n\
         interval = \"250ms\"\ntimeout = \"200ms\"\n[[service.source]]\nkind = \"scrape\"\nurls = [\"{url}\"]\n\
         [service.source.metric]\nwaiters = {{ from = \"shop_waiters\", take = \"value\", bad = \"high\" }}\n"
    )
}

/// A service that never gives anything: for cases that are over before the first sample.
fn idle() -> String {
    watching("http://127.0.0.1:1/metrics")
}

fn write(dir: &Path, text: &str) {
    fs::write(dir.join("suture.toml"), text).unwrap();
    if !dir.join("d").exists() {
        warm(&dir.join("d"));
    }
}

/// A ledger with so many commands in it, closed in order.
fn with_records(data: &Path, texts: impl IntoIterator<Item = String>) {
    let opened = Ledger::open(Options::new(data), |_| ()).unwrap();
    for (n, text) in texts.into_iter().enumerate() {
        let at = Timestamp(1_700_000_000_000 + i64::try_from(n).unwrap());
        let fact = Fact::Commanded { text, via: "ctl".to_owned(), delivery: None };
        let event = Event { at, service: None, incident: None, run: None, by: None, fact };
        opened.ledger.append_blocking(vec![event]).unwrap();
    }
    opened.ledger.close();
}

fn words(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("status {i}")).collect()
}

/// The one file of a young ledger.
fn ledger_file(data: &Path) -> std::path::PathBuf {
    ledger::folder(data).join("00000000000000000001.jsonl")
}

/// Starts a daemon and waits until it answers.
fn daemon(dir: &Path) -> Running {
    let mut daemon = Running::start(dir, &["run", "--config", "suture.toml"]);
    eventually(PATIENCE * 4, "the daemon answers", || {
        if let Some(status) = daemon.ended() {
            panic!("{:?}", daemon.said(status));
        }
        ctl(&dir.join("d"), "whoami").ok()
    });
    daemon
}

/// SIGTERM, and a good end.
fn stop(mut daemon: Running) -> String {
    daemon.signal(Signal::TERM);
    let status = daemon.ended_within(Duration::from_secs(15));
    daemon.said(status).expect(0, &[]).all()
}

#[test]
fn a_config_that_is_wrong_is_shown_with_its_place() {
    let dir = folder();
    let run = |text: &str| {
        fs::write(dir.path().join("suture.toml"), text).unwrap();
        run_in(dir.path(), &["run"])
    };
    run("[suture]\ndata_dir = \"d\"\nlog = \"in").expect(2, &["suture.toml:3:"]);
    run("[[service]]\nname = \"shop\"\nintervall = \"5s\"\n[[service.source]]\nkind = \"host\"\n")
        .expect(2, &["suture.toml:3:1", "unknown key `intervall`", "did you mean `interval`?"]);
    run("\0\u{1b}[31m\u{7}").expect(2, &["suture.toml:1"]);
    fs::remove_file(dir.path().join("suture.toml")).unwrap();
    run_in(dir.path(), &["run"]).expect(2, &["suture.toml", "suture init"]);
    run_in(dir.path(), &["run", "--config", "no/such.toml"]).expect(2, &["no/such.toml"]);
    assert!(!dir.path().join("d").exists() && !dir.path().join("suture-data").exists(), "nothing was begun");
}

#[test]
fn check_proves_what_a_config_names_in_one_pass_for_people_and_programs() {
    let dir = folder();
    let text = idle()
        + "targets = [\"local:shop\"]\n[[target]]\nname = \"local:shop\"\ncommand = [\"/no/such/program\", \"{port}\"]\n\
           [[grant]]\nplaybook = \"restart-service\"\ntargets = [\"local:shop\"]\nallow = [\"restart\"]\n";
    // A key of the service has to stand before its tables.
    let text = text.replace("targets = [\"local:shop\"]\n[[target]]", "[[target]]");
    let text = text.replace("name = \"shop\"\nmode", "name = \"shop\"\ntargets = [\"local:shop\"]\nmode");
    write(dir.path(), &text);
    let (mut people, mut programs) =
        (Running::start(dir.path(), &["check"]), Running::start(dir.path(), &["check", "--json"]));
    let status = people.ended_within(PATIENCE * 3);
    people.said(status).expect(
        1,
        &["127.0.0.1:1", "suture.toml:11:1", "suture.toml:16:1", "/no/such/program", "2 errors", "help: start it"],
    );
    let status = programs.ended_within(PATIENCE * 3);
    let json = programs.said(status).expect(1, &[]).out;
    let problems: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(problems.len(), 2, "{json}");
    assert!(problems.iter().all(|p| p["severity"] == "error" && p["line"].is_u64() && p["help"].is_string()), "{json}");

    // What is wrong in the file itself comes first, all of it.
    let text = text.replace("targets = [\"local:shop\"]\nallow", "targets = [\"local:shap\"]\nallow");
    write(dir.path(), &text.replace("interval = \"250ms\"", "interval = 250"));
    let mut both = Running::start(dir.path(), &["check", "--offline"]);
    let status = both.ended_within(PATIENCE * 3);
    both.said(status).expect(2, &["covers nothing", "did you mean `local:shop`?", "`interval`", "2 errors"]);
}

#[test]
fn init_check_run_watch_this_host_and_stop_in_order() {
    let dir = folder();
    run_in(dir.path(), &["init"]).expect(0, &["suture check --config suture.toml"]);
    let starter = fs::read_to_string(dir.path().join("suture.toml")).unwrap();
    fs::write(dir.path().join("suture.toml"), "# mine\n").unwrap();
    run_in(dir.path(), &["init"]).expect(1, &["suture.toml exists already", "--force"]);
    assert_eq!(fs::read_to_string(dir.path().join("suture.toml")).unwrap(), "# mine\n");
    run_in(dir.path(), &["init", "--force"]).expect(0, &[]);
    assert_eq!(fs::read_to_string(dir.path().join("suture.toml")).unwrap(), starter);
    let mut check = Running::start(dir.path(), &["check"]);
    let status = check.ended_within(PATIENCE * 3);
    check.said(status).expect(0, &["ok    service host"]);

    let data = dir.path().join("suture-data");
    warm(&data);
    let path = data.to_str().unwrap();
    let mut first = Running::start(dir.path(), &["run"]);
    eventually(PATIENCE * 4, "the daemon answers", || ctl(&data, "whoami").ok());
    run_in(dir.path(), &["ctl", "--data-dir", path, "status"]).expect(0, &["host", "observe"]);
    // Only the console may approve here, and help lists what one may do.
    run_in(dir.path(), &["ctl", "help"]).expect(0, &["status", "left out"]);
    // One daemon a data folder; the second one says who the first is, and does it no harm.
    run_in(dir.path(), &["run"]).expect(1, &[&format!("process {}", first.pid()), "another --data-dir"]);
    run_in(dir.path(), &["ctl", "status"]).expect(0, &["host"]);

    first.signal(Signal::TERM);
    let status = first.ended_within(Duration::from_secs(10));
    first.said(status).expect(0, &["SIGTERM"]);
    let last = events(&data).pop().unwrap();
    assert_eq!(last.fact, Fact::Stopped { reason: "SIGTERM".to_owned() });
    run_in(dir.path(), &["audit", "--kind", "started"]).expect(0, &["1 record matches"]);
    run_in(dir.path(), &["audit", "verify"]).expect(0, &["the chain holds"]);
}

#[test]
fn words_that_mean_nothing_are_answered_with_those_that_do() {
    let dir = folder();
    run_in(dir.path(), &["heal"]).expect(2, &["heal", "--help"]);
    run_in(dir.path(), &["demo", "--fault", "fire"]).expect(2, &["memory-leak"]);
    run_in(dir.path(), &["--help"]).expect(0, &["Examples:", "Exit codes:"]);
    run_in(dir.path(), &["demo", "--help"]).expect(0, &["Examples:"]);
    run_in(dir.path(), &["completions", "bash"]).expect(0, &["complete -F", "audit"]);
    run_in(dir.path(), &["completions", "tcsh"]).expect(2, &["bash"]);
    let data = dir.path().join("nothing");
    let data = data.to_str().unwrap();
    run_in(dir.path(), &["ctl", "--data-dir", data, "status"]).expect(1, &["no daemon answers", data, "suture run"]);
    for command in [&["audit"][..], &["audit", "verify"], &["audit", "export"], &["ledger", "rebuild"]] {
        let args = [command, &["--data-dir", data]].concat();
        run_in(dir.path(), &args).expect(1, &["there is no ledger in", data, "--data-dir"]);
    }
    with_records(&dir.path().join("d"), words(3));
    run_in(dir.path(), &["audit", "--data-dir", "d", "--kind", "fire"]).expect(1, &["`fire`", "action-done"]);
    run_in(dir.path(), &["audit", "--data-dir", "d", "--since", "whenever"]).expect(1, &["whenever"]);
    run_in(dir.path(), &["audit", "--data-dir", "d", "--incident", "x"]).expect(2, &["INC-7"]);
    run_in(dir.path(), &["audit", "export", "--data-dir", "d", "--output", "no/such/folder/x"])
        .expect(1, &["no/such/folder/x"]);
}

#[test]
fn a_ledger_that_was_changed_is_named_to_the_record() {
    let dir = folder();
    write(dir.path(), &idle());
    let data = dir.path().join("d");
    with_records(&data, words(8));
    run_in(dir.path(), &["audit", "verify"]).expect(0, &["the chain holds", "8 records"]);
    let file = ledger_file(&data);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("status 4", "status 5")).unwrap();
    let place = "d/ledger/00000000000000000001.jsonl:5 (record 5)";
    run_in(dir.path(), &["audit", "verify"]).expect(3, &["THE CHAIN DOES NOT HOLD", place]);
    let json = run_in(dir.path(), &["audit", "verify", "--json"]).expect(3, &[]).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["holds"], false);
    run_in(dir.path(), &["run"]).expect(3, &[place, "suture audit verify"]);

    // Records removed from the end: the chain itself holds.
    let shorter: String = text.lines().take(6).map(|line| format!("{line}\n")).collect();
    fs::write(&file, shorter).unwrap();
    run_in(dir.path(), &["audit", "verify"]).expect(3, &["tip.json", "records were removed from the end"]);
}

#[test]
fn a_torn_last_record_is_repaired_and_said() {
    let dir = folder();
    write(dir.path(), &idle());
    let data = dir.path().join("d");
    with_records(&data, words(4));
    let mut text = fs::read(ledger_file(&data)).unwrap();
    text.extend(br#"{"seq":5,"prev":"00"#);
    fs::write(ledger_file(&data), text).unwrap();
    run_in(dir.path(), &["audit", "verify"]).expect(0, &["the chain holds", "19 bytes of an unfinished record"]);
    stop(daemon(dir.path()));
    assert_eq!(of_kind(&events(&data), "tail-repaired")[0].fact, Fact::TailRepaired { bytes: 19 });
    run_in(dir.path(), &["audit", "verify"]).expect(0, &["the chain holds"]);
}

#[test]
fn views_that_are_rubbish_cost_a_rebuild_and_no_fact() {
    let dir = folder();
    write(dir.path(), &idle());
    let data = dir.path().join("d");
    with_records(&data, words(20));
    let views = data.join("views");
    let asks = |dir: &Path| {
        run_in(dir, &["ctl", "audit", "limit:100"]).expect(0, &["status 19"]);
    };

    // A file where the folder should be; a folder of noise; a folder of another version.
    fs::write(&views, "noise").unwrap();
    let running = daemon(dir.path());
    asks(dir.path());
    stop(running);

    for entry in fs::read_dir(&views).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::write(path, b"\xff\x00noise".repeat(3000)).unwrap();
        }
    }
    let running = daemon(dir.path());
    asks(dir.path());
    stop(running);

    {
        let db = sled::open(&views).unwrap();
        db.open_tree("meta").unwrap().insert("schema", &99_u64.to_be_bytes()).unwrap();
        db.flush().unwrap();
    }
    let running = daemon(dir.path());
    asks(dir.path());
    assert!(stop(running).contains("version 99"));

    let records = events(&data).len();
    run_in(dir.path(), &["ledger", "rebuild"]).expect(0, &[&format!("{records} records are indexed")]);
    run_in(dir.path(), &["audit", "verify"]).expect(0, &["the chain holds"]);
    let running = daemon(dir.path());
    run_in(dir.path(), &["ledger", "rebuild"]).expect(1, &["process"]);
    stop(running);
}

#[test]
fn components_that_cannot_be_used_are_named_with_what_to_do() {
    let dir = folder();
    let text = idle() + "[plugins]\nplaybooks_dir = \"p\"\n";
    write(dir.path(), &text);
    let playbooks = dir.path().join("p");
    fs::create_dir(&playbooks).unwrap();
    let put = |bytes: &[u8]| fs::write(playbooks.join("hostile.wasm"), bytes).unwrap();
    let run = || run_in(dir.path(), &["run"]);
    put(b"#!/bin/sh\necho hello\n");
    run().expect(2, &["hostile.wasm", "is not a valid Wasm component"]);
    put(&wat::parse_str("(module)").unwrap());
    run().expect(2, &["hostile.wasm", "core Wasm module", "wasm-tools component new"]);
    put(&wat::parse_str("(component (import \"nobody:has/this@1.0.0\" (instance)))").unwrap());
    run().expect(2, &["hostile.wasm", "nobody:has/this"]);
    put(&playbook("forges-a-handle"));
    run().expect(2, &["wants to scale", "suture.toml", "[[grant]]\nplaybook = \"hostile\"", "allow = [\"scale\"]"]);
    let pinned = format!("{text}[plugins.pins]\nhostile = \"{}\"\n", "0".repeat(64));
    write(dir.path(), &pinned);
    run().expect(2, &["`hostile` has SHA-256", "it is not loaded"]);
    // Nothing of all that is a start.
    assert_eq!(count(&dir.path().join("d"), "started"), 0);
    write(dir.path(), &text.replace("\"p\"", "\"nowhere\""));
    run().expect(2, &["nowhere"]);
}

/// One of the hostile fixtures as a component.
fn playbook(name: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("tests/fixtures/hostile").join(format!("{name}.wat"))).unwrap();
    let mut bytes = wat::parse_str(text).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(root.join("wit/next")).unwrap();
    let world = resolve.select_world(&[package], Some("playbook")).unwrap();
    wit_component::embed_component_metadata(&mut bytes, &resolve, world, wit_component::StringEncoding::UTF8).unwrap();
    wit_component::ComponentEncoder::default().module(&bytes).unwrap().encode().unwrap()
}

#[test]
fn a_data_folder_that_cannot_be_is_named() {
    let dir = folder();
    write(dir.path(), &idle());
    fs::write(dir.path().join("file"), "").unwrap();
    let below = dir.path().join("file/data");
    let below = below.to_str().unwrap();
    run_in(dir.path(), &["run", "--data-dir", below]).expect(1, &["file/data"]);
    run_in(dir.path(), &["demo", "--data-dir", below]).expect(1, &["file/data"]);
}

#[test]
fn pages_that_are_hostile_are_a_fact_and_no_harm() {
    let dir = folder();
    let page = Page::serve(Gives::Text("shop_waiters 1\n".to_owned()));
    write(dir.path(), &watching(&page.url()));
    let data = dir.path().join("d");
    let running = daemon(dir.path());
    let well = "shop_waiters 1\n";
    let metrics = || ctl(&data, "metrics shop").unwrap();
    let well_again = |page: &Page| {
        let had = count(&data, "source-recovered");
        page.give(Gives::Text(well.to_owned()));
        eventually(PATIENCE, "the source answers again", || (count(&data, "source-recovered") > had).then_some(()));
    };
    eventually(PATIENCE, "a first sample", || metrics().contains("waiters").then_some(()));
    for (what, gives) in [
        ("50 MB", Gives::Endless(50_000_000)),
        ("garbage", Gives::Bytes((0..40_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect())),
        ("silence", Gives::Nothing),
        ("a web page", Gives::Text("<!doctype html><title>\u{1b}[2Jno metrics</title>".to_owned())),
    ] {
        let had = count(&data, "source-failed");
        page.give(gives);
        eventually(PATIENCE, what, || (count(&data, "source-failed") > had).then_some(()));
        let status = ctl(&data, "status shop").unwrap();
        assert!(status.contains("0 of 1 answer"), "{what}: {status}");
        let failed = of_kind(&events(&data), "source-failed").pop().unwrap();
        let Fact::SourceFailed(fault) = failed.fact else { unreachable!() };
        assert!(fault.why.len() < 500 && !fault.why.contains(char::is_control), "{what}: {fault:?}");
        well_again(&page);
    }
    // Numbers that are none are left out; what else is on the page counts.
    page.give(Gives::Text("shop_waiters NaN\nshop_waiters{i=\"b\"} +Inf\nshop_other 3\n".to_owned()));
    eventually(PATIENCE, "it goes on without", || (!metrics().contains("waiters")).then_some(()));
    let status = ctl(&data, "status shop").unwrap();
    assert!(!status.contains("NaN") && !status.contains("inf "), "{status}");
    page.give(Gives::Text(well.to_owned()));
    eventually(PATIENCE, "a number again", || metrics().contains("waiters").then_some(()));
    assert!(!metrics().contains("NaN"), "{}", metrics());

    let unknown = ctl(&data, "chart shop no_such_metric").unwrap();
    assert!(unknown.contains("no metric `no_such_metric`") && unknown.contains("waiters"), "{unknown}");
    says_of_hostile_words(&data);
    stop(running);
    assert_eq!(events(&data).last().unwrap().fact.kind(), "stopped");
    run_in(dir.path(), &["audit", "verify"]).expect(0, &["the chain holds"]);
}

/// Whatever comes over the socket: an answer, and nothing of it that a terminal would obey.
fn says_of_hostile_words(data: &Path) {
    let long = "x".repeat(10_000);
    let lines = [
        "",
        " ",
        "\u{1b}[2J\u{7}",
        "approve \u{1b}]0;owned\u{7}",
        &long,
        "approve 99999999999999999999",
        "quit",
        "\u{202e}status",
    ];
    for line in lines {
        let answer = ctl(data, line).unwrap();
        let shown: String = line.chars().take(20).collect();
        let obeyed = answer.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}');
        assert!(!obeyed && answer.len() < 8_000, "{shown:?}: {answer:?}");
    }
    for line in ["", "approve 7", "close 7", "mode nobody auto", "rollback RUN-7", "plan 7 nothing"] {
        let answer = ctl(data, line).unwrap();
        assert!(!answer.trim().is_empty(), "{line}: {answer:?}");
    }
    assert!(ctl(data, "status").unwrap().contains("shop"));
}

//! `suture bench load` against the real shop: figures, files, exit codes, and nothing left behind.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{
    PATIENCE, Running, Said, eventually, folder, nobody_left, processes_of, quiet_machine, run_in, warm,
};

/// Learning and one short run; a debug build beside other tests gets twice as much.
const WHOLE_BENCH: Duration = Duration::from_secs(180);
/// What Ctrl-C may take until nothing is left.
const GOING_DOWN: Duration = Duration::from_secs(8);

fn start(dir: &Path, words: &[&str]) -> Running {
    // The first stage is the one that compiles components; the others are copies of it.
    warm(&dir.join("data/learned"));
    let (data, out) = (dir.join("data"), dir.join("out"));
    let ends = ["--data-dir", data.to_str().unwrap(), "--out", out.to_str().unwrap()];
    Running::start(dir, &[&["bench", "load"], words, &ends].concat())
}

fn bench(dir: &Path, words: &[&str]) -> Said {
    let mut bench = start(dir, words);
    let status = bench.ended_within(WHOLE_BENCH);
    bench.said(status)
}

#[test]
fn the_normal_plan_is_carried_and_its_figures_are_written() {
    let _quiet = quiet_machine();
    let dir = folder();
    // Timings are no part of a test: only that all was asked, answered and written down.
    let limits = ["--max-errors", "100", "--max-p95", "10s"];
    let words = ["normal", "--duration", "3s", "--engine", "builtin", "--healing", "off"];
    let said = bench(dir.path(), &[&words[..], &limits].concat());
    let said = said.expect(0, &["normal", "off", "within limits", "about", "1 run"]);
    nobody_left(dir.path(), PATIENCE);

    let out = dir.path().join("out");
    let summary = std::fs::read_to_string(out.join("load.csv")).unwrap();
    let mut rows = csv::Reader::from_reader(summary.as_bytes());
    let row = rows.records().next().unwrap().unwrap();
    assert_eq!((&row[0], &row[1], &row[2]), ("normal", "off", "builtin"), "{}", said.out);
    assert!(row[3].parse::<u64>().unwrap() > 100, "{row:?}");
    assert_eq!(&row[10], "2", "nobody scaled it: {row:?}");
    let seconds = std::fs::read_to_string(out.join("seconds.csv")).unwrap();
    assert!((2..=4).contains(&(seconds.lines().count() - 1)), "{seconds}");
    assert!(std::fs::read_to_string(out.join("normal.svg")).unwrap().contains("healing off"));
    assert!(std::fs::read_to_string(out.join("load.md")).unwrap().contains("| normal | off |"));
}

#[test]
fn ctrl_c_while_it_learns_ends_all_of_it() {
    let _quiet = quiet_machine();
    let dir = folder();
    let mut bench = start(dir.path(), &["normal", "--duration", "3s"]);
    // Bench, supervisor, two workers, load.
    eventually(PATIENCE, "all its processes", || (processes_of(dir.path()).len() >= 5).then_some(()));
    bench.signal(Signal::INT);
    let status = bench.ended_within(GOING_DOWN);
    bench.said(status).expect(1, &["stopped: SIGINT"]);
    nobody_left(dir.path(), GOING_DOWN);
}

#[test]
fn against_somebody_elses_service_errors_fail_the_bench() {
    let dir = folder();
    // Nobody listens on a port that was just given back.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    let said = run_in(dir.path(), &["bench", "load", "normal", "--duration", "3s", "--url", &url, "--out", "out"]);
    said.expect(1, &["FAILED", "refused", "100.00 % errors, at most 1 % allowed"]);
    run_in(dir.path(), &["bench", "load", "--engine", "jmeter", "--closed"]).expect(2, &["--closed is for"]);
    run_in(dir.path(), &["bench", "load", "--url", "https://shop"]).expect(2, &["there is no https"]);
}

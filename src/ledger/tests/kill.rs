//! The real thing: a process that appends is killed at no moment in particular, many times.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::*;

/// Set for the child: the data folder it is to append in until it is killed.
const CHILD: &str = "SUTURE_TEST_LEDGER_CHILD";

/// Not a case by itself: what the child of `kill_nine_loses_nothing_acknowledged` runs. Says each acknowledged number.
#[test]
fn child_that_appends_for_ever() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let mut last = 0;
    let options = Options { segment_bytes: 8 * 1024, ..Options::new(dir) };
    let ledger = Ledger::open(options, |stored| last = number(&stored.record.event)).unwrap().ledger;
    loop {
        last += 1;
        ledger.append_blocking(vec![event(last)]).unwrap();
        eprintln!("acknowledged {last}");
    }
}

#[test]
fn kill_nine_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut total = 0;
    for round in 0..10_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "ledger::tests::kill::child_that_appends_for_ever", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut acknowledged = 0;
        let mut note = |line: &str| {
            if let Some(n) = line.strip_prefix("acknowledged ").and_then(|n| n.parse().ok()) {
                acknowledged = n;
                return true;
            }
            false
        };
        // A different number of records each round; where within the next append the signal strikes is up to chance.
        let mut left = 20 + round * 17 % 60;
        while left > 0 {
            left -= u64::from(note(&lines.next().unwrap().unwrap()));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // A last line may be half-printed, and says a smaller number then.
        for line in lines.map_while(Result::ok) {
            note(&line);
        }
        let report = verify(dir.path()).unwrap();
        assert!(report.holds(), "round {round}: {report}");
        assert!(report.records >= acknowledged, "round {round}: {acknowledged} acknowledged, {report}");
        let found: Vec<_> = records(dir.path()).unwrap().map(|r| number(&r.unwrap().record.event)).collect();
        assert_eq!(found, (1..=report.records).collect::<Vec<_>>(), "round {round}");
        assert!(report.records > total);
        total = report.records;
    }
}

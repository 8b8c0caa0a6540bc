//! A disk that takes no more, under a real daemon: it says so, acts no more, and the next life has lost nothing.

use std::fs;

use crate::harness::{PATIENCE, Rig, Running, Ways, count, events, eventually, is_sound, quiet_machine, state};

#[test]
fn what_cannot_be_written_down_is_not_done() {
    let _quiet = quiet_machine();
    let mut rig = Rig::new(Ways { mode: "auto", cooldown: "1ms", outlive: true });
    rig.start_learned();
    rig.stop();
    rig.daemon = Some(Running::sturdy(rig.dir.path(), &["run", "--config", "suture.toml"]));
    rig.answers();
    let file = rig.data().join("ledger/00000000000000000001.jsonl");
    let mut daemon = rig.daemon.take().unwrap();
    let before = events(&rig.data());
    // The next record fits by half.
    daemon.no_file_above(fs::metadata(&file).unwrap().len() + 100);
    rig.crowded();
    let status = daemon.ended_within(PATIENCE * 2);
    daemon.said(status).expect(1, &["00000000000000000001.jsonl", "suture again"]);
    assert_eq!(rig.target().replicas, 2, "nothing was done that is not written down");
    assert_eq!(events(&rig.data()), before);
    let report = suture::ledger::verify(&rig.data()).unwrap();
    assert!(report.holds(), "{report}");

    // There is room again.
    rig.start();
    eventually(PATIENCE, "four workers", || (rig.target().serving() == 4).then_some(()));
    rig.well();
    rig.until("healed", |s| s.incidents.values().any(|i| i.how.as_deref() == Some("healed")).then_some(()));
    assert_eq!(&events(&rig.data())[..before.len()], before);
    assert_eq!(state(&rig.data()).incidents.len(), 1);
    assert!(count(&rig.data(), "tail-repaired") <= 1);
    let data = rig.data();
    rig.stop();
    is_sound(&data);
    rig.end();
}

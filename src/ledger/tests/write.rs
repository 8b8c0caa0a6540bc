//! Appending and reading back in quiet times, and when the disk does not do as told.

use proptest::prelude::*;

use crate::model::{
    Driver, HostCall, IncidentId, Judge, Plan, RunId, Severity, SourceFault, Transcript, Trend, Verdict,
    VerdictEvidence,
};

use super::super::handle::Torn;
use super::*;

#[test]
fn what_is_appended_is_read_back_across_files() {
    let disk = filled(10);
    assert!(names(&disk).len() > 2, "{:?}", names(&disk));
    let (opened, found) = open(&disk).unwrap();
    assert_eq!(found.iter().map(|s| number(&s.record.event)).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    assert_eq!(found.iter().map(|s| s.record.seq).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    assert_eq!((opened.replayed, opened.torn), (10, None));
    let again: Vec<_> = records_on(Arc::new(disk.clone())).unwrap().map(Result::unwrap).collect();
    assert_eq!(again, found);
    for stored in &found {
        assert_eq!(super::super::scan::read_at(&disk, stored.at).unwrap(), stored.record);
    }
    let report = check(&disk);
    assert!(report.holds(), "{report}");
    assert_eq!((report.records, report.tip.seq, report.recorded_tip), (10, 10, Some(report.tip)));
}

/// The recipe in the head of the module, step by step, with nothing of ours but SHA-256.
#[test]
fn the_recipe_for_strangers() {
    use sha2::{Digest as _, Sha256};
    let disk = filled(10);
    let (mut prev, mut seq) = ("0".repeat(64), 1);
    for name in names(&disk) {
        for line in String::from_utf8(disk.content(&name).unwrap()).unwrap().lines() {
            let (body, _) = line.rsplit_once(",\"hash\":").unwrap();
            assert_eq!(body.len(), line.len() - 75);
            let (_, hash) = line.rsplit_once(",\"hash\":\"").unwrap();
            let hash = hash.strip_suffix("\"}").unwrap();
            let computed: String = Sha256::digest(body.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(computed, hash, "record {seq} was changed");
            assert!(body.starts_with(&format!("{{\"seq\":{seq},\"prev\":\"{prev}\",\"event\":")), "breaks at {seq}");
            prev = hash.to_owned();
            seq += 1;
        }
    }
    assert_eq!(seq, 11);
}

#[test]
fn a_record_that_would_not_read_back_is_refused_and_nothing_else_is_lost() {
    let disk = FakeDisk::default();
    let ledger = open(&disk).unwrap().0.ledger;
    ledger.append_blocking(vec![event(1)]).unwrap();
    let mut bad = event(2);
    bad.fact = Fact::ModelTrained { version: 1, samples: 1, features: Vec::new(), threshold: f64::NAN };
    let e = ledger.append_blocking(vec![event(2), bad]).unwrap_err();
    assert!(matches!(e, LedgerError::NotReadable { kind: "model-trained", .. }), "{e}");
    let mut huge = event(3);
    huge.fact = Fact::Commanded { text: "x".repeat(MAX_RECORD_BYTES), via: String::new(), delivery: None };
    let e = ledger.append_blocking(vec![huge]).unwrap_err();
    assert!(matches!(e, LedgerError::TooLarge { kind: "commanded", .. }), "{e}");
    assert_eq!(ledger.append_blocking(vec![event(4)]).unwrap()[0].record.seq, 2);
    assert!(check(&disk).holds());
}

#[test]
fn short_writes_are_continued() {
    let disk = FakeDisk::new(Faults { short_writes: Some(7), ..Faults::default() });
    let ledger = open(&disk).unwrap().0.ledger;
    ledger.append_blocking(vec![event(1), event(2)]).unwrap();
    assert_eq!(check(&disk).records, 2);
}

#[test]
fn a_full_disk_acknowledges_nothing_and_leaves_a_sound_file() {
    let disk = FakeDisk::new(Faults { capacity: Some(1000), ..Faults::default() });
    let ledger = open(&disk).unwrap().0.ledger;
    let mut acknowledged = 0;
    let e = loop {
        match ledger.append_blocking(vec![event(acknowledged + 1)]) {
            Ok(_) => acknowledged += 1,
            Err(e) => break e,
        }
    };
    assert!(acknowledged > 0);
    assert!(matches!(e, LedgerError::Full { .. }), "{e}");
    assert!(e.to_string().contains("no space left") && e.to_string().contains(".jsonl"), "{e}");
    disk.set_faults(Faults::default());
    assert_eq!(ledger.append_blocking(vec![event(9)]).unwrap_err(), e, "broken for good, also when there is room");
    drop(ledger);
    let report = check(&disk);
    assert_eq!((report.records, report.torn, report.problem), (acknowledged, None, None));
    assert_eq!(open(&disk).unwrap().1.len() as u64, acknowledged);
}

#[test]
fn a_failed_sync_acknowledges_nothing_ever_again() {
    let disk = FakeDisk::new(Faults { failing_sync: Some(2), ..Faults::default() });
    let ledger = open(&disk).unwrap().0.ledger;
    ledger.append_blocking(vec![event(1)]).unwrap();
    ledger.append_blocking(vec![event(2)]).unwrap();
    let e = ledger.append_blocking(vec![event(3)]).unwrap_err();
    assert!(matches!(&e, LedgerError::Io { what: "cannot sync", .. }), "{e}");
    disk.set_faults(Faults::default());
    assert_eq!(ledger.append_blocking(vec![event(4)]).unwrap_err(), e);
    drop(ledger);
    assert_eq!(open(&disk).unwrap().1.len(), 2);
}

#[test]
fn when_the_partial_line_cannot_be_cut_off_the_next_start_does_it() {
    let disk = FakeDisk::new(Faults { capacity: Some(450), failing_truncate: true, ..Faults::default() });
    let ledger = open(&disk).unwrap().0.ledger;
    ledger.append_blocking(vec![event(1)]).unwrap();
    ledger.append_blocking(vec![event(2)]).unwrap_err();
    drop(ledger);
    let report = check(&disk);
    assert!(report.holds() && report.torn.is_some(), "{report}");
    disk.set_faults(Faults::default());
    let (opened, found) = open(&disk).unwrap();
    let torn = opened.torn.unwrap();
    assert_eq!((found.len(), torn.bytes, torn.kept_in.as_str()), (1, report.torn.unwrap(), "torn-2.bin"));
    assert_eq!(disk.content("torn-2.bin").unwrap().len() as u64, torn.bytes);
    opened.ledger.append_blocking(vec![event(2)]).unwrap();
    assert!(check(&disk).torn.is_none());
}

#[test]
fn a_lock_names_its_holder_and_goes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let first = Ledger::open(Options::new(dir.path()), |_| {}).unwrap();
    let e = Ledger::open(Options::new(dir.path()), |_| {}).err().unwrap();
    assert!(e.to_string().contains(&format!("process {}", std::process::id())), "{e}");
    first.ledger.close();
    Ledger::open(Options::new(dir.path()), |_| {}).unwrap();
}

#[test]
fn a_fresh_file_is_begun_at_open_when_asked() {
    let disk = filled(1);
    for _ in 0..3 {
        let options = Options { fresh_segment: true, ..inline() };
        Ledger::open_on(Arc::new(disk.clone()), options, |_| {}).unwrap();
    }
    assert_eq!(names(&disk).len(), 2, "an empty file is used, not followed by another");
    assert!(check(&disk).holds());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_wait_share_a_sync_and_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let observer: Observer = Box::new({
        let seen = Arc::clone(&seen);
        move |stored: &Stored| seen.lock().unwrap().push(stored.record.seq)
    });
    let options = Options { observer: Some(observer), ..Options::new(dir.path()) };
    let ledger = Ledger::open(options, |_| {}).unwrap().ledger;
    let tasks: Vec<_> = (0..16_u64)
        .map(|task| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                let mut last = 0;
                for n in 0..20 {
                    let e = event(task * 100 + n);
                    let stored = if n % 3 == 0 {
                        ledger.append_relaxed(vec![e.clone()]).await.unwrap()
                    } else {
                        ledger.append(vec![e.clone()]).await.unwrap()
                    };
                    assert_eq!(stored[0].record.event, e);
                    assert!(stored[0].record.seq > last);
                    last = stored[0].record.seq;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    ledger.flush().await.unwrap();
    let report = verify(dir.path()).unwrap();
    assert!(report.holds(), "{report}");
    assert_eq!(report.records, 320);
    let other = ledger.clone();
    ledger.close();
    assert_eq!(*seen.lock().unwrap(), (1..=320).collect::<Vec<_>>());
    assert_eq!(other.append(vec![event(1)]).await.unwrap_err(), LedgerError::Closed);
}

#[test]
fn a_batch_is_synced_once() {
    let disk = FakeDisk::default();
    let ledger = open(&disk).unwrap().0.ledger;
    let before = disk.syncs();
    ledger.append_blocking((1..=5).map(event).collect()).unwrap();
    assert_eq!(disk.syncs(), before + 1);
}

#[tokio::test]
async fn relaxed_records_are_durable_with_the_next_sync_or_when_it_falls_quiet() {
    let disk = FakeDisk::default();
    let ledger = open(&disk).unwrap().0.ledger;
    ledger.append_relaxed(vec![event(1)]).await.unwrap();
    assert_eq!(check(&disk.after_crash(CrashKind::PowerCut)).records, 0);
    ledger.append(vec![event(2)]).await.unwrap();
    assert_eq!(check(&disk.after_crash(CrashKind::PowerCut)).records, 2);

    // With the real thread: nobody asks for it, and it is on disk all the same. The observer says when.
    let disk = FakeDisk::default();
    let (told, durable) = std::sync::mpsc::channel();
    let observer: Observer = Box::new(move |stored: &Stored| told.send(stored.record.seq).unwrap());
    let options =
        Options { observer: Some(observer), relaxed_delay: Duration::from_millis(5), ..Options::new("unused") };
    let ledger = Ledger::open_on(Arc::new(disk.clone()), options, |_| {}).unwrap().ledger;
    ledger.append_relaxed(vec![event(1)]).await.unwrap();
    assert_eq!(durable.recv_timeout(Duration::from_secs(30)).unwrap(), 1);
    assert_eq!(check(&disk.after_crash(CrashKind::PowerCut)).records, 1);
}

#[test]
fn a_relaxed_record_is_not_held_back_for_ever_by_a_busy_ledger() {
    let disk = FakeDisk::default();
    let clock = Arc::new(FakeClock::at(Timestamp(0)));
    let options = Options { clock: clock.clone(), ..inline() };
    let ledger = Ledger::open_on(Arc::new(disk.clone()), options, |_| {}).unwrap().ledger;
    let relaxed = |n| futures::FutureExt::now_or_never(ledger.append_relaxed(vec![event(n)])).unwrap().unwrap();
    relaxed(1);
    relaxed(2);
    let before = disk.syncs();
    clock.advance(Duration::from_millis(200));
    relaxed(3);
    assert_eq!(disk.syncs(), before + 1);
}

#[test]
fn torn_is_told_to_the_caller() {
    let disk = filled(2);
    let name = names(&disk).pop().unwrap();
    let mut content = disk.content(&name).unwrap();
    content.extend_from_slice(b"{\"seq\":3,");
    disk.tamper(&name, Some(content));
    let (opened, found) = open(&disk).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(opened.torn, Some(Torn { bytes: 9, kept_in: "torn-3.bin".to_owned() }));
    assert_eq!(disk.content("torn-3.bin").unwrap(), b"{\"seq\":3,");
}

#[test]
fn a_daemon_that_writes_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 2000, ..Options::new(dir.path()) };
    let ledger = Ledger::open(options, |_| {}).unwrap().ledger;
    let writer = std::thread::spawn(move || {
        for n in 1..=120 {
            ledger.append_blocking(vec![event(n)]).unwrap();
        }
    });
    let mut last = 0;
    while last < 120 {
        let over = writer.is_finished();
        let report = verify(dir.path()).unwrap();
        assert!(report.holds(), "{report}");
        assert!(report.records >= last && (!over || report.records == 120));
        last = report.records;
        let page = query(dir.path(), &Query::default()).unwrap();
        assert!(page.matched >= last && page.unreadable == 0);
    }
    writer.join().unwrap();
}

fn any_fact() -> impl Strategy<Value = Fact> {
    let text = || ".{0,40}";
    let float = || prop_oneof![any::<f64>().prop_filter("finite", |f| f.is_finite()), Just(0.1 + 0.2), Just(-0.0)];
    let driver = (text(), float(), float(), prop::collection::vec(float(), 0..4), prop::option::of(text())).prop_map(
        |(metric, share, value, recent, instance)| Driver {
            metric,
            share,
            value,
            normal: share,
            low: value,
            high: share,
            unit: "s".to_owned(),
            trend: Trend::Rising,
            recent,
            instance,
        },
    );
    let json = prop_oneof![
        Just(serde_json::Value::Null),
        float().prop_map(|f| serde_json::json!({ "x": f, "list": [f, null, {}] })),
        any::<u64>().prop_map(|n| serde_json::json!([n])),
        any::<i64>().prop_map(|n| serde_json::json!(n)),
        text().prop_map(|t| serde_json::json!({ "hash": t, "kind": t, "at": 1 })),
    ];
    let plan = Plan {
        incident: IncidentId(1),
        number: 1,
        service: ServiceId::from("shop"),
        playbook: "scale-out".to_owned(),
        component: Digest([7; 32]),
        args: [("to".to_owned(), "4".to_owned())].into(),
        actions: Vec::new(),
        may: Vec::new(),
        notes: Vec::new(),
    };
    prop_oneof![
        (text(), text()).prop_map(|(text, via)| Fact::Commanded { text, via, delivery: None }),
        (any::<i64>(), float(), prop::collection::vec(driver, 0..3)).prop_map(|(since, risk, drivers)| {
            let (severity, judge) = (Severity::High, Judge::Learning { have: 3, need: 100 });
            Fact::IncidentOpened { since: Timestamp(since), risk, severity, drivers, judge, score: Some(risk) }
        }),
        (float(), float(), any::<u32>()).prop_map(|(risk_before, risk_after, samples)| Fact::Judged {
            verdict: Verdict::Inconclusive,
            evidence: VerdictEvidence { risk_before, risk_after, samples, normal: 0, doubt: None },
        }),
        (text(), text()).prop_map(|(source, why)| Fact::SourceFailed(SourceFault { source, why })),
        (json.clone(), json).prop_map(move |(input, output)| Fact::Planned {
            digest: plan.digest(),
            plan: plan.clone(),
            expires_at: Timestamp(1),
            view: serde_json::Value::Null,
            ran: Some(Transcript {
                name: "scale-out".to_owned(),
                component: plan.component,
                calls: vec![HostCall { call: "incident.target.state".to_owned(), input, output }],
                outcome: serde_json::Value::Null,
                log: Vec::new(),
                log_dropped: 0,
                fuel: 1,
                notes: None,
            }),
        }),
        Just(Fact::RunDone),
        Just(Fact::Resumed),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    let person = prop::option::of((".{0,20}", ".{0,20}").prop_map(|(id, name)| Person { id, name }));
    (any::<i64>(), prop::option::of(".{0,20}"), prop::option::of(any::<u64>()), person, any_fact()).prop_map(
        |(at, service, incident, by, fact)| Event {
            at: Timestamp(at),
            service: service.map(ServiceId),
            incident: incident.map(IncidentId),
            run: incident.map(RunId),
            by,
            fact,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_event_reads_back_as_it_was(events in prop::collection::vec(any_event(), 1..12)) {
        let disk = FakeDisk::default();
        let ledger = open(&disk).unwrap().0.ledger;
        for e in &events {
            ledger.append_blocking(vec![e.clone()]).unwrap();
        }
        drop(ledger);
        let report = check(&disk);
        prop_assert!(report.holds() && report.torn.is_none(), "{}", report);
        let (_, found) = open(&disk).unwrap();
        let found: Vec<_> = found.into_iter().map(|s| s.record.event).collect();
        prop_assert_eq!(&found, &events);
        for e in &events {
            let line = describe(e);
            prop_assert!(!line.is_empty() && !line.chars().any(char::is_control), "{:?}", line);
        }
    }

    #[test]
    fn any_garbage_is_a_report_and_never_a_panic(garbage in prop::collection::vec(any::<u8>(), 0..300), at in 0_usize..400) {
        let disk = filled(3);
        let name = names(&disk)[0].clone();
        let mut content = disk.content(&name).unwrap();
        let at = at.min(content.len());
        content.splice(at..at, garbage);
        disk.tamper(&name, Some(content));
        check(&disk);
        open(&disk).map(|_| ()).ok();
        records_on(Arc::new(disk)).unwrap().count();
    }
}

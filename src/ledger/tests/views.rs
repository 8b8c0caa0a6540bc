//! The views: the same answers as the files, and no state of their folder that stops the daemon.

use std::fs;
use std::path::Path;

use crate::model::{IncidentId, RunId, Sample, SourceFault};

use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn ledger_of(dir: &Path, records: u64) -> Arc<dyn Storage> {
    let options = Options { segment_bytes: 2000, ..Options::new(dir) };
    let ledger = Ledger::open(options, |_| {}).unwrap().ledger;
    for n in 1..=records {
        let mut e = event(n);
        e.incident = (n % 3 == 0).then_some(IncidentId(n / 6));
        e.run = (n % 9 == 0).then_some(RunId(1));
        e.service = (n % 4 != 0).then(|| ServiceId(format!("shop{}", n % 2)));
        if n % 5 == 0 {
            e.fact = Fact::Resumed;
        }
        ledger.append_blocking(vec![e]).unwrap();
    }
    ledger.close();
    Arc::new(Disk::at(folder(dir)))
}

fn queries() -> Vec<Query> {
    let all = Query::default();
    let shop = Some(ServiceId::from("shop1"));
    let mut queries = vec![
        all.clone(),
        Query { service: shop.clone(), ..all.clone() },
        Query { service: Some(ServiceId::from("shop")), ..all.clone() },
        Query { kind: Some("resumed".to_owned()), ..all.clone() },
        Query { incident: Some(IncidentId(1)), ..all.clone() },
        Query { run: Some(RunId(1)), ..all.clone() },
        Query { actor: Some("unix:1000".to_owned()), service: shop.clone(), ..all.clone() },
        Query { actor: Some("anna".to_owned()), ..all.clone() },
        Query { actor: Some("ann".to_owned()), ..all.clone() },
        Query { since: Some(NOW.plus(Duration::from_secs(10))), until: Some(NOW.plus(Duration::from_secs(20))), ..all },
    ];
    for page in 1..=4 {
        queries.push(Query { limit: 7, page, service: shop.clone(), ..Query::default() });
    }
    queries
}

#[test]
fn an_index_answers_as_the_files_do() {
    let dir = tempfile::tempdir().unwrap();
    let storage = ledger_of(dir.path(), 40);
    let (views, rebuilt) = Views::open(dir.path(), NOW);
    assert_eq!(rebuilt, None);
    let compare = |state: &str| {
        for query in queries() {
            let (indexed, read) = (views.query(&storage, &query).unwrap(), query_on(&storage, &query).unwrap());
            assert_eq!(indexed, read, "{state}: {query:?}");
        }
    };
    compare("before catching up");
    assert_eq!((views.catch_up(&storage).unwrap(), views.last_applied()), (40, 40));
    compare("after");
    let page = query_on(&storage, &Query { limit: 15, page: 3, ..Query::default() }).unwrap();
    assert_eq!((page.matched, page.pages, page.page), (40, 3, 3));
    assert_eq!(page.records.iter().map(|s| s.record.seq).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    let behind = query_on(&storage, &Query { limit: 15, page: 4, ..Query::default() }).unwrap();
    assert!(behind.records.is_empty());
}

#[test]
fn views_go_on_where_they_stopped_and_notice_another_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let storage = ledger_of(dir.path(), 5);
    let (views, _) = Views::open(dir.path(), NOW);
    assert_eq!(views.catch_up(&storage).unwrap(), 5);
    views.flush().unwrap();
    drop(views);
    let views = Arc::new(Views::open(dir.path(), NOW).0);
    assert_eq!((views.last_applied(), views.catch_up(&storage).unwrap()), (5, 0));

    // As the daemon does it: the ledger's observer applies what is on disk.
    let observer: Observer = Box::new({
        let views = Arc::clone(&views);
        move |stored: &Stored| views.apply(stored).unwrap()
    });
    let ledger = Ledger::open(Options { observer: Some(observer), ..Options::new(dir.path()) }, |_| {}).unwrap().ledger;
    let stored = ledger.append_blocking(vec![event(6), event(7)]).unwrap();
    ledger.close();
    assert_eq!(views.last_applied(), 7);
    views.apply(&stored[0]).unwrap();
    let mut gap = stored[1].clone();
    gap.record.seq = 9;
    assert_eq!(views.apply(&gap).unwrap_err(), ViewsError::Behind { last: 7, got: 9 });

    let other = tempfile::tempdir().unwrap();
    let storage = ledger_of(other.path(), 3);
    assert_eq!((views.catch_up(&storage).unwrap(), views.last_applied()), (3, 3));
}

fn sample(n: i64) -> Sample {
    let inner = |x: f64| [("cpu".to_owned(), x), ("memory".to_owned(), x * 2.0)].into();
    Sample {
        service: ServiceId::from(if n % 2 == 0 { "shop" } else { "shop2" }),
        at: Timestamp(n * 1000),
        values: [("latency_p95".to_owned(), n as f64 / 3.0), ("errors".to_owned(), -0.5)].into(),
        by_instance: if n % 4 == 0 {
            [("shop-1".to_owned(), inner(0.1)), ("shop-2".to_owned(), inner(0.7))].into()
        } else {
            Default::default()
        },
        faults: if n % 8 == 0 {
            vec![SourceFault { source: "scrape x".to_owned(), why: "timed out".to_owned() }]
        } else {
            Vec::new()
        },
    }
}

#[test]
fn samples_and_models_are_kept_the_same_on_disk_and_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    for views in [Views::open(dir.path(), NOW).0, Views::none()] {
        for n in -10..30 {
            views.add_sample(&sample(n)).unwrap();
        }
        let shop = ServiceId::from("shop");
        let times = |since: i64, most| {
            let samples = views.samples(&shop, Timestamp(since), most).unwrap();
            assert!(samples.iter().all(|s| *s == sample(s.at.0 / 1000)));
            samples.iter().map(|s| s.at.0 / 1000).collect::<Vec<_>>()
        };
        assert_eq!(times(24_000, 100), [24, 26, 28]);
        assert_eq!(times(-100_000, 3), [24, 26, 28]);
        assert_eq!(times(i64::MIN, 100).len(), 20);
        assert_eq!(views.forget_samples(Timestamp(10_000)).unwrap(), 20);
        assert_eq!(times(i64::MIN, 100), [10, 12, 14, 16, 18, 20, 22, 24, 26, 28]);
        assert_eq!(views.samples(&ServiceId::from("shop2"), Timestamp(0), 99).unwrap().len(), 10);
        assert_eq!(views.forget_samples(Timestamp(i64::MAX)).unwrap(), 20);
        assert_eq!(views.model(&shop).unwrap(), None);
        views.put_model(&shop, b"one").unwrap();
        views.put_model(&shop, b"two").unwrap();
        assert_eq!(views.model(&shop).unwrap().unwrap(), b"two");
    }
}

#[test]
fn samples_in_memory_have_an_end() {
    let views = Views::none();
    for n in 0..5000 {
        views.add_sample(&sample(n * 2)).unwrap();
    }
    assert_eq!(views.samples(&ServiceId::from("shop"), Timestamp(0), usize::MAX).unwrap().len(), 4096);
}

/// The folder is moved aside with what was in it, new views are built, and they work.
fn replaced(dir: &Path, words: &str) {
    let (views, rebuilt) = Views::open(dir, NOW);
    let rebuilt = rebuilt.unwrap();
    assert!(rebuilt.why.contains(words), "{rebuilt:?}");
    let aside = rebuilt.moved_to.unwrap();
    assert!(aside.exists() && aside.file_name().unwrap().to_string_lossy().starts_with("views.broken-1700000000000"));
    assert!(rebuilt.in_memory.is_none() && !views.in_memory());
    assert_eq!(views.catch_up(&(Arc::new(Disk::at(folder(dir))) as Arc<dyn Storage>)).unwrap(), 3);
}

#[test]
fn views_locked_by_another() {
    let dir = tempfile::tempdir().unwrap();
    ledger_of(dir.path(), 3);
    let held = Views::open(dir.path(), NOW).0;
    replaced(dir.path(), "lock");
    drop(held);
}

#[test]
fn views_of_another_version() {
    let dir = tempfile::tempdir().unwrap();
    ledger_of(dir.path(), 3);
    let db = sled::open(dir.path().join("views")).unwrap();
    db.open_tree("meta").unwrap().insert("schema", &99_u64.to_be_bytes()).unwrap();
    db.flush().unwrap();
    drop(db);
    replaced(dir.path(), "version 99");
}

#[test]
fn a_folder_that_is_a_file_and_a_folder_of_garbage() {
    let dir = tempfile::tempdir().unwrap();
    ledger_of(dir.path(), 3);
    fs::write(dir.path().join("views"), "garbage").unwrap();
    replaced(dir.path(), "");
    fs::remove_dir_all(dir.path().join("views")).unwrap();
    fs::create_dir(dir.path().join("views")).unwrap();
    fs::write(dir.path().join("views/conf"), "garbage").unwrap();
    fs::write(dir.path().join("views/db"), [0xa5; 9000]).unwrap();
    replaced(dir.path(), "no version");
}

/// Whatever stands in sled's file, the daemon comes up with views that answer as the ledger does.
#[test]
fn views_with_overwritten_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let storage = ledger_of(dir.path(), 40);
    for at in [0.0, 0.001, 0.01, 0.1, 0.5] {
        let (views, _) = Views::open(dir.path(), NOW);
        views.catch_up(&storage).unwrap();
        for n in 0..200 {
            views.add_sample(&sample(n)).unwrap();
        }
        views.flush().unwrap();
        drop(views);
        let file = dir.path().join("views/db");
        let mut bytes = fs::read(&file).unwrap();
        let start = (bytes.len() as f64 * at) as usize;
        let end = (start + 700).min(bytes.len());
        bytes[start..end].fill(0x5a);
        fs::write(&file, bytes).unwrap();
        let (views, _) = Views::open(dir.path(), NOW);
        views.catch_up(&storage).ok();
        for query in queries() {
            assert_eq!(views.query(&storage, &query).unwrap(), query_on(&storage, &query).unwrap(), "{at} {query:?}");
        }
        drop(views);
        rebuild(dir.path(), NOW).unwrap();
    }
}

#[test]
fn without_a_place_to_write_everything_is_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let (views, rebuilt) = Views::open(&file, NOW);
    assert!(views.in_memory() && rebuilt.unwrap().in_memory.is_some());
    let storage = ledger_of(&dir.path().join("data"), 3);
    assert_eq!(views.catch_up(&storage).unwrap(), 0);
    assert_eq!(views.query(&storage, &Query::default()).unwrap().matched, 3);
}

#[test]
fn rebuild_indexes_anew_and_keeps_the_samples() {
    let dir = tempfile::tempdir().unwrap();
    let storage = ledger_of(dir.path(), 12);
    let (views, _) = Views::open(dir.path(), NOW);
    views.catch_up(&storage).unwrap();
    views.add_sample(&sample(2)).unwrap();
    drop(views);
    assert_eq!(rebuild(dir.path(), NOW).unwrap(), Rebuild { records: 12, replaced: None });
    let (views, _) = Views::open(dir.path(), NOW);
    assert_eq!((views.last_applied(), views.catch_up(&storage).unwrap()), (12, 0));
    assert_eq!(views.samples(&ServiceId::from("shop"), Timestamp(0), 9).unwrap(), [sample(2)]);
    drop(views);
    let _held = DataLock::acquire(dir.path()).unwrap();
    assert!(matches!(rebuild(dir.path(), NOW), Err(ViewsError::Ledger(LedgerError::Locked { .. }))));
}

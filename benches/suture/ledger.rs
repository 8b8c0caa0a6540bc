//! Durable appends: one writer that waits for each, and 32 that share the syncs.

use std::time::Duration;

use criterion::{Criterion, Throughput};
use futures::future::join_all;
use suture::ledger::{Ledger, Options};
use suture::model::{Action, Event, Facet, Fact, IncidentId, PlannedAction, RunId, Timestamp};
use tempfile::TempDir;
use tokio::runtime::Builder;

use crate::sample::service;

/// What stands between an approval and an effect: the step with its inverse.
fn intended(nth: u32) -> Event {
    let action = Action::Scale { target: "local:shop".parse().unwrap(), to: 4 };
    Event {
        at: Timestamp(1_700_000_000_000 + i64::from(nth)),
        service: Some(service()),
        incident: Some(IncidentId(7)),
        run: Some(RunId(3)),
        by: None,
        fact: Fact::ActionIntended { index: nth % 8, step: PlannedAction::new(action, Facet::Replicas(2)) },
    }
}

pub fn appending(c: &mut Criterion) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // Under the build folder, not under /tmp, which may be memory and would make every sync free.
    let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let ledger = Ledger::open(Options::new(dir.path()), |_| {}).unwrap().ledger;
    let mut group = c.benchmark_group("append to the ledger, durable");
    group.sample_size(30).measurement_time(Duration::from_secs(5));
    for (name, writers) in [("1 writer", 1), ("32 writers", 32)] {
        group.throughput(Throughput::Elements(u64::from(writers)));
        group.bench_function(name, |b| {
            b.iter(|| {
                let appends = (0..writers).map(|nth| ledger.append(vec![intended(nth)]));
                let done = runtime.block_on(join_all(appends));
                assert!(done.iter().all(Result::is_ok));
            });
        });
    }
    group.finish();
    ledger.close();
}

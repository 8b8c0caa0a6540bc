//! Cases of the whole ledger: crashes at every byte, power cuts, full disks, tampering, and the real `kill -9`.

mod crash;
mod facts;
mod kill;
mod tamper;
mod views;
mod write;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::model::{Digest, Event, Fact, FakeClock, Person, ServiceId, Timestamp};

use super::*;

/// A small event that says which one it is.
fn event(n: u64) -> Event {
    Event {
        at: Timestamp(1_700_000_000_000 + i64::try_from(n).unwrap() * 1000),
        service: Some(ServiceId::from("shop")),
        incident: None,
        run: None,
        by: (n % 2 == 1).then(|| Person::new("unix:1000", "anna")),
        fact: Fact::Commanded {
            text: format!("command {n}, \"hash\":\" grüße"),
            via: "console".to_owned(),
            delivery: None,
        },
    }
}

fn number(e: &Event) -> u64 {
    let Fact::Commanded { text, .. } = &e.fact else { panic!("{e:?}") };
    text.split([' ', ',']).nth(1).unwrap().parse().unwrap()
}

/// The same on each run: on the caller's thread, on a clock that stands.
fn inline() -> Options {
    let clock = Arc::new(FakeClock::at(Timestamp(0)));
    Options { inline: true, clock, segment_bytes: 600, ..Options::new("unused") }
}

fn open(disk: &FakeDisk) -> Result<(Opened, Vec<Stored>), LedgerError> {
    let mut found = Vec::new();
    let opened = Ledger::open_on(Arc::new(disk.clone()), inline(), |stored| found.push(stored))?;
    Ok((opened, found))
}

/// A disk with this many records in files of a few records each, closed in order.
fn filled(records: u64) -> FakeDisk {
    let disk = FakeDisk::default();
    let ledger = open(&disk).unwrap().0.ledger;
    for n in 1..=records {
        ledger.append_blocking(vec![event(n)]).unwrap();
    }
    ledger.close();
    disk
}

fn check(disk: &FakeDisk) -> VerifyReport {
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    verify_on(&storage).unwrap()
}

fn names(disk: &FakeDisk) -> Vec<String> {
    disk.list().unwrap().into_iter().filter(|n| n.ends_with(".jsonl")).collect()
}

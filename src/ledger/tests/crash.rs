//! The process, or the power, is cut at every place where it can be.

use super::*;

/// Appends, some in units of two and some relaxed, until the disk dies. What was acknowledged as durable, in order.
fn work(disk: &FakeDisk, from: u64) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    let Ok((opened, found)) = open(disk) else { return acknowledged };
    let first = from.max(found.last().map_or(0, |s| number(&s.record.event)) + 1);
    let mut relaxed = Vec::new();
    for n in (first..first + 8).step_by(2) {
        if n % 4 == 1
            && let Some(Ok(_)) = futures::FutureExt::now_or_never(opened.ledger.append_relaxed(vec![event(n + 100)]))
        {
            relaxed.push(n + 100);
        }
        match opened.ledger.append_blocking(vec![event(n), event(n + 1)]) {
            Ok(_) => {
                acknowledged.append(&mut relaxed);
                acknowledged.extend([n, n + 1]);
            }
            Err(_) => break,
        }
    }
    acknowledged
}

/// What the next process finds must hold every acknowledged record, in order, and a chain that verifies.
fn recover(disk: &FakeDisk, acknowledged: &[u64], place: &str) {
    for kind in [CrashKind::Kill, CrashKind::PowerCut, CrashKind::PowerCutKeeping(100)] {
        let disk = disk.after_crash(kind);
        let before = check(&disk);
        assert!(before.holds(), "{place} {kind:?}: {before}");
        let (opened, found) = open(&disk).unwrap_or_else(|e| panic!("{place} {kind:?}: {e}"));
        assert_eq!(opened.torn.is_some(), before.torn.is_some(), "{place} {kind:?}");
        let found: Vec<_> = found.iter().map(|s| number(&s.record.event)).collect();
        assert!(
            found.starts_with(acknowledged),
            "{place} {kind:?}: {acknowledged:?} were acknowledged, {found:?} found"
        );
        opened.ledger.append_blocking(vec![event(99)]).unwrap();
        opened.ledger.close();
        let after = check(&disk);
        assert!(after.holds() && after.torn.is_none(), "{place} {kind:?}: {after}");
        assert_eq!(after.records as usize, found.len() + 1);
    }
}

#[test]
fn cut_at_every_byte() {
    let whole = FakeDisk::default();
    let all = work(&whole, 1);
    assert_eq!(all.len(), 10);
    let (bytes, _) = whole.spent();
    assert!(bytes > 2000 && names(&whole).len() > 1);
    for byte in 0..bytes {
        let disk = FakeDisk::new(Faults { crash_at_byte: Some(byte), ..Faults::default() });
        let acknowledged = work(&disk, 1);
        assert!(disk.crashed());
        recover(&disk, &acknowledged, &format!("byte {byte}"));
    }
}

#[test]
fn cut_at_every_operation_with_short_writes() {
    let faults = Faults { short_writes: Some(64), ..Faults::default() };
    let whole = FakeDisk::new(faults.clone());
    work(&whole, 1);
    let (_, operations) = whole.spent();
    for n in 0..operations {
        let disk = FakeDisk::new(Faults { crash_at_operation: Some(n), ..faults.clone() });
        let acknowledged = work(&disk, 1);
        recover(&disk, &acknowledged, &format!("operation {n}"));
    }
}

#[test]
fn cut_again_at_every_operation_of_the_recovery() {
    let whole = FakeDisk::default();
    work(&whole, 1);
    let (bytes, _) = whole.spent();
    let first = FakeDisk::new(Faults { crash_at_byte: Some(bytes - 40), ..Faults::default() });
    let acknowledged = work(&first, 1);
    let torn = check(&first.after_crash(CrashKind::Kill)).torn.unwrap();
    for n in 0..12 {
        let disk = first.after_crash(CrashKind::Kill);
        disk.set_faults(Faults { crash_at_operation: Some(n), ..Faults::default() });
        let mut all = acknowledged.clone();
        all.extend(work(&disk, 50));
        recover(&disk, &acknowledged, &format!("recovery, operation {n}"));
        let kept: Vec<_> = disk.list().unwrap().into_iter().filter(|f| f.starts_with("torn-")).collect();
        assert!(n < 3 || kept.iter().any(|f| disk.content(f).unwrap().len() as u64 == torn), "{n}: {kept:?}");
    }
}

#[test]
fn zeros_that_a_power_cut_leaves_are_a_torn_end() {
    let disk = filled(3);
    let name = names(&disk).pop().unwrap();
    let mut content = disk.content(&name).unwrap();
    content.extend_from_slice(&[0; 4000]);
    content.extend_from_slice(b"of a record\n{\"seq\":");
    disk.tamper(&name, Some(content));
    assert!(check(&disk).holds());
    let (opened, found) = open(&disk).unwrap();
    assert_eq!((found.len(), opened.torn.unwrap().bytes), (3, 4019));
    assert!(check(&disk).torn.is_none());
}

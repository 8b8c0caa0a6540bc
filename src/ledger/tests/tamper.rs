//! A hand in the files: each is found, named by its place, and not started on.

use crate::model::Digest;

use super::*;

/// A ledger in one file, its lines changed by `hand`.
fn tampered(hand: impl FnOnce(&mut Vec<String>)) -> FakeDisk {
    let disk = FakeDisk::default();
    let options = Options { segment_bytes: 1 << 20, ..inline() };
    let ledger = Ledger::open_on(Arc::new(disk.clone()), options, |_| {}).unwrap().ledger;
    ledger.append_blocking((1..=6).map(event).collect()).unwrap();
    ledger.close();
    let name = names(&disk).pop().unwrap();
    let text = String::from_utf8(disk.content(&name).unwrap()).unwrap();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    hand(&mut lines);
    let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
    disk.tamper(&name, Some(text.into_bytes()));
    disk
}

/// Verification and opening say the same: this line, this record, these words.
fn refused(disk: &FakeDisk, line: u64, seq: u64, words: &str) {
    let problem = check(disk).problem.expect("verification finds it");
    assert_eq!((problem.line, problem.seq), (line, seq), "{problem}");
    assert!(problem.why.contains(words), "{problem}");
    let e = open(disk).err().expect("the daemon does not start on it");
    assert_eq!(e, LedgerError::Damaged(problem));
    assert!(e.to_string().contains("suture audit verify") && e.to_string().contains("restore"), "{e}");
}

#[test]
fn a_flipped_bit() {
    let disk = tampered(|lines| lines[2] = lines[2].replace("command 3", "command 7"));
    refused(&disk, 3, 3, "hash to");
}

#[test]
fn every_flipped_byte_of_a_record() {
    let len = tampered(|_| {}).content(&segment()).unwrap().iter().position(|b| *b == b'\n').unwrap();
    for at in 0..=len {
        let disk = tampered(|_| {});
        let mut content = disk.content(&segment()).unwrap();
        content[at] ^= 1;
        disk.tamper(&segment(), Some(content));
        assert!(check(&disk).problem.is_some(), "byte {at}");
    }
}

fn segment() -> String {
    format!("{:020}.jsonl", 1)
}

#[test]
fn a_removed_line() {
    refused(&tampered(|lines| drop(lines.remove(2))), 3, 3, "record 3 belongs here, this is record 4");
}

#[test]
fn two_lines_swapped() {
    refused(&tampered(|lines| lines.swap(1, 2)), 2, 2, "record 2 belongs here, this is record 3");
}

#[test]
fn a_record_changed_and_hashed_again() {
    let disk = tampered(|lines| {
        let body = lines[2].rsplit_once(",\"hash\":").unwrap().0.replace("command 3", "command 7");
        lines[2] = format!("{body},\"hash\":\"{}\"}}", Digest::of(body.as_bytes()));
    });
    refused(&disk, 4, 4, "it follows a record with hash");
}

#[test]
fn a_complete_last_line_with_a_wrong_hash_is_no_torn_end() {
    let disk = tampered(|lines| lines[5] = lines[5].replace("command 6", "command 7"));
    refused(&disk, 6, 6, "hash to");
}

#[test]
fn garbage_in_the_middle() {
    refused(&tampered(|lines| lines.insert(3, "\u{1b}[2Jhello".to_owned())), 4, 4, "not a line of the form");
    refused(&tampered(|lines| lines.insert(0, String::new())), 1, 1, "not a line of the form");
}

#[test]
fn other_spellings_of_a_line() {
    for (from, to) in [("{\"seq\":2,", "{\"seq\": 2,"), ("{\"seq\":2,", "{\"seq\":02x,")] {
        let disk = tampered(|lines| {
            let body = lines[1].rsplit_once(",\"hash\":").unwrap().0.replace(from, to);
            lines[1] = format!("{body},\"hash\":\"{}\"}}", Digest::of(body.as_bytes()));
        });
        refused(&disk, 2, 2, "not a line of the form");
    }
}

#[test]
fn a_missing_file() {
    let disk = filled(10);
    let files = names(&disk);
    assert!(files.len() > 2);
    let seq: u64 = files[1][..20].parse().unwrap();
    disk.tamper(&files[1], None);
    let problem = check(&disk).problem.unwrap();
    assert_eq!((problem.file.as_str(), problem.line, problem.seq), (files[2].as_str(), 0, seq));
    assert!(open(&disk).is_err());
    disk.tamper(&files[0], None);
    assert_eq!(check(&disk).problem.unwrap().seq, 1);
}

#[test]
fn a_file_that_ends_in_the_middle_of_a_line_and_is_not_the_last() {
    let disk = filled(10);
    let files = names(&disk);
    let mut content = disk.content(&files[0]).unwrap();
    content.truncate(content.len() - 5);
    disk.tamper(&files[0], Some(content));
    let problem = check(&disk).problem.unwrap();
    assert!(problem.why.contains("cut off, and another file follows"), "{problem}");
}

#[test]
fn a_file_that_does_not_belong_there() {
    let disk = filled(2);
    disk.tamper("1.jsonl", Some(Vec::new()));
    assert!(check(&disk).problem.unwrap().to_string().contains("does not belong here"));
    assert!(open(&disk).is_err());
}

#[test]
fn records_removed_from_the_end_are_seen_by_the_tip() {
    let disk = tampered(|lines| lines.truncate(4));
    refused(&disk, 0, 5, "ends with record 4, but tip.json says that record 6 was on disk");
    let disk = filled(6);
    for name in names(&disk) {
        disk.tamper(&name, None);
    }
    refused(&disk, 0, 1, "ends with record 0");
    // The way out that the message names, for who knows what they do.
    disk.tamper("tip.json", None);
    let report = check(&disk);
    assert!(report.holds() && report.to_string().contains("would not be noticed"), "{report}");
    open(&disk).unwrap();
}

#[test]
fn a_torn_end_that_had_been_on_disk_is_seen_by_the_tip() {
    let disk = filled(3);
    let name = names(&disk).pop().unwrap();
    let mut content = disk.content(&name).unwrap();
    content.pop();
    disk.tamper(&name, Some(content.clone()));
    assert!(open(&disk).is_err());
    assert_eq!(disk.content(&name).unwrap(), content, "nothing is cut off from a ledger that is not started on");
}

#[test]
fn another_chain_in_its_place_is_seen_by_the_tip() {
    let (disk, other) = (filled(3), FakeDisk::default());
    let ledger = open(&other).unwrap().0.ledger;
    for n in 11..=16 {
        ledger.append_blocking(vec![event(n)]).unwrap();
    }
    for name in names(&disk) {
        disk.tamper(&name, None);
    }
    for name in names(&other) {
        disk.tamper(&name, other.content(&name));
    }
    assert!(check(&disk).problem.unwrap().why.contains("the chain was replaced"));
    assert!(open(&disk).is_err());
}

#[test]
fn a_tip_that_says_nothing() {
    let disk = filled(3);
    disk.tamper("tip.json", Some(b"{}".to_vec()));
    refused(&disk, 0, 0, "does not say which record");
}

#[test]
fn an_audit_of_a_damaged_ledger_shows_what_can_be_read() {
    let disk = tampered(|lines| lines[2] = lines[2].replace("command 3", "command 7"));
    let all: Vec<_> = records_on(Arc::new(disk)).unwrap().collect();
    assert_eq!((all.len(), all.iter().filter(|r| r.is_ok()).count()), (6, 5));
}

#[test]
fn a_fact_of_a_newer_version_verifies_and_is_not_started_on() {
    let disk = tampered(|_| {});
    let tip = check(&disk).tip;
    let body = format!("{{\"seq\":7,\"prev\":\"{}\",\"event\":{{\"at\":1,\"kind\":\"teleported\"}}", tip.hash);
    let mut content = disk.content(&segment()).unwrap();
    content.extend(format!("{body},\"hash\":\"{}\"}}\n", Digest::of(body.as_bytes())).into_bytes());
    disk.tamper(&segment(), Some(content));
    let report = check(&disk);
    assert!(report.holds(), "{report}");
    assert_eq!(report.records, 7);
    assert!(open(&disk).err().unwrap().to_string().contains("not one that this version of Suture knows"));
}

//! A new playbook is built with the versions that the stock playbooks are built with.

use std::collections::BTreeSet;

/// The packages of a lock file, as they stand in it.
fn packages(lock: &'static str) -> BTreeSet<&'static str> {
    lock.split("\n\n").filter(|block| block.starts_with("[[package]]")).map(str::trim).collect()
}

#[test]
fn the_templates_lock_is_a_part_of_this_workspaces() {
    let ours = packages(include_str!("../../../Cargo.lock"));
    let theirs = packages(include_str!("../../rust/Cargo.lock"));
    let (own, others): (Vec<_>, Vec<_>) = theirs.into_iter().partition(|block| block.contains("name = \"{{name}}\""));
    assert_eq!(own.len(), 1);
    assert!(!others.is_empty());
    let stale: Vec<_> = others.into_iter().filter(|block| !ours.contains(block)).collect();
    assert!(stale.is_empty(), "make plugins/template/rust/Cargo.lock anew from plugins/Cargo.lock: {stale:#?}");
}

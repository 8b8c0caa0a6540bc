//! The SDK carries a copy of the contract, so that it can be copied beside a playbook. In the repository of Suture it
//! must be the contract's own text.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Every file below a folder, by its path in it.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(dir).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn the_copy_of_the_contract_is_the_contract() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copy = files(&here.join("wit"));
    assert!(copy.contains_key(Path::new("plugin.wit")));
    // Beside an author's playbook there is nothing to compare with.
    let contract = here.join("../../wit/next");
    if contract.is_dir() {
        let contract = files(&contract);
        assert_eq!(copy.keys().collect::<Vec<_>>(), contract.keys().collect::<Vec<_>>());
        for (path, text) in &contract {
            assert!(copy.get(path) == Some(text), "{}: copy wit/next over plugins/sdk/wit", path.display());
        }
    }
}

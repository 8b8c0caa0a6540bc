use super::*;
use crate::model::FaultKind;

#[test]
fn every_stock_experiment_is_sound_and_teaches() {
    let library = Library::stock();
    assert_eq!(library.problems(), &[]);
    assert_eq!(library.entries().count(), STOCK.len());
    for entry in library.entries() {
        let experiment = &entry.experiment;
        for part in ["What is learned", "Expected of", "To start smaller"] {
            assert!(experiment.description.contains(part), "{}: {part}", experiment.name);
        }
        for step in &experiment.method {
            assert!((30..=60).contains(&step.lasts.as_secs()), "{}", experiment.name);
        }
        for playbook in &experiment.expect.playbooks {
            let known =
                ["scale-out", "restart-service", "shed-load", "rebalance", "cache-aggressively", "rolling-restart"];
            assert!(known.contains(&playbook.as_str()), "{}: {playbook}", experiment.name);
        }
    }
}

#[test]
fn each_kind_of_fault_has_a_stock_experiment_of_its_name() {
    let library = Library::stock();
    for kind in FaultKind::ALL {
        let experiment = &library.find(kind.name()).unwrap().experiment;
        assert_eq!(experiment.method.len(), 1);
        assert_eq!(experiment.method[0].fault.kind(), kind);
    }
}

#[test]
fn the_folder_of_stock_experiments_holds_no_other() {
    let mut names: Vec<_> = STOCK.iter().map(|(name, _)| format!("{name}.toml")).collect();
    names.sort();
    let folder = Path::new(file!()).ancestors().nth(4).unwrap().join("chaos");
    let there: Vec<_> = files_of(&folder).unwrap();
    let there: Vec<_> = there.iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(there, names);
}

#[test]
fn a_folder_replaces_adds_and_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("latency.toml", "title = \"Ours\"\n[[fault]]\nkind = \"hang\"\nfor = \"5s\"\n");
    write("ours.toml", "title = \"Ours too\"\n[[fault]]\nkind = \"crash\"\n");
    write("cpu.toml", "title = \"Broken\"\n[[fault]]\nkind = \"cpuu\"\nfor = \"5s\"\n");
    write("notes.txt", "not one of them");
    let library = Library::with_folder(folder.path());
    assert_eq!(library.find("latency").unwrap().experiment.title, "Ours");
    assert_eq!(library.find("ours").unwrap().experiment.method[0].lasts.as_secs(), 30);
    let said = library.replacements();
    let path = folder.path().join("latency.toml");
    assert_eq!(
        said,
        [format!("the experiment `latency` of {} replaces the built-in one of that name", path.display())]
    );
    assert_eq!(library.problems().len(), 1);
    let why = library.find("cpu").unwrap_err();
    let path = folder.path().join("cpu.toml");
    assert_eq!(
        why,
        format!(
            "the experiment `cpu` cannot be read: {}:3:8: `cpuu` in [[fault]] number 1 is no kind of fault",
            path.display()
        )
    );
}

#[test]
fn a_folder_that_is_not_there_leaves_the_stock_ones() {
    let folder = tempfile::tempdir().unwrap();
    let library = Library::with_folder(&folder.path().join("no"));
    assert_eq!(library.entries().count(), STOCK.len());
    let problem = &library.problems()[0];
    assert!(problem.message.starts_with("the folder of the experiments cannot be read: "), "{problem}");
    assert_eq!(
        problem.help.as_deref(),
        Some("make the folder, or name another one as `dir` of [chaos] in suture.toml")
    );
}

#[test]
fn who_mistypes_a_name_is_helped() {
    let library = Library::stock();
    assert_eq!(library.find("latncy").unwrap_err(), "there is no experiment `latncy`; did you mean `latency`?");
    let why = library.find("earthquake\u{1b}[2J").unwrap_err();
    assert!(why.starts_with("there is no experiment `earthquake\\u{1b}[2J`; there are: bad-day, cpu, "), "{why}");
}

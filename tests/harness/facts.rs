//! Reading the ledger of a data folder, also while a daemon writes it.

use std::path::Path;

use suture::incident::State;
use suture::ledger;
use suture::model::{Event, Fact};

/// Every event so far. A line that is being written now is not one yet.
pub fn events(dir: &Path) -> Vec<Event> {
    if !ledger::folder(dir).is_dir() {
        return Vec::new();
    }
    ledger::records(dir).unwrap().map_while(Result::ok).map(|stored| stored.record.event).collect()
}

/// The state that they fold to.
pub fn state(dir: &Path) -> State {
    State::fold(events(dir).iter())
}

/// Those of one kind.
pub fn of_kind(events: &[Event], kind: &str) -> Vec<Event> {
    assert!(ledger::KINDS.contains(&kind), "{kind}");
    events.iter().filter(|e| e.fact.kind() == kind).cloned().collect()
}

/// How many of one kind there are so far.
pub fn count(dir: &Path, kind: &str) -> usize {
    of_kind(&events(dir), kind).len()
}

/// The place of the first of one kind.
#[track_caller]
pub fn place(events: &[Event], kind: &str) -> usize {
    let kinds: Vec<_> = events.iter().map(|e| e.fact.kind()).collect();
    kinds.iter().position(|k| *k == kind).unwrap_or_else(|| panic!("no {kind} among {kinds:#?}"))
}

/// The chain holds, and each intended action and undo has exactly one outcome.
#[track_caller]
pub fn is_sound(dir: &Path) {
    let report = ledger::verify(dir).unwrap();
    assert!(report.holds(), "{report}");
    let events = events(dir);
    let about = |event: &Event| match &event.fact {
        Fact::ActionIntended { index, .. } => Some(("act", "intended", *index)),
        Fact::ActionDone { index, .. } | Fact::ActionFailed { index, .. } => Some(("act", "outcome", *index)),
        Fact::UndoIntended { index } => Some(("undo", "intended", *index)),
        Fact::UndoneAction { index, .. } | Fact::UndoFailed { index, .. } => Some(("undo", "outcome", *index)),
        _ => None,
    };
    let mut seen = std::collections::BTreeMap::new();
    for event in &events {
        if let Some((what, which, index)) = about(event) {
            let entry = seen.entry((event.run.unwrap(), index, what)).or_insert((0, 0));
            if which == "intended" {
                entry.0 += 1;
            } else {
                assert_eq!(entry.0, 1, "an outcome without its intent: {event:?}");
                entry.1 += 1;
            }
        }
    }
    for (which, counts) in seen {
        assert_eq!(counts, (1, 1), "{which:?}: intended and its outcomes");
    }
}

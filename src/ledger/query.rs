//! The audit's questions: which records, by service, actor, kind, incident, run and time, a page at a time.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use crate::model::{ActionKind, Event, Fact, IncidentId, RunId, ServiceId, Timestamp};

use super::scan::{Position, Stored, read_at};
use super::{Disk, LedgerError, Storage, folder, records_on};

/// The kinds of fact, in the order of a life.
pub const KINDS: [&str; 63] = [
    "started",
    "stopped",
    "tail-repaired",
    "component-loaded",
    "component-held",
    "component-accepted",
    "component-struck",
    "component-disabled",
    "component-enabled",
    "model-trained",
    "source-failed",
    "source-recovered",
    "forecast",
    "fault-injected",
    "fault-lifted",
    "experiment-asked",
    "experiment-approved",
    "experiment-declined",
    "experiment-started",
    "steady-state-seen",
    "fault-intended",
    "fault-stuck",
    "experiment-aborted",
    "experiment-ended",
    "commanded",
    "incident-opened",
    "incident-worsened",
    "proposed",
    "plan-asked",
    "planned",
    "plan-refused",
    "approved",
    "called",
    "rejected",
    "expired",
    "withdrawn",
    "run-started",
    "host-called",
    "action-intended",
    "action-done",
    "service-found",
    "service-gone",
    "action-progress",
    "action-failed",
    "playbook-ended",
    "run-done",
    "run-failed",
    "playbook-checked",
    "judged",
    "undo-started",
    "undo-intended",
    "undone-action",
    "undo-failed",
    "undo-done",
    "escalated",
    "resolved",
    "false-alarm",
    "deployed",
    "mode-changed",
    "muted",
    "unmuted",
    "halted",
    "resumed",
];

/// The kind of this name.
///
/// # Errors
/// A sentence that lists them.
pub fn known_kind(text: &str) -> Result<&'static str, String> {
    KINDS.iter().find(|kind| **kind == text).copied().ok_or_else(|| {
        let text = super::clean(&text.chars().take(60).collect::<String>());
        format!("`{text}` is not a kind of fact; there are: {}", KINDS.join(", "))
    })
}

/// The most records on a page.
const MOST: usize = 1000;

/// What is asked for. Everything given must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// About this service.
    pub service: Option<ServiceId>,
    /// Caused by the person with exactly this id, or exactly this name.
    pub actor: Option<String>,
    /// Of this kind; see [`known_kind`].
    pub kind: Option<String>,
    /// Of this incident.
    pub incident: Option<IncidentId>,
    /// About actions of this kind: plans with one, and what was done.
    pub action: Option<ActionKind>,
    /// Of this run.
    pub run: Option<RunId>,
    /// At this time or later; see [`super::parse_when`].
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Records on a page, 1 to 1000.
    pub limit: usize,
    /// Which page: 1 has the newest records.
    pub page: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            service: None,
            actor: None,
            kind: None,
            incident: None,
            action: None,
            run: None,
            since: None,
            until: None,
            limit: 50,
            page: 1,
        }
    }
}

/// Is this a plan with such an action, or the action itself?
fn is_about(event: &Event, kind: ActionKind) -> bool {
    match &event.fact {
        Fact::Planned { plan, .. } => plan.actions.iter().any(|step| step.action.kind() == kind),
        Fact::ActionIntended { step, .. } => step.action.kind() == kind,
        _ => false,
    }
}

impl Query {
    /// Is this event asked for? Pages do not matter here.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        fn is<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
            wanted.is_none() || wanted == found
        }
        is(self.service.as_ref(), event.service.as_ref())
            && is(self.incident.as_ref(), event.incident.as_ref())
            && is(self.run.as_ref(), event.run.as_ref())
            && self.action.is_none_or(|kind| is_about(event, kind))
            && self.kind.as_ref().is_none_or(|kind| kind == event.fact.kind())
            && self
                .actor
                .as_ref()
                .is_none_or(|actor| event.by.as_ref().is_some_and(|p| p.id == *actor || p.name == *actor))
            && self.since.is_none_or(|since| event.at >= since)
            && self.until.is_none_or(|until| event.at < until)
    }
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The records of this page, oldest first.
    pub records: Vec<Stored>,
    /// How many records match on all pages together.
    pub matched: u64,
    /// Which page this is, from 1.
    pub page: usize,
    /// How many pages there are; at least 1.
    pub pages: usize,
    /// Lines that could not be read: `suture audit verify` says more.
    pub unreadable: u64,
}

/// Finds where the matching records of a page lie, among records that come oldest first.
pub(super) struct Pager<'a> {
    query: &'a Query,
    keep: usize,
    newest: VecDeque<Position>,
    matched: u64,
}

impl<'a> Pager<'a> {
    pub(super) fn new(query: &'a Query) -> Self {
        // Only places are kept, and only those that the page and the newer ones need.
        let keep = query.limit.clamp(1, MOST).saturating_mul(query.page.max(1));
        Self { query, keep, newest: VecDeque::new(), matched: 0 }
    }

    pub(super) fn see(&mut self, event: &Event, at: Position) {
        if self.query.matches(event) {
            self.matched += 1;
            self.newest.push_back(at);
            if self.newest.len() > self.keep {
                self.newest.pop_front();
            }
        }
    }

    /// Reads the records of the page.
    pub(super) fn page(self, storage: &dyn Storage, unreadable: u64) -> Result<Page, LedgerError> {
        let limit = self.query.limit.clamp(1, MOST);
        let page = self.query.page.max(1);
        let pages = usize::try_from(self.matched.div_ceil(limit as u64)).unwrap_or(usize::MAX).max(1);
        let newer = limit.saturating_mul(page - 1);
        let end = self.newest.len().saturating_sub(newer);
        let places = self.newest.range(end.saturating_sub(limit)..end);
        // A page behind the last one is empty, not the last one again.
        let places = if page > pages { self.newest.range(0..0) } else { places };
        let records: Result<_, _> =
            places.map(|at| read_at(storage, *at).map(|record| Stored { record, at: *at })).collect();
        Ok(Page { records: records?, matched: self.matched, page, pages, unreadable })
    }
}

/// Asks the ledger of this data folder, by reading all of it. A daemon may be writing.
///
/// # Errors
/// When a file cannot be read. A damaged line is counted, not an error.
pub fn query(data_dir: &Path, query: &Query) -> Result<Page, LedgerError> {
    let disk: Arc<dyn Storage> = Arc::new(Disk::at(folder(data_dir)));
    query_on(&disk, query)
}

/// The same for any storage.
///
/// # Errors
/// When a file cannot be read.
pub fn query_on(storage: &Arc<dyn Storage>, query: &Query) -> Result<Page, LedgerError> {
    let mut pager = Pager::new(query);
    let mut unreadable = 0;
    for stored in records_on(Arc::clone(storage))? {
        match stored {
            Ok(stored) => pager.see(&stored.record.event, stored.at),
            Err(LedgerError::Damaged(_)) => unreadable += 1,
            Err(e) => return Err(e),
        }
    }
    pager.page(&**storage, unreadable)
}

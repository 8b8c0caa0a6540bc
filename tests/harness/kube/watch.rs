//! Watches: a stream of changes from a version on (kubernetes.io, "Efficient detection of changes").

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::{Bytes, Frame};
use hyper::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Shared;
use super::place::Place;
use super::refusal::Refusal;
use super::selector::Selection;
use super::serve::Body;
use super::store::{Change, State};
use super::verbs::{Asked, forbidden_option, metadata_only};

/// What the real server takes when it is not told.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// One watch, from its start to its end.
pub struct Watched {
    kind: &'static str,
    /// As the objects are shown.
    api_version: String,
    object_kind: &'static str,
    namespace: Option<String>,
    selection: Selection,
    /// All up to here was told.
    told: u64,
    waiting: VecDeque<Value>,
    bookmarks: bool,
    partial: bool,
    expired_before: u64,
    cut_before: u64,
    ends: Duration,
    pub expire_at_once: bool,
}

impl Watched {
    pub fn begin(state: &State, asked: &Asked, place: &Place, selection: Selection) -> Result<Self, Refusal> {
        let initial = asked.param("sendInitialEvents");
        let matching = asked.param("resourceVersionMatch");
        if matching.is_some() && initial.is_none() {
            return Err(forbidden_option(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ));
        }
        if initial.is_some() && matching != Some("NotOlderThan") {
            return Err(forbidden_option(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        let from = asked.param("resourceVersion").unwrap_or_default();
        let from: u64 = if from.is_empty() {
            0
        } else {
            from.parse()
                .map_err(|_| Refusal::bad(format!("Invalid value: \"{from}\": resourceVersion: must be a number")))?
        };
        let ends = match asked.param("timeoutSeconds") {
            None | Some("" | "0") => LONGEST,
            Some(seconds) => {
                let seconds =
                    seconds.parse().map_err(|_| Refusal::bad(format!("timeoutSeconds: invalid value {seconds}")))?;
                Duration::from_secs(seconds)
            }
        };
        let mut watched = Self {
            kind: place.kind.id,
            api_version: place.kind.api_version(place.version),
            object_kind: place.kind.kind,
            namespace: (!place.namespace.is_empty()).then(|| place.namespace.clone()),
            selection,
            told: from,
            waiting: VecDeque::new(),
            bookmarks: asked.flag("allowWatchBookmarks"),
            partial: metadata_only(asked),
            expired_before: state.watches_expired,
            cut_before: state.watches_cut,
            ends,
            expire_at_once: false,
        };
        // From nothing in particular: what there is comes first, as additions.
        if initial == Some("true") || (initial.is_none() && from == 0) {
            for (_, object) in state.list(place.kind.id, watched.namespace.as_deref()) {
                if watched.selection.takes(object) {
                    watched.waiting.push_back(watched.event("ADDED", object));
                }
            }
            watched.told = state.version;
            if initial.is_some() {
                let mut mark = watched.bookmark();
                mark["object"]["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
                watched.waiting.push_back(mark);
            }
        } else if from == 0 {
            watched.told = state.version;
        }
        Ok(watched)
    }

    fn event(&self, kind: &str, object: &Value) -> Value {
        let object = if self.partial {
            json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
        } else {
            let mut object = object.clone();
            object["apiVersion"] = json!(self.api_version);
            object
        };
        json!({"type": kind, "object": object})
    }

    fn bookmark(&self) -> Value {
        json!({"type": "BOOKMARK", "object": {
            "kind": self.object_kind, "apiVersion": self.api_version,
            "metadata": {"resourceVersion": self.told.to_string(), "creationTimestamp": null},
        }})
    }

    /// Takes in what happened since, or says that nobody knows any more.
    fn catch_up(&mut self, state: &State) -> Result<(), Refusal> {
        if self.told < state.floor || state.watches_expired != self.expired_before || self.expire_at_once {
            let message = format!("too old resource version: {} ({})", self.told, state.floor.max(self.told + 1));
            return Err(Refusal::expired(message));
        }
        let from = state.log.partition_point(|change| change.version <= self.told);
        for change in state.log.range(from..) {
            if let Some(event) = self.about(change) {
                self.waiting.push_back(event);
            }
        }
        self.told = self.told.max(state.version);
        Ok(())
    }

    /// A change as this watch sees it: what comes into its selection is added, what leaves it is deleted.
    fn about(&self, change: &Change) -> Option<Value> {
        let here = change.key.kind == self.kind
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == change.key.namespace);
        if !here {
            return None;
        }
        let was = change.before.as_ref().is_some_and(|before| self.selection.takes(before));
        let is = !change.deleted && self.selection.takes(&change.after);
        match (was, is) {
            (false, false) => None,
            (false, true) => Some(self.event("ADDED", &change.after)),
            (true, true) => Some(self.event("MODIFIED", &change.after)),
            (true, false) if change.deleted => Some(self.event("DELETED", &change.after)),
            // As it was when it still belonged, with the version of the change that took it out.
            (true, false) => {
                let mut before = change.before.clone()?;
                before["metadata"]["resourceVersion"] = change.after["metadata"]["resourceVersion"].clone();
                Some(self.event("DELETED", &before))
            }
        }
    }
}

struct Flow {
    shared: Arc<Shared>,
    watched: Watched,
    ends: Instant,
    next_bookmark: Instant,
    over: bool,
}

/// The stream as an answer.
pub fn response(shared: Arc<Shared>, watched: Watched) -> Response<Body> {
    let every = shared.read(|state| state.bookmark_every);
    let flow = Flow {
        ends: Instant::now() + watched.ends,
        next_bookmark: Instant::now() + every,
        shared,
        watched,
        over: false,
    };
    let body = StreamBody::new(stream::unfold(flow, |mut flow| async move {
        let chunk = next(&mut flow).await?;
        Some((chunk.map(|line| Frame::data(Bytes::from(line))), flow))
    }));
    Response::builder().header(CONTENT_TYPE, "application/json").body(body.boxed_unsync()).expect("a response")
}

/// The next line; nothing at its end.
async fn next(flow: &mut Flow) -> Option<Result<String, io::Error>> {
    if flow.over {
        return None;
    }
    let mut changed = flow.shared.changed.subscribe();
    loop {
        let Flow { shared, watched, .. } = &mut *flow;
        let (cut, caught_up, every) = shared
            .read(|state| (state.watches_cut != watched.cut_before, watched.catch_up(state), state.bookmark_every));
        if cut {
            flow.over = true;
            return Some(Err(io::Error::other("cut by order of the test")));
        }
        if let Err(refusal) = caught_up {
            flow.over = true;
            return Some(Ok(line(&json!({"type": "ERROR", "object": refusal.body()}))));
        }
        if let Some(event) = flow.watched.waiting.pop_front() {
            return Some(Ok(line(&event)));
        }
        let now = Instant::now();
        if now >= flow.ends {
            flow.over = true;
            // A last one, so that the next watch can begin where this one ended.
            return flow.watched.bookmarks.then(|| Ok(line(&flow.watched.bookmark())));
        }
        if flow.watched.bookmarks && now >= flow.next_bookmark {
            flow.next_bookmark = now + every;
            return Some(Ok(line(&flow.watched.bookmark())));
        }
        let wake = if flow.watched.bookmarks { flow.ends.min(flow.next_bookmark) } else { flow.ends };
        tokio::select! {
            _ = changed.changed() => {}
            () = tokio::time::sleep_until(wake) => {}
        }
    }
}

fn line(event: &Value) -> String {
    format!("{event}\n")
}

//! Getting what people do to the bot, and what it says to that: acks, late acks, and sending once more.
//!
//! Pages "Using Socket Mode", "Events API" (retries), "Handling user interaction" (three seconds).

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::shared::Shared;
use super::state::{State, Wire};
use super::{respond, signed, views};

/// Page "Handling user interaction": so long has the bot to acknowledge.
pub(super) const IN_TIME: Duration = Duration::from_secs(3);
/// Page "Events API": an event that was not acknowledged is sent again at once, after a minute and after five.
const AGAIN_AFTER: [Duration; 3] = [Duration::ZERO, Duration::from_secs(60), Duration::from_secs(300)];
/// How long a test waits for what should happen, on a machine that has much else to do.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Command,
    Press,
    Form,
    Closed,
    Event,
}

/// A delivery and what became of it.
#[derive(Clone)]
pub(super) struct Record {
    pub envelope_id: String,
    pub kind: Kind,
    pub payload: Value,
    /// For a command the number of its `response_url`, for a form the view.
    pub about: String,
    pub sends: usize,
    pub acks: usize,
    pub attempt: usize,
    pub sent_at: Option<Instant>,
    pub acked_after: Option<Duration>,
    pub answer: Option<Value>,
    pub status: Option<u16>,
    pub failed: Option<String>,
    pub late: bool,
    /// Waits for a connection.
    pub queued: bool,
}

/// Something a person did, on its way to the bot.
#[derive(Clone)]
pub struct Delivery {
    pub(super) shared: Arc<Shared>,
    pub(super) index: usize,
}

impl Delivery {
    fn look<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        self.shared.read(|state| look(&state.records[self.index]))
    }

    /// The envelope's id, the same for whatever is sent again.
    pub fn envelope_id(&self) -> String {
        self.look(|record| record.envelope_id.clone())
    }

    /// What was sent.
    pub fn payload(&self) -> Value {
        self.look(|record| record.payload.clone())
    }

    /// The time from sending to the acknowledgement; `None` without one.
    pub fn acked_after(&self) -> Option<Duration> {
        self.look(|record| record.acked_after)
    }

    /// The payload of the acknowledgement, if it had one.
    pub fn answer(&self) -> Option<Value> {
        self.look(|record| record.answer.clone())
    }

    /// The HTTP status, when Slack delivers over HTTP.
    pub fn status(&self) -> Option<u16> {
        self.look(|record| record.status)
    }

    /// Why the person sees an error, or why Slack never sent it.
    pub fn failed(&self) -> Option<String> {
        self.look(|record| record.failed.clone())
    }

    /// How often it was sent so far.
    pub fn sends(&self) -> usize {
        self.look(|record| record.sends)
    }

    /// The trigger in the payload.
    pub fn trigger_id(&self) -> String {
        self.look(|record| record.payload["trigger_id"].as_str().unwrap_or_default().to_owned())
    }

    /// The `response_url` in the payload.
    pub fn response_url(&self) -> String {
        self.look(|record| record.payload["response_url"].as_str().unwrap_or_default().to_owned())
    }

    /// Waits until it is acknowledged or has failed.
    ///
    /// # Panics
    /// When neither happens for half a minute.
    pub async fn settled(&self) -> &Self {
        let settled = |state: &State| {
            let record = &state.records[self.index];
            record.acked_after.is_some() || record.failed.is_some()
        };
        if !wait(&self.shared, PATIENCE, settled).await {
            panic!("neither acknowledged nor failed: {}", self.payload());
        }
        self
    }

    /// Waits for the acknowledgement and says how long it took.
    ///
    /// # Panics
    /// When there is none, saying why.
    pub async fn acked(&self) -> Duration {
        self.settled().await;
        match self.acked_after() {
            Some(after) => after,
            None => panic!("not acknowledged: {}", self.failed().unwrap_or_default()),
        }
    }
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery")
            .field("envelope_id", &self.envelope_id())
            .field("acked_after", &self.acked_after())
            .field("failed", &self.failed())
            .finish_non_exhaustive()
    }
}

/// Waits until it holds; `false` when it did not within that time.
pub(super) async fn wait(shared: &Shared, patience: Duration, holds: impl Fn(&State) -> bool) -> bool {
    let mut changed = shared.changed.subscribe();
    let until = tokio::time::Instant::now() + patience;
    loop {
        if shared.read(&holds) {
            return true;
        }
        if !matches!(tokio::time::timeout_at(until, changed.changed()).await, Ok(Ok(()))) {
            return shared.read(&holds);
        }
    }
}

/// Sends it, by the way the app is set up for.
pub(super) fn deliver(shared: &Arc<Shared>, kind: Kind, payload: Value, about: &str) -> Delivery {
    let index = shared.change(|state| {
        let envelope_id = format!("{:08x}-fa4e-4000-8000-{:012x}", state.next(), state.records.len());
        push(state, kind, payload, about, envelope_id, 0)
    });
    start(shared, index)
}

/// The same once more, as after an answer that got lost.
pub(super) fn redeliver(shared: &Arc<Shared>, index: usize) -> Delivery {
    let index = shared.change(|state| {
        let old = state.records[index].clone();
        push(state, old.kind, old.payload, &old.about, old.envelope_id, 1)
    });
    start(shared, index)
}

/// What Slack never sends: the person sees why, or nobody notices.
pub(super) fn never(shared: &Arc<Shared>, why: &str) -> Delivery {
    let index = shared.change(|state| {
        let index = push(state, Kind::Event, Value::Null, "", String::new(), 0);
        state.records[index].failed = Some(why.to_owned());
        index
    });
    Delivery { shared: Arc::clone(shared), index }
}

fn push(state: &mut State, kind: Kind, payload: Value, about: &str, envelope_id: String, attempt: usize) -> usize {
    state.records.push(Record {
        envelope_id,
        kind,
        payload,
        about: about.to_owned(),
        sends: 0,
        acks: 0,
        attempt,
        sent_at: None,
        acked_after: None,
        answer: None,
        status: None,
        failed: None,
        late: false,
        queued: false,
    });
    state.records.len() - 1
}

fn start(shared: &Arc<Shared>, index: usize) -> Delivery {
    let delivery = Delivery { shared: Arc::clone(shared), index };
    if shared.read(|state| state.http.is_some()) {
        shared.spawn(over_http(Arc::clone(shared), index));
        return delivery;
    }
    let sent = shared.change(|state| {
        let sent = send(state, index);
        let record = &mut state.records[index];
        if !sent && record.kind == Kind::Event {
            record.queued = true;
        } else if !sent {
            // What a person sees: "/suture failed because the app did not respond".
            record.failed = Some("dispatch_failed: no connection".to_owned());
        }
        sent
    });
    if sent {
        shared.spawn(watch(Arc::clone(shared), index));
    }
    delivery
}

/// Events that came while nobody was connected.
pub(super) fn flush(shared: &Arc<Shared>) {
    let waiting: Vec<usize> = shared.change(|state| {
        let waiting: Vec<usize> = (0..state.records.len()).filter(|index| state.records[*index].queued).collect();
        waiting
            .into_iter()
            .filter(|index| {
                state.records[*index].attempt = state.records[*index].attempt.max(1);
                let sent = send(state, *index);
                state.records[*index].queued = !sent;
                sent
            })
            .collect()
    });
    for index in waiting {
        shared.spawn(watch(Arc::clone(shared), index));
    }
}

/// Puts it on one of the connections (page "Using Socket Mode": any of them may get it).
fn send(state: &mut State, index: usize) -> bool {
    let record = &state.records[index];
    let (kind, answers) = match record.kind {
        Kind::Command => ("slash_commands", true),
        Kind::Press | Kind::Closed => ("interactive", false),
        Kind::Form => ("interactive", true),
        Kind::Event => ("events_api", false),
    };
    let mut envelope = json!({
        "envelope_id": record.envelope_id, "payload": record.payload, "type": kind, "accepts_response_payload": answers,
    });
    if record.kind == Kind::Event {
        envelope["retry_attempt"] = json!(record.attempt);
        envelope["retry_reason"] = json!(if record.attempt > 0 { "timeout" } else { "" });
    }
    let text = envelope.to_string();
    let sockets = state.sockets.len();
    if sockets > 0 {
        state.sockets.rotate_left(1);
    }
    let sent = state.sockets.iter().any(|socket| !socket.leaving && socket.out.send(Wire::Text(text.clone())).is_ok());
    if sent {
        let record = &mut state.records[index];
        record.sends += 1;
        record.sent_at.get_or_insert_with(Instant::now);
    }
    sent
}

/// Three seconds for the ack; an event is sent again, everything else is lost with an error that the person sees.
async fn watch(shared: Arc<Shared>, index: usize) {
    for pause in AGAIN_AFTER {
        if wait(&shared, IN_TIME, |state| state.records[index].acks > 0).await {
            return;
        }
        let event = shared.change(|state| too_late(state, index));
        if !event || wait(&shared, pause, |state| state.records[index].acks > 0).await {
            return;
        }
        shared.change(|state| {
            state.records[index].attempt += 1;
            let sent = send(state, index);
            state.records[index].queued = !sent;
        });
        if shared.read(|state| state.records[index].queued) {
            return;
        }
    }
    if !wait(&shared, IN_TIME, |state| state.records[index].acks > 0).await {
        shared.change(|state| state.records[index].failed = Some("given up after three retries".to_owned()));
    }
}

/// Notes it; is it worth another try?
fn too_late(state: &mut State, index: usize) -> bool {
    let record = &mut state.records[index];
    record.late = true;
    if record.kind != Kind::Event {
        record.failed = Some("operation_timeout".to_owned());
    }
    record.kind == Kind::Event
}

/// A frame from the bot: it must acknowledge something that was sent.
pub(super) fn acknowledge(state: &mut State, frame: &str) {
    let Ok(ack) = serde_json::from_str::<Value>(frame) else {
        return state.reject(format!("socket: not JSON: {frame}"));
    };
    let Some(id) = ack["envelope_id"].as_str() else {
        return state.reject(format!("socket: no envelope_id: {frame}"));
    };
    let open = |record: &Record, most: usize| record.envelope_id == id && record.acks < most;
    let unheard = state.records.iter().rposition(|record| record.sends > 0 && open(record, 1));
    let Some(index) = unheard.or_else(|| state.records.iter().rposition(|record| open(record, record.sends))) else {
        let known = state.records.iter().any(|record| record.envelope_id == id);
        let what = if known { "acknowledged twice" } else { "no such envelope" };
        return state.reject(format!("socket: {what}: {id}"));
    };
    let answer = ack.get("payload").filter(|payload| !payload.is_null()).cloned();
    accept(state, index, answer);
}

/// The ack of one delivery, over the socket or as the body of a 200.
fn accept(state: &mut State, index: usize, answer: Option<Value>) {
    let record = &mut state.records[index];
    record.acks += 1;
    let first = record.acks == 1;
    if first {
        record.acked_after = record.sent_at.map(|at| at.elapsed());
        record.answer.clone_from(&answer);
    }
    let (kind, about, late) = (record.kind, record.about.clone(), record.late);
    match (kind, answer) {
        // Whatever comes after three seconds, nobody sees.
        _ if late || !first => {}
        (Kind::Command, Some(answer)) => respond::to_command(state, &about, &answer),
        (Kind::Form, answer) => views::submitted(state, &about, answer.as_ref()),
        (Kind::Press | Kind::Closed | Kind::Event, Some(answer)) => {
            state.reject(format!("socket: a payload in the ack of what takes none: {answer}"));
        }
        (_, None) => {}
    }
}

async fn over_http(shared: Arc<Shared>, index: usize) {
    for (attempt, pause) in [Duration::ZERO].into_iter().chain(AGAIN_AFTER).enumerate() {
        tokio::time::sleep(pause).await;
        let Some((http, record)) = shared.change(|state| {
            let record = &mut state.records[index];
            record.attempt += usize::from(attempt > 0);
            record.sends += 1;
            record.sent_at.get_or_insert_with(Instant::now);
            Some((state.http.clone()?, state.records[index].clone()))
        }) else {
            return;
        };
        let reply = tokio::time::timeout(IN_TIME, signed::deliver(&http, &record)).await;
        let done = shared.change(|state| match reply {
            Ok(Ok(reply)) => {
                state.records[index].status = Some(reply.status);
                if (200..300).contains(&reply.status) {
                    accept(state, index, reply.payload(record.kind));
                    return true;
                }
                state.records[index].failed = Some(format!("HTTP {}", reply.status));
                record.kind != Kind::Event || !http.is_honest() || reply.no_retry
            }
            Ok(Err(error)) => {
                state.records[index].failed = Some(error.to_string());
                record.kind != Kind::Event
            }
            Err(_) => !too_late(state, index),
        });
        if done {
            return;
        }
    }
}

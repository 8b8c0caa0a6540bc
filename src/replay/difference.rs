//! Are two executions the same, byte for byte, and where do they first differ?
//!
//! Bytes are those of canonical JSON: no spaces, the keys of every object in order. Pure.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use crate::ledger::clean;
use crate::model::{Digest, Transcript};

/// Characters shown of one side of a difference; enough to see it, little enough to read.
const SHOWN: usize = 200;
/// Characters shown before the first one that differs.
const LEAD: usize = 40;

/// The first place where an execution is not what its record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where: `call 3 (scale.set-replicas), arguments`, `outcome`, `fuel`. Calls are counted from 1.
    pub place: String,
    /// What the record says there, shortened, fit to be shown.
    pub recorded: String,
    /// What came of it now.
    pub replayed: String,
    /// SHA-256 over the whole recorded execution.
    pub recorded_sha256: Digest,
    /// SHA-256 over the whole execution now.
    pub replayed_sha256: Digest,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  recorded: {}\n  replayed: {}", self.place, self.recorded, self.replayed)
    }
}

/// The value as JSON without spaces, the keys of objects in order: equal values are equal bytes.
#[must_use]
pub fn canonical(value: &Value) -> Vec<u8> {
    // Values that were parsed or built from finite numbers: writing them to memory cannot fail.
    serde_json::to_vec(&sorted(value)).unwrap_or_default()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// SHA-256 over everything that an execution did: calls with answers, log, outcome, notes and fuel.
#[must_use]
pub fn sha256(ran: &Transcript) -> Digest {
    let all = json!({
        "calls": ran.calls,
        "fuel": ran.fuel,
        "log": ran.log,
        "log_dropped": ran.log_dropped,
        "notes": ran.notes,
        "outcome": ran.outcome,
    });
    Digest::of(&canonical(&all))
}

/// The first place where they differ, in the order in which an execution goes: calls, log, outcome, notes, fuel.
#[must_use]
pub fn first(recorded: &Transcript, replayed: &Transcript) -> Option<Difference> {
    let (recorded_sha256, replayed_sha256) = (sha256(recorded), sha256(replayed));
    let found = in_calls(recorded, replayed, usize::MAX)
        .or_else(|| in_lists("log line", &values(&recorded.log), &values(&replayed.log)))
        .or_else(|| in_values("log lines dropped", &json!(recorded.log_dropped), &json!(replayed.log_dropped)))
        .or_else(|| in_values("outcome", &recorded.outcome, &replayed.outcome))
        .or_else(|| in_values("notes", &json!(recorded.notes), &json!(replayed.notes)))
        .or_else(|| in_values("fuel", &json!(recorded.fuel), &json!(replayed.fuel)));
    let (place, recorded, replayed) = match found {
        Some(found) => found,
        None if recorded_sha256 == replayed_sha256 => return None,
        // Every part was compared above; should one be forgotten there, the digest still sees it.
        None => ("SHA-256".to_owned(), recorded_sha256.to_string(), replayed_sha256.to_string()),
    };
    Some(Difference { place, recorded, replayed, recorded_sha256, replayed_sha256 })
}

/// The same for an execution that was cut off: everything that the record has must come first, and more may follow.
#[must_use]
pub fn first_before_the_cut(recorded: &Transcript, replayed: &Transcript) -> Option<Difference> {
    let (recorded_sha256, replayed_sha256) = (sha256(recorded), sha256(replayed));
    let log = &replayed.log.get(..recorded.log.len().min(replayed.log.len())).unwrap_or_default();
    let found = in_calls(recorded, replayed, recorded.calls.len())
        .or_else(|| in_lists("log line", &values(&recorded.log), &values(log)));
    let (place, recorded, replayed) = found?;
    Some(Difference { place, recorded, replayed, recorded_sha256, replayed_sha256 })
}

type Found = (String, String, String);

/// Compares at most the first `most` calls.
fn in_calls(recorded: &Transcript, replayed: &Transcript, most: usize) -> Option<Found> {
    let count = recorded.calls.len().max(replayed.calls.len()).min(most);
    (0..count).find_map(|i| match (recorded.calls.get(i), replayed.calls.get(i)) {
        (Some(then), Some(now)) => {
            let place = |part: &str| format!("call {} ({}), {part}", i + 1, clean(&then.call));
            in_values(&place("what is called"), &json!(then.call), &json!(now.call))
                .or_else(|| in_values(&place("arguments"), &then.input, &now.input))
                .or_else(|| in_values(&place("answer"), &then.output, &now.output))
        }
        (then, now) => {
            let side = |call: Option<&crate::model::HostCall>| {
                call.map_or_else(|| "no further call".to_owned(), |c| short(&format!("{} {}", c.call, c.input)))
            };
            Some((format!("call {}", i + 1), side(then), side(now)))
        }
    })
}

fn in_lists(what: &str, recorded: &[Value], replayed: &[Value]) -> Option<Found> {
    (0..recorded.len().max(replayed.len())).find_map(|i| {
        let place = format!("{what} {}", i + 1);
        match (recorded.get(i), replayed.get(i)) {
            (Some(then), Some(now)) => in_values(&place, then, now),
            (then, now) => {
                let side = |v: Option<&Value>| v.map_or_else(|| "none".to_owned(), |v| short(&v.to_string()));
                Some((place, side(then), side(now)))
            }
        }
    })
}

fn in_values(place: &str, recorded: &Value, replayed: &Value) -> Option<Found> {
    let (then, now) = (canonical(recorded), canonical(replayed));
    if then == now {
        return None;
    }
    let (then, now) = around(&String::from_utf8_lossy(&then), &String::from_utf8_lossy(&now));
    Some((place.to_owned(), then, now))
}

fn values<T: Serialize>(list: &[T]) -> Vec<Value> {
    list.iter().map(|item| json!(item)).collect()
}

/// Both texts, cut to a window around the first character that differs.
fn around(a: &str, b: &str) -> (String, String) {
    let same = a.chars().zip(b.chars()).take_while(|(x, y)| x == y).count();
    let from = if same > LEAD * 2 { same - LEAD } else { 0 };
    let window = |text: &str| {
        let rest: String = text.chars().skip(from).collect();
        format!("{}{}", if from > 0 { "..." } else { "" }, short(&rest))
    };
    (window(a), window(b))
}

/// At most [`SHOWN`] characters, none of them able to do harm in a terminal.
fn short(text: &str) -> String {
    crate::chat::clean::shortened(&clean(text), SHOWN)
}

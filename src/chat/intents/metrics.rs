//! Which metric is meant by "cpu": looked for by parts of its name, over the metrics that there are.

use super::words::{Sentence, is_one_of};
use super::{Known, MAX_LINES};
use crate::model::ServiceId;

/// What people say, and the parts of names that metrics have for it.
const OTHER_WORDS: &[(&str, &[&str])] = &[
    ("processor", &["cpu"]),
    ("ram", &["memory", "mem", "rss"]),
    ("memory", &["mem", "rss", "heap"]),
    ("latency", &["duration", "response"]),
    ("delay", &["latency", "duration"]),
    ("error", &["failure", "5xx", "failed"]),
    ("failure", &["error", "5xx", "failed"]),
    ("traffic", &["request", "rps", "throughput"]),
    ("request", &["rps", "throughput"]),
    ("throughput", &["rps", "request"]),
    ("disk", &["fs", "filesystem", "storage"]),
    ("network", &["net", "rx", "tx"]),
];

/// Words that are parts of names but ask for nothing by themselves.
const TOO_COMMON: &str = "a all and any are at by do for from has have how in is it last me my now of on per rate running service show state \
     status the time to total up usage what with you";

/// A metric of a service.
pub(super) type Found = (ServiceId, String);

/// The metrics that a sentence names, the best matches only, in the order of the services. `asked_for` says that a
/// sentence speaks of metrics: then the beginning of a name will do.
pub(super) fn named(s: &Sentence, names: &Known<'_>, asked_for: bool) -> Vec<Found> {
    let words: Vec<&str> = s
        .words
        .iter()
        .map(String::as_str)
        .filter(|w| !w.starts_with('@') && !is_one_of(TOO_COMMON, w) && w.chars().count() <= 64)
        .collect();
    let services = match &s.service {
        Some(service) => vec![service.clone()],
        None => names.services.iter().cloned().map(ServiceId).collect(),
    };
    let mut best = 0;
    let mut found: Vec<Found> = Vec::new();
    for service in services {
        for metric in (names.metrics)(&service.0) {
            let score = score(&words, &metric, asked_for);
            if score > best {
                best = score;
                found.clear();
            }
            // One more than can be shown tells as much as all of them.
            if score > 0 && score == best && found.len() <= MAX_LINES {
                found.push((service.clone(), metric));
            }
        }
    }
    found
}

/// How well the words name this metric; its whole name counts for more than any number of parts.
fn score(words: &[&str], metric: &str, asked_for: bool) -> usize {
    let metric = metric.to_lowercase();
    if words.contains(&metric.as_str()) {
        return usize::MAX;
    }
    let parts: Vec<_> = metric.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).collect();
    words.iter().filter(|word| parts.iter().any(|part| is_meant(word, part, asked_for))).count()
}

fn is_meant(word: &str, part: &str, asked_for: bool) -> bool {
    let (word, part) = (singular(word), singular(part));
    let others = OTHER_WORDS.iter().find(|(said, _)| *said == word).map_or(&[][..], |(_, others)| *others);
    let length = word.chars().count();
    word == part
        || others.contains(&part)
        || (asked_for && length >= 3 && part.starts_with(word))
        || (length >= 5 && strsim::osa_distance(word, part) == 1)
}

fn singular(word: &str) -> &str {
    match word {
        "latencies" => "latency",
        word if word.ends_with("ss") || word.len() < 4 => word,
        word => word.strip_suffix('s').unwrap_or(word),
    }
}

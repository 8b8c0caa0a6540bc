//! The `[[fault]]` tables: each has the kind of a fault with the measures that this kind has, and when it is in.
//!
//! Which measures those are, and what they are when left out, is asked of the model itself: there is no second list.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::read::{is_plain, span_fits};
use crate::config::strict::{Findings, Label, Node, Section, did_you_mean, read, value};
use crate::model::{BlastRadius, Fault, FaultKind, LONGEST_EXPERIMENT, MethodStep, duration_text, in_words};

/// How long a blow, which has nothing to take out again, is watched where the file does not say.
const WATCHED: Duration = Duration::from_secs(30);

/// A length of time as text.
#[derive(Clone, Copy, Deserialize)]
#[serde(transparent)]
struct Span(#[serde(with = "duration_text")] Duration);

/// Everything that a `[[fault]]` of any kind may have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultTable {
    kind: String,
    #[serde(rename = "for")]
    lasts: Option<Span>,
    after: Option<Span>,
    #[serde(default)]
    instances: Vec<String>,
    cores: Option<f64>,
    bytes_per_second: Option<u64>,
    at_most: Option<u64>,
    bytes: Option<u64>,
    block: Option<u64>,
    delay: Option<Span>,
    jitter: Option<Span>,
    share: Option<f64>,
    status: Option<u16>,
    every: Option<Span>,
    factor: Option<f64>,
}

impl FaultTable {
    /// The measures that are written, each as the model has it.
    fn measures(&self) -> Vec<(&'static str, Value)> {
        let number = |n: Option<f64>| n.map(Value::from);
        let count = |n: Option<u64>| n.map(Value::from);
        let span = |d: Option<Span>| d.map(|Span(d)| json!(humantime::format_duration(d).to_string()));
        let all = [
            ("cores", number(self.cores)),
            ("bytes_per_second", count(self.bytes_per_second)),
            ("at_most", count(self.at_most)),
            ("bytes", count(self.bytes)),
            ("block", count(self.block)),
            ("delay", span(self.delay)),
            ("jitter", span(self.jitter)),
            ("share", number(self.share)),
            ("status", count(self.status.map(u64::from))),
            ("every", span(self.every)),
            ("factor", number(self.factor)),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }
}

/// The fault of a kind with these measures; the others are what they are when left out.
fn fault_of(kind: FaultKind, measures: &Map<String, Value>) -> Option<Fault> {
    let mut whole = measures.clone();
    whole.insert("kind".to_owned(), json!(kind.name()));
    serde_json::from_value(Value::Object(whole)).ok()
}

/// The measures that a kind of fault has.
pub(super) fn measures_of(kind: FaultKind) -> Vec<String> {
    let fault = fault_of(kind, &Map::new()).map(serde_json::to_value);
    match fault {
        Some(Ok(Value::Object(all))) => all.into_iter().map(|(key, _)| key).filter(|key| key != "kind").collect(),
        _ => Vec::new(),
    }
}

/// One `[[fault]]`, the `number`th of the file; `None` when there was a problem with it.
pub(super) fn step(
    findings: &mut Findings<'_>,
    node: Node<'_>,
    number: usize,
    radius: &BlastRadius,
    named: &mut BTreeSet<String>,
) -> Option<MethodStep> {
    let before = findings.count();
    let label = Label { key: "fault", array: true, which: format!(" number {number}") };
    let of = label.of(&[]);
    let section = read::<FaultTable>(findings, node, &label, &[])?;
    let kind = kind(findings, &section, &of);
    let fault = kind.and_then(|kind| measured(findings, &section, kind, &of));
    let lasts = lasts(findings, &section, kind, &of);
    let after = section.settings.after.map(|Span(after)| after).unwrap_or_default();
    if section.sound(&["after"]) && after > LONGEST_EXPERIMENT {
        let message = format!("`after` in {of} is {}", in_words(after));
        let help = format!("write at most \"{}s\"", LONGEST_EXPERIMENT.as_secs());
        findings.error(section.at("after"), &message, &help);
    }
    instances(findings, &section, radius, named, &of);
    // Once the list of problems is full nothing is counted any more, but then there is no experiment either.
    let sound = findings.count() == before && !findings.is_full();
    let step = MethodStep { fault: fault?, after, lasts: lasts?, instances: section.settings.instances };
    sound.then_some(step)
}

fn kind(findings: &mut Findings<'_>, section: &Section<'_, FaultTable>, of: &str) -> Option<FaultKind> {
    if !section.sound(&["kind"]) {
        return None;
    }
    let word = &section.settings.kind;
    let found = FaultKind::ALL.into_iter().find(|kind| kind.name() == word);
    if found.is_none() {
        let known = FaultKind::ALL.map(FaultKind::name);
        let message = format!("`{}` in {of} is no kind of fault", value(word));
        findings.error(section.at("kind"), &message, &did_you_mean(word, &known, "there are"));
    }
    found
}

/// The fault with its measures; each problem of theirs is found, not only the first.
fn measured(
    findings: &mut Findings<'_>,
    section: &Section<'_, FaultTable>,
    kind: FaultKind,
    of: &str,
) -> Option<Fault> {
    let has = measures_of(kind);
    let mut measures = Map::new();
    for (key, measure) in section.settings.measures() {
        if !has.iter().any(|known| known == key) {
            let help = if has.is_empty() {
                format!("`{kind}` has no measure: take it out")
            } else {
                format!("it has: {}", has.join(", "))
            };
            findings.error(section.at_key(&[], key), &format!("`{key}` in {of} is no measure of `{kind}`"), &help);
        } else if measure.is_null() {
            // What is not finite has no place in JSON.
            findings.error(section.at(key), &format!("`{key}` in {of} is no finite number"), "write how much");
        } else if section.sound(&[key]) {
            measures.insert(key.to_owned(), measure);
        }
    }
    // What is wrong is taken out and the rest looked at again.
    for _ in 0..=has.len() {
        let fault = fault_of(kind, &measures)?;
        let Err((key, why)) = fault.check() else { return Some(fault) };
        findings.error(section.at(key), &format!("`{key}` in {of}: {why}"), "");
        measures.shift_remove(key)?;
    }
    None
}

fn lasts(
    findings: &mut Findings<'_>,
    section: &Section<'_, FaultTable>,
    kind: Option<FaultKind>,
    of: &str,
) -> Option<Duration> {
    if !section.sound(&["for"]) {
        return None;
    }
    match section.settings.lasts {
        Some(Span(lasts)) => span_fits(findings, section, "for", lasts, of).then_some(lasts),
        None if kind.is_some_and(FaultKind::is_a_blow) => Some(WATCHED),
        None => {
            let help = "write how long it stays in: `for = \"30s\"`";
            findings.error(section.header(), &format!("missing key `for` in {of}"), help);
            None
        }
    }
}

/// `named` are those that the faults above name: the blast radius is one for the whole experiment.
fn instances(
    findings: &mut Findings<'_>,
    section: &Section<'_, FaultTable>,
    radius: &BlastRadius,
    named: &mut BTreeSet<String>,
    of: &str,
) {
    if !section.sound(&["instances"]) {
        return;
    }
    let names = &section.settings.instances;
    let mut seen = BTreeSet::new();
    for name in names {
        if !is_plain(name, 253, "-_./:") {
            let message = format!("`{}` in {of} is no name of an instance", value(name));
            let help = "write it as the plan names it; left out, the lot decides";
            findings.error(section.at_element("instances", name, 0), &message, help);
        } else if !seen.insert(name) {
            let message = format!("`{}` in {of} is named twice", value(name));
            findings.error(section.at_element("instances", name, 1), &message, "keep one of the two");
        }
    }
    let before = named.len();
    named.extend(names.iter().cloned());
    if named.len() > before && named.len() > radius.instances as usize {
        let message = format!(
            "with {of} the faults name {} instances, and [blast_radius] allows {}",
            named.len(),
            radius.instances
        );
        findings.error(section.at("instances"), &message, "name fewer, or raise `instances` in [blast_radius]");
    }
}

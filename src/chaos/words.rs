//! Experiments in words: what one is for, what a plan of one would do second by second, and which there are.
//!
//! Plain input in, blocks of a card out. Decides nothing and looks nothing up; text of files is hostile and is cleaned by
//! whoever shows the card, as everywhere. Called by the composition root for `chaos list`, `chaos describe` and the question.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::inject::LEASE;
use super::library::{Entry, Library, Origin};
use crate::chat::{Block, Card, pages};
use crate::model::number::humane;
use crate::model::{
    AbortRules, AimedFault, BlastRadius, Expectation, Experiment, ExperimentPlan, MetricBound, ServiceId, SteadyState,
};

/// Problems of files that a list shows; the rest is counted.
const MOST_PROBLEMS: usize = 5;

/// A span as people plan with it: `45 s`, `1 min 30 s`.
pub(super) fn span(d: Duration) -> String {
    humane(d.as_secs_f64(), "s")
}

fn field(label: &str, value: impl Into<String>) -> Block {
    Block::Field(label.to_owned(), value.into())
}

fn table<const N: usize>(head: [&str; N], rows: Vec<Vec<String>>) -> Block {
    Block::Table { head: head.map(str::to_owned).to_vec(), rows }
}

/// Which experiments there are, and on which services each can run: `runs_on` says those.
#[must_use]
pub fn list(library: &Library, runs_on: &dyn Fn(&Experiment) -> Vec<ServiceId>) -> Card {
    let row = |entry: &Entry| {
        let experiment = &entry.experiment;
        let services: Vec<_> = runs_on(experiment).iter().map(ToString::to_string).collect();
        let services = if services.is_empty() { "none here".to_owned() } else { services.join(", ") };
        vec![experiment.name.clone(), experiment.title.clone(), span(experiment.lasts()), services]
    };
    let rows: Vec<_> = library.entries().map(row).collect();
    let count = rows.len();
    let mut blocks = vec![table(["experiment", "what happens", "takes", "can run on"], rows)];
    blocks.extend(library.replacements().into_iter().map(|said| Block::Text(format!("{}.", capital(&said)))));
    let problems = library.problems();
    for problem in problems.iter().take(MOST_PROBLEMS) {
        blocks.push(Block::Text(format!("Left out: {}: {}", problem.place(), problem.message)));
    }
    if problems.len() > MOST_PROBLEMS {
        blocks.push(Block::Text(format!(
            "And {} more problems: `suture check` has all.",
            problems.len() - MOST_PROBLEMS
        )));
    }
    let hint = "`chaos run NAME SERVICE` shows what would happen and asks; nothing happens before a yes.";
    blocks.push(Block::Text(hint.to_owned()));
    pages::answer(&format!("chaos · {count} experiments"), blocks)
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// What an experiment is for and what it does, wherever it is run.
#[must_use]
pub fn describe(entry: &Entry) -> Card {
    let experiment = &entry.experiment;
    let mut blocks = vec![Block::Text(experiment.title.clone())];
    blocks.extend(paragraphs(&experiment.description).map(Block::Text));
    if let Some(service) = &experiment.service {
        blocks.push(field("Service", service.to_string()));
    }
    let rows = experiment.method.iter().zip(experiment.timetable()).map(|(step, (from, until))| {
        let on = if step.instances.is_empty() { "by lot".to_owned() } else { step.instances.join(", ") };
        vec![span(from), span(until), step.fault.to_string(), on]
    });
    blocks.push(table(["from", "until", "what happens", "to whom"], rows.collect()));
    blocks.extend(rules(experiment));
    let origin = match &entry.origin {
        Origin::Stock => "built in".to_owned(),
        Origin::File { path, replaces_stock: false } => path.display().to_string(),
        Origin::File { path, replaces_stock: true } => format!("{}, in place of the built-in one", path.display()),
    };
    blocks.push(field("File", format!("{origin} ({})", experiment.digest.short())));
    pages::answer(&format!("chaos · {}", experiment.name), blocks)
}

/// The paragraphs of a description, each in one line: files are wrapped, and so is a chat.
fn paragraphs(text: &str) -> impl Iterator<Item = String> {
    text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|part| !part.is_empty())
}

/// What holds for an experiment wherever it is run.
fn rules(experiment: &Experiment) -> Vec<Block> {
    vec![
        field("Steady state", steady_state(&experiment.steady_state)),
        field("Blast radius", blast_radius(&experiment.blast_radius)),
        field("Broken off", abort(&experiment.abort)),
        field("Expected", expectation(&experiment.expect)),
    ]
}

/// `the detector calls it normal; errors_ratio at most 0.05; 3 samples in a row, again within 1 min 00 s`.
#[must_use]
pub fn steady_state(steady: &SteadyState) -> String {
    let detector = steady.detector.then(|| "the detector calls it normal and no incident is open".to_owned());
    let bounds = steady.metrics.iter().map(ToString::to_string);
    let all: Vec<_> = detector.into_iter().chain(bounds).collect();
    let samples =
        if steady.samples == 1 { "1 sample".to_owned() } else { format!("{} samples in a row", steady.samples) };
    format!("{}; {samples}, and again within {} afterwards", all.join("; "), span(steady.within))
}

/// `at most 1 instance, and at most 50 % of those that serve`.
#[must_use]
pub fn blast_radius(radius: &BlastRadius) -> String {
    let what = if radius.instances == 1 { "instance" } else { "instances" };
    format!(
        "at most {} {what}, and at most {} of those that serve (of two, one)",
        radius.instances,
        humane(radius.share, "ratio")
    )
}

/// When an experiment ends early.
#[must_use]
pub fn abort(rules: &AbortRules) -> String {
    let breach = |bound: &MetricBound| match bound.samples {
        1 => format!("when this does not hold: {bound}"),
        n => format!("when this does not hold for {n} samples in a row: {bound}"),
    };
    let other = rules.other_incident.then(|| "when an incident of another service opens".to_owned());
    let always = ["by `chaos stop`".to_owned(), "by `stop`".to_owned(), "when Suture ends".to_owned()];
    let all: Vec<_> = other.into_iter().chain(rules.metrics.iter().map(breach)).chain(always).collect();
    all.join("; ")
}

/// `detected within 30 s, answered by shed-load or restart-service, well again within 3 min 00 s`.
#[must_use]
pub fn expectation(expect: &Expectation) -> String {
    let by = match expect.playbooks.as_slice() {
        [] => "answered by any playbook or none".to_owned(),
        [one] => format!("answered by {one}"),
        [most @ .., last] => format!("answered by {} or {last}", most.join(", ")),
    };
    format!("detected within {}, {by}, well again within {}", span(expect.detected_within), span(expect.healed_within))
}

/// A dry run as a card: what would be done, to whom, how it comes out again. Who is asked, and what may be pressed, is for the
/// caller to add.
#[must_use]
pub fn plan_card(plan: &ExperimentPlan) -> Card {
    let title = format!("chaos · {} · {} · dry run", plan.service, plan.experiment.name);
    pages::answer(&title, plan_blocks(plan))
}

/// What a plan would do, as the people see it who are asked.
#[must_use]
pub fn plan_blocks(plan: &ExperimentPlan) -> Vec<Block> {
    let experiment = &plan.experiment;
    let mut blocks = vec![field("Experiment", format!("{}: {}", experiment.name, experiment.title))];
    blocks.push(field("Hits", hits(&plan.faults)));
    blocks.push(table(["at", "what happens", "to whom", "how"], second_by_second(&plan.faults)));
    let held = plan.faults.iter().any(|fault| !fault.fault.kind().is_a_blow());
    if held {
        let lease = span(LEASE);
        let words =
            format!("by itself within {lease} when Suture is gone or cannot reach it; `chaos stop` at any time");
        blocks.push(field("Comes out", words));
    }
    let blows: BTreeSet<_> = plan.faults.iter().map(|f| f.fault.kind()).filter(|kind| kind.is_a_blow()).collect();
    if !blows.is_empty() {
        let names: Vec<_> = blows.iter().map(ToString::to_string).collect();
        let words = format!("{}: what died stays dead until somebody or something heals it", names.join(", "));
        blocks.push(field("No way back", words));
    }
    blocks.extend(rules(experiment));
    let lasts = plan.faults.iter().map(|fault| fault.until).max().unwrap_or_default();
    let within = experiment.steady_state.within;
    blocks.push(field("Takes", format!("{} of faults, then up to {} to be steady again", span(lasts), span(within))));
    blocks.push(field("Plan", plan.digest().short()));
    blocks
}

/// Who is hit, each once: `local:shop: shop-2; k8s:prod/deployment/web: web-1, web-2`.
fn hits(faults: &[AimedFault]) -> String {
    let mut targets: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for fault in faults {
        targets.entry(fault.target.to_string()).or_default().extend(fault.instances.iter().map(String::as_str));
    }
    let one = |(target, instances): (String, BTreeSet<&str>)| match instances.len() {
        0 => format!("{target} as a whole"),
        _ => format!("{target}: {}", instances.into_iter().collect::<Vec<_>>().join(", ")),
    };
    if targets.is_empty() { "nothing".to_owned() } else { targets.into_iter().map(one).collect::<Vec<_>>().join("; ") }
}

/// What goes in and out, in the order of time; at one time, what comes out comes first.
fn second_by_second(faults: &[AimedFault]) -> Vec<Vec<String>> {
    let mut rows: Vec<(Duration, bool, Vec<String>)> = Vec::new();
    for fault in faults {
        let on = match fault.instances.as_slice() {
            [] => fault.target.to_string(),
            names => names.join(", "),
        };
        let kind = fault.fault.kind();
        let row = |at: Duration, what: String, how: &str| vec![span(at), what, on.clone(), how.to_owned()];
        rows.push((fault.from, true, row(fault.from, format!("{kind}: {}", fault.fault), &fault.how)));
        if !kind.is_a_blow() {
            rows.push((fault.until, false, row(fault.until, format!("{kind} comes out"), &fault.undo)));
        }
    }
    rows.sort_by_key(|(at, goes_in, _)| (*at, *goes_in));
    rows.into_iter().map(|(_, _, row)| row).collect()
}

#[cfg(test)]
mod tests;

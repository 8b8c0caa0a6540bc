//! From the tables of the file to an [`Experiment`], and what is checked on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::MOST_FAULTS;
use super::steps;
use crate::config::strict::{
    Findings, Label, Node, Section, did_you_mean, many, one, read, syntax, table, take_key, text_at, value,
};
use crate::model::{
    AbortRules, BlastRadius, Digest, Expectation, Experiment, LONGEST_EXPERIMENT, MethodStep, MetricBound, ServiceId,
    SteadyState, duration_text, in_words,
};

/// What stands at the top of the file.
const KEYS: &[&str] =
    &["title", "description", "service", "order", "steady_state", "blast_radius", "fault", "abort", "expect"];

/// The values of `order`.
const ORDERS: &[&str] = &["together", "in-order"];

/// Longest title: it stands in a line of a table.
const LONGEST_TITLE: usize = 120;
/// Most bounds of metrics in one list, and most playbooks that may answer.
const MOST_NAMED: usize = 20;
/// Most samples that anything may ask for.
const MOST_SAMPLES: u32 = 1000;
/// Most instances that a blast radius may name: whoever means all of them says so with the share.
const MOST_INSTANCES: u32 = 1000;

pub(super) fn experiment(findings: &mut Findings<'_>, name: &str, digest: Digest) -> Option<Experiment> {
    let (root, slips) = DeTable::parse_recoverable(findings.source.text());
    // A key that stands twice leaves the rest readable. After any other slip the rest is guesswork.
    let (twice, slips): (Vec<_>, Vec<_>) = slips.into_iter().partition(|e| e.message() == "duplicate key");
    syntax(findings, if slips.is_empty() { &twice } else { &slips });
    if !slips.is_empty() {
        return None;
    }
    let mut root = Spanned::new(0..0, DeValue::Table(root.into_inner()));
    let mut parts: BTreeMap<&str, Node<'_>> =
        KEYS.iter().filter_map(|key| take_key(&mut root, key).map(|node| (*key, node))).collect();
    for (key, _) in table(&root).into_iter().flatten() {
        let message = format!("unknown table or key `{}` at the top of the file", value(key.get_ref()));
        findings.error(key.span(), &message, &did_you_mean(key.get_ref(), KEYS, "an experiment has"));
    }
    let title = title(findings, parts.remove("title"));
    let description = text(findings, parts.remove("description"), "description").map(|(text, _)| text);
    let service = service(findings, parts.remove("service"));
    let in_order = in_order(findings, parts.remove("order"));
    let steady_state = steady_state(findings, parts.remove("steady_state"));
    let blast_radius = blast_radius(findings, parts.remove("blast_radius"));
    let method = method(findings, parts.remove("fault"), &blast_radius);
    let abort = abort(findings, parts.remove("abort"));
    let expect = expect(findings, parts.remove("expect"));
    let experiment = Experiment {
        name: name.to_owned(),
        title: title?,
        description: description.unwrap_or_default().trim().to_owned(),
        service,
        steady_state,
        in_order,
        method: method?,
        blast_radius,
        abort,
        expect,
        digest,
    };
    let lasts = experiment.lasts();
    if lasts > LONGEST_EXPERIMENT {
        let message = format!("its faults take {}: at most {}", in_words(lasts), in_words(LONGEST_EXPERIMENT));
        findings.error_of_file(&message, "shorten them, or make two experiments of it");
        return None;
    }
    Some(experiment)
}

/// A text at the top of the file, with its place.
fn text(findings: &mut Findings<'_>, node: Option<Node<'_>>, key: &str) -> Option<(String, std::ops::Range<usize>)> {
    let node = node?;
    let Some(text) = node.get_ref().as_str() else {
        findings.error(node.span(), &format!("`{key}` must be text in quotes"), &format!("write `{key} = \"...\"`"));
        return None;
    };
    Some((text.to_owned(), node.span()))
}

fn title(findings: &mut Findings<'_>, node: Option<Node<'_>>) -> Option<String> {
    if node.is_none() {
        let help = "write what happens in one line: `title = \"Answers come half a second later\"`";
        findings.error_of_file("missing key `title` at the top of the file", help);
    }
    let (title, span) = text(findings, node, "title")?;
    let title = title.trim().to_owned();
    if title.is_empty() || title.chars().count() > LONGEST_TITLE || title.contains('\n') {
        let message = format!("`title` must be one line of 1 to {LONGEST_TITLE} characters");
        findings.error(span, &message, "say more in `description`");
        return None;
    }
    Some(title)
}

fn service(findings: &mut Findings<'_>, node: Option<Node<'_>>) -> Option<ServiceId> {
    let (name, span) = text(findings, node, "service")?;
    if !is_plain(&name, 63, "-_") {
        let message = format!("`{}` is no name of a service", value(&name));
        findings.error(span, &message, "write it as in `[[service]]` of suture.toml, like `service = \"shop\"`");
        return None;
    }
    Some(ServiceId(name))
}

fn in_order(findings: &mut Findings<'_>, node: Option<Node<'_>>) -> bool {
    let Some((order, span)) = text(findings, node, "order") else { return false };
    if !ORDERS.contains(&order.as_str()) {
        let message = format!("`{}` is no value for `order`", value(&order));
        findings.error(span, &message, &did_you_mean(&order, ORDERS, "it is one of"));
    }
    order == "in-order"
}

/// Letters, digits and what else is named, not more than so many.
pub(super) fn is_plain(text: &str, most: usize, besides: &str) -> bool {
    !text.is_empty() && text.len() <= most && text.chars().all(|c| c.is_ascii_alphanumeric() || besides.contains(c))
}

/// Reads a table that stands once, and that has `metric` tables of its own besides.
fn with_bounds<'t, T: DeserializeOwned>(
    findings: &mut Findings<'_>,
    node: Option<Node<'t>>,
    key: &'static str,
    bounds_key: &'static str,
) -> (Option<Section<'t, T>>, Vec<MetricBound>) {
    let Some(mut node) = node else { return (None, Vec::new()) };
    if table(&node).is_none() {
        return (one(findings, Some(node), key), Vec::new());
    }
    let nodes = take_key(&mut node, "metric");
    let bounds = bounds(findings, nodes, bounds_key);
    let label = Label { key, array: false, which: String::new() };
    (read(findings, node, &label, &["metric"]), bounds)
}

fn bounds(findings: &mut Findings<'_>, node: Option<Node<'_>>, key: &'static str) -> Vec<MetricBound> {
    let mut names = BTreeSet::new();
    let mut bounds = Vec::new();
    for (i, node) in many(findings, node, key).into_iter().enumerate() {
        let which = match text_at(&node, "metric") {
            Some(name) => format!(" `{}`", value(name)),
            None => format!(" number {}", i + 1),
        };
        let label = Label { key, array: true, which };
        let Some(section) = read::<MetricBound>(findings, node, &label, &[]) else { continue };
        let of = label.of(&[]);
        if i == MOST_NAMED {
            let message = format!("more than {MOST_NAMED} tables [[{key}]]");
            findings.error(section.header(), &message, "keep those that say whether people are served");
        }
        bound(findings, &section, &of);
        if section.sound(&["metric"]) && !names.insert(section.settings.metric.clone()) {
            let help = "put both sides into one table: `at_least` and `at_most`";
            findings.error(section.at("metric"), &format!("{of} stands in the file above already"), help);
        }
        bounds.push(section.settings);
    }
    bounds
}

fn bound(findings: &mut Findings<'_>, section: &Section<'_, MetricBound>, of: &str) {
    let bound = &section.settings;
    if section.sound(&["metric"]) && !is_plain(&bound.metric, 120, "-_.:/") {
        let message = format!("`{}` is no name of a metric", value(&bound.metric));
        findings.error(section.at("metric"), &message, "write it as cards and charts name it, like `errors_ratio`");
    }
    if section.sound(&["samples"]) && !(1..=MOST_SAMPLES).contains(&bound.samples) {
        let message = format!("`samples` in {of} is {}", bound.samples);
        findings.error(section.at("samples"), &message, &format!("write a number from 1 to {MOST_SAMPLES}"));
    }
    if !section.sound(&["at_most", "at_least"]) {
        return;
    }
    let sides = [("at_least", bound.at_least), ("at_most", bound.at_most)];
    for (key, side) in sides {
        if side.is_some_and(|side| !side.is_finite()) {
            findings.error(section.at(key), &format!("`{key}` in {of} is no finite number"), "leave the side out");
            return;
        }
    }
    match (bound.at_least, bound.at_most) {
        (None, None) => {
            let help = "write `at_most = ...`, `at_least = ...`, or both";
            findings.error(section.header(), &format!("{of} has no bound"), help);
        }
        (Some(least), Some(most)) if least > most => {
            let message = format!("{of} is never kept: at least {least} and at most {most}");
            findings.error(section.at("at_most"), &message, "write `at_least` <= `at_most`");
        }
        _ => {}
    }
}

/// `[steady_state]` without its metrics.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SteadyTable {
    detector: bool,
    samples: u32,
    #[serde(with = "duration_text")]
    within: Duration,
}

impl Default for SteadyTable {
    fn default() -> Self {
        let SteadyState { detector, samples, within, .. } = SteadyState::default();
        Self { detector, samples, within }
    }
}

fn steady_state(findings: &mut Findings<'_>, node: Option<Node<'_>>) -> SteadyState {
    let (section, metrics) = with_bounds::<SteadyTable>(findings, node, "steady_state", "steady_state.metric");
    let Some(section) = section else { return SteadyState { metrics, ..SteadyState::default() } };
    let SteadyTable { detector, samples, within } = section.settings;
    if section.sound(&["samples"]) && !(1..=MOST_SAMPLES).contains(&samples) {
        let message = format!("`samples` in [steady_state] is {samples}");
        findings.error(section.at("samples"), &message, &format!("write a number from 1 to {MOST_SAMPLES}"));
    }
    if section.sound(&["within"]) {
        span_fits(findings, &section, "within", within, "[steady_state]");
    }
    if section.sound(&["detector"]) && !detector && metrics.is_empty() {
        let help = "leave `detector` at true, or add a [[steady_state.metric]]";
        findings.error(section.at("detector"), "[steady_state] holds of anything", help);
    }
    SteadyState { detector, samples, within, metrics }
}

/// `[abort]` without its metrics.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AbortTable {
    other_incident: bool,
}

impl Default for AbortTable {
    fn default() -> Self {
        Self { other_incident: AbortRules::default().other_incident }
    }
}

fn abort(findings: &mut Findings<'_>, node: Option<Node<'_>>) -> AbortRules {
    let (section, metrics) = with_bounds::<AbortTable>(findings, node, "abort", "abort.metric");
    let table = section.map(|section| section.settings).unwrap_or_default();
    AbortRules { other_incident: table.other_incident, metrics }
}

fn blast_radius(findings: &mut Findings<'_>, node: Option<Node<'_>>) -> BlastRadius {
    let Some(section) = one::<BlastRadius>(findings, node, "blast_radius") else { return BlastRadius::default() };
    let radius = section.settings;
    if section.sound(&["instances"]) && !(1..=MOST_INSTANCES).contains(&radius.instances) {
        let message = format!("`instances` in [blast_radius] is {}", radius.instances);
        findings.error(section.at("instances"), &message, &format!("write a number from 1 to {MOST_INSTANCES}"));
    }
    if section.sound(&["share"]) && !(radius.share > 0.0 && radius.share <= 1.0) {
        let message = format!("`share` in [blast_radius] is {}, which is not a part", radius.share);
        findings.error(section.at("share"), &message, "write more than 0 and at most 1: 0.5 is half of the instances");
    }
    radius
}

fn expect(findings: &mut Findings<'_>, node: Option<Node<'_>>) -> Expectation {
    let Some(section) = one::<Expectation>(findings, node, "expect") else { return Expectation::default() };
    let expect = section.settings.clone();
    let mut fits = true;
    for (key, span) in [("detected_within", expect.detected_within), ("healed_within", expect.healed_within)] {
        fits &= section.sound(&[key]) && span_fits(findings, &section, key, span, "[expect]");
    }
    if fits && expect.detected_within > expect.healed_within {
        let (detected, healed) = (in_words(expect.detected_within), in_words(expect.healed_within));
        let message = format!("[expect] wants it healed within {healed} and detected within {detected}");
        findings.error(section.at("detected_within"), &message, "write `detected_within` <= `healed_within`");
    }
    if section.sound(&["playbooks"]) {
        if expect.playbooks.len() > MOST_NAMED {
            let message = format!("`playbooks` in [expect] has {}", expect.playbooks.len());
            findings.error(section.at("playbooks"), &message, &format!("name at most {MOST_NAMED}"));
        }
        for name in expect.playbooks.iter().filter(|name| !is_plain(name, 64, "-_")) {
            let message = format!("`{}` is no name of a playbook", value(name));
            findings.error(section.at_element("playbooks", name, 0), &message, "write it like `restart-service`");
        }
    }
    expect
}

/// Is it more than nothing, and not longer than any experiment?
pub(super) fn span_fits<T>(
    findings: &mut Findings<'_>,
    section: &Section<'_, T>,
    key: &str,
    span: Duration,
    of: &str,
) -> bool {
    let fits = span >= Duration::from_secs(1) && span <= LONGEST_EXPERIMENT;
    if !fits {
        let message = format!("`{key}` in {of} is {}", in_words(span));
        let help = format!("write at least \"1s\" and at most \"{}s\"", LONGEST_EXPERIMENT.as_secs());
        findings.error(section.at(key), &message, &help);
    }
    fits
}

fn method(findings: &mut Findings<'_>, node: Option<Node<'_>>, radius: &BlastRadius) -> Option<Vec<MethodStep>> {
    let given = node.is_some();
    let nodes = many(findings, node, "fault");
    let count = nodes.len();
    if count == 0 {
        if !given || findings.count() == 0 {
            let help = "write what goes wrong:\n[[fault]]\nkind = \"latency\"\nfor = \"30s\"";
            findings.error_of_file("no [[fault]] in it: nothing would happen", help);
        }
        return None;
    }
    if let Some(one_more) = nodes.get(MOST_FAULTS) {
        let message = format!("{count} faults in one experiment");
        findings.error(one_more.span(), &message, &format!("at most {MOST_FAULTS}: make two experiments of it"));
    }
    let mut named = BTreeSet::new();
    let steps: Vec<_> = nodes
        .into_iter()
        .take(MOST_FAULTS)
        .enumerate()
        .map(|(i, node)| steps::step(findings, node, i + 1, radius, &mut named))
        .collect();
    steps.into_iter().collect()
}

//! Reads a case from its file: strictly, and with every problem in one pass, each with its line and what to do.
//!
//! It uses the reader of `suture.toml`. Called by `test`, `run --dry` and `bench`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read as _;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::case::{Case, Deny, Expect, Fail, Incident, MOST_INSTANCES, TARGET_KINDS, Target};
use crate::config::strict::{
    Findings, Label, Node, SourceText, did_you_mean, many, one, read, syntax, table, take_key, text_at, value,
};
use crate::config::{Level, Problem, count_in_words};

/// The keys at the top of a case.
const KEYS: &[&str] =
    &["summary", "incident", "metrics", "instance-metrics", "target", "notes", "args", "deny", "fail", "expect"];

/// Largest case in bytes: every run of it is told all of it.
const LARGEST_CASE: usize = 256 << 10;

/// Everything that is wrong with a case, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseErrors(pub Vec<Problem>);

impl fmt::Display for CaseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|problem| writeln!(f, "{problem}\n"))?;
        f.write_str(&count_in_words(&self.0))
    }
}

impl std::error::Error for CaseErrors {}

impl Case {
    /// Reads a file.
    ///
    /// # Errors
    /// Every problem of it, with its place.
    pub fn load(path: &Path) -> Result<Self, CaseErrors> {
        let file = path.display().to_string();
        let alone = |message: &str, help: &str| {
            CaseErrors(vec![Problem::of_file(&file, Level::Error, message, Some(help).filter(|h| !h.is_empty()))])
        };
        // Opening a pipe could wait for ever.
        if !path.is_file() {
            return Err(alone("there is no such file", "a case is a .toml file, usually in the folder `cases`"));
        }
        let mut bytes = Vec::new();
        let limit = u64::try_from(LARGEST_CASE).unwrap_or(u64::MAX).saturating_add(1);
        let opened = std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
        opened.map_err(|e| alone(&format!("this file cannot be read: {e}"), ""))?;
        if bytes.len() > LARGEST_CASE {
            let message = format!("this file is larger than {} KiB", LARGEST_CASE >> 10);
            return Err(alone(&message, "a case has a few hundred bytes: is this the right file?"));
        }
        let text = String::from_utf8(bytes).map_err(|_| alone("this file is not text", "save it as UTF-8"))?;
        Self::parse(&text, &file)
    }

    /// Reads a text as if it stood in this file.
    ///
    /// # Errors
    /// Every problem of it, with its place.
    pub fn parse(text: &str, file: &str) -> Result<Self, CaseErrors> {
        let source = SourceText::new(file, text);
        let mut findings = Findings::new(&source);
        let case = read_case(&source, &mut findings);
        let problems = findings.into_problems();
        match case {
            Some(case) if problems.is_empty() => Ok(case),
            _ => Err(CaseErrors(problems)),
        }
    }
}

fn read_case(source: &SourceText, findings: &mut Findings<'_>) -> Option<Case> {
    let (root, slips) = DeTable::parse_recoverable(source.text());
    syntax(findings, &slips);
    if !slips.is_empty() {
        return None;
    }
    let mut root = Spanned::new(0..0, DeValue::Table(root.into_inner()));
    let mut tables: BTreeMap<&str, Node<'_>> =
        KEYS.iter().filter_map(|key| take_key(&mut root, key).map(|node| (*key, node))).collect();
    for (key, _) in table(&root).into_iter().flatten() {
        let message = format!("unknown table or key `{}` at the top of the file", value(key.get_ref()));
        findings.error(key.span(), &message, &did_you_mean(key.get_ref(), KEYS, "a case has"));
    }
    Some(Case {
        summary: tables.remove("summary").and_then(|node| text_of(findings, &node)),
        incident: incident(findings, tables.remove("incident")),
        metrics: metrics(findings, tables.remove("metrics"), "metrics"),
        instance_metrics: instance_metrics(findings, tables.remove("instance-metrics")),
        target: tables.remove("target").map(|node| targets(findings, node)),
        notes: settings(findings, tables.remove("notes"), "notes"),
        args: settings(findings, tables.remove("args"), "args"),
        deny: each::<Deny>(findings, tables.remove("deny"), "deny"),
        fail: fails(findings, tables.remove("fail")),
        expect: tables.remove("expect").and_then(|node| expect(findings, node)),
    })
}

fn text_of(findings: &mut Findings<'_>, node: &Node<'_>) -> Option<String> {
    let text = node.get_ref().as_str().map(str::to_owned);
    if text.is_none() {
        findings.error(node.span(), "`summary` must be text in quotes", "write `summary = \"what this case shows\"`");
    }
    text
}

fn settings<T: DeserializeOwned + Default>(
    findings: &mut Findings<'_>,
    node: Option<Node<'_>>,
    key: &'static str,
) -> T {
    one::<T>(findings, node, key).map(|section| section.settings).unwrap_or_default()
}

/// The tables of a list, each read.
fn each<T: DeserializeOwned>(findings: &mut Findings<'_>, node: Option<Node<'_>>, key: &'static str) -> Vec<T> {
    let nodes = many(findings, node, key);
    let label = Label { key, array: true, which: String::new() };
    nodes.into_iter().filter_map(|node| Some(read::<T>(findings, node, &label, &[])?.settings)).collect()
}

fn incident(findings: &mut Findings<'_>, node: Option<Node<'_>>) -> Incident {
    let Some(section) = one::<Incident>(findings, node, "incident") else { return Incident::default() };
    let incident = section.settings.clone();
    if section.sound(&["risk"]) && !(0.0..=100.0).contains(&incident.risk) {
        findings.error(
            section.at("risk"),
            "`risk` in [incident] is not from 0 to 100",
            "50 is where an anomaly begins",
        );
    }
    if section.sound(&["driver"]) {
        for (i, driver) in incident.driver.iter().enumerate() {
            let numbers = [driver.share, driver.value, driver.normal, driver.low, driver.high];
            if !numbers.iter().chain(&driver.recent).all(|n| n.is_finite()) {
                let message = format!("driver number {} has a number that is none", i + 1);
                findings.error(section.at("driver"), &message, "the detector knows finite numbers only");
            }
            if !(0.0..=1.0).contains(&driver.share) {
                let message = format!("the `share` of driver number {} is not from 0 to 1", i + 1);
                findings.error(section.at("driver"), &message, "the shares of one incident sum to at most 1");
            }
        }
    }
    incident
}

fn metrics(findings: &mut Findings<'_>, node: Option<Node<'_>>, key: &'static str) -> BTreeMap<String, f64> {
    let Some(section) = one::<BTreeMap<String, f64>>(findings, node, key) else { return BTreeMap::new() };
    for name in section.settings.iter().filter(|(_, v)| !v.is_finite()).map(|(name, _)| name) {
        let message = format!("the metric `{}` has no number", value(name));
        findings.error(section.at(name), &message, "a metric that could not be read is left out");
    }
    section.settings
}

fn instance_metrics(findings: &mut Findings<'_>, node: Option<Node<'_>>) -> BTreeMap<String, BTreeMap<String, f64>> {
    const KEY: &str = "instance-metrics";
    let Some(section) = one::<BTreeMap<String, BTreeMap<String, f64>>>(findings, node, KEY) else {
        return BTreeMap::new();
    };
    for (instance, values) in &section.settings {
        if values.values().any(|v| !v.is_finite()) {
            let message = format!("a metric of the instance `{}` has no number", value(instance));
            findings.error(section.at(instance), &message, "a metric that could not be read is left out");
        }
    }
    section.settings
}

fn targets(findings: &mut Findings<'_>, node: Node<'_>) -> Vec<Target> {
    let mut names = BTreeSet::new();
    let mut targets = Vec::new();
    for node in many(findings, Some(node), "target") {
        let which = text_at(&node, "name").map_or_else(String::new, |name| format!(" `{}`", value(name)));
        let label = Label { key: "target", array: true, which };
        let Some(section) = read::<Target>(findings, node, &label, &[]) else { continue };
        let target = section.settings.clone();
        let of = label.of(&[]);
        if section.sound(&["name"]) {
            let kind = target.name.kind();
            if !TARGET_KINDS.contains(&kind) {
                let help = did_you_mean(kind, &TARGET_KINDS, "there are the kinds");
                findings.error(section.at("name"), &format!("no target of kind `{}`", value(kind)), &help);
            }
            if !names.insert(target.name.clone()) {
                findings.error(
                    section.at("name"),
                    &format!("{of} stands in the file above already"),
                    "keep one of the two",
                );
            }
        }
        if section.sound(&["min", "max"]) && (target.min > target.max || target.max > MOST_INSTANCES) {
            let message = format!("{of} allows {} to {} instances", target.min, target.max);
            findings.error(section.at("max"), &message, &format!("write `min` <= `max` <= {MOST_INSTANCES}"));
        }
        if section.sound(&["replicas"]) && target.replicas() > MOST_INSTANCES {
            let message = format!("{of} has {} instances", target.replicas());
            findings.error(section.at("replicas"), &message, &format!("a case has at most {MOST_INSTANCES}"));
        }
        instances(findings, &section, &of);
        targets.push(target);
    }
    targets
}

fn instances(findings: &mut Findings<'_>, section: &crate::config::strict::Section<'_, Target>, of: &str) {
    if !section.sound(&["instance"]) {
        return;
    }
    let mut names = BTreeSet::new();
    for instance in section.settings.instance.iter().flatten() {
        if instance.weight > 1000 {
            let message = format!("the weight of `{}` of {of} is {}", value(&instance.name), instance.weight);
            findings.error(section.at("instance"), &message, "weights are from 0 to 1000, and usually 100");
        }
        if !names.insert(&instance.name) {
            let message = format!("{of} has two instances `{}`", value(&instance.name));
            findings.error(section.at("instance"), &message, "give each a name of its own");
        }
    }
}

fn fails(findings: &mut Findings<'_>, node: Option<Node<'_>>) -> Vec<Fail> {
    let label = Label { key: "fail", array: true, which: String::new() };
    let mut fails = Vec::new();
    for node in many(findings, node, "fail") {
        let Some(section) = read::<Fail>(findings, node, &label, &[]) else { continue };
        if section.sound(&["nth"]) && section.settings.nth == 0 {
            findings.error(section.at("nth"), "`nth` in [[fail]] is 0", "the first call of a kind is number 1");
        }
        fails.push(section.settings);
    }
    fails
}

fn expect(findings: &mut Findings<'_>, node: Node<'_>) -> Option<Expect> {
    let section = one::<Expect>(findings, Some(node), "expect")?;
    let expect = section.settings.clone();
    let given: Vec<_> = ["plan", "error", "proposals"].into_iter().filter(|key| section.has(key)).collect();
    if let [_, second, ..] = given.as_slice() {
        let message = format!("[expect] has {} at the same time", given.join(" and "));
        findings.error(section.at_key(&[], second), &message, "a run has one outcome: keep one of them");
    }
    Some(expect)
}

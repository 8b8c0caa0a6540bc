//! What a `[[grant]]` table means: that it covers something, and that its limits let something through.

use super::super::explain::did_you_mean;
use super::super::grant::Grant;
use super::super::problem::value;
use super::super::reader::{Findings, Section};
use super::super::window::LIKE;
use super::{Names, matches, why_no_glob, zero};
use crate::model::ActionKind;

/// The greatest weight that the contract with playbooks knows.
const MOST_WEIGHT: u32 = 1000;

/// Keys that mean something for one kind of action only, and how that is called.
const OF_ONE_KIND: [(ActionKind, &str, &[&str]); 6] = [
    (ActionKind::Scale, "scaling", &["max_delta", "min_replicas", "max_replicas"]),
    (ActionKind::Traffic, "traffic", &["min_weight"]),
    (ActionKind::Isolate, "isolating", &["max_isolated"]),
    (ActionKind::Cache, "caching", &["max_ttl"]),
    (ActionKind::Configure, "configuring", &["settings"]),
    (ActionKind::Flush, "flushing", &["prefixes"]),
];

/// A `[[grant]]` table.
pub(in crate::config) fn grant(findings: &mut Findings<'_>, section: &Section<'_, Grant>, names: &Names) {
    let grant = &section.settings;
    if section.sound(&["playbook"]) {
        if let Some(why) = why_no_glob(&grant.playbook) {
            let help = "write the name of a playbook, or \"*\" for all";
            findings.error(section.at("playbook"), &format!("`playbook` \"{}\" {why}", value(&grant.playbook)), help);
        } else if let Some(known) = &names.playbooks
            && !known.iter().any(|name| matches(&grant.playbook, name))
        {
            let known: Vec<_> = known.iter().map(String::as_str).collect();
            let message = format!("no playbook is called `{}`: the grant covers nothing", value(&grant.playbook));
            findings.error(section.at("playbook"), &message, &did_you_mean(&grant.playbook, &known, "there are"));
        }
    }
    if section.sound(&["targets"]) {
        if grant.targets.is_empty() {
            let help = "write `targets = [\"local:*\"]`";
            findings.error(section.at("targets"), "the grant is for no target: it covers nothing", help);
        }
        for glob in &grant.targets {
            let at = section.at_element("targets", glob, 0);
            if let Some(why) = why_no_glob(glob) {
                findings.error(
                    at,
                    &format!("target \"{}\" {why}", value(glob)),
                    "write a target, or a glob like \"local:*\"",
                );
            } else if names.targets_are_known
                && !(names.will_find && glob.starts_with("k8s:"))
                && !names.targets.iter().any(|(id, _)| matches(glob, &id.to_string()))
            {
                let known: Vec<_> = names.targets.iter().map(|(id, _)| id.to_string()).collect();
                let known: Vec<_> = known.iter().map(String::as_str).collect();
                let help = if known.is_empty() {
                    "define it in a [[target]] table".to_owned()
                } else {
                    did_you_mean(glob, &known, "the targets of this file:")
                };
                findings.error(at, &format!("no [[target]] is called `{}`: it covers nothing", value(glob)), &help);
            }
        }
    }
    grant_limits(findings, section);
}

fn grant_limits(findings: &mut Findings<'_>, section: &Section<'_, Grant>) {
    let grant = &section.settings;
    if section.sound(&["allow"]) {
        if grant.allow.is_empty() {
            let kinds = ActionKind::ALL.map(|k| format!("\"{k}\"")).join(", ");
            findings.error(
                section.at("allow"),
                "the grant allows nothing",
                &format!("write some of: allow = [{kinds}]"),
            );
        }
        for (kind, what, keys) in OF_ONE_KIND {
            for key in
                keys.iter().filter(|key| section.has(key) && !grant.allow.is_empty() && !grant.allow.contains(&kind))
            {
                let message = format!("`{key}` is about {what}, and the grant does not allow that");
                let help = format!("add \"{kind}\" to `allow`, or leave the key out");
                findings.warn(section.at_key(&[], key), &message, &help);
            }
        }
    }
    for glob in grant.settings.iter().filter(|_| section.sound(&["settings"])) {
        if let Some(why) = why_no_glob(glob) {
            let help = "write the name of a setting, or a glob like \"maxmemory*\"";
            findings.error(
                section.at_element("settings", glob, 0),
                &format!("setting \"{}\" {why}", value(glob)),
                help,
            );
        }
    }
    if grant.prefixes.iter().any(String::is_empty) && section.sound(&["prefixes"]) {
        let help = "write what the keys begin with: `prefixes = [\"shop:page:\"]`";
        findings.error(section.at("prefixes"), "an empty prefix would be everything that is stored", help);
    }
    for (kind, key, empty) in [
        (ActionKind::Configure, "settings", grant.settings.is_empty()),
        (ActionKind::Flush, "prefixes", grant.prefixes.is_empty()),
    ] {
        if grant.allow.contains(&kind) && empty && section.sound(&["allow", key]) {
            let message = format!("`allow` has \"{kind}\", and no `{key}` say what: nothing of that kind is granted");
            let help = match kind {
                ActionKind::Flush => "write what the keys begin with: `prefixes = [\"shop:page:\"]`",
                _ => "write which: `settings = [\"maxmemory*\"]`",
            };
            findings.warn(section.at("allow"), &message, help);
        }
    }
    if let (Some(min), Some(max)) = (grant.min_replicas, grant.max_replicas)
        && min > max
        && section.sound(&["min_replicas", "max_replicas"])
    {
        let message = format!("`min_replicas` ({min}) is greater than `max_replicas` ({max}): no count fits");
        findings.error(section.at("min_replicas"), &message, "exchange them");
    }
    for (key, limit) in [
        ("max_delta", grant.max_delta),
        ("max_replicas", grant.max_replicas),
        ("max_isolated", grant.max_isolated),
        ("actions_per_hour", grant.actions_per_hour),
    ] {
        if limit == Some(0) && section.sound(&[key]) {
            findings.error(
                section.at(key),
                &format!("`{key}` is 0: the grant allows nothing"),
                "write 1 or more, or leave it out",
            );
        }
    }
    if grant.min_weight.is_some_and(|least| least > MOST_WEIGHT) && section.sound(&["min_weight"]) {
        let message = format!("`min_weight` is more than {MOST_WEIGHT}, the greatest weight there is");
        findings.error(section.at("min_weight"), &message, "write how little traffic an instance may be left with: 10");
    }
    if let Some(most) = grant.max_ttl {
        zero(findings, section, "", "max_ttl", most);
    }
    if grant.windows.is_empty() && section.has("windows") && section.sound(&["windows"]) {
        let help = format!("{LIKE}, or leave the key out: then it holds always");
        findings.error(section.at("windows"), "`windows` is empty: the grant would never hold", &help);
    }
}

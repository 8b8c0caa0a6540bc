//! Checks of a `[[service]]` table with its detector, guardrails, approvers and verdict.

use std::collections::BTreeSet;
use std::time::Duration;

use super::people;
use super::{Names, why_no_glob, why_no_name, zero};
use crate::config::TargetConfig;
use crate::config::explain::did_you_mean;
use crate::config::grant::{Grants, lines_for};
use crate::config::people::AllowSettings;
use crate::config::problem::value;
use crate::config::reader::{Findings, Section};
use crate::config::settings::ServiceSettings;
use crate::model::{ActionKind, LONGEST_SETTLE, Mode};

/// Shortest time between two samples: below it, collecting would be most of what the machine does.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(200);
/// Samples a first model should have learned from.
const GOOD_TRAINING: usize = 100;
/// Most samples in the rolling window: about 0.5 GB at 60 metrics.
const LARGEST_WINDOW: usize = 1_000_000;
/// Most trees: the score no longer changes beyond a few hundred.
const MOST_TREES: usize = 10_000;

type Service<'t> = Section<'t, ServiceSettings>;

/// The time that all sources have when the config does not say: four fifths of the interval, so that a round ends
/// before the next begins.
pub(in crate::config) fn default_timeout(interval: Duration) -> Duration {
    interval.mul_f64(0.8)
}

/// A `[[service]]` table.
pub(in crate::config) fn service(
    findings: &mut Findings<'_>,
    section: &Service<'_>,
    has_sources: bool,
    names: &mut Names,
    grants: &Grants,
    rules: &[AllowSettings],
) {
    let s = &section.settings;
    let of = format!("service `{}`: ", value(&s.name));
    name(findings, section, names);
    if !has_sources {
        let help = "add one below it:\n[[service.source]]\nkind = \"host\"";
        findings.error(section.header(), &format!("{of}it has no source: there is nothing to measure"), help);
    }
    rounds(findings, section, &of);
    detect(findings, section, &of);
    guard(findings, section, &of);
    let approves = |rule: &&AllowSettings| {
        let for_it = rule.services.is_empty() || rule.services.contains(&section.settings.name);
        for_it && rule.verbs.iter().any(|verb| verb == "*" || verb == "approve")
    };
    approve(findings, section, &of, rules.iter().any(|rule| approves(&rule)));
    verify(findings, section, &of);
    targets(findings, section, &of, names);
    components(findings, section, &of, names, grants);
}

fn name(findings: &mut Findings<'_>, section: &Service<'_>, names: &mut Names) {
    let name = &section.settings.name;
    if !section.sound(&["name"]) {
        return;
    }
    let at = section.at("name");
    if let Some(why) = why_no_name(name) {
        findings.error(at, &format!("the service's name \"{}\" {why}", value(name)), "write a short name like `shop`");
    } else if let Some(first) = names.services.get(name) {
        let line = findings.source.line_and_column(first.start).0;
        findings.error(
            at,
            &format!("there are two services called `{name}`: the first is in line {line}"),
            "rename one",
        );
    } else {
        names.services.insert(name.clone(), at);
    }
}

fn rounds(findings: &mut Findings<'_>, section: &Service<'_>, of: &str) {
    let s = &section.settings;
    if s.interval < SHORTEST_INTERVAL && section.sound(&["interval"]) {
        let message = format!("{of}`interval` is shorter than 200 ms");
        findings.error(section.at("interval"), &message, "write `interval = \"200ms\"` or more; 5s is usual");
    }
    let Some(timeout) = s.timeout else { return };
    if !zero(findings, section, of, "timeout", timeout)
        && timeout > s.interval
        && section.sound(&["interval", "timeout"])
    {
        let message = format!(
            "{of}`timeout` ({}) is longer than `interval` ({}): a round would run into the next",
            humantime::format_duration(timeout),
            humantime::format_duration(s.interval)
        );
        let fits = humantime::format_duration(default_timeout(s.interval)).to_string();
        findings.error(section.at("timeout"), &message, &format!("write `timeout = \"{}\"`", fits.replace(' ', "")));
    }
}

fn detect(findings: &mut Findings<'_>, section: &Service<'_>, of: &str) {
    let d = &section.settings.detect;
    zero(findings, section, of, "detect.retrain_every", d.retrain_every);
    let too_long = !zero(findings, section, of, "detect.settle", d.settle) && d.settle > LONGEST_SETTLE;
    if too_long && section.sound(&["detect.settle"]) {
        let message = format!("{of}`settle` is longer than 1h: a deploy that somebody forgot would hide a night");
        findings.error(section.at("detect.settle"), &message, "write `settle = \"5m\"`, or up to 1h");
    }
    let mut between = |key: &str, n: usize, least: usize, most: usize, why: &str| {
        let path = format!("detect.{key}");
        if !(least..=most).contains(&n) && section.sound(&[&path]) {
            let message = format!("{of}`{key}` is {n}, and must be between {least} and {most}");
            findings.error(section.at(&path), &message, why);
        }
    };
    between("train_after", d.train_after, 1, LARGEST_WINDOW, "100 samples are usual");
    between("window", d.window, 1, LARGEST_WINDOW, "10000 samples are usual");
    between("trees", d.trees, 1, MOST_TREES, "100 are usual");
    between("tree_samples", d.tree_samples, 2, LARGEST_WINDOW, "256 are usual");
    between("raise", d.raise, 1, 1_000, "3 of 5 is usual");
    between("of", d.of, 1, 1_000, "3 of 5 is usual");
    between("clear", d.clear, 1, 1_000, "5 are usual");
    if (1..GOOD_TRAINING).contains(&d.train_after) && section.sound(&["detect.train_after"]) {
        let message = format!("{of}a model of {} samples is unsure of what is normal", d.train_after);
        findings.warn(section.at("detect.train_after"), &message, "100 or more is better");
    }
    if d.train_after > d.window && section.sound(&["detect.train_after", "detect.window"]) {
        let message = format!(
            "{of}`train_after` ({}) is greater than `window` ({}): there would never be a model",
            d.train_after, d.window
        );
        let key = if section.has("detect.window") { "detect.window" } else { "detect.train_after" };
        findings.error(section.at(key), &message, "make `window` at least as large as `train_after`");
    }
    if d.raise > d.of && section.sound(&["detect.raise", "detect.of"]) {
        let message = format!("{of}`raise` ({}) is greater than `of` ({}): no incident would ever open", d.raise, d.of);
        let key = if section.has("detect.raise") { "detect.raise" } else { "detect.of" };
        findings.error(
            section.at(key),
            &message,
            "an incident opens when `raise` of `of` samples are anomalous: 3 of 5",
        );
    }
    if !(0.0..=0.5).contains(&d.contamination) && section.sound(&["detect.contamination"]) {
        let message = format!("{of}`contamination` is {}, and must be between 0 and 0.5", d.contamination);
        let help = "it is the part of the training samples that may be anomalous: 0.005 is usual";
        findings.error(section.at("detect.contamination"), &message, help);
    }
}

fn guard(findings: &mut Findings<'_>, section: &Service<'_>, of: &str) {
    let g = &section.settings.guard;
    zero(findings, section, of, "guard.cooldown", g.cooldown);
    if g.actions_per_hour == 0 && section.sound(&["guard.actions_per_hour"]) {
        let help = "write 1 or more; `mode = \"observe\"` is the way to act never";
        findings.error(
            section.at("guard.actions_per_hour"),
            &format!("{of}`actions_per_hour` is 0: nothing could be done"),
            help,
        );
    }
    if !(0.0..=1.0).contains(&g.max_share) && section.sound(&["guard.max_share"]) {
        let message = format!("{of}`max_share` is {}, and must be between 0 and 1", g.max_share);
        let help = "it is a part of the instances: 0.5 is half of them";
        findings.error(section.at("guard.max_share"), &message, help);
    }
    if section.settings.mode == Mode::Auto && !section.has("guard") && section.sound(&["mode", "guard"]) {
        let message = format!("{of}it acts by itself, within guardrails that nobody set");
        findings.warn(section.at("mode"), &message, "write a [service.guard] table, if only to confirm the defaults");
    }
}

/// `others`: rules name approvers besides.
fn approve(findings: &mut Findings<'_>, section: &Service<'_>, of: &str, others: bool) {
    let a = &section.settings.approve;
    zero(findings, section, of, "approve.expiry", a.expiry);
    if a.quorum == 0 && section.sound(&["approve.quorum"]) {
        let help = "write 1 or more; `mode = \"auto\"` is the way to ask nobody";
        findings.error(section.at("approve.quorum"), &format!("{of}`quorum` is 0: nobody would be asked"), help);
    }
    people::escalation(findings, section, of);
    if !section.sound(&["approve.who"]) {
        return;
    }
    for glob in &a.who {
        let at = section.at_element("approve.who", glob, 0);
        if let Some(why) = why_no_glob(glob) {
            findings.error(
                at,
                &format!("{of}\"{}\" {why}", value(glob)),
                "write a person's id, or a glob like \"console:*\"",
            );
        } else if !glob.contains(':') && glob != "*" {
            let message = format!("{of}`{}` is not a person's id", value(glob));
            findings.error(at, &message, "ids begin with their platform: \"unix:1000\", \"console:*\"");
        }
    }
    if a.who.is_empty() && !others && section.settings.mode == Mode::Approve && section.sound(&["mode"]) {
        let help = "write `who = [\"console:*\"]` or an [[allow]] rule, or set `mode` to observe or auto";
        findings.error(
            section.at("approve.who"),
            &format!("{of}`who` is empty, and mode approve needs somebody"),
            help,
        );
    }
    let people: BTreeSet<_> = a.who.iter().collect();
    let has_glob = others || a.who.iter().any(|who| who.contains(['*', '?', '[', '{']));
    let possible = u32::try_from(people.len()).unwrap_or(u32::MAX);
    if !has_glob && !people.is_empty() && a.quorum > possible && section.sound(&["approve.quorum"]) {
        let message = format!("{of}`quorum` is {}, and `who` names {possible}: no plan could be approved", a.quorum);
        findings.error(section.at("approve.quorum"), &message, "name more people, or ask fewer");
    }
}

fn verify(findings: &mut Findings<'_>, section: &Service<'_>, of: &str) {
    let s = &section.settings;
    let v = &s.verify;
    let zero_settle = zero(findings, section, of, "verify.settle", v.settle);
    let zero_deadline = zero(findings, section, of, "verify.deadline", v.deadline);
    if v.clear_samples == 0 && section.sound(&["verify.clear_samples"]) {
        let message = format!("{of}`clear_samples` is 0: every cure would pass for one");
        findings.error(section.at("verify.clear_samples"), &message, "write 1 or more; 3 is usual");
    }
    let keys = ["interval", "verify.settle", "verify.deadline", "verify.clear_samples"];
    let least = s.interval.checked_mul(v.clear_samples).and_then(|samples| samples.checked_add(v.settle));
    let too_short = least.is_none_or(|least| v.deadline < least);
    if too_short && !zero_settle && !zero_deadline && section.sound(&keys) {
        let needed = least.map_or_else(|| "more".to_owned(), |d| humantime::format_duration(d).to_string());
        let message = format!(
            "{of}`deadline` ({}) is over before {} samples can be taken: no cure could be confirmed",
            humantime::format_duration(v.deadline),
            v.clear_samples
        );
        let written = ["verify.deadline", "verify.settle", "verify.clear_samples", "interval"];
        let key = written.into_iter().find(|key| section.has(key)).unwrap_or("verify.deadline");
        let help = format!(
            "`settle` + `clear_samples` x `interval` is {needed}: give `deadline` in [service.verify] that or more"
        );
        findings.error(section.at(key), &message, &help);
    }
}

fn targets(findings: &mut Findings<'_>, section: &Service<'_>, of: &str, names: &mut Names) {
    let s = &section.settings;
    let mut seen = BTreeSet::new();
    for target in &s.targets {
        let text = target.to_string();
        if !seen.insert(target) {
            let at = section.at_element("targets", &text, 1);
            findings.error(at, &format!("{of}`{target}` is named twice"), "take one away");
            continue;
        }
        names.used_targets.insert(target.clone());
        if let Some(implied) = TargetConfig::implied(target) {
            if let Some(why) = super::target::why_no_name_of(&implied) {
                let at = section.at_element("targets", &text, 0);
                findings.error(at, &format!("{of}{why}"), super::target::LIKE_KUBERNETES);
            }
            if !names.targets.iter().any(|(id, _)| id == target) {
                names.targets.push((target.clone(), section.at_element("targets", &text, 0)));
            }
            continue;
        }
        if names.targets_are_known && !names.targets.iter().any(|(id, _)| id == target) {
            let known: Vec<_> = names.targets.iter().map(|(id, _)| id.to_string()).collect();
            let known: Vec<_> = known.iter().map(String::as_str).collect();
            let help = match crate::config::problem::nearest(&text, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("define it:\n[[target]]\nname = \"{target}\"\ncommand = [\"...\"]"),
            };
            let message = format!("{of}there is no [[target]] `{target}`");
            findings.error(section.at_element("targets", &text, 0), &message, &help);
        }
    }
    if s.targets.is_empty() && s.mode == Mode::Auto && section.sound(&["targets", "mode"]) {
        let message = format!("{of}it has no targets: there is nothing to act on");
        findings.warn(section.at("mode"), &message, "name some in `targets`, or write `mode = \"observe\"`");
    }
}

fn components(findings: &mut Findings<'_>, section: &Service<'_>, of: &str, names: &Names, grants: &Grants) {
    let s = &section.settings;
    let lists = [("playbooks", &s.playbooks, &names.playbooks), ("rules", &s.rules, &names.rules)];
    for (key, list, known) in lists {
        let (Some(list), Some(known)) = (list, known) else { continue };
        let known: Vec<_> = known.iter().map(String::as_str).collect();
        for name in list.iter().filter(|name| !known.contains(&name.as_str())) {
            let message = format!("{of}there is no {} `{}`", key.trim_end_matches('s'), value(name));
            findings.error(section.at_element(key, name, 0), &message, &did_you_mean(name, &known, "there are"));
        }
    }
    let Some(first) = s.targets.first() else { return };
    if s.mode == Mode::Observe || !names.grants_are_known || !section.sound(&["playbooks", "targets", "mode"]) {
        return;
    }
    let granted = |playbook: &str| s.targets.iter().any(|t| !grants.kinds_on(playbook, t).is_empty());
    let Some(known) = &names.playbooks else { return };
    match &s.playbooks {
        Some(list) => {
            for name in list.iter().filter(|name| known.contains(name) && !granted(name)) {
                let help = format!("add a grant, for example\n{}", lines_for(name, first, usual_kind(name)));
                let message = format!("{of}the playbook `{name}` is granted nothing on its targets");
                findings.warn(section.at_element("playbooks", name, 0), &message, &help);
            }
        }
        None if !known.iter().any(|name| granted(name)) => {
            let help = format!("add a grant, for example\n{}", lines_for("scale-out", first, ActionKind::Scale));
            let message = format!("{of}no playbook is granted anything on its targets: nothing could be done");
            findings.warn(section.header(), &message, &help);
        }
        None => {}
    }
}

/// What a playbook of this name most likely does, for an example of a grant.
fn usual_kind(playbook: &str) -> ActionKind {
    match playbook {
        "restart-service" | "rolling-restart" => ActionKind::Restart,
        "shed-load" => ActionKind::Isolate,
        "rebalance" => ActionKind::Traffic,
        "cache-aggressively" => ActionKind::Cache,
        "tune" => ActionKind::Configure,
        "flush-cache" => ActionKind::Flush,
        _ => ActionKind::Scale,
    }
}

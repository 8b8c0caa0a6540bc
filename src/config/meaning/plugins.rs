//! What the `[plugins]` table means: folders that are there, pins of components that exist, limits that limit.

use std::time::Duration;

use super::super::explain::did_you_mean;
use super::super::problem::value;
use super::super::reader::{Findings, Section};
use super::super::settings::Plugins;
use super::{Names, why_no_glob};

/// The `[plugins]` table. `resolved` has its paths relative to the config file.
pub(in crate::config) fn plugins(
    findings: &mut Findings<'_>,
    section: &Section<'_, Plugins>,
    resolved: &Plugins,
    names: &Names,
) {
    for (key, dir) in [("playbooks_dir", &resolved.playbooks_dir), ("rules_dir", &resolved.rules_dir)] {
        let Some(dir) = dir.as_ref().filter(|_| section.sound(&[key])) else { continue };
        if !dir.exists() {
            let message = format!("`{key}`: there is no folder {}", dir.display());
            findings.error(
                section.at(key),
                &message,
                "make it, or leave the key out; the path is relative to this file",
            );
        } else if let Err(e) = std::fs::read_dir(dir) {
            let message = format!("`{key}`: {} cannot be listed: {e}", dir.display());
            findings.error(section.at(key), &message, "name a folder that Suture may read");
        }
    }
    for glob in section.settings.admins.iter().filter(|_| section.sound(&["admins"])) {
        if let Some(why) = why_no_glob(glob) {
            let help = "write the id of a person, or a glob like \"unix:*\"; `whoami` says who somebody is";
            let at = section.at_element("admins", glob, 0);
            findings.error(at, &format!("admin \"{}\" {why}", value(glob)), help);
        }
    }
    if section.settings.admins.is_empty() && section.sound(&["admins"]) {
        let message = "`admins` is empty: nobody can accept a changed component or enable a disabled one";
        findings.warn(
            section.at("admins"),
            message,
            "write who may: `admins = [\"unix:1000\"]`; pins work all the same",
        );
    }
    limits(findings, section);
    let (Some(playbooks), Some(rules)) = (&names.playbooks, &names.rules) else { return };
    let known: Vec<_> = playbooks.iter().chain(rules).map(String::as_str).collect();
    for pin in section.settings.pins.keys().filter(|pin| !known.contains(&pin.as_str())) {
        let message = format!("`pins` names `{}`, and there is no such component", value(pin));
        findings.error(section.at_key(&["pins"], pin), &message, &did_you_mean(pin, &known, "there are"));
    }
}

/// The `[plugins.limits]` table: none may be so low that nothing runs, nor so high that it is none.
fn limits(findings: &mut Findings<'_>, section: &Section<'_, Plugins>) {
    const MINUTE: Duration = Duration::from_secs(60);
    let l = &section.settings.limits;
    for (key, time, least, most) in [
        ("wall", l.wall, Duration::from_millis(100), 5 * MINUTE),
        ("wall_dry_run", l.wall_dry_run, Duration::from_secs(1), 15 * MINUTE),
        ("wall_acting", l.wall_acting, Duration::from_secs(1), 24 * 60 * MINUTE),
    ] {
        let words = |time| humantime::format_duration(time).to_string();
        between(findings, section, key, (least..=most).contains(&time), [time, least, most].map(words));
    }
    let bytes = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    for (key, number, least, most) in [
        ("fuel", l.fuel, 1_000_000, 1_000_000_000_000),
        ("memory_mib", bytes(l.memory_mib), 1, 4096),
        ("table_elements", bytes(l.table_elements), 1_000, 10_000_000),
        ("instances", bytes(l.instances), 4, 1_000),
        ("host_calls", u64::from(l.host_calls), 1, 100_000),
        ("call_bytes", bytes(l.call_bytes), 1 << 10, 16 << 20),
        ("log_bytes", bytes(l.log_bytes), 0, 1 << 20),
        ("state_bytes", bytes(l.state_bytes), 0, 1 << 20),
        ("component_mib", bytes(l.component_mib), 1, 1 << 10),
    ] {
        between(findings, section, key, (least..=most).contains(&number), [number, least, most].map(|n| n.to_string()));
    }
}

/// Reports a limit that is not within its bounds. The words: what it is, the least, the most.
fn between(findings: &mut Findings<'_>, section: &Section<'_, Plugins>, key: &str, fits: bool, words: [String; 3]) {
    let path = format!("limits.{key}");
    if !fits && section.sound(&[&path]) {
        let [is, least, most] = words;
        let message = format!("`{key}` in [plugins.limits] is {is}, and must be between {least} and {most}");
        findings.error(section.at(&path), &message, "leave it out for the default");
    }
}

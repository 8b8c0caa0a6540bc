//! Checks of the `[[target]]` tables.

use super::{Names, zero};
use crate::act::LocalSettings;
use crate::config::reader::{Findings, Section};

/// A target of kind `local:`.
pub(in crate::config) fn local_target(
    findings: &mut Findings<'_>,
    section: &Section<'_, LocalSettings>,
    names: &mut Names,
) {
    let s = &section.settings;
    let of = format!("target `{}`: ", s.name);
    if section.sound(&["name"]) {
        if let Some((_, first)) = names.targets.iter().find(|(id, _)| *id == s.name) {
            let line = findings.source.line_and_column(first.start).0;
            let message = format!("there are two targets called `{}`: the first is in line {line}", s.name);
            findings.error(section.at("name"), &message, "rename one");
        } else {
            names.targets.push((s.name.clone(), section.at("name")));
        }
    }
    command(findings, section, &of);
    workers(findings, section, &of);
    if section.sound(&["listen"]) {
        if !s.listen.ip().is_loopback() {
            let message = format!("{of}`listen` is {}, and the balancer serves this machine only", s.listen);
            let help = format!("write `listen = \"127.0.0.1:{}\"`", s.listen.port());
            findings.error(section.at("listen"), &message, &help);
        } else if s.listen.port() != 0 {
            if let Some((_, other)) = names.listening.iter().find(|(addr, _)| *addr == s.listen) {
                let message = format!("{of}`{other}` listens on {} as well", s.listen);
                findings.error(section.at("listen"), &message, "take another port, or 0 for any free one");
            } else {
                names.listening.push((s.listen, s.name.clone()));
            }
        }
    }
    let paths = [("health", Some(&s.health)), ("metrics", Some(&s.metrics)), ("cache", s.cache.as_ref())];
    for (key, path) in paths {
        if path.is_some_and(|path| !path.starts_with('/') || path.contains(char::is_whitespace))
            && section.sound(&[key])
        {
            let message = format!("{of}`{key}` is a path on the worker and begins with `/`");
            let example = if key == "health" { "/healthz" } else { "/metrics" };
            let help = if key == "cache" {
                "write `cache = \"/cache\"`".to_owned()
            } else {
                format!("write `{key} = \"{example}\"`")
            };
            findings.error(section.at(key), &message, &help);
        }
    }
    zero(findings, section, &of, "ready_within", s.ready_within);
    zero(findings, section, &of, "stop_within", s.stop_within);
}

fn command(findings: &mut Findings<'_>, section: &Section<'_, LocalSettings>, of: &str) {
    if !section.sound(&["command"]) {
        return;
    }
    let s = &section.settings;
    let help = "write the program and its arguments: `command = [\"./shop\", \"--port\", \"{port}\"]`";
    if s.command.first().is_none_or(String::is_empty) {
        findings.error(section.at("command"), &format!("{of}`command` names no program"), help);
    } else if s.command.iter().any(|part| part.contains('\0')) {
        findings.error(section.at("command"), &format!("{of}`command` has a zero byte in it"), help);
    } else if !s.command.iter().any(|part| part.contains("{port}")) {
        let message = format!("{of}`command` does not say {{port}}: every worker would listen on the same port");
        findings.error(section.at("command"), &message, help);
    }
}

fn workers(findings: &mut Findings<'_>, section: &Section<'_, LocalSettings>, of: &str) {
    let s = &section.settings;
    if !section.sound(&["workers", "min_workers", "max_workers"]) {
        return;
    }
    if s.max_workers == 0 {
        let message = format!("{of}`max_workers` is 0: nothing could run");
        findings.error(section.at("max_workers"), &message, "write 1 or more");
    } else if s.min_workers > s.max_workers {
        let message = format!(
            "{of}`min_workers` ({}) is greater than `max_workers` ({}): no count fits",
            s.min_workers, s.max_workers
        );
        let key = if section.has("min_workers") { "min_workers" } else { "max_workers" };
        findings.error(section.at(key), &message, "exchange them");
    } else if !(s.min_workers..=s.max_workers).contains(&s.workers) {
        let message =
            format!("{of}`workers` is {}, and must be between {} and {}", s.workers, s.min_workers, s.max_workers);
        let help = "change it, or `min_workers` (1 when left out) and `max_workers` (8 when left out)";
        let written = ["workers", "max_workers", "min_workers"].into_iter().find(|key| section.has(key));
        findings.error(section.at(written.unwrap_or("workers")), &message, help);
    }
}

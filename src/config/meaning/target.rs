//! Checks of the `[[target]]` tables.

use super::{Names, zero};
use crate::act::{AsgSettings, ElbSettings, HaproxySettings, KubernetesSettings, LocalSettings, RedisSettings};
use crate::config::TargetConfig;
use crate::config::reader::{Findings, Section};
use crate::model::TargetId;
use crate::platform::place::Place;

/// A target of kind `local:`.
pub(in crate::config) fn local_target(
    findings: &mut Findings<'_>,
    section: &Section<'_, LocalSettings>,
    names: &mut Names,
) {
    let s = &section.settings;
    let of = format!("target `{}`: ", s.name);
    name(findings, section, &s.name, names);
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

/// Takes up the target's name, which must be the only one of its kind.
fn name<T>(findings: &mut Findings<'_>, section: &Section<'_, T>, id: &TargetId, names: &mut Names) {
    if !section.sound(&["name"]) {
        return;
    }
    if let Some((_, first)) = names.targets.iter().find(|(known, _)| known == id) {
        let line = findings.source.line_and_column(first.start).0;
        let message = format!("there are two targets called `{id}`: the first is in line {line}");
        findings.error(section.at("name"), &message, "rename one");
    } else {
        names.targets.push((id.clone(), section.at("name")));
    }
}

/// What the name of a Kubernetes target looks like.
pub(in crate::config) const LIKE_KUBERNETES: &str = "write `k8s:NAMESPACE/KIND/NAME` with one of the kinds deployment, \
     statefulset, httproute, virtualservice, destinationrule and configmap, or `k8s:node/NAME`; a cluster's name may stand \
     in front: `k8s:CLUSTER/NAMESPACE/KIND/NAME`";

/// Why a target's name says nothing, if it does not.
pub(in crate::config) fn why_no_name_of(target: &TargetConfig) -> Option<String> {
    let TargetConfig::Kubernetes(settings) = target else { return None };
    Place::of(&settings.name).err()
}

/// A target of kind `k8s:`.
pub(in crate::config) fn kubernetes_target(
    findings: &mut Findings<'_>,
    section: &Section<'_, KubernetesSettings>,
    names: &mut Names,
) {
    let s = &section.settings;
    let of = format!("target `{}`: ", s.name);
    name(findings, section, &s.name, names);
    if section.sound(&["name"])
        && let Some(why) = why_no_name_of(&TargetConfig::Kubernetes(s.clone()))
    {
        findings.error(section.at("name"), &format!("target {why}"), LIKE_KUBERNETES);
    }
    if s.max_replicas.is_some_and(|max| max < s.min_replicas) && section.sound(&["min_replicas", "max_replicas"]) {
        let message = format!("{of}`max_replicas` is less than `min_replicas` ({}): no count fits", s.min_replicas);
        findings.error(section.at("max_replicas"), &message, "exchange them");
    }
    zero(findings, section, &of, "ready_within", s.ready_within);
}

/// A target of kind `asg:`.
pub(in crate::config) fn asg_target(
    findings: &mut Findings<'_>,
    section: &Section<'_, AsgSettings>,
    names: &mut Names,
) {
    let s = &section.settings;
    name(findings, section, &s.name, names);
    zero(findings, section, &format!("target `{}`: ", s.name), "ready_within", s.ready_within);
}

/// A target of kind `elb:`.
pub(in crate::config) fn elb_target(
    findings: &mut Findings<'_>,
    section: &Section<'_, ElbSettings>,
    names: &mut Names,
) {
    let s = &section.settings;
    let of = format!("target `{}`: ", s.name);
    name(findings, section, &s.name, names);
    if s.listener.is_some() == s.rule.is_some() && section.sound(&["listener", "rule"]) {
        let help = "write the ARN of the `listener` whose default action is meant, or of one of its rules as `rule`";
        findings.error(section.header(), &format!("{of}exactly one of `listener` and `rule` is needed"), help);
    }
    for (key, arn) in [("listener", &s.listener), ("rule", &s.rule)] {
        if arn.as_ref().is_some_and(|arn| !arn.starts_with("arn:")) && section.sound(&[key]) {
            let help = "it begins with `arn:aws:elasticloadbalancing:`";
            findings.error(section.at(key), &format!("{of}`{key}` is not an ARN"), help);
        }
    }
}

/// A target of kind `haproxy:`.
pub(in crate::config) fn haproxy_target(
    findings: &mut Findings<'_>,
    section: &Section<'_, HaproxySettings>,
    names: &mut Names,
) {
    let s = &section.settings;
    let of = format!("target `{}`: ", s.name);
    name(findings, section, &s.name, names);
    if s.socket.is_some() == s.address.is_some() && section.sound(&["socket", "address"]) {
        let help = "write `socket = \"/run/haproxy/admin.sock\"`, with `stats socket ... level admin` in haproxy.cfg";
        findings.error(section.header(), &format!("{of}exactly one of `socket` and `address` is needed"), help);
    }
    if s.address.is_some_and(|address| !address.ip().is_loopback()) && section.sound(&["address"]) {
        let message = format!("{of}`address` is not of this machine: whoever can reach it can change everything");
        findings.error(section.at("address"), &message, "run Suture beside HAProxy, and write `socket`");
    }
    zero(findings, section, &of, "timeout", s.timeout);
}

/// A target of kind `redis:`.
pub(in crate::config) fn redis_target(
    findings: &mut Findings<'_>,
    section: &Section<'_, RedisSettings>,
    names: &mut Names,
) {
    let s = &section.settings;
    let of = format!("target `{}`: ", s.name);
    name(findings, section, &s.name, names);
    let schemes = ["redis://", "rediss://", "redis+unix://", "unix://"];
    if !schemes.iter().any(|scheme| s.url.starts_with(scheme)) && section.sound(&["url"]) {
        let help = "write `url = \"redis://127.0.0.1:6379\"`, `rediss://` for TLS";
        findings.error(section.at("url"), &format!("{of}`url` is not the address of a Redis server"), help);
    }
    if s.ttl_key.as_ref().is_some_and(String::is_empty) && section.sound(&["ttl_key"]) {
        findings.error(section.at("ttl_key"), &format!("{of}`ttl_key` is empty"), "write the key, or leave it out");
    }
    zero(findings, section, &of, "timeout", s.timeout);
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

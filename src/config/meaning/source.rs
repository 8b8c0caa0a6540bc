//! Checks of the `[[service.source]]` tables.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{why_no_glob, why_no_name};
use crate::collect::{
    CloudwatchSettings, HostSettings, HttpAuth, KubernetesSourceSettings, MetricSettings, ProbeSettings,
    PromqlSettings, ScrapeSettings,
};
use crate::config::problem::{secret_in, value};
use crate::config::reader::{Findings, Section};
use crate::platform::place::{Kind, Place};

/// A source of kind `host`.
pub(in crate::config) fn host_source(findings: &mut Findings<'_>, section: &Section<'_, HostSettings>) {
    for (name, glob) in &section.settings.processes {
        if let Some(why) = why_no_name(name) {
            let help = "it becomes part of metric names: write a short one like `nginx`";
            findings.error(
                section.at_key(&["processes"], name),
                &format!("the group's name \"{}\" {why}", value(name)),
                help,
            );
        }
        if let Some(why) = why_no_glob(glob) {
            let help = "it is matched with the command line: \"nginx: *\"";
            findings.error(section.at(&format!("processes.{name}")), &format!("\"{}\" {why}", value(glob)), help);
        }
    }
    for (name, settings) in &section.settings.metric {
        metric(findings, section, name, settings);
        for key in ["from", "take", "per", "labels", "across"] {
            if section.has(&format!("metric.{name}.{key}")) {
                let message = format!("`{key}` is for sources of kind scrape, and this one is of kind host");
                findings.error(section.at_key(&["metric", name], key), &message, "leave it out");
            }
        }
    }
}

/// A source of kind `scrape`.
pub(in crate::config) fn scrape_source(findings: &mut Findings<'_>, section: &Section<'_, ScrapeSettings>) {
    let s = &section.settings;
    if s.urls.is_empty() && s.discover.is_none() && section.sound(&["urls", "discover"]) {
        let help = "write `urls = [\"http://127.0.0.1:9100/metrics\"]`, or an address to `discover` them from";
        findings.error(section.header(), "the source has no page to read", help);
    }
    let mut seen = BTreeSet::new();
    for url in &s.urls {
        if !seen.insert(url) {
            let at = section.at_element("urls", url, 1);
            findings.error(
                at,
                &format!("the page {} is named twice", value(url)),
                "take one away: it would count double",
            );
        } else {
            address(findings, &|| section.at_element("urls", url, 0), url);
        }
    }
    // `local:shop` stands for the service discovery of that target's supervisor, `local:shop/front` for that of what its balancer
    // sees; whether it is there, `check` sees.
    let is_local =
        |url: &str| url.strip_prefix("local:").is_some_and(|_| url.parse::<crate::model::TargetId>().is_ok());
    if let Some(url) = s.discover.as_ref().filter(|url| section.sound(&["discover"]) && !is_local(url)) {
        address(findings, &|| section.at("discover"), url);
    }
    for (name, settings) in &s.metric {
        metric(findings, section, name, settings);
        for (label, glob) in &settings.labels {
            if !glob.is_empty()
                && let Some(why) = why_no_glob(glob)
            {
                let at = section.at(&format!("metric.{name}.labels.{label}"));
                findings.error(
                    at,
                    &format!("\"{}\" {why}", value(glob)),
                    "write a label's value, or a glob like \"5*\"",
                );
            }
        }
    }
}

/// A source of kind `promql`.
pub(in crate::config) fn promql_source(findings: &mut Findings<'_>, section: &Section<'_, PromqlSettings>) {
    let s = &section.settings;
    if section.sound(&["url"]) {
        address(findings, &|| section.at("url"), &s.url);
    }
    if s.watch.is_none() && s.templates.is_empty() && s.metric.is_empty() {
        let help = "name what to `watch`, some `templates`, or write queries as [service.source.metric.NAME]";
        findings.error(section.header(), "the source asks for nothing", help);
    }
    for (name, m) in &s.metric {
        words(findings, section, name, m.floor, m.limit);
        if m.query.as_ref().is_some_and(|query| query.trim().is_empty()) {
            let at = section.at(&format!("metric.{name}.query"));
            findings.error(at, &format!("the query of `{}` is empty", value(name)), "write an instant query of PromQL");
        }
    }
    auth(findings, section, &s.auth);
}

/// A source of kind `probe`.
pub(in crate::config) fn probe_source(findings: &mut Findings<'_>, section: &Section<'_, ProbeSettings>) {
    let s = &section.settings;
    if s.urls.is_empty() && section.sound(&["urls"]) {
        let help = "write `urls = [\"https://shop.example/healthz\", \"tcp://127.0.0.1:5432\"]`";
        findings.error(section.header(), "the source has nothing to probe", help);
    }
    for url in &s.urls {
        let rest = url.strip_prefix("tcp://").map(|rest| format!("http://{rest}"));
        address(findings, &|| section.at_element("urls", url, 0), rest.as_ref().unwrap_or(url));
    }
    #[cfg(feature = "probe")]
    if let Some(body) = &s.body
        && let Err(error) = regex::Regex::new(body)
    {
        let last = error.to_string().lines().last().unwrap_or_default().to_owned();
        let message = format!("`body` is not a regular expression: {last}");
        findings.error(section.at("body"), &message, "write a word that must be there: `body = \"ok\"`");
    }
    for code in s.status.iter().filter(|code| !(100..=599).contains(*code)) {
        let at = section.at_element("status", &code.to_string(), 0);
        findings.error(at, &format!("{code} is not a status of HTTP"), "write codes from 100 to 599");
    }
    for (name, settings) in &s.metric {
        metric(findings, section, name, settings);
    }
    auth(findings, section, &s.auth);
}

/// A source of kind `cloudwatch`.
pub(in crate::config) fn cloudwatch_source(findings: &mut Findings<'_>, section: &Section<'_, CloudwatchSettings>) {
    let s = &section.settings;
    if s.watch.is_none() && s.metric.is_empty() {
        let help = "name what to `watch`, or write metrics as [service.source.metric.NAME]";
        findings.error(section.header(), "the source asks for nothing", help);
    }
    if let Some(target) = s.watch.as_ref().filter(|target| target.kind() != "asg") {
        let message = format!("`watch` is {target}, and this source knows only what is usual for `asg:` targets");
        findings.error(section.at("watch"), &message, "write metrics as [service.source.metric.NAME]");
    }
    for (name, m) in &s.metric {
        words(findings, section, name, m.floor, m.limit);
        if m.namespace.is_empty() || m.metric.is_empty() {
            let help = "write `namespace = \"AWS/ApplicationELB\"` and `metric = \"TargetResponseTime\"`";
            let message = format!("metric `{}` needs a `namespace` and a `metric`", value(name));
            findings.error(section.at_key(&["metric"], name), &message, help);
        }
        if m.period
            .is_some_and(|period| period == 0 || !period.is_multiple_of(60) && ![1, 5, 10, 20, 30].contains(&period))
        {
            let message = format!("`period` of `{}` is none that CloudWatch has", value(name));
            let help = "write 1, 5, 10, 20, 30 or a multiple of 60 seconds";
            findings.error(section.at(&format!("metric.{name}.period")), &message, help);
        }
    }
}

/// A source of kind `kubernetes`.
pub(in crate::config) fn kubernetes_source(
    findings: &mut Findings<'_>,
    section: &Section<'_, KubernetesSourceSettings>,
) {
    let s = &section.settings;
    let place = Some(&s.watch).filter(|watch| watch.kind() == "k8s").and_then(|watch| Place::of(watch).ok());
    let is_workload = place.is_some_and(|place| matches!(place.kind, Kind::Deployment | Kind::StatefulSet));
    if !is_workload && section.sound(&["watch"]) {
        let message = format!("`watch` is {}, and only a workload has pods", s.watch);
        findings.error(section.at("watch"), &message, "write `watch = \"k8s:prod/deployment/web\"`");
    }
    for (name, settings) in &s.metric {
        metric(findings, section, name, settings);
    }
}

/// Who we are to a server: one way of saying so.
fn auth<T>(findings: &mut Findings<'_>, section: &Section<'_, T>, auth: &HttpAuth) {
    if auth.username.is_some() != auth.password.is_some() {
        let help = "write `auth = { username = \"suture\", password = \"env:PROM_PASSWORD\" }`";
        findings.error(section.header(), "`auth` has one of `username` and `password` without the other", help);
    }
    if auth.bearer.is_some() && auth.username.is_some() {
        findings.error(section.header(), "`auth` has a `bearer` token and a `username`", "leave one out");
    }
}

/// A metric whose values come ready-made.
fn words<T>(findings: &mut Findings<'_>, section: &Section<'_, T>, name: &str, floor: Option<f64>, limit: Option<f64>) {
    metric(findings, section, name, &MetricSettings { floor, limit, ..MetricSettings::default() });
}

fn metric<T>(findings: &mut Findings<'_>, section: &Section<'_, T>, name: &str, settings: &MetricSettings) {
    if let Some(why) = why_no_name(name) {
        let help = "write a short name like `latency_p95`: it is typed in chat";
        findings.error(
            section.at_key(&["metric"], name),
            &format!("the metric's name \"{}\" {why}", value(name)),
            help,
        );
    }
    if let Some(floor) = settings.floor
        && !(floor >= 0.0 && floor.is_finite())
    {
        let help = "it is the smallest change that means anything, in the metric's own unit";
        findings.error(
            section.at(&format!("metric.{name}.floor")),
            &format!("`floor` of `{}` must be 0 or more", value(name)),
            help,
        );
    }
    if settings.limit.is_some_and(|limit| !limit.is_finite()) {
        let help = "write a number, or leave it out for no limit";
        findings.error(
            section.at(&format!("metric.{name}.limit")),
            &format!("`limit` of `{}` must be finite", value(name)),
            help,
        );
    }
}

fn address(findings: &mut Findings<'_>, at: &dyn Fn() -> Range<usize>, url: &str) {
    // A password in an address was reported by the search for secrets.
    if secret_in(url).is_none()
        && let Some(why) = why_no_address(url)
    {
        findings.error(
            at(),
            &format!("\"{}\" {why}", value(url)),
            "write an address like \"http://127.0.0.1:9100/metrics\"",
        );
    }
}

/// Why a text is not the address of a page, if it is none. Stricter than a browser: what is odd here is a slip.
fn why_no_address(url: &str) -> Option<&'static str> {
    if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Some("has blanks or control characters in it");
    }
    let Some(rest) = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")) else {
        return Some("does not begin with http:// or https://");
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
        Some((v6, rest)) => (if v6.parse::<std::net::Ipv6Addr>().is_ok() { v6 } else { "" }, rest.strip_prefix(':')),
        None => host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port))),
    };
    let plain = |c: char| c.is_alphanumeric() || "-._:".contains(c);
    if host.is_empty() || !host.chars().all(plain) {
        return Some("names no host");
    }
    if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|n| n > 0)) {
        return Some("has a port that is none");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::why_no_address;

    #[test]
    fn addresses() {
        for good in [
            "http://127.0.0.1:9100/metrics",
            "https://shop.example/metrics?x=1",
            "http://[::1]:80/",
            "http://localhost",
        ] {
            assert_eq!(why_no_address(good), None, "{good}");
        }
        for bad in [
            "127.0.0.1:9100",
            "ftp://x/",
            "http://",
            "http:///metrics",
            "http://x:99999/",
            "http://x:/",
            "http://[::g]/",
            "http://a b/",
        ] {
            assert!(why_no_address(bad).is_some(), "{bad}");
        }
    }
}

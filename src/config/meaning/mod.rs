//! What the settings mean together: the checks that types cannot do, each with its place and what to do.
//!
//! A check looks only at keys that are sound, so that one mistake gives one message. Called by the loader.

mod chaos;
mod cluster;
mod grant;
mod people;
mod plugins;
mod service;
mod source;
mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use globset::Glob;
use toml::de::DeValue;

use super::problem::{secret_in, value};
use super::reader::{Findings, Node, Section};
use super::settings::{Chat, Daemon, Plugins};
use super::{Known, Spot, TargetConfig};
use crate::model::TargetId;

pub(super) use chaos::chaos;
pub(super) use cluster::{clusters, discover, of_clusters};
pub(super) use grant::grant;
pub(super) use people::{allow, freeze, person};
pub(super) use plugins::plugins;
pub(super) use service::{default_timeout, service};
pub(super) use source::{
    cloudwatch_source, host_source, kubernetes_source, probe_source, promql_source, scrape_source,
};
pub(super) use target::{asg_target, elb_target, haproxy_target, kubernetes_target, local_target, redis_target};

/// The names that tables of the file use for each other, gathered while they are read.
pub(super) struct Names {
    /// `None` when a folder could not be listed: then nobody is blamed for a name.
    playbooks: Option<Vec<String>>,
    rules: Option<Vec<String>>,
    targets: Vec<(TargetId, Range<usize>)>,
    /// False when a target could not be read: then an unknown name may be that one.
    pub(super) targets_are_known: bool,
    /// False when a grant is wrong: then nobody is told that a playbook has none.
    pub(super) grants_are_known: bool,
    /// There are `k8s:` targets that nobody can name yet.
    pub(super) will_find: bool,
    services: BTreeMap<String, Range<usize>>,
    used_targets: BTreeSet<TargetId>,
    listening: Vec<(SocketAddr, TargetId)>,
}

impl Names {
    pub(super) fn new(known: &Known, plugins: &Plugins) -> Self {
        let with_folder = |built_in: Option<&Vec<String>>, folder: Option<&Path>| {
            let mut names = built_in?.clone();
            if let Some(folder) = folder {
                names.extend(components_in(folder)?);
            }
            Some(names)
        };
        Self {
            playbooks: with_folder(Some(&known.playbooks), plugins.playbooks_dir.as_deref()),
            rules: with_folder(known.rules.as_ref(), plugins.rules_dir.as_deref()),
            targets: Vec::new(),
            targets_are_known: true,
            will_find: false,
            grants_are_known: true,
            services: BTreeMap::new(),
            used_targets: BTreeSet::new(),
            listening: Vec::new(),
        }
    }

    /// Takes up the targets of a service that need no table.
    pub(super) fn imply(&mut self, service: &Node<'_>) {
        let targets = service.get_ref().as_table().and_then(|table| table.get("targets"));
        for target in targets.and_then(|node| node.get_ref().as_array()).into_iter().flatten() {
            let id = target.get_ref().as_str().and_then(|text| text.parse::<TargetId>().ok());
            let Some(id) = id.filter(|id| TargetConfig::implied(id).is_some()) else { continue };
            if !self.targets.iter().any(|(known, _)| *known == id) {
                self.targets.push((id, target.span()));
            }
        }
    }
}

/// The names of the components in a folder; `None` when it cannot be listed.
fn components_in(folder: &Path) -> Option<Vec<String>> {
    let entries = std::fs::read_dir(folder).ok()?;
    let files = entries.filter_map(|entry| entry.ok().map(|e| e.path()));
    let components = files.filter(|path| path.extension().is_some_and(|ext| ext == "wasm"));
    Some(components.filter_map(|path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned())).collect())
}

/// Values anywhere in the file that look like a secret.
pub(super) fn secrets(findings: &mut Findings<'_>, node: &Node<'_>) {
    match node.get_ref() {
        DeValue::String(text) => {
            if let Some(what) = secret_in(text) {
                let help = "no secret stands in this file: put it into an environment variable or a file that only \
                            the program which needs it can read, and write no more than its name here";
                findings.error(node.span(), &format!("this looks like {what}"), help);
            }
        }
        DeValue::Array(array) => array.iter().for_each(|element| secrets(findings, element)),
        DeValue::Table(table) => table.values().for_each(|child| secrets(findings, child)),
        _ => {}
    }
}

/// Why a text is no name, if it is none. Names are typed in chat and stand in metric labels.
fn why_no_name(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty")
    } else if name.chars().count() > 63 {
        Some("is longer than 63 characters")
    } else if !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
        Some("has characters other than letters, digits, `-` and `_`")
    } else {
        None
    }
}

/// Why a glob is broken, if it is.
fn why_no_glob(glob: &str) -> Option<String> {
    if glob.is_empty() {
        return Some("is empty and matches nothing".to_owned());
    }
    Glob::new(glob).err().map(|e| format!("is not a glob: {}", e.kind()))
}

fn matches(glob: &str, text: &str) -> bool {
    Glob::new(glob).is_ok_and(|glob| glob.compile_matcher().is_match(text))
}

/// Reports a duration of zero. True when it was one.
fn zero<T>(findings: &mut Findings<'_>, section: &Section<'_, T>, of: &str, key: &str, duration: Duration) -> bool {
    let is_zero = duration.is_zero() && section.sound(&[key]);
    if is_zero {
        let name = key.rsplit('.').next().unwrap_or(key);
        let help = format!("write a time with its unit: `{name} = \"10s\"`");
        findings.error(section.at(key), &format!("{of}`{name}` is 0: it must be longer"), &help);
    }
    is_zero
}

/// The `[suture]` table.
pub(super) fn daemon(findings: &mut Findings<'_>, section: &Section<'_, Daemon>, base: &Path) {
    let daemon = &section.settings;
    zero(findings, section, "", "stop_within", daemon.stop_within);
    if section.sound(&["data_dir"]) {
        let dir = base.join(&daemon.data_dir);
        let at = section.at("data_dir");
        if daemon.data_dir.as_os_str().is_empty() {
            findings.error(at, "`data_dir` is empty", "write a folder: `data_dir = \"suture-data\"`");
        } else if dir.exists() && !dir.is_dir() {
            let message = format!("`data_dir` is a file, not a folder: {}", dir.display());
            findings.error(at, &message, "name a folder; it is made when it does not exist");
        }
    }
    let label = &daemon.environment;
    if label.chars().count() > 32 || label.chars().any(char::is_control) {
        let help = "it is a label on cards: write a word like `prod`";
        findings.error(
            section.at("environment"),
            "`environment` is longer than 32 characters or has control characters",
            help,
        );
    }
    if section.sound(&["log"])
        && let Some(why) = why_no_log_filter(&daemon.log)
    {
        let help = "write a level (error, warn, info, debug, trace), or a list like \"info,suture=debug\"";
        findings.error(section.at("log"), &format!("`log`: {why}"), help);
    }
}

/// A word alone is a level here: what tracing would take for the name of a module is a slip of the pen.
fn why_no_log_filter(filter: &str) -> Option<String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |word: &str| LEVELS.contains(&word.to_ascii_lowercase().as_str());
    for directive in filter.split(',').map(str::trim) {
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
        if !is_level(level) {
            return Some(format!("`{}` is not a level", value(level)));
        }
    }
    tracing_subscriber::EnvFilter::try_new(filter).err().map(|e| e.to_string())
}

/// The `[chat]` table.
pub(super) fn chat(findings: &mut Findings<'_>, section: &Section<'_, Chat>) {
    if section.settings.console && !cfg!(feature = "console") {
        findings.error(
            section.at("console"),
            "the console is not in this build",
            "build with the cargo feature `console`",
        );
    }
    people::platforms(findings, section);
}

/// Targets that no service uses.
pub(super) fn unused_targets(
    findings: &mut Findings<'_>,
    targets: &[TargetConfig],
    names: &Names,
    spots: &BTreeMap<Spot, Range<usize>>,
) {
    if !names.targets_are_known {
        return;
    }
    for id in targets.iter().map(TargetConfig::id).filter(|id| !names.used_targets.contains(id)) {
        if let Some(span) = spots.get(&Spot::Target(id.clone())) {
            let help = format!("add it to a service: `targets = [\"{id}\"]`");
            findings.warn(span.clone(), &format!("no service uses the target `{id}`"), &help);
        }
    }
}

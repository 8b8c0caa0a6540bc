//! From bytes to a [`Config`]: reads the tables one by one, has each checked, and puts together what came out.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::chaos::ChaosSettings;
use super::discover::{DiscoverSettings, Found};
use super::explain::did_you_mean;
use super::grant::{Grant, Grants};
use super::meaning::{self, Names};
use super::people::{AllowSettings, Freeze, PersonSettings};
use super::problem::{self, ConfigErrors, Level, Problem, SourceText};
use super::reader::{Findings, Label, Node, Section, read, table, take_key, text_at};
use super::settings::{Chat, Daemon, Plugins, ServiceSettings};
use super::{Config, Known, LARGEST_FILE, ServiceConfig, Spot, TargetConfig};
use crate::act::{AsgSettings, ElbSettings, HaproxySettings, KubernetesSettings, LocalSettings, RedisSettings};
use crate::collect::{
    CloudwatchSettings, HostSettings, KubernetesSourceSettings, ProbeSettings, PromqlSettings, ScrapeSettings,
    SourceSettings,
};
use crate::model::{Digest, ServiceId};
use crate::platform::ClusterSettings;

/// The tables of the file.
const TABLES: &[&str] = &[
    "suture", "service", "target", "cluster", "discover", "grant", "plugins", "chat", "allow", "person", "freeze",
    "chaos",
];

/// A kind of source or target: its word, the cargo feature that it is in, and whether this build has it.
type Kind = (&'static str, &'static str, bool);

/// Kinds of source.
const SOURCE_KINDS: &[Kind] = &[
    ("host", "host", cfg!(feature = "host")),
    ("scrape", "scrape", cfg!(feature = "scrape")),
    ("promql", "promql", cfg!(feature = "promql")),
    ("probe", "probe", cfg!(feature = "probe")),
    ("cloudwatch", "aws", cfg!(feature = "aws")),
    ("kubernetes", "kubernetes", cfg!(feature = "kubernetes")),
];

/// Kinds of target.
const TARGET_KINDS: &[Kind] = &[
    ("local", "local", cfg!(feature = "local")),
    ("k8s", "kubernetes", cfg!(feature = "kubernetes")),
    ("asg", "aws", cfg!(feature = "aws")),
    ("elb", "aws", cfg!(feature = "aws")),
    ("haproxy", "haproxy", cfg!(feature = "haproxy")),
    ("redis", "redis", cfg!(feature = "redis")),
];

/// Reads a file, but only a regular one of a sane size: opening a pipe could wait for ever.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, Box<Problem>> {
    let meta = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?;
    if meta.is_dir() {
        return Err(of_file(
            path,
            "this is a folder, not a file",
            Some("name the file in it: `--config DIR/suture.toml`"),
        ));
    }
    if !meta.is_file() {
        return Err(of_file(path, "this is not a regular file", Some("copy its content into a file")));
    }
    let file = std::fs::File::open(path).map_err(|e| unreadable(path, &e))?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells "too long" from "just fits", whatever the file's metadata said.
    let limit = u64::try_from(LARGEST_FILE).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(|e| unreadable(path, &e))?;
    Ok(bytes)
}

pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Box<Problem> {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    match error.kind() {
        NotFound => of_file(
            path,
            "there is no such file",
            Some("write a starter file with `suture init`, or name another one with `--config`"),
        ),
        PermissionDenied => {
            of_file(path, "this file may not be read", Some("give the user that Suture runs as the right to read it"))
        }
        _ => of_file(path, &format!("this file cannot be read: {error}"), None),
    }
}

fn of_file(path: &Path, message: &str, help: Option<&str>) -> Box<Problem> {
    Box::new(Problem::of_file(&path.display().to_string(), Level::Error, message, help))
}

/// Makes a config of a file's bytes, or lists everything that is wrong with them.
pub(super) fn load(bytes: &[u8], path: &Path, known: &Known) -> Result<Config, ConfigErrors> {
    if bytes.len() > LARGEST_FILE {
        let message = format!("this file is larger than {} KiB", LARGEST_FILE / 1024);
        let help = "a config has a few kilobytes: is this the right file?";
        return Err(ConfigErrors::new(vec![*of_file(path, &message, Some(help))]));
    }
    let config = load_bytes(bytes, path, known)?;
    templates(config)
}

/// Makes a config of a file's text with what was found besides; however much that is.
pub(super) fn load_found(text: &str, path: &Path) -> Result<Config, ConfigErrors> {
    load_bytes(text.as_bytes(), path, &Known::default())
}

/// Tries each template of `[[discover]]` with a workload that could be found.
fn templates(config: Config) -> Result<Config, ConfigErrors> {
    let mut problems = Vec::new();
    for index in 0..config.discover.len() {
        let found = Found { namespace: "a".to_owned(), kind: "deployment".to_owned(), name: "workload".to_owned() };
        if let Err(errors) = config.with_found(&[(index, found)]) {
            for problem in errors.problems().iter().filter(|problem| problem.level == Level::Error) {
                let message = format!("its services could not be read: {}", problem.message);
                let spot = Spot::Discover(index);
                problems.push(config.problem_at(&spot, Level::Error, &message, problem.help.as_deref()));
            }
        }
    }
    if problems.is_empty() {
        return Ok(config);
    }
    problems.extend(config.warnings.iter().cloned());
    Err(ConfigErrors { problems, readable: Some(Box::new(config)) })
}

fn load_bytes(bytes: &[u8], path: &Path, known: &Known) -> Result<Config, ConfigErrors> {
    let alone = |message: &str, help: &str| ConfigErrors::new(vec![*of_file(path, message, Some(help))]);
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = bytes.iter().take(e.valid_up_to()).filter(|b| **b == b'\n').count() + 1;
        let message = format!("this file is not text: line {line} holds bytes that are not UTF-8");
        alone(&message, "save it as UTF-8; if it is not a config at all, name the right file with `--config`")
    })?;
    let source = SourceText::new(&path.display().to_string(), text);
    let mut findings = Findings::new(&source);
    let parsed = load_text(&source, &mut findings, path, known);
    let problems = findings.into_problems();
    let sound = problems.iter().all(|p| p.level == Level::Warning);
    let config = parsed.map(|parts| Config {
        suture: parts.suture,
        services: parts.services,
        targets: parts.targets,
        clusters: parts.clusters,
        discover: parts.discover,
        grants: parts.grants,
        plugins: parts.plugins,
        chat: parts.chat,
        people: parts.people,
        freezes: parts.freezes,
        chaos: parts.chaos,
        digest: Digest::of(bytes),
        path: path.to_owned(),
        warnings: problems.clone(),
        spots: parts.spots,
        source,
    });
    match config {
        Some(config) if sound => Ok(config),
        config => Err(ConfigErrors { problems, readable: config.map(Box::new) }),
    }
}

struct Parts {
    suture: Daemon,
    services: Vec<ServiceConfig>,
    targets: Vec<TargetConfig>,
    clusters: Vec<ClusterSettings>,
    discover: Vec<DiscoverSettings>,
    grants: Grants,
    plugins: Plugins,
    chat: Chat,
    people: Vec<PersonSettings>,
    freezes: Vec<Freeze>,
    chaos: ChaosSettings,
    spots: BTreeMap<Spot, Range<usize>>,
}

fn load_text(source: &SourceText, findings: &mut Findings<'_>, path: &Path, known: &Known) -> Option<Parts> {
    let (root, slips) = DeTable::parse_recoverable(source.text());
    // A key that stands twice leaves the rest readable. After any other slip the rest is guesswork: those stand alone.
    let (twice, slips): (Vec<_>, Vec<_>) = slips.into_iter().partition(|e| e.message() == "duplicate key");
    syntax(findings, if slips.is_empty() { &twice } else { &slips });
    if !slips.is_empty() {
        return None;
    }
    let mut root = Spanned::new(0..0, DeValue::Table(root.into_inner()));
    meaning::secrets(findings, &root);
    let mut tables: BTreeMap<&str, Node<'_>> =
        TABLES.iter().filter_map(|key| take_key(&mut root, key).map(|node| (*key, node))).collect();
    for (key, _) in table(&root).into_iter().flatten() {
        let name = key.get_ref();
        let message = format!("unknown table or key `{}` at the top of the file", problem::value(name));
        let help = did_you_mean(name, TABLES, "the file has the tables");
        findings.error(key.span(), &message, &help);
    }

    let base = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    let mut spots = BTreeMap::new();

    let suture = one::<Daemon>(findings, tables.remove("suture"), "suture");
    let mut daemon = suture.as_ref().map(|s| s.settings.clone()).unwrap_or_default();
    if let Some(section) = &suture {
        meaning::daemon(findings, section, &base);
    }
    daemon.data_dir = base.join(&daemon.data_dir);

    let plugins = one::<Plugins>(findings, tables.remove("plugins"), "plugins");
    let mut plugin_settings = plugins.as_ref().map(|s| s.settings.clone()).unwrap_or_default();
    for dir in [&mut plugin_settings.playbooks_dir, &mut plugin_settings.rules_dir].into_iter().flatten() {
        *dir = base.join(&*dir);
    }
    let mut names = Names::new(known, &plugin_settings);
    if let Some(section) = &plugins {
        meaning::plugins(findings, section, &plugin_settings, &names);
        spots.insert(Spot::PlaybooksDir, section.at_key(&[], "playbooks_dir"));
        spots.insert(Spot::RulesDir, section.at_key(&[], "rules_dir"));
        spots.extend(plugin_settings.pins.keys().map(|pin| (Spot::Pin(pin.clone()), section.at_key(&["pins"], pin))));
    }

    let chat = one::<Chat>(findings, tables.remove("chat"), "chat");
    if let Some(section) = &chat {
        meaning::chat(findings, section);
        for platform in ["slack", "discord"] {
            spots.insert(Spot::Chat(platform.to_owned()), section.at(platform));
        }
    }
    let chat = chat.map(|s| s.settings).unwrap_or_default();

    let target_nodes = many(findings, tables.remove("target"), "target");
    names.targets_are_known = true;
    let mut targets = Vec::new();
    for node in target_nodes {
        let Some((target, header, sound)) = read_target(findings, node, &base, &mut names) else {
            names.targets_are_known = false;
            continue;
        };
        names.targets_are_known &= sound;
        spots.insert(Spot::Target(target.id().clone()), header);
        targets.push(target);
    }
    let clusters = read_all::<ClusterSettings>(findings, tables.remove("cluster"), "cluster");
    meaning::clusters(findings, &clusters);
    let clusters: Vec<_> = clusters.into_iter().map(|section| section.settings).collect();
    let discover = read_all::<DiscoverSettings>(findings, tables.remove("discover"), "discover");
    for (i, section) in discover.iter().enumerate() {
        meaning::discover(findings, section, &clusters);
        spots.insert(Spot::Discover(i), section.header());
    }
    let discover: Vec<_> = discover.into_iter().map(|section| section.settings).collect();

    // Grants may be about what services imply by naming it, or about what will be found.
    if let Some(DeValue::Array(array)) = tables.get("service").map(Spanned::get_ref) {
        array.iter().for_each(|node| names.imply(node));
    }
    names.will_find = !discover.is_empty();
    let problems_before = findings.count();
    let grant_nodes = many(findings, tables.remove("grant"), "grant");
    let mut grants = Vec::new();
    for (i, node) in grant_nodes.into_iter().enumerate() {
        let which =
            text_at(&node, "playbook").map_or_else(String::new, |name| format!(" for `{}`", problem::value(name)));
        let label = Label { key: "grant", array: true, which };
        let Some(mut section) = read::<Grant>(findings, node, &label, &[]) else { continue };
        section.settings.line = source.line_and_column(section.header().start).0;
        meaning::grant(findings, &section, &names);
        spots.insert(Spot::Grant(i), section.header());
        grants.push(section.settings);
    }
    names.grants_are_known = findings.count() == problems_before;
    // Broken globs were reported with their place above.
    let grants = Grants::new(grants).unwrap_or_default();

    let allow = read_all::<AllowSettings>(findings, tables.remove("allow"), "allow");
    let people = read_all::<PersonSettings>(findings, tables.remove("person"), "person");
    let freezes = read_all::<Freeze>(findings, tables.remove("freeze"), "freeze");
    if let Some(first) = people.first() {
        spots.insert(Spot::People, first.header());
    }
    let rules: Vec<_> = allow.iter().map(|section| section.settings.clone()).collect();

    let no_services = discover.is_empty() && !tables.get("service").is_some_and(is_not_empty);
    let mut services = Vec::new();
    for node in many(findings, tables.remove("service"), "service") {
        if let Some(service) = read_service(findings, node, &base, &mut names, &grants, &rules, &mut spots) {
            // What is complete with its name alone needs no table.
            for id in &service.targets {
                if let Some(target) = TargetConfig::implied(id).filter(|_| !targets.iter().any(|t| t.id() == id)) {
                    let span = spots_of(&spots, &service.name);
                    spots.entry(Spot::Target(id.clone())).or_insert(span);
                    targets.push(target);
                }
            }
            services.push(service);
        }
    }
    meaning::of_clusters(findings, &targets, &clusters, &spots);
    if no_services {
        let help = "a service is what is watched. The smallest one watches this host:\n[[service]]\nname = \"host\"\n\
                    mode = \"observe\"\n[[service.source]]\nkind = \"host\"\nor write a starter file with `suture init`";
        findings.error_of_file("no [[service]] in it: there is nothing to watch", help);
    }
    let known: Vec<_> = services.iter().map(|s| s.name.0.as_str()).collect();
    allow.iter().for_each(|section| meaning::allow(findings, section, &known));
    people.iter().for_each(|section| meaning::person(findings, section));
    freezes.iter().for_each(|section| meaning::freeze(findings, section, &known));
    let chaos = one::<ChaosSettings>(findings, tables.remove("chaos"), "chaos");
    let mut experiments = chaos.as_ref().map(|s| s.settings.clone()).unwrap_or_default();
    experiments.dir = experiments.dir.map(|dir| base.join(dir));
    if let Some(section) = &chaos {
        let known = (!names.will_find).then_some(known.as_slice());
        meaning::chaos(findings, section, &experiments, daemon.chaos, known);
    }
    meaning::unused_targets(findings, &targets, &names, &spots);

    Some(Parts {
        suture: daemon,
        services,
        targets,
        clusters,
        discover,
        grants,
        plugins: plugin_settings,
        chat,
        people: people.into_iter().map(|section| section.settings).collect(),
        freezes: freezes.into_iter().map(|section| section.settings).collect(),
        chaos: experiments,
        spots,
    })
}

/// Reads the tables of a list that have no names.
fn read_all<'t, T: serde::de::DeserializeOwned>(
    findings: &mut Findings<'_>,
    node: Option<Node<'t>>,
    key: &'static str,
) -> Vec<Section<'t, T>> {
    let nodes = many(findings, node, key);
    let label = |i: usize| Label { key, array: true, which: format!(" number {}", i + 1) };
    nodes.into_iter().enumerate().filter_map(|(i, node)| read::<T>(findings, node, &label(i), &[])).collect()
}

/// Reports what the parser says, one slip a line of the file: a second one there mostly follows from the first.
pub(crate) fn syntax(findings: &mut Findings<'_>, slips: &[toml::de::Error]) {
    let source = findings.source;
    let end = source.text().len();
    let mut slips: Vec<_> = slips.iter().map(|e| (e.span().unwrap_or(end..end), e.message())).collect();
    slips.sort_by_key(|(span, _)| span.start);
    slips.dedup_by_key(|(span, _)| source.line_and_column(span.start).0);
    for (span, message) in slips {
        if message == "duplicate key" {
            let key = source.text().get(span.clone()).unwrap_or_default();
            let message = format!("`{}` stands in the file above already", problem::value(key));
            findings.error(span, &message, "keep one of the two");
            continue;
        }
        let help = help_for_slip(source.text(), &span);
        findings.error(span, &format!("this is not TOML: {}", message.replace('\n', ", ")), &help);
    }
}

/// What to say about the commonest slip: a word without quotes.
fn help_for_slip(text: &str, span: &Range<usize>) -> String {
    let line_start = text.get(..span.start).and_then(|t| t.rfind('\n')).map_or(0, |at| at + 1);
    let line = text.get(line_start..).and_then(|t| t.lines().next()).unwrap_or_default();
    match line.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
        Some((key, word))
            if !word.is_empty()
                && !problem::is_secret_key(key)
                && word.chars().all(|c| c.is_alphanumeric() || c == '-') =>
        {
            format!("text stands in quotes: `{} = \"{}\"`", problem::value(key), problem::value(word))
        }
        _ => String::new(),
    }
}

/// Reads a table that stands in the file once or not at all.
pub(crate) fn one<'t, T: serde::de::DeserializeOwned>(
    findings: &mut Findings<'_>,
    node: Option<Node<'t>>,
    key: &'static str,
) -> Option<Section<'t, T>> {
    let node = node?;
    if table(&node).is_none() {
        let message = format!("`{key}` must be a table that stands once");
        findings.error(node.span(), &message, &format!("write `[{key}]` on a line of its own, its keys below"));
        return None;
    }
    read(findings, node, &Label { key, array: false, which: String::new() }, &[])
}

/// The tables of a list of tables. One that is written like a single table is read all the same.
pub(crate) fn many<'t>(findings: &mut Findings<'_>, node: Option<Node<'t>>, key: &str) -> Vec<Node<'t>> {
    let Some(node) = node else { return Vec::new() };
    let span = node.span();
    let advice = format!("write `[[{key}]]` on a line of its own, its keys below");
    match node.into_inner() {
        DeValue::Array(array) => {
            let (tables, others): (Vec<_>, Vec<_>) = array.into_iter().partition(|node| table(node).is_some());
            for other in others {
                findings.error(other.span(), &format!("`{key}` must be a list of tables"), &advice);
            }
            tables
        }
        DeValue::Table(inner) => {
            let message = format!("`{key}` is a list of tables: it has double brackets");
            findings.error(span.clone(), &message, &advice);
            vec![Spanned::new(span, DeValue::Table(inner))]
        }
        _ => {
            findings.error(span, &format!("`{key}` must be a list of tables"), &advice);
            Vec::new()
        }
    }
}

/// `service = []` is as good as none.
fn is_not_empty(node: &Node<'_>) -> bool {
    node.get_ref().as_array().is_none_or(|array| !array.is_empty())
}

/// Is a kind known, and in this build? Reports it if not.
fn kind_is_here(findings: &mut Findings<'_>, span: Range<usize>, what: &str, kind: &str, kinds: &[Kind]) -> bool {
    match kinds.iter().find(|(name, ..)| *name == kind) {
        Some((.., true)) => true,
        Some((name, feature, false)) => {
            let message = format!("{what} of kind `{name}` is not in this build");
            findings.error(span, &message, &format!("build with the cargo feature `{feature}`"));
            false
        }
        None => {
            let names: Vec<_> = kinds.iter().filter(|(.., here)| *here).map(|(name, ..)| *name).collect();
            let message = format!("no {what} of kind `{}`", problem::value(kind));
            findings.error(span, &message, &did_you_mean(kind, &names, "this build knows the kinds"));
            false
        }
    }
}

/// Reads a `[[target]]` table by the kind in its name: the target, its header, and whether its name can be relied on.
fn read_target(
    findings: &mut Findings<'_>,
    node: Node<'_>,
    base: &Path,
    names: &mut Names,
) -> Option<(TargetConfig, Range<usize>, bool)> {
    let name = text_at(&node, "name");
    let which = name.map_or_else(String::new, |name| format!(" `{}`", problem::value(name)));
    let kind = name.and_then(|name| name.split_once(':')).map(|(kind, _)| kind.to_owned());
    if let Some(kind) = &kind {
        let span = table(&node).and_then(|t| t.get("name")).map_or_else(|| node.span(), Spanned::span);
        if !kind_is_here(findings, span, "target", kind, TARGET_KINDS) {
            return None;
        }
    }
    let label = Label { key: "target", array: true, which };
    /// What all kinds have in common once they are read.
    fn done<T>(
        section: Section<'_, T>,
        target: impl Fn(T) -> TargetConfig,
    ) -> Option<(TargetConfig, Range<usize>, bool)> {
        let (header, sound) = (section.header(), section.sound(&["name"]));
        Some((target(section.settings), header, sound))
    }
    match kind.as_deref() {
        Some("k8s") => {
            let section = read::<KubernetesSettings>(findings, node, &label, &[])?;
            meaning::kubernetes_target(findings, &section, names);
            done(section, TargetConfig::Kubernetes)
        }
        Some("asg") => {
            let section = read::<AsgSettings>(findings, node, &label, &[])?;
            meaning::asg_target(findings, &section, names);
            done(section, TargetConfig::Asg)
        }
        Some("elb") => {
            let section = read::<ElbSettings>(findings, node, &label, &[])?;
            meaning::elb_target(findings, &section, names);
            done(section, TargetConfig::Elb)
        }
        Some("haproxy") => {
            let mut section = read::<HaproxySettings>(findings, node, &label, &[])?;
            meaning::haproxy_target(findings, &section, names);
            section.settings.socket = section.settings.socket.map(|path| base.join(path));
            done(section, TargetConfig::Haproxy)
        }
        Some("redis") => {
            let mut section = read::<RedisSettings>(findings, node, &label, &[])?;
            meaning::redis_target(findings, &section, names);
            section.settings.password = section.settings.password.map(|secret| secret.within(base));
            section.settings.ca = section.settings.ca.map(|path| base.join(path));
            done(section, TargetConfig::Redis)
        }
        // Without a kind, the name is what is wrong; the reader says so at its place.
        _ => {
            let section = read::<LocalSettings>(findings, node, &label, &[])?;
            meaning::local_target(findings, &section, names);
            done(section, TargetConfig::Local)
        }
    }
}

/// Where a service begins, for what it implies.
fn spots_of(spots: &BTreeMap<Spot, Range<usize>>, service: &ServiceId) -> Range<usize> {
    spots.get(&Spot::Service(service.clone())).cloned().unwrap_or_default()
}

fn read_service(
    findings: &mut Findings<'_>,
    node: Node<'_>,
    base: &Path,
    names: &mut Names,
    grants: &Grants,
    rules: &[AllowSettings],
    spots: &mut BTreeMap<Spot, Range<usize>>,
) -> Option<ServiceConfig> {
    let name = text_at(&node, "name").map(str::to_owned);
    let which = name.as_ref().map_or_else(String::new, |name| format!(" `{}`", problem::value(name)));
    let mut node = node;
    let sources = take_key(&mut node, "source");
    let has_sources = sources.as_ref().is_some_and(is_not_empty);
    let id = ServiceId(name.unwrap_or_default());
    let mut read_sources = Vec::new();
    for (i, source) in many(findings, sources, "service.source").into_iter().enumerate() {
        let of = if which.is_empty() { "" } else { " of" };
        let number = format!(" number {}{of}{which}", i + 1);
        spots.insert(Spot::Source(id.clone(), i), source.span());
        read_sources.extend(read_source(findings, source, base, number));
    }

    let section = read::<ServiceSettings>(findings, node, &Label { key: "service", array: true, which }, &[])?;
    meaning::service(findings, &section, has_sources, names, grants, rules);
    spots.insert(Spot::Service(id.clone()), section.header());
    let settings = section.settings;
    Some(ServiceConfig {
        name: ServiceId(settings.name),
        targets: settings.targets,
        mode: settings.mode,
        interval: settings.interval,
        timeout: settings.timeout.unwrap_or_else(|| meaning::default_timeout(settings.interval)),
        playbooks: settings.playbooks,
        rules: settings.rules,
        sources: read_sources,
        detect: settings.detect,
        guard: settings.guard.into(),
        approval: settings.approve.policy(&id.0, rules),
        windows: settings.approve.windows,
        verify: settings.verify.into(),
    })
}

/// Reads a `[[service.source]]` table. The kind is looked at by hand, because an enum with a tag loses the places.
fn read_source(findings: &mut Findings<'_>, mut node: Node<'_>, base: &Path, which: String) -> Option<SourceSettings> {
    let label = Label { key: "service.source", array: true, which };
    let header = node.span();
    let Some(kind) = take_key(&mut node, "kind") else {
        let message = format!("missing key `kind` in [[service.source]]{}", label.which);
        findings.error(
            header,
            &message,
            "write `kind = \"host\"` (this machine), \"scrape\" (a /metrics page), \"promql\", \"probe\", \"kubernetes\" or \
             \"cloudwatch\"",
        );
        return None;
    };
    let Some(word) = kind.get_ref().as_str() else {
        let message = format!("`kind` in [[service.source]]{} must be text in quotes", label.which);
        findings.error(kind.span(), &message, "write `kind = \"host\"`, or another kind in quotes");
        return None;
    };
    if !kind_is_here(findings, kind.span(), "source", word, SOURCE_KINDS) {
        return None;
    }
    let read_before = &["kind"];
    Some(match word {
        "host" => {
            let section = read::<HostSettings>(findings, node, &label, read_before)?;
            meaning::host_source(findings, &section);
            SourceSettings::Host(section.settings)
        }
        "promql" => {
            let mut section = read::<PromqlSettings>(findings, node, &label, read_before)?;
            meaning::promql_source(findings, &section);
            section.settings.auth = section.settings.auth.within(base);
            SourceSettings::Promql(section.settings)
        }
        "probe" => {
            let mut section = read::<ProbeSettings>(findings, node, &label, read_before)?;
            meaning::probe_source(findings, &section);
            section.settings.auth = section.settings.auth.within(base);
            SourceSettings::Probe(section.settings)
        }
        "cloudwatch" => {
            let section = read::<CloudwatchSettings>(findings, node, &label, read_before)?;
            meaning::cloudwatch_source(findings, &section);
            SourceSettings::Cloudwatch(section.settings)
        }
        "kubernetes" => {
            let section = read::<KubernetesSourceSettings>(findings, node, &label, read_before)?;
            meaning::kubernetes_source(findings, &section);
            SourceSettings::Kubernetes(section.settings)
        }
        _ => {
            let section = read::<ScrapeSettings>(findings, node, &label, read_before)?;
            meaning::scrape_source(findings, &section);
            SourceSettings::Scrape(section.settings)
        }
    })
}

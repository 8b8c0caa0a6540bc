//! Checks of the `[[cluster]]` and `[[discover]]` tables.

use std::collections::BTreeMap;
use std::ops::Range;

use super::why_no_name;
use crate::config::problem::value;
use crate::config::reader::{Findings, Section};
use crate::config::{DiscoverSettings, Spot, TargetConfig};
use crate::platform::ClusterSettings;
use crate::platform::place::Place;

/// The `[[cluster]]` tables.
pub(in crate::config) fn clusters(findings: &mut Findings<'_>, sections: &[Section<'_, ClusterSettings>]) {
    let mut seen: Vec<&str> = Vec::new();
    for section in sections {
        let s = &section.settings;
        if let Some(why) = why_no_name(&s.name).filter(|_| section.sound(&["name"])) {
            let help = "write a short one: it stands in front of its targets, `k8s:east/prod/deployment/web`";
            findings.error(section.at("name"), &format!("the cluster's name \"{}\" {why}", value(&s.name)), help);
        } else if seen.contains(&s.name.as_str()) {
            let message = format!("there are two clusters called `{}`", value(&s.name));
            findings.error(section.at("name"), &message, "rename one");
        }
        seen.push(&s.name);
    }
}

/// A `[[discover]]` table.
pub(in crate::config) fn discover(
    findings: &mut Findings<'_>,
    section: &Section<'_, DiscoverSettings>,
    clusters: &[ClusterSettings],
) {
    let s = &section.settings;
    if !cfg!(feature = "kubernetes") {
        let help = "build with the cargo feature `kubernetes`";
        findings.error(section.header(), "[[discover]] looks into Kubernetes, which is not in this build", help);
    }
    if s.selector.trim().is_empty() && section.sound(&["selector"]) {
        let help = "write which workloads are meant: `selector = \"suture.dev/watch=true\"`";
        findings.error(section.at("selector"), "an empty `selector` would be every workload there is", help);
    }
    if s.namespace.is_empty() && section.sound(&["namespace"]) {
        findings.error(section.at("namespace"), "`namespace` is empty", "write one, or \"*\" for all");
    }
    if let Some(cluster) = s.cluster.as_ref().filter(|name| !clusters.iter().any(|known| known.name == **name)) {
        let message = format!("there is no [[cluster]] `{}`", value(cluster));
        let help = format!("define it:\n[[cluster]]\nname = \"{}\"\ncontext = \"...\"", value(cluster));
        findings.error(section.at("cluster"), &message, &help);
    }
    for key in ["name", "targets"].into_iter().filter(|key| s.service.contains_key(*key)) {
        let message = format!("`{key}` in the template comes from what is found");
        let help = if key == "name" { "write `name` in [[discover]] itself" } else { "leave it out" };
        findings.error(section.header(), &message, help);
    }
}

/// Targets of clusters that are not there.
pub(in crate::config) fn of_clusters(
    findings: &mut Findings<'_>,
    targets: &[TargetConfig],
    clusters: &[ClusterSettings],
    spots: &BTreeMap<Spot, Range<usize>>,
) {
    for target in targets {
        let id = target.id();
        let place = Some(id).filter(|id| id.kind() == "k8s").and_then(|id| Place::of(id).ok());
        let Some(cluster) = place.and_then(|place| place.cluster) else { continue };
        if clusters.iter().any(|known| known.name == cluster) {
            continue;
        }
        let span = spots.get(&Spot::Target(id.clone())).cloned().unwrap_or_default();
        let help = format!("define it:\n[[cluster]]\nname = \"{cluster}\"\ncontext = \"...\"");
        findings.error(span, &format!("target `{id}`: there is no [[cluster]] `{cluster}`"), &help);
    }
}

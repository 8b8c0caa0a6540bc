//! `[[discover]]`: services that are found in a cluster instead of being written down, each made from one template.
//!
//! Pure: what is found comes from the composition root. A found service is read exactly as if it stood in the file, with the
//! same checks.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Table, Value};

use crate::model::TargetId;
use crate::platform::place::Place;

/// A `[[discover]]` table.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscoverSettings {
    /// The cluster, where there are several.
    #[serde(default)]
    pub cluster: Option<String>,
    /// The namespace; `*` for all.
    pub namespace: String,
    /// Which Deployments and StatefulSets: a label selector, `suture.dev/watch=true`.
    pub selector: String,
    /// What a service is called: `{namespace}`, `{kind}` and `{name}` stand for the workload's.
    #[serde(default = "its_name")]
    pub name: String,
    /// The keys of `[[service]]` without `name` and `targets`. In texts `{namespace}`, `{kind}`, `{name}` and `{target}` are
    /// filled in.
    pub service: Table,
}

fn its_name() -> String {
    "{name}".to_owned()
}

/// A workload that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Its namespace.
    pub namespace: String,
    /// `deployment` or `statefulset`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl Found {
    /// The workload that a Kubernetes target is about: `k8s:prod/deployment/web`, a cluster's name in front or not.
    #[must_use]
    pub fn of(target: &TargetId) -> Option<Self> {
        let place = Place::of(target).ok()?;
        Some(Self { namespace: place.namespace?, kind: place.kind.word().to_owned(), name: place.name })
    }
}

impl DiscoverSettings {
    /// The target of a workload.
    #[must_use]
    pub fn target(&self, found: &Found) -> Option<TargetId> {
        let cluster = self.cluster.as_ref().map_or_else(String::new, |cluster| format!("{cluster}/"));
        format!("k8s:{cluster}{}/{}/{}", found.namespace, found.kind, found.name).parse().ok()
    }

    /// The service of a workload as a `[[service]]` table; `None` when its names cannot be written so.
    #[must_use]
    pub fn service(&self, found: &Found) -> Option<(String, String)> {
        let target = self.target(found)?.to_string();
        let words = BTreeMap::from([
            ("{namespace}", found.namespace.as_str()),
            ("{kind}", found.kind.as_str()),
            ("{name}", found.name.as_str()),
            ("{target}", target.as_str()),
        ]);
        // A workload's name may have dots and be long; a service's is typed in chat.
        let name: String = filled(&self.name, &words).replace('.', "-").chars().take(63).collect();
        let mut service = self.service.clone();
        fill(&mut service, &words);
        service.insert("name".to_owned(), Value::String(name.clone()));
        service.insert("targets".to_owned(), Value::Array(vec![Value::String(target.clone())]));
        let file = Table::from_iter([("service".to_owned(), Value::Array(vec![Value::Table(service)]))]);
        Some((name, toml::to_string(&file).ok()?))
    }
}

fn filled(text: &str, words: &BTreeMap<&str, &str>) -> String {
    words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value))
}

fn fill(table: &mut Table, words: &BTreeMap<&str, &str>) {
    for (_, value) in table.iter_mut() {
        fill_value(value, words);
    }
}

fn fill_value(value: &mut Value, words: &BTreeMap<&str, &str>) {
    match value {
        Value::String(text) => *text = filled(text, words),
        Value::Array(values) => values.iter_mut().for_each(|value| fill_value(value, words)),
        Value::Table(table) => fill(table, words),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_made_from_its_template() {
        let settings: DiscoverSettings = toml::from_str(
            "namespace = \"*\"\nselector = \"watch=yes\"\nname = \"{namespace}-{name}\"\n[service]\nmode = \"observe\"\n\
             [[service.source]]\nkind = \"promql\"\nurl = \"http://prometheus:9090\"\nwatch = \"{target}\"\n",
        )
        .unwrap();
        let found = Found { namespace: "prod".into(), kind: "deployment".into(), name: "web.v2".into() };
        let (name, text) = settings.service(&found).unwrap();
        assert_eq!(name, "prod-web-v2");
        assert!(text.contains("targets = [\"k8s:prod/deployment/web.v2\"]"), "{text}");
        assert!(text.contains("watch = \"k8s:prod/deployment/web.v2\""), "{text}");
        assert!(text.starts_with("[[service]]"), "{text}");
    }
}

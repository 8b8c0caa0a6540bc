//! Which target a series belongs to, and which of its instances it is.
//!
//! Must never guess where it can know: a pod's owner comes from kube-state-metrics, and only a pod that is not in there
//! (yet) is told by its name. Pure; called by groups, in rounds and for history.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::answer::Labels;
use super::templates::{Keys, Part, Workload};
use super::text;
use crate::model::TargetId;

/// Between the values of labels in a joined key: no label has it.
const JOINT: char = '\u{0}';
/// Places that are remembered. Above, all are forgotten and looked up anew: those of a cluster of 100,000 pods fit.
const MOST_PLACES: usize = 300_000;
/// What Kubernetes makes the random parts of names of: no vowels, and nothing that looks like another.
const RANDOM: &str = "bcdfghjklmnpqrstvwxz2456789";

/// How the series of a part's targets are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scheme {
    /// Labels that are asked for, in the order of a joined key.
    pub by: Vec<String>,
    /// The label of instances, behind those.
    pub instance: Option<String>,
    /// The last two of `by` are namespace and pod: the target is the pod's owner.
    pub pods: bool,
}

/// One target among those of a group: the values of its labels; with pods, those of the config's labels, and then
/// namespace, kind and name of the workload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(pub Vec<String>);

impl Scheme {
    /// The scheme of a part for what is watched, and this target's key in it.
    ///
    /// # Errors
    /// When the config says too little, or the same twice.
    pub fn of<'a>(
        part: &Part,
        watch: Option<&TargetId>,
        labels: impl Iterator<Item = (&'a String, &'a String)>,
    ) -> Result<(Self, Key), String> {
        let (mut by, mut key) = (Vec::new(), Vec::new());
        for (label, value) in labels {
            if !text::is_label(label) {
                let shown = crate::collect::names::excerpt(label, 60);
                return Err(format!("`labels`: `{shown}` is no label: letters, digits and _"));
            }
            if value.is_empty() {
                return Err(format!("`labels`: the value of `{label}` is empty"));
            }
            by.push(label.clone());
            key.push(value.clone());
        }
        let workload = watch.filter(|target| target.kind() == "k8s").map(Workload::of).transpose()?;
        let mut named = |label: &str, value: &str| {
            if by.iter().any(|other| other == label) {
                return Err(format!("`labels`: `{label}` is what `watch` says already: leave it out"));
            }
            by.push(label.to_owned());
            key.push(value.to_owned());
            Ok(())
        };
        let pods = match (part.keys, workload, watch) {
            (Keys::Pods | Keys::PodsOrLabels, Some(workload), _) => {
                named("namespace", workload.namespace)?;
                named("pod", workload.kind)?;
                key.push(workload.name.to_owned());
                true
            }
            (Keys::Named([namespace, name]), Some(workload), _) => {
                named(namespace, workload.namespace)?;
                named(name, workload.name)?;
                false
            }
            (Keys::Named([only]), None, Some(target)) if target.kind() == "haproxy" => {
                named(only, target.name())?;
                false
            }
            _ if by.is_empty() => {
                return Err(format!(
                    "the template of {} needs `labels` that its series have and others do not: labels = {{ job = \"shop\" }}",
                    part.name
                ));
            }
            _ => false,
        };
        let instance = part.instance.filter(|label| !pods && !by.iter().any(|other| other == label)).map(str::to_owned);
        Ok((Self { by, instance, pods }, Key(key)))
    }

    /// Matchers that select the series of these targets, and perhaps others.
    pub fn select(&self, keys: &[&Key]) -> String {
        let mut sel = String::new();
        for (at, label) in self.by.iter().enumerate() {
            if self.pods && label == "pod" {
                let names: BTreeSet<&str> = keys.iter().filter_map(|key| key.0.last()).map(String::as_str).collect();
                sel.push_str(&text::pod_matcher(&names));
            } else {
                let values: BTreeSet<&str> = keys.iter().filter_map(|key| key.0.get(at)).map(String::as_str).collect();
                sel.push_str(&text::matcher(label, &values));
            }
        }
        if sel.is_empty() { sel } else { sel + " " }
    }

    /// The config's labels, in front of namespace and pod.
    pub fn extra(&self) -> &[String] {
        let own = if self.pods { 2 } else { 0 };
        self.by.get(..self.by.len().saturating_sub(own)).unwrap_or_default()
    }

    /// `$each` without the label of instances.
    pub fn by_text(&self) -> String {
        self.by.join(", ")
    }

    pub fn each_text(&self) -> String {
        self.instance.iter().fold(self.by_text(), |text, label| format!("{text}, {label}"))
    }
}

/// The targets of a group, by joined key, and their slots.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    pub by_key: HashMap<Box<str>, usize>,
    pub keys: Vec<(usize, Key)>,
    /// One more than the greatest slot.
    pub slots: usize,
    /// Grows with every target that joins.
    pub generation: u64,
}

impl Members {
    /// The one target that a history is of.
    pub fn only(key: &Key) -> Self {
        Self { by_key: HashMap::from([(joined(&key.0), 0)]), keys: vec![(0, key.clone())], slots: 1, generation: 0 }
    }

    pub fn all(&self) -> Vec<&Key> {
        self.keys.iter().map(|(_, key)| key).collect()
    }
}

/// Where a series belongs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub slot: usize,
    pub instance: Option<Arc<str>>,
}

/// Remembers where series belong, by the values of their labels.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    known: HashMap<Box<str>, Option<Place>>,
    /// The key that is being looked up; kept for its memory.
    key: String,
    /// There are pods whose names had to do.
    pub in_doubt: bool,
}

impl Places {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.known.clear();
        self.in_doubt = false;
    }

    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Where a series with these labels belongs; `None` when it is nobody's here.
    pub fn of(&mut self, labels: &Labels<'_>, scheme: &Scheme, members: &Members) -> Option<&Place> {
        self.key.clear();
        for label in scheme.by.iter().chain(&scheme.instance) {
            self.key.push_str(labels.get(label));
            self.key.push(JOINT);
        }
        if !self.known.contains_key(self.key.as_str()) {
            if self.known.len() >= MOST_PLACES {
                self.known.clear();
            }
            let place = find(labels, scheme, members);
            self.in_doubt |= scheme.pods && place.is_some();
            self.known.insert(self.key.as_str().into(), place);
        }
        self.known.get(self.key.as_str()).and_then(Option::as_ref)
    }

    /// Notes who owns a pod: a member's slot, or nobody here.
    pub fn note_pod(&mut self, extra: &[&str], namespace: &str, pod: &str, slot: Option<usize>) {
        if self.known.len() < MOST_PLACES {
            let values = extra.iter().copied().chain([namespace, pod]);
            let key: String = values.flat_map(|value| value.chars().chain([JOINT])).collect();
            self.known.insert(key.into(), slot.map(|slot| Place { slot, instance: Some(short(pod).into()) }));
        }
    }

    /// What is known of the pods of this slot, and of those that are called like them, as the places of a group in which
    /// this workload is the only target.
    pub fn only(&self, slot: usize, name: &str) -> Self {
        let pod = |key: &str| key.trim_end_matches(JOINT).rsplit(JOINT).next().is_some_and(|pod| pod.starts_with(name));
        let known = self.known.iter().filter_map(|(key, place)| {
            let ours = place.as_ref().filter(|place| place.slot == slot);
            let ours = ours.map(|place| Place { slot: 0, instance: place.instance.clone() });
            (ours.is_some() || pod(key)).then(|| (key.clone(), ours))
        });
        Self { known: known.collect(), ..Self::default() }
    }
}

/// Several values as one key.
pub(super) fn joined<S: AsRef<str>>(values: &[S]) -> Box<str> {
    values.iter().flat_map(|value| value.as_ref().chars().chain([JOINT])).collect::<String>().into()
}

fn find(labels: &Labels<'_>, scheme: &Scheme, members: &Members) -> Option<Place> {
    if !scheme.pods {
        let values: Vec<&str> = scheme.by.iter().map(|label| labels.get(label)).collect();
        let slot = *members.by_key.get(&joined(&values))?;
        let instance = scheme.instance.as_deref().map(|label| labels.get(label)).filter(|value| !value.is_empty());
        return Some(Place { slot, instance: instance.map(|value| short(value).into()) });
    }
    let pod = labels.get("pod");
    let before: Vec<&str> = scheme.extra().iter().map(|label| labels.get(label)).collect();
    let slot = workloads_of(pod).find_map(|(kind, name)| {
        let mut values = before.clone();
        values.extend([labels.get("namespace"), kind, name]);
        members.by_key.get(&joined(&values)).copied()
    })?;
    Some(Place { slot, instance: Some(short(pod).into()) })
}

/// Names of instances end in cards and ledgers: no longer than a pod's may be.
fn short(name: &str) -> String {
    crate::collect::names::excerpt(name, 253)
}

/// Which workloads may own a pod of this name: `web-6d4b75cb6d-hx2vq` the Deployment `web`, `db-0` the StatefulSet `db`.
fn workloads_of(pod: &str) -> impl Iterator<Item = (&'static str, &str)> {
    let is_random = |part: &str| part.chars().all(|c| RANDOM.contains(c));
    let deployment = pod.rsplit_once('-').filter(|(_, end)| end.len() == 5 && is_random(end)).and_then(|(set, _)| {
        let (name, hash) = set.rsplit_once('-')?;
        ((5..=10).contains(&hash.len()) && is_random(hash)).then_some(name)
    });
    let is_ordinal = |part: &str| !part.is_empty() && part.len() <= 6 && part.bytes().all(|b| b.is_ascii_digit());
    let statefulset = pod.rsplit_once('-').filter(|(_, end)| is_ordinal(end)).map(|(name, _)| name);
    deployment.map(|name| ("deployment", name)).into_iter().chain(statefulset.map(|name| ("statefulset", name)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::answer::{self, Sink};
    use super::super::templates;
    use super::*;

    fn scheme(family: &str, watch: Option<&str>, labels: &[(&str, &str)]) -> Result<(Scheme, Key), String> {
        let watch: Option<TargetId> = watch.map(|text| text.parse().unwrap());
        let families = match &watch {
            Some(target) if family.is_empty() => templates::of_target(target)?,
            _ => vec![templates::named(family)?],
        };
        let part = families[0].parts.last().unwrap();
        let labels: BTreeMap<String, String> = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Scheme::of(part, watch.as_ref(), labels.iter())
    }

    #[test]
    fn what_is_watched_says_how_its_series_are_told_apart() {
        let (pods, key) = scheme("", Some("k8s:prod/deployment/web"), &[("cluster", "east")]).unwrap();
        assert_eq!((pods.each_text().as_str(), pods.pods), ("cluster, namespace, pod", true));
        assert_eq!(pods.select(&[&key]), r#"cluster="east",namespace="prod",pod=~"(web)-.+", "#);
        let (mesh, key) = scheme("istio", Some("k8s:prod/deployment/web"), &[]).unwrap();
        assert_eq!(mesh.each_text(), "destination_workload_namespace, destination_workload, pod");
        assert_eq!(mesh.select(&[&key]), r#"destination_workload_namespace="prod",destination_workload="web", "#);
        let (backend, key) = scheme("", Some("haproxy:be_shop"), &[]).unwrap();
        assert_eq!((backend.each_text().as_str(), key.0), ("proxy, server", vec!["be_shop".to_owned()]));
        let (red, key) = scheme("http-red", None, &[("job", "shop"), ("env", "prod")]).unwrap();
        assert_eq!(
            (red.each_text().as_str(), red.select(&[&key])),
            ("env, job, instance", r#"env="prod",job="shop", "#.to_owned())
        );
        let (one, _) = scheme("node", None, &[("instance", "host:9100")]).unwrap();
        assert_eq!(one.each_text(), "instance");
        let (http_of_pods, _) = scheme("http-red", Some("k8s:prod/statefulset/db"), &[]).unwrap();
        assert!(http_of_pods.pods);
    }

    #[test]
    fn a_config_that_says_too_little_or_too_much_is_refused() {
        for (family, watch, labels, says) in [
            ("http-red", None, &[][..], "needs `labels`"),
            ("redis", Some("redis:cache"), &[], "needs `labels`"),
            ("istio", Some("k8s:prod/deployment/web"), &[("destination_workload", "x")], "what `watch` says already"),
            ("node", None, &[("a-b", "x")], "is no label"),
            ("node", None, &[("job", "")], "is empty"),
            ("", Some("k8s:web"), &[], "is not k8s:NAMESPACE"),
        ] {
            let error = scheme(family, watch, labels).unwrap_err();
            assert!(error.contains(says), "{error} should say {says}");
        }
    }

    #[test]
    fn a_pods_name_tells_its_owner() {
        let of = |pod| workloads_of(pod).collect::<Vec<_>>();
        assert_eq!(of("web-6d4b75cb6d-hx2vq"), [("deployment", "web")]);
        assert_eq!(of("web-api-6d4b75cb6d-hx2vq"), [("deployment", "web-api")]);
        assert_eq!(of("db-12"), [("statefulset", "db")]);
        for pod in ["web", "agent-hx2vq", "web-foo-hx2vq", "migrate-27984-abcde", "-", ""] {
            assert!(!of(pod).contains(&("deployment", "web")), "{pod}");
        }
    }

    #[test]
    fn what_is_noted_of_a_pod_wins_over_its_name() {
        struct Placed<'a>(&'a mut Places, &'a Scheme, &'a Members, Vec<Option<Place>>);
        impl Sink for Placed<'_> {
            fn series(&mut self, labels: &Labels<'_>, _: &[(f64, f64)]) {
                self.3.push(self.0.of(labels, self.1, self.2).cloned());
            }
        }
        let (scheme, key) = scheme("", Some("k8s:prod/deployment/web"), &[]).unwrap();
        let members = Members::only(&key);
        let mut places = Places::default();
        places.note_pod(&[], "prod", "web-6d4b75cb6d-aaaaa", Some(0));
        places.note_pod(&[], "prod", "web-6d4b75cb6d-hx2vq", None);
        let pods = ["web-6d4b75cb6d-aaaaa", "web-6d4b75cb6d-hx2vq", "web-6d4b75cb6d-zzzzz", "api-6d4b75cb6d-zzzzz"];
        let series: Vec<String> = pods
            .iter()
            .map(|pod| format!(r#"{{"metric":{{"pod":"{pod}","namespace":"prod"}},"value":[1,"1"]}}"#))
            .collect();
        let body = format!(r#"{{"status":"success","data":{{"result":[{}]}}}}"#, series.join(","));
        let mut placed = Placed(&mut places, &scheme, &members, Vec::new());
        answer::read(body.as_bytes(), 9, &mut placed).unwrap();
        let found: Vec<Option<String>> = placed
            .3
            .iter()
            .map(|place| place.as_ref().and_then(|p| p.instance.as_deref()).map(str::to_owned))
            .collect();
        assert_eq!(found, [Some(pods[0].to_owned()), None, Some(pods[2].to_owned()), None]);
    }
}

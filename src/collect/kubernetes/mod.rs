//! What a Kubernetes cluster says of a workload's pods: ready, pending, waiting, restarted, out of memory.
//!
//! A watch keeps the pods, so that a round costs no call. Must never hand on what the watch cannot vouch for any more: then
//! the read is an error. Called by the collector, once a round.

mod measure;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Gathered, KubernetesSourceSettings, Making, Source, SourceError, names};
use crate::platform::kubernetes::{Api, Kind, PODS, Place, Pod, Reflector, Scope, Workload};
use measure::{Before, measure, spec};

/// More pods than any one service of which a person could read a card.
const MOST_PODS: usize = 2000;

/// The pods of one workload: one source of a service.
#[derive(Debug)]
pub struct KubernetesSource {
    name: String,
    settings: KubernetesSourceSettings,
    place: Place,
    api: Api,
    /// Made with the first read, for nothing is to run before.
    workload: Option<Reflector<Workload>>,
    /// With the selector that it follows.
    pods: Option<(String, Reflector<Pod>)>,
    before: Before,
}

impl KubernetesSource {
    /// A source with these settings. Nothing is connected yet.
    ///
    /// # Errors
    /// When the target is no workload, or its cluster is not in the config.
    pub fn new(settings: &KubernetesSourceSettings, making: &Making) -> Result<Self, SourceError> {
        let name = format!("kubernetes {}", settings.watch.name());
        let wrong = |why: String| SourceError { source_name: name.clone(), why };
        if settings.watch.kind() != "k8s" {
            return Err(wrong(format!(
                "{} is no target in Kubernetes: write `k8s:prod/deployment/web`",
                settings.watch
            )));
        }
        let place = Place::of(&settings.watch).map_err(wrong)?;
        if !matches!(place.kind, Kind::Deployment | Kind::StatefulSet) {
            return Err(wrong(format!("a {} has no pods: watch a deployment or a statefulset", place.kind.name())));
        }
        let api = making.pool.clusters.api(place.cluster.as_deref()).map_err(wrong)?;
        let (workload, pods, before) = (None, None, Before::default());
        Ok(Self { name, settings: settings.clone(), place, api, workload, pods, before })
    }

    fn scope(&self, resource: &'static crate::platform::kubernetes::Resource, most: usize) -> Scope {
        Scope { resource, namespace: self.place.namespace.clone(), labels: None, fields: None, most }
    }

    async fn workload(&mut self) -> Result<Workload, String> {
        let fields = Some(format!("metadata.name={}", self.place.name));
        let scope = Scope { fields, ..self.scope(self.place.kind.resource(), 1) };
        let reflector = self.workload.get_or_insert_with(|| Reflector::start(self.api.clone(), scope));
        reflector.begun().await;
        let workload = reflector.look(|objects| objects.values().next().cloned())?;
        workload.ok_or_else(|| format!("{} does not exist in {}", self.place.in_words(), self.place.namespace()))
    }

    /// Follows the pods that the workload selects, from now on if it has not yet.
    async fn follow_pods(&mut self, workload: &Workload) -> Result<(), String> {
        let selector = workload.spec.selector.query();
        let selector = selector.ok_or_else(|| format!("{} selects no pods by label", self.place.in_words()))?;
        if self.pods.as_ref().is_none_or(|(followed, _)| *followed != selector) {
            let scope = Scope { labels: Some(selector.clone()), ..self.scope(&PODS, MOST_PODS) };
            self.pods = Some((selector, Reflector::start(self.api.clone(), scope)));
        }
        if let Some((_, pods)) = &mut self.pods {
            pods.begun().await;
        }
        Ok(())
    }

    async fn gather(&mut self) -> Result<Gathered, String> {
        let workload = self.workload().await?;
        self.follow_pods(&workload).await?;
        // From here on nothing waits: a read that is cut off has not taken note of anything.
        let Some((_, pods)) = &self.pods else { return Err("its pods are not followed yet".to_owned()) };
        let (place, before) = (&self.place, &mut self.before);
        let mut gathered = pods.look(|pods| measure(place, &workload, pods.values(), before, Instant::now()))?;
        for metric in gathered.values.keys().cloned().collect::<Vec<_>>() {
            let spec = names::with_settings(spec(&metric), self.settings.metric.get(&metric));
            gathered.specs.insert(metric, spec);
        }
        Ok(gathered)
    }
}

#[async_trait]
impl Source for KubernetesSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read(&mut self) -> Result<Gathered, SourceError> {
        self.gather().await.map_err(|why| SourceError { source_name: self.name.clone(), why })
    }

    fn complaints(&self) -> Vec<String> {
        let unknown = self.settings.metric.keys().filter(|metric| !measure::METRICS.contains(&metric.as_str()));
        unknown
            .map(|metric| {
                format!("metric `{metric}`: there is no such metric; there are {}", measure::METRICS.join(", "))
            })
            .collect()
    }
}

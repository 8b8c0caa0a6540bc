//! Discovery: which Deployments and StatefulSets there are, now and as they come and go.
//!
//! Called by who turns `k8s:prod/*` into services.

use std::collections::BTreeSet;

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::call::Api;
use super::reflect::{Reflector, Scope};
use super::{Clusters, Meta};
use crate::model::TargetId;
use crate::platform::place::{Kind, is_name};

/// More than one Suture can watch.
const MOST: usize = 20_000;
const KINDS: [Kind; 2] = [Kind::Deployment, Kind::StatefulSet];

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Named {
    metadata: Meta,
}

/// The set of workloads, each time it has changed. What follows it ends when this is dropped.
#[derive(Debug)]
pub struct WatchedWorkloads {
    /// The whole set, first as it is and then after each change. Full: the next one waits, and is then the newest.
    pub sets: mpsc::Receiver<BTreeSet<TargetId>>,
    _task: AbortOnDropHandle<()>,
}

/// Follows the Deployments and StatefulSets of a namespace (or of all) with these labels. While the cluster cannot be
/// reached, the last set stands.
///
/// # Errors
/// In words, when there is no such cluster or the namespace is none.
pub fn watch_workloads(
    clusters: &Clusters,
    cluster: Option<&str>,
    namespace: Option<&str>,
    labels: Option<&str>,
) -> Result<WatchedWorkloads, String> {
    let api = clusters.api(cluster)?;
    namespace.map_or(Ok(()), check)?;
    // full: the set waits, and by then is the newest; it is a state, not an event.
    let (sender, sets) = mpsc::channel(1);
    let (cluster, namespace) = (cluster.map(str::to_owned), namespace.map(str::to_owned));
    let task = tokio::spawn(follow(api, cluster, namespace, labels.map(str::to_owned), sender));
    Ok(WatchedWorkloads { sets, _task: AbortOnDropHandle::new(task) })
}

async fn follow(
    api: Api,
    cluster: Option<String>,
    namespace: Option<String>,
    labels: Option<String>,
    sender: mpsc::Sender<BTreeSet<TargetId>>,
) {
    let [mut first, mut second] = KINDS.map(|kind| {
        let (namespace, labels) = (namespace.clone(), labels.clone());
        let scope = Scope { resource: kind.resource(), namespace, labels, fields: None, most: MOST };
        Reflector::<Named>::start(api.clone(), scope)
    });
    let mut last: Option<BTreeSet<TargetId>> = None;
    loop {
        let look = |kind: Kind, of: &Reflector<Named>| {
            of.look(|objects| {
                let found = objects.values().filter_map(|named| id(cluster.as_deref(), kind, &named.metadata));
                found.collect::<Vec<_>>()
            })
        };
        if let (Ok(deployments), Ok(sets)) = (look(Kind::Deployment, &first), look(Kind::StatefulSet, &second)) {
            let now: BTreeSet<TargetId> = deployments.into_iter().chain(sets).collect();
            if last.as_ref() != Some(&now) {
                if sender.send(now.clone()).await.is_err() {
                    return;
                }
                last = Some(now);
                // While it waited to be taken there may have been another change: look once more.
                continue;
            }
        }
        tokio::select! {
            () = first.changed() => {}
            () = second.changed() => {}
            () = sender.closed() => return,
        }
    }
}

fn check(namespace: &str) -> Result<(), String> {
    if is_name(namespace) { Ok(()) } else { Err(format!("`{namespace}` is not the name of a namespace")) }
}

fn id(cluster: Option<&str>, kind: Kind, meta: &Meta) -> Option<TargetId> {
    let place = format!("{}/{}/{}", meta.namespace, kind.word(), meta.name);
    match cluster {
        Some(cluster) => format!("k8s:{cluster}/{place}").parse().ok(),
        None => format!("k8s:{place}").parse().ok(),
    }
}

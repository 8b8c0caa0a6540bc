//! The task that keeps found services: what a cluster has by a `[[discover]]` table is watched as long as it is there.
//!
//! Never touches a service that stands in the file. A model and what was learned stay with a service's name, so one that comes
//! back goes on where it was. Only this task changes the config that is in force.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::watch::Watcher;
use super::{Shared, build};
use crate::config::{Config, DiscoverSettings, Found, ServiceConfig};
use crate::engine::Roster;
use crate::incident::Input;
use crate::model::{Fact, ServiceId};
use crate::platform::kubernetes::{Clusters, watch_workloads};
use crate::supervise::{Supervisor, drained};

/// Changes are taken together: a release creates and deletes many things within a moment.
const TOGETHER: Duration = Duration::from_secs(2);

/// How long it takes until a cluster that could not be watched is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// How long the watcher of a service that is gone may take to end.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Makes what watches a service.
pub(super) type MakeWatcher = Arc<dyn Fn(&ServiceConfig) -> Watcher + Send + Sync>;

/// What the task works with.
#[derive(Clone)]
pub(super) struct Discovery {
    pub shared: Arc<Shared>,
    /// The config as the file has it.
    pub file: Arc<Config>,
    pub clusters: Clusters,
    pub roster: Arc<Roster>,
    pub watcher: MakeWatcher,
}

impl Discovery {
    /// Keeps the services until the drain.
    pub(super) async fn run(self, mut drain: watch::Receiver<bool>) -> Result<(), String> {
        // full: the watch waits; it hands on whole sets, so nothing is lost.
        let (tell, mut told) = mpsc::channel::<(usize, BTreeSet<Found>)>(16);
        let mut watches = JoinSet::new();
        for (index, settings) in self.file.discover.iter().cloned().enumerate() {
            watches.spawn(keep_looking(self.clusters.clone(), index, settings, tell.clone()));
        }
        // What was there before is there until its cluster says something else: that may be away just now.
        let mut found: BTreeMap<usize, BTreeSet<Found>> = BTreeMap::new();
        for (index, workload) in self.file.found_before(&self.shared.engine.state().found) {
            found.entry(index).or_default().insert(workload);
        }
        let mut watched = Watched::default();
        loop {
            self.take(&found, &mut watched).await;
            tokio::select! {
                Some((index, set)) = told.recv() => { found.insert(index, set); }
                Some(ended) = watches.join_next() => return Err(format!("the watch of a cluster ended: {ended:?}")),
                () = drained(&mut drain) => break,
            }
            tokio::time::sleep(TOGETHER).await;
            while let Ok((index, set)) = told.try_recv() {
                found.insert(index, set);
            }
        }
        watched.end_all().await;
        Ok(())
    }

    /// Has exactly these watched.
    async fn take(&self, found: &BTreeMap<usize, BTreeSet<Found>>, watched: &mut Watched) {
        let list: Vec<_> = found.iter().flat_map(|(i, set)| set.iter().map(|found| (*i, found.clone()))).collect();
        let (config, left_out) = match self.file.with_found(&list) {
            Ok(made) => made,
            Err(errors) => {
                let why = errors.problems().first().map(|p| p.message.clone()).unwrap_or_default();
                tracing::error!(why, "the services that were found could not be read: those known before stay");
                self.shared.outbox.say("discovery", &format!("services that were found cannot be watched: {why}"));
                return;
            }
        };
        for (name, workload) in left_out {
            tracing::warn!(
                name,
                namespace = workload.namespace,
                "a workload that was found has the name of another service and is left out: give `name` in [[discover]] \
                 more of the workload's, like \"{{namespace}}-{{name}}\""
            );
        }
        let in_file: BTreeSet<_> = self.file.services.iter().map(|s| &s.name).collect();
        let now: Vec<_> = config.services.iter().filter(|s| !in_file.contains(&s.name)).cloned().collect();
        // First what is decided by, then who is watched: no reading comes in for a service that nobody knows.
        self.roster.set(build::targets_of(&config));
        self.shared.engine.set_policies(build::policies_of(&config));
        self.shared.live.set(Arc::new(config));
        let known = self.shared.engine.state();
        for service in &now {
            if watched.0.contains_key(&service.name) {
                continue;
            }
            if known.found.get(&service.name) != Some(&service.targets) {
                let fact = Fact::ServiceFound { targets: service.targets.clone() };
                self.record(&service.name, self.shared.engine.note(Some(&service.name), None, fact).await);
            }
            watched.begin((self.watcher)(service));
        }
        let is_there = |name: &ServiceId| now.iter().any(|service| service.name == *name);
        for name in
            known.found.keys().chain(watched.0.keys()).filter(|name| !is_there(name)).cloned().collect::<BTreeSet<_>>()
        {
            watched.end(&name).await;
            // One that was found before may have been written into the file since.
            if !in_file.contains(&name) {
                self.record(&name, self.shared.engine.submit(Input::Gone { service: name.clone() }).await);
                self.shared.board.forget(&name);
            }
        }
    }

    fn record<T, E: std::fmt::Display>(&self, name: &ServiceId, recorded: Result<T, E>) {
        if let Err(error) = recorded {
            tracing::error!(service = %name, %error, "that a service was found, or is gone, could not be recorded");
        }
    }
}

/// Watches what one table is about, for ever.
async fn keep_looking(
    clusters: Clusters,
    index: usize,
    settings: DiscoverSettings,
    tell: mpsc::Sender<(usize, BTreeSet<Found>)>,
) {
    let namespace = Some(settings.namespace.as_str()).filter(|namespace| *namespace != "*");
    loop {
        match watch_workloads(&clusters, settings.cluster.as_deref(), namespace, Some(&settings.selector)) {
            Ok(mut watched) => {
                while let Some(set) = watched.sets.recv().await {
                    if tell.send((index, set.iter().filter_map(Found::of).collect())).await.is_err() {
                        return;
                    }
                }
            }
            Err(why) => {
                let cluster = settings.cluster.as_deref().unwrap_or_default();
                tracing::warn!(cluster, why, "a cluster cannot be watched for services: those known stay");
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The watchers of found services, each with its own end.
#[derive(Default)]
struct Watched(BTreeMap<ServiceId, Kept>);

struct Kept {
    /// Dropped, it ends the task as well.
    end: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Watched {
    fn begin(&mut self, watcher: Watcher) {
        let name = watcher.service.name.clone();
        let (end, mut ended) = watch::channel(false);
        let service = name.clone();
        let task = tokio::spawn(async move {
            // One service that cannot be watched is no reason to end the daemon: it is tried again.
            while !*ended.borrow() && ended.has_changed().is_ok() {
                let mut supervisor = Supervisor::default();
                let (watcher, drain) = (watcher.clone(), supervisor.drain_signal());
                supervisor.keep(&format!("watch-{service}"), move || watcher.clone().run(drain.clone()));
                tokio::select! {
                    Err(given_up) = supervisor.watch() => {
                        tracing::error!(%given_up, "a found service is not watched for now");
                        tokio::select! {
                            () = tokio::time::sleep(AGAIN) => {}
                            () = drained(&mut ended) => {}
                        }
                    }
                    () = drained(&mut ended) => {
                        supervisor.drain(END_WITHIN).await;
                    }
                }
            }
        });
        self.0.insert(name, Kept { end, task });
    }

    async fn end(&mut self, name: &ServiceId) {
        let Some(kept) = self.0.remove(name) else { return };
        kept.end.send_replace(true);
        if let Err(error) = kept.task.await {
            tracing::error!(service = %name, %error, "the watcher of a service that is gone panicked");
        }
    }

    async fn end_all(&mut self) {
        for kept in self.0.values() {
            kept.end.send_replace(true);
        }
        for (name, kept) in std::mem::take(&mut self.0) {
            if let Err(error) = kept.task.await {
                tracing::error!(service = %name, %error, "the watcher of a service panicked");
            }
        }
    }
}

//! The life of pods: placed on a node, started, ready, ended; and what keeps them from it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::chaos_mesh::ChaosPlay;
use super::store::{self, Key, State, past};
use super::{FakeCluster, kinds, objects};

/// Why a pod does not become ready.
#[derive(Clone, Debug, PartialEq)]
pub enum Hang {
    /// Its image cannot be pulled: ErrImagePull, then ImagePullBackOff.
    ImagePull,
    /// Its container ends again and again: CrashLoopBackOff.
    CrashLoop,
    /// Something that its container needs is not there: CreateContainerConfigError, with this message.
    Config(String),
    /// No node fits, with this message.
    Unschedulable(String),
    /// It runs, and its readiness probe fails.
    NotReady,
    /// It is not even made: a quota, with this message. For workloads, not for single pods.
    Quota(String),
}

/// What one pod went through.
#[derive(Clone, Debug)]
pub struct Life {
    /// Since when it works towards being ready; its hang ended then, or its container began again.
    since: Instant,
    hang: Option<Hang>,
    restarts: u64,
    last_state: Option<Value>,
    /// When its container began, in epoch seconds.
    started: Option<i64>,
    ending: Option<Instant>,
}

/// How the cluster plays.
pub struct Play {
    pub pace: Duration,
    pub grace: Option<Duration>,
    pub frozen: bool,
    /// By namespace and workload.
    pub hangs: BTreeMap<(String, String), Hang>,
    /// By uid.
    pub lives: BTreeMap<String, Life>,
    /// What an autoscaler would like, by namespace and name.
    pub loads: BTreeMap<(String, String), i64>,
    /// When a container of this namespace and pod name began last: two never begin in the same second, as on real nodes.
    began: BTreeMap<(String, String), i64>,
    addresses: u32,
    pub chaos: ChaosPlay,
    /// Since when a Deployment makes no progress, by uid: the moment and what its progress was.
    pub progress: BTreeMap<String, (Instant, String)>,
}

impl Default for Play {
    fn default() -> Self {
        Self {
            pace: Duration::from_millis(30),
            grace: None,
            frozen: false,
            hangs: BTreeMap::new(),
            lives: BTreeMap::new(),
            loads: BTreeMap::new(),
            began: BTreeMap::new(),
            addresses: 0,
            chaos: ChaosPlay::default(),
            progress: BTreeMap::new(),
        }
    }
}

impl Play {
    /// Now, as the API writes it.
    pub fn now(&self) -> String {
        store::stamp(jiff::Timestamp::now().as_second())
    }

    fn begin(&mut self, key: &Key) -> i64 {
        let now = jiff::Timestamp::now().as_second();
        let last = self.began.entry((key.namespace.clone(), key.name.clone())).or_insert(0);
        *last = now.max(*last + 1);
        *last
    }

    fn address(&mut self) -> String {
        self.addresses += 1;
        format!("10.244.{}.{}", self.addresses / 250, self.addresses % 250 + 1)
    }
}

impl FakeCluster {
    /// How long a pod takes to become ready, and, unless [`FakeCluster::grace`] says otherwise, to end.
    pub fn pace(&self, pace: Duration) {
        self.change(|state| state.play.pace = pace);
    }

    /// How long a pod takes to end.
    pub fn grace(&self, grace: Duration) {
        self.change(|state| state.play.grace = Some(grace));
    }

    /// Keeps the workload's pods that are made from now on from becoming ready.
    pub fn hang(&self, namespace: &str, workload: &str, hang: Hang) {
        self.change(|state| drop(state.play.hangs.insert((namespace.to_owned(), workload.to_owned()), hang)));
    }

    /// Ends it, also for the pods that hang.
    pub fn unhang(&self, namespace: &str, workload: &str) {
        self.change(|state| {
            state.play.hangs.remove(&(namespace.to_owned(), workload.to_owned()));
            let hung: Vec<String> = state
                .list(kinds::POD, Some(namespace))
                .filter(|(key, pod)| workload_of(state, key, pod) == workload)
                .filter_map(|(_, pod)| pod["metadata"]["uid"].as_str().map(str::to_owned))
                .collect();
            for uid in hung {
                if let Some(life) = state.play.lives.get_mut(&uid).filter(|life| life.hang.is_some()) {
                    life.hang = None;
                    life.since = Instant::now();
                }
            }
        });
    }

    /// Makes one pod ill, or well again.
    ///
    /// # Panics
    /// When there is no such pod.
    pub fn hang_pod(&self, namespace: &str, pod: &str, hang: Option<Hang>) {
        self.with_life(namespace, pod, |life, _| {
            life.hang = hang;
            life.since = Instant::now();
        });
    }

    /// A container ends with this reason (`OOMKilled`, `Error`) and begins again: the pod is not ready for a while.
    ///
    /// # Panics
    /// When there is no such pod.
    pub fn restart_container(&self, namespace: &str, pod: &str, reason: &str) {
        self.with_life(namespace, pod, |life, began| {
            life.fail(reason);
            life.started = Some(began);
            life.since = Instant::now();
        });
    }

    fn with_life(&self, namespace: &str, pod: &str, change: impl FnOnce(&mut Life, i64)) {
        self.change(|state| {
            let key = Key::new(kinds::POD, namespace, pod);
            let object = state.get(&key).unwrap_or_else(|| panic!("no pod {namespace}/{pod}"));
            let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
            let began = state.play.begin(&key);
            let life = state.play.lives.entry(uid).or_insert_with(|| Life::new(None));
            change(life, began);
        });
    }

    /// Stops all controllers and kubelets, as when the control plane's managers are away, or lets them work again.
    pub fn freeze(&self, frozen: bool) {
        self.change(|state| state.play.frozen = frozen);
    }

    /// What an autoscaler measures that it needs; nothing leaves the workload as it is, within the bounds.
    pub fn load(&self, namespace: &str, autoscaler: &str, wanted: Option<u32>) {
        let key = (namespace.to_owned(), autoscaler.to_owned());
        self.change(|state| match wanted {
            Some(wanted) => drop(state.play.loads.insert(key, i64::from(wanted))),
            None => drop(state.play.loads.remove(&key)),
        });
    }
}

impl Life {
    fn new(hang: Option<Hang>) -> Self {
        Self { since: Instant::now(), hang, restarts: 0, last_state: None, started: None, ending: None }
    }

    /// Its container ended like this.
    fn fail(&mut self, reason: &str) {
        let now = jiff::Timestamp::now().as_second();
        self.restarts += 1;
        self.last_state = Some(json!({"terminated": {
            "exitCode": if reason == "OOMKilled" { 137 } else { 1 }, "reason": reason,
            "startedAt": store::stamp(self.started.unwrap_or(now)), "finishedAt": store::stamp(now),
            "containerID": format!("containerd://{:064x}", self.restarts),
        }}));
    }
}

/// The container of a pod ends, and begins again.
pub fn kill_container(state: &mut State, key: &Key) {
    change_life(state, key, |life, began| {
        life.fail("Error");
        life.started = Some(began);
        life.since = Instant::now();
    });
}

/// The container of a pod does nothing any more, or works again.
pub fn fail_pod(state: &mut State, key: &Key, fails: bool) {
    change_life(state, key, |life, _| {
        life.hang = fails.then_some(Hang::NotReady);
        life.since = Instant::now();
    });
}

fn change_life(state: &mut State, key: &Key, change: impl FnOnce(&mut Life, i64)) {
    let Some(uid) = state.get(key).and_then(|pod| pod["metadata"]["uid"].as_str().map(str::to_owned)) else { return };
    let began = state.play.begin(key);
    change(state.play.lives.entry(uid).or_insert_with(|| Life::new(None)), began);
}

/// The workload that a pod belongs to: its owner, or its owner's owner; itself when it has none.
fn workload_of(state: &State, key: &Key, pod: &Value) -> String {
    let Some((kind, name)) = owner(pod) else { return key.name.clone() };
    if kind != "ReplicaSet" {
        return name;
    }
    let set = state.get(&Key::new(kinds::REPLICA_SET, &key.namespace, &name));
    set.and_then(owner).map_or(name, |(_, name)| name)
}

fn owner(object: &Value) -> Option<(String, String)> {
    let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
    let owner = owners.iter().find(|owner| owner["controller"] == true)?;
    Some((owner["kind"].as_str()?.to_owned(), owner["name"].as_str()?.to_owned()))
}

/// One look at every pod by the scheduler and the kubelets.
pub fn step(state: &mut State) {
    let keys: Vec<Key> = state.list(kinds::POD, None).map(|(key, _)| key.clone()).collect();
    let nodes = Nodes::of(state);
    let mut alive = std::collections::BTreeSet::new();
    for key in keys {
        let Some(pod) = state.get(&key) else { continue };
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        alive.insert(uid.clone());
        if !state.play.lives.contains_key(&uid) {
            let workload = workload_of(state, &key, pod);
            let hang = state.play.hangs.get(&(key.namespace.clone(), workload)).cloned();
            state.play.lives.insert(uid.clone(), Life::new(hang));
        }
        one(state, &key, &uid, &nodes);
    }
    state.play.lives.retain(|uid, _| alive.contains(uid));
}

/// The nodes that take pods, and why none does.
struct Nodes {
    open: Vec<String>,
    none: String,
}

impl Nodes {
    fn of(state: &State) -> Self {
        let (mut open, mut cordoned, mut unready) = (Vec::new(), 0, 0);
        for (key, node) in state.list(kinds::NODE, None) {
            if node.pointer("/spec/unschedulable") == Some(&json!(true)) {
                cordoned += 1;
            } else if !objects::condition(node, "Ready") {
                unready += 1;
            } else {
                open.push(key.name.clone());
            }
        }
        let all = open.len() + cordoned + unready;
        let mut none = format!("0/{all} nodes are available:");
        if cordoned > 0 {
            none.push_str(&format!(" {cordoned} node(s) were unschedulable"));
        }
        if unready > 0 {
            none.push_str(&format!(" {unready} node(s) had untolerated taint {{node.kubernetes.io/not-ready: }}"));
        }
        none.push('.');
        Self { open, none }
    }
}

fn one(state: &mut State, key: &Key, uid: &str, nodes: &Nodes) {
    let Some(pod) = state.get(key).cloned() else { return };
    let Some(mut life) = state.play.lives.get(uid).cloned() else { return };
    let pace = state.play.pace;
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        let since = *life.ending.get_or_insert_with(Instant::now);
        let grace = if pod.pointer("/metadata/deletionGracePeriodSeconds") == Some(&json!(0)) {
            Duration::ZERO
        } else {
            state.play.grace.unwrap_or(pace)
        };
        let held = pod.pointer("/metadata/finalizers").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
        state.play.lives.insert(uid.to_owned(), life);
        if past(since, grace) && !held {
            state.remove(key);
        }
        return;
    }
    let placed = pod.pointer("/spec/nodeName").and_then(Value::as_str).map(str::to_owned);
    let refused = match &life.hang {
        Some(Hang::Unschedulable(message)) if placed.is_none() => Some(message.clone()),
        _ if placed.is_none() && nodes.open.is_empty() => Some(nodes.none.clone()),
        _ => None,
    };
    if let Some(message) = refused {
        state.play.lives.insert(uid.to_owned(), life);
        let now = state.play.now();
        state.touch(key, |pod| {
            pod["status"]["phase"] = json!("Pending");
            set_condition(pod, "PodScheduled", false, "Unschedulable", &message, &now);
        });
        return;
    }
    let node = placed.unwrap_or_else(|| {
        life.since = Instant::now();
        let turn = state.play.addresses as usize % nodes.open.len();
        nodes.open[turn].clone()
    });
    let due = past(life.since, pace);
    if due && life.hang == Some(Hang::CrashLoop) && (life.restarts == 0 || past(life.since, pace * 4)) {
        life.started.get_or_insert_with(|| jiff::Timestamp::now().as_second());
        life.fail("Error");
        life.since = Instant::now();
    }
    let runs = match life.hang {
        None | Some(Hang::NotReady | Hang::Quota(_) | Hang::Unschedulable(_)) => due || life.started.is_some(),
        Some(_) => false,
    };
    if runs && life.started.is_none() {
        life.started = Some(state.play.begin(key));
    }
    let ready = due && matches!(life.hang, None | Some(Hang::Quota(_) | Hang::Unschedulable(_)));
    let address = match pod.pointer("/status/podIP").and_then(Value::as_str) {
        Some(address) => address.to_owned(),
        None => state.play.address(),
    };
    let now = state.play.now();
    let began = pod.pointer("/status/startTime").and_then(Value::as_str).unwrap_or(&now).to_owned();
    let statuses = containers(&pod, &life, runs, ready, due);
    state.touch(key, |pod| {
        pod["spec"]["nodeName"] = json!(node);
        let status = &mut pod["status"];
        status["phase"] = json!(if runs || life.restarts > 0 { "Running" } else { "Pending" });
        status["podIP"] = json!(address);
        status["podIPs"] = json!([{"ip": address}]);
        status["hostIP"] = json!("127.0.0.1");
        status["qosClass"] = json!("BestEffort");
        status["startTime"] = json!(began);
        status["containerStatuses"] = statuses;
        set_condition(pod, "PodScheduled", true, "", "", &now);
        set_condition(pod, "Initialized", true, "", "", &now);
        let names: Vec<&str> =
            pod["spec"]["containers"].as_array().into_iter().flatten().filter_map(|c| c["name"].as_str()).collect();
        let message =
            if ready { String::new() } else { format!("containers with unready status: [{}]", names.join(" ")) };
        let reason = if ready { "" } else { "ContainersNotReady" };
        set_condition(pod, "ContainersReady", ready, reason, &message, &now);
        set_condition(pod, "Ready", ready, reason, &message, &now);
    });
    state.play.lives.insert(uid.to_owned(), life);
}

fn containers(pod: &Value, life: &Life, runs: bool, ready: bool, due: bool) -> Value {
    let containers = pod["spec"]["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let statuses = containers.iter().enumerate().map(|(n, container)| {
        let image = container["image"].as_str().unwrap_or_default();
        let name = container["name"].as_str().unwrap_or_default();
        let waiting = |reason: &str, message: String| json!({"waiting": {"reason": reason, "message": message}});
        let state = match &life.hang {
            _ if runs => json!({"running": {"startedAt": store::stamp(life.started.unwrap_or_default())}}),
            Some(Hang::ImagePull) if due => waiting("ImagePullBackOff", format!("Back-off pulling image \"{image}\": ErrImagePull: failed to resolve reference \"{image}\": not found")),
            Some(Hang::ImagePull) => waiting("ErrImagePull", format!("failed to pull and unpack image \"{image}\": not found")),
            Some(Hang::CrashLoop) if life.restarts > 0 => waiting("CrashLoopBackOff", format!("back-off 10s restarting failed container={name} pod={}", pod["metadata"]["name"].as_str().unwrap_or_default())),
            Some(Hang::Config(message)) => waiting("CreateContainerConfigError", message.clone()),
            _ => json!({"waiting": {"reason": "ContainerCreating"}}),
        };
        let first = n == 0;
        json!({
            "name": name, "image": image, "imageID": if runs { format!("{image}@sha256:{:064x}", 1) } else { String::new() },
            "ready": ready, "started": runs,
            "restartCount": if first { life.restarts } else { 0 },
            "state": state,
            "lastState": life.last_state.clone().filter(|_| first).unwrap_or_else(|| json!({})),
        })
    });
    statuses.collect::<Vec<_>>().into()
}

/// Sets a condition; the moment of its last change moves only when its status does.
pub fn set_condition(object: &mut Value, kind: &str, status: bool, reason: &str, message: &str, now: &str) {
    if !object["status"]["conditions"].is_array() {
        object["status"]["conditions"] = json!([]);
    }
    let Some(conditions) = object["status"]["conditions"].as_array_mut() else { return };
    let status = if status { "True" } else { "False" };
    let old = conditions.iter().position(|one| one["type"] == kind);
    let since = old
        .filter(|at| conditions[*at]["status"] == status)
        .and_then(|at| conditions[at]["lastTransitionTime"].as_str().map(str::to_owned))
        .unwrap_or_else(|| now.to_owned());
    let mut condition = json!({"type": kind, "status": status, "lastTransitionTime": since});
    for (field, text) in [("reason", reason), ("message", message)] {
        if !text.is_empty() {
            condition[field] = json!(text);
        }
    }
    match old {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
}

//! A stateful fake of a Kubernetes cluster: a real HTTPS server on this machine with the API, the access rules and the
//! controllers that a healer meets, written from kubernetes.io's API reference and "API Concepts".
//!
//! Objects stand under one counter of versions, writes conflict, rollouts take time and can hang
//! ([`FakeCluster::pace`], [`FakeCluster::hang`]), people have tokens and rights ([`FakeCluster::user`]), and there is
//! weather ([`FakeCluster::fault`], [`FakeCluster::down`], ..). [`FakeCluster::refused`] lists every request that could
//! never be right on a real cluster; a test of a healthy client ends by asserting that it is empty.
//!
//! It runs on a thread of its own, so that tests may block and clocks may be paused. It stops when it is dropped.
//! Not served: server-side apply (415), protobuf, tables, webhooks, logs and exec.

mod access;
mod chaos_mesh;
mod check;
mod controllers;
mod eviction;
mod kinds;
mod life;
mod objects;
mod patch;
mod place;
mod refusal;
mod review;
mod scale;
mod selector;
mod serve;
mod store;
mod tls;
mod values;
mod verbs;
mod watch;
mod weather;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch as channel};

pub use access::{ADMIN, ADMIN_TOKEN, Account};
pub use life::Hang;
pub use weather::{Fault, Trouble};

use store::{Key, Part, State};

/// Far longer than anything takes that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A request as the cluster saw it.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// As RBAC calls it: get, list, watch, create, update, patch, delete, deletecollection.
    pub verb: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    /// Nobody for a token that is not known.
    pub user: Option<String>,
    pub content_type: String,
    /// Null for one without a body.
    pub body: Value,
    /// What it was answered with; 0 for one that got no answer.
    pub status: u16,
}

/// What the server, the controllers and the test share.
struct Shared {
    state: Mutex<State>,
    /// Told of every change, of any kind.
    changed: channel::Sender<u64>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A test that failed in the middle of a change should not take the others' words away.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.send_modify(|count| *count += 1);
        result
    }
}

/// The fake. It stops when it is dropped.
pub struct FakeCluster {
    shared: Arc<Shared>,
    address: SocketAddr,
    ca_pem: String,
    /// Ends the server when dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for FakeCluster {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl FakeCluster {
    /// Starts it on a free port of this machine, with the namespaces `default` and `kube-system` and two nodes.
    ///
    /// # Panics
    /// When there is no free port.
    #[allow(clippy::unused_async, reason = "as the other fakes are started")]
    pub async fn start() -> Self {
        Self::begin()
    }

    /// The same for a test that is not asynchronous.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn begin() -> Self {
        let identity = tls::identity();
        let shared = Arc::new(Shared { state: Mutex::new(State::new()), changed: channel::Sender::new(0) });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let (server, controllers) = (Arc::clone(&shared), Arc::clone(&shared));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    () = serve::run(listener, identity.server, server) => {}
                    () = controllers::run(controllers) => {}
                    _ = stopped => {}
                }
            });
        });
        let cluster = Self { shared, address, ca_pem: identity.ca_pem, stop: Some(stop), thread: Some(thread) };
        for namespace in ["default", "kube-system"] {
            cluster.put(&objects::namespace(namespace));
        }
        for node in ["node-1", "node-2"] {
            cluster.put(&objects::node(node));
        }
        cluster
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.shared.read(look)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        self.shared.change(change)
    }

    /// `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The certificate authority that signed the server's certificate.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Writes a kubeconfig with this bearer token in it, and the authority beside it.
    pub fn kubeconfig(&self, folder: &Path, token: &str) -> PathBuf {
        self.write_config(folder, "kubeconfig", &format!("token: {token}"))
    }

    /// The same with a token that is read from a file, again and again.
    pub fn kubeconfig_with_token_file(&self, folder: &Path, file: &Path) -> PathBuf {
        self.write_config(folder, "kubeconfig-token-file", &format!("tokenFile: {}", file.display()))
    }

    fn write_config(&self, folder: &Path, name: &str, user: &str) -> PathBuf {
        let ca = folder.join("ca.pem");
        std::fs::write(&ca, &self.ca_pem).expect("a folder that can be written to");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters:\n- name: test\n  cluster:\n    server: {}\n    certificate-authority: {}\n\
             users:\n- name: test\n  user:\n    {user}\n\
             contexts:\n- name: test\n  context:\n    cluster: test\n    user: test\n    namespace: default\n",
            self.url(),
            ca.display()
        );
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a folder that can be written to");
        path
    }

    /// Makes or replaces an object as an administrator would, its namespace with it; a status in it is taken over.
    ///
    /// # Panics
    /// When the API would refuse it.
    pub fn put(&self, object: &Value) -> Value {
        self.change(|state| put(state, object))
    }

    /// The object at an API path such as `/apis/apps/v1/namespaces/prod/deployments/web`.
    ///
    /// # Panics
    /// When there is none.
    pub fn get(&self, path: &str) -> Value {
        self.find(path).unwrap_or_else(|| panic!("no object is at {path}"))
    }

    /// The same, or nothing.
    pub fn find(&self, path: &str) -> Option<Value> {
        self.read(|state| state.get(&key(state, path)).cloned())
    }

    /// All objects of a collection's path, such as `/api/v1/namespaces/prod/pods` or `/api/v1/pods`.
    pub fn list(&self, path: &str) -> Vec<Value> {
        self.read(|state| {
            let place = place::parse(state, path).unwrap_or_else(|_| panic!("nothing can be at {path}"));
            let namespace = (!place.namespace.is_empty()).then_some(place.namespace.as_str());
            state.list(place.kind.id, namespace).map(|(_, object)| object.clone()).collect()
        })
    }

    /// Somebody else changes an object, by a merge patch.
    ///
    /// # Panics
    /// When there is no such object, or the API would refuse the change.
    pub fn patch(&self, path: &str, patch: &Value) -> Value {
        self.change(|state| weather::meanwhile(state, path, patch));
        self.get(path)
    }

    /// Deletes as a person would: pods end gracefully, dependents go, too.
    ///
    /// # Panics
    /// When there is no such object.
    pub fn delete(&self, path: &str) {
        self.change(|state| {
            let key = key(state, path);
            state.delete(&key, &json!({}), false).unwrap_or_else(|refusal| panic!("{}", refusal.message));
        });
    }

    /// Serves only these versions of a group; none at all takes the group away.
    pub fn serve_only(&self, group: &str, versions: &[&str]) {
        let versions = versions.iter().map(|version| (*version).to_owned()).collect();
        self.change(|state| drop(state.served.only.insert(group.to_owned(), versions)));
    }

    /// How often watches that asked for bookmarks get one. Half a second unless set.
    pub fn bookmark_every(&self, every: Duration) {
        self.change(|state| state.bookmark_every = every);
    }

    /// Every request up to now.
    pub fn requests(&self) -> Vec<Request> {
        self.read(|state| state.requests.clone())
    }

    /// Forgets the requests up to now.
    pub fn forget_requests(&self) {
        self.change(|state| state.requests.clear());
    }

    /// Every request that no real cluster would have taken, whatever its state.
    pub fn refused(&self) -> Vec<String> {
        self.read(|state| state.refused.clone())
    }

    /// The same, once: a test of a refusal takes what it caused.
    pub fn take_refused(&self) -> Vec<String> {
        self.change(|state| std::mem::take(&mut state.refused))
    }

    /// The version that the next change will go beyond.
    pub fn version(&self) -> u64 {
        self.read(|state| state.version)
    }

    /// Looks again and again until there is something.
    ///
    /// # Panics
    /// With `what` when there never is.
    pub async fn until<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(std::time::Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The same for a test that is not asynchronous.
    ///
    /// # Panics
    /// With `what` when there never is.
    pub fn wait<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(std::time::Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

fn key(state: &State, path: &str) -> Key {
    place::parse(state, path).ok().and_then(|place| place.key()).unwrap_or_else(|| panic!("no object can be at {path}"))
}

/// [`FakeCluster::put`].
fn put(state: &mut State, object: &Value) -> Value {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (group, _) =
        text("/apiVersion").split_once('/').map_or((String::new(), ()), |(group, _)| (group.to_owned(), ()));
    let kind = kinds::KINDS
        .iter()
        .find(|kind| kind.kind == text("/kind") && kind.group == group)
        .unwrap_or_else(|| panic!("no kind {} {}", text("/apiVersion"), text("/kind")));
    let namespace = match text("/metadata/namespace") {
        _ if !kind.namespaced => String::new(),
        none if none.is_empty() => "default".to_owned(),
        namespace => namespace,
    };
    if kind.namespaced && state.get(&Key::new(kinds::NAMESPACE, "", &namespace)).is_none() {
        put(state, &objects::namespace(&namespace));
    }
    let key = Key::new(kind.id, &namespace, &text("/metadata/name"));
    let result = if state.get(&key).is_some() {
        state.replace(&key, object.clone(), Part::Main, false)
    } else {
        state.create(kind, &namespace, object.clone(), false)
    };
    let made = result.unwrap_or_else(|refusal| panic!("the API refuses this object: {}", refusal.message));
    match object.get("status") {
        Some(status) => {
            state.touch(&key, |made| made["status"] = status.clone());
            state.get(&key).cloned().unwrap_or(made)
        }
        None => made,
    }
}

//! Makes the client of one cluster from where its credentials are, and keeps it.
//!
//! Token files and credential plugins are kube's own to renew while the client lives; a client whose credentials are
//! not accepted all the same is made anew. Must never hold up another cluster, or show what a plugin printed: it may be a
//! token. Called by [`super::Clusters`] and [`super::Api`].

use std::path::PathBuf;
use std::time::Duration;

use hyper::header::{HeaderValue, USER_AGENT};
use kube::Config;
use kube::client::AuthError;
use kube::config::{ExecInteractiveMode, KubeConfigOptions, Kubeconfig, KubeconfigError};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::failure::shown;

/// A server that does not take a connection within this time is down, or far past use.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Credential plugins ask a cloud over the network, some of them through a slow interpreter.
const CREDENTIALS_WITHIN: Duration = Duration::from_secs(30);
/// Credentials that end sooner than this are made anew first.
const ENDS_SOON: Duration = Duration::from_secs(30);
/// When new credentials were not accepted either, newer ones are not asked for before this time: a plugin is a process.
const IN_VAIN: Duration = Duration::from_secs(30);

/// Where a cluster's credentials are.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// In the pod that we run in; without one, in the kubeconfig.
    Inferred,
    /// In a kubeconfig.
    Kubeconfig { path: Option<PathBuf>, context: Option<String> },
}

/// One cluster, and its client once there is one.
pub(super) struct Slot {
    /// For people: `the cluster east`.
    pub name: String,
    way: Way,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    client: Option<(kube::Client, u64)>,
    /// Counts the clients, so that a call can say which one was not accepted.
    made: u64,
    /// A making that took too long: the next caller waits for the same one instead of starting another process.
    making: Option<JoinHandle<Result<kube::Client, String>>>,
    in_vain: Option<Instant>,
}

impl Slot {
    pub fn new(name: String, way: Way) -> Self {
        Self { name, way, held: Mutex::default() }
    }

    /// The client, and its number.
    pub async fn client(&self) -> Result<(kube::Client, u64), String> {
        let mut held = self.held.lock().await;
        if let Some((client, number)) = &held.client
            && !ends_soon(client)
        {
            return Ok((client.clone(), *number));
        }
        self.make(&mut held).await
    }

    /// A client with newer credentials than those of the client `number`, which were not accepted; `None` when newer ones
    /// were not accepted a moment ago either.
    pub async fn newer(&self, number: u64) -> Option<Result<(kube::Client, u64), String>> {
        let mut held = self.held.lock().await;
        if let Some((client, newer)) = held.client.as_ref().filter(|(_, n)| *n > number) {
            return Some(Ok((client.clone(), *newer)));
        }
        if held.in_vain.is_some_and(|at| at.elapsed() < IN_VAIN) {
            return None;
        }
        Some(self.make(&mut held).await)
    }

    /// The newer credentials were not accepted either, or were.
    pub async fn was_in_vain(&self, in_vain: bool) {
        self.held.lock().await.in_vain = in_vain.then(Instant::now);
    }

    async fn make(&self, held: &mut Held) -> Result<(kube::Client, u64), String> {
        // It stays in its place while it is waited for: a caller that gives up must not make the next one start another.
        let making = held.making.get_or_insert_with(|| {
            let way = self.way.clone();
            // Reads files and may run a plugin: not for the threads that everything else runs on.
            tokio::task::spawn_blocking(move || make(&way))
        });
        let Ok(made) = timeout(CREDENTIALS_WITHIN, making).await else {
            let after = CREDENTIALS_WITHIN.as_secs();
            return Err(format!("{}: its credential plugin has not ended after {after} s", self.name));
        };
        held.making = None;
        let made = made.map_err(|_| "making its client failed".to_owned())?;
        let client = made.map_err(|why| format!("{}: {why}", self.name))?;
        held.made += 1;
        held.client = Some((client.clone(), held.made));
        Ok((client, held.made))
    }
}

/// A client's certificate has its end, which no renewal moves.
fn ends_soon(client: &kube::Client) -> bool {
    let soon = jiff::Timestamp::now() + ENDS_SOON;
    client.valid_until().is_some_and(|end| end < soon)
}

fn make(way: &Way) -> Result<kube::Client, String> {
    // Without a process-wide provider the client would panic; main sets the same one, and then this changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = config(way)?;
    config.connect_timeout = Some(CONNECT_WITHIN);
    // What may have had an effect is not repeated, and what has not is repeated by who knows whether to.
    config.default_retry = false;
    config.headers.push((USER_AGENT, HeaderValue::from_static(concat!("suture/", env!("CARGO_PKG_VERSION")))));
    if let Some(exec) = &mut config.auth_info.exec {
        // Nobody is there to type a password.
        exec.interactive_mode = Some(ExecInteractiveMode::Never);
    }
    kube::Client::try_from(config).map_err(|e| in_words(&e))
}

fn config(way: &Way) -> Result<Config, String> {
    let runtime = tokio::runtime::Handle::current();
    match way {
        Way::Inferred => match Config::incluster_env() {
            Ok(config) => Ok(config),
            Err(in_cluster) if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() => {
                Err(format!("the service account of this pod cannot be used: {in_cluster}"))
            }
            Err(_) => from_kubeconfig(&runtime, None, None).map_err(|why| {
                format!(
                    "{why}; this is no pod with a service account either: write `kubeconfig` into a [[cluster]] table"
                )
            }),
        },
        Way::Kubeconfig { path, context } => from_kubeconfig(&runtime, path.as_ref(), context.clone()),
    }
}

fn from_kubeconfig(
    runtime: &tokio::runtime::Handle,
    path: Option<&PathBuf>,
    context: Option<String>,
) -> Result<Config, String> {
    let file = path.map_or_else(Kubeconfig::read, Kubeconfig::read_from).map_err(|e| why_no_config(&e))?;
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let own_proxy = file.clusters.iter().any(|c| c.cluster.as_ref().is_some_and(|c| c.proxy_url.is_some()));
    let mut config = runtime.block_on(Config::from_custom_kubeconfig(file, &options)).map_err(|e| why_no_config(&e))?;
    let host = config.cluster_url.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    if is_loopback && !own_proxy {
        // What the environment says of proxies is not meant for this machine.
        config.proxy_url = None;
    }
    Ok(config)
}

/// Why a kubeconfig cannot be used, without a word of what is in it: there may be keys.
fn why_no_config(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(io, path) => format!("the kubeconfig {} cannot be read: {io}", path.display()),
        KubeconfigError::Parse(_) => {
            "the kubeconfig is no YAML of that kind: `kubectl config view` tells where".to_owned()
        }
        KubeconfigError::CurrentContextNotSet => {
            "the kubeconfig has no current context: write `context` into the [[cluster]] table".to_owned()
        }
        KubeconfigError::LoadContext(name) => format!("the kubeconfig has no context `{}`", shown(name, 80)),
        KubeconfigError::FindPath => "no kubeconfig is found: neither KUBECONFIG nor a home folder is set".to_owned(),
        other => format!("the kubeconfig cannot be used: {}", shown(&other.to_string(), 200)),
    }
}

/// What kube says of a failure to connect or to get credentials, without what a plugin printed.
pub(super) fn in_words(error: &kube::Error) -> String {
    match error {
        kube::Error::Auth(auth) => why_no_credentials(auth),
        kube::Error::Service(boxed) => match boxed.downcast_ref::<AuthError>() {
            Some(auth) => why_no_credentials(auth),
            None => chain(boxed.as_ref()),
        },
        other => chain(other),
    }
}

fn why_no_credentials(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecStart(io) => {
            format!("the credential plugin of the kubeconfig cannot be started ({io}): install it where Suture runs")
        }
        AuthError::AuthExecRun { out, .. } => {
            format!(
                "the credential plugin of the kubeconfig failed ({}): run `kubectl get ns` as this user",
                out.status
            )
        }
        AuthError::ReadTokenFile(io, path) => format!("the token file {} cannot be read: {io}", path.display()),
        AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed => {
            "what the credential plugin of the kubeconfig printed is no credential".to_owned()
        }
        _ => "the credentials of the kubeconfig cannot be used: `kubectl get ns` as this user tells why".to_owned(),
    }
}

/// An error and what caused it, outermost first.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause.filter(|_| text.len() < 400) {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    shown(&text, 400)
}

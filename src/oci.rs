//! Fetching a component from an OCI registry: an artefact whose one layer is `application/wasm`.
//!
//! What is fetched is what the reference's digest says, or nothing: the manifest is checked against the reference, the
//! layer against the manifest. It never runs what it fetched and never decides whether that may be used. Called by
//! `suture playbook pull`.

use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, ParseError, Reference};
use tokio::io::AsyncWrite;

use crate::model::Digest;

/// The media types under which registries hold components, newest first.
const LAYERS: [&str; 3] = [
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
];

/// How long a registry may be silent.
const SILENCE: Duration = Duration::from_secs(30);
/// How long all of it may take.
const WHOLE: Duration = Duration::from_secs(300);

/// What was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The component.
    pub bytes: Vec<u8>,
    /// The reference with its digest, as it was asked for.
    pub reference: String,
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// Not a reference.
    #[error(
        "`{reference}` is not a reference to an artefact: {why}; write for example registry.example.org/team/playbook@sha256:..."
    )]
    Reference {
        /// What was given.
        reference: String,
        /// What is wrong with it.
        why: String,
    },
    /// No digest: what a tag names can change between two pulls.
    #[error(
        "{reference} names no digest, and what a tag stands for can change. It stands for this now; look at it, and write\n\n    {pinned}"
    )]
    NotPinned {
        /// What was given.
        reference: String,
        /// The same with the digest that the registry has now.
        pinned: String,
    },
    /// The artefact holds no component, or more than one.
    #[error("{reference} is not a component: it has {found}, and one layer of {} is wanted", LAYERS[0])]
    NotAComponent {
        /// What was asked for.
        reference: String,
        /// What it has.
        found: String,
    },
    /// Larger than a component may be.
    #[error("{reference} has more than {limit} bytes, which is the most that a component may have")]
    TooLarge {
        /// What was asked for.
        reference: String,
        /// The limit.
        limit: usize,
    },
    /// The registry's own no, or none at all.
    #[error("{reference} cannot be fetched: {why}")]
    Registry {
        /// What was asked for.
        reference: String,
        /// Why.
        why: String,
    },
}

impl PullError {
    /// Is what was asked for at fault, rather than the registry?
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Reference { .. } | Self::NotPinned { .. })
    }
}

/// Fetches the component that `reference` names by its digest: at most `limit` bytes.
///
/// Plain HTTP is spoken to this machine alone, so that a registry can be tried; everything else is HTTPS.
///
/// # Errors
/// Any [`PullError`]; nothing is left behind then.
pub async fn pull(reference: &str, auth: RegistryAuth, limit: usize) -> Result<Pulled, PullError> {
    let shown = crate::ledger::clean(reference);
    let wrong = |why: &str| PullError::Reference { reference: shown.clone(), why: why.to_owned() };
    proved(reference).map_err(wrong)?;
    let parsed: Reference = reference.parse().map_err(|why: ParseError| wrong(&why.to_string()))?;
    let registry = |error: OciDistributionError| PullError::Registry {
        reference: shown.clone(),
        why: crate::ledger::clean(&with_causes(&error)),
    };
    let host = parsed.resolve_registry().to_owned();
    let protocol = if is_this_machine(&host) { ClientProtocol::HttpsExcept(vec![host]) } else { ClientProtocol::Https };
    // The HTTP client panics without one. An error means that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::new(ClientConfig {
        protocol,
        read_timeout: Some(SILENCE),
        connect_timeout: Some(SILENCE),
        user_agent: concat!("suture/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    });
    let fetched = async {
        if parsed.digest().is_none() {
            let digest = client.fetch_manifest_digest(&parsed, &auth).await.map_err(|error| match registry(error) {
                PullError::Registry { reference, why } => {
                    let why = format!("{why}. Nor would it be without its digest: REGISTRY/REPOSITORY@sha256:...");
                    PullError::Registry { reference, why }
                }
                other => other,
            })?;
            let pinned = format!("{}/{}@{digest}", parsed.registry(), parsed.repository());
            return Err(PullError::NotPinned { reference: shown.clone(), pinned: crate::ledger::clean(&pinned) });
        }
        let (manifest, _) = client.pull_image_manifest(&parsed, &auth).await.map_err(registry)?;
        let is_wasm = |media: &str| LAYERS.contains(&media);
        let [layer] = manifest.layers.as_slice() else {
            let found = format!("{} layers", manifest.layers.len());
            return Err(PullError::NotAComponent { reference: shown.clone(), found });
        };
        if !is_wasm(&layer.media_type) {
            let found = format!("a layer of type `{}`", crate::ledger::clean(&layer.media_type));
            return Err(PullError::NotAComponent { reference: shown.clone(), found });
        }
        let too_large = || PullError::TooLarge { reference: shown.clone(), limit };
        if usize::try_from(layer.size).is_ok_and(|size| size > limit) {
            return Err(too_large());
        }
        let mut bytes = Bounded { bytes: Vec::new(), limit, passed: false };
        let pulled = client.pull_blob(&parsed, layer, &mut bytes).await;
        if bytes.passed {
            return Err(too_large());
        }
        pulled.map_err(registry)?;
        Ok(Pulled { bytes: bytes.bytes, reference: shown.clone() })
    };
    tokio::time::timeout(WHOLE, fetched).await.unwrap_or_else(|_| {
        let why = format!("the registry took longer than {} s", WHOLE.as_secs());
        Err(PullError::Registry { reference: shown.clone(), why })
    })
}

/// What the reference's own grammar takes, and nobody means: a word without a registry is a request to somebody else's.
fn proved(reference: &str) -> Result<(), &'static str> {
    if reference.contains("://") {
        return Err("it begins with the registry's name, without a scheme");
    }
    let Some((registry, rest)) = reference.split_once('/') else {
        return Err("it names no registry");
    };
    let host = match registry.rsplit_once(':') {
        Some((_, port)) if !registry.ends_with(']') && port.parse::<u16>().is_err() => {
            return Err("what follows the colon of the registry is not a port");
        }
        Some((host, _)) if !registry.ends_with(']') => host,
        _ => registry,
    };
    if !(host.contains('.') || host.starts_with('[') || host == "localhost" || host != registry) {
        return Err("it names no registry: that is a host's name with a dot, or with a port");
    }
    match rest.split_once('@') {
        Some((_, digest)) => match digest.strip_prefix("sha256:") {
            Some(hex) if hex.len() == 64 && hex.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')) => Ok(()),
            Some(_) => Err("its digest has not 64 of 0-9 and a-f after sha256:"),
            None => Err("its digest does not begin with sha256:"),
        },
        None => Ok(()),
    }
}

/// An error with what lies behind it, which is what a person needs: a refused connection, a certificate.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        cause = error.source();
    }
    words
}

/// The pin for `[plugins] pins`.
#[must_use]
pub fn pin_line(name: &str, bytes: &[u8]) -> String {
    format!("{name} = \"{}\"", Digest::of(bytes))
}

fn is_this_machine(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Takes bytes up to a limit: a registry may send more than it announced.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
    passed: bool,
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, more: &[u8]) -> Poll<std::io::Result<usize>> {
        if self.bytes.len() + more.len() > self.limit {
            self.passed = true;
            return Poll::Ready(Err(std::io::Error::other("more bytes than a component may have")));
        }
        self.bytes.extend_from_slice(more);
        Poll::Ready(Ok(more.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

// The registry that it is tried against is served by axum.
#[cfg(feature = "local")]
#[cfg(test)]
mod tests;

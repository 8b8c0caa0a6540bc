//! What all sources that ask over HTTP have in common: how a client is made, and what an error is in words.
//!
//! Called by the adapters of this stage.

use std::error::Error as _;
use std::path::Path;

use reqwest::{Certificate, ClientBuilder, Identity};

use super::names::excerpt;

/// Largest file with certificates or a key: a bundle of all public authorities has some 250 KB.
const MOST_PEM_BYTES: u64 = 1024 * 1024;

/// A client that knows who we are and goes nowhere that it is not told to.
pub(super) fn builder() -> ClientBuilder {
    // Without a process-wide provider the client would panic; main sets the same one, and then this changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Prometheus does not ask through the environment's proxy either; on loopback it would be absurd.
    reqwest::Client::builder().user_agent(concat!("suture/", env!("CARGO_PKG_VERSION"))).no_proxy()
}

/// What a file with certificates or a key has in it.
///
/// # Errors
/// In words that name the file.
pub(super) fn pem_file(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let failed = |e: std::io::Error| format!("the file {} cannot be read: {e}", path.display());
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(MOST_PEM_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// The certificates of authorities in a file.
///
/// # Errors
/// In words that name the file, also when there are none.
pub(super) fn authorities(path: &Path, pem: &[u8]) -> Result<Vec<Certificate>, String> {
    let wrong = |why: &str| format!("{}: no certificates in PEM{why}", path.display());
    let found = Certificate::from_pem_bundle(pem).map_err(|e| wrong(&format!(": {}", excerpt(&e.to_string(), 80))))?;
    if found.is_empty() { Err(wrong("")) } else { Ok(found) }
}

/// Our certificate and its key.
///
/// # Errors
/// In words that name the file. What is wrong with a key is not repeated: it might be a piece of it.
pub(super) fn identity(path: &Path, pem: &[u8]) -> Result<Identity, String> {
    let wrong = |_| format!("{}: not a certificate and its key in PEM, one after the other", path.display());
    Identity::from_pem(pem).map_err(wrong)
}

/// The error with its innermost cause, without the address, in which secrets may stand: whoever says it names the address.
pub(super) fn in_words(error: &reqwest::Error) -> String {
    let words = if error.is_connect() {
        "cannot connect; is it running?"
    } else if error.is_body() || error.is_decode() {
        "the answer broke off"
    } else {
        "the request failed"
    };
    // The innermost cause is the one that says something: `Connection refused (os error 111)`.
    let mut cause = error.source();
    while let Some(inner) = cause.and_then(std::error::Error::source) {
        cause = Some(inner);
    }
    cause.map_or_else(|| words.to_owned(), |cause| format!("{words} ({})", excerpt(&cause.to_string(), 160)))
}

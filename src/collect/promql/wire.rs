//! Asks the query API over HTTP, with a bound on everything: time, bytes, redirects.
//!
//! Must never show who we are to the server, follow a redirect with it, or hold more of answers than allowed. Secrets
//! and certificates are read anew when the server does not know us any more. Called by the hub.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_ENCODING, DATE, LOCATION, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::answer::{self, Labels, Sink};
use crate::collect::HttpAuth;
use crate::collect::http::{self, in_words};
use crate::collect::names::excerpt;
use crate::model::Secret;

/// One answer: 2,000 services with twenty buckets in two pods each have some 12 MB.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// All answers that are held at a time. Usual ones are a tenth of this together.
const MOST_BYTES_TOGETHER: usize = 128 * 1024 * 1024;
/// What is read of an answer that says what is wrong.
const MOST_ERROR_BYTES: usize = 16 * 1024;
/// A server that does not take the connection by then is not there.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Secrets are read anew at most this often: a server that refuses them goes on doing so.
const RELOAD_EVERY: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AskError {
    #[error("no whole answer within {}", crate::model::in_words(*.0))]
    Timeout(Duration),
    #[error("{0}")]
    Request(String),
    #[error("{0}")]
    Refused(String),
    #[error("too many requests: the server asks us to wait")]
    Throttled(Option<Duration>),
    #[error("{0}")]
    Status(String),
    /// The server's own words.
    #[error("{0}")]
    Api(String),
    #[error("{0}")]
    Answer(String),
    /// Not asked: the server rests.
    #[error("{0}")]
    Resting(String),
}

impl AskError {
    /// Is it the server that is unwell, and not the query?
    pub fn is_servers(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::Request(_) | Self::Refused(_) | Self::Throttled(_) | Self::Status(_))
    }
}

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Body {
    pub bytes: Vec<u8>,
    /// The server's own clock, in seconds since the epoch.
    pub date: Option<f64>,
    _held: Held,
}

/// Bytes that are held of answers, given back when dropped.
#[derive(Debug)]
struct Held {
    together: Arc<AtomicUsize>,
    bytes: usize,
}

impl Held {
    fn more(&mut self, bytes: usize) -> Result<(), AskError> {
        self.bytes += bytes;
        let together = self.together.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let too_big = |most: usize, what| {
            let most = most / (1024 * 1024);
            Err(AskError::Answer(format!("{what} longer than {most} MB: the rest was not read; select fewer series")))
        };
        if self.bytes > MOST_BYTES {
            return too_big(MOST_BYTES, "the answer is");
        }
        if together > MOST_BYTES_TOGETHER {
            return too_big(MOST_BYTES_TOGETHER, "the answers of this round are together");
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.together.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A server, and who we are to it.
pub(super) struct Wire {
    base: Url,
    auth: HttpAuth,
    credentials: Mutex<Credentials>,
    together: Arc<AtomicUsize>,
}

#[derive(Clone)]
struct Credentials {
    client: Client,
    bearer: Option<Secret>,
    password: Option<Secret>,
    /// Of the certificates that the client was made with.
    pem: [u8; 32],
    /// When they were read anew; `None` while they are the first ones.
    renewed_at: Option<Instant>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("url", &shown(&self.base)).finish_non_exhaustive()
    }
}

impl Wire {
    /// # Errors
    /// When the address is none, or a secret or certificate cannot be read.
    pub fn new(base: Url, auth: HttpAuth) -> Result<Self, String> {
        if auth.username.is_some() != auth.password.is_some() {
            return Err("`auth` has only one of `username` and `password`: basic authentication needs both".to_owned());
        }
        if auth.bearer.is_some() && auth.password.is_some() {
            return Err("`auth` has both `bearer` and `password`: a request can carry only one of them".to_owned());
        }
        let credentials = Mutex::new(Credentials::read(&auth, None)?);
        Ok(Self { base, auth, credentials, together: Arc::default() })
    }

    /// Asks `/api/v1/PATH` with these fields.
    pub async fn ask(&self, path: &str, fields: &[(&str, &str)], until: Instant) -> Result<Body, AskError> {
        let budget = until.saturating_duration_since(Instant::now());
        let asked = tokio::time::timeout(budget, async {
            let used = self.credentials();
            match self.once(path, fields, budget, &used).await {
                // A look changes nothing, so it may be asked twice.
                Err(AskError::Refused(_)) if self.renew(&used).await => {
                    self.once(path, fields, budget, &self.credentials()).await
                }
                Err(error @ AskError::Request(_)) => {
                    // A certificate that ran out looks like a broken connection.
                    self.renew(&used).await;
                    Err(error)
                }
                other => other,
            }
        });
        asked.await.unwrap_or(Err(AskError::Timeout(budget)))
    }

    async fn once(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        budget: Duration,
        credentials: &Credentials,
    ) -> Result<Body, AskError> {
        let limit = format!("{}ms", budget.as_millis().max(1));
        let mut form: Vec<(&str, &str)> = fields.to_vec();
        // Thanos and VictoriaMetrics would rather leave out a store than fail: sums would be too small, and look like an
        // outage. Others do not know these fields and leave them alone.
        form.extend([("timeout", limit.as_str()), ("partial_response", "false"), ("deny_partial_response", "1")]);
        let request = credentials.client.post(self.address(path)).header(ACCEPT, "application/json").form(&form);
        let response = self.signed(request, credentials).send().await.map_err(|e| AskError::Request(in_words(&e)))?;
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok()).and_then(seconds_of_date);
        if response.status() != StatusCode::OK {
            return Err(self.refusal(response).await);
        }
        if let Some(encoding) = response.headers().get(CONTENT_ENCODING).filter(|e| *e != "identity") {
            let encoding = excerpt(encoding.to_str().unwrap_or("?"), 40);
            return Err(AskError::Answer(format!("answered in the encoding `{encoding}`, which we did not ask for")));
        }
        let mut held = Held { together: Arc::clone(&self.together), bytes: 0 };
        let bytes = whole(response, |n| held.more(n)).await?;
        Ok(Body { bytes, date, _held: held })
    }

    fn signed(&self, mut request: RequestBuilder, credentials: &Credentials) -> RequestBuilder {
        if let Some(bearer) = &credentials.bearer {
            request = request.bearer_auth(bearer.expose());
        }
        if let (Some(username), Some(password)) = (&self.auth.username, &credentials.password) {
            request = request.basic_auth(username, Some(password.expose()));
        }
        if let Some(tenant) = &self.auth.tenant {
            request = request.header("X-Scope-OrgID", tenant);
        }
        request
    }

    fn address(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/api/v1/{path}", self.base.path().trim_end_matches('/')));
        url
    }

    /// What an answer that is not 200 means.
    async fn refusal(&self, response: Response) -> AskError {
        let status = response.status();
        let code = status.as_u16();
        let header =
            |name| response.headers().get(name).and_then(|value: &reqwest::header::HeaderValue| value.to_str().ok());
        match status {
            StatusCode::UNAUTHORIZED => {
                return AskError::Refused("answered 401: it does not know us; is `auth` right?".to_owned());
            }
            StatusCode::FORBIDDEN => {
                return AskError::Refused(
                    "answered 403: we may not query it; are `auth` and its tenant right?".to_owned(),
                );
            }
            StatusCode::TOO_MANY_REQUESTS => {
                let wait = header(RETRY_AFTER).and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
                return AskError::Throttled(wait);
            }
            _ if status.is_redirection() => {
                let to = header(LOCATION).and_then(|to| Url::parse(to).ok()).map_or_else(String::new, |to| shown(&to));
                return AskError::Status(format!(
                    "answered {code}: it sends us on to {}; give that address (without /api/v1) as `url`",
                    if to.is_empty() { "another address" } else { &to }
                ));
            }
            _ => {}
        }
        let mut bytes = 0;
        let body = whole(response, |n| {
            bytes += n;
            if bytes > MOST_ERROR_BYTES { Err(AskError::Answer(String::new())) } else { Ok(()) }
        });
        struct Nobody;
        impl Sink for Nobody {
            fn series(&mut self, _: &Labels<'_>, _: &[(f64, f64)]) {}
        }
        let said = body.await.ok().and_then(|body| answer::read(&body, 0, &mut Nobody).ok());
        match said.and_then(|said| said.error) {
            Some((kind, words)) => api_error(&kind, &words),
            None if status == StatusCode::NOT_FOUND => AskError::Status(
                "answered 404: there is no /api/v1 of Prometheus; does `url` need a path, as in https://mimir.example/prometheus?"
                    .to_owned(),
            ),
            None => AskError::Status(format!("answered {code}, and not in the words of Prometheus's API; is `url` right?")),
        }
    }

    fn credentials(&self) -> Credentials {
        self.credentials.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads secrets and certificates anew; says whether they are others than those that were `used`.
    async fn renew(&self, used: &Credentials) -> bool {
        let old = self.credentials();
        if !old.is_like(used) {
            // Another request has just done it.
            return true;
        }
        if old.renewed_at.is_some_and(|at| at.elapsed() < RELOAD_EVERY) {
            return false;
        }
        let (auth, before) = (self.auth.clone(), old.clone());
        let read = tokio::task::spawn_blocking(move || Credentials::read(&auth, Some(&before))).await;
        let new = match read {
            Ok(Ok(new)) => new,
            Ok(Err(why)) => {
                tracing::warn!(server = %shown(&self.base), "who we are to the metrics server cannot be read anew: {why}");
                Credentials { renewed_at: Some(Instant::now()), ..old }
            }
            Err(_) => return false,
        };
        let changed = !new.is_like(used);
        *self.credentials.lock().unwrap_or_else(PoisonError::into_inner) = new;
        changed
    }
}

impl Credentials {
    fn is_like(&self, other: &Self) -> bool {
        self.bearer == other.bearer && self.password == other.password && self.pem == other.pem
    }

    fn read(auth: &HttpAuth, before: Option<&Self>) -> Result<Self, String> {
        let secret =
            |name: &Option<crate::model::SecretRef>| name.as_ref().map(|name| name.resolve(Path::new(""))).transpose();
        let (bearer, password) = (secret(&auth.bearer)?, secret(&auth.password)?);
        let ca = auth.ca.as_deref().map(http::pem_file).transpose()?;
        let identity = auth.identity.as_deref().map(http::pem_file).transpose()?;
        let mut digest = Sha256::new();
        for pem in [&ca, &identity] {
            digest.update(pem.as_deref().unwrap_or_default());
            digest.update([0]);
        }
        let pem: [u8; 32] = digest.finalize().into();
        let client = match before {
            Some(before) if before.pem == pem => before.client.clone(),
            _ => client(auth, ca.as_deref(), identity.as_deref())?,
        };
        Ok(Self { client, bearer, password, pem, renewed_at: before.map(|_| Instant::now()) })
    }
}

fn client(auth: &HttpAuth, ca: Option<&[u8]>, identity: Option<&[u8]>) -> Result<Client, String> {
    let mut builder = http::builder()
        // What proves who we are must not go to another address.
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_WITHIN)
        .pool_max_idle_per_host(8);
    if let (Some(path), Some(pem)) = (&auth.ca, ca) {
        // Who names authorities trusts those, and no others.
        builder = builder.tls_built_in_root_certs(false);
        for certificate in http::authorities(path, pem)? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    if let (Some(path), Some(pem)) = (&auth.identity, identity) {
        builder = builder.identity(http::identity(path, pem)?);
    }
    builder.build().map_err(|e| format!("TLS cannot be set up: {}", in_words(&e)))
}

async fn whole(
    mut response: Response,
    mut more: impl FnMut(usize) -> Result<(), AskError>,
) -> Result<Vec<u8>, AskError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| AskError::Request(in_words(&e)))? {
        more(chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The API's own error, with what can be done.
pub(super) fn api_error(kind: &str, words: &str) -> AskError {
    let remedy = match kind {
        "bad_data" => "; is the query right?",
        "timeout" | "canceled" => {
            "; the query is too much for the server in that time: select fewer series, or raise `interval`"
        }
        "execution" | "too_many_samples" => {
            "; does each side of the query have the labels of the other, and is it within the server's limits?"
        }
        "unavailable" => "; is the server starting up?",
        _ => "",
    };
    AskError::Api(format!("the server says: {words} ({}){remedy}", if kind.is_empty() { "error" } else { kind }))
}

/// `Tue, 15 Nov 1994 08:12:31 GMT`, in seconds since the epoch.
fn seconds_of_date(date: &str) -> Option<f64> {
    let at = jiff::fmt::rfc2822::parse(date).ok()?.timestamp().as_second();
    i32::try_from(at).ok().map(f64::from).or_else(|| u32::try_from(at).ok().map(f64::from))
}

/// The base of a server's address.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    let bad = || format!("`{}` is not an address like http://prometheus:9090", excerpt(text, 20));
    let mut url = Url::parse(text).map_err(|_| bad())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(bad());
    }
    if url.password().is_some() {
        return Err("`url` has a password in it: write `auth = { username = .., password = \"env:NAME\" }`".to_owned());
    }
    url.set_fragment(None);
    Ok(url)
}

/// An address as it may be shown: without user and query.
pub(super) fn shown(url: &Url) -> String {
    let place = url.port().map_or(String::new(), |port| format!(":{port}"));
    let path = url.path().trim_end_matches('/');
    format!("{}://{}{place}{}", url.scheme(), url.host_str().unwrap_or("?"), excerpt(path, 120))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_what_may_be_secret() {
        let url = parse("https://me@mimir.example:8443/prometheus/?dedup=true").unwrap();
        assert_eq!(shown(&url), "https://mimir.example:8443/prometheus");
        for text in ["prometheus:9090", "ftp://x/", "http://", "http://me:secret@x/"] {
            let error = parse(text).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_path_goes_behind_that_of_the_address_and_the_query_stays() {
        let wire = Wire::new(parse("http://thanos:10902/a/?dedup=true").unwrap(), HttpAuth::default()).unwrap();
        assert_eq!(wire.address("query").as_str(), "http://thanos:10902/a/api/v1/query?dedup=true");
    }

    #[test]
    fn the_servers_clock_is_read() {
        assert_eq!(seconds_of_date("Tue, 14 Nov 2023 22:13:20 GMT"), Some(1_700_000_000.0));
        assert_eq!(seconds_of_date("yesterday"), None);
    }

    #[test]
    fn who_we_are_has_to_make_sense() {
        let auth = |text: &str| toml::from_str::<HttpAuth>(text).unwrap();
        let url = || parse("http://x").unwrap();
        for (text, says) in [
            ("username = 'a'", "only one of"),
            ("username = 'a'\npassword = 'env:P'\nbearer = 'env:B'", "only one of them"),
            ("bearer = 'env:SUTURE_NO_SUCH'", "SUTURE_NO_SUCH is not set"),
            ("ca = '/nowhere/ca.pem'", "/nowhere/ca.pem cannot be read"),
            ("identity = '/dev/null'", "not a certificate and its key"),
            ("ca = '/dev/null'", "no certificates"),
        ] {
            let error = Wire::new(url(), auth(text)).unwrap_err();
            assert!(error.contains(says), "{error} should say {says}");
        }
    }
}

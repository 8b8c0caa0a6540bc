//! Gets pages over HTTP, with a bound on everything: time, bytes, redirects.
//!
//! Must never hold a whole page, follow redirects without end, or show an address with its password. Called by the
//! source.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, TRANSFER_ENCODING};
use reqwest::{Client, Response, Url, Version, redirect};
use serde::Deserialize;
use tokio::time::Instant;

use super::page::{Page, PageError, PageReader};
use crate::collect::http;
use crate::collect::names::excerpt;

/// A page of this size has some 100,000 lines; ten times what its owners would call too big.
const MOST_PAGE_BYTES: usize = 16 * 1024 * 1024;
/// A list of the most instances we ask has some 100 KB.
const MOST_LIST_BYTES: usize = 1024 * 1024;
/// One service's instances. All are asked in every round.
const MOST_INSTANCES: usize = 500;
/// A redirect to the right path, and one to the right host: more is a loop.
const MOST_REDIRECTS: usize = 3;
/// Plain text first: it is the format that every exporter has, and cheaper to read than OpenMetrics.
const ACCEPTED: &str =
    "text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0;q=0.5, text/plain;q=0.3, */*;q=0.1";

/// One page to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// What its values are filed under.
    pub instance: String,
    pub url: Url,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("no whole answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("{0}")]
    Request(String),
    #[error("answered {0}, not 200; is the address right, and may we read it?")]
    Status(reqwest::StatusCode),
    #[error("answered in the encoding `{0}`, which we did not ask for")]
    Encoding(String),
    #[error("longer than {} MB: the rest was not read", .0 / (1024 * 1024))]
    TooBig(usize),
    #[error("the pages of this round have more than {0} series together; name fewer pages, or drop labels")]
    TooManySeries(usize),
    #[error("{0}")]
    Page(#[from] PageError),
    #[error("not a list of targets as Prometheus's HTTP service discovery has it: {0}")]
    List(String),
}

/// The one client of a source; keeps connections open between rounds.
#[derive(Clone, Debug)]
pub(super) struct Fetcher {
    client: Client,
}

impl Fetcher {
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> Result<Self, String> {
        http::builder()
            .redirect(redirect::Policy::limited(MOST_REDIRECTS))
            .pool_max_idle_per_host(1)
            .build()
            .map(|client| Self { client })
            .map_err(|e| in_words(&e))
    }

    /// Reads a page until `until`, and says when the answer began.
    pub async fn page(&self, url: &Url, until: Instant) -> Result<(Instant, Page), FetchError> {
        within(until, async {
            let mut response = self.ask(url, ACCEPTED).await?;
            let at = Instant::now();
            let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
            let wants_eof = kind.starts_with("application/openmetrics-text");
            let complete = response.content_length().is_some()
                || response.headers().contains_key(TRANSFER_ENCODING)
                || response.version() == Version::HTTP_2;
            let mut reader = PageReader::default();
            let mut bytes = 0_usize;
            while let Some(chunk) = response.chunk().await.map_err(|e| FetchError::Request(in_words(&e)))? {
                bytes = bytes.saturating_add(chunk.len());
                if bytes > MOST_PAGE_BYTES {
                    return Err(FetchError::TooBig(MOST_PAGE_BYTES));
                }
                reader.feed(&chunk)?;
            }
            Ok((at, reader.finish(complete, wants_eof)?))
        })
        .await
    }

    /// Asks for the list of targets.
    pub async fn targets(&self, url: &Url, until: Instant) -> Result<Vec<Target>, FetchError> {
        within(until, async {
            let mut response = self.ask(url, "application/json").await?;
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|e| FetchError::Request(in_words(&e)))? {
                if body.len() + chunk.len() > MOST_LIST_BYTES {
                    return Err(FetchError::TooBig(MOST_LIST_BYTES));
                }
                body.extend_from_slice(&chunk);
            }
            targets(&body).map_err(FetchError::List)
        })
        .await
    }

    async fn ask(&self, url: &Url, accept: &str) -> Result<Response, FetchError> {
        let asked = self.client.get(url.clone()).header(ACCEPT, accept).send().await;
        let response = asked.map_err(|e| FetchError::Request(in_words(&e)))?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        match response.headers().get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?")) {
            None | Some("identity") => Ok(response),
            Some(other) => Err(FetchError::Encoding(excerpt(other, 40))),
        }
    }
}

async fn within<T>(until: Instant, work: impl Future<Output = Result<T, FetchError>>) -> Result<T, FetchError> {
    let budget = until.saturating_duration_since(Instant::now());
    tokio::time::timeout(budget, work).await.unwrap_or(Err(FetchError::Timeout(budget)))
}

/// The error in words.
fn in_words(error: &reqwest::Error) -> String {
    if error.is_redirect() {
        return format!("redirected more than {MOST_REDIRECTS} times; give the address it ends at");
    }
    http::in_words(error)
}

/// One group of the list.
#[derive(Deserialize)]
struct Group {
    targets: Vec<String>,
    #[serde(default)]
    labels: std::collections::BTreeMap<String, String>,
}

/// Reads the list: `[{"targets": ["host:port"], "labels": {"__metrics_path__": "/metrics", "instance": "shop-1"}}]`.
fn targets(body: &[u8]) -> Result<Vec<Target>, String> {
    let groups: Vec<Group> = serde_json::from_slice(body).map_err(|e| excerpt(&e.to_string(), 160))?;
    let mut found = Vec::new();
    for group in groups {
        let label = |name: &str| group.labels.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let scheme = label("__scheme__").unwrap_or("http");
        let path = label("__metrics_path__").unwrap_or("/metrics");
        for target in &group.targets {
            if found.len() >= MOST_INSTANCES {
                return Err(format!("more than {MOST_INSTANCES} targets"));
            }
            let bad = || format!("`{}` is not host:port", excerpt(target, 80));
            if target.is_empty()
                || target.contains(['/', '@', '?', '#'])
                || !matches!(scheme, "http" | "https")
                || !path.starts_with('/')
            {
                return Err(bad());
            }
            let url = Url::parse(&format!("{scheme}://{target}{path}")).map_err(|_| bad())?;
            let instance = label("instance").map_or_else(|| host_and_port(&url), |name| excerpt(name, 128));
            found.push(Target { instance, url });
        }
    }
    Ok(distinct(found))
}

/// Reads the addresses of the config.
pub(super) fn of_urls(urls: &[String]) -> Result<Vec<Target>, String> {
    let target = |text: &String| parse(text).map(|url| Target { instance: host_and_port(&url), url });
    urls.iter().map(target).collect::<Result<_, _>>().map(distinct)
}

/// An address that we can ask.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    let bad = || format!("`{}` is not an address like http://127.0.0.1:9100/metrics", excerpt(text, 120));
    let url = Url::parse(text).map_err(|_| bad())?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() { Ok(url) } else { Err(bad()) }
}

/// Drops pages that are listed twice, and tells instances of one name apart by their address.
fn distinct(mut targets: Vec<Target>) -> Vec<Target> {
    let mut seen = std::collections::BTreeSet::new();
    targets.retain(|target| seen.insert(target.url.to_string()));
    let mut names = std::collections::BTreeMap::<String, usize>::new();
    for target in &targets {
        *names.entry(target.instance.clone()).or_default() += 1;
    }
    for target in &mut targets {
        if names.get(&target.instance).is_some_and(|count| *count > 1) {
            let place = host_and_port(&target.url);
            let path = target.url.path();
            target.instance = if target.instance == place {
                format!("{place}{path}")
            } else {
                format!("{} {place}{path}", target.instance)
            };
        }
    }
    targets
}

fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// An address as it may be shown: without user, password and query, where secrets live.
pub(super) fn shown(url: &Url) -> String {
    let place = url.port().map_or(String::new(), |port| format!(":{port}"));
    format!("{}://{}{place}{}", url.scheme(), url.host_str().unwrap_or("?"), excerpt(url.path(), 120))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_its_instances() {
        let list = br#"[
            {"targets": ["127.0.0.1:9101"], "labels": {"instance": "shop-1", "__metrics_path__": "/m"}},
            {"targets": ["127.0.0.1:9102", "[::1]:9103"]},
            {"targets": ["a:1", "b:1"], "labels": {"instance": "twice"}}
        ]"#;
        let found = targets(list).unwrap();
        let named: Vec<(&str, &str)> = found.iter().map(|t| (t.instance.as_str(), t.url.as_str())).collect();
        assert_eq!(
            named,
            [
                ("shop-1", "http://127.0.0.1:9101/m"),
                ("127.0.0.1:9102", "http://127.0.0.1:9102/metrics"),
                ("[::1]:9103", "http://[::1]:9103/metrics"),
                ("twice a:1/metrics", "http://a:1/metrics"),
                ("twice b:1/metrics", "http://b:1/metrics"),
            ]
        );
    }

    #[test]
    fn a_list_of_something_else_is_refused() {
        for list in [r#"{"targets": []}"#, "<html>", r#"[{"targets": ["user@evil/x"]}]"#, r#"[{"targets": [""]}]"#] {
            assert!(targets(list.as_bytes()).is_err(), "{list}");
        }
    }

    #[test]
    fn secrets_in_addresses_are_not_shown() {
        let url = parse("https://me:secret@example.org:8443/metrics?token=abc").unwrap();
        assert_eq!(shown(&url), "https://example.org:8443/metrics");
        assert!(parse("ftp://x/").is_err());
        assert!(parse("127.0.0.1:9100").is_err());
    }

    #[test]
    fn urls_of_one_host_are_told_apart() {
        let urls = ["http://h:1/a", "http://h:1/b", "http://h:1/a", "http://h:2/a"].map(str::to_owned);
        let names: Vec<String> = of_urls(&urls).unwrap().into_iter().map(|t| t.instance).collect();
        assert_eq!(names, ["h:1/a", "h:1/b", "h:2"]);
    }
}

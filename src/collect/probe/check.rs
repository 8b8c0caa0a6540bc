//! One check of one address.
//!
//! A connection of its own each time, as a new client would have: one that is kept open says nothing of the next. Must
//! never follow a redirect (the address asked for is the one that is checked), or read more than [`MOST_BODY`]. Called
//! by the source.

use std::path::Path;
use std::time::Duration;

use regex::Regex;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, redirect};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::place::Place;
use crate::collect::http::{self, in_words};
use crate::collect::names::excerpt;
use crate::collect::{HttpAuth, ProbeSettings};
use crate::model::{Secret, SecretRef};

/// As much of a body is looked at.
const MOST_BODY: usize = 64 * 1024;

/// What one check found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Found {
    /// Until the status came, and the body where one is looked at; `None` where nothing came.
    pub latency: Option<Duration>,
    pub status_ok: Option<bool>,
    pub body_ok: Option<bool>,
    /// Why the check failed.
    pub why: Option<String>,
}

impl Found {
    pub fn is_up(&self) -> bool {
        self.why.is_none()
    }

    fn failed(why: String) -> Self {
        Self { why: Some(why), ..Self::default() }
    }
}

/// Checks addresses.
#[derive(Clone, Debug)]
pub(super) struct Checker {
    client: Client,
    headers: HeaderMap,
    status: Vec<u16>,
    body: Option<Regex>,
}

impl Checker {
    /// # Errors
    /// When a header is none, a file cannot be read, or TLS cannot be set up.
    pub fn new(settings: &ProbeSettings) -> Result<Self, String> {
        let mut client = http::builder().redirect(redirect::Policy::none()).pool_max_idle_per_host(0);
        if let Some(path) = &settings.auth.ca {
            for certificate in http::authorities(path, &http::pem_file(path)?)? {
                client = client.add_root_certificate(certificate);
            }
        }
        if let Some(path) = &settings.auth.identity {
            client = client.identity(http::identity(path, &http::pem_file(path)?)?);
        }
        let body = settings.body.as_deref().map(Regex::new).transpose();
        Ok(Self {
            client: client.build().map_err(|e| in_words(&e))?,
            headers: headers(settings)?,
            status: settings.status.clone(),
            body: body.map_err(|_| "`body` is no regular expression".to_owned())?,
        })
    }

    /// Is the body looked at?
    pub fn reads_bodies(&self) -> bool {
        self.body.is_some()
    }

    /// Checks one address, within `within`.
    pub async fn check(&self, place: &Place, who: &Who, within: Duration) -> Found {
        let slow = || Found::failed(format!("no answer within {} ms", within.as_millis()));
        if place.is_tcp() {
            timeout(within, connect(place)).await.unwrap_or_else(|_| slow())
        } else {
            timeout(within, self.ask(place, who)).await.unwrap_or_else(|_| slow())
        }
    }

    async fn ask(&self, place: &Place, who: &Who) -> Found {
        let began = Instant::now();
        let request = self.client.get(place.url.clone()).headers(self.headers.clone());
        let request = match who {
            Who::Nobody => request,
            Who::Bearer(token) => request.bearer_auth(token.expose()),
            Who::Basic(user, password) => request.basic_auth(user, Some(password.expose())),
        };
        let response = match request.send().await {
            Ok(response) => response,
            Err(e) => return Found::failed(in_words(&e)),
        };
        let code = response.status().as_u16();
        let status_ok = if self.status.is_empty() { (200..300).contains(&code) } else { self.status.contains(&code) };
        let mut found = Found { status_ok: Some(status_ok), latency: Some(began.elapsed()), ..Found::default() };
        if !status_ok {
            found.why = Some(format!("answered {code}, not {}", self.wanted()));
        } else if let Some(wanted) = &self.body {
            match start_of(response).await {
                Ok(body) => {
                    let body_ok = wanted.is_match(&body);
                    found.latency = Some(began.elapsed());
                    found.body_ok = Some(body_ok);
                    found.why = (!body_ok).then(|| {
                        format!("its body does not match `{}` in the first 64 KiB", excerpt(wanted.as_str(), 60))
                    });
                }
                Err(e) => found = Found { latency: None, why: Some(in_words(&e)), ..found },
            }
        }
        found
    }

    fn wanted(&self) -> String {
        match self.status.as_slice() {
            [] => "200 to 299".to_owned(),
            codes => codes.iter().take(10).map(u16::to_string).collect::<Vec<_>>().join(" or "),
        }
    }
}

async fn connect(place: &Place) -> Found {
    let began = Instant::now();
    match TcpStream::connect((place.host.as_str(), place.port)).await {
        Ok(_) => Found { latency: Some(began.elapsed()), ..Found::default() },
        Err(e) => Found::failed(format!("cannot connect ({})", excerpt(&e.to_string(), 120))),
    }
}

/// The first [`MOST_BODY`] bytes; the rest is not waited for.
async fn start_of(mut response: Response) -> Result<String, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = MOST_BODY.saturating_sub(body.len());
        body.extend(chunk.iter().take(room));
        if chunk.len() >= room {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn headers(settings: &ProbeSettings) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &settings.headers {
        let wrong = || format!("`headers` has {}, which is no header of HTTP", excerpt(name, 60));
        let name = HeaderName::try_from(name).map_err(|_| wrong())?;
        headers.insert(name, HeaderValue::try_from(value).map_err(|_| wrong())?);
    }
    if let Some(tenant) = &settings.auth.tenant {
        let value = HeaderValue::try_from(tenant).map_err(|_| "`tenant` is no value of a header".to_owned())?;
        headers.insert(HeaderName::from_static("x-scope-orgid"), value);
    }
    Ok(headers)
}

/// Who we are to the servers.
#[derive(Debug)]
pub(super) enum Who {
    /// We do not say.
    Nobody,
    /// Whoever has this token.
    Bearer(Secret),
    /// This user, with this password.
    Basic(String, Secret),
}

/// Who we are, with the secret fetched anew.
///
/// # Errors
/// In words that name the secret, not what it is.
pub(super) fn who(auth: &HttpAuth) -> Result<Who, String> {
    let fetch = |secret: &SecretRef| secret.resolve(Path::new(""));
    Ok(match (&auth.bearer, &auth.username, &auth.password) {
        (Some(token), _, _) => Who::Bearer(fetch(token)?),
        (None, Some(user), Some(password)) => Who::Basic(user.clone(), fetch(password)?),
        _ => Who::Nobody,
    })
}

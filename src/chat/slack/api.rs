//! Calls to Slack's Web API: slack-morphism's client with a bound on time, and errors that say what to mend.
//!
//! Bodies and answers are JSON values: Slack adds to them as it likes, and a field that one does not read must not make
//! a message fail. Must never put a token into an error or a log line.

use std::time::Duration;

use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::Url;
use serde_json::Value;
use slack_morphism::errors::SlackClientError;
use slack_morphism::hyper_tokio::SlackClientHyperConnector;
use slack_morphism::{SlackApiToken, SlackApiTokenValue, SlackClient};

use super::errors::{CallError, PLATFORM};
use crate::chat::ChatError;
use crate::model::Secret;

/// Longest time for one call. The library has no bound of its own.
const CALL_FOR: Duration = Duration::from_secs(10);
/// For the bytes of a file.
const UPLOAD_FOR: Duration = Duration::from_secs(20);
/// When Slack says "too many" without saying until when.
const LIMITED_FOR: Duration = Duration::from_secs(5);
/// Where Slack is.
const SLACK_API: &str = "https://slack.com/api";

/// A connection to HTTP with and without TLS.
type Connector = HttpsConnector<HttpConnector>;

/// The Web API with one bot token.
pub(super) struct Api {
    connector: Connector,
    client: SlackClient<SlackClientHyperConnector<Connector>>,
    bot: SlackApiToken,
    app: Option<SlackApiToken>,
    /// For what the library cannot do: reading headers, and sending bytes without a token.
    http: reqwest::Client,
    base: String,
}

impl Api {
    /// # Errors
    /// When the address is not one, or TLS cannot be set up.
    pub fn new(base: Option<&str>, bot: &Secret, app: Option<&Secret>) -> Result<Self, ChatError> {
        let hopeless = |why: String| ChatError::hopeless(PLATFORM, why);
        // Without a process-wide provider the library would panic; main sets the same one, and this changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = base.unwrap_or(SLACK_API).trim_end_matches('/').to_owned();
        let url: Url = base.parse().map_err(|e| hopeless(format!("api is not an address: {e}")))?;
        let loopback = url.host_str().is_some_and(|host| matches!(host, "127.0.0.1" | "localhost" | "[::1]"));
        if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
            return Err(hopeless(
                "api must be an https address: tokens go there (http only to this machine)".to_owned(),
            ));
        }
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_native_roots()
            .map_err(|e| hopeless(format!("no CA certificates on this machine: {e}")))?
            .https_or_http()
            .enable_http1()
            .build();
        let http = reqwest::Client::builder()
            .user_agent(concat!("suture/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(CALL_FOR);
        // On loopback a proxy of the environment would be absurd.
        let http = if loopback { http.no_proxy() } else { http };
        Ok(Self {
            client: SlackClient::new(
                SlackClientHyperConnector::with_connector(connector.clone()).with_slack_api_url(&base),
            ),
            connector,
            bot: token(bot),
            app: app.map(token),
            http: http.build().map_err(|e| hopeless(format!("TLS cannot be set up: {e}")))?,
            base,
        })
    }

    /// A client with connections of its own, for a runtime of its own.
    pub fn separate_client(&self) -> SlackClientHyperConnector<Connector> {
        SlackClientHyperConnector::with_connector(self.connector.clone()).with_slack_api_url(&self.base)
    }

    /// The token for Socket Mode.
    pub fn app_token(&self) -> Option<&SlackApiToken> {
        self.app.as_ref()
    }

    /// Calls a method that takes JSON.
    pub async fn post(&self, method: &'static str, body: &Value) -> Result<Value, CallError> {
        let session = self.client.open_session(&self.bot);
        bounded(method, session.http_session_api.http_post::<_, Value>(method, body, None)).await
    }

    /// Calls a method that only reads; those take no JSON.
    pub async fn get(&self, method: &'static str, params: &[(&'static str, &str)]) -> Result<Value, CallError> {
        let session = self.client.open_session(&self.bot);
        let params: Vec<(&str, Option<&str>)> = params.iter().map(|(name, value)| (*name, Some(*value))).collect();
        bounded(method, session.http_session_api.http_get::<Value, _, _>(method, &params, None)).await
    }

    /// Asks for an address for Socket Mode, and throws it away: to find out why there is no connection.
    pub async fn try_app_token(&self) -> Result<(), CallError> {
        const METHOD: &str = "apps.connections.open";
        let Some(app) = &self.app else { return Err(CallError::Broken("there is no app token".to_owned())) };
        let session = self.client.open_session(app);
        let empty = Value::Object(serde_json::Map::new());
        bounded(METHOD, session.http_session_api.http_post::<_, Value>(METHOD, &empty, None)).await.map(|_| ())
    }

    /// Who we are, and the scopes that the token has (the library does not show headers).
    pub async fn who_and_scopes(&self, bot: &Secret) -> Result<(Value, Option<Vec<String>>), CallError> {
        const METHOD: &str = "auth.test";
        let sent = self.http.post(format!("{}/{METHOD}", self.base)).bearer_auth(bot.expose()).send().await;
        let answer = sent.map_err(|e| broken(METHOD, &e))?;
        let scopes = answer
            .headers()
            .get("x-oauth-scopes")
            .and_then(|value| value.to_str().ok())
            .map(|list| list.split(',').map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect());
        let body: Value = answer.json().await.map_err(|e| broken(METHOD, &e))?;
        match body.get("error").and_then(Value::as_str) {
            Some(code) => Err(refusal(METHOD, code, &body)),
            None => Ok((body, scopes)),
        }
    }

    /// Sends a file's bytes where Slack said. Without the token: the address is a secret of its own, and whose it is
    /// does not concern the token.
    pub async fn upload(&self, url: &str, bytes: Vec<u8>) -> Result<(), CallError> {
        const WHAT: &str = "the upload of a file";
        let sent = self.http.post(url).timeout(UPLOAD_FOR).body(bytes).send().await.map_err(|e| broken(WHAT, &e))?;
        let status = sent.status();
        if status.is_success() { Ok(()) } else { Err(CallError::Broken(format!("{WHAT} was answered {status}"))) }
    }
}

fn token(secret: &Secret) -> SlackApiToken {
    SlackApiToken::new(SlackApiTokenValue(secret.expose().to_owned()))
}

async fn bounded(
    method: &'static str,
    call: impl Future<Output = Result<Value, SlackClientError>>,
) -> Result<Value, CallError> {
    match tokio::time::timeout(CALL_FOR, call).await {
        Err(_) => Err(CallError::TimedOut(method)),
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(in_words(method, error)),
    }
}

fn in_words(method: &'static str, error: SlackClientError) -> CallError {
    match error {
        SlackClientError::ApiError(refused) => {
            let body = refused.http_response_body.as_deref().and_then(|body| serde_json::from_str(body).ok());
            refusal(method, &refused.code, &body.unwrap_or_default())
        }
        SlackClientError::RateLimitError(limited) => CallError::Limited(limited.retry_after.unwrap_or(LIMITED_FOR)),
        // The body of such an answer is a proxy's page, of use to nobody.
        SlackClientError::HttpError(http) => CallError::Broken(format!("{method} was answered {}", http.status_code)),
        SlackClientError::ProtocolError(_) => CallError::Broken(format!("{method} was answered with no JSON")),
        other => {
            let why: &dyn std::error::Error = &other;
            CallError::Broken(format!("{method}: {}", crate::chat::clean::shortened(&innermost(why), 200)))
        }
    }
}

/// `needed` and the details of a refusal stand in its body.
fn refusal(method: &'static str, code: &str, body: &Value) -> CallError {
    let words = |value: Option<&Value>| -> Vec<String> {
        let items = value.and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).take(5).map(|text| crate::chat::clean::shortened(text, 200)).collect()
    };
    let mut details = words(body.pointer("/response_metadata/messages"));
    if details.is_empty() {
        details = words(body.get("errors"));
    }
    if code == "ratelimited" {
        return CallError::Limited(LIMITED_FOR);
    }
    CallError::Refused {
        method,
        code: code.to_owned(),
        needed: body.get("needed").and_then(Value::as_str).map(str::to_owned),
        details,
    }
}

fn broken(what: &str, error: &reqwest::Error) -> CallError {
    if error.is_timeout() {
        return CallError::Broken(format!("{what} had no answer in time"));
    }
    CallError::Broken(format!("{what}: {}", innermost(error)))
}

/// The last cause: `Connection refused`. What is above it repeats the address.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

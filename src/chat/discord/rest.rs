//! Requests to Discord: one way in and out, with its errors in words that say what to mend.
//!
//! Must never repeat a request that was refused with 401 or 403 (ten thousand of those lock the address out), and must
//! never put a token into an error. Discord's limits are kept by serenity's rate limiter; with an address of its own
//! (a proxy, a test) the limiter would ask Discord itself, so a 429 is handed back to be tried later.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Map, Value};
use serenity::http::{Http, HttpBuilder, LightMethod, Request, Route};

use super::PLATFORM;
use super::embeds::{Message, Upload};
use crate::chat::ChatError;
use crate::model::Secret;

/// Discord answers in well under a second; a request that hangs must end before the outbox gives it up.
const TIMEOUT: Duration = Duration::from_secs(15);
/// When Discord says "slower" and not for how long.
const SLOWER: Duration = Duration::from_secs(5);

/// Discord's error codes that something is done about. Documentation: "Opcodes and Status Codes", JSON.
pub(super) mod code {
    /// Unknown channel.
    pub const CHANNEL: u64 = 10003;
    /// Unknown guild.
    pub const GUILD: u64 = 10004;
    /// Unknown member.
    pub const MEMBER: u64 = 10007;
    /// Unknown message.
    pub const MESSAGE: u64 = 10008;
    /// Unknown webhook: the interaction is over.
    pub const WEBHOOK: u64 = 10015;
    /// Unknown interaction: three seconds are over.
    pub const INTERACTION: u64 = 10062;
    /// The interaction was responded to already.
    pub const RESPONDED: u64 = 40060;
    /// Missing access.
    pub const ACCESS: u64 = 50001;
    /// The message is somebody else's.
    pub const NOT_OURS: u64 = 50005;
    /// The person takes no direct messages.
    pub const NO_DIRECT: u64 = 50007;
    /// Missing permissions.
    pub const PERMISSIONS: u64 = 50013;
    /// Invalid webhook token: fifteen minutes are over.
    pub const TOKEN: u64 = 50027;
    /// The thread is archived.
    pub const ARCHIVED: u64 = 50083;
    /// The message has a thread already.
    pub const HAS_THREAD: u64 = 160_004;
    /// The thread is locked.
    pub const LOCKED: u64 = 160_005;
}

/// Why a request came to nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Failed {
    /// Discord refused it.
    Refused {
        /// The HTTP status.
        status: u16,
        /// Discord's own code; 0 when it gave none.
        code: u64,
        /// What it said.
        why: String,
    },
    /// The bot's token is no good.
    Token,
    /// Too fast.
    Slower(Duration),
    /// No answer, or none that could be read: it may have been carried out.
    Lost(String),
}

impl Failed {
    /// Discord's code, 0 when there is none.
    pub fn code(&self) -> u64 {
        if let Self::Refused { code, .. } = self { *code } else { 0 }
    }

    /// For the outbox: what was tried, and which permission it takes.
    pub fn chat(&self, tried: &str, needs: &str) -> ChatError {
        let why = self.words(tried, needs);
        match self {
            Self::Token => ChatError::hopeless(PLATFORM, why),
            Self::Slower(after) => ChatError::later(PLATFORM, why, *after),
            // What Discord has understood and does not want, it will not want the next time.
            Self::Refused { status, .. } if (400..500).contains(status) => ChatError::hopeless(PLATFORM, why),
            Self::Refused { .. } | Self::Lost(_) => ChatError::new(PLATFORM, why),
        }
    }

    fn words(&self, tried: &str, needs: &str) -> String {
        match self {
            Self::Token => "Discord refuses the bot's token: make a new one (Developer Portal, Bot, Reset Token) and \
                            put it where `token` under [chat.discord] points"
                .to_owned(),
            Self::Slower(after) => format!("{tried}: Discord asks to wait {:.1} s", after.as_secs_f64()),
            Self::Lost(why) => format!("{tried}: no answer from Discord: {why}"),
            Self::Refused { code: code::ACCESS, .. } => format!(
                "{tried}: the bot has no access there (50001): it needs View Channel and {needs}; `suture check` says \
                 what is missing"
            ),
            Self::Refused { code: code::PERMISSIONS, .. } => {
                format!("{tried}: the bot lacks a permission (50013), most likely {needs}; `suture check` says which")
            }
            Self::Refused { code: code::CHANNEL, .. } => {
                format!("{tried}: Discord knows no such channel (10003): look at `channel` under [chat.discord]")
            }
            Self::Refused { status, code, why } => format!("{tried}: Discord answered {status}, code {code}: {why}"),
        }
    }
}

/// The way to Discord.
pub(super) struct Rest {
    http: Http,
    client: reqwest::Client,
    api: Option<String>,
    /// The token was refused once. It will not get better, and each further try counts towards a ban.
    refused: AtomicBool,
}

impl Rest {
    pub fn new(token: &Secret, api: Option<&str>) -> Result<Self, ChatError> {
        let client = client(api)?;
        let api = api.map(|api| api.trim_end_matches('/').to_owned());
        Ok(Self { http: http(token, &client, api.as_deref()), client, api, refused: AtomicBool::new(false) })
    }

    /// The same way for the gateway's client, which keeps its own.
    pub fn for_gateway(&self, token: &Secret) -> Http {
        http(token, &self.client, self.api.as_deref())
    }

    /// Asks for something.
    pub async fn get(&self, route: Route<'_>) -> Result<Value, Failed> {
        self.run(Request::new(route, LightMethod::Get), Vec::new()).await
    }

    /// Removes something.
    pub async fn delete(&self, route: Route<'_>) -> Result<Value, Failed> {
        self.run(Request::new(route, LightMethod::Delete), Vec::new()).await
    }

    /// Sends a body.
    pub async fn send(&self, route: Route<'_>, method: LightMethod, body: &Value) -> Result<Value, Failed> {
        self.run(Request::new(route, method).body(Some(body.to_string().into_bytes())), Vec::new()).await
    }

    /// Sends a message with the files that are not there already. `more` goes into the body besides.
    pub async fn message(
        &self,
        route: Route<'_>,
        method: LightMethod,
        message: &Message,
        kept: &[(String, u64)],
        more: Value,
    ) -> Result<Value, Failed> {
        let mut body = message.body(kept);
        if let Value::Object(more) = more {
            merge(&mut body, more);
        }
        let files: Vec<Upload> = message.uploads(kept).into_iter().cloned().collect();
        let body = Value::Object(body).to_string();
        self.run(Request::new(route, method).body(Some(body.into_bytes())), files).await
    }

    async fn run(&self, request: Request<'_>, files: Vec<Upload>) -> Result<Value, Failed> {
        if self.refused.load(Ordering::Relaxed) {
            return Err(Failed::Token);
        }
        let response = match &self.http.ratelimiter {
            // The limiter knows files only as serenity numbers them, which gives all of ours the same number. Such
            // requests are few; one that is too fast comes back as such.
            Some(limiter) if files.is_empty() => limiter.perform(request).await.map_err(|e| lost(&e))?,
            _ => {
                let body = request.body_ref().map(<[u8]>::to_vec);
                let bare = if files.is_empty() { request } else { request.body(None) };
                let built = bare.build(&self.client, self.http.token(), self.api.as_deref()).map_err(|e| lost(&e))?;
                let built = if files.is_empty() { built } else { built.multipart(form(body, files)?) };
                let mut built = built.build().map_err(|e| Failed::Lost(e.without_url().to_string()))?;
                if built.headers().get("content-type").is_some_and(|t| t.as_bytes().starts_with(b"multipart")) {
                    // Without a body serenity writes a length of 0, which would cut the form off.
                    built.headers_mut().remove("content-length");
                }
                self.client.execute(built).await.map_err(|e| Failed::Lost(e.without_url().to_string()))?
            }
        };
        let answered = read(response).await;
        if answered == Err(Failed::Token) {
            self.refused.store(true, Ordering::Relaxed);
        }
        answered
    }
}

fn merge(body: &mut Map<String, Value>, more: Map<String, Value>) {
    for (key, value) in more {
        // Flags are bits: what suppresses previews and what hides a message go together.
        let old = body.get(&key).and_then(Value::as_u64);
        let value = match (key.as_str(), old, value.as_u64()) {
            ("flags", Some(old), Some(new)) => (old | new).into(),
            _ => value,
        };
        body.insert(key, value);
    }
}

fn client(api: Option<&str>) -> Result<reqwest::Client, ChatError> {
    let mut builder = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none());
    if api.is_some() {
        // An address of its own is to be used, and no proxy of the environment in front of it.
        builder = builder.no_proxy();
    } else {
        builder = builder.https_only(true);
    }
    builder.build().map_err(|e| ChatError::hopeless(PLATFORM, format!("no HTTP client: {}", e.without_url())))
}

fn http(token: &Secret, client: &reqwest::Client, api: Option<&str>) -> Http {
    let builder = HttpBuilder::new(token.expose()).client(client.clone());
    match api {
        Some(api) => builder.proxy(api).ratelimiter_disabled(true).build(),
        None => builder.build(),
    }
}

fn form(body: Option<Vec<u8>>, files: Vec<Upload>) -> Result<reqwest::multipart::Form, Failed> {
    let json = String::from_utf8(body.unwrap_or_default()).unwrap_or_default();
    let mut form = reqwest::multipart::Form::new().text("payload_json", json);
    for (id, file) in files.into_iter().enumerate() {
        let mime = match file.name.rsplit('.').next() {
            Some("png") => "image/png",
            Some("csv") => "text/csv",
            Some("txt") => "text/plain",
            Some("json") => "application/json",
            _ => "application/octet-stream",
        };
        let part = reqwest::multipart::Part::bytes(file.bytes).file_name(file.name).mime_str(mime);
        form = form.part(format!("files[{id}]"), part.map_err(|e| Failed::Lost(e.to_string()))?);
    }
    Ok(form)
}

/// serenity's own message of an error; never the address, in which there may be an interaction's token.
fn lost(error: &serenity::Error) -> Failed {
    let why = match error {
        serenity::Error::Http(serenity::http::HttpError::Request(e)) if e.is_timeout() => "it took too long",
        serenity::Error::Http(serenity::http::HttpError::Request(e)) if e.is_connect() => "no connection",
        serenity::Error::Http(serenity::http::HttpError::InvalidHeader(_)) => {
            "the token has characters in it that no token has"
        }
        serenity::Error::Http(serenity::http::HttpError::Url(_)) => "`api` under [chat.discord] is no address",
        _ => "the request failed",
    };
    Failed::Lost(why.to_owned())
}

async fn read(response: reqwest::Response) -> Result<Value, Failed> {
    let status = response.status().as_u16();
    let header = response.headers().get("retry-after").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let bytes = response.bytes().await.map_err(|e| Failed::Lost(e.without_url().to_string()))?;
    let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    judge(status, header, body)
}

/// What an answer means. Pure.
fn judge(status: u16, retry_after: Option<f64>, body: Value) -> Result<Value, Failed> {
    let code = body.get("code").and_then(Value::as_u64).unwrap_or(0);
    match status {
        200..=299 => Ok(body),
        429 => {
            let seconds = body.get("retry_after").and_then(Value::as_f64).or(retry_after);
            // At least a little, at most an hour: whatever it says, it is to be tried again some time.
            let wait = seconds.filter(|s| s.is_finite()).map(|s| Duration::from_secs_f64(s.clamp(0.1, 3600.0)));
            Err(Failed::Slower(wait.unwrap_or(SLOWER)))
        }
        // An interaction's token that is over is refused with 401, too; that one says so.
        401 if code != code::TOKEN => Err(Failed::Token),
        _ => {
            let mut why = body.get("message").and_then(Value::as_str).unwrap_or("no reason given").to_owned();
            if let Some(errors) = body.get("errors") {
                why.push_str(&format!(" {errors}"));
            }
            let why = crate::chat::clean::shortened(&crate::chat::clean::line(&why), 300);
            Err(Failed::Refused { status, code, why })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_an_answer_means() {
        assert_eq!(judge(200, None, json!({ "id": "1" })), Ok(json!({ "id": "1" })));
        assert_eq!(judge(401, None, json!({ "message": "401: Unauthorized", "code": 0 })), Err(Failed::Token));
        assert_eq!(judge(401, None, json!({ "code": 50027 })).unwrap_err().code(), code::TOKEN);
        let slower = |header, body| judge(429, header, body).unwrap_err();
        assert_eq!(slower(None, json!({ "retry_after": 1.5 })), Failed::Slower(Duration::from_millis(1500)));
        assert_eq!(slower(Some(7.0), Value::Null), Failed::Slower(Duration::from_secs(7)));
        assert_eq!(slower(None, Value::Null), Failed::Slower(SLOWER));
    }

    #[test]
    fn only_what_may_yet_succeed_is_tried_again() {
        let of = |status, code| judge(status, None, json!({ "code": code, "message": "m" })).unwrap_err();
        let error = of(403, 50013).chat("posting a card", "Send Messages");
        assert!(error.hopeless && error.why.contains("Send Messages"), "{error}");
        assert!(of(403, 50001).chat("posting a card", "Send Messages").why.contains("View Channel"));
        assert!(of(400, 50035).chat("posting a card", "").hopeless);
        assert!(Failed::Token.chat("posting a card", "").why.contains("Reset Token"));
        assert!(!of(502, 0).chat("posting a card", "").hopeless);
        assert!(!Failed::Lost("timeout".to_owned()).chat("posting a card", "").hopeless);
        let later = Failed::Slower(Duration::from_secs(3)).chat("posting a card", "");
        assert_eq!(later.retry_after, Some(Duration::from_secs(3)));
    }
}

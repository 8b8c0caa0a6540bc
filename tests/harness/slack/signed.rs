//! The app set up with request URLs instead of Socket Mode: signed requests to the bot (page "Verifying requests from
//! Slack"), and forged ones.

use std::fmt::Write as _;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::delivery::{Kind, Record};

/// Where the bot listens, and how what it gets is signed.
#[derive(Clone, Debug)]
pub struct Http {
    /// The request URL of the slash command.
    pub commands: String,
    /// The request URL of buttons and forms.
    pub interactions: String,
    /// The request URL of the Events API.
    pub events: String,
    /// The app's signing secret.
    pub secret: String,
    /// How it is signed.
    pub seal: Seal,
}

/// How a request is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seal {
    /// As Slack does.
    Right,
    /// With another secret.
    Forged,
    /// Rightly, so long ago: a request that somebody recorded.
    Old(Duration),
    /// For another body.
    Altered,
    /// Not at all.
    Missing,
}

impl Http {
    pub(super) fn is_honest(&self) -> bool {
        self.seal == Seal::Right
    }
}

/// What the bot said.
pub(super) struct Reply {
    pub status: u16,
    pub no_retry: bool,
    pub body: String,
}

impl Reply {
    /// What the body says in place of the payload of an ack: for a command plain text is a message too.
    pub fn payload(&self, kind: Kind) -> Option<Value> {
        let body = self.body.trim();
        match (kind, serde_json::from_str::<Value>(body)) {
            (Kind::Command | Kind::Form, Ok(value)) if value.is_object() => Some(value),
            (Kind::Command, _) if !body.is_empty() => Some(json!({"text": body})),
            _ => None,
        }
    }
}

/// Posts one delivery.
pub(super) async fn deliver(http: &Http, record: &Record) -> io::Result<Reply> {
    let form = "application/x-www-form-urlencoded";
    let (url, kind, body) = match record.kind {
        Kind::Command => {
            let fields = record.payload.as_object().into_iter().flatten();
            let fields = fields.map(|(key, value)| format!("{key}={}", encode(value.as_str().unwrap_or_default())));
            (&http.commands, form, fields.collect::<Vec<_>>().join("&"))
        }
        Kind::Press | Kind::Form | Kind::Closed => {
            (&http.interactions, form, format!("payload={}", encode(&record.payload.to_string())))
        }
        Kind::Event => (&http.events, "application/json", record.payload.to_string()),
    };
    let mut headers = String::new();
    if record.kind == Kind::Event && record.attempt > 0 {
        let _ = write!(headers, "X-Slack-Retry-Num: {}\r\nX-Slack-Retry-Reason: http_timeout\r\n", record.attempt);
    }
    post(http, url, kind, &headers, &body).await
}

/// Asks whether that is really the bot's address, as Slack does when it is entered (page "url_verification").
pub(super) async fn challenge(http: &Http) -> io::Result<bool> {
    let word = "a-word-that-comes-back";
    let body = json!({"token": "legacy-verification-token", "challenge": word, "type": "url_verification"});
    let reply = post(http, &http.events, "application/json", "", &body.to_string()).await?;
    let in_json = serde_json::from_str::<Value>(&reply.body).is_ok_and(|json| json["challenge"] == word);
    Ok(reply.status == 200 && (in_json || reply.body.trim() == word))
}

async fn post(http: &Http, url: &str, kind: &str, headers: &str, body: &str) -> io::Result<Reply> {
    let rest = url.strip_prefix("http://").ok_or_else(|| io::Error::other(format!("not an http URL: {url}")))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut head = format!("POST /{path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: {kind}\r\n{headers}");
    let _ = write!(head, "User-Agent: Slackbot 1.0\r\nContent-Length: {}\r\n", body.len());
    head.push_str(&signature(http, body));
    head.push_str("\r\n");
    let mut stream = TcpStream::connect(host).await?;
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    let no_retry = head.to_ascii_lowercase().contains("x-slack-no-retry: 1");
    Ok(Reply { status, no_retry, body: body.to_owned() })
}

fn signature(http: &Http, body: &str) -> String {
    let age = if let Seal::Old(age) = http.seal { age } else { Duration::ZERO };
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(age).as_secs();
    let secret = if http.seal == Seal::Forged { "not-the-secret" } else { http.secret.as_str() };
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(format!("v0:{at}:{body}").as_bytes());
    if http.seal == Seal::Altered {
        mac.update(b"and more");
    }
    if http.seal == Seal::Missing {
        return String::new();
    }
    let mut hex = String::new();
    for byte in mac.finalize().into_bytes() {
        let _ = write!(hex, "{byte:02x}");
    }
    format!("X-Slack-Request-Timestamp: {at}\r\nX-Slack-Signature: v0={hex}\r\n")
}

/// Percent-encoding for a form.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => encoded.push(char::from(byte)),
            b' ' => encoded.push('+'),
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

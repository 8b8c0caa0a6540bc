//! The HTTP side: who may call what in which form, and the weather (page "Using the Slack Web API").

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, Request, State as Extract};
use axum::http::{HeaderMap, Method as Verb, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use serde_json::{Value, json};

use super::args::{Answer, Args, refuse};
use super::delivery::{self, Kind};
use super::shared::Shared;
use super::state::{Call, State};
use super::{chat, directory, files, payload, respond, socket, views};

/// Page "Rate limits": a few more than one a second are let pass.
const BURST: u32 = 3;

/// How a method is called.
struct Method {
    name: &'static str,
    /// The scope of a bot token, empty when none is needed. `read` and `history` stand for the scope of the channel's
    /// kind.
    scope: &'static str,
    /// Does it take JSON? The pages of reading methods say: forms only.
    json: bool,
    run: fn(&mut State, &Args) -> Answer,
}

const METHODS: &[Method] = &[
    Method { name: "auth.test", scope: "", json: true, run: directory::auth_test },
    Method { name: "chat.delete", scope: "chat:write", json: true, run: chat::delete },
    Method { name: "chat.getPermalink", scope: "", json: false, run: chat::permalink },
    Method { name: "chat.postEphemeral", scope: "chat:write", json: true, run: chat::post_ephemeral },
    Method { name: "chat.postMessage", scope: "chat:write", json: true, run: chat::post },
    Method { name: "chat.update", scope: "chat:write", json: true, run: chat::update },
    Method { name: "conversations.info", scope: "read", json: false, run: directory::info },
    Method { name: "conversations.members", scope: "read", json: false, run: directory::members },
    Method { name: "conversations.replies", scope: "history", json: false, run: directory::replies },
    Method { name: "files.completeUploadExternal", scope: "files:write", json: true, run: files::complete },
    Method { name: "files.getUploadURLExternal", scope: "files:write", json: true, run: files::upload_url },
    Method { name: "files.info", scope: "files:read", json: false, run: files::info },
    Method { name: "usergroups.list", scope: "usergroups:read", json: false, run: directory::groups },
    Method { name: "usergroups.users.list", scope: "usergroups:read", json: false, run: directory::group_users },
    Method { name: "users.info", scope: "users:read", json: false, run: directory::user },
    Method { name: "views.open", scope: "", json: true, run: views::open },
    Method { name: "views.update", scope: "", json: true, run: views::update },
];

/// The bot's token, put together so that no scanner takes it for one.
pub(super) fn bot_token() -> String {
    ["xoxb", "0000000000", "fake-bot"].join("-")
}

/// The app-level token.
pub(super) fn app_token() -> String {
    ["xapp", "1", "A0FAKE0001", "fake-app"].join("-")
}

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/api/{method}", any(api))
        .route("/link/", get(link))
        .route("/upload/v1/{id}", post(upload))
        .route("/actions/{team}/{id}/answer", post(response_url))
        .with_state(shared)
}

/// Waits out a fake that hangs; gives the answer of one that is down.
async fn weather(shared: &Shared) -> Option<Response> {
    delivery::wait(shared, Duration::from_secs(600), |state| !state.weather.hang).await;
    let down = shared.read(|state| state.weather.down);
    down.then(|| (StatusCode::SERVICE_UNAVAILABLE, "upstream connect error").into_response())
}

async fn api(Extract(shared): Extract<Arc<Shared>>, Path(method): Path<String>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    if let Some(gone) = weather(&shared).await {
        shared.change(|state| note(state, &method, "503", Value::Null));
        return gone;
    }
    let request = decode(&head.method, &head.uri, &head.headers, &body);
    let token = bearer(&head.headers);
    let response = shared.change(|state| answer(state, &method, &head.method, token, request));
    tell(&shared);
    response
}

/// Events that the call brought about.
fn tell(shared: &Arc<Shared>) {
    for event in shared.change(|state| std::mem::take(&mut state.outgoing)) {
        if shared.read(|state| state.scopes.contains("im:history")) {
            let payload = shared.change(|state| payload::event(state, event));
            delivery::deliver(shared, Kind::Event, payload, "");
        }
    }
}

struct Decoded {
    args: Args,
    json: bool,
    /// Page "Using the Slack Web API": what is wrong with the body's form.
    wrong: Option<&'static str>,
}

fn decode(verb: &Verb, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Decoded {
    let mut args = Args::form(uri.query().unwrap_or_default());
    // A token in the address would end up in logs, and is not accepted there.
    args.0.remove("token");
    let text = String::from_utf8_lossy(body);
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let mut decoded = Decoded { args, json: false, wrong: None };
    if verb == Verb::GET || body.is_empty() {
        return decoded;
    }
    match kind.split(';').next().unwrap_or_default().trim() {
        "application/json" => {
            decoded.json = true;
            match Args::json(&text) {
                Some(args) => decoded.args.0.extend(args.0),
                None => decoded.wrong = Some("invalid_json"),
            }
        }
        "application/x-www-form-urlencoded" => decoded.args.0.extend(Args::form(&text).0),
        "" => decoded.wrong = Some("missing_post_type"),
        _ => decoded.wrong = Some("invalid_post_type"),
    }
    decoded
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ").map(|token| token.trim().to_owned())
}

fn answer(state: &mut State, name: &str, verb: &Verb, token: Option<String>, mut request: Decoded) -> Response {
    let planned = state.weather.fail.get_mut(name).and_then(std::collections::VecDeque::pop_front);
    let lost = planned.as_deref() == Some("lost");
    let shown = Value::Object(request.args.0.clone());
    if let Some(error) = planned.filter(|_| !lost) {
        note(state, name, &error, shown);
        return match error.parse::<u16>().ok().and_then(|status| StatusCode::from_u16(status).ok()) {
            Some(status) => (status, "").into_response(),
            None if error == "ratelimited" => rate_limited(Duration::from_secs(1)),
            None => reply(state, "", &refuse(&error).body()),
        };
    }
    let token = token.or_else(|| request.args.text("token").filter(|_| !request.json));
    let method = METHODS.iter().find(|method| method.name == name);
    let accepted = method.map_or("", |method| method.scope);
    if let (Some("chat.postMessage"), Some(wait)) = (method.map(|method| method.name), must_wait(state, &request.args))
    {
        note(state, name, "ratelimited", shown);
        return rate_limited(wait);
    }
    let done = match (&token, method) {
        (None, _) => Err(refuse("not_authed")),
        _ if request.wrong.is_some() => Err(refuse(request.wrong.unwrap_or_default())),
        (Some(token), _) if name == "apps.connections.open" => connect(state, verb, token),
        (_, None) => Err(refuse("unknown_method")),
        (Some(token), Some(method)) => {
            if request.json && !method.json {
                // What the page calls forms only reads no JSON: every argument is missing.
                request.args = Args::default();
            }
            run(state, token, method, &request.args)
        }
    };
    let (outcome, body) = match done {
        Ok(body) => ("ok".to_owned(), body),
        Err(refusal) => {
            if !refusal.is_weather() {
                state.reject(format!(
                    "{name}: {}",
                    [vec![refusal.error.clone()], refusal.details.clone()].concat().join("; ")
                ));
            }
            (refusal.error.clone(), refusal.body())
        }
    };
    note(state, name, if lost { "lost" } else { &outcome }, shown);
    if lost {
        let broken = futures::stream::once(async { Err::<Bytes, _>(io::Error::other("the answer gets lost")) });
        return Body::from_stream(broken).into_response();
    }
    reply(state, accepted, &body)
}

fn run(state: &mut State, token: &str, method: &Method, args: &Args) -> Answer {
    if token == app_token() {
        return Err(refuse("not_allowed_token_type"));
    }
    if token != bot_token() {
        return Err(refuse("invalid_auth"));
    }
    let scope = match method.scope {
        "read" | "history" => {
            let id = args.text("channel").unwrap_or_default();
            let kind = match state.channel(&id) {
                Some(channel) if channel.direct => "im",
                Some(channel) if channel.private => "groups",
                _ => "channels",
            };
            format!("{kind}:{}", method.scope)
        }
        scope => scope.to_owned(),
    };
    if !scope.is_empty() && !state.scopes.contains(&scope) {
        let mut refusal = refuse("missing_scope");
        refusal.extra.insert("needed".to_owned(), json!(scope));
        refusal.extra.insert("provided".to_owned(), json!(scopes(state)));
        return Err(refusal);
    }
    (method.run)(state, args)
}

/// Page "apps.connections.open": POST, with an app-level token in the header.
fn connect(state: &mut State, verb: &Verb, token: &str) -> Answer {
    if *verb != Verb::POST {
        return Err(refuse("insecure_request"));
    }
    if token == bot_token() {
        return Err(refuse("not_allowed_token_type"));
    }
    if token != app_token() {
        return Err(refuse("invalid_auth"));
    }
    let ticket = state.next().to_string();
    state.tickets.insert(ticket.clone());
    let host = state.origin.replacen("http", "ws", 1);
    Ok(json!({"ok": true, "url": format!("{host}/link/?ticket={ticket}&app_id={}", super::APP)}))
}

fn scopes(state: &State) -> String {
    state.scopes.iter().cloned().collect::<Vec<_>>().join(",")
}

fn reply(state: &State, accepted: &str, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE.as_str(), "application/json; charset=utf-8".to_owned()),
        ("x-oauth-scopes", scopes(state)),
        ("x-accepted-oauth-scopes", accepted.to_owned()),
    ];
    (headers, body.to_string()).into_response()
}

/// Page "Rate limits": HTTP 429 with whole seconds to wait.
fn rate_limited(wait: Duration) -> Response {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let headers = [("retry-after", seconds.max(1).to_string()), ("content-type", "application/json".to_owned())];
    (StatusCode::TOO_MANY_REQUESTS, headers, json!({"ok": false, "error": "ratelimited"}).to_string()).into_response()
}

/// One message a second in each channel, and a few more at once.
fn must_wait(state: &mut State, args: &Args) -> Option<Duration> {
    let every = state.weather.every?;
    let now = state.now();
    let due = state.weather.due.entry(args.text("channel")?).or_insert(now);
    let next = (*due).max(now) + every;
    let ahead = next - now;
    if ahead > every * BURST {
        return Some(ahead - every * BURST);
    }
    *due = next;
    None
}

fn note(state: &mut State, method: &str, outcome: &str, args: Value) {
    let at = state.now() - state.started;
    state.calls.push(Call { method: method.to_owned(), at, outcome: outcome.to_owned(), args });
}

async fn link(Extract(shared): Extract<Arc<Shared>>, uri: Uri, upgrade: WebSocketUpgrade) -> Response {
    let query = Args::form(uri.query().unwrap_or_default());
    let ticket = query.text("ticket").unwrap_or_default();
    // A ticket is good for one connection: whoever reconnects asks for a new address.
    let (known, refuses) = shared.change(|state| (state.tickets.remove(&ticket), state.weather.refuse));
    if refuses {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if !known {
        shared.change(|state| state.reject("socket: a ticket that is used up or unknown"));
        return StatusCode::NOT_FOUND.into_response();
    }
    upgrade.on_upgrade(move |socket| socket::run(socket, shared))
}

/// A failure that a test asked for, of what is no method.
fn planned(shared: &Shared, name: &str) -> Option<Response> {
    let error = shared.change(|state| state.weather.fail.get_mut(name)?.pop_front())?;
    shared.change(|state| note(state, name, &error, Value::Null));
    let status = error.parse::<u16>().ok().and_then(|status| StatusCode::from_u16(status).ok());
    Some((status.unwrap_or(StatusCode::BAD_REQUEST), error).into_response())
}

async fn upload(
    Extract(shared): Extract<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap_or_default();
    if let Some(gone) = weather(&shared).await.or_else(|| planned(&shared, "upload")) {
        return gone;
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    shared.change(|state| match files::receive(state, &id, kind, &body) {
        Ok(length) => {
            note(state, "upload", "ok", json!({"length": length}));
            format!("OK - {length}").into_response()
        }
        Err(why) => {
            note(state, "upload", &why, Value::Null);
            state.reject(format!("upload: {why}"));
            (StatusCode::BAD_REQUEST, why).into_response()
        }
    })
}

async fn response_url(
    Extract(shared): Extract<Arc<Shared>>,
    Path((_, id)): Path<(String, String)>,
    request: Request,
) -> Response {
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap_or_default();
    if let Some(gone) = weather(&shared).await.or_else(|| planned(&shared, "response_url")) {
        return gone;
    }
    let body = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    let response = shared.change(|state| match respond::posted(state, &id, &body) {
        Ok(()) => {
            note(state, "response_url", "ok", body);
            "ok".into_response()
        }
        Err(refusal) => {
            note(state, "response_url", &refusal.error, body);
            state.reject(format!("response_url: {}: {}", refusal.error, refusal.details.join("; ")));
            let gone = matches!(refusal.error.as_str(), "used_url" | "expired_url");
            let status = if gone { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
            let headers = [(header::CONTENT_TYPE, "application/json")];
            (status, headers, refusal.body().to_string()).into_response()
        }
    });
    tell(&shared);
    response
}

//! The HTTP side: who may ask what, how often, and what the answer looks like on the wire.
//! Rules of the pages "Reference" (Authentication, User Agent), "Rate Limits" and the pages of each resource.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::{self, State as Extract};
use axum::response::Response;
use serde_json::{Value, json};

use super::error::Refusal;
use super::files::{self, Upload};
use super::world::{Call, State};
use super::{FakeDiscord, Shared, commands, interactions, messages, render};

/// A status and a body, or a refusal.
pub type Answer = Result<(u16, Value), Refusal>;

/// A request that was read.
pub struct Request {
    pub method: String,
    /// Behind /api/v10/.
    pub path: String,
    pub query: String,
    pub authorization: String,
    pub user_agent: String,
    pub body: Value,
    pub files: Vec<Upload>,
}

impl Request {
    /// A parameter of the query. Nothing here needs decoding.
    pub fn query(&self, key: &str) -> Option<String> {
        let pairs = self.query.split('&').filter_map(|p| p.split_once('='));
        pairs.filter(|(k, _)| *k == key).map(|(_, v)| v.to_owned()).next()
    }
}

/// Answers everything but the gateway.
pub async fn handle(Extract(shared): Extract<Arc<Shared>>, request: extract::Request) -> Response {
    let path = request.uri().path().to_owned();
    if shared.look(|s| s.weather.down) {
        // Not Discord's own form: what is in front of it answers while it is down.
        return plain(503, "text/plain", b"upstream connect error or disconnect/reset before headers".to_vec());
    }
    if let Some(file) = path.strip_prefix("/attachments/") {
        return shared.look(|s| attachment(s, file));
    }
    let header = |request: &extract::Request, name: &str| {
        let value = request.headers().get(name).and_then(|v| v.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let (authorization, user_agent) = (header(&request, "authorization"), header(&request, "user-agent"));
    let (method, query) = (request.method().to_string(), request.uri().query().unwrap_or_default().to_owned());
    let path = path.strip_prefix("/api/v10/").map(ToOwned::to_owned);
    let read = files::read(request).await;
    shared.change(|state| {
        let Some(path) = path else { return wire(Err(Refusal::not_found()), Limits::default()) };
        let (body, files, failed) = match read {
            Ok((body, files)) => (body, files, None),
            Err(refusal) => (Value::Null, Vec::new(), Some(refusal)),
        };
        let request = Request { method, path, query, authorization, user_agent, body, files };
        let limits = limited(state, &request);
        let answer = match (&limits.wait, failed) {
            (Some(_), _) => {
                Err(Refusal { status: 429, code: 0, message: "You are being rate limited.".to_owned(), errors: None })
            }
            (None, Some(refusal)) => Err(refusal),
            (None, None) => allowed(&request).and_then(|()| route(state, &request)),
        };
        note(state, &request, &answer);
        wire(answer, limits)
    })
}

fn note(state: &mut State, request: &Request, answer: &Answer) {
    let path =
        if request.query.is_empty() { request.path.clone() } else { format!("{}?{}", request.path, request.query) };
    let (status, code) = match answer {
        Ok((status, _)) => (*status, None),
        Err(refusal) => (refusal.status, Some(refusal.code)),
    };
    if let Err(refusal) = answer
        && refusal.status != 429
    {
        state.reject(format!("{} /{path}: {}", request.method, refusal.line()));
    }
    state.calls.push(Call {
        method: request.method.clone(),
        path: format!("/{path}"),
        status,
        code,
        body: request.body.clone(),
        files: request.files.iter().map(|f| (f.name.clone(), f.bytes.len())).collect(),
        at: state.started.elapsed(),
    });
}

/// What the rate limit says of a call.
#[derive(Default)]
struct Limits {
    wait: Option<Duration>,
    every: Option<Duration>,
    global: bool,
}

/// One call every so often where a test asked for that (page "Rate Limits"). Interactions' callbacks are not bound to
/// the global limit.
fn limited(state: &mut State, request: &Request) -> Limits {
    let callback = request.path.starts_with("interactions/");
    let now = Instant::now();
    let path = format!("/{}", request.path);
    for limit in state.weather.limits.iter_mut() {
        if !path.contains(&limit.part) || (limit.global && callback) {
            continue;
        }
        let next = limit.last.map(|last| last + limit.every);
        if let Some(next) = next.filter(|next| *next > now) {
            return Limits { wait: Some(next - now), every: Some(limit.every), global: limit.global };
        }
        limit.last = Some(now);
        return Limits { wait: None, every: Some(limit.every), global: limit.global };
    }
    Limits::default()
}

fn allowed(request: &Request) -> Result<(), Refusal> {
    // Other user agents are stopped in front of the API.
    if !request.user_agent.starts_with("DiscordBot (") {
        let message = "internal network error".to_owned();
        return Err(Refusal { status: 403, code: 40333, message, errors: None });
    }
    // A token in the path stands for itself.
    let open = ["interactions/", "webhooks/"].iter().any(|p| request.path.starts_with(p)) || request.path == "gateway";
    if open || request.authorization == format!("Bot {}", FakeDiscord::token()) {
        return Ok(());
    }
    Err(Refusal::unauthorized())
}

fn route(state: &mut State, request: &Request) -> Answer {
    let segments: Vec<_> = request.path.split('/').collect();
    let socket = state.base.replacen("http", "ws", 1) + "/socket";
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", ["gateway"]) => Ok((200, json!({"url": socket}))),
        ("GET", ["gateway", "bot"]) => {
            let left = 1000 - state.identified;
            let limit = json!({"total": 1000, "remaining": left, "reset_after": 14_400_000, "max_concurrency": 1});
            Ok((200, json!({"url": socket, "shards": 1, "session_start_limit": limit})))
        }
        ("GET", ["users", "@me"]) => {
            let mut user = render::user(&state.user(&state.bot));
            for (key, value) in [("verified", json!(true)), ("mfa_enabled", json!(false)), ("email", Value::Null)] {
                user[key] = value;
            }
            Ok((200, user))
        }
        ("GET", ["users", id]) => {
            let found = state.users.iter().find(|u| u.id == *id).map(render::user);
            found.map(|u| (200, u)).ok_or_else(|| Refusal::unknown(10013, "User"))
        }
        ("GET", ["users", "@me", "guilds"]) => {
            let guild = json!({"id": state.guild, "name": "harbour", "icon": null, "owner": false,
                "permissions": state.permissions(&state.user(&state.bot)).to_string(), "features": []});
            Ok((200, json!([guild])))
        }
        ("POST", ["users", "@me", "channels"]) => {
            let id = super::check::text_of(&request.body["recipient_id"]);
            if !state.users.iter().any(|u| u.id == id && !u.bot) {
                return Err(Refusal::unknown(10013, "User"));
            }
            let channel = state.direct_channel(&id);
            Ok((200, render::channel(state, &channel)))
        }
        ("GET", ["oauth2", "applications", "@me"] | ["applications", "@me"]) => Ok((200, application(state))),
        (method, ["applications", id, "commands", rest @ ..]) if *id == state.application => {
            registered(state, request, method, None, rest)
        }
        (method, ["applications", id, "guilds", guild, "commands", rest @ ..]) if *id == state.application => {
            // A guild the bot is not in.
            if *guild != state.guild {
                return Err(Refusal::missing_access());
            }
            let guild = state.guild.clone();
            registered(state, request, method, Some(&guild), rest)
        }
        (_, ["applications", ..]) => Err(Refusal::unknown(10002, "Application")),
        (method, ["guilds", id, rest @ ..]) => guild(state, request, method, id, rest),
        (_, ["channels", id, rest @ ..]) => messages::channels(state, request, id, rest),
        ("POST", ["interactions", id, token, "callback"]) => interactions::callback(state, request, id, token),
        (_, ["webhooks", id, token, rest @ ..]) => interactions::webhook(state, request, id, token, rest),
        _ => Err(Refusal::not_found()),
    }
}

fn guild(state: &State, request: &Request, method: &str, id: &str, rest: &[&str]) -> Answer {
    if id != state.guild {
        return Err(Refusal::unknown(10004, "Guild"));
    }
    let found = |user: &str| state.users.iter().find(|u| u.id == *user);
    let value = match (method, rest) {
        ("GET", []) => {
            let mut guild = render::guild(state);
            if request.query("with_counts").as_deref() == Some("true") {
                guild["approximate_member_count"] = json!(state.users.len());
                guild["approximate_presence_count"] = json!(1);
            }
            guild
        }
        ("GET", ["roles"]) => json!(state.roles.iter().map(|r| render::role(state, r)).collect::<Vec<_>>()),
        ("GET", ["roles", role]) => match state.roles.iter().find(|r| r.id == *role) {
            Some(role) => render::role(state, role),
            None => return Err(Refusal::unknown(10011, "Role")),
        },
        ("GET", ["channels"]) => {
            let own = state.channels.iter().filter(|c| c.kind == 0);
            json!(own.map(|c| render::channel(state, c)).collect::<Vec<_>>())
        }
        ("GET", ["threads", "active"]) => {
            let open = state.channels.iter().filter(|c| c.kind == 11 && !c.archived);
            json!({"threads": open.map(|c| render::channel(state, c)).collect::<Vec<_>>(), "members": []})
        }
        ("GET", ["members", user]) => match found(user) {
            Some(user) => render::member(state, user),
            None if user.bytes().all(|b| b.is_ascii_digit()) => return Err(Refusal::unknown(10007, "Member")),
            None => return Err(Refusal::not_found()),
        },
        // Listing members is only for applications with that privileged intent (page "Guild", List Guild Members).
        ("GET", ["members"]) if state.weather.privileged & (1 << 1) == 0 => return Err(Refusal::missing_access()),
        ("GET", ["members"]) => json!(state.users.iter().map(|u| render::member(state, u)).collect::<Vec<_>>()),
        _ => return Err(Refusal::not_found()),
    };
    Ok((200, value))
}

fn application(state: &State) -> Value {
    json!({
        "id": state.application, "name": "suture", "icon": null, "description": "", "bot_public": false,
        "bot_require_code_grant": false, "verify_key": "0", "team": null, "flags": 0, "summary": "",
        "owner": render::user(&state.user(&state.owner)), "approximate_guild_count": 1, "redirect_uris": [],
        "interactions_endpoint_url": null, "role_connections_verification_url": null,
        "bot": render::user(&state.user(&state.bot)),
    })
}

/// Registered commands, the guild's or the global ones (page "Application Commands", Endpoints).
fn registered(state: &mut State, request: &Request, method: &str, guild: Option<&str>, rest: &[&str]) -> Answer {
    let list = |state: &mut State| match guild {
        Some(_) => std::mem::take(&mut state.guild_commands),
        None => std::mem::take(&mut state.global_commands),
    };
    let before = list(state);
    let mut now = before.clone();
    let answer = match (method, rest) {
        ("GET", []) => Ok((200, json!(before))),
        ("PUT", []) => commands::check_all(&request.body).map(|()| {
            let new = request.body.as_array().cloned().unwrap_or_default();
            now = new.into_iter().map(|c| with_id(state, guild, &before, c)).collect();
            (200, json!(now))
        }),
        ("POST", []) => commands::check_one(&request.body).map(|()| {
            let new = with_id(state, guild, &before, request.body.clone());
            let status = if now.iter().any(|c| c["id"] == new["id"]) { 200 } else { 201 };
            now.retain(|c| c["id"] != new["id"]);
            now.push(new.clone());
            (status, new)
        }),
        (_, [id]) => match (method, before.iter().find(|c| c["id"] == *id)) {
            (_, None) => Err(Refusal::unknown(10063, "application command")),
            ("GET", Some(command)) => Ok((200, command.clone())),
            ("DELETE", Some(_)) => {
                now.retain(|c| c["id"] != *id);
                Ok((204, Value::Null))
            }
            _ => Err(Refusal::not_allowed()),
        },
        _ => Err(Refusal::not_allowed()),
    };
    match guild {
        Some(_) => state.guild_commands = now,
        None => state.global_commands = now,
    }
    answer
}

/// A command keeps its id when it is registered again under its name.
fn with_id(state: &mut State, guild: Option<&str>, before: &[Value], mut command: Value) -> Value {
    let same = |c: &&Value| c["name"] == command["name"] && c["type"] == *command.get("type").unwrap_or(&json!(1));
    let id = before.iter().find(same).map(|c| c["id"].clone()).unwrap_or_else(|| json!(state.id()));
    let version = state.id();
    command["id"] = id;
    command["application_id"] = json!(state.application);
    command["version"] = json!(version);
    for (key, value) in [("type", json!(1)), ("default_member_permissions", Value::Null), ("nsfw", json!(false))] {
        if command.get(key).is_none() {
            command[key] = value;
        }
    }
    if let Some(guild) = guild {
        command["guild_id"] = json!(guild);
    }
    command
}

fn attachment(state: &State, path: &str) -> Response {
    let id = path.split('/').nth(1).unwrap_or_default();
    let mut all = state.messages.iter().filter(|m| !m.deleted).flat_map(|m| &m.attachments);
    match all.find(|a| a.id == id) {
        Some(file) => plain(200, &file.content_type, file.bytes.clone()),
        None => plain(404, "text/plain", b"This content is no longer available.".to_vec()),
    }
}

fn plain(status: u16, content_type: &str, bytes: Vec<u8>) -> Response {
    let built = Response::builder().status(status).header("content-type", content_type).body(Body::from(bytes));
    built.expect("a response of known parts")
}

fn wire(answer: Answer, limits: Limits) -> Response {
    let (status, mut body) = match answer {
        Ok((status, body)) => (status, body),
        Err(refusal) => (refusal.status, refusal.body()),
    };
    let mut builder = Response::builder().status(status).header("content-type", "application/json");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let mut headers = BTreeMap::new();
    let after = limits.wait.or(limits.every).unwrap_or(Duration::from_secs(1)).as_secs_f64();
    let (limit, left) = if limits.every.is_some() { (1, 0) } else { (50, 49) };
    headers.insert("x-ratelimit-limit", limit.to_string());
    headers.insert("x-ratelimit-remaining", left.to_string());
    headers.insert("x-ratelimit-reset", format!("{:.3}", now + after));
    headers.insert("x-ratelimit-reset-after", format!("{after:.3}"));
    headers.insert("x-ratelimit-bucket", "fake".to_owned());
    if let Some(wait) = limits.wait {
        headers.insert("retry-after", format!("{}", wait.as_secs_f64().ceil()));
        headers.insert("x-ratelimit-scope", if limits.global { "global" } else { "user" }.to_owned());
        if limits.global {
            headers.insert("x-ratelimit-global", "true".to_owned());
        }
        body = json!({
            "message": "You are being rate limited.", "global": limits.global,
            "retry_after": (wait.as_secs_f64() * 1000.0).ceil() / 1000.0,
        });
    }
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    let bytes = if status == 204 { Vec::new() } else { body.to_string().into_bytes() };
    builder.body(Body::from(bytes)).expect("a response of known parts")
}

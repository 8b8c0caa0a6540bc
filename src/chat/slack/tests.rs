//! The adapter against a small server that plays Slack's Web API: it writes down each call and answers as told.

mod calls;
mod hears;
mod looks;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::*;
use crate::chat::{Block, Button, CardAction, Field, Form, Heard, MemoryStore, Press, Said, Tone};
use crate::model::{FakeClock, Person, Timestamp};

const START: i64 = 1_793_620_800_000;

/// What a call is answered with.
#[derive(Clone)]
enum Told {
    Body(Value),
    Status(u16),
    /// 429 with this Retry-After.
    Limited(u64),
}

#[derive(Default)]
struct Book {
    calls: Vec<(String, Value)>,
    told: HashMap<String, VecDeque<Told>>,
    posted: usize,
    origin: String,
}

/// The server's side.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Book>>);

impl Server {
    async fn start() -> (Self, String) {
        let server = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        server.0.lock().unwrap().origin.clone_from(&origin);
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (server, format!("{origin}/api"))
    }

    /// The next call of the method is answered so.
    fn next(&self, method: &str, told: Told) {
        self.0.lock().unwrap().told.entry(method.to_owned()).or_default().push_back(told);
    }

    fn refuse(&self, method: &str, error: &str) {
        self.next(method, Told::Body(json!({"ok": false, "error": error})));
    }

    /// The calls of a method, in order.
    fn calls(&self, method: &str) -> Vec<Value> {
        let book = self.0.lock().unwrap();
        book.calls.iter().filter(|(name, _)| name == method).map(|(_, body)| body.clone()).collect()
    }

    /// The names of all calls, in order.
    fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().calls.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Waits for as many calls of the method.
    async fn wait_for(&self, method: &str, count: usize) -> Vec<Value> {
        let there = async {
            loop {
                let calls = self.calls(method);
                if calls.len() >= count {
                    return calls;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), there).await.unwrap()
    }
}

async fn answer(State(server): State<Server>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let method = uri.path().trim_start_matches("/api/").trim_start_matches('/').to_owned();
    let mut args: Value = serde_json::from_slice(&body).unwrap_or_else(|_| json!({"bytes": body.len()}));
    for pair in uri.query().into_iter().flat_map(|query| query.split('&')) {
        let (key, value) = pair.split_once('=').unwrap();
        args[key] = json!(value);
    }
    if method == "upload" {
        assert!(!headers.contains_key("authorization"), "the token goes to Slack's API only");
    } else {
        assert!(headers["authorization"].to_str().unwrap().starts_with("Bearer "));
    }
    let mut book = server.0.lock().unwrap();
    book.calls.push((method.clone(), args.clone()));
    match book.told.get_mut(&method).and_then(VecDeque::pop_front) {
        Some(Told::Status(status)) => return StatusCode::from_u16(status).unwrap().into_response(),
        Some(Told::Limited(after)) => {
            let body = axum::Json(json!({"ok": false, "error": "ratelimited"}));
            return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", after.to_string())], body).into_response();
        }
        Some(Told::Body(body)) => return axum::Json(body).into_response(),
        None => {}
    }
    let body = match method.as_str() {
        "chat.postMessage" => {
            book.posted += 1;
            // A message to a person opens a direct conversation.
            let channel = args["channel"].as_str().unwrap().replacen('U', "D", 1);
            json!({"ok": true, "channel": channel, "ts": format!("1503435956.{:06}", book.posted)})
        }
        "chat.update" => json!({"ok": true, "channel": args["channel"], "ts": args["ts"]}),
        "chat.getPermalink" => json!({"ok": true, "permalink": "https://fake.slack.com/archives/C024BE91L/p1"}),
        "files.getUploadURLExternal" => {
            json!({"ok": true, "upload_url": format!("{}/upload", book.origin), "file_id": "F0123456789"})
        }
        "auth.test" => {
            json!({"ok": true, "user_id": "U0BOT00001", "team_id": "T0FAKE0001", "user": "suture", "team": "Fake"})
        }
        "users.info" => json!({"ok": true, "user": {"profile": {"display_name": "anna"}, "name": "a.smith"}}),
        "usergroups.list" => json!({"ok": true, "usergroups": [{"id": "S0614TZR7", "users": ["U024BE7LH"]}]}),
        "conversations.info" => json!({"ok": true, "channel": {"name": "ops", "is_member": true}}),
        _ => json!({"ok": true}),
    };
    let scopes = "chat:write,commands,app_mentions:read,im:history,files:write";
    ([("x-oauth-scopes", scopes)], axum::Json(body)).into_response()
}

/// The adapter with its server.
struct Case {
    server: Server,
    slack: Slack,
    store: Arc<MemoryStore>,
    clock: Arc<FakeClock>,
    api: String,
}

impl Case {
    async fn new() -> Self {
        let (server, api) = Server::start().await;
        let store = Arc::new(MemoryStore::default());
        let clock = Arc::new(FakeClock::at(Timestamp(START)));
        let slack = Slack::new(options(&api), store.clone(), clock.clone()).unwrap();
        Self { server, slack, store, clock, api }
    }

    /// The daemon was started again.
    fn again(&self) -> Slack {
        Slack::new(options(&self.api), self.store.clone(), self.clock.clone()).unwrap()
    }

    fn intake(&self, desk: Arc<dyn Desk>) -> Intake {
        let me = Me { user: "U0BOT00001".to_owned(), team: "T0FAKE0001".to_owned() };
        Intake::new(Arc::clone(&self.slack.inner), desk, me)
    }
}

fn options(api: &str) -> SlackOptions {
    SlackOptions {
        bot_token: Secret::new("xoxb-test"),
        app_token: Some(Secret::new("xapp-test")),
        http: None,
        channel: "C024BE91L".to_owned(),
        api: Some(api.to_owned()),
    }
}

/// A desk that takes everything, or fails, or never answers.
#[derive(Default)]
struct FakeDesk {
    heard: Mutex<Vec<Heard>>,
    fails: bool,
    hangs: bool,
    press: Option<Press>,
}

#[async_trait]
impl Desk for FakeDesk {
    async fn take(&self, heard: Heard) -> Result<(), ChatError> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        if self.fails {
            return Err(ChatError::new("desk", "the disk is full"));
        }
        self.heard.lock().unwrap().push(heard);
        Ok(())
    }

    fn press(&self, _: &str, _: &Person) -> Press {
        self.press.clone().unwrap_or(Press::Go)
    }

    fn complete(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

fn card(key: &str, title: &str) -> Card {
    Card {
        key: key.to_owned(),
        title: title.to_owned(),
        tone: Tone::Waiting,
        blocks: vec![Block::Field("Since".to_owned(), "12:00:00 UTC (4.2 s ago)".to_owned())],
        ..Card::default()
    }
}

#[tokio::test]
async fn options_that_cannot_work_are_refused() {
    let with = |change: fn(&mut SlackOptions)| {
        let mut options = options("http://127.0.0.1:1/api");
        change(&mut options);
        Slack::new(options, Arc::new(MemoryStore::default()), Arc::new(FakeClock::default())).err().map(|e| e.why)
    };
    assert_eq!(with(|_| {}), None);
    assert!(with(|o| o.channel = "#ops".to_owned()).unwrap().contains("C024BE91L"));
    assert!(with(|o| o.app_token = None).unwrap().contains("app_token"));
    assert!(with(|o| o.api = Some("http://example.com/api".to_owned())).unwrap().contains("https"));
    assert!(!format!("{:?}", options("http://127.0.0.1:1")).contains("xoxb"), "a secret is not shown");
}

#[tokio::test]
async fn the_check_names_what_is_missing() {
    let case = Case::new().await;
    let proofs = case.slack.check().await;
    let said: Vec<_> = proofs.iter().map(|p| format!("{}: {:?}", p.what, p.found)).collect();
    let said = said.join("\n");
    assert!(said.contains("slack: bot token: Ok(\"suture in Fake\")"), "{said}");
    assert!(said.contains("slack: scope chat:write: Ok") && said.contains("usergroups:read: Ok(\"not there"), "{said}");
    assert!(said.contains("the bot is in ops") && said.contains("app token: Ok"), "{said}");

    case.server.refuse("conversations.info", "missing_scope");
    case.server.refuse("chat.postEphemeral", "not_in_channel");
    case.server.refuse("apps.connections.open", "not_allowed_token_type");
    let proofs = case.slack.check().await;
    let wrong: Vec<_> = proofs.into_iter().filter_map(|p| p.found.err()).collect();
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong[0].contains("/invite") && wrong[1].contains("xapp-"), "{wrong:?}");
}

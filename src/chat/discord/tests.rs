//! The adapter against a small server that notes what it is asked.

// The server is made with what this feature brings.
#![cfg(feature = "local")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};

use super::events::{Ack, Again, Event, Reply, Token};
use super::gateway::Handler;
use super::*;
use crate::chat::{Button, CardAction, Field, Form, Heard, MemoryStore, Place, Press, Said, Tone};
use crate::model::{Person, Timestamp};

const START: i64 = 1_793_620_800_000;

/// One request: the method, the path below the version, the body.
#[derive(Clone, Debug)]
struct Call {
    what: String,
    body: Value,
    files: usize,
}

type Rule = Box<dyn Fn(&Call) -> Option<(u16, Value)> + Send + Sync>;

#[derive(Default)]
struct World {
    calls: Vec<Call>,
    /// Asked first to last; what none of them answers is answered as if all were well.
    rules: Vec<Rule>,
    next: u64,
}

#[derive(Clone, Default)]
struct Server {
    world: Arc<Mutex<World>>,
}

async fn answer(
    State(server): State<Server>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let text = String::from_utf8_lossy(&body).into_owned();
    let multipart = headers.get("content-type").is_some_and(|t| t.as_bytes().starts_with(b"multipart"));
    let json = if multipart {
        let from = text.find("name=\"payload_json\"").and_then(|at| Some(at + text[at..].find('{')?)).unwrap();
        let mut parts = serde_json::Deserializer::from_str(&text[from..]).into_iter::<Value>();
        parts.next().unwrap().unwrap()
    } else {
        serde_json::from_str(&text).unwrap_or(Value::Null)
    };
    let files = text.matches("name=\"files[").count();
    let call = Call { what: format!("{method} {}", uri.path().trim_start_matches("/api/v10")), body: json, files };
    let mut world = server.world.lock().unwrap();
    let ruled = world.rules.iter().find_map(|rule| rule(&call));
    let (status, body) = ruled.unwrap_or_else(|| {
        world.next += 1;
        let attachments = call.body["attachments"].as_array().cloned().unwrap_or_default();
        let attachments: Vec<_> = attachments
            .iter()
            .map(|a| {
                let old = a["id"].as_str().map(str::to_owned);
                json!({ "id": old.unwrap_or("31".to_owned()), "filename": a["filename"].as_str().unwrap_or("INC-7.txt") })
            })
            .collect();
        (200, json!({ "id": (500 + world.next).to_string(), "attachments": attachments }))
    });
    world.calls.push(call);
    (StatusCode::from_u16(status).unwrap(), body.to_string())
}

impl Server {
    /// A call whose line begins so is answered so.
    fn rule(&self, begins: &'static str, status: u16, body: Value) {
        let rule = move |call: &Call| call.what.starts_with(begins).then(|| (status, body.clone()));
        self.world.lock().unwrap().rules.insert(0, Box::new(rule));
    }

    fn no_rules(&self) {
        self.world.lock().unwrap().rules.clear();
    }

    /// What was asked since the last time.
    fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.world.lock().unwrap().calls)
    }

    fn lines(&self) -> Vec<String> {
        self.calls().into_iter().map(|c| c.what).collect()
    }
}

struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

struct Kit {
    server: Server,
    discord: Discord,
    clock: Arc<SetClock>,
}

async fn kit() -> Kit {
    let server = Server::default();
    let router = axum::Router::new().fallback(answer).with_state(server.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let clock = Arc::new(SetClock(AtomicI64::new(START)));
    let options = DiscordOptions { token: Secret::new("t"), guild: 100, channel: 200, api: Some(api) };
    let discord = Discord::new(options, Arc::new(MemoryStore::default()), clock.clone()).unwrap();
    Kit { server, discord, clock }
}

fn card(phase: &str) -> Card {
    let button = Button { id: "k1".to_owned(), command: "approve INC-7".to_owned(), ask: None };
    let approve = CardAction { label: "Approve".to_owned(), button: Some(button), ..CardAction::default() };
    Card {
        key: "INC-7".to_owned(),
        title: format!("INC-7 · shop · HIGH · {phase}"),
        tone: Tone::Waiting,
        actions: vec![approve],
        ..Card::default()
    }
}

fn refused(code: u64) -> Value {
    json!({ "code": code, "message": "no" })
}

#[tokio::test]
async fn a_card_is_posted_once_and_edited_from_then_on() {
    let Kit { server, discord, .. } = kit().await;
    discord.show(&card("awaiting approval")).await.unwrap();
    let calls = server.calls();
    assert_eq!(calls[0].what, "POST /channels/200/messages");
    assert_eq!(calls[0].body["enforce_nonce"], true);
    assert!(calls[0].body["nonce"].as_str().unwrap().len() <= 25);
    assert_eq!(calls[0].body["allowed_mentions"]["parse"], json!([]));
    assert_eq!(calls[0].body["components"][0]["components"][0]["custom_id"], "s:k1");

    discord.show(&card("awaiting approval")).await.unwrap();
    assert!(server.calls().is_empty(), "nothing new, nothing sent");

    let settled = Card { actions: Vec::new(), tone: Tone::Good, ..card("RESOLVED") };
    discord.show(&settled).await.unwrap();
    let calls = server.calls();
    assert_eq!(calls[0].what, "PATCH /channels/200/messages/501");
    assert_eq!(calls[0].body["components"], json!([]), "the buttons go");
}

#[tokio::test]
async fn a_card_whose_message_is_gone_is_posted_anew() {
    let Kit { server, discord, .. } = kit().await;
    discord.show(&card("open")).await.unwrap();
    server.rule("PATCH", 404, refused(10008));
    discord.show(&card("awaiting approval")).await.unwrap();
    server.no_rules();
    discord.show(&card("running")).await.unwrap();
    let lines = server.lines();
    assert_eq!(lines[1..3], ["PATCH /channels/200/messages/501", "POST /channels/200/messages"]);
    assert!(lines[3].starts_with("PATCH") && !lines[3].ends_with("/501"), "{lines:?}");
}

#[tokio::test]
async fn a_file_is_sent_once_and_kept_over_edits() {
    let Kit { server, discord, .. } = kit().await;
    let long = |phase: &str| Card {
        blocks: vec![crate::chat::Block::Text(format!("{}\n", "y".repeat(900)).repeat(20))],
        ..card(phase)
    };
    discord.show(&long("open")).await.unwrap();
    let calls = server.calls();
    assert_eq!((calls[0].files, calls[0].body["attachments"][0]["filename"].as_str()), (1, Some("INC-7.txt")));
    // The title is in the file: the same title, another tone.
    discord.show(&Card { tone: Tone::Bad, ..long("open") }).await.unwrap();
    let calls = server.calls();
    assert_eq!((calls[0].files, &calls[0].body["attachments"]), (0, &json!([{ "id": "31" }])));
}

#[tokio::test]
async fn lines_are_said_in_a_thread_that_is_started_once() {
    let Kit { server, discord, .. } = kit().await;
    discord.say("INC-7", "before there is a card").await.unwrap();
    assert_eq!(server.lines(), ["POST /channels/200/messages"]);
    discord.show(&card("open")).await.unwrap();
    server.calls();
    discord.say("INC-7", "@everyone first").await.unwrap();
    discord.say("INC-7", "second").await.unwrap();
    let calls = server.calls();
    assert!(calls[0].what.starts_with("POST /channels/200/messages/") && calls[0].what.ends_with("/threads"));
    assert_eq!(calls[0].body["name"], "INC-7 shop");
    assert_eq!(calls[1].what, calls[2].what);
    assert_eq!(calls[1].body["content"], "\\@\u{200b}everyone first");
    assert_eq!(calls.len(), 3);
}

#[tokio::test]
async fn a_thread_that_is_gone_or_there_already_is_no_reason_to_be_silent() {
    let Kit { server, discord, .. } = kit().await;
    discord.show(&card("open")).await.unwrap();
    server.rule("POST /channels/200/messages/501/threads", 400, refused(160_004));
    discord.say("INC-7", "one").await.unwrap();
    assert_eq!(server.lines().last().unwrap(), "POST /channels/501/messages");
    server.rule("POST /channels/501/messages", 404, refused(10003));
    discord.say("INC-7", "two").await.unwrap();
    assert_eq!(server.lines(), ["POST /channels/501/messages", "POST /channels/200/messages"]);
}

#[tokio::test]
async fn an_archived_thread_is_opened_again() {
    let Kit { server, discord, .. } = kit().await;
    discord.show(&card("open")).await.unwrap();
    discord.say("INC-7", "one").await.unwrap();
    server.calls();
    server.rule("POST /channels/502/messages", 400, refused(50083));
    discord.say("INC-7", "two").await.unwrap();
    let lines = server.lines();
    assert_eq!(lines[..2], ["POST /channels/502/messages", "PATCH /channels/502"]);
    assert_eq!(lines.last().unwrap(), "POST /channels/200/messages", "and if that does not help, the channel");
}

#[tokio::test]
async fn a_conclusion_is_said_in_the_thread_and_replied_to_the_card_each_once() {
    let Kit { server, discord, .. } = kit().await;
    discord.show(&card("open")).await.unwrap();
    server.calls();
    server.rule("POST /channels/200/messages", 502, Value::Null);
    server.rule("POST /channels/200/messages/501/threads", 201, json!({ "id": "501" }));
    assert!(!discord.conclude("INC-7", "resolved\nby RUN-1").await.unwrap_err().hopeless);
    server.no_rules();
    discord.conclude("INC-7", "resolved\nby RUN-1").await.unwrap();
    let calls = server.calls();
    let lines: Vec<_> = calls.iter().map(|c| c.what.as_str()).collect();
    assert_eq!(
        lines[1..],
        ["POST /channels/501/messages", "POST /channels/200/messages", "POST /channels/200/messages"]
    );
    let last = &calls[3].body;
    assert_eq!(
        (last["content"].as_str(), &last["message_reference"]["message_id"]),
        (Some("resolved by RUN-1"), &json!("501"))
    );
}

#[tokio::test]
async fn a_post_whose_answer_was_lost_keeps_its_nonce() {
    let Kit { server, discord, .. } = kit().await;
    server.rule("POST", 200, json!({ "attachments": [] }));
    let once = Card { key: String::new(), ..card("open") };
    discord.show(&once).await.unwrap();
    discord.show(&once).await.unwrap();
    server.rule("POST", 429, json!({ "message": "slower", "retry_after": 2.0 }));
    let error = discord.show(&once).await.unwrap_err();
    assert_eq!(error.retry_after, Some(std::time::Duration::from_secs(2)));
    server.no_rules();
    discord.show(&once).await.unwrap();
    let nonces: Vec<_> = server.calls().iter().map(|c| c.body["nonce"].clone()).collect();
    assert_ne!(nonces[0], nonces[1], "said twice on purpose");
    assert_eq!(nonces[2], nonces[3], "said once, in two tries");
}

#[tokio::test]
async fn a_refused_token_is_asked_with_once() {
    let Kit { server, discord, .. } = kit().await;
    server.rule("POST", 401, json!({ "message": "401: Unauthorized", "code": 0 }));
    for _ in 0..3 {
        assert!(discord.show(&card("open")).await.unwrap_err().hopeless);
    }
    assert_eq!(server.calls().len(), 1);
}

#[tokio::test]
async fn those_who_are_called_are_pinged_and_nobody_else() {
    let Kit { server, discord, .. } = kit().await;
    discord.show(&card("open")).await.unwrap();
    server.calls();
    let to = ["discord-channel:300", "discord-role:41", "discord:80", "slack-group:S1", "discord:x"].map(str::to_owned);
    discord.call("INC-7", &to, "nobody answers <@99>").await.unwrap();
    let calls = server.calls();
    assert_eq!(calls[0].what, "POST /channels/300/messages");
    assert!(calls[0].body["content"].as_str().unwrap().ends_with("https://discord.com/channels/100/200/501"));
    assert_eq!(calls[0].body["allowed_mentions"]["users"], json!([]));
    assert_eq!(calls[1].what, "POST /channels/200/messages");
    assert_eq!(calls[1].body["content"], "<@&41> <@80> nobody answers \\<\\@99\\>");
    let allowed = json!({ "parse": [], "users": ["80"], "roles": ["41"], "replied_user": false });
    assert_eq!(calls[1].body["allowed_mentions"], allowed);
    assert_eq!(calls.len(), 2);
}

#[tokio::test]
async fn a_place_that_refuses_does_not_have_the_others_called_again() {
    let Kit { server, discord, .. } = kit().await;
    let to = ["discord-channel:300", "discord:80"].map(str::to_owned);
    server.rule("POST /channels/300/messages", 403, refused(50001));
    discord.call("INC-7", &to, "nobody answers").await.unwrap();
    assert_eq!(server.lines(), ["POST /channels/300/messages", "POST /channels/200/messages"]);
    // Nor is what is refused everywhere asked for ever.
    server.rule("POST /channels/200/messages", 403, refused(50013));
    discord.call("INC-7", &to, "nobody answers").await.unwrap();
    // What may yet succeed is tried again so long as nobody was reached.
    server.rule("POST /channels/200/messages", 502, Value::Null);
    assert!(!discord.call("INC-7", &to, "nobody answers").await.unwrap_err().hopeless);
    server.no_rules();
    server.calls();
    discord.call("INC-7", &to, "nobody answers").await.unwrap();
    assert_eq!(server.lines().len(), 2);
}

fn reply(private: bool) -> Value {
    let token = Token { id: 900, application: 2, token: "tok".to_owned(), at: Timestamp(START), private };
    let reply = Reply { channel: 200, user: 80, direct: false, message: None, interaction: Some(token) };
    serde_json::to_value(reply).unwrap()
}

fn said(private: bool) -> Answer {
    Answer { card: Card { title: "whoami".to_owned(), ..Card::default() }, private, file: None }
}

#[tokio::test]
async fn an_answer_takes_the_place_of_the_promise_while_that_lasts() {
    let Kit { server, discord, clock } = kit().await;
    discord.answer(&reply(true), &said(true)).await.unwrap();
    discord.answer(&reply(false), &said(false)).await.unwrap();
    assert_eq!(server.lines(), ["PATCH /webhooks/2/tok/messages/@original"; 2]);
    discord.answer(&reply(false), &said(true)).await.unwrap();
    let calls = server.calls();
    assert_eq!(calls[0].what, "DELETE /webhooks/2/tok/messages/@original");
    assert_eq!((calls[1].what.as_str(), &calls[1].body["flags"]), ("POST /webhooks/2/tok", &json!(64)));
    clock.0.fetch_add(15 * 60 * 1000, Ordering::Relaxed);
    discord.answer(&reply(false), &said(false)).await.unwrap();
    let calls = server.calls();
    assert_eq!(
        (calls[0].what.as_str(), calls[0].body["content"].as_str()),
        ("POST /channels/200/messages", Some("<@80>:"))
    );
    assert_eq!(calls[0].body["allowed_mentions"]["users"], json!([]), "named, not pinged");
}

#[tokio::test]
async fn a_private_answer_that_comes_too_late_is_a_direct_message_or_said_to_have_failed() {
    let Kit { server, discord, .. } = kit().await;
    server.rule("POST /users/@me/channels", 200, json!({ "id": "600" }));
    for code in [50027, 10015, 10062] {
        server.rule("PATCH", 404, refused(code));
        discord.answer(&reply(true), &said(true)).await.unwrap();
        let lines = server.lines();
        assert_eq!(lines[1..], ["POST /users/@me/channels", "POST /channels/600/messages"]);
    }
    server.rule("POST /channels/600/messages", 403, refused(50007));
    discord.answer(&reply(true), &said(true)).await.unwrap();
    let last = server.calls().pop().unwrap();
    assert_eq!(last.what, "POST /channels/200/messages");
    assert!(last.body["content"].as_str().unwrap().starts_with("<@80>: the answer could not be delivered privately"));
    assert!(!last.body.to_string().contains("whoami"));
}

#[tokio::test]
async fn a_reply_address_that_leads_elsewhere_is_not_followed() {
    let Kit { server, discord, .. } = kit().await;
    assert!(discord.answer(&json!({ "channel": "x" }), &said(true)).await.unwrap_err().hopeless);
    let mut evil = reply(false);
    evil["interaction"]["token"] = json!("../../channels/1/messages?x=");
    discord.answer(&evil, &said(false)).await.unwrap();
    assert_eq!(server.lines(), ["POST /channels/200/messages"]);
}

#[tokio::test]
async fn the_roles_of_somebody_who_left_are_none_and_of_others_their_ids() {
    let Kit { server, discord, .. } = kit().await;
    server.rule("GET /guilds/100/members/80", 200, json!({ "roles": ["41"] }));
    server.rule("GET /guilds/100/members/81", 404, refused(10007));
    server.rule("GET /guilds/100/members/82", 500, Value::Null);
    assert_eq!(discord.groups_of("discord:80").await, Some(vec!["discord-role:41".to_owned()]));
    assert_eq!(discord.groups_of("discord:81").await, Some(Vec::new()));
    assert_eq!(discord.groups_of("discord:82").await, None);
    assert_eq!(discord.groups_of("slack:U1").await, None);
}

/// A desk with one answer to everything.
struct OneDesk {
    taken: Mutex<Vec<Heard>>,
    takes: bool,
    press: Press,
}

#[async_trait]
impl Desk for OneDesk {
    async fn take(&self, heard: Heard) -> Result<(), ChatError> {
        if !self.takes {
            return Err(ChatError::new("desk", "the disk is full"));
        }
        self.taken.lock().unwrap().push(heard);
        Ok(())
    }

    fn press(&self, _: &str, _: &Person) -> Press {
        self.press.clone()
    }

    fn complete(&self, line: &str) -> Vec<String> {
        vec![format!("{line}!")]
    }
}

fn handler(kit: &Kit, takes: bool, press: Press) -> (Handler, Arc<OneDesk>) {
    let desk = Arc::new(OneDesk { taken: Mutex::default(), takes, press });
    (Handler { bot: Arc::clone(&kit.discord.bot), desk: desk.clone(), me: 1 }, desk)
}

fn heard() -> Heard {
    Heard {
        delivery: "900".to_owned(),
        platform: "discord".to_owned(),
        by: Person::new("discord:80", "Anna"),
        groups: None,
        place: Place::default(),
        said: Said::Press("k1".to_owned()),
        reply: serde_json::to_value(Reply {
            channel: 200,
            user: 80,
            direct: false,
            message: Some(7),
            interaction: None,
        })
        .unwrap(),
    }
}

fn ack(private: bool, in_place: bool) -> Ack {
    Ack { id: 900, token: "tok".to_owned(), private, in_place }
}

fn pressed(in_place: bool, again: bool) -> Event {
    let again = again.then(|| Again { label: "Roll back".to_owned(), title: "INC-7".to_owned() });
    Event::Press { heard: heard(), id: "k1".to_owned(), ack: ack(true, in_place), again }
}

/// The response to an event: its type, its flags, and its body.
async fn response(kit: &Kit, handler: &Handler, event: Event) -> (u64, u64, Value) {
    handler.handle(event).await;
    let mut calls = kit.server.calls();
    assert_eq!(calls.len(), 1, "one response: {calls:?}");
    let call = calls.remove(0);
    assert_eq!(call.what, "POST /interactions/900/tok/callback");
    (call.body["type"].as_u64().unwrap(), call.body["data"]["flags"].as_u64().unwrap_or(0), call.body)
}

#[tokio::test]
async fn what_is_taken_is_promised_an_answer() {
    let kit = kit().await;
    let (handler, desk) = handler(&kit, true, Press::Go);
    let take = |private| Event::Take(heard(), Some(ack(private, false)));
    let (kind, flags, _) = response(&kit, &handler, take(true)).await;
    assert_eq!((kind, flags), (5, 64));
    let (kind, flags, _) = response(&kit, &handler, take(false)).await;
    assert_eq!((kind, flags), (5, 0));
    let (kind, ..) = response(&kit, &handler, pressed(true, false)).await;
    assert_eq!(kind, 6, "the question gives way to the answer");
    assert_eq!(desk.taken.lock().unwrap().len(), 3);
    handler.handle(Event::Take(heard(), None)).await;
    assert!(kit.server.calls().is_empty(), "a message needs no response");
}

fn direct(user: u64) -> Heard {
    let reply = Reply { channel: 600, user, direct: true, message: Some(7), interaction: None };
    let place = Place { direct: true, ..Place::default() };
    Heard { place, reply: serde_json::to_value(reply).unwrap(), ..heard() }
}

#[tokio::test]
async fn only_members_are_heard_in_private() {
    let kit = kit().await;
    let (handler, desk) = handler(&kit, true, Press::Go);
    kit.server.rule("GET /guilds/100/members/80", 200, json!({ "roles": ["41"] }));
    kit.server.rule("GET /guilds/100/members/81", 404, refused(10007));
    kit.server.rule("GET /guilds/100/members/82", 502, Value::Null);
    handler.handle(Event::Take(direct(80), None)).await;
    handler.handle(Event::Take(direct(80), None)).await;
    assert_eq!(kit.server.lines(), ["GET /guilds/100/members/80"], "known for a minute");
    let groups: Vec<_> = desk.taken.lock().unwrap().drain(..).map(|h| h.groups).collect();
    assert_eq!(groups, vec![Some(vec!["discord-role:41".to_owned()]); 2]);

    for (user, words) in [(81, "only members"), (82, "say it in the channel")] {
        handler.handle(Event::Take(direct(user), None)).await;
        let call = kit.server.calls().pop().unwrap();
        assert_eq!(call.what, "POST /channels/600/messages");
        assert!(call.body["content"].as_str().unwrap().contains(words), "{call:?}");
    }
    let press = Event::Press { heard: direct(81), id: "k1".to_owned(), ack: ack(true, false), again: None };
    let (kind, flags, body) = response(&kit, &handler, press).await;
    assert_eq!((kind, flags & 64), (4, 64));
    assert!(body["data"]["content"].as_str().unwrap().contains("only members"));
    assert!(desk.taken.lock().unwrap().is_empty());
}

/// A desk that never answers.
struct SlowDesk;

#[async_trait]
impl Desk for SlowDesk {
    async fn take(&self, _: Heard) -> Result<(), ChatError> {
        std::future::pending().await
    }

    fn press(&self, _: &str, _: &Person) -> Press {
        Press::Go
    }

    fn complete(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

#[tokio::test]
async fn of_what_takes_too_long_nothing_certain_is_said() {
    let kit = kit().await;
    let handler = Handler { bot: Arc::clone(&kit.discord.bot), desk: Arc::new(SlowDesk), me: 1 };
    let (_, _, body) = response(&kit, &handler, Event::Take(heard(), Some(ack(true, false)))).await;
    let words = body["data"]["content"].as_str().unwrap();
    assert!(words.contains("not certain") && !words.contains("NOT taken"), "{words}");
}

/// A desk that answers before it has taken.
struct HastyDesk {
    bot: Arc<Bot>,
    answering: Mutex<Option<tokio::task::JoinHandle<Result<(), ChatError>>>>,
}

#[async_trait]
impl Desk for HastyDesk {
    async fn take(&self, heard: Heard) -> Result<(), ChatError> {
        let bot = Arc::clone(&self.bot);
        let answering = tokio::spawn(async move { bot.answer(&heard.reply, &said(true)).await });
        *self.answering.lock().unwrap() = Some(answering);
        tokio::task::yield_now().await;
        Ok(())
    }

    fn press(&self, _: &str, _: &Person) -> Press {
        Press::Go
    }

    fn complete(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

#[tokio::test]
async fn an_answer_that_is_quicker_than_the_response_waits_for_it() {
    let kit = kit().await;
    let desk = Arc::new(HastyDesk { bot: Arc::clone(&kit.discord.bot), answering: Mutex::default() });
    let handler = Handler { bot: Arc::clone(&kit.discord.bot), desk: desk.clone(), me: 1 };
    handler.handle(Event::Take(Heard { reply: reply(true), ..heard() }, Some(ack(true, false)))).await;
    let answering = desk.answering.lock().unwrap().take().unwrap();
    answering.await.unwrap().unwrap();
    let lines = kit.server.lines();
    assert_eq!(lines, ["POST /interactions/900/tok/callback", "PATCH /webhooks/2/tok/messages/@original"]);
}

#[tokio::test]
async fn what_could_not_be_taken_is_said_not_to_have_been() {
    let kit = kit().await;
    let (handler, _) = handler(&kit, false, Press::Go);
    let (kind, flags, body) = response(&kit, &handler, Event::Take(heard(), Some(ack(false, false)))).await;
    assert_eq!(kind, 4);
    assert_eq!(flags & 64, 0);
    let words = body["data"]["content"].as_str().unwrap().to_owned();
    assert!(words.contains("NOT taken") && words.contains("the disk is full"));
    handler.handle(Event::Take(heard(), None)).await;
    let call = kit.server.calls().remove(0);
    assert_eq!(
        (call.what.as_str(), &call.body["message_reference"]["message_id"]),
        ("POST /channels/200/messages", &json!("7"))
    );
}

#[tokio::test]
async fn a_press_leads_to_a_form_a_question_or_an_explanation() {
    let kit = kit().await;
    let field = Field { name: "reason".to_owned(), label: "Why".to_owned(), optional: false, long: true, most: 300 };
    let form = Form {
        id: "q1".to_owned(),
        title: "Reject".to_owned(),
        text: "The plan of INC-7".to_owned(),
        submit: "Reject".to_owned(),
        fields: vec![field],
    };
    let (asking, desk) = handler(&kit, true, Press::Ask(form));
    let (kind, _, body) = response(&kit, &asking, pressed(false, false)).await;
    assert_eq!((kind, body["data"]["custom_id"].as_str()), (9, Some("f:q1")));
    let (kind, flags, body) = response(&kit, &asking, pressed(false, true)).await;
    assert_eq!((kind, flags & 64), (4, 64));
    assert_eq!(body["data"]["components"][0]["components"][0]["custom_id"], "c:k1");
    assert!(desk.taken.lock().unwrap().is_empty());
    let (gone, _) = handler(&kit, true, Press::Gone("already *decided* by bert".to_owned()));
    let (kind, flags, body) = response(&kit, &gone, pressed(false, true)).await;
    assert_eq!((kind, flags & 64), (4, 64));
    assert_eq!(body["data"]["content"], "already \\*decided\\* by bert");
    let (kind, _, body) = response(&kit, &gone, pressed(true, false)).await;
    assert_eq!((kind, &body["data"]["components"]), (7, &json!([])));
    let complete = Event::Complete { ack: ack(true, false), line: "status sh".to_owned(), prefix: String::new() };
    let (kind, _, body) = response(&kit, &gone, complete).await;
    assert_eq!((kind, &body["data"]["choices"][0]["value"]), (8, &json!("status sh!")));
}

#[tokio::test]
async fn listening_ends_with_a_token_that_is_refused() {
    let kit = kit().await;
    kit.server.rule("GET /users/@me", 401, json!({ "message": "401: Unauthorized", "code": 0 }));
    let (_, desk) = handler(&kit, true, Press::Go);
    let error = kit.discord.listen(desk).await.unwrap_err();
    assert!(error.hopeless && error.why.contains("Reset Token"), "{error}");
    assert_eq!(kit.server.lines(), ["GET /users/@me"]);
}

fn healthy(server: &Server, permissions: u64) {
    server.rule("GET /users/@me", 200, json!({ "id": "1", "username": "suture" }));
    server.rule("GET /oauth2/applications/@me", 200, json!({ "id": "2", "name": "suture" }));
    let everyone = json!({ "id": "100", "permissions": permissions.to_string() });
    server.rule("GET /guilds/100", 200, json!({ "id": "100", "owner_id": "9", "name": "Shop", "roles": [everyone] }));
    server.rule("GET /guilds/100/members/1", 200, json!({ "roles": [] }));
    server.rule("GET /channels/200", 200, json!({ "id": "200", "guild_id": "100", "type": 0, "name": "ops" }));
    server.rule("GET /applications/2/guilds/100/commands", 200, json!([]));
}

#[tokio::test]
async fn a_check_names_each_permission_that_is_missing() {
    let kit = kit().await;
    let all = check::NEEDED.iter().map(|(bit, ..)| bit).sum::<u64>();
    healthy(&kit.server, all);
    let proofs = kit.discord.check().await;
    assert!(proofs.iter().all(|p| p.found.is_ok()), "{proofs:?}");
    assert!(proofs.iter().any(|p| p.found.as_ref().is_ok_and(|f| f.contains("permissions=309237763072"))));
    healthy(&kit.server, all & !(1 << 35));
    let proofs: HashMap<_, _> = kit.discord.check().await.into_iter().map(|p| (p.what, p.found)).collect();
    assert!(proofs["discord: permission Create Public Threads"].is_err());
    assert_eq!(proofs.values().filter(|f| f.is_err()).count(), 1);
}

#[tokio::test]
async fn a_check_says_what_to_mend() {
    let kit = kit().await;
    healthy(&kit.server, 0);
    kit.server.rule("GET /guilds/100", 404, refused(10004));
    let proofs = kit.discord.check().await;
    assert!(proofs.last().unwrap().found.as_ref().is_err_and(|e| e.contains("oauth2/authorize?client_id=2")));
    kit.server.rule("GET /users/@me", 401, json!({ "code": 0 }));
    let proofs = kit.discord.check().await;
    assert_eq!(proofs.len(), 1);
    assert!(proofs[0].found.as_ref().is_err_and(|e| e.contains("Reset Token")));
}

#[test]
fn options_that_cannot_work_are_refused() {
    let new = |guild, api: Option<&str>| {
        let options = DiscordOptions { token: Secret::new("t"), guild, channel: 2, api: api.map(str::to_owned) };
        let clock = Arc::new(SetClock(AtomicI64::new(0)));
        Discord::new(options, Arc::new(MemoryStore::default()), clock).map(|_| ())
    };
    assert!(new(0, None).unwrap_err().hopeless);
    assert!(new(1, Some("127.0.0.1:1")).unwrap_err().hopeless);
    assert!(new(1, None).is_ok());
}

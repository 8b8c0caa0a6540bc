//! The gateway (page "Gateway": Connections, Identifying, Resuming, Sending Heartbeats; close codes of "Opcodes and
//! Status Codes"). Text frames, JSON, not compressed: a client that can inflate does not have to.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Extract;
use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use super::world::{Call, Out, Session, State};
use super::{FakeDiscord, Shared, dispatch, render};

/// What Discord itself asks for, in milliseconds.
const HEARTBEAT: Duration = Duration::from_millis(41_250);
/// Intents that exist; any other bit is an error.
const INTENTS: u64 = 0x1ffff | 1 << 20 | 1 << 21 | 1 << 24 | 1 << 25;
/// Members, presences and message content have to be switched on for the application.
const PRIVILEGED: u64 = 1 << 1 | 1 << 8 | 1 << 15;
/// Payloads a connection may send in a minute (Rate Limiting).
const SENDS_A_MINUTE: usize = 120;

/// A connection asks to be a WebSocket.
pub async fn upgrade(Extract(shared): Extract<Arc<Shared>>, uri: Uri, upgrade: WebSocketUpgrade) -> Response {
    if shared.look(|s| s.weather.down || s.weather.refuse) {
        return (StatusCode::SERVICE_UNAVAILABLE, "no healthy upstream").into_response();
    }
    let query = uri.query().unwrap_or_default().to_owned();
    upgrade.on_upgrade(move |socket| serve(shared, socket, query))
}

async fn serve(shared: Arc<Shared>, mut socket: WebSocket, query: String) {
    let mut stop = shared.stop.subscribe();
    // Unbounded, since it is filled under the lock; a test sends little.
    let (out, mut told) = unbounded_channel();
    let every = shared.look(|s| s.weather.heartbeat).unwrap_or(HEARTBEAT);
    shared.change(|s| call(s, &format!("connect {query}"), &Value::Null));
    if !query.split('&').any(|p| p == "v=10") {
        shared.change(|s| s.reject(format!("gateway: version 10 is asked for by v=10, not {query:?}")));
        return close(&mut socket, 4012, "Invalid API version").await;
    }
    let hello = json!({"op": 10, "d": {"heartbeat_interval": every.as_millis() as u64}, "s": null, "t": null});
    if socket.send(Frame::Text(hello.to_string().into())).await.is_err() {
        return;
    }
    let mut link = Link { session: None, out, sent: Vec::new() };
    let mut beat = Instant::now();
    // Open, but nothing is said on it any more.
    let mut mute = false;
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            // The client should be heard once an interval; somewhat more for its jitter and for a busy machine.
            () = sleep_until(beat + every + every / 2 + Duration::from_secs(1)) => {
                shared.change(|s| s.reject("gateway: no heartbeat".to_owned()));
                close(&mut socket, 4009, "Session timed out").await;
                break;
            }
            order = told.recv() => match order {
                Some(Out::Send(event)) => {
                    if !mute && socket.send(Frame::Text(event.to_string().into())).await.is_err() {
                        break;
                    }
                }
                Some(Out::Mute) => mute = true,
                Some(Out::Close(code, reason)) => {
                    close(&mut socket, code, reason).await;
                    break;
                }
                Some(Out::Drop) | None => break,
            },
            frame = socket.recv() => match frame {
                Some(Ok(Frame::Text(text))) => {
                    if serde_json::from_str::<Value>(&text).is_ok_and(|v| v["op"] == 1) {
                        beat = Instant::now();
                    }
                    if let Err((code, reason)) = shared.change(|s| link.heard(s, &text)) {
                        close(&mut socket, code, reason).await;
                        break;
                    }
                }
                Some(Ok(Frame::Binary(_))) => {
                    close(&mut socket, 4002, "Error while decoding payload.").await;
                    break;
                }
                Some(Ok(Frame::Close(frame))) => {
                    // The client says that it will not come back (Initiating a Disconnect).
                    if frame.is_some_and(|f| f.code == 1000 || f.code == 1001) {
                        shared.change(|s| s.sessions.retain(|session| Some(&session.id) != link.session.as_ref()));
                    }
                    break;
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            },
        }
    }
    shared.change(|s| {
        for session in s.sessions.iter_mut().filter(|session| Some(&session.id) == link.session.as_ref()) {
            // Unless another connection has taken the session over already.
            session.out.take_if(|out| out.same_channel(&link.out));
        }
    });
}

async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) {
    let _ = socket.send(Frame::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
    // Until the client has read it: a connection that is merely cut loses the code.
    let answered = async { while let Some(Ok(_)) = socket.recv().await {} };
    let _ = tokio::time::timeout(Duration::from_secs(1), answered).await;
}

fn call(state: &mut State, what: &str, body: &Value) {
    let mut body = body.clone();
    if let Some(token) = body.get_mut("token") {
        *token = json!("…");
    }
    let at = state.started.elapsed();
    let method = "GATEWAY".to_owned();
    state.calls.push(Call { method, path: what.to_owned(), status: 0, code: None, body, files: Vec::new(), at });
}

/// The bot's token; the prefix that REST asks for is taken here too.
fn is_token(data: &Value) -> bool {
    let token = data["token"].as_str().unwrap_or_default();
    token.strip_prefix("Bot ").unwrap_or(token) == FakeDiscord::token()
}

/// One connection's side of the conversation.
struct Link {
    session: Option<String>,
    out: UnboundedSender<Out>,
    /// When the last payloads came, for the limit.
    sent: Vec<Instant>,
}

impl Link {
    /// Takes one payload; an error is the code to close with.
    fn heard(&mut self, state: &mut State, text: &str) -> Result<(), (u16, &'static str)> {
        let result = self.payload(state, text);
        if let Err((code, reason)) = &result {
            state.reject(format!("gateway: closed with {code} {reason}"));
        }
        result
    }

    fn payload(&mut self, state: &mut State, text: &str) -> Result<(), (u16, &'static str)> {
        let now = Instant::now();
        self.sent.retain(|at| now.duration_since(*at) < Duration::from_secs(60));
        self.sent.push(now);
        if self.sent.len() > SENDS_A_MINUTE {
            return Err((4008, "Rate limited."));
        }
        let undecodable = (4002, "Error while decoding payload.");
        if text.len() > 4096 {
            return Err(undecodable);
        }
        let payload: Value = serde_json::from_str(text).map_err(|_| undecodable)?;
        let data = &payload["d"];
        match payload["op"].as_u64() {
            Some(1) => {
                let _ = self.out.send(Out::Send(json!({"op": 11, "d": null, "s": null, "t": null})));
                Ok(())
            }
            Some(2) if self.session.is_some() => Err((4005, "Already authenticated.")),
            Some(2) => {
                call(state, "identify", data);
                self.identify(state, data)
            }
            Some(6) => {
                call(state, "resume", data);
                self.resume(state, data)
            }
            Some(3 | 4 | 8 | 31) if self.session.is_none() => Err((4003, "Not authenticated.")),
            Some(3 | 4 | 8 | 31) => Ok(()),
            Some(_) => Err((4001, "Unknown opcode.")),
            None => Err(undecodable),
        }
    }

    fn identify(&mut self, state: &mut State, data: &Value) -> Result<(), (u16, &'static str)> {
        if !is_token(data) {
            return Err((4004, "Authentication failed."));
        }
        let properties = ["os", "browser", "device"].iter().all(|k| data["properties"][*k].is_string());
        let intents = data["intents"].as_u64().filter(|_| properties);
        let intents = intents.ok_or((4002, "Error while decoding payload."))?;
        if data.get("shard").is_some_and(|s| !s.is_null() && *s != json!([0, 1])) {
            return Err((4010, "Invalid shard"));
        }
        if intents & !INTENTS != 0 {
            return Err((4013, "Invalid intent(s)."));
        }
        if intents & PRIVILEGED & !state.weather.privileged != 0 {
            return Err((4014, "Disallowed intent(s)."));
        }
        state.identified += 1;
        // Sessions nobody is connected to are given up by identifying anew.
        state.sessions.retain(|s| s.out.is_some());
        let id = format!("{:x}", state.id().parse::<u64>().unwrap_or_default());
        self.session = Some(id.clone());
        let out = Some(self.out.clone());
        let mut session = Session { id: id.clone(), intents, sequence: 0, events: Vec::new(), out, resumed: 0 };
        let ready = json!({
            "v": 10, "user": render::user(&state.user(&state.bot)), "session_id": id, "shard": [0, 1],
            "guilds": [{"id": state.guild, "unavailable": true}], "session_type": "normal",
            "resume_gateway_url": state.base.replacen("http", "ws", 1) + "/socket",
            "application": {"id": state.application, "flags": 0},
            "private_channels": [], "presences": [], "relationships": [], "geo_ordered_rtc_regions": [], "_trace": [],
        });
        dispatch::push(&mut session, "READY", ready);
        if intents & dispatch::GUILDS != 0 {
            dispatch::push(&mut session, "GUILD_CREATE", render::guild_create(state));
        }
        state.sessions.push(session);
        Ok(())
    }

    fn resume(&mut self, state: &mut State, data: &Value) -> Result<(), (u16, &'static str)> {
        if !is_token(data) {
            return Err((4004, "Authentication failed."));
        }
        let id = data["session_id"].as_str().unwrap_or_default();
        let Some(session) = state.sessions.iter_mut().find(|s| s.id == id) else {
            let _ = self.out.send(Out::Send(json!({"op": 9, "d": false, "s": null, "t": null})));
            return Ok(());
        };
        let seen = data["seq"].as_u64().ok_or((4002, "Error while decoding payload."))?;
        if seen > session.sequence {
            return Err((4007, "Invalid seq."));
        }
        if let Some(old) = session.out.replace(self.out.clone()) {
            let _ = old.send(Out::Drop);
        }
        self.session = Some(id.to_owned());
        session.resumed += 1;
        for (_, event) in session.events.iter().filter(|(n, _)| *n > seen) {
            let _ = self.out.send(Out::Send(event.clone()));
        }
        dispatch::push(session, "RESUMED", json!({"_trace": []}));
        Ok(())
    }
}

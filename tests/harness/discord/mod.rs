//! A Discord of our own: API v10 and its gateway on 127.0.0.1, with one guild in it, as strict as the real one, so
//! that what passes here works there.
//!
//! It keeps what it is told, refuses what the real one refuses in the same words, and says afterwards what was there,
//! what was refused and what came too late. The rules are Discord's, by the page of its documentation that each file
//! names. It must never be laxer than the real one: a call it does not know is a 404 and stands in `rejected`.

mod check;
mod commands;
mod dispatch;
mod error;
mod files;
mod gateway;
mod interactions;
mod message;
mod messages;
mod people;
mod render;
mod rest;
mod transcript;
mod weather;
mod world;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use message::Message;
pub use people::Delivery;
pub use world::Call;

use interactions::FIRST_ANSWER;
use world::State;

/// How long a test waits for what has to happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running fake; it stops when it is dropped.
///
/// Users are called by name ("ana" and "ben" operate, "ana" is on call as well, "cleo" has no role, "olga" owns the
/// guild), so are roles ("operators", "oncall", "admins") and channels ("incidents", "general", a thread's name,
/// "@ana" for the direct channel with ana); wherever a name is taken an id is too.
pub struct FakeDiscord {
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// What the server and the test share.
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    stop: watch::Sender<bool>,
}

impl Shared {
    fn look<T>(&self, f: impl FnOnce(&State) -> T) -> T {
        f(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let done = f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_modify(|n| *n += 1);
        done
    }
}

/// How the bot answered an interaction: its first response, or a follow-up.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// 4 a message, 5 deferred, 6 acknowledged, 7 the message updated, 8 choices, 9 a form; 0 for a follow-up.
    pub kind: u64,
    /// Only the user sees it.
    pub ephemeral: bool,
    /// The message as it is now, with its count of edits; for 6 and 7 the one the button was on.
    pub message: Option<Message>,
    /// The form of a 9.
    pub modal: Option<Value>,
    /// The choices (name, value) of an 8.
    pub choices: Vec<(String, String)>,
    /// From the interaction to the first response; none for a follow-up.
    pub answered_after: Option<Duration>,
}

impl FakeDiscord {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("it is bound"));
        let (state, stop) = (Mutex::new(State::new(base)), watch::Sender::new(false));
        let shared = Arc::new(Shared { state, changed: watch::Sender::new(0), stop });
        let app = Router::new()
            .route("/socket", axum::routing::get(gateway::upgrade))
            .route("/socket/", axum::routing::get(gateway::upgrade))
            .fallback(rest::handle)
            .with_state(Arc::clone(&shared));
        let mut stopped = shared.stop.subscribe();
        let server = tokio::spawn(async move {
            let stopped = async move {
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            let _ = axum::serve(listener, app).with_graceful_shutdown(stopped).await;
        });
        Self { shared, server }
    }

    /// Where REST is: what serenity's `HttpBuilder::proxy` takes. The gateway is found through it.
    #[must_use]
    pub fn base(&self) -> String {
        self.look(|s| s.base.clone())
    }

    /// The bot's token. Made of pieces, so that nobody's scanner takes it for a real one.
    #[must_use]
    pub fn token() -> String {
        // Shaped like one all the same, since some clients look at that.
        [["MTA", "5ODc2NTQzMjEw"].concat(), "Gfa".to_owned() + "ke0", "not-a-".to_owned() + "secret".repeat(3).as_str()]
            .join(".")
    }

    /// How the bot is mentioned.
    #[must_use]
    pub fn mention(&self) -> String {
        self.look(|s| format!("<@{}>", s.bot))
    }

    /// The guild's id.
    #[must_use]
    pub fn guild_id(&self) -> String {
        self.look(|s| s.guild.clone())
    }

    /// The application's id, which is not the bot's.
    #[must_use]
    pub fn application_id(&self) -> String {
        self.look(|s| s.application.clone())
    }

    /// The id of a user by name; "suture" is the bot.
    #[must_use]
    pub fn user_id(&self, name: &str) -> String {
        self.look(|s| s.user(name).id)
    }

    /// The id of a role by name.
    #[must_use]
    pub fn role_id(&self, name: &str) -> String {
        self.look(|s| s.role(name).id)
    }

    /// The id of a channel by name.
    #[must_use]
    pub fn channel_id(&self, name: &str) -> String {
        // A look first: this may stand in what `wait_for` asks, which must not wake itself.
        let found = self.look(|s| s.channels.iter().find(|c| c.name == name || c.id == name).map(|c| c.id.clone()));
        found.unwrap_or_else(|| self.change(|s| s.channel(name).id))
    }

    /// What everybody can see in a channel now, in order.
    #[must_use]
    pub fn messages(&self, channel: &str) -> Vec<Message> {
        self.look(|s| {
            let wanted = |c: &&world::Channel| c.name == channel || c.id == channel;
            let Some(channel) = s.channels.iter().find(wanted) else { return Vec::new() };
            let seen = |m: &&Message| m.channel == channel.id && !m.deleted && m.only.is_none();
            s.messages.iter().filter(seen).cloned().collect()
        })
    }

    /// One message by its id, whoever sees it; none when it is deleted.
    #[must_use]
    pub fn message(&self, id: &str) -> Option<Message> {
        self.look(|s| s.message(id).cloned())
    }

    /// What is in the thread that was started on a message.
    #[must_use]
    pub fn thread_messages(&self, message: &str) -> Vec<Message> {
        self.messages(message)
    }

    /// The name of the thread that was started on a message.
    #[must_use]
    pub fn thread_name(&self, message: &str) -> Option<String> {
        self.look(|s| s.channels.iter().find(|c| c.id == message && c.kind == 11).map(|c| c.name.clone()))
    }

    /// How the bot answered: the first response, then the follow-ups that are still there. Empty when it has not yet.
    #[must_use]
    pub fn responses(&self, delivery: &Delivery) -> Vec<Response> {
        self.look(|s| {
            let Some(of) = s.interactions.iter().find(|i| i.id == delivery.id) else { return Vec::new() };
            let Some((kind, after)) = of.answer else { return Vec::new() };
            let message = |id: &String| s.message(id).cloned();
            let first = Response {
                kind,
                ephemeral: of.ephemeral,
                message: of.original.as_ref().and_then(message),
                modal: of.modal.clone(),
                choices: of.choices.clone(),
                answered_after: Some(after),
            };
            let more = of.followups.iter().filter_map(message).map(|m| Response {
                kind: 0,
                ephemeral: m.ephemeral(),
                message: Some(m),
                modal: None,
                choices: Vec::new(),
                answered_after: None,
            });
            std::iter::once(first).chain(more).collect()
        })
    }

    /// The commands that are registered in the guild, then the global ones, as GET gives them.
    #[must_use]
    pub fn commands(&self) -> Value {
        self.look(|s| Value::Array(s.guild_commands.iter().chain(&s.global_commands).cloned().collect()))
    }

    /// Every call, and what happened on the gateway ("GATEWAY": connect, identify, resume), in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.look(|s| s.calls.clone())
    }

    /// What was refused and why, and whom a message would have pinged. Rate limits and outages do not count.
    #[must_use]
    pub fn rejected(&self) -> Vec<String> {
        self.look(|s| s.rejected.clone())
    }

    /// Interactions that had no answer within three seconds.
    #[must_use]
    pub fn late(&self) -> usize {
        self.look(|s| {
            let late = |i: &&world::Interaction| i.answer.is_none() && (i.overdue || i.at.elapsed() > FIRST_ANSWER);
            s.interactions.iter().filter(late).count()
        })
    }

    /// A bot has identified or resumed and is connected.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.look(|s| s.sessions.iter().any(|session| session.out.is_some()))
    }

    /// How often sessions were resumed.
    #[must_use]
    pub fn resumed(&self) -> usize {
        self.look(|s| s.sessions.iter().map(|session| session.resumed).sum())
    }

    /// How often a bot identified.
    #[must_use]
    pub fn identified(&self) -> usize {
        self.look(|s| s.identified)
    }

    /// Waits until a bot is connected and has registered a command.
    pub async fn ready(&self) {
        let there = |fake: &Self| {
            let commands = fake.commands().as_array().is_some_and(|c| !c.is_empty());
            (fake.connected() && commands).then_some(())
        };
        self.wait_for("a bot that is connected and has commands", there).await;
    }

    /// Waits until `f` gives something; asks again whenever something changes.
    ///
    /// # Panics
    ///
    /// After half a minute, with everything that happened.
    pub async fn wait_for<T>(&self, what: &str, f: impl Fn(&Self) -> Option<T>) -> T {
        let mut changed = self.shared.changed.subscribe();
        let looked = async {
            loop {
                changed.borrow_and_update();
                if let Some(found) = f(self) {
                    return found;
                }
                // The sender lives as long as `self`.
                let _ = changed.changed().await;
            }
        };
        match tokio::time::timeout(PATIENCE, looked).await {
            Ok(found) => found,
            Err(_) => {
                let calls =
                    self.calls().iter().map(|c| format!("{} {} {}\n", c.method, c.path, c.status)).collect::<String>();
                panic!("waited in vain for {what}\n\n{}\n{calls}", self.transcript())
            }
        }
    }

    /// Everything that was said, edited, pressed, shown and refused, in order, the same text in every run.
    #[must_use]
    pub fn transcript(&self) -> String {
        self.look(transcript::write)
    }

    fn look<T>(&self, f: impl FnOnce(&State) -> T) -> T {
        self.shared.look(f)
    }

    fn change<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        self.shared.change(f)
    }
}

impl Drop for FakeDiscord {
    fn drop(&mut self) {
        // Open connections end by the signal, waiting for new ones by this.
        self.shared.stop.send_replace(true);
        self.server.abort();
    }
}

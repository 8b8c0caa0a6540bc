//! A stateful fake of Slack: a real HTTP and WebSocket server on this machine that refuses what Slack refuses, by
//! Slack's names, so that a bot which passes against it works in production.
//!
//! It is a workspace with channels, people and messages that tests look at ([`FakeSlack::messages`]), people who do
//! things ([`FakeSlack::command`], [`FakeSlack::press`], ..) and weather ([`FakeSlack::down`],
//! [`FakeSlack::rate_limit`], ..). Each rule names the page of docs.slack.dev that it comes from.
//! [`FakeSlack::rejected`] lists every request that could never be right; a test of a healthy bot ends by asserting
//! that it is empty.

mod args;
mod blocks;
mod chat;
mod check;
mod delivery;
mod directory;
mod elements;
mod files;
mod payload;
mod people;
mod respond;
mod shared;
mod signed;
mod socket;
mod state;
mod transcript;
mod views;
mod weather;
mod web;

use std::sync::Arc;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use delivery::Delivery;
pub use signed::{Http, Seal};
pub use state::{
    ANA, APP, BEN, BOARD, BOT, BOT_ID, CARA, Call, File, INCIDENTS, Message, ON_CALL, OPS, RANDOM, TEAM, WAR_ROOM,
};

use delivery::PATIENCE;
use shared::Shared;
use state::State;

/// The fake. It stops when it is dropped.
pub struct FakeSlack {
    shared: Arc<Shared>,
    /// Ends the server when dropped.
    _server: oneshot::Sender<()>,
}

impl FakeSlack {
    /// Starts it on a free port of this machine.
    ///
    /// # Panics
    /// When there is none.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::new(State::new(address)));
        let (server, stopped) = oneshot::channel::<()>();
        let served = axum::serve(listener, web::router(Arc::clone(&shared)));
        // Not through `Shared::spawn`: it has to outlive the drop long enough to let its connections go.
        tokio::spawn(async move {
            let _ = served.with_graceful_shutdown(async move { drop(stopped.await) }).await;
        });
        Self { shared, _server: server }
    }

    /// The base address of the Web API.
    pub fn api(&self) -> String {
        self.shared.read(|state| format!("{}/api", state.origin))
    }

    /// The bot's token.
    pub fn bot_token() -> String {
        web::bot_token()
    }

    /// The app-level token, for Socket Mode.
    pub fn app_token() -> String {
        web::app_token()
    }

    /// What stands in a channel now, roots and replies, in order; without ephemeral messages.
    pub fn messages(&self, channel: &str) -> Vec<Message> {
        self.select(|message| message.channel == channel && message.only_for.is_none())
    }

    /// A thread's replies, in order, without the root.
    pub fn thread(&self, channel: &str, root: &str) -> Vec<Message> {
        let root = Some(root.to_owned());
        self.select(|m| m.channel == channel && m.only_for.is_none() && m.thread_ts == root)
    }

    /// What only one person sees.
    pub fn ephemerals(&self, channel: &str, user: &str) -> Vec<Message> {
        self.select(|message| message.channel == channel && message.only_for.as_deref() == Some(user))
    }

    /// The conversation of a person with the bot, for [`FakeSlack::messages`].
    pub fn direct_channel(&self, user: &str) -> String {
        self.shared.change(|state| state.direct(user))
    }

    fn select(&self, wanted: impl Fn(&Message) -> bool) -> Vec<Message> {
        self.shared.read(|state| state.messages.iter().filter(|message| wanted(message)).cloned().collect())
    }

    /// The forms that are open, as Slack gave them back to the bot.
    pub fn views(&self) -> Vec<Value> {
        self.shared.read(|state| state.views.iter().filter(|view| view.open).map(|view| view.view.clone()).collect())
    }

    /// The files that were completed.
    pub fn files(&self) -> Vec<File> {
        self.shared.read(|state| {
            state.uploads.iter().filter(|upload| upload.file.completed).map(|upload| upload.file.clone()).collect()
        })
    }

    /// Every web call that was answered, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.read(|state| state.calls.clone())
    }

    /// Everything that was refused because it can never be right, and every text that would have called people, in
    /// words. What the weather refuses is not in it.
    pub fn rejected(&self) -> Vec<String> {
        self.shared.read(|state| state.rejected.clone())
    }

    /// Deliveries that were not acknowledged within three seconds.
    pub fn late_acks(&self) -> usize {
        self.shared.read(|state| state.records.iter().filter(|record| record.late).count())
    }

    /// Open Socket Mode connections.
    pub fn connections(&self) -> usize {
        self.shared.read(|state| state.sockets.iter().filter(|socket| !socket.leaving).count())
    }

    /// Everything that was said, edited, pressed and opened, in order, with names for ids and no times: for snapshots.
    pub fn transcript(&self) -> String {
        self.shared.read(transcript::read)
    }

    /// Waits until it holds; woken by every change.
    ///
    /// # Panics
    /// After half a minute, naming `what` and telling what happened instead.
    pub async fn wait_for<T>(&self, what: &str, found: impl Fn(&Self) -> Option<T>) -> T {
        let mut changed = self.shared.changed.subscribe();
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            if tokio::time::timeout_at(until, changed.changed()).await.is_err() {
                let (calls, rejected) = (self.calls(), self.rejected());
                let calls: Vec<String> = calls.iter().map(|call| format!("{} {}", call.method, call.outcome)).collect();
                panic!(
                    "waited in vain for {what}\n{}calls: {}\nrejected: {rejected:#?}",
                    self.transcript(),
                    calls.join(", ")
                );
            }
        }
    }

    /// Waits until a message in the channel satisfies this.
    pub async fn wait_message(&self, what: &str, channel: &str, is_it: impl Fn(&Message) -> bool) -> Message {
        self.wait_for(what, |fake| fake.messages(channel).into_iter().find(&is_it)).await
    }

    /// Waits until the bot listens.
    pub async fn wait_connected(&self) {
        self.wait_for("a Socket Mode connection", |fake| (fake.connections() > 0).then_some(())).await;
    }
}

impl Drop for FakeSlack {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

//! Slack: cards as messages that are edited, commands and buttons by Socket Mode or HTTP.
//!
//! Built on slack-morphism. The adapter shows and hands on; it decides nothing, and keeps nothing but where its
//! messages are. What a person said is durable at the desk before Slack is told that it was taken. Must never answer by
//! `response_url` or a trigger later than three seconds: approvals outlive both.

mod api;
mod blocks;
mod check;
mod errors;
mod events;
mod files;
mod fit;
mod http;
mod intake;
mod mrkdwn;
mod pace;
mod people;
mod places;
mod post;
mod socket;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::sleep;

use self::api::Api;
use self::errors::PLATFORM;
use self::events::{Me, Reply, is_id};
use self::intake::Intake;
use self::pace::Pace;
use self::people::People;
use self::places::Places;
use super::chart::Chart;
use super::{Answer, Card, ChatError, Desk, Messenger, Proof, Store};
use crate::model::{Clock, Secret};

/// How to reach Slack, and where its cards go.
#[derive(Clone, Debug)]
pub struct SlackOptions {
    /// `xoxb-..`: for everything but the connections of Socket Mode.
    pub bot_token: Secret,
    /// `xapp-..` with `connections:write`: Socket Mode, the default.
    pub app_token: Option<Secret>,
    /// Slack calls us instead. With it the app token is not used.
    pub http: Option<HttpMode>,
    /// The channel that cards go to, by its id: `C024BE91L`.
    pub channel: String,
    /// The base address of the Web API, such as `http://127.0.0.1:1234/api`; Slack's own when there is none.
    pub api: Option<String>,
}

/// How Slack's calls come in.
#[derive(Clone, Debug)]
pub struct HttpMode {
    /// Where to listen.
    pub listen: SocketAddr,
    /// What Slack signs its calls with.
    pub signing_secret: Secret,
}

/// A chart as a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// A PNG.
    pub png: Vec<u8>,
    /// What is to be seen in it, for those who do not see it.
    pub words: String,
}

/// Draws charts as pictures.
pub type Draw = Arc<dyn Fn(&Chart) -> Result<Picture, String> + Send + Sync>;

/// The adapter. Cheap to clone.
#[derive(Clone)]
pub struct Slack {
    inner: Arc<Inner>,
}

/// What the parts of the adapter share.
struct Inner {
    api: Api,
    bot_token: Secret,
    http: Option<HttpMode>,
    channel: String,
    places: Places,
    clock: Arc<dyn Clock>,
    pace: Pace,
    people: People,
    draw: OnceLock<Draw>,
    /// One card at a time: two forms of it at once would become two messages.
    showing: tokio::sync::Mutex<()>,
}

impl Slack {
    /// An adapter; nothing is sent yet.
    ///
    /// # Errors
    /// When the options cannot work, in words.
    pub fn new(options: SlackOptions, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Result<Self, ChatError> {
        let hopeless = |why: &str| Err(ChatError::hopeless(PLATFORM, why));
        if !is_id(&options.channel, &['C', 'G', 'D']) {
            return hopeless("channel must be a channel's id such as C024BE91L (in Slack: the channel's name, About)");
        }
        if options.app_token.is_none() && options.http.is_none() {
            return hopeless("either app_token (Socket Mode) or [chat.slack.http] is needed, or nothing can be heard");
        }
        if options.http.as_ref().is_some_and(|http| http.signing_secret.expose().is_empty()) {
            return hopeless("http.signing_secret is empty");
        }
        let api = Api::new(options.api.as_deref(), &options.bot_token, options.app_token.as_ref())?;
        let inner = Inner {
            api,
            bot_token: options.bot_token,
            http: options.http,
            channel: options.channel,
            places: Places(store),
            clock,
            pace: Pace::default(),
            people: People::default(),
            draw: OnceLock::new(),
            showing: tokio::sync::Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Cards get their charts as pictures, drawn by this. The first one given stays.
    #[must_use]
    pub fn with_pictures(self, draw: Draw) -> Self {
        let _ = self.inner.draw.set(draw);
        self
    }

    /// Who we are, asked until Slack says so.
    async fn me(&self) -> Result<Me, ChatError> {
        let mut pause = Duration::from_secs(1);
        loop {
            match self.inner.api.post("auth.test", &json!({})).await {
                Ok(answer) => {
                    let part = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                    let me = Me { user: part("user_id"), team: part("team_id") };
                    if me.user.is_empty() || me.team.is_empty() {
                        return Err(ChatError::hopeless(PLATFORM, "auth.test does not say who the bot is"));
                    }
                    tracing::info!(bot = me.user, workspace = part("team"), "Slack knows the bot.");
                    return Ok(me);
                }
                Err(error) if error.hopeless() => return Err(error.chat()),
                Err(error) => {
                    tracing::warn!(error = error.words(), "Slack does not answer; tried again soon.");
                    sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(60));
                }
            }
        }
    }
}

#[async_trait]
impl Messenger for Slack {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    async fn show(&self, card: &Card) -> Result<(), ChatError> {
        self.inner.show(card).await.map_err(|e| e.chat())
    }

    async fn say(&self, key: &str, text: &str) -> Result<(), ChatError> {
        self.inner.say(key, text, false).await.map_err(|e| e.chat())
    }

    fn has_threads(&self) -> bool {
        true
    }

    async fn conclude(&self, key: &str, text: &str) -> Result<(), ChatError> {
        self.inner.say(key, text, true).await.map_err(|e| e.chat())
    }

    async fn call(&self, key: &str, to: &[String], text: &str) -> Result<(), ChatError> {
        self.inner.call(key, to, text).await.map_err(|e| e.chat())
    }

    async fn answer(&self, to: &Value, answer: &Answer) -> Result<(), ChatError> {
        let reply: Reply = serde_json::from_value(to.clone())
            .map_err(|_| ChatError::hopeless(PLATFORM, "the answer is for somebody whom this version cannot read"))?;
        self.inner.answer(&reply, answer).await.map_err(|e| e.chat_of_answer())
    }

    async fn listen(&self, desk: Arc<dyn Desk>) -> Result<(), ChatError> {
        let me = self.me().await?;
        let intake = Arc::new(Intake::new(Arc::clone(&self.inner), desk, me));
        match &self.inner.http {
            Some(mode) => http::listen(mode, intake).await,
            None => socket::listen(Arc::clone(&self.inner), intake).await,
        }
    }

    async fn groups_of(&self, person: &str) -> Option<Vec<String>> {
        let user = person.strip_prefix("slack:")?;
        self.inner.people.groups(&self.inner.api, user).await
    }

    async fn check(&self) -> Vec<Proof> {
        check::check(&self.inner).await
    }
}

#[cfg(test)]
mod tests;

//! Discord: cards as messages that are edited, buttons, forms, slash commands, threads.
//!
//! Built on serenity, which keeps the gateway's connection and the rate limits; everything else of Discord's is in this
//! folder, behind the port. Decides nothing: what is heard goes to the desk, what is answered comes from it. Every
//! message goes out with mentions switched off but for those whom `call` names. Set up in docs/DISCORD.md; why serenity
//! in spite of its advisories is in docs/adr/0009.

mod acks;
mod check;
mod commands;
mod embeds;
mod events;
mod fit;
mod gateway;
mod keep;
mod markdown;
mod members;
mod rest;
mod send;
mod speak;

use std::num::NonZeroU64;
use std::sync::Arc;

use async_trait::async_trait;
use serenity::all::{ChannelId, MessageId};

use self::acks::Acks;
use self::keep::Keep;
use self::members::Members;
use self::rest::Rest;
use super::{Answer, Card, ChatError, Desk, Messenger, Proof, Store};
use crate::model::{Clock, Secret};

/// The name of this platform.
const PLATFORM: &str = "discord";

/// What the config says about Discord.
#[derive(Clone, Debug)]
pub struct DiscordOptions {
    /// The bot's token.
    pub token: Secret,
    /// The guild it works in; what comes from others is ignored.
    pub guild: u64,
    /// The channel that cards are posted in.
    pub channel: u64,
    /// Where Discord is, if it is not Discord itself: a proxy or a test (`http://127.0.0.1:1234`).
    pub api: Option<String>,
}

/// The adapter. Cheap to share, and does nothing until it is asked to.
pub struct Discord {
    bot: Arc<Bot>,
}

/// What all parts of the adapter work with.
struct Bot {
    options: DiscordOptions,
    rest: Rest,
    keep: Keep,
    acks: Acks,
    members: Members,
    clock: Arc<dyn Clock>,
}

impl Discord {
    /// An adapter with these options; asks nothing of Discord yet.
    ///
    /// # Errors
    /// When an id is 0, `api` is no http address, or no HTTP client can be made.
    pub fn new(options: DiscordOptions, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Result<Self, ChatError> {
        let wrong = |why: &str| Err(ChatError::hopeless(PLATFORM, why));
        if options.guild == 0 || options.channel == 0 {
            return wrong("`guild` and `channel` under [chat.discord] are ids: long numbers, copied in developer mode");
        }
        let http = |api: &String| api.starts_with("http://") || api.starts_with("https://");
        if options.api.as_ref().is_some_and(|api| !http(api)) {
            return wrong("`api` under [chat.discord] begins with http:// or https://");
        }
        let rest = Rest::new(&options.token, options.api.as_deref())?;
        let keep = Keep::new(store, clock.now().0);
        let (acks, members) = (Acks::default(), Members::default());
        Ok(Self { bot: Arc::new(Bot { options, rest, keep, acks, members, clock }) })
    }
}

#[async_trait]
impl Messenger for Discord {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    async fn show(&self, card: &Card) -> Result<(), ChatError> {
        self.bot.show(card).await
    }

    async fn say(&self, key: &str, text: &str) -> Result<(), ChatError> {
        self.bot.say(key, text).await.map(|_| ())
    }

    fn has_threads(&self) -> bool {
        true
    }

    async fn conclude(&self, key: &str, text: &str) -> Result<(), ChatError> {
        self.bot.conclude(key, text).await
    }

    async fn call(&self, key: &str, to: &[String], text: &str) -> Result<(), ChatError> {
        self.bot.call(key, to, text).await
    }

    async fn answer(&self, to: &serde_json::Value, answer: &Answer) -> Result<(), ChatError> {
        self.bot.answer(to, answer).await
    }

    async fn listen(&self, desk: Arc<dyn Desk>) -> Result<(), ChatError> {
        gateway::listen(&self.bot, desk).await
    }

    async fn groups_of(&self, person: &str) -> Option<Vec<String>> {
        let user = person.strip_prefix("discord:")?.parse::<NonZeroU64>().ok()?;
        match self.bot.roles(user.get()).await {
            // Somebody who has left has no roles any more; that is known, not unknown.
            Ok(roles) => Some(roles.unwrap_or_default()),
            Err(failed) => {
                let error = failed.chat("asking for somebody's roles", "to be in the guild").why;
                tracing::warn!(person, error, "somebody's Discord roles could not be found out");
                None
            }
        }
    }

    async fn check(&self) -> Vec<Proof> {
        check::check(&self.bot).await
    }
}

/// An id as serenity takes it, which has no room for 0. Discord gives no such id; should one come, it is asked for id 1,
/// which does not exist.
fn nonzero(id: u64) -> NonZeroU64 {
    NonZeroU64::new(id).unwrap_or(NonZeroU64::MIN)
}

fn channel_id(id: u64) -> ChannelId {
    nonzero(id).into()
}

fn message_id(id: u64) -> MessageId {
    nonzero(id).into()
}

/// An id in an answer of Discord's: a number as a text.
fn id_in(value: &serde_json::Value, key: &str) -> Option<u64> {
    value.get(key)?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests;

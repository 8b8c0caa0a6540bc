//! Answers to those who asked: by the interaction while it lasts, by a message after that.

use std::time::Duration;

use serde_json::{Value, json};
use serenity::http::{LightMethod, Route};

use super::embeds::{self, EPHEMERAL, Message};
use super::events::{Reply, Token};
use super::rest::{Failed, code};
use super::{Bot, PLATFORM, id_in, nonzero};
use crate::chat::{Answer, ChatError};

/// An interaction can be answered for 15 minutes; one less, for clocks that differ and requests that take their time.
const INTERACTION_LASTS: Duration = Duration::from_secs(14 * 60);

impl Bot {
    /// Answers one who asked.
    pub async fn answer(&self, to: &Value, answer: &Answer) -> Result<(), ChatError> {
        let reply: Reply = serde_json::from_value(to.clone()).map_err(|e| {
            ChatError::hopeless(PLATFORM, format!("nobody to answer: the reply address is broken: {e}"))
        })?;
        let message = embeds::answer(answer);
        if let Some(interaction) = &reply.interaction {
            self.acks.wait(interaction.id).await;
        }
        if let Some(interaction) = &reply.interaction
            && self.clock.now().since(interaction.at) < INTERACTION_LASTS
        {
            match self.respond(interaction, &message, answer.private).await {
                Ok(()) => return Ok(()),
                // It is over before its time, or somebody dismissed it.
                Err(failed) if is_over(&failed) => {
                    tracing::info!(code = failed.code(), "an interaction is over; it is answered by a message");
                }
                Err(failed) => return Err(failed.chat("answering", "Embed Links and Attach Files")),
            }
        }
        let private = answer.private || reply.interaction.as_ref().is_some_and(|i| i.private);
        let said = if private && !reply.direct {
            self.privately(&reply, message).await
        } else {
            self.openly(&reply, message).await
        };
        said.map_err(|e| e.chat("answering by a message", "Send Messages, Embed Links and Attach Files"))
    }

    async fn respond(&self, to: &Token, message: &Message, private: bool) -> Result<(), Failed> {
        if !to.token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            // Made into an address: it must not lead anywhere else.
            return Err(Failed::Refused { status: 400, code: code::TOKEN, why: "no token".to_owned() });
        }
        let (application_id, token) = (nonzero(to.application).into(), to.token.as_str());
        let original = Route::WebhookOriginalInteractionResponse { application_id, token };
        if !private || to.private {
            return self.rest.message(original, LightMethod::Patch, message, &[], Value::Null).await.map(|_| ());
        }
        // An open answer was promised and a private one is given (a denial): the promise is taken back, and the answer
        // follows it unseen by others.
        let gone = self.rest.delete(original).await;
        if let Err(failed) = gone
            && failed.code() != code::MESSAGE
        {
            return Err(failed);
        }
        let follow_up = Route::WebhookFollowupMessages { application_id, token };
        let more = json!({ "flags": EPHEMERAL });
        self.rest.message(follow_up, LightMethod::Post, message, &[], more).await.map(|_| ())
    }

    /// In the channel, naming the person without ringing for them.
    async fn openly(&self, reply: &Reply, mut message: Message) -> Result<(), Failed> {
        message.reply_to = reply.message;
        if reply.message.is_none() && !reply.direct {
            let space = if message.content.is_empty() { "" } else { " " };
            message.content = format!("<@{}>:{space}{}", reply.user, message.content);
        }
        self.post(reply.channel, &message).await.map(|_| ())
    }

    async fn privately(&self, reply: &Reply, message: Message) -> Result<(), Failed> {
        let body = json!({ "recipient_id": reply.user.to_string() });
        let direct = match self.rest.send(Route::UserMeDmChannels, LightMethod::Post, &body).await {
            Ok(channel) => match id_in(&channel, "id") {
                Some(channel) => self.post(channel, &message).await.map(|_| ()),
                None => Err(Failed::Lost("a channel without an id".to_owned())),
            },
            Err(failed) => Err(failed),
        };
        match direct {
            Err(failed) if failed.code() == code::NO_DIRECT => {
                let words =
                    "the answer could not be delivered privately: allow direct messages from this server, or ask again";
                let content = format!("<@{}>: {words}.", reply.user);
                let message = Message { reply_to: reply.message, ..Message::text(content) };
                self.post(reply.channel, &message).await.map(|_| ())
            }
            direct => direct,
        }
    }
}

fn is_over(failed: &Failed) -> bool {
    matches!(failed.code(), code::TOKEN | code::WEBHOOK | code::INTERACTION | code::MESSAGE)
}

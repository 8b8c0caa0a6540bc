//! Cards: posted once, edited from then on, and what is said about them in their threads.

use serde_json::{Value, json};
use serenity::http::{LightMethod, Route};

use super::embeds::{self, Message};
use super::keep::{self, Kept, Posted};
use super::rest::{Failed, code};
use super::{Bot, channel_id, fit, id_in, markdown, message_id};
use crate::chat::{Card, ChatError};

/// What a card takes, for the words of an error.
const CARD_NEEDS: &str = "Send Messages, Embed Links and Attach Files";
/// What a thread takes.
const THREAD_NEEDS: &str = "Create Public Threads and Send Messages in Threads";
/// Minutes without a word after which Discord folds a thread away; the next word unfolds it.
const ARCHIVE_AFTER: u32 = 1440;
/// Most people and roles that one message pings; with their ids they fill a third of it.
const MOST_PINGED: usize = 25;
/// Longest line that concludes an incident in the channel.
const CONCLUSION: usize = 500;

impl Bot {
    /// Shows a card for the first time or in its newest form.
    pub async fn show(&self, card: &Card) -> Result<(), ChatError> {
        let message = embeds::message(card);
        if card.key.is_empty() {
            let posted = self.post(self.options.channel, &message).await;
            return posted.map(|_| ()).map_err(|e| e.chat("posting a card", CARD_NEEDS));
        }
        let digest = digest_of(&message);
        let old = self.keep.posted(&card.key);
        if let Some(old) = &old {
            if old.digest == digest {
                return Ok(());
            }
            let kept = still_there(&message, old);
            let route =
                Route::ChannelMessage { channel_id: channel_id(old.channel), message_id: message_id(old.message) };
            match self.rest.message(route, LightMethod::Patch, &message, &kept, Value::Null).await {
                Ok(answer) => {
                    let files = files(&message, &answer);
                    self.keep.remember(&card.key, &Posted { digest, files, name: thread_name(card), ..old.clone() });
                    return Ok(());
                }
                // Somebody deleted it, or it was another bot's: a card that cannot be edited is posted anew.
                Err(failed) if matches!(failed.code(), code::MESSAGE | code::CHANNEL | code::NOT_OURS) => {
                    tracing::info!(key = card.key, "the Discord message of a card is gone; it is posted anew");
                }
                Err(failed) => return Err(failed.chat("editing a card", CARD_NEEDS)),
            }
        }
        let channel = self.options.channel;
        let answer = self.post(channel, &message).await.map_err(|e| e.chat("posting a card", CARD_NEEDS))?;
        let Some(id) = id_in(&answer, "id") else {
            return Err(Failed::Lost("an answer without an id".to_owned()).chat("posting a card", CARD_NEEDS));
        };
        let thread = old.and_then(|old| old.thread);
        let files = files(&message, &answer);
        self.keep.remember(&card.key, &Posted { channel, message: id, thread, name: thread_name(card), digest, files });
        Ok(())
    }

    /// Posts a message. One whose answer was lost is known again by its nonce when it is tried again, and not made twice.
    pub async fn post(&self, channel: u64, message: &Message) -> Result<Value, Failed> {
        let what = format!("{channel} {}", digest_of(message));
        let more = json!({ "nonce": self.keep.nonce(&what), "enforce_nonce": true });
        let route = Route::ChannelMessages { channel_id: channel_id(channel) };
        let answer = self.rest.message(route, LightMethod::Post, message, &[], more).await;
        if !matches!(answer, Err(Failed::Lost(_) | Failed::Slower(_))) {
            self.keep.arrived(&what);
        }
        answer
    }

    /// Says something in a card's thread; false when it had to be said in the channel.
    pub async fn say(&self, key: &str, text: &str) -> Result<bool, ChatError> {
        let message = embeds::said(text, key);
        if let Some(thread) = self.thread_of(key).await.map_err(|e| e.chat("starting a thread", THREAD_NEEDS))? {
            match self.post_in_thread(thread, &message).await {
                Ok(_) => return Ok(true),
                Err(failed) if matches!(failed.code(), code::CHANNEL | code::ARCHIVED | code::LOCKED) => {
                    // Deleted or locked by somebody: what is to be said is said in the channel.
                    if failed.code() == code::CHANNEL
                        && let Some(posted) = self.keep.posted(key)
                    {
                        self.keep.remember(key, &Posted { thread: None, ..posted });
                    }
                    tracing::warn!(key, code = failed.code(), "the Discord thread of a card takes nothing any more");
                }
                Err(failed) => return Err(failed.chat("writing in a thread", THREAD_NEEDS)),
            }
        }
        let said = self.post(self.options.channel, &message).await;
        said.map(|_| false).map_err(|e| e.chat("writing in the channel", "Send Messages"))
    }

    async fn post_in_thread(&self, thread: u64, message: &Message) -> Result<Value, Failed> {
        match self.post(thread, message).await {
            Err(failed) if failed.code() == code::ARCHIVED => {
                let route = Route::Channel { channel_id: channel_id(thread) };
                self.rest.send(route, LightMethod::Patch, &json!({ "archived": false })).await?;
                self.post(thread, message).await
            }
            answer => answer,
        }
    }

    /// The thread of a card, started now if it has none; `None` when there is nowhere to start one.
    async fn thread_of(&self, key: &str) -> Result<Option<u64>, Failed> {
        let Some(posted) = self.keep.posted(key) else { return Ok(None) };
        if posted.thread.is_some() {
            return Ok(posted.thread);
        }
        let route = Route::ChannelMessageThreads {
            channel_id: channel_id(posted.channel),
            message_id: message_id(posted.message),
        };
        let body = json!({ "name": posted.name, "auto_archive_duration": ARCHIVE_AFTER });
        let thread = match self.rest.send(route, LightMethod::Post, &body).await {
            Ok(answer) => id_in(&answer, "id").unwrap_or(posted.message),
            // A thread has the id of the message that it was started from.
            Err(failed) if failed.code() == code::HAS_THREAD => posted.message,
            Err(failed) if matches!(failed.code(), code::MESSAGE | code::CHANNEL) => return Ok(None),
            Err(failed) if matches!(failed.code(), code::PERMISSIONS | code::ACCESS) => {
                let error = failed.chat("starting a thread", THREAD_NEEDS).why;
                tracing::warn!(key, error, "no thread; it is said in the channel instead");
                return Ok(None);
            }
            Err(failed) => return Err(failed),
        };
        self.keep.remember(key, &Posted { thread: Some(thread), ..posted });
        Ok(Some(thread))
    }

    /// Says how it ended, in the thread and as a line in the channel.
    pub async fn conclude(&self, key: &str, text: &str) -> Result<(), ChatError> {
        let step = keep::digest(&[b"conclude", key.as_bytes(), text.as_bytes()]);
        if !self.keep.is_done(&step) {
            let in_thread = self.say(key, text).await?;
            if !in_thread {
                return Ok(());
            }
            self.keep.done(&step);
        }
        if let Some(posted) = self.keep.posted(key) {
            let (line, _) = markdown::line_within(text, CONCLUSION);
            let message = Message { reply_to: Some(posted.message), ..Message::text(fit::seen(line)) };
            let said = self.post(posted.channel, &message).await;
            said.map_err(|e| e.chat("concluding in the channel", "Send Messages and Read Message History"))?;
        }
        self.keep.over(&[step]);
        Ok(())
    }

    /// Calls others: in their channels with a link, people and roles by name where the card is.
    pub async fn call(&self, key: &str, to: &[String], text: &str) -> Result<(), ChatError> {
        let digits = |id: &str| !id.is_empty() && id.len() <= 20 && id.bytes().all(|b| b.is_ascii_digit());
        let of = |prefix: &str| -> Vec<String> {
            let mut ids: Vec<String> = to.iter().filter_map(|t| t.strip_prefix(prefix)).map(str::to_owned).collect();
            ids.retain(|id| digits(id));
            ids.dedup();
            ids
        };
        for bad in to.iter().filter(|t| t.starts_with("discord") && !t.rsplit(':').next().is_some_and(digits)) {
            tracing::warn!(to = bad, "not to be called: behind the colon stands no Discord id");
        }
        let posted = self.keep.posted(key);
        let mut steps = Vec::new();
        let mut reached = false;
        let mut later: Option<ChatError> = None;
        // One channel that is closed to the bot must not keep the others from being called.
        let mut note = |tried: Result<(), Failed>, channel: u64| match tried {
            Ok(()) => reached = true,
            Err(failed) => {
                let error = failed.chat("calling others", "Send Messages");
                tracing::error!(key, channel, error = error.why, "somebody could not be called");
                if !error.hopeless {
                    later = later.take().or(Some(error));
                }
            }
        };
        let (start, _) = markdown::escape_within(text, fit::CONTENT / 2);
        for channel in of("discord-channel:") {
            let link = posted.as_ref().map_or(String::new(), |p| {
                format!("\nhttps://discord.com/channels/{}/{}/{}", self.options.guild, p.channel, p.message)
            });
            let message = Message::text(format!("{start}{link}"));
            let Ok(channel) = channel.parse() else { continue };
            note(self.once(&mut steps, key, channel, &message).await, channel);
        }
        let (mut users, mut roles) = (of("discord:"), of("discord-role:"));
        roles.truncate(MOST_PINGED);
        users.truncate(MOST_PINGED.saturating_sub(roles.len()));
        if !users.is_empty() || !roles.is_empty() {
            let named = roles.iter().map(|id| format!("<@&{id}>")).chain(users.iter().map(|id| format!("<@{id}>")));
            let content = format!("{} {start}", named.collect::<Vec<_>>().join(" "));
            let reply_to = posted.as_ref().map(|p| p.message);
            let channel = posted.as_ref().map_or(self.options.channel, |p| p.channel);
            let message = Message { users, roles, reply_to, ..Message::text(content) };
            note(self.once(&mut steps, key, channel, &message).await, channel);
        }
        match later {
            // Nobody knows of it yet, and another try may reach somebody.
            Some(error) if !reached => Err(error),
            // Another try would ring again for those who were reached, or be refused again.
            _ => {
                self.keep.over(&steps);
                Ok(())
            }
        }
    }

    /// Posts one of several messages, but not again while the whole is tried again.
    async fn once(&self, steps: &mut Vec<String>, key: &str, to: u64, message: &Message) -> Result<(), Failed> {
        let step = keep::digest(&[b"call", key.as_bytes(), &to.to_le_bytes(), digest_of(message).as_bytes()]);
        if !self.keep.is_done(&step) {
            self.post(to, message).await?;
            self.keep.done(&step);
        }
        steps.push(step);
        Ok(())
    }
}

/// `INC-7 shop`, from the title of its card.
fn thread_name(card: &Card) -> String {
    let parts: Vec<&str> = card.title.split(" · ").take(2).collect();
    let name = markdown::plain(&parts.join(" "), fit::THREAD);
    if markdown::is_blank(&name) { markdown::plain(&card.key, fit::THREAD) } else { name }
}

/// Tells two forms of a message apart.
fn digest_of(message: &Message) -> String {
    let body = Value::Object(message.body(&[])).to_string();
    let parts: Vec<&[u8]> =
        std::iter::once(body.as_bytes()).chain(message.files.iter().map(|f| f.bytes.as_slice())).collect();
    keep::digest(&parts)
}

/// The files of the new form that the message has already.
fn still_there(message: &Message, old: &Posted) -> Vec<(String, u64)> {
    let same =
        |kept: &&Kept| message.files.iter().any(|f| f.name == kept.name && keep::digest(&[&f.bytes]) == kept.digest);
    old.files.iter().filter(same).map(|kept| (kept.name.clone(), kept.id)).collect()
}

/// The files that the message has now, with the ids Discord gave them.
fn files(message: &Message, answer: &Value) -> Vec<Kept> {
    let attachments = answer.get("attachments").and_then(Value::as_array);
    let found = attachments.into_iter().flatten().filter_map(|a| {
        let name = a.get("filename")?.as_str()?;
        let file = message.files.iter().find(|f| f.name == name)?;
        Some(Kept { name: name.to_owned(), id: id_in(a, "id")?, digest: keep::digest(&[&file.bytes]) })
    });
    found.collect()
}

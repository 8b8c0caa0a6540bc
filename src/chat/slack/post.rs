//! Messages out: cards, lines in their threads, calls, answers.
//!
//! `chat.postMessage` cannot be told that it is the same message again. So before a card is posted for the first time
//! the store is told that it is about to be; where the outcome stays unknown (no answer in time, a crash), the next try
//! looks for the message first, by the key in its metadata. That takes a scope for reading the channel, which is not
//! asked for; without it a card may in rare cases stand there twice, and the newer one is the one that lives.

use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use slack_morphism::blocks::SlackBlock;
use tokio::time::sleep;

use super::Inner;
use super::errors::CallError;
use super::events::{Reply, is_id};
use super::files::{Share, upload};
use super::fit::{Fitted, fit};
use super::mrkdwn::{escaped, literal};
use super::places::{Drawn, Posted};
use super::{Picture, blocks};
use crate::chat::{Answer, Block, Card, File};

/// What only ticks is brought up to date this often; each edit counts against the channel's rate.
const TICK_MS: i64 = 60_000;
/// A new picture this often while nothing is settled.
const PICTURE_MS: i64 = 60_000;
/// Slack looks at a new file for a moment before a message may show it.
const PICTURE_PAUSES: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_millis(1000), Duration::from_millis(2000)];
/// The name of a card in the metadata of its message.
const CARD_EVENT: &str = "suture_card";

impl Inner {
    pub(super) async fn show(&self, card: &Card) -> Result<(), CallError> {
        let _one = self.showing.lock().await;
        if card.key.is_empty() {
            return self.post_once(card).await;
        }
        let known = self.places.card(&card.key);
        let now = self.clock.now().0;
        let message = known.clone().filter(|posted| !posted.ts.is_empty());
        let news = print_of(&fit(&without_glosses(card), None).blocks);
        // Before a picture is sent for nothing.
        if let Some(was) = &message
            && was.news == news
            && was.settled == card.settled
            && now - was.at < TICK_MS
        {
            return Ok(());
        }
        // What just failed would hold up the card again.
        let failed = message.as_ref().and_then(|posted| posted.unpictured).is_some_and(|at| now - at < PICTURE_MS);
        let picture = if failed { None } else { self.picture(card, message.as_ref(), now).await };
        let tried = !failed && card.picture.is_some() && self.draw.get().is_some();
        let fitted = fit(card, picture.as_ref().map(|(drawn, words)| blocks::image(&drawn.file, words)));
        let fallback = blocks::fallback(card);
        let mut posted = Posted {
            whole: print_of(&(&fitted.blocks, &fallback)),
            news,
            at: now,
            picture: picture.map(|(drawn, _)| drawn),
            settled: card.settled,
            ..message.clone().unwrap_or_default()
        };
        if let Some(was) = &message {
            if was.whole == posted.whole && was.settled == posted.settled {
                return Ok(());
            }
            let to = json!({"channel": was.channel, "ts": was.ts});
            match self.send("chat.update", to, &fallback, &fitted, card).await {
                Ok(shown) => return self.after_show(card, posted.with(&shown, tried), &fitted).await,
                Err(error) if error.is("message_not_found") || error.is("cant_update_message") => {
                    tracing::warn!(card = card.key, "The card's message is gone; it is posted anew.");
                    self.places.forget(&card.key, was);
                    posted.rest_sent = false;
                }
                Err(error) => return Err(error),
            }
        }
        let unsure = known.is_some_and(|posted| posted.ts.is_empty());
        if unsure && let Some(ts) = self.find(&card.key).await {
            posted.channel.clone_from(&self.channel);
            posted.ts = ts;
            // Shown again with the next form; what it says now is not known.
            posted.whole.clear();
            self.places.keep(&card.key, &posted);
            let to = json!({"channel": posted.channel, "ts": posted.ts});
            let shown = self.send("chat.update", to, &fallback, &fitted, card).await?;
            posted.whole = print_of(&(&fitted.blocks, &fallback));
            return self.after_show(card, posted.with(&shown, tried), &fitted).await;
        }
        // About to be posted: whoever finds this later does not know whether it was.
        self.places.keep(&card.key, &Posted { channel: self.channel.clone(), at: now, ..Posted::default() });
        let to = json!({
            "channel": self.channel,
            "metadata": {"event_type": CARD_EVENT, "event_payload": {"key": card.key}},
        });
        match self.send("chat.postMessage", to, &fallback, &fitted, card).await {
            Ok(shown) => {
                posted.channel = shown.channel.clone().unwrap_or_else(|| self.channel.clone());
                posted.ts = shown.ts.clone().unwrap_or_default();
                self.after_show(card, posted.with(&shown, tried), &fitted).await
            }
            Err(error) => {
                if !error.uncertain() {
                    self.places.forget(&card.key, &Posted { channel: self.channel.clone(), ..Posted::default() });
                }
                Err(error)
            }
        }
    }

    /// A card without a key: a message of its own.
    async fn post_once(&self, card: &Card) -> Result<(), CallError> {
        let fitted = self.fitted(card).await;
        let to = json!({"channel": self.channel});
        let shown = self.send("chat.postMessage", to, &blocks::fallback(card), &fitted, card).await?;
        self.send_rest(&fitted, &self.channel, shown.ts).await;
        Ok(())
    }

    /// Keeps where the card is, and puts what did not fit into its thread: once, and once more in its last form.
    async fn after_show(&self, card: &Card, mut posted: Posted, fitted: &Fitted) -> Result<(), CallError> {
        let due = fitted.rest.is_some() && (!posted.rest_sent || card.settled);
        posted.rest_sent |= due;
        self.places.keep(&card.key, &posted);
        if due {
            self.send_rest(fitted, &posted.channel, Some(posted.ts.clone())).await;
        }
        Ok(())
    }

    pub(super) async fn say(&self, key: &str, text: &str, broadcast: bool) -> Result<(), CallError> {
        let message = self.places.message(key);
        let to = thread_of(message.as_ref(), &self.channel, broadcast);
        // Without the thread, the key says what it is about.
        let words = match &message {
            None if !key.is_empty() => format!("{key}: {text}"),
            _ => text.to_owned(),
        };
        let card = Card { blocks: vec![Block::Text(words)], ..Card::default() };
        let fitted = fit(&card, None);
        let shown = self.send("chat.postMessage", to, &blocks::fallback(&card), &fitted, &card).await?;
        let (channel, ts) = match message {
            Some(posted) => (posted.channel, Some(posted.ts)),
            None => (self.channel.clone(), shown.ts),
        };
        self.send_rest(&fitted, &channel, ts).await;
        Ok(())
    }

    /// Channels get a message with a link to the card; people and groups are mentioned in its thread.
    pub(super) async fn call(&self, key: &str, to: &[String], text: &str) -> Result<(), CallError> {
        let message = self.places.message(key);
        let mut mentions = Vec::new();
        let mut channels = Vec::new();
        for to in to {
            // The ids stand in mentions as they are: only what has their form may.
            match to.split_once(':') {
                Some(("slack-channel", id)) if is_id(id, &['C', 'G']) => channels.push(id),
                Some(("slack-group", id)) if is_id(id, &['S']) => mentions.push(format!("<!subteam^{id}>")),
                Some(("slack", id)) if is_id(id, &['U', 'W']) => mentions.push(format!("<@{id}>")),
                Some(("slack-channel" | "slack-group" | "slack", _)) => {
                    tracing::error!(to, "This is not an id of Slack's; nobody was called by it.");
                }
                _ => {}
            }
        }
        let mut failed: Option<CallError> = None;
        let mut reached = false;
        let mut note = |result: Result<(), CallError>, whom: &str| match result {
            Ok(()) => reached = true,
            Err(error) => {
                tracing::error!(whom, error = error.words(), "Somebody could not be called.");
                failed = Some(error);
            }
        };
        if !mentions.is_empty() {
            let to = thread_of(message.as_ref(), &self.channel, true);
            note(self.say_marked(to, &format!("{} {}", mentions.join(" "), escaped(text))).await, "people and groups");
        }
        if !channels.is_empty() {
            let link = self.permalink(message.as_ref()).await;
            let link = link.map(|link| format!("\n<{link}|{}>", escaped(key))).unwrap_or_default();
            for channel in channels {
                let to = json!({"channel": channel});
                note(self.say_marked(to, &format!("{}{link}", escaped(text))).await, channel);
            }
        }
        match failed {
            // Another try would call those again who have been reached.
            Some(error) if reached => {
                let words = format!("Not everybody could be called: {}", error.words());
                self.say(key, &words, false).await
            }
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    pub(super) async fn answer(&self, reply: &Reply, answer: &Answer) -> Result<(), CallError> {
        let card = &answer.card;
        let fitted = self.fitted(card).await;
        let fallback = blocks::fallback(card);
        let private = answer.private && !reply.direct;
        let mut to = Map::new();
        to.insert("channel".to_owned(), reply.channel.clone().into());
        let thread = reply.thread_ts.as_ref().filter(|_| !private || reply.inside);
        if let Some(ts) = thread {
            to.insert("thread_ts".to_owned(), ts.clone().into());
        }
        let method = if private {
            to.insert("user".to_owned(), reply.user.clone().into());
            "chat.postEphemeral"
        } else {
            "chat.postMessage"
        };
        let sent = self.send(method, Value::Object(to), &fallback, &fitted, card).await;
        let (shown, channel) = match sent {
            Ok(shown) => (shown, reply.channel.clone()),
            // `/suture` can be typed where the bot is not, in a conversation of two people as well; the answer then
            // comes directly.
            Err(error) if error.not_there() => {
                let to = json!({"channel": reply.user});
                let shown = self.send("chat.postMessage", to, &fallback, &fitted, card).await?;
                let channel = shown.channel.clone().unwrap_or_default();
                (shown, channel)
            }
            Err(error) => return Err(error),
        };
        let mut files: Vec<File> = answer.file.iter().cloned().collect();
        files.extend(fitted.rest.as_deref().map(rest_file));
        if files.is_empty() {
            return Ok(());
        }
        let share = if private && channel == reply.channel {
            self.direct_to(&reply.user).await
        } else {
            let thread_ts = reply.thread_ts.clone().filter(|_| channel == reply.channel).or(shown.ts);
            Ok(Share { channel, thread_ts: thread_ts.filter(|_| !reply.direct) })
        };
        for file in files {
            let sent = match &share {
                Ok(share) => upload(&self.api, &file, Some(share)).await.map(|_| ()),
                Err(error) => Err(error.clone()),
            };
            if let Err(error) = sent {
                // The answer itself is out; sending it again for the file would say it twice.
                tracing::error!(file = file.name, error = error.words(), "A file could not be sent to Slack.");
                self.tell(reply, &format!("The file {} could not be sent: {}", file.name, error.words())).await;
            }
        }
        Ok(())
    }

    /// Tells one person something, for their eyes only: once where they are, and directly where the bot is not.
    pub(super) async fn tell(&self, reply: &Reply, words: &str) {
        let mut to = json!({"channel": reply.channel, "user": reply.user, "text": escaped(words)});
        let method = if reply.direct { "chat.postMessage" } else { "chat.postEphemeral" };
        if let (Some(map), Some(ts), true) = (to.as_object_mut(), &reply.thread_ts, reply.inside) {
            map.insert("thread_ts".to_owned(), ts.clone().into());
        }
        if let (Some(map), true) = (to.as_object_mut(), reply.direct) {
            map.remove("user");
        }
        let mut told = self.api.post(method, &to).await;
        if told.as_ref().is_err_and(CallError::not_there) {
            let direct = json!({"channel": reply.user, "text": escaped(words)});
            told = self.api.post("chat.postMessage", &direct).await;
        }
        if let Err(error) = told {
            tracing::error!(error = error.words(), words, "Somebody could not be told that something was not done.");
        }
    }

    /// The person's direct conversation. `conversations.open` would take one more scope; a message opens it too.
    async fn direct_to(&self, user: &str) -> Result<Share, CallError> {
        self.pace.wait(user).await;
        let body = json!({"channel": user, "text": "Here is the file that you asked for."});
        let answer = self.api.post("chat.postMessage", &body).await?;
        let channel = answer.get("channel").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Share { channel, thread_ts: None })
    }

    async fn fitted(&self, card: &Card) -> Fitted {
        let picture = self.picture(card, None, self.clock.now().0).await;
        fit(card, picture.map(|(drawn, words)| blocks::image(&drawn.file, &words)))
    }

    /// The card's chart as a picture that Slack has: the one that is there, or a new one. `None` where there is none or
    /// it cannot be had; the card has its words.
    async fn picture(&self, card: &Card, was: Option<&Posted>, now: i64) -> Option<(Drawn, String)> {
        let (chart, draw) = (card.picture.as_ref()?, self.draw.get()?);
        let Picture { png, words } = match draw(chart) {
            Ok(picture) => picture,
            Err(error) => {
                tracing::warn!(error, "A chart could not be drawn; the card goes out without it.");
                return None;
            }
        };
        let print = print_of_bytes(&png);
        if let Some(was) = was
            && let Some(drawn) = &was.picture
            && (drawn.print == print || (now - drawn.at < PICTURE_MS && !card.settled))
        {
            return Some((drawn.clone(), words));
        }
        let file = File { name: "chart.png".to_owned(), title: words.clone(), bytes: png };
        match upload(&self.api, &file, None).await {
            Ok(file) => Some((Drawn { file, print, at: now }, words)),
            Err(error) => {
                tracing::warn!(error = error.words(), "A picture could not be sent; the card goes out without it.");
                None
            }
        }
    }

    /// Sends blocks; what Slack refuses goes out with less: without the picture, then as text alone.
    async fn send(
        &self,
        method: &'static str,
        mut to: Value,
        fallback: &str,
        fitted: &Fitted,
        card: &Card,
    ) -> Result<Shown, CallError> {
        let pictured = fitted.blocks.iter().any(is_image);
        let without: Vec<_> = fitted.blocks.iter().filter(|block| !is_image(block)).collect();
        let mut pauses = PICTURE_PAUSES.iter().filter(|_| pictured);
        let mut blocks = json!(fitted.blocks);
        let mut shows_picture = pictured;
        loop {
            match self.send_once(method, &to, fallback, blocks.clone()).await {
                Err(error) if bad_blocks(&error) && shows_picture => match pauses.next() {
                    Some(pause) => sleep(*pause).await,
                    None => {
                        tracing::warn!(card = card.key, error = error.words(), "Slack does not take a card's picture.");
                        blocks = json!(without);
                        shows_picture = false;
                    }
                },
                Err(error) if bad_blocks(&error) => {
                    tracing::error!(card = card.key, error = error.words(), "Slack does not take a card's blocks.");
                    let text = blocks::all_as_text(card);
                    return self.send_once(method, &to, &text, json!([])).await;
                }
                // Whoever deleted the root of the thread does not silence what is said about it.
                Err(error) if no_thread(&error) && to.get("thread_ts").is_some() => {
                    if let Some(to) = to.as_object_mut() {
                        to.remove("thread_ts");
                        to.remove("reply_broadcast");
                    }
                }
                sent => return sent.map(|shown| Shown { pictured: shows_picture, ..shown }),
            }
        }
    }

    async fn send_once(&self, method: &'static str, to: &Value, text: &str, blocks: Value) -> Result<Shown, CallError> {
        let mut body = to.as_object().cloned().unwrap_or_default();
        body.insert("text".to_owned(), text.into());
        body.insert("blocks".to_owned(), blocks);
        // Nothing in the text is to become a link, a mention or a preview.
        body.insert("parse".to_owned(), "none".into());
        body.insert("link_names".to_owned(), false.into());
        if method == "chat.postMessage" {
            body.insert("mrkdwn".to_owned(), false.into());
            body.insert("unfurl_links".to_owned(), false.into());
            body.insert("unfurl_media".to_owned(), false.into());
        }
        self.paced(method, &Value::Object(body)).await
    }

    /// A message with mentions or a link of ours; `marked` is mrkdwn that is safe.
    async fn say_marked(&self, to: Value, marked: &str) -> Result<(), CallError> {
        let mut body = to.as_object().cloned().unwrap_or_default();
        let marked: String = marked.chars().take(2900).collect();
        body.insert(
            "blocks".to_owned(),
            json!([
                {"type": "section", "text": {"type": "mrkdwn", "text": marked, "verbatim": true}}
            ]),
        );
        body.insert("text".to_owned(), marked.into());
        body.insert("unfurl_links".to_owned(), false.into());
        self.paced("chat.postMessage", &Value::Object(body)).await.map(|_| ())
    }

    async fn paced(&self, method: &'static str, body: &Value) -> Result<Shown, CallError> {
        let channel = body.get("channel").and_then(Value::as_str).unwrap_or_default();
        self.pace.wait(channel).await;
        let answer = self.api.post(method, body).await.inspect_err(|error| {
            if let CallError::Limited(after) = error {
                self.pace.hold(channel, *after);
            }
        })?;
        let part = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Shown { channel: part("channel"), ts: part("ts"), pictured: false })
    }

    async fn permalink(&self, message: Option<&Posted>) -> Option<String> {
        let message = message?;
        let asked = [("channel", message.channel.as_str()), ("message_ts", message.ts.as_str())];
        match self.api.get("chat.getPermalink", &asked).await {
            Ok(answer) => {
                let link = answer.get("permalink").and_then(Value::as_str)?;
                // It stands in a link of ours.
                let url: reqwest::Url = link.parse().ok()?;
                let safe = matches!(url.scheme(), "https" | "http") && !link.contains(['|', '<', '>']);
                safe.then(|| link.to_owned())
            }
            Err(error) => {
                tracing::warn!(error = error.words(), "No link to the card could be had.");
                None
            }
        }
    }

    /// The message that may have been posted before its answer was lost.
    async fn find(&self, key: &str) -> Option<String> {
        let asked = [("channel", self.channel.as_str()), ("limit", "50"), ("include_all_metadata", "true")];
        let answer = match self.api.get("conversations.history", &asked).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::info!(card = key, error = error.words(), "Cannot look whether a card stands there already.");
                return None;
            }
        };
        let messages = answer.get("messages").and_then(Value::as_array)?;
        let ours = |message: &&Value| {
            message.pointer("/metadata/event_type").and_then(Value::as_str) == Some(CARD_EVENT)
                && message.pointer("/metadata/event_payload/key").and_then(Value::as_str) == Some(key)
        };
        messages.iter().find(ours)?.get("ts").and_then(Value::as_str).map(str::to_owned)
    }

    /// Best effort: the card says that there is more, and all of it is in the ledger.
    async fn send_rest(&self, fitted: &Fitted, channel: &str, ts: Option<String>) {
        let Some(rest) = &fitted.rest else { return };
        let share = Share { channel: channel.to_owned(), thread_ts: ts };
        if let Err(error) = upload(&self.api, &rest_file(rest), Some(&share)).await {
            tracing::error!(error = error.words(), "The rest of a card could not be sent as a file.");
        }
    }
}

/// What Slack answers to a message.
#[derive(Clone, Debug, Default)]
struct Shown {
    channel: Option<String>,
    ts: Option<String>,
    pictured: bool,
}

impl Posted {
    /// A picture that was tried and is not there is tried again after a while.
    fn with(mut self, shown: &Shown, tried: bool) -> Self {
        if shown.pictured {
            self.unpictured = None;
        } else {
            self.picture = None;
            if tried {
                self.unpictured = Some(self.at);
            }
        }
        self
    }
}

fn thread_of(message: Option<&Posted>, channel: &str, broadcast: bool) -> Value {
    match message {
        Some(posted) if broadcast => {
            json!({"channel": posted.channel, "thread_ts": posted.ts, "reply_broadcast": true})
        }
        Some(posted) => json!({"channel": posted.channel, "thread_ts": posted.ts}),
        None => json!({"channel": channel}),
    }
}

fn rest_file(rest: &str) -> File {
    File {
        name: "rest-of-the-card.txt".to_owned(),
        title: "The rest of this card".to_owned(),
        bytes: literal(rest).into_bytes(),
    }
}

fn bad_blocks(error: &CallError) -> bool {
    ["invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"].iter().any(|code| error.is(code))
}

fn no_thread(error: &CallError) -> bool {
    error.is("cannot_reply_to_message") || error.is("thread_not_found")
}

fn is_image(block: &SlackBlock) -> bool {
    matches!(block, SlackBlock::Image(_))
}

/// The card without what only ticks: a value's last bracket.
fn without_glosses(card: &Card) -> Card {
    let blocks = card.blocks.iter().map(|block| match block {
        Block::Field(label, value) => {
            let value = match value.rsplit_once(" (") {
                Some((said, gloss)) if gloss.ends_with(')') => said,
                _ => value,
            };
            Block::Field(label.clone(), value.to_owned())
        }
        other => other.clone(),
    });
    Card { blocks: blocks.collect(), ..card.clone() }
}

fn print_of(what: &impl serde::Serialize) -> String {
    print_of_bytes(&serde_json::to_vec(what).unwrap_or_default())
}

fn print_of_bytes(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

//! What is done with what came in, whichever way it came: made durable by the desk first, then acknowledged. The work
//! itself happens elsewhere, and is answered later.
//!
//! Slack waits three seconds. So long as the desk has not said that it took something, nobody is told that it did; when
//! it cannot take it, whoever asked is told so at once. Must never answer through response_url or a trigger later on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Inner;
use super::blocks::modal;
use super::errors::PLATFORM;
use super::events::{Incoming, Kind, Me, Metadata, Reply, decode};
use crate::chat::{Desk, Form, Heard, Place, Press, Said};
use crate::model::Person;

/// For the name and the groups of whoever speaks. Together with [`TAKE_FOR`] it stays below Slack's three seconds.
const LOOK_FOR: Duration = Duration::from_millis(700);
/// For the desk to make it durable.
const TAKE_FOR: Duration = Duration::from_secs(2);

/// Said when the desk did not answer in time: it may have been taken all the same.
const NOT_CERTAIN: &str = "It is not certain that this was taken: look at `status` before you say it again.";

/// What goes back to Slack at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ack {
    /// Taken, or nothing to us.
    Plain,
    /// Words for whoever typed the command, for their eyes only.
    Words(String),
    /// What is wrong with a form, shown at this block of it.
    Errors { block: String, words: String },
    /// The answer to a challenge.
    Challenge(String),
}

impl Ack {
    /// As the body of an answer; `None` when it is empty.
    pub fn payload(&self) -> Option<Value> {
        match self {
            Self::Plain => None,
            Self::Words(words) => Some(json!({"response_type": "ephemeral", "text": super::mrkdwn::escaped(words)})),
            Self::Errors { block, words } => Some(json!({"response_action": "errors", "errors": {block: words}})),
            Self::Challenge(challenge) => Some(json!({"challenge": challenge})),
        }
    }
}

/// Hands in what Slack delivers.
pub(super) struct Intake {
    slack: Arc<Inner>,
    desk: Arc<dyn Desk>,
    me: Me,
    /// Calls to Slack that nobody waits for. They end with the intake.
    errands: Mutex<JoinSet<()>>,
}

impl Intake {
    /// An intake for the desk; `me` says whose messages are our own.
    pub fn new(slack: Arc<Inner>, desk: Arc<dyn Desk>, me: Me) -> Self {
        Self { slack, desk, me, errands: Mutex::default() }
    }

    /// Takes one delivery. Returns in less than three seconds.
    pub async fn hear(&self, kind: Kind, payload: &Value) -> Ack {
        match decode(kind, payload, &self.me) {
            Incoming::Challenge(challenge) => Ack::Challenge(challenge),
            Incoming::Nothing => Ack::Plain,
            Incoming::Stranger(team) => {
                tracing::warn!(team, "Somebody of another Slack workspace spoke to the bot, and was not heard.");
                self.refuse(kind, None, "This Suture belongs to another workspace and does not listen here.")
            }
            Incoming::Unclear { why, reply } => {
                tracing::error!(why, "Slack delivered something that was not understood; nothing was done.");
                let words = "That was not understood, and nothing was done. Say it again, or try `/suture help`.";
                self.refuse(kind, reply.as_ref(), words)
            }
            Incoming::Line { delivery, text, reply } => {
                let card = self.card_of(&reply, None);
                match self.take(delivery, Said::Line(text), &reply, card).await {
                    Ok(()) => Ack::Plain,
                    Err(words) => self.refuse(kind, Some(&reply), &words),
                }
            }
            Incoming::Press { delivery, id, trigger, message_ts, reply } => {
                self.press(delivery, id, trigger, &message_ts, reply).await
            }
            Incoming::Filled { delivery, id, values, first_block, reply } => {
                let card = self.card_of(&reply, None);
                match (self.take(delivery, Said::Filled { id, values }, &reply, card).await, first_block) {
                    (Ok(()), _) => Ack::Plain,
                    // The form stays open, with what was typed into it.
                    (Err(words), Some(block)) => Ack::Errors { block, words },
                    (Err(words), None) => self.refuse(kind, Some(&reply), &words),
                }
            }
        }
    }

    /// Something that Slack sent could not even be read.
    pub fn unreadable(&self, why: &str) {
        tracing::error!(why, "Slack sent something that is no JSON; if somebody asked for something, it was not done.");
    }

    async fn press(&self, delivery: String, id: String, trigger: String, message_ts: &str, reply: Reply) -> Ack {
        // The name as far as it is known: a form has to be open before the trigger is void.
        let by = person(&reply.user, self.slack.people.known_name(&reply.user));
        match self.desk.press(&id, &by) {
            Press::Go => {
                let card = self.card_of(&reply, Some(message_ts));
                if let Err(words) = self.take(delivery, Said::Press(id), &reply, card).await {
                    self.tell(reply, words);
                }
            }
            Press::Ask(form) => self.ask(form, trigger, reply),
            Press::Gone(words) => self.tell(reply, words),
        }
        Ack::Plain
    }

    /// Opens a form; nothing is taken yet, so nothing has to be durable.
    fn ask(&self, form: Form, trigger: String, reply: Reply) {
        let slack = Arc::clone(&self.slack);
        self.errand(async move {
            let metadata = Metadata { form: form.id.clone(), reply: reply.clone() };
            let opened = match serde_json::to_string(&metadata) {
                Ok(metadata) => {
                    let body = json!({"trigger_id": trigger, "view": modal(&form, metadata)});
                    slack.api.post("views.open", &body).await.map(|_| ()).map_err(|e| e.words())
                }
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = opened {
                tracing::warn!(error, "A form could not be opened.");
                let words = "The form could not be opened in time, and nothing was done. Press again, or type it.";
                slack.tell(&reply, words).await;
            }
        });
    }

    /// Makes it durable. An error is in words for whoever asked.
    async fn take(&self, delivery: String, said: Said, reply: &Reply, card: Option<String>) -> Result<(), String> {
        let (by, groups) = self.about(&reply.user).await;
        // A slash command is seen by nobody else, and so is its answer; a mention was said to all.
        let aloud = matches!(said, Said::Line(_)) && !reply.direct && !delivery.starts_with("command:");
        let heard = Heard {
            delivery,
            platform: PLATFORM.to_owned(),
            by,
            groups,
            place: Place { channel: reply.channel.clone(), card, direct: reply.direct, aloud },
            said,
            reply: serde_json::to_value(reply).unwrap_or_default(),
        };
        match timeout(TAKE_FOR, self.desk.take(heard)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::error!(error = %error.why, "Something that was said in Slack could not be made durable.");
                Err(format!("NOT taken, nothing was done: {}. Say it again in a moment.", error.why))
            }
            Err(_) => {
                tracing::error!("It is not certain that something said in Slack was taken: the desk took too long.");
                Err(NOT_CERTAIN.to_owned())
            }
        }
    }

    /// Who it is, as far as Slack says so in time. What it says later is there the next time.
    async fn about(&self, user: &str) -> (Person, Option<Vec<String>>) {
        let (slack, asked) = (Arc::clone(&self.slack), user.to_owned());
        let (send, found) = oneshot::channel();
        self.errand(async move {
            let about = tokio::join!(slack.people.name(&slack.api, &asked), slack.people.groups(&slack.api, &asked));
            // Nobody waits for it any more when it took too long.
            let _ = send.send(about);
        });
        match timeout(LOOK_FOR, found).await {
            Ok(Ok((name, groups))) => (person(user, name), groups),
            _ => (person(user, self.slack.people.known_name(user)), None),
        }
    }

    /// The card whose button was pressed or in whose thread something was said.
    fn card_of(&self, reply: &Reply, message_ts: Option<&str>) -> Option<String> {
        let at = message_ts.into_iter().chain(reply.thread_ts.as_deref());
        at.filter_map(|ts| self.slack.places.card_at(&reply.channel, ts)).next()
    }

    fn refuse(&self, kind: Kind, reply: Option<&Reply>, words: &str) -> Ack {
        match (kind, reply) {
            (Kind::Command, _) => return Ack::Words(words.to_owned()),
            (_, Some(reply)) => self.tell(reply.clone(), words.to_owned()),
            (_, None) => {}
        }
        Ack::Plain
    }

    fn tell(&self, reply: Reply, words: String) {
        let slack = Arc::clone(&self.slack);
        self.errand(async move { slack.tell(&reply, &words).await });
    }

    /// Each is bounded by the bounds of the calls in it, and there are no more than deliveries.
    fn errand(&self, errand: impl Future<Output = ()> + Send + 'static) {
        let mut errands = self.errands.lock().unwrap_or_else(PoisonError::into_inner);
        while errands.try_join_next().is_some() {}
        errands.spawn(errand);
    }
}

fn person(user: &str, name: String) -> Person {
    Person::new(format!("{PLATFORM}:{user}"), name)
}

//! What people do in the client: they type commands, press buttons, fill in forms, write. What a client would not let
//! them do is an error of the test and panics, unless the name begins with `try_`.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::commands::{self, Typed};
use super::interactions::FIRST_ANSWER;
use super::message::{Message, parts};
use super::transcript::Line;
use super::world::{Channel, Interaction, State, User};
use super::{FakeDiscord, Response, dispatch, render};

/// The command people type; everything else is a sub command of it.
const ROOT: &str = "suture";

/// Something that was sent to the bot: an interaction, or a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The interaction's or the message's id.
    pub id: String,
}

impl FakeDiscord {
    /// Types `/suture {path}` with these options. Users, channels and roles among the options are given by id.
    pub async fn slash(&self, user: &str, channel: &str, path: &[&str], options: &[(&str, Value)]) -> Delivery {
        let done = self.try_slash(user, channel, path, options).await;
        done.unwrap_or_else(|why| panic!("@{user} cannot type /{ROOT} {}: {why}", path.join(" ")))
    }

    /// As `slash`; what the client would say when it does not let this user type that here.
    pub async fn try_slash(
        &self,
        user: &str,
        channel: &str,
        path: &[&str],
        options: &[(&str, Value)],
    ) -> Result<Delivery, String> {
        self.change(|state| {
            let (user, channel) = (state.user(user), state.channel(channel));
            let typed = Typed { root: ROOT, path, options, focused: None };
            let data = commands::data(state, &user, &channel, &typed)?;
            let mut text = vec![format!("/{ROOT}")];
            text.extend(path.iter().map(|p| (*p).to_owned()));
            text.extend(options.iter().map(|(name, value)| format!("{name}:{value}")));
            did(state, &user, &channel, text.join(" "));
            Ok(interact(state, 2, &user, &channel, None, data))
        })
    }

    /// Types so far and waits for what the bot offers (name, value); empty when it does not offer anything in time.
    pub async fn autocomplete(
        &self,
        user: &str,
        channel: &str,
        path: &[&str],
        options: &[(&str, Value)],
        focused: (&str, &str),
    ) -> Vec<(String, String)> {
        let sent = self.change(|state| {
            let (user, channel) = (state.user(user), state.channel(channel));
            let typed = Typed { root: ROOT, path, options, focused: Some(focused) };
            let data = commands::data(state, &user, &channel, &typed)?;
            did(state, &user, &channel, format!("/{ROOT} {} {}:{}▏", path.join(" "), focused.0, focused.1));
            Ok::<_, String>(interact(state, 4, &user, &channel, None, data))
        });
        let sent = sent.unwrap_or_else(|why| panic!("@{user} cannot complete that: {why}"));
        let answered = self.wait_for("choices", |fake| fake.responses(&sent).into_iter().next());
        let answer = tokio::time::timeout(FIRST_ANSWER + Duration::from_millis(500), answered).await;
        answer.map(|a| a.choices).unwrap_or_default()
    }

    /// Presses a button of a message, by its custom id.
    pub async fn press(&self, user: &str, channel: &str, message: &str, custom_id: &str) -> Delivery {
        let done = self.try_press(user, channel, message, custom_id).await;
        done.unwrap_or_else(|why| panic!("@{user} cannot press {custom_id}: {why}"))
    }

    /// As `press`; why the client would not let this user press that.
    pub async fn try_press(
        &self,
        user: &str,
        channel: &str,
        message: &str,
        custom_id: &str,
    ) -> Result<Delivery, String> {
        self.change(|state| {
            let (user, channel) = (state.user(user), state.channel(channel));
            let on = on(state, &user, &channel, message)?;
            let part = parts(&on.components).find(|c| c["custom_id"] == custom_id);
            let part = part.ok_or("there is no such button")?;
            if part["type"] != 2 || part["disabled"] == true {
                return Err("that cannot be pressed".to_owned());
            }
            let label = part["label"].as_str().unwrap_or_default();
            did(state, &user, &channel, format!("presses [{label}] on {}", on.id));
            let data = json!({"custom_id": custom_id, "component_type": 2, "id": 1});
            Ok(interact(state, 3, &user, &channel, Some(&on.id), data))
        })
    }

    /// Sends a press that no button of the message stands for: a custom id from elsewhere, or of a button that is gone.
    pub async fn press_forged(&self, user: &str, channel: &str, message: &str, custom_id: &str) -> Delivery {
        self.change(|state| {
            let (user, channel) = (state.user(user), state.channel(channel));
            did(state, &user, &channel, format!("forges a press on {message}"));
            let data = json!({"custom_id": custom_id, "component_type": 2, "id": 1});
            interact(state, 3, &user, &channel, Some(message), data)
        })
    }

    /// Chooses from a select menu of a message.
    pub async fn choose(&self, user: &str, channel: &str, message: &str, custom_id: &str, values: &[&str]) -> Delivery {
        let done = self.change(|state| {
            let (user, channel) = (state.user(user), state.channel(channel));
            let on = on(state, &user, &channel, message)?;
            let part = parts(&on.components).find(|c| c["custom_id"] == custom_id && c["type"] == 3);
            let part = part.ok_or("there is no such menu")?;
            let offered = part["options"].as_array().into_iter().flatten().map(|o| &o["value"]).collect::<Vec<_>>();
            let bound = |key: &str| part.get(key).and_then(Value::as_u64).unwrap_or(1) as usize;
            if values.len() < bound("min_values") || values.len() > bound("max_values") {
                return Err("too few or too many".to_owned());
            }
            if part["disabled"] == true || !values.iter().all(|v| offered.iter().any(|o| **o == *v)) {
                return Err("that cannot be chosen".to_owned());
            }
            did(state, &user, &channel, format!("chooses {} on {}", values.join(", "), on.id));
            let data = json!({"custom_id": custom_id, "component_type": 3, "id": 1, "values": values});
            Ok(interact(state, 3, &user, &channel, Some(&on.id), data))
        });
        done.unwrap_or_else(|why: String| panic!("@{user} cannot choose from {custom_id}: {why}"))
    }

    /// Sends the form that answered a delivery, with these values by custom id.
    pub async fn submit(&self, user: &str, form: &Delivery, values: &[(&str, &str)]) -> Delivery {
        let done = self.try_submit(user, form, values).await;
        done.unwrap_or_else(|why| panic!("@{user} cannot submit: {why}"))
    }

    /// As `submit`; why the client would not let this user send that.
    pub async fn try_submit(&self, user: &str, form: &Delivery, values: &[(&str, &str)]) -> Result<Delivery, String> {
        self.change(|state| {
            let found = state.interactions.iter().find(|i| i.id == form.id).cloned().ok_or("no such interaction")?;
            let modal = found.modal.clone().ok_or("it was not answered by a form")?;
            let user = state.user(user);
            if found.user != user.id {
                return Err("the form was shown to somebody else".to_owned());
            }
            let channel = state.channel(&found.channel);
            let rows = filled(&modal, values)?;
            let title = modal["title"].as_str().unwrap_or_default();
            let said = values.iter().map(|(_, v)| format!("{v:?}")).collect::<Vec<_>>().join(", ");
            did(state, &user, &channel, format!("submits {title:?}: {said}"));
            let data = json!({"custom_id": modal["custom_id"], "components": rows, "resolved": {}});
            Ok(interact(state, 5, &user, &channel, found.message.as_deref(), data))
        })
    }

    /// Writes in a channel or a thread. The bot reads the text only when it is mentioned or has the intent for it.
    pub async fn say(&self, user: &str, channel: &str, text: &str) -> Delivery {
        self.change(|state| {
            let channel = state.channel(channel);
            said(state, user, &channel, text)
        })
    }

    /// Writes to the bot alone.
    pub async fn direct(&self, user: &str, text: &str) -> Delivery {
        self.say(user, &format!("@{user}"), text).await
    }

    /// Sends the same event again, under a new sequence number, as it can happen around a lost connection.
    pub async fn redeliver(&self, delivery: &Delivery) {
        self.change(|state| {
            state.log.push(Line::Note(format!("{} comes once more", delivery.id)));
            if let Some(interaction) = state.interactions.iter().find(|i| i.id == delivery.id) {
                let event = interaction.event.clone();
                return dispatch::send(state, 0, "INTERACTION_CREATE", &event);
            }
            let event = state.events.get(&delivery.id).cloned().expect("a delivery of this fake");
            dispatch::redelivered(state, "MESSAGE_CREATE", &event);
        });
    }

    /// Waits for the first answer to a delivery.
    pub async fn answer(&self, delivery: &Delivery) -> Response {
        let what = format!("an answer to {}", delivery.id);
        self.wait_for(&what, |fake| fake.responses(delivery).into_iter().next()).await
    }

    /// Waits for the first answer that says something: one that was deferred, when it is filled in.
    pub async fn answer_text(&self, delivery: &Delivery) -> String {
        let said = |fake: &Self| {
            let message = fake.responses(delivery).into_iter().next()?.message?;
            (message.flags & Message::LOADING == 0).then(|| message.text())
        };
        self.wait_for(&format!("the text of an answer to {}", delivery.id), said).await
    }
}

fn did(state: &mut State, user: &User, channel: &Channel, what: String) {
    state.log.push(Line::Did(user.id.clone(), channel.id.clone(), what));
}

/// The message, when it is there and this user sees it.
fn on(state: &State, user: &User, channel: &Channel, message: &str) -> Result<Message, String> {
    let found = state.message(message).filter(|m| m.channel == channel.id);
    let found = found.filter(|m| m.only.as_ref().is_none_or(|only| *only == user.id));
    found.cloned().ok_or_else(|| "there is no such message to see".to_owned())
}

/// The rows of a form as the user filled them in: what is not named keeps its value.
fn filled(modal: &Value, values: &[(&str, &str)]) -> Result<Vec<Value>, String> {
    let rows = modal["components"].as_array().map_or(&[][..], Vec::as_slice);
    if let Some((id, _)) = values.iter().find(|(id, _)| !parts(rows).any(|c| c["custom_id"] == *id)) {
        return Err(format!("the form has no {id}"));
    }
    let row = |input: &Value| {
        let id = input["custom_id"].as_str().unwrap_or_default();
        let given = values.iter().find(|(i, _)| *i == id).map(|(_, v)| *v);
        let value = given.or(input["value"].as_str()).unwrap_or_default();
        let long = value.chars().count() as u64;
        let bound = |key: &str| input.get(key).and_then(Value::as_u64);
        if value.is_empty() && input["required"] != false {
            return Err(format!("{id} is required"));
        }
        if long > bound("max_length").unwrap_or(4000) || (long > 0 && long < bound("min_length").unwrap_or(0)) {
            return Err(format!("{id} is too short or too long"));
        }
        Ok(json!({"type": 1, "id": 1, "components": [{"type": 4, "id": 2, "custom_id": id, "value": value}]}))
    };
    parts(rows).map(row).collect()
}

fn interact(
    state: &mut State,
    kind: u64,
    user: &User,
    channel: &Channel,
    message: Option<&str>,
    data: Value,
) -> Delivery {
    let id = state.id();
    let mut interaction = Interaction {
        // As long and as odd as real ones.
        token: format!("aW50ZXJhY3Rpb246{id}-{}_{}", state.id(), "x".repeat(140)),
        id: id.clone(),
        kind,
        user: user.id.clone(),
        channel: channel.id.clone(),
        message: message.map(ToOwned::to_owned),
        event: Value::Null,
        at: Instant::now(),
        overdue: false,
        expired: false,
        answer: None,
        ephemeral: false,
        modal: None,
        choices: Vec::new(),
        original: None,
        followups: Vec::new(),
    };
    interaction.event = render::interaction(state, &interaction, user, channel, data);
    let event = interaction.event.clone();
    state.interactions.push(interaction);
    dispatch::send(state, 0, "INTERACTION_CREATE", &event);
    Delivery { id }
}

fn said(state: &mut State, user: &str, channel: &Channel, text: &str) -> Delivery {
    let author = state.user(user).id;
    let message = Message {
        id: state.id(),
        channel: channel.id.clone(),
        author,
        content: text.to_owned(),
        embeds: Vec::new(),
        components: Vec::new(),
        attachments: Vec::new(),
        flags: 0,
        edits: 0,
        thread: None,
        reference: None,
        interaction: None,
        only: None,
        deleted: false,
        nonce: None,
        at: SystemTime::now(),
        edited_at: None,
    };
    let id = message.id.clone();
    state.log.push(Line::Posted(message.clone()));
    state.messages.push(message);
    dispatch::message(state, "MESSAGE_CREATE", &id);
    Delivery { id }
}

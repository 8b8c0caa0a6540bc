//! What people do in Slack, as seen by the bot.

use serde_json::{Value, json};

use super::chat::{add, blank};
use super::delivery::{self, Delivery, Kind, deliver, never};
use super::state::{BOT, Message, State};
use super::{FakeSlack, payload, transcript, views};

impl FakeSlack {
    /// `/suture TEXT` in a channel. Slack has no slash commands in threads, so there is no thread to name.
    pub async fn command(&self, user: &str, channel: &str, text: &str) -> Delivery {
        let payload = self.shared.change(|state| {
            transcript::line(state, format!("#{channel} {user} types /suture {text}"));
            state.scopes.contains("commands").then(|| payload::command(state, user, channel, text))
        });
        let Some(payload) = payload else { return never(&self.shared, "no scope commands: there is no such command") };
        let about = payload["response_url"].as_str().unwrap_or_default().to_owned();
        deliver(&self.shared, Kind::Command, payload, &about)
    }

    /// Presses a button of a message as it stands now.
    pub async fn press(&self, user: &str, channel: &str, message_ts: &str, action_id: &str) -> Delivery {
        self.act(user, channel, message_ts, action_id, None)
    }

    /// Presses a button with a value that may be stale or forged: also one that the message does not have (any more).
    /// For a select it is the option that is chosen.
    pub async fn press_value(
        &self,
        user: &str,
        channel: &str,
        message_ts: &str,
        action_id: &str,
        value: &str,
    ) -> Delivery {
        self.act(user, channel, message_ts, action_id, Some(value))
    }

    fn act(&self, user: &str, channel: &str, ts: &str, action_id: &str, value: Option<&str>) -> Delivery {
        let payload = self.shared.change(|state| {
            let seen = |m: &&Message| m.only_for.as_ref().is_none_or(|only| only == user);
            let there = |m: &&Message| m.channel == channel && m.ts == ts;
            let found = state.messages.iter().filter(there).find(seen).cloned();
            let message = found.ok_or_else(|| format!("{user} sees no message {ts} in {channel}"))?;
            let action = action(state, &message, action_id, value)?;
            let label = action["text"]["text"].as_str().unwrap_or(action_id).to_owned();
            transcript::line(state, format!("#{channel} {user} presses [{label}] on {ts}"));
            Ok(payload::press(state, user, &message, action))
        });
        match payload {
            Ok(payload) => deliver(&self.shared, Kind::Press, payload, ""),
            Err(why) => {
                let why: String = why;
                never(&self.shared, &why)
            }
        }
    }

    /// Fills in a form and sends it off; each value stands at `block_id/action_id`. What the person leaves out keeps
    /// its initial value. What Slack's own client refuses (a required field that is empty) never reaches the bot.
    pub async fn submit(&self, user: &str, view_id: &str, values: &[(&str, &str)]) -> Delivery {
        let payload = self.shared.change(|state| {
            let found = views::find(state, view_id).map(|index| &state.views[index]);
            let shown = found.filter(|view| view.open && view.user == user);
            let mut view = shown.ok_or_else(|| format!("{user} has no form {view_id} open"))?.view.clone();
            view["state"] = views::filled(&view, values)?;
            let said: Vec<String> = values.iter().map(|(place, text)| format!("\n    {place} = {text}")).collect();
            transcript::line(state, format!("{user} sends off {view_id}{}", said.concat()));
            Ok::<_, String>(payload::submission(state, user, view))
        });
        match payload {
            Ok(payload) => deliver(&self.shared, Kind::Form, payload, view_id),
            Err(why) => never(&self.shared, &why),
        }
    }

    /// Closes a form without sending it off. The bot hears of it only if the form says `notify_on_close`.
    pub async fn close(&self, user: &str, view_id: &str) -> Delivery {
        let payload = self.shared.change(|state| {
            let index = views::find(state, view_id).filter(|index| state.views[*index].open)?;
            state.views[index].open = false;
            let view = state.views[index].view.clone();
            transcript::line(state, format!("{user} closes {view_id}"));
            (view["notify_on_close"] == true).then(|| payload::closed(state, user, view))
        });
        match payload {
            Some(payload) => deliver(&self.shared, Kind::Closed, payload, ""),
            None => never(&self.shared, "nobody asked to be told that a form is closed"),
        }
    }

    /// Mentions the bot, which comes in front of the text unless it is in it.
    pub async fn mention(&self, user: &str, channel: &str, thread_ts: Option<&str>, text: &str) -> Delivery {
        let call = format!("<@{BOT}>");
        let text = if text.contains(&call) { text.to_owned() } else { format!("{call} {text}") };
        let ts = self.chat(user, channel, thread_ts, &text).await;
        let payload = self.shared.change(|state| {
            // Page "app_mention": only where the app is, and only with the scope.
            if !state.scopes.contains("app_mentions:read") {
                return Err("no scope app_mentions:read");
            }
            if !state.channel(channel).is_some_and(|channel| channel.members.contains(BOT)) {
                return Err("the bot is not in the channel");
            }
            let mut event = said(state, channel, &ts);
            event["type"] = json!("app_mention");
            Ok(payload::event(state, event))
        });
        match payload {
            Ok(payload) => deliver(&self.shared, Kind::Event, payload, ""),
            Err(why) => never(&self.shared, why),
        }
    }

    /// Writes to the bot directly.
    pub async fn direct(&self, user: &str, text: &str) -> Delivery {
        let channel = self.shared.change(|state| state.direct(user));
        let ts = self.chat(user, &channel, None, text).await;
        let payload = self.shared.change(|state| {
            let mut event = said(state, &channel, &ts);
            event["channel_type"] = json!("im");
            state.scopes.contains("im:history").then(|| payload::event(state, event))
        });
        match payload {
            Some(payload) => deliver(&self.shared, Kind::Event, payload, ""),
            None => never(&self.shared, "no scope im:history"),
        }
    }

    /// Says something that the bot is not told of. Gives the message's ts.
    pub async fn chat(&self, user: &str, channel: &str, thread_ts: Option<&str>, text: &str) -> String {
        self.shared.change(|state| {
            let thread_ts = thread_ts.map(str::to_owned);
            let index = add(state, Message { thread_ts, text: text.to_owned(), ..blank(channel, user) });
            state.messages[index].ts.clone()
        })
    }

    /// The same once more, with the same ids: an event as `retry_attempt` 1.
    pub async fn redeliver(&self, delivery: &Delivery) -> Delivery {
        delivery::redeliver(&self.shared, delivery.index)
    }
}

fn said(state: &State, channel: &str, ts: &str) -> Value {
    let index = state.find(channel, ts).unwrap_or_default();
    let mut event = payload::message(state, &state.messages[index]);
    event["channel"] = json!(channel);
    event["event_ts"] = json!(ts);
    event
}

/// What the press says, from the element as it stands in the message.
fn action(state: &mut State, message: &Message, action_id: &str, value: Option<&str>) -> Result<Value, String> {
    let at = state.ts();
    let blocks = message.blocks.as_array().into_iter().flatten();
    let elements = blocks.flat_map(|block| {
        let many = block["elements"].as_array().into_iter().flatten();
        let one = ["accessory", "element"].into_iter().filter_map(|key| block.get(key));
        many.chain(one).map(move |element| (block, element))
    });
    let mut found = elements.filter(|(_, element)| element["action_id"] == action_id);
    let Some((block, element)) = found.next() else {
        return match value {
            None => Err(format!("the message has no button {action_id}")),
            Some(value) => Ok(json!({
                "action_id": action_id, "block_id": "gone", "type": "button", "value": value, "action_ts": at,
                "text": {"type": "plain_text", "text": action_id},
            })),
        };
    };
    let kind = element["type"].as_str().unwrap_or_default();
    let mut action = json!({"action_id": action_id, "block_id": block["block_id"], "type": kind, "action_ts": at});
    if kind == "button" {
        for key in ["text", "style", "value"] {
            if let Some(part) = element.get(key) {
                action[key] = part.clone();
            }
        }
        if let Some(value) = value {
            action["value"] = json!(value);
        }
    } else {
        let wanted = value.unwrap_or_default();
        let option = element.as_object().and_then(|map| super::elements::choices(map).find(|o| o["value"] == wanted));
        action["selected_option"] = option.cloned().ok_or_else(|| format!("{action_id} has no option {wanted}"))?;
    }
    Ok(action)
}

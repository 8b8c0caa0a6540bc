//! One conversation, whichever platform it is held on: what a case says and sees, over the fakes of both.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::runtime::Runtime;

use super::discord::FakeDiscord;
use super::slack::{self, FakeSlack};

/// A message as people see it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The platform's id.
    pub id: String,
    /// All its words.
    pub text: String,
    /// The labels of its buttons.
    pub buttons: Vec<String>,
    /// How often it was edited.
    pub edits: usize,
    /// Has it a picture?
    pub pictured: bool,
}

/// A platform with a channel in which Suture posts, and people `ana`, `ben` and `cara`.
pub trait Channel {
    fn name(&self) -> &'static str;
    /// The tables that the config needs for it; the environment has the tokens.
    fn config(&self) -> String;
    fn env(&self) -> Vec<(String, String)>;
    /// A person's id, with the platform in front.
    fn id(&self, who: &str) -> String;
    /// Waits for the connection.
    fn connected(&self);
    /// The messages in the channel.
    fn cards(&self) -> Vec<Seen>;
    /// What was said in the thread of a message.
    fn thread(&self, card: &str) -> Vec<String>;
    /// Presses a button, and gives what they are told for themselves.
    fn press(&self, who: &str, card: &Seen, label: &str) -> String;
    /// Presses a button that asks for something, fills it in, and gives what they are told.
    fn press_and_fill(&self, who: &str, card: &Seen, label: &str, text: &str) -> String;
    /// Gives a slash command, and what they are told for themselves: the words, and the fields for where there are such.
    fn command(&self, who: &str, path: &[&str], fields: &[(&str, &str)], line: &str) -> String;
    /// Says something to Suture so that all see it, and gives what all see of the answer. In the thread of a card, if one
    /// is given.
    fn mention(&self, who: &str, card: Option<&str>, text: &str) -> String;
    /// The names of the files that were sent.
    fn files(&self) -> Vec<(String, Vec<u8>)>;
    /// What the platform refused, and answers that came too late.
    fn faults(&self) -> Vec<String>;
    /// The platform takes nothing, or takes messages again.
    fn down(&self, down: bool);
    /// The connection is lost.
    fn drop_connection(&self);
    fn transcript(&self) -> String;

    /// Waits for a message in the channel.
    #[track_caller]
    fn wait(&self, what: &str, is_it: &dyn Fn(&Seen) -> bool) -> Seen {
        super::eventually(
            super::PATIENCE,
            &format!("{what} on {}; there is:\n{:#?}", self.name(), self.cards()),
            || self.cards().into_iter().find(|seen| is_it(seen)),
        )
    }
}

fn runtime() -> Arc<Runtime> {
    Arc::new(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap())
}

/// Slack.
pub struct Slack {
    pub fake: FakeSlack,
    rt: Arc<Runtime>,
}

impl Slack {
    pub fn start() -> Self {
        let rt = runtime();
        let fake = rt.block_on(FakeSlack::start());
        Self { fake, rt }
    }

    fn user(who: &str) -> &'static str {
        match who {
            "ana" => slack::ANA,
            "ben" => slack::BEN,
            _ => slack::CARA,
        }
    }

    fn seen(message: &slack::Message) -> Seen {
        // With blocks the text is the notification's only.
        let has_blocks = message.blocks.as_array().is_some_and(|blocks| !blocks.is_empty());
        let mut text = if has_blocks { String::new() } else { message.text.clone() };
        let (mut buttons, mut pictured) = (Vec::new(), false);
        walk(&message.blocks, &mut |value| match value["type"].as_str() {
            Some("button") => buttons.push(value["text"]["text"].as_str().unwrap_or_default().to_owned()),
            Some("plain_text" | "mrkdwn" | "text") => {
                text.push('\n');
                text.push_str(value["text"].as_str().unwrap_or_default());
            }
            Some("image") => pictured = true,
            _ => {}
        });
        let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").replace('\u{200b}', "");
        Seen { id: message.ts.clone(), text: text.trim_start().to_owned(), buttons, edits: message.edits, pictured }
    }

    fn private(&self, who: &str) -> Vec<Seen> {
        self.fake.ephemerals(slack::INCIDENTS, Self::user(who)).iter().map(Self::seen).collect()
    }

    /// What they are told next for themselves, after doing something.
    #[track_caller]
    fn told(&self, who: &str, before: usize) -> String {
        let what = format!("an answer to {who}\n{}", self.fake.transcript());
        super::eventually(super::PATIENCE, &what, || self.private(who).get(before).map(|seen| seen.text.clone()))
    }

    fn action(&self, card: &Seen, label: &str) -> String {
        let all = self.fake.messages(slack::INCIDENTS);
        let message = all.iter().find(|m| m.ts == card.id).unwrap();
        let mut found = None;
        walk(&message.blocks, &mut |value| {
            if value["type"] == "button" && value["text"]["text"] == label {
                found = value["action_id"].as_str().map(str::to_owned);
            }
        });
        found.unwrap_or_else(|| panic!("no [{label}] on {card:?}"))
    }
}

/// Every object in it, from the outside in.
fn walk(value: &Value, see: &mut dyn FnMut(&Value)) {
    match value {
        Value::Array(all) => all.iter().for_each(|value| walk(value, see)),
        Value::Object(map) => {
            see(value);
            map.values().for_each(|value| walk(value, see));
        }
        _ => {}
    }
}

impl Channel for Slack {
    fn name(&self) -> &'static str {
        "slack"
    }

    fn config(&self) -> String {
        format!(
            "[chat.slack]\nchannel = \"{}\"\nbot_token = \"env:SUTURE_TEST_BOT\"\napp_token = \"env:SUTURE_TEST_APP\"\n\
             api = \"{}\"\n",
            slack::INCIDENTS,
            self.fake.api()
        )
    }

    fn env(&self) -> Vec<(String, String)> {
        vec![
            ("SUTURE_TEST_BOT".to_owned(), FakeSlack::bot_token()),
            ("SUTURE_TEST_APP".to_owned(), FakeSlack::app_token()),
        ]
    }

    fn id(&self, who: &str) -> String {
        format!("slack:{}", Self::user(who))
    }

    fn connected(&self) {
        self.rt.block_on(self.fake.wait_connected());
    }

    fn cards(&self) -> Vec<Seen> {
        let roots = self.fake.messages(slack::INCIDENTS).into_iter().filter(|m| m.thread_ts.is_none());
        roots.map(|m| Self::seen(&m)).collect()
    }

    fn thread(&self, card: &str) -> Vec<String> {
        self.fake.thread(slack::INCIDENTS, card).iter().map(|m| Self::seen(m).text).collect()
    }

    fn press(&self, who: &str, card: &Seen, label: &str) -> String {
        let (before, action) = (self.private(who).len(), self.action(card, label));
        let delivery = self.rt.block_on(self.fake.press(Self::user(who), slack::INCIDENTS, &card.id, &action));
        self.rt.block_on(delivery.acked());
        self.told(who, before)
    }

    fn press_and_fill(&self, who: &str, card: &Seen, label: &str, text: &str) -> String {
        let (before, action, views) = (self.private(who).len(), self.action(card, label), self.fake.views().len());
        self.rt.block_on(self.fake.press(Self::user(who), slack::INCIDENTS, &card.id, &action));
        let view = super::eventually(super::PATIENCE, "a form", || self.fake.views().get(views).cloned());
        let mut field = String::new();
        walk(&view["blocks"], &mut |value| {
            if value["type"] == "input" {
                let part = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                field = format!("{}/{}", part(&value["block_id"]), part(&value["element"]["action_id"]));
            }
        });
        let id = view["id"].as_str().unwrap();
        let delivery = self.rt.block_on(self.fake.submit(Self::user(who), id, &[(&field, text)]));
        self.rt.block_on(delivery.acked());
        self.told(who, before)
    }

    fn command(&self, who: &str, _: &[&str], _: &[(&str, &str)], line: &str) -> String {
        let before = self.private(who).len();
        let delivery = self.rt.block_on(self.fake.command(Self::user(who), slack::INCIDENTS, line));
        self.rt.block_on(delivery.acked());
        self.told(who, before)
    }

    fn mention(&self, who: &str, card: Option<&str>, text: &str) -> String {
        let text = format!("<@{}> {text}", slack::BOT);
        let all =
            || self.fake.messages(slack::INCIDENTS).into_iter().filter(|m| m.user == slack::BOT).collect::<Vec<_>>();
        let before: Vec<_> = all().into_iter().map(|m| m.ts).collect();
        self.rt.block_on(self.fake.mention(Self::user(who), slack::INCIDENTS, card, &text));
        super::eventually(super::PATIENCE, "an answer that all see", || {
            let new = all().into_iter().filter(|m| !before.contains(&m.ts));
            new.map(|m| Self::seen(&m).text).find(|text| !text.starts_with("run ") && !text.starts_with("action"))
        })
    }

    fn files(&self) -> Vec<(String, Vec<u8>)> {
        self.fake.files().into_iter().map(|file| (file.name, file.bytes)).collect()
    }

    fn faults(&self) -> Vec<String> {
        let late = (0..self.fake.late_acks()).map(|_| "an acknowledgement came late".to_owned());
        self.fake.rejected().into_iter().chain(late).collect()
    }

    fn down(&self, down: bool) {
        self.fake.down(down);
    }

    fn drop_connection(&self) {
        self.fake.drop_sockets();
    }

    fn transcript(&self) -> String {
        self.fake.transcript()
    }
}

/// Discord.
pub struct Discord {
    pub fake: FakeDiscord,
    rt: Arc<Runtime>,
    /// Files of answers that only one person saw.
    private: Mutex<Vec<(String, Vec<u8>)>>,
}

const INCIDENTS: &str = "incidents";

/// What is read where marks are escaped.
fn unescaped(text: &str) -> String {
    text.replace('\\', "")
}

impl Discord {
    pub fn start() -> Self {
        let rt = runtime();
        let fake = rt.block_on(FakeDiscord::start());
        Self { fake, rt, private: Mutex::default() }
    }

    fn user(who: &str) -> &'static str {
        match who {
            "ana" => "ana",
            "ben" => "ben",
            _ => "cleo",
        }
    }

    fn custom_id(&self, card: &Seen, label: &str) -> String {
        let message = self.fake.message(&card.id).unwrap();
        message.button(label).unwrap_or_else(|| panic!("no [{label}] on {card:?}"))
    }

    fn seen(message: super::discord::Message) -> Seen {
        let buttons = message.buttons().into_iter().map(|(label, ..)| label).collect();
        let pictured = message.embeds.iter().any(|embed| !embed["image"].is_null());
        Seen { text: unescaped(&message.text()), buttons, edits: message.edits, pictured, id: message.id }
    }
}

impl Channel for Discord {
    fn name(&self) -> &'static str {
        "discord"
    }

    fn config(&self) -> String {
        format!(
            "[chat.discord]\ntoken = \"env:SUTURE_TEST_DISCORD\"\nguild = \"{}\"\nchannel = \"{}\"\napi = \"{}\"\n",
            self.fake.guild_id(),
            self.fake.channel_id(INCIDENTS),
            self.fake.base()
        )
    }

    fn env(&self) -> Vec<(String, String)> {
        vec![("SUTURE_TEST_DISCORD".to_owned(), FakeDiscord::token())]
    }

    fn id(&self, who: &str) -> String {
        format!("discord:{}", self.fake.user_id(Self::user(who)))
    }

    fn connected(&self) {
        self.rt.block_on(self.fake.ready());
    }

    fn cards(&self) -> Vec<Seen> {
        self.fake.messages(INCIDENTS).into_iter().filter(|m| !m.deleted && m.only.is_none()).map(Self::seen).collect()
    }

    fn thread(&self, card: &str) -> Vec<String> {
        self.fake.thread_messages(card).iter().map(|m| unescaped(&m.text())).collect()
    }

    fn press(&self, who: &str, card: &Seen, label: &str) -> String {
        let id = self.custom_id(card, label);
        let delivery = self.rt.block_on(self.fake.press(Self::user(who), INCIDENTS, &card.id, &id));
        let said = self.rt.block_on(self.fake.answer_text(&delivery));
        // What cannot be had back is asked again, for themselves.
        let response = self.rt.block_on(self.fake.answer(&delivery));
        let again = response.message.as_ref().and_then(|m| {
            let yes = m.buttons().into_iter().find(|(label, ..)| label.starts_with("Yes"))?;
            Some((m.id.clone(), yes.1))
        });
        match again {
            None => unescaped(&said),
            Some((message, yes)) => {
                let delivery = self.rt.block_on(self.fake.press(Self::user(who), INCIDENTS, &message, &yes));
                // The question gives way to what came of it.
                super::eventually(super::PATIENCE, "what came of a yes", || {
                    let message = self.fake.responses(&delivery).into_iter().find_map(|response| response.message)?;
                    (!message.text().contains("Are you sure")).then(|| unescaped(&message.text()))
                })
            }
        }
    }

    fn press_and_fill(&self, who: &str, card: &Seen, label: &str, text: &str) -> String {
        let id = self.custom_id(card, label);
        let delivery = self.rt.block_on(self.fake.press(Self::user(who), INCIDENTS, &card.id, &id));
        let form = self.rt.block_on(self.fake.answer(&delivery)).modal.expect("a form");
        let mut field = String::new();
        walk(&form["components"], &mut |value| {
            if value["type"] == 4 {
                field = value["custom_id"].as_str().unwrap_or_default().to_owned();
            }
        });
        let filled = self.rt.block_on(self.fake.submit(Self::user(who), &delivery, &[(&field, text)]));
        unescaped(&self.rt.block_on(self.fake.answer_text(&filled)))
    }

    fn command(&self, who: &str, path: &[&str], fields: &[(&str, &str)], _: &str) -> String {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, Value::from(*value))).collect();
        let delivery = self.rt.block_on(self.fake.slash(Self::user(who), INCIDENTS, path, &fields));
        let said = unescaped(&self.rt.block_on(self.fake.answer_text(&delivery)));
        let answers = self.fake.responses(&delivery).into_iter().filter_map(|response| response.message);
        let files = answers.flat_map(|m| m.attachments).map(|a| (a.name, a.bytes));
        self.private.lock().unwrap().extend(files);
        said
    }

    fn mention(&self, who: &str, card: Option<&str>, text: &str) -> String {
        let text = format!("{} {text}", self.fake.mention());
        let place = card.unwrap_or(INCIDENTS).to_owned();
        let all = || self.fake.messages(&place);
        let before: Vec<_> = all().into_iter().map(|m| m.id).collect();
        let said = self.rt.block_on(self.fake.say(Self::user(who), &place, &text));
        super::eventually(super::PATIENCE, "an answer that all see", || {
            let new = all().into_iter().filter(|m| !before.contains(&m.id) && m.id != said.id);
            new.filter(|m| m.reference.as_deref() == Some(&said.id)).map(|m| unescaped(&m.text())).next()
        })
    }

    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let all = self.fake.messages(INCIDENTS).into_iter();
        let shown = all.flat_map(|m| m.attachments).map(|a| (a.name, a.bytes));
        shown.chain(self.private.lock().unwrap().iter().cloned()).collect()
    }

    fn faults(&self) -> Vec<String> {
        let late = (0..self.fake.late()).map(|_| "an answer came late".to_owned());
        self.fake.rejected().into_iter().chain(late).collect()
    }

    fn down(&self, down: bool) {
        self.fake.down(down);
    }

    fn drop_connection(&self) {
        self.fake.drop_sockets();
    }

    fn transcript(&self) -> String {
        self.fake.transcript()
    }
}

//! From what Discord's gateway hands over to what was heard. Pure, and total: whatever comes, something is said about it.
//!
//! Must never decide anything, and must never take a name for an identity: people and roles are their ids.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serenity::all::{
    ActionRowComponent, ButtonKind, CommandDataOption, CommandDataOptionValue, CommandInteraction,
    ComponentInteraction, Interaction, Member, Message, MessageFlags, ModalInteraction, User,
};

use super::embeds::{DANGER, FORM, PRESS, SURE};
use super::{PLATFORM, commands};
use crate::chat::{Heard, Place, Said, clean};
use crate::model::{Person, Timestamp};

/// How to answer somebody: what this adapter puts into [`Heard::reply`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reply {
    /// The channel, the thread or the direct conversation.
    pub channel: u64,
    /// Who asked.
    pub user: u64,
    /// In a conversation with the bot alone.
    pub direct: bool,
    /// The message that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<u64>,
    /// The interaction that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interaction: Option<Token>,
}

/// What an interaction can be answered with, for a quarter of an hour.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Token {
    /// The interaction.
    pub id: u64,
    /// The application.
    pub application: u64,
    /// The token.
    pub token: String,
    /// When it was heard.
    pub at: Timestamp,
    /// Was the answer promised for their eyes only? That cannot be changed later.
    pub private: bool,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token(of interaction {})", self.id)
    }
}

/// What is needed to judge an event.
pub(super) struct Scope<'a> {
    /// The guild; others are none of our business.
    pub guild: u64,
    /// The bot's own id.
    pub bot: u64,
    /// Now.
    pub now: Timestamp,
    /// The card that a message or a thread belongs to.
    pub card_of: &'a dyn Fn(u64) -> Option<String>,
}

/// What came.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// Something to be taken by the desk and answered later; `None` for a message, which needs no response.
    Take(Heard, Option<Ack>),
    /// A button, of which the desk has to say first what it leads to.
    Press {
        /// What is heard if it leads to that.
        heard: Heard,
        /// Its id.
        id: String,
        /// What to promise.
        ack: Ack,
        /// To be asked about again first.
        again: Option<Again>,
    },
    /// A field that is being filled in.
    Complete {
        /// How to respond.
        ack: Ack,
        /// The line so far.
        line: String,
        /// What is taken off the suggestions.
        prefix: String,
    },
    /// Something that has to be responded to and is not understood.
    Strange(Ack, String),
    /// Not for us, and why.
    Ignored(&'static str),
}

/// What is asked about again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Again {
    /// What the button says.
    pub label: String,
    /// The title of the card that it is on, escaped.
    pub title: String,
}

/// How to respond to an interaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ack {
    /// The interaction.
    pub id: u64,
    /// Its token.
    pub token: String,
    /// For their eyes only?
    pub private: bool,
    /// The answer takes the place of the message that the button is on.
    pub in_place: bool,
}

/// The parts that all interactions have.
struct Common<'a> {
    id: u64,
    application: u64,
    token: &'a str,
    guild: Option<u64>,
    channel: u64,
    user: &'a User,
    member: Option<&'a Member>,
    /// The message that a button or a form belongs to.
    message: Option<&'a Message>,
}

impl Common<'_> {
    fn ack(&self, private: bool, in_place: bool) -> Ack {
        Ack { id: self.id, token: self.token.to_owned(), private, in_place }
    }

    fn heard(&self, said: Said, private: bool, scope: &Scope<'_>) -> Heard {
        let token = self.token.to_owned();
        let interaction = Token { id: self.id, application: self.application, token, at: scope.now, private };
        let direct = self.guild.is_none();
        let user = self.user.id.get();
        let reply = Reply { channel: self.channel, user, direct, message: None, interaction: Some(interaction) };
        let nick = self.member.and_then(|m| m.nick.as_deref());
        let card = self.message.and_then(|m| (scope.card_of)(m.id.get())).or_else(|| (scope.card_of)(self.channel));
        Heard {
            delivery: self.id.to_string(),
            platform: PLATFORM.to_owned(),
            by: person(self.user, nick),
            groups: self.member.map(|m| groups(&m.roles)),
            place: Place { channel: self.channel.to_string(), card, direct, aloud: false },
            said,
            reply: serde_json::to_value(reply).unwrap_or_default(),
        }
    }
}

/// What an interaction is.
pub(super) fn interaction(interaction: &Interaction, scope: &Scope<'_>) -> Event {
    match interaction {
        Interaction::Command(c) => for_us(&of_command(c), scope, |common| command(c, common, scope)),
        Interaction::Autocomplete(c) => for_us(&of_command(c), scope, |common| completion(c, common)),
        Interaction::Component(c) => {
            let common = Common {
                id: c.id.get(),
                application: c.application_id.get(),
                token: &c.token,
                guild: c.guild_id.map(|g| g.get()),
                channel: c.channel_id.get(),
                user: &c.user,
                member: c.member.as_ref(),
                message: Some(&c.message),
            };
            for_us(&common, scope, |common| press(c, common, scope))
        }
        Interaction::Modal(m) => {
            let common = Common {
                id: m.id.get(),
                application: m.application_id.get(),
                token: &m.token,
                guild: m.guild_id.map(|g| g.get()),
                channel: m.channel_id.get(),
                user: &m.user,
                member: m.member.as_ref(),
                message: m.message.as_deref(),
            };
            for_us(&common, scope, |common| filled(m, common, scope))
        }
        // A ping comes by webhooks only.
        _ => Event::Ignored("an interaction of a kind that is not ours"),
    }
}

fn of_command(c: &CommandInteraction) -> Common<'_> {
    Common {
        id: c.id.get(),
        application: c.application_id.get(),
        token: &c.token,
        guild: c.guild_id.map(|g| g.get()),
        channel: c.channel_id.get(),
        user: &c.user,
        member: c.member.as_deref(),
        message: None,
    }
}

fn for_us(common: &Common<'_>, scope: &Scope<'_>, then: impl FnOnce(&Common<'_>) -> Event) -> Event {
    match common.guild {
        Some(guild) if guild != scope.guild => Event::Ignored("from another guild"),
        _ if common.user.bot => Event::Ignored("from a bot"),
        _ => then(common),
    }
}

fn command(c: &CommandInteraction, common: &Common<'_>, scope: &Scope<'_>) -> Event {
    let unknown = |what: &str| {
        let what =
            format!("I do not know this command{what}. Discord may still show an older list: reload it (Ctrl+R).");
        Event::Strange(common.ack(true, false), what)
    };
    if c.data.name != commands::NAME {
        return unknown("");
    }
    let (path, options) = walk(&c.data.options);
    let Some(help) = commands::find(&path) else { return unknown(&format!(" ({})", path.join(" "))) };
    let line = commands::line(help, &values(options));
    let private = !help.changes;
    Event::Take(common.heard(Said::Line(line), private, scope), Some(common.ack(private, false)))
}

fn completion(c: &CommandInteraction, common: &Common<'_>) -> Event {
    let (path, options) = walk(&c.data.options);
    let focused = options.iter().find_map(|o| match &o.value {
        CommandDataOptionValue::Autocomplete { value, .. } => Some((o.name.as_str(), value.as_str())),
        _ => None,
    });
    // The guild's commands are not to be had elsewhere; should one come, nobody knows whether they are a member.
    let focused = focused.filter(|_| common.guild.is_some());
    let begun = commands::find(&path).zip(focused).map(|(help, f)| commands::begun(help, &values(options), f));
    // Nothing to suggest is an answer, too; none at all shows an error to whoever is typing.
    let (line, prefix) = begun.unwrap_or_default();
    Event::Complete { ack: common.ack(true, false), line, prefix }
}

/// The path of sub commands, and the options at its end.
fn walk(options: &[CommandDataOption]) -> (Vec<&str>, &[CommandDataOption]) {
    let mut path = Vec::new();
    let mut here = options;
    while let [only] = here {
        let (CommandDataOptionValue::SubCommand(below) | CommandDataOptionValue::SubCommandGroup(below)) = &only.value
        else {
            break;
        };
        path.push(only.name.as_str());
        here = below;
    }
    (path, here)
}

fn values(options: &[CommandDataOption]) -> Vec<(String, String)> {
    let text = |value: &CommandDataOptionValue| match value {
        CommandDataOptionValue::String(text) => Some(text.clone()),
        CommandDataOptionValue::Integer(n) => Some(n.to_string()),
        CommandDataOptionValue::Number(n) => Some(n.to_string()),
        CommandDataOptionValue::Boolean(b) => Some(b.to_string()),
        CommandDataOptionValue::User(id) => Some(format!("<@{id}>")),
        // What is being filled in is no value yet.
        _ => None,
    };
    options.iter().filter_map(|o| text(&o.value).map(|value| (o.name.clone(), value))).collect()
}

fn press(c: &ComponentInteraction, common: &Common<'_>, scope: &Scope<'_>) -> Event {
    let id = c.data.custom_id.as_str();
    let (id, sure, danger) = match (id.strip_prefix(PRESS), id.strip_prefix(SURE), id.strip_prefix(DANGER)) {
        (Some(id), _, _) => (id, false, false),
        (_, Some(id), _) => (id, true, false),
        (_, _, Some(id)) => (id, false, true),
        _ => return Event::Strange(common.ack(true, false), "This button is not one of mine.".to_owned()),
    };
    // An answer for one person, since the card itself shows everybody what came of it.
    let ack = common.ack(true, sure);
    let again = danger.then(|| {
        // The title is our own, and escaped since it was posted.
        let title = c.message.embeds.first().and_then(|e| e.title.clone()).unwrap_or_else(|| "this card".to_owned());
        let label = label_of(&c.message, &c.data.custom_id).unwrap_or("do it");
        Again { label: label.to_owned(), title }
    });
    Event::Press { heard: common.heard(Said::Press(id.to_owned()), true, scope), id: id.to_owned(), ack, again }
}

fn label_of<'a>(message: &'a Message, custom_id: &str) -> Option<&'a str> {
    message.components.iter().flat_map(|row| &row.components).find_map(|c| match c {
        ActionRowComponent::Button(b) => match &b.data {
            ButtonKind::NonLink { custom_id: id, .. } if id == custom_id => b.label.as_deref(),
            _ => None,
        },
        _ => None,
    })
}

fn filled(m: &ModalInteraction, common: &Common<'_>, scope: &Scope<'_>) -> Event {
    let Some(id) = m.data.custom_id.strip_prefix(FORM) else {
        return Event::Strange(common.ack(true, false), "This form is not one of mine.".to_owned());
    };
    let values: BTreeMap<String, String> = m
        .data
        .components
        .iter()
        .flat_map(|row| &row.components)
        .filter_map(|c| match c {
            ActionRowComponent::InputText(text) => {
                Some((text.custom_id.clone(), text.value.clone().unwrap_or_default()))
            }
            _ => None,
        })
        .collect();
    // Behind the question "are you sure", the answer takes the question's place.
    let asked = |message: &Message| {
        message.flags.is_some_and(|f| f.contains(MessageFlags::EPHEMERAL))
            && message.components.iter().flat_map(|row| &row.components).any(|c| match c {
                ActionRowComponent::Button(b) => {
                    matches!(&b.data, ButtonKind::NonLink { custom_id, .. } if custom_id.starts_with(SURE))
                }
                _ => false,
            })
    };
    let in_place = m.message.as_deref().is_some_and(asked);
    let said = Said::Filled { id: id.to_owned(), values };
    Event::Take(common.heard(said, true, scope), Some(common.ack(true, in_place)))
}

/// What a message is: only those that name the bot or are for it alone are anything.
pub(super) fn message(message: &Message, scope: &Scope<'_>) -> Event {
    let author = &message.author;
    if author.bot || author.system || message.webhook_id.is_some() || author.id.get() == scope.bot {
        return Event::Ignored("not from a person");
    }
    let direct = message.guild_id.is_none();
    if message.guild_id.is_some_and(|guild| guild.get() != scope.guild) {
        return Event::Ignored("from another guild");
    }
    let mentions = [format!("<@{}>", scope.bot), format!("<@!{}>", scope.bot)];
    if !direct && !mentions.iter().any(|mention| message.content.contains(mention)) {
        return Event::Ignored("does not name the bot");
    }
    let mut line = message.content.clone();
    for mention in &mentions {
        line = line.replace(mention, " ");
    }
    let (channel, id) = (message.channel_id.get(), message.id.get());
    let reply = Reply { channel, user: author.id.get(), direct, message: Some(id), interaction: None };
    let member = message.member.as_deref();
    let heard = Heard {
        delivery: id.to_string(),
        platform: PLATFORM.to_owned(),
        by: person(author, member.and_then(|m| m.nick.as_deref())),
        groups: member.map(|m| groups(&m.roles)),
        place: Place { channel: channel.to_string(), card: (scope.card_of)(channel), direct, aloud: !direct },
        said: Said::Line(line.trim().to_owned()),
        reply: serde_json::to_value(reply).unwrap_or_default(),
    };
    Event::Take(heard, None)
}

/// The name as people see it; nothing depends on it.
fn person(user: &User, nick: Option<&str>) -> Person {
    let name = nick.or(user.global_name.as_deref()).unwrap_or(&user.name);
    Person::new(format!("discord:{}", user.id), clean::shortened(&clean::line(name), 64))
}

fn groups(roles: &[serenity::all::RoleId]) -> Vec<String> {
    roles.iter().map(|role| format!("discord-role:{role}")).collect()
}

#[cfg(test)]
mod tests;

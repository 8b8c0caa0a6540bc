//! The connection by which people are heard.
//!
//! serenity keeps it, resumes it and beats its heart; this makes sure that it goes where it should, that a connection
//! that does not come back is made anew, and that each interaction is responded to within Discord's three seconds: the
//! desk makes durable what was said, then Discord is told that it was taken. Must never say "taken" of what was not, and
//! must never hand on what somebody said to the bot alone who is no member of the guild.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use serenity::all::{
    Client, ClientBuilder, ConnectionStage, Context, EventHandler, GatewayIntents, Interaction, Message as Heard,
};
use serenity::all::{Ready, ResumedEvent, ShardManager};
use serenity::gateway::GatewayError;
use serenity::http::{LightMethod, Route};
use tokio::time::Instant;

use super::embeds::{EPHEMERAL, FORM, Message, SURE};
use super::events::{self, Ack, Again, Event, Scope};
use super::rest::{Failed, code};
use super::{Bot, PLATFORM, commands, fit, id_in, markdown, nonzero};
use crate::chat::{ChatError, Desk, Form, Press};

/// Three seconds are Discord's; what is left over is for the way there and back.
const TAKE_WITHIN: Duration = Duration::from_secs(2);
/// To find out whether somebody is a member. What it takes is taken from [`TAKE_WITHIN`].
const LOOK_WITHIN: Duration = Duration::from_millis(1500);
/// What is left to the desk at least; with [`LOOK_WITHIN`] it stays below three seconds.
const TAKE_AT_LEAST: Duration = Duration::from_secs(1);
/// Said when the desk did not answer in time: it may have been taken all the same.
const NOT_CERTAIN: &str = "It is not certain that this was taken: look at `status` before you say it again.";
/// To one who is no member.
const NO_MEMBER: &str = "This was NOT taken: only members of the server can talk to Suture.";
/// To one of whom that is not known.
const NOT_KNOWN: &str = "This was NOT taken: I cannot find out whether you are a member now; say it in the channel.";
/// First pause after a connection that failed; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// How often it is looked whether the connection stands.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// So often in a row it may be found down before it is made anew: two minutes, in which serenity tries by itself.
const DOWN_AT_MOST: u32 = 24;
/// A connection that held for so many looks was a good one, and the pauses begin anew: ten minutes.
const GOOD_AFTER: u32 = 120;

/// None of them has to be approved by Discord: the content of a message is handed over without MESSAGE_CONTENT when it
/// names the bot or is for the bot alone.
fn intents() -> GatewayIntents {
    GatewayIntents::GUILDS | GatewayIntents::GUILD_MESSAGES | GatewayIntents::DIRECT_MESSAGES
}

/// Listens for ever.
pub(super) async fn listen(bot: &Arc<Bot>, desk: Arc<dyn Desk>) -> Result<(), ChatError> {
    let mut pause = FIRST_PAUSE;
    loop {
        let (ended, was_good) = connection(bot, &desk).await;
        let error = match ended {
            Err(error) if error.hopeless => return Err(error),
            Err(error) => error,
            Ok(()) => ChatError::new(PLATFORM, "the connection ended"),
        };
        if was_good {
            pause = FIRST_PAUSE;
        }
        let wait = error.retry_after.unwrap_or_default().max(pause);
        tracing::warn!(error = error.why, wait_seconds = wait.as_secs(), "Discord is not heard; it is tried again");
        tokio::time::sleep(wait).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One connection from beginning to end, and whether it held for a while.
async fn connection(bot: &Arc<Bot>, desk: &Arc<dyn Desk>) -> (Result<(), ChatError>, bool) {
    let (mut client, me) = match connect(bot, desk).await {
        Ok(connected) => connected,
        Err(error) => return (Err(error), false),
    };
    tracing::debug!(bot = me, "connecting to Discord");
    let shards = Shards(Arc::clone(&client.shard_manager));
    let mut looks = 0;
    let ended = tokio::select! {
        ended = client.start() => ended.map_err(|e| gateway_error(&e)),
        () = down_for_long(&shards, &mut looks) => {
            Err(ChatError::new(PLATFORM, "the connection was down for two minutes and did not come back"))
        }
    };
    (ended, looks >= GOOD_AFTER)
}

async fn connect(bot: &Arc<Bot>, desk: &Arc<dyn Desk>) -> Result<(Client, u64), ChatError> {
    let failed = |e: Failed| e.chat("connecting", "to be in the guild");
    let me = bot.rest.get(Route::UserMe).await.map_err(failed)?;
    let application = bot.rest.get(Route::Oauth2ApplicationCurrent).await.map_err(failed)?;
    let gateway = bot.rest.get(Route::GatewayBot).await.map_err(failed)?;
    let unreadable = || ChatError::new(PLATFORM, "connecting: Discord's answer has not what belongs in it");
    let (me, application) =
        (id_in(&me, "id").ok_or_else(unreadable)?, id_in(&application, "id").ok_or_else(unreadable)?);
    let url = gateway.get("url").and_then(Value::as_str).ok_or_else(unreadable)?.to_owned();
    let limit = gateway.get("session_start_limit");
    let of_limit = |key: &str| limit.and_then(|l| l.get(key)).and_then(Value::as_u64);
    if of_limit("remaining") == Some(0) {
        // Going on would have the token reset by Discord.
        let after = Duration::from_millis(of_limit("reset_after").unwrap_or(60_000));
        return Err(ChatError::later(PLATFORM, "Discord allows no more connections today", after));
    }
    if let Err(error) = register(bot, application).await {
        if error.hopeless && error.why.contains("token") {
            return Err(error);
        }
        // Mentions and buttons work without it.
        tracing::error!(error = error.why, "the commands of /suture are not registered");
    }
    let handler = Handler { bot: Arc::clone(bot), desk: Arc::clone(desk), me };
    let http = bot.rest.for_gateway(&bot.options.token);
    let client = ClientBuilder::new_with_http(http, intents()).event_handler(handler).await;
    let client = client.map_err(|e| gateway_error(&e))?;
    // serenity asks for the address itself, and if that fails goes to Discord's own without a word. What was asked for
    // above is what counts.
    *client.ws_url.lock().await = url;
    Ok((client, me))
}

/// Registers the guild's commands if they are not those already.
async fn register(bot: &Bot, application: u64) -> Result<(), ChatError> {
    let route = || Route::GuildCommands {
        application_id: nonzero(application).into(),
        guild_id: nonzero(bot.options.guild).into(),
    };
    let failed =
        |e: Failed| e.chat("registering /suture", "the scope applications.commands (invite it with that scope)");
    let ours = commands::registration();
    if commands::same(&bot.rest.get(route()).await.map_err(failed)?, &ours) {
        return Ok(());
    }
    bot.rest.send(route(), LightMethod::Put, &ours).await.map_err(failed)?;
    tracing::info!("the commands of /suture were registered");
    Ok(())
}

fn gateway_error(error: &serenity::Error) -> ChatError {
    match error {
        serenity::Error::Gateway(GatewayError::InvalidAuthentication) => Failed::Token.chat("connecting", ""),
        serenity::Error::Gateway(GatewayError::DisallowedGatewayIntents | GatewayError::InvalidGatewayIntents) => {
            ChatError::hopeless(PLATFORM, "Discord refuses the intents, none of which needs its leave: is it a proxy?")
        }
        other => ChatError::new(PLATFORM, format!("the connection failed: {other}")),
    }
}

/// Ends the connection when it is dropped. serenity's tasks hold on to each other and would go on listening for ever.
struct Shards(Arc<ShardManager>);

impl Drop for Shards {
    fn drop(&mut self) {
        let manager = Arc::clone(&self.0);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // Nobody is left to wait for it; serenity gives it five seconds.
            runtime.spawn(async move { manager.shutdown_all().await });
        }
    }
}

/// Returns when the connection was down for so long that it has to be made anew.
async fn down_for_long(shards: &Shards, looks: &mut u32) {
    let mut down = 0;
    while down < DOWN_AT_MOST {
        tokio::time::sleep(LOOK_EVERY).await;
        let runners = shards.0.runners.lock().await;
        let stands = runners.values().any(|r| r.stage == ConnectionStage::Connected);
        drop(runners);
        if stands {
            (down, *looks) = (0, looks.saturating_add(1));
        } else {
            down += 1;
        }
    }
}

/// Hands on what serenity hears.
pub(super) struct Handler {
    /// What to work with.
    pub bot: Arc<Bot>,
    /// Who takes what is heard.
    pub desk: Arc<dyn Desk>,
    /// The bot's own id.
    pub me: u64,
}

#[async_trait]
impl EventHandler for Handler {
    async fn ready(&self, _: Context, ready: Ready) {
        tracing::info!(bot = ready.user.name, "listening on Discord");
    }

    async fn resume(&self, _: Context, _: ResumedEvent) {
        tracing::info!("listening on Discord again");
    }

    async fn interaction_create(&self, _: Context, interaction: Interaction) {
        let event = self.with_scope(|scope| events::interaction(&interaction, scope));
        self.handle(event).await;
    }

    async fn message(&self, _: Context, message: Heard) {
        let event = self.with_scope(|scope| events::message(&message, scope));
        self.handle(event).await;
    }
}

impl Handler {
    fn with_scope<T>(&self, then: impl FnOnce(&Scope<'_>) -> T) -> T {
        let card_of = |id| self.bot.keep.card_of(id);
        let now = self.bot.clock.now();
        then(&Scope { guild: self.bot.options.guild, bot: self.me, now, card_of: &card_of })
    }

    /// Does what an event asks for.
    pub async fn handle(&self, event: Event) {
        match event {
            Event::Take(heard, ack) => {
                if let Some((heard, within)) = self.admitted(heard, ack.as_ref()).await {
                    self.take(heard, ack, within).await;
                }
            }
            Event::Press { heard, id, ack, again } => {
                let Some((heard, within)) = self.admitted(heard, Some(&ack)).await else { return };
                match self.desk.press(&id, &heard.by) {
                    Press::Gone(words) => self.tell(&ack, markdown::escape_within(&words, fit::CONTENT).0).await,
                    Press::Go | Press::Ask(_) if again.is_some() => {
                        self.respond(&ack, 4, again.map(|again| sure(&id, &again))).await;
                    }
                    Press::Go => self.take(heard, Some(ack), within).await,
                    Press::Ask(form) => self.callback(&ack, json!({ "type": 9, "data": modal(&form) })).await,
                }
            }
            Event::Complete { ack, line, prefix } => {
                let found = if line.is_empty() { Vec::new() } else { self.desk.complete(&line) };
                let choices = commands::choices(&found, &prefix);
                self.callback(&ack, json!({ "type": 8, "data": { "choices": choices } })).await;
            }
            Event::Strange(ack, words) => {
                tracing::warn!(interaction = ack.id, words, "a Discord interaction that nobody understands");
                self.tell(&ack, markdown::escape(&words)).await;
            }
            Event::Ignored(why) => tracing::trace!(why, "ignored on Discord"),
        }
    }

    /// What was said, if it is to be heard, and how long the desk may take over it. Of what is said to the bot alone
    /// Discord does not say whether it comes from a member, so that is asked first; who is none is told so.
    async fn admitted(
        &self,
        mut heard: crate::chat::Heard,
        ack: Option<&Ack>,
    ) -> Option<(crate::chat::Heard, Duration)> {
        if !heard.place.direct {
            return Some((heard, TAKE_WITHIN));
        }
        let begun = Instant::now();
        let words = match self.roles_of(&heard).await {
            Some(Some(roles)) => {
                heard.groups = Some(roles);
                return Some((heard, TAKE_WITHIN.saturating_sub(begun.elapsed()).max(TAKE_AT_LEAST)));
            }
            Some(None) => NO_MEMBER,
            None => NOT_KNOWN,
        };
        tracing::warn!(by = heard.by.id, words, "something said to the Discord bot alone was refused");
        self.refuse(&heard.reply, ack, words.to_owned()).await;
        None
    }

    /// The roles of whoever speaks, `Some(None)` when they are no member; `None` when that cannot be found out in time.
    async fn roles_of(&self, heard: &crate::chat::Heard) -> Option<Option<Vec<String>>> {
        let reply = serde_json::from_value::<events::Reply>(heard.reply.clone()).ok()?;
        match tokio::time::timeout(LOOK_WITHIN, self.bot.recent_roles(reply.user)).await {
            Ok(Ok(roles)) => Some(roles),
            Ok(Err(failed)) => {
                let error = failed.chat("asking whether somebody is a member", "to be in the guild").why;
                tracing::warn!(by = heard.by.id, error, "it could not be found out who speaks");
                None
            }
            Err(_) => None,
        }
    }

    /// Durable first, then "taken".
    async fn take(&self, heard: crate::chat::Heard, ack: Option<Ack>, within: Duration) {
        let reply = heard.reply.clone();
        // Until Discord knows of it: the desk may answer at once.
        let _under_way = ack.as_ref().map(|ack| self.bot.acks.begin(ack.id));
        let taken = match tokio::time::timeout(within, self.desk.take(heard)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::error!(error = error.why, "something said on Discord could not be taken");
                let words = format!("This was NOT taken, nothing will come of it: {}. Please say it again.", error.why);
                Err(markdown::escape_within(&words, fit::CONTENT).0)
            }
            Err(_) => {
                tracing::error!("it is not certain that something said on Discord was taken: the desk took too long");
                Err(NOT_CERTAIN.to_owned())
            }
        };
        match (taken, ack) {
            (Ok(()), Some(ack)) if ack.in_place => self.respond(&ack, 6, None).await,
            (Ok(()), Some(ack)) => self.respond(&ack, 5, None).await,
            (Ok(()), None) => {}
            (Err(words), ack) => self.refuse(&reply, ack.as_ref(), words).await,
        }
    }

    /// Says to whoever spoke that it was not taken.
    async fn refuse(&self, reply: &Value, ack: Option<&Ack>, escaped: String) {
        match ack {
            Some(ack) => self.tell(ack, escaped).await,
            None => self.tell_by_message(reply, escaped).await,
        }
    }

    /// Says something to the one who pressed or typed, and to nobody else.
    async fn tell(&self, ack: &Ack, escaped: String) {
        // The question "are you sure" gives way to what came of it.
        let kind = if ack.in_place { 7 } else { 4 };
        self.respond(ack, kind, Some(Message::text(fit::seen(escaped)))).await;
    }

    async fn tell_by_message(&self, reply: &Value, escaped: String) {
        let Ok(reply) = serde_json::from_value::<events::Reply>(reply.clone()) else { return };
        let message = Message { reply_to: reply.message, ..Message::text(escaped) };
        if let Err(failed) = self.bot.post(reply.channel, &message).await {
            let error = failed.chat("saying that nothing was taken", "Send Messages").why;
            tracing::error!(error, "nobody could be told");
        }
    }

    async fn respond(&self, ack: &Ack, kind: u8, message: Option<Message>) {
        let mut data = message.map(|m| m.body(&[])).unwrap_or_default();
        if ack.private && kind != 6 && kind != 7 {
            let flags = data.get("flags").and_then(Value::as_u64).unwrap_or(0);
            data.insert("flags".to_owned(), (flags | EPHEMERAL).into());
        }
        let body = if kind == 6 { json!({ "type": kind }) } else { json!({ "type": kind, "data": data }) };
        self.callback(ack, body).await;
    }

    async fn callback(&self, ack: &Ack, body: Value) {
        let route = Route::InteractionResponse { interaction_id: nonzero(ack.id).into(), token: &ack.token };
        match self.bot.rest.send(route, LightMethod::Post, &body).await {
            Ok(_) => {}
            Err(failed) if failed.code() == code::RESPONDED => {
                tracing::debug!(interaction = ack.id, "a Discord interaction was delivered twice");
            }
            // What was taken is answered all the same, by a message.
            Err(failed) => {
                let error = failed.chat("responding to an interaction", "nothing that can be granted").why;
                tracing::warn!(interaction = ack.id, error, "a Discord interaction could not be responded to in time");
            }
        }
    }
}

/// The question behind a button whose work cannot be taken back.
fn sure(id: &str, again: &Again) -> Message {
    let label = markdown::plain(&format!("Yes, {}", lower_first(&again.label)), fit::LABEL);
    let button = json!({ "type": 2, "style": 4, "label": fit::seen(label), "custom_id": format!("{SURE}{id}") });
    let content = format!(
        "**{}** of {}: this cannot be taken back. Are you sure?",
        markdown::line_within(&again.label, 200).0,
        again.title
    );
    Message { components: vec![json!({ "type": 1, "components": [button] })], ..Message::text(content) }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_lowercase().chain(chars).collect())
}

/// A form as Discord shows it. It has no place for a text of its own: that stands in the first empty field.
fn modal(form: &Form) -> Value {
    let rows: Vec<Value> = form
        .fields
        .iter()
        .take(5)
        .enumerate()
        .map(|(i, field)| {
            let style = if field.long { 2 } else { 1 };
            let label = fit::seen(markdown::plain(&field.label, 45));
            let mut input = json!({
                "type": 4, "custom_id": field.name, "label": label, "style": style,
                "required": !field.optional, "max_length": field.most.clamp(1, 4000),
            });
            let hint = markdown::plain(&form.text, 100);
            if i == 0
                && !markdown::is_blank(&hint)
                && let Some(input) = input.as_object_mut()
            {
                input.insert("placeholder".to_owned(), hint.into());
            }
            json!({ "type": 1, "components": [input] })
        })
        .collect();
    let title = fit::seen(markdown::plain(&form.title, 45));
    json!({ "custom_id": format!("{FORM}{}", form.id), "title": title, "components": rows })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Field;

    #[test]
    fn a_form_within_discords_limits() {
        let field = |name: &str| Field {
            name: name.to_owned(),
            label: "l".repeat(60),
            optional: false,
            long: true,
            most: u16::MAX,
        };
        let form = Form {
            id: "abc".to_owned(),
            title: "Reject the plan".to_owned(),
            text: "x".repeat(150),
            submit: "Reject".to_owned(),
            fields: (0..7).map(|i| field(&format!("f{i}"))).collect(),
        };
        let modal = modal(&form);
        assert_eq!(modal["custom_id"], "f:abc");
        assert_eq!(modal["components"].as_array().unwrap().len(), 5);
        let input = &modal["components"][0]["components"][0];
        assert_eq!(input["max_length"], 4000);
        assert_eq!(input["label"].as_str().unwrap().len(), 45);
        assert_eq!(input["placeholder"].as_str().unwrap().len(), 100);
        assert_eq!(modal["components"][1]["components"][0].get("placeholder"), None);
    }

    #[test]
    fn the_question_names_what_and_where() {
        let again = Again { label: "Roll back".to_owned(), title: "INC-7 · shop".to_owned() };
        let message = sure("k1", &again);
        assert!(message.content.contains("Roll back") && message.content.contains("INC-7 · shop"));
        let button = &message.components[0]["components"][0];
        assert_eq!((button["label"].as_str(), button["custom_id"].as_str()), (Some("Yes, roll back"), Some("c:k1")));
    }

    #[test]
    fn no_intent_needs_discords_leave() {
        assert!(!intents().is_privileged());
    }
}

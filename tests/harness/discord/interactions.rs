//! Answers to interactions (page "Receiving and Responding"): the first within three seconds and once only, then
//! edits and follow-ups for a quarter of an hour.

use std::time::Duration;

use serde_json::{Value, json};

use super::check;
use super::error::{Form, Refusal};
use super::message::Message;
use super::messages::{self, Draft};
use super::render;
use super::rest::{Answer, Request};
use super::transcript::Line;
use super::world::{Interaction, State};

/// The first answer must be there within this time, or the token is void.
pub const FIRST_ANSWER: Duration = Duration::from_secs(3);
/// The token's life after it was answered.
pub const TOKEN: Duration = Duration::from_secs(15 * 60);

/// POST /interactions/{id}/{token}/callback.
pub fn callback(state: &mut State, request: &Request, id: &str, token: &str) -> Answer {
    let unknown = || Refusal::unknown(10062, "interaction");
    let found = state.interactions.iter_mut().find(|i| i.id == id && i.token == token).ok_or_else(unknown)?;
    if found.answer.is_some() {
        return Err(Refusal::already_acknowledged());
    }
    if found.overdue || found.expired || found.at.elapsed() > FIRST_ANSWER {
        found.overdue = true;
        return Err(unknown());
    }
    let interaction = found.clone();
    let kind = request.body["type"].as_u64().unwrap_or(0);
    let may: &[u64] = match (interaction.kind, &interaction.message) {
        (2, _) => &[4, 5, 9, 10, 12],
        (3, _) => &[4, 5, 6, 7, 9, 10, 12],
        (4, _) => &[8],
        (5, Some(_)) => &[4, 5, 6, 7, 10, 12],
        _ => &[4, 5, 10, 12],
    };
    let mut form = Form::default();
    form.one_of("type", kind, may);
    form.finish()?;
    let mut answered = Interaction { answer: Some((kind, interaction.at.elapsed())), ..interaction.clone() };
    respond(state, request, kind, &interaction, &mut answered)?;
    if let Some(of) = state.interactions.iter_mut().find(|i| i.id == id) {
        *of = answered.clone();
    }
    if request.query("with_response").as_deref() != Some("true") {
        return Ok((204, Value::Null));
    }
    let message = answered.original.as_deref().and_then(|m| state.message(m)).map(|m| render::message(state, m));
    let of = json!({"id": id, "type": interaction.kind, "response_message_id": answered.original,
        "response_message_loading": kind == 5, "response_message_ephemeral": answered.ephemeral});
    Ok((200, json!({"interaction": of, "resource": {"type": kind, "message": message}})))
}

fn respond(
    state: &mut State,
    request: &Request,
    kind: u64,
    interaction: &Interaction,
    answered: &mut Interaction,
) -> Result<(), Refusal> {
    let data = &request.body["data"];
    let flags = data["flags"].as_u64().unwrap_or(0);
    let ephemeral = flags & Message::EPHEMERAL != 0;
    let on = interaction.message.as_deref().and_then(|m| state.message(m)).cloned();
    match kind {
        4 => {
            answered.ephemeral = ephemeral;
            let draft = draft(interaction, ephemeral, flags);
            answered.original =
                Some(messages::post(state, &interaction.channel, &request.body, "data", &request.files, draft)?);
        }
        5 => {
            answered.ephemeral = ephemeral;
            let mut form = Form::default();
            if flags & !Message::EPHEMERAL != 0 {
                form.fault("data.flags", "BASE_TYPE_CHOICES", "Only EPHEMERAL may be set when deferring");
            }
            form.finish()?;
            let draft = draft(interaction, ephemeral, flags | Message::LOADING);
            answered.original = Some(loading(state, interaction, draft));
        }
        6 => {
            answered.original = interaction.message.clone();
            state.log.push(Line::Note("suture acknowledges".to_owned()));
        }
        7 => {
            let on = on.ok_or_else(|| Refusal::unknown(10008, "Message"))?;
            answered.original = Some(on.id.clone());
            messages::edit(state, request, "data", &on)?;
        }
        8 => {
            answered.choices = check::choices(data)?;
            let names = answered.choices.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>().join(", ");
            state.log.push(Line::Note(format!("suture offers: {names}")));
        }
        9 => {
            check::modal(data)?;
            answered.modal = Some(data.clone());
            state.log.push(Line::Modal(interaction.user.clone(), data.clone()));
        }
        _ => {
            // Premium and activities, which this application has not.
            let message = "This application does not have that".to_owned();
            return Err(Refusal { status: 400, code: 50035, message, errors: None });
        }
    }
    Ok(())
}

fn draft(interaction: &Interaction, ephemeral: bool, flags: u64) -> Draft {
    Draft {
        flags: flags & (Message::LOADING | 1 << 2 | 1 << 12),
        interaction: Some(interaction.id.clone()),
        only: ephemeral.then(|| interaction.user.clone()),
        ..Draft::default()
    }
}

/// "suture is thinking": a message that has nothing in it yet.
fn loading(state: &mut State, interaction: &Interaction, draft: Draft) -> String {
    let id = state.id();
    let ephemeral = if draft.only.is_some() { Message::EPHEMERAL } else { 0 };
    let seen = if draft.only.is_some() { " for one person only" } else { "" };
    state.log.push(Line::Note(format!("suture is thinking{seen}")));
    state.messages.push(Message {
        id: id.clone(),
        channel: interaction.channel.clone(),
        author: state.bot.clone(),
        content: String::new(),
        embeds: Vec::new(),
        components: Vec::new(),
        attachments: Vec::new(),
        flags: draft.flags | ephemeral,
        edits: 0,
        thread: None,
        reference: None,
        interaction: draft.interaction,
        only: draft.only,
        deleted: false,
        nonce: None,
        at: std::time::SystemTime::now(),
        edited_at: None,
    });
    id
}

/// What is under /webhooks/{application}/{token}.
pub fn webhook(state: &mut State, request: &Request, id: &str, token: &str, rest: &[&str]) -> Answer {
    let webhook = || Refusal::unknown(10015, "Webhook");
    if id != state.application {
        return Err(webhook());
    }
    let found = state.interactions.iter().find(|i| i.token == token).cloned();
    let interaction = found.ok_or_else(Refusal::invalid_webhook_token)?;
    if interaction.expired || interaction.at.elapsed() > TOKEN {
        return Err(Refusal::invalid_webhook_token());
    }
    // Before the first answer there is nothing to follow up or to edit.
    if interaction.answer.is_none_or(|(kind, _)| kind == 8) {
        return Err(webhook());
    }
    match (request.method.as_str(), rest) {
        ("POST", []) => follow_up(state, request, &interaction),
        (method, ["messages", message]) => {
            let id = if *message == "@original" { interaction.original.clone() } else { Some((*message).to_owned()) };
            let own = |m: &&Message| {
                m.interaction.as_ref() == Some(&interaction.id) || interaction.original.as_ref() == Some(&m.id)
            };
            let message = id.as_deref().and_then(|m| state.message(m)).filter(own).cloned();
            let message = message.ok_or_else(|| Refusal::unknown(10008, "Message"))?;
            match method {
                "GET" => Ok((200, render::message(state, &message))),
                "PATCH" => messages::edit(state, request, "", &message),
                "DELETE" => {
                    messages::delete(state, &message);
                    Ok((204, Value::Null))
                }
                _ => Err(Refusal::not_allowed()),
            }
        }
        _ => Err(Refusal::not_found()),
    }
}

fn follow_up(state: &mut State, request: &Request, interaction: &Interaction) -> Answer {
    // The first follow-up to a deferred answer is that answer; ephemeral or not was fixed by deferring.
    let original = interaction.original.as_deref().and_then(|m| state.message(m)).cloned();
    if let Some(original) = original.filter(|m| m.flags & Message::LOADING != 0) {
        return messages::edit(state, request, "", &original);
    }
    let flags = request.body["flags"].as_u64().unwrap_or(0);
    let draft = draft(interaction, flags & Message::EPHEMERAL != 0, flags & !Message::LOADING);
    let id = messages::post(state, &interaction.channel, &request.body, "", &request.files, draft)?;
    if let Some(of) = state.interactions.iter_mut().find(|i| i.id == interaction.id) {
        of.followups.push(id.clone());
    }
    let message = state.message(&id).map(|m| render::message(state, m)).unwrap_or_default();
    Ok((200, message))
}

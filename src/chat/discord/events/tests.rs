//! Interactions and messages as Discord sends them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const GUILD: u64 = 100;
const BOT: u64 = 1;

fn user(id: u64) -> Value {
    json!({
        "id": id.to_string(), "username": "anna", "discriminator": "0", "global_name": "Anna", "avatar": null,
        "public_flags": 0
    })
}

fn member(id: u64) -> Value {
    json!({
        "user": user(id), "roles": ["41", "42"], "nick": "Anna B.", "joined_at": "2026-01-01T00:00:00+00:00",
        "deaf": false, "mute": false, "flags": 0, "guild_id": GUILD.to_string()
    })
}

fn posted(components: Value, flags: u64) -> Value {
    json!({
        "id": "700", "channel_id": "200", "author": user(BOT), "content": "", "timestamp": "2026-11-01T12:00:00+00:00",
        "edited_timestamp": null, "tts": false, "mention_everyone": false, "mentions": [], "mention_roles": [],
        "attachments": [], "embeds": [{ "type": "rich", "title": "INC-7 · shop" }], "pinned": false, "type": 0,
        "components": components, "flags": flags
    })
}

fn button(id: &str, label: &str) -> Value {
    json!([{ "type": 1, "components": [{ "type": 2, "style": 4, "label": label, "custom_id": id }] }])
}

fn interaction_json(kind: u8, data: Value) -> Value {
    json!({
        "id": "900", "application_id": "2", "type": kind, "data": data, "guild_id": GUILD.to_string(),
        "channel_id": "200", "member": member(80), "token": "secret-token", "version": 1, "locale": "en-GB",
        "entitlements": [], "authorizing_integration_owners": {}, "attachment_size_limit": 10_485_760
    })
}

fn with(mut value: Value, key: &str, new: Value) -> Value {
    value[key] = new;
    value
}

fn card_of(id: u64) -> Option<String> {
    (id == 700).then(|| "INC-7".to_owned())
}

fn scope() -> Scope<'static> {
    Scope { guild: GUILD, bot: BOT, now: Timestamp(1_793_620_800_000), card_of: &card_of }
}

fn heard_of(value: Value) -> Event {
    let parsed: Interaction = serde_json::from_value(value).unwrap();
    interaction(&parsed, &scope())
}

fn command_json(options: Value) -> Value {
    json!({ "id": "5", "name": "suture", "type": 1, "options": options })
}

#[test]
fn a_command_that_looks_is_heard_as_a_line_and_answered_in_private() {
    let options = json!([{ "type": 1, "name": "incidents", "options": [] }]);
    let Event::Take(heard, Some(ack)) = heard_of(interaction_json(2, command_json(options))) else { panic!() };
    assert_eq!(heard.said, Said::Line("incidents".to_owned()));
    assert_eq!(heard.delivery, "900");
    assert_eq!(heard.by, Person::new("discord:80", "Anna B."));
    assert_eq!(heard.groups.unwrap(), ["discord-role:41", "discord-role:42"]);
    assert_eq!(heard.place, Place { channel: "200".to_owned(), card: None, direct: false, aloud: false });
    assert_eq!(ack, Ack { id: 900, token: "secret-token".to_owned(), private: true, in_place: false });
    let reply: Reply = serde_json::from_value(heard.reply).unwrap();
    assert_eq!(reply.interaction.as_ref().unwrap().token, "secret-token");
    assert!(!format!("{reply:?}").contains("secret-token"));
}

#[test]
fn a_command_that_changes_something_is_answered_openly() {
    let options = json!([{ "type": 1, "name": "resume", "options": [] }]);
    let Event::Take(_, Some(ack)) = heard_of(interaction_json(2, command_json(options))) else { panic!() };
    assert!(!ack.private);
    let grouped = json!([{ "type": 2, "name": "audit", "options": [{ "type": 1, "name": "verify", "options": [] }] }]);
    let Event::Take(heard, _) = heard_of(interaction_json(2, command_json(grouped))) else { panic!() };
    assert_eq!(heard.said, Said::Line("audit verify".to_owned()));
}

#[test]
fn a_command_nobody_registered_is_told_so() {
    let options = json!([{ "type": 1, "name": "explode", "options": [] }]);
    assert!(matches!(heard_of(interaction_json(2, command_json(options))), Event::Strange(ack, _) if ack.private));
    let other = with(command_json(json!([])), "name", json!("other"));
    assert!(matches!(heard_of(interaction_json(2, other)), Event::Strange(..)));
}

#[test]
fn a_field_that_is_filled_in_asks_for_suggestions() {
    let focused = json!([{ "type": 1, "name": "status", "options": [
        { "type": 3, "name": "service", "value": "sh", "focused": true }
    ] }]);
    let Event::Complete { line, .. } = heard_of(interaction_json(4, command_json(focused))) else { panic!() };
    assert_eq!(line, "status sh");
    let lost = json!([{ "type": 1, "name": "explode", "options": [] }]);
    assert!(
        matches!(heard_of(interaction_json(4, command_json(lost))), Event::Complete { line, .. } if line.is_empty())
    );
}

fn pressed(id: &str, message: Value) -> Event {
    heard_of(with(interaction_json(3, json!({ "custom_id": id, "component_type": 2 })), "message", message))
}

#[test]
fn a_button_is_a_press_on_its_card() {
    let Event::Press { heard, id, ack, again } = pressed("s:k1", posted(button("s:k1", "Approve"), 0)) else {
        panic!()
    };
    assert_eq!((heard.said, id.as_str(), again), (Said::Press("k1".to_owned()), "k1", None));
    assert_eq!(heard.place.card.as_deref(), Some("INC-7"));
    assert!(ack.private && !ack.in_place);
}

#[test]
fn a_dangerous_button_is_asked_about_again_and_its_yes_is_a_press() {
    let Event::Press { again, .. } = pressed("d:k2", posted(button("d:k2", "Roll back"), 0)) else { panic!() };
    assert_eq!(again, Some(Again { label: "Roll back".to_owned(), title: "INC-7 · shop".to_owned() }));
    let Event::Press { heard, ack, again, .. } = pressed("c:k2", posted(button("c:k2", "Yes"), 64)) else { panic!() };
    assert_eq!((heard.said, again, ack.in_place), (Said::Press("k2".to_owned()), None, true));
    assert!(matches!(pressed("x", posted(json!([]), 0)), Event::Strange(..)));
}

#[test]
fn a_form_brings_its_values() {
    let data = json!({ "custom_id": "f:q1", "components": [
        { "type": 1, "components": [{ "type": 4, "custom_id": "reason", "value": "too risky" }] },
        { "type": 1, "components": [{ "type": 4, "custom_id": "code", "value": "" }] }
    ] });
    let Event::Take(heard, Some(ack)) = heard_of(interaction_json(5, data.clone())) else { panic!() };
    let Said::Filled { id, values } = heard.said else { panic!() };
    assert_eq!((id.as_str(), values["reason"].as_str(), values["code"].as_str()), ("q1", "too risky", ""));
    assert!(!ack.in_place);
    let behind = with(interaction_json(5, data), "message", posted(button("c:k2", "Yes"), 64));
    assert!(matches!(heard_of(behind), Event::Take(_, Some(ack)) if ack.in_place));
}

#[test]
fn other_guilds_and_bots_are_ignored() {
    let options = json!([{ "type": 1, "name": "incidents", "options": [] }]);
    let other = with(interaction_json(2, command_json(options.clone())), "guild_id", json!("101"));
    assert!(matches!(heard_of(other), Event::Ignored(_)));
    let mut bot = interaction_json(2, command_json(options));
    bot["member"]["user"]["bot"] = json!(true);
    assert!(matches!(heard_of(bot), Event::Ignored(_)));
}

fn said(change: impl FnOnce(&mut Value)) -> Event {
    let mut value = posted(json!([]), 0);
    value["author"] = user(80);
    value["guild_id"] = json!(GUILD.to_string());
    value["member"] = json!({ "roles": ["41"], "nick": null, "joined_at": null, "deaf": false, "mute": false });
    change(&mut value);
    let parsed: Message = serde_json::from_value(value).unwrap();
    message(&parsed, &scope())
}

#[test]
fn a_message_that_names_the_bot_is_a_line() {
    let Event::Take(heard, None) = said(|m| m["content"] = json!("<@1> approve INC-7 ")) else { panic!() };
    assert_eq!(heard.said, Said::Line("approve INC-7".to_owned()));
    assert_eq!((heard.delivery.as_str(), heard.by.name.as_str()), ("700", "Anna"));
    assert_eq!(heard.groups.unwrap(), ["discord-role:41"]);
    let in_thread = said(|m| {
        m["content"] = json!("<@!1> why?");
        m["channel_id"] = json!("700");
    });
    let Event::Take(heard, None) = in_thread else { panic!() };
    assert_eq!(heard.place.card.as_deref(), Some("INC-7"));
}

#[test]
fn a_direct_message_needs_no_mention() {
    let direct = said(|m| {
        m["content"] = json!("status");
        m["guild_id"] = Value::Null;
        m["member"] = Value::Null;
    });
    let Event::Take(heard, None) = direct else { panic!() };
    assert!(heard.place.direct && heard.groups.is_none());
    assert_eq!(heard.said, Said::Line("status".to_owned()));
}

#[test]
fn everything_else_that_is_said_is_nobodys_business() {
    assert!(matches!(said(|m| m["content"] = json!("approve INC-7")), Event::Ignored(_)));
    assert!(matches!(said(|m| m["content"] = json!("<@12> approve")), Event::Ignored(_)));
    let named = |m: &mut Value| m["content"] = json!("<@1> approve");
    let also = |key: &'static str, value: Value| {
        said(move |m| {
            named(m);
            m[key] = value;
        })
    };
    assert!(matches!(also("webhook_id", json!("5")), Event::Ignored(_)));
    assert!(matches!(also("guild_id", json!("101")), Event::Ignored(_)));
    assert!(matches!(also("author", with(user(80), "bot", json!(true))), Event::Ignored(_)));
    assert!(matches!(also("author", user(BOT)), Event::Ignored(_)));
}

proptest! {
    #[test]
    fn whatever_is_pressed_or_typed_something_is_said_about_it(
        id in ".{0,120}", label in ".{0,90}", text in ".{0,200}", kind in 0_u64..8,
    ) {
        let _ = pressed(&id, posted(button(&id, &label), kind));
        let data = json!({ "custom_id": id, "components": [
            { "type": 1, "components": [{ "type": 4, "custom_id": label, "value": text }] }
        ] });
        let _ = heard_of(interaction_json(5, data));
        let options = json!([{ "type": 1, "name": label, "options": [{ "type": 3, "name": id, "value": text }] }]);
        let _ = heard_of(interaction_json(2, command_json(options)));
        let reason = json!([{ "type": 1, "name": "stop", "options": [
            { "type": 3, "name": "reason", "value": text }
        ] }]);
        let Event::Take(heard, _) = heard_of(interaction_json(2, command_json(reason))) else { panic!() };
        let Said::Line(line) = heard.said else { panic!() };
        prop_assert!(!line.contains('\n'));
        let _ = said(|m| m["content"] = json!(text));
    }
}

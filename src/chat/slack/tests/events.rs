use proptest::prelude::*;
use serde_json::json;

use super::*;

fn me() -> Me {
    Me { user: "U0BOT00001".to_owned(), team: "T0FAKE0001".to_owned() }
}

fn mention(event: Value) -> Value {
    let mut whole = json!({
        "type": "event_callback", "team_id": "T0FAKE0001", "event_id": "Ev1",
        "event": {
            "type": "app_mention", "user": "U024BE7LH", "channel": "C024BE91L", "ts": "1503435956.000247",
            "text": "<@U0BOT00001> approve 1",
        },
    });
    for (key, value) in event.as_object().unwrap() {
        whole["event"][key] = value.clone();
    }
    whole
}

fn press() -> Value {
    json!({
        "type": "block_actions", "team": {"id": "T0FAKE0001"}, "user": {"id": "U024BE7LH", "team_id": "T0FAKE0001"},
        "channel": {"id": "C024BE91L"}, "trigger_id": "13345224609.738474920.8088930838d88f008e0",
        "container": {"type": "message", "message_ts": "1503435956.000247", "channel_id": "C024BE91L"},
        "actions": [{"type": "button", "action_id": "suture-0", "value": "b1", "action_ts": "1503435999.000001"}],
    })
}

#[test]
fn a_mention_is_a_line_without_the_mention() {
    let Incoming::Line { delivery, text, reply } = decode(Kind::Event, &mention(json!({})), &me()) else { panic!() };
    assert_eq!((delivery.as_str(), text.as_str()), ("Ev1", "approve 1"));
    assert_eq!(reply.thread_ts.as_deref(), Some("1503435956.000247"), "answered below the mention");
    assert!(!reply.inside && !reply.direct);

    let threaded = mention(json!({"thread_ts": "1503435000.000001", "text": "<@U0BOT00001|suture>: why a &lt; b"}));
    let Incoming::Line { text, reply, .. } = decode(Kind::Event, &threaded, &me()) else { panic!() };
    assert_eq!(text, "why a < b");
    assert_eq!(reply.thread_ts.as_deref(), Some("1503435000.000001"));
    assert!(reply.inside);
}

#[test]
fn our_own_words_edits_and_bots_are_nothing() {
    for other in [
        json!({"user": "U0BOT00001"}),
        json!({"bot_id": "B1"}),
        json!({"edited": {"ts": "1.1"}}),
        json!({"type": "message", "channel_type": "channel"}),
        json!({"type": "message", "channel_type": "im", "subtype": "message_changed"}),
        json!({"type": "reaction_added"}),
    ] {
        assert_eq!(decode(Kind::Event, &mention(other.clone()), &me()), Incoming::Nothing, "{other}");
    }
}

#[test]
fn a_direct_message_is_a_line() {
    let said = mention(json!({"type": "message", "channel_type": "im", "channel": "D024BE91L", "text": "status"}));
    let Incoming::Line { text, reply, .. } = decode(Kind::Event, &said, &me()) else { panic!() };
    assert_eq!((text.as_str(), reply.direct, reply.thread_ts), ("status", true, None));
}

#[test]
fn people_of_other_workspaces_are_strangers() {
    for from in ["user_team", "source_team"] {
        let said = mention(json!({from: "T0OTHER001"}));
        assert_eq!(decode(Kind::Event, &said, &me()), Incoming::Stranger("T0OTHER001".to_owned()));
    }
    let mut pressed = press();
    pressed["user"]["team_id"] = json!("T0OTHER001");
    assert!(matches!(decode(Kind::Interaction, &pressed, &me()), Incoming::Stranger(_)));
    let mut nowhere = press();
    nowhere["team"] = json!(null);
    nowhere["user"]["team_id"] = json!(null);
    assert!(matches!(decode(Kind::Interaction, &nowhere, &me()), Incoming::Stranger(_)));
}

#[test]
fn a_command_is_a_line() {
    let payload = json!({
        "command": "/suture", "text": " reject 7 too &amp; risky ", "user_id": "U024BE7LH", "channel_id": "C024BE91L",
        "team_id": "T0FAKE0001", "trigger_id": "13345224609.738474920.8088",
    });
    let Incoming::Line { delivery, text, reply } = decode(Kind::Command, &payload, &me()) else { panic!() };
    assert_eq!((delivery.as_str(), text.as_str()), ("command:13345224609.738474920.8088", "reject 7 too & risky"));
    assert_eq!(reply.thread_ts, None);
}

#[test]
fn a_press_keeps_its_delivery_when_the_trigger_changes() {
    let Incoming::Press { delivery, id, message_ts, reply, .. } = decode(Kind::Interaction, &press(), &me()) else {
        panic!()
    };
    assert_eq!((id.as_str(), message_ts.as_str()), ("b1", "1503435956.000247"));
    assert!(!reply.inside, "pressed on a message in the channel");
    let mut again = press();
    again["trigger_id"] = json!("another");
    let Incoming::Press { delivery: second, .. } = decode(Kind::Interaction, &again, &me()) else { panic!() };
    assert_eq!(delivery, second);
    again["actions"][0]["action_ts"] = json!("1503436000.000001");
    let Incoming::Press { delivery: third, .. } = decode(Kind::Interaction, &again, &me()) else { panic!() };
    assert_ne!(delivery, third);
}

#[test]
fn a_form_brings_its_reply_along() {
    let reply = Reply { channel: "C024BE91L".to_owned(), user: "U1AAA".to_owned(), ..Reply::default() };
    let metadata = serde_json::to_string(&Metadata { form: "f1".to_owned(), reply }).unwrap();
    let payload = json!({
        "type": "view_submission", "team": {"id": "T0FAKE0001"}, "user": {"id": "U024BE7LH"},
        "view": {"id": "V1", "private_metadata": metadata, "state": {"values": {
            "0:reason": {"reason": {"type": "plain_text_input", "value": "too risky"}},
            "1:code": {"code": {"type": "plain_text_input", "value": null}},
        }}},
    });
    let Incoming::Filled { delivery, id, values, first_block, reply } = decode(Kind::Interaction, &payload, &me())
    else {
        panic!()
    };
    assert_eq!((delivery.as_str(), id.as_str()), ("form:V1:U024BE7LH", "f1"));
    assert_eq!(values, [("code", ""), ("reason", "too risky")].map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    assert_eq!(first_block.as_deref(), Some("0:reason"));
    assert_eq!(reply.user, "U024BE7LH", "whoever sent it");
}

#[test]
fn what_is_not_understood_knows_whom_to_tell() {
    let payload = json!({"type": "block_actions", "team": {"id": "T0FAKE0001"}, "user": {"id": "U024BE7LH"},
        "channel": {"id": "C024BE91L"}});
    let Incoming::Unclear { reply: Some(reply), .. } = decode(Kind::Interaction, &payload, &me()) else { panic!() };
    assert_eq!((reply.user.as_str(), reply.channel.as_str()), ("U024BE7LH", "C024BE91L"));
    assert!(matches!(decode(Kind::Command, &json!(null), &me()), Incoming::Unclear { reply: None, .. }));
}

#[test]
fn the_challenge_is_given_back() {
    let payload = json!({"type": "url_verification", "challenge": "abc"});
    assert_eq!(decode(Kind::Event, &payload, &me()), Incoming::Challenge("abc".to_owned()));
}

/// Any JSON, mostly with the names that are looked at.
fn any_json() -> impl Strategy<Value = Value> {
    let names = prop_oneof![
        Just("type"),
        Just("event"),
        Just("user"),
        Just("id"),
        Just("channel"),
        Just("actions"),
        Just("view"),
        Just("state"),
        Just("values"),
        Just("container"),
        Just("message_ts"),
        Just("private_metadata"),
        Just("team"),
        Just("user_id"),
        Just("text"),
        Just("value"),
        Just("thread_ts"),
        Just("event_id"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop_oneof![
            Just("event_callback"),
            Just("app_mention"),
            Just("block_actions"),
            Just("view_submission"),
            Just("U024BE7LH"),
            Just("C024BE91L"),
            Just("1.1"),
            Just("{\"form\":\"f\"}")
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((names.clone(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_decoded(payload in any_json(), kind in prop_oneof![
        Just(Kind::Event), Just(Kind::Command), Just(Kind::Interaction)
    ]) {
        let _ = decode(kind, &payload, &me());
    }

    /// A payload that is right but for one place never panics, and never becomes somebody else's.
    #[test]
    fn a_damaged_press_is_no_other_press(at in 0_usize..8, junk in any_json()) {
        let mut payload = press();
        let places = ["/type", "/team/id", "/user/id", "/channel/id", "/container/message_ts", "/actions/0/value",
            "/actions/0/action_ts", "/actions"];
        *payload.pointer_mut(places[at]).unwrap() = junk;
        if let Incoming::Press { reply, .. } = decode(Kind::Interaction, &payload, &me()) {
            prop_assert!(is_id(&reply.user, &['U', 'W']) && is_id(&reply.channel, &['C', 'G', 'D']));
        }
    }
}

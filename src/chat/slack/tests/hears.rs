//! What comes in.

use sha2::{Digest as _, Sha256};

use super::super::events::Kind;
use super::super::intake::Ack;
use super::super::socket::{self, hear};
use super::*;
use crate::model::{Clock as _, SystemClock};

fn command(text: &str) -> Value {
    json!({
        "command": "/suture", "text": text, "user_id": "U024BE7LH", "channel_id": "C024BE91L",
        "team_id": "T0FAKE0001", "trigger_id": "13345224609.738474920.8088",
    })
}

fn press(message_ts: &str) -> Value {
    json!({
        "type": "block_actions", "team": {"id": "T0FAKE0001"}, "user": {"id": "U024BE7LH"},
        "channel": {"id": "C024BE91L"}, "trigger_id": "1.2.3",
        "container": {"message_ts": message_ts, "channel_id": "C024BE91L"},
        "actions": [{"action_id": "suture-0", "value": "b1", "action_ts": "1503435999.000001"}],
    })
}

#[tokio::test]
async fn a_command_is_durable_before_it_is_acknowledged() {
    let case = Case::new().await;
    let desk = Arc::new(FakeDesk::default());
    let ack = case.intake(desk.clone()).hear(Kind::Command, &command("status")).await;
    assert_eq!(ack, Ack::Plain);
    let heard = desk.heard.lock().unwrap().clone();
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].said, Said::Line("status".to_owned()));
    assert_eq!(heard[0].by, Person::new("slack:U024BE7LH", "anna"));
    assert_eq!(heard[0].groups.clone().unwrap(), ["slack-group:S0614TZR7"]);
    assert_eq!(heard[0].platform, "slack");
}

#[tokio::test]
async fn groups_that_slack_does_not_tell_are_not_known() {
    let case = Case::new().await;
    let desk = Arc::new(FakeDesk::default());
    let intake = case.intake(desk.clone());
    case.server.refuse("usergroups.list", "internal_error");
    intake.hear(Kind::Command, &command("status")).await;
    case.server.refuse("usergroups.list", "missing_scope");
    intake.hear(Kind::Command, &command("status")).await;
    let groups: Vec<_> = desk.heard.lock().unwrap().iter().map(|h| h.groups.clone()).collect();
    assert_eq!(groups, [None, Some(Vec::new())]);
}

#[tokio::test]
async fn only_groups_that_come_without_their_users_are_limited() {
    let case = Case::new().await;
    let mut groups: Vec<_> = (0..60).map(|i| json!({"id": format!("S0{i:02}")})).collect();
    groups.push(json!({"id": "S0614TZR7", "users": ["U024BE7LH"]}));
    case.server.next("usergroups.list", Told::Body(json!({"ok": true, "usergroups": groups})));
    let found = case.slack.groups_of("slack:U024BE7LH").await;
    assert_eq!(found, Some(vec!["slack-group:S0614TZR7".to_owned()]));
    assert_eq!(case.server.calls("usergroups.users.list").len(), 50);
}

#[tokio::test]
async fn what_is_not_taken_is_said_to_be_not_taken() {
    let case = Case::new().await;
    let intake = case.intake(Arc::new(FakeDesk { fails: true, ..FakeDesk::default() }));
    let Ack::Words(words) = intake.hear(Kind::Command, &command("approve 1")).await else { panic!() };
    assert!(words.contains("NOT taken") && words.contains("disk is full"), "{words}");
    assert_eq!(intake.hear(Kind::Interaction, &press("1503435956.000247")).await, Ack::Plain);
    let told = case.server.wait_for("chat.postEphemeral", 1).await;
    assert!(told[0]["text"].as_str().unwrap().contains("NOT taken"), "{told:?}");
}

/// On paused time, what is waited for passes at once.
#[tokio::test(start_paused = true)]
async fn a_desk_that_hangs_does_not_hold_up_the_acknowledgement() {
    let case = Case::new().await;
    let intake = case.intake(Arc::new(FakeDesk { hangs: true, ..FakeDesk::default() }));
    let start = tokio::time::Instant::now();
    let Ack::Words(words) = intake.hear(Kind::Command, &command("approve 1")).await else { panic!() };
    assert!(words.contains("not certain") && !words.contains("NOT taken"), "{words}");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_press_knows_its_card() {
    let case = Case::new().await;
    case.slack.show(&card("INC-7", "open")).await.unwrap();
    let desk = Arc::new(FakeDesk::default());
    case.intake(desk.clone()).hear(Kind::Interaction, &press("1503435956.000001")).await;
    let heard = desk.heard.lock().unwrap().clone();
    assert_eq!(heard[0].place.card.as_deref(), Some("INC-7"));
    assert_eq!(heard[0].said, Said::Press("b1".to_owned()));
}

#[tokio::test]
async fn a_press_that_asks_opens_a_form_and_what_is_filled_in_comes_back() {
    let case = Case::new().await;
    let field = Field { name: "reason".to_owned(), label: "Why".to_owned(), optional: false, long: true, most: 300 };
    let form = Form {
        id: "f1".to_owned(),
        title: "Reject".to_owned(),
        text: "INC-7: scale-out".to_owned(),
        submit: "Reject".to_owned(),
        fields: vec![field],
    };
    let desk = Arc::new(FakeDesk { press: Some(Press::Ask(form)), ..FakeDesk::default() });
    let intake = case.intake(desk.clone());
    intake.hear(Kind::Interaction, &press("1503435956.000001")).await;
    let opened = case.server.wait_for("views.open", 1).await.remove(0);
    assert_eq!(opened["trigger_id"], "1.2.3");
    assert!(desk.heard.lock().unwrap().is_empty(), "nothing was said yet");
    let input = opened.pointer("/view/blocks/1").unwrap();
    assert_eq!((&input["block_id"], &input["element"]["max_length"]), (&json!("0:reason"), &json!(300)));
    let submission = json!({
        "type": "view_submission", "team": {"id": "T0FAKE0001"}, "user": {"id": "U024BE7LH"},
        "view": {"id": "V1", "private_metadata": opened["view"]["private_metadata"],
            "state": {"values": {"0:reason": {"reason": {"value": "too risky"}}}}},
    });
    assert_eq!(intake.hear(Kind::Interaction, &submission).await, Ack::Plain);
    let heard = desk.heard.lock().unwrap().clone();
    let values = [("reason".to_owned(), "too risky".to_owned())].into();
    assert_eq!(heard[0].said, Said::Filled { id: "f1".to_owned(), values });

    let fails = case.intake(Arc::new(FakeDesk { fails: true, ..FakeDesk::default() }));
    let Ack::Errors { block, words } = fails.hear(Kind::Interaction, &submission).await else { panic!() };
    assert_eq!(block, "0:reason");
    assert!(words.contains("NOT taken"));
}

#[tokio::test]
async fn a_stale_button_and_a_form_that_fails_are_told() {
    let case = Case::new().await;
    let gone = Press::Gone("already approved by ben".to_owned());
    let intake = case.intake(Arc::new(FakeDesk { press: Some(gone), ..FakeDesk::default() }));
    intake.hear(Kind::Interaction, &press("1503435956.000001")).await;
    let told = case.server.wait_for("chat.postEphemeral", 1).await;
    assert_eq!(told[0]["text"], "already approved by ben");
}

#[tokio::test]
async fn what_is_not_understood_is_answered() {
    let case = Case::new().await;
    let desk = Arc::new(FakeDesk::default());
    let intake = case.intake(desk.clone());
    let mut pressed = press("1503435956.000001");
    pressed["actions"] = json!([]);
    assert_eq!(intake.hear(Kind::Interaction, &pressed).await, Ack::Plain);
    let told = case.server.wait_for("chat.postEphemeral", 1).await;
    assert!(told[0]["text"].as_str().unwrap().contains("not understood"));
    let mut other = command("approve 1");
    other["team_id"] = json!("T0OTHER001");
    let Ack::Words(words) = intake.hear(Kind::Command, &other).await else { panic!() };
    assert!(words.contains("another workspace"));
    assert!(desk.heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn frames_are_answered_by_their_envelope() {
    let case = Case::new().await;
    let intake = case.intake(Arc::new(FakeDesk { fails: true, ..FakeDesk::default() }));
    assert_eq!(hear(r#"{"type":"hello"}"#, &intake).await, socket::Heard::Hello);
    let frame = r#"{"type":"disconnect","reason":"refresh_requested"}"#;
    assert_eq!(hear(frame, &intake).await, socket::Heard::Disconnect("refresh_requested".to_owned()));
    for junk in ["", "{", "null", "[]", r#"{"type":"events_api"}"#] {
        assert_eq!(hear(junk, &intake).await, socket::Heard::Nothing, "{junk}");
    }
    let frame = json!({"type": "slash_commands", "envelope_id": "e1", "accepts_response_payload": true,
        "payload": command("status")});
    let socket::Heard::Envelope(ack) = hear(&frame.to_string(), &intake).await else { panic!() };
    let ack: Value = serde_json::from_str(&ack).unwrap();
    assert_eq!((&ack["envelope_id"], &ack["payload"]["response_type"]), (&json!("e1"), &json!("ephemeral")));
    let frame = json!({"type": "brand_new", "envelope_id": "e2", "payload": {}});
    let socket::Heard::Envelope(ack) = hear(&frame.to_string(), &intake).await else { panic!() };
    assert_eq!(ack, r#"{"envelope_id":"e2"}"#);
}

/// HMAC-SHA256 as RFC 2104 has it, to sign as Slack does.
fn hmac(key: &str, text: &str) -> String {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key.as_bytes());
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    let outer = Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize();
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn only_what_slack_signed_just_now_is_heard() {
    let case = Case::new().await;
    let desk = Arc::new(FakeDesk::default());
    let intake = Arc::new(case.intake(desk.clone()));
    let mode = HttpMode { listen: "127.0.0.1:0".parse().unwrap(), signing_secret: Secret::new("shhh") };
    let listener = super::super::http::bind(mode.listen).await.unwrap();
    let at = format!("http://{}/slack", listener.local_addr().unwrap());
    tokio::spawn(async move { super::super::http::serve(listener, &mode, intake).await });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let now = SystemClock.now().0 / 1000;
    let call = |path: &str, body: String, key: &str, time: String| {
        let signature = format!("v0={}", hmac(key, &format!("v0:{time}:{body}")));
        client
            .post(format!("{at}/{path}"))
            .header("x-slack-request-timestamp", time)
            .header("x-slack-signature", signature)
            .body(body)
            .send()
    };
    let form = "text=status&user_id=U024BE7LH&channel_id=C024BE91L&team_id=T0FAKE0001&trigger_id=1.2.3".to_owned();
    for (key, time) in [
        ("wrong", now.to_string()),
        ("shhh", (now - 301 - 60).to_string()),
        ("shhh", (now + 301 + 60).to_string()),
        ("shhh", "soon".to_owned()),
        ("shhh", i64::MIN.to_string()),
    ] {
        let refused = call("commands", form.clone(), key, time.clone()).await.unwrap();
        assert_eq!(refused.status(), 401, "{key} at {time}");
    }
    let unsigned = client.post(format!("{at}/commands")).body(form.clone()).send().await.unwrap();
    assert_eq!(unsigned.status(), 401);
    assert!(desk.heard.lock().unwrap().is_empty());

    assert_eq!(call("commands", form, "shhh", now.to_string()).await.unwrap().status(), 200);
    let body: String = press("1503435956.000001").to_string().bytes().map(|b| format!("%{b:02X}")).collect();
    let pressed = call("interactions", format!("payload={body}"), "shhh", now.to_string()).await.unwrap();
    assert_eq!(pressed.status(), 200);
    let heard = desk.heard.lock().unwrap().clone();
    assert_eq!(
        heard.iter().map(|h| h.said.clone()).collect::<Vec<_>>(),
        [Said::Line("status".to_owned()), Said::Press("b1".to_owned())]
    );

    let challenge = json!({"type": "url_verification", "challenge": "abc"}).to_string();
    let answered = call("events", challenge, "shhh", now.to_string()).await.unwrap();
    assert_eq!(answered.json::<Value>().await.unwrap(), json!({"challenge": "abc"}));
    let big = call("events", "x".repeat(1024 * 1024 + 1), "shhh", now.to_string()).await.unwrap();
    assert_eq!(big.status(), 413);
    let junk = call("events", "{".to_owned(), "shhh", now.to_string()).await.unwrap();
    assert_eq!(junk.status(), 200);
}

//! What goes out.

use super::*;
use crate::chat::chart::Chart;
use crate::chat::{Answer, File};

#[tokio::test]
async fn a_card_is_posted_once_and_then_edited() {
    let case = Case::new().await;
    case.slack.show(&card("INC-7", "INC-7 · open")).await.unwrap();
    case.slack.show(&card("INC-7", "INC-7 · open")).await.unwrap();
    case.slack.show(&card("INC-7", "INC-7 · approved")).await.unwrap();
    // After a new start it is still the same message.
    case.again().show(&card("INC-7", "INC-7 · running")).await.unwrap();
    assert_eq!(case.server.names(), ["chat.postMessage", "chat.update", "chat.update"]);
    let posted = &case.server.calls("chat.postMessage")[0];
    assert_eq!(posted["channel"], "C024BE91L");
    assert_eq!(posted["metadata"], json!({"event_type": "suture_card", "event_payload": {"key": "INC-7"}}));
    let updated = &case.server.calls("chat.update")[1];
    assert_eq!(updated["ts"], "1503435956.000001");
    assert!(updated["text"].as_str().unwrap().starts_with("INC-7 · running"));
}

#[tokio::test]
async fn what_only_ticks_waits_a_minute() {
    let case = Case::new().await;
    let ticking = |gloss: &str| Card {
        blocks: vec![Block::Field("Since".to_owned(), format!("12:00:00 UTC ({gloss} ago)"))],
        ..card("INC-7", "INC-7 · open")
    };
    case.slack.show(&ticking("4 s")).await.unwrap();
    case.slack.show(&ticking("9 s")).await.unwrap();
    assert_eq!(case.server.names(), ["chat.postMessage"]);
    case.clock.advance(Duration::from_secs(61));
    case.slack.show(&ticking("65 s")).await.unwrap();
    assert_eq!(case.server.names(), ["chat.postMessage", "chat.update"]);
    // The last form is never held back.
    case.slack.show(&Card { settled: true, ..ticking("66 s") }).await.unwrap();
    assert_eq!(case.server.names().len(), 3);
}

#[tokio::test]
async fn a_message_that_is_gone_is_posted_anew() {
    let case = Case::new().await;
    case.slack.show(&card("INC-7", "open")).await.unwrap();
    case.server.refuse("chat.update", "message_not_found");
    case.slack.show(&card("INC-7", "approved")).await.unwrap();
    case.slack.show(&card("INC-7", "running")).await.unwrap();
    assert_eq!(case.server.names(), ["chat.postMessage", "chat.update", "chat.postMessage", "chat.update"]);
    assert_eq!(case.server.calls("chat.update")[1]["ts"], "1503435956.000002");
}

#[tokio::test]
async fn blocks_that_slack_refuses_go_out_as_text() {
    let case = Case::new().await;
    case.server.refuse("chat.postMessage", "invalid_blocks");
    case.slack.show(&card("INC-7", "INC-7 · <!here>")).await.unwrap();
    let posted = case.server.calls("chat.postMessage");
    assert_eq!(posted.len(), 2);
    assert_eq!(posted[1]["blocks"], json!([]));
    let text = posted[1]["text"].as_str().unwrap();
    assert!(text.contains("Since: 12:00:00 UTC") && !text.contains("<!"), "{text}");
}

#[tokio::test]
async fn slack_s_wish_to_wait_is_handed_on() {
    let case = Case::new().await;
    case.server.next("chat.postMessage", Told::Limited(7));
    let error = case.slack.show(&card("INC-7", "open")).await.unwrap_err();
    assert_eq!((error.retry_after, error.hopeless), (Some(Duration::from_secs(7)), false));
}

#[tokio::test]
async fn a_person_can_mend_an_invitation_but_not_a_token() {
    let case = Case::new().await;
    case.server.refuse("chat.postMessage", "not_in_channel");
    let error = case.slack.show(&card("INC-7", "open")).await.unwrap_err();
    assert!(!error.hopeless && error.why.contains("/invite"), "{error}");
    case.server.refuse("chat.postMessage", "token_revoked");
    let error = case.slack.show(&card("INC-7", "open")).await.unwrap_err();
    assert!(error.hopeless && error.why.contains("install the app again"), "{error}");
}

#[tokio::test]
async fn a_message_whose_answer_was_lost_is_looked_for() {
    let case = Case::new().await;
    case.server.next("chat.postMessage", Told::Status(502));
    assert!(!case.slack.show(&card("INC-7", "open")).await.unwrap_err().hopeless);
    let metadata = |key: &str| json!({"event_type": "suture_card", "event_payload": {"key": key}});
    let message = |key: &str, ts: &str| json!({"ts": ts, "metadata": metadata(key)});
    let history = json!({"ok": true, "messages": [message("INC-6", "1.1"), message("INC-7", "2.2")]});
    case.server.next("conversations.history", Told::Body(history));
    case.again().show(&card("INC-7", "open")).await.unwrap();
    assert_eq!(case.server.calls("chat.update")[0]["ts"], "2.2");
    assert_eq!(case.server.calls("chat.postMessage").len(), 1, "not twice");
}

#[tokio::test]
async fn where_it_cannot_be_looked_for_a_double_is_taken() {
    let case = Case::new().await;
    case.server.next("chat.postMessage", Told::Status(502));
    case.slack.show(&card("INC-7", "open")).await.unwrap_err();
    case.server.refuse("conversations.history", "missing_scope");
    case.slack.show(&card("INC-7", "open")).await.unwrap();
    assert_eq!(case.server.calls("chat.postMessage").len(), 2);
}

#[tokio::test]
async fn lines_go_into_the_card_s_thread() {
    let case = Case::new().await;
    case.slack.say("INC-7", "early").await.unwrap();
    case.slack.show(&card("INC-7", "open")).await.unwrap();
    case.slack.conclude("INC-7", "resolved <@U1>").await.unwrap();
    let posted = case.server.calls("chat.postMessage");
    assert!(posted[0].get("thread_ts").is_none(), "there is no thread yet");
    assert_eq!(posted[0]["text"], "INC-7: early");
    assert_eq!(posted[2]["thread_ts"], "1503435956.000002");
    assert_eq!(posted[2]["reply_broadcast"], true);
    assert_eq!(posted[2]["text"], "resolved &lt;@\u{200b}U1&gt;", "a reason calls nobody");
    assert_eq!(posted[2]["blocks"][0]["type"], "rich_text", "nothing is read into these");
}

#[tokio::test]
async fn a_call_mentions_and_links() {
    let case = Case::new().await;
    case.slack.show(&card("INC-7", "open")).await.unwrap();
    let to = [
        "slack:U024BE7LH",
        "slack-group:S0614TZR7",
        "slack-channel:C099999999",
        "discord-role:1",
        "slack:U1|x>",
        "slack-group:!channel",
    ]
    .map(str::to_owned);
    case.slack.call("INC-7", &to, "nobody answers <!here>").await.unwrap();
    let posted = case.server.calls("chat.postMessage");
    assert_eq!(posted.len(), 3);
    assert_eq!(
        posted[1]["text"],
        "<!subteam^S0614TZR7> <@U024BE7LH> nobody answers &lt;!here&gt;"
            .replace("<!subteam^S0614TZR7> <@U024BE7LH>", "<@U024BE7LH> <!subteam^S0614TZR7>")
    );
    assert_eq!((&posted[1]["reply_broadcast"], &posted[1]["thread_ts"]), (&json!(true), &json!("1503435956.000001")));
    assert_eq!(posted[2]["channel"], "C099999999");
    let text = posted[2]["text"].as_str().unwrap();
    assert!(text.ends_with("<https://fake.slack.com/archives/C024BE91L/p1|INC-7>"), "{text}");
}

fn reply(change: impl FnOnce(&mut Reply)) -> Value {
    let mut reply = Reply { channel: "C099999999".to_owned(), user: "U024BE7LH".to_owned(), ..Reply::default() };
    change(&mut reply);
    serde_json::to_value(reply).unwrap()
}

#[tokio::test]
async fn answers_go_where_they_were_asked_for() {
    let case = Case::new().await;
    let answer = |private| Answer { card: card("", "status"), private, file: None };
    let ts = "1503435000.000001".to_owned();
    case.slack.answer(&reply(|_| {}), &answer(true)).await.unwrap();
    case.slack.answer(&reply(|r| (r.thread_ts, r.inside) = (Some(ts.clone()), true)), &answer(true)).await.unwrap();
    case.slack.answer(&reply(|r| r.thread_ts = Some(ts.clone())), &answer(true)).await.unwrap();
    let ephemeral = case.server.calls("chat.postEphemeral");
    assert_eq!((&ephemeral[0]["user"], &ephemeral[0]["channel"]), (&json!("U024BE7LH"), &json!("C099999999")));
    assert_eq!(ephemeral[0].get("thread_ts"), None);
    assert_eq!(ephemeral[1]["thread_ts"], json!(ts));
    assert_eq!(ephemeral[2].get("thread_ts"), None, "pressed in the channel: seen in the channel");

    case.slack.answer(&reply(|r| r.thread_ts = Some(ts.clone())), &answer(false)).await.unwrap();
    let direct = reply(|r| (r.channel, r.direct) = ("D024BE91L".to_owned(), true));
    case.slack.answer(&direct, &answer(true)).await.unwrap();
    let posted = case.server.calls("chat.postMessage");
    assert_eq!((&posted[0]["thread_ts"], &posted[0]["channel"]), (&json!(ts), &json!("C099999999")));
    assert_eq!(posted[1]["channel"], "D024BE91L");
    assert!(case.slack.answer(&json!({"junk": 1}), &answer(true)).await.unwrap_err().hopeless);
}

#[tokio::test]
async fn where_the_bot_is_not_the_answer_comes_directly() {
    let case = Case::new().await;
    case.server.refuse("chat.postEphemeral", "channel_not_found");
    let answer = Answer { card: card("", "status"), private: true, file: None };
    case.slack.answer(&reply(|_| {}), &answer).await.unwrap();
    assert_eq!(case.server.calls("chat.postMessage")[0]["channel"], "U024BE7LH");
}

#[tokio::test]
async fn between_two_people_the_answer_comes_directly_or_not_at_all() {
    let case = Case::new().await;
    let answer = Answer { card: card("", "status"), private: true, file: None };
    let between = reply(|r| (r.channel, r.direct) = ("D099999999".to_owned(), true));
    case.server.refuse("chat.postMessage", "channel_not_found");
    case.slack.answer(&between, &answer).await.unwrap();
    let posted = case.server.calls("chat.postMessage");
    assert_eq!((&posted[0]["channel"], &posted[1]["channel"]), (&json!("D099999999"), &json!("U024BE7LH")));
    for _ in 0..2 {
        case.server.refuse("chat.postMessage", "channel_not_found");
    }
    assert!(case.slack.answer(&between, &answer).await.unwrap_err().hopeless, "it must not hold up others");
}

#[tokio::test]
async fn a_private_file_goes_into_the_direct_conversation() {
    let case = Case::new().await;
    let file = File { name: "audit.csv".to_owned(), title: "Audit".to_owned(), bytes: b"a,b".to_vec() };
    let answer = Answer { card: card("", "audit"), private: true, file: Some(file.clone()) };
    case.slack.answer(&reply(|_| {}), &answer).await.unwrap();
    let completed = &case.server.calls("files.completeUploadExternal")[0];
    assert_eq!(completed["channel_id"], "D024BE7LH");
    assert_eq!(case.server.calls("files.getUploadURLExternal")[0]["length"], "3");
    assert_eq!(case.server.calls("upload").len(), 1);

    let public = Answer { private: false, file: Some(file), ..answer };
    case.slack.answer(&reply(|_| {}), &public).await.unwrap();
    let completed = &case.server.calls("files.completeUploadExternal")[1];
    assert_eq!(
        (&completed["channel_id"], &completed["thread_ts"]),
        (&json!("C099999999"), &json!("1503435956.000002"))
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_sent_is_said_and_not_asked_again() {
    let case = Case::new().await;
    case.server.refuse("files.getUploadURLExternal", "missing_scope");
    let file = File { name: "audit.csv".to_owned(), title: "Audit".to_owned(), bytes: b"a,b".to_vec() };
    let answer = Answer { card: card("", "audit"), private: false, file: Some(file) };
    case.slack.answer(&reply(|_| {}), &answer).await.unwrap();
    let said = case.server.calls("chat.postEphemeral");
    assert!(said[0]["text"].as_str().unwrap().contains("audit.csv"), "{said:?}");
}

#[tokio::test]
async fn what_does_not_fit_follows_as_a_file_once() {
    let case = Case::new().await;
    let long =
        |title: &str| Card { blocks: vec![Block::Fixed("0123456789012345678\n".repeat(1000))], ..card("INC-7", title) };
    case.slack.show(&long("open")).await.unwrap();
    case.slack.show(&long("approved")).await.unwrap();
    case.slack.show(&Card { settled: true, ..long("resolved") }).await.unwrap();
    let files = case.server.calls("files.completeUploadExternal");
    assert_eq!(files.len(), 2, "with the first form and with the last");
    assert_eq!(files[0]["thread_ts"], "1503435956.000001");
}

fn pictured(title: &str) -> Card {
    let chart = Chart {
        service: "shop".into(),
        metric: "latency_p95".to_owned(),
        unit: "s".to_owned(),
        from: Timestamp(START),
        to: Timestamp(START + 60_000),
        interval: Duration::from_secs(5),
        points: Vec::new(),
        band: None,
        marks: Vec::new(),
    };
    Card { picture: Some(Arc::new(chart)), ..card("INC-7", title) }
}

fn drawing(case: &Case) -> Slack {
    let draw: Draw = Arc::new(|chart| Ok(Picture { png: vec![1, 2, 3], words: format!("{} over time", chart.metric) }));
    case.again().with_pictures(draw)
}

#[tokio::test]
async fn a_picture_stands_in_the_card_alone() {
    let case = Case::new().await;
    let slack = drawing(&case);
    slack.show(&pictured("open")).await.unwrap();
    slack.show(&pictured("approved")).await.unwrap();
    let completed = case.server.calls("files.completeUploadExternal");
    assert_eq!(completed.len(), 1, "the same picture is not sent again");
    assert_eq!(completed[0].get("channel_id"), None);
    for message in [&case.server.calls("chat.postMessage")[0], &case.server.calls("chat.update")[0]] {
        let image = message["blocks"].as_array().unwrap().iter().find(|b| b["type"] == "image").unwrap();
        assert_eq!(image["slack_file"], json!({"id": "F0123456789"}));
        assert_eq!(image["alt_text"], "latency_p95 over time");
    }
}

#[tokio::test]
async fn a_card_goes_out_without_a_picture_that_cannot_be_had() {
    let case = Case::new().await;
    let slack = drawing(&case);
    case.server.next("upload", Told::Status(500));
    slack.show(&pictured("open")).await.unwrap();
    assert!(!case.server.calls("chat.postMessage")[0].to_string().contains("slack_file"));
}

#[tokio::test]
async fn a_picture_that_is_not_ready_is_waited_for_and_then_left_out() {
    let case = Case::new().await;
    let slack = drawing(&case);
    case.server.refuse("chat.postMessage", "invalid_blocks");
    slack.show(&pictured("open")).await.unwrap();
    let posted = case.server.calls("chat.postMessage");
    assert_eq!(posted.len(), 2);
    assert!(posted[1].to_string().contains("slack_file"), "ready the second time");

    for _ in 0..4 {
        case.server.refuse("chat.update", "invalid_blocks");
    }
    slack.show(&pictured("approved")).await.unwrap();
    let updated = case.server.calls("chat.update");
    assert_eq!(updated.len(), 5);
    let last = updated[4].to_string();
    assert!(!last.contains("slack_file") && last.contains("rich_text"), "only the picture is left out");

    // For a minute it is not tried again, since each try holds up the card.
    slack.show(&pictured("running")).await.unwrap();
    assert_eq!(case.server.calls("chat.update").len(), 6);
    case.clock.advance(Duration::from_secs(61));
    slack.show(&pictured("done")).await.unwrap();
    assert!(case.server.calls("chat.update")[6].to_string().contains("slack_file"));
}

#[tokio::test]
async fn a_line_is_said_even_when_its_thread_is_gone() {
    let case = Case::new().await;
    case.slack.show(&card("INC-7", "open")).await.unwrap();
    case.server.refuse("chat.postMessage", "cannot_reply_to_message");
    case.slack.conclude("INC-7", "resolved").await.unwrap();
    let posted = case.server.calls("chat.postMessage");
    assert!(posted[1].get("thread_ts").is_some() && posted[2].get("thread_ts").is_none(), "{posted:?}");
}

//! A thousand incidents within a minute: the channel gets a digest, every acknowledgement comes in time, and nothing grows.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use suture::chat::outbox::{Outbox, OutboxSettings};
use suture::chat::slack::{Slack, SlackOptions};
use suture::chat::{
    Block, Button, Card, CardAction, ChatError, Desk, Heard, MemoryStore, Messenger, Press, Store, Tone,
};
use suture::model::{Person, Secret, SystemClock};

use crate::harness::slack::{self, FakeSlack};

/// Takes everything, and is asked nothing.
#[derive(Default)]
struct Taker(Mutex<usize>);

#[async_trait]
impl Desk for Taker {
    async fn take(&self, _: Heard) -> Result<(), ChatError> {
        *self.0.lock().unwrap() += 1;
        Ok(())
    }

    fn press(&self, _: &str, _: &Person) -> Press {
        Press::Go
    }

    fn complete(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

fn card(n: usize, words: &str, settled: bool) -> Card {
    let button = Some(Button { id: format!("b{n}"), command: format!("approve INC-{n}"), ask: None });
    let approve =
        CardAction { label: "Approve".to_owned(), command: format!("approve {n}"), button, ..CardAction::default() };
    Card {
        key: format!("INC-{n}"),
        title: format!("INC-{n} · shop-{n} · HIGH · {words}"),
        tone: if settled { Tone::Good } else { Tone::Waiting },
        blocks: vec![Block::Field("Risk".to_owned(), "high (83 of 100)".to_owned())],
        actions: if settled { Vec::new() } else { vec![approve] },
        settled,
        ..Card::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_incidents_in_a_minute_are_a_digest() {
    let fake = FakeSlack::start().await;
    let options = SlackOptions {
        bot_token: Secret::new(FakeSlack::bot_token()),
        app_token: Some(Secret::new(FakeSlack::app_token())),
        http: None,
        channel: slack::INCIDENTS.to_owned(),
        api: Some(fake.api()),
    };
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let messenger: Arc<dyn Messenger> =
        Arc::new(Slack::new(options, Arc::clone(&store), Arc::new(SystemClock)).unwrap());
    let (outbox, workers) = Outbox::with_store(vec![Arc::clone(&messenger)], &OutboxSettings::default(), Some(store));
    let worker = workers.into_iter().next().unwrap();
    let delivering = tokio::spawn(async move { worker.run().await });
    let desk = Arc::new(Taker::default());
    let listening = tokio::spawn({
        let (messenger, desk) = (Arc::clone(&messenger), Arc::clone(&desk) as Arc<dyn Desk>);
        async move { messenger.listen(desk).await }
    });
    fake.wait_connected().await;

    let mut deliveries = Vec::new();
    for n in 1..=1000 {
        outbox.show(&card(n, "open", false));
        outbox.detail(&format!("INC-{n}"), "incident opened: risk 83 (high)");
        outbox.show(&card(n, "awaiting approval", false));
        if n % 50 == 0 {
            deliveries.push(fake.command(slack::ANA, slack::INCIDENTS, "status").await);
        }
        let waiting = outbox.counts()[0].1.waiting;
        assert!(waiting < 300, "{waiting} wait after {n}");
    }
    for delivery in &deliveries {
        let took = delivery.acked().await;
        assert!(took < Duration::from_secs(3), "acknowledged after {took:?}");
    }
    assert_eq!(*desk.0.lock().unwrap(), deliveries.len());
    let digest = fake
        .wait_message("the digest", slack::INCIDENTS, |m| {
            m.text.contains("Many incidents at once · 980 beside those shown")
        })
        .await;
    assert!(digest.blocks.to_string().contains("show INCIDENT"), "{}", digest.blocks);
    // All are over before anybody looked: the digest says so, and the channel was not flooded.
    for n in 1..=1000 {
        outbox.show(&card(n, "RESOLVED, recovered alone", true));
    }
    fake.wait_message("the digest's end", slack::INCIDENTS, |m| {
        m.ts == digest.ts && m.blocks.to_string().contains("980")
    })
    .await;
    assert!(outbox.flush(Duration::from_secs(60)).await, "{:?}", outbox.counts());
    let roots =
        fake.messages(slack::INCIDENTS).into_iter().filter(|m| m.thread_ts.is_none() && m.user == slack::BOT).count();
    assert!(roots <= 21, "{roots} messages in the channel");
    assert_eq!((fake.late_acks(), fake.rejected()), (0, Vec::new()));
    listening.abort();
    delivering.abort();
}

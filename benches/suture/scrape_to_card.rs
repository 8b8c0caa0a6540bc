//! The whole way: a page on 127.0.0.1 turns bad, and the time from the scrape that reads it to the card being shown.
//!
//! The real daemon, put together by `App::build` from a config: scrape, detector with a model it learned here, ledger
//! on disk, state machine, outbox. Only the chat is a fake: it notes when a card came. The pause until the next scrape
//! is not in the figure, nor is hysteresis: one anomalous sample opens an incident here (`raise = 1`).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::Router;
use axum::routing::get;
use criterion::{Criterion, SamplingMode};
use suture::app::App;
use suture::chat::{Card, ChatError, Messenger};
use suture::config::Config;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::sample::{Dice, METRICS, sample, service};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The page: 18 gauges, well or unwell.
struct Page {
    dice: Dice,
    unwell: bool,
    /// When the request came that was the first to read the page unwell.
    asked: Option<Instant>,
}

impl Page {
    fn text(&mut self) -> String {
        if self.unwell {
            self.asked.get_or_insert_with(Instant::now);
        }
        let values = sample(0, &mut self.dice, if self.unwell { 40.0 } else { 0.0 }).values;
        values.iter().fold(String::new(), |mut page, (name, value)| {
            let _ = writeln!(page, "# TYPE {name} gauge\n{name} {value}");
            page
        })
    }

    fn set(&mut self, unwell: bool) {
        (self.unwell, self.asked) = (unwell, None);
    }
}

/// Notes when which card came.
struct Watcher(UnboundedSender<(Instant, Card)>);

#[async_trait]
impl Messenger for Watcher {
    fn platform(&self) -> &'static str {
        "bench"
    }

    async fn show(&self, card: &Card) -> Result<(), ChatError> {
        let _ = self.0.send((Instant::now(), card.clone()));
        Ok(())
    }

    async fn say(&self, _: &str, _: &str) -> Result<(), ChatError> {
        Ok(())
    }
}

fn config(dir: &Path, url: &str) -> Config {
    let text = format!(
        r#"
        [suture]
        data_dir = "data"
        [[service]]
        name = "{}"
        mode = "observe"
        interval = "200ms"
        rules = []
        [[service.source]]
        kind = "scrape"
        urls = ["{url}"]
        [service.detect]
        raise = 1
        of = 1
        clear = 1
        [chat]
        console = false
        "#,
        service()
    );
    Config::parse(&text, &dir.join("suture.toml")).unwrap()
}

pub fn whole_way(c: &mut Criterion) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let page = Arc::new(Mutex::new(Page { dice: Dice::new(3), unwell: false, asked: None }));
    let (sent, mut cards) = unbounded_channel();
    let (stop, stopped) = oneshot::channel::<()>();

    let app = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        let served = Arc::clone(&page);
        let router = Router::new().route("/metrics", get(move || async move { served.lock().unwrap().text() }));
        tokio::spawn(async move { axum::serve(listener, router).await });

        let config = config(dir.path(), &url);
        let exe = PathBuf::from(env!("CARGO_BIN_EXE_suture"));
        App::build(config, &exe, vec![Arc::new(Watcher(sent))], &|_| {}).await.unwrap()
    });
    let door = app.door();
    let daemon = runtime.spawn(app.run(async {
        let _ = stopped.await;
        "the bench is over".to_owned()
    }));
    runtime.block_on(async {
        // 100 samples, five a second.
        let began = Instant::now();
        while door.board().with(&service(), |board| board.model).is_none() {
            assert!(began.elapsed() < PATIENCE, "no model was learned");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });

    let mut group = c.benchmark_group("from a scrape to the card");
    // One iteration waits for the scrapes that open and close an incident, some half a second for a figure of
    // milliseconds: as few as criterion takes.
    group.sample_size(20).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_millis(20));
    group.bench_function(format!("{METRICS} metrics of one page"), |b| {
        b.iter_custom(|times| (0..times).map(|_| runtime.block_on(one_incident(&page, &mut cards))).sum());
    });
    group.finish();

    let _ = stop.send(());
    runtime.block_on(daemon).unwrap().unwrap();
}

/// Makes the page unwell until an incident's card is shown, then well until it is resolved.
async fn one_incident(page: &Mutex<Page>, cards: &mut UnboundedReceiver<(Instant, Card)>) -> Duration {
    page.lock().unwrap().set(true);
    let (mut shown, mut first) = next(cards).await;
    while first.settled {
        // The last word on the incident before.
        (shown, first) = next(cards).await;
    }
    let asked = page.lock().unwrap().asked.take().unwrap();
    page.lock().unwrap().set(false);
    let mut last = first.clone();
    while !last.settled {
        (_, last) = next(cards).await;
        assert_eq!(last.key, first.key);
    }
    shown.duration_since(asked)
}

async fn next(cards: &mut UnboundedReceiver<(Instant, Card)>) -> (Instant, Card) {
    tokio::time::timeout(PATIENCE, cards.recv()).await.unwrap().unwrap()
}

use std::collections::VecDeque;

use async_trait::async_trait;
use tokio::time::Instant;

use super::*;
use crate::chat::{CardAction, Tone};

/// A platform that remembers what it took, and fails as often as it is told to.
#[derive(Default)]
struct Fake {
    took: Mutex<Vec<String>>,
    failures: Mutex<VecDeque<&'static str>>,
    never_takes: Mutex<Option<String>>,
    hangs: Mutex<u32>,
}

impl Fake {
    async fn take(&self, key: &str, text: String) -> Result<(), ChatError> {
        let hang = {
            let mut hangs = self.hangs.lock().unwrap();
            *hangs = hangs.saturating_sub(1);
            *hangs > 0
        };
        if hang {
            std::future::pending::<()>().await;
        }
        let refused = self.never_takes.lock().unwrap().as_deref() == Some(key);
        let failure = self.failures.lock().unwrap().pop_front().or(refused.then_some("never"));
        if let Some(why) = failure {
            return Err(ChatError::new("fake", why));
        }
        self.took.lock().unwrap().push(text);
        Ok(())
    }

    fn took(&self) -> Vec<String> {
        self.took.lock().unwrap().clone()
    }
}

#[async_trait]
impl Messenger for Fake {
    fn platform(&self) -> &'static str {
        "fake"
    }

    async fn show(&self, card: &Card) -> Result<(), ChatError> {
        self.take(&card.key, format!("[{}] {}", card.key, card.title)).await
    }

    async fn say(&self, key: &str, text: &str) -> Result<(), ChatError> {
        self.take(key, format!("{key}: {text}")).await
    }
}

fn card(key: &str, title: &str) -> Card {
    Card { key: key.to_owned(), title: title.to_owned(), ..Card::default() }
}

fn question(key: &str) -> Card {
    let approve = CardAction { label: "Approve".to_owned(), command: "approve".to_owned(), ..CardAction::default() };
    Card { tone: Tone::Waiting, actions: vec![approve], ..card(key, "asks") }
}

fn outcome(key: &str) -> Card {
    Card { settled: true, ..card(key, "settled") }
}

struct Setting {
    fake: Arc<Fake>,
    outbox: Outbox,
    worker: Option<OutboxWorker>,
}

/// An outbox whose worker does not run yet.
fn idle(capacity: usize) -> Setting {
    let fake = Arc::new(Fake::default());
    let settings = OutboxSettings { capacity, ..OutboxSettings::default() };
    let (outbox, mut workers) = Outbox::new(vec![Arc::clone(&fake) as Arc<dyn Messenger>], &settings);
    Setting { fake, outbox, worker: workers.pop() }
}

impl Setting {
    /// Runs the worker until everything is sent or the time is over, and gives what was taken.
    async fn run(&mut self, within: Duration) -> Vec<String> {
        let worker = self.worker.take().unwrap();
        let waiting = self.outbox.lanes[0].waiting.subscribe();
        let empty = async move {
            let mut waiting = waiting;
            waiting.wait_for(|n| *n == 0).await.unwrap();
        };
        tokio::select! {
            () = worker.run() => {}
            _ = tokio::time::timeout(within, empty) => {}
        }
        self.worker = Some(worker);
        self.fake.took()
    }

    fn counts(&self) -> OutboxCounts {
        self.outbox.counts()[0].1
    }
}

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn in_order_and_only_the_newest_form_of_a_card() {
    let mut s = idle(10);
    s.outbox.show(&card("INC-1", "opened"));
    s.outbox.say("INC-1", "first");
    s.outbox.show(&card("INC-2", "opened"));
    s.outbox.show(&card("INC-1", "planning"));
    s.outbox.show(&card("INC-1", "asks"));
    s.outbox.say("INC-1", "second");
    assert_eq!(s.run(LONG).await, ["[INC-1] asks", "INC-1: first", "[INC-2] opened", "INC-1: second"]);
    assert_eq!((s.counts().sent, s.counts().replaced, s.counts().waiting), (4, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn answers_are_never_taken_for_each_other() {
    let mut s = idle(10);
    s.outbox.show(&card("", "status"));
    s.outbox.show(&card("", "help"));
    assert_eq!(s.run(LONG).await, ["[] status", "[] help"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_taken_is_tried_again_with_growing_pauses() {
    let mut s = idle(10);
    s.fake.failures.lock().unwrap().extend(["away", "away", "away"]);
    s.outbox.show(&card("INC-1", "opened"));
    let began = Instant::now();
    assert_eq!(s.run(LONG).await, ["[INC-1] opened"]);
    assert_eq!(began.elapsed(), Duration::from_secs(1 + 2 + 4));
    assert_eq!(s.counts().failed, 3);
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_hangs_is_given_its_time_and_tried_again() {
    let mut s = idle(10);
    *s.fake.hangs.lock().unwrap() = 2;
    s.outbox.say("", "hello");
    let began = Instant::now();
    assert_eq!(s.run(LONG).await, [": hello"]);
    assert_eq!(began.elapsed(), Duration::from_secs(30 + 1));
}

#[tokio::test(start_paused = true)]
async fn while_an_old_form_fails_the_newer_one_takes_over() {
    let mut s = idle(10);
    s.fake.failures.lock().unwrap().push_back("away");
    s.outbox.show(&card("INC-1", "opened"));
    // The first try fails, then the worker pauses for a second; the timeout cuts the run off inside the pause.
    assert_eq!(s.run(Duration::from_millis(500)).await, [""; 0]);
    s.outbox.show(&card("INC-1", "resolved"));
    assert_eq!(s.run(LONG).await.last().unwrap(), "[INC-1] resolved");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_never_taken_does_not_hold_up_the_rest() {
    let mut s = idle(10);
    *s.fake.never_takes.lock().unwrap() = Some("INC-1".to_owned());
    s.outbox.show(&question("INC-1"));
    s.outbox.say("INC-1", "belongs behind its card");
    s.outbox.show(&card("INC-2", "opened"));
    assert_eq!(s.run(LONG).await, ["[INC-2] opened"]);
    // It waits on, and the line behind it too: it would make no sense before it.
    assert_eq!((s.counts().waiting, s.counts().dropped), (2, 0));
    *s.fake.never_takes.lock().unwrap() = None;
    assert_eq!(s.run(LONG).await, ["[INC-2] opened", "[INC-1] asks", "INC-1: belongs behind its card"]);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_never_taken_is_given_up() {
    let mut s = idle(10);
    *s.fake.never_takes.lock().unwrap() = Some("INC-1".to_owned());
    s.outbox.say("INC-1", "too long for the platform, say");
    s.run(LONG).await;
    assert_eq!((s.counts().waiting, s.counts().dropped), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn full_merges_lines_and_drops_updates_but_no_question_and_no_outcome() {
    let mut s = idle(4);
    s.outbox.show(&question("INC-1"));
    s.outbox.show(&card("INC-2", "update"));
    s.outbox.show(&outcome("INC-3"));
    for n in 0..100 {
        s.outbox.say("INC-1", &format!("line {n}"));
    }
    s.outbox.show(&question("INC-4"));
    s.outbox.show(&outcome("INC-5"));
    assert_eq!(s.counts().waiting, 4);
    let took = s.run(LONG).await;
    assert_eq!(took[0..2], ["[INC-1] asks", "[INC-3] settled"]);
    assert_eq!(took[2..], ["[INC-4] asks", "[INC-5] settled"]);
    // The update, and the hundred lines that had become one.
    assert_eq!(s.counts().dropped, 2);
}

#[tokio::test(start_paused = true)]
async fn merged_lines_keep_their_order_and_their_bound() {
    let mut s = idle(2);
    for n in 0..5000 {
        s.outbox.say("INC-1", &format!("line {n}"));
    }
    let took = s.run(LONG).await.join("\n");
    assert!(took.contains("line 0\nline 1\n") && took.ends_with("line 4999"), "{took}");
    assert!(took.contains("lines left out here") && took.chars().count() < 9000);
}

#[tokio::test(start_paused = true)]
async fn questions_and_outcomes_may_exceed_the_capacity() {
    let mut s = idle(2);
    for n in 0..10 {
        s.outbox.show(&question(&format!("INC-{n}")));
    }
    assert_eq!(s.run(LONG).await.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn flush_waits_for_all_and_cuts_pauses_short() {
    let mut s = idle(10);
    s.fake.failures.lock().unwrap().extend(["away"; 4]);
    s.outbox.show(&outcome("INC-1"));
    let (outbox, worker) = (s.outbox.clone(), s.worker.take().unwrap());
    let began = Instant::now();
    let done = tokio::select! {
        () = worker.run() => false,
        done = outbox.flush(Duration::from_secs(5)) => done,
    };
    assert!(done && began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(s.fake.took(), ["[INC-1] settled"]);
}

#[tokio::test(start_paused = true)]
async fn flush_gives_up_when_its_time_is_over() {
    let mut s = idle(10);
    *s.fake.never_takes.lock().unwrap() = Some("INC-1".to_owned());
    s.outbox.show(&outcome("INC-1"));
    let (outbox, worker) = (s.outbox.clone(), s.worker.take().unwrap());
    let done = tokio::select! {
        () = worker.run() => true,
        done = outbox.flush(Duration::from_secs(3)) => done,
    };
    assert!(!done);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_started_again_goes_on_with_what_was_in_hand() {
    let mut s = idle(10);
    *s.fake.hangs.lock().unwrap() = 2;
    s.outbox.show(&question("INC-1"));
    assert_eq!(s.run(Duration::from_secs(1)).await, [""; 0]);
    assert_eq!(s.counts().waiting, 1);
    assert_eq!(s.run(LONG).await, ["[INC-1] asks"]);
}

#[tokio::test(start_paused = true)]
async fn answers_go_where_the_question_came_from() {
    let s = idle(10);
    assert!(s.outbox.show_on("fake", &card("", "status")));
    assert!(s.outbox.say_on("fake", "", "done"));
    assert!(!s.outbox.show_on("nowhere", &card("", "status")));
    assert_eq!(s.counts().waiting, 2);
}

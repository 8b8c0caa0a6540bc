//! Socket Mode: Slack delivers over connections that we open, so that nothing has to be reachable from outside.
//!
//! slack-morphism speaks the protocol; when to connect is decided here. Its own client tries again every thirty seconds
//! without a word, keeps trying after it was told to stop, and spawns tasks that nobody joins. So each connection gets
//! a small runtime of its own, which makes one attempt, and all of its tasks end with that runtime. Frames cross over
//! to the daemon's own runtime and are answered there.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use slack_morphism::SlackClient;
use slack_morphism::clients_manager::SlackSocketModeClientsManagerFactory as _;
use slack_morphism::listener::SlackClientEventsListenerEnvironment;
use slack_morphism::socket_mode::clients_manager::SlackSocketModeClientsManager;
use slack_morphism::{SlackClientSocketModeConfig, SlackSocketModeClientListener};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::Inner;
use super::errors::PLATFORM;
use super::events::Kind;
use super::intake::{Ack, Intake};
use crate::chat::ChatError;

/// From the start of an attempt to Slack's hello.
const HELLO_WITHIN: Duration = Duration::from_secs(15);
/// A connection that lasted so long was a good one: the next is tried at once.
const GOOD_AFTER: Duration = Duration::from_secs(10);
/// First and longest pause between attempts.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The library's own second attempt: never, since its runtime is gone by then.
const NEVER_SECONDS: u64 = 365 * 24 * 3600;
/// A ping this often; after three without an answer the connection is taken for dead.
const PING_SECONDS: u64 = 10;

/// Something from a connection.
enum Frame {
    /// A text frame, and where its answer goes.
    Text(String, oneshot::Sender<Option<String>>),
    /// The connection is over.
    Closed,
}

/// Keeps two connections: while Slack renews one, the other delivers.
pub(super) async fn listen(slack: Arc<Inner>, intake: Arc<Intake>) -> Result<(), ChatError> {
    let slot = |name: &'static str| keep_connected(name, Arc::clone(&slack), Arc::clone(&intake));
    tokio::try_join!(slot("first"), slot("second")).map(|_| ())
}

async fn keep_connected(slot: &'static str, slack: Arc<Inner>, intake: Arc<Intake>) -> Result<(), ChatError> {
    let mut pause = Pause::default();
    // Kept until its successor is there: what it took may still have to be acknowledged.
    let mut former: Option<Connection> = None;
    loop {
        let mut connection = Connection::open(&slack)?;
        let greeted = timeout(HELLO_WITHIN, connection.hello(&intake)).await;
        drop(former.take());
        if matches!(greeted, Ok(true)) {
            tracing::info!(connection = slot, "Connected to Slack.");
            let since = Instant::now();
            let end = connection.serve(&intake).await;
            tracing::info!(
                connection = slot,
                reason = end.as_deref().unwrap_or("closed"),
                "A connection to Slack ended."
            );
            if since.elapsed() >= GOOD_AFTER {
                pause = Pause::default();
                if end.is_some() {
                    former = Some(connection);
                }
                continue;
            }
        } else {
            why_not(slot, &slack).await?;
        }
        drop(connection);
        sleep(pause.next()).await;
    }
}

/// The library does not say why there is no connection; Slack does.
async fn why_not(slot: &str, slack: &Inner) -> Result<(), ChatError> {
    match slack.api.try_app_token().await {
        Ok(()) => {
            tracing::warn!(
                connection = slot,
                "Slack gives an address for Socket Mode, but no connection to it came about; does a proxy or a \
                 firewall stop wss?"
            );
            Ok(())
        }
        Err(error) if error.hopeless() => Err(ChatError::hopeless(PLATFORM, format!("app token: {}", error.words()))),
        Err(error) => {
            tracing::warn!(connection = slot, error = error.words(), "No connection to Slack; tried again soon.");
            Ok(())
        }
    }
}

/// The pause before the next attempt: doubled each time, with jitter so that many daemons do not come back as one.
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(PAUSES.0)
    }
}

impl Pause {
    fn next(&mut self) -> Duration {
        let whole = self.0;
        self.0 = (whole * 2).min(PAUSES.1);
        whole.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

/// One connection, in a runtime that ends with it.
struct Connection {
    runtime: Option<Runtime>,
    frames: mpsc::Receiver<Frame>,
}

impl Connection {
    fn open(slack: &Inner) -> Result<Self, ChatError> {
        let token = slack.api.app_token().cloned();
        let token = token.ok_or_else(|| ChatError::hopeless(PLATFORM, "Socket Mode needs app_token"))?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("slack-socket")
            .enable_all()
            .build()
            .map_err(|e| ChatError::new(PLATFORM, format!("no thread for a connection: {e}")))?;
        // full: the library waits, and reads no further.
        let (send, frames) = mpsc::channel(8);
        let connector = slack.api.separate_client();
        runtime.spawn(async move {
            let client = Arc::new(SlackClient::new(connector));
            let environment = Arc::new(SlackClientEventsListenerEnvironment::new(Arc::clone(&client)));
            let manager = client.http_api.connector.new_clients_manager(environment);
            let config = SlackClientSocketModeConfig::new()
                .with_max_connections_count(1)
                .with_reconnect_timeout_in_seconds(NEVER_SECONDS)
                .with_ping_interval_in_seconds(PING_SECONDS)
                .with_ping_failure_threshold_times(3);
            run(manager, &config, token, send).await;
        });
        Ok(Self { runtime: Some(runtime), frames })
    }

    /// True at Slack's hello; false when the connection is over before.
    async fn hello(&mut self, intake: &Intake) -> bool {
        while let Some(frame) = self.frames.recv().await {
            match frame {
                Frame::Text(text, answer) => {
                    let heard = hear(&text, intake).await;
                    let hello = matches!(heard, Heard::Hello);
                    let _ = answer.send(heard.ack());
                    if hello {
                        return true;
                    }
                }
                Frame::Closed => return false,
            }
        }
        false
    }

    /// Until the connection is over. With Slack's reason when Slack said so before.
    async fn serve(&mut self, intake: &Intake) -> Option<String> {
        while let Some(frame) = self.frames.recv().await {
            match frame {
                Frame::Text(text, answer) => {
                    let heard = hear(&text, intake).await;
                    if let Heard::Disconnect(reason) = &heard {
                        return Some(reason.clone());
                    }
                    let _ = answer.send(heard.ack());
                }
                Frame::Closed => return None,
            }
        }
        None
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn run(
    manager: Arc<dyn SlackSocketModeClientsManager + Send + Sync>,
    config: &SlackClientSocketModeConfig,
    token: slack_morphism::SlackApiToken,
    frames: mpsc::Sender<Frame>,
) {
    let ears = Arc::new(Ears { frames });
    if let Err(error) = manager.register_new_token(config, token, ears).await {
        tracing::error!(%error, "Socket Mode could not be started.");
        return;
    }
    manager.start().await;
    // The manager owns the connection; the runtime's end is the end of both.
    std::future::pending::<()>().await;
}

/// The library's side of a connection: carries frames over, and decides nothing.
struct Ears {
    frames: mpsc::Sender<Frame>,
}

#[async_trait]
impl SlackSocketModeClientListener for Ears {
    async fn on_message(
        &self,
        _: &slack_morphism::socket_mode::SlackSocketModeWssClientId,
        body: String,
    ) -> Option<String> {
        let (answer, answered) = oneshot::channel();
        self.frames.send(Frame::Text(body, answer)).await.ok()?;
        answered.await.ok().flatten()
    }

    async fn on_error(&self, error: Box<dyn std::error::Error + Send + Sync + 'static>) {
        tracing::warn!(%error, "A connection to Slack has an error.");
    }

    async fn on_disconnect(&self, _: &slack_morphism::socket_mode::SlackSocketModeWssClientId) {
        let _ = self.frames.send(Frame::Closed).await;
    }
}

/// What a frame was.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    Hello,
    /// Slack is about to close the connection, and why.
    Disconnect(String),
    /// An envelope, and what is sent back for it.
    Envelope(String),
    /// Nothing that is answered.
    Nothing,
}

impl Heard {
    fn ack(self) -> Option<String> {
        match self {
            Self::Envelope(ack) => Some(ack),
            _ => None,
        }
    }
}

/// Takes one frame.
pub(super) async fn hear(text: &str, intake: &Intake) -> Heard {
    let envelope: Value = match serde_json::from_str(text) {
        Ok(envelope) => envelope,
        Err(error) => {
            intake.unreadable(&error.to_string());
            return Heard::Nothing;
        }
    };
    let part = |name: &str| envelope.get(name).and_then(Value::as_str);
    let kind = match part("type") {
        Some("hello") => return Heard::Hello,
        Some("disconnect") => return Heard::Disconnect(part("reason").unwrap_or("no reason").to_owned()),
        Some("events_api") => Some(Kind::Event),
        Some("slash_commands") => Some(Kind::Command),
        Some("interactive") => Some(Kind::Interaction),
        _ => None,
    };
    let Some(id) = part("envelope_id") else {
        intake.unreadable("an envelope without an id");
        return Heard::Nothing;
    };
    let payload = envelope.get("payload").unwrap_or(&Value::Null);
    let ack = match kind {
        Some(kind) => intake.hear(kind, payload).await,
        // A kind that this version does not know. Redelivered it would be no better understood.
        None => intake.hear(Kind::Event, payload).await,
    };
    Heard::Envelope(acknowledged(id, &ack, envelope.get("accepts_response_payload") == Some(&Value::Bool(true))))
}

fn acknowledged(id: &str, ack: &Ack, may_answer: bool) -> String {
    match ack.payload() {
        Some(payload) if may_answer => json!({"envelope_id": id, "payload": payload}).to_string(),
        Some(payload) => {
            tracing::error!(%payload, "Slack takes no answer to this; nobody was told.");
            json!({"envelope_id": id}).to_string()
        }
        None => json!({"envelope_id": id}).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let mut pause = Pause::default();
        let mut whole = 1.0;
        for _ in 0..12 {
            let next = pause.next().as_secs_f64();
            assert!((whole / 2.0..=whole).contains(&next), "{next} of {whole}");
            whole = f64::min(whole * 2.0, 60.0);
        }
    }

    #[test]
    fn an_answer_goes_only_where_slack_takes_one() {
        let words = Ack::Words("no".to_owned());
        assert!(acknowledged("e1", &words, true).contains("ephemeral"));
        assert_eq!(acknowledged("e1", &words, false), r#"{"envelope_id":"e1"}"#);
        assert_eq!(acknowledged("e1", &Ack::Plain, true), r#"{"envelope_id":"e1"}"#);
    }
}

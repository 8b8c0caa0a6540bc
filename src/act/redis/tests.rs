//! The actions against a server that hangs up, falls silent and lies where a real one rarely does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::*;
use crate::act::TtlUnit;

/// What the server does when a command comes.
enum Answer {
    Says(String),
    Silence,
    HangsUp,
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn list(parts: &[String]) -> String {
    format!("*{}\r\n{}", parts.len(), parts.concat())
}

fn scanned(next: u64, keys: &[&str]) -> Answer {
    Answer::Says(list(&[bulk(&next.to_string()), list(&keys.iter().map(|key| bulk(key)).collect::<Vec<_>>())]))
}

type Heard = Arc<Mutex<Vec<String>>>;

/// A server that answers as told, and sensibly where it is not told anything.
async fn server(answer: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static) -> (RedisActuator, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let heard = Heard::default();
    let told = heard.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            while let Some(command) = command(&mut stream).await {
                told.lock().unwrap().push(command.clone());
                let usual = || match command.split(' ').next().unwrap() {
                    "INFO" => bulk("role:master\r\n"),
                    "GET" => bulk("5"),
                    "CONFIG" if command.starts_with("CONFIG GET") => list(&[bulk("maxmemory-samples"), bulk("5")]),
                    "SET" | "DEL" => "+QUEUED\r\n".to_owned(),
                    _ => "+OK\r\n".to_owned(),
                };
                let says = match answer(&command) {
                    None => usual(),
                    Some(Answer::Says(text)) => text,
                    Some(Answer::Silence) => continue,
                    Some(Answer::HangsUp) => break,
                };
                if stream.write_all(says.as_bytes()).await.is_err() {
                    break;
                }
            }
        }
    });
    let settings = RedisSettings {
        name: "redis:cache".parse().unwrap(),
        url,
        username: None,
        password: None,
        ca: None,
        ttl_key: Some("ttl".to_owned()),
        ttl_unit: TtlUnit::Seconds,
        timeout: Duration::from_millis(300),
    };
    (RedisActuator::new(vec![settings]), heard)
}

/// One command, its words with blanks between.
async fn command(stream: &mut BufReader<tokio::net::TcpStream>) -> Option<String> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|n| *n > 0)?;
    let mut words = Vec::new();
    for _ in 0..line.trim().strip_prefix('*')?.parse::<usize>().ok()? {
        line.clear();
        stream.read_line(&mut line).await.ok()?;
        let mut word = vec![0; line.trim().strip_prefix('$')?.parse::<usize>().ok()? + 2];
        stream.read_exact(&mut word).await.ok()?;
        words.push(String::from_utf8_lossy(&word).trim_end().to_owned());
    }
    Some(words.join(" "))
}

fn samples() -> Action {
    Action::Configure {
        target: "redis:cache".parse().unwrap(),
        setting: "maxmemory-samples".to_owned(),
        value: "9".to_owned(),
    }
}

fn flush() -> Action {
    Action::Flush { target: "redis:cache".parse().unwrap(), prefix: "page:".to_owned() }
}

async fn apply(actuator: &RedisActuator, action: &Action, before: Facet) -> Result<String, ActError> {
    actuator.apply(action, &before, "key", &Progress::unheard()).await
}

fn five() -> Facet {
    Facet::Setting("5".to_owned())
}

#[tokio::test]
async fn silence_and_a_hang_up_after_the_change_was_sent_leave_it_open() {
    let (actuator, heard) = server(|c| c.starts_with("CONFIG SET").then_some(Answer::Silence)).await;
    assert!(matches!(apply(&actuator, &samples(), five()).await, Err(ActError::TimedOut(_))));
    assert_eq!(heard.lock().unwrap().iter().filter(|c| c.starts_with("CONFIG SET")).count(), 1);

    let (actuator, heard) = server(|c| c.starts_with("CONFIG SET").then_some(Answer::HangsUp)).await;
    assert!(matches!(apply(&actuator, &samples(), five()).await, Err(ActError::OutcomeUnknown(..))));
    assert_eq!(heard.lock().unwrap().iter().filter(|c| c.starts_with("CONFIG SET")).count(), 1);
}

#[tokio::test]
async fn a_change_that_is_not_seen_afterwards_is_no_success() {
    // It says OK and goes on saying 5.
    let (actuator, _) = server(|_| None).await;
    let error = apply(&actuator, &samples(), five()).await.unwrap_err();
    assert!(matches!(&error, ActError::OutcomeUnknown(_, why) if why.contains("it is 5 now")), "{error}");
}

#[tokio::test]
async fn trouble_before_the_change_means_that_nothing_happened() {
    for twist in [|| Answer::Silence, || Answer::HangsUp, || Answer::Says("-LOADING wait\r\n".to_owned())] {
        let (actuator, heard) = server(move |c| c.starts_with("INFO").then(twist)).await;
        let error = apply(&actuator, &samples(), five()).await.unwrap_err();
        assert!(matches!(error, ActError::Unavailable(..) | ActError::TimedOut(_)), "{error}");
        assert!(!heard.lock().unwrap().iter().any(|c| c.starts_with("CONFIG SET")));
    }
}

#[tokio::test]
async fn a_key_that_is_written_in_between_is_a_conflict() {
    let (actuator, heard) = server(|c| (c == "EXEC").then(|| Answer::Says("*-1\r\n".to_owned()))).await;
    let action = Action::Cache { target: "redis:cache".parse().unwrap(), ttl_ms: 9000 };
    let error = apply(&actuator, &action, Facet::CacheTtlMs(5000)).await.unwrap_err();
    assert!(matches!(error, ActError::Conflict { .. }), "{error}");
    let heard = heard.lock().unwrap().join("; ");
    assert!(heard.contains("WATCH ttl; GET ttl; MULTI; SET ttl 9 KEEPTTL; EXEC"), "{heard}");
}

#[tokio::test]
async fn keys_that_do_not_begin_with_the_prefix_are_never_thrown_away() {
    let (actuator, heard) = server(|c| match c {
        c if c.starts_with("SCAN 0") => Some(scanned(7, &["other:1", "page:1"])),
        c if c.starts_with("SCAN 7") => Some(scanned(0, &["page", "ttl"])),
        c if c.starts_with("UNLINK") => Some(Answer::Says(":1\r\n".to_owned())),
        _ => None,
    })
    .await;
    assert_eq!(
        apply(&actuator, &flush(), Facet::Flushed(false)).await.unwrap(),
        "threw away 1 entry (kept ttl, the lifetime of answers)"
    );
    let heard = heard.lock().unwrap();
    let unlinked: Vec<&String> = heard.iter().filter(|c| c.starts_with("UNLINK")).collect();
    assert_eq!(unlinked, ["UNLINK page:1"]);
}

#[tokio::test]
async fn a_flush_that_breaks_off_says_how_far_it_came() {
    let (actuator, _) = server(|c| match c {
        c if c.starts_with("SCAN 0") => Some(scanned(7, &["page:1", "page:2"])),
        c if c.starts_with("SCAN 7") => Some(scanned(0, &["page:3"])),
        "UNLINK page:1 page:2" => Some(Answer::Says(":2\r\n".to_owned())),
        c if c.starts_with("UNLINK") => Some(Answer::Says("-NOPERM No permissions to access a key\r\n".to_owned())),
        _ => None,
    })
    .await;
    let error = apply(&actuator, &flush(), Facet::Flushed(false)).await.unwrap_err();
    assert!(matches!(&error, ActError::OutcomeUnknown(_, why) if why.starts_with("2 entries thrown away")), "{error}");
}

#[tokio::test]
async fn a_reply_without_end_is_cut_off() {
    let (actuator, _) =
        server(|c| c.starts_with("INFO").then(|| Answer::Says(bulk(&"x".repeat(17 * 1024 * 1024))))).await;
    let error = actuator.observe(&"redis:cache".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, ActError::Unavailable(..) | ActError::TimedOut(_)), "{error}");
}

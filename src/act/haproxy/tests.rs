//! The actions against a runtime API that refuses, hangs up and falls silent where a real one rarely does.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::act::{Actuator as _, HaproxySettings};

/// How one `set weight` is answered; the others succeed.
#[derive(Clone, Copy, PartialEq)]
enum Twist {
    None,
    Refuses,
    Silent,
    HangsUp,
    /// Refuses from then on, putting back included.
    Dead,
}

/// A runtime API with servers a, b and c, whose `nth` change goes another way.
async fn fake(nth: usize, twist: Twist) -> (crate::act::haproxy::HaproxyActuator, Arc<Mutex<BTreeMap<String, u32>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let weights = Arc::new(Mutex::new(BTreeMap::from(["a", "b", "c"].map(|name| (name.to_owned(), 100)))));
    let shared = weights.clone();
    tokio::spawn(async move {
        let mut changes = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 256];
            let read = stream.read(&mut buffer).await.unwrap();
            let command = String::from_utf8_lossy(&buffer[..read]).trim().to_owned();
            let reply = if command.starts_with("set weight") {
                let (now, words) = (changes, command.split(' ').collect::<Vec<_>>());
                changes += 1;
                let set = || {
                    let server = words[2].split_once('/').unwrap().1.to_owned();
                    shared.lock().unwrap().insert(server, words[3].parse().unwrap());
                };
                match twist {
                    Twist::Refuses if now == nth => "Permission denied\n\n".to_owned(),
                    Twist::Dead if now >= nth => "Permission denied\n\n".to_owned(),
                    Twist::Silent if now == nth => {
                        set();
                        tokio::spawn(async move {
                            let _stream = stream;
                            std::future::pending::<()>().await;
                        });
                        continue;
                    }
                    Twist::HangsUp if now == nth => continue,
                    _ => {
                        set();
                        "\n".to_owned()
                    }
                }
            } else {
                let mut text = "1\n# be_name srv_name srv_op_state srv_admin_state srv_uweight\n".to_owned();
                for (name, weight) in &*shared.lock().unwrap() {
                    text.push_str(&format!("shop {name} 2 0 {weight}\n"));
                }
                text
            };
            let _ = stream.write_all(reply.as_bytes()).await;
        }
    });
    let settings = HaproxySettings {
        name: "haproxy:shop".parse().unwrap(),
        socket: None,
        address: Some(address),
        timeout: Duration::from_millis(300),
        drain_within: Duration::from_millis(300),
    };
    (crate::act::haproxy::HaproxyActuator::new(vec![settings]), weights)
}

fn of(weights: [(&str, u32); 3]) -> BTreeMap<String, u32> {
    weights.map(|(name, weight)| (name.to_owned(), weight)).into()
}

const WAS: [(&str, u32); 3] = [("a", 100), ("b", 100), ("c", 100)];
const WANTED: [(&str, u32); 3] = [("a", 10), ("b", 20), ("c", 30)];

async fn shift(nth: usize, twist: Twist) -> (Result<String, ActError>, BTreeMap<String, u32>) {
    let (actuator, weights) = fake(nth, twist).await;
    let action = Action::Shift { target: "haproxy:shop".parse().unwrap(), weights: of(WANTED) };
    let told = actuator.apply(&action, &Facet::Weights(of(WAS)), "key", &Progress::unheard()).await;
    let now = weights.lock().unwrap().clone();
    (told, now)
}

#[tokio::test]
async fn all_weights_are_changed() {
    let (told, now) = shift(9, Twist::None).await;
    assert_eq!(
        (told.unwrap().as_str(), now),
        ("traffic now goes a=10 b=20 c=30 (until HAProxy is reloaded)", of(WANTED))
    );
}

#[tokio::test]
async fn a_refusal_in_the_middle_puts_back_what_was_done() {
    let (told, now) = shift(2, Twist::Refuses).await;
    assert!(matches!(told, Err(ActError::Denied(_))), "{told:?}");
    assert_eq!(now, of(WAS));
}

#[tokio::test]
async fn silence_in_the_middle_puts_back_that_one_too() {
    let (told, now) = shift(1, Twist::Silent).await;
    assert!(matches!(&told, Err(ActError::Unavailable(_, why)) if why.contains("put back")), "{told:?}");
    assert_eq!(now, of(WAS));
}

#[tokio::test]
async fn a_connection_that_breaks_is_no_success() {
    let (told, now) = shift(0, Twist::HangsUp).await;
    assert!(matches!(told, Err(ActError::Unavailable(..))), "{told:?}");
    assert_eq!(now, of(WAS));
}

#[tokio::test]
async fn what_cannot_be_put_back_is_said() {
    let (told, now) = shift(1, Twist::Dead).await;
    assert!(matches!(&told, Err(ActError::OutcomeUnknown(_, why)) if why.contains("failed for a")), "{told:?}");
    assert_eq!(now, of([("a", 10), ("b", 100), ("c", 100)]));
}

#[tokio::test]
async fn weights_above_haproxys_own_are_not_sent() {
    let (actuator, weights) = fake(0, Twist::None).await;
    let target = "haproxy:shop".parse().unwrap();
    let action = Action::Shift { target, weights: of([("a", 300), ("b", 1), ("c", 1)]) };
    let told = actuator.apply(&action, &Facet::Weights(of(WAS)), "key", &Progress::unheard()).await;
    assert!(matches!(&told, Err(ActError::Unsupported(why)) if why.contains("0 to 256")), "{told:?}");
    assert_eq!(*weights.lock().unwrap(), of(WAS));
}

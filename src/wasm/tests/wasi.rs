//! The empty system: what is looked for is not there, what is asked of it has no end in real time, and everything is the
//! same the next time. The fixtures are in tests/fixtures/hostile.

use super::hostile::{component, load, load_error, run, run_with};
use super::*;

/// A fixture whose loop goes round this often.
async fn run_times(name: &str, times: u32) -> Ran<String> {
    let once = |wat: String| {
        wat.replace(
            "(global $times (mut i32) (i32.const 0))",
            &format!("(global $times (mut i32) (i32.const {times}))"),
        )
    };
    let playbook = host().load_playbook(name, component(name, once)).await.unwrap();
    let world = Box::new(FakeWorld::of(shop_of(2)));
    playbook.remediate(incident(shop_of(2)), &Args::new(), world, Limits::default().wall).await
}

/// What `looks-around` sees in this incident.
async fn seen(view: IncidentView) -> (Vec<u64>, Ran<String>) {
    let playbook = load("looks-around").await.unwrap();
    let world = Box::new(FakeWorld::of(shop_of(2)));
    let ran = playbook.remediate(view, &Args::new(), world, Limits::default().wall).await;
    let words = ran.result.clone().unwrap();
    (words.split_whitespace().map(|n| u64::from_str_radix(n, 16).unwrap()).collect(), ran)
}

#[tokio::test]
async fn there_is_nothing_to_see() {
    let view = IncidentView { since: Timestamp(1_700_000_000_123), ..incident(shop_of(2)) };
    let (seen, ran) = seen(view).await;
    assert_eq!(seen[..4], [0, 0, 0, 1], "variables, arguments, working folder; the input is at its end");
    assert_eq!(seen[4..6], [1_700_000_000, 123_000_000], "the time is that of the incident");
    assert_eq!(seen[6..8], [1_000_000, 2_000_000], "the clock passes by being looked at");
    assert!(ran.calls.is_empty() && ran.log.is_empty());
}

#[tokio::test]
async fn the_same_incident_looks_the_same_and_another_does_not() {
    let (first, ran) = seen(incident(shop_of(2))).await;
    let (second, again) = seen(incident(shop_of(2))).await;
    assert_eq!((&first, ran.fuel), (&second, again.fuel));
    let (other, _) = seen(incident(shop_of(3))).await;
    assert_eq!(first[..8], other[..8]);
    assert!((8..11).all(|i| first[i] != other[i]), "{first:?} {other:?}");
    assert!(first[8] != first[9] && first[9] != first[10]);
}

#[tokio::test]
async fn a_time_before_1970_is_1970() {
    let view = IncidentView { since: Timestamp(-5), ..incident(shop_of(2)) };
    assert_eq!(seen(view).await.0[4..6], [0, 0]);
}

#[tokio::test]
async fn imports_of_it_are_said_in_words() {
    let looks = load("looks-around").await.unwrap();
    assert!(looks.imports().iter().any(|i| i == "wasi:random/insecure-seed@0.2.6"), "{:?}", looks.imports());
    assert_eq!(
        looks.wasi_stubbed(),
        [
            "no arguments, environment or input; what it prints becomes log lines",
            "a clock that stands at the beginning of the incident",
            "streams that lead to the log",
            "random numbers that are the same in every run of an incident",
        ]
    );
    assert!(looks.wants().is_empty());
    assert!(load("harmless").await.unwrap().wasi_stubbed().is_empty());
}

#[tokio::test]
async fn files_are_not_there() {
    let error = run("wants-files").await.result.unwrap_err();
    assert_eq!(error.to_string(), "crashed: unknown handle index 3");
}

#[tokio::test]
async fn what_leads_out_of_the_machine_is_not_loaded() {
    let network = load_error("wants-a-network").await;
    assert!(
        network.starts_with("wants-a-network imports `wasi:sockets/tcp@0.2.6`, which would lead to a network"),
        "{network}"
    );
    for (import, why) in [
        ("wasi:http/outgoing-handler@0.2.6", "would lead to a network"),
        ("wasi:clocks/timezone@0.2.6", "is a part of WASI that this host does not stand in for"),
        ("wasi:keyvalue/store@0.2.6", "is a part of WASI that this host does not stand in for"),
        ("wasi:cli/environment@0.3.0", "this host stands in for in version 0.2"),
        ("wasi:cli/environment", "this host stands in for in version 0.2"),
    ] {
        let asking = component("wants-a-network", |wat| wat.replace("wasi:sockets/tcp@0.2.6", import));
        let error = host().load_playbook("asking", asking).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("asking imports `{import}`, which {why}")), "{error}");
    }
}

#[tokio::test]
async fn sleeping_takes_no_time() {
    // A month of it, within a deadline of ten seconds.
    assert_eq!(run_times("sleeps", 24 * 30).await.result, Ok(String::new()));
}

#[tokio::test]
async fn sleeping_for_ever_ends_by_its_calls_and_not_by_the_clock() {
    for name in ["sleeps", "floods-the-system", "prints"] {
        let ran = run(name).await;
        assert_eq!(ran.result, Err(RunError::TooManyHostCalls { limit: 20_000 }), "{name}");
        assert!(ran.fault().is_some(), "{name}");
    }
}

#[tokio::test]
async fn the_earlier_of_two_deadlines_comes_first() {
    assert_eq!(run("waits-for-two").await.result, Ok(String::new()));
}

#[tokio::test]
async fn prints_are_lines_of_the_log() {
    let ran = run_times("prints", 1).await;
    assert_eq!(ran.result, Ok(String::new()));
    let line = |level, message: &str| crate::model::LogLine { level, message: message.to_owned() };
    use crate::model::LogLevel::{Info, Warn};
    assert_eq!(ran.log[..2], [line(Info, "first line"), line(Info, "second line")]);
    assert_eq!(ran.log[2..4], [line(Warn, "first line"), line(Warn, "second line")]);
    assert!(ran.log.iter().all(|line| !line.message.chars().any(char::is_control)));
}

#[tokio::test]
async fn a_flood_of_prints_stays_within_the_log_of_a_run() {
    let ran = run_times("prints", 4_000).await;
    assert_eq!(ran.result, Ok(String::new()));
    let bytes: usize = ran.log.iter().map(|line| line.message.len()).sum();
    assert!(bytes <= Limits::default().log_bytes && ran.log.len() <= 256, "{bytes} bytes, {} lines", ran.log.len());
    assert!(ran.log_dropped > 15_000, "{}", ran.log_dropped);
}

#[tokio::test]
async fn ending_itself_is_no_answer() {
    let error = run("exits").await.result.unwrap_err();
    assert_eq!(error.to_string(), "crashed: it ended itself with exit status 0 instead of giving an answer");
    assert!(error.is_fault());
}

#[tokio::test]
async fn hoarding_of_handles_and_of_chance_ends_at_the_limit() {
    let handles = run("hoards-handles").await.result.unwrap_err();
    assert_eq!(handles.to_string(), "crashed: resource table has no free keys");
    let chance = run("hoards-chance").await.result.unwrap_err();
    assert_eq!(chance.to_string(), "crashed: 1099511627776 random bytes at once; at most 65536 are given");
}

#[tokio::test]
async fn fuel_bounds_it_as_well() {
    let limits = Limits { fuel: 10_000, ..Limits::default() };
    assert_eq!(run_with("sleeps", limits).await.result, Err(RunError::OutOfFuel { limit: 10_000 }));
}

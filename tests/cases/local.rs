//! The `local:` target with real processes: actions, balancer, and that nothing is ever left behind.

use std::time::Duration;

use rustix::process::Signal;
use suture::act::local::{LocalActuator, LocalProcess, Timeouts};
use suture::act::{ActError, Actuator, LocalSettings, Progress};
use suture::model::{Action, Facet};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use super::local_bench::*;

#[tokio::test]
async fn scaling_up_waits_for_the_new_ones_and_scaling_down_takes_the_last() {
    let bench = Bench::start(&shop_settings(2)).await;
    bench.act(scale(4), "up").await.unwrap();
    let state = bench.state().await;
    let names: Vec<_> = state.instances.iter().map(|i| i.name.as_str()).collect();
    assert_eq!((state.replicas, state.serving()), (4, 4));
    assert_eq!(names, ["shop-1", "shop-2", "shop-3", "shop-4"]);
    assert_eq!(bench.who_answers(4).await.len(), 4);

    let before = bench.report().await;
    bench.act(scale(1), "down").await.unwrap();
    let after = bench.report().await;
    assert_eq!((after.state.replicas, after.state.instances.len()), (1, 1));
    assert_eq!(after.workers[0].pid, before.workers[0].pid);
    assert!(before.workers[1..].iter().all(|w| !lives(w.pid.unwrap())));
}

#[tokio::test]
async fn a_restart_keeps_the_name_and_loses_the_memory() {
    let bench = Bench::start(&shop_settings(2)).await;
    let cache = Action::Cache { target: target(), ttl_ms: 7000 };
    bench.act(cache, "cache").await.unwrap();
    bench.ask_worker("shop-2", "PUT", "/fault", r#"{"fault":"errors"}"#).await;
    let before = bench.report().await;
    bench.act(restart("shop-2"), "again").await.unwrap();
    let after = bench.report().await;
    assert_eq!(after.state.instance("shop-2").unwrap().generation, 1);
    assert_eq!(after.state.instance("shop-1").unwrap().generation, 0);
    assert!(after.state.instance("shop-2").unwrap().up);
    assert_ne!(after.workers[1].pid, before.workers[1].pid);
    assert!(!lives(before.workers[1].pid.unwrap()));
    // No request fails any more; and what was set for the whole target is known to the new process.
    assert_eq!(bench.who_answers(20).await["shop-2"], 10);
    assert_eq!(bench.ask_worker("shop-2", "GET", "/cache", "").await.1, r#"{"ttl_ms":7000}"#);
}

#[tokio::test]
async fn the_cache_lifetime_reaches_all_workers_and_those_to_come() {
    let bench = Bench::start(&shop_settings(1)).await;
    assert_eq!(bench.state().await.cache_ttl_ms, Some(1000));
    bench.act(Action::Cache { target: target(), ttl_ms: 30_000 }, "cache").await.unwrap();
    bench.act(scale(2), "up").await.unwrap();
    assert_eq!(bench.state().await.cache_ttl_ms, Some(30_000));
    for name in ["shop-1", "shop-2"] {
        assert_eq!(bench.ask_worker(name, "GET", "/cache", "").await.1, r#"{"ttl_ms":30000}"#);
    }
}

#[tokio::test]
async fn isolating_stops_the_traffic_and_weights_shift_it() {
    let bench = Bench::start(&shop_settings(2)).await;
    bench.act(isolate("shop-1", true), "out").await.unwrap();
    assert_eq!(bench.who_answers(6).await, [("shop-2".to_owned(), 6)].into());
    bench.act(isolate("shop-1", false), "in").await.unwrap();
    let weights = [("shop-1".to_owned(), 300), ("shop-2".to_owned(), 100)].into();
    bench.act(Action::Shift { target: target(), weights }, "shift").await.unwrap();
    assert_eq!(bench.who_answers(20).await, [("shop-1".to_owned(), 15), ("shop-2".to_owned(), 5)].into());

    bench.act(isolate("shop-1", true), "out-1").await.unwrap();
    bench.act(isolate("shop-2", true), "out-2").await.unwrap();
    let (status, body) = ask(bench.process.balancer, "GET", "/buy?item=1", "").await;
    assert_eq!((status, body.as_str()), (503, "no worker is serving\n"));
}

#[tokio::test]
async fn what_no_longer_holds_or_makes_no_sense_is_refused() {
    let bench = Bench::start(&shop_settings(1)).await;
    let refused = bench.actuator.apply(&scale(3), &Facet::Replicas(2), "key", &Progress::unheard()).await;
    let conflict = ActError::Conflict {
        subject: "local:shop workers".to_owned(),
        expected: "2".to_owned(),
        found: "1".to_owned(),
    };
    assert_eq!(refused, Err(conflict));
    let refused = bench.actuator.apply(&scale(9), &Facet::Replicas(1), "key", &Progress::unheard()).await;
    assert_eq!(refused, Err(ActError::Unsupported("local:shop allows 1 to 8 instances, not 9".to_owned())));
    let refused = bench.actuator.apply(&restart("shop-7"), &Facet::Generation(0), "key", &Progress::unheard()).await;
    assert_eq!(refused, Err(ActError::NotFound("local:shop/shop-7".to_owned())));
    assert_eq!(bench.state().await.replicas, 1);
}

#[tokio::test]
async fn the_same_key_is_done_once() {
    let bench = Bench::start(&shop_settings(2)).await;
    let before = Facet::Generation(0);
    let action = restart("shop-1");
    let unheard = Progress::unheard();
    let (first, second) = tokio::join!(
        bench.actuator.apply(&action, &before, "run-1/1", &unheard),
        bench.actuator.apply(&action, &before, "run-1/1", &unheard)
    );
    assert!(first.is_ok());
    assert_eq!(first, second);
    assert_eq!(bench.state().await.instance("shop-1").unwrap().generation, 1);
    // Another run that thinks it is still to be done is told.
    let other = bench.actuator.apply(&action, &before, "run-2/1", &Progress::unheard()).await;
    assert!(matches!(other, Err(ActError::Conflict { .. })), "{other:?}");
    // Done, and changed again by somebody: not done a second time.
    bench.act(isolate("shop-2", true), "run-3/1").await.unwrap();
    bench.act(isolate("shop-2", false), "run-4/1").await.unwrap();
    let late =
        bench.actuator.apply(&isolate("shop-2", true), &Facet::Isolated(false), "run-3/1", &Progress::unheard()).await;
    assert!(matches!(late, Err(ActError::Conflict { .. })), "{late:?}");
}

#[tokio::test]
async fn a_crashed_worker_shows_down_and_is_not_restarted() {
    // As a program has it that keeps its door secret: the balancer does not know the path.
    let bench = Bench::start(&LocalSettings { faults: None, ..shop_settings(2) }).await;
    // Through the balancer: the request that kills its worker is told so, and is not sent to the other one.
    let (status, _) = ask(bench.process.balancer, "PUT", "/fault", r#"{"fault":"crash"}"#).await;
    assert_eq!(status, 502);
    until("one down", async || bench.state().await.serving() == 1).await;
    assert_eq!(bench.who_answers(6).await.len(), 1);
    let report = bench.report().await;
    let dead = report.workers.iter().find(|w| w.pid.is_none()).unwrap();
    assert_eq!((report.state.replicas, report.traffic.failed), (2, 1));
    assert!(dead.status.contains("SIGABRT"), "{}", dead.status);
    // Scrapers are still told of it, so that its absence shows.
    let (_, pages) = ask(report.admin, "GET", "/sd", "").await;
    let pages: serde_json::Value = serde_json::from_str(&pages).unwrap();
    assert_eq!(pages.as_array().unwrap().len(), 2);
    assert_eq!(pages[1]["labels"]["instance"], "shop-2");

    bench.act(restart(&dead.name), "heal").await.unwrap();
    assert_eq!(bench.state().await.serving(), 2);
}

#[tokio::test]
async fn a_scale_up_that_does_not_get_ready_changes_nothing() {
    let mut settings = shop_settings(2);
    let worker = format!("exec {} sample-worker --port $1 --instance $2", program().display());
    let script = format!("if [ $2 = shop-3 ]; then echo no more room >&2; exit 7; fi; {worker}");
    settings.command = ["sh", "-c", &script, "sh", "{port}", "{instance}"].map(str::to_owned).to_vec();
    let bench = Bench::start(&settings).await;
    let refused = bench.act(scale(4), "up").await;
    let Err(ActError::Unavailable(subject, why)) = refused else { panic!("{refused:?}") };
    assert_eq!(subject, "local:shop workers");
    assert!(why.contains("shop-3 ended before it was ready (exit status: 7): no more room; see "), "{why}");
    let state = bench.state().await;
    assert_eq!((state.replicas, state.instances.len(), state.serving()), (2, 2, 2));
}

#[tokio::test]
async fn a_start_that_fails_once_is_tried_on_another_port_and_a_restart_that_fails_says_so() {
    let dir = TempDir::new().unwrap();
    let (once, broken) = (dir.path().join("once"), dir.path().join("broken"));
    let worker = format!("exec {} sample-worker --port $1 --instance $2", program().display());
    let script = format!(
        "if mkdir {}; then exit 3; fi; if [ -e {} ]; then exit 4; fi; {worker}",
        once.display(),
        broken.display()
    );
    let mut settings = shop_settings(1);
    settings.command = ["sh", "-c", &script, "sh", "{port}", "{instance}"].map(str::to_owned).to_vec();
    let bench = Bench::start(&settings).await;
    assert_eq!(bench.state().await.serving(), 1);

    std::fs::write(&broken, "").unwrap();
    let refused = bench.act(restart("shop-1"), "key").await;
    let Err(ActError::OutcomeUnknown(subject, why)) = refused else { panic!("{refused:?}") };
    assert_eq!(subject, "local:shop/shop-1");
    assert!(why.starts_with("shop-1 was restarted, but shop-1 ended before it was ready (exit status: 4)"), "{why}");
    let state = bench.state().await;
    assert_eq!((state.serving(), state.instances[0].generation), (0, 1));

    std::fs::remove_file(&broken).unwrap();
    bench.act(restart("shop-1"), "another").await.unwrap();
    assert_eq!(bench.state().await.serving(), 1);
}

#[tokio::test]
async fn a_command_that_does_not_start_says_so() {
    let mut settings = shop_settings(1);
    settings.command = vec!["/no/such/program".to_owned(), "{port}".to_owned()];
    let dir = TempDir::new().unwrap();
    let error = LocalProcess::spawn(&program(), &settings, dir.path(), true).await.unwrap_err().to_string();
    assert!(error.contains("cannot start /no/such/program"), "{error}");
    settings.command.pop();
    let error = LocalProcess::spawn(&program(), &settings, dir.path(), true).await.unwrap_err().to_string();
    assert!(error.contains("`command` must hand {port} to the program"), "{error}");
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused() {
    let bench = Bench::start(&shop_settings(1)).await;
    let mut stream = tokio::net::TcpStream::connect(bench.process.balancer).await.unwrap();
    let head = b"PUT /cache HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 99999999\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, head).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn workers_die_with_a_supervisor_that_is_killed() {
    let bench = Bench::start(&shop_settings(3)).await;
    let pids = bench.pids().await;
    kill(bench.report().await.pid, Signal::KILL);
    all_gone(&pids).await;
    let look = bench.actuator.observe(&target()).await;
    assert!(matches!(look, Err(ActError::Unavailable(..))), "{look:?}");
    // What the killed one left behind does not stop the next.
    let next = LocalProcess::spawn(&program(), &shop_settings(1), bench.dir.path(), true).await.unwrap();
    assert!(!next.adopted);
    next.stop().await.unwrap();
}

#[tokio::test]
async fn the_end_of_the_pipe_ends_everything_and_a_terminal_signal_nothing() {
    let bench = Bench::start(&shop_settings(2)).await;
    let pids = bench.pids().await;
    for pid in &pids {
        let group = rustix::process::Pid::from_raw(i32::try_from(*pid).unwrap());
        assert_eq!(rustix::process::getpgid(group).ok(), group, "a group of its own");
    }
    kill(bench.report().await.pid, Signal::INT);
    assert_eq!(bench.who_answers(4).await.len(), 2);
    // The handle holds the pipe, as the daemon would.
    drop(bench.process);
    all_gone(&pids).await;
}

#[tokio::test]
async fn a_target_that_outlives_its_daemon_is_found_again_as_it_was() {
    let dir = TempDir::new().unwrap();
    let settings = shop_settings(2);
    let first = LocalProcess::spawn(&program(), &settings, dir.path(), false).await.unwrap();
    let action = isolate("shop-2", true);
    let receipt = actuator_at(&first.socket).apply(&action, &Facet::Isolated(false), "key", &Progress::unheard()).await;
    let pid = first.report().await.unwrap().pid;
    drop(first);

    let mut changed = settings.clone();
    changed.max_workers = 5;
    let again = LocalProcess::spawn(&program(), &changed, dir.path(), false).await.unwrap();
    let report = again.report().await.unwrap();
    assert_eq!((again.adopted, again.settings_differ, report.pid), (true, true, pid));
    assert!(report.state.instance("shop-2").unwrap().isolated);
    // Keys outlive the daemon too: the daemon that died between sending and hearing asks again.
    let same = actuator_at(&again.socket).apply(&action, &Facet::Isolated(false), "key", &Progress::unheard()).await;
    assert_eq!(same, receipt);

    let pids: Vec<_> = report.workers.iter().filter_map(|w| w.pid).chain([pid]).collect();
    again.stop().await.unwrap();
    all_gone(&pids).await;
}

#[tokio::test]
async fn the_actuator_says_how_far_a_request_got() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("shop.sock");
    let timeouts = Timeouts { observe: Duration::from_millis(100), apply: Duration::from_millis(100) };
    let actuator = LocalActuator::new([(target(), socket.clone())].into(), timeouts);
    let (action, before) = (scale(2), Facet::Replicas(1));

    let other = "local:other".parse().unwrap();
    assert_eq!(actuator.observe(&other).await, Err(ActError::NotFound("local:other".to_owned())));
    let Err(ActError::Unavailable(_, why)) = actuator.apply(&action, &before, "key", &Progress::unheard()).await else {
        panic!()
    };
    assert!(why.contains("start `suture run`"), "{why}");

    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    // Takes the connection and says nothing.
    let silent = async { listener.accept().await.unwrap() };
    let unheard = Progress::unheard();
    let (timed_out, held) = tokio::join!(actuator.apply(&action, &before, "key", &unheard), silent);
    assert!(matches!(timed_out, Err(ActError::TimedOut(_))), "{timed_out:?}");
    drop(held);
    // Takes the request and hangs up.
    let rude = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut [0; 64]).await.unwrap();
    };
    let (broken, ()) = tokio::join!(actuator.apply(&action, &before, "key", &unheard), rude);
    assert!(matches!(broken, Err(ActError::OutcomeUnknown(..))), "{broken:?}");
}

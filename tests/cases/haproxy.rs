//! `haproxy:` targets, against a real HAProxy.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use suture::act::haproxy::HaproxyActuator;
use suture::act::{ActError, Actuator, HaproxySettings, Progress};
use suture::model::{Action, Facet, TargetId, TargetState};

use crate::harness::haproxy::{Haproxy, connect, free, holding_server};

fn shop() -> TargetId {
    "haproxy:be_shop".parse().unwrap()
}

fn settings(haproxy: &Haproxy, name: &str) -> HaproxySettings {
    HaproxySettings {
        name: name.parse().unwrap(),
        socket: Some(haproxy.socket()),
        address: None,
        timeout: Duration::from_secs(5),
        drain_within: Duration::from_secs(10),
    }
}

fn actuator(haproxy: &Haproxy) -> HaproxyActuator {
    HaproxyActuator::new(vec![settings(haproxy, "haproxy:be_shop")])
}

/// Two servers that hold connections, weighing 100 each.
fn two() -> Haproxy {
    let (one, two) = (holding_server(b'1'), holding_server(b'2'));
    Haproxy::start(&format!("backend be_shop\n  server s1 {one} weight 100\n  server s2 {two} weight 100\n"))
}

fn weights(of: &[(&str, u32)]) -> BTreeMap<String, u32> {
    of.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect()
}

fn shift(of: &[(&str, u32)]) -> Action {
    Action::Shift { target: shop(), weights: weights(of) }
}

fn isolate(instance: &str, isolated: bool) -> Action {
    Action::Isolate { target: shop(), instance: instance.to_owned(), isolated }
}

fn state(server: &str, value: &str) -> Action {
    Action::Configure { target: shop(), setting: format!("state/{server}"), value: value.to_owned() }
}

/// Does it, with *before* as it is now.
async fn done(actuator: &HaproxyActuator, action: &Action) -> Result<String, ActError> {
    let before = action.facet(&actuator.observe(action.target()).await.unwrap()).unwrap();
    actuator.apply(action, &before, "key", &Progress::unheard()).await
}

async fn seen(actuator: &HaproxyActuator) -> TargetState {
    actuator.observe(&shop()).await.unwrap()
}

/// Looks until it is so.
async fn eventually(actuator: &HaproxyActuator, what: &str, is_so: impl Fn(&TargetState) -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !is_so(&seen(actuator).await) {
        assert!(Instant::now() < until, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_backend_is_seen_as_it_is() {
    let one = holding_server(b'1');
    let haproxy = Haproxy::start(&format!(
        "backend be_shop\n  server s2 {one} weight 40\n  server s1 127.0.0.1:{{dead}} check inter 50 fall 1 weight 100\n  \
         server s3 {one} disabled\n"
    ));
    let actuator = actuator(&haproxy);
    eventually(&actuator, "a failing check", |state| !state.instances[0].up).await;
    let state = seen(&actuator).await;
    let told: Vec<_> = state.instances.iter().map(|i| (i.name.as_str(), i.up, i.isolated, i.weight)).collect();
    assert_eq!(told, [("s1", false, false, 100), ("s2", true, false, 40), ("s3", false, true, 1)]);
    assert_eq!((state.replicas, state.min_replicas, state.max_replicas), (3, 3, 3));
    let states: Vec<_> = state.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(states, ["state/s1=ready", "state/s2=ready", "state/s3=maint"]);
    assert_eq!((state.notes, state.cache_ttl_ms, state.stores_entries), (Vec::new(), None, false));
}

#[tokio::test]
async fn weights_are_shifted_and_put_back() {
    let haproxy = two();
    let actuator = actuator(&haproxy);
    let action = shift(&[("s1", 0), ("s2", 256)]);
    let before = action.facet(&seen(&actuator).await).unwrap();
    let told = actuator.apply(&action, &before, "key", &Progress::unheard()).await.unwrap();
    assert_eq!(told, "traffic now goes s1=0 s2=256 (until HAProxy is reloaded)");
    assert!((0..4).all(|_| connect(haproxy.front).0 == b'2'));
    // A retry of the same step finds it done.
    let again = actuator.apply(&action, &before, "key", &Progress::unheard()).await.unwrap();
    assert!(again.contains("already"), "{again}");
    let inverse = action.inverse(&before).unwrap();
    done(&actuator, &inverse).await.unwrap();
    assert_eq!(inverse.facet(&seen(&actuator).await).unwrap(), before);
}

#[tokio::test]
async fn what_somebody_else_changed_meanwhile_is_a_conflict() {
    let haproxy = two();
    let actuator = actuator(&haproxy);
    done(&actuator, &shift(&[("s1", 50)])).await.unwrap();
    let before = Facet::Weights(weights(&[("s1", 100)]));
    let error = actuator.apply(&shift(&[("s1", 10)]), &before, "k", &Progress::unheard()).await.unwrap_err();
    assert!(matches!(&error, ActError::Conflict { found, .. } if found == "s1=50"), "{error}");
    assert_eq!(seen(&actuator).await.instances[0].weight, 50);
}

#[tokio::test]
async fn a_server_is_drained_and_comes_back() {
    let haproxy = two();
    let actuator = actuator(&haproxy);
    let told = done(&actuator, &isolate("s1", true)).await.unwrap();
    assert_eq!(told, "s1 gets no new connections and has none left (until HAProxy is reloaded)");
    let state = seen(&actuator).await;
    assert!(state.instances[0].isolated && !state.instances[1].isolated);
    assert_eq!(state.settings["state/s1"], "drain");
    assert!((0..4).all(|_| connect(haproxy.front).0 == b'2'));
    let told = done(&actuator, &isolate("s1", false)).await.unwrap();
    assert_eq!(told, "s1 is back in the traffic (until HAProxy is reloaded)");
    assert!((0..4).any(|_| connect(haproxy.front).0 == b'1'));
}

#[tokio::test]
async fn a_drain_waits_for_the_last_connection() {
    let haproxy = two();
    let actuator = actuator(&haproxy);
    let held: Vec<_> = (0..2).map(|_| connect(haproxy.front)).collect();
    let (sender, mut heard) = tokio::sync::mpsc::channel(16);
    let progress = Progress::to(sender);
    let action = isolate("s1", true);
    let before = Facet::Isolated(false);
    let draining = actuator.apply(&action, &before, "key", &progress);
    let freeing = async {
        assert_eq!(heard.recv().await.unwrap(), "s1 still has 1 connection");
        drop(held);
    };
    let (told, ()) = tokio::join!(draining, freeing);
    assert!(told.unwrap().starts_with("s1 gets no new connections and has none left"));
}

#[tokio::test]
async fn connections_that_stay_are_told_and_the_drain_stands() {
    let haproxy = two();
    let short = HaproxySettings { drain_within: Duration::from_millis(300), ..settings(&haproxy, "haproxy:be_shop") };
    let actuator = HaproxyActuator::new(vec![short]);
    let _held: Vec<_> = (0..2).map(|_| connect(haproxy.front)).collect();
    let told = done(&actuator, &isolate("s1", true)).await.unwrap();
    assert!(told.starts_with("s1 gets no new connections; 1 connection still open after 300 ms"), "{told}");
    assert!(seen(&actuator).await.instances[0].isolated);
}

#[tokio::test]
async fn maintenance_is_a_setting() {
    let haproxy = two();
    let actuator = actuator(&haproxy);
    let action = state("s2", "maint");
    let before = action.facet(&seen(&actuator).await).unwrap();
    assert!(done(&actuator, &action).await.unwrap().starts_with("s2 is in maintenance"));
    assert_eq!(seen(&actuator).await.settings["state/s2"], "maint");
    done(&actuator, &action.inverse(&before).unwrap()).await.unwrap();
    assert_eq!(seen(&actuator).await.settings["state/s2"], "ready");
    let error = done(&actuator, &state("s2", "off")).await.unwrap_err();
    assert!(error.to_string().contains("ready, drain or maint"), "{error}");
}

#[tokio::test]
async fn a_socket_without_the_level_admin_only_looks() {
    let haproxy = two();
    let lesser = HaproxySettings { socket: Some(haproxy.user_socket()), ..settings(&haproxy, "haproxy:be_shop") };
    let actuator = HaproxyActuator::new(vec![lesser]);
    let state = seen(&actuator).await;
    assert!(state.notes.iter().any(|note| note.contains("level user")), "{:?}", state.notes);
    for action in [shift(&[("s1", 1)]), isolate("s1", true)] {
        let error = done(&actuator, &action).await.unwrap_err();
        assert!(matches!(&error, ActError::Denied(why) if why.contains("level admin")), "{error}");
    }
    let allowed = |permissions: Vec<suture::act::Permission>| permissions.iter().map(|p| p.allowed).collect::<Vec<_>>();
    assert_eq!(allowed(actuator.permissions(&shop()).await.unwrap()), [Some(true), Some(false), Some(false)]);
    let admin = HaproxyActuator::new(vec![settings(&haproxy, "haproxy:be_shop")]);
    assert_eq!(allowed(admin.permissions(&shop()).await.unwrap()), [Some(true), Some(true), Some(true)]);
}

#[tokio::test]
async fn a_backend_that_fixes_its_weights_says_so() {
    let one = holding_server(b'1');
    let haproxy = Haproxy::start(&format!(
        "backend be_shop\n  balance static-rr\n  server s1 {one} weight 100\n  server s2 {one} weight 100\n"
    ));
    let actuator = actuator(&haproxy);
    assert!(seen(&actuator).await.notes.iter().any(|note| note.contains("static-rr")));
    let error = done(&actuator, &shift(&[("s1", 50)])).await.unwrap_err();
    assert!(matches!(&error, ActError::Unsupported(why) if why.contains("roundrobin")), "{error}");
    assert_eq!(seen(&actuator).await.instances[0].weight, 100);
}

#[tokio::test]
async fn weights_of_one_are_worth_a_note() {
    let one = holding_server(b'1');
    let haproxy = Haproxy::start(&format!("backend be_shop\n  server s1 {one}\n  server s2 {one}\n"));
    let notes = seen(&actuator(&haproxy)).await.notes;
    assert!(notes.len() == 1 && notes[0].contains("weight 100"), "{notes:?}");
}

#[tokio::test]
async fn a_server_that_follows_another_is_left_alone() {
    let one = holding_server(b'1');
    let haproxy = Haproxy::start(&format!(
        "backend be_shop\n  server s1 {one} check weight 100\n  server s2 {one} track s1 weight 100\n"
    ));
    let actuator = actuator(&haproxy);
    done(&actuator, &state("s1", "maint")).await.unwrap();
    let state = seen(&actuator).await;
    assert!(state.instances[1].isolated && state.notes.iter().any(|note| note.contains("s2")), "{state:?}");
    let error = done(&actuator, &isolate("s2", false)).await.unwrap_err();
    assert!(matches!(&error, ActError::Unsupported(why) if why.contains("tracks")), "{error}");
}

#[tokio::test]
async fn the_runtime_api_may_be_a_port() {
    let haproxy = two();
    let by_port =
        HaproxySettings { socket: None, address: Some(haproxy.control), ..settings(&haproxy, "haproxy:be_shop") };
    let actuator = HaproxyActuator::new(vec![by_port]);
    done(&actuator, &shift(&[("s2", 1)])).await.unwrap();
    assert_eq!(seen(&actuator).await.instances[1].weight, 1);
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let mut haproxy = two();
    let nope: TargetId = "haproxy:nope".parse().unwrap();
    let actuator =
        HaproxyActuator::new(vec![settings(&haproxy, "haproxy:nope"), settings(&haproxy, "haproxy:be_shop")]);
    let error = actuator.observe(&nope).await.unwrap_err();
    assert!(matches!(&error, ActError::NotFound(what) if what.contains("no backend `nope`")), "{error}");
    let error = actuator.observe(&"haproxy:other".parse().unwrap()).await.unwrap_err();
    assert_eq!(error, ActError::NotFound("haproxy:other".to_owned()));
    let error = actuator.apply(&isolate("s9", true), &Facet::Isolated(false), "k", &Progress::unheard()).await;
    assert_eq!(error.unwrap_err(), ActError::NotFound("haproxy:be_shop/s9".to_owned()));

    haproxy.kill();
    let error = actuator.observe(&shop()).await.unwrap_err();
    assert!(matches!(&error, ActError::Unavailable(_, why) if why.contains("level admin")), "{error}");
    let error = actuator.apply(&isolate("s1", true), &Facet::Isolated(false), "k", &Progress::unheard()).await;
    assert!(matches!(error, Err(ActError::Unavailable(..))));
    let nowhere = HaproxySettings { socket: None, address: Some(free()), ..settings(&haproxy, "haproxy:be_shop") };
    let error = HaproxyActuator::new(vec![nowhere]).observe(&shop()).await.unwrap_err();
    assert!(matches!(error, ActError::Unavailable(..)), "{error}");
}

#[tokio::test]
async fn what_a_backend_cannot_do_is_said_with_what_can() {
    let haproxy = two();
    let actuator = actuator(&haproxy);
    let actions = [
        (Action::Scale { target: shop(), to: 2 }, "scale what runs behind it"),
        (Action::Restart { target: shop(), instance: "s1".to_owned() }, "isolate here"),
        (Action::Rollout { target: shop() }, "isolate here"),
        (Action::Cache { target: shop(), ttl_ms: 1 }, "keeps no answers"),
        (Action::Flush { target: shop(), prefix: "a".to_owned() }, "keeps no answers"),
    ];
    for (action, remedy) in actions {
        let error = actuator.apply(&action, &Facet::Replicas(2), "key", &Progress::unheard()).await.unwrap_err();
        assert!(matches!(&error, ActError::Unsupported(why) if why.contains(remedy)), "{action}: {error}");
    }
}

//! `redis:` targets, against a real Redis.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use suture::act::redis::RedisActuator;
use suture::act::{ActError, Actuator, Permission, Progress, RedisSettings, TtlUnit};
use suture::model::{Action, Facet, SecretRef, TargetId, TargetState};

use crate::harness::redis_server::RedisServer;

fn cache() -> TargetId {
    "redis:cache".parse().unwrap()
}

fn settings(url: String) -> RedisSettings {
    RedisSettings {
        name: cache(),
        url,
        username: None,
        password: None,
        ca: None,
        ttl_key: Some("shop:ttl".to_owned()),
        ttl_unit: TtlUnit::Seconds,
        timeout: Duration::from_secs(5),
    }
}

fn actuator(server: &RedisServer) -> RedisActuator {
    RedisActuator::new(vec![settings(server.url())])
}

fn configure(setting: &str, value: &str) -> Action {
    Action::Configure { target: cache(), setting: setting.to_owned(), value: value.to_owned() }
}

fn live(ttl_ms: u64) -> Action {
    Action::Cache { target: cache(), ttl_ms }
}

fn flush(prefix: &str) -> Action {
    Action::Flush { target: cache(), prefix: prefix.to_owned() }
}

async fn seen(actuator: &RedisActuator) -> TargetState {
    actuator.observe(&cache()).await.unwrap()
}

async fn apply(actuator: &RedisActuator, action: &Action, before: &Facet) -> Result<String, ActError> {
    actuator.apply(action, before, "key", &Progress::unheard()).await
}

/// Does it, with *before* as it is now.
async fn done(actuator: &RedisActuator, action: &Action) -> Result<String, ActError> {
    let before = action.facet(&seen(actuator).await).unwrap();
    apply(actuator, action, &before).await
}

/// A file that only we may read.
fn secret(dir: &Path, text: &str) -> SecretRef {
    let path = dir.join("secret");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    SecretRef::File(path)
}

#[tokio::test]
async fn a_server_is_seen_as_it_is() {
    let server = RedisServer::start(
        "maxmemory 64mb\nmaxmemory-policy allkeys-lru\nrequirepass secret\nuser default on nopass ~* +@all",
    );
    let state = seen(&actuator(&server)).await;
    assert_eq!((state.replicas, state.min_replicas, state.max_replicas), (1, 1, 1));
    assert!(state.instances.len() == 1 && state.instances[0].name == "redis" && state.instances[0].up);
    assert_eq!(state.settings["maxmemory"], "67108864");
    assert_eq!(state.settings["maxmemory-policy"], "allkeys-lru");
    assert!(state.settings.keys().all(|name| !name.contains("pass")), "{:?}", state.settings);
    assert_eq!((state.cache_ttl_ms, state.stores_entries, state.notes), (Some(0), true, Vec::new()));
}

#[tokio::test]
async fn a_policy_is_changed_and_put_back() {
    let server = RedisServer::start("maxmemory 64mb\nmaxmemory-policy noeviction");
    let actuator = actuator(&server);
    let action = configure("maxmemory-policy", "allkeys-lfu");
    let before = action.facet(&seen(&actuator).await).unwrap();
    let told = apply(&actuator, &action, &before).await.unwrap();
    assert!(
        told.starts_with("maxmemory-policy is allkeys-lfu, was noeviction") && told.contains("CONFIG REWRITE"),
        "{told}"
    );
    assert_eq!(server.cli(&["CONFIG", "GET", "maxmemory-policy"]), "maxmemory-policy\nallkeys-lfu");
    assert!(!server.config().contains("allkeys-lfu"));
    assert_eq!(apply(&actuator, &action, &before).await.unwrap(), "maxmemory-policy is allkeys-lfu already");
    done(&actuator, &action.inverse(&before).unwrap()).await.unwrap();
    assert_eq!(action.facet(&seen(&actuator).await).unwrap(), before);
}

#[tokio::test]
async fn memory_is_given_in_bytes() {
    let server = RedisServer::start("maxmemory 64mb");
    let actuator = actuator(&server);
    let error = done(&actuator, &configure("maxmemory", "128mb")).await.unwrap_err();
    assert!(matches!(&error, ActError::Unsupported(why) if why.contains("write 134217728")), "{error}");
    done(&actuator, &configure("maxmemory", "134217728")).await.unwrap();
    assert_eq!(seen(&actuator).await.settings["maxmemory"], "134217728");
    done(&actuator, &configure("maxmemory", "0")).await.unwrap();
    assert!(seen(&actuator).await.notes[0].contains("maxmemory is 0"));
}

#[tokio::test]
async fn what_somebody_else_changed_meanwhile_is_a_conflict() {
    let server = RedisServer::start("maxmemory-samples 5");
    let actuator = actuator(&server);
    let before = Facet::Setting("5".to_owned());
    server.cli(&["CONFIG", "SET", "maxmemory-samples", "7"]);
    let error = apply(&actuator, &configure("maxmemory-samples", "10"), &before).await.unwrap_err();
    assert!(matches!(&error, ActError::Conflict { found, .. } if found == "7"), "{error}");
    assert_eq!(seen(&actuator).await.settings["maxmemory-samples"], "7");
}

#[tokio::test]
async fn what_is_not_on_the_list_is_refused_before_it_is_sent() {
    let server = RedisServer::start("");
    let actuator = actuator(&server);
    for setting in ["dir", "requirepass", "save", "maxmemory\r\nrequirepass", ""] {
        let error = apply(&actuator, &configure(setting, "x"), &Facet::Setting(String::new())).await.unwrap_err();
        assert!(matches!(&error, ActError::Unsupported(why) if why.contains("maxmemory-policy")), "{error}");
    }
}

#[tokio::test]
async fn a_lifetime_is_written_and_taken_back() {
    let server = RedisServer::start("");
    let actuator = actuator(&server);
    let action = live(30_000);
    let before = action.facet(&seen(&actuator).await).unwrap();
    assert_eq!(before, Facet::CacheTtlMs(0));
    assert_eq!(apply(&actuator, &action, &before).await.unwrap(), "answers live 30.0 s: shop:ttl is 30");
    assert_eq!(server.cli(&["GET", "shop:ttl"]), "30");
    assert!(apply(&actuator, &action, &before).await.unwrap().contains("already"));
    assert_eq!(seen(&actuator).await.cache_ttl_ms, Some(30_000));
    let told = done(&actuator, &action.inverse(&before).unwrap()).await.unwrap();
    assert!(told.ends_with("shop:ttl is deleted"), "{told}");
    assert_eq!(server.cli(&["EXISTS", "shop:ttl"]), "0");
}

#[tokio::test]
async fn the_key_of_the_lifetime_keeps_its_own_expiry() {
    let server = RedisServer::start("");
    let actuator = actuator(&server);
    server.cli(&["SET", "shop:ttl", "5", "EX", "1000"]);
    done(&actuator, &live(60_000)).await.unwrap();
    assert_eq!(server.cli(&["GET", "shop:ttl"]), "60");
    assert!(server.cli(&["TTL", "shop:ttl"]).parse::<i32>().unwrap() > 900);
}

#[tokio::test]
async fn a_lifetime_that_moved_or_makes_no_sense_is_left_alone() {
    let server = RedisServer::start("");
    let actuator = actuator(&server);
    server.cli(&["SET", "shop:ttl", "7"]);
    let error = apply(&actuator, &live(60_000), &Facet::CacheTtlMs(5000)).await.unwrap_err();
    assert!(matches!(&error, ActError::Conflict { found, .. } if found == "7.0 s"), "{error}");
    let error = apply(&actuator, &live(1500), &Facet::CacheTtlMs(7000)).await.unwrap_err();
    assert!(matches!(&error, ActError::Unsupported(why) if why.contains("write 2000")), "{error}");
    for odd in [["SET", "shop:ttl", "soon"], ["SET", "shop:ttl", "0"]] {
        server.cli(&odd);
        let state = seen(&actuator).await;
        assert!(state.cache_ttl_ms.is_none() && state.notes.iter().any(|note| note.contains("shop:ttl")), "{state:?}");
        assert!(matches!(apply(&actuator, &live(1000), &Facet::CacheTtlMs(0)).await, Err(ActError::Unsupported(_))));
    }
    server.cli(&["DEL", "shop:ttl"]);
    server.cli(&["LPUSH", "shop:ttl", "1"]);
    assert!(seen(&actuator).await.notes.iter().any(|note| note.contains("no string")));
}

#[tokio::test]
async fn entries_are_thrown_away_by_prefix_and_nothing_else() {
    let server = RedisServer::start("");
    let actuator = actuator(&server);
    server.fill("shop:page:", 5204);
    server.fill("shop:pagelike", 3);
    server.fill("other:shop:page:", 3);
    server.cli(&["SET", "shop:ttl", "5"]);
    assert_eq!(done(&actuator, &flush("shop:page:")).await.unwrap(), "threw away 5,204 entries");
    assert_eq!(server.cli(&["DBSIZE"]), "7");
    let told = done(&actuator, &flush("shop:")).await.unwrap();
    assert_eq!(told, "threw away 3 entries (kept shop:ttl, the lifetime of answers)");
    assert_eq!(server.cli(&["DBSIZE"]), "4");
    // Nothing there any more: done is done.
    assert_eq!(done(&actuator, &flush("shop:page:")).await.unwrap(), "threw away 0 entries");
}

#[tokio::test]
async fn a_prefix_is_no_pattern() {
    let server = RedisServer::start("");
    let actuator = actuator(&server);
    for key in ["a*b1", "axb1", "a?b1", "[ab]1", "a1", "b1", "\\1", "^1"] {
        server.cli(&["SET", key, "1"]);
    }
    for (prefix, left) in [("a*b", 7), ("a?", 6), ("[ab]", 5), ("\\", 4), ("^", 3), ("*", 3)] {
        done(&actuator, &flush(prefix)).await.unwrap();
        assert_eq!(server.cli(&["DBSIZE"]), left.to_string(), "{prefix}");
    }
    let error = apply(&actuator, &flush(""), &Facet::Flushed(false)).await.unwrap_err();
    assert!(matches!(error, ActError::Unsupported(_)), "{error}");
    assert_eq!(server.cli(&["DBSIZE"]), "3");
}

#[tokio::test]
async fn a_database_is_flushed_without_its_neighbours() {
    let server = RedisServer::start("");
    server.fill("a", 5);
    server.cli(&["-n", "3", "SET", "a9", "1"]);
    let actuator = RedisActuator::new(vec![settings(format!("{}/3", server.url()))]);
    assert_eq!(done(&actuator, &flush("a")).await.unwrap(), "threw away 1 entry");
    assert_eq!(server.cli(&["DBSIZE"]), "5");
}

#[tokio::test]
async fn a_replica_takes_settings_and_no_writes() {
    let primary = RedisServer::start("");
    let port = primary.address.port();
    let replica = RedisServer::start(&format!("replicaof 127.0.0.1 {port}\nmaxmemory 64mb"));
    let actuator = actuator(&replica);
    let state = seen(&actuator).await;
    assert_eq!((state.cache_ttl_ms, state.stores_entries), (None, false));
    assert!(state.notes.iter().any(|note| note.contains("replica")), "{:?}", state.notes);
    for (action, before) in [(flush("a"), Facet::Flushed(false)), (live(1000), Facet::CacheTtlMs(0))] {
        let error = apply(&actuator, &action, &before).await.unwrap_err();
        assert!(matches!(&error, ActError::Unsupported(why) if why.contains("primary")), "{error}");
    }
    done(&actuator, &configure("maxmemory-policy", "allkeys-lru")).await.unwrap();
}

#[tokio::test]
async fn a_node_of_a_cluster_is_not_flushed() {
    let server = RedisServer::start("cluster-enabled yes");
    let plain = RedisSettings { ttl_key: None, ..settings(server.url()) };
    let actuator = RedisActuator::new(vec![plain]);
    let state = seen(&actuator).await;
    assert!(!state.stores_entries && state.notes.iter().any(|note| note.contains("cluster")), "{state:?}");
    let error = apply(&actuator, &flush("a"), &Facet::Flushed(false)).await.unwrap_err();
    assert!(matches!(&error, ActError::Unsupported(why) if why.contains("cluster")), "{error}");
}

#[tokio::test]
async fn a_full_server_says_what_helps() {
    let server = RedisServer::start("maxmemory 600kb\nmaxmemory-policy noeviction");
    let actuator = actuator(&server);
    let state = seen(&actuator).await;
    assert!(state.notes.iter().any(|note| note.contains("refuses writes")), "{:?}", state.notes);
    let error = done(&actuator, &live(1000)).await.unwrap_err();
    assert!(matches!(&error, ActError::Unavailable(_, why) if why.contains("raise maxmemory")), "{error}");
}

/// The user that deploy/redis/acl.conf makes, with a password.
fn least() -> (RedisServer, RedisSettings) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/redis/acl.conf");
    let server = RedisServer::start(&format!("include {}\nmaxmemory 64mb", file.display()));
    server.cli(&["ACL", "SETUSER", "suture", ">hunter2"]);
    let password = Some(secret(server.dir(), "hunter2\n"));
    let settings = RedisSettings { username: Some("suture".to_owned()), password, ..settings(server.url()) };
    (server, settings)
}

#[tokio::test]
async fn the_user_of_the_deploy_folder_may_do_all_that_is_done() {
    let (server, settings) = least();
    let actuator = RedisActuator::new(vec![settings]);
    server.fill("shop:page:", 3);
    done(&actuator, &configure("maxmemory-policy", "allkeys-lru")).await.unwrap();
    done(&actuator, &live(1000)).await.unwrap();
    done(&actuator, &live(0)).await.unwrap();
    assert_eq!(done(&actuator, &flush("shop:page:")).await.unwrap(), "threw away 3 entries");
    let permissions = actuator.permissions(&cache()).await.unwrap();
    let missing: Vec<&Permission> = permissions.iter().filter(|p| p.allowed == Some(false)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(permissions.iter().filter(|p| p.allowed == Some(true)).count() >= 10, "{permissions:#?}");
}

#[tokio::test]
async fn keys_that_are_not_granted_are_denied_by_name() {
    let (server, settings) = least();
    let actuator = RedisActuator::new(vec![settings]);
    server.fill("other:", 3);
    let error = done(&actuator, &flush("other:")).await.unwrap_err();
    assert!(matches!(&error, ActError::Denied(why) if why.contains("key")), "{error}");
    assert_eq!(server.cli(&["DBSIZE"]), "3");
}

#[tokio::test]
async fn rights_that_are_missing_are_named() {
    let (server, settings) = least();
    server.cli(&["ACL", "SETUSER", "suture", "-config|set", "-unlink", "-set"]);
    let actuator = RedisActuator::new(vec![settings]);
    server.fill("shop:page:", 1);
    for (action, name) in
        [(configure("maxmemory-policy", "allkeys-lru"), "config|set"), (flush("shop:"), "unlink"), (live(1000), "set")]
    {
        let error = done(&actuator, &action).await.unwrap_err();
        assert!(matches!(&error, ActError::Denied(why) if why.contains(name) && why.contains("acl.conf")), "{error}");
    }
    let permissions = actuator.permissions(&cache()).await.unwrap();
    let missing: Vec<&str> = permissions.iter().filter(|p| p.allowed == Some(false)).map(|p| p.name.as_str()).collect();
    assert_eq!(missing, ["CONFIG SET maxmemory", "SET shop:ttl", "UNLINK of the keys under the prefix"]);

    // A server that does not show its settings is still looked at.
    server.cli(&["ACL", "SETUSER", "suture", "-config|get"]);
    let state = seen(&actuator).await;
    assert!(state.settings.is_empty() && state.notes.iter().any(|note| note.contains("config|get")), "{state:?}");
}

#[tokio::test]
async fn a_wrong_password_is_denied_and_never_shown() {
    let (server, settings) = least();
    let wrong = RedisSettings { password: Some(secret(server.dir(), "hunter3")), ..settings.clone() };
    let nobody = RedisSettings { username: None, password: None, ..settings.clone() };
    let actuator = RedisActuator::new(vec![wrong]);
    let error = actuator.observe(&cache()).await.unwrap_err();
    assert!(matches!(&error, ActError::Denied(why) if why.contains("env:NAME")), "{error}");
    assert!(!format!("{error:?} {actuator:?}").contains("hunter3"));

    server.cli(&["ACL", "SETUSER", "default", "off"]);
    let error = RedisActuator::new(vec![nobody]).observe(&cache()).await.unwrap_err();
    assert!(matches!(&error, ActError::Denied(_)), "{error}");

    let gone = RedisSettings { password: Some("env:SUTURE_NO_SUCH_SECRET".parse().unwrap()), ..settings };
    let error = RedisActuator::new(vec![gone]).observe(&cache()).await.unwrap_err();
    assert!(matches!(&error, ActError::Unavailable(_, why) if why.contains("SUTURE_NO_SUCH_SECRET")), "{error}");
}

/// A certificate for 127.0.0.1 and its key, as files of a folder; what vouches for it is itself.
fn certificate(dir: &Path) -> PathBuf {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    dir.join("cert.pem")
}

#[tokio::test]
async fn tls_is_spoken_with_whom_the_authority_vouches_for() {
    let dir = tempfile::Builder::new().prefix("su").tempdir().unwrap();
    let ca = certificate(dir.path());
    let server = RedisServer::start_in(
        dir,
        "tls-port {port}\ntls-cert-file {dir}/cert.pem\ntls-key-file {dir}/key.pem\ntls-ca-cert-file {dir}/cert.pem\n\
         tls-auth-clients no",
    );
    let config = server.config();
    let port = config.lines().find_map(|line| line.strip_prefix("tls-port ")).unwrap();
    let over_tls = RedisSettings { ca: Some(ca), ..settings(format!("rediss://127.0.0.1:{port}")) };
    let actuator = RedisActuator::new(vec![over_tls.clone()]);
    done(&actuator, &live(2000)).await.unwrap();
    assert_eq!(server.cli(&["GET", "shop:ttl"]), "2");

    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = RedisSettings { ca: Some(certificate(elsewhere.path())), ..over_tls.clone() };
    let error = RedisActuator::new(vec![stranger]).observe(&cache()).await.unwrap_err();
    assert!(matches!(&error, ActError::Unavailable(_, why) if why.contains("authority")), "{error}");
    let missing = RedisSettings { ca: Some(elsewhere.path().join("none.pem")), ..over_tls };
    let error = RedisActuator::new(vec![missing]).observe(&cache()).await.unwrap_err();
    assert!(matches!(&error, ActError::Unavailable(_, why) if why.contains("none.pem")), "{error}");
}

#[tokio::test]
async fn a_unix_socket_is_an_address_too() {
    let server = RedisServer::start("");
    let actuator = RedisActuator::new(vec![settings(format!("redis+unix://{}", server.socket().display()))]);
    done(&actuator, &live(2000)).await.unwrap();
    assert_eq!(server.cli(&["GET", "shop:ttl"]), "2");
}

#[tokio::test]
async fn a_server_that_is_gone_was_not_changed() {
    let mut server = RedisServer::start("");
    let actuator = actuator(&server);
    seen(&actuator).await;
    server.kill();
    let error = actuator.observe(&cache()).await.unwrap_err();
    assert!(matches!(&error, ActError::Unavailable(_, why) if why.contains("running")), "{error}");
    for (action, before) in [(flush("a"), Facet::Flushed(false)), (live(1000), Facet::CacheTtlMs(0))] {
        assert!(matches!(apply(&actuator, &action, &before).await, Err(ActError::Unavailable(..))));
    }
    let other: TargetId = "redis:other".parse().unwrap();
    assert_eq!(actuator.observe(&other).await.unwrap_err(), ActError::NotFound("redis:other".to_owned()));
}

#[tokio::test]
async fn what_a_server_cannot_do_is_said_with_what_can() {
    let server = RedisServer::start("");
    let actuator = actuator(&server);
    for (action, remedy) in [
        (Action::Scale { target: cache(), to: 2 }, "what runs it"),
        (Action::Restart { target: cache(), instance: "redis".to_owned() }, "what runs it"),
        (Action::Isolate { target: cache(), instance: "redis".to_owned(), isolated: true }, "no traffic"),
    ] {
        let error = apply(&actuator, &action, &Facet::Replicas(1)).await.unwrap_err();
        assert!(matches!(&error, ActError::Unsupported(why) if why.contains(remedy)), "{action}: {error}");
    }
}

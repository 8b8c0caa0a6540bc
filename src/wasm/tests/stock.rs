//! The stock playbooks and the stock rule, as components.

use super::*;

async fn catalog() -> Catalog {
    let (catalog, errors) = Catalog::load(&host(), None, None).await;
    assert!(errors.is_empty(), "{errors:?}");
    catalog
}

/// The plan of one stock playbook in this state, or its error.
async fn plan(playbook: &str, given: &[(&str, &str)], state: TargetState) -> Result<Vec<String>, RunError> {
    let catalog = catalog().await;
    let world = FakeWorld::of(state.clone());
    let ran = catalog
        .playbook(playbook)
        .unwrap()
        .remediate(incident(state), &args(given), Box::new(world.clone()), Limits::default().wall)
        .await;
    ran.result.map(|_| world.diff())
}

#[tokio::test]
async fn there_are_eight_playbooks_and_a_rule() {
    let catalog = catalog().await;
    let names: Vec<_> = catalog.playbooks().map(Playbook::name).collect();
    let expected = [
        "cache-aggressively",
        "flush-cache",
        "rebalance",
        "restart-service",
        "rolling-restart",
        "scale-out",
        "shed-load",
        "tune",
    ];
    assert_eq!(names, expected);
    assert_eq!(catalog.rules().map(Rule::name).collect::<Vec<_>>(), ["stock"]);
}

#[tokio::test]
async fn each_can_do_only_what_it_is_for() {
    let catalog = catalog().await;
    for (name, wants) in [
        ("cache-aggressively", vec![ActionKind::Cache]),
        ("flush-cache", vec![ActionKind::Flush]),
        ("rebalance", vec![ActionKind::Traffic]),
        ("rolling-restart", vec![ActionKind::Restart]),
        ("tune", vec![ActionKind::Configure]),
        ("restart-service", vec![ActionKind::Restart]),
        ("scale-out", vec![ActionKind::Scale]),
        ("shed-load", vec![ActionKind::Scale, ActionKind::Isolate]),
    ] {
        let playbook = catalog.playbook(name).unwrap();
        assert_eq!(playbook.wants().iter().copied().collect::<Vec<_>>(), wants, "{name}");
        assert_eq!(playbook.missing_grants(|_| false), wants, "{name}");
        playbook.validate(&Args::new()).await.unwrap();
    }
}

#[test]
fn a_component_imports_only_what_it_uses() {
    let looks = ["suture:types/types@1.1.0", "suture:incident/incident@1.1.0"];
    for (_, name, bytes) in crate::wasm::catalog::STOCK {
        let acts: &[&str] = match *name {
            "cache-aggressively" => &["suture:cache/cache@1.1.0"],
            "flush-cache" => &["suture:flush/flush@1.1.0"],
            "rolling-restart" => &["suture:rollout/rollout@1.1.0"],
            "tune" => &["suture:configure/configure@1.1.0"],
            "rebalance" => &["suture:metrics/metrics@1.1.0", "suture:traffic/traffic@1.1.0"],
            "restart-service" => &["suture:restart/restart@1.1.0"],
            "scale-out" => &["suture:scale/scale@1.1.0"],
            "shed-load" => &["suture:isolate/isolate@1.1.0", "suture:scale/scale@1.1.0"],
            "stock" => &["suture:metrics/metrics@1.1.0"],
            _ => &[],
        };
        let wit_component::DecodedWasm::Component(resolve, world) = wit_component::decode(bytes).unwrap() else {
            panic!("{name} is no component");
        };
        let imports = resolve.worlds[world].imports.keys().map(|key| resolve.name_world_key(key));
        let expected: std::collections::BTreeSet<_> = looks.iter().chain(acts).map(ToString::to_string).collect();
        assert_eq!(imports.collect::<std::collections::BTreeSet<_>>(), expected, "{name}");
    }
}

#[tokio::test]
async fn scale_out_adds_two() {
    assert_eq!(plan("scale-out", &[], shop_of(2)).await.unwrap(), ["local:shop workers 2 -> 4"]);
    assert_eq!(plan("scale-out", &[("to", "3")], shop_of(2)).await.unwrap(), ["local:shop workers 2 -> 3"]);
    assert_eq!(plan("scale-out", &[("by", "20")], shop_of(2)).await.unwrap(), ["local:shop workers 2 -> 6"]);
    assert!(matches!(plan("scale-out", &[], shop_of(6)).await, Err(RunError::NotApplicable(_))));
}

#[tokio::test]
async fn restart_service_restarts_what_is_named_or_down() {
    let named = plan("restart-service", &[("instance", "shop-2")], shop_of(2)).await.unwrap();
    assert_eq!(named, ["local:shop/shop-2 restart (generation 0 -> generation 1)"]);
    let mut down = shop_of(3);
    down.instances[0].up = false;
    let found = plan("restart-service", &[], down).await.unwrap();
    assert_eq!(found, ["local:shop/shop-1 restart (generation 0 -> generation 1)"]);
    assert!(matches!(plan("restart-service", &[], shop_of(2)).await, Err(RunError::NotApplicable(_))));
}

#[tokio::test]
async fn shed_load_makes_up_for_what_it_takes_away() {
    let two = plan("shed-load", &[("instance", "shop-2")], shop_of(2)).await.unwrap();
    assert_eq!(two, ["local:shop workers 2 -> 3", "local:shop/shop-2 in traffic -> isolated"]);
    let four = plan("shed-load", &[("instance", "shop-2")], shop_of(4)).await.unwrap();
    assert_eq!(four, ["local:shop/shop-2 in traffic -> isolated"]);
}

#[tokio::test]
async fn rebalance_leaves_a_quarter() {
    let diff = plan("rebalance", &[("instance", "shop-2")], shop_of(2)).await.unwrap();
    assert_eq!(diff, ["local:shop weights shop-2=100 -> shop-2=25"]);
}

#[tokio::test]
async fn cache_aggressively_caches_thirty_times_longer() {
    let diff = plan("cache-aggressively", &[], shop_of(2)).await.unwrap();
    assert_eq!(diff, ["local:shop cache lifetime 2.0 s -> 1 min 00 s"]);
    let without = TargetState { cache_ttl_ms: None, ..shop_of(2) };
    assert!(matches!(plan("cache-aggressively", &[], without).await, Err(RunError::NotApplicable(_))));
}

#[tokio::test]
async fn rolling_restart_rolls_out_what_can_be() {
    let web = TargetState { rollout: Some(1_767_225_600), renames: true, ..shop_of(3) };
    let line = "local:shop rollout (the last one since 2026-01-01T00:00:00.000Z)";
    assert_eq!(plan("rolling-restart", &[], web).await.unwrap(), [line]);
    assert!(matches!(plan("rolling-restart", &[], shop_of(3)).await, Err(RunError::NotApplicable(_))));
}

#[tokio::test]
async fn tune_sets_one_setting() {
    let settings = BTreeMap::from([("maxmemory".to_owned(), "0".to_owned()), ("mode".to_owned(), String::new())]);
    let cache = TargetState { settings, ..shop_of(1) };
    let set = plan("tune", &[("setting", "maxmemory"), ("value", "512")], cache.clone()).await.unwrap();
    assert_eq!(set, ["local:shop maxmemory 0 -> 512"]);
    let so_already = plan("tune", &[("setting", "mode"), ("value", "")], cache.clone()).await.unwrap_err();
    assert_eq!(so_already.to_string(), "not applicable: mode of local:shop is unset already");
    let unknown = plan("tune", &[("setting", "mod"), ("value", "")], cache).await.unwrap_err();
    assert_eq!(unknown.to_string(), "not applicable: no target has a setting mod; there are: maxmemory, mode");
}

#[tokio::test]
async fn flush_cache_throws_away_by_prefix_and_never_all() {
    let cache = TargetState { stores_entries: true, ..shop_of(1) };
    let flushed = plan("flush-cache", &[("prefix", "shop:")], cache.clone()).await.unwrap();
    assert_eq!(flushed, ["local:shop entries shop:* kept -> thrown away"]);
    for given in [&[("prefix", "")][..], &[]] {
        assert!(matches!(plan("flush-cache", given, cache.clone()).await, Err(RunError::WrongArgument(_))));
    }
    assert!(matches!(plan("flush-cache", &[("prefix", "a")], shop_of(1)).await, Err(RunError::NotApplicable(_))));
}

/// Pods: named by their platform, counted by the time since when they run, scaled by way of an autoscaler.
#[tokio::test]
async fn pods_are_healed_as_workers_are() {
    let mut pods = TargetState { renames: true, rollout: Some(0), ..shop_of(2) };
    for (n, pod) in (0..).zip(&mut pods.instances) {
        pod.name = ["shop-5d9f-q8mzt", "shop-5d9f-x7k2p"][n].to_owned();
        pod.generation = 1_767_225_600 + n as u64;
    }
    let all = plan("restart-service", &[("all", "true")], pods.clone()).await.unwrap();
    let since = "restart (runs since 2026-01-01T00:00:0";
    let pod = |name: &str, n: u32| format!("local:shop/{name} {since}{n}.000Z)");
    assert_eq!(all, [pod("shop-5d9f-q8mzt", 0), pod("shop-5d9f-x7k2p", 1)]);
    let scaler = crate::model::Autoscaler { name: "HorizontalPodAutoscaler shop".to_owned(), min: 2, max: 6 };
    pods.autoscaler = Some(scaler);
    let scaled = plan("scale-out", &[], pods.clone()).await.unwrap();
    assert_eq!(scaled, ["local:shop workers 2 to 6 -> 4 to 6"]);
    let shed = plan("shed-load", &[("instance", "shop-5d9f-x7k2p")], pods).await.unwrap();
    let isolated = "local:shop/shop-5d9f-x7k2p in traffic -> isolated";
    assert_eq!(shed, ["local:shop workers 2 to 6 -> 3 to 6", isolated]);
}

#[tokio::test]
async fn looks_at_settings_and_the_like_are_recorded_with_the_whole_state() {
    let settings = BTreeMap::from([("maxmemory".to_owned(), "0".to_owned())]);
    let cache = TargetState { settings, ..shop_of(1) };
    let catalog = catalog().await;
    let tune = catalog.playbook("tune").unwrap();
    let given = args(&[("setting", "maxmemory"), ("value", "512")]);
    let world = Box::new(FakeWorld::of(cache.clone()));
    let ran = tune.remediate(incident(cache.clone()), &given, world, Limits::default().wall).await;
    assert_eq!(ran.result.unwrap(), "set maxmemory of local:shop from 0 to 512");
    let calls: Vec<_> = ran.calls.iter().map(|c| c.call.as_str()).collect();
    assert_eq!(calls, ["incident.targets", "configure.settings", "configure.set", "incident.target.name"]);
    assert_eq!(ran.calls[1].input, serde_json::json!({ "target": "local:shop" }));
    assert_eq!(ran.calls[1].output, serde_json::json!({ "ok": cache }));
    let input = serde_json::json!({ "target": "local:shop", "setting": "maxmemory", "value": "512" });
    assert_eq!(ran.calls[2].input, input);
}

#[tokio::test]
async fn arguments_are_checked_before_the_playbook_sees_them() {
    let unknown = plan("scale-out", &[("too", "4")], shop_of(2)).await.unwrap_err();
    assert_eq!(unknown.to_string(), "wrong argument: playbook scale-out has no parameter `too`; it has: by, to");
    let wrong = plan("scale-out", &[("by", "21")], shop_of(2)).await.unwrap_err();
    let says = "wrong argument: playbook scale-out: by = `21` is not a whole number from 1 to 20";
    assert_eq!(wrong.to_string(), says);
}

#[tokio::test]
async fn a_refusal_is_a_value_that_the_playbook_hands_on() {
    let denied = HostError::Denied {
        capability: "scale".to_owned(),
        target: "local:shop".to_owned(),
        hint: "write a grant".to_owned(),
    };
    let world = FakeWorld { refuse: Some(denied.clone()), ..FakeWorld::of(shop_of(2)) };
    let catalog = catalog().await;
    let scale_out = catalog.playbook("scale-out").unwrap();
    let wall = Limits::default().wall;
    let ran = scale_out.remediate(incident(shop_of(2)), &Args::new(), Box::new(world), wall).await;
    assert_eq!(ran.result, Err(RunError::Refused(denied)));
}

#[tokio::test]
async fn every_host_call_is_recorded_with_its_answer() {
    let catalog = catalog().await;
    let world = Box::new(FakeWorld::of(shop_of(2)));
    let scale_out = catalog.playbook("scale-out").unwrap();
    let ran = scale_out.remediate(incident(shop_of(2)), &Args::new(), world, Limits::default().wall).await;
    assert_eq!(ran.result.unwrap(), "scaled local:shop from 2 to 4 instances");
    let calls: Vec<_> = ran.calls.iter().map(|c| c.call.as_str()).collect();
    assert_eq!(calls, ["incident.targets", "incident.target.state", "scale.set-replicas", "incident.target.name"]);
    assert_eq!(ran.calls[2].input, serde_json::json!({ "target": "local:shop", "to": 4 }));
    assert_eq!(ran.calls[2].output, serde_json::json!({ "ok": "scale local:shop to 4" }));
    assert!(ran.fuel > 0 && ran.fuel < Limits::default().fuel / 1_000, "{} units of work", ran.fuel);
}

#[tokio::test]
async fn the_rule_tells_load_everywhere_from_one_sick_instance() {
    let catalog = catalog().await;
    let rule = catalog.rule("stock").unwrap();
    let by_instance = |first: f64, second: f64| {
        [("shop-1", first), ("shop-2", second)]
            .map(|(name, value)| (name.to_owned(), vec![("latency_p95".to_owned(), value)]))
            .to_vec()
    };
    let mut view = incident(shop_of(2));
    view.drivers = vec![driver("latency_p95", 0.9, 0.1)];
    view.instance_metrics = by_instance(0.9, 0.8);
    let everywhere = rule.propose(view.clone()).await.result.unwrap();
    assert_eq!(everywhere[0].playbook, "scale-out");
    assert_eq!(everywhere[0].args, args(&[("by", "2")]));
    assert_eq!(everywhere[0].rule, "stock");
    assert_eq!(
        everywhere[0].why,
        "latency_p95 is 900 ms (usually 100 ms) on all 2 instances: they have too much to do."
    );

    view.instance_metrics = by_instance(0.1, 0.9);
    let one = rule.propose(view.clone()).await.result.unwrap();
    assert_eq!((one[0].playbook.as_str(), &one[0].args), ("shed-load", &args(&[("instance", "shop-2")])));

    view.tried = vec!["shed-load".to_owned()];
    let next = rule.propose(view.clone()).await.result.unwrap();
    assert_eq!(next[0].playbook, "restart-service");

    view.targets.clear();
    assert!(rule.propose(view).await.result.unwrap().is_empty());
}

#[tokio::test]
async fn a_file_replaces_the_stock_one_and_a_broken_file_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let stock = catalog().await;
    std::fs::write(dir.path().join("broken.wasm"), b"not wasm").unwrap();
    let own = hostile::component("harmless", |wat| wat.replace("hostile", "my-heal"));
    std::fs::write(dir.path().join("own.wasm"), &own).unwrap();
    std::fs::write(dir.path().join("notes.txt"), b"not looked at").unwrap();

    let (catalog, errors) = Catalog::load(&host(), Some(dir.path()), Some(&dir.path().join("missing"))).await;
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert!(errors.iter().any(|e| e.contains("broken.wasm") && e.contains("not a valid Wasm component")), "{errors:?}");
    assert!(errors.iter().any(|e| e.starts_with("cannot read") && e.contains("missing")), "{errors:?}");
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert_eq!(catalog.playbooks().count(), stock.playbooks().count() + 1);
    assert_eq!(catalog.playbook("my-heal").unwrap().digest(), crate::model::Digest::of(&own));
}

#[tokio::test]
async fn two_files_of_one_name_are_an_error_and_the_first_stays() {
    let dir = tempfile::tempdir().unwrap();
    let first = hostile::component("harmless", |wat| wat);
    std::fs::write(dir.path().join("a.wasm"), &first).unwrap();
    std::fs::write(dir.path().join("b.wasm"), hostile::component("panics", |wat| wat)).unwrap();
    let (catalog, errors) = Catalog::load(&host(), Some(dir.path()), None).await;
    let [error] = errors.as_slice() else { panic!("{errors:?}") };
    assert!(error.to_string().contains("b.wasm calls itself `hostile`, as another file"), "{error}");
    assert_eq!(catalog.playbook("hostile").unwrap().digest(), crate::model::Digest::of(&first));
}

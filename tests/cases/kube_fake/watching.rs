//! Watches: what they tell, when they expire, and how a client comes back.

use super::*;

async fn events(api: &Api<ConfigMap>, params: &WatchParams, from: &str, count: usize) -> Vec<String> {
    let stream = api.watch(params, from).await.unwrap();
    let told = stream.map_ok(|event| match event {
        WatchEvent::Added(map) => format!("+{}", map.metadata.name.unwrap()),
        WatchEvent::Modified(map) => format!("~{}", map.metadata.name.unwrap()),
        WatchEvent::Deleted(map) => format!("-{}", map.metadata.name.unwrap()),
        WatchEvent::Bookmark(mark) if mark.metadata.annotations.is_empty() => "mark".to_owned(),
        WatchEvent::Bookmark(_) => "all".to_owned(),
        WatchEvent::Error(status) => format!("{} {}", status.code, status.reason),
    });
    let told = Box::pin(told.take(count)).try_collect();
    tokio::time::timeout(Duration::from_secs(20), told).await.expect("as many events").unwrap()
}

#[tokio::test]
async fn a_watch_tells_what_changed_since_its_version() {
    let stage = Stage::new().await;
    let map = |name: &str, data: &str, on: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": NS, "labels": {"on": on}}, "data": {"k": data},
        })
    };
    stage.cluster.put(&map("a", "1", "yes"));
    let from = stage.cluster.version().to_string();
    stage.cluster.put(&map("b", "1", "no"));
    stage.cluster.put(&map("a", "2", "yes"));
    stage.cluster.delete("/api/v1/namespaces/prod/configmaps/b");
    let quiet = WatchParams { bookmarks: false, ..WatchParams::default() };
    assert_eq!(events(&stage.maps(), &quiet, &from, 3).await, ["+b", "~a", "-b"]);
    assert_eq!(events(&stage.maps(), &quiet, "0", 1).await, ["+a"], "from nothing: what there is");

    // What leaves a selection is deleted for it, and what comes into it is new.
    let from = stage.cluster.version().to_string();
    stage.cluster.put(&map("a", "2", "no"));
    stage.cluster.put(&map("a", "2", "yes"));
    assert_eq!(events(&stage.maps(), &quiet.clone().labels("on=yes"), &from, 2).await, ["-a", "+a"]);

    stage.cluster.bookmark_every(Duration::from_millis(20));
    let now = stage.cluster.version().to_string();
    assert_eq!(events(&stage.maps(), &WatchParams::default(), &now, 2).await, ["mark", "mark"]);
    let streaming = WatchParams { send_initial_events: true, ..WatchParams::default() };
    assert_eq!(events(&stage.maps(), &streaming, "0", 3).await, ["+a", "all", "mark"]);
    let short = quiet.timeout(1);
    assert_eq!(events(&stage.maps(), &short, &now, 9).await, Vec::<String>::new(), "it ends by itself");
    assert_eq!(stage.cluster.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn a_watch_expires() {
    let stage = Stage::new().await;
    let now = stage.cluster.version().to_string();
    let quiet = WatchParams { bookmarks: false, ..WatchParams::default() };
    let maps = stage.maps();
    let (told, ()) = tokio::join!(events(&maps, &quiet, &now, 9), async {
        let begun = |cluster: &FakeCluster| cluster.requests().iter().any(|r| r.verb == "watch").then_some(());
        stage.cluster.until("the watch begins", begun).await;
        stage.cluster.expire_watches();
    });
    assert_eq!(told, ["410 Expired"]);
    assert_eq!(events(&maps, &quiet, &now, 9).await, ["410 Expired"], "that version is forgotten");
    stage.cluster.fault(Fault::Status(410)).on("watch", "*/configmaps").times(1);
    let now = stage.cluster.version().to_string();
    let (code, ..) = refusal(maps.watch(&quiet, &now).await.map(drop));
    assert_eq!(code, 410);
    stage.cluster.fault(Fault::ExpireWatch).on("watch", "*/configmaps").times(1);
    assert_eq!(events(&maps, &quiet, &now, 9).await, ["410 Expired"]);
}

/// The client's own watcher, through an expiry and a cut, by both ways of listing.
#[tokio::test]
async fn the_watcher_of_the_client_comes_back() {
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let stage = Stage::new().await;
        stage.cluster.bookmark_every(Duration::from_millis(20));
        let put = |data: &str| {
            stage.cluster.put(&json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": NS}, "data": {"k": data},
            }))
        };
        put("0");
        let mut stream = Box::pin(watcher(stage.maps(), config));
        for (round, trouble) in
            ["1", "2", "3"].into_iter().zip([FakeCluster::expire_watches, FakeCluster::cut_watches, FakeCluster::calm])
        {
            put(round);
            let seen = tokio::time::timeout(Duration::from_secs(20), async {
                loop {
                    let Ok(watcher::Event::Apply(map) | watcher::Event::InitApply(map)) = stream.next().await.unwrap()
                    else {
                        continue;
                    };
                    if map.data.unwrap()["k"] == round {
                        break;
                    }
                }
            });
            seen.await.expect("the change is seen");
            trouble(&stage.cluster);
        }
        assert_eq!(stage.cluster.refused(), Vec::<String>::new());
    }
}

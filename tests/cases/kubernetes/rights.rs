//! Exactly the rights of deploy/kubernetes/rbac.yaml are enough for everything, and none of them is too many.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use suture::act::{ActError, Actuator as _};
use suture::model::Action;

use super::{DB, Rig, WEB, configure, isolate, restart, rollout, scale, shift, target};
use crate::harness::kube::FakeCluster;

const DOCUMENT: &str = include_str!("../../../deploy/kubernetes/rbac.yaml");

/// The document's rules: a small part of YAML, and the document stays within it.
fn rules() -> Vec<Value> {
    rules_of(DOCUMENT)
}

/// Those of the role that only looks.
pub(super) fn looking() -> Vec<Value> {
    rules_of(DOCUMENT.split("name: suture-act").next().expect("a first role"))
}

/// The rules of a document.
pub(super) fn rules_of(document: &str) -> Vec<Value> {
    let list = |line: &str| -> Vec<String> {
        let inner = line.split_once('[').and_then(|(_, rest)| rest.split_once(']')).expect("a list").0;
        inner.split(',').map(|item| item.trim().trim_matches('"').to_owned()).collect()
    };
    let lines: Vec<&str> = document.lines().collect();
    let at = |index: usize, key: &str| {
        let line = lines[index].trim_start_matches(['-', ' ']);
        assert!(line.starts_with(key), "{line}");
        list(line)
    };
    let starts = lines.iter().enumerate().filter(|(_, line)| line.contains("apiGroups:"));
    starts
        .map(|(index, _)| {
            json!({"apiGroups": at(index, "apiGroups"), "resources": at(index + 1, "resources"), "verbs": at(index + 2, "verbs")})
        })
        .collect()
}

/// `patch apps deployments/scale`, one a right.
fn rights() -> BTreeSet<String> {
    rights_of(&rules())
}

/// The same of some rules.
pub(super) fn rights_of(rules: &[Value]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for rule in rules {
        for verb in rule["verbs"].as_array().unwrap() {
            let (group, resource) = (&rule["apiGroups"][0], &rule["resources"][0]);
            all.insert(format!(
                "{} {} {}",
                verb.as_str().unwrap(),
                group.as_str().unwrap(),
                resource.as_str().unwrap()
            ));
        }
    }
    all
}

/// As [`rights`] has it.
pub(super) fn used(cluster: &FakeCluster) -> BTreeSet<String> {
    let of = |request: &crate::harness::kube::Request| {
        let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
        let (group, rest) = match parts.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return None,
        };
        let rest = if rest.first() == Some(&"namespaces") { &rest[2..] } else { rest };
        let resource = match rest {
            [plural, _, sub] => format!("{plural}/{sub}"),
            [plural, ..] => (*plural).to_owned(),
            [] => return None,
        };
        Some(format!("{} {group} {resource}", request.verb))
    };
    cluster.requests().iter().filter_map(of).collect()
}

#[tokio::test]
async fn every_action_works_with_exactly_these_rights_and_needs_each_of_them() {
    let rig = Rig::of("t1", |cluster| {
        // Of nodes as of the rest, everywhere: what is bound where is the operator's business.
        cluster.user("suture").token("t1").rules(None, &json!(rules()));
        super::traffic::put_all(cluster);
        super::settings::put_all(cluster);
        cluster.deploy("prod", "web", 2);
        cluster.stateful("prod", "db", 2);
        cluster.expose("prod", "web", &json!({"app": "web"}));
        cluster.deploy("prod", "auto", 2);
        cluster.autoscale("prod", "auto", 2, 4);
    })
    .await
    .knowing(super::settings::knowing());
    for name in ["web", "db", "auto"] {
        rig.cluster.settled("prod", name).await;
    }
    let pod = rig.cluster.pod_names("prod", "web").remove(0);
    let gone = rig.cluster.pod_names("prod", "web").remove(1);
    let actions = [
        scale(WEB, 3),
        scale(DB, 3),
        scale("prod/deployment/auto", 3),
        rollout(DB),
        restart(WEB, &gone),
        isolate(WEB, &pod, true),
        isolate(WEB, &pod, false),
        rollout(WEB),
        shift("prod/httproute/web", &[("web", 10)]),
        shift("prod/virtualservice/web", &[("web/v1", 10), ("web/v2", 90)]),
        configure("prod/destinationrule/web", "outlier-detection.interval", "5s"),
        configure("prod/configmap/web", "level", "debug"),
        Action::Cache { target: target("prod/configmap/web"), ttl_ms: 60_000 },
        isolate("node/node-1", "node-1", true),
    ];
    for action in &actions {
        rig.act(action).await.receipt();
    }
    // What follows workloads needs no more.
    let mut watched =
        suture::platform::kubernetes::watch_workloads(&rig.clusters, Some("test"), Some("prod"), None).unwrap();
    let found = watched.sets.recv().await.unwrap();
    assert_eq!(found.len(), 3);
    let denied: Vec<_> = rig.cluster.requests().into_iter().filter(|r| r.status == 403).map(|r| r.path).collect();
    assert_eq!(denied, [""; 0]);
    let mut used = used(&rig.cluster);
    // The source and discovery watch them; those have cases of their own.
    used.extend(["watch apps deployments".to_owned(), "watch apps statefulsets".to_owned()]);
    let (needed, unused): (BTreeSet<_>, Vec<_>) = (rights(), rights().difference(&used).cloned().collect());
    assert_eq!(unused, [""; 0], "nothing uses these rights");
    let more: Vec<_> = used.difference(&needed).collect();
    assert_eq!(more, Vec::<&String>::new(), "these rights are in no document");
    assert_eq!(rig.cluster.refused(), [""; 0]);
}

#[tokio::test]
async fn a_missing_right_is_named_as_access_control_calls_it() {
    let rig = Rig::of("t1", |cluster| {
        let user = cluster.user("suture").token("t1");
        let without = |rule: &&Value| rule["resources"][0] != "deployments/scale";
        user.rules(Some("prod"), &json!(rules().iter().filter(without).collect::<Vec<_>>()));
        cluster.deploy("prod", "web", 2);
    })
    .await;
    rig.cluster.settled("prod", "web").await;
    let error = rig.act(&scale(WEB, 3)).await.error();
    assert!(matches!(error, ActError::Denied(_)), "{error:?}");
    let words = "user suture patch deployments/scale in namespace prod";
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(rig.cluster.replicas("prod", "web"), 2);
    let told = rig.actuator.permissions(&target(WEB)).await.unwrap();
    let missing: Vec<_> =
        told.iter().filter(|p| p.allowed != Some(true)).map(|p| (p.what.as_str(), p.name.as_str())).collect();
    assert_eq!(missing, [("scale", "patch deployments/scale in namespace prod")]);
    assert!(told.iter().any(|p| p.what == "look" && p.name == "list pods in namespace prod"));
    let node = rig.actuator.permissions(&target("node/node-1")).await.unwrap();
    assert!(node.iter().all(|p| p.allowed == Some(false)), "{node:?}");
}

#[tokio::test]
async fn without_a_right_to_see_budgets_the_rest_is_seen_and_that_is_said() {
    let rig = Rig::of("t1", |cluster| {
        let user = cluster.user("suture").token("t1");
        let without = |rule: &&Value| rule["apiGroups"][0] != "policy";
        user.rules(Some("prod"), &json!(rules().iter().filter(without).collect::<Vec<_>>()));
        cluster.deploy("prod", "web", 1);
    })
    .await;
    let notes = rig.observe(WEB).await.notes;
    assert!(notes.iter().any(|n| n.contains("disruption budgets cannot be seen")), "{notes:?}");
}

//! Faults on Kubernetes: where they would go, what is made on the cluster, and who may.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use suture::chaos::kubernetes::KubernetesInjector;
use suture::chaos::{Aim, InjectError, Injector as _, Wish};
use suture::model::{AimedFault, BlastRadius, Fault, FaultKind};

use super::rights::{looking, rights_of, rules_of, used};
use super::{DB, Rig, WEB, target};
use crate::harness::kube::{ADMIN_TOKEN, FakeCluster, Fault as Trouble};

const DOCUMENT: &str = include_str!("../../../deploy/kubernetes/rbac-chaos.yaml");
const MINUTE: Duration = Duration::from_secs(60);
pub const NETWORK: &str = "/apis/chaos-mesh.org/v1alpha1/namespaces/prod/networkchaos";
pub const OBJECT: &str = "/apis/chaos-mesh.org/v1alpha1/namespaces/prod/networkchaos/suture-exp-3-1-latency";

/// A cluster with Chaos Mesh on it, three pods of `web`, and an injector.
pub struct Lab {
    pub rig: Rig,
    pub injector: KubernetesInjector,
}

impl Lab {
    pub async fn new() -> Self {
        Self::of(ADMIN_TOKEN, |_| {}).await
    }

    pub async fn of(token: &str, set_up: impl FnOnce(&FakeCluster)) -> Self {
        let rig = Rig::of(token, |cluster| {
            cluster.install_chaos_mesh();
            cluster.deploy("prod", "web", 3);
            cluster.expose("prod", "web", &json!({"app": "web"}));
            set_up(cluster);
        })
        .await;
        rig.cluster.settled("prod", "web").await;
        let injector = KubernetesInjector::new(rig.clusters.clone());
        Self { rig, injector }
    }

    pub fn cluster(&self) -> &FakeCluster {
        &self.rig.cluster
    }

    async fn aim_at(&self, name: &str, fault: &Fault, pods: &[String], seed: u64) -> Result<Aim, InjectError> {
        let radius = BlastRadius::default();
        let target = target(name);
        self.injector.aim(&Wish { target: &target, fault, instances: pods, radius, seed }).await
    }

    /// Aims a fault by lot, as the plan has it.
    pub async fn aimed(&self, name: &str, fault: Fault, lasts: Duration) -> AimedFault {
        let aim = self.aim_at(name, &fault, &[], 7).await.expect("an aim");
        let from = Duration::from_secs(5);
        AimedFault {
            fault,
            target: target(name),
            instances: aim.instances,
            from,
            until: from + lasts,
            how: aim.how,
            undo: aim.undo,
            held: aim.held,
        }
    }

    /// Puts a delay in, as `EXP-3.1`.
    pub async fn delayed(&self) -> AimedFault {
        let fault = self.aimed(WEB, latency(), MINUTE).await;
        self.injector.put_in("EXP-3.1", &fault).await.expect("a fault that goes in");
        fault
    }
}

pub fn latency() -> Fault {
    Fault::Latency { delay: Duration::from_millis(500), jitter: Duration::ZERO, share: 1.0 }
}

fn errors() -> Fault {
    Fault::Errors { share: 1.0, status: 503 }
}

/// Everything that Chaos Mesh does here, each with what it looks like.
fn mappings() -> Vec<(Fault, &'static str, Value)> {
    let stress = |what: Value| json!({"stressors": what, "containerNames": ["web"], "duration": "60000ms"});
    vec![
        (Fault::Cpu { cores: 1.5 }, "StressChaos", stress(json!({"cpu": {"workers": 2, "load": 75}}))),
        (
            Fault::MemoryPressure { bytes: 256 << 20 },
            "StressChaos",
            stress(json!({"memory": {"workers": 1, "size": "268435456B"}})),
        ),
        (
            latency(),
            "NetworkChaos",
            json!({
                "action": "delay", "direction": "to", "duration": "60000ms",
                "delay": {"latency": "500ms", "jitter": "0ms", "correlation": "0"},
            }),
        ),
        (
            Fault::Resets { share: 0.15 },
            "NetworkChaos",
            json!({
                "action": "loss", "direction": "to", "loss": {"loss": "15", "correlation": "0"}, "duration": "60000ms",
            }),
        ),
        (
            errors(),
            "HTTPChaos",
            json!({"target": "Response", "port": 8080, "replace": {"code": 503}, "duration": "60000ms"}),
        ),
        (Fault::Crash, "PodChaos", json!({"action": "container-kill", "containerNames": ["web"]})),
        (Fault::Hang, "PodChaos", json!({"action": "pod-failure", "duration": "60000ms"})),
        (Fault::Partition, "NetworkChaos", json!({"action": "partition", "direction": "both", "duration": "60000ms"})),
    ]
}

#[tokio::test]
async fn what_is_offered_is_what_is_installed() {
    let lab = Lab::new().await;
    let offered = lab.injector.offers(&target(WEB)).await.unwrap();
    let mut made: Vec<FaultKind> = mappings().iter().map(|(fault, ..)| fault.kind()).collect();
    made.push(FaultKind::PodKill);
    made.sort();
    assert_eq!(offered, made);
    assert_eq!(lab.injector.offers(&target("prod/configmap/web")).await.unwrap(), []);
    lab.cluster().serve_only("chaos-mesh.org", &[]);
    assert_eq!(lab.injector.offers(&target(WEB)).await.unwrap(), [FaultKind::PodKill]);
    let error = lab.aim_at(WEB, &latency(), &[], 7).await.unwrap_err().to_string();
    assert!(error.contains("the cluster test has no NetworkChaos") && error.contains("pod-kill"), "{error}");
    assert_eq!((lab.rig.changes(), lab.cluster().refused()), (0, Vec::new()));
}

#[tokio::test]
async fn each_fault_becomes_an_object_on_the_chosen_pods_alone_and_goes_again() {
    let lab = Lab::new().await;
    for (number, (fault, kind, mut spec)) in mappings().into_iter().enumerate() {
        let (id, name) = (format!("EXP-3.{number}"), fault.kind().name());
        let fault = lab.aimed(WEB, fault, MINUTE).await;
        assert!(fault.how.starts_with(&format!("by Chaos Mesh: {kind} in namespace prod on web-")), "{}", fault.how);
        assert!(fault.undo.contains(kind), "{}", fault.undo);
        let said = lab.injector.put_in(&id, &fault).await.unwrap();
        let [object] = lab.cluster().chaos("prod").try_into().unwrap_or_else(|all| panic!("one object: {all:?}"));
        spec["mode"] = json!("all");
        spec["selector"] = json!({"namespaces": ["prod"], "pods": {"prod": fault.instances}});
        assert_eq!(object["spec"], spec, "{name}");
        let meta = &object["metadata"];
        assert_eq!((&object["kind"], &meta["name"]), (&json!(kind), &json!(format!("suture-exp-3-{number}-{name}"))));
        assert_eq!(meta["labels"]["app.kubernetes.io/managed-by"], "suture");
        assert_eq!(meta["labels"]["suture.dev/experiment"], "EXP-3");
        assert!(meta["labels"]["suture.dev/lease-until"].as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000);
        assert!(said.contains(kind) && said.contains(&fault.instances[0]), "{said}");
        lab.injector.renew(&id, &fault, MINUTE).await.unwrap();
        let out = lab.injector.take_out(&id, &fault).await.unwrap();
        assert!(out.contains("is gone"), "{out}");
        assert!(lab.cluster().chaos("prod").is_empty(), "{name}");
        lab.cluster().settled("prod", "web").await;
    }
    assert_eq!(lab.cluster().refused(), [""; 0]);
}

#[tokio::test]
async fn what_is_not_done_here_is_refused_with_what_to_do_instead() {
    let lab = Lab::new().await;
    for (fault, instead) in [
        (Fault::MemoryLeak { bytes_per_second: 1, at_most: 1 }, "use memory-pressure"),
        (Fault::DiskIo { block: 4096 }, "others' too"),
        (Fault::Load { factor: 3.0 }, "no load"),
        (Fault::Errors { share: 0.5, status: 500 }, "share = 1"),
        (Fault::Latency { delay: MINUTE, jitter: Duration::ZERO, share: 0.2 }, "share = 1"),
        (Fault::Cpu { cores: f64::NAN }, "cores"),
    ] {
        let error = lab.aim_at(WEB, &fault, &[], 7).await.unwrap_err();
        assert!(matches!(&error, InjectError::Refused(why) if why.contains(instead)), "{fault:?}: {error}");
    }
    assert_eq!(lab.rig.changes(), 0);
}

#[tokio::test]
async fn the_lot_falls_on_pods_that_serve_and_no_more_of_them_than_the_radius_allows() {
    let lab = Lab::new().await;
    let pods = lab.cluster().pod_names("prod", "web");
    lab.cluster().hang_pod("prod", &pods[0], Some(crate::harness::kube::Hang::NotReady));
    lab.cluster().until("one is not ready", |c| (c.ready("prod", "web") == 2).then_some(())).await;
    let mut hit = BTreeSet::new();
    for seed in 0..20 {
        let aim = lab.aim_at(WEB, &Fault::PodKill, &[], seed).await.unwrap();
        assert_eq!(aim, lab.aim_at(WEB, &Fault::PodKill, &[], seed).await.unwrap());
        assert_eq!(aim.instances.len(), 1);
        hit.extend(aim.instances);
    }
    assert_eq!(hit, pods[1..].iter().cloned().collect());
    let named = |names: &[&String]| names.iter().map(|name| (*name).clone()).collect::<Vec<_>>();
    let aim = lab.aim_at(WEB, &latency(), &named(&[&pods[2]]), 7).await.unwrap();
    assert_eq!(aim.instances, named(&[&pods[2]]));
    for (names, why) in [
        (named(&[&pods[1], &pods[2]]), "the blast radius allows 1"),
        (named(&[&pods[0]]), "no pod of Deployment web that serves"),
        (vec!["db-0".to_owned()], "no pod of Deployment web that serves"),
        (vec!["../../secrets/x".to_owned()], "no name of a pod"),
        (vec!["web?x=1".to_owned()], "no name of a pod"),
    ] {
        let error = lab.aim_at(WEB, &latency(), &names, 7).await.unwrap_err().to_string();
        assert!(error.contains(why), "{names:?}: {error}");
    }
    lab.cluster().hang_pod("prod", &pods[1], Some(crate::harness::kube::Hang::NotReady));
    lab.cluster().until("one is left", |c| (c.ready("prod", "web") == 1).then_some(())).await;
    let error = lab.aim_at(WEB, &latency(), &[], 7).await.unwrap_err().to_string();
    assert!(error.contains("1 pod of Deployment web serve") || error.contains("blast radius"), "{error}");
    assert_eq!((lab.rig.changes(), lab.cluster().refused()), (0, Vec::new()));
}

#[tokio::test]
async fn wrong_names_reach_no_path() {
    let lab = Lab::new().await;
    let fault = lab.aimed(WEB, latency(), MINUTE).await;
    for id in ["", "EXP-3/../..", "EXP 3", "EXP-3.1?x", &"E".repeat(80)] {
        assert!(matches!(lab.injector.put_in(id, &fault).await, Err(InjectError::Refused(_))), "{id:?}");
        assert!(matches!(lab.injector.take_out(id, &fault).await, Err(InjectError::Refused(_))), "{id:?}");
    }
    for pods in [vec!["../x".to_owned()], vec![], vec!["db-0".to_owned()]] {
        let other = AimedFault { instances: pods, ..fault.clone() };
        assert!(matches!(lab.injector.put_in("EXP-3.1", &other).await, Err(InjectError::Refused(_))), "{other:?}");
    }
    for name in ["prod/deployment/..", "prod/secret/web", "web"] {
        let other = AimedFault { target: target(name), ..fault.clone() };
        assert!(matches!(lab.injector.put_in("EXP-3.1", &other).await, Err(InjectError::Refused(_))), "{name}");
    }
    let blank = AimedFault { held: json!("web"), ..fault.clone() };
    assert!(lab.injector.put_in("EXP-3.1", &blank).await.unwrap_err().to_string().contains("plan anew"));
    assert_eq!((lab.rig.changes(), lab.cluster().refused()), (0, Vec::new()));
}

#[tokio::test]
async fn a_killed_pod_is_that_very_one_once_and_its_controller_makes_another() {
    let lab = Lab::of(ADMIN_TOKEN, |cluster| {
        cluster.serve_only("chaos-mesh.org", &[]);
        cluster.stateful("prod", "db", 2);
    })
    .await;
    lab.cluster().settled("prod", "db").await;
    for name in [WEB, DB] {
        let fault = lab.aimed(name, Fault::PodKill, MINUTE).await;
        let pod = fault.instances[0].clone();
        assert!(fault.how.contains(&format!("by deleting {pod} in namespace prod")), "{}", fault.how);
        let uid = lab.cluster().get(&format!("/api/v1/namespaces/prod/pods/{pod}"))["metadata"]["uid"].clone();
        let said = lab.injector.put_in("EXP-3.1", &fault).await.unwrap();
        assert_eq!(said, format!("{pod} is deleted"));
        let workload = name.rsplit('/').next().unwrap();
        let is_new = |c: &FakeCluster| c.pods("prod", workload).iter().all(|pod| pod["metadata"]["uid"] != uid);
        lab.cluster().until("it is gone", |c| (is_new(c) && c.is_settled("prod", workload)).then_some(())).await;
        let changes = lab.rig.changes();
        let again = lab.injector.put_in("EXP-3.1", &fault).await.unwrap();
        assert_eq!(again, format!("{pod} was deleted already"));
        assert_eq!(lab.rig.changes(), changes);
        assert!(lab.injector.take_out("EXP-3.1", &fault).await.is_ok());
        // For somebody else's pod of that name there was no approval.
        let error = lab.injector.put_in("EXP-4.1", &fault).await.unwrap_err().to_string();
        assert!(error.contains("not there any more"), "{error}");
    }
    let deleted = lab.cluster().requests().into_iter().filter(|request| request.method == "DELETE");
    assert!(deleted.into_iter().all(|request| request.body["preconditions"]["uid"].is_string()));
    assert_eq!(lab.cluster().refused(), [""; 0]);
}

#[tokio::test]
async fn a_deletion_whose_answer_is_lost_is_not_somebody_elses() {
    let lab = Lab::new().await;
    let fault = lab.aimed(WEB, Fault::PodKill, MINUTE).await;
    lab.cluster().fault(Trouble::DropAfterEffect).on("DELETE", "*/pods/*").times(1);
    let error = lab.injector.put_in("EXP-3.1", &fault).await.unwrap_err();
    assert!(matches!(error, InjectError::Unavailable(..)), "{error:?}");
    let again = lab.injector.put_in("EXP-3.1", &fault).await.unwrap();
    assert!(again.ends_with("was deleted already"), "{again}");
}

#[tokio::test]
async fn every_fault_works_with_exactly_the_documented_rights_and_needs_each_of_them() {
    let chaos = rules_of(DOCUMENT);
    let rules: Vec<Value> = looking().into_iter().chain(chaos.clone()).collect();
    let lab =
        Lab::of("t1", |cluster| drop(cluster.user("suture").token("t1").rules(Some("prod"), &json!(rules)))).await;
    for (number, (fault, ..)) in mappings().into_iter().enumerate() {
        let (id, fault) = (format!("EXP-3.{number}"), lab.aimed(WEB, fault, MINUTE).await);
        lab.injector.put_in(&id, &fault).await.unwrap();
        lab.injector.renew(&id, &fault, MINUTE).await.unwrap();
        lab.injector.take_out(&id, &fault).await.unwrap();
        lab.cluster().settled("prod", "web").await;
    }
    let fault = lab.aimed(WEB, Fault::PodKill, MINUTE).await;
    lab.injector.put_in("EXP-3.9", &fault).await.unwrap();
    assert_eq!(lab.injector.leftovers(&target(WEB)).await.unwrap(), []);
    let used = used(lab.cluster());
    let unused: Vec<_> = rights_of(&chaos).difference(&used).cloned().collect();
    assert_eq!(unused, [""; 0], "nothing uses these rights");
    let more: Vec<_> = used.difference(&rights_of(&rules)).cloned().collect();
    assert_eq!(more, ["create authorization.k8s.io selfsubjectaccessreviews"; 0], "these rights are in no document");
    let told = lab.injector.permissions(&target(WEB)).await.unwrap();
    assert!(told.iter().all(|permission| permission.allowed == Some(true)), "{told:?}");
    assert_eq!(lab.cluster().refused(), [""; 0]);
}

#[tokio::test]
async fn a_missing_right_is_named_with_the_document_that_gives_it() {
    let lab =
        Lab::of("t1", |cluster| drop(cluster.user("suture").token("t1").rules(Some("prod"), &json!(looking())))).await;
    let fault = lab.aimed(WEB, latency(), MINUTE).await;
    let error = lab.injector.put_in("EXP-3.1", &fault).await.unwrap_err().to_string();
    assert!(error.contains("create networkchaos in namespace prod"), "{error}");
    assert!(error.contains("deploy/kubernetes/rbac-chaos.yaml"), "{error}");
    let kill = lab.aimed(WEB, Fault::PodKill, MINUTE).await;
    let error = lab.injector.put_in("EXP-3.2", &kill).await.unwrap_err().to_string();
    assert!(error.contains("delete pods in namespace prod"), "{error}");
    let told = lab.injector.permissions(&target(WEB)).await.unwrap();
    assert!(told.iter().all(|permission| permission.allowed == Some(false)), "{told:?}");
    assert!(told.iter().any(|p| p.what == "fault pod-kill" && p.name == "delete pods in namespace prod"));
    assert_eq!(lab.cluster().pod_names("prod", "web").len(), 3);
}

#[tokio::test]
async fn pods_on_their_nodes_network_are_left_alone() {
    let lab = Lab::new().await;
    let patch = json!({"spec": {"template": {"spec": {"hostNetwork": true}}}});
    lab.cluster().patch(super::WEB_PATH, &patch);
    lab.cluster().settled("prod", "web").await;
    let error = lab.aim_at(WEB, &latency(), &[], 7).await.unwrap_err().to_string();
    assert!(error.contains("hostNetwork") && error.contains("everything on that node"), "{error}");
    assert!(lab.aim_at(WEB, &Fault::Hang, &[], 7).await.is_ok());
}

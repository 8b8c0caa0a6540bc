//! The same three acts for every kind of target, with the real daemon: a cure that helps, a cure that does not and is taken
//! back, and a world that moved between the plan and the yes.

use std::time::{Duration, Instant};

use suture::incident::{Phase, Step};
use suture::model::{IncidentId, RunId, Verdict};

use crate::harness::Rig;

/// A platform as the acts need it.
pub trait Platform {
    /// The target: `haproxy:be_shop`.
    fn target(&self) -> String;
    /// The tables of the config that define it.
    fn tables(&self) -> String;
    /// What the daemon finds in its environment.
    fn env(&self) -> Vec<(String, String)> {
        Vec::new()
    }
    /// The cure: a playbook with its arguments.
    fn cure(&self) -> &'static str;
    /// What the card says of the plan.
    fn card(&self) -> Vec<&'static str>;
    /// Is the platform as the cure leaves it?
    fn is_changed(&self) -> bool;
    /// Is it as it was in the beginning?
    fn is_as_before(&self) -> bool;
    /// Waits until what follows from that by itself has followed.
    fn settle(&self) {}
    /// Somebody else changes what the cure is about.
    fn meddle(&self);
    /// And puts it back.
    fn put_back(&self);
}

/// All three, one after the other, on one daemon.
pub fn three_acts(platform: &dyn Platform) {
    let mut rig = Rig::healed_by(&platform.target(), &platform.tables(), platform.env());
    rig.start();
    assert!(platform.is_as_before(), "the platform does not begin as it should");
    it_helps(&rig, platform);
    it_does_not_help_and_is_taken_back(&rig, platform);
    the_world_moved(&rig, platform);
    rig.end();
}

/// Ill from now on, with an incident and the question about the cure.
fn asked(rig: &Rig, platform: &dyn Platform, last: u64) -> IncidentId {
    platform.settle();
    rig.crowded();
    let incident = rig.until("an incident", |s| {
        s.incidents.values().find(|i| i.id.0 > last && i.phase == Phase::Escalated).map(|i| i.id)
    });
    let said = rig.say(&format!("plan {incident} {}", platform.cure()));
    rig.until("a plan that is asked about", |s| {
        let incident = s.incidents.get(&incident)?;
        if let (None, Some(why)) = (&incident.question, &incident.note) {
            assert!(!why.contains("no plan"), "{why}; {said}");
        }
        incident.question.as_ref().map(|_| ())
    });
    // What the daemon shows follows the ledger, which was read here, by a moment.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let card = rig.say(&format!("show {incident}"));
        let missing = platform.card().into_iter().find(|words| !card.contains(words));
        let Some(words) = missing else { break };
        assert!(Instant::now() < deadline, "`{words}` is not on the card:\n{card}");
        std::thread::sleep(Duration::from_millis(50));
    }
    incident
}

fn last_incident(rig: &Rig) -> u64 {
    crate::harness::state(&rig.data()).incidents.keys().map(|id| id.0).max().unwrap_or_default()
}

fn run_of(rig: &Rig, incident: IncidentId) -> RunId {
    rig.until("a run", |s| s.incidents[&incident].runs.last().copied())
}

fn it_helps(rig: &Rig, platform: &dyn Platform) {
    let incident = asked(rig, platform, last_incident(rig));
    rig.say(&format!("approve {incident}"));
    let run = run_of(rig, incident);
    rig.until("the cure is done", |s| {
        let run = &s.runs[&run];
        assert_eq!(run.failure, None);
        run.done.then_some(())
    });
    assert!(platform.is_changed(), "the run is done, and the platform is as it was");
    rig.well();
    let verdict = rig.until("a verdict", |s| s.runs[&run].verdict.as_ref().map(|(verdict, _)| *verdict));
    assert_eq!(verdict, Verdict::Improved);
    rig.until("the end of the incident", |s| (!s.incidents[&incident].is_open()).then_some(()));
    assert!(platform.is_changed(), "a cure that helped stays");
    rig.say(&format!("rollback {run} the night is over"));
    rig.until("the way back", |s| s.runs[&run].undo_done.then_some(()));
    assert!(platform.is_as_before(), "{:?}", crate::harness::state(&rig.data()).runs[&run].steps);
}

fn it_does_not_help_and_is_taken_back(rig: &Rig, platform: &dyn Platform) {
    let incident = asked(rig, platform, last_incident(rig));
    rig.say(&format!("approve {incident}"));
    let run = run_of(rig, incident);
    rig.until("everything is taken back", |s| s.runs[&run].undo_done.then_some(()));
    let state = crate::harness::state(&rig.data());
    let steps = &state.runs[&run].steps;
    assert!(steps.iter().all(|step| *step == Step::Undone), "{steps:?}");
    assert!(platform.is_as_before());
    rig.well();
    rig.until("it is over by itself", |s| (!s.incidents[&incident].is_open()).then_some(()));
}

fn the_world_moved(rig: &Rig, platform: &dyn Platform) {
    let incident = asked(rig, platform, last_incident(rig));
    let first = rig.until("the question", |s| s.incidents[&incident].question.as_ref().map(|q| q.digest));
    platform.meddle();
    rig.say(&format!("approve {incident}"));
    let run = run_of(rig, incident);
    let why = rig.until("the run is refused", |s| s.runs[&run].failure.clone());
    assert!(why.1, "it was refused because the world had moved: {why:?}");
    let second = rig.until("a fresh plan", |s| {
        s.incidents[&incident].question.as_ref().map(|q| q.digest).filter(|digest| *digest != first)
    });
    assert_ne!(first, second);
    platform.put_back();
    rig.say(&format!("reject {incident} enough"));
    rig.well();
}

mod haproxy {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use super::{Platform, three_acts};
    use crate::harness::haproxy::{Haproxy, holding_server};

    struct Backend(Haproxy);

    impl Backend {
        fn say(&self, command: &str) -> String {
            let mut socket = UnixStream::connect(self.0.socket()).unwrap();
            socket.write_all(format!("{command}\n").as_bytes()).unwrap();
            let mut said = String::new();
            socket.read_to_string(&mut said).unwrap();
            said
        }

        fn weighs(&self, weight: u32) -> bool {
            self.say("get weight be_shop/s2").starts_with(&format!("{weight} "))
        }
    }

    impl Platform for Backend {
        fn target(&self) -> String {
            "haproxy:be_shop".to_owned()
        }

        fn tables(&self) -> String {
            format!("[[target]]\nname = \"haproxy:be_shop\"\nsocket = \"{}\"\n", self.0.socket().display())
        }

        fn cure(&self) -> &'static str {
            "rebalance instance=s2 percent=25"
        }

        fn card(&self) -> Vec<&'static str> {
            vec!["haproxy:be_shop weights", "s2=100 -> s2=25", "yes, every step"]
        }

        fn is_changed(&self) -> bool {
            self.weighs(25)
        }

        fn is_as_before(&self) -> bool {
            self.weighs(100)
        }

        fn meddle(&self) {
            self.say("set weight be_shop/s2 60");
        }

        fn put_back(&self) {
            self.say("set weight be_shop/s2 100");
        }
    }

    #[test]
    fn a_backend_of_haproxy() {
        let (one, two) = (holding_server(b'1'), holding_server(b'2'));
        let servers = format!("backend be_shop\n  server s1 {one} weight 100\n  server s2 {two} weight 100\n");
        three_acts(&Backend(Haproxy::start(&servers)));
    }
}

mod redis {
    use super::{Platform, three_acts};
    use crate::harness::redis_server::RedisServer;

    struct Cache(RedisServer);

    impl Platform for Cache {
        fn target(&self) -> String {
            "redis:cache".to_owned()
        }

        fn tables(&self) -> String {
            let url = self.0.url();
            format!("[[target]]\nname = \"redis:cache\"\nurl = \"{url}\"\nttl_key = \"shop:ttl\"\n")
        }

        fn cure(&self) -> &'static str {
            "cache-aggressively factor=30"
        }

        fn card(&self) -> Vec<&'static str> {
            vec!["redis:cache cache lifetime", "2.0 s -> 1 min 00 s", "yes, every step"]
        }

        fn is_changed(&self) -> bool {
            self.0.cli(&["GET", "shop:ttl"]).trim() == "60"
        }

        fn is_as_before(&self) -> bool {
            self.0.cli(&["GET", "shop:ttl"]).trim() == "2"
        }

        fn meddle(&self) {
            self.0.cli(&["SET", "shop:ttl", "5"]);
        }

        fn put_back(&self) {
            self.0.cli(&["SET", "shop:ttl", "2"]);
        }
    }

    #[test]
    fn a_redis_server() {
        let server = RedisServer::start("");
        server.cli(&["SET", "shop:ttl", "2"]);
        three_acts(&Cache(server));
    }
}

#[cfg(feature = "aws")]
mod aws {
    use std::sync::Arc;

    use tokio::runtime::Runtime;

    use super::{Platform, three_acts};
    use crate::harness::{Gate, Moto};

    struct Group {
        moto: Arc<Moto>,
        gate: Gate,
        /// What the gate and the calls of the case run on.
        runtime: Runtime,
    }

    const NAME: &str = "three-acts";

    impl Group {
        fn desired(&self) -> String {
            let asked = [("AutoScalingGroupNames.member.1", NAME)];
            let said = self.runtime.block_on(self.moto.ask("autoscaling", "DescribeAutoScalingGroups", &asked));
            let after = said.split("<DesiredCapacity>").nth(1).unwrap_or_default();
            after.split('<').next().unwrap_or_default().to_owned()
        }

        fn set(&self, desired: &str) {
            let asked = [("AutoScalingGroupName", NAME), ("DesiredCapacity", desired)];
            self.runtime.block_on(self.moto.ask("autoscaling", "SetDesiredCapacity", &asked));
        }
    }

    impl Platform for Group {
        fn target(&self) -> String {
            format!("asg:{NAME}")
        }

        fn tables(&self) -> String {
            let aws = self.gate.settings();
            format!(
                "[[target]]\nname = \"asg:{NAME}\"\nready_within = \"60s\"\n\
                 aws = {{ region = \"{}\", endpoint = \"{}\" }}\n",
                aws.region.unwrap(),
                aws.endpoint.unwrap()
            )
        }

        fn env(&self) -> Vec<(String, String)> {
            [("AWS_ACCESS_KEY_ID", "AKIATEST"), ("AWS_SECRET_ACCESS_KEY", "not-a-secret")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec()
        }

        fn cure(&self) -> &'static str {
            "scale-out by=1"
        }

        fn card(&self) -> Vec<&'static str> {
            vec!["asg:three-acts instances", "2 -> 3", "yes, every step"]
        }

        fn is_changed(&self) -> bool {
            self.desired() == "3"
        }

        fn is_as_before(&self) -> bool {
            self.desired() == "2"
        }

        fn meddle(&self) {
            self.set("4");
        }

        fn put_back(&self) {
            self.set("2");
        }
    }

    #[test]
    fn an_auto_scaling_group() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let moto = Moto::shared();
        let gate = runtime.block_on(async {
            moto.group(NAME, 2).await;
            Gate::open(Arc::clone(&moto)).await
        });
        three_acts(&Group { moto, gate, runtime });
    }
}

#[cfg(feature = "kubernetes")]
mod kubernetes {
    use serde_json::json;

    use super::{Platform, three_acts};
    use crate::harness::kube::{ADMIN_TOKEN, FakeCluster};
    use suture::incident::Phase;

    use crate::harness::{PATIENCE, Rig, Running, count, eventually, state, suture};

    const WEB: &str = "/apis/apps/v1/namespaces/prod/deployments/web";
    const HPA: &str = "/apis/autoscaling/v2/namespaces/prod/horizontalpodautoscalers/web";

    /// A Deployment, with an autoscaler in front of it or without.
    struct Workload {
        cluster: FakeCluster,
        folder: tempfile::TempDir,
        scaled: bool,
    }

    impl Workload {
        fn new(scaled: bool) -> Self {
            let (cluster, folder) = (FakeCluster::begin(), tempfile::tempdir().unwrap());
            cluster.deploy("prod", "web", 2);
            if scaled {
                cluster.autoscale("prod", "web", 2, 6);
                // By its own measure one would do: it keeps to its floor.
                cluster.load("prod", "web", Some(1));
            }
            cluster.wait("its pods", |cluster| (cluster.ready("prod", "web") == 2).then_some(()));
            Self { cluster, folder, scaled }
        }

        fn wanted(&self) -> i64 {
            match self.scaled {
                true => self.cluster.get(HPA)["spec"]["minReplicas"].as_i64().unwrap(),
                false => self.cluster.get(WEB)["spec"]["replicas"].as_i64().unwrap(),
            }
        }

        fn want(&self, n: i64) {
            match self.scaled {
                true => self.cluster.patch(HPA, &json!({ "spec": { "minReplicas": n } })),
                false => self.cluster.patch(WEB, &json!({ "spec": { "replicas": n } })),
            };
        }
    }

    impl Platform for Workload {
        fn target(&self) -> String {
            "k8s:prod/deployment/web".to_owned()
        }

        fn tables(&self) -> String {
            // The name says it all; which cluster, the environment does.
            String::new()
        }

        fn env(&self) -> Vec<(String, String)> {
            let kubeconfig = self.cluster.kubeconfig(self.folder.path(), ADMIN_TOKEN);
            vec![("KUBECONFIG".to_owned(), kubeconfig.display().to_string())]
        }

        fn cure(&self) -> &'static str {
            "scale-out by=1"
        }

        fn card(&self) -> Vec<&'static str> {
            match self.scaled {
                true => vec!["2 to 6 -> 3 to 6", "HorizontalPodAutoscaler web owns the number of replicas"],
                false => vec!["k8s:prod/deployment/web replicas", "2 -> 3", "yes, every step"],
            }
        }

        fn is_changed(&self) -> bool {
            self.wanted() == 3
        }

        fn is_as_before(&self) -> bool {
            self.wanted() == 2
        }

        fn settle(&self) {
            self.cluster.wait("two replicas", |cluster| (cluster.replicas("prod", "web") == 2).then_some(()));
        }

        fn meddle(&self) {
            self.want(4);
        }

        fn put_back(&self) {
            self.want(2);
        }
    }

    #[test]
    fn a_deployment() {
        three_acts(&Workload::new(false));
    }

    #[test]
    fn a_deployment_that_an_autoscaler_owns() {
        three_acts(&Workload::new(true));
    }

    #[test]
    fn services_are_found_and_go_with_their_workloads() {
        let workload = Workload::new(false);
        workload.cluster.patch(WEB, &json!({ "metadata": { "labels": { "watch": "yes" } } }));
        let mut rig = Rig::healed_by("k8s:prod/deployment/web", "", workload.env());
        rig.write(|config| {
            let service = config.find("[[service]]").unwrap();
            let grants = config.find("[[grant]]").unwrap();
            let template = config[service..grants]
                .replace("[[service]]", "[discover.service]")
                .replace("[service.", "[discover.service.")
                .replace("[[service.source]]", "[[discover.service.source]]")
                .replace("name = \"shop\"\n", "")
                .replace("targets = [\"k8s:prod/deployment/web\"]\n", "");
            let table = "[[discover]]\nnamespace = \"prod\"\nselector = \"watch=yes\"\nname = \"{namespace}-{name}\"\n";
            format!("{}{table}{template}{}", &config[..service], &config[grants..])
        });
        rig.start();
        let watched = |rig: &Rig, name: &str| rig.say("status").contains(name);
        eventually(PATIENCE, "the workload is a service", || watched(&rig, "prod-web").then_some(()));
        workload.cluster.deploy("prod", "api", 1);
        let api = "/apis/apps/v1/namespaces/prod/deployments/api";
        workload.cluster.patch(api, &json!({ "metadata": { "labels": { "watch": "yes" } } }));
        eventually(PATIENCE, "so is a new one", || watched(&rig, "prod-api").then_some(()));
        workload.cluster.delete(api);
        eventually(PATIENCE, "and it goes", || (!watched(&rig, "prod-api")).then_some(()));
        assert!(watched(&rig, "prod-web"));

        // It is healed as if it stood in the file; also by a daemon that was killed meanwhile and finds no cluster.
        rig.crowded();
        let incident = rig.until("an incident", |s| {
            s.incidents.values().find(|i| i.service.0 == "prod-web" && i.phase == Phase::Escalated).map(|i| i.id)
        });
        rig.kill();
        workload.cluster.down(true);
        rig.start();
        assert!(watched(&rig, "prod-web"), "what was found is known from the first moment");
        workload.cluster.down(false);
        eventually(PATIENCE, "the plan", || {
            rig.say(&format!("plan {incident} scale-out by=1"));
            state(&rig.data()).incidents[&incident].question.is_some().then_some(())
        });
        rig.say(&format!("approve {incident}"));
        rig.until("the cure", |s| s.runs.values().find(|run| run.done).map(|_| ()));
        assert!(workload.is_changed());
        rig.well();
        rig.until("the end of the incident", |s| (!s.incidents[&incident].is_open()).then_some(()));
        assert_eq!(count(&rig.data(), "service-found"), 2, "once each, however often the daemon begins");
        assert_eq!(count(&rig.data(), "service-gone"), 1);

        // Without its table it is no service any more.
        rig.stop();
        rig.write(|config| {
            let discover = config.find("[[discover]]").unwrap();
            let host = "[[service]]\nname = \"host\"\nmode = \"observe\"\n[[service.source]]\nkind = \"host\"\n";
            format!("{}{host}", &config[..discover])
        });
        rig.start();
        rig.until("it is gone", |s| s.found.is_empty().then_some(()));
        rig.end();
    }

    #[test]
    fn a_check_says_what_the_credentials_allow() {
        let workload = Workload::new(false);
        let looks = [
            ("", "pods"),
            ("apps", "deployments"),
            ("apps", "replicasets"),
            ("autoscaling", "horizontalpodautoscalers"),
        ];
        let mut user = workload.cluster.user("looker").token("looks");
        for (group, resource) in looks.into_iter().chain([("policy", "poddisruptionbudgets")]) {
            user = user.allow("get,list,watch", group, resource, Some("prod"));
        }
        let kubeconfig = workload.cluster.kubeconfig(workload.folder.path(), "looks").display().to_string();
        let rig = Rig::healed_by("k8s:prod/deployment/web", "", Vec::new());
        let mut command = suture(&["check", "--live", "--config", "suture.toml"]);
        command.env("KUBECONFIG", kubeconfig);
        let mut check = Running::spawn(rig.dir.path(), command);
        let status = check.ended_within(PATIENCE * 4);
        check.said(status).expect(
            0,
            &[
                "ok    target k8s:prod/deployment/web: 2 of 2 instances serve",
                "ok    target k8s:prod/deployment/web: may look (list pods in namespace prod)",
                "may not scale: the permission `patch deployments/scale in namespace prod` is missing",
                "docs/TARGETS.md",
            ],
        );
        assert_eq!(workload.cluster.refused(), [""; 0]);
    }
}

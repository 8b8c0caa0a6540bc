//! The check against adapters that answer, refuse, stay silent or give nonsense.

use super::*;
use crate::act::{ActError, Progress};
use crate::collect::SourceError;
use crate::model::{Action, Facet, SourceFault, TargetId};
use async_trait::async_trait;

/// A source that does what the name of its first page says.
struct FakeSource(String);

#[async_trait]
impl Source for FakeSource {
    fn name(&self) -> &str {
        &self.0
    }

    async fn read(&mut self) -> Result<Gathered, SourceError> {
        let mut gathered = Gathered::default();
        match self.0.as_str() {
            "scrape http://silent/" => std::future::pending::<()>().await,
            "scrape http://refused/" => {
                return Err(SourceError { source_name: self.0.clone(), why: "connection refused".to_owned() });
            }
            "scrape http://empty/" => {}
            "scrape http://half/" => {
                gathered.values.insert("requests".to_owned(), 1.0);
                let why = "\u{1b}[2Jno page".to_owned();
                gathered.faults.push(SourceFault { source: "http://half/2".to_owned(), why });
            }
            _ => {
                gathered.values.insert("cpu_percent".to_owned(), 1.0);
            }
        }
        Ok(gathered)
    }
}

struct FakeActuator;

#[async_trait]
impl Actuator for FakeActuator {
    fn kind(&self) -> &'static str {
        "local"
    }

    async fn observe(&self, target: &TargetId) -> Result<TargetState, ActError> {
        match target.name() {
            "gone" => Err(ActError::NotFound(target.to_string())),
            "silent" => std::future::pending().await,
            _ => Ok(TargetState {
                replicas: 2,
                min_replicas: 1,
                max_replicas: 8,
                instances: Vec::new(),
                ..TargetState::default()
            }),
        }
    }

    async fn apply(&self, _: &Action, _: &Facet, _: &str, _: &Progress) -> Result<String, ActError> {
        panic!("a check changes nothing")
    }
}

fn ports() -> CheckPorts {
    let loaded = |kinds: &[ActionKind]| Loaded { digest: Digest::of(b"x"), kinds: kinds.iter().copied().collect() };
    let built_in =
        |role, name: &str, kinds: &[ActionKind]| BuiltIn { role, name: name.to_owned(), loaded: loaded(kinds) };
    CheckPorts {
        chat: Box::new(|_| (Vec::new(), Ok(0))),
        chaos: Box::new(|_, _| Box::pin(std::future::ready(Ok(Vec::new())))),
        source: Box::new(|_, _, settings| match settings {
            SourceSettings::Host(_) => Ok(Box::new(FakeSource("host".to_owned()))),
            SourceSettings::Scrape(scrape) => Ok(Box::new(FakeSource(format!("scrape {}", scrape.urls[0])))),
            other => Err(format!("no test has a source of kind {}", other.kind_and_feature().0)),
        }),
        target: Box::new(|_, target| match target.id().name() {
            "unmade" => Err("./unmade is no program".to_owned()),
            _ => Ok(Arc::new(FakeActuator)),
        }),
        component: Box::new(move |_, path| match std::fs::read(path) {
            Ok(bytes) if bytes.starts_with(b"\0asm") => {
                Ok(Loaded { digest: Digest::of(&bytes), kinds: [ActionKind::Scale].into() })
            }
            _ => Err("not a component".to_owned()),
        }),
        built_in: vec![
            built_in(Role::Playbook, "scale-out", &[ActionKind::Scale]),
            built_in(Role::Playbook, "shed-load", &[ActionKind::Isolate, ActionKind::Traffic]),
            built_in(Role::Rule, "triage", &[]),
        ],
        accepted: BTreeMap::new(),
    }
}

async fn checked(text: &str, offline: bool, files: &[(&str, &[u8])]) -> (CheckOutcome, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let path = folder.path().join("suture.toml");
    std::fs::write(&path, text).unwrap();
    (check(&path, if offline { Depth::Offline } else { Depth::World }, &ports()).await, folder)
}

/// `line: level: message` of each problem.
fn lines(outcome: &CheckOutcome) -> Vec<String> {
    let line = |p: &Problem| p.line.map_or("-".to_owned(), |n| n.to_string());
    outcome.problems.iter().map(|p| format!("{}: {}: {}", line(p), p.level, p.message)).collect()
}

#[tokio::test]
async fn the_starter_file_is_good() {
    let (outcome, _folder) = checked(crate::config::STARTER, false, &[]).await;
    assert_eq!(outcome.exit, EXIT_OK, "{}", outcome.for_people());
    assert!(outcome.for_people().contains("ok    service host: host gives 1 metrics\n"));
    assert_eq!(outcome.as_json(), "[]");
}

#[tokio::test]
async fn errors_of_the_file_come_alone_and_exit_2() {
    let text = "[[service]]\nname = \"shop\"\nrules = [\"triaje\"]\n[[service.source]]\nkind = \"host\"\n";
    let (outcome, _folder) = checked(text, false, &[]).await;
    assert_eq!(outcome.exit, EXIT_CONFIG);
    assert_eq!(lines(&outcome), ["3: error: service `shop`: there is no rule `triaje`"]);
    let json: serde_json::Value = serde_json::from_str(&outcome.as_json()).unwrap();
    assert_eq!(json[0]["severity"], "error");
    assert_eq!((&json[0]["line"], &json[0]["column"]), (&3.into(), &10.into()));
    assert_eq!(json[0]["help"], "did you mean `triage`?");
    assert!(json[0]["file"].as_str().unwrap().ends_with("suture.toml"));
}

const SICK: &str = r#"
[[service]]
name = "shop"
targets = ["local:shop", "local:gone", "local:silent", "local:unmade"]
interval = "1s"
[[service.source]]
kind = "scrape"
urls = ["http://refused/"]
[[service.source]]
kind = "scrape"
urls = ["http://silent/"]
[[service.source]]
kind = "scrape"
urls = ["http://empty/"]
[[service.source]]
kind = "scrape"
urls = ["http://half/"]
[[service.source]]
kind = "host"
[service.source.metric.cpu_percnet]
limit = 90
[[target]]
name = "local:shop"
command = ["x", "{port}"]
[[target]]
name = "local:gone"
command = ["x", "{port}"]
[[target]]
name = "local:silent"
command = ["x", "{port}"]
[[target]]
name = "local:unmade"
command = ["x", "{port}"]
[[grant]]
playbook = "*"
targets = ["local:*"]
allow = ["scale", "isolate"]
max_delta = 3
[plugins]
playbooks_dir = "mine"
[plugins.pins]
scale-out = "0000000000000000000000000000000000000000000000000000000000000000"
"#;

#[tokio::test(start_paused = true)]
async fn everything_that_does_not_answer_comes_out_in_one_pass() {
    let files: [(&str, &[u8]); 3] =
        [("mine/dance.wasm", b"\0asm"), ("mine/broken.wasm", b"oops"), ("mine/readme.txt", b"")];
    let (outcome, folder) = checked(SICK, false, &files).await;
    let broken = folder.path().join("mine/broken.wasm");
    assert_eq!(outcome.exit, EXIT_LIVE);
    assert_eq!(
        lines(&outcome),
        [
            "6: error: scrape http://refused/: connection refused".to_owned(),
            "9: error: scrape http://silent/: no answer within 800ms".to_owned(),
            "12: error: scrape http://empty/: it answers, but gives no metrics".to_owned(),
            "15: error: http://half/2: \\u{1b}[2Jno page".to_owned(),
            "18: warning: this host gives no metric `cpu_percnet`: its settings have no effect".to_owned(),
            "25: error: target local:gone: local:gone does not exist".to_owned(),
            "28: error: target local:silent: no answer within 10s".to_owned(),
            "31: error: target local:unmade: ./unmade is no program".to_owned(),
            "34: warning: playbook shed-load can also do \"traffic\", which no grant allows: it will be refused"
                .to_owned(),
            format!("40: error: playbook broken ({}): not a component", broken.display()),
            format!(
                "42: error: playbook scale-out has the SHA-256 {}, and is pinned to {}",
                Digest::of(b"x"),
                Digest([0; 32])
            ),
        ]
    );
    let text = outcome.for_people();
    for good in ["target local:shop: 0 of 2 instances serve", "rule triage", "playbook dance: may scale local:"] {
        assert!(text.contains(good), "{good} is not in:\n{text}");
    }
    assert!(text.ends_with("\n9 errors, 2 warnings\n"), "{text}");
}

#[tokio::test]
async fn offline_asks_no_source_and_no_target() {
    let (outcome, _folder) = checked(SICK, true, &[("mine/dance.wasm", b"\0asm")]).await;
    assert_eq!(lines(&outcome).len(), 2, "{:?}", lines(&outcome));
    assert!(outcome.for_people().contains("offline"));
}

#[tokio::test]
async fn warnings_do_not_fail() {
    let text = "[[service]]\nname = \"shop\"\nmode = \"auto\"\n[[service.source]]\nkind = \"host\"\n";
    let (outcome, _folder) = checked(text, false, &[]).await;
    assert_eq!((outcome.exit, outcome.problems.len()), (EXIT_OK, 2));
}

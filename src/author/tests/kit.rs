//! Trials, verdicts, inspecting, and new folders.

use super::*;
use crate::author::world::OnlyPlan;
use crate::model::{Effect, Role};
use crate::wasm::World;

async fn tried(name: &str, text: &str) -> (Component, Case, Trial) {
    let (component, case) = (stock(name).await, case(text));
    let trial = component.try_case(&case).await;
    (component, case, trial)
}

fn lines(differences: &[Difference]) -> Vec<String> {
    let one = |line: &Line| match line {
        Line::Same(text) => format!(" {text}"),
        Line::Missing(text) => format!("-{text}"),
        Line::Surplus(text) => format!("+{text}"),
    };
    differences.iter().flat_map(|d| d.lines.iter().map(one)).collect()
}

#[tokio::test]
async fn the_cases_of_the_stock_playbooks_hold() {
    for name in crate::config::STOCK_PLAYBOOKS {
        let component = stock(name).await;
        let folder = format!("{}/playbooks/{name}/cases", env!("CARGO_MANIFEST_DIR"));
        let mut cases = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let case = Case::load(&path).unwrap_or_else(|e| panic!("{e}"));
            let trial = component.try_case(&case).await;
            assert_eq!(differences(&component, &case, &trial), [], "{}: {:?}", path.display(), trial.outcome);
            component.check_again(&case, &trial).await.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            cases += 1;
        }
        assert!((2..=4).contains(&cases), "{name} has {cases} cases");
    }
}

#[tokio::test]
async fn what_differs_is_shown_line_by_line() {
    let (component, case, trial) =
        tried("shed-load", "[args]\ninstance = \"shop-2\"\n[expect]\nplan = [\"local:shop workers 2 -> 3\", \"x\"]\n")
            .await;
    let found = differences(&component, &case, &trial);
    let expected = [" local:shop workers 2 -> 3", "-x", "+local:shop/shop-2 in traffic -> isolated"];
    assert_eq!(lines(&found), expected);
    let (component, case, trial) = tried("scale-out", "[expect]\nerror = \"not applicable\"\n").await;
    let found = differences(&component, &case, &trial);
    assert_eq!(lines(&found), ["-error: not applicable", "+local:shop workers 2 -> 4"]);
}

#[tokio::test]
async fn a_denial_and_a_failing_platform_end_the_plan() {
    let (_, _, trial) = tried("scale-out", "[[deny]]\ncapability = \"scale\"\n").await;
    assert!(trial.error().unwrap().starts_with("denied: scale on local:shop: add\n[[grant]]"), "{trial:?}");
    let (_, _, trial) = tried("scale-out", "[[fail]]\ncall = \"scale.set-replicas\"\nerror = \"timed-out\"\n").await;
    assert_eq!(trial.error(), Some("timed out: no answer from local:shop in time"));
    let (_, _, trial) =
        tried("scale-out", "[[fail]]\ncall = \"scale.set-replicas\"\nerror = \"timed-out\"\nnth = 2\n").await;
    assert_eq!(trial.error(), None, "the second call never comes");
    assert!(trial.fault.is_none());
}

#[tokio::test]
async fn platforms_fail_in_the_new_calls_too() {
    let target = "[[target]]\nname = \"asg:web\"\nrollout = 0\nstores_entries = true\nsettings = { a = \"1\" }\n";
    for (name, call, given) in [
        ("rolling-restart", "rollout.roll-out", ""),
        ("tune", "configure.set", "[args]\nsetting = \"a\"\nvalue = \"2\"\n"),
        ("flush-cache", "flush.by-prefix", "[args]\nprefix = \"a\"\n"),
        ("tune", "incident.target.state", "[args]\nsetting = \"a\"\nvalue = \"2\"\n"),
    ] {
        let fail = format!("[[fail]]\ncall = \"{call}\"\nerror = \"timed-out\"\n");
        let (_, _, trial) = tried(name, &format!("{target}{fail}{given}")).await;
        assert_eq!(trial.error(), Some("timed out: no answer from asg:web in time"), "{name}: {call}");
    }
}

#[tokio::test]
async fn in_the_real_run_of_a_case_pods_come_back_under_other_names() {
    let text = "[[target]]\nname = \"k8s:prod/deployment/web\"\nrenames = true\n[args]\nall = \"true\"\n";
    let (component, case, trial) = tried("restart-service", text).await;
    component.check_again(&case, &trial).await.unwrap();
    let (mut world, _) = OnlyPlan::new(&case, &trial.steps);
    world.act(trial.steps[0].action.clone()).await.unwrap();
    let state = world.observe(trial.steps[0].action.target()).await.unwrap();
    let names: Vec<_> = state.instances.iter().map(|i| i.name.as_str()).collect();
    assert_eq!(names, ["web-1-again", "web-2"]);
}

#[tokio::test]
async fn what_a_grant_has_to_name_stands_in_it() {
    for (name, line) in [("tune", "settings = ["), ("flush-cache", "prefixes = [")] {
        let found = inspect(&host(), std::path::Path::new(name)).await.unwrap();
        assert!(found.grant.contains(line), "{}", found.grant);
        assert!(found.grant.parse::<toml::Table>().is_ok(), "{}", found.grant);
    }
}

#[tokio::test]
async fn rules_are_tested_by_their_proposals() {
    let text = "[[incident.driver]]\nmetric = \"pool_waiters\"\nshare = 0.9\nvalue = 80.0\nnormal = 1.0\nhigh = 3.0\n\
                trend = \"rising\"\n[metrics]\npool_waiters = 80.0\n[expect]\nproposals = [\"nothing\"]\n";
    let (component, case, trial) = tried("stock", text).await;
    assert_eq!(component.role(), Role::Rule);
    assert!(matches!(trial.outcome, Outcome::Proposals(_)), "{trial:?}");
    assert!(lines(&differences(&component, &case, &trial)).contains(&"-nothing".to_owned()));
    component.check_again(&case, &trial).await.unwrap();
    let (component, case, trial) = tried("stock", "[expect]\nplan = []\n").await;
    assert!(!differences(&component, &case, &trial).is_empty(), "a rule makes no plan");
}

#[tokio::test]
async fn a_component_is_known_by_its_imports() {
    let found = inspect(&host(), std::path::Path::new("restart-service")).await.unwrap();
    assert_eq!((found.effect, found.role, found.wit.as_str()), (Effect::Destructive, Role::Playbook, "1.1.0"));
    assert!(found.grant.contains("allow = [\"restart\"]") && !found.grant.contains("max_delta"), "{}", found.grant);
    let grants: toml::Table = found.grant.parse().unwrap();
    assert!(grants.contains_key("grant"));
    assert!(found.pin.contains(&found.sha256.to_string()));
    assert!(found.describe_fuel > 0);
    let rule = inspect(&host(), std::path::Path::new("stock")).await.unwrap();
    assert_eq!((rule.effect, rule.grant.as_str()), (Effect::Observe, ""));
    let missing = inspect(&host(), std::path::Path::new("no-such")).await.unwrap_err();
    assert!(missing.is_usage() && missing.to_string().contains("no-such"), "{missing}");
}

#[test]
fn a_new_folder_is_whole_and_never_overwrites() {
    let dir = tempfile::tempdir().unwrap();
    for lang in [Lang::Rust, Lang::Python, Lang::Js] {
        let name = format!("one-more-{}", format!("{lang:?}").to_lowercase());
        let made = scaffold(&name, lang, dir.path()).unwrap();
        assert!(made.join("cases").is_dir(), "{lang:?}");
        assert_eq!(build::lang_of(&made).unwrap(), lang);
        let again = scaffold(&name, lang, dir.path()).unwrap_err();
        assert!(again.is_usage() && again.to_string().contains("is there already"), "{again}");
        if lang != Lang::Rust {
            // What it imports is there, in the version that it names.
            let mut resolve = wit_parser::Resolve::default();
            let (package, _) = resolve.push_dir(made.join("wit")).unwrap();
            resolve.select_world(&[package], Some("this-playbook")).unwrap();
        }
        for case in std::fs::read_dir(made.join("cases")).unwrap() {
            Case::load(&case.unwrap().path()).unwrap_or_else(|e| panic!("{e}"));
        }
    }
    for name in ["", "One", "one_more", "-one", "one-", "1st", "a--b", "self", "../x", "x\u{1b}[31m"] {
        let error = scaffold(name, Lang::Rust, dir.path()).unwrap_err();
        assert!(error.is_usage() && !error.to_string().contains('\u{1b}'), "{name}: {error}");
    }
}

#[test]
fn a_folder_without_a_playbook_is_told_what_belongs_there() {
    let dir = tempfile::tempdir().unwrap();
    let error = build(dir.path()).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("suture playbook new"), "{error}");
    std::fs::write(dir.path().join("Cargo.toml"), "[workspace]\n").unwrap();
    assert!(build(dir.path()).unwrap_err().to_string().contains("no [package]"));
    std::fs::remove_file(dir.path().join("Cargo.toml")).unwrap();
    std::fs::write(dir.path().join("package.json"), "{}").unwrap();
    let error = build(dir.path()).unwrap_err();
    assert!(!error.is_usage() && error.to_string().contains("npm install"), "{error}");
}

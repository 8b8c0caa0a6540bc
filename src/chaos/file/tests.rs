use std::time::Duration;

use proptest::prelude::*;

use super::super::library;
use super::*;
use crate::model::{Fault, FaultKind};

const SMALL: &str = "title = \"T\"\n[[fault]]\nkind = \"hang\"\nfor = \"5s\"\n";

fn said(text: &str) -> String {
    parse("case", text, "case.toml").unwrap_err().to_string()
}

#[test]
fn the_smallest_one_has_the_defaults_of_the_model() {
    let experiment = parse("small-one", SMALL, "small-one.toml").unwrap();
    assert_eq!(experiment.name, "small-one");
    assert_eq!(experiment.steady_state, crate::model::SteadyState::default());
    assert_eq!(experiment.blast_radius, crate::model::BlastRadius::default());
    assert_eq!(experiment.abort, crate::model::AbortRules::default());
    assert_eq!(experiment.expect, crate::model::Expectation::default());
    assert_eq!(experiment.digest, Digest::of(SMALL.as_bytes()));
    assert!(!experiment.in_order);
}

#[test]
fn everything_can_be_said() {
    let text = r#"
        title = "T"
        description = """
        Why.
        """
        service = "shop"
        order = "in-order"
        [steady_state]
        samples = 5
        within = "90s"
        [[steady_state.metric]]
        metric = "errors_ratio"
        at_most = 0.05
        [blast_radius]
        instances = 2
        share = 0.4
        [[fault]]
        kind = "latency"
        delay = "300ms"
        share = 1
        for = "30s"
        instances = ["worker-1", "worker-2"]
        [[fault]]
        kind = "crash"
        after = "10s"
        [abort]
        other_incident = false
        [[abort.metric]]
        metric = "errors_ratio"
        at_least = 0
        at_most = 0.5
        samples = 2
        [expect]
        detected_within = "20s"
        playbooks = ["shed-load"]
        healed_within = "2min"
    "#;
    let experiment = parse("whole", text, "whole.toml").unwrap();
    assert_eq!(experiment.description, "Why.");
    assert_eq!(experiment.steady_state.metrics[0].to_string(), "errors_ratio at most 0.05");
    assert_eq!(experiment.abort.metrics[0].to_string(), "errors_ratio from 0 to 0.5");
    assert_eq!(experiment.method[0].fault.to_string(), "answers come 300 ms later");
    assert_eq!(experiment.lasts(), Duration::from_secs(70));
    assert!(experiment.in_order && !experiment.abort.other_incident);
    // What goes into the ledger comes out of it again.
    let json = serde_json::to_string(&experiment).unwrap();
    assert_eq!(serde_json::from_str::<Experiment>(&json).unwrap(), experiment);
}

#[test]
fn every_kind_can_be_written_with_every_measure_of_its_own() {
    for kind in FaultKind::ALL {
        let text = format!("title = \"T\"\n[[fault]]\nkind = \"{kind}\"\nfor = \"5s\"\n");
        let fault = parse("x", &text, "x.toml").unwrap().method[0].fault.clone();
        assert_eq!(fault.kind(), kind);
        let serde_json::Value::Object(all) = serde_json::to_value(&fault).unwrap() else { panic!() };
        let measures: Vec<_> = all.into_iter().filter(|(key, _)| key != "kind").collect();
        let lines: String = measures.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        let again = parse("x", &format!("{text}{lines}"), "x.toml").unwrap().method[0].fault.clone();
        assert_eq!(again, fault, "{lines}");
        assert_eq!(steps::measures_of(kind).len(), measures.len());
    }
    assert!(matches!(parse("x", SMALL, "x.toml").unwrap().method[0].fault, Fault::Hang));
}

#[test]
fn the_document_has_every_kind_and_measure_and_its_example_is_sound() {
    let document = include_str!("../../../docs/CHAOS.md");
    for kind in FaultKind::ALL {
        let line = document.lines().find(|line| line.starts_with(&format!("| `{kind}` |"))).unwrap();
        for measure in steps::measures_of(kind) {
            assert!(line.contains(&format!("`{measure}`")), "{kind}: {measure}");
        }
    }
    for (name, _) in library::STOCK {
        assert!(document.contains(&format!("`{name}`")), "{name}");
    }
    let examples: Vec<_> = document.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let experiments: Vec<_> = examples.iter().filter(|text| text.contains("[[fault]]")).collect();
    assert!(experiments.len() >= 2, "the examples are not where they should be");
    for text in experiments {
        assert!(parse("example", text, "example.toml").is_ok(), "{}", said(text));
    }
}

#[test]
fn all_that_is_wrong_is_said_in_one_pass() {
    let text = r#"titel = "T"
order = "inorder"
service = "a shop"
[steady_state]
detector = false
samples = 0
within = 60
[blast_radius]
instances = 0
share = 1.5
[[fault]]
kind = "latncy"
for = "30s"
[[fault]]
kind = "cpu"
cores = nan
share = 0.5
[[fault]]
kind = "latency"
delay = "2min"
jitter = "3min"
share = 0
for = "0s"
instances = ["a", "a", "b c"]
[[fault]]
kind = "memory-leak"
bytes_per_second = -1
for = 30
[[fault]]
kind = "crash"
cores = 1
[[abort.metric]]
metric = "errors_ratio"
[[abort.metric]]
metric = "errors_ratio"
at_least = 2
at_most = 1
[expect]
detected_within = "10min"
healed_within = "5min"
playbooks = ["../x"]
heald_within = "1s"
"#;
    insta::assert_snapshot!(said(text));
}

#[test]
fn what_is_no_experiment_at_all() {
    let many = format!("title = \"T\"\n{}", "[[fault]]\nkind = \"hang\"\nfor = \"5s\"\n".repeat(21));
    let long =
        "title = \"T\"\norder = \"in-order\"\n".to_owned() + &"[[fault]]\nkind = \"hang\"\nfor = \"31min\"\n".repeat(2);
    let cases = [
        "",
        "title = T",
        "title = \"T\"\ntitle = \"T\"",
        "title = \"T\"\nfault = 3",
        "title = \"T\"\n[fault]\nkind = \"hang\"\nfor = \"5s\"",
        "title = \"T\"\nsteady_state = 1\nexpect = []\n[[fault]]\nkind = \"hang\"\nfor = \"9999999999999999999s\"",
        "title = \"T\"\n[[fault]]\nkind = \"hang\"\nfor = \"5s\"\nafter = \"18446744073709551615s\"",
        &many,
        &long,
    ];
    let all: Vec<_> = cases.iter().map(|text| said(text)).collect();
    insta::assert_snapshot!(all.join("\n----\n"));
}

#[test]
fn the_blast_radius_is_one_for_all_faults_together() {
    let fault = |name: &str| format!("[[fault]]\nkind = \"hang\"\nfor = \"5s\"\ninstances = [\"{name}\"]\n");
    let of = |first: &str, second: &str| format!("title = \"T\"\n{}{}", fault(first), fault(second));
    assert!(parse("x", &of("a", "a"), "x.toml").is_ok());
    let problems = parse("x", &of("a", "b"), "x.toml").unwrap_err().0;
    assert_eq!(problems[0].message, "with [[fault]] number 2 the faults name 2 instances, and [blast_radius] allows 1");
}

#[test]
fn names_are_what_people_can_type() {
    for name in ["cpu", "pod-kill", "a1-2"] {
        assert!(is_name(name), "{name}");
    }
    for name in ["", "Pod", "pod_kill", "-a", "a-", "a--b", "../a", "ä", &"a".repeat(41)] {
        assert!(!is_name(name), "{name}");
        assert!(parse(name, SMALL, "x.toml").unwrap_err().0[0].message.ends_with("is no name for an experiment"));
    }
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.toml");
    let why = |path: &Path| load(path).unwrap_err().0[0].message.clone();
    assert_eq!(why(&path), "there is no such file");
    assert_eq!(why(folder.path()), "there is no such file");
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert_eq!(why(&path), "this file is not text");
    std::fs::write(&path, "#".repeat(LARGEST_FILE + 1)).unwrap();
    assert_eq!(why(&path), "this file is larger than 64 KiB");
    std::fs::write(&path, SMALL).unwrap();
    assert_eq!(load(&path).unwrap().name, "x");
}

/// Texts near enough to an experiment to get past the first check.
fn near() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        Just("title"),
        Just("kind"),
        Just("for"),
        Just("after"),
        Just("instances"),
        Just("share"),
        Just("cores"),
        Just("delay"),
        Just("metric"),
        Just("at_most"),
        Just("samples"),
        Just("within"),
        Just("order"),
        Just("[[fault]]\nkind"),
        Just("[steady_state]\nx"),
        Just("[[steady_state.metric]]\nmetric"),
        Just("[abort]\nmetric"),
        Just("[expect]\nplaybooks"),
        Just("[blast_radius]\nshare"),
        Just("unknown"),
    ];
    let value = prop_oneof![
        Just("\"latency\"".to_owned()),
        Just("\"30s\"".to_owned()),
        Just("\"18446744073709551615s\"".to_owned()),
        Just("inf".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| format!("{n:?}")),
        "\"[^\"\\\\\\p{C}]{0,20}\"",
        "\\PC{0,12}",
    ];
    proptest::collection::vec((key, value), 0..20)
        .prop_map(|lines| lines.into_iter().map(|(key, value)| format!("{key} = {value}\n")).collect())
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>()) {
        let _ = parse("x", &text, "x.toml").map_err(|e| e.to_string());
    }

    #[test]
    fn nor_does_one_that_looks_like_an_experiment(text in near()) {
        match parse("x", &text, "x.toml") {
            Ok(experiment) => prop_assert!(experiment.lasts() <= crate::model::LONGEST_EXPERIMENT),
            Err(errors) => prop_assert!(!errors.0.is_empty(), "{text}"),
        }
    }
}

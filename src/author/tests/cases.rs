//! The case format: what it means, and what is said of what is wrong with it.

use super::*;
use crate::model::Severity;

/// The message of each problem, with its line.
fn problems(text: &str) -> Vec<String> {
    let CaseErrors(problems) = Case::parse(text, "a.toml").unwrap_err();
    let help = |p: &crate::config::Problem| p.help.clone().map_or_else(String::new, |help| format!(" ({help})"));
    problems.iter().map(|p| format!("{}: {}{}", p.line.unwrap_or_default(), p.message, help(p))).collect()
}

#[test]
fn an_empty_case_is_a_service_of_two_in_trouble() {
    let case = case("");
    let view = case.view();
    assert_eq!((view.service.to_string().as_str(), view.risk, view.severity), ("shop", 85.0, Severity::High));
    let (id, state) = view.targets.first().unwrap();
    assert_eq!(id.to_string(), "local:shop");
    let names: Vec<_> = state.instances.iter().map(|i| i.name.as_str()).collect();
    assert_eq!((names, state.min_replicas, state.max_replicas), (vec!["shop-1", "shop-2"], 1, 6));
    assert_eq!(state.cache_ttl_ms, Some(2_000));
    assert!(self::case("target = []").targets().is_empty());
}

#[test]
fn instances_are_as_many_as_written_down() {
    let case = case("[[target]]\nname = \"k8s:prod/deployment/web\"\n[[target.instance]]\nname = \"a\"\nup = false\n");
    let (_, state) = case.targets().remove(0);
    assert_eq!((state.replicas, state.instances.len(), state.instances[0].up), (1, 1, false));
    let counted = self::case("[[target]]\nname = \"k8s:prod/deployment/web\"\nreplicas = 3");
    assert_eq!(counted.targets()[0].1.instances[2].name, "web-3");
}

#[test]
fn a_target_can_be_one_of_a_platform() {
    let case = case(
        "[[target]]\nname = \"k8s:prod/deployment/web\"\nrollout = 0\nrenames = true\nstores_entries = true\n\
         settings = { mode = \"\" }\nautoscaler = { min = 2, max = 9 }\n",
    );
    let (_, state) = case.targets().remove(0);
    assert_eq!((state.rollout, state.renames, state.stores_entries), (Some(0), true, true));
    assert_eq!(state.settings.get("mode").map(String::as_str), Some(""));
    let scaler = state.autoscaler.clone().unwrap();
    assert_eq!((scaler.name.as_str(), scaler.min, scaler.max), ("an autoscaler", 2, 9));
    assert_eq!(self::case(&case.to_toml("")), case);
}

#[test]
fn every_problem_in_one_pass_with_its_line() {
    let found = problems(
        "sumary = \"x\"\n[incident]\nrisk = 185.0\nseverity = \"awful\"\n[[target]]\nname = \"lokal:shop\"\nmin = 5\nmax = 2\n\
         [args]\nby = 1\n[[fail]]\ncall = \"scale.set-replica\"\nerror = \"timed-out\"\n[[deny]]\ncapability = \"scale\"\n\
         on = \"x\"\n[expect]\nplan = []\nerror = \"\"\n",
    );
    assert_eq!(
        found,
        [
            "1: unknown table or key `sumary` at the top of the file (did you mean `summary`?)",
            "3: `risk` in [incident] is not from 0 to 100 (50 is where an anomaly begins)",
            "4: `awful` is no value for `severity` in [incident] (it is one of none, low, medium, high, critical)",
            "6: no target of kind `lokal` (did you mean `local`?)",
            "8: [[target]] `lokal:shop` allows 5 to 2 instances (write `min` <= `max` <= 1000)",
            "10: `by` in [args] must be text in quotes, not integer `1`",
            "12: `scale.set-replica` is no value for `call` in [[fail]] (did you mean `scale.set-replicas`?)",
            "16: unknown key `on` in [[deny]] (known keys: capability, target)",
            "19: [expect] has plan and error at the same time (a run has one outcome: keep one of them)",
        ]
    );
}

#[test]
fn what_is_no_number_and_what_is_there_twice() {
    let found = problems(
        "[metrics]\ncpu = nan\n[instance-metrics.a]\ncpu = inf\n[[incident.driver]]\nmetric = \"cpu\"\nvalue = nan\n\
         [[target]]\nname = \"local:a\"\nreplicas = 100000\n[[target]]\nname = \"local:a\"\n[[fail]]\n\
         call = \"cache.set-ttl\"\nerror = \"conflict\"\nnth = 0\n",
    );
    assert_eq!(found.len(), 6, "{found:#?}");
    assert!(found.iter().any(|p| p.contains("stands in the file above already")), "{found:#?}");
}

#[test]
fn broken_files_are_told_and_never_panic() {
    for text in [
        "[",
        "a = ",
        "[[target]]\nname = \"local:a\"\nsettings = { a = 1 }",
        "incident = 1",
        "target = 1",
        "\u{0}",
        "[[incident]]",
        "[[incident.driver]]\nshare = 1",
    ] {
        assert!(!problems(text).is_empty(), "{text}");
    }
    let missing = Case::load(std::path::Path::new("no/such.toml")).unwrap_err().to_string();
    assert!(missing.contains("no/such.toml: error: there is no such file"), "{missing}");
}

#[test]
fn a_case_that_is_written_is_read_back_the_same() {
    let text = "summary = \"x\"\ntarget = []\n[incident]\nrisk = 1.0\ntried = [\"a\"]\n[[incident.driver]]\nmetric = \"m\"\n\
                instance = \"i\"\nrecent = [1.0]\n[metrics]\nm = 1e300\n[instance-metrics.\"odd name\"]\nm = -0.5\n[notes]\nk = \"v\\n\"\n\
                [args]\nby = \"1\"\n[[deny]]\ncapability = \"cache\"\n[[fail]]\ncall = \"incident.target.state\"\n\
                error = \"outcome-unknown\"\nnth = 2\n[expect]\nplan = []\nlog = [\"l\"]\n[expect.notes]\nk = \"w\"\n";
    let case = case(text);
    let written = case.to_toml("why\nand how");
    assert!(written.starts_with("# why\n# and how\n"), "{written}");
    assert_eq!(self::case(&written), case, "{written}");
}

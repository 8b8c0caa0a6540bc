//! Grants as an operator writes them, and what a playbook then may.

use super::*;

fn grants(toml: &str) -> Grants {
    #[derive(Deserialize)]
    struct File {
        grant: Vec<Grant>,
    }
    Grants::new(toml::from_str::<File>(toml).unwrap().grant).unwrap()
}

fn shop() -> TargetId {
    "local:shop".parse().unwrap()
}

fn state(replicas: u32) -> TargetState {
    TargetState { replicas, min_replicas: 1, max_replicas: 100, ..TargetState::default() }
}

fn scale(to: u32) -> Action {
    Action::Scale { target: shop(), to }
}

fn restart() -> Action {
    Action::Restart { target: shop(), instance: "shop-1".to_owned() }
}

/// A Friday.
const NOON: Timestamp = Timestamp(1_795_176_000_000);

const SCALE_OUT: &str = r#"
    [[grant]]
    playbook = "scale-*"
    targets = ["local:*"]
    allow = ["scale"]
    max_delta = 3
    min_replicas = 1
    max_replicas = 8
"#;

#[test]
fn without_a_grant_nothing_is_allowed_and_the_hint_is_the_grant() {
    let denial = Grants::default().check("scale-out", &scale(4), &state(2), NOON).unwrap_err();
    assert_eq!((denial.capability.as_str(), denial.target.as_str()), ("scale", "local:shop"));
    let toml = denial.hint.strip_prefix("add\n").unwrap();
    grants(toml).check("scale-out", &scale(4), &state(2), NOON).unwrap();
}

#[test]
fn a_grant_covers_what_its_globs_and_limits_say() {
    let grants = grants(SCALE_OUT);
    grants.check("scale-out", &scale(5), &state(2), NOON).unwrap();
    grants.check("scale-in", &scale(1), &state(2), NOON).unwrap();
    assert!(grants.check("restart-service", &scale(3), &state(2), NOON).is_err(), "another playbook");
    assert!(grants.check("scale-out", &restart(), &state(2), NOON).is_err(), "another kind");
    let elsewhere = Action::Scale { target: "k8s:shop".parse().unwrap(), to: 3 };
    assert!(grants.check("scale-out", &elsewhere, &state(2), NOON).is_err(), "another target");
}

#[test]
fn past_a_limit_the_hint_names_the_lines_to_change() {
    let denial = grants(SCALE_OUT).check("scale-out", &scale(12), &state(2), NOON).unwrap_err();
    assert_eq!(denial.hint, "in the [[grant]] for `scale-*` write\nmax_delta = 10\nmax_replicas = 12");
    let denial = grants(SCALE_OUT).check("scale-out", &scale(0), &state(2), NOON).unwrap_err();
    assert_eq!(denial.hint, "in the [[grant]] for `scale-*` write\nmin_replicas = 0");
    let denial = grants(SCALE_OUT).check("scale-out", &restart(), &state(2), NOON).unwrap_err();
    assert_eq!(denial.hint, "in the [[grant]] for `scale-*` write\nallow = [\"scale\", \"restart\"]");
}

#[test]
fn shrinking_counts_like_growing() {
    assert!(grants(SCALE_OUT).check("scale-out", &scale(2), &state(8), NOON).is_err());
}

#[test]
fn grants_are_not_added_together() {
    let grants = grants(
        r#"
        [[grant]]
        playbook = "p"
        targets = ["local:shop"]
        allow = ["scale"]
        max_delta = 1
        [[grant]]
        playbook = "p"
        targets = ["local:shop"]
        allow = ["restart"]
        max_delta = 9
        "#,
    );
    assert!(grants.check("p", &scale(4), &state(2), NOON).is_err());
    assert_eq!(grants.allowed_kinds("p"), [ActionKind::Scale, ActionKind::Restart].into());
    assert!(grants.allowed_kinds("q").is_empty());
}

#[test]
fn in_words_for_an_approver() {
    let words = grants(SCALE_OUT).in_words("scale-out", &[shop()], &ActionKind::ALL.into());
    assert_eq!(words, ["may scale local:shop by at most 3 (1 to 8; can be undone)", "nothing else"]);
    let wide = grants(
        "[[grant]]\nplaybook = \"*\"\ntargets = [\"*\"]\nallow = [\"cache\", \"restart\", \"traffic\"]\n\
         actions_per_hour = 4\n",
    );
    let words = wide.in_words("any", &[shop()], &ActionKind::ALL.into());
    assert_eq!(
        words,
        [
            "may restart instances of local:shop (destructive), 4 actions an hour",
            "may shift traffic and change the cache lifetime of local:shop (can be undone), 4 actions an hour",
            "nothing else"
        ]
    );
    assert_eq!(wide.actions_per_hour("any", &shop()), Some(4));
    assert_eq!(Grants::default().in_words("any", &[shop()], &ActionKind::ALL.into()), ["may change nothing"]);
}

#[test]
fn a_grant_holds_in_its_windows_and_a_denial_says_when_it_opens() {
    let office = grants(
        r#"
        [[grant]]
        playbook = "scale-out"
        targets = ["local:*"]
        allow = ["scale"]
        max_delta = 3
        min_replicas = 1
        max_replicas = 8
        windows = ["Mon-Fri 08:00-18:00 Europe/Berlin", "Sat 10:00-12:00 UTC"]
        "#,
    );
    office.check("scale-out", &scale(4), &state(2), NOON).unwrap();
    let night = Timestamp(NOON.0 + 9 * 3_600_000);
    let denial = office.check("scale-out", &scale(4), &state(2), night).unwrap_err();
    assert_eq!(denial.hint, "the [[grant]] for `scale-out` is closed now: it opens Sat 2026-11-21 10:00 UTC");
    let denial = office.check("scale-out", &scale(9), &state(2), night).unwrap_err();
    assert_eq!(
        denial.hint,
        "the [[grant]] for `scale-out` is closed now: it opens Sat 2026-11-21 10:00 UTC; and in the [[grant]] for \
         `scale-out` write\nmax_delta = 7\nmax_replicas = 9"
    );
    assert_eq!(
        office.in_words("scale-out", &[shop()], &ActionKind::ALL.into()),
        [
            "may scale local:shop by at most 3 (1 to 8; can be undone), Mon-Fri 08:00-18:00 Europe/Berlin, Sat \
             10:00-12:00 UTC",
            "nothing else"
        ]
    );
}

#[test]
fn traffic_isolation_and_caching_have_limits_of_their_own() {
    let careful = grants(
        r#"
        [[grant]]
        playbook = "p"
        targets = ["local:shop"]
        allow = ["traffic", "isolate", "cache"]
        max_ttl = "1min"
        min_weight = 10
        max_isolated = 1
        "#,
    );
    let denied = |action: &Action, state: &TargetState| careful.check("p", action, state, NOON).unwrap_err().hint;
    let instance = |name: &str, isolated| crate::model::Instance {
        name: name.to_owned(),
        up: true,
        isolated,
        weight: 100,
        generation: 0,
    };
    let shop_of =
        |isolated| TargetState { instances: vec![instance("shop-1", isolated), instance("shop-2", false)], ..state(2) };
    let cache = |ttl_ms| Action::Cache { target: shop(), ttl_ms };
    careful.check("p", &cache(60_000), &state(2), NOON).unwrap();
    assert_eq!(denied(&cache(90_000), &state(2)), "in the [[grant]] for `p` write\nmax_ttl = \"1m30s\"");
    let shift = |weight| Action::Shift { target: shop(), weights: [("shop-1".to_owned(), weight)].into() };
    careful.check("p", &shift(10), &state(2), NOON).unwrap();
    assert_eq!(denied(&shift(9), &state(2)), "in the [[grant]] for `p` write\nmin_weight = 9");
    let isolate = |name: &str, isolated| Action::Isolate { target: shop(), instance: name.to_owned(), isolated };
    careful.check("p", &isolate("shop-2", true), &shop_of(false), NOON).unwrap();
    careful.check("p", &isolate("shop-1", true), &shop_of(true), NOON).unwrap();
    careful.check("p", &isolate("shop-1", false), &shop_of(true), NOON).unwrap();
    let two = denied(&isolate("shop-2", true), &shop_of(true));
    assert_eq!(two, "in the [[grant]] for `p` write\nmax_isolated = 2");
    assert_eq!(
        careful.in_words("p", &[shop()], &ActionKind::ALL.into()),
        [
            "may shift traffic (no weight below 10), isolate one instance at a time and change the cache lifetime \
             (to at most 1m) of local:shop (can be undone)",
            "nothing else"
        ]
    );
}

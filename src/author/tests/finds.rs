//! What the fuzzer finds, and that it finds the same again.

use super::*;

/// What was found, for comparing.
fn kinds(found: &Fuzzed) -> Vec<(FindingKind, String)> {
    found.findings.iter().map(|f| (f.kind, f.what.clone())).collect()
}

#[tokio::test]
async fn the_stock_components_have_no_faults() {
    for name in crate::config::STOCK_PLAYBOOKS.into_iter().chain(["stock"]) {
        let found = fuzz(&stock(name).await, 60, 1).await;
        assert_eq!(kinds(&found), [], "{name}");
        assert!(found.answered > 0 && found.declined + found.answered == 60, "{name}: {found:?}");
    }
}

#[tokio::test]
async fn the_same_seed_finds_the_same() {
    let component = stock("shed-load").await;
    let (a, b, c) = (fuzz(&component, 40, 7).await, fuzz(&component, 40, 7).await, fuzz(&component, 40, 8).await);
    let all = |f: &Fuzzed| serde_json::to_value(f).unwrap();
    assert_eq!(all(&a), all(&b));
    assert_ne!(all(&a), all(&c));
}

#[tokio::test]
async fn a_fault_is_found_once_and_made_small() {
    for (name, says) in [("panics", "crashed"), ("loops", "units of work"), ("floods-the-host", "called the host more")]
    {
        let component = hostile(name).await;
        let found = fuzz(&component, 2, 3).await;
        let [finding] = found.findings.as_slice() else { panic!("{name}: {:?}", found.findings) };
        assert_eq!(finding.kind, FindingKind::Fault);
        assert!(finding.what.contains(says), "{name}: {}", finding.what);
        // Nothing in the world makes it fail, so nothing of the world is left.
        let case = &finding.case;
        assert_eq!(
            (case.target.as_deref(), case.incident.driver.len(), case.fail.len()),
            (Some(&[][..]), 0, 0),
            "{name}"
        );
        let again = super::case(&case.to_toml(""));
        let trial = component.try_case(&again).await;
        assert!(!differences(&component, &again, &trial).is_empty(), "{name}: the case fails when it is tested");
    }
}

#[tokio::test]
async fn plans_that_the_guardrails_hold_back_are_told_but_are_no_fault() {
    let found = fuzz(&stock("scale-out").await, 80, 1).await;
    assert!(found.held_back > 0 && found.findings.is_empty(), "{found:?}");
    assert!(found.held_back_examples[0].what.contains("max_replica_delta"), "{found:?}");
}

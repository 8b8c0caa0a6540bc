//! What another component would have done.

use std::collections::BTreeSet;

use super::*;
use crate::engine::Permits;
use crate::model::ActionKind;
use crate::model::Guard;

/// Allows nothing.
struct Nothing;

impl Permits for Nothing {
    fn check(&self, _: &str, action: &Action, _: &TargetState, _: Timestamp) -> Result<(), HostError> {
        Err(HostError::Denied {
            capability: action.kind().to_string(),
            target: action.target().to_string(),
            hint: "add a [[grant]]".to_owned(),
        })
    }

    fn actions_per_hour(&self, _: &str, _: &TargetId) -> Option<u32> {
        None
    }

    fn in_words(&self, _: &str, _: &[TargetId], _: &BTreeSet<ActionKind>) -> Vec<String> {
        Vec::new()
    }
}

async fn compared(events: &[Event], playbook: &str, given: Args) -> Vec<Compared> {
    other(&case(events), &stock_playbook(playbook).await, &given, &Allowed::everything()).await.unwrap()
}

#[tokio::test]
async fn the_same_bytes_would_have_done_the_same() {
    let events = healed_by("scale-out", args(&[]), shop_of(2)).await;
    let [one] = compared(&events, "scale-out", args(&[])).await.try_into().unwrap();
    assert!(one.same_plan() && one.difference.is_none(), "{one}");
    assert!(one.to_string().contains("plan      = local:shop workers 2 -> 4"), "{one}");
}

#[tokio::test]
async fn other_arguments_are_a_diff() {
    let events = healed_by("scale-out", args(&[("by", "2")]), shop_of(2)).await;
    let [one] = compared(&events, "scale-out", args(&[("by", "1")])).await.try_into().unwrap();
    assert!(!one.same_plan());
    let text = one.to_string();
    for line in [
        "record 3: dry run of scale-out",
        "given     by=1",
        "plan      - local:shop workers 2 -> 4",
        "+ local:shop workers 2 -> 3",
        "calls     = 4 calls to the host",
        "differ    first at call 3 (scale.set-replicas), arguments",
    ] {
        assert!(text.contains(line), "no `{line}` in\n{text}");
    }
}

#[tokio::test]
async fn another_playbook_takes_the_place_of_whichever_was_planned_with() {
    let events = healed_by("scale-out", args(&[("by", "2")]), shop_of(2)).await;
    let [one] = compared(&events, "cache-aggressively", args(&[])).await.try_into().unwrap();
    assert!(one.args.is_empty(), "the arguments of another playbook are not its own");
    assert_eq!(one.now, Would::Planned { plan: vec!["local:shop cache lifetime 2.0 s -> 1 min 00 s".to_owned()] });
    let [one] = compared(&events, "restart-service", args(&[])).await.try_into().unwrap();
    assert!(matches!(&one.now, Would::Refused { why } if why.starts_with("not applicable")), "{one}");
}

#[tokio::test]
async fn grants_and_guards_hold_for_it() {
    let events = healed_by("scale-out", args(&[]), shop_of(2)).await;
    let scale_out = stock_playbook("scale-out").await;
    let nothing = Allowed { permits: Arc::new(Nothing), guards: BTreeMap::new() };
    let denied = other(&case(&events), &scale_out, &Args::new(), &nothing).await.unwrap();
    assert!(matches!(&denied[0].now, Would::Refused { why } if why.contains("denied: scale")), "{}", denied[0]);
    let guard = Guard { max_replica_delta: 1, ..Guard::default() };
    let guarded = Allowed { guards: BTreeMap::from([("shop".into(), guard)]), ..Allowed::everything() };
    let held = other(&case(&events), &scale_out, &Args::new(), &guarded).await.unwrap();
    assert!(matches!(&held[0].now, Would::Refused { why } if why.contains("max_replica_delta is 1")), "{}", held[0]);
}

#[tokio::test]
async fn without_a_dry_run_there_is_nothing_to_compare_with() {
    let error =
        other(&case(&[opened()]), &stock_playbook("scale-out").await, &Args::new(), &Allowed::everything()).await;
    assert_eq!(error.unwrap_err(), "no dry run of INC-7 is recorded: there is nothing to compare with");
}

/// The incident under another number, opened at another time.
fn renumbered(events: &[Event], id: u64, at: i64) -> Vec<Event> {
    let mut events = events.to_vec();
    for event in &mut events {
        event.incident = Some(IncidentId(id));
        event.at = Timestamp(at);
    }
    events
}

async fn past() -> Vec<Case> {
    let healed = healed_by("scale-out", args(&[("by", "2")]), shop_of(2)).await;
    let full = healed_by("cache-aggressively", args(&[]), shop_of(6)).await;
    let mut undone = healed.clone();
    undone.pop();
    undone.push(event(1_008, Some(3), Fact::UndoDone { impossible: Vec::new() }));
    undone.push(event(1_009, None, Fact::Escalated { why: "nothing is left to try".to_owned() }));
    let mut alone = vec![opened()];
    alone.push(event(1_001, None, Fact::Resolved { how: "recovered alone".to_owned() }));
    let all = [
        renumbered(&healed, 1, 500),
        renumbered(&healed, 2, 2_000),
        renumbered(&full, 3, 3_000),
        renumbered(&undone, 4, 4_000),
        renumbered(&alone, 5, 5_000),
    ];
    let mut incidents = Incidents::since(Timestamp(2_000));
    for (seq, event) in (1..).zip(all.iter().flatten()) {
        incidents.take(seq, event);
    }
    incidents.finish()
}

#[tokio::test]
async fn a_playbook_against_all_past_incidents() {
    let candidate = Candidate::Playbook(stock_playbook("scale-out").await, args(&[("by", "1")]));
    let table = backtest(&past().await, &candidate, &Allowed::everything()).await;
    assert_eq!(table.totals, Totals { proposed: 2, refused: 1, failed: 0, unknown: 1 }, "{table}");
    let text = table.to_string();
    assert!(text.starts_with("INCIDENT  OPENED            SERVICE  WOULD HAVE"), "{text}");
    for part in [
        "INC-2     1970-01-01T00:00  shop     proposed: local:shop workers 2 -> 3",
        "INC-3     1970-01-01T00:00  shop     refused: not applicable",
        "scale-out (RUN-3, undone)",
        "cannot be said: the rules were never asked",
        "4 incidents: proposed 2, refused 1, failed 0, cannot be said 1",
        "they ended: escalated 1, healed 2, recovered alone 1",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    assert!(!text.contains("INC-1 "), "it is older than that:\n{text}");
    let old: serde_json::Value = serde_json::to_value(&table).unwrap();
    assert_eq!(old["rows"][0]["would"]["Ok"]["would"], "planned", "{old:#}");
}

#[tokio::test]
async fn a_rule_against_all_past_incidents() {
    let rule = catalog().await.rule("stock").unwrap().clone();
    let table = backtest(&past().await, &Candidate::Rule(rule), &Allowed::everything()).await;
    assert_eq!((table.totals.proposed, table.totals.unknown), (3, 1), "{table}");
    assert!(table.to_string().contains("proposed: scale-out by="), "{table}");
}

#[tokio::test]
async fn no_incidents_are_an_empty_table() {
    let rule = catalog().await.rule("stock").unwrap().clone();
    let table = backtest(&[], &Candidate::Rule(rule), &Allowed::everything()).await;
    assert_eq!(table.to_string(), "no incident was opened in that time");
}

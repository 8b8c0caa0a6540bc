//! How cards look in Slack.

use super::super::blocks::{fallback, image};
use super::super::fit::fit;
use super::*;
use crate::chat::cards::{Approvals, IncidentCard, PlanPart};
use crate::model::{Driver, IncidentId, ServiceId, Severity, Trend};

fn driver(metric: &str, value: f64, normal: f64, unit: &str, share: f64, recent: &[f64]) -> Driver {
    Driver {
        metric: metric.to_owned(),
        share,
        value,
        normal,
        low: normal * 0.8,
        high: normal * 1.2,
        unit: unit.to_owned(),
        trend: Trend::Rising,
        recent: recent.to_vec(),
        instance: None,
    }
}

fn action(label: &str, command: &str, id: &str, primary: bool, dangerous: bool) -> CardAction {
    let button = Button { id: id.to_owned(), command: format!("{command} (whole)"), ask: None };
    CardAction { label: label.to_owned(), command: command.to_owned(), dangerous, primary, button: Some(button) }
}

fn awaiting() -> IncidentCard {
    IncidentCard {
        on_request: false,
        id: IncidentId(7),
        service: ServiceId::from("shop"),
        environment: "production".to_owned(),
        severity: Severity::High,
        risk: 87.4,
        since: Timestamp(START),
        now: Timestamp(START + 4200),
        phase_words: "awaiting approval".to_owned(),
        tone: Tone::Waiting,
        settled: false,
        drivers: vec![
            driver("latency_p95", 0.412, 0.018, "s", 0.61, &[0.018, 0.017, 0.09, 0.2, 0.31, 0.412]),
            driver("<!channel> `x`", 14.0, 0.0, "", 0.27, &[0.0, 1.0, 14.0]),
        ],
        ahead: Vec::new(),
        plan: Some(PlanPart {
            second_factor: String::new(),
            not_by: String::new(),
            why: "requests wait for a connection".to_owned(),
            proposed_by: "rule stock".to_owned(),
            playbook: "scale-out to=4".to_owned(),
            diff: vec!["local:shop workers  2 -> 4".to_owned(), "local:shop/shop-2  restart".to_owned()],
            may: vec!["scale local:shop to 1 to 6".to_owned()],
            notes: Vec::new(),
            undoable: "yes, every step".to_owned(),
            who_may: "slack-group:S0614TZR7".to_owned(),
            approvals: Some(Approvals { names: vec!["anna".to_owned()], needed: 2 }),
            expires_in: Some(Duration::from_secs(1795)),
            digest: "3fa94b0c11de".to_owned(),
        }),
        outcome: Vec::new(),
        timings: Vec::new(),
        actions: vec![
            action("Approve", "approve 7", "b1", true, false),
            action("Roll back", "rollback RUN-3", "b2", false, true),
            CardAction { label: "Show".to_owned(), command: "show INC-7".to_owned(), ..CardAction::default() },
        ],
    }
}

fn looks(card: &Card, picture: bool) -> String {
    let picture = picture.then(|| image("F0123456789", "latency_p95 of shop"));
    let fitted = fit(card, picture);
    assert_eq!(fitted.rest, None);
    format!("{}\n{}", fallback(card), serde_json::to_string_pretty(&fitted.blocks).unwrap())
}

#[test]
fn an_incident_that_awaits_approval() {
    insta::assert_snapshot!(looks(&awaiting().card(), true));
}

#[test]
fn an_incident_that_is_resolved() {
    let card = IncidentCard {
        phase_words: "RESOLVED, run improved".to_owned(),
        tone: Tone::Good,
        settled: true,
        now: Timestamp(START + 61_000),
        drivers: Vec::new(),
        plan: None,
        outcome: vec!["RUN-3: improved: the detector sees a normal service again.".to_owned()],
        timings: vec![("to detect".to_owned(), Duration::from_millis(4200))],
        actions: Vec::new(),
        ..awaiting()
    };
    insta::assert_snapshot!(looks(&card.card(), false));
}

#[test]
fn an_answer_with_a_table() {
    let row = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
    let card = Card {
        title: "status".to_owned(),
        blocks: vec![
            Block::Text("2 services, *1* incident".to_owned()),
            Block::Table {
                head: row(&["Service", "State", "Mode"]),
                rows: vec![row(&["shop", "INC-7 awaiting approval", "approve"]), row(&["search", "normal"])],
            },
        ],
        ..Card::default()
    };
    insta::assert_snapshot!(looks(&card, false));
}

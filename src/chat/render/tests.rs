use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::chat::cards::{Approvals, IncidentCard, PlanPart, diff_lines};
use crate::chat::{CardAction, pages};
use crate::model::{Action, Driver, Facet, IncidentId, Mode, PlannedAction, ServiceId, Severity, Timestamp, Trend};

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

fn action(label: &str, command: &str, dangerous: bool) -> CardAction {
    CardAction { label: label.to_owned(), command: command.to_owned(), dangerous, ..CardAction::default() }
}

fn scale(from: u32, to: u32) -> PlannedAction {
    let target = "local:shop".parse().unwrap();
    PlannedAction::new(Action::Scale { target, to }, Facet::Replicas(from))
}

fn restart(instance: &str) -> PlannedAction {
    let target = "local:shop".parse().unwrap();
    PlannedAction::new(Action::Restart { target, instance: instance.to_owned() }, Facet::Generation(3))
}

fn awaiting() -> IncidentCard {
    let waiting = [0.0, 0.0, 1.0, 0.0, 2.0, 5.0, 9.0, 12.0, 14.0];
    IncidentCard {
        id: IncidentId(7),
        service: ServiceId::from("shop"),
        environment: "production".to_owned(),
        severity: Severity::High,
        risk: 87.4,
        since: Timestamp(1_793_620_800_000),
        now: Timestamp(1_793_620_804_200),
        phase_words: "awaiting approval".to_owned(),
        tone: Tone::Waiting,
        settled: false,
        drivers: vec![
            driver("latency_p95", 0.412, 0.018, "s", 0.61, &[0.018, 0.017, 0.019, 0.02, 0.09, 0.2, 0.31, 0.39, 0.412]),
            driver("pool_waiters", 14.0, 0.0, "", 0.27, &waiting),
            driver("memory", 3_355_443.2, 3_000_000.0, "bytes", 0.04, &[1.0, 1.0, f64::NAN, 1.1]),
        ],
        ahead: Vec::new(),
        plan: Some(PlanPart {
            why: "requests wait for a connection while the load has tripled: more workers bring more connections"
                .to_owned(),
            proposed_by: "rule stock".to_owned(),
            playbook: "scale-out to=4".to_owned(),
            diff: diff_lines(&[scale(2, 4), restart("shop-2")]),
            may: vec!["scale local:shop to 1 to 6".to_owned(), "restart local:shop at most once a minute".to_owned()],
            notes: Vec::new(),
            undoable: "only in part: a restarted process does not get its memory back".to_owned(),
            who_may: "console:*, slack:U024BE7LH".to_owned(),
            approvals: Some(Approvals { names: vec!["anna".to_owned()], needed: 2 }),
            expires_in: Some(Duration::from_secs(1795)),
            second_factor: String::new(),
            not_by: String::new(),
            digest: "3fa94b0c11de".to_owned(),
        }),
        outcome: Vec::new(),
        timings: Vec::new(),
        on_request: false,
        actions: vec![
            action("Approve", "approve 7", true),
            action("Reject", "reject 7 too risky", false),
            action("Show", "show INC-7", false),
        ],
    }
}

/// The plan once nobody is asked any more.
fn decided() -> PlanPart {
    PlanPart {
        approvals: Some(Approvals { names: vec!["anna".to_owned(), "ben".to_owned()], needed: 2 }),
        who_may: String::new(),
        expires_in: None,
        may: Vec::new(),
        ..awaiting().plan.unwrap()
    }
}

fn resolved() -> IncidentCard {
    IncidentCard {
        phase_words: "resolved".to_owned(),
        tone: Tone::Good,
        settled: true,
        now: Timestamp(1_793_620_861_000),
        plan: Some(decided()),
        outcome: vec![
            "RUN-3 done: local:shop has 4 workers".to_owned(),
            "Verdict: improved (risk 87 before, 12 after, 3 of 3 samples normal)".to_owned(),
        ],
        timings: vec![
            ("to detect".to_owned(), Duration::from_millis(4200)),
            ("to approve".to_owned(), Duration::from_millis(12_300)),
            ("to repair".to_owned(), Duration::from_secs(61)),
        ],
        actions: vec![action("Roll back", "rollback RUN-3", true)],
        ..awaiting()
    }
}

fn rolled_back() -> IncidentCard {
    IncidentCard {
        phase_words: "run failed, rolled back, next plan under way".to_owned(),
        tone: Tone::Bad,
        plan: Some(decided()),
        outcome: vec![
            "RUN-3 failed: local:shop cannot be reached: no answer from the supervisor".to_owned(),
            "Rolled back: local:shop workers 4 -> 2".to_owned(),
        ],
        actions: vec![action("Plan", "plan INC-7", false), action("Close", "close INC-7", false)],
        ..awaiting()
    }
}

fn escalated() -> IncidentCard {
    IncidentCard {
        severity: Severity::Critical,
        risk: 99.6,
        phase_words: "escalated, a person has to look".to_owned(),
        tone: Tone::Bad,
        settled: true,
        plan: None,
        outcome: vec!["No rule knew what to do. Look at it, then `plan INC-7 PLAYBOOK` or `close INC-7`.".to_owned()],
        actions: vec![action("Plan", "plan INC-7 restart-service", false), action("Close", "close INC-7", false)],
        ..awaiting()
    }
}

/// The card at both widths, plain and in colour, with the escapes made visible.
fn in_all_looks(card: &Card) -> String {
    let mut out = String::new();
    for (width, colour) in [(80, false), (120, false), (80, true), (120, true)] {
        let text = render(card, Look { width, colour, unicode: true });
        out.push_str(&format!("{width} columns, {}\n", if colour { "colour" } else { "plain" }));
        out.push_str(&text.replace('\u{1b}', "ESC"));
        if !colour {
            assert!(text.lines().all(|l| width_of(l) == width), "a ragged box:\n{text}");
        }
    }
    out
}

#[test]
fn an_incident_that_awaits_approval() {
    insta::assert_snapshot!(in_all_looks(&awaiting().card()));
}

#[test]
fn an_incident_that_is_resolved() {
    insta::assert_snapshot!(in_all_looks(&resolved().card()));
}

#[test]
fn an_incident_whose_run_failed_and_was_rolled_back() {
    insta::assert_snapshot!(in_all_looks(&rolled_back().card()));
}

#[test]
fn an_incident_that_is_escalated() {
    insta::assert_snapshot!(in_all_looks(&escalated().card()));
}

#[test]
fn without_unicode_everything_is_ascii() {
    let mut input = awaiting();
    input.service = ServiceId("caf\u{e9}".to_owned());
    let text = render(&input.card(), Look { width: 80, colour: false, unicode: false });
    assert!(text.is_ascii());
    insta::assert_snapshot!(text);
}

#[test]
fn answers() {
    let row = |name: &str, state: &str, bad: bool| pages::ServiceRow {
        service: ServiceId::from(name),
        state: state.to_owned(),
        bad,
        mode: Mode::Approve,
        risk: bad.then_some(87.4),
        model_age: Some(Duration::from_secs(185)),
        sample_age: Some(Duration::from_millis(2400)),
        sources: (2, 2),
        ahead: Vec::new(),
    };
    let mut rows = [row("shop", "INC-7 awaiting approval", true), row("search", "learning, 40 of 100 samples", false)];
    let ahead = |metric: &str| format!("{metric} will cross its limit (2 GiB) in about 9 minutes (between 7 and 12)");
    rows[1].ahead = ["memory_bytes", "later_bytes"].map(ahead).to_vec();
    let plain = Look::default();
    let status = render(&pages::status(&rows, Some("deploy in progress")), plain);
    let playbook = pages::PlaybookRow {
        name: "scale-out".to_owned(),
        summary: "adds instances until the service keeps up".to_owned(),
        may: vec!["scale local:shop to 1 to 6".to_owned()],
        args: vec!["to=N".to_owned()],
        digest: "3fa94b0c11de".to_owned(),
        standing: Vec::new(),
    };
    let playbooks = render(&pages::playbooks(&[playbook], &[]), plain);
    let help = render(&pages::help(None, &|_| true), plain);
    let one = render(&pages::help(crate::chat::command::help_for("mode"), &|_| true), plain);
    let error = render(&pages::not_understood(&crate::chat::parse("statsu").unwrap_err()), plain);
    let why = "restart on local:shop needs the grant [restart] targets = \"local:shop\" in suture.toml";
    let refused = render(&pages::refused("plan INC-7 restart-service", why), plain);
    insta::assert_snapshot!([status, playbooks, help, one, error, refused].concat());
}

#[test]
fn a_suggestion_that_changes_something_is_no_button() {
    let card = |text| pages::not_understood(&crate::chat::parse(text).unwrap_err());
    assert_eq!(card("statsu").actions.len(), 1);
    assert_eq!(card("aprove").actions, []);
}

#[test]
fn a_page_of_the_ledger() {
    use crate::model::{Digest, Event, Fact, Person, Record};
    let record = |seq, by: Option<&str>, fact| Record {
        seq,
        prev: Digest::of(b""),
        event: Event {
            at: Timestamp(1_793_620_800_000),
            service: Some("shop".into()),
            incident: Some(IncidentId(7)),
            run: None,
            by: by.map(|name| Person::new(format!("console:{name}"), name)),
            fact,
        },
        hash: Digest::of(b""),
    };
    let records = [
        record(41, Some("anna"), Fact::Rejected { digest: Digest::of(b"x"), reason: "too risky".to_owned() }),
        record(42, None, Fact::Resolved { how: "recovered alone".to_owned() }),
    ];
    let asked = crate::chat::AuditQuery { service: Some("shop".into()), page: Some(2), ..Default::default() };
    let card = pages::audit(&records, 90, &asked, 20, |r| match &r.event.fact {
        Fact::Resolved { how } => how.clone(),
        _ => "the plan 2d711642b726 was refused because it seemed too risky at this time of day".to_owned(),
    });
    insta::assert_snapshot!(render(&card, Look::default()));
}

#[test]
fn hostile_text_moves_nothing() {
    let evil = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}evil\r\nline \u{8}\u{8}";
    let mut input = awaiting();
    input.service = ServiceId(evil.to_owned());
    input.environment = evil.to_owned();
    input.drivers[0].metric = evil.to_owned();
    input.outcome = vec![evil.to_owned()];
    input.plan = Some(PlanPart { diff: vec![evil.to_owned()], ..input.plan.unwrap() });
    let text = render(&input.card(), Look::default());
    assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}', '\r', '\u{8}']), "{text:?}");
    assert!(!text.contains("owned"));
}

#[test]
fn sparklines() {
    assert_eq!(sparkline(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], true), "▁▂▃▄▅▆▇█");
    assert_eq!(sparkline(&[1.0, f64::NAN, 1.0], true), "▁ ▁");
    assert_eq!(sparkline(&[0.0, 7.0], false), "_#");
    assert_eq!(sparkline(&[f64::MIN, f64::MAX], true), "▁█");
    assert_eq!(sparkline(&[], true), "");
}

#[test]
fn wide_characters_do_not_break_the_box() {
    let mut input = awaiting();
    input.environment = "本番環境 👩\u{200d}🔧 ".repeat(20);
    let text = render(&input.card(), Look::default());
    assert!(text.lines().all(|l| width_of(l) == 80), "{text}");
}

proptest! {
    #[test]
    fn any_card_at_any_width_is_drawn(
        texts in proptest::collection::vec(any::<String>(), 8),
        numbers in proptest::collection::vec(any::<f64>(), 0..30),
        width in 0_usize..400,
        colour in any::<bool>(),
        unicode in any::<bool>(),
    ) {
        let t = |i: usize| texts[i].clone();
        let card = Card {
            key: t(0),
            title: t(1),
            tone: Tone::Bad,
            blocks: vec![
                Block::Text(t(2)),
                Block::Field(t(3), t(4)),
                Block::Metrics(vec![MetricLine { name: t(5), words: t(6), share: f64::NAN, recent: numbers }]),
                Block::Diff(vec![t(7)]),
                Block::Table { head: vec![t(0), t(1)], rows: vec![vec![t(2)], vec![t(3), t(4), t(5)]] },
                Block::Fixed(t(6)),
            ],
            actions: vec![CardAction { label: t(0), command: t(1), dangerous: true, ..CardAction::default() }],
            settled: false,
            ..Card::default()
        };
        let look = Look { width, colour, unicode };
        let text = render(&card, look);
        prop_assert!(text.ends_with('\n'));
        let escapes = text.matches('\u{1b}').count();
        prop_assert!(colour || escapes == 0);
        prop_assert!(unicode || text.is_ascii(), "{text}");
        let _ = render_update(&card, look);
        let _ = render_said(&card.key, &card.title, look);
    }
}

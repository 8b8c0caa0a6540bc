//! What people tell the detector (`false-alarm`, `deployed`), and what they are told of its effect.

use std::time::Duration;

use super::Shared;
use super::commands::{Reply, submit};
use crate::chat::Block;
use crate::detect::{Feedback, HALF_LIFE, MOST_TOLERANCE};
use crate::incident::{Incident, Input, Refusal, State};
use crate::model::{Deploy, FalseAlarm, IncidentId, Judge, Person, ServiceId, Timestamp, in_words};

/// What a score counts as that nobody wrote down, in ledgers of before: at the threshold, the least there is.
const UNKNOWN_SCORE: f64 = 1.0;

/// `false-alarm INC-7 the nightly backup`.
pub(super) async fn false_alarm(
    shared: &Shared,
    incident: IncidentId,
    reason: String,
    by: Person,
) -> Result<Reply, String> {
    let before = shared.engine.state();
    let known = before.incidents.get(&incident).ok_or_else(|| Refusal::NoIncident(incident).to_string())?;
    let score = base_score(&before, known, shared.engine.peak(incident));
    submit(shared, Input::FalseAlarm { incident, score, reason, by: by.clone() }).await?;
    let now = shared.engine.now();
    let was = tolerance(&before, &known.service, now);
    let is = tolerance(&shared.engine.state(), &known.service, now);
    Ok(Reply::Done(marked(known, &by.name, was, is)))
}

/// `deployed shop 10m "release 1.4"`.
pub(super) async fn deployed(
    shared: &Shared,
    service: ServiceId,
    settle: Option<Duration>,
    note: String,
    by: Person,
) -> Result<Reply, String> {
    let config = shared.config();
    let known = config.service(&service).ok_or_else(|| Refusal::NoService(service.clone()).to_string())?;
    let settle = settle.unwrap_or(known.detect.settle);
    submit(shared, Input::Deployed { service: service.clone(), settle, note, by }).await?;
    let until = shared.engine.state().deploys.get(&service).map_or(shared.engine.now(), |deploy| deploy.until);
    Ok(Reply::Done(settling(&service, settle, until)))
}

/// What a service is given at the moment, as fields of its status. Empty when it is given nothing.
pub(super) fn fields(state: &State, service: &ServiceId, now: Timestamp) -> Vec<Block> {
    let mut fields = Vec::new();
    let alarms = state.false_alarms.get(service).map_or(0, Vec::len);
    let tolerance = tolerance(state, service, now);
    // What is not seen in two digits is over.
    if tolerance >= 1.005 {
        let after = if alarms == 1 { "1 false alarm".to_owned() } else { format!("{alarms} false alarms") };
        fields.push(Block::Field("Tolerance".to_owned(), format!("{}, after {after}", factor(tolerance))));
    }
    if let Some(deploy) = state.deploys.get(service).filter(|deploy| deploy.is_settling(now)) {
        let Deploy { until, by, note, .. } = deploy;
        let note = if note.is_empty() { String::new() } else { format!(": {note}") };
        let words = format!("until {} UTC, deployed by {by}{note}", until.clock_time());
        fields.push(Block::Field("Settling".to_owned(), words));
    }
    fields
}

/// The line of an incident's card.
pub(super) fn card_line(incident: &Incident) -> Option<String> {
    let marked = incident.false_alarm.as_ref()?;
    let reason = if marked.reason.is_empty() { String::new() } else { format!(": {}", marked.reason) };
    Some(format!("Marked as a false alarm by {}{reason}.", marked.by))
}

/// How many times as unusual as usual a sample must be now.
fn tolerance(state: &State, service: &ServiceId, now: Timestamp) -> f64 {
    Feedback::new(state.false_alarms.get(service).cloned().unwrap_or_default()).tolerance(now)
}

/// The incident's highest score, in thresholds as they are without any feedback: its own were higher by what was
/// tolerated when it was opened. `None` when the model did not raise it.
fn base_score(state: &State, incident: &Incident, peak: Option<f64>) -> Option<f64> {
    if !matches!(incident.judge, Judge::Model { .. }) {
        return None;
    }
    let alarms = state.false_alarms.get(&incident.service).into_iter().flatten();
    let then: Vec<FalseAlarm> = alarms.filter(|alarm| alarm.at <= incident.opened_at).cloned().collect();
    Some(peak.unwrap_or(UNKNOWN_SCORE) * Feedback::new(then).tolerance(incident.opened_at))
}

/// What is said back to `false-alarm`. `known` is the incident as it was before.
fn marked(known: &Incident, by: &str, was: f64, is: f64) -> String {
    let (id, service) = (known.id, &known.service);
    let ended = if known.is_open() { " and over" } else { "" };
    let head = format!("{id} is marked as a false alarm by {by}{ended}.");
    match known.judge {
        Judge::Model { .. } => {
            let most = if is >= MOST_TOLERANCE { "; more is not given" } else { "" };
            let days = HALF_LIFE.as_secs() / 86_400;
            format!(
                "{head} What the model finds in {service} must now be {} times as unusual (was {}) before it is an \
                 incident{most}; this halves every {days} days. What is past a configured limit still counts.",
                factor(is),
                factor(was)
            )
        }
        Judge::Source => {
            format!("{head} A source that did not answer raised it, not the model: nothing else changes.")
        }
        _ => {
            let metric = known.drivers.first().map(|d| format!(" of {}", d.metric)).unwrap_or_default();
            format!(
                "{head} A configured limit raised it, not the model: nothing else changes. If the `limit`{metric} is too \
                 strict, change it in the config."
            )
        }
    }
}

/// What is said back to `deployed`.
fn settling(service: &ServiceId, settle: Duration, until: Timestamp) -> String {
    format!(
        "{service} settles for {}, until {} UTC: what only the model finds raises no incident. What is past a configured \
         limit, and a source that is lost, still do. After that the model is trained again.",
        in_words(settle),
        until.clock_time()
    )
}

/// `1.16`, `1.0`.
fn factor(tolerance: f64) -> String {
    let digits = format!("{tolerance:.2}");
    digits.strip_suffix('0').unwrap_or(&digits).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Event, Fact, Severity};

    const DAY: i64 = 24 * 3600 * 1000;
    const MODEL: Judge = Judge::Model { version: 1 };

    fn event(at: i64, incident: Option<u64>, fact: Fact) -> Event {
        let by = Some(Person::new("unix:0", "root"));
        Event {
            at: Timestamp(at),
            service: Some("shop".into()),
            incident: incident.map(IncidentId),
            run: None,
            by,
            fact,
        }
    }

    fn opened(at: i64, id: u64, judge: Judge, score: Option<f64>) -> Event {
        let (risk, severity) = (60.0, Severity::Low);
        let since = Timestamp(at);
        event(at, Some(id), Fact::IncidentOpened { since, risk, severity, drivers: Vec::new(), judge, score })
    }

    fn marked_at(at: i64, id: u64, score: f64) -> Event {
        let fact = Fact::FalseAlarm { reason: "a batch job".into(), score: Some(score), metrics: Vec::new() };
        event(at, Some(id), fact)
    }

    fn shown(state: &State, now: i64) -> Vec<String> {
        let words = |block| match block {
            Block::Field(label, value) => format!("{label}: {value}"),
            other => panic!("{other:?}"),
        };
        fields(state, &"shop".into(), Timestamp(now)).into_iter().map(words).collect()
    }

    #[test]
    fn the_answer_says_what_has_changed() {
        let state = State::fold(&[opened(0, 7, MODEL, Some(1.1))]);
        let incident = &state.incidents[&IncidentId(7)];
        assert_eq!(
            marked(incident, "root", 1.0, 1.155),
            "INC-7 is marked as a false alarm by root and over. What the model finds in shop must now be 1.16 times as \
             unusual (was 1.0) before it is an incident; this halves every 30 days. What is past a configured limit still \
             counts."
        );
        assert!(
            marked(incident, "root", 3.9, 4.0)
                .contains("4.0 times as unusual (was 3.9) before it is an incident; more is")
        );
    }

    #[test]
    fn the_answer_says_when_nothing_has_changed() {
        let state = State::fold(&[opened(0, 7, Judge::Limits, None), opened(0, 8, Judge::Source, None)]);
        let said = |id| marked(&state.incidents[&IncidentId(id)], "root", 1.0, 1.0);
        assert!(
            said(7).contains("A configured limit raised it, not the model: nothing else changes. If the `limit` is")
        );
        assert!(said(8).contains("A source that did not answer raised it, not the model"));
        assert_eq!(base_score(&state, &state.incidents[&IncidentId(7)], Some(9.0)), None);
    }

    #[test]
    fn a_score_is_counted_in_thresholds_without_feedback() {
        let state = State::fold(&[
            opened(0, 7, MODEL, None),
            opened(0, 8, MODEL, Some(1.2)),
            marked_at(10, 8, 30.0),
            opened(20, 9, MODEL, Some(1.2)),
        ]);
        let score = |id, peak| base_score(&state, &state.incidents[&IncidentId(id)], peak).unwrap();
        assert_eq!(score(7, None), 1.0, "a ledger of before");
        assert_eq!(score(8, Some(1.3)), 1.3, "opened before the first word");
        assert!((score(9, Some(1.2)) - 1.8).abs() < 1e-6, "{}", score(9, Some(1.2)));
    }

    #[test]
    fn the_status_says_what_is_tolerated_and_until_when_it_settles() {
        let mut events = vec![opened(0, 7, MODEL, Some(1.2)), marked_at(0, 7, 1.2)];
        assert_eq!(shown(&State::fold(&events), 0), ["Tolerance: 1.26, after 1 false alarm"]);
        assert_eq!(shown(&State::fold(&events), 30 * DAY), ["Tolerance: 1.13, after 1 false alarm"]);
        assert_eq!(shown(&State::fold(&events), 3000 * DAY), [""; 0]);
        let fact = Fact::Deployed { until: Timestamp(60_000), note: "release 1.4".into() };
        events.push(event(1_000, None, fact));
        let state = State::fold(&events);
        let settling = "Settling: until 00:01:00 UTC, deployed by root: release 1.4";
        assert_eq!(shown(&state, 59_999), ["Tolerance: 1.26, after 1 false alarm", settling]);
        assert_eq!(shown(&state, 60_000).len(), 1);
    }

    #[test]
    fn the_card_says_who_marked_it() {
        let state = State::fold(&[opened(0, 7, MODEL, Some(1.2)), marked_at(0, 7, 1.2)]);
        let line = card_line(&state.incidents[&IncidentId(7)]);
        assert_eq!(line.as_deref(), Some("Marked as a false alarm by root: a batch job."));
    }
}

//! The score of an experiment: 100 points in five parts, each with its reason. docs/CHAOS.md says the same in words.

use std::time::Duration;

use super::super::words::span;
use super::{Report, Score, ScorePart};
use crate::model::{ExperimentOutcome, Stage};

/// Points of each part; together 100.
const DETECTED: u32 = 25;
const ANSWERED: u32 = 25;
const RECOVERED: u32 = 25;
const STEADY: u32 = 15;
const NOTHING_LEFT: u32 = 10;

/// The score; `None` of an experiment that cannot be compared: it is not over, was broken off, or no fault was in.
pub(super) fn score(report: &Report) -> Option<Score> {
    let over = matches!(report.outcome, Some(ExperimentOutcome::Passed | ExperimentOutcome::Failed));
    if !over || report.faults.iter().all(|fault| fault.in_at.is_none()) {
        return None;
    }
    let parts = if nothing_to_do(report) {
        let why = || "the service stayed steady: there was nothing to find or to heal".to_owned();
        vec![
            part("detection", DETECTED, 1.0, why()),
            part("right playbook", ANSWERED, 1.0, why()),
            part("recovery in time", RECOVERED, 1.0, why()),
        ]
    } else {
        vec![detected(report), answered(report), recovered(report)]
    };
    let parts: Vec<_> = parts.into_iter().chain([steady(report), nothing_left(report)]).collect();
    Some(Score { points: parts.iter().map(|part| part.points).sum(), parts })
}

/// No incident, nothing done, and whoever looked found it steady all the time.
fn nothing_to_do(report: &Report) -> bool {
    let steady = report.at_stage(Stage::During).is_some_and(|look| look.steady);
    steady && report.incidents.is_empty() && report.runs.is_empty()
}

fn part(name: &str, of: u32, share: f64, why: String) -> ScorePart {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to `of` by the clamp")]
    let points = (f64::from(of) * share.clamp(0.0, 1.0)).round() as u32;
    ScorePart { name: name.to_owned(), points, of, why }
}

/// All of it within the time allowed, none at twice that, and in a straight line between.
fn in_time(took: Duration, allowed: Duration) -> f64 {
    let allowed = allowed.as_secs_f64().max(0.001);
    2.0 - took.as_secs_f64() / allowed
}

fn detected(report: &Report) -> ScorePart {
    let allowed = report.expect.detected_within;
    match report.times.to_detect_ms.map(Duration::from_millis) {
        Some(took) => {
            let why = format!("found after {}, {} were allowed", span(took), span(allowed));
            part("detection", DETECTED, in_time(took, allowed), why)
        }
        None => part("detection", DETECTED, 0.0, "it was not found".to_owned()),
    }
}

fn answered(report: &Report) -> ScorePart {
    let (all, wrong) = (report.runs.len(), report.wrong().count());
    let (share, why) = match (all, wrong) {
        (0, _) if report.found().next().is_none() => (0.0, "without an incident nothing was tried".to_owned()),
        (0, _) if report.expect.playbooks.is_empty() => (1.0, "nothing was tried, and nothing had to be".to_owned()),
        (0, _) => (0.0, format!("none of the expected was tried: {}", report.expect.playbooks.join(", "))),
        (_, 0) => (1.0, "what was tried was right".to_owned()),
        _ => {
            #[expect(clippy::cast_precision_loss, reason = "runs of one experiment are few")]
            let share = (all - wrong) as f64 / all as f64;
            (share, format!("wrong runs: {wrong} of {all}"))
        }
    };
    part("right playbook", ANSWERED, share, why)
}

fn recovered(report: &Report) -> ScorePart {
    let allowed = report.expect.healed_within;
    match report.times.to_recover_ms.map(Duration::from_millis) {
        Some(took) => {
            let why = format!("well again after {}, {} were allowed", span(took), span(allowed));
            part("recovery in time", RECOVERED, in_time(took, allowed), why)
        }
        None => part("recovery in time", RECOVERED, 0.0, "nobody saw it well again".to_owned()),
    }
}

fn steady(report: &Report) -> ScorePart {
    let (share, why) = match report.at_stage(Stage::After) {
        Some(look) if look.steady => (1.0, "steady again".to_owned()),
        Some(look) => (0.0, format!("not steady: {}", look.why)),
        None => (0.0, "nobody looked".to_owned()),
    };
    part("steady after", STEADY, share, why)
}

fn nothing_left(report: &Report) -> ScorePart {
    let left: Vec<_> = report.faults.iter().filter(|fault| fault.may_be_in()).map(|fault| fault.id.as_str()).collect();
    if left.is_empty() {
        return part("nothing left in", NOTHING_LEFT, 1.0, "every fault is out".to_owned());
    }
    part("nothing left in", NOTHING_LEFT, 0.0, format!("may still be in: {}", left.join(", ")))
}

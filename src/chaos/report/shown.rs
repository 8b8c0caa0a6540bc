//! A report as a card, and as Markdown: the same words.

use std::time::Duration;

use super::super::markdown::markdown;
use super::super::words::span;
use super::{FaultTold, IncidentTold, Report, RunTold};
use crate::chat::{Block, Card, Tone, pages};
use crate::model::{ExperimentOutcome, MetricSeen, Stage, Timestamp};

/// Several experiments, a row each.
#[must_use]
pub fn overview(reports: &[Report]) -> Block {
    let head = ["experiment", "what", "on", "when (UTC)", "outcome", "score", "to detect", "to recover", "why"];
    let time = |ms: Option<u64>| ms.map(|ms| span(Duration::from_millis(ms))).unwrap_or_default();
    let rows = reports.iter().map(|report| {
        let outcome = match (&report.outcome, &report.declined) {
            (Some(outcome), _) => outcome.to_string(),
            (None, Some(_)) => "not done".to_owned(),
            (None, None) if report.started_at.is_some() => "under way".to_owned(),
            (None, None) => "awaiting approval".to_owned(),
        };
        let why = report.declined.clone().unwrap_or_else(|| report.why.clone());
        vec![
            report.experiment.to_string(),
            report.name.clone(),
            report.service.to_string(),
            report.asked_at.map(|at| at.to_string().chars().take(16).collect()).unwrap_or_default(),
            outcome,
            report.score.as_ref().map(|score| score.points.to_string()).unwrap_or_default(),
            time(report.times.to_detect_ms),
            time(report.times.to_recover_ms),
            why,
        ]
    });
    Block::Table { head: head.map(str::to_owned).to_vec(), rows: rows.collect() }
}

impl Report {
    /// As a card; a chart is for the caller to add, who has the values.
    #[must_use]
    pub fn card(&self) -> Card {
        let state = match (self.outcome, &self.declined) {
            (Some(outcome), _) => outcome.to_string().to_uppercase(),
            (None, Some(_)) => "did not take place".to_owned(),
            (None, None) if self.started_at.is_some() => "under way".to_owned(),
            (None, None) => "not begun".to_owned(),
        };
        let title = format!("{} · {} · {} · {state}", self.experiment, self.service, self.name);
        let tone = match self.outcome {
            Some(ExperimentOutcome::Passed) => Tone::Good,
            Some(_) => Tone::Bad,
            None if self.declined.is_some() => Tone::Neutral,
            None => Tone::Waiting,
        };
        Card { tone, ..pages::answer(&title, self.blocks()) }
    }

    /// As Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        markdown(&self.card())
    }

    /// The body of the card.
    #[must_use]
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        if !self.title.is_empty() {
            blocks.push(Block::Text(self.title.clone()));
        }
        let mut field = |label: &str, value: String| {
            if !value.is_empty() {
                blocks.push(Block::Field(label.to_owned(), value));
            }
        };
        let outcome = self.outcome.map(|outcome| with(&outcome.to_string(), &self.why)).unwrap_or_default();
        field("Outcome", outcome);
        field("Not done", self.declined.clone().unwrap_or_default());
        field("Broken off", self.aborted.clone().unwrap_or_default());
        field(
            "Asked by",
            if self.scheduled { "a schedule".to_owned() } else { self.asked_by.clone().unwrap_or_default() },
        );
        field("Approved by", self.approved_by.join(", "));
        field("Score", self.score.as_ref().map(|score| format!("{} of 100", score.points)).unwrap_or_default());
        field("Times", self.times_in_words());
        field("Available", self.availability.map(super::Availability::words).unwrap_or_default());
        let left: Vec<_> = self.faults.iter().filter(|fault| fault.may_be_in()).map(|f| f.id.clone()).collect();
        let left_words = format!("{}: take a look at the target", left.join(", "));
        field("MAY BE IN", if self.ended_at.is_some() && !left.is_empty() { left_words } else { String::new() });
        if !self.faults.is_empty() {
            let rows = self.faults.iter().map(fault_row).collect();
            blocks.push(table(["fault", "what it does", "to whom", "in", "out"], rows));
        }
        let looks = [Stage::Before, Stage::During, Stage::After].into_iter().filter_map(|stage| self.at_stage(stage));
        let rows: Vec<_> = looks
            .map(|look| {
                let seen: Vec<_> = look.seen.iter().map(seen_words).collect();
                let steady = if look.steady { "yes" } else { "no" };
                vec![look.stage.to_string(), steady.to_owned(), look.why.clone(), seen.join("; ")]
            })
            .collect();
        if !rows.is_empty() {
            blocks.push(table(["stage", "steady", "why", "metrics"], rows));
        }
        let began = self.began();
        blocks.extend(self.incidents.iter().map(|incident| Block::Text(incident_words(incident, began))));
        if self.incidents.is_empty() && began.is_some() {
            blocks.push(Block::Text("No incident came of it.".to_owned()));
        }
        blocks.extend(self.runs.iter().map(|run| Block::Text(run_words(run))));
        let wrong: Vec<_> = self.wrong().map(|run| format!("{} ({})", run.run, reason(run))).collect();
        if !wrong.is_empty() {
            blocks.push(Block::Field("Wrong actions".to_owned(), wrong.join("; ")));
        }
        if let Some(score) = &self.score {
            let row = |p: &super::ScorePart| vec![p.name.clone(), format!("{} of {}", p.points, p.of), p.why.clone()];
            blocks.push(table(["part of the score", "points", "why"], score.parts.iter().map(row).collect()));
        }
        blocks
    }

    fn times_in_words(&self) -> String {
        let times = [
            ("to detect", self.times.to_detect_ms),
            ("to approve", self.times.to_approve_ms),
            ("to act", self.times.to_act_ms),
            ("to recover", self.times.to_recover_ms),
        ];
        let said = times.into_iter().filter_map(|(label, ms)| {
            let took = Duration::from_millis(ms?);
            Some(format!("{label} {}", span(took)))
        });
        said.collect::<Vec<_>>().join(", ")
    }
}

impl super::Availability {
    /// `95 % (57 s of 1 min 00 s)`.
    #[must_use]
    pub fn words(self) -> String {
        let [kept, of] = [self.kept_ms, self.of_ms].map(Duration::from_millis);
        let share = kept.as_secs_f64() / of.as_secs_f64().max(f64::MIN_POSITIVE);
        let share = crate::model::number::humane(share.clamp(0.0, 1.0), "ratio");
        format!("{share} ({} of {})", span(kept), span(of))
    }
}

fn table<const N: usize>(head: [&str; N], rows: Vec<Vec<String>>) -> Block {
    Block::Table { head: head.map(str::to_owned).to_vec(), rows }
}

fn with(what: &str, why: &str) -> String {
    if why.is_empty() { what.to_owned() } else { format!("{what}: {why}") }
}

fn fault_row(fault: &FaultTold) -> Vec<String> {
    let clock = |at: Option<Timestamp>, or: &str| at.map_or_else(|| or.to_owned(), Timestamp::clock_time);
    let whom = if fault.instances.is_empty() { fault.target.clone() } else { fault.instances.join(", ") };
    let out = match (fault.out_at, &fault.stuck) {
        (Some(at), _) => with(&at.clock_time(), &fault.out_how),
        (None, Some(why)) => format!("STUCK: {why}"),
        (None, None) if fault.blow => "nothing to take out".to_owned(),
        (None, None) if fault.may_be_in() => "not yet".to_owned(),
        (None, None) => String::new(),
    };
    let does = with(&fault.kind, &fault.does);
    vec![fault.id.clone(), does, whom, clock(fault.in_at, "never"), out]
}

fn seen_words(seen: &MetricSeen) -> String {
    let value = seen.value.map_or_else(|| "no value".to_owned(), |value| format!("{value:.4}"));
    let kept = if seen.holds { "kept" } else { "NOT kept" };
    if seen.bound.is_empty() { format!("{} {value}", seen.metric) } else { format!("{value} ({}: {kept})", seen.bound) }
}

fn incident_words(incident: &IncidentTold, began: Option<Timestamp>) -> String {
    let after = |at: Timestamp| began.map_or_else(|| at.clock_time(), |began| span(at.since(began)));
    let mut words = format!("{}: found after {}, {}", incident.incident, after(incident.opened_at), incident.severity);
    if !incident.metrics.is_empty() {
        words.push_str(&format!(", by {}", incident.metrics.join(", ")));
    }
    match (incident.closed_at, &incident.how) {
        (Some(at), how) => words.push_str(&format!("; {} after {}", how.as_deref().unwrap_or("over"), after(at))),
        (None, _) => words.push_str("; not over yet"),
    }
    if let Some(why) = &incident.escalated {
        words.push_str(&format!("; people were called: {why}"));
    }
    if incident.false_alarm {
        words.push_str("; a false alarm, somebody says");
    }
    words.push('.');
    words
}

fn run_words(run: &RunTold) -> String {
    let mut words = format!("{}: {}", run.run, with(&run.playbook, &run.actions.join("; ")));
    if let Some(error) = &run.failed {
        words.push_str(&format!("; failed: {error}"));
    }
    if let Some(verdict) = run.verdict {
        words.push_str(&format!("; judged {verdict}"));
    }
    if let Some((_, why)) = &run.undone {
        words.push_str(&format!("; taken back: {why}"));
    }
    words.push('.');
    words
}

fn reason(run: &RunTold) -> &str {
    run.wrong.as_deref().unwrap_or_default()
}

//! What became of one experiment: a pure fold over the ledger, with its score, as a card, as Markdown, as JSON, and on a chart.
//!
//! All of it follows from the records, so that the same ledger gives the same report at any time, also of an experiment that
//! is still under way. Must never call something healed that nobody saw healed. Called by `chaos report`, the score board and
//! the command line.

mod fold;
mod points;
mod shown;

pub use shown::overview;
#[cfg(test)]
pub(super) mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::chat::chart::{Chart, Mark, MarkKind};
use crate::model::{
    Digest, Expectation, ExperimentId, ExperimentOutcome, FaultKind, IncidentId, MetricSeen, RunId, ServiceId,
    Severity, Stage, Timestamp, Verdict,
};

/// On a chart at least so much before the first fault and after the end.
const LEAST_AROUND: Duration = Duration::from_secs(30);
/// And at most so much.
const MOST_AROUND: Duration = Duration::from_secs(300);

/// One experiment as the ledger has it. Times that did not come are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Which.
    pub experiment: ExperimentId,
    /// The name of its file; empty when the ledger does not have its plan.
    pub name: String,
    /// In one line.
    pub title: String,
    /// On which service.
    pub service: ServiceId,
    /// What was approved.
    pub digest: Option<Digest>,
    /// A schedule asked for it.
    pub scheduled: bool,
    /// Who asked; absent when a schedule did.
    pub asked_by: Option<String>,
    /// Who said yes.
    pub approved_by: Vec<String>,
    /// When it was asked for.
    pub asked_at: Option<Timestamp>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// Why it did not take place.
    pub declined: Option<String>,
    /// Why it was broken off.
    pub aborted: Option<String>,
    /// How it ended; absent while it is under way.
    pub outcome: Option<ExperimentOutcome>,
    /// Why so.
    pub why: String,
    /// What was expected.
    pub expect: Expectation,
    /// How the steady state was each time that somebody looked, in order.
    pub steady: Vec<SteadyTold>,
    /// The faults, in the order of the method.
    pub faults: Vec<FaultTold>,
    /// The incidents that began while it was under way.
    pub incidents: Vec<IncidentTold>,
    /// What was done about them.
    pub runs: Vec<RunTold>,
    /// How long things took.
    pub times: Times,
    /// How much of the time people were served as they should be.
    pub availability: Option<Availability>,
    /// What happened when, for a chart, in order.
    pub marks: Vec<MarkTold>,
    /// 0 to 100; absent of one that is not over, was broken off, or had no fault in.
    pub score: Option<Score>,
}

/// The steady state at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SteadyTold {
    /// Where in the experiment.
    pub stage: Stage,
    /// When.
    pub at: Timestamp,
    /// Was it steady?
    pub steady: bool,
    /// Why not, or what it rests on.
    pub why: String,
    /// The metrics that have bounds.
    pub seen: Vec<MetricSeen>,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultTold {
    /// `EXP-3.1`.
    pub id: String,
    /// Its kind: `latency`.
    pub kind: String,
    /// What it does, in words.
    pub does: String,
    /// On what.
    pub target: String,
    /// Which instances; empty where it was about the whole.
    pub instances: Vec<String>,
    /// It is over at once: there is nothing to take out.
    pub blow: bool,
    /// When it was in.
    pub in_at: Option<Timestamp>,
    /// When it was out.
    pub out_at: Option<Timestamp>,
    /// How it came out, in words.
    pub out_how: String,
    /// Why it could not be taken out; absent when it could.
    pub stuck: Option<String>,
    /// When it was about to go in: it may have been in from then on.
    pub intended_at: Option<Timestamp>,
}

impl IncidentTold {
    /// When the service was seen well again. That somebody closed it says nothing of the service.
    #[must_use]
    pub fn recovered_at(&self) -> Option<Timestamp> {
        let seen = self.how.as_deref().is_some_and(|how| how == "healed" || how.starts_with("recovered"));
        self.closed_at.filter(|_| seen)
    }
}

impl FaultTold {
    /// May it still be in?
    #[must_use]
    pub fn may_be_in(&self) -> bool {
        !self.blow && self.out_at.is_none() && (self.in_at.is_some() || self.intended_at.is_some())
    }
}

/// One incident of the experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentTold {
    /// Which.
    pub incident: IncidentId,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// How bad it was then.
    pub severity: Severity,
    /// The metrics responsible, most responsible first.
    pub metrics: Vec<String>,
    /// When it was over.
    pub closed_at: Option<Timestamp>,
    /// How it ended: `healed`, `recovered alone`.
    pub how: Option<String>,
    /// Why people were called.
    pub escalated: Option<String>,
    /// A person said that nothing was wrong.
    pub false_alarm: bool,
}

/// One run of a playbook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunTold {
    /// Which.
    pub run: RunId,
    /// For which incident.
    pub incident: IncidentId,
    /// Which playbook; empty when the ledger does not have its plan.
    pub playbook: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When its last step was done, or it failed.
    pub ended_at: Option<Timestamp>,
    /// Its steps, a line each.
    pub actions: Vec<String>,
    /// Why it failed.
    pub failed: Option<String>,
    /// The detector's word on it.
    pub verdict: Option<Verdict>,
    /// When and why it was taken back.
    pub undone: Option<(Timestamp, String)>,
    /// Why it was the wrong thing to do; absent when it was not.
    pub wrong: Option<String>,
}

/// How long things took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// From the first fault to the first incident.
    pub to_detect_ms: Option<u64>,
    /// From the first plan to the yes to it.
    pub to_approve_ms: Option<u64>,
    /// From the beginning of the first run to its end.
    pub to_act_ms: Option<u64>,
    /// From the first fault until the service was seen well again after every incident.
    pub to_recover_ms: Option<u64>,
}

/// The part of the time from the first fault to the end in which every bound of a metric in the steady state was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Availability {
    /// So long they were, in milliseconds.
    pub kept_ms: u64,
    /// Of so long.
    pub of_ms: u64,
}

/// How well it went, with the reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// 0 to 100.
    pub points: u32,
    /// What they are made of.
    pub parts: Vec<ScorePart>,
}

/// A part of a score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScorePart {
    /// Of what.
    pub name: String,
    /// So many.
    pub points: u32,
    /// Of so many.
    pub of: u32,
    /// Why.
    pub why: String,
}

/// Something that happened at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkTold {
    /// When.
    pub at: Timestamp,
    /// What sort of thing.
    pub kind: MarkSort,
    /// In words.
    pub words: String,
}

/// What sort of thing a mark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarkSort {
    /// A fault went in or came out.
    Fault,
    /// An incident was opened.
    Detection,
    /// A run began.
    Action,
    /// A run was taken back.
    Undo,
    /// An incident was over.
    Recovery,
}

impl Report {
    /// How the steady state was at a stage: before and after, the last look; during, the worst one.
    #[must_use]
    pub fn at_stage(&self, stage: Stage) -> Option<&SteadyTold> {
        let mut looks = self.steady.iter().filter(|look| look.stage == stage);
        let worst = || self.steady.iter().find(|look| look.stage == stage && !look.steady);
        if stage == Stage::During { worst().or_else(|| looks.next_back()) } else { looks.next_back() }
    }

    /// When the first fault was in, or may have been.
    #[must_use]
    pub fn began(&self) -> Option<Timestamp> {
        let injected = self.faults.iter().filter_map(|fault| fault.in_at).min();
        injected.or_else(|| self.faults.iter().filter_map(|fault| fault.intended_at).min())
    }

    /// Runs that were the wrong thing to do.
    pub fn wrong(&self) -> impl Iterator<Item = &RunTold> {
        self.runs.iter().filter(|run| run.wrong.is_some())
    }

    /// The incidents that nobody called false alarms.
    pub fn found(&self) -> impl Iterator<Item = &IncidentTold> {
        self.incidents.iter().filter(|incident| !incident.false_alarm)
    }

    /// Was there an incident, and every one of them ended by a cure?
    #[must_use]
    pub fn healed(&self) -> bool {
        self.found().next().is_some() && self.found().all(|i| i.how.as_deref() == Some("healed"))
    }

    /// The one kind of fault that it is about; `None` when there are several, or none that is known.
    #[must_use]
    pub fn kind(&self) -> Option<FaultKind> {
        let first = self.faults.first()?;
        let kind = FaultKind::ALL.into_iter().find(|kind| kind.name() == first.kind)?;
        self.faults.iter().all(|fault| fault.kind == first.kind).then_some(kind)
    }

    /// As JSON, for machines.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        // Text, numbers and lists: this cannot fail.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The metric that is best to draw: the one most responsible, else the first one that has bounds.
    #[must_use]
    pub fn metric(&self) -> Option<&str> {
        let responsible = self.incidents.iter().find_map(|incident| incident.metrics.first());
        let bound = || self.steady.iter().find_map(|look| look.seen.first()).map(|seen| &seen.metric);
        responsible.or_else(bound).map(String::as_str)
    }

    /// From when to when a chart of it goes; `now` is its right edge while it is under way.
    #[must_use]
    pub fn frame(&self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let began = self.began()?;
        let last = self.marks.iter().map(|mark| mark.at).chain(self.ended_at).max().unwrap_or(began);
        let around = (last.since(began) / 2).clamp(LEAST_AROUND, MOST_AROUND);
        let to = if self.ended_at.is_some() { last.plus(around).min(now.max(last)) } else { now.max(last) };
        Some((began.minus(around), to))
    }

    /// The course of a metric with the marks of this experiment, and no others.
    #[must_use]
    pub fn on(&self, course: Chart) -> Chart {
        let kind = |sort: MarkSort| match sort {
            MarkSort::Fault => MarkKind::Fault,
            MarkSort::Detection => MarkKind::Anomaly,
            MarkSort::Action => MarkKind::Action,
            MarkSort::Undo => MarkKind::Undo,
            MarkSort::Recovery => MarkKind::Resolved,
        };
        let inside = self.marks.iter().filter(|mark| course.from <= mark.at && mark.at <= course.to);
        let marks = inside.map(|mark| Mark { at: mark.at, kind: kind(mark.kind), words: mark.words.clone() }).collect();
        Chart { marks, ..course }
    }
}

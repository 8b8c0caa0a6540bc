//! Builds the card of an incident from plain input, so that what is shown can be tested without an engine.
//!
//! The composition root fills the input from the engine's state; nothing here looks anything up or decides anything.
//! Must never put an escape or a colour into a text: adapters do that for their platform.

use std::time::Duration;

use super::{Block, Card, CardAction, MetricLine, Tone};
use crate::model::number::compared;
use crate::model::{
    Driver, IncidentId, Plan, PlannedAction, Proposal, ServiceId, Severity, Timestamp, Trend, in_words,
};

/// Metrics shown on a card; the rest is behind `show`.
const MOST_METRICS: usize = 5;
/// Lines of a plan shown on a card.
const MOST_DIFF_LINES: usize = 12;

/// What is known of an incident, ready to be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentCard {
    /// Which.
    pub id: IncidentId,
    /// Whose.
    pub service: ServiceId,
    /// `production`; empty where nobody said.
    pub environment: String,
    /// How bad.
    pub severity: Severity,
    /// Risk 0 to 100.
    pub risk: f64,
    /// The first anomalous sample of the row.
    pub since: Timestamp,
    /// Now; the end of the incident once it is over.
    pub now: Timestamp,
    /// Where it stands: `awaiting approval`, `resolved`.
    pub phase_words: String,
    /// How it stands.
    pub tone: Tone,
    /// Nothing more will happen to it.
    pub settled: bool,
    /// The metrics responsible, most responsible first.
    pub drivers: Vec<Driver>,
    /// The limits that metrics are on their way to, in words, a line each.
    pub ahead: Vec<String>,
    /// What is proposed or was done.
    pub plan: Option<PlanPart>,
    /// What came of it so far, a line each: `RUN-1: local:shop workers 2 -> 4, done`, `verdict: improved`.
    pub outcome: Vec<String>,
    /// How long things took, a label and a time each: `to detect`, `to approve`, `to repair`.
    pub timings: Vec<(String, Duration)>,
    /// What may be done now.
    pub actions: Vec<CardAction>,
    /// Nothing was found wrong: a person asked for something.
    pub on_request: bool,
}

/// The plan as the approver sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlanPart {
    /// One sentence from whoever proposed it.
    pub why: String,
    /// `rule stock` or a person: where the proposal comes from.
    pub proposed_by: String,
    /// The playbook with its arguments: `scale-out to=4`.
    pub playbook: String,
    /// Before and after, a line each; see [`diff_lines`].
    pub diff: Vec<String>,
    /// What the component may do at most, in words, from its grant.
    pub may: Vec<String>,
    /// What else who approves must know of the targets.
    pub notes: Vec<String>,
    /// `yes, every step` or what is lost.
    pub undoable: String,
    /// Who may approve; empty once nobody is asked any more.
    pub who_may: String,
    /// What it takes besides a yes; empty when nothing.
    pub second_factor: String,
    /// Who may not; empty when nobody is left out.
    pub not_by: String,
    /// Approvals so far and needed; `None` once nobody is asked any more.
    pub approvals: Option<Approvals>,
    /// Until the question expires.
    pub expires_in: Option<Duration>,
    /// The short form of the plan's digest.
    pub digest: String,
}

/// How many said yes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approvals {
    /// Who said yes.
    pub names: Vec<String>,
    /// How many it takes.
    pub needed: u32,
}

impl PlanPart {
    /// Everything that a plan and its proposal say themselves; who may approve, the approvals and the expiry are for
    /// the caller to add.
    #[must_use]
    pub fn of(plan: &Plan, proposal: &Proposal) -> Self {
        let args = plan.args.iter().map(|(key, value)| format!(" {key}={value}"));
        Self {
            why: proposal.why.clone(),
            proposed_by: proposal.rule.clone(),
            playbook: std::iter::once(plan.playbook.clone()).chain(args).collect(),
            diff: diff_lines(&plan.actions),
            may: plan.may.clone(),
            notes: plan.notes.clone(),
            undoable: undoable_words(&plan.actions),
            digest: plan.digest().short(),
            ..Self::default()
        }
    }
}

/// The steps of a plan, subjects padded so that the values stand below each other: `local:shop workers  2 -> 4`.
#[must_use]
pub fn diff_lines(actions: &[PlannedAction]) -> Vec<String> {
    let parts: Vec<_> = actions
        .iter()
        .map(|step| {
            let subject = step.action.subject();
            // The step's own line begins with the subject; what follows is the change.
            let line = step.diff_line();
            let change = line.strip_prefix(&subject).unwrap_or(&line).trim().to_owned();
            (subject, change)
        })
        .collect();
    let width = parts.iter().map(|(subject, _)| subject.chars().count()).max().unwrap_or(0);
    parts.into_iter().map(|(subject, change)| format!("{subject:<width$}  {change}")).collect()
}

/// `yes, every step`, `only in part: a restarted process does not get its memory back`.
fn undoable_words(actions: &[PlannedAction]) -> String {
    use crate::model::Inverse;
    let lost: Vec<&str> = actions
        .iter()
        .filter_map(|step| match &step.inverse {
            Inverse::Impossible(why) => Some(why.as_str()),
            Inverse::Action(_) => None,
        })
        .collect();
    match lost.first() {
        None => "yes, every step".to_owned(),
        Some(why) if lost.len() == actions.len() => format!("no: {why}"),
        Some(why) => format!("only in part: {why}"),
    }
}

impl IncidentCard {
    /// The card.
    #[must_use]
    pub fn card(&self) -> Card {
        // What only ticks stands in brackets: it is a gloss, not news, when the card is shown again.
        let mut blocks = vec![Block::Field("Since".to_owned(), self.since_words())];
        if !self.on_request {
            let risk = format!("{} ({:.0} of 100)", self.severity, self.risk.clamp(0.0, 100.0));
            blocks.push(Block::Field("Risk".to_owned(), risk));
        }
        let severity = if self.on_request { "ON REQUEST".to_owned() } else { self.severity.to_string().to_uppercase() };
        if !self.environment.is_empty() {
            blocks.push(Block::Field("Where".to_owned(), self.environment.clone()));
        }
        if !self.drivers.is_empty() {
            blocks.push(Block::Metrics(self.drivers.iter().take(MOST_METRICS).map(metric_line).collect()));
        }
        blocks.extend(self.ahead.iter().map(|words| Block::Field("Ahead".to_owned(), words.clone())));
        if let Some(plan) = &self.plan {
            plan_blocks(plan, &mut blocks);
        }
        blocks.extend(self.outcome.iter().map(|line| Block::Text(line.clone())));
        if !self.timings.is_empty() {
            let times: Vec<_> =
                self.timings.iter().map(|(label, took)| format!("{label} {}", in_words(*took))).collect();
            blocks.push(Block::Field("Times".to_owned(), times.join(", ")));
        }
        Card {
            key: self.id.to_string(),
            title: format!("{} · {} · {} · {}", self.id, self.service, severity, self.phase_words),
            tone: self.tone,
            blocks,
            actions: self.actions.clone(),
            settled: self.settled,
            picture: None,
            plan: None,
        }
    }

    fn since_words(&self) -> String {
        let lasted = in_words(self.now.since(self.since));
        let gloss = if self.settled { format!("lasted {lasted}") } else { format!("{lasted} ago") };
        format!("{} UTC ({gloss})", self.since.clock_time())
    }
}

/// `latency_p95  412 ms (normally 18 ms, 23x), rising`.
fn metric_line(driver: &Driver) -> MetricLine {
    let mut words = compared(driver.value, driver.normal, &driver.unit);
    match driver.trend {
        Trend::Steady => {}
        Trend::Rising | Trend::Falling => words.push_str(&format!(", {}", driver.trend)),
        Trend::Step => words.push_str(", jumped"),
    }
    if let Some(instance) = &driver.instance {
        words.push_str(&format!(", mostly {instance}"));
    }
    MetricLine { name: driver.metric.clone(), words, share: driver.share, recent: driver.recent.clone() }
}

fn plan_blocks(plan: &PlanPart, blocks: &mut Vec<Block>) {
    let mut field = |label: &str, value: String| blocks.push(Block::Field(label.to_owned(), value));
    if !plan.why.is_empty() {
        field("Why", plan.why.clone());
    }
    let by = if plan.proposed_by.is_empty() { String::new() } else { format!(", proposed by {}", plan.proposed_by) };
    field("Playbook", format!("{}{by}", plan.playbook));
    if !plan.diff.is_empty() {
        let mut lines: Vec<_> = plan.diff.iter().take(MOST_DIFF_LINES).cloned().collect();
        if plan.diff.len() > MOST_DIFF_LINES {
            lines.push(format!("and {} more", plan.diff.len() - MOST_DIFF_LINES));
        }
        blocks.push(Block::Diff(lines));
    }
    let mut field = |label: &str, value: String| blocks.push(Block::Field(label.to_owned(), value));
    for note in &plan.notes {
        field("Note", note.clone());
    }
    if !plan.undoable.is_empty() {
        field("Can be undone", plan.undoable.clone());
    }
    if !plan.may.is_empty() {
        field("May at most", plan.may.join("; "));
    }
    if let Some(approvals) = &plan.approvals {
        let names =
            if approvals.names.is_empty() { String::new() } else { format!(": {}", approvals.names.join(", ")) };
        field("Approvals", format!("{} of {}{names}", approvals.names.len(), approvals.needed));
    }
    if !plan.who_may.is_empty() {
        field("Who may", plan.who_may.clone());
    }
    if !plan.not_by.is_empty() {
        field("But not", plan.not_by.clone());
    }
    if !plan.second_factor.is_empty() {
        field("And a code", plan.second_factor.clone());
    }
    if let Some(expires_in) = plan.expires_in {
        field("Question", format!("open (expires in {})", in_words(expires_in)));
    }
    if !plan.digest.is_empty() {
        field("Plan", plan.digest.clone());
    }
}

//! One component against all past incidents: what it would have done, beside what was done and how that ended.

use std::collections::BTreeMap;

use serde::Serialize;

use super::case::{Case, Execution, Gathering, What};
use super::world::states;
use super::would::{self, Allowed, Basis, Would};
use crate::model::{Args, Event, Fact, IncidentId, ServiceId, Timestamp};
use crate::wasm::{Playbook, Rule};

/// What is tried.
pub enum Candidate {
    /// A playbook, with arguments over the recorded ones.
    Playbook(Playbook, Args),
    /// A rule.
    Rule(Rule),
}

/// One incident's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Which.
    pub incident: IncidentId,
    /// When it was opened.
    pub opened_at: Option<Timestamp>,
    /// Of which service.
    pub service: Option<ServiceId>,
    /// What it would have done; the error says why that cannot be said.
    pub would: Result<Would, String>,
    /// What was done: each run's playbook.
    pub done: Vec<String>,
    /// How it ended.
    pub ended: String,
}

/// The whole table, oldest incident first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Backtest {
    /// A row an incident.
    pub rows: Vec<Row>,
    /// How often it would have done what.
    pub totals: Totals,
    /// How the incidents ended.
    pub ended: BTreeMap<String, usize>,
}

/// How often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// A plan or proposals.
    pub proposed: usize,
    /// Nothing, for a reason.
    pub refused: usize,
    /// A fault.
    pub failed: usize,
    /// The ledger does not hold what would be needed to say.
    pub unknown: usize,
}

/// The incidents of a ledger, put together one event after the other.
pub struct Incidents {
    since: Timestamp,
    open: BTreeMap<IncidentId, Gathering>,
}

impl Incidents {
    /// Those that were opened then or later.
    #[must_use]
    pub fn since(since: Timestamp) -> Self {
        Self { since, open: BTreeMap::new() }
    }

    /// Takes in the next event of the ledger.
    pub fn take(&mut self, seq: u64, event: &Event) {
        let Some(id) = event.incident else { return };
        if matches!(event.fact, Fact::IncidentOpened { .. }) && event.at >= self.since {
            self.open.insert(id, Gathering::new(id));
        }
        if let Some(gathering) = self.open.get_mut(&id) {
            gathering.take(seq, event);
        }
    }

    /// All of them, oldest first.
    #[must_use]
    pub fn finish(self) -> Vec<Case> {
        self.open.into_values().map(Gathering::finish).collect()
    }
}

/// Tries the candidate in each of these incidents.
pub async fn backtest(cases: &[Case], candidate: &Candidate, allowed: &Allowed) -> Backtest {
    let mut table = Backtest::default();
    for case in cases {
        let would = match candidate {
            Candidate::Playbook(playbook, given) => match basis(case, playbook, given) {
                Ok(basis) => Ok(would::playbook(playbook, &basis, allowed).await.0),
                Err(why) => Err(why),
            },
            Candidate::Rule(rule) => match told(case) {
                Ok(view) => Ok(would::rule(rule, view).await.0),
                Err(why) => Err(why),
            },
        };
        *match &would {
            Ok(Would::Planned { .. } | Would::Proposed { .. }) => &mut table.totals.proposed,
            Ok(Would::Refused { .. }) => &mut table.totals.refused,
            Ok(Would::Failed { .. }) => &mut table.totals.failed,
            Err(_) => &mut table.totals.unknown,
        } += 1;
        let ended = ended(case);
        *table.ended.entry(ended.clone()).or_default() += 1;
        let (incident, opened_at, service) = (case.incident, case.opened_at, case.service.clone());
        table.rows.push(Row { incident, opened_at, service, would, done: done(case), ended });
    }
    table
}

/// What the rules were told first.
fn told(case: &Case) -> Result<crate::wasm::IncidentView, String> {
    let (_, view, _) = case.proposed.first().ok_or_else(|| "the rules were never asked".to_owned())?;
    would::view_of(case.incident, view)
}

/// Best: a dry run of a playbook of this name, with the arguments it had. Else any dry run, else what the rules were
/// told.
fn basis(case: &Case, playbook: &Playbook, given: &Args) -> Result<Basis, String> {
    let is_dry = |e: &&Execution| matches!(e.what, What::DryRun { .. });
    let mut dry_runs = case.executions.iter().filter(is_dry);
    let of_name = dry_runs.clone().find(|e| e.ran.name == playbook.name());
    let (at, view, states, args) = match (of_name, dry_runs.next()) {
        (Some(e), _) => {
            let view = would::view_of(case.incident, &e.view)?;
            let args = if let What::DryRun { args, .. } = &e.what { args.clone() } else { Args::new() };
            let states = states(&view, Some(&e.ran));
            (e.at, view, states, args)
        }
        (None, found) => {
            let view = match found {
                Some(e) => would::view_of(case.incident, &e.view)?,
                None => told(case)?,
            };
            let asked_at = case.proposed.first().map(|(at, ..)| *at);
            let at = found.map(|e| e.at).or(asked_at).unwrap_or(view.since);
            let states = states(&view, found.map(|e| &e.ran));
            let mut proposals = case.proposed.iter().flat_map(|(_, _, proposals)| proposals);
            let proposal = proposals.find(|p| p.playbook == playbook.name());
            (at, would::for_another(view), states, proposal.map(|p| p.args.clone()).unwrap_or_default())
        }
    };
    if states.is_empty() {
        return Err("no state of any target is recorded".to_owned());
    }
    Ok(Basis { view, states, args: args.into_iter().chain(given.clone()).collect(), at })
}

fn done(case: &Case) -> Vec<String> {
    let one = |(id, run): (&crate::model::RunId, &super::case::RunRecord)| {
        let playbook = run.plan.as_ref().map_or("a plan that is not recorded", |plan| plan.playbook.as_str());
        let how = match run {
            _ if run.undone => ", undone",
            _ if !run.over => ", not over",
            _ if !run.complete => ", failed",
            _ => "",
        };
        format!("{playbook} ({id}{how})")
    };
    case.runs.iter().map(one).collect()
}

fn ended(case: &Case) -> String {
    match &case.how {
        // Who closed it, and in which words, is in the audit; here it is a count.
        Some(how) if how.starts_with("closed by") => "closed by a person".to_owned(),
        Some(how) if how.starts_with("kept by") => "kept by a person".to_owned(),
        Some(how) => crate::ledger::clean(how),
        None if case.escalated => "escalated".to_owned(),
        None => "open".to_owned(),
    }
}

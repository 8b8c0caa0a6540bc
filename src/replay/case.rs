//! What the ledger holds of one incident, put together: every execution of a rule or a playbook with what it was told,
//! and what must be true of the plans and runs around them. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::checks::{self, Check};
use crate::model::{
    Args, Digest, Event, Fact, IncidentId, Plan, PlannedAction, Proposal, RunId, ServiceId, Timestamp, Transcript,
};

/// One execution of a component, as it was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    /// The ledger's record that has it.
    pub seq: u64,
    /// When that was recorded.
    pub at: Timestamp,
    /// The run it belongs to.
    pub run: Option<RunId>,
    /// What it was asked.
    pub what: What,
    /// What it was told.
    pub view: Value,
    /// What it did.
    pub ran: Transcript,
}

/// What a component was asked.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A rule, for proposals.
    Rule,
    /// A playbook, for a plan.
    DryRun {
        /// With these arguments.
        args: Args,
        /// The plan it made, or why there was none.
        plan: Result<Plan, String>,
    },
    /// A playbook, to carry out an approved plan.
    Run {
        /// With these arguments.
        args: Args,
    },
    /// A playbook, for its own word on the cure.
    Check {
        /// With these arguments.
        args: Args,
    },
}

impl Execution {
    /// `dry run of scale-out`, `scale-out in RUN-1`.
    #[must_use]
    pub fn title(&self) -> String {
        let name = crate::ledger::clean(&self.ran.name);
        let run = self.run.map_or_else(|| "its run".to_owned(), |run| run.to_string());
        match &self.what {
            What::Rule => format!("rule {name}"),
            What::DryRun { .. } => format!("dry run of {name}"),
            What::Run { .. } => format!("{name} in {run}"),
            What::Check { .. } => format!("own check of {name} after {run}"),
        }
    }
}

/// One incident as the ledger has it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Which.
    pub incident: IncidentId,
    /// Of which service.
    pub service: Option<ServiceId>,
    /// When it was opened.
    pub opened_at: Option<Timestamp>,
    /// The executions, in the order of the ledger.
    pub executions: Vec<Execution>,
    /// What holds of plans and runs, and what does not.
    pub checks: Vec<Check>,
    /// Executions that took place and whose record the ledger does not have, in words.
    pub unrecorded: Vec<String>,
    /// When the rules were asked, what they were told and what was proposed, each time.
    pub proposed: Vec<(Timestamp, Value, Vec<Proposal>)>,
    /// The runs, in order.
    pub runs: BTreeMap<RunId, RunRecord>,
    /// It was handed to people at some time.
    pub escalated: bool,
    /// How it ended; `None` while it is open.
    pub how: Option<String>,
}

/// One run as the ledger has it.
#[derive(Clone, Debug, Default)]
pub struct RunRecord {
    /// The plan it carries out; `None` when the ledger does not have it.
    pub plan: Option<Plan>,
    /// What the playbook was told.
    pub view: Value,
    /// The steps that were about to be sent, in order.
    pub intended: Vec<(u32, PlannedAction)>,
    /// What the targets confirmed, by place in the plan.
    pub done: BTreeMap<u32, String>,
    /// What looks at targets were answered, as it was kept for a restart.
    pub looks: Vec<Value>,
    /// All of it was done.
    pub complete: bool,
    /// It ended, well or not.
    pub over: bool,
    /// Its playbook's execution is recorded.
    pub recorded: bool,
    /// It was taken back.
    pub undone: bool,
}

impl Case {
    /// Puts an incident together from the events of a ledger with their sequence numbers; `None` when there is nothing of
    /// it.
    #[must_use]
    pub fn of<'a>(incident: IncidentId, events: impl IntoIterator<Item = (u64, &'a Event)>) -> Option<Self> {
        let mut gathering = Gathering::new(incident);
        for (seq, event) in events {
            gathering.take(seq, event);
        }
        gathering.found.then(|| gathering.finish())
    }
}

/// Which record of the ledger, and when.
type Place = (u64, Timestamp);

/// A case that is being put together.
pub(super) struct Gathering {
    case: Case,
    plans: BTreeMap<Digest, (Plan, Value)>,
    found: bool,
}

impl Gathering {
    pub(super) fn new(incident: IncidentId) -> Self {
        let case = Case {
            incident,
            service: None,
            opened_at: None,
            executions: Vec::new(),
            checks: Vec::new(),
            unrecorded: Vec::new(),
            proposed: Vec::new(),
            runs: BTreeMap::new(),
            escalated: false,
            how: None,
        };
        Self { case, plans: BTreeMap::new(), found: false }
    }

    /// Takes in the next event of the ledger, if it is about the incident.
    pub(super) fn take(&mut self, seq: u64, event: &Event) {
        if event.incident != Some(self.case.incident) {
            return;
        }
        self.found = true;
        if self.case.service.is_none() {
            self.case.service.clone_from(&event.service);
        }
        match &event.fact {
            Fact::IncidentOpened { .. } => self.case.opened_at = Some(event.at),
            Fact::Escalated { .. } => self.case.escalated = true,
            Fact::Resolved { how } => self.case.how = Some(how.clone()),
            Fact::Proposed { proposals, view, asked } => self.proposed((seq, event.at), proposals, view, asked),
            Fact::Planned { plan, digest, view, ran, .. } => {
                self.planned((seq, event.at), plan, *digest, view, ran.as_ref())
            }
            Fact::PlanRefused { why, dry_run: Some(dry), .. } => {
                let what = What::DryRun { args: dry.args.clone(), plan: Err(why.clone()) };
                self.execution((seq, event.at), None, what, &dry.view, &dry.ran);
            }
            _ => self.of_run(seq, event),
        }
    }

    fn execution(&mut self, (seq, at): Place, run: Option<RunId>, what: What, view: &Value, ran: &Transcript) {
        self.case.executions.push(Execution { seq, at, run, what, view: view.clone(), ran: ran.clone() });
    }

    fn proposed(&mut self, place: Place, proposals: &[Proposal], view: &Value, asked: &[Transcript]) {
        let (seq, at) = place;
        self.case.proposed.push((at, view.clone(), proposals.to_vec()));
        for ran in asked {
            self.execution(place, None, What::Rule, view, ran);
        }
        if asked.is_empty() && !proposals.is_empty() {
            self.case.unrecorded.push(format!("record {seq}: the rules answered, and what they did is not recorded"));
        } else {
            self.case.checks.push(checks::proposals(seq, proposals, asked));
        }
    }

    fn planned(&mut self, place: Place, plan: &Plan, digest: Digest, view: &Value, ran: Option<&Transcript>) {
        self.case.checks.push(checks::digest(plan, digest));
        self.plans.insert(digest, (plan.clone(), view.clone()));
        match ran {
            Some(ran) => {
                self.case.checks.push(checks::plan(plan, ran));
                let what = What::DryRun { args: plan.args.clone(), plan: Ok(plan.clone()) };
                self.execution(place, None, what, view, ran);
            }
            None => {
                let (n, seq) = (plan.number, place.0);
                self.case.unrecorded.push(format!("record {seq}: the dry run of plan {n} is not recorded"));
            }
        }
    }

    fn of_run(&mut self, seq: u64, event: &Event) {
        let Some(id) = event.run else { return };
        if let Fact::RunStarted { digest } = &event.fact {
            let (plan, view) = self.plans.get(digest).cloned().unzip();
            let record = RunRecord { plan, view: view.unwrap_or_default(), ..RunRecord::default() };
            self.case.runs.insert(id, record);
            return;
        }
        let Some(run) = self.case.runs.get_mut(&id) else { return };
        let args = || run.plan.as_ref().map(|plan| plan.args.clone()).unwrap_or_default();
        match &event.fact {
            Fact::HostCalled { calls } => {
                run.looks.extend(calls.iter().filter(|c| c.call == "look").map(|c| c.output.clone()));
            }
            Fact::ActionIntended { index, step } => run.intended.push((*index, step.clone())),
            Fact::ActionDone { index, receipt } => {
                run.done.insert(*index, receipt.clone());
            }
            Fact::RunDone => (run.complete, run.over) = (true, true),
            Fact::RunFailed { .. } => run.over = true,
            Fact::UndoDone { .. } => run.undone = true,
            Fact::PlaybookEnded { ran } => {
                run.recorded = true;
                let (what, view) = (What::Run { args: args() }, run.view.clone());
                self.case.checks.extend(checks::run_and_playbook(id, run, ran));
                self.execution((seq, event.at), Some(id), what, &view, ran);
            }
            Fact::PlaybookChecked { view, ran } => {
                let what = What::Check { args: args() };
                self.execution((seq, event.at), Some(id), what, view, ran);
            }
            _ => {}
        }
    }

    pub(super) fn finish(mut self) -> Case {
        for (id, run) in &self.case.runs {
            self.case.checks.push(checks::run(*id, run));
            if !run.recorded {
                let why = if run.over { "what its playbook did is not recorded" } else { "it has not ended yet" };
                self.case.unrecorded.push(format!("{id}: {why}"));
            }
        }
        self.case
    }
}

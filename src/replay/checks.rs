//! What must be true of a plan, its dry run and its run, besides that the components do the same again. Pure.

use serde::Serialize;
use serde_json::Value;

use super::case::RunRecord;
use super::world::{action_of, looks};
use crate::ledger::clean;
use crate::model::{Action, Digest, Plan, PlannedAction, Proposal, RunId, Transcript};

/// Something that must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub what: String,
    /// Why it does not; `None` when it does.
    pub problem: Option<String>,
}

impl Check {
    fn new(what: String, result: Result<(), String>) -> Self {
        Self { what, problem: result.err().map(|why| crate::chat::clean::shortened(&clean(&why), 400)) }
    }
}

/// An action that a playbook asked for and was told to be done, planned, or so already.
struct Act {
    action: Action,
    receipt: String,
}

/// The actions that were not refused, in order.
fn acts(ran: &Transcript) -> impl Iterator<Item = Act> {
    ran.calls.iter().filter_map(|call| {
        let receipt = call.output.get("ok")?.as_str()?.to_owned();
        Some(Act { action: action_of(call)?, receipt })
    })
}

/// The host leaves out of plans what changes nothing, and says so.
fn changed_nothing(act: &Act) -> bool {
    act.receipt.ends_with(" already")
}

/// What was proposed is what the rules said, in their order; some of it may have been left out.
pub(super) fn proposals(seq: u64, proposals: &[Proposal], asked: &[Transcript]) -> Check {
    let answered = asked.iter().filter_map(|ran| ran.outcome.get("ok")?.as_array()).flatten();
    let mut said = answered.filter_map(|p| serde_json::from_value::<Proposal>(p.clone()).ok());
    let strange = proposals.iter().find(|proposal| !said.any(|said| said == **proposal));
    let result = strange.map_or(Ok(()), |p| {
        Err(format!("no rule proposed {} with these arguments and words at this place: \"{}\"", p.playbook, p.why))
    });
    Check::new(format!("the proposals of record {seq} are what the rules answered"), result)
}

/// The digest is the one of the plan.
pub(super) fn digest(plan: &Plan, digest: Digest) -> Check {
    let found = plan.digest();
    let result = if found == digest { Ok(()) } else { Err(format!("the plan's digest is {found}")) };
    Check::new(format!("plan {} has the digest {}", plan.number, digest.short()), result)
}

/// The plan is what its dry run asked for: the same component, the same actions in the same order.
pub(super) fn plan(plan: &Plan, ran: &Transcript) -> Check {
    Check::new(format!("plan {} is what its dry run asked for", plan.number), plan_result(plan, ran))
}

fn plan_result(plan: &Plan, ran: &Transcript) -> Result<(), String> {
    if (plan.playbook.as_str(), plan.component) != (ran.name.as_str(), ran.component) {
        return Err(format!(
            "it is by {} {}, the dry run by {} {}",
            plan.playbook, plan.component, ran.name, ran.component
        ));
    }
    let mut steps = plan.actions.iter();
    for act in acts(ran) {
        if act.receipt == format!("planned: {}", act.action) {
            match steps.next() {
                Some(step) if step.action == act.action => {}
                Some(step) => return Err(format!("the dry run has {}, the plan {}", act.action, step.action)),
                None => return Err(format!("the dry run has {}, which the plan leaves out", act.action)),
            }
        } else if !changed_nothing(&act) {
            return Err(format!("{} was answered `{}`, which no dry run answers", act.action, act.receipt));
        }
    }
    if let Some(step) = steps.next() {
        return Err(format!("the dry run never asked for {}", step.action));
    }
    match plan.actions.iter().find(|s| PlannedAction::new(s.action.clone(), s.before.clone()) != **s) {
        Some(step) => Err(format!("what {} changes, or how it is taken back, does not follow from it", step.action)),
        None => Ok(()),
    }
}

/// Nothing was sent but the plan, in its order.
pub(super) fn run(id: RunId, run: &RunRecord) -> Check {
    Check::new(format!("{id} did nothing but its plan, in order"), run_result(run))
}

fn run_result(run: &RunRecord) -> Result<(), String> {
    let Some(plan) = &run.plan else { return Err("there is no plan with the digest that it names".to_owned()) };
    for (place, (index, step)) in run.intended.iter().enumerate() {
        let expected = plan.actions.get(place);
        if u32::try_from(place) != Ok(*index) || expected != Some(step) {
            return Err(format!("step {} was {}, which is not the plan's", index + 1, step.action));
        }
    }
    if let Some(index) = run.done.keys().find(|index| run.intended.iter().all(|(i, _)| i != *index)) {
        return Err(format!("step {} was done without having been announced", index + 1));
    }
    if run.complete && run.done.len() != plan.actions.len() {
        return Err(format!(
            "{} of {} steps are done, and it is said to be complete",
            run.done.len(),
            plan.actions.len()
        ));
    }
    Ok(())
}

/// What the playbook was told is what the ledger had of it while the run went on: each receipt, and each look that was
/// kept for a restart.
pub(super) fn run_and_playbook(id: RunId, run: &RunRecord, ran: &Transcript) -> Vec<Check> {
    let receipts = format!("the playbook of {id} was told what the targets answered");
    let mut checks = vec![Check::new(receipts, receipts_result(run, ran))];
    if !run.looks.is_empty() {
        let what = format!("the playbook of {id} was told what was kept before each of its actions");
        checks.push(Check::new(what, looks_result(run, ran)));
    }
    checks
}

fn receipts_result(run: &RunRecord, ran: &Transcript) -> Result<(), String> {
    let Some(plan) = &run.plan else { return Ok(()) };
    if plan.component != ran.component {
        return Err(format!("the plan is by component {}, the run was by {}", plan.component, ran.component));
    }
    let mut next = 0;
    for act in acts(ran) {
        let is_next = plan.actions.get(next as usize).is_some_and(|step| step.action == act.action);
        match run.done.get(&next) {
            Some(receipt) if is_next && *receipt == act.receipt => next += 1,
            Some(receipt) if is_next => {
                return Err(format!(
                    "step {}: the target said `{receipt}`, the playbook heard `{}`",
                    next + 1,
                    act.receipt
                ));
            }
            _ if changed_nothing(&act) => {}
            _ => return Err(format!("it was told that {} is done, which is not the plan's next step", act.action)),
        }
    }
    Ok(())
}

fn looks_result(run: &RunRecord, ran: &Transcript) -> Result<(), String> {
    let heard: Vec<&Value> = looks(ran).collect();
    match run.looks.iter().enumerate().find(|(i, kept)| heard.get(*i) != Some(kept)) {
        Some((i, kept)) => Err(format!("look {}: kept was {kept}, the playbook has heard something else", i + 1)),
        None => Ok(()),
    }
}

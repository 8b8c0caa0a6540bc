//! What another version of a playbook would have done where a playbook was planned with.

use serde::Serialize;

use super::case::{Case, Execution, What};
use super::difference::{self, Difference};
use super::world::states;
use super::would::{self, Allowed, Basis, Would};
use crate::model::{Args, Digest, Plan, PlannedAction};
use crate::wasm::Playbook;

/// One dry run of then, beside what the other component does in its place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// `record 31: dry run of scale-out`.
    pub at: String,
    /// The component of then.
    pub then_by: Digest,
    /// The arguments that the other was given.
    pub args: Args,
    /// The plan then, a line each; or why there was none.
    pub then: Result<Vec<String>, String>,
    /// What the other would have done.
    pub now: Would,
    /// The first place where their ways part; `None` when they are the same to the last call.
    pub difference: Option<Difference>,
    /// Calls to the host, then and now.
    pub calls: (usize, usize),
    /// What each answered, then and now: canonical JSON.
    pub outcome: (String, String),
    /// Units of work, then and now.
    pub fuel: (u64, u64),
}

impl Compared {
    /// Is everything that it would have done what was done?
    #[must_use]
    pub fn same_plan(&self) -> bool {
        match (&self.then, &self.now) {
            (Ok(then), Would::Planned { plan }) => then == plan,
            (Err(_), Would::Refused { .. } | Would::Failed { .. }) => true,
            _ => false,
        }
    }
}

/// Tries another component where a playbook of its name was planned with; where none was, wherever any playbook was.
/// `given` arguments are laid over the recorded ones.
///
/// # Errors
/// When there is nothing to compare with, in words.
pub async fn other(case: &Case, playbook: &Playbook, given: &Args, allowed: &Allowed) -> Result<Vec<Compared>, String> {
    let dry_runs: Vec<_> = case
        .executions
        .iter()
        .filter_map(|e| match &e.what {
            What::DryRun { args, plan } => Some((e, args, plan)),
            _ => None,
        })
        .collect();
    let of_name = |e: &Execution| e.ran.name == playbook.name();
    let any_of_name = dry_runs.iter().any(|(e, ..)| of_name(e));
    let mut compared = Vec::new();
    for (execution, args, plan) in dry_runs {
        if any_of_name && !of_name(execution) {
            continue;
        }
        let recorded = if of_name(execution) { args.clone() } else { Args::new() };
        let args: Args = recorded.into_iter().chain(given.clone()).collect();
        compared.push(one(case, execution, plan, playbook, args, allowed).await?);
    }
    if compared.is_empty() {
        return Err(format!("no dry run of {} is recorded: there is nothing to compare with", case.incident));
    }
    Ok(compared)
}

async fn one(
    case: &Case,
    execution: &Execution,
    plan: &Result<Plan, String>,
    playbook: &Playbook,
    args: Args,
    allowed: &Allowed,
) -> Result<Compared, String> {
    let view = would::view_of(case.incident, &execution.view)?;
    let states = states(&view, Some(&execution.ran));
    let view = if execution.ran.name == playbook.name() { view } else { would::for_another(view) };
    let basis = Basis { view, states, args, at: execution.at };
    let (now, ran) = would::playbook(playbook, &basis, allowed).await;
    let then = &execution.ran;
    let outcome = |value| String::from_utf8_lossy(&difference::canonical(value)).into_owned();
    Ok(Compared {
        at: format!("record {}: {}", execution.seq, execution.title()),
        then_by: then.component,
        args: basis.args,
        then: plan.as_ref().map(|p| p.actions.iter().map(PlannedAction::diff_line).collect()).map_err(Clone::clone),
        now,
        difference: difference::first(then, &ran),
        calls: (then.calls.len(), ran.calls.len()),
        outcome: (outcome(&then.outcome), outcome(&ran.outcome)),
        fuel: (then.fuel, ran.fuel),
    })
}

//! Decide: the guardrails. What may be planned and started at all, approved or not.
//!
//! Pure: the state machine asks, the answer is a reason in words or nothing. Undoing is never held back here.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{
    Action, ActionKind, ApprovalPolicy, Facet, Guard, Plan, PlannedAction, RunId, ServiceId, TargetId, Timestamp,
    in_words,
};

/// An hour: the window of `actions_per_hour`.
const HOUR: Duration = Duration::from_secs(3600);

/// Does any of these globs match the whole of this id? A broken glob matches nothing (the config check names it).
#[must_use]
pub fn matches_any(globs: &[String], id: &str) -> bool {
    globs.iter().any(|glob| globset::Glob::new(glob).is_ok_and(|g| g.compile_matcher().is_match(id)))
}

/// What somebody wants to do: the verb of a command, and the actions that it is about.
#[derive(Clone, Copy, Debug)]
pub struct Deed<'a> {
    /// `approve`, `mode`, ...
    pub verb: &'a str,
    /// What would be done, or taken back; empty for what acts on nothing by itself.
    pub actions: &'a [PlannedAction],
}

/// The permission that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The verb.
    pub verb: String,
    /// What on what, where it is about an action.
    pub action: Option<(ActionKind, TargetId)>,
}

/// May the bearer of these ids (their own first, then their groups and roles) do this?
///
/// # Errors
/// The first thing that no rule allows.
pub fn may(policy: &ApprovalPolicy, ids: &[String], deed: Deed<'_>) -> Result<(), Missing> {
    let is_one_of = |who: &[String]| ids.iter().any(|id| matches_any(who, id));
    if is_one_of(&policy.who) {
        return Ok(());
    }
    let rules = || {
        policy
            .allow
            .iter()
            .filter(|rule| is_one_of(&rule.who) && rule.verbs.iter().any(|verb| verb == "*" || verb == deed.verb))
    };
    let missing = |action| Missing { verb: deed.verb.to_owned(), action };
    for step in deed.actions {
        let (kind, target) = (step.action.kind(), step.action.target());
        let allowed = rules().any(|rule| {
            (rule.actions.is_empty() || rule.actions.contains(&kind))
                && (rule.targets.is_empty() || matches_any(&rule.targets, &target.to_string()))
        });
        if !allowed {
            return Err(missing(Some((kind, target.clone()))));
        }
    }
    if deed.actions.is_empty() && rules().next().is_none() {
        return Err(missing(None));
    }
    Ok(())
}

/// Is the plan's blast radius within the guard: replicas changed, part of a target touched?
///
/// # Errors
/// Why not, in words that name the limit.
pub fn check_shape(guard: &Guard, plan: &Plan) -> Result<(), String> {
    if plan.actions.is_empty() {
        return Err("its dry run changed nothing: there is nothing to approve".to_owned());
    }
    let mut first_and_last: BTreeMap<&TargetId, (u32, u32)> = BTreeMap::new();
    for step in &plan.actions {
        if let (Action::Scale { target, to }, Facet::Replicas(before)) = (&step.action, &step.before) {
            first_and_last.entry(target).or_insert((*before, *to)).1 = *to;
        }
    }
    for (target, (before, after)) in first_and_last {
        let delta = before.abs_diff(after);
        if delta > guard.max_replica_delta {
            return Err(format!(
                "held back: it changes {target} by {delta} instances ({before} -> {after}), and max_replica_delta is {}",
                guard.max_replica_delta
            ));
        }
    }
    Ok(())
}

/// May a plan touch these many of a target's instances? At least one always may, where there are two or more.
///
/// # Errors
/// Why not, in words that name the limit.
pub fn check_share(guard: &Guard, target: &TargetId, touched: usize, of: usize) -> Result<(), String> {
    #[expect(clippy::cast_precision_loss, reason = "instance counts are small")]
    let share = touched as f64 / of.max(1) as f64;
    if touched <= 1 && of >= 2 || share <= guard.max_share {
        return Ok(());
    }
    Err(format!(
        "held back: it takes {touched} of {of} instances of {target} out of service, and max_share is {:.0} %",
        guard.max_share * 100.0
    ))
}

/// How many instances of each target a plan takes out of the traffic at the same time. Restarts go one by one, so
/// together they count as one.
#[must_use]
pub fn taken_out(actions: &[PlannedAction]) -> BTreeMap<TargetId, usize> {
    let mut isolated: BTreeMap<TargetId, usize> = BTreeMap::new();
    let mut restarted: BTreeMap<TargetId, usize> = BTreeMap::new();
    for step in actions {
        match &step.action {
            Action::Isolate { target, isolated: true, .. } => *isolated.entry(target.clone()).or_default() += 1,
            // The platform takes them a few at a time.
            Action::Restart { target, .. } | Action::Rollout { target } => {
                restarted.insert(target.clone(), 1);
            }
            _ => {}
        }
    }
    for (target, one) in restarted {
        *isolated.entry(target).or_default() += one;
    }
    isolated
}

/// An action of the past, as far as rates need it.
pub trait PastAction {
    /// When, for which service, on what, of which kind, in which run.
    fn parts(&self) -> (Timestamp, &ServiceId, &TargetId, crate::model::ActionKind, RunId);
}

/// Why a plan may not start now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Hold {
    /// It may start then.
    #[error("{why}")]
    Until {
        /// When.
        at: Timestamp,
        /// In words that name the limit.
        why: String,
    },
    /// It may not start at all.
    #[error("{0}")]
    Refused(String),
}

/// Are the cooldown and the hourly limit kept, if this plan started now?
///
/// # Errors
/// Why not, in words that name the limit and how long to wait.
pub fn check_rate<P: PastAction>(guard: &Guard, past: &[P], plan: &Plan, now: Timestamp) -> Result<(), Hold> {
    for step in &plan.actions {
        let (target, kind) = (step.action.target(), step.action.kind());
        let last = past.iter().map(PastAction::parts).filter(|p| p.2 == target && p.3 == kind).map(|p| p.0).max();
        if let Some(last) = last {
            let ago = now.since(last);
            if ago < guard.cooldown {
                let why = format!(
                    "waits: the last {kind} on {target} was {} ago, and cooldown is {}",
                    in_words(ago),
                    in_words(guard.cooldown)
                );
                return Err(Hold::Until { at: last.plus(guard.cooldown), why });
            }
        }
    }
    let recent = past.iter().map(PastAction::parts).filter(|p| *p.1 == plan.service && now.since(p.0) < HOUR).count();
    if recent + plan.actions.len() > guard.actions_per_hour as usize {
        return Err(Hold::Refused(format!(
            "held back: {recent} actions in the last hour and {} more, and actions_per_hour is {}",
            plan.actions.len(),
            guard.actions_per_hour
        )));
    }
    Ok(())
}

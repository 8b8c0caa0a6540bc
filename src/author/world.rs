//! A case brought to life: a platform whose targets change when they are acted on, the case's permits, and the two
//! worlds that a playbook is run in.
//!
//! The dry run is the engine's own [`DryWorld`]; [`Failing`] only puts the case's failures in front of it. [`OnlyPlan`]
//! stands for the real run: it lets the steps of a plan happen, in order, and nothing else.

use std::collections::BTreeSet;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::case::{Call, Case, Deny, Fail, FailError, TARGET_KINDS};
use crate::act::{ActError, Actuator, Progress};
use crate::config::lines_for;
use crate::engine::{Actuators, DryWorld, Permits, Recording};
use crate::model::{Action, ActionKind, Facet, PlannedAction, TargetId, TargetState, Timestamp};
use crate::wasm::{HostError, World};

/// The targets of a case as they are now.
#[derive(Clone)]
pub(super) struct Platform(Arc<Mutex<BTreeMap<TargetId, TargetState>>>);

impl Platform {
    pub(super) fn of(case: &Case) -> Self {
        Self(Arc::new(Mutex::new(case.targets().into_iter().collect())))
    }

    /// One adapter for each kind of target.
    fn actuators(&self) -> Actuators {
        let mut actuators = Actuators::default();
        for kind in TARGET_KINDS {
            actuators.add(Arc::new(OfKind { kind, platform: self.clone() }));
        }
        actuators
    }

    fn look(&self, target: &TargetId) -> Result<TargetState, ActError> {
        let targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        targets.get(target).cloned().ok_or_else(|| ActError::NotFound(target.to_string()))
    }

    fn change(&self, action: &Action) {
        let mut targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = targets.get_mut(action.target()) {
            action.simulate(state);
            if state.renames {
                rename(action, state);
            }
        }
    }
}

/// Gives what was restarted another name, as platforms do that make a new instance. A dry run keeps the names, for nobody
/// knows the new ones yet: a playbook that goes on with an instance that it has restarted strays, here as at work.
fn rename(action: &Action, state: &mut TargetState) {
    for instance in &mut state.instances {
        let again = match action {
            Action::Restart { instance: name, .. } => instance.name == *name,
            Action::Rollout { .. } => true,
            _ => false,
        };
        if again {
            instance.name.push_str("-again");
        }
    }
}

struct OfKind {
    kind: &'static str,
    platform: Platform,
}

#[async_trait]
impl Actuator for OfKind {
    fn kind(&self) -> &'static str {
        self.kind
    }

    async fn observe(&self, target: &TargetId) -> Result<TargetState, ActError> {
        self.platform.look(target)
    }

    async fn apply(&self, action: &Action, before: &Facet, _: &str, _: &Progress) -> Result<String, ActError> {
        let state = self.platform.look(action.target())?;
        let found = action.facet(&state).map_err(|e| ActError::NotFound(e.to_string()))?;
        if found != *before {
            return Err(ActError::Conflict {
                subject: action.subject(),
                expected: before.to_string(),
                found: found.to_string(),
            });
        }
        self.platform.change(action);
        Ok(format!("done: {action}"))
    }
}

/// Grants everything but what the case denies.
#[derive(Clone)]
struct CasePermits(Vec<Deny>);

impl Permits for CasePermits {
    fn check(&self, playbook: &str, action: &Action, _: &TargetState, _: Timestamp) -> Result<(), HostError> {
        let (kind, target) = (action.kind(), action.target());
        let denied = |deny: &Deny| deny.capability == kind && deny.target.as_ref().is_none_or(|t| t == target);
        if self.0.iter().any(denied) {
            return Err(HostError::Denied {
                capability: kind.to_string(),
                target: target.to_string(),
                hint: format!("add\n{}", lines_for(playbook, target, kind)),
            });
        }
        Ok(())
    }

    fn actions_per_hour(&self, _: &str, _: &TargetId) -> Option<u32> {
        None
    }

    fn in_words(&self, _: &str, _: &[TargetId], _: &BTreeSet<ActionKind>) -> Vec<String> {
        Vec::new()
    }
}

/// The dry run of a playbook in the world of a case, and where it puts down what it finds out.
pub(super) fn dry(case: &Case, playbook: &str) -> (Box<dyn World>, Arc<Mutex<Recording>>) {
    let (actuators, permits) = (Platform::of(case).actuators(), Arc::new(CasePermits(case.deny.clone())));
    // No grant of a case has hours, so any time will do.
    let world = DryWorld::new(actuators, permits, playbook, case.target_ids(), Timestamp(0));
    let recording = world.recording();
    let world = Failing { world, fails: case.fail.clone(), counts: BTreeMap::new(), recording: Arc::clone(&recording) };
    (Box::new(world), recording)
}

/// A dry run whose platform fails where the case says so.
struct Failing {
    world: DryWorld,
    fails: Vec<Fail>,
    counts: BTreeMap<Call, u32>,
    recording: Arc<Mutex<Recording>>,
}

impl Failing {
    /// Counts a call, and fails it if it is one of those.
    fn count(&mut self, call: Call, target: &TargetId) -> Result<(), HostError> {
        let count = self.counts.entry(call).or_default();
        *count = count.saturating_add(1);
        let (target, nth) = (target.to_string(), *count);
        let Some(fail) = self.fails.iter().find(|fail| fail.call == call && fail.nth == nth) else { return Ok(()) };
        Err(match fail.error {
            FailError::NotFound => HostError::NotFound(format!("{target} does not exist")),
            FailError::Conflict => HostError::Conflict(format!("somebody changed {target} meanwhile")),
            FailError::TimedOut => HostError::TimedOut(format!("no answer from {target} in time")),
            FailError::Unavailable => HostError::Unavailable(format!("{target} cannot be reached")),
            FailError::OutcomeUnknown => HostError::OutcomeUnknown(format!("no answer came back from {target}")),
            FailError::OverBudget => HostError::OverBudget(format!("no more actions on {target}")),
        })
    }
}

#[async_trait]
impl World for Failing {
    async fn observe(&mut self, target: &TargetId) -> Result<TargetState, HostError> {
        self.count(Call::Look, target)?;
        self.world.observe(target).await
    }

    async fn act(&mut self, action: Action) -> Result<String, HostError> {
        if let Err(error) = self.count(Call::from(&action), action.target()) {
            if matches!(error, HostError::OverBudget(_)) {
                let mut recording = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
                recording.refused.get_or_insert_with(|| error.clone());
            }
            return Err(error);
        }
        self.world.act(action).await
    }
}

/// The real run: only the next step of the plan happens, and the world is as it is.
pub(super) struct OnlyPlan {
    platform: Platform,
    targets: Vec<TargetId>,
    left: Arc<Mutex<Left>>,
}

/// What is left of a plan, and the first thing that was not in it.
#[derive(Default)]
pub(super) struct Left {
    pub(super) steps: VecDeque<PlannedAction>,
    pub(super) strayed: Option<String>,
}

impl OnlyPlan {
    pub(super) fn new(case: &Case, steps: &[PlannedAction]) -> (Self, Arc<Mutex<Left>>) {
        let left = Arc::new(Mutex::new(Left { steps: steps.iter().cloned().collect(), strayed: None }));
        (Self { platform: Platform::of(case), targets: case.target_ids(), left: Arc::clone(&left) }, left)
    }

    fn look(&self, target: &TargetId) -> Result<TargetState, HostError> {
        if !self.targets.contains(target) {
            return Err(HostError::NotFound(format!("{target} is not a target of this service")));
        }
        self.platform.look(target).map_err(|e| HostError::NotFound(e.to_string()))
    }

    fn carry_out(&self, action: &Action) -> Result<String, String> {
        let state = self.look(action.target()).map_err(|e| e.to_string())?;
        let facet = action.facet(&state).map_err(|e| e.to_string())?;
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        match left.steps.front() {
            Some(step) if step.action == *action && step.before == facet => {
                left.steps.pop_front();
                drop(left);
                self.platform.change(action);
                Ok(format!("done: {action}, and it took effect"))
            }
            // What changes nothing is left out of plans.
            _ if action.outcome(&facet) == facet => Ok(format!("{} is so already", action.subject())),
            Some(step) => Err(format!("it wants to {action}, but the plan has next: {}", step.diff_line())),
            None => Err(format!("it wants to {action}, but the plan is done")),
        }
    }
}

#[async_trait]
impl World for OnlyPlan {
    async fn observe(&mut self, target: &TargetId) -> Result<TargetState, HostError> {
        self.look(target)
    }

    async fn act(&mut self, action: Action) -> Result<String, HostError> {
        self.carry_out(&action).map_err(|why| {
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            left.strayed.get_or_insert_with(|| why.clone());
            HostError::Conflict(why)
        })
    }
}

//! One run of a component: a fresh store, one deadline over guest and host time, and a name for every way to fail.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmtime::{Store, Trap, UpdateDeadline};

use super::bindings::playbook::PlaybookPre;
use super::bindings::playbook::exports::suture::plugin::remedy;
use super::bindings::playbook::suture::types::types as wit;
use super::bindings::rule::RulePre;
use super::bindings::verifying::VerifyingPlaybookPre;
use super::engine::{KeepTicking, TICK};
use super::host::RunState;
use super::limits::{ITEMS, NAME, SENTENCE, shown};
use super::load::Inner;
use super::{ArgError, HostError, IncidentView, Notes, World, wasi};
use crate::model::{Args, Digest, HostCall, LogLine, Proposal, TargetId, TargetState, Transcript, in_words};

/// What came of a run, and what it did on the way: also when it failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran<T> {
    /// What the component answered, or why there is no answer.
    pub result: Result<T, RunError>,
    /// Every call to the host with its answer, in order; a call that the deadline cut has the answer `null`.
    pub calls: Vec<HostCall>,
    /// What the component logged.
    pub log: Vec<LogLine>,
    /// Log lines past the budget.
    pub log_dropped: usize,
    /// Units of work used.
    pub fuel: u64,
    /// The notes afterwards, where it changed them.
    pub notes: Option<Notes>,
}

/// Why a run gave no answer. The first three are the component's considered word; the others are faults of it, which
/// [`RunError::is_fault`] tells apart, except a timeout in the middle of a host call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunError {
    /// The playbook found nothing that it could do.
    #[error("not applicable: {0}")]
    NotApplicable(String),
    /// An argument is wrong, by the description or by the playbook's own judgement.
    #[error("wrong argument: {0}")]
    WrongArgument(String),
    /// The host said no, and the playbook knew no other way.
    #[error(transparent)]
    Refused(HostError),
    /// The playbook failed in its own words.
    #[error("failed: {0}")]
    Failed(String),
    /// It crashed (a panic, an access out of bounds, a forged handle).
    #[error("crashed: {0}")]
    Trapped(String),
    /// It computed too long.
    #[error("stopped after {limit} units of work without an answer: it loops, or does far too much")]
    OutOfFuel {
        /// The budget.
        limit: u64,
    },
    /// Wall time is up.
    #[error("stopped: no answer within {}{}", in_words(Duration::from_millis(*after_ms)), during_words(during))]
    TimedOut {
        /// The deadline, in milliseconds.
        after_ms: u64,
        /// The host call that was still under way: what it asked for may have happened.
        during: Option<String>,
    },
    /// Memory, table elements or instances ran out.
    #[error("stopped: it wanted more {what} than a run may have ({limit})")]
    OutOfMemory {
        /// `memory` or `table elements`.
        what: String,
        /// The limit, in words.
        limit: String,
    },
    /// It called the host too often, or at a time when it may not.
    #[error("stopped: it called the host more than {limit} times")]
    TooManyHostCalls {
        /// The budget; 0 while describing and validating.
        limit: u32,
    },
    /// What it asked and was told does not fit into the ledger.
    #[error("stopped: what it asked and was told takes more than {limit} bytes of the ledger")]
    TooMuchToRecord {
        /// The budget.
        limit: usize,
    },
    /// It answered what cannot be an answer.
    #[error("gave an answer that makes no sense: {0}")]
    BadAnswer(String),
}

impl RunError {
    /// Is the component itself at fault, so that it earns a strike?
    #[must_use]
    pub fn is_fault(&self) -> bool {
        match self {
            Self::NotApplicable(_) | Self::WrongArgument(_) | Self::Refused(_) | Self::Failed(_) => false,
            Self::TimedOut { during, .. } => during.is_none(),
            Self::Trapped(_)
            | Self::OutOfFuel { .. }
            | Self::OutOfMemory { .. }
            | Self::TooManyHostCalls { .. }
            | Self::TooMuchToRecord { .. }
            | Self::BadAnswer(_) => true,
        }
    }
}

impl From<ArgError> for RunError {
    fn from(error: ArgError) -> Self {
        Self::WrongArgument(error.to_string())
    }
}

fn during_words(during: &Option<String>) -> String {
    during.as_ref().map_or_else(String::new, |call| format!(" (waiting for {call}, which may have happened)"))
}

/// A store for one run. Epochs pass as long as `_ticking` lives.
pub(super) struct OneRun {
    pub(super) store: Store<RunState>,
    wall: Duration,
    calls: u32,
    inner: Arc<Inner>,
    _ticking: KeepTicking,
}

impl OneRun {
    /// `calls`: how many host calls this run has.
    pub(super) fn new(
        inner: &Arc<Inner>,
        view: Arc<IncidentView>,
        world: Box<dyn World>,
        wall: Duration,
        calls: u32,
    ) -> Result<Self, RunError> {
        let limits = &inner.limits;
        let mut store = Store::new(&inner.ticking.engine, RunState::new(view, world, limits, calls));
        store.limiter(|state| &mut state.counters);
        store.set_hostcall_fuel(limits.call_bytes);
        store.set_fuel(limits.fuel).map_err(|e| RunError::Trapped(format!("{e:#}")))?;
        // A guest yields at every tick, so that it keeps no worker of the runtime from other work and the timeout in
        // `within` can cut it. Should that timer not fire (a paused clock, a stuck runtime), this ends it as well.
        let mut ticks_left = 2 + wall.as_millis() / TICK.as_millis().max(1) * 5 / 4;
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |store| {
            ticks_left = ticks_left.saturating_sub(1);
            Ok(if ticks_left == 0 || store.data().wasi.flooded() {
                UpdateDeadline::Interrupt
            } else {
                UpdateDeadline::Yield(1)
            })
        });
        let ticking = inner.ticking.keep_ticking();
        Ok(Self { store, wall, calls, inner: Arc::clone(inner), _ticking: ticking })
    }

    /// A run that can look at the targets as the view has them, and do nothing.
    fn looking(inner: &Arc<Inner>, view: IncidentView) -> Result<Self, RunError> {
        let view = Arc::new(view);
        let world = Box::new(OnlyLooking(Arc::clone(&view)));
        Self::new(inner, view, world, inner.limits.wall, inner.limits.host_calls)
    }

    /// Names what happened and takes out what was recorded. `outcome`: `None` when the deadline cut the run.
    pub(super) fn ended<T>(self, outcome: Option<wasmtime::Result<T>>) -> Ran<T> {
        let limits = &self.inner.limits;
        let fuel = limits.fuel.saturating_sub(self.store.get_fuel().unwrap_or_default());
        let (wall, calls) = (self.wall, self.calls);
        let mut state = self.store.into_data();
        state.log_printed(true);
        let timed_out = |state: &RunState| RunError::TimedOut {
            after_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
            during: state.pending.as_ref().map(|(call, _)| (*call).to_owned()),
        };
        let result = match outcome {
            // Whether or not a tick came in time to end it: how fast the machine is must not decide.
            _ if state.wasi.flooded() => Err(RunError::TooManyHostCalls { limit: wasi::CALLS }),
            None => Err(timed_out(&state)),
            Some(Ok(answer)) => Ok(answer),
            Some(Err(_)) if state.too_much => Err(RunError::TooMuchToRecord { limit: limits.record_bytes }),
            Some(Err(_)) if state.flooded => Err(RunError::TooManyHostCalls { limit: calls }),
            Some(Err(error)) => Err(match (state.counters.refused, error.downcast_ref::<Trap>()) {
                (Some(what @ "memory"), _) => {
                    RunError::OutOfMemory { what: what.to_owned(), limit: format!("{} MiB", limits.memory_bytes >> 20) }
                }
                (Some(what), _) => {
                    RunError::OutOfMemory { what: what.to_owned(), limit: limits.table_elements.to_string() }
                }
                (None, Some(Trap::OutOfFuel)) => RunError::OutOfFuel { limit: limits.fuel },
                (None, Some(Trap::Interrupt)) => timed_out(&state),
                (None, Some(trap)) => RunError::Trapped(trap.to_string()),
                (None, None) => RunError::Trapped(match wasi::exit_status(&error) {
                    Some(status) => format!("it ended itself with exit status {status} instead of giving an answer"),
                    None => shown(&error.root_cause().to_string(), SENTENCE),
                }),
            }),
        };
        if let Some((call, input)) = state.pending.take() {
            state.calls.push(HostCall { call: call.to_owned(), input, output: serde_json::Value::Null });
        }
        let notes = state.notes_changed();
        Ran { result, calls: state.calls, log: state.log, log_dropped: state.log_dropped, fuel, notes }
    }
}

impl<T> Ran<T> {
    /// There was no run.
    pub fn never(error: RunError) -> Self {
        Self { result: Err(error), calls: Vec::new(), log: Vec::new(), log_dropped: 0, fuel: 0, notes: None }
    }

    pub(super) fn and_then<U>(self, next: impl FnOnce(T) -> Result<U, RunError>) -> Ran<U> {
        let Self { result, calls, log, log_dropped, fuel, notes } = self;
        Ran { result: result.and_then(next), calls, log, log_dropped, fuel, notes }
    }

    /// The component's own fault, when it failed by one.
    #[must_use]
    pub fn fault(&self) -> Option<&RunError> {
        self.result.as_ref().err().filter(|error| error.is_fault())
    }
}

impl<T: Serialize> Ran<T> {
    /// The run as the ledger keeps it.
    #[must_use]
    pub fn transcript(&self, name: &str, component: Digest) -> Transcript {
        // Texts, finite numbers and lists: serialising cannot fail; should it, the replay says so.
        let outcome = match &self.result {
            Ok(answer) => serde_json::json!({ "ok": answer }),
            Err(error) => serde_json::json!({ "error": error }),
        };
        Transcript {
            name: name.to_owned(),
            component,
            calls: self.calls.clone(),
            outcome,
            log: self.log.clone(),
            log_dropped: self.log_dropped,
            fuel: self.fuel,
            notes: self.notes.clone(),
        }
    }
}

/// Runs a playbook. `args` are complete and checked.
pub(super) async fn remediate(
    inner: &Arc<Inner>,
    pre: &PlaybookPre<RunState>,
    view: IncidentView,
    args: Args,
    world: Box<dyn World>,
    wall: Duration,
) -> Ran<String> {
    let cut = world.cut();
    let mut run = match OneRun::new(inner, Arc::new(view), world, wall, inner.limits.host_calls) {
        Ok(run) => run,
        Err(error) => return Ran::never(error),
    };
    let args = arguments(args);
    let store = &mut run.store;
    let answered = tokio::time::timeout(wall, async {
        let playbook = pre.instantiate_async(&mut *store).await?;
        playbook.suture_plugin_remedy().call_remediate(store, &args).await
    });
    let outcome = tokio::select! {
        biased;
        answer = answered => answer.ok(),
        () = cut_off(cut) => None,
    };
    run.ended(outcome).and_then(|answer| match answer {
        Ok(outcome) => Ok(shown(&outcome.summary, SENTENCE)),
        Err(failure) => Err(failure.into()),
    })
}

/// Returns when the world ends the run; as a rule never.
async fn cut_off(cut: Option<Arc<tokio::sync::Notify>>) {
    match cut {
        Some(cut) => cut.notified().await,
        None => std::future::pending().await,
    }
}

/// Asks a playbook for its word on the cure. `args` are complete and checked.
pub(super) async fn verify(
    inner: &Arc<Inner>,
    pre: &VerifyingPlaybookPre<RunState>,
    view: IncidentView,
    args: Args,
) -> Ran<Result<(), String>> {
    let wall = inner.limits.wall;
    let mut run = match OneRun::looking(inner, view) {
        Ok(run) => run,
        Err(error) => return Ran::never(error),
    };
    let args = arguments(args);
    let store = &mut run.store;
    let outcome = tokio::time::timeout(wall, async {
        let playbook = pre.instantiate_async(&mut *store).await?;
        playbook.suture_plugin_check().call_verify(store, &args).await
    })
    .await
    .ok();
    run.ended(outcome).and_then(|word| Ok(word.map_err(|why| shown(&why, SENTENCE))))
}

/// Asks a rule. It sees the targets as the view says.
pub(super) async fn propose(
    inner: &Arc<Inner>,
    pre: &RulePre<RunState>,
    rule: &str,
    view: IncidentView,
) -> Ran<Vec<Proposal>> {
    let wall = inner.limits.wall;
    let mut run = match OneRun::looking(inner, view) {
        Ok(run) => run,
        Err(error) => return Ran::never(error),
    };
    let store = &mut run.store;
    let outcome = tokio::time::timeout(wall, async {
        let rule = pre.instantiate_async(&mut *store).await?;
        rule.suture_plugin_advice().call_propose(store).await
    })
    .await
    .ok();
    run.ended(outcome).and_then(|proposals| {
        if proposals.len() > ITEMS {
            return Err(RunError::BadAnswer(format!("{} proposals; at most {ITEMS} are allowed", proposals.len())));
        }
        proposals
            .into_iter()
            .map(|p| {
                let plain = |text: &str| text.len() <= NAME && !text.chars().any(char::is_control);
                if !super::describe::is_a_name(&p.playbook) {
                    return Err(RunError::BadAnswer(format!("`{}` is not a playbook's name", shown(&p.playbook, 80))));
                }
                if p.args.len() > ITEMS || !p.args.iter().all(|a| plain(&a.name) && plain(&a.value)) {
                    return Err(RunError::BadAnswer(format!(
                        "the arguments for {} are too many or too long",
                        p.playbook
                    )));
                }
                Ok(Proposal {
                    playbook: p.playbook,
                    args: p.args.into_iter().map(|a| (a.name, a.value)).collect(),
                    why: shown(&p.why, SENTENCE),
                    rule: rule.to_owned(),
                })
            })
            .collect()
    })
}

pub(super) fn arguments(args: Args) -> Vec<wit::Argument> {
    args.into_iter().map(|(name, value)| wit::Argument { name, value }).collect()
}

impl From<remedy::Failure> for RunError {
    fn from(failure: remedy::Failure) -> Self {
        match failure {
            remedy::Failure::NotApplicable(why) => Self::NotApplicable(shown(&why, SENTENCE)),
            remedy::Failure::InvalidArgument(why) => Self::WrongArgument(shown(&why, SENTENCE)),
            remedy::Failure::Host(error) => Self::Refused(error.into()),
            remedy::Failure::Failed(why) => Self::Failed(shown(&why, SENTENCE)),
        }
    }
}

/// The world of rules: the state of targets as the view has it, and no actions.
pub(super) struct OnlyLooking(pub(super) Arc<IncidentView>);

#[async_trait::async_trait]
impl World for OnlyLooking {
    async fn observe(&mut self, target: &TargetId) -> Result<TargetState, HostError> {
        let found = self.0.targets.iter().find(|(id, _)| id == target);
        found.map(|(_, state)| state.clone()).ok_or_else(|| HostError::NotFound(format!("{target} was not looked at")))
    }

    async fn act(&mut self, action: crate::model::Action) -> Result<String, HostError> {
        Err(HostError::Denied {
            capability: action.kind().to_string(),
            target: action.target().to_string(),
            hint: "rules propose and checks judge; only `remediate` of a playbook acts".to_owned(),
        })
    }
}

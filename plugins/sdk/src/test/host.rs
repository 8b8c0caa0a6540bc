//! The host of the test world: the same functions as on Wasm, answered by the world that this thread is in.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::action::Action;
use super::world::{Last, TestTarget, World};
use crate::note::Level;
use crate::{Denial, HostError, Incident, InstanceMetrics, Metric, TargetState};

/// The kinds of action, each a capability of its own.
pub(super) const ACTIONS: [&str; 7] = ["scale", "restart", "traffic", "isolate", "cache", "configure", "flush"];

/// The functions that can answer with an error.
pub(super) const CAN_FAIL: [&str; 13] = [
    "incident.target.state",
    "scale.set-replicas",
    "restart.restart-instance",
    "traffic.set-weights",
    "isolate.set-isolated",
    "cache.set-ttl",
    "rollout.rolls-out",
    "rollout.roll-out",
    "configure.settings",
    "configure.set",
    "flush.stores-entries",
    "flush.by-prefix",
    "state.set",
];

// The host's limits.
const MAX_ACTIONS: usize = 32;
const MAX_CALLS: usize = 200;
const NOTE_BYTES: usize = 16 << 10;
const KEY: usize = 64;
const NAME: usize = 253;
const VALUE: usize = 256;
const SENTENCE: usize = 500;

thread_local! {
    static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };
}

/// One run in a world.
struct Run {
    world: World,
    may_act: bool,
    /// Targets as they would be by now, in the world's order.
    targets: Vec<TestTarget>,
    steps: Vec<String>,
    refused: Option<HostError>,
    notes: BTreeMap<String, String>,
    log: Vec<String>,
    calls: Vec<&'static str>,
}

/// What a run left.
pub(super) struct Ended {
    pub(super) steps: Vec<String>,
    /// The first denial or used-up budget.
    pub(super) refused: Option<HostError>,
    pub(super) notes: BTreeMap<String, String>,
}

/// Leaves the world also when the playbook panics.
struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        RUN.with_borrow_mut(|run| *run = None);
    }
}

/// Runs `inside` in a world; `may_act` is not for rules and checks.
pub(super) fn run<T>(world: &World, may_act: bool, inside: impl FnOnce() -> T) -> (T, Ended) {
    let fresh = Run {
        world: world.clone(),
        may_act,
        targets: world.targets.clone(),
        steps: Vec::new(),
        refused: None,
        notes: world.notes.clone(),
        log: Vec::new(),
        calls: Vec::new(),
    };
    let nested = RUN.with_borrow_mut(|run| run.replace(fresh)).is_some();
    let _leave = Leave;
    assert!(!nested, "a playbook cannot run another one");
    let answer = inside();
    let Some(run) = RUN.take() else { panic!("the run was ended from within") };
    *world.last.borrow_mut() = Last { log: run.log, calls: run.calls };
    (answer, Ended { steps: run.steps, refused: run.refused, notes: run.notes })
}

/// Counts a call and answers it.
fn call<T>(name: &'static str, answer: impl FnOnce(&mut Run) -> T) -> T {
    RUN.with_borrow_mut(|run| {
        let Some(run) = run else {
            panic!(
                "{name} was called where there is no host: `describe` and `validate` cannot call it, and a test does so \
                 within dry_run, verify or propose of suture_playbook_sdk::test"
            )
        };
        run.calls.push(name);
        assert!(run.calls.len() <= MAX_CALLS, "it called the host more than {MAX_CALLS} times");
        answer(run)
    })
}

impl Run {
    /// The error that the world has in store for the call that was counted last.
    fn failure(&self) -> Option<HostError> {
        let name = self.calls.last()?;
        let n = self.calls.iter().filter(|call| *call == name).count();
        let fails = |nth: Option<usize>| nth.is_none_or(|nth| nth == n);
        self.world.failures.iter().find(|f| f.call == *name && fails(f.nth)).map(|f| f.error.clone())
    }

    fn plan(&mut self, target: &Handle, action: &Action) -> Result<String, HostError> {
        let target = &mut self.targets[target.0];
        if self.steps.len() >= MAX_ACTIONS {
            return Err(HostError::OverBudget(format!("a plan has at most {MAX_ACTIONS} actions")));
        }
        let capability = action.capability();
        if self.world.denied.contains(capability) {
            return Err(denied(capability, &target.name, "this world has no grant for it"));
        }
        let change = action.change(target).map_err(HostError::Conflict)?;
        if action.is_done(target) {
            return Ok(format!("{} is {} already", change.subject, change.before));
        }
        self.steps.push(change.line);
        action.simulate(target);
        Ok(action.receipt(&target.name))
    }
}

fn denied(capability: &str, target: &str, hint: &str) -> HostError {
    HostError::Denied(Denial { capability: capability.to_owned(), target: target.to_owned(), hint: hint.to_owned() })
}

/// Records an action.
fn act(call_name: &'static str, target: &Handle, action: Result<Action, HostError>) -> Result<String, HostError> {
    call(call_name, |run| {
        let action = action?;
        if !run.may_act {
            let (capability, target) = (action.capability(), &run.targets[target.0].name);
            return Err(denied(capability, target, "rules only propose; let a playbook do it"));
        }
        let answer = match run.failure() {
            Some(error) => Err(error),
            None => run.plan(target, &action),
        };
        if let Err(error @ (HostError::Denied(_) | HostError::OverBudget(_))) = &answer {
            run.refused.get_or_insert_with(|| error.clone());
        }
        answer
    })
}

/// An instance's name, if it can be one at all.
fn instance_name(name: &str) -> Result<String, HostError> {
    if name.is_empty() || name.len() > NAME || name.chars().any(char::is_control) {
        return Err(HostError::NotFound(format!("no instance can be called `{}`", shown(name, 80))));
    }
    Ok(name.to_owned())
}

/// A setting and its value, if they can be some at all.
fn setting(name: &str, value: &str) -> Result<Action, HostError> {
    if name.is_empty() || name.len() > NAME || !is_plain(name) {
        return Err(HostError::NotFound(format!("no setting can be called `{}`", shown(name, 80))));
    }
    if value.len() > VALUE || !is_plain(value) {
        let why = format!("a value of `{}` is one line of at most {VALUE} bytes", shown(name, 80));
        return Err(HostError::Conflict(why));
    }
    Ok(Action::Configure(name.to_owned(), value.to_owned()))
}

/// A prefix of keys, if it can be one at all.
fn prefix_of_keys(prefix: &str) -> Result<Action, HostError> {
    if prefix.is_empty() || prefix.len() > NAME || !is_plain(prefix) {
        let shown = shown(prefix, 80);
        return Err(HostError::Conflict(format!("`{shown}` cannot be a prefix: it is one line of 1 to {NAME} bytes")));
    }
    Ok(Action::Flush(prefix.to_owned()))
}

/// Is it one line that reads as what it is? No control characters, and none that reorder what is around them.
fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || reorders(c))
}

fn reorders(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text as the host shows it: one line, no control characters, at most `max` characters.
fn shown(text: &str, max: usize) -> String {
    let plain = |c: char| if c.is_control() || reorders(c) { ' ' } else { c };
    let mut line: String = text.chars().take(max).map(plain).collect();
    if text.chars().nth(max).is_some() {
        line.push_str("...");
    }
    line
}

/// A target: its place in the world.
pub struct Handle(usize);

impl Handle {
    pub(crate) fn name(&self) -> String {
        call("incident.target.name", |run| run.targets[self.0].name.clone())
    }

    pub(crate) fn kind(&self) -> String {
        call("incident.target.kind", |run| run.targets[self.0].name.split(':').next().unwrap_or_default().to_owned())
    }

    pub(crate) fn state(&self) -> Result<TargetState, HostError> {
        self.look("incident.target.state", |target| target.state.clone())
    }

    fn look<T>(&self, name: &'static str, see: impl FnOnce(&TestTarget) -> T) -> Result<T, HostError> {
        call(name, |run| match run.failure() {
            Some(error) => Err(error),
            None => Ok(see(&run.targets[self.0])),
        })
    }
}

pub(crate) fn incident() -> Incident {
    call("incident.current", |run| run.world.incident.clone())
}

pub(crate) fn targets() -> Vec<Handle> {
    call("incident.targets", |run| (0..run.targets.len()).map(Handle).collect())
}

pub(crate) fn metrics() -> Vec<Metric> {
    call("metrics.latest", |run| run.world.metrics.clone())
}

pub(crate) fn metrics_by_instance() -> Vec<InstanceMetrics> {
    call("metrics.latest-by-instance", |run| run.world.by_instance.clone())
}

pub(crate) fn set_replicas(target: &Handle, to: u32) -> Result<String, HostError> {
    act("scale.set-replicas", target, Ok(Action::Scale(to)))
}

pub(crate) fn restart_instance(target: &Handle, instance: &str) -> Result<String, HostError> {
    act("restart.restart-instance", target, instance_name(instance).map(Action::Restart))
}

pub(crate) fn set_weights(target: &Handle, weights: Vec<(String, u32)>) -> Result<String, HostError> {
    let mut shares = BTreeMap::new();
    let action = weights.into_iter().try_for_each(|(instance, weight)| {
        let name = instance_name(&instance)?;
        match shares.insert(name, weight) {
            Some(_) => Err(HostError::Conflict(format!("`{instance}` is given two weights"))),
            None => Ok(()),
        }
    });
    act("traffic.set-weights", target, action.map(|()| Action::Shift(shares)))
}

pub(crate) fn set_isolated(target: &Handle, instance: &str, isolated: bool) -> Result<String, HostError> {
    act("isolate.set-isolated", target, instance_name(instance).map(|name| Action::Isolate(name, isolated)))
}

pub(crate) fn set_ttl(target: &Handle, ttl_ms: u64) -> Result<String, HostError> {
    act("cache.set-ttl", target, Ok(Action::Cache(ttl_ms)))
}

pub(crate) fn rolls_out(target: &Handle) -> Result<bool, HostError> {
    target.look("rollout.rolls-out", |target| target.rollout.is_some())
}

pub(crate) fn roll_out(target: &Handle) -> Result<String, HostError> {
    act("rollout.roll-out", target, Ok(Action::Rollout))
}

pub(crate) fn settings(target: &Handle) -> Result<Vec<(String, String)>, HostError> {
    let all = |target: &TestTarget| target.settings.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    target.look("configure.settings", all)
}

pub(crate) fn set_setting(target: &Handle, name: &str, value: &str) -> Result<String, HostError> {
    act("configure.set", target, setting(name, value))
}

pub(crate) fn stores_entries(target: &Handle) -> Result<bool, HostError> {
    target.look("flush.stores-entries", |target| target.stores_entries)
}

pub(crate) fn flush_by_prefix(target: &Handle, prefix: &str) -> Result<String, HostError> {
    act("flush.by-prefix", target, prefix_of_keys(prefix))
}

pub(crate) fn note(key: &str) -> Option<String> {
    call("state.get", |run| run.notes.get(key).cloned())
}

pub(crate) fn set_note(key: &str, value: &str) -> Result<(), HostError> {
    call("state.set", |run| {
        if let Some(error) = run.failure() {
            return Err(error);
        }
        if key.is_empty() || key.len() > KEY || key.chars().any(char::is_control) {
            return Err(HostError::Conflict(format!("no note can have the key `{}`", shown(key, KEY))));
        }
        let others: usize = run.notes.iter().filter(|(k, _)| *k != key).map(|(k, v)| k.len() + v.len()).sum();
        if others + key.len() + value.len() > NOTE_BYTES {
            return Err(HostError::OverBudget(format!(
                "a playbook may keep {NOTE_BYTES} bytes of notes for one service"
            )));
        }
        run.notes.insert(key.to_owned(), value.to_owned());
        Ok(())
    })
}

pub(crate) fn remove_note(key: &str) {
    call("state.remove", |run| {
        run.notes.remove(key);
    });
}

pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
    };
    call("log.write", |run| run.log.push(format!("{level}: {}", shown(message, SENTENCE))));
}

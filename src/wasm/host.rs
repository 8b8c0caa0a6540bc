//! The host API: what a component can call. Each call is counted, converted, answered by the run's [`World`] and
//! recorded. A refusal is a value; only a component that floods the host or hands over a forged handle is ended.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};
use wasmtime::component::{Resource, ResourceTable};

use super::bindings::playbook::suture::{
    cache, configure, flush, incident, isolate, log, metrics, restart, rollout, scale, state, traffic, types,
};
use super::limits::{Counters, Limits, NAME, SENTENCE, is_plain, shown};
use super::wasi::Slot;
use super::{HostError, IncidentView, Notes, World};
use crate::model::{Action, HostCall, LogLevel, LogLine, MOST_VALUE, Severity, TargetId, TargetState, Trend};

use types::types as wit;

/// What a target handle stands for.
pub struct Handle(TargetId);

/// One run: everything that a store holds.
pub(super) struct RunState {
    pub(super) view: Arc<IncidentView>,
    world: Box<dyn World>,
    table: ResourceTable,
    calls_left: u32,
    pub(super) log_left: usize,
    state_bytes: usize,
    /// The notes with what this run has written.
    notes: Notes,
    pub(super) counters: Counters,
    /// What was called and answered so far.
    pub(super) calls: Vec<HostCall>,
    pub(super) log: Vec<LogLine>,
    pub(super) log_dropped: usize,
    /// The call that the world has not answered yet.
    pub(super) pending: Option<(&'static str, Value)>,
    /// The host ended the run because of too many calls.
    pub(super) flooded: bool,
    /// The host ended the run because its record became too large.
    pub(super) too_much: bool,
    record_left: usize,
    /// Filled by the first call of a component that imports it.
    pub(super) wasi: Slot,
}

impl RunState {
    pub(super) fn new(view: Arc<IncidentView>, world: Box<dyn World>, limits: &Limits, calls: u32) -> Self {
        let notes = view.notes.clone();
        Self {
            view,
            world,
            table: ResourceTable::new(),
            calls_left: calls,
            log_left: limits.log_bytes,
            state_bytes: limits.state_bytes,
            notes,
            counters: Counters::new(limits),
            calls: Vec::new(),
            log: Vec::new(),
            log_dropped: 0,
            pending: None,
            flooded: false,
            too_much: false,
            record_left: limits.record_bytes,
            wasi: Slot::default(),
        }
    }

    /// The notes, when the run changed them.
    pub(super) fn notes_changed(&self) -> Option<Notes> {
        (self.notes != self.view.notes).then(|| self.notes.clone())
    }

    /// Counts a call. Past the budget the run ends: most calls have no error to return, and a component that calls
    /// without end would not heed one.
    fn count(&mut self) -> wasmtime::Result<()> {
        match self.calls_left.checked_sub(1) {
            Some(left) => {
                self.calls_left = left;
                Ok(())
            }
            None => {
                self.flooded = true;
                Err(wasmtime::Error::msg("out of the run's host calls"))
            }
        }
    }

    /// Takes what was printed into the log. Before each line that the component logs, so that the order is its own.
    pub(super) fn log_printed(&mut self, at_end: bool) {
        let (lines, dropped) = self.wasi.take_printed(at_end);
        self.log_dropped += dropped;
        for (level, message) in lines {
            let takes = message.len() + super::wasi::PER_LINE;
            self.log_line(level, message, takes);
        }
    }

    /// Logs a line that `takes` so many bytes of the budget.
    fn log_line(&mut self, level: LogLevel, message: String, takes: usize) {
        match self.log_left.checked_sub(takes) {
            Some(left) => {
                self.log_left = left;
                self.log.push(LogLine { level, message });
            }
            None => self.log_dropped += 1,
        }
    }

    /// Puts a call down. What a run leaves in the ledger is bounded in bytes: past that it ends, for a record that is too
    /// large could not be kept, and a run that is not recorded must not go on.
    fn record(&mut self, call: &str, input: Value, output: Value) -> wasmtime::Result<()> {
        let bytes = call.len() + weight(&input) + weight(&output);
        let Some(left) = self.record_left.checked_sub(bytes) else {
            self.too_much = true;
            return Err(wasmtime::Error::msg("out of the run's room in the ledger"));
        };
        self.record_left = left;
        self.calls.push(HostCall { call: call.to_owned(), input, output });
        Ok(())
    }

    fn target(&self, handle: &Resource<Handle>) -> wasmtime::Result<TargetId> {
        Ok(self.table.get(handle)?.0.clone())
    }

    /// Looks at a target through the world. The record has the whole state, whatever the component is told of it: what a
    /// look was answered with is then one thing, and a replay answers from it.
    async fn look(
        &mut self,
        call: &'static str,
        handle: &Resource<Handle>,
    ) -> wasmtime::Result<Result<TargetState, HostError>> {
        self.count()?;
        let target = self.target(handle)?;
        let input = json!({ "target": target });
        self.pending = Some((call, input.clone()));
        self.world.asked(self.calls.len());
        let answer = self.world.observe(&target).await;
        self.pending = None;
        self.record(call, input, answered(&answer))?;
        Ok(answer)
    }

    /// Does an action, or has it recorded, through the world.
    async fn act(
        &mut self,
        call: &'static str,
        input: Value,
        action: Result<Action, HostError>,
    ) -> wasmtime::Result<Result<String, wit::HostError>> {
        self.count()?;
        let answer = match action {
            Ok(action) => {
                self.pending = Some((call, input.clone()));
                self.world.asked(self.calls.len());
                let answer = self.world.act(action).await;
                self.pending = None;
                answer
            }
            Err(error) => Err(error),
        };
        self.record(call, input, answered(&answer))?;
        Ok(answer.map_err(Into::into))
    }
}

const LOOK: &str = "incident.target.state";
const ROLLS_OUT: &str = "rollout.rolls-out";
const SETTINGS: &str = "configure.settings";
const STORES_ENTRIES: &str = "flush.stores-entries";

/// How the calls that look at a target are called in a record. Each has the target's whole state as its answer.
pub const LOOKS: [&str; 4] = [LOOK, ROLLS_OUT, SETTINGS, STORES_ENTRIES];

/// An answer as it is recorded.
pub(super) fn answered<T: serde::Serialize>(answer: &Result<T, HostError>) -> Value {
    match answer {
        Ok(answer) => json!({ "ok": answer }),
        Err(error) => json!({ "error": error }),
    }
}

/// About the bytes of a value as JSON: what is counted need not be exact, and is counted at each call.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 12,
        Value::String(text) => text.len() + 3,
        Value::Array(items) => 2 + items.iter().map(weight).sum::<usize>(),
        Value::Object(fields) => 2 + fields.iter().map(|(name, value)| name.len() + 4 + weight(value)).sum::<usize>(),
    }
}

/// A setting and its value from a component, if they can be some at all.
fn setting(name: String, value: String) -> Result<(String, String), HostError> {
    if name.is_empty() || name.len() > NAME || !is_plain(&name) {
        return Err(HostError::NotFound(format!("no setting can be called `{}`", shown(&name, 80))));
    }
    if value.len() > MOST_VALUE || !is_plain(&value) {
        let why = format!("a value of `{}` is one line of at most {MOST_VALUE} bytes", shown(&name, 80));
        return Err(HostError::Conflict(why));
    }
    Ok((name, value))
}

/// A prefix from a component, if it can be one at all: an empty one would be that of everything.
fn prefix_of_keys(prefix: String) -> Result<String, HostError> {
    if prefix.is_empty() || prefix.len() > NAME || !is_plain(&prefix) {
        let shown = shown(&prefix, 80);
        return Err(HostError::Conflict(format!("`{shown}` cannot be a prefix: it is one line of 1 to {NAME} bytes")));
    }
    Ok(prefix)
}

/// An instance's name from a component, if it can be one at all.
fn instance_name(name: String) -> Result<String, HostError> {
    if name.is_empty() || name.len() > NAME || name.chars().any(char::is_control) {
        return Err(HostError::NotFound(format!("no instance can be called `{}`", shown(&name, 80))));
    }
    Ok(name)
}

fn weights(shares: Vec<traffic::traffic::Share>) -> Result<BTreeMap<String, u32>, HostError> {
    let mut weights = BTreeMap::new();
    for share in shares {
        let name = instance_name(share.instance)?;
        if weights.insert(name.clone(), share.weight).is_some() {
            return Err(HostError::Conflict(format!("`{name}` is given two weights")));
        }
    }
    Ok(weights)
}

impl types::types::Host for RunState {}

impl incident::incident::HostTarget for RunState {
    async fn name(&mut self, target: Resource<Handle>) -> wasmtime::Result<String> {
        self.count()?;
        let name = self.target(&target)?.to_string();
        self.record("incident.target.name", json!({ "handle": target.rep() }), json!(name))?;
        Ok(name)
    }

    async fn kind(&mut self, target: Resource<Handle>) -> wasmtime::Result<String> {
        self.count()?;
        let kind = self.target(&target)?.kind().to_owned();
        self.record("incident.target.kind", json!({ "handle": target.rep() }), json!(kind))?;
        Ok(kind)
    }

    async fn state(&mut self, t: Resource<Handle>) -> wasmtime::Result<Result<wit::TargetState, wit::HostError>> {
        let answer = self.look(LOOK, &t).await?;
        Ok(answer.map(Into::into).map_err(Into::into))
    }

    async fn drop(&mut self, target: Resource<Handle>) -> wasmtime::Result<()> {
        self.table.delete(target)?;
        Ok(())
    }
}

impl incident::incident::Host for RunState {
    async fn current(&mut self) -> wasmtime::Result<incident::incident::Incident> {
        self.count()?;
        let view = Arc::clone(&self.view);
        let output = json!({
            "id": view.id.to_string(), "service": view.service, "severity": view.severity, "risk": view.risk,
            "since": view.since, "drivers": view.drivers, "tried": view.tried,
        });
        self.record("incident.current", Value::Null, output)?;
        Ok(incident::incident::Incident {
            id: view.id.to_string(),
            service: view.service.to_string(),
            severity: view.severity.into(),
            risk: view.risk,
            since_ms: view.since.0,
            drivers: view.drivers.iter().map(Into::into).collect(),
            tried: view.tried.clone(),
        })
    }

    async fn targets(&mut self) -> wasmtime::Result<Vec<Resource<Handle>>> {
        self.count()?;
        let view = Arc::clone(&self.view);
        let ids: Vec<_> = view.targets.iter().map(|(id, _)| id.clone()).collect();
        self.record("incident.targets", Value::Null, json!(ids))?;
        ids.into_iter().map(|id| Ok(self.table.push(Handle(id))?)).collect()
    }
}

impl metrics::metrics::Host for RunState {
    async fn latest(&mut self) -> wasmtime::Result<Vec<wit::Metric>> {
        self.count()?;
        let view = Arc::clone(&self.view);
        self.record("metrics.latest", Value::Null, json!(view.metrics))?;
        Ok(of_sample(&view.metrics))
    }

    async fn latest_by_instance(&mut self) -> wasmtime::Result<Vec<wit::InstanceMetrics>> {
        self.count()?;
        let view = Arc::clone(&self.view);
        self.record("metrics.latest-by-instance", Value::Null, json!(view.instance_metrics))?;
        let one = |(instance, values): &(String, Vec<(String, f64)>)| wit::InstanceMetrics {
            instance: instance.clone(),
            metrics: of_sample(values),
        };
        Ok(view.instance_metrics.iter().map(one).collect())
    }
}

fn of_sample(values: &[(String, f64)]) -> Vec<wit::Metric> {
    values.iter().map(|(name, value)| wit::Metric { name: name.clone(), value: *value }).collect()
}

impl scale::scale::Host for RunState {
    async fn set_replicas(&mut self, t: Resource<Handle>, to: u32) -> wasmtime::Result<Result<String, wit::HostError>> {
        let target = self.target(&t)?;
        let input = json!({ "target": target, "to": to });
        self.act("scale.set-replicas", input, Ok(Action::Scale { target, to })).await
    }
}

impl restart::restart::Host for RunState {
    async fn restart_instance(
        &mut self,
        t: Resource<Handle>,
        instance: String,
    ) -> wasmtime::Result<Result<String, wit::HostError>> {
        let target = self.target(&t)?;
        let input = json!({ "target": target, "instance": shown(&instance, NAME) });
        let action = instance_name(instance).map(|instance| Action::Restart { target, instance });
        self.act("restart.restart-instance", input, action).await
    }
}

impl traffic::traffic::Host for RunState {
    async fn set_weights(
        &mut self,
        t: Resource<Handle>,
        shares: Vec<traffic::traffic::Share>,
    ) -> wasmtime::Result<Result<String, wit::HostError>> {
        let target = self.target(&t)?;
        let named: Vec<_> = shares.iter().map(|s| json!([shown(&s.instance, NAME), s.weight])).collect();
        let input = json!({ "target": target, "shares": named });
        let action = weights(shares).map(|weights| Action::Shift { target, weights });
        self.act("traffic.set-weights", input, action).await
    }
}

impl isolate::isolate::Host for RunState {
    async fn set_isolated(
        &mut self,
        t: Resource<Handle>,
        instance: String,
        isolated: bool,
    ) -> wasmtime::Result<Result<String, wit::HostError>> {
        let target = self.target(&t)?;
        let input = json!({ "target": target, "instance": shown(&instance, NAME), "isolated": isolated });
        let action = instance_name(instance).map(|instance| Action::Isolate { target, instance, isolated });
        self.act("isolate.set-isolated", input, action).await
    }
}

impl cache::cache::Host for RunState {
    async fn set_ttl(&mut self, t: Resource<Handle>, ttl_ms: u64) -> wasmtime::Result<Result<String, wit::HostError>> {
        let target = self.target(&t)?;
        let input = json!({ "target": target, "ttl_ms": ttl_ms });
        self.act("cache.set-ttl", input, Ok(Action::Cache { target, ttl_ms })).await
    }
}

impl rollout::rollout::Host for RunState {
    async fn rolls_out(&mut self, t: Resource<Handle>) -> wasmtime::Result<Result<bool, wit::HostError>> {
        let answer = self.look(ROLLS_OUT, &t).await?;
        Ok(answer.map(|state| state.rollout.is_some()).map_err(Into::into))
    }

    async fn roll_out(&mut self, t: Resource<Handle>) -> wasmtime::Result<Result<String, wit::HostError>> {
        let target = self.target(&t)?;
        self.act("rollout.roll-out", json!({ "target": target }), Ok(Action::Rollout { target })).await
    }
}

impl configure::configure::Host for RunState {
    async fn settings(
        &mut self,
        t: Resource<Handle>,
    ) -> wasmtime::Result<Result<Vec<configure::configure::Setting>, wit::HostError>> {
        let answer = self.look(SETTINGS, &t).await?;
        let one = |(name, value): (String, String)| configure::configure::Setting { name, value };
        Ok(answer.map(|state| state.settings.into_iter().map(one).collect()).map_err(Into::into))
    }

    async fn set(
        &mut self,
        t: Resource<Handle>,
        name: String,
        value: String,
    ) -> wasmtime::Result<Result<String, wit::HostError>> {
        let target = self.target(&t)?;
        let input = json!({ "target": target, "setting": shown(&name, NAME), "value": shown(&value, MOST_VALUE) });
        let action = setting(name, value).map(|(setting, value)| Action::Configure { target, setting, value });
        self.act("configure.set", input, action).await
    }
}

impl flush::flush::Host for RunState {
    async fn stores_entries(&mut self, t: Resource<Handle>) -> wasmtime::Result<Result<bool, wit::HostError>> {
        let answer = self.look(STORES_ENTRIES, &t).await?;
        Ok(answer.map(|state| state.stores_entries).map_err(Into::into))
    }

    async fn by_prefix(
        &mut self,
        t: Resource<Handle>,
        prefix: String,
    ) -> wasmtime::Result<Result<String, wit::HostError>> {
        let target = self.target(&t)?;
        let input = json!({ "target": target, "prefix": shown(&prefix, NAME) });
        let action = prefix_of_keys(prefix).map(|prefix| Action::Flush { target, prefix });
        self.act("flush.by-prefix", input, action).await
    }
}

/// Longest key of a note in bytes.
const KEY: usize = 64;

impl state::state::Host for RunState {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        self.count()?;
        let value = self.notes.get(&key).cloned();
        self.record("state.get", json!({ "key": shown(&key, KEY) }), json!(value))?;
        Ok(value)
    }

    async fn set(&mut self, key: String, value: String) -> wasmtime::Result<Result<(), wit::HostError>> {
        self.count()?;
        let input = json!({ "key": shown(&key, KEY), "bytes": value.len() });
        let kept: usize = self.notes.iter().filter(|(k, _)| **k != key).map(|(k, v)| k.len() + v.len()).sum();
        let answer = if key.is_empty() || key.len() > KEY || key.chars().any(char::is_control) {
            Err(HostError::Conflict(format!("no note can have the key `{}`", shown(&key, KEY))))
        } else if kept + key.len() + value.len() > self.state_bytes {
            let most = self.state_bytes;
            Err(HostError::OverBudget(format!("a playbook may keep {most} bytes of notes for one service")))
        } else {
            self.notes.insert(key, value);
            Ok(())
        };
        self.record("state.set", input, answered(&answer))?;
        Ok(answer.map_err(Into::into))
    }

    async fn remove(&mut self, key: String) -> wasmtime::Result<()> {
        self.count()?;
        self.notes.remove(&key);
        self.record("state.remove", json!({ "key": shown(&key, KEY) }), Value::Null)?;
        Ok(())
    }
}

impl log::log::Host for RunState {
    async fn write(&mut self, level: log::log::Level, message: String) -> wasmtime::Result<()> {
        self.count()?;
        let level = match level {
            log::log::Level::Debug => LogLevel::Debug,
            log::log::Level::Info => LogLevel::Info,
            log::log::Level::Warn => LogLevel::Warn,
        };
        let message = shown(&message, SENTENCE);
        self.log_printed(false);
        let takes = message.len();
        self.log_line(level, message, takes);
        Ok(())
    }
}

impl From<HostError> for wit::HostError {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Denied { capability, target, hint } => Self::Denied(wit::Denial { capability, target, hint }),
            HostError::OverBudget(why) => Self::OverBudget(why),
            HostError::NotFound(why) => Self::NotFound(why),
            HostError::Conflict(why) => Self::Conflict(why),
            HostError::TimedOut(why) => Self::TimedOut(why),
            HostError::Unavailable(why) => Self::Unavailable(why),
            HostError::OutcomeUnknown(why) => Self::OutcomeUnknown(why),
        }
    }
}

/// The way back: what a playbook hands on as the reason of its failure. Its texts may be its own.
impl From<wit::HostError> for HostError {
    fn from(error: wit::HostError) -> Self {
        let said = |why: String| shown(&why, SENTENCE);
        match error {
            wit::HostError::Denied(denial) => Self::Denied {
                capability: shown(&denial.capability, NAME),
                target: shown(&denial.target, NAME),
                hint: said(denial.hint),
            },
            wit::HostError::OverBudget(why) => Self::OverBudget(said(why)),
            wit::HostError::NotFound(why) => Self::NotFound(said(why)),
            wit::HostError::Conflict(why) => Self::Conflict(said(why)),
            wit::HostError::TimedOut(why) => Self::TimedOut(said(why)),
            wit::HostError::Unavailable(why) => Self::Unavailable(said(why)),
            wit::HostError::OutcomeUnknown(why) => Self::OutcomeUnknown(said(why)),
        }
    }
}

impl From<Severity> for wit::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::None => Self::None,
            Severity::Low => Self::Low,
            Severity::Medium => Self::Medium,
            Severity::High => Self::High,
            Severity::Critical => Self::Critical,
        }
    }
}

impl From<&crate::model::Driver> for wit::Driver {
    fn from(driver: &crate::model::Driver) -> Self {
        Self {
            metric: driver.metric.clone(),
            share: driver.share,
            value: driver.value,
            normal: driver.normal,
            low: driver.low,
            high: driver.high,
            unit: driver.unit.clone(),
            trend: match driver.trend {
                Trend::Steady => wit::Trend::Steady,
                Trend::Rising => wit::Trend::Rising,
                Trend::Falling => wit::Trend::Falling,
                Trend::Step => wit::Trend::Step,
            },
            recent: driver.recent.clone(),
            instance: driver.instance.clone(),
        }
    }
}

impl From<TargetState> for wit::TargetState {
    fn from(state: TargetState) -> Self {
        let one = |i: crate::model::Instance| wit::Instance {
            name: i.name,
            up: i.up,
            isolated: i.isolated,
            weight: i.weight,
            generation: i.generation,
        };
        Self {
            replicas: state.replicas,
            min_replicas: state.min_replicas,
            max_replicas: state.max_replicas,
            instances: state.instances.into_iter().map(one).collect(),
            cache_ttl_ms: state.cache_ttl_ms,
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.0)
    }
}

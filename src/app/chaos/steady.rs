//! Is a service as the hypothesis of an experiment says?

use std::collections::BTreeMap;

use crate::engine::Board;
use crate::incident::State;
use crate::model::{Judge, MetricBound, MetricSeen, ServiceId, SteadyState, Timestamp};

/// Looks at one service, sample by sample.
pub(super) struct Lookout {
    service: ServiceId,
    steady: SteadyState,
    last: Option<Timestamp>,
    /// Steady samples in a row.
    row: u32,
    /// Why the last sample was not steady.
    why: String,
    /// Of each bound, the value furthest to its bad side since [`begin`](Self::begin).
    worst: BTreeMap<String, (Option<f64>, bool)>,
    /// Samples in a row beyond each bound that breaks off.
    beyond: Vec<u32>,
    /// Was every sample steady since [`begin`](Self::begin)?
    always: bool,
    /// What there was to say of the newest sample, and whether it was said.
    bounds_hold: Option<bool>,
    turned: bool,
}

impl Lookout {
    pub(super) fn new(service: ServiceId, steady: SteadyState) -> Self {
        Self {
            service,
            steady,
            last: None,
            row: 0,
            why: "no sample yet".to_owned(),
            worst: BTreeMap::new(),
            beyond: Vec::new(),
            always: true,
            bounds_hold: None,
            turned: false,
        }
    }

    /// A new stage: what was seen so far does not count for it.
    pub(super) fn begin(&mut self) {
        (self.row, self.always) = (0, true);
        (self.bounds_hold, self.turned) = (None, false);
        self.worst.clear();
        self.beyond.clear();
    }

    /// Takes up the newest sample, if it is a new one. `Some`: a bound of `abort` was passed for as long as it says.
    pub(super) fn look(&mut self, board: &Board, state: &State, abort: &[MetricBound]) -> Option<String> {
        let (sample, reading) = board.with(&self.service, |b| (b.last.clone(), b.reading.clone()));
        let sample = sample?;
        // The verdict on a sample comes a moment after it.
        let judged = reading.as_ref().filter(|reading| reading.at >= sample.at);
        if self.last.is_some_and(|last| sample.at <= last) || (self.steady.detector && judged.is_none()) {
            return None;
        }
        self.last = Some(sample.at);
        let mut why = Vec::new();
        if self.steady.detector {
            match judged.map(|reading| (&reading.judge, reading.is_anomaly(), reading.risk)) {
                Some((Judge::Learning { have, need }, ..)) => {
                    why.push(format!("the detector is learning, {have} of {need} samples"));
                }
                Some((_, true, risk)) => why.push(format!("the detector sees an anomaly, risk {risk:.0}")),
                _ => {}
            }
            why.extend(state.open_incident(&self.service).map(|incident| format!("{} is open", incident.id)));
        }
        for bound in &self.steady.metrics {
            let value = sample.values.get(&bound.metric).copied();
            let holds = value.is_some_and(|value| bound.holds(value));
            let worse = |old: &(Option<f64>, bool)| match (old.0, value) {
                (Some(old), Some(new)) => badness(bound, new) > badness(bound, old),
                (None, _) => false,
                (Some(_), None) => true,
            };
            let entry = self.worst.entry(bound.metric.clone()).or_insert((value, holds));
            if worse(entry) {
                *entry = (value, holds);
            }
            if !holds {
                why.push(match value {
                    Some(value) => format!("{} is {value:.4}, not {}", bound.metric, words_of(bound)),
                    None => format!("{} is not measured", bound.metric),
                });
            }
        }
        self.row = if why.is_empty() { self.row + 1 } else { 0 };
        self.always &= why.is_empty();
        let hold =
            self.steady.metrics.iter().all(|bound| sample.values.get(&bound.metric).is_some_and(|v| bound.holds(*v)));
        if !self.steady.metrics.is_empty() && self.bounds_hold != Some(hold) {
            (self.bounds_hold, self.turned) = (Some(hold), true);
        }
        self.why = why.join("; ");
        self.beyond.resize(abort.len(), 0);
        for (count, bound) in self.beyond.iter_mut().zip(abort) {
            // A metric that is not there says nothing.
            let Some(value) = sample.values.get(&bound.metric) else { continue };
            *count = if bound.holds(*value) { 0 } else { *count + 1 };
            if *count >= bound.samples.max(1) {
                return Some(format!("{} is {value:.4}, and the rule is {}", bound.metric, words_of(bound)));
            }
        }
        None
    }

    /// `Some` once each time that the bounds of metrics begin or cease to be kept.
    pub(super) fn turned(&mut self) -> Option<bool> {
        std::mem::take(&mut self.turned).then_some(self.bounds_hold).flatten()
    }

    /// Steady for as many samples as the hypothesis asks for.
    pub(super) fn is_steady(&self) -> bool {
        self.row >= self.steady.samples.max(1)
    }

    /// Steady all the time since [`begin`](Self::begin), as far as anything was seen.
    pub(super) fn was_always(&self) -> bool {
        self.always
    }

    /// Why not, at the last sample.
    pub(super) fn why(&self) -> &str {
        &self.why
    }

    /// What was seen of the metrics that the hypothesis has bounds for.
    pub(super) fn seen(&self) -> Vec<MetricSeen> {
        let seen = self.steady.metrics.iter().map(|bound| {
            let (value, holds) = self.worst.get(&bound.metric).copied().unwrap_or((None, false));
            MetricSeen { metric: bound.metric.clone(), value, bound: words_of(bound), holds }
        });
        seen.collect()
    }
}

/// How far to the bad side, so that the worst of several values can be told.
fn badness(bound: &MetricBound, value: f64) -> f64 {
    let above = bound.at_most.map_or(f64::NEG_INFINITY, |most| value - most);
    let below = bound.at_least.map_or(f64::NEG_INFINITY, |least| least - value);
    above.max(below)
}

fn words_of(bound: &MetricBound) -> String {
    bound.to_string().strip_prefix(&bound.metric).map(|rest| rest.trim().to_owned()).unwrap_or_default()
}

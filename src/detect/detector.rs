//! The detector of one service: remembers, judges, learns when told to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::drivers::drivers;
use super::judge::{By, Suspect, THRESHOLD, Verdict, judge, risk};
use super::model::{LoadError, Model};
use super::outlooks::Outlooks;
use super::scale::Scale;
use super::scorer::{Judgement, Scorer};
use super::train::{LEAST_VALUES, Row, Trained, TrainingSet};
use super::{DetectSettings, Feedback};
use crate::model::{Badness, FalseAlarm, Judge, MetricSpec, Reading, Sample, ServiceId, Severity, Timestamp};

/// Values kept of each metric: what a sparkline shows.
pub(super) const RECENT: usize = 30;
/// Metrics of one service; more are counted and left out. A page of garbage must not fill the memory.
const MAX_METRICS: usize = 512;
/// Sources that are named in one reading.
const MAX_SOURCES: usize = 16;
/// Samples in a row that may come from before the newest one until the clock is taken to have been set back.
const CLOCK_SET_BACK: usize = 5;
/// Samples for which the absence of all that was anomalous is taken for "not known" and not for "well again".
const BLIND: usize = 20;
/// Samples after which the slowest mean of a course has forgotten how it began.
const WARM: usize = 500;
/// Time after which a training that was handed out and never came back is handed out again.
const TRAINING_LOST: Duration = Duration::from_secs(60);

/// What was left out, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples of a time already seen.
    pub late: u64,
    /// Samples of another service.
    pub strange: u64,
    /// Values that are no finite number.
    pub non_finite: u64,
    /// Values of metrics beyond the 512 that one service may have.
    pub surplus: u64,
}

/// Is what was usual when the model was trained still usual?
///
/// In training 2 of 100 samples passed the edge of the scores. A share that forgets half in [`Drift::HALF`] samples and is
/// ten times that has drifted: not an anomaly, but another normal.
#[derive(Debug, Default)]
struct Drift {
    share: f64,
    seen: usize,
}

impl Drift {
    const HALF: usize = 100;
    const DRIFTED: f64 = 0.2;

    fn push(&mut self, over: bool) {
        self.share += (f64::from(u8::from(over)) - self.share) * std::f64::consts::LN_2 / Self::HALF as f64;
        self.seen = self.seen.saturating_add(1);
    }

    fn is_drifted(&self) -> bool {
        self.seen >= Self::HALF && self.share > Self::DRIFTED
    }
}

/// Judges the samples of one service and keeps what the next model is learned from.
#[derive(Debug)]
pub struct Detector {
    service: ServiceId,
    settings: DetectSettings,
    specs: BTreeMap<String, MetricSpec>,
    index: BTreeMap<String, usize>,
    columns: Vec<Column>,
    outlooks: Outlooks,
    window: VecDeque<Row>,
    live: Option<Live>,
    quarantine: bool,
    /// Anomalies in a row that were not taken for usual: an incident may be about to open.
    held: usize,
    drift: Drift,
    last: Option<Reading>,
    /// Columns that were out at the last anomaly.
    out: Vec<usize>,
    blind: usize,
    /// Samples in a row from before the newest, and the last of their times.
    behind: (usize, Timestamp),
    /// There was a sample without any fault.
    clean_before: bool,
    /// Sources that fail wholly now, and for how many samples.
    lost: BTreeMap<String, usize>,
    training: Option<Timestamp>,
    feedback: Feedback,
    /// The newest deploy: when it was said, and until when the service settles.
    deploy: Option<(Timestamp, Timestamp)>,
    /// The last reading rests on the model alone.
    model_alone: bool,
    counts: Counts,
}

/// One metric that is judged: its last values, NaN where it was missing.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) spec: MetricSpec,
    pub(super) recent: VecDeque<f64>,
    /// Part of the last ten or so samples without a source's fault in which it was there.
    presence: f64,
}

impl Column {
    pub(super) fn new(name: &str, spec: MetricSpec) -> Self {
        Self { name: name.to_owned(), spec, recent: VecDeque::with_capacity(RECENT), presence: 1.0 }
    }

    /// The value in the newest sample.
    pub(super) fn newest(&self) -> Option<f64> {
        self.recent.back().copied().filter(|v| !v.is_nan())
    }

    fn push(&mut self, value: f64) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(value);
    }
}

/// A model at work, with the place of each of its metrics among the columns.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) scorer: Scorer,
    pub(super) columns: Vec<Option<usize>>,
    /// The newest values, in the model's order; kept so that a sample allocates nothing.
    values: Vec<f64>,
}

impl Live {
    fn new(scorer: Scorer, index: &BTreeMap<String, usize>) -> Self {
        let columns = scorer.model().metrics().map(|name| index.get(name).copied()).collect();
        Self { scorer, columns, values: Vec::new() }
    }

    pub(super) fn model(&self) -> &Model {
        self.scorer.model()
    }

    /// The model's word on the newest values. `held`: they are compared with the time before an incident.
    fn judge(&mut self, at: Timestamp, columns: &[Column], held: bool) -> Judgement {
        let newest = |at: &Option<usize>| at.and_then(|at| columns.get(at)).and_then(Column::newest);
        self.values.clear();
        self.values.extend(self.columns.iter().map(|at| newest(at).unwrap_or(f64::NAN)));
        self.scorer.judge(at, &self.values, held)
    }

    /// Takes the values judged last for what was usual.
    fn take(&mut self, at: Timestamp) {
        self.scorer.take(at, &self.values);
    }

    /// Takes a row that was never judged.
    fn take_row(&mut self, row: &Row) {
        let value = |at: &Option<usize>| at.and_then(|at| row.values.get(at)).copied().unwrap_or(f64::NAN);
        self.values.clear();
        self.values.extend(self.columns.iter().map(value));
        self.scorer.judge(row.at, &self.values, false);
        self.scorer.take(row.at, &self.values);
    }

    pub(super) fn scale_of(&self, column: usize) -> Option<&Scale> {
        let nth = self.columns.iter().position(|at| *at == Some(column))?;
        self.model().learned().get(nth).map(|learned| &learned.scale)
    }
}

impl Detector {
    /// A detector that knows nothing yet. Metrics without a spec are bad both ways and have no floor.
    #[must_use]
    pub fn new(service: ServiceId, settings: DetectSettings, specs: BTreeMap<String, MetricSpec>) -> Self {
        Self {
            service,
            settings,
            specs,
            index: BTreeMap::new(),
            columns: Vec::new(),
            outlooks: Outlooks::default(),
            window: VecDeque::new(),
            live: None,
            quarantine: false,
            held: 0,
            drift: Drift::default(),
            last: None,
            out: Vec::new(),
            blind: 0,
            behind: (0, Timestamp(i64::MIN)),
            clean_before: false,
            lost: BTreeMap::new(),
            training: None,
            feedback: Feedback::default(),
            deploy: None,
            model_alone: false,
            counts: Counts::default(),
        }
    }

    /// What is known of the metrics by now, in place of what was. A changed direction or floor counts from the next
    /// training on, a limit at once.
    pub fn set_specs(&mut self, specs: BTreeMap<String, MetricSpec>) {
        self.specs = specs;
        for column in &mut self.columns {
            column.spec = self.specs.get(&column.name).cloned().unwrap_or_default();
        }
    }

    /// What people called false alarms, in place of what was known. Counts from the next sample on.
    pub fn set_feedback(&mut self, alarms: &[FalseAlarm]) {
        if self.feedback.alarms() != alarms {
            self.feedback = Feedback::new(alarms.to_vec());
        }
    }

    /// Somebody changed the service at this time, and until then it may look unusual. What was learned before is of
    /// another service, so a training is due when it has settled. Readings stay as they are: whoever raises incidents
    /// asks [`is_settling`](Self::is_settling) and [`is_model_alone`](Self::is_model_alone).
    pub fn note_deploy(&mut self, at: Timestamp, until: Timestamp) {
        self.deploy = Some((at, until));
    }

    /// Is this within the time that a deploy was given to settle?
    #[must_use]
    pub fn is_settling(&self, at: Timestamp) -> bool {
        self.deploy.is_some_and(|(from, until)| (from..until).contains(&at))
    }

    /// Does the last reading rest on the model alone: on no limit that is passed and on no source that is lost?
    #[must_use]
    pub fn is_model_alone(&self) -> bool {
        self.model_alone
    }

    /// Judges one sample. This is the hot path: microseconds, no training, no I/O.
    ///
    /// A sample that says nothing new gives *the last reading again, with its old time*, which a
    /// [`Watch`](super::Watch) counts as nothing: one of a time already seen (until five in a row show that the clock
    /// was set back), one of another service, an empty one, and for up to 20 samples one in which all that was
    /// anomalous is absent.
    pub fn observe(&mut self, sample: &Sample) -> Reading {
        if !self.is_next(sample) {
            return self.last.clone().unwrap_or_else(|| self.reading(sample, &Verdict::none()));
        }
        let judged = self.admit(sample);
        self.outlooks.push(sample.at, &self.columns);
        self.note_lost_sources(judged, sample);
        let tolerance = self.feedback.tolerance(sample.at);
        let (columns, held) = (&self.columns, self.quarantine || self.held > 0);
        let said = self.live.as_mut().map(|live| live.judge(sample.at, columns, held));
        let verdict = judge(&self.columns, self.live.as_ref(), said, &self.lost, tolerance);
        if let Some(last) = self.last.clone()
            && !verdict.is_anomaly()
            && ((judged == 0 && !self.columns.is_empty()) || self.is_blind())
        {
            self.blind += 1;
            return last;
        }
        self.blind = 0;
        if verdict.is_anomaly() {
            // Those that it rests on: half as responsible as the first, or more.
            let most = verdict.evidence.iter().map(|e| e.weight).fold(0.0, f64::max);
            let out = verdict.evidence.iter().filter(|e| e.weight >= most / 2.0);
            self.out = out
                .filter_map(|e| match e.of {
                    Suspect::Metric(at) => Some(at),
                    Suspect::Source(..) => None,
                })
                .collect();
        } else {
            self.out.clear();
        }
        self.model_alone = !verdict.certain;
        self.go_on(sample.at, said, verdict.is_anomaly());
        self.learn(sample.at, judged, verdict.is_anomaly());
        let reading = self.reading(sample, &verdict);
        self.last = Some(reading.clone());
        reading
    }

    /// Takes stored samples into the window without judging them, oldest first: after a restart the next training
    /// then has more than the minutes since. Samples that were anomalous must not be among them.
    pub fn backfill<'a>(&mut self, samples: impl IntoIterator<Item = &'a Sample>) {
        for sample in samples {
            if sample.service == self.service && self.last.as_ref().is_none_or(|last| sample.at > last.at) {
                let judged = self.admit(sample);
                self.outlooks.push(sample.at, &self.columns);
                self.learn(sample.at, judged, false);
                self.follow(sample.at);
            }
        }
    }

    /// Moves the model's courses (and the forecasts) on by stored samples, oldest first, and learns nothing from them: after
    /// a restart the near past is known again, though nobody says whether all of it was well.
    pub fn warm<'a>(&mut self, samples: impl IntoIterator<Item = &'a Sample>) {
        for sample in samples {
            if sample.service == self.service && self.last.as_ref().is_none_or(|last| sample.at > last.at) {
                self.admit(sample);
                self.outlooks.push(sample.at, &self.columns);
                self.follow(sample.at);
            }
        }
    }

    /// Is an incident of this service open? Until it is not, nothing is learned and the model stays as it is.
    pub fn set_quarantine(&mut self, on: bool) {
        if on && !self.quarantine {
            // What led to the incident was not normal either, though nobody saw it then.
            let keep = self.window.len().saturating_sub(self.settings.of);
            self.window.truncate(keep);
        }
        self.quarantine = on;
    }

    /// Somebody says that what is now is the new normal: all that was learned is forgotten and learning begins anew.
    /// Nothing else makes an anomaly normal, however long it lasts.
    pub fn relearn(&mut self) {
        self.window.clear();
        self.live = None;
        self.training = None;
        self.out.clear();
    }

    /// What to train on now, if it is time: at first after `train_after` samples, then every `retrain_every` and
    /// whenever there are twice as many samples as the model learned from (a young model is a poor one), once after a
    /// deploy has settled, and when the metrics have drifted. Not while in quarantine, nor twice for one training, unless
    /// that is lost for a minute.
    pub fn training_due(&mut self, now: Timestamp) -> Option<TrainingSet> {
        let have = self.window.len();
        let running = self.training.is_some_and(|since| apart(now, since) < TRAINING_LOST);
        if self.quarantine || running || have < self.settings.train_after {
            return None;
        }
        if let Some(model) = self.live.as_ref().map(Live::model) {
            let age = apart(now, model.trained_at());
            let grown = have >= model.samples().saturating_mul(2);
            // After a restart the window is short: a model of a long one is better, unless it is stale.
            let as_good = have.saturating_mul(2) >= model.samples() || age >= self.settings.retrain_every * 24;
            let aged = age >= self.settings.retrain_every && as_good;
            let settled = self.deploy.is_some_and(|(_, until)| model.trained_at() < until && until <= now) && as_good;
            let drifted = self.drift.is_drifted() && as_good;
            if !grown && !aged && !settled && !drifted {
                return None;
            }
        }
        self.training = Some(now);
        Some(TrainingSet {
            service: self.service.clone(),
            version: self.live.as_ref().map_or(0, |live| live.model().version()) + 1,
            at: now,
            settings: self.settings.clone(),
            metrics: self.columns.iter().map(|c| (c.name.clone(), c.spec.clone())).collect(),
            rows: self.window.iter().cloned().collect(),
        })
    }

    /// Judges by this model from the next sample on. It is dropped when it is of another service, not newer than the
    /// one in use, not the one that was asked for last, or when an incident was opened meanwhile.
    pub fn install(&mut self, trained: Trained) {
        let Trained(scorer) = trained;
        let model = scorer.model();
        let newer = self.model().is_none_or(|now| now.version() < model.version());
        let wanted = self.training.is_some_and(|since| since == model.trained_at());
        if wanted {
            self.training = None;
        }
        if wanted && newer && !self.quarantine && model.fits(&self.service, &BTreeMap::new()).is_ok() {
            self.put(scorer);
        }
    }

    /// Takes up a saved model. Training counts on from it.
    ///
    /// # Errors
    /// When it is of another service, or judges other metrics than [`set_specs`](Self::set_specs) told of.
    pub fn restore(&mut self, model: Model) -> Result<(), LoadError> {
        model.fits(&self.service, &self.specs)?;
        self.put(Scorer::new(model));
        let (Some(live), rows) = (&mut self.live, &self.window) else { return Ok(()) };
        // What happened before is known already: the courses go on from there.
        let enough = live.model().windows.long.max(WARM);
        for row in rows.iter().skip(rows.len().saturating_sub(enough)) {
            live.take_row(row);
        }
        Ok(())
    }

    /// The model in use; for status, and to be saved.
    #[must_use]
    pub fn model(&self) -> Option<&Model> {
        self.live.as_ref().map(Live::model)
    }

    /// Samples in the window that the next training learns from.
    #[must_use]
    pub fn learned(&self) -> usize {
        self.window.len()
    }

    /// Metrics that have an outlook.
    #[cfg(test)]
    pub(super) fn foreseen(&self) -> usize {
        self.outlooks.len()
    }

    /// What was left out so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Is this a sample to be judged? Late ones and those of other services are counted.
    fn is_next(&mut self, sample: &Sample) -> bool {
        if sample.service != self.service {
            self.counts.strange += 1;
            return false;
        }
        let Some(last) = self.last.as_ref().filter(|last| sample.at <= last.at) else {
            self.behind = (0, Timestamp(i64::MIN));
            return true;
        };
        let (seen, until) = self.behind;
        self.behind = match sample.at {
            at if at == last.at => (seen, until),
            at if at > until => (seen + 1, at),
            at => (1, at),
        };
        let set_back = self.behind.0 >= CLOCK_SET_BACK;
        if set_back {
            self.behind = (0, Timestamp(i64::MIN));
            // What lay ahead did so on another clock.
            self.outlooks = Outlooks::default();
        } else {
            self.counts.late += 1;
        }
        set_back
    }

    /// Takes the values in, NaN for what is missing. Returns how many metrics there were to judge.
    fn admit(&mut self, sample: &Sample) -> usize {
        let mut values = vec![f64::NAN; self.columns.len()];
        let mut judged = 0;
        for (name, value) in &sample.values {
            if !value.is_finite() {
                self.counts.non_finite += 1;
                continue;
            }
            let Some(at) = self.column(name) else { continue };
            if values.len() <= at {
                values.resize(at + 1, f64::NAN);
            }
            if let Some(place) = values.get_mut(at) {
                *place = *value;
                judged += 1;
            }
        }
        let clean = sample.faults.is_empty();
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.push(value);
            if clean {
                column.presence += 0.1 * (f64::from(u8::from(!value.is_nan())) - column.presence);
            }
        }
        judged
    }

    /// The column of a metric, made when it is new; `None` for what is never judged, and when there are too many.
    fn column(&mut self, name: &str) -> Option<usize> {
        if let Some(at) = self.index.get(name).copied() {
            return self.columns.get(at).filter(|c| c.spec.bad != Badness::Never).map(|_| at);
        }
        let spec = self.specs.get(name).cloned().unwrap_or_default();
        if spec.bad == Badness::Never {
            return None;
        }
        if self.columns.len() >= MAX_METRICS {
            self.counts.surplus += 1;
            return None;
        }
        let at = self.columns.len();
        self.index.insert(name.to_owned(), at);
        self.columns.push(Column::new(name, spec));
        if let Some(live) = &mut self.live {
            for (learned, place) in live.scorer.model().learned().iter().zip(&mut live.columns) {
                if learned.name == name {
                    *place = Some(at);
                }
            }
        }
        Some(at)
    }

    /// Notes the sources that failed wholly. A sample names whoever failed, wholly or in part, and not whose metrics
    /// are whose; so a fault counts when a metric is missing that is usually there, when there is nothing at all, and
    /// when there never was a sample without a fault that would show what is usual.
    fn note_lost_sources(&mut self, judged: usize, sample: &Sample) {
        let before = std::mem::take(&mut self.lost);
        self.clean_before |= sample.faults.is_empty();
        let missing = || self.columns.iter().any(|c| c.presence > 0.5 && c.newest().is_none());
        if self.clean_before && judged > 0 && !missing() {
            return;
        }
        let names: BTreeSet<&String> = sample.faults.iter().map(|fault| &fault.source).collect();
        let lost = names.into_iter().take(MAX_SOURCES);
        self.lost = lost.map(|name| (name.clone(), before.get(name).map_or(1, |n| n + 1))).collect();
    }

    /// Is all that was out at the last anomaly now absent, and not yet for long?
    fn is_blind(&self) -> bool {
        let absent = |at: &usize| self.columns.get(*at).is_some_and(|c| c.newest().is_none());
        !self.out.is_empty() && self.blind < BLIND && self.out.iter().all(absent)
    }

    /// Moves the model's courses on, but for what may become an incident: while one is open, and while it is counted
    /// whether one opens, the time before it is what is usual. (If none opens, the courses go on.)
    fn go_on(&mut self, at: Timestamp, said: Option<Judgement>, anomaly: bool) {
        let (Some(live), Some(said)) = (&mut self.live, said) else { return };
        if self.quarantine {
            return;
        }
        self.held = if anomaly && self.held < self.settings.of { self.held + 1 } else { 0 };
        if self.held == 0 {
            live.take(at);
            self.drift.push(said.score * live.model().threshold() > live.model().edge);
        }
    }

    fn learn(&mut self, at: Timestamp, judged: usize, anomaly: bool) {
        if self.quarantine || anomaly || judged == 0 {
            return;
        }
        while self.window.len() >= self.settings.window.max(LEAST_VALUES) {
            self.window.pop_front();
        }
        let values = self.columns.iter().map(|c| c.newest().unwrap_or(f64::NAN)).collect();
        self.window.push_back(Row { at, values });
    }

    /// Moves the courses on by the newest values, unjudged.
    fn follow(&mut self, at: Timestamp) {
        if let Some(live) = &mut self.live {
            let values = self.columns.iter().map(|c| c.newest().unwrap_or(f64::NAN)).collect();
            live.take_row(&Row { at, values });
        }
    }

    fn put(&mut self, scorer: Scorer) {
        self.live = Some(Live::new(scorer, &self.index));
        self.held = 0;
        self.drift = Drift::default();
    }

    fn reading(&self, sample: &Sample, verdict: &Verdict) -> Reading {
        let anomaly = verdict.is_anomaly();
        let live = self.live.as_ref();
        let need = self.settings.train_after;
        let judge = match (verdict.by, live) {
            (By::Source, _) if anomaly => Judge::Source,
            (By::Limits, _) if anomaly => Judge::Limits,
            (_, Some(live)) => Judge::Model { version: live.model().version() },
            (_, None) => Judge::Learning { have: self.window.len().min(need), need },
        };
        let risk = risk(verdict.score);
        Reading {
            service: self.service.clone(),
            at: sample.at,
            score: verdict.score * verdict.tolerated(),
            threshold: THRESHOLD * verdict.tolerated(),
            risk,
            severity: if anomaly { Severity::of_risk(risk) } else { Severity::None },
            drivers: if anomaly { drivers(&self.columns, live, &verdict.evidence, sample) } else { Vec::new() },
            judge,
            ahead: self.outlooks.ahead(sample.at, &self.columns),
        }
    }
}

/// The time between two points, whichever is later: a clock that was set back must not stop the training for a year.
fn apart(a: Timestamp, b: Timestamp) -> Duration {
    a.since(b).max(b.since(a))
}

//! Watching one service: samples in, readings out, models trained off the hot path.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::warnings::Warnings;
use crate::collect::{Collector, Source, SourceError};
use crate::config::ServiceConfig;
use crate::detect::{Detector, Model, Signal, Trained, TrainingSet, Watch, train};
use crate::engine::{Board, Engine};
use crate::incident::State;
use crate::ledger::Views;
use crate::model::{Clock, Fact, IncidentId, Judge as By, Reading, Sample, ServiceId, SourceFault, Timestamp};
use crate::supervise::drained;

/// Samples waiting to be judged. full: the collector drops the newest and counts it.
const SAMPLES_WAITING: usize = 16;

/// How long stored samples are kept when nothing else is said.
const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);

/// The stored samples that a detector begins with after a restart, and how many at most.
const WARM: Duration = Duration::from_secs(3600);
const MOST_WARM: usize = 20_000;

/// What a source is asked for of the time before the first start; each has its own, shorter word on that.
const LONGEST_BEFORE: Duration = Duration::from_secs(24 * 3600);

/// How long it may take to say so.
const BEFORE_WITHIN: Duration = Duration::from_secs(30);

/// Rounds shorter than this are not spread: whoever wants seconds does not want to wait for the first of them.
const SHORT_ROUND: Duration = Duration::from_secs(5);

/// How often old samples are dropped.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// Makes the sources of a service anew: for each life of its task.
pub(super) type MakeSources = Arc<dyn Fn(&ServiceConfig) -> Result<Vec<Box<dyn Source>>, SourceError> + Send + Sync>;

/// What watching a service needs.
#[derive(Clone)]
pub(super) struct Watcher {
    pub service: Arc<ServiceConfig>,
    pub engine: Arc<Engine>,
    pub board: Arc<Board>,
    pub views: Arc<Views>,
    pub clock: Arc<dyn Clock>,
    pub sources: MakeSources,
}

impl Watcher {
    /// Watches until the drain.
    pub(super) async fn run(self, mut drain: watch::Receiver<bool>) -> Result<(), String> {
        let (id, interval) = (self.service.name.clone(), self.service.interval);
        let sources = (self.sources)(&self.service).map_err(|e| e.to_string())?;
        let mut collector =
            Collector::new(id.clone(), sources, self.service.interval, self.service.timeout, Arc::clone(&self.clock));
        let mut specs = collector.watch_specs();
        let before = tokio::select! {
            before = self.before(&mut collector) => before,
            () = drained(&mut drain) => return Ok(()),
        };
        let (out, mut samples) = mpsc::channel(SAMPLES_WAITING);
        let stop = CancellationToken::new();
        // Ends the collector with this task, whichever way that ends.
        let _stop_collecting = stop.clone().drop_guard();
        let collecting = tokio::spawn(collector.after(spread(interval)).run(out, stop));
        let mut judge = Judge::new(self);
        judge.hear_of_before(before);
        loop {
            tokio::select! {
                sample = samples.recv() => {
                    let Some(sample) = sample else {
                        return Err(match collecting.await {
                            Ok(()) => "the collector ended".to_owned(),
                            Err(error) => format!("the collector panicked: {error}"),
                        });
                    };
                    if specs.has_changed().unwrap_or(false) {
                        let known = specs.borrow_and_update().clone();
                        judge.detector.set_specs((*known).clone());
                        judge.watcher.board.with(&id, |board| board.specs = (*known).clone());
                    }
                    judge.take(&sample).await?;
                }
                trained = judge.trained.recv() => if let Some(trained) = trained { judge.install(trained).await?; },
                () = drained(&mut drain) => return Ok(()),
            }
        }
    }
}

/// The detector of one service with what surrounds it.
struct Judge {
    watcher: Watcher,
    detector: Detector,
    watch: Watch,
    raised_since: Option<Timestamp>,
    /// The incident that was open at the last reading.
    open: Option<IncidentId>,
    /// The last incident was a false alarm of the model: what only the model says is quiet until the service is well once.
    quiet: bool,
    normal: usize,
    last_read: Option<Timestamp>,
    failing: BTreeSet<String>,
    warnings: Warnings,
    training: mpsc::Sender<Result<Trained, String>>,
    trained: mpsc::Receiver<Result<Trained, String>>,
    swept: Timestamp,
}

impl Judge {
    fn new(watcher: Watcher) -> Self {
        let id = watcher.service.name.clone();
        let settings = watcher.service.detect.clone();
        let known = watcher.board.with(&id, |board| board.specs.clone());
        let mut detector = Detector::new(id.clone(), settings.clone(), known);
        watcher.restore(&mut detector);
        let state = watcher.engine.state();
        // A request of somebody says nothing about how the service was.
        let open = state.open_incident(&id).filter(|incident| incident.judge != By::Person);
        let watch = open.map_or_else(|| Watch::new(&settings), |i| Watch::resumed(&settings, i.severity));
        // One training at a time is asked for, so one place is enough.
        let (training, trained) = mpsc::channel(1);
        let swept = watcher.clock.now();
        Self {
            raised_since: open.map(|i| i.since),
            open: open.map(|i| i.id),
            quiet: false,
            normal: 0,
            last_read: None,
            failing: BTreeSet::new(),
            warnings: Warnings::default(),
            watcher,
            detector,
            watch,
            training,
            trained,
            swept,
        }
    }

    async fn take(&mut self, sample: &Sample) -> Result<(), String> {
        let id = self.watcher.service.name.clone();
        self.watcher.board.sample(sample);
        self.watcher.views.add_sample(sample).unwrap_or_else(|error| {
            tracing::warn!(service = %id, %error, "a sample could not be stored; it is judged all the same");
        });
        self.note_sources(sample).await?;
        self.hear();
        let reading = self.detector.observe(sample);
        self.watcher.board.with(&id, |board| board.reading = Some(reading.clone()));
        self.report(reading).await?;
        let open = self.watcher.engine.state().open_incident(&id).is_some();
        self.detector.set_quarantine(open);
        self.train();
        self.sweep(sample.at);
        Ok(())
    }

    /// Takes up what sources knew of the time before the first start: it is learned from, and not judged.
    fn hear_of_before(&mut self, samples: Vec<Sample>) {
        let Some(first) = samples.first() else { return };
        let id = self.watcher.service.name.clone();
        let specs = self.watcher.board.with(&id, |board| board.specs.clone());
        self.detector.set_specs(specs);
        tracing::info!(service = %id, samples = samples.len(), since = %first.at, "learning from what the sources know of the time before");
        for sample in &samples {
            self.watcher.board.sample(sample);
            if let Err(error) = self.watcher.views.add_sample(sample) {
                tracing::warn!(service = %id, %error, "a sample of the time before could not be stored");
                break;
            }
        }
        self.detector.backfill(&samples);
        self.train();
    }

    /// Tells the detector what people said.
    fn hear(&mut self) {
        let (state, id) = (self.watcher.engine.state(), &self.watcher.service.name);
        self.detector.set_feedback(state.false_alarms.get(id).map_or(&[], Vec::as_slice));
        if let Some(deploy) = state.deploys.get(id) {
            self.detector.note_deploy(deploy.at, deploy.until);
        }
    }

    /// Is this reading one that must not raise anything: the model's word alone, while the service settles after a
    /// deploy, or is not yet well after a false alarm? What is open goes on as it would.
    fn is_held_back(&self, state: &State, reading: &Reading) -> bool {
        let holds = self.quiet || self.detector.is_settling(reading.at);
        holds && self.detector.is_model_alone() && state.open_incident(&reading.service).is_none()
    }

    /// Begins to count anomalies anew.
    fn count_anew(&mut self) {
        self.watch = Watch::new(&self.watcher.service.detect);
        self.raised_since = None;
    }

    /// Tells the engine what the reading means for an incident.
    async fn report(&mut self, reading: Reading) -> Result<(), String> {
        // A sample that said nothing new gives the last reading again: it counts as nothing.
        if self.last_read == Some(reading.at) {
            return Ok(());
        }
        self.last_read = Some(reading.at);
        self.foretell(&reading).await?;
        self.normal = if reading.is_anomaly() { 0 } else { self.normal + 1 };
        let calm = self.normal >= self.watcher.service.detect.clear;
        let state = self.watcher.engine.state();
        if self.open.is_some_and(|id| is_false_alarm(&state, id)) {
            self.quiet = true;
            self.count_anew();
        }
        self.quiet &= !calm;
        let mut told = reading;
        let signal = if told.is_anomaly() && self.is_held_back(&state, &told) {
            self.count_anew();
            None
        } else {
            self.watch.push(&told)
        };
        match signal {
            Some(Signal::Raised { since, reading }) => {
                self.raised_since = Some(since);
                told = reading;
            }
            Some(Signal::Worsened { reading }) => told = reading,
            Some(Signal::Cleared { .. }) => self.raised_since = None,
            None => {}
        }
        let events = self
            .watcher
            .engine
            .observe(told, self.raised_since, calm)
            .await
            .map_err(|e| format!("a reading could not be taken: {e}"))?;
        // Judged healed before the watch itself had seen enough: it begins anew, or a relapse would not be raised.
        let healed = events.iter().any(|e| matches!(e.fact, Fact::Resolved { .. }) && e.by.is_none());
        if healed {
            self.count_anew();
        }
        self.open = self.watcher.engine.state().open_incident(&self.watcher.service.name).map(|i| i.id);
        Ok(())
    }

    /// Records a source that stops answering and one that answers again, once each.
    async fn note_sources(&mut self, sample: &Sample) -> Result<(), String> {
        let id = self.watcher.service.name.clone();
        let now: BTreeSet<String> = sample.faults.iter().map(|f| f.source.clone()).collect();
        for fault in sample.faults.iter().filter(|f| !self.failing.contains(&f.source)) {
            tracing::warn!(service = %id, source = %fault.source, why = %fault.why, "a source fails");
            let fault = SourceFault { source: fault.source.clone(), why: fault.why.clone() };
            self.note(&id, Fact::SourceFailed(fault)).await?;
        }
        for source in self.failing.difference(&now).cloned().collect::<Vec<_>>() {
            tracing::info!(service = %id, source = %source, "a source answers again");
            self.note(&id, Fact::SourceRecovered { source }).await?;
        }
        self.failing = now;
        Ok(())
    }

    /// Records a limit that a metric is on its way to, once each time that it is. No incident comes of it.
    async fn foretell(&mut self, reading: &Reading) -> Result<(), String> {
        for forecast in self.warnings.news(reading) {
            let within_seconds = forecast.within_ms / 1000;
            tracing::info!(service = %reading.service, metric = %forecast.metric, within_seconds, "a limit is ahead");
            self.note(&reading.service, Fact::Forecast(forecast)).await?;
        }
        Ok(())
    }

    async fn note(&self, id: &ServiceId, fact: Fact) -> Result<(), String> {
        self.watcher.engine.note(Some(id), None, fact).await.map_err(|e| e.to_string())
    }

    /// Starts a training on a thread for blocking work, when one is due.
    fn train(&mut self) {
        let Some(set) = self.detector.training_due(self.watcher.clock.now()) else { return };
        let done = self.training.clone();
        tokio::task::spawn_blocking(move || {
            let trained = train_on(set);
            // full or closed: the service is not watched any more, and its model is of no use.
            let _ = done.try_send(trained);
        });
    }

    async fn install(&mut self, trained: Result<Trained, String>) -> Result<(), String> {
        let id = self.watcher.service.name.clone();
        let trained = match trained {
            Ok(trained) => trained,
            Err(error) => {
                tracing::warn!(service = %id, %error, "the training failed; the detector goes on as it was");
                return Ok(());
            }
        };
        let model = trained.model();
        let (version, samples) = (model.version(), model.samples());
        let threshold = model.threshold();
        let features: Vec<_> = model.metrics().map(str::to_owned).collect();
        let trained_at = model.trained_at();
        match model.to_bytes() {
            Ok(bytes) => self.watcher.views.put_model(&id, &bytes).unwrap_or_else(|error| {
                tracing::warn!(service = %id, %error, "the model could not be stored; it is learned again after a restart");
            }),
            Err(error) => tracing::warn!(service = %id, %error, "the model could not be written down"),
        }
        self.detector.install(trained);
        self.watcher.note_model(self.detector.model());
        tracing::info!(service = %id, version, samples, "a model was trained");
        let samples = u64::try_from(samples).unwrap_or(u64::MAX);
        self.note(&id, Fact::ModelTrained { version, samples, features, threshold }).await?;
        self.watcher.board.with(&id, |board| board.model = Some((version, trained_at)));
        Ok(())
    }

    fn sweep(&mut self, now: Timestamp) {
        if now.since(self.swept) < SWEEP_EVERY {
            return;
        }
        self.swept = now;
        if let Err(error) = self.watcher.views.forget_samples(now.minus(RETENTION)) {
            tracing::warn!(service = %self.watcher.service.name, %error, "old samples could not be dropped");
        }
    }
}

impl Watcher {
    /// Takes up the stored model, if it fits, and the samples of the last hour before. An open incident's are not among
    /// them, nor those of one that is over: the service is still compared with the time when it was well.
    fn restore(&self, detector: &mut Detector) {
        let id = &self.service.name;
        match self.views.model(id) {
            Ok(Some(bytes)) => match Model::from_bytes(&bytes).and_then(|model| detector.restore(model)) {
                Ok(()) => self.note_model(detector.model()),
                Err(error) => tracing::info!(service = %id, %error, "the stored model does not fit; learning anew"),
            },
            Ok(None) => {}
            Err(error) => tracing::warn!(service = %id, %error, "the stored model cannot be read; learning anew"),
        }
        let state = self.engine.state();
        let until = state.open_incident(id).map_or(self.clock.now(), |incident| incident.since);
        let ill: Vec<_> =
            state.incidents.values().filter(|i| i.service == *id).map(|i| (i.since, i.closed_at)).collect();
        let well = |at: Timestamp| {
            at < until && !ill.iter().any(|(since, closed)| *since <= at && closed.is_none_or(|closed| at <= closed))
        };
        match self.views.samples(id, until.minus(WARM), MOST_WARM) {
            Ok(stored) => detector.warm(stored.iter().filter(|sample| well(sample.at))),
            Err(error) => tracing::warn!(service = %id, %error, "the stored samples cannot be read"),
        }
    }

    /// What the sources know of the time before, for a service of which nothing is known yet.
    async fn before(&self, collector: &mut Collector) -> Vec<Sample> {
        let (id, now) = (&self.service.name, self.clock.now());
        let is_new = matches!(self.views.model(id), Ok(None))
            && self.views.samples(id, now.minus(RETENTION), 1).is_ok_and(|stored| stored.is_empty());
        if !is_new {
            return Vec::new();
        }
        let samples = collector.history(now.minus(LONGEST_BEFORE), now, BEFORE_WITHIN).await;
        self.board.with(id, |board| board.specs = (*collector.specs()).clone());
        samples
    }

    fn note_model(&self, model: Option<&Model>) {
        let Some(model) = model else { return };
        let bands = model.bands();
        self.board.with(&self.service.name, |board| {
            board.model = Some((model.version(), model.trained_at()));
            board.bands = bands;
        });
    }
}

/// When the rounds of a service begin: anywhere within one of them. Where rounds are short, nobody asks many services.
fn spread(interval: Duration) -> Duration {
    if interval < SHORT_ROUND { Duration::ZERO } else { interval.mul_f64(fastrand::f64()) }
}

/// Is this an incident of the model's that a person called a false alarm?
fn is_false_alarm(state: &State, id: IncidentId) -> bool {
    let incident = state.incidents.get(&id).filter(|i| !i.is_open() && i.false_alarm.is_some());
    incident.is_some_and(|i| matches!(i.judge, By::Model { .. }))
}

fn train_on(set: TrainingSet) -> Result<Trained, String> {
    train(set).map_err(|e| e.to_string())
}

//! One service's rounds: all its sources at once, each under a deadline, one sample a round.
//!
//! Must never wait for a slow source past the deadline, repeat or turn back a timestamp, or hand on a number that is
//! none. Owned by the composition root, one task a service.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use super::{Gathered, Source, SourceError};
use crate::model::{Badness, Clock, MetricSpec, Sample, ServiceId, SourceFault, Timestamp};

/// Most metrics of a sample: beyond what any model here is fed. Those that come first in name order are kept.
const MOST_VALUES: usize = 1000;

/// Metric to what is known of it.
type Specs = BTreeMap<String, MetricSpec>;

/// What a collector counted since it was made; for `/metrics` and tests.
#[derive(Debug, Default)]
pub struct CollectStats {
    /// Rounds begun.
    pub rounds: AtomicU64,
    /// Samples that nobody took in time.
    pub samples_dropped: AtomicU64,
    /// Values that were NaN or infinite, or past the bound of a sample.
    pub values_dropped: AtomicU64,
    /// Reads that gave nothing: an error, or no answer in time.
    pub reads_failed: AtomicU64,
}

/// How old the last answer of the source is that was silent longest: in every sample from the first time that one was. Shown
/// and charted, never judged: it says nothing of the service.
pub const SILENCE: &str = "source_silent_seconds";

/// The time that one read may take: the configured timeout, but never longer than a round.
#[must_use]
pub fn deadline(interval: Duration, timeout: Duration) -> Duration {
    interval.min(timeout)
}

/// A source that let a whole round wait for nothing is not waited for like that again: from then on it has this part of the
/// time, so that the others' values are not late with it.
const IMPATIENT: u32 = 10;
/// Every so many rounds it has the whole time, or it could never show that it is only a little slower than it was.
const WHOLE_EVERY: u32 = 8;

/// How long a source is waited for.
#[derive(Clone, Copy, Debug, Default)]
struct Patience {
    /// Rounds in a row in which it did not answer in time.
    late: u32,
    /// When it answered last; when the rounds began, if it never did.
    answered: Option<Timestamp>,
}

impl Patience {
    fn deadline(self, whole: Duration) -> Duration {
        if self.late == 0 || self.late.is_multiple_of(WHOLE_EVERY) { whole } else { whole / IMPATIENT }
    }
}

/// Runs the rounds of one service.
pub struct Collector {
    service: ServiceId,
    sources: Vec<Box<dyn Source>>,
    patience: Vec<Patience>,
    /// A source was silent in this life.
    was_silent: bool,
    /// How long the first round waits, so that the rounds of many services do not all fall into one moment.
    delay: Duration,
    interval: Duration,
    deadline: Duration,
    clock: Arc<dyn Clock>,
    last: Option<Timestamp>,
    /// The wall clock is behind the last sample, and it was said.
    clock_is_behind: bool,
    /// Metric to the source whose it is: the first one, in the order of the config, that ever gave it.
    owners: BTreeMap<String, usize>,
    specs: watch::Sender<Arc<Specs>>,
    stats: Arc<CollectStats>,
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sources: Vec<&str> = self.sources.iter().map(|source| source.name()).collect();
        f.debug_struct("Collector").field("service", &self.service).field("sources", &sources).finish_non_exhaustive()
    }
}

impl Collector {
    /// A collector of one service. Each read is cut off after [`deadline`]`(interval, timeout)`.
    #[must_use]
    pub fn new(
        service: ServiceId,
        sources: Vec<Box<dyn Source>>,
        interval: Duration,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            service,
            patience: vec![Patience::default(); sources.len()],
            was_silent: false,
            delay: Duration::ZERO,
            sources,
            // tokio's interval refuses 0.
            interval: interval.max(Duration::from_millis(1)),
            deadline: deadline(interval, timeout),
            clock,
            last: None,
            clock_is_behind: false,
            owners: BTreeMap::new(),
            specs: watch::Sender::new(Arc::new(Specs::new())),
            stats: Arc::new(CollectStats::default()),
        }
    }

    /// What is known of the metrics seen so far, the config's own words over the sources' guesses.
    #[must_use]
    pub fn specs(&self) -> Arc<BTreeMap<String, MetricSpec>> {
        self.specs.borrow().clone()
    }

    /// The same, for whoever stays when the collector goes into its task: changes when a metric shows up, always before the
    /// sample that has it.
    #[must_use]
    pub fn watch_specs(&self) -> watch::Receiver<Arc<BTreeMap<String, MetricSpec>>> {
        self.specs.subscribe()
    }

    /// The counters, which go on counting in the task.
    #[must_use]
    pub fn stats(&self) -> Arc<CollectStats> {
        Arc::clone(&self.stats)
    }

    /// What the last round showed to be wrong with the config: source and sentence.
    #[must_use]
    pub fn complaints(&self) -> Vec<(String, String)> {
        let of = |source: &dyn Source| {
            let name = source.name().to_owned();
            source.complaints().into_iter().map(move |complaint| (name.clone(), complaint)).collect::<Vec<_>>()
        };
        self.sources.iter().flat_map(|source| of(source.as_ref())).collect()
    }

    /// The first round waits for so long.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Rounds until `stop`, or until nobody takes samples any more. A round that is late is left out, not made up for.
    pub async fn run(mut self, out: mpsc::Sender<Sample>, stop: CancellationToken) {
        let mut ticks = interval_at(Instant::now() + self.delay, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let round = async {
                ticks.tick().await;
                self.once().await
            };
            let sample = tokio::select! {
                () = stop.cancelled() => return,
                sample = round => sample,
            };
            // Full: this sample is dropped and counted. The queue cannot drop its oldest, and waiting would turn a slow
            // reader into late samples that look like a slow service.
            match out.try_send(sample) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(sample)) => {
                    let dropped = self.stats.samples_dropped.fetch_add(1, Ordering::Relaxed) + 1;
                    tracing::warn!(service = %self.service, at = %sample.at, dropped, "nobody took the sample in time: dropped");
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return,
            }
        }
    }

    /// What the sources know of the time before: samples, oldest first, as rounds would have given them. A source that does
    /// not know, or does not say within `limit`, is left out. To be asked before the first round.
    pub async fn history(&mut self, since: Timestamp, until: Timestamp, limit: Duration) -> Vec<Sample> {
        let service = self.service.clone();
        let asked = self.sources.iter_mut().map(|source| async {
            let name = source.name().to_owned();
            match timeout(limit, source.history(since, until)).await {
                Ok(Ok(known)) => known,
                Ok(Err(error)) => {
                    tracing::warn!(service = %service, %error, "a source does not tell what was before");
                    Vec::new()
                }
                Err(_) => {
                    tracing::warn!(service = %service, source = name, "a source takes too long to tell what was before");
                    Vec::new()
                }
            }
        });
        let answers = join_all(asked).await;
        // Sources that look at the same time do not say the same millisecond.
        let round = i64::try_from(self.interval.as_millis()).unwrap_or(i64::MAX);
        let mut rounds: BTreeMap<i64, Vec<(usize, Timestamp, Gathered)>> = BTreeMap::new();
        for (index, known) in answers.into_iter().enumerate() {
            for (at, gathered) in known.into_iter().filter(|(at, _)| (since..until).contains(at)) {
                rounds.entry(at.0.div_euclid(round)).or_default().push((index, at, gathered));
            }
        }
        let mut specs = Specs::clone(&self.specs.borrow());
        let mut samples: Vec<Sample> = Vec::with_capacity(rounds.len());
        for parts in rounds.into_values() {
            let Some(at) = parts.iter().map(|(_, at, _)| *at).max() else { continue };
            let mut sample = self.empty_sample(at);
            for (index, _, gathered) in parts {
                self.take(index, gathered, &mut sample, &mut specs);
            }
            samples.push(sample);
        }
        self.last = samples.last().map(|sample| sample.at).or(self.last);
        self.publish(specs);
        samples
    }

    fn empty_sample(&self, at: Timestamp) -> Sample {
        Sample {
            service: self.service.clone(),
            at,
            values: BTreeMap::new(),
            by_instance: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    /// Tells whoever watches what is known of the metrics.
    fn publish(&mut self, mut specs: Specs) {
        // No more specs than there can be metrics, over the whole life of the daemon: sources bound theirs too.
        while specs.len() > MOST_VALUES * 2 {
            specs.pop_last();
        }
        self.specs.send_if_modified(|known| {
            let is_new = **known != specs;
            if is_new {
                *known = Arc::new(specs);
            }
            is_new
        });
    }

    /// One round, now. The first gives no rates.
    pub async fn once(&mut self) -> Sample {
        self.stats.rounds.fetch_add(1, Ordering::Relaxed);
        let at = self.timestamp();
        let whole = self.deadline;
        let reads = self.sources.iter_mut().zip(&mut self.patience).map(|(source, patience)| async move {
            let deadline = patience.deadline(whole);
            match timeout(deadline, source.read()).await {
                Ok(gathered) => {
                    patience.late = 0;
                    if gathered.is_ok() || patience.answered.is_none() {
                        patience.answered = Some(at);
                    }
                    gathered
                }
                Err(_) => {
                    patience.late = patience.late.saturating_add(1);
                    Err(SourceError {
                        source_name: source.name().to_owned(),
                        why: format!("no answer within {}", seconds(deadline)),
                    })
                }
            }
        });
        let answers = join_all(reads).await;
        let mut sample = self.empty_sample(at);
        let mut specs = Specs::clone(&self.specs.borrow());
        for (index, answer) in answers.into_iter().enumerate() {
            match answer {
                Ok(gathered) => self.take(index, gathered, &mut sample, &mut specs),
                Err(SourceError { source_name, why }) => {
                    self.stats.reads_failed.fetch_add(1, Ordering::Relaxed);
                    sample.faults.push(SourceFault { source: source_name, why });
                }
            }
        }
        self.note_silence(&mut sample, &mut specs);
        self.publish(specs);
        sample
    }

    fn note_silence(&mut self, sample: &mut Sample, specs: &mut Specs) {
        let at = sample.at;
        let silent =
            self.patience.iter_mut().map(|p| at.since(*p.answered.get_or_insert(at))).max().unwrap_or_default();
        self.was_silent |= !silent.is_zero();
        if self.was_silent {
            sample.values.insert(SILENCE.to_owned(), silent.as_secs_f64());
            let known = MetricSpec { bad: Badness::Never, unit: "s".to_owned(), ..MetricSpec::default() };
            specs.entry(SILENCE.to_owned()).or_insert(known);
        }
    }

    /// Takes up what one source gave, under names that no other source has.
    fn take(&mut self, index: usize, gathered: Gathered, sample: &mut Sample, specs: &mut Specs) {
        let Gathered { values, by_instance, specs: known, faults } = gathered;
        for (name, spec) in known {
            specs.insert(self.named(index, name), spec);
        }
        for (name, value) in values {
            let name = self.named(index, name);
            self.keep(&mut sample.values, name, value);
        }
        for (instance, values) in by_instance {
            let mut of_instance = sample.by_instance.remove(&instance).unwrap_or_default();
            for (name, value) in values {
                let name = self.named(index, name);
                self.keep(&mut of_instance, name, value);
            }
            if !of_instance.is_empty() {
                sample.by_instance.insert(instance, of_instance);
            }
        }
        sample.faults.extend(faults);
    }

    /// A metric belongs to the source that gave it first; another source's metric of that name gets a prefix with its
    /// place in the config: `source2_up_ratio`. Whose it is stays so for the life of the collector.
    fn named(&mut self, index: usize, name: String) -> String {
        match self.owners.get(&name) {
            Some(owner) if *owner != index => format!("source{}_{name}", index + 1),
            Some(_) => name,
            None => {
                if self.owners.len() < MOST_VALUES * 2 {
                    self.owners.insert(name.clone(), index);
                }
                name
            }
        }
    }

    fn keep(&self, values: &mut BTreeMap<String, f64>, name: String, value: f64) {
        if value.is_finite() && values.len() < MOST_VALUES {
            values.insert(name, value);
        } else {
            self.stats.values_dropped.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(service = %self.service, metric = %name, value, "dropped a value that is not finite, or one too many");
        }
    }

    /// Now, or just past the last sample when the clock stands still or was set back.
    fn timestamp(&mut self) -> Timestamp {
        let now = self.clock.now();
        let at = match self.last {
            Some(last) if now <= last => {
                if now < last && !self.clock_is_behind {
                    self.clock_is_behind = true;
                    tracing::warn!(
                        service = %self.service, clock = %now, last_sample = %last,
                        "the clock was set back: samples are timed just past the last one until it has caught up"
                    );
                }
                last.plus(Duration::from_millis(1))
            }
            _ => {
                if std::mem::take(&mut self.clock_is_behind) {
                    tracing::info!(service = %self.service, clock = %now, "the clock has caught up with the samples");
                }
                now
            }
        };
        self.last = Some(at);
        at
    }
}

/// `4 s`, `2.5 s`, `800 ms`.
fn seconds(d: Duration) -> String {
    if d >= Duration::from_secs(1) { format!("{} s", d.as_secs_f64()) } else { format!("{} ms", d.as_millis()) }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::atomic::AtomicI64;

    use async_trait::async_trait;

    use super::*;
    use crate::model::Badness;

    /// Gives one prepared answer a round; stalls when there are none left.
    struct Scripted {
        name: &'static str,
        answers: VecDeque<Result<Gathered, &'static str>>,
    }

    #[async_trait]
    impl Source for Scripted {
        fn name(&self) -> &str {
            self.name
        }

        async fn read(&mut self) -> Result<Gathered, SourceError> {
            match self.answers.pop_front() {
                Some(answer) => {
                    answer.map_err(|why| SourceError { source_name: self.name.to_owned(), why: why.to_owned() })
                }
                None => std::future::pending().await,
            }
        }
    }

    fn scripted(name: &'static str, answers: Vec<Result<Gathered, &'static str>>) -> Box<dyn Source> {
        Box::new(Scripted { name, answers: answers.into() })
    }

    fn gives(values: &[(&str, f64)]) -> Result<Gathered, &'static str> {
        let values: BTreeMap<String, f64> = values.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect();
        let spec = |name: &String| (name.clone(), MetricSpec { bad: Badness::High, ..MetricSpec::default() });
        let specs = values.keys().map(spec).collect();
        let by_instance = BTreeMap::from([("one".to_owned(), values.clone())]);
        Ok(Gathered { values, by_instance, specs, faults: Vec::new() })
    }

    /// A clock that can be set.
    #[derive(Default)]
    struct Wall(AtomicI64);

    impl Clock for Wall {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(Ordering::SeqCst))
        }
    }

    fn collector(sources: Vec<Box<dyn Source>>) -> (Collector, Arc<Wall>) {
        let wall = Arc::new(Wall(AtomicI64::new(1000)));
        let clock: Arc<dyn Clock> = wall.clone();
        let (interval, timeout) = (Duration::from_secs(5), Duration::from_secs(4));
        (Collector::new("shop".into(), sources, interval, timeout, clock), wall)
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_stalls_is_a_fault_and_holds_nobody_up() {
        let (mut collector, _) =
            collector(vec![scripted("slow", vec![]), scripted("quick", vec![gives(&[("a", 1.0)])])]);
        let sample = collector.once().await;
        assert_eq!(sample.values.get("a"), Some(&1.0));
        assert_eq!(sample.faults, [SourceFault { source: "slow".into(), why: "no answer within 4 s".into() }]);
        assert_eq!(collector.stats().reads_failed.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_stalled_is_not_waited_for_as_long_again() {
        let (mut collector, _) =
            collector(vec![scripted("slow", vec![]), scripted("quick", vec![gives(&[("a", 1.0)]); 20])]);
        let mut took = Vec::new();
        for _ in 0..10 {
            let began = Instant::now();
            assert_eq!(collector.once().await.values.get("a"), Some(&1.0));
            took.push(began.elapsed().as_millis());
        }
        assert_eq!(took, [4000, 400, 400, 400, 400, 400, 400, 400, 4000, 400]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_fails_leaves_no_old_value() {
        let (mut collector, wall) = collector(vec![scripted("s", vec![gives(&[("a", 1.0)]), Err("gone")])]);
        assert_eq!(collector.once().await.values.len(), 1);
        wall.0.store(6_000, Ordering::SeqCst);
        let sample = collector.once().await;
        assert_eq!(sample.values, BTreeMap::from([(SILENCE.to_owned(), 5.0)]));
        assert!(sample.by_instance.is_empty());
        assert_eq!(sample.faults[0].why, "gone");
    }

    /// Knows what was before.
    struct Remembers(Vec<(i64, f64)>);

    #[async_trait]
    impl Source for Remembers {
        fn name(&self) -> &str {
            "remembers"
        }

        async fn read(&mut self) -> Result<Gathered, SourceError> {
            gives(&[("a", 0.0)]).map_err(|why| SourceError { source_name: String::new(), why: why.to_owned() })
        }

        async fn history(&mut self, _: Timestamp, _: Timestamp) -> Result<Vec<(Timestamp, Gathered)>, SourceError> {
            let at = |(at, value): &(i64, f64)| (Timestamp(*at), gives(&[("a", *value)]).unwrap_or_default());
            Ok(self.0.iter().map(at).collect())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_before_comes_in_rounds_and_the_present_follows_it() {
        let first = Box::new(Remembers(vec![(-5_000, 9.0), (0, 1.0), (5_010, 2.0), (10_000, 3.0)]));
        let second = Box::new(Remembers(vec![(5_300, 7.0), (900_000, 8.0)]));
        let (mut collector, _) = collector(vec![first, second]);
        let samples = collector.history(Timestamp(0), Timestamp(60_000), Duration::from_secs(1)).await;
        let seen: Vec<_> =
            samples.iter().map(|s| (s.at.0, s.values["a"], s.values.get("source2_a").copied())).collect();
        assert_eq!(seen, [(0, 1.0, None), (5_300, 2.0, Some(7.0)), (10_000, 3.0, None)]);
        assert!(collector.once().await.at.0 > 10_000, "time does not turn back");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_finite_is_dropped_and_counted() {
        let odd = gives(&[("nan", f64::NAN), ("inf", f64::INFINITY), ("fine", 2.0)]);
        let (mut collector, _) = collector(vec![scripted("s", vec![odd])]);
        let sample = collector.once().await;
        assert_eq!(sample.values, BTreeMap::from([("fine".to_owned(), 2.0)]));
        assert_eq!(collector.stats().values_dropped.load(Ordering::Relaxed), 4, "two, and two of the instance");
    }

    #[tokio::test(start_paused = true)]
    async fn names_that_collide_stay_with_the_first_source() {
        let both = |value| vec![gives(&[("up_ratio", value)]), gives(&[("up_ratio", value)])];
        let mut first = both(1.0);
        first[1] = Err("gone");
        let (mut collector, _) = collector(vec![scripted("a", first), scripted("b", both(0.5))]);
        for _ in 0..2 {
            let sample = collector.once().await;
            assert_eq!(sample.values.get("source2_up_ratio"), Some(&0.5));
        }
        let names: Vec<String> = collector.specs().keys().cloned().collect();
        assert_eq!(names, ["source2_up_ratio", SILENCE, "up_ratio"]);
    }

    #[tokio::test(start_paused = true)]
    async fn time_never_repeats_or_turns_back() {
        let answers = (0..5).map(|_| gives(&[("a", 1.0)])).collect();
        let (mut collector, wall) = collector(vec![scripted("s", answers)]);
        let mut seen = Vec::new();
        for now in [1000, 1000, 400, 900, 5000] {
            wall.0.store(now, Ordering::SeqCst);
            seen.push(collector.once().await.at.0);
        }
        assert_eq!(seen, [1000, 1001, 1002, 1003, 5000]);
    }

    #[tokio::test(start_paused = true)]
    async fn rounds_come_at_their_interval_and_a_full_queue_drops_the_new_one() {
        let answers = (0..6).map(|n| gives(&[("n", f64::from(n))])).collect();
        let (collector, _) = collector(vec![scripted("s", answers)]);
        let (stats, specs) = (collector.stats(), collector.watch_specs());
        // Full: the collector drops and counts, which is what this test is about.
        let (out, mut samples) = mpsc::channel(2);
        let stop = CancellationToken::new();
        let task = tokio::spawn(collector.run(out, stop.clone()));
        tokio::time::sleep(Duration::from_millis(20_500)).await;
        assert_eq!(stats.rounds.load(Ordering::Relaxed), 5);
        assert_eq!(stats.samples_dropped.load(Ordering::Relaxed), 3);
        assert_eq!(samples.recv().await.unwrap().values.get("n"), Some(&0.0));
        assert!(specs.borrow().contains_key("n"));
        stop.cancel();
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_listening_ends_the_rounds() {
        let (collector, _) = collector(vec![scripted("s", vec![gives(&[("a", 1.0)])])]);
        // Never full: nobody receives at all.
        let (out, samples) = mpsc::channel(1);
        drop(samples);
        collector.run(out, CancellationToken::new()).await;
    }
}

//! One round of a group: who owns which pod, how often the exporter is scraped, and then one query a series for all
//! targets.
//!
//! Must never fail as a whole because one query does, or hand on a value whose series is no longer scraped. Called by the
//! group, within its budget.
//!
//! Prometheus goes on giving the last value of a series for five minutes when nobody writes it any more and nobody says
//! that it ended (a broken remote write, a federation that stands still). So each round asks how old the newest sample of
//! the part's pulse is, and what is older than two intervals, a minute and two and a half scrapes is missing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::Instant;

use super::answer::{Labels, Sink};
use super::group::{About, Outcome, Slice};
use super::hub::{Answer, For, GROUP_QUERIES, Hub, When};
use super::make::Cell;
use super::place::{Members, Places, Scheme, joined};
use super::text::Fill;
use super::wire::AskError;

/// Over which the samples of the pulse are counted, in seconds. An exporter that is new has few in the longer time, one that
/// is scraped once a minute or less has few in the shorter.
const COUNTED: u32 = 60;
/// The longer one: Prometheus's own lookback.
const COUNTED_SLOW: u32 = 300;
/// How long what was learned of scrapes stands at first; three times as long whenever it is found to be the same again.
const SETTLED_AT_FIRST: Duration = Duration::from_secs(20);
/// ... and at most.
const SETTLED_FOR: Duration = Duration::from_secs(600);
/// How long the owners of pods stand.
const OWNERS_FOR: Duration = Duration::from_secs(60);
/// The same while there are pods whose owners are not known: they are new, or nobody says.
const OWNERS_IN_DOUBT_FOR: Duration = Duration::from_secs(15);
/// Answers that take longer than a millisecond or two to read are read on a blocking thread.
const MOST_BYTES_HERE: usize = 256 * 1024;

/// What one round leaves for the next.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub places: Places,
    /// The generation of members that `places` is for.
    generation: u64,
    /// When the owners of pods were learned.
    owners_at: Option<Instant>,
    settled: Option<Settled>,
}

/// What is known of how a part is scraped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Settled {
    until: Instant,
    generation: u64,
    /// How long it stood from the beginning.
    stands: Duration,
    /// Does any member have the pulse?
    pub found: bool,
    /// Between two samples.
    pub scrape: Duration,
}

impl Settled {
    /// The window of rates: four samples, so that one that is missing or late does not matter; not much shorter than the
    /// round, or what happens between two of them is lost.
    pub fn window(&self, interval: Duration) -> Duration {
        let window = (self.scrape * 4).max(interval * 2).max(Duration::from_secs(20)).min(Duration::from_secs(3600));
        Duration::from_secs(window.as_secs() + u64::from(window.subsec_nanos() > 0))
    }

    /// Samples older than this are none.
    pub fn oldest(&self, interval: Duration) -> Duration {
        (interval * 2).max(Duration::from_secs(60)).max(self.scrape.mul_f64(2.5))
    }
}

/// Runs a round. What could not be asked or read until `until` has failed.
pub(super) async fn run(
    about: &About,
    hub: &Arc<Hub>,
    kept: &Arc<Mutex<Kept>>,
    members: &Arc<Members>,
    until: Instant,
) -> Outcome {
    let nothing = |why: String| Outcome { nothing: Some(why), ..Outcome::default() };
    if let Some(why) = hub.resting() {
        return nothing(why);
    }
    let sel = about.scheme.select(&members.all());
    if about.scheme.pods
        && let Err(why) = owners(about, hub, kept, members, until).await
    {
        if why.is_servers() || matches!(why, AskError::Resting(_)) {
            return nothing(why.to_string());
        }
        tracing::warn!(server = %hub.shown, "who owns which pod is not known, so that their names decide: {why}");
        lock(kept).of(members.generation).owners_at = Some(Instant::now());
    }
    let settled = match settle(about, hub, kept, members, &sel, until).await {
        Ok(settled) => settled,
        Err(why) => return nothing(why.to_string()),
    };
    if !settled.found && about.part.optional {
        return Outcome { absent: true, ..Outcome::default() };
    }
    let fill = fill(&about.scheme, sel, settled.window(about.interval));
    let pulse = fill.fill(&format!("max by ($each) (timestamp({}))", about.part.pulse));
    let series = about.part.series.iter().map(|series| fill.fill(series.query));
    let queries: Vec<String> = std::iter::once(pulse).chain(series).collect();
    let mut outcome = Outcome {
        slices: vec![Slice::default(); members.slots],
        oldest: settled.oldest(about.interval).as_secs_f64(),
        ..Outcome::default()
    };
    let mut answers = futures::stream::iter(queries.into_iter().enumerate())
        .map(|(at, query)| async move { (at, hub.ask(&query, When::Now, For::Group, until).await) })
        .buffer_unordered(GROUP_QUERIES);
    let (mut asked, mut worst) = (0, None);
    while let Some((at, answer)) = answers.next().await {
        asked += 1;
        let read = match answer {
            Ok(answer) => {
                let index = at.checked_sub(1);
                let of = index.and_then(|index| about.part.series.get(index));
                let what = match index {
                    None => What::Pulse,
                    Some(index) => What::Cells {
                        series: u16::try_from(index).unwrap_or(u16::MAX),
                        histogram: of.is_some_and(|series| series.histogram),
                    },
                };
                let slices = std::mem::take(&mut outcome.slices);
                let (slices, read) = take(about, hub, kept, members, answer, what, slices).await;
                outcome.slices = slices;
                read
            }
            Err(error) => Err(error),
        };
        if let Err(error) = read {
            // What the first failure brought about says less than the failure.
            if worst.is_none() || !matches!(error, AskError::Resting(_)) {
                worst = worst.filter(|worst: &AskError| !matches!(worst, AskError::Resting(_))).or(Some(error.clone()));
            }
            match at.checked_sub(1) {
                Some(index) => outcome.failed.push((index, error.to_string())),
                // Without it nobody knows how old the values are.
                None => outcome.nothing = Some(format!("how old the values are: {error}")),
            }
        }
    }
    outcome.failed.sort();
    if outcome.failed.len() + usize::from(outcome.nothing.is_some()) == asked {
        outcome.nothing = worst.map(|error| error.to_string());
    }
    outcome
}

pub(super) fn fill(scheme: &Scheme, sel: String, window: Duration) -> Fill {
    Fill { sel, by: scheme.by_text(), each: scheme.each_text(), window }
}

/// What an answer is of.
#[derive(Clone, Copy, Debug)]
enum What {
    Pulse,
    Cells { series: u16, histogram: bool },
}

/// Reads an answer into the slices.
async fn take(
    about: &About,
    hub: &Arc<Hub>,
    kept: &Arc<Mutex<Kept>>,
    members: &Arc<Members>,
    answer: Answer,
    what: What,
    slices: Vec<Slice>,
) -> (Vec<Slice>, Result<(), AskError>) {
    let read = {
        let (scheme, hub, kept, members) =
            (about.scheme.clone(), Arc::clone(hub), Arc::clone(kept), Arc::clone(members));
        let is_great = answer.bytes() > MOST_BYTES_HERE;
        let work = move || {
            let mut kept = lock(&kept);
            let kept = kept.of(members.generation);
            let mut sink = Slices { scheme: &scheme, members: &members, places: &mut kept.places, what, slices };
            let read = hub.read(&answer, &mut sink);
            (sink.slices, read)
        };
        if is_great { tokio::task::spawn_blocking(work).await } else { Ok(work()) }
    };
    read.unwrap_or_else(|e| {
        let lost = AskError::Answer(format!("the reading thread was lost: {e}"));
        (vec![Slice::default(); members.slots], Err(lost))
    })
}

impl Kept {
    /// What is kept for these members: places of others are forgotten.
    fn of(&mut self, generation: u64) -> &mut Self {
        if self.generation != generation {
            self.generation = generation;
            self.owners_at = None;
            self.places.clear();
        }
        self
    }
}

struct Slices<'a> {
    scheme: &'a Scheme,
    members: &'a Members,
    places: &'a mut Places,
    what: What,
    slices: Vec<Slice>,
}

impl Sink for Slices<'_> {
    fn series(&mut self, labels: &Labels<'_>, points: &[(f64, f64)]) {
        let Some(&(at, value)) = points.last() else { return };
        let Some(place) = self.places.of(labels, self.scheme, self.members) else { return };
        let Some(slice) = self.slices.get_mut(place.slot) else { return };
        match self.what {
            What::Pulse => {
                let age = (at - value).max(0.0);
                slice.ages.note(place.instance.as_ref(), age);
            }
            What::Cells { series, histogram } => {
                let le = if histogram { labels.get("le").parse().unwrap_or(f64::NAN) } else { f64::NAN };
                if !histogram || !le.is_nan() {
                    slice.cells.push(Cell { series, instance: place.instance.clone(), le, value });
                }
            }
        }
    }
}

/// Learns how often the part is scraped, and whether it is there at all.
pub(super) async fn settle(
    about: &About,
    hub: &Arc<Hub>,
    kept: &Arc<Mutex<Kept>>,
    members: &Arc<Members>,
    sel: &str,
    until: Instant,
) -> Result<Settled, AskError> {
    let known = lock(kept).settled;
    if let Some(known) = known {
        let stands = Instant::now() < known.until;
        // Whoever joined may have what nobody had.
        if stands && (known.found || known.generation == members.generation) {
            return Ok(known);
        }
    }
    let fill = fill(&about.scheme, sel.to_owned(), Duration::ZERO);
    let (times, pulse) = (COUNTED_SLOW / COUNTED, about.part.pulse);
    let query = fill.fill(&format!(
        "max by ($by) ({times} * count_over_time({pulse}[{COUNTED}s]) or count_over_time({pulse}[{COUNTED_SLOW}s]))"
    ));
    let answer = hub.ask(&query, When::Now, For::Group, until).await?;
    let what = What::Cells { series: 0, histogram: false };
    let (slices, read) = take(about, hub, kept, members, answer, what, vec![Slice::default(); members.slots]).await;
    read?;
    let greatest = |slice: &Slice| slice.cells.iter().map(|cell| cell.value).reduce(f64::max);
    let mut counts: Vec<f64> = slices.iter().filter_map(greatest).collect();
    let settled = settled(&mut counts, members.generation, known, Instant::now());
    lock(kept).settled = Some(settled);
    Ok(settled)
}

/// What the members' counts of samples in [`COUNTED_SLOW`] say. The slowest tenth does not decide: they may be new.
fn settled(counts: &mut [f64], generation: u64, before: Option<Settled>, now: Instant) -> Settled {
    counts.sort_by(|a, b| b.total_cmp(a));
    let count = counts.get(counts.len() * 9 / 10).or(counts.last()).copied();
    let longest = f64::from(COUNTED_SLOW);
    // 15 s is what most are scraped at.
    let scrape = Duration::from_secs_f64(count.map_or(15.0, |count| longest / count.max(1.0)).clamp(0.2, longest));
    let found = count.is_some();
    let is_like = |before: &Settled| {
        let ratio = before.scrape.as_secs_f64() / scrape.as_secs_f64();
        before.found == found && (0.75..=1.34).contains(&ratio)
    };
    let stands = before.filter(is_like).map_or(SETTLED_AT_FIRST, |before| (before.stands * 3).min(SETTLED_FOR));
    Settled { until: now + stands, stands, generation, found, scrape }
}

/// Learns who owns which pod. Two steps: ReplicaSets of Deployments, and then the pods of those and of all others.
async fn owners(
    about: &About,
    hub: &Arc<Hub>,
    kept: &Arc<Mutex<Kept>>,
    members: &Arc<Members>,
    until: Instant,
) -> Result<(), AskError> {
    {
        let mut kept = lock(kept);
        let kept = kept.of(members.generation);
        let stand_for = if kept.places.in_doubt { OWNERS_IN_DOUBT_FOR } else { OWNERS_FOR };
        if kept.owners_at.is_some_and(|at| at.elapsed() < stand_for) {
            return Ok(());
        }
    }
    let extra = about.scheme.extra().to_vec();
    let sel = Scheme { by: [extra.as_slice(), &["namespace".to_owned()]].concat(), instance: None, pods: false };
    let sel = sel.select(&members.all());
    let by: String = extra.iter().map(|label| format!("{label}, ")).collect();
    let sets = format!(
        "max by ({by}namespace, replicaset, owner_name) (kube_replicaset_owner{{{sel}owner_kind=\"Deployment\"}})"
    );
    let pods = format!("max by ({by}namespace, pod, owner_kind, owner_name) (kube_pod_owner{{{sel}}})");
    let (sets, pods) = futures::future::try_join(
        hub.ask(&sets, When::Now, For::Group, until),
        hub.ask(&pods, When::Now, For::Group, until),
    )
    .await?;
    let (hub, kept, members) = (Arc::clone(hub), Arc::clone(kept), Arc::clone(members));
    let work = move || {
        let mut sets_of = Sets { extra: &extra, members: &members, found: std::collections::HashMap::new() };
        hub.read(&sets, &mut sets_of)?;
        let found = sets_of.found;
        let mut kept = lock(&kept);
        let kept = kept.of(members.generation);
        let mut places = Places::default();
        let mut pods_of = Pods { extra: &extra, members: &members, sets: &found, places: &mut places };
        hub.read(&pods, &mut pods_of)?;
        kept.owners_at = Some(Instant::now());
        if places.is_empty() {
            // Nobody says who owns what, now: what was known stands.
            kept.places.in_doubt = true;
        } else {
            kept.places = places;
        }
        Ok(())
    };
    let lost = |e| AskError::Answer(format!("the reading thread was lost: {e}"));
    tokio::task::spawn_blocking(work).await.map_err(lost)?
}

/// ReplicaSets of members.
struct Sets<'a> {
    extra: &'a [String],
    members: &'a Members,
    found: std::collections::HashMap<Box<str>, usize>,
}

impl Sink for Sets<'_> {
    fn series(&mut self, labels: &Labels<'_>, _: &[(f64, f64)]) {
        let extra = self.extra.iter().map(|label| labels.get(label));
        let mut key: Vec<&str> =
            extra.chain([labels.get("namespace"), "deployment", labels.get("owner_name")]).collect();
        if let Some(slot) = self.members.by_key.get(&joined(&key)) {
            key.truncate(self.extra.len() + 1);
            key.push(labels.get("replicaset"));
            self.found.insert(joined(&key), *slot);
        }
    }
}

/// Pods, of members and of others: a name that looks like a member's is not one when its owner is known to be another.
struct Pods<'a> {
    extra: &'a [String],
    members: &'a Members,
    sets: &'a std::collections::HashMap<Box<str>, usize>,
    places: &'a mut Places,
}

impl Sink for Pods<'_> {
    fn series(&mut self, labels: &Labels<'_>, _: &[(f64, f64)]) {
        let extra: Vec<&str> = self.extra.iter().map(|label| labels.get(label)).collect();
        let (namespace, pod, owner) = (labels.get("namespace"), labels.get("pod"), labels.get("owner_name"));
        let slot = match labels.get("owner_kind") {
            "ReplicaSet" => self.sets.get(&joined(&[extra.as_slice(), &[namespace, owner]].concat())),
            "StatefulSet" => {
                self.members.by_key.get(&joined(&[extra.as_slice(), &[namespace, "statefulset", owner]].concat()))
            }
            _ => None,
        };
        self.places.note_pod(&extra, namespace, pod, slot.copied());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(counts: &[f64]) -> Settled {
        settled(&mut counts.to_vec(), 1, None, Instant::now())
    }

    #[tokio::test]
    async fn windows_follow_the_scrapes() {
        let ten = Duration::from_secs(10);
        for (counts, window, oldest) in [
            (&[20.0][..], 60, 60),
            (&[60.0], 20, 60),
            (&[5.0], 240, 150),
            (&[1.0], 1200, 750),
            (&[20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 1.0], 60, 60),
        ] {
            let settled = of(counts);
            let found = (settled.window(ten).as_secs(), settled.oldest(ten).as_secs());
            assert_eq!(found, (window, oldest), "{counts:?}");
        }
        let slow = of(&[20.0]);
        assert_eq!(slow.window(Duration::from_secs(300)).as_secs(), 600);
    }

    #[tokio::test]
    async fn what_stays_the_same_stands_longer_and_longer() {
        let mut last = of(&[20.0]);
        for stands in [60, 180, 540, 600, 600] {
            last = settled(&mut [19.0], 1, Some(last), Instant::now());
            assert_eq!(last.stands.as_secs(), stands);
        }
        last = settled(&mut [60.0], 1, Some(last), Instant::now());
        assert_eq!((last.stands, last.found), (SETTLED_AT_FIRST, true));
        last = settled(&mut [], 1, Some(last), Instant::now());
        assert_eq!((last.stands, last.found), (SETTLED_AT_FIRST, false));
    }
}

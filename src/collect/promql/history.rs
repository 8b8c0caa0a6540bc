//! What the server knows of the time before: range queries for one service, so that its detector learns at once.
//!
//! Must never ask for more than a server gives at a time, or for more than a few services at once. Called by the source,
//! once in a service's life.
//!
//! Each service is asked for by itself: its selectors are exact, so it costs the server what it costs to read those
//! series. What a pod was at that time is told by its name, or by what is known of those that still live.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::{Labels, Sink};
use super::group::Member;
use super::hub::{For, Hub, When};
use super::make::{Ages, Cell, Made, make};
use super::own::milliseconds;
use super::place::{Members, Places, Scheme};
use super::round;
use crate::collect::Across;
use crate::model::Timestamp;

/// The most points of one series that Prometheus gives.
const MOST_POINTS: i64 = 11_000;
/// The smallest step.
const LEAST_STEP: Duration = Duration::from_secs(5);
/// What one range query may take.
const EACH_WITHIN: Duration = Duration::from_secs(30);

/// The ranges to ask for, one after the other. All times are whole steps since the epoch, so that parts and queries meet.
pub(super) fn ranges(since: Timestamp, until: Timestamp, interval: Duration) -> Vec<When> {
    let seconds = interval.max(LEAST_STEP).as_millis().div_ceil(1000);
    let step = i64::try_from(seconds).unwrap_or(i64::MAX / 1_000_000).saturating_mul(1000);
    let first = since.0.max(0).div_euclid(step).saturating_add(1).saturating_mul(step);
    let last = until.0.div_euclid(step).saturating_mul(step);
    let mut ranges = Vec::new();
    let mut from = first;
    while from <= last {
        let to = from.saturating_add(step.saturating_mul(MOST_POINTS - 1)).min(last);
        ranges.push(When::Range { from, until: to, step });
        from = to.saturating_add(step);
    }
    ranges
}

/// When a range query has to be done, if it begins now.
pub(super) fn deadline() -> Instant {
    Instant::now() + EACH_WITHIN
}

/// What is known of one part. Milliseconds to metrics, without instances: what a model learns from is the service.
///
/// # Errors
/// In words, when nothing could be had.
pub(super) async fn of_part(
    member: &Member,
    ranges: &[When],
    across: impl Fn(&str) -> Option<Across>,
) -> Result<BTreeMap<i64, Made>, String> {
    let group = &member.group;
    let (about, hub): (_, &Arc<Hub>) = (&group.about, &group.hub);
    let members = group.members();
    let sel = about.scheme.select(&members.all());
    let settled =
        round::settle(about, hub, &group.kept, &members, &sel, deadline()).await.map_err(|e| e.to_string())?;
    if !settled.found {
        return Ok(BTreeMap::new());
    }
    let fill = round::fill(&about.scheme, about.scheme.select(&[&member.key]), settled.window(about.interval));
    let pulse = fill.fill(&format!("max by ($each) (timestamp({}))", about.part.pulse));
    let queries = about.part.series.iter().enumerate();
    let queries = queries.map(|(at, series)| (u16::try_from(at).ok(), series.histogram, fill.fill(series.query)));
    let queries = std::iter::once((None, false, pulse)).chain(queries);
    let only = Members::only(&member.key);
    let places = match member.key.0.last().filter(|_| about.scheme.pods) {
        Some(name) => {
            group.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner).places.only(member.slot, name)
        }
        None => Places::default(),
    };
    let mut past = Past {
        scheme: &about.scheme,
        members: &only,
        places,
        series: None,
        histogram: false,
        cells: BTreeMap::new(),
        ages: BTreeMap::new(),
    };
    let (mut asked, mut errors) = (0, Vec::new());
    for (series, histogram, query) in queries {
        (past.series, past.histogram) = (series, histogram);
        for range in ranges {
            asked += 1;
            let read = match hub.ask(&query, *range, For::History, deadline()).await {
                Ok(answer) => hub.read(&answer, &mut past),
                Err(error) => Err(error),
            };
            errors.extend(read.err().map(|e| e.to_string()));
        }
    }
    if let Some(first) = errors.first() {
        if errors.len() == asked {
            return Err(first.clone());
        }
        tracing::warn!(
            server = %hub.shown, part = about.part.name, failed = errors.len(), asked,
            "a part of the history could not be had: {first}"
        );
    }
    let oldest = settled.oldest(about.interval).as_secs_f64();
    let Past { cells, ages, .. } = past;
    let none = Ages::default();
    Ok(cells
        .into_iter()
        .map(|(at, cells)| {
            let ages = ages.get(&at).unwrap_or(&none);
            (at, make(about.part, cells.iter().filter(|cell| ages.keep(cell, oldest)), &across, false))
        })
        .collect())
}

fn seconds(ms: i64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of any date fit in 53 bits")]
    {
        ms as f64 / 1000.0
    }
}

/// Takes the answers of one part.
struct Past<'a> {
    scheme: &'a Scheme,
    members: &'a Members,
    places: Places,
    /// What is being read; `None`: the pulse.
    series: Option<u16>,
    histogram: bool,
    cells: BTreeMap<i64, Vec<Cell>>,
    /// How old the newest samples were then.
    ages: BTreeMap<i64, Ages>,
}

impl Sink for Past<'_> {
    fn series(&mut self, labels: &Labels<'_>, points: &[(f64, f64)]) {
        let Some(place) = self.places.of(labels, self.scheme, self.members) else { return };
        let le = if self.histogram { labels.get("le").parse().unwrap_or(f64::NAN) } else { f64::NAN };
        if self.histogram && le.is_nan() {
            return;
        }
        for (at, value) in points {
            let at = milliseconds(*at);
            match self.series {
                None => {
                    let age = (seconds(at) - value).max(0.0);
                    self.ages.entry(at).or_default().note(place.instance.as_ref(), age);
                }
                Some(series) => {
                    let cell = Cell { series, instance: place.instance.clone(), le, value: *value };
                    self.cells.entry(at).or_default().push(cell);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(since: i64, until: i64, interval: u64) -> Vec<(i64, i64, i64)> {
        let ranges = ranges(Timestamp(since), Timestamp(until), Duration::from_millis(interval));
        ranges
            .into_iter()
            .filter_map(|range| match range {
                When::Range { from, until, step } => Some((from, until, step)),
                When::Now => None,
            })
            .collect()
    }

    #[test]
    fn ranges_are_whole_steps_and_no_longer_than_allowed() {
        assert_eq!(of(1_000, 61_000, 10_000), [(10_000, 60_000, 10_000)]);
        assert_eq!(of(0, 60_000, 1_000), [(5_000, 60_000, 5_000)], "no finer than 5 s");
        assert_eq!(of(0, 60_000, 7_500), [(8_000, 56_000, 8_000)]);
        assert_eq!(of(60_000, 60_000, 10_000), []);
        assert_eq!(of(70_000, 10_000, 10_000), []);
        let day = of(0, 86_400_000, 5_000);
        assert_eq!(day, [(5_000, 55_000_000, 5_000), (55_005_000, 86_400_000, 5_000)]);
        assert!(day.iter().all(|(from, until, step)| (until - from) / step < MOST_POINTS));
    }
}

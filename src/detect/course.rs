//! The course of one metric: what its last values say that the newest alone does not.
//!
//! A course is fed standardised values ([`Learned`](super::model::Learned) knows the metric's median and deviation) and
//! tells [`NUMBERS`] of the newest one: how far it lies from three exponential means of the past (fast, medium,
//! slow), the mean and the deviation of the last ten minutes, the deviation of the last hour, and how far it lies from
//! the same time of the days before. A second mean that takes in no spike whole tells whether the newest value
//! *itself* is out, or only follows one that was.
//!
//! [`Course::look`] changes nothing; [`Course::take`] takes the value in. While an incident is open only `look` is called:
//! the course then stays that of the time before, and a fault that lasts does not become normal. Memory is bounded by the
//! long window and the slots of the season. Pure; called by the scorer and by training.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// Numbers that a course tells of its newest value.
pub(super) const NUMBERS: usize = 7;
/// Their names, for a saved model's feature list.
pub(super) const NAMES: [&str; NUMBERS] = [
    "from-fast-mean",
    "from-medium-mean",
    "from-slow-mean",
    "mean-10min",
    "deviation-10min",
    "deviation-1h",
    "from-season",
];
/// The place of the season among them.
pub(super) const SEASON: usize = 6;
/// The places of the deviations among them: they have a size and no direction.
pub(super) const DEVIATIONS: [usize; 2] = [4, 5];
/// Weights of the newest value in the three means: half of the past is forgotten after 1, 3 and 14 samples.
const MEANS: [f64; 3] = [0.5, 0.2, 0.05];
/// Weight of the newest value in the mean that takes in no spike whole.
const CALM: f64 = 0.2;
/// Standardised values are cut off here, far beyond what tells anything, so that sums of squares stay exact enough.
const FARTHEST: f64 = 1e6;
/// Weight of the newest day in the profile of a season.
const NEW_DAY: f64 = 0.3;

/// The windows of a model's courses, set at training from the interval of its samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Windows {
    /// Samples of ten minutes.
    pub(super) short: usize,
    /// Samples of an hour.
    pub(super) long: usize,
    /// A silence longer than this parts what was before from what comes, in milliseconds.
    pub(super) silence: i64,
    /// Length of the season, and of its slots, in milliseconds; `None` when there is not enough history.
    pub(super) season: Option<(i64, i64)>,
}

/// What the newest value is, seen from the values before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Look {
    /// The numbers that are measured against training.
    pub(super) numbers: [f64; NUMBERS],
    /// Distance from the mean that takes in no spike whole.
    pub(super) calm: f64,
    /// The standardised value.
    pub(super) z: f64,
    /// Mean of the short and of the long window.
    pub(super) means: (f64, f64),
}

/// What the newest value is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// Nothing was ever seen: the median of training (0) stands for the past.
    Unknown,
    /// A silence lies before it: nothing can be said.
    Parted,
    /// The values before it.
    Going,
}

/// What is remembered of one metric.
#[derive(Clone, Debug)]
pub(super) struct Course {
    start: Start,
    means: [f64; 3],
    calm: f64,
    /// The values of the long window, oldest first.
    last: VecDeque<f64>,
    short: Sums,
    long: Sums,
    /// Values taken in since the sums were made anew.
    since_exact: usize,
    season: Season,
}

/// Sums over a window of values.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    sum: f64,
    squares: f64,
    count: usize,
}

impl Sums {
    fn add(&mut self, v: f64) {
        self.sum += v;
        self.squares += v * v;
        self.count += 1;
    }

    fn remove(&mut self, v: f64) {
        self.sum -= v;
        self.squares -= v * v;
        self.count -= 1;
    }

    fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }

    fn deviation(&self) -> f64 {
        if self.count < 2 {
            return 0.0;
        }
        let n = self.count as f64;
        ((self.squares - self.sum * self.sum / n) / (n - 1.0)).max(0.0).sqrt()
    }
}

/// A mean for each slot of the day, learned day by day.
#[derive(Clone, Debug, Default)]
struct Season {
    profile: Vec<f64>,
    slot: usize,
    sum: f64,
    count: f64,
}

impl Season {
    fn new(windows: &Windows, profile: &[f64]) -> Self {
        let slots = windows.season.map_or(0, |(length, slot)| usize::try_from(length / slot).unwrap_or(0));
        let profile = if profile.len() == slots { profile.to_vec() } else { vec![f64::NAN; slots] };
        Self { profile, slot: usize::MAX, sum: 0.0, count: 0.0 }
    }

    /// What is usual at this time, between the middles of two slots; NaN where nothing is known.
    fn usual(&self, windows: &Windows, at: Timestamp) -> f64 {
        let Some((length, slot)) = windows.season else { return f64::NAN };
        let place = at.0.rem_euclid(length) as f64 / slot as f64 - 0.5;
        let slots = self.profile.len().max(1);
        let before = place.floor();
        let part = place - before;
        // From -1, the last slot of the season before.
        let first = (before as i64).rem_euclid(slots as i64) as usize;
        let known = |slot: usize| self.profile.get(slot % slots).copied().unwrap_or(f64::NAN);
        match (known(first), known(first + 1)) {
            (a, b) if a.is_nan() => b,
            (a, b) if b.is_nan() => a,
            (a, b) => a + part * (b - a),
        }
    }

    fn take(&mut self, windows: &Windows, at: Timestamp, z: f64) {
        let Some((length, slot)) = windows.season else { return };
        let now = usize::try_from(at.0.rem_euclid(length) / slot).unwrap_or(0);
        if now != self.slot {
            self.close();
            self.slot = now;
        }
        self.sum += z;
        self.count += 1.0;
    }

    /// Folds the mean of the slot that is over into the profile.
    fn close(&mut self) {
        if let Some(known) = self.profile.get_mut(self.slot).filter(|_| self.count > 0.0) {
            let mean = self.sum / self.count;
            *known = if known.is_nan() { mean } else { *known + NEW_DAY * (mean - *known) };
        }
        (self.sum, self.count) = (0.0, 0.0);
    }
}

impl Course {
    /// A course that knows nothing but the season.
    pub(super) fn new(windows: &Windows, profile: &[f64]) -> Self {
        Self {
            start: Start::Unknown,
            means: [0.0; 3],
            calm: 0.0,
            last: VecDeque::new(),
            short: Sums::default(),
            long: Sums::default(),
            since_exact: 0,
            season: Season::new(windows, profile),
        }
    }

    /// Forgets the near past; the season stays.
    pub(super) fn begin_anew(&mut self) {
        self.start = Start::Parted;
        self.last.clear();
        (self.short, self.long) = (Sums::default(), Sums::default());
    }

    /// The profile of the season; empty without one.
    pub(super) fn profile(&self) -> &[f64] {
        &self.season.profile
    }

    /// What a value is, seen from the values before it; `None` when it is missing.
    pub(super) fn look(&self, windows: &Windows, at: Timestamp, z: f64) -> Option<Look> {
        if z.is_nan() {
            return None;
        }
        let z = z.clamp(-FARTHEST, FARTHEST);
        let (mut short, mut long) = (self.short, self.long);
        short.add(z);
        long.add(z);
        if short.count > windows.short
            && let Some(oldest) = self.last.len().checked_sub(windows.short).and_then(|i| self.last.get(i))
        {
            short.remove(*oldest);
        }
        if long.count > windows.long
            && let Some(oldest) = self.last.front()
        {
            long.remove(*oldest);
        }
        let parted = self.start == Start::Parted;
        let [fast, medium, slow] = if parted { [0.0; 3] } else { self.means.map(|mean| z - mean) };
        let season = z - self.season.usual(windows, at);
        let numbers = [fast, medium, slow, short.mean(), short.deviation(), long.deviation(), season];
        let calm = if parted { 0.0 } else { z - self.calm };
        Some(Look { numbers, calm, z, means: (short.mean(), long.mean()) })
    }

    /// Takes a value in. `spike` is the distance that the calm mean takes in at most.
    pub(super) fn take(&mut self, windows: &Windows, at: Timestamp, z: f64, spike: f64) {
        if z.is_nan() {
            return;
        }
        let z = z.clamp(-FARTHEST, FARTHEST);
        if self.start == Start::Going {
            for (mean, weight) in self.means.iter_mut().zip(MEANS) {
                *mean += weight * (z - *mean);
            }
            self.calm += CALM * (z - self.calm).clamp(-spike, spike);
        } else {
            (self.means, self.calm, self.start) = ([z; 3], z, Start::Going);
        }
        if self.last.len() >= windows.long
            && let Some(oldest) = self.last.pop_front()
        {
            self.long.remove(oldest);
        }
        self.last.push_back(z);
        self.long.add(z);
        self.short.add(z);
        if self.short.count > windows.short
            && let Some(oldest) = self.last.len().checked_sub(windows.short + 1).and_then(|i| self.last.get(i))
        {
            self.short.remove(*oldest);
        }
        self.since_exact += 1;
        if self.since_exact >= windows.long {
            self.add_up();
        }
        self.season.take(windows, at, z);
    }

    /// Sums that are only added to and taken from gather rounding errors; once a window they are made anew.
    fn add_up(&mut self) {
        self.since_exact = 0;
        let count = self.short.count;
        (self.short, self.long) = (Sums::default(), Sums::default());
        self.last.iter().for_each(|v| self.long.add(*v));
        self.last.iter().rev().take(count).for_each(|v| self.short.add(*v));
    }
}

//! For tests: series of which it is known whether, and when, they cross their limit; and the score of the forecasts.
//!
//! All is told by time, so that a series is the same process at whatever interval it is sampled. The limit is 100;
//! heights are parts of the way from the usual level to it. Half of the series are turned upside down.

use std::fmt;

use super::Outlook;
use crate::detect::sim::Dice;
use crate::model::Timestamp;

/// What the metric does besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noise {
    White,
    /// AR(1), forgotten within 30 s to 5 min.
    Alike,
    Diurnal,
    Quantised,
    /// The teeth of a garbage collector, one in 2 to 20 min.
    Teeth,
    Walk,
    Bursts,
    Missing,
}

pub(super) const NOISES: [Noise; 8] = [
    Noise::White,
    Noise::Alike,
    Noise::Diurnal,
    Noise::Quantised,
    Noise::Teeth,
    Noise::Walk,
    Noise::Bursts,
    Noise::Missing,
];

/// Where the metric goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To the limit in so many minutes, and on.
    Ramp(u32),
    /// Nowhere.
    Flat,
    /// Up at once, and stays.
    Step,
    /// A ramp of 20 min to 4 h that ends at 30 to 70 % of the way, as a cache that fills.
    Stops,
    /// Teeth of 1 to 6 h that reach 40 to 90 % of the way: a job, or a leak with a restart at night.
    LongTeeth,
    /// A day's tide up to 40 to 90 % of the way.
    Tide,
    /// A walk that is not held back, of 5 to 25 % of the way in an hour.
    WildWalk,
}

pub(super) const NO_RAMPS: [Way; 6] = [Way::Flat, Way::Step, Way::Stops, Way::LongTeeth, Way::Tide, Way::WildWalk];

pub(super) struct Series {
    /// Time in seconds, and the value; NaN for a missing one.
    pub(super) values: Vec<(f64, f64)>,
    pub(super) limit: f64,
    pub(super) above: bool,
    /// When 3 of 5 values in a row are beyond the limit for the first time, bursts apart.
    pub(super) crosses: Option<f64>,
}

pub(super) fn series(seed: u64, way: Way, noise: Noise, interval: f64) -> Series {
    let mut dice = Dice::new(seed);
    let dice = &mut dice;
    let usual = dice.between(20.0, 70.0);
    let height = 100.0 - usual;
    let hour = 3600.0;
    let quiet = dice.between(0.5, 4.0) * hour;
    let lasts = match way {
        Way::Ramp(minutes) => quiet + f64::from(minutes) * 60.0 * 1.3 + 600.0,
        Way::Tide => 40.0 * hour,
        Way::LongTeeth => 18.0 * hour,
        _ => dice.between(5.0, 8.0) * hour,
    };
    let deviation = dice.between(0.005, 0.03);
    let forgets = dice.between(30.0, 300.0);
    let (tide, phase) = (dice.between(0.05, 0.2), dice.unit() * std::f64::consts::TAU);
    let grain = dice.between(0.02, 0.05);
    let (tooth, bite) = (dice.between(120.0, 1200.0), dice.between(0.05, 0.15));
    let steps = if way == Way::WildWalk { dice.between(0.05, 0.25) } else { dice.between(0.02, 0.08) };
    let (goes_to, takes) = (dice.between(0.3, 0.7), dice.between(20.0, 240.0) * 60.0);
    let (long, up_to) = (dice.between(1.0, 6.0) * hour, dice.between(0.4, 0.9));
    let (mut alike, mut walk, mut burst) = (0.0, 0.0_f64, (0, 0.0));
    let gap = quiet + dice.between(0.0, 1800.0);
    let down = dice.unit() < 0.5;
    let (mut values, mut calm) = (Vec::new(), Vec::new());
    let mut t = 0.0;
    while t < lasts {
        let way_made = match way {
            Way::Ramp(minutes) => ((t - quiet) / f64::from(minutes) / 60.0).max(0.0),
            Way::Flat | Way::WildWalk => 0.0,
            Way::Step => {
                if t < quiet {
                    0.0
                } else {
                    goes_to
                }
            }
            Way::Stops => ((t - quiet) / takes).clamp(0.0, 1.0) * goes_to,
            Way::LongTeeth => (t / long + phase / std::f64::consts::TAU).fract() * up_to,
            Way::Tide => up_to * 0.5 * (1.0 + (t / hour / 24.0 * std::f64::consts::TAU + phase).sin()),
        };
        let keeps = (-interval / forgets).exp();
        alike = alike * keeps + dice.normal() * deviation * (1.0 - keeps * keeps).sqrt();
        walk += dice.normal() * steps * (interval / hour).sqrt();
        if way == Way::WildWalk {
            walk = walk.abs();
        }
        let white = deviation * dice.normal();
        burst = if dice.unit() < 0.01 { (1 + (dice.unit() * 2.0) as i32, dice.between(0.2, 0.8)) } else { burst };
        burst.0 -= 1;
        let besides = match noise {
            Noise::White | Noise::Missing | Noise::Quantised => white,
            Noise::Alike => alike,
            Noise::Diurnal => tide * (t / hour / 24.0 * std::f64::consts::TAU + phase).sin() + 0.5 * white,
            Noise::Teeth => bite * (t / tooth).fract() + 0.3 * white,
            Noise::Walk => walk + 0.3 * white,
            Noise::Bursts => 0.5 * white + if burst.0 >= 0 { burst.1 } else { 0.0 },
        };
        let mut value = usual
            + height * (way_made + besides + if way == Way::WildWalk && noise != Noise::Walk { walk } else { 0.0 });
        if noise == Noise::Quantised {
            value = (value / height / grain).round() * height * grain;
        }
        if noise == Noise::Missing && (dice.unit() < 0.15 || (gap..gap + 240.0).contains(&t)) {
            value = f64::NAN;
        }
        values.push((t, if down { -value } else { value }));
        if !value.is_nan() {
            let burst = if noise == Noise::Bursts && burst.0 >= 0 { height * burst.1 } else { 0.0 };
            calm.push((t, value - burst));
        }
        t += interval;
    }
    let crosses = calm.windows(5).find(|w| w.iter().filter(|v| v.1 >= 100.0).count() >= 3).map(|w| w[2].0);
    Series { values, limit: if down { -100.0 } else { 100.0 }, above: !down, crosses }
}

/// Least time between two questions, in seconds: as long as the finest bucket is filled, the answer is the same.
const ASKED: f64 = 3.0;

/// What became of the warnings of one or more series. An episode is a run of samples with a forecast.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Score {
    pub(super) series: u32,
    /// Episodes whose series crossed after at most twice the time told, and of these those that took at least half.
    pub(super) right: u32,
    pub(super) close: u32,
    /// All other episodes: no crossing, one much later, or one that had happened.
    pub(super) wrong: u32,
    /// Series that crossed, and those with a right episode that began at least 5 minutes before.
    pub(super) crossed: u32,
    pub(super) early: u32,
    /// Seconds ahead of the first right episodes.
    pub(super) ahead: f64,
    pub(super) warned: u32,
}

impl Score {
    pub(super) fn of(series: &Series) -> Self {
        let mut outlook = Outlook::new();
        let mut score = Self { series: 1, crossed: u32::from(series.crosses.is_some()), ..Self::default() };
        let (mut on, mut asked) = (false, f64::NEG_INFINITY);
        for (t, value) in &series.values {
            outlook.push(Timestamp(1_700_000_000_000 + (t * 1000.0) as i64), *value);
            if t - asked < ASKED {
                continue;
            }
            asked = *t;
            let crossing = outlook.crossing(series.limit, series.above);
            if let Some(crossing) = crossing.filter(|_| !on) {
                let told = crossing.within.as_secs_f64();
                match series.crosses.map(|crosses| crosses - t) {
                    Some(took) if took >= 0.0 && took <= 2.0 * told => {
                        score.right += 1;
                        score.close += u32::from(took >= 0.5 * told);
                        if score.warned == 0 {
                            (score.warned, score.ahead) = (1, took);
                        }
                        score.early = score.early.max(u32::from(took >= 300.0));
                    }
                    _ => score.wrong += 1,
                }
            }
            on = crossing.is_some();
        }
        score
    }

    pub(super) fn add(&mut self, other: Self) {
        self.series += other.series;
        self.right += other.right;
        self.close += other.close;
        self.wrong += other.wrong;
        self.crossed += other.crossed;
        self.early += other.early;
        self.ahead += other.ahead;
        self.warned += other.warned;
    }

    pub(super) fn precision(&self) -> f64 {
        f64::from(self.right) / f64::from(self.right + self.wrong).max(1.0)
    }

    pub(super) fn recall(&self) -> f64 {
        f64::from(self.early) / f64::from(self.crossed).max(1.0)
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { series, right, close, wrong, crossed, early, .. } = self;
        write!(f, "{series:6} {right:6} {close:6} {wrong:6} {crossed:8} {early:6} ")?;
        let ahead = self.ahead / 60.0 / f64::from(self.warned.max(1));
        write!(f, "{:10.2} {:7.2} {ahead:14.1}", self.precision(), self.recall())
    }
}

//! From readings to the beginning, worsening and end of an incident: k of n, with hysteresis.
//!
//! Pure. Called by the composition root for each reading of one service; the incident stage is told the signals. A
//! sample that did not come is neither normal nor anomalous, and neither is a reading that repeats the time of the one
//! before it (see [`Detector::observe`](super::Detector::observe)).

use std::collections::VecDeque;
use std::time::Duration;

use super::DetectSettings;
use super::drivers::{LEAST_SHARE, MOST};
use crate::model::{Driver, Reading, Severity, Timestamp, Trend};

/// A silence longer than this many times the last interval parts the anomalies before it from those after: what
/// happened in between is not known, and "since" must not reach across it.
const SILENCE: u32 = 20;

/// What a reading changes. Each carries the most telling reading: the one of highest risk, with the drivers of the
/// whole streak merged into it (shares averaged by risk).
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// Enough of the last readings were anomalous.
    Raised {
        /// The first anomalous sample of the streak.
        since: Timestamp,
        /// The most telling reading so far.
        reading: Reading,
    },
    /// It became more severe than was said, for two samples in a row.
    Worsened {
        /// The most telling reading since it was raised.
        reading: Reading,
    },
    /// Enough readings in a row were normal.
    Cleared {
        /// When the first of them was.
        since: Timestamp,
        /// The most telling reading of the time between, if one was seen by this watch.
        reading: Option<Reading>,
    },
}

/// Watches the readings of one service.
#[derive(Clone, Debug)]
pub struct Watch {
    raise: usize,
    of: usize,
    clear: usize,
    /// The last `of` readings; `Some` for anomalies.
    votes: VecDeque<(Timestamp, Option<Reading>)>,
    /// Time of the last reading, and how long after its forerunner it came.
    last: Option<(Timestamp, Duration)>,
    open: Option<Open>,
}

#[derive(Clone, Debug)]
struct Open {
    /// The worst that was said.
    severity: Severity,
    telling: Option<Reading>,
    /// Normal readings in a row, and the time of the first.
    normal: Option<(usize, Timestamp)>,
    /// Of the last reading.
    before: Severity,
}

impl Watch {
    /// A watch over a service that is well.
    #[must_use]
    pub fn new(settings: &DetectSettings) -> Self {
        let of = settings.of.max(1);
        Self {
            raise: settings.raise.clamp(1, of),
            of,
            clear: settings.clear.max(1),
            votes: VecDeque::new(),
            last: None,
            open: None,
        }
    }

    /// A watch over a service that has an open incident of this severity: after a restart.
    #[must_use]
    pub fn resumed(settings: &DetectSettings, severity: Severity) -> Self {
        Self {
            open: Some(Open { severity, telling: None, normal: None, before: Severity::None }),
            ..Self::new(settings)
        }
    }

    /// Is it raised?
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.open.is_some()
    }

    /// Takes the next reading; tells what it changes.
    pub fn push(&mut self, reading: &Reading) -> Option<Signal> {
        if !self.is_new(reading.at) {
            return None;
        }
        match &mut self.open {
            Some(open) => {
                let signal = open.push(reading, self.clear);
                if matches!(signal, Some(Signal::Cleared { .. })) {
                    self.open = None;
                    self.votes.clear();
                }
                signal
            }
            None => self.vote(reading),
        }
    }

    /// Is this the reading of a new sample? A silence before it begins the votes anew.
    fn is_new(&mut self, at: Timestamp) -> bool {
        let Some((last, usual)) = self.last else {
            self.last = Some((at, Duration::ZERO));
            return true;
        };
        let gap = at.since(last);
        let silence = !usual.is_zero() && gap > usual.saturating_mul(SILENCE);
        if silence {
            self.votes.clear();
        }
        if at != last {
            self.last = Some((at, if silence { usual } else { gap }));
        }
        at != last
    }

    fn vote(&mut self, reading: &Reading) -> Option<Signal> {
        if self.votes.len() == self.of {
            self.votes.pop_front();
        }
        self.votes.push_back((reading.at, reading.is_anomaly().then(|| reading.clone())));
        let anomalies: Vec<&Reading> = self.votes.iter().filter_map(|(_, anomaly)| anomaly.as_ref()).collect();
        if anomalies.len() < self.raise {
            return None;
        }
        let since = anomalies.first()?.at;
        let telling = most_telling(&anomalies)?;
        self.votes.clear();
        let (severity, before) = (telling.severity, reading.severity);
        self.open = Some(Open { severity, telling: Some(telling.clone()), normal: None, before });
        Some(Signal::Raised { since, reading: telling })
    }
}

impl Open {
    fn push(&mut self, reading: &Reading, clear: usize) -> Option<Signal> {
        let before = std::mem::replace(&mut self.before, reading.severity);
        if !reading.is_anomaly() {
            let (count, since) = self.normal.map_or((1, reading.at), |(count, since)| (count + 1, since));
            self.normal = Some((count, since));
            return (count >= clear).then(|| Signal::Cleared { since, reading: self.telling.take() });
        }
        self.normal = None;
        match &self.telling {
            Some(telling) if telling.risk >= reading.risk => {}
            Some(telling) => self.telling = most_telling(&[telling, reading]),
            None => self.telling = Some(reading.clone()),
        }
        let both = before.min(reading.severity);
        if both <= self.severity {
            return None;
        }
        self.severity = both;
        Some(Signal::Worsened { reading: self.telling.clone()? })
    }
}

/// The reading of highest risk, the later of two equals, with the drivers of all; `None` of none.
fn most_telling(readings: &[&Reading]) -> Option<Reading> {
    let worst = readings.iter().max_by(|a, b| a.risk.total_cmp(&b.risk))?;
    let total: f64 = readings.iter().map(|r| r.risk).sum();
    let mut merged: Vec<(Driver, f64)> = Vec::new();
    let others = readings.iter().filter(|r| !std::ptr::eq::<Reading>(**r, *worst));
    for reading in std::iter::once(worst).chain(others) {
        for driver in &reading.drivers {
            let part = driver.share * reading.risk / total.max(f64::MIN_POSITIVE);
            match merged.iter_mut().find(|(known, _)| known.metric == driver.metric) {
                Some((_, share)) => *share += part,
                None => merged.push((driver.clone(), part)),
            }
        }
    }
    merged.sort_by(|a, b| b.1.total_cmp(&a.1));
    let drivers = merged.into_iter().filter(|(_, share)| *share >= LEAST_SHARE).take(MOST);
    // The worst sample may be the first, which shows no trend yet.
    let newest = readings.iter().max_by_key(|r| r.at)?;
    let trend = |driver: &Driver| match driver.trend {
        Trend::Steady => newest.drivers.iter().find(|d| d.metric == driver.metric).map_or(Trend::Steady, |d| d.trend),
        trend => trend,
    };
    let drivers = drivers.map(|(driver, share)| Driver { share, trend: trend(&driver), ..driver }).collect();
    Some(Reading { drivers, ..(*worst).clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Judge;

    fn driver(metric: &str, share: f64) -> Driver {
        Driver {
            metric: metric.to_owned(),
            share,
            value: 2.0,
            normal: 1.0,
            low: 0.5,
            high: 1.5,
            unit: String::new(),
            trend: Trend::Step,
            recent: vec![1.0, 2.0],
            instance: None,
        }
    }

    /// A reading at second `at`; normal below risk 50.
    fn reading(at: i64, risk: f64) -> Reading {
        Reading {
            service: "shop".into(),
            at: Timestamp(at * 1000),
            score: risk / 50.0,
            threshold: 1.0,
            risk,
            severity: if risk > 50.0 { Severity::of_risk(risk) } else { Severity::None },
            drivers: if risk > 50.0 { vec![driver("latency", 1.0)] } else { vec![] },
            judge: Judge::Model { version: 1 },
            ahead: Vec::new(),
        }
    }

    /// Pushes one reading a second; tells the seconds at which something was signalled.
    fn run(watch: &mut Watch, start: i64, risks: &[f64]) -> Vec<(i64, Signal)> {
        let readings = risks.iter().zip(start..).map(|(risk, at)| reading(at, *risk));
        readings.filter_map(|r| watch.push(&r).map(|signal| (r.at.0 / 1000, signal))).collect()
    }

    fn watch() -> Watch {
        Watch::new(&DetectSettings::default())
    }

    #[test]
    fn three_of_five_raise_and_the_first_of_them_is_since() {
        let mut watch = watch();
        let signals = run(&mut watch, 0, &[60.0, 10.0, 10.0, 10.0, 60.0, 10.0, 70.0, 60.0]);
        let [(7, Signal::Raised { since, reading })] = signals.as_slice() else { panic!("{signals:?}") };
        assert_eq!((since.0, reading.risk), (4000, 70.0));
    }

    #[test]
    fn two_of_five_do_not_raise() {
        assert!(run(&mut watch(), 0, &[60.0, 10.0, 60.0, 10.0, 10.0].repeat(20)).is_empty());
    }

    #[test]
    fn five_normal_in_a_row_clear_and_four_do_not() {
        let mut watch = watch();
        run(&mut watch, 0, &[60.0; 3]);
        assert!(run(&mut watch, 3, &[10.0, 10.0, 10.0, 10.0, 60.0, 10.0, 10.0, 10.0, 10.0]).is_empty());
        let signals = run(&mut watch, 12, &[10.0, 10.0]);
        let [(12, Signal::Cleared { since, reading: Some(worst) })] = signals.as_slice() else { panic!("{signals:?}") };
        assert_eq!((since.0, worst.risk), (8000, 60.0));
        assert!(!watch.is_raised());
        assert!(run(&mut watch, 14, &[60.0, 60.0]).is_empty(), "a new incident needs its own votes");
    }

    #[test]
    fn worse_for_two_samples_is_said_once() {
        let mut watch = watch();
        run(&mut watch, 0, &[60.0; 3]);
        let signals = run(&mut watch, 3, &[95.0, 60.0, 70.0, 85.0, 85.0, 85.0, 70.0]);
        let said: Vec<i64> = signals.iter().map(|(at, _)| *at).collect();
        assert_eq!(said, [6, 7], "{signals:?}");
        let Some((_, Signal::Worsened { reading })) = signals.last() else { panic!("{signals:?}") };
        assert_eq!(reading.risk, 95.0, "the most telling one");
    }

    #[test]
    fn a_sample_that_did_not_come_is_neither() {
        let mut watch = watch();
        assert!(run(&mut watch, 0, &[10.0, 60.0, 60.0]).is_empty());
        assert!(run(&mut watch, 2, &[60.0]).is_empty(), "the same sample again");
        assert_eq!(run(&mut watch, 10, &[60.0]).len(), 1, "seven rounds were missed");
    }

    #[test]
    fn since_does_not_reach_across_a_long_silence() {
        let mut watch = watch();
        run(&mut watch, 0, &[10.0, 60.0, 60.0]);
        let signals = run(&mut watch, 7200, &[60.0, 60.0, 60.0]);
        let [(7202, Signal::Raised { since, .. })] = signals.as_slice() else { panic!("{signals:?}") };
        assert_eq!(since.0, 7_200_000);
    }

    #[test]
    fn an_open_incident_survives_a_restart() {
        let mut watch = Watch::resumed(&DetectSettings::default(), Severity::Medium);
        assert!(run(&mut watch, 0, &[60.0; 5]).is_empty(), "it is already open");
        let signals = run(&mut watch, 5, &[85.0, 85.0, 10.0, 10.0, 10.0, 10.0, 10.0]);
        assert!(
            matches!(signals.as_slice(), [(6, Signal::Worsened { .. }), (11, Signal::Cleared { .. })]),
            "{signals:?}"
        );
    }

    #[test]
    fn the_drivers_of_a_streak_are_merged() {
        let mut watch = watch();
        let mut readings: Vec<Reading> = (0..3).map(|at| reading(at, 60.0)).collect();
        readings[0].drivers = vec![driver("errors", 0.9), driver("cpu", 0.02)];
        let signal = readings.iter().find_map(|r| watch.push(r));
        let Some(Signal::Raised { reading, .. }) = signal else { panic!("{signal:?}") };
        let drivers: Vec<(&str, f64)> = reading.drivers.iter().map(|d| (d.metric.as_str(), d.share)).collect();
        assert_eq!(drivers.len(), 2, "{drivers:?}");
        assert!(drivers[0].0 == "latency" && (drivers[0].1 - 2.0 / 3.0).abs() < 1e-9, "{drivers:?}");
        assert!(drivers[1].0 == "errors" && (drivers[1].1 - 0.3).abs() < 1e-9, "{drivers:?}");
    }
}

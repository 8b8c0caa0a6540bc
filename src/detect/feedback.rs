//! What people's word "that was a false alarm" means for the threshold of what the model finds.
//!
//! Each false alarm raises the *tolerance*, the factor by which the model's threshold is multiplied: far enough that
//! the same would not be raised again, by a tenth at least (or the word would mean nothing), by a half at most (or one
//! slip of a finger would make Suture deaf), and never above [`MOST`]. What was raised goes back by half every
//! [`HALF_LIFE`], so that a service that changed is not watched less closely for ever.
//!
//! Pure. Must never touch what a person set: limits and lost sources know no tolerance. Called by the detector for each
//! sample, and by the composition root to say what a word has changed.

use std::time::Duration;

use crate::model::{FalseAlarm, Timestamp};

/// The greatest tolerance. What is four times as unusual as the threshold is an incident whatever was said before.
pub const MOST: f64 = 4.0;
/// Time in which half of what was raised is gone again: a month, in which most services change more than once.
pub const HALF_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// One false alarm raises by this factor at least,
const LEAST_STEP: f64 = 1.1;
/// and by this one at most.
const MOST_STEP: f64 = 1.5;
/// What was raised falsely stays this far below the threshold when it comes again.
const MARGIN: f64 = 1.05;

/// What people have said of one service's incidents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Feedback {
    /// In the order in which they were said.
    alarms: Vec<FalseAlarm>,
}

impl Feedback {
    /// From the false alarms of one service, in the order in which they were said.
    #[must_use]
    pub fn new(alarms: Vec<FalseAlarm>) -> Self {
        Self { alarms }
    }

    /// The false alarms that it rests on.
    #[must_use]
    pub fn alarms(&self) -> &[FalseAlarm] {
        &self.alarms
    }

    /// How many times as unusual as usual a sample must be now before the model calls it an anomaly: 1 to [`MOST`].
    #[must_use]
    pub fn tolerance(&self, now: Timestamp) -> f64 {
        let (mut tolerance, mut at) = (1.0, None);
        for alarm in &self.alarms {
            let before = faded(tolerance, at, alarm.at);
            // A score that is no number says as little as one at the threshold.
            let wanted = if alarm.score.is_nan() { 1.0 } else { alarm.score * MARGIN };
            tolerance = (before * LEAST_STEP).max(wanted.min(before * MOST_STEP)).min(MOST);
            at = Some(alarm.at);
        }
        faded(tolerance, at, now)
    }
}

/// What is left of a tolerance after the time between. A clock that was set back fades nothing.
fn faded(tolerance: f64, since: Option<Timestamp>, now: Timestamp) -> f64 {
    let age = since.map_or(Duration::ZERO, |since| now.since(since));
    1.0 + (tolerance - 1.0) * 0.5_f64.powf(age.as_secs_f64() / HALF_LIFE.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::IncidentId;

    const DAY: i64 = 24 * 3600 * 1000;

    fn said(alarms: &[(i64, f64)]) -> Feedback {
        let alarm = |(day, score): &(i64, f64)| FalseAlarm {
            at: Timestamp(day * DAY),
            incident: IncidentId(1),
            score: *score,
            metrics: Vec::new(),
        };
        Feedback::new(alarms.iter().map(alarm).collect())
    }

    fn on_day(day: i64, alarms: &[(i64, f64)]) -> f64 {
        let tolerance = said(alarms).tolerance(Timestamp(day * DAY));
        (tolerance * 1000.0).round() / 1000.0
    }

    #[test]
    fn without_a_word_nothing_is_tolerated() {
        assert_eq!(on_day(7, &[]), 1.0);
    }

    #[test]
    fn the_same_would_not_be_raised_again() {
        assert_eq!(on_day(0, &[(0, 1.2)]), 1.26);
        assert!(on_day(0, &[(0, 1.4)]) > 1.4);
    }

    #[test]
    fn a_word_counts_a_tenth_at_least_and_a_half_at_most() {
        assert_eq!(on_day(0, &[(0, 1.0)]), 1.1);
        assert_eq!(on_day(0, &[(0, 0.0)]), 1.1);
        assert_eq!(on_day(0, &[(0, 30.0)]), 1.5);
        assert_eq!(on_day(0, &[(0, f64::INFINITY)]), 1.5);
        assert_eq!(on_day(0, &[(0, f64::NAN)]), 1.1);
    }

    #[test]
    fn words_add_up_and_end_at_four() {
        assert_eq!(on_day(0, &[(0, 1.2), (0, 1.2)]), 1.386);
        assert_eq!(on_day(0, &[(0, 1.2), (0, 1.6)]), 1.68);
        assert_eq!(on_day(0, &[(0, 9.0); 20]), MOST);
    }

    #[test]
    fn half_of_it_is_gone_after_thirty_days() {
        assert_eq!(on_day(30, &[(0, 30.0)]), 1.25);
        assert_eq!(on_day(60, &[(0, 30.0)]), 1.125);
        assert_eq!(on_day(30, &[(0, 30.0), (30, 30.0)]), 1.875);
        assert_eq!(on_day(36_500, &[(0, 30.0)]), 1.0);
    }

    #[test]
    fn a_clock_that_was_set_back_fades_nothing() {
        assert_eq!(on_day(0, &[(400, 30.0)]), 1.5);
        assert_eq!(on_day(0, &[(400, 30.0), (0, 30.0)]), 2.25);
    }

    proptest! {
        #[test]
        fn it_is_always_between_one_and_four(
            alarms in prop::collection::vec((-400..400_i64, any::<f64>()), 0..60),
            day in any::<i32>(),
        ) {
            let tolerance = said(&alarms).tolerance(Timestamp(i64::from(day) * DAY));
            prop_assert!((1.0..=MOST).contains(&tolerance), "{tolerance}");
        }

        #[test]
        fn a_word_never_makes_it_stricter(
            alarms in prop::collection::vec((0..400_i64, 0.0..9.0_f64), 0..60),
            score in 0.0..9.0_f64,
        ) {
            let before = said(&alarms).tolerance(Timestamp(400 * DAY));
            let after = said(&[&alarms[..], &[(400, score)]].concat()).tolerance(Timestamp(400 * DAY));
            prop_assert!(after >= before, "{before} {after}");
        }
    }
}

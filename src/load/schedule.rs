//! When users ask, known before anybody asks: the arrivals of a run, in order of time.
//!
//! A user's next request comes when it has thought, whether the last one was answered or not. So a service that slows
//! down is asked as often as before, and what waits behind a stall is measured from when it should have been sent: this
//! is free of coordinated omission (Gil Tene, "How NOT to Measure Latency"). Needs memory for the users alone, however
//! long the run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use rand::{Rng as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::ITEMS;
use super::plan::{Group, Run};

/// One request that is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    /// How long after the start.
    pub at: Duration,
    /// What is asked for.
    pub item: u32,
}

/// What a user thinks and asks for: the same for the same seed, group and number.
pub(super) struct Mind {
    random: Xoshiro256PlusPlus,
    think: Duration,
}

impl Mind {
    pub(super) fn new(seed: u64, user: u64, think: Duration) -> Self {
        // Seeds that lie side by side are spread by the generator's own seeding.
        let random = Xoshiro256PlusPlus::seed_from_u64(seed ^ user.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Self { random, think }
    }

    pub(super) fn think(&mut self) -> Duration {
        self.think.mul_f64(0.5 + self.random.gen_range(0.0..1.0))
    }

    pub(super) fn item(&mut self) -> u32 {
        self.random.gen_range(0..ITEMS)
    }
}

/// A user of a run: its mind, when it comes and when it goes.
pub(super) struct User {
    pub mind: Mind,
    pub from: Duration,
    pub until: Duration,
}

/// The users of a run. Within a group they come evenly spread over its ramp, as JMeter's threads do.
pub(super) fn users(run: &Run, seed: u64) -> Vec<User> {
    let mut all = Vec::new();
    for (group, from, until) in run.groups() {
        let Group { users, ramp, think, .. } = group;
        for n in 0..users {
            let from = from + ramp * n / users;
            let mind = Mind::new(seed, all.len() as u64, think);
            all.push(User { mind, from, until });
        }
    }
    all
}

/// The arrivals, in order of time.
pub struct Schedule {
    users: Vec<User>,
    next: BinaryHeap<Reverse<(Duration, usize)>>,
}

impl Schedule {
    /// The arrivals of this run; the same for the same seed.
    #[must_use]
    pub fn new(run: &Run, seed: u64) -> Self {
        let mut schedule = Self { users: users(run, seed), next: BinaryHeap::new() };
        for index in 0..schedule.users.len() {
            let from = schedule.users.get(index).map_or(Duration::ZERO, |user| user.from);
            schedule.plan(index, from);
        }
        schedule
    }

    /// Puts a user's next request in, a thought after `since`. One that should come after the user is gone never does.
    fn plan(&mut self, index: usize, since: Duration) {
        let Some(user) = self.users.get_mut(index) else { return };
        let at = since + user.mind.think();
        if at < user.until {
            self.next.push(Reverse((at, index)));
        }
    }
}

impl Iterator for Schedule {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let Reverse((at, index)) = self.next.pop()?;
        let item = self.users.get_mut(index)?.mind.item();
        self.plan(index, at);
        Some(Arrival { at, item })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Plan;
    use super::*;

    fn arrivals(plan: &str, seconds: u64, seed: u64) -> Vec<Arrival> {
        let run = Plan::named(plan).unwrap().lasting(Duration::from_secs(seconds)).unwrap();
        Schedule::new(&run, seed).collect()
    }

    fn between(arrivals: &[Arrival], from: u64, until: u64) -> f64 {
        let within = arrivals.iter().filter(|a| (from..until).contains(&a.at.as_secs())).count();
        within as f64 / (until - from) as f64
    }

    #[test]
    fn it_is_in_order_and_ends_and_asks_as_often_as_the_users_do() {
        let all = arrivals("normal", 60, 1);
        assert!(all.is_sorted_by_key(|a| a.at));
        assert!(all.last().unwrap().at < Duration::from_secs(60));
        assert!(all.iter().all(|a| a.item < ITEMS));
        let rate = between(&all, 10, 60);
        assert!((rate - 100.0 / 0.75).abs() < 5.0, "{rate}");
        // While they still come it is less.
        assert!(between(&all, 0, 2) < rate / 2.0);
    }

    #[test]
    fn a_spike_comes_and_goes() {
        let all = arrivals("spike", 30, 1);
        let (before, within, after) = (between(&all, 6, 10), between(&all, 14, 20), between(&all, 20, 30));
        assert!(within > 8.0 * before && within > 8.0 * after, "{before} {within} {after}");
    }

    #[test]
    fn the_same_seed_is_the_same_load_and_another_is_not() {
        assert_eq!(arrivals("stress", 6, 7), arrivals("stress", 6, 7));
        assert_ne!(arrivals("stress", 6, 7), arrivals("stress", 6, 8));
    }
}

//! The plans: who comes, how fast, how long they think. The same figures stand in `jmeter/*.jmx`; a test holds them equal.
//!
//! They are made for the sample shop. Its two workers give about 340 uncached answers a second and no more, so users have
//! to think about as long as they do here: what each plan asks for is in `jmeter/README.md`.

use std::time::Duration;

/// Users of one kind, who come and go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// How many there are once all have come.
    pub users: u32,
    /// How long it takes until all have come.
    pub ramp: Duration,
    /// How long a user thinks between two requests, on average: from half as long to half as long again, evenly.
    pub think: Duration,
    /// When they begin to come and when they go, in thirds of the plan's duration.
    pub thirds: (u32, u32),
}

/// What a plan's figures have to be within.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Requests that may fail, of a hundred.
    pub errors_percent: f64,
    /// The 95th percentile of the latency.
    pub p95: Duration,
}

/// One plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Its name on the command line, and its file's in `jmeter/`.
    pub name: &'static str,
    /// What it is for, in a line.
    pub about: &'static str,
    /// Who comes.
    pub groups: &'static [Group],
    /// How long it takes unless somebody says otherwise.
    pub duration: Duration,
    /// What its figures have to be within.
    pub limits: Limits,
    /// The shop has to be healed to stay within them: without healing they are shown and not judged.
    pub needs_healing: bool,
}

const fn all_along(users: u32, ramp_s: u64, think_ms: u64) -> Group {
    Group { users, ramp: Duration::from_secs(ramp_s), think: Duration::from_millis(think_ms), thirds: (0, 3) }
}

/// All plans, in the order in which they are run.
pub const PLANS: [Plan; 4] = [
    Plan {
        name: "normal",
        about: "what two workers carry with ease",
        groups: &[all_along(100, 5, 750)],
        duration: Duration::from_secs(60),
        limits: Limits { errors_percent: 1.0, p95: Duration::from_millis(250) },
        needs_healing: false,
    },
    Plan {
        name: "stress",
        about: "more than two workers carry: the shop has to scale out",
        groups: &[all_along(500, 10, 1000)],
        duration: Duration::from_secs(60),
        limits: Limits { errors_percent: 5.0, p95: Duration::from_millis(350) },
        needs_healing: true,
    },
    Plan {
        name: "spike",
        about: "a crowd comes in the middle third and goes again",
        groups: &[
            all_along(100, 5, 1500),
            Group { users: 900, ramp: Duration::from_secs(2), think: Duration::from_millis(1500), thirds: (1, 2) },
        ],
        duration: Duration::from_secs(60),
        limits: Limits { errors_percent: 10.0, p95: Duration::from_millis(500) },
        needs_healing: true,
    },
    Plan {
        name: "soak",
        about: "little load for long: what leaks shows",
        groups: &[all_along(50, 5, 500)],
        duration: Duration::from_secs(600),
        limits: Limits { errors_percent: 1.0, p95: Duration::from_millis(250) },
        needs_healing: false,
    },
];

impl Plan {
    /// The plan of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PLANS.iter().find(|plan| plan.name == name)
    }

    /// Users at the most crowded moment.
    #[must_use]
    pub fn users(&self) -> u32 {
        self.groups.iter().map(|group| group.users).sum()
    }

    /// Requests a second at the most crowded moment, were every answer there at once.
    #[must_use]
    pub fn peak_rate(&self) -> f64 {
        self.groups.iter().map(|group| f64::from(group.users) / group.think.as_secs_f64()).sum()
    }

    /// This plan for so long, in whole seconds, for JMeter knows no parts of them.
    ///
    /// # Errors
    /// [`Short`] when that is too short for it to mean anything.
    pub fn lasting(&'static self, duration: Duration) -> Result<Run, Short> {
        let whole = Duration::from_secs(duration.as_secs());
        if whole < Run::SHORTEST || whole > Run::LONGEST {
            return Err(Short(duration));
        }
        Ok(Run { plan: self, duration: whole })
    }
}

/// Such a duration cannot be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a plan lasts from 3 s to 7 days, not {}", humantime::format_duration(*.0))]
pub struct Short(Duration);

/// A plan with the duration it is run for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    plan: &'static Plan,
    duration: Duration,
}

impl Run {
    /// A second for each third.
    const SHORTEST: Duration = Duration::from_secs(3);
    /// Longer soaks than a week are an operation, not a bench.
    const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &'static Plan {
        self.plan
    }

    /// How long it is run for.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// The groups, with when they begin to come and when they go. All have come after a quarter of their time at the
    /// latest: in a short run the ramp is shorter. In whole seconds, as `jmeter/run.sh` does it too.
    pub fn groups(&self) -> impl Iterator<Item = (Group, Duration, Duration)> {
        let third = |n: u32| Duration::from_secs((self.duration * n / 3).as_secs());
        self.plan.groups.iter().map(move |group| {
            let (from, until) = (third(group.thirds.0), third(group.thirds.1));
            let quarter = (until.saturating_sub(from) / 4).as_secs().max(1);
            let ramp = group.ramp.min(Duration::from_secs(quarter));
            (Group { ramp, ..*group }, from, until)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text between two marks, after a third.
    fn after<'t>(text: &'t str, mark: &str, from: &str, to: &str) -> &'t str {
        let (_, rest) = text.split_once(mark).unwrap_or_else(|| panic!("nothing of `{mark}`"));
        let (_, rest) = rest.split_once(from).unwrap();
        rest.split_once(to).unwrap().0
    }

    /// Every element that is opened is closed, in order.
    fn is_well_formed(text: &str) {
        let mut open = Vec::new();
        for tag in text.split('<').skip(1).map(|part| part.split_once('>').expect("a tag ends").0) {
            let name = tag.split_whitespace().next().unwrap();
            match name.strip_prefix('/') {
                Some(closed) => assert_eq!(open.pop(), Some(closed)),
                None if tag.ends_with('/') || name.starts_with('?') => {}
                None => open.push(name),
            }
        }
        assert!(open.is_empty(), "left open: {open:?}");
    }

    #[test]
    fn the_plans_of_jmeter_say_the_same() {
        for plan in PLANS {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/jmeter/").to_owned() + plan.name + ".jmx";
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
            is_well_formed(&text);
            assert_eq!(text.matches("<ThreadGroup ").count(), plan.groups.len(), "{path}");
            for (group, prefix) in plan.groups.iter().zip(["", "crowd_"]) {
                let property = |name: &str| after(&text, &format!("__P({prefix}{name},"), "", ")}").to_owned();
                assert_eq!(property("users"), group.users.to_string(), "{path}");
                assert_eq!(property("ramp"), group.ramp.as_secs().to_string(), "{path}");
                let third = plan.duration.as_secs() / 3;
                let (from, until) = (u64::from(group.thirds.0), u64::from(group.thirds.1));
                assert_eq!(property("delay"), (third * from).to_string(), "{path}");
                assert_eq!(property("duration"), (third * (until - from)).to_string(), "{path}");
                // Both groups of the spike think alike; one property is for both.
                let think = group.think.as_millis();
                assert_eq!(after(&text, "__P(think_min,", "", ")}"), (think / 2).to_string(), "{path}");
                assert_eq!(after(&text, "__P(think_range,", "", ")}"), think.to_string(), "{path}");
            }
            let patience = super::super::PATIENCE.as_millis().to_string();
            assert_eq!(text.matches(&format!("__P(patience,{patience})")).count(), 3 * plan.groups.len(), "{path}");
            let items = format!("/buy?item=${{__Random(0,{})}}", super::super::ITEMS - 1);
            assert_eq!(text.matches(&items).count(), plan.groups.len(), "{path}");
            assert!(text.contains(&format!("__P(jtl,{}.jtl)", plan.name)), "{path}");
        }
    }

    #[test]
    fn a_short_run_keeps_its_shape() {
        let run = Plan::named("spike").unwrap().lasting(Duration::from_secs(12)).unwrap();
        let s = Duration::from_secs;
        let groups: Vec<_> = run.groups().map(|(group, from, until)| (group.users, group.ramp, from, until)).collect();
        assert_eq!(groups, [(100, s(3), s(0), s(12)), (900, s(1), s(4), s(8))]);
        for bad in [0, 2, 8 * 24 * 3600] {
            assert_eq!(Plan::named("soak").unwrap().lasting(s(bad)), Err(Short(s(bad))));
        }
        assert!(Plan::named("Normal").is_none());
    }

    #[test]
    fn normal_is_within_what_two_workers_carry_and_stress_is_not() {
        // 3 connections a worker, 17.5 ms an answer.
        let two_workers = 2.0 * 3.0 / 0.0175;
        let rate = |name| Plan::named(name).unwrap().peak_rate();
        assert!(rate("normal") < two_workers / 2.0 && rate("soak") < two_workers / 2.0);
        assert!(rate("stress") > two_workers * 1.2 && rate("spike") > two_workers * 1.5);
        assert!(rate("spike") < two_workers * 4.0, "eight workers must carry it");
    }
}

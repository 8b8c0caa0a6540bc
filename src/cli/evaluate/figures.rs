//! From rounds to a table. Pure: the same rounds give the same figures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Way;
use crate::chaos::Report;
use crate::sample::LoadStats;

/// Mean time to detect, at most: what the design documents promise.
const DETECT_WITHIN: f64 = 5.2;
/// Mean time to repair, at most.
const REPAIR_WITHIN: f64 = 42.0;
/// Rounds healed of those with a fault, at least.
const HEALED: f64 = 0.975;
/// Requests that were served while faults were in, at least.
const AVAILABLE: f64 = 0.996;

/// One round of one experiment in one way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Round {
    pub experiment: String,
    pub way: Way,
    pub round: u32,
    /// Was it found?
    pub detected: bool,
    /// Was it ended by a cure?
    pub healed: bool,
    /// Is it over without a cure?
    pub recovered: bool,
    /// Runs that were the wrong thing to do.
    pub wrong: u32,
    /// Runs that were taken back.
    pub undone: u32,
    pub to_detect_ms: Option<u64>,
    pub to_repair_ms: Option<u64>,
    /// The metric held most responsible.
    pub metric: Option<String>,
    /// The playbook that was tried first.
    pub playbook: Option<String>,
    /// Requests while faults were in, and those that were answered well.
    pub sent: u64,
    pub ok: u64,
    /// Why the experiment ended as it did.
    pub why: String,
}

impl Round {
    pub(super) fn new(experiment: String, way: Way, round: u32, report: Option<Report>) -> Self {
        let empty = Self {
            experiment,
            way,
            round,
            detected: false,
            healed: false,
            recovered: false,
            wrong: 0,
            undone: 0,
            to_detect_ms: None,
            to_repair_ms: None,
            metric: None,
            playbook: None,
            sent: 0,
            ok: 0,
            why: String::new(),
        };
        let Some(report) = report else { return empty };
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let over = |how: &str| report.incidents.iter().any(|i| i.how.as_deref().is_some_and(|h| h.starts_with(how)));
        Self {
            detected: report.times.to_detect_ms.is_some(),
            healed: report.healed(),
            recovered: !report.healed() && over("recovered"),
            wrong: count(report.wrong().count()),
            undone: count(report.runs.iter().filter(|run| run.undone.is_some()).count()),
            to_detect_ms: report.times.to_detect_ms,
            to_repair_ms: report.times.to_recover_ms.filter(|_| report.healed()),
            metric: report.metric().map(str::to_owned).filter(|_| !report.incidents.is_empty()),
            playbook: report.runs.first().map(|run| run.playbook.clone()),
            why: report.why.clone(),
            ..empty
        }
    }

    /// The same with what customers got meanwhile.
    pub(super) fn served(mut self, before: &LoadStats, after: &LoadStats) -> Self {
        // Those that did not get through were customers as well.
        let asked = |stats: &LoadStats| stats.ok + stats.failed + stats.timed_out + stats.skipped;
        self.sent = asked(after).saturating_sub(asked(before));
        self.ok = after.ok.saturating_sub(before.ok);
        self
    }
}

/// A time without any fault.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Quiet {
    pub minutes: f64,
    pub incidents: u64,
    pub actions: u64,
}

/// All that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Figures {
    pub command: String,
    pub fault_seconds: f64,
    pub rounds: Vec<Round>,
    pub quiet: Option<Quiet>,
}

/// Something that was promised.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Aim {
    pub what: &'static str,
    pub measured: String,
    /// `None` when it was not measured.
    pub met: Option<bool>,
}

impl Figures {
    pub(super) fn new(command: String, span: Duration) -> Self {
        Self { command, fault_seconds: span.as_secs_f64(), rounds: Vec::new(), quiet: None }
    }

    fn of(&self, way: Way) -> impl Iterator<Item = &Round> {
        self.rounds.iter().filter(move |round| round.way == way)
    }

    /// What was promised, and what was measured.
    pub(super) fn aims(&self) -> Vec<Aim> {
        let healed: Vec<&Round> = self.of(Way::Auto).collect();
        let seconds = |times: Vec<u64>| Times::of(times).mean;
        let detect = seconds(healed.iter().filter_map(|round| round.to_detect_ms).collect());
        let repair = seconds(healed.iter().filter_map(|round| round.to_repair_ms).collect());
        let at_most = |what, mean: Option<f64>, most: f64| Aim {
            what,
            measured: mean.map_or_else(|| "not measured".to_owned(), |s| format!("{s:.1} s")),
            met: mean.map(|mean| mean < most),
        };
        let share = |of: usize| (!healed.is_empty()).then(|| of as f64 / healed.len() as f64);
        let success = share(healed.iter().filter(|round| round.healed).count());
        let available = availability(healed.iter().copied());
        let at_least = |what, value: Option<f64>, least: f64| Aim {
            what,
            measured: value.map_or_else(|| "not measured".to_owned(), |v| format!("{:.2} %", v * 100.0)),
            met: value.map(|value| value >= least),
        };
        vec![
            at_most("mean time to detect under 5.2 s", detect, DETECT_WITHIN),
            at_most("mean time to repair under 42 s", repair, REPAIR_WITHIN),
            at_least("healed at least 97.5 % of the rounds", success, HEALED),
            at_least("availability while faults are in at least 99.6 %", available, AVAILABLE),
            Aim {
                what: "no action while nothing is wrong",
                measured: self.quiet.map_or_else(
                    || "not measured".to_owned(),
                    |q| format!("{} actions, {} incidents in {:.0} min", q.actions, q.incidents, q.minutes),
                ),
                met: self.quiet.map(|quiet| quiet.actions == 0),
            },
        ]
    }

    /// The section of the document.
    pub(super) fn markdown(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "\nMade by `{}`.\n", self.command);
        let _ = writeln!(out, "| aim | measured | met |\n|---|---|---|");
        for aim in self.aims() {
            let met = match aim.met {
                Some(true) => "yes",
                Some(false) => "**no**",
                None => "-",
            };
            let _ = writeln!(out, "| {} | {} | {met} |", aim.what, aim.measured);
        }
        self.by_fault(&mut out);
        self.confusion(&mut out);
        out
    }

    fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.rounds.iter().map(|round| round.experiment.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn by_fault(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "\nBy experiment, with Suture healing. Each fault is in for {} s. Times in seconds: mean (p50, p95). Available: \
             requests answered well, of all that customers made, from the first fault until the last is out.\n",
            self.fault_seconds
        );
        let _ = writeln!(
            out,
            "| experiment | rounds | detected | healed | wrong runs | taken back | to detect | to repair | available: off | \
             observed | healed |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
        );
        let all = self.names();
        for name in all.iter().map(|name| Some(*name)).chain([None]) {
            let pick = |way| self.of(way).filter(move |round| name.is_none_or(|name| round.experiment == name));
            let auto: Vec<_> = pick(Way::Auto).collect();
            let count = |f: fn(&Round) -> u32| auto.iter().map(|round| f(round)).sum::<u32>();
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                name.unwrap_or("**all**"),
                auto.len(),
                count(|round| round.detected.into()),
                count(|round| round.healed.into()),
                count(|round| round.wrong),
                count(|round| round.undone),
                Times::of(auto.iter().filter_map(|round| round.to_detect_ms).collect()),
                Times::of(auto.iter().filter_map(|round| round.to_repair_ms).collect()),
                percent(availability(pick(Way::Off))),
                percent(availability(pick(Way::Observe))),
                percent(availability(auto.iter().copied())),
            );
        }
    }

    /// What was injected against what was held responsible, and what was tried first.
    fn confusion(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "\nWhat was put in, the metric that was held most responsible, and the playbook that was tried first, with how \
             often.\n\n| experiment | metrics | playbooks |\n|---|---|---|"
        );
        for name in self.names() {
            let rounds = || self.of(Way::Auto).filter(|round| round.experiment == name);
            let counted = |of: &dyn Fn(&Round) -> Option<&str>| {
                let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
                rounds().for_each(|round| *counts.entry(of(round).unwrap_or("none")).or_default() += 1);
                let mut list: Vec<_> = counts.into_iter().collect();
                list.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
                list.iter().map(|(what, n)| format!("{what} {n}")).collect::<Vec<_>>().join(", ")
            };
            let metrics = counted(&|round| round.metric.as_deref());
            let playbooks = counted(&|round| round.playbook.as_deref());
            let _ = writeln!(out, "| {name} | {metrics} | {playbooks} |");
        }
    }
}

/// Requests answered well of all that were made; `None` without any.
fn availability<'a>(rounds: impl Iterator<Item = &'a Round>) -> Option<f64> {
    let (ok, sent) = rounds.fold((0, 0), |(ok, sent), round| (ok + round.ok, sent + round.sent));
    (sent > 0).then(|| ok as f64 / sent as f64)
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.2} %", share * 100.0))
}

/// Some times in seconds.
struct Times {
    mean: Option<f64>,
    p50: Option<f64>,
    p95: Option<f64>,
}

impl Times {
    fn of(mut ms: Vec<u64>) -> Self {
        ms.sort_unstable();
        // Nearest rank: a value that was really measured.
        let rank = |share: f64| {
            let at = ((ms.len() as f64 * share).ceil() as usize).max(1) - 1;
            ms.get(at).map(|ms| *ms as f64 / 1e3)
        };
        let mean = (!ms.is_empty()).then(|| ms.iter().sum::<u64>() as f64 / 1e3 / ms.len() as f64);
        Self { mean, p50: rank(0.5), p95: rank(0.95) }
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.mean, self.p50, self.p95) {
            (Some(mean), Some(p50), Some(p95)) => write!(f, "{mean:.1} ({p50:.1}, {p95:.1})"),
            _ => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(way: Way, healed: bool, detect: Option<u64>, repair: Option<u64>, ok: u64) -> Round {
        Round {
            healed,
            detected: detect.is_some(),
            to_detect_ms: detect,
            to_repair_ms: repair,
            sent: 1000,
            ok,
            metric: Some("latency_p95".to_owned()),
            playbook: healed.then(|| "shed-load".to_owned()),
            ..Round::new("latency".to_owned(), way, 1, None)
        }
    }

    #[test]
    fn the_table_says_what_was_measured_and_no_more() {
        let mut figures = Figures::new("suture evaluate".to_owned(), Duration::from_secs(30));
        assert!(figures.aims().iter().all(|aim| aim.met.is_none()), "nothing was measured");
        figures.rounds = vec![
            round(Way::Off, false, None, None, 600),
            round(Way::Auto, true, Some(900), Some(9_000), 998),
            round(Way::Auto, true, Some(1_900), Some(11_000), 1000),
            round(Way::Auto, false, None, None, 990),
        ];
        figures.quiet = Some(Quiet { minutes: 5.0, incidents: 1, actions: 0 });
        insta::assert_snapshot!(figures.markdown());
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let times = Times::of((1..=20).map(|n| n * 1000).collect());
        assert_eq!((times.mean, times.p50, times.p95), (Some(10.5), Some(10.0), Some(19.0)));
        assert_eq!(Times::of(Vec::new()).to_string(), "-");
    }

    #[test]
    fn customers_that_did_not_get_through_count() {
        let before = LoadStats { ok: 10, ..LoadStats::default() };
        let after = LoadStats { ok: 20, failed: 2, timed_out: 3, skipped: 5, ..LoadStats::default() };
        let round = round(Way::Off, false, None, None, 0).served(&before, &after);
        assert_eq!((round.ok, round.sent), (10, 20));
    }
}

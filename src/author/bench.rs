//! How long loading and running a component takes, and how near it comes to the limits.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::AuthorError;
use super::case::Case;
use super::component::{Component, bytes_of};
use crate::wasm::{Host, Limits};

/// Loads are compiled anew each time, so that they take a second at most together for an ordinary component.
const LOADS: usize = 5;

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Bench {
    /// The component.
    pub name: String,
    /// From bytes to something that can be run: compiling most of all.
    pub load: Spread,
    /// A fresh sandbox and one dry run in it.
    pub run: Spread,
    /// Units of work of a run.
    pub fuel: u64,
    /// Calls to the host in a run.
    pub calls: usize,
    /// Bytes that it logs in a run.
    pub log_bytes: usize,
    /// Bytes of its notes.
    pub note_bytes: usize,
    /// Size of its file.
    pub bytes: usize,
    /// Why its runs give no answer, where they do not.
    pub error: Option<String>,
}

/// How a time is spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// How often it was measured.
    pub runs: usize,
    /// Mean, in nanoseconds.
    pub mean_ns: u64,
    /// Half took less.
    pub p50_ns: u64,
    /// One in a hundred took more.
    pub p99_ns: u64,
}

impl Spread {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let ns = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
        let sum: Duration = times.iter().sum();
        let mean = u32::try_from(times.len()).ok().and_then(|n| sum.checked_div(n)).unwrap_or_default();
        Self {
            runs: times.len(),
            mean_ns: ns(mean),
            p50_ns: at(50).copied().map(ns).unwrap_or_default(),
            p99_ns: at(99).copied().map(ns).unwrap_or_default(),
        }
    }
}

/// Measures a component in the world of a case, in so many runs. `host` must compile anew at each load.
///
/// # Errors
/// When it cannot be read or loaded.
pub async fn bench(host: &Host, file: &Path, case: &Case, runs: usize) -> Result<Bench, AuthorError> {
    let bytes = bytes_of(host, file)?;
    let name = file.display().to_string();
    let mut loads = Vec::new();
    let mut loaded = None;
    while loads.len() < LOADS {
        let (bytes, begun) = (bytes.clone(), Instant::now());
        let component = Component::load(host, &name, bytes).await?;
        loads.push(begun.elapsed());
        loaded = Some(component);
        // An interpreter takes half a minute to compile: once will do.
        if loads.iter().sum::<Duration>() > Duration::from_secs(3) {
            break;
        }
    }
    let Some(component) = loaded else { return Err(AuthorError::Usage("nothing was loaded".to_owned())) };
    // The first one pages the code in.
    let trial = component.try_case(case).await;
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let begun = Instant::now();
        component.try_case(case).await;
        times.push(begun.elapsed());
    }
    Ok(Bench {
        name: component.name().to_owned(),
        load: Spread::of(loads),
        run: Spread::of(times),
        fuel: trial.fuel,
        calls: trial.calls.len(),
        log_bytes: trial.log.iter().map(|line| line.message.len()).sum(),
        note_bytes: trial.notes.iter().map(|(k, v)| k.len() + v.len()).sum(),
        bytes: bytes.len(),
        error: trial.error().map(str::to_owned),
    })
}

impl Bench {
    /// What was used of each limit: name, used, most.
    #[must_use]
    pub fn against(&self, limits: &Limits) -> Vec<(&'static str, u64, u64)> {
        let n = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        vec![
            ("units of work", self.fuel, limits.fuel),
            ("calls to the host", n(self.calls), u64::from(limits.host_calls)),
            ("bytes of log", n(self.log_bytes), n(limits.log_bytes)),
            ("bytes of notes", n(self.note_bytes), n(limits.state_bytes)),
            ("bytes of file", n(self.bytes), n(limits.component_bytes)),
            (
                "time, in milliseconds",
                self.run.p99_ns / 1_000_000,
                n(usize::try_from(limits.wall_dry_run.as_millis()).unwrap_or(usize::MAX)),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_of_a_hundred() {
        let spread = Spread::of((1..=100).map(Duration::from_nanos).collect());
        assert_eq!(spread, Spread { runs: 100, mean_ns: 50, p50_ns: 51, p99_ns: 100 });
        assert_eq!(Spread::of(Vec::new()), Spread { runs: 0, mean_ns: 0, p50_ns: 0, p99_ns: 0 });
    }
}

//! Random worlds, and what no world may do to a component: make it fail by its own fault, make it answer differently when
//! asked again, or let its real run stray from its plan. Plans that the guardrails would hold back are told as well.

use fastrand::Rng;
use serde::Serialize;

use super::case::Case;
use super::component::Component;
use super::generate;
use super::shrink::shrink;
use super::trial::{Outcome, Trial, Unsteady};

/// After so many different findings a person needs no more.
const MOST_FINDINGS: usize = 10;

/// What was found in all runs together.
#[derive(Clone, Debug, Serialize)]
pub struct Fuzzed {
    /// Runs done; fewer than asked for when there was too much to find.
    pub runs: usize,
    /// The seed that gives the same again.
    pub seed: u64,
    /// Runs that ended with a plan, or with proposals.
    pub answered: usize,
    /// Runs that ended with a considered word on why not.
    pub declined: usize,
    /// Most units of work of any run.
    pub most_fuel: u64,
    /// Most calls to the host of any run.
    pub most_calls: usize,
    /// What is wrong with the component.
    pub findings: Vec<Finding>,
    /// Plans that the guardrails would hold back: how many.
    pub held_back: usize,
    /// The first of them of each kind.
    pub held_back_examples: Vec<Finding>,
}

/// One thing that was found, in the smallest world in which it was found again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// In words.
    pub what: String,
    /// In which run, from 1.
    pub run: usize,
    /// The world.
    #[serde(skip)]
    pub case: Case,
}

/// What can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// It failed by its own fault.
    Fault,
    /// The same run again was another one.
    Differs,
    /// Its real run does not keep to the plan.
    Strays,
    /// The guardrails would hold its plan back.
    HeldBack,
}

impl FindingKind {
    /// The word for files and people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Differs => "differs",
            Self::Strays => "strays",
            Self::HeldBack => "held-back",
        }
    }
}

/// What one run found.
struct Found {
    kind: FindingKind,
    what: String,
    /// Findings with the same key are the same finding.
    key: String,
}

/// Runs a component in so many random worlds.
pub async fn fuzz(component: &Component, runs: usize, seed: u64) -> Fuzzed {
    let mut fuzzed = Fuzzed {
        runs: 0,
        seed,
        answered: 0,
        declined: 0,
        most_fuel: 0,
        most_calls: 0,
        findings: Vec::new(),
        held_back: 0,
        held_back_examples: Vec::new(),
    };
    let mut keys: Vec<String> = Vec::new();
    for run in 1..=runs {
        // A generator of its own for each run, so that one run can be had again without those before it.
        let mut rng =
            Rng::with_seed(seed.wrapping_add(u64::try_from(run).unwrap_or_default().wrapping_mul(0x9e37_79b9)));
        let case = generate::case(&mut rng, component.description());
        let (trial, found) = look(component, &case).await;
        fuzzed.runs = run;
        fuzzed.most_fuel = fuzzed.most_fuel.max(trial.fuel);
        fuzzed.most_calls = fuzzed.most_calls.max(trial.calls.len());
        match trial.outcome {
            Outcome::Error(_) => fuzzed.declined += usize::from(trial.fault.is_none()),
            Outcome::Plan(_) | Outcome::Proposals(_) => fuzzed.answered += 1,
        }
        let Some(found) = found else { continue };
        let held_back = found.kind == FindingKind::HeldBack;
        fuzzed.held_back += usize::from(held_back);
        if keys.contains(&found.key) {
            continue;
        }
        keys.push(found.key.clone());
        let small = shrink(case, async |case| look(component, case).await.1.is_some_and(|f| f.key == found.key)).await;
        // In the smaller world the words are about smaller numbers.
        let what = look(component, &small).await.1.map_or(found.what, |f| f.what);
        let case = Case { summary: Some(format!("found by fuzzing with the seed {seed}, run {run}")), ..small };
        let finding = Finding { kind: found.kind, what, run, case };
        if held_back {
            fuzzed.held_back_examples.push(finding);
        } else {
            fuzzed.findings.push(finding);
        }
        if fuzzed.findings.len() >= MOST_FINDINGS {
            break;
        }
    }
    fuzzed
}

async fn look(component: &Component, case: &Case) -> (Trial, Option<Found>) {
    let trial = component.try_case(case).await;
    let found = finding(component, case, &trial).await;
    (trial, found)
}

async fn finding(component: &Component, case: &Case, trial: &Trial) -> Option<Found> {
    if let Some(fault) = &trial.fault {
        let what = fault.to_string();
        return Some(Found { kind: FindingKind::Fault, key: format!("fault {}", without_numbers(&what)), what });
    }
    if let Err(unsteady) = component.check_again(case, trial).await {
        let kind = match unsteady {
            Unsteady::Differs(_) => FindingKind::Differs,
            Unsteady::Strays(_) => FindingKind::Strays,
        };
        return Some(Found { kind, key: kind.name().to_owned(), what: unsteady.to_string() });
    }
    // A plan without steps harms nobody: the daemon says that there is nothing to approve.
    let why = trial.held_back.as_ref().filter(|_| !trial.steps.is_empty())?;
    let limit = ["max_replica_delta", "max_share"].into_iter().find(|limit| why.contains(limit)).unwrap_or("");
    Some(Found { kind: FindingKind::HeldBack, key: format!("held-back {limit}"), what: why.clone() })
}

fn without_numbers(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).take(80).collect()
}

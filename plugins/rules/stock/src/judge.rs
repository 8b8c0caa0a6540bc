//! The judgement: from a case to an ordered list of proposals.

use suture_playbook_sdk::prelude::*;

use crate::case::{Case, Where};
use crate::words::About;

/// A driver with less than this part of the most responsible one's share is an echo, not a cause.
const ECHO: f64 = 0.15;

/// What to try, best first, each playbook at most once and none that was tried already.
pub fn proposals(case: &Case) -> Vec<Proposal> {
    if case.targets.is_empty() {
        return Vec::new();
    }
    let mut list = for_those_down(case);
    let top = case.drivers.first().map_or(0.0, |d| d.share);
    let bad: Vec<_> = case
        .drivers
        .iter()
        .filter(|driver| driver.share >= top * ECHO)
        .filter_map(|driver| Some((driver, About::of(&driver.metric)?)))
        .filter(
            |(driver, about)| {
                if about.low_is_bad() { driver.value < driver.normal } else { driver.value > driver.normal }
            },
        )
        .map(|(driver, about)| (driver, about, case.place(driver, about)))
        .collect();
    for (driver, about, place) in &bad {
        list.extend(match place {
            Where::One(name) => for_one(driver, *about, name, &bad),
            Where::Everywhere => for_all(case, driver, *about),
        });
    }
    let mut seen = case.tried.clone();
    list.retain(|p| {
        let fresh = can_help(case, p) && !seen.contains(&p.playbook);
        if fresh {
            seen.push(p.playbook.clone());
        }
        fresh
    });
    list
}

/// An instance that does not answer explains everything else, so it comes first.
fn for_those_down(case: &Case) -> Vec<Proposal> {
    match case.down().as_slice() {
        [] => Vec::new(),
        [one] if case.is_cut_off(one) => {
            let why = format!("{one} answers when it is asked itself, and nothing gets through to it from the front");
            vec![
                proposal("shed-load", format!("{why}: the others can answer.")).with("instance", one),
                proposal("restart-service", format!("{why}: a fresh process may be reached.")).with("instance", one),
            ]
        }
        [one] => vec![proposal("restart-service", format!("{one} does not answer.")).with("instance", one)],
        several => vec![proposal("restart-service", format!("{} do not answer.", several.join(", ")))],
    }
}

type Bad<'a> = (&'a Driver, About, Where);

fn for_one(driver: &Driver, about: About, name: &str, bad: &[Bad]) -> Vec<Proposal> {
    let is = |about: About| bad.iter().any(|(_, a, place)| *a == about && *place == Where::One(name.to_owned()));
    let at = format!("{} and stands out on {name}", in_words(driver));
    let restart = |why: &str| proposal("restart-service", format!("{at}: {why}")).with("instance", name);
    let shed = |why: &str| proposal("shed-load", format!("{at}: {why}")).with("instance", name);
    match about {
        About::Errors => {
            vec![shed("out of the traffic it fails nobody's requests."), restart("a fresh process may answer again.")]
        }
        About::Memory if driver.trend == Trend::Rising => vec![restart("it grows sample by sample, as a leak does.")],
        About::Memory => vec![restart("a fresh process gives the memory back.")],
        About::Disk => vec![restart("a fresh process lets go of its files."), shed("the others can answer.")],
        About::Cpu => vec![restart("it burns processor time that the others do not."), shed("the others can answer.")],
        // Held up by something of its own that a fresh process gives back.
        About::Waiting | About::Latency if is(About::Waiting) || is(About::Cpu) || is(About::Disk) => {
            vec![restart("it holds something that it does not give back."), shed("the others can answer.")]
        }
        About::Waiting | About::Latency => vec![
            shed("the others answer as usual."),
            restart("a fresh process may be as fast as the others."),
            proposal("rebalance", format!("{at}: the others can take more of the traffic.")).with("instance", name),
        ],
        About::Up | About::Cache => Vec::new(),
    }
}

fn for_all(case: &Case, driver: &Driver, about: About) -> Vec<Proposal> {
    let n = case.serving();
    let all = if n == 1 { "the only instance".to_owned() } else { format!("all {n} instances") };
    let what = in_words(driver);
    let grow = |why: &str| proposal("scale-out", format!("{what} on {all}: {why}")).with("by", 2);
    let cache = || proposal("cache-aggressively", format!("{what}: cached answers make less work."));
    let worst = || {
        let name = case.worst(&driver.metric)?;
        let why = format!("{what} on {all}, most on {name}: a fresh process gives the memory back.");
        Some(proposal("restart-service", why).with("instance", name))
    };
    match about {
        About::Cpu => vec![grow("they have too much to do.")],
        About::Waiting | About::Latency => vec![grow("they have too much to do."), cache()],
        About::Cache => vec![cache()],
        // All of them leak, so all of them have to go; only a platform does that without the service going, too.
        About::Memory if driver.trend == Trend::Rising && n > 1 => {
            let why =
                format!("{what} on {all} and grows sample by sample, as a leak does: fresh processes give it back.");
            [proposal("rolling-restart", why)].into_iter().chain(worst()).collect()
        }
        About::Memory => worst().into_iter().collect(),
        // Errors everywhere come from something behind the instances, or from load, which other metrics show; and who
        // is down was said first.
        // What fills up everywhere is no instance's own, and nothing here makes room.
        About::Errors | About::Up | About::Disk => Vec::new(),
    }
}

/// Is there anything that the playbook could do?
fn can_help(case: &Case, proposal: &Proposal) -> bool {
    match proposal.playbook.as_str() {
        "scale-out" => case.can_grow(),
        "cache-aggressively" => case.has_cache(),
        "rolling-restart" => case.rolls_out,
        "shed-load" => case.can_grow() || case.serving() > 1,
        "rebalance" => case.serving() > 1,
        _ => true,
    }
}

/// `latency_p95 is 820 ms (usually 110 ms)`.
fn in_words(driver: &Driver) -> String {
    let (value, normal) = (quantity(driver.value, &driver.unit), quantity(driver.normal, &driver.unit));
    format!("{} is {value} (usually {normal})", driver.metric)
}

/// A value with its unit, as people say it.
fn quantity(n: f64, unit: &str) -> String {
    match unit {
        "" => number(n),
        "ratio" => format!("{} %", number(n * 100.0)),
        "s" if n.abs() < 1.0 => format!("{:.0} ms", n * 1e3),
        "bytes" => format!("{:.1} MiB", n / f64::from(1 << 20)),
        other => format!("{} {other}", number(n)),
    }
}

/// Three digits that count, large ones in thousands.
fn number(n: f64) -> String {
    match n.abs() {
        a if a >= 1e9 => format!("{:.1}G", n / 1e9),
        a if a >= 1e6 => format!("{:.1}M", n / 1e6),
        a if a >= 1e4 => format!("{:.1}k", n / 1e3),
        a if a >= 100.0 => format!("{n:.0}"),
        a if a >= 1.0 => format!("{n:.1}"),
        0.0 => "0".to_owned(),
        _ => format!("{n:.3}"),
    }
}

#[cfg(test)]
mod tests;

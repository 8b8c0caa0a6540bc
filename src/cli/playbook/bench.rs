//! `suture playbook bench`: how long, and how near to the limits.

use std::fmt::Write as _;

use clap::Args;

use super::{BAD, BOLD, Subject, WARN, block, grouped, nanoseconds, runtime, say, say_json, styled};
use crate::author::{self, Bench, Spread};
use crate::cli::{Global, OK};
use crate::wasm::{Host, Limits};

/// `suture playbook bench`
#[derive(Args)]
#[command(
    after_help = "A run is a fresh sandbox and one dry run in it, as the daemon does it. Loading compiles anew each time; \
                        the daemon keeps compiled code.\n\nExamples:\n  suture playbook bench scale-out\n  suture playbook bench one-more.wasm --case cases/busy.toml --runs 5000"
)]
pub(in crate::cli) struct BenchArgs {
    #[command(flatten)]
    subject: Subject,
    /// How many runs
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: u32,
}

pub(super) fn bench(global: &Global, args: &BenchArgs) -> anyhow::Result<u8> {
    // Without a cache, or the second load would measure a disk.
    let host = Host::new(Limits::default(), None)?;
    let (file, case) = (&args.subject.file, args.subject.case()?);
    let runs = usize::try_from(args.runs)?;
    let found = runtime()?.block_on(author::bench(&host, file, &case, runs))?;
    if global.json {
        return say_json(&found);
    }
    say(&text(&found, host.limits()));
    Ok(OK)
}

fn text(found: &Bench, limits: &Limits) -> String {
    let mut out = format!("{}\n\n", styled(BOLD, &found.name));
    let _ = writeln!(out, "{:<22}{:>12}{:>12}{:>12}{:>9}", "", "mean", "p50", "p99", "times");
    let mut row = |name: &str, spread: &Spread| {
        let [mean, p50, p99] = [spread.mean_ns, spread.p50_ns, spread.p99_ns].map(nanoseconds);
        let _ = writeln!(out, "{name:<22}{mean:>12}{p50:>12}{p99:>12}{:>9}", spread.runs);
    };
    row("load (compile)", &found.load);
    row("run (fresh sandbox)", &found.run);
    let _ = writeln!(out, "\n{:<22}{:>14}{:>16}{:>10}", "of the limits", "used", "limit", "");
    for (name, used, most) in found.against(limits) {
        #[expect(clippy::cast_precision_loss, reason = "for people, two digits")]
        let percent = used as f64 * 100.0 / most.max(1) as f64;
        let share = if percent > 0.0 && percent < 0.1 { "< 0.1 %".to_owned() } else { format!("{percent:.1} %") };
        let share = if percent > 50.0 { styled(WARN, &share) } else { share };
        let _ = writeln!(out, "{name:<22}{:>14}{:>16}   {share}", grouped(used), grouped(most));
    }
    if let Some(why) = &found.error {
        out += &styled(BAD, &block("\nits runs give no answer: ", why));
    }
    out
}

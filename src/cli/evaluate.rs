//! `suture evaluate`: does it heal? Every experiment on the sample shop, many times, without Suture, with Suture looking on, and
//! with Suture healing; and a time of quiet in which nothing should happen. What comes out is a table that anybody can make again.
//!
//! Each round has a stage of its own: the same model, two workers, no past. Ends everything that it started, however it ends.

mod figures;
mod rounds;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum, ValueHint};
use futures::FutureExt as _;
use indicatif::{ProgressBar, ProgressStyle};

use super::run::Signals;
use super::stage::{self, Stop};
use super::{FAILED, Global, OK, demo, log, print};
use crate::chaos::Library;
use crate::config::LogFormat;
use crate::model::{Experiment, in_words};
use figures::{Figures, Quiet, Round};

/// What learning takes, in samples.
const LEARNING: u32 = 115;
/// What a round takes besides its fault, about: starting, steady before, steady after, ending. Only said.
const AROUND: Duration = Duration::from_secs(18);
/// Where the table stands in the document.
const BEGIN: &str = "<!-- healing: written by `suture evaluate` -->";
const END: &str = "<!-- healing: end -->";

/// How Suture takes part in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Way {
    /// Not at all: the shop is alone with its fault
    Off,
    /// It looks on and plans, and does nothing
    Observe,
    /// It heals without asking
    Auto,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Observe => "observe",
            Self::Auto => "auto",
        }
    }
}

/// `suture evaluate`
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  suture evaluate --rounds 1 --only latency,crash --quiet 1min     a short round\n  suture evaluate                                                  the whole proof: hours\n  suture evaluate --write docs/EVALUATION.md\n\nExit codes: 0 all aims are met, 1 one is missed or it did not work, 2 wrong arguments."
)]
pub(super) struct EvaluateArgs {
    /// Rounds of every experiment, in each way
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Only these experiments
    #[arg(long, value_name = "EXPERIMENT", value_delimiter = ',')]
    only: Vec<String>,
    /// Without Suture, with Suture looking on, with Suture healing
    #[arg(long, value_enum, value_delimiter = ',', default_value = "off,observe,auto")]
    ways: Vec<Way>,
    /// How long each fault stays in
    #[arg(long = "for", value_name = "SPAN", default_value = "30s", value_parser = humantime::parse_duration)]
    span: Duration,
    /// Time between two samples
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = humantime::parse_duration)]
    sampling: Duration,
    /// How long nothing is wrong, at the end; 0s leaves it out
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = humantime::parse_duration)]
    quiet: Duration,
    /// Decides who is hit
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where figures are written
    #[arg(long, value_name = "DIR", default_value = "suture-evaluation", value_hint = ValueHint::DirPath)]
    out: PathBuf,
    /// A document whose section between the two marks is replaced by the table
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    write: Option<PathBuf>,
}

impl EvaluateArgs {
    /// The experiments that the shop can have done to it, in the order of their names.
    fn experiments(&self) -> anyhow::Result<Vec<Experiment>> {
        let library = Library::stock();
        if self.only.is_empty() {
            // Pods there are none here.
            let fits = |experiment: &Experiment| {
                experiment.method.iter().all(|step| step.fault.kind() != crate::model::FaultKind::PodKill)
            };
            return Ok(library.entries().map(|entry| entry.experiment.clone()).filter(fits).collect());
        }
        let named = self.only.iter().map(|name| library.find(name).map(|entry| entry.experiment.clone()));
        named.collect::<Result<_, _>>().map_err(anyhow::Error::msg)
    }

    /// The command, for whoever wants the same.
    fn command(&self) -> String {
        let ways: Vec<_> = self.ways.iter().map(|way| way.name()).collect();
        let only = if self.only.is_empty() { String::new() } else { format!(" --only {}", self.only.join(",")) };
        let short = |span: Duration| humantime::format_duration(span).to_string().replace(' ', "");
        format!(
            "suture evaluate --rounds {}{only} --ways {} --for {} --sampling {} --quiet {} --seed {}",
            self.rounds,
            ways.join(","),
            short(self.span),
            short(self.sampling),
            short(self.quiet),
            self.seed
        )
    }
}

pub(super) fn run(global: &Global, args: &EvaluateArgs) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(evaluate(global, args));
    runtime.shutdown_background();
    ended
}

async fn evaluate(global: &Global, args: &EvaluateArgs) -> anyhow::Result<u8> {
    let mut signals = Signals::new()?;
    let stop: Stop = async move { signals.next().await }.boxed().shared();
    let experiments = args.experiments()?;
    let document = args.write.as_deref().map(Document::open).transpose()?;
    let out = std::path::absolute(&args.out)?;
    std::fs::create_dir_all(&out)
        .map_err(|e| anyhow::anyhow!("cannot make {}: {e}; name another folder with --out", out.display()))?;
    let base = match &global.data_dir {
        Some(dir) => std::path::absolute(dir)?,
        None => demo::fresh_folder("evaluate")?,
    };
    super::make_data_dir(&base)?;
    let learned = base.join("learned");
    anyhow::ensure!(
        !learned.join("suture.toml").exists(),
        "{} has an earlier evaluation in it; name another folder with --data-dir, or none",
        base.display()
    );
    let log = std::fs::File::create(stage::log_of(&learned))?;
    log::start(global.log.as_deref().unwrap_or("warn"), global.log_format(LogFormat::Human), Some(Box::new(log)))?;
    let count = args.ways.len() as u64 * u64::from(args.rounds) * experiments.len() as u64;
    let whole = args.sampling * LEARNING
        + experiments.iter().map(|e| rounds::lasts(e, args.span) + AROUND).sum::<Duration>()
            * args.rounds
            * u32::try_from(args.ways.len())?
        + args.quiet;
    print(&format!(
        "{count} rounds; about {} in all. Ctrl-C ends it and what it started; what was measured by then is kept.",
        in_words(whole)
    ));
    print(&format!("Ledgers and logs are kept in {}", base.display()));
    let bar = ProgressBar::new(count);
    bar.set_style(ProgressStyle::with_template("  {bar:30} {pos}/{len}  {msg}  {eta} left")?);
    let mut figures = Figures::new(args.command(), args.span);
    let played = play(args, &experiments, &base, &stop, &bar, &mut figures).await;
    bar.finish_and_clear();
    std::fs::write(out.join("healing.json"), serde_json::to_vec_pretty(&figures)?)?;
    let markdown = figures.markdown();
    std::fs::write(out.join("healing.md"), &markdown)?;
    print(&markdown);
    print(&format!("Figures are in {}", out.display()));
    played?;
    if let Some(document) = document {
        document.replace(&markdown)?;
    }
    Ok(if figures.aims().iter().any(|aim| aim.met == Some(false)) { FAILED } else { OK })
}

async fn play(
    args: &EvaluateArgs,
    experiments: &[Experiment],
    base: &Path,
    stop: &Stop,
    bar: &ProgressBar,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let exe = std::env::current_exe()?;
    let learned = base.join("learned");
    let stages = stage::Stages { exe: &exe, learned: &learned, sampling: Some(args.sampling), stop };
    if args.ways.iter().any(|way| *way != Way::Off) || !args.quiet.is_zero() {
        bar.set_message("learning what is normal");
        stages.learn().await?;
    }
    for way in &args.ways {
        for round in 1..=args.rounds {
            for experiment in experiments {
                bar.set_message(format!("{}: {} ({round})", way.name(), experiment.name));
                let dir = base.join(format!("{}-{}-{round}", way.name(), experiment.name));
                let task = rounds::Task { experiment, span: args.span, way: *way, seed: args.seed + u64::from(round) };
                let played: Round = rounds::play(&stages, &dir, &task, round).await?;
                figures.rounds.push(played);
                bar.inc(1);
            }
        }
    }
    if !args.quiet.is_zero() {
        bar.set_message(format!("quiet for {}", in_words(args.quiet)));
        let quiet: Quiet = rounds::quiet(&stages, &base.join("quiet"), args.quiet).await?;
        figures.quiet = Some(quiet);
    }
    Ok(())
}

/// A document with a place for the table.
struct Document {
    path: PathBuf,
    head: String,
    tail: String,
}

impl Document {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| anyhow::anyhow!("cannot read {}: {e}", path.display()))?;
        let marks = text.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
        let (head, tail) = marks.ok_or_else(|| {
            anyhow::anyhow!(
                "{} has no place for the table: write these two lines into it:\n{BEGIN}\n{END}",
                path.display()
            )
        })?;
        Ok(Self { path: path.to_owned(), head: head.to_owned(), tail: tail.to_owned() })
    }

    fn replace(self, markdown: &str) -> anyhow::Result<()> {
        let Self { path, head, tail } = self;
        std::fs::write(&path, format!("{head}{BEGIN}\n{markdown}{END}{tail}"))
            .map_err(|e| anyhow::anyhow!("cannot write {}: {e}", path.display()))
    }
}

//! `suture bench load`: what customers feel under load, with healing and without.
//!
//! Everything is real: the demo's shop, the whole daemon around it, and load from the generator of `crate::load` or from
//! JMeter. Ends everything that it started, however it ends.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use futures::FutureExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, sleep};

use super::run::Signals;
use super::stage::{self, Stage, Stages, Stop};
use super::{FAILED, Global, OK, USAGE, demo, log, print};
use crate::config::LogFormat;
use crate::load::{Curve, Generator, JMeter, Limits, Live, Loop, PLANS, Plan, Row, Run, Site, Summary};
use crate::load::{csv, draw, json, markdown, table};
use crate::model::{Mode, in_words};

/// What is run when no plan is named: all but the soak, which takes long.
const SHORT: [&str; 3] = ["normal", "stress", "spike"];
/// Usual load before the plan begins, so that connections and caches are warm.
const WARM: Duration = Duration::from_secs(4);
/// What starting the shop, warming it and ending it takes besides, about; only said, nothing waits for it.
const AROUND: Duration = Duration::from_secs(8);
/// What learning takes, about; only said.
const LEARNING: Duration = Duration::from_secs(35);
/// Between two looks at how it goes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// `suture bench`
#[derive(Clone, Debug, Subcommand)]
pub(super) enum BenchCommand {
    /// Put load on the sample shop, with healing and without, and show what its customers felt
    Load(LoadArgs),
}

/// `suture bench load`
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Plans: normal (100 users), stress (500), spike (1000 in its middle third), soak (50, ten minutes); without \
                  one, the first three.\n\nExamples:\n  suture bench load\n  suture bench load spike --duration 30s\n  \
                  suture bench load normal --engine jmeter --healing off\n  suture bench load soak --duration 1h --url \
                  http://127.0.0.1:8080\n\nExit codes: 0 within the limits, 1 a limit was broken or it did not work, 2 wrong \
                  arguments."
)]
pub(super) struct LoadArgs {
    /// Which plans
    #[arg(value_name = "PLAN", value_parser = plan_parser())]
    plans: Vec<&'static Plan>,
    /// What asks
    #[arg(long, value_enum, default_value_t = Engine::Builtin)]
    engine: Engine,
    /// Each user waits for its answer, as JMeter's do: a slow shop is then asked less (with the built-in engine)
    #[arg(long)]
    closed: bool,
    /// How long each plan takes, in whole seconds [default: what the plan says]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    duration: Option<Duration>,
    /// With healing, without, or one after the other
    #[arg(long, value_enum, default_value_t = Healing::Both, conflicts_with = "url")]
    healing: Healing,
    /// The same seed is the same load (with the built-in engine)
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where figures and pictures are written
    #[arg(long, value_name = "DIR", default_value = "suture-bench", value_hint = ValueHint::DirPath)]
    out: PathBuf,
    /// Ask this service instead of the sample shop: it must answer `GET /buy?item=N`
    #[arg(long, value_name = "URL")]
    url: Option<Site>,
    /// Requests of a hundred that may fail [default: what the plan says]
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    max_errors: Option<f64>,
    /// The 95th percentile of the latency, at most [default: what the plan says]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    max_p95: Option<Duration>,
}

/// What puts load on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// Suture's own, an open loop
    Builtin,
    /// JMeter, which has to be on this machine
    Jmeter,
}

/// Which runs are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Healing {
    /// The daemon heals without asking
    On,
    /// The daemon only watches
    Off,
    /// First without, then with
    Both,
}

fn plan_parser() -> impl TypedValueParser<Value = &'static Plan> {
    PossibleValuesParser::new(PLANS.iter().map(|plan| PossibleValue::new(plan.name).help(plan.about)))
        .try_map(|name| Plan::named(&name).ok_or("there is no such plan"))
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|e| format!("{e}; write 30s or 5min"))?;
    PLANS.iter().try_for_each(|plan| plan.lasting(duration).map(drop)).map_err(|e| e.to_string())?;
    Ok(duration)
}

fn percent(text: &str) -> Result<f64, String> {
    let percent = text.parse::<f64>().map_err(|e| e.to_string())?;
    if (0.0..=100.0).contains(&percent) { Ok(percent) } else { Err("a percentage lies within 0 and 100".to_owned()) }
}

impl LoadArgs {
    fn runs(&self) -> anyhow::Result<Vec<(Run, Option<bool>)>> {
        let named = SHORT.iter().filter_map(|name| Plan::named(name));
        let plans: Vec<_> = if self.plans.is_empty() { named.collect() } else { self.plans.clone() };
        let healing: &[Option<bool>] = match (&self.url, self.healing) {
            (Some(_), _) => &[None],
            (None, Healing::On) => &[Some(true)],
            (None, Healing::Off) => &[Some(false)],
            (None, Healing::Both) => &[Some(false), Some(true)],
        };
        let mut runs: Vec<(Run, Option<bool>)> = Vec::new();
        for plan in plans {
            let run = plan.lasting(self.duration.unwrap_or(plan.duration))?;
            // A plan that is named twice is run once: its folders and files have its name.
            if runs.iter().all(|(other, _)| other.plan() != plan) {
                runs.extend(healing.iter().map(|healing| (run, *healing)));
            }
        }
        Ok(runs)
    }

    fn limits(&self, plan: &Plan) -> Limits {
        Limits {
            errors_percent: self.max_errors.unwrap_or(plan.limits.errors_percent),
            p95: self.max_p95.unwrap_or(plan.limits.p95),
        }
    }

    /// Is this run judged by its limits? A plan that needs healing is not without it, unless somebody asked for just that.
    fn judges(&self, plan: &Plan, healing: Option<bool>) -> bool {
        let own = self.max_errors.is_some() || self.max_p95.is_some();
        healing != Some(false) || !plan.needs_healing || (own && self.healing == Healing::Off)
    }

    fn engine_name(&self) -> &'static str {
        match (self.engine, self.closed) {
            (Engine::Jmeter, _) => "jmeter",
            (Engine::Builtin, true) => "builtin closed",
            (Engine::Builtin, false) => "builtin",
        }
    }
}

pub(super) fn run(global: &Global, command: &BenchCommand) -> anyhow::Result<u8> {
    let BenchCommand::Load(args) = command;
    if args.closed && args.engine == Engine::Jmeter {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "suture: --closed is for --engine builtin; JMeter's users wait anyway");
        return Ok(USAGE);
    }
    more_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(load(global, args));
    runtime.shutdown_background();
    ended
}

/// A thousand users are a thousand connections, in the generator and in the balancer that inherits this. Where it is not
/// allowed, errors will say so.
fn more_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
}

async fn load(global: &Global, args: &LoadArgs) -> anyhow::Result<u8> {
    let mut signals = Signals::new()?;
    let stop: Stop = async move { signals.next().await }.boxed().shared();
    let runs = args.runs()?;
    let out = std::path::absolute(&args.out)?;
    std::fs::create_dir_all(&out)
        .map_err(|e| anyhow::anyhow!("cannot make {}: {e}; name another folder with --out", out.display()))?;
    let jmeter = match args.engine {
        Engine::Builtin => None,
        Engine::Jmeter => {
            let jmeter = JMeter::unpack(&out.join("jmeter"))?;
            jmeter.find().await?;
            Some(jmeter)
        }
    };
    let bench = Bench { args, jmeter, stop, bar: bar(&runs)? };
    let mut rows = Vec::new();
    let ended = match &args.url {
        Some(site) => bench.elsewhere(&runs, site, &mut rows).await,
        None => bench.on_stages(global, &runs, &mut rows).await,
    };
    bench.bar.finish_and_clear();
    // What was measured before it went wrong is worth having.
    if !rows.is_empty() {
        print(&if global.json { json(&rows) } else { table(&rows) });
        write(&out, &rows)?;
        if !global.json {
            print(&format!("Figures and pictures are in {}", out.display()));
        }
    }
    ended?;
    Ok(if rows.iter().any(Row::failed) { FAILED } else { OK })
}

fn bar(runs: &[(Run, Option<bool>)]) -> anyhow::Result<ProgressBar> {
    let bar = ProgressBar::new(runs.iter().map(|(run, _)| run.duration().as_secs()).sum());
    bar.set_style(ProgressStyle::with_template("  {bar:30} {pos}/{len} s  {msg}")?);
    Ok(bar)
}

/// One call of the bench.
struct Bench<'a> {
    args: &'a LoadArgs,
    jmeter: Option<JMeter>,
    stop: Stop,
    bar: ProgressBar,
}

impl Bench<'_> {
    /// Says how long it will take, before it begins.
    fn announce(&self, runs: &[(Run, Option<bool>)], around: Duration) {
        let load: Duration = runs.iter().map(|(run, _)| run.duration()).sum();
        let count = if runs.len() == 1 { "1 run".to_owned() } else { format!("{} runs", runs.len()) };
        let whole = in_words(load + around);
        self.say(&format!(
            "{count}, {} of load; about {whole} in all. Ctrl-C ends it and what it started.",
            in_words(load)
        ));
    }

    fn say(&self, text: &str) {
        if !self.bar.is_finished() {
            self.bar.suspend(|| {
                use std::io::Write as _;
                let _ = writeln!(std::io::stderr(), "{text}");
            });
        }
    }

    /// Against a service that is running anyway.
    async fn elsewhere(&self, runs: &[(Run, Option<bool>)], site: &Site, rows: &mut Vec<Row>) -> anyhow::Result<()> {
        self.announce(runs, Duration::ZERO);
        for (run, _) in runs {
            let summary = tokio::select! {
                summary = self.measure(run, None, site, None) => summary?,
                reason = self.stop.clone() => anyhow::bail!("stopped: {reason}"),
            };
            rows.push(self.row(run, None, summary, None));
        }
        Ok(())
    }

    /// Against the sample shop, each run on a stage of its own.
    async fn on_stages(
        &self,
        global: &Global,
        runs: &[(Run, Option<bool>)],
        rows: &mut Vec<Row>,
    ) -> anyhow::Result<()> {
        let base = match &global.data_dir {
            Some(dir) => std::path::absolute(dir)?,
            None => demo::fresh_folder("bench")?,
        };
        super::make_data_dir(&base)?;
        let learned = base.join("learned");
        anyhow::ensure!(
            !learned.join("suture.toml").exists(),
            "{} has an earlier bench in it; name another folder with --data-dir, or none",
            base.display()
        );
        let log = std::fs::File::create(stage::log_of(&learned))?;
        log::start(global.log.as_deref().unwrap_or("warn"), global.log_format(LogFormat::Human), Some(Box::new(log)))?;
        let exe = std::env::current_exe()?;
        self.announce(runs, LEARNING + AROUND * u32::try_from(runs.len())?);
        self.say(&format!("Ledgers and logs are kept in {}", base.display()));
        let stages = Stages { exe: &exe, learned: &learned, sampling: None, stop: &self.stop };
        stages.learn().await?;
        for (run, healing) in runs {
            let heals = healing.unwrap_or(false);
            let dir = base.join(format!("{}-{}", run.plan().name, on_off(*healing)));
            let mode = if heals { Mode::Auto } else { Mode::Observe };
            let (summary, replicas) = stages
                .with(&dir, mode, async |stage| {
                    self.warm(&stage.site).await?;
                    let summary = self.measure(run, *healing, &stage.site, Some(stage)).await?;
                    Ok((summary, stage.replicas().await))
                })
                .await?;
            rows.push(self.row(run, *healing, summary, replicas));
        }
        Ok(())
    }

    async fn warm(&self, site: &Site) -> anyhow::Result<()> {
        if let Some(normal) = Plan::named("normal") {
            Generator::new(site.clone()).run(&normal.lasting(WARM)?, Loop::Open, self.args.seed).await?;
        }
        Ok(())
    }

    /// Runs a plan, with the bar moving.
    async fn measure(
        &self,
        run: &Run,
        healing: Option<bool>,
        site: &Site,
        stage: Option<&Stage>,
    ) -> anyhow::Result<Summary> {
        let name = match healing {
            Some(_) => format!("{}, healing {}", run.plan().name, on_off(healing)),
            None => run.plan().name.to_owned(),
        };
        self.say(&format!("{name}: {} users, {}", run.plan().users(), in_words(run.duration())));
        let began = self.bar.position();
        let generator = Generator::new(site.clone());
        let live = self.jmeter.is_none().then(|| generator.live());
        let engine = async {
            match &self.jmeter {
                Some(jmeter) => jmeter.run(run, site, &name.replace(", healing ", "-")).await,
                None => {
                    let kind = if self.args.closed { Loop::Closed } else { Loop::Open };
                    generator.run(run, kind, self.args.seed).await
                }
            }
        };
        let summary = tokio::select! {
            summary = engine => summary?,
            never = self.show(&name, run, began, live, stage) => match never {},
        };
        self.bar.set_position(began + run.duration().as_secs());
        Ok(summary)
    }

    /// Moves the bar for ever.
    async fn show(
        &self,
        name: &str,
        run: &Run,
        from: u64,
        live: Option<Arc<Live>>,
        stage: Option<&Stage>,
    ) -> Infallible {
        let began = Instant::now();
        let mut before = (0, began);
        loop {
            sleep(LOOK_EVERY).await;
            let now = Instant::now();
            let mut words = name.to_owned();
            if let Some((good, errors)) = live.as_deref().map(Live::read) {
                let since = now.duration_since(before.1).as_secs_f64().max(0.001);
                words += &format!(": {:.0}/s, {errors} errors", (good.saturating_sub(before.0)) as f64 / since);
                before = (good, now);
            }
            if let Some(workers) = async { stage?.replicas().await }.await {
                words += &format!(", {workers} workers");
            }
            self.bar.set_message(words);
            self.bar.set_position(from + began.elapsed().min(run.duration()).as_secs());
        }
    }

    fn row(&self, run: &Run, healing: Option<bool>, summary: Summary, replicas: Option<u32>) -> Row {
        let plan = run.plan();
        let broken = summary.breaks(&self.args.limits(plan));
        let judged = self.args.judges(plan, healing);
        Row { plan: plan.name, healing, engine: self.args.engine_name(), summary, replicas, broken, judged }
    }
}

fn on_off(healing: Option<bool>) -> &'static str {
    if healing == Some(true) { "on" } else { "off" }
}

/// Writes the figures and a picture for each plan.
fn write(out: &Path, rows: &[Row]) -> anyhow::Result<()> {
    let (summary, seconds) = csv(rows)?;
    let save = |name: &str, text: &str| {
        let path = out.join(name);
        std::fs::write(&path, text).map_err(|e| anyhow::anyhow!("cannot write {}: {e}", path.display()))
    };
    save("load.csv", &summary)?;
    save("seconds.csv", &seconds)?;
    save("load.md", &markdown(rows))?;
    for plan in PLANS {
        let curves: Vec<_> = rows
            .iter()
            .filter(|row| row.plan == plan.name)
            .map(|row| Curve {
                name: match row.healing {
                    Some(true) => "healing on",
                    Some(false) => "healing off",
                    None => row.engine,
                },
                seconds: &row.summary.seconds,
            })
            .collect();
        if !curves.is_empty() {
            let title = format!("{}: {} users, {}", plan.name, plan.users(), plan.about);
            save(&format!("{}.svg", plan.name), &draw(&title, &curves)?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        load: LoadArgs,
    }

    fn args(words: &str) -> Result<LoadArgs, clap::Error> {
        Only::try_parse_from(std::iter::once("load").chain(words.split_whitespace())).map(|only| only.load)
    }

    fn runs(words: &str) -> Vec<String> {
        let runs = args(words).unwrap().runs().unwrap();
        runs.iter().map(|(run, h)| format!("{} {h:?} {}", run.plan().name, run.duration().as_secs())).collect()
    }

    #[test]
    fn without_words_the_short_plans_are_run_without_healing_and_with_it() {
        let all = runs("");
        assert_eq!(all.len(), 6);
        assert_eq!(all[..2], ["normal Some(false) 60", "normal Some(true) 60"]);
        assert_eq!(runs("soak soak --healing on --duration 90s"), ["soak Some(true) 90"]);
        assert_eq!(runs("spike --url http://127.0.0.1:80"), ["spike None 60"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_says_what_would() {
        for (words, says) in [
            ("calm", "normal"),
            ("--duration 1s", "from 3 s to 7 days"),
            ("--duration soon", "30s or 5min"),
            ("--url https://shop", "there is no https"),
            ("--url http://shop --healing on", "cannot be used with"),
            ("--max-errors 101", "within 0 and 100"),
            ("--max-errors NaN", "within 0 and 100"),
        ] {
            let error = args(words).err().unwrap_or_else(|| panic!("{words} is taken")).to_string();
            assert!(error.contains(says), "{words}: {error}");
        }
    }

    #[test]
    fn a_plan_that_needs_healing_is_not_judged_without_it_unless_asked_for() {
        let judges =
            |words: &str, plan: &str, healing| args(words).unwrap().judges(Plan::named(plan).unwrap(), healing);
        assert!(judges("", "normal", Some(false)) && judges("", "stress", Some(true)) && judges("", "stress", None));
        assert!(!judges("", "stress", Some(false)) && !judges("--max-p95 1s", "stress", Some(false)));
        assert!(judges("--max-p95 1s --healing off", "stress", Some(false)));
        assert_eq!(args("--max-p95 1s").unwrap().limits(&PLANS[0]).p95, Duration::from_secs(1));
    }
}

//! `suture chaos`: experiments from the shell. What asks or changes goes through the running daemon, as in chat; what is on file
//! or in the ledger is read without one.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Subcommand, ValueEnum, ValueHint};

use super::{FAILED, Global, OK, USAGE, print};
use crate::chaos::{Library, file, report, score, words};
use crate::config::Config;
use crate::ledger::{self, Query};
use crate::model::{ExperimentId, ExperimentOutcome, Fact, Record};

/// Between two looks at an experiment that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// For people.
    #[default]
    Text,
    /// For a document.
    Markdown,
    /// For programs.
    Json,
}

/// `suture chaos ...`
#[derive(Clone, Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  suture chaos list\n  suture chaos describe latency\n  suture chaos plan latency shop\n  suture chaos run latency shop --wait\n  suture chaos stop\n  suture chaos report EXP-1 --form markdown"
)]
pub(super) enum ChaosCommand {
    /// The experiments there are, and those that are under way
    List,
    /// An experiment in full
    Describe {
        /// Its name
        experiment: String,
    },
    /// Prove files of experiments
    Check {
        /// Which
        #[arg(required = true, value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
    },
    /// What an experiment would do on a service, and nothing more
    Plan {
        /// Its name
        experiment: String,
        /// On which service
        service: Option<String>,
    },
    /// Ask for an experiment; it begins when it is approved
    Run {
        /// Its name
        experiment: String,
        /// On which service
        service: Option<String>,
        /// How long each fault stays in: 30s
        #[arg(long = "for", value_name = "SPAN")]
        span: Option<String>,
        /// Wait until it is over; exits 0 only if it passed
        #[arg(long)]
        wait: bool,
    },
    /// Say yes to an experiment
    Approve {
        /// Which: EXP-1
        experiment: Option<String>,
    },
    /// Say no to an experiment
    Reject {
        /// Which: EXP-1
        experiment: Option<String>,
        /// Why
        reason: Vec<String>,
    },
    /// End experiments now: every fault is taken out
    Stop {
        /// An experiment or a service; all when left out
        what: Option<String>,
    },
    /// What became of experiments, from the ledger
    Report {
        /// EXP-1, or the name of an experiment; all when left out
        what: Option<String>,
        /// How it is written
        #[arg(long, value_enum, default_value_t)]
        form: Form,
    },
    /// How the healing did over all experiments, from the ledger
    Score {
        /// How it is written
        #[arg(long, value_enum, default_value_t)]
        form: Form,
    },
}

pub(super) fn run(global: &Global, command: ChaosCommand) -> anyhow::Result<u8> {
    let form = |form: Form| if global.json { Form::Json } else { form };
    let words = |parts: &[Option<&str>]| parts.iter().flatten().copied().collect::<Vec<_>>().join(" ");
    match command {
        ChaosCommand::List => say_or(global, "chaos list", || {
            let library = library(global);
            print(&super::text(&words::list(&library, &|_| Vec::new())));
            print("No daemon answers, so nothing is known of where these can be run.");
            Ok(OK)
        }),
        ChaosCommand::Describe { experiment } => {
            let library = library(global);
            let found = library.find(&experiment).map_err(anyhow::Error::msg)?;
            print(&super::text(&words::describe(found)));
            Ok(OK)
        }
        ChaosCommand::Check { files } => check(&files),
        ChaosCommand::Plan { experiment, service } => {
            say(global, &words(&[Some("chaos plan"), Some(&experiment), service.as_deref()]))
        }
        ChaosCommand::Run { experiment, service, span, wait } => {
            let span = span.map(|span| format!("for:{span}"));
            let line = words(&[Some("chaos run"), Some(&experiment), service.as_deref(), span.as_deref()]);
            let code = say(global, &line)?;
            if wait && code == OK { wait_for(global, newest(global)?) } else { Ok(code) }
        }
        ChaosCommand::Approve { experiment } => say(global, &words(&[Some("chaos approve"), experiment.as_deref()])),
        ChaosCommand::Reject { experiment, reason } => {
            say(global, &words(&[Some("chaos reject"), experiment.as_deref(), Some(&reason.join(" "))]))
        }
        ChaosCommand::Stop { what } => say(global, &words(&[Some("chaos stop"), what.as_deref()])),
        ChaosCommand::Report { what, form: wanted } => reports(global, what.as_deref(), form(wanted)),
        ChaosCommand::Score { form: wanted } => {
            let board = score::ScoreBoard::of(&all_reports(global)?);
            print(&match form(wanted) {
                Form::Text => super::text(&board.card()),
                Form::Markdown => board.markdown(),
                Form::Json => serde_json::to_string_pretty(&board)?,
            });
            Ok(OK)
        }
    }
}

/// Says a line to the running daemon.
fn say(global: &Global, line: &str) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (done, answer) = runtime.block_on(crate::app::ask(&global.data_dir(), line))?;
    print(&answer);
    Ok(if done { OK } else { FAILED })
}

/// Says a line to the running daemon, or does without one.
fn say_or(global: &Global, line: &str, without: impl FnOnce() -> anyhow::Result<u8>) -> anyhow::Result<u8> {
    say(global, line).or_else(|_| without())
}

/// The experiments of the config, or those that are built in where there is no config.
fn library(global: &Global) -> Library {
    let dir = Config::load(&global.config_path()).ok().and_then(|config| config.chaos.dir);
    dir.map_or_else(Library::stock, |dir| Library::with_folder(&dir))
}

fn check(files: &[PathBuf]) -> anyhow::Result<u8> {
    let mut code = OK;
    for path in files {
        match file::load(path) {
            Ok(experiment) => print(&format!("ok    {}: {}", path.display(), experiment.title)),
            Err(errors) => {
                code = USAGE;
                print(&errors.to_string());
            }
        }
    }
    Ok(code)
}

/// All records of the ledger, oldest first.
fn records(global: &Global) -> anyhow::Result<Vec<Record>> {
    let mut records = Vec::new();
    for stored in ledger::records(&global.data_dir())? {
        records.push(stored?.record);
    }
    Ok(records)
}

fn all_reports(global: &Global) -> anyhow::Result<Vec<report::Report>> {
    let events: Vec<_> = records(global)?.into_iter().map(|record| record.event).collect();
    Ok(report::Report::all(&events))
}

fn reports(global: &Global, what: Option<&str>, form: Form) -> anyhow::Result<u8> {
    let all = all_reports(global)?;
    let id = what.and_then(|what| what.parse::<ExperimentId>().ok());
    if let Some(id) = id {
        let one = all.iter().find(|report| report.experiment == id);
        let one = one.ok_or_else(|| anyhow::anyhow!("there is no {id} in {}", global.data_dir().display()))?;
        print(&match form {
            Form::Text => super::text(&one.card()),
            Form::Markdown => one.markdown(),
            Form::Json => serde_json::to_string_pretty(one)?,
        });
        return Ok(OK);
    }
    let all: Vec<_> = all.into_iter().filter(|report| what.is_none_or(|what| report.name == what)).collect();
    print(&match form {
        Form::Text if all.is_empty() => "No experiment was done yet.".to_owned(),
        Form::Text => super::text(&crate::chat::pages::answer("chaos report", vec![report::overview(&all)])),
        Form::Markdown => all.iter().map(report::Report::markdown).collect::<Vec<_>>().join("\n"),
        Form::Json => serde_json::to_string_pretty(&all)?,
    });
    Ok(OK)
}

/// The number of the newest experiment in the ledger; 0 when there is none.
fn newest(global: &Global) -> anyhow::Result<u64> {
    let query = Query { kind: Some("experiment-asked".to_owned()), limit: 1, ..Query::default() };
    let page = ledger::query(&global.data_dir(), &query)?;
    let id = page.records.first().and_then(|stored| match &stored.record.event.fact {
        Fact::ExperimentAsked { experiment, .. } => Some(experiment.0),
        _ => None,
    });
    Ok(id.unwrap_or_default())
}

/// Waits for the end of this experiment.
fn wait_for(global: &Global, id: u64) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    loop {
        std::thread::sleep(LOOK_EVERY);
        for kind in ["experiment-ended", "experiment-declined"] {
            let query = Query { kind: Some(kind.to_owned()), limit: 100, ..Query::default() };
            for stored in ledger::query(&global.data_dir(), &query)?.records {
                let code = match &stored.record.event.fact {
                    Fact::ExperimentEnded { experiment, outcome, .. } if experiment.0 == id => {
                        if *outcome == ExperimentOutcome::Passed { OK } else { FAILED }
                    }
                    Fact::ExperimentDeclined { experiment, .. } if experiment.0 == id => FAILED,
                    _ => continue,
                };
                print(&ledger::tell(&stored.record));
                return Ok(code);
            }
        }
        // Nobody would end it without a daemon.
        runtime.block_on(crate::app::ask(&global.data_dir(), "whoami"))?;
    }
}

//! `suture detect`: the detector on a file instead of a running service, and how good it is against labels. Reads files
//! and writes the ones it is told to; asks no service and needs no data folder. Called by the command line.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, ValueHint};
use serde_json::{Map, Value, json};

use super::replay::complain;
use super::{FAILED, Global, OK, USAGE, print};
use crate::config::Config;
use crate::detect::{DetectSettings, Line, detect};
use crate::evaluate::{
    self, EvaluateError, LEAST_TRAIN_ROWS, Labels, Manifest, Score, Series, SuiteRun, Table, measure, summarise,
};

/// Seconds between rows when nothing says how many.
const MINUTE: f64 = 60.0;

/// `suture detect`
#[derive(Args)]
#[command(
    group = ArgGroup::new("what").required(true).args(["input", "scores", "suite"]),
    after_help = "Examples:\n  suture detect --input metrics.csv --output scores.csv\n  \
                  suture detect --input metrics.csv --train-rows 5000 --evaluate labels.csv\n  \
                  suture detect --scores scores.csv --evaluate labels.csv --json\n  \
                  suture detect --suite manifest.json --labels labels --plots plots\n\n\
                  metrics.csv has a header, an optional first column timestamp (seconds since 1970 or RFC 3339), and \
                  a column of numbers for each metric. An empty value, NaN, null and infinity are missing values.\n\
                  scores.csv gets one line for each row that was not learnt from:\n  \
                  row,timestamp,score,risk,is_anomaly,severity,culprit,shares\n\
                  labels.csv has the columns row,label (1 anomalous, 0 normal, -1 left out) and, if known, culprits.\n\n\
                  Exit codes: 0 done, 1 the detector failed, 2 something is wrong with a file or an argument."
)]
pub(super) struct DetectArgs {
    /// A CSV file of metrics, one row for each point in time
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    input: Option<PathBuf>,
    /// How many rows, from the first, to learn from [default: half, or those before the first label]
    #[arg(long, value_name = "N", requires = "input")]
    train_rows: Option<usize>,
    /// Where to write the scores; `-` is standard output
    #[arg(
        long,
        value_name = "FILE",
        value_hint = ValueHint::FilePath,
        requires = "input",
        required_unless_present_any = ["evaluate", "scores", "suite"]
    )]
    output: Option<PathBuf>,
    /// Measure the scores against these labels
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "suite")]
    evaluate: Option<PathBuf>,
    /// Scores that are there already, to be measured
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "evaluate")]
    scores: Option<PathBuf>,
    /// Seconds from one row to the next, to measure by [default: what the timestamps say, or 60]
    #[arg(long, value_name = "SECONDS", requires = "evaluate", value_parser = seconds)]
    interval: Option<f64>,
    /// Detect and measure all series of this manifest
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "labels")]
    suite: Option<PathBuf>,
    /// Where the labels of the suites are, as SUITE/SERIES.csv
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, requires = "suite")]
    labels: Option<PathBuf>,
    /// The service of the config (`--config`) whose detector settings are used [default: the only one]
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only these suites, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "suite")]
    only: Vec<String>,
    /// Keep the scores there, as SUITE/SERIES.csv
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, requires = "suite")]
    scores_dir: Option<PathBuf>,
    /// Draw ROC and precision-recall curves and confusion matrices there, as SVG
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, requires = "suite")]
    plots: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds > 0.0 => Ok(seconds),
        _ => Err("write a number of seconds above 0, for example 300".to_owned()),
    }
}

pub(super) fn run(global: &Global, args: DetectArgs) -> anyhow::Result<u8> {
    let ended = match (&args.input, &args.scores, &args.suite, &args.labels) {
        (Some(input), ..) => one(global, &args, input),
        (None, Some(scores), ..) => existing(global, &args, scores),
        (None, None, Some(manifest), Some(labels)) => suites(global, &args, manifest, labels),
        // The arguments' rules leave no other case.
        _ => Ok(()),
    };
    Ok(match ended {
        Ok(()) => OK,
        Err(Stop::Arguments(why)) => {
            complain(&why);
            USAGE
        }
        Err(Stop::Failed(error)) => {
            complain(&error.to_string());
            if error.is_usage() { USAGE } else { FAILED }
        }
    })
}

/// Why it ends.
enum Stop {
    /// The arguments do not go together.
    Arguments(String),
    /// Something else.
    Failed(EvaluateError),
}

impl From<EvaluateError> for Stop {
    fn from(error: EvaluateError) -> Self {
        Self::Failed(error)
    }
}

/// How the detector is set: as the config says of the service, if a config was named; else as it is without a word.
fn settings(global: &Global, service: Option<&str>) -> Result<DetectSettings, Stop> {
    let Some(path) = &global.config else {
        return match service {
            Some(_) => {
                Err(Stop::Arguments("--service needs the config that tells of it: add --config FILE".to_owned()))
            }
            None => Ok(DetectSettings::default()),
        };
    };
    let config = Config::load(path).map_err(|errors| Stop::Arguments(errors.to_string()))?;
    let names: Vec<String> = config.services.iter().map(|known| known.name.to_string()).collect();
    let wanted = match (service, names.as_slice()) {
        (Some(wanted), _) => wanted,
        (None, [only]) => only,
        (None, several) => {
            let several = several.join(", ");
            let why = format!("{} tells of several services: say which by --service ({several})", path.display());
            return Err(Stop::Arguments(why));
        }
    };
    let found = config.services.iter().find(|known| known.name.to_string() == wanted);
    found.map(|service| service.detect.clone()).ok_or_else(|| {
        let names = names.join(", ");
        Stop::Arguments(format!("{} tells of no service `{wanted}`; there is {names}", path.display()))
    })
}

/// `--input`: scores one file, and measures the scores if there are labels.
fn one(global: &Global, args: &DetectArgs, input: &Path) -> Result<(), Stop> {
    let output = args.output.as_deref().map(Output::of);
    if let Some(output) = &output {
        output.check(global.json, args.evaluate.is_some(), input)?;
    }
    let table = evaluate::read_table(input)?;
    let mut labels = args.evaluate.as_deref().map(evaluate::read_labels).transpose()?;
    let default = args.train_rows.is_none();
    // Where the labels begin, for that is where somebody began to judge; half would leave out what they judged before.
    let begin = labels.as_ref().map(Labels::first_row).filter(|row| default && *row >= LEAST_TRAIN_ROWS);
    let train_rows = table
        .train_rows(args.train_rows.or(begin))
        .map_err(|why| EvaluateError::Table { path: input.to_owned(), why })?;
    if default {
        let why = if begin.is_some() { "the labels begin after them" } else { "that is half of them" };
        complain(&format!(
            "learning from the first {train_rows} of {} rows, for {why}; set --train-rows for another number",
            table.rows()
        ));
    }
    if let Some(labels) = &mut labels {
        let out = labels.leave_out_before(train_rows);
        if out > 0 {
            complain(&format!("{out} labels are of rows that are learnt from; they are left out"));
        }
    }
    if let Some(Output::File(path)) = &output {
        writable(path)?;
    }
    let lines = detect(&table, train_rows, &settings(global, args.service.as_deref())?)
        .map_err(|why| EvaluateError::Detector { path: input.to_owned(), why })?;
    evaluate::check(&lines).map_err(|why| EvaluateError::Scores { path: input.to_owned(), why })?;
    if let Some(output) = &output {
        output.write(&table, &lines)?;
    }
    let anomalies = lines.iter().filter(|line| line.is_anomaly).count();
    let mut all = Map::new();
    all.insert("input".to_owned(), json!(input));
    all.insert("rows".to_owned(), json!(table.rows()));
    all.insert("metrics".to_owned(), json!(table.names().len()));
    all.insert("train_rows".to_owned(), json!(train_rows));
    all.insert("train_rows_default".to_owned(), json!(default));
    all.insert("scored".to_owned(), json!(lines.len()));
    all.insert("anomalies".to_owned(), json!(anomalies));
    all.insert("output".to_owned(), json!(args.output));
    let mut report = String::new();
    if let (Some(labels), Some(path)) = (labels, &args.evaluate) {
        let scores: Vec<Score> = lines.iter().map(Score::from).collect();
        report = against(args, labels, path, scores, &mut all)?;
    }
    if global.json {
        show(&all);
        return Ok(());
    }
    let to = output.as_ref().map_or_else(String::new, |output| format!(" -> {output}"));
    let said = format!("{} rows scored, {anomalies} of them anomalous{to}", lines.len());
    // Standard output is for the scores, when they go there.
    if matches!(output, Some(Output::Stdout)) {
        complain(&said)
    } else {
        print(&said)
    }
    if !report.is_empty() {
        print(&format!("\n{report}"));
    }
    Ok(())
}

/// `--scores`: measures scores that are there already.
fn existing(global: &Global, args: &DetectArgs, file: &Path) -> Result<(), Stop> {
    let Some(path) = &args.evaluate else { return Ok(()) };
    let scores = evaluate::read_scores(file).map_err(|why| EvaluateError::Scores { path: file.to_owned(), why })?;
    let mut all = Map::new();
    all.insert("scores".to_owned(), json!(file));
    let report = against(args, evaluate::read_labels(path)?, path, scores, &mut all)?;
    if global.json {
        show(&all)
    } else {
        print(&report)
    }
    Ok(())
}

/// Measures scores: as text, and as members of the run's JSON object.
fn against(
    args: &DetectArgs,
    labels: Labels,
    path: &Path,
    mut scores: Vec<Score>,
    all: &mut Map<String, Value>,
) -> Result<String, EvaluateError> {
    let first = labels.first_row();
    scores.retain(|score| score.row >= first);
    let interval = args.interval.or_else(|| evaluate::interval(&scores)).unwrap_or_else(|| {
        complain("no timestamps say how far rows are apart, so a row counts as a minute; set --interval if it is not");
        MINUTE
    });
    let series =
        Series::join(labels, scores, interval).map_err(|why| EvaluateError::Scores { path: path.to_owned(), why })?;
    let summary = summarise(&[measure(&series)]);
    all.insert("labels".to_owned(), json!(path));
    all.insert("interval_seconds".to_owned(), json!(interval));
    all.insert("evaluation".to_owned(), evaluate::json(&summary));
    Ok(evaluate::text(&summary))
}

/// `--suite`: detects and measures all series of a manifest.
fn suites(global: &Global, args: &DetectArgs, manifest: &Path, labels: &Path) -> Result<(), Stop> {
    let manifest = Manifest::read(manifest, &args.only)?;
    let settings = settings(global, args.service.as_deref())?;
    let done = |entry: &evaluate::Entry| {
        if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
            complain(&format!("{}/{} done", entry.suite, entry.series));
        }
    };
    let suites = SuiteRun {
        manifest: &manifest,
        labels,
        scores: args.scores_dir.as_deref(),
        detect: &|table, train_rows| detect(table, train_rows, &settings),
        done: &done,
        threads: std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
    }
    .run()?;
    let mut files = Vec::new();
    if let Some(folder) = &args.plots {
        for suite in &suites {
            files.extend(evaluate::draw(folder, suite)?);
        }
    }
    if global.json {
        let by_name: Map<String, Value> =
            suites.iter().map(|suite| (suite.name.clone(), evaluate::json(&suite.summary))).collect();
        let mut all = Map::new();
        all.insert("suites".to_owned(), Value::Object(by_name));
        all.insert("scores_dir".to_owned(), json!(args.scores_dir));
        all.insert("plots".to_owned(), json!(files));
        show(&all);
    } else {
        print(&evaluate::markdown(&suites));
        for file in files {
            print(&format!("\ndrawn: {}", file.display()));
        }
    }
    Ok(())
}

fn show(all: &Map<String, Value>) {
    // Alternate form: more than one line, for people read it too.
    print(&format!("{:#}", Value::Object(all.clone())));
}

/// Where scores go.
enum Output<'a> {
    Stdout,
    File(&'a Path),
}

impl<'a> Output<'a> {
    fn of(path: &'a Path) -> Self {
        if path == Path::new("-") { Self::Stdout } else { Self::File(path) }
    }

    /// Refuses what would mix two things, or overwrite what is read.
    fn check(&self, json: bool, evaluated: bool, input: &Path) -> Result<(), Stop> {
        match self {
            Self::Stdout if json || evaluated => {
                let other = if json { "--json" } else { "--evaluate" };
                Err(Stop::Arguments(format!(
                    "--output - and {other} both write to standard output; give --output the name of a file"
                )))
            }
            Self::File(path) if path.exists() && path.canonicalize().ok() == input.canonicalize().ok() => {
                let path = path.display();
                Err(Stop::Arguments(format!("--output {path} would overwrite --input; give it another name")))
            }
            _ => Ok(()),
        }
    }

    fn write(&self, table: &Table, lines: &[Line]) -> Result<(), EvaluateError> {
        match self {
            Self::Stdout => evaluate::write_scores(std::io::stdout().lock(), table, lines)
                .map_err(|why| EvaluateError::Scores { path: PathBuf::from("standard output"), why }),
            Self::File(path) => {
                let file = std::fs::File::create(path)
                    .map_err(|why| EvaluateError::Write { path: path.to_path_buf(), why })?;
                evaluate::write_scores(file, table, lines)
                    .map_err(|why| EvaluateError::Scores { path: path.to_path_buf(), why })
            }
        }
    }
}

impl std::fmt::Display for Output<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Finds out before the work is done, not after it. Leaves what is in the file.
fn writable(path: &Path) -> Result<(), EvaluateError> {
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
    opened.map(drop).map_err(|why| EvaluateError::Write { path: path.to_owned(), why })
}

#[cfg(test)]
mod tests;

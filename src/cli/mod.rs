//! The command line: one file a subcommand, and what they share.
//!
//! Exit codes are a promise: 0 all is well, 1 it did not work (not healed, the daemon could not go on, something does
//! not answer), 2 wrong arguments or a wrong config, 3 the ledger is damaged.

mod audit;
mod backtest;
#[cfg(feature = "local")]
mod bench;
mod chaos;
pub mod check;
#[cfg(feature = "local")]
mod demo;
mod detect;
#[cfg(feature = "local")]
mod evaluate;
pub mod init;
mod log;
mod playbook;
#[cfg(feature = "oci")]
mod pull;
mod replay;
mod run;
#[cfg(feature = "local")]
mod stage;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use crate::config::LogFormat;

/// All is well.
pub const OK: u8 = 0;
/// It did not work.
pub const FAILED: u8 = 1;
/// Wrong arguments, or a wrong config.
pub const USAGE: u8 = 2;
/// The ledger is damaged.
pub const DAMAGED: u8 = 3;

/// Heals running services, with people's approval, and keeps a record that cannot be changed unseen.
#[derive(Parser)]
#[command(name = "suture", version, propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  suture demo                       watch a sample service fall ill and approve its cure
  suture demo --fault crash --yes   the same unattended; exits 0 only if it was healed
  suture bench load stress          what customers feel, with healing and without
  suture init && suture run         watch this machine
  suture check --config prod.toml   prove a config before it runs
  suture detect --input m.csv --output s.csv   judge a file of metrics
  suture playbook new one-more      write a playbook of your own
  suture ctl approve 1              approve from another terminal
  suture audit --since 1h           what happened in the last hour

Exit codes: 0 well, 1 it did not work, 2 wrong arguments or config, 3 the ledger is damaged.";

/// What means the same everywhere.
#[derive(Args, Clone, Debug)]
struct Global {
    /// The config file
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath, env = "SUTURE_CONFIG")]
    config: Option<PathBuf>,
    /// Where the ledger and everything else is kept [default: what the config says]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath, env = "SUTURE_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// What is logged: a level, or a list like `warn,suture=debug`
    #[arg(long, global = true, value_name = "FILTER", env = "SUTURE_LOG")]
    log: Option<String>,
    /// Answer (and log) in JSON
    #[arg(long, global = true)]
    json: bool,
}

impl Global {
    fn config_path(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| PathBuf::from("suture.toml"))
    }

    /// The data folder: as given, or as the config says, or beside the config.
    fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| {
            crate::config::Config::load(&self.config_path())
                .map_or_else(|_| PathBuf::from("suture-data"), |config| config.suture.data_dir)
        })
    }

    fn log_format(&self, configured: LogFormat) -> LogFormat {
        if self.json { LogFormat::Json } else { configured }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Watch and heal what the config names
    Run,
    /// See it work: a sample service on this machine falls ill and is healed
    #[cfg(feature = "local")]
    Demo(demo::DemoArgs),
    /// Measure what customers feel under load, with healing and without
    #[cfg(feature = "local")]
    Bench {
        #[command(subcommand)]
        command: bench::BenchCommand,
    },
    /// Write a commented starter config that watches this machine
    Init {
        /// Where to write it
        #[arg(long, default_value = "suture.toml", value_hint = ValueHint::FilePath)]
        path: PathBuf,
        /// Replace a file that is there
        #[arg(long)]
        force: bool,
    },
    /// Prove a config before it runs: every problem in one pass
    Check {
        /// Only the file itself and the components: ask no source and no target
        #[arg(long)]
        offline: bool,
        /// Say as well what the credentials at hand let Suture do with every target
        #[arg(long, conflicts_with = "offline")]
        live: bool,
    },
    /// Judge a file of metrics as the daemon would, and measure how good that is
    Detect(detect::DetectArgs),
    /// Prove the healing: every experiment on the sample shop, with Suture and without, as a table
    #[cfg(feature = "local")]
    Evaluate(evaluate::EvaluateArgs),
    /// What happened, from the ledger
    Audit(audit::AuditArgs),
    /// Do again what rules and playbooks did in an incident, from the ledger, and prove that it is the same
    Replay(replay::ReplayArgs),
    /// Look after the ledger's index
    Ledger {
        #[command(subcommand)]
        command: audit::LedgerCommand,
    },
    /// Write playbooks and rules: new, build, test, and know them before they meet production
    Playbook {
        #[command(subcommand)]
        command: playbook::PlaybookCommand,
    },
    /// Chaos experiments: put faults into services on purpose, see them healed, and read how it went
    Chaos {
        #[command(subcommand)]
        command: chaos::ChaosCommand,
    },
    /// Say a command to the running daemon, as in chat
    #[command(
        after_help = "Examples:\n  suture ctl status\n  suture ctl approve 1\n  suture ctl help\n  suture ctl --data-dir DIR status     options come before the command"
    )]
    Ctl {
        /// The command and its words
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Print the completions for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    #[cfg(feature = "local")]
    #[command(flatten)]
    Local(crate::act::local::LocalCommand),
    #[cfg(feature = "local")]
    #[command(flatten)]
    Sample(crate::sample::SampleCommand),
}

/// Runs the program and says how it ended.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, and are no errors; a closed pipe is nobody's trouble.
            let code = if error.use_stderr() { USAGE } else { OK };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    // Without this, rustls does not know which cryptography to use. An error means that it was done already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let global = cli.global;
    let ended = match cli.command {
        Command::Run => run::run(&global),
        #[cfg(feature = "local")]
        Command::Demo(args) => demo::demo(&global, &args),
        #[cfg(feature = "local")]
        Command::Bench { command } => bench::run(&global, &command),
        Command::Init { path, force } => init_file(&path, force),
        Command::Check { offline, live } => {
            let depth = match (offline, live) {
                (true, _) => check::Depth::Offline,
                (_, true) => check::Depth::Rights,
                _ => check::Depth::World,
            };
            run::check(&global, depth)
        }
        Command::Detect(args) => detect::run(&global, args),
        #[cfg(feature = "local")]
        Command::Evaluate(args) => evaluate::run(&global, &args),
        Command::Audit(args) => audit::audit(&global, args),
        Command::Replay(args) => replay::run(&global, args),
        Command::Ledger { command } => audit::ledger(&global, &command),
        Command::Playbook { command } => playbook::run(&global, command),
        Command::Chaos { command } => chaos::run(&global, command),
        Command::Ctl { words } => ctl(&global, &words),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "suture", &mut std::io::stdout());
            Ok(OK)
        }
        #[cfg(feature = "local")]
        Command::Local(command) => return command.run(),
        #[cfg(feature = "local")]
        Command::Sample(command) => return command.run(),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "suture: {error:#}");
            ExitCode::from(code_of(&error))
        }
    }
}

/// The exit code for an error that ends the program.
fn code_of(error: &anyhow::Error) -> u8 {
    use crate::app::AppError;
    use crate::ledger::LedgerError;
    match (error.downcast_ref::<AppError>(), error.downcast_ref::<LedgerError>()) {
        (Some(AppError::Ledger(LedgerError::Damaged(_))), _) | (_, Some(LedgerError::Damaged(_))) => DAMAGED,
        (
            Some(
                AppError::Config(_)
                | AppError::NotGranted { .. }
                | AppError::NotPinned { .. }
                | AppError::Pin { .. }
                | AppError::Components(_),
            ),
            _,
        ) => USAGE,
        _ if error.is::<crate::config::ConfigErrors>() => USAGE,
        _ if error.downcast_ref().is_some_and(|e| !matches!(e, crate::wasm::LoadError::Engine(_))) => USAGE,
        #[cfg(feature = "oci")]
        _ if error.downcast_ref().is_some_and(crate::oci::PullError::is_usage) => USAGE,
        _ if error.downcast_ref().is_some_and(crate::author::AuthorError::is_usage) => USAGE,
        _ => FAILED,
    }
}

fn init_file(path: &Path, force: bool) -> anyhow::Result<u8> {
    print(&init::init(path, force)?);
    Ok(OK)
}

fn ctl(global: &Global, words: &[String]) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (done, answer) = runtime.block_on(crate::app::ask(&global.data_dir(), &words.join(" ")))?;
    print(&answer);
    Ok(if done { OK } else { FAILED })
}

/// Makes a data folder that only its owner can look into, if it is not there: it holds the control socket.
fn make_data_dir(dir: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| {
        anyhow::anyhow!("cannot make the data folder {}: {e}; name another with --data-dir", dir.display())
    })
}

/// A card as text for this terminal.
fn text(card: &crate::chat::Card) -> String {
    crate::chat::render::render(card, crate::chat::render::Look::default())
}

/// Prints to stdout. A closed pipe is nobody's trouble.
fn print(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = out.write_all(b"\n");
    }
    let _ = out.flush();
}

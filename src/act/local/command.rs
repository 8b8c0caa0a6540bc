//! The hidden subcommands of the supervisor and of the guard in front of each worker.

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::{LocalError, SuperviseOptions, guard, stress, supervise};

/// What the binary does as a supervisor, and as the guard in front of a worker. Not for people.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum LocalCommand {
    /// Runs the workers of one `local:` target behind a balancer.
    #[command(hide = true)]
    LocalSupervisor {
        /// The target's settings as JSON.
        #[arg(long)]
        spec: PathBuf,
        /// Where to make the control socket.
        #[arg(long)]
        socket: PathBuf,
        /// End when stdin is at its end.
        #[arg(long)]
        parent_pipe: bool,
    },
    /// Becomes COMMAND, which is killed when process PID dies.
    #[command(hide = true)]
    ExecGuard {
        /// The process whose death is to be this one's.
        #[arg(long)]
        parent: u32,
        /// Program and arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Takes processor time, memory or disk of this machine until it is killed: a fault of a chaos experiment.
    #[command(hide = true)]
    ChaosStress(stress::Stress),
}

impl LocalCommand {
    /// Runs until it is done; what made it end early is one line on stderr, which its parent reads. Must be called on
    /// the main thread, before any runtime or thread is started.
    #[must_use]
    pub fn run(self) -> ExitCode {
        told(self.try_run())
    }

    fn try_run(self) -> Result<(), LocalError> {
        match self {
            Self::ExecGuard { parent, command } => guard::exec(parent, &command),
            Self::ChaosStress(stress) => stress::run(&stress).map_err(LocalError::System),
            Self::LocalSupervisor { spec, socket, parent_pipe } => {
                log_to_stderr();
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.map_err(|e| LocalError::System(format!("cannot start a runtime: {e}")))?;
                runtime.block_on(supervise(SuperviseOptions { spec, socket, parent_pipe }))
            }
        }
    }
}

/// The exit code of a hidden subcommand, and one line for the log that its parent keeps.
pub(crate) fn told<E: std::fmt::Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told when stderr is gone.
            let _ = writeln!(std::io::stderr(), "suture: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The log of a child process: plain lines on stderr, which its parent sends to a file.
pub(crate) fn log_to_stderr() {
    // An error means that somebody set up logging already, which is as good.
    let _ = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).try_init();
}

/// Returns when the other end of the pipe on stdin is closed, which the kernel does however the parent ends.
///
/// # Errors
/// When stdin is not a pipe.
pub(crate) async fn parent_closed() -> Result<(), LocalError> {
    let not_a_pipe = |e: std::io::Error| LocalError::System(format!("--parent-pipe needs a pipe on stdin: {e}"));
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().map_err(not_a_pipe)?;
    let mut pipe = pipe::Receiver::from_owned_fd(stdin).map_err(not_a_pipe)?;
    let mut ignored = [0_u8; 64];
    while pipe.read(&mut ignored).await.is_ok_and(|n| n > 0) {}
    Ok(())
}

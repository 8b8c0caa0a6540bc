//! `exec-guard`: binds a worker's life to its supervisor's, then becomes the worker.
//!
//! The kernel is asked to kill this process when the thread that started it ends; `exec` keeps that promise. That is
//! why the supervisor runs on its main thread alone. Must not start threads or a runtime: it only execs.
//!
//! The promise is for the worker itself. Processes that the worker starts get the supervisor's signals when it stops
//! in good order, but not when it is killed: a `command` that goes through a shell must `exec` the program.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::LocalError;

/// Becomes `command`, which the kernel kills as soon as the process `parent` dies. Returns only on failure.
///
/// # Errors
/// When the parent is gone already, or the program cannot be started.
pub(super) fn exec(parent: u32, command: &[OsString]) -> Result<(), LocalError> {
    let (program, arguments) =
        command.split_first().ok_or_else(|| LocalError::System("exec-guard needs a command after --".to_owned()))?;
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|e| LocalError::System(format!("cannot bind this process to its parent: {e}")))?;
    // Should the parent have died before the line above, nobody will send the signal.
    let now = rustix::process::getppid().map(rustix::process::Pid::as_raw_nonzero);
    if now.and_then(|pid| u32::try_from(pid.get()).ok()) != Some(parent) {
        return Err(LocalError::System(format!("the supervisor (process {parent}) is gone; not starting")));
    }
    let error = Command::new(program).args(arguments).exec();
    Err(LocalError::Spawn {
        what: program.to_string_lossy().into_owned(),
        why: format!("{error}; is it installed, and is the path in `command` right?"),
    })
}
